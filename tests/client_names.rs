//! Names and dialling, with the whole client on the scripted network: the answers of the name service come when a test says
//! so, and the clock is virtual. Every turn checks the books (`audit`); every world is closed at the end, which finds sockets
//! that were left open.

mod client;
mod dice;

use chttpcore::client::settings::Timeouts;
use chttpcore::client::{Settings, failure::Phase};
use chttpcore::net::backend::mock::{Closed, Script};
use chttpcore::net::backend::{Address, Bind};
use chttpcore::net::resolver::{Answer, ResolveError, Resolver};
use chttpcore::proto::eyeballs::{ATTEMPTS_MAX, Family, UNDER_WAY_MAX};
use client::*;
use dice::Dice;
use std::ffi::CStr;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Longer than any machine takes for what does not depend on time.
const GUARD: Duration = Duration::from_secs(30);
const V6A: &str = "[2001:db8::a]:80";
const V6B: &str = "[2001:db8::b]:80";
const V4A: &str = "192.0.2.1:80";
const V4B: &str = "192.0.2.2:80";

/// A name service that answers when it is told to.
struct Desk {
    asked: Receiver<(String, Family, Sender<Answer>)>,
    open: Vec<(String, Family, Sender<Answer>)>,
}

impl Desk {
    fn new() -> (Desk, Resolver) {
        let (ask, asked) = channel();
        let ask = std::sync::Mutex::new(ask);
        let lookup = move |host: &CStr, family: Family| {
            let (reply, answer) = channel();
            // The test may be over.
            let _ = ask.lock().unwrap().send((host.to_str().unwrap().to_owned(), family, reply));
            answer.recv().unwrap_or(Err(ResolveError::Temporary))
        };
        (Desk { asked, open: Vec::new() }, Resolver::with_lookup(Arc::new(lookup)))
    }

    /// Wait for questions until there are `n` open ones.
    fn questions(&mut self, n: usize) {
        while self.open.len() < n {
            self.open.push(self.asked.recv_timeout(GUARD).expect("a question"));
        }
        assert!(self.asked.try_recv().is_err(), "more questions than {n}");
    }

    /// Answer one of them, and let the client hear of it.
    fn answer(&mut self, w: &mut World, host: &str, family: Family, answer: Answer) {
        let at = self.open.iter().position(|(h, f, _)| h == host && *f == family).expect("an open question");
        self.open.remove(at).2.send(answer).unwrap();
        let started = Instant::now();
        while !w.net.runnable() {
            assert!(started.elapsed() < GUARD, "the answer never arrives");
            std::thread::yield_now();
        }
        w.settle();
    }
}

fn ips(list: &[&str]) -> Answer {
    Ok(list.iter().map(|at| at.parse::<std::net::SocketAddr>().unwrap().ip()).collect())
}

fn world() -> (Desk, World) {
    world_with(settings())
}

fn world_with(settings: Settings) -> (Desk, World) {
    let (desk, resolver) = Desk::new();
    (desk, World::with_resolver(settings, resolver))
}

fn named(host: &str) -> Ask {
    ask("GET", &format!("http://{host}/"))
}

fn serve(w: &World, at: &[&str]) {
    at.iter().for_each(|at| w.net.listen(inet(at)).always(Script::new().expect_head().send(OK).again()));
}

fn swallow(w: &World, at: &[&str]) {
    at.iter().for_each(|at| w.net.listen(inet(at)).always(Script::new().black_hole()));
}

/// Where connections went to, in order.
fn tried(w: &World) -> Vec<String> {
    (0..w.opened() as usize).map(|n| w.conn(n).to.to_string()).collect()
}

