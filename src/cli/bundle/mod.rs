//! `vipctl bundle`: one archive for a bug report, of what this program, the kernel and the journal say, without secrets.

mod parts;
mod source;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tokio::task::JoinSet;

use super::Exit;
use super::output::{answer, complain};
use crate::agent::report::SCHEMA;
use crate::agent::{archive, stamp::Stamp};
use crate::config::masked::{Masked, masked};
use parts::Part;

/// What is asked for.
#[derive(Debug, Args)]
pub(super) struct Request {
    /// The archive, which must not exist; by default vipd-bundle-HOST-TIME.tar.
    file: Option<PathBuf>,
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "/etc/vipd/vipd.yaml")]
    config: PathBuf,
    /// Where the files of the history are, if no agent answers.
    #[arg(long, value_name = "DIR", default_value = archive::DIRECTORY)]
    state_directory: PathBuf,
    /// Says as JSON what is in it.
    #[arg(long)]
    json: bool,
}

/// What became of one part.
struct Made {
    name: &'static str,
    what: Result<Vec<u8>, String>,
}

/// Writes the archive and says what is in it.
pub(super) async fn run(runtime_dir: &Path, request: &Request) -> Exit {
    let now = Stamp::now();
    let name = format!("vipd-bundle-{}-{}", host(), compact(now));
    let path = request.file.clone().unwrap_or_else(|| format!("{name}.tar").into());
    // Before the work, and by this alone: nobody's file is overwritten, nobody else may read it.
    let file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(file) => file,
        Err(error) => {
            let why = if error.kind() == io::ErrorKind::AlreadyExists {
                "is there already; write another name".to_owned()
            } else {
                format!("cannot be made: {error}")
            };
            complain(&format!("{}: {why}.", path.display()));
            return Exit::CannotCreate;
        }
    };
    let made = collected(runtime_dir, request).await;
    let size = match written(file, &name, now, &made) {
        Ok(size) => size,
        Err(error) => {
            complain(&format!("{}: cannot be written: {error}.", path.display()));
            if let Err(error) = std::fs::remove_file(&path) {
                complain(&format!("{}: cannot be removed: {error}.", path.display()));
            }
            return Exit::CannotCreate;
        }
    };
    let shown = std::path::absolute(&path).unwrap_or(path);
    let said = if request.json { as_json(&shown, &made) } else { as_text(&shown, size, &made) };
    answer(&said, Exit::Ok)
}

/// Every part, all of them asked for at once, without what the configuration has of secrets.
async fn collected(runtime_dir: &Path, request: &Request) -> Vec<Made> {
    let (configuration, hidden) = configuration(&request.config);
    let mut made = vec![Made { name: "configuration.yaml", what: configuration }];
    let mut asked = JoinSet::new();
    let all = parts::all(runtime_dir, &request.config, &request.state_directory);
    for (index, Part { name, source, .. }) in all.into_iter().enumerate() {
        asked.spawn(async move { (index, name, source.read().await) });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(index, ..)| *index);
    made.extend(
        answers
            .into_iter()
            .map(|(_, name, what)| Made { name, what: what.map(|bytes| clean(bytes, hidden.as_ref())) }),
    );
    made
}

/// The file with its secrets masked, and what they are.
fn configuration(path: &Path) -> (Result<Vec<u8>, String>, Option<Masked>) {
    let read = source::file(path).and_then(|bytes| {
        String::from_utf8(bytes)
            .map_err(|_| "it is no text, so that nobody knows what in it is secret".to_owned())
    });
    match read.map(|text| masked(&text)) {
        Ok(Some(masked)) => (Ok(masked.text.clone().into_bytes()), Some(masked)),
        Ok(None) => (
            Err("it is not YAML, so that nobody knows what in it is secret; see check.json".to_owned()),
            None,
        ),
        Err(why) => (Err(why), None),
    }
}

fn clean(bytes: Vec<u8>, hidden: Option<&Masked>) -> Vec<u8> {
    match hidden {
        Some(masked) => masked.scrubbed(&String::from_utf8_lossy(&bytes)).into_bytes(),
        None => bytes,
    }
}

fn written(file: File, directory: &str, now: Stamp, made: &[Made]) -> io::Result<u64> {
    let mut archive = tar::Builder::new(file);
    let contents = contents(made);
    let parts = made.iter().filter_map(|part| Some((part.name, part.what.as_ref().ok()?.as_slice())));
    for (name, bytes) in [("CONTENTS.txt", contents.as_bytes())].into_iter().chain(parts) {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o600);
        header.set_size(bytes.len() as u64);
        header.set_mtime(u64::try_from(now.milliseconds() / 1000).unwrap_or(0));
        archive.append_data(&mut header, format!("{directory}/{name}"), bytes)?;
    }
    let file = archive.into_inner()?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

fn as_text(path: &Path, size: u64, made: &[Made]) -> String {
    format!(
        "{}: {}, for nobody else to read.\n{}",
        path.display(),
        bytes(usize::try_from(size).unwrap_or(usize::MAX)),
        contents(made)
    )
}

/// What is in it, what is not and why, and what its reader should know.
fn contents(made: &[Made]) -> String {
    let width = made.iter().map(|part| part.name.len()).max().unwrap_or(0);
    let inside = made.iter().filter_map(|part| {
        let size = bytes(part.what.as_ref().ok()?.len());
        Some(format!("  {:width$}  {size:>9}  {}\n", part.name, parts::meaning(part.name)))
    });
    let inside: String = inside.collect();
    let missing = made.iter().filter_map(|part| {
        let why = part.what.as_ref().err()?;
        Some(format!("  {:width$}  {why}\n", part.name))
    });
    let mut missing: String = missing.collect();
    if !missing.is_empty() {
        missing.insert_str(0, "Not in it:\n");
    }
    format!(
        "In it:\n{inside}{missing}\
        Passwords, keys, headers and the addresses of webhooks are masked. Names, IP\n\
        addresses, commands and comments are as they are: look before you send it.\n"
    )
}

fn as_json(path: &Path, made: &[Made]) -> String {
    let parts: Vec<_> = made
        .iter()
        .map(|part| match &part.what {
            Ok(what) => json!({"name": part.name, "size_bytes": what.len()}),
            Err(why) => json!({"name": part.name, "missing": why}),
        })
        .collect();
    format!("{}\n", json!({"schema": SCHEMA, "file": path.display().to_string(), "parts": parts}))
}

fn bytes(count: usize) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{} KiB", count.div_ceil(1024)),
        _ => format!("{} MiB", count.div_ceil(1_048_576)),
    }
}

/// `20261122T041500Z`.
fn compact(moment: Stamp) -> String {
    let text = moment.to_string();
    let text: String = text.chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
    text + "Z"
}

/// The name of this host, as part of a file's.
fn host() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    let name = name.to_string_lossy();
    let first = name.split('.').next().unwrap_or_default();
    first.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect()
}
