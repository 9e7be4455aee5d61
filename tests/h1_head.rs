//! Response heads: what is taken, what is refused, limits. Each row is fed whole, in every cut and byte by byte.

mod h1_support;

use chttpcore::proto::h1::Limits;
use h1_support::{Ask, brief, verdict};

/// (rule, head up to and including its empty line, what is told)
const STATUS_LINES: &[(&str, &[u8], &str)] = &[
    ("9112 4", b"HTTP/1.1 200 OK\r\n\r\n", "200~ Http11 OK{} . close"),
    ("9112 4 no reason", b"HTTP/1.1 204 \r\n\r\n", "204- Http11 {} . keep"),
    ("9112 4 no SP", b"HTTP/1.1 204\r\n\r\n", "204- Http11 {} . keep"),
    ("9112 4 reason", b"HTTP/1.1 204 a\tb \xff\r\n\r\n", "204- Http11 a\\tb \\xff{} . keep"),
    ("9112 4 reason NUL", b"HTTP/1.1 204 a\0\r\n\r\n", "!FieldByte"),
    ("9112 4 reason CR", b"HTTP/1.1 204 a\rb\r\n\r\n", "!FieldByte"),
    ("9112 4 reason DEL", b"HTTP/1.1 204 a\x7f\r\n\r\n", "!FieldByte"),
    ("9110 2.5 1.0", b"HTTP/1.0 204 x\r\n\r\n", "204- Http10 x{} . close"),
    ("9110 2.5 minor", b"HTTP/1.2 204 x\r\n\r\n", "204- Http11 x{} . keep"),
    ("9110 2.5 minor 9", b"HTTP/1.9 204 x\r\n\r\n", "204- Http11 x{} . keep"),
    ("9110 2.5 major 2", b"HTTP/2.0 204 x\r\n\r\n", "!Version"),
    ("9110 2.5 major 2, short", b"HTTP/2 204 x\r\n\r\n", "!Version"),
    ("9110 2.5 major 0", b"HTTP/0.9 204 x\r\n\r\n", "!Version"),
    ("9112 2.3 long major", b"HTTP/11.1 200 OK\r\n\r\n", "!Version"),
    ("9112 2.3 long minor", b"HTTP/1.10 200 OK\r\n\r\n", "!StatusLine"),
    ("9112 2.3 no minor", b"HTTP/1 200 OK\r\n\r\n", "!StatusLine"),
    ("9112 2.3 letter", b"HTTP/1.x 200 OK\r\n\r\n", "!StatusLine"),
    ("9112 2.3 case", b"http/1.1 200 OK\r\n\r\n", "!StatusLine"),
    ("9112 4 HTTP/0.9 body", b"<html></html>\r\n\r\n", "!StatusLine"),
    ("9112 4 ICY", b"ICY 200 OK\r\n\r\n", "!StatusLine"),
    ("9112 4 SSH", b"SSH-2.0-OpenSSH_9.6\r\n", "!StatusLine"),
    ("9112 4 TLS alert", b"\x15\x03\x01\x00\x02\x02\x46", "!StatusLine"),
    ("9112 4 blank first", b" HTTP/1.1 200 OK\r\n\r\n", "!StatusLine"),
    ("9112 4 only the version", b"HTTP/1.1\r\n\r\n", "!StatusLine"),
    ("9112 4 HT", b"HTTP/1.1\t200 OK\r\n\r\n", "!StatusLine"),
    ("9112 4 two SP", b"HTTP/1.1  200 OK\r\n\r\n", "!StatusCode"),
    ("9112 4 HT after code", b"HTTP/1.1 200\tOK\r\n\r\n", "!StatusLine"),
    ("9112 4 letter after code", b"HTTP/1.1 200OK\r\n\r\n", "!StatusLine"),
    ("9112 4 four digits", b"HTTP/1.1 2000 OK\r\n\r\n", "!StatusCode"),
    ("9112 4 two digits", b"HTTP/1.1 20 OK\r\n\r\n", "!StatusCode"),
    ("9112 4 two digits, no reason", b"HTTP/1.1 20\r\n\r\n", "!StatusCode"),
    ("9112 4 no code", b"HTTP/1.1 OK\r\n\r\n", "!StatusCode"),
    ("9112 4 empty code", b"HTTP/1.1 \r\n\r\n", "!StatusCode"),
    ("9112 4 sign", b"HTTP/1.1 -20 OK\r\n\r\n", "!StatusCode"),
    ("9112 4 hex", b"HTTP/1.1 2a0 OK\r\n\r\n", "!StatusCode"),
    ("9110 15 below 100", b"HTTP/1.1 099 OK\r\n\r\n", "!StatusCode"),
    ("9110 15 zero", b"HTTP/1.1 000 OK\r\n\r\n", "!StatusCode"),
    ("9110 15 unknown class", b"HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n", "999- Http11 x{Content-Length:0} . keep"),
    ("9112 2.2 one CRLF", b"\r\nHTTP/1.1 204 x\r\n\r\n", "204- Http11 x{} . keep"),
    ("9112 2.2 two CRLF", b"\r\n\r\nHTTP/1.1 204 x\r\n\r\n", "!StatusLine"),
    ("9112 2.2 CR", b"\rHTTP/1.1 204 x\r\n\r\n", "!StatusLine"),
    ("9112 2.2 LF", b"\nHTTP/1.1 204 x\r\n\r\n", "!StatusLine"),
    ("9112 2.2 CRLF after a 1xx", b"HTTP/1.1 100 x\r\n\r\n\r\nHTTP/1.1 204 x\r\n\r\n", "i100{} 204- Http11 x{} . keep"),
    ("9112 2.2 bare LF", b"HTTP/1.1 204 x\n\r\n", "!BareLf"),
    ("9112 2.2 only CRLF", b"\r\n", "!TruncatedHead"),
    ("9112 2.2 only CR", b"\r", "!TruncatedHead"),
    ("9112 8 nothing", b"", "!ClosedBeforeHead"),
    ("9112 8 one byte", b"H", "!TruncatedHead"),
    ("9112 8 after a 1xx", b"HTTP/1.1 100 x\r\n\r\n", "i100{} !TruncatedHead"),
];

