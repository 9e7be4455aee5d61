//! Classes of bytes of the HTTP grammar, and a search for LF.
//!
//! RFC 9110 sections 5.5 (field-value), 5.6.2 (token), 5.6.3 (white space).

/// `tchar`: what a token (method, field name, chunk extension name) is made of.
pub const fn is_token(b: u8) -> bool {
    CLASS[b as usize] & TOKEN != 0
}

/// What may stand in a field value or a reason phrase: HTAB, SP, VCHAR, obs-text.
pub const fn is_text(b: u8) -> bool {
    CLASS[b as usize] & TEXT != 0
}

pub const fn is_blank(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

/// `bytes` without SP and HTAB at both ends.
pub const fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The elements of a comma-separated list, trimmed. Empty elements are yielded: whether they are tolerable depends
/// on the field.
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(trim)
}

/// The first LF. Eight bytes at a time: lines of a head are long enough for that to pay.
pub fn find_lf(bytes: &[u8]) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (words, tail) = bytes.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let x = u64::from_le_bytes(*word) ^ (LOW * b'\n' as u64);
        // The lowest byte that is zero in `x` has its high bit set here; a borrow can only spoil bytes above it.
        let hit = x.wrapping_sub(LOW) & !x & HIGH;
        if hit != 0 {
            return Some(i * 8 + hit.trailing_zeros() as usize / 8);
        }
    }
    tail.iter().position(|&b| b == b'\n').map(|i| words.len() * 8 + i)
}

const TOKEN: u8 = 1;
const TEXT: u8 = 2;

const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        let byte = b as u8;
        if byte.is_ascii_alphanumeric() {
            table[b] |= TOKEN;
        }
        if byte == b'\t' || (byte >= b' ' && byte != 0x7f) {
            table[b] |= TEXT;
        }
        b += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut i = 0;
    while i < marks.len() {
        table[marks[i] as usize] |= TOKEN;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn find_lf_agrees_with_a_plain_search() {
        for len in 0..40 {
            for at in 0..len {
                // 0x0b and 0x8a sit next to LF in value and in all bits but the highest.
                for fill in [b'a', 0x0b, 0x8a, 0x00, 0xff] {
                    let mut bytes = vec![fill; len];
                    assert_eq!(find_lf(&bytes), None);
                    bytes[at] = b'\n';
                    assert_eq!(find_lf(&bytes), Some(at));
                    bytes[len - 1] = b'\n';
                    assert_eq!(find_lf(&bytes), Some(at));
                }
            }
        }
    }

    #[test]
    fn classes() {
        let token: Vec<u8> = (0..=255).filter(|&b| is_token(b)).collect();
        assert_eq!(token, b"!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~");
        assert_eq!((0..=255).filter(|&b| !is_text(b)).count(), 32);
        assert!(is_text(b'\t') && !is_text(0x7f) && is_text(0x80));
        assert_eq!(trim(b" \t a b \t"), b"a b");
        assert_eq!(trim(b" \t"), b"");
    }
}
