//! An absolute `http` or `https` URL, split into borrowed parts.
//!
//! Takes what a request needs and refuses what two parsers may read differently: userinfo, backslashes, blanks,
//! control and non-ASCII bytes, percent-encoding in a host, and numeric hosts that are no plain IPv4 address
//! (`0x7f.1`, `2130706433`, `127.1`). Nothing is rewritten; the path goes out as it was given. The fragment is
//! dropped, an empty path is `/`.
//!
//! RFC 3986 section 3; RFC 9110 section 4.2 (http, https; userinfo deprecated).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a host name that are accepted: a domain name takes at most 253, or 254 with the final dot.
const HOST_MAX: usize = 255;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    pub const fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Url<'a> {
    scheme: Scheme,
    host: &'a str,
    literal: Option<IpAddr>,
    port: u16,
    /// From the first `/` or `?` behind the authority to the fragment; may be empty.
    rest: &'a str,
}

/// Why a URL was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UrlError {
    /// Offset of the byte that broke the rule, or of the part that did.
    pub at: usize,
    pub rule: &'static str,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "URL, byte {}: {}", self.at, self.rule)
    }
}

impl std::error::Error for UrlError {}

/// What is wrong with a URL that may be a good one elsewhere.
const OTHER_SCHEME: &str = "the scheme is neither http nor https";

impl UrlError {
    /// The URL is refused for its scheme, not for its form.
    pub fn is_other_scheme(&self) -> bool {
        self.rule == OTHER_SCHEME
    }
}

impl<'a> Url<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Url<'a>, UrlError> {
        let text = check_bytes(bytes)?;
        let (scheme, start) = scheme(text)?;
        let end = text[start..].find(['/', '?', '#']).map_or(text.len(), |i| start + i);
        let authority = &text[start..end];
        if let Some(i) = authority.find('@') {
            return refuse(start + i, "user name and password are not allowed in a URL; give credentials as options");
        }
        let host_len = match authority.strip_prefix('[') {
            Some(inside) => match inside.find(']') {
                Some(i) => i + 2,
                None => return refuse(start, "`[` of an IPv6 address without `]`"),
            },
            None => authority.find(':').unwrap_or(authority.len()),
        };
        let (host, port) = authority.split_at(host_len);
        let (host, literal) = parse_host(host, start)?;
        let port = parse_port(port, start + host_len)?.unwrap_or(scheme.default_port());
        let rest = &text[end..];
        let rest = rest.find('#').map_or(rest, |i| &rest[..i]);
        Ok(Url { scheme, host, literal, port, rest })
    }

    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host as it was written, an IPv6 address without its brackets.
    pub const fn host(&self) -> &'a str {
        self.host
    }

    /// The host, if it is an address.
    pub const fn literal(&self) -> Option<IpAddr> {
        self.literal
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Path without query; at least `/`.
    pub fn path(&self) -> &'a str {
        match self.rest.find('?') {
            Some(0) => "/",
            Some(i) => &self.rest[..i],
            None if self.rest.is_empty() => "/",
            None => self.rest,
        }
    }

    /// What stands behind the first `?`.
    pub fn query(&self) -> Option<&'a str> {
        self.rest.split_once('?').map(|(_, query)| query)
    }

    /// Append the origin-form: path and query.
    pub fn push_target(&self, out: &mut Vec<u8>) {
        if !self.rest.starts_with('/') {
            out.push(b'/');
        }
        out.extend_from_slice(self.rest.as_bytes());
    }

    /// Append `host` or `host:port`, the port only where it is not the scheme's own: the value of Host.
    pub fn push_authority(&self, out: &mut Vec<u8>) {
        self.push_host(out);
        if self.port != self.scheme.default_port() {
            self.push_port(out);
        }
    }

    /// Append `host:port`: the target of CONNECT.
    pub fn push_authority_with_port(&self, out: &mut Vec<u8>) {
        self.push_host(out);
        self.push_port(out);
    }

    /// Append the absolute-form, for a proxy.
    pub fn push_absolute(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.scheme.as_str().as_bytes());
        out.extend_from_slice(b"://");
        self.push_authority(out);
        self.push_target(out);
    }

    /// Scheme, host and port agree; hosts are compared without regard to case, addresses by value.
    pub fn same_origin(&self, other: &Url<'_>) -> bool {
        self.scheme == other.scheme && self.port == other.port && self.same_host(other)
    }

    pub fn same_host(&self, other: &Url<'_>) -> bool {
        match (self.literal, other.literal) {
            (None, None) => self.host.eq_ignore_ascii_case(other.host),
            (mine, theirs) => mine == theirs,
        }
    }

    fn push_host(&self, out: &mut Vec<u8>) {
        let v6 = matches!(self.literal, Some(IpAddr::V6(_)));
        if v6 {
            out.push(b'[');
        }
        out.extend_from_slice(self.host.as_bytes());
        if v6 {
            out.push(b']');
        }
    }

    fn push_port(&self, out: &mut Vec<u8>) {
        let mut digits = [0; 5];
        let mut start = digits.len();
        let mut rest = self.port;
        while rest > 0 {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        out.push(b':');
        out.extend_from_slice(&digits[start..]);
    }
}

