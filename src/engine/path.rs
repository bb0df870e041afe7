//! Routes and rules: what a master has in the kernel besides addresses. A link is a name in the configuration and a
//! number in an order; everything else is the same in both.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use crate::net::{Family, IpNet, LinkIndex};

/// A route or a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path<L = LinkIndex> {
    /// Where packets to a network go.
    Route(Route<L>),
    /// Which table is asked.
    Rule(Rule),
}

/// What makes a route or a rule the same one to the kernel, as far as that matters among those with our mark.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathKey {
    /// A route's table, destination, type of service and metric.
    Route {
        /// The table.
        table: u32,
        /// The destination.
        to: IpNet,
        /// The type of service.
        tos: u8,
        /// The metric, as the kernel has it.
        metric: u32,
    },
    /// All of a rule.
    Rule(Rule),
}

/// Where packets to a network go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route<L = LinkIndex> {
    /// The destination.
    pub to: IpNet,
    /// What becomes of the packets.
    pub kind: RouteKind,
    /// The next hops: none for a kind that has none.
    pub hops: Vec<Hop<L>>,
    /// The source that this host takes for packets of its own.
    pub source: Option<IpAddr>,
    /// The table.
    pub table: u32,
    /// Of several, the least is taken; 0 is the kernel's default.
    pub metric: u32,
    /// How far the destination is, as in `rt_scopes`; none: by kind and gateway.
    pub scope: Option<u8>,
    /// The type of service that it is for.
    pub tos: u8,
    /// How attractive an IPv6 router is (RFC 4191): 0 medium, 1 high, 3 low.
    pub preference: Option<u8>,
    /// What connections take from it, by the kernel's numbers (`RTAX_MTU` and so on).
    pub metrics: BTreeMap<u16, u32>,
    /// How connections avoid congestion.
    pub congestion_control: Option<String>,
}

impl<L> Route<L> {
    /// A route by these hops with nothing else said of it.
    pub const fn new(to: IpNet, hops: Vec<Hop<L>>, table: u32) -> Self {
        Self {
            to,
            kind: RouteKind::Unicast,
            hops,
            source: None,
            table,
            metric: 0,
            scope: None,
            tos: 0,
            preference: None,
            metrics: BTreeMap::new(),
            congestion_control: None,
        }
    }
}

/// What becomes of a route's packets, by the kernel's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are ip-route(8)'s")]
#[repr(u8)]
pub enum RouteKind {
    Unicast = 1,
    Local = 2,
    Broadcast = 3,
    Multicast = 5,
    Blackhole = 6,
    Unreachable = 7,
    Prohibit = 8,
    Throw = 9,
}

impl RouteKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Unicast,
        Self::Local,
        Self::Broadcast,
        Self::Multicast,
        Self::Blackhole,
        Self::Unreachable,
        Self::Prohibit,
        Self::Throw,
    ];

    /// As ip-route(8) writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unicast => "unicast",
            Self::Local => "local",
            Self::Broadcast => "broadcast",
            Self::Multicast => "multicast",
            Self::Blackhole => "blackhole",
            Self::Unreachable => "unreachable",
            Self::Prohibit => "prohibit",
            Self::Throw => "throw",
        }
    }

    /// Whether packets go nowhere, so that there is nothing to say of where.
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::Blackhole | Self::Unreachable | Self::Prohibit | Self::Throw)
    }
}

/// A next hop.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hop<L = LinkIndex> {
    /// The gateway; none: the destination is on the link.
    pub via: Option<IpAddr>,
    /// The link; none: the one that the gateway is on.
    pub link: Option<L>,
    /// Its share among several, from 1.
    pub weight: u16,
    /// The gateway is on the link, whatever addresses say.
    pub onlink: bool,
}

/// Which packets a table is asked for, or what else becomes of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// The family.
    pub family: Family,
    /// Rules are gone through from the least.
    pub priority: u32,
    /// What becomes of the packets.
    pub verdict: RuleVerdict,
    /// It is for those that do not match.
    pub inverted: bool,
    /// Where they come from.
    pub from: Option<IpNet>,
    /// Where they go.
    pub to: Option<IpNet>,
    /// Their mark, and the bits of it that count.
    pub mark: Option<(u32, u32)>,
    /// The name of the interface they came in by.
    pub input: Option<String>,
    /// The name of the interface that their socket is bound to.
    pub output: Option<String>,
    /// Their type of service; 0 is any.
    pub tos: u8,
    /// A route of so short a prefix does not count.
    pub suppress_prefix_length: Option<u32>,
    /// A route by an interface of this group does not count.
    pub suppress_group: Option<u32>,
    /// Whose they are, from one user to another.
    pub users: Option<(u32, u32)>,
    /// The table is that of the VRF they are in.
    pub vrf: bool,
    /// Their protocol.
    pub protocol: Option<u8>,
    /// Their source port, from one to another.
    pub source_ports: Option<(u16, u16)>,
    /// Their destination port.
    pub destination_ports: Option<(u16, u16)>,
    /// Their tunnel.
    pub tunnel: Option<u64>,
}

