//! The floors of `src`: a file imports only from lower floors and from its own folder.

use crate::source::{Source, Token};

/// What stands on which floor; a new folder is given one here before anything else.
const FLOORS: [(&str, u8); 15] = [
    ("time", 0),
    ("net", 0),
    ("codes", 0),
    ("wire", 1),
    ("proto", 2),
    ("engine", 3),
    ("sys", 4),
    ("reach", 4),
    ("check", 4),
    ("notify", 4),
    ("config", 5),
    ("import", 5),
    ("agent", 6),
    ("cli", 7),
    ("bin", 7),
];

fn floor(folder: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == folder).map(|(_, floor)| *floor)
}

/// Whether what stands in `from` may use what stands in `to`.
fn may_import(from: &str, to: &str) -> bool {
    // The binaries are the door of the floor they share with `cli`; checks and notifiers go out by the same way.
    let shared = matches!((from, to), ("bin", "cli") | ("check" | "notify", "reach"));
    from == to || shared || floor(to) < floor(from)
}

/// Imports, and paths without an import, that go up or sideways.
pub(crate) fn violations(file: &Source) -> Vec<String> {
    let Some(module) = module_of(&file.path) else { return Vec::new() };
    let from = &module[0];
    let Some(own) = floor(from) else {
        return vec![file.finding(1, format!("`{from}` has no floor; give it one in tests/tidy/floors.rs"))];
    };
    let mut found = Vec::new();
    for (to, line) in imports(file, &module) {
        match floor(&to) {
            None => found.push(file.finding(line, format!("`{to}` has no floor"))),
            Some(floor) if !may_import(from, &to) => found
                .push(file.finding(line, format!("`{from}` (floor {own}) imports `{to}` (floor {floor})"))),
            Some(_) => {}
        }
    }
    found
}

/// The module a file of `src` is, from the crate's root; none for the root itself and for other files.
fn module_of(path: &str) -> Option<Vec<String>> {
    let inside = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let inside = inside.strip_suffix("/mod").unwrap_or(inside);
    (inside != "lib").then(|| inside.split('/').map(str::to_owned).collect())
}

/// The folders named by every path that begins with `crate`, `self` or `super`, or in a binary with `vipd`.
fn imports(file: &Source, module: &[String]) -> Vec<(String, usize)> {
    let tokens = file.tokens();
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut folders = Vec::new();
    let mut depth = 0_usize;
    let mut inline: Vec<(usize, String)> = Vec::new();
    for at in 0..tokens.len() {
        match text(at) {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inline.pop_if(|(opened, _)| *opened == depth);
            }
            "mod" if text(at + 2) == "{" => inline.push((depth, text(at + 1).to_owned())),
            "crate" | "self" | "super" | "vipd"
                if text(at + 1) == "::" && (at == 0 || text(at - 1) != "::") =>
            {
                let mut here = module.to_vec();
                here.extend(inline.iter().map(|(_, name)| name.clone()));
                let mut paths = Vec::new();
                read_path(&tokens, at, &[], &mut paths);
                folders
                    .extend(paths.iter().filter_map(|path| Some((resolve(&here, path)?, tokens[at].line))));
            }
            _ => {}
        }
    }
    folders
}

/// Reads the path, or the tree of paths, that begins at `at`; returns where it ends.
fn read_path(tokens: &[Token], mut at: usize, prefix: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut path = prefix.to_vec();
    loop {
        if text(at) == "{" {
            at += 1;
            while !matches!(text(at), "}" | "") {
                at = read_path(tokens, at, &path, paths);
                // Past `as NAME`, up to the next branch.
                while !matches!(text(at), "," | "}" | "") {
                    at += 1;
                }
                if text(at) == "," {
                    at += 1;
                }
            }
            return at + 1;
        }
        path.push(text(at).to_owned());
        if text(at + 1) != "::" {
            paths.push(path);
            return at + 1;
        }
        at += 2;
    }
}

