//! A network that a test writes: scripted peers, a virtual clock, and a record of what was sent.

use super::error::chttp_error;
use super::guard::{Refusal, bytes, give, guard, guard_explained, guard_or, text};
use super::mock_tls::manner;
use super::network::off_route;
use crate::client::Settings;
use crate::error as e;
use crate::mem::{Block, Obj, Object};
use crate::net::backend::mock::{Closed, MockBackend, MockNet, Script};
use crate::net::resolver::Resolver;
use crate::net::sys;
use crate::proto::eyeballs::Family;
use crate::proto::route;
use std::ffi::{CStr, c_char, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

/// A chttp_backend that the engine's connections go to instead of the system's network, for tests: chttp_mock_new().
/// `io_threads` has to be 0 then. Default: none.
pub const CHTTP_OPT_BACKEND: u32 = 59;

/// A network that a test writes, from chttp_mock_new(). Refcounted and thread-safe.
pub struct chttp_backend {
    net: MockNet,
    /// The process it was made in.
    epoch: u32,
}

impl Object for chttp_backend {
    const TAG: u32 = 0x4d4f_434b;
}

/// Steps of a script (chttp_mock_step). Those that EXPECT wait until it has come; if something else comes, that is told by
/// chttp_mock_mismatches(), and the connection is reset.
///
/// The client sends exactly the `len` bytes at `data` next; at least one.
pub const CHTTP_MOCK_EXPECT: u32 = 1;
/// The client sends a head: anything up to and including an empty line.
pub const CHTTP_MOCK_EXPECT_HEAD: u32 = 2;
/// The client sends `number` bytes, whatever they are; at least one.
pub const CHTTP_MOCK_EXPECT_BYTES: u32 = 3;
/// The client closes its sending side, having sent nothing that no step has taken.
pub const CHTTP_MOCK_EXPECT_END: u32 = 4;
/// Send the `len` bytes at `data`. They arrive in pieces of at most `number` bytes, one at each read; 0: together.
pub const CHTTP_MOCK_SEND: u32 = 5;
/// Do nothing for `number` nanoseconds.
pub const CHTTP_MOCK_DELAY: u32 = 6;
/// Close the peer's sending side (FIN). Where there is TLS it says so before (close_notify), unless `number` is 1.
pub const CHTTP_MOCK_CLOSE: u32 = 7;
/// Reset the connection (RST). What was sent before arrives.
pub const CHTTP_MOCK_RESET: u32 = 8;
/// From here on each send of the client's takes at most `number` bytes, and blocks the next one; 0 ends that.
pub const CHTTP_MOCK_SHORT_WRITES: u32 = 9;
/// From here on the client's sends block.
pub const CHTTP_MOCK_STOP_READING: u32 = 10;
/// They no longer do.
pub const CHTTP_MOCK_RESUME_READING: u32 = 11;
/// The attempt to connect fails (ECONNREFUSED). The last step, with none but CONNECT_DELAY before it.
pub const CHTTP_MOCK_REFUSE: u32 = 12;
/// The attempt to connect has no outcome. The last step, with none but CONNECT_DELAY before it.
pub const CHTTP_MOCK_HANG: u32 = 13;
/// Connecting takes `number` nanoseconds. Only at the beginning.
pub const CHTTP_MOCK_CONNECT_DELAY: u32 = 14;
/// Start over, after the steps about connecting, for ever. The last step; one before it has to be EXPECT, EXPECT_HEAD or
/// EXPECT_BYTES.
pub const CHTTP_MOCK_AGAIN: u32 = 15;
/// TLS begins: answer the client's handshake, and wait until it is done. What the script expects and sends from here on is
/// plaintext. `data` points to a chttp_mock_tls, with `len` its size; a `len` of 0 stands for one without a wish. If the
/// handshake fails, the peer closes, and the script is over. Where there is TLS already, nothing happens, so that a script
/// that starts over may begin with it.
pub const CHTTP_MOCK_TLS: u32 = 16;

/// For chttp_mock_listen(): every connection follows the script, once those without this flag are used up.
pub const CHTTP_MOCK_ALWAYS: u32 = 1;

/// chttp_mock_record.flags: the script has come to its end.
pub const CHTTP_MOCK_DONE: u32 = 1;
/// The client has closed its sending side.
pub const CHTTP_MOCK_FINISHED: u32 = 2;
/// A handshake of TLS has succeeded on it.
pub const CHTTP_MOCK_SECURED: u32 = 4;

/// chttp_mock_record.closed: the client has not closed the connection.
pub const CHTTP_MOCK_OPEN: u32 = 0;
/// It has.
pub const CHTTP_MOCK_CLOSED: u32 = 1;
/// It has reset it.
pub const CHTTP_MOCK_CLOSED_RESET: u32 = 2;

/// One step of a script. This struct never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chttp_mock_step {
    /// CHTTP_MOCK_EXPECT ... CHTTP_MOCK_TLS. Further kinds may come.
    pub kind: u32,
    /// 0.
    pub flags: u32,
    /// `len` bytes, for EXPECT and SEND; a chttp_mock_tls for TLS.
    pub data: *const c_char,
    pub len: usize,
    /// Of bytes or nanoseconds, as the kind says.
    pub number: u64,
}

