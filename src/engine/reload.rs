//! One configuration after another, without moving what need not move.
//!
//! An instance is the same one if it is the same virtual router to the network: interface, virtual router identifier,
//! version, and unicast source or multicast, with a family in common. Its name is a label. What is the same is changed
//! in place; what is not is stopped, with a hand-over, or started.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::IpAddr;

use super::Engine;
use super::action::{Action, InstanceId};
use super::group::{self, Group};
use super::inheritance::Identity;
use super::instance::Instance;
use super::member::Member;
use super::notice::{Notice, State, What};
use super::settings::{self, Instance as Settings, Settings as All};
use super::sites::Sites;
use crate::net::Family;
use crate::proto::vrrp::Input;
use crate::time::Instant;

impl Engine {
    /// Puts a new configuration in force, unless the agent is ending.
    pub(super) fn reload(&mut self, now: Instant, settings: All, out: &mut Vec<Action>) {
        if self.stopping {
            return;
        }
        self.world.verdicts.configure(now, &settings.checks, false);
        self.world.limits = settings.announce_limits;
        self.startup_delay = settings.startup_delay;
        self.statics.change(settings.statics);
        self.boot_delay = settings.boot_delay;
        self.signed = self.signed();
        let mut old = core::mem::take(&mut self.instances);
        let (mut started, mut changed) = (0, 0);
        for new in settings.instances {
            let identity = Identity::of(&new);
            let Some(at) =
                old.iter().position(|i| !i.retiring && Identity::of(&i.settings).is_same(&identity))
            else {
                started += 1;
                self.add(now, new, None);
                continue;
            };
            let mut instance = old.remove(at);
            if instance.settings != new {
                changed += 1;
                instance.change(now, new, out);
            }
            self.instances.push(instance);
        }
        let mut stopped = 0;
        for mut instance in old {
            if !instance.retiring {
                stopped += 1;
                instance.retire(now, out);
            }
            self.instances.push(instance);
        }
        self.regroup(now, settings.groups);
        self.remind();
        let what = What::Reloaded { started, stopped, changed };
        out.push(Action::Tell(Notice { at: now, about: None, what }));
        self.world.moved = self.moved();
        self.look_again(now, out);
        self.settle(now, out);
    }

    /// Groups that stay keep their state.
    fn regroup(&mut self, now: Instant, groups: Vec<settings::Group>) {
        let mut old = core::mem::take(&mut self.groups);
        self.groups = groups
            .into_iter()
            .map(|new| match old.iter().position(|group| group.settings.name == new.name) {
                Some(at) => Group { settings: new, ..old.swap_remove(at) },
                None => Group::new(now, new),
            })
            .collect();
        group::enrol(&self.groups, &mut self.instances);
    }

    /// The addresses that one instance may still hold and another one is configured with.
    pub(super) fn moved(&self) -> BTreeSet<IpAddr> {
        let mut owners: BTreeMap<IpAddr, InstanceId> = BTreeMap::new();
        for instance in self.instances.iter().filter(|i| !i.retiring) {
            owners.extend(instance.addresses.iter().map(|address| (*address, instance.id)));
        }
        let held = self.instances.iter().flat_map(|i| i.holding.places().into_iter().map(|p| (i.id, p)));
        held.map(|(id, place)| (id, place.net.address()))
            .filter(|(id, address)| owners.get(address).is_some_and(|owner| owner != id))
            .map(|(_, address)| address)
            .collect()
    }
}

impl Instance {
    /// Changes in place.
    fn change(&mut self, now: Instant, new: Settings, out: &mut Vec<Action>) {
        let families: Vec<Family> = new.families().collect();
        for member in &mut self.members {
            if !families.contains(&member.family) {
                member.handle(now, Input::Stop, &self.settings, self.id, out);
            }
        }
        self.members.retain(|member| families.contains(&member.family));
        self.addresses = new.addresses.iter().map(settings::Address::address).collect();
        if self.settings.addresses != new.addresses || self.settings.paths != new.paths {
            self.placements.clear();
            self.sites = Sites::of(&new);
        }
        self.settings = new;
        self.gates.look_again();
        for family in families {
            if !self.members.iter().any(|member| member.family == family) {
                let mut member = Member::new(family, &self.settings);
                member.joining = matches!(self.state, State::Master | State::Backup);
                self.members.push(member);
            }
        }
        self.members.sort_by_key(|member| member.family);
    }
}
