//! The names of routing tables, as iproute2 keeps them on this host.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::scalar;

/// A table by its number, or by a name of `rt_tables`.
pub(super) fn table(text: &str) -> Result<u32, String> {
    if let Ok(number) = scalar::number(text, 1, u32::MAX) {
        return Ok(number);
    }
    match text {
        "main" => return Ok(254),
        "default" => return Ok(253),
        "local" => return Ok(255),
        _ => {}
    }
    // The distribution's first: what the administrator writes wins.
    let known = named(&[SHARE, ETC].map(Path::new));
    known.get(text).copied().ok_or_else(|| {
        format!("there is no table '{text}' in {ETC}; write its number, or give that number the name there")
    })
}

fn named(places: &[&Path]) -> BTreeMap<String, u32> {
    let mut known = BTreeMap::new();
    for place in places {
        for file in files(place) {
            let Ok(text) = fs::read_to_string(file) else { continue };
            known.extend(text.lines().filter_map(line));
        }
    }
    known
}

/// `rt_tables`, and what stands beside it in a directory of fragments.
fn files(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("{}.d", path.display())).into_iter().flatten();
    let fragments = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut fragments: Vec<_> =
        fragments.filter(|path| path.extension().is_some_and(|e| e == "conf")).collect();
    fragments.sort();
    fragments.insert(0, path.to_owned());
    fragments
}

/// A number and a name.
fn line(line: &str) -> Option<(String, u32)> {
    let mut words = line.split('#').next()?.split_whitespace();
    let number = words.next()?;
    let number = match number.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok()?,
        None => number.parse().ok()?,
    };
    Some((words.next()?.to_owned(), number))
}

const ETC: &str = "/etc/iproute2/rt_tables";
const SHARE: &str = "/usr/share/iproute2/rt_tables";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_a_number_or_a_name() {
        assert_eq!(table("100"), Ok(100));
        assert_eq!(table("main"), Ok(254));
        assert!(table("nowhere-at-all").unwrap_err().contains("there is no table 'nowhere-at-all'"));
        for text in ["0", "-1", "4294967296"] {
            assert!(table(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_stand_in_files_and_fragments_and_the_administrators_count() {
        let scratch = std::env::temp_dir().join(format!("vipd-tables-{}", std::process::id()));
        let write = |name: &str, text: &str| {
            let path = scratch.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("share/rt_tables", "255\tlocal\n7 both\n8 shipped\n");
        write("etc/rt_tables", "9 both\n");
        write("etc/rt_tables.d/uplinks.conf", "# ours\n100 uplink\n");
        write("etc/rt_tables.d/ignored.txt", "101 ignored\n");
        let known = named(&[&scratch.join("share/rt_tables"), &scratch.join("etc/rt_tables")]);
        let expected = [("both", 9), ("local", 255), ("shipped", 8), ("uplink", 100)];
        assert_eq!(known.into_iter().collect::<Vec<_>>(), expected.map(|(name, n)| (name.to_owned(), n)));
        fs::remove_dir_all(scratch).unwrap();
    }

    #[test]
    fn names_are_read_as_iproute2_writes_them() {
        assert_eq!(line("100 uplink # the second provider"), Some(("uplink".to_owned(), 100)));
        assert_eq!(line("0x64\tuplink"), Some(("uplink".to_owned(), 100)));
        for text in ["", "# 100 uplink", "100", "uplink 100"] {
            assert_eq!(line(text), None, "{text}");
        }
    }
}
