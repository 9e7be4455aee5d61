//! Requests that differ in one thing that makes connections different use two connections, and no TLS session goes on under
//! other settings than those it began under: curl's CVE-2026-8932 and its kin. Through the C interface, in both drives; the
//! server counts.

mod real_support;
mod tls_support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chttpcore::ffi::tls::*;
use chttpcore::ffi::types::CHTTP_REQ_CLOSE;
use rcgen::{CertificateRevocationListParams, KeyIdMethod, PublicKeyData, SerialNumber, date_time_ymd};
use real_support::client::DRIVES;
use real_support::tls::Options;
use real_support::{Client, Request, Tls, Value};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tls_support::{Authority, BOTH, Leaf, VERSIONS, pem};

/// What the server saw of one connection.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Seen {
    handshake: Option<HandshakeKind>,
    requests: usize,
}

type Log = Arc<Mutex<Vec<Seen>>>;

/// Answers on every connection, over TLS or without, and keeps account.
fn answer(mut stream: impl Read + Write, handshake: Option<HandshakeKind>, log: &Log) -> std::io::Result<()> {
    let at = {
        let mut log = log.lock().unwrap();
        log.push(Seen { handshake, requests: 0 });
        log.len() - 1
    };
    let (mut held, mut bytes) = (Vec::new(), [0; 4096]);
    while let n @ 1.. = stream.read(&mut bytes)? {
        held.extend_from_slice(&bytes[..n]);
        while let Some(end) = held.windows(4).position(|w| w == b"\r\n\r\n") {
            held.drain(..end + 4);
            log.lock().unwrap()[at].requests += 1;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
    }
    Ok(())
}

fn secured(mut stream: impl Read + Write, config: Arc<ServerConfig>, log: &Log) -> std::io::Result<()> {
    let mut tls = ServerConnection::new(config).expect("a valid configuration");
    tls.complete_io(&mut stream)?;
    let kind = tls.handshake_kind();
    answer(StreamOwned::new(tls, stream), kind, log)
}

fn plain_or_secured(tcp: TcpStream, config: Arc<ServerConfig>, log: &Log) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut first = [0];
    tcp.peek(&mut first)?;
    if first == [0x16] { secured(tcp, config, log) } else { answer(tcp, None, log) }
}

/// The same server at two addresses and on a Unix socket.
struct Server {
    ports: [u16; 2],
    path: PathBuf,
    log: Log,
}

impl Server {
    fn start(config: Arc<ServerConfig>) -> Server {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let id = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let log = Log::default();
        let listen = |at: &str| {
            let listener = TcpListener::bind(at).unwrap();
            let port = listener.local_addr().unwrap().port();
            let (config, log) = (config.clone(), log.clone());
            std::thread::spawn(move || {
                for tcp in listener.incoming().map_while(Result::ok) {
                    let (config, log) = (config.clone(), log.clone());
                    std::thread::spawn(move || plain_or_secured(tcp, config, &log));
                }
            });
            port
        };
        let ports = ["127.0.0.1:0", "127.0.0.2:0"].map(listen);
        let path = std::env::temp_dir().join(format!("chttp-key-{}-{id}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let unix_log = log.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, log) = (config.clone(), unix_log.clone());
                std::thread::spawn(move || secured(stream, config, &log));
            }
        });
        Server { ports, path, log }
    }

    fn take_log(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

/// What a request says of its connection.
#[derive(Clone, Default)]
struct Ask {
    url: String,
    to: Option<String>,
    local: Option<&'static str>,
    interface: Option<&'static str>,
}

fn run(client: &mut Client, ask: &Ask, tls: Option<&Tls>, flags: u32) -> real_support::client::Outcome {
    let mut request = Request::get(ask.url.clone()).collect();
    request.raw.flags |= flags;
    if let Some(tls) = tls {
        request = request.under(tls);
    }
    let raw = &mut request.raw;
    if let Some(to) = &ask.to {
        (raw.connect_to, raw.connect_to_len) = (to.as_ptr().cast(), to.len());
    }
    if let Some(local) = ask.local {
        (raw.local_address, raw.local_address_len) = (local.as_ptr().cast(), local.len());
    }
    if let Some(interface) = ask.interface {
        (raw.interface, raw.interface_len) = (interface.as_ptr().cast(), interface.len());
    }
    let outcome = client.run_one(request);
    assert_eq!((outcome.name(), outcome.status), ("CHTTP_OK", 200), "{}", outcome.message);
    outcome
}

/// Each twice in turn: two connections, each of them used twice.
#[track_caller]
fn two_connections(client: &mut Client, server: &Server, what: &str, asks: [(&Ask, Option<&Tls>); 2]) -> Vec<Seen> {
    for round in 0..2 {
        for (ask, tls) in asks {
            assert_eq!(run(client, ask, tls, 0).reused(), round > 0, "{what}");
        }
    }
    let log = server.take_log();
    assert_eq!(log.iter().map(|seen| seen.requests).collect::<Vec<_>>(), [2, 2], "{what}: {log:?}");
    log
}

struct Known {
    authority: Authority,
    leaf: Leaf,
    clients: Authority,
}

fn known() -> Known {
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["a.test", "b.test", "127.0.0.1"]);
    Known { authority, leaf, clients: Authority::new("Clients") }
}

