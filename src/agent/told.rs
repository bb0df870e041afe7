//! What notifiers have been told, and what they are still to be told, as an agent leaves it to the next one: JSON in the
//! runtime directory. Without it a restart would tell states that have not changed, or lose changes that nobody heard of.
//!
//! Apart from the state file, because an agent is no worse off without it: whatever is wrong with it, it counts for nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::state;
use crate::notify::Key;
use crate::notify::news::{News, Subject, Word};
use crate::time::{Duration, Instant};

/// What one agent leaves to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The state that each subject was last said to be in.
    pub states: BTreeMap<Subject, Word>,
    /// What has not been told to its end.
    pub waiting: Vec<(Key, News)>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    schema: u32,
    boot_id: String,
    at_ns: u64,
    states: Vec<WrittenState>,
    waiting: Vec<(Key, News)>,
}

#[derive(Serialize, Deserialize)]
struct WrittenState {
    #[serde(flatten)]
    subject: Subject,
    state: Word,
}

/// What an agent in this boot left in a runtime directory, if it did. What waits there for too long is no news any more.
pub fn read(directory: &Path, boot_id: &str, now: Instant) -> Told {
    let Ok(text) = fs::read(directory.join(NAME)) else { return Told::default() };
    let written = match serde_json::from_slice::<Written>(&text) {
        Ok(written) if written.schema == SCHEMA && written.boot_id == boot_id => written,
        Ok(_) => return Told::default(),
        Err(error) => {
            tracing::warn!(%error, "what notifiers were told is not known: the file makes no sense");
            return Told::default();
        }
    };
    let fresh = now.since(Instant::from_nanos(written.at_ns)) < OLD;
    Told {
        states: written.states.into_iter().map(|one| (one.subject, one.state)).collect(),
        waiting: if fresh { written.waiting } else { Vec::new() },
    }
}

/// Puts this in the place of what was there, whole or not at all.
pub fn write(directory: &Path, boot_id: &str, now: Instant, told: &Told) -> io::Result<()> {
    let states = told.states.iter();
    let text = serde_json::to_vec(&Written {
        schema: SCHEMA,
        boot_id: boot_id.to_owned(),
        at_ns: now.as_nanos(),
        states: states
            .map(|(subject, state)| WrittenState { subject: subject.clone(), state: *state })
            .collect(),
        waiting: told.waiting.clone(),
    })?;
    state::replace(directory, NAME, &text)
}

/// Removes it, if there is any.
pub fn remove(directory: &Path) -> io::Result<()> {
    state::remove_file(&directory.join(NAME))
}

/// The file's name.
const NAME: &str = "notified.json";
/// The version of this shape.
const SCHEMA: u32 = 1;
/// What waited longer than this since the file was written is not told any more.
const OLD: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(std::path::PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("vipd-told-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn told() -> Told {
        let subject = Subject::Instance("web".to_owned());
        let news = News {
            id: "lb1-1-2".to_owned(),
            time: "2026-11-21T10:25:00.000Z".to_owned(),
            node: "lb1".to_owned(),
            subject: subject.clone(),
            state: Word::Master,
            previous: None,
            reason: "x".to_owned(),
            priority: 150,
            interface: None,
            virtual_router_id: None,
            skipped: 0,
        };
        let waiting = vec![(Key::Script(subject.clone()), news.clone()), (Key::Fifo("/run/x".into()), news)];
        Told { states: BTreeMap::from([(subject, Word::Master)]), waiting }
    }

    #[test]
    fn what_is_written_is_read_in_the_same_boot_alone() {
        let scratch = Scratch::new("boot");
        let now = Instant::from_nanos(5_000_000_000);
        write(&scratch.0, "boot-1", now, &told()).unwrap();
        assert_eq!(read(&scratch.0, "boot-1", now), told());
        assert_eq!(read(&scratch.0, "boot-2", now), Told::default());
        remove(&scratch.0).unwrap();
        assert_eq!(read(&scratch.0, "boot-1", now), Told::default());
        remove(&scratch.0).unwrap();
    }

    #[test]
    fn old_news_are_not_told_but_the_state_that_was_is_known() {
        let scratch = Scratch::new("old");
        let now = Instant::from_nanos(5_000_000_000);
        write(&scratch.0, "b", now, &told()).unwrap();
        assert_eq!(read(&scratch.0, "b", now + OLD), Told { waiting: Vec::new(), ..told() });
    }

    #[test]
    fn what_makes_no_sense_counts_for_nothing() {
        let scratch = Scratch::new("noise");
        for noise in ["", "{}", "[1", "{\"schema\":2}"] {
            fs::write(scratch.0.join(NAME), noise).unwrap();
            assert_eq!(read(&scratch.0, "b", Instant::BOOT), Told::default(), "{noise}");
        }
    }
}
