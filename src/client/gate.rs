//! The part of an exchange that other threads touch: credit on its way back, and room for a streamed upload.
//!
//! Both work alike. The application's side adds to a counter without waking anybody; only when the exchange stands still for
//! want of it does the counter's change become mail. The flag is raised by the reactor before it looks at the counter once
//! more, and taken down by whoever sends the mail, so that nothing is missed and one standstill costs one mail, or two:
//!
//! A little credit is not worth going on for. Were each small release answered by an equally small event, pieces would only
//! ever get smaller (the silly window syndrome, RFC 9293 section 3.8.6.2). So the first release tells the reactor, which waits
//! for enough, but only for a short while: the application may keep the rest for as long as it likes.

use super::engine::Mail;
use crate::error as e;
use crate::mem::Credit;
use crate::net::mailbox::Mailbox;
use crate::proto::ws::{Utf8, frame};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// Credit is not needed.
const RUNNING: u8 = 0;
/// The exchange stands still, and nothing is back.
const PAUSED: u8 = 1;
/// The exchange stands still, and knows that a little is back: less than is worth an event of its own.
const NUDGED: u8 = 2;

/// What a pause found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Paused {
    Nothing,
    /// A little is back: go on after a short while, if not enough comes before.
    Little,
    /// Go on at once.
    Enough,
}

pub struct Gate {
    xid: AtomicU64,
    mail: Arc<Mailbox<Mail>>,
    /// Credit that came back and was not added to the exchange yet.
    returned: AtomicU64,
    /// `RUNNING`, `PAUSED` or `NUDGED`.
    state: AtomicU8,
    /// Returned bytes that are worth going on for.
    enough: AtomicU64,
    /// Bytes of the upload that were accepted and not handed to the socket yet.
    buffered: AtomicU64,
    /// A write was refused: the application waits for WRITABLE.
    refused: AtomicBool,
    /// The upload is streamed and not ended.
    open: AtomicBool,
    /// It may end with trailers.
    trailers: AtomicBool,
    /// What is sent are messages; and how far the one stands that is sent in fragments.
    messages: AtomicU64,
}

/// What stands in `Gate::messages`.
const MESSAGES: u64 = 1 << 63;
const IN_TEXT: u64 = 1 << 33;
const IN_BINARY: u64 = 1 << 32;

impl Gate {
    pub fn new(mail: Arc<Mailbox<Mail>>) -> Gate {
        Gate {
            xid: AtomicU64::new(0),
            mail,
            returned: AtomicU64::new(0),
            state: AtomicU8::new(RUNNING),
            enough: AtomicU64::new(0),
            buffered: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            open: AtomicBool::new(false),
            trailers: AtomicBool::new(false),
            messages: AtomicU64::new(0),
        }
    }

    /// Make it the gate of another exchange. Only while nobody else holds it.
    pub fn reset(&self, xid: u64) {
        self.xid.store(xid, Ordering::Relaxed);
        self.returned.store(0, Ordering::Relaxed);
        self.state.store(RUNNING, Ordering::Relaxed);
        self.buffered.store(0, Ordering::Relaxed);
        self.refused.store(false, Ordering::Relaxed);
        self.open.store(false, Ordering::Relaxed);
        self.trailers.store(false, Ordering::Relaxed);
        self.messages.store(0, Ordering::Relaxed);
    }