#[test]
fn status_lines() {
    for (rule, input, want) in STATUS_LINES {
        assert_eq!(verdict(Ask::Get, &Limits::default(), input), *want, "{rule}");
    }
}

/// (rule, field lines, fields told or fault)
const FIELD_LINES: &[(&str, &[u8], &str)] = &[
    ("9112 5", b"a: b\r\n", "{a:b}"),
    ("9112 5 OWS", b"a:b\r\nc: \t d\te \t\r\n", "{a:b,c:d\\te}"),
    ("9112 5 empty value", b"a:\r\nb: \t\r\nc: d\r\n", "{a:,b:,c:d}"),
    ("9110 5.3 order, case, duplicates", b"B: 1\r\na: 2\r\nb: 3\r\nB: 1\r\n", "{B:1,a:2,b:3,B:1}"),
    ("9110 5.5 obs-text", b"a: \x80\xff\r\n", "{a:\\x80\\xff}"),
    ("9110 5.5 colons", b"a: :b:\r\n", "{a::b:}"),
    ("9110 5.6.2 all of token", b"!#$%&'*+-.^_`|~09azAZ: b\r\n", "{!#$%&\\'*+-.^_`|~09azAZ:b}"),
    ("9112 5.1 SP before colon", b"a : b\r\n", "!SpaceBeforeColon"),
    ("9112 5.1 HT before colon", b"a\t: b\r\n", "!SpaceBeforeColon"),
    ("9112 5.1 SP before colon, later", b"x: y\r\na  : b\r\n", "!SpaceBeforeColon"),
    ("9112 2.2 SP on the first line", b" a: b\r\n", "!FieldLine"),
    ("9112 2.2 HT on the first line", b"\ta: b\r\n", "!FieldLine"),
    ("9112 5.2 obs-fold SP", b"a: b\r\n c\r\n", "!ObsFold"),
    ("9112 5.2 obs-fold HT", b"a: b\r\n\tc\r\n", "!ObsFold"),
    ("9112 5.2 obs-fold blank", b"a: b\r\n \r\n", "!ObsFold"),
    ("9112 5 no colon", b"a\r\n", "!FieldLine"),
    ("9112 5 no name", b": b\r\n", "!FieldLine"),
    ("9110 5.1 SP in name", b"a b: c\r\n", "!FieldLine"),
    ("9110 5.1 bracket in name", b"a(: c\r\n", "!FieldLine"),
    ("9110 5.1 NUL in name", b"a\0: c\r\n", "!FieldLine"),
    ("9110 5.1 CR in name", b"a\r: c\r\n", "!FieldLine"),
    ("9110 5.1 obs-text in name", b"\xe4: c\r\n", "!FieldLine"),
    ("9110 5.5 NUL", b"a: b\0c\r\n", "!FieldByte"),
    ("9110 5.5 CR", b"a: b\rc\r\n", "!FieldByte"),
    ("9110 5.5 CR CRLF", b"a: b\r\r\n", "!FieldByte"),
    ("9110 5.5 CR as value", b"a:\r\r\n", "!FieldByte"),
    ("9110 5.5 LF", b"a: b\nc\r\n", "!BareLf"),
    ("9110 5.5 control", b"a: \x01\r\n", "!FieldByte"),
    ("9110 5.5 VT", b"a: \x0b\r\n", "!FieldByte"),
    ("9110 5.5 DEL", b"a: \x7f\r\n", "!FieldByte"),
    ("9112 2.2 bare LF", b"a: b\n", "!BareLf"),
    ("9112 2.2 CR at a line start", b"\ra: b\r\n", "!FieldLine"),
    ("first fault wins", b"a : b\r\nc\r\nd: e\n", "!SpaceBeforeColon"),
    ("first fault wins", b"a: b\nc : d\r\n", "!BareLf"),
];

