//! The fuzz targets: a file that `fuzz/Cargo.toml` does not name is never built, and a target without seeds begins blind.

use std::fs;
use std::path::Path;

use crate::source::Source;

/// What is missing in the tree around its fuzz targets.
pub(crate) fn omissions(tree: &[Source]) -> Vec<String> {
    // Seeds are bytes, which the tree of texts leaves out.
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    missing(tree, |name| fs::read_dir(corpus.join(name)).is_ok_and(|mut seeds| seeds.next().is_some()))
}

/// What is missing around each file of `fuzz/fuzz_targets`, and targets without a file.
fn missing(tree: &[Source], has_seeds: impl Fn(&str) -> bool) -> Vec<String> {
    let Some(manifest) = tree.iter().find(|file| file.path == "fuzz/Cargo.toml") else {
        return vec!["fuzz/Cargo.toml is not there".to_owned()];
    };
    let targets: Vec<&str> = tree.iter().filter_map(|file| target(&file.path)).collect();
    let mut found = Vec::new();
    for name in &targets {
        if !manifest.text.contains(&format!("path = \"fuzz_targets/{name}.rs\"")) {
            found.push(manifest.finding(1, format!("does not build fuzz_targets/{name}.rs")));
        }
        if !has_seeds(name) {
            found.push(format!("fuzz/corpus/{name} has no seed"));
        }
    }
    for (line, text) in (1..).zip(manifest.text.lines()) {
        let named = text.strip_prefix("name = ").map(|name| name.trim_matches('"'));
        if let Some(name) = named.filter(|name| *name != "vipd-fuzz" && !targets.contains(name)) {
            found.push(manifest.finding(line, format!("fuzz_targets/{name}.rs is not there")));
        }
    }
    found
}

fn target(path: &str) -> Option<&str> {
    path.strip_prefix("fuzz/fuzz_targets/")?.strip_suffix(".rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(manifest: &str, files: &[&str], seeds: bool) -> Vec<String> {
        let mut tree: Vec<_> = files.iter().map(|path| Source::planted(path, "")).collect();
        tree.push(Source::planted("fuzz/Cargo.toml", manifest));
        missing(&tree, |_| seeds)
    }

    const FILE: &str = "fuzz/fuzz_targets/arp.rs";
    const NAMED: &str = "name = \"vipd-fuzz\"\nname = \"arp\"\npath = \"fuzz_targets/arp.rs\"\n";

    #[test]
    fn a_target_with_its_file_and_a_seed_passes() {
        assert_eq!(said(NAMED, &[FILE], true), Vec::<String>::new());
    }

    #[test]
    fn a_target_that_is_not_built_or_has_no_file_or_no_seed_is_found() {
        assert_eq!(said("", &[FILE], true), ["fuzz/Cargo.toml:1: does not build fuzz_targets/arp.rs"]);
        assert_eq!(said(NAMED, &[FILE], false), ["fuzz/corpus/arp has no seed"]);
        assert_eq!(said(NAMED, &[], true), ["fuzz/Cargo.toml:2: fuzz_targets/arp.rs is not there"]);
        assert_eq!(missing(&[], |_| true), ["fuzz/Cargo.toml is not there"]);
    }
}
