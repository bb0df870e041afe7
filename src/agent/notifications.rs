//! From what the engine tells to what others are told: which of its notices are news, in which words, and to whom.
//!
//! A state is told if it differs from the one told last, by this agent or by the one before it in whose place it goes on: so
//! an upgrade repeats nothing, and a restart tells only what has changed. The first state after a start is told. What an
//! instance does on its way out is one piece of news, STOP or DELETED, once its addresses are gone.
//!
//! Programs and the readers of FIFOs act on what they are told. So what an earlier agent left for them waits until it is known
//! how the instance stands: if it is still so they are told, otherwise only what is so now, for in a master's place there
//! may be another by then. Servers and people read what happened when, and are told all of it.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::report;
use super::stamp::{Clocks, Stamp};
use super::told::{self, Told};
use crate::config::Config;
use crate::engine::notice::{Notice, Reason, State, What};
use crate::net::Priority;
use crate::notify::news::{News, Subject, Word};
use crate::notify::{Key, Notifiers, Report, View};
use crate::reach::runner::Runner;
use crate::sys::clock;
use crate::time::Duration;

/// The notifiers of this agent, and what they know.
pub struct Notifications {
    node: String,
    /// With the number of an event, what makes news one of a kind.
    started: i64,
    directory: PathBuf,
    notifiers: Notifiers,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    subjects: BTreeMap<Subject, Known>,
    /// What an earlier agent told of subjects that have said nothing yet.
    inherited: BTreeMap<Subject, Word>,
    /// What that one had for those who act on it, of subjects that have said nothing yet.
    left: BTreeMap<Subject, Vec<(Key, News)>>,
    /// The agent hands everything over: what instances become is STOP.
    ending: bool,
    /// Whether there is, or may be, a file.
    filed: bool,
    closed: bool,
}

/// What is known of a subject.
#[derive(Clone, Debug, Default)]
struct Known {
    told: Option<Word>,
    priority: u8,
    interface: Option<String>,
    vrid: Option<u8>,
}

impl Notifications {
    /// Of this node; programs are left to the runner, if there is one. Also where its notifiers report.
    pub fn new(node: String, directory: PathBuf, runner: Runner) -> (Self, mpsc::Receiver<Report>) {
        let (notifiers, reports) = Notifiers::new(clock::now, runner);
        let started = Stamp::now().milliseconds();
        (Self { node, started, directory, notifiers, memory: Mutex::default() }, reports)
    }

    /// Goes on where an earlier agent stopped, with this configuration.
    pub fn begin(&self, config: &Config) {
        let left = match clock::boot_id() {
            Ok(boot) => told::read(&self.directory, &boot, clock::now()),
            Err(_) => Told::default(),
        };
        {
            let mut memory = self.locked();
            memory.filed = left != Told::default();
            memory.inherited = left.states;
        }
        self.apply(config);
        let acts = |key: &Key| matches!(key, Key::Script(_) | Key::Commands(_) | Key::Fifo(_));
        let waits = |(key, news): &(Key, News)| acts(key) && self.notifiers.knows(&news.subject);
        let (waiting, at_once): (Vec<_>, Vec<_>) = left.waiting.into_iter().partition(waits);
        for (key, news) in waiting {
            self.locked().left.entry(news.subject.clone()).or_default().push((key, news));
        }
        self.go_on_with(at_once);
    }

    fn go_on_with(&self, left: Vec<(Key, News)>) {
        let nobodys = self.notifiers.go_on_with(left);
        if nobodys > 0 {
            tracing::warn!(nobodys, "notifications of the agent before this one are for nobody any more");
        }
    }

