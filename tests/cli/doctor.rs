//! `vipctl doctor` where something is wrong, in namespaces: each trouble is found by its code, and what it says to type mends
//! it. And the two nodes of a pair compared, by an `ssh` that only changes the network.

use std::fs;
use std::net::{IpAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use lab::vipd::Programs;
use lab::{Host, Node, Router, Vipd, isolated, until};
use serde_json::Value;
use vipd::codes::Code;

use super::fake::{scratch, vipctl};

const VIP: &str = "192.0.2.100/24";
const SOON: Duration = Duration::from_secs(15);

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

fn router(priority: u8) -> Router {
    Router::new("web", 51, priority, VIP).and("2001:db8::100/64").every(100)
}

/// What `vipctl doctor` said, and its exit code.
struct Told {
    exit: i32,
    out: String,
    err: String,
}

impl Told {
    fn checks(&self) -> Vec<Value> {
        let whole: Value =
            serde_json::from_str(&self.out).unwrap_or_else(|why| panic!("{why}: {}{}", self.out, self.err));
        whole["checks"].as_array().unwrap().clone()
    }

    fn all(&self, code: Code, verdict: &str) -> Vec<Value> {
        let is = |one: &Value| one["code"] == code.to_string() && one["verdict"] == verdict;
        self.checks().into_iter().filter(is).collect()
    }

    /// The one finding of that kind and verdict, as evidence and remedy.
    fn one(&self, code: Code, verdict: &str) -> (String, String) {
        let found = self.all(code, verdict);
        assert!(!found.is_empty(), "{code} {verdict}: {}", self.out);
        let text = |key: &str| found[0][key].as_str().unwrap_or_default().to_owned();
        (text("evidence"), text("remedy"))
    }
}

/// Runs a program on a host by a shell that tells how it ended.
fn run(host: &Host, program: &str, arguments: &[&str]) -> Told {
    let all = [&["-c", "\"$0\" \"$@\"; echo \"exit $?\"", program], arguments].concat();
    let (_, out, err) = host.try_run("sh", &all);
    let (out, exit) = out.trim_end().rsplit_once("exit ").unwrap();
    Told { exit: exit.parse().unwrap(), out: out.to_owned(), err }
}

/// Where a host's agent has its sockets, whether it runs or not.
fn runtime(host: &Host) -> String {
    host.directory().join("vipd").display().to_string()
}

fn doctor(host: &Host, arguments: &[&str]) -> Told {
    let runtime = runtime(host);
    let all = [&["--runtime-dir", &runtime, "doctor", "--json"], arguments].concat();
    run(host, env!("CARGO_BIN_EXE_vipctl"), &all)
}

/// A configuration for a node without an agent.
fn written(host: &Host, configuration: &str) -> String {
    let path: PathBuf = host.directory().join("preflight.yaml");
    fs::write(&path, configuration).unwrap();
    path.display().to_string()
}

fn configuration(vrid: u8) -> String {
    format!(
        "instances:\n  web: {{ interface: eth0, virtual_router_id: {vrid}, advert_interval: 100ms,\n         \
         addresses: [{VIP}, \"2001:db8::100/64\"] }}\n"
    )
}

/// Types what a remedy says.
fn paste(host: &Host, remedy: &str) {
    host.run("sh", &["-c", remedy]);
}

fn address(text: &str) -> IpAddr {
    text.split('/').next().unwrap().parse().unwrap()
}

#[test]
fn a_sound_pair_is_healthy_before_and_while_agents_run() {
    isolated(|lab| {
        let (one, two) = (lab.host("one"), lab.host("two"));
        let file = written(&one, &configuration(51));
        let before = doctor(&one, &[&file]);
        assert_eq!((before.exit, before.err.as_str()), (0, ""), "{}", before.out);
        assert!(before.one(Code::OtherRouter, "good").0.contains("nobody else advertised"), "{}", before.out);
        let first = Vipd::start(&one, &programs(), &router(150).into());
        first.wait_state("web", "master");
        let second = doctor(&two, &[&written(&two, &configuration(51))]);
        assert_eq!(second.exit, 0, "{}", second.out);
        assert!(
            second.one(Code::OtherRouter, "good").0.contains("192.0.2.1 is master of it"),
            "{}",
            second.out
        );
        for told in [doctor(&one, &[]), doctor(&one, &["--no-probe"])] {
            assert_eq!(told.exit, 0, "{}", told.out);
            for code in [Code::NotJoined, Code::Capabilities, Code::Firewall, Code::AdvertsDiffer] {
                told.one(code, "good");
            }
        }
        let runtime = runtime(&one);
        let (_, text, _) =
            one.try_run(env!("CARGO_BIN_EXE_vipctl"), &["--runtime-dir", &runtime, "doctor", "-v"]);
        assert!(text.lines().next().unwrap().contains(": healthy; "), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    });
}

#[test]
fn the_rule_of_a_firewall_that_drops_adverts_is_named_and_its_remedy_mends_it() {
    isolated(|lab| {
        let host = lab.host("one");
        let file = written(&host, &configuration(51));
        host.run("nft", &["add table inet filter"]);
        for (chain, rule, said) in [
            (
                "input { type filter hook input priority 0; policy accept; }",
                "ip protocol 112 drop",
                "IPv4 adverts cannot arrive",
            ),
            (
                "output { type filter hook output priority 0; policy accept; }",
                "ip6 nexthdr 112 drop",
                "IPv6 adverts cannot leave",
            ),
        ] {
            let name = chain.split(' ').next().unwrap();
            host.run("nft", &[&format!("add chain inet filter {chain}")]);
            host.run("nft", &[&format!("add rule inet filter {name} {rule}")]);
            let told = doctor(&host, &[&file, "--no-probe"]);
            let (evidence, remedy) = told.one(Code::Firewall, "problem");
            assert_eq!(told.exit, 3);
            assert!(evidence.contains(said) && evidence.contains("vrrp drop'"), "{evidence}");
            paste(&host, &remedy);
            assert_eq!(doctor(&host, &[&file, "--no-probe"]).exit, 0, "{remedy}");
        }
        host.run("nft", &["flush ruleset"]);
        host.run("nft", &["add table ip filter"]);
        host.run("nft", &["add chain ip filter input { type filter hook input priority 0; policy drop; }"]);
        host.run("nft", &["add rule ip filter input tcp dport 22 accept"]);
        let (evidence, remedy) = doctor(&host, &[&file, "--no-probe"]).one(Code::Firewall, "problem");
        assert!(evidence.contains("the policy of 'ip filter input'"), "{evidence}");
        paste(&host, &remedy);
        assert_eq!(doctor(&host, &[&file, "--no-probe"]).exit, 0);
    });
}

#[test]
fn settings_of_the_kernel_that_harm_are_found_and_mended() {
    isolated(|lab| {
        let host = lab.host("one");
        let file = written(&host, &configuration(51));
        for (setting, code, verdict) in [
            ("net.ipv4.conf.eth0.rp_filter=1", Code::ReversePath, "advice"),
            ("net.ipv4.conf.eth0.arp_ignore=8", Code::ArpIgnore, "problem"),
            ("net.ipv6.conf.eth0.accept_dad=2", Code::AcceptDad, "advice"),
            ("net.ipv6.conf.eth0.disable_ipv6=1", Code::Ipv6Off, "problem"),
        ] {
            host.run("sysctl", &["-qw", setting]);
            let told = doctor(&host, &[&file, "--no-probe"]);
            let (evidence, remedy) = told.one(code, verdict);
            let name = setting.split(['.', '=']).nth(4).unwrap();
            assert!(evidence.starts_with(name), "{evidence}");
            paste(&host, &remedy);
            assert_eq!(
                doctor(&host, &[&file, "--no-probe"]).all(code, verdict),
                [Value::Null; 0],
                "{remedy}"
            );
        }
        // Without a second interface in the network nobody else could answer.
        host.run("ip", &["link", "add", "eth1", "type", "veth", "peer", "name", "eth2"]);
        host.run("ip", &["address", "add", "192.0.2.201/24", "dev", "eth1"]);
        host.run("sysctl", &["-qw", "net.ipv4.conf.all.arp_ignore=0", "net.ipv4.conf.eth0.arp_ignore=0"]);
        let told = doctor(&host, &[&file, "--no-probe"]);
        for code in [Code::ArpIgnore, Code::ArpAnnounce] {
            let (evidence, remedy) = told.one(code, "advice");
            assert!(evidence.contains("eth1 is in the same network"), "{evidence}");
            paste(&host, &remedy);
        }
        let told = doctor(&host, &[&file, "--no-probe"]);
        assert!(
            told.all(Code::ArpIgnore, "advice").is_empty()
                && told.all(Code::ArpAnnounce, "advice").is_empty()
        );
    });
}

#[test]
fn an_interface_that_cannot_carry_adverts_is_found() {
    isolated(|lab| {
        let host = lab.host("one");
        let elsewhere = written(&host, &configuration(51).replace("eth0", "eth9"));
        let told = doctor(&host, &[&elsewhere]);
        assert_eq!(
            (told.exit, told.one(Code::LinkMissing, "problem").0),
            (3, "there is no interface eth9".to_owned())
        );
        let file = written(&host, &configuration(51));
        host.run("ip", &["link", "set", "eth0", "mtu", "1200"]);
        let told = doctor(&host, &[&file, "--no-probe"]);
        assert_eq!(told.one(Code::Mtu, "problem").0, "the MTU is 1200; IPv6 needs 1280");
        host.run("ip", &["link", "set", "eth0", "down"]);
        assert_eq!(doctor(&host, &[&file]).one(Code::LinkMissing, "problem").0, "interface eth0 is down");
    });
}

#[test]
fn whoever_has_an_address_or_a_virtual_router_of_ours_is_found_on_the_wire() {
    isolated(|lab| {
        let (ours, theirs) = (lab.host("ours"), lab.host("theirs"));
        let file = written(&ours, &configuration(51));
        for vip in [VIP, "2001:db8::100/64"] {
            let nodad: &[&str] = if vip.contains(':') { &["nodad"] } else { &[] };
            theirs.run("ip", &[&["address", "add", vip, "dev", "eth0"], nodad].concat());
            let told = doctor(&ours, &[&file]);
            let (evidence, _) = told.one(Code::AnsweredElsewhere, "problem");
            let who = format!("{} is answered for by {}, ", address(vip), theirs.mac());
            assert!(told.exit == 3 && evidence.starts_with(&who), "{evidence}");
            assert!(doctor(&ours, &[&file, "--no-probe"]).all(Code::AnsweredElsewhere, "problem").is_empty());
            theirs.run("ip", &["address", "del", vip, "dev", "eth0"]);
        }
        let other = Router::new("other", 51, 100, "192.0.2.150/24").and("2001:db8::100/64").every(100);
        let other = Vipd::start(&theirs, &programs(), &other.into());
        other.wait_state("other", "master");
        let (evidence, _) = doctor(&ours, &[&file]).one(Code::OtherRouter, "problem");
        let said = format!("{} has virtual router id 51, too, and advertises 192.0.2.150", theirs.ipv4());
        assert_eq!(evidence, said);
    });
}

#[test]
fn a_second_agent_that_is_not_understood_shows_in_what_was_discarded() {
    isolated(|lab| {
        let (ours, theirs) = (lab.host("ours"), lab.host("theirs"));
        let ipv4 = |priority| Router::new("web", 51, priority, VIP);
        let vipd = Vipd::start(&ours, &programs(), &ipv4(150).every(1000).into());
        vipd.wait_state("web", "master");
        let _other = Vipd::start(&theirs, &programs(), &ipv4(100).every(1000).version(2).into());
        let told = until("its adverts are discarded", SOON, || {
            let told = doctor(&ours, &["--no-probe"]);
            (!told.all(Code::AdvertsDiscarded, "problem").is_empty()).then_some(told)
        });
        assert_eq!(told.exit, 3, "{}", told.out);
        assert!(told.one(Code::AdvertsDiffer, "advice").0.contains("another VRRP version"), "{}", told.out);
    });
}

#[test]
fn a_service_that_listens_on_the_address_alone_is_advised_about() {
    isolated(|lab| {
        let host = lab.host("one");
        let vipd = Vipd::start(&host, &programs(), &router(150).into());
        vipd.wait_state("web", "master");
        host.run("sysctl", &["-qw", "net.ipv4.ip_nonlocal_bind=0"]);
        let _listener = until("the address is there", SOON, || {
            host.inside(|| TcpListener::bind((address(VIP), 8080))).ok()
        });
        let (evidence, remedy) = doctor(&host, &["--no-probe"]).one(Code::CannotBind, "advice");
        assert!(evidence.contains("192.0.2.100 port 8080"), "{evidence}");
        paste(&host, &remedy);
        assert!(doctor(&host, &["--no-probe"]).all(Code::CannotBind, "advice").is_empty());
    });
}

#[test]
fn what_may_not_be_looked_at_is_said_and_no_verdict() {
    isolated(|lab| {
        let host = lab.host("one");
        let file = written(&host, &configuration(51));
        let tool = env!("CARGO_BIN_EXE_vipctl");
        let runtime = runtime(&host);
        let bare = [
            "--bounding-set",
            "-net_admin,-net_raw",
            tool,
            "--runtime-dir",
            &runtime,
            "doctor",
            "--json",
            &file,
        ];
        let told = run(&host, "setpriv", &bare);
        assert_eq!(told.exit, 77, "{}{}", told.out, told.err);
        let wire = told.all(Code::AnsweredElsewhere, "unseen");
        assert_eq!(wire[0]["obstacle"], "not_allowed", "{}", told.out);
    });
}

/// A program that stands in for ssh: it notes what it was asked, and asks the agent of the other host.
fn fake_ssh(other: &Vipd, host: &Host) -> String {
    let directory = host.directory().join("bin");
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join("ssh");
    let script = format!(
        "#!/bin/sh\necho \"$@\" > '{log}'\ncase \"$*\" in *nobody*) echo 'Permission denied (publickey).' >&2; exit 255;; esac\n\
         exec nsenter --net=/proc/{pid}/ns/net '{vipctl}' --runtime-dir '{runtime}' doctor --no-probe --json\n",
        log = directory.join("log").display(),
        pid = other.pid(),
        vipctl = env!("CARGO_BIN_EXE_vipctl"),
        runtime = runtime(host),
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    format!("PATH={}:{}", directory.display(), std::env::var("PATH").unwrap())
}

#[test]
fn two_nodes_are_compared_by_ssh() {
    isolated(|lab| {
        let (one, two) = (lab.host("one"), lab.host("two"));
        let start = |host: &Host, node: Node| Vipd::start(host, &programs(), &node);
        let first = start(&one, router(150).into());
        first.wait_state("web", "master");
        let second = start(&two, router(100).into());
        second.wait_state("web", "backup");
        until("it hears the master", SOON, || {
            (second.instance("web")["routers"][0]["master"]["priority"] == 150).then_some(())
        });
        let path = fake_ssh(&second, &two);
        let runtime = runtime(&one);
        let compare = |destination: &str| {
            let tool = env!("CARGO_BIN_EXE_vipctl");
            let words = [
                &path[..],
                tool,
                "--runtime-dir",
                &runtime,
                "doctor",
                "--no-probe",
                "--json",
                "--peer",
                destination,
            ];
            run(&one, "env", &words)
        };
        let told = compare("ssh://admin@two:2222");
        assert_eq!(told.exit, 0, "{}{}", told.out, told.err);
        for code in
            [Code::PeerSilent, Code::PeersDisagree, Code::EqualPriorities, Code::TwoMasters, Code::PeerClock]
        {
            told.one(code, "good");
        }
        let asked = fs::read_to_string(two.directory().join("bin/log")).unwrap();
        let expected =
            "-o BatchMode=yes -o ConnectTimeout=5 -p 2222 admin@two vipctl doctor --no-probe --json\n";
        assert_eq!(asked, expected);
        let told = compare("ssh://nobody");
        assert_eq!(told.exit, 74, "{}", told.out);
        let (evidence, remedy) = told.one(Code::PeerUnreached, "unseen");
        assert_eq!(evidence, "Permission denied (publickey).");
        assert!(remedy.starts_with("ssh -o BatchMode=yes "), "{remedy}");
        let other = lab::vipd::configuration(&router(150).and("192.0.2.101/24").every(200).into());
        assert!(second.reload_file(&other).0);
        let told = compare("ssh://two");
        let said: Vec<_> =
            told.all(Code::PeersDisagree, "problem").iter().map(|one| one["evidence"].clone()).collect();
        assert_eq!(
            said,
            ["advert_interval is 100 ms here and 200 ms on two", "addresses differ: 192.0.2.101 only on two"]
        );
        assert_eq!(told.one(Code::EqualPriorities, "advice").0, "the priority is 150 on both nodes");
        two.run("nft", &["add table inet filter"]);
        two.run("nft", &["add chain inet filter input { type filter hook input priority 0; policy drop; }"]);
        let told = compare("ssh://two");
        assert!(
            told.all(Code::PeerProblems, "problem")
                .iter()
                .any(|one| one.to_string().contains("two has a problem: V1101")),
            "{}",
            told.out
        );
    });
}

#[test]
fn wrong_input_is_told_apart() {
    let dir = scratch();
    fs::create_dir_all(&dir).unwrap();
    let wrong = dir.join("wrong.yaml");
    fs::write(&wrong, "instances: {}\n").unwrap();
    for (arguments, exit, said) in [
        (&["doctor", "/nowhere/vipd.yaml"][..], 66, "/nowhere/vipd.yaml: cannot be read: No such file"),
        (&["doctor", wrong.to_str().unwrap()], 78, "[V0203]"),
        (&["doctor", "--peer", "lb2"], 64, "'lb2' is no place to ask; write ssh://[USER@]HOST[:PORT]"),
        (&["doctor", "--peer", "ssh://-oProxyCommand=reboot"], 64, "is no place to ask"),
        (&["doctor", "a", "b"], 64, "unexpected argument 'b'"),
    ] {
        let output = vipctl(&dir, arguments).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(exit) && err.contains(said), "{arguments:?}: {err}");
    }
}
