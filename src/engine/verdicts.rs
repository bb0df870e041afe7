//! What each check says now, and what that means to those who track it.
//!
//! At a cold start a check that has not spoken counts as down: nobody serves on trust. A check that a reload adds has
//! no effect until it has spoken: nobody loses the addresses over a check that has not run.

use alloc::collections::BTreeMap;
use alloc::string::String;

use super::links::Links;
use super::settings::{Check, CheckSource, Effect};
use crate::proto::health::Verdict;
use crate::time::Instant;

/// Every check's last word.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    checks: BTreeMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    source: CheckSource,
    verdict: Option<Verdict>,
    since: Instant,
    /// Whether it counts as down until it has spoken.
    counts_unheard: bool,
}

/// What a check means to those who track it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Up,
    Down,
    /// New, and has not spoken: no effect either way.
    Unheard,
}

impl Verdicts {
    /// The checks of a configuration; those that stay keep their verdicts.
    pub(super) fn configure(&mut self, now: Instant, checks: &[Check], cold: bool) {
        let mut old = core::mem::take(&mut self.checks);
        for check in checks {
            let known = match old.remove(&check.name) {
                Some(known) if known.source == check.source => known,
                Some(_) | None => {
                    Known { source: check.source.clone(), verdict: None, since: now, counts_unheard: cold }
                }
            };
            self.checks.insert(check.name.clone(), known);
        }
    }

    /// The last words that an earlier agent heard count until there are new ones.
    pub(super) fn inherit(&mut self, now: Instant, words: &BTreeMap<String, Verdict>) {
        for (check, verdict) in words {
            if let Some(known) = self.checks.get_mut(check).filter(|known| known.source == CheckSource::Probe)
            {
                known.set(now, *verdict);
            }
        }
    }

    /// The last word of each check that is a probe and has spoken.
    pub(super) fn of_probes(&self) -> BTreeMap<String, Verdict> {
        let probes = self.checks.iter().filter(|(_, known)| known.source == CheckSource::Probe);
        probes.filter_map(|(name, known)| Some((name.clone(), known.verdict?))).collect()
    }

    /// A probe's verdict. Returns whether it is news.
    pub(super) fn update(&mut self, now: Instant, check: &str, verdict: Verdict) -> bool {
        let Some(known) = self.checks.get_mut(check) else { return false };
        known.set(now, verdict)
    }

    /// Looks at the interfaces again. Returns the names of the checks whose verdict changed, with it.
    pub(super) fn look(&mut self, now: Instant, links: &Links) -> alloc::vec::Vec<(String, Verdict)> {
        let mut changed = alloc::vec::Vec::new();
        for (name, known) in &mut self.checks {
            if let CheckSource::Interface(interface) = &known.source {
                let up = links.named(interface).is_some_and(|link| link.up);
                let verdict = if up { Verdict::Up } else { Verdict::Down };
                if known.set(now, verdict) {
                    changed.push((name.clone(), verdict));
                }
            }
        }
        changed
    }

    /// What a check means now.
    pub(super) fn standing(&self, check: &str) -> Standing {
        match self.checks.get(check).map(|known| (known.verdict, known.counts_unheard)) {
            Some((Some(Verdict::Up), _)) => Standing::Up,
            Some((Some(Verdict::Down), _) | (None, true)) => Standing::Down,
            Some((None, false)) | None => Standing::Unheard,
        }
    }

    /// Its last word, and since when.
    pub(super) fn last(&self, check: &str) -> (Option<Verdict>, Instant) {
        self.checks.get(check).map_or((None, Instant::BOOT), |known| (known.verdict, known.since))
    }
}

impl Known {
    fn set(&mut self, now: Instant, verdict: Verdict) -> bool {
        if self.verdict == Some(verdict) {
            return false;
        }
        self.verdict = Some(verdict);
        self.since = now;
        true
    }
}

impl Effect {
    /// What this effect adds to the priority.
    pub(super) fn weight(self, standing: Standing) -> i32 {
        match (self, standing) {
            (Self::Weight(weight), Standing::Down) if weight < 0 => i32::from(weight),
            (Self::Weight(weight), Standing::Up) if weight > 0 => i32::from(weight),
            (Self::Weight(_) | Self::Fault, Standing::Up | Standing::Down | Standing::Unheard) => 0,
        }
    }

    /// Whether this effect bears on the instance now.
    pub(super) fn bears(self, standing: Standing) -> bool {
        match self {
            Self::Weight(_) => self.weight(standing) != 0,
            Self::Fault => standing == Standing::Down,
        }
    }
}
