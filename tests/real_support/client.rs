//! A client on the C interface: the structs and functions of the header, the queue's descriptor and poll(2).

use super::tls::{Agreed, Options, Tls, Value, agreed, set};
use chttpcore::ffi::config::{CHTTP_OPT_IO_THREADS, chttp_config_free, chttp_config_new};
use chttpcore::ffi::engine::{chttp_engine, chttp_engine_destroy, chttp_engine_new, chttp_engine_stats};
use chttpcore::ffi::error::{chttp_error_is_retryable, chttp_error_message, chttp_error_name};
use chttpcore::ffi::exchange::{chttp_body_end, chttp_body_write, chttp_cancel, chttp_submit};
use chttpcore::ffi::object::chttp_events_release;
use chttpcore::ffi::pool::chttp_engine_preconnect;
use chttpcore::ffi::queue::{chttp_queue, chttp_queue_destroy, chttp_queue_drain, chttp_queue_fd, chttp_queue_new};
use chttpcore::ffi::types::{
    CHTTP_EF_REUSED, CHTTP_EF_TERMINAL, CHTTP_EV_BODY, CHTTP_EV_DONE, CHTTP_EV_HEADERS, CHTTP_EV_RESPONSE,
    CHTTP_REQ_COLLECT, chttp_event, chttp_request, chttp_stats,
};
use chttpcore::ffi::websocket::{chttp_ws_close, chttp_ws_ping, chttp_ws_send};
use std::collections::HashMap;
use std::ffi::CStr;
use std::ptr::{null, null_mut};

const BATCH: usize = 256;
/// Nobody waits so long for loopback: something is stuck, and the test is to say so.
const STUCK_MS: i32 = 60_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drive {
    /// The engine has a thread of its own.
    Thread,
    Caller,
}

pub const DRIVES: [Drive; 2] = [Drive::Thread, Drive::Caller];

/// A request with what its pointers point to.
pub struct Request {
    url: String,
    method: &'static str,
    pub raw: chttp_request,
}

impl Request {
    pub fn new(method: &'static str, url: String) -> Request {
        // SAFETY: all-zero is valid by the contract of the struct.
        let mut raw: chttp_request = unsafe { std::mem::zeroed() };
        raw.size = size_of::<chttp_request>() as u32;
        Request { url, method, raw }
    }

    pub fn get(url: String) -> Request {
        Request::new("GET", url)
    }

    /// Ask for the whole answer in one event.
    pub fn collect(mut self) -> Request {
        self.raw.flags |= CHTTP_REQ_COLLECT;
        self
    }

    /// Under these settings, which outlive the submission.
    pub fn under(mut self, tls: &Tls) -> Request {
        self.raw.tls = tls.raw();
        self
    }

    /// The struct, with pointers into `self`, which does not move before it is read.
    pub fn filled(&self) -> chttp_request {
        let mut raw = self.raw;
        raw.url = self.url.as_ptr().cast();
        raw.url_len = self.url.len();
        raw.method = self.method.as_ptr().cast();
        raw.method_len = self.method.len();
        raw
    }
}

/// What became of an exchange.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub status: u32,
    /// 0, or the code.
    pub error: i32,
    pub os_errno: i32,
    /// Flags of the terminal event.
    pub flags: u32,
    /// Whether a head was delivered.
    pub headers: bool,
    pub body: Vec<u8>,
    pub retryable: bool,
    pub message: String,
    /// Of the connection that the answer came on.
    pub tls: Option<Agreed>,
    pub ended: bool,
}

impl Outcome {
    pub fn reused(&self) -> bool {
        self.flags & CHTTP_EF_REUSED != 0
    }

    /// The error's name, "CHTTP_OK" for none.
    pub fn name(&self) -> &'static str {
        name(self.error)
    }
}

pub fn name(code: i32) -> &'static str {
    // SAFETY: a static text with NUL, or NULL for an unknown code.
    let text = chttp_error_name(code);
    assert!(!text.is_null(), "{code} is no code");
    // SAFETY: as above.
    unsafe { CStr::from_ptr(text) }.to_str().expect("ASCII")
}

pub struct Client {
    engine: *mut chttp_engine,
    queue: *mut chttp_queue,
    events: Vec<chttp_event>,
}

