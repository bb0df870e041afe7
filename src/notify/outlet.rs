//! One way out: a program, a FIFO or a server with what waits for it. One news at a time and in order, whatever the others do.
//!
//! What is being told stays among what waits until it has been: another agent that goes on from there shall not lose it.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::command;
use super::fifo::Fifo;
use super::mail::{self, Mail};
use super::news::{News, Subject, Word};
use super::queue::Queue;
use super::webhook::{self, Webhook};
use crate::reach::runner::Runner;
use crate::reach::tls::Trust;
use crate::time::Instant;

/// Which way out; the same one before and after a reload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// The program for every change of a subject.
    Script(Subject),
    /// The programs for some changes of a subject.
    Commands(Subject),
    /// The server that is told of a subject.
    Webhook(Subject),
    /// A FIFO, whoever writes to it.
    Fifo(PathBuf),
    /// The program that reads a FIFO, which is told nothing itself.
    FifoReader(PathBuf),
    /// The mail server.
    Mail,
}

impl Key {
    /// The key of the configuration that it comes from.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Script(_) => "script",
            Self::Commands(_) => "command",
            Self::Webhook(_) => "webhook",
            Self::Fifo(_) => "fifo",
            Self::FifoReader(_) => "fifo_reader",
            Self::Mail => "mail",
        }
    }

    /// The one subject that it is for.
    pub const fn about(&self) -> Option<&Subject> {
        match self {
            Self::Script(subject) | Self::Commands(subject) | Self::Webhook(subject) => Some(subject),
            Self::Fifo(_) | Self::FifoReader(_) | Self::Mail => None,
        }
    }
}

/// Where it leads, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Command(command::Settings),
    Fifo(PathBuf),
    Webhook(Box<webhook::Settings>),
    Mail(Box<mail::Settings>),
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(settings) => settings.fmt(f),
            Self::Fifo(path) => path.display().fmt(f),
            Self::Webhook(settings) => settings.fmt(f),
            Self::Mail(settings) => settings.fmt(f),
        }
    }
}

/// The same at work, with what is kept between two news.
enum Tool {
    Command(command::Settings),
    Fifo(Fifo),
    Webhook(Box<Webhook>),
    Mail(Box<Mail>),
}

impl Tool {
    fn new(channel: &Channel, context: &Context) -> Self {
        match channel {
            Channel::Command(settings) => Self::Command(settings.clone()),
            Channel::Fifo(path) => Self::Fifo(Fifo::new(path.clone(), context.runner.clone())),
            Channel::Webhook(settings) => {
                Self::Webhook(Box::new(Webhook::new((**settings).clone(), Arc::clone(&context.trust))))
            }
            Channel::Mail(settings) => Self::Mail(Box::new(Mail::new((**settings).clone()))),
        }
    }

    async fn tell(&mut self, context: &Context, news: &News) -> Result<String, String> {
        match self {
            Self::Command(settings) => Box::pin(command::tell(settings, &context.runner, news)).await,
            Self::Fifo(fifo) => fifo.tell(news).await,
            Self::Webhook(webhook) => webhook.tell(news).await,
            Self::Mail(mail) => Box::pin(mail.tell(news)).await,
        }
    }
}

/// What all ways out share.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) now: fn() -> Instant,
    pub(super) runner: Runner,
    pub(super) trust: Arc<Trust>,
    pub(super) reports: mpsc::Sender<Report>,
    /// Counts what was taken and what was told.
    pub(super) progress: Arc<watch::Sender<u64>>,
}

impl Context {
    fn moved(&self) {
        self.progress.send_modify(|moves| *moves += 1);
    }
}

/// That something is worth knowing of a way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The subject it concerns, if it is one.
    pub about: Option<Subject>,
    /// The way out, as `script /etc/vipd/notify.sh`.
    pub outlet: String,
    /// What it is.
    pub what: Happened,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// News could not be told; once for each reason.
    Failed {
        /// Which.
        state: Word,
        /// Why.
        why: String,
    },
    /// They can be told again.
    Recovered,
    /// Too many wait; once until there is room again.
    Dropped,
    /// The reader of a FIFO has ended, and is started again.
    ReaderEnded {
        /// How.
        why: String,
    },
}

/// A way out as the status shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Which.
    pub key: Key,
    /// Where it leads.
    pub target: String,
    /// How many news it took.
    pub delivered: u64,
    /// How many it did not.
    pub failed: u64,
    /// How many went because too many waited.
    pub dropped: u64,
    /// How many wait, with the one that is being told.
    pub waiting: usize,
    /// What was last told, or not.
    pub last: Option<Last>,
    /// Whether that is a reason to look, and why.
    pub trouble: Option<String>,
}

/// The end of one news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// When.
    pub at: Instant,
    /// About what.
    pub about: Subject,
    /// Which.
    pub state: Word,
    /// What came of it.
    pub outcome: Result<String, String>,
}

/// One way out.
#[derive(Clone)]
pub(super) struct Outlet(Arc<Shared>);

struct Shared {
    key: Key,
    context: Context,
    state: Mutex<State>,
}

