//! The opening handshake (RFC 6455 section 4): the fields of the request, and the judgement of the answer.

use super::Rule;
use super::deflate::{self, Offer, Params};
use crate::proto::Fields;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1_smol::Sha1;

/// What a server appends to the key before it hashes it (section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The base64 form of 16 random bytes.
pub type Key = [u8; 24];
/// The base64 form of 20 bytes.
pub type Accept = [u8; 28];

/// The names of fields that the handshake itself has; the caller may not give them.
pub const OWN_FIELDS: [&str; 5] =
    ["connection", "upgrade", "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions"];

pub fn key(random: [u8; 16]) -> Key {
    let mut key = [0; 24];
    STANDARD.encode_slice(random, &mut key).expect("16 bytes are 24 of base64");
    key
}

/// A key that somebody else has made: the base64 form of 16 bytes.
pub fn parse_key(text: &[u8]) -> Option<Key> {
    let decoded = STANDARD.decode(text).ok()?;
    (decoded.len() == 16).then(|| text.try_into().ok()).flatten()
}

/// The answer to a key.
pub fn accept(key: &Key) -> Accept {
    let mut sha1 = Sha1::new();
    sha1.update(key);
    sha1.update(GUID);
    let mut accept = [0; 28];
    STANDARD.encode_slice(sha1.digest().bytes(), &mut accept).expect("20 bytes are 28 of base64");
    accept
}

/// Subprotocols as they are asked for: tokens with commas between them, each once.
pub fn check_protocols(list: &str) -> Result<(), &'static str> {
    let mut seen: Vec<&str> = Vec::new();
    for name in list.split(',').map(|name| name.trim_matches([' ', '\t'])) {
        if !is_token(name.as_bytes()) {
            return Err("a subprotocol is a token (RFC 6455 section 4.1)");
        }
        if seen.contains(&name) {
            return Err("a subprotocol is given twice (RFC 6455 section 4.1)");
        }
        seen.push(name);
    }
    Ok(())
}

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// `None` where there is no key: in HTTP/2 (RFC 8441 section 5).
    pub key: Option<&'a Key>,
    /// With commas between them; may be empty.
    pub protocols: &'a str,
    pub deflate: Option<&'a Offer>,
}

/// What was agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Agreed<'a> {
    pub protocol: Option<&'a str>,
    pub deflate: Option<Params>,
}

/// Judge the fields of an answer that switches protocols.
pub fn judge<'a>(asked: &Asked<'a>, fields: Fields<'_>) -> Result<Agreed<'a>, Rule> {
    if let Some(key) = asked.key {
        let one = |name: &'static [u8]| {
            let mut all = values(fields, name);
            let first = all.next();
            first.filter(|_| all.next().is_none())
        };
        let upgrade = one(b"upgrade").is_some_and(|v| v.eq_ignore_ascii_case(b"websocket"));
        let mut options = values(fields, b"connection").flat_map(|v| v.split(|&b| b == b','));
        let connection = options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
        let accepted = one(b"sec-websocket-accept").is_some_and(|v| v == accept(key));
        if !upgrade || !connection || !accepted {
            return Err(Rule::Accept);
        }
    }
    let mut agreed = Agreed::default();
    for value in values(fields, b"sec-websocket-protocol") {
        let mut known = asked.protocols.split(',').map(|name| name.trim_matches([' ', '\t']));
        let name = known.find(|name| !name.is_empty() && name.as_bytes() == value);
        if name.is_none() || agreed.protocol.is_some() {
            return Err(Rule::Subprotocol);
        }
        agreed.protocol = name;
    }
    for value in values(fields, b"sec-websocket-extensions") {
        let offer = asked.deflate.ok_or(Rule::Extension)?;
        if agreed.deflate.is_some() {
            return Err(Rule::Extension);
        }
        agreed.deflate = Some(deflate::agreed(offer, value).ok_or(Rule::Extension)?);
    }
    Ok(agreed)
}

fn values<'a>(fields: Fields<'a>, name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    let Fields { bytes, table } = fields;
    table.iter().filter(move |f| f.name(bytes).eq_ignore_ascii_case(name)).map(move |f| f.value(bytes))
}

/// RFC 9110 section 5.6.2.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
