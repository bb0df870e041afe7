//! What the status page is told as it happens: server-sent events (WHATWG HTML, 9.2), made once for all who watch.
//!
//! A page gets the whole state each time, so that it can miss any of it. However many watch and whatever happens, it is
//! made at most five times a second.

use std::sync::Arc;

use hyper::body::Bytes;
use serde::Serialize;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};

use crate::agent::changes::{Change, Gathered};
use crate::agent::history::{ENTRIES, Follower, Line};
use crate::agent::report::{Report, SCHEMA};
use crate::agent::service::Service;
use crate::agent::stamp::Stamp;
use crate::time::Duration;

/// The least time between two states.
const PAUSE: Duration = Duration::from_millis(200);
/// How often there is one if nothing happens: ages, latencies and counters go on.
const PULSE: Duration = Duration::from_secs(1);
/// How far back the changes go.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How many of them a page gets, the newest.
const CHANGES: usize = 200;

/// What one event carries.
#[derive(Serialize)]
struct State<'a> {
    schema: u32,
    verdict: String,
    report: &'a Report,
    /// Oldest first.
    changes: Vec<&'a Change>,
}

/// What all who watch share.
#[derive(Debug)]
pub struct Live {
    state: Mutex<Known>,
    /// One reads files at a time, also if whoever asked has gone.
    reader: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Known {
    gathered: Option<Gathered>,
    last: Option<Made>,
}

#[derive(Debug)]
struct Made {
    at: Instant,
    /// The newest event that is in it.
    sequence: u64,
    event: Bytes,
}

impl Default for Live {
    fn default() -> Self {
        Self { state: Mutex::default(), reader: Arc::new(Semaphore::new(1)) }
    }
}

/// One page that watches.
#[derive(Debug)]
pub struct Viewer {
    follower: Follower,
    greeted: bool,
}

impl Viewer {
    /// Begins with how things stand.
    pub fn new(service: &Service) -> Self {
        let history = service.history();
        Self { follower: history.follow(history.newest()), greeted: false }
    }

    /// Waits for the next event and answers its bytes.
    pub async fn next(&mut self, service: &Service, live: &Live) -> Bytes {
        if std::mem::replace(&mut self.greeted, true) {
            // Either way it is time: for what happened, or because nothing did.
            if timeout(PULSE, self.follower.next(ENTRIES)).await.is_err() {}
        }
        live.event(service).await
    }
}

impl Live {
    /// The state as an event, of now or of a moment ago if nothing has happened since.
    async fn event(&self, service: &Service) -> Bytes {
        let mut known = self.state.lock().await;
        if let Some(made) = &known.last {
            if made.sequence == service.history().newest() && made.at.elapsed() < PAUSE {
                return made.event.clone();
            }
            sleep_until(made.at + PAUSE).await;
        }
        // Too much has happened while nobody watched.
        if known.gathered.as_ref().is_none_or(|one| service.history().after(one.sequence(), 1).1 > 0) {
            known.gathered = Some(self.before(service).await);
        }
        let Known { gathered: Some(gathered), last } = &mut *known else { return Bytes::new() };
        for entry in service.history().after(gathered.sequence(), ENTRIES).0 {
            gathered.hear(Line::from(&*entry));
        }
        let event = match service.report().await {
            Ok(report) => event(report, gathered),
            Err(why) => format!(": {why}\n\n").into(),
        };
        *last = Some(Made { at: Instant::now(), sequence: gathered.sequence(), event: event.clone() });
        event
    }

    /// What is on disk from before this agent, or from before the oldest event that it remembers.
    async fn before(&self, service: &Service) -> Gathered {
        let oldest = service.history().after(0, 1).0.first().map(|entry| (entry.sequence, entry.time));
        let directory = service.archive.directory().to_owned();
        let place = Arc::clone(&self.reader).acquire_owned().await;
        let read = move || {
            let _place = place;
            Gathered::of(&directory, Stamp::now().minus(DAY), oldest)
        };
        // Without a history on disk there is the one in memory.
        tokio::task::spawn_blocking(read).await.unwrap_or_default()
    }
}

fn event(mut report: Report, gathered: &Gathered) -> Bytes {
    let verdict = report.verdict();
    // What scripts wrote, and where to, is for those who may use the sockets: `vipctl status`.
    report.notifiers.clear();
    for check in &mut report.checks {
        check.output = None;
        check.target.clear();
    }
    let state =
        State { schema: SCHEMA, verdict, report: &report, changes: gathered.newest(CHANGES).collect() };
    match serde_json::to_string(&state) {
        // JSON has no line break of its own, so that one line of data holds it.
        Ok(json) => format!("retry: 1000\nevent: state\ndata: {json}\n\n").into(),
        // Cannot happen: every field has a JSON form and memory does not refuse a write.
        Err(error) => format!(": {error}\n\n").into(),
    }
}
