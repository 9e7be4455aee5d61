//! An engine with one connection reads it without asking the waiter, and misses nothing that the waiter would have told.
//! Each test runs with an application that watches the engine's descriptor by level, and with one that watches its edges.

mod stress_support;
mod tls_support;

use chttpcore::client::Request;
use chttpcore::client::upload::Source;
use chttpcore::net::sys::{self, Counters, EpollEvent};
use chttpcore::pool::Scheme;
use chttpcore::proto::BodyLen;
use chttpcore::proto::h1::encode::{Spec, encode};
use chttpcore::proto::tls::Tls;
use chttpcore::proto::url::Url;
use chttpcore::queue::event::flag;
use chttpcore::queue::{Event, Queue};
use parking_lot::Mutex;
use rustls::{ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use stress_support::{Client, STUCK, engine, request, serve, settings};
use tls_support::{Authority, VERSIONS, tls};

/// More answers than a streak has.
const MANY: usize = 40;
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// The counters are the process's.
static ALONE: Mutex<()> = Mutex::new(());

struct Application {
    engine: Arc<Client>,
    queue: Arc<Queue>,
    set: OwnedFd,
    /// Its own waits.
    waits: u64,
}

impl Application {
    fn new(edge: i32) -> Application {
        // Whoever comes while the connection is in use waits for it.
        let mut settings = settings(false);
        settings.pool.per_origin = 1;
        let engine = engine(settings);
        let queue = engine.queue().expect("a queue");
        let set = sys::epoll_create().expect("a set");
        let fd = engine.fd(&queue).expect("a descriptor");
        sys::epoll_add(set.as_raw_fd(), fd, libc::EPOLLIN | edge, 0).expect("it is watched");
        Application { engine, queue, set, waits: 0 }
    }

    fn submit(&self, request: Box<Request>) {
        self.engine.submit(&self.queue, std::iter::once(request), |_| ()).expect("it is accepted");
    }

    fn is_readable(&mut self, within: Duration) -> bool {
        let none = EpollEvent { events: 0, u64: 0 };
        self.waits += 1;
        sys::epoll_wait(self.set.as_raw_fd(), &mut [none], Some(within)).expect("no signal comes") == 1
    }

    /// The last event of an exchange. One drain for each wake-up.
    fn end(&mut self) -> Event {
        loop {
            assert!(self.is_readable(STUCK), "the descriptor did not become readable");
            let mut end = None;
            self.engine.drain(&self.queue, 64, |event| {
                if event.flags & flag::TERMINAL != 0 {
                    end = Some(event);
                }
            });
            if let Some(end) = end {
                return end;
            }
        }
    }

    fn get(&mut self, port: u16, path: &str) -> Event {
        self.submit(request(&self.engine, port, path, None));
        self.end()
    }

    fn send(&mut self, port: u16, method: &[u8], path: &str, body: Vec<u8>) {
        let like = self.with_body("http", port, method, path, body);
        self.submit(like);
    }

    fn with_body(&self, scheme: &str, port: u16, method: &[u8], path: &str, body: Vec<u8>) -> Box<Request> {
        let mut like = request(&self.engine, port, path, None);
        let url = format!("{scheme}://127.0.0.1:{port}{path}");
        let url = Url::parse(url.as_bytes()).expect("a URL");
        let mut spec = Spec::new(method, &url);
        spec.body = BodyLen::Known(body.len() as u64);
        like.head = encode(&spec, []).expect("a valid head");
        like.body = Source::Whole { bytes: body.into(), borrowed: false };
        like
    }

    /// A streak of answers, after which the connection is read untold.
    fn streak(&mut self, port: u16) {
        for _ in 0..MANY {
            assert_eq!(self.get(port, "/").error, 0);
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.engine.stop(true);
    }
}

fn each_way(mut test: impl FnMut(Application)) {
    let _alone = ALONE.lock();
    for edge in [0, libc::EPOLLET] {
        test(Application::new(edge));
    }
}

/// A server that says when the bytes of a path's answer are out, and the connection is shut if that is asked for.
fn scripted() -> (u16, Receiver<()>, Sender<()>) {
    let ((said, says), (go, goes)) = (channel(), channel());
    let goes = Mutex::new(goes);
    let said = Mutex::new(said);
    let port = serve(move |stream| {
        let mut held = Vec::new();
        let mut bytes = vec![0; 64 << 10];
        while let n @ 1.. = stream.read(&mut bytes)? {
            held.extend_from_slice(&bytes[..n]);
            let Some(end) = held.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&held[..end]).into_owned();
            let body: usize = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned))
                .map_or(0, |length| length.parse().expect("a number"));
            let path = head.split(' ').nth(1).expect("a path").to_owned();
            if path == "/slow" {
                // The socket is full by then.
                goes.lock().recv().expect("the test goes on");
            }
            let left = body - held.split_off(end + 4).len();
            held.clear();
            stream.take(left as u64).read_to_end(&mut Vec::new())?;
            let answer: &[u8] = if path == "/last" { b"HTTP/1.1 200 OK\r\n\r\nok" } else { OK };
            stream.write_all(answer)?;
            if path == "/last" || path == "/false" {
                finish(stream)?;
                said.lock().send(()).expect("the test listens");
                return Ok(());
            }
        }
        Ok(())
    });
    (port, says, go)
}

