//! Raw streams on the virtual network and clock: bytes both ways, each side closed for itself, TLS that starts midway, and
//! every way to an end. After each turn the books are audited.

mod client;
mod tls_support;

use chttpcore::net::backend::mock::{Player, Script};
use chttpcore::proto::tls::Tls;
use chttpcore::queue::event::kind;
use client::*;
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::sync::Arc;
use tls_support::{Authority, VERSIONS, tls};

/// A turn may come this late; the wheel sorts by about a millisecond.
const LATE: u64 = 2 * MS;
const T: u64 = 3 * SECOND;

fn raw() -> Ask {
    Ask { load: Load::Raw, ..get() }
}

fn serving(script: Script) -> (World, u64) {
    let mut w = World::serving(script);
    let xid = w.submit(&raw());
    w.settle();
    (w, xid)
}

#[test]
fn bytes_go_both_ways_and_our_side_may_close_first() {
    for every in [1, 3, 100] {
        let script = Script::new().send_split("220 here", every).expect(&b"ping"[..]).send_split("pong", every);
        let (mut w, xid) = serving(script.expect_fin().send_split("bye", every).fin());
        assert_eq!((w.log(xid).status, &w.log(xid).body[..]), (0, &b"220 here"[..]));
        w.write(xid, "ping").unwrap();
        w.settle();
        assert_eq!(w.log(xid).body, b"220 herepong");
        w.end(xid);
        w.finish(xid).assert_ok(0, b"220 herepongbye");
        assert_eq!(w.log(xid).shape(), [kind::HEADERS, kind::BODY, kind::STREAM_END, kind::DONE]);
        assert_eq!((w.opened(), w.open()), (1, 0));
        w.close();
    }
}

#[test]
fn the_peer_may_close_first_and_we_write_on() {
    for short in [1, usize::MAX] {
        let script = Script::new().short_writes(short).send("all").fin().expect(&b"late words"[..]).expect_fin();
        let (mut w, xid) = serving(script);
        assert_eq!(w.log(xid).shape(), [kind::HEADERS, kind::BODY, kind::STREAM_END]);
        assert!(w.log(xid).end.is_none());
        w.write(xid, "late ").unwrap();
        w.settle();
        w.write(xid, "words").unwrap();
        w.settle();
        w.end(xid);
        w.finish(xid).assert_ok(0, b"all");
        assert!(w.net.mismatches().is_empty());
        w.close();
    }
}

#[test]
fn what_is_written_early_waits_for_the_connection() {
    let mut w = World::serving(Script::new().connect_delay(SECOND).expect(&b"early"[..]).expect_fin().fin());
    let xid = w.submit(&raw());
    w.write(xid, "early").unwrap();
    w.end(xid);
    w.finish(xid).assert_ok(0, b"");
    w.close();
}

#[test]
fn a_stream_stops_without_credit_and_goes_on_with_it() {
    let data = "0123456789".repeat(10_000);
    let mut w = World::serving(Script::new().send(data.clone().into_bytes()).fin());
    w.hold = true;
    let xid = w.submit(&Ask { credit: 10_000, ..raw() });
    w.settle();
    let got = w.log(xid).body.len();
    assert!((10_000..11_000).contains(&got), "{got}");
    assert!(!w.log(xid).has(kind::STREAM_END));
    w.hold = false;
    w.release(xid);
    w.until(|w| w.log(xid).has(kind::STREAM_END));
    w.end(xid);
    w.finish(xid).assert_ok(0, data.as_bytes());
    w.close();
}

#[test]
fn it_is_never_a_connection_of_http_nor_the_other_way_round() {
    let mut w = World::serving(Script::new());
    w.net.listen(inet("127.0.0.1:80")).always(Script::new().expect_head().send(OK).again());
    w.run(&get()).assert_ok(200, b"hi");
    assert_eq!(w.pool(), (1, 1, 0));
    let xid = w.submit(&raw());
    w.settle();
    assert_eq!(w.opened(), 2);
    w.write(xid, "GET / HTTP/1.1\r\n\r\n").unwrap();
    w.settle();
    assert_eq!(w.log(xid).body, OK.as_bytes());
    w.engine.cancel(xid).unwrap();
    assert_eq!(w.finish(xid).code(), e::CHTTP_E_CANCELLED);
    assert_eq!(w.pool(), (1, 1, 0));
    w.run(&get()).assert_ok(200, b"hi");
    assert_eq!(w.opened(), 2);
    w.close();
}

