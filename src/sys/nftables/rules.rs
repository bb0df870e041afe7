//! The rules of the chains.
//!
//! Every rule is one that the `nft` program can print and read again, old releases included: the target of a
//! Neighbor Advertisement, for one, has a name only since nft 1.0.7, and its source serves as well. But for one: a link that
//! an advert does not leave by is a constant in an update of a set, which nft 1.0.6 prints as `0x5000000 [invalid type]`. It
//! does so of its own `update @s { "eth1" timeout 3s }`, too, and to the kernel it says the same as we do.

use std::net::IpAddr;

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute, Lookup, Meta, MetaKey,
    Operator, Payload, Register, Verdict, VerdictAttribute,
};

use super::Hook;
use super::objects;
use super::refusals;
use super::standing::{LOOPBACK, Refresh};
use crate::engine::action::RouterId;
use crate::net::{Family, LinkIndex, Mac};

/// One rule: the expressions that it consists of.
pub(super) type Rule = Vec<ListAttribute<ExpressionAttribute>>;

/// What stands in the chain at `hook` of `link`, which may be a router's own.
pub(super) fn at(hook: Hook, link: LinkIndex, own: Option<RouterId>, has_egress: bool) -> Vec<Rule> {
    own.map_or_else(|| base(hook, link, has_egress), |router| own_base(hook, router))
}

/// What stands there if it is the router's own, with 4 for the family and 3 for the instance:
///
/// ```text
///   ingress   meta protocol arp iif @lease4_3 accept
///             meta pkttype host meta protocol ip iif @lease4_3 accept
///             drop
///   egress    @ll,96,16 0x806 oif @lease4_3 accept
///             @ll,96,16 0x800 oif @lease4_3 accept
///             drop
/// ```
///
/// On the way out it is the type in the frame that counts. The kernel's own idea of it, `meta protocol`, is nothing for
/// frames of a packet socket that names none: macvlans do not read it in the frame as Ethernet cards do, Linux 6.1 for one,
/// and those frames announce the addresses.
///
/// What is for everybody comes in below. In IPv6, that is not so for neighbour solicitations and for queries for
/// groups, which a switch that snoops has to be answered; nor may router advertisements and redirects for this link give
/// the host routes and addresses there:
///
/// ```text
///   ingress   icmpv6 type nd-neighbor-solicit iif @lease6_3 accept
///             icmpv6 type mld-listener-query iif @lease6_3 accept
///             icmpv6 type nd-router-advert drop
///             icmpv6 type nd-redirect drop
///             meta pkttype host meta protocol ip6 iif @lease6_3 accept
///             drop
///   egress    @ll,96,16 0x86dd oif @lease6_3 accept
///             drop
/// ```
fn own_base(hook: Hook, router: RouterId) -> Vec<Rule> {
    let lease = objects::lease(router);
    let accept = |found: Match, direction| found.link_in(direction, &lease).verdict(NF_ACCEPT);
    let to_us = |ether_type| Match::to_this_host().and_ether_type(ether_type);
    let mut rules = match (hook, router.family) {
        (Hook::Ingress, Family::Ipv4) => {
            vec![accept(Match::ether_type(ARP), MetaKey::Iif), accept(to_us(IPV4), MetaKey::Iif)]
        }
        (Hook::Ingress, Family::Ipv6) => vec![
            accept(Match::icmpv6(NEIGHBOR_SOLICITATION), MetaKey::Iif),
            accept(Match::icmpv6(LISTENER_QUERY), MetaKey::Iif),
            Match::icmpv6(ROUTER_ADVERTISEMENT).verdict(NF_DROP),
            Match::icmpv6(REDIRECT).verdict(NF_DROP),
            accept(to_us(IPV6), MetaKey::Iif),
        ],
        (Hook::Egress, Family::Ipv4) => {
            [ARP, IPV4].map(|t| accept(untagged(Match::all(), t), MetaKey::Oif)).into()
        }
        (Hook::Egress, Family::Ipv6) => vec![accept(untagged(Match::all(), IPV6), MetaKey::Oif)],
    };
    rules.push(Match::all().verdict(NF_DROP));
    rules
}

