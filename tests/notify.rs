//! Who is told what by vipd, in network namespaces: real programs, a FIFO, a web server and a mail server; and whether
//! keepalived's programs are told the same.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lab::vipd::Programs;
use lab::{Agent, Host, Keepalived, Lab, Node, Router, Vipd, isolated, now, until};
use nix::sys::signal::Signal;

const SOON: Duration = Duration::from_secs(20);
const FOUR: &str = "192.0.2.100/24";

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

/// A program on a host that writes down how it was called, and what it left.
struct Script {
    path: PathBuf,
    record: PathBuf,
}

impl Script {
    /// One that records its arguments and then does `more`.
    fn new(host: &Host, name: &str, more: &str) -> Self {
        let (path, record) = (host.directory().join(name), host.directory().join(format!("{name}.record")));
        let text = format!("#!/bin/sh\necho \"$*\" >> {}\n{more}\n", record.display());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { path, record }
    }

    fn path(&self) -> String {
        self.path.display().to_string()
    }

    fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.record).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Waits until it was called so often.
    fn called(&self, times: usize) -> Vec<String> {
        let what = format!("{} was called {times} times", self.path());
        until(&what, SOON, || Some(self.lines()).filter(|lines| lines.len() >= times))
    }

    /// Waits until it was last called so.
    fn last(&self, line: &str) -> Vec<String> {
        let what = format!("{} was called with '{line}': {:?}", self.path(), self.lines());
        until(&what, SOON, || {
            Some(self.lines()).filter(|lines| lines.last().is_some_and(|last| last == line))
        })
    }
}

/// A reader of a FIFO, and what it has read.
struct Reader(Arc<Mutex<Vec<String>>>);

impl Reader {
    fn start(path: PathBuf) -> Self {
        let read = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&read);
        std::thread::spawn(move || {
            let lines = BufReader::new(fs::File::open(path).unwrap()).lines();
            lines.map_while(Result::ok).for_each(|line| into.lock().unwrap().push(line));
        });
        Self(read)
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// An agent whose programs are compared, as the same scenario is played for each.
enum Player {
    Keepalived(Keepalived),
    Vipd(Vipd),
}

impl Player {
    fn stop(&mut self) {
        match self {
            Self::Keepalived(agent) => drop(agent.process().stop()),
            Self::Vipd(agent) => drop(agent.process().stop()),
        }
    }
}

/// What the general program, those for one kind of change, and the reader of the FIFO were told.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    general: Vec<String>,
    special: Vec<String>,
    fifo: Vec<String>,
}

/// A start, a fault and its end, a split with a lesser node and its end, a removal of the peer, and a stop.
fn play(host: &Host, peer: &Host, start: impl FnOnce(&Script, &Script, &str) -> Player) -> Heard {
    let (general, special) = (Script::new(host, "general", ""), Script::new(host, "special", ""));
    let fifo = host.directory().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let reader = Reader::start(fifo.clone());
    let mut player = start(&general, &special, &fifo.display().to_string());
    general.last("own INSTANCE web4 MASTER 150");
    let lesser = Router::new("web", 51, 100, FOUR).every(200);
    let mut other = Keepalived::start(peer, &Node::from(lesser));
    host.unplug();
    general.last("own INSTANCE web4 FAULT 150");
    until("the peer has taken over", SOON, || peer.holds("192.0.2.100".parse().unwrap()).then_some(()));
    host.plug();
    general.last("own INSTANCE web4 MASTER 150");
    until("the peer has gone back", SOON, || (!peer.holds("192.0.2.100".parse().unwrap())).then_some(()));
    peer.deafen();
    until("the peer is master, too", SOON, || peer.holds("192.0.2.100".parse().unwrap()).then_some(()));
    special.last("master_rx_lower_pri");
    peer.heal();
    until("the peer has gone back", SOON, || (!peer.holds("192.0.2.100".parse().unwrap())).then_some(()));
    other.process().stop();
    player.stop();
    general.last("own INSTANCE web4 STOP 150");
    special.last("stop");
    until("the FIFO's reader is told", SOON, || {
        reader.lines().last().is_some_and(|line| line.contains("STOP")).then_some(())
    });
    // How often a lesser master is told of depends on how many of its adverts are heard.
    let once = |mut lines: Vec<String>| {
        lines.dedup();
        lines
    };
    Heard { general: once(general.lines()), special: once(special.lines()), fifo: once(reader.lines()) }
}

