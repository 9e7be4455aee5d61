//! Frames that come in (RFC 9113 sections 4 to 6), in whatever pieces.
//!
//! DATA is passed on as it arrives; the payload of every other frame is looked at as a whole. What breaks a rule of the
//! connection is an error here; what breaks one of a message costs its stream (`answers.rs`).

use super::frame::{FRAME_MAX, HEAD, Head, WORD_MAX, code, flag, fragment, kind, word};
use super::{Goaway, H2, PING};
use crate::proto::{Fault, Sink};

/// Room for a frame that is kept.
const ROOM_MAX: usize = 1 << 10;

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    Head,
    /// The payload of a frame that is no DATA.
    Payload(Head),
    /// The length of the padding of DATA.
    Padding(Head, Option<u32>),
    /// The rest of DATA: of the stream in this place, or nobody's.
    Data {
        key: Option<u32>,
        left: u32,
        padding: u32,
        ends: bool,
    },
    /// Bytes that mean nothing to us.
    Ignored(u32),
}

#[derive(Debug)]
pub struct Reading {
    next: Next,
    /// The head or payload so far, when it comes in pieces.
    partial: Vec<u8>,
    /// No frame has come yet.
    first: bool,
    /// The field block so far, when it is in several frames.
    block: Vec<u8>,
    /// HEADERS whose block is not whole.
    open: Option<Head>,
    /// Bytes of frames that a section may take.
    section_max: usize,
    /// Of them, those of the present one.
    section: usize,
}

impl Reading {
    /// `list_max`: bytes of a field section that the peer was told of.
    pub fn new(list_max: u32) -> Reading {
        let list_max = list_max as usize;
        Reading {
            next: Next::Head,
            partial: Vec::new(),
            first: true,
            block: Vec::new(),
            open: None,
            // A section is smaller than what it says.
            section_max: list_max + list_max / 4 + 8 * FRAME_MAX as usize,
            section: 0,
        }
    }

    /// Whether the input so far ends between two frames.
    pub fn is_between(&self) -> bool {
        self.next == Next::Head && self.partial.is_empty()
    }

    /// A stream is gone: the rest of its DATA is nobody's.
    pub fn forget(&mut self, gone: u32) {
        if let Next::Data { key, .. } | Next::Padding(_, key) = &mut self.next
            && *key == Some(gone)
        {
            *key = None;
        }
    }

    /// Gather `len` bytes, if they are not in `input` as a whole. How many of it were taken, and whether all are there.
    fn gather(&mut self, input: &[u8], len: usize) -> (usize, bool) {
        let n = (len - self.partial.len()).min(input.len());
        self.partial.extend_from_slice(&input[..n]);
        (n, self.partial.len() == len)
    }
}

/// The first frame is SETTINGS, and no answer to ours (section 3.4). What is not HTTP/2 shows here.
fn look_at_first(head: &[u8]) -> Result<(), Fault> {
    let wrong =
        head.get(3).is_some_and(|&kind| kind != kind::SETTINGS) || head.get(4).is_some_and(|f| f & flag::ACK != 0);
    if wrong { Err(Fault::NotHttp2) } else { Ok(()) }
}

