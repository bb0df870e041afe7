//! Installing and removing addresses. Everything installed carries a mark, and only what carries it is ever
//! removed: an operator's address is not ours because it is the same as one of ours.
//!
//! Linux 5.18 has a field for who installed an address (`IFA_PROTO`). Older kernels ignore it without a word;
//! there IPv4 addresses get a label instead, whatever label is configured, and IPv6 addresses, which have none, a metric.
//! Addresses are added exclusively: replacing would put our mark on the operator's address.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol, AddressScope,
    CacheInfo,
};
use nix::errno::Errno;
use nix::libc;

use super::local_routes::{self, Arrivals};
use super::name_of;
use super::netlink::{Failure, Netlink};
use super::picture::{self, LABEL, METRIC, PROTOCOL, address_family, naming};
use super::secondaries::Promoting;
use crate::engine::action::{Place, Placement};
use crate::engine::event::{LinkAddress, Picture, Refusal};
use crate::net::{Family, LinkIndex};

/// The bytes of an IPv4 address's label, without the zero at its end.
const LABEL_LENGTH: usize = 15;

/// Adds and removes addresses.
#[derive(Debug)]
pub struct Addresses {
    netlink: Netlink,
    mark: Mark,
    /// None as long as there was nothing to wait for.
    arrivals: Option<Arrivals>,
    /// IPv6 addresses that were added just now, and may not be accepted yet.
    arriving: BTreeSet<IpAddr>,
}

/// How an address is marked as ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// `IFA_PROTO`, Linux 5.18.
    Protocol,
    /// A label (IPv4) or a metric (IPv6).
    Label,
}

impl Mark {
    /// The mark that a kernel of this release keeps, "6.1.0-18-amd64" for example.
    pub fn for_release(release: &str) -> Self {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse::<u32>().ok());
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if version >= (5, 18) { Self::Protocol } else { Self::Label }
    }
}

/// What links carried when they were last asked: spares asking again for every batch of one piece of work.
#[derive(Debug, Default)]
pub struct Known {
    asked: BTreeSet<(LinkIndex, Family)>,
    /// What was there.
    present: BTreeMap<Place, LinkAddress>,
}

impl Addresses {
    /// Opens a netlink socket and looks which mark this kernel keeps.
    pub fn open() -> io::Result<Self> {
        Self::with_mark(Mark::for_release(&fs::read_to_string("/proc/sys/kernel/osrelease")?))
    }

    /// Opens a netlink socket and marks addresses with `mark`.
    pub fn with_mark(mark: Mark) -> io::Result<Self> {
        Ok(Self { netlink: Netlink::open()?, mark, arrivals: None, arriving: BTreeSet::new() })
    }

    /// All links and addresses.
    pub fn picture(&mut self) -> io::Result<Picture> {
        picture::dump(&mut self.netlink)
    }

    /// The local routes that our addresses in a picture should have and do not.
    pub fn unrouted(&mut self, picture: &Picture) -> io::Result<Vec<Place>> {
        local_routes::missing(&mut self.netlink, &picture.ours())
    }

    /// Installs a batch (at most [`BATCH`](super::netlink::BATCH)) and returns each one's result, in order. An
    /// address that is there already and ours is success; one that is there and not ours is refused with
    /// EEXIST and left as it is.
    pub fn add(&mut self, placements: &[Placement], known: &mut Known) -> Vec<Result<(), Refusal>> {
        if placements.iter().any(|placement| placement.place.net.family() == Family::Ipv6) {
            self.expect_arrivals();
        }
        let requests = placements.iter().map(|placement| self.addition(placement)).collect();
        let results = self.netlink.batch(requests, NLM_F_CREATE | NLM_F_EXCL);
        let places = placements.iter().map(|placement| placement.place);
        places.zip(results).map(|(place, result)| self.added(place, result, known)).collect()
    }

