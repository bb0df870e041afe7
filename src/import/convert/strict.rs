//! `vrrp_strict` and `strict_mode`: what keepalived changes by them, as far as vipd does not do so anyway. Unicast, for one,
//! it goes on with.

use super::gather::Gathered;
use super::globals::Globals;
use super::values::truth;
use crate::import::blocks::Statement;
use crate::import::report::Report;

/// What keepalived passes over in a strict instance.
const IGNORED: [&str; 5] =
    ["authentication", "preempt_delay", "vmac_xmit_base", "garp_lower_prio_delay", "garp_lower_prio_repeat"];

/// Whether an instance is strict. Then what keepalived passes over is gone, and noted.
pub(super) fn is_strict(gathered: &mut Gathered<'_>, globals: &Globals, report: &mut Report) -> bool {
    let mut strict = globals.strict;
    if let Some(statement) = gathered.last("strict_mode", report)
        && let Some(on) = truth(statement, report)
    {
        strict = on;
        report.converted(statement, "accept");
    }
    if strict {
        for statement in IGNORED.into_iter().flat_map(|keyword| gathered.all(keyword)) {
            ignore(statement, report);
        }
    }
    strict
}

fn ignore(statement: &Statement, report: &mut Report) {
    report.ignored(statement, "not in strict mode; keepalived ignores it");
    for inner in &statement.block {
        ignore(inner, report);
    }
}

/// Whether an instance accepts packets, if that has to be said.
pub(super) fn accept(
    gathered: &mut Gathered<'_>,
    strict: bool,
    version: u32,
    report: &mut Report,
) -> Option<bool> {
    let Some(statement) = gathered.last_of(&["accept", "no_accept"], report) else {
        return strict.then_some(false);
    };
    let asked = statement.keyword() == "accept";
    if asked && strict && version == 2 {
        report.ignored(statement, "not in strict mode with version 2; keepalived ignores it");
        return Some(false);
    }
    report.converted(statement, "accept");
    Some(asked)
}
