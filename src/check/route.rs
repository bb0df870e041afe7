//! The `route` kind: a route is there.
//!
//! | setting | default | meaning |
//! |---|---|---|
//! | `route` | required | a network, or `default` |
//! | `table` | `main` | the number of the routing table |
//! | `interface` | any | the one that it has to lead through |
//! | `via` | any | the gateway that it has to lead to |
//!
//! The destination has to be the same, prefix included: a default route is no route to 10.0.0.0/8. It counts if it leads
//! somewhere (`blackhole` and the like do not), and if the kernel does not say that the next hop is dead or its link down.
//! Of a route with several next hops one has to fit.
//!
//! It asks, and does not listen: the kernel reports all routes or none, on a router a million of them, and whoever
//! misses one report has to ask after all. The kernel sends the routes of the one table, and only until one fits.
//!
//! Errors: `no route to 0.0.0.0/0 in table 254 via 192.0.2.1`; `the route to .. is dead or its link is down`.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd as _;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteNextHopFlags, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use socket2::SockRef;

use crate::net::{Family, IpNet};
use crate::reach::blocking::Blocking;
use crate::reach::{Run, described};
use crate::time::Duration;

/// Which route has to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it leads.
    pub to: IpNet,
    /// In which table it stands.
    pub table: u32,
    /// Through which interface it leads.
    pub interface: Option<String>,
    /// To which gateway it leads.
    pub via: Option<IpAddr>,
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in table {}", self.to, self.table)?;
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        self.interface.as_ref().map_or(Ok(()), |interface| write!(f, " through {interface}"))
    }
}

pub(super) struct Probe {
    settings: Settings,
    look: Blocking<io::Result<Found>>,
}

impl Probe {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, look: Blocking::default() }
    }

    pub(super) async fn run(&mut self, run: &mut Run) -> Result<String, String> {
        run.phase = " waiting for the kernel's routes";
        let settings = self.settings.clone();
        let found = self.look.run(move || look(&settings)).await?;
        match found.map_err(|error| format!("cannot ask for routes: {}", described(&error)))? {
            Found::Good => Ok(format!("there is a route to {}", self.settings)),
            Found::Dead => Err(format!("the route to {} is dead or its link is down", self.settings)),
            Found::Nothing => Err(format!("no route to {}", self.settings)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    Nothing,
    Dead,
    Good,
}

/// Looks for the route, and ends as soon as one fits.
fn look(settings: &Settings) -> io::Result<Found> {
    let link = match settings.interface.as_deref().map(if_nametoindex) {
        None => None,
        Some(Ok(index)) => Some(index),
        // An interface that is not there has no routes.
        Some(Err(Errno::ENODEV)) => return Ok(Found::Nothing),
        Some(Err(errno)) => return Err(errno.into()),
    };
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    // Without it every table is sent.
    socket.set_netlink_get_strict_chk(true)?;
    SockRef::from(&socket.as_fd()).set_read_timeout(Some(PATIENCE))?;
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetRoute(question(settings)));
    request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut found = Found::Nothing;
    loop {
        let (bytes, _) = socket.recv_from_full()?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let message =
                NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(io::Error::other)?;
            match &message.payload {
                NetlinkPayload::Done(_) => return Ok(found),
                NetlinkPayload::Error(error) => return refused(&error.to_io()),
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) => {
                    found = found.max(fits(route, settings, link));
                }
                _ => {}
            }
            if found == Found::Good {
                return Ok(found);
            }
            rest = rest.get(aligned(message.header.length)..).unwrap_or_default();
        }
    }
}

/// A table that nobody ever put a route in does not exist.
fn refused(error: &io::Error) -> io::Result<Found> {
    match error.raw_os_error() {
        Some(nix::libc::ENOENT) => Ok(Found::Nothing),
        _ => Err(io::Error::new(error.kind(), error.to_string())),
    }
}

fn question(settings: &Settings) -> RouteMessage {
    let mut question = RouteMessage::default();
    question.header.address_family = family(settings.to.family());
    question.attributes.push(RouteAttribute::Table(settings.table));
    question
}

const fn family(family: Family) -> AddressFamily {
    match family {
        Family::Ipv4 => AddressFamily::Inet,
        Family::Ipv6 => AddressFamily::Inet6,
    }
}

/// The length of a message up to the next.
fn aligned(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX).next_multiple_of(4)
}

