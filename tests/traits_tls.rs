//! HTTP/1.1 under TLS: a session between a backend's socket and an unchanged protocol. Proves that the traits have room
//! for it: decryption beside what the sink holds, an end that was not announced, and records that are not for HTTP.

mod tls_support;
mod traits_support;

use chttpcore::mem::Slice;
use chttpcore::net::backend::epoll::EpollBackend;
use chttpcore::net::backend::{Address, Drive};
use chttpcore::proto::h1::{H1, Limits};
use chttpcore::proto::tls::{Kind, Tls};
use chttpcore::proto::{BodyLen, Fault, Protocol};
use rustls::version::TLS13;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use tls_support::{VERSIONS, configs};
use traits_support::{Link, Over};

type Server = StreamOwned<ServerConnection, TcpStream>;

fn serve(config: Arc<ServerConfig>, serve: impl FnOnce(Server) + Send + 'static) -> (Address, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = Address::Inet(listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        tcp.set_nodelay(true).unwrap();
        serve(StreamOwned::new(ServerConnection::new(config).unwrap(), tcp));
    });
    (at, thread)
}

fn read_head(from: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        from.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

/// Each of these is at least one record.
fn say(server: &mut Server, parts: &[&[u8]]) {
    for part in parts {
        server.write_all(part).unwrap();
        server.flush().unwrap();
    }
}

fn secured(at: &Address, tls: &Arc<Tls>) -> Link<EpollBackend, H1> {
    let backend = EpollBackend::new(Drive::OwnThread).unwrap();
    let mut link = Link::dial(backend, at, H1::new(Arc::new(Limits::default())));
    link.log.one_at_a_time = true;
    link.start_tls(tls.session("localhost", chttpcore::proto::tls::For::Http1).unwrap());
    link.until(|l| l.session.as_ref().unwrap().is_ready());
    link
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

#[test]
fn two_requests_on_one_connection() {
    for version in VERSIONS {
        let (client, server) = configs(version);
        let (at, thread) = serve(server, |mut s| {
            assert!(read_head(&mut s).starts_with("GET /a HTTP/1.1\r\n"));
            // The head in pieces, each a record; then 13 records of body and a short one.
            say(&mut s, &[b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 200000\r\n", b"\r", b"\n"]);
            say(&mut s, &[&pattern(200_000)]);
            assert!(read_head(&mut s).starts_with("GET /b HTTP/1.1\r\n"));
            say(
                &mut s,
                &[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", b"lo\r\n0", b"\r\nA: b\r\n\r\n"],
            );
            s.conn.send_close_notify();
            s.flush().unwrap();
        });
        let mut link = secured(&at, &client);

        let a = link.open("GET", "https://localhost/a", BodyLen::None);
        link.until(|l| l.log.of(a).ended);
        let story = link.log.of(a);
        assert_eq!(story.status, 200);
        assert_eq!(story.bytes(), pattern(200_000));
        // What the application holds stands in receive buffers, in runs of more than a record.
        assert!(story.body.iter().all(|s| matches!(s, Slice::Block { .. })));
        assert!(story.body.len() <= 14);
        assert!(link.proto.reusable());

        let b = link.open("GET", "https://localhost/b", BodyLen::None);
        link.until(|l| l.log.of(b).ended);
        assert_eq!(link.log.of(b).bytes(), b"hello");
        assert_eq!(link.log.of(b).trailers, [("A".to_owned(), "b".to_owned())]);
        link.until(|l| l.over.is_some());
        assert!(matches!(link.over, Some(Over::Closed)));
        assert!(link.session.as_ref().unwrap().heard_close());
        // The first body is still what it was, although its blocks' neighbours were written since.
        assert_eq!(link.log.of(a).bytes(), pattern(200_000));
        thread.join().unwrap();
    }
}

#[test]
fn without_credit_plaintext_waits_and_sending_goes_on() {
    let (client, server) = configs(&TLS13);
    let (at, thread) = serve(server, |mut s| {
        read_head(&mut s);
        say(&mut s, &[b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", &pattern(100_000)]);
        let mut body = [0; 5];
        s.read_exact(&mut body).unwrap();
        assert_eq!(&body, b"12345");
        // Nobody reads on after the last byte: the client closes.
        assert_eq!(s.read(&mut body).unwrap_or(0), 0);
    });
    let mut link = secured(&at, &client);
    link.log.credit_at_first = 1000;
    let s = link.open("POST", "https://localhost/", BodyLen::Known(5));
    link.until(|l| l.log.paused());
    assert_eq!(link.log.of(s).bytes(), pattern(100_000)[..1000]);
    // Records that came with the paid bytes are decrypted and kept.
    assert!(!link.kept().is_empty());
    assert!(link.body(s, bytes::Bytes::from_static(b"12345"), true).is_empty());
    while !link.log.of(s).ended {
        let had = link.log.of(s).bytes().len();
        link.credit(s, 7777);
        link.until(|l| l.log.of(s).bytes().len() > had && (l.log.paused() || l.log.of(s).ended));
    }
    assert_eq!(link.log.of(s).bytes(), pattern(100_000));
    drop(link);
    thread.join().unwrap();
}

#[test]
fn an_end_without_close_notify_is_a_cut() {
    for (announced, body_until_close) in [(true, true), (false, true), (true, false), (false, false)] {
        let (client, server) = configs(&TLS13);
        let (at, thread) = serve(server, move |mut s| {
            read_head(&mut s);
            if body_until_close {
                say(&mut s, &[b"HTTP/1.1 200 OK\r\n\r\nall there is"]);
            }
            if announced {
                s.conn.send_close_notify();
                s.flush().unwrap();
            }
            s.sock.shutdown(Shutdown::Write).unwrap();
            // Until the client is gone, so that nothing is reset.
            std::io::copy(&mut s.sock, &mut std::io::sink()).unwrap();
        });
        let mut link = secured(&at, &client);
        let s = link.open("GET", "https://localhost/", BodyLen::None);
        link.until(|l| l.over.is_some());
        match (body_until_close, announced) {
            (true, true) => assert!(link.log.of(s).ended && matches!(link.over, Some(Over::Closed))),
            (true, false) => assert!(matches!(link.over, Some(Over::Fault(Fault::TruncatedBody)))),
            // Nothing was answered: that may be tried again, whatever TLS says.
            (false, _) => assert!(matches!(link.over, Some(Over::Fault(Fault::ClosedBeforeHead)))),
        }
        assert_eq!(link.log.of(s).bytes(), if body_until_close { &b"all there is"[..] } else { b"" });
        drop(link);
        thread.join().unwrap();
    }
}

#[test]
fn tickets_on_an_idle_connection_are_not_its_end() {
    let (client, server) = configs(&TLS13);
    let (at, thread) = serve(server, |mut s| {
        // The tickets follow the handshake; there is no request before them.
        s.conn.complete_io(&mut s.sock).unwrap();
        say(&mut s, &[]);
        read_head(&mut s);
        say(&mut s, &[b"HTTP/1.1 204 No Content\r\n\r\n"]);
        // New keys, once more on an idle connection.
        s.conn.refresh_traffic_keys().unwrap();
        s.flush().unwrap();
        read_head(&mut s);
        say(&mut s, &[b"HTTP/1.1 204 No Content\r\n\r\n"]);
        assert_eq!(s.read(&mut [0]).unwrap_or(0), 0);
    });
    let mut link = secured(&at, &client);
    link.until(|l| l.session.as_ref().unwrap().tickets() == 2);
    assert!(link.proto.reusable() && link.kept().is_empty() && link.log.streams.is_empty());
    for _ in 0..2 {
        let s = link.open("GET", "https://localhost/", BodyLen::None);
        link.until(|l| l.log.of(s).ended);
        assert_eq!(link.log.of(s).status, 204);
        assert!(link.proto.reusable());
    }
    drop(link);
    thread.join().unwrap();
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_told() {
    let (_, server) = configs(&TLS13);
    let (client, _) = configs(&TLS13);
    let (at, thread) = serve(server, |mut s| {
        let e = s.conn.complete_io(&mut s.sock).unwrap_err();
        assert!(e.to_string().contains("received fatal alert"), "{e}");
    });
    let backend = EpollBackend::new(Drive::OwnThread).unwrap();
    let mut link = Link::dial(backend, &at, H1::new(Arc::new(Limits::default())));
    link.start_tls(client.session("localhost", chttpcore::proto::tls::For::Http1).unwrap());
    link.until(|l| l.over.is_some());
    assert!(matches!(&link.over, Some(Over::Tls(e)) if e.kind == Kind::CertUnknownCa), "{:?}", link.over);
    thread.join().unwrap();
}
