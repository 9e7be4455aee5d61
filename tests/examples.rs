//! The programs in `examples/`: each compiles with all warnings as errors and does what its first comment says.

#[allow(dead_code)] // Shared with other test binaries.
mod programs;
mod support;

use programs::{MailServer, SecureServer, Server, certificate, compile, file_of, run, run_with};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use support::root;

#[test]
fn get_prints_the_body_and_says_why_it_failed() {
    let server = Server::start("get");
    let get = compile(&[&root().join("examples/get.c")], "examples/get");
    let (ok, text) = run(&get, &[&server.url("/")], Stdio::null());
    assert!(ok, "{text}");
    assert_eq!(text, "hello\nstatus 200, 6 bytes\n");
    let (ok, text) = run(&get, &[&server.url("/cut/100/40")], Stdio::null());
    assert!(!ok && text.contains("CHTTP_E_TRUNCATED_BODY"), "{text}");
}

#[test]
fn mock_test_passes_without_a_network() {
    let program = compile(&[&root().join("examples/mock_test.c")], "examples/mock_test");
    let (ok, text) = run(&program, &[], Stdio::null());
    assert!(ok && text == "passed\n", "{text}");
}

#[test]
fn get_takes_https_and_says_why_a_certificate_was_refused() {
    let server = SecureServer::start();
    let get = compile(&[&root().join("examples/get.c")], "examples/get_secure");
    let url = |host: &str| format!("https://{host}:{}/", server.port);
    let trusted = [("SSL_CERT_FILE", &*certificate("ca.pem"))];
    let (ok, text) = run_with(&trusted, &get, &[&url("localhost")], Stdio::null());
    assert!(ok && text.starts_with("hello\nstatus 200, 6 bytes, TLS 1.3, TLS_"), "{text}");
    let strangers = [("SSL_CERT_FILE", &*certificate("stranger.pem"))];
    let (ok, text) = run_with(&strangers, &get, &[&url("127.0.0.1")], Stdio::null());
    assert!(!ok && text.starts_with("CHTTP_E_TLS_CERT_UNKNOWN_CA: "), "{text}");
    assert!(text.contains("\"localhost\", \"demo.test\""), "it says what the certificate is for: {text}");
}

#[test]
fn mtls_shows_a_certificate_and_shares_sessions() {
    let server = SecureServer::start();
    let mtls = compile(&[&root().join("examples/mtls.c")], "examples/mtls");
    let [ca, client, expired] = ["ca.pem", "client.pem", "expired.pem"].map(certificate);
    let pin = fs::read_to_string(certificate("pin")).expect("it comes with the certificates");
    let pin = pin.trim();
    let address = format!("127.0.0.1:{}", server.mutual_port);
    const URL: &str = "https://demo.test/whoami";
    let (ok, text) = run(&mtls, &[URL, &ca, &client, pin, &address], Stdio::null());
    assert!(ok, "{text}");
    let answer = |how| format!("status 200, TLS 1.3, {how}\nchttpcore demo client\n");
    assert_eq!(text, answer("a full handshake") + &answer("an earlier session went on"));

    let other = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (arguments, why) in [
        ([URL, &ca, &client, other, &address], "CHTTP_E_TLS_PIN"),
        ([URL, &expired, &client, pin, &address], "CHTTP_E_TLS_CERT_UNKNOWN_CA"),
        (["https://other.test/", &ca, &client, pin, &address], "CHTTP_E_TLS_CERT_NAME"),
        ([URL, &ca, &expired, pin, &address], "CHTTP_E_TLS_ALERT"),
        ([URL, &ca, &ca, pin, &address], "CHTTP_E_INVALID_TLS"),
        ([URL, &ca, &client, "sha256/AAAA", &address], "CHTTP_E_INVALID_TLS"),
        ([URL, "/no/such/file", &client, pin, &address], "CHTTP_E_INVALID_TLS"),
    ] {
        let (ok, text) = run(&mtls, &arguments, Stdio::null());
        assert!(!ok && text.contains(why), "{arguments:?}: {text}");
    }
}

