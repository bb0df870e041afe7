//! Completion of `vipctl`'s command line: what a shell needs to ask, and the answers.
//!
//! The script that a shell reads only asks this program again, so that what it offers is what this very program takes;
//! names are those of the running agent's instances, and without an agent there are none.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::{Command, ValueEnum};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use tokio::time::timeout;

use super::Exit;
use super::client::Client;
use super::output::{answer, complain};
use crate::agent::report::Report;
use crate::time::Duration;

/// With this in the environment the program completes a command line and does nothing else.
const ASKED: &str = "VIPCTL_COMPLETE";
/// How long somebody at a keyboard may have to wait for the names.
const PATIENCE: Duration = Duration::from_millis(500);

/// A shell.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Fish,
    Zsh,
}

/// Prints what `shell` has to read once.
pub(super) fn run(shell: Shell) -> Exit {
    match script(shell) {
        Ok(script) => answer(&script, Exit::Ok),
        Err(error) => {
            complain(&format!("cannot make the script: {error}"));
            Exit::Software
        }
    }
}

fn script(shell: Shell) -> std::io::Result<String> {
    let completer: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Fish => &Fish,
        Shell::Zsh => &Zsh,
    };
    let mut script = Vec::new();
    completer.write_registration(ASKED, "vipctl", "vipctl", "vipctl", &mut script)?;
    let mut script = String::from_utf8_lossy(&script).trim_start().to_owned();
    if let Shell::Zsh = shell {
        // From a directory of completions it is read as the body of a function when somebody presses the key: then
        // this is the first answer.
        script.push_str("[[ ${funcstack[1]} != _vipctl ]] || _clap_dynamic_completer_vipctl \"$@\"\n");
    }
    Ok(script)
}

/// Whether a shell asked, and has its answer.
pub(super) fn answered(command: fn() -> Command) -> bool {
    let completed = CompleteEnv::with_factory(command)
        .var(ASKED)
        .bin("vipctl")
        .completer("vipctl")
        .try_complete(std::env::args_os(), std::env::current_dir().ok().as_deref());
    // A shell would print a complaint in the middle of the line that somebody types.
    completed.unwrap_or(true)
}

/// What completes the name of an instance.
pub(super) fn instances() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        candidates(|report| report.instances.iter().map(|one| one.name.clone()).collect())
    })
}

/// What completes the name of an instance or of a group.
pub(super) fn instances_and_groups() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        candidates(|report| {
            let instances = report.instances.iter().map(|one| one.name.clone());
            instances.chain(report.groups.iter().map(|group| group.name.clone())).collect()
        })
    })
}

fn candidates(names: fn(&Report) -> Vec<String>) -> Vec<CompletionCandidate> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let client = Client::new(&runtime_dir(std::env::args_os()));
    match runtime.block_on(async { timeout(PATIENCE, client.report()).await }) {
        Ok(Ok((report, _))) => names(&report).into_iter().map(CompletionCandidate::new).collect(),
        _ => Vec::new(),
    }
}

/// Which agent the line is about, so far as it is typed.
fn runtime_dir(arguments: impl Iterator<Item = OsString>) -> PathBuf {
    let mut directory = PathBuf::from(super::vipctl::RUNTIME_DIR);
    let mut arguments = arguments.peekable();
    while let Some(argument) = arguments.next() {
        if argument == OsStr::new("--runtime-dir") {
            directory = arguments.peek().map_or(directory, PathBuf::from);
        } else if let Some(value) = argument.to_str().and_then(|text| text.strip_prefix("--runtime-dir=")) {
            directory = value.into();
        }
    }
    directory
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_that_the_line_names_is_asked() {
        let of = |line: &str| runtime_dir(line.split(' ').map(OsString::from));
        assert_eq!(of("vipctl -- vipctl status"), PathBuf::from("/run/vipd"));
        assert_eq!(of("vipctl -- vipctl --runtime-dir /run/blue status"), PathBuf::from("/run/blue"));
        assert_eq!(of("vipctl -- vipctl status --runtime-dir=/run/red"), PathBuf::from("/run/red"));
        assert_eq!(of("vipctl -- vipctl --runtime-dir"), PathBuf::from("/run/vipd"));
    }
}