fn with_status(fields: &[u8]) -> Vec<u8> {
    [b"HTTP/1.1 204 x\r\n", fields, b"\r\n"].concat()
}

#[test]
fn field_lines() {
    for (rule, fields, want) in FIELD_LINES {
        let want = if want.starts_with('!') { (*want).to_owned() } else { format!("204- Http11 x{want} . keep") };
        assert_eq!(verdict(Ask::Get, &Limits::default(), &with_status(fields)), want, "{rule}");
    }
}

/// A broken line is refused when it is complete, not when the head is: a peer that stops there gains nothing.
#[test]
fn faults_do_not_wait_for_the_end_of_the_head() {
    for (rule, fields, want) in FIELD_LINES.iter().filter(|row| row.2.starts_with('!')) {
        let input = [b"HTTP/1.1 204 x\r\n", *fields].concat();
        assert_eq!(verdict(Ask::Get, &Limits::default(), &input), *want, "{rule}");
    }
    for (rule, input, want) in STATUS_LINES.iter().filter(|row| row.2.starts_with("!S") || row.2 == "!Version") {
        let line = &input[..input.iter().rposition(|&b| b == b'\r').unwrap_or(input.len())];
        assert_eq!(verdict(Ask::Get, &Limits::default(), line), *want, "{rule}");
    }
}

#[test]
fn bare_lf_by_option() {
    let limits = Limits { allow_bare_lf: true, ..Limits::default() };
    for (input, want) in [
        (&b"HTTP/1.1 204 x\na: b\n\n"[..], "204- Http11 x{a:b} . keep"),
        (b"\nHTTP/1.1 204 x\r\na: b\n\r\n", "204- Http11 x{a:b} . keep"),
        (b"HTTP/1.1 204\n\n", "204- Http11 {} . keep"),
        (b"HTTP/1.1 204 x\na: b\rc\n\n", "!FieldByte"),
        (b"HTTP/1.1 204 x\na : b\n\n", "!SpaceBeforeColon"),
    ] {
        assert_eq!(verdict(Ask::Get, &limits, input), want);
    }
}

#[test]
fn obs_fold_by_option() {
    for bare in [false, true] {
        let limits = Limits { allow_obs_fold: true, allow_bare_lf: bare, ..Limits::default() };
        for (fields, want) in [
            (&b"a: b\r\n c\r\n"[..], "204- Http11 x{a:b   c} . keep"),
            (b"a: b\r\n\tc\r\n d\r\ne: f\r\n", "204- Http11 x{a:b  \\tc   d,e:f} . keep"),
            (b"a: b\r\n \r\ne: f\r\n", "204- Http11 x{a:b,e:f} . keep"),
            (b"a:\r\n b\r\n", "204- Http11 x{a:b} . keep"),
            (b" a: b\r\n", "!FieldLine"),
            (b"a: b\r\n c\0\r\n", "!FieldByte"),
            (b"a\r\n : c\r\n", "!FieldLine"),
        ] {
            assert_eq!(verdict(Ask::Get, &limits, &with_status(fields)), want, "{}", fields.escape_ascii());
        }
    }
}