    /// Tells whom this configuration names from now on.
    pub fn apply(&self, config: &Config) {
        {
            let mut memory = self.locked();
            for instance in &config.settings.instances {
                let subject = Subject::Instance(instance.name.clone());
                let inherited = memory.inherited.remove(&subject);
                let known = memory.subjects.entry(subject).or_default();
                known.told = known.told.or(inherited);
                known.interface = Some(instance.interface.clone());
                known.vrid = Some(instance.vrid.get());
            }
            for group in &config.settings.groups {
                let subject = Subject::Group(group.name.clone());
                let inherited = memory.inherited.remove(&subject);
                let known = memory.subjects.entry(subject).or_default();
                known.told = known.told.or(inherited);
            }
        }
        self.notifiers.apply(&config.notify);
    }

    /// What a notice is about, as others know it.
    fn subject(notice: &Notice) -> Option<Subject> {
        match (&notice.what, &notice.about) {
            (What::GroupTransition { group, .. }, _) => Some(Subject::Group(group.clone())),
            (_, Some((_, name))) => Some(Subject::Instance(name.clone())),
            (_, None) => None,
        }
    }

    /// Whether any program is run.
    pub fn has_scripts(config: &Config) -> bool {
        config
            .notify
            .subjects
            .values()
            .any(|told| told.script.is_some() || told.commands.is_some() || told.fifo_reader.is_some())
    }

    /// Tells others of a notice, which is the event of this number, if it is news to them. Answers what is worth recording.
    pub fn hear(&self, notice: &Notice, time: Stamp, sequence: u64) -> Vec<Report> {
        let Some(subject) = Self::subject(notice) else { return Vec::new() };
        if !self.notifiers.knows(&subject) {
            return Vec::new();
        }
        let leaving = self.notifiers.is_leaving(&subject);
        let (left, news) = {
            let mut memory = self.locked();
            (memory.release(&subject, leaving, &notice.what), memory.news(subject, leaving, &notice.what))
        };
        self.go_on_with(left);
        news.map_or_else(Vec::new, |fresh| self.tell(fresh, time, &sequence.to_string()))
    }

    /// Tells it, as the one of this number.
    fn tell(&self, fresh: Fresh, time: Stamp, number: &str) -> Vec<Report> {
        let Fresh { subject, state, previous, reason, known } = fresh;
        self.notifiers.tell(&News {
            id: format!("{}-{}-{number}", self.node, self.started),
            time: time.to_string(),
            node: self.node.clone(),
            subject,
            state,
            previous,
            reason,
            priority: known.priority,
            interface: known.interface,
            virtual_router_id: known.vrid,
            skipped: 0,
        })
    }

    /// Everything is about to be handed over.
    pub fn end(&self) {
        self.locked().ending = true;
    }

    /// All addresses are gone: waits until everybody has been told, for a bounded time.
    pub async fn finish(&self) {
        let groups = self.locked().stop_groups();
        for fresh in groups {
            let number = format!("stop-{}", fresh.subject.name());
            for report in self.tell(fresh, Stamp::now(), &number) {
                tracing::warn!(outlet = report.outlet, "too much waits to be told");
            }
        }
        let left = self.notifiers.finish(FAREWELL).await;
        if left > 0 {
            tracing::warn!(left, "notifications were not told to their end");
        }
        self.locked().closed = true;
        if let Err(error) = told::remove(&self.directory) {
            tracing::warn!(%error, "cannot remove what notifiers were told");
        }
    }

    /// Another agent is about to go on: what has begun may end, for a bounded time, and the rest is left to it.
    pub async fn hand_on(&self) {
        self.notifiers.pause(PAUSE).await;
        self.save();
    }

    /// It does not go on after all.
    pub fn resume(&self) {
        self.notifiers.resume();
    }

    /// Writes down what is left to the next agent.
    pub fn save(&self) {
        if let Err(error) = self.write() {
            tracing::warn!(%error, "cannot write what notifiers were told");
        }
    }

    fn write(&self) -> io::Result<()> {
        let mut waiting = self.notifiers.unfinished();
        let mut memory = self.locked();
        waiting.extend(memory.left.values().flatten().cloned());
        let told = |(subject, known): (&Subject, &Known)| Some((subject.clone(), known.told?));
        let states: BTreeMap<_, _> = memory.subjects.iter().filter_map(told).collect();
        let told = Told { states, waiting };
        if memory.closed || (told == Told::default() && !memory.filed) {
            return Ok(());
        }
        memory.filed = true;
        told::write(&self.directory, &clock::boot_id()?, clock::now(), &told)
    }

