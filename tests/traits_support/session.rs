//! TLS between a socket and a protocol, over rustls' unbuffered API: bytes in, bytes out, nothing owned but the keys.
//!
//! - rustls deciphers in place, but hands the result out as a copy of its own (`ReadTraffic` in 0.23 keeps `incoming_tls`
//!   for a future that has not come), and borrows the input meanwhile. So plaintext goes to a second buffer, where records
//!   join without the gaps between them; the first one is never shared.
//! - Every call gets all the bytes that were not consumed, also one that only wants to write: the deframer remembers how
//!   far it has looked into them, and panics on a shorter input.
//! - `seal` works only while no plaintext waits inside, which `open` sees to.

use chttpcore::proto::Out;
use rustls::client::UnbufferedClientConnection;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::sync::Arc;

/// Shorter segments are put together into one record, which costs 22 bytes or more each.
const GATHER_BELOW: usize = 4 << 10;
const RECORD: usize = 16 << 10;

pub struct Session {
    conn: UnbufferedClientConnection,
    ready: bool,
    heard_close: bool,
    failed: bool,
}

/// How far `open` came.
pub struct Opened {
    /// Bytes of the input that are done with. The rest is part of one record.
    pub used: usize,
    pub plain: usize,
}

impl Session {
    pub fn new(config: &Arc<ClientConfig>, name: &'static str) -> Session {
        let name = ServerName::try_from(name).unwrap();
        Session {
            conn: UnbufferedClientConnection::new(config.clone(), name).unwrap(),
            ready: false,
            heard_close: false,
            failed: false,
        }
    }

    /// The handshake is done: the protocol may speak.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// `close_notify` came: an end of the stream after it is one that the peer wanted.
    pub fn heard_close(&self) -> bool {
        self.heard_close
    }

    pub fn alpn(&self) -> Option<&[u8]> {
        self.conn.alpn_protocol()
    }

    /// Process every whole record in `input`. Plaintext goes to `plain`, which is at least as long; what TLS itself has
    /// to say goes to `out`. An empty input starts the handshake.
    pub fn open(&mut self, input: &mut [u8], plain: &mut [u8], out: &mut Out) -> Result<Opened, rustls::Error> {
        let mut done = Opened { used: 0, plain: 0 };
        loop {
            let UnbufferedStatus { discard, state } = self.conn.process_tls_records(&mut input[done.used..]);
            done.used += discard;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        plain[done.plain..][..record.payload.len()].copy_from_slice(record.payload);
                        done.plain += record.payload.len();
                        done.used += record.discard;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, out),
                // What was encoded stands in `out`, which keeps its order.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.heard_close = true,
                Ok(ConnectionState::WriteTraffic(_)) => {
                    self.ready = true;
                    return Ok(done);
                }
                Ok(_) => return Ok(done),
                Err(e) => {
                    self.alert(&mut input[done.used..], out);
                    return Err(e);
                }
            }
        }
    }

    /// Encipher `plain`, with `close_notify` if it is finished. Before the handshake is done it stays where it is.
    /// `partial` is what `open` left over.
    pub fn seal(&mut self, partial: &mut [u8], plain: &mut Out, out: &mut Out) -> Result<(), EncryptError> {
        if self.failed {
            plain.clear();
            return Ok(());
        }
        if !self.ready || (plain.is_empty() && !plain.is_finished()) {
            return Ok(());
        }
        loop {
            let UnbufferedStatus { discard, state } = self.conn.process_tls_records(partial);
            assert_eq!(discard, 0, "`open` left no whole record");
            match state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, out),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    encrypt(&mut traffic, plain, out)?;
                    if plain.is_finished() {
                        out.put_with(64, |room| traffic.queue_close_notify(room))?;
                        out.finish();
                    }
                    plain.clear();
                    return Ok(());
                }
                // Both sides have closed, or TLS has failed: nobody listens.
                _ => {
                    plain.clear();
                    return Ok(());
                }
            }
        }
    }

    /// After an error: the alert that tells the peer. One call; a second would look at the bad record again.
    fn alert(&mut self, input: &mut [u8], out: &mut Out) {
        self.failed = true;
        if let Ok(ConnectionState::EncodeTlsData(data)) = self.conn.process_tls_records(input).state {
            encode(data, out);
        }
    }
}

fn encode<D>(mut data: EncodeTlsData<'_, D>, out: &mut Out) {
    let mut size = 4 << 10;
    while let Err(e) = out.put_with(size, |room| data.encode(room)) {
        match e {
            EncodeError::InsufficientSize(needed) => size = needed.required_size,
            EncodeError::AlreadyEncoded => unreachable!("encoded once"),
        }
    }
}

fn encrypt<D>(traffic: &mut WriteTraffic<'_, D>, plain: &Out, out: &mut Out) -> Result<(), EncryptError> {
    let mut small = Vec::new();
    let mut put = |bytes: &[u8]| match bytes.len() {
        0 => Ok(()),
        len => out.put_with(len + (len / RECORD + 1) * 64, |room| traffic.encrypt(bytes, room)),
    };
    for segment in plain.segments() {
        if small.len() + segment.len() <= RECORD && segment.len() < GATHER_BELOW {
            small.extend_from_slice(segment);
            continue;
        }
        put(&small)?;
        small.clear();
        put(segment)?;
    }
    put(&small)
}

/// A client and a server that know each other, for the name `localhost`.
pub fn configs(version: &'static SupportedProtocolVersion) -> (ClientConfig, Arc<ServerConfig>) {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    (client, Arc::new(server))
}

pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
