//! What makes two connections different. One type holds all of it, and comparing takes it apart without `..`: a new
//! setting does not compile until somebody has ruled on it.

pub use crate::proto::url::Scheme;

use std::hash::{Hash, Hasher};

/// Everything that must be equal for a request to use a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OriginKey {
    pub scheme: Scheme,
    /// Lower case, without brackets.
    pub host: Box<str>,
    pub port: u16,
    /// A Unix socket that stands in for host and port.
    pub unix: Option<Box<std::path::Path>>,
}

impl Hash for OriginKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let OriginKey { scheme, host, port, unix } = self;
        scheme.hash(state);
        host.hash(state);
        port.hash(state);
        unix.hash(state);
    }
}
