//! An authority of a test's own, and the certificates that it issues (RFC 5280): each with a key made on the spot.
//!
//! Keys are Ed25519 (RFC 8410), because any 32 random bytes are one. What is written here is DER, of which a certificate needs
//! little; nothing of it is read here.

use super::provider;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error, SignatureScheme};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Whom a certificate is for.
#[derive(Clone, Debug)]
pub enum Subject {
    Name(String),
    Address(IpAddr),
}

/// When a certificate is valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Validity {
    /// From 2000 on, for ever (RFC 5280 section 4.1.2.5).
    #[default]
    Good,
    /// In 2000.
    Expired,
    /// In 9999.
    NotYet,
}

impl Validity {
    fn der(self) -> Vec<u8> {
        const Y2000: (u8, &[u8]) = (UTC_TIME, b"000101000000Z");
        const Y2001: (u8, &[u8]) = (UTC_TIME, b"010101000000Z");
        const Y9999: (u8, &[u8]) = (GENERALIZED_TIME, b"99990101000000Z");
        const FOR_EVER: (u8, &[u8]) = (GENERALIZED_TIME, b"99991231235959Z");
        let (from, until) = match self {
            Validity::Good => (Y2000, FOR_EVER),
            Validity::Expired => (Y2000, Y2001),
            Validity::NotYet => (Y9999, FOR_EVER),
        };
        tlv(SEQUENCE, &[&tlv(from.0, &[from.1]), &tlv(until.0, &[until.1])])
    }
}

pub struct Authority {
    name: Vec<u8>,
    key: Arc<dyn SigningKey>,
    certificate: CertificateDer<'static>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    /// A new one, with a key of its own.
    pub fn new(name: &str) -> Result<Authority, Error> {
        let key = new_key()?;
        let name = common_name(name);
        // RFC 5280 section 4.2.1.9: critical.
        let constraints = tlv(OCTETS, &[&tlv(SEQUENCE, &[TRUE])]);
        let constraints = tlv(SEQUENCE, &[BASIC_CONSTRAINTS, TRUE, &constraints]);
        let certificate = sign(&*key, &name, &name, Validity::Good, &*key, &constraints)?;
        Ok(Authority { name, key, certificate })
    }

    /// Its certificate, in PEM (RFC 7468).
    pub fn pem(&self) -> String {
        let text = STANDARD.encode(&self.certificate);
        let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
        for line in text.as_bytes().chunks(64) {
            pem += &String::from_utf8_lossy(line);
            pem.push('\n');
        }
        pem + "-----END CERTIFICATE-----\n"
    }

    /// A certificate for somebody, with its key.
    pub fn issue(&self, subject: &Subject, validity: Validity) -> Result<CertifiedKey, Error> {
        let key = new_key()?;
        // RFC 5280 section 4.2.1.6: dNSName and iPAddress.
        let (text, alternative) = match subject {
            Subject::Name(name) => (name.clone(), tlv(0x82, &[name.as_bytes()])),
            Subject::Address(IpAddr::V4(a)) => (a.to_string(), tlv(0x87, &[&a.octets()])),
            Subject::Address(IpAddr::V6(a)) => (a.to_string(), tlv(0x87, &[&a.octets()])),
        };
        let alternatives = tlv(OCTETS, &[&tlv(SEQUENCE, &[&alternative])]);
        let alternatives = tlv(SEQUENCE, &[ALTERNATIVE_NAMES, &alternatives]);
        let name = common_name(&text);
        let certificate = sign(&*self.key, &self.name, &name, validity, &*key, &alternatives)?;
        Ok(CertifiedKey::new(vec![certificate], key))
    }
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    provider::plain().secure_random.fill(&mut bytes).map_err(|_| Error::FailedToGetRandomBytes)?;
    Ok(bytes)
}

fn new_key() -> Result<Arc<dyn SigningKey>, Error> {
    let seed = random::<32>()?;
    // RFC 8410 section 7.
    let pkcs8 = tlv(SEQUENCE, &[&tlv(INTEGER, &[&[0]]), ED25519, &tlv(OCTETS, &[&tlv(OCTETS, &[&seed])])]);
    provider::plain().key_provider.load_private_key(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8)))
}

/// A certificate (RFC 5280 section 4.1) of the third version with one extension.
fn sign(
    by: &dyn SigningKey,
    issuer: &[u8],
    subject: &[u8],
    validity: Validity,
    key: &dyn SigningKey,
    extension: &[u8],
) -> Result<CertificateDer<'static>, Error> {
    let unable = || Error::General("no Ed25519 in this build".to_owned());
    let mut serial = random::<16>()?;
    // Positive, and without zeros in front.
    serial[0] = serial[0] & 0x3f | 0x40;
    let version = tlv(0xa0, &[&tlv(INTEGER, &[&[2]])]);
    let extensions = tlv(0xa3, &[&tlv(SEQUENCE, &[extension])]);
    let public = key.public_key().ok_or_else(unable)?;
    let signed = tlv(
        SEQUENCE,
        &[&version, &tlv(INTEGER, &[&serial]), ED25519, issuer, &validity.der(), subject, public.as_ref(), &extensions],
    );
    let signature = by.choose_scheme(&[SignatureScheme::ED25519]).ok_or_else(unable)?.sign(&signed)?;
    Ok(tlv(SEQUENCE, &[&signed, ED25519, &tlv(BITS, &[&[0], &signature])]).into())
}

fn common_name(text: &str) -> Vec<u8> {
    let attribute = tlv(SEQUENCE, &[COMMON_NAME, &tlv(UTF8, &[text.as_bytes()])]);
    tlv(SEQUENCE, &[&tlv(SET, &[&attribute])])
}

const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const UTF8: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

const TRUE: &[u8] = &[0x01, 1, 0xff];
/// 1.3.101.112, as an algorithm without parameters (RFC 8410 section 3).
const ED25519: &[u8] = &[0x30, 5, 0x06, 3, 0x2b, 0x65, 0x70];
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x06, 3, 0x55, 0x04, 0x03];
/// 2.5.29.19
const BASIC_CONSTRAINTS: &[u8] = &[0x06, 3, 0x55, 0x1d, 0x13];
/// 2.5.29.17
const ALTERNATIVE_NAMES: &[u8] = &[0x06, 3, 0x55, 0x1d, 0x11];

/// Tag, length, and value (X.690 section 8.1).
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let bytes = len.to_be_bytes();
    let mut der = vec![tag];
    match u8::try_from(len) {
        Ok(short) if short < 0x80 => der.push(short),
        _ => {
            let long = &bytes[bytes.iter().take_while(|b| **b == 0).count()..];
            der.push(0x80 | long.len() as u8);
            der.extend_from_slice(long);
        }
    }
    parts.iter().for_each(|part| der.extend_from_slice(part));
    der
}

#[cfg(test)]
mod tests {
    use super::tlv;

    #[test]
    fn lengths_take_as_many_bytes_as_they_need() {
        for (len, head) in [
            (0, &[4, 0][..]),
            (127, &[4, 127]),
            (128, &[4, 0x81, 128]),
            (255, &[4, 0x81, 255]),
            (256, &[4, 0x82, 1, 0]),
            (65_536, &[4, 0x83, 1, 0, 0]),
        ] {
            let der = tlv(4, &[&vec![7; len]]);
            assert_eq!((&der[..head.len()], der.len()), (head, head.len() + len));
        }
    }
}
