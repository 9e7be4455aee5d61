//! Request heads and trailer sections on their way out. Runs on the application's thread: what it lets through is
//! sent as it is.
//!
//! A head is the request line, `Host` unless the caller gave one, the caller's fields in their order, case and
//! number, then what the caller left out of framing (`Content-Length` or `Transfer-Encoding`), `Expect` and
//! `Connection: close`. Blanks around a value are cut off, as every recipient would do it (RFC 9112 section 5.1);
//! everything else goes out byte for byte or is refused.
//!
//! Invariants of an encoded head: exactly one `Host`; at most one of `Content-Length` and `Transfer-Encoding`, in
//! agreement with the body; no CR, LF or NUL but in line ends; the field table lists every line in wire order.
//!
//! RFC 9112 sections 3 (request line), 3.2 (Host, target forms), 6.1, 6.2 (framing); RFC 9110 sections 5.1, 5.5
//! (names, values), 6.5.1 (trailers), 9.1 (method), 10.1.1 (Expect).

use super::bytes::{all_text, all_token, eq_lower, find_crlf, is_text, is_token, trim};
use super::framing::{content_length, has_token};
pub use super::invalid::{Invalid, Problem, What};
use crate::proto::url::{Scheme, Url};
use crate::proto::{BodyLen, Field, Fields, RequestRef};
use std::ops::Range;

/// Bytes of a head that are accepted from the caller. No server takes nearly as much; offsets fit 32 bits.
pub const HEAD_MAX: usize = 16 << 20;

/// Says where a stream of events has come to (WHATWG HTML section 9.2.4).
pub const LAST_EVENT_ID: &[u8] = b"Last-Event-ID";

/// A request, but for its fields.
#[derive(Clone, Copy, Debug)]
pub struct Spec<'a> {
    pub method: &'a [u8],
    pub url: &'a Url<'a>,
    /// A request-target to send instead of the one made from the URL.
    pub target: Option<&'a [u8]>,
    /// Send the absolute-form, as a proxy wants it for `http` (RFC 9112 section 3.2.2).
    pub absolute_form: bool,
    pub body: BodyLen,
    /// Add `Connection: close`.
    pub close: bool,
    /// Add `Expect: 100-continue` if there is a body.
    pub expect_continue: bool,
    /// `:protocol` of an Extended CONNECT, whose target is that of any other method (RFC 8441 section 4).
    pub protocol: Option<&'a [u8]>,
    /// Fields to add unless the caller has given ones of these names; the last ones of the head.
    pub defaults: &'a [(&'a [u8], &'a [u8])],
}

impl<'a> Spec<'a> {
    pub const fn new(method: &'a [u8], url: &'a Url<'a>) -> Spec<'a> {
        Spec {
            method,
            url,
            target: None,
            absolute_form: false,
            body: BodyLen::None,
            close: false,
            expect_continue: false,
            protocol: None,
            defaults: &[],
        }
    }
}

/// A request head as HTTP/1.1 sends it, and what stands where.
#[derive(Clone, Debug)]
pub struct EncodedHead {
    pub bytes: Vec<u8>,
    /// Every field line, those that were added included.
    pub fields: Vec<Field>,
    pub method: Range<u32>,
    pub target: Range<u32>,
    /// The value of `Host`.
    pub authority: Range<u32>,
    pub scheme: Scheme,
    pub body: BodyLen,
    /// `Connection: upgrade` and `Upgrade` are there: a 101 is solicited.
    pub upgrade: bool,
    /// `Expect: 100-continue` is there, and a body to hold back.
    pub expects_continue: bool,
    /// `Connection: close` is there.
    pub close: bool,
    pub is_connect: bool,
    pub is_head: bool,
    /// `:protocol` of an Extended CONNECT. What stands in `bytes` then is for HTTP/2 to read, and not for HTTP/1.1 to send.
    pub protocol: Option<Box<str>>,
}

impl EncodedHead {
    /// The head of what has none: a raw stream.
    pub fn nothing() -> EncodedHead {
        EncodedHead {
            bytes: Vec::new(),
            fields: Vec::new(),
            method: 0..0,
            target: 0..0,
            authority: 0..0,
            scheme: Scheme::Raw,
            body: BodyLen::None,
            upgrade: false,
            expects_continue: false,
            close: false,
            is_connect: false,
            is_head: false,
            protocol: None,
        }
    }