/// What is known of a connection of a mock.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chttp_mock_record {
    /// sizeof(chttp_mock_record) of the library, or what there was room for.
    pub size: u32,
    /// CHTTP_MOCK_DONE, CHTTP_MOCK_FINISHED, CHTTP_MOCK_SECURED.
    pub flags: u32,
    /// Bytes that the client has sent, as plaintext where there is TLS: chttp_mock_sent().
    pub sent: u64,
    /// How many of them no step has taken.
    pub unread: u64,
    /// CHTTP_MOCK_OPEN, CHTTP_MOCK_CLOSED or CHTTP_MOCK_CLOSED_RESET.
    pub closed: u32,
    /// The step that the script is at, from 0.
    pub step: u32,
}

impl chttp_backend {
    /// The network behind a handle.
    ///
    /// # Safety
    /// `backend` is NULL or an object that is not released for `'a`.
    pub(super) unsafe fn get<'a>(backend: *const c_void) -> Result<&'a MockNet, Refusal> {
        let none = |rule| Refusal::new(e::CHTTP_E_INVALID_ARG, rule);
        let raw = NonNull::new(backend.cast_mut()).ok_or_else(|| none("backend is NULL"))?;
        // SAFETY: by contract.
        let backend = unsafe { Block::peek::<chttp_backend>(raw) };
        let (backend, _) = backend.ok_or_else(|| none("it is no chttp_backend"))?;
        if sys::is_process_epoch(backend.epoch) {
            Ok(&backend.net)
        } else {
            Err(Refusal::new(e::CHTTP_E_FORKED, "it belongs to another process"))
        }
    }

    /// The same for functions that explain nothing.
    ///
    /// # Safety
    /// As for `get`.
    pub(super) unsafe fn net<'a>(backend: *const chttp_backend) -> Result<&'a MockNet, i32> {
        // SAFETY: by contract.
        unsafe { chttp_backend::get(backend.cast()) }.map_err(|refusal| refusal.code)
    }
}

/// # Safety
/// `obj` is NULL or an object.
pub(super) unsafe fn set_backend(settings: &mut Settings, obj: *const c_void) -> Result<(), Refusal> {
    if obj.is_null() {
        settings.mock = None;
        return Ok(());
    }
    // SAFETY: by contract.
    let net = unsafe { chttp_backend::get(obj) }.map_err(|refusal| match refusal.code {
        e::CHTTP_E_INVALID_ARG => Refusal { code: e::CHTTP_E_OPTION_TYPE, ..refusal },
        _ => refusal,
    })?;
    settings.mock = Some((net.clone(), sys::process_epoch()));
    Ok(())
}

