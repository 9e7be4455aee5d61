//! TLS between a socket and a protocol, over rustls' unbuffered API: bytes in, bytes out, nothing owned but the keys.
//!
//! - rustls deciphers in place, but hands the result out as a copy of its own, which is avoided ([`super::in_place`]), and
//!   borrows the input meanwhile. `open` puts plaintext into a second buffer, where records join without the gaps between
//!   them; `open_one` leaves that of one record where it is, for whoever copies it anyway.
//! - Every call gets all the bytes that were not consumed, also one that only wants to write: rustls remembers how far it
//!   has looked into them. A handshake message is consumed as a whole, so that much can be left over: rustls refuses
//!   messages over 64 KiB, and [`PARTIAL_MAX`] bounds what a peer can make of one by cutting it into tiny records.
//! - `seal` works only while no plaintext waits inside, which `open` sees to.
//!
//! Nothing is enciphered for the application before the handshake is complete, which includes that the peer's certificate
//! was verified: until then `seal` leaves plaintext where it is.

use super::Tls;
use super::agreed::Agreed;
use super::error::{Error, Kind, Stage, closed, explain};
use super::in_place::noting;
use crate::proto::Out;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{CipherSuite, Error as Rustls, HandshakeKind, ProtocolVersion};
use std::ops::Range;
use std::sync::Arc;

/// Shorter segments are put together into one record, which costs 22 bytes or more each.
const GATHER_BELOW: usize = 4 << 10;
/// Plaintext of one record (RFC 8446 section 5.1).
const RECORD: usize = 16 << 10;
/// More than a record adds to its plaintext: head, nonce, content type and tag.
const RECORD_EXTRA: usize = 64;

/// Bytes that may be left over: the longest handshake message in records of a decent size.
pub const PARTIAL_MAX: usize = 80 << 10;

/// The TLS of one connection.
pub struct Session {
    conn: UnbufferedClientConnection,
    tls: Arc<Tls>,
    /// As the request has it: for the words of errors.
    host: Arc<str>,
    ready: bool,
    heard_close: bool,
    /// Boxed: connections that have not failed are kept by the ten thousand.
    failed: Option<Box<Error>>,
    /// The failure was found behind plaintext that had to be handed out first.
    untold: bool,
}

/// How far `open` came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Opened {
    /// Bytes of the input that are done with. The rest is part of one record, or of one handshake message.
    pub used: usize,
    /// Bytes that were written to `plain`.
    pub plain: usize,
}

/// A record of the application's data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Bytes of the input that are done with.
    pub used: usize,
    /// Where in the input its plaintext stands: within what is done with, and never empty while there is one.
    pub plain: Range<usize>,
}

/// What was agreed on. Texts are names of the IANA registries; empty for what there is none of.
#[derive(Clone, Copy, Debug)]
pub struct Info<'a> {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// `TLS_AES_128_GCM_SHA256` ...
    pub cipher_suite: &'static str,
    /// `X25519MLKEM768` ... Empty for a resumed session of TLS 1.2, which exchanges no keys.
    pub group: &'static str,
    pub alpn: Option<&'a [u8]>,
    /// An earlier session went on; its certificate was verified then.
    pub resumed: bool,
    /// The peer's certificate first, then what it sent along, in DER.
    pub chain: &'a [CertificateDer<'static>],
}

impl Session {
    pub(super) fn new(
        tls: Arc<Tls>,
        host: Arc<str>,
        name: ServerName<'static>,
        alpn: Vec<Vec<u8>>,
    ) -> Result<Session, Error> {
        let conn = UnbufferedClientConnection::new_with_alpn(tls.config.clone(), name, alpn)
            .map_err(|error| explain(&error, &host, Stage::Hello, &[]))?;
        Ok(Session { conn, tls, host, ready: false, heard_close: false, failed: None, untold: false })
    }

    /// The handshake is done: the protocol may speak.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// `close_notify` came: an end of the stream after it is one that the peer wanted.
    pub fn heard_close(&self) -> bool {
        self.heard_close
    }

