//! One exchange: a request, what became of it, and what the application is owed.
//!
//! ```text
//! Queued ──► Resolving ──► Connecting ──► Sending ──► Waiting ──► Receiving ──► (terminal event)
//!    └───────────── idle connection ───────▲
//!    ▲                                                                     │
//!    └───────────── Reconnecting (a stream of events, `reconnect`) ◄───────┘
//! ```
//!
//! Invariant: exactly one terminal event, and no event after it. `Client::conclude` and `Client::fail` alone emit it, and
//! both take the exchange out of the table.

use super::events::Subscription;
use super::failure::Phase;
use super::gate::Gate;
use super::outcome::Traces;
use super::request::Request;
use super::response::{Response, Route, Timing};
use super::upload::{Source, Upload};
use super::websocket::WebSocket;
use crate::error as e;
use crate::mem::{Block, Obj};
use crate::net::connection::ConnId;
use crate::net::wheel::TimerId;
use crate::pool::{OriginId, WaiterId};
use crate::proto::{Fault, StreamKey, Tick};
use crate::queue::Queue;
use std::sync::Arc;

/// How the answer is handed over.
pub enum Delivery {
    /// Event by event.
    Stream,
    /// As one RESPONSE event, if it stays small; the object is there once the head is.
    Collect(Option<Obj<Response>>),
    /// An event for each that its body tells.
    Events,
}

/// Small pieces of a body that are gathered into one event.
pub struct Gathered {
    pub block: Block,
    pub len: usize,
}

/// What its connection told an exchange, and it has not acted upon.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// Something, on a connection that is shared.
    pub touched: bool,
    /// An informational answer.
    pub heard: bool,
    /// 100 (Continue) came: the body may be sent.
    pub go_ahead: bool,
    /// There is room for more of the body.
    pub writable: bool,
    /// The protocol asked for credit, and there was none.
    pub denied: bool,
    /// Its stream has failed.
    pub failed: Option<Fault>,
}

/// What a deadline is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// The exchange fails with this code.
    Fail(i32),
    /// 100 (Continue) did not come: the body is sent all the same.
    SendBody,
    /// Go on with the little credit that came back.
    Resume,
    /// A WebSocket has heard nothing for a while: ask whether the server is there.
    Ping,
    /// Its closing handshake is done, and the server leaves the connection open.
    Conclude,
    /// A stream of events has rested for long enough.
    Reconnect,
}

pub struct Exchange {
    pub xid: u64,
    /// In place: it stands in the engine's pages, and its box is given back at once.
    pub request: Request,
    pub queue: Arc<Queue>,
    pub gate: Arc<Gate>,
    pub phase: Phase,
    /// When the current phase began.
    pub since: Tick,
    pub submitted: Tick,
    pub origin: OriginId,
    /// Its place in the queue, while it waits for a connection.
    pub waiter: Option<WaiterId>,
    /// The dial that was started for it.
    pub dial: Option<crate::mem::Key>,
    pub conn: Option<(ConnId, StreamKey)>,
    pub upload: Upload,
    pub delivery: Delivery,
    /// What was asked for is a stream of events.
    pub subscription: Option<Box<Subscription>>,
    pub gathered: Option<Gathered>,
    /// The last of them was a block of that, and more.
    pub gathers_much: bool,
    /// Bytes that may still be delivered. Falls below zero by less than one event's minimum charge.
    pub credit: i64,
    /// Some credit is back, though not much: go on at this moment if not enough comes before.
    pub nudge: Option<Tick>,
    pub timer: Option<(TimerId, Tick)>,
    /// When bytes of the answer arrived last.
    pub heard_at: Tick,
    /// When the connection was last seen to take bytes, and how many it still had.
    pub sent_at: Tick,
    pub unsent: usize,
    pub status: u16,
    pub route: Route,
    pub timing: Timing,
    /// Bytes of the request that were handed to a socket, in all attempts.
    pub bytes_sent: u64,
    /// The final head was delivered or is being collected.
    pub answered: bool,
    /// The answer is a raw stream now.
    pub tunnel: bool,
    /// The peer has closed its side of a raw stream.
    pub heard_end: bool,
    pub told: Told,
    /// The answer is a WebSocket now.
    pub ws: Option<Box<WebSocket>>,
    /// The answer is complete.
    pub finished: bool,
    /// There was no memory for an event.
    pub starved: bool,
    /// What came cannot be made events of, and this is why.
    pub unfit: Option<i32>,
    /// What is known about its failure beside the code.
    pub detail: Option<Box<str>>,
}

