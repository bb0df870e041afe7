//! The two threads of an agent that wait for the kernel in its stead: `route` for addresses, announcements and
//! sockets, `gate` for what may pass. Each takes the newest wanted state from its mailbox and works in small batches
//! that take a random time.

use std::collections::{BTreeMap, VecDeque};

use vipd::engine::action::{
    Announcement, Endpoint, Gate, Hold, InstanceId, KernelWork, Listen, Place, Placement, RouterId,
    VirtualLink, VirtualLinkId,
};
use vipd::engine::event::{Gated, Gating, Held, Linked, Opened, Refusal};
use vipd::engine::path::PathKey;
use vipd::time::{Duration, Instant};

use crate::kernel::Kernel;
use crate::random::Random;

/// What a step of the route worker brought about.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Addresses to announce now.
    pub(crate) announced: Vec<Placement>,
    /// Orders for addresses that are done.
    pub(crate) held: Vec<Held>,
    /// Orders for virtual routers' own links that are done.
    pub(crate) linked: Vec<Linked>,
    /// Sockets that are open, or could not be opened.
    pub(crate) opened: Vec<Opened>,
}

/// The worker that writes addresses.
#[derive(Debug)]
pub(crate) struct Route {
    random: Random,
    holds: BTreeMap<InstanceId, Hold>,
    announcements: BTreeMap<InstanceId, Announcement>,
    listens: BTreeMap<Endpoint, Listen>,
    links: BTreeMap<VirtualLinkId, VirtualLink>,
    jobs: VecDeque<Job>,
    bursts: BTreeMap<InstanceId, Burst>,
    /// When its present step ends.
    pub(crate) step_at: Option<Instant>,
}

#[derive(Debug)]
struct Job {
    hold: Hold,
    installed: usize,
    removed: usize,
    refused: Vec<(Place, Refusal)>,
    refused_paths: Vec<(PathKey, Refusal)>,
}

#[derive(Debug)]
struct Burst {
    rest: VecDeque<Placement>,
    pace: Duration,
    due: Instant,
}

impl Route {
    pub(crate) fn new(random: Random) -> Self {
        Self {
            random,
            holds: BTreeMap::new(),
            announcements: BTreeMap::new(),
            listens: BTreeMap::new(),
            links: BTreeMap::new(),
            jobs: VecDeque::new(),
            bursts: BTreeMap::new(),
            step_at: None,
        }
    }

    /// Puts an order into the mailbox: it replaces an older one for the same thing.
    pub(crate) fn post(&mut self, now: Instant, work: KernelWork) {
        match work {
            KernelWork::Hold(hold) => drop(self.holds.insert(hold.instance, hold)),
            KernelWork::Announce(burst) => drop(self.announcements.insert(burst.instance, burst)),
            // How fast frames follow each other is below the clock of this world; gates have a worker of their own.
            KernelWork::Pace(_) | KernelWork::Gate(_) => {}
            KernelWork::Listen(listen) => drop(self.listens.insert(listen.endpoint, listen)),
            KernelWork::Link(link) => drop(self.links.insert(link.id, link)),
        }
        let at = now + self.pause();
        self.step_at = Some(self.step_at.map_or(at, |planned| planned.min(at)));
    }

    fn pause(&mut self) -> Duration {
        // Mostly quick; now and then somebody else holds the kernel's lock.
        let longest = if self.random.chance(100) { LONGEST_STEP } else { LONGEST_STEP / 10 };
        self.random.duration(SHORTEST_STEP, longest)
    }

    /// Ends the present step.
    pub(crate) fn step(&mut self, now: Instant, kernel: &mut Kernel) -> Done {
        let mut done = Done::default();
        for link in std::mem::take(&mut self.links).into_values() {
            let refused = kernel.bring(&link).err();
            done.linked.push(Linked { id: link.id, generation: link.generation, refused });
        }
        for hold in std::mem::take(&mut self.holds).into_values() {
            self.take_on(hold);
        }
        self.work(kernel, &mut done);
        for announcement in std::mem::take(&mut self.announcements).into_values() {
            self.begin(now, announcement);
        }
        self.announce_due(now, &mut done);
        for listen in std::mem::take(&mut self.listens).into_values() {
            done.opened.extend(open(&listen, kernel));
        }
        let next_burst = self.bursts.values().map(|burst| burst.due).min();
        self.step_at = match (self.jobs.is_empty(), next_burst) {
            (false, _) => Some(now + self.pause()),
            (true, Some(due)) => Some(due.max(now + SHORTEST_STEP)),
            (true, None) => None,
        };
        done
    }

    fn take_on(&mut self, hold: Hold) {
        if let Some(burst) = self.bursts.get_mut(&hold.instance) {
            burst.rest.retain(|placement| !hold.remove.contains(&placement.place));
        }
        if let Some(waiting) = self.announcements.get_mut(&hold.instance) {
            waiting.addresses.retain(|placement| !hold.remove.contains(&placement.place));
        }
        self.jobs.retain(|job| job.hold.instance != hold.instance);
        self.jobs.push_back(Job {
            hold,
            installed: 0,
            removed: 0,
            refused: Vec::new(),
            refused_paths: Vec::new(),
        });
    }

