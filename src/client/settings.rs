//! Cold configuration of an engine: what the options of the C interface set.

use super::events::Sse;
use super::logging::Call;
use super::trust;
use super::websocket;
use crate::diag::Level;
use crate::net::backend::mock::MockNet;
use crate::net::backend::{Bind, Tuning};
use crate::pool::{self, Http};
use crate::proto::route::Overrides;
use crate::proto::tls::Tls;
use crate::proto::{h1, h2};
use std::sync::Arc;

/// Deadlines of one exchange, in nanoseconds; `u64::MAX` is "none". Each has its own error code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// Waiting for a connection to become free.
    pub pool: u64,
    pub dns: u64,
    pub connect: u64,
    /// The TLS handshake.
    pub tls: u64,
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
            tls: 30 * SECOND,
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
    /// For requests that do not say which version of HTTP they want.
    pub http: Http,
    pub h1: h1::Limits,
    /// Its limits of heads are those of `h1`.
    pub h2: h2::Limits,
    pub timeouts: Timeouts,
    /// For WebSockets that do not say otherwise.
    pub ws: websocket::Choices,
    /// For streams of events that say nothing of their own.
    pub sse: Sse,
    /// Bytes that an exchange may have delivered and not released.
    pub recv_credit: u64,
    /// Largest answer that arrives as one RESPONSE event.
    pub collect_max: u64,
    /// Bytes of a streamed upload that the engine buffers for an exchange.
    pub send_buffer: u64,
    pub dns_cache_ns: u64,
    /// Connection Attempt Delay (RFC 8305 section 5).
    pub attempt_delay_ns: u64,
    /// For requests that name no local end of their own.
    pub bind: Bind,
    /// For requests that name no address of their own.
    pub overrides: Overrides,
    pub tuning: Tuning,
    pub exchanges_max: u32,
    /// What `log` is called with.
    pub log_level: Level,
    pub log: Option<Call>,
    /// For https requests that come without a `Tls` of their own.
    pub tls: trust::Options,
    /// The same, made already, and the process that it was made in. `tls` does not count then.
    pub tls_made: Option<(Arc<Tls>, u32)>,
    /// A scripted network instead of the kernel's, and the process that it was made in.
    pub mock: Option<(MockNet, u32)>,
    /// After a peak, have the C library give free memory back to the system.
    pub trim_heap: bool,
    /// A callback that takes longer is told in the log; 0 for none.
    pub slow_callback_ns: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            own_thread: true,
            pool: pool::Limits {
                per_origin: 256,
                total: 16_384,
                idle_ns: 60 * SECOND,
                age_ns: NO_TIMEOUT,
                waiting_max: NO_TIMEOUT,
            },
            http: Http::One,
            h1: h1::Limits::default(),
            h2: h2::Limits::default(),
            timeouts: Timeouts::default(),
            ws: websocket::Choices::default(),
            sse: Sse::default(),
            recv_credit: 1 << 20,
            collect_max: 1 << 20,
            send_buffer: 256 << 10,
            dns_cache_ns: 30 * SECOND,
            attempt_delay_ns: SECOND / 4,
            bind: Bind::default(),
            overrides: Overrides::default(),
            tuning: Tuning::default(),
            exchanges_max: 1 << 20,
            log_level: Level::Warning,
            log: None,
            tls: trust::Options::default(),
            tls_made: None,
            mock: None,
            trim_heap: true,
            slow_callback_ns: SECOND / 20,
        }
    }
}

impl Settings {
    /// Limits of HTTP/2, with those that both versions share.
    pub fn h2(&self) -> h2::Limits {
        let h1::Limits { line_max, head_max, fields_max, informational_max, .. } = self.h1;
        h2::Limits { line_max, head_max, fields_max, informational_max, ..self.h2.clone() }
    }
}
