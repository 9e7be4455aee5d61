//! Field sections as they arrive: where a head (or a trailer section) ends, and what it says.
//!
//! Two steps. [`Scan`] looks for the empty line and remembers how far it has looked, so that a head fed in segments
//! of one byte costs as much as one fed whole. [`read`] and [`read_trailers`] then parse the whole section once.
//!
//! A head that is there as a whole and in order, as nearly all are, takes neither: [`read_at_once`] lets the parser
//! find its end.
//!
//! Invariants:
//! - [`read_at_once`] takes nothing that [`Scan`] and [`read`] would not take as it does.
//! - The verdict is the first violation in the order of the bytes, however they were cut. Limits, bare LF and the
//!   first bytes of the status line are judged as their bytes arrive; every other rule is judged when its line is
//!   complete, before anything that comes after it.
//! - `check_line` accepts whatever `httparse` accepts of a section without bare LF, so that judging lines early
//!   never refuses a section that would have been parsed.
//! - A section of up to [`WARM`] lines is parsed without allocating, unless it has folded lines.
//!
//! RFC 9112 sections 2.2 (message parsing), 4 (status line), 5 (field syntax), 7.1.2 (trailers).

use super::Limits;
use super::bytes::{all_text, find_lf, is_blank, is_token};
use crate::proto::{Fault, Field, Fields, Head, Version};
use std::borrow::Cow;

/// Lines of a section that fit tables on the stack.
const WARM: usize = 64;

/// Lines of most sections. The tables have to be cleared beforehand, and those for [`WARM`] lines take 3 KiB.
const USUAL: usize = 16;

/// Bytes of `HTTP/1.1 200` and the one after it: what [`check_start`] judges.
const START: usize = 13;

/// A search for the end of a section. Offsets count from the section's first byte, which stays unconsumed.
#[derive(Clone, Copy, Debug)]
pub struct Scan {
    /// Bytes looked at.
    scanned: u32,
    /// Where the line in progress starts; all lines before it have been judged between two calls.
    line: u32,
    /// Complete lines, a status line included.
    lines: u32,
    /// Lines that are no field lines: 1 in a head, 0 in a trailer section.
    start_lines: u32,
}

impl Scan {
    pub const fn head() -> Scan {
        Scan { scanned: 0, line: 0, lines: 0, start_lines: 1 }
    }

    pub const fn trailers() -> Scan {
        Scan { scanned: 0, line: 0, lines: 0, start_lines: 0 }
    }

    /// Whether any byte has arrived.
    pub const fn started(&self) -> bool {
        self.scanned > 0
    }

    /// Field lines seen; once the end is found, all of them.
    pub const fn fields(&self) -> usize {
        self.lines.saturating_sub(self.start_lines) as usize
    }

