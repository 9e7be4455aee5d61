//! One connection of the mock: what is under way in each direction, and how a step of the script changes it.
//!
//! Towards the client, bytes pass from `flight` (sent by the peer) to `arrived` (in the client's socket buffer). `gate`
//! is down after a piece of a split send: nothing follows it before it was read and a wait has passed.

use super::Chaos;
use super::script::{Play, Player, Step};
use crate::net::backend::Edge;
use crate::proto::tls::{Manner, Server};
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::ops::Range;

#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Link {
    #[default]
    Connecting,
    Open,
    /// Refused or reset; the errno that the client has not been told yet.
    Dead(Option<i32>),
}

pub(super) enum Flow {
    Next,
    Restart,
    /// For bytes, or for ever.
    Wait,
    /// And run again at that moment.
    Sleep(u64),
    Mismatch(String),
    /// Nothing more.
    Over,
}

enum Flight {
    Data(Bytes),
    Piece(Bytes),
    Fin,
    Rst,
    Panic,
}

#[derive(Default)]
pub(super) struct Peer {
    pub link: Link,
    /// What the client has connected to.
    address: Option<IpAddr>,
    tls: Option<Box<Server>>,
    /// What the client has sent, deciphered, of which steps have taken the first `taken` bytes.
    pub inbox: Vec<u8>,
    pub taken: usize,
    pub heads: Vec<Range<usize>>,
    pub client_fin: bool,
    /// How far `expect_head` has looked, or `expect_bytes` has counted.
    progress: u64,
    sleeping_until: Option<u64>,
    player: Option<Player>,
    /// What the player has said and did not send yet.
    unplayed: VecDeque<u8>,

    flight: VecDeque<Flight>,
    arrived: VecDeque<Bytes>,
    pub gate: bool,
    fin: bool,
    panic: bool,

    short: Option<usize>,
    stopped: bool,
    /// A send was short: nothing more until a wait.
    pub full: bool,
    /// A send was short or blocked, so the client is owed a writable edge.
    owed_writable: bool,

    /// The client is owed a report.
    pub edge: bool,
    pub on_edges: bool,
    pub on_held: bool,
}

fn errno<T>(code: i32) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(code))
}

fn would_block<T>() -> io::Result<T> {
    errno(libc::EAGAIN)
}

impl Peer {
    pub fn at(address: Option<IpAddr>) -> Peer {
        Peer { address, ..Peer::default() }
    }

    // --- the peer's side ---

