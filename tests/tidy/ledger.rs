//! The ledger of RFC 9568, `tests/rfc9568.yaml`: every MUST of sections 5 to 8 with the tests that hold us to it.
//!
//! Each row names tests that show the clause kept and tests that show the opposite refused, or says why there
//! are none to name. Names are looked up in the tree, so a test that is renamed or deleted is missed here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::source::{Source, test_functions};

/// One clause.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// The section and the number of the clause within it, `7.1-3`.
    clause: String,
    /// What it asks for, in our words.
    says: String,
    /// Tests in which it is kept.
    #[serde(default)]
    holds: Vec<String>,
    /// Their negative twins: what it forbids is refused.
    #[serde(default)]
    refuses: Vec<String>,
    /// Why one side or both have no tests.
    because: Option<String>,
}

/// What is wrong with the tree's ledger.
pub(crate) fn untruths(tree: &[Source]) -> Vec<String> {
    match tree.iter().find(|file| file.path == "tests/rfc9568.yaml") {
        Some(ledger) => problems(&ledger.text, &occurrences(tree)),
        None => vec!["tests/rfc9568.yaml is not there".to_owned()],
    }
}

/// What is wrong with the ledger `text`, given how often each test name occurs in the tree.
fn problems(text: &str, tests: &BTreeMap<String, usize>) -> Vec<String> {
    let rows: Vec<Row> = match serde_yaml::from_str(text) {
        Ok(rows) => rows,
        Err(error) => return vec![error.to_string()],
    };
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for row in &rows {
        let clause = &row.clause;
        if section(clause).is_none_or(|section| !(5..=8).contains(&section)) {
            found.push(format!("'{clause}' is no clause of sections 5 to 8; write SECTION-NUMBER, as 7.1-3"));
        }
        if !seen.insert(clause) {
            found.push(format!("{clause} is there twice"));
        }
        if row.says.trim().is_empty() {
            found.push(format!("{clause} does not say what it asks for"));
        }
        let one_sided = row.holds.is_empty() || row.refuses.is_empty();
        if one_sided && row.because.as_ref().is_none_or(|because| because.trim().is_empty()) {
            found.push(format!("{clause} has tests on one side at most and does not say why"));
        }
        for name in row.holds.iter().chain(&row.refuses) {
            match tests.get(name) {
                Some(1) => {}
                Some(times) => found.push(format!("{clause}: {times} tests are named {name}; which one?")),
                None => found.push(format!("{clause}: there is no test {name}")),
            }
        }
    }
    found
}

/// The first number of a clause that is well written.
fn section(clause: &str) -> Option<u32> {
    let (section, number) = clause.split_once('-')?;
    number.parse::<u32>().ok()?;
    let mut parts = section.split('.').map(|part| part.parse::<u32>().ok());
    let first = parts.next()??;
    parts.all(|part| part.is_some()).then_some(first)
}

/// How often each test name occurs.
fn occurrences(tree: &[Source]) -> BTreeMap<String, usize> {
    let mut tests = BTreeMap::new();
    for (name, _) in tree.iter().flat_map(test_functions) {
        *tests.entry(name).or_default() += 1;
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<String> {
        let file =
            Source::planted("src/a.rs", "#[test] fn once() {} #[test] fn twice() {} #[test] fn twice() {}");
        problems(text, &occurrences(&[file]))
    }

    #[test]
    fn a_row_with_both_sides_or_a_reason_passes() {
        assert_eq!(
            said("- { clause: 5.1-1, says: a, holds: [once], refuses: [once] }"),
            Vec::<String>::new()
        );
        assert_eq!(said("- { clause: 8.4.2-1, says: a, because: left out }"), Vec::<String>::new());
        assert_eq!(said("- { clause: 7.1-1, says: a, holds: [once], because: b }"), Vec::<String>::new());
    }

    #[test]
    fn a_row_without_tests_and_reason_is_found() {
        for row in ["", ", holds: [once]", ", refuses: [once]", ", because: ' '"] {
            assert_eq!(said(&format!("- {{ clause: 5.1-1, says: a{row} }}")).len(), 1, "{row}");
        }
    }

    #[test]
    fn a_test_that_is_not_there_or_there_twice_is_found() {
        for name in ["never", "twice"] {
            let row = format!("- {{ clause: 5.1-1, says: a, holds: [once], refuses: [{name}] }}");
            assert_eq!(said(&row).len(), 1, "{name}");
        }
    }

    #[test]
    fn a_clause_that_is_none_or_there_twice_is_found() {
        for clause in ["4.1-1", "7.1", "7.x-1", "seven"] {
            assert_eq!(
                said(&format!("- {{ clause: '{clause}', says: a, because: b }}")).len(),
                1,
                "{clause}"
            );
        }
        let row = "- { clause: 5.1-1, says: a, because: b }\n";
        assert_eq!(said(&row.repeat(2)), ["5.1-1 is there twice"]);
        assert_eq!(said("- { clause: 5.1-1, says: a, becuase: b }").len(), 1);
    }
}
