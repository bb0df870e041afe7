//! What systemd is told: ready, reloading, stopping, a status line, and that every thread still turns.
//!
//! Without systemd every call here does nothing.

use std::io;
use std::sync::{Mutex, PoisonError};

use sd_notify::NotifyState;

use crate::time::Duration;

/// The service manager's view of this process.
#[derive(Debug, Default)]
pub struct Systemd {
    status: Mutex<String>,
}

impl Systemd {
    /// The configuration is in force and the engine runs, or a reload is over, whatever came of it.
    pub fn ready(&self) {
        told(sd_notify::notify(&[NotifyState::Ready]));
    }

    /// A reload has begun.
    pub fn reloading(&self) {
        let stamped = NotifyState::monotonic_usec_now();
        told(stamped.and_then(|stamp| sd_notify::notify(&[NotifyState::Reloading, stamp])));
    }

    /// The end has begun.
    pub fn stopping(&self) {
        told(sd_notify::notify(&[NotifyState::Stopping]));
    }

    /// The line that `systemctl status` shows; told only when it changes.
    pub fn status(&self, line: &str) {
        let mut last = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != line {
            line.clone_into(&mut last);
            told(sd_notify::notify(&[NotifyState::Status(line)]));
        }
    }

    /// All is well.
    pub fn feed_watchdog(&self) {
        told(sd_notify::notify(&[NotifyState::Watchdog]));
    }

    /// How often the watchdog wants to be fed: three times in the period that ends us.
    pub fn watchdog_pace(&self) -> Option<Duration> {
        sd_notify::watchdog_enabled().map(|period| period / 3)
    }
}

fn told(outcome: io::Result<()>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "cannot tell systemd");
    }
}
