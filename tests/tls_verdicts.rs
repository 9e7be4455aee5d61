//! Certificates that are not to be trusted: each reason has its kind, its words and its alert, and nothing is said to such
//! a server.

mod tls_support;

use chttpcore::proto::tls::{Kind, Pin, Settings, Tls};
use rcgen::{
    CertificateRevocationListParams, CidrSubnet, ExtendedKeyUsagePurpose, GeneralSubtree, KeyIdMethod, NameConstraints,
    RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::{AlertDescription, ServerConfig};
use std::sync::Arc;
use tls_support::{Authority, BOTH, Leaf, Pair, VERSIONS, params, tls};

/// 2025-06-15 12:00:00 UTC.
const NOW: u64 = 1_749_988_800;

/// Refused under both versions, with this kind, these words and this alert.
fn refused(tls: &Arc<Tls>, host: &str, leaf: &Leaf, kind: Kind, words: &[&str], alert: AlertDescription) {
    for version in VERSIONS {
        let (error, pair) = Pair::refused(tls, host, &Arc::new(leaf.server(&[version])));
        println!("{error}");
        assert_eq!((error.kind, error.alert), (kind, None), "{error}");
        for word in words {
            assert!(error.message.contains(word), "no {word:?} in: {error}");
        }
        let told = pair.server_error.as_ref().expect("the server is told why");
        assert_eq!(told, &rustls::Error::AlertReceived(alert));
    }
}

fn accepted(tls: &Arc<Tls>, host: &str, server: ServerConfig) {
    Pair::secured(tls, host, &Arc::new(server));
}

#[test]
fn the_time() {
    let authority = Authority::new("Test CA");
    let mut params = params("leaf", &["a.example", "*.b.example"]);
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2025, 12, 31);
    let leaf = authority.issue(&params);
    let at = |time| tls(Settings { time: Some(time), ..authority.trusted() });
    accepted(&at(NOW), "a.example", leaf.server(BOTH));
    accepted(&at(NOW), "x.b.example", leaf.server(BOTH));
    let words = ["\"a.example\" has expired", "until 2025-12-31 00:00:00 UTC", "now it is 2026-06-15 12:00:00 UTC"];
    let alert = AlertDescription::CertificateExpired;
    refused(&at(NOW + 365 * 86_400), "a.example", &leaf, Kind::CertExpired, &words, alert);
    let words = ["is not valid yet", "from 2025-01-01 00:00:00 UTC on", "now it is 2024-06-15 12:00:00 UTC"];
    refused(&at(NOW - 365 * 86_400), "a.example", &leaf, Kind::CertNotYetValid, &words, alert);
}

#[test]
fn the_time_of_the_clock() {
    let authority = Authority::new("Test CA");
    let mut params = params("leaf", &["localhost"]);
    params.not_after = date_time_ymd(2020, 1, 1);
    let leaf = authority.issue(&params);
    let alert = AlertDescription::CertificateExpired;
    refused(&tls(authority.trusted()), "localhost", &leaf, Kind::CertExpired, &["has expired", "2020-01-01"], alert);
}

#[test]
fn an_authority_that_has_expired() {
    let authority = Authority::new("Test CA");
    let below = authority.below("Old CA", |p| p.not_after = date_time_ymd(2025, 1, 1));
    let tls = tls(Settings { time: Some(NOW), ..authority.trusted() });
    let words = ["stands below one that has expired", "2025-01-01 00:00:00 UTC", "\"CN=Old CA\""];
    let leaf = below.leaf(&["localhost"]);
    refused(&tls, "localhost", &leaf, Kind::CertExpired, &words, AlertDescription::CertificateExpired);
}

#[test]
fn the_name() {
    let authority = Authority::new("Test CA");
    let trusted = tls(authority.trusted());
    let bad = AlertDescription::BadCertificate;
    let leaf = authority.leaf(&["a.example", "*.b.example", "192.0.2.7"]);
    let names = "for \"a.example\", \"*.b.example\", \"192.0.2.7\"";
    for host in ["b.example", "x.y.b.example", "xa.example", "example", "a.example.com", "192.0.2.8", "2001:db8::1"] {
        refused(&trusted, host, &leaf, Kind::CertName, &[&format!("\"{host}\" is not for this name"), names], bad);
    }
    for host in ["a.example", "A.Example", "a.example.", "x.b.example", "192.0.2.7"] {
        accepted(&trusted, host, leaf.server(BOTH));
    }
    // The common name is no name of a server (RFC 9525 section 6.4.4).
    let nameless = authority.issue(&params("localhost", &[]));
    refused(&trusted, "localhost", &nameless, Kind::CertName, &["for no name at all", "no subjectAltName"], bad);
    // A name that looks like an address is none.
    let odd = authority.leaf(&["a.example"]);
    refused(&trusted, "192.0.2.7", &odd, Kind::CertName, &["\"192.0.2.7\""], bad);
}