    /// Nothing can be sent or received any more, be the error told or not.
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// The application protocol that the peer chose (RFC 7301). `None` if it chose none, or not yet.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.conn.alpn_protocol()
    }

    /// Tickets of TLS 1.3 that came, each good for one session that goes on.
    pub fn tickets(&self) -> u32 {
        self.conn.tls13_tickets_received()
    }

    /// The settings that this session was made with.
    pub fn tls(&self) -> &Arc<Tls> {
        &self.tls
    }

    /// Whether `open` has an error to tell once the plaintext before it is consumed: call it again then, with the rest of
    /// the input. So what the application gets does not depend on how the bytes were cut.
    pub fn unsaid(&self) -> bool {
        self.untold
    }

    /// The error of a peer that closed before the handshake was done.
    pub fn cut(&self) -> Error {
        closed(&self.host, self.stage())
    }

    /// What was agreed on, in short; `None` before the handshake is done.
    pub fn agreed(&self) -> Option<Agreed> {
        if self.ready { Agreed::of(&self.conn) } else { None }
    }

    /// What was agreed on; `None` before the handshake is done.
    pub fn info(&self) -> Option<Info<'_>> {
        let suite = self.conn.negotiated_cipher_suite().filter(|_| self.ready)?.suite();
        let group = self.conn.negotiated_key_exchange_group().and_then(|g| g.name().as_str());
        Some(Info {
            version: match self.conn.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "TLSv1.2",
            },
            cipher_suite: suite_name(suite),
            group: group.unwrap_or_default(),
            alpn: self.alpn(),
            resumed: self.conn.handshake_kind() == Some(HandshakeKind::Resumed),
            chain: self.conn.peer_certificates().unwrap_or_default(),
        })
    }

    /// Process every whole record in `input`. Plaintext goes to `plain`; what TLS itself has to say, an alert before an
    /// error too, goes to `out`. An empty input starts the handshake.
    ///
    /// `plain` is as long as the input, or at least as what is new in it and one record more: what a handshake message
    /// has left over yields no plaintext.
    ///
    /// An error is fatal, and told again by every further call.
    pub fn open(&mut self, input: &mut [u8], plain: &mut [u8], out: &mut Out) -> Result<Opened, Error> {
        let mut done = Opened::default();
        loop {
            match self.open_one(&mut input[done.used..], out) {
                Ok(Record { used, plain: found }) => {
                    let found = &input[done.used..][found];
                    plain[done.plain..][..found.len()].copy_from_slice(found);
                    done.plain += found.len();
                    done.used += used;
                    if found.is_empty() {
                        return Ok(done);
                    }
                }
                Err(_) if done.plain > 0 => {
                    self.untold = true;
                    return Ok(done);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Process records up to the first that has plaintext, which is left where it was deciphered. None in the answer: no whole
    /// record is left. Otherwise as `open`.
    pub fn open_one(&mut self, input: &mut [u8], out: &mut Out) -> Result<Record, Error> {
        if let Some(error) = &self.failed {
            self.untold = false;
            return Err(Error::clone(error));
        }
        let base = input.as_ptr().addr();
        let mut used = 0;
        loop {
            let rest = &mut input[used..];
            let (UnbufferedStatus { discard, state }, place) = noting(|| self.conn.process_tls_records(rest));
            used += discard;
            let (mut found, mut over) = (None, false);
            let error = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                    match traffic.next_record() {
                        Some(Ok(record)) => {
                            used += record.discard;
                            found = place;
                        }
                        Some(Err(error)) => break Some(error),
                        None => break None,
                    }
                },
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(data, out);
                    None
                }
                // What was encoded stands in `out`, which keeps its order.
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    None
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.heard_close = true;
                    None
                }
                Ok(ConnectionState::WriteTraffic(_)) => {
                    self.ready = true;
                    over = true;
                    None
                }
                Ok(_) => {
                    over = true;
                    None
                }
                Err(error) => Some(error),
            };
            let failed = error.map(|error| self.fail(&error, &mut input[used..], out));
            match (found, failed) {
                // What comes behind it is told by the next call.
                (Some(place), _) => return Ok(Record { used, plain: place.range(base) }),
                (None, Some(error)) => return Err(error),
                (None, None) if over => break,
                (None, None) => {}
            }
        }
        if self.heard_close {
            // RFC 8446 section 6.1: what comes after it is to be ignored.
            used = input.len();
            if !self.ready {
                self.failed = Some(Box::new(closed(&self.host, self.stage())));
            }
        }
        if input.len() - used > PARTIAL_MAX {
            let message = format!("\"{}\" cut a handshake message into too many records", self.host);
            self.failed = Some(Box::new(Error::new(Kind::Protocol, message)));
        }
        match &self.failed {
            Some(error) => Err(Error::clone(error)),
            None => Ok(Record { used, plain: 0..0 }),
        }
    }

    /// Encipher `plain`, with `close_notify` if it is finished. Before the handshake is done it stays where it is; after
    /// a failure it is dropped. `partial` is what `open` left over.
    pub fn seal(&mut self, partial: &mut [u8], plain: &mut Out, out: &mut Out) -> Result<(), Error> {
        if self.failed.is_some() {
            plain.clear();
            return Ok(());
        }
        if !self.ready || (plain.is_empty() && !plain.is_finished()) {
            return Ok(());
        }
        let failed = loop {
            let UnbufferedStatus { discard, state } = self.conn.process_tls_records(partial);
            debug_assert_eq!(discard, 0, "`open` left no whole record");
            match state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, out),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::WriteTraffic(mut traffic)) => break encrypt(&mut traffic, plain, out),
                // Both sides have closed: nobody listens.
                _ => break Ok(()),
            }
        };
        plain.clear();
        failed.map_err(|error| {
            let message = format!("what is to be sent to \"{}\" cannot be enciphered: {error}", self.host);
            Error::clone(self.failed.insert(Box::new(Error::new(Kind::Handshake, message))))
        })
    }

    fn stage(&self) -> Stage {
        match self.conn.protocol_version() {
            _ if self.ready => Stage::Ready,
            Some(_) => Stage::Handshake,
            None => Stage::Hello,
        }
    }

    /// `rest` is what was not consumed.
    fn fail(&mut self, error: &Rustls, rest: &mut [u8], out: &mut Out) -> Error {
        // What the verifier has to say is the reason, whatever rustls made of it.
        let told = self.tls.verifier.reason();
        let told = told.unwrap_or_else(|| explain(error, &self.host, self.stage(), rest));
        // The alert that tells the peer. One call: a second would look at the bad record again.
        if !matches!(error, Rustls::AlertReceived(_))
            && let Ok(ConnectionState::EncodeTlsData(data)) = self.conn.process_tls_records(rest).state
        {
            encode(data, out);
        }
        Error::clone(self.failed.insert(Box::new(told)))
    }
}

