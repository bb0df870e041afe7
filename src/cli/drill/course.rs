//! The course of a drill: harm, takeover, harm taken back, return. Every step has a bound.

use std::net::IpAddr;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::outcome::{MeasuredBy, Outcome, Predicted, Probed, Step};
use super::peer::Probe;
use super::wire::Heard;
use super::{Kind, Request, Stop, addresses, hand, user};
use crate::agent::report::{Instance, Report, Role, SCHEMA};
use crate::agent::stamp::Stamp;
use crate::cli::Exit;
use crate::cli::client::Client;
use crate::sys::clock;
use crate::time::Duration;

/// How long the hand may take for a word.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a return is waited for, beyond what a takeover takes twice.
const RETURN: Duration = Duration::from_secs(10);
/// How often the agent is asked whether it is back.
const PAUSE: Duration = Duration::from_millis(100);
/// How often an address is asked for.
const EVERY: &str = "10ms";
/// What the kernel's stamps and ours may differ by, and how late another host may act.
const SLACK_MS: f64 = 10.0;

/// A drill under way.
pub(super) struct Course<'a> {
    client: &'a Client,
    request: &'a Request,
    pub(super) one: Instance,
    node: String,
    predicted: Predicted,
    adverts: mpsc::Receiver<Heard>,
    probe: Option<Probe>,
    /// What happened, and when by the wall clock.
    steps: Vec<(Duration, String)>,
    notes: Vec<String>,
}

/// How the harm was answered.
#[derive(Clone, Copy, Debug)]
enum Answer {
    TakenOver {
        by: IpAddr,
        at: Duration,
    },
    /// By this node itself.
    WentOn {
        at: Duration,
    },
    Nobody,
}

/// How long a takeover is waited for.
fn patience(most: Duration) -> Duration {
    most * 2 + Duration::from_secs(3)
}

/// How long a successor is left alone, so that what is seen of it is seen for sure.
fn hold(one: &Instance) -> Duration {
    let interval = Duration::from_secs_f64(one.advert_interval_ms.clamp(10.0, 1000.0) / 1000.0);
    (interval * 3).max(Duration::from_millis(300))
}

/// After how long the harm is taken back even if nobody says so.
pub(super) fn longest(most: Duration, one: &Instance) -> Duration {
    patience(most) + hold(one) + Duration::from_secs(2)
}

impl<'a> Course<'a> {
    pub(super) fn new(
        client: &'a Client,
        request: &'a Request,
        report: &Report,
        one: Instance,
        predicted: Predicted,
        adverts: mpsc::Receiver<Heard>,
    ) -> Self {
        let (node, steps, notes) = (report.node.clone(), Vec::new(), Vec::new());
        Self { client, request, one, node, predicted, adverts, probe: None, steps, notes }
    }

    /// Has the address probed from another host, if one is named.
    pub(super) async fn begin_probe(&mut self) -> Result<(), String> {
        let (Some(from), Some(address)) = (
            self.request.from.as_ref().or(self.request.peer.as_ref()),
            addresses(&self.one).first().copied(),
        ) else {
            return Ok(());
        };
        self.probe = Some(from.probe(&address.to_string(), EVERY, self.request.tcp).await?);
        Ok(())
    }

    /// All of it. Whoever interrupts it has the harm taken back first.
    pub(super) async fn run(&mut self, order: &hand::Request) -> Result<Outcome, Stop> {
        let started = Stamp::now();
        let refused = |why: String| Stop::With(Exit::Os, why);
        let stop = |error| Stop::With(Exit::Os, format!("cannot listen for signals: {error}"));
        let mut terminated = signal(SignalKind::terminate()).map_err(stop)?;
        let (mut hand, done) = Hand::begin(self.client, order).await.map_err(refused)?;
        self.steps.push((done, self.harm(order)));
        let rest = async {
            let answer = self.answer(done).await;
            let undone = hand.end().await;
            self.back(answer, done, undone).await
        };
        let interrupted = tokio::select! {
            outcome = rest => Some(outcome),
            _ = tokio::signal::ctrl_c() => None,
            _ = terminated.recv() => None,
        };
        if let Some((answer, back)) = interrupted {
            return Ok(self.outcome(started, done, answer, back).await);
        }
        let undone = hand.end().await;
        let what = undone.map_or_else(|why| why, |_| "what was done is taken back".to_owned());
        Err(Stop::With(Exit::TryAgain, format!("The drill was interrupted; {what}")))
    }

