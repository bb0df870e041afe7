//! Promises that hold at every moment.

use std::collections::BTreeMap;
use std::net::IpAddr;

use vipd::engine::notice::State;
use vipd::engine::settings::Address;
use vipd::net::LinkIndex;
use vipd::time::{Duration, Instant};

use super::World;
use crate::node::Node;
use crate::plan::slowest_of;

/// Looks at all of them.
pub(crate) fn standing(world: &mut World) {
    let dirty = std::mem::take(&mut world.watch.dirty);
    if dirty {
        observe(world);
    }
    if !dirty && world.now.since(world.watch.looked) < EVERY {
        return;
    }
    world.watch.looked = world.now;
    for (promise, look) in PROMISES {
        if let Some(what) = look(world) {
            return world.breaks(promise, what);
        }
    }
}

type Promise = fn(&mut World) -> Option<String>;

const PROMISES: &[(&str, Promise)] = &[
    ("at most one node answers for an address", at_most_one_node_answers),
    ("an address is dark no longer than Master_Down_Interval", an_address_is_not_dark_for_long),
    ("a resignation is followed within Skew_Time", a_resignation_is_followed),
    ("every take is announced", every_take_is_announced),
    ("clients follow the holder", clients_follow_the_holder),
    ("a node that is not master holds nothing", only_a_master_holds),
    ("a node whose check is down holds nothing", only_the_healthy_hold),
    ("packets for the addresses are refused where that was asked for", packets_are_refused),
    ("families move together", families_move_together),
    ("only a master sends with a virtual Ethernet address", only_a_master_sends),
    ("a link of a virtual router's own is down where nobody is master", own_links_are_down),
    (
        "a link of a virtual router's own has the virtual router's Ethernet address",
        own_links_have_their_own_address,
    ),
    ("a stop ends in time", a_stop_ends_in_time),
    ("the operator's addresses stay", the_operators_addresses_stay),
];

/// How often durations are looked at.
const EVERY: Duration = Duration::from_millis(1);

/// Notes who answers and who holds.
fn observe(world: &mut World) {
    let now = world.now;
    let mut vips: Vec<IpAddr> = world.vips().into_iter().map(|(vip, _)| vip).collect();
    let removed: Vec<IpAddr> =
        world.watch.present.keys().filter(|vip| !vips.contains(vip)).copied().collect();
    vips.extend(removed);
    for vip in vips {
        let nodes = world.nodes.len();
        let mut answers = world.watch.answers.remove(&vip).unwrap_or_else(|| vec![None; nodes]);
        let mut present = world.watch.present.remove(&vip).unwrap_or_else(|| vec![None; nodes]);
        for (node, machine) in world.nodes.iter().enumerate() {
            let note = |since: &mut Option<Instant>, is: bool| *since = is.then(|| since.unwrap_or(now));
            // Whether its agent lives is nothing to whoever asks.
            note(&mut answers[node], machine.kernel.answers(vip));
            note(&mut present[node], machine.kernel.ours(vip).is_some());
        }
        if let Some(mac) = world.client.get(&vip) {
            let reaches = |(at, node): (usize, &Node)| {
                node.mac == *mac && node.kernel.serves(vip) && world.connected(at, nodes)
            };
            let reached = world.nodes.iter().enumerate().any(reaches);
            world.watch.reaches(now, vip, reached);
        }
        let holders: Vec<usize> = (0..nodes).filter(|n| answers[*n].is_some()).collect();
        let awake = holders.iter().any(|node| world.nodes[*node].is_awake());
        if awake {
            world.watch.dark.remove(&vip);
        } else {
            world.watch.dark.entry(vip).or_insert(now);
        }
        match holders[..] {
            [node] if awake => {
                let sole = world.watch.sole.entry(vip).or_insert((node, now));
                if sole.0 != node {
                    *sole = (node, now);
                }
            }
            _ => drop(world.watch.sole.remove(&vip)),
        }
        world.watch.answers.insert(vip, answers);
        world.watch.present.insert(vip, present);
    }
}

/// The kernel says something on a link that is up and open even if nobody asks it to, and a switch takes it for the
/// master's. Whose agent does not run is silent when its lease is over, as its addresses are.
fn only_a_master_sends(world: &mut World) -> Option<String> {
    let idle = std::mem::take(&mut world.watch.idle_links);
    let sends = |(node, link): &(usize, LinkIndex)| world.nodes[*node].kernel.sends(*link);
    let late = |(link, since): (&(usize, LinkIndex), &Instant)| {
        let start = (*since).max(world.watch.upset[link.0]);
        (world.now > start + idle_bound(world) && sends(link)).then_some((*link, *since))
    };
    let found = idle.iter().find_map(late);
    world.watch.idle_links = idle;
    found.map(|((node, link), since)| format!("n{node} sends on {link}, not master since {since:?}"))
}