fn ends(ask: &Ask, script: Script, code: i32, phase: Phase, after: u64) {
    let mut w = World::serving(script);
    let start = w.net.now().0;
    let xid = w.submit(ask);
    w.write(xid, [0; 10_000]).unwrap();
    let log = w.finish(xid);
    let end = log.end.as_ref().unwrap();
    assert_eq!((end.error, end.why.unwrap().0), (code, phase));
    assert!((after..=after + LATE).contains(&(end.at - start)), "{} instead of {after}", end.at - start);
    assert_eq!(w.open(), 0);
    w.close();
}

#[test]
fn each_deadline_and_failure_has_its_code_and_phase() {
    let with = |set: fn(&mut chttpcore::client::settings::Timeouts)| {
        let mut ask = raw();
        set(&mut ask.timeouts);
        ask
    };
    let stuck = || Script::new().short_writes(1000).expect_bytes(1).stop_reading();
    ends(&raw(), Script::new().refuse(), e::CHTTP_E_CONNECT_REFUSED, Phase::Connecting, 0);
    ends(&with(|t| t.connect = T), Script::new().black_hole(), e::CHTTP_E_TIMEOUT_CONNECT, Phase::Connecting, T);
    ends(&with(|t| t.total = T), Script::new().black_hole(), e::CHTTP_E_TIMEOUT_TOTAL, Phase::Connecting, T);
    ends(&with(|t| t.read = T), Script::new(), e::CHTTP_E_TIMEOUT_READ, Phase::Receiving, T);
    ends(&with(|t| t.total = T), Script::new(), e::CHTTP_E_TIMEOUT_TOTAL, Phase::Receiving, T);
    ends(&with(|t| t.write = T), stuck(), e::CHTTP_E_TIMEOUT_WRITE, Phase::Receiving, T);
    ends(&raw(), Script::new().expect_bytes(1).rst(), e::CHTTP_E_CONNECTION_LOST, Phase::Receiving, 0);
}

/// Without the deadline that is asked for, silence is none.
#[test]
fn silence_behind_the_peers_end_is_no_failure() {
    let mut w = World::serving(Script::new().send("hi").fin());
    let mut ask = raw();
    ask.timeouts.read = T;
    let xid = w.submit(&ask);
    w.pass(10 * T);
    assert!(w.log(xid).end.is_none());
    w.end(xid);
    w.finish(xid).assert_ok(0, b"hi");
    w.close();
}

#[test]
fn a_reset_behind_the_peers_end_shows_when_we_write() {
    let (mut w, xid) = serving(Script::new().send("hi").fin().expect_bytes(1).rst());
    assert!(w.log(xid).has(kind::STREAM_END));
    for _ in 0..3 {
        w.write(xid, "x").ok();
        w.settle();
    }
    assert_eq!(w.finish(xid).code(), e::CHTTP_E_CONNECTION_LOST);
    w.close();
}

/// Certificates for 127.0.0.1.
fn known(version: &'static SupportedProtocolVersion) -> (Arc<Tls>, Arc<ServerConfig>) {
    let authority = Authority::new("Test CA");
    (tls(authority.trusted()), Arc::new(authority.leaf(&["127.0.0.1"]).server(&[version])))
}

/// A server of mail: a greeting when spoken to, TLS behind STARTTLS, and an echo of lines inside; QUIT closes in due
/// form.
fn mail(config: &Arc<ServerConfig>) -> Player {
    let mut tls = ServerConnection::new(config.clone()).unwrap();
    let (mut line, mut secured) = (Vec::new(), false);
    Box::new(move |mut heard| {
        let mut says = Vec::new();
        while !secured && !heard.is_empty() {
            line.push(heard[0]);
            heard = &heard[1..];
            if line.ends_with(b"\r\n") {
                secured = line == b"STARTTLS\r\n";
                says.extend_from_slice(if secured { b"220 go\r\n" } else { b"250 fine\r\n" });
                line.clear();
            }
        }
        while !heard.is_empty() && tls.read_tls(&mut heard).is_ok() {
            if let Ok(state) = tls.process_new_packets() {
                let mut plain = vec![0; state.plaintext_bytes_to_read()];
                tls.reader().read_exact(&mut plain).unwrap();
                tls.writer().write_all(&plain).unwrap();
                if plain.ends_with(b"QUIT\r\n") {
                    tls.send_close_notify();
                }
            }
        }
        while secured && tls.wants_write() {
            tls.write_tls(&mut says).unwrap();
        }
        says
    })
}

fn playing(server: &Arc<ServerConfig>, every: usize, delay: u64) -> Script {
    let server = server.clone();
    Script::new().play(every, delay, move || mail(&server))
}

/// As far as the peer's word that TLS may begin.
fn to_the_word(w: &mut World, xid: u64) {
    w.write(xid, "EHLO x\r\n").unwrap();
    w.until(|w| w.log(xid).body == b"250 fine\r\n");
    w.write(xid, "STARTTLS\r\n").unwrap();
    w.until(|w| w.log(xid).body == b"250 fine\r\n220 go\r\n");
}

