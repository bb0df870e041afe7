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
mod routes;
mod rules;
mod strict;
mod tracks;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use super::blocks::Statement;
use super::report::{Fate, Report};
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
        priorities: rules::Priorities::of(statements),
        synced: synced(statements),
        secret: false,
    };
    let mut map = globals.top.clone();
    let (limits, drop_in) = others(statements, &globals, report);
    if !limits.is_empty() {
        map.set("announce_limits", Value::List(limits));
    }
    if let Some(notify) = globals.notify.top() {
        map.set("notify", Value::Map(notify));
    }
    if let Some(mail) = globals.notify.server.clone() {
        map.set("mail", Value::Map(mail));
    }
    let (instances, count) = each(statements, "vrrp_instance", &mut common, report, instance::convert);
    let (groups, _) = each(statements, "vrrp_sync_group", &mut common, report, groups::convert);
    common.checks.tell_delays(report);
    let fixed = fixed(statements, &mut common, report);
    for (key, part) in
        [("static", fixed), ("instances", instances), ("groups", groups), ("checks", common.checks.map)]
    {
        if !part.is_empty() || key == "instances" {
            map.set(key, Value::Map(part));
        }
    }
    Output { map, instances: count, secret: common.secret, drop_in }
}

/// What becomes of one block: its name and its keys.
type Converter = fn(&Statement, usize, &mut Common<'_>, &mut Report) -> Option<(String, Map)>;

/// Converts every block of one keyword; how many came out.
fn each(
    statements: &[Statement],
    keyword: &str,
    common: &mut Common<'_>,
    report: &mut Report,
    convert: Converter,
) -> (Map, usize) {
    let mut map = Map::default();
    let mut count = 0;
    let mut names = BTreeSet::new();
    for (index, statement) in statements.iter().enumerate() {
        if statement.keyword() == keyword
            && report.judge("", statement)
            && is_first(&mut names, statement, report)
            && let Some((name, keys)) = convert(statement, index, common, report)
        {
            map.set_below(vec![origin(statement)], &name, Value::Map(keys));
            count += 1;
        }
    }
    (map, count)
}

/// Whether no block before had its name: keepalived ignores the others.
fn is_first(names: &mut BTreeSet<String>, statement: &Statement, report: &mut Report) -> bool {
    let name = statement.word(1).unwrap_or_default();
    let first = names.insert(name.to_owned());
    if !first {
        report.ignored(statement, format!("there is a {} '{name}' already", statement.keyword()));
        report.with_it(statement, Fate::Ignored, "its block is ignored");
    }
    first
}

/// What is no instance and no part of one: the limits of announcements, and what belongs into the unit.
fn others(statements: &[Statement], globals: &Globals, report: &mut Report) -> (Vec<Value>, Option<String>) {
    let mut limits = Vec::new();
    let mut drop_in = None;
    for statement in statements {
        match statement.keyword() {
            // They are read where they belong.
            "vrrp_instance"
            | "global_defs"
            | "vrrp_script"
            | "track_file"
            | "vrrp_track_file"
            | "vrrp_track_process"
            | "interface_up_down_delays"
            | "vrrp_sync_group"
            | "static_ipaddress"
            | "static_routes"
            | "static_rules" => {}
            _ if !report.judge("", statement) => {}
            "garp_group" => limits.extend(announce::group(statement, report).map(Value::Inline)),
            "net_namespace" => {
                let name = statement.word(1).unwrap_or_default();
                drop_in = Some(format!("NetworkNamespacePath=/run/netns/{name}"));
                report.converted(
                    statement,
                    "NetworkNamespacePath= in a drop-in of vipd.service, as the output says",
                );
            }
            _ => report.left_out(statement, "the importer does not know what to do with it here"),
        }
    }
    if let Some(interval) = globals.announce_interval {
        let mut limit = Map::default();
        limit.set("interval", interval.shown());
        limits.push(Value::Inline(limit));
    }
    (limits, drop_in)
}

/// `static_ipaddress`, `static_routes` and `static_rules`: there whoever is master.
fn fixed(statements: &[Statement], common: &mut Common<'_>, report: &mut Report) -> Map {
    let mut map = Map::default();
    let (mut addresses, mut routes, mut rules) = (Vec::new(), Vec::new(), Vec::new());
    for block in statements {
        let key = match block.keyword() {
            "static_ipaddress" => "static.addresses",
            "static_routes" => "static.routes",
            "static_rules" => "static.rules",
            _ => continue,
        };
        if !report.judge("", block) {
            continue;
        }
        report.converted(block, key);
        for line in &block.block {
            match key {
                "static.addresses" => {
                    let Some(mut address) = addresses::Address::read(line, None, report) else { continue };
                    if !address.options.has("interface") {
                        address.options.set("interface", common.globals.interface.as_str());
                    }
                    report.converted(line, key);
                    addresses.push(address.value());
                }
                "static.routes" => routes.extend(routes::read(line, report)),
                _ => rules.extend(rules::read(line, &mut common.priorities, report)),
            }
        }
    }
    for (key, list) in [("addresses", addresses), ("routes", routes), ("rules", rules)] {
        if !list.is_empty() {
            map.set(key, Value::List(list));
        }
    }
    map
}

/// Where something comes from, as a comment says it.
fn origin(statement: &Statement) -> String {
    format!("{} {}", statement.place, statement.words.join(" "))
}

/// The sync group of each instance that has one: the first that names it.
fn synced(statements: &[Statement]) -> BTreeMap<String, String> {
    let mut names = BTreeSet::new();
    let groups = statements.iter().filter(|statement| statement.keyword() == "vrrp_sync_group");
    let groups = groups.filter(|group| names.insert(group.word(1).unwrap_or_default()));
    let mut found = BTreeMap::new();
    for group in groups {
        let members =
            group.block.iter().filter(|inner| inner.keyword() == "group").flat_map(|inner| &inner.block);
        for member in members.flat_map(|line| &line.words) {
            found.entry(member.clone()).or_insert_with(|| group.word(1).unwrap_or_default().to_owned());
        }
    }
    found
}
