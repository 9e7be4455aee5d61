//! SETTINGS (RFC 9113 section 6.5): ours, and what the peer's say.

use super::Limits;
use super::frame::{FRAME_MAX, WORD_MAX, code, word};
use crate::proto::Fault;

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;
/// RFC 8441 section 3.
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// The window of a stream, and of a connection, before anything is said about it (section 6.9.2).
pub const WINDOW: u32 = 65_535;
/// The largest MAX_FRAME_SIZE.
const FRAME_SIZE_MAX: u32 = (1 << 24) - 1;
/// Longer field sections are not asked for, unless the limit is higher yet.
const LIST_MAX: u32 = 1 << 20;

/// Bytes of a field section that the peer is told of: twice the limit, which is to have a name of its own when it is reached.
pub fn list_max(limits: &Limits) -> u32 {
    limits.head_max.saturating_mul(2).min(LIST_MAX.max(limits.head_max))
}

fn setting(id: u16, value: u32) -> [u8; 6] {
    let ([a, b], [c, d, e, f]) = (id.to_be_bytes(), value.to_be_bytes());
    [a, b, c, d, e, f]
}

/// The payload of our first SETTINGS.
pub fn ours(limits: &Limits) -> [u8; 18] {
    let mut payload = [0; 18];
    payload[..6].copy_from_slice(&setting(ENABLE_PUSH, 0));
    payload[6..12].copy_from_slice(&setting(INITIAL_WINDOW_SIZE, limits.stream_window));
    payload[12..].copy_from_slice(&setting(MAX_HEADER_LIST_SIZE, list_max(limits)));
    payload
}

/// The payload of SETTINGS that change the window of streams.
pub fn window(window: u32) -> [u8; 6] {
    setting(INITIAL_WINDOW_SIZE, window)
}

/// What the peer has said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its first SETTINGS are there.
    pub greeted: bool,
    /// The least and the last size of its table that the last SETTINGS named: both have to be obeyed.
    pub table_max: Option<(u32, u32)>,
    pub streams_max: u32,
    /// Of a stream.
    pub window: u32,
    pub frame_max: u32,
    /// It allows Extended CONNECT.
    pub connects: bool,
}

impl Peer {
    /// `streams`: how many it allows, until it says so.
    pub fn new(streams: u32) -> Peer {
        Peer {
            greeted: false,
            table_max: None,
            streams_max: streams,
            window: WINDOW,
            frame_max: FRAME_MAX,
            connects: false,
        }
    }

    /// Take over what a SETTINGS frame says. Its length is a multiple of that of one setting.
    pub fn heard(&mut self, payload: &[u8]) -> Result<(), Fault> {
        if !self.greeted {
            self.greeted = true;
            self.streams_max = u32::MAX;
        }
        self.table_max = None;
        for setting in payload.as_chunks::<6>().0 {
            let (id, value) = (u16::from_be_bytes([setting[0], setting[1]]), word(setting, 2));
            let wrong = |code| Err(Fault::Frame(code));
            match id {
                HEADER_TABLE_SIZE => {
                    let least = self.table_max.map_or(value, |(least, _)| least.min(value));
                    self.table_max = Some((least, value));
                }
                ENABLE_PUSH if value != 0 => return wrong(code::PROTOCOL_ERROR),
                MAX_CONCURRENT_STREAMS => self.streams_max = value,
                INITIAL_WINDOW_SIZE if value > WORD_MAX => return wrong(code::FLOW_CONTROL_ERROR),
                INITIAL_WINDOW_SIZE => self.window = value,
                MAX_FRAME_SIZE if !(FRAME_MAX..=FRAME_SIZE_MAX).contains(&value) => {
                    return wrong(code::PROTOCOL_ERROR);
                }
                MAX_FRAME_SIZE => self.frame_max = value,
                ENABLE_CONNECT_PROTOCOL if value > 1 => return wrong(code::PROTOCOL_ERROR),
                ENABLE_CONNECT_PROTOCOL => self.connects = value == 1,
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_over_or_refused() {
        let (protocol, flow) = (Err(Fault::Frame(code::PROTOCOL_ERROR)), Err(Fault::Frame(code::FLOW_CONTROL_ERROR)));
        for (id, value, expected) in [
            (HEADER_TABLE_SIZE, u32::MAX, Ok(())),
            (ENABLE_PUSH, 0, Ok(())),
            (ENABLE_PUSH, 1, protocol),
            (MAX_CONCURRENT_STREAMS, 0, Ok(())),
            (INITIAL_WINDOW_SIZE, WORD_MAX, Ok(())),
            (INITIAL_WINDOW_SIZE, WORD_MAX + 1, flow),
            (MAX_FRAME_SIZE, FRAME_MAX, Ok(())),
            (MAX_FRAME_SIZE, FRAME_MAX - 1, protocol),
            (MAX_FRAME_SIZE, FRAME_SIZE_MAX, Ok(())),
            (MAX_FRAME_SIZE, FRAME_SIZE_MAX + 1, protocol),
            (MAX_HEADER_LIST_SIZE, 0, Ok(())),
            (ENABLE_CONNECT_PROTOCOL, 1, Ok(())),
            (ENABLE_CONNECT_PROTOCOL, 2, protocol),
            (0x7777, 7, Ok(())),
        ] {
            assert_eq!(Peer::new(100).heard(&setting(id, value)), expected, "{id} {value}");
        }
    }

    #[test]
    fn what_is_not_said_stays_and_the_last_value_counts() {
        let mut peer = Peer::new(100);
        peer.heard(&[]).unwrap();
        assert_eq!(peer, Peer { greeted: true, streams_max: u32::MAX, ..Peer::new(100) });
        peer.heard(&[setting(MAX_CONCURRENT_STREAMS, 7), setting(MAX_CONCURRENT_STREAMS, 9)].concat()).unwrap();
        peer.heard(&setting(INITIAL_WINDOW_SIZE, 3)).unwrap();
        assert_eq!((peer.streams_max, peer.window), (9, 3));
        let sizes = [4096, 0, 2000].map(|size| setting(HEADER_TABLE_SIZE, size)).concat();
        peer.heard(&sizes).unwrap();
        assert_eq!(peer.table_max, Some((0, 2000)));
    }
}
