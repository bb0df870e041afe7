//! A pair of vipd whose master is killed or restarted: what becomes of the addresses it had.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::net::IpAddr;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use lab::network::holders;
use lab::probe::Echo;
use lab::vipd::Programs;
use lab::{Agent, Host, Lab, Node, Probe, Router, Sniffer, Vipd, claim, isolated, now, until};
use nix::sys::signal::Signal;

const SOON: Duration = Duration::from_secs(15);
/// So many answers of a thousand each second a client may miss, beyond what a busy machine makes it miss of anything.
const HARDLY: usize = 20;
const FOUR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 100));

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

/// An instance with an address of each family.
fn node(priority: u8, interval: u64) -> Node {
    let router = Router::new("web", 51, priority, "192.0.2.100/24").every(interval);
    Node::from(router.and("2001:db8::100/64"))
}

/// A master alone.
fn alone(lab: &Lab) -> (Host, Vipd) {
    let host = lab.host("lb1");
    let vipd = Vipd::start(&host, &programs(), &node(150, 100));
    until("it has the addresses", SOON, || holds(&host).then_some(()));
    (host, vipd)
}

fn holds(host: &Host) -> bool {
    !holders(&[host], FOUR).is_empty() && !holders(&[host], "2001:db8::100".parse().unwrap()).is_empty()
}

fn flush(host: &Host, arguments: &[&str]) -> (bool, String, String) {
    let directory = host.directory().join("vipd");
    let directory = directory.to_string_lossy();
    let all = [&["flush", "--runtime-dir", &directory], arguments].concat();
    host.try_run(&programs().vipd.to_string_lossy(), &all)
}

#[test]
fn a_flush_removes_what_a_dead_agent_left_and_nothing_else() {
    isolated(|lab| {
        let (host, mut vipd) = alone(lab);
        host.run("ip", &["address", "add", "192.0.2.77/24", "dev", "eth0"]);
        host.run("nft", &["add table netdev other"]);
        vipd.process().kill();
        let (left, said, _) = flush(&host, &["--after", "signal"]);
        assert!(left && said.starts_with("nothing removed: ") && holds(&host), "{said}");
        // A configuration that cannot be read is none of its business.
        let (done, said, complaint) = flush(&host, &["--config", "/nowhere"]);
        assert!(done, "{complaint}");
        let lines: Vec<_> = said.lines().collect();
        let form = |net: &str| format!("removed {net} from eth0");
        let table = "removed the nftables table 'netdev vipd'".to_owned();
        let resigned = |to: &str| format!("resigned to {to} with priority 0");
        let removed = [form("192.0.2.100/32"), form("2001:db8::100/128"), table];
        assert_eq!(lines, [&[resigned("224.0.0.18"), resigned("ff02::12")], &removed[..]].concat());
        assert!(!holds(&host));
        let mine = ["192.0.2.1/24", "192.0.2.77/24"];
        assert!(mine.iter().all(|net| host.addresses("eth0").iter().any(|has| has == net)));
        assert_eq!(host.run("nft", &["list", "tables"]), "table netdev other\n");
        let (done, said, _) = flush(&host, &["--after", "success"]);
        assert_eq!((done, said.as_str()), (true, "nothing of an agent's is left\n"));
    });
}

/// An agent that comes up, fails and is started again may be stopped while none runs.
#[test]
fn a_flush_before_an_agent_that_cannot_adopt_any_more_leaves_only_what_it_was_told() {
    isolated(|lab| {
        let host = lab.host("lb1");
        let mut vipd = Vipd::start(&host, &programs(), &node(150, 100));
        vipd.wait_state("web", "master");
        let state = host.directory().join("vipd/state.json");
        until("there is a state file", SOON, || state.exists().then_some(()));
        vipd.process().kill();
        let said = until("its lease is over", SOON, || {
            let (done, said, _) = flush(&host, &["--after", "exit-code"]);
            (done && !said.starts_with("nothing removed: ")).then_some(said)
        });
        assert!(said.starts_with("removed ") && said.ends_with("'netdev vipd'\n"), "{said}");
        assert!(!holds(&host) && state.exists());
        assert!(flush(&host, &[]).0);
        assert!(!state.exists());
    });
}

