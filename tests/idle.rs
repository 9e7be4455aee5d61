//! What an idle connection costs: 512 bytes at most, after all connections were in use at once and a second has passed.
//! By what the system says of the process and by what the allocator has given out, in both drives.
//!
//! Each drive is measured in a process of its own, so that neither finds what the other has left. The server is a third: it
//! answers nobody before all have asked.

mod real_support;

use chttpcore::ffi::config::{CHTTP_OPT_MAX_CONNECTIONS, CHTTP_OPT_MAX_CONNECTIONS_PER_HOST};
use chttpcore::ffi::types::{CHTTP_REQ_CLOSE, chttp_request};
use real_support::idle::{connections, drive, resident};
use real_support::{Client, Drive, Request};
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const CONNECTIONS: usize = 10_000;
const BYTES_MAX: f64 = 512.0;
/// Tenths of a second that are granted beyond the first.
const LATE: usize = 30;
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise, here and below.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size, Ordering::Relaxed);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

/// Bytes that the allocator has given out, and pages that the library has mapped.
fn allocated() -> usize {
    LIVE.load(Ordering::Relaxed) + chttpcore::mem::page::mapped()
}

/// Roles of this binary's processes.
const ROLE: &str = "CHTTP_IDLE_ROLE";

fn myself(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args(["--exact", "an_idle_connection_costs_512_bytes_at_most", "--nocapture"]).env(ROLE, role);
    command
}

/// Answer one connection at once, and then `connections` when all of them have asked. Ends with its standard input.
fn serve(connections: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    // SAFETY: a listening socket; only its backlog changes.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 16_384) }, 0);
    println!("port {}", listener.local_addr().expect("it is bound").port());
    for count in [1, connections] {
        let mut peers: Vec<TcpStream> = (0..count).map(|_| listener.accept().expect("a connection").0).collect();
        for peer in &mut peers {
            let (mut head, mut piece) = (Vec::new(), [0; 512]);
            while !head.ends_with(b"\r\n\r\n") {
                let n = peer.read(&mut piece).expect("a request");
                assert!(n > 0, "the client is gone");
                head.extend_from_slice(&piece[..n]);
            }
        }
        for peer in &mut peers {
            peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nsmall")
                .expect("sent");
        }
        if count > 1 {
            drop(std::io::stdin().read(&mut [0]));
        }
    }
}

struct Server {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
    port: u16,
}

fn server(connections: usize) -> Server {
    let mut command = myself(&format!("{connections}"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let port = said.by_ref().map_while(Result::ok).find_map(|line| line.split_once("port ")?.1.parse().ok());
    Server { child, said, port: port.expect("the server says where it listens") }
}

impl Server {
    fn end(mut self) {
        drop(self.child.stdin.take());
        self.said.by_ref().for_each(drop);
        self.child.wait().expect("it is our child");
    }
}

/// In a process of its own: bytes of an idle connection, resident and allocated.
fn measure(how: Drive) {
    let count = connections(CONNECTIONS);
    let server = server(count);
    let port = server.port;
    let options = [CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, CHTTP_OPT_MAX_CONNECTIONS];
    let mut client = Client::new(how, &options.map(|o| (o, count as i64 + 1)));
    let close = Request::get(format!("http://127.0.0.1:{port}/")).collect();
    let request = Request::get(format!("http://127.0.0.1:{port}/")).collect();
    // One of everything first: what the first request brings is not a connection's.
    client.submit_raw(&[chttp_request { flags: CHTTP_REQ_CLOSE, ..close.filled() }], &mut [0]).expect("accepted");
    drive(&mut client, 1, Duration::ZERO);
    let raw: Vec<chttp_request> = vec![request.filled(); 100];
    let (resident0, live0) = (resident(), allocated());
    for at in (0..count).step_by(raw.len()) {
        let n = raw.len().min(count - at);
        client.submit_raw(&raw[..n], &mut [0; 100][..n]).expect("accepted");
    }
    let each = |now: usize, before: usize| (now as f64 - before as f64) / count as f64;
    let (rss, given) = (each(resident(), resident0), each(allocated(), live0));
    println!("{how:?}: {count} exchanges, {rss:.0} bytes each resident, {given:.0} allocated");
    drive(&mut client, count, Duration::from_secs(1));
    let stats = client.stats();
    assert_eq!((stats.connections_opened, stats.connections_idle), (count as u64 + 1, count as u64));
    let idle = || (each(resident(), resident0), each(allocated(), live0));
    let (mut rss, mut given) = idle();
    // A busy machine gives the engine its second late.
    for _ in 0..LATE {
        if rss > BYTES_MAX || given > BYTES_MAX {
            drive(&mut client, 0, Duration::from_millis(100));
            (rss, given) = idle();
        }
    }
    println!("{how:?}: {count} idle connections, {rss:.0} bytes each resident, {given:.0} allocated");
    server.end();
    assert!(rss <= BYTES_MAX && given <= BYTES_MAX, "{rss:.0} bytes resident, {given:.0} allocated");
}

#[test]
fn an_idle_connection_costs_512_bytes_at_most() {
    match std::env::var(ROLE).as_deref() {
        Ok("thread") => measure(Drive::Thread),
        Ok("caller") => measure(Drive::Caller),
        Ok(connections) => serve(connections.parse().expect("a number")),
        Err(_) => {
            for drive in ["thread", "caller"] {
                let done = myself(drive).output().expect("it runs");
                print!("{}", String::from_utf8_lossy(&done.stdout));
                assert!(done.status.success(), "{drive}: {}", String::from_utf8_lossy(&done.stderr));
            }
        }
    }
}
