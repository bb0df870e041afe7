//! A program run to its end: by this process, or by the runner if there is one. No difference is to be seen.

use super::Run;
use super::blocking::Blocking;
use super::child::{End, Running, Started, Task};
use super::runner::{self, Runner};
use crate::time::Duration;

/// How many bytes of its output are kept.
pub const KEPT: usize = 4096;

/// How many bytes it may write.
const FLOOD: usize = 1 << 20;

/// What is done with a script whose time is up.
pub const KILLED: &str = "; killed";

/// A program that is run again and again, one run after the other.
pub struct Script {
    task: Task,
    timeout: Duration,
    runner: Runner,
    start: Blocking<Result<Started, String>>,
}

impl Script {
    /// Will run `task`, and be waited for as long as `timeout`, by whoever `runner` is.
    pub fn new(task: Task, timeout: Duration, runner: Runner) -> Self {
        Self { task, timeout, runner, start: Blocking::default() }
    }

    /// Runs it; dropping the future kills it.
    pub async fn run(&mut self, run: &mut Run) -> Result<End, String> {
        match &self.runner {
            Some(socket) => runner::run(socket, &self.task, self.timeout, run).await,
            None => self.run_here(run).await,
        }
    }

    async fn run_here(&mut self, run: &mut Run) -> Result<End, String> {
        run.phase = KILLED;
        let task = self.task.clone();
        let mut script = Running::new(self.start.run(move || task.start()).await??)?;
        let mut words = Words::default();
        while let Some(bytes) = script.next().await? {
            words.take(bytes, &mut run.output)?;
        }
        script.end()
    }
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
