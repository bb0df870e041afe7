//! Whom adverts go to: peers by unicast, or a multicast group; and from which address.

use std::net::IpAddr;

use super::gather::Gathered;
use super::globals::Globals;
use super::values::word;
use crate::import::blocks::Statement;
use crate::import::report::Report;
use crate::import::yaml::{Map, Value};
use crate::net::Family;

/// Reads the peers, the source and the group.
pub(super) fn convert(
    gathered: &mut Gathered<'_>,
    family: Family,
    globals: &Globals,
    map: &mut Map,
    report: &mut Report,
) {
    let source = gathered.last_of(&["unicast_src_ip", "mcast_src_ip"], report);
    let source = source.and_then(|statement| {
        Some((statement, of_family(statement, word(statement, report)?, family, report)?))
    });
    let mut peers = Vec::new();
    for block in gathered.all("unicast_peer") {
        for line in &block.block {
            if let Some(address) = of_family(line, line.keyword(), family, report) {
                peers.extend(peer(line, address, &peers, report));
            }
        }
        report.converted(block, "unicast.peers");
    }
    if peers.is_empty() {
        return multicast(gathered, source, family, globals, map, report);
    }
    let mut unicast = Map::default();
    if let Some((statement, source)) = source {
        unicast.set("source", source.to_string());
        report.converted(statement, "unicast.source");
    }
    unicast.set("peers", Value::List(peers));
    map.set("unicast", Value::Map(unicast));
    if let Some(statement) = gathered.last("mcast_dst_ip", report) {
        report.ignored(statement, "adverts go to the peers");
    }
}

/// One peer, unless it is there already.
fn peer(line: &Statement, address: IpAddr, others: &[Value], report: &mut Report) -> Option<Value> {
    let mut range = [None, None];
    let mut words = line.words.iter().skip(1);
    while let Some(word) = words.next() {
        let value = words.next();
        if !report.judge_word("unicast_peer", word, line) {
            continue;
        }
        let at = usize::from(word == "max_ttl");
        match value.and_then(|value| value.parse::<u8>().ok()) {
            Some(value) => range[at] = Some(value),
            None => {
                report.ignored(line, format!("{word} needs a number from 0 to 255; keepalived ignores it"));
            }
        }
    }
    let text = address.to_string();
    let value = match range {
        [None, None] => Value::from(text),
        [least, most] => {
            let mut map = Map::default();
            map.set("address", text);
            map.set("ttl", format!("{}-{}", least.unwrap_or(0), most.unwrap_or(255)));
            Value::Inline(map)
        }
    };
    if others.contains(&value) {
        report.ignored(line, "it is there already");
        return None;
    }
    report.converted(line, "unicast.peers");
    Some(value)
}

/// The address in `text`, if it is one of the family.
fn of_family(line: &Statement, text: &str, family: Family, report: &mut Report) -> Option<IpAddr> {
    match text.parse::<IpAddr>() {
        Ok(address) if Family::of(address) == family => Some(address),
        Ok(_) => {
            report.ignored(line, format!("the instance is {family}; keepalived ignores it"));
            None
        }
        Err(_) => {
            report.ignored(line, format!("'{text}' is no address; keepalived ignores it"));
            None
        }
    }
}

fn multicast(
    gathered: &mut Gathered<'_>,
    source: Option<(&Statement, IpAddr)>,
    family: Family,
    globals: &Globals,
    map: &mut Map,
    report: &mut Report,
) {
    let mut multicast = Map::default();
    if let Some((statement, source)) = source {
        multicast.set("source", source.to_string());
        report.converted(statement, "multicast.source");
    }
    let own = gathered.last("mcast_dst_ip", report);
    let group = match own {
        Some(statement) => {
            word(statement, report).and_then(|text| of_family(statement, text, family, report))
        }
        None => globals.groups.iter().copied().find(|group| Family::of(*group) == family),
    };
    if let Some(group) = group {
        multicast.set("group", group.to_string());
        if let Some(statement) = own {
            report.converted(statement, "multicast.group");
        }
    }
    if !multicast.is_empty() {
        map.set("multicast", Value::Inline(multicast));
    }
}
