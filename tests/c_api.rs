//! The C interface, tested from C: every `c_tests/*.c` is one program, linked with `c_tests/support` and the built
//! library, and a test passes when it exits with 0. The programs in `examples` are compiled the same way.
//!
//! Each program runs as it is, under valgrind's memcheck (which must find no error, no leak and no descriptor left
//! open), and once more with the address and undefined-behaviour sanitizers. A first line such as
//! `/* run: plain asan */` chooses from the three. A program that runs longer than `TIMEOUT` has hung and is killed.
//!
//! The harness is our own, because the list of tests is a directory; it prints what libtest prints.
//! `cargo test --test c_api -- NAME` runs those whose name contains NAME.

mod support;
mod tls_server;
mod tls_support;

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};
use support::{built, compiler, root};

const TIMEOUT: Duration = Duration::from_secs(600);
const WARNINGS: &[&str] = &["-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror"];
const SANITIZE: &[&str] = &["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"];
const MEMCHECK: &[&str] = &[
    "--leak-check=full",
    "--show-leak-kinds=definite,indirect",
    "--errors-for-leak-kinds=definite,indirect",
    "--track-fds=yes",
    "--error-exitcode=9",
    "--num-callers=30",
    // One thread at a time runs: without turns, one that has much to do can keep the others out for a minute.
    "--fair-sched=yes",
    // The test server is a forked child, and is killed.
    "--child-silent-after-fork=yes",
];

#[derive(Clone, Copy, PartialEq, Debug)]
enum Mode {
    Plain,
    Valgrind,
    Asan,
    /// Compiled and not run: an example may need arguments.
    Compile,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::Plain => "plain",
            Mode::Valgrind => "valgrind",
            Mode::Asan => "asan",
            Mode::Compile => "compile",
        }
    }
}

struct Case {
    source: PathBuf,
    mode: Mode,
    name: String,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let mut cases = cases();
    let all = cases.len();
    cases.retain(|case| filters.is_empty() || filters.iter().any(|f| case.name.contains(f.as_str())));
    if arguments.iter().any(|a| a == "--list") {
        cases.iter().for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }

    println!("\nrunning {} tests", cases.len());
    let started = Instant::now();
    let failures = if cases.is_empty() { Vec::new() } else { run_all(&cases) };
    for (case, report) in &failures {
        println!("\n---- {} ----\n{report}", case.name);
    }
    let word = if failures.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        cases.len() - failures.len(),
        failures.len(),
        all - cases.len(),
        started.elapsed().as_secs_f64()
    );
    ExitCode::from(if failures.is_empty() { 0 } else { 101 })
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |source: &Path, mode: Mode| {
        let name = source.strip_prefix(root()).unwrap_or(source).with_extension("");
        cases.push(Case { source: source.to_owned(), mode, name: format!("{} ({})", name.display(), mode.name()) });
    };
    for source in c_files(&root().join("c_tests")) {
        for mode in modes(&source) {
            add(&source, mode);
        }
    }
    // The demo has several files, which tests/demo.rs makes one program of.
    for source in c_files(&root().join("examples")) {
        add(&source, Mode::Compile);
    }
    cases
}

fn modes(source: &Path) -> Vec<Mode> {
    let all = [Mode::Plain, Mode::Valgrind, Mode::Asan];
    let text = fs::read_to_string(source).expect("a C test is UTF-8");
    let chosen = text.lines().next().and_then(|l| l.strip_prefix("/* run:")?.strip_suffix("*/"));
    let Some(chosen) = chosen else { return all.to_vec() };
    let mode = |word: &str| all.into_iter().find(|mode| mode.name() == word);
    let unknown = |word: &str| panic!("{}: no such mode: {word}", source.display());
    chosen.split_whitespace().map(|word| mode(word).unwrap_or_else(|| unknown(word))).collect()
}

fn c_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "c")).collect();
    files.sort();
    files
}

/// Runs the cases on as many threads as there are processors; returns those that failed, with what they printed.
fn run_all(cases: &[Case]) -> Vec<(&Case, String)> {
    let library = built();
    // Built before the threads start, because every program links them.
    let support = [Mode::Plain, Mode::Asan].map(|mode| support_objects(&library, mode));
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let objects = &support[usize::from(case.mode == Mode::Asan)];
                    let result = objects.clone().and_then(|objects| run(case, &library, &objects));
                    println!("test {} ... {}", case.name, if result.is_ok() { "ok" } else { "FAILED" });
                    if let Err(report) = result {
                        failures.lock().expect("no thread panics with it").push((case, report));
                    }
                }
            });
        }
    });
    failures.into_inner().expect("no thread panicked")
}