/// The name of the registry, empty for a suite that is not known.
pub(super) fn suite_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or_default(),
    }
}

fn encode<D>(mut data: EncodeTlsData<'_, D>, out: &mut Out) {
    let mut size = 0;
    while let Err(EncodeError::InsufficientSize(needed)) = out.put_with(size, |room| data.encode(room)) {
        size = needed.required_size;
    }
}

fn encrypt<D>(traffic: &mut WriteTraffic<'_, D>, plain: &Out, out: &mut Out) -> Result<(), EncryptError> {
    let mut small = Vec::new();
    let mut put = |bytes: &[u8]| match bytes.len() {
        0 => Ok(()),
        len => out.put_with(len + (len / RECORD + 1) * RECORD_EXTRA, |room| traffic.encrypt(bytes, room)),
    };
    let mut segments = plain.segments().peekable();
    while let Some(segment) = segments.next() {
        let alone = small.is_empty() && segments.peek().is_none();
        if !alone && small.len() + segment.len() <= RECORD && segment.len() < GATHER_BELOW {
            small.extend_from_slice(segment);
            continue;
        }
        put(&small)?;
        small.clear();
        put(segment)?;
    }
    put(&small)?;
    if plain.is_finished() {
        out.put_with(RECORD_EXTRA, |room| traffic.queue_close_notify(room))?;
        out.finish();
    }
    Ok(())
}
