//! The rules of a link's two chains.
//!
//! Every rule is one that the `nft` program can print and read again, old releases included: the target of a
//! Neighbor Advertisement, for one, has a name only since nft 1.0.7, and its source serves as well.

use netlink_packet_netfilter::nftables::{
    Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute, Lookup, Meta, MetaKey,
    Operator, Payload, Register, Verdict, VerdictAttribute,
};

use super::{Closed, Hook, Set};
use crate::net::{Family, LinkIndex};

/// One rule: the expressions that it consists of.
pub(super) type Rule = Vec<ListAttribute<ExpressionAttribute>>;

/// What stands in the chain at `hook` of `link`, as `nft` prints it with 7 for the link:
///
/// ```text
///   ingress   arp operation request arp saddr ip != @quiet4_7 arp daddr ip @quiet4_7 drop
///             ip daddr @shut4_7 drop
///             ip6 daddr @shut6_7 drop
///   egress    arp saddr ip @quiet4_7 drop
///             ip6 saddr @quiet6_7 icmpv6 type nd-neighbor-solicit drop
///             ip6 saddr @quiet6_7 icmpv6 type nd-neighbor-advert drop
///             ip saddr @shut4_7 drop
///             ip6 saddr @shut6_7 drop
/// ```
pub(super) fn rules(hook: Hook, link: LinkIndex) -> Vec<Rule> {
    let set = |closed, family| Set { link, closed, family };
    let quiet4 = set(Closed::Quiet, Family::Ipv4);
    let quiet6 = set(Closed::Quiet, Family::Ipv6);
    let shut4 = set(Closed::Shut, Family::Ipv4);
    let shut6 = set(Closed::Shut, Family::Ipv6);
    match hook {
        Hook::Ingress => vec![
            Match::ether_type(ARP)
                .equals(ARP_OPERATION, &REQUEST)
                // The successor's own announcement asks for the address too, and the agent must hear it.
                .not_in(ARP_SENDER, quiet4)
                .within(ARP_TARGET, quiet4)
                .drop(),
            Match::ether_type(IPV4).within(IPV4_DESTINATION, shut4).drop(),
            Match::ether_type(IPV6).within(IPV6_DESTINATION, shut6).drop(),
        ],
        // Not answers and announcements alone: what asks for a neighbour also says where the asker is.
        Hook::Egress => vec![
            Match::ether_type(ARP).within(ARP_SENDER, quiet4).drop(),
            Match::ether_type(IPV6).within(IPV6_SOURCE, quiet6).icmpv6(NEIGHBOR_SOLICITATION).drop(),
            Match::ether_type(IPV6).within(IPV6_SOURCE, quiet6).icmpv6(NEIGHBOR_ADVERTISEMENT).drop(),
            Match::ether_type(IPV4).within(IPV4_SOURCE, shut4).drop(),
            Match::ether_type(IPV6).within(IPV6_SOURCE, shut6).drop(),
        ],
    }
}

/// A rule in the making: what a frame must be like for the next expression to be reached.
struct Match(Rule);

/// Where a field is: the header, its offset in there and its length, in bytes.
#[derive(Clone, Copy)]
struct Field(u32, u32, u32);

impl Match {
    fn ether_type(ether_type: [u8; 2]) -> Self {
        Self(Vec::new()).meta(MetaKey::EtherTypeProtocol).compare(&ether_type)
    }

    fn icmpv6(self, kind: u8) -> Self {
        self.meta(MetaKey::L4Proto).compare(&[ICMPV6]).equals(ICMPV6_TYPE, &[kind])
    }

    fn equals(self, field: Field, value: &[u8]) -> Self {
        self.load(field).compare(value)
    }

    fn within(self, field: Field, set: Set) -> Self {
        self.load(field).then(Expressions::Lookup(lookup(set)))
    }

    fn not_in(self, field: Field, set: Set) -> Self {
        let mut lookup = lookup(set);
        lookup.push(Lookup::Flags(NFT_LOOKUP_F_INV));
        self.load(field).then(Expressions::Lookup(lookup))
    }

    fn drop(self) -> Rule {
        let verdict = DataAttribute::Verdict(vec![VerdictAttribute::Code(Verdict::Other(NF_DROP))]);
        let drop = vec![Immediate::DestinationRegister(Register::Verdict), Immediate::Data(verdict)];
        self.then(Expressions::Immediate(drop)).0
    }

    fn meta(self, key: MetaKey) -> Self {
        self.then(Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(REGISTER)]))
    }

    fn load(self, Field(base, offset, length): Field) -> Self {
        self.then(Expressions::Payload(vec![
            Payload::DestinationRegister(REGISTER),
            Payload::Base(base),
            Payload::Offset(offset),
            Payload::Len(length),
        ]))
    }

    fn compare(self, value: &[u8]) -> Self {
        self.then(Expressions::Cmp(vec![
            Cmp::SourceRegister(REGISTER),
            Cmp::Op(Operator::Equal),
            Cmp::Data(DataAttribute::Value(value.to_vec())),
        ]))
    }

    fn then(mut self, expression: Expressions) -> Self {
        self.0.push(expression.into());
        self
    }
}

fn lookup(set: Set) -> Vec<Lookup> {
    vec![Lookup::Set(set.to_string()), Lookup::SourceRegister(REGISTER)]
}

/// No rule needs more than one value at a time.
const REGISTER: Register = Register::Reg1;

const NF_DROP: u32 = 0;
const NFT_LOOKUP_F_INV: u32 = 1;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
const IPV6: [u8; 2] = [0x86, 0xdd];
const REQUEST: [u8; 2] = [0, 1];
const ICMPV6: u8 = 58;
const NEIGHBOR_SOLICITATION: u8 = 135;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;

const ARP_OPERATION: Field = Field(NETWORK_HEADER, 6, 2);
const ARP_SENDER: Field = Field(NETWORK_HEADER, 14, 4);
const ARP_TARGET: Field = Field(NETWORK_HEADER, 24, 4);
const IPV4_SOURCE: Field = Field(NETWORK_HEADER, 12, 4);
const IPV4_DESTINATION: Field = Field(NETWORK_HEADER, 16, 4);
const IPV6_SOURCE: Field = Field(NETWORK_HEADER, 8, 16);
const IPV6_DESTINATION: Field = Field(NETWORK_HEADER, 24, 16);
const ICMPV6_TYPE: Field = Field(TRANSPORT_HEADER, 0, 1);
