//! Routes as rtnetlink messages, and back.

use std::net::IpAddr;

use netlink_packet_core::NlasIterator;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHop,
    RouteNextHopFlags, RoutePreference, RouteProtocol, RouteScope, RouteType,
};

use super::super::local_routes::ip;
use super::super::picture::{PROTOCOL, Undecodable, address_family};
use crate::engine::event::SeenPath;
use crate::engine::path::{Hop, PathKey, Route, RouteKind};
use crate::net::{Family, IpNet, LinkIndex};

const HEADER: usize = 12;
const RTN_UNICAST: u8 = 1;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RT_SCOPE_HOST: u8 = 254;
const RT_SCOPE_NOWHERE: u8 = 255;
/// The table's number stands in an attribute.
const RT_TABLE_UNSPEC: u8 = 0;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTNH_HEADER: usize = 8;
const RTNH_F_ONLINK: u8 = 4;

/// The message that puts a route in.
pub(super) fn addition(route: &Route) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header = header(route.to, route.tos);
    message.header.kind = RouteType::from(route.kind as u8);
    message.header.scope = RouteScope::from(route.scope.unwrap_or_else(|| scope(route)));
    let attributes = &mut message.attributes;
    attributes.extend(naming(route.to, route.table, route.metric));
    attributes.extend(route.source.map(|source| RouteAttribute::PrefSource(address(source))));
    match route.hops.as_slice() {
        [] => {}
        [hop] => {
            attributes.extend(gateway(hop, route.to.family()));
            attributes.extend(hop.link.map(|link| RouteAttribute::Oif(link.0)));
            if hop.onlink {
                message.header.flags = RouteFlags::Onlink;
            }
        }
        hops => {
            let hops = hops.iter().map(|hop| next_hop(hop, route.to.family()));
            attributes.push(RouteAttribute::MultiPath(hops.collect()));
        }
    }
    let mut metrics: Vec<RouteMetric> =
        route.metrics.iter().map(|(kind, value)| metric(*kind, *value)).collect();
    metrics.extend(route.congestion_control.clone().map(RouteMetric::CcAlgo));
    if !metrics.is_empty() {
        attributes.push(RouteAttribute::Metrics(metrics));
    }
    attributes.extend(route.preference.map(|value| RouteAttribute::Preference(RoutePreference::from(value))));
    RouteNetlinkMessage::NewRoute(message)
}

/// The message that removes a route with our mark.
pub(super) fn removal(table: u32, to: IpNet, tos: u8, metric: u32) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header = header(to, tos);
    message.header.kind = RouteType::Unspec;
    message.header.scope = RouteScope::from(RT_SCOPE_NOWHERE);
    message.attributes.extend(naming(to, table, metric));
    RouteNetlinkMessage::DelRoute(message)
}

/// The question for all routes of a family with our mark.
pub(super) fn question(family: Family) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = address_family(family);
    message.header.protocol = RouteProtocol::from(PROTOCOL);
    RouteNetlinkMessage::GetRoute(message)
}

fn header(to: IpNet, tos: u8) -> RouteHeader {
    RouteHeader {
        address_family: address_family(to.family()),
        destination_prefix_length: to.prefix(),
        tos,
        table: RT_TABLE_UNSPEC,
        protocol: RouteProtocol::from(PROTOCOL),
        ..RouteHeader::default()
    }
}

fn naming(to: IpNet, table: u32, metric: u32) -> impl Iterator<Item = RouteAttribute> {
    let destination = (to.prefix() > 0).then(|| RouteAttribute::Destination(address(to.address())));
    let metric = (metric > 0).then_some(RouteAttribute::Priority(metric));
    [destination, Some(RouteAttribute::Table(table)), metric].into_iter().flatten()
}

fn address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}

/// As ip-route(8) takes it where it is not given.
fn scope(route: &Route) -> u8 {
    match route.kind {
        RouteKind::Local => RT_SCOPE_HOST,
        RouteKind::Broadcast | RouteKind::Multicast => RT_SCOPE_LINK,
        RouteKind::Unicast if route.hops.len() == 1 && route.hops.iter().all(|hop| hop.via.is_none()) => {
            RT_SCOPE_LINK
        }
        _ => RT_SCOPE_UNIVERSE,
    }
}