#[test]
fn the_same_programs_and_reader_are_told_the_same_by_keepalived_and_by_vipd() {
    isolated(|lab| {
        let (first, peer) = (lab.host("theirs"), lab.host("peer"));
        let theirs = play(&first, &peer, |general, special, fifo| {
            let mut router = Router::new("web", 51, 150, FOUR).every(200);
            let special = special.path();
            let lines = ["master", "backup", "fault", "stop", "master_rx_lower_pri"];
            router.keepalived =
                lines.map(|word| format!("notify_{word} \"{special} {word}\"")).into_iter().collect();
            router.keepalived.push(format!("notify \"{} own\"", general.path()));
            let node = Node::from(router);
            let text = lab::keepalived::configuration(&node).replacen(
                "script_user root\n",
                &format!("script_user root\n  vrrp_notify_fifo {fifo}\n"),
                1,
            );
            Player::Keepalived(Keepalived::start_file(&first, &text))
        });
        first.unplug();
        let second = lab.host("ours");
        let ours = play(&second, &peer, |general, special, fifo| {
            let mut router = Router::new("web4", 51, 150, FOUR).every(200);
            let special = special.path();
            let words = [
                ("master", "master"),
                ("backup", "backup"),
                ("fault", "fault"),
                ("stop", "stop"),
                ("lower_advert", "master_rx_lower_pri"),
            ];
            let on = words.map(|(key, word)| format!("on_{key}: [{special}, {word}]")).join(", ");
            router.vipd =
                vec![format!("notify: {{ script: [{}, own], {on}, fifo: {fifo} }}", general.path())];
            Player::Vipd(Vipd::start(&second, &programs(), &Node::from(router)))
        });
        let expected: Vec<_> = ["BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER", "STOP"]
            .map(|state| format!("own INSTANCE web4 {state} 150"))
            .into();
        assert_eq!(theirs.general, expected);
        assert_eq!(
            theirs.fifo[5..],
            ["INSTANCE \"web4\" MASTER_RX_LOWER_PRI 150", "INSTANCE \"web4\" STOP 150"]
        );
        assert_eq!(ours, theirs);
    });
}

/// A master alone whose changes are told as `notify` says; an advert every 100 ms.
fn alone(host: &Host, notify: &str, top: &str) -> Vipd {
    let vipd = Vipd::start_file(host, &programs(), &file(notify, top));
    vipd.wait_state("web", "master");
    vipd
}

fn file(notify: &str, top: &str) -> String {
    format!(
        "instances:\n  web:\n    interface: eth0\n    virtual_router_id: 51\n    priority: 150\n    \
         advert_interval: 100ms\n    addresses: [{FOUR}]\n    notify: {{ {notify} }}\n{top}"
    )
}

/// What `vipctl status` shows of the notifier of a kind.
fn notifier(vipd: &Vipd, kind: &str) -> serde_json::Value {
    let status = vipd.status();
    let all = status["notifiers"].as_array().unwrap().clone();
    all.into_iter().find(|one| one["kind"] == kind).unwrap_or_else(|| panic!("no {kind}: {status}"))
}

#[test]
fn the_stop_is_told_when_the_addresses_are_gone_and_the_agent_waits_for_that() {
    isolated(|lab| {
        let host = lab.host("lb1");
        let script = Script::new(
            &host,
            "notify",
            "if [ \"$3\" = STOP ]; then sleep 0.5; ip -brief address show dev eth0 > $0.stop; fi",
        );
        let mut vipd = alone(&host, &format!("script: {}", script.path()), "");
        script.last("INSTANCE web MASTER 150");
        assert!(vipd.process().stop().success());
        assert_eq!(script.lines().last().unwrap(), "INSTANCE web STOP 150");
        let addresses = fs::read_to_string(host.directory().join("notify.stop")).unwrap();
        assert!(addresses.contains("192.0.2.1/24") && !addresses.contains("192.0.2.100"), "{addresses}");
    });
}

