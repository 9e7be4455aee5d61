//! What the heads and trailers of HTTP say in HTTP/2: requests on their way out, and the rules for what comes in.
//!
//! RFC 9113 sections 8.1.1 (malformed messages), 8.2 (names in lower case, no fields of the connection), 8.2.1 (values), 8.2.3
//! (cookies may be split), 8.3 (pseudo-header fields), 8.5 (CONNECT); RFC 7541 section 7.1.3 (what is never indexed).

use super::hpack::{Index, Section};
use crate::proto::h1::bytes::{all_lower, all_text, eq_lower, is_blank, trim};
use crate::proto::h1::framing::content_length;
use crate::proto::{Field, RequestRef};
use std::borrow::Cow;

/// Cookies shorter than this could be guessed byte by byte from what an index makes of them.
const SHORT_COOKIE: usize = 20;

/// What of a request decides what its answer means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    Plain,
    Head,
    Connect,
}

/// The pseudo-fields of a request.
#[derive(Debug)]
pub struct Target<'a> {
    authority: &'a [u8],
    /// A plain CONNECT has neither, as it is to its target, whoever is asked (section 8.5).
    scheme_and_path: Option<(&'a [u8], Cow<'a, [u8]>)>,
}

/// Where a request goes; `None` if HTTP/2 has no way to say it.
pub fn target<'a>(request: &RequestRef<'a>) -> Option<Target<'a>> {
    let is_plain_connect = request.method == b"CONNECT" && request.protocol.is_none();
    let authority = if is_plain_connect { request.target } else { request.authority };
    let is_good = |b: &u8| b.is_ascii_graphic() && !matches!(b, b'/' | b'?' | b'#' | b'\\');
    if authority.is_empty() || !authority.iter().all(is_good) {
        return None;
    }
    let scheme_and_path = if is_plain_connect { None } else { Some((request.scheme, path(request)?)) };
    Some(Target { authority, scheme_and_path })
}

/// The path of a request-target. An absolute-form has one behind its authority; OPTIONS without any is for the server as a
/// whole (section 8.3.1).
fn path<'a>(request: &RequestRef<'a>) -> Option<Cow<'a, [u8]>> {
    let target = request.target;
    if target.first() == Some(&b'/') || target == b"*" {
        return Some(Cow::Borrowed(target));
    }
    let behind = target.windows(3).position(|w| w == b"://").map(|at| &target[at + 3..])?;
    let at = behind.iter().position(|&b| b == b'/' || b == b'?').unwrap_or(behind.len());
    Some(match &behind[at..] {
        [] if request.method == b"OPTIONS" => Cow::Borrowed(b"*"),
        [] => Cow::Borrowed(b"/"),
        query @ [b'?', ..] => Cow::Owned([b"/", query].concat()),
        path => Cow::Borrowed(path),
    })
}

/// The field section of a request. Fields of the connection were meant for HTTP/1.1, and have no place here.
pub fn write(request: &RequestRef<'_>, target: &Target<'_>, put: &mut impl FnMut(&[u8], &[u8], Index)) {
    put(b":method", request.method, Index::Yes);
    if let Some((scheme, path)) = &target.scheme_and_path {
        put(b":scheme", scheme, Index::Yes);
        put(b":authority", target.authority, Index::Yes);
        put(b":path", path, Index::Again);
    } else {
        put(b":authority", target.authority, Index::Yes);
    }
    if let Some(protocol) = request.protocol {
        put(b":protocol", protocol.as_bytes(), Index::Yes);
    }
    for (name, value) in request.fields.iter() {
        write_field(name, value, put);
    }
}

/// The field section of trailers, out of `Name: value\r\n` lines.
pub fn write_trailers(block: &[u8], put: &mut impl FnMut(&[u8], &[u8], Index)) {
    for line in block.split(|&b| b == b'\n').filter_map(|line| line.strip_suffix(b"\r")) {
        if let Some(colon) = line.iter().position(|&b| b == b':') {
            write_field(&line[..colon], trim(&line[colon + 1..]), put);
        }
    }
}

fn write_field(name: &[u8], value: &[u8], put: &mut impl FnMut(&[u8], &[u8], Index)) {
    let index = match name.len() {
        2 if eq_lower(name, b"te") && !value.eq_ignore_ascii_case(b"trailers") => return,
        4 if eq_lower(name, b"host") => return,
        6 if eq_lower(name, b"cookie") => return write_cookies(name, value, put),
        7 if eq_lower(name, b"upgrade") => return,
        10 if eq_lower(name, b"connection") || eq_lower(name, b"keep-alive") => return,
        13 if eq_lower(name, b"authorization") => Index::Never,
        16 if eq_lower(name, b"proxy-connection") => return,
        17 if eq_lower(name, b"transfer-encoding") => return,
        19 if eq_lower(name, b"proxy-authorization") => Index::Never,
        _ => Index::Again,
    };
    put(name, value, index);
}

fn write_cookies(name: &[u8], value: &[u8], put: &mut impl FnMut(&[u8], &[u8], Index)) {
    for crumb in value.split(|&b| b == b';').map(trim).filter(|crumb| !crumb.is_empty()) {
        put(name, crumb, if crumb.len() < SHORT_COOKIE { Index::Never } else { Index::Again });
    }
}

/// The head of an answer, as far as it is known here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    pub status: u16,
    pub length: Option<u64>,
}

/// Read the head of an answer: `:status` and nothing else of its kind, before all others. `None` if it is malformed.
pub fn answer(section: &mut Section) -> Option<Answer> {
    let (first, others) = section.table.split_first_mut()?;
    if first.name(&section.bytes) != b":status" {
        return None;
    }
    let status = match first.value(&section.bytes) {
        &[a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
        }
        _ => return None,
    };
    Some(Answer { status, length: check(&section.bytes, others)? })
}

