//! What is no TLS, or breaks its rules: an error of its own for each, at once, and whatever the cuts.

mod tls_support;

use chttpcore::proto::Out;
use chttpcore::proto::tls::{Error, Kind, PARTIAL_MAX, Settings, Tls, Version};
use rustls::version::{TLS12, TLS13};
use std::sync::Arc;
use tls_support::{Authority, BOTH, Client, Pair, VERSIONS, WHOLE, tls};

fn trusted() -> Arc<Tls> {
    tls(Authority::new("Test CA").trusted())
}

/// The verdict on bytes that answer the ClientHello, in pieces of every size that makes a difference.
fn answered(tls: &Arc<Tls>, bytes: &[u8]) -> Error {
    let verdict = |cut: usize| {
        let mut client = Client::new(tls, "localhost");
        client.say(b"secret");
        client.hear(&[]).unwrap();
        let error = bytes.chunks(cut).find_map(|piece| client.hear(piece).err());
        assert!(!client.session.is_ready() && client.plain.is_empty());
        assert!(!client.sends.windows(6).any(|w| w == b"secret"));
        error.unwrap_or_else(|| client.session.cut())
    };
    let whole = verdict(WHOLE);
    for cut in 1..bytes.len().min(20) {
        let piecemeal = verdict(cut);
        assert_eq!((piecemeal.kind, piecemeal.alert), (whole.kind, whole.alert), "in pieces of {cut}: {piecemeal}");
    }
    println!("{whole}");
    whole
}

#[test]
fn plain_http() {
    for text in ["HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n<html>"] {
        let error = answered(&trusted(), text.as_bytes());
        assert_eq!(error.kind, Kind::Protocol);
        assert!(error.message.contains("what \"localhost\" answered is no TLS"), "{error}");
        assert!(error.message.contains("looks like plain HTTP"), "{error}");
    }
}

#[test]
fn other_texts_and_garbage() {
    let error = answered(&trusted(), b"SSH-2.0-OpenSSH_9.6\r\n");
    assert!(
        error.kind == Kind::Protocol && error.message.contains("begins with the text \"SSH-2.0-OpenSSH_\""),
        "{error}"
    );
    let error = answered(&trusted(), b"\x00\x01\x02\x03\x04\x05\x06\x07");
    assert!(error.kind == Kind::Protocol && error.message.contains("begins with 0001020304050607"), "{error}");
    // A record of TLS with garbage inside, one that is too long, one of a version that never was.
    for bytes in [
        &b"\x16\x03\x03\x00\x04\xff\xff\xff\xff"[..],
        b"\x16\x03\x03\x00\x06\x02\x00\x00\x02\x00\x00",
        b"\x16\x03\x03\xff\xff\x02",
        b"\x17\x03\x03\x00\x01x",
        b"\x16\x03\x03\x00\x00",
        b"\x14\x03\x03\x00\x02\x01\x01",
        b"\x15\x03\x03\x00\x03\x02\x28\x00",
        b"\x80\x2e\x01\x00\x02",
    ] {
        let error = answered(&trusted(), bytes);
        assert_eq!(error.kind, Kind::Protocol, "{}: {error}", bytes.escape_ascii());
        assert!(error.message.contains("\"localhost\""), "{error}");
    }
}

#[test]
fn every_byte_that_can_stand_first() {
    let tls = trusted();
    for first in 0..=255u8 {
        let error = answered(&tls, &[first, 3, 3, 0, 2, 2, 40]);
        let wanted = if first == 21 { Kind::Alert } else { Kind::Protocol };
        // A handshake message may still go on.
        let wanted = if first == 22 { Kind::Closed } else { wanted };
        assert_eq!(error.kind, wanted, "{first}: {error}");
    }
}

#[test]
fn alerts() {
    let tls = trusted();
    for number in 0..=255u8 {
        let error = answered(&tls, &[21, 3, 3, 0, 2, 2, number]);
        let kind = match number {
            0 => Kind::Closed,
            70 | 71 => Kind::Incompatible,
            120 => Kind::Alpn,
            _ => Kind::Alert,
        };
        assert_eq!(error.kind, kind, "{error}");
        if number != 0 {
            assert_eq!(error.alert, Some(number));
            assert!(
                error.message.contains(&format!(
                    "\"localhost\" ended TLS at the start of the TLS handshake with alert {number} ("
                ))
            );
        }
    }
    let error = answered(&tls, &[21, 3, 3, 0, 2, 2, 40]);
    assert!(error.message.contains("alert 40 (handshake_failure)"), "{error}");
}

