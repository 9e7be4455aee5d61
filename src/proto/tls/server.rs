//! The other end: TLS of a scripted peer, bytes in, bytes out. Sessions do not go on.

use super::authority::{Authority, Subject, Validity};
use super::session::suite_name;
use super::{HTTP_1_1, Version, provider};
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, ServerConfig, ServerConnection};
use std::io::{Read, Write};
use std::net::IpAddr;
use std::sync::Arc;

/// How a peer answers a handshake.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Who vouches for it.
    pub authority: Arc<Authority>,
    /// Whom its certificate is for; `None` for whomever the client asks for.
    pub name: Option<String>,
    pub validity: Validity,
    /// The only one that it speaks; `None` for both.
    pub version: Option<Version>,
    /// The only one that it takes.
    cipher: Option<rustls::CipherSuite>,
    /// The only one that it knows; empty for a peer without ALPN.
    pub alpn: Vec<u8>,
    /// Say this instead of anything else.
    pub alert: Option<u8>,
}

impl Manner {
    pub fn new(authority: Arc<Authority>) -> Manner {
        Manner {
            authority,
            name: None,
            validity: Validity::Good,
            version: None,
            cipher: None,
            alpn: HTTP_1_1.to_vec(),
            alert: None,
        }
    }

    /// Take no cipher suite but this, by its name in the registry. False: there is none of that name for it.
    #[must_use]
    pub fn only(&mut self, cipher: &str) -> bool {
        let version = self.version;
        let fits = |suite: &&rustls::SupportedCipherSuite| {
            let tls13 = suite.tls13().is_some();
            // A key of Ed25519 signs for the suites with ECDSA (RFC 8422 section 2.1).
            let usable = tls13 || suite_name(suite.suite()).contains("_ECDSA_");
            usable && version.is_none_or(|v| (v == Version::Tls13) == tls13) && suite_name(suite.suite()) == cipher
        };
        self.cipher = provider::plain().cipher_suites.iter().find(fits).map(|suite| suite.suite());
        self.cipher.is_some()
    }

    fn config(&self, address: Option<IpAddr>) -> Result<ServerConfig, Error> {
        let mut provider: CryptoProvider = provider::plain();
        provider.cipher_suites.retain(|suite| self.cipher.is_none_or(|only| suite.suite() == only));
        let (min, max) = match self.version {
            Some(only) => (only, only),
            None => (Version::Tls12, Version::Tls13),
        };
        let versions: Vec<_> = super::versions(min, max)
            .map_err(|invalid| Error::General(invalid.why))?
            .iter()
            .copied()
            .filter(|v| provider.cipher_suites.iter().any(|suite| suite.version() == *v))
            .collect();
        let issuer = Issuer { manner: self.clone(), address };
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(issuer));
        if !self.alpn.is_empty() {
            config.alpn_protocols = vec![self.alpn.clone()];
        }
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

/// Makes a certificate when it is known for whom.
#[derive(Debug)]
struct Issuer {
    manner: Manner,
    /// Where the client has connected to: an address is not asked for by name (RFC 6066 section 3).
    address: Option<IpAddr>,
}

impl ResolvesServerCert for Issuer {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = self.manner.name.as_deref().or_else(|| hello.server_name());
        let subject = match (name.map(|name| (name, name.parse())), self.address) {
            (Some((_, Ok(address))), _) | (None, Some(address)) => Subject::Address(address),
            (Some((name, Err(_))), _) => Subject::Name(name.to_owned()),
            (None, None) => Subject::Name("localhost".to_owned()),
        };
        self.manner.authority.issue(&subject, self.manner.validity).ok().map(Arc::new)
    }
}

/// The peer's end of one connection.
#[derive(Debug)]
pub struct Server {
    conn: ServerConnection,
    alert: Option<u8>,
    over: bool,
}

impl Server {
    pub fn new(manner: &Manner, address: Option<IpAddr>) -> Result<Server, Error> {
        let conn = ServerConnection::new(Arc::new(manner.config(address)?))?;
        Ok(Server { conn, alert: manner.alert, over: false })
    }

    /// The handshake is done.
    pub fn is_ready(&self) -> bool {
        !self.conn.is_handshaking()
    }

    /// It has failed, and nothing more is said or understood.
    pub fn has_failed(&self) -> bool {
        self.over
    }

    /// What the client has sent. The plaintext in it goes to `plain`; whether the client has said that it was all.
    pub fn recv(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
        /// Of a record (RFC 8446 section 5.1): an alert, in the version that everybody takes before one is agreed on.
        const ALERT: [u8; 5] = [21, 3, 3, 0, 2];
        const FATAL: u8 = 2;
        let mut ended = false;
        while !bytes.is_empty() && !self.over {
            if let Some(alert) = self.alert {
                out.extend_from_slice(&ALERT);
                out.extend_from_slice(&[FATAL, alert]);
                self.over = true;
                break;
            }
            // Reading from memory does not fail; nothing is taken once the client has said goodbye.
            if self.conn.read_tls(&mut bytes).unwrap_or_default() == 0 {
                break;
            }
            match self.conn.process_new_packets() {
                Ok(state) => {
                    let start = plain.len();
                    plain.resize(start + state.plaintext_bytes_to_read(), 0);
                    let read = self.conn.reader().read(&mut plain[start..]).unwrap_or_default();
                    plain.truncate(start + read);
                    ended |= state.peer_has_closed();
                }
                // The alert that says why is in the wire.
                Err(_) => self.over = true,
            }
        }
        self.flush(out);
        ended
    }

    /// Encipher.
    pub fn send(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        for piece in plain.chunks(RECORD) {
            // Memory takes everything.
            let _ = self.conn.writer().write_all(piece);
            self.flush(out);
        }
    }

    /// Say that nothing follows.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        self.conn.send_close_notify();
        self.flush(out);
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        while self.conn.wants_write() {
            // Writing to memory does not fail.
            if self.conn.write_tls(out).is_err() {
                break;
            }
        }
    }
}

/// Plaintext that is given to rustls at a time, which keeps no more than 64 KiB.
const RECORD: usize = 16 << 10;
