//! Checks that look at the world outside: does the thing that a virtual IP stands for still work?
//!
//! One file a kind; one more kind, `interface`, needs no looking and is answered by the engine. A check is
//! a task of the service thread that runs its probe, reports what it found, and runs it again. What a row
//! of reports means is decided elsewhere ([`crate::proto::health`]).
//!
//! # What all kinds share
//!
//! | setting | default | meaning |
//! |---|---|---|
//! | `interval` | 1s | the time between the starts of two runs; the first starts at once |
//! | `timeout` | 500ms, or the interval if shorter | how long one run may take; then it has failed and is ended |
//! | `rise` | 2 | successes in a row that make the check up |
//! | `fall` | 2 | failures in a row that make it down (the first run that fails after a start needs no second) |
//! | `initial` | none | `up` or `down` until the first verdict; without it the check is unknown, which counts as down at a start |
//!
//! A run that takes longer than the interval skips the beats it missed; runs of one check never overlap.
//! A run that is cut off says what it was waiting for: `timed out after 500ms waiting for the response header`.
//!
//! What may block in the kernel (a dead NFS server, a name service) happens on the runtime's blocking
//! threads, at most one call a check at a time, so a check that hangs there fails alone.

pub mod file;
pub mod http;
pub mod ping;
pub mod process;
pub mod route;
pub mod runner;
pub mod script;
pub mod tcp;
pub mod value;

use std::fmt;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::proto::health::{self, Outcome, Verdict};
use crate::reach::runner::Runner;
use crate::reach::script::KEPT;
use crate::reach::{Run, printable, tls};
use crate::time::{Duration, Instant};

/// One check, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The operator's name for it.
    pub name: String,
    /// What it looks at.
    pub kind: Kind,
    /// The time between the starts of two runs; less than a millisecond is read as one.
    pub interval: Duration,
    /// How long one run may take.
    pub timeout: Duration,
    /// Successes in a row that make it up.
    pub rise: u32,
    /// Failures in a row that make it down.
    pub fall: u32,
    /// The verdict before the first result.
    pub initial: Option<Verdict>,
}

impl Settings {
    /// What the machine that judges the reports has to know.
    pub const fn health(&self) -> health::Settings {
        health::Settings {
            interval: self.interval,
            timeout: self.timeout,
            rise: self.rise,
            fall: self.fall,
            initial: self.initial,
        }
    }

    /// Whether a running check may go on under `other`: only how its reports are judged differs, if anything.
    pub fn runs_like(&self, other: &Self) -> bool {
        (&self.name, &self.kind, self.interval, self.timeout)
            == (&other.name, &other.kind, other.interval, other.timeout)
    }
}

/// What a check looks at.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// The answer to an HTTP request.
    Http(http::Settings),
    /// A TCP port.
    Tcp(tcp::Settings),
    /// The exit status of a program.
    Script(script::Settings),
    /// Running processes.
    Process(process::Settings),
    /// A file that is there, or is not.
    File(file::Settings),
    /// The number in a file.
    Value(value::Settings),
    /// The answer to an ICMP echo request.
    Ping(ping::Settings),
    /// A route that is there.
    Route(route::Settings),
}

impl Kind {
    /// `http`, `tcp`, ..: the key in the configuration.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Tcp(_) => "tcp",
            Self::Script(_) => "script",
            Self::Process(_) => "process",
            Self::File(_) => "file",
            Self::Value(_) => "value_file",
            Self::Ping(_) => "ping",
            Self::Route(_) => "route",
        }
    }
}

impl Kind {
    /// Whether it runs a program.
    pub const fn is_script(&self) -> bool {
        matches!(self, Self::Script(_))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.as_str())?;
        match self {
            Self::Http(settings) => settings.url.fmt(f),
            Self::Tcp(settings) => settings.endpoint.fmt(f),
            Self::Script(settings) => f.write_str(&settings.argv.join(" ")),
            Self::Process(settings) => settings.fmt(f),
            Self::File(settings) => settings.path.display().fmt(f),
            Self::Value(settings) => settings.path.display().fmt(f),
            Self::Ping(settings) => settings.fmt(f),
            Self::Route(settings) => settings.fmt(f),
        }
    }
}

/// What one run found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What was seen ("200 OK"), or what is wrong, each in one line.
    pub outcome: Result<String, String>,
    /// The number it read, if it is of a kind that reads one.
    pub value: Option<i32>,
    /// The beginning of what a script wrote, at most [`KEPT`] bytes; empty for other kinds.
    pub output: String,
    /// How long the run took.
    pub latency: Duration,
    /// When it ended.
    pub at: Instant,
}

impl Report {
    /// The result without its words.
    pub const fn result(&self) -> Outcome {
        match self.outcome {
            Ok(_) => Outcome::Success,
            Err(_) => Outcome::Failure,
        }
    }
}

/// Where reports go, with the settings they were made under: after a reload an old one can be told by them.
pub type Reports = mpsc::Sender<(Arc<Settings>, Report)>;

/// What all checks share: the clock, the runner, and the certificates the system trusts, read when first needed.
#[derive(Clone)]
pub struct Context {
    now: fn() -> Instant,
    runner: Runner,
    trust: Arc<tls::Trust>,
}

