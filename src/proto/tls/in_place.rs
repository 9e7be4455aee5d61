//! Plaintext stays where it was deciphered.
//!
//! rustls deciphers a record in the caller's own buffer, copies the plaintext to a vector, and lends that out: another 16 KB
//! allocated, written and read for each record. Here a cipher suite is the library's own with one difference: while a thread
//! is [`noting`], the place of a record of the application's data is noted, and rustls sees no more of it than its first
//! byte. Whoever gave the buffer, and is told by rustls that there is plaintext, finds it at that place.
//!
//! A byte and not none, because rustls counts empty records against the peer, and because it stays rustls that says whether
//! and when the application may have a record: it stops at each that is not empty.
#![forbid(unsafe_code)]

use rustls::crypto::CipherSuiteCommon;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, KeyBlockShape, MessageDecrypter, MessageEncrypter,
    Tls12AeadAlgorithm, Tls13AeadAlgorithm, UnsupportedOperationError,
};
use rustls::{ConnectionTrafficSecrets, ContentType, Error, SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite};
use std::cell::Cell;
use std::ops::Range;

/// A record's plaintext: its address, and how long it is.
#[derive(Clone, Copy)]
pub struct Place {
    address: usize,
    len: usize,
}

impl Place {
    /// Where it stands in the buffer that begins at the address `base`.
    pub fn range(self, base: usize) -> Range<usize> {
        self.address - base..self.address - base + self.len
    }
}

#[derive(Clone, Copy)]
enum Notes {
    Off,
    On(Option<Place>),
}

thread_local! {
    static NOTES: Cell<Notes> = const { Cell::new(Notes::Off) };
}

/// Call into rustls, and note the place of the last record that was deciphered.
pub fn noting<R>(call: impl FnOnce() -> R) -> (R, Option<Place>) {
    /// Also when the call panics, nothing of it is left for the next.
    struct Noting;
    impl Drop for Noting {
        fn drop(&mut self) {
            NOTES.set(Notes::Off);
        }
    }
    NOTES.set(Notes::On(None));
    let _noting = Noting;
    let result = call();
    let Notes::On(place) = NOTES.get() else { return (result, None) };
    (result, place)
}

/// The suite as it is, except for where plaintext goes.
pub fn suite(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    let copy = |c: &CipherSuiteCommon| CipherSuiteCommon {
        suite: c.suite,
        hash_provider: c.hash_provider,
        confidentiality_limit: c.confidentiality_limit,
    };
    match suite {
        SupportedCipherSuite::Tls13(s) => SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
            common: copy(&s.common),
            hkdf_provider: s.hkdf_provider,
            aead_alg: Box::leak(Box::new(Aead13(s.aead_alg))),
            quic: s.quic,
        }))),
        SupportedCipherSuite::Tls12(s) => SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
            common: copy(&s.common),
            prf_provider: s.prf_provider,
            kx: s.kx,
            sign: s.sign,
            aead_alg: Box::leak(Box::new(Aead12(s.aead_alg))),
        }))),
    }
}

struct Aead13(&'static dyn Tls13AeadAlgorithm);

impl Tls13AeadAlgorithm for Aead13 {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        self.0.encrypter(key, iv)
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Decrypter(self.0.decrypter(key, iv)))
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn extract_keys(&self, key: AeadKey, iv: Iv) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv)
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

struct Aead12(&'static dyn Tls12AeadAlgorithm);

impl Tls12AeadAlgorithm for Aead12 {
    fn encrypter(&self, key: AeadKey, iv: &[u8], extra: &[u8]) -> Box<dyn MessageEncrypter> {
        self.0.encrypter(key, iv, extra)
    }

    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        Box::new(Decrypter(self.0.decrypter(key, iv)))
    }

    fn key_block_shape(&self) -> KeyBlockShape {
        self.0.key_block_shape()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: &[u8],
        explicit: &[u8],
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv, explicit)
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

struct Decrypter(Box<dyn MessageDecrypter>);

impl MessageDecrypter for Decrypter {
    fn decrypt<'a>(&mut self, msg: InboundOpaqueMessage<'a>, seq: u64) -> Result<InboundPlainMessage<'a>, Error> {
        let mut plain = self.0.decrypt(msg, seq)?;
        if plain.typ == ContentType::ApplicationData
            && !plain.payload.is_empty()
            && let Notes::On(_) = NOTES.get()
        {
            NOTES.set(Notes::On(Some(Place { address: plain.payload.as_ptr().addr(), len: plain.payload.len() })));
            plain.payload = &plain.payload[..1];
        }
        Ok(plain)
    }
}
