//! Why connections go, and why a request got the one that it got.

/// Why an open connection was closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Gone {
    /// Idle for too long: by our own measure, or by what the server had said.
    Idle = 0,
    /// It had reached its greatest age.
    Age = 1,
    /// The peer closed it, or spoke out of turn, while nobody used it; also when that showed only as it was used again.
    Peer = 2,
    /// Its exchange failed or was cancelled.
    Failed = 3,
    /// It was idle, and another connection needed its place.
    Evicted = 4,
    /// Its exchange ended well, and one of the sides did not want another on it.
    Spent = 5,
    /// The engine has ended.
    Ended = 6,
}

impl Gone {
    pub const COUNT: usize = 7;

    /// For the log.
    pub const fn text(self) -> &'static str {
        match self {
            Gone::Idle => "idle for too long",
            Gone::Age => "at its greatest age",
            Gone::Peer => "closed by the peer, or the peer spoke out of turn",
            Gone::Failed => "its exchange failed or was cancelled",
            Gone::Evicted => "its place was needed",
            Gone::Spent => "not to be used again",
            Gone::Ended => "the engine has ended",
        }
    }
}

/// Why the connection of a request was an open one, or a new one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Reason {
    /// There is no connection yet.
    #[default]
    None = 0,
    /// An idle one had served before.
    Reused = 1,
    /// An idle one was there that had not served: made by a preconnect, or for a request that went elsewhere.
    Prepared = 2,
    /// It had to wait, and took over from a request that had ended.
    TakenOver = 3,
    /// New: nothing was open to this origin, and nothing is known of an earlier one.
    First = 4,
    /// New: those that were open were in use.
    Busy = 5,
    /// New, after the request had waited, because a limit of connections was reached.
    Waited = 6,
    /// New: the connection before this one had been idle for too long.
    Idle = 7,
    /// New: it had reached its greatest age.
    Age = 8,
    /// New: its peer had closed it while it was idle.
    Peer = 9,
    /// New: it had been closed after a failure or a cancel.
    Failed = 10,
    /// New: it had given way to a connection to another origin.
    Evicted = 11,
    /// New: one of the sides had not wanted another request on it.
    Spent = 12,
    /// New: this is the second attempt, for the first one met a connection that its peer had closed.
    Stale = 13,
}

impl Reason {
    /// Whether the connection stood open before the request came, so that its peer may have closed it meanwhile.
    pub fn is_kept(self) -> bool {
        matches!(self, Reason::Reused | Reason::Prepared | Reason::TakenOver)
    }
}

impl From<Gone> for Reason {
    fn from(gone: Gone) -> Reason {
        match gone {
            Gone::Idle => Reason::Idle,
            Gone::Age => Reason::Age,
            Gone::Peer => Reason::Peer,
            Gone::Failed => Reason::Failed,
            Gone::Evicted => Reason::Evicted,
            Gone::Spent => Reason::Spent,
            Gone::Ended => Reason::First,
        }
    }
}
