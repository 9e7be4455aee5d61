//! WebSockets inside of HTTP/2 (RFC 8441), on the virtual network: opened by Extended CONNECT, on a connection that requests
//! share, and the same beyond that.

mod client;
mod h2_support;
mod ws_support;

use chttpcore::client::websocket::Choices;
use chttpcore::net::backend::mock::Script;
use chttpcore::pool::Http;
use chttpcore::proto::ws::Limits;
use chttpcore::queue::event::kind;
use client::*;
use h2_support::{DATA, INITIAL_WINDOW_SIZE, RST_STREAM, data, frames, headers, hello, ok, rst, server, window_update};
use std::collections::HashMap;
use ws_support::{BINARY, CLOSE, FIN, PING, PONG, TEXT, close, frame, send, setup, unmask, websocket};

const ENABLE_CONNECT_PROTOCOL: u16 = 8;

fn get2() -> Ask {
    Ask { http: Http::Two, ..get() }
}

/// The handshake as it is asked for in HTTP/2: no key, and nothing of Upgrade.
fn over_h2(change: impl FnOnce(&mut Choices)) -> Ask {
    let mut choices = Choices::default();
    change(&mut choices);
    let mut wanted = setup(choices);
    wanted.key = None;
    wanted.protocols = "chat".into();
    Ask {
        method: "CONNECT",
        protocol: Some("websocket"),
        http: Http::Two,
        fields: vec![("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Protocol", "chat")],
        ..websocket(wanted)
    }
}

/// It agrees, sends messages back, answers PING and a Close frame, and closes its side behind that. To "bad" it answers with a
/// frame that no rule allows, to "reset" with RST_STREAM, and after "leave" it closes by itself. Requests are answered.
fn echo() -> Script {
    server(hello(&[(ENABLE_CONNECT_PROTOCOL, 1)]), || {
        let mut open = HashMap::<u32, Vec<u8>>::new();
        Box::new(move |heard, out| {
            let stream = heard.stream;
            if heard.asks() && heard.ends() {
                return out.extend(ok(stream, b"hi"));
            }
            if heard.asks() {
                open.insert(stream, Vec::new());
                return out.extend(headers(stream, false, &[(":status", "200"), ("sec-websocket-protocol", "chat")]));
            }
            let Some(bytes) = open.get_mut(&stream).filter(|_| heard.kind == DATA) else { return };
            bytes.extend_from_slice(&heard.payload);
            if !heard.payload.is_empty() {
                out.extend(window_update(0, heard.payload.len() as u32));
                out.extend(window_update(stream, heard.payload.len() as u32));
            }
            for said in unmask(bytes) {
                let (answer, end) = match (said.first & 15, &said.payload[..]) {
                    (CLOSE, body) => (frame(FIN | CLOSE, body), true),
                    (PING, body) => (frame(FIN | PONG, body), false),
                    (TEXT, b"bad") => (vec![0x83, 0], false),
                    (TEXT, b"leave") => (close(1001, "away"), true),
                    (TEXT, b"reset") => {
                        out.extend(rst(stream, 8));
                        continue;
                    }
                    (_, body) => (frame(said.first, body), false),
                };
                for piece in answer.chunks(10_000) {
                    out.extend(data(stream, false, piece));
                }
                if end {
                    out.extend(data(stream, true, b""));
                }
            }
        })
    })
}

fn messages(w: &World, xid: u64) -> Vec<Vec<u8>> {
    let said = w.log(xid).said.iter().filter(|(what, ..)| *what == kind::WS_MESSAGE);
    said.map(|(.., bytes)| bytes.clone()).collect()
}

fn resets(w: &World) -> usize {
    frames(&w.conn(0).sent).iter().filter(|f| f.kind == RST_STREAM).count()
}

