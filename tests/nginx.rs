//! Against a real nginx, in both drives: connections that are kept and counted, every framing of an answer, a gigabyte in
//! each direction with bounded memory, and a server that goes away in the middle of it all.

mod real_support;

use chttpcore::error as e;
use chttpcore::ffi::types::{
    CHTTP_EF_PARTIAL, CHTTP_EF_TERMINAL, CHTTP_EV_BODY, CHTTP_EV_WRITABLE, CHTTP_EV_WRITE_DONE, CHTTP_LENGTH_UNKNOWN,
    CHTTP_REQ_FILE_BODY, CHTTP_REQ_STREAM_BODY,
};
use real_support::client::{DRIVES, Outcome, name, note};
use real_support::server::{self, Server};
use real_support::transfer::{Hole, large, pattern, transfer, upstream};
use real_support::{Client, Drive, Nginx, Request};
use std::collections::BTreeSet;
use std::io::{BufReader, Write};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

const GIGABYTE: u64 = 1 << 30;
/// What a transfer of any size may take; credit and buffers are a fraction of it.
const MEMORY: u64 = 16 << 20;

#[test]
fn connections_are_kept_and_their_limit_is_noticed() {
    let nginx = Nginx::start(
        "location = /small { return 200 small; }\nlocation = /five { keepalive_requests 5; return 200 five; }\n",
    );
    for drive in DRIVES {
        let mut client = Client::new(drive, &[]);
        for i in 0..10 {
            let outcome = client.run_one(Request::get(nginx.url("/small")).collect());
            assert_eq!((outcome.status, outcome.body.as_slice()), (200, &b"small"[..]));
            assert_eq!(outcome.reused(), i > 0);
        }
        let stats = client.stats();
        assert_eq!((stats.connections_opened, stats.connections_reused, stats.connections_idle), (1, 9, 1));

        let mut client = Client::new(drive, &[]);
        for i in 0..20 {
            let outcome = client.run_one(Request::get(nginx.url("/five")));
            assert_eq!((outcome.error, outcome.status, outcome.reused()), (0, 200, i % 5 > 0), "request {i}");
        }
        let stats = client.stats();
        assert_eq!((stats.connections_opened, stats.connections_reused, stats.retried), (4, 16, 0));
        assert_eq!((stats.connections, stats.succeeded), (0, 20), "the last answer closed the fourth");
    }
}

#[test]
fn many_at_once_share_the_connections_that_there_may_be() {
    let nginx = Nginx::start("location = /small { keepalive_requests 100000; return 200 small; }\n");
    for drive in DRIVES {
        let mut client = Client::new(drive, &[(chttpcore::ffi::config::CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, 7)]);
        let requests: Vec<Request> = (0..500).map(|_| Request::get(nginx.url("/small")).collect()).collect();
        for outcome in client.run(&requests) {
            assert_eq!((outcome.error, outcome.status), (0, 200));
        }
        let stats = client.stats();
        assert_eq!((stats.connections_opened, stats.connections, stats.connections_idle), (7, 7, 7));
        assert_eq!((stats.exchanges, stats.waiting, stats.connections_reused), (0, 0, 493));
    }
}

#[test]
fn every_framing_leaves_the_connection_in_order() {
    let upstream = upstream();
    let nginx = Nginx::start(&format!(
        "location = /204 {{ return 204; }}\nlocation = /304 {{ return 304; }}\nlocation = /empty {{ return 200; }}\n\
         location = /missing {{ return 404 gone; }}\n\
         location = /chunked {{ proxy_http_version 1.1; proxy_pass http://127.0.0.1:{}; }}\n",
        upstream.port()
    ));
    let contents = pattern(1000);
    nginx.file("file", &contents);
    for drive in DRIVES {
        for collect in [false, true] {
            let mut client = Client::new(drive, &[]);
            for (method, path, status, body) in [
                ("GET", "/file", 200, contents.as_slice()),
                ("HEAD", "/file", 200, b""),
                ("GET", "/204", 204, b""),
                ("GET", "/chunked", 200, b"no length"),
                ("HEAD", "/chunked", 200, b""),
                ("GET", "/304", 304, b""),
                ("GET", "/empty", 200, b""),
                ("DELETE", "/missing", 404, b"gone"),
                ("HEAD", "/missing", 404, b""),
                ("GET", "/file", 200, &contents),
            ] {
                let request = Request::new(method, nginx.url(path));
                let outcome = client.run_one(if collect { request.collect() } else { request });
                assert_eq!((outcome.name(), outcome.status), ("CHTTP_OK", status), "{method} {path}");
                assert!(outcome.body == body, "{method} {path}: {} bytes", outcome.body.len());
            }
            assert_eq!(client.stats().connections_opened, 1);
        }
    }
}

