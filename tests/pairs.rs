//! What happens to a pair of two keepalived happens to a pair of one keepalived and one vipd, and to one of two vipd: the
//! same events to four pairs side by side, keepalived with keepalived, vipd with keepalived, keepalived with vipd, vipd
//! with vipd; and after each the same node has to be the one that advertises and has all the addresses.
//!
//! `cargo test --test pairs -- --nocapture` prints each event with the holder: `a`, `b`, `-` for nobody.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use lab::vipd::Programs;
use lab::wait::{observe, within};
use lab::{Agent, Host, Kind, Lab, Node, Router, Sniffer, isolated, now};
use pnet::util::MacAddr;

/// One of the two nodes of every pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    A,
    B,
}

use Side::{A, B};

/// Something that happens to the same side of all pairs.
#[derive(Clone, Copy, Debug)]
enum Event {
    Start(Side),
    Stop(Side),
    Kill(Side),
    Unplug(Side),
    Plug(Side),
    Down(Side),
    Up(Side),
    /// What its check looks at goes, or comes back.
    Fail(Side),
    Recover(Side),
    /// What stands in its file.
    Value(Side, i32),
    /// Another priority in its configuration, and a reload.
    Priority(Side, u8),
    /// Nothing but time passes.
    Wait(u64),
}

use Event::{Down, Fail, Kill, Plug, Priority, Recover, Start, Stop, Unplug, Up, Value, Wait};

/// In which way the two nodes share the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Twist {
    Version2,
    Password,
    Ipv6,
    Unicast,
    /// Without preemption.
    Patient,
    PreemptDelay,
    /// A weight on a check.
    Weight,
    /// FAULT on a check.
    Fault,
    /// The value of a file.
    Score,
    /// An address that adverts do not list.
    Excluded,
    /// A second virtual router that shares the fate of the first, and alone has the check.
    Group,
    /// The virtual router's own Ethernet address.
    VirtualMac,
}

type Story = &'static [Twist];

#[test]
fn weights_reloads_cables_and_kills_move_a_mixed_pair_as_they_move_two_keepalived() {
    let story: Story = &[Twist::Weight];
    isolated(|lab| {
        play(
            lab,
            "version 3, IPv4 multicast, a weight of -60 on a check",
            story,
            &[
                (Start(B), "b"),
                (Start(A), "a"),
                (Fail(A), "b"),
                (Fail(B), "a"),
                (Recover(B), "b"),
                (Recover(A), "a"),
                (Unplug(A), "b"),
                (Plug(A), "a"),
                (Down(A), "b"),
                (Up(A), "a"),
                (Priority(A, 50), "b"),
                (Priority(A, 150), "a"),
                (Stop(A), "b"),
                (Start(A), "a"),
                (Kill(A), "b"),
                (Start(A), "a"),
                (Stop(B), "a"),
                (Stop(A), "-"),
            ],
        );
    });
}

#[test]
fn a_check_that_means_fault_moves_a_mixed_pair_as_it_moves_two_keepalived() {
    let story: Story = &[Twist::Fault, Twist::Excluded];
    isolated(|lab| {
        play(
            lab,
            "FAULT on a check, an address that adverts do not list",
            story,
            &[
                (Start(A), "a"),
                (Start(B), "a"),
                (Fail(A), "b"),
                (Fail(B), "-"),
                (Recover(A), "a"),
                (Recover(B), "a"),
            ],
        );
    });
}

#[test]
fn a_value_in_a_file_moves_a_mixed_pair_as_it_moves_two_keepalived() {
    let story: Story = &[Twist::Score];
    isolated(|lab| {
        play(
            lab,
            "a file's value, version 3",
            story,
            &[
                (Start(A), "a"),
                (Start(B), "a"),
                (Value(A, -60), "b"),
                (Value(B, -20), "a"),
                (Value(B, 0), "b"),
                (Value(A, -254), "b"),
                (Value(B, -254), "-"),
                (Value(A, 0), "a"),
            ],
        );
    });
}

#[test]
fn who_does_not_preempt_stays_master_in_a_mixed_pair_as_among_two_keepalived() {
    let story: Story = &[Twist::Version2, Twist::Password, Twist::Patient];
    isolated(|lab| {
        play(
            lab,
            "version 2 with a password, without preemption",
            story,
            &[
                (Start(A), "a"),
                (Start(B), "a"),
                (Stop(A), "b"),
                (Start(A), "b"),
                (Kill(B), "a"),
                (Start(B), "a"),
            ],
        );
    });
}

