//! Streams of bytes inside of HTTP/2: CONNECT (RFC 9113 section 8.5) and Extended CONNECT (RFC 8441).

mod client;
mod h2_support;

use chttpcore::client::Settings;
use chttpcore::client::settings::Timeouts;
use chttpcore::net::backend::mock::Script;
use chttpcore::pool::Http;
use chttpcore::proto::h2::Limits;
use chttpcore::queue::event::kind;
use client::*;
use h2_support::*;

const ENABLE_CONNECT_PROTOCOL: u16 = 8;

fn get2() -> Ask {
    Ask { http: Http::Two, ..get() }
}

/// A CONNECT whose sides are closed one by one.
fn connect() -> Ask {
    Ask { http: Http::Two, load: Load::Duplex, ..ask("CONNECT", "http://127.0.0.1/chat?x=y") }
}

fn extended() -> Ask {
    Ask { protocol: Some("websocket"), ..connect() }
}

fn allowing() -> Vec<u8> {
    hello(&[(ENABLE_CONNECT_PROTOCOL, 1)])
}

const STATUS: (&str, &str) = (":status", "200");

/// It opens every tunnel, sends back what comes in one, and closes its side where ours is closed. What is no tunnel is
/// answered.
fn echo(first: Vec<u8>) -> Script {
    server(first, || {
        let mut tunnels = Vec::new();
        Box::new(move |frame, out| {
            let stream = frame.stream;
            if frame.asks() && !frame.ends() {
                tunnels.push(stream);
                out.extend(headers(stream, false, &[STATUS]));
            } else if frame.kind == DATA && tunnels.contains(&stream) {
                let by = frame.payload.len() as u32;
                if by > 0 {
                    out.extend(window_update(0, by));
                    if !frame.ends() {
                        out.extend(window_update(stream, by));
                    }
                }
                out.extend(data(stream, frame.ends(), &frame.payload));
            } else if frame.asks() {
                out.extend(ok(stream, b"hi"));
            }
        })
    })
}

/// The same with respect for our windows, and a small one of its own: it takes more when it has sent back what it took.
fn careful_echo(ours: i64, theirs: i64) -> Script {
    server(hello(&[(ENABLE_CONNECT_PROTOCOL, 1), (INITIAL_WINDOW_SIZE, theirs as u32)]), move || {
        let mut tunnels = std::collections::BTreeMap::<u32, (i64, Vec<u8>, bool)>::new();
        Box::new(move |frame, out| {
            let stream = frame.stream;
            if frame.asks() && frame.ends() {
                return out.extend(ok(stream, b"hi"));
            }
            if frame.asks() {
                tunnels.insert(stream, (ours, Vec::new(), false));
                out.extend(headers(stream, false, &[STATUS]));
            }
            let Some((room, waiting, ended)) = tunnels.get_mut(&stream) else { return };
            match frame.kind {
                WINDOW_UPDATE => *room += i64::from(frame.word(0)),
                DATA => {
                    waiting.extend_from_slice(&frame.payload);
                    *ended |= frame.ends();
                    assert!(waiting.len() as i64 <= theirs, "more than the window");
                }
                _ => {}
            }
            let piece: Vec<u8> = waiting.drain(..waiting.len().min((*room).max(0) as usize)).collect();
            *room -= piece.len() as i64;
            if !piece.is_empty() {
                out.extend(data(stream, false, &piece));
                out.extend(window_update(0, piece.len() as u32));
                out.extend(window_update(stream, piece.len() as u32));
            }
            if *ended && waiting.is_empty() {
                out.extend(data(stream, true, b""));
                tunnels.remove(&stream);
            }
        })
    })
}

fn resets(w: &World) -> Vec<u32> {
    frames(&w.conn(0).sent).iter().filter(|f| f.kind == RST_STREAM).map(|f| f.word(0)).collect()
}

