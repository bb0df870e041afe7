//! `vrrp_instance`: the keys of one instance, in the order in which somebody would write them.

use std::collections::BTreeMap;

use super::addresses::{Address, Taken, is_free};
use super::authentication;
use super::checks::Checks;
use super::gather::Gathered;
use super::globals::{self, Globals};
use super::names::Names;
use super::notify;
use super::peers;
use super::routes;
use super::rules;
use super::strict;
use super::tracks::{self, Tracker};
use super::values::{Micros, number, seconds, truth};
use crate::import::blocks::Statement;
use crate::import::report::{Fate, Report};
use crate::import::yaml::{Map, Value};
use crate::net::Family;

/// What instances have in common.
#[derive(Debug)]
pub(super) struct Common<'c> {
    pub(super) globals: &'c Globals,
    pub(super) checks: Checks,
    pub(super) names: Names,
    pub(super) group_names: Names,
    pub(super) taken: Taken,
    /// Of rules that have none.
    pub(super) priorities: rules::Priorities,
    /// The sync group of each instance that has one.
    pub(super) synced: BTreeMap<String, String>,
    /// Something in the output is secret.
    pub(super) secret: bool,
}

/// What the rest of an instance hangs on.
pub(super) struct Facts<'s> {
    pub(super) name: String,
    pub(super) interface: String,
    pub(super) family: Family,
    pub(super) version: u32,
    vrid: Option<u8>,
    priority: u32,
    /// The priority is 255.
    owner: bool,
    /// `state MASTER`, as far as that counts.
    master: bool,
    /// `vrrp_strict` or `strict_mode`.
    strict: bool,
    gathered: Gathered<'s>,
}

/// Reads one instance; none, and noted, if it cannot be one.
pub(super) fn convert(
    statement: &Statement,
    index: usize,
    common: &mut Common<'_>,
    report: &mut Report,
) -> Option<(String, Map)> {
    let mut map = Map::default();
    let mut facts = facts(statement, &mut map, common, report)?;
    let bare = is_bare(statement, &mut facts, report);
    let addresses = addresses(&mut facts, bare, common, report);
    if addresses.is_empty() && !bare {
        report.left_out(
            statement,
            "no address is left for it; keepalived does not start with none, or vipd has them elsewhere",
        );
        facts.gathered.rest(report);
        return None;
    }
    let housed = !addresses.is_empty();
    map.set("addresses", Value::List(addresses));
    if bare {
        map.set("family", if facts.family == Family::Ipv6 { "ipv6" } else { "ipv4" });
    }
    map.set("version", facts.version.to_string());
    map.set("priority", facts.priority.to_string());
    interval(&mut facts, &mut map, report);
    preempt(&mut facts, &mut map, report);
    peers::convert(&mut facts.gathered, facts.family, common.globals, &mut map, report);
    if let Some(block) = facts.gathered.last("authentication", report)
        && let Some(authentication) = authentication::convert(block, facts.version, report)
    {
        common.secret = true;
        map.set("authentication", Value::Map(authentication));
    }
    if let Some(block) = facts.gathered.last("auth_hmac", report)
        && let Some(authentication) = authentication::convert_hmac(block, report)
    {
        common.secret = true;
        map.set("authentication", Value::Map(authentication));
    }
    behaviour(&mut facts, common.globals, &mut map, report);
    virtual_mac(&mut facts, common.globals, housed, &mut map, report);
    paths(&mut facts, common, &mut map, report);
    let weightless = match common.synced.get(statement.word(1).unwrap_or_default()) {
        Some(_) => Some("keepalived ignores what is tracked with a weight within a sync group"),
        None if facts.owner => Some("keepalived ignores what is tracked with a weight and priority 255"),
        None => None,
    };
    let follows = follow(statement, &mut facts, &common.checks, &mut map, report);
    let own = (follows == Following::Itself).then_some(facts.interface.as_str());
    let tracker = Tracker { index, own, weightless };
    let mut tracks = tracks::read(&mut facts.gathered, tracker, &mut common.checks, report);
    if follows == Following::Check {
        tracks.set(&common.checks.of_interface(&facts.interface), "fault");
    }
    if !tracks.is_empty() {
        map.set("track", Value::Map(tracks));
    }
    if let Some(notify) = notify::own(&mut facts.gathered, &common.globals.notify, report) {
        map.set("notify", notify);
    }
    facts.gathered.rest(report);
    Some((facts.name, map))
}

/// What 255 becomes: the highest that does not own its addresses.
const OWNER: u32 = 254;

