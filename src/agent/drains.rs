//! Which instances are kept away from this node, and until when: a step-down that survives restarts and reboots and
//! ends by itself.
//!
//! The engine knows of stepping down only. Here is the calendar, and the file in the state directory that has to be on
//! the disk before anybody is told that it is done.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::archive;
use super::post::{Post, Refused, Request};
use super::record::{Peer, Record};
use super::service::Service;
use super::stamp::Stamp;
use super::state;
use crate::config::Config;
use crate::engine::event::Target;
use crate::time::Duration;

/// The file in the state directory.
pub const NAME: &str = "drains.json";
/// How long a drain may last if it is to end by itself.
pub const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
const SCHEMA: u32 = 1;
/// How often it is looked whether one is over.
const TURN: Duration = Duration::from_secs(1);
/// How long the disk may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// One instance's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Since when.
    pub since: Stamp,
    /// Until when, if not until somebody resumes it.
    pub until: Option<Stamp>,
    /// Who asked for it.
    pub by: Peer,
}

/// Every instance's, by name; also of some that are not configured now.
#[derive(Debug)]
pub struct Drains {
    directory: PathBuf,
    in_force: Mutex<BTreeMap<String, Drain>>,
    /// One writes at a time.
    writing: tokio::sync::Mutex<()>,
    changed: Notify,
    /// Why what was kept is not known.
    trouble: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    schema: u32,
    drains: BTreeMap<String, Drain>,
}

impl Drains {
    /// Those that an agent before this one kept in a state directory.
    pub fn read(directory: &Path) -> Self {
        let (in_force, trouble) = match read(directory) {
            Ok(drains) => (drains, None),
            Err(why) => {
                let file = directory.join(NAME);
                let sentence = format!("nobody knows what was drained: {} is ignored: {why}", file.display());
                (BTreeMap::new(), Some(sentence))
            }
        };
        let (directory, in_force) = (directory.to_owned(), Mutex::new(in_force));
        Self { directory, in_force, writing: tokio::sync::Mutex::default(), changed: Notify::new(), trouble }
    }

    /// The same, and tells the engine of them, which had not its first turn yet: nobody is master for a moment.
    pub fn begin(directory: &Path, post: &Post, config: &Config) -> Self {
        let drains = Self::read(directory);
        drains.apply(post, config, Stamp::now());
        drains
    }

    /// Why what was kept is not known.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }

    /// Every drain.
    pub fn all(&self) -> BTreeMap<String, Drain> {
        self.locked().clone()
    }

    /// Tells the engine of those in force.
    pub fn apply(&self, post: &Post, config: &Config, now: Stamp) {
        let drained: BTreeSet<_> =
            self.locked().iter().filter(|(_, drain)| !drain.is_over(now)).map(|(n, _)| n.clone()).collect();
        let names: Vec<_> = config.settings.instances.iter().map(|instance| &instance.name).collect();
        let meant: Vec<_> = names.iter().filter(|name| drained.contains(**name)).collect();
        let targets: Vec<_> = if meant.len() == names.len() && !names.is_empty() {
            vec![Target::All]
        } else {
            meant.into_iter().map(|name| Target::Named((*name).clone())).collect()
        };
        for target in targets {
            if let Err(error) = post.send(Request::StepDown(target)) {
                tracing::warn!(%error, "an instance is not drained as it should be");
            }
        }
    }

    /// Adds some, on the disk first.
    async fn add(&self, names: &[String], drain: Drain) -> Result<(), String> {
        self.change(|drains| drains.extend(names.iter().map(|name| (name.clone(), drain)))).await
    }

    /// Ends some, whether the disk knows it or not.
    async fn remove(&self, names: &[String]) -> Result<(), String> {
        if !names.iter().any(|name| self.locked().contains_key(name)) {
            return Ok(());
        }
        let written = self.change(|drains| drains.retain(|name, _| !names.contains(name))).await;
        if written.is_err() {
            self.locked().retain(|name, _| !names.contains(name));
        }
        written
    }