#[test]
fn a_program_that_hangs_at_the_stop_is_not_waited_for_longer_than_some_seconds() {
    isolated(|lab| {
        let host = lab.host("lb1");
        let script = Script::new(&host, "notify", "[ \"$3\" != STOP ] || exec sleep 1000");
        let mut vipd = alone(&host, &format!("script: {}", script.path()), "");
        script.last("INSTANCE web MASTER 150");
        let begun = now();
        assert!(vipd.process().stop().success());
        let took = Duration::from_nanos(now() - begun);
        assert!(took < Duration::from_secs(8), "{took:?}");
        assert!(vipd.log().contains("notifications were not told to their end"));
    });
}

#[test]
fn neither_an_upgrade_nor_a_crash_repeats_a_state_and_no_change_is_lost() {
    isolated(|lab| {
        let host = lab.host("lb1");
        let script = Script::new(&host, "notify", "");
        let file = file(&format!("script: {}", script.path()), "");
        let mut vipd = alone(&host, &format!("script: {}", script.path()), "");
        assert_eq!(script.called(2), ["INSTANCE web BACKUP 150", "INSTANCE web MASTER 150"]);
        let pid = vipd.pid();
        let (done, _, complaint) = vipd.vipctl(&["upgrade"]);
        assert!(done, "{complaint}");
        until("the new program goes on", SOON, || {
            let status = vipd.try_status()?;
            status["instances"][0]["reason"].as_str()?.starts_with("adopted").then_some(())
        });
        assert_eq!(vipd.pid(), pid);
        let told = host.directory().join("vipd/notified.json");
        let is_written = || fs::read_to_string(&told).ok().filter(|text| text.contains("\"waiting\":[]"));
        until("what was told is written down", SOON, is_written);
        vipd.process().kill();
        let mut vipd = Vipd::start_file(&host, &programs(), &file);
        vipd.wait_state("web", "master");
        // There is nobody to take over: it gives up, and is master again.
        vipd.vipctl(&["step-down", "web"]);
        vipd.process().stop();
        script.last("INSTANCE web STOP 1");
        let states: Vec<_> =
            script.lines().iter().map(|line| line.split(' ').nth(2).unwrap().to_owned()).collect();
        assert_eq!(states[..4], ["BACKUP", "MASTER", "BACKUP", "MASTER"]);
        assert_eq!(states.iter().filter(|state| **state == "STOP").count(), 1, "{states:?}");
        assert!(states.windows(2).all(|pair| pair[0] != pair[1]), "{states:?}");
        assert!(!told.exists());
    });
}

#[test]
fn what_waits_while_the_agent_is_upgraded_is_told_by_the_next_one() {
    isolated(|lab| {
        let host = lab.host("lb1");
        // The first call hangs; what it was told is told once more by the next program, and all that waits after it.
        let script = Script::new(&host, "notify", "[ -e $0.once ] || { touch $0.once; exec sleep 1000; }");
        let vipd = alone(&host, &format!("script: {}", script.path()), "");
        assert_eq!(script.called(1), ["INSTANCE web BACKUP 150"]);
        let (done, _, complaint) = vipd.vipctl(&["upgrade"]);
        assert!(done, "{complaint}");
        let lines = script.called(3);
        assert_eq!(lines[1..], ["INSTANCE web BACKUP 150", "INSTANCE web MASTER 150"]);
    });
}

