//! Another program in this one's place: the new one is asked first whether it can go on, then this process leaves
//! everything as it is and becomes the new one, with its protocol sockets and its lock. For systemd and everybody else it is the
//! same process.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tokio::time::timeout;

use super::sole::Sole;
use super::state::{self, Unusable};
use crate::config;
use crate::sys::vrrp_socket::VrrpSocket;
use crate::sys::{capabilities, clock, handed};
use crate::time::Duration;

/// The program that runs, where it was when it was started: there its successor is put.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    config: PathBuf,
    runtime_dir: PathBuf,
}

/// The program to become, and what it goes on with besides what stands in the runtime directory.
#[derive(Debug)]
pub struct Successor {
    program: Program,
    sockets: Vec<VrrpSocket>,
    sole: Sole,
}

/// Why this program goes on.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It cannot be started.
    #[error("cannot run {}: {why}", .path.display())]
    NotRunnable {
        /// Where it should be.
        path: PathBuf,
        /// What came of it.
        why: io::Error,
    },
    /// It does not come to an end.
    #[error("the self-check of {} takes longer than {} s", .0.display(), PATIENCE.as_secs())]
    Silent(PathBuf),
    /// It would not know what there is.
    #[error("cannot write the state file for the next program: {0}")]
    NoState(io::Error),
    /// It says that it could not go on.
    #[error("{} says that it cannot go on: {said}", .path.display())]
    Unfit {
        /// Where it is.
        path: PathBuf,
        /// What it said.
        said: String,
    },
}

/// What a self-check found.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The configuration.
    #[error("the configuration cannot be used\n{0}")]
    Configuration(config::Problems),
    /// What the running agent would leave.
    #[error("the state file cannot be used: {0}")]
    State(Unusable),
}

impl Program {
    /// This process's own.
    pub fn own(config: &Path, runtime_dir: &Path) -> io::Result<Self> {
        let path = std::env::current_exe()?;
        Ok(Self { path, config: config.to_owned(), runtime_dir: runtime_dir.to_owned() })
    }

    /// Asks what is there now whether it can go on. Nothing has changed yet.
    pub async fn check(&self) -> Result<(), Refused> {
        let mut command = Command::new(&self.path);
        command.arg("--self-check").arg("--config").arg(&self.config);
        command.arg("--runtime-dir").arg(&self.runtime_dir);
        // It is not the service that systemd hears of.
        command.env_remove("NOTIFY_SOCKET").stdin(Stdio::null()).kill_on_drop(true);
        let path = || self.path.clone();
        let ended = timeout(PATIENCE, command.output()).await.map_err(|_| Refused::Silent(path()))?;
        let output = ended.map_err(|why| Refused::NotRunnable { path: path(), why })?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stderr, output.stdout].concat();
        let mut said = String::from_utf8_lossy(&said[..said.len().min(LONGEST)]).trim().to_owned();
        if said.is_empty() {
            said = output.status.to_string();
        }
        Err(Refused::Unfit { path: path(), said })
    }

    /// The same, with what it goes on with.
    pub fn with(self, sockets: Vec<VrrpSocket>, sole: Sole) -> Successor {
        Successor { program: self, sockets, sole }
    }
}

impl Successor {
    /// Becomes it, with the arguments and the environment that this process has. Returns only if that fails.
    pub fn become_it(&self) -> io::Error {
        let lock = self.sole.hand_on();
        let handed = lock.iter().map(AsFd::as_fd).chain(self.sockets.iter().map(AsFd::as_fd));
        let ready = capabilities::hand_on().and_then(|()| handed::pack(handed));
        let packed = match ready {
            Ok(packed) => packed,
            Err(error) => return error,
        };
        let mut arguments = std::env::args_os();
        let mut command = std::process::Command::new(&self.program.path);
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command.args(arguments).stdin(packed).exec()
    }
}

/// Whether this program could go on with what an agent in this directory leaves, under this configuration.
pub fn self_check(config: &Path, runtime_dir: &Path) -> Result<(), Unfit> {
    config::load(config).map_err(Unfit::Configuration)?;
    let boot_id = clock::boot_id().map_err(|why| Unfit::State(why.into()))?;
    state::read(runtime_dir, &boot_id, clock::now()).map_err(Unfit::State)?;
    Ok(())
}

/// How long a self-check may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much of what it says is passed on.
const LONGEST: usize = 4096;
