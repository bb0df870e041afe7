//! Going on where an earlier agent on this host stopped, as if nothing had been: its addresses are there, and its lease
//! has not run out, so no backup has reason to take over yet.
//!
//! ```text
//!   first picture: addresses, link and lease are as they were      sockets are open
//!   |                what is there stays, the lease runs on        |
//!   +--------------------------------------------------------------+-----> MASTER, with an advert at once
//!   |                                                              |
//!   +-> BACKUP: shut, removed, as anything left behind        <----+ a lease that is about to end, a fault
//! ```
//!
//! The gate is made anew meanwhile, with a lease that ends when it ended before. An advert that leaves while that is being done
//! may move the end of the old one only, and the next is an interval away. So there is one more as soon as the gate is made.
//!
//! The lease is what makes this safe: who adopts it is, to everybody else, the agent that went silent a moment ago. A
//! lease that is over has let somebody else begin, and is never adopted. Nor is the fourth within a minute, unless it was
//! handed on: an agent that keeps falling is better replaced by another node. What is not adopted although its lease
//! lives, or is not configured any more, is resigned with priority 0, so that nobody waits for it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::IpAddr;

use super::Engine;
use super::action::{Action, Datagram, Endpoint, Form, Place, Placement};
use super::inheritance::{Estate, Identity, Inheritance, Inherited};
use super::instance::Instance;
use super::member::Member;
use super::notice::{Notice, Reason, State, What};
use super::sockets::Standing;
use super::world::World;
use crate::net::Family;
use crate::proto::vrrp::Input;
use crate::time::{Duration, Instant};

/// What an earlier agent left to an instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Heritage {
    /// What it held, as long as it is not decided whether it is adopted.
    estate: Option<Estate>,
    /// What was given up although its lease lives, until others have been told.
    renounced: Option<Estate>,
    /// Whether that agent ended on purpose.
    handed_on: bool,
    /// Whether the first advert left before the gates were made.
    unconfirmed: bool,
    /// When it was last adopted from an agent that fell.
    adoptions: Vec<Instant>,
}

impl Engine {
    /// What is there for the next agent on this host, should this one end now.
    pub fn bequest(&self) -> Inheritance {
        let instances = self.instances.iter().filter(|instance| !instance.retiring);
        Inheritance {
            instances: instances.map(Instance::bequeath).collect(),
            checks: self.world.verdicts.words(),
            values: self.world.verdicts.values(),
            handed_on: false,
        }
    }

    /// The first picture is there: what is as an earlier agent left it stays so.
    pub(super) fn claim_estates(&mut self, now: Instant, out: &mut Vec<Action>) {
        for instance in &mut self.instances {
            instance.claim_estate(now, &self.world, out);
        }
        self.world.moved = self.moved();
        self.unclaimed.retain(|left| left.estate.is_some());
        for left in &self.unclaimed {
            let about = Some((left.id, left.name.clone()));
            let what = What::NotAdopted { why: "it is not configured any more" };
            out.push(Action::Tell(Notice { at: now, about, what }));
        }
    }

    /// Where the resignations are to be said that no instance says.
    pub(super) fn unclaimed_endpoints(&self) -> impl Iterator<Item = Endpoint> {
        let estates = self.unclaimed.iter().filter_map(|left| left.estate.as_ref());
        let endpoints = estates.flat_map(|estate| &estate.resignations).map(|datagram| datagram.endpoint);
        endpoints.filter(|endpoint| self.world.links.get(endpoint.link).is_some_and(|link| link.up))
    }

    /// From when on the next of them is of no use.
    pub(super) fn unclaimed_deadline(&self) -> Option<Instant> {
        let estates = self.unclaimed.iter().filter_map(|left| left.estate.as_ref());
        estates.flat_map(|estate| estate.leases.values().copied()).min()
    }

    /// What is not configured any more is resigned where that can be said.
    pub(super) fn resign_unclaimed(&mut self, now: Instant, out: &mut Vec<Action>) {
        if !self.world.seen {
            return;
        }
        let World { links, sockets, .. } = &self.world;
        let speaks = |endpoint: Endpoint| {
            links.get(endpoint.link).is_some_and(|link| link.up)
                && sockets.standing(endpoint) == Standing::Open
        };
        self.unclaimed.retain_mut(|left| {
            left.estate.as_mut().is_some_and(|estate| {
                estate.resign(now, speaks, out);
                !estate.resignations.is_empty()
            })
        });
    }
}

