//! All instances, tracks and checks together: an event in, actions out. No clock, no I/O.
//!
//! ```text
//! event  -> Engine::handle(now, event, &mut actions)  -> actions, in order
//!           Engine::deadline()                        -> when to come back with Tick
//! ```
//!
//! A driver takes turns: [`Event::Tick`] first, so that adverts go out whatever waits to be read; then what it has
//! read; then [`Event::Silence`] up to the moment before which everything received has been handed over; then it
//! performs the actions and arms its timer. The agent and the simulator do exactly the same.
//!
//! | file | what lives there |
//! |---|---|
//! | `event` `action` `notice` `status` `settings` | the nouns, all public |
//! | `group` | instances, and an instance's virtual routers, moving together |
//! | `instance` `reasons` `causes` | virtual routers of one name: priority and state; obstacles and reasons, in a sentence and as a word |
//! | `member` `near` | one virtual router: the machine, its voice, its counters; how close a backup came to taking over |
//! | `reserve` | who had better not be master, and is better than nobody |
//! | `retreat` | how long who took the role in vain stays out of the race |
//! | `hear` `discard` `judging` `signing` | from a datagram to an advert that counts, or why not; the same without any effect; signatures |
//! | `handover` | resigning without a gap |
//! | `keep` `sites` `holding` `announcing` | what the kernel is to hold, where, and when to say so |
//! | `path` `routing` | routes and rules: what they are, and what the kernel is to hold of them |
//! | `statics` `strays` | what is there whoever is master, and what an earlier agent left that nobody wants |
//! | `gating` | what the addresses may answer, and for how long |
//! | `world`: `links` `verdicts` `sockets` `virtual_links` | what all instances look at |
//! | `tracking` | what checks say reaches the instances |
//! | `inheritance` `adopting` | one agent after another, without a gap |
//! | `reload` | one configuration after another |
//! | `report` | status |
//! | `foresight` | what would happen if |

pub mod action;
mod adopting;
mod announcing;
mod causes;
mod discard;
pub mod event;
pub mod foresight;
mod gating;
mod group;
mod handover;
mod hear;
mod holding;
pub mod inheritance;
mod instance;
pub mod judging;
mod keep;
mod links;
mod member;
pub mod near;
pub mod notice;
pub mod path;
mod reasons;
mod reload;
mod report;
mod reserve;
mod retreat;
mod routing;
pub mod settings;
pub mod signing;
mod sites;
mod sockets;
mod statics;
pub mod status;
mod strays;
mod tracking;
mod verdicts;
mod virtual_links;
mod world;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use self::action::{Action, Generation, InstanceId, KernelWork, Place};
use self::event::{Change, Claim, Event, Gated, Held, Picture, Received, Refusal};
use self::group::Group;
use self::hear::{Finding, Message};
use self::holding::Holding;
use self::inheritance::{Identity, Inheritance, Inherited};
use self::instance::Instance;
use self::notice::{Discard, Notice, What};
use self::settings::Settings;
use self::signing::Signed;
use self::statics::{STATICS, Statics};
use self::world::World;
use crate::net::{Family, LinkIndex, Priority, Vrid};
use crate::proto::vrrp::Input;
use crate::time::{Duration, Instant};

/// All that the agent decides.
#[derive(Clone, Debug)]
pub struct Engine {
    world: World,
    instances: Vec<Instance>,
    groups: Vec<Group>,
    next_id: u32,
    started: Instant,
    startup_delay: Duration,
    boot_delay: Duration,
    /// Addresses with our mark that no instance knows: left by an earlier agent.
    strays: Holding,
    statics: Statics,
    /// In which families those are kept from answering.
    strays_gated: BTreeSet<Family>,
    strays_generation: Generation,
    /// Whether it is known which routes and rules an earlier agent left.
    paths_seen: bool,
    /// What an earlier agent held for instances that are not configured any more.
    unclaimed: Vec<Inherited>,
    /// What routers that are gone sent and heard.
    signed: Vec<Signed>,
    /// Datagrams that could not be attributed to an instance.
    discarded: BTreeMap<Discard, u64>,
    told: BTreeMap<Discard, Instant>,
    /// Whether to stop, as soon as it is known what there is to let go.
    ending: bool,
    stopping: bool,
}

impl Engine {
    /// An engine that waits for its first [`Event::Picture`].
    pub fn new(now: Instant, settings: Settings) -> Self {
        Self::inheriting(now, settings, Inheritance::default())
    }

