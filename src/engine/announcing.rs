//! When a master announces its addresses again: once more a while after taking them, now and then for ever, and at
//! once when it learns that somebody else was master, too.
//!
//! The last of these is what heals a partition, and what an attacker or a misconfigured host can provoke: as long as
//! reasons follow each other, bursts keep a distance, first of one advert interval, then of 1, 2, 4 .. 30 s. What
//! comes after a second and three intervals without any reason is a new quarrel and starts over: partitions that heal
//! one after the other are each answered at once. A burst that comes too soon is put off, never dropped: the last one
//! always follows the last reason for it.

use super::settings;
use crate::time::{Duration, Instant};

/// An instance's announcements to come.
#[derive(Clone, Debug, Default)]
pub(super) struct Announcing {
    again_at: Option<Instant>,
    lower_again_at: Option<Instant>,
    refresh_at: Option<Instant>,
    defence_at: Option<Instant>,
    /// The last burst of defence, and how many there have been in this quarrel.
    last: Option<Instant>,
    bursts: u32,
    /// The last reason for one.
    reason: Option<Instant>,
    /// So many rounds were due while addresses were still going in: they follow when these are in.
    owed: u32,
}

/// Which kind of burst is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Burst {
    /// Clients may have been told otherwise: at full speed, and so many rounds.
    Defence(u32),
    /// Nothing is known to be wrong: paced, and so many rounds.
    Reminder(u32),
}

impl Announcing {
    /// The addresses are being taken, which announces them once.
    pub(super) fn start(&mut self, now: Instant, settings: &settings::Announce) {
        *self = Self {
            again_at: settings.again_after.map(|after| now + after),
            refresh_at: settings.refresh.map(|every| now + every),
            owed: settings.repeat.saturating_sub(1),
            ..Self::default()
        };
    }

    /// The addresses are no longer ours to announce.
    pub(super) fn stop(&mut self) {
        *self = Self::default();
    }

    /// Somebody else was master, or claims an address: say who is. Returns whether this opens a new quarrel.
    pub(super) fn defend(&mut self, now: Instant, interval: Duration) -> bool {
        let calm = self.reason.is_none_or(|last| now.since(last) >= CALM.max(interval * 3));
        self.reason = Some(now);
        if calm {
            self.bursts = 0;
        }
        let at = self.last.map_or(now, |last| (last + self.distance().max(interval)).max(now));
        let opened = self.defence_at.is_none();
        self.defence_at = Some(self.defence_at.map_or(at, |planned| planned.min(at)));
        opened
    }

    /// How many rounds addresses that were still going in are owed; 0 is none.
    pub(super) fn owed(&self) -> u32 {
        self.owed
    }

    /// Notes, or takes back, that so many rounds come too early for some of the addresses.
    pub(super) fn owe(&mut self, rounds: u32) {
        self.owed = rounds;
    }

    /// How far the next burst keeps from the last, beyond one interval.
    fn distance(&self) -> Duration {
        match self.bursts {
            0 | 1 => Duration::ZERO,
            more => (SECOND * (1 << (more - 2).min(5))).min(LONGEST),
        }
    }

    /// When the next burst is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let all = [self.again_at, self.lower_again_at, self.refresh_at, self.defence_at];
        all.into_iter().flatten().min()
    }

    /// The burst that is due now; the next of its kind is planned.
    pub(super) fn due(&mut self, now: Instant, settings: &settings::Announce) -> Option<Burst> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let mut reminder = 0;
        if is_due(self.again_at) {
            self.again_at = None;
            reminder = settings.repeat;
        }
        if is_due(self.lower_again_at) {
            self.lower_again_at = None;
            reminder = reminder.max(settings.lower_repeat);
        }
        if is_due(self.refresh_at) {
            self.refresh_at = settings.refresh.map(|every| now + every);
            reminder = reminder.max(settings.refresh_repeat);
        }
        if is_due(self.defence_at) {
            self.defence_at = None;
            self.bursts = self.bursts.saturating_add(1);
            self.last = Some(now);
            self.lower_again_at = settings.lower_again_after.map(|after| now + after);
            return Some(Burst::Defence(settings.lower_repeat));
        }
        (reminder > 0).then_some(Burst::Reminder(reminder))
    }
}

