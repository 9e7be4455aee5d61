//! TLS that starts midway, on the same socket: after a word in a raw stream, and behind a proxy's CONNECT. What was
//! received and not consumed by then is the beginning of the TLS stream, or a fault.

mod tls_support;
mod traits_support;

use bytes::Bytes;
use chttpcore::net::backend::epoll::EpollBackend;
use chttpcore::net::backend::mock::{MockNet, Script};
use chttpcore::net::backend::{Address, Backend, Drive};
use chttpcore::proto::h1::encode::Spec;
use chttpcore::proto::h1::{H1, Limits};
use chttpcore::proto::raw::{Raw, STREAM};
use chttpcore::proto::url::Url;
use chttpcore::proto::{BodyLen, Follows, Protocol, StreamKey};
use rustls::version::TLS13;
use rustls::{ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use tls_support::{VERSIONS, configs};
use traits_support::{Link, Over};

fn backend() -> EpollBackend {
    EpollBackend::new(Drive::OwnThread).unwrap()
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line
}

fn h1() -> H1 {
    H1::new(Arc::new(Limits::default()))
}

fn say<B: Backend, P: Protocol>(link: &mut Link<B, P>, s: StreamKey, text: &'static str) {
    assert!(link.body(s, Bytes::from_static(text.as_bytes()), false).is_empty());
}

/// Wait for the end of a line, and check all that was told since the beginning.
fn hear<B: Backend>(link: &mut Link<B, Raw>, all: &str) {
    link.until(|l| l.log.of(STREAM).bytes().len() >= all.len());
    assert_eq!(String::from_utf8_lossy(&link.log.of(STREAM).bytes()), all);
}

#[test]
fn a_raw_stream_becomes_tls() {
    for version in VERSIONS {
        let (client, server) = configs(version);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = Address::Inet(listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let (mut tcp, _) = listener.accept().unwrap();
            tcp.write_all(b"220 here\r\n").unwrap();
            let mut lines = BufReader::new(tcp.try_clone().unwrap());
            assert_eq!(line(&mut lines), "EHLO x\r\n");
            tcp.write_all(b"250 STARTTLS\r\n").unwrap();
            assert_eq!(line(&mut lines), "STARTTLS\r\n");
            // The client waits for the answer: what follows it is TLS.
            assert!(lines.buffer().is_empty());
            tcp.write_all(b"220 go\r\n").unwrap();
            let mut tls = StreamOwned::new(ServerConnection::new(server).unwrap(), tcp);
            let mut byte = [0; 6];
            tls.read_exact(&mut byte).unwrap();
            assert_eq!(&byte, b"NOOP\r\n");
            // Its end was announced, or this were an error; ours follows although theirs has come.
            assert_eq!(tls.read(&mut byte).unwrap(), 0);
            tls.write_all(b"221 bye\r\n").unwrap();
            tls.conn.send_close_notify();
            tls.flush().unwrap();
        });
        let mut link = Link::dial(backend(), &at, Raw::default());
        hear(&mut link, "220 here\r\n");
        say(&mut link, STREAM, "EHLO x\r\n");
        hear(&mut link, "220 here\r\n250 STARTTLS\r\n");
        say(&mut link, STREAM, "STARTTLS\r\n");
        hear(&mut link, "220 here\r\n250 STARTTLS\r\n220 go\r\n");
        link.start_tls(client.session("localhost", chttpcore::proto::tls::For::Http1).unwrap());
        // Said before the handshake is done: it waits for it.
        say(&mut link, STREAM, "NOOP\r\n");
        assert!(link.body(STREAM, Bytes::new(), true).is_empty());
        link.until(|l| l.over.is_some());
        assert!(matches!(link.over, Some(Over::Closed)), "{:?}", link.over);
        assert!(link.log.of(STREAM).ended);
        assert!(link.log.of(STREAM).bytes().ends_with(b"220 go\r\n221 bye\r\n"));
        assert!(!link.sent.windows(4).any(|w| w == b"NOOP"), "sent in the clear");
        thread.join().unwrap();
    }
}

