//! One instance: its virtual routers, and why they are where they are.
//!
//! What they do together, with those of the other instances in its sync group, is decided in `group`.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::action::{Action, Endpoint, InstanceId, Placement};
use super::adopting::Heritage;
use super::announcing::Announcing;
use super::gating::Gates;
use super::handover::{Ending, Handover, Otherwise};
use super::hear::Accepted;
use super::holding::Holding;
use super::is_news;
use super::links::Links;
use super::member::{Member, Voice, listed};
use super::notice::{Discard, Notice, Reason, State, What};
use super::reserve::Damper;
use super::settings::{self, Adverts, Instance as Settings};
use super::sites::Sites;
use super::sockets;
use super::status::{Duplicate, MasterStatus};
use super::world::World;
use crate::net::{Family, LinkIndex, Priority, Vrid};
use crate::proto::vrrp::{Claim, Heard, Input, Output};
use crate::time::{Duration, Instant};

/// One instance.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) id: InstanceId,
    pub(super) settings: Settings,
    pub(super) members: Vec<Member>,
    pub(super) state: State,
    pub(super) since: Instant,
    pub(super) reason: Reason,
    /// The priority after tracks.
    pub(super) effective: Priority,
    /// Not before this, because of the startup delay; `None` once it has passed.
    pub(super) start_at: Option<Instant>,
    pub(super) stepped_down: bool,
    /// Why it is the last that ought to be master, if not because of the operator.
    pub(super) reserve: Option<Reason>,
    pub(super) damper: Damper,
    /// Its sync group, if it is in one.
    pub(super) membership: Option<Membership>,
    /// To be gone as soon as its addresses are.
    pub(super) retiring: bool,
    pub(super) handover: Option<Handover>,
    pub(super) times_master: u64,
    /// How often it changed its state, by what it left, what it went to, and the kind of the reason.
    pub(super) transitions: BTreeMap<(State, State, &'static str), u64>,
    pub(super) duplicate: Option<Duplicate>,
    /// Why the routers listen if no master was heard.
    pub(super) listening: Reason,
    pub(super) link: Option<LinkIndex>,
    /// The interfaces that hold the addresses.
    pub(super) sites: Sites,
    /// Where each virtual address goes, in the configuration's order, if its link is there; empty until that is known.
    pub(super) placements: Vec<Option<Placement>>,
    /// The virtual addresses, for looking up.
    pub(super) addresses: BTreeSet<IpAddr>,
    pub(super) holding: Holding,
    pub(super) holds: bool,
    pub(super) announcing: Announcing,
    pub(super) gates: Gates,
    pub(super) heritage: Heritage,
    /// When something is due, as of the last time it came to rest.
    due: Option<Instant>,
}

/// An instance's place in a sync group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    /// Which group, by its number in the engine.
    pub(super) group: usize,
    /// Whether another member breaks ties for it.
    pub(super) led: bool,
    /// New in a group that runs already, and not ready yet: it does not hold the others up.
    pub(super) joining: bool,
}

impl Instance {
    /// An instance in INIT.
    pub(super) fn new(id: InstanceId, now: Instant, start_at: Instant, settings: Settings) -> Self {
        Self {
            id,
            members: settings.families().map(|family| Member::new(family, &settings)).collect(),
            state: State::Init,
            since: now,
            reason: Reason::Starting,
            effective: settings.priority,
            start_at: Some(start_at),
            stepped_down: false,
            reserve: None,
            damper: Damper::default(),
            membership: None,
            retiring: false,
            handover: None,
            times_master: 0,
            transitions: BTreeMap::new(),
            duplicate: None,
            listening: Reason::Listening,
            link: None,
            placements: Vec::new(),
            sites: Sites::of(&settings),
            addresses: settings.addresses.iter().map(settings::Address::address).collect(),
            holding: Holding::new(id),
            holds: false,
            announcing: Announcing::default(),
            gates: Gates::new(),
            heritage: Heritage::default(),
            due: Some(start_at),
            settings,
        }
    }

    /// There is nothing to wait for.
    pub(super) fn skip_startup_delay(&mut self) {
        self.start_at = None;
    }

    /// The source address of its adverts in a family, while it can speak.
    pub(super) fn speaks_as(&self, family: Family) -> Option<IpAddr> {
        self.members.iter().find(|m| m.family == family)?.voice.map(|voice| voice.source)
    }

