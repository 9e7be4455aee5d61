//! Streams of events: small limits, and two cuts that must make no difference.
#![no_main]

use chttpcore::proto::sse::{Event, Limits, Parser, TooLarge};
use libfuzzer_sys::fuzz_target;

type Told = (Vec<u8>, Vec<u8>, Vec<u8>, Option<u64>);

fn feed(limits: Limits, pieces: &[&[u8]]) -> (Vec<Told>, Vec<u8>, Option<u64>, Option<TooLarge>) {
    let (mut parser, mut told, mut failed) = (Parser::new(limits, b"0"), Vec::new(), None);
    for piece in pieces {
        let tell = |e: &Event<'_>| {
            told.push((e.data.to_vec(), e.kind.to_vec(), e.id.to_vec(), e.retry));
        };
        failed = parser.feed(piece, tell).err();
        if failed.is_some() {
            break;
        }
    }
    (told, parser.last_id().to_vec(), parser.retry(), failed)
}

fuzz_target!(|data: &[u8]| {
    let [line, event, first, second, stream @ ..] = data else { return };
    let limits = Limits { line_max: u32::from(*line), event_max: u32::from(*event) };
    let whole = feed(limits, &[stream]);
    let (a, rest) = stream.split_at(usize::from(*first).min(stream.len()));
    let (b, c) = rest.split_at(usize::from(*second).min(rest.len()));
    assert_eq!(feed(limits, &[a, b, c]), whole);
    for (data, kind, id, _) in whole.0 {
        assert!(data.len() <= limits.event_max as usize && kind.len() <= limits.line_max as usize);
        assert!(!id.contains(&0) && !kind.contains(&b'\n') && !data.contains(&b'\r'));
    }
});
