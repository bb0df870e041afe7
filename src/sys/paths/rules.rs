//! Rules as rtnetlink messages, and back. A rule has no other name than all that it says, so what the kernel shows is
//! read back to exactly what was ordered.

use netlink_packet_core::{DefaultNla, NlasIterator};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::{
    RuleAction, RuleAttribute, RuleFlags, RuleMessage, RulePortRange, RuleUidRange,
};

use super::super::local_routes::ip;
use super::super::picture::{PROTOCOL, Undecodable, address_family, text};
use crate::engine::path::{Rule, RuleVerdict};
use crate::net::{Family, IpNet};

const HEADER: usize = 12;
const FR_ACT_TO_TBL: u8 = 1;
const FR_ACT_GOTO: u8 = 2;
const FR_ACT_NOP: u8 = 3;
const FR_ACT_BLACKHOLE: u8 = 6;
const FR_ACT_UNREACHABLE: u8 = 7;
const FR_ACT_PROHIBIT: u8 = 8;
const FIB_RULE_INVERT: u32 = 2;

const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_GOTO: u16 = 4;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_TUN_ID: u16 = 12;
const FRA_SUPPRESS_IFGROUP: u16 = 13;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_L3MDEV: u16 = 19;
const FRA_UID_RANGE: u16 = 20;
const FRA_PROTOCOL: u16 = 21;
const FRA_IP_PROTO: u16 = 22;
const FRA_SPORT_RANGE: u16 = 23;
const FRA_DPORT_RANGE: u16 = 24;
/// What the kernel shows where nothing is suppressed.
const NOTHING: u32 = u32::MAX;

/// The message that puts a rule in.
pub(super) fn addition(rule: &Rule) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewRule(message(rule))
}

/// The message that removes a rule with our mark.
pub(super) fn removal(rule: &Rule) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelRule(message(rule))
}

/// The question for all rules of a family.
pub(super) fn question(family: Family) -> RouteNetlinkMessage {
    let mut message = RuleMessage::default();
    message.header.family = address_family(family);
    RouteNetlinkMessage::GetRule(message)
}

fn message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    let header = &mut message.header;
    header.family = address_family(rule.family);
    header.src_len = rule.from.map_or(0, IpNet::prefix);
    header.dst_len = rule.to.map_or(0, IpNet::prefix);
    header.tos = rule.tos;
    header.flags.set(RuleFlags::Invert, rule.inverted);
    let (action, object) = match rule.verdict {
        RuleVerdict::Table(table) => (RuleAction::ToTable, Some(RuleAttribute::Table(table))),
        RuleVerdict::Goto(priority) => (RuleAction::Goto, Some(RuleAttribute::Goto(priority))),
        RuleVerdict::Nothing => (RuleAction::Nop, None),
        RuleVerdict::Blackhole => (RuleAction::Blackhole, None),
        RuleVerdict::Unreachable => (RuleAction::Unreachable, None),
        RuleVerdict::Prohibit => (RuleAction::Prohibit, None),
    };
    header.action = action;
    let ports = |(start, end): (u16, u16)| RulePortRange { start, end };
    let attributes = [
        Some(RuleAttribute::Priority(rule.priority)),
        Some(RuleAttribute::Protocol(RouteProtocol::from(PROTOCOL))),
        object,
        rule.from.map(|net| RuleAttribute::Source(net.address())),
        rule.to.map(|net| RuleAttribute::Destination(net.address())),
        rule.mark.map(|(mark, _)| RuleAttribute::FwMark(mark)),
        rule.mark.map(|(_, mask)| RuleAttribute::FwMask(mask)),
        rule.input.clone().map(RuleAttribute::Iifname),
        rule.output.clone().map(RuleAttribute::Oifname),
        rule.suppress_prefix_length.map(RuleAttribute::SuppressPrefixLen),
        rule.suppress_group.map(RuleAttribute::SuppressIfGroup),
        rule.users.map(|(start, end)| RuleAttribute::UidRange(RuleUidRange { start, end })),
        rule.vrf.then_some(RuleAttribute::L3MDev(true)),
        rule.protocol.map(|number| RuleAttribute::Other(DefaultNla::new(FRA_IP_PROTO, vec![number]))),
        rule.source_ports.map(|range| RuleAttribute::SourcePortRange(ports(range))),
        rule.destination_ports.map(|range| RuleAttribute::DestinationPortRange(ports(range))),
        rule.tunnel.map(RuleAttribute::TunId),
    ];
    message.attributes.extend(attributes.into_iter().flatten());
    message
}

