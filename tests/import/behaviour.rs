//! By behaviour: one file for keepalived, and what `vipctl import` makes of it for vipd, go through the same events in network
//! namespaces. After each of them the same node must hold the same addresses and say the same priorities on the wire, whether
//! both nodes run keepalived, both vipd, or one of each.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use lab::frame::Frame;
use lab::process::Process;
use lab::vipd::Programs;
use lab::{Agent as _, Host, Lab, Sniffer, Vipd, isolated, wait};
use nix::sys::signal::Signal;

/// The file of both nodes: what differs is behind `@lb1` and `@lb2`.
const FILE: &str = "
global_defs {
    vrrp_version 3
    script_user root
    enable_script_security
    vrrp_garp_master_delay 1
}
vrrp_script healthy {
    script \"/usr/bin/test ! -e ${_PWD}/sick\"
    interval 1
    weight -60
}
track_file maintenance {
    file ${_PWD}/maintenance
    weight -1
}
@lb1 $OTHER=192.0.2.2
@lb2 $OTHER=192.0.2.1
$PEERS= \\
unicast_peer { \\
    ${OTHER} \\
}
vrrp_instance A {
    @lb1 state MASTER
    interface eth0
    virtual_router_id 51
    @lb1 priority PRIORITY
    @lb2 priority 100
    advert_int 0.1
    track_script { healthy }
    virtual_ipaddress { 192.0.2.100/24 }
    virtual_ipaddress_excluded { 192.0.2.101/24
        2001:db8::101/64 }
}
vrrp_instance B {
    state BACKUP
    nopreempt
    interface eth0
    virtual_router_id 52
    @lb1 priority 100
    @lb2 priority 150
    advert_int 0.2
    virtual_ipaddress { fe80::52/64
        2001:db8::102/64 }
}
vrrp_instance C {
    interface eth0
    virtual_router_id 53
    version 2
    @lb1 priority 120
    @lb2 priority 110
    authentication { auth_type PASS
        auth_pass sesame }
    @lb1 unicast_src_ip 192.0.2.1
    @lb2 unicast_src_ip 192.0.2.2
    $PEERS
    track_file { maintenance }
    virtual_ipaddress { 192.0.2.103 }
}
";

/// The addresses of each instance. Prefixes are left away: beside an address of the same network vipd's is a /32.
const ADDRESSES: [(char, &[&str]); 3] = [
    ('A', &["192.0.2.100", "192.0.2.101", "2001:db8::101"]),
    ('B', &["2001:db8::102", "fe80::52"]),
    ('C', &["192.0.2.103"]),
];

#[test]
fn keepalived_goes_through_the_events() {
    isolated(|lab| Scene::new(lab, [Program::Keepalived, Program::Keepalived]).play());
}

#[test]
fn vipd_goes_through_the_same_events_with_the_imported_files() {
    isolated(|lab| Scene::new(lab, [Program::Vipd, Program::Vipd]).play());
}

#[test]
fn a_pair_goes_through_the_same_events_when_its_backup_has_moved_to_vipd() {
    isolated(|lab| Scene::new(lab, [Program::Keepalived, Program::Vipd]).play());
}

#[test]
fn a_pair_goes_through_the_same_events_when_its_master_has_moved_to_vipd() {
    isolated(|lab| Scene::new(lab, [Program::Vipd, Program::Keepalived]).play());
}

/// What a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Keepalived,
    Vipd,
}

/// The same while it runs.
enum Running {
    Keepalived(Process),
    Vipd(Vipd),
}

impl Running {
    fn process(&mut self) -> &mut Process {
        match self {
            Self::Keepalived(process) => process,
            Self::Vipd(vipd) => vipd.process(),
        }
    }
}

/// A pair, and a third host that listens.
struct Scene {
    hosts: [Host; 2],
    programs: [Program; 2],
    running: [Option<Running>; 2],
    sniffer: Sniffer,
    /// The node whose addresses nobody looks at: it is dead, and cannot remove them.
    dead: Option<usize>,
    events: usize,
}

/// How long an event may take until everything is as it is to be.
const SOON: Duration = Duration::from_secs(25);

/// How far back adverts count, in nanoseconds.
const LATELY: u64 = 500_000_000;

impl Scene {
    fn new(lab: &Lab, programs: [Program; 2]) -> Self {
        let hosts = [lab.host("lb1"), lab.host("lb2")];
        let client = lab.host("client");
        for host in &hosts {
            fs::write(host.directory().join("maintenance"), "0\n").unwrap();
        }
        let sniffer = Sniffer::on(&client);
        Self { hosts, programs, running: [None, None], sniffer, dead: None, events: 0 }
    }

