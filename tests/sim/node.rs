//! A machine and the agent that runs on it, if it does: the engine, what waits to be read, and its workers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use vipd::engine::Engine;
use vipd::engine::action::{Endpoint, Generation, RouterId};
use vipd::engine::event::{Change, Claim, Gated, Held, Linked, Opened, Picture, SeenPath, Target};
use vipd::engine::inheritance::{Estate, Inheritance};
use vipd::engine::notice::State;
use vipd::engine::settings::{Instance, Settings};
use vipd::engine::signing::Signed;
use vipd::net::{Family, Mac};
use vipd::proto::health::Verdict;
use vipd::time::{Duration, Instant};

use crate::kernel::Kernel;
use crate::network::Shared;
use crate::planted::Bug;
use crate::random::Random;
use crate::topology;
use crate::workers::{Gatekeeper, Route};

/// A machine.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kernel: Kernel,
    pub(crate) mac: Mac,
    /// Its configuration file.
    pub(crate) settings: Settings,
    /// What its probes would find.
    pub(crate) health: BTreeMap<String, Verdict>,
    /// How much earlier than the simulation it booted.
    pub(crate) uptime: Duration,
    pub(crate) process: Option<Process>,
    /// Its process gets no time.
    pub(crate) frozen: bool,
    /// While it is frozen, its workers get none either.
    pub(crate) workers_frozen: bool,
    /// Its gate gets nothing done.
    pub(crate) jammed: bool,
    /// How many processes it has had.
    pub(crate) serial: u32,
    /// Its state file.
    pub(crate) state: Option<Inheritance>,
    /// By how many milliseconds its wall clock is ahead of the right time.
    pub(crate) clock_error: i64,
    /// Its file of where signatures have got to, and when it was written.
    pub(crate) sequences: Vec<Signed>,
    pub(crate) sequences_at: Instant,
}

impl Node {
    pub(crate) fn new(mac: Mac, kernel: Kernel, settings: Settings, uptime: Duration) -> Self {
        let health = settings.checks.iter().map(|check| (check.name.clone(), Verdict::Up)).collect();
        Self {
            kernel,
            mac,
            settings,
            health,
            uptime,
            process: None,
            frozen: false,
            workers_frozen: false,
            jammed: false,
            serial: 0,
            state: None,
            clock_error: 0,
            sequences: Vec::new(),
            sequences_at: Instant::BOOT,
        }
    }

    /// What its clock shows.
    pub(crate) fn clock(&self, now: Instant) -> Instant {
        now + self.uptime
    }

    /// What moment of the simulation its clock meant.
    pub(crate) fn moment(&self, clock: Instant) -> Instant {
        clock - self.uptime
    }

    /// The instance with a virtual router identifier.
    pub(crate) fn instance(&self, vrid: u8) -> Option<&Instance> {
        self.settings.instances.iter().find(|i| i.vrid.get() == vrid)
    }

    /// The instances that move with the one with a virtual router identifier, and that one.
    pub(crate) fn together(&self, vrid: u8) -> Vec<&Instance> {
        let at = self.settings.instances.iter().position(|i| i.vrid.get() == vrid);
        let mates = at.map(|at| topology::mates(&self.settings, at)).unwrap_or_default();
        mates.into_iter().map(|at| &self.settings.instances[at]).collect()
    }

    /// The instance that an address is configured for.
    pub(crate) fn owner_of(&self, address: IpAddr) -> Option<&Instance> {
        let mut instances = self.settings.instances.iter();
        instances.find(|i| i.addresses.iter().any(|net| net.address() == address))
    }

    /// What the state file says, with the leases that live, and their terms.
    pub(crate) fn inherit(
        &mut self,
        clock: Instant,
        bug: Option<Bug>,
    ) -> (Inheritance, BTreeMap<RouterId, u64>) {
        self.kernel.gates.advance(clock);
        let (mut left, mut terms) = (self.state.clone().unwrap_or_default(), BTreeMap::new());
        for inherited in &mut left.instances {
            let Some(estate) = &mut inherited.estate else { continue };
            estate.leases.retain(|_, end| *end > clock);
            for family in [Family::Ipv4, Family::Ipv6] {
                let router = RouterId { instance: inherited.id, family };
                if bug.is_some_and(Bug::revives) && self.kernel.gates.lease(router).is_none() {
                    self.kernel.gates.revive(router);
                }
                if let Some(end) = self.kernel.gates.find(router) {
                    estate.leases.insert(family, end);
                    terms.insert(router, inherited.term);
                }
            }
        }
        let lives = |estate: &Estate| !estate.leases.is_empty();
        if !left.instances.iter().filter_map(|inherited| inherited.estate.as_ref()).any(lives) {
            left.checks.clear();
        }
        (left, terms)
    }

    /// Writes the state file.
    pub(crate) fn write_state(&mut self, bug: Option<Bug>) {
        let Some(process) = self.process.as_mut().filter(|p| p.stopping.is_none()) else { return };
        if !std::mem::take(&mut process.has_news) {
            return;
        }
        let mut state = process.engine.bequest();
        if bug.is_some_and(Bug::forgets_nothing) {
            let old = self.state.take().unwrap_or_default().instances;
            for new in state.instances.iter_mut().filter(|new| new.estate.is_none()) {
                new.estate = old.iter().find(|old| old.id == new.id).and_then(|old| old.estate.clone());
            }
        }
        self.state = Some(state);
    }