fn own_links_have_their_own_address(world: &mut World) -> Option<String> {
    let mut strange = BTreeMap::new();
    let mut violation = None;
    for (node, machine) in world.nodes.iter().enumerate().filter(|(_, machine)| machine.is_awake()) {
        for (link, _) in machine.kernel.virtual_links() {
            if link.mac == link.virtual_link.map(|own| own.mac) {
                continue;
            }
            let since = world.watch.strange_links.get(&(node, link.index)).copied().unwrap_or(world.now);
            strange.insert((node, link.index), since);
            if world.now > since.max(world.watch.upset[node]) + world.writing() {
                violation = Some(format!("n{node}: {} has {:?} since {since:?}", link.name, link.mac));
            }
        }
    }
    world.watch.strange_links = strange;
    violation
}

/// How long a node that is not master any more may have a link of a virtual router's own: a hand-over is over by then,
/// even with nobody to hand over to.
fn idle_bound(world: &World) -> Duration {
    let skew = slowest_of(world.nodes.iter().map(|n| &n.settings)).max(Duration::from_secs(1));
    skew + HANDOVER + world.writing()
}

/// Packets for the addresses of an instance that takes none in are refused wherever they answer.
fn packets_are_refused(world: &mut World) -> Option<String> {
    let all = world.nodes.iter().enumerate();
    let mut settled = all.filter(|(node, _)| world.now > world.watch.upset[*node] + world.writing());
    settled.find_map(|(node, machine)| {
        let refusing = machine.settings.instances.iter().filter(|instance| !instance.accept);
        let mut addresses = refusing.flat_map(|instance| &instance.addresses).map(Address::address);
        let taken_in = addresses.find(|address| machine.kernel.gates.accept(*address))?;
        Some(format!("n{node} takes in packets for {taken_in}"))
    })
}

fn own_links_are_down(world: &mut World) -> Option<String> {
    let mut idle = BTreeMap::new();
    let mut violation = None;
    for (node, machine) in world.nodes.iter().enumerate().filter(|(_, machine)| machine.is_awake()) {
        for (link, _) in machine.kernel.virtual_links().filter(|(_, up)| *up) {
            let vrid = link.virtual_link.map_or(0, |own| own.mac.0[5]);
            if machine.process.as_ref().and_then(|p| p.state(vrid)) == Some(State::Master) {
                continue;
            }
            let since = world.watch.idle_links.get(&(node, link.index)).copied().unwrap_or(world.now);
            idle.insert((node, link.index), since);
            if world.now > since.max(world.watch.upset[node]) + idle_bound(world) {
                violation = Some(format!("n{node}: {} is up since {since:?}", link.name));
            }
        }
    }
    world.watch.idle_links = idle;
    violation
}

/// Among nodes that hear each other, at most one answers, be its agent awake, frozen or dead. Allowed: one reaction at a
/// takeover by preemption, and one advert interval more after anything was lost between them. One that was about to be
/// preempted when it died answers until its lease is over.
fn at_most_one_node_answers(world: &mut World) -> Option<String> {
    for (vip, answers) in &world.watch.answers {
        let holders: Vec<usize> = (0..answers.len()).filter(|n| answers[*n].is_some()).collect();
        for (at, &one) in holders.iter().enumerate() {
            for &other in &holders[at + 1..] {
                let Some(vrid) = world.vrid_of(*vip) else { continue };
                if !world.connected(one, other) || !world.agrees(vrid) {
                    continue;
                }
                let awake = world.nodes[one].is_awake() && world.nodes[other].is_awake();
                let lease = if awake { Duration::ZERO } else { world.interval(vrid) * 3 };
                let upset = world.watch.upset[one].max(world.watch.upset[other]);
                let since = answers[one].max(answers[other]).unwrap_or_default();
                let start = since.max(world.lossy(one, other).max(upset) + world.interval(vrid));
                // A node that has just started may find addresses that its predecessor left.
                let bound = if upset > since { world.writing() } else { world.reaction() };
                // What is handed over goes on being answered for where the gate does not shut.
                let jammed = world.nodes[one].jammed || world.nodes[other].jammed;
                let bound = if jammed { bound + HANDOVER } else { bound };
                if world.now > start + bound + lease {
                    return Some(format!("n{one} and n{other} both answer for {vip} since {since:?}"));
                }
            }
        }
    }
    None
}

