//! What happened, in order, as far back as a bounded ring remembers; and a way to follow it.
//!
//! A follower owns no queue: it keeps its place in the ring and reads on. One that is slower than the ring is
//! long is told how many events it missed, and costs nobody anything.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::record::Record;
use super::stamp::Stamp;

/// How many entries are remembered.
pub const ENTRIES: usize = 4096;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its number, from 1, without gaps.
    pub sequence: u64,
    /// When it happened.
    pub time: Stamp,
    /// The instance it concerns; none for the agent as a whole.
    pub instance: Option<String>,
    /// What it was.
    pub record: Record,
}

/// An entry as the control API sends it, one a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The entry's number.
    pub sequence: u64,
    /// When it happened.
    pub time: Stamp,
    /// The instance it concerns.
    pub instance: Option<String>,
    /// What it was: `kind` and that kind's fields.
    #[serde(flatten)]
    pub record: Record,
    /// The same as a sentence.
    pub text: String,
}

impl From<&Entry> for Line {
    fn from(entry: &Entry) -> Self {
        Self {
            sequence: entry.sequence,
            time: entry.time,
            instance: entry.instance.clone(),
            record: entry.record.clone(),
            text: entry.record.to_string(),
        }
    }
}

/// The ring.
#[derive(Debug)]
pub struct History {
    entries: Mutex<VecDeque<Arc<Entry>>>,
    newest: watch::Sender<u64>,
}

impl Default for History {
    fn default() -> Self {
        Self { entries: Mutex::default(), newest: watch::Sender::new(0) }
    }
}

impl History {
    /// Remembers what happened and wakes whoever follows.
    pub fn add(&self, time: Stamp, instance: Option<String>, record: Record) -> Arc<Entry> {
        let mut entries = self.locked();
        let sequence = *self.newest.borrow() + 1;
        let entry = Arc::new(Entry { sequence, time, instance, record });
        if entries.len() >= ENTRIES {
            entries.pop_front();
        }
        entries.push_back(Arc::clone(&entry));
        self.newest.send_replace(sequence);
        entry
    }

    /// The number of the newest entry; 0 before the first.
    pub fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    /// Up to `limit` entries after number `since`, oldest first, and how many before them are forgotten.
    pub fn after(&self, since: u64, limit: usize) -> (Vec<Arc<Entry>>, u64) {
        let entries = self.locked();
        let Some(oldest) = entries.front().map(|entry| entry.sequence) else { return (Vec::new(), 0) };
        let skip = usize::try_from((since.saturating_add(1)).saturating_sub(oldest)).unwrap_or(usize::MAX);
        let found = entries.iter().skip(skip).take(limit).cloned().collect();
        (found, oldest.saturating_sub(since.saturating_add(1)))
    }

    /// Reads on from after number `since`.
    pub fn follow(self: &Arc<Self>, since: u64) -> Follower {
        Follower { history: Arc::clone(self), newest: self.newest.subscribe(), since }
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the ring.
#[derive(Debug)]
pub struct Follower {
    history: Arc<History>,
    newest: watch::Receiver<u64>,
    since: u64,
}

impl Follower {
    /// What it follows.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Waits for entries: up to `limit` of them, and how many before them were missed.
    pub async fn next(&mut self, limit: usize) -> (Vec<Arc<Entry>>, u64) {
        let since = self.since;
        // Cannot fail: this follower keeps the history, and with it the sender, alive.
        if self.newest.wait_for(|newest| *newest > since).await.is_err() {
            std::future::pending::<()>().await;
        }
        let (entries, missed) = self.history.after(self.since, limit);
        if let Some(last) = entries.last() {
            self.since = last.sequence;
        }
        (entries, missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(entries: usize) -> Arc<History> {
        let history = Arc::new(History::default());
        for _ in 0..entries {
            history.add("2026-11-21T10:25:00Z".parse().unwrap(), None, Record::Stopping);
        }
        history
    }

    fn numbers(entries: &[Arc<Entry>]) -> Vec<u64> {
        entries.iter().map(|entry| entry.sequence).collect()
    }

    #[test]
    fn entries_are_numbered_without_gaps_and_read_on_from_any_number() {
        let history = history(5);
        let (entries, forgotten) = history.after(2, 2);
        assert_eq!((numbers(&entries), forgotten), (vec![3, 4], 0));
        assert_eq!(history.after(5, 10).0.len(), 0);
        assert_eq!(history.after(u64::MAX, 10).0.len(), 0);
    }

    #[test]
    fn the_ring_forgets_the_oldest_and_says_how_many() {
        let history = history(ENTRIES + 10);
        let (entries, forgotten) = history.after(3, ENTRIES);
        assert_eq!((entries.len(), entries[0].sequence, forgotten), (ENTRIES, 11, 7));
    }

    #[tokio::test]
    async fn a_follower_gets_what_comes_and_learns_what_it_missed() {
        let history = history(1);
        let mut follower = history.follow(1);
        history.add(Stamp::now(), Some("web".into()), Record::NobodyTookOver);
        assert_eq!(numbers(&follower.next(10).await.0), [2]);
        for _ in 0..ENTRIES + 4 {
            history.add(Stamp::now(), None, Record::SendRecovered);
        }
        let (entries, missed) = follower.next(1).await;
        assert_eq!((numbers(&entries), missed), (vec![7], 4));
    }

    #[test]
    fn a_line_survives_json_and_carries_its_sentence() {
        let history = history(0);
        let record = Record::Check { check: "nginx".into(), up: false, why: "connection refused".into() };
        let entry = history.add("2026-11-21T10:25:00Z".parse().unwrap(), None, record);
        let json = serde_json::to_string(&Line::from(&*entry)).unwrap();
        assert_eq!(
            json,
            r#"{"sequence":1,"time":"2026-11-21T10:25:00.000Z","instance":null,"kind":"check","check":"nginx","#
                .to_owned()
                + r#""up":false,"why":"connection refused","text":"check nginx is down: connection refused"}"#
        );
        assert_eq!(serde_json::from_str::<Line>(&json).unwrap(), Line::from(&*entry));
    }
}
