//! What the tests of the demo, the examples and the README share: compiling a program as a reader would, and the demo's
//! server to run it against.

use crate::support::{built, compiler, root, succeed};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Seconds after which a program has hung.
const HUNG: &str = "120";

/// Compiles C sources with all warnings as errors against the built library; the program is named by its directory in
/// `build` and its name.
pub fn compile(sources: &[&Path], name: &str) -> PathBuf {
    let build = built();
    let program = build.join(name);
    fs::create_dir_all(program.parent().expect("in a directory")).expect("build can be written");
    let library = build.join("lib");
    let mut command = compiler(false);
    command.args(["-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror"]);
    command.arg("-I").arg(build.join("include")).args(sources).arg("-o").arg(&program);
    command.arg("-L").arg(&library).arg("-lchttpcore").arg(format!("-Wl,-rpath,{}", library.display()));
    succeed(&mut command);
    program
}

/// Runs a program to its end with `input` as its standard input; returns whether it succeeded, and what it printed,
/// errors after output.
pub fn run(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str], input: Stdio) -> (bool, String) {
    run_with(&[], program, arguments, input)
}

/// The same with variables of the environment.
pub fn run_with(
    variables: &[(&str, &str)],
    program: impl AsRef<std::ffi::OsStr>,
    arguments: &[&str],
    input: Stdio,
) -> (bool, String) {
    let mut command = Command::new("timeout");
    command.arg(HUNG).arg(program).args(arguments).stdin(input).current_dir(root()).envs(variables.iter().copied());
    let output = command.env("CHTTP_DEMO_SECONDS", "0.2").output().expect("coreutils are installed");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.success(), text)
}

/// The demo's server; it ends with this value.
pub struct Server {
    child: Child,
    pub base: String,
}

impl Server {
    /// `name` is that of the test binary, so that no two of them write the same file.
    pub fn start(name: &str) -> Server {
        let parts = ["test_server", "server_request", "server_routes"];
        let [a, b, c] = parts.map(|part| root().join(format!("c_tests/support/{part}.c")));
        let program =
            compile(&[&root().join("examples/demo/demo_server.c"), &a, &b, &c], &format!("examples/{name}_server"));
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server has just been compiled");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("the server prints its port");
        let port = line.trim().strip_prefix("port ").unwrap_or_else(|| panic!("not a port: {line:?}"));
        Server { base: format!("http://127.0.0.1:{port}"), child }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its standard input ends the server.
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

/// The demo's server for https; it ends with this value.
pub struct SecureServer {
    child: Child,
    /// Asks for no certificate of the client's.
    pub port: String,
    /// Refuses clients without one.
    pub mutual_port: String,
}

impl SecureServer {
    pub fn start() -> SecureServer {
        let mut child = Command::new("python3")
            .arg(root().join("examples/demo/demo_tls_server.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed (tests/deps.sh)");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("the server prints its ports");
        let mut words = line.split_whitespace().map(str::to_owned);
        assert_eq!(words.next().as_deref(), Some("ports"), "{line:?}");
        let [port, mutual_port] = [words.next(), words.next()].map(|port| port.expect("two ports"));
        SecureServer { child, port, mutual_port }
    }
}

impl Drop for SecureServer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

/// A mail server with the demo's certificate; it ends with this value.
pub struct MailServer {
    child: Child,
    pub port: String,
}

impl MailServer {
    /// `offer` is "starttls", or anything else for a server that has none.
    pub fn start(offer: &str) -> MailServer {
        let mut child = Command::new("python3")
            .args([
                root().join("tests/programs/smtp.py").as_os_str(),
                certificate("server.pem").as_ref(),
                offer.as_ref(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed (tests/deps.sh)");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("the server prints its port");
        let port = line.trim().strip_prefix("port ").unwrap_or_else(|| panic!("not a port: {line:?}"));
        MailServer { port: port.to_owned(), child }
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

/// A file of the demo's certificates.
pub fn certificate(name: &str) -> String {
    root().join("examples/demo/tls").join(name).to_str().expect("UTF-8").to_owned()
}

/// A file of `len` bytes in `build`, opened for reading.
pub fn file_of(len: usize, name: &str) -> (PathBuf, File) {
    let path = built().join(name);
    fs::write(&path, vec![b'x'; len]).expect("build can be written");
    let file = File::open(&path).expect("just written");
    (path, file)
}
