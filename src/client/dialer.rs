//! Making connections: from an origin's name to an open socket.
//!
//! A dial belongs to the exchange that asked for it: its failure is that exchange's failure. Its success serves whoever has
//! waited longest. An exchange that was served in the meantime leaves its dial behind, whose connection becomes idle.
//!
//! Addresses are tried one after the other. Names are resolved once for all dials that want the same one, and kept a while.

use super::engine::Mail;
use super::failure::{Cause, Phase};
use super::{Client, DIAL_TIMER, NOBODY};
use crate::error as e;
use crate::mem::{Key, Slab};
use crate::net::backend::{Address, Backend};
use crate::net::connection::ConnId;
use crate::net::mailbox::Mailbox;
use crate::net::reactor::Io;
use crate::net::resolver::{Answer, ResolveError, Resolver, literal};
use crate::net::wheel::TimerId;
use crate::pool::{Checkout, OriginId};
use crate::proto::Tick;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Names kept in the cache; beyond it, those that are out of date go.
const NAMES_MAX: usize = 1024;
/// A dial without a deadline is looked at this often: once nobody waits for it, it must not keep its place for ever.
const ORPHAN_NS: u64 = 60_000_000_000;
/// The least time after which a dial that still has an owner is looked at again.
const AGAIN_NS: u64 = 1_000_000;

pub struct Dial {
    origin: OriginId,
    /// The exchange that fails with it.
    owner: Option<u64>,
    conn: Option<ConnId>,
    addresses: Vec<Address>,
    next: usize,
    /// Ends a dial that nobody waits for any more, and the moment. While it has an owner, that one's deadline counts.
    timer: Option<(TimerId, Tick)>,
    started: Tick,
}

enum Name {
    /// These dials wait for the answer.
    Asked(Vec<Key>),
    Known {
        until: Tick,
        addresses: Vec<IpAddr>,
    },
}

pub struct Dialer {
    dials: Slab<Dial>,
    names: HashMap<Box<str>, Name>,
    /// `None` once the engine has ended: a late answer finds nobody.
    resolver: Option<Resolver>,
    mail: Arc<Mailbox<Mail>>,
    cache_ns: u64,
}

impl Dialer {
    pub fn new(mail: Arc<Mailbox<Mail>>, resolver: Resolver, cache_ns: u64) -> Dialer {
        Dialer { dials: Slab::default(), names: HashMap::new(), resolver: Some(resolver), mail, cache_ns }
    }

    pub fn count(&self) -> usize {
        self.dials.len()
    }

    /// Dials that have a socket.
    pub fn connecting(&self) -> usize {
        self.dials.iter().filter(|d| d.conn.is_some()).count()
    }

    /// No answer will come any more, and no descriptor will be written to for one.
    pub fn close(&mut self) {
        self.resolver = None;
    }

    /// Ask for a name. `None`: the answer will come by mail.
    fn lookup(&mut self, host: &str, dial: Key, now: Tick) -> Option<Vec<IpAddr>> {
        match self.names.get_mut(host) {
            Some(Name::Known { until, addresses }) if *until > now => return Some(addresses.clone()),
            Some(Name::Asked(dials)) => {
                dials.push(dial);
                return None;
            }
            _ => {}
        }
        if self.names.len() >= NAMES_MAX {
            self.names
                .retain(|_, n| matches!(n, Name::Asked(_)) || matches!(n, Name::Known { until, .. } if *until > now));
        }
        self.names.insert(host.into(), Name::Asked(vec![dial]));
        let (mail, name) = (self.mail.clone(), Box::<str>::from(host));
        if let Some(resolver) = &self.resolver {
            resolver.resolve(host, Box::new(move |answer| mail.post(Mail::Resolved(name, answer))));
        }
        None
    }

    /// The answer for a name; returns the dials that waited for it.
    fn answered(&mut self, host: &str, answer: &Answer, now: Tick) -> Vec<Key> {
        let asked = match answer {
            Ok(addresses) if self.cache_ns > 0 && self.names.len() < NAMES_MAX * 2 => {
                let known = Name::Known { until: now.after(self.cache_ns), addresses: addresses.clone() };
                self.names.insert(host.into(), known)
            }
            _ => self.names.remove(host),
        };
        match asked {
            Some(Name::Asked(dials)) => dials,
            _ => Vec::new(),
        }
    }
}