    /// The same, with what an earlier agent on this host left.
    pub fn inheriting(now: Instant, settings: Settings, inheritance: Inheritance) -> Self {
        let mut left = inheritance.instances;
        let last_id = left.iter().map(|inherited| inherited.id).max().unwrap_or(STRAYS);
        let mut engine = Self {
            world: World::default(),
            instances: Vec::new(),
            groups: settings.groups.into_iter().map(|group| Group::new(now, group)).collect(),
            next_id: last_id.0 + 1,
            started: now,
            startup_delay: settings.startup_delay,
            boot_delay: settings.boot_delay,
            strays: Holding::new(STRAYS),
            statics: Statics::new(settings.statics),
            strays_gated: BTreeSet::new(),
            strays_generation: Generation(0),
            paths_seen: false,
            unclaimed: Vec::new(),
            signed: Vec::new(),
            discarded: BTreeMap::new(),
            told: BTreeMap::new(),
            ending: false,
            stopping: false,
        };
        engine.world.limits = settings.announce_limits;
        engine.world.verdicts.configure(now, &settings.checks, true);
        engine.world.verdicts.inherit(now, &inheritance.checks, &inheritance.values);
        for instance in settings.instances {
            let identity = Identity::of(&instance);
            let found = left.iter().position(|inherited| inherited.identity.is_same(&identity));
            engine.add(now, instance, found.map(|at| (left.remove(at), inheritance.handed_on)));
        }
        engine.unclaimed = left;
        group::enrol(&engine.groups, &mut engine.instances);
        engine
    }

    fn add(&mut self, now: Instant, settings: settings::Instance, left: Option<(Inherited, bool)>) {
        let start_at = (self.started + self.startup_delay).max(Instant::BOOT + self.boot_delay);
        let id = left.as_ref().map_or(InstanceId(self.next_id), |(inherited, _)| inherited.id);
        self.next_id = self.next_id.max(id.0 + 1);
        let mut instance = Instance::new(id, now, start_at, settings);
        if let Some((inherited, handed_on)) = left {
            instance.inherit(inherited, handed_on);
        }
        self.instances.push(instance);
    }

    /// Takes one event; appends what is to be done, in order.
    pub fn handle(&mut self, now: Instant, event: Event<'_>, out: &mut Vec<Action>) {
        match event {
            Event::Clock { wall } => return self.set_clock(now, wall, out),
            Event::Tick => self.time(now, Input::Tick, now, out),
            Event::Silence { until } => {
                self.mature(now, until, out);
                self.time(now, Input::Silence(until), until, out);
            }
            Event::Stalled { late } => self.wake(now, late, out),
            Event::Datagram(received) => self.hear(now, &received, out),
            Event::Claim(claim) => self.claim(now, claim, out),
            Event::Excluded { why } => {
                self.world.excluded = Some(why);
                self.settle(now, out);
            }
            Event::Picture(picture) => self.picture(now, picture, out),
            Event::Paths(seen) => self.paths(now, &seen, out),
            Event::Change(change) => self.change(now, change, out),
            Event::Held(held) => self.held(now, &held, out),
            Event::Gated(gated) => self.gated(now, &gated, out),
            Event::Opened(opened) => {
                self.world.sockets.settle(now, opened);
                self.settle(now, out);
            }
            Event::Linked(linked) => {
                self.world.virtual_links.settle(now, linked);
                self.settle(now, out);
            }
            Event::SendFailed { instance, family, refusal } => {
                self.send_failed(now, instance, family, &refusal, out);
            }
            Event::Verdict { check, verdict, why } => self.verdict(now, check, verdict, why, out),
            Event::Value { check, value } => self.value(now, check, value, out),
            Event::Reload(settings) => self.reload(now, settings, out),
            Event::Priority { instance, priority } => self.prioritise(now, instance, priority, out),
            Event::StepDown(target) => self.step_down(now, &target, true, out),
            Event::Resume(target) => self.step_down(now, &target, false, out),
            Event::Shutdown => self.ending = true,
            Event::ShutdownNow => {
                self.ending = true;
                for instance in &mut self.instances {
                    instance.renounce(now, "the agent is stopping", out);
                }
                self.end(now, out);
                self.instances.iter_mut().for_each(|instance| instance.handover = None);
                self.settle(now, out);
            }
        }
        self.end(now, out);
        self.order(now, out);
    }

