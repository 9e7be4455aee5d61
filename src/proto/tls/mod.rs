//! TLS 1.2 and 1.3 for clients (RFC 5246, RFC 8446), by rustls: bytes in, bytes out.
//!
//! [`Settings`] say whom to trust and who we are; [`Tls`] is what they were checked and parsed into, once, and is shared by
//! all connections made under them; a [`Session`] is the TLS of one connection. No file is read here.
//!
//! Three things of the room's rule do not hold here. The time comes from the clock where no other is set, because rustls asks
//! for it in the middle of a handshake. The store of sessions has a lock, because connections of several engines may share
//! it. And numbers for `Tls::id` are given out process-wide.

mod agreed;
mod authority;
mod describe;
mod error;
mod in_place;
mod pin;
mod proven;
mod provider;
mod roots;
mod server;
mod session;
mod store;
mod verify;

pub use agreed::Agreed;
pub use authority::{Authority, Validity};
pub use error::{Error, Kind};
pub use pin::Pin;
pub use provider::PostQuantum;
pub use roots::Roots;
pub use server::{Manner, Server};
pub use session::{Info, Opened, PARTIAL_MAX, Record, Session};

use roots::certificates;
use rustls::client::{Resumption, Tls12Resumption};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, Error as Rustls, InconsistentKeys, KeyLog, SupportedProtocolVersion};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use store::Store;
use verify::Verifier;
use webpki::{CertRevocationList, OwnedCertRevocationList};

/// Versions of TLS that may be spoken; older ones never are (RFC 8996).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Version {
    Tls12,
    Tls13,
}

/// Who we are, for servers that ask.
#[derive(Clone)]
pub struct Identity {
    /// Our certificate, then those between it and an authority that the server knows, in PEM.
    pub chain: Vec<u8>,
    /// Its private key, in PEM, not encrypted.
    pub key: Vec<u8>,
}

#[derive(Clone)]
pub struct Settings {
    /// Whom to trust: all of these together.
    pub roots: Vec<Arc<Roots>>,
    pub identity: Option<Identity>,
    /// Sent (SNI) and verified instead of the URL's host.
    pub server_name: Option<String>,
    /// Application protocols to offer (RFC 7301), the best first; empty for none. `None` for what the connection is for.
    pub alpn: Option<Vec<Vec<u8>>>,
    pub min: Version,
    pub max: Version,
    /// Trust everybody. Only the handshake's signature is checked, and pins against the peer's own key.
    pub insecure: bool,
    /// Servers whose sessions are kept to go on with; 0 for none.
    pub sessions: usize,
    /// Makes what is told the secrets.
    pub key_log: Option<fn() -> Arc<dyn KeyLog>>,
    /// Verify as if it were that many seconds after 1970.
    pub time: Option<u64>,
    /// Keys of which one has to be in the verified chain (RFC 7469 section 2.6). Empty for any key.
    pub pins: Vec<Pin>,
    /// Revocation lists, PEM or one in DER. If there are any, each certificate of a chain but the root has to have its
    /// issuer's, valid and up to date.
    pub crls: Vec<Vec<u8>>,
    pub post_quantum: PostQuantum,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            roots: Vec::new(),
            identity: None,
            server_name: None,
            alpn: None,
            min: Version::Tls12,
            max: Version::Tls13,
            insecure: false,
            sessions: 256,
            key_log: None,
            time: None,
            pins: Vec::new(),
            crls: Vec::new(),
            post_quantum: PostQuantum::default(),
        }
    }
}

/// Which setting cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    Roots,
    Certificate,
    Key,
    ServerName,
    Alpn,
    Versions,
    Pins,
    Crl,
}

/// A setting that cannot be used, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invalid {
    pub what: What,
    pub why: String,
}