#[test]
fn ipv6_first_connects_at_once() {
    let (mut desk, mut w) = world();
    serve(&w, &[V6A, V4A]);
    let xid = w.submit(&named("x.test"));
    desk.questions(2);
    assert_eq!(w.opened(), 0);
    desk.answer(&mut w, "x.test", Family::V6, ips(&[V6A]));
    w.log(xid).assert_ok(200, b"hi");
    assert_eq!(tried(&w), [V6A]);
    // The late answer completes the entry, and finds nobody.
    desk.answer(&mut w, "x.test", Family::V4, ips(&[V4A]));
    assert_eq!(w.opened(), 1);
    w.close();
}

#[test]
fn ipv4_first_waits_for_ipv6_no_longer_than_its_delay() {
    // IPv6 comes in time.
    let (mut desk, mut w) = world();
    serve(&w, &[V6A, V4A]);
    let xid = w.submit(&named("x.test"));
    desk.questions(2);
    desk.answer(&mut w, "x.test", Family::V4, ips(&[V4A]));
    w.pass(49 * MS);
    assert_eq!(w.opened(), 0);
    desk.answer(&mut w, "x.test", Family::V6, ips(&[V6A]));
    w.log(xid).assert_ok(200, b"hi");
    assert_eq!(tried(&w), [V6A]);
    w.close();
    // It does not.
    let (mut desk, mut w) = world();
    serve(&w, &[V6A, V4A]);
    let xid = w.submit(&named("x.test"));
    desk.questions(2);
    desk.answer(&mut w, "x.test", Family::V4, ips(&[V4A]));
    w.pass(50 * MS);
    w.log(xid).assert_ok(200, b"hi");
    assert_eq!(tried(&w), [V4A]);
    // Whoever asks meanwhile uses what is there, and does not ask again.
    let second = w.submit(&Ask { close: true, ..named("x.test") });
    w.finish(second);
    desk.questions(1);
    w.close();
}

#[test]
fn a_name_of_one_family_is_not_delayed_by_the_failure_of_the_other() {
    for (there, at, missing) in [(Family::V4, V4A, Family::V6), (Family::V6, V6A, Family::V4)] {
        for error in [ResolveError::NotFound, ResolveError::Temporary, ResolveError::System(libc::EMFILE)] {
            for failure_first in [true, false] {
                let (mut desk, mut w) = world();
                serve(&w, &[at]);
                let start = w.net.now();
                let xid = w.submit(&named("x.test"));
                desk.questions(2);
                if failure_first {
                    desk.answer(&mut w, "x.test", missing, Err(error));
                    assert!(w.log(xid).end.is_none());
                    desk.answer(&mut w, "x.test", there, ips(&[at]));
                } else {
                    desk.answer(&mut w, "x.test", there, ips(&[at]));
                    desk.answer(&mut w, "x.test", missing, Err(error));
                }
                w.log(xid).assert_ok(200, b"hi");
                assert_eq!(w.net.now(), start);
                w.close();
            }
        }
    }
}

#[test]
fn a_name_without_addresses_fails_with_the_error_that_says_most() {
    use ResolveError::{Failed, NotFound, Temporary};
    for (v6, v4, code) in [
        (NotFound, NotFound, e::CHTTP_E_NAME_NOT_FOUND),
        (NotFound, Temporary, e::CHTTP_E_NAME_TEMPORARY),
        (Temporary, NotFound, e::CHTTP_E_NAME_TEMPORARY),
        (Failed(libc::EAI_FAIL), NotFound, e::CHTTP_E_NAME_FAILED),
        (NotFound, Failed(libc::EAI_FAIL), e::CHTTP_E_NAME_FAILED),
    ] {
        let (mut desk, mut w) = world();
        let xid = w.submit(&named("x.test"));
        desk.questions(2);
        desk.answer(&mut w, "x.test", Family::V6, Err(v6));
        desk.answer(&mut w, "x.test", Family::V4, Err(v4));
        assert_eq!(w.log(xid).code(), code);
        assert_eq!(w.log(xid).end.as_ref().unwrap().why.unwrap().0, Phase::Resolving);
        assert_eq!((w.opened(), w.pool()), (0, (0, 0, 0)));
        w.close();
    }
}

