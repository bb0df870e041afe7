//! The virtual routers' own links: which the instances need, and which are there.
//!
//! A link is needed as long as its instance is configured and the interface below it is there, and it is up as long as
//! anything of the instance is, or is to be, in the kernel. A backup's is down: a switch learns where a virtual
//! router is from any frame with its Ethernet address, and the kernel sends some of its own accord (group memberships,
//! answers to queries) from every link that is up.
//!
//! What is there the kernel reports, and its reports are believed alone; a link that an earlier agent left is taken
//! over by that, and one that nobody needs any more goes.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::Engine;
use super::action::{Action, Generation, KernelWork, VirtualLink, VirtualLinkId, VirtualLinkState};
use super::event::{Link, Linked, Refusal};
use super::holding::Repairs;
use super::instance::Instance;
use super::links::Links;
use super::notice::What;
use super::status::VirtualLinkStatus;
use super::world::World;
use crate::net::{Family, LinkIndex, Mac};
use crate::time::{Duration, Instant};

/// What is known of the links that are needed, or not gone yet.
#[derive(Clone, Debug, Default)]
pub(super) struct VirtualLinks {
    generation: Generation,
    slots: BTreeMap<VirtualLinkId, Slot>,
    /// One of them was given up, which nobody has looked at yet.
    given_up: bool,
}

#[derive(Clone, Debug)]
struct Slot {
    generation: Generation,
    /// What was ordered last; none: that it goes.
    wanted: Option<VirtualLinkState>,
    under_way: Option<UnderWay>,
    /// Whether it was ordered again because it was up, or down, and ought not to be: once is enough until it is.
    corrected: bool,
    was_there: bool,
    /// Since when it is not there although it was.
    lost: Option<Instant>,
    repairs: Repairs,
    trouble: Option<Trouble>,
}

/// An order that is not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnderWay {
    /// Of a link that is to be made.
    Making,
    /// Of one that is there.
    Setting,
}

/// The kernel said no.
#[derive(Clone, Debug)]
struct Trouble {
    why: String,
    pause: Duration,
    retry_at: Instant,
    /// It is time to try again, or is being tried.
    over: bool,
}

/// How a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing<'a> {
    /// It is there, or was a moment ago.
    There,
    /// It is being made for the first time.
    Making,
    /// The kernel said no, in these words.
    Refused(&'a str),
}

impl VirtualLinks {
    /// Orders what is not as it is needed. Returns what somebody else did to them.
    pub(super) fn need(
        &mut self,
        now: Instant,
        needed: &BTreeMap<VirtualLinkId, VirtualLinkState>,
        links: &Links,
        out: &mut Vec<Action>,
    ) -> BTreeMap<VirtualLinkId, Surprise> {
        let mut ids: BTreeSet<VirtualLinkId> = needed.keys().chain(self.slots.keys()).copied().collect();
        ids.extend(links.virtual_links());
        let mut surprises = BTreeMap::new();
        for id in ids {
            let there = links.virtual_link(id);
            let slot = self.slots.entry(id).or_insert_with(|| Slot::found(there));
            let wanted = needed.get(&id);
            let estranged = there.is_some_and(|link| link.mac != Some(id.mac));
            match slot.next(now, wanted, there, estranged) {
                Next::Nothing => {}
                Next::GiveUp => self.given_up = true,
                Next::Forget => drop(self.slots.remove(&id)),
                Next::Order(surprise) => {
                    surprises.extend(surprise.map(|surprise| (id, surprise)));
                    self.generation.0 += 1;
                    slot.order(self.generation, wanted, there.is_some());
                    out.push(Action::Kernel(KernelWork::Link(VirtualLink {
                        id,
                        generation: self.generation,
                        there: there.map(|link| link.index),
                        estranged,
                        wanted: wanted.cloned(),
                    })));
                }
            }
        }
        surprises
    }

    /// Takes the answer to an order.
    pub(super) fn settle(&mut self, now: Instant, linked: Linked) {
        let Some(slot) = self.slots.get_mut(&linked.id) else { return };
        if slot.generation == linked.generation {
            slot.settle(now, linked.refused);
        }
    }

    /// How a link stands.
    pub(super) fn standing(&self, id: VirtualLinkId, links: &Links) -> Standing<'_> {
        let slot = self.slots.get(&id);
        match slot.and_then(|slot| slot.trouble.as_ref()) {
            Some(trouble) if !trouble.over || links.virtual_link(id).is_none() => {
                Standing::Refused(&trouble.why)
            }
            _ if links.virtual_link(id).is_some() || slot.is_some_and(|slot| slot.was_there) => {
                Standing::There
            }
            _ => Standing::Making,
        }
    }

    /// When something is to be tried again, or looked at.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let due = |slot: &Slot| {
            let retry_at =
                slot.trouble.as_ref().filter(|trouble| !trouble.over).map(|trouble| trouble.retry_at);
            retry_at.or_else(|| slot.lost.map(|lost| lost + MOMENT))
        };
        self.slots.values().filter_map(due).min()
    }

    /// Whether none is needed, and none is there.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

