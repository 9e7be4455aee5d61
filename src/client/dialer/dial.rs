//! One dial: the attempts that race for one place in the pool, and what became of those that lost.

use crate::client::failure::{Cause, Phase};
use crate::error as e;
use crate::net::backend::Address;
use crate::net::connection::ConnId;
use crate::net::resolver::{Answer, ResolveError};
use crate::net::wheel::TimerId;
use crate::pool::OriginId;
use crate::proto::Tick;
use crate::proto::eyeballs::{Family, Race};
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;

/// Addresses that a message names.
const NAMED_MAX: usize = 8;

/// A socket that is being connected.
pub struct Attempt {
    pub conn: ConnId,
    pub to: Address,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    None,
    /// The socket is connected, and others come first.
    InLine,
    Begun,
}

pub struct Dial {
    pub origin: OriginId,
    /// For the addresses of a name.
    pub port: u16,
    /// The exchange that fails with it.
    pub owner: Option<u64>,
    pub race: Race<Address>,
    /// Those under way.
    pub attempts: Vec<Attempt>,
    /// The winner, until its TLS handshake is over. The race is over then.
    pub securing: Option<ConnId>,
    pub handshake: Handshake,
    /// Those that failed, in this order, with the errno of each.
    failed: Vec<(Address, i32)>,
    /// Why the last of them did.
    last: Option<Cause>,
    /// Why a family of the name has no address.
    unnamed: Option<ResolveError>,
    /// Runs out no later than `next` and `look_at`.
    pub timer: Option<(TimerId, Tick)>,
    /// When the race goes on by itself.
    pub next: Tick,
    /// When to see whether anybody still waits for the dial. While it has an owner, that one's deadline counts.
    pub look_at: Tick,
    pub started: Tick,
    /// When the first attempt began: the name was resolved.
    pub resolved: Option<Tick>,
    /// When the winner was connected.
    pub connected: Option<Tick>,
}

impl Dial {
    pub fn new(origin: OriginId, port: u16, owner: Option<u64>, race: Race<Address>, now: Tick, look_at: Tick) -> Dial {
        Dial {
            origin,
            port,
            owner,
            race,
            attempts: Vec::new(),
            securing: None,
            handshake: Handshake::None,
            failed: Vec::new(),
            last: None,
            unnamed: None,
            timer: None,
            next: Tick::NEVER,
            look_at,
            started: now,
            resolved: None,
            connected: None,
        }
    }

    /// The answer of one family of the name.
    pub fn answer(&mut self, now: Tick, family: Family, answer: &Answer) {
        let ips = answer.as_deref().unwrap_or_default();
        let port = self.port;
        self.race.answer(now, family, ips.iter().map(|&ip| Address::Inet(SocketAddr::new(ip, port))));
        if let &Err(error) = answer {
            // That a family is missing says least: the other one may have failed for a reason that passes.
            let known = self.unnamed.filter(|&known| known != ResolveError::NotFound);
            self.unnamed = known.or(Some(error));
        }
    }

    /// Sockets that it has.
    pub fn sockets(&self) -> impl Iterator<Item = ConnId> {
        self.attempts.iter().map(|a| a.conn).chain(self.securing)
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        match (self.securing, self.attempts.is_empty()) {
            (Some(_), _) if self.handshake == Handshake::InLine => Phase::Queued,
            (Some(_), _) => Phase::Securing,
            (None, true) => Phase::Resolving,
            (None, false) => Phase::Connecting,
        }
    }

    /// An attempt has failed.
    pub fn lost(&mut self, to: Address, error: &io::Error) {
        self.race.failed();
        self.failed.push((to, error.raw_os_error().unwrap_or(0)));
        self.last = Some(Cause::connect(error));
    }

    /// Why there is no connection, when nothing is left to try.
    pub fn cause(&self) -> Cause {
        self.last.unwrap_or_else(|| resolve_cause(self.unnamed.unwrap_or(ResolveError::NotFound)))
    }

    /// All addresses that were tried, with what became of each.
    pub fn tried(&self) -> String {
        let mut text = String::new();
        let outcomes = self.failed.iter().map(|(to, errno)| (to, Some(*errno)));
        let outcomes = outcomes.chain(self.attempts.iter().map(|a| (&a.to, None)));
        for (to, errno) in outcomes.take(NAMED_MAX) {
            let comma = if text.is_empty() { "" } else { ", " };
            let outcome = match errno {
                None => "no answer".into(),
                Some(libc::ECONNREFUSED) => "refused".into(),
                Some(libc::ENETUNREACH | libc::EHOSTUNREACH) => "unreachable".into(),
                Some(libc::ECONNRESET) => "reset".into(),
                Some(libc::ETIMEDOUT) => "timed out".into(),
                Some(errno) => io::Error::from_raw_os_error(errno).to_string(),
            };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}{to} {outcome}");
        }
        let more = (self.failed.len() + self.attempts.len()).saturating_sub(NAMED_MAX);
        if more > 0 {
            let _ = write!(text, " and {more} more");
        }
        text
    }
}

fn resolve_cause(error: ResolveError) -> Cause {
    let (code, native) = match error {
        ResolveError::NotFound => (e::CHTTP_E_NAME_NOT_FOUND, 0),
        ResolveError::Temporary => (e::CHTTP_E_NAME_TEMPORARY, 0),
        ResolveError::Failed(native) => (e::CHTTP_E_NAME_FAILED, native),
        ResolveError::System(errno) => {
            return Cause { code: e::CHTTP_E_NAME_FAILED, os_errno: errno, native: libc::EAI_SYSTEM };
        }
    };
    Cause { code, os_errno: 0, native }
}