#[test]
fn a_dead_address_costs_a_quarter_of_a_second_and_its_socket_is_closed() {
    let (mut desk, mut w) = world();
    swallow(&w, &[V6A]);
    serve(&w, &[V4A]);
    let xid = w.submit(&named("x.test"));
    desk.questions(2);
    desk.answer(&mut w, "x.test", Family::V4, ips(&[V4A]));
    desk.answer(&mut w, "x.test", Family::V6, ips(&[V6A, V6B]));
    w.pass(250 * MS - 1);
    assert_eq!((w.opened(), w.pool()), (1, (1, 0, 1)));
    w.pass(1);
    w.log(xid).assert_ok(200, b"hi");
    assert_eq!(tried(&w), [V6A, V4A]);
    assert_eq!((w.conn(0).closed, w.open(), w.pool()), (Some(Closed::Reset), 1, (1, 1, 0)));
    // No attempt follows the end of the race.
    w.pass(10 * SECOND);
    assert_eq!(w.opened(), 2);
    w.close();
}

#[test]
fn a_refusal_costs_nothing_and_the_delay_is_an_option() {
    let (mut desk, mut w) = world_with(Settings { attempt_delay_ns: SECOND, ..settings() });
    swallow(&w, &[V6B]);
    serve(&w, &[V4B]);
    let start = w.net.now().0;
    let xid = w.submit(&named("x.test"));
    desk.questions(2);
    desk.answer(&mut w, "x.test", Family::V4, ips(&[V4A, V4B]));
    desk.answer(&mut w, "x.test", Family::V6, ips(&[V6A, V6B]));
    assert_eq!(tried(&w), [V6A, V4A, V6B], "nobody listens at the first two");
    w.finish(xid);
    assert_eq!(w.net.now().0, start + SECOND);
    assert_eq!((tried(&w).len(), w.open()), (4, 1));
    w.close();
}

#[test]
fn the_slow_one_wins_if_the_others_are_dead() {
    let (mut desk, mut w) = world();
    let slow = Script::new().connect_delay(700 * MS).expect_head().send(OK);
    w.net.listen(inet(V6A)).connection(slow);
    swallow(&w, &[V4A, V4B, V6B]);
    let xid = w.submit(&named("x.test"));
    desk.questions(2);
    desk.answer(&mut w, "x.test", Family::V6, ips(&[V6A, V6B]));
    desk.answer(&mut w, "x.test", Family::V4, ips(&[V4A, V4B]));
    w.finish(xid);
    w.log(xid).assert_ok(200, b"hi");
    assert_eq!(tried(&w), [V6A, V4A, V6B]);
    assert_eq!(w.pool(), (1, 1, 0));
    w.close();
}

#[test]
fn all_addresses_dead() {
    // All refuse: at once, and the message tells it.
    let (mut desk, mut w) = world();
    let start = w.net.now();
    let xid = w.submit(&named("x.test"));
    desk.questions(2);
    desk.answer(&mut w, "x.test", Family::V6, ips(&[V6A]));
    assert!(w.log(xid).end.is_none(), "IPv4 may be better");
    desk.answer(&mut w, "x.test", Family::V4, ips(&[V4A, V4B]));
    let end = w.log(xid).end.clone().unwrap();
    assert_eq!((end.error, w.net.now()), (e::CHTTP_E_CONNECT_REFUSED, start));
    let all = format!("{V6A} refused, {V4A} refused, {V4B} refused");
    assert!(end.message.starts_with("x.test:80: ") && end.message.contains(&all), "{}", end.message);
    assert_eq!(end.why.unwrap().0, Phase::Connecting);
    assert_eq!(w.pool(), (0, 0, 0));
    w.close();
    // None answers: the deadline, counted from the first attempt.
    let (mut desk, mut w) = world();
    swallow(&w, &[V6A, V4A]);
    let xid = w.submit(&Ask { timeouts: Timeouts { connect: 2 * SECOND, ..never() }, ..named("x.test") });
    desk.questions(2);
    w.pass(5 * SECOND);
    let start = w.net.now().0;
    desk.answer(&mut w, "x.test", Family::V6, ips(&[V6A]));
    desk.answer(&mut w, "x.test", Family::V4, ips(&[V4A]));
    w.finish(xid);
    let end = w.log(xid).end.clone().unwrap();
    assert_eq!((end.error, end.at), (e::CHTTP_E_TIMEOUT_CONNECT, start + 2 * SECOND));
    assert!(end.message.contains(&format!("{V6A} no answer, {V4A} no answer")), "{}", end.message);
    assert_eq!((w.open(), w.pool()), (0, (0, 0, 0)));
    w.close();
}

