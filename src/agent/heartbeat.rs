//! Whether every thread still turns: what the watchdog is fed on.
//!
//! Apart from the threads themselves, because a heartbeat is the one thing they share without speaking.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::lateness::Counted;
use super::report::Lateness;
use crate::time::Duration;

/// One thread's pulse; it beats at least once a second.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat {
    beats: Arc<AtomicU64>,
    lateness: Arc<Counted>,
}

impl Heartbeat {
    /// Says that the thread has turned once more.
    pub fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// The count of turns itself, for a thread that beats by adding one.
    pub fn count(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.beats)
    }

    /// Says how much later than asked a turn began.
    pub fn late(&self, late: Duration) {
        self.lateness.count(late);
    }

    /// The latest turn so far.
    pub fn worst_late(&self) -> Duration {
        self.lateness.worst()
    }

    /// How late all turns were.
    pub fn lateness(&self) -> Lateness {
        self.lateness.shown()
    }
}

/// Every thread's pulse, and how often each had beaten when the watchdog was last fed.
#[derive(Debug, Default)]
pub struct Heartbeats {
    threads: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    name: &'static str,
    pulse: Heartbeat,
    fed_at: u64,
}

impl Heartbeats {
    /// Nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Expects a thread called `name` to beat from now on.
    pub fn register(&mut self, name: &'static str) -> Heartbeat {
        let pulse = Heartbeat::default();
        self.threads.push(Watched { name, pulse: pulse.clone(), fed_at: 0 });
        pulse
    }

    /// Whether all have beaten since this last said so; otherwise the names of those that have not.
    pub fn all_beat(&mut self) -> Result<(), Vec<&'static str>> {
        let beats = |watched: &Watched| watched.pulse.beats.load(Ordering::Relaxed);
        let still: Vec<_> = self.threads.iter().filter(|w| beats(w) == w.fed_at).map(|w| w.name).collect();
        if !still.is_empty() {
            return Err(still);
        }
        for watched in &mut self.threads {
            watched.fed_at = beats(watched);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_silent_thread_is_enough_to_starve_the_watchdog() {
        let mut all = Heartbeats::new();
        let (protocol, route) = (all.register("protocol"), all.register("route"));
        protocol.beat();
        assert_eq!(all.all_beat(), Err(vec!["route"]));
        route.beat();
        assert_eq!(all.all_beat(), Ok(()), "a beat before the last refusal still counts");
        route.beat();
        assert_eq!(all.all_beat(), Err(vec!["protocol"]));
    }

    #[test]
    fn the_worst_lateness_is_kept() {
        let pulse = Heartbeat::default();
        pulse.late(Duration::from_micros(40));
        pulse.late(Duration::from_micros(7));
        assert_eq!(pulse.worst_late(), Duration::from_micros(40));
    }
}
