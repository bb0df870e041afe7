//! Waiting: for a condition, with a bound.

use std::time::Duration;

pub use crate::clock::now;

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
