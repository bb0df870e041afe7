//! What an instance's addresses may answer, installed or not: the orders to the gate, and what comes back.
//!
//! ```text
//!   BACKUP FAULT INIT    shut: what an earlier agent left, or what is on its way out, answers nobody
//!   MASTER               open, on a lease that begins with the advert that began the term
//!   adopting             open, on the lease of an earlier agent
//!   handing over         open until a successor is heard, then frames only; the lease goes on, but no farther
//!                        than the hand-over
//! ```
//!
//! Orders are given when the wanted state changes, never for an advert: adverts move the lease's end by themselves
//! as they leave. Addresses go in while the gate is being opened; they are announced when both is done.
//!
//! A master whose gate has not answered its first order after a whole lease keeps the others away by its adverts and
//! serves nobody: it resigns, and stays out for a while.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::action::{Action, Gate, Generation, KernelWork, Lease, Passage, Place, RouterId, VirtualGate};
use super::event::{Gated, Gating};
use super::instance::Instance;
use super::member::Member;
use super::notice::{Reason, State, What};
use super::retreat::Retreat;
use super::world::World;
use crate::net::{Family, LinkIndex, Vrid};
use crate::proto::vrrp::Input;
use crate::time::{Duration, Instant};

/// An instance's gates.
#[derive(Clone, Debug)]
pub(super) struct Gates {
    generation: Generation,
    /// Which time as master it is, or was.
    term: u64,
    /// Whether that began here, and not with an earlier agent.
    begun: bool,
    /// One for each family that has addresses to gate.
    standing: BTreeMap<Family, Standing>,
    /// Whether the addresses to gate may have changed.
    stale: bool,
    /// When they did not open.
    retreat: Retreat,
    /// Until when there is no point in being master, because they do not open.
    stuck_until: Option<Instant>,
    /// When to ask again for a gate that was not to be had, if nothing can be done without.
    retry_at: Option<Instant>,
}

/// One gate.
#[derive(Clone, Debug)]
struct Standing {
    generation: Generation,
    /// What was asked for; `None` if it has to be asked for again.
    asked: Option<Wanted>,
    places: Vec<Place>,
    /// `None` until the newest order is answered.
    answer: Option<Gating>,
    /// The term as master that it was asked for.
    term: u64,
    /// Since when that term's first answer is awaited.
    awaited: Option<Instant>,
}

/// What an order says, but for moments and addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    passage: Passage,
    /// The lease's end comes nearer.
    leaving: bool,
    lease: Option<(Duration, Vrid, IpAddr, LinkIndex)>,
    /// By which address the interface below asks.
    source: Option<IpAddr>,
    accept: bool,
    term: u64,
}

impl Gates {
    pub(super) fn new() -> Self {
        Self {
            generation: Generation(0),
            term: 0,
            begun: false,
            standing: BTreeMap::new(),
            stale: true,
            retreat: Retreat::default(),
            stuck_until: None,
            retry_at: None,
        }
    }

    /// A new term as master begins: a lease may begin again.
    pub(super) fn begin_term(&mut self) {
        self.term += 1;
        self.begun = true;
    }

    /// Which time as master it is, or was.
    pub(super) fn term(&self) -> u64 {
        self.term
    }

    /// An earlier agent had so many terms.
    pub(super) fn go_on_from(&mut self, term: u64) {
        self.term = term;
    }

    /// The addresses to gate are worked out again.
    pub(super) fn look_again(&mut self) {
        self.stale = true;
    }

    /// Asks again, if it is time.
    pub(super) fn retry(&mut self, now: Instant) {
        if self.retry_at.take_if(|at| *at <= now).is_some() {
            self.ask_again();
        }
    }

    /// The gates are asked how they stand.
    pub(super) fn ask_again(&mut self) {
        self.standing.values_mut().for_each(|gate| gate.asked = None);
    }

    /// Whether what is wanted passes, as far as there is a gate.
    pub(super) fn are_open(&self) -> bool {
        self.standing.values().all(|gate| {
            gate.asked.is_some_and(|asked| asked.passage == Passage::Shut)
                || matches!(gate.answer, Some(Gating::Open | Gating::Unavailable(_)))
        })
    }

    /// When a master has waited for them in vain, if `extension` is how long others take it for alive.
    fn stuck_at(&self, extension: Duration) -> Option<Instant> {
        let awaited = self.standing.values().filter_map(|gate| gate.awaited);
        awaited.map(|since| since + extension).min()
    }

    /// Gives up if they have been waited for in vain until now, and takes heart again after a while.
    fn weigh(&mut self, now: Instant, waited_for: Option<Instant>) {
        if waited_for.is_some_and(|at| at <= now) {
            self.stuck_until = Some(self.retreat.begin(now));
        }
        self.stuck_until = self.stuck_until.filter(|until| now < *until);
    }

    /// Whether the role was given up because they did not open.
    pub(super) fn are_stuck(&self) -> bool {
        self.stuck_until.is_some()
    }

