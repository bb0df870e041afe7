//! The codes of what can be wrong: each is found by somebody, or nobody would ever be told of it.

use vipd::codes::Code;

use crate::source::Source;

/// The codes that nothing outside of their own folder names.
pub(crate) fn unused(tree: &[Source]) -> Vec<String> {
    let finders =
        || tree.iter().filter(|file| file.path.starts_with("src/") && !file.path.starts_with("src/codes/"));
    let names = |file: &Source, name: &str| {
        file.text.match_indices(&format!("Code::{name}")).any(|(at, found)| {
            let after = file.text[at + found.len()..].chars().next();
            !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
        })
    };
    let is_lost = |code: &&Code| {
        let name = format!("{code:?}");
        !finders().any(|file| !file.path.starts_with("src/config/mistakes") && names(file, &name))
    };
    Code::ALL.iter().filter(is_lost).map(|code| format!("{code} ({code:?}) is never found")).collect()
}
