//! WebSocket servers that play on the scripted network, and a client that does what an application would.
#![allow(dead_code)] // Each test binary uses a part of it.

use crate::client::*;
use chttpcore::client::websocket::{Choices, Frame, Setup};
use chttpcore::net::backend::mock::{Player, Script};
use chttpcore::proto::ws::deflate::Offer;
use chttpcore::proto::ws::handshake;
use chttpcore::queue::event::kind;
use std::sync::{Arc, Mutex};

pub const FIN: u8 = 0x80;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// A frame of a server's.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(len as u8),
        len @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
    out
}

pub fn text(payload: &str) -> Vec<u8> {
    frame(FIN | TEXT, payload.as_bytes())
}

pub fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes()[..], reason.as_bytes()].concat())
}

/// A frame of the client's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    pub first: u8,
    pub payload: Vec<u8>,
    pub mask: [u8; 4],
}

/// Takes the masked frames out of what a client has sent. The rest stays.
pub fn unmask(bytes: &mut Vec<u8>) -> Vec<Said> {
    let mut frames = Vec::new();
    loop {
        let Some(&[first, second]) = bytes.first_chunk::<2>() else { return frames };
        assert_ne!(second & 0x80, 0, "a client masks");
        let (at, len) = match second & 0x7f {
            126 => match bytes[2..].first_chunk::<2>() {
                Some(len) => (4, u16::from_be_bytes(*len) as usize),
                None => return frames,
            },
            127 => match bytes[2..].first_chunk::<8>() {
                Some(len) => (10, u64::from_be_bytes(*len) as usize),
                None => return frames,
            },
            len => (2, len as usize),
        };
        if bytes.len() < at + 4 + len {
            return frames;
        }
        let mask: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
        let masked = bytes[at + 4..at + 4 + len].iter().enumerate();
        let payload = masked.map(|(i, b)| b ^ mask[i % 4]).collect();
        bytes.drain(..at + 4 + len);
        frames.push(Said { first, payload, mask });
    }
}

/// What a server has heard: the head of the request, and frames.
#[derive(Default, Debug)]
pub struct Heard {
    pub head: String,
    pub frames: Vec<Said>,
}

pub type Ear = Arc<Mutex<Heard>>;

/// Answers to frames.
pub type Answer = Arc<dyn Fn(&Said) -> Vec<u8> + Send + Sync>;

/// A server that shakes hands with `fields` more, says `first`, and then answers each frame as `answer` says; a Close frame
/// is answered by itself.
#[derive(Clone)]
pub struct Server {
    pub fields: String,
    pub first: Vec<u8>,
    /// What it says once it has heard so many frames.
    pub then: Vec<(usize, Vec<u8>)>,
    pub answer: Answer,
    pub ear: Ear,
    pub every: usize,
    pub delay: u64,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            fields: String::new(),
            first: Vec::new(),
            then: Vec::new(),
            answer: Arc::new(|_| Vec::new()),
            ear: Ear::default(),
            every: usize::MAX,
            delay: 0,
        }
    }
}

impl Server {
    pub fn saying(first: impl Into<Vec<u8>>) -> Server {
        Server { first: first.into(), ..Server::default() }
    }

    pub fn script(&self) -> Script {
        let server = self.clone();
        Script::new().play(self.every, self.delay, move || server.player())
    }

    fn player(&self) -> Player {
        let server = self.clone();
        let (mut bytes, mut open, mut stage) = (Vec::new(), false, 0);
        Box::new(move |heard| {
            bytes.extend_from_slice(heard);
            let mut says = Vec::new();
            let mut ear = server.ear.lock().unwrap();
            if !open {
                let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return says };
                ear.head = String::from_utf8(bytes.drain(..end + 4).collect()).unwrap();
                says.extend_from_slice(switching(&ear.head, &server.fields).as_bytes());
                says.extend_from_slice(&server.first);
                open = true;
            }
            for said in unmask(&mut bytes) {
                says.extend_from_slice(&(server.answer)(&said));
                if said.first & 15 == CLOSE {
                    says.extend_from_slice(&frame(FIN | CLOSE, &said.payload[..said.payload.len().min(2)]));
                }
                ear.frames.push(said);
            }
            while let Some((count, bytes)) = server.then.get(stage).filter(|(count, _)| *count <= ear.frames.len()) {
                assert!(ear.frames.len() == *count || *count == 0);
                says.extend_from_slice(bytes);
                stage += 1;
            }
            says
        })
    }

    pub fn world(&self) -> World {
        World::serving(self.script())
    }

    pub fn frames(&self) -> Vec<Said> {
        self.ear.lock().unwrap().frames.clone()
    }
}

/// The answer of a server that agrees, with `fields` more.
pub fn switching(head: &str, fields: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
    let accept = handshake::accept(&handshake::parse_key(key.as_bytes()).expect("16 bytes"));
    let accept = std::str::from_utf8(&accept).unwrap();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{fields}\r\n"
    )
}

pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

pub fn setup(choices: Choices) -> Setup {
    let key = handshake::parse_key(KEY.as_bytes()).unwrap();
    Setup { key: Some(key), protocols: Box::default(), deflate: None, choices }
}

pub fn websocket(setup: Setup) -> Ask {
    let fields = vec![
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", KEY),
    ];
    Ask { load: Load::WebSocket(Box::new(setup)), fields, ..get() }
}

pub fn plain() -> Ask {
    websocket(setup(Choices::default()))
}

pub fn deflating(offer: Offer) -> Ask {
    let mut setup = setup(Choices { deflate_from: 0, ..Choices::default() });
    setup.deflate = Some(offer);
    websocket(setup)
}

pub fn send(w: &World, xid: u64, first: u8, payload: &[u8]) -> Result<(), i32> {
    let frame = Frame { opcode: first & 15, fin: first & FIN != 0, plain: false, payload };
    w.engine.send_frame(xid, &frame)
}

/// Messages go back as they come, until the exchange has ended.
pub fn echo(w: &mut World, xid: u64) {
    let mut seen = 0;
    loop {
        w.settle();
        let log = w.log(xid);
        if log.end.is_some() {
            return;
        }
        let new: Vec<_> = log.said[seen..].to_vec();
        seen = log.said.len();
        if new.is_empty() {
            let next = w.net.next_event().0;
            if next == u64::MAX {
                return;
            }
            w.net.advance(next.saturating_sub(w.net.now().0));
        }
        for (what, arg, fin, bytes) in new {
            if what == kind::WS_MESSAGE {
                assert!(fin);
                match send(w, xid, FIN | arg as u8, &bytes) {
                    Ok(()) | Err(e::CHTTP_E_BAD_STATE | e::CHTTP_E_NOT_FOUND) => {}
                    Err(code) => panic!("{code}"),
                }
            }
        }
    }
}
