//! The `script` kind: a program that exits with 0 when all is well.
//!
//! | setting | default | meaning |
//! |---|---|---|
//! | `script` | required | the program and its arguments, as a list; the program by its absolute path. No shell reads them |
//! | `shell` | instead of `script` | a command line, which becomes `[/bin/sh, -c, ".."]` |
//!
//! **What it finds.** Working directory `/`; standard input empty; standard output and standard error in one
//! pipe to the agent; environment `PATH` (the usual six directories), `LANG=C.UTF-8` and `VIPD_CHECK`, the
//! check's name, nothing else; no capability of the agent's, which has no ambient ones left by the time scripts run; and
//! the user of whoever runs it: the agent itself, or a runner under a user of its own ([`super::runner`]).
//!
//! **How it ends.** It is the leader of a process group of its own. When it exits, runs out of time, or its
//! check ends, the whole group is killed by SIGKILL, so what it left in the background ends with it. (A
//! program that makes a session of its own, as daemons do, escapes this; nobody waits for it.)
//!
//! **What it writes.** The first 4 KiB are kept for status, and the first line that says anything goes into
//! the result. More is read and thrown away, up to 1 MiB; a script that writes more has failed.
//!
//! Errors: `exit status 3: no such upstream`; `killed by signal 9`; `timed out after 1s; killed`;
//! `wrote more than 1 MiB; killed`; `cannot run /x: No such file or directory`; `cannot reach the script runner at
//! /run/vipd-scripts.sock: connection refused`.

pub(super) mod child;

use self::child::{End, Running, Started, Task};
use super::blocking::Blocking;
use super::runner::{self, Runner};
use super::{Run, first_line};
use crate::time::Duration;

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

/// What is done with a script whose time is up.
pub(super) const KILLED: &str = "; killed";

pub(super) struct Probe {
    task: Task,
    timeout: Duration,
    runner: Runner,
    start: Blocking<Result<Started, String>>,
}

impl Probe {
    pub(super) fn new(settings: Settings, name: &str, timeout: Duration, runner: Runner) -> Self {
        let task = Task { argv: settings.argv, check: name.to_owned() };
        Self { task, timeout, runner, start: Blocking::default() }
    }

    pub(super) async fn run(&mut self, run: &mut Run) -> Result<String, String> {
        match &self.runner {
            Some(socket) => runner::run(socket, &self.task, self.timeout, run).await,
            None => self.run_here(run).await,
        }
    }

    async fn run_here(&mut self, run: &mut Run) -> Result<String, String> {
        run.phase = KILLED;
        let task = self.task.clone();
        let mut script = Running::new(self.start.run(move || task.start()).await??)?;
        let mut words = Words::default();
        while let Some(bytes) = script.next().await? {
            words.take(bytes, &mut run.output)?;
        }
        verdict(&script.end()?, &run.output)
    }
}

pub(super) fn verdict(end: &End, output: &[u8]) -> Result<String, String> {
    let ended = match end {
        End::Exit(code) => format!("exit status {code}"),
        End::Signal(signal) => format!("killed by signal {signal}"),
        End::Failed(why) => return Err(why.clone()),
    };
    let line = first_line(output);
    let said = if line.is_empty() { ended } else { format!("{ended}: {line}") };
    if *end == End::Exit(0) { Ok(said) } else { Err(said) }
}

/// What a script has written so far.
#[derive(Default)]
pub(super) struct Words {
    read: usize,
}

impl Words {
    /// Keeps the beginning, unless it is too much altogether.
    pub(super) fn take(&mut self, bytes: &[u8], kept: &mut Vec<u8>) -> Result<(), String> {
        self.read += bytes.len();
        let room = KEPT.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if self.read > FLOOD { Err("wrote more than 1 MiB; killed".to_owned()) } else { Ok(()) }
    }
}

#[cfg(test)]
pub(super) mod tests;
