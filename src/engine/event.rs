//! Everything that can happen to the engine, and the nouns those events carry.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::action::{Endpoint, Generation, InstanceId, Place, RouterId, VirtualLinkId};
use super::path::{PathKey, Route};
use super::settings::Settings;
use crate::net::{Family, IpNet, LinkIndex, Mac, Priority};
use crate::proto::health::Verdict;
use crate::time::{Duration, Instant};

/// One thing that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The clock moved: whatever is due goes out. Comes first in every turn.
    Tick,
    /// The wall clock was read; nothing but signatures asks for it. Comes first in every turn in which it may have been
    /// set.
    Clock {
        /// How long ago 1970 began, in UTC.
        wall: Duration,
    },
    /// Every datagram received before `until` has been handed over. Only this may end a `Master_Down_Timer`.
    Silence {
        /// The end of the silence.
        until: Instant,
    },
    /// This turn began `late` after its deadline: timers that ran out meanwhile prove nothing.
    Stalled {
        /// How late.
        late: Duration,
    },
    /// A datagram of protocol 112 arrived.
    Datagram(Received<'a>),
    /// Another host claimed an address by ARP or Neighbor Advertisement.
    Claim(Claim),
    /// This agent may not begin: in place of the first [`Picture`](Self::Picture), until that comes.
    Excluded {
        /// Why, as a sentence.
        why: String,
    },
    /// The complete picture of links and addresses; replaces whatever was known.
    Picture(Picture),
    /// Every route and rule with our mark; follows each picture.
    Paths(Vec<SeenPath>),
    /// One change of that picture.
    Change(Change),
    /// Addresses were installed and removed as far as the kernel allowed.
    Held(Held),
    /// A socket was opened, or could not be.
    Opened(Opened),
    /// A virtual router's own link is as it was ordered, or cannot be.
    Linked(Linked),
    /// What a gate lets pass, after an order or because that is no longer what the order was.
    Gated(Gated),
    /// An advert could not be sent.
    SendFailed {
        /// The instance whose advert it was.
        instance: InstanceId,
        /// The virtual router's family.
        family: Family,
        /// What the kernel said.
        refusal: Refusal,
    },
    /// A check changed its verdict.
    Verdict {
        /// The check's name.
        check: &'a str,
        /// What it says now.
        verdict: Verdict,
        /// In the operator's words, what the check saw.
        why: &'a str,
    },
    /// A check that has a value read another one.
    Value {
        /// The check's name.
        check: &'a str,
        /// What it read.
        value: i32,
    },
    /// A new configuration. It cannot fail: what can fail later fails as a state.
    Reload(Settings),
    /// An instance's priority stands in a file, which has changed.
    Priority {
        /// The instance's name.
        instance: &'a str,
        /// What it is from now on, before tracks.
        priority: Priority,
    },
    /// The operator wants these instances elsewhere.
    StepDown(Target),
    /// The operator takes `StepDown` back.
    Resume(Target),
    /// The agent is to end: hand everything over, then be idle.
    Shutdown,
    /// End now: release everything without waiting for a successor.
    ShutdownNow,
}

/// Which instances a command is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every one.
    All,
    /// The one with this name.
    Named(String),
}

/// A datagram of protocol 112 as the socket gave it.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// When the kernel received it.
    pub at: Instant,
    /// The interface it came in on.
    pub link: LinkIndex,
    /// What it carried.
    pub packet: Packet<'a>,
}

/// The part of a datagram that each kind of raw socket delivers.
#[derive(Clone, Copy, Debug)]
pub enum Packet<'a> {
    /// IPv4 raw sockets deliver the packet with its IP header.
    Ipv4(&'a [u8]),
    /// IPv6 raw sockets deliver the payload; the rest comes as control messages.
    Ipv6 {
        /// The sender.
        source: IpAddr,
        /// Where it was sent.
        destination: IpAddr,
        /// The hop limit it arrived with.
        hop_limit: u8,
        /// The VRRP message.
        payload: &'a [u8],
    },
}

