//! The whole client over HTTP/2, on the scripted network: streams, connections, replays, flow control.

mod client;
mod h2_support;

use chttpcore::client::Settings;
use chttpcore::client::settings::Timeouts;
use chttpcore::net::backend::mock::Script;
use chttpcore::pool::{Http, Reason};
use chttpcore::proto::h2::Limits;
use chttpcore::queue::event::kind;
use client::*;
use h2_support::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

fn two(ask: Ask) -> Ask {
    Ask { http: Http::Two, ..ask }
}

fn get2() -> Ask {
    two(get())
}

fn at(path: &str) -> Ask {
    two(ask("GET", &format!("{HOST}{path}")))
}

/// Frames of one kind that a connection has sent.
fn sent(w: &World, conn: usize, kind: u8) -> Vec<Frame> {
    frames(&w.conn(conn).sent).into_iter().filter(|f| f.kind == kind).collect()
}

#[test]
fn one_answer_in_either_form() {
    let mut w = World::serving(each(hello(&[]), |stream| ok(stream, b"hi")));
    let log = w.run(&get2());
    log.assert_ok(200, b"hi");
    assert_eq!(log.shape(), [kind::HEADERS, kind::BODY, kind::DONE]);
    assert_eq!(log.fields, [("server".to_owned(), "hand".to_owned())]);
    assert!(!log.is_reused());
    let log = w.run(&collect(get2()));
    log.assert_ok(200, b"hi");
    assert_eq!((log.shape(), log.reason), (vec![kind::RESPONSE], Reason::Reused));
    assert_eq!((w.opened(), w.pool()), (1, (1, 1, 0)));
    w.close();
}

#[test]
fn what_is_submitted_in_one_turn_leaves_in_one_piece_and_on_one_connection() {
    let mut w = World::serving(each(hello(&[]), |stream| ok(stream, b"hi")));
    w.run(&get2());
    let before = w.conn(0).sent.len();
    let xids: Vec<u64> = (0..100).map(|_| w.submit(&get2())).collect();
    w.finish_all();
    for xid in xids {
        w.log(xid).assert_ok(200, b"hi");
    }
    assert!(w.conn(0).sent.len() > before);
    assert_eq!(w.opened(), 1);
    w.close();
}

#[test]
fn a_burst_waits_for_the_first_connection_and_opens_as_many_as_it_fills() {
    let mut w = World::serving(each(hello(&[(MAX_CONCURRENT_STREAMS, 10)]), |stream| ok(stream, b"hi")));
    let xids: Vec<u64> = (0..135).map(|_| w.submit(&get2())).collect();
    assert_eq!(w.opened(), 1, "nobody knows yet what a connection carries");
    w.finish_all();
    for xid in xids {
        w.log(xid).assert_ok(200, b"hi");
    }
    let (open, idle, waiting) = w.pool();
    assert!(open <= 13 && idle == open && waiting == 0, "{open} connections");
    w.close();
}

#[test]
fn streams_that_run_out_are_made_up_for_by_connections() {
    // Nobody is answered before 30 requests are there, 10 to a connection.
    let asked = Arc::new(AtomicU32::new(0));
    let slow = paced(hello(&[(MAX_CONCURRENT_STREAMS, 10)]), usize::MAX, MS, move || {
        let asked = asked.clone();
        let mut mine = Vec::new();
        Box::new(move |frame, out| {
            if frame.asks() {
                mine.push(frame.stream);
                asked.fetch_add(1, Ordering::SeqCst);
                // An answer to a PING, which the client gives at once, brings us back here.
                out.extend(h2_support::frame(PING, 0, 0, &[0; 8]));
            }
            if frame.kind == PING && frame.flags & ACK != 0 {
                if asked.load(Ordering::SeqCst) >= 30 {
                    mine.drain(..).for_each(|stream| out.extend(ok(stream, b"hi")));
                } else if !mine.is_empty() {
                    out.extend(h2_support::frame(PING, 0, 0, &[0; 8]));
                }
            }
        })
    });
    let mut w = World::serving(slow);
    // The first one learns how many streams there are.
    let first = w.submit(&get2());
    w.pass(3 * MS);
    let xids: Vec<u64> = (0..29).map(|_| w.submit(&get2())).chain([first]).collect();
    w.finish_all();
    for xid in xids {
        w.log(xid).assert_ok(200, b"hi");
    }
    assert_eq!(w.opened(), 3);
    w.close();
}