fn facts<'s>(
    statement: &'s Statement,
    map: &mut Map,
    common: &mut Common<'_>,
    report: &mut Report,
) -> Option<Facts<'s>> {
    let name = statement.word(1).unwrap_or_default();
    let of = |keyword: &str| statement.block.iter().rev().find(|inner| inner.keyword() == keyword);
    let vrid = of("virtual_router_id").and_then(|id| id.word(1)?.parse::<u8>().ok()).filter(|id| *id > 0);
    let unicast = of("unicast_peer").is_some_and(|peers| !peers.block.is_empty());
    let interface = of("interface").and_then(|interface| interface.word(1));
    let lacks = match (vrid, interface) {
        _ if name.is_empty() => Some("it has no name"),
        (None, _) => Some("it has no virtual_router_id from 1 to 255"),
        (_, None) if !unicast => Some("it has no interface"),
        _ => None,
    };
    if let Some(lacks) = lacks {
        report.left_out(statement, format!("{lacks}; keepalived does not start with it"));
        let why = format!("with the instance in line {}", statement.place.line);
        report.with_it(statement, Fate::LeftOut, &why);
        return None;
    }
    let mut gathered = Gathered::of("vrrp_instance", &statement.block, report);
    let (chosen, changed) = common.names.give(name);
    let key = format!("instances.{chosen}");
    if changed {
        report.converted_but(statement, &key, "a name has letters, digits, '_', '.' and '-' only");
    } else {
        report.converted(statement, &key);
    }
    let interface = interface.map_or_else(|| common.globals.interface.clone(), str::to_owned);
    match gathered.last("interface", report) {
        Some(statement) => report.converted(statement, "interface"),
        None => report.converted_but(statement, "interface", "none is named, so it is the default_interface"),
    }
    map.set("interface", interface.as_str());
    if let Some(statement) = gathered.last("virtual_router_id", report) {
        map.set("virtual_router_id", vrid.unwrap_or_default().to_string());
        report.converted(statement, "virtual_router_id");
    }
    let strict = strict::is_strict(&mut gathered, common.globals, report);
    let wants = of("state").and_then(|state| state.word(1)) == Some("MASTER");
    let (priority, owner) = priority(&mut gathered, wants, statement, report);
    let family = family(statement);
    let version = version(&mut gathered, family, common.globals, report);
    Some(Facts {
        name: chosen,
        interface,
        family,
        version,
        vrid,
        priority,
        owner,
        // To be strict, only an owner is master from the start.
        master: owner || (wants && !strict),
        strict,
        gathered,
    })
}

fn priority(
    gathered: &mut Gathered<'_>,
    master: bool,
    instance: &Statement,
    report: &mut Report,
) -> (u32, bool) {
    let Some(statement) = gathered.last("priority", report) else {
        if master {
            let why = "MASTER without a priority is 255 in keepalived; 254, which does not own its addresses";
            report.converted_but(instance, "priority", why);
            return (OWNER, true);
        }
        return (100, false);
    };
    match number(statement, 1, 255, report) {
        Some(255) => {
            let why = "254: keepalived adds the addresses with 255 too, vipd leaves those of an owner alone";
            report.converted_but(statement, "priority", why);
            (OWNER, true)
        }
        Some(priority) => {
            report.converted(statement, "priority");
            (priority, false)
        }
        None => (100, false),
    }
}

/// Whether adverts list no address: allowed by the keyword in version 3, and in version 2 in any case.
fn is_bare(statement: &Statement, facts: &mut Facts<'_>, report: &mut Report) -> bool {
    let keyword = facts.gathered.last("no_virtual_ipaddress", report);
    let lists = |inner: &Statement, name: &str| inner.keyword() == name && !inner.block.is_empty();
    let lists = |name: &str| statement.block.iter().any(|inner| lists(inner, name));
    let empty = !lists("virtual_ipaddress");
    match keyword {
        Some(keyword) if empty => {
            report.converted(keyword, "family");
            true
        }
        Some(keyword) => {
            report.ignored(keyword, "there are addresses");
            false
        }
        None => empty && !lists("virtual_ipaddress_excluded") && facts.version == 2,
    }
}

