//! `vipctl import FILE`: keepalived's configuration made into vipd's, with a word on every statement of it.
//!
//! The output is judged by the agent's own reading before it is shown, so that what comes out here is what `vipctl check` takes.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Exit;
use super::output::{answer, complain};
use crate::agent::report::SCHEMA;
use crate::config;
use crate::import::{self, Entry, Fate, Import};

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(super) struct Request {
    /// keepalived's file.
    #[arg(default_value = "/etc/keepalived/keepalived.conf")]
    file: PathBuf,
    /// Writes the configuration into this file, which must not be there yet, instead of to the standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The node that lines with '@ID' are for; default: the host's name up to its first dot, as for keepalived.
    #[arg(long, short = 'i', value_name = "ID")]
    config_id: Option<String>,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
}

/// Converts the file, and says what became of everything in it.
pub(super) fn run(request: &Request) -> Exit {
    let id = request.config_id.clone().unwrap_or_else(host);
    let import = match import::import(&request.file, &id) {
        Ok(import) => import,
        Err(error) => {
            complain(&format!("{}: cannot be read: {error}", request.file.display()));
            return Exit::NoInput;
        }
    };
    let problems = if import.instances == 0 {
        vec![format!("{}: there is no vrrp_instance that could be converted", request.file.display())]
    } else {
        let name = request.output.as_ref().map_or("vipd.yaml".into(), |path| path.display().to_string());
        config::parse(&import.yaml, &name)
            .err()
            .iter()
            .flat_map(|found| found.lines().collect::<Vec<_>>())
            .collect()
    };
    if request.json {
        complain(&as_json(request, &import, &problems).to_string());
    } else {
        complain(&as_text(&import, &problems));
    }
    let exit = match () {
        () if !problems.is_empty() => Exit::Data,
        () if import.count(Fate::LeftOut) > 0 => Exit::LeftOut,
        () => Exit::Ok,
    };
    match &request.output {
        _ if import.instances == 0 => exit,
        None => answer(&import.yaml, exit),
        Some(path) => match write(path, &import) {
            Ok(()) => exit,
            Err(error) => {
                complain(&format!("{}: cannot be written: {error}", path.display()));
                Exit::CannotCreate
            }
        },
    }
}

/// A new file; with a password in it, for nobody else to read.
fn write(path: &Path, import: &Import) -> std::io::Result<()> {
    let mode = if import.secret { 0o600 } else { 0o644 };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(import.yaml.as_bytes())?;
    file.sync_all()
}

/// The configuration id that keepalived has without its option.
fn host() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    let name = name.to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}

const FATES: [Fate; 4] = [Fate::Converted, Fate::Dropped, Fate::Ignored, Fate::LeftOut];

fn as_text(import: &Import, problems: &[String]) -> String {
    let line = |entry: &Entry| {
        let Entry { place, statement, fate, text, .. } = entry;
        format!("{place}: {:<9} {statement}: {text}\n", fate.word())
    };
    let mut out: String = import.entries.iter().map(line).collect();
    for problem in problems {
        out.push_str(problem);
        out.push('\n');
    }
    let counts: Vec<_> = FATES
        .into_iter()
        .filter(|fate| import.count(*fate) > 0)
        .map(|fate| format!("{} {}", import.count(fate), meaning(fate)))
        .collect();
    out + &counts.join(", ") + "."
}

const fn meaning(fate: Fate) -> &'static str {
    match fate {
        Fate::Converted => "converted",
        Fate::Dropped => "dropped because vipd does as well without",
        Fate::Ignored => "ignored as keepalived ignores them",
        Fate::LeftOut => "left out",
    }
}

fn as_json(request: &Request, import: &Import, problems: &[String]) -> Value {
    let entry = |entry: &Entry| {
        json!({
            "file": &*entry.place.file,
            "line": entry.place.line,
            "statement": entry.statement,
            "fate": entry.fate.word().replace(' ', "_"),
            "text": entry.text,
        })
    };
    json!({
        "schema": SCHEMA,
        "file": request.file.display().to_string(),
        "usable": problems.is_empty(),
        "instances": import.instances,
        "converted": import.count(Fate::Converted),
        "dropped": import.count(Fate::Dropped),
        "ignored": import.count(Fate::Ignored),
        "left_out": import.count(Fate::LeftOut),
        "statements": import.entries.iter().map(entry).collect::<Vec<_>>(),
        "problems": problems,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::table::{TABLE, Verdict};

    #[test]
    fn every_key_that_a_keyword_becomes_is_one_of_the_configurations() {
        let known: Vec<_> = config::known_keys().into_iter().flat_map(|(_, keys)| keys).collect();
        let works = TABLE.rows().filter(|(_, _, row)| row.verdict == Verdict::Works);
        for (block, keyword, row) in works {
            for part in row.keys.iter().filter(|key| !key.ends_with('=')).flat_map(|key| key.split('.')) {
                assert!(known.contains(&part), "{block} {keyword}: vipd.yaml has no key '{part}'");
            }
        }
    }
}
