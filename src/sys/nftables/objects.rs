//! The messages that make and delete what stands in the table.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, DataAttribute, DevHookNumber, Hook as HookAttribute, InetHookNumber,
    ListAttribute, NfTablesMessage, RuleAttribute, RuleMessage, SetAttribute, SetDescription,
    SetElementAttribute, SetElementList, SetElementMessage, SetFlags, SetMessage, TableAttribute,
    TableMessage, Verdict, VerdictAttribute,
};

use super::Hook;
use super::rules::{self, Rule};
use super::standing::{Label, Refresh, digit};
use super::transaction::Transaction;
use crate::engine::action::RouterId;
use crate::net::{Family, LinkIndex, Mac};
use crate::time::Duration;

/// The name of our tables, in the families `netdev` and `inet`.
const TABLE: &str = "vipd";

/// How many elements go in one message: the list has a 16-bit length, and an IPv6 address with its verdict takes
/// 72 bytes of it.
const ELEMENTS: usize = 500;

/// The set that tells whether a router's addresses answer.
pub(super) fn lease(id: RouterId) -> String {
    format!("lease{}", Label(id))
}

/// The set that tells whether they keep quiet about where they are.
pub(super) fn quiet(id: RouterId) -> String {
    format!("quiet{}", Label(id))
}

/// The chain that what concerns a router's addresses goes through.
pub(super) fn router_chain(id: RouterId) -> String {
    format!("router{}", Label(id))
}

/// The map from a link's addresses to those chains.
pub(super) fn held(link: LinkIndex, family: Family) -> String {
    format!("held{}_{link}", digit(family))
}

/// The chain that adverts of a family on a link go through.
pub(super) fn adverts(link: LinkIndex, family: Family) -> String {
    format!("adverts{}_{link}", digit(family))
}

/// The chain at a hook of a link.
pub(super) fn base(hook: Hook, link: LinkIndex) -> String {
    match hook {
        Hook::Ingress => format!("in_{link}"),
        Hook::Egress => format!("out_{link}"),
    }
}

/// Makes the table, unless it is there.
pub(super) fn make_table(transaction: &mut Transaction) {
    transaction.make(NfTablesMessage::NewTable(table()));
}

/// Deletes the table with all that is in it.
pub(super) fn delete_table(transaction: &mut Transaction) {
    transaction.delete(NfTablesMessage::DeleteTable(table()));
}

/// Makes what a link needs: its maps, and a chain with its rules at each hook. If it is a router's own, that is there.
pub(super) fn make_link(
    transaction: &mut Transaction,
    link: LinkIndex,
    name: &str,
    own: Option<RouterId>,
    hooks: &[Hook],
) {
    for family in [Family::Ipv4, Family::Ipv6] {
        let id = transaction.next_id();
        transaction.make(NfTablesMessage::NewSet(map(&held(link, family), family, id)));
        if hooks.contains(&Hook::Egress) {
            transaction.make(NfTablesMessage::NewChain(chain(&adverts(link, family))));
        }
    }
    for hook in hooks {
        let chain = base(*hook, link);
        transaction.make(NfTablesMessage::NewChain(base_chain(*hook, &chain, name)));
        append(transaction, &chain, rules::at(*hook, link, own, hooks.contains(&Hook::Egress)));
    }
}

/// Deletes what [`make_link`] made.
pub(super) fn delete_link(transaction: &mut Transaction, link: LinkIndex, hooks: &[Hook]) {
    for hook in hooks {
        transaction.delete(NfTablesMessage::DeleteChain(chain(&base(*hook, link))));
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        if hooks.contains(&Hook::Egress) {
            transaction.delete(NfTablesMessage::DeleteChain(chain(&adverts(link, family))));
        }
        transaction.delete(NfTablesMessage::DeleteSet(name(&held(link, family))));
    }
}

