//! Names to addresses: getaddrinfo, which honours the machine's nsswitch, on a few threads of its own.
//!
//! IPv6 and IPv4 addresses of a name are two jobs, so that neither waits for the other's servers (RFC 8305 section 3).
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
use crate::proto::eyeballs::{ATTEMPTS_MAX, Family};
use crate::sync::{Condvar, Mutex};
use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::{CStr, CString};
use std::fmt;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

const MAX_WORKERS: usize = 4;
/// Bytes of a domain name as text, with the final dot (RFC 1035 section 2.3.4).
const NAME_MAX: usize = 254;

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

/// Addresses of one family: not empty, without duplicates, not more than are ever tried, and in the order in which they are
/// to be.
pub type Answer = Result<Vec<IpAddr>, ResolveError>;

/// Takes an answer on a worker's thread. Must be brief: post it and return.
pub type Done = Box<dyn FnOnce(Answer) + Send>;

/// What a worker calls; may block.
pub type Lookup = dyn Fn(&CStr, Family) -> Answer + Send + Sync;

/// Names a lookup that was taken on.
pub type JobId = u64;

struct Job {
    host: CString,
    family: Family,
    id: JobId,
}

struct Pending {
    done: Done,
    /// A worker is in the lookup.
    begun: bool,
}

/// What workers and the resolver share. A worker that is stuck in a lookup owns no more than a name: the answers' takers
/// stand here, so that they, and what they keep alive, are gone when the resolver is.
///
/// A queue of our own, where a channel would do, leaves nothing behind on the threads of the caller: a channel that wakes
/// somebody makes a handle for the thread that does, which leak checkers report on the main thread.
#[derive(Default)]
struct Shared {
    gate: Mutex<Gate>,
    /// There is a job, or nothing will come any more.
    news: Condvar,
}

#[derive(Default)]
struct Gate {
    workers: usize,
    /// Jobs that no worker has begun, and such as were taken back.
    queue: VecDeque<Job>,
    /// The resolver was dropped.
    closed: bool,
    /// Who takes the answers of the jobs that were taken on and not handed over.
    pending: HashMap<JobId, Pending>,
    next: JobId,
}

pub struct Resolver {
    shared: Arc<Shared>,
    lookup: Arc<Lookup>,
    /// The lookup does not block, and is called by whoever asks.
    at_once: bool,
}

impl Default for Resolver {
    fn default() -> Resolver {
        Resolver::new()
    }
}

impl Resolver {
    /// Starts no thread yet.
    pub fn new() -> Resolver {
        let lookup = |host: &CStr, family| Ok(sys::getaddrinfo(host, family, ATTEMPTS_MAX)?);
        Resolver::with_lookup(Arc::new(lookup))
    }

    /// With something else in the place of getaddrinfo.
    pub fn with_lookup(lookup: Arc<Lookup>) -> Resolver {
        Resolver { shared: Arc::default(), lookup, at_once: false }
    }

    /// With a lookup that knows the answer without waiting: no thread is started for it.
    pub fn at_once(lookup: Arc<Lookup>) -> Resolver {
        Resolver { shared: Arc::default(), lookup, at_once: true }
    }

    /// Look the addresses of one family up. `done` is called once, on a worker's thread, unless the resolver is dropped
    /// before; or at once, on this thread, if the name cannot be one, no worker can be had, or the lookup needs none: then
    /// there is no job.
    pub fn resolve(&self, host: &str, family: Family, done: Done) -> Option<JobId> {
        let name = CString::new(host).ok().filter(|_| is_name(host));
        let Some(host) = name else {
            done(Err(ResolveError::NotFound));
            return None;
        };
        if self.at_once {
            done(tidy((self.lookup)(&host, family)));
            return None;
        }
        let mut gate = self.shared.gate.lock();
        if gate.pending.len() >= gate.workers && gate.workers < MAX_WORKERS {
            match self.start(gate.workers) {
                Ok(()) => gate.workers += 1,
                // The workers there are will come to it.
                Err(_) if gate.workers > 0 => {}
                Err(e) => {
                    drop(gate);
                    done(Err(ResolveError::System(e.raw_os_error().unwrap_or(libc::EAGAIN))));
                    return None;
                }
            }
        }
        let id = gate.next;
        gate.next += 1;
        gate.pending.insert(id, Pending { done, begun: false });
        gate.queue.push_back(Job { host, family, id });
        drop(gate);
        self.shared.news.notify_one();
        Some(id)
    }

