//! Links and addresses, read from rtnetlink messages: one by one as the monitor hears of them, or all at once.
//!
//! Only the headers and the handful of attributes that matter are decoded. A decoder of whole messages gives
//! up over one attribute that it does not know, and every kernel adds some; an agent that goes blind on a new
//! kernel is worse than one that does not see what it has no use for.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NlasIterator, Parseable};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeader, AddressMessage, AddressProtocol,
};
use netlink_packet_route::link::{LinkFlags, LinkHeader, LinkLayerType, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::local_routes::{RTM_DELROUTE, local_route};
use super::netlink::{Netlink, RawMessage};
use super::paths;
use crate::engine::action::{Place, VirtualLinkId};
use crate::engine::event::{Change, Link, LinkAddress, Picture};
use crate::net::{Family, IpNet, LinkIndex, Mac};

/// The protocol number that marks an address as ours (`IFA_PROTO`, Linux 5.18): VRRP's own.
pub const PROTOCOL: u8 = 112;

/// How the label of our IPv4 addresses ends where the kernel knows no `IFA_PROTO`.
pub const LABEL: &str = ":vipd";

/// The metric of our IPv6 addresses' prefix routes where the kernel knows no `IFA_PROTO` (and IPv6 no labels).
pub const METRIC: u32 = 112_112;

const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_DELRULE: u16 = 33;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
pub(super) const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_GROUP: u16 = 27;
const IFLA_INFO_KIND: u16 = 1;

/// The group that marks a link as a virtual router's and ours, if it is a macvlan with such a router's Ethernet address:
/// the one thing that is said of a link in the moment in which it is made.
pub const GROUP: u32 = 112;

/// How the alias of such a link begins, which it gets as soon as it is made; the virtual router's Ethernet address
/// follows. It is ours by that as well, whatever group and Ethernet address somebody gives it.
pub const ALIAS: &str = "vipd ";

/// How the Ethernet addresses of virtual routers begin (RFC 9568, 7.3).
const VIRTUAL_MAC: [u8; 4] = [0x00, 0x00, 0x5e, 0x00];

/// A message that contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel's message cannot be decoded")]
pub struct Undecodable;

/// What a message changes; `None` if it is about something else.
pub fn change(message: RawMessage<'_>) -> Result<Option<Change>, Undecodable> {
    match message.kind {
        RTM_NEWLINK => Ok(link(message.payload)?.map(Change::Link)),
        RTM_DELLINK => link_gone(message.payload),
        RTM_NEWADDR => Ok(address(message.payload)?.map(Change::Address)),
        RTM_DELADDR => Ok(address(message.payload)?
            .map(|gone| Change::AddressGone(Place { link: gone.link, net: gone.net }))),
        RTM_DELROUTE => route_gone(message.payload),
        RTM_DELRULE => Ok(paths::rule_gone(message.payload)?.map(Change::PathGone)),
        _ => Ok(None),
    }
}

/// A route of ours may be a local one, too.
fn route_gone(payload: &[u8]) -> Result<Option<Change>, Undecodable> {
    if let Some(key) = paths::route_gone(payload)? {
        return Ok(Some(Change::PathGone(key)));
    }
    Ok(local_route(payload)?.map(Change::RouteGone))
}

/// Everything, in the kernel's order.
pub fn dump(netlink: &mut Netlink) -> io::Result<Picture> {
    let mut picture = Picture { links: links(netlink)?, ..Picture::default() };
    for family in [Family::Ipv4, Family::Ipv6] {
        picture.addresses.extend(addresses(netlink, family, None)?);
    }
    // Links that vanished between the two dumps must not leave addresses behind.
    let known: BTreeSet<_> = picture.links.iter().map(|link| link.index).collect();
    picture.addresses.retain(|address| known.contains(&address.link));
    Ok(picture)
}

/// All links.
pub fn links(netlink: &mut Netlink) -> io::Result<Vec<Link>> {
    let mut found = Vec::new();
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    netlink.dump(&request, &mut found, |links, message| {
        if let Ok(Some(Change::Link(link))) = change(message) {
            links.push(link);
        }
    })?;
    Ok(found)
}

/// All addresses of a family, or those of one link; a link that is gone has none.
pub fn addresses(
    netlink: &mut Netlink,
    family: Family,
    on: Option<LinkIndex>,
) -> io::Result<Vec<LinkAddress>> {
    let mut request = AddressMessage::default();
    request.header.family = address_family(family);
    request.header.index = on.map_or(0, |link| link.0);
    let mut found = Vec::new();
    let dumped = netlink.dump(&RouteNetlinkMessage::GetAddress(request), &mut found, |found, message| {
        // Kernels before 4.20 dump every link whatever was asked.
        if let Ok(Some(Change::Address(address))) = change(message)
            && on.is_none_or(|link| link == address.link)
        {
            found.push(address);
        }
    });
    match dumped {
        Err(error) if on.is_some() && error.raw_os_error() == Some(nix::libc::ENODEV) => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(()) => Ok(found),
    }
}

/// The kernel's name for a family.
pub fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::Ipv4 => AddressFamily::Inet,
        Family::Ipv6 => AddressFamily::Inet6,
    }
}