fn finish(stream: &TcpStream) -> std::io::Result<()> {
    stream.shutdown(Shutdown::Both)
}

#[test]
fn the_waiter_is_not_asked_for_each_answer() {
    const REQUESTS: u64 = 2000;
    each_way(|mut app| {
        let (port, _, _) = scripted();
        app.streak(port);
        let (before, waits) = (Counters::snapshot(), app.waits);
        for _ in 0..REQUESTS {
            assert_eq!(app.get(port, "/").error, 0);
        }
        let after = Counters::snapshot();
        let asked = after.poll_calls - before.poll_calls - (app.waits - waits);
        // On a quiet machine it is one in two hundred; on any, some are saved.
        assert!(asked < REQUESTS, "the waiter was asked {asked} times for {REQUESTS} answers");
        assert!(after.epoll_ctl_calls - before.epoll_ctl_calls <= 1 + asked / 16, "it is made quiet once for a streak");
    });
}

#[test]
fn an_end_that_comes_with_the_last_bytes_is_seen() {
    each_way(|mut app| {
        for _ in 0..10 {
            let (port, says, _) = scripted();
            app.streak(port);
            app.submit(request(&app.engine, port, "/last", None));
            says.recv().expect("the server answers");
            assert_eq!(app.end().error, 0);
        }
    });
}

#[test]
fn a_request_that_is_not_repeated_finds_no_dead_connection() {
    each_way(|mut app| {
        for _ in 0..10 {
            let (port, says, _) = scripted();
            app.streak(port);
            app.submit(request(&app.engine, port, "/false", None));
            says.recv().expect("the server answers");
            assert_eq!(app.end().error, 0);
            app.send(port, b"POST", "/", b"once".to_vec());
            assert_eq!(app.end().error, 0);
        }
    });
}

#[test]
fn one_that_waits_for_the_connection_is_not_given_a_dead_one() {
    each_way(|mut app| {
        for _ in 0..10 {
            let (port, says, _) = scripted();
            app.streak(port);
            app.submit(request(&app.engine, port, "/false", None));
            app.send(port, b"POST", "/", b"once".to_vec());
            says.recv().expect("the server answers");
            let ends = [app.end().error, app.end().error];
            assert_eq!(ends, [0, 0]);
        }
    });
}

#[test]
fn a_socket_that_was_full_is_heard_of_under_tls() {
    let authority = Authority::new("Test CA");
    let config = Arc::new(authority.leaf(&["127.0.0.1"]).server(&[VERSIONS[1]]));
    let tls: Arc<Tls> = tls(authority.trusted());
    each_way(|mut app| {
        let (go, goes) = channel();
        let (goes, config) = (Mutex::new(goes), config.clone());
        let port = serve(move |tcp| {
            let connection = ServerConnection::new(config.clone()).expect("a configuration");
            answer_all(&mut StreamOwned::new(connection, tcp.try_clone()?), &goes)
        });
        let secured = |mut request: Box<Request>| {
            (request.origin.scheme, request.origin.tls) = (Scheme::Https, Some(tls.clone()));
            request
        };
        for _ in 0..MANY {
            app.submit(secured(request(&app.engine, port, "/", None)));
            assert_eq!(app.end().error, 0);
        }
        // More than goes into one turn, and more than the buffers of both sockets take.
        app.submit(secured(app.with_body("https", port, b"PUT", "/slow", vec![b'x'; 16 << 20])));
        while app.is_readable(Duration::ZERO) {
            app.engine.drain(&app.queue, 64, |event| assert_eq!(event.error, 0));
        }
        go.send(()).expect("the server waits");
        assert_eq!(app.end().error, 0);
    });
}

/// Answers requests with a body of known length; one for /slow not before the test says so.
fn answer_all(stream: &mut (impl Read + Write), goes: &Mutex<Receiver<()>>) -> std::io::Result<()> {
    let mut held = Vec::new();
    let mut bytes = vec![0; 64 << 10];
    while let n @ 1.. = stream.read(&mut bytes)? {
        held.extend_from_slice(&bytes[..n]);
        let Some(end) = held.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&held[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let body: usize = length.map_or(0, |length| length.parse().expect("a number"));
        if head.contains(" /slow ") {
            goes.lock().recv().expect("the test goes on");
        }
        let left = body - held.split_off(end + 4).len();
        held.clear();
        stream.take(left as u64).read_to_end(&mut Vec::new())?;
        stream.write_all(OK)?;
    }
    Ok(())
}

#[test]
fn a_socket_that_was_full_is_heard_of() {
    each_way(|mut app| {
        for _ in 0..3 {
            let (port, _, go) = scripted();
            app.streak(port);
            // More than the buffers of both sockets take.
            app.send(port, b"PUT", "/slow", vec![b'x'; 16 << 20]);
            go.send(()).expect("the server waits");
            assert_eq!(app.end().error, 0);
            app.streak(port);
        }
    });
}
