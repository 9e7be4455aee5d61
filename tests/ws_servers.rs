//! WebSockets to servers that others have written, in both drives, plain and compressed: `websockets`, `picows` and hypercorn
//! in Python, `ws` in JavaScript, and tungstenite; over HTTP/2 hypercorn.

mod real_support;
#[allow(dead_code)] // Shared with other test binaries.
mod support;
mod tls_support;

use chttpcore::ffi::types::{
    CHTTP_EF_FIN, CHTTP_EV_DONE, CHTTP_EV_WS_CLOSE, CHTTP_EV_WS_MESSAGE, CHTTP_EV_WS_OPEN, CHTTP_EV_WS_PONG,
    CHTTP_REQ_HTTP2, CHTTP_REQ_WEBSOCKET,
};
use chttpcore::ffi::websocket::*;
use real_support::client::{DRIVES, Drive, name};
use real_support::{Client, Request};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use support::{built, root, succeed};

/// The package of npm's, and its version.
const NODE_WS: &str = "ws@8.23.0";

/// A program that serves; it ends when this is dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn python(kind: &str) -> Server {
        succeed(Command::new("tests/python.sh").arg("venv").current_dir(root()));
        let mut command = Command::new(built().join("venv/bin/python"));
        Server::start(command.arg("tests/ws_servers/serve.py").arg(kind))
    }

    fn node() -> Server {
        let place = built().join("node");
        let stamp = place.join(NODE_WS);
        if !stamp.exists() {
            std::fs::create_dir_all(&place).expect("a directory");
            let mut npm = Command::new("npm");
            npm.args(["install", "--silent", "--no-save", "--no-audit", "--no-fund", "--prefix"])
                .arg(&place)
                .arg(NODE_WS);
            succeed(&mut npm);
            std::fs::write(&stamp, "").expect("a file");
        }
        let mut command = Command::new("node");
        Server::start(command.arg("tests/ws_servers/serve.js").env("NODE_PATH", place.join("node_modules")))
    }

    fn start(command: &mut Command) -> Server {
        command.current_dir(root()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it is there");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
        Server { child, port: line.trim().parse().expect("a port") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().expect("it ends with its input");
    }
}

/// A server in Rust, for as long as the test runs.
fn tungstenite() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().filter_map(Result::ok) {
            std::thread::spawn(move || {
                let mut socket = tungstenite::accept(stream).expect("a handshake");
                while let Ok(message) = socket.read() {
                    if message.is_text() && message.to_text().is_ok_and(|text| text == "close") {
                        let frame = tungstenite::protocol::CloseFrame { code: 4001.into(), reason: "bye".into() };
                        socket.close(Some(frame)).expect("it is sent");
                    } else if message.is_text() || message.is_binary() {
                        socket.send(message).expect("it is sent");
                    }
                }
            });
        }
    });
    port
}

/// What was told: kind, `arg`, `error`, and the bytes; pieces of a message are joined.
#[derive(Default)]
struct Told {
    events: Vec<(u32, u32, i32, Vec<u8>)>,
    piece: Vec<u8>,
    /// Whether compression was agreed on.
    deflates: bool,
}

impl Told {
    /// Until something of this kind is told.
    fn until(&mut self, client: &mut Client, kind: u32) -> (u32, i32, Vec<u8>) {
        loop {
            if let Some(at) = self.events.iter().position(|event| event.0 == kind) {
                let (_, arg, error, bytes) = self.events.remove(at);
                return (arg, error, bytes);
            }
            client.poll();
            client.drain(|event| {
                let bytes = match event.len {
                    0 => &[],
                    // SAFETY: by the contract of the event.
                    len => unsafe { std::slice::from_raw_parts(event.data.cast::<u8>(), len as usize) },
                };
                let kind = u32::from(event.kind);
                assert!(kind == CHTTP_EV_DONE || event.error == 0);
                if kind == CHTTP_EV_WS_OPEN {
                    self.deflates = event.aux as u32 & CHTTP_WS_AGREED_DEFLATE != 0;
                }
                if kind == CHTTP_EV_WS_MESSAGE {
                    self.piece.extend_from_slice(bytes);
                    if u32::from(event.flags) & CHTTP_EF_FIN != 0 {
                        self.events.push((kind, event.arg, 0, std::mem::take(&mut self.piece)));
                    }
                } else {
                    self.events.push((kind, event.arg, event.error, bytes.to_vec()));
                }
            });
        }
    }
}

fn converse(port: u16, drive: Drive, flags: u32, deflates: bool) {
    converse_over(0, port, drive, flags, deflates);
}