    /// The 25 events, each with who is master of A, B and C after it, and with which priority of A and B.
    fn play(&mut self) {
        self.start(0);
        self.expect("lb1 starts", "A1:150 B1:100 C1");
        self.start(1);
        self.expect("lb2 starts", "A1:150 B1:100 C1");
        self.sick(0, true);
        self.expect("lb1's script fails", "A2:100 B1:100 C1");
        self.sick(0, false);
        self.expect("lb1's script works again", "A1:150 B1:100 C1");
        self.maintenance(0, 20);
        self.expect("lb1 is put into maintenance", "A1:150 B1:100 C2");
        self.maintenance(0, 0);
        self.expect("lb1's maintenance is over", "A1:150 B1:100 C1");
        self.stop(0);
        self.expect("lb1 stops", "A2:100 B2:150 C2");
        self.start(0);
        self.expect("lb1 starts again", "A1:150 B2:150 C1");
        self.stop(1);
        self.expect("lb2 stops", "A1:150 B1:100 C1");
        self.start(1);
        self.expect("lb2 starts again", "A1:150 B1:100 C1");
        self.hosts[0].run("ip", &["link", "set", "eth0", "down"]);
        self.expect("lb1's interface is set down", "A2:100 B2:150 C2");
        self.hosts[0].set_up();
        self.expect("lb1's interface is set up", "A1:150 B2:150 C1");
        self.reload(0, 90);
        self.expect("lb1 reloads with a lower priority", "A2:100 B2:150 C1");
        self.reload(0, 150);
        self.expect("lb1 reloads with its priority", "A1:150 B2:150 C1");
        self.hosts[0].unplug();
        self.expect("lb1's cable is pulled", "A2:100 B2:150 C2");
        self.hosts[0].plug();
        self.expect("lb1's cable is plugged in", "A1:150 B2:150 C1");
        self.sick(1, true);
        self.expect("lb2's script fails", "A1:150 B2:150 C1");
        self.sick(0, true);
        self.expect("lb1's script fails, too", "A1:90 B2:150 C1");
        self.sick(1, false);
        self.expect("lb2's script works again", "A2:100 B2:150 C1");
        self.sick(0, false);
        self.expect("lb1's script works again, too", "A1:150 B2:150 C1");
        self.delete(0, "192.0.2.100/");
        self.expect("an address of lb1 is deleted", "A1:150 B2:150 C1");
        self.kill(0);
        self.expect("lb1 is killed", "A2:100 B2:150 C2");
        self.start(0);
        self.expect("lb1 starts after its death", "A1:150 B2:150 C1");
        self.hosts[0].cut();
        self.expect("lb1 is cut off", "A2:100 A1 B2:150 B1 C2 C1");
        self.hosts[0].heal();
        self.expect("the network heals", "A1:150 B2:150 C1");
        assert_eq!(self.events, 25);
    }

    fn start(&mut self, node: usize) {
        let host = &self.hosts[node];
        let file = configure(host, 150);
        let path = |name: &str| host.directory().join(name).to_string_lossy().into_owned();
        self.running[node] = Some(match self.programs[node] {
            Program::Keepalived => {
                let (pid, vrrp) = (path("keepalived.pid"), path("vrrp.pid"));
                for stale in [&pid, &vrrp] {
                    fs::remove_file(stale).ok();
                }
                let arguments =
                    ["-n", "-l", "--vrrp", "-i", host.name(), "-f", &file, "-p", &pid, "-r", &vrrp];
                Running::Keepalived(host.spawn(
                    "keepalived",
                    "keepalived",
                    &arguments,
                    &[("TMPDIR", &path(""))],
                ))
            }
            Program::Vipd => Running::Vipd(Vipd::start_file(host, &programs(), &imported(host, &file))),
        });
        self.dead = self.dead.filter(|dead| *dead != node);
    }

    fn stop(&mut self, node: usize) {
        self.running[node].take().unwrap().process().stop();
    }

    fn kill(&mut self, node: usize) {
        self.running[node].take().unwrap().process().kill();
        self.dead = Some(node);
    }

    fn reload(&mut self, node: usize, priority: u8) {
        let host = &self.hosts[node];
        let file = configure(host, priority);
        match self.running[node].as_mut().unwrap() {
            Running::Keepalived(process) => process.signal(Signal::SIGHUP),
            Running::Vipd(vipd) => {
                let (done, _, complaint) = vipd.reload_file(&imported(host, &file));
                assert!(done, "{complaint}");
            }
        }
    }

