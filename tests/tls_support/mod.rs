//! A client's `Session` and a server of rustls, joined in memory: no socket, no thread, no time.
#![allow(dead_code)] // each test file uses a part

use chttpcore::proto::Out;
use chttpcore::proto::tls::{Error, Identity, Roots, Session, Settings, Tls};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerSessionMemoryCache;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::sync::Arc;

pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
pub const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];

/// Who signs certificates.
pub struct Authority {
    pub certificate: Certificate,
    pub issuer: Issuer<'static, KeyPair>,
    /// What a server has to send along with a certificate of this authority.
    between: Vec<CertificateDer<'static>>,
}

pub fn params(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|h| (*h).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = params(name, &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let (params, key) = (authority_params(name), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        Authority { certificate, issuer: Issuer::new(params, key), between: Vec::new() }
    }

    /// An authority that this one vouches for.
    pub fn below(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Authority {
        let (mut params, key) = (authority_params(name), KeyPair::generate().unwrap());
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let mut between = self.between.clone();
        between.insert(0, certificate.der().clone());
        Authority { certificate, issuer: Issuer::new(params, key), between }
    }

    pub fn issue(&self, params: &CertificateParams) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let mut chain = vec![params.signed_by(&key, &self.issuer).unwrap().der().clone()];
        chain.extend(self.between.iter().cloned());
        Leaf { chain, key }
    }

    pub fn leaf(&self, hosts: &[&str]) -> Leaf {
        let mut params = params("leaf", hosts);
        params.serial_number = Some(SerialNumber::from(77));
        self.issue(&params)
    }

    pub fn roots(&self) -> Vec<Arc<Roots>> {
        vec![Arc::new(Roots::from_pem(self.certificate.pem().as_bytes(), "tls_ca_file /test.pem").unwrap())]
    }

    /// Settings that trust this authority.
    pub fn trusted(&self) -> Settings {
        Settings { roots: self.roots(), ..Settings::default() }
    }
}

/// A certificate with its chain and key.
pub struct Leaf {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: KeyPair,
}

impl Leaf {
    pub fn self_signed(params: &CertificateParams) -> Leaf {
        let key = KeyPair::generate().unwrap();
        Leaf { chain: vec![params.self_signed(&key).unwrap().der().clone()], key }
    }

    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }

    pub fn identity(&self) -> Identity {
        Identity { chain: pem(&self.chain), key: self.key.serialize_pem().into_bytes() }
    }

    pub fn server(&self, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
        self.server_with(aws_lc_rs::default_provider(), versions)
    }

    pub fn server_with(
        &self,
        provider: CryptoProvider,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key_der())
            .unwrap();
        config.session_storage = ServerSessionMemoryCache::new(1024);
        config
    }
}