/// If some node could serve an address, one does, `Master_Down_Interval` after the last fault at the latest. One whose
/// gate does not open keeps the others away for as long as its lease would be.
fn an_address_is_not_dark_for_long(world: &mut World) -> Option<String> {
    for (vip, since) in &world.watch.dark {
        let Some(vrid) = world.vrid_of(*vip) else { continue };
        if world.now.since(*since) <= world.master_down(vrid) {
            continue;
        }
        let able = |node: usize| {
            world.is_eligible(node, vrid)
                && world.nodes[node].owner_of(*vip).is_some_and(|i| i.vrid.get() == vrid)
        };
        if !world.agrees(vrid) || !(0..world.nodes.len()).any(able) {
            continue;
        }
        let start = (*since).max(world.watch.last_upset());
        if world.now > start + world.master_down(vrid) + world.vain_attempts(vrid) + world.writing() {
            return Some(format!("nobody answers for {vip} since {since:?}"));
        }
    }
    None
}

/// When a master resigned and another router was there, that one holds the addresses within `Skew_Time`; later only if
/// one whose gate does not open came first.
fn a_resignation_is_followed(world: &mut World) -> Option<String> {
    let resigned: Vec<(u8, (usize, Instant))> =
        world.watch.resigned.iter().map(|(vrid, resigned)| (*vrid, *resigned)).collect();
    for (vrid, (from, at)) in resigned {
        let others: Vec<usize> = (0..world.nodes.len()).filter(|n| *n != from).collect();
        let vips = world.vips().into_iter().filter(|(_, of)| *of == vrid).map(|(vip, _)| vip);
        let followed = |node: usize| {
            vips.clone().all(|vip| world.watch.answers.get(&vip).is_some_and(|a| a[node].is_some()))
        };
        let upset = others.iter().any(|n| world.watch.upset[*n] >= at)
            || others.iter().any(|n| world.watch.lossy[from][*n] >= at)
            || !world.agrees(vrid)
            || !others.iter().any(|n| is_listening(world, *n, vrid, at) && world.connected(from, *n));
        let again = world.nodes[from].process.as_ref().is_some_and(|p| p.state(vrid) == Some(State::Master));
        if upset || again || others.iter().any(|n| followed(*n)) {
            world.watch.resigned.remove(&vrid);
        } else if world.now > at + world.skew(vrid) + world.vain_attempts(vrid) + world.writing() {
            return Some(format!(
                "nobody followed n{from} as virtual router {vrid}, which resigned at {at:?}"
            ));
        }
    }
    None
}

/// Whether a node was listening as a backup when a master resigned, for long enough to have heard of one in each family:
/// it waits for the word of all, and a family that a reload added has none yet.
fn is_listening(world: &World, node: usize, vrid: u8, at: Instant) -> bool {
    let machine = &world.nodes[node];
    let standing = machine.process.as_ref().and_then(|p| p.standing.get(&vrid));
    // One last resort does not follow another.
    let resort = machine.instance(vrid).is_some_and(|instance| world.is_resort(node, instance));
    world.is_eligible(node, vrid)
        && !resort
        && standing.is_some_and(|s| match s.state {
            State::Backup => machine.moment(s.since) + world.master_down(vrid) < at,
            State::Master => true,
            State::Init | State::Fault => false,
        })
}

/// Whoever became master has announced every address, as soon as it can have been written.
fn every_take_is_announced(world: &mut World) -> Option<String> {
    let (now, bound) = (world.now, world.writing());
    for ((node, vip), since) in &world.watch.owed {
        let start = (*since).max(world.watch.upset[*node]);
        if now > start + bound && world.nodes[*node].is_awake() && !world.nodes[*node].jammed {
            return Some(format!("n{node} took {vip} at {since:?} and has not announced it"));
        }
    }
    None
}

/// A client that was told otherwise by another node is told by the holder, at most one interval after the holder could
/// know: after something of that other node reached it. In a lasting quarrel it may be later, and one that does not know
/// whether its gate is open says nothing.
fn clients_follow_the_holder(world: &mut World) -> Option<String> {
    let client = world.nodes.len();
    for (vip, (node, since)) in &world.watch.sole {
        let believed = world.client.get(vip);
        let (Some(believed), Some(vrid)) = (believed, world.vrid_of(*vip)) else { continue };
        let machine = &world.nodes[*node];
        if *believed == machine.mac || !machine.is_awake() || machine.jammed {
            continue;
        }
        let Some(learned) = world.watch.learned.get(&(*node, *vip)) else { continue };
        let Some(first) = learned.first else { continue };
        let reachable = world.watch.lossy[*node][client] < first && !world.network.is_cut(*node, client);
        if !reachable || learned.again || !world.agrees(vrid) {
            continue;
        }
        let start = (*since).max(world.watch.upset[*node]).max(first);
        if world.now > start + world.interval(vrid) + world.writing() {
            return Some(format!(
                "the client believes {believed} has {vip}, but n{node} does since {since:?}"
            ));
        }
    }
    None
}

