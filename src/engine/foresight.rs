//! What would happen if: the engine answers, on a copy of itself.
//!
//! Nothing is foretold by rules of its own. A copy is handed the supposition, and then the time, in a world that does
//! what it is asked to: the kernel obeys, checks say what they said last, and the masters that are heard now go on
//! advertising, unless it is their silence that is supposed. What other backups do is not known, and not supposed.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::Engine;
use super::action::{Action, Hold, InstanceId, KernelWork, Passage, VirtualLinkId, VirtualLinkState};
use super::event::{Change, Event, Gated, Gating, Held, Link, Linked, Opened, Target};
use super::hear::Accepted;
use super::notice::{Notice, Reason, State, What};
use super::settings::Settings;
use super::status::Status;
use crate::net::LinkIndex;
use crate::proto::health::Verdict;
use crate::proto::vrrp::Heard;
use crate::time::{Duration, Instant};

/// Something that might happen now.
#[derive(Clone, Debug)]
pub enum Supposition {
    /// Everything goes on as it is.
    Nothing,
    /// No advert is heard any more.
    Silence,
    /// A check changes its verdict.
    Verdict {
        /// The check's name.
        check: String,
        /// What it says.
        up: bool,
    },
    /// The operator has these step down.
    StepDown(Target),
    /// The operator takes that back.
    Resume(Target),
    /// The configuration is this one.
    Reload(Box<Settings>),
}

/// What would come of it.
#[derive(Clone, Debug)]
pub struct Foresight {
    /// What would be told, in order, at the moments of it.
    pub notices: Vec<Notice>,
    /// How things would stand in the end.
    pub status: Status,
}

