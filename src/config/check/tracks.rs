//! Instances and checks: a track names a check that exists, and can do what it says.

use std::collections::BTreeSet;

use crate::codes::Code;
use crate::config::checks::Check;
use crate::config::groups::Group;
use crate::config::instance::Instance;
use crate::config::problem::{At, Findings};
use crate::config::spelling;
use crate::engine::settings::{Effect, Track};

/// Notes tracks and checks that do not find each other, and weights that cannot weigh.
pub(super) fn agree(instances: &[Instance], groups: &[Group], checks: &[Check], findings: &Findings) {
    let names: BTreeSet<&str> = checks.iter().map(|check| check.name.value.as_str()).collect();
    let mut tracked = BTreeSet::new();
    let mut whole = true;
    let tracks = instances.iter().map(|instance| &instance.tracks);
    for tracks in tracks.chain(groups.iter().map(|group| &group.tracks)) {
        whole &= tracks.whole;
        for track in &tracks.list {
            if !names.contains(track.value.check.as_str()) {
                findings.error(&track.spot, Code::NobodyNamed, unknown(&track.value.check, checks));
                whole = false;
            }
            tracked.insert(track.value.check.as_str());
            values(track, checks, findings);
        }
    }
    for instance in instances {
        weights(instance, findings);
    }
    // A check that seems unused may be what a wrong track meant.
    for check in checks.iter().filter(|check| whole && !tracked.contains(check.name.value.as_str())) {
        findings.warn(&check.name.spot, Code::NoEffect, "no instance tracks this check, so it moves nothing");
    }
}

fn weights(instance: &Instance, findings: &Findings) {
    let owner = instance.priority.as_ref().is_some_and(|priority| priority.value.is_owner());
    let stays = instance.preempt.as_ref().is_some_and(|preempt| !preempt.value);
    let is_weight = |track: &&At<Track>| track.value.effect.weight().is_some();
    for track in instance.tracks.list.iter().filter(is_weight) {
        if owner {
            findings.warn(
                &track.spot,
                Code::NoEffect,
                "a weight never moves an owner's priority of 255; write fault",
            );
        } else if stays {
            // The other node obeys its own configuration, which is most likely the same.
            findings.warn(
                &track.spot,
                Code::NoEffect,
                "with 'preempt: false' a weight moves nothing, the lower master stays; write fault",
            );
        }
    }
    if !owner {
        clamped(instance, findings);
    }
}

/// A value is no verdict, and only what has a value can be multiplied.
fn values(track: &At<Track>, checks: &[Check], findings: &Findings) {
    let Some(check) = checks.iter().find(|check| check.name.value == track.value.check) else { return };
    let Some(has_value) = check.has_value() else { return };
    match track.value.effect {
        Effect::Multiply(_) if !has_value => {
            findings.error(
                &track.spot,
                Code::Contradiction,
                "only a 'value_file' has a value to multiply; write a weight or fault",
            );
        }
        Effect::Weight(weight) | Effect::ReversedWeight(weight) if has_value => {
            let what = format!(
                "a 'value_file' has a value and not two states; write '{{ multiply: 1 }}' to add it, or '{{ multiply: {weight} }}' if it is 0 or 1"
            );
            findings.error(&track.spot, Code::Contradiction, what);
        }
        Effect::Multiply(_)
        | Effect::Weight(_)
        | Effect::ReversedWeight(_)
        | Effect::Fault
        | Effect::FaultWhileUp => {}
    }
}

/// How many names an answer lists.
const LISTED: usize = 20;

fn unknown(name: &str, checks: &[Check]) -> String {
    let names = || checks.iter().map(|check| check.name.value.as_str());
    if checks.is_empty() {
        return format!("no check is named '{name}'; there are none, write one under 'checks'");
    }
    let hint = spelling::nearest(name, names()).map(|word| format!("did you mean '{word}'? "));
    let more = if checks.len() > LISTED { ", .." } else { "" };
    let listed: Vec<&str> = names().take(LISTED).collect();
    format!("no check is named '{name}'; {}there are: {}{more}", hint.unwrap_or_default(), listed.join(", "))
}

/// A priority ends at 254 and at 1: beyond, two nodes that were meant to differ are equal.
fn clamped(instance: &Instance, findings: &Findings) {
    let Some(priority) = &instance.priority else { return };
    let priority = i32::from(priority.value.get());
    let mut most = priority;
    for track in &instance.tracks.list {
        let Some(weight) = track.value.effect.weight().map(i32::from) else { continue };
        most += weight.max(0);
        if weight > 0 && most > 254 {
            let what =
                format!("priority {priority} and the weights make {most}, but it ends at 254; write less");
            findings.warn(&track.spot, Code::Clamped, what);
        } else if priority + weight < 1 {
            let what = format!(
                "priority {priority} and this make {}, but it ends at 1; write less",
                priority + weight
            );
            findings.warn(&track.spot, Code::Clamped, what);
        }
    }
}
