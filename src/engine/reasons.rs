//! Which state an instance is in, and why: what is in its way, and what operators are told of it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::action::{Action, Endpoint};
use super::instance::Instance;
use super::notice::{Reason, State, What};
use super::sockets;
use super::virtual_links;
use super::world::World;
use crate::proto::vrrp::Claim;
use crate::time::Instant;

impl Instance {
    /// What keeps the routers from running, if anything does.
    pub(super) fn obstacle(&self, world: &World) -> Option<Reason> {
        let interface = || self.settings.interface.clone();
        if self.retiring && self.handover.is_none() {
            return Some(Reason::Stopping);
        }
        if let Some(why) = &world.excluded {
            return Some(Reason::Excluded { why: why.clone() });
        }
        if !world.seen || self.start_at.is_some() {
            return Some(Reason::Starting);
        }
        let Some(link) = world.links.named(&self.settings.interface) else {
            return Some(Reason::InterfaceMissing { interface: interface() });
        };
        if !self.settings.can_use(link) {
            return Some(Reason::InterfaceDown { interface: interface() });
        }
        if self.gates.are_stuck() {
            return Some(Reason::GateStuck { after: self.lease_extension() });
        }
        // A family that is new in a running instance may come later; an instance that is new in a running group is
        // judged as a whole.
        let joins = self.membership.is_some_and(|membership| membership.joining);
        for member in self.members.iter().filter(|m| joins || !m.joining) {
            if let Some(why) = member.is_mute() {
                return Some(Reason::NoSocket { why: alloc::format!("adverts cannot be sent: {why}") });
            }
            let endpoint = Endpoint { link: link.index, family: member.family };
            match world.sockets.standing(endpoint) {
                sockets::Standing::Open => {}
                sockets::Standing::Opening => return Some(Reason::Opening),
                sockets::Standing::Refused(why) => {
                    return Some(Reason::NoSocket { why: String::from(why) });
                }
            }
            if member.voice.is_none() {
                return Some(match self.settings.source(member.family) {
                    Some(source) => Reason::SourceMissing { source },
                    None => Reason::NoSource { interface: interface(), family: member.family },
                });
            }
        }
        if let Some(why) = self.virtual_obstacle(world) {
            return Some(why);
        }
        if !self.settings.priority.is_owner()
            && let Some(net) =
                self.sites.there().find_map(|(link, site)| world.links.foreign_among(link, &site.addresses))
        {
            return Some(Reason::AddressTaken { net });
        }
        None
    }

    /// What keeps it from having links of its own, if it is to have them.
    fn virtual_obstacle(&self, world: &World) -> Option<Reason> {
        for family in self.settings.housed_families() {
            let id = self.virtual_link_id(family, world)?;
            match world.virtual_links.standing(id, &world.links) {
                virtual_links::Standing::There => {}
                virtual_links::Standing::Making => return Some(Reason::Opening),
                virtual_links::Standing::Refused(why) => {
                    return Some(Reason::NoVirtualLink { why: String::from(why) });
                }
            }
        }
        // Without one, the interface below answers for the addresses, too, with another Ethernet address.
        let why = self.gates.missing().filter(|_| self.settings.virtual_mac.is_some());
        why.map(|why| Reason::NoVirtualLink { why: String::from(why) })
    }

    /// Why it becomes master.
    pub(super) fn grounds(&self, now: Instant, claim: Claim) -> Reason {
        if let Some(why) = self.reserve.clone().filter(|_| !self.stepped_down) {
            return why;
        }
        let replaced = self.members.iter().find_map(|m| m.replaces(now, m.router.master_down()));
        match (claim, replaced) {
            (Claim::Owner, _) => Reason::Owner,
            (Claim::Resignation, _) => Reason::MasterResigned,
            (Claim::Silence(_), Some(heard)) => {
                Reason::Preempted { address: heard.source, priority: heard.priority }
            }
            (Claim::Silence(after), None) => Reason::MasterSilent { after },
            (Claim::Woken, _) => Reason::Stalled,
        }
    }

    /// Names the state that all this makes, and why. If there is nothing to say of its own, a `fellow` of its sync group
    /// may have something.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        obstacle: Option<Reason>,
        fellow: Option<&(String, Reason)>,
        out: &mut Vec<Action>,
    ) {
        let to = match &obstacle {
            _ if self.active().next().is_some() && self.active().all(|m| m.router.is_master()) => {
                State::Master
            }
            Some(reason) if reason.is_passing() => State::Init,
            Some(_) => State::Fault,
            None => State::Backup,
        };
        match obstacle {
            Some(reason) => {
                let news = reason != self.reason && self.state == State::Fault && to == State::Fault;
                self.reason = reason;
                if news {
                    self.tell(now, What::StillFault { reason: self.reason.clone() }, out);
                }
            }
            None if to == State::Backup => {
                let own = self.why_backup();
                self.reason = match fellow {
                    Some((member, why)) if own == Reason::Listening && *member != self.settings.name => {
                        Reason::Member { member: member.clone(), why: Box::new(why.clone()) }
                    }
                    Some(_) | None => own,
                };
            }
            None => {}
        }
        if to == self.state {
            return;
        }
        let from = core::mem::replace(&mut self.state, to);
        self.since = now;
        let asked = self.handover.is_some() || self.stepped_down || self.retiring;
        if from == State::Master
            && !asked
            && let Some(hold) = self.lose(now)
        {
            self.tell(now, What::Damped { hold }, out);
        }
        if to == State::Master {
            self.times_master += 1;
            self.duplicate = None;
        }
        *self.transitions.entry((from, to, self.reason.kind())).or_default() += 1;
        let (reason, priority) = (self.reason.clone(), self.effective);
        self.tell(now, What::Transition { from, to, reason, priority }, out);
    }

    /// Why it is no master, if nothing is in the way.
    pub(super) fn why_backup(&self) -> Reason {
        if self.handover.is_some() {
            return Reason::HandingOver;
        }
        if self.stepped_down {
            return Reason::SteppedDown;
        }
        if let Some(why) = &self.reserve {
            return why.clone();
        }
        let Some((member, master)) = self.members.iter().find_map(|m| Some((m, m.followed()?))) else {
            return self.listening.clone();
        };
        let (address, priority) = (master.address, master.priority);
        if (priority, address) > (self.effective, member.router.settings().source) {
            Reason::BetterMaster { address, priority }
        } else {
            Reason::OtherMaster { address, priority }
        }
    }
}
