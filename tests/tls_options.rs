//! From options to TLS settings: what is read, what is refused and how it is told, and where the system's authorities come
//! from.

mod tls_support;

use chttpcore::client::trust::{Given, Options, Shared, SystemRoots};
use chttpcore::proto::tls::Kind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tls_support::{Authority, BOTH, Leaf, Pair, pem};

/// Files of one test, gone with it.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Files {
        let at = std::env::temp_dir().join(format!("chttp-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&at).unwrap();
        Files(at)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Arc<str> {
        let at = self.0.join(name);
        std::fs::write(&at, bytes).unwrap();
        at.to_str().unwrap().into()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn file(path: &Arc<str>) -> Given {
    Given { file: Some(path.clone()), bytes: None }
}

fn bytes(bytes: &[u8]) -> Given {
    Given { file: None, bytes: Some(bytes.into()) }
}

fn ca_pem(authority: &Authority) -> Vec<u8> {
    authority.certificate.pem().into_bytes()
}

/// Settings that trust nobody, and so do not ask the system.
fn base() -> Options {
    Options { ca: bytes(&ca_pem(&Authority::new("Test CA"))), ..Options::default() }
}

fn refused(options: &Options, option: &str, rule: &str) {
    let unusable = options.build().unwrap_err();
    println!("{unusable}");
    assert_eq!(unusable.option, option, "{unusable}");
    assert!(unusable.rule.contains(rule), "no {rule:?} in: {unusable}");
    assert!(unusable.to_string().starts_with(&format!("option {option}: ")));
}

fn accepts(options: &Options, leaf: &Leaf) {
    let tls = Arc::new(options.build().unwrap());
    Pair::secured(&tls, "localhost", &Arc::new(leaf.server(BOTH)));
}

#[test]
fn authorities_from_a_file_and_from_bytes() {
    let files = Files::new("authorities");
    let (one, two) = (Authority::new("CA 1"), Authority::new("CA 2"));
    let path = files.write("ca.pem", &ca_pem(&one));
    accepts(&Options { ca: file(&path), ..Options::default() }, &one.leaf(&["localhost"]));
    let both = Options { ca: Given { bytes: Some(ca_pem(&two).into()), ..file(&path) }, ..Options::default() };
    accepts(&both, &one.leaf(&["localhost"]));
    accepts(&both, &two.leaf(&["localhost"]));
    let tls = Arc::new(both.build().unwrap());
    let stranger = Authority::new("CA 3").leaf(&["localhost"]);
    let (error, _) = Pair::refused(&tls, "localhost", &Arc::new(stranger.server(BOTH)));
    assert_eq!(error.kind, Kind::CertUnknownCa);
    let place = format!("no authority in tls_ca_file {path} and tls_ca_pem vouches for it");
    assert!(error.message.contains(&place), "{error}");
}

#[test]
fn authorities_that_cannot_be_read() {
    let files = Files::new("no-authorities");
    let missing: Arc<str> = files.0.join("missing.pem").to_str().unwrap().into();
    refused(
        &Options { ca: file(&missing), ..base() },
        "tls_ca_file",
        &format!("{missing} cannot be read: No such file"),
    );
    let directory: Arc<str> = files.0.to_str().unwrap().into();
    refused(&Options { ca: file(&directory), ..base() }, "tls_ca_file", "cannot be read");
    let empty = files.write("empty.pem", b"");
    refused(
        &Options { ca: file(&empty), ..base() },
        "tls_ca_file",
        &format!("tls_ca_file {empty}: there is no certificate"),
    );
    refused(&Options { ca: bytes(b"nonsense"), ..base() }, "tls_ca_pem", "there is no certificate");
    let broken = pem(&[b"\x30\x03\x02\x01\x01".to_vec().into()]);
    let second = [ca_pem(&Authority::new("CA")), broken].concat();
    refused(&Options { ca: bytes(&second), ..base() }, "tls_ca_pem", "certificate 2 cannot be read");
    let cut = ca_pem(&Authority::new("CA"));
    refused(&Options { ca: bytes(&cut[..cut.len() - 10]), ..base() }, "tls_ca_pem", "it is no PEM");
    let none = Options { system_roots: SystemRoots::Never, ..Options::default() };
    refused(&none, "tls_system_roots", "nobody would be trusted");
    // Who trusts everybody reads nothing.
    Options { insecure: true, ca: file(&missing), ..none }.build().unwrap();
}

#[test]
fn identities() {
    let files = Files::new("identities");
    let authority = Authority::new("Client CA");
    let (mine, other) = (authority.leaf(&["me"]).identity(), authority.leaf(&["you"]).identity());
    let cert = files.write("cert.pem", &mine.chain);
    let key = files.write("key.pem", &mine.key);
    let both = files.write("both.pem", &[&mine.chain[..], &mine.key].concat());
    for (cert, key) in [
        (file(&cert), file(&key)),
        (bytes(&mine.chain), bytes(&mine.key)),
        (file(&cert), bytes(&mine.key)),
        (file(&both), Given::default()),
        (bytes(&[&mine.key[..], &mine.chain].concat()), Given::default()),
    ] {
        Options { cert, key, ..base() }.build().unwrap();
    }
    let with = |cert, key| Options { cert, key, ..base() };
    refused(&with(file(&cert), Given::default()), "tls_cert_file", "there is no private key");
    refused(&with(Given::default(), file(&key)), "tls_key_file", "a key needs its certificate");
    refused(&with(Given::default(), bytes(&mine.key)), "tls_key_pem", "a key needs its certificate");
    refused(&with(file(&cert), bytes(&other.key)), "tls_key_pem", "the key does not fit the certificate");
    refused(&with(file(&key), file(&key)), "tls_cert_file", "there is no certificate");
    refused(&with(bytes(b""), file(&key)), "tls_cert_pem", "there is no certificate");
    let twice = Given { bytes: Some(mine.chain.clone().into()), ..file(&cert) };
    refused(&with(twice, file(&key)), "tls_cert_pem", "another form of tls_cert_file");
    let twice = Given { bytes: Some(mine.key.clone().into()), ..file(&key) };
    refused(&with(file(&cert), twice), "tls_key_pem", "another form of tls_key_file");
    // What is secret is in no words about the settings.
    let secret = String::from_utf8(mine.key.clone()).unwrap();
    let shown = format!("{:?}", with(bytes(&mine.chain), bytes(&mine.key)));
    assert!(secret.lines().all(|line| !shown.contains(line)), "{shown}");
}

#[test]
fn other_options() {
    let text = |text: &str| Some(Arc::from(text));
    for name in ["a b", "a..b", "https://a.example", ""] {
        refused(&Options { server_name: text(name), ..base() }, "tls_server_name", "no name of a server");
    }
    for alpn in ["", ",", "h2,", ",h2", "h2,,x", &"x".repeat(256)] {
        refused(&Options { alpn: text(alpn), ..base() }, "tls_alpn", "1 to 255 bytes");
    }
    for alpn in ["-", "h2", "h2, http/1.1", &"x".repeat(255)] {
        Options { alpn: text(alpn), ..base() }.build().unwrap();
    }
    let pin = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    Options { pins: text(&format!("{pin}, {pin}")), ..base() }.build().unwrap();
    for pins in ["", "x", &format!("{pin},"), &format!("{pin} {pin}")] {
        refused(&Options { pins: text(pins), ..base() }, "tls_pins", "is no pin");
    }
    let files = Files::new("crls");
    let missing: Arc<str> = files.0.join("missing.crl").to_str().unwrap().into();
    refused(&Options { crl: file(&missing), ..base() }, "tls_crl_file", "cannot be read: No such file");
    refused(&Options { crl: bytes(b"nonsense"), ..base() }, "tls_crl_pem", "no revocation list");
    refused(&Options { crl: bytes(b"\x30\x00"), ..base() }, "tls_crl_pem", "a revocation list cannot be read");
}

#[test]
fn made_once() {
    let shared = Shared::new(base());
    let first = shared.get().unwrap().clone();
    assert_eq!(shared.get().unwrap(), &first);
    let failing = Shared::new(Options { alpn: Some("".into()), ..base() });
    assert_eq!(failing.get().unwrap_err(), failing.get().unwrap_err());
}

/// The environment belongs to a process: run `name` of this file in one of its own.
fn in_child(name: &str, store: &Path, variable: &str) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", name, "--ignored", "--nocapture"]).env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
    let output = child.env(variable, store).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// A store with one authority, and a key log beside it.
#[test]
fn the_systems_store() {
    let files = Files::new("store");
    let authority = Authority::new("System CA");
    let path = files.write("ca.pem", &ca_pem(&authority));
    let leaf = authority.leaf(&["localhost"]);
    files.write("leaf.pem", &[leaf.identity().chain, leaf.identity().key].concat());
    in_child("child_with_a_store", Path::new(&*path), "SSL_CERT_FILE");
    in_child("child_with_a_store", &files.0, "SSL_CERT_DIR");
    in_child("child_without_a_store", &files.0.join("missing.pem"), "SSL_CERT_FILE");
    let log = files.0.join("keys.log");
    in_child("child_with_a_key_log", &log, "SSLKEYLOGFILE");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("CLIENT_TRAFFIC_SECRET_0 ") && log.contains("SERVER_TRAFFIC_SECRET_0 "), "{log}");
}

/// Why somebody whom nobody knows is not trusted.
fn verdict(options: &Options) -> String {
    let stranger = Authority::new("Strange CA").leaf(&["localhost"]);
    let tls = Arc::new(options.build().unwrap());
    let (error, _) = Pair::refused(&tls, "localhost", &Arc::new(stranger.server(BOTH)));
    assert_eq!(error.kind, Kind::CertUnknownCa);
    error.message
}

#[test]
#[ignore = "run by the_systems_store"]
fn child_with_a_store() {
    let set =
        ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().find_map(|n| Some(format!("{n}={}", std::env::var(n).ok()?)));
    let place = format!("no authority in the system's store ({}) vouches for it", set.unwrap());
    let message = verdict(&Options::default());
    assert!(message.contains(&place), "{message}");
    // Along with others, or not at all.
    let own = Authority::new("Own CA");
    let with = |system_roots| Options { ca: bytes(&ca_pem(&own)), system_roots, ..Options::default() };
    assert!(verdict(&with(SystemRoots::Always)).contains("tls_ca_pem and the system's store"));
    for system_roots in [SystemRoots::Never, SystemRoots::Otherwise] {
        assert!(verdict(&with(system_roots)).contains("no authority in tls_ca_pem vouches"));
    }
}

#[test]
#[ignore = "run by the_systems_store"]
fn child_without_a_store() {
    refused(&Options::default(), "tls_system_roots", "the system's store (SSL_CERT_FILE=");
    refused(&Options::default(), "tls_system_roots", "missing.pem'); tls_ca_file can name another");
    base().build().unwrap();
}

#[test]
#[ignore = "run by the_systems_store"]
fn child_with_a_key_log() {
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["localhost"]);
    let path = PathBuf::from(std::env::var("SSLKEYLOGFILE").unwrap());
    // Nothing is written unless it was asked for.
    accepts(&Options { ca: bytes(&ca_pem(&authority)), ..Options::default() }, &leaf);
    assert!(!path.exists());
    accepts(&Options { ca: bytes(&ca_pem(&authority)), key_log: true, ..Options::default() }, &leaf);
}
