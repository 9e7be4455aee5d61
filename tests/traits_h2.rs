//! HTTP/2 behind the traits: the `h2` crate's client as a `Protocol`, against the same crate's server over the kernel,
//! and against a recorded exchange over the scripted network.

mod traits_support;

use ::h2::server::SendResponse;
use ::h2::{Reason, RecvStream};
use bytes::Bytes;
use chttpcore::mem::Slice;
use chttpcore::net::backend::epoll::EpollBackend;
use chttpcore::net::backend::mock::{MockNet, Script};
use chttpcore::net::backend::{Address, Backend, Drive};
use chttpcore::proto::h1::encode::Spec;
use chttpcore::proto::url::Url;
use chttpcore::proto::{BodyLen, Cancelled, Follows, Out, Protocol, StreamKey, Tick};
use http::{HeaderMap, Request, Response};
use std::future::poll_fn;
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, Sender, channel};
use traits_support::h2::H2;
use traits_support::{Link, Over};

const BIG: usize = 300_000;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 13 + i / 241) as u8).collect()
}

/// A server for one connection. It tells of streams that were reset.
fn serve() -> (Address, Receiver<Reason>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = Address::Inet(listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let (tcp, _) = listener.accept().await.unwrap();
            let mut builder = ::h2::server::Builder::new();
            let mut conn = builder.max_concurrent_streams(20).handshake::<_, Bytes>(tcp).await.unwrap();
            while let Some(Ok((request, respond))) = conn.accept().await {
                tokio::spawn(answer(request, respond, tell.clone()));
            }
        });
    });
    (at, told)
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, tell: Sender<Reason>) {
    let (head, mut body) = request.into_parts();
    assert!(!head.headers.contains_key("host"));
    let ok = Response::builder().status(200);
    match head.uri.path() {
        "/early" => {
            let hints = Response::builder().status(103).header("link", "</a>").body(()).unwrap();
            respond.send_informational(hints).unwrap();
            let mut send = respond.send_response(ok.header("x", "y").body(()).unwrap(), false).unwrap();
            send.send_data(Bytes::from_static(b"hello"), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("sum", "5".parse().unwrap());
            send.send_trailers(trailers).unwrap();
        }
        "/echo" => {
            let mut all = Vec::new();
            while let Some(Ok(data)) = body.data().await {
                body.flow_control().release_capacity(data.len()).unwrap();
                all.extend_from_slice(&data);
            }
            let trailers = body.trailers().await.unwrap();
            let sum = trailers.map_or("none".to_owned(), |t| t["sum"].to_str().unwrap().to_owned());
            let head = ok.header("content-length", all.len()).header("sum", sum).body(()).unwrap();
            let mut send = respond.send_response(head, false).unwrap();
            send.send_data(all.into(), true).unwrap();
        }
        "/endless" => {
            let mut send = respond.send_response(ok.body(()).unwrap(), false).unwrap();
            send.send_data(Bytes::from_static(b"first"), false).unwrap();
            let reason = poll_fn(|cx| send.poll_reset(cx)).await.unwrap();
            tell.send(reason).unwrap();
        }
        "/refused" => respond.send_reset(Reason::REFUSED_STREAM),
        "/none" => drop(respond.send_response(ok.body(()).unwrap(), true).unwrap()),
        path => {
            let len = path[1..].parse().unwrap();
            let mut send = respond.send_response(ok.body(()).unwrap(), false).unwrap();
            send.send_data(pattern(len).into(), true).unwrap();
        }
    }
}

fn link() -> (Link<EpollBackend, H2>, Receiver<Reason>) {
    let (at, told) = serve();
    (Link::dial(EpollBackend::new(Drive::OwnThread).unwrap(), &at, H2::new()), told)
}

fn get<B: Backend>(link: &mut Link<B, H2>, path: &str) -> StreamKey {
    link.open("GET", &format!("http://test{path}"), BodyLen::None)
}

#[test]
fn one_get_with_early_hints_and_trailers() {
    let (mut link, _) = link();
    // The preface needs no request.
    assert!(link.proto.unsaid());
    let s = get(&mut link, "/early");
    assert_eq!(s, StreamKey(1));
    link.until(|l| l.log.of(s).ended);
    let story = link.log.of(s);
    assert_eq!((story.status, &story.informational[..]), (200, &[103][..]));
    assert_eq!(story.follows, Some(Follows::Unknown));
    assert_eq!(story.fields[0], ("x".to_owned(), "y".to_owned()));
    assert_eq!(story.bytes(), b"hello");
    assert_eq!(story.trailers, [("sum".to_owned(), "5".to_owned())]);
    assert!(matches!(story.body[..], [Slice::Foreign(_)]));

    let none = get(&mut link, "/none");
    link.until(|l| l.log.of(none).ended);
    assert_eq!(link.log.of(none).follows, Some(Follows::Nothing));
    assert!(link.proto.reusable() && !link.proto.unsaid());
    assert_eq!(link.proto.capacity(), 20);
}

#[test]
fn streams_side_by_side_each_with_its_own_credit() {
    let (mut link, _) = link();
    let slow = get(&mut link, &format!("/{BIG}"));
    link.log.limit(slow, 1000);
    let many: Vec<StreamKey> = (0..15).map(|i| get(&mut link, &format!("/{}", 10_000 + i))).collect();
    let refused = get(&mut link, "/refused");
    link.until(|l| many.iter().all(|&s| l.log.of(s).ended) && l.log.of(slow).bytes().len() == 1000);
    for (i, &s) in many.iter().enumerate() {
        assert_eq!(link.log.of(s).bytes(), pattern(10_000 + i));
    }
    link.until(|l| l.log.of(refused).over());
    assert!(link.log.of(refused).failed.is_some() && link.proto.reusable());
    // One stream stands still and holds nobody up; paid for, it goes on without anything new from the peer.
    while !link.log.of(slow).ended {
        let had = link.log.of(slow).bytes().len();
        link.credit(slow, 50_000);
        link.until(|l| l.log.of(slow).bytes().len() == BIG.min(had + 50_000));
        link.until(|l| l.log.of(slow).bytes().len() < BIG || l.log.of(slow).ended);
    }
    assert_eq!(link.log.of(slow).bytes(), pattern(BIG));
}

#[test]
fn a_body_in_pieces_under_flow_control() {
    let (mut link, _) = link();
    let s = link.open("POST", "http://test/echo", BodyLen::Unknown);
    let mut left = Bytes::from(pattern(BIG));
    let all = left.clone();
    while !left.is_empty() {
        let before = left.len();
        left = link.body(s, left, false);
        if left.len() == before || link.proto.body_room(s) == 0 {
            let told = link.log.of(s).writable;
            link.until(|l| l.log.of(s).writable > told);
            assert!(link.proto.body_room(s) > 0);
        }
    }
    link.body_trailers(s, b"Sum: 7\r\n");
    link.until(|l| l.log.of(s).ended);
    let story = link.log.of(s);
    assert_eq!(story.follows, Some(Follows::Length(BIG as u64)));
    assert!(story.fields.contains(&("sum".to_owned(), "7".to_owned())));
    assert_eq!(story.bytes(), all);
}

#[test]
fn an_engine_may_move_between_threads() {
    fn moves<T: Send>() {}
    moves::<H2>();
    moves::<chttpcore::proto::tls::Session>();
}

#[test]
fn a_body_is_not_copied() {
    let mut h2 = H2::new();
    let url = Url::parse(b"http://test/").unwrap();
    let mut spec = Spec::new(b"POST", &url);
    spec.body = BodyLen::Known(10_000);
    let head = chttpcore::proto::h1::encode::encode(&spec, []).unwrap();
    let mut out = Out::new();
    let s = h2.open(Tick(0), &head.request(), &mut out).unwrap();
    out.clear();
    let body = Bytes::from(pattern(10_000));
    assert!(h2.body_room(s) >= 10_000);
    h2.body(s, body.clone(), true, &mut out).unwrap();
    let ours = body.as_ptr_range();
    let owned: usize = out.segments().filter(|b| ours.contains(&b.as_ptr())).map(<[u8]>::len).sum();
    // The crate fills its own buffer with the first bytes of a frame.
    assert!(owned >= 10_000 - 256, "{owned}");
    assert_eq!(out.len(), 9 + 10_000);
}

#[test]
fn a_cancelled_stream_leaves_the_connection() {
    let (mut link, told) = link();
    let s = get(&mut link, "/endless");
    link.until(|l| l.log.of(s).bytes() == b"first");
    assert_eq!(link.cancel(s), Cancelled::Kept);
    let after = get(&mut link, "/12");
    link.until(|l| l.log.of(after).ended);
    assert_eq!(told.recv().unwrap(), Reason::CANCEL);
    assert!(!link.log.of(s).over());
    assert_eq!(link.log.of(after).bytes(), pattern(12));
}

/// What a client's first flight and a server's answer to it look like.
fn recorded() -> (Vec<u8>, Vec<u8>) {
    let (mut link, _) = link();
    let s = get(&mut link, "/early");
    let first = link.sent.clone();
    link.until(|l| l.log.of(s).ended);
    let t = get(&mut link, "/70000");
    assert_eq!(t, StreamKey(3));
    link.until(|l| l.log.of(t).ended);
    (first, link.heard.clone())
}

#[test]
fn a_recorded_exchange_in_any_cut() {
    let (first, answer) = recorded();
    for seed in 0..20 {
        let net = MockNet::new();
        let at = Address::Inet("192.0.2.1:80".parse().unwrap());
        let script = Script::new().expect(first.clone());
        net.listen(at.clone()).always(match seed {
            0 => script.send(answer.clone()),
            1 => script.send_split(answer.clone(), 1),
            _ => script.send_split(answer.clone(), 1000).fin(),
        });
        if seed > 2 {
            net.chaos(seed);
        }
        let mut link = Link::dial(net.backend(), &at, H2::new());
        let (s, t) = (get(&mut link, "/early"), StreamKey(3));
        // The second request stands in the script's answer: it must be open before that is read.
        assert_eq!(get(&mut link, "/70000"), t);
        link.until(|l| l.log.of(t).ended);
        let story = link.log.of(s);
        assert_eq!((story.status, &story.informational[..], story.bytes()), (200, &[103][..], b"hello".to_vec()));
        assert_eq!(story.trailers, [("sum".to_owned(), "5".to_owned())]);
        assert_eq!(link.log.of(t).bytes(), pattern(70_000));
        if seed > 1 {
            link.until(|l| l.over.is_some());
            assert!(matches!(link.over, Some(Over::Closed)), "{:?}", link.over);
        }
        assert!(net.mismatches().is_empty(), "{:?}", net.mismatches());
    }
}

#[test]
fn the_peers_end_fails_what_is_open_and_no_more() {
    let (first, answer) = recorded();
    for cut in [0, 9, 60, answer.len() - 1] {
        let net = MockNet::new();
        let at = Address::Inet("192.0.2.1:80".parse().unwrap());
        let script = Script::new().expect(first.clone());
        net.listen(at.clone()).always(script.send(answer[..cut].to_vec()).fin());
        let mut link = Link::dial(net.backend(), &at, H2::new());
        let (s, t) = (get(&mut link, "/early"), get(&mut link, "/70000"));
        link.until(|l| l.over.is_some());
        assert!(link.log.of(s).over() && link.log.of(t).failed.is_some(), "{cut}: {:?}", link.log);
        assert!(!link.proto.reusable());
        assert_eq!(link.proto.capacity(), 0);
    }
}
