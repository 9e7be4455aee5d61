//! Making connections: from an origin's name to an open socket.
//!
//! A dial is one place in the pool, whatever the number of its attempts: several addresses race for it ([`eyeballs`]), the
//! first that connects wins, and the others are closed. It belongs to the exchange that asked for it: its failure is that
//! exchange's failure. Its success serves whoever has waited longest. An exchange that was served in the meantime leaves
//! its dial behind, whose connection becomes idle.
//!
//! [`eyeballs`]: crate::proto::eyeballs

mod dial;
mod handshakes;
mod names;

pub use names::Names;

use super::failure::{Cause, Phase};
use super::outcome::ms;
use super::settings::Timeouts;
use super::{Client, DIAL_TIMER, LINE_TIMER, NOBODY};
use crate::diag::Level;
use crate::error as e;
use crate::mem::{Key, Slab};
use crate::net::backend::{Address, Backend};
use crate::net::connection::ConnId;
use crate::net::reactor::Io;
use crate::net::resolver::{Answer, literal};
use crate::net::secure::Insecure;
use crate::pool::{Checkout, Http, OriginId, OriginKey, Scheme};
use crate::proto::eyeballs::{Family, Race, Step};
use crate::proto::{Tick, tls};
use dial::{Attempt, Dial, Handshake};
use handshakes::Handshakes;
use std::io;
use std::net::SocketAddr;

/// A dial without a deadline is looked at this often: once nobody waits for it, it must not keep its place for ever.
const ORPHAN_NS: u64 = 60_000_000_000;
/// The least time after which a dial that still has an owner is looked at again.
const AGAIN_NS: u64 = 1_000_000;

pub struct Dialer {
    dials: Slab<Dial>,
    names: Names,
    handshakes: Handshakes,
    /// The line moves up.
    moving_up: bool,
    /// Somebody looks at the lines when it runs out.
    line_timer: bool,
}

impl Dialer {
    pub fn new(names: Names) -> Dialer {
        Dialer { dials: Slab::default(), names, handshakes: Handshakes::default(), moving_up: false, line_timer: false }
    }

    /// Give back what a peak has left.
    pub fn tidy(&mut self) {
        self.dials.tidy();
    }

    pub fn count(&self) -> usize {
        self.dials.len()
    }

    /// Sockets that dials have.
    pub fn connecting(&self) -> usize {
        self.dials.iter().map(|d| d.sockets().count()).sum()
    }

    /// Whoever waits for a name exists. For tests.
    pub fn audit(&self) {
        assert!(self.names.waiting().all(|dial| self.dials.get(dial).is_some_and(|d| d.race.awaits())));
    }

    /// The dial that may begin its handshake, and its socket.
    fn next_in_line(&mut self) -> Option<(Key, ConnId)> {
        let dials = &self.dials;
        let id = self.handshakes.next(|dial| dials.get(dial).is_some())?;
        let dial = self.dials.get_mut(id)?;
        dial.handshake = Handshake::Begun;
        Some((id, dial.securing?))
    }

    /// The addresses that a dial has tried, and what became of each; empty if there are none.
    pub fn tried(&self, dial: Key) -> String {
        self.dials.get(dial).map(Dial::tried).unwrap_or_default()
    }

    /// No answer will come any more, and no descriptor will be written to for one.
    pub fn close(&mut self) {
        self.names.close();
    }
}

impl Client {
    /// Start a dial for an exchange. Its place is booked in the pool.
    pub(super) fn dial_for<B: Backend>(&mut self, io: &mut Io<B>, origin: OriginId, xid: u64) {
        let now = io.now();
        let Some(exchange) = self.exchange(xid) else { return };
        exchange.enter(Phase::Resolving, now);
        let timeouts = exchange.request.timeouts;
        if let Some(waiter) = exchange.waiter {
            self.pool.supplied(waiter);
        }
        self.dial(io, origin, Some(xid), &timeouts);
    }

    /// Open connections that become idle, until there are `count` idle ones, or as many as the limits allow.
    pub(super) fn preconnect<B: Backend>(&mut self, io: &mut Io<B>, key: &OriginKey, timeouts: &Timeouts, count: u32) {
        let origin = self.pool.origin(key);
        let under_way = self.dialer.dials.iter().filter(|d| d.origin == origin && d.owner.is_none()).count() as u32;
        let there = self.pool.idle_of(origin) + under_way;
        for _ in there..count {
            if !self.pool.book_spare(origin) {
                break;
            }
            self.dial(io, origin, None, timeouts);
        }
        self.pool.tidy_origin(origin);
    }

