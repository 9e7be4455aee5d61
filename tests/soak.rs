//! Samples of the long runs, small enough for every day: `make soak` runs them at full length (tests/soak.sh).
//! `CHTTP_SOAK_CANCELS` sets the number of requests of the second.

mod dice;
mod real_support;
#[allow(dead_code, reason = "the compiler is for others")]
mod support;

use chttpcore::ffi::config::CHTTP_OPT_MAX_CONNECTIONS_PER_HOST;
use chttpcore::ffi::error::{chttp_error_connection_reused, chttp_error_phase};
use chttpcore::ffi::types::{CHTTP_EF_TERMINAL, chttp_event, chttp_stats};
use dice::Dice;
use real_support::client::{DRIVES, name};
use real_support::server::{self, Server};
use real_support::{Client, Request};
use std::io::{BufReader, Write};
use std::process::Command;
use support::{built, root, succeed};

/// A byte of the answer was there.
const PHASE_RECEIVING: i32 = 6;

#[test]
fn a_sample_of_the_long_run() {
    built();
    print!("{}", succeed(Command::new(root().join("tests/soak.sh")).arg("20000").current_dir(root())));
}

/// Answers for a while, and then goes away: in order, without a word, in the middle of a head or a body, or with RST.
fn fickle() -> Server {
    Server::start(|number, stream| {
        let mut dice = Dice::new(number as u64);
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        while server::head(&mut reader)?.is_some() {
            match dice.roll(64) {
                0 => return Ok(()),
                1 => return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-"),
                2 => return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
                3 => return stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
                4 => {
                    drop(reader);
                    server::reset(stream);
                    return Ok(());
                }
                5 => stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")?,
                _ => server::answer(&mut stream, "ok")?,
            }
        }
        Ok(())
    })
}

/// Sockets of this process that are connected to `port`.
fn connected_to(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("/proc is there");
    let ours: Vec<String> = std::fs::read_dir("/proc/self/fd")
        .expect("/proc is there")
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()?.into_os_string().into_string().ok())
        .filter_map(|link| link.strip_prefix("socket:[").map(|inode| inode.trim_end_matches(']').to_owned()))
        .collect();
    let remote = format!(":{port:04X}");
    let row = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(2).is_some_and(|f| f.ends_with(&remote))
            && fields.get(9).is_some_and(|i| ours.iter().any(|o| o == i))
    };
    table.lines().filter(row).count()
}

/// What the header promises of the figures, at any moment.
fn adds_up(s: &chttp_stats) {
    let causes =
        [s.closed_idle, s.closed_age, s.closed_by_peer, s.closed_failed, s.closed_evicted, s.closed_not_reusable];
    assert_eq!(s.connections_closed, causes.iter().sum::<u64>());
    assert_eq!(s.connections_opened - s.connections_closed, s.connections - s.dials);
    assert!(s.connections_idle <= s.connections - s.dials && s.queued <= s.waiting && s.queued <= s.queued_max);
}

/// A GET failed before a byte of its answer, on a connection that had been kept open.
fn was_safe_to_replay(event: &chttp_event) -> bool {
    if event.obj.is_null() || !["CHTTP_E_CLOSED_BEFORE_HEAD", "CHTTP_E_CONNECTION_LOST"].contains(&name(event.error)) {
        return false;
    }
    let error = event.obj.cast();
    // SAFETY: the object of a failed DONE is an error, and is alive while its event is looked at.
    let (reused, phase) = unsafe { (chttp_error_connection_reused(error), chttp_error_phase(error)) };
    reused == 1 && phase < PHASE_RECEIVING
}

#[test]
fn cancels_and_closes_at_random_leave_the_books_in_order() {
    const IN_FLIGHT: usize = 64;
    let total: usize = std::env::var("CHTTP_SOAK_CANCELS").map_or(5_000, |n| n.parse().expect("a number"));
    for drive in DRIVES {
        let server = fickle();
        // Fewer connections than requests: some are cancelled while they wait.
        let mut client = Client::new(drive, &[(CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, IN_FLIGHT as i64 / 2)]);
        let requests =
            [Request::get(server.url("/")), Request::get(server.url("/")).collect()].map(|r| (r.filled(), r));
        let mut dice = Dice::new(1);
        let (mut live, mut submitted, mut ended, mut refused) = (Vec::new(), 0, 0, 0);
        let mut codes = std::collections::BTreeMap::new();
        while ended < total {
            while live.len() < IN_FLIGHT && submitted < total {
                let mut xid = [0];
                client.submit_raw(&[requests[dice.roll(2_usize)].0], &mut xid).expect("a valid request");
                live.push(xid[0]);
                submitted += 1;
            }
            if dice.roll(4) == 0 {
                let xid = dice.pick(&live);
                // It may have ended meanwhile; cancelling twice is allowed.
                refused += usize::from(client.cancel(xid) != 0);
            }
            client.poll();
            adds_up(&client.stats());
            client.drain(|event| {
                if u32::from(event.flags) & CHTTP_EF_TERMINAL != 0 {
                    assert!(!was_safe_to_replay(event), "a request met a stale connection and was not sent again");
                    let at = live.iter().position(|&xid| xid == event.xid).expect("one terminal event for each");
                    live.swap_remove(at);
                    *codes.entry(name(event.error)).or_insert(0) += 1;
                    ended += 1;
                }
            });
        }
        println!("{drive:?}: {codes:?}, {refused} cancels too late");
        let stats: chttp_stats = client.stats();
        assert_eq!(stats.queued, 0);
        assert_eq!((stats.exchanges, stats.waiting), (0, 0));
        assert_eq!(stats.connections, stats.connections_idle, "nobody uses a connection");
        assert_eq!((stats.submitted, stats.succeeded + stats.failed + stats.cancelled), (total as u64, total as u64));
        assert!(stats.cancelled > 0 && stats.failed > 0 && stats.succeeded > 0 && stats.retried > 0);
        assert_eq!(connected_to(server.port()) as u64, stats.connections, "each connection is one socket");
        for code in codes.keys() {
            let known = [
                "OK",
                "E_CANCELLED",
                "E_CLOSED_BEFORE_HEAD",
                "E_CONNECTION_LOST",
                "E_TRUNCATED_HEAD",
                "E_TRUNCATED_BODY",
            ];
            assert!(known.iter().any(|k| code.strip_prefix("CHTTP_") == Some(k)), "{code}");
        }
    }
}
