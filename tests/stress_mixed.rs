//! Everything at once, from many threads, in both drives: each exchange has one terminal event, each body arrives whole, the
//! books agree, and nobody is left asleep.

mod stress_support;

use chttpcore::client::Request;
use chttpcore::client::upload::{Piece, Source};
use chttpcore::error as e;
use chttpcore::proto::BodyLen;
use chttpcore::proto::h1::encode::{Spec, encode};
use chttpcore::proto::url::Url;
use chttpcore::queue::event::{flag, kind};
use chttpcore::queue::{Event, Queue};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stress_support::*;

const LARGE: usize = 300_000;
const EACH: usize = 60;
const SUBMITTERS: usize = 3;

/// `/small`, `/large`, `/never`, and `/echo` for chunked bodies, whose bytes it counts.
fn many_faced() -> u16 {
    serve(|stream| {
        let mut held: Vec<u8> = Vec::new();
        let mut bytes = [0; 16 << 10];
        loop {
            let until = |mark: &[u8], held: &mut Vec<u8>, stream: &mut std::net::TcpStream| {
                let mut bytes = [0; 16 << 10];
                loop {
                    if let Some(at) = held.windows(mark.len()).position(|w| w == mark) {
                        let front = held.drain(..at + mark.len()).collect::<Vec<u8>>();
                        return Ok(Some(front));
                    }
                    match stream.read(&mut bytes)? {
                        0 => return std::io::Result::Ok(None),
                        n => held.extend_from_slice(&bytes[..n]),
                    }
                }
            };
            let Some(head) = until(b"\r\n\r\n", &mut held, stream)? else { return Ok(()) };
            let head = String::from_utf8_lossy(&head).into_owned();
            match head.split(' ').nth(1).expect("a target") {
                "/small" => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?,
                "/large" => {
                    stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n").as_bytes())?;
                    stream.write_all(&vec![b'x'; LARGE])?;
                }
                "/echo" => {
                    let body = until(b"0\r\n\r\n", &mut held, stream)?;
                    let len = body.map_or(0, |b| b.iter().filter(|&&b| b == b'x').count());
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{len}", len.to_string().len());
                    stream.write_all(answer.as_bytes())?;
                }
                _ => while stream.read(&mut bytes)? > 0 {},
            }
        }
    })
}

#[derive(Default)]
struct Books {
    /// Token to what was said of it.
    ended: HashMap<u64, i32>,
    received: HashMap<u64, u64>,
}

fn note(books: &Mutex<Books>, bodies: &Sender<Event>, event: Event) {
    let mut books = books.lock().unwrap();
    assert!(!books.ended.contains_key(&event.token), "an event behind the terminal one");
    if event.kind == kind::BODY || event.kind == kind::RESPONSE {
        *books.received.entry(event.token).or_default() += event.len;
    }
    if event.flags & flag::TERMINAL != 0 {
        books.ended.insert(event.token, event.error);
    }
    drop(books);
    // Its credit comes back later, on another thread.
    drop(bodies.send(event));
}

fn with_token(mut request: Box<Request>, token: u64) -> Box<Request> {
    request.token = token;
    request
}

fn streamed(engine: &Client, port: u16) -> Box<Request> {
    let mut request = request(engine, port, "/echo", None);
    let url = format!("http://127.0.0.1:{port}/echo");
    let url = Url::parse(url.as_bytes()).unwrap();
    let mut spec = Spec::new(b"POST", &url);
    spec.body = BodyLen::Unknown;
    request.head = encode(&spec, []).unwrap();
    request.body = Source::Stream;
    request
}

fn upload(engine: &Client, xid: u64) {
    for _ in 0..40 {
        loop {
            match engine.write(xid, &[b'x'; 5_000]) {
                Ok(()) => break,
                Err(e::CHTTP_E_AGAIN) => std::thread::yield_now(),
                Err(code) => panic!("{code}"),
            }
        }
    }
    engine.end_body(xid, Piece::End).expect("it is open");
}

fn submitter(engine: &Client, queue: &Arc<Queue>, port: u16, first: u64) {
    for i in 0..EACH as u64 {
        let token = first + i;
        let mut xid = 0;
        let mut submit = |r| engine.submit(queue, std::iter::once(with_token(r, token)), |id| xid = id).unwrap();
        match i % 5 {
            0 => submit(request(engine, port, "/small", None)),
            1 => {
                let mut r = request(engine, port, "/large", None);
                r.collect = false;
                r.recv_credit = 20_000 + 997 * (i % 7);
                submit(r);
            }
            2 => {
                submit(request(engine, port, "/never", None));
                if i % 2 == 0 {
                    std::thread::yield_now();
                }
                engine.cancel(xid).expect("nothing else ends it");
            }
            3 => submit(request(engine, 1, "/", Some(nobody()))),
            _ => {
                submit(streamed(engine, port));
                upload(engine, xid);
            }
        }
    }
}

fn check(books: &Books) {
    assert_eq!(books.ended.len(), SUBMITTERS * EACH);
    for (&token, &error) in &books.ended {
        let (wanted, len) = match token % 1_000 % 5 {
            0 => (0, 2),
            1 => (0, LARGE as u64),
            2 => (e::CHTTP_E_CANCELLED, 0),
            3 => (e::CHTTP_E_CONNECT_REFUSED, 0),
            _ => (0, 6),
        };
        assert_eq!((error, books.received.get(&token).copied().unwrap_or(0)), (wanted, len), "{token}");
    }
}