/// What one connection has told of the peer's limit holds for those that come after it, before they are told themselves.
#[test]
fn a_new_connection_begins_with_no_more_streams_than_the_last_one_allowed() {
    let slow = paced(hello(&[(MAX_CONCURRENT_STREAMS, 10)]), usize::MAX, 20 * MS, || {
        Box::new(|frame, out| {
            if frame.ends() {
                out.extend(ok(frame.stream, b"hi"));
            }
        })
    });
    let mut w = World::serving(slow);
    w.run(&get2()).assert_ok(200, b"hi");
    let xids: Vec<u64> = (0..95).map(|_| w.submit(&get2())).collect();
    w.pass(19 * MS);
    for n in 1..w.opened() as usize {
        assert!(sent(&w, n, HEADERS).len() <= 10, "connection {n} was begun with {}", sent(&w, n, HEADERS).len());
    }
    w.finish_all();
    for xid in xids {
        w.log(xid).assert_ok(200, b"hi");
    }
    assert_eq!(w.opened(), 10);
    w.close();
}

#[test]
fn goaway_at_every_stream_number_loses_nothing() {
    for last in (0..=21).step_by(2) {
        // The first connection answers up to `last`, says so and closes; the others answer everything.
        let last = if last == 0 { 0 } else { last - 1 };
        let leaving = server(hello(&[]), move || {
            let mut told = false;
            Box::new(move |frame, out| {
                if !frame.ends() {
                    return;
                }
                if !told {
                    out.extend(goaway(last, 0));
                    told = true;
                }
                if frame.stream <= last {
                    out.extend(ok(frame.stream, b"old"));
                }
            })
        });
        let mut w = World::new(settings_two());
        w.then(leaving);
        w.net.listen(inet("127.0.0.1:80")).always(each(hello(&[]), |stream| ok(stream, b"new")));
        let post = two(post(whole("body")));
        let xids: Vec<u64> = (0..10).map(|_| w.submit(&post)).collect();
        w.finish_all();
        let old = xids.iter().filter(|xid| w.log(**xid).body == b"old").count() as u32;
        assert_eq!(old, last.div_ceil(2), "GOAWAY with {last}");
        for xid in xids {
            assert_eq!((w.log(xid).code(), w.log(xid).status), (0, 200));
        }
        assert_eq!(w.opened(), if last >= 19 { 1 } else { 2 });
        assert_eq!(w.engine.stats().tally.retried, u64::from(10 - old));
        w.close();
    }
}

fn settings_two() -> Settings {
    Settings { http: Http::Two, ..client::settings() }
}

#[test]
fn a_refused_stream_is_sent_again_and_not_for_ever() {
    let refusing = |times: u32| {
        server(hello(&[]), move || {
            let mut left = times;
            Box::new(move |frame, out| {
                if frame.ends() {
                    let refused = left > 0;
                    left = left.saturating_sub(1);
                    out.extend(if refused { rst(frame.stream, REFUSED_STREAM) } else { ok(frame.stream, b"hi") });
                }
            })
        })
    };
    let mut w = World::serving(refusing(3));
    w.run(&two(post(whole("body")))).assert_ok(200, b"hi");
    assert_eq!((w.opened(), w.engine.stats().tally.retried), (1, 3));
    w.close();
    let mut w = World::serving(refusing(u32::MAX));
    let log = w.run(&get2());
    assert_eq!(log.code(), e::CHTTP_E_H2_UNPROCESSED);
    assert_eq!(log.end.as_ref().unwrap().why, Some((Phase::Waiting, 8, true)));
    assert_eq!(w.pool(), (1, 1, 0), "the connection is as good as before");
    w.close();
}