/// A link, unless the message is a bridge's about its port (`AF_BRIDGE`), or a wireless driver's, which comes
/// as a link message without a name.
fn link(payload: &[u8]) -> Result<Option<Link>, Undecodable> {
    let (header, attributes) = link_header(payload)?;
    if header.interface_family != AddressFamily::Unspec {
        return Ok(None);
    }
    let (mut name, mut mac, mut mtu) = (None, None, None);
    let (mut below, mut group, mut meant, mut is_macvlan) = (None, None, None, false);
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute.map_err(|_| Undecodable)?;
        let value = attribute.value();
        match attribute.kind() {
            IFLA_IFNAME => name = Some(text(value)),
            IFLA_ADDRESS => mac = <[u8; 6]>::try_from(value).ok().map(Mac),
            IFLA_MTU => mtu = number(value),
            IFLA_LINK => below = number(value).map(LinkIndex),
            IFLA_GROUP => group = number(value),
            IFLA_IFALIAS => meant = text(value).strip_prefix(ALIAS).and_then(virtual_mac),
            IFLA_LINKINFO => is_macvlan = kind_of(value).as_deref() == Some(MACVLAN),
            _ => {}
        }
    }
    let (Some(name), Some(mtu)) = (name, mtu) else { return Ok(None) };
    // Until it has an alias, or where somebody took that away, its group and its Ethernet address tell.
    let marked = mac.filter(|Mac(mac)| group == Some(GROUP) && mac.starts_with(&VIRTUAL_MAC));
    let own = below.zip(meant.or(marked)).map(|(below, mac)| VirtualLinkId { below, mac });
    Ok(Some(Link {
        index: LinkIndex(header.index),
        name,
        mac: mac.filter(|_| header.link_layer_type == LinkLayerType::Ether),
        mtu,
        up: header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
        set_up: header.flags.contains(LinkFlags::Up),
        virtual_link: own.filter(|_| is_macvlan),
    }))
}

fn virtual_mac(text: &str) -> Option<Mac> {
    let mut mac = [0; 6];
    let mut digits = text.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(digits.next()?, 16).ok()?;
    }
    (digits.next().is_none() && mac.starts_with(&VIRTUAL_MAC)).then_some(Mac(mac))
}

/// What kind of link it is, in the kernel's word; none for one that nobody made.
pub(super) fn kind_of(info: &[u8]) -> Option<String> {
    let mut attributes = NlasIterator::new(info).map_while(Result::ok);
    let kind = attributes.find(|attribute| attribute.kind() == IFLA_INFO_KIND);
    kind.map(|attribute| text(attribute.value()))
}

pub(super) fn number(value: &[u8]) -> Option<u32> {
    <[u8; 4]>::try_from(value).ok().map(u32::from_ne_bytes)
}

