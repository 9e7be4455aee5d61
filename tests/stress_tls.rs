//! Exchanges over TLS that are cancelled at random moments of handshakes and bodies, in both drives, against a rustls server
//! on loopback: each has one terminal event, and the books agree afterwards. `CHTTP_STRESS_TLS` sets the number of rounds.

mod dice;
mod stress_support;
mod tls_support;

use chttpcore::error as e;
use chttpcore::pool::Scheme;
use chttpcore::proto::tls::Tls;
use chttpcore::queue::event::flag;
use dice::Dice;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use stress_support::{Client, STUCK, engine, request, settings};
use tls_support::{Authority, VERSIONS, tls};

/// Length of a body, in pieces.
const PIECES: usize = 40;
const PIECE: usize = 5_000;
/// Exchanges at a time.
const AT_ONCE: usize = 4;

/// A socket that is written to in small pieces; each of them counts down, and the last one tells.
struct Slow {
    tcp: TcpStream,
    countdown: Arc<AtomicUsize>,
    tell: std::sync::mpsc::Sender<()>,
}

impl Read for Slow {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.tcp.read(into)
    }
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let left = self.countdown.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left == Ok(1) {
            // The test may be over.
            self.tell.send(()).ok();
        }
        self.tcp.write(&bytes[..bytes.len().min(PIECE / 16)])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A server whose pieces count `countdown` down; when it reaches 0, the receiver is told.
fn serve(config: Arc<ServerConfig>, countdown: Arc<AtomicUsize>) -> (u16, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for tcp in listener.incoming().map_while(Result::ok) {
            let slow = Slow { tcp, countdown: countdown.clone(), tell: tell.clone() };
            let config = config.clone();
            // The client is free to go at any time.
            std::thread::spawn(move || answer(slow, config).ok());
        }
    });
    (port, told)
}

fn answer(slow: Slow, config: Arc<ServerConfig>) -> std::io::Result<()> {
    slow.tcp.set_nodelay(true)?;
    let mut stream = StreamOwned::new(ServerConnection::new(config).expect("a valid configuration"), slow);
    let (mut held, mut bytes) = (Vec::new(), [0; 4096]);
    while let n @ 1.. = stream.read(&mut bytes)? {
        held.extend_from_slice(&bytes[..n]);
        while let Some(end) = held.windows(4).position(|w| w == b"\r\n\r\n") {
            held.drain(..end + 4);
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", PIECES * PIECE)?;
            for _ in 0..PIECES {
                stream.write_all(&[b'x'; PIECE])?;
            }
        }
    }
    Ok(())
}

/// Some exchanges at a time, of which one is cancelled when the server has written so many pieces; returns how they ended.
fn round(engine: &Client, port: u16, tls: &Arc<Tls>, dice: &mut Dice, told: &Receiver<()>) -> Vec<i32> {
    let queue = engine.queue().unwrap();
    let requests: Vec<_> = (0..AT_ONCE)
        .map(|token| {
            let mut request = request(engine, port, "/", None);
            request.token = token as u64;
            request.origin.scheme = Scheme::Https;
            request.origin.tls = Some(tls.clone());
            request.collect = dice.roll(2) == 0;
            request.close = dice.roll(2) == 0;
            request
        })
        .collect();
    let mut xids = Vec::new();
    engine.submit(&queue, requests.into_iter(), |xid| xids.push(xid)).unwrap();
    let victim = xids[dice.roll(AT_ONCE)];
    let (mut codes, mut struck) = (Vec::new(), false);
    while codes.len() < AT_ONCE {
        if !struck && told.try_recv().is_ok() {
            struck = true;
            // It may have ended already.
            engine.cancel(victim).ok();
        }
        let slice = Duration::from_millis(if struck { STUCK.as_millis() as u64 } else { 1 });
        let drained = engine.wait(&queue, 16, Some(slice), |event| {
            if event.flags & flag::TERMINAL != 0 {
                codes.push(event.error);
            }
        });
        assert!(drained.expect("no signal comes").count > 0 || !struck || codes.len() == AT_ONCE, "stuck");
    }
    // Who was served by another connection has left his dial behind, which goes on.
    let started = Instant::now();
    while engine.stats().pool.open != engine.stats().pool.idle {
        engine.wait(&queue, 16, Some(Duration::from_millis(1)), |_| panic!("an event of nobody's")).ok();
        assert!(started.elapsed() < STUCK, "a dial never ends");
    }
    engine.forget(&queue);
    codes
}

#[test]
fn cancelled_at_random_moments() {
    let rounds: usize = std::env::var("CHTTP_STRESS_TLS").map_or(1000, |n| n.parse().expect("a number"));
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["127.0.0.1"]);
    let mut dice = Dice::new(1);
    let mut ends = BTreeMap::new();
    for own_thread in [true, false] {
        for version in VERSIONS {
            let countdown = Arc::new(AtomicUsize::new(0));
            let (port, told) = serve(Arc::new(leaf.server(&[version])), countdown.clone());
            let tls = tls(authority.trusted());
            let engine = engine(settings(own_thread));
            for _ in 0..rounds / 4 {
                // A handshake is a few pieces, a body hundreds: early moments are as likely as late ones.
                let scale = dice.roll(11);
                countdown.store(1 + dice.roll(1 << scale), Ordering::SeqCst);
                for code in round(&engine, port, &tls, &mut dice, &told) {
                    *ends.entry(code).or_insert(0) += 1;
                }
                engine.audit();
                let stats = engine.stats();
                assert_eq!((stats.exchanges, stats.pool.open, stats.pool.waiting), (0, stats.pool.idle, 0));
                told.try_iter().for_each(drop);
            }
            engine.stop(true);
        }
    }
    println!("{ends:?}");
    assert_eq!(ends.keys().copied().collect::<Vec<_>>(), [e::CHTTP_E_CANCELLED, 0]);
    assert!(ends[&e::CHTTP_E_CANCELLED] > rounds / 4, "{ends:?}");
}
