//! An agent that is killed, alone or with all its processes, or hangs.

use std::time::Duration;

use lab::table::Target;
use lab::{Booted, claim, until, wait};

use crate::bed::{Bed, KEEPALIVED, SOON, VIPD, addresses};
use crate::trial::{Promise, Trial};

const CRASH: Promise = Promise {
    name: "SIGKILL of the process that speaks VRRP: client outage",
    unit: "ms",
    target: Target::Every(20.0),
};
const CRASH_PEER: Promise = Promise {
    name: "SIGKILL of the process that speaks VRRP: transitions of the other node",
    unit: "transitions",
    target: Target::Never,
};
const ALL: Promise = Promise {
    name: "SIGKILL of all processes of the unit, as when memory runs out: client outage",
    unit: "ms",
    target: Target::Every(20.0),
};
const ALL_PEER: Promise = Promise {
    name: "SIGKILL of all processes of the unit: transitions of the other node",
    unit: "transitions",
    target: Target::Never,
};
const ALL_TWO: Promise = Promise {
    name: "SIGKILL of all processes of the unit: two answer, of the 6 s watched",
    unit: "s",
    target: Target::Never,
};
const HANG_TWO: Promise =
    Promise { name: "SIGSTOP: two answer, of the 6 s watched", unit: "s", target: Target::Never };
const HANG: Promise = Promise {
    name: "SIGSTOP: client outage until the other node has taken over",
    unit: "ms",
    // The backup's Skew_Time, which is what Master_Down_Interval has over the lease, and 50 ms.
    target: Target::Every(609.4 + 50.0),
};
const WATCHDOG: Promise = Promise {
    name: "SIGSTOP: started again by the watchdog after",
    unit: "s",
    // WatchdogSec, and what a restart takes.
    target: Target::Every(12.0),
};

/// How long two are looked for. keepalived's backup takes over after 3.6 s.
const LOOKED: Duration = Duration::from_secs(6);
/// How often.
const ASKED: Duration = Duration::from_millis(200);

/// Kills the process that speaks VRRP; whoever supervises it starts it again.
pub(crate) fn crash(trial: &mut Trial, agent: &'static str, rounds: usize) {
    for round in 0..rounds {
        trial.before_a_crash();
        let seen = trial.watch(agent, round, |bed| {
            let victim = speaker(&bed.lb1, agent);
            signal(&bed.lb1, "KILL", &victim);
            comes_back(bed, agent, &victim);
            if agent == KEEPALIVED {
                // Its addresses go when it is started again, and come back when it has been heard again.
                bed.settle();
            }
        });
        trial.after_a_crash();
        trial.judge(CRASH, agent, seen.outage, seen.from);
        trial.count(CRASH_PEER, agent, seen.transitions, seen.from);
    }
}

/// Kills all processes of the unit at once.
pub(crate) fn all_at_once(trial: &mut Trial, agent: &'static str, rounds: usize) {
    for round in 0..rounds {
        trial.before_a_crash();
        let mut two = Duration::ZERO;
        let seen = trial.watch(agent, round, |bed| {
            let victim = speaker(&bed.lb1, agent);
            bed.lb1.run(&["systemctl", "kill", "--signal=KILL", agent]);
            two = both_answer(bed, LOOKED, || true);
            if agent == VIPD {
                comes_back(bed, agent, &victim);
            } else if bed.lb1.property(agent, "ActiveState") != "active" {
                bed.lb1.run(&["systemctl", "start", agent]);
            }
        });
        trial.after_a_crash();
        trial.judge(ALL_TWO, agent, two.as_secs_f64(), seen.from);
        trial.judge(ALL, agent, seen.outage, seen.from);
        trial.count(ALL_PEER, agent, seen.transitions, seen.from);
    }
}

/// Lets all processes of the unit hang, until the watchdog does something about it, or for a while.
pub(crate) fn hang(trial: &mut Trial, agent: &'static str, rounds: usize) {
    for round in 0..rounds {
        let (mut two, mut restarted) = (Duration::ZERO, None);
        let seen = trial.watch(agent, round, |bed| {
            let victim = speaker(&bed.lb1, agent);
            let from = lab::now();
            bed.lb1.run(&["systemctl", "kill", "--signal=STOP", agent]);
            // Until the watchdog has acted: when the agent comes back it takes over, and both may answer at that moment.
            two = both_answer(bed, LOOKED, || is_running(&bed.lb1, agent, &victim));
            if agent == VIPD {
                comes_back(bed, agent, &victim);
                restarted = Some(Duration::from_nanos(lab::now() - from));
            } else {
                bed.lb1.run(&["systemctl", "kill", "--signal=CONT", agent]);
            }
            bed.settle();
        });
        trial.judge(HANG_TWO, agent, two.as_secs_f64(), seen.from);
        if let Some(restarted) = restarted {
            trial.judge(HANG, agent, seen.outage, seen.from);
            trial.judge(WATCHDOG, agent, restarted.as_secs_f64(), seen.from);
        }
    }
}

/// The process that speaks VRRP: the unit's only one, or keepalived's child.
fn speaker(host: &Booted, agent: &str) -> String {
    let main = host.property(agent, "MainPID");
    let group = host.property(agent, "ControlGroup");
    // Nothing while none runs.
    let (_, members, _) = host.try_run(&["cat", &format!("/sys/fs/cgroup{group}/cgroup.procs")]);
    members.lines().find(|pid| **pid != main).map_or(main, str::to_owned)
}

fn signal(host: &Booted, signal: &str, pid: &str) {
    host.run(&["sh", "-c", &format!("kill -{signal} {pid}")]);
}

fn is_running(host: &Booted, agent: &str, pid: &str) -> bool {
    speaker(host, agent) == pid
}

/// Waits until another process is in the place of the one that was killed.
fn comes_back(bed: &Bed, agent: &str, killed: &str) {
    until(&format!("{agent} is started again"), SOON, || {
        let active = bed.lb1.property(agent, "ActiveState") == "active";
        let new = speaker(&bed.lb1, agent);
        (active && new != killed && new != "0").then_some(())
    });
}

/// How long two nodes answered for one of the addresses, to one question.
fn both_answer(bed: &Bed, watched: Duration, go_on: impl Fn() -> bool) -> Duration {
    let end = lab::now() + u64::try_from(watched.as_nanos()).expect("a few seconds");
    let mut two = Duration::ZERO;
    let mut last = lab::now();
    while lab::now() < end && go_on() {
        let twice = addresses().into_iter().any(|address| claim::who_has(&bed.client, address).len() > 1);
        wait::observe(ASKED.saturating_sub(Duration::from_nanos(lab::now() - last)));
        let now = lab::now();
        if twice {
            two += Duration::from_nanos(now - last);
        }
        last = now;
    }
    two
}
