//! Bugs planted between the driver and the engine, to prove the oracles: each must be caught, and by whom is said.
//!
//! `cargo test --profile lab --test sim planted -- --nocapture` prints, for each, the first seed and the promise it
//! breaks.

use vipd::engine::action::{Action, Gate, Generation, InstanceId, KernelWork, Passage, VirtualLink};
use vipd::engine::event::{Change, Event, Packet};
use vipd::engine::settings::Settings;
use vipd::net::{Family, Priority};
use vipd::proto::health::Verdict;
use vipd::time::{Duration, Instant};
use vipd::wire::ipv4;

use crate::plan::Plan;
use crate::signatures;
use crate::trace::Trace;
use crate::world::World;

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Nothing is ever announced.
    Silent,
    /// Only what goes in is announced: who learns that somebody else was master says nothing.
    Undefended,
    /// Adverts with priority 0 are not heard.
    DeafToResignations,
    /// Adverts with our own priority are not heard: no tie is ever broken.
    DeafToEquals,
    /// Adverts with a higher priority than ours are not heard.
    DeafToBetter,
    /// What is open stays so, whatever becomes of the agent.
    NoLease,
    /// Addresses are never removed, and no gate is ever shut.
    Clinging,
    /// Routes and rules are never removed.
    PathsStay,
    /// Routes and rules that somebody deletes, or the kernel, are not missed.
    PathsUnobserved,
    /// What an earlier process left in the kernel stays there.
    StraysStay,
    /// `Silence` is said before what waits in the sockets was read.
    SilenceFirst,
    /// `Silence` reaches into the future.
    SilenceEarly,
    /// A node that is master of nothing wakes up late.
    SlowBackup,
    /// A node that is master of something wakes up late.
    SlowMaster,
    /// Adverts leave the machine late.
    SlowAdverts,
    /// Checks never go down.
    Optimist,
    /// A master that is beaten resigns with priority 0.
    ResignsWhenBeaten,
    /// A master that is beaten says nothing more.
    NoFarewell,
    /// Addresses that somebody deletes are not missed.
    Unobservant,
    /// A reload stops everything and starts it again.
    ReloadRestarts,
    /// Of two families only one is put into the kernel.
    OneFamily,
    /// Orders have no numbers.
    NoGenerations,
    /// The kernel's answers are not heard.
    DeafToKernel,
    /// The deadline is always now.
    Restless,
    /// Adverts with priority 100 go out with 0.
    ResignsForNothing,
    /// The operator's commands are not heard.
    Deaf,
    /// What an earlier process left is adopted although its lease is over.
    AdoptsLate,
    /// What an earlier process held once is adopted whoever holds it now.
    AdoptsAnothers,
    /// A verdict counts at once, however long it has to stand.
    Hasty,
    /// A verdict that has to stand for a while never counts.
    Dawdling,
    /// Sync groups are not heard of.
    Ungrouped,
    /// A gate is taken for open as soon as that was ordered.
    BelievesGates,
    /// Links of virtual routers' own are always up.
    LinksStayUp,
    /// They are, and what passes there once does so for ever.
    OwnLinksStayOpen,
    /// They keep the Ethernet address that somebody gives them.
    OwnLinksStayStrange,
    /// No packet is refused.
    Accepting,
    /// Where signatures have got to is not remembered.
    Forgetful,
}

const ALL: &[(Bug, &[&str])] = &[
    (Bug::Silent, &[ANNOUNCED]),
    (Bug::Undefended, &[CLIENTS, CLIENTS_IN_THE_END, ANNOUNCED]),
    (Bug::DeafToResignations, &[FOLLOWED]),
    (Bug::DeafToEquals, &[UNIQUE, EARLY]),
    (Bug::DeafToBetter, &[UNIQUE, EARLY]),
    (Bug::NoLease, &[UNIQUE]),
    (Bug::Clinging, &[UNIQUE, ONLY_MASTERS, "a stop leaves nothing"]),
    (Bug::PathsStay, &[PATHS, "a stop leaves nothing"]),
    (Bug::PathsUnobserved, &[PATHS]),
    (Bug::StraysStay, &[UNIQUE, ONLY_MASTERS]),
    (Bug::SilenceFirst, &[EARLY, STOOD]),
    (Bug::SilenceEarly, &[EARLY, UNIQUE]),
    (Bug::SlowBackup, &[DARK, FOLLOWED, ONLY_MASTERS]),
    (Bug::SlowMaster, &["adverts are on time"]),
    (Bug::SlowAdverts, &[UNIQUE, FOLLOWED]),
    (Bug::Optimist, &[FAULTY, BEST, TRUTH]),
    (Bug::ResignsWhenBeaten, &[RESIGNS]),
    (Bug::NoFarewell, &["a beaten master says farewell"]),
    (Bug::Unobservant, &[DARK, TOGETHER, BEST, TRUTH]),
    (Bug::ReloadRestarts, &["a reload leaves alone what it does not change"]),
    (Bug::OneFamily, &[TOGETHER, DARK, ANNOUNCED]),
    (Bug::NoGenerations, &["generations grow"]),
    (Bug::DeafToKernel, &["a stop ends in time", TRUTH]),
    (Bug::Restless, &["the engine never spins"]),
    (Bug::ResignsForNothing, &[RESIGNS]),
    (Bug::AdoptsLate, &[ADOPTED]),
    (Bug::AdoptsAnothers, &[ADOPTED]),
    (Bug::Hasty, &[STOOD]),
    (Bug::Dawdling, &["what has stood for its time counts"]),
    (Bug::Ungrouped, &[AGREE]),
    (Bug::BelievesGates, &[DARK, "nothing is given up without cause"]),
    (Bug::LinksStayUp, &["a link of a virtual router's own is down where nobody is master"]),
    (Bug::OwnLinksStayOpen, &["only a master sends with a virtual Ethernet address"]),
    (Bug::OwnLinksStayStrange, &[OWN_MAC]),
    (Bug::Accepting, &["packets for the addresses are refused where that was asked for"]),
    (Bug::Forgetful, &["nothing is believed twice", "an honest advert is no old one", UNIQUE, EARLY]),
    (Bug::Deaf, &["a stop ends in time", BEST, TRUTH]),
];

