//! Over HTTP/2 against a real nginx and a real nghttpd, in both drives: what ALPN agrees on, many streams, connections that
//! the server ends while they are used, few streams, large bodies both ways.

mod real_support;
mod tls_support;

use chttpcore::error as e;
use chttpcore::ffi::http2::{CHTTP_OPT_H2_MAX_STREAMS, CHTTP_OPT_H2_STREAM_WINDOW_MAX, CHTTP_OPT_HTTP_VERSION};
use chttpcore::ffi::tls::CHTTP_OPT_TLS_CA_PEM;
use chttpcore::ffi::types::{CHTTP_EV_WRITE_DONE, CHTTP_REQ_FILE_BODY, CHTTP_REQ_HTTP1, CHTTP_REQ_HTTP2};
use real_support::client::{DRIVES, name};
use real_support::server::Server;
use real_support::transfer::{Hole, large, transfer, upstream};
use real_support::{Client, Drive, Nghttpd, Nginx, Request, Value};
use std::os::fd::AsRawFd;
use tls_support::{Authority, pem};

const MEGABYTES: u64 = 50 << 20;
/// What a transfer of any size may take: credit and window, and what the sockets' buffers add.
const MEMORY: u64 = 24 << 20;

struct Secure {
    authority: Authority,
    nginx: Nginx,
}

fn secure(locations: &str) -> Secure {
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["127.0.0.1"]);
    let (chain, key) = (pem(&leaf.chain), leaf.key.serialize_pem());
    let tls = "ssl_certificate {dir}/chain.pem;\nssl_certificate_key {dir}/key.pem;\n";
    let told = "location = /told { return 200 \"$server_protocol $connection_requests\"; }\n";
    let files = [("chain.pem", chain.as_slice()), ("key.pem", key.as_bytes())];
    Secure { nginx: Nginx::secure_h2(&format!("{tls}{told}{locations}"), &files), authority }
}

impl Secure {
    fn client(&self, drive: Drive, more: &[(u32, i64)]) -> Client {
        let mut options = vec![(CHTTP_OPT_TLS_CA_PEM, Value::Bytes(self.authority.certificate.pem().into_bytes()))];
        options.push((CHTTP_OPT_HTTP_VERSION, Value::Number(0)));
        options.extend(more.iter().map(|&(option, value)| (option, Value::Number(value))));
        Client::with(drive, &options)
    }

    fn get(&self, path: &str) -> Request {
        Request::get(self.nginx.url(path)).collect()
    }
}

fn flagged(mut request: Request, flags: u32) -> Request {
    request.raw.flags |= flags;
    request
}

#[test]
fn alpn_agrees_and_a_request_may_insist() {
    let secure = secure("");
    for drive in DRIVES {
        let mut client = secure.client(drive, &[]);
        for (flags, version, alpn) in
            [(0, "HTTP/2.0", "h2"), (CHTTP_REQ_HTTP1, "HTTP/1.1", "http/1.1"), (CHTTP_REQ_HTTP2, "HTTP/2.0", "h2")]
        {
            let told = client.run_one(flagged(secure.get("/told"), flags));
            assert_eq!((told.name(), told.status), ("CHTTP_OK", 200), "{}", told.message);
            assert!(told.body.starts_with(version.as_bytes()), "{:?}", String::from_utf8_lossy(&told.body));
            assert_eq!(told.tls.unwrap().alpn, alpn);
        }
        let mut old = secure.client(drive, &[(CHTTP_OPT_HTTP_VERSION, 1)]);
        assert!(old.run_one(secure.get("/told")).body.starts_with(b"HTTP/1.1"));
    }
}

#[test]
fn a_server_without_http2_is_told_apart() {
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["127.0.0.1"]);
    let (chain, key) = (pem(&leaf.chain), leaf.key.serialize_pem());
    let tls = "ssl_certificate {dir}/chain.pem;\nssl_certificate_key {dir}/key.pem;\n";
    let files = [("chain.pem", chain.as_slice()), ("key.pem", key.as_bytes())];
    let secure = Secure { nginx: Nginx::secure(tls, &files), authority };
    let mut client = secure.client(Drive::Caller, &[]);
    assert_eq!(client.run_one(secure.get("/ready")).status, 200);
    let refused = client.run_one(flagged(secure.get("/ready"), CHTTP_REQ_HTTP2));
    let codes = [e::CHTTP_E_TLS_ALPN, e::CHTTP_E_H2_NOT_SPOKEN].map(name);
    assert!(codes.contains(&refused.name()), "{}: {}", refused.name(), refused.message);
    // Without TLS it answers the preface in HTTP/1.1.
    let plain = Nginx::start("");
    let refused = client.run_one(flagged(Request::get(plain.url("/ready")), CHTTP_REQ_HTTP2));
    assert_eq!(refused.name(), name(e::CHTTP_E_H2_NOT_SPOKEN), "{}", refused.message);
}

#[test]
fn hundreds_of_requests_on_one_connection() {
    let secure = secure("");
    secure.nginx.file("small", b"0123456789");
    for drive in DRIVES {
        let mut client = secure.client(drive, &[(CHTTP_OPT_H2_MAX_STREAMS, 100)]);
        for _ in 0..3 {
            let requests: Vec<Request> = (0..100).map(|_| secure.get("/small")).collect();
            for outcome in client.run(&requests) {
                assert_eq!((outcome.name(), outcome.status), ("CHTTP_OK", 200), "{}", outcome.message);
                assert_eq!(outcome.body, b"0123456789");
            }
        }
        assert_eq!(client.stats().connections_opened, 1);
    }
}