#[test]
fn both_kinds_carry_bytes_until_both_sides_are_closed() {
    for ask in [connect(), extended()] {
        let mut w = World::serving(echo(allowing()));
        let xid = w.submit(&ask);
        w.write(xid, b"early ").unwrap();
        w.settle();
        w.write(xid, b"and late").unwrap();
        w.settle();
        assert_eq!((w.log(xid).status, &w.log(xid).body[..]), (200, &b"early and late"[..]));
        w.run(&get2()).assert_ok(200, b"hi");
        assert!(w.log(xid).end.is_none());
        w.write(xid, b", last").unwrap();
        w.end(xid);
        let log = w.finish(xid);
        log.assert_ok(200, b"early and late, last");
        assert_eq!(log.shape(), [kind::HEADERS, kind::BODY, kind::STREAM_END, kind::DONE]);
        w.run(&get2()).assert_ok(200, b"hi");
        assert_eq!((w.opened(), resets(&w)), (1, vec![]));
        w.close();
    }
}

#[test]
fn the_peer_may_close_its_side_first() {
    // It says bye at once, and tells how many bytes came in the end.
    let script = server(allowing(), || {
        let mut got = 0;
        Box::new(move |frame, out| {
            if frame.asks() && !frame.ends() {
                out.extend(headers(frame.stream, false, &[STATUS]));
                out.extend(data(frame.stream, true, b"bye"));
            } else if frame.kind == DATA {
                got += frame.payload.len();
            } else if frame.asks() {
                out.extend(ok(frame.stream, got.to_string().as_bytes()));
            }
        })
    });
    let mut w = World::serving(script);
    let xid = w.submit(&extended());
    w.settle();
    assert_eq!(w.log(xid).kinds, [kind::HEADERS, kind::BODY, kind::STREAM_END]);
    w.pass(SECOND);
    w.write(xid, pattern(20_000)).unwrap();
    w.settle();
    w.write(xid, b"more").unwrap();
    w.end(xid);
    w.finish(xid).assert_ok(200, b"bye");
    w.run(&get2()).assert_ok(200, b"20004");
    // And one that is given up then.
    let xid = w.submit(&extended());
    w.settle();
    w.engine.cancel(xid).unwrap();
    assert_eq!(w.finish(xid).code(), e::CHTTP_E_CANCELLED);
    w.run(&get2()).assert_ok(200, b"20004");
    assert_eq!((w.opened(), resets(&w)), (1, vec![CANCEL]));
    w.close();
}

#[test]
fn an_extended_connect_waits_for_the_settings() {
    let late = |first: Vec<u8>| Script::new().expect(PREFACE).delay(100 * MS).send(first).expect_bytes(1).fin();
    let mut w = World::serving(late(allowing()));
    let xid = w.submit(&extended());
    w.pass(99 * MS);
    assert!(frames(&w.conn(0).sent).iter().all(|f| f.kind != HEADERS), "nobody knows whether it is allowed");
    w.pass(2 * MS);
    assert_eq!(frames(&w.conn(0).sent).iter().filter(|f| f.kind == HEADERS).count(), 1);
    assert_eq!(w.finish(xid).code(), e::CHTTP_E_CLOSED_BEFORE_HEAD);
    w.close();
    // Given up meanwhile, or too late.
    let mut w = World::serving(late(allowing()));
    let xid = w.submit(&extended());
    w.pass(50 * MS);
    w.engine.cancel(xid).unwrap();
    let other = w.submit(&Ask { timeouts: Timeouts { total: 10 * MS, ..never() }, ..extended() });
    assert_eq!(w.finish(other).code(), e::CHTTP_E_TIMEOUT_TOTAL);
    w.pass(SECOND);
    assert!(frames(&w.conn(0).sent).iter().all(|f| f.kind != HEADERS));
    w.close();
    // The peer leaves without a word.
    let mut w = World::serving(Script::new().expect(PREFACE).fin());
    assert_eq!(w.run(&extended()).code(), e::CHTTP_E_CLOSED_BEFORE_HEAD);
    w.close();
}

