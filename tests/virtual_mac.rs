//! Virtual MACs on real agents: what becomes of the links with a virtual router's own Ethernet address when the agent
//! is killed, hangs, is upgraded, stops, or has no more rights than its unit gives it. With keepalived and FRR they are
//! tried in `interop`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use lab::probe::Echo;
use lab::vipd::Programs;
use lab::wait::observe;
use lab::{Agent, Host, Lab, Node, Probe, Router, Sniffer, Tap, Vipd, claim, isolated, now, until};
use pnet::packet::ethernet::{EtherType, EtherTypes, EthernetPacket};
use pnet::util::MacAddr;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

const SOON: Duration = Duration::from_secs(15);
/// So many answers of a thousand each second a client may miss, beyond what a busy machine makes it miss of anything.
const HARDLY: usize = 20;
const FOUR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100));
const SIX: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100));
const LINKS: [&str; 2] = ["vrrp.51", "vrrp6.51"];
const MACS: [MacAddr; 2] = [MacAddr(0, 0, 0x5e, 0, 1, 51), MacAddr(0, 0, 0x5e, 0, 2, 51)];

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

/// An instance with an address of each family on links of its own.
fn router(priority: u8, interval: u64) -> Router {
    let router = Router::new("web", 51, priority, "192.0.2.100/24").every(interval).patient();
    router.and("2001:db8::100/64").vipd("virtual_mac: true")
}

/// A master, a backup, a client that asks both addresses and the host's own once a millisecond, and all that comes to
/// the client's table of neighbours.
struct Pair {
    lb1: Host,
    lb2: Host,
    client: Host,
    first: Vipd,
    second: Vipd,
    probes: [Probe; 2],
    usual: Probe,
    neighbours: lab::Process,
    sniffer: Sniffer,
    _echoes: [Echo; 2],
}

impl Pair {
    fn start(lab: &Lab, router: impl Fn(u8) -> Router) -> Self {
        let (lb1, lb2, client) = (lab.host("lb1"), lab.host("lb2"), lab.host("client"));
        let sniffer = Sniffer::on(&client);
        let neighbours = client.spawn("neighbours", "ip", &["monitor", "neigh"], &[]);
        let first = Vipd::start(&lb1, &programs(), &router(150).into());
        first.wait_state("web", "master");
        let second = Vipd::start(&lb2, &programs(), &router(100).into());
        until("lb2 knows the master", SOON, || {
            let routers = second.instance("web")["routers"].clone();
            routers.as_array()?.iter().all(|router| router["master"]["priority"] == 150).then_some(())
        });
        let echoes = [Echo::on(&lb1), Echo::on(&lb2)];
        let probes = [FOUR, SIX].map(|address| Probe::start(&client, address));
        let usual = Probe::start(&client, lb1.ipv4().into());
        for probe in probes.iter().chain([&usual]) {
            probe.wait_for(&lb1, 0, SOON);
        }
        Self { lb1, lb2, client, first, second, probes, usual, neighbours, sniffer, _echoes: echoes }
    }

    /// Starts lb1's agent again, as it is configured.
    fn restart(&mut self) {
        let file = fs::read_to_string(self.first.file()).unwrap();
        self.first = Vipd::start_file(&self.lb1, &programs(), &file);
    }

    /// Waits until both addresses have been announced from the virtual Ethernet addresses.
    fn wait_announced(&self, from: u64) {
        until("both addresses are announced", SOON, || {
            let announced = |(address, mac): (IpAddr, MacAddr)| {
                self.sniffer.announcements(mac, from).iter().any(|(_, about)| *about == address)
            };
            [(FOUR, MACS[0]), (SIX, MACS[1])].into_iter().all(announced).then_some(())
        });
    }

    /// Every Ethernet address that the client has had for the two addresses.
    fn known(&self) -> BTreeSet<(String, String)> {
        let log = self.neighbours.log();
        let entries = log.lines().filter_map(|line| {
            let words: Vec<&str> = line.trim_start_matches("Deleted ").split_whitespace().collect();
            let at = words.iter().position(|word| *word == "lladdr")?;
            Some((words[0].to_owned(), (*words.get(at + 1)?).to_owned()))
        });
        entries.filter(|(address, _)| [FOUR, SIX].iter().any(|ip| ip.to_string() == *address)).collect()
    }
}