    async fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Drain>)) -> Result<(), String> {
        let writing = self.writing.lock().await;
        let mut drains = self.all();
        change(&mut drains);
        let (directory, new) = (self.directory.clone(), drains.clone());
        let written = tokio::task::spawn_blocking(move || write(&directory, new));
        let written = match timeout(PATIENCE, written).await {
            Ok(Ok(written)) => written.map_err(|error| error.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("the disk takes longer than {} s", PATIENCE.as_secs())),
        };
        if written.is_ok() {
            *self.locked() = drains;
        }
        drop(writing);
        self.changed.notify_one();
        written.map_err(|why| format!("cannot write {}: {why}", self.directory.join(NAME).display()))
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Drain>> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drain {
    fn is_over(&self, now: Stamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl Service {
    /// Keeps instances away from this node; answers the order's number. Nothing is done unless the disk has it.
    pub async fn drain(&self, target: Target, name: Option<String>, drain: Drain) -> Result<u64, String> {
        self.drains.add(&self.members(&target), drain).await.map_err(|why| {
            format!("{why}; so a drain would not survive a restart. 'vipctl step-down' needs no disk")
        })?;
        let until = drain.until.map(|until| format!(" until {}", until.day_and_time())).unwrap_or_default();
        let sequence = self.asked(format!("drain{until}"), name, drain.by);
        self.step_down(target).map_err(|why| why.to_string())?;
        Ok(sequence)
    }

    /// Ends the drains of these instances; what the disk does not take is a warning.
    pub async fn end_drains(&self, target: &Target) -> Vec<String> {
        let ended = self.drains.remove(&self.members(target)).await;
        ended.err().map(|why| format!("{why}; after a restart it is drained again")).into_iter().collect()
    }

    /// Ends drains when their time is over; never ends itself.
    pub(super) async fn end_drains_in_time(&self) {
        loop {
            let now = Stamp::now();
            let over: Vec<_> = self
                .drains
                .all()
                .into_iter()
                .filter(|(_, drain)| drain.is_over(now))
                .map(|(name, _)| name)
                .collect();
            let mut ended = Vec::new();
            for name in over {
                match self.resume(Target::Named(name.clone())) {
                    Ok(()) => {
                        self.record(now, Some(name.clone()), Record::DrainOver);
                        ended.push(name);
                    }
                    // Once more in a while.
                    Err(Refused::Full) => break,
                    Err(Refused::Ended) => return,
                }
            }
            if let Err(error) = self.drains.remove(&ended).await {
                tracing::warn!("{error}");
            }
            if self.drains.all().values().any(|drain| drain.until.is_some()) {
                // By the wall clock, which may be set: no longer than a turn at a time.
                if timeout(TURN, self.drains.changed.notified()).await.is_err() {}
            } else {
                self.drains.changed.notified().await;
            }
        }
    }

    /// Asks the engine to have these instances elsewhere.
    pub fn step_down(&self, target: Target) -> Result<(), Refused> {
        let sent = self.post.send(Request::StepDown(target));
        self.statuses.changed();
        sent
    }

    /// Takes that back.
    pub fn resume(&self, target: Target) -> Result<(), Refused> {
        let sent = self.post.send(Request::Resume(target));
        self.statuses.changed();
        sent
    }

    /// The instances that an order is about, with those that move with them.
    fn members(&self, target: &Target) -> Vec<String> {
        let config = self.reloader.in_force();
        let name = match target {
            Target::All => {
                let drained = self.drains.all().into_keys();
                let all: BTreeSet<_> = config
                    .settings
                    .instances
                    .iter()
                    .map(|instance| instance.name.clone())
                    .chain(drained)
                    .collect();
                return all.into_iter().collect();
            }
            Target::Named(name) => name,
        };
        let group =
            config.settings.groups.iter().find(|group| group.name == *name || group.members.contains(name));
        group.map_or_else(|| vec![name.clone()], |group| group.members.clone())
    }
}

fn read(directory: &Path) -> Result<BTreeMap<String, Drain>, String> {
    let text = match state::read_file(directory, NAME) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(BTreeMap::new()),
        Err(why) => return Err(why.to_string()),
    };
    let written: Written = serde_json::from_slice(&text).map_err(|why| why.to_string())?;
    if written.schema == SCHEMA {
        Ok(written.drains)
    } else {
        Err(format!("its schema is {}", written.schema))
    }
}

/// Puts the file in the place of the old one, whole or not at all, and comes back when a reboot cannot lose it.
fn write(directory: &Path, drains: BTreeMap<String, Drain>) -> io::Result<()> {
    archive::make(directory)?;
    let new = directory.join(format!("{NAME}.new"));
    state::remove_file(&new)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&new)?;
    file.write_all(&serde_json::to_vec(&Written { schema: SCHEMA, drains })?)?;
    file.sync_all()?;
    fs::rename(&new, directory.join(NAME))?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("vipd-drains-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        path
    }

    fn drain(until: Option<&str>) -> Drain {
        let by = Peer { uid: 0, pid: Some(7) };
        Drain {
            since: "2026-11-22T10:00:00Z".parse().unwrap(),
            until: until.map(|text| text.parse().unwrap()),
            by,
        }
    }

    #[tokio::test]
    async fn what_is_added_is_there_for_the_next_agent_until_it_is_removed() {
        let directory = scratch("kept");
        let drains = Drains::read(&directory);
        assert_eq!((drains.all().len(), drains.trouble()), (0, None));
        let both = ["web".to_owned(), "mail".to_owned()];
        drains.add(&both, drain(Some("2026-11-22T12:30:00Z"))).await.unwrap();
        let next = Drains::read(&directory);
        assert_eq!((next.all(), next.all().len()), (drains.all(), 2));
        next.remove(&both[..1]).await.unwrap();
        assert_eq!(Drains::read(&directory).all().into_keys().collect::<Vec<_>>(), ["mail"]);
        fs::remove_dir_all(&directory).unwrap();
    }

    #[tokio::test]
    async fn a_disk_that_refuses_is_no_drain_but_never_in_the_way_of_an_end() {
        let directory = scratch("refused");
        let drains = Drains::read(&directory);
        drains.add(&["web".to_owned()], drain(None)).await.unwrap();
        fs::remove_dir_all(&directory).unwrap();
        fs::write(&directory, "a file").unwrap();
        let why = drains.add(&["mail".to_owned()], drain(None)).await.unwrap_err();
        assert!(why.starts_with("cannot write ") && why.contains(NAME), "{why}");
        assert_eq!(drains.all().into_keys().collect::<Vec<_>>(), ["web"]);
        assert!(drains.remove(&["web".to_owned()]).await.is_err());
        assert_eq!(drains.all().len(), 0);
        fs::remove_file(&directory).unwrap();
    }

    #[test]
    fn a_file_that_is_not_understood_is_named_and_a_time_that_is_over_counts_no_more() {
        let directory = scratch("noise");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(NAME), r#"{"schema":2,"drains":{}}"#).unwrap();
        assert!(
            Drains::read(&directory).trouble().unwrap().ends_with("drains.json is ignored: its schema is 2")
        );
        fs::remove_dir_all(&directory).unwrap();
        let at = |text: &str| text.parse().unwrap();
        let one = drain(Some("2026-11-22T12:30:00Z"));
        assert!(!one.is_over(at("2026-11-22T12:29:59Z")) && one.is_over(at("2026-11-22T12:30:00Z")));
        assert!(!drain(None).is_over(at("2036-11-22T12:30:00Z")));
    }
}
