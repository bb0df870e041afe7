//! The house rules, checked on the tree itself: floors, sizes, names, and what is never left lying about.
//!
//! Every rule is a function from a file to what is wrong with it, and is shown a planted offence in its own
//! test: a rule that cannot fail guards nothing. Purity of the lower floors is the compiler's to check, in
//! `tests/purity`; the length of functions is clippy's.

mod codes;
mod floors;
mod fuzz;
mod ledger;
mod rules;
mod source;

use source::Source;

/// Test code that may sleep, and why; nothing else does.
const MAY_SLEEP: [(&str, &str); 1] = [("tests/lab/src/wait.rs", "it is what everything else waits with")];

/// The largest picture, in bytes.
const PICTURE: usize = 150_000;

/// Fails with every line on which `rule` finds something.
fn holds(rule: impl Fn(&Source) -> Vec<String>) {
    let found: Vec<String> = source::tree().iter().flat_map(rule).collect();
    assert!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));
}

#[test]
fn files_import_only_from_lower_floors_and_their_own_folder() {
    holds(floors::violations);
}

#[test]
fn files_hold_one_idea_and_at_most_600_lines() {
    holds(rules::too_long);
    let mut sizes: Vec<_> = source::tree()
        .iter()
        .filter(|file| file.is_rust())
        .map(|file| (file.text.lines().count(), file.path.clone()))
        .collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    for (lines, path) in sizes.iter().take(5) {
        println!("{lines:4} {path}");
    }
}

#[test]
fn files_open_with_what_lives_in_them() {
    holds(rules::undescribed);
}

#[test]
fn files_are_named_for_what_they_hold() {
    holds(rules::named_for_nothing);
}

#[test]
fn nothing_is_left_for_later() {
    holds(rules::left_for_later);
}

#[test]
fn no_result_is_thrown_away() {
    holds(rules::thrown_away);
}

#[test]
fn tests_wait_for_conditions_and_never_sleep() {
    holds(|file| rules::sleeps(file, &MAY_SLEEP));
    for (path, reason) in MAY_SLEEP {
        let stale =
            source::tree().iter().all(|file| file.path != path || rules::sleeps(file, &[]).is_empty());
        assert!(!stale, "{path} may sleep ({reason}) but does not");
    }
}

#[test]
fn the_project_speaks_of_itself_alone() {
    holds(rules::private_places);
}

#[test]
fn test_names_are_sentences() {
    holds(rules::nameless_tests);
}

#[test]
fn every_must_of_rfc_9568_names_its_tests_or_says_why_not() {
    let found = ledger::untruths(&source::tree());
    assert!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));
}

#[test]
fn every_code_is_found_by_somebody() {
    let found = codes::unused(&source::tree());
    assert!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));
}

#[test]
fn every_fuzz_target_is_built_and_has_seeds() {
    let found = fuzz::omissions(&source::tree());
    assert!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));
}

#[test]
fn what_is_not_text_is_a_seed_of_a_fuzz_target_or_a_small_picture_of_the_manual() {
    let (seeds, others): (Vec<_>, Vec<_>) =
        source::binaries().into_iter().partition(|(path, _)| path.starts_with("fuzz/"));
    assert!(!seeds.is_empty(), "no seed is seen");
    let is_picture =
        |path: &str| path.strip_prefix("docs/").and_then(|name| name.strip_suffix(".png")).is_some();
    let found: Vec<_> = others
        .iter()
        .filter(|(path, size)| !is_picture(path) || *size > PICTURE)
        .map(|(path, _)| path)
        .collect();
    assert!(found.is_empty(), "a download, something built, or a large picture: {found:?}");
}

#[test]
fn the_tree_is_seen_at_all() {
    let tree = source::tree();
    for path in ["src/lib.rs", "src/net.rs", "tests/tidy/main.rs", "Cargo.toml"] {
        assert!(tree.iter().any(|file| file.path == path), "{path} is not seen");
    }
    let names: Vec<_> = tree.iter().flat_map(source::named_tests).map(|(name, _)| name).collect();
    for name in ["the_tree_is_seen_at_all", "a_socket_does_not_hear_itself"] {
        assert!(names.iter().any(|seen| seen == name), "{name} is not seen");
    }
}
