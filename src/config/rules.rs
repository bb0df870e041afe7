//! `rules`: which packets a routing table is asked for, while master or as long as the agent runs.

use super::problem::At;
use super::read::{Item, Table};
use super::routes::{network, optional, tos};
use super::scalar;
use super::tables;
use crate::codes::Code;
use crate::engine::path::{Path, Rule, RuleVerdict};
use crate::engine::settings;
use crate::net::{Family, IpNet};

/// What stands in an entry.
pub(super) const KEYS: &[&str] = &[
    "priority",
    "from",
    "to",
    "not",
    "table",
    "action",
    "goto",
    "fwmark",
    "input_interface",
    "output_interface",
    "tos",
    "suppress_prefix_length",
    "suppress_interface_group",
    "uid_range",
    "l3mdev",
    "ip_protocol",
    "source_port",
    "destination_port",
    "tunnel_id",
    "family",
    "restore",
];

/// Reads the value of `rules`.
pub(super) fn read(item: &Item<'_>) -> Option<Vec<At<settings::Path>>> {
    let items = item.list("a list of rules, for example [{from: 192.0.2.10, table: 100, priority: 1000}]")?;
    let list: Vec<_> = items.iter().filter_map(rule).collect();
    (list.len() == items.len()).then_some(list)
}

fn rule(item: &Item<'_>) -> Option<At<settings::Path>> {
    let table = item.table("'priority', 'table' and which packets it is for")?;
    table.only(KEYS, |_| None);
    let from = optional(&table, "from", "a network", network).ok()?;
    let to = optional(&table, "to", "a network", network).ok()?;
    let priority = table.required("priority", "1000")?;
    let priority = priority.read("1 to 32765", |text| scalar::number(text, 1, 4_294_967_294))?.value;
    let vrf = table.or("l3mdev", false, Item::truth)?.value;
    let verdict = verdict(item, &table, vrf, priority)?;
    let users = optional(&table, "uid_range", "1000-1999", |text| range(text, u32::MAX - 1)).ok()?;
    let ports = |key| optional(&table, key, "443, or 1000-1999", |text| range(text, 65_535));
    let narrow = |(from, to): (u32, u32)| Some((u16::try_from(from).ok()?, u16::try_from(to).ok()?));
    let rule = Rule {
        family: family(&table, from, to)?,
        priority,
        verdict,
        inverted: table.or("not", false, Item::truth)?.value,
        from: from.filter(|net| net.prefix() > 0),
        to: to.filter(|net| net.prefix() > 0),
        mark: optional(&table, "fwmark", "a mark, as 0x10/0xff", mark).ok()?,
        input: optional(&table, "input_interface", "its name", scalar::interface).ok()?,
        output: optional(&table, "output_interface", "its name", scalar::interface).ok()?,
        tos: optional(&table, "tos", "a number", tos).ok()?.unwrap_or(0),
        suppress_prefix_length: optional(&table, "suppress_prefix_length", "0 to 128", |text| {
            scalar::number(text, 0, 128)
        })
        .ok()?,
        suppress_group: optional(&table, "suppress_interface_group", "its number", |text| {
            scalar::number(text, 0, u32::MAX - 1)
        })
        .ok()?,
        users,
        vrf,
        protocol: optional(&table, "ip_protocol", "tcp, udp, icmp or a number", protocol).ok()?,
        source_ports: ports("source_port").ok()?.and_then(narrow),
        destination_ports: ports("destination_port").ok()?.and_then(narrow),
        tunnel: optional(&table, "tunnel_id", "a number", |text| scalar::number(text, 1, u32::MAX))
            .ok()?
            .map(u64::from),
    };
    let restored = table.or("restore", true, Item::truth)?.value;
    Some(item.at(settings::Path { path: Path::Rule(rule), left_alone: !restored }))
}

