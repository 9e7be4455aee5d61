//! Shared by the target of HTTP/2 and the tests: what a server says, fed in cuts, and what two streams and two tunnels were
//! told of it.

use chttpcore::proto::h1::encode::{Spec, encode};
use chttpcore::proto::h2::{H2, Limits};
use chttpcore::proto::url::Url;
use chttpcore::proto::{Data, Eof, Fault, Fields, Follows, Head, Out, Protocol, Sink, StreamKey, Tick};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was said of each stream, as bytes: adjacent data is joined because nothing is written between its pieces.
#[derive(Default)]
struct Stories {
    of: BTreeMap<u32, Vec<u8>>,
    over: BTreeMap<u32, bool>,
    /// What is being fed.
    input: Vec<u8>,
}

impl Stories {
    fn tell(&mut self, s: StreamKey, what: u8) -> &mut Vec<u8> {
        assert!(!self.over.get(&s.0).copied().unwrap_or(false), "something behind the end");
        let told = self.of.entry(s.0).or_default();
        if what != 0 {
            told.push(what);
        }
        told
    }

    fn fields(told: &mut Vec<u8>, fields: Fields<'_>) {
        for (name, value) in fields.iter() {
            assert!(!name.is_empty() && !name.iter().any(|b| b.is_ascii_uppercase() || *b == b':'));
            assert!(!value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
            told.extend_from_slice(name);
            told.push(0);
            told.extend_from_slice(value);
            told.push(0);
        }
    }
}

impl Sink for Stories {
    fn informational(&mut self, s: StreamKey, head: &Head<'_>) {
        assert!((100..200).contains(&head.status) && head.status != 101);
        Stories::fields(self.tell(s, b'i'), head.fields);
    }

    fn head(&mut self, s: StreamKey, head: &Head<'_>, _: Follows) {
        assert!((200..1000).contains(&head.status));
        let told = self.tell(s, b'h');
        told.extend_from_slice(&head.status.to_be_bytes());
        Stories::fields(told, head.fields);
    }

    fn credit(&mut self, _: StreamKey) -> u64 {
        u64::MAX
    }

    fn data(&mut self, s: StreamKey, data: Data) {
        let bytes = match data {
            Data::Owned(bytes) => bytes.to_vec(),
            Data::Input(range) => self.input[range].to_vec(),
        };
        self.tell(s, 0).extend_from_slice(&bytes);
    }

    fn trailers(&mut self, s: StreamKey, fields: Fields<'_>) {
        Stories::fields(self.tell(s, b't'), fields);
    }

    fn end(&mut self, s: StreamKey) {
        self.tell(s, b'.');
    }

    fn failed(&mut self, s: StreamKey, _: Fault) {
        self.tell(s, b'!');
        self.over.insert(s.0, true);
    }

    fn writable(&mut self, _: StreamKey) {}
}

/// What was told of each stream, and the fault of the connection.
pub type Outcome = (BTreeMap<u32, Vec<u8>>, Option<Fault>);

const STREAMS: u32 = 4;

/// `flags` chooses whether the server begins in good order.
pub fn run_pieces(flags: u8, pieces: &[&[u8]]) -> Outcome {
    let limits = Limits { line_max: 1 << 10, head_max: 4 << 10, fields_max: 70, ..Limits::default() };
    let mut h2 = H2::new(Arc::new(limits), None);
    let mut out = Out::new();
    let mut stories = Stories::default();
    let url = Url::parse(b"http://a/").expect("a good URL");
    for (method, protocol) in [(&b"GET"[..], None), (b"HEAD", None), (b"CONNECT", None), (b"CONNECT", Some(&b"x"[..]))]
    {
        let mut spec = Spec::new(method, &url);
        spec.protocol = protocol;
        let head = encode(&spec, std::iter::empty::<(&[u8], &[u8])>()).expect("a good request");
        h2.open(Tick(0), &head.request(), &mut out).expect("an open connection");
    }
    let hello: &[u8] = if flags & 1 == 0 { &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1] } else { &[] };
    for piece in std::iter::once(&hello).chain(pieces) {
        stories.input = piece.to_vec();
        match h2.recv(Tick(0), piece, &mut stories, &mut out) {
            Ok(used) => assert_eq!(used, piece.len(), "it takes all"),
            Err(fault) => return (stories.of, Some(fault)),
        }
        for turn in 0.. {
            if !h2.unsaid() {
                break;
            }
            assert!(turn < 100, "it does not come to rest");
            if let Err(fault) = h2.recv(Tick(0), &[], &mut stories, &mut out) {
                return (stories.of, Some(fault));
            }
        }
    }
    let ended = h2.eof(Tick(0), Eof::Clean, &mut stories);
    (stories.of, ended.err())
}

fn run(flags: u8, input: &[u8], size: usize) -> Outcome {
    run_pieces(flags, &input.chunks(size.max(1)).collect::<Vec<_>>())
}

/// Whatever it is: what was told does not depend on the cuts, nothing panics, and the protocol comes to rest.
pub fn same_in_every_cut(flags: u8, input: &[u8], size: u8) {
    let whole = run(flags, input, input.len());
    agree(&run(flags, input, 1), &whole);
    agree(&run(flags, input, usize::from(size)), &whole);
}

/// The verdict is the same, and so is what was told. A fault of the connection may find that a stream was told less: one whose
/// request has not ended is not told of an end that came along with the fault.
pub fn agree(one: &Outcome, other: &Outcome) {
    assert_eq!(one.1, other.1);
    if one.1.is_none() {
        assert_eq!(one, other);
    }
    for s in 0..STREAMS {
        let nothing = Vec::new();
        let (one, other) = (one.0.get(&s).unwrap_or(&nothing), other.0.get(&s).unwrap_or(&nothing));
        assert!(one.starts_with(other) || other.starts_with(one), "{one:x?} and {other:x?}");
    }
}