/// The links of a host's virtual routers: number, name, whether up, and the addresses that are there.
fn links(host: &Host) -> Vec<(u64, String, bool, Vec<String>)> {
    let listed = host.run("ip", &["-json", "address", "show", "group", "112"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let link = |link: &Value| {
        let name = link["ifname"].as_str().unwrap().to_owned();
        let up = link["flags"].as_array().unwrap().contains(&json!("UP"));
        let addresses = host.addresses(&name);
        (link["ifindex"].as_u64().unwrap(), name, up, addresses)
    };
    listed.as_array().unwrap().iter().filter(|link| link["ifname"].is_string()).map(link).collect()
}

fn has_links(host: &Host) -> bool {
    let shown = links(host);
    shown.len() == 2 && shown.iter().all(|(_, _, up, addresses)| *up && addresses.len() == 1)
}

/// Who answers for both addresses: the Ethernet addresses, by family.
fn answering(client: &Host) -> [BTreeSet<MacAddr>; 2] {
    [FOUR, SIX].map(|address| claim::who_has(client, address))
}

fn virtual_alone() -> [BTreeSet<MacAddr>; 2] {
    MACS.map(|mac| [mac].into())
}

/// How often an agent changed its state.
fn transitions(vipd: &Vipd) -> usize {
    vipd.log().matches(" -> ").count()
}

/// The master's agent is replaced by another one within its lease: links, addresses and Ethernet addresses stay as they
/// are, no question goes unanswered, and the other node does not move.
fn goes_on(lab: &Lab, router: impl Fn(u8) -> Router, replace: impl Fn(&mut Pair)) {
    let mut pair = Pair::start(lab, router);
    let (before, moved) = (links(&pair.lb1), transitions(&pair.second));
    assert!(has_links(&pair.lb1), "{before:?}");
    let from = now();
    replace(&mut pair);
    let adopted = pair.first.wait_state("web", "master");
    assert!(adopted["reason"].as_str().unwrap().starts_with("adopted from "), "{adopted}");
    // Longer than the lease that was inherited.
    observe(Duration::from_secs(4));
    let to = now();
    observe(Duration::from_millis(100));
    assert_eq!(links(&pair.lb1), before, "no link was made again, or set down and up");
    let usual = pair.usual.lost(from, to);
    for (probe, address) in pair.probes.iter().zip([FOUR, SIX]) {
        let lost = probe.lost(from, to);
        println!("{address}: {lost:?}; the host's own address: {usual:?}");
        assert!(lost.count < usual.count + HARDLY, "{lost:?}, {usual:?}");
        assert_eq!(probe.count(from, to).into_keys().collect::<Vec<_>>(), [pair.lb1.number()]);
    }
    let expected = [(FOUR, MACS[0]), (SIX, MACS[1])].map(|(ip, mac)| (ip.to_string(), mac.to_string()));
    assert_eq!(pair.known(), expected.into(), "{}", pair.neighbours.log());
    assert_eq!(answering(&pair.client), virtual_alone());
    let peer = pair.second.instance("web");
    assert_eq!((&peer["state"], transitions(&pair.second)), (&"backup".into(), moved), "{peer}");
}

#[test]
fn a_master_with_a_virtual_mac_that_is_killed_and_started_again_is_not_missed() {
    isolated(|lab| {
        goes_on(
            lab,
            |priority| router(priority, 1000),
            |pair| {
                pair.first.process().kill();
                pair.restart();
            },
        );
    });
}

#[test]
fn an_upgrade_of_a_master_with_a_virtual_mac_is_not_missed() {
    isolated(|lab| {
        goes_on(
            lab,
            |priority| router(priority, 1000),
            |pair| {
                let (done, said, complaint) = pair.first.vipctl(&["upgrade"]);
                assert!(done && said.ends_with(" goes on\n"), "{said}{complaint}");
            },
        );
    });
}

/// All that an agent may have left: links, addresses, routes, rules, group memberships, packet filter and settings.
fn kernel(host: &Host) -> Vec<String> {
    let shown = [
        ("ip", &["-oneline", "link", "show"][..]),
        ("ip", &["-oneline", "address", "show"]),
        ("ip", &["-4", "route", "show", "table", "all"]),
        ("ip", &["-6", "route", "show", "table", "all"]),
        ("ip", &["-4", "rule", "show"]),
        ("ip", &["-6", "rule", "show"]),
        ("ip", &["maddress", "show"]),
        ("nft", &["list", "ruleset"]),
    ];
    let shown = shown.map(|(program, arguments)| host.run(program, arguments));
    // Some settings cannot be read, which grep reports.
    let (_, settings, _) =
        host.try_run("grep", &["-r", ".", "/proc/sys/net/ipv4/conf", "/proc/sys/net/ipv6/conf"]);
    let mut settings: Vec<String> = settings.lines().map(str::to_owned).collect();
    assert!(settings.len() > 100, "they were read: {settings:?}");
    settings.sort();
    shown.iter().flat_map(|text| text.lines().map(str::to_owned)).chain(settings).collect()
}

/// What is there now and was not before, or the other way round.
fn differences(before: &[String], after: &[String]) -> Vec<String> {
    let side = |sign, these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).map(|line| format!("{sign} {line}")).collect()
    };
    [side('-', before, after), side('+', after, before)].concat()
}

