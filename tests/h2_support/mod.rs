//! HTTP/2 by hand: frames, and a server for the scripted network that answers frame by frame. Field sections are literals
//! without an index, so that no state is needed to make them; those of the client are not decoded.
#![allow(dead_code)] // Each test binary uses a part of it.

use chttpcore::net::backend::mock::{Player, Script};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

pub const MAX_CONCURRENT_STREAMS: u16 = 3;
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// Codes of RFC 9113 section 7.
pub const PROTOCOL_ERROR: u32 = 1;
pub const INTERNAL_ERROR: u32 = 2;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const COMPRESSION_ERROR: u32 = 9;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub fn hello(values: &[(u16, u32)]) -> Vec<u8> {
    let value = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &values.iter().flat_map(value).collect::<Vec<u8>>())
}

/// A number with a prefix of seven bits (RFC 7541 section 5.1).
fn number(n: usize) -> Vec<u8> {
    if n < 127 {
        return vec![n as u8];
    }
    let (mut out, mut n) = (vec![127], n - 127);
    while n >= 128 {
        out.push(n as u8 | 128);
        n /= 128;
    }
    out.push(n as u8);
    out
}

/// A field section.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let field = |(name, value): &(&str, &str)| {
        [&[0][..], &number(name.len()), name.as_bytes(), &number(value.len()), value.as_bytes()].concat()
    };
    fields.iter().flat_map(field).collect()
}

pub fn headers(stream: u32, end: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | u8::from(end), stream, &block(fields))
}

pub fn data(stream: u32, end: bool, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, u8::from(end), stream, bytes)
}

pub fn rst(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

pub fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

pub fn window_update(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

/// A whole answer.
pub fn ok(stream: u32, body: &[u8]) -> Vec<u8> {
    [headers(stream, false, &[(":status", "200"), ("server", "hand")]), data(stream, true, body)].concat()
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn ends(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// A request begins.
    pub fn asks(&self) -> bool {
        self.kind == HEADERS && self.stream != 0
    }

    pub fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// The frames of a client, behind its preface; what is no whole frame is left out.
pub fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut rest = bytes.strip_prefix(PREFACE).expect("a client begins with the preface");
    std::iter::from_fn(|| take_frame(&mut rest)).collect()
}

fn take_frame(rest: &mut &[u8]) -> Option<Frame> {
    let len = u32::from_be_bytes([0, *rest.first()?, *rest.get(1)?, *rest.get(2)?]) as usize;
    let (frame, behind) = rest.split_at_checked(9 + len)?;
    *rest = behind;
    Some(Frame {
        kind: frame[3],
        flags: frame[4],
        stream: u32::from_be_bytes(frame[5..9].try_into().unwrap()),
        payload: frame[9..].to_vec(),
    })
}

/// What a server does about a frame: it appends to what is sent.
pub type Answer = Box<dyn FnMut(&Frame, &mut Vec<u8>) + Send>;

/// A server that says `first` once the preface is there, answers SETTINGS and PING as it must, and leaves the rest to
/// `answer`, which is made for each connection.
pub fn server(first: Vec<u8>, answer: impl Fn() -> Answer + Send + Sync + 'static) -> Script {
    paced(first, usize::MAX, 0, answer)
}

/// The same in pieces of at most `every` bytes, with a `delay` before each.
pub fn paced(first: Vec<u8>, every: usize, delay: u64, answer: impl Fn() -> Answer + Send + Sync + 'static) -> Script {
    behind(Script::new(), first, every, delay, answer)
}

/// The same behind other steps.
pub fn behind(
    steps: Script,
    first: Vec<u8>,
    every: usize,
    delay: u64,
    answer: impl Fn() -> Answer + Send + Sync + 'static,
) -> Script {
    steps.play(every, delay, move || {
        let (mut inbox, mut greeted, mut answer, first) = (Vec::new(), false, answer(), first.clone());
        let play: Player = Box::new(move |bytes| {
            inbox.extend_from_slice(bytes);
            let mut out = Vec::new();
            if !greeted {
                if inbox.len() < PREFACE.len() {
                    return out;
                }
                assert_eq!(&inbox[..PREFACE.len()], PREFACE);
                inbox.drain(..PREFACE.len());
                greeted = true;
                out.extend_from_slice(&first);
            }
            let mut rest = &inbox[..];
            while let Some(frame) = take_frame(&mut rest) {
                match (frame.kind, frame.flags & ACK) {
                    (SETTINGS, 0) => out.extend(self::frame(SETTINGS, ACK, 0, &[])),
                    (PING, 0) => out.extend(self::frame(PING, ACK, 0, &frame.payload)),
                    _ => {}
                }
                answer(&frame, &mut out);
            }
            inbox = rest.to_vec();
            out
        });
        play
    })
}

/// Every request gets this answer, once it is there as a whole.
pub fn each(first: Vec<u8>, answer: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static) -> Script {
    let answer = std::sync::Arc::new(answer);
    server(first, move || {
        let answer = answer.clone();
        Box::new(move |frame, out| {
            if frame.ends() {
                out.extend(answer(frame.stream));
            }
        })
    })
}

pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 13 + i / 241) as u8).collect()
}
