//! Promises about single steps: an advert, an order, a transition, a reload, a turn, the end of a process.

use std::collections::BTreeSet;
use std::net::IpAddr;

use vipd::engine::action::{Datagram, KernelWork, Passage, Place};
use vipd::engine::notice::{Notice, Reason, State, What};
use vipd::engine::settings::{Address, Instance, Preempt};
use vipd::engine::status::{InstanceStatus, Status};
use vipd::net::{Family, LinkIndex, Mac};
use vipd::time::Duration;
use vipd::wire::vrrp;

use super::World;
use crate::patience;
use crate::signatures;
use crate::watch::{Take, Voice, said};
use crate::world::LONGEST_LATENCY;

/// An advert is about to be sent.
pub(crate) fn advert(world: &mut World, node: usize, datagram: &Datagram) {
    let decoded = signatures::read(&datagram.payload, datagram.source, datagram.destination);
    let Ok(advert) = decoded else {
        return world.breaks("what is sent can be read", format!("n{node} sends what is no advert"));
    };
    let family = datagram.endpoint.family;
    let voice: Voice = (node, advert.vrid.get(), family);
    if advert.priority.get() == 0 {
        priority_0_is_sent_only_when_leaving(world, node, advert.vrid.get());
        world.watch.said.remove(&voice);
        return;
    }
    adverts_are_on_time(world, voice);
    let said = said(world.now, datagram.source, &advert);
    world.watch.said.insert(voice, said);
}

/// A resignation has a cause: the operator, a check, the link, a refusal.
fn priority_0_is_sent_only_when_leaving(world: &mut World, node: usize, vrid: u8) {
    // What moves with a beaten one leaves, too, and says so: it may have stood against whoever it heard itself.
    let beaten = |vrid: u8| world.watch.beaten.get(&(node, vrid)) == Some(&world.now);
    let mates = world.nodes[node].together(vrid);
    let another = mates.iter().any(|mate| mate.vrid.get() != vrid && beaten(mate.vrid.get()));
    // Who gives up because its adverts were refused does so a moment after the last of them.
    let was_refused = world.watch.upset[node] > world.now;
    // And who gives up because its gate does not open has waited for that.
    let excused = another || was_refused || world.nodes[node].jammed;
    if world.watch.cause[node] != world.now && !excused {
        let what = format!("n{node} resigns although nothing happened to it");
        world.breaks("priority 0 is sent only when leaving", what);
    }
}

/// A master's adverts are never further apart than their interval and what its scheduler adds.
fn adverts_are_on_time(world: &mut World, voice: Voice) {
    let (node, vrid, _) = voice;
    let Some(last) = world.watch.said.get(&voice).map(|said| said.at) else { return };
    let Some(instance) = world.nodes[node].instance(vrid) else { return };
    let stalled = world.watch.upset[node] >= last;
    let master = world.nodes[node].process.as_ref().and_then(|p| p.state(vrid)) == Some(State::Master);
    if master && !stalled && world.now.since(last) > instance.interval + LONGEST_LATENCY * 2 {
        let what = format!("n{node} as virtual router {vrid} is silent since {last:?}");
        world.breaks("adverts are on time", what);
    }
}

/// An order to the kernel is about to be given.
pub(crate) fn order(world: &mut World, node: usize, work: &KernelWork) {
    world.watch.ordered(work);
    generations_grow(world, node, work);
    match work {
        KernelWork::Hold(hold) => {
            let left: Vec<Place> = hold.remove.clone();
            nothing_is_given_up_without_cause(world, node, &left);
        }
        KernelWork::Gate(gate) if gate.passage != Passage::Open => {
            nothing_is_given_up_without_cause(world, node, &gate.places);
        }
        KernelWork::Gate(_)
        | KernelWork::Announce(_)
        | KernelWork::Listen(_)
        | KernelWork::Link(_)
        | KernelWork::Pace(_) => {}
    }
}

/// A later order has a greater number.
fn generations_grow(world: &mut World, node: usize, work: &KernelWork) {
    let (key, generation) = match work {
        KernelWork::Hold(hold) => (("hold", hold.instance.0), hold.generation.0),
        KernelWork::Gate(gate) => (("gate", gate.router.instance.0), gate.generation.0),
        KernelWork::Listen(listen) => (("listen", 0), listen.generation.0),
        KernelWork::Link(link) => (("link", 0), link.generation.0),
        KernelWork::Announce(_) | KernelWork::Pace(_) => return,
    };
    let last = world.watch.generations[node].insert(key, generation);
    if last.is_some_and(|last| last >= generation) {
        let what = format!("n{node} gives {key:?} the generation {generation} after {last:?}");
        world.breaks("generations grow", what);
    }
}

