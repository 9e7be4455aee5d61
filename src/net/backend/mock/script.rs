//! What a scripted peer does, step by step. Cheap to clone: the steps are shared.

use crate::proto::tls::Manner;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// A peer that thinks for itself: what the client has sent goes in, what is to be sent comes out.
pub type Player = Box<dyn FnMut(&[u8]) -> Vec<u8> + Send>;

/// How a player plays.
#[derive(Clone)]
pub(super) struct Play {
    /// One for each connection.
    pub make: Arc<dyn Fn() -> Player + Send + Sync>,
    /// Each read gets at most so many bytes.
    pub every: usize,
    /// Before each piece.
    pub delay: u64,
}

impl fmt::Debug for Play {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Play").field("every", &self.every).field("delay", &self.delay).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Refuse,
    BlackHole,
    ConnectDelay(u64),
    Expect(Bytes),
    ExpectHead,
    ExpectBytes(u64),
    ExpectFin,
    Send(Bytes),
    /// Pieces of at most this length.
    SendSplit(Bytes, usize),
    /// Cut at these offsets.
    SendCut(Bytes, Box<[usize]>),
    Delay(u64),
    Tls(Arc<Manner>),
    Fin,
    /// The end of the connection without the end of TLS.
    Cut,
    Rst,
    ShortWrites(usize),
    StopReading,
    ResumeReading,
    Panic,
    Play(Play),
    Again,
}

/// A list of steps, followed in order. Steps about connecting come first; without one the connection is accepted at
/// once. At the end of the list the peer stays, silent and open.
#[derive(Clone, Debug)]
pub struct Script(Arc<Vec<Step>>);

impl Default for Script {
    fn default() -> Script {
        Script::new()
    }
}

impl Script {
    pub fn new() -> Script {
        Script(Arc::new(Vec::new()))
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Where the steps about connecting end.
    pub(super) fn body(&self) -> usize {
        self.0.iter().take_while(|s| matches!(s, Step::ConnectDelay(_))).count()
    }

    /// The steps of another one behind these.
    pub(super) fn extend(&mut self, more: &Script) {
        Arc::make_mut(&mut self.0).extend_from_slice(&more.0);
    }

    fn then(mut self, step: Step) -> Script {
        Arc::make_mut(&mut self.0).push(step);
        self
    }

    /// The attempt fails with "connection refused".
    #[must_use]
    pub fn refuse(self) -> Script {
        self.then(Step::Refuse)
    }

    /// The attempt has no outcome.
    #[must_use]
    pub fn black_hole(self) -> Script {
        self.then(Step::BlackHole)
    }

    /// The attempt takes this long; then comes the next step.
    #[must_use]
    pub fn connect_delay(self, ns: u64) -> Script {
        self.then(Step::ConnectDelay(ns))
    }

    /// The client sends exactly these bytes next. Anything else is recorded, and the connection reset.
    #[must_use]
    pub fn expect(self, bytes: impl Into<Bytes>) -> Script {
        self.then(Step::Expect(bytes.into()))
    }

    /// The client sends a head: anything up to and including an empty line.
    #[must_use]
    pub fn expect_head(self) -> Script {
        self.then(Step::ExpectHead)
    }

    /// The client sends this many bytes.
    #[must_use]
    pub fn expect_bytes(self, n: u64) -> Script {
        self.then(Step::ExpectBytes(n))
    }

    /// The client closes its sending side, with nothing sent before it that a step has not taken.
    #[must_use]
    pub fn expect_fin(self) -> Script {
        self.then(Step::ExpectFin)
    }

    #[must_use]
    pub fn send(self, bytes: impl Into<Bytes>) -> Script {
        self.then(Step::Send(bytes.into()))
    }

    /// Send so that each read gets at most `every` bytes.
    #[must_use]
    pub fn send_split(self, bytes: impl Into<Bytes>, every: usize) -> Script {
        assert!(every > 0, "pieces of nothing");
        self.then(Step::SendSplit(bytes.into(), every))
    }

    /// Send so that no read crosses one of the ascending `offsets`.
    #[must_use]
    pub fn send_cut(self, bytes: impl Into<Bytes>, offsets: &[usize]) -> Script {
        self.then(Step::SendCut(bytes.into(), offsets.into()))
    }

    /// The peer does nothing for this long.
    #[must_use]
    pub fn delay(self, ns: u64) -> Script {
        self.then(Step::Delay(ns))
    }

    /// TLS begins. The script goes on when the handshake is done, and ends if it fails; its bytes are plaintext from here on.
    /// Where there is TLS already, nothing happens.
    #[must_use]
    pub fn tls(self, manner: Manner) -> Script {
        self.then(Step::Tls(Arc::new(manner)))
    }

    /// The peer closes its sending side, and says so in TLS before, if there is TLS.
    #[must_use]
    pub fn fin(self) -> Script {
        self.then(Step::Fin)
    }

    /// The same without a word in TLS, as if somebody had cut the connection.
    #[must_use]
    pub fn cut(self) -> Script {
        self.then(Step::Cut)
    }

    #[must_use]
    pub fn rst(self) -> Script {
        self.then(Step::Rst)
    }

    /// From here on each send takes at most `n` bytes and blocks the next one until after a wait; `usize::MAX` ends it.
    #[must_use]
    pub fn short_writes(self, n: usize) -> Script {
        assert!(n > 0, "a peer that takes nothing is stop_reading");
        self.then(Step::ShortWrites(n))
    }

    /// From here on sends block.
    #[must_use]
    pub fn stop_reading(self) -> Script {
        self.then(Step::StopReading)
    }

    #[must_use]
    pub fn resume_reading(self) -> Script {
        self.then(Step::ResumeReading)
    }

    /// A player takes over for good; `make` makes one for each connection. What it says is sent so that each read gets at
    /// most `every` bytes, with this delay before each of these pieces.
    #[must_use]
    pub fn play(self, every: usize, delay: u64, make: impl Fn() -> Player + Send + Sync + 'static) -> Script {
        assert!(every > 0, "pieces of nothing");
        self.then(Step::Play(Play { make: Arc::new(make), every, delay }))
    }

    /// The read that comes to this point panics.
    #[must_use]
    pub fn panic(self) -> Script {
        self.then(Step::Panic)
    }

    /// Whether one of the steps waits for bytes of the client.
    pub fn waits(&self) -> bool {
        let waits = |s: &Step| match s {
            Step::Expect(bytes) => !bytes.is_empty(),
            Step::ExpectBytes(n) => *n > 0,
            Step::ExpectHead => true,
            _ => false,
        };
        self.0.iter().any(waits)
    }

    /// Start over, after the steps about connecting, for ever. Something in the loop must wait for the client.
    #[must_use]
    pub fn again(self) -> Script {
        assert!(self.waits(), "a loop that never waits");
        self.then(Step::Again)
    }
}