    /// Say where the stream of events that is asked for has come to, instead of what was said before. Nothing is said of an
    /// id that cannot stand in a head: it is empty, or has control characters.
    pub fn set_last_event_id(&mut self, id: &[u8]) {
        self.bytes.truncate(self.bytes.len() - 2);
        // It is always the last one.
        if let Some(field) = self.fields.last().filter(|field| field.name(&self.bytes) == LAST_EVENT_ID) {
            self.bytes.truncate(field.name as usize);
            self.fields.pop();
        }
        if !id.is_empty() && check_value(id).is_ok() {
            let name = self.bytes.len() as u32;
            put_line(&mut self.bytes, LAST_EVENT_ID, id);
            let (name_len, value_len) = (LAST_EVENT_ID.len() as u32, id.len() as u32);
            self.fields.push(Field { name, name_len, value: name + name_len + 2, value_len });
        }
        self.bytes.extend_from_slice(b"\r\n");
    }

    pub fn request(&self) -> RequestRef<'_> {
        let part = |range: &Range<u32>| &self.bytes[range.start as usize..range.end as usize];
        RequestRef {
            method: part(&self.method),
            scheme: self.scheme.as_str().as_bytes(),
            authority: part(&self.authority),
            target: part(&self.target),
            fields: Fields { bytes: &self.bytes, table: &self.fields },
            h1_head: &self.bytes,
            body: self.body,
            upgrade: self.upgrade,
            protocol: self.protocol.as_deref(),
        }
    }
}

/// Validate and encode a head. The fields are walked twice.
pub fn encode<'a, I>(spec: &Spec<'_>, fields: I) -> Result<EncodedHead, Invalid>
where
    I: IntoIterator<Item = (&'a [u8], &'a [u8])>,
    I::IntoIter: Clone,
{
    Encoder::run(spec, fields.into_iter().map(Ok))
}

/// The same with the fields as one block of `Name: value` lines between CRLF; the last CRLF may be missing.
pub fn encode_block(spec: &Spec<'_>, block: &[u8]) -> Result<EncodedHead, Invalid> {
    Encoder::run(spec, Lines { rest: block })
}

/// Validate and encode a trailer section: the `block` of `Protocol::body_trailers`.
pub fn trailers<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Result<Vec<u8>, Invalid> {
    encode_trailers(fields.into_iter().map(Ok))
}

/// The same from a block of lines, as [`encode_block`] takes it.
pub fn trailers_block(block: &[u8]) -> Result<Vec<u8>, Invalid> {
    encode_trailers(Lines { rest: block })
}

/// The fields of a block, as [`encode_block`] takes it.
pub fn lines(block: &[u8]) -> impl Iterator<Item = Line<'_>> {
    Lines { rest: block }
}

/// A field, or a line that is none.
pub type Line<'a> = Result<(&'a [u8], &'a [u8]), &'a [u8]>;

/// The lines of a block.
#[derive(Clone)]
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let line = match find_crlf(self.rest) {
            Some(end) => {
                let line = &self.rest[..end];
                self.rest = &self.rest[end + 2..];
                line
            }
            None => std::mem::take(&mut self.rest),
        };
        Some(match line.iter().position(|&b| b == b':') {
            Some(colon) => Ok((&line[..colon], &line[colon + 1..])),
            None => Err(line),
        })
    }
}

/// Bytes of a usual head beside target, host and the caller's fields.
const FRAME_ROOM: usize = 64;

const NAME_RULE: &str = "RFC 9110 section 5.1 demands a token";
const VALUE_RULE: &str = "RFC 9110 section 5.5 allows no control characters but the tab";
const LINE_RULE: &str = "RFC 9112 section 5 demands `name: value`";
const LENGTH_RULE: &str = "RFC 9112 section 6.2 wants one Content-Length that is the body's length";
const CODING_RULE: &str = "RFC 9112 section 6.1 wants `chunked` once, and only for a body without a known length";
const PROTOCOL_RULE: &str = "RFC 8441 section 4 names a protocol by a token, and only in CONNECT";
const CONNECT_RULE: &str = "RFC 9110 section 9.3.6 gives a CONNECT request no content";

struct Encoder<'s> {
    spec: &'s Spec<'s>,
    bytes: Vec<u8>,
    fields: Vec<Field>,
    authority: Option<Range<u32>>,
    has_length: bool,
    has_coding: bool,
    has_upgrade: bool,
    /// Options of `Connection`.
    close: bool,
    upgrade: bool,
    expects_continue: bool,
}

