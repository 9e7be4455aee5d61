//! TLS of a connection: what stands between its socket and its protocol.
//!
//! ```text
//! dialling ──► handshake (`Conn::securing`) ──► ready: `Io::pump` and `Io::transmit` go through the session
//! ```
//!
//! To the pump a secured socket is one that yields plaintext, or nothing although something came: tickets, new keys. An idle
//! connection holds its session and nothing else; the part of a record that has arrived is kept until the rest is there.
//!
//! The last flight of our handshake waits for the first request, if there is one, and leaves with it in one segment.
#![forbid(unsafe_code)]

use super::backend::Backend;
use super::connection::{Conn, ConnId, Kept, Pending, retry};
use super::reactor::{Agent, Io};
use crate::mem::{Block, Pool};
use crate::proto::tls::{self, Session};
use crate::proto::{Eof, Out};
use std::io;

/// Plaintext that is enciphered at a time: what a socket may take at once.
const SEALED_AT_ONCE: usize = 128 << 10;

/// As much in one turn: a peer that takes everything must not keep the others waiting.
const SEALED_IN_A_TURN: usize = 512 << 10;

/// More than any record has, head and tag included (RFC 8446 section 5.2, RFC 5246 section 6.2.3).
const RECORD: usize = 19 << 10;

/// The session of a connection, and ciphertext that is no whole record yet.
pub struct Secure {
    pub session: Session,
    partial: Option<Kept>,
    /// Plaintext that waits for the socket: a body of any length is enciphered as it goes out.
    unsealed: Option<Box<Pending>>,
    /// Our sending side is to be closed behind it.
    finishing: bool,
}

impl Secure {
    pub(super) fn unsealed(&self) -> usize {
        self.unsealed.as_ref().map_or(0, |p| p.len())
    }

    pub(super) fn unsealed_mut(&mut self) -> Option<&mut Box<Pending>> {
        self.unsealed.as_mut()
    }

    /// Room that deciphering needs, beside what is received.
    pub fn backlog(&self) -> usize {
        self.partial.as_ref().map_or(0, |kept| (kept.end - kept.start) as usize)
    }
}

/// What a secured socket yields.
#[derive(Debug)]
pub enum Received {
    /// `len` bytes of plaintext, perhaps none, out of `taken` from the socket. `drained`: it has nothing more for now.
    Plain {
        len: usize,
        taken: usize,
        drained: bool,
    },
    End(Eof),
    Lost(io::Error),
    Insecure(tls::Error),
}

impl Received {
    /// Bytes that came from the socket; an end, or an error that was found, is one, too.
    pub fn work(&self) -> usize {
        match self {
            Received::Plain { taken, drained, .. } => *taken.max(&usize::from(!drained)),
            _ => 1,
        }
    }
}

/// Why there is no secure connection.
#[derive(Debug)]
pub enum Insecure {
    Tls(tls::Error),
    Lost(io::Error),
}

impl<B: Backend> Io<B> {
    /// TLS from here on: the handshake begins. Its outcome is told by [`Agent::secured`]. Nothing was left unread.
    pub fn start_tls(&mut self, id: ConnId, session: Session) -> Result<(), Insecure> {
        let Io { conns, backend, wire, .. } = self;
        let conn = conns.get_mut(id).expect("it was connected just now");
        let mut secure = Box::new(Secure { session, partial: None, unsealed: None, finishing: false });
        let hello = secure.session.open(&mut [], &mut [], wire);
        conn.tls = Some(secure);
        conn.securing = true;
        conn.transmit(wire, |sock, iov| backend.send(sock, iov));
        self.hear_room(id);
        hello.map(drop).map_err(Insecure::Tls)
    }

