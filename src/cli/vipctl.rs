//! `vipctl`: its arguments and which command they mean.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use super::client::Client;
use super::output::complain;
use super::{
    Exit, bundle, capture, check, completion, doctor, drain, drill, events, explain, history, import,
    metrics, orders, page, plan, probe, screen, span, status, watch,
};
use crate::agent::api::TargetOrder;
use crate::time::Duration;

/// Where an agent is found unless it is said.
pub(super) const RUNTIME_DIR: &str = "/run/vipd";

/// Asks and orders the virtual-IP failover agent.
#[derive(Debug, Parser)]
#[command(name = "vipctl", version, disable_help_subcommand = true)]
struct Arguments {
    /// The agent's runtime directory.
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR, global = true)]
    runtime_dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Says how things stand; the exit status says it too: 0 healthy, 2 no agent, 3 degraded, 4 no holder, 5 two.
    Status {
        /// Only this instance, in full.
        #[arg(add = completion::instances())]
        name: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Goes on with a line for each change.
        #[arg(long)]
        watch: bool,
    },
    /// Shows how things stand on the whole terminal, and goes on; keys select, explain, step down and resume.
    Watch,
    /// Says why instances are where they are, and what would become of them: if the master dies, if a check recovers.
    Explain {
        /// Only this instance, or this group's; or a code such as V0706, which is explained without an agent, too.
        #[arg(add = completion::instances_and_groups())]
        name: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Lists the codes.
        #[arg(long, conflicts_with = "name")]
        codes: bool,
    },
    /// Looks for what would keep failover from working, on this node or on both; 3 if there is a problem.
    Doctor(doctor::Request),
    /// Says what happened since the agent started.
    Events {
        /// Goes on with what happens.
        #[arg(long, short)]
        follow: bool,
        /// As JSON, an object a line.
        #[arg(long)]
        json: bool,
    },
    /// Prints what is measured, in the text form of Prometheus.
    Metrics {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Says what changed, also under agents before this one and before a reboot.
    History(history::Request),
    /// Shows adverts and ARP as they pass, and what the agent makes of each: accepted, or discarded and why.
    Capture(capture::Request),
    /// Says what is wrong with a configuration file; needs neither root nor an agent.
    Check {
        /// The file.
        #[arg(default_value = "/etc/vipd/vipd.yaml")]
        file: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Makes vipd's configuration of keepalived's and says what became of every statement; 6 if something was left out.
    Import(import::Request),
    /// Says what a reload with this file would do: what comes, goes and moves, and when; changes nothing.
    Plan {
        /// The file.
        #[arg(default_value = "/etc/vipd/vipd.yaml")]
        file: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Has the agent read its configuration again; a file with mistakes changes nothing.
    Reload {
        /// Also if it makes two masters until both nodes have it.
        #[arg(long)]
        force: bool,
    },
    /// Hands instances over to another node and stays behind everyone until 'resume'.
    StepDown(Which),
    /// The same, but for restarts and reboots, too, and if wanted for a time only.
    Drain {
        #[command(flatten)]
        which: Which,
        /// Resumes by itself after so long: 90s, 30m, 12h, 7d.
        #[arg(long = "for", value_name = "TIME", value_parser = span::of_drain)]
        duration: Option<Duration>,
    },
    /// Takes a step-down or a drain back.
    Resume(Which),
    /// Tries failover on purpose and measures it; the exit status says it: 0 objective met, 3 not, 75 not now.
    Drill(drill::Request),
    /// Asks an address every few milliseconds whether it answers, and says for how long it did not.
    Probe(probe::Request),
    #[command(hide = true)]
    DrillHand(drill::hand::Request),
    /// Has the program that is installed now go on in the place of the running one, without a gap.
    Upgrade,
    /// Packs what a bug report needs into one archive, without secrets; works without an agent, too.
    Bundle(bundle::Request),
    /// Prints what a shell has to read for its completion of this program.
    #[command(hide = true)]
    Completions {
        /// The shell.
        shell: completion::Shell,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The instance.
    #[arg(add = completion::instances())]
    name: Option<String>,
    /// Every instance.
    #[arg(long)]
    all: bool,
}

impl From<Which> for TargetOrder {
    fn from(which: Which) -> Self {
        Self { instance: which.name, all: which.all }
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    if completion::answered(Arguments::command) {
        return Exit::Ok.into();
    }
    match super::arguments::<Arguments>() {
        Ok(arguments) => run(arguments).into(),
        Err(exit) => exit.into(),
    }
}

fn run(arguments: Arguments) -> Exit {
    let Arguments { runtime_dir, command } = arguments;
    if let Command::Check { file, json } = &command {
        return check::run(file, *json);
    }
    if let Command::Explain { name, json, codes } = &command
        && let Some(exit) = page::run(name.as_deref(), *json, *codes)
    {
        return exit;
    }
    if let Command::Import(request) = &command {
        return import::run(request);
    }
    if let Command::Completions { shell } = command {
        return completion::run(shell);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot begin: {error}."));
            return Exit::Os;
        }
    };
    runtime.block_on(perform(&Client::new(&runtime_dir), command))
}

async fn perform(client: &Client, command: Command) -> Exit {
    match command {
        Command::Status { name, json, watch: true } => watch::run(client, name.as_deref(), json).await,
        Command::Status { name, json, watch: false } => status::run(client, name.as_deref(), json).await,
        Command::Watch => screen::run(client).await,
        Command::Explain { name, json, codes: _ } => explain::run(client, name.as_deref(), json).await,
        Command::Doctor(request) => doctor::run(client, &request).await,
        Command::Events { follow, json } => events::run(client, follow, json).await,
        Command::Metrics { json } => metrics::run(client, json).await,
        Command::Check { file, json } => check::run(&file, json),
        Command::Import(request) => import::run(&request),
        Command::Bundle(request) => bundle::run(client.directory(), &request).await,
        Command::Completions { shell } => completion::run(shell),
        Command::Plan { file, json } => plan::run(client, &file, json).await,
        Command::Reload { force } => orders::reload(client, force).await,
        Command::StepDown(which) => orders::step_down(client, &which.into()).await,
        Command::Upgrade => orders::upgrade(client).await,
        Command::History(request) => history::run(client, &request).await,
        Command::Drill(request) => drill::run(client, &request).await,
        Command::DrillHand(request) => drill::hand::run(client, &request).await,
        Command::Probe(request) => probe::run(&request).await,
        Command::Capture(request) => capture::run(client, &request).await,
        Command::Drain { which, duration } => drain::run(client, which.into(), duration).await,
        Command::Resume(which) => orders::resume(client, &which.into()).await,
    }
}
