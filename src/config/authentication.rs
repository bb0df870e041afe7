//! `authentication`: the password of version 2 adverts (RFC 2338, 5.3.6), in the file or in one of its own.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use super::problem::At;
use super::read::{Item, Table};
use super::scalar;
use crate::wire::vrrp;

/// What stands under `authentication`.
pub(super) const KEYS: &[&str] = &["type", "password", "password_file"];

/// How many bytes an advert has for it.
const LENGTH: usize = 8;

/// The value of `authentication` as written.
#[derive(Debug)]
pub(super) struct Authentication {
    pub(super) value: vrrp::Authentication,
    /// It stands in the configuration itself.
    pub(super) inline: bool,
}

/// Reads the value of `authentication`, and the password's file.
pub(super) fn read(item: &Item<'_>) -> Option<At<Authentication>> {
    let table = item.table("'type: simple' and a password")?;
    table.only(KEYS, |_| None);
    let kind = table.required("type", "simple").and_then(|item| {
        item.read("simple", |text| match text {
            "simple" => Ok(()),
            _ => Err(format!("'{text}' is no type of authentication; write simple, there is no other")),
        })
    });
    let password = password(&table, item);
    kind?;
    let (value, inline) = password?;
    Some(item.at(Authentication { value: vrrp::Authentication::Simple(value), inline }))
}

fn password(table: &Table<'_>, item: &Item<'_>) -> Option<([u8; LENGTH], bool)> {
    match (table.optional("password"), table.optional("password_file")) {
        (Some(password), None) => {
            password.read("1 to 8 bytes", |text| padded(text.as_bytes())).map(|at| (at.value, true))
        }
        (None, Some(file)) => {
            let path = file.read("an absolute path", scalar::absolute_path)?.value;
            match from_file(&path) {
                Ok(password) => Some((password, false)),
                Err(what) => file.error(what),
            }
        }
        (Some(_), Some(file)) => file.error("there is a 'password' as well; keep one of them"),
        (None, None) => {
            let what = "there is no password; write 'password' or 'password_file'";
            item.findings.error(table.place(), what);
            None
        }
    }
}

/// The password as an advert carries it. Zeros pad it, so it can have none of its own.
fn padded(password: &[u8]) -> Result<[u8; LENGTH], String> {
    if password.is_empty() || password.len() > LENGTH || password.contains(&0) {
        // A longer one would be cut off, here or at the peer, and nobody would notice.
        return Err(format!(
            "the password has {} bytes; write 1 to {LENGTH}, none of them 0",
            password.len()
        ));
    }
    let mut padded = [0; LENGTH];
    padded[..password.len()].copy_from_slice(password);
    Ok(padded)
}

/// Reads a file that holds nothing but the password, and is nobody else's to read.
fn from_file(path: &str) -> Result<[u8; LENGTH], String> {
    let failed = |error: &std::io::Error| {
        format!("cannot read '{path}': {error}; write the path of a file with the password")
    };
    // Without O_NONBLOCK a named pipe would keep us waiting for its writer.
    let options = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).to_owned();
    let file = options.open(path).map_err(|error| failed(&error))?;
    let metadata = file.metadata().map_err(|error| failed(&error))?;
    if !metadata.is_file() {
        return Err(format!("'{path}' is no regular file; write the path of a file with the password"));
    }
    if metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o777;
        return Err(format!("'{path}' is open to group or others (mode {mode:04o}); run 'chmod 600 {path}'"));
    }
    let mut password = Vec::new();
    file.take(64).read_to_end(&mut password).map_err(|error| failed(&error))?;
    let end = if password.ends_with(b"\r\n") { 2 } else { usize::from(password.ends_with(b"\n")) };
    password.truncate(password.len() - end);
    padded(&password).map_err(|what| format!("in '{path}' {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str, content: &[u8], mode: u32) -> Self {
            let path = std::env::temp_dir().join(format!("vipd-config-{}-{name}", std::process::id()));
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Self(path)
        }

        fn read(&self) -> Result<[u8; LENGTH], String> {
            from_file(self.0.to_str().unwrap())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).ok();
        }
    }

    #[test]
    fn a_password_is_padded_with_zeros_and_never_cut() {
        assert_eq!(padded(b"secret"), Ok(*b"secret\0\0"));
        assert_eq!(padded(b"12345678"), Ok(*b"12345678"));
        for (password, count) in [(&b""[..], 0), (b"123456789", 9), (b"a\0b", 3)] {
            let said = format!("the password has {count} bytes; write 1 to 8, none of them 0");
            assert_eq!(padded(password), Err(said));
        }
    }

    #[test]
    fn a_file_holds_the_password_with_or_without_a_line_end() {
        for (index, content) in [&b"secret"[..], b"secret\n", b"secret\r\n"].into_iter().enumerate() {
            assert_eq!(Scratch::new(&format!("end{index}"), content, 0o600).read(), Ok(*b"secret\0\0"));
        }
        let said = Scratch::new("long", b"much too long\n", 0o400).read().unwrap_err();
        assert!(said.ends_with("the password has 13 bytes; write 1 to 8, none of them 0"), "{said}");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        for mode in [0o640, 0o604, 0o660] {
            let said = Scratch::new(&format!("mode{mode:o}"), b"secret", mode).read().unwrap_err();
            assert!(
                said.contains(&format!("is open to group or others (mode {mode:04o}); run 'chmod 600 /")),
                "{said}"
            );
        }
    }

    #[test]
    fn what_is_no_file_is_refused_without_waiting() {
        assert!(from_file("/nonexistent/password").unwrap_err().contains("No such file or directory"));
        assert!(from_file("/").unwrap_err().contains("is no regular file"));
        let pipe = std::env::temp_dir().join(format!("vipd-config-{}-pipe", std::process::id()));
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        let said = from_file(pipe.to_str().unwrap());
        std::fs::remove_file(&pipe).unwrap();
        assert!(said.unwrap_err().contains("is no regular file"));
    }
}
