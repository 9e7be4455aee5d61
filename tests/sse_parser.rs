//! The parser of event streams: the cases that WPT has for the format, as a table of our own, whole and cut everywhere; the
//! limits, whole and cut everywhere; and that an event costs no allocation.

mod dice;

use chttpcore::proto::sse::{Event, Limits, NAME_MAX, Parser, TooLarge};
use dice::Dice;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what its own thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is the system's allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        // SAFETY: by contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: by contract.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        // SAFETY: by contract.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Type, data, last event id.
type Told = (String, String, String);

#[derive(Debug, Default, PartialEq)]
struct Outcome {
    events: Vec<Told>,
    retries: Vec<Option<u64>>,
    retry: Option<u64>,
    last_id: String,
    failed: Option<TooLarge>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn feed(parser: &mut Parser, pieces: &[&[u8]]) -> Outcome {
    let mut outcome = Outcome::default();
    for piece in pieces {
        let mut tell = |e: &Event<'_>| {
            let kind = if e.kind.is_empty() { "message".to_owned() } else { text(e.kind) };
            outcome.events.push((kind, text(e.data), text(e.id)));
            outcome.retries.push(e.retry);
        };
        if let Err(what) = parser.feed(piece, &mut tell) {
            outcome.failed = Some(what);
            break;
        }
    }
    outcome.retry = parser.retry();
    outcome.last_id = text(parser.last_id());
    outcome
}

/// The same whole, in two pieces cut at each place, in single bytes, and with empty pieces in between.
fn everywhere(limits: Limits, stream: &[u8]) -> Outcome {
    let new = || Parser::new(limits, b"");
    let whole = feed(&mut new(), &[stream]);
    let singly: Vec<&[u8]> = stream.chunks(1).flat_map(|byte| [byte, b""]).collect();
    assert_eq!(feed(&mut new(), &singly), whole, "in single bytes: {}", stream.escape_ascii());
    let step = (stream.len() / 4096).max(1);
    for cut in (0..stream.len()).step_by(step) {
        let (a, b) = stream.split_at(cut);
        assert_eq!(feed(&mut new(), &[a, b]), whole, "cut at {cut}: {}", stream.escape_ascii());
    }
    for cut in (0..stream.len().min(200)).step_by(7) {
        let (a, b) = stream.split_at(cut);
        for len in 1..=b.len().min(20) {
            let (b, c) = b.split_at(len);
            assert_eq!(feed(&mut new(), &[a, b, c]), whole, "cut at {cut} and {len} later");
        }
    }
    whole
}

fn events(list: &[(&str, &str, &str)]) -> Vec<Told> {
    list.iter().map(|&(kind, data, id)| (kind.to_owned(), data.to_owned(), id.to_owned())).collect()
}

/// Name of WPT's test, the stream, and the events: type, data, last event id.
type Case = (&'static str, &'static str, &'static [(&'static str, &'static str, &'static str)]);

const FORMAT: &[Case] = &[
    ("format-bom", "\u{feff}data:1\n\n\u{feff}data:2\n\ndata:3\n\n", &[("message", "1", ""), ("message", "3", "")]),
    ("format-bom-2", "\u{feff}\u{feff}data:1\n\ndata:2\n\ndata:3\n\n", &[("message", "2", ""), ("message", "3", "")]),
    (
        "format-data-before-final-empty-line",
        "retry:1000\ndata:test1\n\nid:test\ndata:test2",
        &[("message", "test1", "")],
    ),
    (
        "format-field-data",
        "data:\n\ndata\ndata\n\ndata:test\n\n",
        &[("message", "", ""), ("message", "\n", ""), ("message", "test", "")],
    ),
    ("format-field-event", "event:test\ndata:x\n\ndata:x\n\n", &[("test", "x", ""), ("message", "x", "")]),
    ("format-field-event-empty", "event: \ndata:data\n\n", &[("message", "data", "")]),
    ("format-field-id", "id: 1\ndata:x\n\ndata:y\n\n", &[("message", "x", "1"), ("message", "y", "1")]),
    (
        "format-field-id-2",
        "id: …\ndata: hello\n\ndata: …\n\ndata: …\n\n",
        &[("message", "hello", "…"), ("message", "…", "…"), ("message", "…", "…")],
    ),
    (
        "format-field-id-3 changes and persists",
        "id: 1\ndata: 1\n\nid: 2\ndata: 2\n\ndata: 3\n\n",
        &[("message", "1", "1"), ("message", "2", "2"), ("message", "3", "2")],
    ),
    (
        "format-field-id-3 resets",
        "id: 1\ndata: 1\n\nid\ndata: 2\n\ndata: 3\n\n",
        &[("message", "1", "1"), ("message", "2", ""), ("message", "3", "")],
    ),
    (
        "format-field-id-null",
        "id: a\n\nid: \0\0\ndata:1\n\nid: x\0\ndata:2\n\nid: \0x\ndata:3\n\nid: x\0x\ndata:4\n\nid:  \0\ndata:5\n\n",
        &[
            ("message", "1", "a"),
            ("message", "2", "a"),
            ("message", "3", "a"),
            ("message", "4", "a"),
            ("message", "5", "a"),
        ],
    ),
    (
        "format-field-parsing",
        "data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n",
        &[("message", "\0\n 2\n1\n3\n\n4", "")],
    ),
    ("format-field-retry", "retry:3000\ndata:x\n\n", &[("message", "x", "")]),
    ("format-field-retry-bogus", "retry:3000\nretry:1000x\ndata:x\n\n", &[("message", "x", "")]),
    ("format-field-retry-empty", "retry\ndata:test\n\n", &[("message", "test", "")]),
    (
        "format-field-unknown",
        "data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n",
        &[("message", "test\n\ntest", "")],
    ),
    ("format-leading-space", "data:\ttest\rdata: \ndata:test\n\n", &[("message", "\ttest\n\ntest", "")]),
    ("format-newlines", "data:test\r\ndata\ndata:test\r\n\r", &[("message", "test\n\ntest", "")]),
    ("format-null-character", "data:\0\n\n\n\n", &[("message", "\0", "")]),
    ("format-utf-8", "data:ok…\n\n", &[("message", "ok…", "")]),
    (
        "event-data",
        "data:msg\ndata: msg\n\n:\nfalsefield:msg\n\nfalsefield:msg\nData:data\n\ndata\n\ndata:end\n\n",
        &[("message", "msg\nmsg", ""), ("message", "", ""), ("message", "end", "")],
    ),
];

