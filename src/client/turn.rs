//! A turn: mail, readiness, what was left over, what is due; and at its end, the events.

use super::dispatch::Submission;
use super::engine::Mail;
use super::feed::write_done;
use super::outbox::Calls;
use super::stream::Unready;
use super::websocket::Frame;
use super::{Client, sink};
use crate::error as e;
use crate::net::backend::{Backend, Ready};
use crate::net::mailbox::Mailbox;
use crate::net::reactor::Io;
use crate::proto::Tick;
use crate::proto::tls::Tls;
use crate::queue::event::{flag, kind};
use crate::queue::{Event, Queue};
use std::sync::Arc;

/// Times that shared connections have their say in one turn, all together; the rest is for the next one.
const TALKS: usize = 1024;

/// Everything that a turn works on. Whoever holds it holds the turn.
pub struct Core<B: Backend> {
    pub io: Io<B>,
    pub client: Client,
    /// In the caller-driven drive: what the backend was told last.
    armed: Tick,
    lingering: bool,
    calls: Calls,
}

impl<B: Backend> Core<B> {
    pub fn new(io: Io<B>, client: Client) -> Core<B> {
        Core { io, client, armed: Tick::NEVER, lingering: false, calls: Calls::default() }
    }

    pub fn read_mail(&mut self, mailbox: &Mailbox<Mail>) {
        while let Some(mail) = mailbox.take() {
            let Core { io, client, .. } = self;
            match mail {
                Mail::Submit(submission) => client.accept(io, submission),
                Mail::Task(queue, event) => client.outbox.push(&queue, event),
                // Nothing is left that it could be about.
                _ if client.closed.is_some() => {}
                Mail::Cancel(xid) => client.cancel(io, xid),
                Mail::Again(id) => client.source_again(io, id),
                Mail::Credit(xid) => client.credit(io, xid),
                Mail::Nudge(xid) => client.nudge(io, xid),
                Mail::Write(xid, piece) => client.write(io, xid, piece),
                Mail::Preconnect(like, count) => client.preconnect(io, &like.origin, &like.timeouts, count),
                Mail::Resolved(host, family, answer) => client.resolved(io, &host, family, &answer),
            }
        }
    }

    /// The engine has ended: nothing that is submitted runs.
    pub fn is_closed(&self) -> bool {
        self.client.closed.is_some()
    }

    pub fn accept(&mut self, submission: Submission) {
        self.client.accept(&mut self.io, submission);
    }

    /// TLS from here on, on an open stream.
    pub fn start_tls(&mut self, xid: u64, tls: &Arc<Tls>, name: Option<&str>) -> Result<(), Unready> {
        self.client.start_tls(&mut self.io, xid, tls, name)
    }

    /// A frame of a WebSocket, sent from where it stands.
    pub fn send_frame(&mut self, xid: u64, frame: &Frame<&[u8]>) {
        self.client.send_frame(&mut self.io, xid, frame);
    }

    pub fn dispatch(&mut self, ready: &[Ready]) {
        if self.client.closed.is_none() {
            self.io.dispatch(ready, &mut self.client);
            self.client.tell_timers(&mut self.io);
        }
    }

    /// Read the only connection, if there is but one: whether anything came, so that the waiter need not be asked.
    pub fn fetch(&mut self) -> bool {
        // Whoever waits for the connection is to know of an end behind the answer.
        let alone = self.client.closed.is_none() && self.client.pool.counts().waiting == 0;
        let came = alone && self.io.fetch(&mut self.client);
        if came {
            self.client.tell_timers(&mut self.io);
        }
        came
    }

    /// What was opened and handed over on shared connections leaves, in one piece for each.
    pub fn talk(&mut self) {
        // A body may go on at once, but not for ever.
        for _ in 0..TALKS {
            let Some(id) = self.io.next_talker() else { return };
            self.client.receive_shared(&mut self.io, id, false);
        }
    }

