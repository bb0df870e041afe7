//! What an instance wants in the kernel, address by address, and what it knows to be there.
//!
//! Orders are wanted states with a generation. An order lists everything that is not known to be as wanted, so a
//! newer one replaces an older one whole, whatever became of that. Knowledge comes from answers and from the
//! kernel's own reports alike; a refusal is retried at a deadline, with a growing pause; somebody else who keeps
//! removing an address is opposed more slowly after the fifth time in ten seconds.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::action::{Form, Generation, Hold, InstanceId, Place, Placement};
use super::event::{Held, LinkAddress, Refusal};
use super::routing::Routing;
use crate::net::{IpNet, LinkIndex};
use crate::time::{Duration, Instant};

/// The addresses of one instance.
#[derive(Clone, Debug)]
pub(super) struct Holding {
    instance: InstanceId,
    generation: Generation,
    /// Something changed that no order says yet.
    dirty: bool,
    entries: BTreeMap<Place, Entry>,
    /// The earliest retry among the entries.
    retry_at: Option<Instant>,
    /// The routes and rules that belong to the addresses.
    pub(super) routing: Routing,
}

#[derive(Clone, Debug)]
struct Entry {
    placement: Placement,
    wanted: bool,
    kernel: Kernel,
    /// While an order is under way: the last report said that it is gone.
    gone: bool,
    /// What the kernel last said of it, by a report or an answer.
    there: bool,
    failure: Option<Failure>,
    repairs: Repairs,
    unrouted: Option<Unrouted>,
}

/// An address is there, but without its local route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unrouted {
    /// It may be on its way out itself, as when the link goes down: a moment tells.
    Since(Instant),
    /// It is to be removed, and then installed.
    Renewing,
}

/// What is known of an address in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    Absent,
    Present,
    /// An order is under way.
    Asked,
}

/// Why something that is wanted is not there.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) why: String,
    pause: Duration,
    pub(super) retry_at: Option<Instant>,
    /// It is left at that.
    for_good: bool,
}

/// When the last repairs were: the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Repairs {
    at: [Option<Instant>; REPAIRS],
}

/// What the kernel refused of what is wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Refused {
    pub(super) addresses: Vec<(IpNet, Refusal)>,
    pub(super) paths: Vec<(String, Refusal)>,
}

/// What came of an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Observed {
    /// Nothing that was not known, or an order is under way.
    Nothing,
    /// It is there, or gone, and nobody is to hear of that.
    Turned,
    /// Somebody else removed an address that is wanted.
    Lost,
    /// The same, of an address that is to stay away then.
    Left,
    /// The same, too often: from now on it goes back slowly.
    Fought,
}

impl Holding {
    /// Nothing wanted, nothing known.
    pub(super) fn new(instance: InstanceId) -> Self {
        Self {
            instance,
            generation: Generation(0),
            dirty: false,
            entries: BTreeMap::new(),
            retry_at: None,
            routing: Routing::default(),
        }
    }

    /// From now on exactly these addresses are wanted.
    pub(super) fn want(&mut self, placements: &[Placement]) {
        let mut unwanted: BTreeSet<Place> = self.entries.keys().copied().collect();
        for placement in placements {
            unwanted.remove(&placement.place);
            let entry = self
                .entries
                .entry(placement.place)
                .or_insert_with(|| Entry::new(*placement, false, Kernel::Absent));
            let reformed = entry.is_reformed(placement.form);
            entry.placement = *placement;
            self.dirty |= entry.turn(true);
            if reformed {
                entry.unrouted = Some(Unrouted::Renewing);
                self.dirty = true;
            }
        }
        for place in unwanted {
            if let Some(entry) = self.entries.get_mut(&place) {
                self.dirty |= entry.turn(false);
            }
        }
        self.forget_settled();
    }

    /// From now on none is wanted.
    pub(super) fn want_nothing(&mut self) {
        for entry in self.entries.values_mut() {
            self.dirty |= entry.turn(false);
        }
        self.forget_settled();
        self.routing.want_nothing();
    }

    /// These are there already, and wanted as long as nobody says otherwise.
    pub(super) fn inherit(&mut self, placements: &[Placement]) {
        for placement in placements {
            self.entries.insert(placement.place, Entry::new(*placement, true, Kernel::Present));
        }
    }

    /// An address with our mark that no instance knows: it is to go.
    pub(super) fn remove_stray(&mut self, place: Place) {
        self.dirty |= !self.knows(place);
        self.entries.entry(place).or_insert_with(|| Entry::new(place.into(), false, Kernel::Present));
    }