#[test]
fn a_program_that_a_crash_cut_short_is_told_what_is_so_then() {
    isolated(|lab| {
        let (host, peer) = (lab.host("lb1"), lab.host("lb2"));
        // As a program that takes a while to make a master of the services: it is at it when the agent is killed.
        let script = Script::new(
            &host,
            "notify",
            "[ $3 = MASTER ] && [ ! -e $0.once ] && touch $0.once && exec sleep 1000",
        );
        let file = file(&format!("script: {}", script.path()), "");
        let mut vipd = Vipd::start_file(&host, &programs(), &file);
        assert_eq!(script.called(2), ["INSTANCE web BACKUP 150", "INSTANCE web MASTER 150"]);
        let told = host.directory().join("vipd/notified.json");
        let is_written =
            || fs::read_to_string(&told).ok().filter(|text| text.contains("\"state\":\"master\""));
        until("what is being told is written down", SOON, is_written);
        let other = Vipd::start(&peer, &programs(), &Router::new("web", 51, 100, "192.0.2.100/24").into());
        other.wait_state("web", "backup");
        vipd.process().kill();
        other.wait_state("web", "master");
        let _vipd = Vipd::start_file(&host, &programs(), &file);
        let lines = script.called(4);
        assert_eq!(lines[2..], ["INSTANCE web BACKUP 150", "INSTANCE web MASTER 150"], "it preempts");
    });
}

#[test]
fn an_instance_that_is_configured_no_more_is_deleted_once_its_addresses_are_gone() {
    isolated(|lab| {
        let host = lab.host("lb1");
        let script = Script::new(
            &host,
            "notify",
            "[ \"$3\" != DELETED ] || ip -brief address show dev eth0 > $0.gone",
        );
        let notify = format!("script: {}", script.path());
        let vipd = alone(&host, &notify, "");
        script.last("INSTANCE web MASTER 150");
        let other = file("script: off", "")
            .replace("  web:", "  other:")
            .replace("id: 51", "id: 52")
            .replace("192.0.2.100", "192.0.2.101")
            .replace("    notify: { script: off }\n", "");
        let (done, _, complaint) = vipd.reload_file(&other);
        assert!(done, "{complaint}");
        script.last("INSTANCE web DELETED 150");
        let gone = until("the program is done", SOON, || {
            fs::read_to_string(host.directory().join("notify.gone")).ok().filter(|text| !text.is_empty())
        });
        assert!(!gone.contains("192.0.2.100"), "{gone}");
    });
}

#[test]
fn a_program_that_hangs_delays_neither_adverts_nor_others() {
    isolated(|lab| {
        let host = lab.host("lb1");
        let hangs = Script::new(&host, "hangs", "exec sleep 1000");
        let quick = Script::new(&host, "quick", "");
        let text = file(&format!("script: {}, timeout: 1s", hangs.path()), "").replace("100ms", "20ms")
            + &format!(
                "  db:\n    interface: eth0\n    virtual_router_id: 52\n    advert_interval: 20ms\n    \
                 addresses: [192.0.2.101/24]\n    notify: {{ script: {} }}\n",
                quick.path()
            );
        let vipd = Vipd::start_file(&host, &programs(), &text);
        quick.last("INSTANCE db MASTER 100");
        hangs.called(1);
        let status = until("the one that hangs is killed", SOON, || {
            let status = vipd.status();
            let warned = status["warnings"].as_array()?.iter().any(|one| {
                one.as_str().is_some_and(|one| {
                    one.contains("hangs was not told BACKUP of web: timed out after 1s; killed")
                })
            });
            warned.then_some(status)
        });
        assert_eq!(status["health"], "degraded");
        hangs.called(2);
        // Its 1-s runs took 50 adverts each: all of them left in time, for otherwise the lease would have run out.
        let events = vipd.vipctl(&["events", "--json"]).1;
        assert!(
            events.contains("\"kind\":\"notify_failed\"") && !events.contains("\"kind\":\"lease_over\""),
            "{events}"
        );
        assert_eq!(vipd.instance("web")["times_master"], 1);
        assert_eq!(notifier(&vipd, "script")["instance"], "db");
    });
}

