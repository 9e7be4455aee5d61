//! What a WebSocket's server sends. The first byte chooses compression and limits, the second is the size of pieces: verdict
//! and messages may not depend on how the bytes are cut. The answer to a handshake is judged, too.
#![no_main]

use chttpcore::proto::ws::deflate::{Inflater, Offer, Params, Room, agreed};
use chttpcore::proto::ws::{Control, Item, Kind, Limits, Reader, Rule, Utf8};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

/// What an application would be told.
#[derive(PartialEq, Debug)]
enum Told {
    Message(Kind, Vec<u8>),
    Control(Control, Vec<u8>),
    Broken(Rule),
}

const MESSAGE_MAX: usize = 1 << 16;

struct Message(Vec<u8>, [u8; 512]);

impl Room for Message {
    fn room(&mut self) -> Result<&mut [u8], Rule> {
        Ok(&mut self.1)
    }

    fn wrote(&mut self, len: usize) -> Result<(), Rule> {
        self.0.extend_from_slice(&self.1[..len]);
        if self.0.len() > MESSAGE_MAX { Err(Rule::MessageTooLarge) } else { Ok(()) }
    }
}

fn read(input: &[u8], size: usize, params: Option<&Params>, limits: Limits) -> Vec<Told> {
    let mut reader = Reader::new(limits, params.is_some());
    let mut inflater = params.map(|params| Inflater::new(params, &Arc::default()));
    let (mut told, mut message) = (Vec::new(), Message(Vec::new(), [0; 512]));
    for piece in input.chunks(size) {
        let mut rest = piece;
        while !rest.is_empty() {
            let mut step = || {
                let (taken, item) = reader.read(rest)?;
                match item {
                    Item::Nothing => {}
                    Item::Data { kind, compressed, range, end, .. } => {
                        match inflater.as_mut().filter(|_| compressed) {
                            Some(inflater) => inflater.piece(&rest[range], end, &mut message)?,
                            None => message.0.extend_from_slice(&rest[range]),
                        }
                        if end {
                            if compressed && kind == Kind::Text {
                                let mut utf8 = Utf8::default();
                                utf8.check(&message.0)?;
                                utf8.finish()?;
                            }
                            assert!(kind == Kind::Binary || std::str::from_utf8(&message.0).is_ok());
                            told.push(Told::Message(kind, std::mem::take(&mut message.0)));
                        }
                    }
                    Item::Control(control) => told.push(Told::Control(control, reader.payload().to_vec())),
                }
                Ok(taken)
            };
            match step() {
                Ok(taken) => rest = &rest[taken..],
                Err(rule) => {
                    // Where inflating stops depends on how much of it there is; that it does, does not.
                    let stopped =
                        matches!(rule, Rule::Deflate | Rule::MessageTooLarge | Rule::Utf8) && params.is_some();
                    told.push(Told::Broken(if stopped { Rule::Deflate } else { rule }));
                    return told;
                }
            }
        }
    }
    told
}

fuzz_target!(|data: &[u8]| {
    let Some((&[flags, size], input)) = data.split_first_chunk::<2>() else { return };
    let offer = Offer { server_no_context_takeover: flags & 2 != 0, ..Offer::default() };
    let params = Params {
        client_no_context_takeover: false,
        server_no_context_takeover: flags & 2 != 0,
        client_bits: 15,
        server_bits: 9 + (flags >> 4) % 7,
    };
    let limits = if flags & 4 != 0 {
        Limits { frame: 1000, message: 3000 }
    } else {
        Limits { frame: MESSAGE_MAX as u64, message: MESSAGE_MAX as u64 }
    };
    let params = (flags & 1 != 0).then_some(&params);
    let whole = read(input, input.len().max(1), params, limits);
    assert_eq!(read(input, usize::from(size).max(1), params, limits), whole);
    if let Some(params) = agreed(&offer, input) {
        assert!((8..=15).contains(&params.client_bits) && (8..=15).contains(&params.server_bits));
    }
});