/// The kind of link that a virtual router's own is.
pub(super) const MACVLAN: &str = "macvlan";

/// A link's end, unless it merely left a bridge (`AF_BRIDGE`).
fn link_gone(payload: &[u8]) -> Result<Option<Change>, Undecodable> {
    let (header, _) = link_header(payload)?;
    let gone = header.interface_family == AddressFamily::Unspec;
    Ok(gone.then_some(Change::LinkGone(LinkIndex(header.index))))
}

pub(super) fn link_header(payload: &[u8]) -> Result<(LinkHeader, &[u8]), Undecodable> {
    let (_, attributes) = payload.split_at_checked(LINK_HEADER).ok_or(Undecodable)?;
    Ok((LinkHeader::parse(payload).map_err(|_| Undecodable)?, attributes))
}

/// An IPv4 or IPv6 address; `None` for other families.
fn address(payload: &[u8]) -> Result<Option<LinkAddress>, Undecodable> {
    let (_, attributes) = payload.split_at_checked(ADDRESS_HEADER).ok_or(Undecodable)?;
    let header = AddressHeader::parse(payload).map_err(|_| Undecodable)?;
    if !matches!(header.family, AddressFamily::Inet | AddressFamily::Inet6) {
        return Ok(None);
    }
    let (mut local, mut peer, mut ours) = (None, None, false);
    let mut flags = AddressFlags::from_bits_retain(u32::from(header.flags.bits()));
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute.map_err(|_| Undecodable)?;
        // What cannot be decoded is of a later kernel than this code; what is needed is checked below.
        match AddressAttribute::parse(&attribute) {
            Ok(AddressAttribute::Local(address)) => local = Some(address),
            Ok(AddressAttribute::Address(address)) => peer = Some(address),
            Ok(AddressAttribute::Flags(all)) => flags = all,
            Ok(attribute) => ours |= is_mark(&attribute),
            Err(_) => {}
        }
    }
    // Without a peer both are the same, and IPv6 then leaves IFA_LOCAL out.
    let Some(address) = local.or(peer) else { return Err(Undecodable) };
    Ok(Some(LinkAddress {
        peer: peer.filter(|peer| *peer != address),
        link: LinkIndex(header.index),
        net: IpNet::new(address, header.prefix_len).ok_or(Undecodable)?,
        ours,
        usable: !flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed),
    }))
}

fn is_mark(attribute: &AddressAttribute) -> bool {
    match attribute {
        AddressAttribute::Protocol(protocol) => *protocol == AddressProtocol::from(PROTOCOL),
        AddressAttribute::Label(label) => label.ends_with(LABEL),
        AddressAttribute::RoutePriority(metric) => *metric == METRIC,
        _ => false,
    }
}

