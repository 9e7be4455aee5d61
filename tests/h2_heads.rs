//! What an HTTP/2 server hears: request heads, trailers and bodies, read by another engine than the one that wrote them, the
//! `h2` crate's server.

use bytes::Bytes;
use chttpcore::proto::h1::encode::{Spec, encode, trailers};
use chttpcore::proto::h2::H2;
use chttpcore::proto::url::Url;
use chttpcore::proto::{BodyLen, Data, Fault, Fields, Follows, Head, Out, Protocol, Sink, StreamKey, Tick};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

struct Nobody;

impl Sink for Nobody {
    fn informational(&mut self, _: StreamKey, _: &Head<'_>) {}
    fn head(&mut self, _: StreamKey, _: &Head<'_>, _: Follows) {}
    fn credit(&mut self, _: StreamKey) -> u64 {
        0
    }
    fn data(&mut self, _: StreamKey, _: Data) {}
    fn trailers(&mut self, _: StreamKey, _: Fields<'_>) {}
    fn end(&mut self, _: StreamKey) {}
    fn failed(&mut self, _: StreamKey, _: Fault) {}
    fn writable(&mut self, _: StreamKey) {}
}

fn opened(method: &str, url: &str, body: BodyLen, fields: &[(&str, &str)]) -> (H2, StreamKey) {
    let url = Url::parse(url.as_bytes()).unwrap();
    let mut spec = Spec::new(method.as_bytes(), &url);
    spec.body = body;
    let fields = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
    let head = encode(&spec, fields).unwrap();
    let mut h2 = H2::new(Arc::default(), None);
    let mut out = Out::new();
    let s = h2.open(Tick(1), &head.request(), &mut out).unwrap();
    assert!(out.is_empty() && h2.unsaid(), "what a turn writes leaves at its end");
    (h2, s)
}

fn said(h2: &mut H2) -> Vec<u8> {
    let mut out = Out::new();
    h2.recv(Tick(1), &[], &mut Nobody, &mut out).unwrap();
    assert!(!h2.unsaid());
    out.segments().flatten().copied().collect()
}

/// The server's end: what it makes of the bytes.
fn heard(bytes: &[u8]) -> (http::request::Parts, Vec<u8>, Option<http::HeaderMap>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (mut ours, theirs) = tokio::io::duplex(1 << 20);
        ours.write_all(bytes).await.unwrap();
        let mut builder = ::h2::server::Builder::new();
        let mut server = builder.enable_connect_protocol().handshake::<_, Bytes>(theirs).await.unwrap();
        let (request, _respond) = server.accept().await.unwrap().unwrap();
        let (head, mut body) = request.into_parts();
        // The connection has to be driven for the rest.
        tokio::spawn(async move { while server.accept().await.is_some() {} });
        let mut all = Vec::new();
        // A tunnel has no end.
        if head.method == http::Method::CONNECT {
            return (head, all, None);
        }
        while let Some(Ok(piece)) = body.data().await {
            all.extend_from_slice(&piece);
        }
        (head, all, body.trailers().await.unwrap_or(None))
    })
}

fn head(method: &str, url: &str, fields: &[(&str, &str)]) -> http::request::Parts {
    let (mut h2, _) = opened(method, url, BodyLen::None, fields);
    heard(&said(&mut h2)).0
}

#[test]
fn targets_become_pseudo_headers() {
    for (method, url, uri) in [
        ("GET", "http://example.org/a?b=c", "http://example.org/a?b=c"),
        ("GET", "https://example.org", "https://example.org/"),
        ("HEAD", "http://example.org:8080/x%20y", "http://example.org:8080/x%20y"),
        ("DELETE", "http://[::1]:81/?q", "http://[::1]:81/?q"),
        ("CONNECT", "http://example.org:443", "example.org:443"),
        ("BREW", "http://example.org/pot", "http://example.org/pot"),
    ] {
        let head = head(method, url, &[]);
        assert_eq!((head.method.as_str(), head.uri.to_string().as_str()), (method, uri));
        assert!(head.headers.is_empty(), "{:?}", head.headers);
    }
    let named = head("GET", "http://127.0.0.1/", &[("Host", "other.example:99")]);
    assert_eq!(named.uri.authority().unwrap(), "other.example:99");
}

#[test]
fn options_without_a_path_are_the_servers_own() {
    // RFC 9113 section 8.3.1.
    for (url, path) in [("http://a", "*"), ("http://a/", "/"), ("http://a?b", "/?b")] {
        let uri = head("OPTIONS", url, &[]).uri;
        assert_eq!((uri.path_and_query().unwrap().as_str(), uri.authority().unwrap().as_str()), (path, "a"), "{url}");
    }
}

#[test]
fn connect_is_to_its_target_and_an_extended_one_to_the_url() {
    let url = Url::parse(b"https://example.org/chat?a=b").unwrap();
    let mut spec = Spec::new(b"CONNECT", &url);
    spec.target = Some(b"far.example:99");
    let none = std::iter::empty::<(&[u8], &[u8])>;
    let mut h2 = H2::new(Arc::default(), None);
    h2.open(Tick(1), &encode(&spec, none()).unwrap().request(), &mut Out::new()).unwrap();
    let head = heard(&said(&mut h2)).0;
    assert_eq!((head.uri.to_string().as_str(), head.extensions.get::<::h2::ext::Protocol>()), ("far.example:99", None));
    spec.target = None;
    spec.protocol = Some(b"websocket");
    let mut h2 = H2::new(Arc::default(), None);
    let mut out = Out::new();
    let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1];
    h2.open(Tick(1), &encode(&spec, none()).unwrap().request(), &mut out).unwrap();
    h2.recv(Tick(1), &settings, &mut Nobody, &mut out).unwrap();
    let bytes: Vec<u8> = out.segments().flatten().copied().collect();
    let head = heard(&bytes).0;
    assert_eq!((head.method.as_str(), head.uri.to_string().as_str()), ("CONNECT", "https://example.org/chat?a=b"));
    assert_eq!(head.extensions.get::<::h2::ext::Protocol>().unwrap().as_str(), "websocket");
    assert!(head.headers.is_empty());
}

