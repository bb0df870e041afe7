//! Statements become vipd's configuration. A file for each topic; what a keyword becomes is said by the table, how it does by
//! these.

mod addresses;
mod announce;
mod authentication;
mod checks;
mod commands;
mod gather;
mod globals;
mod groups;
mod instance;
mod names;
mod notify;
mod peers;
mod tracks;
mod values;

use std::collections::BTreeMap;

use super::blocks::Statement;
use super::report::Report;
use super::yaml::{Map, Value};
use checks::Checks;
use globals::Globals;
use instance::Common;
use names::Names;

/// What came out.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) map: Map,
    /// How many instances it has.
    pub(super) instances: usize,
    /// Something in it is secret.
    pub(super) secret: bool,
    /// What belongs into the agent's unit.
    pub(super) drop_in: Option<String>,
}

/// Converts all statements of a file.
pub(super) fn convert(statements: &[Statement], report: &mut Report) -> Output {
    let globals = Globals::read(statements, report);
    let checks = Checks::read(statements, report);
    let mut common = Common {
        globals: &globals,
        checks,
        names: Names::default(),
        group_names: Names::default(),
        taken: BTreeMap::new(),
        synced: synced(statements),
        secret: false,
    };
    let mut instances = Map::default();
    let mut limits = Vec::new();
    let mut count = 0;
    let mut drop_in = None;
    for (index, statement) in statements.iter().enumerate() {
        match statement.keyword() {
            "vrrp_instance" if report.judge("", statement) => {
                if let Some((name, map)) = instance::convert(statement, index, &mut common, report) {
                    instances.set_below(vec![origin(statement)], &name, Value::Map(map));
                    count += 1;
                }
            }
            "garp_group" if report.judge("", statement) => {
                limits.extend(announce::group(statement, report).map(Value::Inline));
            }
            "net_namespace" => {
                let name = statement.word(1).unwrap_or_default();
                drop_in = Some(format!("NetworkNamespacePath=/run/netns/{name}"));
                report.converted(
                    statement,
                    "NetworkNamespacePath= in a drop-in of vipd.service, as the output says",
                );
            }
            // Judged here, or read elsewhere.
            "vrrp_instance"
            | "garp_group"
            | "global_defs"
            | "vrrp_script"
            | "track_file"
            | "vrrp_track_file"
            | "vrrp_track_process"
            | "interface_up_down_delays"
            | "vrrp_sync_group" => {}
            _ => {
                if report.judge("", statement) {
                    report.left_out(statement, "the importer does not know what to do with it here");
                }
            }
        }
    }
    let mut groups = Map::default();
    for (index, statement) in statements.iter().enumerate() {
        if statement.keyword() == "vrrp_sync_group"
            && report.judge("", statement)
            && let Some((name, map)) = groups::convert(statement, index, &mut common, report)
        {
            groups.set_below(vec![origin(statement)], &name, Value::Map(map));
        }
    }
    if let Some(interval) = globals.announce_interval {
        let mut limit = Map::default();
        limit.set("interval", interval.shown());
        limits.push(Value::Inline(limit));
    }
    let mut map = globals.top.clone();
    if !limits.is_empty() {
        map.set("announce_limits", Value::List(limits));
    }
    if let Some(notify) = globals.notify.top() {
        map.set("notify", Value::Map(notify));
    }
    if let Some(mail) = globals.notify.server.clone() {
        map.set("mail", Value::Map(mail));
    }
    map.set("instances", Value::Map(instances));
    if !groups.is_empty() {
        map.set("groups", Value::Map(groups));
    }
    if !common.checks.map.is_empty() {
        map.set("checks", Value::Map(common.checks.map));
    }
    Output { map, instances: count, secret: common.secret, drop_in }
}

/// Where something comes from, as a comment says it.
fn origin(statement: &Statement) -> String {
    format!("{} {}", statement.place, statement.words.join(" "))
}

/// The sync group of each instance that has one.
fn synced(statements: &[Statement]) -> BTreeMap<String, String> {
    let groups = statements.iter().filter(|statement| statement.keyword() == "vrrp_sync_group");
    let mut found = BTreeMap::new();
    for group in groups {
        let members =
            group.block.iter().filter(|inner| inner.keyword() == "group").flat_map(|inner| &inner.block);
        for member in members.flat_map(|line| &line.words) {
            found.insert(member.clone(), group.word(1).unwrap_or_default().to_owned());
        }
    }
    found
}
