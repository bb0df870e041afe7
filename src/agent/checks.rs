//! The checks of this configuration, running: results in, verdicts posted when they change, details kept for status.
//!
//! What a probe does is floor 4's, what a row of results means is the health machine's; here the two meet the clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::post::{Post, Refused, Request};
use super::report;
use super::stamp::Clocks;
use crate::check::{self, Context, Handle, Settings};
use crate::engine::settings::{self, CheckSource};
use crate::proto::health::{Health, Settings as Rules, Verdict};
use crate::reach::runner::Runner;
use crate::sys::clock;
use crate::time::{Duration, Instant};

/// How many results may wait to be judged; a check that finds no room waits.
const RESULTS: usize = 64;

/// How long to sleep at most: boot time may run on while the runtime's own clock stands still.
const NAP: Duration = Duration::from_secs(1);

/// Every check and its results so far.
pub struct Checks {
    context: Context,
    post: Post,
    results: check::Reports,
    table: Mutex<Table>,
    /// What an earlier agent heard last of checks that have not been started yet.
    inherited: Mutex<BTreeMap<String, Verdict>>,
}

#[derive(Default)]
struct Table {
    /// Every check in the configuration's order, with the interface if it is the engine's to answer.
    order: Vec<(String, Option<String>)>,
    running: BTreeMap<String, Running>,
}

struct Running {
    settings: Arc<Settings>,
    health: Health,
    /// When the verdict was given.
    since: Option<Instant>,
    last: Option<check::Report>,
    last_error: Option<String>,
    runs: report::Runs,
    /// The value that the engine has been told.
    told: Option<i32>,
    /// Ends the check when dropped.
    task: Handle,
}

/// Where results arrive.
pub type Results = mpsc::Receiver<(Arc<Settings>, check::Report)>;

impl Checks {
    /// No checks yet; verdicts will go to `post`, scripts to the runner if there is one. The verdicts of an earlier agent,
    /// which the engine knows, count until there are new ones.
    pub fn new(post: Post, inherited: BTreeMap<String, Verdict>, runner: Runner) -> (Arc<Self>, Results) {
        let (results, arriving) = mpsc::channel(RESULTS);
        let context = Context::new(clock::now, runner);
        (
            Arc::new(Self {
                context,
                post,
                results,
                table: Mutex::default(),
                inherited: Mutex::new(inherited),
            }),
            arriving,
        )
    }

    /// Whether scripts are left to somebody else.
    pub const fn has_runner(&self) -> bool {
        self.context.has_runner()
    }

    /// Runs exactly these checks from now on; one that is configured as before goes on undisturbed, and one that is
    /// configured differently keeps its verdict until its results say otherwise.
    ///
    /// Must be called on the service thread's runtime, after the engine has been told of the same checks.
    pub fn apply(&self, probes: &[Settings], all: &[settings::Check]) {
        let now = clock::now();
        let mut table = self.locked();
        let mut old = std::mem::take(&mut table.running);
        for settings in probes {
            let running = match old.remove(&settings.name) {
                Some(running) if *running.settings == *settings => running,
                Some(running) => self.reconfigured(running, settings, now),
                None => self.started(settings, now),
            };
            table.running.insert(settings.name.clone(), running);
        }
        table.order = all
            .iter()
            .map(|check| match &check.source {
                CheckSource::Probe | CheckSource::Value => (check.name.clone(), None),
                CheckSource::Interface(interface) => (check.name.clone(), Some(interface.clone())),
            })
            .collect();
    }

    fn started(&self, settings: &Settings, now: Instant) -> Running {
        let settings = Arc::new(settings.clone());
        let inherited = self.inherited.lock().unwrap_or_else(PoisonError::into_inner).remove(&settings.name);
        let configured = settings.health();
        let mut health = Health::new(Rules { initial: inherited.or(configured.initial), ..configured }, now);
        health.reconfigure(now, configured);
        if let (Some(verdict), None) = (health.verdict(), inherited) {
            self.tell(&settings.name, verdict, "configured so until the first verdict".to_owned());
        }
        let since = health.verdict().map(|_| now);
        let task = check::spawn(&self.context, Arc::clone(&settings), self.results.clone());
        let runs = report::Runs::default();
        Running { settings, health, since, last: None, last_error: None, runs, told: None, task }
    }

    fn reconfigured(&self, mut running: Running, settings: &Settings, now: Instant) -> Running {
        let goes_on = running.settings.runs_like(settings);
        let settings = Arc::new(settings.clone());
        running.health.reconfigure(now, settings.health());
        if !goes_on {
            running.task = check::spawn(&self.context, Arc::clone(&settings), self.results.clone());
            running.told = None;
        }
        running.settings = settings;
        running
    }