#[test]
fn starttls_secures_an_open_stream() {
    let starttls = compile(&[&root().join("examples/starttls.c")], "examples/starttls");
    let ca = certificate("ca.pem");
    let mail = MailServer::start("starttls");
    let address = |server: &MailServer, host: &str| format!("{host}:{}", server.port);
    let (ok, text) = run(&starttls, &[&address(&mail, "localhost"), &ca], Stdio::null());
    assert!(ok && text.starts_with("TLS 1.3, a certificate of "), "{text}");
    assert!(text.ends_with(" bytes\n250-mail.test\r\n250-SMTPUTF8\r\n250 HELP\r\n"), "{text}");
    let (ok, text) = run(&starttls, &[&address(&mail, "127.0.0.1")], Stdio::null());
    assert!(!ok && text.starts_with("CHTTP_E_TLS_CERT_UNKNOWN_CA: "), "{text}");
    let plain = MailServer::start("plain");
    let (ok, text) = run(&starttls, &[&address(&plain, "localhost"), &ca], Stdio::null());
    assert!(!ok && text == "it does not offer STARTTLS\n", "{text}");
    let (ok, text) = run(&starttls, &["127.0.0.1:1", &ca], Stdio::null());
    assert!(!ok && text.starts_with("CHTTP_E_CONNECT_REFUSED: "), "{text}");
}

/// Against another implementation of WebSocket.
#[test]
fn ws_echo_sends_messages_and_closes_in_order() {
    let program = compile(&[&root().join("examples/ws_echo.c")], "examples/ws_echo");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let mut socket = tungstenite::accept(stream).expect("a handshake");
        while let Ok(message) = socket.read() {
            if message.is_text() {
                socket.send(message).expect("it is sent");
            }
        }
    });
    let (ok, text) = run(&program, &[&format!("ws://127.0.0.1:{port}/"), "hello", "w\u{f6}rld"], Stdio::null());
    assert!(ok && text == "hello\nw\u{f6}rld\nclosed with 1000\n", "{text}");
    server.join().expect("it saw the end");
    let plain = Server::start("ws_echo");
    let (ok, text) = run(&program, &[&plain.url("/status/403"), "x"], Stdio::null());
    assert!(!ok && text.contains("the server answers 403"), "{text}");
    let (ok, text) = run(&program, &["http://127.0.0.1:1/", "x"], Stdio::null());
    assert!(!ok && text.contains("CHTTP_E_CONNECT_REFUSED"), "{text}");
}

#[test]
fn sse_tail_goes_on_over_many_connections() {
    let server = Server::start("sse_tail");
    let tail = compile(&[&root().join("examples/sse_tail.c")], "examples/sse_tail");
    let (ok, text) = run(&tail, &[&server.url("/events/10/4")], Stdio::null());
    assert!(ok, "{text}");
    let events: Vec<&str> = text.lines().filter(|line| line.starts_with("count ")).collect();
    let expected: Vec<String> = (1..=10).map(|n| format!("count {n} number {n}")).collect();
    assert_eq!(events, expected, "{text}");
    assert_eq!(text.matches("CHTTP_E_SSE_ENDED: ").count(), 3, "{text}");
    let (ok, text) = run(&tail, &[&server.url("/events/10/4"), "9"], Stdio::null());
    assert!(ok && text.starts_with("count 10 number 10\n"), "{text}");
    let (ok, text) = run(&tail, &[&server.url("/")], Stdio::null());
    assert!(!ok && text.starts_with("CHTTP_E_SSE_CONTENT_TYPE: "), "{text}");
    let (ok, text) = run(&tail, &[&server.url("/status/503")], Stdio::null());
    assert!(!ok && text.starts_with("CHTTP_E_SSE_STATUS: "), "{text}");
}

#[test]
fn many_has_a_thousand_answers() {
    let server = Server::start("many");
    let many = compile(&[&root().join("examples/many.c")], "examples/many");
    let (ok, text) = run(&many, &[&server.url("/bytes/100")], Stdio::null());
    assert!(ok, "{text}");
    assert_eq!(text, "1000 answers, 0 failures, 100000 bytes\n");
}