    /// Whether `theirs` are the addresses that our own advert of this family lists, in any order.
    pub(super) fn lists_same(&self, family: Family, theirs: &[IpAddr]) -> bool {
        let mtu = self.members.iter().find(|m| m.family == family).and_then(|m| m.voice).map_or(0, |v| v.mtu);
        let ours = listed(&self.settings, family, mtu);
        let excluded = self.settings.addresses.iter().filter(|address| !address.advertised);
        let excluded: BTreeSet<IpAddr> = excluded.map(settings::Address::address).collect();
        let advertised = |a: &IpAddr| self.addresses.contains(a) && !excluded.contains(a);
        ours.len() == theirs.len() && theirs.iter().all(advertised)
    }

    /// Where the addresses go whose links are there.
    pub(super) fn placed(&self) -> impl Iterator<Item = &Placement> {
        self.placements.iter().flatten()
    }

    /// Where it speaks, if its interface is there: the sockets it needs.
    pub(super) fn endpoints<'a>(&'a self, world: &'a World) -> impl Iterator<Item = Endpoint> + 'a {
        let link = world.links.named(&self.settings.interface).map(|link| link.index);
        let of_interface = move |family| link.map(|link| Endpoint { link, family });
        let of_its_own = |family| Some(Endpoint { link: self.virtual_voice(family, world)?, family });
        let families = self.members.iter().map(|m| m.family);
        families.flat_map(move |f| [of_interface(f), of_its_own(f)]).flatten()
    }

    /// The link of its own by which it is to advertise as a master.
    fn virtual_voice(&self, family: Family, world: &World) -> Option<LinkIndex> {
        let adverts = self.settings.virtual_mac.as_ref()?.adverts;
        // Who knows the sender's peers only would have to ask for them with the Ethernet address of the virtual router.
        if adverts == Adverts::Interface || self.settings.unicast.is_some() {
            return None;
        }
        let id = self.virtual_link_id(family, world)?;
        world.links.virtual_link(id).map(|link| link.index)
    }

    /// The same, if an advert would leave by it now.
    fn voice_through(&self, family: Family, world: &World) -> Option<LinkIndex> {
        let link = self.virtual_voice(family, world)?;
        let stands = world.sockets.standing(Endpoint { link, family }) == sockets::Standing::Open;
        let up = world.links.get(link).is_some_and(|link| link.up);
        (stands && up && self.handover.is_none() && self.gates.is_open(family)).then_some(link)
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        debug_assert_eq!(self.due, self.next_due(), "{} is planned for another moment", self.settings.name);
        self.due
    }

    /// Works the deadline out once, for it is asked for several times a turn.
    pub(super) fn plan(&mut self) {
        self.due = self.next_due();
    }

    fn next_due(&self) -> Option<Instant> {
        let routers = self.members.iter().filter_map(Member::deadline).min();
        let handover = self.handover.as_ref().map(|h| h.deadline(self.members.len()));
        let announcing = self.announcing.deadline();
        let (estate, gates) = (self.estate_deadline(), self.gates_deadline());
        let (holding, damper) = (self.holding.deadline(), self.damper.deadline());
        let due = [routers, handover, self.start_at, announcing, holding, estate, gates, damper];
        due.into_iter().flatten().min()
    }

    /// Whether it has the virtual router of this number and family on a link.
    pub(super) fn speaks(&self, link: LinkIndex, vrid: Vrid, family: Family) -> bool {
        self.link == Some(link)
            && self.settings.vrid == vrid
            && self.members.iter().any(|m| m.family == family)
    }

    /// Whether its router of this family takes adverts.
    pub(super) fn is_listening(&self, family: Family) -> bool {
        self.members.iter().any(|m| m.family == family && m.is_started())
    }

    /// Hands every router an input that is about time.
    pub(super) fn pass(&mut self, now: Instant, input: Input, out: &mut Vec<Action>) {
        for at in 0..self.members.len() {
            self.feed(now, at, input, out);
        }
    }

    /// The agent woke `now` after a pause: a master whose adverts have run out elsewhere, and a backup whose socket may
    /// have overflowed, listen again. Returns whether that concerned any router.
    pub(super) fn wake(&mut self, now: Instant, late: Duration, out: &mut Vec<Action>) -> bool {
        let mut concerned = false;
        if self.state == State::Master && late > self.settings.interval / 2 {
            // Should the advert that is about to go out be too late, the gates say so.
            self.gates.ask_again();
        }
        for at in 0..self.members.len() {
            let member = &mut self.members[at];
            member.near.was_late(now, late);
            let stale = if member.router.is_master() {
                let sign_of_life = member.sent.unwrap_or_default();
                now.since(sign_of_life) >= self.longest_silence()
            } else {
                member.is_started() && late > member.router.master_interval()
            };
            if stale {
                concerned = true;
                self.listening = Reason::Stalled;
                self.feed(now, at, Input::Stalled, out);
            }
        }
        concerned
    }