    /// The exchange takes pieces of an upload from now on.
    pub fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }

    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    /// Whether there is a place for trailers: behind a chunked body, not in a tunnel.
    pub fn set_trailers(&self, allowed: bool) {
        self.trailers.store(allowed, Ordering::SeqCst);
    }

    pub fn takes_trailers(&self) -> bool {
        self.trailers.load(Ordering::SeqCst)
    }

    /// What it takes are messages of a WebSocket.
    pub fn take_messages(&self) {
        self.messages.store(MESSAGES, Ordering::SeqCst);
    }

    pub fn takes_messages(&self) -> bool {
        self.messages.load(Ordering::SeqCst) & MESSAGES != 0
    }

    /// Where sending stands behind a frame of a message, to be put down by `sent` once it is taken. Fragments of a message
    /// come from one thread at a time: it is for the application to see to that.
    pub fn next_message(&self, opcode: u8, fin: bool, payload: &[u8]) -> Result<u64, i32> {
        let now = self.messages.load(Ordering::SeqCst);
        let (text, within) = match (opcode, now & (IN_TEXT | IN_BINARY)) {
            (frame::TEXT, 0) => (true, false),
            (frame::BINARY, 0) => (false, false),
            (frame::CONTINUATION, IN_TEXT) => (true, true),
            (frame::CONTINUATION, IN_BINARY) => (false, true),
            _ => return Err(e::CHTTP_E_BAD_STATE),
        };
        let mut utf8 = if within { Utf8::unpack(now as u32) } else { Utf8::default() };
        if text {
            utf8.check(payload).map_err(|_| e::CHTTP_E_WS_UTF8)?;
            if fin {
                utf8.finish().map_err(|_| e::CHTTP_E_WS_UTF8)?;
            }
        }
        if fin {
            return Ok(MESSAGES);
        }
        Ok(MESSAGES | if text { IN_TEXT } else { IN_BINARY } | u64::from(utf8.pack()))
    }

    pub fn sent(&self, message: u64) {
        self.messages.store(message, Ordering::SeqCst);
    }

    /// The last piece is given. `false` if it was before.
    pub fn shut(&self) -> bool {
        self.open.swap(false, Ordering::SeqCst)
    }

    /// Credit that came back since the last call.
    pub fn take_returned(&self) -> u64 {
        if self.returned.load(Ordering::Relaxed) == 0 { 0 } else { self.returned.swap(0, Ordering::SeqCst) }
    }

    /// The exchange stands still until about `enough` bytes are back.
    pub fn pause(&self, enough: u64) -> Paused {
        self.enough.store(enough, Ordering::SeqCst);
        self.state.store(PAUSED, Ordering::SeqCst);
        let returned = self.returned.load(Ordering::SeqCst);
        if returned >= enough && self.change(PAUSED, RUNNING) {
            return Paused::Enough;
        }
        if returned > 0 && self.change(PAUSED, NUDGED) {
            return Paused::Little;
        }
        Paused::Nothing
    }

    /// The exchange goes on, with whatever is back.
    pub fn resume(&self) {
        self.state.store(RUNNING, Ordering::SeqCst);
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// The exchange has ended: credit that comes back is nobody's, and is not worth a mail.
    pub fn retire(&self) {
        self.state.store(RUNNING, Ordering::SeqCst);
    }

    /// Book `bytes` of an upload. `false` if that would exceed `max`: then WRITABLE will come. No bytes at all find room when
    /// nothing is buffered.
    pub fn book(&self, bytes: u64, max: u64) -> bool {
        let mut now = self.buffered.load(Ordering::SeqCst);
        loop {
            // One write larger than the whole buffer is let through when the buffer is empty: it could never pass else.
            if now > 0 && (bytes == 0 || now.saturating_add(bytes) > max) {
                self.refused.store(true, Ordering::SeqCst);
                let after = self.buffered.load(Ordering::SeqCst);
                if after == now {
                    return false;
                }
                // The reactor made room in between and may have missed the flag. It stays up: another thread may have been
                // refused meanwhile, and one WRITABLE too many is no harm.
                now = after;
                continue;
            }
            match self.buffered.compare_exchange(now, now.saturating_add(bytes), Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return true,
                Err(other) => now = other,
            }
        }
    }

    /// Book `bytes` that need no room.
    pub fn book_at_all(&self, bytes: u64) {
        self.buffered.fetch_add(bytes, Ordering::SeqCst);
    }

    /// `bytes` went to the socket. Whether the application is to be told that there is room again.
    pub fn unbook(&self, bytes: u64, low: u64) -> bool {
        let before = self.buffered.fetch_sub(bytes, Ordering::SeqCst);
        before - bytes <= low && self.refused.load(Ordering::SeqCst) && self.refused.swap(false, Ordering::SeqCst)
    }

    pub fn buffered(&self) -> u64 {
        self.buffered.load(Ordering::SeqCst)
    }
}

impl Credit for Gate {
    fn give_back(&self, bytes: u64) {
        let returned = self.returned.fetch_add(bytes, Ordering::SeqCst).saturating_add(bytes);
        let state = self.state.load(Ordering::SeqCst);
        if state == RUNNING {
            return;
        }
        let xid = self.xid.load(Ordering::Relaxed);
        if returned >= self.enough.load(Ordering::SeqCst) {
            if self.change(PAUSED, RUNNING) || self.change(NUDGED, RUNNING) {
                self.mail.post(Mail::Credit(xid));
            }
        } else if self.change(PAUSED, NUDGED) {
            self.mail.post(Mail::Nudge(xid));
        }
    }
}
