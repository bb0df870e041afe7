//! Everything the engine can ask for. The destination is a type: the wire, the kernel, or whoever wants to know.
//!
//! Kernel work is a wanted state with a generation, not a command: doing it twice changes nothing, a newer order
//! replaces an older one that has not begun, and answers of older generations are ignored.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use super::notice::Notice;
use super::path::{Path, PathKey};
use crate::net::{Family, IpNet, Label, LinkIndex, Mac, Vrid};
use crate::time::{Duration, Instant};

/// One effect, to be performed in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send an advert now.
    Send(Datagram),
    /// Bring the kernel to a wanted state.
    Kernel(KernelWork),
    /// Tell the operator's side what happened.
    Tell(Notice),
}

/// An instance's number: never reused while the agent runs, kept across reloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u32);

/// A virtual router: an instance's part in one family. What is true of an advert is true of it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouterId {
    /// The instance.
    pub instance: InstanceId,
    /// The family.
    pub family: Family,
}

/// The number of an order; a later order has a greater one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

/// Where protocol 112 is spoken: one raw socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The interface.
    pub link: LinkIndex,
    /// The family.
    pub family: Family,
}

/// One advert to one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Whose advert it is.
    pub instance: InstanceId,
    /// The socket to send it by.
    pub endpoint: Endpoint,
    /// The source address, which must be the interface's own and not a virtual one.
    pub source: IpAddr,
    /// The multicast group or a unicast peer.
    pub destination: IpAddr,
    /// The VRRP message; TTL or hop limit is always 255.
    pub payload: Vec<u8>,
}

/// A wanted state of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelWork {
    /// Which addresses to have and not to have.
    Hold(Hold),
    /// Announce addresses that are there already.
    Announce(Announcement),
    /// What a virtual router's addresses may answer.
    Gate(Gate),
    /// Which socket to have.
    Listen(Listen),
    /// How fast announcements may go out, by link; as fast as they do on links that are not among these.
    Pace(BTreeMap<LinkIndex, Pace>),
    /// Which link of a virtual router's own to have.
    Link(VirtualLink),
}

/// Addresses that an instance wants and does not want. Lists everything not yet known to be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Whose addresses.
    pub instance: InstanceId,
    /// The order's number.
    pub generation: Generation,
    /// To be removed first, if they carry our mark.
    pub remove: Vec<Place>,
    /// To be installed, and announced as soon as each batch is in.
    pub install: Vec<Placement>,
    /// What goes before, and comes after.
    pub paths: Paths,
}

/// Routes and rules that an instance wants and does not want.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Paths {
    /// To be removed before any address is, if they carry our mark.
    pub remove: Vec<PathKey>,
    /// To be put in, in this order, when the addresses are.
    pub install: Vec<Path>,
}

impl Paths {
    /// Whether there is nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.install.is_empty()
    }
}

/// An address on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The link.
    pub link: LinkIndex,
    /// The address with the prefix it is installed with.
    pub net: IpNet,
}

/// An address to be on a link, and what to announce it with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Where.
    pub place: Place,
    /// The Ethernet address that answers for it; none on a link that has none, where nothing is announced.
    pub mac: Option<Mac>,
    /// What it is to be like.
    pub form: Form,
}

impl From<Place> for Placement {
    /// Nothing special, and not to be announced.
    fn from(place: Place) -> Self {
        Self { place, mac: None, form: Form::default() }
    }
}

/// What an address on a link is like, besides being there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Form {
    /// An IPv4 address's label.
    pub label: Option<Label>,
    /// An IPv4 address's scope, as in `rt_scopes`; 0 is global. IPv6 knows it by the address.
    pub scope: u8,
    /// The other end of a point-to-point link.
    pub peer: Option<IpAddr>,
    /// An IPv4 network's broadcast address.
    pub broadcast: Option<Ipv4Addr>,
    /// It brings no route to its network.
    pub routeless: bool,
    /// An IPv6 address that the host may take as a source of its own accord.
    pub preferred: bool,
    /// Once somebody else has removed it, it stays away.
    pub left_alone: bool,
}