#[test]
fn a_flush_refuses_beside_a_live_agent() {
    isolated(|lab| {
        let (host, _vipd) = alone(lab);
        let (done, _, complaint) = flush(&host, &[]);
        assert!(!done && complaint.contains("another agent is running in "), "{complaint}");
        assert!(holds(&host));
    });
}

/// A master, a backup that stays one unless the master is gone, and a client that asks both addresses once a
/// millisecond.
struct Pair {
    lb1: Host,
    lb2: Host,
    client: Host,
    first: Vipd,
    second: Vipd,
    probes: [Probe; 2],
    _echoes: [Echo; 2],
}

impl Pair {
    fn start(lab: &Lab, interval: u64) -> Self {
        let (lb1, lb2, client) = (lab.host("lb1"), lab.host("lb2"), lab.host("client"));
        let patient = |priority| {
            let mut node = node(priority, interval);
            node.routers[0].preempt = false;
            node
        };
        let first = Vipd::start(&lb1, &programs(), &patient(150));
        first.wait_state("web", "master");
        let second = Vipd::start(&lb2, &programs(), &patient(100));
        until("lb2 knows the master", SOON, || {
            let routers = second.instance("web")["routers"].clone();
            routers.as_array()?.iter().all(|router| router["master"]["priority"] == 150).then_some(())
        });
        let echoes = [Echo::on(&lb1), Echo::on(&lb2)];
        let probes = [FOUR, six()].map(|address| Probe::start(&client, address));
        for probe in &probes {
            probe.wait_for(&lb1, 0, SOON);
        }
        Self { lb1, lb2, client, first, second, probes, _echoes: echoes }
    }

    /// Starts lb1's agent again, as it is configured.
    fn restart(&mut self) {
        let file = std::fs::read_to_string(self.first.file()).unwrap();
        self.first = Vipd::start_file(&self.lb1, &programs(), &file);
    }

    fn log(&self) -> String {
        self.first.log()
    }
}

fn six() -> IpAddr {
    "2001:db8::100".parse().unwrap()
}

/// The agent of a master ends and comes back within its lease: nobody notices.
fn comes_back(lab: &Lab, end: impl Fn(&mut Vipd)) {
    goes_on(lab, |pair| {
        end(&mut pair.first);
        pair.restart();
    });
}

/// How often an agent changed its state.
fn transitions(vipd: &Vipd) -> usize {
    vipd.log().matches(" -> ").count()
}

/// Whatever becomes of the master's agent: nobody notices.
fn goes_on(lab: &Lab, change: impl Fn(&mut Pair)) {
    let mut pair = Pair::start(lab, 1000);
    let sniffer = Sniffer::on(&pair.client);
    let source = IpAddr::from(pair.lb1.ipv4());
    let before = transitions(&pair.second);
    let usual = Probe::start(&pair.client, source);
    usual.wait_for(&pair.lb1, 0, SOON);
    let from = now();
    sniffer.wait_advert("an advert of lb1", SOON, from, |advert| advert.source == source);
    change(&mut pair);
    let adopted = pair.first.wait_state("web", "master");
    assert!(adopted["reason"].as_str().unwrap().starts_with("adopted from "), "{adopted}");
    assert_eq!(claim::who_has(&pair.client, FOUR), [pair.lb1.mac()].into());
    // Adverts go on as before, and the lease with them.
    lab::wait::observe(Duration::from_secs(4));
    let to = now();
    // A millisecond without an answer may be the machine's: what was asked late is answered late. What is lost is not.
    let lost = |probe: &Probe| {
        let asked = usize::try_from((to - from) / 1_000_000).unwrap();
        asked.saturating_sub(probe.between(from, to).len())
    };
    for (probe, address) in pair.probes.iter().zip([FOUR, six()]) {
        let (gap, machine) = (probe.longest_gap(from, to), usual.longest_gap(from, to));
        println!(
            "{address}: {:?} without an answer, {:?} for the host's own address",
            gap.length, machine.length
        );
        assert!(lost(probe) < lost(&usual) + HARDLY, "{} answers are lost; {gap:?}", lost(probe));
        assert_eq!(probe.count(from, to).into_keys().collect::<Vec<_>>(), [pair.lb1.number()]);
    }
    let adverts = sniffer.adverts(source);
    assert!(adverts.iter().all(|(_, advert)| advert.priority == 150));
    let longest = adverts.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap();
    assert!(longest < 1_500_000_000, "{longest} ns without an advert");
    let peer = pair.second.instance("web");
    assert_eq!((&peer["state"], transitions(&pair.second)), (&"backup".into(), before), "{peer}");
}

