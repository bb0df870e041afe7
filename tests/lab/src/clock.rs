//! The one clock of the lab, and steps of the machine's.
//!
//! The kernel stamps received frames with `CLOCK_REALTIME`, so everything in the lab is measured by it. A program that
//! sets that clock itself goes on as if it had not: the lab's time is then what the clock would show, and stamps are
//! taken back by what it was set by when they were made.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};

/// From when on the real-time clock has been ahead of the monotonic one by how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Epoch {
    /// By the monotonic clock.
    from: i64,
    /// Real time without monotonic time.
    ahead: i64,
}

/// Empty until this program sets the clock.
static EPOCHS: Mutex<Vec<Epoch>> = Mutex::new(Vec::new());

/// Nanoseconds of `CLOCK_REALTIME`, without what this program set it by: comparable with the stamps of frames and
/// answers.
pub fn now() -> u64 {
    let epochs = epochs();
    let now = epochs.first().map_or_else(|| read(ClockId::CLOCK_REALTIME), |first| monotonic() + first.ahead);
    u64::try_from(now).expect("this is after 1970")
}

/// A kernel time stamp of a moment ago, in nanoseconds of the lab's time.
pub(crate) fn nanos(stamp: &TimeSpec) -> u64 {
    at(u64::try_from(whole(stamp)).expect("this is after 1970"))
}

/// The lab's time of a moment that somebody read off the real-time clock.
pub fn at(real: u64) -> u64 {
    let epochs = epochs();
    if epochs.is_empty() {
        return real;
    }
    let real = i64::try_from(real).expect("this is before 2262");
    u64::try_from(told(&epochs, real, monotonic())).expect("this is after 1970")
}

/// Sets the machine's real-time clock forward or back by so many nanoseconds. Everybody on the machine sees that.
pub fn step(by: i64) {
    let mut epochs = epochs();
    if epochs.is_empty() {
        epochs.push(Epoch { from: i64::MIN, ahead: ahead() });
    }
    let from = monotonic();
    let nanos = read(ClockId::CLOCK_REALTIME) + by;
    let to = TimeSpec::new(nanos.div_euclid(SECOND), nanos.rem_euclid(SECOND));
    clock_settime(ClockId::CLOCK_REALTIME, to).expect("set the real-time clock");
    epochs.push(Epoch { from, ahead: ahead() });
}

/// The lab's time of a stamp that was read at a moment of the monotonic clock: of the newest epoch in which it makes
/// sense. Epochs differ by much more than stamps are old when they are read.
fn told(epochs: &[Epoch], stamp: i64, read: i64) -> i64 {
    let sense = |epoch: &&Epoch| {
        let at = stamp - epoch.ahead;
        at >= epoch.from.saturating_add(-SLACK) && at <= read + SLACK
    };
    let (first, last) = (epochs[0], epochs[epochs.len() - 1]);
    let epoch = epochs.iter().rev().find(sense).copied().unwrap_or(last);
    stamp - epoch.ahead + first.ahead
}

const SECOND: i64 = 1_000_000_000;
/// How wrong two readings that follow each other may be on a busy machine.
const SLACK: i64 = SECOND / 5;

fn epochs() -> MutexGuard<'static, Vec<Epoch>> {
    EPOCHS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Real time without monotonic time, by the tightest of some readings.
fn ahead() -> i64 {
    let reading = |_| {
        let before = monotonic();
        let real = read(ClockId::CLOCK_REALTIME);
        let after = monotonic();
        (after - before, real - i64::midpoint(before, after))
    };
    (0..20).map(reading).min().map_or(0, |(_, ahead)| ahead)
}

fn monotonic() -> i64 {
    read(ClockId::CLOCK_MONOTONIC)
}

fn read(clock: ClockId) -> i64 {
    whole(&clock_gettime(clock).expect("the kernel has the clock"))
}

fn whole(time: &TimeSpec) -> i64 {
    time.tv_sec() * SECOND + time.tv_nsec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Real time is 1,000 s ahead, from 50 s on 1,002 s, from 51 s on 1,000 s again.
    const EPOCHS: [Epoch; 3] = [
        Epoch { from: i64::MIN, ahead: 1000 * SECOND },
        Epoch { from: 50 * SECOND, ahead: 1002 * SECOND },
        Epoch { from: 51 * SECOND, ahead: 1000 * SECOND },
    ];
    const MS: i64 = 1_000_000;

    #[test]
    fn stamps_on_both_sides_of_a_step_keep_their_order_and_distance() {
        let before = told(&EPOCHS[..2], 1050 * SECOND - MS, 50 * SECOND + MS);
        let after = told(&EPOCHS[..2], 1052 * SECOND + MS, 50 * SECOND + 2 * MS);
        assert_eq!((before, after), (1050 * SECOND - MS, 1050 * SECOND + MS));
        let before = told(&EPOCHS, 1053 * SECOND - MS, 51 * SECOND + MS);
        let after = told(&EPOCHS, 1051 * SECOND + MS, 51 * SECOND + 2 * MS);
        assert_eq!((before, after), (1051 * SECOND - MS, 1051 * SECOND + MS));
    }
}
