//! Handshakes that succeed: versions, what was agreed on, client certificates, resumption, and that nothing depends on how
//! the bytes are cut.

mod tls_support;

use chttpcore::proto::tls::{Identity, Kind, PostQuantum, Settings, Tls, Version};
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use std::sync::Arc;
use tls_support::{Authority, BOTH, Leaf, Pair, VERSIONS, WHOLE, tls};

fn known() -> (Authority, Leaf) {
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["localhost", "a.example", "b.example", "c.example"]);
    (authority, leaf)
}

/// A server that wants a certificate of this authority.
fn asks(leaf: &Leaf, authority: &Authority, version: &'static rustls::SupportedProtocolVersion) -> ServerConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(leaf.chain.clone(), leaf.key_der())
        .unwrap()
}

/// ring has no key exchange that is a hybrid.
const HYBRID: bool = cfg!(feature = "aws-lc-rs");

#[test]
fn what_was_agreed_on() {
    let (authority, leaf) = known();
    let tls = tls(authority.trusted());
    let mut server = leaf.server(BOTH);
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut pair = Pair::new(&tls, "localhost", &Arc::new(server));
    assert!(pair.client.session.info().is_none() && pair.client.session.alpn().is_none());
    pair.run(WHOLE).unwrap();
    let info = pair.client.session.info().unwrap();
    assert_eq!((info.version, info.cipher_suite), ("TLSv1.3", "TLS_AES_128_GCM_SHA256"));
    assert_eq!(info.group, if HYBRID { "X25519MLKEM768" } else { "X25519" });
    assert_eq!(info.alpn, Some(&b"http/1.1"[..]));
    assert!(!info.resumed);
    assert_eq!(info.chain, leaf.chain);
    assert_eq!(pair.server.server_name(), Some("localhost"));

    let pair = Pair::secured(&tls, "localhost", &Arc::new(leaf.server(&[&TLS12])));
    let info = pair.client.session.info().unwrap();
    assert_eq!((info.version, info.cipher_suite), ("TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"));
    assert_eq!((info.group, info.alpn), ("X25519", None));
}

#[test]
fn versions_and_groups_that_are_allowed() {
    let (authority, leaf) = known();
    let server = Arc::new(leaf.server(BOTH));
    let with = |min, max, post_quantum| tls(Settings { min, max, post_quantum, ..authority.trusted() });
    for (min, max, version) in [
        (Version::Tls12, Version::Tls12, "TLSv1.2"),
        (Version::Tls12, Version::Tls13, "TLSv1.3"),
        (Version::Tls13, Version::Tls13, "TLSv1.3"),
    ] {
        let pair = Pair::secured(&with(min, max, PostQuantum::default()), "localhost", &server);
        assert_eq!(pair.client.session.info().unwrap().version, version);
    }
    let group = |post_quantum, server: ServerConfig| {
        let tls = with(Version::Tls13, Version::Tls13, post_quantum);
        Pair::secured(&tls, "localhost", &Arc::new(server)).client.session.info().unwrap().group
    };
    let only = |group| {
        let provider = rustls::crypto::CryptoProvider { kx_groups: vec![group], ..aws_lc_rs::default_provider() };
        leaf.server_with(provider, &[&TLS13])
    };
    assert_eq!(group(PostQuantum::Off, leaf.server(&[&TLS13])), "X25519");
    assert_eq!(group(PostQuantum::Offered, leaf.server(&[&TLS13])), "X25519");
    if HYBRID {
        assert_eq!(group(PostQuantum::Offered, only(kx_group::X25519MLKEM768)), "X25519MLKEM768");
    }
    assert_eq!(group(PostQuantum::Preferred, only(kx_group::X25519)), "X25519");
    // A second round trip.
    assert_eq!(group(PostQuantum::Preferred, only(kx_group::SECP384R1)), "secp384r1");
}

#[test]
fn protocols_that_are_offered() {
    let (authority, leaf) = known();
    let mut server = leaf.server(BOTH);
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let server = Arc::new(server);
    let chosen = |alpn: &[&[u8]]| {
        let alpn = alpn.iter().map(|p| p.to_vec()).collect();
        let pair = Pair::secured(&tls(Settings { alpn: Some(alpn), ..authority.trusted() }), "localhost", &server);
        pair.client.session.alpn().map(<[u8]>::to_vec)
    };
    assert_eq!(chosen(&[b"http/1.1", b"h2"]), Some(b"h2".to_vec()));
    assert_eq!(chosen(&[b"http/1.1"]), Some(b"http/1.1".to_vec()));
    assert_eq!(chosen(&[]), None);
}

