//! Feeds an HTTP/1.1 connection in any cut and writes down what it says.
//!
//! One line tells a whole run: `i103` informational, `200-` head without body, `200=5` with a length, `200~` with a
//! body of unknown length, `101>` a tunnel, `'…'` data (adjacent pieces joined), `{n:v}` trailers, `.` end,
//! `keep` or `close` for the connection (before the peer's close), `!Fault`.
#![allow(dead_code)] // each test file uses a part

use bytes::Bytes;
use chttpcore::proto::h1::encode::{Spec, encode};
use chttpcore::proto::h1::{H1, Limits};
use chttpcore::proto::url::Url;
use chttpcore::proto::{BodyLen, Data, Eof, Fault, Fields, Follows, Head, Out, Protocol, Sink, StreamKey, Tick};
use std::sync::Arc;

/// The request that the input answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    Get,
    Head,
    Connect,
    Upgrade,
    /// GET with `Connection: close`.
    Close,
    /// POST whose body has not been sent.
    Unsent,
    /// An upgrade whose body has not been sent.
    UpgradeUnsent,
    /// No request at all.
    Nothing,
}

pub struct Recorder {
    pub log: Vec<String>,
    data: Vec<u8>,
    input: Vec<u8>,
    pub credit: u64,
}

impl Recorder {
    pub fn new(credit: u64) -> Recorder {
        Recorder { log: Vec::new(), data: Vec::new(), input: Vec::new(), credit }
    }

    /// What the next `recv` is given.
    pub fn hears(&mut self, input: &[u8]) {
        input.clone_into(&mut self.input);
    }

    fn say(&mut self, what: String) {
        self.flush();
        self.log.push(what);
    }

    fn flush(&mut self) {
        if !self.data.is_empty() {
            self.log.push(format!("'{}'", self.data.escape_ascii()));
            self.data.clear();
        }
    }
}

impl Sink for Recorder {
    fn informational(&mut self, _: StreamKey, head: &Head<'_>) {
        self.say(format!("i{}{}", head.status, fields(head.fields)));
    }

    fn head(&mut self, _: StreamKey, head: &Head<'_>, follows: Follows) {
        let follows = match follows {
            Follows::Nothing => "-".to_owned(),
            Follows::Length(n) => format!("={n}"),
            Follows::Unknown => "~".to_owned(),
            Follows::Tunnel => ">".to_owned(),
        };
        let reason = head.reason.escape_ascii();
        self.say(format!("{}{follows} {:?} {reason}{}", head.status, head.version, fields(head.fields)));
    }

    fn credit(&mut self, _: StreamKey) -> u64 {
        self.credit
    }

    fn data(&mut self, _: StreamKey, data: Data) {
        let Data::Input(range) = data else { panic!("HTTP/1.1 owns no data") };
        assert!(!range.is_empty());
        if self.credit != u64::MAX {
            self.credit -= range.len() as u64;
        }
        self.data.extend_from_slice(&self.input[range]);
    }

    fn trailers(&mut self, _: StreamKey, section: Fields<'_>) {
        self.say(fields(section));
    }

    fn end(&mut self, _: StreamKey) {
        self.say(".".to_owned());
    }

    fn failed(&mut self, _: StreamKey, why: Fault) {
        panic!("{why:?} of one stream");
    }

    fn writable(&mut self, _: StreamKey) {
        panic!("HTTP/1.1 always takes a body");
    }
}

fn fields(section: Fields<'_>) -> String {
    let each: Vec<String> = section.iter().map(|(n, v)| format!("{}:{}", n.escape_ascii(), v.escape_ascii())).collect();
    format!("{{{}}}", each.join(","))
}

