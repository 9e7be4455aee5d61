//! HTTP/2 over TLS on the scripted network: a body comes out of the records in which it was deciphered, however frames, records
//! and the network cut it, and what is wrong behind it takes nothing of it.

mod client;
mod h2_support;
mod tls_support;

use chttpcore::error as e;
use chttpcore::net::backend::mock::{Player, Script};
use chttpcore::pool::Http;
use chttpcore::proto::tls::{Authority as Issuer, Manner, Roots, Settings, Tls};
use chttpcore::queue::event::kind;
use client::*;
use h2_support::*;
use rustls::{ServerConfig, ServerConnection};
use std::io::{Read, Write};
use std::sync::Arc;
use tls_support::{Authority, VERSIONS, tls};

const AT: &str = "127.0.0.1:443";

/// How what the server sends is cut.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Bytes of a DATA frame, and of a record's plaintext.
    frame: usize,
    record: usize,
    /// What arrives at a time.
    wire: usize,
}

const NGINX: Cut = Cut { frame: 8192, record: 16_384, wire: usize::MAX };

fn known(version: usize) -> (Arc<Tls>, Arc<ServerConfig>) {
    let authority = Authority::new("Test CA");
    let mut server = authority.leaf(&["127.0.0.1"]).server(&[VERSIONS[version]]);
    server.alpn_protocols = vec![b"h2".to_vec()];
    (tls(authority.trusted()), Arc::new(server))
}

fn secure(tls: &Arc<Tls>) -> Ask {
    Ask { tls: Some(tls.clone()), http: Http::Two, ..ask("GET", "https://127.0.0.1/") }
}

/// An answer with a body in frames.
fn framed(stream: u32, body: &[u8], frame: usize) -> Vec<u8> {
    let mut out = headers(stream, false, &[(":status", "200")]);
    let last = body.len().div_ceil(frame) - 1;
    for (n, piece) in body.chunks(frame).enumerate() {
        out.extend(data(stream, n == last, piece));
    }
    out
}

/// A server that gives every request this body. `spoil` may change what is sent for it.
fn serving(server: &Arc<ServerConfig>, body: &[u8], cut: Cut, spoil: fn(&mut Vec<u8>)) -> Script {
    let (server, body) = (server.clone(), body.to_vec());
    Script::new().play(cut.wire, 0, move || {
        let (mut tls, body) = (ServerConnection::new(server.clone()).unwrap(), body.clone());
        let (mut inbox, mut greeted, mut known) = (Vec::new(), false, 0);
        let play: Player = Box::new(move |mut heard| {
            while !heard.is_empty() && tls.read_tls(&mut heard).is_ok() {
                if let Ok(state) = tls.process_new_packets() {
                    let at = inbox.len();
                    inbox.resize(at + state.plaintext_bytes_to_read(), 0);
                    tls.reader().read_exact(&mut inbox[at..]).unwrap();
                }
            }
            let mut wire = Vec::new();
            let flush = |tls: &mut ServerConnection, wire: &mut Vec<u8>| {
                while tls.wants_write() {
                    tls.write_tls(wire).unwrap();
                }
            };
            flush(&mut tls, &mut wire);
            if !greeted && inbox.starts_with(PREFACE) {
                greeted = true;
                tls.writer().write_all(&hello(&[])).unwrap();
                tls.writer().write_all(&frame(SETTINGS, ACK, 0, &[])).unwrap();
                flush(&mut tls, &mut wire);
            }
            if greeted {
                let all = frames(&inbox);
                for asked in all[known..].iter().filter(|f| f.asks()) {
                    let mut answer = Vec::new();
                    for piece in framed(asked.stream, &body, cut.frame).chunks(cut.record) {
                        tls.writer().write_all(piece).unwrap();
                        flush(&mut tls, &mut answer);
                    }
                    spoil(&mut answer);
                    wire.extend(answer);
                }
                known = all.len();
            }
            wire
        });
        play
    })
}

fn world(script: Script) -> World {
    let w = World::new(settings());
    w.net.listen(inet(AT)).always(script);
    w
}