/// The kernel's numbers of the raw sockets of protocol 112.
fn protocol_sockets(host: &Host) -> Vec<String> {
    let tables = host.run("cat", &["/proc/self/net/raw", "/proc/self/net/raw6"]);
    let rows = tables.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.get(1).is_some_and(|local| local.ends_with(":0070")))
        .map(|row| row[9].to_owned())
        .collect()
}

#[test]
fn an_upgrade_in_place_is_not_missed_and_keeps_the_process() {
    isolated(|lab| {
        goes_on(lab, |pair| {
            let pid = pair.first.status()["agent"]["pid"].clone();
            let sockets = protocol_sockets(&pair.lb1);
            assert_eq!(sockets.len(), 2);
            let (done, said, complaint) = pair.first.vipctl(&["upgrade"]);
            assert!(done && said.ends_with(" goes on\n"), "{said}{complaint}");
            assert_eq!(pair.first.status()["agent"]["pid"], pid);
            assert_eq!(pair.first.pid().to_string(), pid.to_string());
            assert_eq!(pair.first.process().ended(), None);
            assert_eq!(protocol_sockets(&pair.lb1), sockets, "they are in their groups all the time");
        });
    });
}

#[test]
fn to_systemd_an_upgrade_is_a_reload_and_feeds_the_watchdog() {
    isolated(|lab| {
        let host = lab.host("lb1");
        let (socket, wrapper) = (host.directory().join("notify"), host.directory().join("wrapper"));
        let systemd = UnixDatagram::bind(&socket).unwrap();
        systemd.set_read_timeout(Some(SOON)).unwrap();
        let (told, vipd) = (socket.display(), env!("CARGO_BIN_EXE_vipd"));
        let script = format!("#!/bin/sh\nNOTIFY_SOCKET={told} WATCHDOG_USEC=3600000000 exec {vipd} \"$@\"\n");
        std::fs::write(&wrapper, script).unwrap();
        std::fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let hear = || {
            let mut buffer = [0; 256];
            let length = systemd.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        let programs = Programs::at(&wrapper, env!("CARGO_BIN_EXE_vipctl"));
        let vipd = Vipd::start(&host, &programs, &node(150, 1000));
        assert!(hear().starts_with("STATUS="));
        assert!(hear().starts_with("READY=1"));
        assert!(hear().starts_with("WATCHDOG=1"));
        vipd.wait_state("web", "master");
        assert!(vipd.vipctl(&["upgrade"]).0);
        let heard = std::iter::repeat_with(hear).filter(|said| !said.starts_with("STATUS="));
        let heard: Vec<String> = heard.take(3).collect();
        assert!(heard[0].starts_with("RELOADING=1\nMONOTONIC_USEC="), "{heard:?}");
        assert!(heard[1].starts_with("READY=1") && heard[2].starts_with("WATCHDOG=1"), "{heard:?}");
    });
}

/// As the unit runs it: another user, with two ambient capabilities.
#[test]
fn an_unprivileged_agent_keeps_its_rights_through_an_upgrade() {
    isolated(|lab| {
        let host = lab.host("lb1");
        let (installed, wrapper) = (host.directory().join("installed"), host.directory().join("wrapper"));
        std::fs::copy(env!("CARGO_BIN_EXE_vipd"), &installed).unwrap();
        let rights = "+net_admin,+net_raw";
        let script = format!(
            "#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all,{rights} \\\n\
             --ambient-caps=-all,{rights} --bounding-set=-all,{rights} --no-new-privs {} \"$@\"\n",
            installed.display()
        );
        std::fs::write(&wrapper, script).unwrap();
        std::fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::create_dir_all(host.directory().join("vipd")).unwrap();
        std::os::unix::fs::chown(host.directory().join("vipd"), Some(65534), Some(65534)).unwrap();
        let programs = Programs::at(&wrapper, env!("CARGO_BIN_EXE_vipctl"));
        let vipd = Vipd::start(&host, &programs, &node(150, 1000));
        vipd.wait_state("web", "master");
        for _ in 0..2 {
            let (done, _, complaint) = vipd.vipctl(&["upgrade"]);
            assert!(done, "{complaint}");
            assert!(
                vipd.wait_state("web", "master")["reason"].as_str().unwrap().starts_with("adopted from ")
            );
        }
    });
}

#[test]
fn a_program_that_fails_its_self_check_is_refused_and_the_old_one_goes_on() {
    isolated(|lab| {
        let host = lab.host("lb1");
        let installed = host.directory().join("installed");
        std::fs::copy(env!("CARGO_BIN_EXE_vipd"), &installed).unwrap();
        let programs = Programs::at(&installed, env!("CARGO_BIN_EXE_vipctl"));
        let vipd = Vipd::start(&host, &programs, &node(150, 1000));
        vipd.wait_state("web", "master");
        let before = transitions(&vipd);
        // Put in its place, as packages do.
        let new = host.directory().join("new");
        for (script, says) in [
            ("#!/bin/sh\necho it is of another kind >&2\nexit 1\n", "it is of another kind"),
            ("#!/bin/sh\nexit 3\n", "exit status: 3"),
            ("no program\n", "cannot run "),
        ] {
            std::fs::write(&new, script).unwrap();
            std::fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            std::fs::rename(&new, &installed).unwrap();
            let (done, _, complaint) = vipd.vipctl(&["upgrade"]);
            assert!(!done && complaint.contains(says), "{complaint}");
            assert_eq!(transitions(&vipd), before);
        }
        assert!(vipd.log().contains("upgrade refused, this program goes on: "), "{}", vipd.log());
        // With a configuration that it cannot use the new one would not come up.
        std::fs::copy(env!("CARGO_BIN_EXE_vipd"), &new).unwrap();
        std::fs::rename(&new, &installed).unwrap();
        let good = std::fs::read_to_string(vipd.file()).unwrap();
        std::fs::write(vipd.file(), "instances: 1\n").unwrap();
        let (done, _, complaint) = vipd.vipctl(&["upgrade"]);
        assert!(!done && complaint.contains("the configuration cannot be used"), "{complaint}");
        std::fs::write(vipd.file(), good).unwrap();
        assert!(vipd.vipctl(&["upgrade"]).0);
        assert!(vipd.wait_state("web", "master")["reason"].as_str().unwrap().starts_with("adopted from "));
    });
}

#[test]
fn a_stop_that_meets_an_upgrade_is_meant_for_the_program_that_follows() {
    isolated(|lab| {
        let (host, mut vipd) = alone(lab);
        vipd.wait_state("web", "master");
        let log = vipd.process().log_file().to_owned();
        let said = || std::fs::read_to_string(&log).unwrap().contains("leaves everything to the next one");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let directory = host.directory().join("vipd");
                let vipctl = programs().vipctl;
                // It may hear nothing more of the agent.
                host.try_run(
                    &vipctl.to_string_lossy(),
                    &["--runtime-dir", &directory.to_string_lossy(), "upgrade"],
                )
            });
            until("the upgrade is under way", SOON, || said().then_some(()));
            vipd.process().signal(Signal::SIGTERM);
            assert!(vipd.process().wait(SOON).success());
        });
        assert!(!holds(&host), "{}", vipd.log());
    });
}

