//! When a drill is not to be run: each reason in a sentence. A drill that makes things worse than they are proves nothing.

use super::peer::counterpart;
use crate::agent::changes::Changes;
use crate::agent::report::{Health, Instance, Report, Role};
use crate::cli::output::age;
use crate::cli::status::{master, words};
use crate::time::Duration;

/// What speaks against it on this node, where all must have been quiet for a while.
pub(super) fn here(report: &Report, one: &Instance, past: &Changes, quiet: Duration) -> Option<String> {
    let name = &one.name;
    if one.stepped_down || one.drained.is_some() {
        return Some(format!("{name} is kept away from this node; 'vipctl resume {name}' takes that back"));
    }
    if one.state != Role::Master {
        let state = words(one.state);
        return Some(format!(
            "{name} is {state} here, and a drill begins on the master, which is {}",
            master(one)
        ));
    }
    if let Some(duplicate) = &one.duplicate {
        return Some(format!("{name} has a second holder, {}", duplicate.who));
    }
    if report.health != Health::Healthy {
        let first = report.problems.first().map_or_else(String::new, |problem| format!(": {problem}"));
        return Some(format!("this node is not healthy but {}{first}", report.health.words()));
    }
    let drill = past.changes.iter().rev().find(|change| change.reason_kind == "drill");
    if let Some(drill) = drill
        && report.time.since(drill.time) < quiet
    {
        let ago = age(report.time.since(drill.time));
        return Some(format!("there was a drill {ago} ago; it takes {} of quiet", age(quiet)));
    }
    let since = report.time.since(one.since);
    if since < quiet {
        return Some(format!(
            "{name} became MASTER only {} ago; it takes {} of quiet",
            age(since),
            age(quiet)
        ));
    }
    None
}

/// What speaks against it on the node that is to take over.
pub(super) fn there(theirs: &Report, one: &Instance, peer: &str) -> Option<String> {
    let Some(other) = counterpart(theirs, one) else {
        return Some(format!("{peer} has no instance with virtual router id {}", one.virtual_router_id));
    };
    if other.stepped_down || other.drained.is_some() {
        return Some(format!("{} is kept away from {peer}, which would not take over", other.name));
    }
    if other.state != Role::Backup {
        let state = words(other.state);
        return Some(format!("{} on {peer} is no living backup but {state}: {}", other.name, other.reason));
    }
    let silent = other.master().map(|master| theirs.time.since(master.heard));
    if silent.is_none_or(|silent| silent > patience(other)) {
        return Some(format!("{peer} does not hear this node's adverts"));
    }
    None
}

/// How old the last advert may be: the report is up to some 50 ms old itself.
fn patience(one: &Instance) -> Duration {
    let down = one.routers.iter().map(|router| router.master_down_ms).fold(0.0, f64::max);
    Duration::from_secs_f64(down.min(1e7) / 1000.0) + Duration::from_millis(200)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::specimen;

    const QUIET: Duration = Duration::from_secs(60);

    fn past(report: &Report, kind: Option<&str>) -> Changes {
        let change = |kind: &str| crate::agent::changes::Change {
            time: report.time.minus(Duration::from_secs(42)),
            instance: Some("web".to_owned()),
            group: None,
            from: None,
            to: None,
            reason_kind: kind.to_owned(),
            reason: "drill: crash, by uid 0".to_owned(),
            gap_ms: None,
            successor: None,
        };
        let (node, time) = (report.node.clone(), report.time);
        let changes = kind.map(change).into_iter().collect();
        Changes { schema: 1, node, time, since: time, kept_since: None, left_out: 0, lost: 0, changes }
    }

    fn quiet() -> Report {
        let mut report = specimen::report();
        report.health = Health::Healthy;
        report.problems.clear();
        report
    }

    #[test]
    fn a_quiet_master_may_be_drilled_and_nothing_else() {
        let report = quiet();
        let (web, mail) = (report.instances[0].clone(), report.instances[1].clone());
        let refused = |one: &Instance| here(&report, one, &past(&report, None), QUIET);
        assert_eq!(refused(&web), None);
        let said = refused(&mail).unwrap();
        assert!(said.starts_with("mail is BACKUP here, and a drill begins on the master"), "{said}");
        let said = refused(&Instance { stepped_down: true, ..web.clone() }).unwrap();
        assert!(said.contains("'vipctl resume web'"), "{said}");
        let said =
            refused(&Instance { since: report.time.minus(Duration::from_secs(9)), ..web.clone() }).unwrap();
        assert_eq!(said, "web became MASTER only 9s ago; it takes 1m of quiet");
        let drilled = past(&report, Some("drill"));
        let said = here(&report, &web, &drilled, QUIET).unwrap();
        assert_eq!(said, "there was a drill 42s ago; it takes 1m of quiet");
        assert_eq!(here(&report, &web, &past(&report, Some("asked")), QUIET), None);
        let ill =
            Report { health: Health::Degraded, problems: vec!["nginx is down".to_owned()], ..report.clone() };
        let said = here(&ill, &web, &past(&report, None), QUIET).unwrap();
        assert_eq!(said, "this node is not healthy but degraded: nginx is down");
    }

    #[test]
    fn a_peer_has_to_be_a_living_backup_that_hears_us() {
        let (ours, mut theirs) = (quiet(), quiet());
        let web = ours.instances[0].clone();
        theirs.instances[0].state = Role::Fault;
        theirs.instances[0].reason = "nginx is down".to_owned();
        assert_eq!(
            there(&theirs, &web, "lb2").unwrap(),
            "web on lb2 is no living backup but FAULT: nginx is down"
        );
        theirs.instances[0].state = Role::Backup;
        for router in &mut theirs.instances[0].routers {
            router.master = None;
        }
        assert_eq!(there(&theirs, &web, "lb2").unwrap(), "lb2 does not hear this node's adverts");
        theirs.instances.clear();
        assert!(there(&theirs, &web, "lb2").unwrap().contains("has no instance with virtual router id"));
    }
}
