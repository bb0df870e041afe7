//! The `file` kind: something at a path, or nothing there.
//!
//! | setting | default | meaning |
//! |---|---|---|
//! | `file` | required | an absolute path |
//! | `exists` | `true` | `true`: it has to be there; `false`: it must not be (a maintenance flag) |
//!
//! Anything counts: a file, a directory, a socket. Symbolic links are followed, so one that leads nowhere is
//! nothing. The file is never opened. When it cannot be told whether something is there (no permission, an
//! I/O error, too many links), the run fails in both cases.
//!
//! Errors: `/run/ready does not exist`; `/run/maintenance exists`; `cannot look at /x/y: Permission denied`;
//! `timed out after 500ms waiting for the file system`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::reach::blocking::Blocking;
use crate::reach::{Run, described};

/// What has to be where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The path; a relative one would start at the agent's working directory.
    pub path: PathBuf,
    /// Whether something has to be there, or must not be.
    pub present: bool,
}

pub(super) struct Probe {
    settings: Settings,
    look: Blocking<io::Result<bool>>,
}

impl Probe {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, look: Blocking::default() }
    }

    pub(super) async fn run(&mut self, run: &mut Run) -> Result<String, String> {
        run.phase = " waiting for the file system";
        let path = self.settings.path.clone();
        let there = self.look.run(move || exists(&path)).await?;
        let path = self.settings.path.display();
        let there = there.map_err(|error| format!("cannot look at {path}: {}", described(&error)))?;
        let seen = format!("{path} {}", if there { "exists" } else { "does not exist" });
        if there == self.settings.present { Ok(seen) } else { Err(seen) }
    }
}

fn exists(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn look(path: &str, present: bool) -> Result<String, String> {
        Probe::new(Settings { path: path.into(), present }).run(&mut Run::default()).await
    }

    #[tokio::test]
    async fn a_file_that_is_there_is_what_present_asks_for() {
        assert_eq!(look("/proc/self/stat", true).await.unwrap(), "/proc/self/stat exists");
        assert_eq!(look("/proc/self/stat", false).await.unwrap_err(), "/proc/self/stat exists");
    }

    #[tokio::test]
    async fn a_missing_file_is_what_absent_asks_for() {
        for path in ["/nonexistent/flag", "/proc/self/stat/below-a-file"] {
            assert_eq!(look(path, false).await.unwrap(), format!("{path} does not exist"));
            assert_eq!(look(path, true).await.unwrap_err(), format!("{path} does not exist"));
        }
    }

    #[tokio::test]
    async fn when_it_cannot_be_told_the_run_fails_either_way() {
        // A name longer than any file system takes: neither there nor absent.
        let path = format!("/{}", "x".repeat(300));
        for present in [true, false] {
            let said = look(&path, present).await.unwrap_err();
            assert!(
                said.starts_with("cannot look at /xxx") && said.ends_with("File name too long"),
                "{said}"
            );
        }
    }

    #[tokio::test]
    async fn a_link_that_leads_nowhere_is_nothing() {
        let link = std::env::temp_dir().join(format!("vipd-check-link-{}", std::process::id()));
        std::os::unix::fs::symlink("/nonexistent/target", &link).unwrap();
        let found = look(link.to_str().unwrap(), true).await;
        fs::remove_file(&link).unwrap();
        assert!(found.unwrap_err().ends_with("does not exist"));
    }
}
