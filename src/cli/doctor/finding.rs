//! What one check found: one shape for text and JSON.

use serde::{Deserialize, Serialize};

use crate::codes::Code;

/// How a check ended, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Failover does not work, or addresses do not answer.
    Problem,
    /// It works, and could be safer.
    Advice,
    /// It could not be looked at.
    Unseen,
    /// As it should be.
    Good,
}

/// Why something could not be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Obstacle {
    /// This user may not.
    NotAllowed,
    /// The kernel or a program failed.
    Failed,
    /// There is nothing to look with, or at.
    Absent,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Finding {
    /// What is asked about: `V1101`.
    pub(super) code: String,
    /// How it ended.
    pub(super) verdict: Verdict,
    /// What it is about: an interface, an instance, a unit.
    pub(super) about: String,
    /// What was seen.
    pub(super) evidence: String,
    /// What to type.
    pub(super) remedy: Option<String>,
    /// Why it could not be looked at, if so.
    pub(super) obstacle: Option<Obstacle>,
}

impl Finding {
    fn new(code: Code, verdict: Verdict, about: &str, evidence: String) -> Self {
        let (code, about) = (code.to_string(), about.to_owned());
        Self { code, verdict, about, evidence, remedy: None, obstacle: None }
    }

    pub(super) fn good(code: Code, about: &str, evidence: impl Into<String>) -> Self {
        Self::new(code, Verdict::Good, about, evidence.into())
    }

    pub(super) fn advice(code: Code, about: &str, evidence: impl Into<String>) -> Self {
        Self::new(code, Verdict::Advice, about, evidence.into())
    }

    pub(super) fn problem(code: Code, about: &str, evidence: impl Into<String>) -> Self {
        Self::new(code, Verdict::Problem, about, evidence.into())
    }

    pub(super) fn unseen(code: Code, about: &str, why: Obstacle, evidence: impl Into<String>) -> Self {
        Self { obstacle: Some(why), ..Self::new(code, Verdict::Unseen, about, evidence.into()) }
    }

    /// The same with what to type.
    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}