/// What a node serves it gives up only to a better master, on command, or because something happened to it.
fn nothing_is_given_up_without_cause(world: &mut World, node: usize, places: &[Place]) {
    let now = world.now;
    for place in places {
        let vip = place.net.address();
        if !world.nodes[node].kernel.answers(vip) {
            continue;
        }
        let owner = world.nodes[node].owner_of(vip).map(|i| i.vrid.get());
        let vrid = owner.or_else(|| world.vrid_of(vip));
        let beaten = vrid.is_some_and(|vrid| world.is_beaten(node, vrid));
        let interval = vrid.map_or(Duration::ZERO, |vrid| world.interval(vrid));
        let handover = world.watch.command[node] + interval + HANDOVER;
        let excused = world.watch.upset[node] >= now
            || world.nodes[node].jammed
            || world.watch.cause[node] == now
            || beaten
            || (world.watch.command[node] > vipd::time::Instant::BOOT && handover >= now);
        if !excused {
            let what = format!("n{node} gives {vip} up although nothing happened to it");
            return world.breaks("nothing is given up without cause", what);
        }
    }
}

/// A node tells something.
pub(crate) fn told(world: &mut World, node: usize, notice: &Notice) {
    patience::told(world, node, notice);
    if let What::Transition { reason: Reason::GateStuck { .. }, .. } = notice.what {
        world.watch.stuck(world.now, node);
    }
    let What::Transition { reason: Reason::Adopted { .. }, .. } = notice.what else { return };
    let name = notice.about.as_ref().map(|(_, name)| name);
    let instance = world.nodes[node].settings.instances.iter().find(|i| Some(&i.name) == name).cloned();
    for vip in addresses(instance.as_ref()) {
        what_is_adopted_was_answered_for(world, node, vip);
    }
}

/// Who adopts an address answers for it since before its process began, without a gap. One that is new was nobody's.
fn what_is_adopted_was_answered_for(world: &mut World, node: usize, vip: IpAddr) {
    let began = world.watch.began[node];
    let since = world.watch.answers.get(&vip).and_then(|answers| answers[node]);
    if world.nodes[node].kernel.answers(vip) && since.is_some_and(|since| since >= began) {
        let what = format!("n{node} adopts {vip}, for which it answers since {since:?}");
        world.breaks("what is adopted was answered for", what);
    }
}

/// The states of a node may have changed.
pub(crate) fn transition(world: &mut World, node: usize) {
    let Some(process) = &world.nodes[node].process else { return };
    if process.standing == world.watch.standing[node] {
        return;
    }
    let old = std::mem::replace(&mut world.watch.standing[node], process.standing.clone());
    let new = world.watch.standing[node].clone();
    world.watch.dirty = true;
    members_of_a_group_agree(world, node);
    for (vrid, standing) in new {
        let was_master = old.get(&vrid).is_some_and(|old| old.state == State::Master);
        if standing.state == State::Master && !was_master {
            take(world, node, vrid);
        }
        if was_master && standing.state == State::Backup {
            a_beaten_master_says_farewell(world, node, vrid);
        }
        if standing.state != State::Master {
            let instance = world.nodes[node].instance(vrid);
            let vips: BTreeSet<IpAddr> = addresses(instance).collect();
            world.watch.owed.retain(|(of, vip), _| *of != node || !vips.contains(vip));
            world.watch.said.retain(|voice, _| voice.0 != node || voice.1 != vrid);
        }
    }
}

/// Whatever happened, members of a group are in one state when it has been dealt with.
fn members_of_a_group_agree(world: &mut World, node: usize) {
    let standing = &world.watch.standing[node];
    // At the end each goes as soon as it has been handed over.
    let process = world.nodes[node].process.as_ref().filter(|process| process.stopping.is_none());
    let groups = process.map(|process| process.groups.clone());
    for group in groups.unwrap_or_default() {
        let mut together = group.iter().filter_map(|vrid| Some((*vrid, standing.get(vrid)?.state)));
        let Some((first, state)) = together.next() else { continue };
        if let Some((other, differs)) = together.find(|(_, other)| *other != state) {
            let what = format!("n{node}: {first} is {state} and {other} is {differs}");
            return world.breaks("members of a group agree", what);
        }
    }
}

