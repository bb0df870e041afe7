//! `routes`: routes that a master has, or that are there as long as the agent runs.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::addresses;
use super::duration;
use super::problem::At;
use super::read::{Item, Noted, Table};
use super::scalar;
use super::tables;
use crate::codes::Code;
use crate::engine::path::{Hop, MAIN_TABLE, Path, Route, RouteKind};
use crate::engine::settings;
use crate::net::{Family, IpNet};

/// What stands in an entry.
pub(super) const KEYS: &[&str] = &[
    "to",
    "via",
    "interface",
    "onlink",
    "nexthops",
    "source",
    "table",
    "metric",
    "scope",
    "type",
    "tos",
    "preference",
    "mtu",
    "mtu_lock",
    "advertised_mss",
    "window",
    "hop_limit",
    "initial_cwnd",
    "initial_rwnd",
    "cwnd",
    "ssthresh",
    "reordering",
    "rtt",
    "rtt_variance",
    "minimum_rto",
    "quick_ack",
    "fast_open_no_cookie",
    "ecn",
    "congestion_control",
    "restore",
];

/// What stands in an entry of `nexthops`.
pub(super) const HOP_KEYS: &[&str] = &["via", "interface", "onlink", "weight"];

/// Reads the value of `routes`.
pub(super) fn read(item: &Item<'_>) -> Option<Vec<At<settings::Path>>> {
    let items = item.list("a list of routes, for example [{to: default, via: 192.0.2.254}]")?;
    let list: Vec<_> = items.iter().filter_map(route).collect();
    (list.len() == items.len()).then_some(list)
}

fn route(item: &Item<'_>) -> Option<At<settings::Path>> {
    let table = item.table("'to' and what else there is to say of it")?;
    table.only(KEYS, |_| None);
    let kind = optional(&table, "type", "unicast, blackhole or another type", kind)
        .ok()?
        .unwrap_or(RouteKind::Unicast);
    let hops = hops(&table)?;
    let source = optional(&table, "source", "an address of this host", scalar::address).ok()?;
    let told = hops.iter().filter_map(|hop| hop.via).chain(source).next();
    let to = table.required("to", "10.0.0.0/8")?;
    let to = to.read("a network, or default", |text| destination(text, told.map(Family::of)))?.value;
    agree(item, &table, to, kind, &hops, source)?;
    let mut metrics = metrics(&table)?;
    if lock(&table)? {
        // Bit 2, RTAX_MTU.
        metrics.insert(RTAX_LOCK, 1 << RTAX_MTU);
    }
    let route = Route {
        to,
        kind,
        hops,
        source,
        table: optional(&table, "table", "a table's name or number", tables::table)
            .ok()?
            .unwrap_or(MAIN_TABLE),
        metric: optional(&table, "metric", "a number", |text| scalar::number(text, 0, u32::MAX))
            .ok()?
            .unwrap_or(0),
        scope: optional(&table, "scope", addresses::SCOPES, addresses::scope).ok()?,
        tos: optional(&table, "tos", "a number", tos).ok()?.unwrap_or(0),
        preference: optional(&table, "preference", "low, medium or high", preference).ok()?,
        metrics,
        congestion_control: optional(&table, "congestion_control", "its name", scalar::some_text).ok()?,
    };
    let restored = table.or("restore", true, Item::truth)?.value;
    Some(item.at(settings::Path { path: Path::Route(route), left_alone: !restored }))
}

/// The value of a key that need not be there.
pub(super) fn optional<T>(
    table: &Table<'_>,
    key: &str,
    expected: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, Noted> {
    table.maybe(key, |item| item.read(expected, parse))
}

fn hops(table: &Table<'_>) -> Option<Vec<Hop<String>>> {
    if let Some(list) = table.optional("nexthops") {
        if let Some(alone) = ["via", "interface", "onlink"].iter().find_map(|key| table.optional(key)) {
            return alone.error(Code::Contradiction, "there are nexthops; write this there");
        }
        let items = list.list("a list of gateways, for example [{via: 192.0.2.1}, {via: 192.0.2.2}]")?;
        let hops: Vec<_> = items.iter().filter_map(nexthop).collect();
        return (hops.len() == items.len()).then_some(hops);
    }
    let hop = hop(table, 1)?;
    Some(if hop.via.is_none() && hop.link.is_none() { Vec::new() } else { vec![hop] })
}

fn nexthop(item: &Item<'_>) -> Option<Hop<String>> {
    let table = item.table("'via' or 'interface'")?;
    table.only(HOP_KEYS, |_| None);
    let weight =
        optional(&table, "weight", "1 to 256", |text| scalar::number(text, 1, 256)).ok()?.unwrap_or(1);
    let hop = hop(&table, u16::try_from(weight).unwrap_or(1))?;
    if hop.via.is_none() && hop.link.is_none() {
        return item.error(Code::OneOf, "neither 'via' nor 'interface'; write one of them");
    }
    Some(hop)
}

fn hop(table: &Table<'_>, weight: u16) -> Option<Hop<String>> {
    let via = optional(table, "via", "the gateway's address", scalar::address).ok()?;
    let link = optional(table, "interface", "its name", scalar::interface).ok()?;
    let onlink = table.or("onlink", false, Item::truth)?;
    if onlink.value && (via.is_none() || link.is_none()) {
        let item = table.optional("onlink")?;
        return item.error(
            Code::NothingToDo,
            "means something of a gateway on an interface; write both 'via' and 'interface'",
        );
    }
    Some(Hop { via, link, weight, onlink: onlink.value })
}

/// A network, of which no host bit is set, or everything.
fn destination(text: &str, family: Option<Family>) -> Result<IpNet, String> {
    let all = |address: IpAddr| IpNet::new(address, 0).ok_or_else(String::new);
    if text == "default" {
        return match family {
            Some(Family::Ipv6) => all(Ipv6Addr::UNSPECIFIED.into()),
            Some(Family::Ipv4) | None => all(Ipv4Addr::UNSPECIFIED.into()),
        };
    }
    network(text)
}

/// A network, of which no host bit is set.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let net: IpNet = text.parse()?;
    let first = net.range().0;
    if first != net.address() {
        return Err(format!("'{text}' is an address in a network; write {first}/{}", net.prefix()));
    }
    Ok(net)
}

