//! What each check says now, and what that means to those who track it.
//!
//! At a cold start a check that has not spoken counts as down: nobody serves on trust. A check that a reload adds has
//! no effect until it has spoken: nobody loses the addresses over a check that has not run.
//!
//! A check may be asked to stand by its word for a while before it counts:
//!
//! ```text
//!          says DOWN                 down_delay is over
//!    UP ---------------> UP, waits ----------------------> DOWN         and the same the other way, with up_delay
//!       <---------------
//!           says UP
//! ```
//!
//! The first word counts at once, for there is none to hold on to. Some checks have a value besides; that is never delayed.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::links::Links;
use super::notice::{Reason, What};
use super::settings::{Check, CheckSource, Effect, Track};
use super::status::{CheckStatus, Pending};
use crate::proto::health::Verdict;
use crate::time::Instant;

/// Every check's last word.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdicts {
    checks: BTreeMap<String, Known>,
}

#[derive(Clone, Debug)]
struct Known {
    check: Check,
    verdict: Option<Verdict>,
    since: Instant,
    /// The other verdict, which it gives if it stands by it for long enough.
    waits: Option<Waiting>,
    /// What a file said last.
    value: Option<i32>,
    /// Whether it counts as down until it has spoken.
    counts_unheard: bool,
}

#[derive(Clone, Debug)]
struct Waiting {
    verdict: Verdict,
    until: Instant,
    why: String,
}

/// A check changed its verdict.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub(super) check: String,
    pub(super) verdict: Verdict,
    pub(super) why: String,
}

/// What a check means to those who track it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Up,
    Down,
    /// New, and has not spoken: no effect either way.
    Unheard,
    /// A value, whatever its verdict.
    Value(i32),
}

impl Verdicts {
    /// The checks of a configuration; those that stay keep their verdicts.
    pub(super) fn configure(&mut self, now: Instant, checks: &[Check], cold: bool) {
        let mut old = core::mem::take(&mut self.checks);
        for check in checks {
            let known = match old.remove(&check.name) {
                Some(known) if known.check.source.is_like(&check.source) => known.reconfigured(check, now),
                Some(_) | None => Known::new(check, now, cold),
            };
            self.checks.insert(check.name.clone(), known);
        }
    }

    /// The last words that an earlier agent heard count until there are new ones.
    pub(super) fn inherit(
        &mut self,
        now: Instant,
        words: &BTreeMap<String, Verdict>,
        values: &BTreeMap<String, i32>,
    ) {
        for (name, known) in &mut self.checks {
            if let Some(verdict) = words.get(name) {
                known.verdict = Some(*verdict);
                known.since = now;
            }
            if let (CheckSource::Value, Some(value)) = (&known.check.source, values.get(name)) {
                known.value = Some(*value);
            }
        }
    }

    /// The last word of each check that has spoken.
    pub(super) fn words(&self) -> BTreeMap<String, Verdict> {
        self.checks.iter().filter_map(|(name, known)| Some((name.clone(), known.verdict?))).collect()
    }

    /// The last value of each check that has one.
    pub(super) fn values(&self) -> BTreeMap<String, i32> {
        self.checks.iter().filter_map(|(name, known)| Some((name.clone(), known.value?))).collect()
    }

    /// A probe's verdict. Returns the change, if it is one and counts at once.
    pub(super) fn update(&mut self, now: Instant, check: &str, verdict: Verdict, why: &str) -> Option<Edge> {
        self.checks.get_mut(check)?.say(now, verdict, why)
    }

    /// A probe's value. Returns what there is to tell if it is news.
    pub(super) fn set_value(&mut self, now: Instant, check: &str, value: i32) -> Option<What> {
        let known = self.checks.get_mut(check).filter(|known| known.value != Some(value))?;
        known.since = now;
        Some(What::Value { check: String::from(check), before: known.value.replace(value), value })
    }

    /// Looks at the interfaces again.
    pub(super) fn look(&mut self, now: Instant, links: &Links) -> Vec<Edge> {
        let mut edges = Vec::new();
        for known in self.checks.values_mut() {
            if let CheckSource::Interface(interface) = &known.check.source {
                let up = links.named(interface).is_some_and(|link| link.up);
                let (verdict, why) = if up {
                    (Verdict::Up, "the interface is up")
                } else {
                    (Verdict::Down, "the interface is missing, down or without carrier")
                };
                edges.extend(known.say(now, verdict, why));
            }
        }
        edges
    }

