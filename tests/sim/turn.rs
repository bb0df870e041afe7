//! A turn of an agent's protocol thread, and how its actions are performed: the same steps as in the agent.
//!
//! (1) The clocks are read. (2) `Stalled`, if the turn is late; then `Tick`. (3) What waits is read: adverts, the
//! kernel's reports, the workers' answers, claims, requests. (4) `Silence` up to the clock of step 1. (5) The timer is
//! armed. Actions are performed after every event, in order.

use std::net::IpAddr;

use vipd::engine::action::{Action, Datagram, KernelWork, Passage};
use vipd::engine::event::{Event, Gated, Gating, Link, Packet, Received, Refusal};
use vipd::engine::notice::What;
use vipd::net::Family;
use vipd::time::{Duration, Instant};

use crate::kernel::LAN;
use crate::network::Frame;
use crate::node::{Answer, Request, Waiting};
use crate::oracles;
use crate::planted::{Bug, Context};
use crate::signatures;
use crate::topology;
use crate::world::{Mail, World};

impl World {
    /// One turn of a node's agent.
    pub(crate) fn turn(&mut self, node: usize) {
        // The file is a turn late: what happens in this one it does not say if the agent dies now.
        let bug = self.bug;
        self.nodes[node].write_state(bug);
        let wall = signatures::wall(self.now, self.nodes[node].clock_error);
        self.feed(node, Event::Clock { wall });
        let Some(process) = &mut self.nodes[node].process else { return };
        let idle = !process.has_mail();
        let late = process.armed.map_or(Duration::ZERO, |armed| self.now.since(armed));
        if late >= LATE {
            self.feed(node, Event::Stalled { late });
        }
        let early = self.bug.is_some_and(Bug::hears_silence_first);
        if early {
            self.silence(node);
        }
        self.feed(node, Event::Tick);
        self.read_adverts(node);
        let answers = match &mut self.nodes[node].process {
            Some(process) => std::mem::take(&mut process.answers),
            None => return,
        };
        self.read_reports(node);
        for answer in answers {
            self.take_answer(node, answer);
        }
        self.read_claims(node);
        self.read_requests(node);
        if !early {
            self.silence(node);
        }
        let has_news = self.nodes[node].process.as_ref().is_some_and(|process| process.has_news);
        self.write_sequences(node, has_news);
        self.arm(node, idle);
    }

    fn silence(&mut self, node: usize) {
        let now = self.now;
        let until = self.nodes[node].clock(now);
        let until = self.bug.map_or(until, |bug| bug.until(until));
        self.feed(node, Event::Silence { until });
    }

    fn read_adverts(&mut self, node: usize) {
        let Some(process) = &self.nodes[node].process else { return };
        let endpoints: Vec<_> = process.sockets.keys().copied().collect();
        for endpoint in endpoints {
            while let Some(Waiting { at, frame, replayed }) = self.next_datagram(node, endpoint) {
                let Frame::Vrrp { source, destination, bytes } = &*frame else { continue };
                if !replayed {
                    self.note_better(node, *source, *destination, bytes);
                }
                let before = signatures::before(self, node, &frame);
                let packet = if source.is_ipv4() {
                    Packet::Ipv4(bytes)
                } else {
                    let (source, destination) = (*source, *destination);
                    Packet::Ipv6 { source, destination, hop_limit: 255, payload: bytes }
                };
                let at = self.nodes[node].clock(at);
                self.feed(node, Event::Datagram(Received { at, link: endpoint.link, packet }));
                if let Some(before) = before {
                    signatures::after(self, &before, &frame);
                }
            }
        }
    }

    fn next_datagram(&mut self, node: usize, endpoint: vipd::engine::action::Endpoint) -> Option<Waiting> {
        self.nodes[node].process.as_mut()?.sockets.get_mut(&endpoint)?.pop_front()
    }

    fn read_reports(&mut self, node: usize) {
        while let Some(process) = self.nodes[node].process.as_mut().filter(|p| !p.awaits_picture) {
            let Some(change) = process.reports.pop_front() else { return };
            self.feed(node, Event::Change(change));
        }
    }