#[test]
fn callback_answers_itself_on_the_librarys_thread() {
    let server = Server::start("callback");
    let callback = compile(&[&root().join("examples/callback.c")], "examples/callback");
    let (ok, text) = run(&callback, &[&server.url("/bytes/100")], Stdio::null());
    assert!(ok, "{text}");
    assert!(text.starts_with("1000 answers, 0 failures, 100000 bytes\n"), "{text}");
    let (ok, text) = run(&callback, &["http://127.0.0.1:1/", "20"], Stdio::null());
    assert!(!ok && text.contains("CHTTP_E_CONNECT_REFUSED"), "{text}");
    assert!(text.starts_with("0 answers, 20 failures, 0 bytes\n"), "{text}");
    let (ok, text) = run(&callback, &["http://a b/"], Stdio::null());
    assert!(!ok && text.contains("CHTTP_E_INVALID_URL"), "{text}");
}

#[test]
fn event_loop_fetches_what_comes_in_and_returns_when_nothing_is_left() {
    let server = Server::start("event_loop");
    let program = compile(&[&root().join("examples/event_loop.c")], "examples/event_loop");
    let fed = |lines: &str| {
        let (ours, mut theirs) = std::io::pipe().expect("a pipe");
        theirs.write_all(lines.as_bytes()).expect("a pipe has room for it");
        Stdio::from(ours)
    };
    let lines: String = ["/", "/delay/50", "/bytes/100000"].iter().map(|path| server.url(path) + "\n").collect();
    let (ok, text) = run(&program, &[], fed(&lines));
    assert!(ok && text.ends_with("done: 3 answers, 0 failures\n"), "{text}");
    let (ok, text) = run(&program, &[], fed("http://127.0.0.1:1/\nno url\n"));
    assert!(!ok && text == "done: 0 answers, 2 failures\n", "{text}");
    let (ok, text) = run(&program, &[], fed(""));
    assert!(ok && text == "done: 0 answers, 0 failures\n", "{text}");
    let (_, file) = file_of(10, "examples/event_loop.input");
    let (ok, text) = run(&program, &[], file.into());
    assert!(!ok && text.contains("not supported"), "{text}");
}

#[test]
fn upload_sends_standard_input() {
    let server = Server::start("upload");
    let upload = compile(&[&root().join("examples/upload.c")], "examples/upload");
    let (_, file) = file_of(5_000_000, "examples/upload.input");
    let (ok, text) = run(&upload, &[&server.url("/count")], file.into());
    assert!(ok, "{text}");
    assert_eq!(text, "5000000\nstatus 200\n");
    let (ok, text) = run(&upload, &[&server.url("/count")], Stdio::null());
    assert!(ok && text == "0\nstatus 200\n", "an empty input: {text}");
}

#[test]
fn download_writes_a_file_or_leaves_none() {
    let server = Server::start("download");
    let download = compile(&[&root().join("examples/download.c")], "examples/download");
    let target = download.with_extension("target");
    let path = target.to_str().expect("UTF-8");
    let fetch = |url: &str| {
        let _ = fs::remove_file(&target);
        let output = Command::new(&download).args([url, path]).output().expect("it runs");
        (output.status.code(), fs::metadata(&target).ok().map(|file| file.len()))
    };
    assert_eq!(fetch(&server.url("/bytes/3000000")), (Some(0), Some(3_000_000)));
    assert_eq!(fetch(&server.url("/chunked/1000/3")).0, Some(0));
    assert_eq!(fetch("http://a b/"), (Some(2), None), "a URL with a space");
    assert_eq!(fetch("http://127.0.0.1:1/"), (Some(5), None), "nobody listens");
    assert_eq!(fetch(&server.url("/status/404")), (Some(6), None));
    assert_eq!(fetch(&server.url("/cut/3000000/2000000")), (Some(7), None));
    assert_eq!(fetch(&server.url("/hang")), (Some(8), None), "no answer");
}

/// Examples that have no test of their own above are compiled all the same.
#[test]
fn every_example_compiles() {
    let entries = fs::read_dir(root().join("examples")).expect("there are examples");
    let sources = entries.filter_map(Result::ok).map(|entry| entry.path());
    let mut count = 0;
    for source in sources.filter(|path| path.extension().is_some_and(|e| e == "c")) {
        let stem = source.file_stem().expect("a file").to_string_lossy().into_owned();
        compile(&[&source], &format!("examples/compiled_{stem}"));
        count += 1;
    }
    assert!(count >= 3, "{count} examples");
}
