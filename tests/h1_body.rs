//! Framing of response bodies, persistence, chunked coding, trailers, truncation. Every row in every cut.

mod dice;
mod h1_support;

use Ask::{Close, Connect, Get, Head, Nothing, Unsent, Upgrade, UpgradeUnsent};
use chttpcore::proto::h1::Limits;
use dice::Dice;
use h1_support::{Ask, brief, run, verdict};

/// (rule, request, status line and fields joined by `|`, what follows the head, what is told)
const FRAMING: &[(&str, Ask, &str, &str, &str)] = &[
    ("9112 6.3 (6) length", Get, "1.1 200|Content-Length: 5", "hello", "200=5 'hello' . keep"),
    ("9112 6.3 (6) zero", Get, "1.1 200|Content-Length: 0", "", "200- . keep"),
    ("9112 6.3 (6) short", Get, "1.1 200|Content-Length: 5", "hell", "200=5 'hell' !TruncatedBody"),
    ("9112 6.3 (6) none of it", Get, "1.1 200|Content-Length: 5", "", "200=5 !TruncatedBody"),
    ("9112 6.3 (8) until close", Get, "1.1 200", "hello", "200~ 'hello' . close"),
    ("9112 6.3 (8) empty", Get, "1.1 200", "", "200~ . close"),
    ("9112 6.3 (1) HEAD", Head, "1.1 200|Content-Length: 5", "", "200- . keep"),
    ("9112 6.3 (1) HEAD chunked", Head, "1.1 200|Transfer-Encoding: chunked", "", "200- . keep"),
    ("9112 6.3 (1) HEAD neither", Head, "1.1 200", "", "200- . keep"),
    ("9112 6.3 (1) HEAD with a body", Head, "1.1 200|Content-Length: 5", "hello", "200- . !UnexpectedData"),
    ("9112 6.3 (1) 204", Get, "1.1 204|Content-Length: 5", "", "204- . keep"),
    ("9112 6.3 (1) 204 with a body", Get, "1.1 204", "x", "204- . !UnexpectedData"),
    ("9112 6.3 (1) 304", Get, "1.1 304|Content-Length: 5", "", "304- . keep"),
    ("9112 6.3 (1) 304 with a body", Get, "1.1 304|Content-Length: 5", "hello", "304- . !UnexpectedData"),
    ("9112 6.3 (1) 205 has one", Get, "1.1 205|Content-Length: 1", "x", "205=1 'x' . keep"),
    ("9112 6.3 (2) CONNECT", Connect, "1.1 200", "raw", "200> 'raw' . close"),
    ("9112 6.3 (2) CONNECT, length", Connect, "1.1 200|Content-Length: x", "raw", "200> 'raw' . close"),
    ("9112 6.3 (2) CONNECT, chunked", Connect, "1.1 204|Transfer-Encoding: chunked", "", "204> . close"),
    ("9112 6.3 CONNECT refused", Connect, "1.1 407|Content-Length: 2", "no", "407=2 'no' . keep"),
    (
        "9112 6.3 (3) both",
        Get,
        "1.1 200|Content-Length: 5|Transfer-Encoding: chunked",
        "0\r\n\r\n",
        "!LengthAndEncoding",
    ),
    ("9112 6.3 (3) both, HEAD", Head, "1.1 200|Transfer-Encoding: chunked|Content-Length: 5", "", "!LengthAndEncoding"),
    ("9112 6.3 (4) not chunked", Get, "1.1 200|Transfer-Encoding: gzip", "x", "!TransferEncoding"),
    ("9112 6.3 (4) chunked first", Get, "1.1 200|Transfer-Encoding: chunked, gzip", "x", "!TransferEncoding"),
    ("9112 6.1 unknown before", Get, "1.1 200|Transfer-Encoding: gzip, chunked", "0\r\n\r\n", "!TransferEncoding"),
    ("9112 6.1 twice", Get, "1.1 200|Transfer-Encoding: chunked, chunked", "0\r\n\r\n", "!TransferEncoding"),
    (
        "9112 6.1 two lines",
        Get,
        "1.1 200|Transfer-Encoding: chunked|Transfer-Encoding: chunked",
        "",
        "!TransferEncoding",
    ),
    ("9112 6.1 identity", Get, "1.1 200|Transfer-Encoding: identity", "x", "!TransferEncoding"),
    ("9112 6.1 empty", Get, "1.1 200|Transfer-Encoding:", "x", "!TransferEncoding"),
    ("9112 6.1 parameter", Get, "1.1 200|Transfer-Encoding: chunked;a=b", "", "!TransferEncoding"),
    ("9112 6.1 look-alike", Get, "1.1 200|Transfer-Encoding: xchunked", "", "!TransferEncoding"),
    ("9112 6.1 HTTP/1.0", Get, "1.0 200|Transfer-Encoding: chunked", "0\r\n\r\n", "!TransferEncoding"),
    ("9112 6.1 case", Get, "1.1 200|transfer-ENCODING: CHunked", "0\r\n\r\n", "200~ . keep"),
    ("9110 8.6 equal twice", Get, "1.1 200|Content-Length: 1|content-length: 1", "x", "200=1 'x' . keep"),
    ("9110 8.6 equal list", Get, "1.1 200|Content-Length: 1, 1", "x", "200=1 'x' . keep"),
    ("9110 8.6 leading zeros", Get, "1.1 200|Content-Length: 001", "x", "200=1 'x' . keep"),
    ("9110 8.6 differing lines", Get, "1.1 200|Content-Length: 1|Content-Length: 2", "x", "!ContentLength"),
    ("9110 8.6 differing list", Get, "1.1 200|Content-Length: 1, 2", "x", "!ContentLength"),
    ("9110 8.6 empty element", Get, "1.1 200|Content-Length: 1,", "x", "!ContentLength"),
    ("9110 8.6 empty", Get, "1.1 200|Content-Length:", "x", "!ContentLength"),
    ("9110 8.6 plus", Get, "1.1 200|Content-Length: +1", "x", "!ContentLength"),
    ("9110 8.6 minus", Get, "1.1 200|Content-Length: -1", "x", "!ContentLength"),
    ("9110 8.6 hex", Get, "1.1 200|Content-Length: 0x1", "x", "!ContentLength"),
    ("9110 8.6 letters", Get, "1.1 200|Content-Length: 1a", "x", "!ContentLength"),
    ("9110 8.6 blank inside", Get, "1.1 200|Content-Length: 1 1", "x", "!ContentLength"),
    ("9110 8.6 fraction", Get, "1.1 200|Content-Length: 1.0", "x", "!ContentLength"),
    (
        "9110 8.6 largest",
        Get,
        "1.1 200|Content-Length: 9223372036854775807",
        "x",
        "200=9223372036854775807 'x' !TruncatedBody",
    ),
    ("9110 8.6 2^63", Get, "1.1 200|Content-Length: 9223372036854775808", "x", "!ContentLength"),
    ("9110 8.6 2^64", Get, "1.1 200|Content-Length: 18446744073709551616", "x", "!ContentLength"),
    ("9110 8.6 2^64 + 1 wraps", Get, "1.1 200|Content-Length: 18446744073709551617", "x", "!ContentLength"),
    ("9110 8.6 bad on 304", Get, "1.1 304|Content-Length: x", "", "!ContentLength"),
    ("9110 8.6 bad on HEAD", Head, "1.1 200|Content-Length: x", "", "!ContentLength"),
    ("9112 9.3 close", Get, "1.1 200|Content-Length: 0|Connection: close", "", "200- . close"),
    ("9112 9.3 close in a list", Get, "1.1 200|Content-Length: 0|connection: x, CLOSE", "", "200- . close"),
    (
        "9112 9.3 close on a second line",
        Get,
        "1.1 200|Content-Length: 0|Connection: x|Connection: close",
        "",
        "200- . close",
    ),
    (
        "9112 9.3 close and keep-alive",
        Get,
        "1.1 200|Content-Length: 0|Connection: keep-alive, close",
        "",
        "200- . close",
    ),
    ("9112 9.3 no token", Get, "1.1 200|Content-Length: 0|Connection: closed", "", "200- . keep"),
    ("9112 9.3 HTTP/1.0", Get, "1.0 200|Content-Length: 0", "", "200- . close"),
    ("9112 9.3 HTTP/1.0 keep-alive", Get, "1.0 200|Content-Length: 0|Connection: Keep-Alive", "", "200- . keep"),
    ("9112 9.3 HTTP/1.0 until close", Get, "1.0 200|Connection: keep-alive", "x", "200~ 'x' . close"),
    ("9112 9.6 asked to close", Close, "1.1 200|Content-Length: 0", "", "200- . close"),
    ("9112 9.3 body not sent", Unsent, "1.1 413|Content-Length: 0", "", "413- . close"),
    ("9112 9.2 no request", Nothing, "1.1 408|Content-Length: 0", "", "!UnexpectedData"),
    ("9112 6.3 a second answer", Get, "1.1 200|Content-Length: 0", "HTTP/1.1 200 OK\r\n\r\n", "200- . !UnexpectedData"),
    ("9112 6.3 CRLF after the end", Get, "1.1 200|Content-Length: 1", "x\r\n", "200=1 'x' . !UnexpectedData"),
    (
        "9110 15.2 informational",
        Get,
        "1.1 103|Link: a|Content-Length: 9",
        "HTTP/1.1 204 x\r\n\r\n",
        "i103{Link:a,Content-Length:9} 204- . keep",
    ),
    ("9110 15.2.2 101 unsolicited", Get, "1.1 101|Connection: upgrade|Upgrade: x", "", "!UnsolicitedUpgrade"),
    ("9110 15.2.2 101 solicited", Upgrade, "1.1 101|Connection: upgrade|Upgrade: x", "raw", "101> 'raw' . close"),
    ("9110 7.8 upgrade declined", Upgrade, "1.1 200|Content-Length: 1", "x", "200=1 'x' . keep"),
    ("9110 7.8 101 before the body", UpgradeUnsent, "1.1 101|Upgrade: x", "", "!UnsolicitedUpgrade"),
    ("9110 9.3.6 101 to CONNECT", Connect, "1.1 101|Upgrade: x", "", "!UnsolicitedUpgrade"),
];

