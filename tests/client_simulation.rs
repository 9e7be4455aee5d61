//! Seeded disorder: random settings, requests, peers, cuts, cancels, releases and passing time, with everything that must
//! always hold checked after each turn. A failing seed is printed; run it alone with `CHTTP_SEED=<seed>`.

mod client;
mod dice;

use chttpcore::client::Settings;
use chttpcore::client::settings::Timeouts;
use chttpcore::net::backend::mock::Script;
use client::*;
use dice::Dice;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

const SEEDS: u64 = 400;

/// The body that a peer of the simulation sends: told by its length alone.
fn body(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i ^ (i >> 8)) as u8).collect()
}

fn answer(d: &mut Dice, tunnel: bool) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    for _ in 0..d.pick(&[0, 0, 0, 1, 3]) {
        bytes.extend(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
    }
    if tunnel {
        bytes.extend(b"HTTP/1.1 200 OK\r\n\r\n");
        return (bytes, false);
    }
    let len = d.pick(&[0, 1, 2, 255, 256, 1000, 5000, 70_000]);
    match d.roll(4) {
        0 => {
            bytes.extend(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            let size = d.pick(&[1, 7, 300, 4096]).max(len / 200 + 1);
            for chunk in body(len).chunks(size) {
                bytes.extend(format!("{:x};e\r\n", chunk.len()).bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n");
            if d.one_in(2) {
                bytes.extend(b"Sum: 1\r\n");
            }
            bytes.extend(b"\r\n");
        }
        1 if d.one_in(2) => {
            bytes.extend(b"HTTP/1.1 200 OK\r\n\r\n");
            bytes.extend(body(len));
            return (bytes, true);
        }
        _ => {
            let close = d.pick(&["", "", "", "Connection: close\r\n", "Keep-Alive: timeout=1\r\n"]);
            bytes.extend(format!("HTTP/1.1 200 OK\r\n{close}Content-Length: {len}\r\n\r\n").bytes());
            bytes.extend(body(len));
        }
    }
    (bytes, false)
}

fn script(d: &mut Dice, tunnel: bool) -> Script {
    let mut s = Script::new();
    match d.roll(12) {
        0 => return s.refuse(),
        1 => return s.black_hole(),
        2 | 3 => s = s.connect_delay(d.roll(50) * MS),
        _ => {}
    }
    if d.one_in(4) {
        s = s.short_writes(d.pick(&[20, 100, 3000]));
    }
    for _ in 0..if tunnel { 1 } else { 1 + d.roll(4) } {
        s = s.expect_head();
        if d.one_in(3) {
            s = s.delay(d.roll(400) * MS);
        }
        if d.one_in(8) {
            s = s.send("HTTP/1.1 100 Continue\r\n\r\n");
        }
        let (bytes, closes) = answer(d, tunnel);
        let cut = if d.one_in(6) { d.roll(bytes.len() + 1) } else { bytes.len() };
        s = match d.roll(3) {
            0 => s.send_split(bytes[..cut].to_vec(), d.pick(&[50, 1000, 65_536])),
            1 => s.send(bytes[..cut / 2].to_vec()).delay(d.roll(300) * MS).send(bytes[cut / 2..cut].to_vec()),
            _ => s.send(bytes[..cut].to_vec()),
        };
        if closes || cut < bytes.len() {
            return match d.roll(4) {
                0 => s.rst(),
                1 => s,
                _ => s.fin(),
            };
        }
        if d.one_in(8) {
            return if d.one_in(2) { s.fin() } else { s.delay(d.roll(100) * MS).rst() };
        }
    }
    match d.roll(4) {
        0 => s.fin(),
        1 => s.rst(),
        2 => s.send("out of turn"),
        _ => s,
    }
}

fn request(d: &mut Dice, origins: u64) -> Ask {
    let origin = d.roll(origins);
    // The last origin opens tunnels.
    let tunnel = origin == origins - 1;
    let method = if tunnel { "CONNECT" } else { d.pick(&["GET", "GET", "HEAD", "POST", "PUT", "DELETE"]) };
    let mut r = ask(method, &format!("http://10.0.0.{origin}/"));
    r.collect = d.one_in(2);
    r.collect_max = d.pick(&[0, 1, 255, 256, 5000, 1 << 20]);
    r.credit = d.pick(&[1, 256, 1000, 70_000, 1 << 20]).max(if r.collect { r.collect_max } else { 1 });
    r.close = d.one_in(8);
    if tunnel {
        r.load = if d.one_in(2) { Load::Tunnel } else { Load::None };
    } else if matches!(method, "POST" | "PUT") {
        let len = d.pick(&[1, 100, 5000, 90_000]);
        r.load = match d.roll(4) {
            0 => Load::Whole(body(len).into()),
            1 => Load::Borrowed(body(len).into()),
            2 => Load::Stream(Some(len as u64)),
            _ => Load::Stream(None),
        };
        r.expect = d.one_in(4);
    }
    let t = |d: &mut Dice| if d.one_in(2) { u64::MAX } else { (1 + d.roll(2000)) * MS };
    r.timeouts = Timeouts {
        pool: t(d),
        dns: t(d),
        connect: t(d),
        tls: t(d),
        write: t(d),
        first_byte: t(d),
        read: t(d),
        // In the end everything ends.
        total: (1 + d.roll(20_000)) * MS,
        expect: d.roll(2000) * MS,
    };
    r
}

fn simulate(seed: u64) {
    let mut d = Dice::new(seed);
    let mut settings = Settings { send_buffer: d.pick(&[1, 1000, 256 << 10]), ..pooled(1, 1) };
    settings.pool.per_origin = d.pick(&[1, 2, 5]);
    settings.pool.total = d.pick(&[1, 2, 4, 100]);
    settings.pool.idle_ns = d.pick(&[0, 10 * MS, 60 * SECOND]);
    settings.pool.age_ns = d.pick(&[u64::MAX, u64::MAX, 500 * MS, 5 * SECOND]);
    settings.pool.waiting_max = d.pick(&[u64::MAX, u64::MAX, 0, 5]);
    let origins = 2 + d.roll(4);
    let mut w = World::new(settings);
    for origin in 0..origins {
        for _ in 0..60 {
            let s = script(&mut d, origin == origins - 1);
            w.net.listen(inet(&format!("10.0.0.{origin}:80"))).connection(s);
        }
    }
    if d.one_in(2) {
        w.net.chaos(seed);
    }
    w.hold = d.one_in(2);
    w.cap = d.pick(&[1, 3, 64]);
    let mut asked = Vec::new();
    let mut left = 1 + d.roll(60);
    for _ in 0..400 {
        match d.roll(8) {
            0 | 1 if left > 0 => {
                left -= 1;
                let r = request(&mut d, origins);
                let (streams, deadline) = (matches!(r.load, Load::Stream(_) | Load::Tunnel), r.timeouts.total);
                let submitted = w.net.now().0;
                asked.push((w.submit(&r), streams, r, submitted + deadline));
            }
            2 if !asked.is_empty() => {
                let (xid, streams, r, _) = &asked[d.roll(asked.len())];
                if *streams {
                    write(&mut d, &w, *xid, r);
                }
            }
            3 if !asked.is_empty() => {
                let xid = asked[d.roll(asked.len())].0;
                w.release(xid);
            }
            4 if !asked.is_empty() && d.one_in(4) => {
                let xid = asked[d.roll(asked.len())].0;
                let live = is_live(&w, xid);
                assert_eq!(w.engine.cancel(xid).is_ok(), live);
            }
            5 => w.pass(d.pick(&[0, MS, 30 * MS, 500 * MS])),
            6 if d.one_in(8) => {
                let like = request(&mut d, origins).build(0);
                w.engine.preconnect(like, d.roll(4)).unwrap();
            }
            6 => w.net.advance(d.pick(&[0, MS, 700 * MS])),
            _ => drop(w.turn()),
        }
    }
    if d.one_in(4) {
        return w.close();
    }
    // With everything released, all comes to its end by itself, and no later than the total deadline allows.
    w.hold = false;
    while w.logs.values().any(|l| l.end.is_none()) {
        let held: Vec<u64> = w.logs.iter().filter(|(_, l)| !l.held.is_empty()).map(|(x, _)| *x).collect();
        held.into_iter().for_each(|x| w.release(x));
        w.pass(100 * MS);
    }
    for (xid, _, r, _) in &asked {
        let log = w.log(*xid);
        let end = log.end.as_ref().unwrap();
        assert_ne!(end.error, e::CHTTP_E_NOMEM);
        assert!(body(log.body.len()) == log.body || log.body.starts_with(b"HTTP/1.1") || r.method == "CONNECT");
    }
    w.pass(100 * SECOND);
    assert_eq!(w.pool(), (0, 0, 0), "idle connections went in time");
    assert_eq!(w.engine.stats().origins, 0);
    w.close();
}

/// Whether an exchange has not ended for the engine; its terminal event may still wait in the queue.
fn is_live(w: &World, xid: u64) -> bool {
    w.engine.descriptor(xid) != Err(e::CHTTP_E_NOT_FOUND)
}

fn write(d: &mut Dice, w: &World, xid: u64, r: &Ask) {
    let code = match (d.one_in(3), &r.load) {
        (true, _) => w.engine.end_body(xid, chttpcore::client::upload::Piece::End),
        (false, Load::Stream(Some(len))) => w.write(xid, body((*len).min(3000) as usize)),
        _ => w.write(xid, body(d.pick(&[1, 100, 5000, 80_000]))),
    };
    let allowed = [e::CHTTP_E_AGAIN, e::CHTTP_E_NOT_FOUND, e::CHTTP_E_BAD_STATE];
    assert!(code.is_ok() || allowed.contains(&code.unwrap_err()), "{code:?}");
}

#[test]
fn seeds() {
    if let Ok(seed) = std::env::var("CHTTP_SEED") {
        return simulate(seed.parse().expect("a number"));
    }
    let count = std::env::var("CHTTP_SEEDS").map_or(SEEDS, |n| n.parse().expect("a number"));
    for seed in 0..count {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| simulate(seed))) {
            eprintln!("rerun with CHTTP_SEED={seed}");
            resume_unwind(panic);
        }
    }
}
