//! Sockets, time and threads: what moves bytes between a protocol and the world.

pub mod backend;
pub mod connection;
mod counters;
pub mod descriptors;
mod low_water;
pub mod mailbox;
pub mod pump;
pub mod reactor;
mod records;
pub mod resolver;
pub mod secure;
mod sole;
pub mod spoken;
pub mod sys;
pub mod watch;
pub mod wheel;
