//! How each fault is inflicted on the nodes and the network.

use std::net::IpAddr;

use vipd::engine::event::Target;
use vipd::proto::health::Verdict;
use vipd::time::Duration;

use crate::kernel::UPLINK;
use crate::node::{Process, Request};
use crate::plan::{Fault, Tweak};
use crate::planted::Bug;
use crate::topology::{self, PROBE};
use crate::world::{Happening, LONGEST_LATENCY, LONGEST_MAIL, Mail, World};

impl World {
    /// Inflicts a fault.
    pub(crate) fn inflict(&mut self, fault: &Fault) {
        self.trace.line(self.now, || format!("* {fault:?}"));
        self.watch.count(fault);
        match fault {
            Fault::Start(node) => self.start(*node),
            Fault::Crash(node) => self.crash(*node),
            Fault::Stop(node) => self.stop(*node),
            Fault::Freeze(node, workers) => self.freeze(*node, *workers),
            Fault::Thaw(node) => self.thaw(*node),
            Fault::Carrier(node, link, up) => {
                self.nodes[*node].kernel.set_carrier(link, *up);
                self.kernel_changed(*node);
            }
            Fault::Admin(node, link, up) => {
                self.nodes[*node].kernel.set_admin(link, *up);
                self.kernel_changed(*node);
            }
            Fault::Vanish(node, link) => {
                self.nodes[*node].kernel.vanish(link);
                if let Some(process) = &mut self.nodes[*node].process {
                    process.sockets.clear();
                }
                self.kernel_changed(*node);
            }
            Fault::Appear(node, link) => {
                self.nodes[*node].kernel.appear(link);
                self.kernel_changed(*node);
            }
            Fault::Probe(node, verdict) => self.probe(*node, *verdict),
            Fault::Delete(node, address) => self.delete(*node, *address),
            Fault::Estrange(node) => {
                self.nodes[*node].kernel.estrange();
                self.kernel_changed(*node);
            }
            Fault::Unlink(node) => {
                self.nodes[*node].kernel.unlink();
                self.kernel_changed(*node);
            }
            Fault::Squat(node, address, present) => {
                self.nodes[*node].kernel.squat(*address, *present);
                self.kernel_changed(*node);
            }
            Fault::Refuse(node, count) => self.nodes[*node].kernel.refusals = *count,
            Fault::Mute(node, mute) => {
                self.nodes[*node].kernel.mute = *mute;
                self.watch.upset(self.now, *node);
            }
            Fault::Jam(node, jammed) => self.jam(*node, *jammed),
            Fault::Cut(from, to, cut) => self.cut(*from, *to, *cut),
            Fault::Part(sides) => self.part(sides),
            Fault::Family(family, cut) => {
                self.network.lost_family = cut.then_some(*family);
                self.watch.upset_network(self.now);
            }
            Fault::Heal => self.heal(),
            Fault::Calm => {
                self.network.quality.loss = 0;
                self.network.quality.duplicates = 0;
                self.watch.upset_network(self.now);
            }
            Fault::StepDown(node, at) => self.command(*node, *at, true),
            Fault::Resume(node, at) => self.command(*node, *at, false),
            Fault::Reload(node, tweak) => self.configure(*node, tweak),
            Fault::Dump(node) => self.dump(*node, true),
            Fault::Clock(node, error) => self.nodes[*node].clock_error = *error,
            Fault::Replay(node) => self.replay(*node),
        }
    }

    /// Deletes an address, and a route or rule if there is one.
    fn delete(&mut self, node: usize, address: IpAddr) {
        if let Some(place) = self.nodes[node].kernel.ours(address) {
            self.nodes[node].kernel.delete(place);
            self.kernel_changed(node);
        }
        if let Some(seen) = self.nodes[node].kernel.paths().first() {
            self.nodes[node].kernel.remove_path(&seen.key);
            self.kernel_changed(node);
        }
    }

    fn kernel_changed(&mut self, node: usize) {
        let up = self.nodes[node].kernel.link(UPLINK).is_some_and(|link| link.up);
        self.watch.uplinks[node].is(self.now, up);
        self.watch.upset(self.now, node);
        self.report_changes(node);
    }

    fn start(&mut self, node: usize) {
        let clock = self.clock(node);
        let seed = self.random.below(u64::MAX);
        let machine = &mut self.nodes[node];
        if machine.process.is_some() {
            return;
        }
        machine.serial += 1;
        drop(machine.kernel.take_reports());
        let left = machine.inherit(clock, self.bug);
        let (groups, bug) = (topology::groups(&machine.settings), self.bug);
        let settings = bug.map_or(machine.settings.clone(), |bug| bug.settings(&machine.settings));
        let mut process = Process::new(machine.serial, clock, settings, left, seed);
        process.groups = groups;
        if !self.bug.is_some_and(Bug::forgets_sequences) {
            process.engine.remember(clock, machine.sequences.clone());
        }
        let written = machine.sequences_at;
        self.watch.signed.forget(node, written);
        machine.process = Some(process);
        let verdicts: Vec<(String, Verdict)> =
            machine.health.iter().filter(|(name, _)| *name == PROBE).map(|(n, v)| (n.clone(), *v)).collect();
        let delay = self.nodes[node].settings.startup_delay;
        self.watch.started(self.now, delay, node);
        self.dump(node, false);
        for (check, verdict) in verdicts {
            self.request(node, Duration::from_millis(100), Request::Verdict(check, verdict));
        }
        self.rouse(node);
    }

