//! What an idle connection over TLS costs: 4.8 KB at most, its cryptography included. By what the system says of the process
//! and by what the C library's allocator has given out, in both drives. `CHTTP_IDLE_TLS` sets how many there are (500).
//!
//! Each drive is measured in a process of its own, so that neither finds what the other has left. The server is a third. The
//! connections are all asked for at once, ahead of time; then each of them serves one request, all at once, for which the
//! server answers nobody before all have asked. The first three hundred are not counted: what they bring besides is not theirs.

mod real_support;
mod tls_support;

use chttpcore::ffi::config::{CHTTP_OPT_MAX_CONNECTIONS, CHTTP_OPT_MAX_CONNECTIONS_PER_HOST};
use chttpcore::ffi::tls::CHTTP_OPT_TLS_CA_PEM;
use real_support::idle::{connections, drive, resident};
use real_support::{Client, Drive, Request, Value};
use rustls::{ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tls_support::{Authority, BOTH};

const BYTES_MAX: f64 = 4.8 * 1024.0;
/// What stays of the requests and handshakes whatever the number of connections: the heap is trimmed after crowds alone.
const KEPT: f64 = 512.0 * 1024.0;
/// Connections that are not counted: more than the handshakes that go on at a time.
const AT_ONCE: usize = 300;
/// Tenths of a second that are granted beyond the first.
const LATE: usize = 30;
const ROLE: &str = "CHTTP_IDLE_TLS_ROLE";

/// Bytes that are allocated, by the books of the C library's allocator, which is Rust's too, and pages that the library has
/// mapped.
fn allocated() -> usize {
    // SAFETY: it only reads, and locks what it reads.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd + chttpcore::mem::page::mapped()
}

fn wanted() -> usize {
    std::env::var("CHTTP_IDLE_TLS").map_or(500, |n| n.parse().expect("a number"))
}

fn myself(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args(["--exact", "an_idle_connection_costs_4_8_kib_at_most", "--nocapture"]).env(ROLE, role);
    command
}

/// Answer `AT_ONCE` connections when all of them have asked, then `count` more and those. Ends with its standard input.
fn serve(count: usize) {
    connections(count + AT_ONCE);
    let authority = Authority::new("Test CA");
    let config = Arc::new(authority.leaf(&["127.0.0.1"]).server(BOTH));
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    // All come at once, and nobody is to be turned away.
    // SAFETY: the descriptor is a listening socket that `listener` owns; the call changes its backlog.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 16384) }, 0);
    println!("port {}", listener.local_addr().expect("it is bound").port());
    println!("ca {}", authority.certificate.pem().replace('\n', "|"));
    let mut peers: Vec<StreamOwned<ServerConnection, TcpStream>> = Vec::new();
    for count in [AT_ONCE, count] {
        for _ in 0..count {
            let mut tcp = listener.accept().expect("a connection").0;
            let mut tls = ServerConnection::new(config.clone()).expect("a valid configuration");
            tls.complete_io(&mut tcp).expect("a handshake");
            peers.push(StreamOwned::new(tls, tcp));
        }
        for peer in &mut peers {
            let (mut head, mut piece) = (Vec::new(), [0; 512]);
            while !head.ends_with(b"\r\n\r\n") {
                let n = peer.read(&mut piece).expect("a request");
                assert!(n > 0, "the client is gone");
                head.extend_from_slice(&piece[..n]);
            }
        }
        for peer in &mut peers {
            peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nsmall")
                .expect("sent");
        }
    }
    drop(std::io::stdin().read(&mut [0]));
}

/// Open `count` more connections, and use all that there are once.
fn open(client: &mut Client, request: &Request, count: usize) {
    let all = client.stats().connections_idle as usize + count;
    client.preconnect(request, all as u32);
    while client.stats().connections_idle < all as u64 {
        client.poll_for(Duration::from_millis(10));
        client.drain(|event| panic!("event {} of nobody's", event.kind));
    }
    let raw = [request.filled(); AT_ONCE];
    for at in (0..all).step_by(AT_ONCE) {
        let n = AT_ONCE.min(all - at);
        client.submit_raw(&raw[..n], &mut [0; AT_ONCE][..n]).expect("accepted");
    }
    drive(client, all, Duration::from_secs(1));
}

/// In a process of its own: bytes of an idle connection, resident and allocated.
fn measure(how: Drive) {
    let count = connections(wanted() + AT_ONCE) - AT_ONCE;
    let mut server = myself(&count.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut said = BufReader::new(server.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let mut word = |word: &str| said.find_map(|line| Some(line.split_once(word)?.1.to_owned())).expect("it says so");
    let (port, ca) = (word("port "), word("ca ").replace('|', "\n"));
    let limit = |option| (option, Value::Number((count + AT_ONCE) as i64));
    let limits = [CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, CHTTP_OPT_MAX_CONNECTIONS].map(limit);
    let ca = (CHTTP_OPT_TLS_CA_PEM, Value::Bytes(ca.into_bytes()));
    let mut client = Client::with(how, &[&limits[..], &[ca]].concat());
    let request = Request::get(format!("https://127.0.0.1:{port}/")).collect();
    open(&mut client, &request, AT_ONCE);
    let (resident0, live0) = (resident(), allocated());
    open(&mut client, &request, count);
    let stats = client.stats();
    assert_eq!(
        (stats.connections_opened, stats.connections_idle),
        ((count + AT_ONCE) as u64, (count + AT_ONCE) as u64)
    );
    let grown = |now: usize, before: usize| now as f64 - before as f64;
    let idle = || (grown(resident(), resident0), grown(allocated(), live0));
    let most = count as f64 * BYTES_MAX;
    let (mut rss, mut given) = idle();
    // A busy machine gives the engine its second late.
    for _ in 0..LATE {
        if rss > most + KEPT || given > most {
            drive(&mut client, 0, Duration::from_millis(100));
            (rss, given) = idle();
        }
    }
    let each = |bytes: f64| bytes / count as f64;
    println!(
        "{how:?}: {count} idle connections over TLS, {:.0} bytes each resident, {:.0} allocated",
        each(rss),
        each(given)
    );
    drop(server.stdin.take());
    said.for_each(drop);
    server.wait().expect("it is our child");
    assert!(rss <= most + KEPT && given <= most, "{rss:.0} bytes resident, {given:.0} allocated");
}

#[test]
fn an_idle_connection_costs_4_8_kib_at_most() {
    match std::env::var(ROLE).as_deref() {
        Ok("thread") => measure(Drive::Thread),
        Ok("caller") => measure(Drive::Caller),
        Ok(connections) => serve(connections.parse().expect("a number")),
        Err(_) => {
            for drive in ["thread", "caller"] {
                let done = myself(drive).output().expect("it runs");
                print!("{}", String::from_utf8_lossy(&done.stdout));
                assert!(done.status.success(), "{drive}: {}", String::from_utf8_lossy(&done.stderr));
            }
        }
    }
}
