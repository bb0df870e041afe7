//! What somebody may do to the kernel behind vipd's back, and what becomes of it: noticed, repaired or given up, and told.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::net::IpAddr;
use std::time::Duration;

use lab::probe::Echo;
use lab::vipd::Programs;
use lab::{Host, Lab, Node, Probe, Router, Sniffer, Vipd, claim, isolated, now, until};
use nix::sys::signal::Signal;
use pnet::packet::ethernet::{EtherType, EtherTypes};
use pnet::util::MacAddr;
use vipd::net::Mac;
use vipd::wire::ndp;

/// Milliseconds: a machine that is busy for so long three times over is no master any more.
const INTERVAL: u64 = 300;
const SOON: Duration = Duration::from_secs(15);
/// For what takes some milliseconds, and would last for ever if nobody did anything, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Two addresses in the host's own networks, which go in alone, and two in networks that come with them.
const ALONE: [&str; 2] = ["192.0.2.100/32", "2001:db8::100/128"];
const WITH_NETWORK: [&str; 2] = ["198.51.100.1/24", "2001:db8:1::1/64"];

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

fn node(interval: u64) -> Node {
    let router = Router::new("web", 51, 150, "192.0.2.100/24").every(interval);
    router.and("2001:db8::100/64").and("198.51.100.1/24").and("2001:db8:1::1/64").into()
}

fn address(net: &str) -> IpAddr {
    net.split('/').next().unwrap().parse().unwrap()
}

/// A lone master that serves a client.
struct Site {
    host: Host,
    client: Host,
    vipd: Vipd,
    _echo: Echo,
}

impl Site {
    fn new(lab: &Lab) -> Self {
        Self::every(lab, INTERVAL)
    }

    fn every(lab: &Lab, interval: u64) -> Self {
        let (host, client) = (lab.host("lb1"), lab.host("client"));
        client.run("ip", &["route", "add", "198.51.100.0/24", "dev", "eth0"]);
        client.run("ip", &["route", "add", "2001:db8:1::/64", "dev", "eth0"]);
        let echo = Echo::on(&host);
        let vipd = Vipd::start(&host, &programs(), &node(interval));
        vipd.wait_state("web", "master");
        let site = Self { host, client, vipd, _echo: echo };
        until("all addresses are there", SOON, || site.has_all().then_some(()));
        site
    }

    fn has_all(&self) -> bool {
        let there = self.host.addresses("eth0");
        ALONE.iter().chain(&WITH_NETWORK).all(|net| there.iter().any(|one| one == net))
    }

    fn ip(&self, command: &str) {
        self.host.run("ip", &command.split(' ').collect::<Vec<_>>());
    }

    fn nft(&self, command: &str) {
        self.host.run("nft", &[command]);
    }

    fn events(&self) -> String {
        self.vipd.vipctl(&["events"]).1
    }

    /// Waits for an event after the first `known` that says all of `words`, and prints it.
    fn told(&self, known: usize, words: &[&str]) {
        let line = until(&format!("an event says {words:?}"), SOON, || {
            let events = self.events();
            let mut new = events.lines().skip(known);
            new.find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
        });
        println!("  {line}");
    }

    /// How many events there are.
    fn known(&self) -> usize {
        self.events().lines().count()
    }

    /// Has somebody do something that clients of `net` notice for no longer than `bound`, while the master stays one.
    fn repairs(&self, net: &str, bound: Duration, doing: impl FnOnce(&Self), told: &[&str]) {
        let (since, known) = (self.vipd.instance("web")["since"].clone(), self.known());
        let probe = Probe::start(&self.client, address(net));
        let from = probe.wait_for(&self.host, 0, SOON);
        doing(self);
        let done = now();
        self.told(known, told);
        until("everything is as it was", SOON, || self.has_all().then_some(()));
        let back = probe.wait_for(&self.host, now(), SOON);
        let gap = probe.longest_gap(from, back);
        println!(
            "  {net}: {} ms without an answer, told {} ms after it was done",
            gap.length.as_millis(),
            (back - done) / 1_000_000
        );
        assert!(gap.length < bound, "{gap:?}");
        assert_eq!(self.vipd.instance("web")["since"], since, "it was master all the time");
    }
}

#[test]
fn an_address_that_somebody_deletes_goes_back() {
    isolated(|lab| {
        let site = Site::new(lab);
        for net in ALONE.iter().chain(&WITH_NETWORK) {
            let delete = |site: &Site| site.ip(&format!("address delete {net} dev eth0"));
            site.repairs(net, AT_ONCE, delete, &["somebody removed", net, "it goes back"]);
        }
    });
}