    /// Whether the gate of a family is open, as far as is known.
    pub(super) fn is_open(&self, family: Family) -> bool {
        self.standing.get(&family).is_some_and(|gate| {
            gate.asked.is_some_and(|asked| asked.passage == Passage::Open)
                && gate.answer == Some(Gating::Open)
        })
    }

    /// Why there is no gate although there should be.
    pub(super) fn missing(&self) -> Option<&str> {
        self.standing.values().find_map(|gate| match &gate.answer {
            Some(Gating::Unavailable(why)) => Some(why.as_str()),
            Some(Gating::Open | Gating::Dark | Gating::Lost(_)) | None => None,
        })
    }
}

impl Instance {
    /// Whether its addresses answer on a lease: an owner's are the host's own, and never gated.
    pub(super) fn is_leased(&self) -> bool {
        self.settings.lease && !self.settings.priority.is_owner()
    }

    /// How long the addresses answer after an advert: no backup with the same settings waits less.
    pub(super) fn lease_extension(&self) -> Duration {
        self.settings.sign_of_life()
    }

    /// How long it may have been silent and still be master. An advert that is late by more might leave when the
    /// lease is over, and does not bring it back.
    pub(super) fn longest_silence(&self) -> Duration {
        let lease = self.lease_extension();
        if self.is_leased() { lease.saturating_sub((self.settings.interval / 4).max(GRAIN)) } else { lease }
    }

    /// When a master whose gates do not open has to give up, or may try again.
    pub(super) fn gates_deadline(&self) -> Option<Instant> {
        let stuck = self.gates_stuck_at().or(self.gates.stuck_until);
        [stuck, self.gates.retry_at].into_iter().flatten().min()
    }

    fn gates_stuck_at(&self) -> Option<Instant> {
        let waits = self.state == State::Master;
        self.gates.stuck_at(self.lease_extension()).filter(|_| waits)
    }

    /// Gives up as a master whose gates do not open.
    pub(super) fn weigh_gates(&mut self, now: Instant) {
        let stuck_at = self.gates_stuck_at();
        self.gates.weigh(now, stuck_at);
    }

    /// Orders what is not as it was ordered last.
    pub(super) fn gate(&mut self, now: Instant, world: &World, out: &mut Vec<Action>) {
        let stale = core::mem::take(&mut self.gates.stale);
        for family in [Family::Ipv4, Family::Ipv6] {
            let mut wanted = self.wanted(family, self.future_source(family, world));
            wanted.source = self.source_below(family, world);
            let known = self.gates.standing.get(&family);
            let asked = known.is_some_and(|gate| gate.asked == Some(wanted));
            let places = match known {
                None if !stale => continue,
                Some(_) if !stale && asked => continue,
                Some(gate) if !stale => gate.places.clone(),
                Some(_) | None => self.gated_places(family, world),
            };
            if known.map_or(places.is_empty(), |gate| asked && gate.places == places) {
                continue;
            }
            let id = self.virtual_link_id(family, world);
            let virtual_link = id.zip(self.sites.own(family));
            let source = wanted.source;
            let virtual_link = virtual_link.map(|(id, link)| VirtualGate { link, id, source });
            self.order_gate(now, family, wanted, places, virtual_link, out);
        }
    }

    /// The instance goes: its addresses are gated no longer.
    pub(super) fn forget_gates(&mut self, now: Instant, out: &mut Vec<Action>) {
        let families: Vec<Family> = self.gates.standing.keys().copied().collect();
        for family in families {
            let wanted = self.wanted(family, self.last_source(family));
            self.order_gate(now, family, wanted, Vec::new(), None, out);
        }
    }

    /// The router that speaks for the addresses of a family: what no advert lists is in the first one's care.
    fn carrier(&self, family: Family) -> Option<&Member> {
        self.members.iter().find(|member| member.family == family).or(self.members.first())
    }

    fn wanted(&self, family: Family, source: IpAddr) -> Wanted {
        let carrier = self.carrier(family);
        let speaks = carrier.is_some_and(|member| member.router.is_master());
        let carried = carrier.map_or(family, |member| member.family);
        let passage = match &self.handover {
            // Frames follow the successor's adverts, and what we say would bring them back.
            Some(handover)
                if handover.succeeded().contains(&carried) && self.settings.virtual_mac.is_some() =>
            {
                Passage::Shut
            }
            Some(handover) if handover.succeeded().contains(&carried) => Passage::FramesOnly,
            Some(_) => Passage::Open,
            None if self.state == State::Master && speaks => Passage::Open,
            // The lease runs on as it is, which an order with its end does not change.
            None if self.is_heir() => Passage::Open,
            None => Passage::Shut,
        };
        // Without a link nothing is open.
        let link = self.link.unwrap_or(LinkIndex(0));
        let lease = self.is_leased().then(|| (self.lease_extension(), self.settings.vrid, source, link));
        let (accept, leaving) = (self.settings.accept, self.handover.is_some());
        Wanted { passage, leaving, lease, source: None, accept, term: self.gates.term }
    }