#[test]
fn messages_go_both_ways_beside_requests() {
    let mut w = World::serving(echo());
    let sockets: Vec<u64> = (0..3).map(|_| w.submit(&over_h2(|_| ()))).collect();
    w.settle();
    for &xid in &sockets {
        assert_eq!(w.log(xid).status, 200);
        assert_eq!(w.log(xid).said[0], (kind::WS_OPEN, 0, false, b"chat".to_vec()));
        send(&w, xid, FIN | TEXT, b"hello").unwrap();
        send(&w, xid, FIN | BINARY, &[7; 100_000]).unwrap();
    }
    w.run(&get2()).assert_ok(200, b"hi");
    w.until(|w| sockets.iter().all(|&xid| messages(w, xid).len() == 2));
    for &xid in &sockets {
        assert_eq!(messages(&w, xid), [b"hello".to_vec(), vec![7; 100_000]]);
        send(&w, xid, FIN | CLOSE, &1000_u16.to_be_bytes()).unwrap();
        assert_eq!(w.finish(xid).code(), 0);
    }
    // All on one connection, which serves on, and no stream had to be reset.
    w.run(&get2()).assert_ok(200, b"hi");
    assert_eq!((w.opened(), w.pool(), resets(&w)), (1, (1, 1, 0), 0));
    w.close();
}

#[test]
fn each_end_is_what_it_is_over_http_1() {
    for (says, code, closed) in
        [("leave", 0, Some(1001)), ("bad", e::CHTTP_E_WS_OPCODE, None), ("reset", e::CHTTP_E_H2_STREAM_RESET, None)]
    {
        let mut w = World::serving(echo());
        let xid = w.submit(&over_h2(|_| ()));
        w.settle();
        send(&w, xid, FIN | TEXT, says.as_bytes()).unwrap();
        let log = w.finish(xid);
        assert_eq!(log.code(), code, "{says}");
        let told = log.said.iter().find(|(what, ..)| *what == kind::WS_CLOSE).map(|(_, code, ..)| *code);
        assert_eq!(told, closed);
        w.run(&get2()).assert_ok(200, b"hi");
        assert_eq!(w.opened(), 1);
        w.close();
    }
    // Cancelled: the stream is reset, and nobody else is troubled.
    let mut w = World::serving(echo());
    let xid = w.submit(&over_h2(|_| ()));
    w.settle();
    w.engine.cancel(xid).unwrap();
    assert_eq!(w.finish(xid).code(), e::CHTTP_E_CANCELLED);
    w.run(&get2()).assert_ok(200, b"hi");
    assert_eq!((w.opened(), resets(&w)), (1, 1));
    w.close();
}

#[test]
fn a_server_that_leaves_the_stream_open_is_not_waited_for_long() {
    let script = server(hello(&[(ENABLE_CONNECT_PROTOCOL, 1)]), || {
        Box::new(|heard, out| {
            let stream = heard.stream;
            if heard.asks() && heard.ends() {
                out.extend(ok(stream, b"hi"));
            } else if heard.asks() {
                out.extend(headers(stream, false, &[(":status", "200")]));
            } else if heard.kind == DATA && !heard.ends() {
                out.extend(data(stream, false, &close(1000, "")));
            }
        })
    });
    let mut w = World::serving(script);
    let xid = w.submit(&over_h2(|_| ()));
    w.settle();
    send(&w, xid, FIN | CLOSE, &1000_u16.to_be_bytes()).unwrap();
    let before = w.net.now().0;
    assert_eq!(w.finish(xid).code(), 0);
    let took = w.net.now().0 - before;
    assert!((SECOND..SECOND + 2 * MS).contains(&took), "{took} ns");
    assert_eq!((resets(&w), w.opened()), (1, 1));
    w.run(&get2()).assert_ok(200, b"hi");
    w.close();
}

#[test]
fn a_broken_rule_is_told_before_the_stream_ends() {
    let mut w = World::serving(echo());
    let xid = w.submit(&over_h2(|c| c.limits = Limits { frame: u64::MAX, message: 10 }));
    w.settle();
    send(&w, xid, FIN | TEXT, b"more than ten bytes").unwrap();
    assert_eq!(w.finish(xid).code(), e::CHTTP_E_WS_MESSAGE_TOO_LARGE);
    let mut sent: Vec<u8> =
        frames(&w.conn(0).sent).into_iter().filter(|f| f.kind == DATA).flat_map(|f| f.payload).collect();
    let last = unmask(&mut sent).pop().unwrap();
    assert_eq!((last.first, last.payload), (FIN | CLOSE, 1009_u16.to_be_bytes().to_vec()));
    w.close();
}