impl H2 {
    pub(super) fn read(&mut self, input: &[u8], sink: &mut impl Sink) -> Result<(), Fault> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match self.reading.next {
                Next::Head if rest.is_empty() => return Ok(()),
                Next::Head => {
                    let head = match rest.first_chunk::<HEAD>().filter(|_| self.reading.partial.is_empty()) {
                        Some(head) => {
                            at += HEAD;
                            *head
                        }
                        None => {
                            let (n, whole) = self.reading.gather(rest, HEAD);
                            at += n;
                            if self.reading.first {
                                look_at_first(&self.reading.partial)?;
                            }
                            let head = self.reading.partial.first_chunk().copied().filter(|_| whole);
                            let Some(head) = head else { return Ok(()) };
                            self.reading.partial.clear();
                            head
                        }
                    };
                    if self.reading.first {
                        look_at_first(&head)?;
                        self.reading.first = false;
                    }
                    self.reading.next = self.begin(Head::parse(head), sink)?;
                }
                Next::Payload(head) => {
                    let len = head.len as usize;
                    if self.reading.partial.is_empty() && rest.len() >= len {
                        at += len;
                        self.reading.next = Next::Head;
                        self.frame(head, &rest[..len], sink)?;
                        continue;
                    }
                    let (n, whole) = self.reading.gather(rest, len);
                    at += n;
                    if !whole {
                        return Ok(());
                    }
                    let mut payload = std::mem::take(&mut self.reading.partial);
                    self.reading.next = Next::Head;
                    self.frame(head, &payload, sink)?;
                    payload.clear();
                    payload.shrink_to(ROOM_MAX);
                    self.reading.partial = payload;
                }
                Next::Padding(head, key) => {
                    let Some(&padding) = rest.first() else { return Ok(()) };
                    at += 1;
                    let padding = u32::from(padding);
                    let left = (head.len - 1).checked_sub(padding).ok_or(Fault::Frame(code::PROTOCOL_ERROR))?;
                    self.reading.next = self.begin_data(head, key, left, padding, sink)?;
                }
                Next::Data { key, mut left, mut padding, ends } => {
                    let n = (left as usize).min(rest.len());
                    if let Some(key) = key.filter(|_| n > 0) {
                        self.deliver(key, input, at..at + n, sink);
                    }
                    at += n;
                    left -= n as u32;
                    let skipped = (padding as usize).min(input.len() - at);
                    at += skipped;
                    padding -= skipped as u32;
                    if left > 0 || padding > 0 {
                        self.reading.next = Next::Data { key, left, padding, ends };
                        return Ok(());
                    }
                    self.reading.next = Next::Head;
                    if let Some(key) = key {
                        self.data_read(key, ends, sink);
                    }
                }
                Next::Ignored(left) => {
                    let n = (left as usize).min(rest.len());
                    at += n;
                    self.reading.next = if n == left as usize { Next::Head } else { Next::Ignored(left - n as u32) };
                    if self.reading.next != Next::Head {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// A head is there.
    fn begin(&mut self, head: Head, sink: &mut impl Sink) -> Result<Next, Fault> {
        let useless = match head.kind {
            kind::DATA => head.len == 0 && !head.has(flag::END_STREAM),
            kind::HEADERS => false,
            _ => true,
        };
        if useless {
            self.tokens.spend()?;
        }
        head.check()?;
        // Nothing comes between the frames of a field section (section 6.10).
        let goes_on =
            self.reading.open.is_some_and(|open| head.kind == kind::CONTINUATION && head.stream == open.stream);
        if (self.reading.open.is_some() || head.kind == kind::CONTINUATION) && !goes_on {
            return Err(Fault::Frame(code::PROTOCOL_ERROR));
        }
        match head.kind {
            kind::DATA => self.begin_stream_data(head, sink),
            kind::HEADERS | kind::CONTINUATION => {
                self.reading.section += HEAD + head.len as usize;
                if self.reading.section > self.reading.section_max {
                    return Err(Fault::Flood);
                }
                Ok(Next::Payload(head))
            }
            kind::PRIORITY => {
                if head.len != 5
                    && let Some(key) = self.streams.find(head.stream)
                {
                    self.break_off(key, code::FRAME_SIZE_ERROR, Fault::Message(code::FRAME_SIZE_ERROR), sink);
                }
                Ok(Next::Ignored(head.len))
            }
            kind::RST_STREAM | kind::SETTINGS | kind::PING | kind::GOAWAY | kind::WINDOW_UPDATE => {
                Ok(Next::Payload(head))
            }
            _ => Ok(Next::Ignored(head.len)),
        }
    }

    /// All of DATA counts for the windows, whatever becomes of it (section 6.9).
    fn begin_stream_data(&mut self, head: Head, sink: &mut impl Sink) -> Result<Next, Fault> {
        let len = i64::from(head.len);
        self.recv_window -= len;
        if self.recv_window < 0 {
            return Err(Fault::Frame(code::FLOW_CONTROL_ERROR));
        }
        let mut key = self.find(head.stream)?.filter(|key| !self.has_ended(*key));
        match key.and_then(|key| self.streams.get_mut(key)) {
            None => self.charge_stale(len)?,
            Some(stream) if !stream.answered => return Err(Fault::Frame(code::PROTOCOL_ERROR)),
            Some(stream) => {
                stream.recv_window -= len;
                if stream.recv_window < 0
                    && let Some(key) = key.take()
                {
                    self.break_off(key, code::FLOW_CONTROL_ERROR, Fault::Message(code::FLOW_CONTROL_ERROR), sink);
                }
            }
        }
        if head.has(flag::PADDED) {
            return Ok(Next::Padding(head, key));
        }
        self.begin_data(head, key, head.len, 0, sink)
    }

    fn begin_data(
        &mut self,
        head: Head,
        mut key: Option<u32>,
        left: u32,
        padding: u32,
        sink: &mut impl Sink,
    ) -> Result<Next, Fault> {
        let ends = head.has(flag::END_STREAM);
        if left == 0 && head.len > 0 && !ends {
            // Padding and nothing else.
            self.tokens.spend()?;
        }
        if let Some(stream) = key.and_then(|key| self.streams.get_mut(key))
            && let Some(expected) = &mut stream.left
        {
            match expected.checked_sub(u64::from(left)) {
                Some(rest) => *expected = rest,
                None => {
                    if let Some(key) = key.take() {
                        self.malformed(key, sink);
                    }
                }
            }
        }
        Ok(Next::Data { key, left, padding, ends })
    }

    /// The place of a stream that is open, or `None` for one that is no more. One that never was is an error.
    fn find(&self, id: u32) -> Result<Option<u32>, Fault> {
        // The peer's own ones are even, and not allowed.
        if id.is_multiple_of(2) || id >= self.next_id {
            return Err(Fault::Frame(code::PROTOCOL_ERROR));
        }
        Ok(self.streams.find(id))
    }

    /// Whether nothing more of a stream counts.
    fn has_ended(&self, key: u32) -> bool {
        self.streams.get(key).is_none_or(|stream| stream.heard)
    }

    /// So many bytes came for a stream that is no more.
    fn charge_stale(&mut self, bytes: i64) -> Result<(), Fault> {
        if bytes == 0 {
            self.tokens.spend()?;
        }
        self.stale -= bytes;
        if self.stale < 0 { Err(Fault::Frame(code::STREAM_CLOSED)) } else { Ok(()) }
    }

    /// A frame is there as a whole.
    fn frame(&mut self, head: Head, payload: &[u8], sink: &mut impl Sink) -> Result<(), Fault> {
        match head.kind {
            kind::HEADERS => {
                let block = fragment(head, payload)?;
                if head.has(flag::END_HEADERS) {
                    self.reading.section = 0;
                    return self.section(head, block, sink);
                }
                self.reading.open = Some(head);
                self.reading.block.extend_from_slice(block);
                Ok(())
            }
            kind::CONTINUATION => {
                self.reading.block.extend_from_slice(payload);
                if !head.has(flag::END_HEADERS) {
                    return Ok(());
                }
                self.reading.section = 0;
                let block = std::mem::take(&mut self.reading.block);
                match self.reading.open.take() {
                    Some(first) => self.section(first, &block, sink),
                    None => Ok(()),
                }
            }
            kind::RST_STREAM => {
                if let Some(key) = self.find(head.stream)? {
                    self.reset(key, word(payload, 0), sink);
                }
                Ok(())
            }
            kind::SETTINGS if head.has(flag::ACK) => Ok(()),
            kind::SETTINGS => self.settings(payload),
            kind::PING if head.has(flag::ACK) => {
                if self.ping_is_out && payload == PING {
                    self.ping_is_out = false;
                    self.probe.answered(self.heard_at);
                }
                Ok(())
            }
            kind::PING => {
                self.wire.frame(kind::PING, flag::ACK, 0, payload);
                Ok(())
            }
            kind::GOAWAY => self.goaway(Goaway { last: word(payload, 0) & WORD_MAX, code: word(payload, 4) }, sink),
            _ => self.window_update(head.stream, word(payload, 0) & WORD_MAX, sink),
        }
    }

    /// A field section is there as a whole.
    fn section(&mut self, head: Head, block: &[u8], sink: &mut impl Sink) -> Result<(), Fault> {
        let mut section = std::mem::take(&mut self.section);
        section.clear();
        let decoded = self.decoder.decode(block, &self.section_limits, &mut section);
        decoded.map_err(|_| Fault::Frame(code::COMPRESSION_ERROR))?;
        if section.size() > self.section_limits.size_max {
            return Err(Fault::Flood);
        }
        match self.find(head.stream)?.filter(|key| !self.has_ended(*key)) {
            Some(key) => self.fields(key, &mut section, head.has(flag::END_STREAM), sink),
            None => self.charge_stale(section.size() as i64)?,
        }
        self.section = section;
        Ok(())
    }

    fn settings(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let before = self.peer;
        self.peer.heard(payload)?;
        if let Some((least, last)) = self.peer.table_max {
            self.encoder.set_table_max(least);
            self.encoder.set_table_max(last);
        }
        self.wire.set_frame_max(self.peer.frame_max);
        if self.peer.window != before.window {
            self.resize_windows(i64::from(self.peer.window) - i64::from(before.window))?;
        }
        self.wire.frame(kind::SETTINGS, flag::ACK, 0, &[]);
        Ok(())
    }

    /// The peer wants no further requests. It may say so again, for fewer of them (section 6.8).
    fn goaway(&mut self, said: Goaway, sink: &mut impl Sink) -> Result<(), Fault> {
        if self.went_away.is_some_and(|before| before.last < said.last) {
            return Err(Fault::Frame(code::PROTOCOL_ERROR));
        }
        self.went_away = Some(said);
        for key in 0..self.streams.places() {
            let Some(stream) = self.streams.get(key).filter(|stream| stream.id > said.last) else { continue };
            // What is being answered was looked at, whatever is said of it later.
            let fault = if stream.answered { Fault::GoneAway(said.code) } else { Fault::Unprocessed(said.code) };
            self.abandoned(key, fault, sink);
        }
        Ok(())
    }

    fn window_update(&mut self, id: u32, by: u32, sink: &mut impl Sink) -> Result<(), Fault> {
        if id == 0 {
            if by == 0 {
                return Err(Fault::Frame(code::PROTOCOL_ERROR));
            }
            return self.widen_connection(by);
        }
        let Some(key) = self.find(id)? else { return Ok(()) };
        let code = match by {
            0 => code::PROTOCOL_ERROR,
            _ if self.widen_stream(key, by) => return Ok(()),
            _ => code::FLOW_CONTROL_ERROR,
        };
        self.break_off(key, code, Fault::Message(code), sink);
        Ok(())
    }
}
