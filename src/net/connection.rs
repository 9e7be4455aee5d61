//! One connection: a socket, its protocol, and the bytes that are under way in either direction.
//!
//! States: `dialing` until the first edge, `securing` during the handshake of TLS, then open. An idle connection holds no
//! buffer at all: received bytes stand in `kept` only while the protocol needs more of them, unsent bytes in `pending` only
//! while the socket takes no more.
#![forbid(unsafe_code)]

use super::low_water::LowWater;
use super::secure::Secure;
use super::spoken::Spoken;
use crate::mem::{Block, Key};
use crate::proto::{Out, Tick, tls};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;

/// Names a connection of one reactor.
pub type ConnId = Key;

/// Segments handed to one system call.
const IOV_MAX: usize = 32;

/// Received bytes that the protocol has not consumed.
#[derive(Debug)]
pub(super) struct Kept {
    pub block: Block,
    pub start: u32,
    pub end: u32,
}

/// Unsent bytes, in order.
#[derive(Debug, Default)]
pub(super) struct Pending {
    segments: VecDeque<Bytes>,
    len: usize,
}

impl Pending {
    pub fn push(&mut self, bytes: Bytes) {
        self.len += bytes.len();
        self.segments.push_back(bytes);
    }

    /// Take at most `max` bytes from the front.
    pub fn take(&mut self, max: usize, mut give: impl FnMut(Bytes)) {
        let mut left = max.min(self.len);
        self.len -= left;
        while left > 0
            && let Some(front) = self.segments.front_mut()
        {
            let piece = if front.len() <= left { self.segments.pop_front() } else { Some(front.split_to(left)) };
            let piece = piece.expect("there is a front");
            left -= piece.len();
            give(piece);
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    fn advance(&mut self, mut sent: usize) {
        self.len -= sent;
        while let Some(front) = self.segments.front_mut() {
            if sent < front.len() {
                bytes::Buf::advance(front, sent);
                return;
            }
            sent -= front.len();
            self.segments.pop_front();
        }
    }
}

pub struct Conn<S> {
    pub(super) sock: S,
    pub(super) proto: Spoken,
    pub(super) pending: Option<Box<Pending>>,
    pub(super) kept: Option<Kept>,
    pub(super) dialing: bool,
    /// TLS, where it is spoken.
    pub(super) tls: Option<Box<Secure>>,
    /// The handshake of TLS is under way.
    pub(super) securing: bool,
    /// The peer closed or the socket failed: a short read does not mean that it is drained.
    pub(super) hangup: bool,
    /// Sending failed with this errno. What the peer said before is still read.
    pub(super) send_failed: Option<i32>,
    /// The exchange ran out of credit; nothing is read until it is resumed.
    pub(super) paused: bool,
    /// The protocol can go on with what is kept: it had no credit for it, or was not there yet.
    pub(super) starved: bool,
    pub(super) queued: bool,
    /// There is more to send, and others were to have their turn.
    pub(super) sends_on: bool,
    /// Its protocol has something to say at the end of the turn.
    pub(super) talks: bool,
    /// The backend does not report when the socket takes more.
    pub(super) quiet: bool,
    /// Whether the backend reports what comes only when it is much.
    pub(super) low_water: LowWater,
    /// Bytes arrived since the last request was opened.
    pub(super) heard: bool,
    /// The last receive filled a block: more is worth a larger one.
    pub(super) bulk: bool,
    /// The socket took bytes since the last request was opened.
    pub(super) request_left: bool,
    /// Our sending side is to be closed once `pending` is empty.
    pub(super) finishing: bool,
    /// What the room above attached: the exchange or the dial that uses the connection.
    pub owner: u32,
    pub origin: Key,
    /// Requests that were opened on it.
    pub served: u32,
    /// When the socket last took bytes that had been pending.
    pub sent_at: Tick,
    /// Whom it is connected to, or is to be.
    pub peer: Option<SocketAddr>,
    /// Our own end, once connected.
    pub local: Option<SocketAddr>,
}

const _: () = assert!(size_of::<Conn<i32>>() <= 256, "an idle connection is one small slot");

impl<S: Copy> Conn<S> {
    pub(super) fn new(sock: S, proto: Spoken, peer: Option<SocketAddr>, origin: Key, owner: u32) -> Conn<S> {
        Conn {
            sock,
            proto,
            pending: None,
            kept: None,
            dialing: true,
            tls: None,
            securing: false,
            hangup: false,
            send_failed: None,
            paused: false,
            starved: false,
            queued: false,
            sends_on: false,
            talks: false,
            quiet: false,
            low_water: LowWater::Down,
            heard: false,
            bulk: false,
            request_left: false,
            finishing: false,
            owner,
            origin,
            served: 0,
            sent_at: Tick(0),
            peer,
            local: None,
        }
    }

    /// Bytes that the socket has not taken yet.
    pub fn unsent(&self) -> usize {
        self.pending.as_ref().map_or(0, |p| p.len) + self.tls.as_ref().map_or(0, |tls| tls.unsealed())
    }

    /// Whether more can be enciphered at once: the socket has taken all that was.
    pub(super) fn seals_on(&self) -> bool {
        self.pending.is_none() && self.tls.as_ref().is_some_and(|tls| tls.session.is_ready() && tls.unsealed() > 0)
    }

    /// Whether any byte arrived since the last request was opened.
    pub fn heard(&self) -> bool {
        self.heard
    }

    /// Whether the socket took any byte since the last request was opened.
    pub fn request_left(&self) -> bool {
        self.request_left
    }

    /// How long the peer has said, with its last answer, that it keeps the connection while nobody uses it.
    pub fn kept_ns(&self) -> Option<u64> {
        self.proto.kept_seconds().map(|seconds| u64::from(seconds) * 1_000_000_000)
    }

    /// What was agreed on for TLS; `None` on a plain connection, and before the handshake is done.
    pub fn agreed(&self) -> Option<tls::Agreed> {
        self.tls.as_ref()?.session.agreed()
    }

    /// The same with names and certificates.
    pub fn told(&self) -> Option<tls::Info<'_>> {
        self.tls.as_ref()?.session.info()
    }

    /// TLS is spoken, or will be once the handshake is done.
    pub fn speaks_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Received bytes wait for somebody to take them.
    pub fn has_unread(&self) -> bool {
        self.kept.is_some()
    }

    /// Many requests may be under way at a time (HTTP/2).
    pub fn is_shared(&self) -> bool {
        self.proto.is_shared()
    }

    /// Everything that was handed over has left the protocol.
    pub fn is_spoken(&self) -> bool {
        !self.proto.unsaid()
    }

    /// Requests that could be opened now, beside those that are.
    pub fn capacity(&self) -> u32 {
        self.proto.capacity()
    }

    /// Nothing that waits to be sent is read from memory which is not ours any more: bytes between the two addresses are
    /// copied.
    pub(super) fn disown(&mut self, of: &std::ops::Range<*const u8>) {
        self.proto.disown(of);
        let waiting = self.pending.iter_mut().chain(self.tls.iter_mut().filter_map(|tls| tls.unsealed_mut()));
        for segment in waiting.flat_map(|pending| &mut pending.segments) {
            if of.contains(&segment.as_ptr()) {
                *segment = Bytes::copy_from_slice(segment);
            }
        }
    }

    /// Why sending failed.
    pub fn sending_error(&self) -> Option<io::Error> {
        self.send_failed.map(io::Error::from_raw_os_error)
    }

    pub fn sending_failed(&self) -> bool {
        self.send_failed.is_some()
    }

    /// Send the new output in `out`, behind what is pending. Leaves `out` empty.
    pub(super) fn transmit(&mut self, out: &mut Out, mut send: impl FnMut(S, &[IoSlice<'_>]) -> io::Result<usize>) {
        self.finishing |= out.is_finished();
        if self.send_failed.is_some() {
            out.clear();
            return;
        }
        if let Some(pending) = &mut self.pending {
            out.drain_after(0, |bytes| pending.push(bytes));
            return;
        }
        let total = out.len();
        let mut sent = 0;
        let mut iov = [IoSlice::new(&[]); IOV_MAX];
        let mut segments = out.segments();
        'batches: loop {
            let mut count = 0;
            let mut offered = 0;
            for segment in segments.by_ref().take(IOV_MAX) {
                iov[count] = IoSlice::new(segment);
                offered += segment.len();
                count += 1;
            }
            if count == 0 {
                break;
            }
            match retry(|| send(self.sock, &iov[..count])) {
                Ok(n) => {
                    sent += n;
                    if n < offered {
                        break 'batches;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => {
                    self.send_failed = Some(e.raw_os_error().unwrap_or(0));
                    break;
                }
            }
        }
        drop(segments);
        self.request_left |= sent > 0;
        if self.send_failed.is_some() || sent == total {
            out.clear();
            return;
        }
        let mut pending = Box::<Pending>::default();
        out.drain_after(sent, |bytes| pending.push(bytes));
        self.pending = Some(pending);
    }

    /// Send what is pending. Whether everything is out.
    pub(super) fn flush(&mut self, mut send: impl FnMut(S, &[IoSlice<'_>]) -> io::Result<usize>) -> bool {
        while let Some(pending) = &mut self.pending {
            let mut iov = [IoSlice::new(&[]); IOV_MAX];
            let mut offered = 0;
            let mut count = 0;
            for (slot, segment) in iov.iter_mut().zip(&pending.segments) {
                *slot = IoSlice::new(segment);
                offered += segment.len();
                count += 1;
            }
            match retry(|| send(self.sock, &iov[..count])) {
                Ok(n) => {
                    self.request_left |= n > 0;
                    pending.advance(n);
                    if pending.segments.is_empty() {
                        self.pending = None;
                    } else if n < offered {
                        return false;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return false,
                Err(e) => {
                    self.send_failed = Some(e.raw_os_error().unwrap_or(0));
                    self.pending = None;
                }
            }
        }
        true
    }
}

/// A signal is no outcome.
pub(super) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            outcome => return outcome,
        }
    }
}