    /// Whether a place is among the addresses, wanted or on its way out.
    pub(super) fn knows(&self, place: Place) -> bool {
        self.entries.contains_key(&place)
    }

    /// Whether an address is wanted here.
    pub(super) fn wants(&self, place: Place) -> bool {
        self.entries.get(&place).is_some_and(|e| e.wanted)
    }

    /// Forgets a place without removing it, because another holding wants it now.
    pub(super) fn give_away(&mut self, place: Place) {
        self.entries.remove(&place);
    }

    /// A link is gone: its addresses are not there any more, and nothing need be removed.
    pub(super) fn lost_link(&mut self, gone: impl Fn(LinkIndex) -> bool) {
        self.entries.retain(|place, _| !gone(place.link));
        self.routing.lost_link(gone);
    }

    /// The kernel reports what is at a place: `None` says nothing is.
    pub(super) fn observe(&mut self, now: Instant, place: Place, found: Option<&LinkAddress>) -> Observed {
        let Some(entry) = self.entries.get_mut(&place) else {
            return Observed::Nothing;
        };
        let present = found.is_some_and(|a| a.ours);
        entry.there = present;
        match (entry.kernel, present) {
            // An order is under way, and its answer decides; but it does not know of what came after it.
            (Kernel::Asked, present) => {
                entry.gone = !present;
                Observed::Nothing
            }
            (Kernel::Present, true) | (Kernel::Absent, false) => Observed::Nothing,
            (Kernel::Absent, true) => {
                entry.kernel = Kernel::Present;
                if entry.wanted {
                    entry.failure = None;
                    self.plan_retry();
                } else {
                    self.dirty = true;
                }
                Observed::Turned
            }
            (Kernel::Present, false) => {
                entry.kernel = Kernel::Absent;
                entry.unrouted = None;
                if !entry.wanted {
                    self.forget_settled();
                    return Observed::Turned;
                }
                if entry.placement.form.left_alone {
                    entry.failure =
                        Some(Failure::for_good("somebody removed it, and it is not to be restored"));
                    self.plan_retry();
                    return Observed::Left;
                }
                if entry.repairs.note(now) {
                    entry.failure = Some(Failure::fight(now, "another program keeps removing it"));
                    self.plan_retry();
                    return Observed::Fought;
                }
                self.dirty = true;
                Observed::Lost
            }
        }
    }

    /// The local route of an address is gone. Says whether that is to be looked at again.
    pub(super) fn unroute(&mut self, now: Instant, route: Place) -> bool {
        // Whatever its prefix: a lone address comes after those with one.
        let here = |place: &Place| place.link == route.link && place.net.address() == route.net.address();
        let whole = |e: &&mut Entry| e.wanted && e.kernel == Kernel::Present && e.unrouted.is_none();
        let entries = self.entries.range_mut(..=route).rev().take_while(|(place, _)| here(place));
        let Some(entry) = entries.map(|(_, entry)| entry).find(whole) else { return false };
        entry.unrouted = Some(Unrouted::Since(now));
        self.plan_retry();
        true
    }

    /// Begins to renew what has had no route for a moment. Returns each, and whether it is renewed at once: it is not if
    /// somebody keeps doing this.
    pub(super) fn renew(&mut self, now: Instant) -> Vec<(Place, bool)> {
        let mut renewed = Vec::new();
        for (place, entry) in &mut self.entries {
            if entry.unrouted.is_some_and(|unrouted| unrouted.is_due(now)) {
                entry.unrouted = Some(Unrouted::Renewing);
                let fought = entry.repairs.note(now);
                if fought {
                    entry.failure =
                        Some(Failure::fight(now, "another program keeps removing its local route"));
                }
                renewed.push((*place, !fought));
            }
        }
        renewed
    }

    /// Takes the answer to an order. Returns what was refused of what is wanted: addresses, and routes and rules.
    pub(super) fn settle(&mut self, now: Instant, held: &Held) -> Refused {
        if held.generation != self.generation {
            return Refused::default();
        }
        let paths = self.routing.settle(now, &held.refused_paths);
        Refused { addresses: self.settle_addresses(now, held), paths }
    }