fn passing(upstream: &Server) -> Nginx {
    Nginx::start(&format!(
        "location / {{ proxy_http_version 1.1; proxy_buffering off; proxy_request_buffering off;\n\
         proxy_pass http://127.0.0.1:{port}; }}\nlocation = /big {{ }}\n\
         location = /buffered {{ proxy_http_version 1.1; proxy_pass http://127.0.0.1:{port}/sink; }}\n",
        port = upstream.port()
    ))
}

#[test]
fn a_long_chunked_body_arrives_as_it_was() {
    let _large = large();
    let upstream = upstream();
    let nginx = passing(&upstream);
    let expected = pattern(20 << 20);
    for drive in DRIVES {
        let mut client = Client::new(drive, &[]);
        let outcome = client.run_one(Request::get(nginx.url("/large")));
        assert_eq!((outcome.name(), outcome.status), ("CHTTP_OK", 200));
        assert!(outcome.body == expected, "{} bytes", outcome.body.len());
        // Too large to be collected: it comes piece by piece after all.
        let outcome = client.run_one(Request::get(nginx.url("/large")).collect());
        assert!(outcome.error == 0 && outcome.body == expected, "{} bytes", outcome.body.len());
        assert_eq!(client.stats().connections_opened, 1);
    }
}

#[test]
fn a_gigabyte_comes_down_in_little_memory() {
    let _large = large();
    let upstream = upstream();
    let nginx = passing(&upstream);
    nginx.hole("big", GIGABYTE);
    for drive in DRIVES {
        let mut client = Client::new(drive, &[]);
        let (outcome, received, grown) = transfer(&mut client, &Request::get(nginx.url("/big")).filled(), |_, _, _| {});
        assert_eq!((outcome.name(), outcome.status, received), ("CHTTP_OK", 200, GIGABYTE));
        assert!(grown < MEMORY, "{drive:?}: memory grew by {grown} bytes");
        assert_eq!(client.stats().connections_idle, 1);
    }
}

#[test]
fn a_gigabyte_goes_up_in_little_memory() {
    let _large = large();
    let upstream = upstream();
    let nginx = passing(&upstream);
    let hole = Hole::new(GIGABYTE);
    for drive in DRIVES {
        for from_file in [true, false] {
            let mut client = Client::new(drive, &[]);
            let request = Request::new("POST", nginx.url("/count"));
            let mut raw = request.filled();
            raw.body_len = GIGABYTE;
            if from_file {
                raw.flags |= CHTTP_REQ_FILE_BODY;
                raw.body_fd = hole.file.as_raw_fd();
            } else {
                raw.body = hole.at.cast();
            }
            let mut write_done = 0;
            let (outcome, _, grown) =
                transfer(&mut client, &raw, |_, _, kind| write_done += usize::from(kind == CHTTP_EV_WRITE_DONE));
            assert_eq!((outcome.name(), outcome.status), ("CHTTP_OK", 200));
            assert_eq!(outcome.body, format!("{GIGABYTE} 0").as_bytes());
            assert_eq!(write_done, usize::from(!from_file));
            assert!(grown < MEMORY, "{drive:?}, from a file: {from_file}: memory grew by {grown} bytes");
            assert_eq!(client.stats().connections_idle, 1);
        }
    }
}