/// The family of the first address that is one; the others have to be of the same. Without any it is that of the peers, or
/// the one asked for.
fn family(statement: &Statement) -> Family {
    let has = |keyword: &str| statement.block.iter().any(|inner| inner.keyword() == keyword);
    let lines = |keyword: &'static str| {
        statement.block.iter().filter(move |inner| inner.keyword() == keyword).flat_map(|block| &block.block)
    };
    let excluded = lines("virtual_ipaddress_excluded").filter(|_| !has("no_virtual_ipaddress"));
    let mut all = lines("virtual_ipaddress").chain(lines("unicast_peer")).chain(excluded);
    let first = all.find_map(|line| super::addresses::address(line.keyword()));
    let otherwise = if has("native_ipv6") { Family::Ipv6 } else { Family::Ipv4 };
    first.map_or(otherwise, |net| Family::of(net.address()))
}

fn version(gathered: &mut Gathered<'_>, family: Family, globals: &Globals, report: &mut Report) -> u32 {
    let statement = gathered.last("version", report);
    let written = statement.and_then(|statement| number(statement, 2, 3, report));
    if family == Family::Ipv6 {
        match (statement, written) {
            (Some(statement), Some(2)) => {
                report.converted_but(
                    statement,
                    "version",
                    "3: no standard has IPv6 in version 2; all nodes need it",
                );
            }
            (Some(statement), Some(_)) => report.converted(statement, "version"),
            _ => {}
        }
        return 3;
    }
    if let (Some(statement), Some(_)) = (statement, written) {
        report.converted(statement, "version");
    }
    written.unwrap_or(globals.version)
}

fn addresses(facts: &mut Facts<'_>, bare: bool, common: &mut Common<'_>, report: &mut Report) -> Vec<Value> {
    let mut found = Vec::new();
    for (keyword, advertised) in [("virtual_ipaddress", true), ("virtual_ipaddress_excluded", false)] {
        for block in facts.gathered.all(keyword) {
            report.converted(block, "addresses");
            for line in &block.block {
                let Some(mut address) = Address::read(line, Some(&facts.interface), report) else { continue };
                if advertised && Family::of(address.net.address()) != facts.family {
                    report.ignored(
                        line,
                        format!("the instance is {}; keepalived ignores the address", facts.family),
                    );
                    continue;
                }
                if !is_free(line, address.net, &facts.interface, &facts.name, &mut common.taken, report) {
                    continue;
                }
                if advertised || found.is_empty() && !bare {
                    report.converted(line, "addresses");
                } else {
                    address.options.set("advertise", "false");
                    report.converted(line, "addresses, not advertised");
                }
                found.push(address.value());
            }
        }
    }
    found
}

fn interval(facts: &mut Facts<'_>, map: &mut Map, report: &mut Report) {
    let Some(statement) = facts.gathered.last("advert_int", report) else { return };
    let (least, most) = (Micros(10_000), Micros(255_000_000));
    let Some(asked) = seconds(statement, least, most, report) else { return };
    let used = if facts.version == 2 {
        // Whole seconds, and at least one.
        Micros(((asked.0 + 500_000) / 1_000_000).max(1) * 1_000_000)
    } else {
        Micros((asked.0 / 10_000 * 10_000).min(40_950_000))
    };
    map.set("advert_interval", used.shown());
    if used == asked {
        report.converted(statement, "advert_interval");
    } else {
        let but = format!("{}: version {} cannot say {}", used.shown(), facts.version, asked.shown());
        report.converted_but(statement, "advert_interval", &but);
    }
}

fn preempt(facts: &mut Facts<'_>, map: &mut Map, report: &mut Report) {
    let statement = facts.gathered.last_of(&["preempt", "nopreempt"], report);
    let delay = facts.gathered.last("preempt_delay", report);
    let mut never = false;
    if let Some(statement) = statement {
        let asked = statement.keyword() == "nopreempt";
        never = asked && !facts.master && !facts.owner;
        if asked && !never {
            report
                .ignored(statement, "not together with 'state MASTER' or priority 255; keepalived preempts");
        } else {
            map.set("preempt", if never { "false" } else { "true" });
            report.converted(statement, "preempt");
        }
    }
    let Some(statement) = delay else { return };
    if facts.master || never {
        report.ignored(
            statement,
            "not together with 'state MASTER', priority 255 or 'nopreempt'; keepalived does not wait",
        );
    } else if let Some(delay) = seconds(statement, Micros::ZERO, Micros(1_000_000_000), report) {
        map.set("preempt_delay", delay.shown());
        report.converted(statement, "preempt_delay");
    }
}

