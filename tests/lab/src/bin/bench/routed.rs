//! A master that is cut off, with a thousand addresses, a hundred routes and a hundred rules: when the last of all is there.
//!
//! keepalived puts everything in and then announces, vipd announces each batch of addresses before it puts in the
//! routes; so what counts is when both are done with both.

use std::io::IoSliceMut;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lab::{Host, Kind, Node, Router, Worker, until, wait};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvmsg, setsockopt,
    socket, sockopt,
};

use crate::bed::{Bed, SOON, phase};
use crate::cut::{BLOCK, INTERVAL, cut, thousand_addresses};
use lab::table::{Table, Target};

/// So many routes, and so many rules.
const EACH: u32 = 100;
/// The routing table that the routes are in and the rules are about.
const TABLE: u8 = 100;

fn node(bed: &Bed, priority: u8, addresses: &[IpAddr]) -> Node {
    let via = bed.client.ipv4();
    let router = Router::new("web", 51, priority, &format!("{}/32", addresses[0])).every(100);
    let router = addresses[1..].iter().fold(router, |router, address| router.and(&format!("{address}/32")));
    let written = |line: fn(u32, IpAddr, IpAddr) -> String, between: &str| -> String {
        let lines = (0..EACH).zip(addresses).map(|(n, address)| line(n, *address, via.into()));
        lines.collect::<Vec<_>>().join(between)
    };
    let ours = [
        written(
            |n, _, via| format!("{{ to: 198.19.{n}.0/24, via: {via}, interface: eth0, table: {TABLE} }}"),
            ", ",
        ),
        written(|n, from, _| format!("{{ priority: {}, from: {from}/32, table: {TABLE} }}", 1000 + n), ", "),
    ];
    let theirs = [
        written(|n, _, via| format!("198.19.{n}.0/24 via {via} dev eth0 table {TABLE}"), "\n    "),
        written(|n, from, _| format!("from {from}/32 table {TABLE} priority {}", 1000 + n), "\n    "),
    ];
    router
        .vipd(&format!("routes: [{}]\n    rules: [{}]", ours[0], ours[1]))
        .keepalived(&format!("virtual_routes {{\n    {}\n  }}", theirs[0]))
        .keepalived(&format!("virtual_rules {{\n    {}\n  }}", theirs[1]))
        .into()
}

/// Cuts lb1 off `rounds` times with each.
pub(crate) fn measure(bed: &Bed, kinds: &[Kind], rounds: usize, table: &mut Table) {
    let addresses = thousand_addresses();
    let node = |priority| node(bed, priority, &addresses);
    let all = 2 * usize::try_from(EACH).expect("it is small");
    let limit = node(100).routers[0].master_down();
    let settle = || {
        bed.settle(&addresses);
        until("lb1 has the routes and rules, lb2 has none", SOON, || {
            (there(&bed.lb1) == all && there(&bed.lb2) == 0).then_some(())
        });
    };
    for block in 0..rounds.div_ceil(BLOCK) {
        for kind in kinds {
            let pair = bed.pair(kind, node);
            for round in block * BLOCK..rounds.min((block + 1) * BLOCK) {
                settle();
                bed.sniffer.clear();
                let additions = Additions::on(&bed.lb2);
                bed.settle(&addresses);
                phase(round, INTERVAL);
                let takeover = cut(bed, &addresses, limit);
                let last = until("lb2 has the routes and rules", SOON, || {
                    let moments = additions.moments();
                    (moments.len() >= all).then(|| moments.last().copied()).flatten()
                });
                table.add(ANNOUNCED, "ms", Target::Rival, kind.name(), takeover.over(takeover.last));
                table.add(ALL, "ms", Target::Rival, kind.name(), takeover.over(last.max(takeover.last)));
                bed.lb1.heal();
            }
            settle();
            pair.stop();
        }
    }
}

const ANNOUNCED: &str = "1,000 addresses with 100 routes and 100 rules: last gratuitous ARP over the limit";
const ALL: &str = "1,000 addresses with 100 routes and 100 rules: the last of all in the kernel and announced, over the limit";

/// How many of the routes and rules a host has.
fn there(host: &Host) -> usize {
    let table = TABLE.to_string();
    // Without a route there is no table.
    let (_, routes, _) = host.try_run("ip", &["route", "show", "table", &table]);
    let rules = host.run("ip", &["rule", "show"]);
    let rules = rules.lines().filter(|line| line.contains(&format!("lookup {table}")));
    routes.lines().count() + rules.count()
}

/// When a host's kernel said of each route and rule of the table that it is there.
struct Additions {
    moments: Arc<Mutex<Vec<u64>>>,
    _worker: Worker,
}

/// `RTMGRP_IPV4_ROUTE` and `RTMGRP_IPV4_RULE`.
const GROUPS: u32 = 0x40 | 0x80;
const RTM_NEWROUTE: u16 = 24;
const RTM_NEWRULE: u16 = 32;

impl Additions {
    fn on(host: &Host) -> Self {
        let socket = host.inside(open);
        let moments = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&moments);
        let mut buffer = vec![0; 32 << 10];
        let worker = Worker::repeat("additions", move || {
            // Being woken by each would cost the agent's processor time; half a millisecond is close enough.
            wait::observe(Duration::from_micros(500));
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let mut found = 0;
            while let Ok(message) =
                recvmsg::<NetlinkAddr>(socket.as_raw_fd(), &mut parts, None, MsgFlags::MSG_DONTWAIT)
            {
                found += message.iovs().map(additions).sum::<usize>();
            }
            let now = lab::now();
            let mut into = into.lock().unwrap_or_else(PoisonError::into_inner);
            into.extend(std::iter::repeat_n(now, found));
        });
        Self { moments, _worker: worker }
    }

    fn moments(&self) -> Vec<u64> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A socket that hears of routes and rules in the network of the calling thread.
fn open() -> OwnedFd {
    let (family, kind) = (AddressFamily::Netlink, SockType::Raw);
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)
        .expect("open a netlink socket");
    if setsockopt(&socket, sockopt::RcvBufForce, &(16 << 20)).is_err() {
        setsockopt(&socket, sockopt::RcvBuf, &(4 << 20)).expect("enlarge the receive buffer");
    }
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS)).expect("join the groups");
    socket
}

/// How many messages say that a route or a rule of the table is there.
fn additions(mut bytes: &[u8]) -> usize {
    let mut found = 0;
    // The netlink header, and after it the first bytes of what a route and a rule begin with alike.
    while let Some(&[l0, l1, l2, l3, k0, k1, _, _, _, _, _, _, _, _, _, _, _, _, _, _, table]) =
        bytes.first_chunk::<21>()
    {
        let kind = u16::from_ne_bytes([k0, k1]);
        found += usize::from(table == TABLE && (kind == RTM_NEWROUTE || kind == RTM_NEWRULE));
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).expect("a message is short");
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}
