//! The threads that must not be late, preferred if the operator asks for it, and memory that stays.
//!
//! Every thread that an advert, a takeover or a lease waits for, each by itself: a priority of the whole process would lift
//! checks and scripts, too. The workers go one below the protocol thread, so that a thousand addresses keep no advert
//! waiting. What is not granted is a warning, and the agent goes on without: late is better than not at all.

use std::io;
use std::thread::JoinHandle;

use crate::sys::realtime::{self, Settings};

/// What was granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Realtime {
    /// The priority of the protocol thread under `SCHED_FIFO`, if it has one.
    pub priority: Option<u8>,
    /// Whether memory is locked.
    pub memory_locked: bool,
    /// What was asked for and not granted.
    pub warnings: Vec<String>,
}

impl Realtime {
    /// Does what is asked for, as far as it is granted. All threads have been started.
    pub fn begin<T>(wanted: Settings, protocol: &JoinHandle<T>, workers: &[&JoinHandle<()>]) -> Self {
        let mut granted = Self::default();
        if let Some(priority) = wanted.priority {
            let below = priority.saturating_sub(1).max(1);
            let mut all = workers.iter().map(|worker| realtime::prefer(worker, below));
            match realtime::prefer(protocol, priority).and_then(|()| all.try_for_each(|one| one)) {
                Ok(()) => granted.priority = Some(priority),
                Err(why) => granted.warn("realtime.priority", "LimitRTPRIO=", &why),
            }
        }
        if wanted.lock_memory {
            match realtime::lock_memory() {
                Ok(()) => granted.memory_locked = true,
                Err(why) => granted.warn("realtime.lock_memory", "LimitMEMLOCK=infinity", &why),
            }
        }
        granted
    }

    fn warn(&mut self, key: &str, right: &str, why: &io::Error) {
        let remedy = match why.kind() {
            io::ErrorKind::PermissionDenied => {
                format!("the unit does not grant {right}, see REAL TIME in vipd(8)")
            }
            _ => why.to_string(),
        };
        let warning = format!("{key} is not in force: {remedy}");
        tracing::warn!("{warning}");
        self.warnings.push(warning);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_granted_names_its_key_and_the_right() {
        let mut granted = Realtime::default();
        granted.warn("realtime.priority", "LimitRTPRIO=", &io::ErrorKind::PermissionDenied.into());
        granted.warn("realtime.lock_memory", "LimitMEMLOCK=infinity", &io::Error::from_raw_os_error(12));
        let expected = [
            "realtime.priority is not in force: the unit does not grant LimitRTPRIO=, see REAL TIME in vipd(8)",
            "realtime.lock_memory is not in force: Cannot allocate memory (os error 12)",
        ];
        assert_eq!(granted.warnings, expected);
    }

    #[test]
    fn nothing_is_done_unless_it_is_asked_for() {
        let thread = std::thread::spawn(|| {});
        assert_eq!(Realtime::begin(Settings::default(), &thread, &[]), Realtime::default());
        thread.join().unwrap();
    }
}