    /// An advert that passed every check.
    pub(super) fn hear(&mut self, now: Instant, family: Family, accepted: &Accepted, out: &mut Vec<Action>) {
        let Some(at) = self.members.iter().position(|m| m.family == family) else { return };
        self.members[at].mismatched = !accepted.same_addresses;
        let counters = &mut self.members[at].counters;
        counters.received += 1;
        counters.resignations += u64::from(accepted.heard.priority == Priority::RESIGN);
        counters.address_mismatches += u64::from(!accepted.same_addresses);
        if self.settings.hmac.is_some() {
            counters.signed[usize::from(accepted.sequence.is_none())] += 1;
        }
        if let Some(form) = accepted.form {
            counters.count_form(form);
        }
        self.members[at].mark(accepted, &self.settings);
        let input = if self.stands(now, at, &accepted.heard) { Input::Contender } else { Input::Advert };
        self.feed(now, at, input(accepted.heard), out);
        // Whoever it is and whatever its priority: we have resigned.
        let (source, resigns) = (accepted.heard.source, accepted.heard.priority == Priority::RESIGN);
        if let Some(handover) = self.handover.as_mut().filter(|_| !resigns) {
            handover.hear(now, family, source);
        }
    }

    /// Whether a master that hears its own priority leaves it to its first family to break the tie.
    ///
    /// The addresses of two families, or on two networks, need not be in the same order: each of two routers would win
    /// one, lose the other, and give up both. So whoever wins the first stands in the others for as long as the loser
    /// may need to see that it has lost; a rival that moves them apart is yielded to after that.
    fn stands(&mut self, now: Instant, at: usize, heard: &Heard) -> bool {
        let led = self.membership.is_some_and(|membership| membership.led);
        let leads = led || (at > 0 && self.members[0].router.is_master());
        let member = &mut self.members[at];
        let own = member.router.settings();
        if !leads || !member.router.is_master() || heard.priority != own.priority {
            return false;
        }
        let patience = member.router.master_down();
        let since = match member.contested {
            Some((since, last)) if now.since(last) < patience => since,
            Some(_) | None => now,
        };
        member.contested = Some((since, now));
        now.since(since) < patience
    }

    /// A valid advert came while this instance was deaf: it counts as discarded, which is no news.
    pub(super) fn overhear(&mut self, family: Family, accepted: &Accepted) {
        if let Some(member) = self.members.iter_mut().find(|m| m.family == family) {
            *member.counters.discarded.entry(Discard::NotListening).or_default() += 1;
            member.overhear(accepted, &self.settings);
        }
    }

    pub(super) fn feed(&mut self, now: Instant, at: usize, input: Input, out: &mut Vec<Action>) {
        let member = &mut self.members[at];
        let family = member.family;
        let said = member.handle(now, input, &self.settings, self.id, out);
        let near = member.near.news();
        if let (Input::Advert(heard), true) = (input, said.is_empty()) {
            // It neither counted nor was answered: a lower master that is to be replaced, or one that resigns.
            let resigns = heard.priority == Priority::RESIGN;
            member.lower = Some(heard).filter(|_| !resigns);
            member.master = member.master.filter(|master| !(resigns && master.address == heard.source));
        }
        if said.iter().any(|output| matches!(output, Output::Advert(_))) && member.recovers() {
            self.tell(now, What::SendRecovered, out);
        }
        if let Some((master, gap)) = near {
            self.tell(now, What::NearMiss { master, gap }, out);
        }
        for output in said {
            match output {
                Output::Advert(_) | Output::Farewell(_) => {}
                Output::Followed | Output::Deposed(_) => {
                    if let Input::Advert(heard) = input {
                        self.follow(now, at, heard.source, heard.priority, heard.at, out);
                    }
                }
                // The one just replaced says farewell: announced once more, but no news.
                Output::Rival(_) if now.since(self.since) <= self.settings.interval => {
                    self.announcing.defend(now, self.settings.interval);
                }
                Output::Rival(heard) => {
                    if heard.priority != Priority::RESIGN {
                        let who = alloc::format!("{} with priority {}", heard.source, heard.priority);
                        self.duplicate = Some(Duplicate { at: now, who });
                    }
                    if self.announcing.defend(now, self.settings.interval) {
                        let (address, priority) = (heard.source, heard.priority);
                        self.tell(now, What::Rival { family, address, priority }, out);
                    }
                }
            }
        }
    }

