//! What the simulated agents promise, one promise a function. They look at the fake kernels, the network and what
//! the engine says of itself; none of them knows how the engine works.
//!
//! | file | when its promises are looked at |
//! |---|---|
//! | `standing` | all the time |
//! | `moments` | at an advert, an order, a transition, a reload, the end of a turn or of a process |
//! | `finally` | when everything has been quiet for long enough |
//!
//! Every promise has a bound, and the bounds are here. A node is *upset* by a fault, a command, a change of its
//! checks; a direction of the network is by the loss of a frame. What a promise allows counts from the last of those.

mod finally;
mod moments;
mod standing;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use vipd::engine::notice::State;
use vipd::engine::settings::{Address, Effect, Instance};
use vipd::net::Priority;
use vipd::proto::health::Verdict;
use vipd::time::{Duration, Instant};

pub(crate) use finally::at_the_end;
pub(crate) use moments::{advert, end, frame, order, reload, told, transition, turn};
pub(crate) use standing::standing;

use crate::kernel::UPLINK;
use crate::plan::slowest_of;
use crate::topology::PROBE;
use crate::workers::{BATCH, LONGEST_STEP};
use crate::world::{LONGEST_LATENCY, LONGEST_MAIL, World};

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) at: Instant,
    pub(crate) promise: &'static str,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}: {}", self.at, self.promise, self.what)
    }
}

impl World {
    /// From an event at one node until another node has read of it and its gate is set.
    pub(crate) fn reaction(&self) -> Duration {
        self.plan.quality.delay.1 * 2 + LONGEST_LATENCY * 3 + LONGEST_STEP
    }

    /// The same, until all addresses are in or out.
    pub(crate) fn writing(&self) -> Duration {
        let instances = self.nodes[0].settings.instances.len();
        let addresses: usize = self.nodes[0].settings.instances.iter().map(|i| i.addresses.len()).sum();
        let steps = u32::try_from(2 + 2 * addresses.div_ceil(BATCH) + 2 * instances).unwrap_or(u32::MAX);
        // Addresses go in once their gate is open.
        let gate = LONGEST_STEP + LONGEST_MAIL + LONGEST_LATENCY;
        self.reaction() + gate + LONGEST_MAIL * 2 + LONGEST_LATENCY * 2 + LONGEST_STEP * steps
    }

    /// The longest interval that any node has for a virtual router, or for what moves with it.
    pub(crate) fn interval(&self, vrid: u8) -> Duration {
        let all = self.nodes.iter().flat_map(|node| node.together(vrid)).map(|i| i.interval);
        all.max().unwrap_or_else(|| slowest_of(self.nodes.iter().map(|n| &n.settings)))
    }

    /// The longest that a dead master may go unnoticed: three intervals and `Skew_Time`, which in version 2 is up to a
    /// second whatever the interval.
    pub(crate) fn master_down(&self, vrid: u8) -> Duration {
        self.interval(vrid) * 3 + self.skew(vrid)
    }

    /// How much longer than [`Self::master_down`] an address may be dark because nodes try in vain whose gates do not
    /// open: each its lease, until the next one's `Skew_Time` is over.
    pub(crate) fn vain_attempts(&self, vrid: u8) -> Duration {
        let vain = |node: &usize| self.nodes[*node].jammed || self.watch.stuck[*node] > self.now;
        let vain = (0..self.nodes.len()).filter(vain).count();
        (self.interval(vrid) * 3 + self.skew(vrid) + self.reaction())
            * u32::try_from(vain).unwrap_or(u32::MAX)
    }

    /// The longest `Skew_Time`.
    pub(crate) fn skew(&self, vrid: u8) -> Duration {
        self.interval(vrid)
    }

    /// Whether all nodes that run are configured alike as to a virtual router's addresses.
    pub(crate) fn agrees(&self, vrid: u8) -> bool {
        let mut all = self.nodes.iter().filter(|n| n.process.is_some()).map(|node| {
            let mut addresses: Vec<IpAddr> = node
                .instance(vrid)
                .map(|i| i.addresses.iter().map(Address::address).collect())
                .unwrap_or_default();
            addresses.sort_unstable();
            addresses
        });
        let first = all.next();
        all.all(|other| Some(&other) == first.as_ref())
    }

    /// The virtual router that an address belongs to, on any node.
    pub(crate) fn vrid_of(&self, address: IpAddr) -> Option<u8> {
        self.nodes.iter().find_map(|node| node.owner_of(address)).map(|i| i.vrid.get())
    }

    /// Whether a node heard a better advert in this moment, for a virtual router or for what moves with it.
    pub(crate) fn is_beaten(&self, node: usize, vrid: u8) -> bool {
        let together = self.nodes[node].together(vrid);
        let beaten = |vrid: u8| self.watch.beaten.get(&(node, vrid)) == Some(&self.now);
        beaten(vrid) || together.iter().any(|mate| beaten(mate.vrid.get()))
    }

