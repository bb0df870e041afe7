//! What a file may not be called, hold or leave out; each rule takes one file and says what is wrong, by line.

use crate::source::{Source, named_tests};

/// The longest file.
pub(crate) const LINES: usize = 600;

/// Rust files and scripts longer than [`LINES`].
pub(crate) fn too_long(file: &Source) -> Vec<String> {
    let lines = file.text.lines().count();
    let counted = file.is_rust() || file.path.starts_with("scripts/");
    if counted && lines > LINES {
        vec![
            file.finding(lines, format!("{lines} lines, {LINES} are the limit: it holds more than one idea")),
        ]
    } else {
        Vec::new()
    }
}

/// Rust files that do not open by saying what lives in them.
pub(crate) fn undescribed(file: &Source) -> Vec<String> {
    if file.is_rust() && !file.text.starts_with("//! ") {
        vec![file.finding(1, "opens without `//!` and what lives here")]
    } else {
        Vec::new()
    }
}

/// Files and folders named for nothing in particular.
pub(crate) fn named_for_nothing(file: &Source) -> Vec<String> {
    const NAMES: [&str; 10] = [
        "util",
        "utils",
        "common",
        "helper",
        "helpers",
        "misc",
        "manager",
        "managers",
        "utility",
        "utilities",
    ];
    file.path
        .split('/')
        .map(|part| part.split('.').next().unwrap_or(part))
        .filter(|part| NAMES.contains(part))
        .map(|part| file.finding(1, format!("`{part}` says nothing about what lives there")))
        .collect()
}

/// Work left for later: half a feature is left out instead.
pub(crate) fn left_for_later(file: &Source) -> Vec<String> {
    // In pieces, or this file would find itself.
    const WORDS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    const MACROS: [&str; 3] = ["dbg", "todo", "unimplemented"];
    let mut found = Vec::new();
    for (line, text) in (1..).zip(file.text.lines()) {
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        found.extend(words.filter(|word| WORDS.contains(word)).map(|word| file.finding(line, word)));
    }
    for pair in file.tokens().windows(2) {
        if MACROS.contains(&pair[0].text.as_str()) && pair[1].text == "!" {
            found.push(file.finding(pair[0].line, format!("{}!", pair[0].text)));
        }
    }
    found
}

/// Results thrown away: `drop` what has no meaning, count or report what has.
pub(crate) fn thrown_away(file: &Source) -> Vec<String> {
    file.tokens()
        .windows(3)
        .filter(|w| w[0].text == "let" && w[1].text == "_" && matches!(w[2].text.as_str(), "=" | ":"))
        .map(|w| file.finding(w[0].line, "`let _` throws a result away"))
        .collect()
}

/// Sleeps in tests, files in `allowed` aside.
pub(crate) fn sleeps(file: &Source, allowed: &[(&str, &str)]) -> Vec<String> {
    if allowed.iter().any(|(path, _)| *path == file.path) {
        return Vec::new();
    }
    let tokens = file.tokens();
    let tests_begin = if file.path.starts_with("tests/") {
        0
    } else {
        let module =
            tokens.windows(3).position(|w| w[0].text == "mod" && w[1].text == "tests" && w[2].text == "{");
        module.unwrap_or(tokens.len())
    };
    tokens[tests_begin..]
        .iter()
        .filter(|token| matches!(token.text.as_str(), "sleep" | "sleep_until" | "sleep_ms"))
        .map(|token| file.finding(token.line, "a test sleeps; let it wait for a condition with a bound"))
        .collect()
}

/// Names of places on one developer's machine, which no reader of the project has.
pub(crate) fn private_places(file: &Source) -> Vec<String> {
    const PLACES: [&str; 6] = [
        concat!("/wo", "rk/"),
        concat!("../sha", "red"),
        concat!("/tmp/", "wt/"),
        concat!("/fa", "rm/"),
        concat!("/tmp/re", "search"),
        concat!("design", ".md"),
    ];
    let mut found = Vec::new();
    for (line, text) in (1..).zip(file.text.lines()) {
        let places = PLACES.iter().filter(|place| text.contains(**place));
        found.extend(places.map(|place| file.finding(line, format!("`{place}` is nothing a reader has"))));
    }
    found
}