struct State {
    channel: Channel,
    /// Counts changes of the channel: a tool is good for one of them.
    generation: u64,
    tool: Option<(u64, Tool)>,
    queue: Queue,
    current: Option<News>,
    works: bool,
    paused: bool,
    dropping: bool,
    delivered: u64,
    failed: u64,
    dropped: u64,
    last: Option<Last>,
    trouble: Option<String>,
}

impl Outlet {
    pub(super) fn new(key: Key, channel: Channel, context: Context) -> Self {
        let state = Mutex::new(State {
            channel,
            generation: 0,
            tool: None,
            queue: Queue::default(),
            current: None,
            works: false,
            paused: false,
            dropping: false,
            delivered: 0,
            failed: 0,
            dropped: 0,
            last: None,
            trouble: None,
        });
        Self(Arc::new(Shared { key, context, state }))
    }

    /// Leads here from the next news on.
    pub(super) fn lead_to(&self, channel: Channel) {
        let mut state = self.0.locked();
        if state.channel != channel {
            state.channel = channel;
            state.generation += 1;
            // It was about what there was before.
            state.trouble = None;
        }
    }

    /// Takes news; says what is worth knowing of that.
    pub(super) fn push(&self, news: News) -> Option<Report> {
        let mut state = self.0.locked();
        let about = news.subject.clone();
        let full = state.queue.push(news);
        state.dropped += u64::from(full);
        let begins = full && !state.dropping;
        state.dropping |= full;
        let report = begins.then(|| self.0.report(&state, about, Happened::Dropped));
        drop(state);
        self.0.context.moved();
        self.go_on();
        report
    }

    /// Tells what waits, unless it is being told already, or nothing shall be.
    fn go_on(&self) {
        let mut state = self.0.locked();
        if !state.works && !state.paused && !state.queue.is_empty() {
            state.works = true;
            let shared = Arc::clone(&self.0);
            tokio::spawn(async move { shared.work().await });
        }
    }

    /// Begins nothing new from now on, or does again.
    pub(super) fn pause(&self, paused: bool) {
        self.0.locked().paused = paused;
        self.go_on();
    }

    /// Whether nothing is being told.
    pub(super) fn rests(&self) -> bool {
        !self.0.locked().works
    }

    /// Holds nothing open any more that it does not need for what it is telling: a reader of a FIFO comes to its end.
    pub(super) fn close(&self) {
        self.0.locked().tool = None;
    }

    /// How many wait, with the one that is being told.
    pub(super) fn waiting(&self) -> usize {
        self.0.locked().waiting()
    }

    /// What waits, with what is being told.
    pub(super) fn unfinished(&self) -> Vec<News> {
        let state = self.0.locked();
        state.current.iter().chain(state.queue.iter()).cloned().collect()
    }

    pub(super) fn view(&self) -> View {
        let state = self.0.locked();
        View {
            key: self.0.key.clone(),
            target: state.channel.to_string(),
            delivered: state.delivered,
            failed: state.failed,
            dropped: state.dropped,
            waiting: state.waiting(),
            last: state.last.clone(),
            trouble: state.trouble.clone(),
        }
    }
}

impl State {
    fn waiting(&self) -> usize {
        self.queue.len() + usize::from(self.current.is_some())
    }
}

impl Shared {
    async fn work(self: Arc<Self>) {
        while let Some((generation, mut tool, news)) = self.next() {
            self.context.moved();
            let outcome = tool.tell(&self.context, &news).await;
            if let Some(report) = self.done(generation, tool, news, outcome)
                && self.context.reports.send(report).await.is_err()
            {
                tracing::debug!("nobody hears of notifiers any more");
            }
        }
        self.context.moved();
    }

    fn next(&self) -> Option<(u64, Tool, News)> {
        let mut state = self.locked();
        let news = if state.paused { None } else { state.queue.pop() };
        let Some(news) = news else {
            state.works = false;
            return None;
        };
        state.current = Some(news.clone());
        let generation = state.generation;
        let tool = match state.tool.take() {
            Some((made, tool)) if made == generation => tool,
            Some(_) | None => Tool::new(&state.channel, &self.context),
        };
        Some((generation, tool, news))
    }

    fn done(
        &self,
        generation: u64,
        tool: Tool,
        news: News,
        outcome: Result<String, String>,
    ) -> Option<Report> {
        let mut state = self.locked();
        state.tool = Some((generation, tool));
        state.current = None;
        state.dropping &= !state.queue.is_empty();
        let (about, word) = (news.subject, news.state);
        let (at, told) = ((self.context.now)(), about.clone());
        state.last = Some(Last { at, about: told, state: word, outcome: outcome.clone() });
        let what = match outcome {
            Ok(_) => {
                state.delivered += 1;
                state.trouble.take().map(|_| Happened::Recovered)
            }
            Err(why) => {
                state.failed += 1;
                let known = state.trouble.replace(why.clone());
                let news = known.is_none_or(|known| known != why);
                news.then_some(Happened::Failed { state: word, why })
            }
        };
        what.map(|what| self.report(&state, about, what))
    }

    fn report(&self, state: &State, about: Subject, what: Happened) -> Report {
        Report { about: Some(about), outlet: format!("{} {}", self.key.kind(), state.channel), what }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
