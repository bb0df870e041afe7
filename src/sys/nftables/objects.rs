//! The messages that make and delete what stands in the table.

use std::net::IpAddr;

use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, DataAttribute, DevHookNumber, Hook as HookAttribute, ListAttribute,
    NfTablesMessage, RuleAttribute, RuleMessage, SetAttribute, SetElementAttribute, SetElementList,
    SetElementMessage, SetFlags, SetMessage, TableAttribute, TableMessage,
};

use super::rules::{Rule, rules};
use super::transaction::Transaction;
use super::{Closed, Hook, Set};
use crate::net::{Family, LinkIndex};

/// The name of our table, in the family `netdev`.
const TABLE: &str = "vipd";

/// How many elements go in one message: the list has a 16-bit length, and an IPv6 address takes 28 bytes of it.
const ELEMENTS: usize = 1000;

/// Makes the table, unless it is there.
pub(super) fn make_table(transaction: &mut Transaction) {
    transaction.make(NfTablesMessage::NewTable(table()));
}

/// Deletes the table with all that is in it.
pub(super) fn delete_table(transaction: &mut Transaction) {
    transaction.delete(NfTablesMessage::DeleteTable(table()));
}

/// Makes what a link needs: its sets, and a chain with its rules at each hook.
pub(super) fn make_link(transaction: &mut Transaction, link: LinkIndex, name: &str, hooks: &[Hook]) {
    let mut id = 0;
    for closed in [Closed::Quiet, Closed::Shut] {
        for family in [Family::Ipv4, Family::Ipv6] {
            id += 1;
            transaction.make(NfTablesMessage::NewSet(set(Set { link, closed, family }, id)));
        }
    }
    for hook in hooks {
        let chain = chain_name(*hook, link);
        transaction.make(NfTablesMessage::NewChain(base_chain(*hook, &chain, name)));
        for expressions in rules(*hook, link) {
            transaction.append(NfTablesMessage::NewRule(rule(&chain, expressions)));
        }
    }
}

/// Puts addresses into a set.
pub(super) fn add<'a>(transaction: &mut Transaction, set: Set, addresses: impl Iterator<Item = &'a IpAddr>) {
    each_message(set, addresses, |message| transaction.make(NfTablesMessage::NewSetElement(message)));
}

/// Takes addresses, all of which must be there, out of a set.
pub(super) fn remove<'a>(
    transaction: &mut Transaction,
    set: Set,
    addresses: impl Iterator<Item = &'a IpAddr>,
) {
    each_message(set, addresses, |message| transaction.delete(NfTablesMessage::DeleteSetElement(message)));
}

fn each_message<'a>(
    set: Set,
    addresses: impl Iterator<Item = &'a IpAddr>,
    mut each: impl FnMut(SetElementMessage),
) {
    let elements: Vec<_> = addresses.map(element).collect();
    for elements in elements.chunks(ELEMENTS) {
        each(SetElementMessage {
            attributes: vec![
                SetElementList::Table(TABLE.into()),
                SetElementList::Set(set.to_string()),
                SetElementList::Elements(elements.to_vec()),
            ],
        });
    }
}

fn element(address: &IpAddr) -> ListAttribute<SetElementAttribute> {
    let key = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    ListAttribute::Element(vec![SetElementAttribute::Key(DataAttribute::Value(key))])
}

fn table() -> TableMessage {
    TableMessage { attributes: vec![TableAttribute::Name(TABLE.into())] }
}

fn set(set: Set, id: u32) -> SetMessage {
    let (kind, length) = match set.family {
        Family::Ipv4 => (TYPE_IPV4_ADDR, 4),
        Family::Ipv6 => (TYPE_IPV6_ADDR, 16),
    };
    SetMessage {
        attributes: vec![
            SetAttribute::Table(TABLE.into()),
            SetAttribute::Name(set.to_string()),
            SetAttribute::Flags(SetFlags::empty()),
            SetAttribute::KeyType(kind),
            SetAttribute::KeyLen(length),
            SetAttribute::Id(id),
        ],
    }
}

fn chain_name(hook: Hook, link: LinkIndex) -> String {
    match hook {
        Hook::Ingress => format!("in_{link}"),
        Hook::Egress => format!("out_{link}"),
    }
}

/// First to see a frame that comes in, and last to see one that goes out, so that what others change about a
/// frame on its way is seen as the wire sees it.
fn base_chain(hook: Hook, chain: &str, device: &str) -> ChainMessage {
    let (number, priority): (_, i32) = match hook {
        Hook::Ingress => (DevHookNumber::Ingress, -500),
        Hook::Egress => (DevHookNumber::Egress, 500),
    };
    ChainMessage {
        attributes: vec![
            ChainAttribute::Table(TABLE.into()),
            ChainAttribute::Name(chain.into()),
            ChainAttribute::Hook(vec![
                HookAttribute::Number(number.into()),
                HookAttribute::Priority(priority.cast_unsigned()),
                HookAttribute::NetDeviceName(device.into()),
            ]),
            ChainAttribute::Policy(NF_ACCEPT),
            ChainAttribute::Type("filter".into()),
        ],
    }
}

fn rule(chain: &str, expressions: Rule) -> RuleMessage {
    RuleMessage {
        attributes: vec![
            RuleAttribute::Table(TABLE.into()),
            RuleAttribute::Chain(chain.into()),
            RuleAttribute::Expressions(expressions),
        ],
    }
}

const NF_ACCEPT: u32 = 1;

/// What `nft` calls the types of a set's elements: to the kernel they are only numbers.
const TYPE_IPV4_ADDR: u32 = 7;
const TYPE_IPV6_ADDR: u32 = 8;