    pub fn step(&mut self, step: &Step, now: u64, chaos: Option<&mut Chaos>, recording: bool) -> Flow {
        match step {
            Step::Refuse => return self.die(libc::ECONNREFUSED),
            Step::BlackHole => return Flow::Wait,
            Step::ConnectDelay(ns) | Step::Delay(ns) => return self.sleep(now, *ns),
            _ => self.accept(),
        }
        match step {
            Step::Expect(bytes) => self.expect(bytes, recording),
            Step::ExpectHead => match head_end(&self.inbox[self.taken..], self.progress as usize) {
                Ok(len) => {
                    if recording {
                        self.heads.push(self.taken..self.taken + len);
                    }
                    self.take(len, recording);
                    Flow::Next
                }
                Err(_) if self.has_broken_off() => Flow::Mismatch("the client's side ended inside a head".into()),
                Err(looked) => {
                    self.progress = looked as u64;
                    Flow::Wait
                }
            },
            Step::ExpectBytes(n) => {
                let len = usize::try_from(*n - self.progress).unwrap_or(usize::MAX).min(self.inbox.len() - self.taken);
                let so_far = self.progress + len as u64;
                let broken_off = self.client_fin && (self.tls.is_none() || so_far > 0);
                self.take(len, recording);
                self.progress = if so_far == *n { 0 } else { so_far };
                match so_far == *n {
                    true => Flow::Next,
                    false if broken_off => Flow::Mismatch(format!("{so_far} bytes instead of {n}")),
                    false => Flow::Wait,
                }
            }
            Step::ExpectFin if self.taken < self.inbox.len() => {
                let rest = self.inbox[self.taken..].escape_ascii();
                Flow::Mismatch(format!("expected the end, got \"{rest}\""))
            }
            Step::ExpectFin if self.client_fin => Flow::Next,
            Step::ExpectFin => Flow::Wait,
            Step::Send(bytes) => {
                let bytes = self.sealed(bytes.clone());
                match chaos {
                    Some(chaos) => self.send_chaotic(bytes, chaos),
                    None => self.flight.push_back(Flight::Data(bytes)),
                }
                Flow::Next
            }
            Step::SendSplit(bytes, every) => {
                let mut rest = bytes.clone();
                while !rest.is_empty() {
                    let piece = rest.split_to(rest.len().min(*every));
                    self.send_piece(piece);
                }
                Flow::Next
            }
            Step::SendCut(bytes, offsets) => {
                let mut from = 0;
                for to in offsets.iter().copied().chain([bytes.len()]) {
                    if to > from {
                        self.send_piece(bytes.slice(from..to));
                        from = to;
                    }
                }
                Flow::Next
            }
            Step::Tls(manner) => self.secure(manner),
            Step::Fin => {
                let mut wire = Vec::new();
                if let Some(tls) = &mut self.tls {
                    tls.close(&mut wire);
                }
                self.send_wire(wire);
                self.put(Flight::Fin)
            }
            Step::Cut => self.put(Flight::Fin),
            Step::Rst => self.put(Flight::Rst),
            Step::Panic => self.put(Flight::Panic),
            Step::ShortWrites(n) => {
                self.short = Some(*n);
                Flow::Next
            }
            Step::StopReading => {
                self.stopped = true;
                Flow::Next
            }
            Step::ResumeReading => {
                self.stopped = false;
                if !self.full {
                    self.pay_writable();
                }
                Flow::Next
            }
            Step::Play(play) => self.play(play, now, recording),
            Step::Again => Flow::Restart,
            Step::Refuse | Step::BlackHole | Step::ConnectDelay(_) | Step::Delay(_) => unreachable!("done above"),
        }
    }

    fn play(&mut self, play: &Play, now: u64, recording: bool) -> Flow {
        let heard = self.inbox[self.taken..].to_vec();
        self.take(heard.len(), recording);
        self.unplayed.extend(self.player.get_or_insert_with(|| (play.make)())(&heard));
        while !self.unplayed.is_empty() {
            match self.sleep(now, play.delay) {
                Flow::Next => {}
                wait => return wait,
            }
            let len = play.every.min(self.unplayed.len());
            let piece = self.unplayed.drain(..len).collect();
            self.send_piece(piece);
        }
        Flow::Wait
    }

