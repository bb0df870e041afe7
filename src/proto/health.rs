//! The rise and fall of one check: results in, a verdict out when it changes.
//!
//! It is apart from the probes because it decides and they only look: a second driver can feed it results
//! in virtual time, and a reload can keep it while the probe is replaced.
//!
//! ```text
//!                    rise successes in a row
//!             +-----------------------------------------> UP <----+
//!         UNKNOWN                                         |       | rise successes
//!             +--------------------------------> DOWN <---+-------+ in a row
//!               1 failure, or no result in time    fall failures in a row, or no result in time
//! ```
//!
//! * **Unknown.** Until the first verdict a single failure decides for DOWN, `fall` or not: a check fails
//!   closed. UP has to be earned with `rise` successes from the start. An `initial` verdict skips this.
//! * **Silence.** A probe answers at least once per interval + timeout. When it does not, nothing is known
//!   any more and the verdict is DOWN at once, [`LATENESS`] after that moment; successes before the gap do
//!   not count towards the next rise.

use crate::time::{Duration, Instant};

/// What a check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It may be relied on.
    Up,
    /// It may not.
    Down,
}

/// What one run of a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// What was asked for.
    Success,
    /// Anything else, a timeout included.
    Failure,
}

/// How results become a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The time between the starts of two runs.
    pub interval: Duration,
    /// How long one run may take.
    pub timeout: Duration,
    /// How many successes in a row make it up; 0 is read as 1.
    pub rise: u32,
    /// How many failures in a row make it down; 0 is read as 1.
    pub fall: u32,
    /// The verdict before the first result; without one it is unknown.
    pub initial: Option<Verdict>,
}

impl Settings {
    /// How long a result is good for.
    fn patience(&self) -> Duration {
        self.interval.saturating_add(self.timeout).saturating_add(LATENESS)
    }
}

/// The machine of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    settings: Settings,
    verdict: Option<Verdict>,
    /// Results in a row that speak against the verdict; successes while it is unknown.
    contrary: u32,
    /// When the last result is too old; `None` once that has been told.
    expires: Option<Instant>,
}

impl Health {
    /// A check that starts at `now`; its first result is due within interval + timeout.
    pub fn new(settings: Settings, now: Instant) -> Self {
        Self { settings, verdict: settings.initial, contrary: 0, expires: Some(now + settings.patience()) }
    }

    /// What it says; `None` until the first verdict.
    pub const fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// How many results in a row speak against the verdict (while it is unknown: successes so far).
    pub const fn contrary(&self) -> u32 {
        self.contrary
    }

    /// Takes a result that became known at `now`; answers the verdict if it changed.
    ///
    /// Whether or not [`Self::tick`] has run before makes no difference: a gap before this result is a gap.
    pub fn handle(&mut self, now: Instant, outcome: Outcome) -> Option<Verdict> {
        let before = self.verdict;
        self.expire(now);
        self.expires = Some(now + self.settings.patience());
        match (self.verdict, outcome) {
            (Some(Verdict::Up), Outcome::Success) | (Some(Verdict::Down), Outcome::Failure) => {
                self.contrary = 0;
            }
            (None, Outcome::Failure) => self.decide(Verdict::Down),
            (None | Some(Verdict::Down), Outcome::Success) => self.count(self.settings.rise, Verdict::Up),
            (Some(Verdict::Up), Outcome::Failure) => self.count(self.settings.fall, Verdict::Down),
        }
        self.edge(before)
    }

    /// When [`Self::tick`] wants to be called next.
    pub const fn deadline(&self) -> Option<Instant> {
        self.expires
    }

    /// Notices that the last result is too old; answers the verdict if it changed. Early calls do nothing.
    ///
    /// Results that are already waiting come first.
    pub fn tick(&mut self, now: Instant) -> Option<Verdict> {
        let before = self.verdict;
        self.expire(now);
        self.edge(before)
    }

    /// Changes the settings in place: verdict and counts stay, and the next result decides by the new ones.
    ///
    /// The wait for that result starts at `now`: a shorter interval must not make the last result old at once.
    pub fn reconfigure(&mut self, now: Instant, settings: Settings) {
        self.settings = settings;
        self.expires = self.expires.map(|_| now + settings.patience());
    }

    fn expire(&mut self, now: Instant) {
        if self.expires.is_some_and(|at| now >= at) {
            self.expires = None;
            self.decide(Verdict::Down);
        }
    }

    fn count(&mut self, needed: u32, towards: Verdict) {
        self.contrary = self.contrary.saturating_add(1);
        if self.contrary >= needed {
            self.decide(towards);
        }
    }

    const fn decide(&mut self, verdict: Verdict) {
        self.verdict = Some(verdict);
        self.contrary = 0;
    }

    fn edge(&self, before: Option<Verdict>) -> Option<Verdict> {
        self.verdict.filter(|verdict| Some(*verdict) != before)
    }
}

