//! The parser of event streams (WHATWG HTML, sections 9.2.5 and 9.2.6): bytes in, events out.
//!
//! Fields are found where they lie. An event whose lines are all in the input that is being fed, with one `data` among them,
//! is told as slices of that input; what an earlier input has begun, and data of several lines, is put together in buffers
//! that are used again. So nothing is allocated for an event, and each byte is looked at once however the input is cut.
//!
//! What is told does not depend on the cuts, and neither does what is refused. After an error nothing is to be fed any more.
//!
//! Where the standard says that bytes are decoded as UTF-8 first, nothing is done here: all that has a meaning is ASCII, and
//! bytes that are no UTF-8 reach the application as they came.
#![forbid(unsafe_code)]

use memchr::memchr2;

/// Bytes of one `event` or `id`: as much as any server takes back in a field of a head.
pub const NAME_MAX: usize = 8 << 10;
/// What a buffer may keep of an event that was large.
const SPARE: usize = 16 << 10;
const BOM: [u8; 3] = [0xef, 0xbb, 0xbf];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of one line without its end.
    pub line_max: u32,
    /// Bytes of all data of an event, line ends between them included.
    pub event_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { line_max: 1 << 20, event_max: 8 << 20 }
    }
}

/// What is over its limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TooLarge {
    Line,
    Event,
}

/// One event, as it is dispatched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event<'a> {
    pub data: &'a [u8],
    /// The value of `event`; empty for "message".
    pub kind: &'a [u8],
    /// The last event id, be it of an earlier event.
    pub id: &'a [u8],
    /// It was set since the last event.
    pub id_is_new: bool,
    /// The value of `retry` in milliseconds, if there was one.
    pub retry: Option<u64>,
}

/// Fields of the event in progress that stand in the input at hand.
#[derive(Default)]
struct InPlace<'a> {
    data: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
    id: Option<&'a [u8]>,
}

/// What came in earlier input is kept here; a field in place comes after it.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    /// So many bytes of the mark at the front were seen; 3 once it cannot come any more.
    bom: u8,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_cr: bool,
    /// A line that was cut.
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    kind: Vec<u8>,
    id: Vec<u8>,
    has_id: bool,
    /// Bytes of data in the event so far.
    size: usize,
    event_retry: Option<u64>,
    /// Of the events before.
    last_id: Vec<u8>,
    id_is_new: bool,
    retry: Option<u64>,
}

impl Parser {
    /// `last_id` is where an earlier stream has come to.
    pub fn new(limits: Limits, last_id: &[u8]) -> Parser {
        Parser {
            limits,
            bom: 0,
            after_cr: false,
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            kind: Vec::new(),
            id: Vec::new(),
            has_id: false,
            size: 0,
            event_retry: None,
            last_id: last_id.to_vec(),
            id_is_new: false,
            retry: None,
        }
    }

    /// The next stream begins. What was not ended by an empty line is given up; the last event id and the time to wait stay.
    pub fn restart(&mut self) {
        self.bom = 0;
        self.after_cr = false;
        self.line = Vec::new();
        self.has_id = false;
        self.id.clear();
        self.forget_event();
    }

    /// The last event id: what the next request says in `Last-Event-ID`.
    pub fn last_id(&self) -> &[u8] {
        &self.last_id
    }

    /// The time to wait before the next request, in milliseconds, if the server has named one.
    pub fn retry(&self) -> Option<u64> {
        self.retry
    }

