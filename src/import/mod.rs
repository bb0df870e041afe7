//! Floor 5: keepalived's configuration, made into vipd's. What `vipctl import` runs.
//!
//! ```text
//! files --language--> lines --blocks--> statements --convert, by the table--> YAML, and a report of every statement
//! ```
//!
//! Nothing is dropped without a word: a statement is converted, dropped because vipd's default is better, left out because vipd
//! does not have it, or ignored because keepalived ignores it, too. What becomes of a keyword is said in one place,
//! `docs/keepalived.md`, which [`table`] reads.
//!
//! It knows nothing of vipd's own reading of a configuration, and cannot: whoever calls it lets that judge the output.

mod blocks;
mod convert;
mod language;
mod report;
pub mod table;
mod yaml;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

pub use language::Place;
pub use report::{Entry, Fate};

use language::Includes;
use report::Report;

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// vipd's configuration.
    pub yaml: String,
    /// How many instances it has; without any it is of no use.
    pub instances: usize,
    /// There is a password in it.
    pub secret: bool,
    /// What became of each statement, in the order of the files.
    pub entries: Vec<Entry>,
}

impl Import {
    /// How many entries have that fate.
    pub fn count(&self, fate: Fate) -> usize {
        self.entries.iter().filter(|entry| entry.fate == fate).count()
    }
}

/// The longest file that is read, in bytes.
const LONGEST: u64 = 4 << 20;

/// Converts the file at `path` and what it includes, as the node with the configuration id `id` reads it.
pub fn import(path: &Path, id: &str) -> io::Result<Import> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than 4 MiB"));
    }
    Ok(convert_text(path, &String::from_utf8_lossy(&bytes), id, Includes::Read))
}

/// The same for a text that includes nothing.
pub fn convert(name: &str, text: &str, id: &str) -> Import {
    convert_text(Path::new(name), text, id, Includes::Refuse)
}

fn convert_text(path: &Path, text: &str, id: &str, includes: Includes) -> Import {
    let language::Lines { lines, mut notes } = language::read(path, text, id, includes);
    let order = files(&lines);
    let statements = blocks::parse(lines, &mut notes);
    let mut report = Report::default();
    let output = convert::convert(&statements, &mut report);
    let entries = report.finish(&statements, notes, &order);
    let mut yaml = String::new();
    for line in heading(path, &entries, output.drop_in.as_deref()) {
        yaml.push_str("# ");
        yaml.push_str(&line.replace(char::is_control, "?"));
        yaml.push('\n');
    }
    output.map.write(&mut yaml, 0);
    Import { yaml, instances: output.instances, secret: output.secret, entries }
}

/// What stands above it all: where it comes from, and what it lacks.
fn heading(path: &Path, entries: &[Entry], drop_in: Option<&str>) -> Vec<String> {
    let mut lines = vec![format!("From {}, by vipctl import.", path.display())];
    // Scripts are to see the same network, and the flush has to clean up there.
    let units = "vipd.service, vipd-flush@.service and vipd-scripts.service";
    lines.extend(drop_in.map(|line| format!("For {units}, by 'systemctl edit': [Service] {line}")));
    // What goes with a block goes without saying.
    let whole = |entry: &&Entry| entry.fate == Fate::LeftOut && !entry.is_within;
    let left_out = entries.iter().filter(whole).take(LISTED);
    lines.extend(
        left_out
            .map(|Entry { place, statement, text, .. }| format!("left out: {place}: {statement}: {text}")),
    );
    lines
}

/// How many statements that were left out are listed in the output; the report has them all.
const LISTED: usize = 100;

/// The files, in the order in which they were begun.
fn files(lines: &[language::Line]) -> Vec<Arc<str>> {
    let mut found: Vec<Arc<str>> = Vec::new();
    for line in lines {
        if !found.contains(&line.place.file) {
            found.push(Arc::clone(&line.place.file));
        }
    }
    found
}