const OWN_MAC: &str = "a link of a virtual router's own has the virtual router's Ethernet address";
const ANNOUNCED: &str = "every take is announced";
const CLIENTS: &str = "clients follow the holder";
const CLIENTS_IN_THE_END: &str = "in the end clients reach the holder";
const FOLLOWED: &str = "a resignation is followed within Skew_Time";
const UNIQUE: &str = "at most one node answers for an address";
const EARLY: &str = "nobody takes over early";
const ONLY_MASTERS: &str = "a node that is not master holds nothing";
const PATHS: &str = "in the end a master has its routes and rules, and nobody else any";
const FAULTY: &str = "a node whose check is down holds nothing";
const DARK: &str = "an address is dark no longer than Master_Down_Interval";
const BEST: &str = "the best router holds in the end";
const TRUTH: &str = "status tells the truth";
const TOGETHER: &str = "families move together";
const ADOPTED: &str = "what is adopted was answered for";
const AGREE: &str = "members of a group agree";
const STOOD: &str = "a delayed verdict has stood for its time";
const RESIGNS: &str = "priority 0 is sent only when leaving";

/// What a bug may know of the node it sits in.
pub(crate) struct Context<'a> {
    pub(crate) settings: &'a Settings,
    /// The virtual routers that heard a better advert in this turn.
    pub(crate) beaten: Vec<u8>,
}

impl Bug {
    pub(crate) fn drops_announcements(self) -> bool {
        self == Self::Silent
    }

    pub(crate) fn hears_silence_first(self) -> bool {
        self == Self::SilenceFirst
    }

    pub(crate) fn forgets_sequences(self) -> bool {
        self == Self::Forgetful
    }

    /// Whether a lease that is over begins again when a process starts.
    pub(crate) fn revives(self) -> bool {
        matches!(self, Self::AdoptsLate | Self::AdoptsAnothers)
    }

    /// Whether the state file says of what was ever held that it still is.
    pub(crate) fn forgets_nothing(self) -> bool {
        self == Self::AdoptsAnothers
    }

    pub(crate) fn believes_gates(self) -> bool {
        self == Self::BelievesGates
    }

    pub(crate) fn restarts(self) -> bool {
        self == Self::ReloadRestarts
    }

    /// The settings that reach the engine.
    pub(crate) fn settings(self, settings: &Settings) -> Settings {
        let mut settings = settings.clone();
        if self == Self::Ungrouped {
            settings.groups.clear();
        }
        let factor = match self {
            Self::Hasty => 0,
            Self::Dawdling => 1000,
            _ => 1,
        };
        for check in &mut settings.checks {
            check.up_delay *= factor;
            check.down_delay *= factor;
        }
        settings
    }

    /// Up to when `Silence` is said.
    pub(crate) fn until(self, until: Instant) -> Instant {
        if self == Self::SilenceEarly { until + Duration::from_millis(200) } else { until }
    }

    /// Whether an event never reaches the engine.
    pub(crate) fn swallows(self, event: &Event<'_>, context: &Context<'_>) -> bool {
        match (self, event) {
            (
                Self::DeafToResignations | Self::DeafToEquals | Self::DeafToBetter,
                Event::Datagram(received),
            ) => {
                let Some((vrid, priority)) = priority(received.packet) else { return false };
                let instance = context.settings.instances.iter().find(|i| i.vrid.get() == vrid);
                let own = instance.map_or(0, |i| i.priority.get());
                match self {
                    Self::DeafToResignations => priority == 0,
                    Self::DeafToEquals => priority == own,
                    _ => priority > own,
                }
            }
            (Self::Optimist, Event::Verdict { verdict, .. }) => *verdict == Verdict::Down,
            (Self::Unobservant, Event::Change(Change::AddressGone(_)))
            | (Self::PathsUnobserved, Event::Change(Change::PathGone(_)) | Event::Paths(_))
            | (Self::DeafToKernel, Event::Held(_))
            | (Self::Deaf, Event::StepDown(_) | Event::Shutdown) => true,
            _ => false,
        }
    }

