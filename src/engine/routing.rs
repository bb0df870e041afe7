//! The routes and rules that an instance wants in the kernel, and what it knows to be there. They go in after the
//! addresses, for a route may name one as its source, and out before them; rules follow routes.
//!
//! Orders, answers, retries and repairs are those of [addresses](super::holding). Two things differ. A route or rule
//! with another content under the same key goes before its successor comes. And the kernel takes routes away without a
//! word, with a link that goes down or an address that goes; so after anything of that kind they are asserted anew:
//! adding what is there changes nothing.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use super::Engine;
use super::action::{Action, Paths};
use super::event::{Change, Refusal, SeenPath};
use super::holding::{Failure, Kernel, Observed, Repairs};
use super::notice::What;
use super::path::{Hop, Path, PathKey};
use super::settings;
use crate::net::LinkIndex;
use crate::time::Instant;

/// The routes and rules of one instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Routing {
    /// Something changed that no order says yet.
    dirty: bool,
    entries: BTreeMap<PathKey, Entry>,
    /// The earliest retry among the entries.
    retry_at: Option<Instant>,
}

/// A route or rule to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// It.
    pub(super) path: Path,
    /// As the configuration has it, for people.
    pub(super) name: String,
    /// Once somebody else has removed it, it stays away.
    pub(super) left_alone: bool,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Entry {
    /// None if it is to go and was never wanted here.
    wish: Option<Wish>,
    /// Its place in the configuration.
    rank: usize,
    wanted: bool,
    kernel: Kernel,
    /// What is there under this key is another one, and goes first.
    stale: bool,
    /// It may be gone without a word.
    doubtful: bool,
    /// While an order is under way: a report said that it is gone.
    gone: bool,
    there: bool,
    failure: Option<Failure>,
    repairs: Repairs,
}

impl Engine {
    /// All routes and rules with our mark: what is missing goes back, and at the start what nobody is configured with goes.
    pub(super) fn paths(&mut self, now: Instant, seen: &[SeenPath], out: &mut Vec<Action>) {
        for instance in &mut self.instances {
            for news in instance.holding.routing.compare(now, seen) {
                instance.tell_of_path(now, news, out);
            }
        }
        self.compare_statics(now, seen, out);
        if !core::mem::replace(&mut self.paths_seen, true) {
            self.claim_paths(seen);
        }
        self.settle(now, out);
    }

    /// What an earlier agent left stays where somebody may want it, until he says otherwise.
    fn claim_paths(&mut self, seen: &[SeenPath]) {
        let mut wishes: BTreeMap<PathKey, (usize, Wish)> = BTreeMap::new();
        for (at, instance) in self.instances.iter_mut().enumerate() {
            instance.locate_sites(&self.world);
            wishes.extend(instance.wishes().into_iter().map(|wish| (wish.path.key(), (at, wish))));
        }
        for seen in seen {
            if self.statics.claim(seen) {
                continue;
            }
            match wishes.get(&seen.key) {
                Some((at, wish)) => self.instances[*at].holding.routing.inherit(seen, wish.clone()),
                None => self.strays.routing.remove_stray(seen.key.clone()),
            }
        }
    }

    /// The kernel reports that a route or rule of ours is gone.
    pub(super) fn path_gone(&mut self, now: Instant, key: &PathKey, out: &mut Vec<Action>) {
        self.strays.routing.lose(now, key);
        self.lose_static(now, key, out);
        for instance in self.instances.iter_mut().filter(|i| i.holding.routing.knows(key)) {
            if let Some(news) = instance.holding.routing.lose(now, key) {
                instance.tell_of_path(now, news, out);
            }
            instance.plan();
        }
    }

