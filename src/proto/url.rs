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
    /// No HTTP: bytes as they are. No URL has it.
    Raw,
}

impl Scheme {
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Raw => "raw",
        }
    }

    pub const fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
            Scheme::Raw => 0,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Url<'a> {
    scheme: Scheme,
    host: &'a str,
    literal: Option<IpAddr>,
    port: u16,
    /// From the first `/` or `?` behind the authority to the fragment; may be empty. ASCII.
    rest: &'a [u8],
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
        Url::parse_as(bytes, false)
    }

    /// The same where `ws` and `wss` stand for `http` and `https` (RFC 6455 section 3).
    pub fn parse_websocket(bytes: &'a [u8]) -> Result<Url<'a>, UrlError> {
        Url::parse_as(bytes, true)
    }

    fn parse_as(bytes: &'a [u8], websocket: bool) -> Result<Url<'a>, UrlError> {
        // Each byte is classified once, and most searches are settled by the classes: this runs for every request.
        let (scheme, start) = if bytes.starts_with(b"http://") {
            (Scheme::Http, 7)
        } else if bytes.starts_with(b"https://") {
            (Scheme::Https, 8)
        } else if classes(bytes) & REFUSED == 0 {
            scheme(bytes, websocket)?
        } else {
            return Err(refused_byte(bytes));
        };
        let name_len = bytes[start..].iter().position(|&b| class(b) != 0).unwrap_or(bytes.len() - start);
        let behind = &bytes[start + name_len..];
        let seen = classes(behind);
        if seen & REFUSED != 0 {
            return Err(refused_byte(bytes));
        }
        let end = behind.iter().position(|&b| class(b) & END != 0).map_or(bytes.len(), |i| start + name_len + i);
        let authority = &bytes[start..end];
        if seen & AT != 0
            && let Some(i) = find(authority, b'@')
        {
            return refuse(start + i, "user name and password are not allowed in a URL; give credentials as options");
        }
        let host_len = match authority {
            [b'[', ..] => match find(authority, b']') {
                Some(i) => i + 1,
                None => return refuse(start, "`[` of an IPv6 address without `]`"),
            },
            // A byte that has no place in a host is before the port.
            _ => find(&authority[name_len..], b':').map_or(authority.len(), |i| name_len + i),
        };
        let (host, port) = authority.split_at(host_len);
        let (host, literal) = parse_host(host, name_len, start)?;
        let port = parse_port(port, start + host_len)?.unwrap_or(scheme.default_port());
        let mut rest = &bytes[end..];
        if seen & FRAGMENT != 0
            && let Some(i) = find(rest, b'#')
        {
            rest = &rest[..i];
        }
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
        let len = find(self.rest, b'?').unwrap_or(self.rest.len());
        if len == 0 { "/" } else { text(&self.rest[..len]) }
    }

    /// What stands behind the first `?`.
    pub fn query(&self) -> Option<&'a str> {
        find(self.rest, b'?').map(|i| text(&self.rest[i + 1..]))
    }

    /// Whether there is neither path nor query: to OPTIONS this is the server as a whole (RFC 9110 section 4.2.3), to all other
    /// methods the same as `/`.
    pub const fn names_no_resource(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes of path and query, or a few more.
    pub const fn target_len(&self) -> usize {
        self.rest.len() + 1
    }

    /// Append the origin-form: path and query.
    pub fn push_target(&self, out: &mut Vec<u8>) {
        if self.rest.first() != Some(&b'/') {
            out.push(b'/');
        }
        out.extend_from_slice(self.rest);
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
        self.push_origin(out);
        self.push_target(out);
    }

    /// Append the absolute-form without path and query.
    pub fn push_origin(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.scheme.as_str().as_bytes());
        out.extend_from_slice(b"://");
        self.push_authority(out);
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

// Classes of bytes. Those of a host name have none.

/// Has no place anywhere in a URL. What else there is, is visible ASCII.
const REFUSED: u8 = 1;
/// Ends the authority.
const END: u8 = 2;
/// Begins a fragment, and ends the authority.
const FRAGMENT: u8 = 4;
const AT: u8 = 8;
/// Anything else that is not part of a host name.
const OTHER: u8 = 16;

const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = match b as u8 {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' => 0,
            b'/' | b'?' => END,
            b'#' => END | FRAGMENT,
            b'@' => AT,
            0..=b' ' | b'\\' | 0x7f.. => REFUSED,
            _ => OTHER,
        };
        b += 1;
    }
    table
};

const fn class(b: u8) -> u8 {
    CLASS[b as usize]
}

/// Which classes occur.
fn classes(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |seen, &b| seen | class(b))
}

fn find(bytes: &[u8], wanted: u8) -> Option<usize> {
    bytes.iter().position(|&b| b == wanted)
}

/// Part of a parsed URL as text; it is ASCII.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Name the first byte of the class `REFUSED`.
fn refused_byte(bytes: &[u8]) -> UrlError {
    let at = bytes.iter().position(|&b| class(b) & REFUSED != 0).unwrap_or_default();
    let rule = match bytes[at] {
        0 => "NUL is not allowed",
        b'\r' | b'\n' => "line ends are not allowed",
        b' ' => "a space is not allowed; write %20",
        b'\\' => "a backslash is not allowed; write %5C",
        0x80.. => "only ASCII is allowed; percent-encode the path and use punycode in the host",
        _ => "control characters are not allowed",
    };
    UrlError { at, rule }
}

