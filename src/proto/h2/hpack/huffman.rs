//! The Huffman code of field compression (RFC 7541 section 5.2, appendix B). The code is canonical: the lengths say it all.

/// Bits of the code of each byte, and of EOS.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const LONGEST: usize = 30;
/// Codes up to this length are looked up in one go; they are those of nearly all bytes that occur.
const SHORT: usize = 10;

struct Codes {
    /// By the next `SHORT` bits: byte and length, or a length of 0 for a longer code.
    short: [(u8, u8); 1 << SHORT],
    /// By length: the first code, how many there are, and where their bytes stand in `bytes`.
    long: [(u32, u16, u16); LONGEST + 1],
    /// All bytes, by the length of their code and then by value. EOS is the last.
    bytes: [u16; 257],
}

static CODES: Codes = codes();
/// The code of each byte, as many bits as its length says.
static CODE_OF: [u32; 256] = code_of();

const fn code_of() -> [u32; 256] {
    let mut code_of = [0; 256];
    let mut len = 1;
    while len <= LONGEST {
        let (first, many, at) = CODES.long[len];
        let mut nth = 0;
        while nth < many {
            let byte = CODES.bytes[(at + nth) as usize] as usize;
            if byte < 256 {
                code_of[byte] = first + nth as u32;
            }
            nth += 1;
        }
        len += 1;
    }
    code_of
}

const fn codes() -> Codes {
    let mut codes = Codes { short: [(0, 0); 1 << SHORT], long: [(0, 0, 0); LONGEST + 1], bytes: [0; 257] };
    let (mut code, mut at, mut len) = (0_u32, 0, 1);
    while len <= LONGEST {
        code <<= 1;
        codes.long[len] = (code, 0, at as u16);
        let mut byte = 0;
        while byte < 257 {
            if LENGTHS[byte] as usize == len {
                codes.bytes[at] = byte as u16;
                codes.long[len].1 += 1;
                if len <= SHORT {
                    let (first, many) = ((code as usize) << (SHORT - len), 1 << (SHORT - len));
                    let mut i = 0;
                    while i < many {
                        codes.short[first + i] = (byte as u8, len as u8);
                        i += 1;
                    }
                }
                at += 1;
                code += 1;
            }
            byte += 1;
        }
        len += 1;
    }
    codes
}

/// Append what is behind the code; `None` if it is none: EOS, or padding that is not less than a byte of ones.
pub fn decode(code: &[u8], into: &mut Vec<u8>) -> Option<()> {
    let (mut bits, mut have) = (0_u64, 0_usize);
    let mut rest = code.iter();
    loop {
        while have <= 56 {
            let Some(&byte) = rest.next() else { break };
            bits = bits << 8 | u64::from(byte);
            have += 8;
        }
        // As if ones followed for ever, which no code but EOS is made of.
        let window = if have >= LONGEST {
            (bits >> (have - LONGEST)) as u32 & ((1 << LONGEST) - 1)
        } else {
            let missing = LONGEST - have;
            ((bits << missing) as u32 | ((1 << missing) - 1)) & ((1 << LONGEST) - 1)
        };
        let (byte, len) = match CODES.short[(window >> (LONGEST - SHORT)) as usize] {
            (_, 0) => long(window)?,
            (byte, len) => (u16::from(byte), usize::from(len)),
        };
        if len > have {
            // What is left is the beginning of EOS.
            let is_padding = have < 8 && bits & ((1 << have) - 1) == (1 << have) - 1;
            return is_padding.then_some(());
        }
        into.push(u8::try_from(byte).ok()?);
        have -= len;
    }
}

/// How many bytes the code of these takes.
pub fn len_of(bytes: &[u8]) -> usize {
    let bits: usize = bytes.iter().map(|&byte| usize::from(LENGTHS[usize::from(byte)])).sum();
    bits.div_ceil(8)
}

/// Append the code of these bytes, padded with ones.
pub fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    // Fewer than 32 bits wait; a code has no more than 30.
    let (mut bits, mut have) = (0_u64, 0_u32);
    for &byte in bytes {
        let len = u32::from(LENGTHS[usize::from(byte)]);
        bits = bits << len | u64::from(CODE_OF[usize::from(byte)]);
        have += len;
        if have >= 32 {
            have -= 32;
            out.extend_from_slice(&((bits >> have) as u32).to_be_bytes());
        }
    }
    let padding = (8 - have % 8) % 8;
    bits = bits << padding | ((1 << padding) - 1);
    have += padding;
    while have > 0 {
        have -= 8;
        out.push((bits >> have) as u8);
    }
}

fn long(window: u32) -> Option<(u16, usize)> {
    (SHORT + 1..=LONGEST).find_map(|len| {
        let (first, many, at) = CODES.long[len];
        let nth = (window >> (LONGEST - len)).checked_sub(first).filter(|&nth| nth < u32::from(many))?;
        Some((CODES.bytes[usize::from(at) + nth as usize], len))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(code: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(code, &mut out).map(|()| out)
    }

    fn encoded(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(text, &mut out);
        assert_eq!(out.len(), len_of(text));
        out
    }

    #[test]
    fn examples_of_the_rfc() {
        for (code, text) in [
            (&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..], "www.example.com"),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x64, 0x02], "302"),
            (&[0xae, 0xc3, 0x77, 0x1a, 0x4b], "private"),
            (&[], ""),
        ] {
            assert_eq!(decoded(code).as_deref(), Some(text.as_bytes()));
            assert_eq!(encoded(text.as_bytes()), code);
        }
    }

    #[test]
    fn codes_of_the_rfc() {
        // Appendix B: the first, a short one, the longest ones, and EOS, which is all ones.
        assert_eq!((CODE_OF[0], LENGTHS[0]), (0x1ff8, 13));
        assert_eq!((CODE_OF[usize::from(b'a')], LENGTHS[usize::from(b'a')]), (0x3, 5));
        assert_eq!((CODE_OF[10], LENGTHS[10]), (0x3fff_fffc, 30));
        assert_eq!((CODE_OF[22], LENGTHS[22]), (0x3fff_fffe, 30));
        assert_eq!(CODES.long[LONGEST].0 + u32::from(CODES.long[LONGEST].1), 1 << 30);
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
        assert_eq!(decoded(&encoded(&all)), Some(all));
        for byte in 0..=255 {
            for len in 0..9 {
                let text = vec![byte; len];
                assert_eq!(decoded(&encoded(&text)), Some(text));
            }
        }
    }

    #[test]
    fn what_is_no_code() {
        // EOS; padding of eight bits; padding of zeros.
        for code in [&[0xff, 0xff, 0xff, 0xfc][..], &[0x1f, 0xff], &[0x18], &[0xff; 40]] {
            assert_eq!(decoded(code), None, "{code:x?}");
        }
    }
}
