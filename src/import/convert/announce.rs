//! Gratuitous ARP and unsolicited neighbour advertisements: the keywords are the same in `global_defs`, with `vrrp_` before
//! them, and in an instance.

use super::gather::Gathered;
use super::values::{Micros, number, seconds};
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
    elsewhere: Option<Micros>,
    interval: Option<Micros>,
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
        let mut gna = None;
        time("garp_interval", "interval", &mut self.interval, report);
        time("gna_interval", "interval", &mut gna, report);
        self.interval = self.interval.max(gna);
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
        self.elsewhere(gathered, prefix, report);
        if let Some(statement) = gathered.last("vrrp_min_garp", report) {
            self.again_after = Some(Micros::ZERO);
            self.repeat = None;
            report.converted(statement, "announce.again_after");
        }
    }

    /// `garp_extra_if [all] SECONDS`.
    fn elsewhere(&mut self, gathered: &mut Gathered<'_>, prefix: &str, report: &mut Report) {
        let names = [format!("{prefix}garp_extra_if"), format!("{prefix}vmac_garp_intvl")];
        let Some(statement) = gathered.last_of(&names.each_ref().map(String::as_str), report) else { return };
        let text = statement.words.last().map_or("", String::as_str);
        match Micros::of_seconds(text).filter(|value| *value <= Micros(24 * Micros::HOUR.0)) {
            Some(value) => {
                self.elsewhere = Some(value.min(Micros::HOUR));
                report.converted(statement, "announce.elsewhere");
            }
            None => report
                .ignored(statement, format!("'{text}' is no time from 0s to 86400s; keepalived ignores it")),
        }
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
        if let Some(value) = self.interval {
            map.set("interval", value.shown());
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
        if let Some(value) = self.elsewhere {
            map.set("elsewhere", pause(value, Micros::SECOND));
        }
        (!map.is_empty()).then_some(map)
    }
}