fn all_at_once(own_thread: bool) {
    let port = many_faced();
    let mut settings = settings(own_thread);
    settings.pool.per_origin = 12;
    settings.send_buffer = 32 << 10;
    let engine = engine(settings);
    let queue = engine.queue().expect("a queue");
    let books = Arc::new(Mutex::new(Books::default()));
    let over = Arc::new(AtomicBool::new(false));
    let submitting = Arc::new(AtomicUsize::new(SUBMITTERS));
    let (bodies, releases) = channel();
    let mut jobs = Vec::new();
    for t in 0..SUBMITTERS {
        let (engine, queue, submitting) = (engine.clone(), queue.clone(), submitting.clone());
        jobs.push(job(move || {
            submitter(&engine, &queue, port, 1_000 * t as u64);
            submitting.fetch_sub(1, Ordering::SeqCst);
        }));
    }
    for t in 0..3 {
        let (engine, queue, books, over, bodies) =
            (engine.clone(), queue.clone(), books.clone(), over.clone(), bodies.clone());
        jobs.push(job(move || {
            while !over.load(Ordering::SeqCst) {
                let take = |event| note(&books, &bodies, event);
                match t {
                    // Only the end wakes this one.
                    0 => drop(engine.wait(&queue, 4, None, take).expect("no signal comes")),
                    1 => drop(engine.wait(&queue, 64, Some(Duration::from_millis(3)), take).expect("no signal comes")),
                    _ => {
                        let fd = engine.fd(&queue).expect("a descriptor");
                        chttpcore::net::sys::poll_readable(fd, Some(Duration::from_millis(50))).unwrap();
                        engine.drain(&queue, 3, take);
                    }
                }
                if books.lock().unwrap().ended.len() == SUBMITTERS * EACH {
                    over.store(true, Ordering::SeqCst);
                    queue.wakeup();
                }
            }
            // For the next who waits.
            queue.wakeup();
        }));
    }
    drop(bodies);
    for _ in 0..2 {
        let (engine, submitting) = (engine.clone(), submitting.clone());
        jobs.push(job(move || {
            while submitting.load(Ordering::SeqCst) > 0 {
                let mut len = 0;
                let done = engine.perform(request(&engine, port, "/small", None), None, |event| {
                    len = event.len;
                    true
                });
                assert_eq!((done, len), (Ok(()), 2));
            }
        }));
    }
    jobs.push(job(move || {
        while let Ok(first) = releases.recv() {
            let mut held = vec![first];
            while held.len() < 5
                && let Ok(event) = releases.try_recv()
            {
                held.push(event);
            }
        }
    }));
    together(jobs);
    check(&books.lock().unwrap());
    engine.audit();
    assert_eq!(engine.stats().exchanges, 0);
    engine.stop(true);
}

#[test]
fn own_thread() {
    all_at_once(true);
}

#[test]
fn driven_by_its_callers() {
    all_at_once(false);
}

/// The end comes while everybody is busy: each exchange that was accepted has its terminal event.
#[test]
fn the_end_comes_in_the_middle() {
    let port = many_faced();
    for round in 0..20u64 {
        let engine = engine(settings(round % 2 == 0));
        let queue = engine.queue().expect("a queue");
        let (accepted, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut jobs = Vec::new();
        for _ in 0..3 {
            let (engine, queue, accepted) = (engine.clone(), queue.clone(), accepted.clone());
            jobs.push(job(move || {
                for i in 0..10_000 {
                    let path = if i % 3 == 0 { "/never" } else { "/small" };
                    let r = request(&engine, port, path, if i % 7 == 0 { Some(nobody()) } else { None });
                    match engine.submit(&queue, std::iter::once(r), |_| ()) {
                        Ok(()) => accepted.fetch_add(1, Ordering::SeqCst),
                        Err(code) => return assert_eq!(code, e::CHTTP_E_ENGINE_DOWN),
                    };
                }
            }));
        }
        for _ in 0..2 {
            let engine = engine.clone();
            jobs.push(job(
                move || {
                    while engine.perform(request(&engine, port, "/small", None), None, |_| true).is_ok() {}
                },
            ));
        }
        for _ in 0..2 {
            let (engine, queue, ended) = (engine.clone(), queue.clone(), ended.clone());
            jobs.push(job(move || {
                while engine.queue().err() != Some(e::CHTTP_E_ENGINE_DOWN) {
                    let take = |event: Event| {
                        ended.fetch_add(usize::from(event.flags & flag::TERMINAL != 0), Ordering::SeqCst);
                    };
                    engine.wait(&queue, 16, None, take).expect("no signal comes");
                }
            }));
        }
        let stopper = engine.clone();
        jobs.push(job(move || {
            std::thread::sleep(Duration::from_micros(200 * (round % 20)));
            stopper.stop(true);
        }));
        together(jobs);
        let mut take = |event: Event| {
            ended.fetch_add(usize::from(event.flags & flag::TERMINAL != 0), Ordering::SeqCst);
        };
        while engine.drain(&queue, 1_000, &mut take).count > 0 {}
        assert_eq!(ended.load(Ordering::SeqCst), accepted.load(Ordering::SeqCst), "round {round}");
        assert_eq!(engine.stats().exchanges, 0);
    }
}
