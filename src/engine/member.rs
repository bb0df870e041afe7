//! One virtual router within its instance: the machine, where it speaks, whom it heard, and what it counted.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::action::{Action, Datagram, Endpoint, InstanceId};
use super::hear::Accepted;
use super::links::is_link_local;
use super::near::Nearness;
use super::notice::{Discard, State};
use super::retreat::Retreat;
use super::settings::{Address, Instance as Settings, Preempt};
use super::signing::Signatures;
use super::status::{Counters, MasterStatus, RouterStatus};
use crate::net::{Family, LinkIndex, Priority};
use crate::proto::vrrp::{self, Heard, Input, Last, Output, Router};
use crate::time::{Duration, Instant};
use crate::wire::vrrp::{Advert, Key, Sequence, most_addresses};

/// A virtual router of an instance.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) family: Family,
    pub(super) router: Router,
    /// Where and as whom it speaks; none while it cannot.
    pub(super) voice: Option<Voice>,
    /// Until when it does not speak by the link of its own, because it could not.
    pub(super) hoarse_until: Instant,
    /// Who was last heard as master and counted.
    pub(super) master: Option<MasterStatus>,
    /// The last advert that did not count because its sender is to be replaced.
    pub(super) lower: Option<Heard>,
    /// Since when, and when last, a rival of our own priority was heard while we were master.
    pub(super) contested: Option<(Instant, Instant)>,
    /// Who spoke last while this router was deaf: it decides nothing, but operators ask.
    overheard: Option<Heard>,
    /// When the last advert was sent that others take for a sign of life; one that was refused does not count.
    pub(super) sent: Option<Instant>,
    sent_before: Option<Instant>,
    /// Until when others take the router for alive, by the interval that its last advert spoke of.
    pub(super) alive_until: Instant,
    alive_before: Instant,
    /// To how many destinations the kernel refused to send the last one.
    refusals: usize,
    /// How sending goes.
    pub(super) sending: Sending,
    /// When it was out of the race as a mute.
    retreat: Retreat,
    /// New in an instance that was running already, and cannot speak yet: it does not hold the others up.
    pub(super) joining: bool,
    pub(super) counters: Counters,
    /// How close it came to taking over.
    pub(super) near: Nearness,
    /// Whether the last advert listed other addresses than ours would.
    pub(super) mismatched: bool,
    /// The last advert that was discarded because the configurations disagree: when, from whom, and in what.
    pub(super) disagreed: Option<(Instant, IpAddr, Discard)>,
    /// When each kind of discard was last told.
    pub(super) told: BTreeMap<Discard, Instant>,
    /// What it signed, and what was signed that it heard.
    pub(super) signatures: Signatures,
}

/// Where a router's adverts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Voice {
    pub(super) link: LinkIndex,
    /// The link of the virtual router's own by which those leave that say it is master; none: the interface, too.
    pub(super) through: Option<LinkIndex>,
    pub(super) mtu: u32,
    pub(super) source: IpAddr,
}

/// How sending adverts goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    Fine,
    /// The kernel refuses, since the advert before the last sign of life.
    Failing {
        /// What it says.
        why: String,
        /// Whether the last advert was refused, too.
        again: bool,
        /// Until when there is no point in being master.
        mute_until: Option<Instant>,
    },
}

impl Member {
    pub(super) fn new(family: Family, settings: &Settings) -> Self {
        let unspoken = family.group();
        Self {
            family,
            router: Router::new(machine_settings(settings, settings.priority, unspoken)),
            voice: None,
            hoarse_until: Instant::BOOT,
            master: None,
            lower: None,
            contested: None,
            overheard: None,
            sent: None,
            sent_before: None,
            alive_until: Instant::BOOT,
            alive_before: Instant::BOOT,
            refusals: 0,
            sending: Sending::Fine,
            retreat: Retreat::default(),
            joining: false,
            counters: Counters::default(),
            near: Nearness::default(),
            mismatched: false,
            disagreed: None,
            told: BTreeMap::new(),
            signatures: Signatures::default(),
        }
    }

    /// An earlier agent spoke in its place, and is believed alive until then.
    pub(super) fn inherit(&mut self, alive_until: Instant, sign_of_life: Duration) {
        self.alive_until = alive_until;
        self.sent = Some(alive_until - sign_of_life);
    }

