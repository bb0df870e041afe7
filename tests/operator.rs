//! What an operator, another program or the machine does to vipd: reloads, missing interfaces, deleted
//! addresses, addresses of the operator's own, checks that misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use lab::probe::Echo;
use lab::vipd::{Programs, configuration};
use lab::{Agent, Host, Node, Probe, Router, Sniffer, Vipd, isolated, now, until};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(15);

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

fn vip() -> IpAddr {
    IpAddr::from([192, 0, 2, 100])
}

fn router(priority: u8) -> Router {
    Router::new("web", 51, priority, "192.0.2.100/24").every(100)
}

/// A lone master on `host`.
fn master(host: &Host, node: &Node) -> Vipd {
    let vipd = Vipd::start(host, &programs(), node);
    vipd.wait_state("web", "master");
    until("the address is there", SOON, || host.holds(vip()).then_some(()));
    vipd
}

#[test]
fn a_reload_that_adds_an_address_makes_no_advert_late_and_no_client_wait() {
    isolated(|lab| {
        let (lb1, client) = (lab.host("lb1"), lab.host("client"));
        let _echo = Echo::on(&lb1);
        let mut vipd = master(&lb1, &router(150).into());
        let since = vipd.instance("web")["since"].clone();
        let sniffer = Sniffer::on(&client);
        let probe = Probe::start(&client, vip());
        let from = probe.wait_for(&lb1, 0, SOON);
        vipd.reload(&router(150).and("192.0.2.101/24").into());
        let new = IpAddr::from([192, 0, 2, 101]);
        until("the new address is there", SOON, || lb1.holds(new).then_some(()));
        until("the new address is announced", SOON, || {
            sniffer.announcements(lb1.mac(), from).iter().any(|(_, address)| *address == new).then_some(())
        });
        let gap = probe.longest_gap(from, now());
        assert!(gap.length < Duration::from_millis(200), "{gap:?}");
        let times: Vec<u64> = sniffer.adverts(lb1.ipv4().into()).iter().map(|(at, _)| *at).collect();
        let silence = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        assert!(silence < 250_000_000, "an advert was {silence} ns after the one before");
        assert_eq!(vipd.instance("web")["since"], since, "it was master all the time");
        vipd.reload(&router(150).into());
        until("the new address is gone", SOON, || (!lb1.holds(new)).then_some(()));
        assert!(lb1.holds(vip()));
    });
}

#[test]
fn a_reload_that_changes_priorities_and_checks_moves_nothing() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let mut vipd = master(&lb1, &router(150).into());
        let since = vipd.instance("web")["since"].clone();
        let up = "{ file: /etc/passwd, interval: 50ms, timeout: 50ms }";
        vipd.reload(&Node::from(router(140).track("there", "-60")).check("there", up));
        until("the priority is in force", SOON, || {
            (vipd.instance("web")["priority"]["effective"] == 140).then_some(())
        });
        until("the check has a verdict", SOON, || {
            (vipd.instance("web")["tracks"][0]["up"] == true).then_some(())
        });
        assert_eq!(vipd.instance("web")["since"], since);
        assert!(lb1.holds(vip()));
    });
}

#[test]
fn a_bad_file_changes_nothing_and_every_mistake_is_named() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let vipd = master(&lb1, &router(150).into());
        let since = vipd.instance("web")["since"].clone();
        let bad = "instances:\n  web:\n    interface: eth0\n    virtual_router_id: 300\n    priorty: 10\n    addresses: [192.0.2.100/24]\n";
        let (done, said, complaint) = vipd.reload_file(bad);
        let words = format!("{said}{complaint}");
        assert!(
            !done && words.contains("4:") && words.contains("300") && words.contains("priorty"),
            "{words}"
        );
        assert_eq!(vipd.instance("web")["since"], since);
        assert_eq!(vipd.instance("web")["virtual_router_id"], 51);
        let file = vipd.file();
        let (done, said, complaint) = vipd.vipctl(&["check", file.to_str().unwrap()]);
        assert!(!done && format!("{said}{complaint}").contains("priorty"), "check says the same");
    });
}

