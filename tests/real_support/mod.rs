//! What the tests against real servers share: an nginx of their own, a server that misbehaves on purpose, and a client
//! that calls the C interface the way a C program does.
// Each test binary uses its part.
#![allow(dead_code, unused_imports)]

pub mod client;
pub mod idle;
pub mod nghttpd;
pub mod nginx;
pub mod openssl;
pub mod server;
pub mod tls;
pub mod transfer;

pub use client::{Client, Drive, Request};
pub use nghttpd::Nghttpd;
pub use nginx::Nginx;
pub use tls::{Tls, Value};

/// Memory of this process that is not of a file, in bytes: what a client that buffers would grow by.
pub fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is there");
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:")).expect("Linux 4.5 and later");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}
