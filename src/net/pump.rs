//! Reading: what has come on a connection goes through its protocol into a [`Receiver`].
//!
//! Bytes that the protocol cannot use yet, or has no credit for, are kept at the connection. While anything is left that credit
//! was refused for, nothing more is received.
#![forbid(unsafe_code)]

use super::backend::Backend;
use super::connection::{Conn, ConnId, Kept, retry};
use super::reactor::Io;
use super::secure::Received;
use crate::mem::{Block, Pool};
use crate::proto::{Eof, Fault, Sink, Tick, tls};
use std::io;

/// Bytes that one connection may receive in one turn before others get theirs.
pub(super) const TURN_BUDGET: usize = 512 << 10;
/// Room for a record of TLS and more.
const SECURE_ROOM: usize = 17 << 10;

/// A sink that can also hold on to the memory it is shown.
pub trait Receiver: Sink {
    /// The input of the next upcalls stands in `block` from `start` on.
    fn lend(&mut self, block: &Block, start: usize);
    /// As `lend`, but nothing may hold on to the block: it is used again at once.
    fn show(&mut self, block: &Block, start: usize);
    fn take_back(&mut self);
    /// Bytes arrived.
    fn heard(&mut self);
    /// The protocol was refused credit since the input was lent. Unlike `paused` it tells what was so then: credit comes
    /// back from other threads at any time.
    fn denied(&self) -> bool;
    /// No credit is left: stop reading.
    fn paused(&mut self) -> bool;
    /// Bytes of a body that it would take now.
    fn room(&mut self) -> u64;
    fn memory(&mut self) -> &mut Pool;
}

/// How a pump ended.
#[derive(Debug)]
pub enum Pumped {
    /// The socket has nothing more for now.
    Drained,
    /// The receiver is out of credit. Call `resume` when it has some.
    Paused,
    /// The peer closed its side, and that was all right.
    Closed,
    /// The protocol was broken, or cut short.
    Fault(Fault),
    /// The socket failed.
    Lost(io::Error),
    /// TLS failed.
    Insecure(tls::Error),
}

impl<B: Backend> Io<B> {
    /// Read from the connection, through its protocol, into `sink`.
    pub fn pump<S: Receiver>(&mut self, id: ConnId, sink: &mut S) -> Pumped {
        let by_records = self.conns.get(id).is_some_and(|conn| conn.tls.is_some() && conn.is_shared());
        self.came = 0;
        let pumped = if by_records { self.pump_records(id, sink) } else { self.pump_on(id, sink) };
        if let Pumped::Drained = pumped {
            self.mark(id, self.came, sink);
        }
        self.tidy_secure(id, sink.memory());
        pumped
    }

    /// Let the protocol of a connection say what it can without input, and send it.
    pub fn speak<S: Receiver>(&mut self, id: ConnId, sink: &mut S) -> Pumped {
        self.refeed(id, sink).unwrap_or(Pumped::Drained)
    }

