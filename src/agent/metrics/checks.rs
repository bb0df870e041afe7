//! What there is to measure of checks, and of those who are told of changes.

use super::{Family, Kind, Labels, Sample, number, of_millis, seconds, truth, with};
use crate::agent::report::{Check, Notifier, Report};

pub(super) fn families(report: &Report) -> Vec<Family> {
    let mut families = checks(&report.checks);
    families.extend(notifiers(&report.notifiers));
    families
}

fn labels(check: &Check) -> Labels {
    Labels::from([("check", check.name.clone()), ("kind", check.kind.clone())])
}

fn checks(checks: &[Check]) -> Vec<Family> {
    // An interface is not looked at: the kernel tells.
    let probes = || checks.iter().filter(|check| check.kind != "interface");
    let runs = probes().flat_map(|check| {
        let labels = labels(check);
        [("failed", check.runs.failed), ("ok", check.runs.ok)]
            .map(|(result, runs)| (with(&labels, [("result", result)]), number(runs)))
    });
    let verdicts = checks.iter().filter_map(|check| Some((labels(check), truth(check.up?))));
    let since = checks.iter().filter_map(|check| Some((labels(check), seconds(check.since?))));
    let values = checks.iter().filter_map(|check| Some((labels(check), f64::from(check.value?))));
    let last = checks.iter().filter_map(|check| Some((labels(check), of_millis(check.latency_ms?))));
    let sums = probes().flat_map(|check| {
        let (labels, runs) = (labels(check), check.runs);
        [
            Sample { suffix: "_sum", labels: labels.clone(), value: of_millis(runs.total_ms) },
            Sample { suffix: "_count", labels, value: number(runs.ok + runs.failed) },
        ]
    });
    vec![
        Family::gauge(
            "vipd_check_up",
            "Whether the check is up; nothing before its first verdict.",
            verdicts,
        ),
        Family::gauge(
            "vipd_check_since_timestamp_seconds",
            "Since when the check is up or down, in seconds since 1970.",
            since,
        ),
        Family::gauge("vipd_check_value", "The value of a check that has one.", values),
        Family::counter("vipd_check_runs", "Runs of the check, by result.", runs),
        Family {
            name: "vipd_check_duration_seconds",
            kind: Kind::Summary,
            help: "How long the runs of the check took.",
            samples: sums.collect(),
        },
        Family::gauge("vipd_check_last_duration_seconds", "How long the last run of the check took.", last),
    ]
}

fn notifiers(notifiers: &[Notifier]) -> Vec<Family> {
    // Without the target: a command line or a URL may hold what is not for everybody.
    let labels = |one: &Notifier| {
        let mut labels = Labels::from([("kind", one.kind.clone())]);
        labels.extend(one.instance.clone().map(|name| ("name", name)));
        labels.extend(one.group.clone().map(|group| ("group", group)));
        labels
    };
    let told = notifiers.iter().flat_map(|one| {
        let labels = labels(one);
        [("delivered", one.delivered), ("dropped", one.dropped), ("failed", one.failed)]
            .map(|(result, count)| (with(&labels, [("result", result)]), number(count)))
    });
    let waiting = notifiers.iter().map(|one| (labels(one), number(one.waiting as u64)));
    vec![
        Family::counter(
            "vipd_notifications",
            "News of changes that were delivered, failed, or dropped because too many waited.",
            told,
        ),
        Family::gauge("vipd_notifications_waiting", "News that wait to be told.", waiting),
    ]
}