impl Client {
    pub fn new(drive: Drive, options: &[(u32, i64)]) -> Client {
        let options: Options = options.iter().map(|&(option, value)| (option, Value::Number(value))).collect();
        Client::with(drive, &options)
    }

    pub fn with(drive: Drive, options: &[(u32, Value)]) -> Client {
        let (mut config, mut engine, mut queue) = (null_mut(), null_mut(), null_mut());
        let threads = i64::from(drive == Drive::Thread);
        // SAFETY: the pointers are writable, and what they receive is used as the contract says.
        unsafe {
            assert_eq!(chttp_config_new(&raw mut config), 0);
            set(config, &[(CHTTP_OPT_IO_THREADS, Value::Number(threads))]);
            set(config, options);
            assert_eq!(chttp_engine_new(config, &raw mut engine, null_mut()), 0);
            chttp_config_free(config);
            assert_eq!(chttp_queue_new(engine, &raw mut queue), 0);
        }
        Client { engine, queue, events: Vec::with_capacity(BATCH) }
    }

    /// All or none. What `requests` point to beyond themselves is the caller's promise.
    pub fn submit(&self, requests: &[Request]) -> Result<Vec<u64>, i32> {
        let raw: Vec<chttp_request> = requests.iter().map(Request::filled).collect();
        let mut xids = vec![0; raw.len()];
        self.submit_raw(&raw, &mut xids).map(|()| xids)
    }

    /// The same without an allocation on this side.
    pub fn submit_raw(&self, raw: &[chttp_request], xids: &mut [u64]) -> Result<(), i32> {
        assert_eq!(raw.len(), xids.len());
        // SAFETY: arrays of that many; what the requests point to outlives the call.
        let code = unsafe {
            chttp_submit(self.engine, self.queue, raw.as_ptr(), raw.len() as u32, 0, xids.as_mut_ptr(), null_mut())
        };
        if code < 0 { Err(code) } else { Ok(()) }
    }

    /// Have `n` idle connections made that `request` could use.
    pub fn preconnect(&self, request: &Request, n: u32) {
        // SAFETY: the engine lives, and the request during the call.
        let code = unsafe { chttp_engine_preconnect(self.engine, &request.filled(), n, null_mut()) };
        assert_eq!(code, 0, "{}", name(code));
    }

    pub fn cancel(&self, xid: u64) -> i32 {
        // SAFETY: the engine lives.
        unsafe { chttp_cancel(self.engine, xid) }
    }

    pub fn write(&self, xid: u64, bytes: &[u8]) -> i32 {
        // SAFETY: the engine lives, and the bytes are read during the call.
        unsafe { chttp_body_write(self.engine, xid, bytes.as_ptr().cast(), bytes.len()) }
    }

    pub fn end_body(&self, xid: u64) -> i32 {
        // SAFETY: the engine lives; there are no trailers.
        unsafe { chttp_body_end(self.engine, xid, null(), 0, null_mut()) }
    }

    /// A message of a WebSocket, or a fragment of one.
    pub fn ws_send(&self, xid: u64, opcode: u32, flags: u32, bytes: &[u8]) -> i32 {
        // SAFETY: the engine lives, and the bytes are read during the call.
        unsafe { chttp_ws_send(self.engine, xid, opcode, flags, bytes.as_ptr().cast(), bytes.len()) }
    }

    pub fn ws_ping(&self, xid: u64, bytes: &[u8]) -> i32 {
        // SAFETY: as above.
        unsafe { chttp_ws_ping(self.engine, xid, bytes.as_ptr().cast(), bytes.len()) }
    }

    pub fn ws_close(&self, xid: u64, code: u32) -> i32 {
        // SAFETY: the engine lives; there is no reason.
        unsafe { chttp_ws_close(self.engine, xid, code, null(), 0, null_mut()) }
    }

    pub fn stats(&self) -> chttp_stats {
        // SAFETY: all-zero is a valid value of a struct of integers.
        let mut stats: chttp_stats = unsafe { std::mem::zeroed() };
        // SAFETY: it is writable for its size.
        let code = unsafe { chttp_engine_stats(self.engine, &raw mut stats, size_of::<chttp_stats>()) };
        assert_eq!(code, 0);
        stats
    }

    /// Wait until the descriptor is readable.
    pub fn poll(&self) {
        assert!(self.poll_ms(STUCK_MS), "stuck");
    }