#[test]
fn credit_holds_one_back_and_not_the_others() {
    let mut w = World::serving(echo());
    w.hold = true;
    let slow = w.submit(&Ask { credit: 5_000, ..over_h2(|_| ()) });
    let quick = w.submit(&over_h2(|_| ()));
    w.settle();
    for _ in 0..100 {
        send(&w, slow, FIN | TEXT, b"small").unwrap();
        send(&w, quick, FIN | TEXT, b"small").unwrap();
    }
    w.settle();
    assert_eq!((messages(&w, slow).len(), messages(&w, quick).len()), (20, 100));
    w.hold = false;
    w.release(slow);
    w.until(|w| messages(w, slow).len() == 100);
    for xid in [slow, quick] {
        send(&w, xid, FIN | CLOSE, b"").unwrap();
        assert_eq!(w.finish(xid).code(), 0);
    }
    w.close();
}

#[test]
fn a_flood_of_pings_behind_a_shut_window_is_answered_to_a_bound() {
    const PINGS: u32 = 2_000;
    let ping = |i: u32| frame(FIN | PING, &[&i.to_be_bytes()[..], &[7; 100]].concat());
    let script = server(hello(&[(ENABLE_CONNECT_PROTOCOL, 1), (INITIAL_WINDOW_SIZE, 10)]), move || {
        let mut socket = 0;
        Box::new(move |heard, out| {
            if heard.asks() && heard.ends() {
                // The window is open from here on.
                out.extend(window_update(socket, 1 << 20));
                out.extend(ok(heard.stream, b"hi"));
            } else if heard.asks() {
                socket = heard.stream;
                out.extend(headers(socket, false, &[(":status", "200"), ("sec-websocket-protocol", "chat")]));
            } else if heard.kind == DATA && heard.payload.len() == 8 {
                let pings: Vec<u8> = (0..PINGS).flat_map(ping).collect();
                out.extend(pings.chunks(10_000).flat_map(|piece| data(socket, false, piece)));
            }
        })
    });
    let mut w = World::serving(script);
    let xid = w.submit(&over_h2(|_| ()));
    w.settle();
    send(&w, xid, FIN | TEXT, b"go").unwrap();
    w.settle();
    w.run(&get2()).assert_ok(200, b"hi");
    w.settle();
    let mut sent: Vec<u8> =
        frames(&w.conn(0).sent).into_iter().filter(|f| f.kind == DATA).flat_map(|f| f.payload).collect();
    let pongs: Vec<_> = unmask(&mut sent).into_iter().filter(|said| said.first & 15 == PONG).collect();
    assert!(pongs.len() < 200, "{} answers waited", pongs.len());
    assert_eq!(pongs.last().unwrap().payload[..4], (PINGS - 1).to_be_bytes());
    w.engine.cancel(xid).unwrap();
    w.finish(xid);
    w.close();
}

#[test]
fn a_server_that_allows_none_or_refuses_is_told_apart() {
    let mut w = World::serving(server(hello(&[]), || Box::new(|_, _| ())));
    let xid = w.submit(&over_h2(|_| ()));
    assert_eq!(w.finish(xid).code(), e::CHTTP_E_H2_NO_EXTENDED_CONNECT);
    w.close();
    let refusing = server(hello(&[(ENABLE_CONNECT_PROTOCOL, 1)]), || {
        Box::new(|heard, out| {
            if heard.asks() {
                out.extend(headers(heard.stream, false, &[(":status", "403")]));
                out.extend(data(heard.stream, true, b"no"));
            }
        })
    });
    let mut w = World::serving(refusing);
    let xid = w.submit(&over_h2(|_| ()));
    send(&w, xid, FIN | TEXT, b"early").unwrap();
    w.finish(xid).assert_ok(403, b"no");
    w.close();
}
