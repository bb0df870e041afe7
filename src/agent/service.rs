//! The service thread: everything that may wait, on one tokio runtime that nothing urgent depends on.
//!
//! It runs the checks, records and logs what the engine tells, answers the control API, speaks with systemd and listens
//! to signals. The end of the protocol thread is the end of this one.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::SigSet;
use tokio::net::UnixListener;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing_appender::non_blocking::ErrorCounter;

use super::api::{Access, over_tcp, router};
use super::archive::Archive;
use super::bequeath::Bequest;
use super::checks::{Checks, Results};
use super::connection::serve;
use super::drains::Drains;
use super::ending::{End, Ending};
use super::explain::{self, Explanation, Outlook};
use super::gate;
use super::heartbeat::{Heartbeat, Heartbeats};
use super::history::{Entry, History};
use super::listening::Listening;
use super::log::CHANGE;
use super::metrics::{self, Family};
use super::notifications::Notifications;
use super::plan::{self, Plan};
use super::post::{Batch, NoticeReader, Post, Refused, Request};
use super::priorities;
use super::realtime::Realtime;
use super::record::{Peer, Record};
use super::reload::{Rejected, Reloader};
use super::report::{Agent, Report, millis};
use super::runtime_dir::RuntimeDir;
use super::sequences;
use super::signals::{Signals, Wish, signals};
use super::stamp::{Clocks, Stamp};
use super::statuses::{Statuses, Unknown};
use super::systemd::Systemd;
use super::upgrade::{self, Program};
use super::view::{self, Surroundings};
use crate::config::Config;
use crate::notify;
use crate::proto::health::Verdict;
use crate::reach::runner::Runner;
use crate::time::Duration;

