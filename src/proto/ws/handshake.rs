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

/// Bytes of a wrong value that are shown.
const SHOWN: usize = 64;

/// The names of fields that the handshake itself has; the caller may not give them.
pub const OWN_FIELDS: [&str; 5] =
    ["connection", "upgrade", "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions"];
/// The names of fields that announce a body, which it has not.
pub const BODY_FIELDS: [&str; 2] = ["content-length", "transfer-encoding"];

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

/// What is wrong with an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    pub rule: Rule,
    /// In words: the field, and as much of its value as is fit to be shown.
    pub what: String,
}

impl Wrong {
    pub fn new(rule: Rule, what: impl Into<String>) -> Wrong {
        Wrong { rule, what: what.into() }
    }

    fn field(rule: Rule, name: &str, value: &[u8], why: &str) -> Wrong {
        let shown = &value[..value.len().min(SHOWN)];
        let more = if shown.len() < value.len() { "..." } else { "" };
        Wrong::new(rule, format!("{name}: `{}{more}` {why}", shown.escape_ascii()))
    }
}

/// Judge the fields of an answer that switches protocols.
pub fn judge<'a>(asked: &Asked<'a>, fields: Fields<'_>) -> Result<Agreed<'a>, Wrong> {
    if let Some(key) = asked.key {
        switched(key, fields)?;
    }
    let mut agreed = Agreed::default();
    for value in values(fields, "Sec-WebSocket-Protocol") {
        let wrong = |why: &str| Wrong::field(Rule::Subprotocol, "Sec-WebSocket-Protocol", value, why);
        if agreed.protocol.is_some() {
            return Err(wrong("is a second choice (RFC 6455 section 4.1)"));
        }
        let mut known = asked.protocols.split(',').map(|name| name.trim_matches([' ', '\t']));
        let name = known.find(|name| !name.is_empty() && name.as_bytes() == value);
        agreed.protocol = Some(name.ok_or_else(|| wrong("was not asked for (RFC 6455 section 4.1)"))?);
    }
    for value in values(fields, "Sec-WebSocket-Extensions") {
        let wrong = |why: &str| Wrong::field(Rule::Extension, "Sec-WebSocket-Extensions", value, why);
        let offer = asked.deflate.ok_or_else(|| wrong("was not offered (RFC 6455 section 4.1)"))?;
        if agreed.deflate.is_some() {
            return Err(wrong("comes behind an extension that is agreed on (RFC 7692 section 5)"));
        }
        let params = deflate::agreed(offer, value);
        agreed.deflate = Some(params.ok_or_else(|| wrong("does not answer what was offered (RFC 7692 section 7.1)"))?);
    }
    Ok(agreed)
}

/// Whether a 101 switches to WebSocket (RFC 6455 section 4.1), and is nothing else beside.
fn switched(key: &Key, fields: Fields<'_>) -> Result<(), Wrong> {
    let one = |name: &'static str| {
        let mut all = values(fields, name);
        let first =
            all.next().ok_or_else(|| Wrong::new(Rule::Accept, format!("{name} is missing (RFC 6455 section 4.1)")))?;
        match all.next() {
            None => Ok(first),
            Some(more) => {
                Err(Wrong::field(Rule::Accept, name, more, "comes behind another one (RFC 6455 section 4.1)"))
            }
        }
    };
    let upgrade = one("Upgrade")?;
    if !upgrade.eq_ignore_ascii_case(b"websocket") {
        return Err(Wrong::field(Rule::Accept, "Upgrade", upgrade, "is not `websocket` (RFC 6455 section 4.1)"));
    }
    let mut options = values(fields, "Connection").flat_map(|value| value.split(|&b| b == b','));
    if !options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade")) {
        let first = values(fields, "Connection").next().unwrap_or_default();
        return Err(Wrong::field(Rule::Accept, "Connection", first, "does not say `upgrade` (RFC 6455 section 4.1)"));
    }
    let accepted = one("Sec-WebSocket-Accept")?;
    if accepted != accept(key) {
        let why = "does not answer the key (RFC 6455 section 4.1)";
        return Err(Wrong::field(Rule::Accept, "Sec-WebSocket-Accept", accepted, why));
    }
    // Whoever stands between might take what follows for a body, and the next bytes for another answer.
    for name in ["Content-Length", "Transfer-Encoding"] {
        if let Some(value) = values(fields, name).next() {
            let why = "does not go with 101 (RFC 9110 section 8.6, RFC 9112 section 6.1)";
            return Err(Wrong::field(Rule::Accept, name, value, why));
        }
    }
    Ok(())
}

fn values<'a>(fields: Fields<'a>, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    let Fields { bytes, table } = fields;
    table.iter().filter(move |f| f.name(bytes).eq_ignore_ascii_case(name.as_bytes())).map(move |f| f.value(bytes))
}

/// RFC 9110 section 5.6.2.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
