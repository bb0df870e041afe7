//! The program that reads the FIFO of notifications: kept running by vipd as by keepalived.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lab::vipd::{Programs, configuration};
use lab::{Agent, Host, Keepalived, Node, Router, Vipd, isolated, until};

const SOON: Duration = Duration::from_secs(20);

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

/// A reader that writes down who it is, what it reads, and that it came to the end.
struct Reader {
    program: PathBuf,
    fifo: PathBuf,
    lines: PathBuf,
    pid: PathBuf,
}

impl Reader {
    fn on(host: &Host) -> Self {
        let at = |name: &str| host.directory().join(name);
        let reader = Self { program: at("reader"), fifo: at("fifo"), lines: at("lines"), pid: at("pid") };
        let (lines, pid) = (reader.lines.display(), reader.pid.display());
        let text = format!(
            "#!/bin/sh\necho $$ $(id -u) > {pid}\nfor last; do :; done\nwhile read -r line; do echo \"$1 $line\" >> {lines}\n\
             done < \"$last\"\necho end >> {lines}\n"
        );
        fs::write(&reader.program, text).unwrap();
        fs::set_permissions(&reader.program, fs::Permissions::from_mode(0o755)).unwrap();
        reader
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.lines).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect()
    }

    fn last(&self, expected: &str) {
        until(expected, SOON, || (self.lines().last().map(String::as_str) == Some(expected)).then_some(()));
    }

    /// Its process and its user, once they are others than these.
    fn who(&self, but: &str) -> (String, String) {
        until("the reader runs", SOON, || {
            let said = fs::read_to_string(&self.pid).ok()?;
            let (pid, user) = said.trim().split_once(' ')?;
            (pid != but).then(|| (pid.to_owned(), user.to_owned()))
        })
    }

    /// vipd's file with it, or with another key in its place.
    fn file(&self, notify: &str) -> String {
        let fifo = self.fifo.display();
        configuration(&router("web4").into()) + &format!("notify: {{ fifo: {fifo}{notify} }}\n")
    }

    fn key(&self) -> String {
        format!(", fifo_reader: [{}, own]", self.program.display())
    }
}

fn router(name: &str) -> Router {
    Router::new(name, 51, 150, "192.0.2.100/24").every(200)
}

fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

/// A start, a fault and its end.
fn play(host: &Host, reader: &Reader) -> Vec<String> {
    reader.last("own INSTANCE \"web4\" MASTER 150");
    host.unplug();
    reader.last("own INSTANCE \"web4\" FAULT 150");
    host.plug();
    reader.last("own INSTANCE \"web4\" MASTER 150");
    reader.lines()
}

#[test]
fn a_reader_is_told_the_same_by_keepalived_and_by_vipd() {
    isolated(|lab| {
        let (ours, theirs) = (lab.host("ours"), lab.host("theirs"));
        let reader = Reader::on(&theirs);
        let (fifo, program) = (reader.fifo.display(), reader.program.display());
        let block = format!(
            "global_defs {{\n  vrrp_notify_fifo {fifo}\n  vrrp_notify_fifo_script \"{program} own\" root\n}}"
        );
        let mut keepalived = Keepalived::start(&theirs, &Node::from(router("web")).block(&block));
        let by_keepalived = play(&theirs, &reader);
        keepalived.process().stop();
        let reader = Reader::on(&ours);
        let mut vipd = Vipd::start_file(&ours, &programs(), &reader.file(&reader.key()));
        assert_eq!(play(&ours, &reader), by_keepalived);
        let (pid, _) = reader.who("");
        vipd.process().stop();
        let lines = reader.lines();
        assert_eq!(lines[lines.len() - 2..], ["own INSTANCE \"web4\" STOP 150", "end"]);
        assert!(!runs(&pid));
    });
}