#[test]
fn an_address_whose_local_route_somebody_deletes_is_put_back_anew() {
    isolated(|lab| {
        let site = Site::new(lab);
        for net in ALONE.iter().chain(&WITH_NETWORK) {
            let address = address(net);
            let delete = |site: &Site| site.ip(&format!("route delete local {address} dev eth0 table local"));
            site.repairs(net, AT_ONCE, delete, &["somebody removed the local route", net]);
        }
    });
}

#[test]
fn whoever_keeps_removing_an_address_is_opposed_more_slowly() {
    isolated(|lab| {
        let site = Site::new(lab);
        for _ in 0..6 {
            until("the address is there", SOON, || site.host.holds(address(ALONE[0])).then_some(()));
            site.ip(&format!("address delete {} dev eth0", ALONE[0]));
        }
        site.told(0, &["somebody keeps removing", ALONE[0]]);
        assert!(!site.host.holds(address(ALONE[0])));
        let status = site.vipd.instance("web").to_string();
        assert!(status.contains("another program keeps removing it"), "{status}");
    });
}

/// The name of an object of our table: the first word that begins so.
fn named(site: &Site, prefix: &str) -> String {
    let table = site.host.run("nft", &["list", "table", "netdev", "vipd"]);
    let name = table.split_whitespace().find(|word| word.starts_with(prefix));
    name.unwrap_or_else(|| panic!("no {prefix}: {table}")).to_owned()
}

#[test]
fn a_table_that_somebody_deletes_flushes_or_changes_is_made_again() {
    isolated(|lab| {
        let site = Site::new(lab);
        let (held, chain) = (named(&site, "held4_"), named(&site, "in_"));
        let deeds = [
            "delete table netdev vipd".to_owned(),
            "flush ruleset".to_owned(),
            "flush table netdev vipd".to_owned(),
            format!("flush chain netdev vipd {chain}"),
            format!("flush map netdev vipd {held}"),
            format!("delete element netdev vipd {held} {{ 192.0.2.100 }}"),
        ];
        for deed in deeds {
            let told = ["'netdev vipd'", "it is made again"];
            site.repairs(ALONE[0], AT_ONCE, |site| site.nft(&deed), &told);
            until("the table is whole", SOON, || {
                let table = site.host.run("nft", &["list", "ruleset"]);
                let whole = table.contains("192.0.2.100 : goto") && table.contains(&format!("@{held}"));
                whole.then_some(())
            });
            println!("  ({deed})");
        }
    });
}

#[test]
fn an_instance_whose_lease_somebody_takes_away_is_dark_until_it_has_listened() {
    isolated(|lab| {
        let site = Site::new(lab);
        let (known, lease) = (site.known(), named(&site, "lease4_"));
        let probe = Probe::start(&site.client, address(ALONE[0]));
        let from = probe.wait_for(&site.host, 0, SOON);
        site.nft(&format!("flush set netdev vipd {lease}"));
        site.told(known, &["its lease is over"]);
        site.vipd.wait_state("web", "master");
        let back = probe.wait_for(&site.host, now(), SOON);
        println!("  {} ms without an answer", probe.longest_gap(from, back).length.as_millis());
        until("all addresses are there", SOON, || site.has_all().then_some(()));
    });
}

#[test]
fn an_interface_that_somebody_flushes_is_a_fault_until_it_has_an_address_again() {
    isolated(|lab| {
        let site = Site::new(lab);
        let known = site.known();
        site.ip("address flush dev eth0");
        let fault = site.vipd.wait_state("web", "fault");
        println!("  {}", fault["reason"]);
        site.told(known, &["MASTER -> FAULT", "no IPv4 address of its own"]);
        until("no address of ours is left", SOON, || site.host.addresses("eth0").is_empty().then_some(()));
        site.host.set_up();
        site.vipd.wait_state("web", "master");
        until("all addresses are there", SOON, || site.has_all().then_some(()));
    });
}

#[test]
fn an_address_that_becomes_the_operators_is_left_to_him() {
    isolated(|lab| {
        let site = Site::new(lab);
        // The first is added beside ours, in the second our mark is overwritten.
        for (verb, net) in [("add", "192.0.2.100/24"), ("change", ALONE[1])] {
            let known = site.known();
            site.ip(&format!("address {verb} {net} dev eth0"));
            site.told(known, &["MASTER -> FAULT", net, "is on the interface already and is not ours"]);
            site.vipd.wait_state("web", "fault");
            until("no address of ours is left", SOON, || {
                let ours = [ALONE[0], ALONE[1], WITH_NETWORK[0], WITH_NETWORK[1]].map(str::to_owned);
                let there = site.host.addresses("eth0");
                there.iter().all(|one| one == net || !ours.contains(one)).then_some(())
            });
            assert!(site.host.addresses("eth0").iter().any(|one| one == net), "it is not ours to remove");
            site.ip(&format!("address delete {net} dev eth0"));
            site.vipd.wait_state("web", "master");
            until("all addresses are there", SOON, || site.has_all().then_some(()));
        }
    });
}