    fn take_answer(&mut self, node: usize, answer: Answer) {
        match answer {
            Answer::Held(held) => self.feed(node, Event::Held(held)),
            Answer::Gated(gated) => self.feed(node, Event::Gated(gated)),
            Answer::Opened(opened) => {
                let Some(process) = &mut self.nodes[node].process else { return };
                if process.listening.get(&opened.endpoint) != Some(&opened.generation) {
                    process.sockets.remove(&opened.endpoint);
                }
                self.feed(node, Event::Opened(opened));
            }
            Answer::Paths(paths) => self.feed(node, Event::Paths(paths)),
            Answer::Linked(linked) => self.feed(node, Event::Linked(linked)),
            Answer::Picture(picture) => {
                self.feed(node, Event::Picture(picture));
                if let Some(process) = &mut self.nodes[node].process {
                    process.awaits_picture = false;
                }
                self.read_reports(node);
            }
        }
    }

    fn read_claims(&mut self, node: usize) {
        let Some(process) = &mut self.nodes[node].process else { return };
        for claim in std::mem::take(&mut process.claims) {
            self.feed(node, Event::Claim(claim));
        }
    }

    fn read_requests(&mut self, node: usize) {
        while let Some(process) = &mut self.nodes[node].process {
            let Some(request) = process.requests.pop_front() else { return };
            match request {
                Request::Verdict(check, verdict) => {
                    self.feed(node, Event::Verdict { check: &check, verdict, why: "it was asked" });
                }
                Request::Reload(settings) => self.reload(node, settings),
                Request::StepDown(target) => self.feed(node, Event::StepDown(target)),
                Request::Resume(target) => self.feed(node, Event::Resume(target)),
                Request::Shutdown => self.feed(node, Event::Shutdown),
            }
            self.look(node);
        }
    }

    fn reload(&mut self, node: usize, settings: vipd::engine::settings::Settings) {
        if let Some(process) = &mut self.nodes[node].process {
            process.regroup(topology::groups(&settings));
        }
        let settings = match self.bug {
            Some(bug) => bug.settings(&settings),
            None => settings,
        };
        let before = self.status(node);
        self.watch.begin_reload();
        if self.bug.is_some_and(Bug::restarts) {
            self.feed(node, Event::Reload(vipd::engine::settings::Settings::default()));
        }
        self.feed(node, Event::Reload(settings));
        let orders = self.watch.end_reload();
        if let (Some(before), Some(after)) = (before, self.status(node)) {
            oracles::reload(self, node, &before, &after, &orders);
        }
    }

    fn status(&self, node: usize) -> Option<vipd::engine::status::Status> {
        let clock = self.nodes[node].clock(self.now);
        Some(self.nodes[node].process.as_ref()?.engine.status(clock))
    }

    /// Hands one event to the engine and performs what it wants.
    fn feed(&mut self, node: usize, event: Event<'_>) {
        self.watch.fed(self.now, node, &event);
        let tells = matches!(event, Event::Verdict { .. } | Event::Change(_) | Event::Picture(_));
        if tells && self.nodes[node].settings.instances.iter().any(|instance| instance.last_resort) {
            // What becomes a last resort hands over as if it had been asked to.
            self.watch.command[node] = self.now;
        }
        if self.bug.is_some_and(|bug| bug.swallows(&event, &self.context(node))) {
            return;
        }
        let clock = self.nodes[node].clock(self.now);
        let Some(process) = &mut self.nodes[node].process else { return };
        let mut actions = Vec::new();
        process.engine.handle(clock, event, &mut actions);
        for (datagram, refusal) in self.perform(node, actions) {
            let (instance, family) = (datagram.instance, datagram.endpoint.family);
            self.feed(node, Event::SendFailed { instance, family, refusal });
        }
    }