/// The scripted network of an engine to be, and its names, if the settings have one.
pub(super) fn claim(settings: &Settings) -> Result<Option<(MockBackend, Resolver)>, Refusal> {
    let Some((net, epoch)) = &settings.mock else { return Ok(None) };
    if !sys::is_process_epoch(*epoch) {
        return Err(Refusal::new(e::CHTTP_E_FORKED, "option backend: it belongs to another process"));
    }
    if settings.own_thread {
        let rule = "option backend: a mock has no thread; set io_threads to 0";
        return Err(Refusal::new(e::CHTTP_E_INVALID_ARG, rule));
    }
    let backend = net.claim().ok_or_else(|| {
        Refusal::new(e::CHTTP_E_BAD_STATE, "option backend: it has an engine, or a queue of one that has ended")
    })?;
    let net = net.clone();
    let lookup = move |host: &CStr, family| {
        let all = net.addresses(&host.to_string_lossy());
        Ok(all.into_iter().filter(|ip| ip.is_ipv4() == (family == Family::V4)).collect())
    };
    Ok(Some((backend, Resolver::at_once(Arc::new(lookup)))))
}

/// Make a network for tests: nothing is there but what chttp_mock_listen() puts behind addresses and chttp_mock_resolve()
/// behind names. Set it as CHTTP_OPT_BACKEND, with `io_threads` 0, and make an engine, which is like any other but that
/// no socket is opened, no name asked for, and no time spent. One engine at a time uses a mock.
///
/// The clock is virtual and begins at one second. In chttp_queue_wait() and chttp_perform() time passes as far as it has to,
/// to the next event or to the end of the timeout, without sleeping: a test of a timeout of an hour takes no time. If without a
/// timeout nothing would ever come, they answer CHTTP_E_BAD_STATE. In chttp_queue_drain() none passes; call
/// chttp_mock_advance() before it. All times that the engine tells are of this clock. There is no descriptor to poll.
///
/// Everything happens on the thread that calls, in the same order each time. An https request begins with a
/// handshake, which the step CHTTP_MOCK_TLS answers: with certificates of the authority that chttp_mock_authority() tells.
///
/// Context:   [any-ctx]
/// Ownership: release it with chttp_release(); engines and configurations keep what they need.
/// Returns:   0 and `*out`; CHTTP_E_INVALID_ARG, CHTTP_E_NOMEM.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_mock_new(out: *mut *mut chttp_backend, error: *mut *mut chttp_error) -> i32 {
    // SAFETY: the caller's promise about both pointers.
    unsafe {
        guard_explained(error, || {
            if out.is_null() {
                return Err(Refusal::new(e::CHTTP_E_INVALID_ARG, "out is NULL"));
            }
            let net = MockNet::new();
            net.let_waits_pass();
            let block = Block::unpooled(Obj::<chttp_backend>::payload(0)).ok_or(e::CHTTP_E_NOMEM)?;
            let backend = Obj::new(block, chttp_backend { net, epoch: sys::process_epoch() });
            out.write(backend.into_block().into_raw().cast());
            Ok(0)
        })
    }
}

/// Put something behind an address: `1.2.3.4:port`, `[ipv6]:port`, `unix:path`, or `unix:@name`. The next connection to it
/// follows the `n` steps; with CHTTP_MOCK_ALWAYS in `flags`, each one after those named so. Connections to an address that
/// has no script left are refused.
///
/// Steps about connecting come first; without one the connection is accepted at once. After the last step the peer stays,
/// silent and open: no steps at all make one that says nothing.
///
/// `error`, unless NULL, receives on failure an object that names the step and the rule; release it.
///
/// Context:   [any-ctx]
/// Ownership: everything is copied.
/// Returns:   0; CHTTP_E_INVALID_ARG (a step, or flags), CHTTP_E_INVALID_ROUTE (the address), CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_mock_listen(
    backend: *mut chttp_backend,
    address: *const c_char,
    address_len: usize,
    steps: *const chttp_mock_step,
    n: usize,
    flags: u32,
    error: *mut *mut chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about all pointers.
    unsafe {
        guard_explained(error, || {
            let net = chttp_backend::get(backend.cast())?;
            let address = utf8("address", address, address_len)?;
            let at = route::address(address).map_err(off_route)?;
            let script = script(net, steps, n, true)?;
            match flags {
                0 => drop(net.listen(at).connection(script)),
                CHTTP_MOCK_ALWAYS => net.listen(at).always(script),
                _ => return Err(Refusal::new(e::CHTTP_E_INVALID_ARG, format!("flags: {flags:#x}"))),
            }
            Ok(0)
        })
    }
}

