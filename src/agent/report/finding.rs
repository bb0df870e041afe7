//! What is wrong, with a code that stays: what programs match on, and `vipctl explain CODE` explains.

use serde::{Deserialize, Serialize};

use super::Report;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `V0706`.
    pub code: String,
    /// How much it matters.
    pub severity: Severity,
    /// The sentence, as among `problems` or `warnings`.
    pub text: String,
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Somebody should look at it now.
    Problem,
    /// It stays as it is until the configuration is written otherwise.
    Advice,
}

impl Report {
    /// A problem, or advice, with its code at the end; agents before this one had none.
    pub fn coded(&self, text: &str) -> String {
        match self.findings.iter().find(|finding| finding.text == text) {
            Some(finding) => format!("{text} [{}]", finding.code),
            None => text.to_owned(),
        }
    }
}
