//! A look at field sections before the engine behind decodes them (RFC 7541), for what it does not see as RFC 9113 does:
//!
//! - bytes that no field may have, names in upper case, unknown pseudo-fields and a `:status` that is none: it would end the
//!   connection, where the message is malformed and costs its stream (section 8.1.1);
//! - pseudo-fields of requests in an answer, and any in trailers: it would leave them out (section 8.3).
//!
//! A section that has any of them is written anew: what is wrong in it becomes an innocent field of the same size, so that
//! the tables of both sides stay equal, and behind it stands a field of the connection, for which the engine resets the
//! stream. All other sections pass as they are.
//!
//! The dynamic table is kept here as well, but for what stands in it: of each entry only its size, and what it is.

use super::huffman;
use crate::proto::Fault;
use crate::proto::h1::bytes::{all_text, all_token};
use std::collections::VecDeque;

/// SETTINGS_HEADER_TABLE_SIZE of ours is that of the protocol.
const TABLE_MAX: usize = 4096;
/// The lengths of the names in the static table (RFC 7541 appendix A). The first seven are pseudo-fields of requests, the next
/// seven `:status`.
#[rustfmt::skip]
const STATIC_NAMES: [u8; 61] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14, 16, 13, 12, 6, 4, 4, 6, 7,
    4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10, 25, 17, 10, 4, 3, 16,
];
/// What an entry counts beside its bytes (section 4.1).
const ENTRY: usize = 32;
/// `transfer-encoding` without a value, not indexed.
const OF_THE_CONNECTION: [u8; 3] = [0x0f, 57 - 15, 0];
/// COMPRESSION_ERROR.
const BROKEN: Fault = Fault::Frame(9);

/// What a field is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Field,
    /// `:status`, of a final answer.
    Status,
    /// `:status` of another one, 1xx.
    Interim,
    /// A pseudo-field of requests.
    Request,
    /// Nothing that may stand in a message.
    Wrong,
}

/// An entry of a table.
#[derive(Clone, Copy, Debug)]
struct Entry {
    name_len: usize,
    value_len: usize,
    /// What one with its name and another value would be.
    name: Kind,
    field: Kind,
}

/// What a section turns out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong with it that the engine would not see; whether it is the head of a final answer.
    Fine { last: bool },
    /// Malformed; what is to be decoded in its place.
    Malformed(Vec<u8>),
}

#[derive(Debug, Default)]
pub struct Sections {
    /// The youngest entry first.
    table: VecDeque<Entry>,
    size: usize,
    /// By how much the peer has made the table smaller.
    cut: usize,
    /// The string that was read last.
    text: Vec<u8>,
}

impl Sections {
    /// Look at a section; `trailers` if the head of its message has come before. An error is one of the compression, and
    /// ends the connection.
    pub fn look_at(&mut self, block: &[u8], trailers: bool) -> Result<Verdict, Fault> {
        let mut at = 0;
        let (mut malformed, mut last, mut may_resize) = (false, false, true);
        let mut anew: Option<Vec<u8>> = None;
        while let Some(&first) = block.get(at) {
            if first & 0xe0 == 0x20 {
                let max = number(block, &mut at, 5)?;
                if !may_resize || max > TABLE_MAX {
                    return Err(BROKEN);
                }
                self.cut = TABLE_MAX - max;
                self.evict(max);
                continue;
            }
            may_resize = false;
            let (start, is_literal) = (at, first & 0x80 == 0);
            let kind = if is_literal {
                self.literal(block, &mut at, &mut anew)?
            } else {
                let index = number(block, &mut at, 7)?;
                self.entry(index)?.field
            };
            last |= kind == Kind::Status;
            malformed |= match kind {
                Kind::Field => false,
                Kind::Status | Kind::Interim => trailers,
                Kind::Request | Kind::Wrong => true,
            };
            // A literal that is wrong is there already.
            if let Some(anew) = anew.as_mut().filter(|_| !(is_literal && kind == Kind::Wrong)) {
                anew.extend_from_slice(&block[start..at]);
            }
        }
        if !malformed {
            return Ok(Verdict::Fine { last });
        }
        let mut anew = anew.unwrap_or_else(|| block.to_vec());
        anew.extend_from_slice(&OF_THE_CONNECTION);
        Ok(Verdict::Malformed(anew))
    }