/// Whether a route is the one that has to be there.
fn fits(route: &RouteMessage, settings: &Settings, link: Option<u32>) -> Found {
    let header = &route.header;
    let (mut to, mut table) = (None, u32::from(header.table));
    let (mut gateway, mut through, mut several) = (None, None, None);
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = ip(address),
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Gateway(address) => gateway = ip(address),
            RouteAttribute::Via(via) => gateway = next_family(via),
            RouteAttribute::Oif(index) => through = Some(*index),
            RouteAttribute::MultiPath(hops) => several = Some(hops),
            _ => {}
        }
    }
    let own = to.map_or(header.destination_prefix_length == 0, |to| to == settings.to.address());
    let same = own && header.destination_prefix_length == settings.to.prefix();
    let usable = header.kind == RouteType::Unicast && !header.flags.contains(RouteFlags::Cloned);
    if !same || table != settings.table || !usable {
        return Found::Nothing;
    }
    let hop = |gateway: Option<IpAddr>, through: Option<u32>, dead: bool| {
        let leads = settings.via.is_none_or(|via| gateway == Some(via));
        match (leads && link.is_none_or(|link| through == Some(link)), dead) {
            (false, _) => Found::Nothing,
            (true, true) => Found::Dead,
            (true, false) => Found::Good,
        }
    };
    let Some(several) = several else {
        return hop(gateway, through, header.flags.intersects(RouteFlags::Dead | RouteFlags::Linkdown));
    };
    let best = several.iter().map(|one| {
        let gateway = one.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Gateway(address) => ip(address),
            RouteAttribute::Via(via) => next_family(via),
            _ => None,
        });
        let dead = one.flags.intersects(RouteNextHopFlags::Dead | RouteNextHopFlags::Linkdown);
        hop(gateway, Some(one.interface_index), dead)
    });
    best.max().unwrap_or(Found::Nothing)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

/// An IPv4 route by an IPv6 gateway.
fn next_family(via: &RouteVia) -> Option<IpAddr> {
    match via {
        RouteVia::Inet(address) => Some(IpAddr::V4(*address)),
        RouteVia::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

/// The kernel answers at once.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::route::RouteNextHop;

    fn settings(via: Option<&str>) -> Settings {
        let to = "10.0.0.0/8".parse().unwrap();
        Settings { to, table: 254, interface: None, via: via.map(|via| via.parse().unwrap()) }
    }

    fn route(attributes: Vec<RouteAttribute>) -> RouteMessage {
        let mut route = RouteMessage::default();
        route.header.address_family = AddressFamily::Inet;
        route.header.destination_prefix_length = 8;
        route.header.table = 254;
        route.header.kind = RouteType::Unicast;
        route.attributes = attributes;
        route.attributes.push(RouteAttribute::Destination(RouteAddress::Inet([10, 0, 0, 0].into())));
        route
    }

    fn gateway(last: u8) -> RouteAttribute {
        RouteAttribute::Gateway(RouteAddress::Inet([192, 0, 2, last].into()))
    }

    #[test]
    fn a_route_fits_by_its_destination_its_table_and_its_next_hop() {
        let good = route(vec![gateway(1), RouteAttribute::Oif(3)]);
        assert_eq!(fits(&good, &settings(None), None), Found::Good);
        assert_eq!(fits(&good, &settings(Some("192.0.2.1")), Some(3)), Found::Good);
        assert_eq!(fits(&good, &settings(Some("192.0.2.2")), Some(3)), Found::Nothing);
        assert_eq!(fits(&good, &settings(None), Some(4)), Found::Nothing);
        let other = Settings { table: 100, ..settings(None) };
        assert_eq!(fits(&good, &other, None), Found::Nothing);
        let wider = Settings { to: "10.0.0.0/7".parse().unwrap(), ..settings(None) };
        assert_eq!(fits(&good, &wider, None), Found::Nothing);
    }

    #[test]
    fn a_route_that_leads_nowhere_does_not_count() {
        let mut hole = route(Vec::new());
        hole.header.kind = RouteType::BlackHole;
        assert_eq!(fits(&hole, &settings(None), None), Found::Nothing);
        let mut down = route(vec![gateway(1), RouteAttribute::Oif(3)]);
        down.header.flags = RouteFlags::Linkdown;
        assert_eq!(fits(&down, &settings(None), None), Found::Dead);
    }

    #[test]
    fn one_of_several_next_hops_has_to_fit() {
        let hop = |last, index, flags| {
            let mut hop = RouteNextHop::default();
            hop.interface_index = index;
            hop.flags = flags;
            hop.attributes = vec![gateway(last)];
            hop
        };
        let (alive, dead) = (RouteNextHopFlags::empty(), RouteNextHopFlags::Linkdown);
        let two = route(vec![RouteAttribute::MultiPath(vec![hop(1, 3, dead), hop(2, 4, alive)])]);
        assert_eq!(fits(&two, &settings(None), None), Found::Good);
        assert_eq!(fits(&two, &settings(None), Some(3)), Found::Dead);
        assert_eq!(fits(&two, &settings(Some("192.0.2.3")), None), Found::Nothing);
    }

    #[test]
    fn the_kernel_is_asked_for_one_table() {
        // The loopback network is in the table `local` of every namespace whose loopback interface is up.
        let nothing = Settings { to: "198.51.100.7/32".parse().unwrap(), table: 4711, ..settings(None) };
        assert_eq!(look(&nothing).unwrap(), Found::Nothing);
        let nowhere = Settings { interface: Some("vipd-t-none".to_owned()), ..settings(None) };
        assert_eq!(look(&nowhere).unwrap(), Found::Nothing);
    }
}
