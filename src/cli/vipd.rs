//! `vipd`: its arguments; everything else is the agent's.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::Exit;
use super::output::{complain, say};
use crate::agent::archive;
use crate::agent::flush::{self, After};
use crate::agent::log::{self, Format};
use crate::agent::run::{self, Options, Trouble};
use crate::agent::{runtime_dir, upgrade};
use crate::check::runner::serve;

/// Keeps virtual IP addresses alive with VRRP. Runs in the foreground and logs to stderr.
#[derive(Debug, Parser)]
#[command(name = "vipd", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The configuration.
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/vipd/vipd.yaml")]
    config: PathBuf,
    /// Where the control sockets are.
    #[arg(long, global = true, value_name = "DIR", default_value = "/run/vipd")]
    runtime_dir: PathBuf,
    /// Where history and drains are kept; else where systemd says, or in /var/lib/vipd.
    #[arg(long, value_name = "DIR")]
    state_directory: Option<PathBuf>,
    /// How log lines look.
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    log_format: Format,
    /// Leaves scripts and processes of checks to the runner that listens here; scripts then run as its user.
    #[arg(long, value_name = "SOCKET")]
    scripts_socket: Option<PathBuf>,
    /// Says whether this program could go on in the place of a running agent, and ends.
    #[arg(long)]
    self_check: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Removes what a dead agent left in the kernel. Reads no configuration, and touches nothing of others.
    Flush {
        /// Only if no agent follows; RESULT is how the service ended, in systemd's words.
        #[arg(long, value_name = "RESULT")]
        after: Option<String>,
    },
    /// Runs scripts for an agent under another user; the listening socket is the standard input.
    RunScripts,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = match super::arguments::<Arguments>() {
        Ok(arguments) => arguments,
        Err(exit) => return exit.into(),
    };
    let Arguments { command, config, runtime_dir, state_directory, log_format, scripts_socket, self_check } =
        arguments;
    match command {
        Some(Command::Flush { after }) => return flush(runtime_dir, after).into(),
        Some(Command::RunScripts) => return run_scripts(log_format).into(),
        None => {}
    }
    if self_check {
        return checked(&config, &runtime_dir).into();
    }
    let state_dir = state_directory.unwrap_or_else(state_directory_of_unit);
    match run::run(Options { config, runtime_dir, state_dir, log_format, scripts_socket }) {
        Ok(None) => Exit::Ok.into(),
        Ok(Some(successor)) => {
            let error = successor.become_it();
            complain(&format!("vipd: cannot become the new program: {error}"));
            Exit::Os.into()
        }
        Err(trouble) => {
            complain(&format!("vipd: {trouble}"));
            exit(&trouble).into()
        }
    }
}

/// What systemd made for the unit, the first of it; without it where everybody looks.
fn state_directory_of_unit() -> PathBuf {
    let made = std::env::var_os("STATE_DIRECTORY").filter(|list| !list.is_empty());
    let first = made.and_then(|list| std::env::split_paths(&list).next());
    first.unwrap_or_else(|| PathBuf::from(archive::DIRECTORY))
}

fn checked(config: &Path, runtime_dir: &Path) -> Exit {
    match upgrade::self_check(config, runtime_dir) {
        Ok(()) => Exit::Ok,
        Err(unfit) => {
            complain(&format!("vipd: {unfit}"));
            Exit::Configuration
        }
    }
}

fn flush(runtime_dir: PathBuf, after: Option<String>) -> Exit {
    let status = std::env::var("EXIT_STATUS").ok();
    let after = after.map(|result| After { result, status });
    match flush::run(&flush::Options { runtime_dir, after }) {
        Ok(done) => {
            say(&format!("{done}\n"));
            Exit::Ok
        }
        Err(trouble) => {
            complain(&format!("vipd: {trouble}"));
            match &trouble {
                flush::Trouble::Rights(_) => Exit::NotAllowed,
                flush::Trouble::Directory(trouble) => denied(trouble),
                flush::Trouble::Excluded(_) => Exit::TryAgain,
                flush::Trouble::System { why, .. } => refused(why),
                flush::Trouble::Left(_) | flush::Trouble::Table(_) => Exit::Os,
            }
        }
    }
}

fn run_scripts(log_format: Format) -> Exit {
    let log = log::start(log_format);
    let outcome = serve::run();
    drop(log);
    match outcome {
        Ok(()) => Exit::Ok,
        Err(trouble) => {
            complain(&format!("vipd: {trouble}"));
            match trouble {
                serve::Trouble::NoSocket(_) => Exit::Usage,
                serve::Trouble::System { .. } => Exit::Os,
            }
        }
    }
}

fn exit(trouble: &Trouble) -> Exit {
    match trouble {
        Trouble::Configuration(_) => Exit::Configuration,
        Trouble::Rights(_) => Exit::NotAllowed,
        Trouble::Directory(trouble) => denied(trouble),
        Trouble::System { why, .. } => refused(why),
        Trouble::Ended | Trouble::Stuck => Exit::Software,
    }
}

fn denied(trouble: &runtime_dir::Trouble) -> Exit {
    match trouble {
        runtime_dir::Trouble::Taken(_) => Exit::TryAgain,
        runtime_dir::Trouble::Refused { why, .. } => refused(why),
    }
}

fn refused(why: &std::io::Error) -> Exit {
    if why.kind() == std::io::ErrorKind::PermissionDenied { Exit::NotAllowed } else { Exit::Os }
}
