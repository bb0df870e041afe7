//! Text that nobody meant: it must not panic, and what is said must have a place.

use proptest::prelude::*;

use super::*;

const EXAMPLE: &str = include_str!("../../../etc/full.yaml");

/// The example with one of its parts cut, doubled, or replaced.
fn mutated() -> impl Strategy<Value = String> {
    let cut = (
        any::<prop::sample::Index>(),
        0usize..40,
        "[-:{}\\[\\],'\"#&*!|>%@` \\ta-z0-9é\\n]{0,6}",
        any::<bool>(),
    );
    prop::collection::vec(cut, 1..4).prop_map(|cuts| {
        cuts.into_iter().fold(EXAMPLE.to_owned(), |text, (at, length, new, double)| {
            let letters: Vec<char> = text.chars().collect();
            let from = at.index(letters.len().max(1)).min(letters.len());
            let to = (from + length).min(letters.len());
            let kept = if double { from } else { to };
            letters[..to]
                .iter()
                .chain(new.chars().collect::<Vec<_>>().iter())
                .chain(&letters[kept..])
                .collect()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        drop(parse(&text, "f"));
    }

    #[test]
    fn nothing_that_looks_like_yaml_panics(text in "[-:{}\\[\\],'\"#&*!|>%@? \\t\\na-c0-9]{0,120}") {
        drop(parse(&text, "f"));
    }

    #[test]
    fn no_mutated_example_panics_and_every_problem_has_a_place_and_a_remedy(text in mutated()) {
        if let Err(problems) = parse(&text, "f") {
            for problem in problems.problems {
                let lines = text.lines().count() + 1;
                prop_assert!((1..=lines).contains(&problem.line) && problem.column > 0, "{problem}");
                prop_assert!(!problem.what.contains('\n') && !problem.what.is_empty(), "{problem}");
            }
        }
    }
}