/// An alert instead of each of the server's records.
#[test]
fn alerts_at_each_step() {
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["localhost"]);
    let tls = tls(authority.trusted());
    let server = Arc::new(leaf.server(&[&TLS12]));
    for step in 0.. {
        let mut pair = Pair::new(&tls, "localhost", &server);
        pair.client.hear(&[]).unwrap();
        pair.deliver();
        let flight = pair.answer();
        let ends = records(&flight);
        let Some(end) = ends.get(step) else { break };
        pair.client.hear(&flight[..*end]).unwrap();
        let error = pair.client.hear(&[21, 3, 3, 0, 2, 2, 80]).unwrap_err();
        assert_eq!((error.kind, error.alert), (Kind::Alert, Some(80)), "{error}");
        let place = if step == 0 { "at the start of the TLS handshake" } else { "in the TLS handshake" };
        let words = format!("\"localhost\" ended TLS {place} with alert 80 (internal_error)");
        assert!(error.message.contains(&words), "{error}");
    }
}

/// A ServerHello of 64 KiB, one byte to a record.
#[test]
fn a_message_in_tiny_records() {
    let tls = trusted();
    let mut client = Client::new(&tls, "localhost");
    client.hear(&[]).unwrap();
    let mut message = vec![2, 0, 0xff, 0xff];
    message.resize(64 << 10, 7);
    let records: Vec<u8> = message.iter().flat_map(|b| [0x16, 3, 3, 0, 1, *b]).collect();
    let error = records.chunks(4096).find_map(|piece| client.hear(piece).err()).unwrap();
    assert_eq!(error.kind, Kind::Protocol);
    assert!(error.message.contains("\"localhost\" cut a handshake message into too many records"), "{error}");
    assert!(client.input.len() <= PARTIAL_MAX + 4096);
}

/// Where each record ends; the beginning of the first is one of them.
fn records(bytes: &[u8]) -> Vec<usize> {
    let mut ends = vec![0];
    while let Some(head) = bytes.get(ends[ends.len() - 1]..).and_then(|rest| rest.get(..5)) {
        let len = usize::from(u16::from_be_bytes([head[3], head[4]]));
        ends.push(ends[ends.len() - 1] + 5 + len);
    }
    ends
}

/// The peer goes away after each byte of its flight.
#[test]
fn closed_at_each_step() {
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["localhost"]);
    let tls = tls(authority.trusted());
    assert!(answered(&tls, b"").message.contains("\"localhost\" closed the connection at the start"));
    for version in VERSIONS {
        let server = Arc::new(leaf.server(&[version]));
        let mut at = 0;
        loop {
            let mut pair = Pair::new(&tls, "localhost", &server);
            pair.client.hear(&[]).unwrap();
            pair.deliver();
            let flight = pair.answer();
            if at >= flight.len() {
                break;
            }
            pair.client.hear(&flight[..at]).unwrap();
            assert!(!pair.client.session.is_ready());
            let error = pair.client.session.cut();
            assert_eq!(error.kind, Kind::Closed);
            assert!(error.message.contains("\"localhost\" closed the connection"), "{error}");
            at += 13;
        }
    }
}

#[test]
fn a_bit_that_changed_on_the_way() {
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["localhost"]);
    let tls = tls(Settings { sessions: 0, ..authority.trusted() });
    for version in VERSIONS {
        let server = Arc::new(leaf.server(&[version]));
        let mut at = 0;
        loop {
            let mut pair = Pair::new(&tls, "localhost", &server);
            pair.client.say(b"secret");
            pair.client.hear(&[]).unwrap();
            pair.deliver();
            let mut flight = pair.answer();
            let Some(byte) = flight.get_mut(at) else { break };
            *byte ^= 0x10;
            let verdict = pair.client.hear(&flight).and_then(|()| pair.run(WHOLE));
            let ready = pair.client.session.is_ready();
            assert!(verdict.is_err() || !ready, "byte {at} of the flight of {version:?} is not looked at");
            assert_eq!(pair.heard, b"");
            at += 7;
        }
        // Data on an established connection.
        let mut pair = Pair::secured(&tls, "localhost", &server);
        pair.server_says(b"good");
        let mut records = pair.answer();
        pair.server_says(b"bad");
        records.extend(pair.answer());
        *records.last_mut().unwrap() ^= 1;
        // What came before it counts, in however many pieces; then the alert goes out.
        let error = pair.client.hear(&records).unwrap_err();
        assert_eq!((error.kind, &pair.client.plain[..]), (Kind::Protocol, &b"good"[..]), "{error}");
        assert!(
            error.message.contains("\"localhost\" broke the rules of TLS on an established TLS connection"),
            "{error}"
        );
        pair.deliver();
        let told = pair.server_error.unwrap();
        assert_eq!(told, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
        // It stays an error, and nothing is sent any more.
        pair.client.say(b"more");
        assert!(pair.client.sends.is_empty() && pair.client.says.is_empty());
        assert_eq!(pair.client.hear(b"x").unwrap_err(), error);
    }
}

