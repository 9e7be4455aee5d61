//! WebSockets: an exchange whose answer is a conversation in messages.
//!
//! It is submitted as a request with CHTTP_REQ_WEBSOCKET, which carries the handshake, and finds its connection as every
//! request does. An answer that does not switch protocols is an ordinary one. Behind one that does, the stream of bytes is
//! not the application's, as a tunnel's is, but this room's: `incoming` turns it into messages under the exchange's credit,
//! `outgoing` turns messages into frames. What carries the bytes is not known here.
//!
//! ```text
//! (handshake) ──101──► open ──Close sent──► closing ──Close received──► over ──end of the connection──► DONE
//!                        └────Close received, and answered────────────────┘
//! ```
//!
//! Whatever breaks a rule ends it at once: the server is told by a Close frame with the code of the rule, and DONE by the
//! error of the rule.

mod incoming;
mod outgoing;

pub use incoming::take;
pub use outgoing::{FRAME_CHARGE, Frame, Writer, speak};

use super::exchange::{Due, Exchange};
use super::failure::Cause;
use super::outbox::Outbox;
use super::response::Response;
use super::upload::Piece;
use super::{Client, ids, sink};
use crate::error as e;
use crate::mem::Obj;
use crate::net::backend::Backend;
use crate::net::reactor::Io;
use crate::proto::ws::deflate::{Deflater, Inflater, Offer, Params, Shelf};
use crate::proto::ws::handshake::{self, Asked, Key, Wrong};
use crate::proto::ws::{Limits, Reader, Rule, Utf8, close, frame};
use crate::proto::{Fault, Head, Tick, Version};
use crate::queue::event::kind;
use incoming::Assembly;
use std::sync::Arc;

/// What WS_OPEN tells of compression in `aux`.
pub mod agreed {
    pub const DEFLATE: u64 = 1;
    pub const CLIENT_NO_TAKEOVER: u64 = 2;
    pub const SERVER_NO_TAKEOVER: u64 = 4;
}

/// What an application wants of its WebSocket.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What the server has to answer to; there is none in HTTP/2.
    pub key: Option<Key>,
    /// Subprotocols that are asked for, with commas between them.
    pub protocols: Box<str>,
    pub deflate: Option<Offer>,
    pub choices: Choices,
}

/// The part of it that an engine has defaults for.
#[derive(Clone, Debug)]
pub struct Choices {
    pub limits: Limits,
    /// Silence after which the server is sent a PING, in nanoseconds.
    pub heartbeat: u64,
    /// Silence after a PING before it is given up.
    pub pong_timeout: u64,
    /// How long the server has to answer our Close frame, and then to close the connection.
    pub close_timeout: u64,
    /// Offer permessage-deflate.
    pub deflate: bool,
    /// Messages that are shorter are sent as they are.
    pub deflate_from: u64,
    /// Messages come piece by piece, as they arrive.
    pub fragments: bool,
    /// PING and PONG are told.
    pub tells_control: bool,
    /// PING is answered by the application.
    pub manual_pong: bool,
}

impl Default for Choices {
    fn default() -> Choices {
        const SECOND: u64 = 1_000_000_000;
        Choices {
            limits: Limits { frame: u64::MAX, message: 16 << 20 },
            heartbeat: u64::MAX,
            pong_timeout: 20 * SECOND,
            close_timeout: 10 * SECOND,
            deflate: false,
            deflate_from: 128,
            fragments: false,
            tells_control: false,
            manual_pong: false,
        }
    }
}

/// How far closing has come.
#[derive(Clone, Copy, Debug, Default)]
struct Closing {
    /// When our Close frame was sent.
    sent: Option<Tick>,
    received: bool,
}

/// There are servers that leave a stream of HTTP/2 open. A connection they do close.
const LINGER: u64 = 1_000_000_000;

/// An open WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    reader: Reader,
    inflater: Option<Inflater>,
    /// Of inflated text.
    utf8: Utf8,
    /// Bytes of the message in progress that were inflated.
    inflated: u64,
    /// The message that is being received.
    assembly: Option<Assembly>,
    deflater: Option<Deflater>,
    /// The message that is being sent in fragments is compressed.
    compressing: bool,
    /// Control frames that are to be sent before anything else: opcode, length and payload of each.
    controls: Vec<u8>,
    /// A PING was sent, and nothing was heard since.
    pinged: Option<Tick>,
    closing: Closing,
    /// Since when, in the closing handshake, we read nothing for want of credit.
    deaf: Option<Tick>,
    /// How long the server may be silent, once both have said a Close frame, before its side is taken for closed, too.
    linger: u64,
    /// A rule that was broken just now.
    broken: Option<Rule>,
    /// The same on a connection that is shared: the server has been told, and is given time to hear it.
    failing: Option<Rule>,
}

