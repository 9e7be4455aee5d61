//! UTF-8 that comes in pieces: checked as it comes, so that the first byte that cannot be right is told at once.

use super::Rule;

/// What is known of a text so far: the bytes of a character that is not whole yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Utf8 {
    begun: [u8; 3],
    len: u8,
}

impl Utf8 {
    /// Check the next piece.
    pub fn check(&mut self, piece: &[u8]) -> Result<(), Rule> {
        let mut rest = piece;
        while self.len > 0 {
            let Some((&next, behind)) = rest.split_first() else { return Ok(()) };
            rest = behind;
            let mut whole = [0; 4];
            let have = self.len as usize;
            whole[..have].copy_from_slice(&self.begun[..have]);
            whole[have] = next;
            match std::str::from_utf8(&whole[..=have]) {
                Ok(_) => self.len = 0,
                // Four bytes are a character, or none.
                Err(error) if error.error_len().is_none() && have < 3 => {
                    self.begun[have] = next;
                    self.len += 1;
                }
                Err(_) => return Err(Rule::Utf8),
            }
        }
        // Most text is, and is looked at many bytes at a time then.
        if rest.is_ascii() {
            return Ok(());
        }
        match std::str::from_utf8(rest) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_none() => {
                let begun = &rest[error.valid_up_to()..];
                self.begun[..begun.len()].copy_from_slice(begun);
                self.len = begun.len() as u8;
                Ok(())
            }
            Err(_) => Err(Rule::Utf8),
        }
    }

    /// The text is over, and everything is as it was before it.
    pub fn finish(&mut self) -> Result<(), Rule> {
        if std::mem::take(&mut self.len) == 0 { Ok(()) } else { Err(Rule::Utf8) }
    }

    /// The state in a word below 2^32, for those who keep it in one.
    pub fn pack(self) -> u32 {
        let [a, b, c] = self.begun;
        u32::from_be_bytes([self.len, a, b, c])
    }

    pub fn unpack(word: u32) -> Utf8 {
        let [len, a, b, c] = word.to_be_bytes();
        Utf8 { begun: [a, b, c], len: len.min(3) }
    }
}
