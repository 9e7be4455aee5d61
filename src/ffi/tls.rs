//! The TLS handle, and the options that it is made from.

use super::config::chttp_config;
use super::error::chttp_error;
use super::guard::{Refusal, guard_explained};
use super::process::PerProcess;
use crate::client::Settings;
use crate::client::trust::{Options, Unusable};
use crate::error as e;
use crate::mem::{Block, Obj, Object};
use crate::net::sys;
use crate::proto::tls::Tls;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

/// A file of certificates of authorities to trust, in PEM. When files are read, chttp_tls_new() says. Default "": none.
pub const CHTTP_OPT_TLS_CA_FILE: u32 = 28;
/// The same as bytes. Both together are trusted. Default: none.
pub const CHTTP_OPT_TLS_CA_PEM: u32 = 29;
/// Whether the system's authorities are trusted. 0: never. 1: always, along with those of `tls_ca_file` and `tls_ca_pem`.
/// 2: if neither is set. Default 2. They are read once in a process, at the first https request; SSL_CERT_FILE and
/// SSL_CERT_DIR in the environment name others.
pub const CHTTP_OPT_TLS_SYSTEM_ROOTS: u32 = 30;
/// A file of our own certificate and those between it and an authority that servers know, in PEM: it is shown to servers
/// that ask for one. Default "": none.
pub const CHTTP_OPT_TLS_CERT_FILE: u32 = 31;
/// The same as bytes; not both. Default: none.
pub const CHTTP_OPT_TLS_CERT_PEM: u32 = 32;
/// A file of the private key that goes with `tls_cert_file` or `tls_cert_pem`, in PEM (PKCS #8, PKCS #1 or SEC 1), not
/// encrypted. Default "": it stands behind the certificate.
pub const CHTTP_OPT_TLS_KEY_FILE: u32 = 33;
/// The same as bytes; not both. Default: none.
pub const CHTTP_OPT_TLS_KEY_PEM: u32 = 34;
/// The name that is sent to the server (SNI) and that its certificate must be for, instead of the URL's host: a host name or
/// an address. Default "": the URL's host.
pub const CHTTP_OPT_TLS_SERVER_NAME: u32 = 35;
/// Application protocols to offer (RFC 7301), the best first, with commas between them. "-" for none at all. Default "",
/// which is "h2,http/1.1" as far as CHTTP_OPT_HTTP_VERSION allows, and "http/1.1" for raw streams. If the server chooses "h2",
/// HTTP/2 is spoken, and HTTP/1.1 whatever else it chooses: others are for tunnels and tests.
pub const CHTTP_OPT_TLS_ALPN: u32 = 36;
/// The lowest version of TLS: 12 for TLS 1.2, or 13. Default 12.
pub const CHTTP_OPT_TLS_MIN_VERSION: u32 = 37;
/// The highest version of TLS: 12 or 13. Default 13.
pub const CHTTP_OPT_TLS_MAX_VERSION: u32 = 38;
/// 1: any certificate is accepted, for any name, expired or revoked: whoever stands on the way can read and change
/// everything. `tls_pins` still holds, for the server's own key. Default 0.
pub const CHTTP_OPT_TLS_INSECURE_NO_VERIFICATION: u32 = 39;
/// How many servers' sessions are kept, so that the next connection needs less of a handshake; 0 for none. A session holds
/// the server's chain, and there are up to 4 of a server: 20 KB are usual. Default 256.
pub const CHTTP_OPT_TLS_SESSION_CACHE: u32 = 40;
/// 1: the secrets of every connection are appended to the file that SSLKEYLOGFILE in the environment names, so that
/// recorded traffic can be read. Default 0.
pub const CHTTP_OPT_TLS_KEY_LOG: u32 = 41;
/// Verify certificates as if it were so many seconds after 1970 began (UTC). Default 0: now.
pub const CHTTP_OPT_TLS_VERIFY_TIME: u32 = 42;
/// Hashes of keys, `sha256/BASE64` of a SubjectPublicKeyInfo (RFC 7469 section 2.4), with commas between them: one of them
/// must be in the verified chain, the authority's own included, which is verified all the same. Default "": any key.
pub const CHTTP_OPT_TLS_PINS: u32 = 43;
/// A file of revocation lists, PEM or one in DER. If any are set, each certificate of a chain but the root must have its
/// issuer's among them, up to date: what cannot be told is refused. Default "": revocation is not checked.
pub const CHTTP_OPT_TLS_CRL_FILE: u32 = 44;
/// The same as bytes, in PEM or DER. Both together count. Default: none.
pub const CHTTP_OPT_TLS_CRL_PEM: u32 = 45;
/// X25519MLKEM768, a key exchange that a quantum computer does not break. 0: not used. 1: offered; a server that wants it
/// costs one more round trip. 2: preferred, which makes the first message 1.2 KB longer. Default 2. A library built with
/// ring has none.
pub const CHTTP_OPT_TLS_KEY_EXCHANGE_PQ: u32 = 46;