fn response(head: &str, body: &[u8]) -> Vec<u8> {
    let (status, fields) = head.split_once('|').unwrap_or((head, ""));
    let fields: String = fields.split('|').filter(|f| !f.is_empty()).map(|f| format!("{f}\r\n")).collect();
    [format!("HTTP/{status} x\r\n{fields}\r\n").as_bytes(), body].concat()
}

fn chunked(body: &[u8]) -> Vec<u8> {
    response("1.1 200|Transfer-Encoding: chunked", body)
}

#[test]
fn framing() {
    for (rule, who, head, body, want) in FRAMING {
        assert_eq!(brief(*who, &Limits::default(), &response(head, body.as_bytes())), *want, "{rule}");
    }
}

/// (rule, chunked body, what is told after the head)
const CHUNKED: &[(&str, &[u8], &str)] = &[
    ("9112 7.1", b"5\r\nhello\r\n0\r\n\r\n", "'hello' . keep"),
    ("9112 7.1 two", b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "'abc' . keep"),
    ("9112 7.1 empty", b"0\r\n\r\n", ". keep"),
    ("9112 7.1 several zeros", b"1\r\na\r\n000\r\n\r\n", "'a' . keep"),
    (
        "9112 7.1 case, leading zeros",
        b"00A\r\n0123456789\r\n0a\r\n0123456789\r\n0\r\n\r\n",
        "'01234567890123456789' . keep",
    ),
    ("9112 7.1 16 digits", b"0000000000000001\r\na\r\n0\r\n\r\n", "'a' . keep"),
    ("9112 7.1 17 digits", b"00000000000000001\r\na\r\n0\r\n\r\n", "!ChunkSize"),
    ("9112 7.1 largest", b"7fffffffffffffff\r\na", "'a' !TruncatedChunk"),
    ("9112 7.1 2^63", b"8000000000000000\r\na", "!ChunkSize"),
    ("9112 7.1 2^64", b"10000000000000000\r\na", "!ChunkSize"),
    ("9112 7.1 2^64 + 1 wraps", b"10000000000000001\r\na\r\n0\r\n\r\n", "!ChunkSize"),
    ("9112 7.1 empty size", b"\r\na", "!ChunkSize"),
    ("9112 7.1 0x", b"0x1\r\na\r\n0\r\n\r\n", "!ChunkSize"),
    ("9112 7.1 plus", b"+1\r\na\r\n", "!ChunkSize"),
    ("9112 7.1 minus", b"-1\r\na\r\n", "!ChunkSize"),
    ("9112 7.1 underscore", b"1_0\r\n", "!ChunkSize"),
    ("9112 7.1 letter", b"g\r\n", "!ChunkSize"),
    ("9112 7.1 letter later", b"1g\r\n", "!ChunkSize"),
    ("9112 7.1 blank first", b" 1\r\na\r\n", "!ChunkSize"),
    ("9112 7.1 NUL", b"1\0\r\na\r\n", "!ChunkSize"),
    ("9112 7.1 trailing SP", b"1 \r\na\r\n0 \r\n\r\n", "'a' . keep"),
    ("9112 7.1 trailing HT", b"1\t \r\na\r\n0\r\n\r\n", "'a' . keep"),
    ("9112 7.1 blank inside", b"1 1\r\na\r\n", "!ChunkExtension"),
    ("9112 7.1 bare LF after size", b"1\na\r\n0\r\n\r\n", "!BareLf"),
    ("9112 7.1 bare LF after extension", b"1;a\na\r\n0\r\n\r\n", "!BareLf"),
    ("9112 7.1 bare CR after size", b"1\ra\r\n0\r\n\r\n", "!ChunkFraming"),
    ("9112 7.1 CR CR LF", b"1\r\r\na\r\n0\r\n\r\n", "!ChunkFraming"),
    ("9112 7.1 bare LF after data", b"1\r\na\n0\r\n\r\n", "'a' !BareLf"),
    ("9112 7.1 bare CR after data", b"1\r\na\r0\r\n\r\n", "'a' !ChunkFraming"),
    ("9112 7.1 chunk too long", b"1\r\nab\r\n0\r\n\r\n", "'a' !ChunkFraming"),
    ("9112 7.1 chunk too short", b"3\r\na\r\n0\r\n\r\n", "'a\\r\\n' !ChunkFraming"),
    ("9112 7.1 no last chunk", b"1\r\na\r\n", "'a' !TruncatedChunk"),
    ("9112 7.1 bytes after", b"0\r\n\r\nx", ". !UnexpectedData"),
    ("9112 7.1.1", b"1;a\r\nx\r\n0;b=c\r\n\r\n", "'x' . keep"),
    ("9112 7.1.1 BWS", b"1 ; a = b ; c\r\nx\r\n0\r\n\r\n", "'x' . keep"),
    ("9112 7.1.1 quoted", b"1;a=\"b;\\\" c\";d\r\nx\r\n0\r\n\r\n", "'x' . keep"),
    ("9112 7.1.1 empty quotes", b"1;a=\"\" \r\nx\r\n0\r\n\r\n", "'x' . keep"),
    ("9112 7.1.1 no name", b"1;\r\nx\r\n", "!ChunkExtension"),
    ("9112 7.1.1 no name, SP", b"1; \r\nx\r\n", "!ChunkExtension"),
    ("9112 7.1.1 no second name", b"1;a;\r\nx\r\n", "!ChunkExtension"),
    ("9112 7.1.1 no name before =", b"1;=b\r\nx\r\n", "!ChunkExtension"),
    ("9112 7.1.1 no name between", b"1;;a\r\nx\r\n", "!ChunkExtension"),
    ("9112 7.1.1 no value", b"1;a=\r\nx\r\n", "!ChunkExtension"),
    ("9112 7.1.1 two names", b"1;a b\r\nx\r\n", "!ChunkExtension"),
    ("9112 7.1.1 open quote", b"1;a=\"b\r\nx\r\n", "!ChunkExtension"),
    ("9112 7.1.1 text after quote", b"1;a=\"b\"c\r\nx\r\n", "!ChunkExtension"),
    ("9112 7.1.1 control", b"1;a=\x01\r\nx\r\n", "!ChunkExtension"),
    ("9112 7.1.1 NUL in quotes", b"1;a=\"\0\"\r\nx\r\n", "!ChunkExtension"),
    ("9112 7.1.1 LF in quotes", b"1;a=\"\n\"\r\nx\r\n", "!ChunkExtension"),
    ("9112 7.1.2", b"0\r\na: b\r\nC:d\r\n\r\n", "{a:b,C:d} . keep"),
    ("9112 7.1.2 after data", b"1\r\nx\r\n0\r\na: b\r\n\r\n", "'x' {a:b} . keep"),
    ("9112 7.1.2 bytes after", b"0\r\na: b\r\n\r\nx", "{a:b} . !UnexpectedData"),
    ("9112 7.1.2 SP before colon", b"0\r\na : b\r\n\r\n", "!Trailer"),
    ("9112 7.1.2 no colon", b"0\r\nab\r\n\r\n", "!Trailer"),
    ("9112 7.1.2 blank first", b"0\r\n a: b\r\n\r\n", "!Trailer"),
    ("9112 7.1.2 NUL", b"0\r\na: \0\r\n\r\n", "!Trailer"),
    ("9112 7.1.2 CR", b"0\r\na: b\rc\r\n\r\n", "!Trailer"),
    ("9112 7.1.2 status line", b"0\r\nHTTP/1.1 200 OK\r\n\r\n", "!Trailer"),
    ("9112 7.1.2 obs-fold", b"0\r\na: b\r\n c\r\n\r\n", "!ObsFold"),
    ("9112 7.1.2 bare LF", b"0\r\na: b\n\r\n", "!BareLf"),
    ("9112 7.1.2 bare LF at the end", b"0\r\n\n", "!BareLf"),
    ("9112 8 in trailers", b"0\r\na: b\r\n", "!TruncatedTrailers"),
    ("9112 8 before the empty line", b"0\r\n", "!TruncatedTrailers"),
    ("9112 8 in the last chunk", b"0\r", "!TruncatedChunk"),
];

