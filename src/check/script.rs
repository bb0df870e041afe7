//! The `script` kind: a program that exits with 0 when all is well.
//!
//! | setting | default | meaning |
//! |---|---|---|
//! | `script` | required | the program and its arguments, as a list; the program by its absolute path. No shell reads them |
//! | `shell` | instead of `script` | a command line, which becomes `[/bin/sh, -c, ".."]` |
//!
//! **What it finds.** Working directory `/`; standard input empty; standard output and standard error in one
//! pipe to the agent; environment `PATH` (the usual six directories), `LANG=C.UTF-8` and `VIPD_CHECK`, the
//! check's name, nothing else; the agent's user, and none of its capabilities: the agent has no ambient ones
//! left by the time scripts run.
//!
//! **How it ends.** It is the leader of a process group of its own. When it exits, runs out of time, or its
//! check ends, the whole group is killed by SIGKILL, so what it left in the background ends with it. (A
//! program that makes a session of its own, as daemons do, escapes this; nobody waits for it.)
//!
//! **What it writes.** The first 4 KiB are kept for status, and the first line that says anything goes into
//! the result. More is read and thrown away, up to 1 MiB; a script that writes more has failed.
//!
//! Errors: `exit status 3: no such upstream`; `killed by signal 9`; `timed out after 1s; killed`;
//! `wrote more than 1 MiB; killed`; `cannot run /x: No such file or directory`.

use std::io::{self, PipeReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::blocking::Blocking;
use super::{Run, described, first_line};

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The program and its arguments; not empty.
    pub argv: Vec<String>,
}

/// How many bytes of its output are kept.
pub const KEPT: usize = 4096;

/// How many bytes it may write.
const FLOOD: usize = 1 << 20;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) struct Probe {
    settings: Settings,
    name: String,
    start: Blocking<io::Result<(Group, PipeReader)>>,
}

impl Probe {
    pub(super) fn new(settings: Settings, name: &str) -> Self {
        Self { settings, name: name.to_owned(), start: Blocking::default() }
    }

    pub(super) async fn run(&mut self, run: &mut Run) -> Result<String, String> {
        run.phase = "; killed";
        let failed = |what: &str, error: &io::Error| format!("cannot {what}: {}", described(error));
        // Before the start, or an exit could go unnoticed. Unlike `Child::wait` it tells of an exit without
        // reaping: as long as the leader is not reaped nobody else can get the number of its group.
        let mut exits = signal(SignalKind::child()).map_err(|error| failed("wait for a script", &error))?;
        let (argv, name) = (self.settings.argv.clone(), self.name.clone());
        let started = self.start.run(move || start(&argv, &name)).await?;
        let program = self.settings.argv.first().map_or("nothing", String::as_str);
        let (mut group, output) = started.map_err(|error| failed(&format!("run {program}"), &error))?;
        let mut output = Output::new(output).map_err(|error| failed("read a script's output", &error))?;
        while !group.has_exited().map_err(|error| failed("wait for a script", &error))? {
            tokio::select! {
                _ = exits.recv() => {}
                () = output.read(&mut run.output) => {}
            }
            output.judge()?;
        }
        group.kill();
        output.drain(&mut run.output);
        output.judge()?;
        let status = group.reap().map_err(|error| failed("wait for a script", &error))?;
        verdict(status, &run.output)
    }
}

/// Starts the program; on a thread that may wait, because `exec` may have to.
fn start(argv: &[String], name: &str) -> io::Result<(Group, PipeReader)> {
    let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let (reader, writer) = io::pipe()?;
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("LANG", "C.UTF-8")
        .env("VIPD_CHECK", name)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .kill_on_drop(true)
        .spawn()?;
    Ok((Group(child), reader))
}

fn verdict(status: ExitStatus, output: &[u8]) -> Result<String, String> {
    let ended = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended without a status".to_owned(),
    };
    let line = first_line(output);
    let said = if line.is_empty() { ended } else { format!("{ended}: {line}") };
    if status.success() { Ok(said) } else { Err(said) }
}

/// A script and whatever it started, as long as its leader is not reaped; dropping it kills them all.
struct Group(Child);

impl Group {
    /// The group's number: the leader's, which is its own as long as it is not reaped.
    fn leader(&self) -> Option<Pid> {
        self.0.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw)
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
        self.0.try_wait()?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }
}

impl Drop for Group {
    /// Kills the group; the leader is reaped by tokio once it is gone.
    fn drop(&mut self) {
        self.kill();
    }
}

/// The reading end of a script's output.
struct Output {
    pipe: pipe::Receiver,
    /// Bytes read so far.
    read: usize,
    /// Whether somebody may still write.
    open: bool,
    /// Where a read goes first; not in the future, which every check has and few need.
    buffer: Box<[u8]>,
}

impl Output {
    fn new(reader: PipeReader) -> io::Result<Self> {
        Ok(Self {
            pipe: pipe::Receiver::from_owned_fd(reader.into())?,
            read: 0,
            open: true,
            buffer: vec![0; CHUNK].into(),
        })
    }

    /// Reads some; never ready once nobody can write any more.
    async fn read(&mut self, kept: &mut Vec<u8>) {
        if !self.open {
            return std::future::pending().await;
        }
        match self.pipe.read(&mut self.buffer).await {
            Ok(0) | Err(_) => self.open = false,
            Ok(n) => self.take(n, kept),
        }
    }

    /// Reads what is there without waiting: somebody who escaped may hold the pipe open for ever. Asks the
    /// kernel and not tokio, which may not have heard yet that there is something.
    fn drain(&mut self, kept: &mut Vec<u8>) {
        while self.read <= FLOOD {
            match nix::unistd::read(&self.pipe, &mut self.buffer) {
                Ok(0) | Err(_) => return,
                Ok(n) => self.take(n, kept),
            }
        }
    }

    fn take(&mut self, n: usize, kept: &mut Vec<u8>) {
        self.read += n;
        let room = KEPT.saturating_sub(kept.len());
        kept.extend_from_slice(&self.buffer[..n.min(room)]);
    }

    fn judge(&self) -> Result<(), String> {
        if self.read > FLOOD { Err("wrote more than 1 MiB; killed".to_owned()) } else { Ok(()) }
    }
}

/// How much is read at once.
const CHUNK: usize = 8192;

#[cfg(test)]
mod tests;
