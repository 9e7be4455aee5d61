//! Request heads and trailer sections: what is written, what is refused and in which words.

use chttpcore::proto::BodyLen;
use chttpcore::proto::h1::encode::{
    EncodedHead, HEAD_MAX, Invalid, Problem, Spec, What, encode, encode_block, trailers, trailers_block,
};
use chttpcore::proto::url::Url;

type Pair<'a> = (&'a str, &'a str);

fn run(spec: &Spec<'_>, fields: &[Pair<'_>]) -> Result<EncodedHead, Invalid> {
    let pairs = encode(spec, fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())));
    // A block of the same lines gives the same, where a field can be told by its line at all.
    if fields.iter().all(|(n, v)| !n.contains([':', '\r', '\n']) && !v.contains("\r\n")) {
        let block: String = fields.iter().map(|(n, v)| format!("{n}:{v}\r\n")).collect();
        for block in [&*block, block.strip_suffix("\r\n").unwrap_or(&block)] {
            match (&pairs, encode_block(spec, block.as_bytes())) {
                (Ok(pairs), Ok(block)) => assert_eq!(pairs.bytes, block.bytes),
                (Err(pairs), Err(block)) => assert_eq!(*pairs, block),
                (pairs, block) => panic!("{pairs:?} but {block:?}"),
            }
        }
    }
    if let Ok(head) = &pairs {
        check(head);
    }
    pairs
}

/// The field table and the ranges describe the bytes.
fn check(head: &EncodedHead) {
    let request = head.request();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let mut again = format!("{} {} HTTP/1.1\r\n", text(request.method), text(request.target)).into_bytes();
    for (name, value) in request.fields.iter() {
        again.extend_from_slice(name);
        again.extend_from_slice(if value.is_empty() { b":" } else { b": " });
        again.extend_from_slice(value);
        again.extend_from_slice(b"\r\n");
    }
    again.extend_from_slice(b"\r\n");
    assert_eq!(text(&again), text(request.h1_head));
    assert_eq!(request.fields.first(b"HOST"), Some(request.authority));
    assert_eq!(request.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(b"host")).count(), 1);
}

fn text(spec: &Spec<'_>, fields: &[Pair<'_>]) -> String {
    match run(spec, fields) {
        Ok(head) => String::from_utf8(head.bytes).unwrap().replace("\r\n", "|"),
        Err(invalid) => invalid.to_string(),
    }
}

const NONE: BodyLen = BodyLen::None;
const FIVE: BodyLen = BodyLen::Known(5);
const OPEN: BodyLen = BodyLen::Unknown;