/// The scheme, and where the authority starts.
fn scheme(bytes: &[u8], websocket: bool) -> Result<(Scheme, usize), UrlError> {
    let colon = match bytes.iter().position(|&b| b == b':' || class(b) & END != 0) {
        Some(i) if bytes[i] == b':' => i,
        _ => return refuse(0, "a URL starts with http:// or https://"),
    };
    let (name, behind) = bytes.split_at(colon);
    let scheme = if name.eq_ignore_ascii_case(b"http") {
        Scheme::Http
    } else if name.eq_ignore_ascii_case(b"https") {
        Scheme::Https
    } else if websocket && name.eq_ignore_ascii_case(b"ws") {
        Scheme::Http
    } else if websocket && name.eq_ignore_ascii_case(b"wss") {
        Scheme::Https
    } else {
        return refuse(0, OTHER_SCHEME);
    };
    if !behind.starts_with(b"://") {
        return refuse(colon, "`//` has to follow the scheme");
    }
    Ok((scheme, colon + 3))
}

/// `name_len`: how many bytes at the front are those of a host name.
fn parse_host(host: &[u8], name_len: usize, at: usize) -> Result<(&str, Option<IpAddr>), UrlError> {
    if let [b'[', inside @ .., b']'] = host {
        if inside.contains(&b'%') {
            return refuse(at, "an IPv6 zone is not allowed in a URL");
        }
        let inside = text(inside);
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
    let rule = match &host[name_len..] {
        [] => "",
        [b'%', b'0', b'0', ..] => "%00 is not allowed in a host",
        [b'%', ..] => "percent-encoding is not allowed in a host",
        _ => "a host consists of letters, digits, `-`, `.` and `_`",
    };
    if !rule.is_empty() {
        return refuse(at + name_len, rule);
    }
    match parse_ipv4(host) {
        Some(address) => Ok((text(host), Some(address.into()))),
        None if ends_in_number(host) => {
            refuse(at, "a host that ends in a number has to be an IPv4 address of four decimal numbers")
        }
        None => Ok((text(host), None)),
    }
}

/// Four decimal numbers without leading zeros, as the parser of `std` takes them. Requests to numeric hosts are common
/// inside a data centre, and that parser takes as long as all the rest of the URL.
fn parse_ipv4(host: &[u8]) -> Option<Ipv4Addr> {
    // By its number of digits: the least value of an octet, so that it has no leading zero.
    static LEAST: [u32; 4] = [256, 0, 10, 100];
    let is_octet = |value, digits| digits < LEAST.len() && LEAST[digits] <= value && value <= 255;
    // Most names are no candidates.
    if host.len() > "255.255.255.255".len() || !host.first()?.is_ascii_digit() {
        return None;
    }
    let (mut address, mut dots) = (0, 0);
    let (mut octet, mut digits) = (0_u32, 0);
    for &b in host {
        let digit = b.wrapping_sub(b'0');
        if digit < 10 {
            // What wraps has too many digits.
            octet = octet.wrapping_mul(10).wrapping_add(u32::from(digit));
            digits += 1;
        } else if b == b'.' && is_octet(octet, digits) {
            address = address << 8 | octet;
            dots += 1;
            (octet, digits) = (0, 0);
        } else {
            return None;
        }
    }
    (dots == 3 && is_octet(octet, digits)).then(|| Ipv4Addr::from_bits(address << 8 | octet))
}

/// Whether resolvers and other URL parsers may take the host for an IPv4 address.
fn ends_in_number(host: &[u8]) -> bool {
    let host = host.strip_suffix(b".").unwrap_or(host);
    let last = host.iter().rposition(|&b| b == b'.').map_or(host, |dot| &host[dot + 1..]);
    match last {
        [] => false,
        [b'0', b'x' | b'X', hex @ ..] => hex.iter().all(u8::is_ascii_hexdigit),
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}

/// `""`, `":"` (both mean the default) or `":port"`.
fn parse_port(text: &[u8], at: usize) -> Result<Option<u16>, UrlError> {
    let digits = match text {
        [] | [b':'] => return Ok(None),
        [b':', digits @ ..] => digits,
        // Only behind `]` can there be anything else.
        _ => return refuse(at, "only a port may follow `]`"),
    };
    let mut port = 0_u32;
    for b in digits {
        if !b.is_ascii_digit() {
            return refuse(at + 1, "the port is not a decimal number");
        }
        // Whatever is too large stays so, and never overflows.
        port = (port * 10 + u32::from(b - b'0')).min(1 << 16);
    }
    match u16::try_from(port) {
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
    fn ipv4_as_std_parses_it() {
        let octets = ["", "0", "00", "01", "9", "10", "99", "100", "199", "255", "256", "999", "1000", "1a", "a"];
        for text in octets.iter().flat_map(|a| octets.map(|b| [format!("{a}.{b}"), format!("1.{a}.{b}")])).flatten() {
            for host in
                [&*text, &format!("{text}.3"), &format!("1.{text}"), &format!("1.{text}."), &format!(".{text}.2")]
            {
                assert_eq!(parse_ipv4(host.as_bytes()), host.parse().ok(), "{host}");
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