#[test]
fn addresses() {
    let authority = Authority::new("Test CA");
    let trusted = tls(authority.trusted());
    let leaf = authority.leaf(&["192.0.2.7", "2001:db8::7", "fe80::7"]);
    for host in ["192.0.2.7", "2001:db8::7", "[2001:db8::7]", "2001:DB8:0::7", "fe80::7%eth0", "[fe80::7%25eth0]"] {
        let pair = Pair::secured(&trusted, host, &Arc::new(leaf.server(BOTH)));
        assert_eq!(pair.server.server_name(), None, "RFC 6066 section 3: no address is sent as a name");
    }
    let named = authority.leaf(&["localhost"]);
    let bad = AlertDescription::BadCertificate;
    for host in ["127.0.0.1", "::1", "[::1]"] {
        refused(&trusted, host, &named, Kind::CertName, &["is not for this name", "for \"localhost\""], bad);
    }
}

#[test]
fn no_name() {
    let trusted = tls(Authority::new("Test CA").trusted());
    for host in ["", ".", "a..b", "a b", "a/b", "-", "[::1", "ä.example", &"a".repeat(64), &"a.".repeat(200)] {
        let error = trusted
            .session(host, chttpcore::proto::tls::For::Http1)
            .err()
            .unwrap_or_else(|| panic!("{host:?} is a name"));
        assert_eq!(error.kind, Kind::CertName);
        assert!(error.message.contains("is no name that a certificate can be for"), "{error}");
    }
}

#[test]
fn another_name_than_the_urls() {
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["inner.example"]);
    let settings = Settings { server_name: Some("inner.example".to_owned()), ..authority.trusted() };
    let pair = Pair::secured(&tls(settings.clone()), "192.0.2.1", &Arc::new(leaf.server(BOTH)));
    assert_eq!(pair.server.server_name(), Some("inner.example"));
    let other = authority.leaf(&["192.0.2.1"]);
    let words = ["\"inner.example\" is not for this name"];
    refused(&tls(settings), "192.0.2.1", &other, Kind::CertName, &words, AlertDescription::BadCertificate);
}

#[test]
fn nobody_vouches() {
    let (authority, stranger) = (Authority::new("Test CA"), Authority::new("Strange CA"));
    let trusted = tls(authority.trusted());
    let unknown = AlertDescription::UnknownCA;
    let words = [
        "\"localhost\" is not trusted",
        "no authority in tls_ca_file /test.pem vouches for it",
        "issued by \"CN=Strange CA\"",
    ];
    refused(&trusted, "localhost", &stranger.leaf(&["localhost"]), Kind::CertUnknownCa, &words, unknown);
    let own = Leaf::self_signed(&params("self", &["localhost"]));
    let words = ["is not trusted", "issued by itself, \"CN=self\""];
    refused(&trusted, "localhost", &own, Kind::CertUnknownCa, &words, unknown);
    // A link of the chain is missing.
    let mut cut = authority.below("Middle CA", |_| ()).leaf(&["localhost"]);
    cut.chain.truncate(1);
    refused(&trusted, "localhost", &cut, Kind::CertUnknownCa, &["issued by \"CN=Middle CA\""], unknown);
}

#[test]
fn two_places_of_trust() {
    let (one, two) = (Authority::new("CA 1"), Authority::new("CA 2"));
    let both = tls(Settings { roots: [one.roots(), two.roots()].concat(), ..Settings::default() });
    accepted(&both, "localhost", one.leaf(&["localhost"]).server(BOTH));
    accepted(&both, "localhost", two.leaf(&["localhost"]).server(BOTH));
    let stranger = Authority::new("CA 3").leaf(&["localhost"]);
    let words = ["in tls_ca_file /test.pem and tls_ca_file /test.pem"];
    refused(&both, "localhost", &stranger, Kind::CertUnknownCa, &words, AlertDescription::UnknownCA);
}

#[test]
fn an_authority_of_the_same_name() {
    let authority = Authority::new("Test CA");
    let leaf = Authority::new("Test CA").leaf(&["localhost"]);
    let words = ["is not trusted", "in tls_ca_file /test.pem, has not signed it"];
    let trusted = tls(authority.trusted());
    refused(&trusted, "localhost", &leaf, Kind::CertUnknownCa, &words, AlertDescription::UnknownCA);
}