/// A master with things beside it that look like its own; and what the kernel had before it came.
fn master_beside_others(lab: &Lab) -> (Host, Vipd, Vec<String>) {
    let host = lab.host("lb1");
    let mac = ["address", "00:00:5e:00:01:34"];
    host.run("ip", &[&["link", "add", "vrrp.52", "link", "eth0"], &mac[..], &["type", "macvlan"]].concat());
    host.run("nft", &["add table netdev other"]);
    let before = kernel(&host);
    let vipd = Vipd::start(&host, &programs(), &router(150, 100).into());
    until("it has its links", SOON, || has_links(&host).then_some(()));
    assert!(differences(&before, &kernel(&host)).len() > 8);
    (host, vipd, before)
}

#[test]
fn a_stop_leaves_neither_link_nor_setting_nor_rule_behind() {
    isolated(|lab| {
        let (host, mut vipd, before) = master_beside_others(lab);
        assert!(vipd.process().stop().success());
        assert_eq!(differences(&before, &kernel(&host)), [""; 0]);
    });
}

#[test]
fn a_flush_leaves_neither_link_nor_setting_nor_rule_behind() {
    isolated(|lab| {
        let (host, mut vipd, before) = master_beside_others(lab);
        vipd.process().kill();
        assert!(has_links(&host));
        let directory = host.directory().join("vipd");
        let said = host.run(
            &programs().vipd.to_string_lossy(),
            &["flush", "--runtime-dir", &directory.to_string_lossy()],
        );
        for link in LINKS {
            assert!(said.contains(&format!("removed {link}\n")), "{said}");
        }
        assert_eq!(differences(&before, &kernel(&host)), [""; 0], "{said}");
    });
}

/// Two sockets of some program of the host's, which join a group of each family by its links with virtual MACs: the
/// kernel says so to all, of its own accord.
#[test]
fn a_flush_takes_links_that_somebody_has_given_another_name_group_or_ethernet_address() {
    isolated(|lab| {
        let (host, mut vipd, before) = master_beside_others(lab);
        vipd.process().kill();
        host.run("ip", &["link", "set", LINKS[0], "address", "02:00:00:00:00:09"]);
        host.run("ip", &["link", "set", LINKS[0], "name", "mine"]);
        host.run("ip", &["link", "set", LINKS[1], "group", "default"]);
        let directory = host.directory().join("vipd");
        let said = host.run(
            &programs().vipd.to_string_lossy(),
            &["flush", "--runtime-dir", &directory.to_string_lossy()],
        );
        assert!(said.contains("removed mine\n"), "{said}");
        assert_eq!(differences(&before, &kernel(&host)), [""; 0], "{said}");
    });
}