impl<'s> Encoder<'s> {
    fn run<'a>(spec: &'s Spec<'s>, lines: impl Iterator<Item = Line<'a>> + Clone) -> Result<EncodedHead, Invalid> {
        check_method(spec)?;
        let protocol = spec.protocol.map(check_protocol).transpose()?;
        let is_connect = spec.method == b"CONNECT";
        let names_authority = is_connect && protocol.is_none();
        // As much as is needed: thousands of requests may wait at a time.
        let (mut has_host, mut room) = (false, FRAME_ROOM + spec.url.host().len() + spec.method.len());
        room += spec.target.map_or(spec.url.target_len(), <[u8]>::len);
        for (name, value) in lines.clone().flatten() {
            has_host |= eq_lower(name, b"host");
            room += name.len() + value.len() + 4;
        }
        let mut encoder = Encoder {
            spec,
            bytes: Vec::with_capacity(room.min(HEAD_MAX)),
            fields: Vec::with_capacity(lines.size_hint().0 + 2),
            authority: None,
            has_length: false,
            has_coding: false,
            has_upgrade: false,
            close: false,
            upgrade: false,
            expects_continue: false,
        };
        let target = encoder.request_line(names_authority)?;
        if !has_host {
            encoder.own_host(names_authority);
        }
        for (index, line) in lines.enumerate() {
            encoder.line(index as u32, line, is_connect)?;
        }
        encoder.own_fields(is_connect);
        encoder.defaults()?;
        encoder.bytes.extend_from_slice(b"\r\n");
        let has_body = !matches!(spec.body, BodyLen::None | BodyLen::Known(0));
        Ok(EncodedHead {
            method: 0..spec.method.len() as u32,
            target,
            // Either the caller's or ours has been written.
            authority: encoder.authority.unwrap_or_default(),
            scheme: spec.url.scheme(),
            body: spec.body,
            upgrade: encoder.upgrade && encoder.has_upgrade && !is_connect,
            expects_continue: encoder.expects_continue && has_body,
            close: encoder.close,
            is_connect,
            is_head: spec.method == b"HEAD",
            protocol,
            bytes: encoder.bytes,
            fields: encoder.fields,
        })
    }

    fn request_line(&mut self, names_authority: bool) -> Result<Range<u32>, Invalid> {
        let Spec { method, url, target, absolute_form, .. } = *self.spec;
        self.bytes.extend_from_slice(method);
        self.bytes.push(b' ');
        let start = self.bytes.len();
        match target {
            Some(raw) => {
                check_target(raw)?;
                self.bytes.extend_from_slice(raw);
            }
            None if names_authority => url.push_authority_with_port(&mut self.bytes),
            // The server as a whole. Nothing is behind the authority for a proxy, which makes `*` of that (RFC 9112 section
            // 3.2.4).
            None if method == b"OPTIONS" && url.names_no_resource() => {
                if absolute_form {
                    url.push_origin(&mut self.bytes);
                } else {
                    self.bytes.push(b'*');
                }
            }
            None if absolute_form => url.push_absolute(&mut self.bytes),
            None => url.push_target(&mut self.bytes),
        }
        let end = self.bytes.len();
        if end > HEAD_MAX {
            return Err(too_large());
        }
        self.bytes.extend_from_slice(b" HTTP/1.1\r\n");
        Ok(start as u32..end as u32)
    }

    fn own_host(&mut self, names_authority: bool) {
        let name = self.bytes.len();
        self.bytes.extend_from_slice(b"Host: ");
        let value = self.bytes.len();
        if names_authority {
            self.spec.url.push_authority_with_port(&mut self.bytes);
        } else {
            self.spec.url.push_authority(&mut self.bytes);
        }
        let end = self.bytes.len();
        self.bytes.extend_from_slice(b"\r\n");
        self.fields.push(Field {
            name: name as u32,
            name_len: 4,
            value: value as u32,
            value_len: (end - value) as u32,
        });
        self.authority = Some(value as u32..end as u32);
    }

    /// One line of the caller.
    fn line(&mut self, index: u32, line: Line<'_>, is_connect: bool) -> Result<(), Invalid> {
        let (name, value) = match line {
            Ok(field) => field,
            Err(text) => return Err(Invalid::new(What::Header, index, text, no_field(text), LINE_RULE)),
        };
        check_name(name).map_err(|p| Invalid::new(What::HeaderName, index, name, p, NAME_RULE))?;
        let value = trim(value);
        check_value(value).map_err(|p| Invalid::new(What::HeaderValue, index, name, p, VALUE_RULE))?;
        if self.bytes.len() + name.len() + value.len() > HEAD_MAX {
            return Err(too_large());
        }
        // Lengths of the names that mean something here; most fields are settled by it.
        if matches!(name.len(), 4 | 6 | 7 | 10 | 14 | 17) {
            self.meaning(name, value, is_connect)
                .map_err(|(what, words, rule)| Invalid::new(what, index, name, Problem::Is(words), rule))?;
        }
        let at = self.push(name, value);
        if eq_lower(name, b"host") {
            self.authority = Some(at);
        }
        Ok(())
    }

    fn meaning(
        &mut self,
        name: &[u8],
        value: &[u8],
        is_connect: bool,
    ) -> Result<(), (What, &'static str, &'static str)> {
        let mut lower = [0; 17];
        let lower = &mut lower[..name.len()];
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let twice = |has: bool, rule| if has { Err((What::Header, "is given twice", rule)) } else { Ok(()) };
        match &*lower {
            b"host" => {
                twice(self.authority.is_some(), "RFC 9112 section 3.2 demands exactly one")?;
                // The bytes that would move the border between host, path and userinfo.
                if value.is_empty() || value.iter().any(|&b| !b.is_ascii_graphic() || b"/\\?#@,".contains(&b)) {
                    return Err((
                        What::HeaderValue,
                        "is no host",
                        "RFC 9110 section 7.2 demands `host` or `host:port`",
                    ));
                }
                self.authority = Some(0..0);
            }
            b"expect" => self.expects_continue |= has_token(value, b"100-continue"),
            b"upgrade" => self.has_upgrade = true,
            b"connection" => {
                self.close |= has_token(value, b"close");
                self.upgrade |= has_token(value, b"upgrade");
            }
            b"content-length" => {
                twice(self.has_length, LENGTH_RULE)?;
                if is_connect {
                    return Err((What::Header, "is not allowed", CONNECT_RULE));
                }
                let own = match self.spec.body {
                    BodyLen::None => Some(0),
                    BodyLen::Known(n) => Some(n),
                    BodyLen::Unknown => None,
                };
                // One number only: a list would be taken from a server, not sent to one.
                if value.contains(&b',') || content_length(None, value).ok() != own || own.is_none() {
                    return Err((What::HeaderValue, "is not the length of the body", LENGTH_RULE));
                }
                self.has_length = true;
            }
            b"transfer-encoding" => {
                twice(self.has_coding, CODING_RULE)?;
                if is_connect {
                    return Err((What::Header, "is not allowed", CONNECT_RULE));
                }
                if self.spec.body != BodyLen::Unknown || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err((What::HeaderValue, "does not fit the body", CODING_RULE));
                }
                self.has_coding = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// What the caller left out.
    fn own_fields(&mut self, is_connect: bool) {
        let spec = self.spec;
        match spec.body {
            _ if is_connect => {}
            BodyLen::None if !matches!(spec.method, b"POST" | b"PUT" | b"PATCH") => {}
            // Without it a server has to wait or to ask for one (RFC 9110 section 8.6).
            BodyLen::None if !self.has_length => {
                self.push(b"Content-Length", b"0");
            }
            BodyLen::Known(n) if !self.has_length => {
                self.push(b"Content-Length", n.to_string().as_bytes());
            }
            BodyLen::Unknown if !self.has_coding => {
                self.push(b"Transfer-Encoding", b"chunked");
            }
            _ => {}
        }
        let has_body = !matches!(spec.body, BodyLen::None | BodyLen::Known(0));
        if spec.expect_continue && has_body && !self.expects_continue {
            self.push(b"Expect", b"100-continue");
            self.expects_continue = true;
        }
        if spec.close && !self.close {
            self.push(b"Connection", b"close");
            self.close = true;
        }
    }

    fn defaults(&mut self) -> Result<(), Invalid> {
        for (index, &(name, value)) in self.spec.defaults.iter().enumerate() {
            if self.fields.iter().any(|field| field.name(&self.bytes).eq_ignore_ascii_case(name)) {
                continue;
            }
            check_value(value).map_err(|p| {
                Invalid::new(What::HeaderValue, (self.fields.len() + index) as u32, name, p, VALUE_RULE)
            })?;
            self.push(name, value);
        }
        Ok(())
    }

    /// Append a line; returns where its value stands.
    fn push(&mut self, name: &[u8], value: &[u8]) -> Range<u32> {
        let start = self.bytes.len() as u32;
        put_line(&mut self.bytes, name, value);
        let end = self.bytes.len() as u32 - 2;
        let value_len = value.len() as u32;
        self.fields.push(Field { name: start, name_len: name.len() as u32, value: end - value_len, value_len });
        end - value_len..end
    }
}

fn encode_trailers<'a>(lines: impl Iterator<Item = Line<'a>>) -> Result<Vec<u8>, Invalid> {
    let mut out = Vec::new();
    for (index, line) in lines.enumerate() {
        let index = index as u32;
        let (name, value) = match line {
            Ok(field) => field,
            Err(text) => return Err(Invalid::new(What::Trailer, index, text, no_field(text), LINE_RULE)),
        };
        check_name(name).map_err(|p| Invalid::new(What::TrailerName, index, name, p, NAME_RULE))?;
        let value = trim(value);
        check_value(value).map_err(|p| Invalid::new(What::TrailerValue, index, name, p, VALUE_RULE))?;
        if FORBIDDEN_TRAILERS.iter().any(|f| name.eq_ignore_ascii_case(f)) {
            let rule = "RFC 9110 section 6.5.1 keeps framing, routing, authentication and modifiers out of trailers";
            return Err(Invalid::new(What::Trailer, index, name, Problem::Is("is not allowed"), rule));
        }
        if out.len() + name.len() + value.len() > HEAD_MAX {
            return Err(too_large());
        }
        put_line(&mut out, name, value);
    }
    Ok(out)
}

