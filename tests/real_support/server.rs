//! A small server of our own, one thread to a connection, for what nginx cannot be told to do. It ends when dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

pub struct Server {
    port: u16,
    closing: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl Server {
    /// Give each connection, with its number, to `serve`, on a thread of its own. An error of I/O ends it: the client is
    /// free to go.
    pub fn start(serve: impl Fn(usize, TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let closing = Arc::new(AtomicBool::new(false));
        let (over, serve) = (closing.clone(), Arc::new(serve));
        let accept = move || {
            for (number, stream) in listener.incoming().enumerate() {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                let (stream, serve) = (stream.expect("accept does not fail on loopback"), serve.clone());
                std::thread::spawn(move || drop(serve(number, stream)));
            }
        };
        Server { port, closing, listener: Some(std::thread::spawn(accept)) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        // Wakes the listener, which then looks at the flag.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(listener) = self.listener.take() {
            drop(listener.join());
        }
    }
}

/// Read a request's head: its first line and its Content-Length. `None` at the end of the stream.
pub fn head(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<(String, u64)>> {
    let (mut first, mut length) = (String::new(), 0);
    if stream.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(Some((first.trim_end().to_owned(), length)));
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
}

/// Read `length` bytes, or to the end; returns how many there were and, if asked for, the sum of them: whether they are
/// the right ones.
pub fn swallow(stream: &mut impl Read, length: u64, add: bool) -> std::io::Result<(u64, u64)> {
    let mut buffer = vec![0; 1 << 20];
    let (mut count, mut sum) = (0, 0u64);
    while count < length {
        let room = buffer.len().min(usize::try_from(length - count).unwrap_or(usize::MAX));
        let n = stream.read(&mut buffer[..room])?;
        if n == 0 {
            break;
        }
        count += n as u64;
        if add {
            sum = sum.wrapping_add(buffer[..n].iter().map(|&b| u64::from(b)).sum());
        }
    }
    Ok((count, sum))
}

pub fn answer(stream: &mut impl Write, body: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Close with RST.
pub fn reset(stream: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: a live socket and a struct of the right size.
    unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as u32,
        );
    }
    drop(stream);
}

/// Wait until the client's kernel has all that was sent.
pub fn acknowledged(stream: &TcpStream) {
    let mut unsent: libc::c_int = 1;
    while unsent > 0 {
        // SAFETY: SIOCOUTQ writes one int.
        let asked = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut unsent) };
        assert_eq!(asked, 0);
        std::thread::yield_now();
    }
}