#[test]
fn a_program_that_others_may_write_is_refused_when_it_is_read_and_when_it_is_run() {
    isolated(|lab| {
        let host = lab.host("lb1");
        let script = Script::new(&host, "notify", "");
        let vipd = alone(&host, &format!("script: {}", script.path()), "");
        script.last("INSTANCE web MASTER 150");
        let mode = |mode| fs::set_permissions(&script.path, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o777);
        let (done, _, complaint) = vipd.vipctl(&["check", &vipd.file().display().to_string()]);
        let expected = format!(
            "instances.web.notify.script: '{0}' can be written by others than its owner (mode 0777); run 'chmod go-w {0}'",
            script.path()
        );
        assert!(!done && complaint.contains(&expected), "{complaint}");
        host.unplug();
        let failed = until("it is not run", SOON, || {
            Some(notifier(&vipd, "script")).filter(|one| one["failed"].as_u64() > Some(0))
        });
        assert!(failed["last"]["result"].as_str().unwrap().starts_with("not run: "), "{failed}");
        let (_, said, _) = vipd.vipctl(&["status"]);
        assert!(said.contains("was not told FAULT of web: not run: "), "{said}");
        mode(0o755);
        host.plug();
        script.called(4);
        until("the warning is gone", SOON, || {
            (!vipd.vipctl(&["status"]).1.contains("was not told")).then_some(())
        });
        let (_, page, _) = vipd.vipctl(&["status", "web"]);
        assert!(page.contains(&format!("notifies    script {}: 4 told, 1 failed", script.path())), "{page}");
    });
}

#[test]
fn a_group_is_told_of_as_one() {
    isolated(|lab| {
        let host = lab.host("lb1");
        let script = Script::new(&host, "notify", "");
        let text = file("script: off", "").replace("    notify: { script: off }\n", "")
            + "  db:\n    interface: eth0\n    virtual_router_id: 52\n    priority: 150\n    \
               advert_interval: 100ms\n    addresses: [192.0.2.101/24]\n"
            + &format!(
                "groups:\n  site: {{ members: [web, db], notify: {{ script: {} }} }}\n",
                script.path()
            );
        let mut vipd = Vipd::start_file(&host, &programs(), &text);
        script.last("GROUP site MASTER 0");
        let (_, page, _) = vipd.vipctl(&["status", "site"]);
        assert!(page.starts_with("group site: MASTER on "), "{page}");
        let rows = ["\nweb   MASTER", "\ndb    MASTER"];
        assert!(rows.iter().all(|row| page.contains(row)), "{page}");
        host.unplug();
        script.last("GROUP site FAULT 0");
        let (_, page, _) = vipd.vipctl(&["status", "site"]);
        assert!(page.contains("group site: FAULT on ") && page.contains("has no carrier"), "{page}");
        host.plug();
        script.last("GROUP site MASTER 0");
        vipd.process().stop();
        let states = ["BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER", "STOP"];
        assert_eq!(script.lines(), states.map(|state| format!("GROUP site {state} 0")));
    });
}

/// What a group's program and the reader of the FIFO are told at a start, a fault and its end, and a stop.
fn play_group(host: &Host, start: impl FnOnce(&Script, &str) -> Player) -> (Vec<String>, Vec<String>) {
    let script = Script::new(host, "notify", "");
    let fifo = host.directory().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let reader = Reader::start(fifo.clone());
    let mut player = start(&script, &fifo.display().to_string());
    script.last("own GROUP site MASTER 0");
    host.unplug();
    script.last("own GROUP site FAULT 0");
    host.plug();
    script.last("own GROUP site MASTER 0");
    player.stop();
    script.last("own GROUP site STOP 0");
    until("the FIFO's reader is told", SOON, || {
        let stopped = reader.lines().iter().filter(|line| line.contains("STOP")).count();
        (stopped == 3).then_some(())
    });
    let of_group = |line: &String| line.starts_with("GROUP");
    (script.lines(), reader.lines().into_iter().filter(of_group).collect())
}