/// Let the script of connection `n` go on with these steps, behind those that it has: for a peer that answers what it was
/// asked, read from chttp_mock_sent(). The peer acts at once, as far as it can; the engine sees it at its next turn. What
/// has connected has no steps about connecting any more, and AGAIN is not among them; a script that starts over never comes to
/// them. On a connection that is over they do nothing.
///
/// `error`, unless NULL, receives on failure an object that names the step and the rule; release it.
///
/// Context:   [any-ctx]
/// Ownership: everything is copied.
/// Returns:   0; CHTTP_E_INVALID_ARG (a step), CHTTP_E_NOT_FOUND (there was no such connection), CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_mock_extend(
    backend: *mut chttp_backend,
    n: u32,
    steps: *const chttp_mock_step,
    count: usize,
    error: *mut *mut chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about all pointers.
    unsafe {
        guard_explained(error, || {
            let net = chttp_backend::get(backend.cast())?;
            let more = script(net, steps, count, false)?;
            match net.extend(n as usize, &more) {
                true => Ok(0),
                false => Err(Refusal::new(e::CHTTP_E_NOT_FOUND, format!("there was no connection {n}"))),
            }
        })
    }
}

/// # Safety
/// As for `bytes`.
pub(super) unsafe fn utf8<'a>(what: &str, data: *const c_char, len: usize) -> Result<&'a str, Refusal> {
    // SAFETY: by contract.
    let text = unsafe { bytes(what, data, len) }?.unwrap_or_default();
    std::str::from_utf8(text).map_err(|_| Refusal::new(e::CHTTP_E_INVALID_ARG, format!("{what}: it is not UTF-8")))
}

/// A script of its own, or the rest of one whose connection exists.
///
/// # Safety
/// `steps` is NULL or points to `n` steps whose data is what chttp_mock_step says.
unsafe fn script(net: &MockNet, steps: *const chttp_mock_step, n: usize, whole: bool) -> Result<Script, Refusal> {
    /// No test has more, and a nonsensical number is not believed.
    const MANY: usize = 1 << 20;
    if n == 0 {
        return Ok(Script::new());
    }
    if steps.is_null() || n > MANY {
        return Err(Refusal::new(e::CHTTP_E_INVALID_ARG, format!("steps: NULL, or {n} of them")));
    }
    // SAFETY: by contract.
    let steps = unsafe { std::slice::from_raw_parts(steps, n) };
    let mut script = Script::new();
    for (i, step) in steps.iter().enumerate() {
        let connecting = whole && steps[..i].iter().all(|s| s.kind == CHTTP_MOCK_CONNECT_DELAY);
        let last = whole && i + 1 == n;
        let next = if step.kind == CHTTP_MOCK_TLS && step.flags == 0 {
            // SAFETY: by contract.
            unsafe { manner(net, step.data.cast(), step.len) }.map(|manner| script.tls(manner))
        } else {
            // SAFETY: by contract.
            let data = unsafe { bytes("data", step.data, step.len) };
            data.and_then(|data| then(script, step, data.unwrap_or_default(), connecting, last))
        };
        script = next.map_err(|refusal| Refusal::new(refusal.code, format!("step {i}: {}", refusal.message)))?;
    }
    Ok(script)
}

