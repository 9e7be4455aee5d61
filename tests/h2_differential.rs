//! Our client against another engine's server (the `h2` crate's) in memory: requests, sizes, windows and resets by the dice.
//! Each side has to understand the other to the letter.

mod dice;
mod h2_support;

use bytes::Bytes;
use chttpcore::proto::h1::encode::{Spec, encode, trailers};
use chttpcore::proto::h2::{H2, Limits};
use chttpcore::proto::url::Url;
use chttpcore::proto::{BodyLen, Data, Eof, Fault, Fields, Follows, Head, Out, Protocol, Sink, StreamKey, Tick};
use dice::Dice;
use h2::{Reason, RecvStream, SendStream};
use h2_support::pattern;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWriteExt, DuplexStream, ReadBuf};

/// How the server answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    Plain,
    WithLength,
    WithTrailers,
    WithInformational,
    /// It does not wait for the request's body.
    Early,
    Refused,
    ResetAtOnce,
    ResetInTheMiddle,
}

const MANNERS: [Manner; 8] = [
    Manner::Plain,
    Manner::WithLength,
    Manner::WithTrailers,
    Manner::WithInformational,
    Manner::Early,
    Manner::Refused,
    Manner::ResetAtOnce,
    Manner::ResetInTheMiddle,
];

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(bytes.len() as u64, |sum, &b| sum.rotate_left(5) ^ u64::from(b).wrapping_mul(0x9e37_79b9))
}

type List = Vec<(String, String)>;

/// What a stream was told.
#[derive(Default, Debug)]
struct Story {
    informational: Vec<u16>,
    status: u16,
    fields: List,
    body: Vec<u8>,
    trailers: List,
    end: Option<Result<(), Fault>>,
}

struct Stories {
    of: BTreeMap<u32, Story>,
    credit: BTreeMap<u32, u64>,
    denied: Vec<u32>,
    writable: Vec<u32>,
    input: Vec<u8>,
}

impl Stories {
    fn of(&mut self, s: StreamKey) -> &mut Story {
        let story = self.of.get_mut(&s.0).expect("a stream that is open");
        assert_eq!(story.end, None, "something behind the end");
        story
    }
}

fn list(fields: Fields<'_>) -> List {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    fields.iter().map(|(name, value)| (text(name), text(value))).collect()
}

impl Sink for Stories {
    fn informational(&mut self, s: StreamKey, head: &Head<'_>) {
        self.of(s).informational.push(head.status);
    }
    fn head(&mut self, s: StreamKey, head: &Head<'_>, _: Follows) {
        let story = self.of(s);
        assert_eq!(story.status, 0);
        story.status = head.status;
        story.fields = list(head.fields);
    }
    fn credit(&mut self, s: StreamKey) -> u64 {
        let credit = self.credit.get(&s.0).copied().unwrap_or(0);
        if credit == 0 {
            self.denied.push(s.0);
        }
        credit
    }
    fn data(&mut self, s: StreamKey, data: Data) {
        let bytes = match data {
            Data::Input(range) => self.input[range].to_vec(),
            Data::Owned(bytes) => bytes.to_vec(),
        };
        let credit = self.credit.get_mut(&s.0).unwrap();
        *credit = credit.checked_sub(bytes.len() as u64).expect("within the credit");
        self.of(s).body.extend(bytes);
    }
    fn keep(&mut self, input: &[u8]) -> Option<Bytes> {
        Some(Bytes::copy_from_slice(input))
    }
    fn trailers(&mut self, s: StreamKey, fields: Fields<'_>) {
        self.of(s).trailers = list(fields);
    }
    fn end(&mut self, s: StreamKey) {
        self.of(s).end = Some(Ok(()));
    }
    fn failed(&mut self, s: StreamKey, why: Fault) {
        self.of(s).end = Some(Err(why));
    }
    fn writable(&mut self, s: StreamKey) {
        self.writable.push(s.0);
    }
}

async fn send(stream: &mut SendStream<Bytes>, mut data: Bytes, end: bool) -> Result<(), h2::Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room = match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(room) => room?,
            None => return Ok(()),
        };
        stream.send_data(data.split_to(room.min(data.len())), false)?;
    }
    if end { stream.send_data(Bytes::new(), true) } else { Ok(()) }
}