    fn context(&self, node: usize) -> Context<'_> {
        let beaten = self.watch.beaten.iter().filter(|((of, _), at)| *of == node && **at == self.now);
        let beaten = beaten.map(|((_, vrid), _)| *vrid).collect();
        Context { settings: &self.nodes[node].settings, beaten }
    }

    /// Performs actions in order. Returns the adverts that could not be sent.
    fn perform(&mut self, node: usize, actions: Vec<Action>) -> Vec<(Datagram, Refusal)> {
        let mut failed = Vec::new();
        for action in actions {
            let action = match self.bug {
                Some(bug) => bug.action(action, &self.context(node)),
                None => Some(action),
            };
            let Some(action) = action else { continue };
            match action {
                Action::Send(datagram) => failed.extend(self.send(node, datagram)),
                Action::Kernel(work) => self.order(node, work),
                Action::Tell(notice) => {
                    self.trace.line(self.now, || format!("n{node} tells {}", describe(&notice)));
                    self.watch.told(&notice);
                    if let Some(process) = &mut self.nodes[node].process {
                        process.has_news = true;
                    }
                    oracles::told(self, node, &notice);
                    if matches!(notice.what, What::Transition { .. } | What::Reloaded { .. }) {
                        self.watch.look_again = true;
                    }
                }
            }
        }
        if std::mem::take(&mut self.watch.look_again) {
            self.look(node);
        }
        failed
    }

    fn look(&mut self, node: usize) {
        let clock = self.nodes[node].clock(self.now);
        if let Some(process) = &mut self.nodes[node].process {
            process.look(clock);
        }
        oracles::transition(self, node);
    }

    fn send(&mut self, node: usize, datagram: Datagram) -> Option<(Datagram, Refusal)> {
        oracles::advert(self, node, &datagram);
        let machine = &self.nodes[node];
        let listens = machine.process.as_ref().is_some_and(|p| p.sockets.contains_key(&datagram.endpoint));
        let link = datagram.endpoint.link;
        let own = machine.kernel.is_virtual(link);
        // Without a carrier it leaves an agent that goes on all the same, moves its lease, and is lost.
        let goes_on = machine.settings.instances.iter().any(|instance| !instance.follow_interface);
        let usable = |lan: &&Link| lan.up || goes_on && lan.set_up;
        let up = machine.kernel.link(LAN).filter(usable).is_some_and(|lan| own || lan.index == link);
        if machine.kernel.mute || !up || !listens || !machine.kernel.has(datagram.source) {
            self.trace.line(self.now, || format!("n{node} cannot send"));
            if machine.kernel.mute {
                self.watch.muted(self.now, node);
            }
            return Some((datagram, Refusal { errno: 1, why: "send: Operation not permitted".to_owned() }));
        }
        let (vrid, priority) = (datagram.payload[1], datagram.payload[2]);
        if !machine.kernel.sends(link) {
            // Its gate is shut, or it is down: nobody is told.
            if goes_on && machine.kernel.lan().is_none() {
                self.nodes[node].kernel.gates.extend(vrid, priority, datagram.endpoint.family);
            }
            return None;
        }
        oracles::frame(self, node, link, datagram.source);
        let to: Vec<usize> = (0..self.nodes.len())
            .filter(|to| *to != node)
            .filter(|to| {
                datagram.destination.is_multicast() || self.nodes[*to].kernel.has(datagram.destination)
            })
            .collect();
        self.note_sent(node, &datagram);
        self.nodes[node].kernel.gates.extend(vrid, priority, datagram.endpoint.family);
        let held_up = self.bug.map_or(Duration::ZERO, Bug::holds_adverts_up);
        self.trace.line(self.now, || {
            format!("n{node} sends vrid {} priority {}", datagram.payload[1], datagram.payload[2])
        });
        let frame = Frame::advert(datagram.source, datagram.destination, &datagram.payload);
        self.transmit(node, &to, frame, held_up);
        None
    }

    fn note_sent(&mut self, node: usize, datagram: &Datagram) {
        if datagram.payload[2] == 0 {
            self.watch.resigned.insert(datagram.payload[1], (node, self.now));
        }
    }

    /// An advert is read: whether it is better than what this node says, or ought to.
    fn note_better(&mut self, node: usize, source: IpAddr, destination: IpAddr, bytes: &[u8]) {
        let payload = if source.is_ipv4() { &bytes[20..] } else { bytes };
        let Ok(advert) = signatures::read(payload, source, destination) else { return };
        let vrid = advert.vrid.get();
        let Some(own) = self.watch.said.get(&(node, vrid, Family::of(source))) else { return };
        let Some(instance) = self.nodes[node].instance(vrid) else { return };
        let ours = own.priority.min(self.effective(node, instance).get());
        if advert.priority.get() > 0 && (advert.priority.get(), source) > (ours, own.source) {
            self.watch.beaten.insert((node, vrid), self.now);
        }
    }

    fn order(&mut self, node: usize, work: KernelWork) {
        self.trace.line(self.now, || format!("n{node} orders {}", brief(&work)));
        oracles::order(self, node, &work);
        let now = self.now;
        let Some(process) = &mut self.nodes[node].process else { return };
        match work {
            KernelWork::Gate(gate) => {
                process.gate.post(now, gate.clone());
                if self.bug.is_some_and(Bug::believes_gates) && gate.passage == Passage::Open {
                    let (router, generation) = (gate.router, gate.generation);
                    let answer = Gated { router, generation, state: Gating::Open };
                    self.mail(node, Mail::Answer(Answer::Gated(answer)));
                }
            }
            KernelWork::Hold(_) | KernelWork::Announce(_) | KernelWork::Link(_) | KernelWork::Pace(_) => {
                process.route.post(now, work);
            }
            KernelWork::Listen(ref listen) => {
                if listen.groups.is_some() {
                    process.listening.insert(listen.endpoint, listen.generation);
                } else {
                    process.listening.remove(&listen.endpoint);
                    process.sockets.remove(&listen.endpoint);
                }
                process.route.post(now, work);
            }
        }
        self.plan_steps(node);
    }

    fn arm(&mut self, node: usize, idle: bool) {
        let now = self.now;
        let machine = &mut self.nodes[node];
        let Some(process) = &mut machine.process else { return };
        if process.engine.is_idle() {
            oracles::end(self, node);
            self.write_sequences(node, true);
            self.end_process(node);
            return;
        }
        let deadline = process.engine.deadline();
        let is_master = process.engine.masters().0 > 0;
        let deadline =
            self.bug.map_or(deadline, |bug| bug.deadline(now + machine.uptime, deadline, is_master));
        let moment = deadline.map(|at| at - machine.uptime);
        process.armed = moment;
        process.idle_turns =
            if idle && moment.is_some_and(|at| at <= now) { process.idle_turns + 1 } else { 0 };
        oracles::turn(self, node);
        let latency = self.latency();
        if let Some(at) = moment {
            self.turn_at(node, at.max(now) + latency);
        }
    }

    /// The agent is gone.
    pub(crate) fn end_process(&mut self, node: usize) {
        self.trace.line(self.now, || format!("n{node} ended"));
        self.nodes[node].process = None;
        self.watch.ended(self.now, node);
    }

    /// What an agent's clock shows.
    pub(crate) fn clock(&self, node: usize) -> Instant {
        self.nodes[node].clock(self.now)
    }
}