#[test]
fn a_reset_stream_fails_alone_and_tells_the_code() {
    for (before, code) in [(Vec::new(), 2), (headers(3, false, &[(":status", "200")]), CANCEL)] {
        let partial = !before.is_empty();
        let mut w = World::serving(each(hello(&[]), move |stream| match stream {
            3 => [before.clone(), rst(3, code)].concat(),
            stream => ok(stream, b"hi"),
        }));
        let xids: Vec<u64> = (0..3).map(|_| w.submit(&get2())).collect();
        w.finish_all();
        w.log(xids[0]).assert_ok(200, b"hi");
        w.log(xids[2]).assert_ok(200, b"hi");
        let log = w.log(xids[1]);
        assert_eq!((log.code(), log.is_partial()), (e::CHTTP_E_H2_STREAM_RESET, partial));
        w.run(&get2()).assert_ok(200, b"hi");
        assert_eq!(w.opened(), 1);
        w.close();
    }
}

#[test]
fn a_cancelled_stream_is_reset_and_the_connection_stays() {
    let silent = server(hello(&[]), || {
        Box::new(|frame, out| {
            if frame.asks() && frame.stream > 1 {
                out.extend(ok(frame.stream, b"hi"));
            }
        })
    });
    let mut w = World::serving(silent);
    let xid = w.submit(&get2());
    w.settle();
    w.engine.cancel(xid).unwrap();
    assert_eq!(w.finish(xid).code(), e::CHTTP_E_CANCELLED);
    w.run(&get2()).assert_ok(200, b"hi");
    let reset = sent(&w, 0, RST_STREAM);
    assert_eq!((reset.len(), reset[0].stream, reset[0].word(0)), (1, 1, CANCEL));
    assert_eq!(w.opened(), 1);
    w.close();
}

#[test]
fn a_time_out_resets_its_stream_only() {
    let mut w = World::serving(server(hello(&[]), || {
        Box::new(|frame, out| {
            if frame.asks() {
                out.extend(headers(frame.stream, false, &[(":status", "200")]));
            }
            if frame.asks() && frame.stream == 3 {
                out.extend(data(3, true, b"hi"));
            }
        })
    }));
    let ask = Ask { timeouts: Timeouts { read: 50 * MS, ..never() }, ..get2() };
    let (late, good) = (w.submit(&ask), w.submit(&ask));
    w.finish_all();
    assert_eq!((w.log(late).code(), w.log(late).is_partial()), (e::CHTTP_E_TIMEOUT_READ, true));
    w.log(good).assert_ok(200, b"hi");
    w.settle();
    assert_eq!(sent(&w, 0, RST_STREAM).len(), 1);
    assert_eq!(w.pool(), (1, 1, 0));
    w.close();
}

#[test]
fn a_stream_without_credit_holds_up_nobody() {
    // More than the connection's window is sent on streams that nobody reads.
    let big = 40_000;
    let limits = Limits { stream_window: 1 << 16, connection_window: 1 << 17, ..Limits::default() };
    let mut w = World::scripted(
        Settings { h2: limits, ..client::settings() },
        each(hello(&[]), move |stream| {
            let body = if stream < 9 { pattern(big) } else { pattern(9_000) };
            let mut out = headers(stream, false, &[(":status", "200")]);
            for piece in body.chunks(8_000) {
                out.extend(data(stream, false, piece));
            }
            out.extend(data(stream, true, &[]));
            out
        }),
    );
    w.hold = true;
    let slow: Vec<u64> = (0..4).map(|_| w.submit(&Ask { credit: 1_000, ..get2() })).collect();
    w.settle();
    for xid in &slow {
        assert!(w.log(*xid).body.len() >= 1_000 && w.log(*xid).body.len() < 3_000);
    }
    for _ in 0..50 {
        let xid = w.submit(&get2());
        w.settle();
        assert_eq!(w.log(xid).code(), 0);
        assert_eq!(w.log(xid).body, pattern(9_000));
    }
    // Paid for, they go on.
    while slow.iter().any(|xid| w.log(*xid).end.is_none()) {
        slow.iter().for_each(|xid| w.release(*xid));
        w.pass(2 * MS);
    }
    for xid in &slow {
        assert_eq!(w.log(*xid).body, pattern(big));
    }
    w.hold = false;
    w.close();
}