#[test]
fn chunked_coding() {
    for (rule, body, want) in CHUNKED {
        assert_eq!(brief(Get, &Limits::default(), &chunked(body)), format!("200~ {want}"), "{rule}");
    }
}

#[test]
fn chunked_options() {
    let limits = Limits { allow_bare_lf: true, allow_obs_fold: true, ..Limits::default() };
    for (body, want) in [
        (&b"1\na\n0\n\n"[..], "'a' . keep"),
        (b"1;a\na\r\n0\r\nb: c\n\td\n\n", "'a' {b:c \\td} . keep"),
        (b"0\r\na: b\r\n c\r\n\r\n", "{a:b   c} . keep"),
        (b"1;a=\"\n\"\nx\n", "!ChunkExtension"),
    ] {
        assert_eq!(brief(Get, &limits, &chunked(body)), format!("200~ {want}"));
    }
}

#[test]
fn limits_of_trailers_and_extensions() {
    let limits = Limits { line_max: 40, head_max: 60, fields_max: 2, chunk_ext_max: 4, ..Limits::default() };
    for (body, want) in [
        ("0\r\na:\r\nb:\r\n\r\n".to_owned(), "{a:,b:} . keep"),
        ("0\r\na:\r\nb:\r\nc:\r\n\r\n".to_owned(), "!TrailersTooLarge"),
        (format!("0\r\na:{}\r\n\r\n", "x".repeat(36)), "{a:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx} . keep"),
        (format!("0\r\na:{}\r\n\r\n", "x".repeat(37)), "!TrailersTooLarge"),
        (format!("0\r\na:{0}\r\nb:{0}\r\n\r\n", "x".repeat(26)), "!TrailersTooLarge"),
        ("1;abc\r\nx\r\n0;abc\r\n\r\n".to_owned(), "'x' . keep"),
        ("1;abcd\r\n".to_owned(), "!ChunkExtension"),
        ("1    \r\nx\r\n0\r\n\r\n".to_owned(), "'x' . keep"),
        ("1     \r\n".to_owned(), "!ChunkExtension"),
    ] {
        assert_eq!(brief(Get, &limits, &chunked(body.as_bytes())), format!("200~ {want}"), "{body}");
    }
}

