//! HTTP/2 behind `Protocol`: the `h2` crate on two byte pipes in memory, without a runtime.
//!
//! - Output: while the crate is polled, the owner's `Out` stands in the pipe, and what the crate writes lands there. Of a
//!   body's bytes the crate knows only slices; the pipe finds the owner's `Bytes` behind them, so that they are not copied.
//! - Input is copied into the pipe once, since the crate reads from what it owns; DATA leaves it as `Bytes` without a copy.
//! - One waker for the connection, one for each stream: a woken stream puts its key on a list, and only those on the list
//!   are polled.
//! - The sink's credit decides what is passed on; what was passed on is released to the peer by `credit`.
//! - A stream whose response has ended is forgotten: what was left of its request is not sent (the crate resets it).

use ::h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use ::h2::{Reason, RecvStream, SendStream};
use bytes::{Buf, Bytes, BytesMut};
use chttpcore::proto::{
    BodyLen, Cancelled, Data, Eof, Fault, Field, Fields, Follows, Head, Out, Protocol, RequestRef, Sink, StreamKey,
    Tick, Version,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What one stream may ask of the peer's window at a time, so that it does not take all of the connection's.
const RESERVE: usize = 64 << 10;
/// Shorter pieces of a body are copied.
const OWNED_FROM: usize = 256;
/// Rounds of one call: then others get their turn, and `unsaid` brings us back.
const ROUNDS: usize = 64;

#[derive(Default)]
struct Pipe {
    input: BytesMut,
    eof: bool,
    out: Out,
    /// Pieces of bodies that the crate may still have to write, with their streams.
    bodies: VecDeque<(u32, Bytes)>,
}

/// The lock is never contended; it is there because an engine moves between threads.
#[derive(Clone, Default)]
struct MemIo(Arc<Mutex<Pipe>>);

impl MemIo {
    fn with<T>(&self, f: impl FnOnce(&mut Pipe) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }
}

impl AsyncRead for MemIo {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(|pipe| {
            if pipe.input.is_empty() && !pipe.eof {
                // Nobody is to be woken: the owner polls when it has fed.
                return Poll::Pending;
            }
            let n = into.remaining().min(pipe.input.len());
            into.put_slice(&pipe.input[..n]);
            pipe.input.advance(n);
            Poll::Ready(Ok(()))
        })
    }
}

impl AsyncWrite for MemIo {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|pipe| pipe.put(bytes));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, _: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.with(|pipe| bufs.iter().for_each(|buf| pipe.put(buf)));
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|pipe| pipe.out.finish());
        Poll::Ready(Ok(()))
    }
}

impl Pipe {
    fn put(&mut self, bytes: &[u8]) {
        if bytes.len() >= OWNED_FROM {
            let within = |body: &Bytes| {
                let (body, bytes) = (body.as_ptr_range(), bytes.as_ptr_range());
                body.start <= bytes.start && bytes.end <= body.end
            };
            if let Some((_, body)) = self.bodies.iter().find(|(_, body)| within(body)) {
                return self.out.put_owned(body.slice_ref(bytes));
            }
        }
        self.out.put(bytes);
    }
}

#[derive(Default)]
struct Woken {
    conn: AtomicBool,
    streams: Mutex<Vec<u32>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.conn.store(true, Ordering::Release);
    }
}

struct StreamWaker {
    key: u32,
    queued: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.woken.streams.lock().unwrap().push(self.key);
        }
    }
}

enum Answer {
    Awaited(ResponseFuture),
    Body(RecvStream),
}

struct Stream {
    send: SendStream<Bytes>,
    answer: Answer,
    /// Received, and not passed on for want of credit.
    held: Bytes,
    /// Passed on, and not released to the peer.
    owed: usize,
    /// The owner found no room for its body.
    wants_room: bool,
    connect: bool,
    flag: Arc<StreamWaker>,
    waker: Waker,
}

/// What came of polling a stream.
enum Told {
    Pending,
    End,
    Failed(::h2::Error),
}

pub struct H2 {
    io: MemIo,
    send: SendRequest<Bytes>,
    conn: Connection<MemIo, Bytes>,
    woken: Arc<Woken>,
    waker: Waker,
    streams: BTreeMap<u32, Stream>,
    flat: Flat,
    /// The crate's connection has ended; so, if it was a fault.
    over: Option<Option<Fault>>,
}

impl Default for H2 {
    fn default() -> H2 {
        H2::new()
    }
}