async fn read(body: &mut RecvStream) -> Result<(Vec<u8>, Option<http::HeaderMap>), h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok((all, body.trailers().await?))
}

/// Answer as the path says: `/manner/length`. Everything that was heard is repeated.
async fn answer(
    request: http::Request<RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let (head, mut body) = request.into_parts();
    let mut words = head.uri.path().split('/').skip(1).map(|word| word.parse::<usize>().unwrap());
    let (manner, len) = (MANNERS[words.next().unwrap()], words.next().unwrap());
    match manner {
        Manner::Refused => respond.send_reset(Reason::REFUSED_STREAM),
        Manner::ResetAtOnce => respond.send_reset(Reason::INTERNAL_ERROR),
        _ => {}
    }
    if matches!(manner, Manner::Refused | Manner::ResetAtOnce) {
        return Ok(());
    }
    let mut answer = http::Response::builder().status(200 + (len % 4) as u16 * 100);
    for (name, value) in &head.headers {
        answer = answer.header(format!("x-{name}"), value);
    }
    if manner != Manner::Early {
        let (all, trailers) = read(&mut body).await?;
        answer = answer.header("sum", sum(&all).to_string());
        for (name, value) in trailers.iter().flat_map(|trailers| trailers.iter()) {
            answer = answer.header(format!("t-{name}"), value);
        }
    }
    let informational = http::Response::builder().status(103).header("link", "<a>").body(()).unwrap();
    if manner == Manner::WithInformational {
        respond.send_informational(informational)?;
    }
    if manner == Manner::WithLength {
        answer = answer.header("content-length", len);
    }
    let nothing = len == 0 && manner == Manner::Plain;
    let mut stream = respond.send_response(answer.body(()).unwrap(), nothing)?;
    if nothing {
        return Ok(());
    }
    let data = Bytes::from(pattern(len));
    match manner {
        Manner::WithTrailers => {
            send(&mut stream, data, false).await?;
            let mut trailers = http::HeaderMap::new();
            trailers.insert("sum-of-all", sum(&pattern(len)).to_string().parse().unwrap());
            stream.send_trailers(trailers)
        }
        Manner::ResetInTheMiddle => {
            send(&mut stream, data, false).await?;
            stream.send_reset(Reason::INTERNAL_ERROR);
            Ok(())
        }
        _ => send(&mut stream, data, true).await,
    }
}

struct Asked {
    manner: Manner,
    len: usize,
    fields: List,
    body: Vec<u8>,
    sent: usize,
    trailers: bool,
    ended: bool,
    cancelled: bool,
}

struct Client {
    h2: H2,
    out: Out,
    stories: Stories,
    asked: BTreeMap<u32, Asked>,
    dice: Dice,
}

