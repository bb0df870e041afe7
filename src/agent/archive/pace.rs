//! How many events may be written: so many at once, and so many a second from then on. A flood would push everything
//! that was worth keeping out of the files.

use crate::time::{Duration, Instant};

/// A budget that fills up with time.
#[derive(Debug)]
pub(super) struct Pace {
    most: u32,
    every: Duration,
    left: u32,
    since: Instant,
}

impl Pace {
    /// `most` at once, and one more in every `every`.
    pub(super) const fn new(most: u32, every: Duration, now: Instant) -> Self {
        Self { most, every, left: most, since: now }
    }

    /// Whether one more may pass now.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        let passed = now.since(self.since);
        let more = u32::try_from(passed.as_nanos() / self.every.as_nanos().max(1)).unwrap_or(u32::MAX);
        if more > 0 {
            self.left = self.left.saturating_add(more).min(self.most);
            self.since = if self.left == self.most { now } else { self.since + self.every * more };
        }
        let admits = self.left > 0;
        self.left = self.left.saturating_sub(1);
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_in_its_time() {
        let second = |n| Instant::BOOT + Duration::from_millis(n);
        let mut pace = Pace::new(3, Duration::from_millis(100), second(0));
        let passed: Vec<_> = (0..5).map(|_| pace.admits(second(50))).collect();
        assert_eq!(passed, [true, true, true, false, false]);
        assert!(pace.admits(second(150)));
        assert!(!pace.admits(second(199)));
        assert!(pace.admits(second(200)));
        let after_an_hour = (0..10).filter(|_| pace.admits(second(3_600_000))).count();
        assert_eq!(after_an_hour, 3);
    }
}
