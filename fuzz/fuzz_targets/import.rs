//! keepalived's files: whatever is written, it is converted or refused statement by statement, and what comes out is YAML that
//! the agent's own reading understands, even where it does not like what it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vipd::config::parse;
use vipd::import::{Fate, convert};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines = text.lines().count();
    let import = convert("fuzz.conf", text, "main");
    for entry in &import.entries {
        assert!(entry.place.line >= 1 && entry.place.line <= lines, "{entry:?} in {lines} lines");
        assert!(!entry.text.is_empty(), "{entry:?}");
    }
    assert!(import.count(Fate::Converted) > 0 || import.instances == 0);
    // A check may name files, and passwords too; the importer writes none of these.
    if let Err(problems) = parse(&import.yaml, "fuzz.yaml") {
        for problem in &problems.problems {
            let syntax =
                ["unknown key", "written twice", "this ", "a quote is", "a tab", "a ': '", "is a list"];
            let broken = syntax.iter().any(|begin| problem.what.starts_with(begin));
            assert!(!broken, "{problem}\n{}", import.yaml);
        }
    }
});
