//! Streams of events from a real server that is killed in the middle of events, again and again: alone, and behind an nginx
//! that speaks HTTP/2 to us and codes the stream by gzip. Nothing is lost, and nothing comes twice.

mod real_support;
mod tls_support;

use chttpcore::ffi::sse::{CHTTP_SSE_COMPRESSED, CHTTP_SSE_RETRY_STATUS, chttp_sse, chttp_sse_event, chttp_sse_fields};
use chttpcore::ffi::tls::CHTTP_OPT_TLS_INSECURE_NO_VERIFICATION;
use chttpcore::ffi::types::{
    CHTTP_EF_TERMINAL, CHTTP_EV_HEADERS, CHTTP_EV_SSE, CHTTP_EV_SSE_RECONNECT, CHTTP_REQ_HTTP2, CHTTP_REQ_SSE,
    chttp_event,
};
use real_support::client::{DRIVES, body, name};
use real_support::{Client, Drive, Nginx, Request};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use tls_support::{Authority, pem};

const EVENTS: u64 = 200;
/// It is killed after so many, which it may be in the middle of the next one.
const LIFE: u64 = 23;

/// A server of Python's: every event in two pieces, from the one behind Last-Event-ID on.
const PROGRAM: &str = r#"
import http.server, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        last = int(self.headers.get("Last-Event-ID") or 0)
        if last >= int(sys.argv[2]):
            self.send_response(204)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(last + 1, int(sys.argv[2]) + 1):
            text = f"id: {number}\r\nevent: tick\r\ndata: {{\"number\":\r\ndata: {number}}}\r\n\r\n".encode()
            for part in (text[:25], text[25:]):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            time.sleep(0.001)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("ready", flush=True)
server.serve_forever()
"#;

struct Server {
    port: u16,
    process: Child,
}

impl Server {
    fn start(port: u16) -> Server {
        let mut process = Command::new("python3")
            .args(["-c", PROGRAM, &port.to_string(), &EVENTS.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 is there");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("it can be read");
        assert_eq!(line, "ready\n", "the port was free");
        Server { port, process }
    }

    /// Killed, and another one in its place.
    fn renew(&mut self) {
        self.stop();
        *self = Server::start(self.port);
    }

    fn stop(&mut self) {
        self.process.kill().ok();
        self.process.wait().expect("it is our child");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

#[derive(Default)]
struct Seen {
    events: u64,
    connections: u64,
    lost: u64,
    ended: Option<i32>,
}

fn see(seen: &mut Seen, event: &chttp_event) {
    match u32::from(event.kind) {
        CHTTP_EV_HEADERS => seen.connections += 1,
        CHTTP_EV_SSE_RECONNECT => seen.lost += 1,
        CHTTP_EV_SSE => {
            // SAFETY: all-zero is a valid value of numbers and pointers.
            let mut fields: chttp_sse_event = unsafe { std::mem::zeroed() };
            // SAFETY: the event is as it came, and the struct is writable for its size.
            let code = unsafe { chttp_sse_fields(event, &raw mut fields, size_of::<chttp_sse_event>()) };
            assert_eq!(code, 0);
            // SAFETY: what the library says stands there while the event's object lives.
            let text = |at: *const std::ffi::c_char, len| unsafe { std::slice::from_raw_parts(at.cast::<u8>(), len) };
            seen.events += 1;
            assert_eq!(text(fields.id, fields.id_len), seen.events.to_string().as_bytes());
            assert_eq!(text(fields.event_type, fields.event_type_len), b"tick");
            assert_eq!(body(event), format!("{{\"number\":\n{}}}", seen.events).as_bytes());
        }
        _ => {}
    }
    if u32::from(event.flags) & CHTTP_EF_TERMINAL != 0 {
        seen.ended = Some(event.error);
    }
}

fn follow(drive: Drive, server: &mut Server, url: String, flags: u32, sse_flags: u32) {
    // SAFETY: all-zero is a valid value of numbers and pointers.
    let mut sse: chttp_sse = unsafe { std::mem::zeroed() };
    sse.size = size_of::<chttp_sse>() as u32;
    sse.flags = sse_flags;
    sse.retry_ns = 5_000_000;
    sse.retry_max_ns = 200_000_000;
    let mut request = Request::get(url);
    request.raw.flags |= CHTTP_REQ_SSE | flags;
    request.raw.sse = &raw const sse;
    let mut client = Client::new(drive, &[(CHTTP_OPT_TLS_INSECURE_NO_VERIFICATION, 1)]);
    client.submit(&[request]).expect("a valid request");
    let (mut seen, mut killed, mut next) = (Seen::default(), 0, LIFE);
    while seen.ended.is_none() {
        client.poll();
        client.drain(|event| see(&mut seen, event));
        if seen.events >= next && seen.events < EVENTS {
            server.renew();
            killed += 1;
            next = seen.events + LIFE;
        }
    }
    assert_eq!(seen.ended.map(name), Some("CHTTP_OK"));
    assert_eq!(seen.events, EVENTS);
    assert!(
        killed >= 3 && seen.lost >= killed && seen.connections > killed,
        "{killed} {} {}",
        seen.lost,
        seen.connections
    );
}

#[test]
fn a_server_that_is_killed_loses_nothing() {
    let mut server = Server::start(free_port());
    for drive in DRIVES {
        let url = format!("http://127.0.0.1:{}/", server.port);
        follow(drive, &mut server, url, 0, 0);
    }
}

#[test]
fn nor_behind_a_proxy_that_speaks_http2_and_compresses() {
    let mut server = Server::start(free_port());
    let authority = Authority::new("Test CA");
    let leaf = authority.leaf(&["127.0.0.1"]);
    let (chain, key) = (pem(&leaf.chain), leaf.key.serialize_pem());
    let files = [("chain.pem", chain.as_slice()), ("key.pem", key.as_bytes())];
    let locations = format!(
        "ssl_certificate {{dir}}/chain.pem;\nssl_certificate_key {{dir}}/key.pem;\n\
         location / {{ proxy_pass http://127.0.0.1:{}; proxy_http_version 1.1; proxy_buffering off;\n\
         gzip on; gzip_types text/event-stream; gzip_proxied any; gzip_min_length 0; }}\n",
        server.port
    );
    let nginx = Nginx::secure_h2(&locations, &files);
    for drive in DRIVES {
        // While nobody is behind it, the proxy says 502.
        let sse_flags = CHTTP_SSE_RETRY_STATUS | CHTTP_SSE_COMPRESSED;
        follow(drive, &mut server, nginx.url("/"), CHTTP_REQ_HTTP2, sse_flags);
    }
}
