//! https with the whole client, in both drives, against rustls servers on loopback: what is trusted is asked, what is not
//! hears nothing, and connections are shared under the same settings alone.

mod stress_support;
mod tls_support;

use chttpcore::client::Engine;
use chttpcore::client::failure::Failure;
use chttpcore::error as e;
use chttpcore::mem::Block;
use chttpcore::net::backend::Drive;
use chttpcore::net::backend::epoll::EpollBackend;
use chttpcore::pool::Scheme;
use chttpcore::proto::tls::{Settings, Tls};
use chttpcore::queue::Event;
use rustls::ProtocolVersion::TLSv1_3;
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use stress_support::{Client, request, settings};
use tls_support::{Authority, BOTH, Leaf, VERSIONS, tls};

const GUARD: Option<Duration> = Some(Duration::from_secs(60));

fn engines() -> Vec<Arc<Client>> {
    let make = |(own_thread, drive)| Engine::new(settings(own_thread), EpollBackend::new(drive).unwrap()).unwrap();
    [(true, Drive::OwnThread), (false, Drive::Caller)].map(make).into()
}

/// What a server saw of a connection.
#[derive(Debug, PartialEq)]
enum Seen {
    Secured(HandshakeKind),
    Request,
    /// `close_notify` came.
    Closed,
    Failed(String),
}

/// Answers every request on every connection.
fn serve(config: Arc<ServerConfig>) -> (u16, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            let (config, tell) = (config.clone(), tell.clone());
            std::thread::spawn(move || {
                let seen = answer(tcp.unwrap(), config, |seen| drop(tell.send(seen)));
                tell.send(seen).ok();
            });
        }
    });
    (port, told)
}

fn answer(tcp: TcpStream, config: Arc<ServerConfig>, tell: impl Fn(Seen)) -> Seen {
    tcp.set_nodelay(true).unwrap();
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), tcp);
    if let Err(error) = stream.conn.complete_io(&mut stream.sock) {
        return Seen::Failed(error.to_string());
    }
    tell(Seen::Secured(stream.conn.handshake_kind().unwrap()));
    let (mut held, mut bytes) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return Seen::Closed,
            Ok(n) => held.extend_from_slice(&bytes[..n]),
            Err(error) => return Seen::Failed(error.to_string()),
        }
        while let Some(end) = held.windows(4).position(|w| w == b"\r\n\r\n") {
            held.drain(..end + 4);
            tell(Seen::Request);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
    }
}

fn message(event: &Event) -> String {
    let raw = NonNull::new(event.obj.as_ref().expect("an error has an object").clone().into_raw()).unwrap();
    // SAFETY: the reference that was just made, which is given back behind the look at it.
    unsafe {
        let message = Block::peek::<Failure>(raw).expect("a failure").0.message.clone();
        drop(Block::from_raw(raw));
        message
    }
}

/// Status, or code and words.
fn perform(engine: &Client, port: u16, tls: &Arc<Tls>) -> Result<u32, (i32, String)> {
    let mut request = request(engine, port, "/", None);
    request.origin.scheme = Scheme::Https;
    request.origin.tls = Some(tls.clone());
    let mut outcome = None;
    let take = |event: Event| {
        outcome = Some(match event.error {
            0 => Ok(event.arg),
            code => Err((code, message(&event))),
        });
        true
    };
    engine.perform(request, GUARD, take).unwrap();
    outcome.expect("an answer or an error")
}

/// The certificate of 127.0.0.1.
fn known() -> (Authority, Leaf) {
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["127.0.0.1"]);
    (authority, leaf)
}

fn next(told: &Receiver<Seen>) -> Seen {
    told.recv_timeout(GUARD.unwrap()).unwrap()
}

#[test]
fn connections_are_shared_under_the_same_settings_alone() {
    let (authority, leaf) = known();
    let clients = Authority::new("Client CA");
    let base = || Settings { identity: Some(clients.leaf(&["me"]).identity()), ..authority.trusted() };
    for version in VERSIONS {
        for engine in engines() {
            let (port, told) = serve(Arc::new(leaf.server(&[version])));
            let first = tls(base());
            for _ in 0..3 {
                assert_eq!(perform(&engine, port, &first), Ok(200));
            }
            assert_eq!(next(&told), Seen::Secured(HandshakeKind::Full));
            for _ in 0..3 {
                assert_eq!(next(&told), Seen::Request);
            }
            // Each differs in one thing; the last in none, but it is another object.
            for other in [
                Settings { identity: None, ..base() },
                Settings { roots: [authority.roots(), clients.roots()].concat(), ..base() },
                Settings { insecure: true, ..base() },
                Settings { server_name: Some("127.0.0.1".to_owned()), ..base() },
                Settings { alpn: Some(vec![b"http/1.1".to_vec(), b"other".to_vec()]), ..base() },
                base(),
            ] {
                assert_eq!(perform(&engine, port, &tls(other)), Ok(200));
                assert_eq!(next(&told), Seen::Secured(HandshakeKind::Full), "no session goes on under other settings");
                assert_eq!(next(&told), Seen::Request);
            }
            assert_eq!(engine.stats().pool.open, 7);
            engine.audit();
            engine.stop(true);
            for _ in 0..7 {
                assert_eq!(next(&told), Seen::Closed);
            }
        }
    }
}

