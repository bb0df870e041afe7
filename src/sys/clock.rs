//! The one clock. Everything else is told the time, so this is the only file that may ask for it.
//!
//! Moments are `CLOCK_BOOTTIME`, which neither steps nor stops in suspend. The kernel stamps what it receives
//! by `CLOCK_REALTIME`, which does step; a [`Reading`] of both turns such a stamp into a moment without letting
//! a step move it by more than one turn.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::timerfd::{ClockId as TimerClock, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};

use crate::time::Instant;

/// This moment.
pub fn now() -> Instant {
    let since_boot = read(ClockId::CLOCK_BOOTTIME);
    Instant::BOOT + since_boot
}

/// Wall time: how long ago 1970 began, in UTC.
pub fn realtime() -> Duration {
    read(ClockId::CLOCK_REALTIME)
}

fn read(clock: ClockId) -> Duration {
    // Linux has had both clocks since 2.6.39 and the time goes to our own stack: there is nothing to fail.
    #[expect(clippy::expect_used, reason = "cannot fail for clocks that exist")]
    clock_gettime(clock).expect("the clock exists").into()
}

/// What tells this boot from every other; an [`Instant`] means nothing without it.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim_end().to_owned())
}

/// Both clocks at the same moment.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The moment.
    pub now: Instant,
    /// The wall time at that moment.
    pub realtime: Duration,
}

impl Reading {
    /// Reads both clocks.
    pub fn take() -> Self {
        Self { now: now(), realtime: realtime() }
    }

    /// When a datagram was received that the kernel stamped with the wall time `stamp`.
    ///
    /// It was received after `last_turn`, the start of the turn before this one, for that turn emptied the
    /// socket; and before this reading. A clock that was set in between can move the answer no further.
    pub fn received(&self, stamp: Duration, last_turn: Instant) -> Instant {
        let age = self.realtime.saturating_sub(stamp);
        self.now - age.min(self.now.since(last_turn))
    }
}

/// A descriptor that becomes readable at a moment.
#[derive(Debug)]
pub struct Timer {
    timer: TimerFd,
    armed: Option<Instant>,
}

impl Timer {
    /// A timer that is not armed.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        Ok(Self { timer: TimerFd::new(TimerClock::CLOCK_BOOTTIME, flags)?, armed: None })
    }

    /// Arms the timer for `deadline`, or for nothing. A deadline that has passed fires at once.
    pub fn arm(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        if deadline == self.armed {
            return Ok(());
        }
        match deadline {
            // Zero would disarm the timer instead of firing it.
            Some(deadline) => self.timer.set(
                Expiration::OneShot(Duration::from_nanos(deadline.as_nanos().max(1)).into()),
                TimerSetTimeFlags::TFD_TIMER_ABSTIME,
            )?,
            None => self.timer.unset()?,
        }
        self.armed = deadline;
        Ok(())
    }

    /// Makes the descriptor unreadable again and forgets the deadline, whether it has fired or not.
    pub fn clear(&mut self) -> io::Result<()> {
        self.armed = None;
        // Setting a timer forgets an expiry that was not read.
        Ok(self.timer.unset()?)
    }

    /// Whether the deadline has passed; if so, the descriptor becomes unreadable and the timer can be armed anew.
    pub fn fired(&mut self) -> io::Result<bool> {
        match self.timer.wait() {
            Ok(()) => {
                self.armed = None;
                Ok(true)
            }
            Err(Errno::EAGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

    const MS: Duration = Duration::from_millis(1);

    /// A reading 100 s after boot, 1,000 s after the epoch.
    const READING: Reading =
        Reading { now: Instant::from_nanos(100_000_000_000), realtime: Duration::from_secs(1000) };

    fn readable(timer: &Timer, within: Duration) -> bool {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        epoll.add(timer, EpollEvent::new(EpollFlags::EPOLLIN, 0)).unwrap();
        epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::try_from(within).unwrap()).unwrap() == 1
    }

    #[test]
    fn a_stamp_becomes_the_moment_of_its_age() {
        let last_turn = READING.now - 10 * MS;
        assert_eq!(READING.received(Duration::from_millis(999_997), last_turn), READING.now - 3 * MS);
    }

    #[test]
    fn a_clock_set_forward_makes_no_datagram_older_than_the_last_turn() {
        let last_turn = READING.now - 10 * MS;
        let stamp = Duration::from_secs(100);
        assert_eq!(READING.received(stamp, last_turn), last_turn);
    }

    #[test]
    fn a_clock_set_back_makes_no_datagram_younger_than_now() {
        let stamp = Duration::from_secs(1900);
        assert_eq!(READING.received(stamp, READING.now - 10 * MS), READING.now);
    }

    #[test]
    fn the_clock_does_not_run_backwards() {
        let early = now();
        assert!(now() >= early);
        assert!(realtime() > Duration::from_secs(1_700_000_000));
    }

    #[test]
    fn the_boot_id_is_a_uuid_without_a_line_end() {
        assert_eq!(boot_id().unwrap().len(), 36);
    }

    #[test]
    fn a_timer_fires_once_and_can_be_armed_for_the_same_moment_again() {
        let mut timer = Timer::new().unwrap();
        let deadline = now() + 5 * MS;
        timer.arm(Some(deadline)).unwrap();
        assert!(!timer.fired().unwrap());
        assert!(readable(&timer, Duration::from_secs(5)));
        assert!(now() >= deadline);
        assert!(timer.fired().unwrap());
        assert!(!readable(&timer, Duration::ZERO));
        timer.arm(Some(deadline)).unwrap();
        assert!(readable(&timer, Duration::ZERO), "a past deadline fires at once");
    }

    #[test]
    fn a_deadline_at_boot_fires_instead_of_disarming() {
        let mut timer = Timer::new().unwrap();
        timer.arm(Some(Instant::BOOT)).unwrap();
        assert!(readable(&timer, Duration::ZERO));
    }

    #[test]
    fn a_cleared_or_disarmed_timer_stays_silent() {
        let mut timer = Timer::new().unwrap();
        timer.arm(Some(Instant::BOOT)).unwrap();
        timer.clear().unwrap();
        assert!(!readable(&timer, Duration::ZERO));
        timer.arm(Some(Instant::BOOT)).unwrap();
        timer.arm(None).unwrap();
        assert!(!readable(&timer, Duration::ZERO));
    }
}