#[test]
fn the_cases_of_wpt() {
    for (name, stream, expected) in FORMAT {
        let outcome = everywhere(Limits::default(), stream.as_bytes());
        assert_eq!((outcome.events, outcome.failed), (events(expected), None), "{name}");
    }
}

#[test]
fn long_comments_between_lines_of_data() {
    let long = "x".repeat(2 * 1024);
    let stream = format!("data:1\r:\0\n:\r\ndata:2\n:{long}\rdata:3\n:data:fail\r:{long}\ndata:4\n\n");
    let outcome = everywhere(Limits::default(), stream.as_bytes());
    assert_eq!(outcome.events, events(&[("message", "1\n2\n3\n4", "")]), "format-comments");
}

#[test]
fn retry_is_taken_when_it_is_a_number() {
    for (value, expected) in [
        ("3000", Some(3000)),
        ("0", Some(0)),
        ("007", Some(7)),
        ("99999999999999999999999", Some(u64::MAX)),
        ("", None),
        ("+1", None),
        ("-1", None),
        ("1 ", None),
        (" 1", None),
        ("1.5", None),
        ("0x10", None),
        ("١", None),
    ] {
        // One space belongs to the syntax.
        let outcome = everywhere(Limits::default(), format!("retry: {value}\ndata:x\n\ndata:y\n\n").as_bytes());
        assert_eq!((outcome.retry, outcome.retries), (expected, vec![expected, None]), "{value:?}");
    }
    let outcome = everywhere(Limits::default(), b"retry: 5\n\nretry: x\n\n");
    assert_eq!((outcome.retry, outcome.events.len()), (Some(5), 0), "without an event, too");
}

#[test]
fn an_id_counts_once_its_event_has_ended() {
    let outcome = everywhere(Limits::default(), b"id: 1\ndata:x\n\nid: 2\ndata:y\n");
    assert_eq!((outcome.last_id.as_str(), outcome.events.len()), ("1", 1));
    // Without data there is no event, but there is an id.
    let outcome = everywhere(Limits::default(), b"id: 1\ndata:x\n\nid: 2\n\n");
    assert_eq!((outcome.last_id.as_str(), outcome.events.len()), ("2", 1));
    // The last one of several.
    let outcome = everywhere(Limits::default(), b"id: 1\nid: 2\nid: \0\ndata:x\n\n");
    assert_eq!(outcome.events, events(&[("message", "x", "2")]));
}

#[test]
fn a_name_holds_for_one_event_alone() {
    let outcome = everywhere(
        Limits::default(),
        b"event: a\n\ndata:x\n\nevent: b\nevent: c\ndata:y\n\nevent: d\nevent\ndata:z\n\n",
    );
    assert_eq!(outcome.events, events(&[("message", "x", ""), ("c", "y", ""), ("message", "z", "")]));
}

#[test]
fn what_is_new_of_an_id_is_told_once() {
    let mut seen = Vec::new();
    let mut parser = Parser::new(Limits::default(), b"7");
    let stream = b"data:1\n\nid: 7\ndata:2\n\nid: 8\n\ndata:3\n\ndata:4\n\nid\ndata:5\n\n";
    parser.feed(stream, |e| seen.push((text(e.id), e.id_is_new))).unwrap();
    let expected = [("7", false), ("7", false), ("8", true), ("8", false), ("", true)];
    assert_eq!(seen, expected.map(|(id, new)| (id.to_owned(), new)));
}