#[test]
fn a_reload_that_would_make_two_masters_is_refused_without_force() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let vipd = master(&lb1, &router(150).into());
        let mut other = router(150);
        other.vrid = 52;
        let (done, said, complaint) = vipd.reload_file(&configuration(&other.into()));
        assert!(!done && format!("{said}{complaint}").contains("--force"), "{said}{complaint}");
        assert_eq!(vipd.instance("web")["virtual_router_id"], 51);
        let (done, _, complaint) = vipd.vipctl(&["reload", "--force"]);
        assert!(done, "{complaint}");
        until("the new identity is master", SOON, || {
            let instance = vipd.instance("web");
            (instance["virtual_router_id"] == 52 && instance["state"] == "master").then_some(())
        });
        assert!(lb1.holds(vip()));
    });
}

#[test]
fn what_check_accepts_is_what_vipd_runs() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let vipd = master(&lb1, &router(150).into());
        let file = vipd.file();
        let (done, _, complaint) = vipd.vipctl(&["check", file.to_str().unwrap()]);
        assert!(done, "{complaint}");
        let bad = lb1.directory().join("bad.yaml");
        std::fs::write(&bad, "instances: { web: { interface: eth0 } }\n").unwrap();
        assert!(!vipd.vipctl(&["check", bad.to_str().unwrap()]).0);
        let other = lab.host("lb2");
        let mut refused = Vipd::launch(&other, &programs(), "instances: { web: { interface: eth0 } }\n");
        let ended = refused.process().wait(SOON);
        assert_eq!(ended.code(), Some(78), "EX_CONFIG: {}", refused.process().log());
    });
}

#[test]
fn a_missing_interface_is_a_fault_that_ends_when_the_interface_appears() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let mut late = router(150);
        late.interface = "late0".to_owned();
        let vipd = Vipd::start(&lb1, &programs(), &late.into());
        let fault = vipd.wait_state("web", "fault");
        assert!(fault["reason"].as_str().unwrap().contains("late0"), "{fault}");
        lb1.run("ip", &["link", "add", "late0", "type", "veth", "peer", "name", "late1"]);
        lb1.run("ip", &["address", "add", "198.51.100.1/24", "dev", "late0"]);
        lb1.run("ip", &["link", "set", "late1", "up"]);
        lb1.run("ip", &["link", "set", "late0", "up"]);
        vipd.wait_state("web", "master");
        until("the address is there", SOON, || {
            lb1.addresses("late0").iter().any(|a| a.starts_with("192.0.2.100/")).then_some(())
        });
        lb1.run("ip", &["link", "delete", "late0"]);
        vipd.wait_state("web", "fault");
    });
}

#[test]
fn an_address_that_somebody_deletes_comes_back_and_is_reported() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let vipd = master(&lb1, &router(150).into());
        let net = lb1.addresses("eth0").into_iter().find(|net| net.starts_with("192.0.2.100/")).unwrap();
        lb1.run("ip", &["address", "delete", &net, "dev", "eth0"]);
        until("the address is back", SOON, || lb1.holds(vip()).then_some(()));
        let told = until("it is reported", SOON, || {
            let (_, said, _) = vipd.vipctl(&["events"]);
            said.contains("192.0.2.100").then_some(said)
        });
        assert_eq!(vipd.instance("web")["state"], "master", "{told}");
        assert!(lb1.addresses("eth0").contains(&"192.0.2.1/24".to_owned()));
    });
}

#[test]
fn an_address_of_the_operators_own_is_never_taken_over_and_never_removed() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        lb1.run("ip", &["address", "add", "192.0.2.100/24", "dev", "eth0"]);
        let mut vipd = Vipd::start(&lb1, &programs(), &router(150).into());
        let told = until("the instance says that the address is taken", SOON, || {
            let instance = vipd.instance("web");
            instance["reason"].as_str().unwrap_or_default().contains("192.0.2.100").then_some(instance)
        });
        assert_eq!(told["state"], "fault", "{told}");
        vipd.process().stop();
        assert!(lb1.holds(vip()), "the operator's address is still there");
    });
}

