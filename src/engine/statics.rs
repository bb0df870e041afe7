//! Addresses, routes and rules that are there for as long as the agent runs, whoever is master. They are held like an
//! instance's, and are the host's own in everything else: adverts may come from such an address, nothing gates it, and
//! they go last, when every instance has gone.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Engine;
use super::action::{Action, InstanceId, KernelWork, Place, Placement};
use super::event::{Held, LinkAddress, SeenPath};
use super::holding::{Holding, Observed};
use super::notice::{Notice, What};
use super::path::PathKey;
use super::routing::{self, Wish};
use super::settings;
use super::sites::Sites;
use crate::codes::{Code, Warning};
use crate::time::Instant;

/// What is static.
#[derive(Clone, Debug)]
pub(super) struct Statics {
    settings: settings::Statics,
    sites: Sites,
    pub(super) holding: Holding,
    /// Whether the holding wants what is configured, where that is now.
    wants: bool,
}

impl Statics {
    pub(super) fn new(settings: settings::Statics) -> Self {
        let sites = Sites::of_statics(&settings);
        Self { settings, sites, holding: Holding::new(STATICS), wants: false }
    }

    /// Another configuration.
    pub(super) fn change(&mut self, settings: settings::Statics) {
        if self.settings != settings {
            self.sites = Sites::of_statics(&settings);
            self.settings = settings;
            self.wants = false;
        }
    }

    /// Whether an address is configured for a link.
    pub(super) fn have(&self, place: Place) -> bool {
        self.sites.have(place.link, place.net.address())
    }

    fn placements(&self) -> Vec<Placement> {
        let place = |address: &settings::Address| {
            let (link, mac) = self.sites.named(address.interface.as_deref()?)?.found?;
            Some(Placement { place: Place { link, net: address.net }, mac, form: address.form })
        };
        self.settings.addresses.iter().filter_map(place).collect()
    }

    fn wishes(&self) -> Vec<Wish> {
        let paths = self.settings.paths.iter();
        paths.filter_map(|path| Wish::of(path, |name| self.sites.find(name))).collect()
    }

    /// Takes over what an earlier agent left of it. Says whether that was it.
    pub(super) fn claim(&mut self, seen: &SeenPath) -> bool {
        let wish = self.wishes().into_iter().find(|wish| wish.path.key() == seen.key);
        let claimed = wish.is_some();
        if let Some(wish) = wish {
            self.holding.routing.inherit(seen, wish);
        }
        claimed
    }

    /// What someone should look at.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        let missing = |name: &str| self.sites.find(name).is_none();
        let gone = |name: &str| alloc::format!("interface {name} does not exist");
        let addresses = self.settings.addresses.iter().filter_map(|address| {
            let name = address.interface.as_deref()?;
            let link = self.sites.find(name);
            let trouble = match link {
                None => Some(gone(name)),
                Some(link) => self.holding.describe(Place { link, net: address.net }).1,
            };
            let text = alloc::format!("static: {} is not installed: {}", address.net, trouble?);
            Some(Warning::new(Code::NotInstalled, text))
        });
        let paths = self.settings.paths.iter().filter_map(|path| {
            let absent = path.path.links().find(|name| missing(name)).map(gone);
            let trouble = absent.or_else(|| {
                let wish = Wish::of(path, |name| self.sites.find(name))?;
                self.holding.routing.describe(&wish.path.key()).1
            });
            let text = alloc::format!("static: the {} is not installed: {}", path.path, trouble?);
            Some(Warning::new(Code::PathMissing, text))
        });
        addresses.chain(paths).collect()
    }
}

impl Engine {
    /// What is static is wanted from the first picture to the end of the last instance.
    pub(super) fn keep_statics(&mut self) {
        if !self.world.seen {
            return;
        }
        let statics = &mut self.statics;
        if statics.sites.locate(&self.world.links, &BTreeMap::new()) {
            statics.wants = false;
        }
        if self.stopping && self.instances.is_empty() {
            statics.holding.want_nothing();
        } else if !statics.wants {
            statics.wants = true;
            let (placements, wishes) = (statics.placements(), statics.wishes());
            statics.holding.want(&placements);
            statics.holding.routing.want(wishes);
        }
        self.mark_statics();
    }

    /// What is static is the host's own to everybody else.
    fn mark_statics(&mut self) {
        let places = self.statics.holding.places();
        let here = places.into_iter().filter(|place| self.statics.have(*place));
        self.world.links.set_statics(here.map(|place| (place.link, place.net.address())).collect());
    }

    /// At the start: what is static and there is not put in again.
    pub(super) fn claim_statics(&mut self) {
        self.statics.sites.locate(&self.world.links, &BTreeMap::new());
        let wanted = self.statics.placements();
        let there = wanted.into_iter().filter(|p| self.world.links.ours_at(p.place).is_some());
        let there: Vec<Placement> = there.collect();
        self.statics.holding.inherit(&there);
        self.mark_statics();
    }

    /// Takes the answer to an order about what is static.
    pub(super) fn statics_held(&mut self, now: Instant, held: &Held, out: &mut Vec<Action>) {
        let refused = self.statics.holding.settle(now, held);
        for (net, refusal) in refused.addresses {
            tell(now, What::AddressRefused { net, why: refusal.why }, out);
        }
        for (path, refusal) in refused.paths {
            tell(now, What::PathRefused { path, why: refusal.why }, out);
        }
        for place in self.statics.holding.vanished() {
            self.observe_static(now, place, None, out);
        }
        for key in self.statics.holding.routing.vanished() {
            self.lose_static(now, &key, out);
        }
    }

    /// The kernel reports what is at a place.
    pub(super) fn observe_static(
        &mut self,
        now: Instant,
        place: Place,
        found: Option<&LinkAddress>,
        out: &mut Vec<Action>,
    ) {
        let net = place.net;
        match self.statics.holding.observe(now, place, found) {
            Observed::Nothing | Observed::Turned => {}
            Observed::Lost => tell(now, What::AddressLost { net }, out),
            Observed::Left => tell(now, What::AddressLeft { net }, out),
            Observed::Fought => tell(now, What::AddressFight { net }, out),
        }
    }

    /// The kernel reports that a route or rule is gone.
    pub(super) fn lose_static(&mut self, now: Instant, key: &PathKey, out: &mut Vec<Action>) {
        let news = self.statics.holding.routing.lose(now, key);
        if let Some(what) = news.and_then(routing::told) {
            tell(now, what, out);
        }
    }

    /// Compares with everything that carries our mark.
    pub(super) fn compare_statics(&mut self, now: Instant, seen: &[SeenPath], out: &mut Vec<Action>) {
        for news in self.statics.holding.routing.compare(now, seen) {
            if let Some(what) = routing::told(news) {
                tell(now, what, out);
            }
        }
    }

    /// Gives the order that is due.
    pub(super) fn order_statics(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.keep_statics();
        for place in self.statics.holding.leaving() {
            if self.instances.iter().any(|instance| instance.holding.wants(place)) {
                self.statics.holding.give_away(place);
            }
        }
        let order = self.statics.holding.order(now);
        out.extend(order.map(|order| Action::Kernel(KernelWork::Hold(order))));
    }
}

fn tell(now: Instant, what: What, out: &mut Vec<Action>) {
    out.push(Action::Tell(Notice { at: now, about: None, what }));
}

/// The number under which it is held: no instance has it.
pub(super) const STATICS: InstanceId = InstanceId(u32::MAX);
