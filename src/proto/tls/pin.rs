//! Pins: hashes of keys.

use super::{Invalid, What};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::str::FromStr;

/// SHA-256 of a SubjectPublicKeyInfo, written as `sha256/BASE64` (RFC 7469 section 2.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pin(pub [u8; 32]);

impl FromStr for Pin {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Pin, Invalid> {
        let hash = text.strip_prefix("sha256/").and_then(|text| STANDARD.decode(text).ok());
        hash.and_then(|hash| hash.try_into().ok()).map(Pin).ok_or_else(|| {
            let why = format!("\"{}\" is no pin: it is sha256/ and the Base64 of 32 bytes", text.escape_debug());
            Invalid::new(What::Pins, why)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins() {
        let good = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert_eq!(good.parse(), Ok(Pin([0; 32])));
        for bad in ["", "sha256/", "sha1/AAAA", "sha256/AAAA", &good[..good.len() - 1], &good[7..]] {
            assert_eq!(bad.parse::<Pin>().unwrap_err().what, What::Pins);
        }
    }
}
