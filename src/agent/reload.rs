//! Reading the configuration again while the agent runs: all of it or nothing.
//!
//! What could go wrong goes wrong before anything changes. The engine is told first and the checks after it, so that
//! a new check's verdict finds the engine knowing the check.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinError;

use super::checks::Checks;
use super::post::{Post, Refused, Request};
use super::priorities::Priorities;
use super::report::Configuration;
use super::stamp::Stamp;
use crate::config::{self, Config};
use crate::sys::realtime::Settings;

/// Where the configuration comes from and which one is in force.
pub struct Reloader {
    path: PathBuf,
    post: Post,
    checks: Arc<Checks>,
    in_force: Mutex<Arc<Config>>,
    standing: Mutex<Configuration>,
    priorities: Arc<Priorities>,
    /// What no reload changes.
    at_start: Settings,
    /// One reload at a time.
    turn: tokio::sync::Mutex<()>,
}

/// Why the old configuration stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The file is wrong; every problem with its place and its remedy.
    #[error("{}", .0.join("; "))]
    Wrong(Vec<String>),
    /// Two masters until both nodes have it.
    #[error("until the other node has the same change there will be two masters: {}", .0.join("; "))]
    Dangerous(Vec<String>),
    /// The protocol thread did not take it.
    #[error(transparent)]
    NotTaken(#[from] Refused),
}

impl Reloader {
    /// With `config`, which came from `path`, in force.
    pub fn new(path: PathBuf, mut config: Config, post: Post, checks: Arc<Checks>) -> Self {
        let at_start = config.realtime;
        let priorities = Arc::new(Priorities::default());
        priorities.fill_in(&mut config);
        let in_force = Mutex::new(Arc::new(config));
        let standing = Mutex::new(Configuration { since: Some(Stamp::now()), last_reload_ok: None });
        Self {
            path,
            post,
            checks,
            in_force,
            standing,
            priorities,
            at_start,
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// The configuration in force.
    pub fn in_force(&self) -> Arc<Config> {
        Arc::clone(&self.in_force.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Since when it is in force, and what came of the last reload.
    pub fn standing(&self) -> Configuration {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the checks of the configuration in force.
    pub fn start_checks(&self) {
        let config = self.in_force();
        self.checks.apply(&config.checks, &config.settings.checks);
    }

    /// What is wrong with those files now.
    pub fn warnings(&self) -> Vec<String> {
        self.priorities.warnings()
    }

    /// The files that priorities stand in, by instance.
    pub fn priority_files(&self) -> BTreeMap<String, String> {
        self.priorities.files()
    }

    /// Looks at the files that priorities stand in. Returns what is newly wrong, with the instance's name.
    pub async fn look_at_priorities(&self) -> Vec<(String, String)> {
        let config = self.in_force();
        if config.priority_files.is_empty() {
            return Vec::new();
        }
        // Not while another configuration is on its way.
        let _turn = self.turn.lock().await;
        let (priorities, post) = (Arc::clone(&self.priorities), self.post.clone());
        let look = move || priorities.look(&config.priority_files, &post);
        match tokio::task::spawn_blocking(look).await {
            Ok(troubles) => troubles,
            Err(died) => vec![(String::new(), format!("reading the priority files failed: {died}"))],
        }
    }

    /// Reads another configuration as [`reload`](Self::reload) would.
    pub async fn read(&self, text: String, name: String) -> Result<Config, Rejected> {
        let read = tokio::task::spawn_blocking(move || config::parse(&text, &name)).await;
        let mut config = understood(read)?;
        self.priorities.fill_in(&mut config);
        Ok(config)
    }

    /// Reads the file and puts it in force; answers what it warns of.
    ///
    /// `force` allows what makes two masters until both nodes have it.
    pub async fn reload(&self, force: bool) -> Result<Vec<String>, Rejected> {
        let outcome = self.attempt(force).await;
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.last_reload_ok = Some(outcome.is_ok());
        if outcome.is_ok() {
            standing.since = Some(Stamp::now());
        }
        drop(standing);
        outcome
    }

    async fn attempt(&self, force: bool) -> Result<Vec<String>, Rejected> {
        let _turn = self.turn.lock().await;
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || config::load(&path)).await;
        let mut config = understood(read)?;
        let dangerous = config::dangerous_changes(&self.in_force(), &config);
        if !dangerous.is_empty() && !force {
            return Err(Rejected::Dangerous(dangerous.iter().map(ToString::to_string).collect()));
        }
        self.priorities.fill_in(&mut config);
        self.post.send(Request::Reload(config.settings.clone()))?;
        let mut warnings: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
        if config.realtime != self.at_start {
            warnings.push("realtime has changed, which counts at the next start or upgrade".to_owned());
        }
        *self.in_force.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        self.start_checks();
        Ok(warnings)
    }
}

fn understood(read: Result<Result<Config, config::Problems>, JoinError>) -> Result<Config, Rejected> {
    match read {
        Ok(Ok(config)) => Ok(config),
        Ok(Err(problems)) => Err(Rejected::Wrong(problems.lines().collect())),
        Err(died) => Err(Rejected::Wrong(vec![format!("reading the file failed: {died}")])),
    }
}
