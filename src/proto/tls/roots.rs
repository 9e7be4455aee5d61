//! Whom to trust: certificates of authorities, parsed once and shared.

use super::{Invalid, What};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use std::fmt;
use webpki::anchor_from_trusted_cert;

/// The authorities of one place. Cheap to share, not to make: a system's store has some 150.
pub struct Roots {
    anchors: Vec<TrustAnchor<'static>>,
    source: String,
}

impl Roots {
    /// Certificates that somebody chose: each of them has to be one. `source` tells in messages where they came from, for
    /// example "tls_ca_file /x.pem".
    pub fn from_pem(pem: &[u8], source: impl Into<String>) -> Result<Roots, Invalid> {
        let source = source.into();
        let certificates = certificates(pem).map_err(|why| Invalid::new(What::Roots, format!("{source}: {why}")))?;
        let mut anchors = Vec::with_capacity(certificates.len());
        for (i, certificate) in certificates.iter().enumerate() {
            let anchor = anchor_from_trusted_cert(certificate).map_err(|error| {
                let why = format!("{source}: certificate {} cannot be read: {error}", i + 1);
                Invalid::new(What::Roots, why)
            })?;
            anchors.push(anchor.to_owned());
        }
        Ok(Roots { anchors, source })
    }

    /// Certificates of a large collection, among which some are of kinds that are not understood: those are left out.
    pub fn from_der<'a>(
        certificates: impl IntoIterator<Item = CertificateDer<'a>>,
        source: impl Into<String>,
    ) -> Result<Roots, Invalid> {
        let readable = |c: CertificateDer<'a>| anchor_from_trusted_cert(&c).ok().map(|anchor| anchor.to_owned());
        let anchors: Vec<_> = certificates.into_iter().filter_map(readable).collect();
        let source = source.into();
        if anchors.is_empty() {
            return Err(Invalid::new(What::Roots, format!("{source}: there is no certificate that can be read")));
        }
        Ok(Roots { anchors, source })
    }

    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.anchors.len()
    }

    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots").field("source", &self.source).field("len", &self.len()).finish()
    }
}

/// The certificates of a PEM text; at least one.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err("there is no certificate in it (PEM)".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("it is no PEM: {error}")),
    }
}