    /// Go on looking. `input` starts at the section's first byte and holds at least what the last call was given.
    /// `Some` is the section's length, the empty line included.
    pub fn find_end(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, Fault> {
        let (judged, index) = (self.line as usize, self.lines);
        if self.lines < self.start_lines {
            check_start(&input[..input.len().min(START)])?;
        }
        let found = self.advance(input, limits);
        if !matches!(found, Ok(Some(_))) {
            // The end is not there (yet): judge what is complete now rather than when the rest has come.
            check_lines(&input[judged..self.line as usize], index, self.start_lines, limits.allow_obs_fold)?;
        }
        found
    }

    fn advance(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, Fault> {
        let (line_max, head_max) = (limits.line_max as usize, limits.head_max as usize);
        let seen = self.scanned as usize;
        let window = &input[..input.len().min(head_max)];
        count_work(window.len().saturating_sub(seen));
        let mut from = seen;
        while let Some(i) = window.get(from..).and_then(find_lf) {
            let (lf, line) = (from + i, self.line as usize);
            if lf - line >= line_max {
                return Err(Fault::LineTooLong);
            }
            let has_cr = lf > line && input[lf - 1] == b'\r';
            if !has_cr && !limits.allow_bare_lf {
                return Err(Fault::BareLf);
            }
            if self.lines >= self.start_lines {
                if lf - line == usize::from(has_cr) {
                    return Ok(Some(lf + 1));
                }
                if self.lines - self.start_lines >= limits.fields_max {
                    return Err(Fault::TooManyFields);
                }
            }
            from = lf + 1;
            self.line = from as u32;
            self.lines += 1;
        }
        // The line in progress meets the narrower of the two limits first.
        let line_end = (self.line as usize).saturating_add(line_max);
        if input.len() >= line_end.min(head_max) {
            return Err(if line_end <= head_max { Fault::LineTooLong } else { Fault::HeadTooLarge });
        }
        self.scanned = input.len() as u32;
        Ok(None)
    }
}

/// Parse a whole head, `fields` being what [`Scan::fields`] says, and lend it to `then`.
pub fn read<R>(bytes: &[u8], fields: usize, allow_fold: bool, then: impl FnOnce(&Head<'_>) -> R) -> Result<R, Fault> {
    let raw = bytes;
    let bytes = &*unfold(raw, 1, allow_fold);
    let line = find_lf(bytes).map_or(bytes, |lf| &bytes[..lf]);
    let (version, status, reason) = status_line(strip_cr(line))?;
    with_table(bytes, line.len() + 1, fields, |fields| then(&Head { version, status, reason, fields }))
        .ok_or_else(|| name_fault(raw, 1, allow_fold))
}

/// Parse the head at the front of `input` and lend it to `then` together with its length, if it is there as a whole,
/// within the limits, and every line of it ends in CRLF. `None` decides nothing: the head is then one for [`Scan`].
pub fn read_at_once<R>(input: &[u8], limits: &Limits, then: impl FnOnce(&Head<'_>, usize) -> R) -> Option<R> {
    let first = find_lf(input)? + 1;
    let (version, status, reason) = status_line(input[..first].strip_suffix(b"\r\n")?).ok()?;
    let mut table = [Field::default(); USUAL];
    let (n, len) = fill(input, first, &mut [httparse::EMPTY_HEADER; USUAL], &mut table)?;
    let table = &table[..n];
    // The parser lets a line end in LF alone. It takes no folded lines: one starts with its name, where the last ends.
    let mut line = 0;
    for end in table.iter().map(|field| field.name as usize).chain([len - 2, len]) {
        if end - line > limits.line_max as usize || !input[..end].ends_with(b"\r\n") {
            return None;
        }
        line = end;
    }
    if len > limits.head_max as usize || n > limits.fields_max as usize {
        return None;
    }
    Some(then(&Head { version, status, reason, fields: Fields { bytes: &input[..len], table } }, len))
}

/// Parse a whole trailer section.
pub fn read_trailers<R>(
    bytes: &[u8],
    fields: usize,
    allow_fold: bool,
    then: impl FnOnce(Fields<'_>) -> R,
) -> Result<R, Fault> {
    with_table(&unfold(bytes, 0, allow_fold), 0, fields, then).ok_or_else(|| name_fault(bytes, 0, allow_fold))
}

/// Replace each line end that a blank follows by spaces (RFC 9112 section 5.2), which keeps every offset.
/// Only a section with such a line end is copied. The first field line cannot be a continuation; it is left to be
/// refused.
fn unfold(bytes: &[u8], start_lines: u32, allow_fold: bool) -> Cow<'_, [u8]> {
    if !allow_fold || !bytes.windows(2).any(|w| w[0] == b'\n' && is_blank(w[1])) {
        return Cow::Borrowed(bytes);
    }
    let mut copy = bytes.to_vec();
    let first = if start_lines > 0 { find_lf(bytes).map_or(0, |lf| lf + 1) } else { 0 };
    for lf in first..copy.len() - 1 {
        if copy[lf] == b'\n' && is_blank(copy[lf + 1]) {
            copy[lf] = b' ';
            if lf > 0 && copy[lf - 1] == b'\r' {
                copy[lf - 1] = b' ';
            }
        }
    }
    Cow::Owned(copy)
}

/// The fault of a section that did not parse.
fn name_fault(bytes: &[u8], start_lines: u32, allow_fold: bool) -> Fault {
    check_lines(bytes, 0, start_lines, allow_fold).err().unwrap_or(Fault::FieldLine)
}

/// `None` for a section that does not parse.
fn with_table<R>(bytes: &[u8], start: usize, lines: usize, then: impl FnOnce(Fields<'_>) -> R) -> Option<R> {
    if lines <= USUAL {
        on_stack::<USUAL, R>(bytes, start, then)
    } else if lines <= WARM {
        on_stack::<WARM, R>(bytes, start, then)
    } else {
        let mut table = vec![Field::default(); lines];
        let (n, _) = fill(bytes, start, &mut vec![httparse::EMPTY_HEADER; lines], &mut table)?;
        Some(then(Fields { bytes, table: &table[..n] }))
    }
}

fn on_stack<const N: usize, R>(bytes: &[u8], start: usize, then: impl FnOnce(Fields<'_>) -> R) -> Option<R> {
    let mut table = [Field::default(); N];
    let (n, _) = fill(bytes, start, &mut [httparse::EMPTY_HEADER; N], &mut table)?;
    Some(then(Fields { bytes, table: &table[..n] }))
}

/// Parse field lines up to the empty line: how many there are, and where the next byte is.
fn fill<'b>(
    bytes: &'b [u8],
    start: usize,
    headers: &mut [httparse::Header<'b>],
    table: &mut [Field],
) -> Option<(usize, usize)> {
    let Ok(httparse::Status::Complete((len, parsed))) = httparse::parse_headers(&bytes[start..], headers) else {
        return None;
    };
    let base = bytes.as_ptr().addr();
    for (field, header) in table.iter_mut().zip(parsed) {
        let name = header.name.as_ptr().addr() - base;
        // An empty value may point anywhere.
        let value = match header.value {
            [] => name + header.name.len() + 1,
            value => value.as_ptr().addr() - base,
        };
        *field = Field {
            name: name as u32,
            name_len: header.name.len() as u32,
            value: value as u32,
            value_len: header.value.len() as u32,
        };
    }
    Some((parsed.len(), start + len))
}

/// Judge complete lines; `index` is the number of lines before them.
fn check_lines(mut bytes: &[u8], mut index: u32, start_lines: u32, allow_fold: bool) -> Result<(), Fault> {
    count_work(bytes.len());
    while let Some(lf) = find_lf(bytes) {
        let line = strip_cr(&bytes[..lf]);
        if index < start_lines {
            status_line(line)?;
        } else if !line.is_empty() {
            check_line(line, index == start_lines, allow_fold)?;
        }
        index += 1;
        bytes = &bytes[lf + 1..];
    }
    Ok(())
}

/// Judge one field line without its line end.
fn check_line(line: &[u8], first: bool, allow_fold: bool) -> Result<(), Fault> {
    let value = if is_blank(line[0]) {
        match (first, allow_fold) {
            (true, _) => return Err(Fault::FieldLine),
            (false, false) => return Err(Fault::ObsFold),
            (false, true) => line,
        }
    } else {
        let colon = line.iter().position(|&b| b == b':').ok_or(Fault::FieldLine)?;
        let name = &line[..colon];
        match name.iter().position(|&b| !is_token(b)) {
            None if colon == 0 => return Err(Fault::FieldLine),
            None => {}
            Some(i) if name[i..].iter().all(|&b| is_blank(b)) => return Err(Fault::SpaceBeforeColon),
            Some(_) => return Err(Fault::FieldLine),
        }
        &line[colon + 1..]
    };
    if all_text(value) { Ok(()) } else { Err(Fault::FieldByte) }
}

fn status_line(line: &[u8]) -> Result<(Version, u16, &[u8]), Fault> {
    check_start(&line[..line.len().min(START)])?;
    let Some(code) = line.get(9..12) else {
        return Err(if line.len() < 9 { Fault::StatusLine } else { Fault::StatusCode });
    };
    let status = code.iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0'));
    let reason = line.get(START..).unwrap_or_default();
    if !all_text(reason) {
        return Err(Fault::FieldByte);
    }
    // An unknown minor version is spoken to as 1.1 (RFC 9110 section 2.5).
    let version = if line[7] == b'0' { Version::Http10 } else { Version::Http11 };
    Ok((version, status, reason))
}

/// Judge the first bytes of a status line, as many of them as there are. The SP after the code may be missing
/// together with the reason phrase, as it is from many servers.
fn check_start(bytes: &[u8]) -> Result<(), Fault> {
    // As nearly all of them are.
    if let Some((b"HTTP/1.", [b'0'..=b'9', b' ', b'1'..=b'9', b'0'..=b'9', b'0'..=b'9', b' ', ..])) =
        bytes.split_first_chunk::<7>()
    {
        return Ok(());
    }
    for (i, &b) in bytes.iter().enumerate() {
        match i {
            0..=4 if b != b"HTTP/"[i] => return Err(Fault::StatusLine),
            5 if b.is_ascii_digit() && b != b'1' => return Err(Fault::Version),
            5 if b != b'1' => return Err(Fault::StatusLine),
            // `HTTP/10.1`
            6 if b.is_ascii_digit() => return Err(Fault::Version),
            6 if b != b'.' => return Err(Fault::StatusLine),
            7 if !b.is_ascii_digit() => return Err(Fault::StatusLine),
            8 if b != b' ' => return Err(Fault::StatusLine),
            9 if b == b'0' || !b.is_ascii_digit() => return Err(Fault::StatusCode),
            10 | 11 if !b.is_ascii_digit() => return Err(Fault::StatusCode),
            12 if b.is_ascii_digit() => return Err(Fault::StatusCode),
            12 if !matches!(b, b' ' | b'\r' | b'\n') => return Err(Fault::StatusLine),
            _ => {}
        }
    }
    Ok(())
}

fn strip_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(not(test))]
const fn count_work(_: usize) {}

#[cfg(test)]
use tests::count_work;

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        static WORK: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count_work(bytes: usize) {
        WORK.set(WORK.get() + bytes);
    }

    #[test]
    fn a_head_fed_byte_by_byte_is_scanned_once() {
        let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
        while head.len() < (300 << 10) - 200 {
            head.extend_from_slice(
                b"X-Filler: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n",
            );
        }
        head.extend_from_slice(b"\r\n");
        let limits = Limits::default();
        let mut scan = Scan::head();
        WORK.set(0);
        for n in 1..head.len() {
            assert_eq!(scan.find_end(&head[..n], &limits), Ok(None));
        }
        assert_eq!(scan.find_end(&head, &limits), Ok(Some(head.len())));
        // Once for the line ends and once for the judgement of each line.
        assert!(WORK.get() <= 2 * head.len(), "{} bytes looked at for a head of {}", WORK.get(), head.len());
    }

    /// The invariant that lets lines be judged before the parser sees them.
    #[test]
    fn the_line_check_accepts_what_the_parser_accepts() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let alphabet = b"aZ-:: \t\0\x7f\x80\xff\r(;,\"0";
        for _ in 0..200_000 {
            let mut line = Vec::new();
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let mut x = seed;
            for _ in 0..1 + seed % 9 {
                line.push(alphabet[(x % alphabet.len() as u64) as usize]);
                x /= alphabet.len() as u64;
            }
            let mine = check_line(&line, true, false).is_ok();
            let mut section = line.clone();
            section.extend_from_slice(b"\r\n\r\n");
            let mut table = [httparse::EMPTY_HEADER; 4];
            let theirs = matches!(
                httparse::parse_headers(&section, &mut table),
                Ok(httparse::Status::Complete((n, [_]))) if n == section.len()
            );
            assert_eq!(mine, theirs, "{:?}", section.escape_ascii().to_string());
        }
    }
}
