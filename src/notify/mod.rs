//! Telling others what became of an instance or a group: programs, FIFOs, servers and people.
//!
//! One file a kind. What is to be told is decided elsewhere; here it is told to each in order, one at a time, within bounds,
//! and whoever is slow or broken is so alone:
//!
//! ```text
//!                  +-> queue -> program of web      a queue and a task for each program and server of a subject,
//!   news of web ---+-> queue -> webhook of web      for each FIFO, and for the mail server
//!   news of db  -+-|-> queue -> FIFO
//!                +-+-> queue -> mail
//! ```
//!
//! A program may be kept that reads a FIFO. A failure is counted, reported once for each reason, and shown until news can be told again.

pub mod command;
mod fifo;
pub mod mail;
pub mod news;
mod outlet;
mod queue;
mod reader;
mod secret;
pub mod webhook;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant as Deadline, timeout_at};

pub use self::outlet::{Happened, Key, Last, Report, View};
pub use self::secret::Secret;

use self::news::{News, Subject, Word};
use self::outlet::{Channel, Context, Outlet};
use self::reader::Reader;
use crate::reach::runner::Runner;
use crate::time::{Duration, Instant};

/// Who is told of one subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// A program, at every change.
    pub script: Option<command::Settings>,
    /// Programs, each for a kind of change.
    pub commands: Option<command::Settings>,
    /// A FIFO.
    pub fifo: Option<PathBuf>,
    /// The program that reads it.
    pub fifo_reader: Option<Vec<String>>,
    /// Whether the FIFO is told of priorities, too.
    pub priority_changes: bool,
    /// A server.
    pub webhook: Option<webhook::Settings>,
    /// Whoever mail goes to.
    pub mail: bool,
}

impl Settings {
    /// Whether nobody is told.
    pub fn is_empty(&self) -> bool {
        *self == Self { priority_changes: self.priority_changes, ..Self::default() }
    }

