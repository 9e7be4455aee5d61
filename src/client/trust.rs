//! TLS settings as the options have them, and what they are made into: files are read here, and the system's authorities
//! found.
//!
//! Reading and parsing the system's store takes milliseconds. It is done once in a process, when somebody needs it: an engine
//! that speaks http alone never does.

use crate::proto::tls::{self, Identity, Pin, PostQuantum, Roots, Tls, Version, What};
use rustls::KeyLogFile;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Whether the system's authorities are trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SystemRoots {
    Never,
    Always,
    /// If no others were given.
    #[default]
    Otherwise,
}

/// A thing that is given as a file, or as its contents.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Given {
    pub file: Option<Arc<str>>,
    pub bytes: Option<Arc<[u8]>>,
}

impl Given {
    fn is_none(&self) -> bool {
        self.file.is_none() && self.bytes.is_none()
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It may be a private key.
        f.debug_struct("Given").field("file", &self.file).field("bytes", &self.bytes.as_ref().map(|b| b.len())).finish()
    }
}

/// The TLS options, before anything is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    pub ca: Given,
    pub system_roots: SystemRoots,
    pub cert: Given,
    pub key: Given,
    pub server_name: Option<Arc<str>>,
    /// Protocol names with commas between them; "-" for none at all.
    pub alpn: Option<Arc<str>>,
    pub min: Version,
    pub max: Version,
    pub insecure: bool,
    pub sessions: u32,
    pub key_log: bool,
    /// 0 for now.
    pub verify_time: u64,
    /// With commas between them.
    pub pins: Option<Arc<str>>,
    pub crl: Given,
    pub post_quantum: PostQuantum,
}

impl Default for Options {
    fn default() -> Options {
        let defaults = tls::Settings::default();
        Options {
            ca: Given::default(),
            system_roots: SystemRoots::default(),
            cert: Given::default(),
            key: Given::default(),
            server_name: None,
            alpn: None,
            min: defaults.min,
            max: defaults.max,
            insecure: defaults.insecure,
            sessions: u32::try_from(defaults.sessions).unwrap_or(u32::MAX),
            key_log: false,
            verify_time: 0,
            pins: None,
            crl: Given::default(),
            post_quantum: defaults.post_quantum,
        }
    }
}

/// An option that cannot be used: its name, and the rule that it breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unusable {
    pub option: &'static str,
    pub rule: String,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "option {}: {}", self.option, self.rule)
    }
}

impl std::error::Error for Unusable {}

fn unusable(option: &'static str, rule: impl Into<String>) -> Unusable {
    Unusable { option, rule: rule.into() }
}

impl Options {
    /// Read the files and check everything.
    pub fn build(&self) -> Result<Tls, Unusable> {
        let settings = tls::Settings {
            roots: if self.insecure { Vec::new() } else { self.roots()? },
            identity: self.identity()?,
            server_name: self.server_name.as_deref().map(str::to_owned),
            alpn: self.alpn(),
            min: self.min,
            max: self.max,
            insecure: self.insecure,
            sessions: self.sessions as usize,
            key_log: self.key_log.then_some(|| Arc::new(KeyLogFile::new())),
            time: (self.verify_time != 0).then_some(self.verify_time),
            pins: self.pins()?,
            crls: self.crls()?,
            post_quantum: self.post_quantum,
        };
        Tls::new(settings).map_err(|invalid| {
            let option = match invalid.what {
                What::Roots => named(&self.ca, "tls_ca_file", "tls_ca_pem"),
                What::Certificate => named(&self.cert, "tls_cert_file", "tls_cert_pem"),
                What::Key if self.key.is_none() => named(&self.cert, "tls_cert_file", "tls_cert_pem"),
                What::Key => named(&self.key, "tls_key_file", "tls_key_pem"),
                What::ServerName => "tls_server_name",
                What::Alpn => "tls_alpn",
                What::Versions => "tls_min_version",
                What::Pins => "tls_pins",
                What::Crl => named(&self.crl, "tls_crl_file", "tls_crl_pem"),
            };
            unusable(option, invalid.why)
        })
    }

    fn roots(&self) -> Result<Vec<Arc<Roots>>, Unusable> {
        let mut roots = Vec::new();
        if let Some(path) = &self.ca.file {
            let parsed = Roots::from_pem(&read("tls_ca_file", path)?, format!("tls_ca_file {path}"));
            roots.push(Arc::new(parsed.map_err(|invalid| unusable("tls_ca_file", invalid.why))?));
        }
        if let Some(pem) = &self.ca.bytes {
            let parsed = Roots::from_pem(pem, "tls_ca_pem");
            roots.push(Arc::new(parsed.map_err(|invalid| unusable("tls_ca_pem", invalid.why))?));
        }
        match self.system_roots {
            SystemRoots::Always => roots.push(system()?),
            SystemRoots::Otherwise if roots.is_empty() => roots.push(system()?),
            SystemRoots::Never if roots.is_empty() => {
                let rule = "it is 0, and neither tls_ca_file nor tls_ca_pem is set: nobody would be trusted";
                return Err(unusable("tls_system_roots", rule));
            }
            _ => {}
        }
        Ok(roots)
    }