/// What stands in the chain at `hook` of `link`, as `nft` prints it with 7 for the link:
///
/// ```text
///   ingress   ip daddr vmap @held4_7
///             ip6 daddr vmap @held6_7
///   egress    ether type ip ip protocol vrrp jump adverts4_7
///             ether type ip6 ip6 nexthdr vrrp jump adverts6_7
///             arp saddr ip vmap @held4_7
///             ip saddr vmap @held4_7
///             ip6 saddr vmap @held6_7
/// ```
///
/// ARP and ND are stopped on their way out: not answers and announcements alone, for what asks for a neighbour also
/// says where the asker is. What comes in passes: the agent has to hear a successor announce the address. Where there
/// is no egress hook, requests are not let in instead, `arp operation request arp daddr ip vmap @held4_7`.
fn base(hook: Hook, link: LinkIndex, has_egress: bool) -> Vec<Rule> {
    let (held4, held6) = (objects::held(link, Family::Ipv4), objects::held(link, Family::Ipv6));
    let (ipv4, ipv6, arp) = (Match::ether_type(IPV4), Match::ether_type(IPV6), Match::ether_type(ARP));
    match hook {
        Hook::Ingress => {
            let mut rules =
                vec![ipv4.dispatch(IPV4_DESTINATION, &held4), ipv6.dispatch(IPV6_DESTINATION, &held6)];
            if !has_egress {
                rules.push(arp.equals(ARP_OPERATION, &REQUEST).dispatch(ARP_TARGET, &held4));
            }
            rules
        }
        Hook::Egress => vec![
            untagged(ipv4, IPV4).equals(IPV4_PROTOCOL, &[VRRP]).jump(objects::adverts(link, Family::Ipv4)),
            untagged(ipv6, IPV6).equals(IPV6_NEXT_HEADER, &[VRRP]).jump(objects::adverts(link, Family::Ipv6)),
            arp.dispatch(ARP_SENDER, &held4),
            Match::ether_type(IPV4).dispatch(IPV4_SOURCE, &held4),
            Match::ether_type(IPV6).dispatch(IPV6_SOURCE, &held6),
        ],
    }
}

/// What stands in a router's chain, with 4 for the family and 3 for the instance. Of `iif` and `oif` a frame has
/// one:
///
/// ```text
///   meta protocol arp oif @quiet4_3 drop       or: icmpv6 type nd-neighbor-solicit oif @quiet6_3 drop
///   iif @lease4_3 accept                           icmpv6 type nd-neighbor-advert oif @quiet6_3 drop
///   oif @lease4_3 accept
///   drop
/// ```
///
/// If the router has a link of its own, what passes here is what passes the interface below, and instead of the first it
/// begins with how that one speaks ARP:
///
/// ```text
///   arp operation request arp saddr ether != 00:00:5e:00:01:33 arp saddr ip set 192.0.2.1 accept
///   meta protocol arp arp saddr ether != 00:00:5e:00:01:33 drop
/// ```
pub(super) fn router(router: RouterId, below: Option<(Mac, Option<IpAddr>)>, hooks: &[Hook]) -> Vec<Rule> {
    let (lease, quiet) = (objects::lease(router), objects::quiet(router));
    let direction = if hooks.contains(&Hook::Egress) { MetaKey::Oif } else { MetaKey::Iif };
    let mut rules = match (router.family, below) {
        (Family::Ipv4, Some((mac, source))) => speaking_below(mac, source),
        (Family::Ipv6, Some(_)) => Vec::new(),
        (Family::Ipv4, None) => vec![Match::ether_type(ARP).link_in(direction, &quiet).verdict(NF_DROP)],
        (Family::Ipv6, None) => [NEIGHBOR_SOLICITATION, NEIGHBOR_ADVERTISEMENT]
            .map(|kind| Match::icmpv6(kind).link_in(MetaKey::Oif, &quiet).verdict(NF_DROP))
            .into(),
    };
    rules.push(Match::all().link_in(MetaKey::Iif, &lease).verdict(NF_ACCEPT));
    rules.push(Match::all().link_in(MetaKey::Oif, &lease).verdict(NF_ACCEPT));
    rules.push(Match::all().verdict(NF_DROP));
    rules
}

