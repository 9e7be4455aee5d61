//! Why a request head or trailer section of the application was refused, told so that the caller can mend it.
//!
//! Values are never repeated in the text: they may be secrets.

use std::fmt;

/// The part that broke a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    Method,
    /// Of an Extended CONNECT.
    Protocol,
    Target,
    /// The length of the request body, or there being one.
    Body,
    /// The head as a whole.
    Head,
    /// A field's name.
    HeaderName,
    /// A field's value.
    HeaderValue,
    /// A field that may not stand here, or not beside the others; or a line that is no field.
    Header,
    TrailerName,
    TrailerValue,
    Trailer,
}

/// What is wrong with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    Byte(u8),
    Is(&'static str),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invalid {
    pub what: What,
    /// Position of the field among those of the caller, from 0; 0 where `what` is no field.
    pub index: u32,
    /// The method, or the field's name, cut short and escaped.
    pub subject: String,
    pub problem: Problem,
    /// The rule and where it stands.
    pub rule: &'static str,
}

/// Bytes of a method or name that are quoted.
const SUBJECT_MAX: usize = 64;

impl Invalid {
    pub(super) fn new(what: What, index: u32, subject: &[u8], problem: Problem, rule: &'static str) -> Invalid {
        let subject = subject[..subject.len().min(SUBJECT_MAX)].escape_ascii().to_string();
        Invalid { what, index, subject, problem, rule }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Invalid { what, index, subject, problem, rule } = self;
        match what {
            What::Method => write!(f, "method \"{subject}\"")?,
            What::Protocol => write!(f, "protocol \"{subject}\"")?,
            What::Target => f.write_str("request target")?,
            What::Body => f.write_str("request body")?,
            What::Head => f.write_str("request head")?,
            What::HeaderName => write!(f, "header {index}: name \"{subject}\"")?,
            What::HeaderValue => write!(f, "header {index}: value of \"{subject}\"")?,
            What::Header => write!(f, "header {index}: \"{subject}\"")?,
            What::TrailerName => write!(f, "trailer {index}: name \"{subject}\"")?,
            What::TrailerValue => write!(f, "trailer {index}: value of \"{subject}\"")?,
            What::Trailer => write!(f, "trailer {index}: \"{subject}\"")?,
        }
        write!(f, " {problem}; {rule}")
    }
}

impl std::error::Error for Invalid {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Problem::Byte(0) => f.write_str("contains NUL"),
            Problem::Byte(b'\r') => f.write_str("contains CR"),
            Problem::Byte(b'\n') => f.write_str("contains LF"),
            Problem::Byte(b'\t') => f.write_str("contains a tab"),
            Problem::Byte(b' ') => f.write_str("contains a space"),
            Problem::Byte(b @ 0x21..=0x7e) => write!(f, "contains '{}'", b as char),
            Problem::Byte(b) => write!(f, "contains the byte 0x{b:02x}"),
            Problem::Is(words) => f.write_str(words),
        }
    }
}
