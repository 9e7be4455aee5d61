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

/// Whether all are `tchar`. It does not stop at the first that is not: nearly always there is none.
pub fn all_token(bytes: &[u8]) -> bool {
    bytes.iter().fold(TOKEN, |all, &b| all & CLASS[b as usize]) != 0
}

/// Whether all are `tchar` and none is an upper-case letter, as in the names of fields in HTTP/2.
pub fn all_lower(bytes: &[u8]) -> bool {
    bytes.iter().fold(LOWER, |all, &b| all & CLASS[b as usize]) != 0
}

/// Whether all may stand in a field value or a reason phrase.
pub fn all_text(bytes: &[u8]) -> bool {
    let (blocks, tail) = bytes.as_chunks::<16>();
    // Arithmetic instead of the table, so that the compiler takes a block in one go.
    let block_is_text =
        |block: &[u8; 16]| block.iter().fold(true, |all, &b| all & ((b >= b' ' && b != 0x7f) | (b == b'\t')));
    blocks.iter().all(block_is_text) && tail.iter().fold(TEXT, |all, &b| all & CLASS[b as usize]) != 0
}

/// Whether `bytes` are `lower` but for the case of letters. With length and letters known beforehand it takes no loop.
pub fn eq_lower<const N: usize>(bytes: &[u8], lower: &[u8; N]) -> bool {
    // The bit that tells the cases of a letter apart.
    let case = |l: u8| if l.is_ascii_lowercase() { 0x20 } else { 0 };
    <&[u8; N]>::try_from(bytes).is_ok_and(|bytes| {
        let odd = bytes.iter().zip(lower).fold(0, |odd, (&b, &l)| odd | ((b | case(l)) ^ l));
        odd == 0
    })
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
#[inline]
pub fn find_lf(bytes: &[u8]) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut at = 0;
    while let Some(word) = bytes[at..].first_chunk() {
        let x = u64::from_le_bytes(*word) ^ (LOW * b'\n' as u64);
        // The lowest byte that is zero in `x` has its high bit set here; a borrow can only spoil bytes above it.
        let hit = x.wrapping_sub(LOW) & !x & HIGH;
        if hit != 0 {
            return Some(at + hit.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    bytes[at..].iter().position(|&b| b == b'\n').map(|i| at + i)
}

/// The first CRLF.
pub fn find_crlf(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(lf) = find_lf(&bytes[at..]) {
        let end = at + lf;
        if end > 0 && bytes[end - 1] == b'\r' {
            return Some(end - 1);
        }
        at = end + 1;
    }
    None
}

const TOKEN: u8 = 1;
const TEXT: u8 = 2;
const LOWER: u8 = 4;

const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        let byte = b as u8;
        if byte.is_ascii_alphanumeric() {
            table[b] |= TOKEN;
        }
        if byte.is_ascii_digit() || byte.is_ascii_lowercase() {
            table[b] |= LOWER;
        }
        if byte == b'\t' || (byte >= b' ' && byte != 0x7f) {
            table[b] |= TEXT;
        }
        b += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut i = 0;
    while i < marks.len() {
        table[marks[i] as usize] |= TOKEN | LOWER;
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
    fn find_crlf_agrees_with_a_plain_search() {
        let letters = [b'\r', b'\n', b'a'];
        for n in 0..3usize.pow(7) {
            let text: Vec<u8> = (0..7).map(|i| letters[n / 3usize.pow(i) % 3]).collect();
            for len in 0..=text.len() {
                let text = &text[..len];
                assert_eq!(find_crlf(text), text.windows(2).position(|w| w == b"\r\n"), "{text:?}");
            }
        }
    }

    #[test]
    fn all_of_a_class() {
        for len in 0..40 {
            for at in 0..len {
                for b in 0..=255 {
                    let mut bytes = vec![b'a'; len];
                    bytes[at] = b;
                    assert_eq!(
                        (all_token(&bytes), all_lower(&bytes), all_text(&bytes)),
                        (is_token(b), is_token(b) && !b.is_ascii_uppercase(), is_text(b)),
                        "{b} at {at} of {len}"
                    );
                }
            }
        }
        assert!(all_token(b"") && all_lower(b"") && all_text(b""));
    }

    #[test]
    fn eq_lower_is_eq_ignore_ascii_case() {
        for b in 0..=255 {
            for text in [[b, b'-', b'a'], [b'Z', b, b'a'], [b'Z', b'-', b]] {
                assert_eq!(eq_lower(&text, b"z-a"), text.eq_ignore_ascii_case(b"z-a"), "{text:?}");
            }
        }
        assert!(!eq_lower(b"z-", b"z-a") && !eq_lower(b"z-aa", b"z-a"));
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