    /// Something changed that takes routes along, or that one may have been waiting for.
    pub(super) fn doubt_paths(&mut self, change: &Change) {
        let links = &self.world.links;
        let (link, address, worse) = match change {
            Change::Link(link) if links.get(link.index).is_some_and(|known| known.up == link.up) => return,
            Change::Link(link) => (link.index, None, true),
            Change::LinkGone(link) => (*link, None, true),
            Change::Address(address) => (address.link, Some(address.net.address()), false),
            Change::AddressGone(place) => (place.link, Some(place.net.address()), true),
            Change::RouteGone(_) | Change::PathGone(_) => return,
        };
        let statics = &mut self.statics.holding.routing;
        if worse {
            statics.doubt(link, address);
        } else {
            statics.hope();
        }
        for instance in &mut self.instances {
            let routing = &mut instance.holding.routing;
            if routing.is_empty() {
                continue;
            }
            if worse {
                routing.doubt(link, address);
            } else {
                routing.hope();
            }
            instance.plan();
        }
    }

    /// A stray that an instance wants by now is not removed but left to it.
    pub(super) fn keep_wanted_paths(&mut self) {
        for key in self.strays.routing.leaving() {
            let wanted = self.instances.iter().any(|instance| instance.holding.routing.wants(&key));
            if wanted || self.statics.holding.routing.wants(&key) {
                self.strays.routing.give_away(&key);
            }
        }
    }
}

/// What people are told of a route or rule that went.
pub(super) fn told((path, observed): (String, Observed)) -> Option<What> {
    match observed {
        Observed::Lost => Some(What::PathLost { path }),
        Observed::Left => Some(What::PathLeft { path }),
        Observed::Fought => Some(What::PathFight { path }),
        Observed::Nothing | Observed::Turned => None,
    }
}

impl Wish {
    /// What is configured, unless a link of it is missing.
    pub(super) fn of(settings: &settings::Path, find: impl Fn(&str) -> Option<LinkIndex>) -> Option<Self> {
        let path = settings.path.on(find).ok()?;
        Some(Self { path, name: settings.path.to_string(), left_alone: settings.left_alone })
    }
}

impl Routing {
    /// From now on exactly these are wanted.
    pub(super) fn want(&mut self, wishes: Vec<Wish>) {
        let mut unwanted: BTreeSet<PathKey> = self.entries.keys().cloned().collect();
        for (rank, wish) in wishes.into_iter().enumerate() {
            let key = wish.path.key();
            unwanted.remove(&key);
            let entry = self.entries.entry(key).or_insert_with(|| Entry::new(false));
            entry.rank = rank;
            if let Some(known) = &entry.wish
                && known.path != wish.path
            {
                entry.stale |= entry.kernel != Kernel::Absent;
                self.dirty = true;
            }
            entry.wish = Some(wish);
            self.dirty |= entry.turn(true);
        }
        for key in unwanted {
            if let Some(entry) = self.entries.get_mut(&key) {
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
    }

    /// An earlier agent left this, and it is configured here: wanted as long as nobody says otherwise. What is there may be
    /// another one under the same key.
    pub(super) fn inherit(&mut self, seen: &SeenPath, wish: Wish) {
        let stale = match (&wish.path, &seen.route) {
            (Path::Route(route), Some(there)) => !route.agrees(there),
            (Path::Route(_), None) | (Path::Rule(_), _) => false,
        };
        let entry = self.entries.entry(seen.key.clone()).or_insert_with(|| Entry {
            wanted: true,
            wish: Some(wish),
            ..Entry::new(true)
        });
        entry.stale |= stale;
        self.dirty |= stale;
    }

    /// Something with our mark that no instance knows: it is to go.
    pub(super) fn remove_stray(&mut self, key: PathKey) {
        self.dirty |= !self.knows(&key);
        self.entries.entry(key).or_insert_with(|| Entry::new(true));
    }

    /// Whether it is among those here, wanted or on its way out.
    pub(super) fn knows(&self, key: &PathKey) -> bool {
        self.entries.contains_key(key)
    }

    /// Whether it is wanted here.
    pub(super) fn wants(&self, key: &PathKey) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.wanted)
    }

    /// Forgets one without removing it, because another wants it now.
    pub(super) fn give_away(&mut self, key: &PathKey) {
        self.entries.remove(key);
    }

    /// What is not wanted and still there.
    pub(super) fn leaving(&self) -> Vec<PathKey> {
        self.entries.iter().filter(|(_, e)| !e.wanted).map(|(key, _)| key.clone()).collect()
    }