#[test]
fn nothing_is_handed_on_without_a_state_file() {
    isolated(|lab| {
        let (host, mut vipd) = alone(lab);
        vipd.wait_state("web", "master");
        std::fs::create_dir(host.directory().join("vipd/state.json.new")).unwrap();
        let (done, _, complaint) = vipd.vipctl(&["upgrade"]);
        let why = "cannot write the state file for the next program: Is a directory";
        assert!(!done && complaint.contains(why), "{complaint}");
        assert_eq!(vipd.instance("web")["state"], "master");
        assert!(holds(&host));
        vipd.process().signal(Signal::SIGUSR2);
        assert!(vipd.process().wait(SOON).success());
        assert!(!holds(&host), "it is a stop like any other");
    });
}

#[test]
fn a_master_that_is_killed_and_started_again_is_not_missed() {
    isolated(|lab| comes_back(lab, |vipd| vipd.process().kill()));
}

#[test]
fn a_master_that_hands_on_to_the_next_agent_is_not_missed() {
    isolated(|lab| {
        comes_back(lab, |vipd| {
            vipd.process().signal(Signal::SIGUSR2);
            assert!(vipd.process().wait(SOON).success());
        });
    });
}

#[test]
fn a_master_that_comes_back_too_late_takes_away_what_it_left() {
    isolated(|lab| {
        let mut pair = Pair::start(lab, 100);
        pair.first.process().kill();
        pair.second.wait_state("web", "master");
        let taken = pair.probes[0].wait_for(&pair.lb2, 0, SOON);
        assert!(holds(&pair.lb1), "nobody could take them away");
        pair.restart();
        until("it has nothing", SOON, || (!holds(&pair.lb1)).then_some(()));
        assert_eq!(pair.first.wait_state("web", "backup")["times_master"], 0);
        assert!(holds(&pair.lb2));
        assert_eq!(claim::who_has(&pair.client, FOUR), [pair.lb2.mac()].into());
        for probe in &pair.probes {
            let counts = probe.count(taken, now());
            assert!(!counts.contains_key(&pair.lb1.number()), "{counts:?}");
        }
        assert!(pair.log().contains("is not adopted"), "{}", pair.log());
    });
}

