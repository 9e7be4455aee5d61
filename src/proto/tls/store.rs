//! Sessions that may go on: a bounded store, in which the server that was not heard of for longest makes place for a new one.
//!
//! Each `Tls` has a store of its own, so that a session never goes on under other settings than those that verified it.

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tickets of one server. A server sends two or so with each connection, and each serves once (RFC 8446 appendix C.4).
const TICKETS: usize = 4;

#[derive(Default)]
struct Server {
    used: u64,
    /// The group that the server chose last, so that the first try of a key share fits.
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    /// Oldest first.
    tls13: VecDeque<Tls13ClientSessionValue>,
}

#[derive(Default)]
struct Servers {
    known: HashMap<ServerName<'static>, Server>,
    /// Counts accesses; the largest number was used last.
    clock: u64,
}

pub(super) struct Store {
    servers: Mutex<Servers>,
    max: usize,
}

impl Store {
    pub(super) fn new(max: usize) -> Store {
        Store { servers: Mutex::default(), max }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().known.len()
    }

    fn lock(&self) -> MutexGuard<'_, Servers> {
        // No change is left half done by a panic.
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A server that is known already.
    fn known<T>(&self, name: &ServerName<'_>, look: impl FnOnce(&mut Server) -> T) -> Option<T> {
        let mut servers = self.lock();
        servers.clock += 1;
        let now = servers.clock;
        let server = servers.known.get_mut(&name.to_owned())?;
        server.used = now;
        Some(look(server))
    }

    /// The same, made if need be.
    fn edit(&self, name: ServerName<'static>, change: impl FnOnce(&mut Server)) {
        let mut servers = self.lock();
        servers.clock += 1;
        let now = servers.clock;
        if servers.known.len() >= self.max && !servers.known.contains_key(&name) {
            // New servers are rare beside connections, and connections beside requests: a walk is cheap enough.
            let oldest = servers.known.iter().min_by_key(|(_, s)| s.used).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest {
                servers.known.remove(&oldest);
            }
        }
        let server = servers.known.entry(name).or_default();
        server.used = now;
        change(server);
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Tickets and secrets are nobody's business.
        f.debug_struct("Store").field("servers", &self.len()).field("max", &self.max).finish()
    }
}

impl ClientSessionStore for Store {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.edit(name, |s| s.group = Some(group));
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.known(name, |s| s.group).flatten()
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.edit(name, |s| s.tls12 = Some(value));
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.known(name, |s| s.tls12.clone()).flatten()
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.known(name, |s| s.tls12 = None);
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.edit(name, |s| {
            if s.tls13.len() == TICKETS {
                s.tls13.pop_front();
            }
            s.tls13.push_back(value);
        });
    }

    /// The newest, because it is good for longest.
    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.known(name, |s| s.tls13.pop_back()).flatten()
    }
}
