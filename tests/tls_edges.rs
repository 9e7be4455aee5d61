//! What comes with the end of the handshake, or behind an answer: it is neither forgotten nor left for the next request.

mod stress_support;
mod tls_support;

use chttpcore::client::Engine;
use chttpcore::error as e;
use chttpcore::net::backend::Drive;
use chttpcore::net::backend::epoll::EpollBackend;
use chttpcore::pool::Scheme;
use chttpcore::proto::tls::Tls;
use rustls::{ServerConfig, ServerConnection};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use stress_support::{Client, request, settings};
use tls_support::{Authority, VERSIONS, tls};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// What is lost never comes; what is not comes at once.
const LONG: Duration = Duration::from_secs(5);

fn engines() -> Vec<Arc<Client>> {
    let make = |(own_thread, drive)| Engine::new(settings(own_thread), EpollBackend::new(drive).unwrap()).unwrap();
    [(true, Drive::OwnThread), (false, Drive::Caller)].map(make).into()
}

/// Each connection is one call of `each`, which gets its number.
fn serve(each: impl Fn(u32, ServerConnection, TcpStream) + Send + Sync + 'static, config: ServerConfig) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (config, each, count) = (Arc::new(config), Arc::new(each), Arc::new(AtomicU32::new(0)));
    std::thread::spawn(move || {
        for tcp in listener.incoming().map_while(Result::ok) {
            let (config, each, count) = (config.clone(), each.clone(), count.clone());
            std::thread::spawn(move || {
                tcp.set_nodelay(true).unwrap();
                each(count.fetch_add(1, Ordering::SeqCst), ServerConnection::new(config).unwrap(), tcp);
            });
        }
    });
    port
}

/// Everything that waits to be sent, in one piece with `more` behind it.
fn send(server: &mut ServerConnection, tcp: &mut TcpStream, more: &[u8]) {
    let mut bytes = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut bytes).unwrap();
    }
    bytes.extend_from_slice(more);
    tcp.write_all(&bytes).unwrap();
}

/// The handshake, up to the last words of the server, which are not sent yet.
fn shake_hands(server: &mut ServerConnection, tcp: &mut TcpStream) {
    while server.is_handshaking() {
        send(server, tcp, b"");
        server.read_tls(tcp).unwrap();
        server.process_new_packets().unwrap();
    }
}

/// Until the client is gone.
fn hear_out(tcp: &mut TcpStream) {
    std::io::copy(tcp, &mut std::io::sink()).ok();
}

fn perform(engine: &Client, port: u16, tls: &Arc<Tls>) -> Result<i32, i32> {
    let mut request = request(engine, port, "/", None);
    request.origin.scheme = Scheme::Https;
    request.origin.tls = Some(tls.clone());
    let mut code = 0;
    engine
        .perform(request, Some(LONG), |event| {
            code = event.error;
            true
        })
        .map(|()| code)
}

/// A server that turns everybody away says so without being asked, and with the end of the handshake.
#[test]
fn an_answer_right_behind_the_handshake() {
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["127.0.0.1"]);
    for version in VERSIONS {
        for closes in [false, true] {
            for engine in engines() {
                let port = serve(
                    move |_, mut server, mut tcp| {
                        shake_hands(&mut server, &mut tcp);
                        server.writer().write_all(ANSWER).unwrap();
                        if closes {
                            server.send_close_notify();
                        }
                        send(&mut server, &mut tcp, b"");
                        hear_out(&mut tcp);
                    },
                    leaf.server(&[version]),
                );
                let outcome = perform(&engine, port, &tls(authority.trusted()));
                assert_eq!(outcome, Ok(0), "{version:?}, closes: {closes}");
                engine.audit();
                engine.stop(true);
            }
        }
    }
}

/// The peer has said that nothing will follow, and keeps the connection open.
#[test]
fn an_end_right_behind_the_handshake() {
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["127.0.0.1"]);
    for version in VERSIONS {
        for engine in engines() {
            let port = serve(
                move |_, mut server, mut tcp| {
                    shake_hands(&mut server, &mut tcp);
                    server.send_close_notify();
                    send(&mut server, &mut tcp, b"");
                    hear_out(&mut tcp);
                },
                leaf.server(&[version]),
            );
            let outcome = perform(&engine, port, &tls(authority.trusted()));
            assert_eq!(outcome, Ok(e::CHTTP_E_CLOSED_BEFORE_HEAD), "{version:?}");
            engine.audit();
            engine.stop(true);
        }
    }
}

/// A whole answer, and behind it what breaks the rules of TLS: the connection is good for nothing more.
#[test]
fn no_request_goes_to_a_session_that_has_failed() {
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["127.0.0.1"]);
    for version in VERSIONS {
        for engine in engines() {
            let port = serve(
                move |number, mut server, mut tcp| {
                    shake_hands(&mut server, &mut tcp);
                    send(&mut server, &mut tcp, b"");
                    let mut bytes = [0; 4096];
                    loop {
                        // The request comes with the client's last words of the handshake, or later.
                        if server.reader().read(&mut bytes).is_ok_and(|n| n > 0) {
                            server.writer().write_all(ANSWER).unwrap();
                            let behind: &[u8] = if number == 0 { b"\x17\x03\x03\x00\x01x" } else { b"" };
                            send(&mut server, &mut tcp, behind);
                        }
                        let gone = server.read_tls(&mut tcp).is_ok_and(|n| n == 0);
                        if gone || server.process_new_packets().is_err() {
                            break;
                        }
                    }
                    // The connection stays open whatever the client has to say.
                    hear_out(&mut tcp);
                },
                leaf.server(&[version]),
            );
            let tls = tls(authority.trusted());
            for n in 0..3 {
                assert_eq!(perform(&engine, port, &tls), Ok(0), "{version:?}, request {n}");
            }
            assert_eq!(engine.stats().tally.connections_opened, 2);
            engine.audit();
            engine.stop(true);
        }
    }
}
