//! `make demo` as a newcomer runs it, with short runs under load: it ends by itself, says so, and leaks nothing.

#[allow(dead_code)] // Shared with other test binaries.
mod programs;
mod support;

use programs::{SecureServer, Server, certificate, compile, run, run_with};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use support::{make, root, succeed};

/// The demo as `name` in `build`.
fn demo(name: &str) -> PathBuf {
    let sources = ["demo", "demo_kit", "demo_load", "demo_tls"].map(|s| root().join(format!("examples/demo/{s}.c")));
    compile(&sources.each_ref().map(|s| s as &Path), &format!("examples/{name}"))
}

#[test]
fn make_demo_shows_everything_and_succeeds() {
    let text = succeed(make().arg("demo").env("CHTTP_DEMO_SECONDS", "0.2").env_remove("URL"));
    for line in [
        "Single requests",
        "trailer X-Length: 200000",
        "16,777,216 bytes written; the server has counted 16,777,216",
        "CHTTP_E_CANCELLED",
        "CHTTP_E_CONNECT_REFUSED",
        "CHTTP_E_TRUNCATED_BODY",
        "CHTTP_E_TIMEOUT_TOTAL",
        "may I retry? yes",
        "may I retry? no",
        "the first request               full ",
        "the second, then a close        none ",
        "the third: a new connection     resumed ",
        "another engine, same chttp_tls  resumed ",
        "another chttp_tls               full ",
        "no more than TLS 1.2            full ",
        "the first request: TLS 1.3, a full handshake, TLS_",
        "the last one: TLS 1.2, a full handshake,",
        "TLS_ECDHE_ECDSA_WITH_",
        "/whoami: chttpcore demo client",
        "CHTTP_E_TLS_CERT_UNKNOWN_CA",
        "CHTTP_E_TLS_CERT_NAME",
        "CHTTP_E_TLS_CERT_EXPIRED",
        "CHTTP_E_TLS_PIN",
        "CHTTP_E_TLS_ALERT",
        "Under load: https",
        "requests a second",
        "system calls a request",
        "Everything was as expected.",
    ] {
        assert!(text.contains(line), "\"{line}\" is missing:\n{text}");
    }
    assert!(text.is_ascii() && !text.contains('\x1b'), "a pipe gets plain text:\n{text}");
    let long: Vec<&str> = text.lines().filter(|line| line.len() > 80).collect();
    assert!(long.is_empty(), "lines over 80 columns: {long:#?}");
}

#[test]
fn demo_is_clean_under_valgrind() {
    let (server, secure) = (Server::start("demo"), SecureServer::start());
    let program = demo("demo");
    let program = program.to_string_lossy();
    let checks = ["--quiet", "--leak-check=full", "--error-exitcode=9", "--num-callers=30"];
    let arguments: Vec<&str> = checks.into_iter().chain([&*program, &server.base]).collect();
    let certificates = certificate("");
    let arguments = [&arguments[..], &[&certificates, &secure.port, &secure.mutual_port]].concat();
    let (ok, text) = run("valgrind", &arguments, Stdio::null());
    assert!(ok && text.contains("Everything was as expected."), "{text}");
}

#[test]
fn demo_fetches_an_address() {
    let server = Server::start("demo_fetch");
    let program = demo("demo_fetch");
    let (ok, text) = run(&program, &["--fetch", &server.url("/bytes/100")], Stdio::null());
    assert!(ok, "{text}");
    for line in ["200 OK", "Content-Length: 100", "body: 100 bytes", "first byte"] {
        assert!(text.contains(line), "\"{line}\" is missing:\n{text}");
    }
}

#[test]
fn demo_fetches_a_secure_address_with_the_authorities_of_the_environment() {
    let server = SecureServer::start();
    let program = demo("demo_secure");
    let url = format!("https://localhost:{}/bytes/100", server.port);
    let (ok, text) =
        run_with(&[("SSL_CERT_FILE", &certificate("ca.pem"))], &program, &["--fetch", &url], Stdio::null());
    assert!(ok, "{text}");
    for line in ["200 OK", "body: 100 bytes", "TLS 1.3, a full handshake, TLS_", "key exchange ", "http/1.1", ", tls "]
    {
        assert!(text.contains(line), "\"{line}\" is missing:\n{text}");
    }
    let others = [("SSL_CERT_FILE", &*certificate("stranger.pem"))];
    let (ok, text) = run_with(&others, &program, &["--fetch", &url], Stdio::null());
    assert!(!ok && text.contains("CHTTP_E_TLS_CERT_UNKNOWN_CA"), "{text}");
}

#[test]
fn demo_explains_what_it_cannot_fetch() {
    let server = Server::start("demo_explain");
    let program = demo("demo_explain");
    let cases = [
        ("ftp://127.0.0.1/".to_owned(), "CHTTP_E_UNSUPPORTED_SCHEME"),
        ("not an address".to_owned(), "CHTTP_E_INVALID_URL"),
        (server.url("/cut/100/40"), "CHTTP_E_TRUNCATED_BODY"),
    ];
    for (url, line) in cases {
        let (ok, text) = run(&program, &["--fetch", &url], Stdio::null());
        assert!(!ok && text.contains(line), "{url}: \"{line}\" is missing, or it succeeded:\n{text}");
    }
}
