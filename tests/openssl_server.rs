//! Against OpenSSL's server, in both drives: who is trusted is asked, by name and by address; who is not learns from an
//! alert that he is not, and sees no byte of the request; and the error says which check failed, and for which name.

mod real_support;
mod tls_support;

use chttpcore::error as e;
use chttpcore::ffi::tls::{
    CHTTP_OPT_TLS_CA_PEM, CHTTP_OPT_TLS_CERT_PEM, CHTTP_OPT_TLS_KEY_PEM, CHTTP_OPT_TLS_MAX_VERSION,
    CHTTP_OPT_TLS_MIN_VERSION,
};
use rcgen::{CertificateParams, GeneralSubtree, KeyPair, NameConstraints, PKCS_RSA_SHA256, date_time_ymd};
use real_support::client::{DRIVES, Outcome, name};
use real_support::openssl::Openssl;
use real_support::tls::Options;
use real_support::{Client, Drive, Request, Tls, Value};
use tls_support::{Authority, Leaf, params, pem};

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

fn trusting(authority: &Authority) -> Options {
    vec![(CHTTP_OPT_TLS_CA_PEM, Value::Bytes(authority.certificate.pem().into_bytes()))]
}

fn server(host: &str, leaf: &Leaf, arguments: &[&str]) -> Openssl {
    Openssl::start(host, &pem(&leaf.chain), leaf.key.serialize_pem().as_bytes(), arguments, &[])
}

/// Ask for `url`, at `at` whatever its host.
fn ask(drive: Drive, options: &[(u32, Value)], url: String, at: &str) -> Outcome {
    let mut client = Client::new(drive, &[]);
    let tls = Tls::new(options);
    let mut request = Request::get(url).under(&tls);
    (request.raw.connect_to, request.raw.connect_to_len) = (at.as_ptr().cast(), at.len());
    let outcome = client.run_one(request);
    let stats = client.stats();
    assert_eq!((stats.exchanges, stats.connections, stats.waiting), (0, 0, 0));
    outcome
}

/// The request is refused with `code` and `words`, and the server sees nothing of it.
#[track_caller]
fn refused(leaf: &Leaf, arguments: &[&str], options: &[(u32, Value)], host: &str, code: i32, words: &[&str]) {
    for drive in DRIVES {
        let server = server("127.0.0.1", leaf, &[arguments, &["-naccept", "1"]].concat());
        let at = server.authority().to_owned();
        let outcome = ask(drive, options, format!("https://{host}/secret"), &at);
        assert_eq!(outcome.name(), name(code), "{arguments:?}: {}", outcome.message);
        assert!(!outcome.headers && !outcome.retryable, "{}", outcome.message);
        for word in [format!("\"{host}\"").as_str()].iter().chain(words) {
            assert!(outcome.message.contains(word), "no {word:?} in: {}", outcome.message);
        }
        let seen = server.ended();
        assert!(!seen.contains("secret"), "{arguments:?}: {seen}");
    }
}

/// The same for a certificate that is not accepted, whatever the version.
#[track_caller]
fn distrusted(leaf: &Leaf, trusted: &Authority, host: &str, code: i32, words: &[&str]) {
    for version in VERSIONS {
        refused(leaf, &[version], &trusting(trusted), host, code, words);
    }
}

/// What `refused` looks for would be there.
#[test]
fn the_server_shows_what_it_sees() {
    let authority = Authority::new("Test CA");
    for version in VERSIONS {
        let mut server = server("127.0.0.1", &authority.leaf(&["127.0.0.1"]), &[version, "-naccept", "1"]);
        server.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        let (url, at) = (server.url("/secret"), server.authority().to_owned());
        let outcome = ask(Drive::Thread, &trusting(&authority), url, &at);
        assert_eq!((outcome.name(), outcome.body.as_slice()), ("CHTTP_OK", &b"ok"[..]), "{}", outcome.message);
        let seen = server.ended();
        assert!(seen.contains("GET /secret HTTP/1.1"), "{seen}");
    }
}