    pub fn is_secured(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_ready())
    }

    fn secure(&mut self, manner: &Manner) -> Flow {
        if self.tls.is_none() {
            match Server::new(manner, self.address) {
                Ok(server) => self.tls = Some(Box::new(server)),
                Err(error) => return Flow::Mismatch(format!("there can be no TLS: {error}")),
            }
            // It may have begun before.
            let come = self.inbox.split_off(self.taken);
            self.hear(&come);
        }
        match &self.tls {
            Some(tls) if tls.has_failed() => {
                self.flight.push_back(Flight::Fin);
                Flow::Over
            }
            Some(tls) if tls.is_ready() => Flow::Next,
            _ => Flow::Wait,
        }
    }

    /// The client has sent this.
    fn hear(&mut self, bytes: &[u8]) {
        let Some(tls) = &mut self.tls else { return self.inbox.extend_from_slice(bytes) };
        let mut wire = Vec::new();
        self.client_fin |= tls.recv(bytes, &mut self.inbox, &mut wire);
        self.send_wire(wire);
    }

    fn sealed(&mut self, bytes: Bytes) -> Bytes {
        let Some(tls) = &mut self.tls else { return bytes };
        let mut wire = Vec::new();
        tls.send(&bytes, &mut wire);
        wire.into()
    }

    fn send_piece(&mut self, bytes: Bytes) {
        let piece = self.sealed(bytes);
        self.flight.push_back(Flight::Piece(piece));
    }

    /// What TLS itself has to say.
    fn send_wire(&mut self, wire: Vec<u8>) {
        if !wire.is_empty() {
            self.flight.push_back(Flight::Data(wire.into()));
        }
    }

    fn put(&mut self, what: Flight) -> Flow {
        self.flight.push_back(what);
        Flow::Next
    }

    fn die(&mut self, code: i32) -> Flow {
        self.link = Link::Dead(Some(code));
        self.edge = true;
        Flow::Next
    }

    fn accept(&mut self) {
        if self.link == Link::Connecting {
            self.link = Link::Open;
            self.edge = true;
        }
    }

    /// A connection is open unless its next step has still to decide about that.
    pub fn accept_if_past_connecting(&mut self, next: Option<&Step>) {
        if !matches!(next, Some(Step::Refuse | Step::BlackHole | Step::ConnectDelay(_))) {
            self.accept();
        }
    }

    fn sleep(&mut self, now: u64, ns: u64) -> Flow {
        match self.sleeping_until {
            Some(until) if until <= now => {
                self.sleeping_until = None;
                Flow::Next
            }
            Some(_) => Flow::Wait,
            None if ns == 0 => Flow::Next,
            None => {
                let until = now.saturating_add(ns);
                self.sleeping_until = Some(until);
                Flow::Sleep(until)
            }
        }
    }

    pub fn is_asleep(&self) -> bool {
        self.sleeping_until.is_some()
    }

    fn take(&mut self, len: usize, recording: bool) {
        self.taken += len;
        self.progress = 0;
        if !recording && self.taken == self.inbox.len() {
            self.inbox.clear();
            self.taken = 0;
            self.heads.clear();
        }
    }

    fn send_chaotic(&mut self, mut rest: Bytes, chaos: &mut Chaos) {
        while !rest.is_empty() {
            let piece = rest.split_to(chaos.piece(rest.len()));
            // The last bytes sometimes share their arrival with what follows, a FIN for instance.
            let joined = rest.is_empty() && chaos.coin();
            self.flight.push_back(if joined { Flight::Data(piece) } else { Flight::Piece(piece) });
        }
    }

    /// What is under way in both directions is lost, apart from what is in the client's buffer already.
    pub fn reset(&mut self) {
        self.flight.clear();
        self.link = Link::Dead(Some(libc::ECONNRESET));
        self.edge = true;
    }

    pub fn forget_flights(&mut self) {
        self.flight = VecDeque::new();
        self.arrived = VecDeque::new();
    }

    // --- the way between ---

    /// Move what may arrive now into the client's buffer.
    pub fn arrive(&mut self) {
        while !self.gate
            && let Some(first) = self.flight.pop_front()
        {
            match first {
                Flight::Data(bytes) => self.arrived.push_back(bytes),
                Flight::Piece(bytes) => {
                    self.gate = true;
                    if !self.arrived.is_empty() {
                        self.flight.push_front(Flight::Piece(bytes));
                        return;
                    }
                    self.arrived.push_back(bytes);
                }
                Flight::Fin => self.fin = true,
                Flight::Panic => self.panic = true,
                Flight::Rst => self.reset(),
            }
            self.edge = true;
        }
    }

    /// Whether a wait would bring something.
    pub fn would_change(&self) -> bool {
        (self.gate && self.arrived.is_empty() && !self.flight.is_empty()) || (self.full && self.owed_writable)
    }

    pub fn at_wait(&mut self) {
        if self.full {
            self.full = false;
            if !self.stopped {
                self.pay_writable();
            }
        }
        if self.gate && self.arrived.is_empty() {
            self.gate = false;
            self.arrive();
        }
    }

    fn pay_writable(&mut self) {
        self.edge |= std::mem::take(&mut self.owed_writable);
    }

    // --- the client's side ---

    /// The present state, as epoll tells it.
    pub fn level(&self) -> Edge {
        match self.link {
            Link::Connecting => Edge::default(),
            Link::Dead(_) => Edge { readable: true, writable: true, hangup: true },
            Link::Open => Edge {
                readable: !self.arrived.is_empty() || self.fin || self.panic,
                writable: !self.full && !self.stopped,
                hangup: self.fin,
            },
        }
    }

    pub fn take_error(&mut self) -> io::Result<()> {
        match &mut self.link {
            Link::Dead(code) => code.take().map_or(Ok(()), errno),
            Link::Connecting | Link::Open => Ok(()),
        }
    }

    pub fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut n = 0;
        while n < into.len()
            && let Some(first) = self.arrived.front_mut()
        {
            let len = first.len().min(into.len() - n);
            into[n..n + len].copy_from_slice(&first[..len]);
            n += len;
            if len == first.len() {
                self.arrived.pop_front();
            } else {
                first.advance(len);
            }
        }
        if n > 0 {
            return Ok(n);
        }
        assert!(!self.panic, "scripted panic");
        self.take_error()?;
        if self.fin || self.link == Link::Dead(None) { Ok(0) } else { would_block() }
    }

    pub fn send(&mut self, bufs: &[IoSlice<'_>], chaos: Option<&mut Chaos>) -> io::Result<usize> {
        match self.link {
            Link::Connecting => return would_block(),
            Link::Open if self.client_fin => return errno(libc::EPIPE),
            Link::Open => {}
            Link::Dead(_) => return self.take_error().and_then(|()| errno(libc::EPIPE)),
        }
        if self.full || self.stopped {
            self.owed_writable = true;
            return would_block();
        }
        let offered: usize = bufs.iter().map(|b| b.len()).sum();
        let mut room = self.short.unwrap_or(usize::MAX);
        if let Some(chaos) = chaos
            && offered > 0
            && chaos.coin()
        {
            room = room.min(chaos.piece(offered));
        }
        // A peer with short writes blocks the next send even if this one just fitted.
        self.full = offered > room || self.short.is_some_and(|n| n <= offered);
        self.owed_writable = offered > room;
        let mut left = offered.min(room);
        for buf in bufs {
            let len = buf.len().min(left);
            self.hear(&buf[..len]);
            left -= len;
        }
        Ok(offered.min(room))
    }

    /// The client has closed its side where something was expected. Over TLS it says goodbye before it closes, which it may
    /// while nothing of it has come.
    fn has_broken_off(&self) -> bool {
        self.client_fin && (self.tls.is_none() || self.taken < self.inbox.len())
    }

    fn expect(&mut self, bytes: &Bytes, recording: bool) -> Flow {
        let got = &self.inbox[self.taken..];
        let common = got.len().min(bytes.len());
        if got[..common] != bytes[..common] {
            let (expected, got) = (bytes.escape_ascii(), got.escape_ascii());
            return Flow::Mismatch(format!("expected \"{expected}\", got \"{got}\""));
        }
        if common < bytes.len() {
            return match self.has_broken_off() {
                true => Flow::Mismatch(format!("the client's side ended after \"{}\"", got.escape_ascii())),
                false => Flow::Wait,
            };
        }
        self.take(common, recording);
        Flow::Next
    }
}

/// The length of the head at the front of `bytes`, or how far it was looked for. Skips as Boyer and Moore do, because
/// this counts into the instructions of a measured request.
fn head_end(bytes: &[u8], looked: usize) -> Result<usize, usize> {
    let mut at = looked.max(3);
    while let Some(&last) = bytes.get(at) {
        at += match last {
            b'\n' if bytes[..=at].ends_with(b"\r\n\r\n") => return Ok(at + 1),
            b'\n' => 2,
            b'\r' => 1,
            _ => 4,
        };
    }
    Err(at)
}

#[cfg(test)]
mod tests {
    use super::head_end;

    #[test]
    fn head_end_is_found_wherever_it_was_cut() {
        let head = b"GET / HTTP/1.1\r\nA: b\r\r\n\r\nrest\r\n\r\n";
        let end = head.len() - b"rest\r\n\r\n".len();
        for cut in 0..head.len() {
            match head_end(&head[..cut], 0) {
                Ok(len) => assert!(cut >= end && len == end),
                Err(looked) => {
                    assert!(cut < end);
                    assert_eq!(head_end(head, looked), Ok(end), "cut at {cut}");
                }
            }
        }
    }
}
