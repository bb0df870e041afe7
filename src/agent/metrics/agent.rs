//! What there is to measure of the agent itself: its build, its configuration, its loop, what it lost.

use super::{Family, Kind, Labels, Sample, number, of_millis, seconds, truth};
use crate::agent::report::{Agent, Health, Report};

pub(super) fn families(report: &Report) -> Vec<Family> {
    let agent = &report.agent;
    let one = |value: f64| [(Labels::new(), value)];
    let version = Labels::from([("version", agent.version.clone())]);
    let healths = [
        ("healthy", Health::Healthy),
        ("degraded", Health::Degraded),
        ("no_holder", Health::NoHolder),
        ("duplicate_holder", Health::DuplicateHolder),
    ];
    let health = healths
        .map(|(word, health)| (Labels::from([("health", word.to_owned())]), truth(report.health == health)));
    let configuration = agent.configuration;
    vec![
        Family::new(Kind::Info, "vipd_build", "The version of the agent.", [(version, 1.0)]),
        Family::gauge(
            "vipd_start_timestamp_seconds",
            "When the agent started, in seconds since 1970.",
            one(seconds(agent.started)),
        ),
        Family::gauge("vipd_health", "1 for how things stand, 0 for how they could.", health),
        Family::gauge(
            "vipd_problems",
            "How much is not as it should be; 'vipctl status' says what.",
            one(number(report.problems.len() as u64)),
        ),
        Family::gauge(
            "vipd_config_last_reload_successful",
            "Whether the last reload put a configuration in force; 1 before the first.",
            one(truth(configuration.last_reload_ok != Some(false))),
        ),
        Family::gauge(
            "vipd_config_last_reload_success_timestamp_seconds",
            "Since when the configuration is in force, in seconds since 1970.",
            configuration.since.map(|since| (Labels::new(), seconds(since))),
        ),
        lateness(agent),
        Family::gauge(
            "vipd_loop_worst_lateness_seconds",
            "How late the loop that sends adverts was at worst since the start.",
            one(of_millis(agent.worst_late_ms)),
        ),
        Family::counter(
            "vipd_events",
            "What happened and was recorded; 'vipctl events' tells it.",
            one(number(agent.newest_event)),
        ),
        Family::counter(
            "vipd_events_lost",
            "What happened and was not recorded, for too much waited.",
            one(number(agent.events_lost)),
        ),
        Family::counter(
            "vipd_log_lines_dropped",
            "Lines that were not logged, for nobody took them.",
            one(number(agent.log_lines_dropped)),
        ),
        Family::counter(
            "vipd_unattributed_discards",
            "Datagrams discarded that are for no instance here, by reason.",
            report
                .discarded
                .iter()
                .map(|(reason, count)| (Labels::from([("reason", reason.clone())]), number(*count))),
        ),
    ]
}

/// How late the turns of the protocol loop began.
fn lateness(agent: &Agent) -> Family {
    let lateness = &agent.loop_lateness;
    let sample = |suffix, labels, value| Sample { suffix, labels, value };
    let bucket = |le: String, turns| sample("_bucket", Labels::from([("le", le)]), number(turns));
    // Written as a fraction, as OpenMetrics wants it: 1.0, not 1.
    let up_to = lateness.up_to.iter().map(|one| bucket(format!("{:?}", of_millis(one.late_ms)), one.turns));
    let mut samples: Vec<_> = up_to.chain([bucket("+Inf".to_owned(), lateness.turns)]).collect();
    samples.push(sample("_sum", Labels::new(), of_millis(lateness.total_ms)));
    samples.push(sample("_count", Labels::new(), number(lateness.turns)));
    Family {
        name: "vipd_loop_lateness_seconds",
        kind: Kind::Histogram,
        help: "How late the turns of the loop began that sends adverts.",
        samples,
    }
}
