//! Certificates in words, for the messages of errors: whose, for which names, when, from whom.
//!
//! A reader of just so much DER (X.690) as that takes. It judges nothing; what it cannot read is left out. The texts come from
//! a stranger: they are escaped and cut.

use std::fmt::Write as _;
use std::net::IpAddr;

/// Names that are told; a certificate may have hundreds.
const NAMES: usize = 8;
/// Characters that are told of one text.
const CHARS: usize = 64;

const SEQUENCE: u8 = 0x30;
const OID_SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// `[3] extensions` of a TBSCertificate (RFC 5280 section 4.1).
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element: tag and contents.
    fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (len, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |len, b| len << 8 | usize::from(*b)), rest)
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((tag, contents))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.element().filter(|(t, _)| *t == tag).map(|(_, contents)| contents)
    }
}

/// What the words are made of.
#[derive(Default)]
struct Certificate<'a> {
    issuer: &'a [u8],
    validity: &'a [u8],
    subject: &'a [u8],
    names: &'a [u8],
}

fn read(der: &[u8]) -> Option<Certificate<'_>> {
    let mut tbs = Der(Der(Der(der).expect(SEQUENCE)?).expect(SEQUENCE)?);
    let mut field = tbs.element()?;
    // `[0] version`, absent in version 1.
    if field.0 == 0xa0 {
        field = tbs.element()?;
    }
    // `field` is the serial number; the signature's algorithm follows.
    let _ = (field, tbs.expect(SEQUENCE)?);
    let mut found = Certificate {
        issuer: tbs.expect(SEQUENCE)?,
        validity: tbs.expect(SEQUENCE)?,
        subject: tbs.expect(SEQUENCE)?,
        names: &[],
    };
    while let Some((tag, contents)) = tbs.element() {
        if tag != EXTENSIONS {
            continue;
        }
        let mut extensions = Der(Der(contents).expect(SEQUENCE)?);
        while let Some(extension) = extensions.expect(SEQUENCE) {
            let mut parts = Der(extension);
            if parts.expect(0x06)? == OID_SUBJECT_ALT_NAME {
                // `critical` may stand between.
                let value = std::iter::from_fn(|| parts.element()).last()?.1;
                found.names = Der(value).expect(SEQUENCE)?;
            }
        }
    }
    Some(found)
}

/// `for "a.example", "*.b.example" and 3 more, valid from ... until ..., issued by "CN=..."`.
pub(super) fn certificate(der: &[u8]) -> String {
    let Some(c) = read(der) else { return "that cannot be read".to_owned() };
    let mut text = match names(c.names) {
        names if names.is_empty() => "for no name at all (it has no subjectAltName)".to_owned(),
        names => format!("for {names}"),
    };
    if let Some((from, until)) = validity(der) {
        let _ = write!(text, ", valid from {from} until {until}");
    }
    let issuer = if c.issuer == c.subject { "itself, " } else { "" };
    let _ = write!(text, ", belongs to {} and was issued by {issuer}{}", name(c.subject), name(c.issuer));
    text
}

/// From when and until when.
pub(super) fn validity(der: &[u8]) -> Option<(String, String)> {
    let mut times = Der(read(der)?.validity);
    Some((time(times.element()?)?, time(times.element()?)?))
}

/// The names of a certificate, as `"a.example", "b.example" and 3 more`; empty if it has none.
fn names(general_names: &[u8]) -> String {
    let mut all = Der(general_names);
    let (mut text, mut count) = (String::new(), 0usize);
    while let Some((tag, contents)) = all.element() {
        let name = match tag {
            DNS_NAME => printable(contents),
            IP_ADDRESS => match ip(contents) {
                Some(ip) => ip.to_string(),
                None => continue,
            },
            _ => continue,
        };
        count += 1;
        if count <= NAMES {
            let _ = write!(text, "{}\"{name}\"", if text.is_empty() { "" } else { ", " });
        }
    }
    if count > NAMES {
        let _ = write!(text, " and {} more", count - NAMES);
    }
    text
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// A Name (RFC 5280 section 4.1.2.4): the parts that people know it by, the last one first (RFC 4514).
fn name(rdns: &[u8]) -> String {
    let mut parts = Vec::new();
    let mut sets = Der(rdns);
    while let Some(set) = sets.expect(0x31) {
        let mut pairs = Der(set);
        while let Some(pair) = pairs.expect(SEQUENCE) {
            let mut pair = Der(pair);
            let key = match pair.expect(0x06) {
                Some([0x55, 4, 3]) => "CN",
                Some([0x55, 4, 6]) => "C",
                Some([0x55, 4, 10]) => "O",
                Some([0x55, 4, 11]) => "OU",
                _ => continue,
            };
            if let Some((_, value)) = pair.element() {
                parts.push(format!("{key}={}", printable(value)));
            }
        }
    }
    parts.reverse();
    if parts.is_empty() { "somebody without a name".to_owned() } else { format!("\"{}\"", parts.join(", ")) }
}

fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut cut: String = text.chars().take(CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARS).is_some() {
        cut += "...";
    }
    cut
}

/// A Time (RFC 5280 section 4.1.2.5).
fn time((tag, digits): (u8, &[u8])) -> Option<String> {
    let text = std::str::from_utf8(digits).ok()?.strip_suffix('Z')?;
    let full = match tag {
        0x17 if text.get(..2)? < "50" => format!("20{text}"),
        0x17 => format!("19{text}"),
        0x18 => text.to_owned(),
        _ => return None,
    };
    if full.len() != 14 || !full.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |at: usize| &full[at..at + 2];
    Some(format!("{}-{}-{} {}:{}:{} UTC", &full[..4], part(4), part(6), part(8), part(10), part(12)))
}

/// Seconds since 1970 as a date, in the proleptic Gregorian calendar.
pub(super) fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March end with the leap day; 719 468 days lie between 0000-03-01 and 1970-01-01.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(951_868_800), "2000-03-01 00:00:00 UTC");
        assert_eq!(utc(4_102_444_799), "2099-12-31 23:59:59 UTC");
        assert_eq!(time((0x17, b"491231235959Z")).unwrap(), "2049-12-31 23:59:59 UTC");
        assert_eq!(time((0x17, b"500101000000Z")).unwrap(), "1950-01-01 00:00:00 UTC");
        assert_eq!(time((0x18, b"2026010100000Z")), None);
    }

    #[test]
    fn what_a_stranger_wrote_is_escaped_and_cut() {
        assert_eq!(printable(b"a\x1b[31m\"\n"), "a\\u{1b}[31m\\\"\\n");
        assert_eq!(printable(&[b'x'; 65]).len(), CHARS + 3);
        let many: Vec<u8> = (0..20).flat_map(|i| [DNS_NAME, 1, b'a' + i]).collect();
        assert!(names(&many).ends_with("\"h\" and 12 more"));
    }

    #[test]
    fn rubbish_is_told_as_such() {
        for der in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x80", b"\x30\x02\x30\x00"] {
            assert_eq!(certificate(der), "that cannot be read");
        }
    }
}
