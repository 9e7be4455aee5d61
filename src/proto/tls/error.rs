//! Why TLS failed: one kind for each error code of the C interface, the alert, and the whole story in words.

use rustls::{AlertDescription, Error as Rustls, InvalidMessage, PeerMisbehaved};
use std::fmt;

/// What went wrong. `client::failure` gives each its `CHTTP_E_TLS_*`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// A reason that has no kind of its own.
    Handshake,
    /// The peer ended TLS with an alert.
    Alert,
    /// What came is no TLS, or breaks its rules.
    Protocol,
    /// No version, cipher suite or group in common.
    Incompatible,
    CertExpired,
    CertNotYetValid,
    /// The certificate is for other names.
    CertName,
    /// Nobody who is trusted vouches for the certificate.
    CertUnknownCa,
    /// The certificate was revoked, or nobody can tell.
    CertRevoked,
    /// The certificate or its chain breaks another rule.
    CertInvalid,
    /// No key of the chain is a pinned one.
    Pin,
    /// No application protocol in common.
    Alpn,
    /// The peer closed during the handshake.
    Closed,
}

/// A failure of TLS. Its words say which check failed and for which name; no secret is among them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    pub kind: Kind,
    /// The alert that the peer sent.
    pub alert: Option<u8>,
    pub message: String,
}

impl Error {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error { kind, alert: None, message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// How far a connection had come, for the words of an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// The peer has not answered with a ServerHello.
    Hello,
    Handshake,
    Ready,
}

impl Stage {
    pub(super) fn text(self) -> &'static str {
        match self {
            Stage::Hello => "at the start of the TLS handshake",
            Stage::Handshake => "in the TLS handshake",
            Stage::Ready => "on an established TLS connection",
        }
    }
}

/// An error of rustls that is not about the certificate chain. `input` is what it was found in.
pub(super) fn explain(error: &Rustls, host: &str, stage: Stage, input: &[u8]) -> Error {
    let place = stage.text();
    match error {
        Rustls::AlertReceived(alert) => alerted(*alert, host, stage),
        Rustls::PeerIncompatible(what) => {
            let message =
                format!("\"{host}\" and the TLS settings have nothing in common: {}", spaced(&format!("{what:?}")));
            Error::new(Kind::Incompatible, message)
        }
        Rustls::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol)
        | Rustls::NoApplicationProtocol => {
            Error::new(Kind::Alpn, format!("\"{host}\" chose an application protocol that was not offered (ALPN)"))
        }
        Rustls::NoCertificatesPresented => {
            Error::new(Kind::CertInvalid, format!("\"{host}\" presented no certificate"))
        }
        Rustls::InvalidCertificate(what) => {
            // The chain is judged by our own verifier; this is the signature of the handshake.
            Error::new(Kind::CertInvalid, format!("\"{host}\" did not prove that the certificate is its own: {what}"))
        }
        Rustls::InvalidMessage(what) if stage == Stage::Hello && !matches!(input, [20..=23, 3, ..]) => {
            Error::new(Kind::Protocol, format!("what \"{host}\" answered is no TLS: {}", no_tls(input, what)))
        }
        Rustls::InvalidMessage(_)
        | Rustls::PeerMisbehaved(_)
        | Rustls::InappropriateMessage { .. }
        | Rustls::InappropriateHandshakeMessage { .. }
        | Rustls::DecryptError
        | Rustls::PeerSentOversizedRecord => {
            Error::new(Kind::Protocol, format!("\"{host}\" broke the rules of TLS {place}: {}", words(error)))
        }
        _ => Error::new(Kind::Handshake, format!("TLS with \"{host}\" failed {place}: {}", words(error))),
    }
}

/// The peer is gone.
pub(super) fn closed(host: &str, stage: Stage) -> Error {
    let message = match stage {
        Stage::Hello => format!("\"{host}\" closed the connection {} without an answer", stage.text()),
        _ => format!("\"{host}\" closed the connection {}", stage.text()),
    };
    Error::new(Kind::Closed, message)
}

fn alerted(alert: AlertDescription, host: &str, stage: Stage) -> Error {
    let number = u8::from(alert);
    // RFC 8446 section 6.2: what these can mean is one thing alone. handshake_failure(40) can mean many.
    let kind = match number {
        0 if stage != Stage::Ready => return closed(host, stage),
        70 | 71 => Kind::Incompatible,
        120 => Kind::Alpn,
        _ => Kind::Alert,
    };
    let hint = match number {
        40 => ": it accepts none of what was offered, or wants a client certificate",
        42..=46 | 48 if stage != Stage::Hello => ": it does not accept the client certificate",
        70 => ": it speaks none of the TLS versions that the settings allow",
        71 => ": the cipher suites that it wants are not offered",
        112 => ": it does not know that name",
        116 => ": it wants a client certificate",
        120 => ": it speaks none of the application protocols that were offered (ALPN)",
        _ => "",
    };
    let name = alert_name(number);
    let message = format!("\"{host}\" ended TLS {} with alert {number} ({name}){hint}", stage.text());
    Error { kind, alert: Some(number), message }
}

/// Names of RFC 8446 section 6, and of RFC 5246 section 7.2 for those that TLS 1.3 no longer has.
fn alert_name(number: u8) -> &'static str {
    match number {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        60 => "export_restriction",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        111 => "certificate_unobtainable",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        114 => "bad_certificate_hash_value",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        121 => "ech_required",
        _ => "unknown",
    }
}

/// What the first bytes look like, where no TLS record begins.
fn no_tls(input: &[u8], what: &InvalidMessage) -> String {
    const SHOWN: usize = 16;
    let start = &input[..input.len().min(SHOWN)];
    if start.starts_with(b"HTTP/") {
        return "it looks like plain HTTP; is the port one for https?".to_owned();
    }
    if !start.is_empty() && start.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) {
        return format!("it begins with the text \"{}\"", start.escape_ascii());
    }
    format!("{} (it begins with {})", words(&Rustls::InvalidMessage(*what)), hex(start))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        text += &format!("{byte:02x}");
    }
    text
}

/// rustls names most causes by an identifier alone, which reads better as words.
fn words(error: &Rustls) -> String {
    match error {
        Rustls::InvalidMessage(what) => spaced(&format!("{what:?}")),
        Rustls::PeerMisbehaved(what) => spaced(&format!("{what:?}")),
        other => other.to_string(),
    }
}

/// `NoCipherSuitesInCommon` as "no cipher suites in common". What is no bare identifier stays as it is.
fn spaced(name: &str) -> String {
    if !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return name.to_owned();
    }
    let mut text = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_become_words() {
        assert_eq!(spaced("NoCipherSuitesInCommon"), "no cipher suites in common");
        assert_eq!(spaced("MissingData(\"x\")"), "MissingData(\"x\")");
    }

    #[test]
    fn every_alert_that_rustls_can_name_has_a_name_here() {
        let unnamed = (0..=255u8).filter(|n| alert_name(*n) == "unknown");
        assert!(unnamed.map(AlertDescription::from).all(|a| matches!(a, AlertDescription::Unknown(_))));
    }
}