#[test]
fn the_hosts_own_address_survives_the_virtual_one_of_the_same_network() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let mut vipd = master(&lb1, &router(150).into());
        vipd.process().stop();
        assert!(!lb1.holds(vip()));
        assert!(lb1.addresses("eth0").contains(&"192.0.2.1/24".to_owned()));
    });
}

#[test]
fn an_ipv6_address_is_usable_at_once() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        lb1.inside(|| std::fs::write("/proc/sys/net/ipv6/conf/eth0/accept_dad", "1")).unwrap();
        let vipd = Vipd::start(
            &lb1,
            &programs(),
            &Router::new("web", 51, 150, "2001:db8::100/64").every(100).into(),
        );
        vipd.wait_state("web", "master");
        // The kernel's answer alone does not say so: it makes the address usable a moment later.
        until("the address is installed", SOON, || {
            (vipd.instance("web")["addresses"][0]["installed"] == true).then_some(())
        });
        let shown = lb1.run("ip", &["-6", "address", "show", "dev", "eth0"]);
        assert!(!shown.contains("tentative"), "{shown}");
    });
}

/// A script in the host's directory.
fn script(host: &Host, name: &str, text: &str) -> String {
    let path = host.directory().join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_string_lossy().into_owned()
}

/// What status says of a check.
fn check(vipd: &Vipd, name: &str) -> Value {
    let status = vipd.status();
    let checks = status["checks"].as_array().cloned().unwrap_or_default();
    checks
        .into_iter()
        .find(|check| check["name"] == name)
        .unwrap_or_else(|| panic!("no check {name}: {status}"))
}

#[test]
fn scripts_that_hang_flood_fork_or_are_not_there_are_failing_checks_with_a_reason() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let hang = script(&lb1, "hang", "#!/bin/sh\nsleep 1000 &\nsleep 1000\n");
        let flood = script(&lb1, "flood", "#!/bin/sh\nyes flood\n");
        let exit = script(&lb1, "exit", "#!/bin/sh\necho it is closed\nexit 3\n");
        let pace = "interval: 100ms, timeout: 100ms, fall: 1, rise: 1";
        let of = |path: &str| format!("{{ script: [\"{path}\"], {pace} }}");
        let names = ["hang", "flood", "exit", "gone"];
        let router = names.iter().fold(router(200), |router, name| router.track(name, "-10"));
        let node = Node::from(router)
            .check("hang", &of(&hang))
            .check("flood", &of(&flood))
            .check("exit", &of(&exit))
            .check("gone", &of("/nonexistent/check"));
        let vipd = Vipd::start(&lb1, &programs(), &node);
        vipd.wait_state("web", "master");
        until("all four are down", SOON, || {
            names.iter().all(|name| check(&vipd, name)["up"] == false).then_some(())
        });
        assert_eq!(vipd.instance("web")["priority"]["effective"], 160);
        let reason = |name: &str| check(&vipd, name).to_string().to_lowercase();
        assert!(reason("hang").contains("100ms") || reason("hang").contains("time"), "{}", reason("hang"));
        assert!(
            reason("exit").contains('3') && reason("exit").contains("it is closed"),
            "{}",
            reason("exit")
        );
        assert!(reason("gone").contains("no such file"), "{}", reason("gone"));
        let memory = lab::usage::of_tree(vipd.pid());
        assert!(memory.resident_kib < 100 << 10, "{memory:?}");
        until("no run leaves processes behind", SOON, || {
            let sleeping = lb1.try_run("pgrep", &["-fc", "sleep 1000"]).1;
            (sleeping.trim().parse::<u32>().unwrap_or(0) <= 4).then_some(())
        });
    });
}

