//! Heads on their way between this library's form and that of the `http` crate.
//!
//! RFC 9113 sections 8.2 (names in lower case, no fields of the connection), 8.2.3 (cookies may be split), 8.3 (pseudo-header
//! fields), 8.5 (CONNECT); RFC 7541 section 7.1.3 (what is never indexed).

use super::Limits;
use crate::proto::{Fault, Field, Fields, Head, RequestRef, Version};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header, uri};

/// Fields of the connection, and those that pseudo-header fields say.
const LEFT_OUT: [&[u8]; 6] =
    [b"host", b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"];

/// Cookies shorter than this could be guessed byte by byte from what an index makes of them.
const SHORT_COOKIE: usize = 20;

/// The request as the `h2` crate takes it. Fields of the connection were meant for HTTP/1.1, and have no place here.
pub fn request(request: &RequestRef<'_>, is_connect: bool) -> Option<Request<()>> {
    let mut target = uri::Parts::default();
    // CONNECT is to its target, whoever is asked (RFC 9113 section 8.5).
    let is_plain_connect = is_connect && request.protocol.is_none();
    let authority = if is_plain_connect { request.target } else { request.authority };
    target.authority = Some(uri::Authority::try_from(authority).ok()?);
    if !is_plain_connect {
        target.scheme = Some(uri::Scheme::try_from(request.scheme).ok()?);
        target.path_and_query = Some(path(request)?);
    }
    let mut head = Request::new(());
    *head.method_mut() = Method::from_bytes(request.method).ok()?;
    *head.uri_mut() = Uri::from_parts(target).ok()?;
    *head.version_mut() = http::Version::HTTP_2;
    if let Some(protocol) = request.protocol {
        head.extensions_mut().insert(::h2::ext::Protocol::from(protocol));
    }
    let fields = head.headers_mut();
    // `Host` is among them, and always left out.
    fields.reserve(request.fields.table.len().saturating_sub(1));
    for (name, value) in request.fields.iter() {
        append(fields, name, value)?;
    }
    Some(head)
}

/// The path of the request-target. An absolute-form has one behind its authority.
fn path(request: &RequestRef<'_>) -> Option<uri::PathAndQuery> {
    let target = request.target;
    if target.first() == Some(&b'/') || target == b"*" {
        return uri::PathAndQuery::try_from(target).ok();
    }
    let behind = target.windows(3).position(|w| w == b"://").map(|at| &target[at + 3..])?;
    let at = behind.iter().position(|&b| b == b'/' || b == b'?').unwrap_or(behind.len());
    match &behind[at..] {
        [] => Some(uri::PathAndQuery::from_static("/")),
        [b'?', ..] => uri::PathAndQuery::try_from([b"/", &behind[at..]].concat()).ok(),
        path => uri::PathAndQuery::try_from(path).ok(),
    }
}

fn append(fields: &mut HeaderMap, name: &[u8], value: &[u8]) -> Option<()> {
    // Their lengths settle most.
    if matches!(name.len(), 4 | 7 | 10 | 16 | 17) && LEFT_OUT.iter().any(|left_out| name.eq_ignore_ascii_case(left_out))
    {
        return Some(());
    }
    let name = HeaderName::from_bytes(name).ok()?;
    if name == header::COOKIE {
        for crumb in value.split(|&b| b == b';').map(<[u8]>::trim_ascii).filter(|crumb| !crumb.is_empty()) {
            let mut value = HeaderValue::from_bytes(crumb).ok()?;
            value.set_sensitive(crumb.len() < SHORT_COOKIE);
            fields.append(header::COOKIE, value);
        }
        return Some(());
    }
    if name == header::TE && !value.eq_ignore_ascii_case(b"trailers") {
        // The only coding of the transfer that may be named here.
        return Some(());
    }
    let mut value = HeaderValue::from_bytes(value).ok()?;
    value.set_sensitive(name == header::AUTHORIZATION || name == header::PROXY_AUTHORIZATION);
    fields.append(name, value);
    Some(())
}

/// A trailer section out of `Name: value\r\n` lines.
pub fn trailers(block: &[u8]) -> Option<HeaderMap> {
    let mut fields = HeaderMap::new();
    for line in block.split(|&b| b == b'\n').filter_map(|line| line.strip_suffix(b"\r")) {
        let colon = line.iter().position(|&b| b == b':')?;
        append(&mut fields, &line[..colon], line[colon + 1..].trim_ascii())?;
    }
    Some(fields)
}

/// A header map as the bytes and the table that a sink is shown. The order of different names is not that of the wire: the
/// map does not keep it.
#[derive(Debug, Default)]
pub struct Flat {
    bytes: Vec<u8>,
    table: Vec<Field>,
}

impl Flat {
    pub fn fields(&mut self, map: &HeaderMap, limits: &Limits) -> Result<Fields<'_>, Fault> {
        self.bytes.clear();
        self.table.clear();
        if map.len() > limits.fields_max as usize {
            return Err(Fault::TooManyFields);
        }
        for (name, value) in map {
            let name_at = self.bytes.len() as u32;
            self.bytes.extend_from_slice(name.as_str().as_bytes());
            let value_at = self.bytes.len() as u32;
            self.bytes.extend_from_slice(value.as_bytes());
            let (name_len, value_len) = (value_at - name_at, self.bytes.len() as u32 - value_at);
            if name_len + value_len > limits.line_max {
                return Err(Fault::LineTooLong);
            }
            self.table.push(Field { name: name_at, name_len, value: value_at, value_len });
        }
        // As the other side counts (RFC 9113 section 6.5.2).
        if self.bytes.len() + 32 * self.table.len() > limits.head_max as usize {
            return Err(Fault::HeadTooLarge);
        }
        Ok(Fields { bytes: &self.bytes, table: &self.table })
    }

    pub fn head(&mut self, status: u16, map: &HeaderMap, limits: &Limits) -> Result<Head<'_>, Fault> {
        Ok(Head { version: Version::Http2, status, reason: b"", fields: self.fields(map, limits)? })
    }
}
