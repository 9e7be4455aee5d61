//! Names that are being resolved, and names that are known: one lookup for all dials that want the same one.
//!
//! The two families of a name are asked for at the same time and answered apart. A name that has an address is kept for
//! `dns_cache_ns`, together with the news that it has none of the other family: else every dial would wait for that again.
//! A name that has no address at all is not kept. Whoever asks for it next wants to know whether it has one now, and a
//! crowd of them still makes one lookup at a time.

use crate::client::engine::Mail;
use crate::mem::Key;
use crate::net::mailbox::Mailbox;
use crate::net::resolver::{Answer, JobId, Resolver};
use crate::proto::Tick;
use crate::proto::eyeballs::Family;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Names kept in the cache; beyond it, those that are out of date go.
const NAMES_MAX: usize = 1024;

enum Name {
    /// These dials wait for what is not there yet.
    Asked {
        dials: Vec<Key>,
        jobs: Vec<JobId>,
        v6: Option<Answer>,
        v4: Option<Answer>,
    },
    Known {
        until: Tick,
        v6: Vec<IpAddr>,
        v4: Vec<IpAddr>,
    },
}

impl Name {
    fn is_of_use(&self, now: Tick) -> bool {
        match self {
            Name::Asked { .. } => true,
            Name::Known { until, .. } => *until > now,
        }
    }
}

/// What is known of a name at once; the rest comes by mail.
#[derive(Default)]
pub struct Found {
    pub v6: Option<Answer>,
    pub v4: Option<Answer>,
}

pub struct Names {
    names: HashMap<Box<str>, Name>,
    /// `None` once the engine has ended: a late answer finds nobody.
    resolver: Option<Resolver>,
    mail: Arc<Mailbox<Mail>>,
    cache_ns: u64,
}

impl Names {
    pub fn new(mail: Arc<Mailbox<Mail>>, resolver: Resolver, cache_ns: u64) -> Names {
        Names { names: HashMap::new(), resolver: Some(resolver), mail, cache_ns }
    }

    /// No answer will come any more, and no descriptor will be written to for one.
    pub fn close(&mut self) {
        self.resolver = None;
    }

    /// Ask for a name.
    pub fn lookup(&mut self, host: &str, dial: Key, now: Tick) -> Found {
        match self.names.get_mut(host) {
            Some(Name::Known { until, v6, v4 }) if *until > now => {
                return Found { v6: Some(Ok(v6.clone())), v4: Some(Ok(v4.clone())) };
            }
            Some(Name::Asked { dials, v6, v4, .. }) => {
                dials.push(dial);
                return Found { v6: v6.clone(), v4: v4.clone() };
            }
            _ => {}
        }
        if self.names.len() >= NAMES_MAX {
            self.names.retain(|_, name| name.is_of_use(now));
        }
        let ask = |family| {
            let (mail, name) = (self.mail.clone(), Box::<str>::from(host));
            let done = Box::new(move |answer| mail.post(Mail::Resolved(name, family, answer)));
            self.resolver.as_ref()?.resolve(host, family, done)
        };
        let jobs = [Family::V6, Family::V4].into_iter().filter_map(ask).collect();
        self.names.insert(host.into(), Name::Asked { dials: vec![dial], jobs, v6: None, v4: None });
        Found::default()
    }

    /// A dial that still waited for a name is over. If it was the last, and no worker has begun, the question is taken back:
    /// a queue of questions that nobody asks any more would hold up the others. Else it goes on, for the cache.
    pub fn forget(&mut self, host: &str, dial: Key) {
        let Some(Name::Asked { dials, jobs, .. }) = self.names.get_mut(host) else { return };
        dials.retain(|&waits| waits != dial);
        let is_last = dials.is_empty() && jobs.len() == 2;
        if is_last && self.resolver.as_ref().is_some_and(|resolver| resolver.cancel(jobs)) {
            self.names.remove(host);
        }
    }

    /// Every dial that waits for a name.
    pub fn waiting(&self) -> impl Iterator<Item = Key> {
        self.names
            .values()
            .flat_map(|name| match name {
                Name::Asked { dials, .. } => dials.as_slice(),
                Name::Known { .. } => &[],
            })
            .copied()
    }

    /// One family's answer for a name; returns the dials that waited for it.
    pub fn answered(&mut self, host: &str, family: Family, answer: &Answer, now: Tick) -> Vec<Key> {
        let room = self.names.len() < NAMES_MAX * 2;
        let Some(name) = self.names.get_mut(host) else { return Vec::new() };
        let Name::Asked { dials, v6, v4, .. } = name else { return Vec::new() };
        match family {
            Family::V6 => *v6 = Some(answer.clone()),
            Family::V4 => *v4 = Some(answer.clone()),
        }
        let (Some(six), Some(four)) = (v6.as_ref(), v4.as_ref()) else { return dials.clone() };
        let waiting = std::mem::take(dials);
        if self.cache_ns > 0 && room && (six.is_ok() || four.is_ok()) {
            let known = |answer: &Answer| answer.clone().unwrap_or_default();
            let (v6, v4) = (known(six), known(four));
            *name = Name::Known { until: now.after(self.cache_ns), v6, v4 };
        } else {
            self.names.remove(host);
        }
        waiting
    }
}