/// A server that takes uploads under a small window, and answers with their length.
fn counting(window: u32) -> Script {
    server(hello(&[(INITIAL_WINDOW_SIZE, window)]), move || {
        let mut got = std::collections::BTreeMap::<u32, usize>::new();
        Box::new(move |frame, out| {
            if frame.kind == DATA {
                *got.entry(frame.stream).or_default() += frame.payload.len();
                if !frame.payload.is_empty() {
                    let by = frame.payload.len() as u32;
                    out.extend(window_update(0, by));
                    if !frame.ends() {
                        out.extend(window_update(frame.stream, by));
                    }
                }
            }
            if frame.ends() {
                let got = got.get(&frame.stream).copied().unwrap_or(0);
                out.extend(ok(frame.stream, got.to_string().as_bytes()));
            }
        })
    })
}

#[test]
fn bodies_of_all_kinds_go_out_under_flow_control() {
    const LEN: usize = 300_000;
    for window in [1_000, 65_535, 1 << 20] {
        for (load, len) in
            [(Load::Whole(pattern(LEN).into()), LEN), (Load::Borrowed(pattern(LEN).into()), LEN), (whole("short"), 5)]
        {
            let mut w = World::serving(counting(window));
            let log = w.run(&two(post(load.clone())));
            log.assert_ok(200, len.to_string().as_bytes());
            assert_eq!(log.has(kind::WRITE_DONE), matches!(load, Load::Borrowed(_)));
            let body: Vec<u8> = sent(&w, 0, DATA).into_iter().flat_map(|f| f.payload).collect();
            assert_eq!(body.len(), len);
            if len == LEN {
                assert!(body == pattern(LEN));
            }
            w.close();
        }
        let mut w = World::serving(counting(window));
        let xid = w.submit(&two(post(Load::Stream(None))));
        for piece in pattern(LEN).chunks(7_000) {
            while w.write(xid, piece) == Err(e::CHTTP_E_AGAIN) {
                w.settle();
            }
        }
        w.end(xid);
        w.finish(xid).assert_ok(200, LEN.to_string().as_bytes());
        w.close();
    }
}

#[test]
fn a_streamed_body_that_pauses_keeps_no_window_from_the_others() {
    let mut w = World::serving(counting(1 << 20));
    // The window of the connection is 65,535 bytes, and any of them could take it all.
    let pausing: Vec<u64> = (0..3).map(|_| w.submit(&two(post(Load::Stream(None))))).collect();
    for round in 1..=2 {
        for &xid in &pausing {
            assert_eq!(w.write(xid, pattern(10_000)), Ok(()));
            w.settle();
        }
        let log = w.run(&two(post(Load::Whole(pattern(300_000).into()))));
        log.assert_ok(200, b"300000");
        assert_eq!(w.opened(), 1, "round {round}");
    }
    for &xid in &pausing {
        w.end(xid);
        w.finish(xid).assert_ok(200, b"20000");
    }
    w.close();
}