    fn added(&mut self, place: Place, result: Result<(), Failure>, known: &mut Known) -> Result<(), Refusal> {
        match result {
            Err(failure) if failure.errno == libc::EEXIST => {
                // It may have come since the link was last asked.
                if !known.present.contains_key(&place) {
                    known.asked.remove(&(place.link, place.net.family()));
                }
                match known.is_ours(&mut self.netlink, place) {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(refusal("add", "to", place, &failure)),
                    Err(error) => Err(refusal("add", "to", place, &error.into())),
                }
            }
            Ok(()) => {
                if place.net.family() == Family::Ipv6 {
                    self.arriving.insert(place.net.address());
                }
                Ok(())
            }
            Err(failure) => Err(refusal("add", "to", place, &failure)),
        }
    }

    /// Begins to listen, once. Without a socket nothing is waited for, which is right mostly.
    fn expect_arrivals(&mut self) {
        self.arriving.clear();
        match &mut self.arrivals {
            Some(arrivals) => arrivals.skip(),
            None => self.arrivals = Arrivals::open().ok(),
        }
    }

    /// Returns when the kernel accepts what is sent to all that was added last. IPv4 is there at once.
    pub fn arrive(&mut self) {
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.await_all(std::mem::take(&mut self.arriving));
        }
    }

    /// Removes a batch (at most [`BATCH`](super::netlink::BATCH)) and returns each one's result, in order. What
    /// is not there, or not ours, is not touched, and that is success: nothing of ours is left.
    pub fn remove(&mut self, places: &[Place], known: &mut Known) -> Vec<Result<(), Refusal>> {
        let mut results = Vec::with_capacity(places.len());
        let (mut ours, mut removed) = (Vec::new(), Vec::new());
        for place in places {
            results.push(match known.is_ours(&mut self.netlink, *place) {
                Ok(true) => {
                    ours.push(results.len());
                    removed.push(*place);
                    Ok(())
                }
                Ok(false) => Ok(()),
                Err(error) => Err(refusal("remove", "from", *place, &error.into())),
            });
        }
        let promoting = Promoting::begin(&mut self.netlink, &removed, &known.foreign());
        let requests = removed.into_iter().map(|place| removal(place, known.peer(place)));
        let outcomes = self.netlink.batch(requests.collect(), 0);
        promoting.end(&mut self.netlink);
        for (at, outcome) in ours.into_iter().zip(outcomes) {
            results[at] = match outcome {
                // Somebody else was faster, or the link is gone and its addresses with it.
                Err(failure) if [libc::EADDRNOTAVAIL, libc::ENODEV].contains(&failure.errno) => Ok(()),
                outcome => outcome.map_err(|failure| refusal("remove", "from", places[at], &failure)),
            };
        }
        results
    }

    fn addition(&self, placement: &Placement) -> RouteNetlinkMessage {
        let (place, form) = (placement.place, placement.form);
        let mut message = naming_message(place, form.peer);
        let mut flags = AddressFlags::empty();
        flags.set(AddressFlags::Noprefixroute, form.routeless);
        match place.net.address() {
            IpAddr::V4(_) => {
                message.header.scope = AddressScope::from(form.scope);
                message.attributes.extend(form.broadcast.map(AddressAttribute::Broadcast));
            }
            IpAddr::V6(_) => {
                // The address answers at once; Duplicate Address Detection would take a second, and find the
                // former master. Deprecated (preferred for 0 s): the kernel takes it as a source for nothing
                // of its own.
                message.header.flags = AddressHeaderFlags::Nodad;
                flags.insert(AddressFlags::Nodad);
                let mut lifetime = CacheInfo::default();
                lifetime.ifa_valid = u32::MAX;
                lifetime.ifa_preferred = if form.preferred { u32::MAX } else { 0 };
                message.attributes.push(AddressAttribute::CacheInfo(lifetime));
            }
        }
        if !flags.is_empty() {
            message.attributes.push(AddressAttribute::Flags(flags));
        }
        message.attributes.push(match (self.mark, place.net.family()) {
            (Mark::Protocol, _) => AddressAttribute::Protocol(AddressProtocol::from(PROTOCOL)),
            (Mark::Label, Family::Ipv4) => AddressAttribute::Label(label(&name_of(place.link))),
            (Mark::Label, Family::Ipv6) => AddressAttribute::RoutePriority(METRIC),
        });
        if let Some(label) = form.label.filter(|_| self.mark == Mark::Protocol) {
            message.attributes.push(AddressAttribute::Label(label.as_str().to_owned()));
        }
        RouteNetlinkMessage::NewAddress(message)
    }
}