/// A rule with our mark; `None` if it is somebody else's.
pub(super) fn seen(payload: &[u8]) -> Result<Option<Rule>, Undecodable> {
    let (header, attributes) = payload.split_at_checked(HEADER).ok_or(Undecodable)?;
    let [family, to_length, from_length, tos, table, _, _, action, flags @ ..] = header else {
        return Err(Undecodable);
    };
    let family = match family {
        2 => Family::Ipv4,
        10 => Family::Ipv6,
        _ => return Ok(None),
    };
    let mut rule = Rule::new(family, 0, RuleVerdict::Nothing);
    rule.tos = *tos;
    rule.inverted = number(flags)? & FIB_RULE_INVERT != 0;
    let (mut table, mut target, mut ours) = (u32::from(*table), 0, false);
    let (mut mark, mut mask) = (None, u32::MAX);
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute.map_err(|_| Undecodable)?;
        let value = attribute.value();
        match attribute.kind() {
            FRA_PROTOCOL => ours = value == [PROTOCOL],
            FRA_PRIORITY => rule.priority = number(value)?,
            FRA_TABLE => table = number(value)?,
            FRA_GOTO => target = number(value)?,
            FRA_SRC => rule.from = Some(net(value, *from_length)?),
            FRA_DST => rule.to = Some(net(value, *to_length)?),
            FRA_FWMARK => mark = Some(number(value)?),
            FRA_FWMASK => mask = number(value)?,
            FRA_IIFNAME => rule.input = Some(text(value)),
            FRA_OIFNAME => rule.output = Some(text(value)),
            FRA_SUPPRESS_PREFIXLEN => {
                rule.suppress_prefix_length = Some(number(value)?).filter(|length| *length != NOTHING);
            }
            FRA_SUPPRESS_IFGROUP => {
                rule.suppress_group = Some(number(value)?).filter(|group| *group != NOTHING);
            }
            FRA_L3MDEV => rule.vrf = value == [1],
            FRA_UID_RANGE => rule.users = Some(pair(value)?).filter(|users| *users != (0, u32::MAX)),
            FRA_IP_PROTO => rule.protocol = value.first().copied().filter(|protocol| *protocol > 0),
            FRA_SPORT_RANGE => rule.source_ports = Some(ports(value)?),
            FRA_DPORT_RANGE => rule.destination_ports = Some(ports(value)?),
            FRA_TUN_ID => {
                let bytes = <[u8; 8]>::try_from(value).map_err(|_| Undecodable)?;
                rule.tunnel = Some(u64::from_be_bytes(bytes)).filter(|tunnel| *tunnel > 0);
            }
            _ => {}
        }
    }
    // A mark of 0 is shown only where bits of it count.
    rule.mark = mark.map(|mark| (mark, mask));
    rule.verdict = match *action {
        FR_ACT_TO_TBL => RuleVerdict::Table(table),
        FR_ACT_GOTO => RuleVerdict::Goto(target),
        FR_ACT_NOP => RuleVerdict::Nothing,
        FR_ACT_BLACKHOLE => RuleVerdict::Blackhole,
        FR_ACT_UNREACHABLE => RuleVerdict::Unreachable,
        FR_ACT_PROHIBIT => RuleVerdict::Prohibit,
        _ => return Ok(None),
    };
    Ok(ours.then_some(rule))
}

fn net(bytes: &[u8], length: u8) -> Result<IpNet, Undecodable> {
    ip(bytes).and_then(|address| IpNet::new(address, length)).ok_or(Undecodable)
}

fn number(bytes: &[u8]) -> Result<u32, Undecodable> {
    <[u8; 4]>::try_from(bytes).map(u32::from_ne_bytes).map_err(|_| Undecodable)
}

fn pair(bytes: &[u8]) -> Result<(u32, u32), Undecodable> {
    let (start, end) = bytes.split_at_checked(4).ok_or(Undecodable)?;
    Ok((number(start)?, number(end)?))
}

fn ports(bytes: &[u8]) -> Result<(u16, u16), Undecodable> {
    let [a, b, c, d] = <[u8; 4]>::try_from(bytes).map_err(|_| Undecodable)?;
    Ok((u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::Emitable as _;

    #[test]
    fn a_rule_is_read_back_as_it_was_written() {
        let rule = Rule {
            inverted: true,
            from: Some("192.0.2.10/32".parse().unwrap()),
            to: Some("198.51.100.0/24".parse().unwrap()),
            mark: Some((0x10, 0xff)),
            input: Some("eth0".into()),
            output: Some("eth1".into()),
            tos: 16,
            suppress_prefix_length: Some(0),
            suppress_group: Some(7),
            users: Some((1000, 1999)),
            protocol: Some(6),
            source_ports: Some((1024, 65535)),
            destination_ports: Some((443, 443)),
            tunnel: Some(42),
            ..Rule::new(Family::Ipv4, 1000, RuleVerdict::Table(100))
        };
        for verdict in [
            RuleVerdict::Table(100),
            RuleVerdict::Goto(2000),
            RuleVerdict::Nothing,
            RuleVerdict::Blackhole,
            RuleVerdict::Unreachable,
            RuleVerdict::Prohibit,
        ] {
            let rule = Rule { verdict, ..rule.clone() };
            let written = message(&rule);
            let mut bytes = vec![0; written.buffer_len()];
            written.emit(&mut bytes);
            assert_eq!(seen(&bytes), Ok(Some(rule)));
        }
    }

    #[test]
    fn a_rule_of_somebody_elses_is_nobodys() {
        let mut written = message(&Rule::new(Family::Ipv6, 1, RuleVerdict::Nothing));
        written.attributes.retain(|attribute| !matches!(attribute, RuleAttribute::Protocol(_)));
        let mut bytes = vec![0; written.buffer_len()];
        written.emit(&mut bytes);
        assert_eq!(seen(&bytes), Ok(None));
    }
}