    /// Publish the turn's events.
    pub fn publish(&mut self) {
        self.client.log.publish(&mut self.client.outbox);
        self.client.outbox.publish(&mut self.calls);
        self.client.ids.release(&mut self.client.spent);
    }

    /// What the turn has published.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// The queues that are to be raised once the turn is let go; `None` for none.
    pub fn take_calls(&mut self) -> Option<Calls> {
        if self.calls.is_empty() {
            self.calls.forget();
            return None;
        }
        Some(std::mem::take(&mut self.calls))
    }

    /// When the next timer may run out.
    pub fn next(&self) -> Tick {
        self.io.next()
    }

    /// In the caller-driven drive, the end of a turn: the engine's descriptor will become readable for the next timer, and
    /// is readable while `left`. A `fresh` edge is raised for a drain that left something.
    pub fn settle(&mut self, left: bool, fresh: bool) {
        let (now, next) = (self.io.now(), self.next().min(self.io.owes_look()));
        if next < self.armed || (self.armed <= now && next != self.armed) {
            self.armed = next;
            self.io.backend().arm(next);
        }
        if left {
            if fresh || !self.lingering {
                self.lingering = true;
                self.io.backend().linger(true);
            }
        } else if self.lingering {
            self.lingering = false;
            self.io.backend().linger(false);
        }
    }

    /// End everything with `code` and close all connections.
    pub fn shut_down(&mut self, code: i32) {
        let Core { io, client, .. } = self;
        client.closed = Some(code);
        client.fail_all(io, code);
        client.end_sources(io, code);
        client.drop_dials(io);
        client.dialer.close();
        client.pool.drain_idle(|_| {});
        for id in io.conn_ids() {
            client.close_lanes(io, id);
            io.close(id, false);
        }
    }

    /// After a panic: no state is trusted but the table of exchanges. `close` is false when closing has panicked too.
    pub fn collapse(&mut self, queues: &[Arc<Queue>], mailbox: &Mailbox<Mail>, close: bool) {
        self.client.closed = Some(e::CHTTP_E_PANIC);
        if close {
            // First of all, so that borrowed memory is given up before anybody is told.
            for id in self.io.conn_ids() {
                self.io.close(id, true);
            }
        }
        let client = &mut self.client;
        client.dialer.close();
        let slots: Vec<usize> = client.exchanges.iter().map(|x| super::ids::slot(x.xid)).collect();
        for slot in slots {
            let Some(mut exchange) = client.exchanges.remove(slot) else { continue };
            write_done(&mut exchange, &mut client.outbox);
            let mut event = sink::event(&exchange, kind::DONE);
            event.flags |= flag::TERMINAL;
            if exchange.answered {
                event.flags |= flag::PARTIAL;
            }
            event.error = e::CHTTP_E_PANIC;
            client.outbox.push(&exchange.queue, event);
            client.spent.push(exchange.xid);
        }
        client.collapse_sources(e::CHTTP_E_PANIC);
        // Whoever wrote while the turn unwound saw a holder of the turn who would look.
        self.read_mail(mailbox);
        for queue in queues {
            let event = Event { kind: kind::ENGINE_DOWN, error: e::CHTTP_E_PANIC, ..Event::default() };
            self.client.outbox.push(queue, event);
        }
        self.publish();
    }

    /// A queue was destroyed: its exchanges are cancelled, and nobody hears of it.
    pub fn forget(&mut self, queue: &Arc<Queue>) {
        let Core { io, client, .. } = self;
        let theirs = |x: &super::Exchange| Arc::ptr_eq(&x.queue, queue);
        let xids: Vec<u64> = client.exchanges.iter().filter(|x| theirs(x)).map(|x| x.xid).collect();
        for xid in xids {
            client.cancel(io, xid);
        }
        client.forget_sources(io, queue);
        client.outbox.forget(queue);
    }
}