/// An agent that runs as the user `uid` with what the unit gives it, and with this option.
fn unprivileged(host: &Host, uid: u32, option: &str) -> Programs {
    let user = format!("--reuid={uid} --regid={uid} --clear-groups --no-new-privs");
    let capabilities = "-all,+net_admin,+net_raw";
    let limits =
        format!("--inh-caps={capabilities} --ambient-caps={capabilities} --bounding-set={capabilities}");
    let own = host.directory().join("vipd.bin");
    std::fs::copy(env!("CARGO_BIN_EXE_vipd"), &own).unwrap();
    let own = own.display();
    let text =
        format!("#!/bin/sh\nchown -R {uid} \"$4\"\nexec setpriv {user} {limits} {own} \"$@\" {option}\n");
    Programs::at(script(host, &format!("as-{uid}"), &text), env!("CARGO_BIN_EXE_vipctl"))
}

#[test]
fn an_unprivileged_agent_does_its_work_and_its_scripts_have_no_capability() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let programs = unprivileged(&lb1, 65534, "");
        let told = script(&lb1, "told", "#!/bin/sh\ngrep -E 'Cap(Inh|Prm|Eff|Amb)' /proc/self/status\n");
        let node = Node::from(router(150).track("told", "fault"))
            .check("told", &format!("{{ script: [\"{told}\"], interval: 100ms, timeout: 90ms }}"));
        let vipd = Vipd::start(&lb1, &programs, &node);
        vipd.wait_state("web", "master");
        until("the address is there", SOON, || lb1.holds(vip()).then_some(()));
        let said = check(&vipd, "told")["output"].as_str().unwrap_or_default().to_owned();
        assert_eq!(said.lines().count(), 4, "{said}");
        let none =
            |line: &str| line.split_whitespace().nth(1).is_some_and(|set| set.trim_matches('0').is_empty());
        let inherited: Vec<&str> =
            said.lines().filter(|line| !line.starts_with("CapInh") && !none(line)).collect();
        assert!(inherited.is_empty(), "a script has {inherited:?}");
    });
}

/// How a thread is scheduled: its policy, 1 being `SCHED_FIFO`, and its priority under that.
fn scheduling(pid: u32) -> BTreeMap<String, (u32, u32)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let thread = |path: &Path| {
        let stat = std::fs::read_to_string(path.join("stat")).unwrap();
        let (before, after) = stat.rsplit_once(") ").unwrap();
        let name = before.split_once('(').unwrap().1.to_owned();
        let fields: Vec<&str> = after.split(' ').collect();
        // Fields 41 and 40 of proc(5), of which two stand before.
        (name, (fields[38].parse().unwrap(), fields[37].parse().unwrap()))
    };
    tasks.map(|task| thread(&task.unwrap().path())).collect()
}

/// How much of a process stays in memory, in KiB.
fn locked_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn urgent_threads_go_before_others_if_asked_for_and_only_they() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let plain = configuration(&router(150).into());
        let urgent = format!("{plain}realtime: {{ priority: 10, lock_memory: true }}\n");
        let mut vipd = Vipd::start_file(&lb1, &programs(), &urgent);
        vipd.wait_state("web", "master");
        let expected = [("announce", 9), ("gate", 9), ("protocol", 10), ("route", 9), ("vipd", 0)];
        let threads = scheduling(vipd.pid());
        for (name, priority) in expected {
            assert_eq!(threads[name], (u32::from(priority > 0), priority), "{name}: {threads:?}");
        }
        assert!(locked_kib(vipd.pid()) > 0);
        let status = vipd.status();
        assert_eq!(
            (&status["agent"]["realtime_priority"], &status["agent"]["memory_locked"]),
            (&10.into(), &true.into())
        );
        let (done, _, warned) = vipd.reload_file(&plain);
        assert!(done && warned.contains("realtime has changed, which counts at the next start"), "{warned}");
        let (done, _, complaint) = vipd.vipctl(&["upgrade"]);
        assert!(done, "{complaint}");
        until("the next program is as any other", SOON, || {
            let threads = scheduling(vipd.pid());
            (threads.contains_key("protocol") && threads.values().all(|thread| *thread == (0, 0)))
                .then_some(())
        });
        assert_eq!(locked_kib(vipd.pid()), 0);
        assert_eq!(vipd.process().stop().code(), Some(0));
    });
}