    /// Every virtual address, with its virtual router.
    pub(crate) fn vips(&self) -> Vec<(IpAddr, u8)> {
        let mut all: Vec<(IpAddr, u8)> = self
            .nodes
            .iter()
            .flat_map(|node| &node.settings.instances)
            .flat_map(|i| i.addresses.iter().map(|net| (net.address(), i.vrid.get())))
            .collect();
        all.sort_unstable();
        all.dedup_by_key(|(address, _)| *address);
        all
    }

    /// Whether a node could be master: its agent runs and gets time, its link is up, its checks are, nobody
    /// has its addresses, and its adverts go out.
    pub(crate) fn is_eligible(&self, node: usize, vrid: u8) -> bool {
        let machine = &self.nodes[node];
        let together = machine.together(vrid);
        // It has tried again, and its gate opened.
        let holds = machine.process.as_ref().is_some_and(|p| p.state(vrid) == Some(State::Master));
        let started = self.watch.upset[node] <= self.now;
        let squatted = |a: &Address| machine.kernel.is_squatted(a.address());
        started
            && machine.serves()
            && machine.kernel.lan().is_some()
            && !machine.kernel.mute
            && !machine.jammed
            && (self.watch.stuck[node] <= self.now || holds)
            && !together.is_empty()
            && !together.iter().flat_map(|instance| &instance.addresses).any(squatted)
            && !together.first().is_some_and(|instance| self.is_faulty(node, instance))
    }

    /// Whether a check that an instance, or what moves with it, tracks with `fault` is down.
    pub(crate) fn is_faulty(&self, node: usize, instance: &Instance) -> bool {
        let together = self.nodes[node].together(instance.vrid.get());
        let resorts = together.iter().all(|instance| instance.last_resort);
        !resorts && together.into_iter().any(|instance| self.is_faulty_itself(node, instance))
    }

    /// Whether it would be a fault, but is a last resort.
    pub(crate) fn is_resort(&self, node: usize, instance: &Instance) -> bool {
        let together = self.nodes[node].together(instance.vrid.get());
        let resorts = together.iter().all(|instance| instance.last_resort);
        resorts && together.into_iter().any(|instance| self.is_faulty_itself(node, instance))
    }

    fn is_faulty_itself(&self, node: usize, instance: &Instance) -> bool {
        let mut tracks = instance.tracks.iter();
        tracks.any(|track| track.effect == Effect::Fault && !self.is_up(node, &track.check))
    }

    /// What a check of a node would say.
    fn is_up(&self, node: usize, check: &str) -> bool {
        let machine = &self.nodes[node];
        if check == PROBE {
            return machine.health.get(check) == Some(&Verdict::Up);
        }
        machine.kernel.link(UPLINK).is_some_and(|link| link.up)
    }

    /// The priority that an instance of a node ought to have.
    pub(crate) fn effective(&self, node: usize, instance: &Instance) -> Priority {
        let process = self.nodes[node].process.as_ref();
        if process.is_some_and(|p| p.stepped_down.contains(&instance.vrid.get()))
            || self.is_resort(node, instance)
        {
            return Priority::LAST;
        }
        let weight = |effect: Effect, up: bool| match effect {
            Effect::Weight(weight) if (weight < 0) != up => i32::from(weight),
            // No seed has the last three.
            Effect::Weight(_)
            | Effect::Fault
            | Effect::ReversedWeight(_)
            | Effect::Multiply(_)
            | Effect::FaultWhileUp => 0,
        };
        // What bears on one bears on all, and each check once, as it weighs most.
        let mut weights: BTreeMap<&str, i32> = BTreeMap::new();
        let together = self.nodes[node].together(instance.vrid.get());
        for track in together.into_iter().flat_map(|instance| &instance.tracks) {
            let known = weights.entry(&track.check).or_default();
            let weight = weight(track.effect, self.is_up(node, &track.check));
            *known = if weight.abs() > known.abs() { weight } else { *known };
        }
        let moved = i32::from(instance.priority.get()) + weights.values().sum::<i32>();
        Priority::new(u8::try_from(moved.clamp(1, 254)).unwrap_or(1))
    }

    /// When the way between two nodes was last lossy, in either direction.
    fn lossy(&self, one: usize, other: usize) -> Instant {
        self.watch.lossy[one][other].max(self.watch.lossy[other][one])
    }

    /// Whether frames pass between two nodes, in both directions.
    fn connected(&self, one: usize, other: usize) -> bool {
        !self.network.is_cut(one, other) && !self.network.is_cut(other, one)
    }
}
