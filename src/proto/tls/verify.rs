//! Whether a certificate is to be trusted: the chain, the name, the time, revocation, and pins, with the whole reason in
//! words.
//!
//! rustls carries a verdict as one of its own errors, which choose the alert and have no room for our words. These wait
//! here instead, for the thread that verifies: it comes to fetch them in the same call.

use super::describe::{certificate, utc, validity};
use super::error::{Error, Kind};
use super::pin::Pin;
use super::roots::Roots;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::hash::Hash;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, UnixTime};
use rustls::{CertRevocationListError, CertificateError, DigitallySignedStruct, Error as Rustls, SignatureScheme};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth, RevocationOptionsBuilder,
    UnknownStatusPolicy, VerifiedPath, spki_for_anchor,
};

thread_local! {
    static MARK: u8 = const { 0 };
}

/// A running thread, by the address of what is its own. `std::thread::current` would leave a handle behind on a thread
/// that the caller made.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Thread(usize);

impl Thread {
    fn current() -> Thread {
        Thread(MARK.with(|mark| std::ptr::from_ref(mark).addr()))
    }
}

pub(super) struct Verifier {
    pub(super) roots: Vec<Arc<Roots>>,
    pub(super) crls: Arc<[CertRevocationList<'static>]>,
    /// Empty for any key.
    pub(super) pins: Vec<Pin>,
    /// Chain, name, time and revocation are not looked at.
    pub(super) insecure: bool,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    /// The same, for the signatures in a chain.
    pub(super) for_chains: &'static [&'static dyn SignatureVerificationAlgorithm],
    pub(super) sha256: &'static dyn Hash,
    pub(super) reasons: Mutex<Vec<(Thread, Error)>>,
}

/// The verdict of a chain that is not accepted.
enum Refused {
    Chain(webpki::Error),
    Pin,
}

impl From<webpki::Error> for Refused {
    fn from(error: webpki::Error) -> Refused {
        Refused::Chain(error)
    }
}

impl Verifier {
    /// The same for a forked child.
    pub(super) fn successor(&self) -> Verifier {
        Verifier {
            roots: self.roots.clone(),
            crls: self.crls.clone(),
            pins: self.pins.clone(),
            insecure: self.insecure,
            algorithms: self.algorithms,
            for_chains: self.for_chains,
            sha256: self.sha256,
            reasons: Mutex::default(),
        }
    }

    /// The reason that the last call on this thread had for its refusal.
    pub(super) fn reason(&self) -> Option<Error> {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let here = Thread::current();
        let at = reasons.iter().position(|(thread, _)| *thread == here)?;
        Some(reasons.swap_remove(at).1)
    }

    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Refused> {
        let leaf = EndEntityCert::try_from(end_entity)?;
        if self.insecure {
            // Whatever the peer sends along proves nothing here.
            let pinned = self.pins.is_empty() || self.is_pinned(&leaf.subject_public_key_info());
            return if pinned { Ok(()) } else { Err(Refused::Pin) };
        }
        let crls: Vec<&CertRevocationList<'_>> = self.crls.iter().collect();
        let mut refused = webpki::Error::UnknownIssuer;
        for roots in &self.roots {
            let revocation = RevocationOptionsBuilder::new(&crls).ok().map(|options| {
                options
                    .with_depth(RevocationCheckDepth::Chain)
                    .with_status_policy(UnknownStatusPolicy::Deny)
                    .with_expiration_policy(ExpirationPolicy::Enforce)
                    .build()
            });
            let verified = leaf.verify_for_usage(
                self.for_chains,
                roots.anchors(),
                intermediates,
                now,
                KeyUsage::server_auth(),
                revocation,
                None,
            );
            match verified {
                Ok(path) => {
                    leaf.verify_is_valid_for_subject_name(name)?;
                    return if self.is_path_pinned(&path) { Ok(()) } else { Err(Refused::Pin) };
                }
                Err(webpki::Error::UnknownIssuer) => {}
                Err(error) => refused = error,
            }
        }
        Err(refused.into())
    }

    fn is_path_pinned(&self, path: &VerifiedPath<'_>) -> bool {
        self.pins.is_empty()
            || self.is_pinned(&path.end_entity().subject_public_key_info())
            || path.intermediate_certificates().any(|c| self.is_pinned(&c.subject_public_key_info()))
            || self.is_pinned(&spki_for_anchor(path.anchor()))
    }

    fn is_pinned(&self, spki: &[u8]) -> bool {
        let hash = self.sha256.hash(spki);
        self.pins.iter().any(|pin| pin.0 == hash.as_ref())
    }

    /// Where the roots came from: "tls_ca_file /x.pem and the system's store (...)".
    fn sources(&self) -> String {
        let sources: Vec<&str> = self.roots.iter().map(|r| r.source()).collect();
        sources.join(" and ")
    }

