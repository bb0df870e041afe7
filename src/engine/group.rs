//! What moves together comes to rest together: the routers of an instance, and the instances of a sync group. An
//! instance that is in no group is one of its own.
//!
//! ```text
//!   something is in the way of one          -> nothing of it all runs; those who were master resign
//!   one hears a better master, the others do not -> those resign, for theirs is to follow
//!   all are ready                           -> all become master
//!   a hand-over found nobody for any of it  -> all of it stays
//! ```
//!
//! This is worked out after every event, so there is no state in which they disagree and time passes. What is new in a
//! group that runs, by a reload, is no part of it until its sockets are there.
//!
//! A weight that bears on one bears on all: two nodes that compare their priorities in one place come to the same
//! answer in every other.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::Engine;
use super::action::Action;
use super::event::Target;
use super::handover::{Ending, Otherwise};
use super::instance::{Instance, Membership};
use super::member::Member;
use super::notice::{Notice, Reason, State, What};
use super::settings::{self, Track};
use super::world::World;
use crate::proto::vrrp::Input;
use crate::time::{Duration, Instant};

/// A sync group as a whole.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) settings: settings::Group,
    pub(super) state: State,
    pub(super) since: Instant,
    pub(super) reason: Reason,
}

impl Group {
    pub(super) fn new(now: Instant, settings: settings::Group) -> Self {
        Self { settings, state: State::Init, since: now, reason: Reason::Starting }
    }

    /// Names the state that its members make. Nothing is to be said of one without members.
    pub(super) fn judge(&mut self, now: Instant, members: &[&mut Instance], out: &mut Vec<Action>) {
        let there = || members.iter().filter(|i| !joins(i));
        let Some(state) = there().map(|i| i.state).max_by_key(|state| rank(*state)) else { return };
        // The one that the reason is about says it without naming itself.
        let named =
            |i: &&&mut Instance| matches!(i.reason, Reason::Member { .. } | Reason::MemberFault { .. });
        let spokesman = there().filter(|i| i.state == state).min_by_key(|i| named(i));
        if let Some(instance) = spokesman {
            self.reason = instance.reason.clone();
        }
        let from = core::mem::replace(&mut self.state, state);
        if from != state {
            self.since = now;
            let (group, reason) = (self.settings.name.clone(), self.reason.clone());
            let what = What::GroupTransition { group, from, to: state, reason };
            out.push(Action::Tell(Notice { at: now, about: None, what }));
        }
    }
}

impl Engine {
    /// Brings everything to rest.
    pub(super) fn settle(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.resign_unclaimed(now, out);
        self.need_sockets(now, out);
        for instance in self.instances.iter_mut().filter(|instance| instance.membership.is_none()) {
            settle(now, &mut [instance], &[], &self.world, out);
        }
        for group in 0..self.groups.len() {
            self.settle_group(now, group, out);
        }
    }

    /// Brings an instance to rest, with those that move with it.
    pub(super) fn settle_at(&mut self, now: Instant, at: usize, out: &mut Vec<Action>) {
        match self.instances[at].membership {
            None => settle(now, &mut [&mut self.instances[at]], &[], &self.world, out),
            Some(membership) => self.settle_group(now, membership.group, out),
        }
    }

    fn settle_group(&mut self, now: Instant, number: usize, out: &mut Vec<Action>) {
        let is_in = |instance: &&mut Instance| instance.membership.is_some_and(|m| m.group == number);
        let mut members: Vec<&mut Instance> = self.instances.iter_mut().filter(is_in).collect();
        let group = &mut self.groups[number];
        settle(now, &mut members, &group.settings.tracks, &self.world, out);
        group.judge(now, &members, out);
    }

    /// Those that move with an instance, and itself.
    fn together(&self, at: usize) -> Vec<usize> {
        let Some(membership) = self.instances[at].membership else { return alloc::vec![at] };
        let is_in = |at: &usize| self.instances[*at].membership.is_some_and(|m| m.group == membership.group);
        (0..self.instances.len()).filter(is_in).collect()
    }