/// What is to be done about a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Nothing,
    /// Perhaps because of what somebody else did.
    Order(Option<Surprise>),
    /// Somebody does that again and again.
    GiveUp,
    /// It is gone, and nobody needs it.
    Forget,
}

/// What somebody else did to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Surprise {
    /// It was removed, and is made again.
    Removed,
    /// It was given another Ethernet address, and gets its own back.
    Estranged,
}

impl Surprise {
    fn what(self, name: String) -> What {
        match self {
            Self::Removed => What::VirtualLinkLost { name },
            Self::Estranged => What::VirtualLinkChanged { name },
        }
    }

    /// What is said of one that does so again and again.
    const fn fight(self) -> &'static str {
        match self {
            Self::Removed => "another program keeps removing it",
            Self::Estranged => "another program keeps changing its Ethernet address",
        }
    }
}

impl Slot {
    /// One that nothing was ordered for. If it is there, an earlier agent made it, and whatever is wanted is said anew.
    fn found(there: Option<&Link>) -> Self {
        let wanted = there.map(|link| VirtualLinkState { name: String::new(), up: link.up });
        Self {
            generation: Generation(0),
            wanted,
            under_way: None,
            corrected: false,
            was_there: there.is_some(),
            lost: None,
            repairs: Repairs::default(),
            trouble: None,
        }
    }

    fn next(
        &mut self,
        now: Instant,
        wanted: Option<&VirtualLinkState>,
        there: Option<&Link>,
        estranged: bool,
    ) -> Next {
        let retries = self.trouble.as_mut().is_some_and(|trouble| trouble.ends(now));
        let waits = self.trouble.as_ref().is_some_and(|trouble| !trouble.over);
        if there.is_some() {
            self.was_there = true;
            self.lost = None;
        }
        match (wanted, there) {
            (None, None) if self.under_way.is_none() => Next::Forget,
            _ if self.wanted.as_ref() != wanted => Next::Order(None),
            _ if self.under_way.is_some() || waits => Next::Nothing,
            _ if retries => Next::Order(None),
            (Some(_), None) => self.replace(now),
            (Some(_), Some(_)) if estranged => self.oppose(now, Surprise::Estranged),
            (Some(state), Some(link)) if is_as(link, state) => {
                self.corrected = false;
                Next::Nothing
            }
            (Some(_), Some(_)) if !core::mem::replace(&mut self.corrected, true) => Next::Order(None),
            (None | Some(_), None | Some(_)) => Next::Nothing,
        }
    }

    /// It is not there any more. With the interface below it, it is not needed any more either, which a moment tells.
    fn replace(&mut self, now: Instant) -> Next {
        let since = *self.lost.get_or_insert(now);
        if now.since(since) < MOMENT {
            return Next::Nothing;
        }
        self.oppose(now, Surprise::Removed)
    }

    /// Undoes what somebody else did, unless that happens too often.
    fn oppose(&mut self, now: Instant, surprise: Surprise) -> Next {
        if self.repairs.note(now) {
            let why = String::from(surprise.fight());
            self.trouble = Some(Trouble { why, pause: SLOWEST, retry_at: now + SLOWEST, over: false });
            return Next::GiveUp;
        }
        Next::Order(Some(surprise))
    }

    fn order(&mut self, generation: Generation, wanted: Option<&VirtualLinkState>, there: bool) {
        self.generation = generation;
        self.wanted = wanted.cloned();
        self.under_way = Some(if there { UnderWay::Setting } else { UnderWay::Making });
        self.lost = None;
    }

    fn settle(&mut self, now: Instant, refused: Option<Refusal>) {
        let setting = self.under_way.take() == Some(UnderWay::Setting);
        self.lost = None;
        // One that was removed while it was being set is made again as soon as that it is gone is heard.
        match refused.filter(|refusal| !(setting && refusal.errno == ENODEV)) {
            Some(Refusal { why, .. }) => {
                // One that cannot be set up is of no use to a master, and it takes a while to become one.
                let sets_up = self.wanted.as_ref().is_some_and(|wanted| wanted.up);
                let longer =
                    self.trouble.as_ref().map_or(FASTEST, |trouble| (trouble.pause * 2).min(SLOWEST));
                let pause = if sets_up { SLOWEST } else { longer };
                self.trouble = Some(Trouble { why, pause, retry_at: now + pause, over: false });
            }
            None => drop(self.trouble.take_if(|trouble| trouble.over)),
        }
    }
}