    /// A literal. If it is wrong, it stands in `anew` as another one, behind all that came before it.
    fn literal(&mut self, block: &[u8], at: &mut usize, anew: &mut Option<Vec<u8>>) -> Result<Kind, Fault> {
        let start = *at;
        let indexed = block[start] & 0x40 != 0;
        let index = number(block, at, if indexed { 6 } else { 4 })?;
        let (name, name_len) = match index {
            0 => {
                let len = self.read(block, at)?;
                (kind_of(&self.text), len)
            }
            _ => {
                let entry = self.entry(index)?;
                (entry.name, entry.name_len)
            }
        };
        let value_at = *at;
        let value_len = self.read(block, at)?;
        let mut entry = Entry { name_len, value_len, name, field: name };
        let is_good = match name {
            Kind::Field => all_text(&self.text),
            Kind::Status | Kind::Interim => {
                entry.field = if self.text.first() == Some(&b'1') { Kind::Interim } else { Kind::Status };
                matches!(&self.text[..], [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'])
            }
            Kind::Request | Kind::Wrong => false,
        };
        if !is_good {
            entry.field = Kind::Wrong;
            let anew = anew.get_or_insert_with(|| block[..start].to_vec());
            if name == Kind::Field {
                // It keeps its name, to which later ones may refer.
                anew.extend_from_slice(&block[start..value_at]);
                innocent(anew, value_len);
            } else {
                entry.name = Kind::Wrong;
                // A name has a byte at least, which its value makes up for.
                let missing = usize::from(name_len == 0);
                anew.push(if indexed { 0x40 } else { 0 });
                innocent(anew, name_len + missing);
                innocent(anew, value_len.checked_sub(missing).ok_or(BROKEN)?);
            }
        }
        if indexed {
            self.insert(entry);
        }
        Ok(entry.field)
    }

    fn entry(&self, index: usize) -> Result<Entry, Fault> {
        let nth = index.checked_sub(1).ok_or(BROKEN)?;
        if let Some(&name_len) = STATIC_NAMES.get(nth) {
            let kind = match nth {
                0..=6 => Kind::Request,
                7..=13 => Kind::Status,
                _ => Kind::Field,
            };
            // Entries of this table are never put into the other one as they are.
            return Ok(Entry { name_len: usize::from(name_len), value_len: 0, name: kind, field: kind });
        }
        self.table.get(nth - STATIC_NAMES.len()).copied().ok_or(BROKEN)
    }

    /// Read a string to `text`. Its length.
    fn read(&mut self, block: &[u8], at: &mut usize) -> Result<usize, Fault> {
        let coded = block.get(*at).is_some_and(|first| first & 0x80 != 0);
        let len = number(block, at, 7)?;
        let bytes = block.get(*at..*at + len).ok_or(BROKEN)?;
        *at += len;
        self.text.clear();
        if coded {
            huffman::decode(bytes, &mut self.text).ok_or(BROKEN)?;
        } else {
            self.text.extend_from_slice(bytes);
        }
        Ok(self.text.len())
    }

    fn insert(&mut self, entry: Entry) {
        let size = entry.name_len + entry.value_len + ENTRY;
        let max = TABLE_MAX - self.cut;
        self.evict(max.saturating_sub(size));
        if size <= max {
            self.size += size;
            self.table.push_front(entry);
        }
    }

    fn evict(&mut self, max: usize) {
        while self.size > max
            && let Some(entry) = self.table.pop_back()
        {
            self.size -= entry.name_len + entry.value_len + ENTRY;
        }
    }
}

/// A number with a prefix of so many bits (RFC 7541 section 5.1).
fn number(block: &[u8], at: &mut usize, prefix: u32) -> Result<usize, Fault> {
    let mask = (1_usize << prefix) - 1;
    let mut n = usize::from(*block.get(*at).ok_or(BROKEN)?) & mask;
    *at += 1;
    if n < mask {
        return Ok(n);
    }
    for shift in [0, 7, 14, 21] {
        let byte = *block.get(*at).ok_or(BROKEN)?;
        *at += 1;
        n += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(n);
        }
    }
    Err(BROKEN)
}

/// A string that offends nobody.
fn innocent(out: &mut Vec<u8>, len: usize) {
    if len < 127 {
        out.push(len as u8);
    } else {
        out.push(127);
        let mut rest = len - 127;
        while rest >= 128 {
            out.push(rest as u8 | 128);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
    out.resize(out.len() + len, b'x');
}

fn kind_of(name: &[u8]) -> Kind {
    match name {
        b":status" => Kind::Status,
        b":method" | b":scheme" | b":authority" | b":path" | b":protocol" => Kind::Request,
        [] => Kind::Wrong,
        _ if all_token(name) && !name.iter().any(u8::is_ascii_uppercase) => Kind::Field,
        _ => Kind::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Verdict = Verdict::Fine { last: true };

    fn anew(verdict: Result<Verdict, Fault>) -> Vec<u8> {
        match verdict {
            Ok(Verdict::Malformed(mut block)) => {
                assert_eq!(block.split_off(block.len() - 3), OF_THE_CONNECTION);
                block
            }
            other => panic!("{other:?}"),
        }
    }

    /// A literal with strings that are not coded.
    fn literal(first: u8, texts: &[&str]) -> Vec<u8> {
        let mut out = vec![first];
        for text in texts {
            out.push(text.len() as u8);
            out.extend_from_slice(text.as_bytes());
        }
        out
    }

    #[test]
    fn examples_of_the_rfc() {
        // Appendix C.6: three answers, coded, with a table of 256 bytes.
        let mut sections = Sections::default();
        let first = [
            &[0x3f, 0xe1, 0x01][..],
            &[0x48, 0x82, 0x64, 0x02, 0x58, 0x85, 0xae, 0xc3, 0x77, 0x1a, 0x4b, 0x61, 0x96, 0xd0, 0x7a, 0xbe],
            &[0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b, 0x81, 0x66, 0xe0, 0x82, 0xa6],
            &[0x2d, 0x1b, 0xff, 0x6e, 0x91, 0x9d, 0x29, 0xad, 0x17, 0x18, 0x63, 0xc7, 0x8f, 0x0b, 0x97, 0xc8],
            &[0xe9, 0xae, 0x82, 0xae, 0x43, 0xd3],
        ];
        assert_eq!(sections.look_at(&first.concat(), false), Ok(FINE));
        assert_eq!((sections.table.len(), sections.size), (4, 222));
        assert_eq!(sections.look_at(&[0x48, 0x83, 0x64, 0x0e, 0xff, 0xc1, 0xc0, 0xbf], false), Ok(FINE));
        assert_eq!((sections.table.len(), sections.size), (4, 222));
        assert_eq!(sections.look_at(&[0xbf, 0xbe], true), Ok(Verdict::Malformed(vec![0xbf, 0xbe, 0x0f, 0x2a, 0])));
    }

    #[test]
    fn what_is_wrong_becomes_something_of_the_same_size() {
        let mut sections = Sections::default();
        let bad = [literal(0x40, &["Server", "abc"]), literal(0x40, &["a", "b\n"]), literal(0x48, &["2x0"])].concat();
        let good = literal(0, &["c", "d"]);
        let block = anew(sections.look_at(&[&[0x88][..], &bad, &good].concat(), false));
        let innocent =
            [literal(0x40, &["xxxxxx", "xxx"]), literal(0x40, &["a", "xx"]), literal(0x40, &["xxxxxxx", "xxx"])];
        assert_eq!(block, [&[0x88][..], &innocent.concat(), &good].concat());
        assert_eq!(sections.size, 3 * ENTRY + 9 + 3 + 10);
        // Whoever refers to one of them is malformed, but for a name that was good.
        for index in [0xbe, 0xbf, 0xc0] {
            anew(sections.look_at(&[0x88, index], false));
        }
        assert_eq!(sections.look_at(&literal(0x7f, &[]), false), Err(BROKEN), "cut short");
        assert_eq!(sections.look_at(&[0x88, 0x0f, 63 - 15, 1, b'z'], false), Ok(FINE));
        anew(sections.look_at(&[0x88, 0x0f, 64 - 15, 1, b'z'], false));
    }

    #[test]
    fn pseudo_fields_have_their_place() {
        let mut sections = Sections::default();
        for name in [":method", ":path", ":what", "", "a b", "A"] {
            anew(sections.look_at(&[&[0x88][..], &literal(0, &[name, "GET"])].concat(), false));
        }
        for index in 1..=7 {
            anew(sections.look_at(&[0x88, 0x80 | index], false));
            anew(sections.look_at(&[0x80 | index], true));
        }
        for status in ["099", "20", "2000", "", "abc"] {
            anew(sections.look_at(&literal(8, &[status]), false));
        }
        assert_eq!(sections.look_at(&literal(8, &["103"]), false), Ok(Verdict::Fine { last: false }));
        assert_eq!(sections.look_at(&literal(8, &["200"]), false), Ok(FINE));
        anew(sections.look_at(&literal(8, &["200"]), true));
        assert_eq!(sections.look_at(&literal(0, &["sum", "7"]), true), Ok(Verdict::Fine { last: false }));
    }

    #[test]
    fn broken_compression_is_told() {
        for block in [
            &[0x80][..],
            &[0xbe],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x3f, 0xe2, 0x1f],
            &[0x88, 0x20],
            &[0x08, 0x85, 1],
            &[0x08, 0x82, 0xff, 0xff],
            &[0, 0, 0],
            &[0x40],
        ] {
            assert_eq!(Sections::default().look_at(block, false), Err(BROKEN), "{block:x?}");
        }
    }
}
