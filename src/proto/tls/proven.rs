//! Signatures of certificates that were found good are not computed again.
//!
//! A client that makes many connections to a server is shown the same chain each time. Whether a key made a signature never
//! changes, so that answer is kept; what may change, or differ between two settings (time, name, revocation, roots, pins), is
//! looked at anew with each chain. What is kept is the SHA-256 of algorithm, key, message and signature together: to be
//! taken for proven, a forged signature would have to collide with a good one.
//!
//! rustls wants its algorithms to live for ever, so the memory is one for the process. It is a table of fixed size without a
//! lock, which a fork cannot leave locked. Of an entry that is read while it is written, the parts may be of two digests:
//! that is no digest of anything.

use super::provider;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::hash::Hash;
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Entries of 32 bytes; a new one takes the place of whichever was there.
const ENTRIES: usize = 512;

type Digest = [u64; 4];

struct Memory([[AtomicU64; 4]; ENTRIES]);

impl Memory {
    const fn new() -> Memory {
        Memory([const { [const { AtomicU64::new(0) }; 4] }; ENTRIES])
    }

    fn entry(&self, digest: &Digest) -> &[AtomicU64; 4] {
        &self.0[usize::try_from(digest[0] % ENTRIES as u64).unwrap_or_default()]
    }

    fn has(&self, digest: &Digest) -> bool {
        self.entry(digest).iter().zip(digest).all(|(kept, word)| kept.load(Ordering::Relaxed) == *word)
    }

    fn keep(&self, digest: &Digest) {
        for (kept, word) in self.entry(digest).iter().zip(digest) {
            kept.store(*word, Ordering::Relaxed);
        }
    }
}

struct Proven {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    /// Of the algorithm, among those of the provider.
    number: u8,
    sha256: &'static dyn Hash,
    memory: &'static Memory,
}

impl Proven {
    fn digest(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Digest {
        let mut hash = self.sha256.start();
        hash.update(&[self.number]);
        for part in [key, message, signature] {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut digest = Digest::default();
        for (word, bytes) in digest.iter_mut().zip(hash.finish().as_ref().chunks_exact(8)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        digest
    }
}

impl SignatureVerificationAlgorithm for Proven {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let digest = self.digest(key, message, signature);
        if self.memory.has(&digest) {
            return Ok(());
        }
        self.algorithm.verify_signature(key, message, signature)?;
        self.memory.keep(&digest);
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }

    fn fips(&self) -> bool {
        self.algorithm.fips()
    }
}

impl fmt::Debug for Proven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.algorithm.fmt(f)
    }
}

static MEMORY: Memory = Memory::new();

fn proven(algorithms: &[&'static dyn SignatureVerificationAlgorithm], memory: &'static Memory) -> Vec<Proven> {
    let sha256 = provider::sha256();
    let number = 0u8..;
    algorithms
        .iter()
        .zip(number)
        .map(|(algorithm, number)| Proven { algorithm: *algorithm, number, sha256, memory })
        .collect()
}

/// For the signatures in a chain. That of the handshake itself is over something new each time.
pub(super) fn for_chains(all: WebPkiSupportedAlgorithms) -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    static PROVEN: OnceLock<Vec<Proven>> = OnceLock::new();
    static LIST: OnceLock<Vec<&'static dyn SignatureVerificationAlgorithm>> = OnceLock::new();
    /// Somebody sets them. Nobody waits for that: in a forked child it may never come to its end.
    static CLAIMED: AtomicBool = AtomicBool::new(false);
    if LIST.get().is_none() && !CLAIMED.swap(true, Ordering::SeqCst) {
        drop(PROVEN.set(proven(all.all, &MEMORY)));
        let list = PROVEN.get().map(|all| all.iter().map(|one| one as &dyn SignatureVerificationAlgorithm).collect());
        drop(LIST.set(list.unwrap_or_default()));
    }
    LIST.get().map_or(all.all, Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// Takes a signature that is the message, and counts.
    #[derive(Debug)]
    struct Same(AtomicUsize);

    impl SignatureVerificationAlgorithm for Same {
        fn verify_signature(&self, _: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
            self.0.fetch_add(1, Ordering::Relaxed);
            if message == signature { Ok(()) } else { Err(InvalidSignature) }
        }

        fn public_key_alg_id(&self) -> AlgorithmIdentifier {
            rustls::pki_types::alg_id::ED25519
        }

        fn signature_alg_id(&self) -> AlgorithmIdentifier {
            rustls::pki_types::alg_id::ED25519
        }
    }

    fn two() -> (&'static [&'static Same; 2], Vec<Proven>) {
        let same: &'static [&'static Same; 2] =
            Box::leak(Box::new([0; 2].map(|_| &*Box::leak(Box::new(Same(AtomicUsize::new(0)))))));
        let memory = Box::leak(Box::new(Memory::new()));
        (same, proven(&[same[0], same[1]], memory))
    }

    #[test]
    fn a_good_signature_is_computed_once_and_a_bad_one_each_time() {
        let (same, all) = two();
        for _ in 0..3 {
            assert!(all[0].verify_signature(b"key", b"message", b"message").is_ok());
        }
        assert_eq!(same[0].0.load(Ordering::Relaxed), 1);
        for _ in 0..3 {
            assert!(all[0].verify_signature(b"key", b"message", b"massage").is_err());
        }
        assert_eq!(same[0].0.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn whatever_differs_is_another_signature() {
        let (same, all) = two();
        assert!(all[0].verify_signature(b"key", b"mm", b"mm").is_ok());
        // Another algorithm, another key, and the same bytes with other borders.
        assert!(all[1].verify_signature(b"key", b"mm", b"mm").is_ok());
        assert_eq!(same[1].0.load(Ordering::Relaxed), 1);
        assert!(all[0].verify_signature(b"kez", b"mm", b"mm").is_ok());
        assert!(all[0].verify_signature(b"keym", b"m", b"mm").is_err());
        assert!(all[0].verify_signature(b"key", b"mmm", b"m").is_err());
        assert_eq!(same[0].0.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn the_memory_is_bounded_and_forgets() {
        let (same, all) = two();
        let sign = |n: u32| all[0].verify_signature(b"key", &n.to_be_bytes(), &n.to_be_bytes()).is_ok();
        let many = 4 * u32::try_from(ENTRIES).expect("few");
        assert!((0..many).all(sign));
        assert!((0..many).all(sign));
        let computed = same[0].0.load(Ordering::Relaxed);
        assert!(computed > many as usize, "{computed}: something was forgotten");
    }
}