#[test]
fn a_master_goes_on_when_somebody_deletes_its_link_or_changes_the_links_ethernet_address() {
    isolated(|lab| {
        let (host, mut vipd, before) = master_beside_others(lab);
        let all = links(&host);
        host.run("ip", &["link", "delete", LINKS[0]]);
        let like_before = |link: &(u64, String, bool, Vec<String>)| link.1 == LINKS[0] && link.2;
        until("the link is back", SOON, || {
            let now = links(&host);
            let new = now.iter().filter(|link| !all.contains(link)).any(like_before);
            (new && now.len() == all.len() && now.iter().all(|link| !link.3.is_empty())).then_some(())
        });
        host.run("ip", &["link", "set", LINKS[1], "address", "02:00:00:00:00:09"]);
        until("it has its address again", SOON, || {
            let shown = host.run("ip", &["-oneline", "link", "show", LINKS[1]]);
            shown.contains(&MACS[1].to_string()).then_some(())
        });
        let (_, said, _) = vipd.vipctl(&["events"]);
        assert!(said.contains("somebody removed vrrp.51; it is made again"), "{said}");
        assert!(said.contains("somebody gave vrrp6.51 another Ethernet address"), "{said}");
        assert!(!said.contains("FAULT"), "{said}");
        assert!(vipd.process().stop().success());
        assert_eq!(differences(&before, &kernel(&host)), [""; 0]);
    });
}

fn join(host: &Host, at: u8) -> [Socket; 2] {
    host.inside(|| {
        let index = |name| nix::net::if_::if_nametoindex(name).unwrap();
        let four = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        let by = socket2::InterfaceIndexOrAddress::Index(index(LINKS[0]));
        four.join_multicast_v4_n(&Ipv4Addr::new(239, 1, 1, at), &by).unwrap();
        let six = Socket::new(Domain::IPV6, Type::DGRAM, None).unwrap();
        let group = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 1, at.into());
        six.join_multicast_v6(&group, index(LINKS[1])).unwrap();
        [four, six]
    })
}

/// The client asks who listens to which groups: a general query of IGMP 2 and one of MLD.
fn ask_for_members(client: &Host) {
    let [a, b, c, d] = client.ipv4().octets();
    let mut igmp = vec![0x46, 0xc0, 0, 32, 0, 0, 0, 0, 1, 2, 0, 0, a, b, c, d, 224, 0, 0, 1, 0x94, 4, 0, 0];
    let sum = checksum(&igmp).to_be_bytes();
    igmp[10..12].copy_from_slice(&sum);
    // Answers are due within 0.1 s.
    igmp.extend([0x11, 1, 0xee, 0xfe, 0, 0, 0, 0]);
    claim::send(client, MacAddr(1, 0, 0x5e, 0, 0, 1), EtherTypes::Ipv4, &igmp);
    let (from, to) = (client.link_local(), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
    let mut mld = [vec![130, 0, 0, 0, 0, 100, 0, 0], vec![0; 16]].concat();
    let pseudo = [&from.octets()[..], &to.octets(), &[0, 0, 0, 24, 0, 0, 0, 58], &mld].concat();
    let sum = checksum(&pseudo).to_be_bytes();
    mld[2..4].copy_from_slice(&sum);
    let header = [&[0x60, 0, 0, 0, 0, 32, 0, 1][..], &from.octets(), &to.octets()].concat();
    let packet = [&header[..], &[58, 0, 5, 2, 0, 0, 1, 0], &mld].concat();
    claim::send(client, MacAddr(0x33, 0x33, 0, 0, 0, 1), EtherTypes::Ipv6, &packet);
}

/// The checksum of RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum >> 16) + (sum & 0xffff);
    !u16::try_from((folded >> 16) + (folded & 0xffff)).unwrap()
}

/// What left a host's port from a virtual Ethernet address, by type, with the protocol of what is IP.
fn left_from_virtual(tap: &Tap) -> Vec<(u64, MacAddr, EtherType, Option<u8>)> {
    let mut frames = Vec::new();
    tap.drain(|at, bytes| {
        let Some(frame) = EthernetPacket::new(bytes) else { return };
        if MACS.contains(&frame.get_source()) {
            let protocol = match frame.get_ethertype() {
                EtherTypes::Ipv4 => Some(bytes[23]),
                // Behind the hop-by-hop options there is ICMPv6 alone.
                EtherTypes::Ipv6 => Some(if bytes[20] == 0 { bytes[54] } else { bytes[20] }),
                _ => None,
            };
            frames.push((at, frame.get_source(), frame.get_ethertype(), protocol));
        }
    });
    frames
}

const IGMP: u8 = 2;
const ICMPV6: u8 = 58;

