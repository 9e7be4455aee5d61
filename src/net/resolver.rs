//! Names to addresses: getaddrinfo, which honours the machine's nsswitch, on a few threads of its own.
//!
//! At most four workers, started when there is more work than workers, named `chttp-dns-N`, all signals blocked. A
//! worker owns all that it touches and is never joined, because getaddrinfo may take minutes and cannot be stopped.
//!
//! States of a worker: waiting for a job; in getaddrinfo; handing over the answer. Dropping the resolver ends the first
//! at once and the second after its call. Invariant: answers are handed over under `Gate`, so that none is once the
//! drop has returned; queued and late ones are dropped unheard. A forked child has no workers and perhaps a locked
//! gate: it must leak the resolver, not drop it.
#![forbid(unsafe_code)]

use crate::net::sys::{self, GaiError};
use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::fmt;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

const MAX_WORKERS: usize = 4;

/// Why a name has no addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResolveError {
    /// The name does not exist, or has no address.
    NotFound,
    /// No answer for now: a name server is down, or did not answer in time.
    Temporary,
    /// Another code of getaddrinfo.
    Failed(i32),
    /// The machine would not do it: an errno.
    System(i32),
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ResolveError::NotFound => f.write_str(sys::gai_text(libc::EAI_NONAME)),
            ResolveError::Temporary => f.write_str(sys::gai_text(libc::EAI_AGAIN)),
            ResolveError::Failed(code) => f.write_str(sys::gai_text(code)),
            ResolveError::System(errno) => std::io::Error::from_raw_os_error(errno).fmt(f),
        }
    }
}

impl std::error::Error for ResolveError {}

impl From<GaiError> for ResolveError {
    fn from(e: GaiError) -> ResolveError {
        /// A name without an address of the wanted family: glibc's number, missing from libc's list.
        const EAI_ADDRFAMILY: i32 = -9;
        match e {
            GaiError::Code(libc::EAI_NONAME | libc::EAI_NODATA | EAI_ADDRFAMILY) => ResolveError::NotFound,
            GaiError::Code(libc::EAI_AGAIN) => ResolveError::Temporary,
            GaiError::Code(code) => ResolveError::Failed(code),
            GaiError::System(errno) => ResolveError::System(errno),
        }
    }
}

/// Not empty, without duplicates, in the order in which they are to be tried.
pub type Answer = Result<Vec<IpAddr>, ResolveError>;

/// Takes an answer on a worker's thread. Must be brief: post it and return.
pub type Done = Box<dyn FnOnce(Answer) + Send>;

/// What a worker calls; may block.
pub type Lookup = dyn Fn(&CStr) -> Answer + Send + Sync;

struct Job {
    host: CString,
    id: u64,
}

/// What workers and the resolver share. A worker that is stuck in a lookup owns no more than a name: the answers' takers
/// stand here, so that they, and what they keep alive, are gone when the resolver is.
struct Gate {
    workers: usize,
    /// Who takes the answers of the jobs that were taken on and not handed over.
    pending: HashMap<u64, Done>,
    next: u64,
}

pub struct Resolver {
    jobs: Sender<Job>,
    queue: Receiver<Job>,
    gate: Arc<Mutex<Gate>>,
    lookup: Arc<Lookup>,
}

impl Default for Resolver {
    fn default() -> Resolver {
        Resolver::new()
    }
}

impl Resolver {
    /// Starts no thread yet.
    pub fn new() -> Resolver {
        Resolver::with_lookup(Arc::new(|host: &CStr| Ok(sys::getaddrinfo(host)?)))
    }

    /// With something else in the place of getaddrinfo.
    pub fn with_lookup(lookup: Arc<Lookup>) -> Resolver {
        let (jobs, queue) = unbounded();
        let gate = Arc::new(Mutex::new(Gate { workers: 0, pending: HashMap::new(), next: 0 }));
        Resolver { jobs, queue, gate, lookup }
    }

    /// Look a name up. `done` is called once, on a worker's thread, unless the resolver is dropped before; or at once,
    /// on this thread, if the name cannot be one or no worker can be had.
    pub fn resolve(&self, host: &str, done: Done) {
        let Ok(host) = CString::new(host) else { return done(Err(ResolveError::NotFound)) };
        let mut gate = self.gate.lock();
        if gate.pending.len() >= gate.workers && gate.workers < MAX_WORKERS {
            match self.start(gate.workers) {
                Ok(()) => gate.workers += 1,
                // The workers there are will come to it.
                Err(_) if gate.workers > 0 => {}
                Err(e) => {
                    drop(gate);
                    return done(Err(ResolveError::System(e.raw_os_error().unwrap_or(libc::EAGAIN))));
                }
            }
        }
        let id = gate.next;
        gate.next += 1;
        gate.pending.insert(id, done);
        // The queue's other end is held by `self`: it cannot be disconnected.
        let _ = self.jobs.send(Job { host, id });
    }

    fn start(&self, number: usize) -> std::io::Result<()> {
        let (queue, gate, lookup) = (self.queue.clone(), Arc::clone(&self.gate), Arc::clone(&self.lookup));
        sys::spawn(format!("chttp-dns-{number}"), move || work(&queue, &gate, &*lookup)).map(drop)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let takers = std::mem::take(&mut self.gate.lock().pending);
        drop(takers);
        // What is queued still would be worked off after the channel has closed.
        while self.queue.try_recv().is_ok() {}
    }
}

fn work(queue: &Receiver<Job>, gate: &Mutex<Gate>, lookup: &Lookup) {
    while let Ok(Job { host, id }) = queue.recv() {
        let answer = catch_unwind(AssertUnwindSafe(|| tidy(lookup(&host))));
        let mut gate = gate.lock();
        // Nobody is left to take it: the resolver is gone.
        let Some(done) = gate.pending.remove(&id) else { return };
        // A panic must not end the worker, which is counted.
        let _ = catch_unwind(AssertUnwindSafe(|| done(answer.unwrap_or(Err(ResolveError::Failed(libc::EAI_FAIL))))));
    }
}