/// Tests whose name is no sentence.
pub(crate) fn nameless_tests(file: &Source) -> Vec<String> {
    named_tests(file)
        .iter()
        .filter(|(name, _)| name.split('_').filter(|word| !word.is_empty()).count() < 3)
        .map(|(name, line)| file.finding(*line, format!("`{name}` is no sentence about what is promised")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(path: &str, text: &str) -> Source {
        Source::planted(path, text)
    }

    #[test]
    fn a_file_of_601_lines_is_found_and_one_of_600_passes() {
        assert_eq!(too_long(&planted("src/a.rs", &"\n".repeat(601))).len(), 1);
        assert_eq!(too_long(&planted("scripts/a", &"\n".repeat(601))).len(), 1);
        assert_eq!(too_long(&planted("src/a.rs", &"\n".repeat(600))).len(), 0);
        assert_eq!(too_long(&planted("Cargo.lock", &"\n".repeat(6000))).len(), 0);
    }

    #[test]
    fn a_file_without_its_opening_doc_is_found() {
        assert_eq!(undescribed(&planted("src/a.rs", "use x;\n//! late\n")).len(), 1);
        assert_eq!(undescribed(&planted("src/a.rs", "//! What lives here.\n")).len(), 0);
        assert_eq!(undescribed(&planted("scripts/a", "#!/bin/sh\n")).len(), 0);
    }

    #[test]
    fn empty_names_are_found_in_files_and_folders() {
        for path in
            ["src/util.rs", "src/common/a.rs", "tests/helpers.rs", "src/agent/manager.rs", "misc/a.sh"]
        {
            assert_eq!(named_for_nothing(&planted(path, "")).len(), 1, "{path}");
        }
        assert_eq!(named_for_nothing(&planted("src/agent/route.rs", "")).len(), 0);
    }

    #[test]
    fn work_left_for_later_is_found_with_its_line() {
        let word = ["TO", "DO"].concat();
        let text = format!("//! a\n// {word}: finish\n");
        assert_eq!(left_for_later(&planted("src/a.rs", &text)), [format!("src/a.rs:2: {word}")]);
        assert_eq!(left_for_later(&planted("README.md", &text)).len(), 1);
        for text in ["fn f() { todo!() }", "fn f() { dbg!(1); }", "fn f() { unimplemented!() }"] {
            assert_eq!(left_for_later(&planted("src/a.rs", text)).len(), 1, "{text}");
        }
        // mktemp's template is no mark.
        assert_eq!(left_for_later(&planted("scripts/a", "mktemp -d /tmp/vipd.XXXXXX")).len(), 0);
    }

    #[test]
    fn a_result_thrown_away_is_found() {
        assert_eq!(thrown_away(&planted("src/a.rs", "fn f() { let _ = g(); }")).len(), 1);
        assert_eq!(thrown_away(&planted("src/a.rs", "fn f() { let _: R = g(); }")).len(), 1);
        assert_eq!(thrown_away(&planted("src/a.rs", "fn f() { let _guard = g(); } // let _ = 1;")).len(), 0);
    }

    #[test]
    fn a_sleep_in_a_test_is_found_and_one_with_a_reason_passes() {
        let text = "fn wait() { std::thread::sleep(d) }";
        assert_eq!(sleeps(&planted("tests/a.rs", text), &[]).len(), 1);
        assert_eq!(sleeps(&planted("tests/a.rs", text), &[("tests/a.rs", "polls")]).len(), 0);
        assert_eq!(sleeps(&planted("src/a.rs", text), &[]).len(), 0);
        let text = "fn f() {} mod tests { use tokio::time::{sleep, timeout}; }";
        assert_eq!(sleeps(&planted("src/a.rs", text), &[]).len(), 1);
    }

    #[test]
    fn a_private_place_is_found_in_any_kind_of_file() {
        let place = ["/wo", "rk/main"].concat();
        assert_eq!(private_places(&planted("README.md", &format!("a\nsee {place}"))).len(), 1);
        assert_eq!(private_places(&planted("README.md", "how it works/breaks: see docs/")).len(), 0);
    }

    #[test]
    fn a_test_without_a_sentence_for_a_name_is_found() {
        let text = "mod tests { #[test] fn it_works() {} #[test] fn an_advert_is_read() {} fn helper() {} }";
        assert_eq!(
            nameless_tests(&planted("src/a.rs", text)),
            ["src/a.rs:1: `it_works` is no sentence about what is promised"]
        );
        let text = "#[cfg(test)] fn f() {} #[tokio::test(start_paused = true)] async fn t() {}";
        assert_eq!(nameless_tests(&planted("src/a.rs", text)).len(), 1);
        let text = r#"const TESTS: &[Test] = &[("it_works", || f("x")), ("an_advert_is_read", g)]; const A: T = ("b", 1);"#;
        assert_eq!(nameless_tests(&planted("tests/a.rs", text)).len(), 1);
    }
}
