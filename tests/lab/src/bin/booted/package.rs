//! The package: installed before there is a configuration, upgraded while it runs, removed and purged.

use lab::table::Target;
use lab::{Booted, vipd};

use crate::bed::{VIPD, node};
use crate::orders::{left, tell, upgraded_in_place};
use crate::trial::{Promise, Trial};

const UNCONFIGURED: Promise = Promise {
    name: "package installed, no configuration yet: not enabled, running or failed",
    unit: "times",
    target: Target::Never,
};
const FAILED: Promise = Promise {
    name: "package upgraded: not the new program, not the same process, or not adopted",
    unit: "failures",
    target: Target::Never,
};
const LOST: Promise =
    Promise { name: "package upgraded: lost of 1 kHz probes", unit: "probes", target: Target::Never };
const SILENCE: Promise = Promise {
    name: "package upgraded: longest time between adverts",
    unit: "ms",
    target: Target::Every(1500.0),
};
const PEER: Promise = Promise {
    name: "package upgraded: transitions of the other node",
    unit: "transitions",
    target: Target::Never,
};
const REMOVED: Promise =
    Promise { name: "package removed while it ran: left behind", unit: "things", target: Target::Never };
const PURGED: Promise =
    Promise { name: "package purged: left behind", unit: "things", target: Target::Never };

/// A package, and the next one.
pub(crate) struct Packages {
    pub(crate) first: String,
    pub(crate) second: String,
}

/// All of it, on hosts without vipd.
pub(crate) fn story(trial: &mut Trial, packages: &Packages, rounds: usize) {
    let since = lab::now();
    let mut wrong = 0;
    for (host, priority) in [(&trial.bed.lb1, 150), (&trial.bed.lb2, 100)] {
        host.run(&["rm", "-rf", "/etc/vipd", "/var/lib/vipd"]);
        install(host, &packages.first);
        wrong += usize::from(host.property(VIPD, "UnitFileState") != "enabled");
        host.run(&["systemctl", "start", VIPD]);
        wrong += usize::from(host.property(VIPD, "ActiveState") != "inactive");
        host.write("/root/vipd.yaml", &vipd::configuration(&node(priority)));
        host.run(&["install", "-m", "640", "-g", "vipd", "/root/vipd.yaml", "/etc/vipd/"]);
        host.run(&["vipctl", "check"]);
        host.run(&["systemctl", "start", VIPD]);
    }
    trial.count(UNCONFIGURED, VIPD, wrong, since);
    upgrade(trial, packages, rounds);
    remove(trial);
}

/// The first time to the higher version, then to what has been built again.
fn upgrade(trial: &mut Trial, packages: &Packages, rounds: usize) {
    for round in 0..rounds {
        let mut failures = 0;
        let seen = trial.watch(VIPD, round, |bed| {
            failures = upgraded_in_place(&bed.lb1, |lb1| install(lb1, &packages.second));
        });
        trial.count(FAILED, VIPD, failures, seen.from);
        trial.count(LOST, VIPD, seen.lost, seen.from);
        trial.judge(SILENCE, VIPD, seen.silence, seen.from);
        trial.count(PEER, VIPD, seen.transitions, seen.from);
    }
}

fn remove(trial: &mut Trial) {
    for (order, promise, places) in [
        ("--remove", REMOVED, "/usr /run"),
        ("--purge", PURGED, "/usr /run /etc /var/lib/vipd /var/lib/systemd"),
    ] {
        let since = lab::now();
        let mut remains = Vec::new();
        for host in [&trial.bed.lb1, &trial.bed.lb2] {
            host.run(&["dpkg", order, VIPD]);
            let files = format!(
                "find {places} -name 'vip*' -not -path '/usr/share/bash-completion/*' 2>/dev/null || true"
            );
            let files = host.run(&["sh", "-c", &files]);
            remains.extend(files.lines().map(str::to_owned).chain(left(host)));
        }
        tell(&remains);
        trial.count(promise, VIPD, remains.len(), since);
    }
}

fn install(host: &Booted, package: &str) {
    host.run(&["dpkg", "--install", package]);
}
