//! A real nghttpd on a free loopback port, without TLS. It is gone when the value is dropped.

use super::client::DRIVES;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub struct Nghttpd {
    dir: PathBuf,
    port: u16,
    child: Child,
}

impl Nghttpd {
    pub fn start(arguments: &[&str], files: &[(&str, &[u8])]) -> Nghttpd {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nghttpd-{}-{id}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("the target directory can be written");
        for (name, contents) in files {
            std::fs::write(dir.join(name), contents).expect("the target directory can be written");
        }
        for _ in 0..4 * DRIVES.len() {
            let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
            let mut command = Command::new("nghttpd");
            command.args(["--no-tls", "-a", "127.0.0.1", "-d"]).arg(&dir).args(arguments).arg(port.to_string());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            // SAFETY: prctl is async-signal-safe. It must not outlive a test process that is killed.
            unsafe {
                command.pre_exec(|| {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    Ok(())
                });
            }
            let child = command.spawn().expect("nghttpd is installed (tests/deps.sh)");
            let mut server = Nghttpd { dir: dir.clone(), port, child };
            if server.answers() {
                return server;
            }
        }
        panic!("nghttpd does not start");
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Whether it is up; `false` when it has ended instead, as it does when somebody else has taken the port.
    fn answers(&mut self) -> bool {
        while self.child.try_wait().expect("it is our child").is_none() {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return self.child.try_wait().expect("it is our child").is_none();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        false
    }
}

impl Drop for Nghttpd {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.dir));
    }
}