    /// The ways out for news of this kind.
    fn ways(&self, subject: &Subject, word: Word) -> Vec<Key> {
        let told = |key: Option<Key>, wanted: bool| key.filter(|_| wanted);
        let own = |there: bool, key: fn(Subject) -> Key| there.then(|| key(subject.clone()));
        let runs = |program: &Option<command::Settings>| program.as_ref().is_some_and(|p| p.wants(word));
        [
            told(own(self.commands.is_some(), Key::Commands), runs(&self.commands)),
            told(own(self.script.is_some(), Key::Script), runs(&self.script)),
            told(self.fifo.clone().map(Key::Fifo), self.priority_changes || !word.is_priority()),
            told(own(self.webhook.is_some(), Key::Webhook), !word.is_priority()),
            told(self.mail.then_some(Key::Mail), word.is_state()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// All the ways out, and where they lead.
    fn channels(&self, subject: &Subject, mail: Option<&mail::Settings>) -> Vec<(Key, Channel)> {
        let command = |settings: &command::Settings| Channel::Command(settings.clone());
        [
            self.commands.as_ref().map(|settings| (Key::Commands(subject.clone()), command(settings))),
            self.script.as_ref().map(|settings| (Key::Script(subject.clone()), command(settings))),
            self.fifo.as_ref().map(|path| (Key::Fifo(path.clone()), Channel::Fifo(path.clone()))),
            self.webhook.as_ref().map(|settings| {
                (Key::Webhook(subject.clone()), Channel::Webhook(Box::new(settings.clone())))
            }),
            mail.filter(|_| self.mail).map(|mail| (Key::Mail, Channel::Mail(Box::new(mail.clone())))),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Who is told of what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// For each subject, if anybody is.
    pub subjects: BTreeMap<Subject, Settings>,
    /// The mail server and the people, if there is mail.
    pub mail: Option<mail::Settings>,
}

/// All the notifiers of an agent.
pub struct Notifiers {
    context: Context,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    subjects: BTreeMap<Subject, Told>,
    outlets: BTreeMap<Key, Outlet>,
    /// What is not configured any more and has something to tell still.
    retired: Vec<Outlet>,
    /// Those of the FIFOs, while nothing is paused.
    readers: BTreeMap<PathBuf, Reader>,
    paused: bool,
}

/// Who is told of a subject.
#[derive(Clone)]
struct Told {
    settings: Settings,
    /// It is not configured any more, which it has not been told yet.
    leaving: bool,
}

impl Notifiers {
    /// None yet, and where they will report. They tell the time by `now` and leave programs to `runner`, if there is one.
    pub fn new(now: fn() -> Instant, runner: Runner) -> (Self, mpsc::Receiver<Report>) {
        let (reports, arriving) = mpsc::channel(REPORTS);
        let progress = Arc::new(watch::Sender::new(0));
        let context = Context { now, runner, trust: Arc::default(), reports, progress };
        (Self { context, table: Mutex::default() }, arriving)
    }

    /// Tells these from now on. What waits goes on waiting; a subject that is gone is told of until that has been said.
    ///
    /// Must be called, as everything that tells, on the service thread's runtime.
    pub fn apply(&self, plan: &Plan) {
        let mut table = self.locked();
        let mut subjects: BTreeMap<Subject, Told> = plan
            .subjects
            .iter()
            .map(|(subject, settings)| (subject.clone(), Told { settings: settings.clone(), leaving: false }))
            .collect();
        for (subject, told) in &table.subjects {
            if !told.leaving && !subjects.contains_key(subject) {
                subjects.insert(subject.clone(), Told { leaving: true, ..told.clone() });
            }
        }
        table.subjects = subjects;
        table.lay_out(plan.mail.as_ref(), &self.context);
    }

    /// Whether anybody is told of this subject.
    pub fn knows(&self, subject: &Subject) -> bool {
        self.locked().subjects.contains_key(subject)
    }

    /// Whether this subject is not configured any more.
    pub fn is_leaving(&self, subject: &Subject) -> bool {
        self.locked().subjects.get(subject).is_some_and(|told| told.leaving)
    }

    /// Tells everybody who is to know; answers what is worth knowing of that.
    pub fn tell(&self, news: &News) -> Vec<Report> {
        let mut table = self.locked();
        table.retired.retain(|outlet| outlet.waiting() > 0);
        let Some(told) = table.subjects.get(&news.subject) else { return Vec::new() };
        let ways = told.settings.ways(&news.subject, news.state);
        let outlets: Vec<_> = ways.iter().filter_map(|key| table.outlets.get(key).cloned()).collect();
        if news.state == Word::Deleted && told.leaving {
            table.subjects.remove(&news.subject);
        }
        drop(table);
        outlets.iter().filter_map(|outlet| outlet.push(news.clone())).collect()
    }

    /// Tells what an earlier agent did not come to; answers how many of these concern nobody any more.
    pub fn go_on_with(&self, left: Vec<(Key, News)>) -> usize {
        let table = self.locked();
        let mut nobodys = 0;
        for (key, news) in left {
            match table.outlets.get(&key) {
                // It cannot be too many: they waited in a queue before.
                Some(outlet) => drop(outlet.push(news)),
                None => nobodys += 1,
            }
        }
        nobodys
    }

    /// What has not been told yet, in the order in which each is to hear it.
    pub fn unfinished(&self) -> Vec<(Key, News)> {
        let table = self.locked();
        let one = |(key, outlet): (&Key, &Outlet)| {
            let key = key.clone();
            outlet.unfinished().into_iter().map(move |news| (key.clone(), news))
        };
        table.outlets.iter().flat_map(one).collect()
    }

    /// Waits until everything has been told, but not longer than this; answers how many have not been.
    pub async fn finish(&self, patience: Duration) -> usize {
        self.wait(patience, |outlet| outlet.waiting() == 0).await;
        self.end_readers().await;
        self.everyone().iter().map(Outlet::waiting).sum()
    }

    /// Begins nothing new, and waits for what has begun, but not longer than this.
    pub async fn pause(&self, patience: Duration) {
        self.set_paused(true);
        self.wait(patience, Outlet::rests).await;
        self.end_readers().await;
    }

    /// The FIFOs are closed, so that those who read them come to the end; then they go.
    async fn end_readers(&self) {
        let deadline = Deadline::now() + LAST_WORDS;
        let readers = std::mem::take(&mut self.locked().readers);
        if readers.is_empty() {
            return;
        }
        self.everyone().iter().for_each(Outlet::close);
        for reader in readers.into_values() {
            reader.end(deadline).await;
        }
    }

    /// Goes on after a pause.
    pub fn resume(&self) {
        self.set_paused(false);
        self.locked().begin_readers(&self.context);
    }

    fn set_paused(&self, paused: bool) {
        self.locked().paused = paused;
        for outlet in self.everyone() {
            outlet.pause(paused);
        }
    }

    async fn wait(&self, patience: Duration, done: fn(&Outlet) -> bool) {
        let deadline = Deadline::now() + patience;
        let mut progress = self.progress();
        while !self.everyone().iter().all(done) {
            if timeout_at(deadline, progress.changed()).await.is_err() {
                return;
            }
        }
    }

    /// Changes whenever [`Self::unfinished`] may have.
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.context.progress.subscribe()
    }

    /// Every way out as the status shows it.
    pub fn view(&self) -> Vec<View> {
        let table = self.locked();
        table.outlets.values().map(Outlet::view).chain(table.readers.values().map(Reader::view)).collect()
    }

    fn everyone(&self) -> Vec<Outlet> {
        let table = self.locked();
        table.outlets.values().chain(&table.retired).cloned().collect()
    }

    fn locked(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Makes the ways out that the subjects need, and no others.
    fn lay_out(&mut self, mail: Option<&mail::Settings>, context: &Context) {
        let mut old = std::mem::take(&mut self.outlets);
        for (subject, told) in &self.subjects {
            for (key, channel) in told.settings.channels(subject, mail) {
                if self.outlets.contains_key(&key) {
                    continue;
                }
                let outlet = if let Some(outlet) = old.remove(&key) {
                    outlet.lead_to(channel);
                    outlet
                } else {
                    let outlet = Outlet::new(key.clone(), channel, context.clone());
                    outlet.pause(self.paused);
                    outlet
                };
                self.outlets.insert(key, outlet);
            }
        }
        self.retired.extend(old.into_values().filter(|outlet| outlet.waiting() > 0));
        self.begin_readers(context);
    }

    /// Starts the readers that the FIFOs of the subjects are to have, and ends others.
    fn begin_readers(&mut self, context: &Context) {
        if self.paused {
            return;
        }
        let mut old = std::mem::take(&mut self.readers);
        for Told { settings, .. } in self.subjects.values() {
            let (Some(path), Some(argv)) = (&settings.fifo, &settings.fifo_reader) else { continue };
            if self.readers.contains_key(path) {
                continue;
            }
            let reader = match old.remove(path) {
                Some(reader) if reader.argv() == argv => reader,
                before => Reader::begin(argv.clone(), path.clone(), context.clone(), before),
            };
            self.readers.insert(path.clone(), reader);
        }
    }
}

/// How long readers may take to come to the end of their FIFOs.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How many reports may wait to be recorded; a notifier that finds no room waits.
const REPORTS: usize = 64;

#[cfg(test)]
mod tests;