#[test]
fn rules_of_the_chain() {
    let authority = Authority::new("Test CA");
    let trusted = tls(authority.trusted());
    let invalid = Kind::CertInvalid;
    let bad = AlertDescription::BadCertificate;

    let only = |subtree| NameConstraints { permitted_subtrees: vec![subtree], excluded_subtrees: Vec::new() };
    let below = authority.below("Bound CA", |p| {
        p.name_constraints = Some(only(GeneralSubtree::DnsName("b.example".to_owned())));
    });
    accepted(&trusted, "a.b.example", below.leaf(&["a.b.example"]).server(BOTH));
    let words = ["\"localhost\" breaks a rule", "name constraints"];
    refused(&trusted, "localhost", &below.leaf(&["localhost"]), invalid, &words, bad);
    let below = authority.below("Bound CA", |p| {
        p.name_constraints = Some(only(GeneralSubtree::IpAddress(CidrSubnet::V4([10, 0, 0, 0], [255, 0, 0, 0]))));
    });
    accepted(&trusted, "10.1.2.3", below.leaf(&["10.1.2.3"]).server(BOTH));
    refused(&trusted, "192.0.2.7", &below.leaf(&["192.0.2.7"]), invalid, &["name constraints"], bad);

    // An authority that may have none below it.
    let below = authority.below("Last CA", |p| p.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0)));
    accepted(&trusted, "localhost", below.leaf(&["localhost"]).server(BOTH));
    let deeper = below.below("Too deep CA", |_| ());
    refused(&trusted, "localhost", &deeper.leaf(&["localhost"]), invalid, &["path length"], bad);

    // Somebody's certificate as an authority.
    let below = authority.below("No CA", |p| p.is_ca = rcgen::IsCa::ExplicitNoCa);
    refused(&trusted, "localhost", &below.leaf(&["localhost"]), invalid, &["no authority's"], bad);

    // An authority as a server, which self-signed certificates often are.
    let mut ca = params("localhost", &["localhost"]);
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    refused(&trusted, "localhost", &authority.issue(&ca), invalid, &["an authority's own"], bad);

    let mut mail = params("mail", &["localhost"]);
    mail.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
    let alert = AlertDescription::UnsupportedCertificate;
    refused(&trusted, "localhost", &authority.issue(&mail), invalid, &["it is not for servers"], alert);
}

#[test]
fn long_chains() {
    let authority = Authority::new("Test CA");
    let trusted = tls(authority.trusted());
    let mut below = authority.below("CA 0", |_| ());
    for i in 1..5 {
        below = below.below(&format!("CA {i}"), |_| ());
    }
    accepted(&trusted, "localhost", below.leaf(&["localhost"]).server(BOTH));
    for i in 5..12 {
        below = below.below(&format!("CA {i}"), |_| ());
    }
    let leaf = below.leaf(&["localhost"]);
    let (error, _) = Pair::refused(&trusted, "localhost", &Arc::new(leaf.server(BOTH)));
    assert!(matches!(error.kind, Kind::CertInvalid | Kind::CertUnknownCa), "{error}");
}

/// A certificate message beyond every measure.
#[test]
fn huge_chains() {
    let authority = Authority::new("Test CA");
    let trusted = tls(authority.trusted());
    let mut leaf = authority.leaf(&["localhost"]);
    let first = leaf.chain[0].clone();
    leaf.chain.resize(100, first.clone());
    accepted(&trusted, "localhost", leaf.server(BOTH));
    leaf.chain.resize((63 << 10) / (first.len() + 5), first.clone());
    accepted(&trusted, "localhost", leaf.server(BOTH));
    leaf.chain.resize((64 << 10) / first.len() + 1, first);
    for version in VERSIONS {
        let (error, pair) = Pair::refused(&trusted, "localhost", &Arc::new(leaf.server(&[version])));
        assert_eq!(error.kind, Kind::Protocol, "{error}");
        assert!(error.message.contains("\"localhost\" broke the rules of TLS"), "{error}");
        assert!(pair.client.input.len() < 80 << 10, "{} bytes wait for more", pair.client.input.len());
    }
}

fn pin(leaf: &rcgen::KeyPair) -> Pin {
    use rcgen::PublicKeyData as _;
    let spki = leaf.subject_public_key_info();
    let hash = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().unwrap().common.hash_provider;
    Pin(hash.hash(&spki).as_ref().try_into().unwrap())
}