impl H2 {
    pub fn new() -> H2 {
        let io = MemIo::default();
        let mut builder = Builder::new();
        builder.enable_push(false).initial_max_send_streams(100).max_header_list_size(256 << 10);
        builder.initial_window_size(1 << 20).initial_connection_window_size(4 << 20);
        let handshake = pin!(builder.handshake::<_, Bytes>(io.clone()));
        let Poll::Ready(Ok((send, conn))) = handshake.poll(&mut Context::from_waker(Waker::noop())) else {
            unreachable!("the preface goes to memory");
        };
        let woken = Arc::new(Woken { conn: AtomicBool::new(true), streams: Mutex::default() });
        let waker = Waker::from(woken.clone());
        H2 { io, send, conn, woken, waker, streams: BTreeMap::new(), flat: Flat::default(), over: None }
    }

    /// Let the crate read what is in the pipe and write what is queued. It must follow everything that queues a frame.
    fn poll(&mut self, out: &mut Out) {
        if self.over.is_some() {
            return;
        }
        self.io.with(|pipe| {
            // The preface was written when there was no `out`.
            pipe.out.drain_after(0, |bytes| out.put_owned(bytes));
            std::mem::swap(&mut pipe.out, out);
        });
        self.woken.conn.store(false, Ordering::Release);
        let polled = Pin::new(&mut self.conn).poll(&mut Context::from_waker(&self.waker));
        self.io.with(|pipe| {
            std::mem::swap(&mut pipe.out, out);
            pipe.bodies.retain(|(_, body)| !body.is_unique());
        });
        if let Poll::Ready(ended) = polled {
            self.over = Some(ended.err().map(|e| fault(&e)));
        }
    }

    /// Poll the connection and those streams that were woken, until there are none.
    fn drive(&mut self, sink: &mut impl Sink, out: &mut Out) {
        for _ in 0..ROUNDS {
            self.poll(out);
            let woken = std::mem::take(&mut *self.woken.streams.lock().unwrap());
            if woken.is_empty() && !self.woken.conn.load(Ordering::Acquire) {
                return;
            }
            for key in woken {
                self.advance(key, sink);
            }
        }
    }

    fn advance(&mut self, key: u32, sink: &mut impl Sink) {
        let Some(stream) = self.streams.get_mut(&key) else { return };
        stream.flag.queued.store(false, Ordering::Release);
        let s = StreamKey(key);
        match stream.advance(s, &mut self.flat, sink) {
            Told::Pending => return,
            Told::End => sink.end(s),
            Told::Failed(e) => sink.failed(s, fault(&e)),
        }
        self.forget(key);
    }

    fn forget(&mut self, key: u32) -> Option<Stream> {
        self.io.with(|pipe| pipe.bodies.retain(|(of, _)| *of != key));
        self.streams.remove(&key)
    }
}

impl Stream {
    fn advance(&mut self, s: StreamKey, flat: &mut Flat, sink: &mut impl Sink) -> Told {
        let waker = self.waker.clone();
        let cx = &mut Context::from_waker(&waker);
        // The outcome is asked for below; this leaves our waker for the next change.
        while self.wants_room && matches!(self.send.poll_capacity(cx), Poll::Ready(Some(Ok(_)))) {
            if self.send.capacity() > 0 {
                self.wants_room = false;
                sink.writable(s);
            }
        }
        if let Answer::Awaited(response) = &mut self.answer {
            // Before the response itself, which would skip them.
            while let Poll::Ready(Some(informational)) = response.poll_informational(cx) {
                match informational {
                    Ok(info) => sink.informational(s, &flat.head(info.status().as_u16(), info.headers())),
                    Err(e) => return Told::Failed(e),
                }
            }
            let (head, body) = match Pin::new(response).poll(cx) {
                Poll::Pending => return Told::Pending,
                Poll::Ready(Err(e)) => return Told::Failed(e),
                Poll::Ready(Ok(response)) => response.into_parts(),
            };
            let length = head.headers.get(http::header::CONTENT_LENGTH);
            let follows = match length.and_then(|v| v.to_str().ok()?.parse().ok()) {
                _ if self.connect && head.status.is_success() => Follows::Tunnel,
                _ if body.is_end_stream() => Follows::Nothing,
                Some(length) => Follows::Length(length),
                None => Follows::Unknown,
            };
            sink.head(s, &flat.head(head.status.as_u16(), &head.headers), follows);
            self.answer = Answer::Body(body);
        }
        let Answer::Body(body) = &mut self.answer else { unreachable!("set above") };
        loop {
            if self.held.is_empty() {
                match body.poll_data(cx) {
                    Poll::Pending => return Told::Pending,
                    Poll::Ready(Some(Ok(data))) => self.held = data,
                    Poll::Ready(Some(Err(e))) => return Told::Failed(e),
                    Poll::Ready(None) => break,
                }
                continue;
            }
            let n = sink.credit(s).min(self.held.len() as u64) as usize;
            if n == 0 {
                // `credit` wakes us.
                return Told::Pending;
            }
            self.owed += n;
            sink.data(s, Data::Owned(self.held.split_to(n)));
        }
        match body.poll_trailers(cx) {
            Poll::Pending => return Told::Pending,
            Poll::Ready(Err(e)) => return Told::Failed(e),
            Poll::Ready(Ok(Some(trailers))) => sink.trailers(s, flat.fields(&trailers)),
            Poll::Ready(Ok(None)) => {}
        }
        Told::End
    }

