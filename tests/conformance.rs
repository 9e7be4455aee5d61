//! What an application is told of an exchange does not depend on the version of HTTP: one table of requests and answers, over
//! HTTP/1.1 and over HTTP/2, as a whole and in small pieces, event by event and in one.

mod client;
mod h2_support;

use chttpcore::client::upload::Piece;
use chttpcore::net::backend::mock::Script;
use chttpcore::pool::Http;
use chttpcore::proto::h1::encode::trailers;
use chttpcore::queue::event::kind;
use client::*;
use h2_support::*;

/// What the server says, in no version's words.
#[derive(Clone, Default)]
struct Answer {
    informational: &'static [&'static str],
    status: &'static str,
    fields: &'static [(&'static str, &'static str)],
    pieces: &'static [&'static str],
    /// The length is told beforehand.
    sized: bool,
    trailers: &'static [(&'static str, &'static str)],
}

impl Answer {
    fn body(&self) -> String {
        self.pieces.concat()
    }

    fn is_bare(&self, method: &str) -> bool {
        method == "HEAD" || matches!(self.status, "204" | "304")
    }

    fn in_http1(&self, method: &str) -> String {
        let lines = |fields: &[(&str, &str)]| fields.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect::<String>();
        let mut out: String =
            self.informational.iter().map(|s| format!("HTTP/1.1 {s} x\r\nlink: <a>\r\n\r\n")).collect();
        out += &format!("HTTP/1.1 {} x\r\n{}", self.status, lines(self.fields));
        if self.is_bare(method) {
            return out + "\r\n";
        }
        if self.sized {
            return out + &format!("content-length: {}\r\n\r\n{}", self.body().len(), self.body());
        }
        out += "transfer-encoding: chunked\r\n\r\n";
        for piece in self.pieces {
            out += &format!("{:x}\r\n{piece}\r\n", piece.len());
        }
        out + "0\r\n" + &lines(self.trailers) + "\r\n"
    }

    fn in_http2(&self, stream: u32, method: &str) -> Vec<u8> {
        let mut out = Vec::new();
        for status in self.informational {
            out.extend(headers(stream, false, &[(":status", status), ("link", "<a>")]));
        }
        let length = self.body().len().to_string();
        let mut fields = vec![(":status", self.status)];
        fields.extend(self.fields);
        let bare = self.is_bare(method);
        if self.sized && !bare {
            fields.push(("content-length", &length));
        }
        out.extend(headers(stream, bare, &fields));
        if bare {
            return out;
        }
        for piece in self.pieces {
            out.extend(data(stream, false, piece.as_bytes()));
        }
        match self.trailers {
            [] => out.extend(data(stream, true, b"")),
            trailers => out.extend(headers(stream, true, trailers)),
        }
        out
    }
}

const BIG: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn answers() -> Vec<(&'static str, Answer)> {
    let ok = Answer { status: "200", fields: &[("server", "x"), ("twice", "1"), ("twice", "2")], ..Answer::default() };
    vec![
        ("nothing", Answer { sized: true, ..ok.clone() }),
        ("of known length", Answer { pieces: &["hel", "lo"], sized: true, ..ok.clone() }),
        ("of no known length", Answer { pieces: &["hel", "lo", BIG, BIG], ..ok.clone() }),
        ("trailers", Answer { pieces: &["hello"], trailers: &[("sum", "7"), ("more", "")], ..ok.clone() }),
        ("trailers alone", Answer { trailers: &[("sum", "7")], ..ok.clone() }),
        ("informational", Answer { informational: &["100", "103", "103"], pieces: &["x"], sized: true, ..ok.clone() }),
        ("no content", Answer { status: "204", ..ok.clone() }),
        ("not modified", Answer { status: "304", fields: &[("etag", "\"a\"")], ..ok.clone() }),
        ("moved", Answer { status: "302", fields: &[("location", "/b")], sized: true, ..ok.clone() }),
        ("not found", Answer { status: "404", pieces: &["none"], sized: true, ..ok.clone() }),
        ("an error", Answer { status: "503", pieces: &["later"], ..ok.clone() }),
        ("unassigned", Answer { status: "799", pieces: &["?"], sized: true, ..ok }),
    ]
}

/// What one exchange was told, but for what the versions do differently: the length of a body stands in a field, or does not.
fn told(log: &Log) -> impl PartialEq + std::fmt::Debug + use<> {
    let fields: Vec<_> =
        log.fields.iter().filter(|(n, _)| !matches!(&n[..], "content-length" | "transfer-encoding")).cloned().collect();
    (log.shape(), log.code(), log.status, fields, log.informational.clone(), log.body.clone(), log.trailers.clone())
}

fn served(answer: &Answer, method: &'static str, http: Http, every: usize) -> World {
    let script = match http {
        Http::One => Script::new().expect_head().send_split(answer.in_http1(method), every).again(),
        _ => {
            let answer = answer.clone();
            paced(hello(&[]), every, 0, move || {
                let answer = answer.clone();
                Box::new(move |frame, out| {
                    if frame.ends() {
                        out.extend(answer.in_http2(frame.stream, method));
                    }
                })
            })
        }
    };
    World::serving(script)
}

