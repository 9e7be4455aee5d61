//! What was agreed on in a handshake, in eight bytes: every answer carries it.

use rustls::{CipherSuite, HandshakeKind, NamedGroup, ProtocolVersion};
use std::ffi::CStr;
use std::fmt;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Agreed {
    /// 12 or 13.
    pub version: u8,
    /// An earlier session went on.
    pub resumed: bool,
    alpn: Alpn,
    /// Numbers of the IANA registries; 0 for no group.
    suite: u16,
    group: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Alpn {
    None,
    Http11,
    H2,
    Other,
}

/// A name of a registry as C has it.
macro_rules! name {
    ($number:expr, $kind:ident, $($known:ident => $text:literal),+ $(,)?) => {
        match $kind::from($number) {
            $($kind::$known => $text,)+
            _ => c"",
        }
    };
}

impl Agreed {
    /// `None` before the handshake is done.
    pub(super) fn of(conn: &rustls::client::UnbufferedClientConnection) -> Option<Agreed> {
        Some(Agreed {
            version: match conn.protocol_version()? {
                ProtocolVersion::TLSv1_3 => 13,
                _ => 12,
            },
            resumed: conn.handshake_kind()? == HandshakeKind::Resumed,
            alpn: match conn.alpn_protocol() {
                None => Alpn::None,
                Some(b"http/1.1") => Alpn::Http11,
                Some(b"h2") => Alpn::H2,
                Some(_) => Alpn::Other,
            },
            suite: u16::from(conn.negotiated_cipher_suite()?.suite()),
            group: conn.negotiated_key_exchange_group().map_or(0, |group| u16::from(group.name())),
        })
    }

    pub fn cipher_suite(&self) -> &'static CStr {
        name!(self.suite, CipherSuite,
            TLS13_AES_128_GCM_SHA256 => c"TLS_AES_128_GCM_SHA256",
            TLS13_AES_256_GCM_SHA384 => c"TLS_AES_256_GCM_SHA384",
            TLS13_CHACHA20_POLY1305_SHA256 => c"TLS_CHACHA20_POLY1305_SHA256",
            TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => c"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => c"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => c"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => c"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => c"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => c"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        )
    }

    pub fn group(&self) -> &'static CStr {
        name!(self.group, NamedGroup,
            X25519MLKEM768 => c"X25519MLKEM768",
            secp256r1MLKEM768 => c"SecP256r1MLKEM768",
            MLKEM768 => c"MLKEM768",
            X25519 => c"x25519",
            secp256r1 => c"secp256r1",
            secp384r1 => c"secp384r1",
            secp521r1 => c"secp521r1",
        )
    }

    /// The peer chose HTTP/2.
    pub fn is_h2(&self) -> bool {
        self.alpn == Alpn::H2
    }

    /// Empty if the peer chose no application protocol.
    pub fn alpn(&self) -> &'static CStr {
        match self.alpn {
            Alpn::None => c"",
            Alpn::Http11 => c"http/1.1",
            Alpn::H2 => c"h2",
            Alpn::Other => c"other",
        }
    }
}

/// For the log, behind a sentence.
impl fmt::Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suite = self.cipher_suite().to_string_lossy();
        let resumed = if self.resumed { ", resumed" } else { "" };
        write!(f, ", TLSv1.{}, {suite}{resumed}", self.version % 10)
    }
}