#[test]
fn uploads_arrive_as_they_were() {
    let _large = large();
    let upstream = upstream();
    let nginx = passing(&upstream);
    let contents = pattern(5_000_001);
    let expected = |bytes: &[u8]| format!("{} {}", bytes.len(), bytes.iter().map(|&b| u64::from(b)).sum::<u64>());
    for drive in DRIVES {
        let mut client = Client::new(drive, &[]);
        for len in [0, 1, 65_536, 65_537, contents.len()] {
            let request = Request::new("PUT", nginx.url("/sink"));
            let mut raw = request.filled();
            (raw.body, raw.body_len) = (contents.as_ptr().cast(), len as u64);
            let (outcome, ..) = transfer(&mut client, &raw, |_, _, _| {});
            assert_eq!(outcome.name(), "CHTTP_OK", "{len} bytes: {}", outcome.message);
            assert_eq!(outcome.body, expected(&contents[..len]).as_bytes(), "{len} bytes");
        }
        for known in [true, false] {
            // Without a length only a body that nginx has buffered has one on its way to our server.
            let request = Request::new("PUT", nginx.url(if known { "/sink" } else { "/buffered" }));
            let mut raw = request.filled();
            raw.flags |= CHTTP_REQ_STREAM_BODY;
            raw.body_len = if known { contents.len() as u64 } else { CHTTP_LENGTH_UNKNOWN };
            let mut xids = [0];
            client.submit_raw(&[raw], &mut xids).expect("a valid request");
            let outcome = stream_up(&mut client, xids[0], &contents);
            assert_eq!(outcome.name(), "CHTTP_OK", "length known: {known}: {}", outcome.message);
            assert_eq!(outcome.body, expected(&contents).as_bytes(), "length known: {known}");
        }
    }
}

/// Write `bytes` piece by piece, as far as there is room, and wait for the end.
fn stream_up(client: &mut Client, xid: u64, bytes: &[u8]) -> Outcome {
    let (mut pieces, mut outcome, mut room) = (bytes.chunks(100_000).peekable(), Outcome::default(), true);
    while !outcome.ended {
        while room && let Some(piece) = pieces.peek() {
            match client.write(xid, piece) {
                0 => drop(pieces.next()),
                e::CHTTP_E_AGAIN => room = false,
                other => panic!("{}", name(other)),
            }
            if pieces.peek().is_none() {
                assert_eq!(client.end_body(xid), 0);
            }
        }
        client.poll();
        client.drain(|event| {
            room |= u32::from(event.kind) == CHTTP_EV_WRITABLE;
            note(&mut outcome, event);
        });
    }
    outcome
}

/// Start a transfer without an end, let the server die once the first bytes are there, and return what came of it.
fn cut_off(drive: Drive, nginx: &mut Nginx, path: &str) -> (Outcome, u64, u64) {
    let mut client = Client::new(drive, &[]);
    let mut bytes = 0;
    let killed = transfer(&mut client, &Request::get(nginx.url(path)).filled(), |_, _, kind| {
        bytes += usize::from(kind == CHTTP_EV_BODY);
        if bytes == 1 {
            bytes += 1;
            nginx.kill();
        }
    });
    let stats = client.stats();
    assert_eq!((stats.connections, stats.exchanges, stats.failed, stats.retried), (0, 0, 1, 0));
    killed
}

#[test]
fn a_server_that_is_killed_truncates_the_body() {
    let upstream = upstream();
    for drive in DRIVES {
        for (path, code) in [("/big", e::CHTTP_E_TRUNCATED_BODY), ("/endless", e::CHTTP_E_TRUNCATED_CHUNK)] {
            let mut nginx = passing(&upstream);
            nginx.hole("big", GIGABYTE);
            let (outcome, received, _) = cut_off(drive, &mut nginx, path);
            assert_eq!(outcome.name(), name(code), "{path}: {}", outcome.message);
            assert_eq!((outcome.status, outcome.flags & CHTTP_EF_PARTIAL), (200, CHTTP_EF_PARTIAL));
            assert!(received > 0 && received < GIGABYTE && !outcome.retryable);
            assert!(outcome.message.contains("receiving"), "{}", outcome.message);
        }
    }
}

