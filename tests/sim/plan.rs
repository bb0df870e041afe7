//! What a seed means: the nodes, their settings, the network, and everything that goes wrong and when.

use std::net::IpAddr;

use vipd::engine::settings::{Adverts, Effect, Hmac, Instance, Preempt, Settings, VirtualMac};
use vipd::net::{Family, IpNet, Priority};
use vipd::proto::health::Verdict;
use vipd::time::{Duration, Instant};
use vipd::wire::vrrp::{Authentication, Version};

use crate::incidents;
use crate::network::Quality;
use crate::patience;
use crate::random::Random;
use crate::signatures;
use crate::topology::{self, PROBE, UPLINK_CHECK};

/// Everything that is decided before a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) nodes: Vec<NodePlan>,
    pub(crate) quality: Quality,
    /// What happens to the nodes and the network, by time.
    pub(crate) faults: Vec<(Instant, Fault)>,
    /// The end.
    pub(crate) end: Instant,
}

/// One node.
#[derive(Clone, Debug)]
pub(crate) struct NodePlan {
    pub(crate) settings: Settings,
    /// What the operator configured on its interface.
    pub(crate) own: Vec<IpNet>,
    /// How much earlier it booted.
    pub(crate) uptime: Duration,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The agent starts, unless it runs.
    Start(usize),
    /// The agent is gone from one moment to the next; the kernel keeps what it has.
    Crash(usize),
    /// The agent is told to end.
    Stop(usize),
    /// The agent gets no time any more; nor do its workers, if `true`.
    Freeze(usize, bool),
    /// It gets time again.
    Thaw(usize),
    /// The carrier of an interface.
    Carrier(usize, &'static str, bool),
    /// An interface set up or down.
    Admin(usize, &'static str, bool),
    /// An interface vanishes.
    Vanish(usize, &'static str),
    /// It comes back under another number.
    Appear(usize, &'static str),
    /// What the probe finds from now on.
    Probe(usize, Verdict),
    /// Somebody deletes an address of ours.
    Delete(usize, IpAddr),
    /// Somebody gives the virtual routers' own links another Ethernet address.
    Estrange(usize),
    /// Somebody removes them.
    Unlink(usize),
    /// Somebody puts an address of ours on the interface as his own, or removes it.
    Squat(usize, IpAddr, bool),
    /// The next so many orders for addresses are refused.
    Refuse(usize, u32),
    /// Adverts are refused, or no more.
    Mute(usize, bool),
    /// The gate gets nothing done, because somebody else holds nftables' lock, or again.
    Jam(usize, bool),
    /// One direction of the network is cut or mended; the last place is the client's.
    Cut(usize, usize, bool),
    /// The network falls into two sides; the last place is the client's.
    Part(Vec<bool>),
    /// Nothing of a family passes any more, or all of it again.
    Family(Family, bool),
    /// The network is whole again.
    Heal,
    /// The network loses nothing and keeps order from now on.
    Calm,
    /// The operator steps an instance down.
    StepDown(usize, usize),
    /// The operator takes it back.
    Resume(usize, usize),
    /// The configuration file changes, and the agent, if it runs, reads it.
    Reload(usize, Tweak),
    /// The monitor overflowed: everything is dumped again.
    Dump(usize),
    /// The wall clock of a node is set, to so many milliseconds ahead of the right time.
    Clock(usize, i64),
    /// Somebody sends a node what it has heard before.
    Replay(usize),
}

/// A change of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tweak {
    /// Nothing changes.
    Nothing,
    /// The priority of the instance with this index.
    Priority(usize, u8),
    /// Whether it preempts.
    Preempt(usize, Preempt),
    /// It gets an address.
    Add(usize, IpNet),
    /// It loses one, unless it is the last.
    Remove(usize, IpAddr),
    /// An address moves from one instance to another.
    Move(usize, usize, IpAddr),
    /// Its interval.
    Interval(usize, Duration),
    /// What the probe does to it.
    Effect(usize, Option<Effect>),
    /// Its label.
    Rename(usize, String),
    /// These make a group, and no others do.
    Group(Vec<usize>),
}

impl Tweak {
    /// Applies it to a configuration.
    pub(crate) fn apply(&self, settings: &mut Settings) {
        let mates = match self {
            Self::Priority(at, _) | Self::Preempt(at, _) => topology::mates(settings, *at),
            _ => Vec::new(),
        };
        let instances = &mut settings.instances;
        match self {
            Self::Nothing => {}
            Self::Priority(_, priority) => {
                for at in mates {
                    instances[at].priority = Priority::new(*priority);
                }
            }
            Self::Preempt(_, preempt) => {
                for at in mates {
                    instances[at].preempt = *preempt;
                }
            }
            Self::Add(at, net) => {
                if !instances.iter().flat_map(|i| &i.addresses).any(|a| a.address() == net.address()) {
                    instances[*at].addresses.push((*net).into());
                }
            }
            Self::Remove(at, address) => {
                if instances[*at].addresses.len() > 1 {
                    instances[*at].addresses.retain(|a| a.address() != *address);
                }
            }
            Self::Move(from, to, address) => {
                // Version 2 has no IPv6.
                let fits = address.is_ipv4() || instances[*to].version == Version::V3;
                let found =
                    instances[*from].addresses.iter().position(|a| a.address() == *address).filter(|_| fits);
                if let Some(found) = found.filter(|_| instances[*from].addresses.len() > 1) {
                    let net = instances[*from].addresses.remove(found);
                    instances[*to].addresses.push(net);
                }
            }
            Self::Interval(at, interval) => instances[*at].interval = *interval,
            Self::Effect(at, effect) => {
                let tracks = &mut instances[*at].tracks;
                tracks.retain(|track| track.check != PROBE);
                tracks.extend(effect.map(|effect| topology::track(PROBE, effect)));
            }
            Self::Rename(at, name) => {
                let old = std::mem::replace(&mut instances[*at].name, name.clone());
                let members = settings.groups.iter_mut().flat_map(|group| &mut group.members);
                members.filter(|member| **member == old).for_each(|member| member.clone_from(name));
            }
            Self::Group(members) if members.is_empty() => settings.groups.clear(),
            Self::Group(members) => {
                // What moves together bids together.
                let first = (instances[members[0]].priority, instances[members[0]].preempt);
                for at in members {
                    (instances[*at].priority, instances[*at].preempt) = first;
                }
                let members = members.iter().map(|at| instances[*at].name.clone()).collect();
                settings.groups = vec![topology::group(members)];
            }
        }
    }
}

impl Plan {
    /// Nodes with these instances, which start at once; a network that loses nothing; nothing goes wrong.
    pub(crate) fn quiet(nodes: Vec<Vec<Instance>>, ranks: &[usize], end: Duration) -> Self {
        let starts = (0..nodes.len()).map(|node| (Instant::BOOT, Fault::Start(node))).collect();
        let node = |(at, instances): (usize, Vec<Instance>)| NodePlan {
            settings: topology::settings(instances),
            own: topology::own(at, ranks[at]),
            uptime: Duration::from_secs(1000),
        };
        Self {
            seed: 1,
            nodes: nodes.into_iter().enumerate().map(node).collect(),
            quality: Quality {
                delay: (Duration::from_micros(20), Duration::from_micros(200)),
                loss: 0,
                duplicates: 0,
                reorders: false,
            },
            faults: starts,
            end: Instant::BOOT + end,
        }
    }

    /// The plan of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Random::new(seed, 1);
        let nodes = usize::try_from(random.between(2, 4)).unwrap_or(2);
        let ranks = ranks(&mut random, nodes);
        let instances = usize::try_from(random.between(1, 3)).unwrap_or(1);
        let mut specs: Vec<Spec> = (0..instances).map(|number| Spec::draw(&mut random, number)).collect();
        for spec in specs.iter_mut().filter(|spec| spec.password == Authentication::None) {
            spec.hmac = signatures::draw(seed, spec.number);
        }
        let grouped = instances > 1 && random.chance(400);
        let mut nodes: Vec<NodePlan> = (0..nodes)
            .map(|node| NodePlan {
                settings: node_settings(&mut random, node, &specs, &ranks, grouped),
                own: topology::own(node, ranks[node]),
                uptime: random.duration(Duration::from_secs(1), Duration::from_secs(1_000_000)),
            })
            .collect();
        let quality = quality(&mut random, &nodes);
        let slowest = slowest(&nodes);
        let length = (slowest * 30).clamp(Duration::from_secs(3), Duration::from_secs(40));
        let mut faults = incidents::draw(&mut random, &nodes, length);
        patience::draw(seed, &mut nodes, &mut faults, length);
        faults.extend(signatures::incidents(seed, nodes.len(), &faults, length));
        faults.sort_by_key(|(at, _)| *at);
        let quiet_at = Instant::BOOT + length;
        // Master_Down_Interval, a retry after a refusal, a preempt delay: all of it, twice.
        let muted =
            faults.iter().any(|(_, fault)| matches!(fault, Fault::Mute(_, true) | Fault::Jam(_, true)));
        // What a refused advert, or a gate that does not open, costs; then a refresh of announcements, or a retry.
        let extra = if muted { Duration::from_secs(22) } else { Duration::from_secs(4) };
        let end = quiet_at + slowest * 9 + extra;
        Self { seed, nodes, quality, faults, end }
    }
}

/// The longest interval of all.
pub(crate) fn slowest(nodes: &[NodePlan]) -> Duration {
    let intervals = nodes.iter().flat_map(|node| &node.settings.instances).map(|i| i.interval);
    intervals.max().unwrap_or(Duration::from_secs(1))
}

/// The longest interval of these configurations.
pub(crate) fn slowest_of<'a>(all: impl Iterator<Item = &'a Settings>) -> Duration {
    all.flat_map(|settings| &settings.instances).map(|i| i.interval).max().unwrap_or_default()
}

fn fastest(nodes: &[NodePlan]) -> Duration {
    let intervals = nodes.iter().flat_map(|node| &node.settings.instances).map(|i| i.interval);
    intervals.min().unwrap_or(Duration::from_secs(1))
}

/// The order of the nodes' IPv6 addresses: often that of their IPv4 addresses.
fn ranks(random: &mut Random, nodes: usize) -> Vec<usize> {
    let mut ranks: Vec<usize> = (0..nodes).collect();
    if random.chance(300) {
        for at in (1..nodes).rev() {
            ranks.swap(at, random.index(at + 1));
        }
    }
    ranks
}

fn quality(random: &mut Random, nodes: &[NodePlan]) -> Quality {
    let longest = (fastest(nodes) / 10).min(Duration::from_millis(5));
    let shortest = Duration::from_micros(20);
    let clean = random.chance(500);
    Quality {
        delay: (shortest, random.duration(shortest, longest)),
        loss: if clean { 0 } else { random.pick(&[5, 20, 100, 300]) },
        duplicates: if clean { 0 } else { random.pick(&[0, 20]) },
        reorders: random.chance(300),
    }
}

/// What the nodes have in common about an instance.
#[expect(clippy::struct_excessive_bools, reason = "each is drawn by itself")]
struct Spec {
    number: usize,
    version: Version,
    interval: Duration,
    mixed_intervals: bool,
    addresses: Vec<IpNet>,
    paths: bool,
    unicast: bool,
    preempt: Preempt,
    equal_priorities: bool,
    refresh: Option<Duration>,
    last_resort: bool,
    password: Authentication,
    virtual_mac: Option<VirtualMac>,
    hmac: Option<Hmac>,
}

impl Spec {
    fn draw(random: &mut Random, number: usize) -> Self {
        let version = if random.chance(150) { Version::V2 } else { Version::V3 };
        let families: &[Family] = match version {
            Version::V2 => &[Family::Ipv4],
            Version::V3 => {
                random.pick(&[&[Family::Ipv4][..], &[Family::Ipv6], &[Family::Ipv4, Family::Ipv6]])
            }
        };
        let interval = match version {
            Version::V2 => Duration::from_secs(1),
            Version::V3 => Duration::from_millis(random.pick(&[10, 50, 100, 100, 200, 500, 1000])),
        };
        let mut addresses = Vec::new();
        for family in families {
            for at in 0..usize::try_from(random.between(1, 3)).unwrap_or(1) {
                addresses.push(topology::net(topology::vip(*family, number, at), random.chance(500)));
            }
        }
        let preempt = match random.below(4) {
            0 => Preempt::Never,
            1 => Preempt::After(interval * 5),
            _ => Preempt::After(Duration::ZERO),
        };
        Self {
            number,
            version,
            interval,
            mixed_intervals: version == Version::V3 && random.chance(100),
            addresses,
            paths: number.is_multiple_of(2),
            unicast: random.chance(250),
            preempt,
            equal_priorities: random.chance(150),
            refresh: random.chance(300).then_some(Duration::from_secs(3)),
            last_resort: random.chance(150),
            virtual_mac: random.chance(300).then(|| VirtualMac {
                name: None,
                adverts: random.pick(&[Adverts::Virtual, Adverts::Virtual, Adverts::Interface]),
            }),
            password: if version == Version::V2 && random.chance(500) {
                Authentication::Simple(*b"secret\0\0")
            } else {
                Authentication::None
            },
            hmac: None,
        }
    }

