//! `vipd`: its arguments; everything else is the agent's.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use super::Exit;
use super::output::complain;
use crate::agent::log::Format;
use crate::agent::run::{self, Options, Trouble};
use crate::agent::runtime_dir;

/// Keeps virtual IP addresses alive with VRRP. Runs in the foreground and logs to stderr.
#[derive(Debug, Parser)]
#[command(name = "vipd", version)]
struct Arguments {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "/etc/vipd/vipd.yaml")]
    config: PathBuf,
    /// Where the control sockets are.
    #[arg(long, value_name = "DIR", default_value = "/run/vipd")]
    runtime_dir: PathBuf,
    /// How log lines look.
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    log_format: Format,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = match super::arguments::<Arguments>() {
        Ok(arguments) => arguments,
        Err(exit) => return exit.into(),
    };
    let Arguments { config, runtime_dir, log_format } = arguments;
    match run::run(Options { config, runtime_dir, log_format }) {
        Ok(()) => Exit::Ok.into(),
        Err(trouble) => {
            complain(&format!("vipd: {trouble}"));
            exit(&trouble).into()
        }
    }
}

fn exit(trouble: &Trouble) -> Exit {
    match trouble {
        Trouble::Configuration(_) => Exit::Configuration,
        Trouble::Rights(_) => Exit::NotAllowed,
        Trouble::Directory(runtime_dir::Trouble::Taken(_)) => Exit::TryAgain,
        Trouble::Directory(runtime_dir::Trouble::Refused { why, .. }) | Trouble::System { why, .. } => {
            if why.kind() == std::io::ErrorKind::PermissionDenied { Exit::NotAllowed } else { Exit::Os }
        }
        Trouble::Ended | Trouble::Stuck => Exit::Software,
    }
}