/// One burst of gratuitous ARP and unsolicited Neighbor Advertisements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Whose addresses.
    pub instance: InstanceId,
    /// What to announce.
    pub addresses: Vec<Placement>,
    /// How often, one round after the other.
    pub repeat: u32,
    /// The pause between one frame and the next; zero for a burst that takes over.
    pub pace: Duration,
}

/// How fast announcements may go out on a link, whichever burst they belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// What shares the rate.
    pub share: Share,
    /// The time between two frames.
    pub gap: Duration,
}

/// What shares a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Share {
    /// Several links, by the number of the limit.
    Limit(usize),
    /// One link by itself.
    Link(LinkIndex),
}

/// What a virtual router's addresses may answer, installed or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Whose addresses.
    pub router: RouterId,
    /// The order's number.
    pub generation: Generation,
    /// What may pass.
    pub passage: Passage,
    /// How long it may pass, whatever becomes of the agent; none: until an order says otherwise.
    pub lease: Option<Lease>,
    /// All its addresses, each with its link; empty: there is nothing to gate any more.
    pub places: Vec<Place>,
    /// Whether packets for the addresses are for this host. If not, they are refused, whatever may pass: what is sent
    /// *through* it passes, and ARP and Neighbor Discovery do.
    pub accept: bool,
    /// Where its link is the router's own: then that is gated as a whole.
    pub virtual_link: Option<VirtualGate>,
}

/// What more there is to gate if a virtual router has a link of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtualGate {
    /// The link: nothing passes there but what the lease lets pass.
    pub link: LinkIndex,
    /// The interface below and the virtual router's Ethernet address: with no other, that one speaks ARP for the
    /// addresses.
    pub id: VirtualLinkId,
    /// The address by which it asks for neighbours instead, if it has one.
    pub source: Option<IpAddr>,
}

/// Permission to answer that ends by itself unless adverts go out.
///
/// It begins with a term, once; from then on each advert that leaves with a priority other than 0 moves its end, and
/// an order may cut it, never lengthen it. What ran out within a term does not come back within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// When it ends unless another advert goes out.
    pub until: Instant,
    /// Whether it ends then although adverts have moved its end farther: the router is resigning.
    pub cut: bool,
    /// How long after an advert it ends.
    pub extension: Duration,
    /// The virtual router identifier in the adverts that count.
    pub vrid: Vrid,
    /// Where they come from: a container's on the same link are not ours. Of another family than the addresses, if these
    /// are not advertised themselves.
    pub source: IpAddr,
    /// By which link they leave, wherever the addresses are.
    pub link: LinkIndex,
    /// Which time as master it belongs to.
    pub term: u64,
}

/// What a gate lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Everything.
    Open,
    /// IP only: no ARP and no ND for the addresses, so that a successor's answers stand alone.
    FramesOnly,
    /// Nothing.
    Shut,
}

/// What a virtual router's own link is known by, whatever its number and name: the link below it, and its Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtualLinkId {
    /// The interface that it stands on.
    pub below: LinkIndex,
    /// The virtual router's Ethernet address.
    pub mac: Mac,
}

/// A link of a virtual router's own: one to have, as far as nobody else has its name, or not to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualLink {
    /// Which.
    pub id: VirtualLinkId,
    /// The order's number.
    pub generation: Generation,
    /// Its number, if it is there.
    pub there: Option<LinkIndex>,
    /// Whether it has another Ethernet address, for somebody gave it one.
    pub estranged: bool,
    /// How it is to be; none: gone.
    pub wanted: Option<VirtualLinkState>,
}

/// How a virtual router's own link is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualLinkState {
    /// What it is called, at most 15 bytes.
    pub name: String,
    /// Whether it is set up: down, it sends nothing at all, not even for the kernel.
    pub up: bool,
}

/// A socket to have, or, without groups, not to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub endpoint: Endpoint,
    /// The order's number.
    pub generation: Generation,
    /// The multicast groups to be a member of; `None` closes the socket.
    pub groups: Option<Vec<IpAddr>>,
}
