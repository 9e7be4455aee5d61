//! libchttpcore: an HTTP client transport with a C ABI.
//!
//! The rooms and the one direction in which they may know each other:
//!
//! ```text
//! ffi → client → pool → net → { proto, mem }      queue stands between client and ffi      error is below all
//! ```
#![deny(unsafe_code)]

pub mod client;
pub mod diag;
pub mod error;
pub mod ffi;
pub mod mem;
pub mod net;
pub mod pool;
pub mod proto;
pub mod queue;
mod sync;