    /// What becomes of an action.
    pub(crate) fn action(self, action: Action, context: &Context<'_>) -> Option<Action> {
        match (self, action) {
            (Self::Undefended, Action::Kernel(KernelWork::Announce(_))) => None,
            (Self::Clinging | Self::NoLease, Action::Kernel(KernelWork::Gate(mut gate))) => {
                gate.lease = None;
                (self == Self::NoLease || gate.passage == Passage::Open)
                    .then_some(Action::Kernel(KernelWork::Gate(gate)))
            }
            (Self::LinksStayUp | Self::OwnLinksStayOpen, Action::Kernel(KernelWork::Link(mut link))) => {
                let stays = self == Self::LinksStayUp || link.there.is_some();
                link.wanted.iter_mut().for_each(|wanted| wanted.up |= stays);
                Some(Action::Kernel(KernelWork::Link(link)))
            }
            (Self::OwnLinksStayStrange, Action::Kernel(KernelWork::Link(link))) => {
                Some(Action::Kernel(KernelWork::Link(VirtualLink { estranged: false, ..link })))
            }
            (Self::OwnLinksStayOpen, Action::Kernel(KernelWork::Gate(mut gate)))
                if gate.virtual_link.is_some() =>
            {
                (gate.passage, gate.lease) = (Passage::Open, None);
                Some(Action::Kernel(KernelWork::Gate(gate)))
            }
            (Self::Accepting, Action::Kernel(KernelWork::Gate(gate))) => {
                Some(Action::Kernel(KernelWork::Gate(Gate { accept: true, ..gate })))
            }
            (Self::StraysStay, Action::Kernel(KernelWork::Hold(hold))) if hold.instance == InstanceId(0) => {
                None
            }
            (
                Self::Clinging | Self::OneFamily | Self::NoGenerations | Self::PathsStay,
                Action::Kernel(KernelWork::Hold(mut hold)),
            ) => {
                match self {
                    Self::PathsStay => hold.paths.remove.clear(),
                    Self::Clinging => hold.remove.clear(),
                    Self::OneFamily => hold.install.retain(|p| p.place.net.family() == Family::Ipv4),
                    _ => hold.generation = Generation(1),
                }
                Some(Action::Kernel(KernelWork::Hold(hold)))
            }
            (Self::NoFarewell, Action::Send(sent)) if context.beaten.contains(&sent.payload[1]) => None,
            (Self::ResignsWhenBeaten, Action::Send(datagram))
                if context.beaten.contains(&datagram.payload[1]) =>
            {
                Some(resigned(datagram))
            }
            (Self::ResignsForNothing, Action::Send(datagram)) if datagram.payload[2] == 100 => {
                Some(resigned(datagram))
            }
            (_, action) => Some(action),
        }
    }

    pub(crate) fn holds_adverts_up(self) -> Duration {
        if self == Self::SlowAdverts { Duration::from_secs(5) } else { Duration::ZERO }
    }

    pub(crate) fn deadline(
        self,
        now: Instant,
        deadline: Option<Instant>,
        is_master: bool,
    ) -> Option<Instant> {
        match self {
            Self::Restless => Some(now),
            Self::SlowMaster if is_master => deadline.map(|at| at + Duration::from_millis(8)),
            Self::SlowBackup if !is_master => deadline.map(|at| at + Duration::from_secs(1)),
            _ => deadline,
        }
    }
}

/// The virtual router and the priority in a datagram.
fn priority(packet: Packet<'_>) -> Option<(u8, u8)> {
    let payload = match packet {
        Packet::Ipv4(bytes) => ipv4::decode(bytes).ok()?.1,
        Packet::Ipv6 { payload, .. } => payload,
    };
    Some((*payload.get(1)?, *payload.get(2)?))
}

fn resigned(mut datagram: vipd::engine::action::Datagram) -> Action {
    if let Ok(mut advert) = signatures::read(&datagram.payload, datagram.source, datagram.destination) {
        advert.priority = Priority::RESIGN;
        datagram.payload = advert.encode(datagram.source, datagram.destination);
    }
    Action::Send(datagram)
}

#[test]
fn every_planted_bug_is_caught() {
    let mut missed = Vec::new();
    for (bug, promises) in ALL {
        let caught = (1..=SEEDS).find_map(|seed| {
            let world = World::new(Plan::of(seed), Some(*bug), Trace::default()).run();
            world.violation.map(|violation| (seed, violation))
        });
        match caught {
            Some((seed, violation)) => {
                println!("{bug:?}: seed {seed}, {}", violation.promise);
                if !promises.contains(&violation.promise) {
                    missed.push(format!("{bug:?} is caught by {}: {}", violation.promise, violation.what));
                }
            }
            None => missed.push(format!("{bug:?} is not caught")),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// So many seeds must be enough for every bug.
const SEEDS: u64 = 500;