#[test]
fn a_body_is_the_same_however_it_is_cut() {
    let body = pattern(35_000);
    for version in 0..VERSIONS.len() {
        let (tls, server) = known(version);
        for frame in [100, 8192, 16_384] {
            for record in [1 << 10, 16_384] {
                for wire in [1501, usize::MAX] {
                    let cut = Cut { frame, record, wire };
                    let mut w = world(serving(&server, &body, cut, |_| {}));
                    for collects in [false, true] {
                        let log = w.run(&Ask { collect: collects, ..secure(&tls) });
                        assert_eq!((log.code(), log.status, log.body == body), (0, 200, true), "{cut:?}");
                    }
                    assert_eq!(w.opened(), 1);
                    w.close();
                }
            }
        }
        // Byte by byte, and records of a byte.
        let cut = Cut { frame: 3, record: 1, wire: 1 };
        let mut w = world(serving(&server, &body[..40], cut, |_| {}));
        w.run(&secure(&tls)).assert_ok(200, &body[..40]);
        w.close();
    }
}

/// Frames smaller than a buffer's quarter are put together: an event for each would cost more than the copy.
#[test]
fn adjacent_frames_make_large_events() {
    let (tls, server) = known(1);
    let body = pattern(1 << 20);
    let mut w = world(serving(&server, &body, NGINX, |_| {}));
    let log = w.run(&secure(&tls));
    assert_eq!((log.code(), log.body == body), (0, true));
    let events = log.count(kind::BODY);
    assert!(events <= (1 << 20) / (32 << 10), "{events} events");
    w.close();
}

#[test]
fn credit_holds_back_what_comes_in_records() {
    let (tls, server) = known(1);
    let body = pattern(50_000);
    for credit in [1, 1000, 20_000] {
        for frame in [700, 8192] {
            let cut = Cut { frame, ..NGINX };
            let mut w = world(serving(&server, &body, cut, |_| {}));
            w.hold = true;
            let xid = w.submit(&Ask { credit, ..secure(&tls) });
            // The log looks after every event whether it keeps within the credit.
            w.pass(10 * MS);
            while w.log(xid).end.is_none() {
                let before = w.log(xid).body.len();
                w.release(xid);
                w.pass(10 * MS);
                assert!(w.log(xid).body.len() > before || w.log(xid).end.is_some(), "credit brings nothing");
            }
            let log = w.log(xid);
            assert_eq!((log.code(), log.body == body), (0, true), "{credit} {frame}");
            w.release(xid);
            w.close();
        }
    }
}

/// The server hears why, though more records came along with the one that is wrong.
#[test]
fn a_broken_rule_between_records_is_answered_and_takes_nothing_of_what_came_before() {
    let issuer = Arc::new(Issuer::new("Test CA").unwrap());
    let roots = vec![Arc::new(Roots::from_pem(issuer.pem().as_bytes(), "test").unwrap())];
    let trusted = tls(Settings { roots, ..Settings::default() });
    let mut manner = Manner::new(issuer);
    manner.alpn = b"h2".to_vec();
    let body = pattern(40_000);
    let sends = body.clone();
    let script = behind(Script::new().tls(manner), hello(&[]), usize::MAX, 0, move || {
        let body = sends.clone();
        Box::new(move |asked, out| {
            if asked.asks() {
                out.extend(headers(asked.stream, false, &[(":status", "200")]));
                body.chunks(8192).for_each(|piece| out.extend(data(asked.stream, false, piece)));
                // RFC 9113 section 6.9: no window grows by nothing.
                out.extend(window_update(0, 0));
                body.chunks(8192).for_each(|piece| out.extend(data(asked.stream, false, piece)));
            }
        })
    });
    let mut w = world(script);
    let log = w.run(&secure(&trusted));
    assert_eq!((log.code(), log.body == body), (e::CHTTP_E_H2_PROTOCOL, true));
    let sent = frames(&w.conn(0).sent);
    let goaway = sent.iter().find(|f| f.kind == GOAWAY).expect("the server is told");
    assert_eq!(goaway.word(4), PROTOCOL_ERROR);
    w.close();
}

/// A record that cannot be deciphered ends the connection behind those that could.
#[test]
fn a_spoilt_record_takes_nothing_of_those_before_it() {
    let body = pattern(100_000);
    for version in 0..VERSIONS.len() {
        let (tls, server) = known(version);
        for wire in [3000, usize::MAX] {
            let cut = Cut { wire, ..NGINX };
            let mut w = world(serving(&server, &body, cut, |wire| *wire.last_mut().unwrap() ^= 1));
            let log = w.run(&secure(&tls));
            assert_eq!(log.code(), e::CHTTP_E_TLS_PROTOCOL, "{:?}", log.end);
            let whole = log.body.len();
            assert!(whole >= 5 * 16_384 && whole < body.len() && log.body == body[..whole], "{whole} bytes");
            w.close();
        }
    }
}