    fn instance(&self, random: &mut Random, node: usize, ranks: &[usize]) -> Instance {
        let mut instance = topology::instance(self.number);
        instance.version = self.version;
        instance.interval = self.interval * if self.mixed_intervals && random.chance(500) { 2 } else { 1 };
        instance.addresses = self.addresses.iter().copied().map(Into::into).collect();
        instance.accept = self.number % 3 != 1;
        instance.paths = if self.paths { topology::paths(self.number) } else { Vec::new() };
        instance.unicast = self.unicast.then(|| topology::unicast(node, ranks));
        instance.preempt = self.preempt;
        let drawn = random.pick(&[10, 50, 100, 101, 150, 200, 254]);
        instance.priority = Priority::new(if self.equal_priorities { 100 } else { drawn });
        instance.announce.refresh = self.refresh;
        instance.authentication = self.password;
        instance.last_resort = self.last_resort;
        instance.virtual_mac.clone_from(&self.virtual_mac);
        instance.hmac.clone_from(&self.hmac);
        if random.chance(500) {
            let effect = if random.chance(500) { Effect::Fault } else { Effect::Weight(-60) };
            instance.tracks.push(topology::track(PROBE, effect));
        }
        if random.chance(200) {
            let effect = if random.chance(500) { Effect::Fault } else { Effect::Weight(30) };
            instance.tracks.push(topology::track(UPLINK_CHECK, effect));
        }
        instance
    }
}

fn node_settings(
    random: &mut Random,
    node: usize,
    specs: &[Spec],
    ranks: &[usize],
    grouped: bool,
) -> Settings {
    let mut instances: Vec<Instance> = specs.iter().map(|spec| spec.instance(random, node, ranks)).collect();
    if grouped {
        // What moves together bids together.
        let first = (instances[0].priority, specs[0].preempt);
        for instance in &mut instances {
            (instance.priority, instance.preempt) = first;
        }
    }
    let names = instances.iter().map(|instance| instance.name.clone()).collect();
    let mut settings = topology::settings(instances);
    settings.groups = if grouped { vec![topology::group(names)] } else { Vec::new() };
    if random.chance(100) {
        settings.startup_delay = random.duration(Duration::ZERO, Duration::from_secs(1));
    }
    settings
}
