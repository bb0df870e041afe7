//! Whether a program may be run as it stands: one that others may change is theirs, and would run as us.
//!
//! Looked at when the configuration is read, and again by whoever is about to run it.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::described;

/// Why it is not run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// There is none.
    #[error("there is no '{}'; write the path of a program", .0.display())]
    Missing(PathBuf),
    /// It cannot be looked at, which says nothing about it.
    #[error("'{}' cannot be looked at: {why}", .path.display())]
    Hidden {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        why: String,
    },
    /// It is a directory or the like.
    #[error("'{}' is no regular file; write the path of a program", .0.display())]
    NoFile(PathBuf),
    /// Nobody may run it.
    #[error("'{path}' is not executable; run 'chmod +x {path}'", path = .0.display())]
    NotExecutable(PathBuf),
    /// Others may write it.
    #[error("'{at}' can be written by others than its owner (mode {mode:04o}); run 'chmod go-w {at}'", at = .path.display())]
    Writable {
        /// Which: the program, or a directory above it.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// Looks at the program at `path`, past symbolic links, and at the directories above it: in one that everybody may write
/// anybody may put another program in its place, unless it is sticky, as `/tmp` is.
pub fn judge(path: &Path) -> Result<(), Unfit> {
    let real = fs::canonicalize(path).map_err(|error| unseen(path, &error))?;
    let file = look(&real)?;
    if !file.is_file() {
        return Err(Unfit::NoFile(path.to_owned()));
    }
    if file.mode() & 0o111 == 0 {
        return Err(Unfit::NotExecutable(path.to_owned()));
    }
    if file.mode() & 0o022 != 0 {
        return Err(Unfit::Writable { path: path.to_owned(), mode: file.mode() & 0o7777 });
    }
    for above in real.ancestors().skip(1) {
        let mode = look(above)?.mode() & 0o7777;
        if mode & 0o1002 == 0o0002 {
            return Err(Unfit::Writable { path: above.to_owned(), mode });
        }
    }
    Ok(())
}

fn look(path: &Path) -> Result<Metadata, Unfit> {
    fs::metadata(path).map_err(|error| unseen(path, &error))
}

fn unseen(path: &Path, error: &io::Error) -> Unfit {
    match error.kind() {
        io::ErrorKind::NotFound => Unfit::Missing(path.to_owned()),
        _ => Unfit::Hidden { path: path.to_owned(), why: described(error) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("vipd-guard-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn script(&self, mode: u32) -> PathBuf {
            let path = self.0.join("script");
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_program_is_its_owners_alone_to_write() {
        let scratch = Scratch::new("modes");
        for mode in [0o700, 0o755, 0o555, 0o4755] {
            assert_eq!(judge(&scratch.script(mode)), Ok(()), "{mode:o}");
        }
        for mode in [0o775, 0o757, 0o777] {
            let path = scratch.script(mode);
            let said = judge(&path).unwrap_err().to_string();
            let path = path.display();
            let expected = format!(
                "'{path}' can be written by others than its owner (mode {mode:04o}); run 'chmod go-w {path}'"
            );
            assert_eq!(said, expected);
        }
        assert!(matches!(judge(&scratch.script(0o644)), Err(Unfit::NotExecutable(_))));
    }

    #[test]
    fn the_directories_above_count_and_a_link_is_as_good_as_what_it_leads_to() {
        let scratch = Scratch::new("above");
        let script = scratch.script(0o755);
        let link = scratch.0.join("link");
        std::os::unix::fs::symlink(&script, &link).unwrap();
        assert_eq!(judge(&link), Ok(()));
        scratch.script(0o777);
        assert!(matches!(judge(&link), Err(Unfit::Writable { path, .. }) if path == link));
        scratch.script(0o755);
        fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o777)).unwrap();
        let above = fs::canonicalize(&scratch.0).unwrap();
        assert_eq!(judge(&script), Err(Unfit::Writable { path: above, mode: 0o777 }));
        fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(judge(&script), Ok(()));
    }

    #[test]
    fn what_is_no_program_is_said_to_be_none() {
        let missing = Path::new("/nonexistent/script");
        assert_eq!(
            judge(missing).unwrap_err().to_string(),
            "there is no '/nonexistent/script'; write the path of a program"
        );
        assert_eq!(judge(Path::new("/etc")), Err(Unfit::NoFile("/etc".into())));
    }
}