/// Fields that a recipient has to know before the body.
const FORBIDDEN_TRAILERS: [&[u8]; 17] = [
    b"authorization",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"host",
    b"keep-alive",
    b"max-forwards",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

fn put_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.push(b':');
    if !value.is_empty() {
        out.push(b' ');
        out.extend_from_slice(value);
    }
    out.extend_from_slice(b"\r\n");
}

fn check_method(spec: &Spec<'_>) -> Result<(), Invalid> {
    let invalid = |what, problem, rule| Err(Invalid::new(what, 0, spec.method, problem, rule));
    if let Err(problem) = check_name(spec.method) {
        return invalid(What::Method, problem, "RFC 9110 section 9.1 demands a token");
    }
    if spec.method.len() > HEAD_MAX {
        return Err(too_large());
    }
    let has_body = !matches!(spec.body, BodyLen::None | BodyLen::Known(0));
    if spec.protocol.is_some() && spec.method != b"CONNECT" {
        return invalid(What::Method, Problem::Is("does not go with a protocol"), PROTOCOL_RULE);
    }
    match (spec.method, spec.body) {
        (b"CONNECT", _) if has_body => invalid(What::Body, Problem::Is("is not allowed"), CONNECT_RULE),
        (b"TRACE", _) if has_body => {
            let rule = "RFC 9110 section 9.3.8 gives a TRACE request no content";
            invalid(What::Body, Problem::Is("is not allowed"), rule)
        }
        (_, BodyLen::Known(n)) if n > i64::MAX as u64 => {
            invalid(What::Body, Problem::Is("is longer than 2^63 - 1 bytes"), "no server could count it")
        }
        _ => Ok(()),
    }
}

