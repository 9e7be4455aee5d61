//! Windows, in both directions (RFC 9113 sections 5.2, 6.9): who may send how much of a body, and what the peer may send.
//!
//! A stream that has more to send is granted a part of the connection's window at a time, in turns, so that it does not take
//! all of it. What was granted is charged at once: a body that is handed over within it can always be sent.

use super::frame::{WORD_MAX, code, kind};
use super::{H2, HELD_MAX, settings};
use crate::proto::{Fault, Sink, StreamKey};

/// What one stream is granted at a time.
const GRANT: u32 = 128 << 10;
/// Windows of the connection that may come for streams which are no more.
const STALE_WINDOWS: i64 = 4;

impl H2 {
    /// There is more of a body to send.
    pub(super) fn ask_room(&mut self, key: u32) {
        let Some(stream) = self.streams.get_mut(key).filter(|stream| !stream.sent) else { return };
        // Others wait already, and come first.
        if self.queue.is_empty() {
            let n = stream.ungranted().min(GRANT.saturating_sub(stream.granted)).min(self.send_window);
            stream.granted += n;
            self.send_window -= n;
        }
        stream.wants_room = stream.granted == 0;
        self.enqueue(key);
    }

    /// It stands in the queue if its own window would let it send.
    fn enqueue(&mut self, key: u32) {
        if let Some(stream) = self.streams.get_mut(key)
            && stream.wants_room
            && !stream.queues
            && stream.ungranted() > 0
        {
            stream.queues = true;
            self.queue.push_back(key);
        }
    }

    /// What a stream was granted is for the others.
    pub(super) fn ungrant(&mut self, key: u32) {
        if let Some(stream) = self.streams.get_mut(key) {
            self.send_window += std::mem::take(&mut stream.granted);
            stream.wants_room = false;
        }
    }

    /// Charge the windows for bytes of a body. Whether there is room for them.
    pub(super) fn charge(&mut self, key: u32, len: usize) -> bool {
        let Some(stream) = self.streams.get_mut(key) else { return false };
        let Ok(len) = u32::try_from(len) else { return false };
        let missing = len.saturating_sub(stream.granted);
        if missing > stream.ungranted().min(self.send_window) {
            return false;
        }
        self.send_window -= missing;
        stream.granted = stream.granted + missing - len;
        stream.send_window -= i64::from(len);
        true
    }

    /// Whether somebody can be granted room.
    pub(super) fn can_grant(&self) -> bool {
        self.send_window > 0 && !self.queue.is_empty()
    }

    /// Grant what there is, in turns.
    pub(super) fn grant(&mut self, sink: &mut impl Sink) {
        while self.send_window > 0
            && let Some(key) = self.queue.pop_front()
        {
            let Some(stream) = self.streams.get_mut(key).filter(|stream| stream.queues) else { continue };
            stream.queues = false;
            let n = stream.ungranted().min(GRANT).min(self.send_window);
            if n > 0 && stream.wants_room {
                stream.wants_room = false;
                stream.granted += n;
                self.send_window -= n;
                sink.writable(StreamKey(key));
            }
        }
    }

    pub(super) fn widen_connection(&mut self, by: u32) -> Result<(), Fault> {
        // But for what was granted already, which is little.
        if by > WORD_MAX.saturating_sub(self.send_window) {
            return Err(Fault::Frame(code::FLOW_CONTROL_ERROR));
        }
        self.send_window += by;
        Ok(())
    }