    fn work(&mut self, kernel: &mut Kernel, done: &mut Done) {
        let Some(mut job) = self.jobs.pop_front() else { return };
        if !job.hold.paths.remove.is_empty() {
            for key in std::mem::take(&mut job.hold.paths.remove) {
                kernel.remove_path(&key);
            }
        } else if job.removed < job.hold.remove.len() {
            job.remove_batch(kernel);
        } else {
            job.install_batch(kernel, done);
        }
        if job.installed == job.hold.install.len() && job.removed == job.hold.remove.len() {
            job.install_paths(kernel);
            let (instance, generation) = (job.hold.instance, job.hold.generation);
            done.held.push(Held {
                instance,
                generation,
                refused: job.refused,
                refused_paths: job.refused_paths,
            });
        } else {
            self.jobs.push_back(job);
        }
    }

    fn begin(&mut self, now: Instant, announcement: Announcement) {
        let rest: VecDeque<Placement> = announcement.addresses.into();
        let pace = announcement.pace;
        self.bursts.insert(announcement.instance, Burst { rest, pace, due: now });
    }

    fn announce_due(&mut self, now: Instant, done: &mut Done) {
        for burst in self.bursts.values_mut().filter(|burst| burst.due <= now) {
            let count = if burst.pace.is_zero() { burst.rest.len() } else { 1.min(burst.rest.len()) };
            done.announced.extend(burst.rest.drain(..count));
            burst.due = now + burst.pace;
        }
        self.bursts.retain(|_, burst| !burst.rest.is_empty());
    }
}

impl Job {
    fn install_batch(&mut self, kernel: &mut Kernel, done: &mut Done) {
        for placement in self.hold.install.iter().skip(self.installed).take(BATCH) {
            match kernel.install(placement) {
                Ok(()) => done.announced.push(*placement),
                Err(refusal) => self.refused.push((placement.place, refusal)),
            }
            self.installed += 1;
        }
    }

    fn install_paths(&mut self, kernel: &mut Kernel) {
        for path in std::mem::take(&mut self.hold.paths.install) {
            if let Err(refusal) = kernel.put_path(&path) {
                self.refused_paths.push((path.key(), refusal));
            }
        }
    }

    fn remove_batch(&mut self, kernel: &mut Kernel) {
        for place in self.hold.remove.iter().skip(self.removed).take(BATCH) {
            if let Err(refusal) = kernel.remove(*place) {
                self.refused.push((*place, refusal));
            }
            self.removed += 1;
        }
    }
}

fn open(listen: &Listen, kernel: &Kernel) -> Option<Opened> {
    listen.groups.as_ref()?;
    let there = kernel.picture().links.iter().any(|link| link.index == listen.endpoint.link);
    let why =
        || Refusal { errno: 19, why: format!("open a socket on {}: No such device", listen.endpoint.link) };
    let refused = (!there).then(why);
    Some(Opened { endpoint: listen.endpoint, generation: listen.generation, refused })
}

/// The worker that arms and opens gates.
#[derive(Debug)]
pub(crate) struct Gatekeeper {
    random: Random,
    orders: BTreeMap<RouterId, Gate>,
    /// Whether what stands in the kernel is this process's work.
    own: bool,
    /// What is installed and is announced when it passes.
    pub(crate) barred: Vec<Placement>,
    /// Leases of an earlier process that may live.
    inherited: BTreeMap<RouterId, u64>,
    /// When its present step ends.
    pub(crate) step_at: Option<Instant>,
}

impl Gatekeeper {
    pub(crate) fn new(random: Random, inherited: BTreeMap<RouterId, u64>) -> Self {
        Self { random, orders: BTreeMap::new(), own: false, barred: Vec::new(), inherited, step_at: None }
    }

    /// Puts an order into the mailbox.
    pub(crate) fn post(&mut self, now: Instant, gate: Gate) {
        self.orders.insert(gate.router, gate);
        let at = now + self.random.duration(SHORTEST_STEP, LONGEST_STEP);
        self.step_at = Some(self.step_at.map_or(at, |planned| planned.min(at)));
    }

    /// Ends the present step: one transaction with everything there is, and a look at the leases.
    pub(crate) fn step(&mut self, now: Instant, kernel: &mut Kernel) -> Vec<Gated> {
        let orders = std::mem::take(&mut self.orders);
        if !orders.is_empty() && !std::mem::replace(&mut self.own, true) {
            self.inherited.retain(|router, _| orders.contains_key(router));
            kernel.gates.replace(&self.inherited);
        }
        let answer = |gate: &Gate, state| Gated { router: gate.router, generation: gate.generation, state };
        let mut gated: Vec<Gated> =
            orders.values().map(|gate| answer(gate, kernel.gates.set(gate))).collect();
        gated.extend(kernel.gates.run_out().iter().map(|gate| answer(gate, Gating::Dark)));
        self.step_at = Some(now + IDLE);
        gated
    }
}

/// How often leases are looked at.
const IDLE: Duration = Duration::from_millis(500);
const SHORTEST_STEP: Duration = Duration::from_micros(50);
/// The longest a step of a worker takes.
pub(crate) const LONGEST_STEP: Duration = Duration::from_millis(5);
/// Addresses written at once.
pub(crate) const BATCH: usize = 3;