#[test]
fn an_interface_that_is_set_down_is_a_fault_and_nobody_is_blamed() {
    isolated(|lab| {
        let site = Site::new(lab);
        let known = site.known();
        site.ip("link set eth0 down");
        site.vipd.wait_state("web", "fault");
        site.told(known, &["MASTER -> FAULT", "eth0 is down"]);
        until("no address of ours is left", SOON, || {
            let there = site.host.addresses("eth0");
            (!ALONE.iter().chain(&WITH_NETWORK).any(|net| there.iter().any(|one| one == net))).then_some(())
        });
        let events = site.events();
        println!("{events}");
        site.host.set_up();
        site.vipd.wait_state("web", "master");
        until("all addresses are there", SOON, || site.has_all().then_some(()));
        assert!(!events.contains("somebody"), "{events}");
    });
}

#[test]
fn an_interface_that_gets_another_name_takes_no_address_with_it_and_may_come_back() {
    isolated(|lab| {
        let site = Site::new(lab);
        let known = site.known();
        site.ip("link set eth0 down");
        site.ip("link set eth0 name lan0");
        site.ip("link set lan0 up");
        site.told(known, &["waiting for interface eth0 to appear"]);
        site.vipd.wait_state("web", "fault");
        until("no address of ours is left", SOON, || {
            let there = site.host.addresses("lan0");
            (!ALONE.iter().chain(&WITH_NETWORK).any(|net| there.iter().any(|one| one == net))).then_some(())
        });
        site.ip("link set lan0 down");
        site.ip("link set lan0 name eth0");
        site.host.set_up();
        site.vipd.wait_state("web", "master");
        until("all addresses are there", SOON, || site.has_all().then_some(()));
        assert_eq!(claim::who_has(&site.client, address(ALONE[0])), [site.host.mac()].into());
    });
}

#[test]
fn an_interface_that_is_renamed_while_it_is_up_is_no_different() {
    isolated(|lab| {
        let site = Site::new(lab);
        if !site.host.try_run("ip", &["link", "set", "eth0", "name", "lan0"]).0 {
            println!("  this kernel renames only what is down");
            return;
        }
        site.vipd.wait_state("web", "fault");
        until("no address of ours is left", SOON, || {
            let there = site.host.addresses("lan0");
            (!ALONE.iter().chain(&WITH_NETWORK).any(|net| there.iter().any(|one| one == net))).then_some(())
        });
        site.ip("link set lan0 name eth0");
        site.vipd.wait_state("web", "master");
        until("all addresses are there", SOON, || site.has_all().then_some(()));
        assert_eq!(claim::who_has(&site.client, address(ALONE[0])), [site.host.mac()].into());
    });
}

#[test]
fn an_interface_that_is_removed_and_made_again_is_served_again() {
    isolated(|lab| {
        let site = Site::new(lab);
        let known = site.known();
        site.ip("link delete eth0");
        site.told(known, &["FAULT: waiting for interface eth0 to appear"]);
        site.ip("link add eth0 type veth peer name far0");
        site.ip("link set far0 up");
        site.host.set_up();
        site.vipd.wait_state("web", "master");
        until("all addresses are there", SOON, || site.has_all().then_some(()));
        assert!(named(&site, "held4_").starts_with("held4_"), "they are gated again");
    });
}

#[test]
fn an_interface_that_moves_to_another_network_and_back_is_served_again() {
    isolated(|lab| {
        let (site, other) = (Site::new(lab), lab.host("other"));
        let known = site.known();
        // Both ways under a name that is free there; at home it has its own again.
        site.ip("link set eth0 netns other name guest0");
        site.told(known, &["FAULT: waiting for interface eth0 to appear"]);
        other.run("ip", &["link", "set", "guest0", "up"]);
        assert_eq!(other.addresses("guest0").iter().filter(|net| !net.starts_with("fe80")).count(), 0);
        other.run("ip", &["link", "set", "guest0", "netns", "lb1", "name", "eth0"]);
        site.host.set_up();
        site.vipd.wait_state("web", "master");
        until("all addresses are there", SOON, || site.has_all().then_some(()));
        assert_eq!(claim::who_has(&site.client, address(ALONE[0])), [site.host.mac()].into());
        assert!(named(&site, "held4_").starts_with("held4_"), "they are gated again");
    });
}

