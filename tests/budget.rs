//! What a warm request may cost: no allocation in the engine's turns, two system calls on its socket, a share of a
//! notification, and no change of the epoll set. In both drives, against a real nginx; the allocations on the mock too.
//!
//! The allocator of this binary counts while it is armed, for the thread that a test asks about.

mod real_support;

use chttpcore::client::upload::Source;
use chttpcore::client::{Engine, Settings};
use chttpcore::ffi::config::{CHTTP_OPT_MAX_CONNECTIONS, CHTTP_OPT_MAX_CONNECTIONS_PER_HOST};
use chttpcore::net::backend::Address;
use chttpcore::net::backend::mock::{MockNet, Script};
use chttpcore::pool::{Bind, OriginKey};
use chttpcore::proto::h1::encode::{Spec, encode};
use chttpcore::proto::h2::H2;
use chttpcore::proto::url::Url;
use chttpcore::proto::{Data, Fault, Fields, Follows, Head, Out, Protocol, Sink, StreamKey, Tick};
use chttpcore::queue::event::flag;
use parking_lot::{Mutex, MutexGuard};
use real_support::client::DRIVES;
use real_support::{Client, Drive, Nginx, Request};
use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const CONNECTIONS: usize = 64;
/// How often the engine may grow before it counts as warm.
const ROUNDS: usize = 6;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Whether allocations of the engine's thread are counted.
static REACTOR_ARMED: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);
static FIRST: Mutex<Option<Backtrace>> = Mutex::new(None);

thread_local! {
    /// Whether allocations of this thread are counted.
    static ARMED: Cell<bool> = const { Cell::new(false) };
    /// Taking a backtrace allocates.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

fn on_reactor() -> bool {
    let mut name = [0u8; 16];
    // SAFETY: writes at most 16 bytes.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    name.starts_with(b"chttp-io")
}

fn count() {
    if (ARMED.get() || REACTOR_ARMED.load(Ordering::Relaxed) && on_reactor()) && !INSIDE.get() {
        INSIDE.set(true);
        if COUNT.fetch_add(1, Ordering::Relaxed) == 0 {
            *FIRST.lock() = Some(Backtrace::force_capture());
        }
        INSIDE.set(false);
    }
}

// SAFETY: everything is the system allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise, here and below.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

/// The counters are the process's: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock()
}

/// Run `work` with this thread's allocations counted.
fn counted<T>(work: impl FnOnce() -> T) -> T {
    ARMED.set(true);
    let outcome = work();
    ARMED.set(false);
    outcome
}

fn assert_none(what: &str) {
    let count = COUNT.swap(0, Ordering::Relaxed);
    let first = FIRST.lock().take();
    assert!(count == 0, "{what}: {count} allocations, the first of them here:\n{}", first.expect("it was taken"));
}

#[test]
fn turns_on_the_mock_allocate_nothing() {
    let _alone = alone();
    let net = MockNet::new();
    net.set_recording(false);
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nsmall";
    net.listen(Address::Inet("127.0.0.1:80".parse().expect("an address")))
        .always(Script::new().expect_head().send(answer).again());
    for collect in [true, false] {
        let settings = Settings { own_thread: false, ..Settings::default() };
        let engine = Engine::new(settings, net.backend()).expect("an engine");
        let queue = engine.queue().expect("a queue");
        for round in 0..1_100 {
            let warm = round >= 1_000;
            let requests: Vec<_> = (0..8).map(|_| request(&engine, collect)).collect();
            for request in requests {
                let one = std::iter::once(request);
                ARMED.set(warm);
                engine.submit(&queue, one, |_| {}).expect("accepted");
                ARMED.set(false);
            }
            let mut ended = 0;
            while ended < 8 {
                ARMED.set(warm);
                engine.drain(&queue, 256, |event| {
                    ended += usize::from(event.flags & flag::TERMINAL != 0);
                    assert_eq!(event.error, 0);
                });
                ARMED.set(false);
            }
        }
        assert_none(if collect { "collected" } else { "piece by piece" });
        engine.stop(true);
    }
    assert_eq!(net.mismatches(), Vec::<String>::new());
}