#[test]
fn a_piece_that_meets_a_full_socket_goes_once_there_is_room() {
    let windows = [hello(&[(INITIAL_WINDOW_SIZE, 1 << 24)]), window_update(0, 1 << 24)].concat();
    let narrow = behind(Script::new().short_writes(5_000), windows, usize::MAX, 0, || {
        Box::new(|frame, out| {
            if frame.ends() {
                out.extend(ok(frame.stream, b"hi"));
            }
        })
    });
    let mut w = World::serving(narrow);
    let pausing = w.submit(&two(post(Load::Stream(None))));
    assert_eq!(w.write(pausing, pattern(10_000)), Ok(()));
    w.pass(MS);
    // Both find the same windows; the first of them fills the socket.
    let bulk = w.submit(&two(post(Load::Whole(pattern(300_000).into()))));
    assert_eq!(w.write(pausing, pattern(10_000)), Ok(()));
    w.finish(bulk).assert_ok(200, b"hi");
    w.pass(MS);
    let got: usize = sent(&w, 0, DATA).iter().map(|f| f.payload.len()).sum();
    assert_eq!((got, w.opened()), (320_000, 1));
    w.end(pausing);
    w.finish(pausing).assert_ok(200, b"hi");
    w.close();
}

#[test]
fn a_shut_window_is_a_write_time_out() {
    let mut w = World::serving(server(hello(&[(INITIAL_WINDOW_SIZE, 0)]), || {
        Box::new(|frame, out| {
            if frame.asks() && frame.ends() {
                out.extend(ok(frame.stream, b"hi"));
            }
        })
    }));
    w.run(&get2()).assert_ok(200, b"hi");
    let ask =
        Ask { timeouts: Timeouts { write: 50 * MS, ..never() }, ..two(post(Load::Borrowed(pattern(1_000).into()))) };
    let log = w.run(&ask);
    assert_eq!((log.code(), log.count(kind::WRITE_DONE)), (e::CHTTP_E_TIMEOUT_WRITE, 1));
    w.run(&get2()).assert_ok(200, b"hi");
    assert_eq!(w.opened(), 1);
    w.close();
}

#[test]
fn trailers_and_informational_answers() {
    let mut w = World::serving(server(hello(&[]), || {
        Box::new(|frame, out| {
            if frame.asks() {
                out.extend(headers(frame.stream, false, &[(":status", "100")]));
                out.extend(headers(frame.stream, false, &[(":status", "103"), ("link", "</a>")]));
            }
            if frame.ends() {
                out.extend(headers(frame.stream, false, &[(":status", "200"), ("content-length", "2")]));
                out.extend(data(frame.stream, false, b"hi"));
                out.extend(headers(frame.stream, true, &[("sum", "7")]));
            }
        })
    }));
    let log = w.run(&Ask { expect: true, ..two(post(whole("body"))) });
    log.assert_ok(200, b"hi");
    assert_eq!(log.informational, [100, 103]);
    assert_eq!(log.trailers, [("sum".to_owned(), "7".to_owned())]);
    w.close();
}

/// It answers the first request, and closes when the client has sent `more` bytes.
fn closing(reply: Vec<u8>, more: u64) -> Script {
    Script::new().expect(PREFACE).send(reply).expect_bytes(more).fin()
}

#[test]
fn a_fin_tells_whether_the_head_was_there() {
    for (reply, code) in [
        (hello(&[]), e::CHTTP_E_CLOSED_BEFORE_HEAD),
        ([hello(&[]), headers(1, false, &[(":status", "200")])].concat(), e::CHTTP_E_TRUNCATED_BODY),
        ([hello(&[]), goaway(1, INTERNAL_ERROR)].concat(), e::CHTTP_E_H2_GOAWAY),
        // Cut inside of a frame.
        ([hello(&[]), vec![0, 0, 5, 0]].concat(), e::CHTTP_E_CLOSED_BEFORE_HEAD),
    ] {
        let mut w = World::serving(closing(reply, 0));
        let log = w.run(&get2());
        assert_eq!(log.code(), code);
        assert_eq!(w.pool(), (0, 0, 0));
        w.close();
    }
}