    /// When something is due, if nothing else happens first.
    pub fn deadline(&self) -> Option<Instant> {
        if !self.world.seen {
            // Whatever is due waits for the picture, not for the clock.
            return None;
        }
        let instances = self.instances.iter().filter_map(Instance::deadline);
        let World { verdicts, sockets, virtual_links, .. } = &self.world;
        let world = [verdicts.deadline(), sockets.deadline(), virtual_links.deadline()];
        let others = world.into_iter().chain([
            self.strays.deadline(),
            self.unclaimed_deadline(),
            self.statics.holding.deadline(),
        ]);
        instances.chain(others.flatten()).min()
    }

    /// Whether, after a shutdown, nothing is left to do.
    pub fn is_idle(&self) -> bool {
        let links = self.world.virtual_links.is_empty();
        let empty = self.strays.is_empty() && self.statics.holding.is_empty();
        self.stopping && self.instances.is_empty() && empty && links
    }

    /// How many instances are master, of how many.
    pub fn masters(&self) -> (usize, usize) {
        let masters = self.instances.iter().filter(|i| i.state == notice::State::Master).count();
        (masters, self.instances.len())
    }

    /// Time passed for those instances that something is due for.
    fn time(&mut self, now: Instant, input: Input, until: Instant, out: &mut Vec<Action>) {
        let sockets = [self.world.sockets.deadline(), self.unclaimed_deadline()];
        if sockets.into_iter().flatten().any(|at| at <= until) {
            self.resign_unclaimed(now, out);
            self.need_sockets(now, out);
        }
        for at in 0..self.instances.len() {
            if self.instances[at].deadline().is_some_and(|at| at <= until) {
                self.instances[at].pass(now, input, out);
                self.settle_at(now, at, out);
            }
        }
    }

    fn wake(&mut self, now: Instant, late: Duration, out: &mut Vec<Action>) {
        let mut concerned = false;
        for instance in &mut self.instances {
            concerned |= instance.wake(now, late, out);
        }
        if concerned {
            out.push(Action::Tell(Notice { at: now, about: None, what: What::Stalled { late } }));
            self.settle(now, out);
        }
    }

    fn hear(&mut self, now: Instant, received: &Received<'_>, out: &mut Vec<Action>) {
        if self.is_heard_below(received.link) {
            return;
        }
        let message = match Message::read(received) {
            Ok(message) => message,
            Err(reason) => return self.discard(now, reason, None, out),
        };
        let vrid = match message.vrid() {
            Ok(vrid) => vrid,
            Err(reason) => return self.discard(now, reason, Some(&message), out),
        };
        let family = message.family();
        self.hear_leaving(now, &message, vrid, out);
        match self.examine(&message, vrid) {
            None => self.discard(now, Discard::UnknownVrid, Some(&message), out),
            Some((at, Finding::Counts(accepted))) => {
                self.instances[at].hear(now, family, &accepted, out);
                self.settle_at(now, at, out);
            }
            Some((at, Finding::Overheard(accepted))) => self.instances[at].overhear(family, &accepted),
            Some((at, Finding::Discarded(reason))) => {
                self.instances[at].discard(now, family, reason, message.source, out);
            }
        }
    }

    /// An instance that was put back while the one before it hands over has its number: both hear the successor.
    fn hear_leaving(&mut self, now: Instant, message: &Message<'_>, vrid: Vrid, out: &mut Vec<Action>) {
        let family = message.family();
        let leaves = |i: &Instance| i.retiring && i.handover.is_some();
        let speaks = |i: &Instance| i.speaks(message.link, vrid, family);
        let Some(at) = self.instances.iter().rposition(|i| leaves(i) && speaks(i)) else { return };
        if !self.instances[..at].iter().any(speaks) {
            return;
        }
        let instance = &mut self.instances[at];
        if message.is_addressed_to(instance)
            && let Ok(accepted) = message.check(instance)
        {
            instance.hear(now, family, &accepted, out);
            self.settle_at(now, at, out);
        }
    }

    /// Counts a datagram that no instance is to blame for.
    fn discard(
        &mut self,
        now: Instant,
        reason: Discard,
        message: Option<&Message<'_>>,
        out: &mut Vec<Action>,
    ) {
        *self.discarded.entry(reason).or_default() += 1;
        if is_news(&mut self.told, now, reason) {
            let what = What::Discarded { reason, source: message.map(|m| m.source) };
            out.push(Action::Tell(Notice { at: now, about: None, what }));
        }
    }

