//! What follows a response head, and whether the connection survives it.
//!
//! RFC 9112 sections 6.3 (message body length), 9.3 (persistence); RFC 9110 sections 7.8 (Upgrade), 8.6
//! (Content-Length), 9.3.6 (CONNECT).
//!
//! Stricter than section 6.3 where it leaves a choice: Transfer-Encoding and Content-Length together are refused,
//! and the only transfer coding is `chunked`, once, as no other was asked for.

use super::bytes::{elements, eq_lower};
use crate::proto::{Fault, Head, Version};

/// What of a request decides the framing of its response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    Plain,
    Head,
    Connect,
    /// Plain, and a 101 is welcome.
    Upgrade,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// A 1xx response; the final one is still to come.
    Informational,
    Nothing,
    /// At least one byte.
    Length(u64),
    Chunked,
    UntilClose,
    Tunnel,
}

/// The framing, whether the connection persists afterwards as far as the response is concerned, and for how many seconds
/// the server keeps it, if it said so.
pub fn decide(asked: Asked, head: &Head<'_>) -> Result<(Framing, bool, Option<u32>), Fault> {
    match head.status {
        101 if asked == Asked::Upgrade => return Ok((Framing::Tunnel, false, None)),
        101 => return Err(Fault::UnsolicitedUpgrade),
        100..=199 => return Ok((Framing::Informational, true, None)),
        // Length fields of a successful CONNECT mean nothing (RFC 9110 section 9.3.6).
        200..=299 if asked == Asked::Connect => return Ok((Framing::Tunnel, false, None)),
        _ => {}
    }
    let said = Said::of(head)?;
    let keep = !said.close && (head.version == Version::Http11 || said.keep_alive);
    let bodiless = asked == Asked::Head || matches!(head.status, 204 | 304);
    let framing = match (said.chunked, said.length) {
        (true, Some(_)) => return Err(Fault::LengthAndEncoding),
        (true, None) if head.version == Version::Http10 => return Err(Fault::TransferEncoding),
        _ if bodiless => Framing::Nothing,
        (true, None) => Framing::Chunked,
        (false, Some(0)) => Framing::Nothing,
        (false, Some(n)) => Framing::Length(n),
        (false, None) => Framing::UntilClose,
    };
    Ok((framing, keep && framing != Framing::UntilClose, said.kept_seconds))
}

/// Whether a `Connection` field value holds this option.
pub fn has_token<const N: usize>(value: &[u8], token: &[u8; N]) -> bool {
    elements(value).any(|e| eq_lower(e, token))
}

/// Add the digits of `list` (one value, or several equal ones) to what is known of the length.
pub fn content_length(known: Option<u64>, list: &[u8]) -> Result<u64, Fault> {
    let mut length = known;
    for element in elements(list) {
        let n = decimal(element).ok_or(Fault::ContentLength)?;
        if length.is_some_and(|known| known != n) {
            return Err(Fault::ContentLength);
        }
        length = Some(n);
    }
    length.ok_or(Fault::ContentLength)
}

/// The fields of a head that matter here.
#[derive(Default)]
struct Said {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    kept_seconds: Option<u32>,
}

impl Said {
    fn of(head: &Head<'_>) -> Result<Said, Fault> {
        let mut said = Said::default();
        let bytes = head.fields.bytes;
        for field in head.fields.table {
            // The length is compared first: most fields are settled by it.
            match field.name_len {
                10 if eq_lower(field.name(bytes), b"connection") => {
                    let value = field.value(bytes);
                    // As most servers say it.
                    if eq_lower(value, b"keep-alive") {
                        said.keep_alive = true;
                        continue;
                    }
                    for option in elements(value) {
                        said.close |= eq_lower(option, b"close");
                        said.keep_alive |= eq_lower(option, b"keep-alive");
                    }
                }
                10 if eq_lower(field.name(bytes), b"keep-alive") => {
                    for parameter in elements(field.value(bytes)) {
                        if let Some((name, seconds)) = parameter.split_at_checked(8)
                            && eq_lower(name, b"timeout=")
                            && let Some(seconds) = decimal(seconds)
                        {
                            said.kept_seconds = Some(u32::try_from(seconds).unwrap_or(u32::MAX));
                        }
                    }
                }
                14 if eq_lower(field.name(bytes), b"content-length") => {
                    said.length = Some(content_length(said.length, field.value(bytes))?);
                }
                17 if eq_lower(field.name(bytes), b"transfer-encoding") => {
                    if said.chunked || !eq_lower(field.value(bytes), b"chunked") {
                        return Err(Fault::TransferEncoding);
                    }
                    said.chunked = true;
                }
                _ => {}
            }
        }
        Ok(said)
    }
}

/// `1*DIGIT` up to 2^63 - 1.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |n, &d| {
        let digit = d.is_ascii_digit().then(|| u64::from(d - b'0'))?;
        n.checked_mul(10)?.checked_add(digit).filter(|&n| n <= i64::MAX as u64)
    })
}