#[test]
fn a_stale_connection_costs_a_get_nothing_and_a_post_its_answer() {
    let mut w = World::serving(each(hello(&[]), |stream| ok(stream, b"one")));
    w.run(&get2());
    let first = w.conn(0).sent.len() - PREFACE.len();
    w.close();
    for (ask, fine) in [(get2(), true), (two(post(whole("body"))), false)] {
        let mut w = World::new(client::settings());
        // It closes when it has seen a byte of the second request.
        w.then(closing([hello(&[]), ok(1, b"one")].concat(), first as u64 + 1));
        w.net.listen(inet("127.0.0.1:80")).always(each(hello(&[]), |stream| ok(stream, b"two")));
        w.run(&get2()).assert_ok(200, b"one");
        let log = w.run(&ask);
        if fine {
            log.assert_ok(200, b"two");
            assert_eq!(log.reason, Reason::Stale);
        } else {
            assert_eq!(
                (log.code(), log.end.as_ref().unwrap().why),
                (e::CHTTP_E_CLOSED_BEFORE_HEAD, Some((Phase::Waiting, 1, false)))
            );
        }
        w.close();
    }
}

/// A server of one answer of `len` bytes that keeps to the windows, a round trip of `delay` away.
fn far(len: usize, delay: u64) -> Script {
    paced(hello(&[]), usize::MAX, delay, move || {
        let (mut left, mut of_stream, mut of_connection, mut initial, mut asked) =
            (len, 0_i64, 65_535_i64, 65_535_i64, 0);
        Box::new(move |frame, out| {
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => {
                    for setting in frame.payload.chunks(6).filter(|s| s[..2] == INITIAL_WINDOW_SIZE.to_be_bytes()) {
                        let now = i64::from(u32::from_be_bytes(setting[2..].try_into().unwrap()));
                        of_stream += now - initial;
                        initial = now;
                    }
                }
                WINDOW_UPDATE if frame.stream == 0 => of_connection += i64::from(frame.word(0)),
                WINDOW_UPDATE => of_stream += i64::from(frame.word(0)),
                HEADERS => {
                    asked = frame.stream;
                    of_stream += initial;
                    out.extend(headers(asked, false, &[(":status", "200")]));
                }
                _ => {}
            }
            while asked > 0 && left > 0 && of_stream.min(of_connection) > 0 {
                let n = left.min(16_384).min(of_stream.min(of_connection) as usize);
                left -= n;
                of_stream -= n as i64;
                of_connection -= n as i64;
                out.extend(data(asked, left == 0, &vec![b'x'; n]));
            }
        })
    })
}

#[test]
fn windows_grow_with_the_way() {
    let (len, round_trip) = (64 << 20, 100 * MS);
    let took = |max: u32| {
        let h2 = Limits { stream_window_max: max, ..Limits::default() };
        let mut w = World::scripted(Settings { h2, ..client::settings() }, far(len, round_trip));
        let xid = w.submit(&get2());
        w.until(|w| w.logs[&xid].end.is_some());
        let log = w.log(xid);
        assert_eq!((log.code(), log.body.len()), (0, len));
        let (elapsed, pings) = (log.end.as_ref().unwrap().elapsed, sent(&w, 0, PING).len());
        w.close();
        (elapsed, pings)
    };
    let (fixed, none) = took(0);
    let (grown, one) = took(64 << 20);
    assert_eq!((none, one), (0, 1), "PINGs");
    assert!(fixed > 8 * round_trip && grown < 4 * round_trip, "{fixed} and {grown}");
}

#[test]
fn an_idle_connection_answers_pings_and_heeds_goaway() {
    // One that measures nothing: each PING here is an answer.
    let h2 = Limits { stream_window_max: 0, ..Limits::default() };
    let quiet = Settings { h2, ..client::settings() };
    let mut w = World::scripted(
        quiet,
        paced(hello(&[]), usize::MAX, MS, || {
            let mut pings = 0;
            Box::new(move |frame, out| {
                if frame.asks() {
                    out.extend(ok(frame.stream, b"hi"));
                }
                if frame.asks() || frame.kind == PING {
                    pings += 1;
                    out.extend(if pings < 5 { h2_support::frame(PING, 0, 0, &[pings; 8]) } else { goaway(1, 0) });
                }
            })
        }),
    );
    w.run(&get2()).assert_ok(200, b"hi");
    w.pass(100 * MS);
    assert_eq!(sent(&w, 0, PING).len(), 4);
    assert_eq!((w.open(), w.pool()), (0, (0, 0, 0)));
    w.run(&get2()).assert_ok(200, b"hi");
    assert_eq!(w.opened(), 2);
    w.close();
}

