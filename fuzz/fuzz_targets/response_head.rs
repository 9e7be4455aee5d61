//! Whole responses, free from the first byte: flags, segment size, response.
#![no_main]

mod feed;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let [flags, size, input @ ..] = data {
        feed::same_in_every_cut(*flags, input, *size);
    }
});