    /// Another router is master, and its advert counted.
    fn follow(
        &mut self,
        now: Instant,
        at: usize,
        address: IpAddr,
        priority: Priority,
        heard: Instant,
        out: &mut Vec<Action>,
    ) {
        let member = &mut self.members[at];
        let family = member.family;
        let known = member.master.replace(MasterStatus { address, priority, heard });
        member.lower = None;
        self.listening = Reason::Listening;
        if known.is_none_or(|known| known.address != address) {
            self.tell(now, What::Master { family, address, priority }, out);
        }
    }

    /// Takes a look at the world: where it can speak, its priority with `weight` added, and whether it can be heard.
    /// `runs` says whether those that move together did so far.
    pub(super) fn prepare(
        &mut self,
        now: Instant,
        world: &World,
        (weight, runs): (i32, bool),
        out: &mut Vec<Action>,
    ) {
        if world.seen && self.start_at.is_some_and(|at| at <= now) {
            self.start_at = None;
        }
        self.gates.retry(now);
        self.locate(now, world);
        self.weigh(now, weight, out);
        for member in &mut self.members {
            member.weigh_silence(now);
            member.joining &= runs;
        }
        self.weigh_gates(now);
        self.resign_for_the_dead(now, out);
    }

    /// Finds out where each router speaks and as whom.
    fn locate(&mut self, now: Instant, world: &World) {
        let link = world.links.named(&self.settings.interface);
        self.place_addresses(world);
        let families: Vec<Family> = self.members.iter().map(|member| member.family).collect();
        let through = families.into_iter().map(|family| self.voice_through(family, world));
        for (through, member) in through.collect::<Vec<_>>().into_iter().zip(&mut self.members) {
            member.voice = link.filter(|link| self.settings.can_use(link)).and_then(|link| {
                let endpoint = Endpoint { link: link.index, family: member.family };
                if world.sockets.standing(endpoint) != sockets::Standing::Open {
                    return None;
                }
                let source = world.links.source(link.index, member.family, &self.settings)?;
                let through = through.filter(|_| now >= member.hoarse_until);
                Some(Voice { link: link.index, through, mtu: link.mtu, source })
            });
        }
    }

    /// Works out the priority and hands it to the routers.
    fn weigh(&mut self, now: Instant, weight: i32, out: &mut Vec<Action>) {
        let weighted = self.settings.priority.weighted(weight);
        let effective = if self.is_reserve() { Priority::LAST } else { weighted };
        let from = core::mem::replace(&mut self.effective, effective);
        // In INIT no advert has carried it: what checks that have not spoken yet weigh is no news.
        if from != effective && self.state != State::Init {
            self.tell(now, What::Priority { from, to: effective }, out);
        }
        for at in 0..self.members.len() {
            let last = self.last();
            let changed = self.members[at].configure(now, &self.settings, effective, last);
            // A master that was to be replaced may be the better one now: then its last advert counts after all.
            if let Some(heard) = self.members[at].lower.take_if(|_| changed) {
                self.feed(now, at, Input::Advert(heard), out);
            }
        }
    }

    /// Something is in the way: a master resigns, if it still can, and everything is deaf and silent.
    pub(super) fn stop(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.handover = None;
        self.listening = Reason::Listening;
        for at in 0..self.members.len() {
            if self.members[at].is_started() {
                self.feed(now, at, Input::Stop, out);
            }
            self.members[at].master = None;
            self.members[at].lower = None;
        }
    }

    /// Its interface bears another name now: it is not there any more, but the sockets still are, to say so.
    pub(super) fn leave_renamed(&mut self, now: Instant, links: &Links, out: &mut Vec<Action>) {
        let link = self.link.and_then(|index| links.get(index));
        if link.is_some_and(|link| link.name != self.settings.interface) {
            self.stop(now, out);
        }
    }

