//! Sockets, time and threads: what moves bytes between a protocol and the world.

pub mod backend;
pub mod connection;
pub mod mailbox;
pub mod reactor;
pub mod resolver;
pub mod sys;
pub mod wheel;