#[test]
fn a_server_that_is_killed_ends_an_upload() {
    let upstream = upstream();
    for drive in DRIVES {
        let mut nginx = passing(&upstream);
        let mut client = Client::new(drive, &[]);
        let request = Request::new("POST", nginx.url("/count"));
        let mut raw = request.filled();
        raw.flags |= CHTTP_REQ_STREAM_BODY;
        raw.body_len = GIGABYTE;
        let mut xids = [0];
        client.submit_raw(&[raw], &mut xids).expect("a valid request");
        let (piece, mut outcome, mut room, mut writable) = (vec![0; 100_000], Outcome::default(), true, 0);
        while !outcome.ended {
            while room {
                match client.write(xids[0], &piece) {
                    0 => {}
                    e::CHTTP_E_AGAIN | e::CHTTP_E_NOT_FOUND => room = false,
                    other => panic!("{}", name(other)),
                }
            }
            client.poll();
            client.drain(|event| {
                let kind = u32::from(event.kind);
                room |= kind == CHTTP_EV_WRITABLE;
                writable += usize::from(kind == CHTTP_EV_WRITABLE);
                note(&mut outcome, event);
            });
            if writable == 3 {
                writable += 1;
                nginx.kill();
            }
        }
        // FIN or RST, whichever comes first: a process that dies with unread bytes resets.
        assert!(
            matches!(outcome.error, e::CHTTP_E_CONNECTION_LOST | e::CHTTP_E_CLOSED_BEFORE_HEAD),
            "{}: {}",
            outcome.name(),
            outcome.message
        );
        assert!(!outcome.retryable && outcome.flags & CHTTP_EF_PARTIAL == 0);
        assert_eq!(client.stats().connections, 0);

        // Nobody listens any more.
        let outcome = client.run_one(Request::get(nginx.url("/")));
        assert_eq!((outcome.name(), outcome.os_errno), ("CHTTP_E_CONNECT_REFUSED", libc::ECONNREFUSED));
        assert!(outcome.retryable && outcome.message.contains("connecting"), "{}", outcome.message);
        let stats = client.stats();
        assert_eq!((stats.connections, stats.connect_failures, stats.exchanges), (0, 1, 0));
    }
}

/// What a request that meets a dying server may fail with; everything else would be an error that blames somebody else.
const GONE: [i32; 4] =
    [e::CHTTP_E_CLOSED_BEFORE_HEAD, e::CHTTP_E_CONNECTION_LOST, e::CHTTP_E_CONNECT_REFUSED, e::CHTTP_E_CONNECT_RESET];

#[test]
fn a_server_that_reloads_and_quits_costs_no_request_its_precise_end() {
    const IN_FLIGHT: usize = 64;
    const RELOADS: u64 = 4;
    for drive in DRIVES {
        let mut nginx = Nginx::start(
            "location = /small { keepalive_requests 1000000; return 200 small; }
",
        );
        let mut client = Client::new(drive, &[(chttpcore::ffi::config::CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, 64)]);
        let request = Request::get(nginx.url("/small"));
        let raw = [request.filled(); IN_FLIGHT];
        let mut xids = [0; IN_FLIGHT];
        client.submit_raw(&raw, &mut xids).expect("valid requests");
        let (mut reloads, mut quit, mut flying) = (0, false, IN_FLIGHT);
        // The workers before the last reload, and when they were last looked for.
        let (mut old, mut looked) = (BTreeSet::new(), Instant::now());
        let (mut succeeded, mut failed) = (0u64, 0u64);
        while flying > 0 {
            client.poll();
            let mut ended = 0;
            client.drain(|event| {
                if u32::from(event.flags) & CHTTP_EF_TERMINAL == 0 {
                    return;
                }
                let mut outcome = Outcome::default();
                note(&mut outcome, event);
                ended += 1;
                if outcome.error == 0 {
                    succeeded += 1;
                } else {
                    failed += 1;
                    assert!(GONE.contains(&outcome.error), "{}: {}", outcome.name(), outcome.message);
                    assert!(outcome.retryable, "a GET without an answer: {}", outcome.message);
                }
            });
            flying -= ended;
            // The next reload is due when the old worker has let all connections go.
            if succeeded > 0 && !quit && looked.elapsed() > Duration::from_millis(5) {
                looked = Instant::now();
                let workers = nginx.workers();
                if workers.is_empty() || !workers.is_disjoint(&old) {
                    // A reload is under way.
                } else if reloads < RELOADS {
                    old = workers;
                    nginx.signal(libc::SIGHUP);
                    reloads += 1;
                } else {
                    nginx.signal(libc::SIGQUIT);
                    quit = true;
                }
            }
            // After the quit one request follows the other until they are refused.
            if failed == 0 || !quit {
                client.submit_raw(&raw[..ended], &mut xids[..ended]).expect("valid requests");
                flying += ended;
            }
        }
        nginx.ended();
        assert!(quit && failed > 0 && succeeded > IN_FLIGHT as u64);
        let stats = client.stats();
        println!("{drive:?}: {succeeded} succeeded, {failed} failed, {} retried", stats.retried);
        assert_eq!((stats.exchanges, stats.waiting, stats.connections), (0, 0, stats.connections_idle));
        assert_eq!((stats.succeeded, stats.failed, stats.submitted), (succeeded, failed, succeeded + failed));
        assert!(stats.connections_opened >= IN_FLIGHT as u64 + RELOADS, "no worker has closed a connection");
    }
}