    fn explain(&self, refused: &Refused, leaf: &CertificateDer<'_>, name: &str) -> Error {
        use webpki::Error as E;
        let own = validity(leaf);
        // Of the leaf, or of one above it: the dates tell.
        let whose = |own: Option<&String>, date: &String| if own == Some(date) { "" } else { "stands below one that " };
        let (kind, why) = match refused {
            Refused::Pin => (Kind::Pin, "has none of the pinned keys in its chain".to_owned()),
            Refused::Chain(E::CertExpired { time, not_after }) => {
                let date = utc(not_after.as_secs());
                let whose = whose(own.as_ref().map(|(_, until)| until), &date);
                (
                    Kind::CertExpired,
                    format!("{whose}has expired: it was valid until {date}, and now it is {}", now(*time)),
                )
            }
            Refused::Chain(E::CertNotValidYet { time, not_before }) => {
                let date = utc(not_before.as_secs());
                let whose = whose(own.as_ref().map(|(from, _)| from), &date);
                let why = format!("{whose}is not valid yet: it will be from {date} on, and now it is {}", now(*time));
                (Kind::CertNotYetValid, why)
            }
            Refused::Chain(E::CertNotValidForName(_)) => (Kind::CertName, "is not for this name".to_owned()),
            Refused::Chain(E::UnknownIssuer) => {
                let why = format!("is not trusted: no authority in {} vouches for it", self.sources());
                (Kind::CertUnknownCa, why)
            }
            Refused::Chain(E::InvalidSignatureForPublicKey) => {
                // There is one of that name, with another key.
                let sources = self.sources();
                let why =
                    format!("is not trusted: the authority that its chain names, in {sources}, has not signed it");
                (Kind::CertUnknownCa, why)
            }
            Refused::Chain(E::CertRevoked) => (Kind::CertRevoked, "was revoked, or one above it was".to_owned()),
            Refused::Chain(E::UnknownRevocationStatus) => {
                let why = "may be revoked, or one above it: no revocation list (CRL) of its issuer was given";
                (Kind::CertRevoked, why.to_owned())
            }
            Refused::Chain(E::CrlExpired { time, next_update }) => {
                let (date, now) = (utc(next_update.as_secs()), now(*time));
                let why =
                    format!("may be revoked: the revocation list (CRL) was good until {date}, and now it is {now}");
                (Kind::CertRevoked, why)
            }
            Refused::Chain(E::IssuerNotCrlSigner | E::InvalidCrlSignatureForPublicKey) => {
                let why = "may be revoked: the revocation list (CRL) is not signed by its issuer";
                (Kind::CertRevoked, why.to_owned())
            }
            Refused::Chain(error) => (Kind::CertInvalid, format!("breaks a rule: {}", rule(error))),
        };
        Error::new(kind, format!("the certificate of \"{name}\" {why}. It is {}", certificate(leaf)))
    }
}

/// The rules that are broken most often, in words; the others by their name.
fn rule(error: &webpki::Error) -> String {
    use webpki::Error as E;
    let text = match error {
        E::CaUsedAsEndEntity => "it is an authority's own (basicConstraints says CA), and no server's",
        E::EndEntityUsedAsCa => "it was issued by a certificate that is no authority's",
        E::NameConstraintViolation => "its issuer may not vouch for such a name (name constraints)",
        E::PathLenConstraintViolated => "there are more authorities in its chain than one of them allows (path length)",
        E::RequiredEkuNotFoundContext(_) => "it is not for servers (extended key usage)",
        E::UnsupportedCertVersion => "it is not of version 3",
        E::MaximumPathBuildCallsExceeded
        | E::MaximumPathDepthExceeded
        | E::MaximumSignatureChecksExceeded
        | E::MaximumNameConstraintComparisonsExceeded => "its chain takes too much work to verify",
        E::BadDer | E::BadDerTime | E::TrailingData(_) => "it is not encoded as it must be (DER)",
        other => return other.to_string(),
    };
    text.to_owned()
}

fn now(time: UnixTime) -> String {
    utc(time.as_secs())
}

/// As rustls would have it, so that the peer gets the right alert.
fn for_alert(refused: Refused) -> Rustls {
    use webpki::Error as E;
    let error = match refused {
        Refused::Pin => CertificateError::ApplicationVerificationFailure,
        Refused::Chain(E::CertExpired { time, not_after }) => CertificateError::ExpiredContext { time, not_after },
        Refused::Chain(E::CertNotValidYet { time, not_before }) => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        Refused::Chain(E::CertNotValidForName(_)) => CertificateError::NotValidForName,
        Refused::Chain(E::UnknownIssuer | E::InvalidSignatureForPublicKey) => CertificateError::UnknownIssuer,
        Refused::Chain(E::CertRevoked) => CertificateError::Revoked,
        Refused::Chain(E::UnknownRevocationStatus) => CertificateError::UnknownRevocationStatus,
        Refused::Chain(E::CrlExpired { .. }) => CertificateError::ExpiredRevocationList,
        Refused::Chain(E::IssuerNotCrlSigner) => return CertRevocationListError::IssuerInvalidForCrl.into(),
        Refused::Chain(E::InvalidCrlSignatureForPublicKey) => return CertRevocationListError::BadSignature.into(),
        Refused::Chain(E::RequiredEkuNotFoundContext(_)) => CertificateError::InvalidPurpose,
        Refused::Chain(_) => CertificateError::BadEncoding,
    };
    error.into()
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("roots", &self.sources()).field("insecure", &self.insecure).finish()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Rustls> {
        self.judge(end_entity, intermediates, name, now).map_err(|refused| {
            let reason = self.explain(&refused, end_entity, &name.to_str());
            let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
            let here = Thread::current();
            reasons.retain(|(thread, _)| *thread != here);
            reasons.push((here, reason));
            for_alert(refused)
        })?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Rustls> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Rustls> {
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