/// Bring a dial into a state: what was answered, and how much time passed.
fn dial_in(state: &str) -> (Desk, World, u64) {
    let (mut desk, mut w) = world();
    swallow(&w, &[V6A, V6B, V4A, V4B]);
    let xid = w.submit(&named("x.test"));
    desk.questions(2);
    match state {
        "asked" => {}
        "held" => desk.answer(&mut w, "x.test", Family::V4, ips(&[V4A])),
        "one attempt" => desk.answer(&mut w, "x.test", Family::V6, ips(&[V6A, V6B])),
        "three attempts" => {
            desk.answer(&mut w, "x.test", Family::V6, ips(&[V6A, V6B]));
            desk.answer(&mut w, "x.test", Family::V4, ips(&[V4A, V4B]));
            w.pass(600 * MS);
            assert_eq!(w.open(), 3);
        }
        "the other family awaited" => {
            desk.answer(&mut w, "x.test", Family::V6, ips(&["[2001:db8::dead]:80"]));
            assert_eq!((w.opened(), w.open()), (1, 0));
        }
        other => panic!("{other}"),
    }
    assert_eq!(w.pool(), (1, 0, 1), "one place, {state}");
    (desk, w, xid)
}

const STATES: [&str; 5] = ["asked", "held", "one attempt", "three attempts", "the other family awaited"];

#[test]
fn cancelled_in_every_state() {
    for state in STATES {
        let (desk, mut w, xid) = dial_in(state);
        w.engine.cancel(xid).unwrap();
        w.settle();
        assert_eq!(w.log(xid).code(), e::CHTTP_E_CANCELLED, "{state}");
        assert_eq!((w.open(), w.pool()), (0, (0, 0, 0)), "{state}");
        drop(desk);
        w.pass(10 * SECOND);
        assert_eq!(w.open(), 0);
        w.close();
    }
}

#[test]
fn stopped_in_every_state() {
    for state in STATES {
        let (_desk, mut w, xid) = dial_in(state);
        w.stop();
        while w.turn() {}
        assert_eq!(w.log(xid).code(), e::CHTTP_E_ENGINE_CLOSED, "{state}");
        w.close();
    }
}

#[test]
fn timed_out_in_every_state() {
    for state in ["asked", "held", "one attempt"] {
        let (mut desk, mut w) = world();
        swallow(&w, &[V6A, V6B, V4A, V4B]);
        let xid = w.submit(&Ask { timeouts: Timeouts { total: 40 * MS, ..never() }, ..named("x.test") });
        desk.questions(2);
        match state {
            "held" => desk.answer(&mut w, "x.test", Family::V4, ips(&[V4A])),
            "one attempt" => desk.answer(&mut w, "x.test", Family::V6, ips(&[V6A])),
            _ => assert_eq!(state, "asked"),
        }
        w.finish(xid);
        assert_eq!(w.log(xid).code(), e::CHTTP_E_TIMEOUT_TOTAL);
        assert_eq!((w.open(), w.pool()), (0, (0, 0, 0)));
        w.close();
    }
}