    /// A picture of everything with our mark: what is not in it is gone.
    pub(super) fn compare(&mut self, now: Instant, seen: &[SeenPath]) -> Vec<(String, Observed)> {
        let there: BTreeSet<&PathKey> = seen.iter().map(|seen| &seen.key).collect();
        // What is being waited for is newer than the picture.
        let is_gone =
            |(key, entry): &(&PathKey, &Entry)| entry.kernel == Kernel::Present && !there.contains(key);
        let gone: Vec<PathKey> = self.entries.iter().filter(is_gone).map(|(key, _)| key.clone()).collect();
        gone.into_iter().filter_map(|key| self.lose(now, &key)).collect()
    }

    /// The kernel reports that one is gone. Returns what that is to be called, if anybody is to hear of it.
    pub(super) fn lose(&mut self, now: Instant, key: &PathKey) -> Option<(String, Observed)> {
        let entry = self.entries.get_mut(key)?;
        entry.there = false;
        if entry.kernel == Kernel::Asked {
            entry.gone = true;
            return None;
        }
        let was_there = core::mem::replace(&mut entry.kernel, Kernel::Absent) == Kernel::Present;
        if !entry.wanted || !was_there {
            self.forget_settled();
            return None;
        }
        let name = entry.name();
        if entry.wish.as_ref().is_some_and(|wish| wish.left_alone) {
            entry.failure = Some(Failure::for_good("somebody removed it, and it is not to be restored"));
            return Some((name, Observed::Left));
        }
        if entry.repairs.note(now) {
            entry.failure = Some(Failure::fight(now, "another program keeps removing it"));
            self.plan_retry();
            return Some((name, Observed::Fought));
        }
        self.dirty = true;
        Some((name, Observed::Lost))
    }

    /// Something happened to a link, or to an address on it, that may have taken routes along.
    pub(super) fn doubt(&mut self, link: LinkIndex, address: Option<IpAddr>) {
        let by = |hop: &Hop| hop.link.is_none_or(|by| by == link);
        for entry in self.entries.values_mut().filter(|entry| entry.wanted) {
            let Some(Path::Route(route)) = entry.wish.as_ref().map(|wish| &wish.path) else { continue };
            let concerned = route.hops.iter().any(by) || address.is_some() && route.source == address;
            if concerned && entry.kernel != Kernel::Absent {
                entry.doubtful = true;
                self.dirty = true;
            }
        }
        self.hope();
    }

    /// What was refused may not be any more: it is tried again at once.
    pub(super) fn hope(&mut self) {
        for failure in self.entries.values_mut().filter_map(|entry| entry.failure.as_mut()) {
            self.dirty |= failure.retry_now();
        }
        self.plan_retry();
    }

    /// A link is gone, and its routes with it.
    pub(super) fn lost_link(&mut self, gone: impl Fn(LinkIndex) -> bool) {
        for entry in self.entries.values_mut() {
            let Some(Path::Route(route)) = entry.wish.as_ref().map(|wish| &wish.path) else { continue };
            if route.hops.iter().any(|hop| hop.link.is_some_and(&gone)) {
                (entry.kernel, entry.there, entry.wanted) = (Kernel::Absent, false, false);
            }
        }
        self.forget_settled();
    }

    /// Takes the answer to the newest order. Returns what of the wanted was refused for the first time.
    pub(super) fn settle(&mut self, now: Instant, refused: &[(PathKey, Refusal)]) -> Vec<(String, Refusal)> {
        let refused: BTreeMap<&PathKey, &Refusal> = refused.iter().map(|(key, why)| (key, why)).collect();
        let mut refusals = Vec::new();
        for (key, entry) in self.entries.iter_mut().filter(|(_, entry)| entry.kernel == Kernel::Asked) {
            match refused.get(key) {
                None => {
                    entry.there = entry.wanted;
                    entry.failure = None;
                    // What went and came back was reported as gone.
                    entry.gone &= !entry.stale;
                    entry.doubtful |= entry.stale && entry.wanted;
                    entry.stale = false;
                }
                Some(refusal) => {
                    let first = entry.failure.is_none();
                    entry.failure = Some(Failure::after(entry.failure.as_ref(), now, refusal));
                    entry.there &= !entry.wanted;
                    if entry.wanted && first {
                        refusals.push((entry.name(), (*refusal).clone()));
                    }
                }
            }
            self.dirty |= entry.doubtful;
            entry.kernel = if entry.there { Kernel::Present } else { Kernel::Absent };
        }
        self.forget_settled();
        refusals
    }

