//! Two nodes with an agent each, what is done to them, and a diary of it.
//!
//! Every instance has a node that it prefers, so that each node is master of one instance and backup of the other.
//! What cannot be done to an agent as it is just now (a dead one cannot be stopped) is left out: two faults that meet
//! may get into each other's way, and the plan stays the same.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use lab::{Agent, Host, Kind, Lab, Node, Router, clock, usage, wait};
use nix::sys::signal::Signal;

use crate::cgroup::{Frozen, Groups};
use crate::diary::Diary;
use crate::jitter::Jitter;
use crate::observer::{Observer, TICK, Way};
use crate::plan::Step;

/// How the agents are set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// The time between adverts.
    pub(crate) interval: Duration,
    /// The priority of an instance on the node that it prefers.
    pub(crate) preferred: u8,
    /// Its priority on the other.
    pub(crate) backup: u8,
}

/// As usual.
pub(crate) const USUAL: Manner = Manner { interval: INTERVAL, preferred: 150, backup: 100 };

/// With the backup that waits least, of all that are not owners: 0.1 ms longer than a lease.
pub(crate) const TIGHT: Manner = Manner { interval: Duration::from_millis(10), preferred: 254, backup: 253 };

/// The usual time between adverts.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

/// A virtual address of the site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Virtual {
    /// As it is written.
    pub(crate) text: &'static str,
    /// The instance it belongs to, by its place.
    pub(crate) instance: usize,
    /// Whether it is there all the time.
    pub(crate) constant: bool,
}

/// What the two nodes share: an instance with both families, and one with several addresses.
pub(crate) const ADDRESSES: [Virtual; 6] = [
    Virtual { text: "192.0.2.100", instance: 0, constant: true },
    Virtual { text: "2001:db8::100", instance: 0, constant: true },
    Virtual { text: "192.0.2.110", instance: 1, constant: true },
    Virtual { text: "192.0.2.111", instance: 1, constant: true },
    Virtual { text: "2001:db8::110", instance: 1, constant: true },
    Virtual { text: "192.0.2.120", instance: 1, constant: false },
];

/// How many of [`ADDRESSES`] are constant; they come first.
pub(crate) const CONSTANT: usize = 5;

/// The virtual router identifiers of the instances.
pub(crate) const VRIDS: [u8; 2] = [51, 52];

impl Virtual {
    /// The address.
    pub(crate) fn ip(&self) -> IpAddr {
        self.text.parse().expect("it is an address")
    }
}

/// The configuration that is wanted of the site.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// How many instances there are.
    instances: usize,
    /// Whether the preferred node of an instance was given a priority below the other's.
    lowered: [bool; 2],
    /// Whether the address that comes and goes is there.
    more: bool,
    /// Nodes that stepped down where an agent knows that by its priority only.
    stepped: [bool; 2],
}

/// Two nodes and an observer.
pub(crate) struct Site {
    /// The nodes.
    pub(crate) nodes: [Host; 2],
    /// Who looks.
    pub(crate) observer: Observer,
    /// What was done.
    pub(crate) diary: Diary,
    /// What is left when both agents were stopped.
    pub(crate) left: Vec<String>,
    manner: Manner,
    kind: Kind,
    agents: [Option<Box<dyn Agent>>; 2],
    groups: Option<Groups>,
    frozen: [bool; 2],
    paused: [Option<Frozen>; 2],
    /// By how much the machine's clock was set, in milliseconds.
    stepped: i64,
    wanted: Wanted,
    jitter: Option<Jitter>,
}