impl Context {
    /// Whether scripts are left to somebody else.
    pub const fn has_runner(&self) -> bool {
        self.runner.is_some()
    }

    /// Checks that tell the time by `now` and leave scripts and processes to `runner`, if there is one.
    pub fn new(now: fn() -> Instant, runner: Runner) -> Self {
        Self { now, runner, trust: Arc::default() }
    }
}

/// A running check; dropping it ends the check, and the script it may be running.
#[derive(Debug)]
pub struct Handle(AbortHandle);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts a check on the current tokio runtime, whose signal, time and I/O drivers it needs.
///
/// It ends with its handle, or when nobody receives the reports any more. While the channel is full it waits.
pub fn spawn(context: &Context, settings: Arc<Settings>, reports: Reports) -> Handle {
    let context = context.clone();
    Handle(tokio::spawn(repeat(context, settings, reports)).abort_handle())
}

async fn repeat(context: Context, settings: Arc<Settings>, reports: Reports) {
    let mut probe = Probe::new(&context, &settings);
    let begun = tokio::time::Instant::now();
    loop {
        let report = once(&context, &settings, &mut probe).await;
        if reports.send((Arc::clone(&settings), report)).await.is_err() {
            return;
        }
        tokio::time::sleep_until(begun + next_beat(begun.elapsed(), settings.interval)).await;
    }
}

/// When the first beat after `elapsed` is, both counted from the start of the check.
fn next_beat(elapsed: Duration, interval: Duration) -> Duration {
    let interval = interval.max(Duration::from_millis(1)).as_nanos();
    let next = (elapsed.as_nanos() / interval + 1).saturating_mul(interval);
    Duration::from_nanos(u64::try_from(next).unwrap_or(u64::MAX / 4))
}

async fn once(context: &Context, settings: &Settings, probe: &mut Probe) -> Report {
    let start = (context.now)();
    let mut run = Run::default();
    let outcome = match tokio::time::timeout(settings.timeout, probe.run(&mut run)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("timed out after {:?}{}", settings.timeout, run.phase)),
    };
    let at = (context.now)();
    Report { outcome, value: run.value, output: printable(&run.output, KEPT), latency: at.since(start), at }
}

/// A kind with what it keeps between runs.
enum Probe {
    Http(http::Probe),
    Tcp(tcp::Probe),
    Script(script::Probe),
    Process(process::Probe),
    File(file::Probe),
    Value(value::Probe),
    Ping(ping::Probe),
    Route(route::Probe),
}

impl Probe {
    fn new(context: &Context, settings: &Settings) -> Self {
        match &settings.kind {
            Kind::Http(http) => Self::Http(http::Probe::new(http.clone(), Arc::clone(&context.trust))),
            Kind::Tcp(tcp) => Self::Tcp(tcp::Probe::new(tcp.clone())),
            Kind::Script(script) => {
                let runner = context.runner.clone();
                Self::Script(script::Probe::new(script.clone(), &settings.name, settings.timeout, runner))
            }
            Kind::Process(process) => {
                Self::Process(process::Probe::new(process.clone(), &settings.name, context.runner.clone()))
            }
            Kind::File(file) => Self::File(file::Probe::new(file.clone())),
            Kind::Value(value) => Self::Value(value::Probe::new(value.clone())),
            Kind::Ping(ping) => Self::Ping(ping::Probe::new(ping.clone())),
            Kind::Route(route) => Self::Route(route::Probe::new(route.clone())),
        }
    }

    async fn run(&mut self, run: &mut Run) -> Result<String, String> {
        match self {
            // Boxed: several kilobytes that only a run needs, not the wait for the next.
            Self::Http(probe) => Box::pin(probe.run(run)).await,
            Self::Tcp(probe) => probe.run(run).await,
            Self::Script(probe) => probe.run(run).await,
            Self::Process(probe) => probe.run(run).await,
            Self::File(probe) => probe.run(run).await,
            Self::Value(probe) => probe.run(run).await,
            Self::Ping(probe) => probe.run(run).await,
            Self::Route(probe) => probe.run(run).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_takes_longer_skips_the_beats_it_missed() {
        let ms = Duration::from_millis;
        assert_eq!(next_beat(ms(1), ms(100)), ms(100));
        assert_eq!(next_beat(ms(100), ms(100)), ms(200));
        assert_eq!(next_beat(ms(350), ms(100)), ms(400));
        assert!(next_beat(Duration::MAX, ms(100)) > Duration::from_secs(1 << 30));
        assert_eq!(next_beat(ms(5), Duration::ZERO), ms(6));
    }

    #[test]
    fn a_check_whose_counts_alone_change_goes_on_running() {
        let kind = Kind::File(file::Settings { path: "/x".into(), present: true });
        let second = Duration::from_secs(1);
        let before = Settings {
            name: "x".into(),
            kind,
            interval: second,
            timeout: second,
            rise: 1,
            fall: 1,
            initial: None,
        };
        assert!(before.runs_like(&Settings {
            rise: 2,
            fall: 3,
            initial: Some(Verdict::Up),
            ..before.clone()
        }));
        assert!(!before.runs_like(&Settings { interval: second * 2, ..before.clone() }));
        assert!(!before.runs_like(&Settings { name: "y".into(), ..before.clone() }));
    }
}
