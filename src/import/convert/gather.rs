//! The statements of a block by their keywords: those that are to be converted. The others are in the report already.

use std::collections::BTreeMap;

use crate::import::blocks::Statement;
use crate::import::report::Report;

/// What a block says, as far as it is to be converted.
#[derive(Debug)]
pub(super) struct Gathered<'s> {
    by_keyword: BTreeMap<&'s str, Vec<&'s Statement>>,
}

impl<'s> Gathered<'s> {
    /// Judges each statement of a block by the table.
    pub(super) fn of(block: &'static str, statements: &'s [Statement], report: &mut Report) -> Self {
        let mut by_keyword: BTreeMap<&str, Vec<&Statement>> = BTreeMap::new();
        for statement in statements {
            if report.judge(block, statement) {
                by_keyword.entry(statement.keyword()).or_default().push(statement);
            }
        }
        Self { by_keyword }
    }

    /// Takes the statement that counts when a keyword occurs more than once: the last.
    pub(super) fn last(&mut self, keyword: &str, report: &mut Report) -> Option<&'s Statement> {
        let mut all = self.by_keyword.remove(keyword)?;
        let last = all.pop()?;
        for earlier in all {
            report.ignored(earlier, format!("line {} says it again, and counts", last.place.line));
        }
        Some(last)
    }

    /// The same for keywords that mean the same.
    pub(super) fn last_of(&mut self, keywords: &[&str], report: &mut Report) -> Option<&'s Statement> {
        let mut found: Vec<_> = keywords.iter().filter_map(|keyword| self.last(keyword, report)).collect();
        found.sort_by_key(|statement| statement.place.line);
        let last = found.pop()?;
        for earlier in found {
            report.ignored(earlier, format!("line {} says it again, and counts", last.place.line));
        }
        Some(last)
    }

    /// Takes all statements of a keyword.
    pub(super) fn all(&mut self, keyword: &str) -> Vec<&'s Statement> {
        self.by_keyword.remove(keyword).unwrap_or_default()
    }

    /// What nobody took: so that it is not lost, whatever was forgotten.
    pub(super) fn rest(self, report: &mut Report) {
        for statement in self.by_keyword.into_values().flatten() {
            report.left_out(statement, "the importer does not know what to do with it here");
        }
    }
}
