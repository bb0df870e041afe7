//! What the kernel is to hold for an instance: its addresses and their announcements.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::action::{Action, Announcement, KernelWork, Place, Placement};
use super::announcing::Burst;
use super::event::{Held, LinkAddress};
use super::holding::Observed;
use super::instance::Instance;
use super::notice::{State, What};
use super::routing::{self, Wish};
use super::settings::Address;
use super::status::Duplicate;
use super::world::World;
use crate::net::{LinkIndex, Mac};
use crate::time::{Duration, Instant};

impl Instance {
    /// Looks where addresses are to go. Returns whether that is another picture than before.
    pub(super) fn locate_sites(&mut self, world: &World) -> bool {
        let own = self.settings.housed_families().filter_map(|f| Some((f, self.virtual_link_id(f, world)?)));
        let own = own.collect();
        self.sites.locate(&world.links, &own)
    }

    /// Works out where each virtual address goes, and in which form.
    pub(super) fn place_addresses(&mut self, world: &World) {
        let moved = self.locate_sites(world);
        if self.sites.are_awaited() {
            // One that is being made, or made again: until then, what is known stays.
            self.link = self.sites.link();
            return;
        }
        if !moved && self.placements.len() == self.settings.addresses.len() {
            return;
        }
        self.link = self.sites.link();
        self.holds = false;
        self.gates.look_again();
        // What is in the kernel keeps its form: another prefix would be another address there.
        let known = self.holding.places();
        let known: BTreeMap<_, _> = known.iter().map(|p| ((p.link, p.net.address()), p.net)).collect();
        let mut earlier: BTreeMap<LinkIndex, BTreeSet<IpAddr>> = BTreeMap::new();
        for (link, address) in known.keys() {
            earlier.entry(*link).or_default().insert(*address);
        }
        let place = |address: &Address| {
            let (link, mac) = self.sites.of_address(address, &self.settings)?;
            let earlier = earlier.entry(link).or_default();
            let net = match known.get(&(link, address.address())) {
                Some(kept) => *kept,
                // Its prefix is the peer's.
                None if address.form.peer.is_some() => address.net,
                None => world.links.installed_form(link, address.net, earlier),
            };
            earlier.insert(address.address());
            Some(Placement { place: Place { link, net }, mac, form: address.form })
        };
        self.placements = self.settings.addresses.iter().map(place).collect();
    }

    /// The operator's addresses changed: the forms in which ours go in are worked out again, unless they are in.
    pub(super) fn forget_placements(&mut self) {
        if !self.holds {
            self.placements.clear();
        }
    }

    /// Orders what is not as it should be.
    pub(super) fn keep(&mut self, now: Instant, world: &World, out: &mut Vec<Action>) {
        let holds = self.state == State::Master || self.handover.is_some();
        self.gate(now, world, out);
        if self.is_heir() {
            return;
        }
        if holds && !self.holds {
            let own = |p: &&Placement| {
                self.settings.priority.is_owner()
                    && world.links.foreign(p.place.link, p.place.net.address()).is_some()
            };
            let wanted: Vec<Placement> = self.placed().filter(|p| !own(p)).copied().collect();
            self.holding.want(&wanted);
            self.holding.routing.want(self.wishes());
            self.announcing.start(now, &self.settings.announce);
            // What is there already is not installed again, which would announce it.
            if self.gates.are_open() {
                self.announce(1, Duration::ZERO, out);
            } else if !self.announceable().is_empty() {
                self.announcing.owe(self.settings.announce.repeat);
            }
        }
        if !holds {
            self.announcing.stop();
            self.holding.want_nothing();
        }
        self.holds = holds;
        self.announce_due(now, out);
    }

    fn announce_due(&mut self, now: Instant, out: &mut Vec<Action>) {
        let mut due = self.announcing.due(now, &self.settings.announce);
        let defence = match due {
            Some(Burst::Defence(rounds)) => rounds,
            Some(Burst::Reminder(_)) | None => 0,
        };
        let rounds = defence.max(self.announcing.owed());
        if rounds > 0 {
            // What is still going in is announced as it does, which may be before the reason for this defence.
            let early = self.holding.is_asking();
            self.announcing.owe(if early { rounds } else { 0 });
            due = if early { due } else { Some(Burst::Defence(rounds)) };
        }
        let Some(burst) = due else { return };
        let (rounds, pace) = match burst {
            Burst::Defence(rounds) => (rounds, Duration::ZERO),
            Burst::Reminder(rounds) => (rounds, REMINDER_PACE),
        };
        if self.gates.are_open() {
            self.announce(rounds, pace, out);
        } else {
            // Nobody would hear of it yet.
            self.announcing.owe(rounds.max(self.announcing.owed()));
        }
    }

