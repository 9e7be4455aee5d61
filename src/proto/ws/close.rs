//! Close codes (RFC 6455 section 7.4), and the body of a Close frame.

use super::Rule;

pub const NORMAL: u16 = 1000;
pub const PROTOCOL_ERROR: u16 = 1002;
/// Never sent: there was no code in the Close frame.
pub const NO_STATUS: u16 = 1005;
pub const INVALID_DATA: u16 = 1007;
pub const TOO_BIG: u16 = 1009;
/// Bytes of a reason: a control frame has 125, and the code takes two.
pub const REASON_MAX: usize = 123;

/// Whether the code may stand in a Close frame: the registered ones but for those that only stand for the lack of one, and
/// those of libraries and applications. 1012 to 1014 were registered after the RFC.
pub const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Code and reason of a Close frame's body. Without one the code is [`NO_STATUS`].
pub fn parse(body: &[u8]) -> Result<(u16, &str), Rule> {
    let Some((code, reason)) = body.split_first_chunk::<2>() else {
        return if body.is_empty() { Ok((NO_STATUS, "")) } else { Err(Rule::CloseFrame) };
    };
    let code = u16::from_be_bytes(*code);
    if !may_be_sent(code) {
        return Err(Rule::CloseFrame);
    }
    Ok((code, std::str::from_utf8(reason).map_err(|_| Rule::Utf8)?))
}

/// The body of a Close frame, and how many bytes of it count. [`NO_STATUS`] has none.
pub fn body(code: u16, reason: &str) -> ([u8; 125], usize) {
    let mut body = [0; 125];
    if code == NO_STATUS {
        return (body, 0);
    }
    let reason = &reason.as_bytes()[..reason.len().min(REASON_MAX)];
    body[..2].copy_from_slice(&code.to_be_bytes());
    body[2..2 + reason.len()].copy_from_slice(reason);
    (body, 2 + reason.len())
}