impl Foresight {
    /// The changes of an instance's state: when, to what, and why.
    pub fn transitions<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (Instant, State, &'a Reason)> + 'a {
        transitions(&self.notices, name)
    }

    /// The same of the one that has this number, whatever it is called by then.
    pub fn transitions_of(&self, id: InstanceId) -> impl Iterator<Item = (Instant, State, &Reason)> {
        let own = move |about: &(InstanceId, String)| about.0 == id;
        all_transitions(&self.notices).filter(move |one| own(one.0)).map(|(_, at, to, why)| (at, to, why))
    }

    /// The same of one that takes this name and is none of these.
    pub fn transitions_beside<'a>(
        &'a self,
        name: &'a str,
        known: &'a [InstanceId],
    ) -> impl Iterator<Item = (Instant, State, &'a Reason)> + 'a {
        let new = move |about: &(InstanceId, String)| about.1 == name && !known.contains(&about.0);
        all_transitions(&self.notices).filter(move |one| new(one.0)).map(|(_, at, to, why)| (at, to, why))
    }
}

fn transitions<'a>(
    notices: &'a [Notice],
    name: &'a str,
) -> impl Iterator<Item = (Instant, State, &'a Reason)> + 'a {
    all_transitions(notices).filter(move |(about, ..)| about.1 == name).map(|(_, at, to, why)| (at, to, why))
}

fn all_transitions(
    notices: &[Notice],
) -> impl Iterator<Item = (&(InstanceId, String), Instant, State, &Reason)> {
    notices.iter().filter_map(|notice| match (&notice.about, &notice.what) {
        (Some(about), What::Transition { to, reason, .. }) => Some((about, notice.at, *to, reason)),
        _ => None,
    })
}

impl Engine {
    /// The number and the name of every instance that is configured.
    pub fn numbers(&self) -> impl Iterator<Item = (InstanceId, &str)> {
        let configured = self.instances.iter().filter(|i| !i.retiring);
        configured.map(|i| (i.id, i.settings.name.as_str()))
    }

    /// What would happen within `time` from `now`.
    pub fn foresee(&self, now: Instant, supposition: Supposition, time: Duration) -> Foresight {
        Copy { engine: self.clone(), now, notices: Vec::new(), watched: None }.live(supposition, time)
    }

    /// What would happen to one instance, and to those that move with it, until its state changes or `time` is over.
    pub fn foresee_one(
        &self,
        now: Instant,
        name: &str,
        supposition: Supposition,
        time: Duration,
    ) -> Foresight {
        let mut engine = self.clone();
        let at = engine.instances.iter().position(|i| i.settings.name == name && !i.retiring);
        let group = at.and_then(|at| engine.instances[at].membership).map(|membership| membership.group);
        engine.instances.retain(|i| {
            let fellow = group.is_some() && i.membership.map(|membership| membership.group) == group;
            fellow || (i.settings.name == name && !i.retiring)
        });
        Copy { engine, now, notices: Vec::new(), watched: Some(name.into()) }.live(supposition, time)
    }
}

/// An engine in a world that obliges.
struct Copy {
    engine: Engine,
    now: Instant,
    notices: Vec<Notice>,
    /// With the first change of its state enough is known.
    watched: Option<String>,
}

impl Copy {
    fn live(mut self, supposition: Supposition, time: Duration) -> Foresight {
        let (silent, end) = (matches!(supposition, Supposition::Silence), self.now + time);
        self.suppose(supposition);
        self.pass(end, silent);
        Foresight { status: self.engine.status(self.now), notices: self.notices }
    }

    fn is_known(&self) -> bool {
        self.watched.as_ref().is_some_and(|name| transitions(&self.notices, name).next().is_some())
    }

    fn suppose(&mut self, supposition: Supposition) {
        match supposition {
            Supposition::Nothing | Supposition::Silence => {}
            Supposition::Verdict { check, up } => {
                let verdict = if up { Verdict::Up } else { Verdict::Down };
                self.give(Event::Verdict { check: &check, verdict, why: "supposed" });
            }
            Supposition::StepDown(target) => self.give(Event::StepDown(target)),
            Supposition::Resume(target) => self.give(Event::Resume(target)),
            Supposition::Reload(settings) => self.give(Event::Reload(*settings)),
        }
    }

    /// Lets time pass until `end`, from one thing that is due to the next.
    fn pass(&mut self, end: Instant, silent: bool) {
        for _ in 0..MOST_TURNS {
            if self.is_known() {
                return;
            }
            let echo = if silent { None } else { self.next_echo() };
            let echo_at = echo.as_ref().map(|echo| echo.heard.at);
            let Some(next) = [self.engine.deadline(), echo_at].into_iter().flatten().min() else { break };
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            self.give(Event::Tick);
            match echo {
                Some(echo) if echo.heard.at <= self.now => self.echo(&echo),
                Some(_) | None => self.give(Event::Silence { until: self.now }),
            }
        }
        self.now = self.now.max(end);
    }

    /// The next advert of a master that was heard.
    fn next_echo(&self) -> Option<Echo> {
        let instances = self.engine.instances.iter().enumerate();
        let members = instances.flat_map(|(instance, i)| {
            let members =
                i.members.iter().enumerate().filter(|(_, m)| m.is_started() && !m.router.is_master());
            members.filter_map(move |(member, m)| {
                // One that does not count, for it is to be replaced, advertises all the same.
                let counted = m.master.map(|m| (m.address, m.priority, m.heard));
                let lower = m.lower.map(|heard| (heard.source, heard.priority, heard.at));
                let (source, priority, at) = lower.into_iter().chain(counted).max_by_key(|(.., at)| *at)?;
                let interval = m.router.master_interval();
                Some(Echo {
                    instance,
                    member,
                    heard: Heard { at: at + interval, source, priority, interval },
                })
            })
        });
        members.min_by_key(|echo| echo.heard.at)
    }

    fn echo(&mut self, echo: &Echo) {
        let mut out = Vec::new();
        let instance = &mut self.engine.instances[echo.instance];
        let family = instance.members[echo.member].family;
        let heard = Heard { at: self.now, ..echo.heard };
        let accepted = Accepted { heard, form: None, same_addresses: true, sequence: None };
        instance.hear(self.now, family, &accepted, &mut out);
        self.engine.settle_at(self.now, echo.instance, &mut out);
        self.engine.order(self.now, &mut out);
        self.oblige(out);
    }

    fn give(&mut self, event: Event<'_>) {
        let mut out = Vec::new();
        self.engine.handle(self.now, event, &mut out);
        self.oblige(out);
    }

    /// Answers every order as if it had been done at once.
    fn oblige(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send(_) => {}
                Action::Tell(notice) => self.notices.push(notice),
                Action::Kernel(work) => self.perform(work),
            }
        }
    }

    fn perform(&mut self, work: KernelWork) {
        match work {
            KernelWork::Announce(_) | KernelWork::Pace(_) => {}
            KernelWork::Hold(Hold { instance, generation, .. }) => {
                let (refused, refused_paths) = (Vec::new(), Vec::new());
                self.give(Event::Held(Held { instance, generation, refused, refused_paths }));
            }
            KernelWork::Gate(gate) if gate.places.is_empty() => {}
            KernelWork::Gate(gate) => {
                let state = if gate.passage == Passage::Shut { Gating::Dark } else { Gating::Open };
                self.give(Event::Gated(Gated { router: gate.router, generation: gate.generation, state }));
            }
            KernelWork::Listen(listen) if listen.groups.is_none() => {}
            KernelWork::Listen(listen) => {
                let (endpoint, generation) = (listen.endpoint, listen.generation);
                self.give(Event::Opened(Opened { endpoint, generation, refused: None }));
            }
            KernelWork::Link(order) => {
                let known = self.engine.world.links.virtual_link(order.id).cloned();
                match (known, &order.wanted) {
                    (Some(link), Some(state)) => {
                        let (name, up) = (state.name.clone(), state.up);
                        self.give(Event::Change(Change::Link(Link {
                            name,
                            mac: Some(order.id.mac),
                            up,
                            set_up: up,
                            ..link
                        })));
                    }
                    (Some(link), None) => self.give(Event::Change(Change::LinkGone(link.index))),
                    (None, Some(state)) => {
                        let made = self.made(order.id, state);
                        self.give(Event::Change(Change::Link(made)));
                    }
                    (None, None) => {}
                }
                self.give(Event::Linked(Linked {
                    id: order.id,
                    generation: order.generation,
                    refused: None,
                }));
            }
        }
    }

    /// A virtual router's own link as the kernel would make it, but for its number, which is any that is free.
    fn made(&self, id: VirtualLinkId, state: &VirtualLinkState) -> Link {
        let links = &self.engine.world.links;
        let highest = links.all().map(|link| link.index.0).max().unwrap_or(0);
        Link {
            index: LinkIndex(highest.saturating_add(1)),
            name: state.name.clone(),
            mac: Some(id.mac),
            mtu: links.get(id.below).map_or(1500, |below| below.mtu),
            up: state.up,
            set_up: state.up,
            virtual_link: Some(id),
        }
    }
}

/// An advert that is expected.
struct Echo {
    instance: usize,
    member: usize,
    heard: Heard,
}

/// No supposition is followed for longer: at an advert each 10 ms, 250 instances see a second or two.
const MOST_TURNS: usize = 50_000;