impl Client {
    /// Start a dial for an exchange. Its place is booked in the pool.
    pub(super) fn dial<B: Backend>(&mut self, io: &mut Io<B>, origin: OriginId, xid: u64) {
        let now = io.now();
        let Some(key) = self.pool.key(origin) else { return };
        let (unix, port) = (key.unix.clone(), key.port);
        let host = key.host.clone();
        let Some(exchange) = self.exchange(xid) else { return };
        let timeout = exchange.request.timeouts.dns.saturating_add(exchange.request.timeouts.connect);
        let dial =
            Dial { origin, owner: Some(xid), conn: None, addresses: Vec::new(), next: 0, timer: None, started: now };
        let id = self.dialer.dials.insert(dial);
        self.dialer.dials.get_mut(id).expect("just made").timer = set_timer(io, id, timeout);
        if let Some(exchange) = self.exchange(xid) {
            exchange.dial = Some(id);
            exchange.enter(Phase::Resolving, now);
        }
        let addresses = match (unix, literal(&host)) {
            (Some(path), _) => Some(vec![Address::Unix(path.to_path_buf())]),
            (None, Some(ip)) => Some(vec![Address::Inet(SocketAddr::new(ip, port))]),
            (None, None) => self.dialer.lookup(&host, id, now).map(|ips| with_port(&ips, port)),
        };
        match addresses {
            Some(addresses) => self.connect(io, id, addresses),
            None => self.watch(io, xid),
        }
    }

    /// A name was resolved, or not.
    pub(super) fn resolved<B: Backend>(&mut self, io: &mut Io<B>, host: &str, answer: Answer) {
        for id in self.dialer.answered(host, &answer, io.now()) {
            let Some(origin) = self.dialer.dials.get(id).map(|d| d.origin) else { continue };
            let port = self.pool.key(origin).map_or(0, |k| k.port);
            match &answer {
                Ok(ips) => self.connect(io, id, with_port(ips, port)),
                Err(error) => self.dial_failed(io, id, resolve_cause(error)),
            }
        }
    }

    fn connect<B: Backend>(&mut self, io: &mut Io<B>, id: Key, addresses: Vec<Address>) {
        let Some(dial) = self.dialer.dials.get_mut(id) else { return };
        dial.addresses = addresses;
        dial.next = 0;
        if let Some(xid) = dial.owner
            && let Some(exchange) = self.exchange(xid)
        {
            exchange.enter(Phase::Connecting, io.now());
        }
        self.try_next(io, id, Cause::code(e::CHTTP_E_NAME_NOT_FOUND));
    }

    /// Connect to the next address, or fail with `last` when there is none.
    fn try_next<B: Backend>(&mut self, io: &mut Io<B>, id: Key, mut last: Cause) {
        while let Some(dial) = self.dialer.dials.get_mut(id) {
            let Some(address) = dial.addresses.get(dial.next) else {
                return self.dial_failed(io, id, last);
            };
            dial.next += 1;
            match io.dial(address, dial.origin, id.slot) {
                Ok(conn) => {
                    dial.conn = Some(conn);
                    if let Some(xid) = dial.owner {
                        self.watch(io, xid);
                    }
                    return;
                }
                Err(error) => last = Cause::connect(&error),
            }
        }
    }

    /// The reactor says that an attempt is over.
    pub(super) fn dial_done<B: Backend>(&mut self, io: &mut Io<B>, conn: ConnId, result: io::Result<()>) {
        let Some(slot) = io.conn(conn).map(|c| c.owner) else { return };
        let Some(id) = self.dialer.dials.key_at(slot) else { return };
        if let Err(error) = result {
            io.close(conn, false);
            self.tally.connect_failures += 1;
            self.dialer.dials.get_mut(id).expect("found above").conn = None;
            return self.try_next(io, id, Cause::connect(&error));
        }
        let dial = self.dialer.dials.remove(id).expect("found above");
        if let Some((timer, _)) = dial.timer {
            io.wheel.cancel(timer);
        }
        self.tally.connections_opened += 1;
        let took = (io.now().0 - dial.started.0).max(1);
        if let Some(xid) = dial.owner
            && let Some(exchange) = self.exchange(xid)
        {
            exchange.dial = None;
            exchange.timing.connect_took = took;
        }
        if let Some(c) = io.conn_mut(conn) {
            c.owner = NOBODY;
        }
        self.serve(io, dial.origin, conn);
        // The connection may have gone to somebody who waited longer.
        if let Some(xid) = dial.owner
            && let now = io.now()
            && let Some(exchange) = self.exchange(xid)
            && exchange.conn.is_none()
            && exchange.dial.is_none()
        {
            exchange.enter(Phase::Queued, now);
            self.watch(io, xid);
            self.refill(io);
        }
    }

    /// No address is left: the exchange that asked fails, and the place is free.
    fn dial_failed<B: Backend>(&mut self, io: &mut Io<B>, id: Key, cause: Cause) {
        let Some(owner) = self.dialer.dials.get(id).map(|d| d.owner) else { return };
        // `fail` takes the dial of the exchange with it.
        match owner {
            Some(xid) if self.exchange(xid).is_some_and(|x| x.dial == Some(id)) => self.fail(io, xid, cause),
            _ => self.drop_dial(io, id),
        }
    }

