//! All that was found: for people with the verdict first and what is wrong before what is right, for programs as JSON.

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::finding::{Finding, Obstacle, Verdict};
use crate::agent::stamp::Stamp;
use crate::cli::Exit;
use crate::cli::output::{Colour, Tone};
use crate::cli::paragraph::wrapped;

/// What `vipctl doctor` finds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Examination {
    pub(super) schema: u32,
    pub(super) node: String,
    pub(super) time: Stamp,
    /// The file that was read.
    pub(super) configuration: String,
    /// Whether the wire was listened to.
    pub(super) probed: bool,
    pub(super) checks: Vec<Finding>,
    /// What the other node has to agree on.
    pub(super) facts: Facts,
}

impl Examination {
    fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|one| one.verdict == verdict).count()
    }

    /// 0 healthy, 3 problems, and otherwise why not everything could be looked at.
    pub(super) fn exit(&self) -> Exit {
        let stopped_by = |why| self.checks.iter().any(|one| one.obstacle == Some(why));
        match self.count(Verdict::Problem) {
            1.. => Exit::Degraded,
            0 if stopped_by(Obstacle::NotAllowed) => Exit::NotAllowed,
            0 if stopped_by(Obstacle::Failed) => Exit::Io,
            0 => Exit::Ok,
        }
    }

    /// For people. What is right is a line each if they ask for it, and counted otherwise.
    pub(super) fn text(&self, verbose: bool, colour: Colour) -> String {
        let mut text = self.verdict(colour);
        for verdict in [Verdict::Problem, Verdict::Advice, Verdict::Unseen, Verdict::Good] {
            if verdict == Verdict::Good && !verbose {
                continue;
            }
            text.extend(
                self.checks.iter().filter(|one| one.verdict == verdict).map(|one| shown(one, colour)),
            );
        }
        text
    }

    fn verdict(&self, colour: Colour) -> String {
        let counted = |count: usize, one: &str, many: &str| {
            (count > 0).then(|| format!("{count} {}", if count == 1 { one } else { many }))
        };
        let problems = self.count(Verdict::Problem);
        let word = match problems {
            0 => colour.paint(Tone::Good, "healthy"),
            1 => colour.paint(Tone::Bad, "1 problem"),
            many => colour.paint(Tone::Bad, &format!("{many} problems")),
        };
        let rest: Vec<_> = [
            counted(self.count(Verdict::Advice), "piece of advice", "pieces of advice"),
            counted(self.count(Verdict::Unseen), "could not be looked at", "could not be looked at"),
            counted(self.count(Verdict::Good), "is good", "are good"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let agent = if self.facts.agent_running { "the agent runs" } else { "no agent runs" };
        let wire = if self.probed { "" } else { "; the wire was not listened to" };
        format!(
            "{}: {word}; {}.\n{} was read; {agent}{wire}.\n",
            self.node,
            rest.join(", "),
            self.configuration
        )
    }
}

fn shown(one: &Finding, colour: Colour) -> String {
    let (word, tone) = match one.verdict {
        Verdict::Problem => ("problem", Tone::Bad),
        Verdict::Advice => ("advice", Tone::Plain),
        Verdict::Unseen => ("unseen", Tone::Quiet),
        Verdict::Good => ("good", Tone::Good),
    };
    let head = format!("{word:8} {}  ", one.code);
    let text = wrapped(&head, &format!("{}: {}", one.about, one.evidence));
    let mut text = text.replacen(word, &colour.paint(tone, word), 1);
    if let Some(remedy) = &one.remedy {
        // Never wrapped: it is there to be pasted.
        text.extend(["         run:   ", remedy, "\n"]);
    }
    text
}