#[test]
fn many_that_wait_are_opened_as_the_peer_allows() {
    let mut w = World::serving(echo(hello(&[(MAX_CONCURRENT_STREAMS, 2), (ENABLE_CONNECT_PROTOCOL, 1)])));
    let xids: Vec<u64> = (0..9).map(|_| w.submit(&extended())).collect();
    for xid in &xids {
        w.write(*xid, b"x").unwrap();
        w.end(*xid);
    }
    w.finish_all();
    for xid in xids {
        w.log(xid).assert_ok(200, b"x");
    }
    w.close();
}

#[test]
fn a_server_that_does_not_allow_it_says_so_by_its_silence() {
    for first in [hello(&[]), hello(&[(ENABLE_CONNECT_PROTOCOL, 0)])] {
        let mut w = World::serving(echo(first));
        for _ in 0..2 {
            let log = w.run(&extended());
            assert_eq!(log.code(), e::CHTTP_E_H2_NO_EXTENDED_CONNECT, "{:?}", log.end);
            assert!(!log.end.as_ref().unwrap().why.unwrap().2, "trying again would not help");
            w.run(&get2()).assert_ok(200, b"hi");
        }
        let xid = w.submit(&connect());
        w.end(xid);
        w.finish(xid).assert_ok(200, b"");
        assert_eq!((w.opened(), resets(&w)), (1, vec![]), "the connection serves on");
        w.close();
    }
}

#[test]
fn a_server_may_allow_it_later() {
    let mut w = World::serving(server(hello(&[]), || {
        Box::new(|frame, out| {
            if frame.asks() && frame.ends() {
                out.extend(ok(frame.stream, b"hi"));
                out.extend(allowing());
            } else if frame.ends() {
                out.extend(data(frame.stream, true, b""));
            } else if frame.asks() {
                out.extend(headers(frame.stream, false, &[STATUS]));
            }
        })
    }));
    assert_eq!(w.run(&extended()).code(), e::CHTTP_E_H2_NO_EXTENDED_CONNECT);
    w.run(&get2()).assert_ok(200, b"hi");
    let xid = w.submit(&extended());
    w.end(xid);
    w.finish(xid).assert_ok(200, b"");
    w.close();
}

#[test]
fn a_refusal_is_an_answer() {
    let mut w = World::serving(server(allowing(), || {
        Box::new(|frame, out| {
            if frame.asks() && !frame.ends() {
                out.extend(headers(frame.stream, false, &[(":status", "403"), ("why", "so")]));
                out.extend(data(frame.stream, true, b"no"));
            } else if frame.asks() {
                out.extend(ok(frame.stream, b"hi"));
            }
        })
    }));
    let xid = w.submit(&extended());
    w.write(xid, b"never sent").unwrap();
    let log = w.finish(xid);
    log.assert_ok(403, b"no");
    assert_eq!(log.shape(), [kind::HEADERS, kind::BODY, kind::DONE]);
    assert_eq!(log.fields, [("why".to_owned(), "so".to_owned())]);
    w.run(&get2()).assert_ok(200, b"hi");
    assert_eq!(w.opened(), 1);
    assert!(frames(&w.conn(0).sent).iter().all(|f| f.kind != DATA));
    w.close();
}

#[test]
fn a_reset_in_any_state_ends_the_tunnel_alone() {
    // Before the answer, open, half closed by the peer, and half closed by us.
    for state in 0..4 {
        let mut w = World::serving(server(allowing(), move || {
            Box::new(move |frame, out| {
                let (stream, asks) = (frame.stream, frame.asks());
                if asks && frame.ends() {
                    return out.extend(ok(stream, b"hi"));
                }
                if asks && state > 0 {
                    out.extend(headers(stream, false, &[STATUS]));
                    out.extend(data(stream, state == 2, b"some"));
                }
                if asks && state < 2 || frame.kind == DATA && frame.stream != 0 {
                    out.extend(rst(stream, 2));
                }
            })
        }));
        let xid = w.submit(&extended());
        w.settle();
        if state == 2 {
            w.write(xid, b"x").unwrap();
        } else if state == 3 {
            w.end(xid);
        }
        let log = w.finish(xid);
        assert_eq!((log.code(), log.is_partial()), (e::CHTTP_E_H2_STREAM_RESET, state > 0), "{state}");
        assert_eq!(log.has(kind::STREAM_END), state == 2);
        w.run(&get2()).assert_ok(200, b"hi");
        assert_eq!(w.opened(), 1);
        w.close();
    }
}