impl Estate {
    /// Resigns where that can be said and has not been, while the leases live.
    fn resign(&mut self, now: Instant, speaks: impl Fn(Endpoint) -> bool, out: &mut Vec<Action>) {
        self.leases.retain(|_, end| *end > now);
        self.resignations.retain(|datagram| {
            let lives = self.leases.contains_key(&datagram.endpoint.family);
            let speaks = speaks(datagram.endpoint);
            if speaks && lives {
                out.push(Action::Send(datagram.clone()));
            }
            !speaks && lives
        });
    }
}

impl Instance {
    fn bequeath(&self) -> Inherited {
        let holds = self.state == State::Master && self.handover.is_none();
        let estate = || Estate {
            interval: self.settings.interval,
            places: self.placed().map(|placement| placement.place).collect(),
            leases: self.unkept_leases(),
            resignations: self.resignations(),
        };
        Inherited {
            identity: Identity::of(&self.settings),
            name: self.settings.name.clone(),
            id: self.id,
            term: self.gates.term(),
            stepped_down: self.stepped_down,
            adoptions: self.heritage.adoptions.clone(),
            // What is not decided yet is still there for the next one.
            estate: self.heritage.estate.clone().or_else(|| holds.then(estate)),
        }
    }

    /// Until when others take it for alive, if no gate knows that: without addresses there is none.
    fn unkept_leases(&self) -> BTreeMap<Family, Instant> {
        let bare = self.addresses.is_empty() && self.is_leased();
        self.members.iter().filter(|_| bare).map(|member| (member.family, member.alive_until)).collect()
    }

    fn resignations(&self) -> Vec<Datagram> {
        self.members.iter().flat_map(|member| member.resignation(&self.settings, self.id)).collect()
    }

    /// Takes over what was left to it, if it was by an agent that handed it on, or by one that fell.
    pub(super) fn inherit(&mut self, inherited: Inherited, handed_on: bool) {
        self.heritage.handed_on = handed_on;
        self.stepped_down = inherited.stepped_down;
        self.gates.go_on_from(inherited.term);
        self.heritage.adoptions = inherited.adoptions;
        self.heritage.estate = inherited.estate;
        self.plan();
    }

    /// Whether it may still go on where the earlier agent stopped.
    pub(super) fn is_heir(&self) -> bool {
        self.heritage.estate.is_some()
    }

    /// Looks whether everything is as it was left. Then it stays so until the sockets are there, and otherwise not.
    fn claim_estate(&mut self, now: Instant, world: &World, out: &mut Vec<Action>) {
        let Some(estate) = self.heritage.estate.take() else { return };
        self.locate_sites(world);
        let found = match self.judge_estate(now, &estate, world) {
            Ok(found) => found,
            Err(why) => {
                self.heritage.estate = Some(estate);
                return self.renounce(now, why, out);
            }
        };
        self.holding.inherit(&found);
        let sign_of_life = estate.interval * self.settings.missed_adverts;
        for member in &mut self.members {
            let until = estate.leases.get(&member.family).copied().unwrap_or_default();
            member.inherit(until, sign_of_life);
        }
        self.skip_startup_delay();
        self.heritage.estate = Some(estate);
    }