    /// The one that is named, or the group, steps down or resumes, with those that move with it.
    pub(super) fn step_down(&mut self, now: Instant, target: &Target, down: bool, out: &mut Vec<Action>) {
        let meant = |instance: &Instance| match target {
            Target::All => true,
            Target::Named(name) => {
                let group = instance.membership.map(|membership| &self.groups[membership.group].settings);
                instance.settings.name == *name || group.is_some_and(|g| g.name == *name)
            }
        };
        let named: Vec<usize> = (0..self.instances.len()).filter(|at| meant(&self.instances[*at])).collect();
        for at in named {
            let together = self.together(at);
            let members = together.iter().map(|at| &self.instances[*at]);
            let longest_skew = longest_skew(members);
            for &at in &together {
                let instance = &mut self.instances[at];
                if instance.stepped_down != down && !instance.retiring {
                    instance.stepped_down = down;
                    if down {
                        instance.hand_over(now, longest_skew, Otherwise::Stay, out);
                    }
                }
            }
            self.settle_at(now, at, out);
        }
    }
}

/// Which state of a member is the whole group's.
fn rank(state: State) -> u8 {
    match state {
        State::Master => 0,
        State::Backup => 1,
        State::Init => 2,
        State::Fault => 3,
    }
}

/// Gives each instance its place in the groups. Who is new in a group of which others run does not hold them up; who was
/// stepped down before has the others step down, too.
pub(super) fn enrol(groups: &[Group], instances: &mut [Instance]) {
    for instance in instances.iter_mut() {
        let name = &instance.settings.name;
        let at = groups.iter().position(|group| group.settings.members.contains(name));
        instance.membership =
            at.filter(|_| !instance.retiring).map(|group| Membership { group, led: false, joining: false });
    }
    for group in 0..groups.len() {
        let is_in = |i: &&mut Instance| i.membership.is_some_and(|m| m.group == group);
        let mut members: Vec<&mut Instance> = instances.iter_mut().filter(is_in).collect();
        // Every node has the same numbers, but may write them in another order.
        members.sort_by_key(|i| i.settings.vrid);
        let runs = members.iter().any(|i| matches!(i.state, State::Master | State::Backup));
        let stepped_down = members.iter().any(|i| i.stepped_down);
        for (at, instance) in members.into_iter().enumerate() {
            instance.stepped_down = stepped_down;
            let joining = runs && instance.state == State::Init;
            if joining {
                instance.members.iter_mut().for_each(|member| member.joining = true);
            }
            instance.membership = Some(Membership { group, led: at > 0, joining });
        }
    }
}

/// Brings instances that move together to rest; `tracks` bear on all of them.
pub(super) fn settle(
    now: Instant,
    together: &mut [&mut Instance],
    tracks: &[Track],
    world: &World,
    out: &mut Vec<Action>,
) {
    let weight = weight(together, tracks, world);
    let runs = together.iter().any(|i| matches!(i.state, State::Master | State::Backup));
    reserve(now, together, tracks, world, out);
    for instance in together.iter_mut() {
        instance.prepare(now, world, (weight, runs), out);
    }
    let obstacles = obstacles(together, tracks, world);
    claim_estates(now, together, &obstacles, world, out);
    for (instance, obstacle) in together.iter_mut().zip(&obstacles) {
        if obstacle.is_some() {
            instance.stop(now, out);
        }
    }
    run(now, together, &obstacles, out);
    end_handovers(now, together, out);
    let fellow = fellow(together);
    for (instance, obstacle) in together.iter_mut().zip(obstacles) {
        instance.judge(now, obstacle, fellow.as_ref(), out);
        instance.keep(now, world, out);
    }
    for instance in together {
        instance.plan();
    }
}