    /// Take the next bytes of the stream, and tell the events that they end.
    pub fn feed(&mut self, mut input: &[u8], mut tell: impl FnMut(&Event<'_>)) -> Result<(), TooLarge> {
        while self.bom < 3 {
            match input.split_first() {
                None => return Ok(()),
                Some((&first, rest)) if first == BOM[self.bom as usize] => {
                    self.bom += 1;
                    input = rest;
                }
                Some(_) => {
                    // It was none: its bytes are the start of a line.
                    self.line.extend_from_slice(&BOM[..self.bom as usize]);
                    self.bom = 3;
                }
            }
        }
        if self.after_cr && !input.is_empty() {
            self.after_cr = false;
            input = input.strip_prefix(b"\n").unwrap_or(input);
        }
        if !self.line.is_empty() {
            let Some(end) = memchr2(b'\n', b'\r', input) else { return self.keep(input) };
            self.keep(&input[..end])?;
            input = self.end_line(input, end);
            let mut line = std::mem::take(&mut self.line);
            let mut place = InPlace::default();
            self.read_line(&line, &mut place, &mut tell)?;
            self.hold(&place);
            line.clear();
            line.shrink_to(SPARE);
            self.line = line;
        }
        let mut place = InPlace::default();
        while let Some(end) = memchr2(b'\n', b'\r', input) {
            let line = &input[..end];
            input = self.end_line(input, end);
            self.read_line(line, &mut place, &mut tell)?;
        }
        self.hold(&place);
        self.keep(input)
    }

    /// What follows the line that ends at `end`.
    fn end_line<'a>(&mut self, input: &'a [u8], end: usize) -> &'a [u8] {
        let rest = &input[end + 1..];
        if input[end] == b'\n' {
            return rest;
        }
        self.after_cr = rest.is_empty();
        rest.strip_prefix(b"\n").unwrap_or(rest)
    }

    /// Keep a part of a line that is not whole.
    fn keep(&mut self, part: &[u8]) -> Result<(), TooLarge> {
        if self.line.len() + part.len() > self.limits.line_max as usize {
            return Err(TooLarge::Line);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    /// Copy what stands in an input that goes away.
    fn hold(&mut self, place: &InPlace<'_>) {
        if let Some(data) = place.data {
            self.data.extend_from_slice(data);
            self.has_data = true;
        }
        if let Some(kind) = place.kind {
            self.kind.clear();
            self.kind.extend_from_slice(kind);
        }
        if let Some(id) = place.id {
            self.id.clear();
            self.id.extend_from_slice(id);
            self.has_id = true;
        }
    }

    fn read_line<'a>(
        &mut self,
        line: &'a [u8],
        place: &mut InPlace<'a>,
        tell: &mut impl FnMut(&Event<'_>),
    ) -> Result<(), TooLarge> {
        if line.is_empty() {
            self.dispatch(place, tell);
            return Ok(());
        }
        if line.len() > self.limits.line_max as usize {
            return Err(TooLarge::Line);
        }
        if let Some(value) = line.strip_prefix(b"data:") {
            return self.add_data(value.strip_prefix(b" ").unwrap_or(value), place);
        }
        // The names that mean something have five bytes at most.
        let colon = line.iter().take(6).position(|&b| b == b':');
        let (name, value) = match colon {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => return self.add_data(value, place),
            b"event" | b"id" if value.len() > NAME_MAX => return Err(TooLarge::Event),
            b"event" => place.kind = Some(value),
            b"id" if memchr::memchr(0, value).is_none() => place.id = Some(value),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let add = |ms: u64, &digit: &u8| ms.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
                self.retry = Some(value.iter().fold(0, add));
                self.event_retry = self.retry;
            }
            _ => {}
        }
        Ok(())
    }

    fn add_data<'a>(&mut self, value: &'a [u8], place: &mut InPlace<'a>) -> Result<(), TooLarge> {
        let is_first = !self.has_data && place.data.is_none();
        self.size += value.len() + usize::from(!is_first);
        if self.size > self.limits.event_max as usize {
            return Err(TooLarge::Event);
        }
        if is_first {
            place.data = Some(value);
            return Ok(());
        }
        if let Some(first) = place.data.take() {
            self.data.extend_from_slice(first);
            self.has_data = true;
        }
        self.data.push(b'\n');
        self.data.extend_from_slice(value);
        Ok(())
    }

    fn dispatch(&mut self, place: &mut InPlace<'_>, tell: &mut impl FnMut(&Event<'_>)) {
        if let Some(id) = place.id.take() {
            self.id_is_new |= self.last_id != id;
            self.last_id.clear();
            self.last_id.extend_from_slice(id);
        } else if self.has_id {
            self.id_is_new |= self.last_id != self.id;
            std::mem::swap(&mut self.last_id, &mut self.id);
        }
        self.has_id = false;
        let kind = place.kind.take();
        if self.has_data || place.data.is_some() {
            tell(&Event {
                data: place.data.take().unwrap_or(&self.data),
                kind: kind.unwrap_or(&self.kind),
                id: &self.last_id,
                id_is_new: std::mem::take(&mut self.id_is_new),
                retry: self.event_retry,
            });
        }
        self.forget_event();
    }

    fn forget_event(&mut self) {
        self.data.clear();
        self.data.shrink_to(SPARE);
        self.has_data = false;
        self.kind.clear();
        self.size = 0;
        self.event_retry = None;
    }
}
