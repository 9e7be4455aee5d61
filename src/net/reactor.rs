//! The reactor: connections, their input and output, and the clock, on one backend.
//!
//! The reactor knows nothing of requests. What happens is said to an [`Agent`] (the room above), and received bytes go
//! through a protocol to a receiver ([`super::pump`]). Whoever holds the turn calls `dispatch` with what the waiter reported.
//!
//! Rules of the edge-triggered game: a short read means drained, unless the edge carried a hangup; a connection that used
//! up its byte budget is runnable and goes on in the next turn; a paused connection is not read at all.
#![forbid(unsafe_code)]

use super::backend::{Address, BATCH, Backend, Bind, Dial, Edge, Ready, Token};
use super::connection::{Conn, ConnId, retry};
use super::low_water::{LowWater, Marks};
use super::secure::Insecure;
use super::sole::Sole;
use super::spoken::Spoken;
use super::watch::{self, Watches};
use super::wheel::Wheel;
use crate::mem::{Block, Key, Pool, Slab};
use crate::proto::h1::{H1, Limits};
use crate::proto::h2::{self, H2};
use crate::proto::raw::{self, Raw};
use crate::proto::{Cancelled, Fault, Out, RequestRef, StreamKey, Tick};
use bytes::Bytes;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

/// Entries of its lists that a calm reactor keeps room for.
const SPARE: usize = 64;

/// What the room above learns.
pub trait Agent<B: Backend> {
    /// A connection attempt is over.
    fn dialled(&mut self, io: &mut Io<B>, id: ConnId, result: io::Result<()>);
    /// There may be something to read: call [`Io::pump`].
    fn readable(&mut self, io: &mut Io<B>, id: ConnId);
    /// Everything that was pending is sent: there is room for more of the request. Also what [`Io::send_later`] asked for.
    fn flushed(&mut self, io: &mut Io<B>, id: ConnId);
    /// The handshake that `start_tls` began is over.
    fn secured(&mut self, io: &mut Io<B>, id: ConnId, outcome: Result<(), Insecure>);
    /// The timer with this key has run out.
    fn expired(&mut self, io: &mut Io<B>, key: u64);
    /// What is so of a watched descriptor, of what was asked; perhaps nothing, if that was changed just now. There is no
    /// further report before [`Io::watch_again`].
    fn watched(&mut self, io: &mut Io<B>, owner: u64, edge: Edge);
    fn memory(&mut self) -> &mut Pool;
}

/// What a turn works on.
pub struct Io<B: Backend> {
    pub(super) backend: B,
    pub(super) conns: Slab<Conn<B::Sock>>,
    pub wheel: Wheel,
    pub(super) watches: Watches,
    pub(super) now: Tick,
    /// When all connections were looked at last: what had come to an idle one by then was noticed.
    seen: Tick,
    pub(super) out: Out,
    /// What goes to the socket of a secured connection.
    pub(super) wire: Out,
    /// The block that the next read goes to.
    pub(super) scratch: Option<Block>,
    /// The same for ciphertext.
    pub(super) cipher: Option<Block>,
    runnable: Vec<ConnId>,
    running: Vec<ConnId>,
    expired: Vec<u64>,
    /// Shared connections with something to say at the end of the turn.
    talkers: Vec<ConnId>,
    pub(super) sole: Sole,
    pub(super) marks: Marks,
    /// Bytes that the last pump has received; an end is one, too.
    pub(super) came: usize,
    limits: Arc<Limits>,
    h2_limits: Arc<h2::Limits>,
}

impl<B: Backend> Io<B> {
    pub fn new(backend: B, limits: Arc<Limits>, h2_limits: Arc<h2::Limits>) -> Io<B> {
        let now = backend.now();
        Io {
            backend,
            conns: Slab::default(),
            wheel: Wheel::new(now),
            watches: Watches::default(),
            now,
            seen: now,
            out: Out::new(),
            wire: Out::new(),
            scratch: None,
            cipher: None,
            runnable: Vec::new(),
            running: Vec::new(),
            expired: Vec::new(),
            talkers: Vec::new(),
            sole: Sole::default(),
            marks: Marks::default(),
            came: 0,
            limits,
            h2_limits,
        }
    }

    pub fn backend(&mut self) -> &mut B {
        &mut self.backend
    }

    /// The moment at which the turn began.
    pub fn now(&self) -> Tick {
        self.now
    }

    /// What had arrived by then is known.
    pub fn seen(&self) -> Tick {
        self.seen
    }