/// One byte of data under a large extension each time: the amplification stops at 64 KiB and a quarter of the body.
#[test]
fn chunk_extensions_in_total() {
    let limits = Limits::default();
    let one = format!("1;{}\r\nx\r\n", "e".repeat((16 << 10) - 1));
    let told = |n: usize| run(Get, &limits, [&*chunked(one.repeat(n).as_bytes())], u64::MAX);
    assert!(told(4).ends_with("'xxxx' !TruncatedChunk"));
    assert!(told(5).ends_with("'xxxx' !ChunkExtension"));
    let over = one.replace(';', ";e");
    assert!(run(Get, &limits, [&*chunked(over.as_bytes())], u64::MAX).ends_with("!ChunkExtension"));
    // Small extensions under much data go on for ever.
    let fair = format!("100;{}\r\n{}\r\n", "e".repeat(60), "x".repeat(256)).repeat(4000) + "0\r\n\r\n";
    assert!(run(Get, &limits, chunked(fair.as_bytes()).chunks(9973), u64::MAX).ends_with(". keep"));
}

/// A close at every offset of a good answer is a truncation with the code of the place, unless the close is the end.
#[test]
fn truncation_at_every_offset() {
    let limits = Limits::default();
    let length = response("1.1 200|Content-Length: 5", b"hello");
    let sizes = chunked(b"5;a=b\r\nhello\r\n0\r\nt: u\r\n\r\n");
    let close = response("1.1 200", b"hello");
    let head_of = |bytes: &[u8]| bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let last_chunk = sizes.windows(3).rposition(|w| w == b"0\r\n").unwrap() + 3;
    for (answer, name) in [(&length, "length"), (&sizes, "chunked"), (&close, "close")] {
        let head = head_of(answer);
        for cut in 0..=answer.len() {
            let told = verdict(Get, &limits, &answer[..cut]);
            let want = match name {
                _ if cut == 0 => "!ClosedBeforeHead",
                _ if cut < head => "!TruncatedHead",
                "close" => ". close",
                _ if cut == answer.len() => ". keep",
                "length" => "!TruncatedBody",
                _ if cut < last_chunk => "!TruncatedChunk",
                _ => "!TruncatedTrailers",
            };
            assert!(told.ends_with(want), "{name} at {cut}: {told}");
        }
    }
}