impl Site {
    /// Two nodes of `lab` and the first `instances` of the instances, not yet started.
    pub(crate) fn new(hosts: &Hosts, kind: &Kind, instances: usize, manner: Manner) -> Self {
        let nodes = hosts.nodes.clone();
        let of_ours = ADDRESSES.iter().filter(|address| address.instance < instances);
        let addresses: Vec<IpAddr> = of_ours.map(Virtual::ip).collect();
        // The fewer there are to ask for, the more often there is time to.
        let tick = if instances == 1 { Duration::from_millis(1) } else { TICK };
        let observer = Observer::start(&hosts.client, &nodes, &addresses, tick);
        for node in &nodes {
            fs::write(healthy(node), "").expect("write the file that is checked");
        }
        Self {
            nodes,
            observer,
            diary: Diary::default(),
            left: Vec::new(),
            manner,
            kind: kind.clone(),
            agents: [None, None],
            groups: hosts.groups.clone(),
            frozen: [false; 2],
            paused: [None, None],
            stepped: 0,
            wanted: Wanted { instances, lowered: [false; 2], more: false, stepped: [false; 2] },
            jitter: None,
        }
    }

    /// Which node is to be master of an instance while nothing is wrong.
    pub(crate) fn expected(&self, instance: usize) -> usize {
        instance ^ usize::from(self.wanted.lowered[instance])
    }

    /// The lowest priority a node has just now.
    pub(crate) fn lowest_priority(&self) -> u8 {
        if self.wanted.lowered.contains(&true) { LOWERED } else { self.manner.backup }
    }

    /// Does a step, unless the node's agent is in no state for it.
    pub(crate) fn perform(&mut self, step: Step) {
        match step {
            Step::Kill(node) => self.kill(node),
            Step::Freeze(node) => self.freeze(node),
            Step::Thaw(node) => self.thaw(node),
            Step::Pause(node) => self.pause(node),
            Step::Unpause(node) => self.unpause(node),
            Step::Upgrade(node) => self.upgrade(node),
            Step::SetClock(by) => self.step_clock(by),
            Step::Stop(node) => self.stop(node),
            Step::HandOn(node) => self.hand_on(node),
            Step::Start(node) => self.start(node),
            Step::Inspect => self.inspect(),
            Step::Cut(node) => self.impair(step, node, Host::cut),
            Step::Mute(node) => self.impair(step, node, Host::mute),
            Step::Deafen(node) => self.impair(step, node, Host::deafen),
            Step::Lose(node, percent) => self.impair(step, node, |host| host.lose(percent)),
            Step::Jitter(node, most) => {
                self.diary.split();
                self.jitter = Some(Jitter::start(&self.nodes[node], &self.nodes[1 - node], most));
                self.diary.note(format!("{step:?}"));
            }
            Step::Heal(node) => {
                self.jitter = None;
                self.nodes[node].heal();
                self.diary.note(format!("{step:?}"));
                self.diary.healed();
            }
            Step::Unplug(node) => self.tell(step, |site| site.nodes[node].unplug()),
            Step::Plug(node) => self.tell(step, |site| site.nodes[node].plug()),
            Step::Down(node) => self.tell(step, |site| {
                site.nodes[node].run("ip", &["link", "set", "dev", "eth0", "down"]);
            }),
            Step::Flush(node) => self.tell(step, |site| {
                site.nodes[node].run("ip", &["address", "flush", "dev", "eth0"]);
            }),
            Step::Up(node) => self.tell(step, |site| site.nodes[node].set_up()),
            Step::DeleteAddress(address) => self.tell(step, |site| site.delete_address(address)),
            Step::DeleteTable(node) => self.delete_table(node),
            Step::Reprioritise(instance) => {
                self.wanted.lowered[instance] ^= true;
                self.tell(step, |site| site.reload(instance));
            }
            Step::AddAddress | Step::RemoveAddress => {
                self.wanted.more = step == Step::AddAddress;
                self.tell(step, |site| [0, 1].into_iter().for_each(|node| site.reload(node)));
            }
            Step::GiveUp(node) => self.tell(step, |site| site.step_down(node, true)),
            Step::Resume(node) => self.tell(step, |site| site.step_down(node, false)),
            Step::CheckDown(node) => self.tell(step, |site| {
                // Down for another reason already, perhaps.
                drop(fs::remove_file(healthy(&site.nodes[node])));
            }),
            Step::CheckUp(node) => self.tell(step, |site| {
                fs::write(healthy(&site.nodes[node]), "").expect("write the file that is checked");
            }),
        }
    }

