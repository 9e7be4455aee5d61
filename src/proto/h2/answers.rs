//! What a stream is told: heads, bodies, trailers, and its end (RFC 9113 section 8).
//!
//! What the sink has no credit for is held, so that no stream stops another; the stream ends when that was passed on.

use super::H2;
use super::frame::code;
use super::head::{self, Asked};
use super::held::Held;
use super::hpack::Section;
use super::streams::{Ending, Stream, Trailers};
use crate::proto::{Data, Fault, Fields, Follows, Head, Sink, StreamKey, Version};
use bytes::Bytes;
use std::ops::Range;

impl H2 {
    /// A field section of a stream.
    pub(super) fn fields(&mut self, key: u32, section: &mut Section, ends: bool, sink: &mut impl Sink) {
        if self.streams.get(key).is_some_and(|stream| stream.answered) {
            self.trailers(key, section, ends, sink);
        } else {
            self.head(key, section, ends, sink);
        }
    }

    fn head(&mut self, key: u32, section: &mut Section, ends: bool, sink: &mut impl Sink) {
        let s = StreamKey(key);
        if let Some(fault) = section.over() {
            return self.break_off(key, code::CANCEL, fault, sink);
        }
        let Some(answer) = head::answer(section) else { return self.malformed(key, sink) };
        let Some(stream) = self.streams.get_mut(key) else { return };
        // Without `:status`, which is the first.
        let fields = Fields { bytes: &section.bytes, table: &section.table[1..] };
        let head = Head { version: Version::Http2, status: answer.status, reason: b"", fields };
        if answer.status < 200 {
            stream.informational += 1;
            return if ends {
                self.malformed(key, sink)
            } else if stream.informational > self.limits.informational_max {
                self.break_off(key, code::CANCEL, Fault::TooManyInformational, sink)
            } else if answer.status == 101 {
                // RFC 9113 section 8.6.
                self.break_off(key, code::CANCEL, Fault::UnsolicitedUpgrade, sink)
            } else {
                sink.informational(s, &head)
            };
        }
        stream.answered = true;
        stream.tunnel = stream.asked == Asked::Connect && matches!(answer.status, 200..=299);
        let has_body = !(stream.asked == Asked::Head || matches!(answer.status, 204 | 304));
        let follows = match answer.length {
            _ if stream.tunnel => Follows::Tunnel,
            _ if ends => Follows::Nothing,
            // Its end is still to come, and no byte before it.
            _ if !has_body => Follows::Unknown,
            Some(0) | None => Follows::Unknown,
            Some(length) => Follows::Length(length),
        };
        stream.left = match answer.length {
            _ if stream.tunnel => None,
            _ if !has_body => Some(0),
            length => length,
        };
        if ends && stream.left.is_some_and(|left| left > 0) {
            return self.malformed(key, sink);
        }
        sink.head(s, &head, follows);
        if ends {
            self.ended(key, None, sink);
        }
    }

    fn trailers(&mut self, key: u32, section: &mut Section, ends: bool, sink: &mut impl Sink) {
        if section.over().is_some() {
            return self.break_off(key, code::CANCEL, Fault::TrailersTooLarge, sink);
        }
        // A tunnel has bytes and no fields (section 8.5).
        let misplaced = |stream: &Stream| stream.tunnel || stream.left.is_some_and(|left| left > 0);
        if !ends || self.streams.get(key).is_none_or(misplaced) || !head::are_trailers(section) {
            return self.malformed(key, sink);
        }
        self.ended(key, Some(section.fields()), sink);
    }

    /// A piece of a body arrived.
    pub(super) fn deliver(&mut self, key: u32, input: &[u8], range: Range<usize>, sink: &mut impl Sink) {
        self.received += range.len() as u64;
        if !self.deaf {
            self.tokens.useful(range.len());
        }
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Range { mut start, end } = range;
        while start < end && stream.held() == 0 {
            let n = pass(stream, key, Data::Input(start..end), sink);
            if n == 0 {
                break;
            }
            start += n;
        }
        if start == end {
            return;
        }
        let len = end - start;
        self.held += len;
        // What is kept may pin four times its own size, and the sink's memory around it.
        let kept = if Held::copies(len) || len < input.len() / 4 { None } else { self.kept(input, sink) };
        let Some(held) = self.streams.get_mut(key).map(|stream| stream.held.get_or_insert_default()) else { return };
        match kept {
            Some(bytes) => held.keep(bytes.slice(start..end)),
            None => held.copy(&input[start..end]),
        }
    }

    /// DATA was read to its end.
    pub(super) fn data_read(&mut self, key: u32, ends: bool, sink: &mut impl Sink) {
        let Some(stream) = self.streams.get(key) else { return };
        if !ends {
            self.look_at_window(key);
        } else if stream.left.is_some_and(|left| left > 0) {
            self.malformed(key, sink);
        } else {
            self.ended(key, None, sink);
        }
    }