#[test]
fn an_heir_takes_over_all_attempts() {
    // One place for two: the first is cancelled while its dial has two attempts under way.
    let (desk, resolver) = Desk::new();
    let (mut desk, mut w) = (desk, World::with_resolver(pooled(1, 1), resolver));
    swallow(&w, &[V6A]);
    w.net.listen(inet(V4A)).always(Script::new().connect_delay(SECOND).expect_head().send(OK));
    let first = w.submit(&named("x.test"));
    let second = w.submit(&named("x.test"));
    desk.questions(2);
    desk.answer(&mut w, "x.test", Family::V6, ips(&[V6A]));
    desk.answer(&mut w, "x.test", Family::V4, ips(&[V4A]));
    w.pass(300 * MS);
    assert_eq!((w.open(), w.pool()), (2, (1, 0, 2)));
    w.engine.cancel(first).unwrap();
    w.settle();
    assert_eq!((w.open(), w.pool()), (2, (1, 0, 1)), "nothing is begun anew");
    w.finish(second);
    w.log(second).assert_ok(200, b"hi");
    assert_eq!(w.opened(), 2);
    w.close();
}

#[test]
fn one_question_for_all_who_ask_and_a_cache() {
    let (mut desk, mut w) = world_with(Settings { dns_cache_ns: 30 * SECOND, ..settings() });
    serve(&w, &[V4A]);
    let ask = Ask { close: true, ..named("x.test") };
    let xids: Vec<u64> = (0..5).map(|_| w.submit(&ask)).collect();
    desk.questions(2);
    desk.answer(&mut w, "x.test", Family::V6, Err(ResolveError::NotFound));
    desk.answer(&mut w, "x.test", Family::V4, ips(&[V4A]));
    xids.iter().for_each(|xid| w.log(*xid).assert_ok(200, b"hi"));
    // Known, that there is no IPv6 included.
    w.pass(30 * SECOND - 1);
    let start = w.net.now();
    w.run(&ask).assert_ok(200, b"hi");
    assert_eq!(w.net.now(), start);
    desk.questions(0);
    // Out of date.
    w.pass(1);
    w.submit(&ask);
    desk.questions(2);
    // A name without any address is not kept.
    desk.answer(&mut w, "x.test", Family::V6, Err(ResolveError::NotFound));
    desk.answer(&mut w, "x.test", Family::V4, Err(ResolveError::NotFound));
    w.submit(&ask);
    desk.questions(2);
    w.close();
}

#[test]
fn a_thousand_addresses_hurt_nobody() {
    // They refuse.
    let many = || Ok((0..1000u32).map(|i| IpAddr::V4((0xc612_0000 + i).into())).collect());
    let (mut desk, mut w) = world();
    let xid = w.submit(&named("x.test"));
    desk.questions(2);
    desk.answer(&mut w, "x.test", Family::V6, Err(ResolveError::NotFound));
    desk.answer(&mut w, "x.test", Family::V4, many());
    let end = w.log(xid).end.clone().unwrap();
    assert_eq!((end.error, w.opened() as usize), (e::CHTTP_E_CONNECT_REFUSED, ATTEMPTS_MAX));
    assert!(end.message.len() < 1000 && end.message.contains("and 56 more"), "{}", end.message);
    w.close();
    // They do not answer.
    let (mut desk, mut w) = world();
    for i in 0..64u32 {
        swallow(&w, &[&format!("198.18.0.{i}:80")]);
    }
    let xid = w.submit(&Ask { timeouts: Timeouts { connect: 30 * SECOND, ..never() }, ..named("x.test") });
    desk.questions(2);
    desk.answer(&mut w, "x.test", Family::V6, Err(ResolveError::NotFound));
    desk.answer(&mut w, "x.test", Family::V4, many());
    w.pass(29 * SECOND);
    assert_eq!((w.open() as usize, w.pool()), (UNDER_WAY_MAX, (1, 0, 1)));
    w.finish(xid);
    assert_eq!(w.log(xid).code(), e::CHTTP_E_TIMEOUT_CONNECT);
    assert_eq!(w.open(), 0);
    w.close();
}

