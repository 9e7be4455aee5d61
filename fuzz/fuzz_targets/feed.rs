//! Shared by the HTTP/1.1 targets: a response fed in cuts, and what was said of it.

use chttpcore::proto::h1::encode::{Spec, encode};
use chttpcore::proto::h1::{H1, Limits};
use chttpcore::proto::url::Url;
use chttpcore::proto::{Data, Eof, Fault, Fields, Follows, Head, Out, Protocol, Sink, StreamKey, Tick};
use std::sync::Arc;

/// What was said, as bytes: adjacent data is joined because nothing is written between its pieces.
#[derive(Default)]
struct Story {
    input: Vec<u8>,
    told: Vec<u8>,
}

impl Story {
    fn fields(&mut self, fields: Fields<'_>) {
        for (name, value) in fields.iter() {
            assert!(!name.is_empty());
            assert!(!value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
            self.told.extend_from_slice(name);
            self.told.push(0);
            self.told.extend_from_slice(value);
            self.told.push(0);
        }
    }
}

impl Sink for Story {
    fn informational(&mut self, _: StreamKey, head: &Head<'_>) {
        assert!((100..200).contains(&head.status));
        self.told.push(b'i');
        self.fields(head.fields);
    }

    fn head(&mut self, _: StreamKey, head: &Head<'_>, follows: Follows) {
        assert!((100..1000).contains(&head.status));
        self.told.extend_from_slice(format!("{}{:?}{follows:?}", head.status, head.version).as_bytes());
        self.told.extend_from_slice(head.reason);
        self.fields(head.fields);
    }

    fn credit(&mut self, _: StreamKey) -> u64 {
        u64::MAX
    }

    fn data(&mut self, _: StreamKey, data: Data) {
        match data {
            Data::Input(range) => self.told.extend_from_slice(&self.input[range]),
            Data::Owned(_) => unreachable!("HTTP/1.1 owns no data"),
        }
    }

    fn trailers(&mut self, _: StreamKey, fields: Fields<'_>) {
        self.told.push(b't');
        self.fields(fields);
    }

    fn end(&mut self, _: StreamKey) {
        self.told.push(b'.');
    }

    fn failed(&mut self, _: StreamKey, _: Fault) {
        unreachable!("HTTP/1.1 has one stream");
    }

    fn writable(&mut self, _: StreamKey) {}
}

type Verdict = (Vec<u8>, Result<(), Fault>, bool);

/// `flags` chooses the request and the options; `size` is the length of the segments.
fn run(flags: u8, input: &[u8], size: usize) -> Verdict {
    let limits = Limits {
        line_max: 1 << 10,
        head_max: 2 << 10,
        fields_max: 70,
        chunk_ext_max: 64,
        allow_bare_lf: flags & 1 != 0,
        allow_obs_fold: flags & 2 != 0,
        ..Limits::default()
    };
    let mut h1 = H1::new(Arc::new(limits));
    let url = Url::parse(b"http://a/").expect("a good URL");
    let method: &[u8] = [&b"GET"[..], b"HEAD", b"CONNECT", b"OPTIONS"][usize::from(flags >> 2 & 3)];
    let fields: [(&[u8], &[u8]); 2] = [(b"Connection", b"upgrade"), (b"Upgrade", b"x")];
    let with = if flags & 16 != 0 { &fields[..] } else { &[] };
    let request = encode(&Spec::new(method, &url), with.iter().copied()).expect("a good request");
    let mut out = Out::new();
    h1.open(Tick(0), &request.request(), &mut out).expect("an open connection");
    let mut story = Story::default();
    let mut waiting = Vec::new();
    for segment in input.chunks(size.max(1)) {
        waiting.extend_from_slice(segment);
        while !waiting.is_empty() {
            story.input.clone_from(&waiting);
            match h1.recv(Tick(0), &waiting, &mut story, &mut out) {
                Ok(0) => break,
                Ok(n) => drop(waiting.drain(..n)),
                Err(fault) => return (story.told, Err(fault), h1.reusable()),
            }
        }
    }
    let reusable = h1.reusable();
    let verdict = h1.eof(Tick(0), Eof::Clean, &mut story);
    (story.told, verdict, reusable)
}

/// The verdict must not depend on the cuts.
pub fn same_in_every_cut(flags: u8, input: &[u8], size: u8) {
    let whole = run(flags, input, input.len());
    assert_eq!(run(flags, input, 1), whole);
    assert_eq!(run(flags, input, usize::from(size)), whole);
}