/// What all tracks together add to the priority. A check that several of them track counts once, as it weighs most.
fn weight(together: &[&mut Instance], tracks: &[Track], world: &World) -> i32 {
    if let ([alone], []) = (together, tracks) {
        return world.verdicts.weight(&alone.settings.tracks);
    }
    let mut checks: BTreeMap<&str, i32> = BTreeMap::new();
    for track in together.iter().flat_map(|i| &i.settings.tracks).chain(tracks) {
        let (known, weight) = (checks.entry(&track.check).or_default(), world.verdicts.adds(track));
        if weight.abs() > known.abs() {
            *known = weight;
        }
    }
    checks.values().sum()
}

/// Who had better not be master although nothing is in the way: a check is down, or the role was lost too often. One
/// that is master when its check fails asks whether there is somebody better.
fn reserve(
    now: Instant,
    together: &mut [&mut Instance],
    tracks: &[Track],
    world: &World,
    out: &mut Vec<Action>,
) {
    let fault = |i: &&mut Instance| world.verdicts.fault(&i.settings.tracks);
    let resorts = together.iter().all(|i| i.settings.last_resort);
    let down =
        if resorts { together.iter().find_map(fault).or_else(|| world.verdicts.fault(tracks)) } else { None };
    let damped = together.iter_mut().filter_map(|i| i.damped(now)).min_by_key(|_| 0);
    let why = down.map(|why| Reason::LastResort { why: Box::new(why) }).or(damped);
    let fails = matches!(why, Some(Reason::LastResort { .. }))
        && !together.iter().any(|i| matches!(i.reserve, Some(Reason::LastResort { .. })));
    let longest = longest_skew(together.iter().map(|i| &**i));
    for instance in together.iter_mut() {
        instance.reserve.clone_from(&why);
        if fails {
            instance.hand_over(now, longest, Otherwise::Stay, out);
        }
    }
}

/// What is in the way of each: of its own, or of another one. Who only joins is in nobody's way until it is known to
/// be at fault.
fn obstacles(together: &mut [&mut Instance], tracks: &[Track], world: &World) -> Vec<Option<Reason>> {
    // With a last resort a check is in nobody's way.
    let judged = !together.iter().all(|i| i.settings.last_resort);
    let fault = |tracks: &[Track]| world.verdicts.fault(tracks).filter(|_| judged);
    let common = fault(tracks);
    let own = |i: &&mut Instance| {
        i.obstacle(world).or_else(|| fault(&i.settings.tracks)).or_else(|| common.clone())
    };
    let mut obstacles: Vec<Option<Reason>> = together.iter().map(own).collect();
    if together.len() == 1 {
        return obstacles;
    }
    for (instance, obstacle) in together.iter_mut().zip(&obstacles) {
        if let Some(membership) = &mut instance.membership {
            membership.joining &= obstacle.as_ref().is_some_and(Reason::is_passing);
        }
    }
    let counts = |(i, obstacle): (&&mut Instance, &Option<Reason>)| {
        let reason = obstacle.clone().filter(|_| !joins(i))?;
        Some((i.settings.name.clone(), reason))
    };
    let worst =
        together.iter().zip(&obstacles).filter_map(counts).min_by_key(|(_, reason)| reason.is_passing());
    let Some((member, why)) = worst else { return obstacles };
    for obstacle in &mut obstacles {
        let (member, why) = (member.clone(), Box::new(why.clone()));
        match obstacle {
            Some(own) if !own.is_passing() => {}
            _ if !Reason::is_passing(&why) => *obstacle = Some(Reason::MemberFault { member, why }),
            Some(_) => {}
            None => *obstacle = Some(Reason::Member { member, why }),
        }
    }
    obstacles
}

fn joins(instance: &Instance) -> bool {
    instance.membership.is_some_and(|membership| membership.joining)
}