fn check_protocol(protocol: &[u8]) -> Result<Box<str>, Invalid> {
    let refuse = |problem| Invalid::new(What::Protocol, 0, protocol, problem, PROTOCOL_RULE);
    check_name(protocol).map_err(refuse)?;
    if protocol.len() > HEAD_MAX {
        return Err(too_large());
    }
    Ok(std::str::from_utf8(protocol).map_err(|_| refuse(Problem::Is("is no text")))?.into())
}

fn check_target(target: &[u8]) -> Result<(), Invalid> {
    let problem = match target.iter().find(|&&b| !b.is_ascii_graphic() || b == b'#') {
        Some(&b) => Problem::Byte(b),
        None if target.is_empty() => Problem::Is("is empty"),
        None => return Ok(()),
    };
    let rule = "RFC 9112 section 3.2 allows visible ASCII without a fragment; percent-encode the rest";
    Err(Invalid::new(What::Target, 0, b"", problem, rule))
}

fn check_name(name: &[u8]) -> Result<(), Problem> {
    if !name.is_empty() && all_token(name) {
        return Ok(());
    }
    Err(name.iter().find(|&&b| !is_token(b)).map_or(Problem::Is("is empty"), |&b| Problem::Byte(b)))
}

fn check_value(value: &[u8]) -> Result<(), Problem> {
    if all_text(value) {
        return Ok(());
    }
    value.iter().find(|&&b| !is_text(b)).map_or(Ok(()), |&b| Err(Problem::Byte(b)))
}

fn no_field(line: &[u8]) -> Problem {
    Problem::Is(if line.is_empty() { "is an empty line, which would end the head" } else { "has no colon" })
}

fn too_large() -> Invalid {
    Invalid::new(What::Head, 0, b"", Problem::Is("is over 16 MiB"), "no server accepts it")
}