    /// A dump is asked for; until it is there, the monitor is not read.
    fn dump(&mut self, node: usize, again: bool) {
        let pause = self.random.duration(Duration::from_micros(100), Duration::from_millis(10));
        let Some(process) = &mut self.nodes[node].process else { return };
        let busy = again && process.awaits_picture;
        process.awaits_picture = true;
        let serial = process.serial;
        if !busy {
            self.after(pause, Happening::Dump(node, serial));
        }
        self.watch.upset_until(node, self.now + Duration::from_millis(20));
    }

    /// Sends a request to the agent of a node, within some time.
    fn request(&mut self, node: usize, within: Duration, request: Request) {
        let pause = self.random.duration(Duration::from_micros(10), within);
        let Some(serial) = self.nodes[node].process.as_ref().map(|p| p.serial) else { return };
        let at = (self.now + pause).max(self.watch.last_request[node]);
        self.watch.last_request[node] = at;
        self.watch.upset_until(node, at);
        self.at(at, Happening::Mail(node, serial, Mail::Request(request)));
    }

    fn crash(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            self.end_process(node);
        }
    }

    fn stop(&mut self, node: usize) {
        let now = self.now;
        let Some(process) = &mut self.nodes[node].process else { return };
        if process.stopping.replace(now).is_none() {
            self.nodes[node].state = None;
            self.request(node, Duration::from_micros(100), Request::Shutdown);
        }
    }

    fn freeze(&mut self, node: usize, workers: bool) {
        self.nodes[node].frozen = true;
        self.nodes[node].workers_frozen = workers;
        self.watch.upset(self.now, node);
    }

    fn thaw(&mut self, node: usize) {
        let machine = &mut self.nodes[node];
        if !std::mem::replace(&mut machine.frozen, false) {
            return;
        }
        let now = self.now;
        if let Some(process) = &mut machine.process {
            let overdue = |at: &mut Option<vipd::time::Instant>| *at = at.map(|at| at.max(now));
            overdue(&mut process.route.step_at);
            overdue(&mut process.gate.step_at);
            process.wake_at = None;
        }
        self.watch.upset(now, node);
        self.plan_steps(node);
        self.rouse(node);
    }

    fn jam(&mut self, node: usize, jammed: bool) {
        let now = self.now;
        let machine = &mut self.nodes[node];
        if std::mem::replace(&mut machine.jammed, jammed) == jammed {
            return;
        }
        if let Some(process) = machine.process.as_mut().filter(|_| !jammed) {
            process.gate.step_at = process.gate.step_at.map(|at| at.max(now));
        }
        // What waited is done at once, and may be answered in the moment in which it is given up.
        self.watch.upset_until(node, if jammed { now } else { now + LONGEST_MAIL + LONGEST_LATENCY });
        self.plan_steps(node);
    }

    fn probe(&mut self, node: usize, verdict: Verdict) {
        self.nodes[node].health.insert(PROBE.to_owned(), verdict);
        self.request(node, Duration::from_millis(1), Request::Verdict(PROBE.to_owned(), verdict));
    }

    fn cut(&mut self, from: usize, to: usize, cut: bool) {
        self.network.set_cut(from, to, cut);
        self.watch.lost(self.now, from, to);
    }

    fn part(&mut self, sides: &[bool]) {
        for from in 0..sides.len() {
            for to in (0..sides.len()).filter(|to| sides[from] != sides[*to]) {
                self.cut(from, to, true);
            }
        }
    }

    fn heal(&mut self) {
        let places = self.nodes.len() + 1;
        for (from, to) in (0..places).flat_map(|from| (0..places).map(move |to| (from, to))) {
            if self.network.is_cut(from, to) {
                self.network.set_cut(from, to, false);
                self.watch.lost(self.now, from, to);
            }
        }
    }

    fn command(&mut self, node: usize, at: usize, down: bool) {
        let instance = &self.nodes[node].settings.instances[at];
        let name = instance.name.clone();
        let mates = self.nodes[node].together(instance.vrid.get());
        let vrids: Vec<u8> = mates.into_iter().map(|mate| mate.vrid.get()).collect();
        let request = if down { Request::StepDown } else { Request::Resume };
        if let Some(process) = &mut self.nodes[node].process {
            for vrid in vrids {
                if down {
                    process.stepped_down.insert(vrid);
                } else {
                    process.stepped_down.remove(&vrid);
                }
            }
        }
        self.request(node, Duration::from_millis(1), request(Target::Named(name)));
    }

    fn configure(&mut self, node: usize, tweak: &Tweak) {
        tweak.apply(&mut self.nodes[node].settings);
        let settings = self.nodes[node].settings.clone();
        self.watch.upset(self.now, node);
        self.request(node, Duration::from_millis(1), Request::Reload(settings));
    }
}
