//! WebSockets and streams of events to a server that is killed at random, and that cuts connections off at random in between:
//! every one is opened again or tells why not, every message and event is right, and memory stays where it is.
//!
//! Both drives for ten seconds each, or, for `make soak`, the engine's own thread for `CHTTP_SOAK_MINUTES` and the caller's for
//! a sixth of it. `CHTTP_SOAK_SEED` repeats the disorder of an earlier run, as far as the clock allows it.

mod dice;
#[allow(dead_code, reason = "shared with other test binaries")]
mod support;

use dice::Dice;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};
use support::{built, compiler, root, succeed};

/// How an exchange may end, or a connection of a stream: the server was not there, went away, or is slow on a busy machine.
const KNOWN: &[&str] = &[
    "OK",
    "E_CANCELLED",
    "E_CLOSED_BEFORE_HEAD",
    "E_CONNECTION_LOST",
    "E_CONNECT_REFUSED",
    "E_CONNECT_RESET",
    "E_SSE_ENDED",
    "E_SSE_STATUS",
    "E_TIMEOUT_CLOSE",
    "E_TIMEOUT_PONG",
    "E_TRUNCATED_BODY",
    "E_TRUNCATED_CHUNK",
    "E_TRUNCATED_HEAD",
    "E_WS_ABNORMAL",
];
const BETWEEN_CUTS: Duration = Duration::from_millis(200);
/// What the resident memory may grow by between a fifth of the run and its end.
const GROWTH_KB: i64 = 2048;

/// Two ports that are free, and that no connection is given as its own: one to a server that is not there would otherwise
/// meet itself once in a while, and the server would not get its port back.
fn ports(dice: &mut Dice) -> [u16; 2] {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("/proc is there");
    let first: u16 = range.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a port");
    // Anywhere, so that another run does not take them while they are free for a moment.
    let from = 1024 + dice.roll(first - 1024);
    let free: Vec<TcpListener> = (from..first)
        .chain(1024..from)
        .filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
        .take(2)
        .collect();
    [0, 1].map(|i: usize| free[i].local_addr().expect("an address").port())
}

struct Run {
    dice: Dice,
    ports: [u16; 2],
    period: f64,
    /// How many cuts there are for one kill, about.
    cuts: u64,
    server: Option<(Child, ChildStdin)>,
    kills: u32,
}

impl Run {
    fn serve(&mut self) {
        let mut command = Command::new(built().join("venv/bin/python"));
        command.arg("tests/soak_streams/server.py").args(self.ports.map(|port| port.to_string()));
        command.args([self.dice.roll(1_u64 << 32).to_string(), self.period.to_string()]).current_dir(root());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the interpreter is there");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        let orders = child.stdin.take().expect("piped");
        self.server = Some((child, orders));
    }

    fn kill(&mut self) {
        let Some((mut child, _)) = self.server.take() else { return };
        child.kill().expect("it runs");
        child.wait().expect("it was killed");
    }

