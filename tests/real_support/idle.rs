//! What the tests of idle connections share: how many there may be, how they are driven, and what they are measured by.

use super::client::Client;
use chttpcore::ffi::types::CHTTP_EF_TERMINAL;
use std::time::{Duration, Instant};

/// Descriptors for everything else.
const OTHERS: usize = 200;

/// Resident bytes of this process that are backed by no file.
pub fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is there");
    let line = status.lines().find(|l| l.starts_with("RssAnon:")).expect("the kernel counts it");
    line.split_whitespace().nth(1).expect("a number").parse::<usize>().expect("a number") << 10
}

/// Allow as many descriptors as the system lets us; returns how many connections that gives, of those that are
/// `wanted`.
pub fn connections(wanted: usize) -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is readable and writable.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
    let allowed = usize::try_from(limit.rlim_max).map_or(wanted, |n| n - OTHERS);
    if allowed < wanted {
        println!("{allowed} connections instead of {wanted}: the limit of descriptors (ulimit -Hn) allows no more");
    }
    wanted.min(allowed)
}

/// Drain as long as events come, and then for `calm`.
pub fn drive(client: &mut Client, requests: usize, calm: Duration) {
    let (mut ended, mut until) = (0, Instant::now() + calm);
    while ended < requests || Instant::now() < until {
        if !client.poll_for(Duration::from_millis(50)) {
            continue;
        }
        client.drain(|event| {
            assert!(event.error == 0 && event.arg == 200, "error {}, status {}", event.error, event.arg);
            ended += usize::from(u32::from(event.flags) & CHTTP_EF_TERMINAL != 0);
            until = Instant::now() + calm;
        });
    }
}
