//! Texts of the network settings: none panics, what is accepted is stable under writing and parsing again, and an override
//! finds what it was made for.
#![no_main]

use chttpcore::proto::route::{Address, Overrides, address, interface, local};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(to) = address(text) {
        let abstract_socket = matches!(&to, Address::Unix(path) if path.as_os_str().as_encoded_bytes()[0] == 0);
        assert!(abstract_socket || matches!(to, Address::Unix(_)) || address(&to.to_string()) == Ok(to));
        // An address without a comma or an end that would be trimmed stands in an override as it stands alone.
        if !text.contains(',') && text.trim() == text {
            let overrides = Overrides::parse(&format!("a.test:1=[::1]:2,*:*={text}")).expect("the address is good");
            assert_eq!(overrides.find("b.test", 1), address(text).ok().as_ref());
            assert_eq!(overrides.find("a.test", 1), address("[::1]:2").ok().as_ref());
        }
    }
    if let Ok(overrides) = Overrides::parse(text) {
        assert_eq!(overrides.is_empty(), text.trim().is_empty());
        assert!(overrides.is_empty() || text.contains('=') && text.contains(':'));
    }
    if let Ok(Some(ip)) = local(text) {
        assert_eq!(local(&ip.to_string()), Ok(Some(ip)));
    }
    if let Ok(Some(name)) = interface(text) {
        assert!(name.len() <= 15 && !name.contains([' ', '/', '\0', '\n']));
    }
});