#[test]
fn versions_keys_and_addresses() {
    let authority = Authority::new("Test CA");
    let rsa = || {
        let (key, params) = (KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap(), params("leaf", &["127.0.0.1", "::1"]));
        Leaf { chain: vec![params.signed_by(&key, &authority.issuer).unwrap().der().clone()], key }
    };
    for leaf in [authority.leaf(&["127.0.0.1", "::1"]), rsa()] {
        for (version, told, number) in [("-tls1_2", "TLSv1.2", 12), ("-tls1_3", "TLSv1.3", 13)] {
            for host in ["127.0.0.1", "[::1]"] {
                for drive in DRIVES {
                    // A page about the connection, which ends with it; then a file.
                    let page = server(host, &leaf, &[version, "-www"]);
                    let outcome = ask(drive, &trusting(&authority), page.url("/"), page.authority());
                    assert_eq!((outcome.name(), outcome.status), ("CHTTP_OK", 200), "{}", outcome.message);
                    let text = String::from_utf8_lossy(&outcome.body);
                    let agreed = outcome.tls.as_ref().expect("a connection over TLS");
                    assert_eq!((agreed.version, agreed.resumed), (number, false));
                    // OpenSSL's names of cipher suites are its own before TLS 1.3.
                    assert!(text.contains(&format!("Protocol  : {told}")), "{text}");
                    assert!(number == 12 || text.contains(&format!("Cipher    : {}", agreed.cipher_suite)), "{text}");
                    assert!(text.contains("</HTML>") || text.contains("</BODY>"), "{text}");
                }
            }
        }
    }
}

#[test]
fn a_file_arrives_whole() {
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["127.0.0.1"]);
    let contents: Vec<u8> = (0..3_000_000u32).map(|i| b'a' + (i % 23) as u8).collect();
    let (chain, key) = (pem(&leaf.chain), leaf.key.serialize_pem());
    for version in VERSIONS {
        for drive in DRIVES {
            let files: [(&str, &[u8]); 1] = [("file.txt", &contents)];
            let server = Openssl::start("127.0.0.1", &chain, key.as_bytes(), &[version, "-WWW"], &files);
            let outcome = ask(drive, &trusting(&authority), server.url("/file.txt"), server.authority());
            assert_eq!((outcome.name(), outcome.status), ("CHTTP_OK", 200), "{}", outcome.message);
            assert!(outcome.body == contents, "{} bytes", outcome.body.len());
        }
    }
}

/// What a certificate is for 127.0.0.1, with one thing changed.
fn leaf(authority: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
    let mut params = params("leaf", &["127.0.0.1"]);
    change(&mut params);
    authority.issue(&params)
}

#[test]
fn certificates_out_of_time() {
    let authority = Authority::new("Test CA");
    let expired = leaf(&authority, |p| p.not_after = date_time_ymd(2021, 2, 3));
    let words = ["has expired: it was valid until 2021-02-03 00:00:00 UTC"];
    distrusted(&expired, &authority, "127.0.0.1", e::CHTTP_E_TLS_CERT_EXPIRED, &words);
    let early = leaf(&authority, |p| p.not_before = date_time_ymd(2121, 2, 3));
    let words = ["is not valid yet: it will be from 2121-02-03 00:00:00 UTC on"];
    distrusted(&early, &authority, "127.0.0.1", e::CHTTP_E_TLS_CERT_NOT_YET_VALID, &words);
}

#[test]
fn certificates_for_others() {
    let authority = Authority::new("Test CA");
    let named = authority.leaf(&["a.test", "*.b.test", "127.0.0.1"]);
    for host in ["b.test", "x.y.b.test", "xa.test", "127.0.0.2", "127.0.0.1.nip.test"] {
        let words = ["is not for this name", "\"a.test\"", "\"*.b.test\"", "127.0.0.1"];
        distrusted(&named, &authority, host, e::CHTTP_E_TLS_CERT_NAME, &words);
    }
    // An address as the name of a host is no address, and the common name is none of either.
    let common = authority.issue(&params("127.0.0.1", &[]));
    distrusted(&common, &authority, "127.0.0.1", e::CHTTP_E_TLS_CERT_NAME, &["is not for this name"]);
    distrusted(&authority.issue(&params("a.test", &[])), &authority, "a.test", e::CHTTP_E_TLS_CERT_NAME, &[]);
}

#[test]
fn certificates_that_nobody_vouches_for() {
    let (authority, stranger, namesake) =
        (Authority::new("Test CA"), Authority::new("Strange CA"), Authority::new("Test CA"));
    let unknown = e::CHTTP_E_TLS_CERT_UNKNOWN_CA;
    distrusted(&stranger.leaf(&["127.0.0.1"]), &authority, "127.0.0.1", unknown, &["vouches for it"]);
    distrusted(&namesake.leaf(&["127.0.0.1"]), &authority, "127.0.0.1", unknown, &["has not signed it"]);
    let own = Leaf::self_signed(&params("leaf", &["127.0.0.1"]));
    distrusted(&own, &authority, "127.0.0.1", unknown, &["vouches for it"]);
    // The server keeps what stands between back.
    let mut below = authority.below("Between", |_| {}).leaf(&["127.0.0.1"]);
    below.chain.truncate(1);
    distrusted(&below, &authority, "127.0.0.1", unknown, &["vouches for it"]);
}

