//! Against a real nginx over TLS, in both drives: versions, sessions that go on, client certificates, every framing of an
//! answer and its truncation, a hundred megabytes in each direction with bounded memory, and connections that nginx closes
//! or leaves.

mod real_support;
mod tls_support;

use chttpcore::error as e;
use chttpcore::ffi::tls::{
    CHTTP_OPT_TLS_CA_PEM, CHTTP_OPT_TLS_CERT_PEM, CHTTP_OPT_TLS_KEY_PEM, CHTTP_OPT_TLS_MAX_VERSION,
    CHTTP_OPT_TLS_MIN_VERSION, CHTTP_OPT_TLS_SESSION_CACHE,
};
use chttpcore::ffi::types::{
    CHTTP_EF_PARTIAL, CHTTP_EV_BODY, CHTTP_EV_WRITE_DONE, CHTTP_REQ_CLOSE, CHTTP_REQ_FILE_BODY,
};
use real_support::client::{DRIVES, Outcome, name};
use real_support::server::Server;
use real_support::transfer::{Hole, large, pattern, transfer, upstream};
use real_support::{Client, Drive, Nginx, Request, Tls, Value};
use std::os::fd::AsRawFd;
use std::time::Duration;
use tls_support::{Authority, Leaf, pem};

const MEGABYTES: u64 = 100 << 20;
/// What a transfer of any size may take.
const MEMORY: u64 = 16 << 20;
const VERSIONS: [i64; 2] = [12, 13];
/// In `server`: what nginx thinks of the connection.
const TOLD: &str = "return 200 \"$ssl_protocol $ssl_session_reused $ssl_client_verify $connection_requests\"";

struct Secure {
    authority: Authority,
    nginx: Nginx,
}

/// An nginx for 127.0.0.1 with these `locations`, and whoever vouches for it.
fn secure(locations: &str) -> Secure {
    let authority = Authority::new("Test CA");
    let nginx = serve(&authority.leaf(&["127.0.0.1"]), locations, &[]);
    Secure { authority, nginx }
}

fn serve(leaf: &Leaf, locations: &str, files: &[(&str, &[u8])]) -> Nginx {
    let (chain, key) = (pem(&leaf.chain), leaf.key.serialize_pem());
    let mut all = vec![("chain.pem", chain.as_slice()), ("key.pem", key.as_bytes())];
    all.extend_from_slice(files);
    let tls = "ssl_certificate {dir}/chain.pem;\nssl_certificate_key {dir}/key.pem;\nssl_protocols TLSv1.2 TLSv1.3;\n\
               ssl_session_cache shared:sessions:1m;\n";
    Nginx::secure(&format!("{tls}location = /told {{ {TOLD}; }}\n{locations}"), &all)
}

impl Secure {
    fn client(&self, drive: Drive) -> Client {
        Client::with(drive, &self.options())
    }

    fn options(&self) -> real_support::tls::Options {
        vec![(CHTTP_OPT_TLS_CA_PEM, Value::Bytes(self.authority.certificate.pem().into_bytes()))]
    }

    /// Settings that allow this version alone.
    fn only(&self, version: i64) -> real_support::tls::Options {
        let mut options = self.options();
        options.push((CHTTP_OPT_TLS_MIN_VERSION, Value::Number(version)));
        options.push((CHTTP_OPT_TLS_MAX_VERSION, Value::Number(version)));
        options
    }
}

fn text(outcome: &Outcome) -> &str {
    assert_eq!(outcome.name(), "CHTTP_OK", "{}", outcome.message);
    std::str::from_utf8(&outcome.body).expect("text")
}

#[test]
fn versions_are_kept_connections_too_and_sessions_go_on() {
    let secure = secure("");
    for drive in DRIVES {
        for version in VERSIONS {
            let mut client = Client::with(drive, &secure.only(version));
            let ask = |client: &mut Client, flags| {
                let mut request = Request::get(secure.nginx.url("/told")).collect();
                request.raw.flags |= flags;
                client.run_one(request)
            };
            for (number, reused) in (1..4).map(|n| (n, '.')).chain((1..4).map(|n| (n, 'r'))) {
                let outcome = ask(&mut client, if number == 3 { CHTTP_REQ_CLOSE } else { 0 });
                assert_eq!(text(&outcome), format!("TLSv1.{} {reused} NONE {number}", version - 10));
                let agreed = outcome.tls.as_ref().expect("a connection over TLS");
                assert_eq!((i64::from(agreed.version), agreed.resumed), (version, reused == 'r'));
                assert_eq!(outcome.reused(), number > 1);
            }
            let stats = client.stats();
            assert_eq!((stats.connections_opened, stats.connections_reused, stats.connections), (2, 4, 0));
        }
    }
}