fn run(case: &Case, build: &Path, support: &[PathBuf]) -> Result<(), String> {
    let stem = case.source.file_stem().expect("a file").to_string_lossy();
    let place = build.join("c_tests").join(case.mode.name()).join(&*stem);
    let program = place.with_extension("run");
    let mut inputs = vec![case.source.clone()];
    inputs.extend_from_slice(support);
    let library = build.join("lib");
    let link = ["-lchttpcore".to_owned(), "-pthread".to_owned(), format!("-Wl,-rpath,{}", library.display())];
    compile(case.mode, &inputs, &program, |cc| cc.arg("-L").arg(&library).args(&link))?;

    let log = place.with_extension("valgrind");
    let mut command = match case.mode {
        Mode::Compile => return Ok(()),
        Mode::Plain | Mode::Asan => Command::new(&program),
        Mode::Valgrind => {
            let mut valgrind = Command::new("valgrind");
            valgrind.args(MEMCHECK).arg(format!("--log-file={}", log.display()));
            let known = root().join("c_tests/support/valgrind.supp");
            if known.exists() {
                valgrind.arg(format!("--suppressions={}", known.display()));
            }
            valgrind.arg(&program);
            valgrind
        }
    };
    let verdict = watch(&mut command, &place.with_extension("log"));
    if case.mode != Mode::Valgrind {
        return verdict;
    }
    let report = fs::read_to_string(&log).unwrap_or_default();
    let left_open = descriptors_left_open(&report);
    match verdict {
        Err(why) => Err(format!("{why}\n{report}")),
        Ok(()) if left_open.is_empty() => Ok(()),
        Ok(()) => Err(format!("descriptors left open: {}\n{report}", left_open.join("; "))),
    }
}

/// The entries of `--track-fds` for descriptors that the program opened itself and did not close.
fn descriptors_left_open(report: &str) -> Vec<String> {
    let text = |line: &str| line.split_once("== ").map_or("", |(_, text)| text).trim().to_owned();
    let lines: Vec<String> = report.lines().map(text).collect();
    let opened = lines.windows(2).filter(|pair| pair[0].starts_with("Open ") && !pair[1].contains("<inherited"));
    opened.map(|pair| pair[0].clone()).collect()
}

/// Runs a program to its end, or to `TIMEOUT`. Its output goes to a file: a pipe would stay open in what it forks.
fn watch(command: &mut Command, log: &Path) -> Result<(), String> {
    let file = File::create(log).map_err(|e| format!("{}: {e}", log.display()))?;
    let copy = file.try_clone().map_err(|e| e.to_string())?;
    static HTTPS: OnceLock<Vec<(&str, String)>> = OnceLock::new();
    command.stdin(Stdio::null()).stdout(file).stderr(copy).process_group(0).env_remove("CHTTP_TEST_SERVER");
    command.envs(HTTPS.get_or_init(tls_server::start).iter().map(|(name, value)| (name, value)));
    let mut child = command.spawn().map_err(|e| format!("{command:?}: {e} (tests/deps.sh installs the tools)"))?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            break Some(status);
        }
        if started.elapsed() > TIMEOUT {
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    // Whatever the program forked shares its group, and must not outlive it.
    let group = i32::try_from(child.id()).map_err(|e| e.to_string())?;
    // SAFETY: kill has no preconditions; the group is the child's own.
    unsafe { libc::kill(-group, libc::SIGKILL) };
    let printed = || String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("{status}\n{}", printed())),
        None => {
            drop(child.wait());
            Err(format!("hung: killed after {} seconds\n{}", TIMEOUT.as_secs(), printed()))
        }
    }
}

fn support_objects(build: &Path, mode: Mode) -> Result<Vec<PathBuf>, String> {
    let object = |source: PathBuf| {
        let stem = source.file_stem().expect("a file").to_string_lossy().into_owned();
        let object = build.join("c_tests").join(mode.name()).join(stem).with_extension("o");
        compile(mode, &[source], &object, |cc| cc.arg("-c")).map(|()| object)
    };
    c_files(&root().join("c_tests/support")).into_iter().map(object).collect()
}

/// Compiles unless the output is newer than its inputs and every header.
fn compile(
    mode: Mode,
    inputs: &[PathBuf],
    output: &Path,
    extend: impl Fn(&mut Command) -> &mut Command,
) -> Result<(), String> {
    let modified = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let headers = ["build/include", "c_tests/support"].map(|place| fs::read_dir(root().join(place)));
    let headers = headers.into_iter().flatten().flatten().filter_map(Result::ok).map(|entry| entry.path());
    if headers.chain(inputs.to_vec()).all(|path| modified(&path) < modified(output)) {
        return Ok(());
    }
    fs::create_dir_all(output.parent().expect("in a directory")).map_err(|e| e.to_string())?;
    let mut command = compiler(false);
    command.args(WARNINGS).args(["-Ibuild/include", "-Ic_tests"]);
    if mode == Mode::Asan {
        command.args(SANITIZE);
    }
    extend(command.args(inputs)).arg("-o").arg(output);
    let result = command.output().map_err(|e| format!("{command:?}: {e} (tests/deps.sh installs the tools)"))?;
    if result.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&result.stderr).into_owned()) }
}
