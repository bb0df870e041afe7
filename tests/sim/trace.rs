//! What happened, a line an event; kept only where somebody will read it.

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

    /// The last so many lines.
    pub(crate) fn tail(&self, count: usize) -> String {
        let lines = self.lines.as_deref().unwrap_or_default();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}
