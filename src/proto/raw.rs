//! No protocol at all: the bytes of a connection as they are, both ways, each side closed for itself.

use super::{Cancelled, Data, Eof, Fault, Out, Protocol, RequestRef, Sink, StreamKey, Tick};
use bytes::Bytes;

/// The one stream of a raw connection.
pub const STREAM: StreamKey = StreamKey(1);

/// Open in both directions from the start; nothing is to be said first.
#[derive(Debug, Default)]
pub struct Raw {
    ended: bool,
}

impl Protocol for Raw {
    fn capacity(&self) -> u32 {
        0
    }

    fn open(&mut self, _: Tick, _: &RequestRef<'_>, _: &mut Out) -> Result<StreamKey, Fault> {
        Ok(STREAM)
    }

    fn body_room(&self, _: StreamKey) -> u64 {
        if self.ended { 0 } else { u64::MAX }
    }

    fn body(&mut self, _: StreamKey, chunk: Bytes, end: bool, out: &mut Out) -> Result<(), Fault> {
        out.put_owned(chunk);
        if end {
            self.ended = true;
            out.finish();
        }
        Ok(())
    }

    fn body_trailers(&mut self, _: StreamKey, _: &[u8], _: &mut Out) -> Result<(), Fault> {
        Err(Fault::BodyLength)
    }

    fn recv(&mut self, _: Tick, input: &[u8], sink: &mut impl Sink, _: &mut Out) -> Result<usize, Fault> {
        let mut at = 0;
        while at < input.len() {
            let n = sink.credit(STREAM).min((input.len() - at) as u64) as usize;
            if n == 0 {
                break;
            }
            sink.data(STREAM, Data::Input(at..at + n));
            at += n;
        }
        Ok(at)
    }

    fn unsaid(&self) -> bool {
        false
    }

    fn eof(&mut self, _: Tick, how: Eof, sink: &mut impl Sink) -> Result<(), Fault> {
        match how {
            Eof::Clean => {
                sink.end(STREAM);
                Ok(())
            }
            Eof::Cut => Err(Fault::TruncatedBody),
        }
    }

    fn credit(&mut self, _: StreamKey, _: &mut Out) {}

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