/// Somebody said by ARP or ND that an address is theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The interface it was heard on.
    pub link: LinkIndex,
    /// Who says so.
    pub mac: Mac,
    /// The address claimed.
    pub address: IpAddr,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: LinkIndex,
    /// Its name, which may change.
    pub name: String,
    /// Its Ethernet address; absent on links without one.
    pub mac: Option<Mac>,
    /// The largest packet, bytes.
    pub mtu: u32,
    /// Administratively up and with carrier (`IFF_UP` and `IFF_LOWER_UP`).
    pub up: bool,
    /// Administratively up, with carrier or without.
    pub set_up: bool,
    /// Which of the virtual routers' own it is, if it carries this agent's mark: also when somebody has given it another
    /// name or Ethernet address.
    pub virtual_link: Option<VirtualLinkId>,
}

/// An address on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkAddress {
    /// The link.
    pub link: LinkIndex,
    /// The address and its prefix.
    pub net: IpNet,
    /// Whether it carries this agent's mark.
    pub ours: bool,
    /// Whether it may be used as a source: not tentative, not a failed duplicate.
    pub usable: bool,
    /// The other end of a point-to-point link.
    pub peer: Option<IpAddr>,
}

/// Links and addresses as one dump found them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Picture {
    /// Every link.
    pub links: Vec<Link>,
    /// Every address, in the kernel's order: a link's primary address comes first.
    pub addresses: Vec<LinkAddress>,
}

impl Picture {
    /// Where addresses with our mark are.
    pub fn ours(&self) -> Vec<Place> {
        let ours = self.addresses.iter().filter(|address| address.ours);
        ours.map(|address| Place { link: address.link, net: address.net }).collect()
    }
}

/// One change that the kernel reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A link appeared or changed.
    Link(Link),
    /// A link is gone, and with it its addresses.
    LinkGone(LinkIndex),
    /// An address appeared or changed.
    Address(LinkAddress),
    /// An address is gone.
    AddressGone(Place),
    /// The local route of an address is gone, by which the kernel accepts what is sent to it; the address may be there.
    RouteGone(Place),
    /// A route or rule with our mark is gone.
    PathGone(PathKey),
}

/// The outcome of an [`Hold`](super::action::Hold): all of it is done but what is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Whose.
    pub instance: InstanceId,
    /// Of which order; an older one is ignored.
    pub generation: Generation,
    /// What could not be done.
    pub refused: Vec<(Place, Refusal)>,
    /// Which routes and rules could not be put in or removed.
    pub refused_paths: Vec<(PathKey, Refusal)>,
}

/// A route or rule with our mark, as the kernel says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenPath {
    /// What it is known by.
    pub key: PathKey,
    /// What a route is like.
    pub route: Option<Route>,
}

/// The outcome of a [`Listen`](super::action::Listen).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Where.
    pub endpoint: Endpoint,
    /// Of which order; an older one is ignored.
    pub generation: Generation,
    /// Why it could not be opened.
    pub refused: Option<Refusal>,
}

/// The outcome of a [`VirtualLink`](super::action::VirtualLink). Where it is, the kernel has reported by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// Which.
    pub id: VirtualLinkId,
    /// Of which order; an older one is ignored.
    pub generation: Generation,
    /// Why it could not be done.
    pub refused: Option<Refusal>,
}

/// How a [`Gate`](super::action::Gate) stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gated {
    /// Whose.
    pub router: RouterId,
    /// Of which order; an older one is ignored.
    pub generation: Generation,
    /// What passes.
    pub state: Gating,
}

/// What a gate lets pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gating {
    /// What was ordered passes, for as long as the lease lives.
    Open,
    /// Nothing passes: as ordered, or because the lease ran out.
    Dark,
    /// Somebody else took the gate away. It is made again from a new order, which says what the lease still is.
    Lost(String),
    /// There is no gate: everything passes whatever is ordered.
    Unavailable(String),
}

/// What the kernel said no with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error number, as in `errno(3)`; 0 if there is none.
    pub errno: i32,
    /// What was being done and what came of it, "add 192.0.2.1/24 to eth0: File exists".
    pub why: String,
}
