//! Large bodies come in large pieces.
//!
//! The kernel tells of every segment. While much of a body is sure to come, and comes fast, that is told too often: with a
//! low-water mark (SO_RCVLOWAT) a connection is heard of when 128 KiB are there, and its bytes take a quarter to a third less
//! of the processor's time (docs/performance.md).
//!
//! The mark is up only while more than it is *ahead*: bytes of one answer whose length is known, which windows and credit
//! allow. So the end of a body never waits behind it. What the peer sends slowly would: every `LOOK_NS` each connection with
//! a mark is looked after, and one that was not heard of meanwhile loses it until its next request.
#![forbid(unsafe_code)]

use super::backend::Backend;
use super::connection::ConnId;
use super::pump::Receiver;
use super::reactor::Io;
use crate::proto::Tick;

/// The mark.
const MARK: u32 = 128 << 10;
/// It is put up when as much is ahead, and as much has come at once as a slow peer's segments are not.
const AHEAD: u64 = 2 * MARK as u64;
const AT_ONCE: usize = 16 << 10;
/// 128 KiB take less from a peer that is fast enough for it to matter.
const LOOK_NS: u64 = 2_000_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum LowWater {
    #[default]
    Down,
    Up {
        /// It was read since it was last looked after.
        heard: bool,
    },
    /// Its peer is slow: it stays down until the next request.
    Off,
}

pub(super) struct Marks {
    /// Connections whose mark is up, and some that are no more.
    conns: Vec<ConnId>,
    look: Tick,
}

impl Default for Marks {
    fn default() -> Marks {
        Marks { conns: Vec::new(), look: Tick::NEVER }
    }
}

impl Marks {
    /// When they have to be looked after.
    pub(super) fn look(&self) -> Tick {
        self.look
    }
}

impl<B: Backend> Io<B> {
    /// A connection was read until it had no more, and so many bytes had come.
    pub(super) fn mark<S: Receiver>(&mut self, id: ConnId, came: usize, sink: &mut S) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.low_water == LowWater::Down && came < AT_ONCE || conn.low_water == LowWater::Off {
            return;
        }
        // What was received already, a part of a record or of a frame, comes no more.
        let kept = conn.kept.as_ref().map_or(0, |kept| u64::from(kept.end - kept.start));
        let backlog = conn.tls.as_ref().map_or(0, |tls| tls.backlog() as u64);
        let ahead = conn.proto.ahead().saturating_sub(kept + backlog).min(sink.room());
        if let LowWater::Up { .. } = conn.low_water {
            conn.low_water = LowWater::Up { heard: true };
            if ahead < u64::from(MARK) {
                self.lower(id, LowWater::Down);
            }
        } else if ahead >= AHEAD && conn.peer.is_some() {
            let up = self.backend.low_water(conn.sock, MARK);
            // Where there is no such thing, nobody asks again.
            conn.low_water = if up { LowWater::Up { heard: true } } else { LowWater::Off };
            if up {
                self.marks.conns.push(id);
                self.marks.look = self.marks.look.min(self.now().after(LOOK_NS));
            }
        }
    }

    /// A connection is told of for every byte again. What is there already is told of by that.
    pub(super) fn lower(&mut self, id: ConnId, how: LowWater) {
        if let Some(conn) = self.conns.get_mut(id)
            && let LowWater::Up { .. } = std::mem::replace(&mut conn.low_water, how)
        {
            self.backend.low_water(conn.sock, 1);
            self.marks.conns.retain(|&marked| marked != id);
        }
    }

    /// Look after the connections with a mark. Before timers: of what has come, none may say that nothing came.
    pub(super) fn look_after_marks(&mut self) {
        // The application was busy for longer.
        let overdue = self.marks.look.after(LOOK_NS) <= self.now();
        let mut conns = std::mem::take(&mut self.marks.conns);
        conns.retain(|&id| {
            let Some(conn) = self.conns.get_mut(id) else { return false };
            match conn.low_water {
                // One that is not read at all is not waited for; it is marked anew when it is.
                LowWater::Up { .. } if conn.paused => {
                    self.lower(id, LowWater::Down);
                    false
                }
                LowWater::Up { heard: true } => {
                    conn.low_water = LowWater::Up { heard: false };
                    if overdue {
                        self.run(id);
                    }
                    true
                }
                LowWater::Up { .. } => {
                    self.lower(id, LowWater::Off);
                    self.run(id);
                    false
                }
                LowWater::Down | LowWater::Off => false,
            }
        });
        self.marks.look = if conns.is_empty() { Tick::NEVER } else { self.now().after(LOOK_NS) };
        self.marks.conns = conns;
    }
}