    /// What of its addresses is there, or why none of it is to stay.
    fn judge_estate(
        &self,
        now: Instant,
        estate: &Estate,
        world: &World,
    ) -> Result<Vec<Placement>, &'static str> {
        let leased = |family| estate.leases.contains_key(&family);
        if !self.is_leased() || !self.members.iter().all(|member| leased(member.family)) {
            return Err("no lease of it is in force");
        }
        if !self.heritage.handed_on
            && self.heritage.adoptions.iter().filter(|at| now.since(**at) < ADOPTIONS_WITHIN).count()
                >= ADOPTIONS
        {
            return Err("it was adopted three times within a minute");
        }
        // Until its second advert the addresses would be dark, and others might take over.
        if self.settings.interval > estate.interval {
            return Err("the advert interval is longer than it was");
        }
        if self.estate_lapses(estate) <= now {
            return Err("its lease is about to end");
        }
        self.sites.link().ok_or("the interface is gone")?;
        let is_there =
            |place: &&Place| self.sites.on(place.link).is_some() && world.links.ours_at(**place).is_some();
        let (there, gone): (Vec<&Place>, Vec<&Place>) = estate.places.iter().partition(is_there);
        if gone.iter().any(|place| self.addresses.contains(&place.net.address())) {
            return Err("its addresses are gone");
        }
        let never_had = self.addresses.is_empty() && estate.places.is_empty();
        if !never_had && !there.iter().any(|place| self.addresses.contains(&place.net.address())) {
            return Err("its addresses are not configured any more");
        }
        // With those that another instance had: they come along.
        let places: BTreeSet<Place> = there.into_iter().copied().chain(self.own_places(world)).collect();
        let forms: BTreeMap<IpAddr, Form> =
            self.settings.addresses.iter().map(|address| (address.address(), address.form)).collect();
        let placement = |place: Place| {
            let mac = self.sites.mac_on(place.link);
            // What it was like before is not known, and no reason to take it away.
            let form = forms.get(&place.net.address()).copied().unwrap_or_default();
            Placement { place, mac, form }
        };
        Ok(places.into_iter().map(placement).collect())
    }

    /// Where its addresses are, whoever of us put them there.
    fn own_places(&self, world: &World) -> impl Iterator<Item = Place> {
        let own = world.links.ours().filter(|address| self.sites.have(address.link, address.net.address()));
        own.map(|address| Place { link: address.link, net: address.net })
    }

    /// From when on it is too late: an advert that is a little late would find the lease over.
    fn estate_lapses(&self, estate: &Estate) -> Instant {
        let leases = self.members.iter().map(|member| estate.leases.get(&member.family).copied());
        let end = leases.min().flatten().unwrap_or_default();
        end - (estate.interval / 4).max(LEAST_LEFT)
    }

    /// When it has to have come to a decision.
    pub(super) fn estate_deadline(&self) -> Option<Instant> {
        self.heritage.estate.as_ref().map(|estate| self.estate_lapses(estate))
    }

    /// Gives up what cannot be adopted any more.
    pub(super) fn check_estate(&mut self, now: Instant, obstacle: Option<&Reason>, out: &mut Vec<Action>) {
        let late = obstacle.is_none_or(|reason| reason.is_passing() && *reason != Reason::Stopping);
        if self.estate_deadline().is_none_or(|lapses| now < lapses) && late {
            return;
        }
        self.renounce(now, if late { "its lease is about to end" } else { "something is in the way" }, out);
    }

    /// Gives it up: it is another node's turn.
    pub(super) fn renounce(&mut self, now: Instant, why: &'static str, out: &mut Vec<Action>) {
        if let Some(estate) = self.heritage.estate.take() {
            self.tell(now, What::NotAdopted { why }, out);
            self.heritage.renounced =
                Some(estate).filter(|estate| estate.leases.values().any(|end| *end > now));
        }
    }

    /// Nobody will go on as the master that others may still wait for: as soon as that can be said, it is.
    pub(super) fn resign_for_the_dead(&mut self, now: Instant, out: &mut Vec<Action>) {
        let Some(mut estate) = self.heritage.renounced.take() else { return };
        if self.settings.signs() {
            estate.leases.retain(|_, end| *end > now);
            let Self { id, settings, members, .. } = self;
            for member in members.iter_mut().filter(|member| member.voice.is_some()) {
                if estate.leases.remove(&member.family).is_some() {
                    member.resign(now, settings, *id, out);
                }
            }
            self.heritage.renounced = Some(estate).filter(|estate| !estate.leases.is_empty());
            return;
        }
        let speaks = |Endpoint { link, family }| {
            let speaks = |m: &Member| m.family == family && m.voice.is_some_and(|voice| voice.link == link);
            self.members.iter().any(speaks)
        };
        estate.resign(now, speaks, out);
        self.heritage.renounced = Some(estate).filter(|estate| !estate.resignations.is_empty());
    }

    /// Nothing is in the way: goes on as master.
    pub(super) fn adopt(&mut self, now: Instant, out: &mut Vec<Action>) {
        let Some(estate) = self.heritage.estate.take() else { return };
        let left = estate.leases.values().min().map_or(Duration::ZERO, |end| end.since(now));
        self.reason = Reason::Adopted { left };
        self.heritage.adoptions.retain(|at| now.since(*at) < ADOPTIONS_WITHIN);
        if !self.heritage.handed_on {
            self.heritage.adoptions.push(now);
        }
        self.heritage.unconfirmed = !self.gates.are_open();
        self.pass(now, Input::Adopt, out);
    }

    /// The gates are made: what it said before may have moved the ends of those that were there.
    pub(super) fn confirm(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.gates.are_open() && core::mem::take(&mut self.heritage.unconfirmed) {
            self.pass(now, Input::Repeat, out);
        }
    }
}

/// So many adoptions are allowed within [`ADOPTIONS_WITHIN`].
const ADOPTIONS: usize = 3;
const ADOPTIONS_WITHIN: Duration = Duration::from_secs(60);
/// With less than this left of a lease, or a quarter of an interval, nothing is begun.
const LEAST_LEFT: Duration = Duration::from_millis(20);