    fn claim(&mut self, now: Instant, claim: Claim, out: &mut Vec<Action>) {
        if self.world.links.is_own_mac(claim.mac) || self.is_heard_below(claim.link) {
            return;
        }
        for at in 0..self.instances.len() {
            let instance = &mut self.instances[at];
            if instance.sites.have(claim.link, claim.address) {
                instance.claimed(now, claim.address, claim.mac, out);
                self.settle_at(now, at, out);
            }
        }
    }

    fn picture(&mut self, now: Instant, picture: Picture, out: &mut Vec<Action>) {
        self.world.links.replace(picture);
        self.world.excluded = None;
        let first = !core::mem::replace(&mut self.world.seen, true);
        self.look_again(now, out);
        for at in 0..self.instances.len() {
            for place in self.instances[at].holding.places() {
                let found = self.world.links.ours_at(place).copied();
                self.instances[at].observe(now, place, found.as_ref(), out);
            }
        }
        for place in self.statics.holding.places() {
            let found = self.world.links.ours_at(place).copied();
            self.observe_static(now, place, found.as_ref(), out);
        }
        if first {
            self.claim_statics();
            self.claim_estates(now, out);
            self.find_strays(out);
        }
        self.settle(now, out);
    }

    fn change(&mut self, now: Instant, change: Change, out: &mut Vec<Action>) {
        match &change {
            Change::RouteGone(route) => return self.unroute(now, *route),
            Change::PathGone(key) => return self.path_gone(now, key, out),
            Change::Link(_) | Change::LinkGone(_) | Change::Address(_) | Change::AddressGone(_) => {}
        }
        self.doubt_paths(&change);
        let place = match &change {
            Change::Address(a) => Some(Place { link: a.link, net: a.net }),
            Change::AddressGone(place) => Some(*place),
            Change::Link(_) | Change::LinkGone(_) | Change::RouteGone(_) | Change::PathGone(_) => None,
        };
        let was_ours = place.is_some_and(|place| self.world.links.ours_at(place).is_some());
        let foreign = match &change {
            Change::Address(a) => !a.ours,
            Change::AddressGone(_) => !was_ours,
            Change::RouteGone(_) | Change::PathGone(_) => false,
            Change::Link(_) | Change::LinkGone(_) => true,
        };
        let foreign = foreign || place.is_some_and(|place| self.statics.have(place));
        let plugged = self.world.links.plugs(&change);
        self.world.links.apply(change);
        if let Some(link) = plugged {
            self.instances.iter_mut().for_each(|instance| instance.plugged(now, link));
        }
        if let Some(place) = place {
            let found = self.world.links.ours_at(place).copied();
            for at in 0..self.instances.len() {
                let instance = &mut self.instances[at];
                if instance.holding.knows(place) && instance.observe(now, place, found.as_ref(), out) {
                    self.settle_at(now, at, out);
                }
            }
            self.observe_static(now, place, found.as_ref(), out);
            self.strays.observe(now, place, found.as_ref());
        }
        if foreign {
            self.look_again(now, out);
            self.settle(now, out);
        }
    }

    /// A local route went, alone or as the first of what is going: which of these will be known in a moment.
    fn unroute(&mut self, now: Instant, route: Place) {
        for instance in self.instances.iter_mut().filter(|i| i.sites.on(route.link).is_some()) {
            if instance.holding.unroute(now, route) {
                instance.plan();
            }
        }
    }

    /// Links or the operator's addresses changed: what depends on them is worked out again.
    fn look_again(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.look_at_interfaces(now, out);
        self.world.pace(out);
        let links = &self.world.links;
        let gone = |link: LinkIndex| links.get(link).is_none();
        self.strays.lost_link(gone);
        self.statics.holding.lost_link(gone);
        for instance in &mut self.instances {
            instance.leave_renamed(now, links, out);
            instance.holding.lost_link(gone);
            instance.forget_placements();
            instance.gates.look_again();
        }
    }

    fn held(&mut self, now: Instant, held: &Held, out: &mut Vec<Action>) {
        if held.instance == STATICS {
            self.statics_held(now, held, out);
        } else if held.instance == STRAYS {
            self.strays.settle(now, held);
        } else if let Some(at) = self.instances.iter().position(|i| i.id == held.instance) {
            self.instances[at].held(now, held, out);
            self.settle_at(now, at, out);
        }
    }