    pub(super) fn dial_timed_out<B: Backend>(&mut self, io: &mut Io<B>, slot: u64) {
        let Some(id) = self.dialer.dials.key_at(slot as u32) else { return };
        let dial = self.dialer.dials.get_mut(id).expect("found above");
        // The slot may have passed to a dial that began in this very turn.
        if dial.timer.is_none_or(|(_, at)| at > io.now()) {
            return;
        }
        dial.timer = None;
        if let Some(xid) = dial.owner
            && let Some(exchange) = self.exchange(xid)
        {
            let timeouts = exchange.request.timeouts;
            let timer = set_timer(io, id, timeouts.dns.saturating_add(timeouts.connect).max(AGAIN_NS));
            self.dialer.dials.get_mut(id).expect("found above").timer = timer;
            return;
        }
        self.dial_failed(io, id, Cause::code(e::CHTTP_E_TIMEOUT_CONNECT));
    }

    /// End a dial and give its place back.
    pub(super) fn drop_dial<B: Backend>(&mut self, io: &mut Io<B>, id: Key) {
        let Some(dial) = self.dialer.dials.remove(id) else { return };
        if let Some((timer, _)) = dial.timer {
            io.wheel.cancel(timer);
        }
        if let Some(conn) = dial.conn {
            io.close(conn, true);
        }
        self.pool.closed(dial.origin, None);
        self.refill(io);
    }

    /// The exchange got a connection without its dial; the dial goes on for nobody in particular.
    pub(super) fn orphan_dial(&mut self, id: Key) {
        if let Some(dial) = self.dialer.dials.get_mut(id) {
            dial.owner = None;
        }
    }

    /// Another exchange that waits takes the dial over.
    pub(super) fn bequeath<B: Backend>(&mut self, io: &mut Io<B>, id: Key, heir: u64) {
        let now = io.now();
        let Some(dial) = self.dialer.dials.get_mut(id) else { return };
        dial.owner = Some(heir);
        let phase = if dial.conn.is_some() { Phase::Connecting } else { Phase::Resolving };
        if let Some(exchange) = self.exchange(heir) {
            exchange.dial = Some(id);
            exchange.enter(phase, now);
            self.watch(io, heir);
        }
    }

    /// Give free places to those who wait.
    ///
    /// A dial may fail at once and free its place again, which comes back here: then the loop that runs goes on, else a
    /// long queue would be worked off in a deep recursion.
    pub(super) fn refill<B: Backend>(&mut self, io: &mut Io<B>) {
        if self.refilling || self.closed.is_some() {
            return;
        }
        self.refilling = true;
        loop {
            let exchanges = &self.exchanges;
            let since = |xid| {
                let x = exchanges.get(super::ids::slot(xid))?.as_ref()?;
                (x.xid == xid && x.dial.is_none()).then_some(x.since)
            };
            let Some((origin, xid)) = self.pool.next_in_need(since) else { break };
            match self.pool.book(origin) {
                Checkout::Dial => self.dial(io, origin, xid),
                Checkout::EvictAndDial(idle) => {
                    io.close(idle, false);
                    self.dial(io, origin, xid);
                }
                Checkout::Wait | Checkout::Reuse(_) => break,
            }
        }
        self.refilling = false;
    }

    /// All dials, for the end of the engine.
    pub(super) fn drop_dials<B: Backend>(&mut self, io: &mut Io<B>) {
        let ids: Vec<Key> = self.dialer.dials.keys().collect();
        for id in ids {
            self.drop_dial(io, id);
        }
    }
}

/// Let the dial be looked at after `timeout`.
fn set_timer<B: Backend>(io: &mut Io<B>, id: Key, timeout: u64) -> Option<(TimerId, Tick)> {
    let at = io.now().after(if timeout == u64::MAX { ORPHAN_NS } else { timeout });
    Some((io.wheel.insert(at, DIAL_TIMER | u64::from(id.slot)), at))
}

fn with_port(ips: &[IpAddr], port: u16) -> Vec<Address> {
    ips.iter().map(|&ip| Address::Inet(SocketAddr::new(ip, port))).collect()
}

fn resolve_cause(error: &ResolveError) -> Cause {
    let (code, native) = match *error {
        ResolveError::NotFound => (e::CHTTP_E_NAME_NOT_FOUND, 0),
        ResolveError::Temporary => (e::CHTTP_E_NAME_TEMPORARY, 0),
        ResolveError::Failed(native) => (e::CHTTP_E_NAME_FAILED, native),
        ResolveError::System(errno) => {
            return Cause { code: e::CHTTP_E_NAME_FAILED, os_errno: errno, native: libc::EAI_SYSTEM };
        }
    };
    Cause { code, os_errno: 0, native }
}
