//! Time as the engine sees it: nanoseconds of `CLOCK_BOOTTIME`, handed in as `now` and never read.
//!
//! `CLOCK_BOOTTIME` counts suspend and is the same for every process until the next boot, so an instant in
//! a state file, a `timerfd` and a status answer all speak of the same moment. Durations are
//! [`core::time::Duration`]: whole nanoseconds, no floating point.

use core::fmt;
use core::ops::{Add, Sub};
pub use core::time::Duration;

/// A moment: nanoseconds since this machine booted, suspend included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The moment the machine booted.
    pub const BOOT: Self = Self(0);

    /// The moment `nanos` nanoseconds after boot.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since boot.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this moment is; zero if it is not later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates after 584 years of uptime.
    fn add(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// Saturates at boot.
    fn sub(self, before: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(before.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// What the wall clock shows, known from one look at it: it goes at the pace of [`Instant`]s until somebody sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WallClock {
    at: Instant,
    shows: Duration,
}

impl WallClock {
    /// A clock that showed so long after 1970 began, in UTC, at a moment.
    pub const fn new(at: Instant, shows: Duration) -> Self {
        Self { at, shows }
    }

    /// What it shows at another moment.
    pub fn at(self, moment: Instant) -> Duration {
        self.shows.saturating_add(moment.since(self.at)).saturating_sub(self.at.since(moment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_zero_for_a_moment_that_is_not_later() {
        let (early, late) = (Instant::from_nanos(5), Instant::from_nanos(9));
        assert_eq!(late.since(early), Duration::from_nanos(4));
        assert_eq!(early.since(late), Duration::ZERO);
    }

    #[test]
    fn a_wall_clock_goes_at_the_pace_of_instants_in_both_directions() {
        let second = Duration::from_secs(1);
        let clock = WallClock::new(Instant::BOOT + second, second * 1000);
        assert_eq!(clock.at(Instant::BOOT + second * 3), second * 1002);
        assert_eq!(clock.at(Instant::BOOT), second * 999);
        assert_eq!(WallClock::new(Instant::BOOT + second, Duration::ZERO).at(Instant::BOOT), Duration::ZERO);
    }

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(Instant::from_nanos(u64::MAX) + Duration::MAX, Instant::from_nanos(u64::MAX));
        assert_eq!(Instant::BOOT - Duration::from_secs(1), Instant::BOOT);
    }
}