/// The script with one more step. `connecting`: nothing but delays of connecting stands before it. `last`: nothing follows
/// it, nor will.
fn then(script: Script, step: &chttp_mock_step, data: &[u8], connecting: bool, last: bool) -> Result<Script, Refusal> {
    let number = usize::try_from(step.number).unwrap_or(usize::MAX);
    let rule = match step.kind {
        _ if step.flags != 0 => "flags are not 0",
        CHTTP_MOCK_EXPECT if data.is_empty() => "no bytes are expected",
        CHTTP_MOCK_EXPECT_BYTES if number == 0 => "no bytes are expected",
        CHTTP_MOCK_REFUSE | CHTTP_MOCK_HANG if !(connecting && last) => "it stands alone, or behind CONNECT_DELAY",
        CHTTP_MOCK_CONNECT_DELAY if !connecting => "the connection is there already",
        CHTTP_MOCK_AGAIN if !last => "it is not the last",
        CHTTP_MOCK_AGAIN if !script.waits() => "nothing before it waits for bytes",
        CHTTP_MOCK_EXPECT => return Ok(script.expect(data.to_vec())),
        CHTTP_MOCK_EXPECT_HEAD => return Ok(script.expect_head()),
        CHTTP_MOCK_EXPECT_BYTES => return Ok(script.expect_bytes(step.number)),
        CHTTP_MOCK_EXPECT_END => return Ok(script.expect_fin()),
        CHTTP_MOCK_SEND if number == 0 => return Ok(script.send(data.to_vec())),
        CHTTP_MOCK_SEND => return Ok(script.send_split(data.to_vec(), number)),
        CHTTP_MOCK_DELAY => return Ok(script.delay(step.number)),
        CHTTP_MOCK_CLOSE if number == 0 => return Ok(script.fin()),
        CHTTP_MOCK_CLOSE if number == 1 => return Ok(script.cut()),
        CHTTP_MOCK_CLOSE => "the number is 0 or 1",
        CHTTP_MOCK_RESET => return Ok(script.rst()),
        CHTTP_MOCK_SHORT_WRITES if number == 0 => return Ok(script.short_writes(usize::MAX)),
        CHTTP_MOCK_SHORT_WRITES => return Ok(script.short_writes(number)),
        CHTTP_MOCK_STOP_READING => return Ok(script.stop_reading()),
        CHTTP_MOCK_RESUME_READING => return Ok(script.resume_reading()),
        CHTTP_MOCK_REFUSE => return Ok(script.refuse()),
        CHTTP_MOCK_HANG => return Ok(script.black_hole()),
        CHTTP_MOCK_CONNECT_DELAY => return Ok(script.connect_delay(step.number)),
        CHTTP_MOCK_AGAIN => return Ok(script.again()),
        _ => "there is no such kind",
    };
    Err(Refusal::new(e::CHTTP_E_INVALID_ARG, format!("kind {}: {rule}", step.kind)))
}

/// Let a name stand for addresses: IPv4 and IPv6, with commas between them. An empty text, and every name that this was not
/// called for, "localhost" too: the name does not exist. An engine keeps what it has found as long as CHTTP_OPT_DNS_CACHE_NS
/// says. Names are found at once; hosts with an override or a `connect_to` need none.
///
/// Context:   [any-ctx]
/// Returns:   0; CHTTP_E_INVALID_ARG (no name, or no UTF-8), CHTTP_E_INVALID_ROUTE (an address), CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_mock_resolve(
    backend: *mut chttp_backend,
    host: *const c_char,
    host_len: usize,
    addresses: *const c_char,
    addresses_len: usize,
    error: *mut *mut chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about all pointers.
    unsafe {
        guard_explained(error, || {
            let net = chttp_backend::get(backend.cast())?;
            let host = utf8("host", host, host_len)?;
            if host.is_empty() {
                return Err(Refusal::new(e::CHTTP_E_INVALID_ARG, "host is empty"));
            }
            let addresses = utf8("addresses", addresses, addresses_len)?;
            let parsed: Result<Vec<_>, _> = addresses.split(',').map(|a| route::local(a.trim())).collect();
            net.name(host, parsed.map_err(off_route)?.into_iter().flatten().collect());
            Ok(0)
        })
    }
}

/// The time on the mock's clock, in nanoseconds.
///
/// Context:   [any-ctx]
/// Returns:   the time; 0 for what is no mock of this process.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_mock_now(backend: *const chttp_backend) -> u64 {
    // SAFETY: the caller's promise.
    guard_or(0, || Some(unsafe { chttp_backend::net(backend) }.ok()?.now().0))
}

/// Let `ns` nanoseconds pass. Peers act at their moments on the way; the engine sees it all afterwards, at the next
/// chttp_queue_drain(), chttp_queue_wait() or chttp_submit(). To see each in its time, advance to chttp_mock_next_event().
///
/// Context:   [any-ctx]
/// Returns:   0; CHTTP_E_INVALID_ARG, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_mock_advance(backend: *mut chttp_backend, ns: u64) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { chttp_backend::net(backend) }?.advance(ns);
        Ok(0)
    })
}

