//! What the `h2` crate takes for a socket, and for a runtime: two lists of bytes, and wakers that leave a note.
//!
//! - While the crate is polled, the owner's `Out` stands in the pipe, and what the crate writes lands there.
//! - Of a body's bytes the crate knows slices only; the pipe finds the owner's `Bytes` behind them, so that they are not
//!   copied.
//! - A woken stream puts its key on a list, so that only those on the list are polled.

use crate::proto::Out;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Shorter pieces of a body are copied.
pub const OWNED_FROM: usize = 256;
/// Room for input that is kept from use to use.
const ROOM_MAX: usize = 128 << 10;

/// What the crate is to read: pieces that are kept where they came, and behind them short ones, copied together.
#[derive(Debug, Default)]
pub struct Input {
    kept: VecDeque<Bytes>,
    copied: BytesMut,
}

impl Input {
    pub fn copy(&mut self, bytes: &[u8]) {
        self.copied.extend_from_slice(bytes);
    }

    pub fn keep(&mut self, bytes: Bytes) {
        if !self.copied.is_empty() {
            self.kept.push_back(self.copied.split().freeze());
        }
        self.kept.push_back(bytes);
    }

    fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.copied.is_empty()
    }

    fn read(&mut self, into: &mut ReadBuf<'_>) {
        while let Some(piece) = self.kept.front_mut() {
            let n = into.remaining().min(piece.len());
            into.put_slice(&piece.split_to(n));
            if !piece.is_empty() {
                return;
            }
            self.kept.pop_front();
        }
        let n = into.remaining().min(self.copied.len());
        into.put_slice(&self.copied[..n]);
        self.copied.advance(n);
    }
}

#[derive(Debug, Default)]
pub struct Pipe {
    pub input: Input,
    pub eof: bool,
    pub out: Out,
    /// Pieces of bodies that the crate is about to write.
    pub bodies: Vec<Bytes>,
}

impl Pipe {
    fn put(&mut self, bytes: &[u8]) {
        if bytes.len() >= OWNED_FROM {
            let within = |body: &&Bytes| {
                let (body, bytes) = (body.as_ptr_range(), bytes.as_ptr_range());
                body.start <= bytes.start && bytes.end <= body.end
            };
            if let Some(body) = self.bodies.iter().find(within) {
                return self.out.put_owned(body.slice_ref(bytes));
            }
        }
        self.out.put(bytes);
    }

    /// Everything was read: no more room is kept than is needed most of the time.
    pub fn tidy(&mut self) {
        if self.input.is_empty() && self.input.copied.capacity() > ROOM_MAX {
            self.input.copied = BytesMut::new();
        }
    }
}

/// The lock is never contended; it is there because an engine moves between threads.
#[derive(Clone, Debug, Default)]
pub struct MemIo(Arc<Mutex<Pipe>>);

impl MemIo {
    pub fn pipe(&self) -> MutexGuard<'_, Pipe> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for MemIo {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.pipe();
        if pipe.input.is_empty() && !pipe.eof {
            // Nobody is to be woken: the owner polls when it has fed.
            return Poll::Pending;
        }
        pipe.input.read(into);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MemIo {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.pipe().put(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, _: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut pipe = self.pipe();
        bufs.iter().for_each(|buf| pipe.put(buf));
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe().out.finish();
        Poll::Ready(Ok(()))
    }
}

/// What was woken since the last poll.
#[derive(Debug, Default)]
pub struct Woken {
    pub conn: AtomicBool,
    streams: Mutex<Vec<u32>>,
    any: AtomicBool,
}

impl Woken {
    pub fn is_empty(&self) -> bool {
        !self.conn.load(Ordering::Acquire) && !self.any.load(Ordering::Acquire)
    }

    fn add(&self, key: u32) {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).push(key);
        self.any.store(true, Ordering::Release);
    }

    /// Those that were woken; `keys` is empty, and its room is used for the next ones.
    pub fn take(&self, keys: &mut Vec<u32>) {
        if self.any.swap(false, Ordering::AcqRel) {
            std::mem::swap(keys, &mut *self.streams.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.conn.store(true, Ordering::Release);
    }
}

/// The waker of a place for a stream. A stream that comes after another in its place may be woken once too often, which is
/// no harm.
#[derive(Debug)]
pub struct StreamWaker {
    key: u32,
    queued: AtomicBool,
    woken: Arc<Woken>,
}

impl StreamWaker {
    pub fn new(key: u32, woken: &Arc<Woken>) -> Arc<StreamWaker> {
        Arc::new(StreamWaker { key, queued: AtomicBool::new(false), woken: woken.clone() })
    }

    /// It is about to be polled.
    pub fn clear(&self) {
        self.queued.store(false, Ordering::Release);
    }
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.woken.add(self.key);
        }
    }
}