fn speaking_below(mac: Mac, source: Option<IpAddr>) -> Vec<Rule> {
    let others = |found: Match| found.differs(ARP_SENDER_MAC, &mac.0);
    let mut rules = Vec::new();
    if let Some(IpAddr::V4(source)) = source {
        let asks = others(Match::ether_type(ARP).equals(ARP_OPERATION, &REQUEST));
        rules.push(asks.write(ARP_SENDER, &source.octets()).verdict(NF_ACCEPT));
    }
    rules.push(others(Match::ether_type(ARP)).verdict(NF_DROP));
    rules
}

/// Only what has that type on the wire, too: not what carries the tag of a VLAN on the same link, whose link-local
/// address may be the same.
fn untagged(found: Match, ether_type: [u8; 2]) -> Match {
    found.equals(ETHER_TYPE, &ether_type)
}

/// An advert of the router with a priority other than 0 moves the end of a lease that lives, as it leaves. Whoever
/// else speaks VRRP on the link, in a container or for another program, has another source:
///
/// ```text
///   ip saddr 192.0.2.1 @th,8,8 0x33 @th,16,8 != 0x0 oif @lease4_3 update @lease4_3 { oif timeout 3s }
/// ```
///
/// and, for each other link that addresses are on, ` update @lease4_3 { "eth1" timeout 3s }`. All elements come and go
/// together, so the one where the advert leaves tells whether the lease lives.
pub(super) fn refresh(router: RouterId, refresh: Refresh, others: &[LinkIndex]) -> Rule {
    let lease = objects::lease(router);
    let millis = u64::try_from(refresh.extension.as_millis()).unwrap_or(u64::MAX);
    let from = match refresh.source {
        IpAddr::V4(source) => Match::ether_type(IPV4).equals(IPV4_SOURCE, &source.octets()),
        IpAddr::V6(source) => Match::ether_type(IPV6).equals(IPV6_SOURCE, &source.octets()),
    };
    from.equals(VRRP_VRID, &[refresh.vrid.get()])
        .differs(VRRP_PRIORITY, &[0])
        .link_in(MetaKey::Oif, &lease)
        .meta(MetaKey::Oif)
        .update(&lease, millis)
        .and_on(others, &lease, millis)
        .0
}

/// What stands in the chain for what the host is to take in, see [`super::refusals`]:
///
/// ```text
///   iif "lo" accept
///   icmpv6 type nd-neighbor-solicit accept
///   icmpv6 type nd-neighbor-advert accept
///   ip daddr @refused4 drop
///   ip6 daddr @refused6 drop
///   ip6 daddr . iif @refused6on drop
/// ```
pub(super) fn refusing() -> Vec<Rule> {
    let of = |protocol| Match::all().meta(MetaKey::Nfproto).compare(Operator::Equal, &[protocol]);
    let (ipv4, ipv6) = (of(NFPROTO_IPV4), || of(NFPROTO_IPV6));
    let looked_up = |found: Match, set| found.then(Expressions::Lookup(lookup(set))).verdict(NF_DROP);
    vec![
        Match::all()
            .meta(MetaKey::Iif)
            .compare(Operator::Equal, &LOOPBACK.0.to_ne_bytes())
            .verdict(NF_ACCEPT),
        Match::icmpv6(NEIGHBOR_SOLICITATION).verdict(NF_ACCEPT),
        Match::icmpv6(NEIGHBOR_ADVERTISEMENT).verdict(NF_ACCEPT),
        looked_up(ipv4.load(IPV4_DESTINATION), refusals::IPV4),
        looked_up(ipv6().load(IPV6_DESTINATION), refusals::IPV6),
        looked_up(ipv6().load(IPV6_DESTINATION).and_link(), refusals::ON_LINKS),
    ]
}

/// A rule in the making: what a frame must be like for the next expression to be reached.
struct Match(Rule);

/// Where a field is: the header, its offset in there and its length, in bytes.
#[derive(Clone, Copy)]
struct Field(u32, u32, u32);

impl Match {
    fn all() -> Self {
        Self(Vec::new())
    }

