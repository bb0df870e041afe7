//! What goes wrong in a seed: incidents with a beginning and an end, all over before the quiet time.

use std::net::IpAddr;

use vipd::engine::settings::{Effect, Preempt};
use vipd::proto::health::Verdict;
use vipd::time::{Duration, Instant};
use vipd::wire::vrrp::Version;

use crate::kernel::{LAN, UPLINK};
use crate::plan::{Fault, NodePlan, Tweak};
use crate::random::Random;
use crate::topology;

struct Draw<'a> {
    random: &'a mut Random,
    nodes: &'a [NodePlan],
    length: Duration,
    faults: Vec<(Instant, Fault)>,
}

/// Draws the incidents of a run whose faulty part has this length.
pub(crate) fn draw(random: &mut Random, nodes: &[NodePlan], length: Duration) -> Vec<(Instant, Fault)> {
    let mut draw = Draw { random, nodes, length, faults: Vec::new() };
    draw.start();
    let incidents = match draw.random.below(5) {
        0 => 0,
        1 => 1,
        _ => draw.random.between(2, 8),
    };
    for _ in 0..incidents {
        draw.incident();
    }
    draw.finish();
    draw.faults.sort_by_key(|(at, _)| *at);
    draw.faults
}

impl Draw<'_> {
    fn start(&mut self) {
        let together = self.random.chance(300);
        for node in 0..self.nodes.len() {
            let longest = if together { Duration::from_millis(1) } else { self.length / 4 };
            let at = self.random.duration(Duration::ZERO, longest);
            self.at(at, Fault::Start(node));
        }
    }

    fn at(&mut self, at: Duration, fault: Fault) {
        self.faults.push((Instant::BOOT + at, fault));
    }

    /// When an incident begins and ends.
    fn span(&mut self) -> (Duration, Duration) {
        let begins = self.random.duration(self.length / 10, self.length * 9 / 10);
        let longest = if self.random.chance(500) { self.length / 30 } else { self.length / 3 };
        let ends = begins + self.random.duration(Duration::from_millis(1), longest);
        (begins, ends.min(self.length * 99 / 100))
    }

    fn both(&mut self, begin: Fault, end: Fault) {
        let (begins, ends) = self.span();
        self.at(begins, begin);
        self.at(ends, end);
    }

    /// The same, but now and then without an end.
    fn perhaps_for_good(&mut self, begin: Fault, end: Fault) {
        let (begins, ends) = self.span();
        self.at(begins, begin);
        if self.random.chance(700) {
            self.at(ends, end);
        }
    }

    fn vip(&mut self) -> IpAddr {
        let node = self.random.index(self.nodes.len());
        let instance = self.instance();
        let addresses = &self.nodes[node].settings.instances[instance].addresses;
        addresses[self.random.index(addresses.len())].address()
    }

    fn instance(&mut self) -> usize {
        self.random.index(self.nodes[0].settings.instances.len())
    }

    fn incident(&mut self) {
        let node = self.random.index(self.nodes.len());
        let instance = self.instance();
        match self.random.below(21) {
            0 => self.both(Fault::Crash(node), Fault::Start(node)),
            1 => self.comes_back(node, instance),
            2 | 3 => self.both(Fault::Stop(node), Fault::Start(node)),
            4 | 5 => {
                let workers = self.random.chance(500);
                self.both(Fault::Freeze(node, workers), Fault::Thaw(node));
            }
            6 => {
                let name = self.random.pick(&[LAN, LAN, UPLINK]);
                self.both(Fault::Carrier(node, name, false), Fault::Carrier(node, name, true));
            }
            7 => self.both(Fault::Admin(node, LAN, false), Fault::Admin(node, LAN, true)),
            8 => self.both(Fault::Vanish(node, LAN), Fault::Appear(node, LAN)),
            9 | 10 => {
                let (down, up) = (Fault::Probe(node, Verdict::Down), Fault::Probe(node, Verdict::Up));
                self.perhaps_for_good(down, up);
            }
            11 => {
                let (at, _) = self.span();
                let vip = self.vip();
                let what = self.random.below(4);
                // On whichever node it is.
                for node in 0..self.nodes.len() {
                    self.at(
                        at,
                        match what {
                            0 => Fault::Unlink(node),
                            1 => Fault::Estrange(node),
                            _ => Fault::Delete(node, vip),
                        },
                    );
                }
            }
            12 => {
                let vip = self.vip();
                self.both(Fault::Squat(node, vip, true), Fault::Squat(node, vip, false));
            }
            13 => {
                let (at, _) = self.span();
                let count = u32::try_from(self.random.between(1, 2)).unwrap_or(1);
                self.at(at, Fault::Refuse(node, count));
            }
            14 => self.both(Fault::Mute(node, true), Fault::Mute(node, false)),
            19 => self.both(Fault::Jam(node, true), Fault::Jam(node, false)),
            15 | 16 => self.partition(),
            17 => {
                self.perhaps_for_good(Fault::StepDown(node, instance), Fault::Resume(node, instance));
            }
            18 => self.reload(node, instance),
            _ => {
                let (at, _) = self.span();
                self.at(at, Fault::Dump(node));
            }
        }
    }

    /// A crash, and a start before the lease is over, or a little later.
    fn comes_back(&mut self, node: usize, instance: usize) {
        let (begins, _) = self.span();
        let lease = self.nodes[node].settings.instances[instance].interval * 3;
        let ends = begins + self.random.duration(Duration::from_millis(1), lease * 6 / 5);
        self.at(begins, Fault::Crash(node));
        self.at(ends.min(self.length * 99 / 100).max(begins), Fault::Start(node));
    }

    /// Two sides, the client on one of them; or one direction between two nodes.
    fn partition(&mut self) {
        let places = self.nodes.len() + 1;
        let (begins, ends) = self.span();
        if self.random.chance(250) {
            let from = self.random.index(self.nodes.len());
            let to = (from + 1 + self.random.index(self.nodes.len() - 1)) % self.nodes.len();
            self.at(begins, Fault::Cut(from, to, true));
        } else {
            let sides: Vec<bool> = (0..places).map(|_| self.random.chance(500)).collect();
            self.at(begins, Fault::Part(sides));
        }
        self.at(ends, Fault::Heal);
    }

    fn reload(&mut self, node: usize, instance: usize) {
        let (begins, ends) = self.span();
        let other = self.instance();
        let settings = &self.nodes[node].settings.instances[instance];
        let (version, interval) = (settings.version, settings.interval);
        let family = settings.addresses[0].family();
        match self.random.below(10) {
            0 => self.at(begins, Fault::Reload(node, Tweak::Nothing)),
            9 => {
                let instances = self.nodes[0].settings.instances.len();
                let members = if self.random.chance(500) { (0..instances).collect() } else { Vec::new() };
                self.everywhere(begins, ends, &Tweak::Group(members));
            }
            1 | 2 => {
                let priority = self.random.pick(&[20, 60, 100, 160, 220]);
                self.at(begins, Fault::Reload(node, Tweak::Priority(instance, priority)));
            }
            3 => {
                let preempt = self.random.pick(&[Preempt::Never, Preempt::After(Duration::ZERO)]);
                self.at(begins, Fault::Reload(node, Tweak::Preempt(instance, preempt)));
            }
            4 => {
                let effect = self.random.pick(&[None, Some(Effect::Fault), Some(Effect::Weight(-60))]);
                self.at(begins, Fault::Reload(node, Tweak::Effect(instance, effect)));
            }
            5 => {
                let vip = topology::vip(family, instance, 5);
                let alone = self.random.chance(500);
                self.everywhere(begins, ends, &Tweak::Add(instance, topology::net(vip, alone)));
            }
            6 => {
                let vip = self.vip();
                self.everywhere(begins, ends, &Tweak::Remove(instance, vip));
            }
            7 if version == Version::V3 => {
                self.everywhere(begins, ends, &Tweak::Interval(instance, interval * 2));
            }
            _ if instance != other => {
                let vip = topology::vip(family, instance, 0);
                self.everywhere(begins, ends, &Tweak::Move(instance, other, vip));
            }
            _ => self.at(begins, Fault::Reload(node, Tweak::Rename(instance, format!("renamed{instance}")))),
        }
    }

    /// All nodes get it, one after the other.
    fn everywhere(&mut self, begins: Duration, ends: Duration, tweak: &Tweak) {
        for node in 0..self.nodes.len() {
            let at = self.random.duration(begins, ends);
            self.at(at, Fault::Reload(node, tweak.clone()));
        }
    }

    /// Everything that would go wrong for ever ends; what an operator may leave so stays as it is.
    fn finish(&mut self) {
        let end = self.length;
        for node in 0..self.nodes.len() {
            let mends = [
                Fault::Thaw(node),
                Fault::Appear(node, LAN),
                Fault::Carrier(node, LAN, true),
                Fault::Admin(node, LAN, true),
                Fault::Mute(node, false),
                Fault::Jam(node, false),
                Fault::Refuse(node, 0),
            ];
            for fault in mends {
                self.at(end, fault);
            }
            for vip in self.nodes.iter().flat_map(|n| &n.settings.instances).flat_map(|i| &i.addresses) {
                self.faults.push((Instant::BOOT + end, Fault::Squat(node, vip.address(), false)));
            }
            if node == 0 || self.random.chance(850) {
                self.at(end, Fault::Start(node));
            }
        }
        self.at(end, Fault::Heal);
        self.at(end, Fault::Calm);
    }
}
