//! A script as this process's child: how it is started, what it writes, and that nothing of it is left. The same for an
//! agent that runs its scripts itself and for the runner that does it for one.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, PipeReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};

use super::{described, guard};

/// What is to run, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Task {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The check's name, or who is told.
    pub check: String,
    /// What a program that is told news finds in its environment; a check has none to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub news: Option<BTreeMap<String, String>>,
}

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// By itself, with this status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// It did not start, or cannot be followed, for this reason.
    Failed(String),
}

impl fmt::Display for End {
    /// `exit status 3`, `killed by signal 9`, or the reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl From<ExitStatus> for End {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exit(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Failed("ended without a status".to_owned()),
        }
    }
}

/// A script that has been started, and that nobody listens to yet.
pub struct Started {
    group: Group,
    output: PipeReader,
}

impl Task {
    /// Starts the program; on a thread that may wait, because `exec` may have to.
    pub fn start(&self) -> Result<Started, String> {
        let program = self.argv.first().map_or("nothing", String::as_str);
        if self.news.is_some() {
            guard::judge(Path::new(program)).map_err(|unfit| format!("not run: {unfit}"))?;
        }
        self.spawn().map_err(|error| cannot(&format!("run {program}"), &error))
    }

    fn spawn(&self) -> io::Result<Started> {
        let (program, arguments) = self.argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", "C.UTF-8")
            .envs(self.environment())
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .kill_on_drop(true);
        // A program begins with the signals blocked that are blocked where it is started, and then not even its own
        // `kill` would end what it starts.
        let blocked = SigSet::empty().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let child = command.spawn();
        blocked.thread_set_mask()?;
        let group = Group { child: child?, spared: self.news.is_some() };
        Ok(Started { group, output: reader })
    }

    /// What it finds besides what every program finds.
    fn environment(&self) -> BTreeMap<String, String> {
        let check = || BTreeMap::from([("VIPD_CHECK".to_owned(), self.check.clone())]);
        self.news.clone().unwrap_or_else(check)
    }
}

fn cannot(what: &str, error: &io::Error) -> String {
    format!("cannot {what}: {}", described(error))
}

/// A script that runs; dropping it kills it.
pub struct Running {
    group: Group,
    /// Tells that a child has exited. Unlike `Child::wait` it does so without reaping: as long as the leader is not reaped
    /// nobody else can get the number of its group.
    exits: unix::Signal,
    pipe: pipe::Receiver,
    /// Whether somebody may still write.
    open: bool,
    /// Whether the leader has exited and all the others have been killed.
    over: bool,
    /// Where a read goes first; not in the future, which every check has and few need.
    buffer: Box<[u8]>,
}

impl Running {
    /// Listens to what has been started.
    pub fn new(Started { group, output }: Started) -> Result<Self, String> {
        // An exit before this is not told; `next` looks for one before it waits.
        let exits = unix::signal(SignalKind::child()).map_err(|error| cannot("wait for a script", &error))?;
        let pipe = pipe::Receiver::from_owned_fd(output.into());
        let pipe = pipe.map_err(|error| cannot("read a script's output", &error))?;
        Ok(Self { group, exits, pipe, open: true, over: false, buffer: vec![0; CHUNK].into() })
    }

    /// What it writes next; none when it has ended and all it wrote has been told. Then [`Self::end`] tells the rest.
    ///
    /// Nothing is lost if the wait is cut off.
    pub async fn next(&mut self) -> Result<Option<&[u8]>, String> {
        while !self.over {
            if self.group.has_exited().map_err(|error| cannot("wait for a script", &error))? {
                if !self.group.spared {
                    self.group.kill();
                }
                self.over = true;
                break;
            }
            tokio::select! {
                _ = self.exits.recv() => {}
                n = read(&mut self.pipe, &mut self.buffer, self.open) => match n {
                    Some(n) => return Ok(Some(&self.buffer[..n])),
                    None => self.open = false,
                }
            }
        }
        // Without waiting: somebody who escaped may hold the pipe open for ever. Asks the kernel and not tokio, which may
        // not have heard yet that there is something.
        match nix::unistd::read(&self.pipe, &mut self.buffer) {
            Ok(0) | Err(_) => Ok(None),
            Ok(n) => Ok(Some(&self.buffer[..n])),
        }
    }

    /// How it ended, once there is nothing more to tell.
    pub fn end(mut self) -> Result<End, String> {
        self.group.reap().map(End::from).map_err(|error| cannot("wait for a script", &error))
    }
}

/// Reads some; never ready once nobody can write any more.
async fn read(pipe: &mut pipe::Receiver, buffer: &mut [u8], open: bool) -> Option<usize> {
    if !open {
        return std::future::pending().await;
    }
    match pipe.read(buffer).await {
        Ok(0) | Err(_) => None,
        Ok(n) => Some(n),
    }
}

/// A script and whatever it started, as long as its leader is not reaped; dropping it kills them all.
struct Group {
    child: Child,
    /// Whether those it leaves behind may go on when it has exited by itself: whoever is told news may have begun something.
    spared: bool,
}

impl Group {
    /// The group's number: the leader's, which is its own as long as it is not reaped.
    fn leader(&self) -> Option<Pid> {
        self.child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw)
    }

    /// Whether the leader has exited; does not reap it.
    fn has_exited(&self) -> io::Result<bool> {
        let Some(leader) = self.leader() else { return Ok(true) };
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        Ok(waitid(Id::Pid(leader), flags)? != WaitStatus::StillAlive)
    }

    fn kill(&self) {
        let Some(leader) = self.leader() else { return };
        match killpg(leader, Signal::SIGKILL) {
            // EPERM, when all of it has become somebody else, has no remedy.
            Ok(()) | Err(_) => {}
        }
    }

    fn reap(&mut self) -> io::Result<ExitStatus> {
        self.child.try_wait()?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }
}

impl Drop for Group {
    /// Kills the group; the leader is reaped by tokio once it is gone.
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where a script looks for programs.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How much is read at once.
pub const CHUNK: usize = 8192;