/// A connection on which the request has been sent.
pub fn ask(ask: Ask, limits: &Limits) -> H1 {
    let mut h1 = H1::new(Arc::new(limits.clone()));
    let url = Url::parse(b"http://a/").unwrap();
    let method: &[u8] = match ask {
        Ask::Nothing => return h1,
        Ask::Head => b"HEAD",
        Ask::Connect => b"CONNECT",
        Ask::Unsent => b"POST",
        _ => b"GET",
    };
    let mut spec = Spec::new(method, &url);
    spec.close = ask == Ask::Close;
    if matches!(ask, Ask::Unsent | Ask::UpgradeUnsent) {
        spec.body = BodyLen::Known(3);
    }
    let upgrade: [(&[u8], &[u8]); 2] = [(b"Connection", b"upgrade"), (b"Upgrade", b"x")];
    let with = if matches!(ask, Ask::Upgrade | Ask::UpgradeUnsent) { &upgrade[..] } else { &[] };
    let head = encode(&spec, with.iter().copied()).unwrap();
    h1.open(Tick(0), &head.request(), &mut Out::new()).unwrap();
    h1
}

/// Feed `segments` one after the other, present again what was left, then close. `pay` bytes of credit at a time.
pub fn run<'a>(who: Ask, limits: &Limits, segments: impl IntoIterator<Item = &'a [u8]>, pay: u64) -> String {
    let mut h1 = ask(who, limits);
    let mut sink = Recorder::new(pay);
    let mut out = Out::new();
    let mut waiting: Vec<u8> = Vec::new();
    let mut verdict = Ok(());
    'feed: for segment in segments {
        waiting.extend_from_slice(segment);
        loop {
            sink.hears(&waiting);
            match h1.recv(Tick(0), &waiting, &mut sink, &mut out) {
                Ok(0) if sink.credit > 0 || waiting.is_empty() => break,
                Ok(n) => drop(waiting.drain(..n)),
                Err(fault) => {
                    verdict = Err(fault);
                    break 'feed;
                }
            }
            if sink.credit == 0 {
                sink.credit = pay;
            }
        }
    }
    let reusable = h1.reusable();
    assert_eq!(h1.capacity(), u32::from(reusable));
    if verdict.is_ok() {
        verdict = h1.eof(Tick(0), Eof::Clean, &mut sink);
    }
    assert!(out.is_empty());
    assert!(!h1.reusable());
    sink.flush();
    match verdict {
        Ok(()) => sink.log.push(if reusable { "keep" } else { "close" }.to_owned()),
        Err(fault) => {
            assert!(!reusable);
            sink.log.push(format!("!{fault:?}"));
        }
    }
    sink.log.join(" ")
}

/// What the input is told as; the same for the whole, for every cut in two, and for single bytes.
pub fn verdict(who: Ask, limits: &Limits, input: &[u8]) -> String {
    let whole = run(who, limits, [input], u64::MAX);
    for at in 0..=input.len() {
        let cut = run(who, limits, [&input[..at], &input[at..]], u64::MAX);
        assert_eq!(cut, whole, "cut at {at}: {}", input.escape_ascii());
    }
    for pay in [u64::MAX, 1] {
        let bytes = run(who, limits, input.chunks(1), pay);
        assert_eq!(bytes, whole, "byte by byte: {}", input.escape_ascii());
    }
    assert_eq!(run(who, limits, [input], 1), whole, "credit of one byte: {}", input.escape_ascii());
    whole
}

/// `verdict` without reason, version and fields of heads, for tables about something else.
pub fn brief(who: Ask, limits: &Limits, input: &[u8]) -> String {
    strip_heads(&verdict(who, limits, input))
}

pub fn strip_heads(told: &str) -> String {
    let mut words = Vec::new();
    let mut rest = told;
    while let Some(start) = rest.find(" Http1") {
        words.push(&rest[..start]);
        let after = &rest[start..];
        let end = after.find('}').map_or(after.len(), |i| i + 1);
        rest = &after[end..];
    }
    words.push(rest);
    words.concat()
}

pub fn sent(out: &Out) -> String {
    out.segments().map(|s| s.escape_ascii().to_string()).collect()
}

pub fn chunk(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}