#[test]
fn both_ways_are_held_back_by_those_who_do_not_read() {
    // What the peer has sent and nobody has taken is bounded by credit and window.
    let limits = Limits { stream_window: 20_000, stream_window_max: 0, ..Limits::default() };
    let settings = Settings { h2: limits, send_buffer: 8_000, ..client::settings() };
    let mut w = World::scripted(settings, careful_echo(20_000, 5_000));
    w.hold = true;
    let xid = w.submit(&Ask { credit: 3_000, ..extended() });
    let all = pattern(300_000);
    let (mut sent, mut blocked) = (0, 0);
    while w.log(xid).body.len() < all.len() {
        while sent < all.len() {
            let piece = &all[sent..all.len().min(sent + 1_000)];
            match w.write(xid, piece) {
                Ok(()) => sent += piece.len(),
                Err(code) => {
                    assert_eq!(code, e::CHTTP_E_AGAIN, "{:?}", w.log(xid).end);
                    blocked += 1;
                    break;
                }
            }
        }
        w.settle();
        let got = w.log(xid).body.len();
        assert!(sent - got <= 20_000 + 5_000 + 8_000 + 1_000, "{sent} sent, {got} taken");
        w.release(xid);
        w.pass(2 * MS);
    }
    assert!(blocked > 5 && w.log(xid).has(kind::WRITABLE));
    assert_eq!(w.log(xid).body, all);
    w.end(xid);
    w.finish(xid);
    assert_eq!(w.log(xid).code(), 0);
    // A tunnel that nobody reads stops none of the others.
    let idle = w.submit(&Ask { credit: 1_000, ..extended() });
    w.write(idle, pattern(6_000)).unwrap();
    w.settle();
    assert!(w.log(idle).body.len() < 3_000);
    for _ in 0..10 {
        w.run(&get2()).assert_ok(200, b"hi");
    }
    w.engine.cancel(idle).unwrap();
    w.finish(idle);
    assert_eq!(w.opened(), 1);
    w.hold = false;
    w.close();
}

#[test]
fn a_lost_connection_ends_what_runs_on_it() {
    for (reply, code) in [
        (headers(1, false, &[STATUS]), e::CHTTP_E_TRUNCATED_BODY),
        ([headers(1, false, &[STATUS]), goaway(1, INTERNAL_ERROR)].concat(), e::CHTTP_E_H2_GOAWAY),
    ] {
        let asked = Script::new().expect(PREFACE).send(allowing()).delay(10 * MS);
        let script = asked.send(reply).delay(10 * MS).fin();
        let mut w = World::serving(script);
        let xid = w.submit(&extended());
        w.pass(15 * MS);
        w.write(xid, pattern(300)).unwrap();
        let log = w.finish(xid);
        assert_eq!((log.code(), log.is_partial()), (code, true));
        assert_eq!(w.pool(), (0, 0, 0));
        w.close();
    }
}

#[test]
fn silence_is_no_failure_unless_a_time_is_set() {
    let mut w = World::serving(echo(allowing()));
    let xid = w.submit(&extended());
    w.pass(1_000 * SECOND);
    assert!(w.log(xid).end.is_none());
    w.engine.cancel(xid).unwrap();
    w.finish(xid);
    let log = w.run(&Ask { timeouts: Timeouts { read: 50 * MS, ..never() }, ..extended() });
    assert_eq!(log.code(), e::CHTTP_E_TIMEOUT_READ);
    w.close();
}