impl Invalid {
    fn new(what: What, why: impl Into<String>) -> Invalid {
        Invalid { what, why: why.into() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Invalid {}

/// Settings, checked and parsed: immutable, and shared by all that use them.
pub struct Tls {
    id: u64,
    config: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
    store: Option<Arc<Store>>,
    name: Option<ServerName<'static>>,
    /// What `successor` makes anew, since locks are in it.
    identity: Option<Identity>,
    sessions: usize,
    key_log: Option<fn() -> Arc<dyn KeyLog>>,
    alpn: Option<Vec<Vec<u8>>>,
}

/// What a connection is for, which decides what ALPN offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum For {
    /// HTTP, in the better version that the peer speaks.
    Http,
    Http1,
    Http2,
    /// Bytes.
    Raw,
}

const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Two are the same only if they are one: what they were made from is not compared.
impl PartialEq for Tls {
    fn eq(&self, other: &Tls) -> bool {
        self.id == other.id
    }
}

impl Eq for Tls {}

impl Hash for Tls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl Tls {
    pub fn new(settings: Settings) -> Result<Tls, Invalid> {
        let Settings {
            roots,
            identity,
            server_name,
            alpn,
            min,
            max,
            insecure,
            sessions,
            key_log,
            time,
            pins,
            crls,
            post_quantum,
        } = settings;
        if !insecure && roots.iter().all(|r| r.is_empty()) {
            return Err(Invalid::new(What::Roots, "there is no authority to trust"));
        }
        check_alpn(alpn.as_deref().unwrap_or_default())?;
        let name = server_name.map(|text| parse_name(&text).ok_or_else(|| no_server(&text))).transpose()?;
        let provider = Arc::new(provider::provider(post_quantum));
        let verifier = Arc::new(Verifier {
            roots,
            crls: parse_crls(&crls)?.into(),
            pins,
            insecure,
            algorithms: provider.signature_verification_algorithms,
            for_chains: proven::for_chains(provider.signature_verification_algorithms),
            sha256: provider::sha256(),
            reasons: Mutex::default(),
        });
        let time: Arc<dyn TimeProvider> = match time {
            Some(seconds) => Arc::new(Fixed(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))),
            None => Arc::new(DefaultTimeProvider),
        };
        let builder = ClientConfig::builder_with_details(provider.clone(), time)
            .with_protocol_versions(versions(min, max)?)
            .map_err(|error| Invalid::new(What::Versions, error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone());
        let config = match &identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(parse_identity(identity, &provider)?)),
            None => builder.with_no_client_auth(),
        };
        Ok(Tls::finish(config, verifier, name, identity, sessions, key_log, alpn))
    }

    /// What no two of them share.
    fn finish(
        mut config: ClientConfig,
        verifier: Arc<Verifier>,
        name: Option<ServerName<'static>>,
        identity: Option<Identity>,
        sessions: usize,
        key_log: Option<fn() -> Arc<dyn KeyLog>>,
        alpn: Option<Vec<Vec<u8>>>,
    ) -> Tls {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let store = (sessions > 0).then(|| Arc::new(Store::new(sessions)));
        config.resumption = match &store {
            Some(store) => Resumption::store(store.clone()).tls12_resumption(Tls12Resumption::SessionIdOrTickets),
            None => Resumption::disabled(),
        };
        if let Some(key_log) = key_log {
            config.key_log = key_log();
        }
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        Tls { id, config: Arc::new(config), verifier, store, name, identity, sessions, key_log, alpn }
    }

    /// The same settings for a forked child, where a lock of these may be held for ever. Without sessions: a ticket is for one
    /// of the two processes.
    pub fn successor(&self) -> Tls {
        let verifier = Arc::new(self.verifier.successor());
        let mut config = (*self.config).clone();
        config.dangerous().set_certificate_verifier(verifier.clone());
        if let Some(identity) = &self.identity
            && let Ok(key) = parse_identity(identity, config.crypto_provider())
        {
            // It was parsed before.
            config.client_auth_cert_resolver = Arc::new(key);
        }
        let (name, identity) = (self.name.clone(), self.identity.clone());
        Tls::finish(config, verifier, name, identity, self.sessions, self.key_log, self.alpn.clone())
    }

    /// Different from that of every other `Tls` of the process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether every certificate is trusted.
    pub fn is_insecure(&self) -> bool {
        self.verifier.insecure
    }

    /// Servers whose sessions may go on now.
    pub fn sessions(&self) -> usize {
        self.store.as_ref().map_or(0, |s| s.len())
    }

    /// A session with `host`: a name, or an address as a URL has it. An address is verified as such, and not sent as a name
    /// (RFC 6066 section 3).
    pub fn session(self: &Arc<Tls>, host: impl Into<Arc<str>>, what_for: For) -> Result<Session, Error> {
        let host = host.into();
        let name = self.name.clone().or_else(|| parse_name(&host));
        let name = name.ok_or_else(|| {
            let why = format!("\"{}\" is no name that a certificate can be for", host.escape_debug());
            Error::new(Kind::CertName, why)
        })?;
        Session::new(self.clone(), host, name, self.offer(what_for))
    }

    /// Whether a peer that speaks HTTP/2 will choose it.
    pub fn offers_h2(&self) -> bool {
        self.alpn.as_ref().is_none_or(|list| list.iter().any(|name| name == H2))
    }