#[test]
fn addresses_are_never_asked_for() {
    let (mut desk, mut w) = world();
    serve(&w, &["127.0.0.1:80", "[::1]:8080"]);
    w.run(&ask("GET", "http://127.0.0.1/")).assert_ok(200, b"hi");
    w.run(&ask("GET", "http://[::1]:8080/")).assert_ok(200, b"hi");
    desk.questions(0);
    w.close();
}

#[test]
fn requests_that_differ_in_one_setting_of_the_network_share_no_connection() {
    let (_desk, mut w) = world();
    serve(&w, &["127.0.0.1:80", "127.0.0.1:81", "127.0.0.2:80"]);
    w.net.listen(Address::Unix("/s".into())).always(Script::new().expect_head().send(OK).again());
    let base = get();
    let to = |to: Address| Ask { to: Some(to), ..get() };
    let local = |local: &str| Ask { bind: Bind { local: Some(local.parse().unwrap()), interface: None }, ..get() };
    let interface = |name: &str| Ask { bind: Bind { local: None, interface: Some(name.into()) }, ..get() };
    let asks = [
        base,
        to(inet("127.0.0.1:80")),
        to(inet("127.0.0.1:81")),
        to(inet("127.0.0.2:80")),
        to(Address::Unix("/s".into())),
        local("127.0.0.1"),
        local("127.0.0.2"),
        interface("lo"),
        interface("eth0"),
    ];
    for round in [false, true] {
        for (i, ask) in asks.iter().enumerate() {
            let log = w.run(ask);
            log.assert_ok(200, b"hi");
            assert_eq!(log.is_reused(), round, "request {i}");
        }
        assert_eq!(w.opened() as usize, asks.len());
    }
    for (i, ask) in asks.iter().enumerate() {
        let conn = w.conn(i);
        assert_eq!((&conn.to, &conn.bind), (ask.to.as_ref().unwrap_or(&inet("127.0.0.1:80")), &ask.bind));
    }
    w.close();
}

#[test]
fn an_override_needs_no_name() {
    let (mut desk, mut w) = world();
    serve(&w, &["127.0.0.1:8443"]);
    w.run(&Ask { to: Some(inet("127.0.0.1:8443")), ..named("x.test") }).assert_ok(200, b"hi");
    let heads = w.conn(0).heads;
    assert!(heads[0].windows(12).any(|line| line == b"Host: x.test"), "the URL stays what it is");
    desk.questions(0);
    w.close();
}

#[test]
fn a_local_address_reaches_its_own_family_alone() {
    let (mut desk, mut w) = world();
    serve(&w, &[V6A, V4A]);
    let bind = Bind { local: Some("127.0.0.2".parse().unwrap()), interface: None };
    let xid = w.submit(&Ask { bind: bind.clone(), ..named("x.test") });
    desk.questions(2);
    desk.answer(&mut w, "x.test", Family::V6, ips(&[V6A, V6B]));
    desk.answer(&mut w, "x.test", Family::V4, ips(&[V4A]));
    w.log(xid).assert_ok(200, b"hi");
    assert_eq!(tried(&w), [V4A]);
    let log = w.run(&Ask { bind, ..ask("GET", "http://[2001:db8::a]/") });
    assert_eq!(log.code(), e::CHTTP_E_CONNECT_FAILED);
    w.close();
}

#[test]
fn what_is_no_name_is_not_asked_for() {
    let (mut desk, mut w) = world();
    // The longest host of a URL is longer than any name.
    let log = w.run(&named(&"a".repeat(255)));
    assert_eq!(log.code(), e::CHTTP_E_NAME_NOT_FOUND);
    desk.questions(0);
    assert_eq!((w.opened(), w.pool()), (0, (0, 0, 0)));
    w.close();
}

