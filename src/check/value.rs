//! The `value_file` kind: a number that somebody writes into a file, for whoever tracks it to reckon with.
//!
//! | setting | default | meaning |
//! |---|---|---|
//! | `value_file` | required | an absolute path |
//!
//! The file holds one whole number in decimal, with or without a sign, and white space around it. **No file and an empty
//! one are 0**, so that removing it ends what it was for. Anything else, and a file that cannot be read, is a run that
//! fails and no value: the last one goes on counting, and the check is down for everybody to see.
//!
//! Write a new file beside it and rename it, or write it at once: half of a number is a number, too.
//!
//! Errors: `/x holds 'ten', which is no whole number`; `cannot read /x: Permission denied`;
//! `timed out after 500ms reading the file`.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::reach::blocking::Blocking;
use crate::reach::{Run, described, first_line};

/// Where the number is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The path; a relative one would start at the agent's working directory.
    pub path: PathBuf,
}

pub(super) struct Probe {
    settings: Settings,
    read: Blocking<io::Result<Vec<u8>>>,
}

impl Probe {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, read: Blocking::default() }
    }

    pub(super) async fn run(&mut self, run: &mut Run) -> Result<String, String> {
        run.phase = " reading the file";
        let path = self.settings.path.clone();
        let text = self.read.run(move || contents(&path)).await?;
        let path = self.settings.path.display();
        let text = text.map_err(|error| format!("cannot read {path}: {}", described(&error)))?;
        let value = number(&text)
            .ok_or_else(|| format!("{path} holds '{}', which is no whole number", first_line(&text)))?;
        run.value = Some(value);
        Ok(format!("{value}"))
    }
}

/// The number in a file; nothing is 0.
fn number(text: &[u8]) -> Option<i32> {
    let text = str::from_utf8(text).ok()?.trim_ascii();
    if text.is_empty() { Some(0) } else { text.parse().ok() }
}

/// The beginning of a file; nothing if there is none.
fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    // A pipe would keep us waiting for somebody to write.
    let opened = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
    match opened {
        Ok(file) => file.take(LONGEST).read_to_end(&mut text).map(|_| text),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(text)
        }
        Err(error) => Err(error),
    }
}

/// More than any number that counts.
const LONGEST: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(path: &Path) -> (Result<String, String>, Option<i32>) {
        let mut run = Run::default();
        let said = Probe::new(Settings { path: path.to_owned() }).run(&mut run).await;
        (said, run.value)
    }

    #[test]
    fn a_value_is_one_whole_decimal_number() {
        for (text, value) in [("0", 0), (" -40\n", -40), ("+7\n", 7), ("010", 10), ("", 0), ("\n", 0)] {
            assert_eq!(number(text.as_bytes()), Some(value), "{text}");
        }
        for text in ["ten", "1.5", "0x10", "1 2", "99999999999", "--1", "\u{663}"] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
    }

    #[tokio::test]
    async fn no_file_is_0_and_other_contents_are_no_value() {
        let path = std::env::temp_dir().join(format!("vipd-check-value-{}", std::process::id()));
        assert_eq!(read(&path).await, (Ok("0".to_owned()), Some(0)));
        std::fs::write(&path, "-254\n").unwrap();
        assert_eq!(read(&path).await, (Ok("-254".to_owned()), Some(-254)));
        std::fs::write(&path, "on\n").unwrap();
        let said = format!("{} holds 'on', which is no whole number", path.display());
        assert_eq!(read(&path).await, (Err(said), None));
        std::fs::remove_file(&path).unwrap();
        let said = "cannot read /proc: Is a directory".to_owned();
        assert_eq!(read(Path::new("/proc")).await, (Err(said), None));
    }
}