#[test]
fn a_reader_that_ends_is_started_again_and_that_is_seen() {
    isolated(|lab| {
        let host = lab.host("lb1");
        let reader = Reader::on(&host);
        let vipd = Vipd::start_file(&host, &programs(), &reader.file(&reader.key()));
        reader.last("own INSTANCE \"web4\" MASTER 150");
        let (first, _) = reader.who("");
        host.run("kill", &["-9", &first]);
        let said = until("somebody must look", SOON, || {
            let problems = vipd.status()["problems"].to_string();
            problems.contains("killed by signal 9").then_some(problems)
        });
        assert!(said.contains("fifo_reader /") && said.contains(" own /"), "{said}");
        let (second, _) = reader.who(&first);
        host.unplug();
        reader.last("own INSTANCE \"web4\" FAULT 150");
        host.plug();
        reader.last("own INSTANCE \"web4\" MASTER 150");
        until("all is well again", SOON, || (vipd.status()["health"] == "healthy").then_some(()));
        let status = vipd.status();
        let shown = status["notifiers"].as_array().unwrap().iter().find(|one| one["kind"] == "fifo_reader");
        let shown = shown.unwrap();
        assert_eq!((&shown["delivered"], &shown["failed"]), (&2.into(), &1.into()), "{shown}");
        let (_, events, _) = vipd.vipctl(&["events", "--json"]);
        assert!(events.contains("\"kind\":\"reader_ended\""), "{events}");

        assert!(vipd.vipctl(&["upgrade"]).0);
        let (third, _) = reader.who(&second);
        assert!(!runs(&second));
        assert!(vipd.reload_file(&reader.file("")).0);
        until("it goes with its key", SOON, || (!runs(&third)).then_some(()));
        assert!(vipd.reload_file(&reader.file(&reader.key())).0);
        let (fourth, _) = reader.who(&third);
        let other = reader.key().replace("own", "other");
        assert!(vipd.reload_file(&reader.file(&other)).0);
        reader.who(&fourth);
        assert!(!runs(&fourth), "the FIFO has one reader");
        host.unplug();
        reader.last("other INSTANCE \"web4\" FAULT 150");
    });
}

#[test]
fn a_reader_of_another_user_may_read_what_the_agent_makes() {
    isolated(|lab| {
        let host = lab.host("lb1");
        let reader = Reader::on(&host);
        for path in [&reader.lines, &reader.pid] {
            fs::write(path, "").unwrap();
            std::os::unix::fs::chown(path, Some(65533), Some(65533)).unwrap();
        }
        let (socket, own) = (host.directory().join("scripts.sock"), host.directory().join("runner.bin"));
        fs::copy(env!("CARGO_BIN_EXE_vipd"), &own).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        std::os::unix::fs::chown(&socket, None, Some(65533)).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65533", "--regid=65533", "--clear-groups", "--bounding-set=-all"]);
        let mut runner = command.arg(own).arg("run-scripts").stdin(OwnedFd::from(listener)).spawn().unwrap();
        let (with, vipd) = (host.directory().join("with"), env!("CARGO_BIN_EXE_vipd"));
        fs::write(&with, format!("#!/bin/sh\nexec {vipd} \"$@\" --scripts-socket {}\n", socket.display()))
            .unwrap();
        fs::set_permissions(&with, fs::Permissions::from_mode(0o755)).unwrap();
        let programs = Programs::at(with, env!("CARGO_BIN_EXE_vipctl"));
        let mut vipd = Vipd::start_file(&host, &programs, &reader.file(&reader.key()));
        reader.last("own INSTANCE \"web4\" MASTER 150");
        let (pid, user) = reader.who("");
        assert_eq!((user.as_str(), fs::metadata(&reader.fifo).unwrap().mode() & 0o777), ("65533", 0o640));
        vipd.process().stop();
        reader.last("end");
        until("it is gone", SOON, || (!runs(&pid)).then_some(()));
        runner.kill().unwrap();
        runner.wait().unwrap();
    });
}
