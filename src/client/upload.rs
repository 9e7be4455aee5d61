//! Where the bytes of a request body come from, and how far they have gone.

use super::websocket::Frame;
use crate::net::descriptors::Held;
use bytes::Bytes;
use std::collections::VecDeque;

/// The body of a request, as it was submitted.
#[derive(Debug)]
pub enum Source {
    None,
    /// In memory. `borrowed` memory is the application's until WRITE_DONE.
    Whole {
        bytes: Bytes,
        borrowed: bool,
    },
    /// A part of a file. The descriptor is a duplicate of the application's.
    File {
        fd: Held,
        offset: u64,
        len: u64,
    },
    /// Written piece by piece.
    Stream,
}

/// What a streamed upload brings.
#[derive(Debug)]
pub enum Piece {
    Bytes(Bytes),
    /// Of a WebSocket. Bytes are the rest of one then.
    Frame(Frame<Bytes>),
    End,
    /// The end, with an encoded trailer section.
    Trailers(Vec<u8>),
}

/// The upload of an exchange in progress.
#[derive(Debug)]
pub struct Upload {
    pub source: Source,
    /// Pieces of a stream that were not handed to the connection yet.
    pub pieces: VecDeque<Piece>,
    /// Bytes that were handed to the connection.
    pub taken: u64,
    /// Bytes of a stream that were handed to the connection and are still booked in the gate.
    pub handed: u64,
    /// Something was handed over since everything was out last, on a connection that is shared.
    pub unflushed: bool,
    /// The protocol knows that the body is complete.
    pub ended: bool,
    /// The head asked for 100-continue, and the body is held back.
    pub held: bool,
    /// WRITE_DONE is due when the connection has sent everything.
    pub owes_write_done: bool,
    /// WRITE_DONE was given: the memory is the application's again and must not be read any more.
    pub returned: bool,
}

impl Upload {
    pub fn new(source: Source, held: bool) -> Upload {
        let owes_write_done = matches!(source, Source::Whole { borrowed: true, .. });
        let ended = matches!(source, Source::None);
        Upload {
            source,
            pieces: VecDeque::new(),
            taken: 0,
            handed: 0,
            unflushed: false,
            ended,
            held,
            owes_write_done,
            returned: false,
        }
    }

    /// Whether it can be sent again from the start.
    pub fn rewindable(&self) -> bool {
        match self.source {
            Source::None | Source::Whole { .. } | Source::File { .. } => !self.returned,
            Source::Stream => self.taken == 0 && !self.ended,
        }
    }

    /// What waits of a WebSocket is not sent any more, but for a frame that has begun.
    pub fn drop_frames(&mut self) {
        self.pieces.retain(|piece| matches!(piece, Piece::Bytes(_)));
    }

    pub fn rewind(&mut self, held: bool) {
        self.ended = matches!(self.source, Source::None);
        self.taken = 0;
        self.unflushed = false;
        self.held = held;
    }
}
