//! Virtual time: the nodes, the network between them, a client, and what happens next.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::IpAddr;
use std::rc::Rc;

use vipd::engine::action::{Endpoint, Placement};
use vipd::engine::notice::State;
use vipd::engine::settings::Address;
use vipd::net::{Family, LinkIndex, Mac};
use vipd::time::{Duration, Instant};
use vipd::wire::{arp, ndp};

use crate::kernel::Kernel;
use crate::network::{Fate, Frame, Network, Shared};
use crate::node::{Answer, Node, Request, SOCKET_ROOM, Waiting};
use crate::oracles::{self, Violation};
use crate::plan::{Fault, Plan};
use crate::planted::Bug;
use crate::random::Random;
use crate::topology;
use crate::trace::Trace;
use crate::watch::Watch;
use crate::workers::LONGEST_STEP;

/// The simulation.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) plan: Plan,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    /// What a host on the network believes: it follows the last announcement.
    pub(crate) client: BTreeMap<IpAddr, Mac>,
    pub(crate) watch: Watch,
    pub(crate) trace: Trace,
    pub(crate) bug: Option<Bug>,
    pub(crate) violation: Option<Violation>,
    pub(crate) random: Random,
    queue: BinaryHeap<Planned>,
    planned: u64,
}

/// Something that happens at a moment.
#[derive(Debug)]
pub(crate) enum Happening {
    Fault(Fault),
    Frame(usize, Shared),
    Mail(usize, u32, Mail),
    Dump(usize, u32),
    Wake(usize, u32),
    Route(usize, u32),
    Gate(usize, u32),
}

/// What a process can read besides datagrams.
#[derive(Debug)]
pub(crate) enum Mail {
    Report(vipd::engine::event::Change),
    Answer(Answer),
    Request(Request),
}

#[derive(Debug)]
struct Planned {
    at: Instant,
    number: u64,
    what: Happening,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    /// The earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl World {
    /// The world of a plan, before anything happened.
    pub(crate) fn new(plan: Plan, bug: Option<Bug>, trace: Trace) -> Self {
        let build = |(at, node): (usize, &crate::plan::NodePlan)| {
            let kernel = Kernel::new(topology::mac(at), node.own.clone());
            Node::new(topology::mac(at), kernel, node.settings.clone(), node.uptime)
        };
        let nodes: Vec<Node> = plan.nodes.iter().enumerate().map(build).collect();
        let mut world = Self {
            now: Instant::BOOT,
            network: Network::new(nodes.len() + 1, plan.quality, Random::new(plan.seed, 2)),
            watch: Watch::new(nodes.len()),
            random: Random::new(plan.seed, 3),
            client: BTreeMap::new(),
            nodes,
            trace,
            bug,
            violation: None,
            queue: BinaryHeap::new(),
            planned: 0,
            plan,
        };
        for (at, fault) in std::mem::take(&mut world.plan.faults) {
            world.at(at, Happening::Fault(fault));
        }
        world
    }

    /// Runs to the end, or to the first broken promise.
    pub(crate) fn run(mut self) -> Self {
        while let Some(next) = self.queue.pop() {
            if next.at > self.plan.end || self.violation.is_some() {
                break;
            }
            self.now = next.at;
            for node in &mut self.nodes {
                let clock = node.clock(self.now);
                self.watch.dirty |= node.kernel.gates.advance(clock);
            }
            self.happen(next.what);
            oracles::standing(&mut self);
        }
        if self.violation.is_none() {
            self.now = self.plan.end;
            oracles::at_the_end(&mut self);
        }
        self
    }

    /// Plans something.
    pub(crate) fn at(&mut self, at: Instant, what: Happening) {
        self.planned += 1;
        self.queue.push(Planned { at, number: self.planned, what });
    }

