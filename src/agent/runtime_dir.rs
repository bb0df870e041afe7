//! The runtime directory: one agent's lock, and the two control sockets whose file modes say who may do what.
//!
//! The file system decides, because it knows supplementary groups and peer credentials do not. A lock, which the kernel
//! drops with its holder, makes the sockets of a dead agent safe to remove.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Group, chown};

/// The socket for everything.
pub const CONTROL: &str = "vipd.sock";
/// The socket for questions only.
pub const STATUS: &str = "status.sock";
/// Who may use [`CONTROL`] besides the agent's own user.
pub const CONTROL_GROUP: &str = "vipd-admin";
/// Who may use [`STATUS`] besides the agent's own user.
pub const STATUS_GROUP: &str = "vipd";

/// Why the directory is not ours.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Another agent holds the lock, or answers at a socket.
    #[error("another agent is running in {}", .0.display())]
    Taken(PathBuf),
    /// The kernel refused something.
    #[error("cannot {what}: {why}")]
    Refused {
        /// What was being done.
        what: String,
        /// What came of it.
        why: io::Error,
    },
}

/// The directory while this agent owns it; the sockets are removed with it.
#[derive(Debug)]
pub struct RuntimeDir {
    path: PathBuf,
    /// Where everything can be asked and ordered.
    pub control: Option<UnixListener>,
    /// Where everything can be asked.
    pub status: Option<UnixListener>,
    _lock: Flock<File>,
}

impl RuntimeDir {
    /// Takes the directory, creating it if need be. Call it before other threads exist: it changes the umask for a moment.
    pub fn take(path: &Path) -> Result<Self, Trouble> {
        if !path.is_dir() {
            let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
            made.map_err(refused(|| format!("create {}", path.display())))?;
        }
        let lock = locked(path)?;
        let control = listen(path, CONTROL, CONTROL_GROUP)?;
        let status = listen(path, STATUS, STATUS_GROUP)?;
        Ok(Self { path: path.to_owned(), control: Some(control), status: Some(status), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps agents out of the directory, as long as the lock lives. A directory that does not exist has none.
    pub fn lock(path: &Path) -> Result<Option<Flock<File>>, Trouble> {
        if path.is_dir() { locked(path).map(Some) } else { Ok(None) }
    }
}

impl Drop for RuntimeDir {
    /// Nobody shall knock at a door that leads nowhere. The lock file stays: removing it would let two agents lock two files.
    fn drop(&mut self) {
        for name in [CONTROL, STATUS] {
            if let Err(error) = fs::remove_file(self.path.join(name)) {
                tracing::debug!(%error, name, "cannot remove a control socket");
            }
        }
    }
}

fn refused(what: impl FnOnce() -> String) -> impl FnOnce(io::Error) -> Trouble {
    move |why| Trouble::Refused { what: what(), why }
}

fn locked(directory: &Path) -> Result<Flock<File>, Trouble> {
    let path = directory.join("lock");
    let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = opened.map_err(refused(|| format!("open {}", path.display())))?;
    let mut lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => Trouble::Taken(directory.to_owned()),
        errno => Trouble::Refused { what: format!("lock {}", path.display()), why: errno.into() },
    })?;
    // For people who look; nothing reads it, so a disk that is full is in nobody's way.
    let written = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
    if let Err(error) = written {
        tracing::debug!(%error, "cannot write {}", path.display());
    }
    Ok(lock)
}

fn listen(directory: &Path, name: &str, group: &str) -> Result<UnixListener, Trouble> {
    let path = directory.join(name);
    // The lock is ours, so no agent listens here; whatever else does is left alone.
    if UnixStream::connect(&path).is_ok() {
        return Err(Trouble::Taken(directory.to_owned()));
    }
    match fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(refused(|| format!("remove {}", path.display()))(error)),
    }
    // From the first moment nobody but us may connect.
    let before = umask(Mode::from_bits_truncate(0o177));
    let bound = UnixListener::bind(&path);
    umask(before);
    let listener = bound.map_err(refused(|| format!("listen at {}", path.display())))?;
    listener.set_nonblocking(true).map_err(refused(|| format!("listen at {}", path.display())))?;
    admit(&path, group);
    Ok(listener)
}

/// Lets a group in, if it exists. Without it the socket stays the owner's alone, which is safe, so nothing fails here.
fn admit(path: &Path, group: &str) {
    let Ok(Some(found)) = Group::from_name(group) else {
        tracing::debug!(group, "no such group: only the agent's own user may use {}", path.display());
        return;
    };
    if let Err(error) = chown(path, None, Some(found.gid)) {
        tracing::warn!(%error, group, "cannot give {} to its group; only the agent's own user may use it", path.display());
        return;
    }
    if let Err(error) = fs::set_permissions(path, Permissions::from_mode(0o660)) {
        tracing::warn!(%error, group, "cannot open {} to its group", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("vipd-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        path
    }

    #[test]
    fn a_second_agent_is_refused_and_the_first_leaves_no_sockets() {
        let path = scratch("second");
        let first = RuntimeDir::take(&path).unwrap();
        assert!(matches!(RuntimeDir::take(&path), Err(Trouble::Taken(_))));
        assert!(UnixStream::connect(path.join(STATUS)).is_ok(), "the refused one must not break the first");
        drop(first);
        assert!(!path.join(CONTROL).exists());
        RuntimeDir::take(&path).unwrap();
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn sockets_of_a_dead_agent_are_replaced() {
        let path = scratch("stale");
        fs::create_dir_all(&path).unwrap();
        drop(UnixListener::bind(path.join(CONTROL)).unwrap());
        assert!(path.join(CONTROL).exists());
        let dir = RuntimeDir::take(&path).unwrap();
        assert!(UnixStream::connect(path.join(CONTROL)).is_ok());
        drop(dir);
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn the_world_may_not_connect() {
        let path = scratch("modes");
        let dir = RuntimeDir::take(&path).unwrap();
        for name in [CONTROL, STATUS] {
            let mode = fs::metadata(path.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o007, 0, "{name}: {mode:o}");
        }
        drop(dir);
        fs::remove_dir_all(&path).unwrap();
    }
}
