//! Priorities that stand in files: looked at every second, and told to the engine when they change. What is no priority
//! changes nothing, and is said once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::post::{Post, Request};
use crate::config::{Config, PriorityFile, read_priority};
use crate::net::Priority;
use crate::time::Duration;

/// How often the files are looked at.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// What is known of the files.
#[derive(Debug, Default)]
pub(super) struct Priorities {
    /// By instance: two may share a file, and each is told.
    known: Mutex<BTreeMap<(String, PathBuf), Known>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    /// The last number that was good.
    good: Option<Priority>,
    /// What is wrong now.
    trouble: Option<String>,
}

impl Priorities {
    /// A configuration is about to be put in force: where its files cannot be read now, what they said last counts.
    pub(super) fn fill_in(&self, config: &mut Config) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::take(&mut *known);
        for PriorityFile { instance, path, trouble } in &config.priority_files {
            let instances = &mut config.settings.instances;
            let Some(settings) = instances.iter_mut().find(|one| one.name == *instance) else { continue };
            let key = (instance.clone(), path.clone());
            let last = old.get(&key).and_then(|known| known.good);
            if let Some(last) = last.filter(|_| trouble.is_some()) {
                settings.priority = last;
            }
            let good = if trouble.is_none() { Some(settings.priority) } else { last };
            known.insert(key, Known { good, trouble: trouble.clone() });
        }
    }

    /// Looks at the files of a configuration, which may take as long as their file systems do. Tells the engine what is
    /// new; returns what is newly wrong, with the name of the instance.
    pub(super) fn look(&self, files: &[PriorityFile], post: &Post) -> Vec<(String, String)> {
        let mut troubles = Vec::new();
        for PriorityFile { instance, path, .. } in files {
            let read = read_priority(path);
            let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let known = all.entry((instance.clone(), path.clone())).or_default();
            match read {
                Ok(priority) if known.good == Some(priority) => known.trouble = None,
                Ok(priority) => {
                    // If it cannot be told now, it is news in a second, too.
                    let request = Request::Priority { instance: instance.clone(), priority };
                    if post.send(request).is_ok() {
                        *known = Known { good: Some(priority), trouble: None };
                    }
                }
                Err(why) if known.trouble.as_ref() == Some(&why) => {}
                Err(why) => {
                    known.trouble = Some(why.clone());
                    troubles.push((instance.clone(), why));
                }
            }
        }
        troubles
    }

    /// The files that count, by instance.
    pub(super) fn files(&self) -> BTreeMap<String, String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let good = known.iter().filter(|(_, known)| known.good.is_some());
        good.map(|((instance, path), _)| (instance.clone(), path.display().to_string())).collect()
    }

    /// What is wrong now, as sentences.
    pub(super) fn warnings(&self) -> Vec<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let sentence = |((instance, _), known): (&(String, PathBuf), &Known)| {
            let why = known.trouble.as_ref()?;
            let until = match known.good {
                Some(good) => format!("{good}, as it said last"),
                None => "the one configured".to_owned(),
            };
            Some(format!("{instance}: {why}; until then the priority is {until}"))
        };
        known.iter().filter_map(sentence).collect()
    }
}