    fn ether_type(ether_type: [u8; 2]) -> Self {
        Self::all().and_ether_type(ether_type)
    }

    fn and_ether_type(self, ether_type: [u8; 2]) -> Self {
        self.meta(MetaKey::EtherTypeProtocol).compare(Operator::Equal, &ether_type)
    }

    /// Not what is for all hosts, or for several.
    fn to_this_host() -> Self {
        Self::all().meta(MetaKey::PacketType).compare(Operator::Equal, &[PACKET_HOST])
    }

    fn icmpv6(kind: u8) -> Self {
        Self::ether_type(IPV6)
            .meta(MetaKey::L4Proto)
            .compare(Operator::Equal, &[ICMPV6])
            .equals(ICMPV6_TYPE, &[kind])
    }

    fn equals(self, field: Field, value: &[u8]) -> Self {
        self.load(field).compare(Operator::Equal, value)
    }

    fn differs(self, field: Field, value: &[u8]) -> Self {
        self.load(field).compare(Operator::NotEqual, value)
    }

    fn link_in(self, direction: MetaKey, set: &str) -> Self {
        self.meta(direction).then(Expressions::Lookup(lookup(set)))
    }

    /// Goes on where the map says, if it says anything.
    fn dispatch(self, field: Field, map: &str) -> Rule {
        let mut lookup = lookup(map);
        lookup.push(Lookup::DestinationRegister(Register::Verdict));
        self.load(field).then(Expressions::Lookup(lookup)).0
    }

    fn verdict(self, code: u32) -> Rule {
        self.immediate(vec![VerdictAttribute::Code(Verdict::Other(code))])
    }

    fn jump(self, chain: String) -> Rule {
        self.immediate(vec![VerdictAttribute::Code(Verdict::Jump), VerdictAttribute::Chain(chain)])
    }

    fn immediate(self, verdict: Vec<VerdictAttribute>) -> Rule {
        let verdict = Immediate::Data(DataAttribute::Verdict(verdict));
        self.then(Expressions::Immediate(vec![Immediate::DestinationRegister(Register::Verdict), verdict])).0
    }

    /// Puts what was loaded last into a timed set, or moves its end there.
    fn update(self, set: &str, millis: u64) -> Self {
        let mut name = set.as_bytes().to_vec();
        name.push(0);
        let attributes = vec![
            DefaultNla::new(NFTA_DYNSET_SET_NAME, name),
            DefaultNla::new(NFTA_DYNSET_OP, NFT_DYNSET_OP_UPDATE.to_be_bytes().to_vec()),
            DefaultNla::new(NFTA_DYNSET_SREG_KEY, u32::from(REGISTER).to_be_bytes().to_vec()),
            DefaultNla::new(NFTA_DYNSET_TIMEOUT, millis.to_be_bytes().to_vec()),
        ];
        self.then(Expressions::Other { expression_type: "dynset".into(), attributes })
    }

    /// The same for links that the frame does not leave by.
    fn and_on(self, links: &[LinkIndex], set: &str, millis: u64) -> Self {
        links.iter().fold(self, |rule, link| {
            let value = DataAttribute::Value(objects::link_key(*link));
            let load = vec![Immediate::DestinationRegister(REGISTER), Immediate::Data(value)];
            rule.then(Expressions::Immediate(load)).update(set, millis)
        })
    }

    fn meta(self, key: MetaKey) -> Self {
        self.then(Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(REGISTER)]))
    }

    /// Behind an IPv6 address that was loaded: the link that the packet came by.
    fn and_link(self) -> Self {
        self.then(Expressions::Meta(vec![Meta::Key(MetaKey::Iif), Meta::DestinationRegister(Register::Reg2)]))
    }

    fn load(self, Field(base, offset, length): Field) -> Self {
        self.then(Expressions::Payload(vec![
            Payload::DestinationRegister(REGISTER),
            Payload::Base(base),
            Payload::Offset(offset),
            Payload::Len(length),
        ]))
    }

    /// Puts a value in the place of what is there; for what no checksum covers.
    fn write(self, Field(base, offset, length): Field, value: &[u8]) -> Self {
        let value = DataAttribute::Value(value.to_vec());
        self.then(Expressions::Immediate(vec![
            Immediate::DestinationRegister(REGISTER),
            Immediate::Data(value),
        ]))
        .then(Expressions::Payload(vec![
            Payload::SourceRegister(REGISTER),
            Payload::Base(base),
            Payload::Offset(offset),
            Payload::Len(length),
        ]))
    }

    fn compare(self, operator: Operator, value: &[u8]) -> Self {
        self.then(Expressions::Cmp(vec![
            Cmp::SourceRegister(REGISTER),
            Cmp::Op(operator),
            Cmp::Data(DataAttribute::Value(value.to_vec())),
        ]))
    }

    fn then(mut self, expression: Expressions) -> Self {
        self.0.push(expression.into());
        self
    }
}

