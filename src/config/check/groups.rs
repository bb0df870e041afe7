//! Groups and instances: a member is an instance, in one group, and its priority is the others'.

use std::collections::BTreeMap;

use crate::codes::Code;
use crate::config::duration;
use crate::config::groups::Group;
use crate::config::instance::Instance;
use crate::config::problem::Findings;
use crate::config::spelling;
use crate::time::Duration;

/// Notes members that are not there, or in two groups, and what would make members disagree.
pub(super) fn agree(groups: &[Group], instances: &[Instance], findings: &Findings) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for group in groups {
        let name = group.name.value.as_str();
        if instances.iter().any(|instance| instance.name.value == name) {
            let what = "an instance has this name already; orders name either, so write another";
            findings.error(&group.name.spot, Code::NameTaken, what);
        }
        for member in &group.members {
            let known = instances.iter().map(|instance| instance.name.value.as_str());
            if !known.clone().any(|known| known == member.value) {
                let hint = spelling::nearest(&member.value, known.clone());
                let hint = hint.map(|word| format!("did you mean '{word}'? ")).unwrap_or_default();
                let known = known.collect::<Vec<_>>().join(", ");
                let what = format!("no instance is named '{}'; {hint}there are: {known}", member.value);
                findings.error(&member.spot, Code::NobodyNamed, what);
            }
            match seen.insert(&member.value, name) {
                Some(other) if other == name => {
                    findings.error(
                        &member.spot,
                        Code::WrittenTwice,
                        format!("'{}' is written twice; remove one", member.value),
                    );
                }
                Some(other) => {
                    let what =
                        format!("group '{other}' has '{}' already; write it in one of them", member.value);
                    findings.error(&member.spot, Code::WrittenTwice, what);
                }
                None => {}
            }
        }
        priorities(group, instances, findings);
        patience(group, instances, findings);
    }
}

/// With different priorities each of two nodes can be the better one somewhere, and both give everything up.
fn priorities(group: &Group, instances: &[Instance], findings: &Findings) {
    let instance = |name: &str| instances.iter().find(|instance| instance.name.value == name);
    let members = group.members.iter().filter_map(|member| instance(&member.value));
    let mut known = None;
    for member in members {
        let Some(priority) = member.priority.as_ref().map(|at| at.value) else { continue };
        let (first, name) = *known.get_or_insert((priority, &member.name.value));
        if priority != first {
            let what = format!(
                "'{}' has priority {priority} and '{name}' {first}: each of two nodes could win one and lose the \
                 other; write the same",
                member.name.value
            );
            findings.warn(&group.name.spot, Code::UnequalGroup, what);
            return;
        }
    }
}

/// Who preempts waits for who does not, or not yet: a lower master stays for all of them.
fn patience(group: &Group, instances: &[Instance], findings: &Findings) {
    let instance = |name: &str| instances.iter().find(|instance| instance.name.value == name);
    let members = group.members.iter().filter_map(|member| instance(&member.value));
    let words = |instance: &Instance| match (&instance.preempt, &instance.preempt_delay) {
        (Some(preempt), _) if !preempt.value => "preempt: false".to_owned(),
        (_, Some(delay)) if delay.value > Duration::ZERO => {
            format!("preempt_delay: {}", duration::shown(delay.value))
        }
        _ => "preempt: true".to_owned(),
    };
    let mut known = None;
    for member in members {
        let words = words(member);
        let (first, name) = known.get_or_insert_with(|| (words.clone(), &member.name.value));
        if words != *first {
            let what = format!(
                "'{}' has '{words}' and '{name}' '{first}': none becomes master before all do; write the same",
                member.name.value
            );
            findings.warn(&group.name.spot, Code::UnequalGroup, what);
            return;
        }
    }
}
