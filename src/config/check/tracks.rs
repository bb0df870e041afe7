//! Instances and checks: a track names a check that exists, and can do what it says.

use crate::config::checks::Check;
use crate::config::instance::Instance;
use crate::config::problem::Findings;
use crate::config::spelling;
use crate::engine::settings::Effect;

/// Notes tracks of unknown checks, and weights that cannot weigh.
pub(super) fn agree(instance: &Instance, checks: &[Check], findings: &Findings) {
    for track in &instance.tracks.list {
        if !checks.iter().any(|check| check.name.value == track.value.check) {
            findings.error(&track.spot, unknown(&track.value.check, checks));
        }
    }
    let owner = instance.priority.as_ref().is_some_and(|priority| priority.value.is_owner());
    let stays = instance.preempt.as_ref().is_some_and(|preempt| !preempt.value);
    for track in instance.tracks.list.iter().filter(|track| track.value.effect != Effect::Fault) {
        if owner {
            findings.warn(&track.spot, "a weight never moves an owner's priority of 255; write fault");
        } else if stays {
            // The other node obeys its own configuration, which is most likely the same.
            findings.warn(
                &track.spot,
                "with 'preempt: false' a weight moves nothing, the lower master stays; write fault",
            );
        }
    }
    if !owner {
        clamped(instance, findings);
    }
}

fn unknown(name: &str, checks: &[Check]) -> String {
    let names: Vec<&str> = checks.iter().map(|check| check.name.value.as_str()).collect();
    if names.is_empty() {
        return format!("no check is named '{name}'; there are none, write one under 'checks'");
    }
    let hint = spelling::nearest(name, names.iter().copied()).map(|word| format!("did you mean '{word}'? "));
    format!("no check is named '{name}'; {}there are: {}", hint.unwrap_or_default(), names.join(", "))
}

/// A priority ends at 254 and at 1: beyond, two nodes that were meant to differ are equal.
fn clamped(instance: &Instance, findings: &Findings) {
    let Some(priority) = &instance.priority else { return };
    let priority = i32::from(priority.value.get());
    let mut most = priority;
    for track in &instance.tracks.list {
        let Effect::Weight(weight) = track.value.effect else { continue };
        let weight = i32::from(weight);
        most += weight.max(0);
        if weight > 0 && most > 254 {
            let what =
                format!("priority {priority} and the weights make {most}, but it ends at 254; write less");
            findings.warn(&track.spot, what);
        } else if priority + weight < 1 {
            let what = format!(
                "priority {priority} and this make {}, but it ends at 1; write less",
                priority + weight
            );
            findings.warn(&track.spot, what);
        }
    }
}

/// Notes checks that nobody tracks; not while a track is wrong that may be meant for them.
pub(super) fn unused(checks: &[Check], instances: &[Instance], findings: &Findings) {
    let named = |name: &str| checks.iter().any(|check| check.name.value == name);
    let right = |instance: &Instance| {
        instance.tracks.whole && instance.tracks.list.iter().all(|track| named(&track.value.check))
    };
    if !instances.iter().all(right) {
        return;
    }
    for check in checks {
        let mut tracks = instances.iter().flat_map(|instance| &instance.tracks.list);
        if !tracks.any(|track| track.value.check == check.name.value) {
            findings.warn(&check.name.spot, "no instance tracks this check, so it moves nothing");
        }
    }
}