#[test]
fn an_agent_that_may_not_be_urgent_says_so_and_goes_on() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let as_nobody = unprivileged(&lb1, 65534, "").vipd.display().to_string();
        let limited = format!("#!/bin/sh\nexec prlimit --rtprio=0 --memlock=65536 {as_nobody} \"$@\"\n");
        let programs = Programs::at(script(&lb1, "limited", &limited), env!("CARGO_BIN_EXE_vipctl"));
        let urgent = "realtime: { priority: 10, lock_memory: true }";
        let vipd =
            Vipd::start_file(&lb1, &programs, &format!("{}{urgent}\n", configuration(&router(150).into())));
        vipd.wait_state("web", "master");
        let status = vipd.status();
        let warnings = status["warnings"].to_string();
        for words in
            ["realtime.priority is not in force", "LimitRTPRIO=", "realtime.lock_memory is not in force"]
        {
            assert!(warnings.contains(words) && vipd.log().contains(words), "{words}: {warnings}");
        }
        assert_eq!((&status["agent"]["realtime_priority"], locked_kib(vipd.pid())), (&Value::Null, 0));
    });
}

/// Kills what it holds.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // One that has been waited for is not killed.
        self.0.kill().and_then(|()| self.0.wait()).unwrap();
    }
}

/// A runner of scripts as the user 65533, for an agent that is the user `agent`; its socket.
fn runner(host: &Host, agent: u32) -> (Ends, String) {
    let (socket, own) = (host.directory().join("scripts.sock"), host.directory().join("runner.bin"));
    std::fs::copy(env!("CARGO_BIN_EXE_vipd"), &own).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    std::os::unix::fs::chown(&socket, Some(agent), None).unwrap();
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=65533",
        "--regid=65533",
        "--clear-groups",
        "--no-new-privs",
        "--bounding-set=-all",
    ]);
    let runner = command.arg(own).arg("run-scripts").stdin(OwnedFd::from(listener)).spawn().unwrap();
    (Ends(runner), socket.to_string_lossy().into_owned())
}

/// Whether a process is there and has not ended.
fn runs(pid: &OsStr) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn scripts_run_as_the_runners_user_and_end_with_the_agent() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let (mut runner, socket) = runner(&lb1, 0);
        let (pids, vipd) = (lb1.directory().join("pids"), env!("CARGO_BIN_EXE_vipd"));
        std::fs::create_dir(&pids).unwrap();
        std::fs::set_permissions(&pids, std::fs::Permissions::from_mode(0o777)).unwrap();
        let with = format!("#!/bin/sh\nexec {vipd} \"$@\" --scripts-socket {socket}\n");
        let programs = Programs::at(script(&lb1, "with", &with), env!("CARGO_BIN_EXE_vipctl"));
        let pace = "interval: 1s, timeout: 1s, fall: 1, rise: 1";
        let long = format!("echo $$ > {}/$$; exec sleep 1000", pids.display());
        let node = Node::from(router(150))
            .check("who", &format!("{{ shell: id -u -r; id -G, {pace} }}"))
            .check("long", &format!("{{ shell: \"{long}\", interval: 1h, timeout: 1h }}"));
        let mut vipd = Vipd::start(&lb1, &programs, &node);
        let said = until("the script has said who it is", SOON, || {
            check(&vipd, "who")["output"].as_str().map(str::to_owned)
        });
        assert_eq!(said, "65533\n65533\n");
        let started = || std::fs::read_dir(&pids).unwrap().next().map(|entry| entry.unwrap().file_name());
        let long = until("the long script runs", SOON, started);
        assert!(runs(&long));
        vipd.process().kill();
        until("the long script is gone", SOON, || (!runs(&long)).then_some(()));

        std::fs::remove_dir_all(&pids).unwrap();
        std::fs::create_dir(&pids).unwrap();
        std::fs::set_permissions(&pids, std::fs::Permissions::from_mode(0o777)).unwrap();
        let vipd = Vipd::start(&lb1, &programs, &node);
        until("it is up", SOON, || (check(&vipd, "who")["up"] == true).then_some(()));
        let long = until("the long script runs", SOON, started);
        let pid = nix::unistd::Pid::from_raw(runner.0.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(runner.0.wait().unwrap().success());
        until("the long script is gone with its runner", SOON, || (!runs(&long)).then_some(()));
        let down = until("without its runner the check is down", SOON, || {
            Some(check(&vipd, "who")).filter(|check| check["up"] == false)
        });
        let why = down["last_result"].as_str().unwrap();
        assert!(why.starts_with("cannot reach the script runner at /"), "{why}");
    });
}

