//! Where connections begin and end, as the application writes it: the texts of the network settings.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// Where to connect to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Address {
    Inet(SocketAddr),
    /// A path in the file system; one that begins with NUL is in the abstract namespace.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.to_string_lossy().escape_debug()),
        }
    }
}

/// The rule that a text breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule(pub String);

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Rule {}

fn broken<T>(text: &str, rule: &str) -> Result<T, Rule> {
    Err(Rule(format!("\"{}\": {rule}", text.escape_debug())))
}

/// What fits the kernel's `IFNAMSIZ` with a NUL behind it.
const INTERFACE_MAX: usize = 15;
/// What fits `sockaddr_un` with a NUL behind it.
pub const UNIX_PATH_MAX: usize = 107;

/// The name of a network interface, by the kernel's own rule; an empty text is none.
pub fn interface(text: &str) -> Result<Option<Arc<str>>, Rule> {
    let odd = |b: u8| b == b'/' || b == b':' || b.is_ascii_whitespace() || b == 0x0b || b == 0;
    if text.len() > INTERFACE_MAX || text == "." || text == ".." || text.bytes().any(odd) {
        return broken(text, "an interface name has at most 15 bytes, and no `/`, `:` or white space");
    }
    Ok((!text.is_empty()).then(|| text.into()))
}

/// An address of this machine, without a port; IPv6 with or without brackets. An empty text is none.
pub fn local(text: &str) -> Result<Option<IpAddr>, Rule> {
    if text.is_empty() {
        return Ok(None);
    }
    match ip(text) {
        Some(ip) => Ok(Some(ip)),
        None => broken(text, "a local address is an IPv4 or IPv6 address, without a port"),
    }
}

fn ip(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

/// Where to connect to: `192.0.2.1:443`, `[2001:db8::1]:443`, `unix:/path`, or `unix:@name` in the abstract namespace.
pub fn address(text: &str) -> Result<Address, Rule> {
    if let Some(path) = text.strip_prefix("unix:") {
        if path.is_empty() || path.len() > UNIX_PATH_MAX || path.contains('\0') {
            return broken(text, "the path of a Unix socket has 1 to 107 bytes, and no NUL");
        }
        let name = path.strip_prefix('@').map(|name| format!("\0{name}"));
        return Ok(Address::Unix(name.as_deref().unwrap_or(path).into()));
    }
    match text.parse::<SocketAddr>() {
        Ok(to) if to.port() != 0 => Ok(Address::Inet(to)),
        Ok(_) => broken(text, "the port is 0"),
        Err(_) => broken(text, "an address is `1.2.3.4:port`, `[ipv6]:port` or `unix:path`"),
    }
}

/// Which host and port are to be found at which address: `host:port=address`, separated by commas. A host or a port of `*`
/// is any. The first that fits counts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Overrides(Arc<[Override]>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Override {
    /// Lower case, without brackets; `None` for any.
    host: Option<Box<str>>,
    port: Option<u16>,
    to: Address,
}

