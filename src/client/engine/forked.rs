//! What becomes of an engine in a forked child: the parent's is left as it is, and another one may take its place.
//!
//! Of all threads only the one that forked is there. Any lock may be held for ever, and what it protects be half changed;
//! descriptors stand for things that the parent goes on to use. So nothing is read here but what never changes and what is
//! atomic, nothing of the parent's engine is dropped, and descriptors are closed and not used.

use super::Engine;
use crate::net::backend::Backend;
use crate::net::resolver::Resolver;
use std::io;
use std::sync::Arc;

impl<B: Backend> Engine<B> {
    /// An engine with the same settings: an empty pool, fresh threads, and ids that this one has not given.
    pub fn successor(&self, backend: B) -> io::Result<Arc<Engine<B>>> {
        Engine::build(self.settings.clone(), backend, Resolver::new(), self.tls.successor(), self.ids.unused())
    }

    /// Close the connections. What the peer hears of it, the parent decides: it has them, too.
    pub fn abandon_sockets(&self) {
        self.descriptors.close_sockets();
    }

    /// Close all descriptors but those of the application's queues.
    pub fn abandon(&self) {
        self.descriptors.abandon();
    }
}
