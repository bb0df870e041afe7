//! The two programs as people meet them: arguments in, text and exit codes out.
//!
//! `vipctl` talks only to the agent's sockets; when no agent answers, `status` looks at the kernel itself.

mod bundle;
mod capture;
mod check;
mod client;
mod completion;
mod detail;
mod doctor;
mod drain;
mod drill;
mod events;
mod explain;
mod history;
mod import;
mod leftovers;
mod metrics;
mod orders;
mod output;
mod page;
mod paragraph;
mod plan;
mod probe;
mod screen;
mod span;
#[cfg(test)]
mod specimen;
mod status;
pub mod vipctl;
pub mod vipd;
mod watch;

use std::process::ExitCode;

/// How a program ends; the numbers are those of `sysexits.h`, and below 10 those of `vipctl status` and `vipctl import`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Ok = 0,
    /// `status`: no agent answers.
    Unreachable = 2,
    /// `status`: a warning, a fault or a failing check. `drill`: the objective was not met. `probe`: no answer.
    Degraded = 3,
    /// `status`: no master is known for an instance.
    NoHolder = 4,
    /// `status`: another host is master too.
    DuplicateHolder = 5,
    /// `import`: something was left out, and named.
    LeftOut = 6,
    /// The command line was wrong.
    Usage = 64,
    /// `import`: nothing usable came of the file.
    Data = 65,
    /// `import` and `plan`: the file cannot be read.
    NoInput = 66,
    /// No agent answers.
    Unavailable = 69,
    /// Something that cannot be happened.
    Software = 70,
    /// The operating system refused something.
    Os = 71,
    /// `import` and `capture`: the output cannot be written.
    CannotCreate = 73,
    /// `doctor`: something could not be looked at.
    Io = 74,
    /// Not now: another agent runs, nobody took over, too much waits.
    TryAgain = 75,
    /// Not with this user's rights.
    NotAllowed = 77,
    /// The configuration cannot be used.
    Configuration = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Reads arguments; help goes to stdout, what is wrong to stderr with the exit code for it.
fn arguments<T: clap::Parser>() -> Result<T, Exit> {
    T::try_parse().map_err(|error| {
        let text = error.render();
        if error.use_stderr() {
            output::complain(&text.to_string());
            Exit::Usage
        } else {
            output::say(&text.to_string());
            Exit::Ok
        }
    })
}
