//! The only connection there is, read without asking the waiter first.
//!
//! An application with one connection is woken for nothing else, as a rule. The wait that would say which connection has
//! something is then a system call that tells what is known. So after a streak of waits that each told of that connection
//! alone, its bytes are fetched at once, and the waiter is asked only if there are none.
//!
//! The edge that woke the application stays untaken then. The kernel drops it by itself, as long as the connection is not
//! registered for being writable, which it always is: it is made *quiet* for that time, and loud again when the socket takes
//! no more. An end that came with the last bytes is not seen in a short read; an application that watches the engine's
//! descriptor by level is woken for it, any other one by the timer: a look at the waiter is *owed*, for `LOOK_NS` at most.
#![forbid(unsafe_code)]

use super::backend::{Backend, Ready, Token};
use super::connection::{Conn, ConnId};
use super::reactor::{Agent, Io};
use super::watch;
use crate::mem::Key;
use crate::proto::Tick;

/// Waits that told of the same connection and of nothing else, one after the other.
const STREAK: u32 = 16;
/// How long bytes are fetched without a look at the waiter.
const LOOK_NS: u64 = 10_000_000;

pub(super) struct Sole {
    conn: Option<ConnId>,
    streak: u32,
    /// When the waiter has to be asked, because it was not when bytes were fetched.
    owed: Tick,
}

impl Default for Sole {
    fn default() -> Sole {
        Sole { conn: None, streak: 0, owed: Tick::NEVER }
    }
}

impl Sole {
    /// The waiter was asked, and told this.
    pub(super) fn told(&mut self, ready: &[Ready]) {
        self.owed = Tick::NEVER;
        let alone = match ready {
            [Ready { token, edge }] if edge.readable && !edge.hangup && watch::named(*token).is_none() => {
                Some(Key::unpack(token.0))
            }
            // A wait for nothing says nothing.
            [] => return,
            _ => None,
        };
        if alone.is_some() && alone == self.conn {
            self.streak = self.streak.saturating_add(1);
        } else {
            self.conn = alone;
            self.streak = 0;
        }
    }
}

impl<B: Backend> Io<B> {
    /// The connection whose bytes may be fetched.
    fn sole(&mut self) -> Option<(ConnId, &mut Conn<B::Sock>)> {
        let id = self.sole.conn.filter(|_| self.sole.streak >= STREAK)?;
        if self.conns.len() != 1 || self.watches.count() != 0 {
            return None;
        }
        let conn = self.conns.get_mut(id)?;
        let open = !conn.dialing && !conn.securing && !conn.paused && !conn.hangup && conn.pending.is_none();
        open.then_some((id, conn))
    }

    /// Whether `fetch` is worth a try, as far as is known when the waiter has just been asked.
    pub fn has_sole(&mut self) -> bool {
        self.sole().is_some()
    }

    /// A turn's work with what came to the only connection. If nothing did, the waiter has to be asked.
    pub fn fetch<A: Agent<B>>(&mut self, agent: &mut A) -> bool {
        let (now, owed) = (self.now(), self.sole.owed);
        let Some((id, conn)) = self.sole().filter(|_| now < owed) else { return false };
        if !conn.quiet {
            let sock = conn.sock;
            if !self.backend.quiet(sock, Token(id.pack()), true) {
                self.sole.streak = 0;
                return false;
            }
            self.conns.get_mut(id).expect("it is there").quiet = true;
        }
        self.came = 0;
        self.readable(id, agent);
        let came = self.came > 0;
        if came {
            self.sole.owed = owed.min(now.after(LOOK_NS));
            self.go_on(agent);
        } else {
            self.sole.streak = 0;
        }
        came
    }

    /// When the waiter has to be asked, although nothing may have come.
    pub fn owes_look(&self) -> Tick {
        self.sole.owed
    }

    /// A quiet connection whose socket takes no more has to hear when it does.
    pub(super) fn hear_room(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id)
            && conn.quiet
            && conn.pending.is_some()
        {
            conn.quiet = false;
            let sock = conn.sock;
            self.backend.quiet(sock, Token(id.pack()), false);
        }
    }
}
