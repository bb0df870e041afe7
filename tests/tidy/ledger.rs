//! The ledger of RFC 9568, `tests/rfc9568.yaml`: every MUST of sections 5 to 8 with the tests that hold us to it.
//!
//! Each row names tests that show the clause kept and tests that show the opposite refused, or says why there
//! are none to name. Names are looked up in the tree, so a test that is renamed or deleted is missed here; clauses
//! are counted by section, so a row that is deleted is missed, too.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::source::{Source, named_tests};

/// What the file says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    /// How many clauses each section of the RFC has, those without any left out.
    sections: BTreeMap<String, u32>,
    /// A row for each clause.
    clauses: Vec<Row>,
}

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
    let Ledger { sections, clauses } = match serde_yaml::from_str(text) {
        Ok(ledger) => ledger,
        Err(error) => return vec![error.to_string()],
    };
    let mut found: Vec<_> = clauses.iter().flat_map(|row| doubts(row, tests)).collect();
    let mut missing: BTreeSet<_> = sections
        .iter()
        .flat_map(|(section, clauses)| (1..=*clauses).map(move |number| format!("{section}-{number}")))
        .collect();
    let mut seen = BTreeSet::new();
    for Row { clause, .. } in &clauses {
        if !seen.insert(clause) {
            found.push(format!("{clause} is there twice"));
        } else if !missing.remove(clause) {
            found.push(format!("{clause} is not among the clauses that 'sections' counts"));
        }
    }
    found.extend(
        missing.into_iter().map(|clause| format!("{clause} is counted by 'sections' but has no row")),
    );
    found
}

/// What is wrong with one row.
fn doubts(row: &Row, tests: &BTreeMap<String, usize>) -> Vec<String> {
    let clause = &row.clause;
    let mut found = Vec::new();
    if section(clause).is_none_or(|section| !(5..=8).contains(&section)) {
        found.push(format!("'{clause}' is no clause of sections 5 to 8; write SECTION-NUMBER, as 7.1-3"));
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
    for (name, _) in tree.iter().flat_map(named_tests) {
        *tests.entry(name).or_default() += 1;
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(sections: &str, clauses: &str) -> Vec<String> {
        let file =
            Source::planted("src/a.rs", "#[test] fn once() {} #[test] fn twice() {} #[test] fn twice() {}");
        problems(&format!("sections: {{ {sections} }}\nclauses:\n{clauses}"), &occurrences(&[file]))
    }

    #[test]
    fn a_row_with_both_sides_or_a_reason_passes() {
        let none = Vec::<String>::new();
        assert_eq!(said("5.1: 1", "- { clause: 5.1-1, says: a, holds: [once], refuses: [once] }"), none);
        assert_eq!(said("8.4.2: 1", "- { clause: 8.4.2-1, says: a, because: left out }"), none);
        assert_eq!(said("7.1: 1", "- { clause: 7.1-1, says: a, holds: [once], because: b }"), none);
    }

    #[test]
    fn a_row_without_tests_and_reason_is_found() {
        for row in ["", ", holds: [once]", ", refuses: [once]", ", because: ' '"] {
            let row = format!("- {{ clause: 5.1-1, says: a{row} }}");
            assert_eq!(said("5.1: 1", &row).len(), 1, "{row}");
        }
    }

    #[test]
    fn a_test_that_is_not_there_or_there_twice_is_found() {
        for name in ["never", "twice"] {
            let row = format!("- {{ clause: 5.1-1, says: a, holds: [once], refuses: [{name}] }}");
            assert_eq!(said("5.1: 1", &row).len(), 1, "{name}");
        }
    }

    #[test]
    fn a_clause_that_is_none_or_there_twice_is_found() {
        for clause in ["4.1-1", "7.1", "7.x-1", "seven"] {
            let row = format!("- {{ clause: '{clause}', says: a, because: b }}");
            assert!(said("4.1: 1", &row)[0].contains("is no clause"), "{clause}");
        }
        let row = "- { clause: 5.1-1, says: a, because: b }\n";
        assert_eq!(said("5.1: 1", &row.repeat(2)), ["5.1-1 is there twice"]);
        assert_eq!(said("5.1: 1", "- { clause: 5.1-1, says: a, becuase: b }").len(), 1);
    }

    #[test]
    fn a_clause_without_a_row_or_uncounted_is_found() {
        let row = "- { clause: 5.1-1, says: a, because: b }";
        assert_eq!(said("5.1: 2", row), ["5.1-2 is counted by 'sections' but has no row"]);
        assert_eq!(said("'7.1': 1, 5.1: 1", row), ["7.1-1 is counted by 'sections' but has no row"]);
        assert_eq!(said("5.1: 0", row), ["5.1-1 is not among the clauses that 'sections' counts"]);
    }
}
