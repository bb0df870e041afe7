//! Why an instance is where it is, and what would become of it: `GET /explain`.
//!
//! The past is the report's. What would be is not worked out by rules of this module: a copy of the engine is handed
//! each supposition (`engine::foresight`). Only what no engine knows is added here: how long a check takes to be believed,
//! how old an advert may be when its sender dies, and what a backup elsewhere does, which the standard bounds.

use serde::{Deserialize, Serialize};

use super::report::{Effect, Instance, Report, Role, SCHEMA, Track, millis};
use super::stamp::Stamp;
use crate::check;
use crate::engine::Engine;
use crate::engine::event::Target;
use crate::engine::foresight::{Foresight, Supposition};
use crate::engine::notice::State;
use crate::engine::settings;
use crate::engine::status::Status;
use crate::time::{Duration, Instant};

/// The answer to `GET /explain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The version of this shape.
    pub schema: u32,
    /// The host's name.
    pub node: String,
    /// When this was so.
    pub time: Stamp,
    /// The instances that were asked about, as in the report.
    pub instances: Vec<Explained>,
}

/// One instance, and its prospects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// How it stands.
    #[serde(flatten)]
    pub instance: Instance,
    /// Everything that bears on its priority or is in its way, the group's included.
    pub terms: Vec<Track>,
    /// What would become of it.
    pub prospects: Vec<Prospect>,
}

/// What would become of an instance, if.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prospect {
    /// If this happened now.
    #[serde(flatten)]
    pub supposed: Supposed,
    /// The state it would change to; none if it stays what it is.
    pub becomes: Option<Role>,
    /// Why, or why not.
    pub reason: String,
    /// The priority it would have then.
    pub priority: u8,
    /// How long that takes at the least, from the moment it happens.
    pub earliest_ms: f64,
    /// How long at the most.
    pub latest_ms: f64,
}

/// Something that might happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "if", rename_all = "snake_case")]
pub enum Supposed {
    /// All goes on as it does: listed only if it changes something all the same, for a delay ends.
    NothingHappens,
    /// The master that is heard dies.
    MasterDies {
        /// Its address.
        address: std::net::IpAddr,
    },
    /// This host dies, or is cut off: what becomes of its addresses elsewhere, if another node is there.
    ThisNodeDies,
    /// The operator has it step down.
    StepDown,
    /// The operator takes that back.
    Resume,
    /// A check that is down is all right from now on.
    CheckRecovers {
        /// The check's name.
        check: String,
    },
    /// A check that is up, or has no verdict yet, fails from now on.
    CheckFails {
        /// The check's name.
        check: String,
    },
}

/// What is needed to look ahead.
#[derive(Clone, Copy, Debug)]
pub struct Outlook<'a> {
    /// A copy of the engine.
    pub engine: &'a Engine,
    /// The moment it is of.
    pub now: Instant,
    /// The configuration in force.
    pub settings: &'a settings::Settings,
    /// The checks that are run, which take their time to be believed.
    pub checks: &'a [check::Settings],
    /// How late this host may be in acting.
    pub slack: Duration,
}

/// Explains every instance, or those that are or belong to what is named.
pub fn explain(report: &Report, name: Option<&str>, outlook: Outlook<'_>) -> Explanation {
    let status = outlook.engine.status(outlook.now);
    let meant = report.instances.iter().filter(|one| name.is_none_or(|name| report.means(name, one)));
    let instances = meant.map(|one| explained(one, report, &status, outlook)).collect();
    Explanation { schema: SCHEMA, node: report.node.clone(), time: report.time, instances }
}

fn explained(one: &Instance, report: &Report, status: &Status, outlook: Outlook<'_>) -> Explained {
    let group = one.group.as_deref().and_then(|name| report.group(name));
    let mut terms = one.tracks.clone();
    for track in group.iter().flat_map(|group| &group.tracks) {
        if !terms.iter().any(|known| known.check == track.check) {
            terms.push(track.clone());
        }
    }
    let mut prospects = Vec::new();
    if let Some(settings) = outlook.settings.instances.iter().find(|settings| settings.name == one.name) {
        let view = View { one, settings, silence: silence(one, status), outlook };
        prospects.extend(view.of_time());
        prospects.extend(view.of_masters());
        prospects.extend(view.of_orders());
        prospects.extend(terms.iter().filter(|track| matters(track)).map(|track| view.of_check(track)));
    }
    Explained { instance: one.clone(), terms, prospects }
}

/// Whether a verdict would change anything.
const fn matters(track: &Track) -> bool {
    match track.effect {
        Effect::Fault | Effect::FaultWhileUp => track.value.is_none(),
        Effect::Weight { weight } | Effect::ReversedWeight { weight } => weight != 0 && track.value.is_none(),
        Effect::Multiply { .. } => false,
    }
}

/// One instance, to look ahead for.
struct View<'a> {
    one: &'a Instance,
    settings: &'a settings::Instance,
    /// How long the master has been silent already.
    silence: Duration,
    outlook: Outlook<'a>,
}

fn silence(one: &Instance, status: &Status) -> Duration {
    let known = status.instances.iter().find(|known| known.name == one.name);
    let routers = known.into_iter().flat_map(|known| &known.routers);
    let heard = routers.filter_map(|router| router.master.map(|master| master.heard)).max();
    heard.map_or(Duration::ZERO, |heard| status.at.since(heard))
}