#[test]
fn tls_starts_midway_however_the_bytes_are_cut() {
    for version in VERSIONS {
        let (tls, server) = known(version);
        for (every, delay) in [(usize::MAX, 0), (1, 0), (7, 0), (1000, MS), (1, MS)] {
            let mut w = World::serving(playing(&server, every, delay));
            let xid = w.submit(&raw());
            to_the_word(&mut w, xid);
            w.engine.start_tls(xid, &tls, None).unwrap();
            assert_eq!(w.engine.start_tls(xid, &tls, None).unwrap_err().code, e::CHTTP_E_BAD_STATE);
            // Said before the handshake is done: it waits for it.
            w.write(xid, "early\r\n").unwrap();
            w.until(|w| w.log(xid).body.ends_with(b"early\r\n"));
            assert_eq!(w.log(xid).count(kind::STREAM_TLS), 1);
            assert_eq!(w.engine.start_tls(xid, &tls, None).unwrap_err().code, e::CHTTP_E_BAD_STATE);
            w.write(xid, "QUIT\r\n").unwrap();
            w.until(|w| w.log(xid).has(kind::STREAM_END));
            w.end(xid);
            w.finish(xid).assert_ok(0, b"250 fine\r\n220 go\r\nearly\r\nQUIT\r\n");
            assert_eq!(w.open(), 0);
            w.close();
        }
    }
}

/// Also with more than the socket takes at once, on both sides of the word.
#[test]
fn what_was_written_before_goes_first_and_in_the_clear() {
    let (tls, server) = known(VERSIONS[0]);
    let mut w = World::serving(playing(&server, usize::MAX, 0));
    let xid = w.submit(&raw());
    w.settle();
    let filler = format!("{}\r\n", "a".repeat(200_000));
    w.write(xid, &filler).unwrap();
    w.write(xid, "STARTTLS\r\n").unwrap();
    // The turn that begins the handshake is the one that sends them.
    w.engine.start_tls(xid, &tls, Some("127.0.0.1")).unwrap();
    w.settle();
    let log = w.finish(xid);
    // The server's last word in the clear came behind the beginning: it is no TLS, and nothing of it is handed over.
    assert_eq!(log.end.as_ref().unwrap().why.unwrap().0, Phase::Securing);
    assert_eq!(e::Category::of(log.code()), Some(e::Category::Tls));
    assert!(log.body.is_empty());
    w.close();
}

#[test]
fn bytes_that_a_stranger_put_behind_the_word_are_refused() {
    let (tls, _) = known(VERSIONS[0]);
    let mut w = World::serving(Script::new().expect(&b"STARTTLS\r\n"[..]).send(vec![b'2'; 3000]));
    w.hold = true;
    let xid = w.submit(&Ask { credit: 300, ..raw() });
    w.write(xid, "STARTTLS\r\n").unwrap();
    w.settle();
    let refused = w.engine.start_tls(xid, &tls, None).unwrap_err();
    assert_eq!(refused.code, e::CHTTP_E_UNEXPECTED_DATA);
    assert!(refused.why.contains("CVE-2011-0411"), "{}", refused.why);
    // Nothing was begun: the stream goes on in the clear.
    w.hold = false;
    w.release(xid);
    w.until(|w| w.log(xid).body.len() == 3000);
    w.engine.cancel(xid).unwrap();
    assert_eq!(w.finish(xid).code(), e::CHTTP_E_CANCELLED);
    w.close();
}

#[test]
fn tls_starts_only_on_an_open_stream() {
    let (tls, server) = known(VERSIONS[0]);
    let bad = |w: &World, xid| assert_eq!(w.engine.start_tls(xid, &tls, None).unwrap_err().code, e::CHTTP_E_BAD_STATE);
    // Not open yet, and no stream at all.
    let mut w = World::serving(Script::new().connect_delay(SECOND));
    let (a, b) = (w.submit(&raw()), w.submit(&get()));
    bad(&w, a);
    w.pass(2 * SECOND);
    bad(&w, b);
    // Closed on our side, on the peer's, and altogether.
    w.end(a);
    bad(&w, a);
    w.engine.cancel(a).unwrap();
    w.finish(a);
    assert_eq!(w.engine.start_tls(a, &tls, None).unwrap_err().code, e::CHTTP_E_NOT_FOUND);
    w.engine.cancel(b).unwrap();
    w.finish(b);
    w.close();
    let (mut w, xid) = serving(Script::new().fin());
    bad(&w, xid);
    w.end(xid);
    w.finish(xid).assert_ok(0, b"");
    w.close();
    // Over https from the start.
    let mut w = World::new(settings());
    let config = server.clone();
    w.net.listen(inet("127.0.0.1:443")).always(Script::new().play(usize::MAX, 0, move || {
        let mut inner = mail(&config);
        inner(b"STARTTLS\r\n");
        inner
    }));
    let xid = w.submit(&Ask { tls: Some(tls.clone()), load: Load::Raw, ..ask("GET", "https://127.0.0.1/") });
    w.settle();
    bad(&w, xid);
    w.write(xid, "QUIT\r\n").unwrap();
    w.end(xid);
    w.finish(xid).assert_ok(0, b"QUIT\r\n");
    w.close();
}