    /// How long each agent's threads that work for answers waited for a processor so far; and which process that is.
    pub(crate) fn waited(&mut self) -> [(u32, Duration); 2] {
        [0, 1].map(|node| {
            let pid = self.agents[node].as_mut().map_or(0, |agent| agent.process().pid());
            (pid, usage::waited(pid, &["protocol", "route", "gate", "announce"]))
        })
    }

    /// Waits until each address is answered for by the node that is to be its master and by nobody else, in both
    /// ways, for a while.
    pub(crate) fn settle(&self, bound: Duration) -> bool {
        let last = self.diary.notes.last().map_or(0, |(at, _)| *at);
        wait::within(bound, || {
            let since = wait::now() - CALM;
            // Both have to have heard an advert since, or the next fault would not find them settled.
            if since < last + HEARD {
                return None;
            }
            let calm = self.observer.look(|record| {
                let asked = record.rounds.iter().rev().take_while(|at| **at >= since).count();
                let some = (asked * 2 / 5).max(FEWEST);
                let recent: Vec<_> = record.answers.iter().rev().take_while(|a| a.at >= since).collect();
                ADDRESSES.iter().enumerate().filter(|(_, a)| a.instance < self.wanted.instances).all(
                    |(place, address)| {
                        let master = self.expected(address.instance);
                        let of_it = || recent.iter().filter(|answer| answer.address == place);
                        let seen = |way| of_it().filter(|answer| answer.way == way).count();
                        let there = address.constant || self.wanted.more;
                        let enough = !there || (seen(Way::Claim) >= some && seen(Way::Echo) >= some);
                        enough && of_it().all(|answer| answer.node == master)
                    },
                )
            });
            calm.then_some(())
        })
        .is_some()
    }

    /// Ends whatever is wrong, and starts both agents anew.
    pub(crate) fn reset(&mut self) {
        self.jitter = None;
        self.diary.healed();
        for node in [0, 1] {
            self.nodes[node].heal();
            self.nodes[node].set_up();
            self.nodes[node].plug();
            self.kill(node);
        }
        for node in [0, 1] {
            self.start(node);
            self.stop(node);
        }
        for node in [0, 1] {
            self.start(node);
        }
    }

    fn tell(&mut self, step: Step, what: impl FnOnce(&mut Self)) {
        what(self);
        self.diary.note(format!("{step:?}"));
    }

    fn impair(&mut self, step: Step, node: usize, how: impl FnOnce(&Host)) {
        self.diary.split();
        how(&self.nodes[node]);
        self.diary.note(format!("{step:?}"));
    }

    fn is_awake(&self, node: usize) -> bool {
        self.agents[node].is_some() && !self.frozen[node] && self.paused[node].is_none()
    }

    fn kill(&mut self, node: usize) {
        let Some(mut agent) = self.agents[node].take() else { return };
        self.diary.down(node);
        self.diary.note(format!("Kill({node})"));
        agent.process().kill();
        self.frozen[node] = false;
        self.paused[node] = None;
    }

    fn freeze(&mut self, node: usize) {
        let awake = self.is_awake(node);
        if let Some(agent) = self.agents[node].as_mut().filter(|_| awake) {
            self.diary.down(node);
            agent.process().freeze();
            self.diary.note(format!("Freeze({node})"));
            self.frozen[node] = true;
        }
    }

    fn thaw(&mut self, node: usize) {
        if let Some(agent) = self.agents[node].as_mut().filter(|_| self.frozen[node]) {
            self.diary.up(node);
            self.diary.note(format!("Thaw({node})"));
            agent.process().thaw();
            self.frozen[node] = false;
        }
    }

    fn pause(&mut self, node: usize) {
        let awake = self.is_awake(node);
        let Some(groups) = &self.groups else { return };
        if let Some(agent) = self.agents[node].as_mut().filter(|_| awake) {
            self.diary.down(node);
            self.paused[node] = Some(groups.freeze(self.nodes[node].name(), agent.process().pid()));
            self.diary.note(format!("Pause({node})"));
        }
    }