    fn gated(&mut self, now: Instant, gated: &Gated, out: &mut Vec<Action>) {
        let id = gated.router.instance;
        if let Some(at) = self.instances.iter().position(|i| i.id == id) {
            self.instances[at].gated(now, gated, out);
            self.settle_at(now, at, out);
        }
    }

    fn send_failed(
        &mut self,
        now: Instant,
        id: InstanceId,
        family: Family,
        refusal: &Refusal,
        out: &mut Vec<Action>,
    ) {
        if let Some(at) = self.instances.iter().position(|i| i.id == id) {
            self.instances[at].send_failed(now, family, &refusal.why, out);
            self.settle_at(now, at, out);
        }
    }

    fn prioritise(&mut self, now: Instant, name: &str, priority: Priority, out: &mut Vec<Action>) {
        let meant = |instance: &Instance| instance.settings.name == name && !instance.retiring;
        if let Some(at) = self.instances.iter().position(meant) {
            self.instances[at].settings.priority = priority;
            self.settle_at(now, at, out);
        }
    }

    /// Stops if that was asked for. Not before the first picture, which shows what an earlier agent left; and what can be
    /// adopted is adopted first, so that it is handed over like anything else.
    fn end(&mut self, now: Instant, out: &mut Vec<Action>) {
        let known = self.world.seen && !self.instances.iter().any(Instance::is_heir);
        // Beside another agent there will be none, and nothing is ours.
        if !self.ending || self.stopping || !(known || self.world.excluded.is_some()) {
            return;
        }
        self.stopping = true;
        for instance in &mut self.instances {
            instance.retire(now, out);
        }
        self.settle(now, out);
    }

    /// Gives the orders that are due; instances whose work is done go.
    fn order(&mut self, now: Instant, out: &mut Vec<Action>) {
        // First: addresses go in where they answer only if the link is up.
        self.need_links(now, out);
        self.keep_statics();
        for at in 0..self.instances.len() {
            if self.instances[at].holding.is_due(now) {
                self.pass_on(at);
                self.instances[at].renew(now, out);
                let order = self.instances[at].holding.order(now);
                self.instances[at].plan();
                out.extend(order.map(|order| Action::Kernel(KernelWork::Hold(order))));
            }
        }
        if self.strays.is_due(now) {
            for place in self.strays.places() {
                if self.instances.iter().any(|i| i.holding.wants(place)) {
                    self.strays.give_away(place);
                }
            }
            self.keep_wanted_paths();
            let order = self.strays.order(now);
            out.extend(order.map(|order| Action::Kernel(KernelWork::Hold(order))));
        }
        self.order_statics(now, out);
        if !self.strays_gated.is_empty() && self.strays.is_empty() {
            self.gate_strays(out);
        }
        let is_gone = |i: &Instance| i.retiring && i.handover.is_none() && i.holding.is_empty();
        if self.instances.iter().any(is_gone) {
            self.signed = self.signed();
            self.instances.iter_mut().filter(|i| is_gone(i)).for_each(|i| i.forget_gates(now, out));
            self.instances.retain(|i| !is_gone(i));
            self.order_statics(now, out);
            self.need_sockets(now, out);
            self.need_links(now, out);
        }
    }

    /// An address that was moved to an instance that wants it already, or is static now, is not removed but left to it.
    fn pass_on(&mut self, at: usize) {
        for place in self.instances[at].holding.leaving() {
            if self.statics.holding.wants(place) {
                self.instances[at].holding.give_away(place);
            }
        }
        if self.world.moved.is_empty() {
            return;
        }
        for place in self.instances[at].holding.leaving() {
            let wanted = |(other, i): (usize, &Instance)| other != at && i.holding.wants(place);
            let moved = self.world.moved.contains(&place.net.address());
            if moved && self.instances.iter().enumerate().any(wanted) {
                self.instances[at].holding.give_away(place);
            }
        }
    }
}

/// Whether a kind of discard has not been told for a while.
fn is_news(told: &mut BTreeMap<Discard, Instant>, now: Instant, reason: Discard) -> bool {
    let fresh = told.get(&reason).is_none_or(|last| now.since(*last) >= TOLD_EVERY);
    if fresh {
        told.insert(reason, now);
    }
    fresh
}

/// The number under which strays are removed: no instance has it.
const STRAYS: InstanceId = InstanceId(0);
/// Discards of one kind are told once in this time; all are counted.
const TOLD_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
