//! The library that does the cryptography: aws-lc-rs, or ring.

#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as library;
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
use rustls::crypto::ring as library;

use super::in_place;
use rustls::CipherSuite::{
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS13_AES_128_GCM_SHA256,
};
use rustls::SupportedCipherSuite;
use rustls::crypto::hash::Hash;
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
compile_error!("TLS needs one of the features aws-lc-rs and ring");

/// What becomes of X25519MLKEM768, the key exchange that a quantum computer does not break. ring has none of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PostQuantum {
    Off,
    /// For a server that takes nothing else; it costs a second round trip.
    Offered,
    #[default]
    Preferred,
}

#[cfg(feature = "aws-lc-rs")]
const HYBRID: Option<&dyn SupportedKxGroup> = Some(library::kx_group::X25519MLKEM768);
#[cfg(not(feature = "aws-lc-rs"))]
const HYBRID: Option<&dyn SupportedKxGroup> = None;

/// One set for the process: rustls wants them to live for ever. Two who come first at once make two.
fn suites() -> Vec<SupportedCipherSuite> {
    static SUITES: OnceLock<Vec<SupportedCipherSuite>> = OnceLock::new();
    /// Somebody sets them. Nobody waits for that: in a forked child it may never come to its end.
    static CLAIMED: AtomicBool = AtomicBool::new(false);
    if let Some(suites) = SUITES.get() {
        return suites.clone();
    }
    let mut suites: Vec<_> = library::DEFAULT_CIPHER_SUITES.iter().copied().map(in_place::suite).collect();
    // As browsers have it: as secure as AES-256 and SHA-384 are in practice, and less work for every record and handshake.
    suites.sort_by_key(|suite| {
        !matches!(
            suite.suite(),
            TLS13_AES_128_GCM_SHA256 | TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 | TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    });
    if !CLAIMED.swap(true, Ordering::SeqCst) {
        drop(SUITES.set(suites.clone()));
    }
    suites
}

pub(super) fn provider(post_quantum: PostQuantum) -> CryptoProvider {
    let (first, last) = match post_quantum {
        PostQuantum::Off => (None, None),
        PostQuantum::Offered => (None, HYBRID),
        PostQuantum::Preferred => (HYBRID, None),
    };
    let groups = [library::kx_group::X25519, library::kx_group::SECP256R1, library::kx_group::SECP384R1];
    let kx_groups = first.into_iter().chain(groups).chain(last).collect();
    CryptoProvider { kx_groups, cipher_suites: suites(), ..library::default_provider() }
}

/// The library as it comes, for whoever does not need plaintext to stay where it is.
pub(super) fn plain() -> CryptoProvider {
    library::default_provider()
}

pub(super) fn sha256() -> &'static dyn Hash {
    let suite = library::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13();
    suite.expect("a suite of TLS 1.3").common.hash_provider
}