    fn settle_addresses(&mut self, now: Instant, held: &Held) -> Vec<(IpNet, Refusal)> {
        let mut refusals = Vec::new();
        for (place, entry) in self.entries.iter_mut().filter(|(_, e)| e.kernel == Kernel::Asked) {
            match held.refused.iter().find(|(refused, _)| refused == place) {
                None => {
                    entry.there = entry.is_to_be();
                    self.dirty |= entry.unrouted.take().is_some();
                    entry.settle();
                    entry.failure = None;
                }
                // The order before may have been given up half-way: what is refused can be as wanted all the same, and
                // what is there must not be forgotten.
                Some(_) if entry.there == entry.is_to_be() => {
                    self.dirty |= entry.unrouted.take().is_some();
                    entry.settle();
                    entry.failure = None;
                }
                Some((_, refusal)) => {
                    entry.settle();
                    let first = entry.failure.is_none();
                    entry.fail(now, refusal);
                    if entry.wanted && first {
                        refusals.push((place.net, refusal.clone()));
                    }
                }
            }
        }
        self.forget_settled();
        refusals
    }

    /// The addresses that somebody else removed between an order and its answer.
    pub(super) fn vanished(&mut self) -> Vec<Place> {
        let vanished = |e: &&mut Entry| e.wanted && e.kernel == Kernel::Present && e.gone;
        self.entries
            .values_mut()
            .filter(vanished)
            .map(|entry| {
                entry.gone = false;
                entry.placement.place
            })
            .collect()
    }

    /// When the next retry is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.retry_at, self.routing.deadline()].into_iter().flatten().min()
    }

    /// Whether there may be an order to give.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.dirty || self.retry_at.is_some_and(|at| at <= now) || self.routing.is_due(now)
    }

    fn plan_retry(&mut self) {
        self.retry_at = self.entries.values().filter_map(Entry::retry_at).min();
    }

    /// The order to give now, if anything is not as wanted and not being waited for.
    pub(super) fn order(&mut self, now: Instant) -> Option<Hold> {
        if !self.is_due(now) {
            return None;
        }
        self.dirty = false;
        let mut order = Hold {
            instance: self.instance,
            generation: Generation(self.generation.0 + 1),
            install: Vec::new(),
            remove: Vec::new(),
            paths: self.routing.order(now),
        };
        for entry in self.entries.values_mut().filter(|e| e.is_open(now)) {
            entry.kernel = Kernel::Asked;
            entry.gone = false;
            if let Some(failure) = &mut entry.failure {
                failure.is_being_retried();
            }
            if entry.is_to_be() {
                order.install.push(entry.placement);
            } else {
                order.remove.push(entry.placement.place);
            }
        }
        self.plan_retry();
        if order.install.is_empty() && order.remove.is_empty() && order.paths.is_empty() {
            return None;
        }
        self.generation = order.generation;
        Some(order)
    }

    /// Every place known.
    pub(super) fn places(&self) -> Vec<Place> {
        self.entries.keys().copied().collect()
    }

    /// What is not wanted and still there.
    pub(super) fn leaving(&self) -> Vec<Place> {
        self.entries.iter().filter(|(_, e)| !e.wanted).map(|(place, _)| *place).collect()
    }

    /// What is installed and wanted: what may be announced.
    pub(super) fn announceable(&self) -> Vec<Placement> {
        self.entries
            .values()
            .filter(|e| e.wanted && e.kernel == Kernel::Present)
            .map(|e| e.placement)
            .collect()
    }

    /// Whether an order for a wanted address is under way, or about to be given.
    pub(super) fn is_asking(&self) -> bool {
        self.dirty || self.entries.values().any(|e| e.wanted && e.kernel == Kernel::Asked)
    }

    /// Whether the address is in the kernel, and what is wrong if it should be and is not.
    pub(super) fn describe(&self, place: Place) -> (bool, Option<String>) {
        self.entries.get(&place).map_or((false, None), |entry| {
            let missing = entry.wanted && entry.kernel != Kernel::Present;
            let failure = entry.failure.as_ref().filter(|_| missing);
            (entry.kernel == Kernel::Present, failure.map(|f| f.why.clone()))
        })
    }

    /// Whether nothing of ours is, or may still be, in the kernel.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.routing.is_empty()
    }

    /// Drops what is neither wanted nor there.
    fn forget_settled(&mut self) {
        self.entries.retain(|_, e| e.wanted || e.kernel != Kernel::Absent);
        self.plan_retry();
    }
}

impl Entry {
    fn new(placement: Placement, wanted: bool, kernel: Kernel) -> Self {
        let there = kernel == Kernel::Present;
        let (failure, repairs, unrouted) = (None, Repairs::default(), None);
        Self { placement, wanted, kernel, gone: false, there, failure, repairs, unrouted }
    }

