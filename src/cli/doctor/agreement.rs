//! What the running agent knows of the others: its own problems, and the adverts that it had to discard.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::scene::Scene;
use crate::agent::report::{Instance, Severity};
use crate::codes::Code;
use crate::engine::notice::Discard;

/// Looks at the report, if there is one.
pub(super) fn look(scene: &Scene) -> Vec<Finding> {
    let Some(report) = &scene.report else { return Vec::new() };
    let mut found = Vec::new();
    for one in report.findings.iter().filter(|finding| finding.severity == Severity::Problem) {
        if let Ok(code) = one.code.parse::<Code>() {
            let remedy = format!("vipctl explain {code}");
            found.push(Finding::problem(code, "agent", one.text.clone()).remedy(remedy));
        }
    }
    found.extend(report.instances.iter().flat_map(adverts));
    found
}

/// What was discarded since the agent started; what is discarded now is among its problems.
fn adverts(instance: &Instance) -> Vec<Finding> {
    let mut counted: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut mismatches, mut received, mut forms) = (0, 0, [0, 0]);
    for router in &instance.routers {
        let counters = &router.counters;
        for (reason, count) in &counters.discarded {
            *counted.entry(reason).or_default() += count;
        }
        mismatches += counters.address_mismatches;
        received += counters.adverts_received;
        forms[0] += counters.pseudo_header_checksums;
        forms[1] += counters.message_checksums;
    }
    let (code, name) = (Code::AdvertsDiffer, &instance.name);
    let mut said = Vec::new();
    for discard in Discard::ALL {
        let count = counted.get(discard.as_str()).copied().unwrap_or(0);
        if let (Some(what), 1..) = (discard.disagreement(), count) {
            said.push(format!("{count} discarded, for {what}"));
        }
    }
    if mismatches > 0 {
        said.push(format!("{mismatches} listed other addresses than this configuration"));
    }
    if forms.iter().all(|count| *count > 0) {
        said.push(format!(
            "two forms of checksum were heard: {} with, {} without a pseudo-header",
            forms[0], forms[1]
        ));
    }
    if said.is_empty() {
        let what = format!("{received} adverts were heard, and none that disagrees");
        return vec![Finding::good(code, name, what)];
    }
    let remedy = "vipctl doctor --peer ssh://HOST";
    let advice =
        |what| Finding::advice(code, name, format!("adverts since the start: {what}")).remedy(remedy);
    said.into_iter().map(advice).collect()
}
