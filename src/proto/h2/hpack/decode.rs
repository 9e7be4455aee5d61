//! Field blocks that come in (RFC 7541 sections 3.2 and 6).

use super::table::Table;
use super::{Limits, Section, huffman, statics};

/// The compression is broken: an error of the connection (RFC 9113 section 4.3, COMPRESSION_ERROR).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken;

#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// Our SETTINGS_HEADER_TABLE_SIZE: the peer may use less.
    table_max: u32,
}

impl Decoder {
    pub fn new(table_max: u32) -> Decoder {
        Decoder { table: Table::new(table_max), table_max }
    }

    /// A whole block, the fragments of all its frames joined. Its fields are added to `into`; nothing of HTTP is checked.
    /// Whoever finds more than `size_max` bytes said must not go on with the connection: the table is out of step.
    pub fn decode(&mut self, block: &[u8], limits: &Limits, into: &mut Section) -> Result<(), Broken> {
        let mut block = block;
        let mut may_resize = true;
        while let Some(&first) = block.first()
            && into.size() <= limits.size_max
        {
            let name_at = into.bytes.len();
            // The first bits say what it is.
            let value_at = match first {
                0x80.. => {
                    let (name, value) = self.field(number(&mut block, 7)?)?;
                    if into.over().is_some() {
                        into.skip(name.len() + value.len());
                        may_resize = false;
                        continue;
                    }
                    into.bytes.extend_from_slice(name);
                    into.bytes.extend_from_slice(value);
                    name_at + name.len()
                }
                0x40.. => {
                    let value_at = self.literal(&mut block, 6, into)?;
                    let (name, value) = into.bytes[name_at..].split_at(value_at - name_at);
                    self.table.insert(name, value);
                    value_at
                }
                0x20.. => {
                    // Only at the beginning of a block (section 4.2).
                    let max = number(&mut block, 5)?;
                    if !may_resize || max > self.table_max {
                        return Err(Broken);
                    }
                    self.table.set_max(max);
                    continue;
                }
                _ => self.literal(&mut block, 4, into)?,
            };
            may_resize = false;
            into.add(name_at, value_at, limits);
        }
        Ok(())
    }

    /// A literal, whose bytes go to the end of the section's. Where its value begins there.
    fn literal(&self, block: &mut &[u8], prefix: u32, into: &mut Section) -> Result<usize, Broken> {
        match number(block, prefix)? {
            0 => string(block, &mut into.bytes)?,
            index => into.bytes.extend_from_slice(self.field(index)?.0),
        }
        let value_at = into.bytes.len();
        string(block, &mut into.bytes)?;
        Ok(value_at)
    }

    fn field(&self, index: u32) -> Result<(&[u8], &[u8]), Broken> {
        let nth = index.checked_sub(1).ok_or(Broken)? as usize;
        match statics::FIELDS.get(nth) {
            Some(&field) => Ok(field),
            None => self.table.youngest(nth - statics::FIELDS.len()).ok_or(Broken),
        }
    }
}

/// A number whose first byte has so many bits for it (section 5.1).
fn number(block: &mut &[u8], prefix: u32) -> Result<u32, Broken> {
    let mask = (1_u32 << prefix) - 1;
    let (&first, rest) = block.split_first().ok_or(Broken)?;
    *block = rest;
    let mut n = u32::from(first) & mask;
    if n < mask {
        return Ok(n);
    }
    // No string and no table of ours is as long as what four more bytes can say.
    for shift in [0, 7, 14, 21] {
        let (&byte, rest) = block.split_first().ok_or(Broken)?;
        *block = rest;
        n += u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(n);
        }
    }
    Err(Broken)
}