    fn harm(&self, order: &hand::Request) -> String {
        match self.request.kind {
            Kind::StepDown => "the instance is asked to step down".to_owned(),
            Kind::Crash => format!("the agent is killed, pid {}", order.pid()),
            Kind::Hang => format!("the agent is stopped, pid {}", order.pid()),
            Kind::Cut => "adverts and addresses are cut off".to_owned(),
        }
    }

    /// Waits until somebody else advertises, or this node does so again, or it has been long enough.
    async fn answer(&mut self, done: Duration) -> Answer {
        let most = Duration::from_secs_f64(self.predicted.latest_ms / 1000.0);
        let mut until = Instant::now() + patience(most);
        let mut own = None;
        while let Ok(Some(heard)) = timeout_at(until, self.adverts.recv()).await {
            if heard.at <= done || heard.priority == 0 {
                continue;
            }
            if !heard.ours {
                let what = format!("{} takes over, with priority {}", heard.source, heard.priority);
                self.steps.push((heard.at, what));
                sleep(hold(&self.one)).await;
                return Answer::TakenOver { by: heard.source, at: heard.at };
            }
            if self.request.kind == Kind::Crash && own.is_none() {
                own = Some(heard.at);
                self.steps.push((heard.at, "this node advertises again".to_owned()));
                // Whoever was about to take over would have done so by then.
                until = until.min(Instant::now() + most);
            }
        }
        match own {
            Some(at) => Answer::WentOn { at },
            None => Answer::Nobody,
        }
    }

    /// Waits until the instance is master here again: since when, by the wall clock.
    async fn back(
        &mut self,
        answer: Answer,
        done: Duration,
        undone: Result<Duration, String>,
    ) -> (Answer, Back) {
        let undone = match undone {
            Ok(at) => {
                if self.request.kind != Kind::Crash {
                    self.steps.push((at, "that is taken back".to_owned()));
                }
                at
            }
            Err(why) => {
                self.notes.push(why);
                clock::realtime()
            }
        };
        let from = if self.request.kind == Kind::Crash { done } else { undone };
        let until = Instant::now() + Duration::from_secs_f64(self.predicted.latest_ms / 500.0) + RETURN;
        // The successor's last advert, or when there could be none any more.
        let mut last = undone;
        while Instant::now() < until {
            while let Ok(heard) = self.adverts.try_recv() {
                if !heard.ours {
                    last = last.max(heard.at);
                }
            }
            if let Ok((report, _)) = self.client.report().await
                && let Some(one) = report.instance(&self.one.name)
                && one.state == Role::Master
                && !one.stepped_down
            {
                if !matches!(answer, Answer::TakenOver { .. }) {
                    return (answer, Back::NeverGone);
                }
                if let Some(at) = self.returned(one, done, last) {
                    self.steps.push((at, "this node is the only MASTER again".to_owned()));
                    sleep(hold(&self.one)).await;
                    return (answer, Back::After(at.saturating_sub(from)));
                }
            }
            sleep(PAUSE).await;
        }
        (answer, Back::Not)
    }

    /// When it became master again, if it did. Who was cut off has been master all the time, and is it alone again when
    /// the other one falls silent.
    fn returned(&self, one: &Instance, done: Duration, last: Duration) -> Option<Duration> {
        let begun = Stamp::at(done);
        if one.since > begun {
            return Some(done + one.since.since(begun));
        }
        let silent = clock::realtime().saturating_sub(last) > hold(&self.one);
        (self.request.kind == Kind::Cut && silent).then_some(last)
    }

