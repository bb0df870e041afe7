//! Gratuitous ARP and unsolicited neighbour advertisements: the keywords are the same in `global_defs`, with `vrrp_` before
//! them, and in an instance.

use super::gather::Gathered;
use super::values::{Micros, number, seconds};
use crate::import::blocks::Statement;
use crate::import::report::Report;
use crate::import::yaml::{Map, Value};

/// What is written of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Announce {
    again_after: Option<Micros>,
    refresh: Option<Micros>,
    repeat: Option<u32>,
    refresh_repeat: Option<u32>,
    lower_again_after: Option<Micros>,
    lower_repeat: Option<u32>,
}

/// How many frames a burst has at most.
const MOST: u32 = 100;

impl Announce {
    /// Reads the keywords that begin with `prefix`.
    pub(super) fn read(&mut self, gathered: &mut Gathered<'_>, prefix: &str, report: &mut Report) {
        let day = Micros(24 * Micros::HOUR.0);
        let mut time = |keyword: &str, key: &str, into: &mut Option<Micros>, report: &mut Report| {
            let Some(statement) = gathered.last(&format!("{prefix}{keyword}"), report) else { return };
            if let Some(value) = seconds(statement, Micros::ZERO, day, report) {
                *into = Some(value.min(Micros::HOUR));
                report.converted(statement, &format!("announce.{key}"));
            }
        };
        time("garp_master_delay", "again_after", &mut self.again_after, report);
        time("garp_master_refresh", "refresh", &mut self.refresh, report);
        time("garp_lower_prio_delay", "after_lower.again_after", &mut self.lower_again_after, report);
        for (keyword, key, into) in [
            ("garp_master_repeat", "repeat", &mut self.repeat),
            ("garp_master_refresh_repeat", "refresh_repeat", &mut self.refresh_repeat),
            ("garp_lower_prio_repeat", "after_lower.repeat", &mut self.lower_repeat),
        ] {
            if let Some(statement) = gathered.last(&format!("{prefix}{keyword}"), report)
                && let Some(count) = number(statement, 0, u32::MAX, report)
            {
                *into = Some(count.clamp(1, MOST));
                report.converted(statement, &format!("announce.{key}"));
            }
        }
        if let Some(statement) = gathered.last("vrrp_min_garp", report) {
            self.again_after = Some(Micros::ZERO);
            self.repeat = None;
            report.converted(statement, "announce.again_after");
        }
    }

    /// A lower priority that is heard has no consequence.
    pub(super) fn forget_lower(&mut self) {
        (self.lower_again_after, self.lower_repeat) = (None, None);
    }

    /// What stands under `announce`, if anything.
    pub(super) fn map(&self) -> Option<Map> {
        let pause = |value: Micros, least: Micros| {
            if value == Micros::ZERO { "off".to_owned() } else { value.max(least).shown() }
        };
        let mut map = Map::default();
        if let Some(value) = self.again_after {
            map.set("again_after", pause(value, Micros(100_000)));
        }
        if let Some(count) = self.repeat {
            map.set("repeat", count.to_string());
        }
        if let Some(value) = self.refresh {
            map.set("refresh", pause(value, Micros::SECOND));
        }
        if let Some(count) = self.refresh_repeat {
            map.set("refresh_repeat", count.to_string());
        }
        let mut lower = Map::default();
        if let Some(value) = self.lower_again_after {
            lower.set("again_after", pause(value, Micros(100_000)));
        }
        if let Some(count) = self.lower_repeat {
            lower.set("repeat", count.to_string());
        }
        if !lower.is_empty() {
            map.set("after_lower", Value::Inline(lower));
        }
        (!map.is_empty()).then_some(map)
    }
}

/// How fast announcements may follow each other: `garp_interval` and `gna_interval`, the longer one, for both kinds of frames.
/// None where keepalived has no limit.
pub(super) fn interval(gathered: &mut Gathered<'_>, prefix: &str, report: &mut Report) -> Option<Micros> {
    let mut longest = Micros::ZERO;
    for keyword in ["garp_interval", "gna_interval"] {
        let Some(statement) = gathered.last(&format!("{prefix}{keyword}"), report) else { continue };
        let Some(value) = seconds(statement, Micros::ZERO, Micros::HOUR, report) else { continue };
        if value == Micros::ZERO {
            report.converted_but(statement, "announce_limits", "none, as 0 is none");
        } else if value > Micros::SECOND {
            report.converted_but(statement, "announce_limits.interval", "1s, the longest that vipd takes");
        } else {
            report.converted(statement, "announce_limits.interval");
        }
        longest = longest.max(value.min(Micros::SECOND));
    }
    (longest > Micros::ZERO).then_some(longest)
}

/// `garp_group`: interfaces that share a limit.
pub(super) fn group(block: &Statement, report: &mut Report) -> Option<Map> {
    let mut gathered = Gathered::of("garp_group", &block.block, report);
    let interval = interval(&mut gathered, "", report);
    let mut names: Vec<String> = Vec::new();
    for statement in gathered.all("interface") {
        names.extend(statement.word(1).map(str::to_owned));
        report.converted(statement, "announce_limits.interfaces");
    }
    for list in gathered.all("interfaces") {
        report.converted(list, "announce_limits.interfaces");
        for line in &list.block {
            names.extend(line.words.iter().cloned());
            report.converted(line, "announce_limits.interfaces");
        }
    }
    gathered.rest(report);
    let Some(interval) = interval.filter(|_| !names.is_empty()) else {
        report.ignored(block, "it has no interval or no interface, so it limits nothing");
        return None;
    };
    report.converted(block, "announce_limits");
    let mut map = Map::default();
    map.set("interfaces", Value::texts(names));
    map.set("interval", interval.shown());
    Some(map)
}
