//! The programs in `examples/loops/`: the queue's descriptor in event loops that know nothing of the library. Each has all
//! its answers in both drives, leaves its loop free for a timer meanwhile, and is woken by the library's own timeouts.

#[allow(dead_code)] // Shared with other test binaries.
mod programs;
mod support;

use programs::{SecureServer, Server, certificate, run_with};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;
use support::{built, compiler, root, succeed};

#[test]
fn epoll() {
    Loop::compiled("epoll.c", None).does_what_it_says();
}

#[test]
fn libuv() {
    Loop::compiled("libuv.c", Some("libuv")).does_what_it_says();
}

#[test]
fn glib() {
    Loop::compiled("glib.c", Some("glib-2.0")).does_what_it_says();
}

#[test]
fn libevent() {
    Loop::compiled("libevent.c", Some("libevent")).does_what_it_says();
}

#[test]
fn asio() {
    Loop::compiled("asio.cpp", None).does_what_it_says();
}

#[test]
fn asyncio() {
    built();
    let script = root().join("examples/loops/asyncio_loop.py").to_str().expect("UTF-8").to_owned();
    Loop { program: "python3".into(), before: vec![script] }.does_what_it_says();
}

/// Each has at most 80 lines, and the guide shows lines that stand in them.
#[test]
fn they_are_short_and_the_guide_quotes_them() {
    let guide = fs::read_to_string(root().join("docs/c-guide.md")).expect("there is a guide");
    let (_, section) = guide.split_once("## The descriptor in each loop\n").expect("the guide has the section");
    let section = section.split("\n## ").next().unwrap_or(section);
    let entries = fs::read_dir(root().join("examples/loops")).expect("there are examples");
    let mut count = 0;
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_file()) {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let source = fs::read_to_string(&path).expect("it can be read");
        assert!(source.lines().count() <= 80, "{name} has {} lines", source.lines().count());
        let (_, text) = section.split_once(&format!("](../examples/loops/{name})")).unwrap_or_else(|| panic!("{name}"));
        let text = text.split("\n**").next().unwrap_or(text);
        let quoted: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("    ")).collect();
        assert_eq!(quoted.len(), 3, "{name}: three lines matter");
        for line in quoted {
            assert!(source.lines().any(|l| l.trim() == line), "{name} has no line \"{line}\"");
        }
        count += 1;
    }
    assert_eq!(count, 6);
}

struct Loop {
    program: PathBuf,
    /// Arguments that come before the program's own.
    before: Vec<String>,
}

impl Loop {
    /// `package` is what pkg-config calls the library of the loop.
    fn compiled(file: &str, package: Option<&str>) -> Loop {
        let (build, cpp) = (built(), file.ends_with(".cpp"));
        let program = build.join("examples/loops").join(file).with_extension("");
        fs::create_dir_all(program.parent().expect("in a directory")).expect("build can be written");
        let flags = |of: &str| match package {
            Some(package) => succeed(Command::new("pkg-config").args([of, package])),
            None => String::new(),
        };
        let (headers, libraries) = (flags("--cflags"), flags("--libs"));
        let library = build.join("lib");
        let mut command = compiler(cpp);
        command.args([if cpp { "-std=c++17" } else { "-std=c11" }, "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]);
        command.args(headers.split_whitespace()).arg("-I").arg(build.join("include"));
        command
            .arg(root().join("examples/loops").join(file))
            .arg("-o")
            .arg(&program)
            .args(libraries.split_whitespace());
        command.arg("-L").arg(&library).args(["-lchttpcore", "-pthread"]);
        succeed(command.arg(format!("-Wl,-rpath,{}", library.display())));
        Loop { program, before: Vec::new() }
    }

    /// Runs it for `url` with further arguments; returns its answers, errors and ticks.
    fn run(&self, url: &str, arguments: &[&str]) -> [usize; 3] {
        let mut all: Vec<&str> = self.before.iter().map(String::as_str).collect();
        all.push(url);
        all.extend(arguments);
        let (library, authority) = (built().join("lib"), certificate("ca.pem"));
        let library = library.to_str().expect("UTF-8");
        let variables = [("LD_LIBRARY_PATH", library), ("SSL_CERT_FILE", &*authority)];
        let (ok, text) = run_with(&variables, &self.program, &all, Stdio::null());
        let words: Vec<_> = text.split_whitespace().collect();
        let ["answers,", "errors,", "ticks"] = [1, 3, 5].map(|i| words.get(i).copied().unwrap_or_default()) else {
            panic!("{url} {arguments:?}: {text}");
        };
        let numbers = [0, 2, 4].map(|i| words[i].parse().expect("a number"));
        assert_eq!(ok, numbers[1] == 0, "the exit status tells of errors: {text}");
        numbers
    }

    fn does_what_it_says(&self) {
        let (plain, secure) = (Server::start(&self.name()), SecureServer::start());
        for io_threads in ["0", "1"] {
            let [answers, errors, ticks] = self.run(&plain.url("/delay/100"), &["20", io_threads, "30000", "5"]);
            assert_eq!((answers, errors), (20, 0), "io_threads {io_threads}");
            // Five rounds of 100 ms hold 100 ticks of 5 ms. A loop that is blocked until an answer comes has at most 20.
            assert!(ticks > 25, "{ticks} ticks: the loop was blocked (io_threads {io_threads})");

            let many = self.run(&plain.url("/bytes/1000"), &["1000", io_threads, "30000", "0"]);
            assert_eq!(many, [1000, 0, 0], "io_threads {io_threads}");

            let url = format!("https://localhost:{}/", secure.port);
            let [answers, errors, _] = self.run(&url, &["20", io_threads]);
            assert_eq!((answers, errors), (20, 0), "https, io_threads {io_threads}");

            // No timer, no answer: nothing but the library's own timeout can wake this loop.
            let began = Instant::now();
            let stalled = self.run(&plain.url("/hang"), &["2", io_threads, "200", "0"]);
            assert_eq!(stalled, [0, 2, 0], "io_threads {io_threads}");
            let took = began.elapsed().as_millis();
            assert!((200..20_000).contains(&took), "{took} ms (io_threads {io_threads})");

            assert_eq!(self.run("http://a b/", &["3", io_threads]), [0, 3, 0], "requests that are refused");
        }
    }

    /// Its own, so that no two tests write the same server.
    fn name(&self) -> String {
        let path = self.before.first().map_or(self.program.as_path(), |script| script.as_ref());
        format!("loop_{}", path.file_stem().expect("a file").to_string_lossy())
    }
}