    fn dial<B: Backend>(&mut self, io: &mut Io<B>, origin: OriginId, owner: Option<u64>, timeouts: &Timeouts) {
        let now = io.now();
        let Some(key) = self.pool.key(origin) else { return };
        let (host, port) = (key.host.clone(), key.port);
        let literal = || literal(&host).map(|ip| Address::Inet(SocketAddr::new(ip, port)));
        let fixed = key.to.clone().or_else(literal);
        let is_name = fixed.is_none();
        let race = fixed.map_or_else(|| Race::new(self.settings.attempt_delay_ns), Race::only);
        let look_at = now.after(patience(timeouts.dns, timeouts.connect));
        let id = self.dialer.dials.insert(Dial::new(origin, port, owner, race, now, look_at));
        if let Some(exchange) = owner.and_then(|xid| self.exchange(xid)) {
            exchange.dial = Some(id);
        }
        if is_name {
            let found = self.dialer.names.lookup(&host, id, now);
            let dial = self.dialer.dials.get_mut(id).expect("just made");
            for (family, answer) in [(Family::V6, found.v6), (Family::V4, found.v4)] {
                if let Some(answer) = answer {
                    dial.answer(now, family, &answer);
                }
            }
        }
        self.advance(io, id);
    }

    /// A family of a name was resolved, or not.
    pub(super) fn resolved<B: Backend>(&mut self, io: &mut Io<B>, host: &str, family: Family, answer: &Answer) {
        let now = io.now();
        for id in self.dialer.names.answered(host, family, answer, now) {
            if let Some(dial) = self.dialer.dials.get_mut(id) {
                dial.answer(now, family, answer);
                self.advance(io, id);
            }
        }
    }

    /// Start the attempts that are due; fail when there will be none.
    fn advance<B: Backend>(&mut self, io: &mut Io<B>, id: Key) {
        let now = io.now();
        while let Some(dial) = self.dialer.dials.get_mut(id) {
            let step = if dial.securing.is_some() { Step::Wait(Tick::NEVER) } else { dial.race.poll(now) };
            match step {
                Step::Attempt(to) => {
                    let (origin, owner) = (dial.origin, dial.owner);
                    dial.resolved.get_or_insert(now);
                    if let Some(xid) = owner
                        && let Some(exchange) = self.exchange(xid)
                        && exchange.phase == Phase::Resolving
                    {
                        exchange.enter(Phase::Connecting, now);
                    }
                    let Some(key) = self.pool.key(origin) else { return };
                    self.log.add(Level::Debug, now, owner.unwrap_or(0), || format!("connecting to {to}"));
                    let dialled = io.dial(&to, &key.bind, origin, id.slot);
                    let dial = self.dialer.dials.get_mut(id).expect("connecting ends no dial");
                    match dialled {
                        Ok(conn) => dial.attempts.push(Attempt { conn, to }),
                        Err(error) => dial.lost(to, &error),
                    }
                }
                Step::Wait(until) => {
                    let owner = dial.owner;
                    dial.next = until;
                    self.set_timer(io, id);
                    if let Some(xid) = owner {
                        self.watch(io, xid);
                    }
                    return;
                }
                Step::Exhausted => {
                    let cause = dial.cause();
                    return self.dial_failed(io, id, cause);
                }
            }
        }
    }

    /// The reactor says that an attempt is over.
    pub(super) fn dial_done<B: Backend>(&mut self, io: &mut Io<B>, conn: ConnId, result: io::Result<()>) {
        let Some(slot) = io.conn(conn).map(|c| c.owner) else { return };
        let Some(id) = self.dialer.dials.key_at(slot) else { return };
        let dial = self.dialer.dials.get_mut(id).expect("found above");
        let Some(at) = dial.attempts.iter().position(|a| a.conn == conn) else { return };
        let Attempt { to, .. } = dial.attempts.swap_remove(at);
        match result {
            Ok(()) => {
                for loser in dial.attempts.drain(..) {
                    io.close(loser.conn, true);
                }
                self.connected(io, id, conn);
            }
            Err(error) => {
                let owner = dial.owner.unwrap_or(0);
                self.log.add(Level::Debug, io.now(), owner, || format!("no connection to {to}: {error}"));
                dial.lost(to, &error);
                io.close(conn, false);
                self.tally.connect_failures += 1;
                self.advance(io, id);
            }
        }
    }