    fn disorder(&mut self, until: Instant) {
        while Instant::now() < until {
            std::thread::sleep(BETWEEN_CUTS);
            if self.dice.roll(self.cuts) == 0 {
                self.kill();
                std::thread::sleep(Duration::from_millis(self.dice.roll(2000)));
                self.serve();
                self.kills += 1;
            } else if let Some((_, orders)) = &mut self.server {
                orders.write_all(b"cut\n").expect("it runs");
            }
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Ends with its standard input, or with the test.
struct Client(Child, BufReader<ChildStdout>);

impl Client {
    fn start(program: &Path, drive: &str, ports: [u16; 2], count: usize) -> Client {
        let mut command = Command::new(program);
        command.args([drive, &format!("ws://127.0.0.1:{}/", ports[0]), &format!("http://127.0.0.1:{}/", ports[1])]);
        let mut child =
            command.arg(count.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("built");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        Client(child, lines)
    }

    fn figures(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).expect("a line");
        assert!(line.ends_with('\n'), "the client failed: see above");
        println!("  {}", line.trim_end());
        line
    }

    /// Once all are open and have heard something new.
    fn settle(&mut self) -> String {
        self.0.stdin.as_mut().expect("piped").write_all(b"settle\n").expect("it runs");
        self.figures()
    }

    fn end(mut self) -> String {
        drop(self.0.stdin.take());
        let figures = self.figures();
        assert!(self.0.wait().expect("it runs").success());
        figures
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It has ended, unless a check failed.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn number(figures: &str, key: &str) -> i64 {
    let rest = figures.split_once(&format!("\"{key}\":")).expect(key).1;
    rest[..rest.find([',', '}']).expect("JSON")].parse().expect("a number")
}

/// The errors that were told, with how often.
fn counts(figures: &str, key: &str) -> Vec<(String, u64)> {
    let rest = figures.split_once(&format!("\"{key}\":{{")).expect(key).1;
    let pairs = rest[..rest.find('}').expect("JSON")].split(',').filter_map(|pair| pair.split_once(':'));
    pairs.map(|(code, n)| (code.trim_matches('"').to_owned(), n.parse().expect("a number"))).collect()
}

fn program(drive: &str) -> PathBuf {
    static VENV: Once = Once::new();
    let build = built();
    VENV.call_once(|| drop(succeed(Command::new("tests/python.sh").arg("venv").current_dir(root()))));
    let library = build.join("lib");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("soak_streams_{drive}"));
    let mut cc = compiler(false);
    cc.args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-Iinclude", "tests/soak_streams/client.c", "-o"]);
    cc.arg(&program).arg("-L").arg(&library).arg("-lchttpcore").arg(format!("-Wl,-rpath,{}", library.display()));
    succeed(&mut cc);
    program
}

fn run(program: &Path, drive: &str, seed: u64, count: usize, length: Duration, kill_every: Duration) -> [i64; 2] {
    println!("drive: {drive}, {count} WebSockets and {count} streams, {} s, seed {seed}", length.as_secs());
    let cuts = kill_every.as_millis() / BETWEEN_CUTS.as_millis();
    // As many events in a second as messages: see STEP_NS of the client.
    let period = count as f64 / 500.0;
    let mut dice = Dice::new(seed);
    let ports = ports(&mut dice);
    let mut run = Run { dice, ports, period, cuts: cuts as u64, server: None, kills: 0 };
    run.serve();
    let started = Instant::now();
    let mut client = Client::start(program, drive, run.ports, count);
    let mut rss = [0; 2];
    for (at, fifths) in [(0, 1), (1, 5)] {
        run.disorder(started + length * fifths / 5);
        rss[at] = number(&client.settle(), "rss_kb");
    }
    let figures = client.end();
    println!("  {} kills; resident memory {} KiB at 20 %, {} KiB at 100 %", run.kills, rss[0], rss[1]);
    let told = ["ws_ends", "sse_rests", "sse_ends"].map(|key| counts(&figures, key));
    for (code, n) in told.iter().flatten() {
        assert!(KNOWN.iter().any(|k| code.strip_prefix("CHTTP_") == Some(k)), "{code}, {n} times");
    }
    let all = |of: &[(String, u64)]| of.iter().map(|(_, n)| n).sum::<u64>();
    assert!(told.iter().all(|of| all(of) > 0), "something was cut off");
    // What ended was opened again, but for the last of each.
    assert!(all(&told[0]) >= count as u64 && number(&figures, "messages") > 0 && number(&figures, "events") > 0);
    rss
}

/// `part`: for `make soak`, of the minutes.
fn outlive(drive: &str, part: u64) {
    let seed = std::env::var("CHTTP_SOAK_SEED").map_or_else(
        |_| std::time::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos() as u64),
        |n| n.parse().expect("a number"),
    );
    let program = program(drive);
    let Ok(minutes) = std::env::var("CHTTP_SOAK_MINUTES") else {
        run(&program, drive, seed, 200, Duration::from_secs(10), Duration::from_secs(2));
        return;
    };
    let length = Duration::from_secs(minutes.parse::<u64>().expect("a number") * 60 / part);
    let rss = run(&program, drive, seed, 1000, length, Duration::from_secs(15));
    assert!((rss[1] - rss[0]).abs() < GROWTH_KB, "memory grew by {} KiB", rss[1] - rss[0]);
}

#[test]
fn on_the_engines_thread() {
    outlive("thread", 1);
}

#[test]
fn on_the_callers_thread() {
    outlive("caller", 6);
}
