//! `priority_file`: a priority that something else on the host decides, and may change while the agent runs.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::scalar;
use crate::net::Priority;

/// Which instance's priority stands in which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriorityFile {
    /// The instance's name.
    pub instance: String,
    /// The file.
    pub path: PathBuf,
    /// Why it could not be read with the rest of the configuration; then `priority` counts.
    pub trouble: Option<String>,
}

/// The number in the file at `path`, or what is wrong with it. May wait as long as the file system does.
pub fn read_priority(path: &Path) -> Result<Priority, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    // Without O_NONBLOCK a named pipe would keep us waiting for its writer.
    let options = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).to_owned();
    let file = options.open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(format!("{} is no regular file", path.display()));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes);
    let number = scalar::number(text.trim(), 1, 254).ok().and_then(|number| u8::try_from(number).ok());
    let wrong = || format!("{} holds no priority; write 1 to 254 into it, and nothing else", path.display());
    number.map(Priority::new).ok_or_else(wrong)
}

/// More is no number that is meant.
const LONGEST: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_a_priority_and_nothing_else() {
        let path = std::env::temp_dir().join(format!("vipd-config-{}-priority", std::process::id()));
        let read = |content: &str| {
            std::fs::write(&path, content).unwrap();
            read_priority(&path)
        };
        assert_eq!(read("150\n"), Ok(Priority::new(150)));
        assert_eq!(read(" 1 "), Ok(Priority::new(1)));
        let wrong = format!("{} holds no priority; write 1 to 254 into it, and nothing else", path.display());
        for content in ["", "0", "255", "high", "10 20", &"1".repeat(1000)] {
            assert_eq!(read(content), Err(wrong.clone()), "{content}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            read_priority(&path),
            Err(format!("{}: No such file or directory (os error 2)", path.display()))
        );
        assert!(read_priority(Path::new("/")).unwrap_err().ends_with("is no regular file"));
    }
}