    /// Keeps what is left to the next agent true, should this one fall; never ends.
    pub async fn keep(&self) {
        let mut progress = self.notifiers.progress();
        // It cannot fail: the other end is ours.
        while progress.changed().await.is_ok() {
            self.save();
            sleep(PACE).await;
        }
    }

    /// Every notifier as the report shows it.
    pub fn view(&self, clocks: Clocks) -> Vec<report::Notifier> {
        self.notifiers.view().into_iter().map(|view| shown(view, clocks)).collect()
    }

    /// What does not work at the moment.
    pub fn warnings(&self) -> Vec<String> {
        let trouble = |view: View| {
            let why = view.trouble?;
            let kind = view.key.kind();
            if matches!(view.key, Key::FifoReader(_)) {
                return Some(format!("{kind} {}: {why}", view.target));
            }
            let whose = view.key.about().map(|about| format!("{about}: ")).unwrap_or_default();
            let what = view.last.map(|last| format!("{} of {}", last.state.as_str(), last.about));
            Some(format!("{whose}{kind} {} was not told {}: {why}", view.target, what.unwrap_or_default()))
        };
        self.notifiers.view().into_iter().filter_map(trouble).collect()
    }

    fn locked(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is to be told.
struct Fresh {
    subject: Subject,
    state: Word,
    previous: Option<Word>,
    reason: String,
    known: Known,
}

impl Memory {
    /// The groups end with their members, which have said so one by one.
    fn stop_groups(&mut self) -> Vec<Fresh> {
        let reason = Reason::Stopping.to_string();
        let stop = |(subject, known): (&Subject, &mut Known)| {
            let previous = known.told.filter(|told| subject.instance().is_none() && *told != Word::Stop)?;
            known.told = Some(Word::Stop);
            let (subject, reason, known) = (subject.clone(), reason.clone(), known.clone());
            Some(Fresh { subject, state: Word::Stop, previous: Some(previous), reason, known })
        };
        self.subjects.iter_mut().filter_map(stop).collect()
    }

    /// What an earlier agent left for those who act on it, if a subject still is as it said; otherwise that is forgotten.
    fn release(&mut self, subject: &Subject, leaving: bool, what: &What) -> Vec<(Key, News)> {
        let (What::Transition { to, reason, .. } | What::GroupTransition { to, reason, .. }) = what else {
            return Vec::new();
        };
        let Some(word) = word(*to, reason, self.ending, leaving) else { return Vec::new() };
        let left = self.left.remove(subject).unwrap_or_default();
        if self.subjects.get(subject).is_some_and(|known| known.told == Some(word)) {
            return left;
        }
        if let Some((_, news)) = left.last() {
            tracing::info!(
                about = %subject,
                "{} was not told to its end by the agent before this one, and is so no more",
                news.state.as_str()
            );
        }
        Vec::new()
    }

    /// What `what` is to those who are told, if it is anything.
    fn news(&mut self, subject: Subject, leaving: bool, what: &What) -> Option<Fresh> {
        let ending = self.ending;
        let known = self.subjects.entry(subject.clone()).or_default();
        let previous = known.told;
        let (state, reason) = match what {
            What::Transition { from: _, to, reason, priority } => {
                known.priority = priority.get();
                (
                    word(*to, reason, ending, leaving).filter(|word| previous != Some(*word))?,
                    reason.to_string(),
                )
            }
            What::GroupTransition { group: _, from: _, to, reason } => (
                word(*to, reason, ending, leaving).filter(|word| previous != Some(*word))?,
                reason.to_string(),
            ),
            What::Priority { from, to } => {
                known.priority = to.get();
                let word = match previous {
                    Some(Word::Master) => Word::MasterPriority,
                    Some(Word::Backup) => Word::BackupPriority,
                    _ => return None,
                };
                (word, format!("priority {from} -> {to}"))
            }
            What::Rival { family: _, address, priority }
                if *priority != Priority::RESIGN && previous == Some(Word::Master) =>
            {
                (Word::LowerAdvert, format!("{address} says that it is master too, priority {priority}"))
            }
            _ => return None,
        };
        if state.is_state() {
            known.told = Some(state);
        }
        let known = known.clone();
        if state == Word::Deleted {
            self.subjects.remove(&subject);
        }
        Some(Fresh { subject, state, previous, reason, known })
    }
}

/// The word for a state, if it is one that others are told of.
fn word(to: State, reason: &Reason, ending: bool, leaving: bool) -> Option<Word> {
    let mut reason = reason;
    while let Reason::Member { why, .. } = reason {
        reason = why;
    }
    match (to, reason) {
        // On its way out; the end of it is what is told.
        (State::Backup, Reason::HandingOver) if ending || leaving => None,
        (State::Master, _) => Some(Word::Master),
        (State::Backup, _) => Some(Word::Backup),
        (State::Fault, _) => Some(Word::Fault),
        (State::Init, Reason::Stopping) if ending => Some(Word::Stop),
        (State::Init, Reason::Stopping) if leaving => Some(Word::Deleted),
        // It begins anew, and says more in a moment.
        (State::Init, _) => None,
    }
}

fn shown(view: View, clocks: Clocks) -> report::Notifier {
    let (instance, group) = match view.key.about() {
        Some(Subject::Instance(name)) => (Some(name.clone()), None),
        Some(Subject::Group(name)) => (None, Some(name.clone())),
        None => (None, None),
    };
    let last = view.last.map(|last| report::Told {
        about: last.about.to_string(),
        state: last.state.as_str().to_owned(),
        time: clocks.stamp(last.at),
        ok: last.outcome.is_ok(),
        result: last.outcome.unwrap_or_else(|why| why),
    });
    report::Notifier {
        kind: view.key.kind().to_owned(),
        target: view.target,
        instance,
        group,
        delivered: view.delivered,
        failed: view.failed,
        dropped: view.dropped,
        waiting: view.waiting,
        last,
    }
}

/// How long the end of the agent waits for those who are told of it.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long an upgrade waits for what has begun.
const PAUSE: Duration = Duration::from_secs(2);
/// How often the file is written at most.
const PACE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        Subject::Instance("web".to_owned())
    }