/// `use_vmac [NAME] [MAC]` and where adverts come from.
fn virtual_mac(facts: &mut Facts<'_>, globals: &Globals, housed: bool, map: &mut Map, report: &mut Report) {
    let base = facts.gathered.last("vmac_xmit_base", report);
    let Some(statement) = facts.gathered.last("use_vmac", report) else {
        if let Some(base) = base {
            report.ignored(base, "there is no use_vmac");
        }
        return;
    };
    if !housed {
        let why = "without addresses there is nothing for a virtual MAC; adverts come from the interface";
        for statement in [Some(statement), base].into_iter().flatten() {
            report.left_out(statement, why);
        }
        return;
    }
    let mut options = Map::default();
    let mut words = statement.words.iter().skip(1).map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "group" => {
                words.next();
                report.left_out(statement, "group: the links have no group of their own");
            }
            "name" | "netlink_notify_msg" => {}
            mac if mac.split(':').count() >= 5 => {
                report.left_out(statement, "a MAC address of one's own: vipd has the one of the standard");
            }
            name => options.set("name", name),
        }
    }
    if !options.has("name")
        && let Some(prefix) = &globals.vmac_prefix
        && let Some(id) = facts.vrid
    {
        options.set("name", format!("{prefix}.{id}"));
    }
    report.converted(statement, "virtual_mac");
    if let Some(base) = base {
        options.set("adverts", "interface");
        report.converted(base, "virtual_mac.adverts");
    }
    if options.is_empty() {
        map.set("virtual_mac", "true");
    } else {
        map.set("virtual_mac", Value::Inline(options));
    }
}

/// What an instance goes by that is about its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Following {
    Itself,
    /// A check of it, which may be patient.
    Check,
    Nothing,
}

/// `dont_track_primary`, and `interface_up_down_delays` of its interface.
fn follow(
    instance: &Statement,
    facts: &mut Facts<'_>,
    checks: &Checks,
    map: &mut Map,
    report: &mut Report,
) -> Following {
    let unfollowing = facts.gathered.last("dont_track_primary", report);
    let patient = checks.delays.contains_key(&facts.interface);
    let (follows, what) = match unfollowing {
        Some(_) => (Following::Nothing, ""),
        None if patient => (Following::Check, "interface_up_down_delays: "),
        None => return Following::Itself,
    };
    if map.has("virtual_mac") {
        let why = format!("{what}not with use_vmac, for links with a virtual MAC lose the carrier at once");
        report.left_out(unfollowing.unwrap_or(instance), why);
        return Following::Itself;
    }
    map.set("follow_interface", "false");
    if let Some(statement) = unfollowing {
        report.converted_but(
            statement,
            "follow_interface",
            "an interface that is set down is a fault all the same",
        );
    }
    follows
}

/// Routes and rules.
fn paths(facts: &mut Facts<'_>, common: &mut Common<'_>, map: &mut Map, report: &mut Report) {
    let mut routes = Vec::new();
    for block in facts.gathered.all("virtual_routes") {
        report.converted(block, "routes");
        routes.extend(block.block.iter().filter_map(|line| routes::read(line, report)));
    }
    let mut found = Vec::new();
    for block in facts.gathered.all("virtual_rules") {
        report.converted(block, "rules");
        found.extend(block.block.iter().filter_map(|line| rules::read(line, &mut common.priorities, report)));
    }
    for (key, list) in [("routes", routes), ("rules", found)] {
        if !list.is_empty() {
            map.set(key, Value::List(list));
        }
    }
}

/// What is no more than a switch or a number.
fn behaviour(facts: &mut Facts<'_>, globals: &Globals, map: &mut Map, report: &mut Report) {
    let mut message = globals.message_checksum;
    if let Some(statement) = facts.gathered.last("v3_checksum_as_v2", report)
        && let Some(on) = truth(statement, report)
    {
        message = on;
        report.converted(statement, "checksum");
    }
    if message && facts.version == 3 && facts.family == Family::Ipv4 {
        map.set("checksum", "message");
    }
    let mut missed = globals.missed_adverts;
    if let Some(statement) = facts.gathered.last("down_timer_adverts", report)
        && let Some(count) = number(statement, 1, 100, report)
    {
        missed = Some(count);
        globals::missed(statement, count, report);
    }
    if let Some(count) = missed {
        map.set("missed_adverts", count.max(globals::LEAST_MISSED).to_string());
    }
    let strict = facts.strict && !facts.owner;
    if let Some(accept) = strict::accept(&mut facts.gathered, strict, facts.version, report) {
        map.set("accept", accept.to_string());
    }
    let mut announce = globals.announce.clone();
    if facts.strict {
        announce.forget_lower();
    }
    announce.read(&mut facts.gathered, "", report);
    if let Some(announce) = announce.map() {
        map.set("announce", Value::Inline(announce));
    }
}