    /// A socket is connected. TLS comes next, where it is spoken.
    fn connected<B: Backend>(&mut self, io: &mut Io<B>, id: Key, conn: ConnId) {
        let now = io.now();
        let dial = self.dialer.dials.get_mut(id).expect("found by the caller");
        dial.connected = Some(now);
        if self.pool.key(dial.origin).is_some_and(|key| key.scheme != Scheme::Https && key.tls.is_none()) {
            return self.established(io, id, conn);
        }
        dial.securing = Some(conn);
        if self.dialer.handshakes.begin(dial.origin, id, now) {
            dial.handshake = Handshake::Begun;
            return self.shake(io, id);
        }
        dial.handshake = Handshake::InLine;
        let owner = dial.owner;
        io.hold(conn);
        if let Some(exchange) = owner.and_then(|xid| self.exchange(xid)) {
            exchange.enter(Phase::Queued, now);
        }
        self.advance(io, id);
        self.watch_line(io);
    }

    /// Begin the TLS handshake of a dial whose turn it is.
    fn shake<B: Backend>(&mut self, io: &mut Io<B>, id: Key) {
        let now = io.now();
        let dial = self.dialer.dials.get_mut(id).expect("found by the caller");
        let conn = dial.securing.expect("it is connected");
        let session = match self.pool.key(dial.origin) {
            Some(OriginKey { host, tls: Some(tls), scheme, http, .. }) => {
                let what_for = match (scheme, http) {
                    (Scheme::Raw, _) => tls::For::Raw,
                    (_, Http::Agreed) => tls::For::Http,
                    (_, Http::One) => tls::For::Http1,
                    (_, Http::Two) => tls::For::Http2,
                };
                tls.session(host.clone(), what_for)
            }
            // Not a byte in the clear, whoever has forgotten the settings.
            _ => Err(tls::Error {
                kind: tls::Kind::Handshake,
                alert: None,
                message: "there are no settings of TLS for this origin".to_owned(),
            }),
        };
        let owner = dial.owner;
        let begun = session.map_err(Insecure::Tls).and_then(|session| io.start_tls(conn, session));
        if let Some(xid) = owner
            && let Some(exchange) = self.exchange(xid)
        {
            let tls = exchange.request.timeouts.tls;
            exchange.enter(Phase::Securing, now);
            let dial = self.dialer.dials.get_mut(id).expect("found above");
            dial.look_at = dial.look_at.max(now.after(patience(tls, 0)));
        }
        match begun {
            Ok(()) => self.advance(io, id),
            Err(error) => self.dial_secured(io, conn, Err(error)),
        }
    }

    /// Let those begin whose turn it is now.
    ///
    /// A handshake may fail at once and make room for the next, which comes back here: then the loop that runs goes on.
    fn move_up<B: Backend>(&mut self, io: &mut Io<B>) {
        if self.closed.is_some() || std::mem::replace(&mut self.dialer.moving_up, true) {
            return;
        }
        while let Some((id, conn)) = self.dialer.next_in_line() {
            io.resume(conn);
            self.shake(io, id);
        }
        self.dialer.moving_up = false;
    }

    /// See to it that a line which stands still becomes wider.
    fn watch_line<B: Backend>(&mut self, io: &mut Io<B>) {
        if self.dialer.line_timer {
            return;
        }
        let next = self.dialer.handshakes.widen(io.now());
        if next != Tick::NEVER {
            self.dialer.line_timer = true;
            io.wheel.insert(next, LINE_TIMER);
        }
        self.move_up(io);
    }

    pub(super) fn line_timed_out<B: Backend>(&mut self, io: &mut Io<B>) {
        self.dialer.line_timer = false;
        self.watch_line(io);
    }

