//! One agent in a network namespace, whatever its runtime directory: two would fight over one virtual router, and over
//! the nftables table, which all instances of an agent share. Who comes second does nothing at all, says why, and
//! goes on when the first is gone.
//!
//! The lock is the abstract Unix socket `@vipd`, because that is in the kernel exactly what is to be guarded: there is
//! one of a name in a network namespace, containers that share the network but no files included, and it vanishes with
//! its holder. A lock file would need a directory that agents of all users and sandboxes can write.
//!
//! ```text
//!   free ------------------> Ours               handed on through an upgrade
//!   held by an agent ------> Theirs ---> Ours   when it has been free for longer than a restart takes
//!   held by anybody else --> Unguarded          with a warning
//! ```
//!
//! Anybody may take an abstract name, so whoever holds it is judged by the user that the kernel names: root, the
//! agent's own user, or the user `vipd`. A stranger keeps nobody from working; all that he can do is to undo this guard.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::socket::{UnixAddr, getsockname, getsockopt, sockopt};
use nix::unistd::{Uid, User};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::sys::clock;
use crate::time::{Duration, Instant};

/// The lock's name.
const NAME: &str = "vipd";

/// The user that the unit runs the agent as.
const USER: &str = "vipd";

/// How long the name must have been free: an agent that is being restarted comes back to its own addresses.
const GRACE: Duration = Duration::from_secs(2);

/// Whether this agent is the one.
#[derive(Clone, Debug)]
pub struct Sole(Arc<Mutex<Standing>>);

#[derive(Debug)]
enum Standing {
    Ours(UnixListener),
    Theirs(Holder),
    /// Nobody can be kept out; and why.
    Unguarded(String),
}

#[derive(Debug)]
struct Holder {
    /// Never answered, and reset when the holder ends.
    line: Socket,
    process: i32,
    gone_since: Option<Instant>,
}

impl Sole {
    /// Takes the lock if it is free, or among what was handed on.
    pub fn take(handed: &mut Vec<OwnedFd>) -> Self {
        let standing = find(handed).map_or_else(attempt, Standing::Ours);
        if let Standing::Unguarded(why) = &standing {
            tracing::warn!("{why}");
        }
        Self(Arc::new(Mutex::new(standing)))
    }

    /// Why this agent may not begin, if it may not.
    pub fn obstacle(&self) -> Option<String> {
        match &*self.lock() {
            Standing::Ours(_) | Standing::Unguarded(_) => None,
            Standing::Theirs(holder) => Some(holder.sentence()),
        }
    }

    /// The same, after another look.
    pub fn look(&self) -> Option<String> {
        let mut standing = self.lock();
        if let Standing::Theirs(holder) = &mut *standing
            && holder.has_gone(clock::now())
        {
            *standing = attempt();
        }
        drop(standing);
        self.obstacle()
    }

    /// What an operator should know.
    pub fn warning(&self) -> Option<String> {
        match &*self.lock() {
            Standing::Unguarded(why) => Some(why.clone()),
            Standing::Ours(_) | Standing::Theirs(_) => None,
        }
    }

    /// The lock, for the program that is about to take this one's place.
    pub fn hand_on(&self) -> Option<OwnedFd> {
        match &*self.lock() {
            Standing::Ours(listener) => listener.as_fd().try_clone_to_owned().ok(),
            Standing::Theirs(_) | Standing::Unguarded(_) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holder {
    fn sentence(&self) -> String {
        match self.process {
            // In a PID namespace that we do not see.
            0 => "another vipd runs in this network namespace".to_owned(),
            process => format!("another vipd (process {process}) runs in this network namespace"),
        }
    }

    fn has_gone(&mut self, now: Instant) -> bool {
        let waits = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        if self.line.recv(&mut [std::mem::MaybeUninit::uninit()]).as_ref().is_err_and(waits) {
            return false;
        }
        now.since(*self.gone_since.get_or_insert(now)) >= GRACE
    }
}

/// The lock, if the program before this one handed it on.
fn find(handed: &mut Vec<OwnedFd>) -> Option<UnixListener> {
    let is_lock = |socket: &OwnedFd| {
        let named = getsockname(socket.as_raw_fd());
        named.is_ok_and(|address: UnixAddr| address.as_abstract() == Some(NAME.as_bytes()))
            && getsockopt(socket, sockopt::AcceptConn).unwrap_or(false)
    };
    let at = handed.iter().position(is_lock)?;
    Some(handed.swap_remove(at).into())
}

fn attempt() -> Standing {
    let bound = SocketAddr::from_abstract_name(NAME).and_then(|name| UnixListener::bind_addr(&name));
    match bound {
        Ok(lock) => Standing::Ours(lock),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match ask() {
            Ok((holder, user)) if is_trusted(user) => Standing::Theirs(holder),
            Ok((holder, user)) => {
                unguarded(&format!("process {} of user {user} has taken it", holder.process))
            }
            Err(error) => unguarded(&format!("whoever has it cannot be asked: {error}")),
        },
        Err(error) => unguarded(&error.to_string()),
    }
}

fn unguarded(why: &str) -> Standing {
    Standing::Unguarded(format!(
        "nothing keeps a second agent from running on this host: cannot take the abstract socket '@{NAME}': {why}"
    ))
}

/// Who has the name.
fn ask() -> io::Result<(Holder, Uid)> {
    let line = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Whoever lets his queue of callers fill up must not keep us waiting.
    line.set_nonblocking(true)?;
    line.connect(&SockAddr::unix(format!("\0{NAME}"))?)?;
    let peer = getsockopt(&line, sockopt::PeerCredentials)?;
    Ok((Holder { line, process: peer.pid(), gone_since: None }, Uid::from_raw(peer.uid())))
}

fn is_trusted(user: Uid) -> bool {
    let is_vipd = || matches!(User::from_name(USER), Ok(Some(vipd)) if vipd.uid == user);
    user.is_root() || user == Uid::effective() || is_vipd()
}