    fn pump_on<S: Receiver>(&mut self, id: ConnId, sink: &mut S) -> Pumped {
        let mut budget = TURN_BUDGET;
        loop {
            if let Some(pumped) = self.goes_no_further(id, budget, sink) {
                return pumped;
            }
            let Some(conn) = self.conns.get_mut(id) else { return Pumped::Drained };
            let secure = conn.tls.as_ref().map(|tls| tls.backlog());
            let bulk = conn.bulk && sink.room() >= Pool::BULK as u64;
            let buffer = match conn.kept.take() {
                None if bulk => sink.memory().block(Pool::BULK).map(|block| (block, 0)),
                kept => Self::buffer(kept, secure, &mut self.scratch, sink.memory()),
            };
            let Some((mut block, have)) = buffer else {
                return Pumped::Lost(io::Error::from_raw_os_error(libc::ENOMEM));
            };
            let room = &mut block.unique().expect("a receive buffer is not shared")[have..];
            let received = match secure {
                Some(_) => self.receive_secure(id, room, sink.memory()),
                None => match retry(|| self.backend.recv(conn.sock, room)) {
                    Ok(0) => Received::End(Eof::Clean),
                    Ok(len) => Received::Plain { len, taken: len, drained: len < room.len() && !conn.hangup },
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        Received::Plain { len: 0, taken: 0, drained: true }
                    }
                    Err(e) => Received::Lost(e),
                },
            };
            let conn = self.conns.get_mut(id).expect("receiving closes nothing");
            self.came += received.work();
            let end = match received {
                Received::Plain { len: 0, taken, drained } => {
                    Self::stow(conn, &mut self.scratch, block, 0, have, sink.memory());
                    if !drained || conn.tls.as_ref().is_some_and(|tls| tls.session.heard_close()) {
                        // Records without contents are work, too.
                        budget = budget.saturating_sub(taken.max(1 << 10));
                        continue;
                    }
                    return Self::nothing(conn);
                }
                Received::Plain { len: n, taken, drained } => {
                    conn.heard = true;
                    conn.bulk = secure.is_none() && n >= Pool::RECEIVE;
                    sink.heard();
                    budget = budget.saturating_sub(taken);
                    if let Err(fault) = self.feed(id, block, 0, have + n, sink) {
                        return Pumped::Fault(fault);
                    }
                    let conn = self.conns.get(id);
                    let starved = conn.is_some_and(|c| c.starved);
                    let closed = conn.is_some_and(|c| c.tls.as_ref().is_some_and(|tls| tls.session.heard_close()));
                    if drained && !closed && !starved && !sink.paused() {
                        return Pumped::Drained;
                    }
                    continue;
                }
                other => other,
            };
            Self::stow(conn, &mut self.scratch, block, 0, have, sink.memory());
            return Self::over(conn, self.now, end, sink);
        }
    }

    /// What needs no new bytes comes first, so that nothing is overtaken. `Some`: nothing is received now.
    pub(super) fn goes_no_further<S: Receiver>(&mut self, id: ConnId, budget: usize, sink: &mut S) -> Option<Pumped> {
        if let Some(pumped) = self.refeed(id, sink) {
            return Some(pumped);
        }
        let Some(conn) = self.conns.get_mut(id) else { return Some(Pumped::Drained) };
        // The end was read already, and what came before it waits for credit: a reset behind it takes nothing of that.
        if conn.proto.holds() {
            return Some(Pumped::Drained);
        }
        // Still starved: credit that came since `refeed` looked must not lead past what is kept to an empty socket.
        if conn.starved || sink.paused() {
            conn.paused = true;
            return Some(Pumped::Paused);
        }
        if budget == 0 {
            self.run(id);
            return Some(Pumped::Drained);
        }
        // The peer has said that nothing follows, and all that came before is consumed.
        if conn.tls.as_ref().is_some_and(|tls| tls.session.heard_close()) {
            return Some(Self::end(conn, self.now, Eof::Clean, sink));
        }
        None
    }

    /// Nothing has come.
    pub(super) fn nothing(conn: &Conn<B::Sock>) -> Pumped {
        // Sending failed, and the peer has left no word about why.
        match conn.send_failed {
            Some(errno) => Pumped::Lost(io::Error::from_raw_os_error(errno)),
            None => Pumped::Drained,
        }
    }

    /// Nothing more will come.
    pub(super) fn over<S: Receiver>(conn: &mut Conn<B::Sock>, now: Tick, how: Received, sink: &mut S) -> Pumped {
        match how {
            // A send was told of the reset, and reading shows an end that the peer never meant.
            Received::End(_) if conn.send_failed.is_some_and(|errno| errno != libc::EPIPE) => {
                let errno = conn.send_failed.unwrap_or(libc::ECONNRESET);
                Pumped::Lost(io::Error::from_raw_os_error(errno))
            }
            Received::End(how) => Self::end(conn, now, how, sink),
            Received::Lost(e) => Pumped::Lost(e),
            Received::Insecure(e) => Pumped::Insecure(e),
            Received::Plain { .. } => Pumped::Drained,
        }
    }

    /// The peer has closed its side. The connection stays while something that came before waits for credit.
    fn end<S: Receiver>(conn: &mut Conn<B::Sock>, now: Tick, how: Eof, sink: &mut S) -> Pumped {
        match conn.proto.eof(now, how, sink) {
            Ok(()) if conn.proto.holds() => Pumped::Drained,
            Ok(()) => Pumped::Closed,
            Err(fault) => Pumped::Fault(fault),
        }
    }

    /// Let the protocol say what it can without input; then feed what is kept, if it stopped for want of credit and there
    /// is some now.
    fn refeed<S: Receiver>(&mut self, id: ConnId, sink: &mut S) -> Option<Pumped> {
        let conn = self.conns.get_mut(id)?;
        if conn.proto.unsaid() {
            let said = conn.proto.recv(self.now, &[], sink, &mut self.out);
            self.send_out(id);
            if let Err(fault) = said {
                return Some(Pumped::Fault(fault));
            }
        }
        loop {
            let conn = self.conns.get_mut(id)?;
            if !conn.starved || sink.paused() {
                return None;
            }
            conn.starved = false;
            // It came with the handshake, before there was anybody to tell.
            if !conn.heard {
                conn.heard = true;
                sink.heard();
            }
            let Kept { block, start, end } = conn.kept.take()?;
            if let Err(fault) = self.feed(id, block, start as usize, end as usize, sink) {
                return Some(Pumped::Fault(fault));
            }
        }
    }

    fn feed<S: Receiver>(
        &mut self,
        id: ConnId,
        block: Block,
        start: usize,
        end: usize,
        sink: &mut S,
    ) -> Result<(), Fault> {
        let conn = self.conns.get_mut(id).expect("only an existing connection is fed");
        let unsent = conn.unsent();
        conn.proto.output_waits(unsent);
        sink.lend(&block, start);
        let fed = conn.proto.recv(self.now, &block.bytes()[start..end], sink, &mut self.out);
        sink.take_back();
        if !self.out.is_empty() || self.out.is_finished() || conn.proto.unsaid() {
            self.send_out(id);
        }
        let conn = self.conns.get_mut(id).expect("sending closes nothing");
        let used = fed?;
        conn.starved = start + used < end && sink.denied();
        Self::stow(conn, &mut self.scratch, block, start + used, end, sink.memory());
        Ok(())
    }

    /// A block to receive into, with the kept bytes at its front. Of a secured connection whole records are received, behind
    /// `backlog` bytes that wait to be deciphered.
    fn buffer(
        kept: Option<Kept>,
        backlog: Option<usize>,
        scratch: &mut Option<Block>,
        memory: &mut Pool,
    ) -> Option<(Block, usize)> {
        let least = backlog.map_or(0, |backlog| backlog + SECURE_ROOM);
        let Some(Kept { mut block, start, end }) = kept else {
            if least > Pool::RECEIVE {
                return Some((memory.block(least)?, 0));
            }
            return Some((scratch.take().or_else(|| memory.block(Pool::RECEIVE))?, 0));
        };
        let have = (end - start) as usize;
        if start == 0 && have + least < block.capacity() && block.unique().is_some() {
            return Some((block, have));
        }
        let mut larger = memory.block((have * 2).max(have + least).max(512))?;
        larger.unique()?[..have].copy_from_slice(&block.bytes()[start as usize..end as usize]);
        Some((larger, have))
    }

    /// Put a block away: back to the scratch if nothing is left in it, else aside for the connection.
    pub(super) fn stow(
        conn: &mut Conn<B::Sock>,
        scratch: &mut Option<Block>,
        block: Block,
        start: usize,
        end: usize,
        memory: &mut Pool,
    ) {
        let left = end - start;
        if left == 0 {
            if scratch.is_none() && block.capacity() == Pool::RECEIVE && block.is_unique() {
                *scratch = Some(block);
            }
            return;
        }
        // A few bytes do not hold a large block: thousands of slow peers would add up.
        if block.capacity() / 4 > left
            && let Some(mut smaller) = memory.block((left * 2).max(512))
            && let Some(room) = smaller.unique()
        {
            room[..left].copy_from_slice(&block.bytes()[start..end]);
            conn.kept = Some(Kept { block: smaller, start: 0, end: left as u32 });
            if scratch.is_none() && block.capacity() == Pool::RECEIVE && block.is_unique() {
                *scratch = Some(block);
            }
            return;
        }
        conn.kept = Some(Kept { block, start: start as u32, end: end as u32 });
    }
}