    /// Whether the window stays within what is allowed.
    pub(super) fn widen_stream(&mut self, key: u32, by: u32) -> bool {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.send_window += i64::from(by);
            if stream.send_window > i64::from(WORD_MAX) {
                return false;
            }
            self.enqueue(key);
        }
        true
    }

    /// The peer gives streams another window, also those that there are (section 6.9.2).
    pub(super) fn resize_windows(&mut self, by: i64) -> Result<(), Fault> {
        for key in 0..self.streams.places() {
            let Some(stream) = self.streams.get_mut(key) else { continue };
            stream.send_window += by;
            if stream.send_window > i64::from(WORD_MAX) {
                return Err(Fault::Frame(code::FLOW_CONTROL_ERROR));
            }
            let allowed = u32::try_from(stream.send_window).unwrap_or(0);
            let excess = stream.granted.saturating_sub(allowed);
            stream.granted -= excess;
            self.send_window += excess;
            // Who was told of room will be told again.
            stream.wants_room |= excess > 0 && stream.granted == 0;
            self.enqueue(key);
        }
        Ok(())
    }

    /// Whether the peer is to be allowed more on a stream, once the turn ends.
    pub(super) fn look_at_window(&mut self, key: u32) {
        let window = self.probe.window;
        if let Some(stream) = self.streams.get_mut(key)
            && !stream.updates
            && !stream.heard
            && stream.releasable(window) >= i64::from(window / 4).max(1)
            // What is still to come has room already.
            && stream.left.is_none_or(|left| i64::try_from(left).is_ok_and(|left| left > stream.recv_window))
        {
            stream.updates = true;
            self.updates.push(key);
        }
    }

    /// Tell the peer how much more it may send.
    pub(super) fn release(&mut self) {
        let window = self.probe.window;
        while let Some(key) = self.updates.pop() {
            let Some(stream) = self.streams.get_mut(key).filter(|stream| stream.updates) else { continue };
            stream.updates = false;
            if let Ok(by @ 1..) = u32::try_from(stream.releasable(window))
                && !stream.heard
            {
                stream.recv_window += i64::from(by);
                self.wire.window_update(stream.id, by);
            }
        }
        if let Some(by) = self.connection_update() {
            self.recv_window += i64::from(by);
            self.wire.window_update(0, by);
        }
    }

    /// How much more the peer may send on the connection, once that is worth a frame. The window is kept open: what streams
    /// hold for want of credit does not count. But memory has an end.
    pub(super) fn connection_update(&self) -> Option<u32> {
        let open = self.open_window();
        let beyond = self.held.saturating_sub(HELD_MAX) as i64;
        let by = u32::try_from(i64::from(open) - beyond - self.recv_window).ok()?;
        (by > 0 && by >= open / 4).then_some(by)
    }

    /// The connection's window, beside what is held. Where those of streams have grown, two of them may be at their best.
    fn open_window(&self) -> u32 {
        let grown = self.probe.window > self.limits.stream_window;
        let least = if grown { self.probe.window.saturating_mul(2) } else { 0 };
        self.limits.connection_window.max(least).min(WORD_MAX)
    }

    /// Let the windows follow what a round trip brings, while the application takes it.
    pub(super) fn measure(&mut self) {
        let Some(window) = self.probe.received(self.heard_at, self.received) else { return };
        if self.held >= self.probe.window as usize / 4 {
            return;
        }
        self.wire.frame(kind::SETTINGS, 0, 0, &settings::window(window));
        let by = i64::from(window) - i64::from(self.probe.window);
        self.streams.iter_mut().for_each(|(_, stream)| stream.recv_window += by);
        self.probe.window = window;
        self.release();
    }

    /// Send a PING, unless one is on its way.
    pub(super) fn ping(&mut self) -> bool {
        let sends = !self.ping_is_out;
        if sends {
            self.ping_is_out = true;
            self.wire.frame(kind::PING, 0, 0, super::PING);
        }
        sends
    }

    /// A stream is reset by us: the peer may have sent what its window allows, more than that if an update was under way, and
    /// a head.
    pub(super) fn expect_stale(&mut self, key: u32) {
        if let Some(stream) = self.streams.get(key).filter(|stream| !stream.heard) {
            let under_way = stream.recv_window.max(0) + i64::from(self.probe.window) + i64::from(self.list_max);
            self.stale = (self.stale + under_way).min(STALE_WINDOWS * i64::from(self.open_window()));
        }
    }
}
