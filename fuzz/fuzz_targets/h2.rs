//! Frames into the client, in any cut.
#![no_main]

mod h2_feed;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let [flags, size, input @ ..] = data {
        h2_feed::same_in_every_cut(*flags, input, *size);
    }
});