#[test]
fn authorities_that_may_not_vouch_for_everybody() {
    let authority = Authority::new("Test CA");
    let between = authority.below("Between", |p| {
        let permitted_subtrees = vec![GeneralSubtree::DnsName("allowed.test".into())];
        p.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: vec![] });
    });
    let outside = between.leaf(&["other.test"]);
    distrusted(&outside, &authority, "other.test", e::CHTTP_E_TLS_CERT_INVALID, &["name constraints"]);
    let inside = between.leaf(&["x.allowed.test"]);
    for drive in DRIVES {
        let server = server("127.0.0.1", &inside, &["-www"]);
        let outcome = ask(drive, &trusting(&authority), "https://x.allowed.test/".into(), server.authority());
        assert_eq!(outcome.name(), "CHTTP_OK", "{}", outcome.message);
    }
}

#[test]
fn nothing_in_common() {
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["127.0.0.1"]);
    let only = |version| {
        let mut options = trusting(&authority);
        options.push((CHTTP_OPT_TLS_MIN_VERSION, Value::Number(version)));
        options.push((CHTTP_OPT_TLS_MAX_VERSION, Value::Number(version)));
        options
    };
    let (old, new) = ("ALL:@SECLEVEL=0", "TLS_AES_128_CCM_SHA256");
    let (both, incompatible) = (trusting(&authority), e::CHTTP_E_TLS_INCOMPATIBLE);
    let words: &[&str] = &["alert 70 (protocol_version)"];
    refused(&leaf, &["-tls1_1", "-cipher", old], &both, "127.0.0.1", incompatible, words);
    refused(&leaf, &["-tls1", "-cipher", old], &both, "127.0.0.1", incompatible, words);
    refused(&leaf, &["-tls1_2"], &only(13), "127.0.0.1", incompatible, words);
    refused(&leaf, &["-tls1_3"], &only(12), "127.0.0.1", incompatible, words);
    let words: &[&str] = &["alert 40 (handshake_failure)", "accepts none of what was offered"];
    refused(&leaf, &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-CCM"], &both, "127.0.0.1", e::CHTTP_E_TLS_ALERT, words);
    refused(&leaf, &["-tls1_3", "-ciphersuites", new], &both, "127.0.0.1", e::CHTTP_E_TLS_ALERT, words);
}

#[test]
fn servers_that_want_to_know_who_we_are() {
    let (authority, clients, strangers) =
        (Authority::new("CA"), Authority::new("Clients"), Authority::new("Strangers"));
    let leaf = authority.leaf(&["127.0.0.1"]);
    let (chain, key, known) = (pem(&leaf.chain), leaf.key.serialize_pem(), clients.certificate.pem());
    let shown = |leaf: &Leaf| {
        vec![
            (CHTTP_OPT_TLS_CERT_PEM, Value::Bytes(pem(&leaf.chain))),
            (CHTTP_OPT_TLS_KEY_PEM, Value::Bytes(leaf.key.serialize_pem().into_bytes())),
        ]
    };
    let start = |more: &[&str]| {
        let wants = ["-Verify", "1", "-verify_return_error", "-verifyCAfile", "clients.pem"];
        let files: [(&str, &[u8]); 1] = [("clients.pem", known.as_bytes())];
        Openssl::start("127.0.0.1", &chain, key.as_bytes(), &[&wants, more].concat(), &files)
    };
    for version in VERSIONS {
        for drive in DRIVES {
            let server = start(&[version, "-www"]);
            let options = [trusting(&authority), shown(&clients.leaf(&["me"]))].concat();
            let outcome = ask(drive, &options, server.url("/"), server.authority());
            assert_eq!(outcome.name(), "CHTTP_OK", "{}", outcome.message);

            // In TLS 1.3 the request may be on its way when the verdict comes; the server does not read it.
            let none = if version == "-tls1_3" { "alert 116 (certificate_required)" } else { "alert 40" };
            for (identity, words) in [(vec![], none), (shown(&strangers.leaf(&["me"])), "alert 48 (unknown_ca)")] {
                let server = start(&[version, "-naccept", "1"]);
                let options = [trusting(&authority), identity].concat();
                let at = server.authority().to_owned();
                let outcome = ask(drive, &options, server.url("/secret"), &at);
                assert_eq!(outcome.name(), "CHTTP_E_TLS_ALERT", "{}", outcome.message);
                assert!(
                    outcome.message.contains(words) && outcome.message.contains("certificate"),
                    "{}",
                    outcome.message
                );
                assert!(outcome.message.contains("\"127.0.0.1\"") && !outcome.headers && !outcome.retryable);
                let seen = server.ended();
                assert!(!seen.contains("secret"), "{seen}");
            }
        }
    }
}