#[test]
fn client_certificates() {
    let (authority, leaf) = known();
    let (clients, strangers) = (Authority::new("Client CA"), Authority::new("Strange CA"));
    let mine = clients.below("Client CA 2", |_| ()).leaf(&["me"]);
    for version in VERSIONS {
        let server = Arc::new(asks(&leaf, &clients, version));
        let with = |identity| tls(Settings { identity, ..authority.trusted() });
        let pair = Pair::secured(&with(Some(mine.identity())), "localhost", &server);
        assert_eq!(pair.server.peer_certificates().unwrap(), mine.chain);

        // Without, or with another's: TLS 1.3 tells only after the client believes that all is done.
        for (identity, alert, words) in [
            (None, 116, "it wants a client certificate"),
            (Some(strangers.leaf(&["me"]).identity()), 48, "it does not accept the client certificate"),
        ] {
            let mut pair = Pair::new(&with(identity), "localhost", &server);
            let error = pair.run(WHOLE).unwrap_err();
            println!("{error}");
            assert_eq!(error.kind, Kind::Alert);
            assert_eq!(error.alert, Some(alert));
            assert!(error.message.contains(words), "{error}");
            assert!(error.message.contains("\"localhost\" ended TLS"), "{error}");
        }
        // A server that does not ask is shown none.
        let pair = Pair::secured(&with(Some(mine.identity())), "localhost", &Arc::new(leaf.server(&[version])));
        assert!(pair.server.peer_certificates().is_none());
    }
}

/// Whether the second connection went on with what the first one had left.
fn resumes(first: &Arc<Tls>, second: &Arc<Tls>, host: &str, server: &Arc<ServerConfig>) -> bool {
    drop(Pair::secured(first, host, server));
    let pair = Pair::secured(second, host, server);
    let resumed = pair.client.session.info().unwrap().resumed;
    assert_eq!(pair.server.handshake_kind() == Some(HandshakeKind::Resumed), resumed);
    assert!(!pair.client.session.info().unwrap().chain.is_empty(), "a resumed session knows its chain");
    resumed
}

#[test]
fn sessions_go_on_under_the_same_settings_alone() {
    let (authority, leaf) = known();
    let clients = Authority::new("Client CA");
    let identity = |name| Some(clients.leaf(&[name]).identity());
    for version in VERSIONS {
        let server = Arc::new(leaf.server(&[version]));
        let base = Settings { identity: identity("me"), ..authority.trusted() };
        let one = tls(base.clone());
        assert!(resumes(&one, &one, "localhost", &server));
        // One that cannot read the ticket does without.
        let stranger = Pair::secured(&one, "localhost", &Arc::new(leaf.server(&[version])));
        assert!(!stranger.client.session.info().unwrap().resumed);
        let off = tls(Settings { sessions: 0, ..base.clone() });
        assert!(!resumes(&off, &off, "localhost", &server));
        assert_eq!((one.sessions(), off.sessions()), (1, 0));
        for other in [
            base.clone(),
            Settings { identity: identity("somebody else"), ..base.clone() },
            Settings { identity: None, ..base.clone() },
            Settings { roots: [authority.roots(), clients.roots()].concat(), ..base.clone() },
            Settings { insecure: true, ..base.clone() },
            Settings { time: Some(1_800_000_000), ..base.clone() },
            Settings { server_name: Some("localhost".to_owned()), ..base.clone() },
            Settings { alpn: Some(Vec::new()), ..base.clone() },
        ] {
            let other = tls(other);
            assert!(!resumes(&one, &other, "localhost", &server));
            assert!(!resumes(&other, &tls(base.clone()), "localhost", &server));
            assert_ne!(one.id(), other.id());
            assert_ne!(one, other);
        }
    }
}

#[test]
fn each_ticket_serves_once() {
    let (authority, leaf) = known();
    let tls = tls(authority.trusted());
    let server = Arc::new(leaf.server(&[&TLS13]));
    drop(Pair::secured(&tls, "localhost", &server));
    // The server gave two; those of the further connections do not arrive before all have said hello.
    let mut pairs: Vec<Pair> = (0..4).map(|_| Pair::new(&tls, "localhost", &server)).collect();
    for pair in &mut pairs {
        pair.client.hear(&[]).unwrap();
    }
    for pair in &mut pairs {
        pair.run(WHOLE).unwrap();
    }
    let resumed: Vec<bool> = pairs.iter().map(|p| p.client.session.info().unwrap().resumed).collect();
    assert_eq!(resumed, [true, true, false, false]);
}

