//! The static table (RFC 7541 appendix A).

pub static FIELDS: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

const SLOTS: usize = 256;

/// By the hash of a name: the first index that has it, or 0. No two names have the same (the compiler sees to it).
static FIRST: [u8; SLOTS] = first();

const fn first() -> [u8; SLOTS] {
    let mut slots = [0; SLOTS];
    let mut nth = 0;
    while nth < FIELDS.len() {
        let name = FIELDS[nth].0;
        let slot = &mut slots[slot_of(name)];
        if *slot == 0 {
            *slot = nth as u8 + 1;
        } else {
            assert!(equal(name, FIELDS[*slot as usize - 1].0), "two names in one slot");
        }
        nth += 1;
    }
    slots
}

const fn equal(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// Out of the length of a name and three of its bytes; the factors are the first ones that keep all names apart.
const fn slot_of(name: &[u8]) -> usize {
    let len = name.len();
    if len == 0 {
        return 0;
    }
    let (a, b, c) = (name[0] as usize, name[len / 2] as usize, name[len - 1] as usize);
    (len + a + 17 * b + 23 * c) % SLOTS
}

/// The index of this name and value, or that of the name alone; 0 for none.
pub fn find(name: &[u8], value: &[u8]) -> Found {
    let index = usize::from(FIRST[slot_of(name)]);
    if index == 0 || FIELDS[index - 1].0 != name {
        return Found::Nothing;
    }
    // Those that have values come in a row.
    let mut whole = index;
    while !FIELDS[whole - 1].1.is_empty() && FIELDS[whole - 1].0 == name {
        if FIELDS[whole - 1].1 == value {
            return Found::Field(whole as u32);
        }
        whole += 1;
    }
    Found::Name(index as u32)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    Nothing,
    Name(u32),
    Field(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found() {
        for (nth, &(name, value)) in FIELDS.iter().enumerate() {
            let index = nth as u32 + 1;
            let first = FIELDS.iter().position(|field| field.0 == name).unwrap() as u32 + 1;
            let expected = if value.is_empty() { Found::Name(index) } else { Found::Field(index) };
            assert_eq!(find(name, value), expected);
            assert_eq!(find(name, b"another"), Found::Name(first));
        }
        for name in [&b""[..], b"x", b"accept-", b":authorit", b"Accept"] {
            assert_eq!(find(name, b""), Found::Nothing);
        }
    }
}
