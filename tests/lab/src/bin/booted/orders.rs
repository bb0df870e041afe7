//! What an operator does: restart, stop, upgrade, uninstall.

use lab::table::Target;
use lab::{Booted, until, wait};

use crate::bed::{ADDRESSES, INTERVAL, KEEPALIVED, SOON, VIPD, install_programs};
use crate::trial::{Promise, Seen, Trial, journal};

const RESTART: Promise =
    Promise { name: "systemctl restart: lost of 1 kHz probes", unit: "probes", target: Target::Never };
const RESTART_PEER: Promise = Promise {
    name: "systemctl restart: transitions of the other node",
    unit: "transitions",
    target: Target::Never,
};
const STOP: Promise =
    Promise { name: "systemctl stop: client outage", unit: "ms", target: Target::Median(10.0) };
const STOP_LEFT: Promise =
    Promise { name: "systemctl stop: left behind", unit: "things", target: Target::Never };
const STOP_START: Promise =
    Promise { name: "systemctl stop, and start at once: failed", unit: "times", target: Target::Never };
const DOWN_LEFT: Promise = Promise {
    name: "SIGKILL, systemctl stop before it is started again: left behind",
    unit: "things",
    target: Target::Never,
};
const UPGRADE: Promise = Promise {
    name: "upgrade in place (keepalived: restart): lost of 1 kHz probes",
    unit: "probes",
    target: Target::Never,
};
const UPGRADE_SILENCE: Promise = Promise {
    name: "upgrade in place (keepalived: restart): longest time between adverts",
    unit: "ms",
    target: Target::Every(1500.0),
};
const UPGRADE_PEER: Promise = Promise {
    name: "upgrade in place (keepalived: restart): transitions of the other node",
    unit: "transitions",
    target: Target::Never,
};
const UPGRADE_FAILED: Promise = Promise {
    name: "upgrade in place: not the new program, not the same process, or not adopted",
    unit: "failures",
    target: Target::Never,
};
const UNINSTALL: Promise =
    Promise { name: "uninstalled while it ran: left behind", unit: "things", target: Target::Never };

/// Settings of the unit until the next boot.
const DROP_INS: &str = "/run/systemd/system/vipd.service.d";

/// Restarts the unit.
pub(crate) fn restart(trial: &mut Trial, agent: &'static str, rounds: usize) {
    for round in 0..rounds {
        let seen = trial.watch(agent, round, |bed| {
            bed.lb1.run(&["systemctl", "restart", agent]);
            if agent == KEEPALIVED {
                bed.settle();
            }
        });
        trial.count(RESTART, agent, seen.lost, seen.from);
        trial.count(RESTART_PEER, agent, seen.transitions, seen.from);
        if agent == KEEPALIVED {
            // So does the upgrade of its package.
            upgraded(trial, agent, seen);
        }
    }
}

/// Stops the unit, and starts it again.
pub(crate) fn stop(trial: &mut Trial, agent: &'static str, rounds: usize) {
    for round in 0..rounds {
        let mut remains = Vec::new();
        let seen = trial.watch(agent, round, |bed| {
            bed.lb1.run(&["systemctl", "stop", agent]);
            wait::observe(INTERVAL);
            remains = left(&bed.lb1);
            bed.lb1.run(&["systemctl", "start", agent]);
        });
        tell(&remains);
        trial.judge(STOP, agent, seen.outage, seen.from);
        trial.count(STOP_LEFT, agent, remains.len(), seen.from);
    }
}

/// Stops the unit and starts it at once, while what the stop has started still runs.
pub(crate) fn stop_and_start(trial: &mut Trial, rounds: usize) {
    for _ in 0..rounds {
        let since = lab::now();
        let at_once =
            "systemctl stop vipd && systemctl start vipd && test $(systemctl show -P NRestarts vipd) = 0";
        let (done, _, complaint) = trial.bed.lb1.try_run(&["sh", "-c", at_once]);
        print!("{complaint}");
        trial.count(STOP_START, VIPD, usize::from(!done), since);
    }
}