/// What an earlier agent left is adopted as a whole, or not at all.
fn claim_estates(
    now: Instant,
    together: &mut [&mut Instance],
    obstacles: &[Option<Reason>],
    world: &World,
    out: &mut Vec<Action>,
) {
    if !world.seen || !together.iter().any(|i| i.is_heir()) {
        return;
    }
    for (instance, obstacle) in together.iter_mut().zip(obstacles) {
        if instance.is_heir() {
            instance.check_estate(now, obstacle.as_ref(), out);
        }
    }
    if !together.iter().all(|i| i.is_heir()) {
        for instance in together.iter_mut() {
            instance.renounce(now, "another member of its group is not adopted", out);
        }
    }
}

/// Nothing is in the way of these: they run, and agree.
fn run(now: Instant, together: &mut [&mut Instance], obstacles: &[Option<Reason>], out: &mut Vec<Action>) {
    let master = together.iter().any(|i| i.state == State::Master);
    let free = together.iter_mut().zip(obstacles).filter(|(_, obstacle)| obstacle.is_none());
    let mut free: Vec<&mut Instance> = free.map(|(instance, _)| &mut **instance).collect();
    for instance in &mut free {
        instance.start(now, master, out);
    }
    agree(now, &mut free, out);
    if free.iter().any(|instance| instance.is_leaving()) {
        // With a short interval our own timer ends before the hand-over does; we are leaving all the same.
        return;
    }
    if free.iter().all(|instance| instance.claim().is_some()) {
        for instance in free {
            if let Some(claim) = instance.claim() {
                instance.reason = instance.grounds(now, claim);
            }
            instance.promote(now, out);
        }
    }
}

/// All are master, or none.
fn agree(now: Instant, together: &mut [&mut Instance], out: &mut Vec<Action>) {
    let is_master = |member: &Member| member.router.is_master();
    let active = || together.iter().flat_map(|instance| instance.active());
    if !active().any(is_master) || active().all(is_master) {
        return;
    }
    // One that asks the wire before it answers again is not beaten: the others ask, too.
    let asks = active().any(|member| member.router.is_woken());
    for instance in together.iter_mut() {
        let beaten = instance.active().any(|member| !is_master(member));
        let input = match (asks, beaten) {
            (true, _) => Input::Stalled,
            (false, true) => Input::Yield,
            // Nobody is heard there who was to know that there were two.
            (false, false) => Input::Resign,
        };
        if asks && instance.state == State::Master {
            instance.listening = Reason::Stalled;
        }
        for at in 0..instance.members.len() {
            if is_master(&instance.members[at]) {
                instance.feed(now, at, input, out);
            }
        }
    }
}

/// Hand-overs end: if anybody took over anything, all of it is his.
fn end_handovers(now: Instant, together: &mut [&mut Instance], out: &mut Vec<Action>) {
    let ended = together.iter().any(|i| i.ending(now).is_some());
    if !ended {
        return;
    }
    let taken = |i: &Instance| i.handover.as_ref().is_none_or(|h| h.successor().is_some());
    let taken = together.len() > 1 && together.iter().any(|i| taken(i) && !joins(i));
    for instance in together.iter_mut() {
        match instance.ending(now) {
            Some(Ending::Nobody) if taken => instance.end_handover(now, Ending::Succeeded, out),
            Some(ending) => instance.end_handover(now, ending, out),
            None => {}
        }
    }
}

/// Who has something to say of why they are no masters.
fn fellow(together: &[&mut Instance]) -> Option<(String, Reason)> {
    if together.len() == 1 {
        return None;
    }
    let whys = together.iter().map(|i| (i.settings.name.clone(), i.why_backup()));
    whys.into_iter().find(|(_, why)| *why != Reason::Listening)
}

/// What nobody's `Skew_Time` reaches who may follow any of them.
pub(super) fn longest_skew<'i>(together: impl Iterator<Item = &'i Instance>) -> Duration {
    together.map(|instance| instance.settings.longest_skew()).max().unwrap_or_default()
}