    fn unpause(&mut self, node: usize) {
        if let Some(frozen) = self.paused[node].take() {
            self.diary.up(node);
            drop(frozen);
            self.diary.note(format!("Unpause({node})"));
        }
    }

    /// With keepalived, which knows nothing of the kind, a stop and a start.
    fn upgrade(&mut self, node: usize) {
        let Kind::Vipd(programs) = self.kind.clone() else {
            self.stop(node);
            self.start(node);
            return;
        };
        if !self.is_awake(node) {
            return;
        }
        self.diary.note(format!("Upgrade({node})"));
        let directory = self.nodes[node].directory().join("vipd");
        let arguments = ["--runtime-dir", &directory.to_string_lossy(), "upgrade"];
        let (done, _, complaint) = self.nodes[node].try_run(&programs.vipctl.to_string_lossy(), &arguments);
        if !done {
            self.left.push(format!("{}: vipctl upgrade: {complaint}", self.nodes[node].name()));
        }
        self.diary.note(format!("{node} goes on as another program"));
    }

    fn step_clock(&mut self, by: i64) {
        clock::step(by * 1_000_000);
        self.stepped += by;
        self.diary.note(format!("SetClock({by})"));
    }

    fn stop(&mut self, node: usize) {
        if !self.is_awake(node) {
            return;
        }
        let Some(mut agent) = self.agents[node].take() else { return };
        self.diary.note(format!("Stop({node})"));
        agent.process().signal(Signal::SIGTERM);
        agent.process().wait(Duration::from_secs(15));
        self.diary.note(format!("{node} has ended"));
        self.diary.down(node);
    }

    /// With keepalived a stop.
    fn hand_on(&mut self, node: usize) {
        if matches!(self.kind, Kind::Keepalived) {
            return self.stop(node);
        }
        if !self.is_awake(node) {
            return;
        }
        let Some(mut agent) = self.agents[node].take() else { return };
        self.diary.down(node);
        self.diary.note(format!("HandOn({node})"));
        agent.process().signal(Signal::SIGUSR2);
        agent.process().wait(Duration::from_secs(15));
    }

    /// Starts the node's agent, if it does not run.
    pub(crate) fn start(&mut self, node: usize) {
        if self.agents[node].is_none() {
            self.diary.up(node);
            self.agents[node] = Some(self.kind.start(&self.nodes[node], &self.configuration(node)));
            self.diary.note(format!("Start({node})"));
        }
    }

    fn reload(&mut self, node: usize) {
        let configuration = self.configuration(node);
        let awake = self.is_awake(node);
        if let Some(agent) = self.agents[node].as_mut().filter(|_| awake) {
            agent.reload(&configuration);
        }
    }

    fn step_down(&mut self, node: usize, down: bool) {
        if !self.is_awake(node) {
            self.wanted.stepped[node] = false;
        } else if let Kind::Vipd(programs) = &self.kind {
            let host = &self.nodes[node];
            let directory = host.directory().join("vipd");
            let verb = if down { "step-down" } else { "resume" };
            let arguments = ["--runtime-dir", &directory.to_string_lossy(), verb, "--all"];
            // One that was killed since has forgotten that it stepped down.
            drop(host.try_run(&programs.vipctl.to_string_lossy(), &arguments));
        } else {
            self.wanted.stepped[node] = down;
            self.reload(node);
        }
    }

    fn delete_address(&self, address: usize) {
        let prefix = format!("{}/", ADDRESSES[address].text);
        for node in &self.nodes {
            for net in node.addresses("eth0").iter().filter(|net| net.starts_with(&prefix)) {
                // Its agent may be quicker.
                drop(node.try_run("ip", &["address", "del", net, "dev", "eth0"]));
            }
        }
    }