fn request(
    engine: &Engine<chttpcore::net::backend::mock::MockBackend>,
    collect: bool,
) -> Box<chttpcore::client::Request> {
    let url = Url::parse(b"http://127.0.0.1/small").expect("a URL");
    let head = encode(&Spec::new(b"GET", &url), [(&b"Accept"[..], &b"*/*"[..])]).expect("a valid head");
    let settings = engine.settings();
    Box::new(chttpcore::client::Request {
        token: 0,
        head,
        origin: OriginKey {
            scheme: url.scheme(),
            host: url.host().into(),
            port: url.port(),
            to: None,
            bind: Bind::default(),
            tls: None,
            http: Default::default(),
        },
        body: Source::None,
        collect,
        close: false,
        duplex: false,
        recv_credit: settings.recv_credit,
        collect_max: settings.collect_max,
        timeouts: settings.timeouts,
        websocket: None,
        sse: None,
    })
}

/// It takes everything, and counts what ended.
struct Ends(usize);

impl Sink for Ends {
    fn informational(&mut self, _: StreamKey, _: &Head<'_>) {}
    fn head(&mut self, _: StreamKey, head: &Head<'_>, _: Follows) {
        assert_eq!((head.status, head.fields.first(b"server")), (200, Some(&b"hand"[..])));
    }
    fn credit(&mut self, _: StreamKey) -> u64 {
        u64::MAX
    }
    fn data(&mut self, _: StreamKey, data: Data) {
        assert_eq!(data.len(), 5);
    }
    fn trailers(&mut self, _: StreamKey, _: Fields<'_>) {}
    fn end(&mut self, _: StreamKey) {
        self.0 += 1;
    }
    fn failed(&mut self, _: StreamKey, why: Fault) {
        panic!("{why:?}");
    }
    fn writable(&mut self, _: StreamKey) {}
}

#[test]
fn warm_requests_over_http2_allocate_nothing() {
    let _alone = alone();
    let url = Url::parse(b"http://127.0.0.1/small").expect("a URL");
    let head = encode(&Spec::new(b"GET", &url), [(&b"Accept"[..], &b"*/*"[..])]).expect("a valid head");
    let (mut h2, mut out, mut sink) = (H2::new(Arc::default(), None), Out::new(), Ends(0));
    let hello = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let mut id = 1_u32;
    for round in 0..1_100 {
        let mut input = if round == 0 { hello.to_vec() } else { Vec::new() };
        for stream in (id..).step_by(2).take(8).map(u32::to_be_bytes) {
            input.extend([0, 0, 12, 1, 4]);
            input.extend(stream);
            // :status 200, and `server` by its number in the static table.
            input.extend(b"\x88\x0f\x27\x04hand\x0f\x0d\x01");
            input.push(b'5');
            input.extend([0, 0, 5, 0, 1]);
            input.extend(stream);
            input.extend(b"small");
        }
        id += 16;
        ARMED.set(round >= 1_000);
        for _ in 0..8 {
            h2.open(Tick(round), &head.request(), &mut out).expect("it is open");
        }
        h2.recv(Tick(round), &[], &mut sink, &mut out).expect("nothing is wrong");
        assert!(!out.is_empty());
        out.clear();
        h2.recv(Tick(round), &input, &mut sink, &mut out).expect("nothing is wrong");
        out.clear();
        ARMED.set(false);
    }
    assert_eq!(sink.0, 8 * 1_100);
    assert_none("HTTP/2");
}

fn nginx() -> Nginx {
    Nginx::start("        keepalive_requests 1000000000;\n        location = /small { return 200 small; }\n")
}

/// Keep `CONNECTIONS` requests in flight until `requests` have ended.
fn run(client: &mut Client, nginx: &Nginx, requests: usize, collect: bool, armed: bool) {
    let request = Request::get(nginx.url("/small"));
    let request = if collect { request.collect() } else { request };
    let raw = [request.filled(); CONNECTIONS];
    let mut xids = [0; CONNECTIONS];
    client.submit_raw(&raw, &mut xids).expect("accepted");
    let (mut submitted, mut ended) = (CONNECTIONS, 0);
    while ended < requests {
        client.poll();
        let mut now = 0;
        let mut each = |event: &chttpcore::ffi::types::chttp_event| {
            assert!(event.error == 0 && event.arg == 200, "error {}, status {}", event.error, event.arg);
            now += usize::from(u32::from(event.flags) & chttpcore::ffi::types::CHTTP_EF_TERMINAL != 0);
        };
        if armed {
            counted(|| client.drain(&mut each))
        } else {
            client.drain(&mut each)
        };
        ended += now;
        let next = now.min(requests - submitted);
        submitted += next;
        if next > 0 {
            client.submit_raw(&raw[..next], &mut xids[..next]).expect("accepted");
        }
    }
}

fn client(drive: Drive) -> Client {
    let connections = CONNECTIONS as i64;
    Client::new(drive, &[(CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, connections), (CHTTP_OPT_MAX_CONNECTIONS, connections)])
}

#[test]
fn turns_on_sockets_allocate_nothing() {
    let _alone = alone();
    let nginx = nginx();
    for drive in DRIVES {
        for collect in [true, false] {
            let mut client = client(drive);
            // Warm is who has seen the largest burst that there will be. It comes at no known time; once it has, thousands of
            // requests need nothing.
            for _ in 0..ROUNDS {
                COUNT.store(0, Ordering::Relaxed);
                REACTOR_ARMED.store(true, Ordering::SeqCst);
                run(&mut client, &nginx, 5_000, collect, true);
                REACTOR_ARMED.store(false, Ordering::SeqCst);
                if COUNT.load(Ordering::Relaxed) == 0 {
                    FIRST.lock().take();
                    break;
                }
            }
            assert_none(&format!("{drive:?}, collected: {collect}"));
        }
    }
}

/// A connection that has rested for some milliseconds is looked at before it is used again, and on a busy machine all of
/// them rest at times: what counts is a round in which they did not.
#[test]
fn a_warm_request_costs_two_system_calls() {
    const REQUESTS: usize = 2_000;
    let _alone = alone();
    let nginx = nginx();
    for drive in DRIVES {
        let mut client = client(drive);
        run(&mut client, &nginx, 1_000, true, false);
        let mut round = || {
            let before = client.stats();
            run(&mut client, &nginx, REQUESTS, true, false);
            let after = client.stats();
            let each = |calls: u64| calls as f64 / REQUESTS as f64;
            let sockets = each(after.socket_calls - before.socket_calls);
            let notifier = each(after.notifier_calls - before.notifier_calls);
            assert_eq!(after.epoll_ctl_calls, before.epoll_ctl_calls);
            assert_eq!(after.connections_opened, before.connections_opened);
            println!("{drive:?}: {sockets:.4} socket calls, {notifier:.4} notifier calls a request");
            sockets <= 2.02 && notifier <= 0.3
        };
        assert!((0..10 * ROUNDS).any(|_| round()), "{drive:?}: no round is within the budget");
    }
}

#[test]
fn the_allocator_counts() {
    let _alone = alone();
    let allocate = || drop(std::hint::black_box(Box::new(1u8)));
    counted(allocate);
    allocate();
    assert_eq!(COUNT.swap(0, Ordering::Relaxed), 1);
    REACTOR_ARMED.store(true, Ordering::SeqCst);
    allocate();
    let reactor = std::thread::Builder::new().name("chttp-io-9".to_owned()).spawn(move || (allocate(), on_reactor()));
    assert!(reactor.expect("a thread").join().expect("no panic").1);
    REACTOR_ARMED.store(false, Ordering::SeqCst);
    assert!(COUNT.swap(0, Ordering::Relaxed) >= 1);
    FIRST.lock().take();
}
