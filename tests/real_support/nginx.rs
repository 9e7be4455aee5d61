//! A real nginx on a free loopback port, with everything it writes in a directory of its own. It is gone, workers and
//! all, when the value is dropped; also when a test panics.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Ports that are tried: between our look and nginx's bind somebody else may take one.
const TRIES: usize = 8;

pub struct Nginx {
    dir: PathBuf,
    port: u16,
    scheme: &'static str,
    master: Child,
}

impl Nginx {
    /// Start with `locations` in its one server; `{www}` stands for the directory of files, `{port}` for its own port.
    pub fn start(locations: &str) -> Nginx {
        Nginx::launch("http", "", locations, &[])
    }

    /// The same over TLS. Directives find these `files` under `{dir}`; plain requests learn only who is there.
    pub fn secure(locations: &str, files: &[(&str, &[u8])]) -> Nginx {
        Nginx::launch("https", " ssl", &format!("error_page 497 =200 /ready;\n{locations}"), files)
    }

    /// And with HTTP/2.
    pub fn secure_h2(locations: &str, files: &[(&str, &[u8])]) -> Nginx {
        Nginx::launch("https", " ssl http2", &format!("error_page 497 =200 /ready;\n{locations}"), files)
    }

    fn launch(scheme: &'static str, listen: &str, locations: &str, files: &[(&str, &[u8])]) -> Nginx {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nginx-{}-{id}", std::process::id()));
        for part in ["www", "tmp"] {
            fs::create_dir_all(dir.join(part)).expect("the target directory can be written");
        }
        for (name, contents) in files {
            fs::write(dir.join(name), contents).expect("the target directory can be written");
        }
        for _ in 0..TRIES {
            let port = free_port();
            configure(&dir, port, listen, locations);
            let mut nginx = Nginx { master: launch(&dir), dir: dir.clone(), port, scheme };
            if nginx.answers() {
                return nginx;
            }
        }
        let log = fs::read_to_string(dir.join("error.log")).unwrap_or_default();
        panic!("nginx does not start:\n{log}");
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}://127.0.0.1:{}{path}", self.scheme, self.port)
    }

    /// A file of `len` bytes in the directory `www`, with a hole for contents: it costs neither disk nor time.
    pub fn hole(&self, name: &str, len: u64) {
        fs::File::create(self.dir.join("www").join(name)).and_then(|f| f.set_len(len)).expect("it can be written");
    }

    pub fn file(&self, name: &str, contents: &[u8]) {
        fs::write(self.dir.join("www").join(name), contents).expect("it can be written");
    }

    /// SIGHUP: new workers, and the old ones end when they have nothing to do. SIGQUIT: end in order.
    pub fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.master.id()).expect("a pid");
        // SAFETY: kill has no preconditions; the master was not waited for, so the pid is still its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Its processes beside the master: workers, those among them that only finish what they have.
    pub fn workers(&self) -> BTreeSet<u32> {
        let master = self.master.id().to_string();
        let is_ours = |pid: &u32| {
            // `pid (name) state ppid ...`; the name is nginx. A process may be gone by now.
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let mut words = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
            let state = words.next();
            state != Some("Z") && words.next() == Some(&master)
        };
        let all = fs::read_dir("/proc").expect("the kernel shows processes");
        all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(is_ours).collect()
    }

    /// SIGKILL for the master and its workers, in the middle of whatever they do.
    pub fn kill(&mut self) {
        let group = i32::try_from(self.master.id()).expect("a pid");
        // SAFETY: as above; the group is the master's own.
        unsafe { libc::kill(-group, libc::SIGKILL) };
        self.master.wait().expect("it is our child");
    }

    /// Wait until it has ended by itself.
    pub fn ended(&mut self) {
        self.master.wait().expect("it is our child");
    }

    /// Whether it is up; `false` when it has ended instead.
    fn answers(&mut self) -> bool {
        let word = self.dir.display().to_string();
        while self.master.try_wait().expect("it is our child").is_none() {
            // The word tells our nginx from whoever else may have taken the port.
            if ask(self.port).is_ok_and(|answer| answer.ends_with(&word)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        false
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.kill();
        drop(fs::remove_dir_all(&self.dir));
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

fn ask(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /ready HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn configure(dir: &Path, port: u16, listen: &str, locations: &str) {
    let place = dir.display();
    let locations = locations.replace("{port}", &port.to_string()).replace("{www}", &format!("{place}/www"));
    let locations = locations.replace("{dir}", &place.to_string());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("    {what}_temp_path {place}/tmp/{what};\n"))
        .concat();
    let conf = format!(
        "daemon off;\nworker_processes 1;\npid {place}/nginx.pid;\nerror_log {place}/error.log warn;\n\
         events {{ worker_connections 2048; multi_accept on; }}\n\
         http {{\n    access_log off;\n    sendfile on;\n    client_max_body_size 0;\n    keepalive_timeout 600s;\n\
         {temporary}\
         \x20   server {{\n        listen 127.0.0.1:{port}{listen} backlog=1024;\n        root {place}/www;\n        \
         default_type application/octet-stream;\n        location = /ready {{ return 200 {place}; }}\n{locations}    }}\n}}\n"
    );
    fs::write(dir.join("nginx.conf"), conf).expect("the directory can be written");
}

fn launch(dir: &Path) -> Child {
    let path = std::env::var("PATH").unwrap_or_default();
    let log = dir.join("error.log");
    let mut command = Command::new("nginx");
    command.env("PATH", format!("{path}:/usr/sbin")).arg("-p").arg(dir).arg("-e").arg(log);
    command.arg("-c").arg(dir.join("nginx.conf")).stdin(Stdio::null()).stderr(Stdio::null()).process_group(0);
    // SAFETY: prctl is async-signal-safe. The master must not outlive a test process that is killed.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            Ok(())
        });
    }
    command.spawn().expect("nginx is installed (tests/deps.sh)")
}
