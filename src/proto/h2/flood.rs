//! Frames that carry nothing (PING, SETTINGS, RST_STREAM, WINDOW_UPDATE, PRIORITY, CONTINUATION, empty DATA, unknown ones)
//! cost a peer little and us some work each. Each costs one token. Tokens come back for what is useful: bytes of bodies in
//! either direction (of answers only while the peer takes what we say), requests, and time. A peer that runs out of them floods
//! us (RFC 9113 section 10.5).

use crate::proto::{Fault, Tick};

/// Frames without use that a connection may receive at once.
const TOKENS: u64 = 1_000;
/// A token comes back after so many nanoseconds...
const NS_PER_TOKEN: u64 = 20_000_000;
/// ... or bytes of a body, in either direction.
const BYTES_PER_TOKEN: u64 = 256;
/// Tokens for each request: its answer may be a reset, and comes with window updates.
const TOKENS_PER_REQUEST: u64 = 8;
/// Tokens for each piece of a body that was sent, however short: some peers answer each with a window of the stream and one of
/// the connection.
const TOKENS_PER_PIECE: u64 = 2;

#[derive(Debug)]
pub struct Tokens {
    left: u64,
    /// Bytes that are not worth a token yet.
    spare: u64,
    since: Tick,
}

impl Tokens {
    pub fn new() -> Tokens {
        Tokens { left: TOKENS, spare: 0, since: Tick(0) }
    }

    /// Time has passed.
    pub fn passed(&mut self, now: Tick) {
        let passed = now.0.saturating_sub(self.since.0) / NS_PER_TOKEN;
        if passed > 0 {
            self.add(passed);
            self.since = now;
        }
    }

    /// A request was sent.
    pub fn asked(&mut self) {
        self.add(TOKENS_PER_REQUEST);
    }

    /// A piece of a body was sent.
    pub fn sent(&mut self, bytes: usize) {
        self.add(TOKENS_PER_PIECE);
        self.useful(bytes);
    }

    /// So many bytes of a body have passed.
    pub fn useful(&mut self, bytes: usize) {
        self.spare += bytes as u64;
        self.add(self.spare / BYTES_PER_TOKEN);
        self.spare %= BYTES_PER_TOKEN;
    }

    /// A frame without use.
    pub fn spend(&mut self) -> Result<(), Fault> {
        self.left = self.left.checked_sub(1).ok_or(Fault::Flood)?;
        Ok(())
    }

    fn add(&mut self, tokens: u64) {
        self.left = self.left.saturating_add(tokens).min(TOKENS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_run_out_and_come_back() {
        let mut tokens = Tokens::new();
        let spent = |tokens: &mut Tokens| (0..).take_while(|_| tokens.spend().is_ok()).count() as u64;
        tokens.asked();
        assert_eq!(spent(&mut tokens), TOKENS, "there are never more");
        assert_eq!(tokens.spend(), Err(Fault::Flood));
        tokens.asked();
        assert_eq!(spent(&mut tokens), TOKENS_PER_REQUEST);
        tokens.useful(255);
        assert_eq!(spent(&mut tokens), 0);
        tokens.useful(257);
        assert_eq!(spent(&mut tokens), 2);
        tokens.sent(1);
        assert_eq!(spent(&mut tokens), TOKENS_PER_PIECE);
        tokens.passed(Tick(3 * NS_PER_TOKEN));
        assert_eq!(spent(&mut tokens), 3);
        tokens.passed(Tick(4 * NS_PER_TOKEN - 1));
        assert_eq!(spent(&mut tokens), 0);
        tokens.passed(Tick::NEVER);
        assert_eq!(spent(&mut tokens), TOKENS);
    }
}