    /// Read the clock: at the start of a turn.
    pub fn tick(&mut self) {
        self.now = self.backend.now();
    }

    /// When there is something to do although nothing comes.
    pub fn next(&self) -> Tick {
        self.wheel.next().min(self.marks.look())
    }

    /// Connections could go on at once, without a new edge.
    pub fn has_runnable(&self) -> bool {
        !self.runnable.is_empty() || !self.talkers.is_empty()
    }

    pub fn conn(&self, id: ConnId) -> Option<&Conn<B::Sock>> {
        self.conns.get(id)
    }

    pub fn conn_mut(&mut self, id: ConnId) -> Option<&mut Conn<B::Sock>> {
        self.conns.get_mut(id)
    }

    pub fn conn_ids(&self) -> Vec<ConnId> {
        self.conns.keys().collect()
    }

    pub fn watch_count(&self) -> usize {
        self.watches.count()
    }

    pub fn conn_count(&self) -> usize {
        self.conns.len()
    }

    /// Give back what a peak has left. `calm`: nothing has happened for a while.
    pub fn tidy(&mut self, calm: bool) {
        self.conns.tidy();
        self.wheel.tidy();
        self.watches.tidy();
        if calm {
            self.runnable.shrink_to(SPARE);
            self.running.shrink_to(SPARE);
            self.expired.shrink_to(SPARE);
            self.talkers.shrink_to(SPARE);
        }
    }

    /// Work on what the waiter reported, on what was left over, and on what is due.
    pub fn dispatch<A: Agent<B>>(&mut self, ready: &[Ready], agent: &mut A) {
        if ready.len() < BATCH {
            self.seen = self.now;
        }
        self.sole.told(ready);
        for &Ready { token, edge } in ready {
            match watch::named(token) {
                None => self.edge(Key::unpack(token.0), edge, agent),
                Some(id) => self.watch_ready(id, edge, agent),
            }
        }
        self.go_on(agent);
    }

    /// Work on what was left over, and on what is due.
    pub(super) fn go_on<A: Agent<B>>(&mut self, agent: &mut A) {
        if self.marks.look() <= self.now {
            self.look_after_marks();
        }
        if !self.runnable.is_empty() {
            std::mem::swap(&mut self.runnable, &mut self.running);
            while let Some(id) = self.running.pop() {
                if let Some(conn) = self.conns.get_mut(id) {
                    conn.queued = false;
                    let reads = !conn.paused;
                    let sends_on = std::mem::take(&mut conn.sends_on);
                    if conn.seals_on() {
                        self.flush(id, agent);
                    } else if sends_on {
                        agent.flushed(self, id);
                    }
                    if reads {
                        self.readable(id, agent);
                    }
                }
            }
        }
        if self.wheel.next() <= self.now {
            let mut expired = std::mem::take(&mut self.expired);
            self.wheel.expire(self.now, &mut expired);
            for key in expired.drain(..) {
                agent.expired(self, key);
            }
            self.expired = expired;
        }
    }

    fn edge<A: Agent<B>>(&mut self, id: ConnId, edge: Edge, agent: &mut A) {
        // A token whose generation is over belongs to a description that a child or a dup kept alive.
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.hangup |= edge.hangup;
        if conn.dialing {
            if !edge.writable && !edge.hangup {
                return;
            }
            conn.dialing = false;
            let result = self.backend.dial_result(conn.sock, edge);
            if result.is_ok() && conn.peer.is_some() {
                conn.local = self.backend.local(conn.sock);
            }
            agent.dialled(self, id, result);
        } else if edge.writable && conn.pending.is_some() {
            self.flush(id, agent);
        }
        if (edge.readable || edge.hangup) && self.conns.get(id).is_some_and(|c| !c.dialing && !c.paused) {
            self.readable(id, agent);
        }
    }