    /// The TLS handshake of a dial is over.
    pub(super) fn dial_secured<B: Backend>(&mut self, io: &mut Io<B>, conn: ConnId, outcome: Result<(), Insecure>) {
        let Some(slot) = io.conn(conn).map(|c| c.owner) else { return };
        let Some(id) = self.dialer.dials.key_at(slot) else { return };
        let dial = self.dialer.dials.get_mut(id).expect("found above");
        if dial.securing != Some(conn) {
            return;
        }
        let error = match outcome {
            Ok(()) => {
                dial.securing = None;
                return self.established(io, id, conn);
            }
            Err(error) => error,
        };
        self.tally.connect_failures += 1;
        let (cause, detail) = match error {
            Insecure::Tls(error) => (Cause::tls(&error), Some(error.message.into_boxed_str())),
            Insecure::Lost(error) => (Cause::handshake(&error), None),
        };
        // Not by a reset, which could overtake the alert that says why.
        let owner = dial.owner;
        dial.securing = None;
        io.close(conn, false);
        if let Some(xid) = owner
            && let Some(exchange) = self.exchange(xid)
        {
            exchange.detail = detail;
        }
        self.dial_failed(io, id, cause);
    }

    /// A connection can be used, and its dial is over: whoever has waited longest goes on with it.
    fn established<B: Backend>(&mut self, io: &mut Io<B>, id: Key, conn: ConnId) {
        let origin = self.dialer.dials.get(id).expect("found by the caller").origin;
        let chose_h2 = io.conn(conn).and_then(|c| c.agreed()).map(|agreed| agreed.is_h2());
        let http = self.pool.key(origin).map_or(Http::One, |key| if key.may_share() { key.http } else { Http::One });
        let speaks_h2 = match (http, chose_h2) {
            // It was offered nothing else, and chose nothing.
            (Http::Two, Some(false)) => {
                io.close(conn, false);
                self.tally.connect_failures += 1;
                return self.dial_failed(io, id, Cause::code(e::CHTTP_E_H2_NOT_SPOKEN));
            }
            (Http::Two, _) => true,
            (Http::Agreed, chose_h2) => chose_h2 == Some(true),
            (Http::One, _) => false,
        };
        let dial = self.take_dial(io, id).expect("found by the caller");
        let places = if speaks_h2 { self.share(io, dial.origin, conn) } else { 1 };
        self.tally.connections_opened += 1;
        let now = io.now();
        self.pool.opened(dial.origin, conn, now, places);
        let took = |from: Option<Tick>, to: Option<Tick>| Some(to?.0.saturating_sub(from?.0).max(1));
        if let Some(xid) = dial.owner
            && let Some(exchange) = self.exchange(xid)
        {
            exchange.dial = None;
            exchange.timing.connect_took = took(Some(dial.started), Some(now)).unwrap_or(0);
            exchange.timing.dns_took = took(Some(dial.started), dial.resolved).unwrap_or(0);
            let secured = io.conn(conn).is_some_and(|c| c.agreed().is_some());
            exchange.timing.tls_took = took(dial.connected, secured.then_some(now)).unwrap_or(0);
        }
        if let Some(OriginKey { host, tls: Some(tls), .. }) = self.pool.key(dial.origin)
            && tls.is_insecure()
        {
            self.log.add(Level::Warning, now, dial.owner.unwrap_or(0), || {
                format!("the certificate of \"{host}\" was not verified (tls_insecure_no_verification)")
            });
        }
        if let Some(c) = io.conn_mut(conn) {
            c.owner = NOBODY;
            let (peer, agreed) = (c.peer, c.agreed());
            self.log.add(Level::Info, now, dial.owner.unwrap_or(0), || {
                let peer = peer.map_or_else(|| "a Unix socket".to_owned(), |p| p.to_string());
                let took = ms(now.0 - dial.started.0);
                let tls = agreed.map(|a| a.to_string()).unwrap_or_default();
                format!("connected to {peer} after {took:.3} ms{tls}")
            });
        }
        self.serve(io, dial.origin, conn);
        // The connection may have gone to somebody who waited longer.
        if let Some(xid) = dial.owner
            && let Some(exchange) = self.exchange(xid)
            && exchange.conn.is_none()
            && exchange.dial.is_none()
        {
            exchange.enter(Phase::Queued, now);
            if let Some(waiter) = exchange.waiter {
                self.pool.need(waiter);
            }
            self.watch(io, xid);
            self.refill(io);
        }
        if http != Http::One {
            // It is known now what a connection carries: those who waited for that may have dials of their own.
            self.refill(io);
        }
        self.move_up(io);
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
        let now = io.now();
        let Some(id) = self.dialer.dials.key_at(slot as u32) else { return };
        let dial = self.dialer.dials.get_mut(id).expect("found above");
        // The slot may have passed to a dial that began in this very turn.
        if dial.timer.is_none_or(|(_, at)| at > now) {
            return;
        }
        dial.timer = None;
        if dial.look_at <= now {
            let owner = dial.owner;
            let timeouts = owner.and_then(|xid| self.exchange(xid)).map(|x| x.request.timeouts);
            let Some(timeouts) = timeouts else {
                return self.dial_failed(io, id, Cause::code(e::CHTTP_E_TIMEOUT_CONNECT));
            };
            let dial = self.dialer.dials.get_mut(id).expect("found above");
            dial.look_at = now.after(patience(timeouts.dns, timeouts.connect));
        }
        self.advance(io, id);
    }