/// Makes what a router needs: its sets and its chain.
pub(super) fn make_router(
    transaction: &mut Transaction,
    router: RouterId,
    below: Option<(Mac, Option<IpAddr>)>,
    hooks: &[Hook],
) {
    let timed = SetFlags::Timeout | SetFlags::Eval;
    for (set, flags) in [(lease(router), timed), (quiet(router), SetFlags::empty())] {
        let id = transaction.next_id();
        transaction.make(NfTablesMessage::NewSet(link_set(&set, flags, id)));
    }
    let name = router_chain(router);
    transaction.make(NfTablesMessage::NewChain(chain(&name)));
    append(transaction, &name, rules::router(router, below, hooks));
}

/// Makes a router's rules anew.
pub(super) fn change_router(
    transaction: &mut Transaction,
    router: RouterId,
    below: Option<(Mac, Option<IpAddr>)>,
    hooks: &[Hook],
) {
    let chain = router_chain(router);
    delete_rules(transaction, &chain);
    append(transaction, &chain, rules::router(router, below, hooks));
}

/// Empties a chain.
fn delete_rules(transaction: &mut Transaction, chain: &str) {
    // Without a number all rules of the chain are meant.
    let attributes = vec![RuleAttribute::Table(TABLE.into()), RuleAttribute::Chain(chain.to_owned())];
    transaction.delete(NfTablesMessage::DeleteRule(RuleMessage { attributes }));
}

/// Deletes what [`make_router`] made, once no map leads there.
pub(super) fn delete_router(transaction: &mut Transaction, router: RouterId) {
    transaction.delete(NfTablesMessage::DeleteChain(chain(&router_chain(router))));
    for set in [lease(router), quiet(router)] {
        transaction.delete(NfTablesMessage::DeleteSet(name(&set)));
    }
}

/// Makes the rules about adverts that leave by a link, in the place of what there was.
pub(super) fn make_refreshes(
    transaction: &mut Transaction,
    link: LinkIndex,
    family: Family,
    refreshes: &[(RouterId, Refresh, Vec<LinkIndex>)],
    existed: bool,
) {
    let chain = adverts(link, family);
    if existed {
        delete_rules(transaction, &chain);
    }
    let rules = refreshes.iter().map(|(router, refresh, others)| rules::refresh(*router, *refresh, others));
    append(transaction, &chain, rules.collect());
}

/// Makes the sets of refused addresses, of IPv4, of IPv6 and of IPv6 with a link, and the chain with the rules about them.
pub(super) fn make_refusals(transaction: &mut Transaction, sets: [&str; 3], rules: Vec<Rule>) {
    let keys = [(TYPE_IPV4_ADDR, 4), (TYPE_IPV6_ADDR, 16), (TYPE_ADDRESS_AND_LINK, 20)];
    for (set, (kind, length)) in sets.into_iter().zip(keys) {
        let id = transaction.next_id();
        let mut message = name(set);
        message.attributes.extend([
            SetAttribute::Flags(SetFlags::empty()),
            SetAttribute::KeyType(kind),
            SetAttribute::KeyLen(length),
            SetAttribute::Id(id),
        ]);
        transaction.make(NfTablesMessage::NewSet(message));
    }
    let mut input = chain(INPUT);
    input.attributes.extend([
        ChainAttribute::Hook(vec![
            HookAttribute::Number(InetHookNumber::LocalIn.into()),
            HookAttribute::Priority(0),
        ]),
        ChainAttribute::Policy(NF_ACCEPT),
        ChainAttribute::Type("filter".into()),
    ]);
    transaction.make(NfTablesMessage::NewChain(input));
    append(transaction, INPUT, rules);
}

/// Puts keys into a set.
pub(super) fn fill(transaction: &mut Transaction, set: &str, keys: impl Iterator<Item = Vec<u8>>) {
    let elements: Vec<_> = keys.map(|key| element(key, [])).collect();
    for message in messages(set, &elements) {
        transaction.make(NfTablesMessage::NewSetElement(message));
    }
}

/// Puts addresses into a link's map.
pub(super) fn add(
    transaction: &mut Transaction,
    link: LinkIndex,
    family: Family,
    addresses: &[(IpAddr, RouterId)],
) {
    let elements = addresses.iter().map(|(address, router)| {
        let chain = VerdictAttribute::Chain(router_chain(*router));
        let goto = vec![VerdictAttribute::Code(Verdict::Goto), chain];
        element(bytes(*address), [SetElementAttribute::Data(DataAttribute::Verdict(goto))])
    });
    for message in messages(&held(link, family), &elements.collect::<Vec<_>>()) {
        transaction.make(NfTablesMessage::NewSetElement(message));
    }
}