impl Client {
    fn ask(&mut self) {
        let dice = &mut self.dice;
        let manner = MANNERS[dice.roll(MANNERS.len())];
        let len = dice.pick(&[0, 1, 100, 5_000, 16_384, 70_000, 300_000]);
        let body = match dice.roll(3) {
            0 => pattern(dice.pick(&[1, 255, 256, 20_000, 100_000, 300_000])),
            _ => Vec::new(),
        };
        let trailers = !body.is_empty() && dice.roll(3) == 0;
        let mut fields: List = vec![("cookie".into(), "a=b; c=d".into()), ("authorization".into(), "secret".into())];
        for _ in 0..dice.roll(12) {
            let name = format!("n-{}", dice.roll(9));
            let value = "v".repeat(dice.pick(&[0, 1, 7, 60, 900])) + &dice.roll(5).to_string();
            fields.push((name, value));
        }
        fields.retain(|_| dice.roll(4) > 0);
        let manner_at = MANNERS.iter().position(|m| *m == manner).unwrap();
        let url = format!("http://a.example/{manner_at}/{len}");
        let url = Url::parse(url.as_bytes()).unwrap();
        let mut spec = Spec::new(if body.is_empty() { b"GET" } else { b"POST" }, &url);
        spec.body = match body.len() {
            0 => BodyLen::None,
            _ if trailers => BodyLen::Unknown,
            len => BodyLen::Known(len as u64),
        };
        let head = encode(&spec, fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()))).unwrap();
        let s = self.h2.open(Tick(0), &head.request(), &mut self.out).unwrap();
        let ended = body.is_empty();
        self.asked.insert(s.0, Asked { manner, len, fields, body, sent: 0, trailers, ended, cancelled: false });
        self.stories.of.insert(s.0, Story::default());
        self.stories.credit.insert(s.0, self.dice.pick(&[0, 1_000, 20_000, u64::MAX >> 1]));
    }

    fn feed(&mut self, key: u32) {
        let Some(asked) = self.asked.get_mut(&key).filter(|asked| !asked.ended) else { return };
        let s = StreamKey(key);
        self.h2.want_room(s, true);
        let left = asked.body.len() - asked.sent;
        let n = left.min(self.h2.body_room(s) as usize).min(self.dice.pick(&[1, 1_000, 1 << 20]));
        let chunk = Bytes::copy_from_slice(&asked.body[asked.sent..asked.sent + n]);
        asked.sent += n;
        let whole = n == left;
        if n > 0 || whole {
            self.h2.body(s, chunk, whole && !asked.trailers, &mut self.out).unwrap();
        }
        if whole && asked.trailers {
            let block = trailers([(&b"Sum"[..], &b"of all"[..])]).unwrap();
            self.h2.body_trailers(s, &block, &mut self.out).unwrap();
        }
        asked.ended = whole;
        self.h2.want_room(s, !whole);
    }

    /// Streams that have come to their end are as they should be.
    fn judge(&mut self, seed: u64) -> usize {
        let over: Vec<u32> = self.stories.of.iter().filter(|(_, story)| story.end.is_some()).map(|(k, _)| *k).collect();
        let cancelled: Vec<u32> = self.asked.iter().filter(|(_, asked)| asked.cancelled).map(|(k, _)| *k).collect();
        for key in &cancelled {
            self.asked.remove(key);
            self.stories.of.remove(key);
        }
        for key in &over {
            let (asked, story) = (self.asked.remove(key).unwrap(), self.stories.of.remove(key).unwrap());
            let what = format!("seed {seed}, {:?} of {}", asked.manner, asked.len);
            match asked.manner {
                Manner::Refused => assert_eq!(story.end, Some(Err(Fault::Unprocessed(7))), "{what}"),
                Manner::ResetAtOnce => assert_eq!(story.end, Some(Err(Fault::StreamReset(2))), "{what}"),
                Manner::ResetInTheMiddle => {
                    assert_eq!(story.end, Some(Err(Fault::StreamReset(2))), "{what}");
                    assert!(pattern(asked.len).starts_with(&story.body), "{what}");
                }
                manner => {
                    assert_eq!(story.end, Some(Ok(())), "{what}");
                    assert_eq!(story.status, 200 + (asked.len % 4) as u16 * 100, "{what}");
                    assert!(story.body == pattern(asked.len), "{what}: the body");
                    assert_eq!(story.informational.len(), usize::from(manner == Manner::WithInformational), "{what}");
                    let trailers = vec![("sum-of-all".to_owned(), sum(&pattern(asked.len)).to_string())];
                    assert_eq!(
                        story.trailers,
                        if manner == Manner::WithTrailers { trailers } else { vec![] },
                        "{what}"
                    );
                    same_fields(&asked, &story, &what);
                }
            }
        }
        over.len() + cancelled.len()
    }
}

fn same_fields(asked: &Asked, story: &Story, what: &str) {
    let of = |name: &str| -> Vec<&str> {
        story.fields.iter().filter(|(n, _)| n == name).map(|(_, value)| &value[..]).collect()
    };
    for (name, _) in &asked.fields {
        let sent = asked.fields.iter().filter(|(n, _)| n == name).flat_map(|(_, value)| {
            let crumbs = if name == "cookie" { value.split("; ").collect() } else { vec![&value[..]] };
            crumbs.into_iter()
        });
        assert_eq!(of(&format!("x-{name}")), sent.collect::<Vec<_>>(), "{what}");
    }
    if asked.manner != Manner::Early {
        assert_eq!(of("sum"), [sum(&asked.body).to_string()], "{what}");
        assert_eq!(of("t-sum"), if asked.trailers { vec!["of all"] } else { vec![] }, "{what}");
    }
}

