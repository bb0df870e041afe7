//! Files that hold a secret and nothing else: a password, a token. They are the owner's alone to read.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use super::read::Item;
use super::scalar;

/// The longest secret, in bytes.
const LONGEST: u64 = 4096;

/// Reads the file whose path stands here; `what` it holds.
pub(super) fn read(item: &Item<'_>, what: &str) -> Option<String> {
    let path = item.read("an absolute path", scalar::absolute_path)?.value;
    let text = content(&path, what, LONGEST).and_then(|bytes| {
        let text = String::from_utf8(bytes).ok().filter(|text| !text.is_empty());
        let text = text.filter(|text| !text.contains(char::is_control));
        text.ok_or_else(|| format!("in '{path}' is no {what}; write one line of text"))
    });
    match text {
        Ok(text) => Some(text),
        Err(what) => item.error(what),
    }
}

/// What is in the file, without the end of its line, unless others may read it, too; one byte more than `longest` if it is
/// longer.
pub(super) fn content(path: &str, what: &str, longest: u64) -> Result<Vec<u8>, String> {
    let failed = |error: &std::io::Error| {
        format!("cannot read '{path}': {error}; write the path of a file with the {what}")
    };
    // Without O_NONBLOCK a named pipe would keep us waiting for its writer.
    let options = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).to_owned();
    let file = options.open(path).map_err(|error| failed(&error))?;
    let metadata = file.metadata().map_err(|error| failed(&error))?;
    if !metadata.is_file() {
        return Err(format!("'{path}' is no regular file; write the path of a file with the {what}"));
    }
    if metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o777;
        return Err(format!("'{path}' is open to group or others (mode {mode:04o}); run 'chmod 600 {path}'"));
    }
    let mut bytes = Vec::new();
    file.take(longest + 3).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    let end = if bytes.ends_with(b"\r\n") { 2 } else { usize::from(bytes.ends_with(b"\n")) };
    bytes.truncate(bytes.len() - end);
    Ok(bytes)
}
