//! Masking (RFC 6455 section 5.3), eight bytes at a time.

/// Append `from` to `to`, masked with `key` from its first byte on.
pub fn append(to: &mut bytes::BytesMut, from: &[u8], key: [u8; 4]) {
    let start = to.len();
    to.extend_from_slice(from);
    mask(&mut to[start..], key);
}

/// Mask in place.
pub fn mask(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for eight in words {
        *eight = (u64::from_ne_bytes(*eight) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_masked_as_byte_by_byte() {
        let key = [0x12, 0x00, 0xff, 0x7e];
        for len in 0..70 {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 37) as u8).collect();
            let wanted: Vec<u8> = bytes.iter().enumerate().map(|(i, b)| b ^ key[i % 4]).collect();
            let mut masked = bytes::BytesMut::from(&b"before"[..]);
            append(&mut masked, &bytes, key);
            assert_eq!(masked[6..], wanted);
        }
    }
}
