//! The service thread: everything that may wait, on one tokio runtime that nothing urgent depends on.
//!
//! It runs the checks, records and logs what the engine tells, answers the control API, speaks with systemd and listens
//! to signals. The end of the protocol thread is the end of this one.

mod answers;
mod turn;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::SigSet;
use tokio::net::UnixListener;
use tokio::sync::{Notify, mpsc};
use tokio::time::{MissedTickBehavior, interval};
use tracing_appender::non_blocking::ErrorCounter;

use super::api::{Access, over_tcp, router};
use super::archive::Archive;
use super::bequeath::Bequest;
use super::checks::{Checks, Results};
use super::connection::serve;
use super::drains::Drains;
use super::ending::Ending;
use super::gate;
use super::heartbeat::{Heartbeat, Heartbeats};
use super::history::{Entry, History};
use super::listening::Listening;
use super::log::CHANGE;
use super::notifications::Notifications;
use super::post::{Batch, NoticeReader, Post};
use super::priorities;
use super::realtime::Realtime;
use super::record::Record;
use super::reload::{Rejected, Reloader};
use super::runtime_dir::RuntimeDir;
use super::sequences;
use super::signals::{Signals, signals};
use super::stamp::{Clocks, Stamp};
use super::statuses::Statuses;
use super::systemd::Systemd;
use super::upgrade::Program;
use crate::config::Config;
use crate::notify;
use crate::proto::health::Verdict;
use crate::reach::runner::Runner;

/// What the service thread is given.
pub struct Parts {
    /// The host's name.
    pub node: String,
    /// Where the configuration was read from.
    pub path: PathBuf,
    /// What was read.
    pub config: Config,
    /// The way to the protocol thread.
    pub post: Post,
    /// The way from it.
    pub notices: NoticeReader,
    /// Every thread's pulse.
    pub heartbeats: Heartbeats,
    /// The protocol thread's pulse, for its lateness.
    pub protocol: Heartbeat,
    /// What keeps the gate from working.
    pub gate: gate::Trouble,
    /// Why nothing keeps a second agent out, if that is so.
    pub unguarded: Option<String>,
    /// How urgent the threads are.
    pub realtime: Realtime,
    /// What an earlier agent heard last of its checks.
    pub verdicts: BTreeMap<String, Verdict>,
    /// Who runs the scripts of checks, if not this process.
    pub runner: Runner,
    /// The program that runs, if it is known.
    pub program: Option<Program>,
    /// The history on disk.
    pub archive: Archive,
    /// Which instances are drained.
    pub drains: Drains,
    /// Counts the log's dropped lines.
    pub lines_dropped: Option<ErrorCounter>,
}

/// Where notifiers report.
pub type Told = mpsc::Receiver<notify::Report>;

/// What the control API and the thread's own tasks share.
pub struct Service {
    pub(super) node: String,
    started: Stamp,
    pub(super) post: Post,
    pub(super) statuses: Statuses,
    history: Arc<History>,
    checks: Arc<Checks>,
    notifications: Arc<Notifications>,
    pub(super) reloader: Reloader,
    listening: Listening,
    events_lost: AtomicU64,
    protocol: Heartbeat,
    gate: gate::Trouble,
    unguarded: Option<String>,
    realtime: Realtime,
    bequest: Bequest,
    program: Option<Program>,
    pub(super) archive: Archive,
    pub(super) drains: Drains,
    upgrade: Notify,
    lines_dropped: Option<ErrorCounter>,
    systemd: Systemd,
}

/// Runs the service on the calling thread until the protocol thread has ended.
pub fn run(parts: Parts, directory: &mut RuntimeDir) -> io::Result<Ending> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().thread_name("blocking").on_thread_start(|| signals(SigSet::thread_block));
    let runtime = runtime.build()?;
    let ending = runtime.block_on(work(parts, directory));
    // A check may hang in the kernel: nobody waits for it.
    runtime.shutdown_background();
    ending
}

async fn work(parts: Parts, directory: &mut RuntimeDir) -> io::Result<Ending> {
    let mut wishes = Signals::new()?;
    signals(SigSet::thread_unblock);
    let (service, results, told, notices, heartbeats) = Service::new(parts, directory.path());
    let service = Arc::new(service);
    for (listener, access) in
        [(directory.control.take(), Access::Everything), (directory.status.take(), Access::Questions)]
    {
        if let Some(listener) = listener {
            tokio::spawn(serve(UnixListener::from_std(listener)?, router(Arc::clone(&service), access)));
        }
    }
    service.begin(results, told);
    let signing = Arc::clone(&service);
    let is_wanted = move || signing.reloader.in_force().settings.instances.iter().any(|i| i.hmac.is_some());
    let (post, history) = (service.post.clone(), Arc::clone(&service.history));
    tokio::spawn(sequences::keep(directory.path().to_owned(), post, history, is_wanted));
    let ending = service.turn(notices, heartbeats, &mut wishes).await;
    service.checks.stop();
    service.say_farewell(ending, &mut wishes).await;
    service.archive.finish();
    Ok(ending)
}