fn lookup(set: &str) -> Vec<Lookup> {
    vec![Lookup::Set(set.to_owned()), Lookup::SourceRegister(REGISTER)]
}

/// But for one, no rule needs more than one value at a time.
const REGISTER: Register = Register::Reg1;

const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
const LINK_HEADER: u32 = 0;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

const NFTA_DYNSET_SET_NAME: u16 = 1;
const NFTA_DYNSET_OP: u16 = 3;
const NFTA_DYNSET_SREG_KEY: u16 = 4;
const NFTA_DYNSET_TIMEOUT: u16 = 6;
const NFT_DYNSET_OP_UPDATE: u32 = 1;

const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
const IPV6: [u8; 2] = [0x86, 0xdd];
const REQUEST: [u8; 2] = [0, 1];
const VRRP: u8 = 112;
const ICMPV6: u8 = 58;
const NEIGHBOR_SOLICITATION: u8 = 135;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;
const LISTENER_QUERY: u8 = 130;
const ROUTER_ADVERTISEMENT: u8 = 134;
const REDIRECT: u8 = 137;
/// `PACKET_HOST`, as the kernel has it once it has read the Ethernet header.
const PACKET_HOST: u8 = 0;

const ETHER_TYPE: Field = Field(LINK_HEADER, 12, 2);
const ARP_OPERATION: Field = Field(NETWORK_HEADER, 6, 2);
const ARP_SENDER_MAC: Field = Field(NETWORK_HEADER, 8, 6);
const ARP_SENDER: Field = Field(NETWORK_HEADER, 14, 4);
const ARP_TARGET: Field = Field(NETWORK_HEADER, 24, 4);
const IPV4_PROTOCOL: Field = Field(NETWORK_HEADER, 9, 1);
const IPV4_SOURCE: Field = Field(NETWORK_HEADER, 12, 4);
const IPV4_DESTINATION: Field = Field(NETWORK_HEADER, 16, 4);
const IPV6_NEXT_HEADER: Field = Field(NETWORK_HEADER, 6, 1);
const IPV6_SOURCE: Field = Field(NETWORK_HEADER, 8, 16);
const IPV6_DESTINATION: Field = Field(NETWORK_HEADER, 24, 16);
const ICMPV6_TYPE: Field = Field(TRANSPORT_HEADER, 0, 1);
/// RFC 9568, 5.1: version and type, virtual router identifier, priority.
const VRRP_VRID: Field = Field(TRANSPORT_HEADER, 1, 1);
const VRRP_PRIORITY: Field = Field(TRANSPORT_HEADER, 2, 1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::action::InstanceId;

    #[test]
    fn what_leaves_a_routers_own_link_is_known_by_its_type_on_the_wire() {
        for (family, types) in [(Family::Ipv4, &[ARP, IPV4][..]), (Family::Ipv6, &[IPV6])] {
            let rules = own_base(Hook::Egress, RouterId { instance: InstanceId(3), family });
            let of = |ether_type: &[u8; 2]| {
                let lease = objects::lease(RouterId { instance: InstanceId(3), family });
                Match::all().equals(ETHER_TYPE, ether_type).link_in(MetaKey::Oif, &lease).verdict(NF_ACCEPT)
            };
            let expected: Vec<Rule> = types.iter().map(of).chain([Match::all().verdict(NF_DROP)]).collect();
            assert_eq!(rules, expected);
        }
    }
}
