//! Field blocks that go out (RFC 7541 sections 3.1 and 6).

use super::statics::{self, Found};
use super::table::Table;
use super::{TABLE_MAX, huffman};

/// Whether a field is worth an entry in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Index {
    /// It will come again as it is.
    Yes,
    /// It may come again: it gets an entry when it does.
    Again,
    /// Nobody on the way may index it: it is a secret that could be guessed from what an index makes of it (section 7.1.3).
    Never,
}

/// Fields that are remembered for `Index::Again`, and to find entries by their hash.
const SLOTS: usize = 64;

/// Where the entries of one hash are found: numbers as `Table::by_number` has them, 0 for none. What stands there may be gone
/// or have another hash's place.
#[derive(Debug)]
struct Finder {
    fields: [u64; SLOTS],
    names: [u64; SLOTS],
    seen: [u64; SLOTS],
}

#[derive(Debug)]
pub struct Encoder {
    table: Table,
    /// Allocated with the first entry.
    finder: Option<Box<Finder>>,
    /// What the peer lets us use, as far as it is less than what we would, and the least of it since the last block.
    max: u32,
    least: u32,
    /// A name in lower case.
    name: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder::new()
    }
}

impl Encoder {
    /// As it is before the peer's SETTINGS.
    pub fn new() -> Encoder {
        Encoder { table: Table::new(TABLE_MAX), finder: None, max: TABLE_MAX, least: TABLE_MAX, name: Vec::new() }
    }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE, which the next block obeys. More than what the protocol begins with is not used.
    pub fn set_table_max(&mut self, max: u32) {
        self.max = max.min(TABLE_MAX);
        self.least = self.least.min(self.max);
    }

    /// Once before the fields of a block: tells the peer of changes (section 4.2).
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if self.least < self.table.max() {
            self.resize(self.least, out);
        }
        if self.max != self.table.max() {
            self.resize(self.max, out);
        }
        self.least = self.max;
    }

    fn resize(&mut self, max: u32, out: &mut Vec<u8>) {
        self.table.set_max(max);
        number(max, 5, 0x20, out);
    }

    /// The name is written in lower case.
    pub fn field(&mut self, name: &[u8], value: &[u8], index: Index, out: &mut Vec<u8>) {
        let mut lower = std::mem::take(&mut self.name);
        lower.clear();
        lower.extend_from_slice(name);
        lower.make_ascii_lowercase();
        self.lower(&lower, value, index, out);
        self.name = lower;
    }

    fn lower(&mut self, name: &[u8], value: &[u8], index: Index, out: &mut Vec<u8>) {
        let is_static = match statics::find(name, value) {
            Found::Field(at) if index != Index::Never => return number(at, 7, 0x80, out),
            Found::Field(at) | Found::Name(at) => at,
            Found::Nothing => 0,
        };
        let (of_name, of_field) = hashes(name, value);
        let (name_slot, field_slot) = (of_name as usize % SLOTS, of_field as usize % SLOTS);
        let mut at = is_static;
        if let Some(finder) = &self.finder {
            if index != Index::Never
                && let Some(nth) = self.nth(finder.fields[field_slot], |entry| entry == (name, value))
            {
                return number(nth, 7, 0x80, out);
            }
            if at == 0 {
                at = self.nth(finder.names[name_slot], |entry| entry.0 == name).unwrap_or(0);
            }
        }
        let has_entry = match index {
            Index::Yes => true,
            Index::Never => false,
            Index::Again => {
                let seen = &mut self.finder().seen[field_slot];
                std::mem::replace(seen, of_field) == of_field
            }
        };
        match (index, has_entry) {
            (Index::Never, _) => number(at, 4, 0x10, out),
            (_, true) => number(at, 6, 0x40, out),
            (_, false) => number(at, 4, 0, out),
        }
        if at == 0 {
            string(name, out);
        }
        string(value, out);
        if has_entry && self.table.insert(name, value) {
            let inserted = self.table.inserted();
            let finder = self.finder();
            finder.fields[field_slot] = inserted;
            if is_static == 0 {
                finder.names[name_slot] = inserted;
            }
        }
    }

    fn finder(&mut self) -> &mut Finder {
        self.finder.get_or_insert_with(|| Box::new(Finder { fields: [0; SLOTS], names: [0; SLOTS], seen: [0; SLOTS] }))
    }

    /// The index of the entry with this number, if it is there and the one that is looked for.
    fn nth(&self, number: u64, is_it: impl FnOnce((&[u8], &[u8])) -> bool) -> Option<u32> {
        self.table.by_number(number).filter(|&entry| is_it(entry))?;
        Some((self.table.inserted() - number) as u32 + statics::FIELDS.len() as u32 + 1)
    }
}

/// Of a name, and of a name and value.
fn hashes(name: &[u8], value: &[u8]) -> (u64, u64) {
    let of_name = hash(name.len() as u64, name);
    (of_name, hash(of_name, value))
}

