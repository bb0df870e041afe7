//! The report as metrics, for collectors: numbers with a name, labels and a sentence about what they mean.
//!
//! Everything is made from the report when somebody asks; nothing is counted here. A collector has no better picture
//! than whoever reads `vipctl status`.
//!
//! | file | what it knows |
//! |---|---|
//! | here | what a family of metrics is, and which there are |
//! | `agent`, `instances`, `checks` | the families about one topic each |
//! | `keepalived` | the names that an exporter for keepalived gives some of them |
//! | `text` | the two text forms: OpenMetrics 1.0 and what Prometheus had before |
//!
//! The label of an instance's name is `name`, as in the report: `instance` is what Prometheus itself calls the host that
//! it asks, and it would rename ours.

mod agent;
mod checks;
mod instances;
mod keepalived;
mod near;
pub mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::report::Report;

/// Metrics with one name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Family {
    /// The name, without what a counter's samples have at their end.
    pub name: &'static str,
    /// What kind of numbers they are.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What it means, as a sentence.
    pub help: &'static str,
    /// The numbers.
    pub samples: Vec<Sample>,
}

/// What kind of numbers metrics are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// They go up and down.
    Gauge,
    /// They only go up, until the agent starts anew.
    Counter,
    /// It is always 1; the labels say it.
    Info,
    /// How many there were, and what they are together.
    Summary,
    /// The same, and how many were no greater than each of some numbers.
    Histogram,
}

/// One number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// What stands behind the family's name: `_total`, `_sum`, ..
    pub suffix: &'static str,
    /// What it is about.
    pub labels: Labels,
    /// It.
    pub value: f64,
}

/// Names and values of labels.
pub type Labels = BTreeMap<&'static str, String>;

/// Everything there is; with the names for keepalived, too, if that is wanted.
pub fn families(report: &Report, keepalived_names: bool) -> Vec<Family> {
    let mut families = agent::families(report);
    families.extend(instances::families(&report.instances, report.time));
    families.extend(checks::families(report));
    if keepalived_names {
        families.extend(keepalived::families(report));
    }
    families
}

impl Family {
    /// A family of plain numbers. Two about the same thing are added up: a collector takes only one.
    fn new(
        kind: Kind,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) -> Self {
        let suffix = match kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Summary | Kind::Histogram => "",
        };
        let mut family = Self { name, kind, help, samples: Vec::new() };
        let mut seen = BTreeSet::new();
        for (labels, value) in samples {
            if seen.insert(labels.clone()) {
                family.samples.push(Sample { suffix, labels, value });
            } else if let Some(same) = family.samples.iter_mut().find(|one| one.labels == labels) {
                same.value += value;
            }
        }
        family
    }

    fn gauge(
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) -> Self {
        Self::new(Kind::Gauge, name, help, samples)
    }

    fn counter(
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) -> Self {
        Self::new(Kind::Counter, name, help, samples)
    }

    /// The unit that its name ends with.
    fn unit(&self) -> Option<&'static str> {
        self.name.ends_with("_seconds").then_some("seconds")
    }
}

/// `more` labels beside `labels`.
fn with<const N: usize>(labels: &Labels, more: [(&'static str, &str); N]) -> Labels {
    let mut labels = labels.clone();
    labels.extend(more.map(|(name, value)| (name, value.to_owned())));
    labels
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, which nothing here counts to")]
const fn number(count: u64) -> f64 {
    count as f64
}

/// Seconds, to the microsecond.
fn of_millis(millis: f64) -> f64 {
    (millis * 1000.0).round() / 1_000_000.0
}

fn truth(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^53")]
fn seconds(time: super::stamp::Stamp) -> f64 {
    time.milliseconds() as f64 / 1000.0
}