const SECOND: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// So long without a reason, and three intervals, end a quarrel.
const CALM: Duration = SECOND;

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: settings::Announce = settings::Announce {
        again_after: None,
        repeat: 1,
        refresh: None,
        refresh_repeat: 1,
        lower_again_after: None,
        lower_repeat: 1,
    };
    const INTERVAL: Duration = Duration::from_millis(100);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn the_first_defence_is_immediate_and_the_second_waits_one_interval() {
        let mut announcing = Announcing::default();
        announcing.start(at(0), &SETTINGS);
        assert!(announcing.defend(at(1000), INTERVAL));
        assert_eq!(announcing.due(at(1000), &SETTINGS), Some(Burst::Defence(1)));
        announcing.defend(at(1001), INTERVAL);
        assert_eq!(announcing.due(at(1099), &SETTINGS), None);
        assert_eq!(announcing.due(at(1100), &SETTINGS), Some(Burst::Defence(1)));
    }

    #[test]
    fn a_lasting_quarrel_slows_down_to_thirty_seconds_and_peace_forgets_it() {
        let mut announcing = Announcing::default();
        let (mut now, mut bursts) = (Instant::from_nanos(1), alloc::vec::Vec::new());
        while now < at(300_000) {
            announcing.defend(now, INTERVAL);
            if announcing.due(now, &SETTINGS).is_some() {
                bursts.push(now);
            }
            now = now + Duration::from_millis(10);
        }
        let gaps: alloc::vec::Vec<_> = bursts.windows(2).map(|w| w[1].since(w[0]).as_millis()).collect();
        assert_eq!(gaps[..7], [100, 1000, 2000, 4000, 8000, 16000, 30000]);
        assert!(gaps[7..].iter().all(|gap| *gap == 30000), "{gaps:?}");
        assert_eq!(announcing.due(at(330_000), &SETTINGS), Some(Burst::Defence(1)));
        assert!(announcing.defend(at(400_000), INTERVAL));
        assert_eq!(announcing.due(at(400_000), &SETTINGS), Some(Burst::Defence(1)));
    }

    #[test]
    fn partitions_that_heal_one_after_the_other_are_each_answered_at_once() {
        let mut announcing = Announcing::default();
        for heal in 0..20 {
            let healed = at(2000 * heal);
            // Both families of the loser say farewell, and its announcement is heard as well.
            for ms in [0, 1, 2] {
                let now = healed + Duration::from_millis(ms);
                announcing.defend(now, INTERVAL);
                let due = announcing.due(now, &SETTINGS);
                assert_eq!(due, (ms == 0).then_some(Burst::Defence(1)), "heal {heal}");
            }
            assert_eq!(announcing.due(healed + INTERVAL, &SETTINGS), Some(Burst::Defence(1)));
        }
    }

    #[test]
    fn a_second_burst_and_refreshes_follow_a_take() {
        let settings = settings::Announce {
            again_after: Some(Duration::from_secs(5)),
            refresh: Some(Duration::from_secs(60)),
            ..SETTINGS
        };
        let mut announcing = Announcing::default();
        announcing.start(at(0), &settings);
        assert_eq!(announcing.deadline(), Some(at(5000)));
        assert_eq!(announcing.due(at(4999), &settings), None);
        assert_eq!(announcing.due(at(5000), &settings), Some(Burst::Reminder(1)));
        assert_eq!(announcing.deadline(), Some(at(60_000)));
        assert_eq!(announcing.due(at(60_000), &settings), Some(Burst::Reminder(1)));
        assert_eq!(announcing.deadline(), Some(at(120_000)));
    }

    #[test]
    fn each_burst_has_as_many_rounds_as_it_is_asked_for() {
        let settings = settings::Announce {
            again_after: Some(Duration::from_secs(5)),
            repeat: 5,
            refresh: Some(Duration::from_secs(60)),
            refresh_repeat: 2,
            lower_again_after: Some(Duration::from_secs(7)),
            lower_repeat: 3,
        };
        let mut announcing = Announcing::default();
        announcing.start(at(0), &settings);
        assert_eq!(announcing.owed(), 4, "one goes out with the addresses");
        assert_eq!(announcing.due(at(5000), &settings), Some(Burst::Reminder(5)));
        announcing.defend(at(6000), INTERVAL);
        assert_eq!(announcing.due(at(6000), &settings), Some(Burst::Defence(3)));
        assert_eq!(announcing.due(at(12_999), &settings), None);
        assert_eq!(announcing.due(at(13_000), &settings), Some(Burst::Reminder(3)));
        assert_eq!(announcing.due(at(60_000), &settings), Some(Burst::Reminder(2)));
    }
}