#[test]
fn no_session_goes_on_where_none_is_to() {
    let secure = secure("");
    for version in VERSIONS {
        let mut client = Client::new(Drive::Thread, &[]);
        let none = [secure.only(version), vec![(CHTTP_OPT_TLS_SESSION_CACHE, Value::Number(0))]].concat();
        let settings = [none, secure.only(version), secure.only(version)].map(|options| Tls::new(&options));
        // Each settings object begins for itself.
        for (which, session) in [(0, '.'), (0, '.'), (1, '.'), (1, 'r'), (2, '.'), (1, 'r'), (2, 'r'), (0, '.')] {
            let mut request = Request::get(secure.nginx.url("/told")).collect().under(&settings[which]);
            request.raw.flags |= CHTTP_REQ_CLOSE;
            let outcome = client.run_one(request);
            assert_eq!(text(&outcome), format!("TLSv1.{} {session} NONE 1", version - 10));
        }
    }
}

#[test]
fn a_client_certificate_is_shown_to_who_asks() {
    let (authority, clients, strangers) =
        (Authority::new("CA"), Authority::new("Clients"), Authority::new("Strangers"));
    let known = clients.certificate.pem();
    let asks = "ssl_verify_client on;\nssl_client_certificate {dir}/clients.pem;\n";
    let nginx = serve(&authority.leaf(&["127.0.0.1"]), asks, &[("clients.pem", known.as_bytes())]);
    let secure = Secure { authority, nginx };
    let shown = |leaf: &Leaf| {
        vec![
            (CHTTP_OPT_TLS_CERT_PEM, Value::Bytes(pem(&leaf.chain))),
            (CHTTP_OPT_TLS_KEY_PEM, Value::Bytes(leaf.key.serialize_pem().into_bytes())),
        ]
    };
    for drive in DRIVES {
        for version in VERSIONS {
            let mut client = Client::new(drive, &[]);
            let mut ask = |identity: real_support::tls::Options| {
                let tls = Tls::new(&[secure.only(version), identity].concat());
                client.run_one(Request::get(secure.nginx.url("/told")).collect().under(&tls))
            };
            assert_eq!(text(&ask(shown(&clients.leaf(&["me"])))), format!("TLSv1.{} . SUCCESS 1", version - 10));
            // nginx ends the handshake all the same, and says in HTTP what it thinks.
            for (identity, why) in [(shown(&strangers.leaf(&["me"])), "certificate error"), (vec![], "No required SSL")]
            {
                let outcome = ask(identity);
                assert!(text(&outcome).contains(why), "{}", text(&outcome));
                assert_eq!(outcome.status, 400);
            }
            assert_eq!(client.stats().connections_opened, 3);
        }
    }
}

/// Locations of every framing: with a length, in chunks, and up to the end of the connection.
fn framings(upstream: &Server) -> String {
    let pass = format!("proxy_http_version 1.1; proxy_buffering off; proxy_pass http://127.0.0.1:{}", upstream.port());
    format!(
        "location = /length {{ return 200 length; }}\nlocation = /chunked {{ {pass}; }}\n\
         location = /closed {{ chunked_transfer_encoding off; {pass}/chunked; }}\n\
         location = /big {{ }}\nlocation = /endless {{ {pass}; }}\n\
         location = /endless-closed {{ chunked_transfer_encoding off; {pass}/endless; }}\n\
         location = /large {{ {pass}; }}\n\
         location = /count {{ proxy_request_buffering off; {pass}; }}\n"
    )
}

#[test]
fn every_framing_ends_as_it_must() {
    let upstream = upstream();
    let secure = secure(&framings(&upstream));
    for drive in DRIVES {
        for collect in [false, true] {
            let mut client = secure.client(drive);
            for (path, body, kept) in [
                ("/length", "length", true),
                ("/chunked", "no length", true),
                ("/closed", "no length", false),
                ("/length", "length", true),
            ] {
                let request = Request::get(secure.nginx.url(path));
                let outcome = client.run_one(if collect { request.collect() } else { request });
                assert_eq!((text(&outcome), outcome.status), (body, 200), "{path}");
                assert_eq!(client.stats().connections_idle, u64::from(kept), "{path}");
            }
            assert_eq!(client.stats().connections_opened, 2);
        }
        let mut client = secure.client(drive);
        let outcome = client.run_one(Request::get(secure.nginx.url("/large")));
        assert!(outcome.error == 0 && outcome.body == pattern(20 << 20), "{} bytes", outcome.body.len());
    }
}

