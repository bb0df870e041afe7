//! Files that hold a secret and nothing else: a password, a key, a token. They are the owner's alone to read.

use crate::codes::Code;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use zeroize::Zeroizing;

use super::read::Item;
use super::scalar;

/// The longest secret, in bytes.
const LONGEST: u64 = 4096;

/// Reads the file whose path stands here; `what` it holds.
pub(super) fn read(item: &Item<'_>, what: &str) -> Option<String> {
    let path = item.read("an absolute path", scalar::absolute_path)?.value;
    let text = content(&path, what, LONGEST).and_then(|bytes| {
        let text = String::from_utf8(bytes.to_vec()).ok().filter(|text| !text.is_empty());
        let text = text.filter(|text| !text.contains(char::is_control));
        text.ok_or_else(|| format!("in '{path}' is no {what}; write one line of text"))
    });
    match text {
        Ok(text) => Some(text),
        Err(what) => item.error(Code::NamedFile, what),
    }
}

/// What is in the file, without the end of its line, unless others may read it, too; one byte more than `longest` if it is
/// longer.
pub(super) fn content(path: &str, what: &str, longest: u64) -> Result<Zeroizing<Vec<u8>>, String> {
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
    // As large as it can become: one that grew would leave copies behind.
    let room = usize::try_from(longest + 3).unwrap_or(0);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(longest + 3).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    let end = if bytes.ends_with(b"\r\n") { 2 } else { usize::from(bytes.ends_with(b"\n")) };
    let length = bytes.len() - end;
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    /// A file that is gone afterwards.
    pub(in crate::config) struct Scratch(PathBuf);

    impl Scratch {
        pub(in crate::config) fn new(name: &str, content: &[u8], mode: u32) -> Self {
            let path = std::env::temp_dir().join(format!("vipd-config-{}-{name}", std::process::id()));
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Self(path)
        }

        pub(in crate::config) fn path(&self) -> &str {
            self.0.to_str().unwrap()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).ok();
        }
    }

    #[test]
    fn a_secret_ends_before_the_end_of_its_line() {
        for (index, written) in [&b"secret"[..], b"secret\n", b"secret\r\n"].into_iter().enumerate() {
            let file = Scratch::new(&format!("end{index}"), written, 0o600);
            assert_eq!(**content(file.path(), "password", 8).unwrap(), *b"secret");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        for mode in [0o640, 0o604, 0o660] {
            let file = Scratch::new(&format!("mode{mode:o}"), b"secret", mode);
            let path = file.path();
            let said = content(path, "key", 64).unwrap_err();
            let expected =
                format!("'{path}' is open to group or others (mode {mode:04o}); run 'chmod 600 {path}'");
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn what_is_no_file_is_refused_without_waiting() {
        assert!(content("/nonexistent/key", "key", 64).unwrap_err().contains("No such file or directory"));
        assert!(content("/", "key", 64).unwrap_err().contains("is no regular file"));
        let pipe = std::env::temp_dir().join(format!("vipd-config-{}-pipe", std::process::id()));
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        let said = content(pipe.to_str().unwrap(), "key", 64);
        std::fs::remove_file(&pipe).unwrap();
        assert!(said.unwrap_err().contains("is no regular file"));
    }
}