fn tidy(answer: Answer) -> Answer {
    let mut addresses = answer?;
    let mut seen = HashSet::new();
    addresses.retain(|ip| seen.insert(*ip));
    if addresses.is_empty() { Err(ResolveError::NotFound) } else { Ok(addresses) }
}

/// The address that a host is, if it is one; IPv6 with or without brackets. Such a host is never looked up.
pub fn literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Ask and wait for the answer.
    fn ask(resolver: &Resolver, host: &str) -> Answer {
        let (tell, told) = unbounded();
        resolver.resolve(host, Box::new(move |answer| tell.send(answer).unwrap()));
        told.recv().unwrap()
    }

    #[test]
    fn literals() {
        assert_eq!(literal("127.0.0.1"), Some(HOME));
        assert_eq!(literal("::1"), "::1".parse().ok());
        assert_eq!(literal("[2001:db8::1]"), "2001:db8::1".parse().ok());
        for host in ["", "localhost", "[127.0.0.1]", "[::1", "127.1", "0127.0.0.1", "::1%lo"] {
            assert_eq!(literal(host), None, "{host}");
        }
    }

    #[test]
    fn errors_can_be_told_apart() {
        let of = |code| ResolveError::from(GaiError::Code(code));
        assert_eq!(of(libc::EAI_NONAME), ResolveError::NotFound);
        assert_eq!(of(libc::EAI_NODATA), ResolveError::NotFound);
        assert_eq!(of(libc::EAI_AGAIN), ResolveError::Temporary);
        assert_eq!(of(libc::EAI_FAIL), ResolveError::Failed(libc::EAI_FAIL));
        assert_eq!(ResolveError::from(GaiError::System(libc::EMFILE)), ResolveError::System(libc::EMFILE));
        let texts = [ResolveError::NotFound, ResolveError::Temporary, of(libc::EAI_FAIL), ResolveError::System(24)];
        assert_eq!(texts.map(|e| e.to_string()).iter().collect::<BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn the_real_one() {
        let resolver = Resolver::new();
        assert!(ask(&resolver, "localhost").unwrap().iter().all(IpAddr::is_loopback));
        assert_eq!(ask(&resolver, "two..dots"), Err(ResolveError::NotFound));
        assert_eq!(ask(&resolver, "nul\0inside"), Err(ResolveError::NotFound));
    }

    #[test]
    fn answers_are_tidied_and_panics_contained() {
        let resolver = Resolver::with_lookup(Arc::new(|host: &CStr| match host.to_bytes() {
            b"none" => Ok(Vec::new()),
            b"bug" => panic!("in the lookup"),
            _ => Ok(vec![HOME, IpAddr::V4(Ipv4Addr::BROADCAST), HOME]),
        }));
        assert_eq!(ask(&resolver, "none"), Err(ResolveError::NotFound));
        assert_eq!(ask(&resolver, "bug"), Err(ResolveError::Failed(libc::EAI_FAIL)));
        resolver.resolve("x", Box::new(|_| panic!("in the callback")));
        assert_eq!(ask(&resolver, "x"), Ok(vec![HOME, IpAddr::V4(Ipv4Addr::BROADCAST)]));
    }

    #[test]
    fn four_workers_at_most_and_one_if_one_is_enough() {
        let (enter, entered) = unbounded();
        let (release, released) = unbounded::<()>();
        let resolver = Resolver::with_lookup(Arc::new(move |_: &CStr| {
            enter.send(std::thread::current().name().map(str::to_owned)).unwrap();
            let _ = released.recv();
            Ok(vec![HOME])
        }));
        let (tell, told) = unbounded();
        let submit = || {
            let tell = tell.clone();
            resolver.resolve("x", Box::new(move |answer| tell.send(answer).unwrap()));
        };
        for _ in 0..3 {
            submit();
            assert_eq!(entered.recv().unwrap().as_deref(), Some("chttp-dns-0"));
            release.send(()).unwrap();
            told.recv().unwrap().unwrap();
            // The answer is handed over under the gate; after it the worker counts as idle.
            assert!(resolver.gate.lock().pending.is_empty());
        }
        (0..7).for_each(|_| submit());
        let names: BTreeSet<_> = (0..4).map(|_| entered.recv().unwrap().unwrap()).collect();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["chttp-dns-0", "chttp-dns-1", "chttp-dns-2", "chttp-dns-3"]);
        assert!(entered.try_recv().is_err());
        (0..7).for_each(|_| release.send(()).unwrap());
        (0..7).for_each(|_| drop(told.recv().unwrap().unwrap()));
        assert_eq!(resolver.gate.lock().workers, 4);
    }

    #[test]
    fn after_the_drop_nothing_is_called_and_workers_end() {
        let (enter, entered) = unbounded();
        let (release, released) = unbounded::<()>();
        let resolver = Resolver::with_lookup(Arc::new(move |_: &CStr| {
            enter.send(()).unwrap();
            let _ = released.recv();
            Ok(vec![HOME])
        }));
        let (tell, told) = unbounded::<Answer>();
        for _ in 0..6 {
            let tell = tell.clone();
            resolver.resolve("x", Box::new(move |answer| tell.send(answer).unwrap()));
        }
        drop(tell);
        (0..4).for_each(|_| entered.recv().unwrap());
        drop(resolver);
        drop(release);
        // The workers drop their callbacks, and with the lookup's last owner its sender goes.
        assert!(told.recv().is_err());
        assert!(entered.recv().is_err());
    }
}