    /// Brings the machine's settings up to date. Returns whether they changed.
    pub(super) fn configure(
        &mut self,
        now: Instant,
        settings: &Settings,
        priority: Priority,
        last: Last,
    ) -> bool {
        let source = self.voice.map_or(self.router.settings().source, |voice| voice.source);
        let wanted = vrrp::Settings { last, ..machine_settings(settings, priority, source) };
        let changed = *self.router.settings() != wanted;
        if changed {
            self.router.configure(now, wanted);
        }
        changed
    }

    /// Hands the machine an input and performs what it asks for on the wire. Returns what else it had to say.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        input: Input,
        settings: &Settings,
        instance: InstanceId,
        out: &mut Vec<Action>,
    ) -> Vec<Output> {
        let mut said = Vec::new();
        let (timer, interval) = (self.router.master_down(), self.router.master_interval());
        self.router.handle(now, input, &mut said);
        match input {
            Input::Advert(heard) | Input::Contender(heard) if follows(&said) => {
                self.near.hear(&heard, timer, interval, settings.near_miss_percent);
            }
            Input::Advert(_) | Input::Contender(_) => self.near.forget(),
            _ if self.router.is_master() || !self.is_started() => self.near.forget(),
            _ => {}
        }
        for output in &said {
            match *output {
                Output::Advert(priority) => {
                    let through = self.voice.and_then(|voice| voice.through);
                    self.advertise(now, priority, through, settings, instance, out);
                    self.sent_before = self.sent.replace(now);
                    self.refusals = 0;
                    if priority != Priority::RESIGN {
                        let until = now + settings.sign_of_life();
                        self.alive_before = core::mem::replace(&mut self.alive_until, until);
                    }
                    if input == Input::Promote {
                        // What was sent as the master before says nothing of how long this one is silent.
                        self.sent_before = Some(now);
                    }
                }
                // Switches know by now where the better master is.
                Output::Farewell(priority) => self.advertise(now, priority, None, settings, instance, out),
                Output::Followed | Output::Deposed(_) | Output::Rival(_) => {}
            }
        }
        said
    }

    fn advertise(
        &mut self,
        now: Instant,
        priority: Priority,
        through: Option<LinkIndex>,
        settings: &Settings,
        instance: InstanceId,
        out: &mut Vec<Action>,
    ) {
        // Who resigns leaves it to the successor to show where the virtual router is.
        let through = through.filter(|_| priority != Priority::RESIGN);
        let signer = settings.hmac.as_ref().and_then(|hmac| Some((hmac.signer()?, hmac.anti_replay)));
        let signer = signer.map(|(key, anti_replay)| (key, self.signatures.next(now, anti_replay)));
        let datagrams = self.datagrams(priority, through, settings, instance, signer);
        self.counters.sent += datagrams.len() as u64;
        if priority == Priority::RESIGN {
            self.counters.resigned += datagrams.len() as u64;
        }
        out.extend(datagrams.into_iter().map(Action::Send));
    }

    /// The adverts that resign in its name, if it could speak now. None if it signs: signed now they would be old when
    /// they are needed, or could be said by whoever reads them before.
    pub(super) fn resignation(&self, settings: &Settings, instance: InstanceId) -> Vec<Datagram> {
        if settings.signs() {
            return Vec::new();
        }
        self.datagrams(Priority::RESIGN, None, settings, instance, None)
    }

    /// Resigns for another that spoke in its place.
    pub(super) fn resign(
        &mut self,
        now: Instant,
        settings: &Settings,
        instance: InstanceId,
        out: &mut Vec<Action>,
    ) {
        self.advertise(now, Priority::RESIGN, None, settings, instance, out);
    }

    fn datagrams(
        &self,
        priority: Priority,
        through: Option<LinkIndex>,
        settings: &Settings,
        instance: InstanceId,
        signer: Option<((u8, &Key), Sequence)>,
    ) -> Vec<Datagram> {
        let Some(voice) = self.voice else { return Vec::new() };
        let advert = Advert {
            version: settings.version,
            vrid: settings.vrid,
            priority,
            interval: settings.interval,
            authentication: settings.authentication,
            addresses: listed(settings, self.family, voice.mtu),
            checksum: settings.checksum,
        };
        // One signature for all: it does not cover the destination.
        let trailer = signer.map(|((id, key), sequence)| advert.sign(voice.source, id, key, sequence));
        let datagram = |destination| Datagram {
            instance,
            endpoint: Endpoint { link: through.unwrap_or(voice.link), family: self.family },
            source: voice.source,
            destination,
            payload: advert.encode_with(voice.source, destination, trailer.as_ref()),
        };
        settings.destinations(self.family).into_iter().map(datagram).collect()
    }

    /// The kernel refused an advert: if it was by the link of its own, the interface below may still do, for a while.
    pub(super) fn falls_silent_through(&mut self, now: Instant) -> bool {
        let through = self.voice.as_mut().and_then(|voice| voice.through.take());
        if through.is_some() {
            self.hoarse_until = now + HOARSE;
            self.counters.send_failures += 1;
        }
        through.is_some()
    }

    /// The kernel refused an advert to one destination; one that got out to any is a sign of life. Returns whether
    /// that is news.
    pub(super) fn refused(&mut self, why: &str, settings: &Settings) -> bool {
        self.counters.send_failures += 1;
        self.refusals += 1;
        if self.refusals == settings.destinations(self.family).len() {
            self.sent = self.sent_before;
            self.alive_until = self.alive_before;
        }
        let (news, mute_until) = match &self.sending {
            Sending::Fine => (true, None),
            Sending::Failing { mute_until, .. } => (false, *mute_until),
        };
        self.sending = Sending::Failing { why: String::from(why), again: true, mute_until };
        news
    }

    /// A new advert is about to go out: whether the one before it got through after a time of refusals.
    pub(super) fn recovers(&mut self) -> bool {
        match &mut self.sending {
            Sending::Fine => false,
            Sending::Failing { again, .. } if *again => {
                *again = false;
                false
            }
            Sending::Failing { .. } => {
                self.sending = Sending::Fine;
                true
            }
        }
    }

    /// Gives up as a mute, and takes heart again when its time as one is over.
    pub(super) fn weigh_silence(&mut self, now: Instant) {
        let gives_up = self.gives_up_at().is_some_and(|at| at <= now).then(|| self.retreat.begin(now));
        if let Sending::Failing { mute_until, .. } = &mut self.sending {
            *mute_until = gives_up.or(*mute_until).filter(|until| now < *until);
        }
    }

    /// When a master whose adverts are refused is no use any more. Shortly before the lease ends: a family that still
    /// can speak resigns then, which a lease that is over would leave undone. Not earlier, for in the family that
    /// cannot the others wait for as long whatever we do.
    fn gives_up_at(&self) -> Option<Instant> {
        let fails = matches!(self.sending, Sending::Failing { again: true, mute_until: None, .. });
        let fails = fails && self.router.is_master();
        let vrrp::Settings { interval, missed_adverts, .. } = *self.router.settings();
        self.sent.filter(|_| fails).map(|sent| sent + interval * missed_adverts - interval / 4)
    }

    /// Why it had better not be master: others cannot hear it.
    pub(super) fn is_mute(&self) -> Option<&str> {
        match &self.sending {
            Sending::Failing { why, mute_until: Some(_), .. } => Some(why),
            Sending::Fine | Sending::Failing { .. } => None,
        }
    }

    /// When it may try to speak again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let mute = match &self.sending {
            Sending::Failing { mute_until, .. } => mute_until.filter(|_| !self.is_started()),
            Sending::Fine => None,
        };
        [self.router.deadline(), mute, self.gives_up_at()].into_iter().flatten().min()
    }

    /// Whether the machine is out of Init.
    pub(super) fn is_started(&self) -> bool {
        self.router.state() != vrrp::State::Init
    }

    /// The router's own state, as operators name it.
    pub(super) fn state(&self, faulty: bool) -> State {
        match self.router.state() {
            vrrp::State::Init if faulty => State::Fault,
            vrrp::State::Init => State::Init,
            vrrp::State::Backup { .. } => State::Backup,
            vrrp::State::Master { .. } => State::Master,
        }
    }

    /// Whether an advert of a lower master was heard within the last `window`: it is being replaced.
    pub(super) fn replaces(&self, now: Instant, window: Duration) -> Option<Heard> {
        self.lower.filter(|heard| now.since(heard.at) <= window)
    }

    /// A valid advert came while this router was deaf.
    pub(super) fn overhear(&mut self, accepted: &Accepted, settings: &Settings) {
        self.mark(accepted, settings);
        self.overheard = Some(accepted.heard).filter(|heard| heard.priority != Priority::RESIGN);
    }

    /// What its signature proved once proves nothing a second time.
    pub(super) fn mark(&mut self, accepted: &Accepted, settings: &Settings) {
        let Some(sequence) = accepted.sequence else { return };
        let most = settings.unicast.as_ref().map_or(MULTICAST_SENDERS, |unicast| unicast.peers.len());
        self.signatures.mark(accepted.heard.at, accepted.heard.source, sequence, most);
    }

    /// Whom a deaf router knows to be master: who spoke within the last intervals that it may miss, and some more.
    fn overheard(&self, now: Instant) -> Option<MasterStatus> {
        let heard = self.overheard.filter(|_| !self.is_started())?;
        let own = self.router.settings();
        let fresh = now.since(heard.at) < own.interval.max(heard.interval) * (own.missed_adverts + 1);
        fresh.then_some(MasterStatus { address: heard.source, priority: heard.priority, heard: heard.at })
    }

    /// Whom it follows: not one that has been silent for so long that only those that move with this router keep it from
    /// the role.
    pub(super) fn followed(&self) -> Option<MasterStatus> {
        self.master.filter(|_| self.router.ready().is_none())
    }

    /// A lower master that is to be replaced, as long as it advertises: it has the role until then.
    fn lower(&self, now: Instant) -> Option<MasterStatus> {
        let heard = self.replaces(now, self.router.master_down())?;
        Some(MasterStatus { address: heard.source, priority: heard.priority, heard: heard.at })
    }

    pub(super) fn status(&self, now: Instant, faulty: bool, near_miss_percent: u8) -> RouterStatus {
        let own = self.voice.filter(|_| self.router.is_master()).map(|voice| MasterStatus {
            address: voice.source,
            priority: self.router.settings().priority,
            heard: self.sent.unwrap_or_default(),
        });
        RouterStatus {
            family: self.family,
            state: self.state(faulty),
            source: self.voice.map(|voice| voice.source),
            master: own
                .or_else(|| self.followed())
                .or_else(|| self.lower(now))
                .or_else(|| self.overheard(now)),
            master_interval: self.router.master_interval(),
            master_down: self.router.master_down(),
            counters: self.counters.clone(),
            near: self.near.clone(),
            near_miss_percent,
        }
    }
}

