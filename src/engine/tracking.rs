//! What checks say reaches the instances: at once, or when it has stood for as long as it has to.

use alloc::vec::Vec;

use super::Engine;
use super::action::Action;
use super::notice::{Notice, What};
use super::verdicts::Edge;
use crate::proto::health::Verdict;
use crate::time::Instant;

impl Engine {
    /// A probe gave another verdict.
    pub(super) fn verdict(
        &mut self,
        now: Instant,
        check: &str,
        verdict: Verdict,
        why: &str,
        out: &mut Vec<Action>,
    ) {
        let edge = self.world.verdicts.update(now, check, verdict, why);
        if edge.is_some() {
            tell(now, edge, out);
            self.settle(now, out);
        }
    }

    /// A probe read another value.
    pub(super) fn value(&mut self, now: Instant, check: &str, value: i32, out: &mut Vec<Action>) {
        if let Some(what) = self.world.verdicts.set_value(now, check, value) {
            out.push(Action::Tell(Notice { at: now, about: None, what }));
            self.settle(now, out);
        }
    }

    /// Everything that happened before `until` is known: what has stood for long enough counts.
    pub(super) fn mature(&mut self, now: Instant, until: Instant, out: &mut Vec<Action>) {
        // Without a picture of the links nobody can say that one is still as it was.
        if self.world.seen && self.world.verdicts.deadline().is_some_and(|at| at <= until) {
            tell(now, self.world.verdicts.mature(until), out);
            self.settle(now, out);
        }
    }

    /// Looks at the interfaces that checks are about.
    pub(super) fn look_at_interfaces(&mut self, now: Instant, out: &mut Vec<Action>) {
        tell(now, self.world.verdicts.look(now, &self.world.links), out);
    }
}

fn tell(now: Instant, edges: impl IntoIterator<Item = Edge>, out: &mut Vec<Action>) {
    for Edge { check, verdict, why } in edges {
        let what = What::Check { check, up: verdict == Verdict::Up, why };
        out.push(Action::Tell(Notice { at: now, about: None, what }));
    }
}
