//! The wall clock: whether something keeps it right. Signed adverts, and every comparison of two logs, need that.

use std::fs;

use super::command::ask;
use super::finding::{Finding, Obstacle};
use super::scene::Scene;
use crate::codes::Code;
use crate::engine::settings::AntiReplay;
use crate::time::Duration;

/// How long systemd may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks who knows.
pub(super) fn look(scene: &Scene) -> Vec<Finding> {
    vec![synchronised(scene)]
}

fn synchronised(scene: &Scene) -> Finding {
    let (code, about) = (Code::Clock, "clock");
    if fs::metadata("/run/systemd/timesync/synchronized").is_ok() {
        return Finding::good(code, about, "it is synchronised, by systemd-timesyncd");
    }
    let asked = ask(&["timedatectl", "show", "--property=NTPSynchronized", "--value"], PATIENCE);
    match asked.as_ref().map(|said| said.out.trim()) {
        Ok("yes") => return Finding::good(code, about, "it is synchronised"),
        Ok("no") => {}
        Ok(_) => {
            return Finding::unseen(code, about, Obstacle::Absent, "nobody knows whether it is synchronised");
        }
        Err((why, what)) => return Finding::unseen(code, about, *why, what.clone()),
    }
    let timed = |i: &crate::engine::settings::Instance| {
        i.hmac.as_ref().is_some_and(|hmac| matches!(hmac.anti_replay, AntiReplay::Time { .. }))
    };
    let remedy = "timedatectl set-ntp true";
    if scene.instances().iter().any(timed) {
        let what = "it is not synchronised, and adverts are believed only if they are signed in time";
        Finding::problem(code, about, what).remedy(remedy)
    } else {
        Finding::advice(code, about, "it is not synchronised: logs of the two nodes cannot be compared")
            .remedy(remedy)
    }
}
