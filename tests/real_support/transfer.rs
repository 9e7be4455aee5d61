//! Bodies that are measured: what sends and swallows them, and how much memory they take on the way.

use super::client::{Client, Outcome, body, note};
use super::memory;
use super::server::{self, Server};
use chttpcore::ffi::types::{CHTTP_EF_TERMINAL, CHTTP_EV_BODY, chttp_request};
use parking_lot::{Mutex, MutexGuard};
use std::io::{BufReader, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};

/// A transfer measures the memory of the process, in which other tests run: only one with large bodies at a time.
pub fn large() -> MutexGuard<'static, ()> {
    static LARGE: Mutex<()> = Mutex::new(());
    LARGE.lock()
}

pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

/// What nginx passes on: /chunked without a length, /large as well and long, /endless for ever; /sink reads a body and
/// tells its length and the sum of its bytes, /count its length alone.
pub fn upstream() -> Server {
    Server::start(|_, stream| {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        while let Some((line, length)) = server::head(&mut reader)? {
            match line.split(' ').nth(1).unwrap_or("") {
                path @ ("/sink" | "/count") => {
                    let (count, sum) = server::swallow(&mut reader, length, path == "/sink")?;
                    server::answer(&mut stream, &format!("{count} {sum}"))?;
                }
                path => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
                    match path {
                        _ if line.starts_with("HEAD") => {}
                        "/chunked" => stream.write_all(b"no length")?,
                        "/large" => stream.write_all(&pattern(20 << 20))?,
                        _ => loop {
                            stream.write_all(&[0; 4096])?;
                        },
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    })
}

/// Run one exchange to its end without keeping anything; returns its outcome, the bytes received, and by how much memory
/// grew at most. `at` is told of each event before that is released.
pub fn transfer(
    client: &mut Client,
    raw: &chttp_request,
    mut at: impl FnMut(&Client, u64, u32),
) -> (Outcome, u64, u64) {
    let before = memory();
    let mut xids = [0];
    client.submit_raw(std::slice::from_ref(raw), &mut xids).expect("a valid request");
    let (mut outcome, mut received, mut peak, mut turns) = (Outcome::default(), 0, before, 0);
    while !outcome.ended {
        client.poll();
        let mut kinds = Vec::new();
        client.drain(|event| {
            kinds.push(u32::from(event.kind));
            if u32::from(event.kind) == CHTTP_EV_BODY && u32::from(event.flags) & CHTTP_EF_TERMINAL == 0 {
                // Enough of the body for the short answers; the rest is thrown away.
                received += event.len;
                let room = 256usize.saturating_sub(outcome.body.len());
                outcome.body.extend(body(event).iter().take(room));
            } else {
                note(&mut outcome, event);
            }
        });
        kinds.into_iter().for_each(|kind| at(client, xids[0], kind));
        turns += 1;
        if turns % 16 == 0 || outcome.ended {
            peak = peak.max(memory());
        }
    }
    (outcome, received, peak - before)
}

/// A file that is a hole, and the same mapped into memory: neither costs any.
pub struct Hole {
    pub file: std::fs::File,
    pub at: *mut libc::c_void,
    len: u64,
}

impl Hole {
    pub fn new(len: u64) -> Hole {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hole-{}-{id}", std::process::id()));
        let file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let file = file.expect("the target directory can be written");
        std::fs::remove_file(&path).expect("it is there");
        file.set_len(len).expect("a hole takes no room");
        let (read, shared) = (libc::PROT_READ, libc::MAP_SHARED);
        // SAFETY: a new mapping of a file that nobody else can shorten.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len as usize, read, shared, file.as_raw_fd(), 0) };
        assert_ne!(at, libc::MAP_FAILED);
        Hole { file, at, len }
    }
}

impl Drop for Hole {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which no exchange borrows any more.
        unsafe { libc::munmap(self.at, self.len as usize) };
    }
}