    /// No order is under way any more.
    fn settle(&mut self) {
        self.kernel = if self.there { Kernel::Present } else { Kernel::Absent };
    }

    /// Wants it or not from now on; says whether that is new.
    fn turn(&mut self, wanted: bool) -> bool {
        let turned = self.wanted != wanted;
        if turned {
            self.wanted = wanted;
            self.failure = None;
            self.repairs = Repairs::default();
            self.unrouted = None;
        }
        turned
    }

    /// Whether it is there, or about to be, in another form than this: it has to go and come back.
    fn is_reformed(&self, form: Form) -> bool {
        let changes = Form { left_alone: form.left_alone, ..self.placement.form } != form;
        self.wanted && self.kernel != Kernel::Absent && changes
    }

    /// Whether the next order is to have it in the kernel.
    fn is_to_be(&self) -> bool {
        self.wanted && self.unrouted != Some(Unrouted::Renewing)
    }

    /// When it is to be looked at again.
    fn retry_at(&self) -> Option<Instant> {
        let unrouted = self.unrouted.and_then(Unrouted::due_at);
        let failed = self.failure.as_ref().and_then(|failure| failure.retry_at);
        unrouted.into_iter().chain(failed).min()
    }

    /// Whether an order must name it: it is not as wanted, or was asked for by an order that this one replaces.
    fn is_open(&self, now: Instant) -> bool {
        let settled = match self.kernel {
            Kernel::Present => self.is_to_be(),
            Kernel::Absent => !self.is_to_be(),
            Kernel::Asked => false,
        };
        let waits =
            self.failure.as_ref().is_some_and(|f| f.retry_at.is_some_and(|at| at > now) || f.for_good);
        !settled && !waits
    }

    fn fail(&mut self, now: Instant, refusal: &Refusal) {
        self.failure = Some(Failure::after(self.failure.as_ref(), now, refusal));
    }
}

impl Unrouted {
    fn due_at(self) -> Option<Instant> {
        match self {
            Self::Since(since) => Some(since + MOMENT),
            Self::Renewing => None,
        }
    }

    fn is_due(self, now: Instant) -> bool {
        self.due_at().is_some_and(|at| at <= now)
    }
}

impl Failure {
    /// The kernel refuses it, perhaps once more.
    pub(super) fn after(before: Option<&Self>, now: Instant, refusal: &Refusal) -> Self {
        let pause = before.map_or(FASTEST, |failure| (failure.pause * 2).min(SLOWEST));
        Self { why: refusal.why.clone(), pause, retry_at: Some(now + pause), for_good: false }
    }

    /// It is not waited for any longer. Says whether it was.
    pub(super) fn retry_now(&mut self) -> bool {
        self.retry_at.take().is_some()
    }

    /// An order for it is given.
    pub(super) fn is_being_retried(&mut self) {
        self.retry_at = None;
    }

    /// Whether it is not to be ordered yet.
    pub(super) fn waits(&self, now: Instant) -> bool {
        self.for_good || self.retry_at.is_some_and(|at| at > now)
    }

    /// Somebody works against us.
    pub(super) fn fight(now: Instant, why: &str) -> Self {
        let retry_at = Some(now + SLOWEST);
        Self { why: String::from(why), pause: SLOWEST, retry_at, for_good: false }
    }

    /// What is missing stays so.
    pub(super) fn for_good(why: &str) -> Self {
        Self { why: String::from(why), pause: SLOWEST, retry_at: None, for_good: true }
    }
}

impl Repairs {
    /// Notes one; says whether they have become too many.
    pub(super) fn note(&mut self, now: Instant) -> bool {
        let oldest = self.at[0];
        self.at.rotate_left(1);
        self.at[REPAIRS - 1] = Some(now);
        oldest.is_some_and(|at| now.since(at) < REPAIRS_WITHIN)
    }
}

/// How long a route must have been gone alone.
const MOMENT: Duration = Duration::from_millis(10);
/// The first pause before a refused address is tried again.
const FASTEST: Duration = Duration::from_millis(100);
/// The longest pause, and the pace of repairs when another program keeps removing an address.
const SLOWEST: Duration = Duration::from_secs(30);
/// So many repairs within [`REPAIRS_WITHIN`] are a fight.
const REPAIRS: usize = 5;
const REPAIRS_WITHIN: Duration = Duration::from_secs(10);
