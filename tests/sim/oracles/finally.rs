//! Promises about the end: everything has been quiet for long enough, and the outcome can be worked out from the
//! configuration and the nodes' health alone.

use std::collections::BTreeSet;
use std::net::IpAddr;

use vipd::engine::notice::State;
use vipd::engine::path::PathKey;
use vipd::engine::settings::{Address, Instance, Path, Preempt};
use vipd::net::Priority;

use super::World;
use crate::patience;

/// Looks at all of them.
pub(crate) fn at_the_end(world: &mut World) {
    for (promise, look) in PROMISES {
        if let Some(what) = look(world) {
            return world.breaks(promise, what);
        }
    }
}

type Promise = fn(&World) -> Option<String>;

const PROMISES: &[(&str, Promise)] = &[
    ("the best router holds in the end", the_best_router_holds),
    ("status tells the truth", status_tells_the_truth),
    ("what has stood for its time counts", patience::in_the_end),
    ("in the end a master has its routes and rules, and nobody else any", paths_follow_the_master),
    ("in the end clients reach the holder", clients_reach_the_holder),
];

fn vrids(world: &World) -> Vec<u8> {
    world.nodes[0].settings.instances.iter().map(|i| i.vrid.get()).collect()
}

fn addresses(instance: &Instance) -> impl Iterator<Item = IpAddr> + '_ {
    instance.addresses.iter().map(Address::address)
}

/// Exactly one of those who can holds everything; nobody who preempts has a higher priority than it; the others have
/// nothing.
fn the_best_router_holds(world: &World) -> Option<String> {
    for vrid in vrids(world) {
        if !world.agrees(vrid) || !world.network.is_whole() {
            continue;
        }
        let nodes = 0..world.nodes.len();
        let able: Vec<usize> = nodes.clone().filter(|n| world.is_eligible(*n, vrid)).collect();
        let holds = |node: usize, all: bool| {
            let machine = &world.nodes[node];
            machine.instance(vrid).is_some_and(|i| {
                // Nothing in the kernel shows who is master without addresses.
                if i.addresses.is_empty() {
                    return machine.process.as_ref().and_then(|p| p.state(vrid)) == Some(State::Master);
                }
                let mut there = addresses(i).map(|vip| machine.kernel.answers(vip));
                if all { there.all(|there| there) } else { there.any(|there| there) }
            })
        };
        let holders: Vec<usize> =
            nodes.filter(|n| world.nodes[*n].process.is_some() && holds(*n, false)).collect();
        match (&able[..], &holders[..]) {
            ([], []) => {}
            (_, [holder]) if able.contains(holder) && holds(*holder, true) => {
                if let Some(better) = able.iter().find(|n| preempts(world, **n, *holder, vrid)) {
                    return Some(format!("n{holder} is master of {vrid}, but n{better} is better"));
                }
            }
            _ => return Some(format!("virtual router {vrid} is held by {holders:?}; able are {able:?}")),
        }
    }
    None
}

/// Whether `one` ought to have replaced `holder`.
fn preempts(world: &World, one: usize, holder: usize, vrid: u8) -> bool {
    let instances = (world.nodes[one].instance(vrid), world.nodes[holder].instance(vrid));
    let (Some(ours), Some(theirs)) = instances else { return false };
    let resort = ours.last_resort && world.effective(holder, theirs) == Priority::LAST;
    (resort || ours.preempt != Preempt::Never) && world.effective(one, ours) > world.effective(holder, theirs)
}

/// Status says master where the addresses are, and says of each address whether it is there.
fn status_tells_the_truth(world: &World) -> Option<String> {
    for (node, machine) in world.nodes.iter().enumerate().filter(|(_, machine)| machine.is_awake()) {
        let status = machine.process.as_ref()?.engine.status(world.clock(node));
        for instance in &status.instances {
            let master = instance.state == State::Master;
            if master != instance.routers.iter().all(|r| r.state == State::Master) {
                return Some(format!("n{node}: {} and its routers disagree", instance.name));
            }
            for address in &instance.addresses {
                let there = machine.kernel.ours(address.net.address()).is_some();
                if there != address.installed || there != master {
                    let (name, net) = (&instance.name, address.net);
                    return Some(format!("n{node}: {name} is {}, {net}: {there}", instance.state));
                }
            }
            let due = world.effective(node, machine.instance(instance.vrid.get())?);
            if instance.effective != due {
                return Some(format!("n{node}: {} has priority {}", instance.name, instance.effective));
            }
        }
    }
    None
}

/// What is in the kernel besides addresses is what the masters of a node are configured with, and nothing else.
fn paths_follow_the_master(world: &World) -> Option<String> {
    for (node, machine) in world.nodes.iter().enumerate().filter(|(_, machine)| machine.is_awake()) {
        let status = machine.process.as_ref()?.engine.status(world.clock(node));
        let there: BTreeSet<PathKey> = machine.kernel.paths().into_iter().map(|seen| seen.key).collect();
        let mut wanted = BTreeSet::new();
        for instance in status.instances.iter().filter(|instance| instance.state == State::Master) {
            let settings = machine.instance(instance.vrid.get())?;
            let up = |path: &&Path| path.path.links().all(|name| machine.kernel.is_set_up(name));
            wanted.extend(settings.paths.iter().filter(up).map(|path| path.path.key()));
        }
        if there != wanted {
            return Some(format!("n{node} has {there:?} and not {wanted:?}"));
        }
    }
    None
}

/// Nothing was lost for a while: clients are where the addresses are, if announcements are repeated.
fn clients_reach_the_holder(world: &World) -> Option<String> {
    for (vip, (node, _)) in &world.watch.sole {
        let owner = world.nodes[*node].owner_of(*vip)?;
        let believed = world.client.get(vip);
        if owner.announce.refresh.is_some() && believed.is_some_and(|mac| *mac != world.nodes[*node].mac) {
            return Some(format!("the client believes {believed:?} has {vip}, but n{node} does"));
        }
    }
    None
}