/// How long a hand-over may take before everything is released without it.
const HAND_OVER: Duration = Duration::from_secs(2);
/// How long that release may take before the process ends without it; the protocol thread itself gives up earlier.
const RELEASE: Duration = Duration::from_secs(5);
/// How long an answer may need to be on its way.
const ANSWER: Duration = Duration::from_millis(20);
/// How late a takeover may be on a host that was never seen to be late.
const SLACK: Duration = Duration::from_millis(10);
/// How often this thread turns at least.
const TURN: Duration = Duration::from_secs(1);

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

    /// The protocol thread has ended: others are told to the end, or what is left for them is written down.
    async fn say_farewell(&self, ending: Ending, signals: &mut Signals) {
        match ending {
            Ending::Asked => tokio::select! {
                () = self.notifications.finish() => {}
                // Whoever asks once more does not want to wait.
                () = signals.end() => {}
            },
            Ending::HandedOn | Ending::Upgrade | Ending::Unasked => self.notifications.save(),
            Ending::Stuck => {}
        }
    }

    /// The loop that never waits for anything but all of its causes at once.
    async fn turn(
        self: &Arc<Self>,
        mut notices: NoticeReader,
        mut heartbeats: Heartbeats,
        signals: &mut Signals,
    ) -> Ending {
        let own = heartbeats.register("service");
        let pace = self.systemd.watchdog_pace();
        let mut turns = interval(pace.map_or(TURN, |pace| pace.min(TURN)));
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut fed = Instant::now();
        let mut end = End::NotYet;
        loop {
            tokio::select! {
                batch = notices.next() => match batch {
                    Some(batch) => self.take(batch),
                    None => return end.ending(),
                },
                wish = signals.next() => match wish {
                    Wish::Reload => self.reload_in_background(),
                    Wish::End => end = self.end_sooner(end).await,
                    Wish::HandOn => end = self.hand_on(end, End::HandingOn).await,
                },
                () = self.upgrade.notified() => end = self.hand_on(end, End::Upgrading).await,
                () = end.due() => match end {
                    End::Forced(_) | End::HandingOn(_) | End::Upgrading(_) => return Ending::Stuck,
                    End::NotYet | End::Asked(_) => end = self.end_sooner(end).await,
                },
                _ = turns.tick() => {
                    own.beat();
                    if pace.is_some_and(|pace| fed.elapsed() >= pace) && self.feed(&mut heartbeats) {
                        fed = Instant::now();
                    }
                }
            }
        }
    }

    fn feed(&self, heartbeats: &mut Heartbeats) -> bool {
        match heartbeats.all_beat() {
            Ok(()) => {
                self.systemd.feed_watchdog();
                true
            }
            Err(still) => {
                let threads = still.iter().map(ToString::to_string).collect();
                self.record(Stamp::now(), None, Record::Stuck { threads });
                false
            }
        }
    }

    async fn end_sooner(&self, end: End) -> End {
        let (request, next) = match end {
            End::NotYet => {
                self.systemd.stopping();
                self.record(Stamp::now(), None, Record::Stopping);
                self.notifications.end();
                // Before anything is handed over: should the end be cut short, nobody shall go on with half of it.
                self.bequest.close().await;
                (Request::Shutdown, End::Asked(Instant::now() + HAND_OVER))
            }
            // Whatever has been left by now stays; but it goes no further.
            End::HandingOn(_) | End::Upgrading(_) => return end,
            End::Asked(_) | End::Forced(_) => (Request::ShutdownNow, End::Forced(Instant::now() + RELEASE)),
        };
        match self.post.send(request) {
            // Already over; its last notices are about to say so.
            Ok(()) | Err(Refused::Ended | Refused::Full) => next,
        }
    }

    /// Ends at once, and leaves everything as it is for another agent to go on with.
    async fn hand_on(&self, end: End, next: fn(Instant) -> End) -> End {
        if end != End::NotYet {
            return end;
        }
        let next = next(Instant::now() + RELEASE);
        // A service that says it is stopping is killed when TimeoutStopSec= is over, whichever program it is by then.
        if matches!(next, End::Upgrading(_)) {
            self.systemd.reloading();
            // Whoever wants an end now means the program that follows.
            signals(SigSet::thread_block);
        } else {
            self.systemd.stopping();
        }
        self.notifications.hand_on().await;
        if let Err(error) = self.bequest.hand_on().await {
            return self.stay(next, upgrade::Refused::NoState(error)).await;
        }
        self.record(Stamp::now(), None, Record::HandedOn);
        match self.post.send(Request::Leave) {
            Ok(()) | Err(Refused::Ended | Refused::Full) => next,
        }
    }

    /// What becomes of an end that would leave nothing to go on with: no upgrade, and a stop like any other.
    async fn stay(&self, end: End, why: upgrade::Refused) -> End {
        self.record(Stamp::now(), None, Record::UpgradeRefused { why: why.to_string() });
        self.notifications.resume();
        if matches!(end, End::Upgrading(_)) {
            signals(SigSet::thread_unblock);
            self.systemd.ready();
            return End::NotYet;
        }
        self.end_sooner(End::NotYet).await
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

    /// What happened so far.
    pub fn history(&self) -> &Arc<History> {
        &self.history
    }

    /// The instances of the configuration in force.
    pub fn names(&self) -> Vec<String> {
        let in_force = self.reloader.in_force();
        let instances = in_force.settings.instances.iter().map(|instance| instance.name.clone());
        instances.chain(in_force.settings.groups.iter().map(|group| group.name.clone())).collect()
    }

    /// What is measured, for whoever collects it.
    pub async fn metrics(&self) -> Result<Vec<Family>, Unknown> {
        let names = self.reloader.in_force().metrics.keepalived_names;
        Ok(metrics::families(&self.report().await?, names))
    }

    /// How everything stands.
    pub async fn report(&self) -> Result<Report, Unknown> {
        let status = self.statuses.current().await?;
        let clocks = Clocks::now();
        let around = Surroundings {
            node: self.node.clone(),
            agent: Agent {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                started: self.started,
                worst_late_ms: millis(self.protocol.worst_late()),
                loop_lateness: self.protocol.lateness(),
                realtime_priority: self.realtime.priority,
                memory_locked: self.realtime.memory_locked,
                log_lines_dropped: self
                    .lines_dropped
                    .as_ref()
                    .map_or(0, |lines| lines.dropped_lines() as u64),
                newest_event: self.history.newest(),
                events_lost: self.events_lost.load(Ordering::Relaxed),
                configuration: self.reloader.standing(),
            },
            checks: self.checks.view(clocks),
            notifiers: self.notifications.view(clocks),
            drains: self.drains.all(),
            warnings: self
                .gate
                .read()
                .into_iter()
                .chain(self.unguarded.clone())
                .chain(self.archive.trouble())
                .chain(self.drains.trouble())
                .chain(self.realtime.warnings.clone())
                .chain(self.notifications.warnings())
                .chain(self.reloader.warnings())
                .chain(self.listening.trouble())
                .collect(),
            advice: self.reloader.in_force().advice().collect(),
        };
        Ok(view::report(&status, around, clocks))
    }

    /// Why instances are where they are, all or those of one name, and what would become of them.
    pub async fn explain(&self, name: Option<String>) -> Result<Explanation, Unknown> {
        let report = self.report().await?;
        let (now, engine) = self.statuses.copy().await?;
        let config = self.reloader.in_force();
        let slack = SLACK.max(self.protocol.worst_late());
        let work = move || {
            let outlook =
                Outlook { engine: &engine, now, settings: &config.settings, checks: &config.checks, slack };
            explain::explain(&report, name.as_deref(), outlook)
        };
        // With hundreds of instances this takes a while, which the checks' results shall not wait for.
        tokio::task::spawn_blocking(work).await.map_err(|_| Unknown::Silent)
    }

    /// What a reload with another configuration would do.
    pub async fn plan(&self, text: String, file: String) -> Result<Result<Plan, Rejected>, Unknown> {
        let new = match self.reloader.read(text, file).await {
            Ok(new) => new,
            Err(why) => return Ok(Err(why)),
        };
        let (now, engine) = self.statuses.copy().await?;
        let (node, old) = (self.node.clone(), self.reloader.in_force());
        let work = move || plan::plan(&node, &old, &new, &engine, now);
        tokio::task::spawn_blocking(work).await.map(Ok).map_err(|_| Unknown::Silent)
    }

    /// Records who asked for what, before it is done; answers the record's number.
    pub fn asked(&self, what: String, instance: Option<String>, by: Peer) -> u64 {
        self.record(Stamp::now(), instance, Record::Asked { what, by })
    }

    /// Reads the configuration again and puts it in force, or says why not.
    pub async fn reload(&self, force: bool) -> Result<Vec<String>, Rejected> {
        self.systemd.reloading();
        let outcome = self.reloader.reload(force).await;
        match &outcome {
            Ok(_) => {
                let config = self.reloader.in_force();
                self.drains.apply(&self.post, &config, Stamp::now());
                self.notifications.apply(&config);
                self.listening.want(config.metrics.listen);
            }
            Err(why) => {
                self.record(Stamp::now(), None, Record::ReloadRefused { why: why.to_string() });
            }
        }
        self.statuses.changed();
        self.systemd.ready();
        outcome
    }

    /// Has the program that is there now take this one's place, or says why it cannot. It does so when the answer to
    /// whoever asked is on its way.
    pub async fn upgrade(self: &Arc<Self>) -> Result<(), upgrade::Refused> {
        let program = self.program.as_ref().ok_or_else(|| upgrade::Refused::NotRunnable {
            path: PathBuf::from("the program"),
            why: io::ErrorKind::NotFound.into(),
        })?;
        let checked = match program.check().await {
            Ok(()) => self.bequest.check().await.map_err(upgrade::Refused::NoState),
            refused => refused,
        };
        if let Err(why) = checked {
            self.record(Stamp::now(), None, Record::UpgradeRefused { why: why.to_string() });
            return Err(why);
        }
        let service = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(ANSWER).await;
            service.upgrade.notify_one();
        });
        Ok(())
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
