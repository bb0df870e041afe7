//! `global_defs`: what becomes the default of every instance, and the few keys that stand at the top.

use std::net::IpAddr;

use super::announce::{self, Announce};
use super::gather::Gathered;
use super::notify::{self, Notify};
use super::values::{Micros, number, seconds, truth, word};
use crate::import::blocks::Statement;
use crate::import::report::Report;
use crate::import::yaml::{Map, Value};
use crate::net::Family;

/// What instances have unless they say otherwise.
#[derive(Debug)]
pub(super) struct Globals {
    /// `default_interface`.
    pub(super) interface: String,
    /// `vrrp_version`.
    pub(super) version: u32,
    pub(super) announce: Announce,
    pub(super) notify: Notify,
    /// `v3_checksum_as_v2`.
    pub(super) message_checksum: bool,
    /// `vrrp_down_timer_adverts`.
    pub(super) missed_adverts: Option<u32>,
    /// `vrrp_strict`.
    pub(super) strict: bool,
    /// `vmac_prefix`.
    pub(super) vmac_prefix: Option<String>,
    /// `vrrp_mcast_group4`, `vrrp_mcast_group6`.
    pub(super) groups: Vec<IpAddr>,
    /// `vrrp_garp_interval` and `vrrp_gna_interval`.
    pub(super) announce_interval: Option<Micros>,
    /// What stands at the top of the output.
    pub(super) top: Map,
}

impl Default for Globals {
    fn default() -> Self {
        Self {
            interface: "eth0".to_owned(),
            version: 2,
            announce: Announce::default(),
            notify: Notify::default(),
            message_checksum: false,
            missed_adverts: None,
            strict: false,
            vmac_prefix: None,
            groups: Vec::new(),
            announce_interval: None,
            top: Map::default(),
        }
    }
}

impl Globals {
    /// Reads every `global_defs`, of which there may be several.
    pub(super) fn read(statements: &[Statement], report: &mut Report) -> Self {
        let mut globals = Self::default();
        let asked = statements.iter().any(notify::asks_for_mail);
        for statement in statements.iter().filter(|statement| statement.keyword() == "global_defs") {
            if report.judge("", statement) {
                report.converted(statement, "the defaults of every instance");
                let mut gathered = Gathered::of("global_defs", &statement.block, report);
                globals.defaults(&mut gathered, report);
                globals.announce.read(&mut gathered, "vrrp_", report);
                globals.announce_interval =
                    announce::interval(&mut gathered, "vrrp_", report).or(globals.announce_interval);
                globals.notify.read(&mut gathered, asked, report);
                globals.links(&mut gathered, report);
                globals.urgency(&mut gathered, report);
                gathered.rest(report);
            }
        }
        globals
    }

    fn defaults(&mut self, gathered: &mut Gathered<'_>, report: &mut Report) {
        if let Some(statement) = gathered.last("default_interface", report)
            && let Some(interface) = word(statement, report)
        {
            interface.clone_into(&mut self.interface);
            report.converted(statement, "interface");
        }
        if let Some(statement) = gathered.last("vrrp_version", report)
            && let Some(version) = number(statement, 2, 3, report)
        {
            self.version = version;
            report.converted(statement, "version");
        }
        if let Some(statement) = gathered.last("v3_checksum_as_v2", report)
            && let Some(on) = truth(statement, report)
        {
            self.message_checksum = on;
            report.converted(statement, "checksum");
        }
        if let Some(statement) = gathered.last("vrrp_down_timer_adverts", report)
            && let Some(count) = number(statement, 1, 100, report)
        {
            self.missed_adverts = Some(count);
            missed(statement, count, report);
        }
        if let Some(statement) = gathered.last("vrrp_strict", report) {
            self.strict = true;
            let but =
                "false below priority 255; the report says at each instance what keepalived ignores by it";
            report.converted_but(statement, "accept", but);
        }
        for (keyword, family) in [("vrrp_mcast_group4", Family::Ipv4), ("vrrp_mcast_group6", Family::Ipv6)] {
            if let Some(statement) = gathered.last(keyword, report)
                && let Some(group) = word(statement, report)
            {
                let address = group.parse::<IpAddr>().ok();
                match address.filter(|group| group.is_multicast() && Family::of(*group) == family) {
                    Some(group) => {
                        self.groups.push(group);
                        report.converted(statement, "multicast.group");
                    }
                    None => report.ignored(statement, format!("no group of {family}; keepalived ignores it")),
                }
            }
        }
        for (keyword, key) in
            [("vrrp_startup_delay", "startup_delay"), ("vrrp_delay_after_boot", "boot_delay")]
        {
            if let Some(statement) = gathered.last(keyword, report)
                && let Some(delay) = seconds(statement, Micros::ZERO, Micros::HOUR, report)
            {
                self.top.set(key, delay.shown());
                report.converted(statement, key);
            }
        }
    }

    /// `vmac_prefix`: what the links with a virtual router's own address are called.
    fn links(&mut self, gathered: &mut Gathered<'_>, report: &mut Report) {
        if let Some(statement) = gathered.last("vmac_prefix", report)
            && let Some(prefix) = word(statement, report)
        {
            self.vmac_prefix = Some(prefix.to_owned());
            report.converted(statement, "virtual_mac.name");
        }
    }

    fn urgency(&mut self, gathered: &mut Gathered<'_>, report: &mut Report) {
        let mut realtime = Map::default();
        if let Some(statement) = gathered.last("vrrp_rt_priority", report)
            && let Some(priority) = number(statement, 1, 99, report)
        {
            realtime.set("priority", priority.clamp(2, 49).to_string());
            report.converted_but(statement, "realtime.priority", "2 to 49; needs the drop-in realtime.conf");
        }
        if let Some(statement) = gathered.last("vrrp_no_swap", report) {
            realtime.set("lock_memory", "true");
            report.converted_but(statement, "realtime.lock_memory", "needs the drop-in realtime.conf");
        }
        if !realtime.is_empty() {
            self.top.set("realtime", Value::Map(realtime));
        }
    }
}

/// The fewest adverts that a backup of vipd may miss.
pub(super) const LEAST_MISSED: u32 = 2;

/// Says what becomes of a number of missed adverts.
pub(super) fn missed(statement: &Statement, count: u32, report: &mut Report) {
    if count < LEAST_MISSED {
        report.converted_but(statement, "missed_adverts", "2: one lost advert is no dead master");
    } else {
        report.converted(statement, "missed_adverts");
    }
}