#[test]
fn limits_of_a_head() {
    let limits = Limits { line_max: 24, head_max: 80, fields_max: 3, informational_max: 2, ..Limits::default() };
    let line = |n: usize| format!("a: {}\r\n", "b".repeat(n - 5)).into_bytes();
    let told = |fields: &[&[u8]]| brief(Ask::Get, &limits, &with_status(&fields.concat()));
    // `HTTP/1.1 204 x` CRLF takes 16, the empty line 2.
    assert_eq!(told(&[&line(24)]), "204- . keep");
    assert_eq!(told(&[&line(25)]), "!LineTooLong");
    assert_eq!(told(&[&line(24), &line(24), &line(14)]), "204- . keep");
    assert_eq!(told(&[&line(24), &line(24), &line(15)]), "!HeadTooLarge");
    assert_eq!(told(&[&line(24), &line(24), &line(24)]), "!HeadTooLarge");
    assert_eq!(told(&[b"a:\r\n", b"a:\r\n", b"a:\r\n"]), "204- . keep");
    assert_eq!(told(&[b"a:\r\n", b"a:\r\n", b"a:\r\n", b"a:\r\n"]), "!TooManyFields");
    // What is wrong first counts, also where a limit is passed later.
    assert_eq!(told(&[b"a :\r\n", &line(25)]), "!SpaceBeforeColon");
    assert_eq!(told(&[&line(25), b"a :\r\n"]), "!LineTooLong");
    let endless = |bytes: &[u8]| brief(Ask::Get, &limits, bytes);
    assert_eq!(endless(&[b'x'; 200]), "!StatusLine");
    assert_eq!(endless(format!("HTTP/1.1 200 {}", "x".repeat(200)).as_bytes()), "!LineTooLong");
    assert_eq!(endless(format!("HTTP/1.1 200 {}", "\r".repeat(200)).as_bytes()), "!LineTooLong");
    let early = b"HTTP/1.1 103 x\r\n\r\n".repeat(3);
    let last = b"HTTP/1.1 204 x\r\n\r\n";
    assert_eq!(endless(&[&early[..36], last].concat()), "i103{} i103{} 204- . keep");
    assert_eq!(endless(&[&early, &last[..]].concat()), "i103{} i103{} !TooManyInformational");
}

#[test]
fn default_limits() {
    let limits = Limits::default();
    let whole = |input: &[u8]| h1_support::strip_heads(&h1_support::run(Ask::Get, &limits, [input], u64::MAX));
    let cut = |input: &[u8]| h1_support::strip_heads(&h1_support::run(Ask::Get, &limits, input.chunks(4093), u64::MAX));
    let head = |n: usize, line: &str| with_status(line.repeat(n).as_bytes());
    for (input, want) in [
        (head(5000, "a: b\r\n"), "204- . keep"),
        (head(5001, "a: b\r\n"), "!TooManyFields"),
        (with_status(format!("a: {}\r\n", "b".repeat((100 << 10) - 5)).as_bytes()), "204- . keep"),
        (with_status(format!("a: {}\r\n", "b".repeat((100 << 10) - 4)).as_bytes()), "!LineTooLong"),
        (head(300, &format!("a: {}\r\n", "b".repeat(1015))), "204- . keep"),
        (head(302, &format!("a: {}\r\n", "b".repeat(1019))), "!HeadTooLarge"),
        (b"HTTP/1.1 103 x\r\n\r\n".repeat(17), "!TooManyInformational"),
    ] {
        for told in [whole(&input), cut(&input)] {
            assert!(told.ends_with(want), "{want}: {}", &told[..told.len().min(80)]);
        }
    }
}

/// More fields than fit the tables on the stack.
#[test]
fn many_fields() {
    for n in [63, 64, 65, 66, 200] {
        let told = verdict(Ask::Get, &Limits::default(), &with_status("a:b\r\n".repeat(n).as_bytes()));
        assert_eq!(told.matches("a:b").count(), n);
    }
}