/// A master that yields to a better one sends a last advert, so that the better one learns that there were two.
fn a_beaten_master_says_farewell(world: &mut World, node: usize, vrid: u8) {
    let now = world.now;
    let beaten = world.watch.beaten.get(&(node, vrid)) == Some(&now);
    let excused = world.watch.cause[node] == now || world.watch.command[node] == now;
    let mut said = world.watch.said.iter().filter(|(voice, _)| voice.0 == node && voice.1 == vrid);
    if beaten && !excused && said.any(|(_, said)| said.at < now) {
        let what = format!("n{node} yields as virtual router {vrid} without a word");
        world.breaks("a beaten master says farewell", what);
    }
}

fn addresses(instance: Option<&Instance>) -> impl Iterator<Item = IpAddr> + '_ {
    instance.into_iter().flat_map(|i| i.addresses.iter().map(Address::address))
}

/// A node became master.
fn take(world: &mut World, node: usize, vrid: u8) {
    *world.watch.counts.entry("takes").or_default() += 1;
    let now = world.now;
    let silence = silence(world, node, vrid);
    world.watch.takes.push(Take { at: now, node, vrid, silence });
    let Some(instance) = world.nodes[node].instance(vrid).cloned() else { return };
    for vip in addresses(Some(&instance)) {
        // As far as it can know, nobody else has announced it since this node did: clients know.
        if world.watch.announcer.get(&(node, vip)) != Some(&node)
            || world.nodes[node].kernel.ours(vip).is_none()
        {
            world.watch.owed.insert((node, vip), now);
        }
    }
    for family in instance.families() {
        if let Some(what) = nobody_takes_over_early(world, node, &instance, family) {
            return world.breaks("nobody takes over early", what);
        }
    }
}

/// How long ago the last advert for a virtual router reached a node, in any family.
fn silence(world: &World, node: usize, vrid: u8) -> Option<Duration> {
    let mine = |voice: &Voice| (voice.0, voice.1) == (node, vrid);
    let heard =
        world.watch.heard.iter().filter(|(voice, _)| mine(voice)).flat_map(|(_, heard)| heard.values());
    let resigned = world.watch.heard_resignation.iter().filter(|(voice, _)| mine(voice));
    let last = heard.map(|said| said.at).chain(resigned.map(|(_, at)| *at)).max()?;
    Some(world.now.since(last))
}

/// A backup becomes master only after `Master_Down_Interval` without an advert that counts: what reached its socket
/// counts, read or not. A lower master may be replaced, one that resigned succeeded after `Skew_Time`, and who stepped
/// down in vain returns.
fn nobody_takes_over_early(
    world: &World,
    node: usize,
    instance: &Instance,
    family: Family,
) -> Option<String> {
    let voice = (node, instance.vrid.get(), family);
    let own = world.watch.said.get(&voice)?;
    let skew_of = |unit: Duration| unit * (256 - u32::from(own.priority)) / 256;
    let unit = |learned: Duration| match instance.version {
        vrrp::Version::V2 => Duration::from_secs(1),
        vrrp::Version::V3 => learned,
    };
    let command = world.watch.command[node] + instance.interval * 2 + HANDOVER;
    if command >= world.now || world.watch.upset[node] >= world.now {
        return None;
    }
    let heard = world.watch.heard.get(&voice)?;
    let heard = heard.values().max_by_key(|said| said.at)?;
    let resort = instance.last_resort && heard.priority == 1;
    let preempts = (resort || instance.preempt != Preempt::Never) && heard.priority < own.priority;
    let resigned = world.watch.heard_resignation.get(&voice).is_some_and(|at| *at >= heard.at);
    // A node that slept may have been told only a part of what it missed.
    let slept = world.watch.stall[node].is_some_and(|at| at >= heard.at);
    let learned = heard.interval.min(instance.interval);
    let silence = world.now.since(heard.at);
    if preempts || resigned || slept || silence >= learned * 3 + skew_of(unit(learned)) {
        return None;
    }
    Some(format!(
        "n{node} became master {silence:?} after an advert of {} with {}",
        heard.source, heard.priority
    ))
}