/// TLS settings of the engine, a chttp_tls: several engines may share one, and its sessions. It stands for all options
/// `tls_...` but `tls_timeout_ns`: chttp_engine_new() answers CHTTP_E_INVALID_TLS if another of these is set beside it.
/// Default: none.
pub const CHTTP_OPT_TLS: u32 = 55;

/// Whom to trust and who we are, for https: the TLS options of a configuration, read and checked once. Immutable, refcounted
/// and thread-safe; any number of requests and engines may share one. Connections and sessions that were made under one are
/// never used under another.
pub struct chttp_tls {
    inner: PerProcess<Arc<Tls>>,
}

impl Object for chttp_tls {
    const TAG: u32 = 0x5452_5354;
}

impl chttp_tls {
    /// The settings behind a handle; none for NULL.
    ///
    /// # Safety
    /// `tls` is NULL or an object that is not released for `'a`.
    pub(super) unsafe fn get<'a>(tls: *const c_void) -> Result<Option<&'a Arc<Tls>>, Refusal> {
        let Some(raw) = NonNull::new(tls.cast_mut()) else { return Ok(None) };
        // SAFETY: by contract.
        let tls = unsafe { Block::peek::<chttp_tls>(raw) };
        let (tls, _) = tls.ok_or_else(|| Refusal::new(e::CHTTP_E_INVALID_ARG, "it is no chttp_tls"))?;
        if tls.inner.get().is_err() {
            tls.inner.succeed(Arc::new(tls.inner.any().successor()));
        }
        Ok(Some(tls.inner.get()?))
    }
}

/// # Safety
/// `obj` is NULL or an object.
pub(super) unsafe fn set_tls(settings: &mut Settings, obj: *const c_void) -> Result<(), Refusal> {
    // SAFETY: by contract.
    let tls = unsafe { chttp_tls::get(obj) }.map_err(|refusal| match refusal.code {
        e::CHTTP_E_INVALID_ARG => Refusal { code: e::CHTTP_E_OPTION_TYPE, ..refusal },
        _ => refusal,
    })?;
    settings.tls_made = tls.map(|tls| (tls.clone(), sys::process_epoch()));
    Ok(())
}

impl From<Unusable> for Refusal {
    fn from(unusable: Unusable) -> Refusal {
        Refusal::new(e::CHTTP_E_INVALID_TLS, unusable.to_string())
    }
}

/// Make TLS settings from the `tls_...` options of `config`, for requests that need others than their engine. Files are
/// read in this call, and not again. `config` may be NULL for the defaults; nothing of it is needed afterwards. It may be the
/// one that an engine is made from: its other options are not looked at.
///
/// An engine has settings of its own. They are made by chttp_engine_new() if any of these options was set, else by the
/// first https request without a chttp_tls.
///
/// `error`, unless NULL, receives on failure an object that names the option and the rule; release it.
///
/// Context:   [any-thread]
/// Ownership: release it with chttp_tls_release() or chttp_release(), which are the same; chttp_retain() adds a reference.
/// Returns:   0 and `*out`; CHTTP_E_INVALID_ARG, CHTTP_E_INVALID_TLS, CHTTP_E_NOMEM.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_tls_new(
    config: *const chttp_config,
    out: *mut *mut chttp_tls,
    error: *mut *mut chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about all pointers.
    unsafe {
        guard_explained(error, || {
            if out.is_null() {
                return Err(Refusal::new(e::CHTTP_E_INVALID_ARG, "out is NULL"));
            }
            let made = match config.as_ref() {
                Some(config) => config.settings().tls.build()?,
                None => Options::default().build()?,
            };
            let block = Block::unpooled(Obj::<chttp_tls>::payload(0)).ok_or(e::CHTTP_E_NOMEM)?;
            let tls = Obj::new(block, chttp_tls { inner: PerProcess::new(Arc::new(made)) });
            out.write(tls.into_block().into_raw().cast());
            Ok(0)
        })
    }
}

/// Release one reference to TLS settings. Requests that were submitted with them, and engines that were made with them, keep
/// what they need. NULL is nothing.
///
/// Context:   [any-ctx] [child-ok]
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_tls_release(tls: *mut chttp_tls) {
    // SAFETY: the caller's promise.
    unsafe { super::object::chttp_release(tls.cast()) }
}
