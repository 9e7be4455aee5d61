//! URLs: what is accepted is stable under writing and parsing again, and never yields a line end, a blank or userinfo.
#![no_main]

use chttpcore::proto::h1::encode::{Spec, encode};
use chttpcore::proto::url::Url;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(url) = Url::parse(data) else { return };
    let mut written = Vec::new();
    url.push_absolute(&mut written);
    assert!(written.iter().all(u8::is_ascii_graphic));
    let again = Url::parse(&written).expect("what was accepted is accepted again");
    assert!(again.same_origin(&url));
    assert_eq!((again.path(), again.query()), (url.path(), url.query()));
    let mut twice = Vec::new();
    again.push_absolute(&mut twice);
    assert_eq!(twice, written);
    let head = encode(&Spec::new(b"GET", &url), []).expect("a URL makes a request");
    assert_eq!(head.bytes.iter().filter(|&&b| b == b'\n').count(), 3);
    assert!(!head.request().authority.contains(&b'@'));
});