    /// Those that somebody else removed between an order and its answer.
    pub(super) fn vanished(&mut self) -> Vec<PathKey> {
        let gone = |(_, e): &(&PathKey, &mut Entry)| e.wanted && e.kernel == Kernel::Present && e.gone;
        let gone = self.entries.iter_mut().filter(gone);
        gone.map(|(key, entry)| {
            entry.gone = false;
            key.clone()
        })
        .collect()
    }

    /// When the next retry is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Whether there may be an order to give.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.dirty || self.retry_at.is_some_and(|at| at <= now)
    }

    /// What to order now: everything that is not as wanted and not being waited for.
    pub(super) fn order(&mut self, now: Instant) -> Paths {
        self.dirty = false;
        let (mut install, mut remove) = (Vec::new(), Vec::new());
        for (key, entry) in self.entries.iter_mut().filter(|(_, entry)| entry.is_open(now)) {
            entry.kernel = Kernel::Asked;
            (entry.gone, entry.doubtful) = (false, false);
            if let Some(failure) = &mut entry.failure {
                failure.is_being_retried();
            }
            if entry.stale || !entry.wanted {
                remove.push((entry.rank, key.clone()));
            }
            if let Some(wish) = entry.wish.as_ref().filter(|_| entry.wanted) {
                install.push((entry.rank, wish.path.clone()));
            }
        }
        self.plan_retry();
        // In the configuration's order, routes first: one may be the way to another's gateway.
        install.sort_by_key(|(rank, path)| (matches!(path, Path::Rule(_)), *rank));
        remove.sort_by_key(|(rank, key)| core::cmp::Reverse((matches!(key, PathKey::Rule(_)), *rank)));
        Paths {
            remove: remove.into_iter().map(|(_, key)| key).collect(),
            install: install.into_iter().map(|(_, path)| path).collect(),
        }
    }

    /// Whether it is in the kernel, and what is wrong if it should be and is not.
    pub(super) fn describe(&self, key: &PathKey) -> (bool, Option<String>) {
        self.entries.get(key).map_or((false, None), |entry| {
            let failure = entry.failure.as_ref().filter(|_| entry.wanted && !entry.there);
            (entry.there, failure.map(|failure| failure.why.clone()))
        })
    }

    /// Whether nothing of ours is, or may still be, in the kernel.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn plan_retry(&mut self) {
        let retries = self.entries.values().filter_map(|entry| entry.failure.as_ref()?.retry_at);
        self.retry_at = retries.min();
    }

    /// Drops what is neither wanted nor there.
    fn forget_settled(&mut self) {
        self.entries.retain(|_, entry| entry.wanted || entry.kernel != Kernel::Absent);
        self.plan_retry();
    }
}

impl Entry {
    fn new(there: bool) -> Self {
        Self {
            wish: None,
            rank: 0,
            wanted: false,
            kernel: if there { Kernel::Present } else { Kernel::Absent },
            stale: false,
            doubtful: false,
            gone: false,
            there,
            failure: None,
            repairs: Repairs::default(),
        }
    }

    fn name(&self) -> String {
        self.wish.as_ref().map(|wish| wish.name.clone()).unwrap_or_default()
    }

    /// Wants it or not from now on; says whether that is new.
    fn turn(&mut self, wanted: bool) -> bool {
        let turned = self.wanted != wanted;
        if turned {
            self.wanted = wanted;
            self.failure = None;
            self.repairs = Repairs::default();
        }
        turned
    }

    /// Whether an order must name it.
    fn is_open(&self, now: Instant) -> bool {
        let settled = match self.kernel {
            Kernel::Present => self.wanted && !self.stale && !self.doubtful,
            Kernel::Absent => !self.wanted,
            // Replaced by the order that is about to be given.
            Kernel::Asked => false,
        };
        !settled && !self.failure.as_ref().is_some_and(|failure| failure.waits(now))
    }
}