#[test]
fn few_streams_and_few_requests_for_each_connection() {
    let upstream = upstream();
    let secure = secure(&format!(
        "http2_max_concurrent_streams 10;\nkeepalive_requests 25;\nlocation /sink {{ proxy_pass http://127.0.0.1:{}; }}\n",
        upstream.port()
    ));
    secure.nginx.file("small", b"0123456789");
    for drive in DRIVES {
        let mut client = secure.client(drive, &[]);
        // Also what is not idempotent: nginx says which requests it has not looked at.
        let requests: Vec<Request> = (0..600)
            .map(|i| {
                if i % 4 == 0 {
                    Request::new("POST", secure.nginx.url("/sink")).collect()
                } else {
                    secure.get("/small")
                }
            })
            .collect();
        let mut left = requests.iter();
        loop {
            let some: Vec<_> = left.by_ref().take(150).map(|r| r.filled()).collect();
            if some.is_empty() {
                break;
            }
            let mut xids = vec![0; some.len()];
            client.submit_raw(&some, &mut xids).unwrap();
            for outcome in client.finish(&xids) {
                assert_eq!((outcome.name(), outcome.status), ("CHTTP_OK", 200), "{}", outcome.message);
            }
        }
        let stats = client.stats();
        assert!((24..=80).contains(&stats.connections_opened), "{} connections", stats.connections_opened);
    }
}

#[test]
fn a_reload_in_the_middle_of_it_costs_nothing() {
    let secure = secure("");
    secure.nginx.file("small", b"0123456789");
    for drive in DRIVES {
        let mut client = secure.client(drive, &[]);
        for round in 0..12 {
            let requests: Vec<Request> = (0..200).map(|_| secure.get("/small")).collect();
            let xids = client.submit(&requests).unwrap();
            if round % 3 == 1 {
                secure.nginx.signal(libc::SIGHUP);
            }
            for outcome in client.finish(&xids) {
                assert_eq!((outcome.name(), outcome.status), ("CHTTP_OK", 200), "{}", outcome.message);
            }
        }
    }
}

fn bodies(client: &mut Client, down: &Request, up: String, flags: u32) {
    let hole = Hole::new(MEGABYTES);
    let (outcome, received, grown) = transfer(client, &down.filled(), |_, _, _| {});
    assert_eq!((outcome.name(), outcome.status, received), ("CHTTP_OK", 200, MEGABYTES), "{}", outcome.message);
    assert!(grown < MEMORY, "down: memory grew by {grown} bytes");
    for from_file in [true, false] {
        let request = flagged(Request::new("POST", up.clone()), flags);
        let mut raw = request.filled();
        raw.body_len = MEGABYTES;
        if from_file {
            raw.flags |= CHTTP_REQ_FILE_BODY;
            raw.body_fd = hole.file.as_raw_fd();
        } else {
            raw.body = hole.at.cast();
        }
        let mut write_done = 0;
        let (outcome, _, grown) =
            transfer(client, &raw, |_, _, kind| write_done += usize::from(kind == CHTTP_EV_WRITE_DONE));
        assert_eq!((outcome.name(), outcome.status), ("CHTTP_OK", 200), "{}", outcome.message);
        assert_eq!(outcome.body, format!("{MEGABYTES} 0").as_bytes());
        assert_eq!(write_done, usize::from(!from_file));
        assert!(grown < MEMORY, "up from a file: {from_file}: memory grew by {grown} bytes");
    }
}

#[test]
fn large_bodies_in_each_direction_take_little_memory() {
    let _large = large();
    let upstream: Server = upstream();
    let port = upstream.port();
    let secure = secure(&format!(
        "location /count {{ proxy_pass http://127.0.0.1:{port}; proxy_request_buffering off; proxy_http_version 1.1; }}\n"
    ));
    secure.nginx.hole("big", MEGABYTES);
    // On a machine that has much to do a round trip looks long, and a window may grow to 64 MiB: what it may hold.
    let window = [(CHTTP_OPT_H2_STREAM_WINDOW_MAX, 4 << 20)];
    for drive in DRIVES {
        let mut client = secure.client(drive, &window);
        assert_eq!(client.run_one(secure.get("/told")).name(), "CHTTP_OK");
        let down = Request::get(secure.nginx.url("/big"));
        bodies(&mut client, &down, secure.nginx.url("/count"), 0);
        assert_eq!(client.stats().connections_opened, 1);
    }
}

#[test]
fn nghttpd_by_prior_knowledge() {
    let _large = large();
    let big = vec![b'x'; 3 << 20];
    let server = Nghttpd::start(&["-m", "50", "--trailer", "sum: 7"], &[("small", b"0123456789"), ("big", &big)]);
    for drive in DRIVES {
        let mut client = Client::new(drive, &[(CHTTP_OPT_HTTP_VERSION, 2)]);
        for round in 0..4 {
            let requests: Vec<Request> = (0..120)
                .map(|i| if i % 40 == 7 { "/big" } else { "/small" })
                .map(|path| Request::get(server.url(path)))
                .collect();
            for (i, outcome) in client.run(&requests).into_iter().enumerate() {
                assert_eq!((outcome.name(), outcome.status), ("CHTTP_OK", 200), "{round} {i}: {}", outcome.message);
                assert_eq!(outcome.body.len(), if i % 40 == 7 { big.len() } else { 10 });
            }
        }
        assert!(client.stats().connections_opened <= 3);
        assert_eq!(client.run_one(Request::get(server.url("/none")).collect()).status, 404);
    }
}