/// What is there to read, at most so much; `None` while there is nothing.
async fn try_read(from: &mut DuplexStream, max: usize) -> Option<Vec<u8>> {
    let mut room = vec![0; max];
    poll_fn(|cx| {
        let mut into = ReadBuf::new(&mut room);
        Poll::Ready(match Pin::new(&mut *from).poll_read(cx, &mut into) {
            Poll::Ready(Ok(())) => Some(into.filled().to_vec()),
            _ => None,
        })
    })
    .await
}

async fn converse(seed: u64) {
    let mut dice = Dice::new(seed);
    let (mut ours, theirs) = tokio::io::duplex(64 << 20);
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(dice.pick(&[1_000, 20_000, 65_535, 1 << 20]))
        .initial_connection_window_size(dice.pick(&[65_535, 1 << 20]))
        .max_frame_size(dice.pick(&[16_384, 100_000]))
        .max_concurrent_streams(dice.pick(&[3, 20, 200]));
    tokio::spawn(async move {
        let mut server = builder.handshake::<_, Bytes>(theirs).await.unwrap();
        while let Some(Ok((request, respond))) = server.accept().await {
            // What was reset or cancelled meanwhile is no failure here.
            tokio::spawn(async move { drop(answer(request, respond).await) });
        }
    });
    let limits = Limits {
        stream_window: dice.pick(&[1_000, 65_535, 4 << 20]),
        stream_window_max: dice.pick(&[0, 8 << 20]),
        connection_window: dice.pick(&[65_535, 16 << 20]),
        ..Limits::default()
    };
    let stories = Stories {
        of: BTreeMap::new(),
        credit: BTreeMap::new(),
        denied: Vec::new(),
        writable: Vec::new(),
        input: Vec::new(),
    };
    let h2 = H2::new(Arc::new(limits), Some(3));
    let mut client = Client { h2, out: Out::new(), stories, asked: BTreeMap::new(), dice };
    let (mut done, mut idle, mut opened) = (0, 0, 0);
    while done < 60 {
        while opened < 60 && client.h2.capacity() > 0 && client.dice.roll(3) > 0 {
            client.ask();
            opened += 1;
        }
        let keys: Vec<u32> = client.asked.keys().copied().collect();
        for key in keys {
            client.feed(key);
            if client.dice.roll(400) == 0 {
                client.h2.cancel(StreamKey(key), &mut client.out);
                client.asked.get_mut(&key).unwrap().cancelled = true;
            }
        }
        for key in std::mem::take(&mut client.stories.denied) {
            let more = client.dice.pick(&[1, 700, 50_000]);
            *client.stories.credit.get_mut(&key).unwrap() += more;
            client.h2.credit(StreamKey(key), &mut client.out);
        }
        for turn in 0.. {
            if !client.h2.unsaid() {
                break;
            }
            assert!(turn < 100, "seed {seed}: it does not come to rest");
            client.h2.recv(Tick(0), &[], &mut client.stories, &mut client.out).unwrap();
        }
        done += client.judge(seed);
        let bytes: Vec<u8> = client.out.segments().flatten().copied().collect();
        client.out.clear();
        ours.write_all(&bytes).await.unwrap();
        tokio::task::yield_now().await;
        let max = client.dice.pick(&[1, 9, 1_000, 65_536, 65_536]);
        match try_read(&mut ours, max).await {
            Some(input) if input.is_empty() => panic!("seed {seed}: the server has left"),
            Some(input) => {
                idle = 0;
                client.stories.input = input.clone();
                let used = client.h2.recv(Tick(0), &input, &mut client.stories, &mut client.out);
                assert_eq!(used, Ok(input.len()), "seed {seed}");
            }
            None => idle += 1,
        }
        done += client.judge(seed);
        assert!(idle < 100_000, "seed {seed}: {done} of {opened} done, {:?}", client.h2);
    }
    assert!(client.h2.reusable());
    client.h2.eof(Tick(0), Eof::Clean, &mut client.stories).unwrap();
}

#[test]
fn whatever_is_asked_is_heard_and_whatever_is_answered_is_told() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for seed in 1..=10 {
        runtime.block_on(converse(seed));
    }
}
