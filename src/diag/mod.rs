//! What the library says about its work: levels and lines of the log. No I/O: whoever made the engine decides where lines go.
#![forbid(unsafe_code)]

mod redact;

pub use redact::head as redact_head;
pub use redact::target as redact_target;

/// How much a line matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[repr(u8)]
pub enum Level {
    #[default]
    Off = 0,
    /// The engine itself is at fault, or cannot go on.
    Error = 1,
    /// Something that a person should look at: a certificate that was refused or not looked at.
    Warning = 2,
    /// Connections come and go, requests fail or are sent again.
    Info = 3,
    /// Each step of each exchange.
    Debug = 4,
    /// Heads, without their secrets.
    Trace = 5,
}

impl Level {
    pub const fn from_number(number: u64) -> Level {
        match number {
            0 => Level::Off,
            1 => Level::Error,
            2 => Level::Warning,
            3 => Level::Info,
            4 => Level::Debug,
            _ => Level::Trace,
        }
    }
}

/// A line of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    pub level: Level,
    /// Nanoseconds of the monotonic clock.
    pub at: u64,
    /// The exchange that it is about; 0 for none.
    pub xid: u64,
    pub text: String,
}