#[test]
fn answers_are_told_alike() {
    for (name, answer) in answers() {
        for method in ["GET", "HEAD", "DELETE"] {
            for collected in [false, true] {
                let mut first = None;
                for http in [Http::One, Http::Two] {
                    for every in [usize::MAX, 1, 13] {
                        let mut w = served(&answer, method, http, every);
                        let request = Ask { collect: collected, http, ..ask(method, HOST) };
                        for _ in 0..2 {
                            let log = w.run(&request);
                            assert_eq!(log.code(), 0, "{name}: {:?}", log.end);
                            let body = if answer.is_bare(method) { String::new() } else { answer.body() };
                            assert_eq!(log.body, body.as_bytes(), "{name}, {method}, {http:?}");
                            let told = told(log);
                            assert_eq!(
                                first.get_or_insert_with(|| self::told(log)),
                                &told,
                                "{name}, {method}, {http:?}, {every}"
                            );
                        }
                        assert_eq!((w.opened(), w.pool()), (1, (1, 1, 0)), "{name}: the connection is used again");
                        w.close();
                    }
                }
            }
        }
    }
}

/// What a server of either version receives of a request's body, and of its trailers' existence.
#[test]
fn uploads_arrive_alike() {
    let body = pattern(60_000);
    for http in [Http::One, Http::Two] {
        for load in [Load::Whole(body.clone().into()), Load::Borrowed(body.clone().into()), Load::Stream(Some(60_000))]
        {
            let streamed = matches!(load, Load::Stream(_));
            let script = match http {
                Http::One => Script::new().expect_head().expect_bytes(60_000).send(OK).again(),
                _ => each(hello(&[(INITIAL_WINDOW_SIZE, 1 << 20)]), |stream| {
                    [window_update(0, 60_000), ok(stream, b"hi")].concat()
                }),
            };
            let mut w = World::serving(script);
            for _ in 0..3 {
                let xid = w.submit(&Ask { http, ..post(load.clone()) });
                if streamed {
                    w.write(xid, &body[..30_000]).unwrap();
                    w.settle();
                    w.write(xid, &body[30_000..]).unwrap();
                    w.end(xid);
                }
                let log = w.finish(xid);
                log.assert_ok(200, b"hi");
                assert_eq!(log.shape(), [kind::HEADERS, kind::BODY, kind::DONE]);
                assert_eq!(log.has(kind::WRITE_DONE), matches!(load, Load::Borrowed(_)));
            }
            assert_eq!(w.opened(), 1);
            w.close();
        }
    }
}

#[test]
fn trailers_of_requests_end_them_alike() {
    let block = trailers([(&b"Sum"[..], &b"7"[..])]).unwrap();
    for http in [Http::One, Http::Two] {
        let script = match http {
            Http::One => Script::new().expect_head().expect("4\r\nbody\r\n0\r\nSum: 7\r\n\r\n").send(OK),
            _ => each(hello(&[]), |stream| ok(stream, b"hi")),
        };
        let mut w = World::serving(script);
        let xid = w.submit(&Ask { http, ..post(Load::Stream(None)) });
        w.write(xid, b"body").unwrap();
        w.engine.end_body(xid, Piece::Trailers(block.clone())).unwrap();
        w.finish(xid).assert_ok(200, b"hi");
        w.close();
    }
}

/// Deadlines, cancelling and an early end have the same codes.
#[test]
fn ends_are_told_alike() {
    use chttpcore::client::settings::Timeouts;
    let begun =
        |http: Http| match http {
            Http::One => Script::new().expect_head().send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"),
            _ => Script::new().expect(PREFACE).send(hello(&[])).expect_bytes(60).delay(MS).send(
                [headers(1, false, &[(":status", "200"), ("content-length", "9")]), data(1, false, b"hi")].concat(),
            ),
        };
    let silent = |http: Http| match http {
        Http::One => Script::new().expect_head(),
        _ => Script::new().expect(PREFACE).send(hello(&[])),
    };
    for http in [Http::One, Http::Two] {
        let get = |timeouts| Ask { http, timeouts, ..get() };
        let limits = [
            (Timeouts { total: 50 * MS, ..never() }, e::CHTTP_E_TIMEOUT_TOTAL),
            (Timeouts { read: 50 * MS, ..never() }, e::CHTTP_E_TIMEOUT_READ),
        ];
        for (timeouts, code) in limits {
            let mut w = World::serving(silent(http));
            let log = w.run(&get(timeouts));
            assert_eq!((log.code(), log.is_partial()), (code, false), "{http:?}");
            w.close();
            let mut w = World::serving(begun(http));
            let log = w.run(&get(timeouts));
            assert_eq!((log.code(), log.is_partial(), &log.body[..]), (code, true, &b"hi"[..]), "{http:?}");
            w.close();
        }
        let mut w = World::serving(silent(http));
        let log = w.run(&get(Timeouts { first_byte: 50 * MS, ..never() }));
        assert_eq!(log.code(), e::CHTTP_E_TIMEOUT_FIRST_BYTE);
        w.close();
        let mut w = World::serving(begun(http).fin());
        let log = w.run(&get(never()));
        assert_eq!((log.code(), log.is_partial()), (e::CHTTP_E_TRUNCATED_BODY, true), "{http:?}");
        w.close();
        let mut w = World::serving(begun(http));
        let xid = w.submit(&get(never()));
        w.pass(5 * MS);
        w.engine.cancel(xid).unwrap();
        let log = w.finish(xid);
        assert_eq!((log.code(), log.is_partial()), (e::CHTTP_E_CANCELLED, true), "{http:?}");
        w.close();
    }
}