impl Known {
    /// What is there and not ours.
    fn foreign(&self) -> BTreeSet<Place> {
        self.present.iter().filter(|(_, there)| !there.ours).map(|(place, _)| *place).collect()
    }

    /// The other end of what is there.
    fn peer(&self, place: Place) -> Option<IpAddr> {
        self.present.get(&place)?.peer
    }

    /// Whether the address at this place is there and ours; asks the kernel if the link has not been asked yet.
    fn is_ours(&mut self, netlink: &mut Netlink, place: Place) -> io::Result<bool> {
        let link = (place.link, place.net.family());
        if !self.asked.contains(&link) {
            for address in picture::addresses(netlink, place.net.family(), Some(place.link))? {
                self.present.insert(Place { link: address.link, net: address.net }, address);
            }
            self.asked.insert(link);
        }
        Ok(self.present.get(&place).is_some_and(|there| there.ours))
    }
}

fn removal(place: Place, peer: Option<IpAddr>) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelAddress(naming_message(place, peer))
}

fn naming_message(place: Place, peer: Option<IpAddr>) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = address_family(place.net.family());
    message.header.prefix_len = place.net.prefix();
    message.header.index = place.link.0;
    message.attributes = naming(place.net.address(), peer);
    message
}

/// `IFNAME:vipd`, the name cut short where both do not fit.
fn label(interface: &str) -> String {
    let mut end = interface.len().min(LABEL_LENGTH - LABEL.len());
    while !interface.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{LABEL}", &interface[..end])
}

/// What the kernel said, in the words of who asked: "add 192.0.2.1/24 to eth0: File exists".
fn refusal(verb: &str, where_to: &str, place: Place, failure: &Failure) -> Refusal {
    let doing = format!("{verb} {} {where_to} {}", place.net, name_of(place.link));
    let why = match (failure.errno, &failure.sentence) {
        (0, Some(sentence)) => format!("{doing}: {sentence}"),
        (errno, None) => format!("{doing}: {}", Errno::from_raw(errno).desc()),
        (errno, Some(sentence)) => format!("{doing}: {} ({sentence})", Errno::from_raw(errno).desc()),
    };
    Refusal { errno: failure.errno, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_since_5_18_keep_the_protocol() {
        for release in ["5.18.0", "5.18", "6.1.0-18-amd64", "10.0.1+"] {
            assert_eq!(Mark::for_release(release), Mark::Protocol, "{release}");
        }
        for release in ["5.17.15-generic", "4.19.0", "5.4", "", "custom"] {
            assert_eq!(Mark::for_release(release), Mark::Label, "{release}");
        }
    }

    #[test]
    fn labels_fit_and_end_in_the_mark() {
        assert_eq!(label("eth0"), "eth0:vipd");
        assert_eq!(label("enp0s31f6.1024"), "enp0s31f6.:vipd");
        assert_eq!(label("enp0s31f6.1024").len(), LABEL_LENGTH);
    }

    #[test]
    fn a_refusal_says_what_was_being_done() {
        let place = Place { link: LinkIndex(4_000_000), net: "192.0.2.1/24".parse().unwrap() };
        let plain = refusal("add", "to", place, &Failure { errno: libc::EEXIST, sentence: None });
        assert_eq!(plain.errno, libc::EEXIST);
        assert_eq!(plain.why, "add 192.0.2.1/24 to link 4000000: File exists");
        let told = Failure { errno: libc::EINVAL, sentence: Some("ipv4: Invalid prefix".into()) };
        assert_eq!(
            refusal("remove", "from", place, &told).why,
            "remove 192.0.2.1/24 from link 4000000: Invalid argument (ipv4: Invalid prefix)"
        );
    }
}
