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
//! the user of whoever runs it: the agent itself, or a runner under a user of its own ([`crate::reach::runner`]).
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

use crate::reach::child::{End, Task};
use crate::reach::runner::Runner;
use crate::reach::script::Script;
use crate::reach::{Run, first_line};
use crate::time::Duration;

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The program and its arguments; not empty.
    pub argv: Vec<String>,
}

pub(super) struct Probe(Script);

impl Probe {
    pub(super) fn new(settings: Settings, name: &str, timeout: Duration, runner: Runner) -> Self {
        let task = Task { argv: settings.argv, check: name.to_owned(), news: None };
        Self(Script::new(task, timeout, runner))
    }

    pub(super) async fn run(&mut self, run: &mut Run) -> Result<String, String> {
        let end = self.0.run(run).await?;
        verdict(&end, &run.output)
    }
}

fn verdict(end: &End, output: &[u8]) -> Result<String, String> {
    if let End::Failed(why) = end {
        return Err(why.clone());
    }
    let line = first_line(output);
    let said = if line.is_empty() { end.to_string() } else { format!("{end}: {line}") };
    if *end == End::Exit(0) { Ok(said) } else { Err(said) }
}

#[cfg(test)]
pub(super) mod tests;
