//! A sink that keeps what each stream was told, bodies as the slices that an application would hold.

use chttpcore::mem::{Block, Slice};
use chttpcore::proto::{Data, Fault, Fields, Follows, Head, Sink, StreamKey};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub struct Story {
    pub informational: Vec<u16>,
    pub status: u16,
    pub follows: Option<Follows>,
    pub fields: Vec<(String, String)>,
    pub trailers: Vec<(String, String)>,
    pub body: Vec<Slice>,
    pub ended: bool,
    pub failed: Option<Fault>,
    pub writable: u32,
    /// Taken and not given back by `grant`.
    unreleased: u64,
}

impl Story {
    pub fn bytes(&self) -> Vec<u8> {
        self.body.iter().flat_map(Slice::bytes).copied().collect()
    }

    pub fn over(&self) -> bool {
        self.ended || self.failed.is_some()
    }
}

#[derive(Debug)]
pub struct Log {
    pub streams: BTreeMap<u32, Story>,
    credit: BTreeMap<u32, u64>,
    /// What a stream may be told that nothing was said about.
    pub credit_at_first: u64,
    lent: Option<(Block, usize)>,
    /// A protocol with one stream at a time is not read while that stream has no credit.
    pub one_at_a_time: bool,
}

impl Default for Log {
    fn default() -> Log {
        Log {
            streams: BTreeMap::new(),
            credit: BTreeMap::new(),
            credit_at_first: u64::MAX,
            lent: None,
            one_at_a_time: false,
        }
    }
}

impl Log {
    /// The story of a stream, empty if nothing was told.
    pub fn of(&self, s: StreamKey) -> &Story {
        static NOTHING: Story = Story {
            informational: Vec::new(),
            status: 0,
            follows: None,
            fields: Vec::new(),
            trailers: Vec::new(),
            body: Vec::new(),
            ended: false,
            failed: None,
            writable: 0,
            unreleased: 0,
        };
        self.streams.get(&s.0).unwrap_or(&NOTHING)
    }

    fn story(&mut self, s: StreamKey) -> &mut Story {
        let story = self.streams.entry(s.0).or_default();
        assert!(!story.over(), "told after the end");
        story
    }

    /// Allow `more`. Returns how much was taken since the last time.
    pub fn grant(&mut self, s: StreamKey, more: u64) -> u64 {
        let first = self.credit_at_first;
        let credit = self.credit.entry(s.0).or_insert(first);
        *credit = credit.saturating_add(more);
        self.streams.get_mut(&s.0).map_or(0, |story| std::mem::take(&mut story.unreleased))
    }

    /// From now on this much and no more, until the next `grant`.
    pub fn limit(&mut self, s: StreamKey, credit: u64) {
        self.credit.insert(s.0, credit);
    }

    pub fn lend(&mut self, block: &Block, start: usize) {
        self.lent = Some((block.clone(), start));
    }

    pub fn take_back(&mut self) {
        self.lent = None;
    }

    pub fn paused(&self) -> bool {
        let poor = |s: &u32| self.credit.get(s).unwrap_or(&self.credit_at_first) == &0;
        self.one_at_a_time && self.streams.iter().any(|(s, story)| story.status > 0 && !story.over() && poor(s))
    }
}

fn strings(fields: Fields<'_>) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    fields.iter().map(|(n, v)| (text(n), text(v))).collect()
}

impl Sink for Log {
    fn informational(&mut self, s: StreamKey, head: &Head<'_>) {
        self.story(s).informational.push(head.status);
    }

    fn head(&mut self, s: StreamKey, head: &Head<'_>, follows: Follows) {
        let story = self.story(s);
        assert_eq!(story.status, 0, "one final head");
        story.status = head.status;
        story.follows = Some(follows);
        story.fields = strings(head.fields);
    }

    fn credit(&mut self, s: StreamKey) -> u64 {
        *self.credit.get(&s.0).unwrap_or(&self.credit_at_first)
    }

    fn data(&mut self, s: StreamKey, data: Data) {
        let slice = match data {
            Data::Input(range) => {
                let (block, start) = self.lent.as_ref().expect("a range is of lent input");
                let (from, to) = (start + range.start, start + range.end);
                Slice::Block { block: block.clone(), range: from as u32..to as u32 }
            }
            Data::Owned(bytes) => Slice::Foreign(bytes),
        };
        let len = slice.bytes().len() as u64;
        assert!(len > 0);
        let first = self.credit_at_first;
        let credit = self.credit.entry(s.0).or_insert(first);
        if *credit != u64::MAX {
            *credit = credit.checked_sub(len).expect("data within the credit");
        }
        let story = self.story(s);
        story.unreleased += len;
        story.body.push(slice);
    }

    fn trailers(&mut self, s: StreamKey, fields: Fields<'_>) {
        self.story(s).trailers = strings(fields);
    }

    fn end(&mut self, s: StreamKey) {
        self.story(s).ended = true;
    }

    fn failed(&mut self, s: StreamKey, why: Fault) {
        self.story(s).failed = Some(why);
    }

    fn writable(&mut self, s: StreamKey) {
        self.story(s).writable += 1;
    }
}