/// A string (section 5.2), appended to `into`.
fn string(block: &mut &[u8], into: &mut Vec<u8>) -> Result<(), Broken> {
    let is_coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let len = number(block, 7)? as usize;
    let (bytes, rest) = block.split_at_checked(len).ok_or(Broken)?;
    *block = rest;
    if is_coded {
        return huffman::decode(bytes, into).ok_or(Broken);
    }
    into.extend_from_slice(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Fault;

    const LIMITS: Limits = Limits { line_max: 1000, head_max: 10_000, fields_max: 100, size_max: 1 << 20 };

    fn decoded(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, Broken> {
        let mut section = Section::default();
        decoder.decode(block, &LIMITS, &mut section)?;
        assert_eq!(section.over(), None);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ok(section.fields().iter().map(|(name, value)| (text(name), text(value))).collect())
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn numbers_of_the_rfc() {
        // Appendix C.1.
        for (block, prefix, n) in [(&[0x0a][..], 5, 10), (&[0x1f, 0x9a, 0x0a], 5, 1337), (&[0x2a], 8, 42)] {
            let mut block = block;
            assert_eq!(number(&mut block, prefix), Ok(n));
            assert!(block.is_empty());
        }
        assert_eq!(number(&mut &[0xff, 0xff, 0xff, 0xff, 0x7f][..], 8), Ok(255 + (1 << 28) - 1));
        assert_eq!(number(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0][..], 8), Err(Broken));
    }

    /// Appendix C.2: each kind of literal, and an index.
    #[test]
    fn fields_of_the_rfc() {
        for (hex, name, value, kept) in [
            ("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key", "custom-header", 55),
            ("040c 2f73 616d 706c 652f 7061 7468", ":path", "/sample/path", 0),
            ("1008 7061 7373 776f 7264 0673 6563 7265 74", "password", "secret", 0),
            ("82", ":method", "GET", 0),
        ] {
            let mut decoder = Decoder::new(4096);
            let fields = decoded(&mut decoder, &bytes(hex)).unwrap();
            assert_eq!(fields, [(name.to_owned(), value.to_owned())]);
            let in_table = decoder.table.youngest(0).map_or(0, |(name, value)| name.len() + value.len() + 32);
            assert_eq!(in_table, kept, "{name}");
        }
    }

    /// Appendix C.3 and C.4: three requests, plain and coded, with what the table holds behind them.
    #[test]
    fn requests_of_the_rfc() {
        let plain = [
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ];
        let coded = [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ];
        let expected: [&[(&str, &str)]; 3] = [
            &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")],
            &[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/"),
                (":authority", "www.example.com"),
                ("cache-control", "no-cache"),
            ],
            &[
                (":method", "GET"),
                (":scheme", "https"),
                (":path", "/index.html"),
                (":authority", "www.example.com"),
                ("custom-key", "custom-value"),
            ],
        ];
        for blocks in [plain, coded] {
            let mut decoder = Decoder::new(4096);
            for (hex, expected) in blocks.iter().zip(expected) {
                let expected: Vec<_> = expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
                assert_eq!(decoded(&mut decoder, &bytes(hex)).unwrap(), expected);
            }
            assert_eq!(decoder.table.youngest(0), Some((&b"custom-key"[..], &b"custom-value"[..])));
            assert_eq!(decoder.table.youngest(2), Some((&b":authority"[..], &b"www.example.com"[..])));
            assert_eq!(decoder.table.youngest(3), None);
        }
    }

    /// Appendix C.5 and C.6: three answers in a table of 256 bytes, from which entries go.
    #[test]
    fn answers_of_the_rfc() {
        let plain = [
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 54\
             6e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d\
             4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572\
             7369 6f6e 3d31",
        ];
        let coded = [
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b\
             97c8 e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf\
             cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
        ];
        let (date, later) = ("Mon, 21 Oct 2013 20:13:21 GMT", "Mon, 21 Oct 2013 20:13:22 GMT");
        let place = ("location", "https://www.example.com");
        let expected: [&[(&str, &str)]; 3] = [
            &[(":status", "302"), ("cache-control", "private"), ("date", date), place],
            &[(":status", "307"), ("cache-control", "private"), ("date", date), place],
            &[
                (":status", "200"),
                ("cache-control", "private"),
                ("date", later),
                place,
                ("content-encoding", "gzip"),
                ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
            ],
        ];
        for blocks in [plain, coded] {
            let mut decoder = Decoder::new(256);
            for (hex, expected) in blocks.iter().zip(expected) {
                let expected: Vec<_> = expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
                assert_eq!(decoded(&mut decoder, &bytes(hex)).unwrap(), expected);
            }
            let names: Vec<_> = (0..4).map_while(|nth| decoder.table.youngest(nth)).map(|(name, _)| name).collect();
            assert_eq!(names, [&b"set-cookie"[..], b"content-encoding", b"date"]);
        }
    }

    #[test]
    fn the_table_can_be_made_smaller_and_no_larger() {
        let mut decoder = Decoder::new(4096);
        decoded(&mut decoder, b"\x40\x01a\x01b").unwrap();
        assert_eq!(decoded(&mut decoder, b"\xbe").unwrap().len(), 1);
        // To nothing, and back to all of it: two changes at the beginning of a block are the usual thing.
        assert_eq!(decoded(&mut decoder, b"\x20\x3f\xe1\x1f\x88").unwrap().len(), 1);
        assert_eq!(decoded(&mut decoder, b"\xbe"), Err(Broken));
        assert_eq!(decoded(&mut Decoder::new(4096), b"\x3f\xe2\x1f"), Err(Broken), "4,097");
        assert_eq!(decoded(&mut Decoder::new(4096), b"\x88\x20"), Err(Broken), "not at the beginning");
    }

    #[test]
    fn an_entry_may_outlive_the_one_that_named_it() {
        // The new entry takes its name from the one that has to go for it (section 4.4).
        let mut decoder = Decoder::new(40);
        decoded(&mut decoder, b"\x40\x03abc\x01b").unwrap();
        assert_eq!(decoded(&mut decoder, b"\x7e\x02de").unwrap(), [("abc".to_owned(), "de".to_owned())]);
        assert_eq!(decoder.table.youngest(0), Some((&b"abc"[..], &b"de"[..])));
        assert_eq!(decoder.table.youngest(1), None);
    }

    #[test]
    fn what_is_broken() {
        for block in [
            // Index 0; one that is not there; a number without end; strings that are cut, wrongly coded, or not there.
            &b"\x80"[..],
            b"\xbe",
            b"\x7f\x00\x01a",
            b"\xff\xff\xff\xff\xff\xff",
            b"\x08\x85\x01",
            b"\x08\x82\xff\xff",
            b"\x00\x00",
            b"\x40",
            b"\x40\x01a\x05",
        ] {
            assert_eq!(decoded(&mut Decoder::new(4096), block), Err(Broken), "{block:x?}");
        }
    }

    #[test]
    fn a_few_bytes_do_not_say_more_than_the_limit() {
        // A name of 4,000 bytes, and a hundred thousand fields that have it.
        let name = [&[0x40, 0x7f, 0xa1, 0x1e][..], &[b'n'; 4000], b"\0"].concat();
        let limits = Limits { size_max: 100_000, ..LIMITS };
        for again in [[0x0f, 0x2f, 0], [0x7e, 0, 0]] {
            let block = [&name[..], &again.repeat(100_000)].concat();
            let mut section = Section::default();
            Decoder::new(4096).decode(&block, &limits, &mut section).unwrap();
            assert!((100_000..110_000).contains(&section.size()), "{}", section.size());
        }
    }

    #[test]
    fn limits_stop_the_storing_and_not_the_decoding() {
        let field = |name: u8, len: usize| [&[0x40, 1, name, len as u8][..], &vec![b'v'; len]].concat();
        for (limits, over, stored) in [
            (Limits { line_max: 100, ..LIMITS }, None, 3),
            (Limits { line_max: 51, ..LIMITS }, None, 3),
            (Limits { line_max: 50, ..LIMITS }, Some(Fault::LineTooLong), 1),
            (Limits { head_max: 43 + 83 + 43, ..LIMITS }, None, 3),
            (Limits { head_max: 43 + 83 + 42, ..LIMITS }, Some(Fault::HeadTooLarge), 2),
            (Limits { fields_max: 3, ..LIMITS }, None, 3),
            (Limits { fields_max: 2, ..LIMITS }, Some(Fault::TooManyFields), 2),
        ] {
            let (mut decoder, mut section) = (Decoder::new(4096), Section::default());
            let block = [field(b'a', 10), field(b'b', 50), field(b'c', 10)].concat();
            decoder.decode(&block, &limits, &mut section).unwrap();
            assert_eq!((section.over(), section.table.len()), (over, stored), "{limits:?}");
            assert_eq!(section.size(), 43 + 83 + 43);
            // All three are in the table.
            assert_eq!(decoded(&mut decoder, b"\xbe\xbf\xc0").unwrap().len(), 3);
        }
    }

    /// Whatever comes, nothing breaks but what says so, and no more is stored than the limits allow.
    #[test]
    fn any_bytes() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let (mut decoder, mut broken) = (Decoder::new(4096), 0);
        for _ in 0..20_000 {
            let block: Vec<u8> = (0..next() % 64).map(|_| next() as u8).collect();
            let mut section = Section::default();
            if decoder.decode(&block, &LIMITS, &mut section).is_err() {
                (decoder, broken) = (Decoder::new(4096), broken + 1);
            }
            assert!(section.bytes.len() <= 10_000 + 200 && section.table.len() <= 100);
        }
        assert!(broken > 1000);
    }
}