#[test]
fn a_group_is_told_of_in_the_same_words_as_by_keepalived() {
    isolated(|lab| {
        let node = || {
            let mut node = Node::from(Router::new("web", 51, 150, FOUR).every(200));
            node.routers.push(Router::new("db", 52, 150, "192.0.2.101/24").every(200));
            node.group = Some("site".to_owned());
            node
        };
        let first = lab.host("theirs");
        let theirs = play_group(&first, |script, fifo| {
            let (global, group) = ("script_user root\n", "vrrp_sync_group site {\n");
            let text = lab::keepalived::configuration(&node())
                .replacen(global, &format!("{global}  vrrp_notify_fifo {fifo}\n"), 1)
                .replacen(group, &format!("{group}  notify \"{} own\"\n", script.path()), 1);
            Player::Keepalived(Keepalived::start_file(&first, &text))
        });
        first.unplug();
        let second = lab.host("ours");
        let ours = play_group(&second, |script, fifo| {
            let members = "members: [web, db]";
            let notify = format!("{members}, notify: {{ script: [{}, own], fifo: {fifo} }}", script.path());
            let text = lab::vipd::configuration(&node()).replacen(members, &notify, 1);
            let text = format!("notify: {{ fifo: {fifo} }}\n{text}");
            Player::Vipd(Vipd::start_file(&second, &programs(), &text))
        });
        println!("{theirs:#?}");
        assert_eq!(ours, theirs);
    });
}

/// A server in the host's network that hands every connection to `serve`.
fn server(host: &Host, serve: impl Fn(std::net::TcpStream) + Send + 'static) -> SocketAddr {
    let listener = host.inside(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(serve));
    address
}

/// Bodies that were posted, one answered after the other.
fn hooks(host: &Host) -> (SocketAddr, Arc<Mutex<Vec<serde_json::Value>>>) {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&bodies);
    let address = server(host, move |stream| {
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
            if let Some(text) = line.strip_prefix("content-length: ") {
                length = text.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        into.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
        reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    (address, bodies)
}

/// Mails that were taken, in clear.
fn mails(host: &Host) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let mails = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&mails);
    let address = server(host, move |stream| {
        let mut reader = BufReader::new(stream);
        reader.get_mut().write_all(b"220 ready\r\n").unwrap();
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
            let answer: &[u8] = match line.split_whitespace().next().unwrap_or_default() {
                "DATA" => {
                    reader.get_mut().write_all(b"354 go on\r\n").unwrap();
                    let lines = reader.by_ref().lines().map_while(Result::ok).take_while(|line| line != ".");
                    into.lock().unwrap().push(lines.collect::<Vec<_>>().join("\n"));
                    b"250 taken\r\n"
                }
                "QUIT" => b"221 bye\r\n",
                _ => b"250 fine\r\n",
            };
            if reader.get_mut().write_all(answer).is_err() {
                return;
            }
            line.clear();
        }
    });
    (address, mails)
}

#[test]
fn servers_and_people_are_told_by_the_web_and_by_mail() {
    isolated(|lab: &Lab| {
        let host = lab.host("lb1");
        let ((web, bodies), (smtp, mails)) = (hooks(&host), mails(&host));
        let top = format!(
            "mail: {{ server: \"{smtp}\", tls: none, from: vipd@example.org, to: [ops@example.org] }}\n\
             notify: {{ webhook: \"http://{web}/secret-path\", mail: true }}\n"
        );
        let text = file("X", &top).replace("    notify: { X }\n", "");
        let mut vipd = Vipd::start_file(&host, &programs(), &text);
        vipd.wait_state("web", "master");
        let told = until("the server is told", SOON, || {
            Some(bodies.lock().unwrap().clone()).filter(|bodies| bodies.len() >= 2)
        });
        assert_eq!((&told[0]["state"], &told[1]["state"]), (&"backup".into(), &"master".into()));
        assert_eq!((&told[1]["previous"], &told[1]["name"]), (&"backup".into(), &"web".into()));
        assert_ne!(told[0]["id"], told[1]["id"]);
        let sent = until("the people are told", SOON, || {
            Some(mails.lock().unwrap().clone()).filter(|mails| mails.len() >= 2)
        });
        assert!(sent[1].contains("\nSubject: [lb1] web is MASTER: no master heard for "), "{}", sent[1]);
        let (_, said, _) = vipd.vipctl(&["status", "--json"]);
        assert!(!said.contains("secret-path") && !vipd.log().contains("secret-path"), "{said}");
        vipd.process().signal(Signal::SIGTERM);
        vipd.process().wait(SOON);
        assert_eq!(bodies.lock().unwrap().last().unwrap()["state"], "stop");
        assert!(mails.lock().unwrap().last().unwrap().contains("web is stopped"));
    });
}