/// Takes addresses, all of which must be there, out of a link's map.
pub(super) fn remove(
    transaction: &mut Transaction,
    link: LinkIndex,
    family: Family,
    addresses: &[(IpAddr, RouterId)],
) {
    let elements = addresses.iter().map(|(address, _)| element(bytes(*address), []));
    for message in messages(&held(link, family), &elements.collect::<Vec<_>>()) {
        transaction.delete(NfTablesMessage::DeleteSetElement(message));
    }
}

/// Puts links into one of a router's sets.
pub(super) fn put(
    transaction: &mut Transaction,
    set: &str,
    links: &BTreeSet<LinkIndex>,
    timeout: Option<Duration>,
) {
    let timeout = timeout.map(|timeout| SetElementAttribute::Timeout(whole_millis(timeout)));
    let elements = links.iter().map(|link| element(link_key(*link), timeout.clone()));
    for message in messages(set, &elements.collect::<Vec<_>>()) {
        transaction.make(NfTablesMessage::NewSetElement(message));
    }
}

/// Takes links, all of which must be there, out of one of a router's sets.
pub(super) fn take(transaction: &mut Transaction, set: &str, links: &BTreeSet<LinkIndex>) {
    let elements = links.iter().map(|link| element(link_key(*link), []));
    for message in messages(set, &elements.collect::<Vec<_>>()) {
        transaction.delete(NfTablesMessage::DeleteSetElement(message));
    }
}

/// Takes whatever is there, if anything is, out of a set.
pub(super) fn empty_set(transaction: &mut Transaction, set: &str) {
    let attributes = vec![SetElementList::Table(TABLE.into()), SetElementList::Set(set.into())];
    transaction.delete(NfTablesMessage::DeleteSetElement(SetElementMessage { attributes }));
}

/// The question how an element of one of a router's sets stands.
pub(super) fn ask_element(set: &str, link: LinkIndex) -> NfTablesMessage {
    let attributes = vec![
        SetElementList::Table(TABLE.into()),
        SetElementList::Set(set.into()),
        SetElementList::Elements(vec![element(link_key(link), [])]),
    ];
    NfTablesMessage::GetSetElement(SetElementMessage { attributes })
}

/// The question whether a set is there.
pub(super) fn ask_set(set: &str) -> NfTablesMessage {
    NfTablesMessage::GetSet(name(set))
}

/// The question whether the table is there.
pub(super) fn ask_table() -> NfTablesMessage {
    NfTablesMessage::GetTable(table())
}

/// The question what stands in a set or map.
pub(super) fn ask_elements(set: &str) -> NfTablesMessage {
    let attributes = vec![SetElementList::Table(TABLE.into()), SetElementList::Set(set.into())];
    NfTablesMessage::GetSetElement(SetElementMessage { attributes })
}

/// The question which rules there are in the table.
pub(super) fn ask_rules() -> NfTablesMessage {
    NfTablesMessage::GetRule(RuleMessage { attributes: vec![RuleAttribute::Table(TABLE.into())] })
}

/// Rounded down: what is to end by a moment may end before it.
fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn messages(
    set: &str,
    elements: &[ListAttribute<SetElementAttribute>],
) -> impl Iterator<Item = SetElementMessage> {
    let chunks: Vec<_> = elements.chunks(ELEMENTS).map(<[_]>::to_vec).collect();
    let set = set.to_owned();
    chunks.into_iter().map(move |elements| SetElementMessage {
        attributes: vec![
            SetElementList::Table(TABLE.into()),
            SetElementList::Set(set.clone()),
            SetElementList::Elements(elements),
        ],
    })
}

