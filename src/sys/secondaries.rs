//! The operator's addresses in the network of one of ours. The kernel calls the first address of a network primary and
//! the others secondary, and who removes the primary one removes all of them, unless `promote_secondaries` is set, as
//! systemd sets it on most hosts. Where it is not, it is set for the moment of the removal.

use std::collections::BTreeSet;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};

use super::devconf::{self, Setting};
use super::name_of;
use super::netlink::Netlink;
use crate::engine::action::Place;
use crate::net::{Family, IpNet, LinkIndex};

/// Links on which secondaries are promoted for the moment.
#[derive(Debug)]
#[must_use = "the setting is to be as it was before"]
pub(super) struct Promoting(Vec<LinkIndex>);

impl Promoting {
    /// Sets it where what is to be removed would take some of `others` along. Where the kernel refuses, it does.
    pub(super) fn begin(netlink: &mut Netlink, removed: &[Place], others: &BTreeSet<Place>) -> Self {
        let endangers = |place: &&Place| {
            let (first, last) = place.net.range();
            let from = Place { link: place.link, net: IpNet::new(first, 0).unwrap_or(place.net) };
            let to = Place { link: place.link, net: IpNet::host(last) };
            let mut inside = others.range(from..=to);
            place.net.family() == Family::Ipv4 && inside.any(|other| other.net.prefix() == place.net.prefix())
        };
        let links: BTreeSet<LinkIndex> = removed.iter().filter(endangers).map(|place| place.link).collect();
        let links: Vec<LinkIndex> = links.into_iter().filter(|link| !promotes(*link)).collect();
        set(netlink, &links, 1);
        Self(links)
    }

    /// Everything is as it was before.
    pub(super) fn end(self, netlink: &mut Netlink) {
        set(netlink, &self.0, 0);
    }
}

fn promotes(link: LinkIndex) -> bool {
    let setting = Setting::PromoteSecondaries;
    [setting.read_all(), setting.read(link)].into_iter().flatten().any(|value| value != 0)
}

fn set(netlink: &mut Netlink, links: &[LinkIndex], value: u32) {
    let message = |link: &LinkIndex| {
        let mut message = LinkMessage::default();
        message.header.index = link.0;
        let spec = vec![devconf::attribute(&[(Setting::PromoteSecondaries, value)])];
        message.attributes.push(LinkAttribute::AfSpecUnspec(spec));
        RouteNetlinkMessage::SetLink(message)
    };
    for (link, result) in links.iter().zip(netlink.batch(links.iter().map(message).collect(), 0)) {
        if let Err(failure) = result {
            tracing::debug!(link = name_of(*link), "promote_secondaries cannot be set: {failure}");
        }
    }
}