    /// When a delay is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.checks.values().filter_map(|known| Some(known.waits.as_ref()?.until)).min()
    }

    /// Those whose delay is over.
    pub(super) fn mature(&mut self, now: Instant) -> Vec<Edge> {
        self.checks.values_mut().filter_map(|known| known.mature(now)).collect()
    }

    /// What tracks add to the priority.
    pub(super) fn weight(&self, tracks: &[Track]) -> i32 {
        tracks.iter().map(|track| self.adds(track)).sum()
    }

    /// What one track adds to the priority.
    pub(super) fn adds(&self, track: &Track) -> i32 {
        track.effect.adds(self.standing(&track.check))
    }

    /// Why tracks mean FAULT, if they do.
    pub(super) fn fault(&self, tracks: &[Track]) -> Option<Reason> {
        tracks.iter().find_map(|track| self.faults(track))
    }

    /// Why one track means FAULT, if it does.
    pub(super) fn faults(&self, track: &Track) -> Option<Reason> {
        let standing = self.standing(&track.check);
        let check = || track.check.clone();
        track.effect.is_fault(standing).then(|| match standing {
            Standing::Value(value) => Reason::CheckValue { check: check(), value },
            Standing::Up => Reason::CheckUp { check: check() },
            Standing::Down | Standing::Unheard => Reason::CheckDown { check: check() },
        })
    }

    fn standing(&self, check: &str) -> Standing {
        let Some(known) = self.checks.get(check) else { return Standing::Unheard };
        match (known.value, known.verdict) {
            (Some(value), _) => Standing::Value(value),
            (None, Some(Verdict::Up)) => Standing::Up,
            (None, Some(Verdict::Down)) => Standing::Down,
            (None, None) if known.counts_unheard => Standing::Down,
            (None, None) => Standing::Unheard,
        }
    }

    /// Its last word, and since when.
    pub(super) fn last(&self, check: &str) -> (Option<Verdict>, Instant) {
        self.checks.get(check).map_or((None, Instant::BOOT), |known| (known.verdict, known.since))
    }

    /// What a file said last.
    pub(super) fn value(&self, check: &str) -> Option<i32> {
        self.checks.get(check)?.value
    }

    /// Every check, by name.
    pub(super) fn status(&self) -> Vec<CheckStatus> {
        self.checks.values().map(Known::status).collect()
    }
}

impl Known {
    fn new(check: &Check, now: Instant, cold: bool) -> Self {
        let check = check.clone();
        Self { check, verdict: None, since: now, waits: None, value: None, counts_unheard: cold }
    }

    /// What waits does so from now on, for as long as it is told now.
    fn reconfigured(mut self, check: &Check, now: Instant) -> Self {
        if self.check != *check {
            self.check = check.clone();
            self.value = self.value.filter(|_| check.source == CheckSource::Value);
            if let Some(mut waits) = self.waits.take() {
                waits.until = now + self.check.delay(waits.verdict);
                self.waits = Some(waits);
            }
        }
        self
    }

    fn say(&mut self, now: Instant, verdict: Verdict, why: &str) -> Option<Edge> {
        if self.verdict == Some(verdict) {
            self.waits = None;
            return None;
        }
        let delay = self.check.delay(verdict);
        if self.verdict.is_none() || delay.is_zero() {
            return Some(self.set(now, verdict, String::from(why)));
        }
        if self.waits.is_none() {
            self.waits = Some(Waiting { verdict, until: now + delay, why: String::from(why) });
        }
        None
    }

    fn mature(&mut self, now: Instant) -> Option<Edge> {
        let waits = self.waits.take_if(|waits| waits.until <= now)?;
        Some(self.set(now, waits.verdict, waits.why))
    }

    fn set(&mut self, now: Instant, verdict: Verdict, why: String) -> Edge {
        self.verdict = Some(verdict);
        self.since = now;
        self.waits = None;
        Edge { check: self.check.name.clone(), verdict, why }
    }

    fn status(&self) -> CheckStatus {
        CheckStatus {
            name: self.check.name.clone(),
            up: self.verdict.map(|verdict| verdict == Verdict::Up),
            since: self.since,
            value: self.value,
            pending: self
                .waits
                .as_ref()
                .map(|waits| Pending { up: waits.verdict == Verdict::Up, at: waits.until }),
        }
    }
}

impl CheckSource {
    /// Whether the last word of the one stands for the other's until that has spoken.
    fn is_like(&self, other: &Self) -> bool {
        let is_interface = |source: &Self| matches!(source, Self::Interface(_));
        self == other || !is_interface(self) && !is_interface(other)
    }
}

impl Effect {
    /// What this effect adds to the priority.
    fn adds(self, standing: Standing) -> i32 {
        let weighs = |weight: i16| match standing {
            Standing::Down if weight < 0 => i32::from(weight),
            Standing::Up if weight > 0 => i32::from(weight),
            Standing::Up | Standing::Down | Standing::Unheard | Standing::Value(_) => 0,
        };
        match (self, standing) {
            (Self::Weight(weight), _) => weighs(weight),
            (Self::ReversedWeight(weight), _) => -weighs(weight),
            (Self::Multiply(by), Standing::Value(value)) => product(value, by).clamp(LEAST, MOST),
            (Self::Multiply(_) | Self::Fault | Self::FaultWhileUp, _) => 0,
        }
    }

    /// Whether this effect means FAULT.
    fn is_fault(self, standing: Standing) -> bool {
        match (self, standing) {
            (Self::Fault, Standing::Value(value)) => value != 0,
            (Self::FaultWhileUp, Standing::Value(value)) => value == 0,
            (Self::Fault, _) => standing == Standing::Down,
            (Self::FaultWhileUp, _) => standing == Standing::Up,
            (Self::Multiply(by), Standing::Value(value)) => product(value, by) <= LEAST,
            (Self::Multiply(_) | Self::Weight(_) | Self::ReversedWeight(_), _) => false,
        }
    }
}

fn product(value: i32, by: i16) -> i32 {
    value.saturating_mul(i32::from(by))
}

/// What lowers every priority below 1 is no weight any more but FAULT.
const LEAST: i32 = -254;
/// From 1 to 254.
const MOST: i32 = 253;