/// The folder, or the file without folder, that `path` names when it stands in the module `here`.
fn resolve(here: &[String], path: &[String]) -> Option<String> {
    let in_binary = here[0] == "bin";
    let mut at = here.to_vec();
    for (step, segment) in path.iter().enumerate() {
        match segment.as_str() {
            // In a binary `crate` is the binary itself.
            "crate" if in_binary => at = vec!["bin".to_owned()],
            "vipd" if in_binary && step == 0 => at.clear(),
            "vipd" if step == 0 => return None,
            "crate" => at.clear(),
            "super" => drop(at.pop()),
            "self" => {}
            name => at.push(name.to_owned()),
        }
    }
    at.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str, text: &str) -> Vec<String> {
        violations(&Source::planted(path, text))
    }

    #[test]
    fn an_import_from_a_higher_floor_is_found_with_its_line() {
        assert_eq!(
            said("src/wire/arp.rs", "//! x\nuse crate::engine::Event;\n"),
            ["src/wire/arp.rs:2: `wire` (floor 1) imports `engine` (floor 3)"]
        );
    }

    #[test]
    fn a_path_without_an_import_is_found() {
        let text = "fn f() { let x = crate::sys::clock(); println!(\"{}\", crate::agent::x()); }";
        assert_eq!(said("src/config/read.rs", "fn f() { crate::sys::clock() }"), Vec::<String>::new());
        assert_eq!(said("src/engine/mod.rs", text).len(), 2);
    }

    #[test]
    fn siblings_of_one_floor_never_import_each_other() {
        for (path, text) in [
            ("src/sys/a.rs", "use crate::check::Run;"),
            ("src/check/a.rs", "use crate::notify::b;"),
            ("src/reach/a.rs", "use crate::check::b;"),
            ("src/sys/a.rs", "use crate::reach::b;"),
            ("src/net.rs", "use crate::time::Instant;"),
            ("src/cli/status.rs", "use crate::bin::x;"),
        ] {
            assert_eq!(said(path, text).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn an_escape_by_super_is_found() {
        assert_eq!(said("src/wire/vrrp/decode.rs", "use super::super::ipv4;"), Vec::<String>::new());
        assert_eq!(said("src/wire/vrrp/decode.rs", "use super::super::super::engine::x;").len(), 1);
        assert_eq!(said("src/net.rs", "mod tests { use super::super::wire::x; }").len(), 1);
        assert_eq!(said("src/net.rs", "mod tests { use super::*; } use super::wire::x;").len(), 1);
    }

    #[test]
    fn every_branch_of_a_group_is_read() {
        let text = "use crate::{net::{Mac as M, IpNet}, engine::{self, event::Event}, time::Instant};";
        assert_eq!(
            said("src/wire/arp.rs", text),
            ["src/wire/arp.rs:1: `wire` (floor 1) imports `engine` (floor 3)"; 2]
        );
    }

    #[test]
    fn downward_imports_comments_and_strings_pass() {
        let text =
            "//! See [`crate::agent`].\nuse crate::net::Mac; pub(crate) fn f() { g(\"crate::agent::x\") }";
        assert_eq!(said("src/wire/arp.rs", text), Vec::<String>::new());
        assert_eq!(said("src/lib.rs", "pub mod wire;"), Vec::<String>::new());
        assert_eq!(said("tests/interop.rs", "use vipd::agent::x;"), Vec::<String>::new());
    }

    #[test]
    fn binaries_may_use_the_whole_library_by_its_name() {
        assert_eq!(said("src/bin/vipctl.rs", "fn main() { vipd::cli::main() }"), Vec::<String>::new());
        assert_eq!(said("src/bin/vipctl.rs", "fn main() { crate::agent() }"), Vec::<String>::new());
    }

    #[test]
    fn a_folder_without_a_floor_is_found() {
        assert_eq!(said("src/plugins/mod.rs", "").len(), 1);
        assert_eq!(said("src/agent/mod.rs", "use crate::plugins::x;").len(), 1);
    }
}
