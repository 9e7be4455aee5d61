//! What a large message takes while it comes: at most one and a half times what it is allowed to have, counted by the
//! allocator.

mod client;
mod ws_support;

use chttpcore::client::websocket::Choices;
use chttpcore::client::{Engine, Settings};
use chttpcore::net::backend::mock::{MockNet, Script};
use chttpcore::proto::ws::Limits;
use chttpcore::proto::ws::deflate::{Deflater, Offer, Params};
use chttpcore::queue::event::{flag, kind};
use client::{SECOND, inet};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use ws_support::{BINARY, FIN, KEY, frame, setup, switching, websocket};

/// Adds up what its own thread holds.
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn book(bytes: isize) {
    LIVE.set(LIVE.get() + bytes);
    PEAK.set(PEAK.get().max(LIVE.get()));
}

// SAFETY: everything is the system allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        book(layout.size() as isize);
        // SAFETY: the caller's promise, here and below.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        book(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        book(size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LEN: usize = 32 << 20;
/// Blocks for receiving and smaller ones that are kept for the next message.
const BESIDE: isize = 4 << 20;

/// The most that was held while the one message in `bytes` came.
fn peak(bytes: Vec<u8>, len: usize, deflates: bool) -> isize {
    let net = MockNet::new();
    net.set_recording(false);
    let fields = if deflates { "Sec-WebSocket-Extensions: permessage-deflate\r\n" } else { "" };
    let answer = switching(&format!("Sec-WebSocket-Key: {KEY}"), fields);
    let script = Script::new().expect_head().send(answer).send(bytes);
    net.listen(inet("127.0.0.1:80")).always(script);
    let engine = Engine::new(Settings { own_thread: false, ..Settings::default() }, net.backend()).unwrap();
    let queue = engine.queue().unwrap();
    let limits = Limits { frame: u64::MAX, message: LEN as u64 };
    let mut wanted = setup(Choices { limits, ..Choices::default() });
    wanted.deflate = deflates.then(Offer::default);
    let before = LIVE.get();
    PEAK.set(before);
    engine.submit(&queue, std::iter::once(websocket(wanted).build(0)), |_| {}).unwrap();
    let mut told = None;
    while told.is_none() {
        engine.drain(&queue, 256, |event| {
            assert!(event.flags & flag::TERMINAL == 0, "{}", event.error);
            if event.kind == kind::WS_MESSAGE {
                told = Some(event.len as usize);
            }
        });
        net.advance(SECOND);
    }
    assert_eq!(told, Some(len));
    let peak = PEAK.get() - before;
    engine.stop(true);
    peak
}

fn fragments(message: &[u8], every: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let last = message.len().div_ceil(every) - 1;
    for (i, piece) in message.chunks(every).enumerate() {
        let opcode = if i == 0 { BINARY } else { 0 };
        out.extend(frame(if i == last { FIN | opcode } else { opcode }, piece));
    }
    out
}

#[test]
fn a_large_message_takes_half_as_much_again() {
    let most = (LEN + LEN / 2) as isize + BESIDE;
    // All of the limit, and just more than a power of two.
    for len in [LEN, LEN / 2 + 1_000_000] {
        let message = vec![7; len];
        let own = (len + len / 2) as isize + BESIDE;
        for (what, bytes, most) in [
            ("one frame", frame(FIN | BINARY, &message), own),
            ("two frames", fragments(&message, len - 1_000), most),
            ("many frames", fragments(&message, 10_000), most),
        ] {
            let peak = peak(bytes, len, false);
            assert!(peak <= most, "{len} bytes in {what}: {peak}");
        }
        let mut packed = bytes::BytesMut::new();
        let params = Params {
            client_no_context_takeover: false,
            server_no_context_takeover: false,
            client_bits: 15,
            server_bits: 15,
        };
        Deflater::new(&params, &Arc::default()).unwrap().piece(&message, true, &mut packed).unwrap();
        let peak = peak(frame(FIN | 0x40 | BINARY, &packed), len, true);
        assert!(peak <= most, "{len} bytes inflated: {peak}");
    }
}
