//! A whole engine that hears datagrams, made up or nearly right, at times of the sender's choosing: whatever it hears is
//! counted once, it never asks to be woken for what is over, and it ends when it is asked to.
//!
//! The input is a row of steps, a byte that names each and the bytes it takes.
#![no_main]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vipd::config::{self, Config};
use vipd::engine::Engine;
use vipd::engine::action::{Action, KernelWork, Place};
use vipd::engine::event::{Event, Held, Link, LinkAddress, Opened, Packet, Picture, Received};
use vipd::net::{Family, LinkIndex, Mac, Priority, Vrid};
use vipd::time::{Duration, Instant};
use vipd::wire::vrrp::{Advert, Authentication, ChecksumForm, Version};

const ETH0: LinkIndex = LinkIndex(2);
const ETH1: LinkIndex = LinkIndex(3);
/// The hosts of both links, and who we are.
const US: u8 = 5;
/// How many events come of one thing that happened; far more than any needs.
const MOST: usize = 64;

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let text = "
instances:
  web:
    interface: eth0
    virtual_router_id: 51
    priority: 150
    addresses: [192.0.2.10/24, 192.0.2.11/24, '2001:db8::10/64']
    advert_interval: 100ms
  legacy:
    interface: eth0
    virtual_router_id: 52
    addresses: [192.0.2.20/24]
    version: 2
    unicast: { source: 192.0.2.5, peers: [192.0.2.9, 192.0.2.4] }
    authentication: { type: simple, password: secret }
  bare:
    interface: eth1
    virtual_router_id: 53
    addresses: []
    family: ipv6
";
    config::parse(text, "fuzz.yaml").expect("it is right")
});

fuzz_target!(|data: &[u8]| {
    let mut host = Host::started();
    let mut steps = Steps(data);
    while host.step(&mut steps).is_some() {}
    host.end();
});

/// The input as it is used up.
struct Steps<'a>(&'a [u8]);

impl<'a> Steps<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn word(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    /// So many bytes as the next one says, or as are left.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.byte()?);
        let (bytes, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        Some(bytes)
    }
}

/// One host whose kernel does what it is asked.
struct Host {
    engine: Engine,
    now: Instant,
    last_turn: Instant,
    /// Our addresses in the kernel.
    kernel: BTreeSet<Place>,
    /// Datagrams handed over.
    heard: u64,
}

impl Host {
    fn started() -> Self {
        let now = Instant::from_nanos(1_000_000_000_000);
        let engine = Engine::new(now, CONFIG.settings.clone());
        let mut host = Self { engine, now, last_turn: now, kernel: BTreeSet::new(), heard: 0 };
        let link = |index, name: &str| Link {
            index,
            name: name.to_owned(),
            mac: Some(Mac([2, 0, 0, 0, 0, US])),
            mtu: 1500,
            up: true,
            set_up: true,
            virtual_link: None,
        };
        let nets = ["192.0.2.5/24", "fe80::5/64"].map(|net| net.parse().expect("it is right"));
        let addresses =
            nets.map(|net| LinkAddress { link: ETH0, net, ours: false, usable: true, peer: None });
        let links = vec![link(ETH0, "eth0"), link(ETH1, "eth1")];
        host.give(Event::Picture(Picture { links, addresses: addresses.to_vec() }));
        host
    }

    fn step(&mut self, steps: &mut Steps<'_>) -> Option<()> {
        let step = steps.byte()?;
        // Received now, or at any time since the last turn.
        let at = if step & 0x80 == 0 { self.now } else { self.last_turn };
        let link = if step & 0x40 == 0 { ETH0 } else { ETH1 };
        match step & 7 {
            0 => self.pass(Duration::from_millis(u64::from(steps.word()? % 8192))),
            1 => {
                let due = self.engine.deadline().unwrap_or(self.now).max(self.now);
                self.now = due + Duration::from_micros(u64::from(steps.word()?));
                self.turn(None);
            }
            2 => {
                let late = Duration::from_millis(u64::from(steps.word()?));
                self.now = self.now + late;
                self.give(Event::Stalled { late });
                self.turn(None);
            }
            3 => self.turn(Some(Received { at, link, packet: Packet::Ipv4(steps.bytes()?) })),
            4 => {
                let (source, destination) =
                    (host_of(Family::Ipv6, steps.byte()?), group(Family::Ipv6, steps.byte()?));
                let (hop_limit, payload) = (steps.byte()?, steps.bytes()?);
                self.turn(Some(Received {
                    at,
                    link,
                    packet: Packet::Ipv6 { source, destination, hop_limit, payload },
                }));
            }
            _ => {
                let (advert, source, destination, hop_limit) = advert(steps)?;
                let payload = advert.encode(source, destination);
                let bytes;
                let packet = match (source, destination) {
                    (IpAddr::V4(source), IpAddr::V4(destination)) => {
                        bytes = ipv4(source, destination, hop_limit, &payload);
                        Packet::Ipv4(&bytes)
                    }
                    _ => Packet::Ipv6 { source, destination, hop_limit, payload: &payload },
                };
                self.turn(Some(Received { at, link, packet }));
            }
        }
        Some(())
    }

