//! `make demo` as a newcomer runs it, with short runs under load: it ends by itself, says so, and leaks nothing.

#[allow(dead_code)] // Shared with other test binaries.
mod programs;
mod support;

use programs::{Server, compile, run};
use std::process::Stdio;
use support::{make, root, succeed};

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
    let server = Server::start("demo");
    let program = compile(&[&root().join("examples/demo/demo.c")], "examples/demo");
    let program = program.to_string_lossy();
    let checks = ["--quiet", "--leak-check=full", "--error-exitcode=9", "--num-callers=30"];
    let arguments: Vec<&str> = checks.into_iter().chain([&*program, &server.base]).collect();
    let (ok, text) = run("valgrind", &arguments, Stdio::null());
    assert!(ok && text.contains("Everything was as expected."), "{text}");
}

#[test]
fn demo_fetches_an_address() {
    let server = Server::start("demo_fetch");
    let program = compile(&[&root().join("examples/demo/demo.c")], "examples/demo_fetch");
    let (ok, text) = run(&program, &["--fetch", &server.url("/bytes/100")], Stdio::null());
    assert!(ok, "{text}");
    for line in ["200 OK", "Content-Length: 100", "body: 100 bytes", "first byte"] {
        assert!(text.contains(line), "\"{line}\" is missing:\n{text}");
    }
}

#[test]
fn demo_explains_what_it_cannot_fetch() {
    let server = Server::start("demo_explain");
    let program = compile(&[&root().join("examples/demo/demo.c")], "examples/demo_explain");
    let cases = [
        ("https://127.0.0.1/".to_owned(), "this version speaks http alone"),
        ("not an address".to_owned(), "CHTTP_E_INVALID_URL"),
        (server.url("/cut/100/40"), "CHTTP_E_TRUNCATED_BODY"),
    ];
    for (url, line) in cases {
        let (ok, text) = run(&program, &["--fetch", &url], Stdio::null());
        assert!(!ok && text.contains(line), "{url}: \"{line}\" is missing, or it succeeded:\n{text}");
    }
}
