//! Waiting: for a condition, with a bound; and the one clock of the lab.
//!
//! The kernel stamps received frames with `CLOCK_REALTIME`, so everything in the lab is measured by it.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_REALTIME`: comparable with the stamps of frames and answers.
pub fn now() -> u64 {
    nanos(&clock_gettime(ClockId::CLOCK_REALTIME).expect("the kernel has a real-time clock"))
}

/// A kernel time stamp in nanoseconds.
pub(crate) fn nanos(stamp: &nix::sys::time::TimeSpec) -> u64 {
    u64::try_from(stamp.tv_sec() * 1_000_000_000 + stamp.tv_nsec()).expect("this is after 1970")
}

/// Waits until `look` finds something, looking every 2 ms; panics with `what` when `bound` has passed.
pub fn until<T>(what: &str, bound: Duration, look: impl FnMut() -> Option<T>) -> T {
    within(bound, look).unwrap_or_else(|| panic!("waited {bound:?} in vain: {what}"))
}

/// Waits until `look` finds something, looking every 2 ms, but no longer than `bound`.
pub fn within<T>(bound: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = std::time::Instant::now() + bound;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if std::time::Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Lets a measured time pass: for observing a stretch of time, never for hoping that something is done.
pub fn observe(stretch: Duration) {
    std::thread::sleep(stretch);
}