impl Known {
    /// Asks for a client certificate and does without.
    fn server(&self, versions: &[&'static rustls::SupportedProtocolVersion]) -> Server {
        let mut roots = RootCertStore::empty();
        roots.add(self.clients.certificate.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
            .with_single_cert(self.leaf.chain.clone(), self.leaf.key_der())
            .unwrap();
        Server::start(Arc::new(config))
    }

    fn base(&self) -> Options {
        vec![(CHTTP_OPT_TLS_CA_PEM, Value::Bytes(self.authority.certificate.pem().into_bytes()))]
    }

    /// Settings that differ from `base` in one thing each.
    fn others(&self) -> Vec<(&'static str, Options)> {
        let with = |option, value| [self.base(), vec![(option, value)]].concat();
        let text = |text: &str| Value::Text(text.to_owned());
        let both = [self.authority.certificate.pem(), self.clients.certificate.pem()].concat();
        let shown = |leaf: &Leaf| {
            let key = (CHTTP_OPT_TLS_KEY_PEM, Value::Bytes(leaf.key.serialize_pem().into_bytes()));
            [self.base(), vec![(CHTTP_OPT_TLS_CERT_PEM, Value::Bytes(pem(&leaf.chain))), key]].concat()
        };
        let sha256 = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().unwrap().common.hash_provider;
        let pin = sha256.hash(&self.leaf.key.subject_public_key_info());
        let crl = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2120, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let crl = crl.signed_by(&self.authority.issuer).unwrap().der().to_vec();
        vec![
            ("the same again", self.base()),
            ("CA", vec![(CHTTP_OPT_TLS_CA_PEM, Value::Bytes(both.into_bytes()))]),
            ("system's CAs", with(CHTTP_OPT_TLS_SYSTEM_ROOTS, Value::Number(0))),
            ("client certificate", shown(&self.clients.leaf(&["me"]))),
            ("not verified", with(CHTTP_OPT_TLS_INSECURE_NO_VERIFICATION, Value::Number(1))),
            ("server name", with(CHTTP_OPT_TLS_SERVER_NAME, text("b.test"))),
            ("ALPN", with(CHTTP_OPT_TLS_ALPN, text("http/1.1,other"))),
            ("lowest version", with(CHTTP_OPT_TLS_MIN_VERSION, Value::Number(13))),
            ("highest version", with(CHTTP_OPT_TLS_MAX_VERSION, Value::Number(12))),
            ("pins", with(CHTTP_OPT_TLS_PINS, text(&format!("sha256/{}", STANDARD.encode(pin))))),
            ("CRL", with(CHTTP_OPT_TLS_CRL_PEM, Value::Bytes(crl))),
            ("time", with(CHTTP_OPT_TLS_VERIFY_TIME, Value::Number(1_900_000_000))),
            ("session cache", with(CHTTP_OPT_TLS_SESSION_CACHE, Value::Number(255))),
            ("key log", with(CHTTP_OPT_TLS_KEY_LOG, Value::Number(1))),
            ("key exchange", with(CHTTP_OPT_TLS_KEY_EXCHANGE_PQ, Value::Number(0))),
        ]
    }
}

#[test]
fn where_a_request_goes_and_comes_from() {
    let known = known();
    let server = known.server(BOTH);
    let [port, second] = server.ports;
    let tls = Tls::new(&known.base());
    let base = Ask { url: format!("https://a.test:{port}/"), to: Some(format!("127.0.0.1:{port}")), ..Ask::default() };
    let direct = Ask { url: format!("https://127.0.0.1:{port}/"), ..Ask::default() };
    let to = |to: String| Ask { to: Some(to), ..base.clone() };
    let local = |local| Ask { local: Some(local), ..base.clone() };
    for drive in DRIVES {
        for (what, base, other) in [
            ("scheme", &base, Ask { url: format!("http://a.test:{port}/"), ..base.clone() }),
            ("host", &base, Ask { url: format!("https://b.test:{port}/"), ..base.clone() }),
            ("port", &base, Ask { url: "https://a.test/".into(), ..base.clone() }),
            ("address instead", &base, to(format!("127.0.0.2:{second}"))),
            ("socket instead", &base, to(format!("unix:{}", server.path.display()))),
            ("the same address instead", &direct, Ask { to: base.to.clone(), ..direct.clone() }),
            ("local address", &base, local("127.0.0.3")),
            ("interface", &base, Ask { interface: Some("lo"), ..base.clone() }),
        ] {
            let mut client = Client::new(drive, &[]);
            two_connections(&mut client, &server, what, [(base, Some(&tls)), (&other, Some(&tls))]);
        }
        let mut client = Client::new(drive, &[]);
        let asks = [(&local("127.0.0.3"), Some(&tls)), (&local("127.0.0.4"), Some(&tls))];
        two_connections(&mut client, &server, "two local addresses", asks);
    }
}

#[test]
fn under_which_settings() {
    let known = known();
    let server = known.server(BOTH);
    let [port, _] = server.ports;
    let ask = Ask { url: format!("https://a.test:{port}/"), to: Some(format!("127.0.0.1:{port}")), ..Ask::default() };
    for drive in DRIVES {
        for (what, other) in known.others() {
            // Against another object, and against the engine's own settings.
            let (base, options) = (Tls::new(&known.base()), known.base());
            for (base, options) in [(Some(&base), &[][..]), (None, &options)] {
                let other = Tls::new(&other);
                let mut client = Client::with(drive, options);
                let log = two_connections(&mut client, &server, what, [(&ask, base), (&ask, Some(&other))]);
                assert!(log.iter().all(|seen| seen.handshake == Some(HandshakeKind::Full)), "{what}: {log:?}");
            }
        }
    }
}

#[test]
fn no_session_goes_on_under_other_settings() {
    let known = known();
    for version in VERSIONS {
        let server = known.server(&[version]);
        let [port, _] = server.ports;
        let ask =
            Ask { url: format!("https://a.test:{port}/"), to: Some(format!("127.0.0.1:{port}")), ..Ask::default() };
        for drive in DRIVES {
            for (what, other) in known.others() {
                let other_way = if version.version == rustls::ProtocolVersion::TLSv1_3 { "highest" } else { "lowest" };
                if what.starts_with(other_way) {
                    continue;
                }
                let settings = [Tls::new(&known.base()), Tls::new(&other)];
                let mut client = Client::new(drive, &[]);
                let order = [(0, false), (0, true), (1, false), (0, true), (1, true)];
                for (which, resumed) in order {
                    let outcome = run(&mut client, &ask, Some(&settings[which]), CHTTP_REQ_CLOSE);
                    assert_eq!(outcome.tls.expect("over TLS").resumed, resumed, "{what}");
                }
                let kinds: Vec<bool> =
                    server.take_log().iter().map(|s| s.handshake == Some(HandshakeKind::Resumed)).collect();
                assert_eq!(kinds, order.map(|(_, resumed)| resumed), "{what}");
            }
        }
    }
}