    fn transition(to: State, reason: Reason) -> What {
        What::Transition { from: State::Init, to, reason, priority: Priority::new(150) }
    }

    fn told(memory: &mut Memory, leaving: bool, what: &What) -> Option<(Word, Option<Word>, u8)> {
        memory.news(subject(), leaving, what).map(|news| (news.state, news.previous, news.known.priority))
    }

    #[test]
    fn a_state_is_told_when_it_differs_from_the_one_told_last() {
        let mut memory = Memory::default();
        let backup = transition(State::Backup, Reason::Listening);
        assert_eq!(told(&mut memory, false, &backup), Some((Word::Backup, None, 150)));
        assert_eq!(told(&mut memory, false, &transition(State::Init, Reason::Opening)), None);
        assert_eq!(told(&mut memory, false, &backup), None);
        let master = transition(State::Master, Reason::Owner);
        assert_eq!(told(&mut memory, false, &master), Some((Word::Master, Some(Word::Backup), 150)));
    }

    fn left(memory: &mut Memory) {
        let news = News {
            id: "lb1-1-2".to_owned(),
            time: "2026-11-21T10:25:00.000Z".to_owned(),
            node: "lb1".to_owned(),
            subject: subject(),
            state: Word::Master,
            previous: None,
            reason: "x".to_owned(),
            priority: 150,
            interface: None,
            virtual_router_id: None,
            skipped: 0,
        };
        memory.left.insert(subject(), vec![(Key::Script(subject()), news)]);
        memory.subjects.insert(subject(), Known { told: Some(Word::Master), ..Known::default() });
    }

