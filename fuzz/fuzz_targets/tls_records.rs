//! TLS records from a stranger. The first byte chooses: bytes that answer the ClientHello, where the verdict may not depend
//! on how they are cut, or a real server's flight in which bytes are changed on the way. The second is the size of pieces.
#![no_main]

use chttpcore::proto::Out;
use chttpcore::proto::tls::{Error, For, Kind, Roots, Session, Settings, Tls};
use libfuzzer_sys::fuzz_target;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};
use std::sync::{Arc, LazyLock};

struct Setup {
    trusted: Arc<Tls>,
    /// Comes further with what a stranger sends.
    insecure: Arc<Tls>,
    server: Arc<ServerConfig>,
}

static SETUP: LazyLock<Setup> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let roots = Roots::from_pem(made.cert.pem().as_bytes(), "the fuzzer").expect("readable");
    let tls = |settings| Arc::new(Tls::new(settings).expect("good settings"));
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a server");
    Setup {
        trusted: tls(Settings { roots: vec![Arc::new(roots)], ..Settings::default() }),
        insecure: tls(Settings { insecure: true, sessions: 0, ..Settings::default() }),
        server: Arc::new(server),
    }
});

/// A client that wants to say something, fed in pieces.
struct Client {
    session: Session,
    input: Vec<u8>,
    says: Out,
    sends: Vec<u8>,
    plain: Vec<u8>,
}

impl Client {
    fn new(tls: &Arc<Tls>) -> Client {
        let session = tls.session("localhost", For::Http).expect("a name");
        let mut says = Out::new();
        says.put(b"a secret");
        let mut client = Client { session, input: Vec::new(), says, sends: Vec::new(), plain: Vec::new() };
        client.hear(&[]).expect("a ClientHello");
        client
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.input.extend_from_slice(bytes);
        loop {
            let mut plain = vec![0; self.input.len()];
            let mut out = Out::new();
            let opened = self.session.open(&mut self.input, &mut plain, &mut out);
            let sealed = match &opened {
                Ok(opened) => {
                    self.plain.extend_from_slice(&plain[..opened.plain]);
                    self.input.drain(..opened.used);
                    self.session.seal(&mut self.input, &mut self.says, &mut out)
                }
                Err(_) => Ok(()),
            };
            out.segments().for_each(|s| self.sends.extend_from_slice(s));
            opened?;
            sealed?;
            if !self.session.unsaid() {
                return Ok(());
            }
        }
    }
}

fn answered(bytes: &[u8], size: usize) -> Option<(Kind, Option<u8>)> {
    let mut client = Client::new(&SETUP.insecure);
    let verdict = bytes.chunks(size).find_map(|piece| client.hear(piece).err());
    assert!(!client.session.is_ready() && client.plain.is_empty());
    verdict.map(|error| (error.kind, error.alert))
}

/// Each three bytes are a place and what is changed there.
fn changed(tls: &Arc<Tls>, changes: &[u8], size: usize) {
    let mut client = Client::new(tls);
    let mut server = ServerConnection::new(SETUP.server.clone()).expect("a server");
    let mut changes = changes.chunks_exact(3);
    for _ in 0..4 {
        let sent = std::mem::take(&mut client.sends);
        let mut rest = &sent[..];
        while !rest.is_empty() && server.read_tls(&mut rest).is_ok() && server.process_new_packets().is_ok() {}
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).expect("memory");
        }
        let mut whole = true;
        for change in changes.by_ref().take(2) {
            let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
            if let Some(byte) = flight.get_mut(at) {
                *byte ^= change[2];
                whole &= change[2] == 0;
            }
        }
        let verdict = flight.chunks(size).find_map(|piece| client.hear(piece).err());
        assert!(!whole || verdict.is_none(), "{verdict:?}");
        if verdict.is_some() {
            return;
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let [mode, size, rest @ ..] = data else { return };
    let size = usize::from(*size).max(1);
    match mode & 3 {
        0 | 1 => assert_eq!(answered(rest, size), answered(rest, usize::MAX)),
        2 => changed(&SETUP.trusted, rest, size),
        _ => changed(&SETUP.insecure, rest, size),
    }
});