/// What the rule does: exactly one thing.
fn verdict(item: &Item<'_>, table: &Table<'_>, vrf: bool, priority: u32) -> Option<RuleVerdict> {
    let number = optional(table, "table", "a table's name or number", tables::table).ok()?;
    let action = optional(table, "action", ACTIONS, |text| {
        action(text).ok_or_else(|| format!("'{text}' is nothing that a rule does; write {ACTIONS}"))
    })
    .ok()?;
    let target =
        optional(table, "goto", "the priority of a later rule", |text| scalar::number(text, 1, u32::MAX))
            .ok()?;
    if let Some(target) = target.filter(|target| *target <= priority) {
        let goto = table.optional("goto")?;
        return goto
            .error(Code::BadValue, format!("{target} is not after {priority}; a rule can go forward only"));
    }
    match (number, action, target, vrf) {
        (Some(table), None, None, false) => Some(RuleVerdict::Table(table)),
        (None, None, None, true) => Some(RuleVerdict::Table(0)),
        (None, Some(action), None, false) => Some(action),
        (None, None, Some(target), false) => Some(RuleVerdict::Goto(target)),
        (None, None, None, false) => {
            item.error(Code::OneOf, "does nothing; write 'table', 'action' or 'goto'")
        }
        _ => item.error(
            Code::OneOf,
            "does more than one thing; write one of 'table', 'action', 'goto' and 'l3mdev'",
        ),
    }
}

fn action(text: &str) -> Option<RuleVerdict> {
    match text {
        "blackhole" => Some(RuleVerdict::Blackhole),
        "unreachable" => Some(RuleVerdict::Unreachable),
        "prohibit" => Some(RuleVerdict::Prohibit),
        "nop" => Some(RuleVerdict::Nothing),
        _ => None,
    }
}

const ACTIONS: &str = "blackhole, unreachable, prohibit or nop";

/// As the networks say, or as is written.
fn family(table: &Table<'_>, from: Option<IpNet>, to: Option<IpNet>) -> Option<Family> {
    let told = from.or(to).map(IpNet::family);
    if let (Some(from), Some(to)) = (from, to)
        && from.family() != to.family()
    {
        return table
            .optional("to")?
            .error(Code::OtherFamily, format!("{to} is of another family than {from}; write two rules"));
    }
    let written = optional(table, "family", "ipv4 or ipv6", |text| match text {
        "ipv4" => Ok(Family::Ipv4),
        "ipv6" => Ok(Family::Ipv6),
        _ => Err(format!("'{text}' is no family; write ipv4 or ipv6")),
    })
    .ok()?;
    match (told, written) {
        (Some(told), Some(written)) if told != written => table
            .optional("family")?
            .error(Code::Contradiction, format!("the addresses are {told}; remove this")),
        (told, written) => Some(told.or(written).unwrap_or(Family::Ipv4)),
    }
}

/// A mark, and the bits that count: all, if not said.
fn mark(text: &str) -> Result<(u32, u32), String> {
    let (mark, mask) = text.split_once('/').map_or((text, None), |(mark, mask)| (mark, Some(mask)));
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => scalar::number(text, 0, u32::MAX).ok(),
    };
    let mask = mask.map_or(Some(u32::MAX), number);
    let both = number(mark).zip(mask).filter(|(mark, mask)| mark & !mask == 0);
    both.ok_or_else(|| format!("'{text}' is no mark; write a number, or one and its mask, as 0x10/0xff"))
}

fn range(text: &str, most: u32) -> Result<(u32, u32), String> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (scalar::number(from, 0, most)?, scalar::number(to, 0, most)?);
    if from > to { Err(format!("'{text}' runs backwards; write {to}-{from}")) } else { Ok((from, to)) }
}

fn protocol(text: &str) -> Result<u8, String> {
    let number = match text {
        "icmp" => Ok(1),
        "tcp" => Ok(6),
        "udp" => Ok(17),
        "icmpv6" | "ipv6-icmp" => Ok(58),
        "sctp" => Ok(132),
        _ => scalar::number(text, 1, 255),
    };
    let number = number.ok().and_then(|number| u8::try_from(number).ok());
    number.ok_or_else(|| format!("'{text}' is no protocol; write tcp, udp, icmp, icmpv6, sctp or a number"))
}
