//! Names, both families and our own end, with the whole client on real sockets of loopback. Outcomes alone are asserted.

mod stress_support;

use chttpcore::client::Engine;
use chttpcore::error as e;
use chttpcore::net::backend::epoll::EpollBackend;
use chttpcore::net::backend::{Bind, Drive};
use chttpcore::net::resolver::{Answer, ResolveError, Resolver};
use chttpcore::proto::eyeballs::Family;
use chttpcore::queue::Event;
use std::ffi::CStr;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use stress_support::{Client, request, settings};

const GUARD: Option<Duration> = Some(Duration::from_secs(60));

/// Two drives, and a name service that knows these addresses of every name.
fn engines(v6: &'static [&'static str], v4: &'static [&'static str]) -> Vec<Arc<Client>> {
    let lookup = move |_: &CStr, family| -> Answer {
        let list = if family == Family::V6 { v6 } else { v4 };
        let ips: Vec<IpAddr> = list.iter().map(|ip| ip.parse().unwrap()).collect();
        if ips.is_empty() { Err(ResolveError::NotFound) } else { Ok(ips) }
    };
    let make = |(own_thread, drive)| {
        let resolver = Resolver::with_lookup(Arc::new(lookup));
        Engine::with_resolver(settings(own_thread), EpollBackend::new(drive).unwrap(), resolver).unwrap()
    };
    [(true, Drive::OwnThread), (false, Drive::Caller)].map(make).into()
}

/// Answers one request; where it came from.
fn serve_one(at: &str) -> (u16, JoinHandle<SocketAddr>) {
    let listener = TcpListener::bind(at).unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        let (mut stream, peer) = listener.accept().unwrap();
        let (mut head, mut bytes) = (Vec::new(), [0; 4096]);
        while !head.ends_with(b"\r\n\r\n") {
            let n = stream.read(&mut bytes).unwrap();
            assert!(n > 0);
            head.extend_from_slice(&bytes[..n]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        peer
    });
    (port, served)
}

/// One request for a host on this port; its terminal event.
fn perform(engine: &Client, host: &str, port: u16, bind: &Bind) -> Event {
    let mut request = request(engine, port, "/", None);
    request.origin.host = host.into();
    request.origin.bind = bind.clone();
    let mut last = None;
    let take = |event| {
        last = Some(event);
        true
    };
    engine.perform(request, GUARD, take).unwrap();
    last.expect("an answer or an error")
}

#[test]
fn the_family_that_listens_wins() {
    for (at, v6, v4) in [
        ("127.0.0.1:0", &["::1"][..], &["127.0.0.1"][..]),
        ("[::1]:0", &["::1"], &["127.0.0.1"]),
        ("127.0.0.1:0", &[], &["127.0.0.1"]),
        ("[::1]:0", &["::1"], &[]),
        ("127.0.0.3:0", &["::1"], &["127.0.0.1", "127.0.0.2", "127.0.0.3"]),
    ] {
        for engine in engines(v6, v4) {
            let (port, served) = serve_one(at);
            let event = perform(&engine, "x.test", port, &Bind::default());
            assert_eq!((event.error, event.arg), (0, 200), "{at}");
            served.join().unwrap();
            engine.audit();
            engine.stop(true);
        }
    }
}

#[test]
fn nobody_listens() {
    for engine in engines(&["::1"], &["127.0.0.1", "127.0.0.2"]) {
        // A port that was free a moment ago, on every address.
        let port = TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port();
        let event = perform(&engine, "x.test", port, &Bind::default());
        assert_eq!((event.error, event.os_errno), (e::CHTTP_E_CONNECT_REFUSED, libc::ECONNREFUSED));
        engine.audit();
        assert_eq!(engine.stats().pool.open, 0);
        engine.stop(true);
    }
}

#[test]
fn our_own_end_is_where_it_was_asked_to_be() {
    let lo = Bind { local: Some("127.0.0.2".parse().unwrap()), interface: Some("lo".into()) };
    for engine in engines(&["::1"], &["127.0.0.1"]) {
        let (port, served) = serve_one("127.0.0.1:0");
        assert_eq!(perform(&engine, "x.test", port, &lo).error, 0);
        assert_eq!(Some(served.join().unwrap().ip()), lo.local);
        let away = Bind { local: None, interface: Some("no-such-if0".into()) };
        let event = perform(&engine, "x.test", port, &away);
        assert_eq!((event.error, event.os_errno), (e::CHTTP_E_CONNECT_FAILED, libc::ENODEV));
        let foreign = Bind { local: Some("198.51.100.77".parse().unwrap()), interface: None };
        let event = perform(&engine, "127.0.0.1", port, &foreign);
        assert_eq!((event.error, event.os_errno), (e::CHTTP_E_CONNECT_UNREACHABLE, libc::EADDRNOTAVAIL));
        engine.audit();
        engine.stop(true);
    }
}

#[test]
fn the_name_that_every_machine_has() {
    let engine = Engine::new(settings(true), EpollBackend::new(Drive::OwnThread).unwrap()).unwrap();
    let (port, served) = serve_one("127.0.0.1:0");
    assert_eq!(perform(&engine, "localhost", port, &Bind::default()).error, 0);
    served.join().unwrap();
    engine.stop(true);
}
