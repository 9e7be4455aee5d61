//! What of a message may stand in a log: names, and values that are no secrets.

/// Parts of the names of fields whose values are secrets. Rather one too many.
const SECRET: &[&str] =
    &["auth", "cookie", "token", "secret", "key", "password", "session", "credential", "signature", "nonce"];
const REDACTED: &str = "[redacted]";
/// Bytes of a value that are shown.
const VALUE_MAX: usize = 256;

/// A request-target or URL without its query, which may carry tokens.
pub fn target(target: &[u8]) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    match target.iter().position(|&b| b == b'?') {
        Some(at) => format!("{}?{REDACTED}", text(&target[..at])),
        None => text(target),
    }
}

/// A head as lines with `; ` between them. `first` is its first line.
pub fn head<'a>(first: &str, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> String {
    let mut text = first.to_owned();
    for (name, value) in fields {
        let name = name.escape_ascii().to_string();
        let lower = name.to_ascii_lowercase();
        let value = if SECRET.iter().any(|part| lower.contains(part)) {
            REDACTED.to_owned()
        } else if lower == "location" || lower == "referer" {
            target(value)
        } else {
            let shown = &value[..value.len().min(VALUE_MAX)];
            let more = if shown.len() < value.len() { "..." } else { "" };
            format!("{}{more}", shown.escape_ascii())
        };
        text += &format!("; {name}: {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_out() {
        let fields: &[(&[u8], &[u8])] = &[
            (b"Host", b"a"),
            (b"authorization", b"Basic s3cret"),
            (b"Proxy-Authorization", b"s3cret"),
            (b"Cookie", b"id=s3cret"),
            (b"Set-Cookie", b"id=s3cret"),
            (b"X-Api-Key", b"s3cret"),
            (b"X-Amz-Security-Token", b"s3cret"),
            (b"Location", b"/next?code=s3cret"),
            (b"Odd", b"a\r\nb\x00\xff"),
        ];
        let text = head("GET / HTTP/1.1", fields.iter().copied());
        assert!(!text.contains("s3cret"), "{text}");
        assert!(text.starts_with("GET / HTTP/1.1; Host: a; authorization: [redacted]; "), "{text}");
        assert!(text.ends_with(r"; Location: /next?[redacted]; Odd: a\r\nb\x00\xff"), "{text}");
        assert_eq!(target(b"/a?b=s3cret"), "/a?[redacted]");
        assert_eq!(target(b"/a"), "/a");
        let long = [b'x'; 1000];
        assert!(head("", [(&b"A"[..], &long[..])].into_iter()).len() < 300);
    }
}