    fn reserve(&mut self) {
        self.send.reserve_capacity(RESERVE);
        self.wants_room = self.send.capacity() == 0;
        // Polled once, so that the crate knows whom to wake.
        self.flag.clone().wake();
    }
}

impl Protocol for H2 {
    fn capacity(&self) -> u32 {
        let max = u32::try_from(self.send.current_max_send_streams()).unwrap_or(u32::MAX);
        if self.reusable() { max.saturating_sub(self.streams.len() as u32) } else { 0 }
    }

    fn open(&mut self, _: Tick, request: &RequestRef<'_>, out: &mut Out) -> Result<StreamKey, Fault> {
        let (head, connect) = head_of(request).ok_or(Fault::FieldLine)?;
        // Without this poll the crate refuses a request while the one before waits for the peer's limit.
        if self.send.poll_ready(&mut Context::from_waker(&self.waker)).is_pending() {
            return Err(Fault::ClosedBeforeHead);
        }
        let ends = request.body == BodyLen::None && !connect;
        let (response, send) = self.send.send_request(head, ends).map_err(|e| fault(&e))?;
        let key = response.stream_id().as_u32();
        let flag = Arc::new(StreamWaker { key, queued: AtomicBool::new(false), woken: self.woken.clone() });
        let waker = Waker::from(flag.clone());
        let answer = Answer::Awaited(response);
        let stream = Stream { send, answer, held: Bytes::new(), owed: 0, wants_room: false, connect, flag, waker };
        let stream = self.streams.entry(key).or_insert(stream);
        self.woken.streams.lock().unwrap().push(key);
        stream.flag.queued.store(true, Ordering::Release);
        if !ends {
            stream.reserve();
        }
        self.poll(out);
        Ok(StreamKey(key))
    }

    fn body_room(&self, s: StreamKey) -> u64 {
        self.streams.get(&s.0).map_or(0, |stream| stream.send.capacity() as u64)
    }

    fn body(&mut self, s: StreamKey, chunk: Bytes, end: bool, out: &mut Out) -> Result<(), Fault> {
        let Some(stream) = self.streams.get_mut(&s.0) else { return Ok(()) };
        if chunk.len() >= OWNED_FROM {
            self.io.with(|pipe| pipe.bodies.push_back((s.0, chunk.clone())));
        }
        stream.send.send_data(chunk, end).map_err(|e| fault(&e))?;
        if !end {
            stream.reserve();
        }
        self.poll(out);
        Ok(())
    }

    fn body_trailers(&mut self, s: StreamKey, block: &[u8], out: &mut Out) -> Result<(), Fault> {
        let Some(stream) = self.streams.get_mut(&s.0) else { return Ok(()) };
        let mut trailers = HeaderMap::new();
        for line in block.split(|&b| b == b'\n').filter_map(|line| line.strip_suffix(b"\r")) {
            let colon = line.iter().position(|&b| b == b':').ok_or(Fault::FieldLine)?;
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            insert(&mut trailers, name, value).ok_or(Fault::FieldLine)?;
        }
        stream.send.send_trailers(trailers).map_err(|e| fault(&e))?;
        self.poll(out);
        Ok(())
    }

    fn recv(&mut self, _: Tick, input: &[u8], sink: &mut impl Sink, out: &mut Out) -> Result<usize, Fault> {
        self.io.with(|pipe| pipe.input.extend_from_slice(input));
        self.drive(sink, out);
        match self.over {
            Some(Some(fault)) => Err(fault),
            Some(None) if !input.is_empty() => Err(Fault::UnexpectedData),
            _ => Ok(input.len()),
        }
    }