#[test]
fn the_fourth_time_within_a_minute_another_node_is_better() {
    isolated(|lab| {
        let mut pair = Pair::start(lab, 1000);
        for _ in 0..3 {
            pair.first.process().kill();
            pair.restart();
            pair.first.wait_state("web", "master");
            until("the state is written", SOON, || {
                let state = std::fs::read_to_string(pair.lb1.directory().join("vipd/state.json")).ok()?;
                (!state.contains("\"estate\":null")).then_some(())
            });
        }
        pair.first.process().kill();
        pair.restart();
        pair.second.wait_state("web", "master");
        assert!(!holds(&pair.lb1) && holds(&pair.lb2));
        assert!(pair.log().contains("adopted three times within a minute"), "{}", pair.log());
    });
}

#[test]
fn a_state_file_that_is_broken_is_reported_and_ignored() {
    isolated(|lab| {
        let mut pair = Pair::start(lab, 1000);
        pair.first.process().kill();
        std::fs::write(pair.lb1.directory().join("vipd/state.json"), "{\"schema\":1").unwrap();
        pair.restart();
        assert_eq!(pair.first.wait_state("web", "backup")["times_master"], 0);
        assert!(pair.log().contains("state.json is ignored: EOF while parsing"), "{}", pair.log());
        until("it has nothing", SOON, || (!holds(&pair.lb1)).then_some(()));
    });
}

#[test]
fn a_stop_leaves_no_state() {
    isolated(|lab| {
        let (host, mut vipd) = alone(lab);
        let state = host.directory().join("vipd/state.json");
        until("there is a state file", SOON, || state.exists().then_some(()));
        assert!(vipd.process().stop().success());
        assert!(!state.exists() && !holds(&host));
    });
}

#[test]
fn what_is_handed_on_to_nobody_is_resigned_by_the_flush() {
    isolated(|lab| {
        let mut pair = Pair::start(lab, 1000);
        pair.first.process().signal(Signal::SIGUSR2);
        assert!(pair.first.process().wait(SOON).success());
        let (_, said, _) = flush(&pair.lb1, &["--after", "success"]);
        assert!(said.starts_with("nothing removed: ") && holds(&pair.lb1), "{said}");
        // The new agent could not use its configuration.
        let directory = pair.lb1.directory().join("vipd");
        let vipd = programs().vipd;
        let (directory, vipd) = (directory.to_string_lossy(), vipd.to_string_lossy());
        let arguments =
            ["EXIT_STATUS=78", &vipd, "flush", "--runtime-dir", &directory, "--after", "exit-code"];
        let from = now();
        let said = pair.lb1.run("env", &arguments);
        assert!(said.starts_with("resigned to 224.0.0.18 with priority 0\nresigned to ff02::12 "), "{said}");
        assert!(!holds(&pair.lb1));
        for probe in &pair.probes {
            let after = probe.wait_for(&pair.lb2, from, SOON) - from;
            assert!(after < 1_500_000_000, "{after} ns: Skew_Time is 609 ms");
        }
    });
}