/// A master ends, or does nothing any more; its kernel goes on, and is asked this and that. With adverts every 200 ms its
/// lease is over 600 ms after the last one.
fn falls_silent(lab: &Lab, end: impl Fn(&mut Vipd)) -> Pair {
    let mut pair = Pair::start(lab, |priority| router(priority, 200));
    let tap = Tap::at_port(&pair.lb1);
    let _joined = join(&pair.lb1, 1);
    ask_for_members(&pair.client);
    let mut said = BTreeSet::new();
    until("the live master's kernel speaks of groups", SOON, || {
        said.extend(left_from_virtual(&tap).into_iter().filter_map(|(_, _, _, protocol)| protocol));
        (said.contains(&IGMP) && said.contains(&ICMPV6)).then_some(())
    });
    end(&mut pair.first);
    let ended = now();
    pair.second.wait_state("web", "master");
    for probe in &pair.probes {
        probe.wait_for(&pair.lb2, ended, SOON);
    }
    pair.wait_announced(ended);
    assert!(has_links(&pair.lb1), "nobody could remove them");
    let over = ended + 620_000_000;
    let _joined_in_the_dark = join(&pair.lb1, 2);
    for _ in 0..5 {
        ask_for_members(&pair.client);
        // Two masters would be two answers with one Ethernet address: whose they are the port tells.
        assert_eq!(answering(&pair.client), virtual_alone());
        observe(Duration::from_millis(200));
    }
    let late: Vec<_> = left_from_virtual(&tap).into_iter().filter(|(at, ..)| *at > over).collect();
    assert!(late.is_empty(), "lb1 speaks from a virtual Ethernet address in the dark: {late:?}");
    for probe in &pair.probes {
        let counts = probe.count(over, now());
        assert_eq!(counts.into_keys().collect::<Vec<_>>(), [pair.lb2.number()]);
    }
    pair
}

#[test]
fn a_killed_masters_links_fall_silent_as_a_whole() {
    isolated(|lab| {
        falls_silent(lab, |vipd| vipd.process().kill());
    });
}

#[test]
fn a_hanging_masters_links_fall_silent_as_a_whole_and_stay_so_when_it_goes_on() {
    isolated(|lab| {
        let mut pair = falls_silent(lab, |vipd| vipd.process().freeze());
        let tap = Tap::at_port(&pair.lb1);
        pair.first.process().thaw();
        pair.first.wait_state("web", "backup");
        until("its links are down, and empty", SOON, || {
            links(&pair.lb1).iter().all(|(_, _, up, addresses)| !up && addresses.is_empty()).then_some(())
        });
        assert_eq!(left_from_virtual(&tap), []);
    });
}