    /// One turn as the agent takes it; nothing is due after it.
    fn turn(&mut self, received: Option<Received<'_>>) {
        self.give(Event::Tick);
        if let Some(received) = received {
            self.heard += 1;
            self.give(Event::Datagram(received));
            assert_eq!(self.counted(), self.heard, "a datagram is counted once");
        }
        self.give(Event::Silence { until: self.now });
        let due = self.engine.deadline();
        assert!(due.is_none_or(|due| due > self.now), "due at {due:?} after a turn at {:?}", self.now);
        self.last_turn = self.now;
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.engine.deadline().filter(|due| *due < end) {
            self.now = due;
            self.turn(None);
        }
        self.now = end;
        self.turn(None);
    }

    /// Hands an event over, and does what is asked for.
    fn give(&mut self, event: Event<'_>) {
        let mut actions = Vec::new();
        self.engine.handle(self.now, event, &mut actions);
        let mut done = 0;
        while let Some(action) = actions.get(done).cloned() {
            done += 1;
            assert!(done <= MOST, "one thing follows another without an end");
            match action {
                Action::Kernel(KernelWork::Hold(hold)) => {
                    assert!(!hold.install.is_empty() || !hold.remove.is_empty());
                    self.kernel.retain(|place| !hold.remove.contains(place));
                    self.kernel.extend(hold.install.iter().map(|placement| placement.place));
                    let held = Held {
                        instance: hold.instance,
                        generation: hold.generation,
                        refused: Vec::new(),
                        refused_paths: Vec::new(),
                    };
                    self.engine.handle(self.now, Event::Held(held), &mut actions);
                }
                Action::Kernel(KernelWork::Listen(listen)) if listen.groups.is_some() => {
                    let (endpoint, generation) = (listen.endpoint, listen.generation);
                    let opened = Opened { endpoint, generation, refused: None };
                    self.engine.handle(self.now, Event::Opened(opened), &mut actions);
                }
                Action::Send(datagram) => assert_eq!(datagram.endpoint.link, ETH0),
                Action::Kernel(_) | Action::Tell(_) => {}
            }
        }
    }

    /// Every datagram that some counter knows of.
    fn counted(&self) -> u64 {
        let status = self.engine.status(self.now);
        let routers = status.instances.iter().flat_map(|instance| &instance.routers);
        let routers = routers.map(|r| r.counters.received + r.counters.discarded.values().sum::<u64>());
        status.discarded.values().sum::<u64>() + routers.sum::<u64>()
    }

    fn end(&mut self) {
        self.give(Event::Shutdown);
        self.pass(Duration::from_secs(10));
        assert!(self.engine.is_idle(), "it does not end");
        assert!(self.kernel.is_empty(), "{:?} are left", self.kernel);
    }
}

/// An advert that one of the instances may take, with who sends it where and how.
fn advert(steps: &mut Steps<'_>) -> Option<(Advert, IpAddr, IpAddr, u8)> {
    let (shape, count) = (steps.byte()?, steps.byte()?);
    let family = if shape & 1 == 0 { Family::Ipv4 } else { Family::Ipv6 };
    let vrid = match shape >> 1 & 3 {
        0 => 51,
        1 => 52,
        _ => steps.byte()?.max(1),
    };
    let (source, destination) = (host_of(family, steps.byte()?), group(family, steps.byte()?));
    let advert = Advert {
        version: if shape & 8 == 0 { Version::V3 } else { Version::V2 },
        vrid: Vrid::new(vrid)?,
        priority: Priority::new(steps.byte()?),
        interval: Duration::from_millis(10 * u64::from(steps.word()? & 4095)),
        authentication: match shape >> 4 & 3 {
            0 => Authentication::None,
            1 => Authentication::Simple(*b"geheim\0\0"),
            _ => Authentication::Simple(*b"secret\0\0"),
        },
        addresses: (0..count & 3).map(|n| host_of(family, 10 + n + (count >> 2))).collect(),
        checksum: if shape & 64 == 0 { ChecksumForm::PseudoHeader } else { ChecksumForm::Message },
    };
    let hop_limit = if shape & 128 == 0 { 255 } else { steps.byte()? };
    Some((advert, source, destination, hop_limit))
}

/// The host of this number on the link.
fn host_of(family: Family, number: u8) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(192, 0, 2, number).into(),
        Family::Ipv6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number.into()).into(),
    }
}

/// The group for 0, else a host.
fn group(family: Family, number: u8) -> IpAddr {
    if number == 0 { family.group() } else { host_of(family, number) }
}

fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut packet = vec![0x45, 0xc0, length[0], length[1], 0, 1, 0, 0, ttl, 112, 0, 0];
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}