#[test]
fn a_preempt_delay_holds_a_mixed_pair_up_as_it_holds_two_keepalived_up() {
    let story: Story = &[Twist::PreemptDelay];
    isolated(|lab| {
        play(
            lab,
            "a preempt delay of 8 s",
            story,
            &[
                (Start(B), "b"),
                (Start(A), "b"),
                (Wait(8), "a"),
                (Stop(A), "b"),
                (Start(A), "b"),
                (Wait(8), "a"),
            ],
        );
    });
}

#[test]
fn a_sync_group_of_a_mixed_pair_moves_as_one_of_two_keepalived_does() {
    let story: Story = &[Twist::Group, Twist::Fault];
    isolated(|lab| {
        play(
            lab,
            "a sync group, one member of which has a check that means FAULT",
            story,
            &[
                (Start(B), "b"),
                (Start(A), "a"),
                (Fail(A), "b"),
                (Fail(B), "-"),
                (Recover(A), "a"),
                (Recover(B), "a"),
                (Unplug(A), "b"),
                (Plug(A), "a"),
                (Stop(A), "b"),
                (Start(A), "a"),
                (Kill(A), "b"),
            ],
        );
    });
}

#[test]
fn a_virtual_mac_moves_in_a_mixed_pair_as_it_moves_between_two_keepalived() {
    let story: Story = &[Twist::VirtualMac, Twist::Weight];
    isolated(|lab| {
        play(
            lab,
            "a virtual MAC, a weight of -60 on a check",
            story,
            &[
                (Start(B), "b"),
                (Start(A), "a"),
                (Fail(A), "b"),
                (Recover(A), "a"),
                (Unplug(A), "b"),
                (Plug(A), "a"),
                (Down(A), "b"),
                (Up(A), "a"),
                (Priority(A, 50), "b"),
                (Priority(A, 150), "a"),
                (Stop(A), "b"),
                (Start(A), "a"),
                (Kill(A), "b"),
                (Start(A), "a"),
                (Stop(B), "a"),
                (Stop(A), "-"),
            ],
        );
    });
}

#[test]
fn a_mixed_pair_shares_an_ipv6_address_as_two_keepalived_do() {
    let story: Story = &[Twist::Ipv6];
    isolated(|lab| {
        play(
            lab,
            "IPv6 multicast",
            story,
            &[
                (Start(B), "b"),
                (Start(A), "a"),
                (Stop(A), "b"),
                (Start(A), "a"),
                (Kill(A), "b"),
                (Start(A), "a"),
            ],
        );
    });
}

#[test]
fn a_mixed_pair_shares_an_address_by_unicast_as_two_keepalived_do() {
    let story: Story = &[Twist::Unicast];
    isolated(|lab| {
        play(
            lab,
            "unicast",
            story,
            &[
                (Start(B), "b"),
                (Start(A), "a"),
                (Stop(A), "b"),
                (Start(A), "a"),
                (Unplug(B), "a"),
                (Plug(B), "a"),
            ],
        );
    });
}

/// Two nodes that share an address.
struct Pair {
    name: &'static str,
    nodes: [Place; 2],
    number: u8,
    story: Story,
}

/// A host, what runs there, and with which priority.
struct Place {
    host: Host,
    kind: Kind,
    agent: Option<Box<dyn Agent>>,
    priority: u8,
}