#[test]
fn who_is_not_trusted_hears_nothing() {
    let (authority, leaf) = known();
    let (stranger, named) = (Authority::new("Strange CA").leaf(&["127.0.0.1"]), authority.leaf(&["localhost"]));
    let trusted = authority.trusted();
    let late = Settings { time: Some(200_000_000_000), ..trusted.clone() };
    let pinned = Settings {
        pins: vec!["sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".parse().unwrap()],
        ..trusted.clone()
    };
    for (leaf, settings, code, words, alert) in [
        (
            &stranger,
            &trusted,
            e::CHTTP_E_TLS_CERT_UNKNOWN_CA,
            "no authority in tls_ca_file /test.pem vouches",
            "UnknownCA",
        ),
        (
            &named,
            &trusted,
            e::CHTTP_E_TLS_CERT_NAME,
            "\"127.0.0.1\" is not for this name. It is for \"localhost\"",
            "BadCertificate",
        ),
        (&leaf, &late, e::CHTTP_E_TLS_CERT_EXPIRED, "\"127.0.0.1\" has expired", "CertificateExpired"),
        (&leaf, &pinned, e::CHTTP_E_TLS_PIN, "none of the pinned keys", "AccessDenied"),
    ] {
        for version in VERSIONS {
            for engine in engines() {
                let (port, told) = serve(Arc::new(leaf.server(&[version])));
                let (failed, message) = perform(&engine, port, &tls(settings.clone())).unwrap_err();
                assert_eq!(failed, code, "{message}");
                assert!(message.contains(words), "{message}");
                let Seen::Failed(heard) = next(&told) else { panic!("the server heard more than an alert") };
                assert!(heard.contains(alert), "{heard}");
                assert_eq!(engine.stats().pool.open, 0);
                engine.audit();
                engine.stop(true);
            }
        }
    }
}

#[test]
fn a_chain_of_63_kib() {
    let (authority, mut leaf) = known();
    let first = leaf.chain[0].clone();
    leaf.chain.resize((63 << 10) / (first.len() + 5), first);
    let settings = authority.trusted();
    for engine in engines() {
        let (port, told) = serve(Arc::new(leaf.server(BOTH)));
        assert_eq!(perform(&engine, port, &tls(settings.clone())), Ok(200));
        assert_eq!(next(&told), Seen::Secured(HandshakeKind::Full));
        engine.stop(true);
    }
}

/// A server that says these bytes and waits for the end.
fn say(bytes: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        // It may be cut off early.
        tcp.write_all(&bytes).ok();
        std::io::copy(&mut tcp, &mut std::io::sink()).ok();
    });
    port
}

#[test]
fn what_is_no_tls() {
    let (authority, _) = known();
    let trusted = tls(authority.trusted());
    let mut hello = vec![2, 0, 0xff, 0xff];
    hello.resize(64 << 10, 7);
    let tiny: Vec<u8> = hello.iter().flat_map(|b| [0x16, 3, 3, 0, 1, *b]).collect();
    for (bytes, code, words) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), e::CHTTP_E_TLS_PROTOCOL, "looks like plain HTTP"),
        (b"\x15\x03\x03\x00\x02\x02\x28".to_vec(), e::CHTTP_E_TLS_ALERT, "alert 40 (handshake_failure)"),
        (tiny, e::CHTTP_E_TLS_PROTOCOL, "too many records"),
    ] {
        for engine in engines() {
            let (failed, message) = perform(&engine, say(bytes.clone()), &trusted).unwrap_err();
            assert_eq!(failed, code, "{message}");
            assert!(message.contains(words), "{message}");
            engine.audit();
            engine.stop(true);
        }
    }
}

/// The answer, or the end, stands right behind the server's last words of the handshake, in one segment, and nothing else
/// will ever come.
#[test]
fn what_comes_with_the_handshake_is_not_overlooked() {
    let (authority, leaf) = known();
    let settings = authority.trusted();
    for version in VERSIONS {
        for answers in [true, false] {
            for engine in engines() {
                let mut config = leaf.server(&[version]);
                config.send_half_rtt_data = true;
                let port = hasty(config, answers);
                let outcome = perform(&engine, port, &tls(settings.clone())).map_err(|(code, _)| code);
                assert_eq!(outcome, if answers { Ok(200) } else { Err(e::CHTTP_E_CLOSED_BEFORE_HEAD) });
                engine.audit();
                engine.stop(true);
            }
        }
    }
}

/// A server that answers one connection, or ends it, before it has seen a request.
fn hasty(config: ServerConfig, answers: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
        let mut last = Vec::new();
        // Until its own part of the handshake is written, if not sent.
        while tls.is_handshaking() && !(tls.protocol_version() == Some(TLSv1_3) && tls.wants_write()) {
            while tls.wants_write() {
                tls.write_tls(&mut tcp).unwrap();
            }
            tls.read_tls(&mut tcp).unwrap();
            tls.process_new_packets().unwrap();
        }
        if answers {
            tls.writer().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        } else {
            tls.send_close_notify();
        }
        while tls.wants_write() {
            tls.write_tls(&mut last).unwrap();
        }
        tcp.write_all(&last).unwrap();
        std::io::copy(&mut tcp, &mut std::io::sink()).ok();
    });
    port
}
