//! `vrrp_sync_group`: instances that are master together.

use super::gather::Gathered;
use super::instance::Common;
use super::notify;
use super::tracks::{self, Tracker};
use crate::import::blocks::Statement;
use crate::import::report::Report;
use crate::import::yaml::{Map, Value};

/// Reads one group; none, and noted, if it has no member.
pub(super) fn convert(
    statement: &Statement,
    index: usize,
    common: &mut Common<'_>,
    report: &mut Report,
) -> Option<(String, Map)> {
    let name = statement.word(1).unwrap_or_default();
    let mut gathered = Gathered::of("vrrp_sync_group", &statement.block, report);
    let members = members(name, &mut gathered, common, report);
    let mut map = Map::default();
    map.set("members", Value::texts(members.clone()));
    let tracker = Tracker { index, own: None, weightless: None };
    let tracks = tracks::read(&mut gathered, tracker, &mut common.checks, report);
    if !tracks.is_empty() {
        map.set("track", Value::Map(tracks));
    }
    if let Some(notify) = notify::own(&mut gathered, &common.globals.notify, report) {
        map.set("notify", notify);
    }
    gathered.rest(report);
    if members.is_empty() {
        report.left_out(statement, "it has no member that was converted");
        return None;
    }
    let (chosen, changed) = common.group_names.give(name);
    let key = format!("groups.{chosen}");
    if changed {
        report.converted_but(statement, &key, "a name has letters, digits, '_', '.' and '-' only");
    } else {
        report.converted(statement, &key);
    }
    Some((chosen, map))
}

/// The members, by their names in the output.
fn members(
    group: &str,
    gathered: &mut Gathered<'_>,
    common: &Common<'_>,
    report: &mut Report,
) -> Vec<String> {
    let mut members: Vec<String> = Vec::new();
    for block in gathered.all("group") {
        report.converted(block, "members");
        for line in &block.block {
            for name in &line.words {
                let elsewhere = common.synced.get(name).is_some_and(|first| first != group);
                match common.names.of(name) {
                    _ if elsewhere => report.ignored(line, format!("'{name}' is in a group already")),
                    None => {
                        report.ignored(line, format!("there is no instance '{name}'; keepalived ignores it"));
                    }
                    Some(name) if members.iter().any(|member| member == name) => {
                        report.ignored(line, format!("'{name}' is there already"));
                    }
                    Some(name) => {
                        report.converted(line, "members");
                        members.push(name.to_owned());
                    }
                }
            }
        }
    }
    members
}
