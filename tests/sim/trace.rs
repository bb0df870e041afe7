//! What happened, a line an event; kept only where somebody will read it.

use std::fmt;

use vipd::time::Instant;

/// The lines of a run.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    lines: Option<Vec<String>>,
}

impl Trace {
    /// Keeps lines.
    pub(crate) fn kept() -> Self {
        Self { lines: Some(Vec::new()) }
    }

    /// Adds a line, if lines are kept.
    pub(crate) fn line(&mut self, at: Instant, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{at:?} {}", text()));
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().flatten().try_for_each(|line| writeln!(f, "{line}"))
    }
}
