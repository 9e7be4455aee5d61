//! TLS of scripted peers: how they answer a handshake, and who vouches for them.

use super::guard::{Refusal, bytes, guard, sized, text};
use super::mock::{chttp_backend, utf8};
use crate::error as e;
use crate::net::backend::mock::MockNet;
use crate::proto::tls::{Authority, Manner, Validity, Version};
use std::ffi::c_char;
use std::sync::Arc;

/// chttp_mock_tls.flags: the certificate has expired in 2001.
pub const CHTTP_MOCK_TLS_EXPIRED: u32 = 1;
/// The certificate is valid from 9999 on.
pub const CHTTP_MOCK_TLS_NOT_YET_VALID: u32 = 2;
/// The certificate is from an authority that nobody knows.
pub const CHTTP_MOCK_TLS_UNKNOWN_CA: u32 = 4;

/// How a scripted peer answers a handshake (CHTTP_MOCK_TLS). All-zero fields behind `size` stand for one that pleases: TLS
/// 1.3, or 1.2 if the client wants that, the application protocol "http/1.1", and a certificate for the name or address
/// that the client asks for, from the authority of chttp_mock_authority(). Sessions do not go on.
///
/// Texts may end with NUL; their length is SIZE_MAX then. They are copied.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chttp_mock_tls {
    /// sizeof(chttp_mock_tls)
    pub size: u32,
    /// What is wrong with the certificate: CHTTP_MOCK_TLS_EXPIRED or CHTTP_MOCK_TLS_NOT_YET_VALID, CHTTP_MOCK_TLS_UNKNOWN_CA.
    pub flags: u32,
    /// 12 or 13, for a peer that speaks nothing but TLS 1.2 or 1.3. 0: both.
    pub version: u32,
    /// 1 to 255: the peer answers with this alert (RFC 8446 section 6), and closes. 0: it does not.
    pub alert: u32,
    /// The application protocol that it knows (ALPN), of 1 to 255 bytes: a client that offers others alone fails. Not NULL,
    /// and of length 0: it knows nothing of ALPN. NULL: "http/1.1".
    pub alpn: *const c_char,
    pub alpn_len: usize,
    /// The name or the address that its certificate is for, in ASCII. NULL: whatever the client asks for.
    pub name: *const c_char,
    pub name_len: usize,
    /// The only cipher suite that it takes, as the IANA registry names it: of TLS 1.3, or with ECDSA. NULL: any.
    pub cipher: *const c_char,
    pub cipher_len: usize,
}

fn refused(rule: impl Into<String>) -> Refusal {
    Refusal::new(e::CHTTP_E_INVALID_ARG, rule)
}

fn authority(net: &MockNet) -> Result<Arc<Authority>, Refusal> {
    net.authority().ok_or_else(|| Refusal::new(e::CHTTP_E_IO, "there is no randomness to make keys of"))
}

/// What a step of CHTTP_MOCK_TLS says.
///
/// # Safety
/// `len` is 0, or `at` is NULL or points to `len` bytes that are what chttp_mock_tls says.
pub(super) unsafe fn manner(net: &MockNet, at: *const chttp_mock_tls, len: usize) -> Result<Manner, Refusal> {
    /// The struct as it was first.
    const LEAST: usize = 64;
    let mut manner = Manner::new(authority(net)?);
    match (at.is_null(), len) {
        (_, 0) => return Ok(manner),
        (true, _) => return Err(refused(format!("data: NULL with a length of {len}"))),
        (false, _) => {}
    }
    if len < LEAST {
        let rule = format!("len is {len}; sizeof(chttp_mock_tls) is {}", size_of::<chttp_mock_tls>());
        return Err(Refusal::new(e::CHTTP_E_INVALID_SIZE, rule));
    }
    // SAFETY: by contract; there are as many bytes as the step says, of which the struct claims no more.
    let said = unsafe { at.cast::<u32>().read_unaligned() } as usize;
    if said != len {
        return Err(Refusal::new(e::CHTTP_E_INVALID_SIZE, format!("chttp_mock_tls.size is {said}, and len {len}")));
    }
    // SAFETY: as above.
    let wanted = unsafe { sized::<chttp_mock_tls>("chttp_mock_tls", at.cast(), LEAST) }?;
    manner.validity = match wanted.flags & !CHTTP_MOCK_TLS_UNKNOWN_CA {
        0 => Validity::Good,
        CHTTP_MOCK_TLS_EXPIRED => Validity::Expired,
        CHTTP_MOCK_TLS_NOT_YET_VALID => Validity::NotYet,
        _ => return Err(refused(format!("chttp_mock_tls.flags: {:#x}", wanted.flags))),
    };
    if wanted.flags & CHTTP_MOCK_TLS_UNKNOWN_CA != 0 {
        let unknown = Authority::new("an authority that nobody knows");
        manner.authority = unknown.map(Arc::new).map_err(|error| Refusal::new(e::CHTTP_E_IO, error.to_string()))?;
    }
    manner.version = match wanted.version {
        0 => None,
        12 => Some(Version::Tls12),
        13 => Some(Version::Tls13),
        other => return Err(refused(format!("chttp_mock_tls.version is {other}; it can be 12, 13 or 0"))),
    };
    manner.alert = match u8::try_from(wanted.alert) {
        Ok(0) => None,
        Ok(alert) => Some(alert),
        Err(_) => return Err(refused(format!("chttp_mock_tls.alert is {}; it can be 0 to 255", wanted.alert))),
    };
    // SAFETY: by contract.
    let alpn = unsafe { bytes("chttp_mock_tls.alpn", wanted.alpn, wanted.alpn_len) }?;
    match alpn {
        Some(long) if long.len() > 255 => {
            return Err(refused(format!("chttp_mock_tls.alpn has {} bytes; it can have 255", long.len())));
        }
        Some(alpn) => manner.alpn = alpn.to_vec(),
        None => {}
    }
    if !wanted.name.is_null() {
        // SAFETY: by contract.
        let name = unsafe { utf8("chttp_mock_tls.name", wanted.name, wanted.name_len) }?;
        if name.is_empty() || name.len() > 255 || !name.is_ascii() {
            return Err(refused("chttp_mock_tls.name is not ASCII of 1 to 255 bytes"));
        }
        manner.name = Some(name.to_owned());
    }
    if !wanted.cipher.is_null() {
        // SAFETY: by contract.
        let cipher = unsafe { utf8("chttp_mock_tls.cipher", wanted.cipher, wanted.cipher_len) }?;
        if !manner.only(cipher) {
            let rule = format!("chttp_mock_tls.cipher: no such suite for this version: \"{}\"", cipher.escape_debug());
            return Err(refused(rule));
        }
    }
    Ok(manner)
}

/// The certificate of the authority that vouches for the peers of this mock, in PEM: for chttp_tls_config_add_ca_pem(), or
/// CHTTP_OPT_TLS_CA_PEM. Each mock has one of its own, whose key never leaves it. By the rule of snprintf.
///
/// Context:   [any-ctx]
/// Returns:   length of the text; CHTTP_E_INVALID_ARG, CHTTP_E_FORKED, CHTTP_E_IO (no random bytes for a key).
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_mock_authority(backend: *const chttp_backend, buf: *mut c_char, cap: usize) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let net = unsafe { chttp_backend::net(backend) }?;
        let pem = authority(net).map_err(|refusal| refusal.code)?.pem();
        // SAFETY: as above.
        unsafe { text(&pem, buf, cap) }
    })
}
