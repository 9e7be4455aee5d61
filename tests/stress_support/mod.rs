//! What the stress tests share: an engine on the kernel's network, a server in threads, and a limit on how long a test may
//! take, since what they look for is a thread that sleeps for ever.
#![allow(dead_code)] // Each test binary uses a part of it.

use chttpcore::client::settings::{NO_TIMEOUT, Timeouts};
use chttpcore::client::upload::Source;
use chttpcore::client::{Engine, Request, Settings};
use chttpcore::net::backend::Drive;
use chttpcore::net::backend::epoll::EpollBackend;
use chttpcore::pool::{Address, Bind, OriginKey};
use chttpcore::proto::h1::encode::{Spec, encode};
use chttpcore::proto::url::Url;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

pub type Client = Engine<EpollBackend>;

/// No step of a test takes so long, on whatever machine.
pub const STUCK: Duration = Duration::from_secs(60);

pub fn settings(own_thread: bool) -> Settings {
    let n = NO_TIMEOUT;
    let timeouts = Timeouts {
        pool: n,
        dns: n,
        connect: n,
        tls: n,
        write: n,
        first_byte: n,
        read: n,
        total: n,
        expect: 1_000_000_000,
    };
    Settings { own_thread, timeouts, ..Settings::default() }
}

pub fn engine(settings: Settings) -> Arc<Client> {
    let drive = if settings.own_thread { Drive::OwnThread } else { Drive::Caller };
    Engine::new(settings, EpollBackend::new(drive).expect("a backend")).expect("an engine")
}

/// A request that is to be answered in one event. `unix` stands in for the port.
pub fn request(engine: &Client, port: u16, path: &str, unix: Option<&Path>) -> Box<Request> {
    let url = format!("http://127.0.0.1:{port}{path}");
    let url = Url::parse(url.as_bytes()).expect("a URL");
    let head = encode(&Spec::new(b"GET", &url), []).expect("a valid head");
    let settings = engine.settings();
    let to = unix.map(|path| Address::Unix(path.into()));
    Box::new(Request {
        token: 0,
        head,
        origin: OriginKey {
            scheme: url.scheme(),
            host: url.host().into(),
            port: url.port(),
            to,
            bind: Bind::default(),
            tls: None,
            http: Default::default(),
        },
        body: Source::None,
        collect: true,
        close: false,
        duplex: false,
        recv_credit: settings.recv_credit,
        collect_max: settings.collect_max,
        timeouts: settings.timeouts,
        websocket: None,
        sse: None,
    })
}

/// Where nobody listens, which `connect` says at once.
pub fn nobody() -> &'static Path {
    Path::new("/nonexistent/socket")
}

/// Answers every request, one thread to a connection. Its threads end with their connections.
pub fn server() -> u16 {
    serve(|stream| {
        let mut bytes = [0; 4096];
        let mut held = Vec::new();
        while let n @ 1.. = stream.read(&mut bytes)? {
            held.extend_from_slice(&bytes[..n]);
            while let Some(end) = held.windows(4).position(|w| w == b"\r\n\r\n") {
                held.drain(..end + 4);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            }
        }
        Ok(())
    })
}

pub fn serve(each: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let each = Arc::new(each);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let each = each.clone();
            std::thread::spawn(move || {
                let mut stream = stream;
                drop(stream.set_nodelay(true));
                drop(each(&mut stream));
            });
        }
    });
    port
}

/// Run all `jobs` on threads of their own, and fail if one of them does not come back.
pub fn together(jobs: impl IntoIterator<Item = Box<dyn FnOnce() + Send>>) {
    let (tell, told) = channel::<()>();
    let threads: Vec<_> = jobs
        .into_iter()
        .map(|job| {
            let tell = tell.clone();
            std::thread::spawn(move || {
                let _told_when_dropped = tell;
                job();
            })
        })
        .collect();
    drop(tell);
    match told.recv_timeout(STUCK) {
        Err(RecvTimeoutError::Disconnected) => {}
        _ => panic!("{} of {} threads are stuck", threads.iter().filter(|t| !t.is_finished()).count(), threads.len()),
    }
    for thread in threads {
        thread.join().expect("a thread panicked");
    }
}

pub fn job(f: impl FnOnce() + Send + 'static) -> Box<dyn FnOnce() + Send> {
    Box::new(f)
}