/// What a result may be late by, over interval + timeout, before silence counts.
///
/// A run that times out is known exactly then, plus the time it takes to say so. Without an allowance the
/// first timeout would race its own deadline, and `fall` would mean nothing for a server that hangs.
pub const LATENESS: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::Outcome::{Failure, Success};
    use super::Verdict::{Down, Up};
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    const SETTINGS: Settings =
        Settings { interval: SECOND, timeout: Duration::from_millis(500), rise: 2, fall: 3, initial: None };

    fn seconds(n: u64) -> Instant {
        Instant::BOOT + Duration::from_secs(n)
    }

    /// The edges that results one second apart bring about.
    fn edges(health: &mut Health, outcomes: &[Outcome]) -> Vec<Option<Verdict>> {
        (1..).zip(outcomes).map(|(n, outcome)| health.handle(seconds(n), *outcome)).collect()
    }

    fn with(initial: Option<Verdict>) -> Health {
        Health::new(Settings { initial, ..SETTINGS }, Instant::BOOT)
    }

    #[test]
    fn a_check_is_unknown_until_its_first_verdict() {
        let mut health = with(None);
        assert_eq!(health.verdict(), None);
        assert_eq!(health.handle(seconds(1), Success), None);
        assert_eq!(health.verdict(), None);
    }

    #[test]
    fn an_unknown_check_goes_up_after_rise_successes_in_a_row() {
        assert_eq!(edges(&mut with(None), &[Success, Success, Success]), [None, Some(Up), None]);
    }

    #[test]
    fn an_unknown_check_goes_down_at_its_first_failure() {
        assert_eq!(edges(&mut with(None), &[Failure]), [Some(Down)]);
        assert_eq!(edges(&mut with(None), &[Success, Failure]), [None, Some(Down)]);
    }

    #[test]
    fn a_check_that_is_up_goes_down_after_fall_failures_in_a_row() {
        assert_eq!(edges(&mut with(Some(Up)), &[Failure, Failure, Failure]), [None, None, Some(Down)]);
    }

    #[test]
    fn one_success_starts_the_count_of_failures_again() {
        let mut health = with(Some(Up));
        assert_eq!(edges(&mut health, &[Failure, Failure, Success, Failure, Failure]), [None; 5]);
        assert_eq!(health.contrary(), 2);
        assert_eq!(health.verdict(), Some(Up));
    }

    #[test]
    fn one_failure_starts_the_count_of_successes_again() {
        let mut health = with(Some(Down));
        assert_eq!(edges(&mut health, &[Success, Failure, Success, Success]), [None, None, None, Some(Up)]);
    }

    #[test]
    fn a_result_that_agrees_with_the_verdict_is_no_edge() {
        assert_eq!(edges(&mut with(Some(Up)), &[Success; 4]), [None; 4]);
        assert_eq!(edges(&mut with(Some(Down)), &[Failure; 4]), [None; 4]);
    }

    #[test]
    fn an_initial_verdict_holds_from_the_start_and_is_no_edge() {
        assert_eq!(with(Some(Up)).verdict(), Some(Up));
        assert_eq!(with(Some(Down)).verdict(), Some(Down));
        assert_eq!(with(Some(Up)).handle(seconds(1), Failure), None);
    }

    #[test]
    fn rise_and_fall_of_zero_are_read_as_one() {
        let mut health =
            Health::new(Settings { rise: 0, fall: 0, initial: Some(Down), ..SETTINGS }, Instant::BOOT);
        assert_eq!(edges(&mut health, &[Success, Failure]), [Some(Up), Some(Down)]);
    }

    #[test]
    fn a_result_older_than_interval_and_timeout_counts_as_down() {
        let mut health = with(Some(Up));
        health.handle(seconds(1), Success);
        let deadline = seconds(1) + SETTINGS.interval + SETTINGS.timeout + LATENESS;
        assert_eq!(health.deadline(), Some(deadline));
        assert_eq!(health.tick(deadline - Duration::from_nanos(1)), None);
        assert_eq!(health.tick(deadline), Some(Down));
        assert_eq!(health.deadline(), None);
    }

    #[test]
    fn silence_is_told_once() {
        let mut health = with(Some(Up));
        assert_eq!(health.tick(seconds(60)), Some(Down));
        assert_eq!(health.tick(seconds(120)), None);
        assert_eq!(health.tick(seconds(180)), None);
    }

    #[test]
    fn a_check_that_never_reports_goes_down() {
        let mut health = with(None);
        assert!(health.deadline().is_some());
        assert_eq!(health.tick(seconds(60)), Some(Down));
    }

    #[test]
    fn successes_before_a_silence_do_not_count_towards_the_rise() {
        let mut health = with(Some(Down));
        assert_eq!(health.handle(seconds(1), Success), None);
        assert_eq!(health.tick(seconds(60)), None, "it was down already");
        assert_eq!(health.handle(seconds(61), Success), None);
        assert_eq!(health.handle(seconds(62), Success), Some(Up));
    }

    #[test]
    fn a_first_timeout_is_judged_by_fall_and_not_by_silence() {
        let mut health = with(Some(Up));
        health.handle(seconds(1), Success);
        let timed_out = seconds(2) + SETTINGS.timeout + Duration::from_millis(20);
        assert_eq!(health.tick(timed_out), None);
        assert_eq!(health.handle(timed_out, Failure), None);
        assert_eq!(health.contrary(), 1);
    }

    #[test]
    fn a_gap_counts_even_if_the_result_after_it_arrives_before_the_tick() {
        let mut health = with(Some(Up));
        assert_eq!(health.handle(seconds(60), Success), Some(Down), "rise is 2");
        assert_eq!(health.handle(seconds(61), Success), Some(Up));
    }

    #[test]
    fn a_gap_closed_by_enough_successes_is_no_edge() {
        let mut health = Health::new(Settings { rise: 1, initial: Some(Up), ..SETTINGS }, Instant::BOOT);
        assert_eq!(health.handle(seconds(60), Success), None);
        assert_eq!(health.verdict(), Some(Up));
    }

    #[test]
    fn reconfiguring_keeps_the_verdict_and_the_counts() {
        let mut health = with(Some(Up));
        edges(&mut health, &[Failure, Failure]);
        health.reconfigure(seconds(2), Settings { fall: 4, initial: Some(Down), ..SETTINGS });
        assert_eq!((health.verdict(), health.contrary()), (Some(Up), 2));
        assert_eq!(health.handle(seconds(3), Failure), None);
        assert_eq!(health.handle(seconds(4), Failure), Some(Down));
    }

    #[test]
    fn a_smaller_fall_takes_effect_at_the_next_result_only() {
        let mut health = with(Some(Up));
        edges(&mut health, &[Failure, Failure]);
        health.reconfigure(seconds(2), Settings { fall: 1, ..SETTINGS });
        assert_eq!(health.verdict(), Some(Up));
        assert_eq!(health.clone().handle(seconds(3), Success), None);
        assert_eq!(health.handle(seconds(3), Failure), Some(Down));
    }

    #[test]
    fn a_shorter_interval_does_not_make_the_last_result_old_at_once() {
        let slow = Settings { interval: Duration::from_secs(60), initial: Some(Up), ..SETTINGS };
        let mut health = Health::new(slow, Instant::BOOT);
        health.handle(seconds(1), Success);
        health.reconfigure(seconds(50), SETTINGS);
        assert_eq!(health.tick(seconds(50)), None);
        assert_eq!(health.deadline(), Some(seconds(50) + SETTINGS.patience()));
    }

    #[test]
    fn reconfiguring_a_silent_check_does_not_arm_its_deadline() {
        let mut health = with(Some(Up));
        health.tick(seconds(60));
        health.reconfigure(seconds(61), SETTINGS);
        assert_eq!((health.deadline(), health.verdict()), (None, Some(Down)));
    }

    proptest! {
        #[test]
        fn every_verdict_is_what_the_last_results_say(
            rise in 1..5u32,
            fall in 1..5u32,
            outcomes in prop::collection::vec(prop_oneof![Just(Success), Just(Failure)], 1..60),
        ) {
            let mut health = Health::new(Settings { rise, fall, ..SETTINGS }, Instant::BOOT);
            let mut known = None;
            for (n, outcome) in (1..).zip(&outcomes) {
                let edge = health.handle(seconds(n), *outcome);
                let seen = &outcomes[..usize::try_from(n).unwrap()];
                let row = |of: Outcome| seen.iter().rev().take_while(|o| **o == of).count();
                let next = if row(Success) >= rise as usize {
                    Some(Up)
                } else if row(Failure) >= if known.is_none() { 1 } else { fall as usize } {
                    Some(Down)
                } else {
                    known
                };
                prop_assert_eq!(health.verdict(), next);
                prop_assert_eq!(edge, if next == known { None } else { next });
                known = next;
            }
        }

        #[test]
        fn ticks_on_time_late_or_never_lead_to_the_same_verdict(
            gaps in prop::collection::vec((1..4000u64, any::<bool>(), prop_oneof![Just(Success), Just(Failure)]), 1..40),
        ) {
            let (mut ticked, mut not) = (with(None), with(None));
            let mut now = Instant::BOOT;
            for (gap, late, outcome) in gaps {
                let next = now + Duration::from_millis(gap);
                if let Some(deadline) = ticked.deadline().filter(|at| *at <= next) {
                    ticked.tick(if late { next } else { deadline });
                }
                ticked.handle(next, outcome);
                not.handle(next, outcome);
                prop_assert_eq!(&ticked, &not);
                now = next;
            }
        }
    }
}
