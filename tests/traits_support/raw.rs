//! A stream without HTTP as a protocol: what an engine needs for TCP through its own sockets, and what a protocol that
//! starts TLS midway (SMTP, IMAP, PostgreSQL) looks like to it.

use bytes::Bytes;
use chttpcore::proto::{BodyLen, Cancelled, Data, Eof, Fault, Out, Protocol, RequestRef, Sink, StreamKey, Tick};

pub const STREAM: StreamKey = StreamKey(1);

/// Open in both directions from the start; there is no head, and `open` is not called.
#[derive(Debug, Default)]
pub struct Raw {
    heard_end: bool,
    said_end: bool,
}

impl Protocol for Raw {
    fn capacity(&self) -> u32 {
        0
    }

    fn open(&mut self, _: Tick, request: &RequestRef<'_>, _: &mut Out) -> Result<StreamKey, Fault> {
        debug_assert_eq!(request.body, BodyLen::Unknown);
        Ok(STREAM)
    }

    fn body_room(&self, _: StreamKey) -> u64 {
        if self.said_end { 0 } else { u64::MAX }
    }

    fn body(&mut self, _: StreamKey, chunk: Bytes, end: bool, out: &mut Out) -> Result<(), Fault> {
        out.put_owned(chunk);
        if end {
            self.said_end = true;
            out.finish();
        }
        Ok(())
    }

    fn body_trailers(&mut self, _: StreamKey, _: &[u8], _: &mut Out) -> Result<(), Fault> {
        Err(Fault::BodyLength)
    }

    fn recv(&mut self, _: Tick, input: &[u8], sink: &mut impl Sink, _: &mut Out) -> Result<usize, Fault> {
        let n = sink.credit(STREAM).min(input.len() as u64) as usize;
        if n > 0 {
            sink.data(STREAM, Data::Input(0..n));
        }
        Ok(n)
    }

    fn unsaid(&self) -> bool {
        false
    }

    fn eof(&mut self, _: Tick, how: Eof, sink: &mut impl Sink) -> Result<(), Fault> {
        self.heard_end = true;
        match how {
            Eof::Clean => sink.end(STREAM),
            Eof::Cut => return Err(Fault::TruncatedBody),
        }
        Ok(())
    }

    fn credit(&mut self, _: StreamKey, _: u64, _: &mut Out) {}

    fn cancel(&mut self, _: StreamKey, _: &mut Out) -> Cancelled {
        Cancelled::Close
    }

    fn deadline(&self) -> Tick {
        Tick::NEVER
    }

    fn on_deadline(&mut self, _: Tick, _: &mut Out) -> Result<(), Fault> {
        Ok(())
    }

    fn reusable(&self) -> bool {
        false
    }
}
