//! Chunked bodies and trailers behind a good head: flags, segment size, body.
#![no_main]

mod feed;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let [flags, size, body @ ..] = data {
        let input = [&b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"[..], body].concat();
        // The options only; the request is a GET.
        feed::same_in_every_cut(flags & 3, &input, *size);
    }
});