    async fn outcome(&mut self, started: Stamp, done: Duration, answer: Answer, back: Back) -> Outcome {
        let probe = match self.probe.take() {
            None => None,
            Some(probe) => {
                let from = probe.from.clone();
                match probe.end().await {
                    Ok(seen) => Some(Probed { from, seen }),
                    Err(why) => {
                        self.notes.push(format!("what clients saw is not known: {why}"));
                        None
                    }
                }
            }
        };
        let ms = |at: Duration| at.saturating_sub(done).as_secs_f64() * 1000.0;
        let (successor, takeover_ms, own_ms) = match answer {
            Answer::TakenOver { by, at } => (Some(by), Some(ms(at)), None),
            Answer::WentOn { at } => (None, None, Some(ms(at))),
            Answer::Nobody => (None, None, None),
        };
        let (measured_ms, measured_by) = match &probe {
            Some(probe) => (Some(probe.seen.longest_gap_ms), MeasuredBy::Probe),
            None => (takeover_ms.or(own_ms), MeasuredBy::Adverts),
        };
        let objective_ms = self.request.objective.as_secs_f64() * 1000.0;
        let Predicted { earliest_ms, latest_ms } = self.predicted;
        let within = |took: f64| took >= earliest_ms - SLACK_MS && took <= latest_ms + SLACK_MS;
        let answered = !matches!(answer, Answer::Nobody);
        // What a probe was to show and did not is no success.
        let seen = probe.is_some() || (self.request.peer.is_none() && self.request.from.is_none());
        self.steps.sort_by_key(|(at, _)| *at);
        let step = |(at, what): &(Duration, String)| {
            let before = done.saturating_sub(*at).as_secs_f64() * 1000.0;
            Step { time: Stamp::at(*at), after_ms: ms(*at) - before, what: what.clone() }
        };
        Outcome {
            schema: SCHEMA,
            node: self.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: self.one.name.clone(),
            kind: self.request.kind,
            started,
            ended: Stamp::now(),
            user: user(),
            objective_ms,
            measured_ms,
            measured_by,
            met: answered && seen && measured_ms.is_some_and(|measured| measured <= objective_ms),
            predicted: self.predicted,
            as_predicted: takeover_ms.map(within),
            successor,
            takeover_ms,
            came_back: !matches!(back, Back::Not),
            came_back_after_ms: match back {
                Back::After(time) => Some(time.as_secs_f64() * 1000.0),
                Back::NeverGone | Back::Not => None,
            },
            peer: self.request.peer.as_ref().map(|peer| peer.name().to_owned()),
            probe,
            notes: std::mem::take(&mut self.notes),
            timeline: self.steps.iter().map(step).collect(),
        }
    }
}

/// Whether the instance is master here in the end.
#[derive(Clone, Copy, Debug)]
enum Back {
    After(Duration),
    NeverGone,
    Not,
}

/// The process that does the harm.
struct Hand {
    child: Child,
    leash: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Hand {
    /// Starts it; returns when the harm is done, and when that was.
    async fn begin(client: &Client, order: &hand::Request) -> Result<(Self, Duration), String> {
        let failed = |error| format!("cannot start the drill: {error}");
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.arg("--runtime-dir").arg(client.directory()).arg("drill-hand").args(order.arguments());
        // Out of reach of whoever presses Ctrl-C here: it has something to take back.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let (leash, Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("cannot start the drill".to_owned());
        };
        let mut hand = Self { child, leash, lines: BufReader::new(stdout).lines() };
        match hand.word("done").await {
            Some(at) => Ok((hand, at)),
            None => Err(hand.complaint().await),
        }
    }

    /// Has it taken back, and says when that was.
    async fn end(&mut self) -> Result<Duration, String> {
        drop(self.leash.take());
        match self.word("undone").await {
            Some(at) => Ok(at),
            None => Err(format!("the harm may not be taken back: {}", self.complaint().await)),
        }
    }

    async fn word(&mut self, word: &str) -> Option<Duration> {
        let line = timeout(PATIENCE, self.lines.next_line()).await.ok()?.ok()??;
        line.strip_prefix(word)?.trim().parse().ok().map(Duration::from_nanos)
    }

    async fn complaint(&mut self) -> String {
        let mut said = String::new();
        if let Some(stderr) = self.child.stderr.take() {
            // Half a sentence is better than none.
            if timeout(PATIENCE, stderr.take(4096).read_to_string(&mut said)).await.is_err() {}
        }
        said.lines().next().unwrap_or("it ended without a word").trim_end_matches('.').to_owned()
    }
}