impl Service {
    /// A service, and what its thread reads in turn.
    pub fn new(parts: Parts, directory: &Path) -> (Self, Results, Told, NoticeReader, Heartbeats) {
        let Parts {
            node,
            path,
            config,
            post,
            notices,
            heartbeats,
            protocol,
            gate,
            unguarded,
            realtime,
            verdicts,
            runner,
            program,
            archive,
            drains,
            lines_dropped,
        } = parts;
        let (checks, results) = Checks::new(post.clone(), verdicts, runner.clone());
        let (notifications, told) = Notifications::new(node.clone(), directory.to_owned(), runner);
        let service = Self {
            node,
            started: Stamp::now(),
            statuses: Statuses::new(post.clone()),
            history: Arc::default(),
            reloader: Reloader::new(path, config, post.clone(), Arc::clone(&checks)),
            listening: Listening::default(),
            events_lost: AtomicU64::new(0),
            checks,
            notifications: Arc::new(notifications),
            bequest: Bequest::new(directory.to_owned(), post.clone()),
            program,
            archive,
            drains,
            upgrade: Notify::new(),
            post,
            protocol,
            gate,
            unguarded,
            realtime,
            lines_dropped,
            systemd: Systemd::default(),
        };
        (service, results, told, notices, heartbeats)
    }

    fn begin(self: &Arc<Self>, results: Results, mut told: Told) {
        let (version, pid) = (env!("CARGO_PKG_VERSION").to_owned(), std::process::id());
        self.record(Stamp::now(), None, Record::Started { version, pid });
        self.reloader.start_checks();
        let config = self.reloader.in_force();
        self.notifications.begin(&config);
        let has_scripts = config.checks.iter().any(|check| check.kind.is_script());
        if (has_scripts || Notifications::has_scripts(&config)) && !self.checks.has_runner() {
            tracing::info!("scripts run as the user of the agent; with --scripts-socket as one of their own");
        }
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        self.listening.want(config.metrics.listen);
        let service = Arc::clone(self);
        tokio::spawn(async move { service.listening.keep(over_tcp(Arc::clone(&service))).await });
        let checks = Arc::clone(&self.checks);
        tokio::spawn(async move { checks.judge(results).await });
        let service = Arc::clone(self);
        tokio::spawn(async move { service.keep_systemd_informed().await });
        let service = Arc::clone(self);
        tokio::spawn(async move { service.look_at_priorities().await });
        let service = Arc::clone(self);
        tokio::spawn(async move { service.end_drains_in_time().await });
        let service = Arc::clone(self);
        tokio::spawn(async move { service.bequest.keep(&service.history).await });
        let notifications = Arc::clone(&self.notifications);
        tokio::spawn(async move { notifications.keep().await });
        let service = Arc::clone(self);
        tokio::spawn(async move {
            while let Some(report) = told.recv().await {
                service.record_report(report);
            }
        });
    }

    fn reload_in_background(self: &Arc<Self>) {
        let service = Arc::clone(self);
        tokio::spawn(async move {
            // A refusal is in the history and thus in the log already, with its first problems; here is each on a line.
            let lines = match service.reload(false).await {
                Ok(lines) | Err(Rejected::Wrong(lines) | Rejected::Dangerous(lines)) => lines,
                Err(Rejected::NotTaken(_)) => Vec::new(),
            };
            for line in lines {
                tracing::warn!("{line}");
            }
        });
    }

    async fn look_at_priorities(&self) {
        let mut turns = interval(priorities::EVERY);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            for (instance, why) in self.reloader.look_at_priorities().await {
                self.record(Stamp::now(), Some(instance), Record::PriorityFile { why });
            }
        }
    }

    async fn keep_systemd_informed(&self) {
        let mut follower = self.history.follow(0);
        let mut ready = false;
        loop {
            match self.report().await {
                Ok(report) => {
                    self.systemd.status(&report.tally());
                    if !ready {
                        self.systemd.ready();
                        // The program before this one may have fed it long ago.
                        self.systemd.feed_watchdog();
                        ready = true;
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot tell how things stand"),
            }
            follower.next(super::history::ENTRIES).await;
        }
    }

    fn take(&self, batch: Batch) {
        let clocks = Clocks::now();
        if batch.lost > 0 {
            self.events_lost.fetch_add(batch.lost, Ordering::Relaxed);
            self.record(clocks.wall(), None, Record::Lost { count: batch.lost });
        }
        for notice in batch.notices {
            let (time, instance) = (clocks.stamp(notice.at), notice.about.clone().map(|(_, name)| name));
            let sequence = self.record(time, instance, notice.what.clone().into());
            for report in self.notifications.hear(&notice, time, sequence) {
                self.record_report(report);
            }
        }
    }

    fn record_report(&self, report: notify::Report) {
        let instance = report.about.as_ref().and_then(|about| about.instance()).map(ToOwned::to_owned);
        self.record(Stamp::now(), instance, report.into());
    }

    pub(super) fn record(&self, time: Stamp, instance: Option<String>, record: Record) -> u64 {
        let entry = self.history.add(time, instance, record);
        self.archive.keep(&entry);
        self.statuses.changed();
        say(&entry);
        entry.sequence
    }
}

/// An event as a log line.
fn say(entry: &Entry) {
    let (record, instance) = (&entry.record, entry.instance.as_deref());
    match record.level() {
        tracing::Level::WARN if record.is_change() => {
            tracing::warn!(target: CHANGE, instance, "{record}");
        }
        tracing::Level::INFO if record.is_change() => {
            tracing::info!(target: CHANGE, instance, "{record}");
        }
        tracing::Level::ERROR => tracing::error!(instance, "{record}"),
        tracing::Level::WARN => tracing::warn!(instance, "{record}"),
        _ => tracing::info!(instance, "{record}"),
    }
}
