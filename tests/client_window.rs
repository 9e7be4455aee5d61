//! Credit that comes back bit by bit does not cut the body into ever smaller events (the silly window syndrome), and an
//! application that keeps most of its credit for itself still gets the rest of the body.

mod client;

use chttpcore::net::backend::mock::Script;
use client::{Ask, World, get};

const CREDIT: u64 = 16 << 10;
const TOTAL: usize = 512 << 10;

/// A body whose first window arrives in pieces of 300 bytes, and the rest at once.
fn trickle_then_flood() -> Script {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {TOTAL}\r\n\r\n");
    let first = CREDIT as usize;
    Script::new().expect_head().send(head).send_split(vec![b'a'; first], 300).send(vec![b'b'; TOTAL - first])
}

#[test]
fn small_releases_do_not_make_small_events() {
    let mut world = World::serving(trickle_then_flood());
    world.hold = true;
    let xid = world.submit(&Ask { credit: CREDIT, ..get() });
    world.pass(1_000_000);
    let before = world.log(xid).held.len();
    assert!(before > 40, "the first window came in small pieces: {before}");
    while world.log(xid).end.is_none() {
        world.logs.get_mut(&xid).unwrap().held.remove(0);
        world.pass(10_000);
    }
    let events = world.log(xid).kinds.len() - before;
    assert!(events < 4 * TOTAL / (CREDIT as usize / 2), "{events} events for the rest of the body");
    assert_eq!(world.log(xid).body.len(), TOTAL);
    world.release(xid);
    world.close();
}

#[test]
fn little_credit_is_used_after_a_while() {
    let mut world = World::serving(trickle_then_flood());
    world.hold = true;
    let xid = world.submit(&Ask { credit: CREDIT, ..get() });
    world.pass(1_000_000);
    let got = world.log(xid).body.len();
    // One small piece comes back, the rest is kept for ever.
    world.logs.get_mut(&xid).unwrap().held.remove(0);
    world.pass(500_000);
    assert_eq!(world.log(xid).body.len(), got, "not worth an event yet");
    world.pass(2_000_000);
    assert!(world.log(xid).body.len() > got, "no release is ever lost");
    world.release(xid);
    while world.log(xid).end.is_none() {
        world.release(xid);
        world.pass(1_000_000);
    }
    world.release(xid);
    world.close();
}