    /// The same, but not for longer than that. Whether it is readable.
    pub fn poll_for(&self, at_most: std::time::Duration) -> bool {
        self.poll_ms(i32::try_from(at_most.as_millis()).expect("a short time"))
    }

    fn poll_ms(&self, ms: i32) -> bool {
        // SAFETY: the queue lives.
        let fd = unsafe { chttp_queue_fd(self.queue) };
        let mut ready = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd.
        let n = unsafe { libc::poll(&raw mut ready, 1, ms) };
        assert!(n == 0 || n == 1 && ready.revents == libc::POLLIN, "poll gives {n}, {:#x}", ready.revents);
        n == 1
    }

    /// One drain: `each` sees the events, then they are released. Returns how many there were.
    pub fn drain(&mut self, each: impl FnMut(&chttp_event)) -> usize {
        // SAFETY: there is room for BATCH events; the library says how many it wrote, and their objects are ours.
        unsafe {
            let n = chttp_queue_drain(self.queue, self.events.as_mut_ptr(), BATCH as u32, 0);
            assert!(n >= 0, "{}", name(n));
            self.events.set_len(n as usize);
            self.events.iter().for_each(each);
            assert_eq!(chttp_events_release(self.events.as_mut_ptr(), n as u32, size_of::<chttp_event>()), 0);
            self.events.set_len(0);
            n as usize
        }
    }

    /// Run exchanges to their ends.
    pub fn finish(&mut self, xids: &[u64]) -> Vec<Outcome> {
        let mut outcomes: HashMap<u64, Outcome> = xids.iter().map(|&xid| (xid, Outcome::default())).collect();
        let mut left = xids.len();
        while left > 0 {
            self.poll();
            self.drain(|event| {
                let Some(outcome) = outcomes.get_mut(&event.xid) else { return };
                note(outcome, event);
                left -= usize::from(outcome.ended);
            });
        }
        xids.iter().map(|xid| outcomes.remove(xid).expect("each id is there once")).collect()
    }

    pub fn run(&mut self, requests: &[Request]) -> Vec<Outcome> {
        let xids = self.submit(requests).expect("valid requests");
        self.finish(&xids)
    }

    pub fn run_one(&mut self, request: Request) -> Outcome {
        self.run(&[request]).remove(0)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: both are ours and given up; no event is held.
        unsafe {
            assert_eq!(chttp_engine_destroy(self.engine), 0);
            chttp_queue_destroy(self.queue);
        }
    }
}

/// The bytes that an event carries.
pub fn body(event: &chttp_event) -> &[u8] {
    if event.data.is_null() {
        return &[];
    }
    // SAFETY: `len` bytes, borrowed from the event's object, which is released after the event was looked at.
    unsafe { std::slice::from_raw_parts(event.data.cast(), event.len as usize) }
}

/// Enter an event into the account of its exchange.
pub fn note(outcome: &mut Outcome, event: &chttp_event) {
    assert!(!outcome.ended, "an event after the terminal one");
    match u32::from(event.kind) {
        CHTTP_EV_HEADERS => {
            outcome.headers = true;
            outcome.status = event.arg;
            outcome.tls = agreed(event.obj.cast());
        }
        CHTTP_EV_BODY => outcome.body.extend_from_slice(body(event)),
        CHTTP_EV_RESPONSE => {
            outcome.headers = true;
            outcome.status = event.arg;
            outcome.tls = agreed(event.obj.cast());
            outcome.body.extend_from_slice(body(event));
        }
        CHTTP_EV_DONE if event.error != 0 => {
            outcome.error = event.error;
            outcome.os_errno = event.os_errno;
            let mut text = vec![0u8; 1024];
            // SAFETY: the object of a failed DONE is an error.
            unsafe {
                outcome.retryable = chttp_error_is_retryable(event.obj.cast()) == 1;
                let len = chttp_error_message(event.obj.cast(), text.as_mut_ptr().cast(), text.len());
                text.truncate(usize::try_from(len).expect("an error object").min(1023));
            }
            outcome.message = String::from_utf8(text).expect("UTF-8");
        }
        _ => {}
    }
    outcome.flags = u32::from(event.flags);
    outcome.ended = outcome.flags & CHTTP_EF_TERMINAL != 0;
}
