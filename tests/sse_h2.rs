//! Streams of events over HTTP/2, on the scripted network: a stream of the connection ends, and the stream of events goes on.

mod client;
mod h2_support;

use chttpcore::client::events::Sse;
use chttpcore::pool::Http;
use client::*;
use flate2::{Compress, Compression, FlushCompress};
use h2_support::*;

const OPEN: &[(&str, &str)] = &[(":status", "200"), ("content-type", "text/event-stream")];

fn stream() -> Ask {
    Ask { http: Http::Two, sse: Some(Sse { retry_ns: 10 * MS, ..Sse::default() }), ..get() }
}

fn data_of(log: &Log) -> Vec<&str> {
    log.events.iter().map(|e| e.data.as_str()).collect()
}

/// Answers the first, second, ... request of a connection by these; each is given the number of its stream.
fn one_by_one(answers: Vec<fn(u32) -> Vec<u8>>) -> chttpcore::net::backend::mock::Script {
    server(hello(&[]), move || {
        let mut answers = answers.clone().into_iter();
        Box::new(move |frame, out| {
            if frame.asks() {
                out.extend(answers.next().map(|answer| answer(frame.stream)).unwrap_or_default());
            }
        })
    })
}

fn events(stream: u32, end: bool, body: &str) -> Vec<u8> {
    [headers(stream, false, OPEN), data(stream, end, body.as_bytes())].concat()
}

fn nothing_more(stream: u32) -> Vec<u8> {
    headers(stream, true, &[(":status", "204")])
}

#[test]
fn a_stream_that_ends_or_is_reset_goes_on_over_the_same_connection() {
    let mut w = World::serving(one_by_one(vec![
        |s| events(s, true, "id: 1\ndata: a\n\n"),
        |s| [events(s, false, "id: 2\ndata: b\n\nid: lost"), rst(s, INTERNAL_ERROR)].concat(),
        |s| rst(s, CANCEL),
        nothing_more,
    ]));
    let log = w.run(&stream());
    assert_eq!((log.code(), log.status, data_of(log)), (0, 204, vec!["a", "b"]));
    let whys: Vec<_> = log.rests.iter().map(|r| (r.attempt, r.why, r.last_id.as_str())).collect();
    let reset = e::CHTTP_E_H2_STREAM_RESET;
    assert_eq!(whys, [(1, e::CHTTP_E_SSE_ENDED, "1"), (1, reset, "2"), (2, reset, "2")]);
    assert_eq!((w.opened(), w.pool()), (1, (1, 1, 0)));
    // Fields are literals, or stand in the table: the id of the last request is in one of the two forms.
    let requests: Vec<Frame> = frames(&w.conn(0).sent).into_iter().filter(Frame::asks).collect();
    assert_eq!(requests.len(), 4);
    assert!(requests[0].payload.len() > requests[3].payload.len(), "only the id is new");
    w.close();
}

#[test]
fn a_connection_that_goes_away_does_not_take_the_stream_with_it() {
    let mut w = World::new(settings());
    // The stream is above the last one that was looked at, so that it is sent again at once.
    w.then(one_by_one(vec![|_| goaway(0, 0)]));
    w.then(one_by_one(vec![|s| [events(s, false, "data: a\n\n"), goaway(0, INTERNAL_ERROR)].concat()]));
    w.then(one_by_one(vec![|s| [events(s, false, "data: b\n\n"), data(0, false, b"")].concat()]));
    let xid = w.submit(&stream());
    w.finish(xid);
    let log = w.log(xid);
    // DATA on stream 0 breaks the rules: another connection would not help.
    assert_eq!((log.code(), data_of(log)), (e::CHTTP_E_H2_PROTOCOL, vec!["a", "b"]));
    let whys: Vec<_> = log.rests.iter().map(|r| r.why).collect();
    // The second one has told something, whatever its server says.
    assert_eq!((whys, w.opened()), (vec![e::CHTTP_E_H2_GOAWAY], 3));
    w.close();
}

#[test]
fn many_streams_share_a_connection_with_requests() {
    let mut w = World::serving(server(hello(&[]), || {
        Box::new(|frame, out| {
            if frame.asks() {
                let body = format!("data: {}\n\n", frame.stream);
                out.extend(events(frame.stream, false, &body));
            }
        })
    }));
    let xids: Vec<u64> = (0..50).map(|_| w.submit(&stream())).collect();
    w.settle();
    for &xid in &xids {
        assert_eq!(w.log(xid).events.len(), 1);
    }
    assert_eq!(w.opened(), 1);
    for xid in xids {
        w.engine.cancel(xid).unwrap();
        w.settle();
        assert_eq!(w.log(xid).code(), e::CHTTP_E_CANCELLED);
    }
    assert_eq!(w.pool(), (1, 1, 0), "the connection stays");
    w.close();
}

#[test]
fn credit_and_bombs() {
    let body: String = (0..3000).map(|n| format!("data: {n}\n\n")).collect();
    let mut gz = vec![0; 1 << 20];
    let mut compress = Compress::new_gzip(Compression::best(), 15);
    let plain = [":\n".repeat(2 << 20), body.clone()].concat();
    compress.compress(plain.as_bytes(), &mut gz, FlushCompress::Finish).unwrap();
    gz.truncate(compress.total_out() as usize);
    let coded = [OPEN, &[("content-encoding", "gzip")]].concat();
    let answers = [(OPEN.to_vec(), body.into_bytes()), (coded, gz)];
    for (n, (head, body)) in answers.into_iter().enumerate() {
        let mut w = World::serving(server(hello(&[]), move || {
            let (head, body) = (head.clone(), body.clone());
            Box::new(move |frame, out| {
                if frame.asks() {
                    out.extend(headers(frame.stream, false, &head));
                    body.chunks(16_000).for_each(|piece| out.extend(data(frame.stream, false, piece)));
                    out.extend(data(frame.stream, true, b""));
                }
            })
        }));
        w.hold = true;
        let sse = Some(Sse { reconnect: false, ..Sse::default() });
        let xid = w.submit(&Ask { credit: 64 << 10, sse, ..stream() });
        w.logs.get_mut(&xid).unwrap().overdraft = if n == 0 { 16 * 256 } else { 1 << 20 };
        w.settle();
        if n == 1 {
            assert_eq!(w.log(xid).events.len(), 0, "comments first, and not all in one go");
        }
        w.pass(SECOND);
        assert!(w.log(xid).events.len() >= 256 && w.log(xid).end.is_none());
        while w.log(xid).end.is_none() {
            w.release(xid);
            w.pass(10 * MS);
        }
        let log = w.log(xid);
        assert_eq!((log.code(), log.events.len()), (0, 3000));
        assert!(log.events.iter().enumerate().all(|(n, e)| e.data == n.to_string()));
        w.close();
    }
}

#[test]
fn a_refused_answer_is_read_and_the_connection_stays() {
    let mut w = World::serving(each(hello(&[]), |stream| ok(stream, b"hi")));
    let log = w.run(&stream());
    assert_eq!((log.code(), log.body.as_slice()), (e::CHTTP_E_SSE_CONTENT_TYPE, &b"hi"[..]));
    assert_eq!((log.rests.len(), w.pool()), (0, (1, 1, 0)));
    w.close();
}
