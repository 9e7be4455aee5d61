//! `openssl s_server` on a free loopback port: another implementation of TLS, with a certificate of the test's. It is gone
//! when the value is dropped.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub struct Openssl {
    dir: PathBuf,
    child: Child,
    said: BufReader<ChildStdout>,
    authority: String,
}

impl Openssl {
    /// Listen on `host`, as a URL has it. `chain` and `key` are PEM. `files` stand in the directory that it runs in.
    pub fn start(host: &str, chain: &[u8], key: &[u8], arguments: &[&str], files: &[(&str, &[u8])]) -> Openssl {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("openssl-{}-{id}", std::process::id()));
        fs::create_dir_all(&dir).expect("the target directory can be written");
        for (name, contents) in [("chain.pem", chain), ("key.pem", key)].iter().chain(files) {
            fs::write(dir.join(name), contents).expect("the target directory can be written");
        }
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", &format!("{host}:0")]);
        command.args(["-cert", "chain.pem", "-cert_chain", "chain.pem", "-key", "key.pem"]).args(arguments);
        command.current_dir(&dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("openssl is installed (tests/deps.sh)");
        let mut said = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        while !line.starts_with("ACCEPT ") {
            line.clear();
            assert!(said.read_line(&mut line).expect("text") > 0, "openssl s_server {arguments:?} does not start");
        }
        Openssl { dir, child, said, authority: line["ACCEPT ".len()..].trim_end().to_owned() }
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.authority)
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Say this to the client, without -www.
    pub fn say(&mut self, text: &str) {
        self.child.stdin.as_mut().expect("a pipe").write_all(text.as_bytes()).expect("it listens");
    }

    /// All that it has printed when it ends by itself (-naccept): what a client has sent stands there, without -www.
    pub fn ended(mut self) -> String {
        let mut text = Vec::new();
        self.said.read_to_end(&mut text).expect("a pipe");
        self.child.wait().expect("it is our child");
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Openssl {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.dir));
    }
}
