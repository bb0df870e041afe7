//! How late the turns of a loop begin, counted by how late: what the loop adds to, and others read meanwhile.
//!
//! Apart from the heartbeat, which says only that a loop turns. Counting neither waits nor allocates.

use std::sync::atomic::{AtomicU64, Ordering};

use super::report::{LateTurns, Lateness, millis};
use crate::time::Duration;

/// Up to how late a turn counts in which place, in nanoseconds; what is later counts in a place of its own.
const UP_TO: [u64; 9] =
    [100_000, 500_000, 1_000_000, 5_000_000, 10_000_000, 50_000_000, 100_000_000, 500_000_000, 1_000_000_000];

/// The turns of one loop.
#[derive(Debug, Default)]
pub(super) struct Counted {
    places: [AtomicU64; UP_TO.len() + 1],
    total_ns: AtomicU64,
    worst_ns: AtomicU64,
}

impl Counted {
    /// Counts a turn that began so late.
    pub(super) fn count(&self, late: Duration) {
        let late = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
        let place = UP_TO.iter().position(|up_to| late <= *up_to).unwrap_or(UP_TO.len());
        if let Some(place) = self.places.get(place) {
            place.fetch_add(1, Ordering::Relaxed);
        }
        self.total_ns.fetch_add(late, Ordering::Relaxed);
        self.worst_ns.fetch_max(late, Ordering::Relaxed);
    }

    /// The latest turn so far.
    pub(super) fn worst(&self) -> Duration {
        Duration::from_nanos(self.worst_ns.load(Ordering::Relaxed))
    }

    /// All of them. Read while the loop goes on, so that the total may be a turn ahead.
    pub(super) fn shown(&self) -> Lateness {
        let mut turns = 0;
        let mut up_to = Vec::with_capacity(UP_TO.len());
        for (place, limit) in self.places.iter().zip(UP_TO.iter().map(Some).chain([None])) {
            turns += place.load(Ordering::Relaxed);
            if let Some(limit) = limit {
                up_to.push(LateTurns { late_ms: millis(Duration::from_nanos(*limit)), turns });
            }
        }
        let total = Duration::from_nanos(self.total_ns.load(Ordering::Relaxed));
        Lateness { turns, total_ms: millis(total), up_to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_turn_counts_in_the_first_place_that_is_late_enough_and_in_those_after_it() {
        let counted = Counted::default();
        for late in [0, 100_000, 100_001, 2_000_000, 3_000_000_000] {
            counted.count(Duration::from_nanos(late));
        }
        let shown = counted.shown();
        let turns: Vec<_> = shown.up_to.iter().map(|one| one.turns).collect();
        assert_eq!(turns, [2, 3, 3, 4, 4, 4, 4, 4, 4]);
        assert_eq!(shown.turns, 5);
        assert_eq!((shown.up_to[0].late_ms, shown.up_to[8].late_ms), (0.1, 1000.0));
        assert!((shown.total_ms - 3002.2).abs() < 0.01, "{}", shown.total_ms);
        assert_eq!(counted.worst(), Duration::from_secs(3));
    }
}
