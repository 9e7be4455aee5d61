//! What makes two connections different. One type holds all of it, and comparing takes it apart without `..`: a new
//! setting does not compile until somebody has ruled on it.

pub use crate::net::backend::{Address, Bind};
pub use crate::proto::url::Scheme;

use crate::proto::tls::Tls;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Which version of HTTP is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Http {
    /// Over TLS what ALPN agrees on; HTTP/1.1 in the clear.
    #[default]
    Agreed,
    /// HTTP/1.1 only.
    One,
    /// HTTP/2 only, in the clear too (RFC 9113 section 3.3, prior knowledge).
    Two,
}

/// Everything that must be equal for a request to use a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OriginKey {
    pub scheme: Scheme,
    /// Lower case, without brackets.
    /// Shared with the sessions of TLS.
    pub host: Arc<str>,
    pub port: u16,
    /// An address that stands in for host and port.
    pub to: Option<Address>,
    /// Our own end.
    pub bind: Bind,
    /// The settings of TLS, trust and identity among them; `None` for plain connections. Compared as one: two objects that
    /// were made from the same settings are different.
    pub tls: Option<Arc<Tls>>,
    pub http: Http,
}

impl OriginKey {
    /// Whether a connection may turn out to carry many requests at a time.
    pub fn may_share(&self) -> bool {
        match self.http {
            Http::One => false,
            Http::Two => self.scheme != Scheme::Raw,
            Http::Agreed => self.scheme == Scheme::Https && self.tls.as_ref().is_some_and(|tls| tls.offers_h2()),
        }
    }
}

impl Hash for OriginKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let OriginKey { scheme, host, port, to, bind, tls, http } = self;
        scheme.hash(state);
        host.hash(state);
        port.hash(state);
        to.hash(state);
        bind.hash(state);
        tls.hash(state);
        http.hash(state);
    }
}
