//! The engine: who may take a turn, and how other threads reach it.
//!
//! Two drives, one protocol. The turn is a lock around [`Core`]; sleeping for readiness happens outside of it, under a lock
//! of its own. Whoever submits tries to take the turn, and sends at once when nobody holds it; otherwise it leaves mail and
//! rings. With a thread of its own, the engine sleeps there and wakes the application through its queue. Driven by the
//! caller, `drain` and `wait` do what the thread would have done: one caller leads, others sleep until they have events or
//! the lead is free. A thread may also stand by and let a quick application lead (`standby`).
//!
//! No mail is overlooked: a holder of the turn looks at the mailbox again after it let go.

mod calling;
mod forked;
mod perform;
pub mod run;
mod sources;
mod standby;
mod turns;
mod waiting;
mod websocket;

use super::dialer::{Dialer, Names};
use super::dispatch::Submission;
use super::gate::Gate;
use super::ids::{Ids, Refused};
use super::lease::Again;
use super::outbox::Told;
use super::settings::Settings;
use super::sources::{Sources, is_source};
use super::stream::Unready;
use super::trust;
use super::turn::Core;
use super::upload::{Piece, Source};
use super::{Client, Request, Tally};
use crate::diag::Level;
use crate::error as e;
use crate::net::backend::{Backend, Ready};
use crate::net::descriptors::{Descriptors, Held};
use crate::net::mailbox::Mailbox;
use crate::net::reactor::Io;
use crate::net::resolver::{Answer, Resolver};
use crate::net::sys;
use crate::pool;
use crate::proto::BodyLen;
use crate::proto::eyeballs::Family;
use crate::proto::tls::Tls;
use crate::queue::inside::Inside;
use crate::queue::{Event, Notifier, Queue, Signal};
use crate::sync::Mutex;
use bytes::Bytes;
use calling::Calling;
use standby::Standby;
use std::cell::Cell;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

/// What other threads ask of the holder of the turn.
pub enum Mail {
    Submit(Submission),
    Cancel(u64),
    /// An event of a source was released.
    Again(u64),
    /// What an application has posted.
    Task(Arc<Queue>, Event),
    /// Enough credit is back for an exchange that stood still.
    Credit(u64),
    /// A little is.
    Nudge(u64),
    Write(u64, Piece),
    /// So many connections for requests like this one.
    Preconnect(Box<Request>, u32),
    Resolved(Box<str>, Family, Answer),
}

const RUNNING: u8 = 0;
const STOPPING: u8 = 1;
const DOWN: u8 = 2;

thread_local! {
    /// The engine whose thread this is; 0 on the application's threads.
    static REACTOR_OF: Cell<usize> = const { Cell::new(0) };
}

struct Sleeper<W> {
    waiter: W,
    ready: Vec<Ready>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub tally: Tally,
    pub told: Told,
    /// Messages that were sent on WebSockets.
    pub messages_sent: u64,
    pub pool: pool::Counts,
    pub exchanges: u32,
    /// Connections that are being made.
    pub dials: usize,
    /// Origins that the pool remembers.
    pub origins: usize,
}

pub struct Engine<B: Backend> {
    core: Mutex<Core<B>>,
    sleeper: Mutex<Sleeper<B::Waiter>>,
    mail: Arc<Mailbox<Mail>>,
    ids: Arc<Ids>,
    settings: Settings,
    tls: trust::Shared,
    clock: B::Clock,
    poll_fd: Option<RawFd>,
    /// All but those of the application's queues.
    descriptors: Arc<Descriptors>,
    state: AtomicU8,
    /// The moment to which the thread sleeps; a turn taken by another thread wakes it for an earlier one.
    sleep_until: AtomicU64,
    /// When a caller last looked at the sockets.
    looked_at: AtomicU64,
    /// The sockets were one and the same for so long that it may be read without a look (`net/sole.rs`).
    has_sole: AtomicBool,
    queues: Mutex<Vec<Weak<Queue>>>,
    perform_queues: Mutex<Vec<Arc<Queue>>>,
    /// Queues whose threads sleep for the lead.
    followers: Mutex<Vec<Arc<Queue>>>,
    /// Somebody drained without looking at the sockets, because another thread led.
    passed_by: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
    standby: Standby,
    /// Who is inside the log's function, or about to be.
    telling: Inside,
    /// Queues whose events go to a function.
    calling: Calling,
}

impl<B: Backend> Engine<B> {
    pub fn new(settings: Settings, backend: B) -> io::Result<Arc<Engine<B>>> {
        Engine::with_resolver(settings, backend, Resolver::new())
    }