/// When something happens next: a peer acts, or a deadline of the engine's comes. Not later than chttp_mock_now() if
/// chttp_queue_drain() has something to do.
///
/// Context:   [any-ctx]
/// Returns:   0 and `*at_ns`, UINT64_MAX for never; CHTTP_E_INVALID_ARG, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_mock_next_event(backend: *const chttp_backend, at_ns: *mut u64) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let net = unsafe { chttp_backend::net(backend) }?;
        if at_ns.is_null() {
            return Err(e::CHTTP_E_INVALID_ARG);
        }
        // SAFETY: as above.
        unsafe { at_ns.write(net.next_event().0) };
        Ok(0)
    })
}

/// How many connections were tried on this mock, refused ones too. They are numbered from 0, in the order of the attempts.
///
/// Context:   [any-ctx]
/// Returns:   the number (>= 0); CHTTP_E_INVALID_ARG, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_mock_connection_count(backend: *const chttp_backend) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let totals = unsafe { chttp_backend::net(backend) }?.totals();
        Ok(i32::try_from(totals.opened).unwrap_or(i32::MAX))
    })
}

/// What has become of connection `n`. `out_size` is sizeof(chttp_mock_record).
///
/// Context:   [any-ctx]
/// Returns:   0; CHTTP_E_NOT_FOUND (there was none), CHTTP_E_INVALID_ARG, CHTTP_E_INVALID_SIZE, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_mock_connection(
    backend: *const chttp_backend,
    n: u32,
    out: *mut chttp_mock_record,
    out_size: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let net = unsafe { chttp_backend::net(backend) }?;
        let known = net.connection(n as usize).ok_or(e::CHTTP_E_NOT_FOUND)?;
        let flag = |on, flag| if on { flag } else { 0 };
        let record = chttp_mock_record {
            size: out_size.min(size_of::<chttp_mock_record>()) as u32,
            flags: flag(known.done, CHTTP_MOCK_DONE)
                | flag(known.finished, CHTTP_MOCK_FINISHED)
                | flag(known.secured, CHTTP_MOCK_SECURED),
            sent: known.sent.len() as u64,
            unread: known.unread.len() as u64,
            closed: match known.closed {
                None => CHTTP_MOCK_OPEN,
                Some(Closed::Orderly) => CHTTP_MOCK_CLOSED,
                Some(Closed::Reset) => CHTTP_MOCK_CLOSED_RESET,
            },
            step: known.step as u32,
        };
        // SAFETY: the caller's promise about `out`.
        unsafe { give(&record, out, out_size) }
    })
}

/// The bytes that the client has sent on connection `n`, up to `cap` of them, from the first on; where there is TLS, what it
/// enciphered, and not its handshake. `*len`, unless NULL, is how
/// many there are.
///
/// Context:   [any-ctx]
/// Ownership: they are copied to `buf`, which may be NULL if `cap` is 0.
/// Returns:   0; CHTTP_E_NOT_FOUND (there was no such connection), CHTTP_E_INVALID_ARG, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_mock_sent(
    backend: *const chttp_backend,
    n: u32,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let net = unsafe { chttp_backend::net(backend) }?;
        let sent = net.connection(n as usize).ok_or(e::CHTTP_E_NOT_FOUND)?.sent;
        if buf.is_null() && cap > 0 {
            return Err(e::CHTTP_E_INVALID_ARG);
        }
        // SAFETY: the caller has `cap` bytes at `buf`, and a number at `len` unless it is NULL.
        unsafe {
            if cap > 0 {
                std::ptr::copy_nonoverlapping(sent.as_ptr(), buf.cast(), sent.len().min(cap));
            }
            if !len.is_null() {
                len.write(sent.len());
            }
        }
        Ok(0)
    })
}

/// What clients have sent against the scripts, in words, a line for each: empty in a good test. By the rule of snprintf.
///
/// Context:   [any-ctx]
/// Returns:   length of the text; CHTTP_E_INVALID_ARG, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_mock_mismatches(backend: *const chttp_backend, buf: *mut c_char, cap: usize) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let net = unsafe { chttp_backend::net(backend) }?;
        // SAFETY: as above.
        unsafe { text(&net.mismatches().join("\n"), buf, cap) }
    })
}
