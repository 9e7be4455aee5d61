//! The C interface: the only `extern "C"` of the crate, one file for each handle.
//!
//! Every function goes through `guard`: a panic becomes `CHTTP_E_PANIC` and never crosses into C. Every handle knows the
//! process it was made in; in a forked child its functions answer `CHTTP_E_FORKED` before they touch anything, until it stands
//! for something of the child's own (`process`).
//!
//! The order of the `mod` lines is the order of the sections in the generated header.
#![allow(unsafe_code)]
// The contract of each function is written for C callers, in the sections that the header's readers know.
#![allow(clippy::missing_safety_doc)]
#![allow(non_camel_case_types)]

pub mod config;
pub mod delivery;
pub mod engine;
pub mod error;
pub mod exchange;
mod guard;
pub mod handles;
pub mod http2;
pub mod log;
pub mod mock;
pub mod mock_tls;
pub mod network;
pub mod notifier;
pub mod object;
pub mod options;
pub mod pool;
mod process;
pub mod queue;
pub mod response;
pub mod run;
pub mod sse;
pub mod stream;
pub mod submission;
pub mod timer;
pub mod tls;
pub mod types;
pub mod version;
pub mod watch;
pub mod websocket;