    fn delete(&self, node: usize, address: &str) {
        let host = &self.hosts[node];
        let net = host.addresses("eth0").into_iter().find(|net| net.starts_with(address)).unwrap();
        host.run("ip", &["address", "del", &net, "dev", "eth0"]);
    }

    fn sick(&self, node: usize, is: bool) {
        let file = self.hosts[node].directory().join("sick");
        if is { fs::write(file, "") } else { fs::remove_file(file) }.unwrap();
    }

    fn maintenance(&self, node: usize, value: u8) {
        fs::write(self.hosts[node].directory().join("maintenance"), format!("{value}\n")).unwrap();
    }

    /// Waits until everything is as `wanted` says: an instance, the node that holds its addresses, and the priority on the wire.
    fn expect(&mut self, event: &str, wanted: &str) {
        self.events += 1;
        let wanted: BTreeSet<String> = wanted.split_whitespace().map(str::to_owned).collect();
        let mut seen = (BTreeSet::new(), BTreeSet::new());
        let settled = wait::within(SOON, || {
            seen = self.seen();
            (seen.0 == self.holders(&wanted) && seen.1 == heard(&wanted)).then_some(())
        });
        assert!(
            settled.is_some(),
            "{}. {event}: {seen:?}, not {wanted:?} ({:?})",
            self.events,
            self.programs
        );
        println!("{:2}. {event}: {}", self.events, wanted.into_iter().collect::<Vec<_>>().join(" "));
    }

    /// The addresses that are to be held, by node.
    fn holders(&self, wanted: &BTreeSet<String>) -> BTreeSet<String> {
        let alive = wanted.iter().filter(|master| node(master) != self.dead);
        let held = |master: &String| {
            let (instance, node) = (master.chars().next().unwrap(), node(master).unwrap() + 1);
            let addresses = ADDRESSES.iter().find(|(name, _)| *name == instance).unwrap().1;
            addresses.iter().map(move |address| format!("lb{node} {address}")).collect::<Vec<_>>()
        };
        alive.flat_map(held).collect()
    }

    /// The addresses that are held, and the adverts that were heard lately: instance, node and priority.
    fn seen(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let all: BTreeSet<&str> =
            ADDRESSES.iter().flat_map(|(_, addresses)| addresses.iter().copied()).collect();
        let mut held = BTreeSet::new();
        for (index, host) in self.hosts.iter().enumerate().filter(|(index, _)| Some(*index) != self.dead) {
            for net in host.addresses("eth0") {
                let address = net.split('/').next().unwrap_or_default();
                if all.contains(address) {
                    held.insert(format!("lb{} {address}", index + 1));
                }
            }
        }
        let heard = self.sniffer.look(|frames| {
            let last = frames.last().map_or(0, |frame| frame.at);
            let lately = frames.iter().rev().take_while(|frame| frame.at + LATELY > last);
            lately.filter_map(|frame| self.advert(frame)).collect()
        });
        (held, heard)
    }

    fn advert(&self, frame: &Frame) -> Option<String> {
        let advert = frame.advert()?;
        let instance = match advert.vrid {
            51 => 'A',
            52 => 'B',
            _ => return None,
        };
        let node = self.hosts.iter().position(|host| {
            [IpAddr::from(host.ipv4()), host.link_local().into()].contains(&advert.source)
        })?;
        Some(format!("{instance}{}:{}", node + 1, advert.priority))
    }
}

/// The node that `A1:150` names, from 0.
fn node(master: &str) -> Option<usize> {
    master.chars().nth(1).and_then(|digit| digit.to_digit(10)).map(|digit| digit as usize - 1)
}

/// What of `wanted` the third host can hear.
fn heard(wanted: &BTreeSet<String>) -> BTreeSet<String> {
    wanted.iter().filter(|master| master.contains(':')).cloned().collect()
}

/// Writes keepalived's file.
fn configure(host: &Host, priority: u8) -> String {
    let file = host.directory().join("keepalived.conf");
    fs::write(&file, FILE.replace("PRIORITY", &priority.to_string())).unwrap();
    file.to_string_lossy().into_owned()
}

/// What `vipctl import` makes of it; nothing may be left out.
pub(crate) fn imported(host: &Host, file: &str) -> String {
    let vipctl = programs().vipctl;
    let output =
        std::process::Command::new(vipctl).args(["import", file, "-i", host.name()]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}
