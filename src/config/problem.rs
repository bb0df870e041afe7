//! What is wrong with a configuration: where, what, and what to write instead. Apart, because every other
//! file here pushes into it and none of them stops at the first.

use std::cell::{Cell, RefCell};
use std::fmt;

use crate::codes::{Code, Warning};

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but probably does not do what was meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1; 0 if it is about the file as a whole.
    pub line: usize,
    /// The column in characters, from 1; 0 if it is about the file as a whole.
    pub column: usize,
    /// The way to the key, as `instances.web.addresses[0]`; empty at the top.
    pub path: String,
    /// What is wrong, and what to write instead.
    pub what: String,
    /// Whether it is fatal.
    pub severity: Severity,
    /// What kind of mistake it is.
    pub code: Code,
}

impl fmt::Display for Problem {
    /// `LINE:COLUMN: PATH: TEXT [CODE]`, without what is empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        write!(f, "{}{severity}{} [{}]", self.place(), self.what, self.code)
    }
}

impl Problem {
    /// The same for whoever knows how much it matters.
    pub fn warning(&self) -> Warning {
        Warning::new(self.code, format!("{}{}", self.place(), self.what))
    }

    /// `LINE:COLUMN: PATH: `, without what is empty.
    fn place(&self) -> String {
        let at = if self.line > 0 { format!("{}:{}: ", self.line, self.column) } else { String::new() };
        let path = if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) };
        at + &path
    }
}

/// Everything that is wrong with one file, in the order of the file; at least one is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The file's name as it was given.
    pub file: String,
    /// The problems, warnings among them.
    pub problems: Vec<Problem>,
    /// How many more were found than are kept.
    pub left_out: usize,
}

impl Problems {
    /// A single error about the file as a whole.
    pub(super) fn of_file(file: &str, code: Code, what: String) -> Self {
        let (path, severity) = (String::new(), Severity::Error);
        let problem = Problem { line: 0, column: 0, path, what, severity, code };
        Self { file: file.to_owned(), problems: vec![problem], left_out: 0 }
    }

    /// A line for each: `FILE:LINE:COLUMN: PATH: TEXT [CODE]`, or `FILE: TEXT [CODE]` where it is the file itself.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.problems.iter().map(|problem| {
            let gap = if problem.line > 0 { "" } else { " " };
            format!("{}:{gap}{problem}", self.file)
        })
    }
}

impl fmt::Display for Problems {
    /// A line for each, `FILE:LINE:COLUMN: PATH: TEXT [CODE]`, and at the end how many there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.lines() {
            writeln!(f, "{line}")?;
        }
        match self.problems.len() + self.left_out {
            1 => f.write_str("1 problem"),
            count if self.left_out == 0 => write!(f, "{count} problems"),
            count => write!(f, "{count} problems, the first {} shown", self.problems.len()),
        }
    }
}

impl std::error::Error for Problems {}

/// Where something stands: in the file, and in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) path: String,
}

/// A value that knows where it was written; one that was not is said to stand where it is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At<T> {
    pub(super) spot: Spot,
    pub(super) value: T,
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    kept: RefCell<Vec<Problem>>,
    /// How many came after [`FLOOD`].
    lost: Cell<usize>,
}

/// How many problems are shown: nobody reads more.
const MOST: usize = 100;

/// How many are kept until then: a file of noise has a hundred thousand.
const FLOOD: usize = 10_000;

/// How many characters a problem may have, however long the text it quotes.
const LONGEST: usize = 500;

impl Findings {
    /// Notes that the configuration cannot be used.
    pub(super) fn error(&self, spot: &Spot, code: Code, what: impl AsRef<str>) {
        self.note(spot, code, what.as_ref(), Severity::Error);
    }

    /// Notes that it probably does not do what was meant.
    pub(super) fn warn(&self, spot: &Spot, code: Code, what: impl AsRef<str>) {
        self.note(spot, code, what.as_ref(), Severity::Warning);
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_clean(&self) -> bool {
        self.kept.borrow().iter().all(|problem| problem.severity == Severity::Warning)
    }

    fn note(&self, spot: &Spot, code: Code, what: &str, severity: Severity) {
        if self.kept.borrow().len() >= FLOOD {
            self.lost.set(self.lost.get() + 1);
            return;
        }
        self.kept.borrow_mut().push(Problem {
            line: spot.line,
            column: spot.column,
            path: printable(&spot.path),
            what: printable(what),
            severity,
            code,
        });
    }

    /// The warnings, if there are no errors, otherwise everything.
    pub(super) fn finish(self, file: &str) -> Result<Vec<Problem>, Problems> {
        let mut problems = self.kept.into_inner();
        problems.sort_by_key(|problem| (problem.line, problem.column));
        let harmless = problems.iter().all(|problem| problem.severity == Severity::Warning);
        if harmless && self.lost.get() == 0 {
            return Ok(problems);
        }
        // A warning must not push an error out.
        if problems.len() > MOST {
            problems.sort_by_key(|problem| (problem.severity, problem.line, problem.column));
        }
        let left_out = problems.len().saturating_sub(MOST) + self.lost.get();
        problems.truncate(MOST);
        problems.sort_by_key(|problem| (problem.line, problem.column));
        Err(Problems { file: file.to_owned(), problems, left_out })
    }
}

/// One line that is safe for a terminal, whatever was quoted in it.
fn printable(text: &str) -> String {
    let safe = |c: char| if c.is_control() { '?' } else { c };
    let mut shown: String = text.chars().take(LONGEST).map(safe).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(line: usize, path: &str) -> Spot {
        Spot { line, column: 3, path: path.to_owned() }
    }

    #[test]
    fn problems_are_shown_in_the_order_of_the_file_and_counted() {
        let findings = Findings::default();
        findings.error(&spot(9, "b"), Code::BadValue, "is wrong");
        findings.warn(&spot(2, "a"), Code::NoEffect, "is odd");
        let problems = findings.finish("f.yaml").unwrap_err();
        assert_eq!(
            problems.to_string(),
            "f.yaml:2:3: a: warning: is odd [V0503]\nf.yaml:9:3: b: is wrong [V0205]\n2 problems"
        );
    }

    #[test]
    fn warnings_alone_are_no_failure() {
        let findings = Findings::default();
        findings.warn(&spot(2, "a"), Code::NoEffect, "is odd");
        assert_eq!(findings.finish("f").unwrap()[0].to_string(), "2:3: a: warning: is odd [V0503]");
    }

    #[test]
    fn a_problem_of_the_whole_file_has_no_position() {
        let problems = Problems::of_file("f.yaml", Code::FileUnread, "cannot be read".to_owned());
        assert_eq!(problems.to_string(), "f.yaml: cannot be read [V0101]\n1 problem");
    }

    #[test]
    fn a_flood_of_problems_is_cut_but_counted_and_errors_come_before_warnings() {
        let findings = Findings::default();
        for line in 1..=MOST + 7 {
            findings.warn(&spot(line, ""), Code::NoEffect, "is odd");
        }
        findings.error(&spot(1000, ""), Code::BadValue, "is wrong");
        let problems = findings.finish("f").unwrap_err();
        assert_eq!((problems.problems.len(), problems.left_out), (MOST, 8));
        assert!(
            problems.to_string().ends_with("f:1000:3: is wrong [V0205]\n108 problems, the first 100 shown")
        );
    }

    #[test]
    fn quoted_text_can_neither_move_the_cursor_nor_fill_the_screen() {
        assert_eq!(printable("a\u{1b}[31m\nb"), "a?[31m?b");
        assert_eq!(printable(&"é".repeat(5000)).chars().count(), LONGEST + 3);
    }
}