const _: () = assert!(size_of::<WebSocket>() <= 400, "an idle WebSocket is small");

impl WebSocket {
    fn new(setup: &Setup, deflate: Option<&Params>, shelf: &Arc<Shelf>) -> WebSocket {
        WebSocket {
            reader: Reader::new(setup.choices.limits, deflate.is_some()),
            inflater: deflate.map(|params| Inflater::new(params, shelf)),
            utf8: Utf8::default(),
            inflated: 0,
            assembly: None,
            deflater: deflate.and_then(|params| Deflater::new(params, shelf)),
            compressing: false,
            controls: Vec::new(),
            pinged: None,
            closing: Closing::default(),
            deaf: None,
            linger: if setup.key.is_some() { u64::MAX } else { LINGER },
            broken: None,
            failing: None,
        }
    }

    /// Something came.
    pub fn heard(&mut self) {
        self.pinged = None;
    }

    /// The server has said that it is done, so that an end of the connection is in order.
    pub fn is_over(&self) -> bool {
        self.closing.received
    }

    /// What an end of the connection means.
    pub fn verdict(&self) -> Result<(), Rule> {
        match self.failing {
            Some(rule) => Err(rule),
            None if self.closing.received => Ok(()),
            None => Err(Rule::Abnormal),
        }
    }

    /// There are frames to send that nobody else has asked for.
    pub fn has_controls(&self) -> bool {
        !self.controls.is_empty()
    }

    /// The time in which an answer to our Close frame could not be heard does not count.
    pub fn listens(&mut self, now: Tick, listens: bool) {
        let Some(sent) = &mut self.closing.sent else { return };
        if listens || self.closing.received || self.failing.is_some() {
            let deaf = self.deaf.take().map_or(0, |since| now.0.saturating_sub(since.0));
            *sent = sent.after(deaf);
        } else {
            self.deaf.get_or_insert(now);
        }
    }

    /// What is due next. `listens`: there is credit, so that an answer could be read.
    pub fn deadline(&self, choices: &Choices, heard_at: Tick, listens: bool) -> (Tick, Due) {
        if let Some(sent) = self.closing.sent {
            if self.deaf.is_some() {
                return (Tick::NEVER, Due::Ping);
            }
            let due = match self.failing {
                Some(rule) => Due::Fail(Cause::fault(Fault::WebSocket(rule)).code),
                None if self.closing.received => Due::Conclude,
                None => Due::Fail(e::CHTTP_E_TIMEOUT_CLOSE),
            };
            let end = sent.after(choices.close_timeout);
            return (if due == Due::Conclude { end.min(heard_at.after(self.linger)) } else { end }, due);
        }
        match self.pinged {
            _ if !listens || self.closing.received => (Tick::NEVER, Due::Ping),
            Some(at) => (at.after(choices.pong_timeout), Due::Fail(e::CHTTP_E_TIMEOUT_PONG)),
            None => (heard_at.after(choices.heartbeat), Due::Ping),
        }
    }
}

/// The server has switched protocols: judge its answer, and tell that the WebSocket is open.
pub(super) fn open(
    exchange: &mut Exchange,
    outbox: &mut Outbox,
    obj: Option<Obj<Response>>,
    head: &Head<'_>,
    shelf: &Arc<Shelf>,
) {
    let Some(setup) = &exchange.request.websocket else { return };
    let asked = Asked { key: setup.key.as_ref(), protocols: &setup.protocols, deflate: setup.deflate.as_ref() };
    let judged = if head.version == Version::Http10 {
        Err(Wrong::new(Rule::Accept, "the answer is HTTP/1.0, which cannot switch protocols (RFC 9110 section 7.8)"))
    } else {
        handshake::judge(&asked, head.fields)
    };
    let judged = match judged {
        Ok(judged) => judged,
        Err(Wrong { rule, what }) => {
            exchange.told.failed = Some(Fault::WebSocket(rule));
            exchange.detail = Some(what.into());
            return;
        }
    };
    exchange.ws = Some(Box::new(WebSocket::new(setup, judged.deflate.as_ref(), shelf)));
    exchange.answered = true;
    let Some(mut obj) = obj else {
        exchange.starved = true;
        return;
    };
    obj.parts_mut().0.timing = exchange.timing;
    let mut event = sink::event(exchange, kind::WS_OPEN);
    if judged.protocol.is_some()
        && let Some(name) = obj.get().first(obj.tail(), b"sec-websocket-protocol")
    {
        event.data = name.as_ptr() as usize;
        event.len = name.len() as u64;
    }
    event.aux = judged.deflate.map_or(0, |p| {
        let if_so = |so: bool, bit: u64| if so { bit } else { 0 };
        agreed::DEFLATE
            | if_so(p.client_no_context_takeover, agreed::CLIENT_NO_TAKEOVER)
            | if_so(p.server_no_context_takeover, agreed::SERVER_NO_TAKEOVER)
            | u64::from(p.client_bits) << 8
            | u64::from(p.server_bits) << 16
    });
    event.obj = Some(obj.into_block());
    outbox.told.websockets += 1;
    outbox.push(&exchange.queue, event);
}