    /// The routers that move together now: those that are new and cannot speak yet do not.
    pub(super) fn active(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| !member.joining)
    }

    /// Nothing is in the way: the routers run. Those that move together with them are `master` already, or not.
    pub(super) fn start(&mut self, now: Instant, master: bool, out: &mut Vec<Action>) {
        self.adopt(now, out);
        for at in 0..self.members.len() {
            self.join(now, at, master, out);
            if !self.members[at].is_started() && !self.members[at].joining {
                self.feed(now, at, Input::Start, out);
            }
        }
    }

    /// A router that is new in an instance moves with it as soon as it can speak; in a master's it becomes master.
    fn join(&mut self, now: Instant, at: usize, master: bool, out: &mut Vec<Action>) {
        let member = &mut self.members[at];
        if !member.joining || member.voice.is_none() {
            return;
        }
        member.joining = false;
        if master {
            self.feed(now, at, Input::Start, out);
            self.feed(now, at, Input::Promote, out);
        }
    }

    /// On what grounds all its routers are ready to be promoted, if they are.
    pub(super) fn claim(&self) -> Option<Claim> {
        let claims: Option<Vec<Claim>> = self.active().map(|member| member.router.ready()).collect();
        claims.and_then(|claims| claims.first().copied())
    }

    /// All that move together are ready: becomes master.
    pub(super) fn promote(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.handover.take().is_some_and(|handover| handover.was_answered()) {
            // The addresses were never given up, so nothing else would announce them.
            self.announcing.start(now, &self.settings.announce);
            self.announcing.defend(now, self.settings.interval);
        }
        self.gates.begin_term();
        self.pass(now, Input::Promote, out);
        for member in &mut self.members {
            member.master = None;
            member.lower = None;
        }
    }

    /// The operator, or the end of the agent, wants it elsewhere. Nobody who might follow waits longer than
    /// `longest_skew`.
    pub(super) fn hand_over(
        &mut self,
        now: Instant,
        longest_skew: Duration,
        otherwise: Otherwise,
        out: &mut Vec<Action>,
    ) {
        match &mut self.handover {
            Some(handover) => handover.turn(now, otherwise),
            None if self.state == State::Master => {
                self.handover = Some(Handover::new(now, longest_skew, otherwise));
                self.pass(now, Input::Resign, out);
            }
            None => {}
        }
    }

    /// It goes for good, and no longer with others.
    pub(super) fn retire(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.retiring = true;
        self.membership = None;
        self.hand_over(now, self.settings.longest_skew(), Otherwise::Release, out);
    }

    /// Whether it hands over to be gone.
    pub(super) fn is_leaving(&self) -> bool {
        self.handover.as_ref().is_some_and(|handover| handover.otherwise == Otherwise::Release)
    }

    /// How its hand-over ends, if it does now.
    pub(super) fn ending(&self, now: Instant) -> Option<Ending> {
        self.handover.as_ref()?.ending(now, &self.addresses, self.members.len())
    }

    /// Ends its hand-over.
    pub(super) fn end_handover(&mut self, now: Instant, ending: Ending, out: &mut Vec<Action>) {
        let Some(handover) = &self.handover else { return };
        let otherwise = handover.otherwise;
        if let Some((to, after)) = handover.successor() {
            self.tell(now, What::HandedOver { to, after }, out);
        }
        match (ending, otherwise) {
            (Ending::Succeeded, Otherwise::Stay) => self.handover = None,
            (Ending::Nobody, Otherwise::Stay) => {
                let resort = self.reserve.clone().filter(|_| !self.stepped_down);
                if resort.is_none() {
                    self.tell(now, What::NobodyTookOver, out);
                }
                self.reason = resort.unwrap_or(Reason::NobodyTookOver);
                self.promote(now, out);
            }
            (Ending::Succeeded | Ending::Nobody, Otherwise::Release) => self.stop(now, out),
        }
    }

    /// The kernel refused an advert.
    pub(super) fn send_failed(&mut self, now: Instant, family: Family, why: &str, out: &mut Vec<Action>) {
        let Some(at) = self.members.iter().position(|m| m.family == family) else { return };
        if self.members[at].falls_silent_through(now) {
            return self.feed(now, at, Input::Repeat, out);
        }
        if self.members[at].refused(why, &self.settings) {
            self.tell(now, What::SendFailed { why: String::from(why) }, out);
        }
    }

    /// Counts a datagram meant for us that does not count.
    pub(super) fn discard(
        &mut self,
        now: Instant,
        family: Family,
        reason: Discard,
        source: IpAddr,
        out: &mut Vec<Action>,
    ) {
        let Some(member) = self.members.iter_mut().find(|m| m.family == family) else { return };
        *member.counters.discarded.entry(reason).or_default() += 1;
        if reason.disagreement().is_some() {
            member.disagreed = Some((now, source, reason));
        }
        if is_news(&mut member.told, now, reason) {
            self.tell(now, What::Discarded { reason, source: Some(source) }, out);
        }
    }

    /// Tells the operator's side.
    pub(super) fn tell(&self, now: Instant, what: What, out: &mut Vec<Action>) {
        let about = Some((self.id, self.settings.name.clone()));
        out.push(Action::Tell(Notice { at: now, about, what }));
    }
}