#[test]
fn another_interface_that_takes_the_name_is_served_and_the_first_one_left() {
    isolated(|lab| {
        let site = Site::new(lab);
        site.ip("link add new0 type veth peer name far0");
        site.ip("link set far0 up");
        // In one go, so that the agent may find both changes at once.
        let file = site.host.directory().join("swap");
        std::fs::write(&file, "link set eth0 down\nlink set eth0 name old0\nlink set new0 name eth0\n")
            .unwrap();
        site.ip(&format!("-batch {}", file.display()));
        site.ip("link set old0 up");
        site.host.set_up();
        site.vipd.wait_state("web", "master");
        until("all addresses are there", SOON, || site.has_all().then_some(()));
        until("none is left on the other", SOON, || {
            let there = site.host.addresses("old0");
            (!ALONE.iter().chain(&WITH_NETWORK).any(|net| there.iter().any(|one| one == net))).then_some(())
        });
        let index = site.host.run("cat", &["/sys/class/net/eth0/ifindex"]);
        assert_eq!(named(&site, "held4_"), format!("held4_{}", index.trim()), "they are gated there");
    });
}

/// What says that `address` is at this Ethernet address: destination, type and payload.
fn lie(site: &Site, address: IpAddr, mac: MacAddr) -> (MacAddr, EtherType, Vec<u8>) {
    match address {
        IpAddr::V4(address) => {
            let (destination, ethertype, mut arp) = claim::question(&site.client, address.into());
            // Whoever asks with an address as the sender claims it.
            arp[8..14].copy_from_slice(&mac.octets());
            arp[14..18].copy_from_slice(&address.octets());
            (destination, ethertype, arp)
        }
        IpAddr::V6(address) => {
            let mac = Mac(mac.octets());
            let frame = ndp::unsolicited(mac, address, false);
            let destination = MacAddr::new(0x33, 0x33, 0, 0, 0, 1);
            (destination, EtherTypes::Ipv6, frame[14..].to_vec())
        }
    }
}

#[test]
fn another_host_that_claims_an_ipv4_address_is_contradicted_ever_more_slowly() {
    isolated(|lab| contradicts(&Site::new(lab), address(ALONE[0])));
}

#[test]
fn another_host_that_claims_an_ipv6_address_is_contradicted_ever_more_slowly() {
    isolated(|lab| contradicts(&Site::new(lab), address(ALONE[1])));
}

fn contradicts(site: &Site, address: IpAddr) {
    let (known, sniffer) = (site.known(), Sniffer::on(&site.client));
    let (destination, ethertype, payload) = lie(site, address, MacAddr::new(2, 0, 0, 0, 0x66, 0x66));
    let contradictions = || {
        let frames = sniffer.frames();
        frames.iter().filter(|frame| frame.announced() == Some((address, site.host.mac()))).count()
    };
    let told = format!("02:00:00:00:66:66 claims {address}, which is held here");
    claim::send(&site.client, destination, ethertype, &payload);
    until("it is contradicted", SOON, || (contradictions() == 1).then_some(()));
    site.told(known, &[&told]);
    let mut lies = 1;
    until("it is contradicted again and again", SOON, || {
        claim::send(&site.client, destination, ethertype, &payload);
        lies += 1;
        (contradictions() >= 3).then_some(())
    });
    println!("  {lies} lies, contradicted {} times", contradictions());
    assert!(lies > 5 * contradictions(), "{lies} lies");
    assert_eq!(site.vipd.instance("web")["state"], "master", "it never yields");
    let events = site.events().lines().skip(known).filter(|line| line.contains(&told)).count();
    assert!(lies > 5 * events, "{lies} lies, {events} events");
}

#[test]
fn more_changes_than_can_be_read_are_looked_at_anew() {
    isolated(|lab| {
        // Long enough to stay master without having been awake.
        let site = Site::every(lab, 1000);
        let known = site.known();
        site.ip("link add many0 type veth peer name many1");
        site.ip("link set many0 up");
        let lines: Vec<String> = (0..20_000).map(|n| format!("link set dev many0 alias n{n}\n")).collect();
        let file = site.host.directory().join("many");
        std::fs::write(&file, lines.concat()).unwrap();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(site.vipd.pid()).unwrap());
        nix::sys::signal::kill(pid, Signal::SIGSTOP).unwrap();
        site.ip(&format!("-batch {}", file.display()));
        for net in ALONE {
            site.ip(&format!("address delete {net} dev eth0"));
        }
        for net in WITH_NETWORK {
            site.ip(&format!("route delete local {} dev eth0 table local", address(net)));
        }
        nix::sys::signal::kill(pid, Signal::SIGCONT).unwrap();
        site.told(known, &["reported more changes than were read in time"]);
        site.vipd.wait_state("web", "master");
        until("all addresses are there", SOON, || site.has_all().then_some(()));
        for net in ALONE.iter().chain(&WITH_NETWORK) {
            Probe::start(&site.client, address(net)).wait_for(&site.host, 0, SOON);
        }
    });
}