#[test]
fn a_runner_serves_the_user_its_socket_belongs_to_and_nobody_else() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let (_runner, socket) = runner(&lb1, 65534);
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o777)).unwrap();
        let node = Node::from(router(150)).check("x", "{ shell: exit 0, interval: 10s, timeout: 10s }");
        let said = |uid: u32| {
            let vipd =
                Vipd::start(&lb1, &unprivileged(&lb1, uid, &format!("--scripts-socket {socket}")), &node);
            until("the check has run", SOON, || check(&vipd, "x")["last_result"].as_str().map(str::to_owned))
        };
        assert_eq!(said(65534), "exit status 0");
        assert_eq!(said(65532), "the script runner serves user 65534, not 65532");
    });
}

#[test]
fn a_check_tracked_as_a_fault_releases_the_address() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let flag = lb1.directory().join("well");
        std::fs::write(&flag, "").unwrap();
        let check =
            format!("{{ file: {}, interval: 50ms, timeout: 50ms, rise: 1, fall: 1 }}", flag.display());
        let vipd = master(&lb1, &Node::from(router(150).track("well", "fault")).check("well", &check));
        std::fs::remove_file(&flag).unwrap();
        let fault = vipd.wait_state("web", "fault");
        assert!(fault["reason"].as_str().unwrap().contains("well"), "{fault}");
        until("the address is gone", SOON, || (!lb1.holds(vip())).then_some(()));
        std::fs::write(&flag, "").unwrap();
        vipd.wait_state("web", "master");
    });
}

#[test]
fn status_looks_at_the_kernel_when_the_agent_was_killed() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let mut vipd = master(&lb1, &router(150).into());
        vipd.process().kill();
        let (done, said, complaint) = vipd.vipctl(&["status"]);
        let words = format!("{said}{complaint}");
        assert!(!done && words.contains("no agent is running") && words.contains("192.0.2.100"), "{words}");
        let again = Vipd::start(&lb1, &programs(), &router(150).into());
        again.wait_state("web", "master");
        assert!(lb1.holds(vip()));
    });
}

#[test]
fn a_rude_client_of_the_socket_does_not_keep_others_waiting() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let vipd = master(&lb1, &router(150).into());
        let socket = lb1.directory().join("vipd/vipd.sock");
        let rude: Vec<_> = (0..100)
            .filter_map(|n| {
                use std::io::Write;
                let mut stream = std::os::unix::net::UnixStream::connect(&socket).ok()?;
                stream.write_all(if n % 2 == 0 { b"GET /status HT" } else { &[0xff; 4096] }).ok();
                Some(stream)
            })
            .collect();
        assert!(!rude.is_empty());
        until("status answers", SOON, || vipd.try_status());
        assert_eq!(vipd.instance("web")["state"], "master");
    });
}
