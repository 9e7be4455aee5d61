//! A request as the engine carries it: validated and encoded on the application's thread.

use super::events::Sse;
use super::settings::Timeouts;
use super::upload::Source;
use super::websocket::Setup;
use crate::pool::{OriginKey, Scheme};
use crate::proto::h1::encode::EncodedHead;

pub struct Request {
    /// The application's own word for the exchange; comes back in every event.
    pub token: u64,
    pub head: EncodedHead,
    pub origin: OriginKey,
    pub body: Source,
    /// One RESPONSE event for a small answer.
    pub collect: bool,
    /// Do not use the connection again.
    pub close: bool,
    /// Each side of its stream is closed for itself: the end of the peer's is an event, and not the end.
    pub duplex: bool,
    pub recv_credit: u64,
    pub collect_max: u64,
    pub timeouts: Timeouts,
    /// It asks for a WebSocket: its head is the handshake.
    pub websocket: Option<Box<Setup>>,
    /// The answer is to be a stream of events.
    pub sse: Option<Box<Sse>>,
}

impl Request {
    /// It asks for a connection without HTTP: there is no head to send, and none will come.
    pub fn is_raw(&self) -> bool {
        self.origin.scheme == Scheme::Raw
    }
}