    pub fn with_resolver(settings: Settings, backend: B, resolver: Resolver) -> io::Result<Arc<Engine<B>>> {
        let tls = match &settings.tls_made {
            Some((made, _)) => trust::Shared::of(made.clone()),
            None => trust::Shared::new(settings.tls.clone()),
        };
        Engine::build(settings, backend, resolver, tls, 1)
    }

    /// Exchange ids have generations from `first` on.
    fn build(
        settings: Settings,
        mut backend: B,
        resolver: Resolver,
        tls: trust::Shared,
        first: u32,
    ) -> io::Result<Arc<Engine<B>>> {
        let waiter = backend.waiter()?;
        let (poll_fd, descriptors) = (backend.poll_fd(), backend.descriptors());
        let clock = backend.clock();
        let mail = Arc::new(Mailbox::new(backend.notifier()));
        let calling = Calling::new(mail.clone());
        let ids = Arc::new(Ids::new(mail.clone(), settings.exchanges_max, first));
        let dialer = Dialer::new(Names::new(mail.clone(), resolver, settings.dns_cache_ns));
        let io = Io::new(backend, Arc::new(settings.h1.clone()), Arc::new(settings.h2()));
        let looked_at = AtomicU64::new(io.now().0);
        let engine = Arc::new_cyclic(|engine: &Weak<Engine<B>>| Engine {
            core: Mutex::new(Core::new(
                io,
                Client::new(settings.clone(), ids.clone(), dialer, Sources::new(engine.clone(), first)),
            )),
            sleeper: Mutex::new(Sleeper { waiter, ready: Vec::with_capacity(256) }),
            mail,
            ids,
            clock,
            poll_fd,
            descriptors,
            state: AtomicU8::new(RUNNING),
            sleep_until: AtomicU64::new(0),
            looked_at,
            has_sole: AtomicBool::new(false),
            queues: Mutex::default(),
            perform_queues: Mutex::default(),
            followers: Mutex::default(),
            passed_by: AtomicBool::new(false),
            thread: Mutex::default(),
            standby: Standby::default(),
            telling: Inside::default(),
            calling,
            tls,
            settings,
        });
        if engine.settings.own_thread {
            let theirs = engine.clone();
            *engine.thread.lock() = Some(sys::spawn("chttp-io-0".to_owned(), move || theirs.run())?);
        } else {
            // Mail that comes while nobody drives makes the descriptor readable.
            engine.mail.doze();
        }
        Ok(engine)
    }