    fn identity(&self) -> Result<Option<Identity>, Unusable> {
        let Some(chain) = one("tls_cert_file", "tls_cert_pem", &self.cert)? else {
            return match one("tls_key_file", "tls_key_pem", &self.key)? {
                None => Ok(None),
                Some(_) => {
                    let rule = "a key needs its certificate: tls_cert_file or tls_cert_pem";
                    Err(unusable(named(&self.key, "tls_key_file", "tls_key_pem"), rule))
                }
            };
        };
        // One text may hold both.
        let key = one("tls_key_file", "tls_key_pem", &self.key)?.unwrap_or_else(|| chain.clone());
        Ok(Some(Identity { chain, key }))
    }

    fn alpn(&self) -> Option<Vec<Vec<u8>>> {
        Some(match self.alpn.as_deref()? {
            "-" => Vec::new(),
            list => list.split(',').map(|name| name.trim().as_bytes().to_vec()).collect(),
        })
    }

    fn pins(&self) -> Result<Vec<Pin>, Unusable> {
        let list = self.pins.as_deref().map(|list| list.split(',').map(str::trim));
        let pins: Result<_, tls::Invalid> = list.into_iter().flatten().map(str::parse).collect();
        pins.map_err(|invalid| unusable("tls_pins", invalid.why))
    }

    fn crls(&self) -> Result<Vec<Vec<u8>>, Unusable> {
        let file = self.crl.file.as_deref().map(|path| read("tls_crl_file", path)).transpose()?;
        Ok(file.into_iter().chain(self.crl.bytes.as_deref().map(<[u8]>::to_vec)).collect())
    }
}

/// Which of the two options it was.
fn named(given: &Given, file: &'static str, bytes: &'static str) -> &'static str {
    if given.bytes.is_some() && given.file.is_none() { bytes } else { file }
}

/// What can be given in one of two forms only.
fn one(file: &'static str, bytes: &'static str, given: &Given) -> Result<Option<Vec<u8>>, Unusable> {
    match (&given.file, &given.bytes) {
        (Some(_), Some(_)) => Err(unusable(bytes, format!("it is another form of {file}; only one can be set"))),
        (Some(path), None) => read(file, path).map(Some),
        (None, pem) => Ok(pem.as_deref().map(<[u8]>::to_vec)),
    }
}

fn read(option: &'static str, path: &str) -> Result<Vec<u8>, Unusable> {
    /// No certificate or list is as large; a device or a wrong file is.
    const MAX: u64 = 64 << 20;
    let attempt = || {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    attempt().map_err(|error: std::io::Error| unusable(option, format!("{path} cannot be read: {error}")))
}

/// The system's authorities. What failed is tried again by the next who asks.
fn system() -> Result<Arc<Roots>, Unusable> {
    static SYSTEM: OnceLock<Arc<Roots>> = OnceLock::new();
    /// Somebody sets it. Nobody waits for that: in a forked child it may never come to its end.
    static CLAIMED: AtomicBool = AtomicBool::new(false);
    if let Some(roots) = SYSTEM.get() {
        return Ok(roots.clone());
    }
    let found = rustls_native_certs::load_native_certs();
    let source = format!("the system's store ({})", place());
    let roots = Roots::from_der(found.certs, source).map_err(|invalid| {
        let first = found.errors.first().map(|error| format!(" ({error})"));
        let rule = format!("{}{}; tls_ca_file can name another", invalid.why, first.unwrap_or_default());
        unusable("tls_system_roots", rule)
    })?;
    let roots = Arc::new(roots);
    if !CLAIMED.swap(true, Ordering::SeqCst) {
        drop(SYSTEM.set(roots.clone()));
    }
    Ok(roots)
}

/// Where the system has its authorities, for messages.
fn place() -> String {
    let set: Vec<String> = ["SSL_CERT_FILE", "SSL_CERT_DIR"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok().map(|value| format!("{name}={value}")))
        .collect();
    if !set.is_empty() {
        return set.join(", ");
    }
    let found = openssl_probe::probe();
    let paths: Vec<String> = found.cert_file.iter().chain(&found.cert_dir).map(|p| p.display().to_string()).collect();
    if paths.is_empty() { "which was not found".to_owned() } else { paths.join(", ") }
}

/// Options, and what they are made into when it is first asked for.
pub struct Shared {
    options: Options,
    made: OnceLock<Arc<Tls>>,
}

impl Shared {
    pub fn new(options: Options) -> Shared {
        Shared { options, made: OnceLock::new() }
    }

    pub fn of(made: Arc<Tls>) -> Shared {
        Shared { options: Options::default(), made: OnceLock::from(made) }
    }

    /// For a forked child. Files that were read are not read again: who could read them, may not any more.
    pub fn successor(&self) -> Shared {
        let made = self.made.get().map(|made| OnceLock::from(Arc::new(made.successor())));
        Shared { options: self.options.clone(), made: made.unwrap_or_default() }
    }

    pub fn get(&self) -> Result<&Arc<Tls>, Unusable> {
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        // Two may come at once; one of what they make is used.
        let made = Arc::new(self.options.build()?);
        Ok(self.made.get_or_init(|| made))
    }
}