/// IPv4 may go by a gateway that has an IPv6 address.
fn gateway(hop: &Hop, family: Family) -> Option<RouteAttribute> {
    let via = hop.via?;
    if Family::of(via) == family {
        return Some(RouteAttribute::Gateway(address(via)));
    }
    match via {
        IpAddr::V4(via) => Some(RouteAttribute::Via(via.into())),
        IpAddr::V6(via) => Some(RouteAttribute::Via(via.into())),
    }
}

fn next_hop(hop: &Hop, family: Family) -> RouteNextHop {
    let mut next = RouteNextHop::default();
    next.hops = u8::try_from(hop.weight.saturating_sub(1)).unwrap_or(u8::MAX);
    next.interface_index = hop.link.map_or(0, |link| link.0);
    if hop.onlink {
        next.flags = RouteNextHopFlags::Onlink;
    }
    next.attributes.extend(gateway(hop, family));
    next
}

fn metric(kind: u16, value: u32) -> RouteMetric {
    RouteMetric::Other(netlink_packet_core::DefaultNla::new(kind, value.to_ne_bytes().to_vec()))
}

/// A route with our mark; `None` if it is somebody else's.
pub(super) fn seen(payload: &[u8]) -> Result<Option<SeenPath>, Undecodable> {
    let (header, attributes) = payload.split_at_checked(HEADER).ok_or(Undecodable)?;
    let [family, length, _, tos, table, protocol, _, kind, ..] = *header else { return Err(Undecodable) };
    let family = match family {
        2 => Family::Ipv4,
        10 => Family::Ipv6,
        _ => return Ok(None),
    };
    if protocol != PROTOCOL {
        return Ok(None);
    }
    let everything = IpNet::new(unspecified(family), 0).ok_or(Undecodable)?;
    let mut route = Route {
        kind: RouteKind::ALL.into_iter().find(|known| *known as u8 == kind).unwrap_or(RouteKind::Unicast),
        tos,
        ..Route::new(everything, Vec::new(), u32::from(table))
    };
    let mut hop = Hop { via: None, link: None, weight: 1, onlink: false };
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute.map_err(|_| Undecodable)?;
        let value = attribute.value();
        match attribute.kind() {
            RTA_DST => {
                let address = ip(value).ok_or(Undecodable)?;
                route.to = IpNet::new(address, length).ok_or(Undecodable)?;
            }
            RTA_OIF => hop.link = number(value).map(LinkIndex),
            RTA_GATEWAY => hop.via = ip(value),
            RTA_VIA => hop.via = value.get(2..).and_then(ip),
            RTA_PRIORITY => route.metric = number(value).ok_or(Undecodable)?,
            RTA_PREFSRC => route.source = ip(value),
            RTA_TABLE => route.table = number(value).ok_or(Undecodable)?,
            RTA_MULTIPATH => route.hops = hops(value)?,
            _ => {}
        }
    }
    if route.hops.is_empty() && (hop.link.is_some() || hop.via.is_some()) && kind >= RTN_UNICAST {
        route.hops.push(hop);
    }
    Ok(Some(SeenPath { key: route.key(), route: Some(route) }))
}

fn hops(mut bytes: &[u8]) -> Result<Vec<Hop>, Undecodable> {
    let mut hops = Vec::new();
    while let Some(header) = bytes.first_chunk::<RTNH_HEADER>() {
        let [l0, l1, flags, weight, i0, i1, i2, i3] = *header;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let attributes = bytes.get(RTNH_HEADER..length).ok_or(Undecodable)?;
        let mut hop = Hop {
            via: None,
            link: Some(LinkIndex(u32::from_ne_bytes([i0, i1, i2, i3]))),
            weight: u16::from(weight) + 1,
            onlink: flags & RTNH_F_ONLINK != 0,
        };
        for attribute in NlasIterator::new(attributes) {
            let attribute = attribute.map_err(|_| Undecodable)?;
            match attribute.kind() {
                RTA_GATEWAY => hop.via = ip(attribute.value()),
                RTA_VIA => hop.via = attribute.value().get(2..).and_then(ip),
                _ => {}
            }
        }
        hops.push(hop);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(hops)
}

fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => std::net::Ipv4Addr::UNSPECIFIED.into(),
        Family::Ipv6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    <[u8; 4]>::try_from(bytes).ok().map(u32::from_ne_bytes)
}

/// What a report says is gone.
pub(in super::super) fn gone(payload: &[u8]) -> Result<Option<PathKey>, Undecodable> {
    Ok(seen(payload)?.map(|seen| seen.key))
}