#[test]
fn another_stream_begins_anew_and_goes_on_with_the_id() {
    for cut in ["\u{feff}", "data: lost\nevent: lost\nid: lost\n", "dat", "\r", "data:x\r"] {
        let mut parser = Parser::new(Limits::default(), b"");
        feed(&mut parser, &[b"id: 1\nretry: 9\ndata:x\n\n", cut.as_bytes()]);
        parser.restart();
        let outcome = feed(&mut parser, &["\u{feff}\ndata:y\n\n".as_bytes()]);
        assert_eq!(outcome.events, events(&[("message", "y", "1")]), "{cut:?}");
        assert_eq!(outcome.retry, Some(9));
    }
}

#[test]
fn limits_hold_and_do_not_depend_on_cuts() {
    let limits = Limits { line_max: 20, event_max: 30 };
    let line = |n: usize| "x".repeat(n);
    for (stream, expected) in [
        (format!("data:{}\n\n", line(15)), None),
        (format!("data:{}\n\n", line(16)), Some(TooLarge::Line)),
        (format!("data:a\n\n:{}\n", line(20)), Some(TooLarge::Line)),
        // Without an end it is refused as soon as it is too long.
        (format!("data:a\n\ndata:{}", line(16)), Some(TooLarge::Line)),
        (format!("data:a\n\ndata:{}", line(15)), None),
        // Two lines of 15 and 14 with an LF in between are 30.
        (format!("data:{}\ndata:{}\n\n", line(15), line(14)), None),
        (format!("data:{}\ndata:{}\n\n", line(15), line(15)), Some(TooLarge::Event)),
        ("data\n".repeat(31) + "\n", None),
        ("data\n".repeat(32) + "\n", Some(TooLarge::Event)),
        // The next event has a bound of its own.
        (format!("data:{}\n\ndata:{}\n\n", line(15), line(15)), None),
    ] {
        assert_eq!(everywhere(limits, stream.as_bytes()).failed, expected, "{stream:?}");
    }
    let wide = Limits { line_max: 1 << 20, ..Limits::default() };
    for name in ["id", "event"] {
        let fits = format!("{name}: {}\ndata:x\n\n", line(NAME_MAX));
        assert_eq!(everywhere(wide, fits.as_bytes()).failed, None);
        let over = format!("{name}: {}\ndata:x\n\n", line(NAME_MAX + 1));
        assert_eq!(everywhere(wide, over.as_bytes()).failed, Some(TooLarge::Event));
    }
}

#[test]
fn a_line_without_an_end_is_refused_at_its_bound() {
    let mut parser = Parser::new(Limits { line_max: 1 << 20, event_max: 8 << 20 }, b"");
    let piece = [b'x'; 4096];
    let fed = (0..).take_while(|_| parser.feed(&piece, |_| panic!("no event")).is_ok()).count();
    assert_eq!(fed, 256, "1 MiB and no more");
}

/// Random streams of what means something, cut at random: always as if whole.
#[test]
fn random_streams() {
    const WORDS: [&str; 16] = [
        "data", "data:", "data: ", "event:", "id: ", "retry:1", ":", "\n", "\n", "\r", "\r\n", "\n\n", "\0",
        "\u{feff}", "x", " ",
    ];
    let mut dice = Dice::new(1);
    for _ in 0..20_000 {
        let stream: String = (0..dice.roll(24)).map(|_| dice.pick(&WORDS)).collect();
        let whole = feed(&mut Parser::new(Limits::default(), b""), &[stream.as_bytes()]);
        let mut rest = stream.as_bytes();
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(dice.roll(rest.len() + 1));
            pieces.push(piece);
            rest = after;
        }
        assert_eq!(feed(&mut Parser::new(Limits::default(), b""), &pieces), whole, "{stream:?} as {pieces:?}");
    }
}

#[test]
fn a_million_events_allocate_nothing() {
    let event = b"id: 12345\ndata: {\"n\":1234567,\"some\":\"tex\"}\n\n";
    assert_eq!(event.len(), 44);
    let block: Vec<u8> = event.iter().copied().cycle().take(44 * 10_000).collect();
    let mut parser = Parser::new(Limits::default(), b"");
    // Pieces that cut events anywhere, after a start that has made the buffers.
    let pieces = || block.chunks(1_461);
    pieces().for_each(|piece| parser.feed(piece, |_| {}).unwrap());
    let before = ALLOCATIONS.get();
    let (mut count, mut bytes) = (0, 0);
    for _ in 0..100 {
        for piece in pieces() {
            let tell = |e: &Event<'_>| {
                count += 1;
                bytes += e.data.len();
            };
            parser.feed(piece, tell).unwrap();
        }
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert_eq!((count, bytes), (1_000_000, 26_000_000));
}
