//! A host that boots before its network card is there.

use std::process::Command;

use lab::table::Target;
use lab::{Probe, until};

use crate::bed::{SOON, VIPD, addresses};
use crate::trial::{Promise, Trial};

const UNIT: Promise = Promise {
    name: "booted before the interface exists: unit failed, restarted or not ready",
    unit: "times",
    target: Target::Never,
};
const MASTER: Promise = Promise {
    name: "booted before the interface exists: master after it has appeared",
    // Master_Down_Interval with priority 150, and half a second to be plugged in.
    unit: "s",
    target: Target::Every(3.414 + 0.5),
};

/// Boots lb1 with its unit enabled and without its interface, which comes when the system is up.
pub(crate) fn before_the_interface(trial: &mut Trial, rounds: usize) {
    for _ in 0..rounds {
        let host = trial.bed.lb1.host().clone();
        trial.bed.lb1.power_off();
        let since = lab::now();
        host.run("ip", &["link", "set", "dev", "eth0", "netns", "switch"]);
        trial.bed.lb1.boot().unwrap_or_else(|why| panic!("lb1 boots: {why}"));
        let lb1 = &trial.bed.lb1;
        let wanted = [("ActiveState", "active"), ("NRestarts", "0"), ("StatusText", "0 of 1 masters")];
        let odd: Vec<_> = wanted.iter().filter(|(key, value)| lb1.property(VIPD, key) != *value).collect();
        println!("  {VIPD}: {}", lb1.try_run(&["vipctl", "status"]).1.lines().nth(2).unwrap_or_default());
        trial.count(UNIT, VIPD, odd.len(), since);
        let back = ["link", "set", "dev", "eth0", "netns", host.name()];
        let plugged = host.beside_the_switch(|| Command::new("ip").args(back).status());
        assert!(plugged.is_ok_and(|status| status.success()), "eth0 goes back to lb1");
        host.set_up();
        let appeared = lab::now();
        let probes = addresses().map(|address| Probe::start(&trial.bed.client, address));
        let answered = probes.each_ref().map(|probe| probe.wait_for(&host, appeared, SOON));
        let last = answered.into_iter().max().unwrap_or(appeared);
        trial.judge(MASTER, VIPD, std::time::Duration::from_nanos(last - appeared).as_secs_f64(), since);
        until("the unit says so", SOON, || {
            (trial.bed.lb1.property(VIPD, "StatusText") == "1 of 1 masters").then_some(())
        });
    }
}