/// Eight bytes at a time. Whoever finds two fields with the same hash has found that one of them is written out each time.
fn hash(mut hash: u64, bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut mix = |word: u64| hash = (hash.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().for_each(|word| mix(u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(u64::from_le_bytes(last));
    hash ^ (hash >> 32)
}

/// A number with a prefix of so many bits, and what stands before it in its byte (section 5.1).
fn number(n: u32, prefix: u32, first: u8, out: &mut Vec<u8>) {
    let mask = (1_u32 << prefix) - 1;
    if n < mask {
        return out.push(first | n as u8);
    }
    out.push(first | mask as u8);
    let mut rest = n - mask;
    while rest >= 128 {
        out.push(rest as u8 | 128);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// A string (section 5.2), coded if that is shorter.
fn string(text: &[u8], out: &mut Vec<u8>) {
    let coded = huffman::len_of(text);
    if coded < text.len() {
        number(coded as u32, 7, 0x80, out);
        huffman::encode(text, out);
    } else {
        number(text.len() as u32, 7, 0, out);
        out.extend_from_slice(text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Decoder, Limits, Section};
    use super::*;

    const LIMITS: Limits = Limits { line_max: 1 << 20, head_max: 1 << 20, fields_max: 1000, size_max: 1 << 30 };

    fn block(encoder: &mut Encoder, fields: &[(&str, &str, Index)]) -> Vec<u8> {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        for &(name, value, index) in fields {
            encoder.field(name.as_bytes(), value.as_bytes(), index, &mut out);
        }
        out
    }

    #[test]
    fn requests_of_the_rfc() {
        // Appendix C.4, coded.
        let mut encoder = Encoder::new();
        let (yes, again) = (Index::Yes, Index::Again);
        let same = [(":method", "GET", yes), (":scheme", "http", yes), (":path", "/", again)];
        let host = (":authority", "www.example.com", yes);
        assert_eq!(
            block(&mut encoder, &[same[0], same[1], same[2], host]),
            b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"
        );
        assert_eq!(
            block(&mut encoder, &[same[0], same[1], same[2], host, ("Cache-Control", "no-cache", yes)]),
            b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf"
        );
        let third = [same[0], (":scheme", "https", yes), (":path", "/index.html", again), host];
        assert_eq!(
            block(&mut encoder, &[&third[..], &[("Custom-Key", "custom-value", yes)]].concat()),
            b"\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf"
        );
    }

    #[test]
    fn secrets_are_never_indexed() {
        let mut encoder = Encoder::new();
        for _ in 0..3 {
            let out = block(&mut encoder, &[("Authorization", "?\"", Index::Never), ("x", "?\"", Index::Never)]);
            assert_eq!(out, b"\x1f\x08\x02?\"\x10\x01x\x02?\"");
        }
        assert_eq!(block(&mut encoder, &[(":method", "GET", Index::Never)]), b"\x12\x03GET");
    }

    #[test]
    fn what_may_come_again_gets_an_entry_when_it_does() {
        let mut encoder = Encoder::new();
        let field = [(":path", "??", Index::Again)];
        assert_eq!(block(&mut encoder, &field), b"\x04\x02??");
        assert_eq!(block(&mut encoder, &field), b"\x44\x02??");
        assert_eq!(block(&mut encoder, &field), b"\xbe");
    }

    #[test]
    fn the_peers_table_size_is_obeyed() {
        let mut encoder = Encoder::new();
        let field = [("a", "?", Index::Yes)];
        assert_eq!(block(&mut encoder, &field), b"\x40\x01a\x01?");
        encoder.set_table_max(1 << 20);
        assert_eq!(block(&mut encoder, &field), b"\xbe", "more than 4,096 is not used");
        encoder.set_table_max(0);
        encoder.set_table_max(100);
        assert_eq!(block(&mut encoder, &field), b"\x20\x3f\x45\x40\x01a\x01?", "to nothing, and back");
        assert_eq!(block(&mut encoder, &field), b"\xbe");
        encoder.set_table_max(0);
        for _ in 0..2 {
            let out = block(&mut encoder, &field);
            assert!(out.ends_with(b"\x40\x01a\x01?"), "no entry fits: {out:x?}");
        }
    }

    /// Random fields with few names and values, through both sides and changes of the table's size.
    #[test]
    fn whatever_is_encoded_comes_out() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(TABLE_MAX));
        let names = ["Accept", "x-Long-Name-Of-A-Field", "a", ":path", "Cookie", "etag"];
        let (mut plain, mut packed) = (0, 0);
        for _ in 0..3_000 {
            if next(40) == 0 {
                encoder.set_table_max(next(8192) as u32);
            }
            let mut expected = Vec::new();
            let mut out = Vec::new();
            encoder.begin(&mut out);
            for _ in 0..next(12) {
                let name = names[next(names.len() as u64) as usize];
                let value: Vec<u8> = match next(4) {
                    0 => (0..next(300)).map(|_| next(256) as u8).collect(),
                    n => format!("value {}", next(4 * n)).repeat(next(9) as usize).into_bytes(),
                };
                let index = [Index::Yes, Index::Again, Index::Never][next(3) as usize];
                encoder.field(name.as_bytes(), &value, index, &mut out);
                plain += name.len() + value.len();
                expected.push((name.to_ascii_lowercase().into_bytes(), value));
            }
            packed += out.len();
            let mut section = Section::default();
            decoder.decode(&out, &LIMITS, &mut section).unwrap();
            let got: Vec<_> = section.fields().iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
            assert_eq!(got, expected);
        }
        assert!(packed < plain * 9 / 10, "{packed} of {plain}");
    }
}
