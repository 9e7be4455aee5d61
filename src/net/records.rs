//! Reading a secured connection that many share.
//!
//! What it carries is cut by the heads of frames, so that bodies are copied out of what was received. That is one copy and no
//! more: the protocol is shown each record where it was deciphered, in a buffer that is used again at once.
#![forbid(unsafe_code)]

use super::backend::Backend;
use super::connection::{ConnId, Kept};
use super::pump::{Pumped, Receiver, TURN_BUDGET};
use super::reactor::Io;
use super::secure::{Ciphertext, Received, gather_ciphertext, put_away, say};
use crate::proto::{Fault, tls};

/// What a receive costs at least of the budget: records without contents are work, too.
const WORK: usize = 1 << 10;

impl<B: Backend> Io<B> {
    /// As for every other connection, but for plaintext that is not put together first.
    pub(super) fn pump_records<S: Receiver>(&mut self, id: ConnId, sink: &mut S) -> Pumped {
        let (now, mut budget) = (self.now(), TURN_BUDGET);
        loop {
            if let Some(pumped) = self.goes_no_further(id, budget, sink) {
                return pumped;
            }
            let received = match self.receive_records(id, sink) {
                Ok(received) => received,
                Err(fault) => return Pumped::Fault(fault),
            };
            self.came += received.work();
            let Some(conn) = self.conns.get_mut(id) else { return Pumped::Drained };
            match received {
                Received::Plain { len, drained: true, .. }
                    if conn.tls.as_ref().is_none_or(|tls| !tls.session.heard_close()) =>
                {
                    return if len > 0 { Pumped::Drained } else { Self::nothing(conn) };
                }
                Received::Plain { taken, .. } => budget = budget.saturating_sub(taken.max(WORK)),
                over => return Self::over(conn, now, over, sink),
            }
        }
    }

    /// Receive, and show the protocol every record that is whole. An error is the protocol's: it is shown no more then, but
    /// what is there is deciphered, so that its last words can be sent.
    fn receive_records<S: Receiver>(&mut self, id: ConnId, sink: &mut S) -> Result<Received, Fault> {
        let now = self.now();
        let Io { conns, backend, out, wire, cipher, .. } = self;
        let conn = conns.get_mut(id).expect("only an existing connection is read");
        let Ciphertext { mut block, have, end, drained } =
            match gather_ciphertext(conn, backend, cipher, sink.memory(), None) {
                Ok(ciphertext) => ciphertext,
                Err(over) => return Ok(over),
            };
        let unsent = conn.unsent();
        let Some(secure) = &mut conn.tls else { unreachable!("it has a session") };
        let (mut start, mut len) = (0, 0);
        let mut fed = Ok(());
        let opened = loop {
            let bytes = &mut block.unique().expect("the sink has given it back")[start..end];
            match secure.session.open_one(bytes, wire) {
                Ok(tls::Record { used, plain }) => {
                    let plain = start + plain.start..start + plain.end;
                    start += used;
                    if plain.is_empty() {
                        break Ok(());
                    }
                    if len == 0 {
                        conn.heard = true;
                        sink.heard();
                        conn.proto.output_waits(unsent);
                    }
                    len += plain.len();
                    if fed.is_ok() {
                        sink.show(&block, plain.start);
                        fed = conn.proto.recv(now, &block.bytes()[plain], sink, out).map(drop);
                        sink.take_back();
                    }
                }
                Err(error) => break Err(error),
            }
        };
        put_away(secure, cipher, Kept { block, start: start as u32, end: end as u32 });
        say(conn, wire, backend);
        self.hear_room(id);
        if !self.out.is_empty() || self.conns.get(id).is_some_and(|conn| conn.proto.unsaid()) {
            self.send_out(id);
        }
        fed?;
        Ok(match opened {
            Ok(()) => Received::Plain { len, taken: end - have, drained },
            Err(error) => Received::Insecure(error),
        })
    }
}