#[test]
fn request_lines_and_framing() {
    for (rule, method, url, body, fields, want) in [
        ("9112 3.2.1", "GET", "http://a/b?c#d", NONE, &[][..], "GET /b?c HTTP/1.1|Host: a||"),
        ("9112 3.2.1 empty path", "GET", "https://a:443?c", NONE, &[], "GET /?c HTTP/1.1|Host: a||"),
        ("9112 3.2 port", "GET", "http://[::1]:81", NONE, &[], "GET / HTTP/1.1|Host: [::1]:81||"),
        (
            "9112 3.2 own Host stays in place",
            "GET",
            "http://a/",
            NONE,
            &[("X", "y"), ("hOST", "b:1")],
            "GET / HTTP/1.1|X: y|hOST: b:1||",
        ),
        (
            "9112 3.2.3 CONNECT",
            "CONNECT",
            "https://a/b",
            NONE,
            &[("X", "y")],
            "CONNECT a:443 HTTP/1.1|Host: a:443|X: y||",
        ),
        ("9110 9.1 any token", "M-SEARCH", "http://a/", NONE, &[], "M-SEARCH / HTTP/1.1|Host: a||"),
        (
            "9110 5.3 order, case, duplicates",
            "GET",
            "http://a/",
            NONE,
            &[("b", "1"), ("A", "2"), ("b", "1")],
            "GET / HTTP/1.1|Host: a|b: 1|A: 2|b: 1||",
        ),
        (
            "9112 5.1 blanks around",
            "GET",
            "http://a/",
            NONE,
            &[("a", " \tb c\t "), ("d", " ")],
            "GET / HTTP/1.1|Host: a|a: b c|d:||",
        ),
        ("9110 5.5 obs-text", "GET", "http://a/", NONE, &[("a", "\u{fc}\t")], "GET / HTTP/1.1|Host: a|a: \u{fc}||"),
        ("9112 6.2", "PUT", "http://a/", FIVE, &[], "PUT / HTTP/1.1|Host: a|Content-Length: 5||"),
        ("9112 6.2 any method", "GET", "http://a/", FIVE, &[], "GET / HTTP/1.1|Host: a|Content-Length: 5||"),
        (
            "9112 6.2 known to be empty",
            "GET",
            "http://a/",
            BodyLen::Known(0),
            &[],
            "GET / HTTP/1.1|Host: a|Content-Length: 0||",
        ),
        ("9110 8.6 POST", "POST", "http://a/", NONE, &[], "POST / HTTP/1.1|Host: a|Content-Length: 0||"),
        ("9110 8.6 PUT", "PUT", "http://a/", NONE, &[], "PUT / HTTP/1.1|Host: a|Content-Length: 0||"),
        ("9110 8.6 PATCH", "PATCH", "http://a/", NONE, &[], "PATCH / HTTP/1.1|Host: a|Content-Length: 0||"),
        ("9110 8.6 DELETE", "DELETE", "http://a/", NONE, &[], "DELETE / HTTP/1.1|Host: a||"),
        (
            "9110 8.6 own",
            "POST",
            "http://a/",
            NONE,
            &[("content-length", "0")],
            "POST / HTTP/1.1|Host: a|content-length: 0||",
        ),
        (
            "9110 8.6 own",
            "PUT",
            "http://a/",
            FIVE,
            &[("Content-Length", "5"), ("X", "y")],
            "PUT / HTTP/1.1|Host: a|Content-Length: 5|X: y||",
        ),
        ("9112 6.1", "PUT", "http://a/", OPEN, &[], "PUT / HTTP/1.1|Host: a|Transfer-Encoding: chunked||"),
        (
            "9112 6.1 own",
            "PUT",
            "http://a/",
            OPEN,
            &[("transfer-encoding", "CHUNKED"), ("X", "y")],
            "PUT / HTTP/1.1|Host: a|transfer-encoding: CHUNKED|X: y||",
        ),
    ] {
        let url = Url::parse(url.as_bytes()).unwrap();
        let spec = Spec { body, ..Spec::new(method.as_bytes(), &url) };
        assert_eq!(text(&spec, fields), want, "{rule}");
    }
}

#[test]
fn target_forms_and_extras() {
    let url = Url::parse(b"http://a:81/b?c").unwrap();
    let get = Spec::new(b"GET", &url);
    assert_eq!(text(&Spec { absolute_form: true, ..get }, &[]), "GET http://a:81/b?c HTTP/1.1|Host: a:81||");
    assert_eq!(text(&Spec { target: Some(b"*"), ..get }, &[]), "GET * HTTP/1.1|Host: a:81||");
    assert_eq!(text(&Spec { close: true, ..get }, &[]), "GET /b?c HTTP/1.1|Host: a:81|Connection: close||");
    let own = [("Connection", "x, Close")];
    assert_eq!(text(&Spec { close: true, ..get }, &own), "GET /b?c HTTP/1.1|Host: a:81|Connection: x, Close||");
    let expect = Spec { expect_continue: true, body: FIVE, ..get };
    let with = "GET /b?c HTTP/1.1|Host: a:81|Content-Length: 5|Expect: 100-continue||";
    assert_eq!(text(&expect, &[]), with);
    let own = [("expect", "100-Continue")];
    assert_eq!(text(&expect, &own), "GET /b?c HTTP/1.1|Host: a:81|expect: 100-Continue|Content-Length: 5||");
    // Nothing to hold back: no Expect (RFC 9110 section 10.1.1).
    assert_eq!(text(&Spec { body: NONE, ..expect }, &[]), "GET /b?c HTTP/1.1|Host: a:81||");
}

/// RFC 9110 section 4.2.3, RFC 9112 section 3.2.4.
#[test]
fn options_without_a_path_are_the_servers_own() {
    for (method, url, absolute_form, line) in [
        ("OPTIONS", "http://a", false, "OPTIONS * HTTP/1.1"),
        ("OPTIONS", "http://a#b", false, "OPTIONS * HTTP/1.1"),
        ("OPTIONS", "http://a/", false, "OPTIONS / HTTP/1.1"),
        ("OPTIONS", "http://a?b", false, "OPTIONS /?b HTTP/1.1"),
        ("OPTIONS", "http://a", true, "OPTIONS http://a HTTP/1.1"),
        ("OPTIONS", "http://a/", true, "OPTIONS http://a/ HTTP/1.1"),
        ("options", "http://a", false, "options / HTTP/1.1"),
        ("GET", "http://a", false, "GET / HTTP/1.1"),
        ("GET", "http://a", true, "GET http://a/ HTTP/1.1"),
    ] {
        let parsed = Url::parse(url.as_bytes()).unwrap();
        let spec = Spec { absolute_form, ..Spec::new(method.as_bytes(), &parsed) };
        assert_eq!(text(&spec, &[]), format!("{line}|Host: a||"), "{method} {url}");
    }
}