#[test]
fn fields_are_those_of_the_message_and_none_of_the_connection() {
    let fields = [
        ("Connection", "close, X-Hop"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "gzip"),
        ("X-Mixed-Case", "as it IS"),
        ("x-twice", "1"),
        ("X-Twice", "2"),
        ("Empty", ""),
    ];
    let got = head("GET", "http://a/", &fields).headers;
    let got: Vec<(&str, &[u8])> = got.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
    let expected: [(&str, &[u8]); 4] =
        [("x-mixed-case", b"as it IS"), ("x-twice", b"1"), ("x-twice", b"2"), ("empty", b"")];
    assert_eq!(got, expected);
    assert_eq!(head("GET", "http://a/", &[("TE", "trailers")]).headers["te"], "trailers");
    assert_eq!(head("POST", "http://a/", &[]).headers["content-length"], "0");
}

#[test]
fn secrets_are_not_put_into_the_table_and_cookies_are_split() {
    let long = "session=0123456789abcdef0123456789abcdef";
    let fields = [("Authorization", "Basic x"), ("Cookie", &format!("a=b; {long};c=d")), ("Accept", "*/*")];
    let (mut h2, _) = opened("GET", "http://a/", BodyLen::None, &fields);
    let bytes = said(&mut h2);
    // Literals that are never indexed, with names of the static table (RFC 7541 section 6.2.3, appendix A).
    let count = |what: [u8; 2]| bytes.windows(2).filter(|w| *w == what).count();
    assert_eq!((count([0x1f, 23 - 15]), count([0x1f, 32 - 15])), (1, 2));
    let got = heard(&bytes).0.headers;
    let cookies: Vec<&[u8]> = got.get_all("cookie").iter().map(|v| v.as_bytes()).collect();
    assert_eq!(cookies, [&b"a=b"[..], long.as_bytes(), b"c=d"]);
}

#[test]
fn bodies_and_trailers_follow() {
    let (mut h2, s) = opened("POST", "http://a/up", BodyLen::Unknown, &[("Trailer", "Sum")]);
    let mut bytes = said(&mut h2);
    let mut out = Out::new();
    assert_eq!(h2.body_room(s), 0, "nothing was asked for");
    h2.want_room(s, true);
    assert!(h2.body_room(s) >= 5);
    h2.body(s, Bytes::from_static(b"hello"), false, &mut out).unwrap();
    h2.body_trailers(s, &trailers([(&b"Sum"[..], &b" 7 "[..])]).unwrap(), &mut out).unwrap();
    assert_eq!(h2.body_room(s), 0);
    bytes.extend(said(&mut h2));
    let (head, body, trailers) = heard(&bytes);
    assert!(!head.headers.contains_key("transfer-encoding"));
    assert_eq!((&body[..], trailers.unwrap()["sum"].as_bytes()), (&b"hello"[..], &b"7"[..]));
}

#[test]
fn a_body_is_not_copied() {
    let (mut h2, s) = opened("POST", "http://a/up", BodyLen::Known(10_000), &[]);
    let body = Bytes::from(vec![b'x'; 10_000]);
    let mut out = Out::new();
    h2.body(s, body.clone(), true, &mut out).unwrap();
    h2.recv(Tick(1), &[], &mut Nobody, &mut out).unwrap();
    let ours = body.as_ptr_range();
    let owned: usize = out.segments().filter(|b| ours.contains(&b.as_ptr())).map(<[u8]>::len).sum();
    assert_eq!(owned, 10_000);
}

#[test]
fn an_engine_may_move_between_threads() {
    fn moves<T: Send>() {}
    moves::<H2>();
}

#[test]
fn what_http2_cannot_say_is_an_error_and_no_stream() {
    let url = Url::parse(b"http://a/").unwrap();
    let mut spec = Spec::new(b"OPTIONS", &url);
    // Not even HTTP/1.1 has this form, but it may be sent.
    spec.target = Some(b"nonsense");
    let head = encode(&spec, std::iter::empty::<(&[u8], &[u8])>()).unwrap();
    let mut h2 = H2::new(Arc::default(), None);
    assert_eq!(h2.open(Tick(1), &head.request(), &mut Out::new()), Err(Fault::Unsendable));
    spec.target = Some(b"*");
    let head = encode(&spec, std::iter::empty::<(&[u8], &[u8])>()).unwrap();
    h2.open(Tick(1), &head.request(), &mut Out::new()).unwrap();
    assert_eq!(heard(&said(&mut h2)).0.uri.path(), "*");
}