fn agree(
    item: &Item<'_>,
    table: &Table<'_>,
    to: IpNet,
    kind: RouteKind,
    hops: &[Hop<String>],
    source: Option<IpAddr>,
) -> Option<()> {
    if kind.is_refusal() && !hops.is_empty() {
        return item.error(
            Code::Contradiction,
            format!("a route of type {} goes nowhere; remove the gateway", kind.as_str()),
        );
    }
    if !kind.is_refusal() && hops.is_empty() {
        return item.error(
            Code::OneOf,
            "there is no way to go; write 'via', 'interface', or a type such as blackhole",
        );
    }
    // IPv4 may go by a gateway that has an IPv6 address (RFC 8950), not the other way round.
    let odd = |address: IpAddr| to.family() == Family::Ipv6 && address.is_ipv4();
    if let Some(via) = hops.iter().filter_map(|hop| hop.via).find(|via| odd(*via)) {
        return item
            .error(Code::OtherFamily, format!("{via} is no gateway for {to}; write one of its family"));
    }
    if source.is_some_and(|source| Family::of(source) != to.family()) {
        return table
            .optional("source")?
            .error(Code::OtherFamily, format!("is of another family than {to}; write one of its own"));
    }
    for (key, family) in [("preference", Family::Ipv6), ("scope", Family::Ipv4), ("tos", Family::Ipv4)] {
        if let Some(item) = table.optional(key).filter(|_| to.family() != family) {
            return item
                .error(Code::OtherFamily, format!("an {} route has no such thing; remove it", to.family()));
        }
    }
    Some(())
}

/// What connections take from the route, by the kernel's numbers.
fn metrics(table: &Table<'_>) -> Option<BTreeMap<u16, u32>> {
    let mut metrics = BTreeMap::new();
    for (key, number, most) in NUMBERS {
        let value = optional(table, key, "a number", |text| scalar::number(text, 1, *most)).ok()?;
        metrics.extend(value.map(|value| (*number, value)));
    }
    for (key, number, unit) in TIMES {
        let value = optional(table, key, "a duration, for example 200ms", |text| {
            let time = duration::parse(text)?.as_millis();
            u32::try_from(time)
                .ok()
                .and_then(|ms| ms.checked_mul(*unit))
                .ok_or_else(|| format!("'{text}' is too long; write less"))
        })
        .ok()?;
        metrics.extend(value.map(|value| (*number, value)));
    }
    for (key, number) in SWITCHES {
        let value = match table.optional(key) {
            None => None,
            Some(item) => Some(u32::from(item.truth()?.value)),
        };
        metrics.extend(value.map(|value| (*number, value)));
    }
    Some(metrics)
}

fn lock(table: &Table<'_>) -> Option<bool> {
    let locked = table.or("mtu_lock", false, Item::truth)?;
    if locked.value && table.optional("mtu").is_none() {
        return table.optional("mtu_lock")?.error(Code::NothingToDo, "there is no 'mtu' to keep; write one");
    }
    Some(locked.value)
}

fn kind(text: &str) -> Result<RouteKind, String> {
    let known = RouteKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    let all: Vec<_> = RouteKind::ALL.iter().map(|kind| kind.as_str()).collect();
    known.ok_or_else(|| format!("'{text}' is no type of route; write {}", all.join(", ")))
}

fn preference(text: &str) -> Result<u8, String> {
    match text {
        "low" => Ok(3),
        "medium" => Ok(0),
        "high" => Ok(1),
        _ => Err(format!("'{text}' is no preference; write low, medium or high")),
    }
}

/// A type of service, decimal or with 0x.
pub(super) fn tos(text: &str) -> Result<u8, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16).ok(),
        None => scalar::number(text, 0, 255).ok().and_then(|number| u8::try_from(number).ok()),
    };
    number.ok_or_else(|| format!("'{text}' is no type of service; write a number from 0 to 255, or 0x10"))
}

const RTAX_LOCK: u16 = 1;
const RTAX_MTU: u16 = 2;
/// Keys with the kernel's number (`RTAX_*`) and the greatest value.
const NUMBERS: &[(&str, u16, u32)] = &[
    ("mtu", RTAX_MTU, 65_535),
    ("window", 3, u32::MAX),
    ("ssthresh", 6, u32::MAX),
    ("cwnd", 7, u32::MAX),
    ("advertised_mss", 8, 65_495),
    ("reordering", 9, u32::MAX),
    ("hop_limit", 10, 255),
    ("initial_cwnd", 11, u32::MAX),
    ("initial_rwnd", 14, u32::MAX),
];
/// The same for times, with what the kernel counts in: so many to a millisecond.
const TIMES: &[(&str, u16, u32)] = &[("rtt", 4, 8), ("rtt_variance", 5, 4), ("minimum_rto", 13, 1)];
/// ECN is a feature, and the only one.
const SWITCHES: &[(&str, u16)] = &[("ecn", 12), ("quick_ack", 15), ("fast_open_no_cookie", 17)];
