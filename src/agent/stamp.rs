//! Wall time, which exists only at the edges: the engine's instants become timestamps here, when they are shown.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::sys::clock;
use crate::time::{Duration, Instant};

/// A moment of wall time, written as RFC 3339 in UTC with milliseconds: `2026-11-21T10:25:00.000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(Timestamp);

impl Stamp {
    /// Now.
    pub fn now() -> Self {
        Self(Timestamp::now())
    }

    /// So long after the beginning of 1970, or that beginning beyond the calendar.
    pub fn at(since_epoch: Duration) -> Self {
        Self(Timestamp::UNIX_EPOCH.checked_add(signed(since_epoch)).unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// As milliseconds since 1970.
    pub fn milliseconds(self) -> i64 {
        self.0.as_millisecond()
    }

    /// How long after `earlier` this is; zero if it is not later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.duration_since(earlier.0).try_into().unwrap_or(Duration::ZERO)
    }

    /// So long after this; itself beyond the calendar.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.checked_add(signed(duration)).unwrap_or(self.0))
    }

    /// So long before this; itself beyond the calendar.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.checked_sub(signed(duration)).unwrap_or(self.0))
    }

    /// The time of day in UTC, `10:25:00`.
    pub fn time_of_day(self) -> String {
        self.to_string().get(11..19).unwrap_or_default().to_owned()
    }

    /// The day and the time in UTC, `2026-11-21 10:25:00 UTC`.
    pub fn day_and_time(self) -> String {
        let text = self.to_string();
        format!("{} {} UTC", text.get(..10).unwrap_or_default(), self.time_of_day())
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The precision, unlike rounding, keeps trailing zeros: columns stay aligned.
        write!(f, "{:.3}", self.0)
    }
}

impl FromStr for Stamp {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        text.parse().map(Self)
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Timestamp::deserialize(deserializer).map(Self)
    }
}

/// Both clocks read at one moment, so that instants of one become moments of the other.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    wall: Stamp,
    boot: Instant,
}

impl Clocks {
    /// Reads both, as close together as the scheduler lets: a moment that comes out of one reading and of the next is
    /// to be the same one.
    pub fn now() -> Self {
        let read = || {
            let boot = clock::now();
            let wall = Stamp::now();
            (clock::now().since(boot), Self { wall, boot })
        };
        let mut best = read();
        for _ in 0..ATTEMPTS {
            if best.0 <= CLOSE {
                break;
            }
            let again = read();
            if again.0 < best.0 {
                best = again;
            }
        }
        best.1
    }

    /// The two as they were read.
    pub const fn new(wall: Stamp, boot: Instant) -> Self {
        Self { wall, boot }
    }

    /// The wall time of this reading.
    pub const fn wall(self) -> Stamp {
        self.wall
    }

    /// The wall time of `instant`, as the wall clock counts today.
    pub fn stamp(self, instant: Instant) -> Stamp {
        let ago = signed(self.boot.since(instant));
        let ahead = signed(instant.since(self.boot));
        // Out of the calendar's range: the reading itself is the least wrong answer.
        Stamp(self.wall.0.checked_add(ahead - ago).unwrap_or(self.wall.0))
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::ZERO)
}

/// Three readings that took no longer than this were not interrupted.
const CLOSE: Duration = Duration::from_micros(5);
/// How often two clocks are read once more.
const ATTEMPTS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_rfc_3339_in_utc_with_three_decimals() {
        let stamp: Stamp = "2026-11-21T10:25:00Z".parse().unwrap();
        assert_eq!(stamp.to_string(), "2026-11-21T10:25:00.000Z");
        assert_eq!(serde_json::to_string(&stamp).unwrap(), "\"2026-11-21T10:25:00.000Z\"");
        assert_eq!(stamp.day_and_time(), "2026-11-21 10:25:00 UTC");
    }

    #[test]
    fn an_instant_becomes_the_wall_time_it_was() {
        let wall: Stamp = "2026-11-21T10:25:00Z".parse().unwrap();
        let clocks = Clocks::new(wall, Instant::from_nanos(5_000_000_000));
        assert_eq!(clocks.stamp(Instant::from_nanos(4_750_000_000)).to_string(), "2026-11-21T10:24:59.750Z");
        assert_eq!(clocks.stamp(Instant::from_nanos(6_000_000_000)).to_string(), "2026-11-21T10:25:01.000Z");
    }
}
