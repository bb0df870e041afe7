//! The file as it is written: the keys at its top, and everything below them that could be read.

use super::announce;
use super::checks::Check;
use super::duration;
use super::groups::Group;
use super::instance::Instance;
use super::mail;
use super::metrics::{self, Metrics};
use super::notify::{self, Notify};
use super::problem::At;
use super::read::Item;
use super::realtime;
use super::statics::{self, Statics};
use crate::engine::settings::AnnounceLimit;
use crate::notify::mail::Settings as Mail;
use crate::sys::realtime::Settings;
use crate::time::Duration;

/// The keys at the top.
pub(super) const KEYS: &[&str] = &[
    "instances",
    "groups",
    "checks",
    "notify",
    "mail",
    "startup_delay",
    "boot_delay",
    "announce_limits",
    "realtime",
    "metrics",
    "static",
];

/// The longest start-up delay.
const LONGEST_DELAY: Duration = Duration::from_secs(3600);

/// What was written, as far as it could be understood.
#[derive(Debug)]
pub(super) struct File {
    pub(super) startup_delay: Option<At<Duration>>,
    pub(super) boot_delay: Option<At<Duration>>,
    /// None if it was wrong.
    pub(super) statics: Option<At<Statics>>,
    /// None if it was wrong.
    pub(super) announce_limits: Option<At<Vec<AnnounceLimit>>>,
    /// None if it was wrong.
    pub(super) realtime: Option<At<Settings>>,
    /// None if it was wrong.
    pub(super) metrics: Option<At<Metrics>>,
    pub(super) instances: Vec<Instance>,
    pub(super) groups: Vec<Group>,
    pub(super) checks: Vec<Check>,
    /// For whoever has none of its own.
    pub(super) notify: Option<At<Notify>>,
    /// None if it was wrong, or not written.
    pub(super) mail: Option<At<Mail>>,
    pub(super) has_mail: bool,
}

impl File {
    /// Reads the whole file.
    pub(super) fn read(root: &Item<'_>) -> Option<Self> {
        let example = "'instances:' and an instance below it";
        let table = root.table(example)?;
        table.only(KEYS, |_| None);
        let delay = |key| {
            table.or(key, Duration::ZERO, |item| {
                item.read("a duration, for example 10s", |text| {
                    duration::between(text, Duration::ZERO, LONGEST_DELAY)
                })
            })
        };
        let (startup_delay, boot_delay) = (delay("startup_delay"), delay("boot_delay"));
        let announce_limits = table.or("announce_limits", Vec::new(), announce::read_limits);
        let realtime = table.or("realtime", Settings::default(), realtime::read);
        let instances = table.required("instances", "{ web: { interface: eth0, .. } }");
        let instances =
            instances.and_then(|item| item.entries("a name for each instance, for example 'web:'"));
        let groups = table.optional("groups");
        let groups = groups.and_then(|item| item.entries("a name for each group, for example 'site:'"));
        let checks = table.optional("checks");
        let checks = checks.and_then(|item| item.entries("a name for each check, for example 'nginx:'"));
        Some(Self {
            startup_delay,
            announce_limits,
            statics: table.or("static", Statics::default(), statics::read),
            boot_delay,
            realtime,
            metrics: table.or("metrics", Metrics::default(), metrics::read),
            instances: instances.iter().flatten().filter_map(Instance::read).collect(),
            groups: groups.iter().flatten().filter_map(Group::read).collect(),
            checks: checks.iter().flatten().map(Check::read).collect(),
            notify: table.optional("notify").and_then(notify::read),
            mail: table.optional("mail").and_then(mail::read),
            has_mail: table.optional("mail").is_some(),
        })
    }
}
