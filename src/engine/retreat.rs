//! How long somebody stays out of the race who took the role away from others only to drop it again: each time twice as
//! long as the last.

use crate::time::{Duration, Instant};

/// The times of one kind of failure.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retreat {
    /// Until when the last one was, and how long it was.
    last: Option<(Instant, Duration)>,
}

impl Retreat {
    /// Begins another one. Returns when it is over.
    pub(super) fn begin(&mut self, now: Instant) -> Instant {
        let pause = match self.last {
            Some((until, pause)) if now.since(until) < LONGEST => (pause * 2).min(LONGEST),
            Some(_) | None => FIRST,
        };
        self.last = Some((now + pause, pause));
        now + pause
    }
}

/// How long it is the first time.
const FIRST: Duration = Duration::from_secs(10);
/// The longest; so long without another one, and the next is the first again.
const LONGEST: Duration = Duration::from_secs(600);
