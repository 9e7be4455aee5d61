//! Borrowed bodies: the memory is the application's again after WRITE_DONE, after the terminal event, and after the return
//! of whatever ends the exchange. Each test writes over it at once; a server that reads slowly looks for what it must not see.

mod stress_support;

use chttpcore::ffi::config::{CHTTP_OPT_IO_THREADS, chttp_config_free, chttp_config_new, chttp_config_set_i64};
use chttpcore::ffi::engine::{chttp_engine, chttp_engine_destroy, chttp_engine_new};
use chttpcore::ffi::exchange::{chttp_cancel, chttp_perform, chttp_submit};
use chttpcore::ffi::object::{chttp_events_release, chttp_release};
use chttpcore::ffi::queue::{chttp_queue, chttp_queue_destroy, chttp_queue_new, chttp_queue_wait};
use chttpcore::ffi::types::{CHTTP_EF_TERMINAL, CHTTP_EV_WRITE_DONE, CHTTP_REQ_COLLECT, chttp_event, chttp_request};
use std::io::{Read, Write};
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use stress_support::*;

/// More than a socket takes at once.
const SIZE: usize = 6 << 20;
const OURS: u8 = 0x11;
const THEIRS: u8 = 0xee;

struct Server {
    port: u16,
    spoilt: Arc<AtomicUsize>,
}

impl Server {
    /// Reads one request of `SIZE` bytes with a pause, and answers. Counts the bytes that nobody sent.
    fn start() -> Server {
        let spoilt = Arc::new(AtomicUsize::new(0));
        let count = spoilt.clone();
        let port = serve(move |stream| {
            let mut bytes = vec![0; 64 << 10];
            let mut n = stream.read(&mut bytes)?;
            let head = bytes[..n].windows(4).position(|w| w == b"\r\n\r\n").expect("the head comes in one piece") + 4;
            bytes.copy_within(head..n, 0);
            n -= head;
            let mut left = SIZE;
            std::thread::sleep(Duration::from_millis(2));
            loop {
                count.fetch_add(bytes[..n].iter().filter(|&&b| b != OURS).count(), Ordering::SeqCst);
                left -= n;
                if left == 0 {
                    break;
                }
                n = stream.read(&mut bytes)?;
                if n == 0 {
                    return Ok(());
                }
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        });
        Server { port, spoilt }
    }
}

/// A body that the library borrows.
struct Upload {
    body: *mut u8,
    url: String,
}

impl Upload {
    fn new(server: &Server) -> Upload {
        let body = Box::leak(vec![OURS; SIZE].into_boxed_slice()).as_mut_ptr();
        Upload { body, url: format!("http://127.0.0.1:{}/", server.port) }
    }

    fn request(&self) -> chttp_request {
        // SAFETY: all-zero is valid by the contract of the struct.
        let mut raw: chttp_request = unsafe { std::mem::zeroed() };
        raw.size = size_of::<chttp_request>() as u32;
        raw.flags = CHTTP_REQ_COLLECT;
        raw.url = self.url.as_ptr().cast();
        raw.url_len = self.url.len();
        raw.method = c"PUT".as_ptr();
        raw.method_len = 3;
        raw.body = self.body.cast();
        raw.body_len = SIZE as u64;
        raw
    }

    /// The library has given the memory back.
    fn returned(&self) {
        // SAFETY: `SIZE` bytes of ours, which nobody else refers to any more; that is what is tested.
        unsafe { self.body.write_bytes(THEIRS, SIZE) };
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // SAFETY: made from a box of this size, and given up once.
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(self.body, SIZE)) });
    }
}

#[derive(Clone, Copy)]
struct Engine(*mut chttp_engine);
// SAFETY: the handle may be used on any thread.
unsafe impl Send for Engine {}

impl Engine {
    fn new(threads: i64) -> Engine {
        let (mut config, mut engine) = (null_mut(), null_mut());
        // SAFETY: the pointers are writable, and what they receive is used as the contract says.
        unsafe {
            assert_eq!(chttp_config_new(&raw mut config), 0);
            assert_eq!(chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, threads, null_mut()), 0);
            assert_eq!(chttp_engine_new(config, &raw mut engine, null_mut()), 0);
            chttp_config_free(config);
        }
        Engine(engine)
    }

    fn queue(self) -> *mut chttp_queue {
        let mut queue = null_mut();
        // SAFETY: a live engine.
        assert_eq!(unsafe { chttp_queue_new(self.0, &raw mut queue) }, 0);
        queue
    }

    fn submit(self, queue: *mut chttp_queue, upload: &Upload) -> u64 {
        let (request, mut xid) = (upload.request(), 0);
        // SAFETY: live handles, and a body that lives until it is given back.
        let code = unsafe { chttp_submit(self.0, queue, &raw const request, 1, 0, &raw mut xid, null_mut()) };
        assert_eq!(code, 0);
        xid
    }

    fn destroy(self) {
        // SAFETY: nobody uses it any more.
        assert_eq!(unsafe { chttp_engine_destroy(self.0) }, 0);
    }
}

