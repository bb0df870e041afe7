//! What becomes of each keyword: the tables of `docs/keepalived.md`, which are compiled in. The document that operators read
//! and the importer cannot differ, because they are one file.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The document.
pub const DOCUMENT: &str = include_str!("../../docs/keepalived.md");

/// What becomes of a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is converted.
    Works,
    /// vipd's default serves its purpose.
    Better,
    /// vipd does not have it.
    Not,
}

/// A keyword in a block.
#[derive(Clone, Debug)]
pub struct Row {
    /// What becomes of it.
    pub verdict: Verdict,
    /// How often operators use it: core, common or rare.
    pub usage: String,
    /// The keys of vipd's configuration that it becomes, as paths.
    pub keys: Vec<String>,
    /// Why, and what to know.
    pub why: String,
    /// The tests that show it.
    pub tests: Vec<String>,
}

/// All rows, by block and keyword; what stands outside of any block has the block "".
#[derive(Debug, Default)]
pub struct Table {
    rows: BTreeMap<(String, String), Row>,
    /// Lines of the document that are no rows but look like some, and keywords that are there twice.
    pub faults: Vec<String>,
}

/// The table of the document.
pub static TABLE: LazyLock<Table> = LazyLock::new(|| Table::read(DOCUMENT));

impl Table {
    /// The row of a keyword.
    pub fn row(&self, block: &str, keyword: &str) -> Option<&Row> {
        self.rows.get(&(block.to_owned(), keyword.to_owned()))
    }

    /// Every block and keyword with its row.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &str, &Row)> {
        self.rows.iter().map(|((block, keyword), row)| (block.as_str(), keyword.as_str(), row))
    }

    fn read(text: &str) -> Self {
        let mut table = Self::default();
        let mut blocks = Vec::new();
        for line in text.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                blocks = quoted(heading);
                if blocks.is_empty() {
                    blocks.push(String::new());
                }
            } else if line.starts_with("| `") {
                table.line(line, &blocks);
            }
        }
        table
    }

    fn line(&mut self, line: &str, blocks: &[String]) {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let Some((keywords, row)) = row(&cells) else {
            return self.faults.push(format!("no row: {line}"));
        };
        for block in blocks {
            for keyword in &keywords {
                if self.rows.insert((block.clone(), keyword.clone()), row.clone()).is_some() {
                    self.faults.push(format!("{keyword} is in {block} twice"));
                }
            }
        }
    }
}

fn row(cells: &[&str]) -> Option<(Vec<String>, Row)> {
    let &[keywords, usage, verdict, keys, why, tests] = cells else { return None };
    let verdict = match verdict {
        "works" => Verdict::Works,
        "better" => Verdict::Better,
        "not" => Verdict::Not,
        _ => return None,
    };
    let usage = ["core", "common", "rare"].contains(&usage).then(|| usage.to_owned())?;
    Some((
        quoted(keywords),
        Row { verdict, usage, keys: quoted(keys), why: why.replace('`', ""), tests: quoted(tests) },
    ))
}

/// What stands between backquotes.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