/// A node that is no master has none of the addresses, except while it hands them over.
fn only_a_master_holds(world: &mut World) -> Option<String> {
    for (vip, present) in &world.watch.present {
        for (node, since) in present.iter().enumerate() {
            let (Some(since), true) = (since, world.nodes[node].is_awake()) else { continue };
            let standing = world.nodes[node]
                .owner_of(*vip)
                .and_then(|i| world.nodes[node].process.as_ref()?.standing.get(&i.vrid.get()));
            if standing.is_some_and(|s| s.state == State::Master) {
                continue;
            }
            let changed = standing.map_or(*since, |s| world.nodes[node].moment(s.since));
            let interval = world.vrid_of(*vip).map_or(Duration::ZERO, |vrid| world.interval(vrid));
            let handover = world.watch.command[node] + interval + HANDOVER;
            let start = (*since).max(changed).max(world.watch.upset[node]).max(handover);
            if world.now > start + world.writing() {
                return Some(format!("n{node} has {vip} since {since:?} without being master"));
            }
        }
    }
    None
}

/// A node on which a check is down that an instance tracks with `fault` does not answer for that instance.
fn only_the_healthy_hold(world: &mut World) -> Option<String> {
    for (node, machine) in world.nodes.iter().enumerate().filter(|(_, machine)| machine.is_awake()) {
        if world.now <= world.watch.upset[node] + world.writing() {
            continue;
        }
        for instance in &machine.settings.instances {
            let answered = instance.addresses.iter().find(|net| machine.kernel.answers(net.address()));
            if let Some(net) = answered.filter(|_| world.is_faulty(node, instance)) {
                return Some(format!("n{node} answers for {} although a check is down", net.net));
            }
        }
    }
    None
}

/// A node answers for all addresses of an instance or for none. Where gates are stuck some may be shut and some not, until
/// it has resigned for that.
fn families_move_together(world: &mut World) -> Option<String> {
    for (node, machine) in world.nodes.iter().enumerate().filter(|(_, machine)| machine.is_awake()) {
        for instance in &machine.settings.instances {
            let vrid = instance.vrid.get();
            let answers = |vip: IpAddr| world.watch.answers.get(&vip).is_some_and(|a| a[node].is_some());
            let answered = instance.addresses.iter().filter(|net| answers(net.address())).count();
            if answered == 0 || answered == instance.addresses.len() {
                world.watch.partial.remove(&(node, vrid));
                continue;
            }
            let since = *world.watch.partial.entry((node, vrid)).or_insert(world.now);
            let interval = world.interval(vrid);
            let start =
                since.max(world.watch.upset[node]).max(world.watch.command[node] + interval + HANDOVER);
            let vain = if machine.jammed { interval * 3 } else { Duration::ZERO };
            if world.agrees(vrid) && world.now > start + vain + world.writing() {
                return Some(format!("n{node} answers for a part of {} since {since:?}", instance.name));
            }
        }
    }
    None
}

/// A node that was told to end has done so after one interval and 50 ms, or 2 s, and 100 ms for the successor.
fn a_stop_ends_in_time(world: &mut World) -> Option<String> {
    for (node, machine) in world.nodes.iter().enumerate().filter(|(_, machine)| machine.is_awake()) {
        let Some(since) = machine.process.as_ref().and_then(|p| p.stopping) else { continue };
        let interval = machine.settings.instances.iter().map(|i| i.interval).max().unwrap_or_default();
        let start = since.max(world.watch.upset[node]);
        if world.now > start + interval.min(LONGEST_STOP) + HANDOVER + world.writing() {
            return Some(format!("n{node} was told to end at {since:?} and has not"));
        }
    }
    None
}

/// Removing addresses of ours never takes one of the operator's along.
fn the_operators_addresses_stay(world: &mut World) -> Option<String> {
    let missing = |machine: &Node| machine.kernel.missing_own();
    let found = world.nodes.iter().enumerate().find_map(|(node, machine)| Some((node, missing(machine)?)));
    found.map(|(node, net)| format!("n{node} has lost {net}"))
}

/// How long a hand-over may last beyond one interval: 50 ms for a successor to be heard, 100 ms for its announcements.
const HANDOVER: Duration = Duration::from_millis(150);
const LONGEST_STOP: Duration = Duration::from_secs(2);
