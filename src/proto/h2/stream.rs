//! One stream: what is left to send of its request, and how far its answer has come.
//!
//! Whatever the crate has of an answer is taken from it at once; what the sink has no credit for is held here. So the crate
//! holds nothing that it would count against a peer, and the connection's window can be kept open for the others
//! ([`super::H2`] adds what is held). What the sink took is released to the peer.

use super::Limits;
use super::head::Flat;
use super::pipe::StreamWaker;
use crate::proto::{Data, Fault, Follows, Sink, StreamKey};
use ::h2::client::ResponseFuture;
use ::h2::{RecvStream, SendStream};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// What one stream asks of the peer's window at a time, so that it does not take all of the connection's.
const RESERVE: usize = 128 << 10;
/// Shorter pieces that have to be held are put together, in pieces of about that much.
const SHORT: usize = 4 << 10;
const TOGETHER: usize = 16 << 10;

/// What of a request decides what its answer means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    Plain,
    Head,
    Connect,
}

pub enum Answer {
    Awaited(ResponseFuture),
    Body(RecvStream),
    /// Read to its end by us; some of it may be held.
    Whole(Option<http::HeaderMap>),
}

/// What came of advancing a stream.
pub enum Told {
    Pending,
    End,
    /// The peer has closed its side of a tunnel, and ours is open.
    HalfClosed,
    Failed(::h2::Error),
    /// The peer gave a half-closed tunnel up; or the connection has ended, which is told elsewhere.
    Reset(u32),
    /// It breaks a limit of ours.
    Broken(Fault),
}

/// Received, and not passed on for want of credit.
#[derive(Default)]
struct Held {
    pieces: VecDeque<Bytes>,
    /// Behind them, short ones.
    short: BytesMut,
    len: usize,
}

impl Held {
    fn push(&mut self, data: Bytes) {
        self.len += data.len();
        if data.len() < SHORT {
            self.short.extend_from_slice(&data);
            if self.short.len() < TOGETHER {
                return;
            }
        }
        if !self.short.is_empty() {
            self.pieces.push_back(self.short.split().freeze());
        }
        if data.len() >= SHORT {
            self.pieces.push_back(data);
        }
    }

    /// What was popped last, and not all taken.
    fn put_back(&mut self, data: Bytes) {
        self.len += data.len();
        self.pieces.push_front(data);
    }

    fn pop(&mut self, max: usize) -> Option<Bytes> {
        if self.pieces.is_empty() && !self.short.is_empty() {
            self.pieces.push_back(std::mem::take(&mut self.short).freeze());
        }
        let front = self.pieces.front_mut()?;
        let piece = if front.len() <= max { self.pieces.pop_front()? } else { front.split_to(max) };
        self.len -= piece.len();
        Some(piece)
    }
}

pub struct Stream {
    pub send: SendStream<Bytes>,
    pub answer: Answer,
    held: Held,
    /// The owner found no room for its body.
    wants_room: bool,
    /// Our side is closed.
    pub sent: bool,
    /// The peer's side of a tunnel is closed, and the sink knows.
    pub half_closed: bool,
    asked: Asked,
    tunnel: bool,
    informational: u32,
    released: usize,
}

impl Stream {
    pub fn new(send: SendStream<Bytes>, response: ResponseFuture, sent: bool, asked: Asked) -> Stream {
        let answer = Answer::Awaited(response);
        Stream {
            send,
            answer,
            held: Held::default(),
            wants_room: false,
            sent,
            half_closed: false,
            asked,
            tunnel: false,
            informational: 0,
            released: 0,
        }
    }

    /// Bytes that wait for credit.
    pub fn held(&self) -> usize {
        self.held.len
    }

    /// Bytes that were released since the last call.
    pub fn take_released(&mut self) -> usize {
        std::mem::take(&mut self.released)
    }

    /// The final head was passed on.
    pub fn answered(&self) -> bool {
        !matches!(self.answer, Answer::Awaited(_))
    }

    /// Ask for room for more of the body, or give back what is not wanted now.
    pub fn reserve(&mut self, flag: &Arc<StreamWaker>, wants: bool) {
        self.send.reserve_capacity(if wants { RESERVE } else { 0 });
        let waits = wants && self.send.capacity() == 0;
        if waits && !self.wants_room {
            // Polled once, so that the crate knows whom to wake.
            flag.wake_by_ref();
        }
        self.wants_room = waits;
    }

