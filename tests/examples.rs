//! The programs in `examples/`: each compiles with all warnings as errors and does what its first comment says.

#[allow(dead_code)] // Shared with other test binaries.
mod programs;
mod support;

use programs::{Server, compile, file_of, run};
use std::fs;
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
fn many_has_a_thousand_answers() {
    let server = Server::start("many");
    let many = compile(&[&root().join("examples/many.c")], "examples/many");
    let (ok, text) = run(&many, &[&server.url("/bytes/100")], Stdio::null());
    assert!(ok, "{text}");
    assert_eq!(text, "1000 answers, 0 failures, 100000 bytes\n");
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