impl Rule {
    /// A rule for all packets of a family.
    pub const fn new(family: Family, priority: u32, verdict: RuleVerdict) -> Self {
        Self {
            family,
            priority,
            verdict,
            inverted: false,
            from: None,
            to: None,
            mark: None,
            input: None,
            output: None,
            tos: 0,
            suppress_prefix_length: None,
            suppress_group: None,
            users: None,
            vrf: false,
            protocol: None,
            source_ports: None,
            destination_ports: None,
            tunnel: None,
        }
    }
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleVerdict {
    /// Asks a table; 0 if that of a VRF.
    Table(u32),
    /// Goes on with the rules of this priority.
    Goto(u32),
    /// Goes on with the next.
    Nothing,
    /// The packet is dropped silently.
    Blackhole,
    /// It is dropped, and its sender told that there is no way.
    Unreachable,
    /// It is dropped, and its sender told that it may not.
    Prohibit,
}

impl<L> Path<L> {
    /// What it is known by.
    pub fn key(&self) -> PathKey {
        match self {
            Self::Route(route) => route.key(),
            Self::Rule(rule) => PathKey::Rule(rule.clone()),
        }
    }

    /// Its family.
    pub const fn family(&self) -> Family {
        match self {
            Self::Route(route) => route.to.family(),
            Self::Rule(rule) => rule.family,
        }
    }
}

impl Path<String> {
    /// The names of the links that it needs.
    pub fn links(&self) -> impl Iterator<Item = &str> {
        let hops = match self {
            Self::Route(route) => route.hops.as_slice(),
            Self::Rule(_) => &[],
        };
        hops.iter().filter_map(|hop| hop.link.as_deref())
    }

    /// The same with numbers, or the name of a link that is not there.
    pub fn on(&self, find: impl Fn(&str) -> Option<LinkIndex>) -> Result<Path, String> {
        let route = match self {
            Self::Rule(rule) => return Ok(Path::Rule(rule.clone())),
            Self::Route(route) => route,
        };
        let hop = |hop: &Hop<String>| {
            let find = |name: &String| find(name).ok_or_else(|| name.clone());
            let link = hop.link.as_ref().map(find).transpose()?;
            Ok(Hop { via: hop.via, link, weight: hop.weight, onlink: hop.onlink })
        };
        Ok(Path::Route(Route {
            hops: route.hops.iter().map(hop).collect::<Result<_, String>>()?,
            to: route.to,
            kind: route.kind,
            source: route.source,
            table: route.table,
            metric: route.metric,
            scope: route.scope,
            tos: route.tos,
            preference: route.preference,
            metrics: route.metrics.clone(),
            congestion_control: route.congestion_control.clone(),
        }))
    }
}

impl<L> Route<L> {
    /// What it is known by.
    pub fn key(&self) -> PathKey {
        let metric = match (self.to.family(), self.metric) {
            (Family::Ipv6, 0) => IPV6_METRIC,
            (_, metric) => metric,
        };
        PathKey::Route { table: self.table, to: self.to, tos: self.tos, metric }
    }
}

impl Route {
    /// Whether this, as ordered, is what the kernel says is there: it adds what was left open, and the rest is too small
    /// a difference to take a route away for.
    pub fn agrees(&self, there: &Self) -> bool {
        let hop = |(ours, there): (&Hop, &Hop)| {
            ours.via == there.via && ours.link.is_none_or(|link| there.link == Some(link))
        };
        let refuses = self.kind.is_refusal();
        self.kind == there.kind
            && self.source == there.source
            && (refuses || self.hops.len() == there.hops.len() && self.hops.iter().zip(&there.hops).all(hop))
    }
}

/// IPv6's metric where none is given (`IP6_RT_PRIO_USER`).
pub const IPV6_METRIC: u32 = 1024;
/// The table `main`.
pub const MAIN_TABLE: u32 = 254;

impl PathKey {
    /// Its family.
    pub const fn family(&self) -> Family {
        match self {
            Self::Route { to, .. } => to.family(),
            Self::Rule(rule) => rule.family,
        }
    }
}

fn network(net: IpNet) -> String {
    match net.prefix() {
        0 => String::from(if net.family() == Family::Ipv4 { "default" } else { "default (IPv6)" }),
        _ => alloc::format!("{net}"),
    }
}

impl<L: fmt::Display> fmt::Display for Path<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(route) => route.fmt(f),
            Self::Rule(rule) => rule.fmt(f),
        }
    }
}

impl<L: fmt::Display> fmt::Display for Route<L> {
    /// In ip-route(8)'s words, as far as they tell it from another.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("route ")?;
        if self.kind != RouteKind::Unicast {
            write!(f, "{} ", self.kind.as_str())?;
        }
        f.write_str(&network(self.to))?;
        for hop in &self.hops {
            if let Some(via) = hop.via {
                write!(f, " via {via}")?;
            }
            if let Some(link) = &hop.link {
                write!(f, " on {link}")?;
            }
        }
        if self.table != MAIN_TABLE {
            write!(f, " in table {}", self.table)?;
        }
        if self.metric != 0 {
            write!(f, " metric {}", self.metric)?;
        }
        Ok(())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rule {}:", self.family, self.priority)?;
        for (word, net) in [("from", self.from), ("to", self.to)] {
            if let Some(net) = net {
                write!(f, " {word} {}", network(net))?;
            }
        }
        match self.verdict {
            RuleVerdict::Table(_) if self.vrf => f.write_str(" table of the VRF"),
            RuleVerdict::Table(table) => write!(f, " table {table}"),
            RuleVerdict::Goto(priority) => write!(f, " goto {priority}"),
            RuleVerdict::Nothing => f.write_str(" nop"),
            RuleVerdict::Blackhole => f.write_str(" blackhole"),
            RuleVerdict::Unreachable => f.write_str(" unreachable"),
            RuleVerdict::Prohibit => f.write_str(" prohibit"),
        }
    }
}

impl fmt::Display for PathKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => rule.fmt(f),
            Self::Route { table, to, metric, .. } => {
                write!(f, "route {} in table {table} metric {metric}", network(*to))
            }
        }
    }
}