    /// A descriptor that the engine owns from now on.
    pub fn hold(&self, fd: OwnedFd) -> Held {
        Held::new(fd, &self.descriptors)
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What https requests use that come without a `Tls` of their own; made when it is first asked for.
    pub fn tls(&self) -> Result<&Arc<Tls>, trust::Unusable> {
        self.tls.get()
    }

    /// A completion queue. A caller-driven engine has one, whose descriptor is the engine's own.
    pub fn queue(&self) -> Result<Arc<Queue>, i32> {
        self.queue_with(Notifier::Set)
    }

    /// One that makes itself heard in a way of the application's choice, if the engine has a thread.
    pub fn queue_with(&self, notifier: Notifier) -> Result<Arc<Queue>, i32> {
        self.check()?;
        let mut queues = self.queues.lock();
        queues.retain(|q| q.strong_count() > 0);
        if !(self.settings.own_thread || queues.is_empty() && matches!(notifier, Notifier::Set)) {
            return Err(e::CHTTP_E_BAD_STATE);
        }
        let queue = Arc::new(Queue::new(self.signal(notifier, &Arc::default())?));
        if queue.callee().is_some() {
            // Before it can be told of a panic: then the thread stays for it.
            self.calling.add(&queue);
        }
        queues.push(Arc::downgrade(&queue));
        drop(queues);
        self.standby.recall();
        Ok(queue)
    }

    /// How a queue makes itself heard, with descriptors that stand in `set`.
    fn signal(&self, notifier: Notifier, set: &Arc<Descriptors>) -> Result<Signal, i32> {
        let notify = match notifier {
            Notifier::Call(_) => self.calling.bell(),
            _ => self.mail.notifier(),
        };
        let signal =
            if self.settings.own_thread { Signal::of(notifier, notify, set) } else { Signal::engine(notify, set) };
        signal.map_err(|_| e::CHTTP_E_TOO_MANY_FILES)
    }

    /// The descriptor to poll for a queue. None if it writes to one of the application's.
    pub fn fd(&self, queue: &Queue) -> Option<RawFd> {
        if self.settings.own_thread { queue.fd() } else { self.poll_fd }
    }

    /// Submit all requests, or none. Their ids are appended to `xids`.
    pub fn submit(
        &self,
        queue: &Arc<Queue>,
        requests: impl ExactSizeIterator<Item = Box<Request>>,
        mut id: impl FnMut(u64),
    ) -> Result<(), i32> {
        self.check()?;
        let mut requests = requests;
        let count = requests.len();
        // One request, the usual case, needs no list.
        let (mut one, mut more) = (None, Vec::new());
        let take = |xid, gate: Arc<Gate>| {
            id(xid);
            let request = requests.next().expect("as many ids as requests");
            if matches!(request.body, Source::Stream) {
                gate.open();
                gate.set_trailers(request.head.body == BodyLen::Unknown);
                if request.websocket.is_some() {
                    gate.take_messages();
                }
            }
            let submission = Submission { xid, request, queue: queue.clone(), gate };
            if count == 1 {
                one = Some(submission);
            } else {
                more.push(submission);
            }
        };
        self.ids.claim(count, take).map_err(|refused| match refused {
            Refused::Closed => e::CHTTP_E_ENGINE_DOWN,
            Refused::Full => e::CHTTP_E_TOO_MANY_EXCHANGES,
        })?;
        let mut submissions = one.into_iter().chain(more);
        queue.expect(count);
        if let Some(core) = self.try_lock() {
            let core = self.refresh(core);
            if core.is_closed() {
                queue.ended(count);
                self.ids.release(&mut submissions.map(|s| s.xid).collect());
                return Err(e::CHTTP_E_ENGINE_DOWN);
            }
            self.take_turn(core, |core| submissions.by_ref().for_each(|s| core.accept(s)));
        }
        // Somebody else holds the turn; or it ended in a panic before it came to these.
        let mut mailed = false;
        submissions.for_each(|s| {
            self.mail.push(Mail::Submit(s));
            mailed = true;
        });
        if mailed {
            self.ring();
        }
        Ok(())
    }

    /// End an exchange, or a source.
    pub fn cancel(&self, xid: u64) -> Result<(), i32> {
        if is_source(xid) {
            return self.end_source(xid);
        }
        if !self.ids.is_live(xid) {
            return Err(e::CHTTP_E_NOT_FOUND);
        }
        self.post(Mail::Cancel(xid));
        Ok(())
    }

    /// Give a streamed upload its next piece; the bytes are copied. None are taken when none are left here.
    pub fn write(&self, xid: u64, bytes: &[u8]) -> Result<(), i32> {
        let gate = self.ids.gate(xid).ok_or(e::CHTTP_E_NOT_FOUND)?;
        if !gate.is_open() || gate.takes_messages() {
            return Err(e::CHTTP_E_BAD_STATE);
        }
        // Before it is booked: what there is no memory for was not taken.
        let mut copy = Vec::new();
        copy.try_reserve_exact(bytes.len()).map_err(|_| e::CHTTP_E_NOMEM)?;
        if !gate.book(bytes.len() as u64, self.settings.send_buffer) {
            return Err(e::CHTTP_E_AGAIN);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        copy.extend_from_slice(bytes);
        self.post(Mail::Write(xid, Piece::Bytes(Bytes::from(copy))));
        Ok(())
    }

    /// End a streamed upload: `piece` is `End` or `Trailers`.
    pub fn end_body(&self, xid: u64, piece: Piece) -> Result<(), i32> {
        let gate = self.ids.gate(xid).ok_or(e::CHTTP_E_NOT_FOUND)?;
        let no_place = matches!(piece, Piece::Trailers(_)) && !gate.takes_trailers();
        if no_place || gate.takes_messages() || !gate.shut() {
            return Err(e::CHTTP_E_BAD_STATE);
        }
        self.post(Mail::Write(xid, piece));
        Ok(())
    }

    /// TLS from here on, on an open stream. At once and not by mail: the caller learns whether it began.
    pub fn start_tls(&self, xid: u64, tls: &Arc<Tls>, name: Option<&str>) -> Result<(), Unready> {
        let mut outcome = Err(Unready { code: e::CHTTP_E_NOT_FOUND, why: "the stream has ended" });
        if self.ids.is_live(xid) {
            self.take_turn(self.lock(), |core| outcome = core.start_tls(xid, tls, name));
        }
        outcome
    }

    /// The descriptor under an open stream.
    pub fn descriptor(&self, xid: u64) -> Result<RawFd, i32> {
        let core = self.lock();
        core.client.descriptor(&core.io, xid)
    }

    /// Open connections that requests like this one can use, until `count` are idle.
    pub fn preconnect(&self, request: Box<Request>, count: u32) -> Result<(), i32> {
        self.check()?;
        self.post(Mail::Preconnect(request, count));
        Ok(())
    }

    /// A queue is gone: cancel its exchanges and drop its events.
    pub fn forget(&self, queue: &Arc<Queue>) {
        self.calling.remove(queue);
        queue.close();
        self.queues.lock().retain(|q| q.strong_count() > 0 && !std::ptr::eq(q.as_ptr(), Arc::as_ptr(queue)));
        // At once and not by mail: the application may free what its uploads had borrowed.
        self.take_turn(self.lock(), |core| core.forget(queue));
    }

    pub fn stats(&self) -> Stats {
        let core = self.lock();
        Stats {
            tally: core.client.tally,
            told: core.client.outbox.told,
            messages_sent: core.client.writer.messages,
            pool: core.client.pool.counts(),
            exchanges: self.ids.live(),
            dials: core.client.dialer.count(),
            origins: core.client.pool.origin_count(),
        }
    }

    /// Lines of the log up to `level` become events of `queue`.
    pub fn log_to(&self, queue: &Arc<Queue>, level: Level) {
        self.lock().client.log.listen(level, queue);
    }

    /// Check every book against every other. For tests.
    pub fn audit(&self) {
        let core = self.lock();
        core.client.audit(&core.io);
    }

    /// Whether the calling thread is the engine's own.
    fn is_own_thread(&self) -> bool {
        REACTOR_OF.get() == std::ptr::from_ref(self) as usize
    }

    /// End everything. Each open exchange gets its terminal event first. With `join`, the engine's thread is gone afterwards,
    /// and the log's function is not called any more.
    pub fn stop(&self, join: bool) {
        let was = self.state.compare_exchange(RUNNING, STOPPING, Ordering::SeqCst, Ordering::SeqCst);
        self.ids.close();
        if !join {
            // Whoever does not wait for the end may be gone when it comes.
            self.lock().client.log.mute();
        }
        self.calling.give_up();
        if self.settings.own_thread {
            if was.is_ok() {
                self.mail.alarm();
                self.standby.wake();
            }
            if join && let Some(thread) = self.thread.lock().take() {
                // A panic of the thread was caught and told to the queues.
                drop(thread.join());
            }
        } else if was.is_ok() {
            // Whoever leads is woken and lets go of the turn.
            self.mail.alarm();
            let mut core = self.lock();
            self.end(&mut core);
            self.settle(&mut core, false, true);
        }
        if join {
            // Threads that wait take turns, too: none calls the log's function any more.
            self.lock().client.log.mute();
            self.telling.rest();
        }
        // Nobody waits for an engine that has ended.
        self.wake_followers();
        for queue in self.queues.lock().iter().filter_map(Weak::upgrade) {
            queue.wakeup();
        }
    }

    fn check(&self) -> Result<(), i32> {
        if self.is_stopped() { Err(e::CHTTP_E_ENGINE_DOWN) } else { Ok(()) }
    }

    /// It was stopped, or has failed: nothing new will happen.
    pub fn is_stopped(&self) -> bool {
        self.state.load(Ordering::SeqCst) != RUNNING
    }

    /// The engine has ended, and nothing will come to `queue` any more.
    pub fn is_over(&self, queue: &Queue) -> bool {
        if !self.is_stopped() {
            return false;
        }
        self.see_end();
        queue.is_empty()
    }

    /// A thread of the engine leads, and nobody else.
    fn has_active_thread(&self) -> bool {
        self.settings.own_thread && !self.standby.is_on()
    }

    fn post(&self, mail: Mail) {
        self.mail.push(mail);
        self.ring();
    }

    /// See to it that mail is read: by us if the turn is free, else by whoever holds it or sleeps.
    fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.is_stopped() {
            // The last turn may be over: then nobody but us reads this mail.
            return self.turn(&mut self.lock(), |_| {});
        }
        if self.has_active_thread() {
            return self.mail.ring();
        }
        match self.try_lock() {
            Some(core) => self.take_turn(core, |_| {}),
            // The holder looks at the mailbox when it lets go. If it sleeps, it is woken.
            None => self.mail.ring(),
        }
    }
}
