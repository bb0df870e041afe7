//! What there is to measure of near misses: how close backups came to taking over.

use super::{Family, Kind, Labels, Sample, number, seconds, with};
use crate::agent::report::{Instance, NearMisses};

/// The families of near misses, of instances with these labels.
pub(super) fn families(instances: &[&Instance], labels: impl Fn(&Instance) -> Labels) -> Vec<Family> {
    let all: Vec<(Labels, &NearMisses)> = instances
        .iter()
        .flat_map(|one| one.routers.iter().map(|router| (*one, router)))
        .map(|(one, router)| (with(&labels(one), [("family", &router.family)]), &router.near_misses))
        .collect();
    let count = all.iter().map(|(labels, near)| (labels.clone(), number(near.count)));
    let last =
        all.iter().filter_map(|(labels, near)| Some((labels.clone(), seconds(near.last.as_ref()?.time))));
    let worst = all.iter().flat_map(|(labels, near)| {
        let spans = [("all", &near.worst), ("day", &near.worst_day), ("hour", &near.worst_hour)];
        spans
            .into_iter()
            .filter_map(|(span, gap)| Some((with(labels, [("within", span)]), share(gap.as_ref()?.percent))))
    });
    vec![
        Family {
            name: "vipd_near_miss_gap_ratio",
            kind: Kind::Histogram,
            help: "The time between two adverts of a master, as a share of the time after which this node takes over.",
            samples: all.iter().flat_map(|(labels, near)| histogram(labels, near)).collect(),
        },
        Family::gauge(
            "vipd_near_miss_worst_ratio",
            "The largest of these shares since the start, within 24 hours, and within an hour.",
            worst,
        ),
        Family::counter("vipd_near_misses", "How often a backup nearly took over.", count),
        Family::gauge(
            "vipd_near_miss_last_timestamp_seconds",
            "When a backup nearly took over last, in seconds since 1970.",
            last,
        ),
    ]
}

/// A percentage as a fraction, to a thousandth.
fn share(percent: f64) -> f64 {
    (percent * 10.0).round() / 1000.0
}

fn histogram(labels: &Labels, near: &NearMisses) -> Vec<Sample> {
    let sample = |suffix, labels, value| Sample { suffix, labels, value };
    let mut samples = Vec::new();
    let mut gaps = 0;
    for one in &near.gaps {
        gaps += one.count;
        // Written as a fraction, as OpenMetrics wants it.
        let le = one
            .below_percent
            .map_or_else(|| "+Inf".to_owned(), |below| (f64::from(below) / 100.0).to_string());
        samples.push(sample("_bucket", with(labels, [("le", le.as_str())]), number(gaps)));
    }
    samples.push(sample("_sum", labels.clone(), share(near.total_percent)));
    samples.push(sample("_count", labels.clone(), number(gaps)));
    samples
}