impl Client {
    /// A frame of the application's, on a thread that has the turn: it leaves from where it stands, if nothing is before it.
    pub(super) fn send_frame<B: Backend>(&mut self, io: &mut Io<B>, xid: u64, frame: &Frame<&[u8]>) {
        let Some(exchange) = self.exchanges.get_mut(ids::slot(xid)).filter(|x| x.xid == xid) else { return };
        let upload = &mut exchange.upload;
        let free = exchange.ws.is_some() && upload.pieces.is_empty() && exchange.unsent == 0 && !upload.ended;
        match exchange.conn {
            Some((conn, stream)) if free && io.conn(conn).is_some_and(|c| !c.is_shared()) => {
                if let Err(cause) = outgoing::say(io, &mut self.writer, exchange, (conn, stream), frame) {
                    return self.fail(io, xid, cause);
                }
            }
            _ => upload.pieces.push_back(Piece::Frame(frame.copied())),
        }
        self.feed(io, xid);
    }

    /// Nothing was heard for a while: ask whether the server is there.
    pub(super) fn ping<B: Backend>(&mut self, io: &mut Io<B>, xid: u64) {
        let now = io.now();
        let Some(ws) = self.exchange(xid).and_then(|x| x.ws.as_mut()) else { return };
        ws.pinged = Some(now);
        outgoing::queue(&mut ws.controls, frame::PING, &[]);
        self.feed(io, xid);
    }

    /// What was received has been acted upon: answer what has to be, and end what is over. Whether the exchange goes on.
    pub(super) fn attend<B: Backend>(&mut self, io: &mut Io<B>, xid: u64) -> bool {
        let Some(ws) = self.exchange(xid).and_then(|x| x.ws.as_mut()) else { return true };
        if let Some(rule) = ws.broken.take() {
            self.break_off(io, xid, rule);
            return false;
        }
        if ws.has_controls() {
            self.feed(io, xid);
        }
        self.exchange(xid).is_some()
    }

    /// The server has closed its side of a stream of HTTP/2 behind its Close frame: we answer that, and close ours. It is for
    /// the server to begin (RFC 6455 section 7.1.1); there are some that lose the connection over an end of ours that comes
    /// first.
    pub(super) fn answer_end<B: Backend>(&mut self, io: &mut Io<B>, xid: u64) {
        let Some(ws) = self.exchange(xid).and_then(|x| x.ws.as_ref()) else { return };
        if ws.has_controls() {
            self.feed(io, xid);
        }
        if let Some(exchange) = self.exchange(xid).filter(|x| x.upload.ended)
            && let Some((conn, stream)) = exchange.conn
        {
            // A stream that is gone needs no end.
            io.body(conn, stream, bytes::Bytes::new(), true).ok();
            io.transmit(conn);
        }
    }

    /// A rule was broken: tell the server which, and end it.
    fn break_off<B: Backend>(&mut self, io: &mut Io<B>, xid: u64, rule: Rule) {
        if let Some(code) = rule.close_code()
            && let Some(exchange) = self.exchange(xid)
            && let Some(ws) = exchange.ws.as_mut().filter(|ws| ws.closing.sent.is_none())
        {
            let (body, len) = close::body(code, "");
            ws.controls.clear();
            outgoing::queue(&mut ws.controls, frame::CLOSE, &body[..len]);
            exchange.upload.drop_frames();
            exchange.gate.shut();
            let conn = exchange.conn.map(|(conn, _)| conn);
            if conn.is_some_and(|conn| io.conn(conn).is_some_and(|c| c.is_shared())) {
                // A stream that is reset at once takes the frame with it.
                ws.failing = Some(rule);
                return self.feed(io, xid);
            }
            self.feed(io, xid);
        }
        self.fail(io, xid, Cause::fault(Fault::WebSocket(rule)));
    }

    /// The connection has ended, in whatever way. Whether that is all right, because the closing handshake is done.
    pub(super) fn ends_well(&mut self, xid: u64) -> bool {
        self.exchange(xid).and_then(|x| x.ws.as_ref()).is_some_and(|ws| ws.is_over())
    }
}
