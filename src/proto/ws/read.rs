//! Received bytes become pieces of messages and control frames.
//!
//! The verdict and the bytes of all messages are the same however the input is cut. Payload is not copied: a piece is a
//! range of the input. Of a frame whose head or control payload is not whole, the begun bytes are kept here.

use super::frame::{self, Head};
use super::{Kind, Rule, Utf8, close};
use std::ops::Range;

/// Sizes that a server may not exceed; `u64::MAX` for none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of one frame, as they are on the wire.
    pub frame: u64,
    /// Bytes of a message. Of a compressed one whoever inflates it has to count.
    pub message: u64,
}

/// A control frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control {
    Ping,
    Pong,
    /// With its code; 1005 for none. Nothing that comes behind it is looked at.
    Close(u16),
}

/// What was found at the front of the input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// All of it was taken, and more is needed.
    Nothing,
    /// Bytes of a message; maybe none, at its start and its end.
    Data {
        kind: Kind,
        /// They are to be inflated, and text checked then.
        compressed: bool,
        range: Range<usize>,
        /// The first piece of the message.
        start: bool,
        /// The last one.
        end: bool,
        /// So many bytes of the same frame are still to come.
        left: u64,
        /// The frame is the last of its message.
        last: bool,
    },
    /// Its payload, of a Close frame the reason, is [`Reader::payload`] until the next call.
    Control(Control),
}

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    /// In a frame of a message.
    Data {
        fin: bool,
        start: bool,
        left: u64,
    },
    Control {
        opcode: u8,
        len: u8,
    },
    /// Behind a Close frame.
    Over,
}

/// The receiving half of a WebSocket.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    /// Messages may be compressed.
    deflate: bool,
    state: State,
    /// The message in progress, and whether it is compressed.
    message: Option<(Kind, bool)>,
    /// Bytes of it that its frames have announced so far.
    size: u64,
    utf8: Utf8,
    /// The bytes of a head that is not whole yet.
    head: [u8; 10],
    head_len: u8,
    /// The last control payload, or one that is not whole yet.
    control: [u8; frame::CONTROL_MAX],
    control_len: u8,
    /// Where it begins: behind the code of a Close frame.
    control_at: u8,
}

impl Reader {
    pub fn new(limits: Limits, deflate: bool) -> Reader {
        Reader {
            limits,
            deflate,
            state: State::Head,
            message: None,
            size: 0,
            utf8: Utf8::default(),
            head: [0; 10],
            head_len: 0,
            control: [0; frame::CONTROL_MAX],
            control_len: 0,
            control_at: 0,
        }
    }

    /// The payload of the control frame that was found last.
    pub fn payload(&self) -> &[u8] {
        &self.control[self.control_at as usize..self.control_len as usize]
    }

    /// A Close frame has come.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Take the next thing from the front of `input`, and tell how many bytes of it are done with. After an error nothing
    /// makes sense any more.
    pub fn read(&mut self, input: &[u8]) -> Result<(usize, Item), Rule> {
        let mut at = 0;
        loop {
            match self.state {
                State::Over => return Ok((input.len(), Item::Nothing)),
                State::Head => {
                    let Some(head) = self.head(input, &mut at)? else { return Ok((at, Item::Nothing)) };
                    self.begin(&head)?;
                }
                State::Data { fin, start, left } => {
                    let len = left.min((input.len() - at) as u64) as usize;
                    if len == 0 && left > 0 {
                        return Ok((at, Item::Nothing));
                    }
                    let range = at..at + len;
                    let left = left - len as u64;
                    let end = fin && left == 0;
                    let (kind, compressed) = self.message.ok_or(Rule::Fragment)?;
                    if kind == Kind::Text && !compressed {
                        self.utf8.check(&input[range.clone()])?;
                        if end {
                            self.utf8.finish()?;
                        }
                    }
                    self.state = if left == 0 { State::Head } else { State::Data { fin, start: false, left } };
                    if end {
                        self.message = None;
                        self.size = 0;
                    }
                    return Ok((range.end, Item::Data { kind, compressed, range, start, end, left, last: fin }));
                }
                State::Control { opcode, len } => {
                    let have = self.control_len as usize;
                    let more = (len as usize - have).min(input.len() - at);
                    self.control[have..have + more].copy_from_slice(&input[at..at + more]);
                    self.control_len += more as u8;
                    at += more;
                    if self.control_len < len {
                        return Ok((at, Item::Nothing));
                    }
                    self.state = State::Head;
                    return Ok((at, Item::Control(self.control(opcode)?)));
                }
            }
        }
    }

    /// A whole head, from the front of the input or behind the bytes that were kept of it.
    fn head(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Head>, Rule> {
        if self.head_len == 0 {
            let rest = &input[*at..];
            if let Some(head) = Head::parse(rest)? {
                *at += head.size;
                return Ok(Some(head));
            }
            self.head[..rest.len()].copy_from_slice(rest);
            self.head_len = rest.len() as u8;
            *at = input.len();
            return Ok(None);
        }
        while let Some(&next) = input.get(*at) {
            self.head[self.head_len as usize] = next;
            self.head_len += 1;
            *at += 1;
            if let Some(head) = Head::parse(&self.head[..self.head_len as usize])? {
                self.head_len = 0;
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    /// A frame begins.
    fn begin(&mut self, head: &Head) -> Result<(), Rule> {
        if head.opcode >= frame::CLOSE {
            self.control_len = 0;
            self.control_at = 0;
            self.state = State::Control { opcode: head.opcode, len: head.len as u8 };
            return Ok(());
        }
        let start = head.opcode != frame::CONTINUATION;
        // Only the first frame of a message says that it is compressed (RFC 7692 section 6.1).
        if head.rsv1 && !(self.deflate && start) {
            return Err(Rule::ReservedBit);
        }
        if start == self.message.is_some() {
            return Err(Rule::Fragment);
        }
        if start {
            let kind = if head.opcode == frame::TEXT { Kind::Text } else { Kind::Binary };
            self.message = Some((kind, head.rsv1));
        }
        if head.len > self.limits.frame {
            return Err(Rule::FrameTooLarge);
        }
        self.size = self.size.saturating_add(head.len);
        if self.size > self.limits.message && self.message.is_some_and(|(_, compressed)| !compressed) {
            return Err(Rule::MessageTooLarge);
        }
        self.state = State::Data { fin: head.fin, start, left: head.len };
        Ok(())
    }

    fn control(&mut self, opcode: u8) -> Result<Control, Rule> {
        match opcode {
            frame::PING => Ok(Control::Ping),
            frame::PONG => Ok(Control::Pong),
            _ => {
                let (code, _) = close::parse(self.payload())?;
                self.control_at = self.control_len.min(2);
                self.state = State::Over;
                Ok(Control::Close(code))
            }
        }
    }
}
