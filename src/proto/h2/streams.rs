//! The streams of a connection: what is known of each, the places they stand in, and how they are found by their ids.

use super::head::Asked;
use super::held::Held;
use crate::proto::{Fault, Field};
use std::collections::VecDeque;

/// How a stream ends, once what is held of it was passed on.
#[derive(Debug)]
pub enum Ending {
    /// The peer has ended it, perhaps with trailers.
    Whole(Option<Box<Trailers>>),
    Failed(Fault),
}

#[derive(Debug)]
pub struct Trailers {
    pub bytes: Vec<u8>,
    pub table: Vec<Field>,
}

#[derive(Debug)]
pub struct Stream {
    pub id: u32,
    pub asked: Asked,
    // --- the request
    /// Bytes that we may send; less than nothing after the peer has made the window smaller (RFC 9113 section 6.9.2).
    pub send_window: i64,
    /// How many of them the connection's window has been charged for already.
    pub granted: u32,
    /// There is more of the body, and no room for it.
    pub wants_room: bool,
    /// It stands in the queue of those who want room.
    pub queues: bool,
    /// Our side is closed.
    pub sent: bool,
    // --- the answer
    /// Bytes that the peer may still send.
    pub recv_window: i64,
    pub informational: u32,
    /// The final head was passed on.
    pub answered: bool,
    pub tunnel: bool,
    /// Bytes of the body that have to come yet, where that is known.
    pub left: Option<u64>,
    /// Nothing more of it counts: the peer has closed its side, or one of us has reset the stream.
    pub heard: bool,
    pub held: Option<Box<Held>>,
    pub ending: Option<Ending>,
    /// The peer's side of a tunnel is closed, and the sink knows.
    pub half_closed: bool,
    /// Its window is to be looked at, at the end of the turn.
    pub updates: bool,
}

impl Stream {
    pub fn new(id: u32, asked: Asked, sent: bool, send_window: u32, recv_window: u32) -> Stream {
        Stream {
            id,
            asked,
            send_window: send_window.into(),
            granted: 0,
            wants_room: false,
            queues: false,
            sent,
            recv_window: recv_window.into(),
            informational: 0,
            answered: false,
            tunnel: false,
            left: None,
            heard: false,
            held: None,
            ending: None,
            half_closed: false,
            updates: false,
        }
    }

    /// Bytes that wait for credit.
    pub fn held(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.len())
    }

    /// Whether all of it has come that will, so that no connection is needed any more.
    pub fn needs_only_credit(&self) -> bool {
        self.ending.is_some() && (!self.tunnel || self.sent)
    }

    /// Bytes that the peer could be allowed beyond what it is, under a window of this size.
    pub fn releasable(&self, window: u32) -> i64 {
        i64::from(window) - self.held() as i64 - self.recv_window
    }

    /// How many bytes of the window nobody was granted yet.
    pub fn ungranted(&self) -> u32 {
        u32::try_from(self.send_window - i64::from(self.granted)).unwrap_or(0)
    }
}

#[derive(Debug, Default)]
pub struct Streams {
    places: Vec<Option<Stream>>,
    free: Vec<u32>,
    /// Ids with their places. Ids are given in order, so that they are sorted.
    ids: VecDeque<(u32, u32)>,
    /// Places in use.
    open: u32,
}

impl Streams {
    pub fn open(&self) -> u32 {
        self.open
    }

    /// Streams that the peer knows of.
    pub fn known(&self) -> u32 {
        self.ids.len() as u32
    }

    /// A place for a stream.
    pub fn place(&mut self) -> u32 {
        self.open += 1;
        self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() as u32 - 1
        })
    }

    /// Nobody has the place any more.
    pub fn free(&mut self, key: u32) {
        self.free.push(key);
        self.open -= 1;
    }

    /// A stream takes its place.
    pub fn insert(&mut self, key: u32, stream: Stream) {
        debug_assert!(self.ids.back().is_none_or(|&(id, _)| id < stream.id), "ids increase");
        self.ids.push_back((stream.id, key));
        self.places[key as usize] = Some(stream);
    }

    pub fn get(&self, key: u32) -> Option<&Stream> {
        self.places.get(key as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, key: u32) -> Option<&mut Stream> {
        self.places.get_mut(key as usize)?.as_mut()
    }

    pub fn find(&self, id: u32) -> Option<u32> {
        let at = self.ids.binary_search_by_key(&id, |&(id, _)| id).ok()?;
        Some(self.ids[at].1)
    }

    /// The stream that is open, if there is but one.
    pub fn only(&self) -> Option<&Stream> {
        match (self.open, self.ids.front()) {
            (1, Some(&(_, key))) => self.get(key),
            _ => None,
        }
    }

    /// The peer's frames do not reach it any more.
    pub fn unlink(&mut self, id: u32) {
        if let Ok(at) = self.ids.binary_search_by_key(&id, |&(id, _)| id) {
            self.ids.remove(at);
        }
    }

    pub fn remove(&mut self, key: u32) -> Option<Stream> {
        let stream = self.places.get_mut(key as usize)?.take()?;
        self.unlink(stream.id);
        self.free(key);
        Some(stream)
    }

    /// Places that there are, in use or not.
    pub fn places(&self) -> u32 {
        self.places.len() as u32
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Stream)> {
        self.places.iter_mut().enumerate().filter_map(|(key, place)| Some((key as u32, place.as_mut()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_and_ids_are_found() {
        let mut streams = Streams::default();
        let mut keys = Vec::new();
        for id in [1, 3, 5] {
            let key = streams.place();
            streams.insert(key, Stream::new(id, Asked::Plain, true, 1, 1));
            keys.push(key);
        }
        assert_eq!((&keys[..], streams.open(), streams.known()), (&[0, 1, 2][..], 3, 3));
        assert_eq!(streams.remove(1).map(|stream| stream.id), Some(3));
        assert_eq!(
            (streams.find(1), streams.find(3), streams.find(5), streams.find(4)),
            (Some(0), None, Some(2), None)
        );
        assert!(streams.remove(1).is_none() && streams.remove(9).is_none());
        let key = streams.place();
        streams.insert(key, Stream::new(7, Asked::Head, true, 1, 1));
        assert_eq!((key, streams.find(7), streams.open()), (1, Some(1), 3));
        streams.unlink(5);
        assert_eq!((streams.find(5), streams.known(), streams.get(2).map(|stream| stream.id)), (None, 2, Some(5)));
        let ids: Vec<u32> = streams.iter_mut().map(|(_, stream)| stream.id).collect();
        assert_eq!(ids, [1, 7, 5]);
    }

    #[test]
    fn windows_below_zero_grant_nothing() {
        let mut stream = Stream::new(1, Asked::Plain, false, 100, 1_000);
        stream.granted = 40;
        assert_eq!(stream.ungranted(), 60);
        stream.send_window = -10;
        assert_eq!(stream.ungranted(), 0);
        stream.recv_window = 300;
        assert_eq!(stream.releasable(1_000), 700);
        stream.held.get_or_insert_default().copy(&[0; 250]);
        assert_eq!(stream.releasable(1_000), 450);
    }
}