#[test]
fn nothing_in_common() {
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["localhost"]);
    let with = |min, max| tls(Settings { min, max, ..authority.trusted() });
    let verdict = |tls: &Arc<Tls>, server| {
        let mut pair = Pair::new(tls, "localhost", &Arc::new(server));
        pair.run(WHOLE).unwrap_err()
    };
    let error = verdict(&with(Version::Tls13, Version::Tls13), leaf.server(&[&TLS12]));
    assert_eq!((error.kind, error.alert), (Kind::Incompatible, Some(70)), "{error}");
    assert!(error.message.contains("alert 70 (protocol_version): it speaks none of the TLS versions"), "{error}");
    let error = verdict(&with(Version::Tls12, Version::Tls12), leaf.server(&[&TLS13]));
    assert_eq!((error.kind, error.alert), (Kind::Incompatible, Some(70)), "{error}");

    // A server of TLS 1.1, which chooses it whatever was offered.
    let mut hello = vec![0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0xc0, 0x13, 0]);
    let error = answered(&with(Version::Tls12, Version::Tls13), &hello);
    assert_eq!((error.kind, error.alert), (Kind::Incompatible, None), "{error}");
    assert!(error.message.contains("\"localhost\" and the TLS settings have nothing in common"), "{error}");

    let mut server = leaf.server(BOTH);
    server.alpn_protocols = vec![b"h2".to_vec()];
    let error = verdict(&tls(authority.trusted()), server);
    assert_eq!((error.kind, error.alert), (Kind::Alpn, Some(120)), "{error}");
    assert!(error.message.contains("\"localhost\"") && error.message.contains("(ALPN)"), "{error}");
}

#[test]
fn an_end_without_close_notify() {
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["localhost"]);
    let tls = tls(authority.trusted());
    for version in VERSIONS {
        let mut pair = Pair::secured(&tls, "localhost", &Arc::new(leaf.server(&[version])));
        pair.server_says(b"all there is");
        pair.run(WHOLE).unwrap();
        assert!(!pair.client.session.heard_close());
        pair.server.send_close_notify();
        let bye = pair.answer();
        for piece in bye.chunks(1) {
            assert!(!pair.client.session.heard_close());
            pair.client.hear(piece).unwrap();
        }
        assert!(pair.client.session.heard_close());
        // RFC 8446 section 6.1: what comes after it is ignored, and our side may go on.
        pair.client.hear(b"anything").unwrap();
        assert!(pair.client.input.is_empty());
        assert_eq!(pair.client.plain, b"all there is");
        pair.client.say(b"still");
        pair.client.close();
        pair.deliver();
        assert_eq!(pair.heard, b"still");
        assert!(pair.client.finished);
    }
}

/// Writing does not depend on how the text comes, and stays whole.
#[test]
fn what_is_said_arrives() {
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["localhost"]);
    let tls = tls(authority.trusted());
    for version in VERSIONS {
        let mut pair = Pair::secured(&tls, "localhost", &Arc::new(leaf.server(&[version])));
        let text: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        let mut at = 0;
        for len in [0, 1, 100, 4095, 4096, 4097, 16_384, 16_385, 100_000] {
            let mut says = Out::new();
            says.put(&text[at..at + len / 2]);
            says.put_owned(bytes::Bytes::copy_from_slice(&text[at + len / 2..at + len]));
            let mut out = Out::new();
            pair.client.session.seal(&mut [], &mut says, &mut out).unwrap();
            assert!(says.is_empty());
            for segment in out.segments() {
                pair.client.sends.extend_from_slice(segment);
            }
            at += len;
            pair.deliver();
            assert!(pair.server_error.is_none());
        }
        assert_eq!(pair.heard, text[..at]);
    }
}