fn both_drives(test: impl Fn(Engine, &Server)) {
    let server = Server::start();
    for threads in [0, 1] {
        test(Engine::new(threads), &server);
    }
    assert_eq!(server.spoilt.load(Ordering::SeqCst), 0, "bytes were read after they had been given back");
}

/// `perform` that is cut short by its time, at every moment of the upload.
#[test]
fn perform_gives_the_body_back_before_it_returns() {
    both_drives(|engine, server| {
        together((0..3).map(|t| {
            let server = Server { port: server.port, spoilt: server.spoilt.clone() };
            job(move || {
                let engine = { engine };
                for i in 0..12 {
                    let upload = Upload::new(&server);
                    let (request, mut response) = (upload.request(), null_mut());
                    let time = ((i * 3 + t) % 9) * 500_000;
                    // SAFETY: a live engine, and a body that lives longer than the call.
                    unsafe {
                        chttp_perform(engine.0, &raw const request, time, &raw mut response, null_mut());
                        upload.returned();
                        chttp_release(response.cast());
                    }
                }
            })
        }));
        engine.destroy();
    });
}

/// Cancelled from another thread; each body is written over as soon as an event says that it may be.
#[test]
fn events_give_the_body_back() {
    both_drives(|engine, server| {
        let queue = engine.queue();
        let uploads: Vec<Upload> = (0..24).map(|_| Upload::new(server)).collect();
        let xids: Vec<u64> = uploads.iter().map(|u| engine.submit(queue, u)).collect();
        let theirs: Vec<u64> = xids.iter().copied().step_by(2).collect();
        let canceller = std::thread::spawn(move || {
            let engine = { engine };
            for xid in theirs {
                std::thread::sleep(Duration::from_micros(300));
                // SAFETY: a live engine.
                unsafe { chttp_cancel(engine.0, xid) };
            }
        });
        let (mut written, mut ended) = (vec![0; xids.len()], vec![0; xids.len()]);
        while ended.iter().sum::<usize>() < xids.len() {
            // SAFETY: room for 7 events, which are released once.
            unsafe {
                let mut events: [chttp_event; 7] = std::mem::zeroed();
                let n = chttp_queue_wait(queue, events.as_mut_ptr(), 7, 0, STUCK.as_nanos() as u64);
                assert!(n > 0, "stuck: {n}");
                for event in &events[..n as usize] {
                    let at = xids.iter().position(|&x| x == event.xid).expect("one of ours");
                    if u32::from(event.kind) == CHTTP_EV_WRITE_DONE {
                        written[at] += 1;
                        uploads[at].returned();
                    }
                    if u32::from(event.flags) & CHTTP_EF_TERMINAL != 0 {
                        ended[at] += 1;
                        assert_eq!((written[at], ended[at]), (1, 1), "one WRITE_DONE, before the one terminal event");
                    }
                }
                chttp_events_release(events.as_mut_ptr(), n as u32, 0);
            }
        }
        canceller.join().expect("no panic");
        // SAFETY: nobody uses it any more.
        unsafe { chttp_queue_destroy(queue) };
        engine.destroy();
    });
}

#[test]
fn the_end_of_a_queue_or_an_engine_gives_the_body_back() {
    let server = Server::start();
    for round in 0..24 {
        let engine = Engine::new(round % 2);
        let queue = engine.queue();
        let uploads: Vec<Upload> = (0..4).map(|_| Upload::new(&server)).collect();
        for upload in &uploads {
            engine.submit(queue, upload);
        }
        std::thread::sleep(Duration::from_micros((round as u64 % 5) * 700));
        // SAFETY: each is destroyed once, and not used again.
        unsafe {
            if round % 4 < 2 {
                chttp_queue_destroy(queue);
                uploads.iter().for_each(Upload::returned);
                engine.destroy();
            } else {
                engine.destroy();
                uploads.iter().for_each(Upload::returned);
                chttp_queue_destroy(queue);
            }
        }
    }
    assert_eq!(server.spoilt.load(Ordering::SeqCst), 0, "bytes were read after they had been given back");
}