#[test]
fn a_tunnel_is_a_stream_and_the_connection_serves_others() {
    let mut w = World::serving(server(hello(&[]), || {
        let mut tunnel = 0;
        Box::new(move |frame, out| {
            if frame.asks() && !frame.ends() {
                tunnel = frame.stream;
                out.extend(headers(tunnel, false, &[(":status", "200")]));
            } else if frame.kind == DATA && frame.stream == tunnel {
                out.extend(data(tunnel, frame.ends(), &frame.payload));
            } else if frame.ends() {
                out.extend(ok(frame.stream, b"hi"));
            }
        })
    }));
    let xid = w.submit(&Ask { load: Load::Tunnel, ..two(ask("CONNECT", "http://127.0.0.1:80")) });
    w.write(xid, b"early ").unwrap();
    w.settle();
    w.write(xid, b"and late").unwrap();
    w.settle();
    assert_eq!((w.log(xid).status, &w.log(xid).body[..]), (200, &b"early and late"[..]));
    w.run(&get2()).assert_ok(200, b"hi");
    w.end(xid);
    assert_eq!(w.finish(xid).code(), 0);
    assert_eq!(w.opened(), 1);
    w.close();
}

/// The same work over both versions, with the same cap of connections: an answer takes 20 ms.
#[test]
fn few_streams_are_no_slower_than_none() {
    const REQUESTS: usize = 1000;
    let took = |http: Http, script: Script| {
        let mut w = World::scripted(pooled(64, 64), script);
        let xids: Vec<u64> = (0..REQUESTS).map(|_| w.submit(&Ask { http, ..get() })).collect();
        w.finish_all();
        let last = xids.iter().map(|xid| {
            w.log(*xid).assert_ok(200, b"hi");
            w.log(*xid).end.as_ref().unwrap().elapsed
        });
        let last = last.max().unwrap();
        w.close();
        last
    };
    let one = took(Http::One, Script::new().expect_head().delay(20 * MS).send(OK).again());
    let few = paced(hello(&[(MAX_CONCURRENT_STREAMS, 10)]), usize::MAX, 20 * MS, || {
        Box::new(|frame, out| {
            if frame.ends() {
                out.extend(ok(frame.stream, b"hi"));
            }
        })
    });
    let two = took(Http::Two, few);
    assert!(two <= one, "{two} over HTTP/2, {one} over HTTP/1.1");
}

#[test]
fn pings_ask_whether_the_peer_is_there() {
    let limits = Limits { ping_ns: 100 * MS, ping_timeout_ns: 40 * MS, ..Limits::default() };
    let with = || Settings { h2: limits.clone(), ..client::settings() };
    // One that answers may take its time.
    let mut w = World::scripted(with(), server(hello(&[]), || Box::new(|_, _| {})));
    let xid = w.submit(&get2());
    w.pass(SECOND);
    assert!(w.log(xid).end.is_none());
    assert!((8..=11).contains(&sent(&w, 0, PING).len()), "{}", sent(&w, 0, PING).len());
    w.engine.cancel(xid).unwrap();
    w.finish(xid);
    w.pass(SECOND);
    assert!(sent(&w, 0, PING).len() <= 11, "nobody asks while nobody waits");
    w.close();
    // One that does not is given up.
    let mut w = World::scripted(with(), Script::new().expect_bytes(60).send(hello(&[])));
    let xid = w.submit(&get2());
    let started = w.net.now().0;
    let log = w.finish(xid);
    assert_eq!(log.code(), e::CHTTP_E_TIMEOUT_PING);
    assert!(log.end.as_ref().unwrap().at - started <= 200 * MS);
    w.close();
}

