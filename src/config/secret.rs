//! Secrets in files of their own: read in full, never shown, and refused where others could read them.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use zeroize::Zeroizing;

/// What is read of a file: more than any secret needs, so that one that is too long is seen to be.
const MOST: usize = 1024;

/// Reads a file that holds nothing but `what` and perhaps the end of a line, and is nobody else's to read.
pub(super) fn read(path: &str, what: &str) -> Result<Zeroizing<Vec<u8>>, String> {
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
    let mut secret = Zeroizing::new(Vec::with_capacity(MOST));
    file.take(MOST as u64).read_to_end(&mut secret).map_err(|error| failed(&error))?;
    let end = if secret.ends_with(b"\r\n") { 2 } else { usize::from(secret.ends_with(b"\n")) };
    let length = secret.len() - end;
    secret.truncate(length);
    Ok(secret)
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
        for (index, content) in [&b"secret"[..], b"secret\n", b"secret\r\n"].into_iter().enumerate() {
            let file = Scratch::new(&format!("end{index}"), content, 0o600);
            assert_eq!(**read(file.path(), "password").unwrap(), *b"secret");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        for mode in [0o640, 0o604, 0o660] {
            let file = Scratch::new(&format!("mode{mode:o}"), b"secret", mode);
            let path = file.path();
            let said = read(path, "key").unwrap_err();
            let expected =
                format!("'{path}' is open to group or others (mode {mode:04o}); run 'chmod 600 {path}'");
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn what_is_no_file_is_refused_without_waiting() {
        assert!(read("/nonexistent/key", "key").unwrap_err().contains("No such file or directory"));
        assert!(read("/", "key").unwrap_err().contains("is no regular file"));
        let pipe = std::env::temp_dir().join(format!("vipd-config-{}-pipe", std::process::id()));
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        let said = read(pipe.to_str().unwrap(), "key");
        std::fs::remove_file(&pipe).unwrap();
        assert!(said.unwrap_err().contains("is no regular file"));
    }
}
