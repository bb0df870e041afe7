//! Reading history files, by the agent that writes them or without one.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::libc;

use super::{LARGEST, NEWER, OLDER};
use crate::agent::history::Line;
use crate::agent::stamp::Stamp;

/// Calls `hear` for each event since then in the files of a state directory, oldest first; answers the time of the
/// oldest there is. What is no event is skipped: a line that a crash has torn, or one of a newer program.
pub fn each(directory: &Path, since: Stamp, mut hear: impl FnMut(Line)) -> io::Result<Option<Stamp>> {
    // In this order: a rotation in between makes one file of both, and leaves none out.
    let newer = opened(directory, NEWER)?;
    let older = opened(directory, OLDER)?;
    if newer.is_none() && older.is_none() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let number = |file: &Option<File>| file.as_ref().map(|file| file.metadata().map(|m| m.ino())).transpose();
    let is_one = older.is_some() && number(&newer)? == number(&older)?;
    let (since, mut oldest) = (since.to_string(), None);
    for file in older.into_iter().filter(|_| !is_one).chain(newer) {
        let mut lines = BufReader::new(file.take(2 * LARGEST));
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            // Every line is written with all digits, in UTC: the order of texts is that of times, and most lines need
            // not be understood.
            if let Some(time) = time(&line) {
                oldest = oldest.or_else(|| time.parse().ok());
                if time >= since.as_str()
                    && let Ok(line) = serde_json::from_slice(&line)
                {
                    hear(line);
                }
            }
            line.clear();
        }
    }
    Ok(oldest)
}

fn opened(directory: &Path, name: &str) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    match options.open(directory.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

/// The time of a line, if it has one where this program writes it.
fn time(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line).ok()?;
    line.split_once("\"time\":\"")?.1.split_once('"').map(|(time, _)| time)
}