impl Exchange {
    pub fn enter(&mut self, phase: Phase, now: Tick) {
        self.phase = phase;
        self.since = now;
    }

    /// The next deadline, and what is due then.
    pub fn deadline(&self) -> (Tick, Due) {
        let t = &self.request.timeouts;
        let mut first = (self.submitted.after(t.total), Due::Fail(e::CHTTP_E_TIMEOUT_TOTAL));
        let mut consider = |at: Tick, due: Due| {
            if at < first.0 {
                first = (at, due);
            }
        };
        if let Some(at) = self.nudge {
            consider(at, Due::Resume);
        }
        match self.phase {
            Phase::Queued => consider(self.since.after(t.pool), Due::Fail(e::CHTTP_E_TIMEOUT_POOL)),
            Phase::Resolving => consider(self.since.after(t.dns), Due::Fail(e::CHTTP_E_TIMEOUT_DNS)),
            Phase::Connecting => consider(self.since.after(t.connect), Due::Fail(e::CHTTP_E_TIMEOUT_CONNECT)),
            Phase::Securing => consider(self.since.after(t.tls), Due::Fail(e::CHTTP_E_TIMEOUT_TLS)),
            Phase::Reconnecting => {
                consider(self.subscription.as_ref().map_or(Tick::NEVER, |s| s.until), Due::Reconnect);
            }
            Phase::Sending | Phase::Waiting | Phase::Receiving => {
                if self.upload.held && self.answered {
                    // The answer came without the body, which is not sent any more.
                } else if self.upload.held {
                    consider(self.since.after(t.expect), Due::SendBody);
                } else if self.unsent > 0 {
                    consider(self.sent_at.after(t.write), Due::Fail(e::CHTTP_E_TIMEOUT_WRITE));
                }
                if self.phase == Phase::Waiting {
                    consider(self.since.after(t.first_byte), Due::Fail(e::CHTTP_E_TIMEOUT_FIRST_BYTE));
                    consider(self.since.after(t.read), Due::Fail(e::CHTTP_E_TIMEOUT_READ));
                }
                let silence_counts = !self.tunnel || self.request.duplex && !self.heard_end;
                if self.phase == Phase::Receiving && self.credit > 0 && silence_counts {
                    consider(self.heard_at.after(t.read), Due::Fail(e::CHTTP_E_TIMEOUT_READ));
                }
                // The head of a handshake is short: byte by byte is not how it comes. Behind it there is no bound to a
                // WebSocket's life.
                if self.phase == Phase::Receiving && self.request.websocket.is_some() && self.status == 0 {
                    consider(self.since.after(t.read), Due::Fail(e::CHTTP_E_TIMEOUT_READ));
                }
                if let (Some(ws), Some(setup)) = (&self.ws, &self.request.websocket) {
                    let (at, due) = ws.deadline(&setup.choices, self.heard_at, self.credit > 0);
                    consider(at, due);
                }
            }
        }
        first
    }

    /// The request asks for a tunnel, and has none yet: its stream has not begun.
    pub fn awaits_tunnel(&self) -> bool {
        let head = &self.request.head;
        let asked = head.is_connect || head.upgrade;
        asked && !self.tunnel && matches!(self.upload.source, Source::Stream) && head.body.is_none()
    }

    /// The answer has ended: why it is not what was asked for.
    pub fn unfinished(&self) -> Option<i32> {
        let s = self.subscription.as_ref()?;
        if matches!(self.delivery, Delivery::Events) {
            return s.ended().or(s.wants.reconnect.then_some(e::CHTTP_E_SSE_ENDED));
        }
        s.refused
    }

    /// Its body may have to be sent once more, however long it lasts.
    pub fn keeps_body(&self) -> bool {
        self.subscription.as_ref().is_some_and(|s| s.wants.reconnect)
    }

    /// What is known of a request on a connection that it shares with others.
    pub(super) fn traces(&self) -> Traces {
        Traces { heard: self.told.heard || self.answered, left: true }
    }

    /// Nanoseconds since submit, at least 1: 0 means "did not happen".
    pub fn elapsed(&self, now: Tick) -> u64 {
        (now.0 - self.submitted.0).max(1)
    }
}