impl View<'_> {
    /// What becomes of it by itself.
    fn of_time(&self) -> Option<Prospect> {
        let ahead = self.look(Supposition::Nothing);
        let found = self.outcome(Supposed::NothingHappens, &ahead, (Duration::ZERO, self.outlook.slack));
        found.becomes.is_some().then_some(found)
    }

    /// What becomes of it if who is master dies.
    fn of_masters(&self) -> Option<Prospect> {
        if self.one.state == Role::Master {
            let (interval, lost) = (self.settings.interval, self.settings.sign_of_life());
            // The last advert is up to an interval old when its sender dies, and a backup waits up to its Skew_Time more.
            let spans =
                (lost.saturating_sub(interval), lost + self.settings.longest_skew() + self.outlook.slack);
            let reason = "another node takes over if one is there, as it notices".to_owned();
            return Some(self.prospect(
                Supposed::ThisNodeDies,
                None,
                reason,
                self.one.priority.effective,
                spans,
            ));
        }
        let master = self.one.master()?;
        let ahead = self.look(Supposition::Silence);
        let supposed = Supposed::MasterDies { address: master.address };
        Some(self.outcome(supposed, &ahead, (Duration::ZERO, self.outlook.slack)))
    }

    fn master_interval(&self) -> Duration {
        let longest = self.one.routers.iter().map(|router| router.master_interval_ms).fold(0.0, f64::max);
        Duration::from_secs_f64(longest / 1000.0)
    }

    /// What becomes of it if the operator says so.
    fn of_orders(&self) -> Option<Prospect> {
        let target = || Target::Named(self.one.name.clone());
        let none = (Duration::ZERO, Duration::ZERO);
        if self.one.stepped_down {
            let ahead = self.look(Supposition::Resume(target()));
            return Some(self.outcome(Supposed::Resume, &ahead, none));
        }
        if self.one.state != Role::Master {
            return None;
        }
        let spans = (Duration::ZERO, self.settings.longest_skew() + self.outlook.slack);
        let reason = "another node takes over if one is there; otherwise it stays here".to_owned();
        Some(self.prospect(Supposed::StepDown, Some(Role::Backup), reason, 1, spans))
    }

    /// What becomes of it if a check says the opposite from now on.
    fn of_check(&self, track: &Track) -> Prospect {
        let up = track.up == Some(false);
        let check = track.check.clone();
        let ahead = self.look(Supposition::Verdict { check: check.clone(), up });
        let believed = self.believed(&check, up);
        let supposed = if up { Supposed::CheckRecovers { check } } else { Supposed::CheckFails { check } };
        self.outcome(supposed, &ahead, believed)
    }

    /// How long it takes until a check's new results are its verdict: the first may be an interval away, and each
    /// may take until its timeout.
    fn believed(&self, check: &str, up: bool) -> (Duration, Duration) {
        let Some(check) = self.outlook.checks.iter().find(|known| known.name == check) else {
            return (Duration::ZERO, self.outlook.slack);
        };
        let more = if up { check.rise } else { check.fall }.saturating_sub(1);
        let (least, most) = (check.interval * more, check.interval * (more + 1));
        (least, most + check.timeout + self.outlook.slack)
    }

    fn look(&self, supposition: Supposition) -> Foresight {
        let settings = self.settings;
        let delays =
            self.outlook.settings.checks.iter().map(|check| check.up_delay.max(check.down_delay)).max();
        let silence = self.one.routers.iter().map(|router| router.master_down_ms).fold(0.0, f64::max);
        let silence = Duration::from_secs_f64(silence / 1000.0);
        // What the kernel refused is tried again, at the longest after this.
        let retry = if self.one.state == Role::Fault { RETRY } else { Duration::ZERO };
        let time =
            settings.preempt.delay() + delays.unwrap_or_default() + silence * 4 + settings.interval * 10;
        let time = time + retry;
        self.outlook.engine.foresee_one(self.outlook.now, &self.one.name, supposition, time)
    }

    /// What comes of it, and when, if what was supposed takes from `first` to `last` to be known.
    fn outcome(
        &self,
        supposed: Supposed,
        ahead: &Foresight,
        (first, last): (Duration, Duration),
    ) -> Prospect {
        let then = ahead.status.instances.iter().find(|one| one.name == self.one.name);
        let priority = then.map_or(self.one.priority.effective, |one| one.effective.get());
        let Some((at, to, reason)) = ahead.transitions(&self.one.name).next() else {
            let reason = then.map_or_else(String::new, |one| one.reason.to_string());
            return self.prospect(supposed, None, reason, priority, (first, last));
        };
        let after = at.since(self.outlook.now);
        let timed = !matches!(supposed, Supposed::NothingHappens);
        let spans = if timed && to == State::Master && self.one.master().is_some() {
            // It counts from the master's last advert, which is as old now as it happens to be: it may be new, or be
            // as old as an interval.
            let since = after + self.silence;
            (since.saturating_sub(self.master_interval()) + first, since + last)
        } else {
            (after + first, after + last)
        };
        self.prospect(supposed, Some(to.into()), reason.to_string(), priority, spans)
    }

    fn prospect(
        &self,
        supposed: Supposed,
        becomes: Option<Role>,
        reason: String,
        priority: u8,
        (earliest, latest): (Duration, Duration),
    ) -> Prospect {
        let (earliest_ms, latest_ms) = (millis(earliest), millis(latest));
        Prospect {
            supposed,
            becomes: becomes.filter(|to| *to != self.one.state),
            reason,
            priority,
            earliest_ms,
            latest_ms,
        }
    }
}

/// The longest pause before something that the kernel refused is tried again, and a bit.
const RETRY: Duration = Duration::from_secs(31);
