//! What other threads ask of a reactor: a channel and the flag that says whether it must be woken.
//!
//! The reactor sets the flag before it sleeps and looks at the channel once more; a sender pushes first and looks at the
//! flag then. One of the two sees the other, so no mail is overslept, and a busy reactor is never written to.
#![forbid(unsafe_code)]

use crate::net::backend::Notify;
use crate::net::sys;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

pub struct Mailbox<M> {
    sender: Sender<M>,
    receiver: Receiver<M>,
    sleeping: AtomicBool,
    notify: Arc<dyn Notify>,
    /// The process it was made in.
    epoch: u32,
}

impl<M> Mailbox<M> {
    pub fn new(notify: Arc<dyn Notify>) -> Mailbox<M> {
        let (sender, receiver) = unbounded();
        Mailbox { sender, receiver, sleeping: AtomicBool::new(false), notify, epoch: sys::process_epoch() }
    }

    /// Push without waking anybody: the caller will `ring`.
    pub fn push(&self, mail: M) {
        // The receiver lives in the same struct: the channel cannot be disconnected.
        let _ = self.sender.send(mail);
    }

    /// Wake the reactor if it sleeps.
    pub fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::SeqCst) {
            self.notify.notify();
        }
    }

    /// Credit comes here from a forked child, too, which releases a body of its parent's: there it is nobody's, and the
    /// channel may be as a thread left it that is not there any more.
    pub fn post(&self, mail: M) {
        if !sys::is_process_epoch(self.epoch) {
            return;
        }
        self.push(mail);
        self.ring();
    }

    pub fn take(&self) -> Option<M> {
        self.receiver.try_recv().ok()
    }

    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// About to sleep. `false` if mail is there, so that sleeping would be wrong.
    pub fn doze(&self) -> bool {
        self.sleeping.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if self.receiver.is_empty() {
            return true;
        }
        self.sleeping.store(false, Ordering::Relaxed);
        false
    }

    pub fn awake(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
    }

    pub fn notifier(&self) -> Arc<dyn Notify> {
        self.notify.clone()
    }

    /// Wake the reactor whatever it does: its deadline has moved, or it is to stop.
    pub fn alarm(&self) {
        self.notify.notify();
    }
}