#[test]
fn what_a_stranger_put_behind_the_word_is_no_answer() {
    let net = MockNet::new();
    let at = Address::Inet("192.0.2.1:25".parse().unwrap());
    let script = Script::new().send(&b"220 here\r\n"[..]).expect(&b"STARTTLS\r\n"[..]);
    net.listen(at.clone()).always(script.send(&b"220 go\r\n250 injected\r\n"[..]));
    let mut link = Link::dial(net.backend(), &at, Raw::default());
    // A reader of lines: what is behind the line that it waits for is not its own.
    link.log.one_at_a_time = true;
    link.log.credit_at_first = 10;
    hear(&mut link, "220 here\r\n");
    say(&mut link, STREAM, "STARTTLS\r\n");
    link.credit(STREAM, 8);
    hear(&mut link, "220 here\r\n220 go\r\n");
    assert_eq!(link.kept(), b"250 injected\r\n");
    let (client, _) = configs(&TLS13);
    link.start_tls(client.session("localhost", chttpcore::proto::tls::For::Http1).unwrap());
    assert!(matches!(link.over, Some(Over::Tls(_))), "{:?}", link.over);
    assert_eq!(link.log.of(STREAM).bytes(), b"220 here\r\n220 go\r\n");
    assert!(net.mismatches().is_empty());
}

fn connect<B: Backend>(link: &mut Link<B, H1>) -> StreamKey {
    let url = Url::parse(b"http://localhost:443/").unwrap();
    let mut spec = Spec::new(b"CONNECT", &url);
    spec.target = Some(b"localhost:443");
    // No credit, so that the protocol stops right behind the head, wherever the segments were cut.
    link.log.credit_at_first = 0;
    let s = link.open_as(&spec, &[]);
    link.until(|l| l.log.of(s).status > 0);
    assert_eq!((link.log.of(s).status, link.log.of(s).follows), (200, Some(Follows::Tunnel)));
    link.log.credit_at_first = u64::MAX;
    s
}

#[test]
fn tls_through_a_proxy() {
    let (client, server) = configs(&TLS13);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = Address::Inet(listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            tcp.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        assert!(head.starts_with(b"CONNECT localhost:443 HTTP/1.1\r\n"));
        tcp.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
        let mut tls: StreamOwned<ServerConnection, TcpStream> =
            StreamOwned::new(ServerConnection::new(server).unwrap(), tcp);
        let mut lines = BufReader::new(&mut tls);
        assert_eq!(line(&mut lines), "GET /inside HTTP/1.1\r\n");
        while line(&mut lines) != "\r\n" {}
        tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret").unwrap();
        assert_eq!(tls.read(&mut [0]).unwrap_or(0), 0);
    });
    let mut link = Link::dial(backend(), &at, h1());
    let tunnel = connect(&mut link);
    assert!(!link.log.of(tunnel).ended && link.log.of(tunnel).body.is_empty());
    // The tunnel was the first protocol's whole task; the next one starts anew on the same connection.
    link.proto = h1();
    link.log.streams.clear();
    link.start_tls(client.session("localhost", chttpcore::proto::tls::For::Http1).unwrap());
    link.until(|l| l.session.as_ref().unwrap().is_ready());
    let s = link.open("GET", "https://localhost/inside", BodyLen::None);
    link.until(|l| l.log.of(s).ended);
    assert_eq!(link.log.of(s).bytes(), b"secret");
    assert!(link.proto.reusable());
    drop(link);
    thread.join().unwrap();
}

#[test]
fn what_comes_with_the_tunnels_head_is_the_tunnels() {
    // A server that speaks first, so that its greeting shares the segment with the proxy's head; all cuts.
    let answer = b"HTTP/1.1 200 OK\r\n\r\nSSH-2.0-x\r\n";
    for cut in 1..=answer.len() {
        let net = MockNet::new();
        let at = Address::Inet("192.0.2.1:8080".parse().unwrap());
        net.listen(at.clone()).always(Script::new().expect_head().send_cut(&answer[..], &[cut]).expect_fin().fin());
        let mut link = Link::dial(net.backend(), &at, h1());
        link.log.one_at_a_time = true;
        let s = connect(&mut link);
        link.credit(s, u64::MAX);
        link.until(|l| l.log.of(s).bytes().len() == 11);
        assert_eq!(link.log.of(s).bytes(), b"SSH-2.0-x\r\n");
        // Our end is the socket's end, and does not end theirs.
        assert!(link.body(s, Bytes::new(), true).is_empty());
        assert!(!link.log.of(s).ended);
        link.until(|l| l.over.is_some());
        assert!(link.log.of(s).ended && matches!(link.over, Some(Over::Closed)));
        assert!(net.mismatches().is_empty(), "{:?}", net.mismatches());
    }
}