fn describe(notice: &vipd::engine::notice::Notice) -> String {
    let about = notice.about.as_ref().map_or("-", |(_, name)| name);
    match &notice.what {
        What::Transition { from, to, reason, priority: _ } => format!("{about} {from} -> {to}: {reason}"),
        other => format!("{about} {other:?}"),
    }
}

fn brief(work: &KernelWork) -> String {
    match work {
        KernelWork::Hold(hold) => {
            let install: Vec<_> = hold.install.iter().map(|p| p.place.net).collect();
            let remove: Vec<_> = hold.remove.iter().map(|p| p.net).collect();
            format!("i{} g{} install {install:?} remove {remove:?}", hold.instance.0, hold.generation.0)
        }
        KernelWork::Announce(burst) => format!("i{} announce {}", burst.instance.0, burst.addresses.len()),
        KernelWork::Gate(gate) => {
            let places: Vec<_> = gate.places.iter().map(|p| p.net).collect();
            format!("i{} gate {:?} {places:?}", gate.router.instance.0, gate.passage)
        }
        KernelWork::Pace(paces) => format!("pace {} links", paces.len()),
        KernelWork::Link(link) => format!("link {:?} {:?}", link.id, link.wanted),
        KernelWork::Listen(listen) => format!("listen {:?} {:?}", listen.endpoint, listen.groups.is_some()),
    }
}

/// Lateness that the engine hears of.
const LATE: Duration = Duration::from_millis(10);