/// Refuse bytes that have no place anywhere in a URL; what is left is ASCII text.
fn check_bytes(bytes: &[u8]) -> Result<&str, UrlError> {
    let rule = |b| match b {
        0 => Some("NUL is not allowed"),
        b'\r' | b'\n' => Some("line ends are not allowed"),
        b' ' => Some("a space is not allowed; write %20"),
        0x01..=0x1f | 0x7f => Some("control characters are not allowed"),
        0x80.. => Some("only ASCII is allowed; percent-encode the path and use punycode in the host"),
        b'\\' => Some("a backslash is not allowed; write %5C"),
        _ => None,
    };
    match bytes.iter().enumerate().find_map(|(at, &b)| rule(b).map(|rule| UrlError { at, rule })) {
        Some(error) => Err(error),
        None => std::str::from_utf8(bytes).map_err(|e| UrlError { at: e.valid_up_to(), rule: "only ASCII is allowed" }),
    }
}

/// The scheme, and where the authority starts.
fn scheme(text: &str) -> Result<(Scheme, usize), UrlError> {
    let colon = match text.find([':', '/', '?', '#']) {
        Some(i) if text.as_bytes()[i] == b':' => i,
        _ => return refuse(0, "a URL starts with http:// or https://"),
    };
    let name = &text[..colon];
    let scheme = if name.eq_ignore_ascii_case("http") {
        Scheme::Http
    } else if name.eq_ignore_ascii_case("https") {
        Scheme::Https
    } else {
        return refuse(0, OTHER_SCHEME);
    };
    if !text[colon..].starts_with("://") {
        return refuse(colon, "`//` has to follow the scheme");
    }
    Ok((scheme, colon + 3))
}

fn parse_host(host: &str, at: usize) -> Result<(&str, Option<IpAddr>), UrlError> {
    if let Some(inside) = host.strip_prefix('[') {
        let inside = &inside[..inside.len() - 1];
        if inside.contains('%') {
            return refuse(at, "an IPv6 zone is not allowed in a URL");
        }
        return match inside.parse::<Ipv6Addr>() {
            Ok(address) => Ok((inside, Some(address.into()))),
            Err(_) => refuse(at, "no valid IPv6 address between `[` and `]`"),
        };
    }
    if host.is_empty() {
        return refuse(at, "the host is empty");
    }
    if host.len() > HOST_MAX {
        return refuse(at, "the host is longer than 255 bytes");
    }
    if let Some(i) = host.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))) {
        let rule = match &host.as_bytes()[i..] {
            [b'%', b'0', b'0', ..] => "%00 is not allowed in a host",
            [b'%', ..] => "percent-encoding is not allowed in a host",
            _ => "a host consists of letters, digits, `-`, `.` and `_`",
        };
        return refuse(at + i, rule);
    }
    if ends_in_number(host) {
        return match host.parse::<Ipv4Addr>() {
            Ok(address) => Ok((host, Some(address.into()))),
            Err(_) => refuse(at, "a host that ends in a number has to be an IPv4 address of four decimal numbers"),
        };
    }
    Ok((host, None))
}