    /// The handshake may go on.
    pub(super) fn handshake<A: Agent<B>>(&mut self, id: ConnId, agent: &mut A) {
        let Some(mut block) = self.scratch.take().or_else(|| agent.memory().block(Pool::RECEIVE)) else {
            return agent.secured(self, id, Err(Insecure::Lost(io::Error::from_raw_os_error(libc::ENOMEM))));
        };
        // Plaintext that came right behind the handshake, and whether more is in the socket.
        let (mut held, mut more) = (0, false);
        let outcome = loop {
            let room = block.unique().expect("a receive buffer is not shared");
            let received = self.receive_secure(id, room, agent.memory());
            let conn = self.conns.get(id).expect("receiving closes nothing");
            let session = &conn.tls.as_ref().expect("a handshake has a session").session;
            match received {
                Received::Plain { len, drained, .. } if session.is_ready() => {
                    (held, more) = (len, !drained);
                    break Some(Ok(()));
                }
                Received::Plain { drained: true, .. } => break None,
                Received::Plain { .. } => {}
                Received::End(_) => break Some(Err(Insecure::Tls(session.cut()))),
                Received::Lost(error) => break Some(Err(Insecure::Lost(error))),
                Received::Insecure(error) => break Some(Err(Insecure::Tls(error))),
            }
        };
        if let Some(conn) = self.conns.get_mut(id) {
            Self::stow(conn, &mut self.scratch, block, 0, held, agent.memory());
            // The protocol has not seen it, and nothing else may follow.
            conn.starved = held > 0;
            more |= held > 0 || conn.tls.as_ref().is_some_and(|tls| tls.session.heard_close());
        }
        self.tidy_secure(id, agent.memory());
        match outcome {
            None => self.flush_secure(id),
            Some(Ok(())) => {
                // It is no edge any more.
                if more {
                    self.run(id);
                }
                self.secured(id, agent);
            }
            Some(Err(error)) => {
                // The alert that says why, if there is one.
                self.flush_secure(id);
                agent.secured(self, id, Err(error));
            }
        }
    }