    /// Whether its agent runs and gets time.
    pub(crate) fn is_awake(&self) -> bool {
        self.process.is_some() && !self.frozen
    }

    /// Whether its agent runs, gets time, and has not been told to end.
    pub(crate) fn serves(&self) -> bool {
        self.is_awake() && self.process.as_ref().is_some_and(|process| process.stopping.is_none())
    }
}

/// An answer of a worker.
#[derive(Debug)]
pub(crate) enum Answer {
    Held(Held),
    Gated(Gated),
    Opened(Opened),
    Linked(Linked),
    Picture(Picture),
    Paths(Vec<SeenPath>),
}

/// What the service side asks for.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Verdict(String, Verdict),
    Reload(Settings),
    StepDown(Target),
    Resume(Target),
    Shutdown,
}

/// A datagram waiting in a socket.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) at: Instant,
    pub(crate) frame: Shared,
    /// Somebody else sent it, who had recorded it.
    pub(crate) replayed: bool,
}

/// What the notices and status of a process say of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) state: State,
    pub(crate) since: Instant,
    pub(crate) stepped_down: bool,
}

/// A running agent.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) serial: u32,
    pub(crate) engine: Engine,
    pub(crate) sockets: BTreeMap<Endpoint, VecDeque<Waiting>>,
    pub(crate) listening: BTreeMap<Endpoint, Generation>,
    pub(crate) reports: VecDeque<Change>,
    /// The monitor is not read while a dump is under way.
    pub(crate) awaits_picture: bool,
    pub(crate) answers: VecDeque<Answer>,
    pub(crate) claims: VecDeque<Claim>,
    pub(crate) requests: VecDeque<Request>,
    pub(crate) route: Route,
    pub(crate) gate: Gatekeeper,
    /// What the timer was armed for.
    pub(crate) armed: Option<Instant>,
    pub(crate) wake_at: Option<Instant>,
    /// When it was told to end.
    pub(crate) stopping: Option<Instant>,
    /// The instances that the operator has stepped down.
    pub(crate) stepped_down: BTreeSet<u8>,
    /// By virtual router identifier.
    pub(crate) standing: BTreeMap<u8, Standing>,
    /// What moves together by the configuration that it has.
    pub(crate) groups: Vec<Vec<u8>>,
    /// Something was told that the state file may not say yet.
    pub(crate) has_news: bool,
    /// Turns in a row without time passing, for nothing but the deadline.
    pub(crate) idle_turns: u32,
}

impl Process {
    pub(crate) fn new(
        serial: u32,
        clock: Instant,
        settings: Settings,
        (inheritance, terms): (Inheritance, BTreeMap<RouterId, u64>),
        seed: u64,
    ) -> Self {
        let groups = topology::groups(&settings);
        let stepped_down = inheritance.instances.iter().filter(|inherited| inherited.stepped_down);
        let stepped_down = stepped_down.map(|inherited| inherited.identity.vrid.get()).collect();
        let mut process = Self {
            serial,
            engine: Engine::inheriting(clock, settings, inheritance),
            sockets: BTreeMap::new(),
            listening: BTreeMap::new(),
            reports: VecDeque::new(),
            awaits_picture: true,
            answers: VecDeque::new(),
            claims: VecDeque::new(),
            requests: VecDeque::new(),
            route: Route::new(Random::new(seed, 10)),
            gate: Gatekeeper::new(Random::new(seed, 11), terms),
            armed: None,
            wake_at: None,
            stopping: None,
            stepped_down,
            standing: BTreeMap::new(),
            groups: Vec::new(),
            has_news: false,
            idle_turns: 0,
        };
        process.regroup(groups);
        process
    }

    /// It has another configuration. Where one is stepped down, so is what moves with it.
    pub(crate) fn regroup(&mut self, groups: Vec<Vec<u8>>) {
        for members in &groups {
            if members.iter().any(|vrid| self.stepped_down.contains(vrid)) {
                self.stepped_down.extend(members);
            }
        }
        self.groups = groups;
    }

    /// Reads the states of all instances.
    pub(crate) fn look(&mut self, clock: Instant) {
        let status = self.engine.status(clock);
        self.standing.clear();
        for i in &status.instances {
            let standing = Standing { state: i.state, since: i.since, stepped_down: i.stepped_down };
            // What a reload retires comes last, and its successor is the one that counts.
            self.standing.entry(i.vrid.get()).or_insert(standing);
        }
    }

    /// The state of an instance.
    pub(crate) fn state(&self, vrid: u8) -> Option<State> {
        self.standing.get(&vrid).map(|standing| standing.state)
    }

    /// Whether anything waits to be read.
    pub(crate) fn has_mail(&self) -> bool {
        self.sockets.values().any(|queue| !queue.is_empty())
            || (!self.awaits_picture && !self.reports.is_empty())
            || !self.answers.is_empty()
            || !self.claims.is_empty()
            || !self.requests.is_empty()
    }
}

/// How many datagrams a socket holds; the kernel keeps the oldest.
pub(crate) const SOCKET_ROOM: usize = 32;