    /// Plans something for later.
    pub(crate) fn after(&mut self, pause: Duration, what: Happening) {
        self.at(self.now + pause, what);
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Fault(fault) => self.inflict(&fault),
            Happening::Frame(to, frame) if to == self.nodes.len() => self.client_hears(&frame),
            Happening::Frame(to, frame) => self.arrive(to, &frame),
            Happening::Mail(node, serial, mail) if self.lives(node, serial) => self.deliver(node, mail),
            Happening::Dump(node, serial) if self.lives(node, serial) => {
                let picture = self.nodes[node].kernel.picture();
                let paths = self.nodes[node].kernel.paths();
                self.mail(node, Mail::Answer(Answer::Picture(picture)));
                self.mail(node, Mail::Answer(Answer::Paths(paths)));
            }
            Happening::Wake(node, serial) if self.lives(node, serial) => self.wake(node),
            Happening::Route(node, serial) if self.lives(node, serial) => self.route_step(node),
            Happening::Gate(node, serial) if self.lives(node, serial) => self.gate_step(node),
            Happening::Mail(..)
            | Happening::Dump(..)
            | Happening::Wake(..)
            | Happening::Route(..)
            | Happening::Gate(..) => {}
        }
    }

    fn lives(&self, node: usize, serial: u32) -> bool {
        self.nodes[node].process.as_ref().is_some_and(|process| process.serial == serial)
    }

    /// Plans that a process gets something to read. What the kernel reports arrives in order, and before any
    /// answer that is younger.
    pub(crate) fn mail(&mut self, node: usize, mail: Mail) {
        let Some(serial) = self.nodes[node].process.as_ref().map(|p| p.serial) else { return };
        let earliest = self.now + self.random.duration(Duration::from_micros(10), LONGEST_MAIL);
        let at = match mail {
            Mail::Request(_) => earliest,
            Mail::Report(_) | Mail::Answer(_) => {
                let at = earliest.max(self.watch.last_mail[node]);
                self.watch.last_mail[node] = at;
                at
            }
        };
        self.at(at, Happening::Mail(node, serial, mail));
    }

    fn deliver(&mut self, node: usize, mail: Mail) {
        let Some(process) = &mut self.nodes[node].process else { return };
        match mail {
            Mail::Report(change) => process.reports.push_back(change),
            Mail::Answer(answer) => process.answers.push_back(answer),
            Mail::Request(request) => process.requests.push_back(request),
        }
        self.rouse(node);
    }

    /// What the kernel of a node has changed goes to its monitor.
    pub(crate) fn report_changes(&mut self, node: usize) {
        for change in self.nodes[node].kernel.take_reports() {
            self.mail(node, Mail::Report(change));
        }
    }

    /// A process has something to do: it turns as soon as it gets time.
    pub(crate) fn rouse(&mut self, node: usize) {
        let at = self.now + self.latency();
        self.turn_at(node, at);
    }

    /// How long it takes until a process that may run does.
    pub(crate) fn latency(&mut self) -> Duration {
        let longest = if self.random.chance(20) { LONGEST_LATENCY } else { LONGEST_LATENCY / 20 };
        self.random.duration(Duration::from_micros(2), longest)
    }

    /// Plans a turn, unless one is planned earlier.
    pub(crate) fn turn_at(&mut self, node: usize, at: Instant) {
        let Some(process) = &mut self.nodes[node].process else { return };
        if process.wake_at.is_none_or(|planned| at < planned) {
            process.wake_at = Some(at);
            let serial = process.serial;
            self.at(at, Happening::Wake(node, serial));
        }
    }

    fn wake(&mut self, node: usize) {
        let frozen = self.nodes[node].frozen;
        let Some(process) = &mut self.nodes[node].process else { return };
        if process.wake_at == Some(self.now) && !frozen {
            process.wake_at = None;
            self.turn(node);
        }
    }

    fn route_step(&mut self, node: usize) {
        let now = self.now;
        self.watch.dirty = true;
        let machine = &mut self.nodes[node];
        let Some(process) = &mut machine.process else { return };
        if process.route.step_at != Some(now) || (machine.frozen && machine.workers_frozen) {
            return;
        }
        let refusals = machine.kernel.refusals;
        let done = process.route.step(now, &mut machine.kernel);
        for opened in done.opened.iter().filter(|opened| opened.refused.is_none()) {
            process.sockets.entry(opened.endpoint).or_default();
        }
        if machine.kernel.refusals != refusals || done.held.iter().any(|held| !held.refused.is_empty()) {
            // The next attempt comes after a pause.
            self.watch.upset_until(node, now + FIRST_RETRIES);
        }
        self.report_changes(node);
        for placement in &done.announced {
            self.announce(node, placement);
        }
        let linked = done.linked.into_iter().map(Answer::Linked);
        let (held, opened) = (done.held.into_iter(), done.opened.into_iter());
        let answers = linked.chain(held.map(Answer::Held)).chain(opened.map(Answer::Opened));
        for answer in answers {
            self.mail(node, Mail::Answer(answer));
        }
        self.plan_steps(node);
    }

    fn gate_step(&mut self, node: usize) {
        let now = self.now;
        self.watch.dirty = true;
        let machine = &mut self.nodes[node];
        let Some(process) = &mut machine.process else { return };
        if process.gate.step_at != Some(now) || machine.jammed || (machine.frozen && machine.workers_frozen) {
            return;
        }
        for gated in process.gate.step(now, &mut machine.kernel) {
            self.mail(node, Mail::Answer(Answer::Gated(gated)));
        }
        let barred =
            self.nodes[node].process.as_mut().map(|process| std::mem::take(&mut process.gate.barred));
        for placement in barred.unwrap_or_default() {
            if self.nodes[node].kernel.ours(placement.place.net.address()).is_some() {
                self.announce(node, &placement);
            }
        }
        self.plan_steps(node);
    }

    /// Plans what the workers of a node do next.
    pub(crate) fn plan_steps(&mut self, node: usize) {
        let Some(process) = &self.nodes[node].process else { return };
        let (serial, route, gate) = (process.serial, process.route.step_at, process.gate.step_at);
        if let Some(at) = route {
            self.at(at, Happening::Route(node, serial));
        }
        if let Some(at) = gate {
            self.at(at, Happening::Gate(node, serial));
        }
    }

    fn announce(&mut self, node: usize, placement: &Placement) {
        let Some(mac) = placement.mac else { return };
        let place = placement.place;
        if self.bug.is_some_and(Bug::drops_announcements) {
            return;
        }
        let machine = &mut self.nodes[node];
        if !machine.kernel.is_connected(place.link) {
            return;
        }
        if !machine.kernel.gates.pass(place.net.address(), true) {
            // It is announced when its gate is open.
            if let Some(process) = machine.process.as_mut() {
                process.gate.barred.push(*placement);
            }
            return;
        }
        let frame = match place.net.address() {
            IpAddr::V4(address) => arp::gratuitous(mac, address).to_vec(),
            IpAddr::V6(address) => ndp::unsolicited(mac, address, false).to_vec(),
        };
        self.watch.announced(node, place.net.address());
        self.trace.line(self.now, || format!("n{node} announces {}", place.net.address()));
        let everybody: Vec<usize> = (0..=self.nodes.len()).filter(|to| *to != node).collect();
        oracles::frame(self, node, place.link, place.net.address());
        self.transmit(node, &everybody, Frame::Announcement { from: node, bytes: frame }, Duration::ZERO);
    }

    /// Puts a frame on the wire.
    pub(crate) fn transmit(&mut self, from: usize, to: &[usize], frame: Frame, held_up: Duration) {
        let frame: Shared = Rc::new(frame);
        for &to in to {
            match self.network.carry(self.now + held_up, from, to, &frame) {
                Fate::Lost => self.watch.lost(self.now, from, to),
                Fate::Arrives { at: arrivals, overtaken } => {
                    for at in arrivals {
                        if overtaken {
                            self.watch.lost(at, from, to);
                        }
                        self.at(at, Happening::Frame(to, Rc::clone(&frame)));
                    }
                }
            }
        }
    }

    /// A frame reaches a node's interface.
    fn arrive(&mut self, to: usize, frame: &Shared) {
        let now = self.now;
        let machine = &mut self.nodes[to];
        let Some(link) = machine.kernel.lan().map(|link| link.index) else { return };
        let Some(process) = &mut machine.process else { return };
        match &**frame {
            Frame::Announcement { from, .. } => {
                let claim = frame.claim(link);
                process.claims.extend(claim);
                if let Some(claim) = claim {
                    self.watch.announcer.insert((to, claim.address), *from);
                    self.learn(to, claim.address, *from);
                }
            }
            Frame::Vrrp { source, destination, .. } => {
                let endpoint = Endpoint { link, family: Family::of(*source) };
                if !destination.is_multicast() && !machine.kernel.has(*destination) {
                    return;
                }
                let Some(queue) = process.sockets.get_mut(&endpoint) else { return };
                if queue.len() < SOCKET_ROOM {
                    queue.push_back(Waiting { at: now, frame: Rc::clone(frame), replayed: false });
                    self.watch.arrived(now, to, frame);
                    self.learn_from_advert(to, frame);
                } else {
                    self.watch.upset_until(to, now);
                }
            }
        }
        self.rouse(to);
    }

    /// A master hears that another node claims an address.
    fn learn(&mut self, node: usize, address: IpAddr, other: usize) {
        let Some(vrid) = self.nodes[node].owner_of(address).map(|i| i.vrid.get()) else { return };
        let process = self.nodes[node].process.as_ref();
        if process.is_some_and(|p| p.state(vrid) == Some(State::Master)) {
            self.watch.master_learns(self.now, (node, vrid), other, address);
        }
    }

    fn learn_from_advert(&mut self, node: usize, frame: &Frame) {
        let Frame::Vrrp { source, bytes, .. } = frame else { return };
        let vrid = if source.is_ipv4() { bytes[21] } else { bytes[1] };
        let Some(other) = self.nodes.iter().position(|other| other.kernel.has(*source)) else {
            return;
        };
        let Some(instance) = self.nodes[node].instance(vrid) else { return };
        let addresses: Vec<IpAddr> = instance.addresses.iter().map(Address::address).collect();
        for address in addresses {
            self.learn(node, address, other);
        }
    }

    fn client_hears(&mut self, frame: &Shared) {
        // Its table and the switch's in one: which port what it sends to an address comes out of.
        if let (Frame::Announcement { from, .. }, Some(claim)) = (&**frame, frame.claim(LinkIndex(0))) {
            self.client.insert(claim.address, self.nodes[*from].mac);
            self.watch.client_heard(self.now, *from, claim.address);
        }
    }

    /// Records a broken promise; the first one counts.
    pub(crate) fn breaks(&mut self, promise: &'static str, what: String) {
        let at = self.now;
        self.trace.line(at, || format!("BROKEN {promise}: {what}"));
        self.violation.get_or_insert(Violation { at, promise, what });
    }
}

/// The longest a process that may run has to wait for its turn.
pub(crate) const LONGEST_LATENCY: Duration = Duration::from_millis(2);
/// The longest until a report or an answer can be read.
pub(crate) const LONGEST_MAIL: Duration = Duration::from_millis(1);
/// What two refusals in a row put off an address by: 100 ms, then 200 ms.
const FIRST_RETRIES: Duration = Duration::from_millis(300);
const _: () = assert!(LONGEST_STEP.as_millis() < 10);