    fn announce(&self, repeat: u32, pace: Duration, out: &mut Vec<Action>) {
        let addresses = self.announceable();
        if self.state != State::Master || addresses.is_empty() {
            return;
        }
        let announcement = Announcement { instance: self.id, addresses, repeat, pace };
        out.push(Action::Kernel(KernelWork::Announce(announcement)));
    }

    /// What is installed, and of an owner's addresses those that need no installing.
    fn announceable(&self) -> Vec<Placement> {
        let mut addresses = self.holding.announceable();
        if self.settings.priority.is_owner() {
            addresses.extend(self.placed().filter(|p| !self.holding.wants(p.place)));
        }
        addresses
    }

    /// The routes and rules whose links are there.
    pub(super) fn wishes(&self) -> Vec<Wish> {
        let find = |name: &str| self.sites.find(name);
        let wishes = self.settings.paths.iter().filter_map(|path| Wish::of(path, find));
        wishes.collect()
    }

    /// Says what became of a route or rule.
    pub(super) fn tell_of_path(&self, now: Instant, news: (String, Observed), out: &mut Vec<Action>) {
        if let Some(what) = routing::told(news) {
            self.tell(now, what, out);
        }
    }

    /// Takes the answer to an order.
    pub(super) fn held(&mut self, now: Instant, held: &Held, out: &mut Vec<Action>) {
        let refused = self.holding.settle(now, held);
        for (net, refusal) in refused.addresses {
            self.tell(now, What::AddressRefused { net, why: refusal.why }, out);
        }
        for (path, refusal) in refused.paths {
            self.tell(now, What::PathRefused { path, why: refusal.why }, out);
        }
        for key in self.holding.routing.vanished() {
            if let Some(news) = self.holding.routing.lose(now, &key) {
                self.tell_of_path(now, news, out);
            }
        }
        for place in self.holding.vanished() {
            self.observe(now, place, None, out);
        }
    }

    /// The kernel reports what is at one of our places. Says whether that changes anything: most reports say what
    /// was ordered, a thousand of them when a thousand addresses are taken.
    pub(super) fn observe(
        &mut self,
        now: Instant,
        place: Place,
        found: Option<&LinkAddress>,
        out: &mut Vec<Action>,
    ) -> bool {
        let observed = self.holding.observe(now, place, found);
        match (observed, found) {
            (Observed::Nothing, _) => {}
            // Routes by it went without a word.
            (_, None) => self.holding.routing.doubt(place.link, Some(place.net.address())),
            (_, Some(_)) => self.holding.routing.hope(),
        }
        match observed {
            Observed::Nothing => return false,
            Observed::Turned => {}
            Observed::Lost => self.tell(now, What::AddressLost { net: place.net }, out),
            Observed::Left => self.tell(now, What::AddressLeft { net: place.net }, out),
            Observed::Fought => self.tell(now, What::AddressFight { net: place.net }, out),
        }
        true
    }

    /// Addresses that have no route any more are taken away and put back, which makes one.
    pub(super) fn renew(&mut self, now: Instant, out: &mut Vec<Action>) {
        for (place, lost) in self.holding.renew(now) {
            let net = place.net;
            let what = if lost { What::RouteLost { net } } else { What::AddressFight { net } };
            self.tell(now, what, out);
        }
    }

    /// A link has a carrier again: a master that went on without has been heard by nobody meanwhile.
    pub(super) fn plugged(&mut self, now: Instant, link: LinkIndex) {
        if self.state == State::Master && self.link == Some(link) {
            self.announcing.defend(now, self.settings.interval);
        }
    }

    /// Another host says that an address of ours is its own.
    pub(super) fn claimed(&mut self, now: Instant, address: IpAddr, mac: Mac, out: &mut Vec<Action>) {
        if let Some(handover) = &mut self.handover {
            handover.announce(address);
        } else if self.state == State::Master {
            self.duplicate =
                Some(Duplicate { at: now, who: alloc::format!("{mac}, which claims {address}") });
            if self.announcing.defend(now, self.settings.interval) {
                self.tell(now, What::ForeignClaim { address, mac }, out);
            }
        }
    }
}

/// Reminders are in no hurry: switches police ARP at some hundreds a second.
const REMINDER_PACE: Duration = Duration::from_millis(2);