/// A reload was taken in: what it does not change it leaves alone.
pub(crate) fn reload(world: &mut World, node: usize, before: &Status, after: &Status, orders: &[KernelWork]) {
    let twin = |old: &InstanceStatus| after.instances.iter().find(|i| i.vrid == old.vrid);
    let unchanged = |old: &InstanceStatus| {
        twin(old).is_some_and(|new| {
            old.effective == new.effective
                && old.group == new.group
                && addresses_of(old) == addresses_of(new)
                && old.tracks.iter().map(|t| &t.check).eq(new.tracks.iter().map(|t| &t.check))
        })
    };
    for old in &before.instances {
        let Some(new) = twin(old) else { continue };
        // What changes one instance of a group may move all.
        let mates = before.instances.iter().filter(|mate| old.group.is_some() && mate.group == old.group);
        let unchanged = unchanged(old) && mates.into_iter().all(unchanged);
        if unchanged && (old.state, old.since) != (new.state, new.since) {
            let what = format!("n{node}: a reload made {} {} from {}", old.name, new.state, old.state);
            return world.breaks("a reload leaves alone what it does not change", what);
        }
        let kept: BTreeSet<IpAddr> = &addresses_of(old) & &addresses_of(new);
        let kept: BTreeSet<IpAddr> = if unchanged || new.group.is_none() { kept } else { BTreeSet::new() };
        let touched = |place: &Place| new.state == State::Master && kept.contains(&place.net.address());
        let hit = orders.iter().any(|work| match work {
            KernelWork::Hold(hold) => hold.remove.iter().any(touched),
            KernelWork::Gate(gate) => gate.passage != Passage::Open && gate.places.iter().any(touched),
            KernelWork::Link(link) => {
                let own = |address: &IpAddr| Mac::of_virtual_router(Family::of(*address), new.vrid);
                link.wanted.is_none() && kept.iter().any(|address| own(address) == link.id.mac)
            }
            KernelWork::Announce(_) | KernelWork::Listen(_) | KernelWork::Pace(_) => false,
        });
        if hit {
            let what = format!("n{node}: a reload takes an address from {} that it keeps", new.name);
            return world.breaks("a reload leaves alone what it does not change", what);
        }
    }
}

fn addresses_of(status: &InstanceStatus) -> BTreeSet<IpAddr> {
    status.addresses.iter().map(|a| a.net.address()).collect()
}

/// A turn is over.
pub(crate) fn turn(world: &mut World, node: usize) {
    let Some(process) = &world.nodes[node].process else { return };
    if process.idle_turns > 3 {
        let what = format!("n{node} asks for turn after turn at the same moment");
        return world.breaks("the engine never spins", what);
    }
    let vrids: Vec<u8> = process.standing.keys().copied().collect();
    for vrid in vrids {
        for family in [Family::Ipv4, Family::Ipv6] {
            adverts_are_on_time(world, (node, vrid, family));
        }
    }
}

/// A frame leaves by a link: one of a virtual router's own only while its agent is master, or hands over.
pub(crate) fn frame(world: &mut World, node: usize, link: LinkIndex, about: IpAddr) {
    let machine = &world.nodes[node];
    let links = machine.kernel.picture().links;
    let Some(own) = links.iter().find(|l| l.index == link).and_then(|l| l.virtual_link) else { return };
    let mac = own.mac;
    let state = machine.process.as_ref().and_then(|process| process.state(mac.0[5]));
    *world.watch.counts.entry("frames with a virtual Ethernet address").or_default() += 1;
    let hands_over = world.now <= world.watch.command[node] + world.interval(mac.0[5]) + HANDOVER;
    if state != Some(State::Master) && !hands_over {
        let what = format!("n{node} is {state:?} and sends from {mac} about {about}");
        world.breaks("only a master sends with a virtual Ethernet address", what);
    }
}

/// An agent that was told to end says that it is done.
pub(crate) fn end(world: &mut World, node: usize) {
    let kernel = &world.nodes[node].kernel;
    let left = kernel.all_ours().next().map(|a| a.net.to_string());
    let left = left.or_else(|| kernel.paths().first().map(|seen| seen.key.to_string()));
    if let Some(left) = left {
        let what = format!("n{node} ended and left {left}");
        world.breaks("a stop leaves nothing", what);
    }
    let left = world.nodes[node].kernel.virtual_links().next().map(|(link, _)| link.name.clone());
    if let Some(link) = left {
        let what = format!("n{node} ended and left {link}");
        world.breaks("a stop leaves nothing", what);
    }
}

const HANDOVER: Duration = Duration::from_millis(160);