#[test]
fn pins() {
    let authority = Authority::new("Test CA");
    let middle = authority.below("Middle CA", |_| ());
    let leaf = middle.leaf(&["localhost"]);
    let with = |pins: &[Pin]| tls(Settings { pins: pins.to_vec(), ..authority.trusted() });
    let other = Pin([7; 32]);
    // The leaf, one between, and the root, which the server does not send.
    for pin in [pin(&leaf.key), pin(middle.issuer.key()), pin(authority.issuer.key())] {
        accepted(&with(&[other, pin]), "localhost", leaf.server(BOTH));
    }
    let denied = AlertDescription::AccessDenied;
    let words = ["\"localhost\" has none of the pinned keys", "for \"localhost\""];
    refused(&with(&[other]), "localhost", &leaf, Kind::Pin, &words, denied);
    // What is sent along and is no part of the verified chain does not count.
    let stranger = Authority::new("Strange CA");
    let mut stuffed = middle.leaf(&["localhost"]);
    stuffed.chain.push(stranger.certificate.der().clone());
    refused(&with(&[pin(stranger.issuer.key())]), "localhost", &stuffed, Kind::Pin, &words, denied);
    // A pin makes no certificate good.
    let own = stranger.leaf(&["localhost"]);
    let unknown = AlertDescription::UnknownCA;
    refused(&with(&[pin(&own.key)]), "localhost", &own, Kind::CertUnknownCa, &["is not trusted"], unknown);
    let named = authority.leaf(&["a.example"]);
    let bad = AlertDescription::BadCertificate;
    refused(&with(&[pin(&named.key)]), "localhost", &named, Kind::CertName, &["not for this name"], bad);
}

#[test]
fn without_verification() {
    let stranger = Authority::new("Strange CA");
    let leaf = stranger.leaf(&["a.example"]);
    let insecure = |pins: &[Pin]| tls(Settings { insecure: true, pins: pins.to_vec(), ..Settings::default() });
    accepted(&insecure(&[]), "localhost", leaf.server(BOTH));
    accepted(&insecure(&[pin(&leaf.key)]), "localhost", leaf.server(BOTH));
    // Nobody verified that the authority's key has to do with it.
    let mut stuffed = stranger.leaf(&["localhost"]);
    stuffed.chain.push(stranger.certificate.der().clone());
    let tls = insecure(&[pin(stranger.issuer.key())]);
    let words = ["has none of the pinned keys"];
    refused(&tls, "localhost", &stuffed, Kind::Pin, &words, AlertDescription::AccessDenied);
}

fn crl(authority: &Authority, revoked: &[u64], until: rcgen::CertificateRevocationListParams) -> Vec<u8> {
    let revoked = revoked.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2025, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams { revoked_certs: revoked.collect(), ..until };
    params.signed_by(&authority.issuer).unwrap().der().to_vec()
}

fn until(year: i32) -> CertificateRevocationListParams {
    CertificateRevocationListParams {
        this_update: date_time_ymd(2025, 1, 1),
        next_update: date_time_ymd(year, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    }
}

#[test]
fn revocation() {
    let authority = Authority::new("Test CA");
    let middle = authority.below("Middle CA", |p| p.serial_number = Some(SerialNumber::from(5)));
    let leaf = middle.leaf(&["localhost"]);
    let with = |crls: &[&[u8]]| {
        let crls = crls.iter().map(|crl| crl.to_vec()).collect();
        tls(Settings { crls, time: Some(NOW), ..authority.trusted() })
    };
    let (root, below) = (crl(&authority, &[1], until(2026)), crl(&middle, &[1], until(2026)));
    accepted(&with(&[&root, &below]), "localhost", leaf.server(BOTH));
    let pem = |crl: &[u8]| {
        let text = String::from_utf8(tls_support::pem(&[crl.to_vec().into()])).unwrap();
        text.replace("CERTIFICATE", "X509 CRL").into_bytes()
    };
    accepted(&with(&[&[pem(&root), pem(&below)].concat()]), "localhost", leaf.server(BOTH));

    let kind = Kind::CertRevoked;
    let alert = AlertDescription::CertificateRevoked;
    let words = ["\"localhost\" was revoked, or one above it was", "for \"localhost\""];
    // The leaf's serial number is 77, the authority's below the root 5.
    refused(&with(&[&root, &crl(&middle, &[77], until(2026))]), "localhost", &leaf, kind, &words, alert);
    refused(&with(&[&crl(&authority, &[5], until(2026)), &below]), "localhost", &leaf, kind, &words, alert);
    let unknown = AlertDescription::UnknownCA;
    let words = ["may be revoked", "no revocation list (CRL) of its issuer"];
    refused(&with(&[&root]), "localhost", &leaf, kind, &words, unknown);
    refused(&with(&[&below]), "localhost", &leaf, kind, &words, unknown);
    let old = CertificateRevocationListParams { this_update: date_time_ymd(2024, 1, 1), ..until(2025) };
    let words = ["may be revoked", "was good until 2025-01-01 00:00:00 UTC"];
    refused(&with(&[&root, &crl(&middle, &[], old)]), "localhost", &leaf, kind, &words, unknown);
}