pub fn pem(chain: &[CertificateDer<'_>]) -> Vec<u8> {
    use base64::Engine as _;
    let mut text = String::new();
    for certificate in chain {
        let body = base64::engine::general_purpose::STANDARD.encode(certificate);
        text += &format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    }
    text.into_bytes()
}

/// A client and a server that know each other, for the name `localhost`.
pub fn configs(version: &'static SupportedProtocolVersion) -> (Arc<Tls>, Arc<ServerConfig>) {
    let authority = Authority::new("Test CA");
    (tls(authority.trusted()), Arc::new(authority.leaf(&["localhost"]).server(&[version])))
}

pub fn tls(settings: Settings) -> Arc<Tls> {
    Arc::new(Tls::new(settings).unwrap())
}

/// Everything in one piece.
pub const WHOLE: usize = usize::MAX;

/// A client and what has reached it.
pub struct Client {
    pub session: Session,
    /// Received and not consumed.
    pub input: Vec<u8>,
    pub plain: Vec<u8>,
    /// What it has to say to the application's peer, before TLS.
    pub says: Out,
    /// What it has to send.
    pub sends: Vec<u8>,
    pub finished: bool,
}

impl Client {
    pub fn new(tls: &Arc<Tls>, host: &str) -> Client {
        let session = tls.session(host, chttpcore::proto::tls::For::Raw).unwrap();
        let (input, plain, sends) = (Vec::new(), Vec::new(), Vec::new());
        Client { session, input, plain, says: Out::new(), sends, finished: false }
    }

    /// Bytes arrive.
    pub fn hear(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.input.extend_from_slice(bytes);
        loop {
            let mut plain = vec![0; self.input.len()];
            let mut out = Out::new();
            let opened = self.session.open(&mut self.input, &mut plain, &mut out);
            self.send(&out);
            let opened = opened?;
            self.input.drain(..opened.used);
            self.plain.extend_from_slice(&plain[..opened.plain]);
            self.seal()?;
            if !self.session.unsaid() {
                return Ok(());
            }
        }
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.says.put(bytes);
        self.seal().unwrap();
    }

    pub fn close(&mut self) {
        self.says.finish();
        self.seal().unwrap();
    }

    fn seal(&mut self) -> Result<(), Error> {
        let mut out = Out::new();
        let sealed = self.session.seal(&mut self.input, &mut self.says, &mut out);
        self.finished |= out.is_finished();
        self.send(&out);
        sealed
    }

    fn send(&mut self, out: &Out) {
        for segment in out.segments() {
            self.sends.extend_from_slice(segment);
        }
    }
}

/// Both ends.
pub struct Pair {
    pub client: Client,
    pub server: ServerConnection,
    pub server_error: Option<rustls::Error>,
    /// What reached the server's application.
    pub heard: Vec<u8>,
}

impl Pair {
    pub fn new(tls: &Arc<Tls>, host: &str, server: &Arc<ServerConfig>) -> Pair {
        let server = ServerConnection::new(server.clone()).unwrap();
        Pair { client: Client::new(tls, host), server, server_error: None, heard: Vec::new() }
    }

    /// A handshake that has to succeed.
    pub fn secured(tls: &Arc<Tls>, host: &str, server: &Arc<ServerConfig>) -> Pair {
        let mut pair = Pair::new(tls, host, server);
        pair.run(WHOLE).unwrap();
        assert!(pair.client.session.is_ready(), "{:?}", pair.server_error);
        pair
    }

    /// The client's verdict on a server.
    pub fn refused(tls: &Arc<Tls>, host: &str, server: &Arc<ServerConfig>) -> (Error, Pair) {
        let mut pair = Pair::new(tls, host, server);
        pair.client.say(b"a secret");
        let error = pair.run(WHOLE).unwrap_err();
        assert!(!pair.client.session.is_ready());
        pair.deliver();
        assert_eq!(pair.heard, b"", "something was said to a server that is not trusted");
        (error, pair)
    }

    /// Exchange bytes until both are silent; the client gets them in pieces of `cut`.
    pub fn run(&mut self, cut: usize) -> Result<(), Error> {
        self.client.hear(&[])?;
        loop {
            let said = self.deliver();
            let answer = self.answer();
            for piece in answer.chunks(cut) {
                self.client.hear(piece)?;
            }
            if !said && answer.is_empty() {
                return Ok(());
            }
        }
    }

    /// Hand the server what the client sent. Whether there was anything.
    pub fn deliver(&mut self) -> bool {
        let sent = std::mem::take(&mut self.client.sends);
        let mut rest = &sent[..];
        while !rest.is_empty() && self.server_error.is_none() {
            if self.server.read_tls(&mut rest).is_err() {
                break;
            }
            match self.server.process_new_packets() {
                Ok(state) => {
                    let at = self.heard.len();
                    self.heard.resize(at + state.plaintext_bytes_to_read(), 0);
                    self.server.reader().read_exact(&mut self.heard[at..]).unwrap();
                }
                Err(error) => self.server_error = Some(error),
            }
        }
        !sent.is_empty()
    }

    pub fn answer(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    pub fn server_says(&mut self, bytes: &[u8]) {
        self.server.writer().write_all(bytes).unwrap();
    }
}