#[test]
fn the_server_that_was_not_used_for_longest_is_forgotten() {
    let (authority, leaf) = known();
    for version in VERSIONS {
        let tls = tls(Settings { sessions: 2, ..authority.trusted() });
        let server = Arc::new(leaf.server(&[version]));
        let resumed = |host| Pair::secured(&tls, host, &server).client.session.info().unwrap().resumed;
        assert!(!resumed("a.example") && !resumed("b.example"));
        assert!(resumed("a.example"));
        assert!(!resumed("c.example"));
        assert_eq!(tls.sessions(), 2);
        assert!(resumed("a.example") && resumed("c.example"));
        assert!(!resumed("b.example"));
        assert_eq!(tls.sessions(), 2);
    }
}

#[test]
fn every_cut() {
    let (authority, leaf) = known();
    for version in VERSIONS {
        let server = Arc::new(leaf.server(&[version]));
        // Once as a new session, once resumed.
        let tls = tls(authority.trusted());
        for round in 0..2 {
            for cut in [1, 2, 3, 5, 7, 64, 333, 1000] {
                let mut pair = Pair::new(&tls, "localhost", &server);
                pair.client.say(b"hello");
                pair.run(cut).unwrap();
                assert_eq!(pair.heard, b"hello");
                for text in [&b"one"[..], b"two", b"", b"three"] {
                    pair.server_says(text);
                }
                pair.run(cut).unwrap();
                assert_eq!(pair.client.plain, b"onetwothree");
                assert!(pair.client.input.is_empty());
                pair.client.close();
                pair.run(cut).unwrap();
                assert!(pair.client.finished && !pair.client.session.heard_close());
                pair.server.send_close_notify();
                pair.run(cut).unwrap();
                assert!(pair.client.session.heard_close());
                if round == 0 {
                    assert_eq!(pair.client.session.info().unwrap().resumed, cut > 1);
                }
            }
        }
    }
}

/// The server's flight and its answer, cut in two at every offset.
#[test]
fn every_offset() {
    let (authority, leaf) = known();
    let server = Arc::new(leaf.server(&[&TLS13]));
    let tls = tls(Settings { sessions: 0, ..authority.trusted() });
    let mut at = 0;
    loop {
        let mut pair = Pair::new(&tls, "localhost", &server);
        pair.client.say(b"secret");
        pair.client.hear(&[]).unwrap();
        pair.deliver();
        let flight = pair.answer();
        if at > flight.len() {
            break;
        }
        pair.client.hear(&flight[..at]).unwrap();
        assert!(at == flight.len() || !pair.client.session.is_ready());
        pair.client.hear(&flight[at..]).unwrap();
        assert!(pair.client.session.is_ready());
        pair.deliver();
        assert_eq!(pair.heard, b"secret");
        at += 1;
    }
    let mut pair = Pair::secured(&tls, "localhost", &server);
    let mut records = vec![];
    for text in [&b"one"[..], b"two", b"three"] {
        pair.server_says(text);
        records.extend(pair.answer());
    }
    for at in 0..records.len() {
        let mut pair = Pair::secured(&tls, "localhost", &server);
        let mut records = vec![];
        for text in [&b"one"[..], b"two", b"three"] {
            pair.server_says(text);
            records.extend(pair.answer());
        }
        pair.client.hear(&records[..at]).unwrap();
        pair.client.say(b"in between");
        pair.client.hear(&records[at..]).unwrap();
        assert_eq!(pair.client.plain, b"onetwothree");
        pair.deliver();
        assert_eq!(pair.heard, b"in between");
    }
}

#[test]
fn an_identity_that_cannot_be() {
    let authority = Authority::new("Test CA");
    let (mine, other) = (authority.leaf(&["me"]), authority.leaf(&["you"]));
    let why = |identity| Tls::new(Settings { identity: Some(identity), ..authority.trusted() }).unwrap_err().why;
    let (good, wrong) = (mine.identity(), other.identity());
    assert_eq!(why(Identity { key: wrong.key, ..good.clone() }), "the key does not fit the certificate");
    let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n".to_vec();
    assert_eq!(why(Identity { key: encrypted, ..good.clone() }), "the key is encrypted; decrypt it first");
    assert!(why(Identity { key: Vec::new(), ..good.clone() }).contains("no private key"));
    assert!(why(Identity { chain: good.key.clone(), ..good.clone() }).contains("no certificate"));
    let key = String::from_utf8(good.key.clone()).unwrap();
    let broken = key.replace("\nM", "\nQ").into_bytes();
    let told = why(Identity { key: broken, ..good.clone() });
    let secret = key.lines().nth(1).unwrap();
    assert!(!told.contains(&secret[4..]), "a key in a message: {told}");
}