    fn secured<A: Agent<B>>(&mut self, id: ConnId, agent: &mut A) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.securing = false;
        agent.secured(self, id, Ok(()));
        let Some(conn) = self.conns.get_mut(id) else { return };
        let backend = &mut self.backend;
        if (conn.pending.is_some() || conn.unsent() > 0)
            && conn.flush(|sock, iov| backend.send(sock, iov))
            && self.seal_on(id)
        {
            self.settle(id);
            agent.flushed(self, id);
        }
    }

    /// Receive and decipher into `room`.
    pub(super) fn receive_secure(&mut self, id: ConnId, room: &mut [u8], memory: &mut Pool) -> Received {
        let Io { conns, backend, wire, cipher, .. } = self;
        let conn = conns.get_mut(id).expect("only an existing connection is read");
        let Ciphertext { mut block, have, end, drained } =
            match gather_ciphertext(conn, backend, cipher, memory, Some(room.len())) {
                Ok(ciphertext) => ciphertext,
                Err(over) => return over,
            };
        let Some(secure) = &mut conn.tls else { unreachable!("it has a session") };
        let bytes = &mut block.unique().expect("ciphertext is never lent")[..end];
        let (start, received) = match secure.session.open(bytes, room, wire) {
            Ok(tls::Opened { used, plain }) => {
                let drained = drained && !secure.session.unsaid();
                (used, Received::Plain { len: plain, taken: end - have, drained })
            }
            Err(error) => (0, Received::Insecure(error)),
        };
        put_away(secure, cipher, Kept { block, start: start as u32, end: end as u32 });
        say(conn, wire, backend);
        self.hear_room(id);
        received
    }

    /// The pump is done: no large block is held for a part of a record.
    pub(super) fn tidy_secure(&mut self, id: ConnId, memory: &mut Pool) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Some(secure) = &mut conn.tls else { return };
        let Some(Kept { block, start, end }) = secure.partial.take() else { return };
        let (from, to) = (start as usize, end as usize);
        let left = to - from;
        if block.capacity() / 2 <= left {
            secure.partial = Some(Kept { block, start, end });
            return;
        }
        let Some(mut smaller) = memory.block(left) else {
            secure.partial = Some(Kept { block, start, end });
            return;
        };
        smaller.unique().expect("a new block")[..left].copy_from_slice(&block.bytes()[from..to]);
        secure.partial = Some(Kept { block: smaller, start: 0, end: left as u32 });
        if self.cipher.is_none() && block.capacity() == Pool::RECEIVE {
            self.cipher = Some(block);
        }
    }

    fn flush_secure(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let backend = &mut self.backend;
        conn.flush(|sock, iov| backend.send(sock, iov));
    }

    /// Send what the protocol has written, as much as the socket takes.
    pub(super) fn transmit_secure(&mut self, id: ConnId) {
        let Io { conns, backend, out, wire, .. } = self;
        let conn = conns.get_mut(id).expect("the connection of an open stream exists");
        let Some(secure) = &mut conn.tls else { unreachable!("it has a session") };
        if secure.session.is_ready() && secure.unsealed.is_none() && out.len() <= SEALED_AT_ONCE {
            Self::seal(conn, out, wire);
            conn.transmit(wire, |sock, iov| backend.send(sock, iov));
            return;
        }
        secure.finishing |= out.is_finished();
        let unsealed = secure.unsealed.get_or_insert_with(Box::<Pending>::default);
        out.drain_after(0, |bytes| unsealed.push(bytes));
        self.seal_on(id);
    }

    /// Encipher and send until the socket takes no more, or others are to have their turn. Whether everything is out.
    pub(super) fn seal_on(&mut self, id: ConnId) -> bool {
        let Io { conns, backend, out, wire, .. } = self;
        let Some(conn) = conns.get_mut(id) else { return false };
        let mut left = SEALED_IN_A_TURN;
        while conn.pending.is_none()
            && left > 0
            && let Some(secure) = &mut conn.tls
            && secure.session.is_ready()
            && let Some(unsealed) = &mut secure.unsealed
        {
            if conn.send_failed.is_some() {
                secure.unsealed = None;
                break;
            }
            unsealed.take(SEALED_AT_ONCE, |bytes| out.put_owned(bytes));
            left -= SEALED_AT_ONCE;
            if unsealed.len() == 0 {
                secure.unsealed = None;
                if secure.finishing {
                    out.finish();
                }
            }
            Self::seal(conn, out, wire);
            conn.transmit(wire, |sock, iov| backend.send(sock, iov));
        }
        let over = conn.unsent() == 0;
        if conn.seals_on() {
            // No edge will come: the socket takes more.
            self.run(id);
        }
        over
    }

    /// Encipher what the protocol has written. What there is to send stands in `wire` afterwards.
    fn seal(conn: &mut Conn<B::Sock>, out: &mut Out, wire: &mut Out) {
        let Some(secure) = &mut conn.tls else { return };
        let Secure { session, partial, .. } = &mut **secure;
        let unread = match partial {
            Some(Kept { block, start, end }) => {
                &mut block.unique().expect("ciphertext is never lent")[*start as usize..*end as usize]
            }
            None => &mut [],
        };
        if session.seal(unread, out, wire).is_err() {
            conn.send_failed = Some(libc::EPROTO);
        }
    }

    /// Say that nothing will follow, if the peer still listens (RFC 8446 section 6.1).
    pub(super) fn say_goodbye(conn: &mut Conn<B::Sock>, backend: &mut B, out: &mut Out, wire: &mut Out) {
        let listens = !conn.hangup && conn.unsent() == 0 && conn.send_failed.is_none();
        out.clear();
        if listens && !conn.securing {
            conn.proto.goodbye(out);
        }
        if listens && conn.tls.is_none() && !out.is_empty() {
            conn.transmit(out, |sock, iov| backend.send(sock, iov));
        }
        if listens && conn.tls.as_ref().is_some_and(|tls| tls.session.is_ready() && !tls.session.heard_close()) {
            out.finish();
            Self::seal(conn, out, wire);
            conn.transmit(wire, |sock, iov| backend.send(sock, iov));
        }
        out.clear();
        wire.clear();
    }
}

