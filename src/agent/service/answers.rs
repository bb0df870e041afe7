//! What the control API asks of the service thread, and what it has it do.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Service;
use crate::agent::explain::{self, Explanation, Outlook};
use crate::agent::history::History;
use crate::agent::metrics::{self, Family};
use crate::agent::plan::{self, Plan};
use crate::agent::record::{Peer, Record};
use crate::agent::reload::Rejected;
use crate::agent::report::{Agent, Report, millis};
use crate::agent::stamp::{Clocks, Stamp};
use crate::agent::statuses::Unknown;
use crate::agent::view::{self, Surroundings};
use crate::codes::{Code, Warning};
use crate::time::Duration;

/// How late a takeover may be on a host that was never seen to be late.
const SLACK: Duration = Duration::from_millis(10);

impl Service {
    /// The instances of the configuration in force.
    pub fn names(&self) -> Vec<String> {
        let in_force = self.reloader.in_force();
        let instances = in_force.settings.instances.iter().map(|instance| instance.name.clone());
        instances.chain(in_force.settings.groups.iter().map(|group| group.name.clone())).collect()
    }

    /// What happened so far.
    pub fn history(&self) -> &Arc<History> {
        &self.history
    }

    /// What is measured, for whoever collects it.
    pub async fn metrics(&self) -> Result<Vec<Family>, Unknown> {
        let names = self.reloader.in_force().metrics.keepalived_names;
        Ok(metrics::families(&self.report().await?, names))
    }

    /// How everything stands.
    pub async fn report(&self) -> Result<Report, Unknown> {
        let status = self.statuses.current().await?;
        let clocks = Clocks::now();
        let around = Surroundings {
            node: self.node.clone(),
            agent: Agent {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                started: self.started,
                worst_late_ms: millis(self.protocol.worst_late()),
                loop_lateness: self.protocol.lateness(),
                realtime_priority: self.realtime.priority,
                memory_locked: self.realtime.memory_locked,
                log_lines_dropped: self
                    .lines_dropped
                    .as_ref()
                    .map_or(0, |lines| lines.dropped_lines() as u64),
                newest_event: self.history.newest(),
                events_lost: self.events_lost.load(Ordering::Relaxed),
                configuration: self.reloader.standing(),
            },
            checks: self.checks.view(clocks),
            notifiers: self.notifications.view(clocks),
            drains: self.drains.all(),
            priority_files: self.reloader.priority_files(),
            warnings: self.warnings(),
            advice: self.reloader.in_force().advice().collect(),
        };
        Ok(view::report(&status, around, clocks))
    }

    /// What the agent itself warns of.
    fn warnings(&self) -> Vec<Warning> {
        let some = |code, sentence: Option<String>| sentence.into_iter().map(move |text| (code, text));
        let each = |code, sentences: Vec<String>| sentences.into_iter().map(move |text| (code, text));
        some(Code::Gate, self.gate.read())
            .chain(some(Code::Unguarded, self.unguarded.clone()))
            .chain(some(Code::NotKept, self.archive.trouble()))
            .chain(some(Code::NotKept, self.drains.trouble()))
            .chain(each(Code::NotRealtime, self.realtime.warnings.clone()))
            .chain(each(Code::NotTold, self.notifications.warnings()))
            .chain(each(Code::NamedFile, self.reloader.warnings()))
            .chain(some(Code::NotServed, self.listening.trouble()))
            .map(|(code, text)| Warning::new(code, text))
            .collect()
    }

    /// Why instances are where they are, all or those of one name, and what would become of them.
    pub async fn explain(&self, name: Option<String>) -> Result<Explanation, Unknown> {
        let report = self.report().await?;
        let (now, engine) = self.statuses.copy().await?;
        let config = self.reloader.in_force();
        let slack = SLACK.max(self.protocol.worst_late());
        let work = move || {
            let outlook =
                Outlook { engine: &engine, now, settings: &config.settings, checks: &config.checks, slack };
            explain::explain(&report, name.as_deref(), outlook)
        };
        // With hundreds of instances this takes a while, which the checks' results shall not wait for.
        tokio::task::spawn_blocking(work).await.map_err(|_| Unknown::Silent)
    }

    /// What a reload with another configuration would do.
    pub async fn plan(&self, text: String, file: String) -> Result<Result<Plan, Rejected>, Unknown> {
        let new = match self.reloader.read(text, file).await {
            Ok(new) => new,
            Err(why) => return Ok(Err(why)),
        };
        let (now, engine) = self.statuses.copy().await?;
        let (node, old) = (self.node.clone(), self.reloader.in_force());
        let work = move || plan::plan(&node, &old, &new, &engine, now);
        tokio::task::spawn_blocking(work).await.map(Ok).map_err(|_| Unknown::Silent)
    }

    /// Records who asked for what, before it is done; answers the record's number.
    pub fn asked(&self, what: String, instance: Option<String>, by: Peer) -> u64 {
        self.record(Stamp::now(), instance, Record::Asked { what, by })
    }

    /// Puts a drill on record, and answers its number.
    pub fn drilled(&self, what: String, instance: String, by: Peer) -> u64 {
        self.record(Stamp::now(), Some(instance), Record::Drill { what, by })
    }

    /// Reads the configuration again and puts it in force, or says why not.
    pub async fn reload(&self, force: bool) -> Result<Vec<String>, Rejected> {
        self.systemd.reloading();
        let outcome = self.reloader.reload(force).await;
        match &outcome {
            Ok(_) => {
                let config = self.reloader.in_force();
                self.drains.apply(&self.post, &config, Stamp::now());
                self.notifications.apply(&config);
                self.listening.want(config.metrics.listen);
            }
            Err(why) => {
                self.record(Stamp::now(), None, Record::ReloadRefused { why: why.to_string() });
            }
        }
        self.statuses.changed();
        self.systemd.ready();
        outcome
    }
}