    /// Credit came back: what is held goes to the sink, as far as that goes.
    pub(super) fn pass_on(&mut self, key: u32, sink: &mut impl Sink) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        while let Some(piece) = stream.held.as_mut().and_then(|held| held.front(usize::MAX)) {
            let n = pass(stream, key, Data::Owned(piece), sink);
            if n == 0 {
                break;
            }
            self.held -= n;
            stream.held.iter_mut().for_each(|held| held.taken(n));
        }
        if stream.held() > 0 {
            return self.look_at_window(key);
        }
        stream.held = None;
        match stream.ending.take() {
            None => self.look_at_window(key),
            Some(Ending::Failed(fault)) => {
                self.forget(key);
                sink.failed(StreamKey(key), fault);
            }
            Some(Ending::Whole(trailers)) => {
                let fields = trailers.as_ref().map(|t| Fields { bytes: &t.bytes, table: &t.table });
                self.conclude(key, fields, sink);
            }
        }
    }

    /// The peer has closed its side.
    fn ended(&mut self, key: u32, trailers: Option<Fields<'_>>, sink: &mut impl Sink) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.heard = true;
        if stream.held() == 0 {
            return self.conclude(key, trailers, sink);
        }
        let owned = trailers.map(|t| Box::new(Trailers { bytes: t.bytes.to_vec(), table: t.table.to_vec() }));
        stream.ending = Some(Ending::Whole(owned));
    }

    /// Everything of an answer was passed on but its end.
    fn conclude(&mut self, key: u32, trailers: Option<Fields<'_>>, sink: &mut impl Sink) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let s = StreamKey(key);
        if let Some(fields) = trailers {
            sink.trailers(s, fields);
        }
        if stream.tunnel && !stream.sent {
            stream.half_closed = true;
        } else {
            // What is left of the request is of no use any more.
            if !stream.sent {
                self.wire.reset(stream.id, code::CANCEL);
            }
            self.forget(key);
        }
        sink.end(s);
    }

    /// The peer has reset a stream.
    pub(super) fn reset(&mut self, key: u32, code: u32, sink: &mut impl Sink) {
        let was_answered = self.streams.get(key).is_some_and(|stream| stream.answered);
        let fault = if code == code::REFUSED_STREAM && !was_answered {
            Fault::Unprocessed(code)
        } else {
            Fault::StreamReset(code)
        };
        self.abandoned(key, fault, sink);
    }

    /// The peer has nothing more to do with a stream.
    pub(super) fn abandoned(&mut self, key: u32, fault: Fault, sink: &mut impl Sink) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        // An answer that is whole is not worth less for it, nor is a tunnel that both have closed.
        if stream.heard && (!stream.tunnel || stream.sent) {
            stream.sent = true;
            return self.ungrant(key);
        }
        self.fail(key, fault, sink);
    }

    /// A message breaks the rules (section 8.1.1).
    pub(super) fn malformed(&mut self, key: u32, sink: &mut impl Sink) {
        self.break_off(key, code::PROTOCOL_ERROR, Fault::Message(code::PROTOCOL_ERROR), sink);
    }

    /// A stream breaks a rule or a limit: reset it, with this code.
    pub(super) fn break_off(&mut self, key: u32, code: u32, fault: Fault, sink: &mut impl Sink) {
        if let Some(stream) = self.streams.get(key) {
            self.wire.reset(stream.id, code);
            self.expect_stale(key);
            self.fail(key, fault, sink);
        }
    }

    /// A stream is over on both sides. Its end comes behind what came before it.
    fn fail(&mut self, key: u32, fault: Fault, sink: &mut impl Sink) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if stream.held() == 0 {
            self.forget(key);
            return sink.failed(StreamKey(key), fault);
        }
        (stream.heard, stream.sent) = (true, true);
        stream.ending = Some(Ending::Failed(fault));
        let id = stream.id;
        self.ungrant(key);
        self.streams.unlink(id);
        self.reading.forget(key);
    }

    /// The input as something to hold on to, made once for each.
    fn kept(&mut self, input: &[u8], sink: &mut impl Sink) -> Option<Bytes> {
        if self.input.is_none() {
            self.input = sink.keep(input);
        }
        self.input.clone()
    }
}

/// Hand bytes to the sink. How many it took.
fn pass(stream: &Stream, key: u32, data: Data, sink: &mut impl Sink) -> usize {
    let s = StreamKey(key);
    if stream.tunnel {
        return sink.stream(s, data);
    }
    let credit = sink.credit(s);
    sink.data_within(s, data, credit)
}