    pub fn advance(
        &mut self,
        s: StreamKey,
        waker: &Waker,
        flat: &mut Flat,
        limits: &Limits,
        sink: &mut impl Sink,
    ) -> Told {
        let cx = &mut Context::from_waker(waker);
        // The outcome is asked for below; this leaves our waker for the next change.
        while self.wants_room && matches!(self.send.poll_capacity(cx), Poll::Ready(Some(Ok(_)))) {
            if self.send.capacity() > 0 {
                self.wants_room = false;
                sink.writable(s);
            }
        }
        if matches!(self.answer, Answer::Awaited(_))
            && let Some(told) = self.head(s, cx, flat, limits, sink)
        {
            return told;
        }
        loop {
            self.pass_on(s, sink);
            let Answer::Body(body) = &mut self.answer else { break };
            match body.poll_data(cx) {
                Poll::Pending => return Told::Pending,
                // The error comes behind what came before it.
                Poll::Ready(Some(Err(_))) if self.held.len > 0 => return Told::Pending,
                Poll::Ready(Some(Err(e))) => return Told::Failed(e),
                Poll::Ready(Some(Ok(data))) => self.take(s, data, sink),
                Poll::Ready(None) => match body.poll_trailers(cx) {
                    Poll::Pending => return Told::Pending,
                    Poll::Ready(Err(e)) => return Told::Failed(e),
                    Poll::Ready(Ok(trailers)) => self.answer = Answer::Whole(trailers),
                },
            }
        }
        if self.held.len > 0 {
            return Told::Pending;
        }
        if self.half_closed {
            if self.sent {
                return Told::Pending;
            }
            return match self.send.poll_reset(cx) {
                Poll::Pending => Told::Pending,
                Poll::Ready(Ok(reason)) => Told::Reset(reason.into()),
                Poll::Ready(Err(e)) => Told::Failed(e),
            };
        }
        if let Answer::Whole(Some(trailers)) = &self.answer {
            match flat.fields(trailers, limits) {
                Ok(fields) => sink.trailers(s, fields),
                Err(Fault::LineTooLong | Fault::HeadTooLarge | Fault::TooManyFields) => {
                    return Told::Broken(Fault::TrailersTooLarge);
                }
                Err(fault) => return Told::Broken(fault),
            }
        }
        if self.tunnel && !self.sent {
            // A reset is still to be heard of.
            self.half_closed = true;
            waker.wake_by_ref();
            return Told::HalfClosed;
        }
        Told::End
    }

    /// The head, and those before it. `None` once it was passed on.
    fn head(
        &mut self,
        s: StreamKey,
        cx: &mut Context<'_>,
        flat: &mut Flat,
        limits: &Limits,
        sink: &mut impl Sink,
    ) -> Option<Told> {
        let Answer::Awaited(response) = &mut self.answer else { return None };
        // Before the response itself, which would skip them.
        while let Poll::Ready(Some(informational)) = response.poll_informational(cx) {
            let info = match informational {
                Ok(info) => info,
                Err(e) => return Some(Told::Failed(e)),
            };
            self.informational += 1;
            if self.informational > limits.informational_max {
                return Some(Told::Broken(Fault::TooManyInformational));
            }
            // RFC 9113 section 8.6.
            if info.status() == http::StatusCode::SWITCHING_PROTOCOLS {
                return Some(Told::Broken(Fault::UnsolicitedUpgrade));
            }
            match flat.head(info.status().as_u16(), info.headers(), limits) {
                Ok(head) => sink.informational(s, &head),
                Err(fault) => return Some(Told::Broken(fault)),
            }
        }
        let (head, body) = match Pin::new(response).poll(cx) {
            Poll::Pending => return Some(Told::Pending),
            Poll::Ready(Err(e)) => return Some(Told::Failed(e)),
            Poll::Ready(Ok(response)) => response.into_parts(),
        };
        let length = head.headers.get(http::header::CONTENT_LENGTH);
        self.tunnel = self.asked == Asked::Connect && head.status.is_success();
        let follows = match length.and_then(|v| v.to_str().ok()?.parse().ok()) {
            _ if self.tunnel => Follows::Tunnel,
            _ if body.is_end_stream() => Follows::Nothing,
            // Its end is still to come, and no byte before it.
            _ if self.asked == Asked::Head => Follows::Unknown,
            Some(0) | None => Follows::Unknown,
            Some(length) => Follows::Length(length),
        };
        match flat.head(head.status.as_u16(), &head.headers, limits) {
            Ok(head) => sink.head(s, &head, follows),
            Err(fault) => return Some(Told::Broken(fault)),
        }
        self.answer = Answer::Body(body);
        None
    }

    /// A piece arrived: to the sink as far as its credit goes, and the rest is held.
    fn take(&mut self, s: StreamKey, mut data: Bytes, sink: &mut impl Sink) {
        if self.held.len == 0 && self.tunnel {
            let n = sink.stream(s, Data::Owned(data.clone()));
            self.release(n);
            data = data.split_off(n);
        } else if self.held.len == 0 {
            let n = sink.credit(s).min(data.len() as u64) as usize;
            if n > 0 {
                let piece = data.split_to(n);
                self.release(n);
                sink.data(s, Data::Owned(piece));
            }
        }
        if !data.is_empty() {
            self.held.push(data);
        }
    }

    /// What is held goes to the sink, as far as its credit goes.
    fn pass_on(&mut self, s: StreamKey, sink: &mut impl Sink) {
        while self.tunnel
            && let Some(mut piece) = self.held.pop(usize::MAX)
        {
            let n = sink.stream(s, Data::Owned(piece.clone()));
            self.release(n);
            let rest = piece.split_off(n);
            if !rest.is_empty() {
                self.held.put_back(rest);
            }
            // The sink knows now that there is more than it wants.
            if n == 0 {
                return;
            }
        }
        while self.held.len > 0 {
            let n = usize::try_from(sink.credit(s)).unwrap_or(usize::MAX);
            let Some(piece) = (n > 0).then(|| self.held.pop(n)).flatten() else { return };
            self.release(piece.len());
            sink.data(s, Data::Owned(piece));
        }
    }

    fn release(&mut self, n: usize) {
        if let Answer::Body(body) = &mut self.answer {
            self.released += n;
            let released = body.flow_control().release_capacity(n);
            debug_assert!(released.is_ok(), "no more than was received");
        }
    }
}