/// Whether resolvers and other URL parsers may take the host for an IPv4 address.
fn ends_in_number(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or(host).as_bytes();
    match last {
        [] => false,
        [b'0', b'x' | b'X', hex @ ..] => hex.iter().all(u8::is_ascii_hexdigit),
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}

/// `""`, `":"` (both mean the default) or `":port"`.
fn parse_port(text: &str, at: usize) -> Result<Option<u16>, UrlError> {
    let Some(digits) = text.strip_prefix(':') else {
        // Only behind `]` can there be anything else.
        return if text.is_empty() { Ok(None) } else { refuse(at, "only a port may follow `]`") };
    };
    if digits.is_empty() {
        return Ok(None);
    }
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return refuse(at + 1, "the port is not a decimal number");
    }
    match digits.parse() {
        Ok(0) => refuse(at + 1, "port 0 cannot be connected to"),
        Ok(port) => Ok(Some(port)),
        Err(_) => refuse(at + 1, "the port is over 65535"),
    }
}

const fn refuse<T>(at: usize, rule: &'static str) -> Result<T, UrlError> {
    Err(UrlError { at, rule })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn absolute(url: &str) -> String {
        let mut out = Vec::new();
        Url::parse(url.as_bytes()).unwrap_or_else(|e| panic!("{url}: {e}")).push_absolute(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn accepted() {
        for (url, canonical) in [
            ("http://a", "http://a/"),
            ("HTTP://A.example", "http://A.example/"),
            ("https://a/", "https://a/"),
            ("http://a?q", "http://a/?q"),
            ("http://a#f", "http://a/"),
            ("http://a/b?c#d?e/f", "http://a/b?c"),
            ("http://a/?#", "http://a/?"),
            ("http://a:80/", "http://a/"),
            ("http://a:/", "http://a/"),
            ("http://a:00081/", "http://a:81/"),
            ("http://a:443/", "http://a:443/"),
            ("https://a:443/x", "https://a/x"),
            ("https://a:65535/", "https://a:65535/"),
            ("http://[::1]/", "http://[::1]/"),
            ("http://[2001:DB8::1]:8080?x", "http://[2001:DB8::1]:8080/?x"),
            ("http://127.0.0.1:1/", "http://127.0.0.1:1/"),
            ("http://a_b-c.d./", "http://a_b-c.d./"),
            ("http://a/%zz{|}\"<>^`", "http://a/%zz{|}\"<>^`"),
            ("http://a/@b:c", "http://a/@b:c"),
            ("http://1.2.3.4a/", "http://1.2.3.4a/"),
        ] {
            assert_eq!(absolute(url), canonical, "{url}");
        }
    }

    #[test]
    fn parts() {
        let url = Url::parse(b"https://[::1]:444/p/q?r?s#t").unwrap();
        assert_eq!((url.scheme(), url.host(), url.port()), (Scheme::Https, "::1", 444));
        assert_eq!(url.literal(), Some(Ipv6Addr::LOCALHOST.into()));
        assert_eq!((url.path(), url.query()), ("/p/q", Some("r?s")));
        let bare = Url::parse(b"http://h?").unwrap();
        assert_eq!((bare.path(), bare.query(), bare.literal()), ("/", Some(""), None));
        let mut connect = Vec::new();
        url.push_authority_with_port(&mut connect);
        bare.push_authority_with_port(&mut connect);
        assert_eq!(connect, b"[::1]:444h:80");
    }

    #[test]
    fn refused() {
        for (url, at, words) in [
            ("", 0, "starts with"),
            ("a", 0, "starts with"),
            ("//a/", 0, "starts with"),
            ("/a:b", 0, "starts with"),
            ("ftp://a/", 0, "neither"),
            ("file:///etc/passwd", 0, "neither"),
            ("httpss://a", 0, "neither"),
            ("://a", 0, "neither"),
            ("http:/a", 4, "`//`"),
            ("http:a", 4, "`//`"),
            ("http://", 7, "empty"),
            ("http:///a", 7, "empty"),
            ("http://:80/", 7, "empty"),
            ("http://?a", 7, "empty"),
            ("http://u@a/", 8, "credentials"),
            ("http://u:p@a/", 10, "credentials"),
            ("http://@a/", 7, "credentials"),
            (" http://a", 0, "space"),
            ("http://a/b c", 10, "space"),
            ("http://a/#b c", 11, "space"),
            ("http://a/b\tc", 10, "control"),
            ("http://a/b\x7f", 10, "control"),
            ("http://a\r\nX: y", 8, "line ends"),
            ("http://a/\0", 9, "NUL"),
            ("http://a\\b/", 8, "backslash"),
            ("http://a/\\", 9, "backslash"),
            ("http://b\u{fc}cher/", 8, "punycode"),
            ("http://a/\u{fc}", 9, "percent-encode"),
            ("http://a%00b/", 8, "%00"),
            ("http://a%2eb/", 8, "percent-encoding"),
            ("http://a!b/", 8, "letters"),
            ("http://a]/", 8, "letters"),
            ("http://a[::1]/", 8, "letters"),
            ("http://[::1/", 7, "without"),
            ("http://[::1]x/", 12, "behind `]`"),
            ("http://[::g]/", 7, "IPv6"),
            ("http://[]/", 7, "IPv6"),
            ("http://[fe80::1%25lo]/", 7, "zone"),
            ("http://::1/", 7, "empty"),
            ("http://1:2:3/", 7, "IPv4"),
            ("http://0x7f.1/", 7, "IPv4"),
            ("http://2130706433/", 7, "IPv4"),
            ("http://127.1/", 7, "IPv4"),
            ("http://127.0.0.01/", 7, "IPv4"),
            ("http://127.0.0.1./", 7, "IPv4"),
            ("http://a.0x1/", 7, "IPv4"),
            ("http://256.1.1.1/", 7, "IPv4"),
            ("http://a:0/", 9, "port 0"),
            ("http://a:65536/", 9, "65535"),
            ("http://a:99999999999999999999/", 9, "65535"),
            ("http://a:-1/", 9, "decimal"),
            ("http://a:+1/", 9, "decimal"),
            ("http://a:8o/", 9, "decimal"),
            ("http://a:80:80/", 9, "decimal"),
        ] {
            match Url::parse(url.as_bytes()) {
                Ok(parsed) => panic!("{url:?} gave {parsed:?}"),
                Err(error) => {
                    assert_eq!(error.at, at, "{url:?}: {error}");
                    let rule = error.rule.replace("only a port may follow `]`", "behind `]`");
                    assert!(rule.contains(words), "{url:?}: {error}");
                }
            }
        }
    }

    #[test]
    fn length_of_the_host() {
        let url = |n: usize| format!("http://{}/", "a".repeat(n));
        assert!(Url::parse(url(255).as_bytes()).is_ok());
        assert!(Url::parse(url(256).as_bytes()).is_err());
    }

    #[test]
    fn origins() {
        for (a, b, same) in [
            ("http://a/x", "http://A:80/y", true),
            ("http://a/", "https://a/", false),
            ("http://a/", "http://a:81/", false),
            ("http://a/", "http://a./", false),
            ("http://[::1]/", "http://[0:0::1]/", true),
            ("http://127.0.0.1/", "http://[::ffff:127.0.0.1]/", false),
        ] {
            let (a, b) = (Url::parse(a.as_bytes()).unwrap(), Url::parse(b.as_bytes()).unwrap());
            assert_eq!(a.same_origin(&b), same, "{a:?} {b:?}");
        }
    }
}