/// Whether an advert restarted the timer.
fn follows(said: &[Output]) -> bool {
    said.iter().any(|output| matches!(output, Output::Followed | Output::Deposed(_)))
}

fn machine_settings(settings: &Settings, priority: Priority, source: IpAddr) -> vrrp::Settings {
    vrrp::Settings {
        version: settings.version,
        priority,
        interval: settings.interval,
        missed_adverts: settings.missed_adverts,
        preempt: match settings.preempt {
            Preempt::Never => None,
            Preempt::After(delay) => Some(delay),
        },
        last: Last::Ordinary,
        source,
    }
}

/// The addresses of one family that an advert lists: the first that fit, an IPv6 link-local one in front
/// (RFC 9568, 5.2.9 and erratum 8300).
pub(super) fn listed(settings: &Settings, family: Family, mtu: u32) -> Vec<IpAddr> {
    let advertised = settings.addresses.iter().filter(|a| a.advertised && a.family() == family);
    let mut addresses: Vec<IpAddr> = advertised.map(Address::address).collect();
    addresses.sort_by_key(|a| !matches!(a, IpAddr::V6(a) if is_link_local(*a)));
    addresses.truncate(most_addresses(family, settings.version, mtu, settings.hmac.is_some()));
    addresses
}

/// How long a router does not try again to speak by the link of its own.
const HOARSE: Duration = Duration::from_secs(10);
/// How many senders of a multicast group are told apart by their sequences: one is master, and the others were or will
/// be.
const MULTICAST_SENDERS: usize = 4;
