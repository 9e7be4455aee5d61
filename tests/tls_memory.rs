//! What a TLS connection costs while it is idle: all of the heap, the C library's part of the cryptography too.

mod tls_support;

use chttpcore::proto::tls::Session;
use std::sync::Arc;
use tls_support::{Authority, Pair, VERSIONS, tls};

/// Heap bytes of an idle session, its own place included; the whole idle connection may have 4.8 KB.
const IDLE_MAX: usize = 4400;
const SESSIONS: usize = 64;

/// Bytes that are allocated, by the books of the C library's allocator, which is Rust's too.
fn held() -> usize {
    // SAFETY: it only reads, and locks what it reads.
    unsafe { libc::mallinfo2() }.uordblks
}

// One test: it measures the process.
#[test]
fn an_idle_session_is_small() {
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["localhost"]);
    for version in VERSIONS {
        for megabytes in [0, 1] {
            let tls = tls(authority.trusted());
            let server = Arc::new(leaf.server(&[version]));
            let idle = || -> Box<Session> {
                let mut pair = Pair::secured(&tls, "localhost", &server);
                for _ in 0..megabytes * 64 {
                    pair.server_says(&[b'x'; 16 << 10]);
                    pair.run(7000).unwrap();
                    pair.client.say(&[b'x'; 16 << 10]);
                    pair.run(7000).unwrap();
                }
                assert_eq!((pair.client.plain.len(), pair.heard.len()), (megabytes << 20, megabytes << 20));
                assert!(pair.client.input.is_empty());
                Box::new(pair.client.session)
            };
            let sessions: Vec<_> = (0..SESSIONS).map(|_| idle()).collect();
            let before = held();
            drop(sessions);
            let cost = (before - held()) / SESSIONS;
            println!("{version:?}, after {megabytes} MiB: {cost} bytes");
            assert!(cost <= IDLE_MAX, "{version:?}: {cost} bytes");
        }
    }
}