/// A string as the kernel ends it, with a zero.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// The attributes that name `address`; without a peer it is its own.
pub fn naming(address: IpAddr, peer: Option<IpAddr>) -> Vec<AddressAttribute> {
    vec![AddressAttribute::Local(address), AddressAttribute::Address(peer.unwrap_or(address))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::{DefaultNla, Emitable};
    use netlink_packet_route::address::AddressHeaderFlags;
    use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo};
    use proptest::prelude::*;

    fn bytes(message: &impl Emitable) -> Vec<u8> {
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        bytes
    }

    fn read(kind: u16, payload: &[u8]) -> Result<Option<Change>, Undecodable> {
        change(RawMessage { kind, flags: 0, sequence: 0, payload })
    }

    fn eth0() -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = 2;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.header.flags = LinkFlags::Up | LinkFlags::LowerUp | LinkFlags::Multicast;
        message.attributes = vec![
            LinkAttribute::IfName("eth0".into()),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
            LinkAttribute::Mtu(1500),
            // Statistics of a length that no kernel sends.
            LinkAttribute::Other(DefaultNla::new(23, vec![1, 2, 3])),
        ];
        message
    }

    fn vip(attributes: Vec<AddressAttribute>) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = 24;
        message.header.index = 2;
        message.attributes = naming("192.0.2.10".parse().unwrap(), None);
        message.attributes.extend(attributes);
        message
    }

    fn read_vip(attributes: Vec<AddressAttribute>) -> LinkAddress {
        match read(RTM_NEWADDR, &bytes(&vip(attributes))) {
            Ok(Some(Change::Address(address))) => address,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_link_is_read_whatever_else_the_kernel_says_of_it() {
        let link = Link {
            index: LinkIndex(2),
            name: "eth0".into(),
            mac: Some(Mac([2, 0, 0, 0, 0, 1])),
            mtu: 1500,
            up: true,
            set_up: true,
            virtual_link: None,
        };
        assert_eq!(read(RTM_NEWLINK, &bytes(&eth0())), Ok(Some(Change::Link(link))));
        assert_eq!(read(RTM_DELLINK, &bytes(&eth0())), Ok(Some(Change::LinkGone(LinkIndex(2)))));
    }

    /// A macvlan on link 2.
    fn macvlan(mac: [u8; 6], attributes: Vec<LinkAttribute>) -> Option<VirtualLinkId> {
        let mut message = eth0();
        message.attributes = vec![
            LinkAttribute::IfName("vrrp.51".into()),
            LinkAttribute::Address(mac.to_vec()),
            LinkAttribute::Mtu(1500),
            LinkAttribute::Link(2),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::MacVlan)]),
        ];
        message.attributes.extend(attributes);
        match read(RTM_NEWLINK, &bytes(&message)) {
            Ok(Some(Change::Link(link))) => link.virtual_link,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_virtual_routers_link_is_known_by_its_alias_or_by_its_group_and_address() {
        let (virtual_mac, other) = ([0, 0, 0x5e, 0, 1, 51], [2, 0, 0, 0, 0, 9]);
        let alias = |text: &str| LinkAttribute::IfAlias(text.into());
        let ours = Some(VirtualLinkId { below: LinkIndex(2), mac: Mac(virtual_mac) });
        assert_eq!(macvlan(virtual_mac, vec![LinkAttribute::Group(GROUP)]), ours);
        assert_eq!(macvlan(other, vec![alias("vipd 00:00:5e:00:01:33")]), ours);
        assert_eq!(macvlan(virtual_mac, vec![]), None);
        assert_eq!(macvlan(other, vec![LinkAttribute::Group(GROUP)]), None);
        let theirs = ["", "vipd", "vipd 02:00:00:00:00:09", "vipd 00:00:5e:00:01", "00:00:5e:00:01:33"];
        for theirs in theirs.into_iter().chain(["vipd 00:00:5e:00:01:33:00", "vipd of ours"]) {
            assert_eq!(macvlan(other, vec![alias(theirs)]), None, "{theirs}");
        }
    }

    #[test]
    fn a_link_is_up_only_with_a_carrier() {
        for flags in [LinkFlags::Up, LinkFlags::LowerUp, LinkFlags::Up | LinkFlags::Running] {
            let mut message = eth0();
            message.header.flags = flags;
            let read = read(RTM_NEWLINK, &bytes(&message));
            let Ok(Some(Change::Link(Link { up: false, set_up, .. }))) = read else { panic!("{flags:?}") };
            assert_eq!(set_up, flags != LinkFlags::LowerUp, "{flags:?}");
        }
    }

    #[test]
    fn a_bridges_words_about_its_port_change_nothing() {
        let mut message = eth0();
        message.header.interface_family = AddressFamily::Bridge;
        assert_eq!(read(RTM_NEWLINK, &bytes(&message)), Ok(None));
        assert_eq!(read(RTM_DELLINK, &bytes(&message)), Ok(None));
    }

    #[test]
    fn a_wireless_event_changes_nothing() {
        let mut message = eth0();
        message.attributes = vec![LinkAttribute::Other(DefaultNla::new(11, vec![0; 40]))];
        assert_eq!(read(RTM_NEWLINK, &bytes(&message)), Ok(None));
    }

    #[test]
    fn a_link_without_ethernet_has_no_ethernet_address() {
        let mut message = eth0();
        message.header.link_layer_type = LinkLayerType::Loopback;
        let read = read(RTM_NEWLINK, &bytes(&message));
        assert!(matches!(read, Ok(Some(Change::Link(Link { mac: None, .. })))), "{read:?}");
    }

    #[test]
    fn each_mark_makes_an_address_ours_and_nothing_else_does() {
        let ours = [
            AddressAttribute::Protocol(AddressProtocol::Other(112)),
            AddressAttribute::Label("eth0:vipd".into()),
            AddressAttribute::RoutePriority(METRIC),
        ];
        let theirs = [
            AddressAttribute::Protocol(AddressProtocol::LinkLocal),
            AddressAttribute::Label("eth0".into()),
            AddressAttribute::RoutePriority(256),
            AddressAttribute::Other(DefaultNla::new(99, vec![112])),
        ];
        assert!(ours.into_iter().all(|mark| read_vip(vec![mark]).ours));
        assert!(!theirs.into_iter().any(|mark| read_vip(vec![mark]).ours));
    }

    #[test]
    fn tentative_and_duplicate_addresses_are_not_usable() {
        assert!(read_vip(vec![]).usable);
        assert!(read_vip(vec![AddressAttribute::Flags(AddressFlags::Permanent)]).usable);
        assert!(!read_vip(vec![AddressAttribute::Flags(AddressFlags::Tentative)]).usable);
        assert!(!read_vip(vec![AddressAttribute::Flags(AddressFlags::Dadfailed)]).usable);
        let mut message = vip(vec![]);
        message.header.flags = AddressHeaderFlags::Tentative;
        let read = read(RTM_NEWADDR, &bytes(&message));
        assert!(matches!(read, Ok(Some(Change::Address(LinkAddress { usable: false, .. })))), "{read:?}");
    }

    #[test]
    fn the_address_is_ours_and_not_the_peers() {
        let mut message = vip(vec![]);
        message.attributes = vec![
            AddressAttribute::Address("192.0.2.99".parse().unwrap()),
            AddressAttribute::Local("192.0.2.10".parse().unwrap()),
        ];
        let place = Place { link: LinkIndex(2), net: "192.0.2.10/24".parse().unwrap() };
        assert_eq!(read(RTM_DELADDR, &bytes(&message)), Ok(Some(Change::AddressGone(place))));
    }

    #[test]
    fn a_message_that_contradicts_itself_is_undecodable() {
        let mut message = vip(vec![]);
        message.header.prefix_len = 33;
        assert_eq!(read(RTM_NEWADDR, &bytes(&message)), Err(Undecodable));
        let (link, address) = (bytes(&eth0()), bytes(&vip(vec![])));
        assert_eq!(read(RTM_NEWLINK, &link[..15]), Err(Undecodable));
        assert_eq!(read(RTM_NEWLINK, &link[..18]), Err(Undecodable));
        assert_eq!(read(RTM_DELADDR, &address[..7]), Err(Undecodable));
        assert_eq!(read(RTM_NEWADDR, &address[..8]), Err(Undecodable));
    }

    #[test]
    fn other_messages_and_families_change_nothing() {
        assert_eq!(read(24, &[]), Ok(None));
        let mut message = vip(vec![]);
        message.header.family = AddressFamily::Other(200);
        assert_eq!(read(RTM_NEWADDR, &bytes(&message)), Ok(None));
    }

    proptest! {
        #[test]
        fn noise_never_panics(kind in 15u16..27, payload in prop::collection::vec(any::<u8>(), 0..120)) {
            drop(read(kind, &payload));
        }

        #[test]
        fn noise_behind_a_valid_header_never_panics(attributes in prop::collection::vec(any::<u8>(), 0..120)) {
            drop(read(RTM_NEWLINK, &[&bytes(&eth0())[..LINK_HEADER], &attributes].concat()));
            drop(read(RTM_NEWADDR, &[&bytes(&vip(vec![]))[..ADDRESS_HEADER], &attributes].concat()));
        }
    }
}