#[test]
fn a_family_that_never_answers() {
    let (mut desk, mut w) = world();
    serve(&w, &[V4A]);
    let ask = Ask { close: true, ..named("x.test") };
    w.submit(&ask);
    desk.questions(2);
    desk.answer(&mut w, "x.test", Family::V4, ips(&[V4A]));
    // Each of them waits its 50 ms and asks nobody. That none stays on the list of those who wait, every audit sees.
    for _ in 0..100 {
        w.run(&ask).assert_ok(200, b"hi");
    }
    desk.questions(1);
    w.close();
}

#[test]
fn questions_that_nobody_asks_any_more_hold_up_nobody() {
    let (mut desk, mut w) = world();
    // As many as there are workers.
    let stuck = [w.submit(&named("a.test")), w.submit(&named("b.test"))];
    desk.questions(4);
    for i in 0..50 {
        let xid = w.submit(&named(&format!("{i}.test")));
        w.engine.cancel(xid).unwrap();
        w.settle();
    }
    w.submit(&named("z.test"));
    desk.answer(&mut w, "a.test", Family::V6, Err(ResolveError::NotFound));
    desk.questions(4);
    assert!(desk.open.iter().any(|(host, ..)| host == "z.test"));
    // What a worker has begun goes on, and is not asked twice.
    w.engine.cancel(stuck[1]).unwrap();
    w.settle();
    let again = w.submit(&named("b.test"));
    desk.answer(&mut w, "b.test", Family::V6, Err(ResolveError::NotFound));
    desk.questions(4);
    desk.answer(&mut w, "b.test", Family::V4, Err(ResolveError::NotFound));
    assert_eq!(w.log(again).code(), e::CHTTP_E_NAME_NOT_FOUND);
    w.close();
}

/// Names, answers, cancels and time in a random order: every turn's audit holds, and nothing is left at the end. Only the
/// moment at which a worker takes a question up is not the seed's.
#[test]
fn no_order_of_events_loses_a_place() {
    for seed in 1..300u64 {
        let mut dice = Dice::new(seed);
        let (mut desk, resolver) = Desk::new();
        let mut w = World::with_resolver(pooled(2, 3), resolver);
        for at in [V6A, V6B, V4A, V4B] {
            let script = match dice.roll(4) {
                0 => Script::new().refuse(),
                1 => Script::new().black_hole(),
                2 => Script::new().connect_delay(dice.roll(600) * MS).expect_head().send(OK).again(),
                _ => Script::new().expect_head().send(OK).again(),
            };
            w.net.listen(inet(at)).always(script);
        }
        let mut xids = Vec::new();
        for _ in 0..60 {
            desk.open.extend(desk.asked.try_iter());
            match dice.roll(5) {
                0 | 1 => {
                    let timeouts = Timeouts { connect: SECOND, dns: SECOND, total: 3 * SECOND, ..never() };
                    let host = dice.pick(&["a.test", "b.test", "c.test"]);
                    xids.push(w.submit(&Ask { timeouts, close: dice.one_in(2), ..named(host) }));
                }
                2 if !desk.open.is_empty() => {
                    let (host, family, _) = desk.open[dice.roll(desk.open.len())].clone();
                    let list = if family == Family::V6 { [V6A, V6B] } else { [V4A, V4B] };
                    let answer = match dice.roll(4) {
                        0 => Err(ResolveError::NotFound),
                        n => ips(&list[..n.min(2)]),
                    };
                    desk.answer(&mut w, &host, family, answer);
                }
                3 if !xids.is_empty() => {
                    // Perhaps it has ended.
                    let _ = w.engine.cancel(dice.pick(&xids));
                    w.settle();
                }
                _ => w.pass(dice.roll(400) * MS),
            }
        }
        w.pass(5 * SECOND);
        assert!(xids.iter().all(|xid| w.log(*xid).end.is_some()), "seed {seed}");
        assert_eq!((w.pool().0, w.pool().2), (w.open(), 0), "seed {seed}: places, sockets and waiters");
        drop(desk);
        w.close();
    }
}
