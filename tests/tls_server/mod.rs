//! A small https server in threads of the harness, for programs that are tested as processes: they learn from the environment
//! where it is, whom to trust, and who they are.
//!
//! Routes: `/` is "hello\n"; `/bytes/N` are N times "x"; `/echo` is the request's body (Content-Length); `/who` is "known\n"
//! for a client that has shown a certificate, else "nobody\n"; `/close` is "hello\n" up to the end of the connection, and
//! `/cut` the same without `close_notify`. A line in the clear, before TLS, is answered with "220 go".

use crate::tls_support::{Authority, pem};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// Start it; it lives as long as this process. Returns what the environment is to say.
pub fn start() -> Vec<(&'static str, String)> {
    let (authority, clients, stranger) =
        (Authority::new("Test CA"), Authority::new("Clients"), Authority::new("Stranger"));
    let (leaf, me) = (authority.leaf(&["127.0.0.1"]), clients.leaf(&["me"]));
    let mut roots = RootCertStore::empty();
    roots.add(clients.certificate.der().clone()).expect("an authority");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("known versions")
        .with_client_cert_verifier(verifier.allow_unauthenticated().build().expect("an authority"))
        .with_single_cert(leaf.chain.clone(), leaf.key_der())
        .expect("a certificate with its key");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for tcp in listener.incoming().map_while(Result::ok) {
            let config = config.clone();
            // The client is free to go at any time.
            std::thread::spawn(move || serve(tcp, config).ok());
        }
    });
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("PEM is ASCII");
    vec![
        ("CHTTP_TEST_TLS_PORT", port.to_string()),
        ("CHTTP_TEST_TLS_CA", authority.certificate.pem()),
        ("CHTTP_TEST_TLS_OTHER_CA", stranger.certificate.pem()),
        ("CHTTP_TEST_TLS_IDENTITY", text(pem(&me.chain)) + &me.key.serialize_pem()),
    ]
}

fn serve(tcp: TcpStream, config: Arc<ServerConfig>) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut first = [0];
    tcp.peek(&mut first)?;
    // A line in the clear goes before the handshake, which begins with 22 (RFC 8446 section 5.1).
    if first[0] != 22 {
        while first[0] != b'\n' {
            (&tcp).read_exact(&mut first)?;
        }
        (&tcp).write_all(b"220 go\r\n")?;
    }
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config).expect("it is valid"), tcp));
    loop {
        let (mut line, mut length) = (String::new(), 0);
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or("/").to_owned();
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line)?;
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let to = stream.get_mut();
        let answer = match path.as_str() {
            "/close" | "/cut" => {
                to.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello\n")?;
                if path == "/close" {
                    to.conn.send_close_notify();
                }
                return to.flush();
            }
            "/echo" => body,
            "/who" if to.conn.peer_certificates().is_some() => b"known\n".to_vec(),
            "/who" => b"nobody\n".to_vec(),
            path => match path.strip_prefix("/bytes/").and_then(|n| n.parse().ok()) {
                Some(len) => vec![b'x'; len],
                None => b"hello\n".to_vec(),
            },
        };
        write!(to, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len())?;
        to.write_all(&answer)?;
        to.flush()?;
    }
}