/// A handshake that stands still, is cut, or is no handshake.
#[test]
fn a_handshake_that_fails_ends_the_stream() {
    let (tls, _) = known(VERSIONS[0]);
    let hello = || Script::new().send("go").expect_bytes(100);
    let cases = [
        (hello(), e::CHTTP_E_TIMEOUT_TLS),
        (hello().fin(), e::CHTTP_E_TLS_CLOSED),
        (hello().rst(), e::CHTTP_E_TLS_CLOSED),
        (hello().send("this is no TLS at all"), e::CHTTP_E_TLS_PROTOCOL),
    ];
    for (script, code) in cases {
        let mut w = World::serving(script);
        let mut ask = raw();
        ask.timeouts.tls = T;
        let xid = w.submit(&ask);
        w.until(|w| w.log(xid).body == b"go");
        w.engine.start_tls(xid, &tls, None).unwrap();
        w.write(xid, "secret").unwrap();
        let end = w.finish(xid).end.clone().unwrap();
        assert_eq!((end.error, end.why.unwrap().0), (code, Phase::Securing), "{}", end.message);
        assert_eq!(w.log(xid).body, b"go");
        assert_eq!(w.open(), 0);
        w.close();
    }
}

#[test]
fn a_name_that_the_certificate_is_not_for() {
    let (tls, server) = known(VERSIONS[0]);
    for (name, code) in [("other.example", e::CHTTP_E_TLS_CERT_NAME), ("no name", e::CHTTP_E_TLS_CERT_NAME)] {
        let mut w = World::serving(playing(&server, usize::MAX, 0));
        let xid = w.submit(&raw());
        to_the_word(&mut w, xid);
        w.engine.start_tls(xid, &tls, Some(name)).unwrap();
        assert_eq!(w.finish(xid).code(), code);
        w.close();
    }
}

/// Cancelled, with its queue destroyed, and with the engine's end, after every number of turns.
#[test]
fn it_may_end_at_any_moment() {
    let (tls, server) = known(VERSIONS[0]);
    for how in 0..3 {
        for steps in 0..120 {
            let mut w = World::serving(playing(&server, 100, MS));
            let xid = w.submit(&raw());
            let mut began = false;
            w.write(xid, "STARTTLS\r\n").unwrap();
            for _ in 0..steps {
                w.turn();
                if !began && w.log(xid).body.ends_with(b"220 go\r\n") {
                    began = true;
                    w.engine.start_tls(xid, &tls, None).unwrap();
                    w.write(xid, "words\r\n").unwrap();
                }
                let next = w.net.next_event().0;
                if next != u64::MAX {
                    w.net.advance(next.saturating_sub(w.net.now().0));
                }
            }
            match how {
                0 => {
                    w.engine.cancel(xid).unwrap();
                    assert_eq!(w.finish(xid).code(), e::CHTTP_E_CANCELLED);
                    assert_eq!(w.open(), 0);
                }
                1 => w.renew_queue(),
                _ => {}
            }
            w.close();
        }
    }
}

/// The stream that CONNECT leaves is one, too.
#[test]
fn tls_through_a_tunnel() {
    let (tls, server) = known(VERSIONS[0]);
    let config = server.clone();
    let script = Script::new().expect_head().send("HTTP/1.1 200 OK\r\n\r\n").play(usize::MAX, 0, move || {
        let mut inner = mail(&config);
        inner(b"STARTTLS\r\n");
        inner
    });
    let mut w = World::serving(script);
    let xid = w.submit(&Ask { load: Load::Tunnel, ..ask("CONNECT", HOST) });
    w.settle();
    assert_eq!(w.log(xid).status, 200);
    w.engine.start_tls(xid, &tls, Some("127.0.0.1")).unwrap();
    w.write(xid, "QUIT\r\n").unwrap();
    w.finish(xid).assert_ok(200, b"QUIT\r\n");
    assert_eq!(w.log(xid).count(kind::STREAM_TLS), 1);
    w.close();
}