    fn unsaid(&self) -> bool {
        self.over.is_none() && self.woken.conn.load(Ordering::Acquire) || !self.woken.streams.lock().unwrap().is_empty()
    }

    fn eof(&mut self, _: Tick, _: Eof, sink: &mut impl Sink) -> Result<(), Fault> {
        // How it ended does not matter: every stream has an end of its own.
        self.io.with(|pipe| pipe.eof = true);
        self.drive(sink, &mut Out::new());
        self.over = Some(None);
        // The crate ends streams whose peer is gone only when they are polled; all of them, for once.
        let keys: Vec<u32> = self.streams.keys().copied().collect();
        for key in keys {
            self.advance(key, sink);
            if self.forget(key).is_some() {
                sink.failed(StreamKey(key), Fault::TruncatedBody);
            }
        }
        Ok(())
    }

    fn credit(&mut self, s: StreamKey, n: u64, out: &mut Out) {
        let Some(stream) = self.streams.get_mut(&s.0) else { return };
        let n = stream.owed.min(usize::try_from(n).unwrap_or(usize::MAX));
        stream.owed -= n;
        if let Answer::Body(body) = &mut stream.answer {
            let released = body.flow_control().release_capacity(n);
            debug_assert!(released.is_ok(), "no more than was received");
        }
        if !stream.held.is_empty() {
            stream.flag.clone().wake();
        }
        self.poll(out);
    }

    fn cancel(&mut self, s: StreamKey, out: &mut Out) -> Cancelled {
        if let Some(mut stream) = self.forget(s.0) {
            stream.send.send_reset(Reason::CANCEL);
            drop(stream);
            self.poll(out);
        }
        if self.over.is_some() { Cancelled::Close } else { Cancelled::Kept }
    }

    fn deadline(&self) -> Tick {
        Tick::NEVER
    }

    fn on_deadline(&mut self, _: Tick, _: &mut Out) -> Result<(), Fault> {
        Ok(())
    }

    fn reusable(&self) -> bool {
        self.over.is_none()
    }
}

/// The crate's errors have no codes among the faults yet.
fn fault(e: &::h2::Error) -> Fault {
    match e.reason() {
        Some(Reason::REFUSED_STREAM) => Fault::ClosedBeforeHead,
        _ => Fault::TruncatedBody,
    }
}

/// What HTTP/1.1 says about its connection has no place here (RFC 9113 section 8.2.2), and `Host` is `:authority`.
fn head_of(request: &RequestRef<'_>) -> Option<(Request<()>, bool)> {
    const LEFT_OUT: [&[u8]; 6] =
        [b"host", b"connection", b"transfer-encoding", b"keep-alive", b"upgrade", b"proxy-connection"];
    let connect = request.method == b"CONNECT";
    let mut uri = Uri::builder().authority(request.authority);
    if !connect {
        uri = uri.scheme(request.scheme).path_and_query(request.target);
    }
    let mut head = Request::new(());
    *head.method_mut() = Method::from_bytes(request.method).ok()?;
    *head.uri_mut() = uri.build().ok()?;
    *head.version_mut() = http::Version::HTTP_2;
    for (name, value) in request.fields.iter() {
        if !LEFT_OUT.iter().any(|left_out| name.eq_ignore_ascii_case(left_out)) {
            insert(head.headers_mut(), name, value)?;
        }
    }
    Some((head, connect))
}

fn insert(map: &mut HeaderMap, name: &[u8], value: &[u8]) -> Option<()> {
    map.append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
    Some(())
}

/// A header map as the bytes and the table that a sink is shown.
#[derive(Default)]
struct Flat {
    bytes: Vec<u8>,
    table: Vec<Field>,
}

impl Flat {
    fn fields(&mut self, map: &HeaderMap) -> Fields<'_> {
        self.bytes.clear();
        self.table.clear();
        for (name, value) in map {
            let name_at = self.bytes.len() as u32;
            self.bytes.extend_from_slice(name.as_str().as_bytes());
            let value_at = self.bytes.len() as u32;
            self.bytes.extend_from_slice(value.as_bytes());
            let (name_len, value_len) = (value_at - name_at, self.bytes.len() as u32 - value_at);
            self.table.push(Field { name: name_at, name_len, value: value_at, value_len });
        }
        Fields { bytes: &self.bytes, table: &self.table }
    }

    fn head(&mut self, status: u16, map: &HeaderMap) -> Head<'_> {
        Head { version: Version::Http2, status, reason: b"", fields: self.fields(map) }
    }
}
