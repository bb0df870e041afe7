//! Which protocol sockets the instances need, and which are there.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::Engine;
use super::action::{Action, Endpoint, Generation, KernelWork, Listen};
use super::event::Opened;
use crate::time::{Duration, Instant};

/// The sockets, by where they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Sockets {
    generation: Generation,
    slots: BTreeMap<Endpoint, Slot>,
}

#[derive(Clone, Debug)]
struct Slot {
    generation: Generation,
    groups: BTreeSet<IpAddr>,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Opening,
    Open,
    Refused {
        why: String,
        retry_at: Instant,
        pause: Duration,
    },
    /// Asked for again after a refusal.
    Retrying {
        why: String,
        pause: Duration,
    },
}

/// How a socket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing<'a> {
    /// Adverts can be sent and heard.
    Open,
    /// It has been asked for.
    Opening,
    /// The kernel said no, in these words.
    Refused(&'a str),
}

impl Sockets {
    /// Orders what is needed and not there, and closes what is not needed.
    ///
    /// A socket that is to be in other groups goes on until there is one that is.
    pub(super) fn need(
        &mut self,
        now: Instant,
        needed: &BTreeMap<Endpoint, BTreeSet<IpAddr>>,
        out: &mut Vec<Action>,
    ) {
        let spare: Vec<Endpoint> = self.slots.keys().filter(|e| !needed.contains_key(e)).copied().collect();
        for endpoint in spare {
            self.slots.remove(&endpoint);
            self.order(endpoint, None, out);
        }
        for (endpoint, groups) in needed {
            if let Some(slot) = self.slots.get_mut(endpoint).filter(|slot| slot.groups != *groups) {
                slot.groups.clone_from(groups);
                let generation = self.order(*endpoint, Some(groups), out);
                self.slots.entry(*endpoint).and_modify(|slot| slot.generation = generation);
            }
            let next = match self.slots.get(endpoint).map(|slot| &slot.state) {
                None => State::Opening,
                Some(State::Refused { why, retry_at, pause }) if *retry_at <= now => {
                    State::Retrying { why: why.clone(), pause: *pause }
                }
                Some(State::Opening | State::Open | State::Refused { .. } | State::Retrying { .. }) => {
                    continue;
                }
            };
            let generation = self.order(*endpoint, Some(groups), out);
            self.slots.insert(*endpoint, Slot { generation, groups: groups.clone(), state: next });
        }
    }

    fn order(
        &mut self,
        endpoint: Endpoint,
        groups: Option<&BTreeSet<IpAddr>>,
        out: &mut Vec<Action>,
    ) -> Generation {
        self.generation.0 += 1;
        out.push(Action::Kernel(KernelWork::Listen(Listen {
            endpoint,
            generation: self.generation,
            groups: groups.map(|groups| groups.iter().copied().collect()),
        })));
        self.generation
    }

    /// Takes the answer to an order.
    pub(super) fn settle(&mut self, now: Instant, opened: Opened) {
        let Some(slot) = self.slots.get_mut(&opened.endpoint) else { return };
        if slot.generation != opened.generation {
            return;
        }
        slot.state = match opened.refused {
            None => State::Open,
            Some(refusal) => {
                let pause = match &slot.state {
                    State::Opening | State::Open => FASTEST,
                    State::Refused { pause, .. } | State::Retrying { pause, .. } => (*pause * 2).min(SLOWEST),
                };
                State::Refused { why: refusal.why, retry_at: now + pause, pause }
            }
        };
    }

    /// Whether the socket is there.
    pub(super) fn standing(&self, endpoint: Endpoint) -> Standing<'_> {
        match self.slots.get(&endpoint).map(|slot| &slot.state) {
            Some(State::Open) => Standing::Open,
            Some(State::Opening) | None => Standing::Opening,
            Some(State::Refused { why, .. } | State::Retrying { why, .. }) => Standing::Refused(why),
        }
    }

    /// When a refused socket is tried again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.slots
            .values()
            .filter_map(|slot| match &slot.state {
                State::Refused { retry_at, .. } => Some(*retry_at),
                State::Opening | State::Open | State::Retrying { .. } => None,
            })
            .min()
    }
}

impl Engine {
    /// Orders the sockets that instances need.
    pub(super) fn need_sockets(&mut self, now: Instant, out: &mut Vec<Action>) {
        let mut needed: BTreeMap<Endpoint, BTreeSet<IpAddr>> = BTreeMap::new();
        for instance in &self.instances {
            for endpoint in instance.endpoints(&self.world) {
                let groups = needed.entry(endpoint).or_default();
                // By a link of the virtual router's own it only speaks: what is said to everybody is heard below.
                let link = self.world.links.get(endpoint.link);
                if link.is_some_and(|link| link.virtual_link.is_none()) {
                    groups.insert(instance.settings.group(endpoint.family));
                }
            }
        }
        for endpoint in self.unclaimed_endpoints() {
            needed.entry(endpoint).or_default().insert(endpoint.family.group());
        }
        self.world.sockets.need(now, &needed, out);
    }
}

const FASTEST: Duration = Duration::from_millis(100);
const SLOWEST: Duration = Duration::from_secs(30);