    /// Take jobs back, unless a worker has begun one of them: then all go on. Whether they are taken back; their answers
    /// never come then.
    pub fn cancel(&self, jobs: &[JobId]) -> bool {
        let mut gate = self.shared.gate.lock();
        let idle = jobs.iter().all(|id| gate.pending.get(id).is_some_and(|p| !p.begun));
        if idle {
            jobs.iter().for_each(|id| drop(gate.pending.remove(id)));
        }
        idle
    }

    fn start(&self, number: usize) -> std::io::Result<()> {
        let (shared, lookup) = (Arc::clone(&self.shared), Arc::clone(&self.lookup));
        sys::spawn(format!("chttp-dns-{number}"), move || work(&shared, &*lookup)).map(drop)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let mut gate = self.shared.gate.lock();
        gate.closed = true;
        let takers = std::mem::take(&mut gate.pending);
        drop(gate);
        drop(takers);
        self.shared.news.notify_all();
    }
}

fn work(shared: &Shared, lookup: &Lookup) {
    let mut gate = shared.gate.lock();
    while !gate.closed {
        let Some(Job { host, family, id }) = gate.queue.pop_front() else {
            gate = shared.news.wait(gate);
            continue;
        };
        match gate.pending.get_mut(&id) {
            Some(job) => job.begun = true,
            // It was taken back.
            None => continue,
        }
        drop(gate);
        let answer = catch_unwind(AssertUnwindSafe(|| tidy(lookup(&host, family))));
        gate = shared.gate.lock();
        let Some(Pending { done, .. }) = gate.pending.remove(&id) else { continue };
        // A panic must not end the worker, which is counted.
        let _ = catch_unwind(AssertUnwindSafe(|| done(answer.unwrap_or(Err(ResolveError::Failed(libc::EAI_FAIL))))));
    }
}

fn tidy(answer: Answer) -> Answer {
    let mut addresses = answer?;
    let mut seen = HashSet::new();
    addresses.retain(|ip| seen.insert(*ip));
    addresses.truncate(ATTEMPTS_MAX);
    if addresses.is_empty() { Err(ResolveError::NotFound) } else { Ok(addresses) }
}

