//! Names of instances, groups and checks as vipd takes them: letters, digits, `_`, `.` and `-`.

use std::collections::{BTreeMap, BTreeSet};

/// The names given so far, of one kind.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// vipd's by keepalived's.
    given: BTreeMap<String, String>,
    /// vipd's.
    taken: BTreeSet<String>,
}

/// How long a name may be.
const LONGEST: usize = 64;

impl Names {
    /// The name for `name`, which differs from all others; the second is whether it had to be changed.
    pub(super) fn give(&mut self, name: &str) -> (String, bool) {
        let good = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '_' };
        let mut plain: String = name.chars().take(LONGEST - 8).map(good).collect();
        if plain.is_empty() || plain.starts_with('-') {
            plain.insert(0, '_');
        }
        let mut chosen = plain.clone();
        let mut count = 2_usize;
        while !self.taken.insert(chosen.clone()) {
            chosen = format!("{plain}-{count}");
            count += 1;
        }
        self.given.insert(name.to_owned(), chosen.clone());
        let changed = chosen != name;
        (chosen, changed)
    }

    /// The name that was given to `name`.
    pub(super) fn of(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_if_they_can_and_differ_in_any_case() {
        let mut names = Names::default();
        assert_eq!(names.give("VI_1"), ("VI_1".to_owned(), false));
        assert_eq!(names.give("a b"), ("a_b".to_owned(), true));
        assert_eq!(names.give("a/b"), ("a_b-2".to_owned(), true));
        assert_eq!(names.give("--x"), ("_--x".to_owned(), true));
        assert_eq!(names.of("a/b"), Some("a_b-2"));
        assert!(names.give(&"x".repeat(300)).0.len() <= LONGEST);
    }
}
