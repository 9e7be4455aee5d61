//! Cold configuration of an engine: what the options of the C interface set.

use crate::pool;
use crate::proto::h1;

/// Deadlines of one exchange, in nanoseconds; `u64::MAX` is "none". Each has its own error code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// Waiting for a connection to become free.
    pub pool: u64,
    pub dns: u64,
    pub connect: u64,
    /// The peer takes no byte of the request.
    pub write: u64,
    /// From the end of the request to the first byte of the answer.
    pub first_byte: u64,
    /// Between two bytes of the answer. Time spent without credit does not count.
    pub read: u64,
    pub total: u64,
    /// How long `Expect: 100-continue` waits before the body is sent all the same.
    pub expect: u64,
}

pub const NO_TIMEOUT: u64 = u64::MAX;
const SECOND: u64 = 1_000_000_000;

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            pool: 60 * SECOND,
            dns: 30 * SECOND,
            connect: 30 * SECOND,
            write: 60 * SECOND,
            first_byte: NO_TIMEOUT,
            read: 300 * SECOND,
            total: NO_TIMEOUT,
            expect: SECOND,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Settings {
    /// The engine has a thread of its own; otherwise the caller drives it.
    pub own_thread: bool,
    pub pool: pool::Limits,
    pub h1: h1::Limits,
    pub timeouts: Timeouts,
    /// Bytes that an exchange may have delivered and not released.
    pub recv_credit: u64,
    /// Largest answer that arrives as one RESPONSE event.
    pub collect_max: u64,
    /// Bytes of a streamed upload that the engine buffers for an exchange.
    pub send_buffer: u64,
    pub dns_cache_ns: u64,
    pub exchanges_max: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            own_thread: true,
            pool: pool::Limits { per_origin: 256, total: 16_384, idle_ns: 60 * SECOND },
            h1: h1::Limits::default(),
            timeouts: Timeouts::default(),
            recv_credit: 1 << 20,
            collect_max: 1 << 20,
            send_buffer: 256 << 10,
            dns_cache_ns: 30 * SECOND,
            exchanges_max: 1 << 20,
        }
    }
}