    /// Where its adverts will come from: known before the socket is there, so that nothing is left to change at the gate
    /// when it takes over.
    fn future_source(&self, family: Family, world: &World) -> IpAddr {
        let link = world.links.named(&self.settings.interface);
        let carried = self.carrier(family).map_or(family, |member| member.family);
        let source = link.and_then(|link| world.links.source(link.index, carried, &self.settings));
        source.unwrap_or_else(|| self.last_source(family))
    }

    /// By which address the interface below the link of its own asks for neighbours.
    fn source_below(&self, family: Family, world: &World) -> Option<IpAddr> {
        self.settings.virtual_mac.as_ref()?;
        let link = world.links.named(&self.settings.interface)?;
        world.links.source(link.index, family, &self.settings)
    }

    fn last_source(&self, family: Family) -> IpAddr {
        self.carrier(family).map_or(family.group(), |member| member.router.settings().source)
    }

    /// An address that the host has of its own, here or elsewhere, is the host's to answer for: a service that is
    /// bound to it on the loopback (direct server return) goes on whoever is master.
    fn gated_places(&self, family: Family, world: &World) -> Vec<Place> {
        if self.settings.priority.is_owner() {
            return Vec::new();
        }
        let places = self.placed().map(|placement| placement.place);
        places
            .filter(|place| place.net.family() == family && !world.links.is_foreign(place.net.address()))
            .collect()
    }

    fn order_gate(
        &mut self,
        now: Instant,
        family: Family,
        wanted: Wanted,
        places: Vec<Place>,
        virtual_link: Option<VirtualGate>,
        out: &mut Vec<Action>,
    ) {
        let alive_until = self.carrier(family).map(|member| member.alive_until).unwrap_or_default();
        let gates = &mut self.gates;
        gates.generation.0 += 1;
        let generation = gates.generation;
        if places.is_empty() {
            gates.standing.remove(&family);
        } else {
            let known = gates.standing.get(&family);
            let awaited = match known.filter(|gate| gate.term == wanted.term) {
                Some(gate) => gate.awaited,
                None => Some(now).filter(|_| gates.begun),
            };
            let gate = Standing {
                generation,
                asked: Some(wanted),
                places: places.clone(),
                answer: None,
                term: wanted.term,
                awaited: awaited.filter(|_| wanted.passage == Passage::Open),
            };
            gates.standing.insert(family, gate);
        }
        // If nobody comes, the next term begins at the bound: not a tick too late.
        let until = self.handover.as_ref().map_or(alive_until, |h| alive_until.min(h.bound() + 2 * GRAIN));
        let (cut, term) = (wanted.leaving, wanted.term);
        let lease =
            |(extension, vrid, source, link)| Lease { until, cut, extension, vrid, source, link, term };
        let lease = wanted.lease.map(lease);
        let router = RouterId { instance: self.id, family };
        let (passage, accept) = (wanted.passage, wanted.accept);
        let gate = Gate { router, generation, passage, lease, places, accept, virtual_link };
        out.push(Action::Kernel(KernelWork::Gate(gate)));
    }

    /// Takes what a gate says.
    pub(super) fn gated(&mut self, now: Instant, gated: &Gated, out: &mut Vec<Action>) {
        let gate = self.gates.standing.get_mut(&gated.router.family);
        let Some(gate) = gate.filter(|gate| gate.generation == gated.generation) else { return };
        // What could not be had is not lost again with each attempt.
        let had = gate.asked.is_some() && !matches!(gate.answer, Some(Gating::Unavailable(_)));
        gate.answer = Some(gated.state.clone());
        gate.awaited = None;
        if self.settings.virtual_mac.is_some() && matches!(gated.state, Gating::Unavailable(_)) {
            self.gates.retry_at = Some(now + RETRY);
        }
        match &gated.state {
            Gating::Open | Gating::Unavailable(_) => self.confirm(now, out),
            Gating::Dark if self.is_heir() => {
                if !self.gates.are_open() {
                    self.renounce(now, "its lease is over", out);
                }
            }
            Gating::Dark => {
                if self.state == State::Master && !self.gates.are_open() {
                    self.tell(now, What::LeaseOver, out);
                    self.listening = Reason::Stalled;
                    self.pass(now, Input::Stalled, out);
                }
            }
            Gating::Lost(why) => {
                // Both families' gates stand in one table: one sentence will do.
                if had {
                    self.tell(now, What::GateLost { why: why.clone() }, out);
                }
                self.gates.ask_again();
            }
        }
    }
}

/// How often a gate is asked for that was not to be had, if nothing can be done without.
const RETRY: Duration = Duration::from_secs(1);

/// Kernels count a lease in ticks of up to 10 ms, and end it up to a tick early.
const GRAIN: Duration = Duration::from_millis(10);