/// Plays a story with all pairs; what is expected is what two keepalived do, which is looked at as well.
fn play(lab: &Lab, what: &str, story: Story, events: &[(Event, &str)]) {
    let client = lab.host("client");
    let sniffer = Sniffer::on(&client);
    let vipd = || Kind::Vipd(Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl")));
    let keepalived = || Kind::Keepalived;
    let mut pairs = [
        Pair::new(lab, "kk", [keepalived(), keepalived()], 1, story),
        Pair::new(lab, "vk", [vipd(), keepalived()], 2, story),
        Pair::new(lab, "kv", [keepalived(), vipd()], 3, story),
        Pair::new(lab, "vv", [vipd(), vipd()], 4, story),
    ];
    let mut table = format!("{what}\n{:20} kk  vk  kv  vv\n", "");
    for (event, expected) in events {
        for pair in &mut pairs {
            pair.happen(*event);
        }
        let seen = settle(&pairs, &sniffer, *event, expected);
        let row = seen.each_ref().map(|holder| format!("{holder:3}")).join(" ");
        writeln!(table, "{:20} {row}", format!("{event:?}")).unwrap();
        if seen.iter().any(|holder| holder != expected) {
            println!("{table}");
            panic!("after {event:?} the holder has to be {expected}: {seen:?}");
        }
    }
    println!("{table}");
}

/// The holders of all pairs, when they are as expected and stay so, or when it has taken too long.
fn settle(pairs: &[Pair; 4], sniffer: &Sniffer, event: Event, expected: &str) -> [String; 4] {
    if let Wait(seconds) = event {
        observe(Duration::from_secs(seconds));
    }
    let look = || {
        let from = now();
        observe(Pair::PATIENCE);
        pairs.each_ref().map(|pair| pair.holder(sniffer, from))
    };
    let good = |holders: &[String; 4]| holders.iter().all(|holder| holder == expected);
    // Before anything can have happened all may be as expected, too.
    observe(Pair::PATIENCE);
    let settled = within(Duration::from_secs(15), || {
        let (first, then) = (look(), look());
        (good(&first) && good(&then)).then_some(then)
    });
    settled.unwrap_or_else(look)
}

impl Pair {
    /// Longer than three intervals and what a check needs: an advert is due in each of these.
    const PATIENCE: Duration = Duration::from_millis(800);

    fn new(lab: &Lab, name: &'static str, kinds: [Kind; 2], number: u8, story: Story) -> Self {
        let [a, b] = kinds;
        let place = |kind, side: &str, priority| {
            let host = lab.host(&format!("{name}{side}"));
            fs::write(host.directory().join("ok"), "").unwrap();
            fs::write(host.directory().join("value"), "0\n").unwrap();
            Place { host, kind, agent: None, priority }
        };
        Self { name, nodes: [place(a, "a", 150), place(b, "b", 100)], number, story }
    }

    fn has(&self, twist: Twist) -> bool {
        self.story.contains(&twist)
    }

    fn address(&self) -> IpAddr {
        let text =
            format!("{}{}", if self.has(Twist::Ipv6) { "2001:db8::" } else { "192.0.2." }, 100 + self.number);
        text.parse().unwrap()
    }

    fn second(&self) -> IpAddr {
        IpAddr::from([192, 0, 2, 120 + self.number])
    }

    fn excluded(&self) -> IpAddr {
        IpAddr::from([192, 0, 2, 110 + self.number])
    }

    /// What a node of it runs.
    fn node(&self, side: Side) -> Node {
        let (own, other) = (&self.nodes[side as usize], &self.nodes[1 - side as usize]);
        let prefix = if self.has(Twist::Ipv6) { 64 } else { 24 };
        let mut router =
            Router::new("web", 50 + self.number, own.priority, &format!("{}/{prefix}", self.address()));
        router = if self.has(Twist::Version2) { router.version(2) } else { router.every(200) };
        if self.has(Twist::Password) {
            router = router.password("sesame");
        }
        if self.has(Twist::Unicast) {
            router = router.unicast(&[own.host.ipv4().into()], &[other.host.ipv4().into()]);
        }
        if self.has(Twist::Patient) {
            router = router.patient();
        }
        if self.has(Twist::PreemptDelay) {
            router = router.vipd("preempt_delay: 8s").keepalived("preempt_delay 8");
        }
        if self.has(Twist::VirtualMac) {
            router = router.vipd("virtual_mac: true").keepalived("use_vmac");
        }
        if self.has(Twist::Excluded) {
            router = router.but_not_listed(&format!("{}/24", self.excluded()));
        }
        let at = |file: &str| own.host.directory().join(file).display().to_string();
        let quick = "interval: 200ms, timeout: 200ms";
        if self.has(Twist::Score) {
            router = router
                .vipd("track: { file: { multiply: 1 } }")
                .keepalived("track_file {\n    file weight 1\n  }");
            let block = format!("track_file file {{\n  file {}\n}}", at("value"));
            return Node::from(router)
                .check("file", &format!("{{ value_file: {}, {quick} }}", at("value")))
                .block(&block);
        }
        if !self.has(Twist::Weight) && !self.has(Twist::Fault) {
            return router.into();
        }
        let effect = if self.has(Twist::Fault) { "fault" } else { "-60" };
        let script = format!("script \"/usr/bin/test -e {}\"\n  interval 1\n  rise 1\n  fall 1", at("ok"));
        let check = format!("{{ file: {}, rise: 1, fall: 1, {quick} }}", at("ok"));
        let node = if self.has(Twist::Group) {
            let second = format!("{}/24", self.second());
            let other = Router::new("db", 60 + self.number, own.priority, &second).every(200);
            Node::from(router).router(other.track("ok", effect)).group("site")
        } else {
            router.track("ok", effect).into()
        };
        node.check("ok", &check).script("ok", &script)
    }

    fn happen(&mut self, event: Event) {
        let place = |side: Side| &self.nodes[side as usize];
        match event {
            Start(side) => {
                let node = self.node(side);
                let place = &mut self.nodes[side as usize];
                place.agent = Some(place.kind.start(&place.host, &node));
            }
            Stop(side) => drop(self.agent(side).process().stop()),
            Kill(side) => self.agent(side).process().kill(),
            Unplug(side) => place(side).host.unplug(),
            Plug(side) => place(side).host.plug(),
            Down(side) => drop(place(side).host.run("ip", &["link", "set", "eth0", "down"])),
            Up(side) => place(side).host.set_up(),
            Fail(side) => fs::remove_file(place(side).host.directory().join("ok")).unwrap(),
            Recover(side) => fs::write(place(side).host.directory().join("ok"), "").unwrap(),
            Value(side, value) => {
                fs::write(place(side).host.directory().join("value"), format!("{value}\n")).unwrap();
            }
            Priority(side, priority) => {
                self.nodes[side as usize].priority = priority;
                let node = self.node(side);
                self.agent(side).reload(&node);
            }
            Wait(_) => {}
        }
    }

    fn agent(&mut self, side: Side) -> &mut dyn Agent {
        self.nodes[side as usize].agent.as_deref_mut().unwrap()
    }

    /// Whether a node has an address where it belongs; with an Ethernet address of its own also as far as the switch knows.
    fn is_at(&self, place: &Place, address: IpAddr) -> bool {
        if !self.has(Twist::VirtualMac) {
            return place.host.holds(address);
        }
        let vrid = 50 + self.number;
        let (mac, link) = (MacAddr::new(0, 0, 0x5e, 0, 1, vrid), format!("vrrp.{vrid}"));
        let prefix = format!("{address}/");
        let held = place.host.addresses(&link).iter().any(|net| net.starts_with(&prefix));
        held && place.host.is_behind_port(mac)
    }

    /// Who advertises since `from`, or by unicast, which a third host does not hear, who has the address; `!` if that does
    /// not have all the addresses.
    fn holder(&self, sniffer: &Sniffer, from: u64) -> String {
        let mut holders = String::new();
        for (place, name) in self.nodes.iter().zip(["a", "b"]) {
            let mut wanted = BTreeSet::from([self.address()]);
            if self.has(Twist::Excluded) {
                wanted.insert(self.excluded());
            }
            if self.has(Twist::Group) {
                wanted.insert(self.second());
            }
            let held = wanted.iter().filter(|address| self.is_at(place, **address)).count();
            let source: IpAddr =
                if self.has(Twist::Ipv6) { place.host.link_local().into() } else { place.host.ipv4().into() };
            let adverts = sniffer.adverts(source);
            let last =
                adverts.iter().rev().find(|(at, advert)| *at >= from && advert.vrid == 50 + self.number);
            let speaks = last.is_some_and(|(_, advert)| advert.priority > 0);
            let holds = if self.has(Twist::Unicast) { held > 0 } else { speaks };
            if holds {
                holders += name;
                holders += if held == wanted.len() { "" } else { "!" };
            }
        }
        if holders.is_empty() { "-".to_owned() } else { holders }
    }
}

impl Drop for Pair {
    /// What was said is worth reading only after a failure.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for place in &mut self.nodes {
            if let Some(agent) = &mut place.agent {
                println!("---- {} of {} said:\n{}", place.host.name(), self.name, agent.process().log());
            }
        }
    }
}