/// Good answers with bytes changed, dropped, doubled: whatever the verdict is, three random cuts agree with it.
#[test]
fn random_damage_in_random_cuts() {
    let seeds = [
        response("1.1 200|Content-Length: 5|Connection: keep-alive", b"hello"),
        response("1.0 200|Connection: keep-alive|Content-Length: 1, 1", b"x"),
        chunked(b"5;a=\"b\"\r\nhello\r\n0a \r\n0123456789\r\n0\r\nt: u\r\nv:\r\n\r\n"),
        response("1.1 103|A: b", &response("1.1 200", b"until close")),
        [&b"\r\n"[..], &response("1.1 204", b"")].concat(),
        response("1.1 204|A: b\r\n c|D: e\r\n\tf\r\n g", b""),
    ];
    let alphabet = b"\r\n \t:;,=\"0159afAFx\0\x7f\xffHT/.-+";
    let mut dice = Dice::new(1);
    let mut refused = 0;
    for round in 0..20_000 {
        let mut input = seeds[dice.roll(seeds.len())].clone();
        for _ in 0..1 + dice.roll(3) {
            let at = dice.roll(input.len());
            match dice.roll(4) {
                0 => drop(input.remove(at)),
                1 => input.insert(at, dice.pick(alphabet)),
                2 => input[at] = dice.pick(alphabet),
                _ => input.insert(at, input[at]),
            }
        }
        let limits = Limits {
            allow_bare_lf: dice.one_in(2),
            allow_obs_fold: dice.one_in(2),
            line_max: dice.pick(&[60, 1 << 10]),
            head_max: dice.pick(&[90, 1 << 10]),
            fields_max: dice.pick(&[2, 100]),
            ..Limits::default()
        };
        let who = dice.pick(&[Get, Get, Head, Connect, Upgrade]);
        let whole = run(who, &limits, [&*input], u64::MAX);
        refused += usize::from(whole.contains('!'));
        for pay in [u64::MAX, 1, 3] {
            let mut cuts = vec![0, input.len()];
            cuts.extend((0..dice.roll(6)).map(|_| dice.roll(input.len() + 1)));
            cuts.sort_unstable();
            let told = run(who, &limits, cuts.windows(2).map(|w| &input[w[0]..w[1]]), pay);
            assert_eq!(told, whole, "round {round}, cuts {cuts:?}: {}", input.escape_ascii());
        }
        assert_eq!(run(who, &limits, input.chunks(1), u64::MAX), whole, "round {round}: {}", input.escape_ascii());
    }
    assert!((2_000..18_000).contains(&refused), "{refused} of 20000 refused: the damage proves little");
}