    fn offer(&self, what_for: For) -> Vec<Vec<u8>> {
        let without_h2 = |list: &[Vec<u8>]| list.iter().filter(|name| *name != H2).cloned().collect();
        match (what_for, &self.alpn) {
            (For::Http2, _) => vec![H2.to_vec()],
            (For::Http1, Some(list)) => without_h2(list),
            (_, Some(list)) => list.clone(),
            (For::Http, None) => vec![H2.to_vec(), HTTP_1_1.to_vec()],
            (For::Http1 | For::Raw, None) => vec![HTTP_1_1.to_vec()],
        }
    }
}

fn no_server(text: &str) -> Invalid {
    Invalid::new(What::ServerName, format!("\"{}\" is no name of a server, and no address", text.escape_debug()))
}

/// Protocols of an ALPN list: each has 1 to 255 bytes (RFC 7301 section 3.1).
fn check_alpn(list: &[Vec<u8>]) -> Result<(), Invalid> {
    let Some(wrong) = list.iter().find(|p| p.is_empty() || p.len() > 255) else { return Ok(()) };
    let why = format!("\"{}\" is no protocol: its name has 1 to 255 bytes", wrong.escape_ascii());
    Err(Invalid::new(What::Alpn, why))
}

/// A host as certificates have it: without brackets, without the zone of a scoped address (RFC 6874), without the dot of the
/// root.
fn parse_name(host: &str) -> Option<ServerName<'static>> {
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let host = match host.split_once('%') {
        Some((address, _)) if address.contains(':') => address,
        _ => host,
    };
    ServerName::try_from(host.strip_suffix('.').unwrap_or(host).to_owned()).ok()
}

/// Always the same moment.
#[derive(Debug)]
struct Fixed(UnixTime);

impl TimeProvider for Fixed {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.0)
    }
}

fn versions(min: Version, max: Version) -> Result<&'static [&'static SupportedProtocolVersion], Invalid> {
    static ALL: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
    match (min, max) {
        (Version::Tls12, Version::Tls12) => Ok(&ALL[..1]),
        (Version::Tls12, Version::Tls13) => Ok(&ALL),
        (Version::Tls13, Version::Tls13) => Ok(&ALL[1..]),
        (Version::Tls13, Version::Tls12) => {
            Err(Invalid::new(What::Versions, "the lowest version is above the highest one"))
        }
    }
}

fn parse_crls(crls: &[Vec<u8>]) -> Result<Vec<CertRevocationList<'static>>, Invalid> {
    let mut parsed = Vec::new();
    for bytes in crls {
        let before = parsed.len();
        let mut add = |der: &[u8]| match OwnedCertRevocationList::from_der(der) {
            Ok(crl) => {
                parsed.push(crl.into());
                Ok(())
            }
            Err(error) => Err(Invalid::new(What::Crl, format!("a revocation list cannot be read: {error}"))),
        };
        // DER begins with a SEQUENCE, and "0" is no beginning of PEM.
        if bytes.first() == Some(&0x30) {
            add(bytes)?;
            continue;
        }
        for crl in CertificateRevocationListDer::pem_slice_iter(bytes) {
            add(&crl.map_err(|error| Invalid::new(What::Crl, format!("it is no PEM: {error}")))?)?;
        }
        if parsed.len() == before {
            return Err(Invalid::new(What::Crl, "there is no revocation list in it (PEM or DER)"));
        }
    }
    Ok(parsed)
}

fn parse_identity(identity: &Identity, provider: &rustls::crypto::CryptoProvider) -> Result<SingleCertAndKey, Invalid> {
    let chain = certificates(&identity.chain).map_err(|why| Invalid::new(What::Certificate, why))?;
    let invalid = |why: &str| Invalid::new(What::Key, why);
    let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(|_| {
        let encrypted = identity.key.windows(9).any(|w| w == b"ENCRYPTED");
        invalid(if encrypted {
            "the key is encrypted; decrypt it first"
        } else {
            "there is no private key in it (PEM)"
        })
    })?;
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        Rustls::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            Invalid::new(What::Key, "the key does not fit the certificate")
        }
        Rustls::InvalidCertificate(error) => Invalid::new(What::Certificate, format!("it cannot be read: {error}")),
        // What the library says of a key names a rule, and nothing of its contents.
        error => Invalid::new(What::Key, format!("the key cannot be used: {error}")),
    })?;
    Ok(SingleCertAndKey::from(key))
}