    #[test]
    fn what_an_earlier_agent_left_is_told_if_it_is_so_still() {
        let mut memory = Memory::default();
        left(&mut memory);
        let init = transition(State::Init, Reason::Opening);
        assert_eq!(memory.release(&subject(), false, &init), []);
        let master = transition(State::Master, Reason::Owner);
        assert_eq!(memory.release(&subject(), false, &master).len(), 1);
        assert_eq!(told(&mut memory, false, &master), None, "once is enough");
        assert_eq!(memory.release(&subject(), false, &master), []);
    }

    #[test]
    fn what_an_earlier_agent_left_gives_way_to_what_is_so_now() {
        let mut memory = Memory::default();
        left(&mut memory);
        let backup = transition(State::Backup, Reason::Listening);
        assert_eq!(memory.release(&subject(), false, &backup), []);
        assert_eq!(told(&mut memory, false, &backup), Some((Word::Backup, Some(Word::Master), 150)));
        let master = transition(State::Master, Reason::Owner);
        assert_eq!(memory.release(&subject(), false, &master), []);
        assert_eq!(told(&mut memory, false, &master), Some((Word::Master, Some(Word::Backup), 150)));
    }

    #[test]
    fn a_stop_is_one_piece_of_news() {
        let mut memory = Memory::default();
        told(&mut memory, false, &transition(State::Master, Reason::Owner));
        memory.ending = true;
        assert_eq!(told(&mut memory, false, &transition(State::Backup, Reason::HandingOver)), None);
        let stopped = transition(State::Init, Reason::Stopping);
        assert_eq!(told(&mut memory, false, &stopped), Some((Word::Stop, Some(Word::Master), 150)));
    }

    #[test]
    fn whoever_is_not_configured_any_more_is_deleted_and_may_begin_anew() {
        let mut memory = Memory::default();
        told(&mut memory, false, &transition(State::Master, Reason::Owner));
        assert_eq!(told(&mut memory, true, &transition(State::Backup, Reason::HandingOver)), None);
        let gone = transition(State::Init, Reason::Stopping);
        assert_eq!(told(&mut memory, true, &gone), Some((Word::Deleted, Some(Word::Master), 150)));
        let again = transition(State::Backup, Reason::Listening);
        assert_eq!(told(&mut memory, false, &again), Some((Word::Backup, None, 150)));
    }

    #[test]
    fn a_step_down_is_told_although_it_is_a_hand_over() {
        let mut memory = Memory::default();
        told(&mut memory, false, &transition(State::Master, Reason::Owner));
        let down = transition(State::Backup, Reason::HandingOver);
        assert_eq!(told(&mut memory, false, &down), Some((Word::Backup, Some(Word::Master), 150)));
    }

    #[test]
    fn priorities_and_lower_adverts_are_told_in_the_state_in_which_they_mean_something() {
        let mut memory = Memory::default();
        let changed = What::Priority { from: Priority::new(150), to: Priority::new(90) };
        let rival = |priority| What::Rival {
            family: crate::net::Family::Ipv4,
            address: "192.0.2.2".parse().unwrap(),
            priority,
        };
        assert_eq!(told(&mut memory, false, &changed), None);
        told(&mut memory, false, &transition(State::Backup, Reason::Listening));
        assert_eq!(told(&mut memory, false, &changed), Some((Word::BackupPriority, Some(Word::Backup), 90)));
        assert_eq!(told(&mut memory, false, &rival(Priority::new(80))), None);
        told(&mut memory, false, &transition(State::Master, Reason::Owner));
        assert_eq!(
            told(&mut memory, false, &rival(Priority::new(80))),
            Some((Word::LowerAdvert, Some(Word::Master), 150))
        );
        assert_eq!(told(&mut memory, false, &rival(Priority::RESIGN)), None);
    }
}