    /// Takes the table away and waits until it is back: until then a dead agent would answer, as the manual says.
    fn delete_table(&mut self, node: usize) {
        if !self.is_awake(node) || matches!(self.kind, Kind::Keepalived) {
            return;
        }
        let host = &self.nodes[node];
        self.diary.bare(node);
        drop(host.try_run("nft", &["delete", "table", "netdev", "vipd"]));
        self.diary.note(format!("DeleteTable({node})"));
        let back = wait::within(Duration::from_secs(2), || {
            host.try_run("nft", &["list", "table", "netdev", "vipd"]).0.then_some(())
        });
        if back.is_none() {
            self.left.push(format!("{} has no table netdev vipd", host.name()));
        }
        self.diary.clad(node);
        self.diary.note("the table is back".to_owned());
    }

    /// What is of ours on the nodes, written down in `left`: addresses, and anything that lets them pass.
    pub(crate) fn inspect(&mut self) {
        for node in &self.nodes {
            let nets = node.addresses("eth0");
            for address in &ADDRESSES {
                if nets.iter().any(|net| net.starts_with(&format!("{}/", address.text))) {
                    self.left.push(format!("{} still has {}", node.name(), address.text));
                }
            }
            let ruleset = node.run("nft", &["list", "ruleset"]);
            if !ruleset.trim().is_empty() {
                self.left.push(format!("{} still has in nftables:\n{ruleset}", node.name()));
            }
        }
        self.diary.note("Inspect".to_owned());
    }

    fn configuration(&self, node: usize) -> Node {
        let mut all = Node::default();
        let millis = u64::try_from(self.manner.interval.as_millis()).expect("an interval is short");
        for instance in 0..self.wanted.instances {
            let of_it = ADDRESSES.iter().filter(|address| address.instance == instance);
            let mut nets = of_it.filter(|address| address.constant || self.wanted.more).map(|address| {
                let length = if address.ip().is_ipv4() { 24 } else { 64 };
                format!("{}/{length}", address.text)
            });
            let first = nets.next().expect("an instance has addresses");
            let name = ["web", "many"][instance];
            let router = Router::new(name, VRIDS[instance], self.priority(node, instance), &first);
            let router = nets.fold(router.every(millis), |router, net| router.and(&net));
            let effect = ["-60", "fault"][instance];
            all = all.router(router.track("healthy", effect));
        }
        let file = healthy(&self.nodes[node]);
        all.check(
            "healthy",
            &format!("{{ file: \"{file}\", interval: 50ms, timeout: 50ms, rise: 1, fall: 2 }}"),
        )
        .script("healthy", &format!("script \"/usr/bin/test -e {file}\"\n  interval 1\n  rise 1\n  fall 1"))
    }

    fn priority(&self, node: usize, instance: usize) -> u8 {
        match (node == instance, self.wanted.lowered[instance], self.wanted.stepped[node]) {
            (_, _, true) => 1,
            (true, false, false) => self.manner.preferred,
            (true, true, false) => LOWERED,
            (false, _, false) => self.manner.backup,
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.stepped != 0 {
            clock::step(-self.stepped * 1_000_000);
        }
    }
}

/// Two nodes and a client on a switch.
pub(crate) struct Hosts {
    nodes: [Host; 2],
    client: Host,
    groups: Option<Groups>,
    _lab: Lab,
}

impl Hosts {
    /// Builds them.
    pub(crate) fn new() -> Self {
        let lab = Lab::new();
        let groups = Groups::find();
        if groups.is_none() {
            println!("no control groups of the second version: nobody is frozen by them");
        }
        Self { nodes: [lab.host("lb1"), lab.host("lb2")], client: lab.host("client"), groups, _lab: lab }
    }
}

/// The priority of an instance on the node that it prefers no longer.
const LOWERED: u8 = 60;

/// How long a settled state has to last, in nanoseconds, and how often the master must have answered in it at least.
const CALM: u64 = 60_000_000;
const FEWEST: usize = 2;
/// How long after the last step it may begin, in nanoseconds: more than an interval with it.
const HEARD: u64 = 80_000_000;

/// The file that the node's check looks for.
fn healthy(node: &Host) -> String {
    node.directory().join("healthy").to_string_lossy().into_owned()
}