impl Overrides {
    pub fn parse(text: &str) -> Result<Overrides, Rule> {
        if text.trim().is_empty() {
            return Ok(Overrides::default());
        }
        text.split(',').map(|entry| Override::parse(entry.trim())).collect::<Result<_, _>>().map(Overrides)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The address that stands in for a host (in lower case, without brackets) and a port.
    pub fn find(&self, host: &str, port: u16) -> Option<&Address> {
        let fits = |o: &&Override| o.port.is_none_or(|p| p == port) && o.host.as_deref().is_none_or(|h| h == host);
        self.0.iter().find(fits).map(|o| &o.to)
    }
}

impl Override {
    fn parse(entry: &str) -> Result<Override, Rule> {
        let Some((from, to)) = entry.split_once('=') else {
            return broken(entry, "an override is `host:port=address`");
        };
        let (from, to) = (from.trim_end(), to.trim_start());
        let Some((host, port)) = from.rsplit_once(':') else {
            return broken(from, "an override begins with `host:port`");
        };
        let port = match port {
            "*" => None,
            _ if port.bytes().all(|b| b.is_ascii_digit()) => match port.parse::<u16>() {
                Ok(port) if port != 0 => Some(port),
                _ => return broken(from, "a port is 1 to 65535, or `*`"),
            },
            _ => return broken(from, "a port is 1 to 65535, or `*`"),
        };
        let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let host = match (host, ip(host)) {
            ("*", _) => None,
            (_, Some(IpAddr::V6(_))) if !host.starts_with('[') => return broken(from, "IPv6 needs brackets"),
            (_, Some(ip)) => Some(ip.to_string().into()),
            _ if !host.is_empty() && host.len() <= 255 && host.bytes().all(name) => {
                Some(host.to_ascii_lowercase().into())
            }
            _ => return broken(from, "a host is a name, an address (IPv6 in brackets), or `*`"),
        };
        Ok(Override { host, port, to: address(to)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names() {
        for good in ["lo", "eth0", "wlp0s20f3", "123456789012345", "br-1.20@x"] {
            assert_eq!(interface(good), Ok(Some(good.into())));
        }
        assert_eq!(interface(""), Ok(None));
        for bad in ["1234567890123456", "a b", "a/b", "eth0:1", ".", "..", "a\tb", "a\nb", "a\x0bb", "a\0"] {
            assert!(interface(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn local_addresses() {
        assert_eq!(local(""), Ok(None));
        for good in ["127.0.0.2", "::1", "[::1]", "2001:db8::1"] {
            assert_eq!(local(good), Ok(Some(good.trim_matches(['[', ']']).parse().unwrap())));
        }
        for bad in ["127.0.0.2:80", "127.1", "localhost", "eth0", "[127.0.0.1]", "::1%lo", "[::1", " ::1", "1.2.3.4\0"]
        {
            assert!(local(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses() {
        let long = format!("unix:{}", "x".repeat(UNIX_PATH_MAX));
        for good in
            ["127.0.0.1:8443", "[::1]:443", "[2001:db8::1]:1", "0.0.0.0:65535", "unix:/run/x.sock", "unix:x", &long]
        {
            assert_eq!(address(good).unwrap().to_string(), good);
        }
        assert_eq!(address("unix:@name"), Ok(Address::Unix("\0name".into())));
        for bad in [
            "",
            "127.0.0.1",
            "127.0.0.1:0",
            "127.0.0.1:65536",
            "127.0.0.1:",
            ":80",
            "::1:80",
            "[::1]",
            "[127.0.0.1]:80",
            "localhost:80",
            "127.1:80",
            " 127.0.0.1:80",
            "127.0.0.1:80 ",
            "unix:",
            "unix:a\0b",
            &format!("{long}x"),
            "unix",
        ] {
            let rule = address(bad).expect_err(bad);
            assert!(rule.0.starts_with(&format!("\"{}\"", bad.escape_debug())), "{rule}");
        }
    }

    #[test]
    fn overrides_are_found_in_their_order() {
        let text = "Example.com:443=127.0.0.1:8443, *:80=[::1]:8080 ,x.test:443 = unix:/run/x.sock,\
                    [2001:DB8::1]:9=1.1.1.1:1,10.0.0.1:*=1.1.1.1:2,*:443=1.1.1.1:3";
        let overrides = Overrides::parse(text).unwrap();
        for (host, port, to) in [
            ("example.com", 443, Some("127.0.0.1:8443")),
            ("example.com", 80, Some("[::1]:8080")),
            ("example.com", 8443, None),
            ("x.test", 443, Some("unix:/run/x.sock")),
            ("y.test", 443, Some("1.1.1.1:3")),
            ("2001:db8::1", 9, Some("1.1.1.1:1")),
            ("10.0.0.1", 5, Some("1.1.1.1:2")),
            ("10.0.0.1", 80, Some("[::1]:8080")),
            ("sub.example.com", 444, None),
        ] {
            assert_eq!(overrides.find(host, port).map(ToString::to_string).as_deref(), to, "{host}:{port}");
        }
        for nothing in ["", " ", "\t"] {
            assert!(Overrides::parse(nothing).unwrap().is_empty());
        }
        for bad in [
            ",",
            "a:80=1.1.1.1:1,",
            "a=1.1.1.1:1",
            "a:80",
            "a:80=",
            "a:80=b:80",
            "a:0=1.1.1.1:1",
            "a:65536=1.1.1.1:1",
            "a:+1=1.1.1.1:1",
            "a:=1.1.1.1:1",
            ":80=1.1.1.1:1",
            "::1:80=1.1.1.1:1",
            "[::1:80=1.1.1.1:1",
            "a b:80=1.1.1.1:1",
            "http://a:80=1.1.1.1:1",
            "a:80=1.1.1.1:1;b:80=1.1.1.1:1",
            "\u{e4}:80=1.1.1.1:1",
            "**:80=1.1.1.1:1",
        ] {
            assert!(Overrides::parse(bad).is_err(), "{bad:?}");
        }
    }
}