/// What is to be deciphered.
pub(super) struct Ciphertext {
    pub block: Block,
    /// Bytes at its front that are not new, and all that there are.
    pub have: usize,
    pub end: usize,
    pub drained: bool,
}

/// Receive behind what is kept: no more than has room for its plaintext, if that is limited. `Err`: there is nothing to decipher.
pub(super) fn gather_ciphertext<B: Backend>(
    conn: &mut Conn<B::Sock>,
    backend: &mut B,
    cipher: &mut Option<Block>,
    memory: &mut Pool,
    room: Option<usize>,
) -> Result<Ciphertext, Received> {
    let Conn { tls: Some(secure), sock, hangup, .. } = conn else { unreachable!("it has a session") };
    let Some((mut block, have)) = gather(secure.partial.take(), cipher, memory) else {
        return Err(Received::Lost(io::Error::from_raw_os_error(libc::ENOMEM)));
    };
    let bytes = block.unique().expect("ciphertext is never lent");
    // More than a record is kept of a handshake message alone, and that yields no plaintext.
    let silent = have.saturating_sub(RECORD);
    let limit = room.map_or(bytes.len(), |room| bytes.len().min(room + silent));
    debug_assert!(limit > have, "there is room for more than is kept");
    // An error that was found behind plaintext is told before anything else is received.
    if secure.session.unsaid() {
        return Ok(Ciphertext { block, have, end: have, drained: false });
    }
    let over = match retry(|| backend.recv(*sock, &mut bytes[have..limit])) {
        Ok(0) => Received::End(if secure.session.heard_close() { Eof::Clean } else { Eof::Cut }),
        Ok(n) => {
            let end = have + n;
            return Ok(Ciphertext { block, have, end, drained: end < limit && !*hangup });
        }
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Received::Plain { len: 0, taken: 0, drained: true },
        Err(e) => Received::Lost(e),
    };
    put_away(secure, cipher, Kept { block, start: 0, end: have as u32 });
    Err(over)
}

/// What is not deciphered yet is kept, and a block without such is for the next that receives.
pub(super) fn put_away(secure: &mut Secure, cipher: &mut Option<Block>, left: Kept) {
    if left.start < left.end {
        secure.partial = Some(left);
    } else if cipher.is_none() && left.block.capacity() == Pool::RECEIVE {
        *cipher = Some(left.block);
    }
}

/// Send what TLS itself has to say.
pub(super) fn say<B: Backend>(conn: &mut Conn<B::Sock>, wire: &mut Out, backend: &mut B) {
    if wire.is_empty() {
        return;
    }
    if conn.securing && conn.tls.as_ref().is_some_and(|tls| tls.session.is_ready()) {
        hold(conn, wire);
    } else {
        conn.transmit(wire, |sock, iov| backend.send(sock, iov));
    }
}

/// A block to receive ciphertext into, with what is kept at its front.
fn gather(kept: Option<Kept>, scratch: &mut Option<Block>, memory: &mut Pool) -> Option<(Block, usize)> {
    let Some(Kept { mut block, start, end }) = kept else {
        return Some((scratch.take().or_else(|| memory.block(Pool::RECEIVE))?, 0));
    };
    let (from, to) = (start as usize, end as usize);
    let have = to - from;
    // Room for a whole record behind it.
    if block.capacity() >= have + RECORD {
        block.unique()?.copy_within(from..to, 0);
        return Some((block, have));
    }
    let mut larger = match scratch.take() {
        Some(scratch) if scratch.capacity() >= have + RECORD => scratch,
        _ => memory.block((have + RECORD).max(Pool::RECEIVE))?,
    };
    larger.unique()?[..have].copy_from_slice(&block.bytes()[from..to]);
    Some((larger, have))
}

/// Let `wire` wait for what will be sent behind it.
fn hold<S>(conn: &mut Conn<S>, wire: &mut Out) {
    let pending = conn.pending.get_or_insert_with(Box::<Pending>::default);
    wire.drain_after(0, |bytes| pending.push(bytes));
}