#[test]
fn connections_that_close_without_a_word_are_told_apart() {
    // Each connection answers so many requests as its number says, and then goes away when the next one is there.
    let silent = Server::start(|number, stream| {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        for _ in 0..number {
            if server::head(&mut reader)?.is_none() {
                return Ok(());
            }
            server::answer(&mut stream, "fine")?;
        }
        server::head(&mut reader)?;
        Ok(())
    });
    for drive in DRIVES {
        let mut client = Client::new(drive, &[]);
        let mut outcomes = (0..12).map(|_| client.run_one(Request::get(silent.url("/")))).collect::<Vec<_>>();
        if drive == Drive::Thread {
            let first = outcomes.remove(0);
            assert_eq!(first.name(), "CHTTP_E_CLOSED_BEFORE_HEAD", "a new connection is not tried twice");
            assert!(first.retryable, "{}", first.message);
        }
        // A connection that had served before is: the request succeeds on a new one.
        for outcome in outcomes {
            assert_eq!((outcome.name(), outcome.body.as_slice()), ("CHTTP_OK", &b"fine"[..]), "{}", outcome.message);
        }
        assert!(client.stats().retried > 0);

        // The method says that it may not be sent twice.
        while client.run_one(Request::new("POST", silent.url("/"))).error == 0 {}
        assert_eq!(client.stats().failed, 1 + u64::from(drive == Drive::Thread));
    }
}

#[test]
fn resets_in_every_place_have_their_errors() {
    let resetting = Server::start(|_, stream| {
        let mut reader = BufReader::new(stream.try_clone()?);
        let Some((line, _)) = server::head(&mut reader)? else { return Ok(()) };
        let part: &[u8] = match line.split([' ', '?']).nth(1).unwrap_or("") {
            "/nothing" => b"",
            "/head" => b"HTTP/1.1 200 OK\r\nContent-Le",
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        };
        (&stream).write_all(part)?;
        if line.contains("?fin") {
            return Ok(());
        }
        // RST throws away what was not read yet: wait until the client has it.
        server::acknowledged(&stream);
        drop(reader);
        server::reset(stream);
        Ok(())
    });
    for drive in DRIVES {
        let mut client = Client::new(drive, &[]);
        for (path, codes, partial) in [
            ("/nothing?fin", [e::CHTTP_E_CLOSED_BEFORE_HEAD; 2], false),
            ("/nothing?rst", [e::CHTTP_E_CONNECTION_LOST; 2], false),
            ("/head?fin", [e::CHTTP_E_TRUNCATED_HEAD; 2], false),
            ("/head?rst", [e::CHTTP_E_CONNECTION_LOST, e::CHTTP_E_TRUNCATED_HEAD], false),
            ("/body?fin", [e::CHTTP_E_TRUNCATED_BODY; 2], true),
            ("/body?rst", [e::CHTTP_E_CONNECTION_LOST, e::CHTTP_E_TRUNCATED_BODY], true),
        ] {
            let outcome = client.run_one(Request::get(resetting.url(path)));
            assert!(codes.contains(&outcome.error), "{path}: {}: {}", outcome.name(), outcome.message);
            assert_eq!(outcome.flags & CHTTP_EF_PARTIAL != 0, partial, "{path}");
            assert_eq!(outcome.retryable, path.starts_with("/nothing"), "{path}: {}", outcome.message);
        }
        assert_eq!((client.stats().connections, client.stats().failed), (0, 6));
    }
}