/// As the unit runs the agent: another user with two ambient capabilities, and settings of the kernel that cannot be
/// written to.
fn as_the_unit(host: &Host) -> Programs {
    let (installed, wrapper) = (host.directory().join("installed"), host.directory().join("wrapper"));
    fs::copy(env!("CARGO_BIN_EXE_vipd"), &installed).unwrap();
    let rights = "+net_admin,+net_raw";
    let script = format!(
        "#!/bin/sh\nmount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys || exit 1\n\
         exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all,{rights} \\\n\
         --ambient-caps=-all,{rights} --bounding-set=-all,{rights} --no-new-privs {} \"$@\"\n",
        installed.display()
    );
    let inner = host.directory().join("inner");
    let outer = format!("#!/bin/sh\nexec unshare --mount {} \"$@\"\n", inner.display());
    for (file, text) in [(&inner, script), (&wrapper, outer)] {
        fs::write(file, text).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::create_dir_all(host.directory().join("vipd")).unwrap();
    std::os::unix::fs::chown(host.directory().join("vipd"), Some(65534), Some(65534)).unwrap();
    Programs::at(&wrapper, env!("CARGO_BIN_EXE_vipctl"))
}

#[test]
fn an_agent_with_the_units_rights_alone_has_a_virtual_mac() {
    isolated(|lab| {
        let (host, client) = (lab.host("lb1"), lab.host("client"));
        // As distributions have them.
        for (key, value) in [("ipv4/conf/all/rp_filter", "1"), ("ipv4/conf/default/rp_filter", "1")] {
            host.inside(|| fs::write(format!("/proc/sys/net/{key}"), value)).unwrap();
        }
        let before = kernel(&host);
        let programs = as_the_unit(&host);
        let node: Node = router(150, 200).into();
        let mut vipd = Vipd::start(&host, &programs, &node);
        vipd.wait_state("web", "master");
        until("it has its links", SOON, || has_links(&host).then_some(()));
        let status = host.run("cat", &[&format!("/proc/{}/status", vipd.pid())]);
        assert!(
            status.contains("Uid:\t65534\t65534") && status.contains("CapEff:\t0000000000003000"),
            "{status}"
        );
        assert_eq!(answering(&client), virtual_alone());
        let _echo = Echo::on(&host);
        for address in [FOUR, SIX] {
            Probe::start(&client, address).wait_for(&host, 0, SOON);
        }
        let (done, _, complaint) = vipd.vipctl(&["upgrade"]);
        assert!(done, "{complaint}");
        vipd.wait_state("web", "master");
        // What somebody changes it sets right.
        let setting = "/proc/sys/net/ipv4/conf/vrrp.51/arp_ignore";
        host.inside(|| fs::write(setting, "0")).unwrap();
        until("it is as before", SOON, || {
            (host.inside(|| fs::read_to_string(setting)).unwrap() == "1\n").then_some(())
        });
        vipd.process().kill();
        let mut vipd = Vipd::start(&host, &programs, &node);
        vipd.wait_state("web", "master");
        assert_eq!(vipd.status()["warnings"], json!([]));
        assert!(vipd.process().stop().success());
        assert_eq!(differences(&before, &kernel(&host)), [""; 0]);
    });
}

#[test]
fn the_status_shows_the_links_of_a_master_and_of_a_backup() {
    isolated(|lab| {
        let pair = Pair::start(lab, |priority| router(priority, 200));
        for (vipd, state) in [(&pair.first, "up"), (&pair.second, "down")] {
            let link = |family: &str, at: usize| {
                let (name, mac) = (LINKS[at], MACS[at].to_string());
                json!({"family": family, "name": name, "mac_address": mac, "state": state, "trouble": null})
            };
            assert_eq!(vipd.instance("web")["virtual_links"], json!([link("ipv4", 0), link("ipv6", 1)]));
            let (_, text, _) = vipd.vipctl(&["status", "web"]);
            assert!(
                text.contains(&format!("  links       vrrp.51 with 00:00:5e:00:01:33  {state}\n")),
                "{text}"
            );
        }
    });
}

const KEY: &str = "authentication: { type: hmac, keys: { 1: \"a key of more than thirty-two characters\" } }";

/// Signed adverts are longer, and the lease hangs on them all the same.
#[test]
fn signed_adverts_keep_a_virtual_mac_where_it_is_over_a_crash() {
    isolated(|lab| {
        goes_on(
            lab,
            |priority| router(priority, 1000).vipd(KEY),
            |pair| {
                pair.first.process().kill();
                pair.restart();
            },
        );
    });
}

#[test]
fn two_vipds_that_sign_hand_a_virtual_mac_over_and_take_it_from_a_dead_one() {
    isolated(|lab| {
        let mut pair = Pair::start(lab, |priority| router(priority, 200).vipd(KEY));
        let counters = |vipd: &Vipd| vipd.instance("web")["routers"][0]["counters"].clone();
        until("the backup believes what is signed", SOON, || {
            (counters(&pair.second)["signed_adverts"].as_u64()? > 20).then_some(())
        });
        assert_eq!(counters(&pair.second)["unsigned_adverts"], 0);
        assert_eq!(counters(&pair.second)["discarded"], json!({}));
        // Two leases have passed.
        assert_eq!(answering(&pair.client), virtual_alone());
        let from = now();
        pair.first.process().stop();
        for probe in &pair.probes {
            probe.wait_for(&pair.lb2, from, SOON);
        }
        pair.wait_announced(from);
        assert_eq!(links(&pair.lb1), []);
        assert!(has_links(&pair.lb2));
        pair.restart();
        pair.first.wait_state("web", "backup");
        let from = now();
        pair.second.process().kill();
        for probe in &pair.probes {
            probe.wait_for(&pair.lb1, from, SOON);
        }
        assert_eq!(answering(&pair.client), virtual_alone());
        let expected = [(FOUR, MACS[0]), (SIX, MACS[1])].map(|(ip, mac)| (ip.to_string(), mac.to_string()));
        assert_eq!(pair.known(), expected.into());
    });
}
