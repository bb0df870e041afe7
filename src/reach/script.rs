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
        let mut words = Words::of(&self.task);
        while let Some(bytes) = script.next().await? {
            words.take(bytes, &mut run.output)?;
        }
        script.end()
    }
}

/// What a script has written so far.
pub(super) enum Words {
    /// Of a check the beginning is kept, and too much altogether is a failure.
    First {
        /// How many bytes there were.
        read: usize,
    },
    /// Of one that is told news the end is kept, however much there is.
    Last,
}

impl Words {
    /// What is kept of this one.
    pub(super) fn of(task: &Task) -> Self {
        if task.news.is_some() { Self::Last } else { Self::First { read: 0 } }
    }

    pub(super) fn take(&mut self, bytes: &[u8], kept: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::First { read } => {
                *read += bytes.len();
                let room = KEPT.saturating_sub(kept.len());
                kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
                if *read > FLOOD { Err("wrote more than 1 MiB; killed".to_owned()) } else { Ok(()) }
            }
            Self::Last => {
                kept.extend_from_slice(bytes);
                kept.drain(..kept.len().saturating_sub(KEPT));
                Ok(())
            }
        }
    }
}