    /// The socket takes more of what it has not taken yet.
    fn flush<A: Agent<B>>(&mut self, id: ConnId, agent: &mut A) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let backend = &mut self.backend;
        let (before, securing) = (conn.unsent(), conn.securing);
        let over = conn.flush(|sock, iov| backend.send(sock, iov)) && self.seal_on(id);
        self.hear_room(id);
        if let Some(conn) = self.conns.get_mut(id)
            && conn.unsent() < before
        {
            conn.sent_at = self.now;
        }
        if over {
            self.settle(id);
            if !securing {
                agent.flushed(self, id);
            }
        }
    }

    pub(super) fn readable<A: Agent<B>>(&mut self, id: ConnId, agent: &mut A) {
        if self.conns.get(id).is_some_and(|c| c.securing) {
            self.handshake(id, agent);
        } else {
            agent.readable(self, id);
        }
    }

    /// After output went out: close our side if that was asked for, and read on if sending failed or the protocol has
    /// something to say.
    pub(super) fn settle(&mut self, id: ConnId) {
        self.hear_room(id);
        let Some(conn) = self.conns.get_mut(id) else { return };
        let unsaid = conn.proto.unsaid();
        if conn.send_failed.is_some() {
            self.run(id);
        } else if conn.finishing && conn.pending.is_none() {
            conn.finishing = false;
            // Failure means that the peer is gone already, which reading will show.
            drop(self.backend.finish(conn.sock));
        }
        if unsaid {
            self.run(id);
        }
    }

    /// Let the connection be read in the next turn (or later in this one).
    pub fn run(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id)
            && !conn.queued
        {
            conn.queued = true;
            self.runnable.push(id);
        }
    }

    /// Let the room above hand over more in the next turn, as if what is pending had just been sent.
    pub fn send_later(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.sends_on = true;
            self.run(id);
        }
    }

    /// Start to connect.
    pub fn dial(&mut self, to: &Address, bind: &Bind, origin: Key, owner: u32) -> io::Result<ConnId> {
        if !bind.reaches(to) {
            return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
        }
        let id = self.conns.next_key();
        let sock = retry(|| self.backend.dial(&Dial { to, bind, token: Token(id.pack()) }))?;
        let peer = match to {
            Address::Inet(peer) => Some(*peer),
            Address::Unix(_) => None,
        };
        let inserted =
            self.conns.insert(Conn::new(sock, Spoken::H1(H1::new(self.limits.clone())), peer, origin, owner));
        debug_assert_eq!(id, inserted);
        Ok(id)
    }

    /// Start a request on a connection that has capacity for it.
    pub fn open(&mut self, id: ConnId, request: &RequestRef<'_>) -> Result<StreamKey, Fault> {
        self.lower(id, LowWater::Down);
        let conn = self.conns.get_mut(id).expect("a checked-out connection exists");
        conn.low_water = LowWater::Down;
        conn.heard = false;
        conn.request_left = false;
        conn.served += 1;
        conn.proto.open(self.now, request, &mut self.out).inspect_err(|_| self.out.clear())
    }

    /// Bytes as they are from here on. Nothing was spoken on the connection before.
    pub fn open_raw(&mut self, id: ConnId) -> StreamKey {
        let conn = self.conns.get_mut(id).expect("a checked-out connection exists");
        conn.heard = false;
        conn.request_left = false;
        conn.served += 1;
        conn.proto = Spoken::Raw(Raw::default());
        raw::STREAM
    }

    /// HTTP/2 from here on, with so many streams at a time until the peer has said how many it allows. Nothing was spoken on the
    /// connection before.
    pub fn speak_h2(&mut self, id: ConnId, streams: Option<u32>) {
        let conn = self.conns.get_mut(id).expect("it was connected just now");
        conn.proto = Spoken::H2(Box::new(H2::new(self.h2_limits.clone(), streams)));
    }

    /// The descriptor under a connection, if the backend has such.
    pub fn descriptor(&self, id: ConnId) -> Option<RawFd> {
        self.backend.descriptor(self.conns.get(id)?.sock)
    }

    /// Append a piece of the request body, or of a tunnel's stream.
    pub fn body(&mut self, id: ConnId, stream: StreamKey, chunk: Bytes, end: bool) -> Result<(), Fault> {
        let conn = self.conns.get_mut(id).expect("the connection of an open stream exists");
        conn.proto.body(stream, chunk, end, &mut self.out)
    }

    pub fn body_trailers(&mut self, id: ConnId, stream: StreamKey, block: &[u8]) -> Result<(), Fault> {
        let conn = self.conns.get_mut(id).expect("the connection of an open stream exists");
        conn.proto.body_trailers(stream, block, &mut self.out)
    }

    /// Whether there is more of a body to hand over.
    pub fn want_room(&mut self, id: ConnId, stream: StreamKey, wants: bool) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.proto.want_room(stream, wants);
            if conn.proto.unsaid() {
                self.talk_later(id);
            }
        }
    }

    /// How many bytes of a body may be handed over now.
    pub fn body_room(&self, id: ConnId, stream: StreamKey) -> u64 {
        self.conns.get(id).map_or(0, |conn| conn.proto.body_room(stream))
    }

    /// The sink's credit for a stream grew.
    pub fn credit(&mut self, id: ConnId, stream: StreamKey) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.proto.credit(stream, &mut self.out);
        }
        self.talk_later(id);
    }

    /// Send what `open` and `body` wrote. Must follow them before another connection writes. On a shared connection, what
    /// all of a turn have written leaves at its end.
    pub fn transmit(&mut self, id: ConnId) {
        match self.conns.get_mut(id) {
            Some(conn) if conn.is_shared() => self.talk_later(id),
            _ => self.send_out(id),
        }
    }

    fn talk_later(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id)
            && conn.is_shared()
            && !conn.talks
        {
            conn.talks = true;
            self.talkers.push(id);
        }
    }

    /// A shared connection with something to say.
    pub fn next_talker(&mut self) -> Option<ConnId> {
        loop {
            let id = self.talkers.pop()?;
            if let Some(conn) = self.conns.get_mut(id) {
                conn.talks = false;
                return Some(id);
            }
        }
    }

    /// What is to be sent of a body is read from its memory no more.
    pub fn disown(&mut self, id: ConnId, of: &std::ops::Range<*const u8>) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.disown(of);
        }
    }

    /// Whether a shared connection was told since the last call that its peer wants no more requests on it.
    pub fn take_goaway(&mut self, id: ConnId) -> bool {
        self.conns.get_mut(id).is_some_and(|conn| conn.proto.take_goaway())
    }

    /// When a connection wants to be asked whether its peer is there.
    pub fn deadline(&self, id: ConnId) -> Tick {
        self.conns.get(id).map_or(Tick::NEVER, |conn| conn.proto.deadline())
    }

    pub fn on_deadline(&mut self, id: ConnId) -> Result<(), Fault> {
        let Some(conn) = self.conns.get_mut(id) else { return Ok(()) };
        let asked = conn.proto.on_deadline(self.now, &mut self.out);
        self.transmit(id);
        asked
    }

    pub(super) fn send_out(&mut self, id: ConnId) {
        let Io { conns, backend, out, .. } = self;
        let conn = conns.get_mut(id).expect("the connection of an open stream exists");
        if conn.tls.is_some() {
            self.transmit_secure(id);
        } else {
            conn.transmit(out, |sock, iov| backend.send(sock, iov));
        }
        self.settle(id);
    }

    /// Do not read the connection, whatever comes, until it is resumed.
    pub fn hold(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.paused = true;
        }
    }

    /// Credit came back to a paused connection, or it was held long enough.
    pub fn resume(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id)
            && conn.paused
        {
            conn.paused = false;
            self.run(id);
        }
    }

    pub fn cancel(&mut self, id: ConnId, stream: StreamKey) -> Cancelled {
        let conn = self.conns.get_mut(id).expect("the connection of an open stream exists");
        let outcome = conn.proto.cancel(stream, &mut self.out);
        self.transmit(id);
        outcome
    }

    /// Whether the connection may carry a further request.
    pub fn reusable(&self, id: ConnId) -> bool {
        self.conns.get(id).is_some_and(|c| {
            c.proto.reusable()
                && c.kept.is_none()
                && c.unsent() == 0
                && c.send_failed.is_none()
                && !c.hangup
                && !c.finishing
                && c.tls.as_ref().is_none_or(|tls| !tls.session.heard_close() && !tls.session.has_failed())
        })
    }

    /// Whether a shared connection takes further requests, though perhaps not now.
    pub fn reusable_shared(&self, id: ConnId) -> bool {
        self.conns.get(id).is_some_and(|c| c.proto.reusable() && c.send_failed.is_none() && !c.hangup)
    }

    /// The connection in a slot.
    pub fn conn_at(&self, slot: u32) -> Option<ConnId> {
        self.conns.key_at(slot)
    }

    /// Close. All memory of the connection is given up, also what was borrowed for sending.
    pub fn close(&mut self, id: ConnId, reset: bool) {
        if let Some(mut conn) = self.conns.remove(id) {
            if !reset {
                Self::say_goodbye(&mut conn, &mut self.backend, &mut self.out, &mut self.wire);
            }
            // What was written for it and not transmitted (a fault came between) is not for the next connection.
            self.out.clear();
            self.backend.close(conn.sock, reset);
        }
    }
}
