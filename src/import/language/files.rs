//! The files that `include` names: wildcards, braces, and which files keepalived would read.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How long an included file may be, in bytes.
const LONGEST: u64 = 1 << 20;

/// How many patterns braces may make of one.
const MOST: usize = 1024;

/// The files that `pattern` names from `directory`, in the order of their names.
pub(super) fn matching(directory: &Path, pattern: &str) -> Vec<PathBuf> {
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let mut found = Vec::new();
    for pattern in braces(pattern) {
        let path = directory.join(&pattern);
        match glob::glob_with(&path.to_string_lossy(), options) {
            Ok(paths) => found.extend(paths.filter_map(Result::ok).filter(|path| !path.is_dir())),
            // No pattern: the name of a file.
            Err(_) if path.is_file() => found.push(path),
            Err(_) => {}
        }
    }
    found
}

/// A file as keepalived would read it: a regular one that cannot be executed.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("cannot be read: {error}; keepalived goes on without it");
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.mode() & 0o111 != 0 {
        return Err("is no regular file, or can be executed; keepalived skips it".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST {
        return Err("is longer than 1 MiB; it is left out".to_owned());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `a{b,c}d` as `abd` and `acd`, in that order; braces may contain each other.
fn braces(pattern: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut waiting = vec![pattern.to_owned()];
    while let Some(pattern) = waiting.pop() {
        match alternatives(&pattern) {
            Some(found) if done.len() + waiting.len() + found.len() <= MOST => {
                waiting.extend(found.into_iter().rev());
            }
            _ => done.push(pattern),
        }
    }
    done
}

/// What the first pair of braces makes of a pattern.
fn alternatives(pattern: &str) -> Option<Vec<String>> {
    let open = pattern.find('{')?;
    let mut depth = 0_usize;
    let mut cuts = vec![open];
    for (at, letter) in pattern.char_indices().skip_while(|(at, _)| *at < open) {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 1 => cuts.push(at),
            _ => {}
        }
        if depth == 0 {
            cuts.push(at);
            let (before, after) = (&pattern[..open], &pattern[at + 1..]);
            let part = |pair: &[usize]| format!("{before}{}{after}", &pattern[pair[0] + 1..pair[1]]);
            return Some(cuts.windows(2).map(part).collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_make_several_patterns() {
        for (pattern, made) in [
            ("a.conf", vec!["a.conf"]),
            ("{a,b}.conf", vec!["a.conf", "b.conf"]),
            ("{foo/{,cat,dog},bar}", vec!["foo/", "foo/cat", "foo/dog", "bar"]),
            ("a{b", vec!["a{b"]),
            ("{a}{b,c}", vec!["ab", "ac"]),
        ] {
            assert_eq!(braces(pattern), made, "{pattern}");
        }
        assert!(braces(&"{a,b}".repeat(40)).len() <= MOST);
    }

    #[test]
    fn wildcards_find_files_in_the_order_of_their_names() {
        let directory = std::env::temp_dir().join(format!("vipd-import-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        for name in ["b.conf", "a.conf", ".hidden.conf", "c.txt"] {
            std::fs::write(directory.join(name), "x").unwrap();
        }
        let names = |pattern: &str| -> Vec<String> {
            let found = matching(&directory, pattern);
            found.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        let said =
            [names("*.conf"), names("[bc].*"), names("c.txt"), names("none*"), names("{c.txt,a.conf}")];
        std::fs::remove_dir_all(&directory).unwrap();
        let wanted: [&[&str]; 5] =
            [&["a.conf", "b.conf"], &["b.conf", "c.txt"], &["c.txt"], &[], &["c.txt", "a.conf"]];
        assert_eq!(said.each_ref().map(Vec::as_slice), wanted);
    }
}