/// `version` is CHTTP_REQ_HTTP2, or 0.
fn converse_over(version: u32, port: u16, drive: Drive, flags: u32, deflates: bool) {
    let mut client = Client::new(drive, &[(CHTTP_OPT_WS_DEFLATE_MIN, 0)]);
    // SAFETY: all-zero is valid by the contract of the struct.
    let mut settings: chttp_websocket = unsafe { std::mem::zeroed() };
    settings.size = size_of::<chttp_websocket>() as u32;
    settings.flags = flags | CHTTP_WS_CONTROL;
    let mut request = Request::get(format!("ws://127.0.0.1:{port}/"));
    request.raw.flags = CHTTP_REQ_WEBSOCKET | version;
    request.raw.websocket = &raw const settings;
    let mut raw = request.filled();
    raw.method = std::ptr::null();
    raw.method_len = 0;
    for closes in [false, true] {
        let mut xids = [0];
        client.submit_raw(&[raw], &mut xids).expect("it is a good one");
        let (xid, mut told) = (xids[0], Told::default());
        told.until(&mut client, CHTTP_EV_WS_OPEN);
        assert_eq!(told.deflates, deflates);
        let text: String = "Größe und Straße, λόγος, 日本語 ".repeat(8000);
        for len in [0, 1, 125, 126, 65_535, 65_536, 300_000] {
            let mut end = len.min(text.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            for (opcode, bytes) in [
                (CHTTP_WS_TEXT, &text.as_bytes()[..end]),
                (CHTTP_WS_BINARY, &text.as_bytes()[1..][..end.min(text.len() - 1)]),
            ] {
                assert_eq!(name(client.ws_send(xid, opcode, 0, bytes)), "CHTTP_OK");
                let (arg, _, heard) = told.until(&mut client, CHTTP_EV_WS_MESSAGE);
                assert_eq!(arg, opcode);
                assert!(heard == bytes, "{len} bytes");
            }
        }
        for (i, piece) in ["in ", "three ", "fragments"].iter().enumerate() {
            let opcode = if i == 0 { CHTTP_WS_TEXT } else { CHTTP_WS_CONTINUATION };
            let more = if i < 2 { CHTTP_WS_MORE } else { 0 };
            assert_eq!(client.ws_send(xid, opcode, more, piece.as_bytes()), 0);
        }
        assert_eq!(told.until(&mut client, CHTTP_EV_WS_MESSAGE).2, b"in three fragments");
        assert_eq!(client.ws_ping(xid, b"there?"), 0);
        assert_eq!(told.until(&mut client, CHTTP_EV_WS_PONG).2, b"there?");
        let code = if closes {
            assert_eq!(client.ws_send(xid, CHTTP_WS_TEXT, 0, b"close"), 0);
            4001
        } else {
            assert_eq!(client.ws_close(xid, 1000), 0);
            1000
        };
        assert_eq!(told.until(&mut client, CHTTP_EV_WS_CLOSE).0, code);
        let (_, error, _) = told.until(&mut client, CHTTP_EV_DONE);
        assert_eq!(name(error), "CHTTP_OK");
    }
}

const DEFLATE: [u32; 3] = [
    CHTTP_WS_DEFLATE,
    CHTTP_WS_DEFLATE | CHTTP_WS_CLIENT_NO_TAKEOVER | CHTTP_WS_SERVER_NO_TAKEOVER,
    CHTTP_WS_DEFLATE | CHTTP_WS_FRAGMENTS,
];

#[test]
fn websockets_of_python() {
    let server = Server::python("websockets");
    for drive in DRIVES {
        converse(server.port, drive, 0, false);
        DEFLATE.iter().for_each(|&flags| converse(server.port, drive, flags, true));
    }
}

#[test]
fn picows() {
    let server = Server::python("picows");
    for drive in DRIVES {
        converse(server.port, drive, 0, false);
        // It knows no compression, which is no error.
        converse(server.port, drive, CHTTP_WS_DEFLATE, false);
    }
}

#[test]
fn ws_of_node() {
    let server = Server::node();
    for drive in DRIVES {
        converse(server.port, drive, 0, false);
        DEFLATE.iter().for_each(|&flags| converse(server.port, drive, flags, true));
    }
}

#[test]
fn hypercorn_over_both_versions() {
    let server = Server::python("hypercorn");
    for drive in DRIVES {
        for version in [0, CHTTP_REQ_HTTP2] {
            converse_over(version, server.port, drive, 0, false);
            DEFLATE.iter().for_each(|&flags| converse_over(version, server.port, drive, flags, true));
        }
    }
}

#[test]
fn tungstenite_of_rust() {
    let port = tungstenite();
    for drive in DRIVES {
        converse(port, drive, CHTTP_WS_FRAGMENTS, false);
        converse(port, drive, CHTTP_WS_DEFLATE, false);
    }
}