    /// See to it that the timer of a dial runs out in time. One that runs out early is set anew.
    fn set_timer<B: Backend>(&mut self, io: &mut Io<B>, id: Key) {
        let Some(dial) = self.dialer.dials.get_mut(id) else { return };
        let at = dial.next.min(dial.look_at);
        if dial.timer.is_some_and(|(_, set)| set <= at) {
            return;
        }
        if let Some((timer, _)) = dial.timer.take() {
            io.wheel.cancel(timer);
        }
        dial.timer = Some((io.wheel.insert(at, DIAL_TIMER | u64::from(id.slot)), at));
    }

    /// Take a dial out of the table, with its timer.
    fn take_dial<B: Backend>(&mut self, io: &mut Io<B>, id: Key) -> Option<Dial> {
        let dial = self.dialer.dials.remove(id)?;
        if let Some((timer, _)) = dial.timer {
            io.wheel.cancel(timer);
        }
        let Dialer { dials, handshakes, .. } = &mut self.dialer;
        match dial.handshake {
            Handshake::None => {}
            Handshake::InLine => handshakes.left(dial.origin, |other| dials.get(other).is_some()),
            Handshake::Begun => handshakes.over(dial.origin, io.now()),
        }
        if dial.race.awaits()
            && let Some(key) = self.pool.key(dial.origin)
        {
            self.dialer.names.forget(&key.host, id);
        }
        Some(dial)
    }

    /// End a dial and give its place back.
    pub(super) fn drop_dial<B: Backend>(&mut self, io: &mut Io<B>, id: Key) {
        let Some(dial) = self.take_dial(io, id) else { return };
        for conn in dial.sockets() {
            io.close(conn, true);
        }
        self.pool.unbook(dial.origin);
        self.stir(io);
        self.move_up(io);
        self.refill(io);
    }

    /// The exchange got a connection without its dial. That goes on for nobody in particular, unless it stands in line still:
    /// the next handshake is for somebody who waits.
    pub(super) fn orphan_dial<B: Backend>(&mut self, io: &mut Io<B>, id: Key) {
        let Some(dial) = self.dialer.dials.get_mut(id) else { return };
        dial.owner = None;
        if dial.handshake == Handshake::InLine {
            self.drop_dial(io, id);
        }
    }

    /// Another exchange that waits takes the dial over.
    pub(super) fn bequeath<B: Backend>(&mut self, io: &mut Io<B>, id: Key, heir: u64) {
        let now = io.now();
        let Some(dial) = self.dialer.dials.get_mut(id) else { return };
        dial.owner = Some(heir);
        let phase = dial.phase();
        if let Some(exchange) = self.exchange(heir) {
            exchange.dial = Some(id);
            exchange.enter(phase, now);
            if let Some(waiter) = exchange.waiter {
                self.pool.supplied(waiter);
            }
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
        while let Some((origin, xid, found)) = self.pool.book_next() {
            if let Checkout::EvictAndDial(idle) = found {
                self.close_lanes(io, idle);
                io.close(idle, false);
            }
            self.dial_for(io, origin, xid);
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

/// How long a dial goes on before somebody looks whether it is still wanted.
fn patience(dns: u64, connect: u64) -> u64 {
    match dns.saturating_add(connect) {
        u64::MAX => ORPHAN_NS,
        limited => limited.max(AGAIN_NS),
    }
}