/// Whether a trailer section is well-formed.
pub fn are_trailers(section: &mut Section) -> bool {
    check(&section.bytes, &mut section.table).is_some()
}

/// Names and values are such as may be, and no field is one of the connection. What they say of the length.
fn check(bytes: &[u8], table: &mut [Field]) -> Option<Option<u64>> {
    let mut length = None;
    for field in table {
        cut_blanks(bytes, field);
        let (name, value) = (field.name(bytes), field.value(bytes));
        if name.is_empty() || !all_lower(name) || !all_text(value) {
            return None;
        }
        // The length is compared first: most fields are settled by it.
        match name.len() {
            2 if name == b"te" && value != b"trailers" => return None,
            7 if name == b"upgrade" => return None,
            10 if name == b"connection" || name == b"keep-alive" => return None,
            14 if name == b"content-length" => length = Some(content_length(length, value).ok()?),
            16 if name == b"proxy-connection" => return None,
            17 if name == b"transfer-encoding" => return None,
            _ => {}
        }
    }
    Some(length)
}

/// Blanks at the ends of a value make the message malformed by section 8.2.1. Servers send them all the same, where the value
/// was copied out of something that HTTP/1.1 trims, and what else speaks HTTP/2 in the field takes it; so they are cut off as
/// there (RFC 9112 section 5.1), and nobody who reads the value sees a difference.
fn cut_blanks(bytes: &[u8], field: &mut Field) {
    let value = field.value(bytes);
    let is_padded = |end: Option<&u8>| end.is_some_and(|&b| is_blank(b));
    if is_padded(value.first()) || is_padded(value.last()) {
        let leading = value.iter().take_while(|&&b| is_blank(b)).count();
        field.value += leading as u32;
        field.value_len = trim(value).len() as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::h1::encode::{Spec, encode};
    use crate::proto::url::Url;

    fn read(fields: &[(&str, &str)]) -> Section {
        let mut section = Section::default();
        for (name, value) in fields {
            let at = section.bytes.len() as u32;
            section.bytes.extend_from_slice(name.as_bytes());
            section.bytes.extend_from_slice(value.as_bytes());
            let (name_len, value_len) = (name.len() as u32, value.len() as u32);
            section.table.push(Field { name: at, name_len, value: at + name_len, value_len });
        }
        section
    }

    #[test]
    fn an_answer_has_one_status_before_all_other_fields() {
        const OK: (&str, &str) = (":status", "200");
        let fine = |status, length| Some(Answer { status, length });
        for (fields, expected) in [
            (&[OK][..], fine(200, None)),
            (&[(":status", "999"), ("a", "")], fine(999, None)),
            (&[OK, ("content-length", "7"), ("content-length", "7")], fine(200, Some(7))),
            (&[OK, ("content-length", "7"), ("content-length", "8")], None),
            (&[OK, ("content-length", "-1")], None),
            (&[], None),
            (&[("a", "b")], None),
            (&[("a", "b"), OK], None),
            (&[OK, OK], None),
            (&[OK, (":path", "/")], None),
            (&[(":method", "GET")], None),
            (&[(":status", "099")], None),
            (&[(":status", "20")], None),
            (&[(":status", "2000")], None),
            (&[OK, ("A", "b")], None),
            (&[OK, ("a b", "c")], None),
            (&[OK, ("", "c")], None),
            (&[OK, ("a", "b\nc")], None),
            (&[OK, ("a", "\0")], None),
            (&[OK, ("a", "\u{e4}\t")], fine(200, None)),
            (&[OK, ("connection", "close")], None),
            (&[OK, ("te", "trailers")], fine(200, None)),
            (&[OK, ("te", "gzip")], None),
            (&[OK, ("content-length", " 7\t")], fine(200, Some(7))),
            (&[OK, ("te", " gzip")], None),
            (&[(":status", " 200")], None),
            (&[(":status", "200 ")], None),
        ] {
            assert_eq!(answer(&mut read(fields)), expected, "{fields:?}");
        }
    }

    #[test]
    fn trailers_have_no_pseudo_fields() {
        for (fields, good) in
            [(&[("sum", "7")][..], true), (&[], true), (&[(":status", "200")], false), (&[("Sum", "7")], false)]
        {
            assert_eq!(are_trailers(&mut read(fields)), good, "{fields:?}");
        }
    }

    #[test]
    fn blanks_around_a_value_are_no_part_of_it() {
        let mut section = read(&[("a", " b c\t "), ("d", "e"), ("f", "\t "), ("g", "")]);
        assert!(are_trailers(&mut section));
        let values: Vec<_> = section.fields().iter().map(|(_, value)| value).collect();
        assert_eq!(values, [&b"b c"[..], b"e", b"", b""]);
    }

    #[test]
    fn paths_of_all_forms() {
        let url = Url::parse(b"http://a/").unwrap();
        for (method, target, expected) in [
            ("GET", "/a?b", Some("/a?b")),
            ("GET", "*", Some("*")),
            ("GET", "http://a", Some("/")),
            ("GET", "http://a?b/c", Some("/?b/c")),
            ("GET", "http://a/b?c", Some("/b?c")),
            ("GET", "nonsense", None),
            ("OPTIONS", "http://a", Some("*")),
            ("OPTIONS", "http://a/", Some("/")),
            ("OPTIONS", "http://a?b", Some("/?b")),
        ] {
            let spec = Spec { target: Some(target.as_bytes()), ..Spec::new(method.as_bytes(), &url) };
            let head = encode(&spec, std::iter::empty::<(&[u8], &[u8])>()).unwrap();
            assert_eq!(path(&head.request()).as_deref(), expected.map(str::as_bytes), "{method} {target}");
        }
    }
}