/// Whether a text can be a name. What cannot is never handed to a name service.
fn is_name(host: &str) -> bool {
    (1..=NAME_MAX).contains(&host.len()) && host.bytes().all(|b| b.is_ascii_graphic())
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
    use crossbeam_channel::unbounded;
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Ask and wait for the answer.
    fn ask(resolver: &Resolver, host: &str) -> Answer {
        let (tell, told) = unbounded();
        resolver.resolve(host, Family::V4, Box::new(move |answer| tell.send(answer).unwrap()));
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
    fn one_that_knows_starts_no_thread() {
        let resolver = Resolver::at_once(Arc::new(|host: &CStr, _| match host.to_bytes() {
            b"here" => Ok(vec![HOME, HOME]),
            _ => Ok(Vec::new()),
        }));
        let here = std::thread::current().id();
        for (host, expected) in [("here", Ok(vec![HOME])), ("there", Err(ResolveError::NotFound))] {
            let (tell, told) = unbounded();
            let done = move |answer| tell.send((answer, std::thread::current().id())).unwrap();
            assert_eq!(resolver.resolve(host, Family::V4, Box::new(done)), None);
            assert_eq!(told.try_recv(), Ok((expected, here)));
        }
        assert_eq!(resolver.shared.gate.lock().workers, 0);
    }

    #[test]
    fn the_real_one() {
        let resolver = Resolver::new();
        assert!(ask(&resolver, "localhost").unwrap().iter().all(|ip| ip.is_loopback() && ip.is_ipv4()));
        assert_eq!(ask(&resolver, "two..dots"), Err(ResolveError::NotFound));
    }

    #[test]
    fn what_is_no_name_is_not_looked_up() {
        let resolver = Resolver::with_lookup(Arc::new(|_: &CStr, _| Ok(vec![HOME])));
        let long = |len| "a".repeat(len);
        for bad in ["", "nul\0inside", "a space", " ", "a\n", "tab\t", "\u{e4}", &long(255), &long(256), &long(65_536)]
        {
            assert_eq!(ask(&resolver, bad), Err(ResolveError::NotFound), "{bad:?}");
        }
        assert_eq!(resolver.shared.gate.lock().workers, 0);
        assert_eq!(ask(&resolver, &long(254)), Ok(vec![HOME]));
    }

    #[test]
    fn each_family_is_a_job_of_its_own_and_a_thousand_addresses_are_cut() {
        let many = |family| {
            (0..1000u32).map(move |i| match family {
                Family::V4 => IpAddr::V4(i.into()),
                Family::V6 => IpAddr::V6(u128::from(i).into()),
            })
        };
        let resolver = Resolver::with_lookup(Arc::new(move |_: &CStr, family| Ok(many(family).collect())));
        for family in [Family::V4, Family::V6] {
            let (tell, told) = unbounded();
            resolver.resolve("x", family, Box::new(move |answer| tell.send(answer).unwrap()));
            assert_eq!(told.recv().unwrap(), Ok(many(family).take(ATTEMPTS_MAX).collect::<Vec<_>>()));
        }
    }

    #[test]
    fn answers_are_tidied_and_panics_contained() {
        let resolver = Resolver::with_lookup(Arc::new(|host: &CStr, _| match host.to_bytes() {
            b"none" => Ok(Vec::new()),
            b"bug" => panic!("in the lookup"),
            _ => Ok(vec![HOME, IpAddr::V4(Ipv4Addr::BROADCAST), HOME]),
        }));
        assert_eq!(ask(&resolver, "none"), Err(ResolveError::NotFound));
        assert_eq!(ask(&resolver, "bug"), Err(ResolveError::Failed(libc::EAI_FAIL)));
        resolver.resolve("x", Family::V4, Box::new(|_| panic!("in the callback")));
        assert_eq!(ask(&resolver, "x"), Ok(vec![HOME, IpAddr::V4(Ipv4Addr::BROADCAST)]));
    }

    #[test]
    fn four_workers_at_most_and_one_if_one_is_enough() {
        let (enter, entered) = unbounded();
        let (release, released) = unbounded::<()>();
        let resolver = Resolver::with_lookup(Arc::new(move |_: &CStr, _| {
            enter.send(std::thread::current().name().map(str::to_owned)).unwrap();
            let _ = released.recv();
            Ok(vec![HOME])
        }));
        let (tell, told) = unbounded();
        let submit = || {
            let tell = tell.clone();
            resolver.resolve("x", Family::V4, Box::new(move |answer| tell.send(answer).unwrap()));
        };
        for _ in 0..3 {
            submit();
            assert_eq!(entered.recv().unwrap().as_deref(), Some("chttp-dns-0"));
            release.send(()).unwrap();
            told.recv().unwrap().unwrap();
            // The answer is handed over under the gate; after it the worker counts as idle.
            assert!(resolver.shared.gate.lock().pending.is_empty());
        }
        (0..7).for_each(|_| submit());
        let names: BTreeSet<_> = (0..4).map(|_| entered.recv().unwrap().unwrap()).collect();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["chttp-dns-0", "chttp-dns-1", "chttp-dns-2", "chttp-dns-3"]);
        assert!(entered.try_recv().is_err());
        (0..7).for_each(|_| release.send(()).unwrap());
        (0..7).for_each(|_| drop(told.recv().unwrap().unwrap()));
        assert_eq!(resolver.shared.gate.lock().workers, 4);
    }

    #[test]
    fn after_the_drop_nothing_is_called_and_workers_end() {
        let (enter, entered) = unbounded();
        let (release, released) = unbounded::<()>();
        let resolver = Resolver::with_lookup(Arc::new(move |_: &CStr, _| {
            enter.send(()).unwrap();
            let _ = released.recv();
            Ok(vec![HOME])
        }));
        let (tell, told) = unbounded::<Answer>();
        for _ in 0..6 {
            let tell = tell.clone();
            resolver.resolve("x", Family::V4, Box::new(move |answer| tell.send(answer).unwrap()));
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
