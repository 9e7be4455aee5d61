//! The event record, as the library keeps it: 64 bytes, moved field by field into the caller's `chttp_event`.

use crate::mem::Block;

/// Event types of the C interface.
pub mod kind {
    pub const INFORMATIONAL: u16 = 1;
    pub const HEADERS: u16 = 2;
    pub const BODY: u16 = 3;
    pub const TRAILERS: u16 = 4;
    pub const DONE: u16 = 5;
    pub const RESPONSE: u16 = 6;
    pub const WRITABLE: u16 = 7;
    pub const WRITE_DONE: u16 = 8;
    pub const ENGINE_DOWN: u16 = 9;
    pub const LOG: u16 = 10;
    pub const STREAM_END: u16 = 11;
    pub const STREAM_TLS: u16 = 12;
    pub const WATCH: u16 = 20;
    pub const TIMER: u16 = 21;
    pub const TASK: u16 = 22;
    pub const WS_OPEN: u16 = 23;
    pub const WS_MESSAGE: u16 = 24;
    pub const WS_PING: u16 = 25;
    pub const WS_PONG: u16 = 26;
    pub const WS_CLOSE: u16 = 27;
    pub const SSE: u16 = 30;
    pub const SSE_RECONNECT: u16 = 31;
}

/// Event flags of the C interface.
pub mod flag {
    /// The last event of its exchange.
    pub const TERMINAL: u16 = 1;
    /// The bytes were copied out of the receive buffer, not sliced.
    pub const COPIED: u16 = 2;
    /// The connection is a raw stream from here on.
    pub const TUNNEL: u16 = 4;
    /// The exchange ran on a connection that had served before.
    pub const REUSED: u16 = 8;
    /// The body that was delivered is not whole.
    pub const PARTIAL: u16 = 16;
    /// The piece of a message is its last.
    pub const FIN: u16 = 32;
}

#[repr(C)]
#[derive(Debug, Default)]
pub struct Event {
    pub kind: u16,
    pub flags: u16,
    pub arg: u32,
    pub xid: u64,
    pub token: u64,
    pub error: i32,
    pub os_errno: i32,
    /// Address of `len` bytes inside `obj`; 0 for none.
    pub data: usize,
    pub len: u64,
    pub obj: Option<Block>,
    pub aux: u64,
}

const _: () = assert!(size_of::<Event>() == 64);