#[test]
fn a_hundred_megabytes_in_each_direction_take_little_memory() {
    let _large = large();
    let upstream = upstream();
    let secure = secure(&framings(&upstream));
    secure.nginx.hole("big", MEGABYTES);
    let hole = Hole::new(MEGABYTES);
    for drive in DRIVES {
        let mut client = secure.client(drive);
        // What TLS itself needs is there afterwards.
        assert_eq!(client.run_one(Request::get(secure.nginx.url("/length"))).name(), "CHTTP_OK");
        let down = Request::get(secure.nginx.url("/big"));
        let (outcome, received, grown) = transfer(&mut client, &down.filled(), |_, _, _| {});
        assert_eq!((outcome.name(), outcome.status, received), ("CHTTP_OK", 200, MEGABYTES));
        assert!(grown < MEMORY, "{drive:?}, down: memory grew by {grown} bytes");
        for from_file in [true, false] {
            let request = Request::new("POST", secure.nginx.url("/count"));
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
                transfer(&mut client, &raw, |_, _, kind| write_done += usize::from(kind == CHTTP_EV_WRITE_DONE));
            assert_eq!((outcome.name(), outcome.status), ("CHTTP_OK", 200), "{}", outcome.message);
            assert_eq!(outcome.body, format!("{MEGABYTES} 0").as_bytes());
            assert_eq!(write_done, usize::from(!from_file));
            assert!(grown < MEMORY, "{drive:?}, up from a file: {from_file}: memory grew by {grown} bytes");
        }
        assert_eq!(client.stats().connections_opened, 1);
    }
}

#[test]
fn a_server_that_is_killed_truncates_every_body() {
    let upstream = upstream();
    for drive in DRIVES {
        for (path, code) in [
            ("/big", e::CHTTP_E_TRUNCATED_BODY),
            ("/endless", e::CHTTP_E_TRUNCATED_CHUNK),
            ("/endless-closed", e::CHTTP_E_TRUNCATED_BODY),
        ] {
            let mut secure = secure(&framings(&upstream));
            secure.nginx.hole("big", 1 << 30);
            let mut client = secure.client(drive);
            let request = Request::get(secure.nginx.url(path));
            let mut begun = false;
            let (outcome, received, _) = transfer(&mut client, &request.filled(), |_, _, kind| {
                if kind == CHTTP_EV_BODY && !begun {
                    begun = true;
                    secure.nginx.kill();
                }
            });
            assert_eq!(outcome.name(), name(code), "{path}: {}", outcome.message);
            assert_eq!((outcome.status, outcome.flags & CHTTP_EF_PARTIAL), (200, CHTTP_EF_PARTIAL));
            assert!(received > 0 && !outcome.retryable);
            let stats = client.stats();
            assert_eq!((stats.connections, stats.exchanges, stats.failed, stats.retried), (0, 0, 1, 0));
        }
    }
}

/// Turns until no connection is idle.
fn deserted(client: &mut Client) {
    while client.stats().connections > 0 {
        client.poll_for(Duration::from_millis(100));
        client.drain(|event| panic!("event {} of nobody's", event.kind));
    }
}

#[test]
fn an_idle_connection_that_is_closed_is_noticed() {
    let secure = secure("location = /short { keepalive_timeout 1s; return 200 short; }\n");
    for drive in DRIVES {
        for version in VERSIONS {
            let mut client = Client::with(drive, &secure.only(version));
            assert_eq!(text(&client.run_one(Request::get(secure.nginx.url("/short")))), "short");
            deserted(&mut client);
            let outcome = client.run_one(Request::new("POST", secure.nginx.url("/told")).collect());
            assert_eq!(text(&outcome), format!("TLSv1.{} r NONE 1", version - 10));
            let stats = client.stats();
            assert_eq!((stats.connections_opened, stats.retried, stats.failed), (2, 0, 0));
        }
    }
}

/// nginx sends its tickets when it has our part of the handshake, to a connection that nobody uses yet.
#[test]
fn tickets_do_not_end_an_idle_connection() {
    let secure = secure("");
    for drive in DRIVES {
        let mut client = secure.client(drive);
        let request = Request::get(secure.nginx.url("/told")).collect();
        client.preconnect(&request, 3);
        while client.stats().connections_idle < 3 {
            client.poll_for(Duration::from_millis(10));
            client.drain(|event| panic!("event {} of nobody's", event.kind));
        }
        // Each is used once and closed; their tickets are good for the connection after them.
        for session in ['.', '.', '.', 'r'] {
            let mut request = Request::get(secure.nginx.url("/told")).collect();
            request.raw.flags |= CHTTP_REQ_CLOSE;
            assert_eq!(text(&client.run_one(request)), format!("TLSv1.3 {session} NONE 1"));
        }
        let stats = client.stats();
        assert_eq!((stats.connections_opened, stats.retried, stats.failed), (4, 0, 0));
    }
}

/// New workers have new keys: they know no ticket of the old ones, and take it for a full handshake.
#[test]
fn a_reload_ends_idle_connections_and_tickets() {
    let secure = secure("ssl_session_cache off;\n");
    for drive in DRIVES {
        for version in VERSIONS {
            let mut client = Client::with(drive, &secure.only(version));
            for _ in 0..2 {
                let outcome = client.run_one(Request::get(secure.nginx.url("/told")).collect());
                assert_eq!(text(&outcome), format!("TLSv1.{} . NONE 1", version - 10));
                secure.nginx.signal(libc::SIGHUP);
                deserted(&mut client);
            }
            let stats = client.stats();
            assert_eq!((stats.connections_opened, stats.failed), (2, 0));
        }
    }
}