/// Kills the agent and stops the unit before it is started again: while systemd waits to start it, and while it still
/// cleans up. Both take longer than the unit says, or nobody would be quick enough.
pub(crate) fn stop_before_the_restart(trial: &mut Trial, rounds: usize) {
    let lb1 = &trial.bed.lb1;
    let slow = "[Service]\\nRestartSec=2s\\nExecStopPost=/bin/sleep 0.5\\n";
    lb1.run(&["mkdir", "-p", DROP_INS]);
    lb1.run(&["sh", "-c", &format!("printf '{slow}' >{DROP_INS}/booted.conf")]);
    lb1.run(&["systemctl", "daemon-reload"]);
    for state in ["auto-restart", "stop-post"].repeat(rounds) {
        trial.bed.settle();
        let lb1 = &trial.bed.lb1;
        let since = lab::now();
        lb1.run(&["systemctl", "kill", "--signal=KILL", VIPD]);
        until(&format!("the unit is in {state}"), SOON, || {
            (lb1.property(VIPD, "SubState") == state).then_some(())
        });
        lb1.run(&["systemctl", "stop", VIPD]);
        wait::within(INTERVAL, || left(lb1).is_empty().then_some(()));
        let remains = left(lb1);
        tell(&remains);
        lb1.run(&["systemctl", "start", VIPD]);
        trial.count(DOWN_LEFT, VIPD, remains.len(), since);
    }
    trial.bed.lb1.run(&["rm", "-r", DROP_INS]);
    trial.bed.lb1.run(&["systemctl", "daemon-reload"]);
}

/// Installs the program again and has it go on in the place of the one that runs.
pub(crate) fn upgrade(trial: &mut Trial, rounds: usize) {
    for round in 0..rounds {
        let mut failures = 0;
        let seen = trial.watch(VIPD, round, |bed| {
            failures = upgraded_in_place(&bed.lb1, |lb1| {
                install_programs(lb1);
                lb1.run(&["vipctl", "upgrade"]);
            });
        });
        trial.count(UPGRADE_FAILED, VIPD, failures, seen.from);
        upgraded(trial, VIPD, seen);
    }
}

/// Has a host upgraded, and answers how much of it went wrong: it is the same process, with the new program, and has
/// adopted what it had.
pub(crate) fn upgraded_in_place(host: &Booted, upgrade: impl FnOnce(&Booted)) -> usize {
    let since = lab::now();
    let before = host.property(VIPD, "MainPID");
    upgrade(host);
    let adopted = || {
        let said = journal(host, Some(VIPD), since);
        said.iter().any(|(_, line)| line.contains("-> MASTER: adopted")).then_some(())
    };
    let adopted = wait::within(3 * INTERVAL, adopted).is_some();
    let after = host.property(VIPD, "MainPID");
    let new = file(host, &format!("/proc/{after}/exe")) == file(host, "/usr/sbin/vipd");
    [adopted, before == after, new].iter().filter(|kept| !**kept).count()
}

fn upgraded(trial: &mut Trial, agent: &'static str, seen: Seen) {
    trial.count(UPGRADE, agent, seen.lost, seen.from);
    trial.judge(UPGRADE_SILENCE, agent, seen.silence, seen.from);
    trial.count(UPGRADE_PEER, agent, seen.transitions, seen.from);
}

/// Takes it out of both hosts, of the master first.
pub(crate) fn uninstall(trial: &mut Trial) {
    let since = lab::now();
    let mut remains = Vec::new();
    for host in [&trial.bed.lb1, &trial.bed.lb2] {
        host.run(&["/src/scripts/install", "--uninstall"]);
        let files = "find /usr /lib /etc/systemd /run -name 'vip*' -not -path '/usr/share/bash-completion/*'";
        let files = host.run(&["sh", "-c", files]);
        remains.extend(files.lines().map(str::to_owned).chain(left(host)));
    }
    tell(&remains);
    trial.count(UNINSTALL, VIPD, remains.len(), since);
}

/// Which file a name leads to.
fn file(host: &Booted, name: &str) -> String {
    host.run(&["stat", "--dereference", "--format=%d:%i", name])
}

/// What an agent has left on a host: addresses, an nftables table, a state file, a process.
pub(crate) fn left(host: &Booted) -> Vec<String> {
    let on = host.run(&["ip", "-oneline", "address", "show"]);
    let ours = |line: &&str| ADDRESSES.iter().any(|address| line.contains(&format!(" {address}/")));
    let addresses = on.lines().filter(ours).map(str::to_owned);
    let tables = host.run(&["nft", "list", "tables"]);
    let tables = tables.lines().filter(|line| line.contains("vipd")).map(str::to_owned);
    let (state, _, _) = host.try_run(&["test", "-e", "/run/vipd/state.json"]);
    let state = state.then(|| "/run/vipd/state.json".to_owned());
    addresses.chain(tables).chain(state).collect()
}

/// Names what is left.
pub(crate) fn tell(remains: &[String]) {
    for what in remains {
        println!("  left behind: {what}");
    }
}