impl Trouble {
    /// Whether it is time to try again, for the first time.
    fn ends(&mut self, now: Instant) -> bool {
        let ends = !self.over && self.retry_at <= now;
        self.over |= ends;
        ends
    }
}

/// Whether a link is as it is to be. One that is up keeps whatever name it has.
fn is_as(link: &Link, state: &VirtualLinkState) -> bool {
    link.up == state.up && (link.up || link.name == state.name)
}

impl Engine {
    /// Orders the links that instances need, and removes the others.
    pub(super) fn need_links(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.order_links(now, out);
        if core::mem::take(&mut self.world.virtual_links.given_up) {
            self.settle(now, out);
            self.order_links(now, out);
        }
    }

    /// Whether what comes in there comes in below as well; or is our own, back from another link of this kind.
    pub(super) fn is_heard_below(&self, link: LinkIndex) -> bool {
        self.world.links.get(link).is_some_and(|link| link.virtual_link.is_some())
    }

    fn order_links(&mut self, now: Instant, out: &mut Vec<Action>) {
        let virtual_ones = self.instances.iter().any(|instance| instance.settings.virtual_mac.is_some());
        let none = self.world.virtual_links.is_empty() && self.world.links.virtual_links().next().is_none();
        if !self.world.seen || (none && !virtual_ones) {
            return;
        }
        let mut needed: BTreeMap<VirtualLinkId, VirtualLinkState> = BTreeMap::new();
        for (id, state) in self.instances.iter().flat_map(|instance| instance.links_needed(&self.world)) {
            // One that hands over and one that begins may share it.
            let known = needed.entry(id).or_insert_with(|| state.clone());
            known.up |= state.up;
        }
        let World { virtual_links, links, .. } = &mut self.world;
        let surprises = virtual_links.need(now, &needed, links, out);
        if surprises.is_empty() {
            return;
        }
        for instance in &mut self.instances {
            let needed: Vec<_> = instance.links_needed(&self.world).collect();
            for (id, state) in needed {
                let Some(surprise) = surprises.get(&id) else { continue };
                instance.tell(now, surprise.what(state.name), out);
                if *surprise == Surprise::Estranged && instance.holds {
                    // Meanwhile it answered for the addresses with the other one.
                    instance.announcing.defend(now, instance.settings.interval);
                    instance.plan();
                }
            }
        }
    }
}

impl Instance {
    /// What the link of its own of a family is known by, if it is to have one and the interface is there.
    pub(super) fn virtual_link_id(&self, family: Family, world: &World) -> Option<VirtualLinkId> {
        self.settings.virtual_mac.as_ref()?;
        let below = world.links.named(&self.settings.interface)?.index;
        Some(VirtualLinkId { below, mac: Mac::of_virtual_router(family, self.settings.vrid) })
    }

    /// How the links of its own stand, those that cannot be made yet among them.
    pub(super) fn virtual_link_status(&self, world: &World) -> Vec<VirtualLinkStatus> {
        let status = |family| {
            let name = self.settings.virtual_link_name(family)?;
            let id = self.virtual_link_id(family, world);
            let there = id.and_then(|id| world.links.virtual_link(id));
            let trouble = id.and_then(|id| match world.virtual_links.standing(id, &world.links) {
                Standing::Refused(why) => Some(String::from(why)),
                Standing::There | Standing::Making => None,
            });
            Some(VirtualLinkStatus {
                family,
                name: there.map_or(name, |link| link.name.clone()),
                mac: Mac::of_virtual_router(family, self.settings.vrid),
                up: there.map(|link| link.up),
                trouble,
            })
        };
        self.settings.housed_families().filter_map(status).collect()
    }

    /// The links of its own that it needs.
    fn links_needed<'a>(
        &'a self,
        world: &'a World,
    ) -> impl Iterator<Item = (VirtualLinkId, VirtualLinkState)> + 'a {
        let up = self.holds || !self.holding.is_empty();
        self.settings.housed_families().filter_map(move |family| {
            let id = self.virtual_link_id(family, world)?;
            let name = self.settings.virtual_link_name(family)?;
            Some((id, VirtualLinkState { name, up }))
        })
    }
}

/// The kernel's number for a link that is not there.
const ENODEV: i32 = 19;
/// How long a link must have been gone alone.
const MOMENT: Duration = Duration::from_millis(10);
/// The first pause before a refused link is tried again.
const FASTEST: Duration = Duration::from_millis(100);
/// The longest pause, and the pace when another program keeps removing it.
const SLOWEST: Duration = Duration::from_secs(30);