fn element(
    key: Vec<u8>,
    more: impl IntoIterator<Item = SetElementAttribute>,
) -> ListAttribute<SetElementAttribute> {
    let key = SetElementAttribute::Key(DataAttribute::Value(key));
    ListAttribute::Element([key].into_iter().chain(more).collect())
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

pub(super) fn link_key(link: LinkIndex) -> Vec<u8> {
    link.0.to_ne_bytes().to_vec()
}

fn table() -> TableMessage {
    TableMessage { attributes: vec![TableAttribute::Name(TABLE.into())] }
}

fn name(set: &str) -> SetMessage {
    SetMessage { attributes: vec![SetAttribute::Table(TABLE.into()), SetAttribute::Name(set.into())] }
}

fn map(set: &str, family: Family, id: u32) -> SetMessage {
    let (kind, length) = match family {
        Family::Ipv4 => (TYPE_IPV4_ADDR, 4),
        Family::Ipv6 => (TYPE_IPV6_ADDR, 16),
    };
    let mut message = name(set);
    message.attributes.extend([
        SetAttribute::Flags(SetFlags::Map),
        SetAttribute::KeyType(kind),
        SetAttribute::KeyLen(length),
        SetAttribute::DataType(NFT_DATA_VERDICT),
        SetAttribute::Id(id),
    ]);
    message
}

fn link_set(set: &str, flags: SetFlags, id: u32) -> SetMessage {
    let mut message = name(set);
    message.attributes.extend([
        SetAttribute::Flags(flags),
        SetAttribute::KeyType(TYPE_IFACE_INDEX),
        SetAttribute::KeyLen(4),
        SetAttribute::Id(id),
        SetAttribute::UserData(HOST_BYTE_ORDER.to_vec()),
    ]);
    if flags.contains(SetFlags::Eval) {
        // What `nft` and newer kernels take if nothing is said.
        message.attributes.push(SetAttribute::Description(vec![SetDescription::Size(65_535)]));
    }
    message
}

fn chain(name: &str) -> ChainMessage {
    ChainMessage { attributes: vec![ChainAttribute::Table(TABLE.into()), ChainAttribute::Name(name.into())] }
}

/// First to see a frame that comes in, and last to see one that goes out, so that what others change about a
/// frame on its way is seen as the wire sees it.
fn base_chain(hook: Hook, name: &str, device: &str) -> ChainMessage {
    let (number, priority): (_, i32) = match hook {
        Hook::Ingress => (DevHookNumber::Ingress, -500),
        Hook::Egress => (DevHookNumber::Egress, 500),
    };
    let mut message = chain(name);
    message.attributes.extend([
        ChainAttribute::Hook(vec![
            HookAttribute::Number(number.into()),
            HookAttribute::Priority(priority.cast_unsigned()),
            HookAttribute::NetDeviceName(device.into()),
        ]),
        ChainAttribute::Policy(NF_ACCEPT),
        ChainAttribute::Type("filter".into()),
    ]);
    message
}

fn append(transaction: &mut Transaction, chain: &str, rules: Vec<Rule>) {
    for expressions in rules {
        transaction.append(NfTablesMessage::NewRule(RuleMessage {
            attributes: vec![
                RuleAttribute::Table(TABLE.into()),
                RuleAttribute::Chain(chain.into()),
                RuleAttribute::Expressions(expressions),
            ],
        }));
    }
}

const NF_ACCEPT: u32 = 1;
const NFT_DATA_VERDICT: u32 = 0xffff_ff00;

/// What `nft` calls the types of a set's elements: to the kernel they are only numbers.
const TYPE_IPV4_ADDR: u32 = 7;
const TYPE_IPV6_ADDR: u32 = 8;
const TYPE_IFACE_INDEX: u32 = 20;
/// Of several in one key each has 6 bits.
const TYPE_ADDRESS_AND_LINK: u32 = TYPE_IPV6_ADDR << 6 | TYPE_IFACE_INDEX;

/// The chain for what the host is to take in.
const INPUT: &str = "input";

/// Tells `nft`, not the kernel, how to read keys: attribute 0, 4 bytes, 1 for the host's order.
const HOST_BYTE_ORDER: [u8; 6] = {
    let [a, b, c, d] = 1_u32.to_ne_bytes();
    [0, 4, a, b, c, d]
};
