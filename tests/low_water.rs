//! Large bodies are told of in large pieces, and nothing waits for the rest of a piece: not what a server sends before it
//! pauses, and not the end.

mod stress_support;

use chttpcore::net::sys::{self, EpollEvent};
use chttpcore::queue::event::{flag, kind};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};
use stress_support::{STUCK, engine, request, serve, settings};

/// Enough for the mark to be put up, more than once.
const MUCH: usize = 4 << 20;
/// What the server sends before each of its pauses, all of it less than the mark.
const PIECES: [usize; 5] = [1000, 1, 60_000, 100_000, 17];

/// A server that pauses in its answers until the client has what was sent.
fn pausing() -> (u16, Sender<()>) {
    let (go, goes) = channel::<()>();
    let goes = parking_lot::Mutex::new(goes);
    let port = serve(move |stream| {
        let mut asked = [0; 4096];
        while stream.read(&mut asked)? > 0 {
            let length = PIECES.iter().map(|piece| MUCH + piece).sum::<usize>();
            stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes())?;
            for piece in PIECES {
                stream.write_all(&vec![b'x'; MUCH + piece])?;
                if goes.lock().recv().is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    });
    (port, go)
}

/// Two answers on one connection; the server is told to go on when all that it has sent was delivered.
fn download(own_thread: bool, edge: Option<i32>) {
    let (port, go) = pausing();
    let engine = engine(settings(own_thread));
    let queue = engine.queue().expect("a queue");
    let set = sys::epoll_create().expect("a set");
    if let Some(edge) = edge {
        let fd = engine.fd(&queue).expect("a descriptor");
        sys::epoll_add(set.as_raw_fd(), fd, libc::EPOLLIN | edge, 0).expect("it is watched");
    }
    // With the credit that an exchange has if nobody says otherwise, and with as much as there may be.
    for credit in [engine.settings().recv_credit, 1 << 30] {
        let mut asks = request(&engine, port, "/", None);
        asks.collect = false;
        asks.recv_credit = credit;
        engine.submit(&queue, std::iter::once(asks), |_| ()).expect("it is accepted");
        let (mut got, mut over) = (0, None);
        let mut sent = 0;
        let mut pieces = PIECES.iter();
        let until = Instant::now() + STUCK;
        while over.is_none() {
            let take = |event: chttpcore::queue::Event| {
                got += if event.kind == kind::BODY { event.len as usize } else { 0 };
                if event.flags & flag::TERMINAL != 0 {
                    over = Some(event.error);
                }
            };
            if edge.is_some() {
                let none = EpollEvent { events: 0, u64: 0 };
                assert_eq!(sys::epoll_wait(set.as_raw_fd(), &mut [none], Some(STUCK)).expect("no signal comes"), 1);
                engine.drain(&queue, 64, take);
            } else {
                engine.wait(&queue, 64, Some(Duration::from_secs(1)), take).expect("no signal comes");
            }
            while sent <= got
                && let Some(piece) = pieces.next()
            {
                // The first of them is under way already; each later one begins when it is asked for.
                if sent > 0 {
                    go.send(()).expect("the server waits");
                }
                sent += MUCH + piece;
            }
            assert!(Instant::now() < until, "{got} of {sent} bytes came");
        }
        go.send(()).expect("the server waits");
        assert_eq!((over, got), (Some(0), PIECES.iter().map(|piece| MUCH + piece).sum::<usize>()));
    }
    engine.stop(true);
}

/// A client that takes nothing is left in peace.
#[test]
fn without_credit_there_is_nothing_to_look_after() {
    let (port, _go) = pausing();
    let engine = engine(settings(false));
    let queue = engine.queue().expect("a queue");
    let set = sys::epoll_create().expect("a set");
    sys::epoll_add(set.as_raw_fd(), engine.fd(&queue).expect("a descriptor"), libc::EPOLLIN, 0).expect("it is watched");
    let mut asks = request(&engine, port, "/", None);
    asks.collect = false;
    asks.recv_credit = 1 << 20;
    engine.submit(&queue, std::iter::once(asks), |_| ()).expect("it is accepted");
    let (mut kept, until) = (Vec::new(), Instant::now() + STUCK);
    let none = EpollEvent { events: 0, u64: 0 };
    // Some time after the last piece, at the latest, nothing is told of any more.
    while sys::epoll_wait(set.as_raw_fd(), &mut [none], Some(Duration::from_millis(200))).expect("no signal comes") == 1
    {
        engine.drain(&queue, 64, |event| kept.push(event));
        assert!(Instant::now() < until, "it is told of something again and again");
    }
    assert!(kept.iter().map(|event| event.len).sum::<u64>() >= 1 << 20, "its credit is used up");
    drop(kept);
    engine.stop(true);
}

#[test]
fn driven_by_the_caller_who_waits() {
    download(false, None);
}

#[test]
fn driven_by_the_caller_who_watches_a_level() {
    download(false, Some(0));
}

#[test]
fn driven_by_the_caller_who_watches_edges() {
    download(false, Some(libc::EPOLLET));
}

#[test]
fn with_a_thread_and_an_application_that_waits() {
    download(true, None);
}

#[test]
fn with_a_thread_and_an_application_that_watches_edges() {
    download(true, Some(libc::EPOLLET));
}
