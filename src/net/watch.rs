//! Descriptors of the application's that the reactor watches for it.
//!
//! Level-triggered, one report at a time: after a report a watch is silent until it is looked at `again`. The application
//! closes its descriptors when it likes, also while we watch them, and the kernel gives their numbers to others. So a token
//! has a generation, and nothing is done to a number but what the kernel, which knows the description, would refuse if it stood
//! for another one. Where it cannot refuse, because the number's new owner is watched, too, the former watch is over: that is
//! what `by_fd` is for.
//!
//! Invariant: `by_fd` has each watch, under its number.
#![forbid(unsafe_code)]

use super::backend::{Backend, Edge, Interest, Token};
use super::reactor::{Agent, Io};
use crate::mem::{Key, Slab};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::RawFd;

/// Set in the slot of a token that is a watch's. Tables of connections do not reach that far.
const MARK: u32 = 1 << 31;

pub type WatchId = Key;

struct Watch {
    fd: RawFd,
    interest: Interest,
    /// The kernel will report it.
    armed: bool,
    /// Whose it is, in the room above.
    owner: u64,
}

#[derive(Default)]
pub struct Watches {
    table: Slab<Watch>,
    by_fd: BTreeMap<RawFd, WatchId>,
}

/// The watch that a token names, if it is no connection's.
pub(super) fn named(token: Token) -> Option<WatchId> {
    let key = Key::unpack(token.0);
    (key.slot & MARK != 0).then_some(Key { slot: key.slot & !MARK, ..key })
}

fn token(id: WatchId) -> Token {
    Token(Key { slot: id.slot | MARK, ..id }.pack())
}

impl Interest {
    fn is_empty(self) -> bool {
        !self.readable && !self.writable
    }
}

impl Watches {
    pub fn count(&self) -> usize {
        self.table.len()
    }

    pub fn tidy(&mut self) {
        self.table.tidy();
    }
}

impl<B: Backend> Io<B> {
    /// Watch a descriptor. With the new watch comes the owner of one that this has shown to be over: its descriptor was
    /// closed, and the number is another's. `AlreadyExists`: there is a watch of this very descriptor.
    pub fn watch(&mut self, fd: RawFd, interest: Interest, owner: u64) -> io::Result<(WatchId, Option<u64>)> {
        let id = self.watches.table.next_key();
        let former = self.watches.by_fd.get(&fd).copied();
        let mut added = self.backend.watch(fd, token(id), interest);
        if former.is_none() && added.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
            // It was in the set when its number was closed, lived on under another, and has the old one again.
            added = self.backend.watch_again(fd, token(id), interest);
        }
        added?;
        let id = self.watches.table.insert(Watch { fd, interest, armed: !interest.is_empty(), owner });
        self.watches.by_fd.insert(fd, id);
        // Removed only now: the token was made from the place that was free before.
        let over = former.and_then(|id| self.watches.table.remove(id)).map(|watch| watch.owner);
        Ok((id, over))
    }

    /// The descriptor of a watch.
    pub fn watched_fd(&self, id: WatchId) -> Option<RawFd> {
        self.watches.table.get(id).map(|watch| watch.fd)
    }

    /// The last report was dealt with: look anew. An error if the descriptor is not there any more.
    pub fn watch_again(&mut self, id: WatchId) -> io::Result<()> {
        let Some(watch) = self.watches.table.get_mut(id) else { return Ok(()) };
        if watch.interest.is_empty() {
            watch.armed = false;
            return Ok(());
        }
        self.backend.watch_again(watch.fd, token(id), watch.interest)?;
        watch.armed = true;
        Ok(())
    }

    /// Ask something else. `idle`: no report is being dealt with, so that it is asked at once.
    pub fn watch_for(&mut self, id: WatchId, interest: Interest, idle: bool) -> io::Result<()> {
        let Some(watch) = self.watches.table.get_mut(id) else { return Ok(()) };
        watch.interest = interest;
        if idle { self.watch_again(id) } else { Ok(()) }
    }

    pub fn unwatch(&mut self, id: WatchId) {
        if let Some(watch) = self.watches.table.remove(id) {
            self.watches.by_fd.remove(&watch.fd);
            self.backend.unwatch(watch.fd);
        }
    }

    /// The kernel reports a watch.
    pub(super) fn watch_ready<A: Agent<B>>(&mut self, id: WatchId, edge: Edge, agent: &mut A) {
        let Some(watch) = self.watches.table.get_mut(id) else { return };
        // What was on its way while the watch was changed: it will be looked at anew.
        if !std::mem::take(&mut watch.armed) {
            return;
        }
        let Watch { interest, owner, .. } = *watch;
        // Trying tells what a hangup is: so whoever waits to read can, and whoever waits to write.
        let edge = Edge {
            readable: interest.readable && (edge.readable || edge.hangup),
            writable: interest.writable && (edge.writable || edge.hangup),
            hangup: edge.hangup,
        };
        agent.watched(self, owner, edge);
    }
}