    /// Judges results as they arrive, and their absence; never ends.
    pub async fn judge(&self, mut results: Results) {
        loop {
            let nap = self.locked().nap(clock::now());
            match tokio::time::timeout(nap, results.recv()).await {
                Ok(Some((settings, report))) => self.take(&settings, report),
                // Cannot happen: `self` holds a sender.
                Ok(None) => return,
                // Nothing waits: only now may silence be judged.
                Err(_) => self.notice_silence(),
            }
        }
    }

    fn take(&self, settings: &Settings, report: check::Report) {
        let (verdict, value) = {
            let mut table = self.locked();
            let Some(running) = table.running.get_mut(&settings.name) else { return };
            if !running.settings.runs_like(settings) {
                return; // made under settings that a reload has replaced
            }
            let verdict = running.health.handle(report.at, report.result());
            running.since = verdict.map_or(running.since, |_| Some(report.at));
            running.count(&report);
            tracing::debug!(check = settings.name, outcome = ?report.outcome, latency = ?report.latency, "result");
            let said = verdict.map(|verdict| (verdict, words(&report).to_owned()));
            let value = report.value.filter(|value| running.told != Some(*value));
            running.told = value.or(running.told);
            running.last = Some(report);
            (said, value)
        };
        if let Some(value) = value {
            self.send(Request::Value { check: settings.name.clone(), value });
        }
        if let Some((verdict, why)) = verdict {
            self.tell(&settings.name, verdict, why);
        }
    }

    fn notice_silence(&self) {
        let now = clock::now();
        let mut silent = Vec::new();
        for (name, running) in &mut self.locked().running {
            if let Some(verdict) = running.health.tick(now) {
                running.since = Some(now);
                silent.push((name.clone(), verdict));
            }
        }
        for (name, verdict) in silent {
            self.tell(&name, verdict, "it gives no results any more".to_owned());
        }
    }

    fn tell(&self, check: &str, verdict: Verdict, why: String) {
        self.send(Request::Verdict { check: check.to_owned(), verdict, why });
    }

    fn send(&self, request: Request) {
        match self.post.send(request) {
            // What a check says is never refused for want of room, and after the end it matters to nobody.
            Ok(()) | Err(Refused::Ended | Refused::Full) => {}
        }
    }

    /// Ends every check.
    pub fn stop(&self) {
        let running = std::mem::take(&mut self.locked().running);
        drop(running);
    }

    /// Every check as the report shows it.
    pub fn view(&self, clocks: Clocks) -> Vec<report::Check> {
        let table = self.locked();
        table
            .order
            .iter()
            .map(|(name, interface)| match (table.running.get(name), interface) {
                (Some(running), _) => running.view(clocks),
                (None, interface) => unprobed(name, interface.as_deref()),
            })
            .collect()
    }

    fn locked(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn nap(&self, now: Instant) -> Duration {
        let next = self.running.values().filter_map(|running| running.health.deadline()).min();
        next.map_or(NAP, |deadline| deadline.since(now).min(NAP))
    }
}

impl Running {
    fn count(&mut self, report: &check::Report) {
        self.runs.total_ms += report::millis(report.latency);
        match &report.outcome {
            Ok(_) => self.runs.ok += 1,
            Err(error) => {
                self.runs.failed += 1;
                self.last_error = Some(error.clone());
            }
        }
    }

    fn view(&self, clocks: Clocks) -> report::Check {
        let last = self.last.as_ref();
        let kind = self.settings.kind.as_str();
        let whole = self.settings.kind.to_string();
        let target = whole.strip_prefix(kind).map_or(whole.as_str(), str::trim_start).to_owned();
        report::Check {
            name: self.settings.name.clone(),
            kind: kind.to_owned(),
            target,
            up: self.health.verdict().map(|verdict| verdict == Verdict::Up),
            since: self.since.map(|since| clocks.stamp(since)),
            last_run: last.map(|last| clocks.stamp(last.at)),
            last_ok: last.map(|last| last.outcome.is_ok()),
            last_result: last.map(|last| words(last).to_owned()),
            last_error: self.last_error.clone(),
            value: self.told,
            pending: None,
            runs: self.runs,
            latency_ms: last.map(|last| report::millis(last.latency)),
            output: last.map(|last| last.output.clone()).filter(|output| !output.is_empty()),
        }
    }
}

/// A check that the engine answers: the report completes it from the instances that track it.
fn unprobed(name: &str, interface: Option<&str>) -> report::Check {
    report::Check {
        name: name.to_owned(),
        kind: "interface".to_owned(),
        target: interface.unwrap_or_default().to_owned(),
        up: None,
        since: None,
        value: None,
        pending: None,
        last_run: None,
        last_ok: None,
        last_result: None,
        last_error: None,
        latency_ms: None,
        runs: report::Runs::default(),
        output: None,
    }
}

fn words(report: &check::Report) -> &str {
    match &report.outcome {
        Ok(saw) | Err(saw) => saw,
    }
}