#[test]
fn flags() {
    let url = Url::parse(b"https://a/").unwrap();
    let flags = |spec: &Spec<'_>, fields: &[Pair<'_>]| {
        let h = run(spec, fields).unwrap();
        [h.upgrade, h.expects_continue, h.close, h.is_connect, h.is_head]
    };
    let get = Spec::new(b"GET", &url);
    let upgrade = [("Connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
    assert_eq!(flags(&get, &[]), [false; 5]);
    assert_eq!(flags(&get, &upgrade), [true, false, false, false, false]);
    assert_eq!(flags(&get, &upgrade[..1]), [false; 5]);
    assert_eq!(flags(&get, &upgrade[1..]), [false; 5]);
    assert_eq!(flags(&get, &[("connection", "close")]), [false, false, true, false, false]);
    assert_eq!(flags(&Spec { close: true, ..get }, &[]), [false, false, true, false, false]);
    assert_eq!(flags(&get, &[("Expect", "100-continue")]), [false; 5]);
    assert_eq!(flags(&Spec { body: OPEN, ..get }, &[("Expect", "100-continue")]), [false, true, false, false, false]);
    assert_eq!(flags(&Spec::new(b"CONNECT", &url), &upgrade), [false, false, false, true, false]);
    assert_eq!(flags(&Spec::new(b"HEAD", &url), &[]), [false, false, false, false, true]);
    assert_eq!(run(&get, &[]).unwrap().request().scheme, b"https");
}

#[test]
fn an_extended_connect_has_the_target_of_its_url() {
    let url = Url::parse(b"https://a/chat?b").unwrap();
    let spec = Spec { protocol: Some(b"websocket"), ..Spec::new(b"CONNECT", &url) };
    let head = run(&spec, &[("A", "b")]).unwrap();
    let request = head.request();
    assert_eq!((request.target, request.authority), (&b"/chat?b"[..], &b"a"[..]));
    assert_eq!((request.protocol, head.is_connect), (Some("websocket"), true));
    assert_eq!(run(&Spec { protocol: None, ..spec }, &[]).unwrap().request().protocol, None);
    for protocol in [&b""[..], b"web socket", b"web\r\nsocket", b"\xff"] {
        let refused = run(&Spec { protocol: Some(protocol), ..spec }, &[]).unwrap_err();
        assert_eq!(refused.what, What::Protocol);
        assert!(refused.to_string().starts_with("protocol \""), "{refused}");
    }
    let get = run(&Spec { method: b"GET", ..spec }, &[]).unwrap_err();
    assert_eq!((get.what, get.problem), (What::Method, Problem::Is("does not go with a protocol")));
}

#[test]
fn refused_fields() {
    use Problem::{Byte, Is};
    let url = Url::parse(b"http://a/").unwrap();
    let length = Is("is not the length of the body");
    let coding = Is("does not fit the body");
    for (body, field, what, problem) in [
        (NONE, ("", "v"), What::HeaderName, Is("is empty")),
        (NONE, ("a b", "v"), What::HeaderName, Byte(b' ')),
        (NONE, ("a ", "v"), What::HeaderName, Byte(b' ')),
        (NONE, (" a", "v"), What::HeaderName, Byte(b' ')),
        (NONE, ("a:", "v"), What::HeaderName, Byte(b':')),
        (NONE, (":a", "v"), What::HeaderName, Byte(b':')),
        (NONE, ("a\r\nb", "v"), What::HeaderName, Byte(b'\r')),
        (NONE, ("a\n", "v"), What::HeaderName, Byte(b'\n')),
        (NONE, ("a\0", "v"), What::HeaderName, Byte(0)),
        (NONE, ("\u{fc}", "v"), What::HeaderName, Byte(0xc3)),
        (NONE, ("a", "v\r\nX-Injected: 1"), What::HeaderValue, Byte(b'\r')),
        (NONE, ("a", "v\r\n\r\nGET / HTTP/1.1"), What::HeaderValue, Byte(b'\r')),
        (NONE, ("a", "v\r\n folded"), What::HeaderValue, Byte(b'\r')),
        (NONE, ("a", "v\nX: 1"), What::HeaderValue, Byte(b'\n')),
        (NONE, ("a", "v\n"), What::HeaderValue, Byte(b'\n')),
        (NONE, ("a", "\r\nv"), What::HeaderValue, Byte(b'\r')),
        (NONE, ("a", "v\r"), What::HeaderValue, Byte(b'\r')),
        (NONE, ("a", "v\0w"), What::HeaderValue, Byte(0)),
        (NONE, ("a", "\x1b"), What::HeaderValue, Byte(0x1b)),
        (NONE, ("a", "\x7f"), What::HeaderValue, Byte(0x7f)),
        (NONE, ("Host", ""), What::HeaderValue, Is("is no host")),
        (NONE, ("Host", "a b"), What::HeaderValue, Is("is no host")),
        (NONE, ("Host", "a/b"), What::HeaderValue, Is("is no host")),
        (NONE, ("Host", "u@a"), What::HeaderValue, Is("is no host")),
        (NONE, ("Host", "a, b"), What::HeaderValue, Is("is no host")),
        (NONE, ("Content-Length", "5"), What::HeaderValue, length),
        (FIVE, ("Content-Length", "6"), What::HeaderValue, length),
        (FIVE, ("Content-Length", "-5"), What::HeaderValue, length),
        (FIVE, ("Content-Length", "+5"), What::HeaderValue, length),
        (FIVE, ("Content-Length", "0x5"), What::HeaderValue, length),
        (FIVE, ("Content-Length", "5, 5"), What::HeaderValue, length),
        (FIVE, ("Content-Length", ""), What::HeaderValue, length),
        (OPEN, ("Content-Length", "5"), What::HeaderValue, length),
        (OPEN, ("Content-Length", "x"), What::HeaderValue, length),
        (NONE, ("Transfer-Encoding", "chunked"), What::HeaderValue, coding),
        (FIVE, ("Transfer-Encoding", "chunked"), What::HeaderValue, coding),
        (OPEN, ("Transfer-Encoding", "gzip, chunked"), What::HeaderValue, coding),
        (OPEN, ("Transfer-Encoding", "identity"), What::HeaderValue, coding),
        (OPEN, ("Transfer-Encoding", ""), What::HeaderValue, coding),
    ] {
        let invalid = run(&Spec { body, ..Spec::new(b"PUT", &url) }, &[("ok", "1"), field]).unwrap_err();
        assert_eq!((invalid.what, invalid.problem, invalid.index), (what, problem, 1), "{field:?}: {invalid}");
        // Values may be secrets.
        assert!(!invalid.to_string().contains("Injected"));
    }
    for (body, fields) in [
        (NONE, &[("Host", "a"), ("hOST", "a")][..]),
        (FIVE, &[("Content-Length", "5"), ("content-length", "5")]),
        (OPEN, &[("Transfer-Encoding", "chunked"), ("transfer-encoding", "chunked")]),
    ] {
        let invalid = run(&Spec { body, ..Spec::new(b"PUT", &url) }, fields).unwrap_err();
        assert_eq!((invalid.what, invalid.problem, invalid.index), (What::Header, Is("is given twice"), 1));
    }
    for body in [FIVE, OPEN] {
        let both = [("Transfer-Encoding", "chunked"), ("Content-Length", "5")];
        assert!(run(&Spec { body, ..Spec::new(b"PUT", &url) }, &both).is_err());
    }
}

#[test]
fn refused_request_lines() {
    let url = Url::parse(b"https://a/").unwrap();
    for method in ["", "GE T", "GET ", "GET\r\n", "G\0T", "GET/", "G:T", "\u{fc}"] {
        assert_eq!(run(&Spec::new(method.as_bytes(), &url), &[]).unwrap_err().what, What::Method, "{method:?}");
    }
    for target in ["", "/a b", "/\r\nX: y", "/\n", "/\0", "/\t", "/#f", "/\u{fc}", "/ HTTP/1.1\r\nX: y", "/\x7f"] {
        let spec = Spec { target: Some(target.as_bytes()), ..Spec::new(b"GET", &url) };
        assert_eq!(run(&spec, &[]).unwrap_err().what, What::Target, "{target:?}");
    }
    for (method, body) in
        [(&b"CONNECT"[..], FIVE), (b"CONNECT", OPEN), (b"TRACE", FIVE), (b"PUT", BodyLen::Known(1 << 63))]
    {
        assert_eq!(run(&Spec { body, ..Spec::new(method, &url) }, &[]).unwrap_err().what, What::Body);
    }
    for field in [("Content-Length", "0"), ("Transfer-Encoding", "chunked")] {
        assert_eq!(run(&Spec::new(b"CONNECT", &url), &[field]).unwrap_err().what, What::Header);
    }
    let long = "x".repeat(HEAD_MAX);
    assert_eq!(run(&Spec::new(b"GET", &url), &[("a", &long)]).unwrap_err().what, What::Head);
}

#[test]
fn words() {
    let url = Url::parse(b"http://a/").unwrap();
    let get = Spec::new(b"GET", &url);
    let four = [("a", "1"), ("b", "2"), ("c", "3"), ("Foo Bar", "secret")];
    assert_eq!(text(&get, &four), "header 3: name \"Foo Bar\" contains a space; RFC 9110 section 5.1 demands a token");
    assert_eq!(
        text(&get, &[("Foo", "secret\r\n")]),
        "header 0: value of \"Foo\" contains CR; RFC 9110 section 5.5 allows no control characters but the tab"
    );
    assert_eq!(
        text(&get, &[("Host", "a"), ("Host", "b")]),
        "header 1: \"Host\" is given twice; RFC 9112 section 3.2 demands exactly one"
    );
    assert_eq!(
        text(&Spec { target: Some(b"/ "), ..get }, &[]),
        "request target contains a space; RFC 9112 section 3.2 allows visible ASCII without a fragment; \
         percent-encode the rest"
    );
    assert_eq!(
        text(&Spec::new(b"GE\x07T", &url), &[]),
        "method \"GE\\x07T\" contains the byte 0x07; RFC 9110 section 9.1 demands a token"
    );
}

#[test]
fn blocks() {
    let url = Url::parse(b"http://a/").unwrap();
    let spec = Spec::new(b"GET", &url);
    for (block, what) in [
        ("nothing", What::Header),
        ("a: b\r\n\r\n", What::Header),
        ("a: b\r\n\r\nGET / HTTP/1.1\r\n", What::Header),
        ("\r\na: b\r\n", What::Header),
        ("a: b\nc: d\r\n", What::HeaderValue),
        ("a: b\rc: d\r\n", What::HeaderValue),
        ("a: b\r\n c\r\n", What::Header),
        ("a: b\r\n c: d\r\n", What::HeaderName),
        ("a: b\0\r\n", What::HeaderValue),
        ("a : b\r\n", What::HeaderName),
        (": b\r\n", What::HeaderName),
    ] {
        assert_eq!(encode_block(&spec, block.as_bytes()).unwrap_err().what, what, "{block:?}");
        let in_trailers = match what {
            What::HeaderName => What::TrailerName,
            What::HeaderValue => What::TrailerValue,
            _ => What::Trailer,
        };
        assert_eq!(trailers_block(block.as_bytes()).unwrap_err().what, in_trailers, "{block:?}");
    }
}

#[test]
fn trailer_sections() {
    let pairs: [(&[u8], &[u8]); 3] = [(b"A", b" b "), (b"c", b""), (b"A", b"d")];
    assert_eq!(trailers(pairs).unwrap(), b"A: b\r\nc:\r\nA: d\r\n");
    assert_eq!(trailers_block(b"A:b\r\nc:\r\nA: d").unwrap(), b"A: b\r\nc:\r\nA: d\r\n");
    assert_eq!(trailers([]).unwrap(), b"");
    for name in
        ["Content-Length", "transfer-encoding", "HOST", "Trailer", "TE", "Connection", "Authorization", "Cookie"]
    {
        let invalid = trailers([(&b"ok"[..], &b"1"[..]), (name.as_bytes(), b"1")]).unwrap_err();
        assert_eq!((invalid.what, invalid.index), (What::Trailer, 1), "{invalid}");
    }
    for (name, value) in [("a b", ""), ("", ""), ("a", "\r\n"), ("a", "b\0"), ("a", "b\nc")] {
        assert!(trailers([(name.as_bytes(), value.as_bytes())]).is_err());
    }
}