#[test]
fn everything_in_any_cut() {
    for seed in 1..=40 {
        let mut w = World::scripted(
            client::settings(),
            server(hello(&[(MAX_CONCURRENT_STREAMS, 7), (INITIAL_WINDOW_SIZE, 5_000)]), || {
                Box::new(|frame, out| {
                    if frame.kind == DATA && !frame.payload.is_empty() {
                        let by = frame.payload.len() as u32;
                        out.extend(window_update(0, by));
                        if !frame.ends() {
                            out.extend(window_update(frame.stream, by));
                        }
                    }
                    if !frame.ends() {
                        return;
                    }
                    let stream = frame.stream;
                    out.extend(headers(stream, false, &[(":status", "103"), ("a", "b")]));
                    out.extend(headers(stream, false, &[(":status", "200"), ("x", "y")]));
                    for piece in pattern(20_000).chunks(3_333) {
                        out.extend(data(stream, false, piece));
                        out.extend(data(stream, false, &[]));
                    }
                    out.extend(headers(stream, true, &[("sum", "7")]));
                })
            }),
        );
        w.net.chaos(seed);
        let xids: Vec<u64> = (0..30)
            .map(|i| if i % 3 == 0 { two(post(Load::Whole(pattern(12_000).into()))) } else { get2() })
            .map(|ask| w.submit(&Ask { credit: 6_000, ..ask }))
            .collect();
        w.finish_all();
        for xid in xids {
            w.log(xid).assert_ok(200, &pattern(20_000));
            assert_eq!(w.log(xid).informational, [103]);
            assert_eq!(w.log(xid).trailers, [("sum".to_owned(), "7".to_owned())]);
        }
        w.close();
    }
}

#[test]
fn a_request_that_wants_a_close_is_the_last_on_its_connection() {
    let mut w = World::serving(each(hello(&[]), |stream| ok(stream, b"hi")));
    w.run(&Ask { close: true, ..get2() }).assert_ok(200, b"hi");
    assert_eq!(w.pool(), (0, 0, 0));
    w.run(&get2()).assert_ok(200, b"hi");
    assert_eq!(w.opened(), 2);
    assert_eq!(sent(&w, 0, GOAWAY).len(), 1, "said before it is closed");
    w.close();
}

#[test]
fn versions_do_not_share_connections() {
    let mut w = World::new(client::settings());
    w.then(each(hello(&[]), |stream| ok(stream, b"two")));
    w.then(Script::new().expect_head().send(OK).again());
    w.run(&get2()).assert_ok(200, b"two");
    w.run(&get()).assert_ok(200, b"hi");
    w.run(&at("x")).assert_ok(200, b"two");
    w.run(&get()).assert_ok(200, b"hi");
    assert_eq!(w.opened(), 2);
    w.close();
}

/// An answer that has come needs no connection, whoever closes it: the application may take as long as it likes.
#[test]
fn a_whole_answer_that_waits_for_credit_outlives_its_connection() {
    let one = [headers(1, false, &[(":status", "200")]), data(1, true, &pattern(15_000))].concat();
    let two = [headers(3, false, &[(":status", "200")]), data(3, false, &pattern(9_000))].concat();
    // A reset follows, as for one who closes and is written to.
    let mut w = World::serving(closing([hello(&[]), one, two].concat(), 100).delay(3 * MS).rst());
    w.hold = true;
    let xids = [15_000, 9_000].map(|_| w.submit(&Ask { credit: 1_000, ..get2() }));
    w.settle();
    assert!(w.log(xids[0]).end.is_none(), "{:?}", w.log(xids[0]).end);
    assert_eq!(w.log(xids[1]).code(), e::CHTTP_E_TRUNCATED_BODY);
    while w.log(xids[0]).end.is_none() {
        w.release(xids[0]);
        w.pass(2 * MS);
    }
    w.log(xids[0]).assert_ok(200, &pattern(15_000));
    w.settle();
    assert_eq!(w.pool(), (0, 0, 0));
    w.hold = false;
    w.close();
}
