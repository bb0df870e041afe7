//! `vipctl doctor`: whether failover will work, looked at from this node, and with `--peer` from both. Before an agent runs it
//! reads the configuration; beside one it knows what the agent knows, too.
//!
//! A file for each area; each turns the [`Scene`] into [`Finding`]s, and [`AREAS`] is all of them.

mod agreement;
mod clock;
mod command;
mod examination;
mod facts;
mod finding;
mod firewall;
mod link;
mod listeners;
mod managed;
mod peer;
mod process;
mod ruleset;
mod scene;
mod ssh;
mod sysctl;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use super::Exit;
use super::client::{Client, Trouble};
use super::leftovers::node;
use super::output::{Colour, answer, complain};
use crate::agent::report::{Report, SCHEMA};
use crate::agent::stamp::Stamp;
use crate::config;
use crate::sys::address::Addresses;
use examination::Examination;
use finding::Finding;
use scene::Scene;
use ssh::Destination;

/// What is looked at; all at once, for some of it waits for other programs.
const AREAS: [fn(&Scene) -> Vec<Finding>; 8] = [
    agreement::look,
    link::look,
    firewall::look,
    sysctl::look,
    process::look,
    managed::look,
    listeners::look,
    clock::look,
];

/// Where the configuration is if nobody says otherwise.
const USUAL: &str = "/etc/vipd/vipd.yaml";

/// What `vipctl doctor` is asked.
#[derive(Debug, clap::Args)]
pub(super) struct Request {
    /// The configuration; by default the running agent's, or /etc/vipd/vipd.yaml.
    config: Option<PathBuf>,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Does not listen to the wire and asks nobody there, which takes a second.
    #[arg(long)]
    no_probe: bool,
    /// Also shows what is as it should be.
    #[arg(long, short)]
    verbose: bool,
    /// Compares with the other node: ssh://[USER@]HOST[:PORT].
    #[arg(long, value_name = "DESTINATION")]
    peer: Option<Destination>,
}

/// Examines this node, and the pair if there is a peer to ask.
pub(super) async fn run(client: &Client, request: &Request) -> Exit {
    let report = match client.report().await {
        Ok((report, _)) => Some(report),
        Err(Trouble::NotRunning(_)) => None,
        Err(trouble @ Trouble::NotAllowed(_)) => {
            complain(&format!("{trouble}."));
            return Exit::NotAllowed;
        }
        Err(trouble) => {
            complain(&format!("{trouble}."));
            return Exit::Unavailable;
        }
    };
    let scene = match scene(request, report) {
        Ok(scene) => scene,
        Err(exit) => return exit,
    };
    let examination = examine(&scene, request).await;
    let exit = examination.exit();
    if request.json {
        return match serde_json::to_string(&examination) {
            Ok(json) => answer(&format!("{json}\n"), exit),
            Err(error) => {
                complain(&format!("cannot say it as JSON: {error}."));
                Exit::Software
            }
        };
    }
    answer(&examination.text(request.verbose, Colour::of_stdout()), exit)
}

fn scene(request: &Request, report: Option<Report>) -> Result<Scene, Exit> {
    let of_agent = || report.as_ref().and_then(|report| file_of(report.agent.pid));
    let file = request.config.clone().or_else(of_agent).unwrap_or_else(|| PathBuf::from(USUAL));
    if let Err(error) = fs::File::open(&file) {
        complain(&format!("{}: cannot be read: {error}.", file.display()));
        return Err(match error.kind() {
            std::io::ErrorKind::PermissionDenied => Exit::NotAllowed,
            _ => Exit::NoInput,
        });
    }
    let config = config::load(&file).map_err(|problems| {
        complain(&problems.to_string());
        Exit::Configuration
    })?;
    let kernel = Addresses::open().and_then(|mut addresses| addresses.picture());
    Ok(Scene { file, config, report, kernel })
}

/// The file that the agent was started with.
fn file_of(pid: u32) -> Option<PathBuf> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let at = words.iter().position(|word| word == "--config");
    let named = at.and_then(|at| words.get(at + 1)).map(|word| word.as_ref().to_owned());
    let joined = words.iter().find_map(|word| word.strip_prefix("--config=").map(str::to_owned));
    let file = named.or(joined)?;
    Path::new(&file).is_absolute().then(|| PathBuf::from(file))
}

async fn examine(scene: &Scene, request: &Request) -> Examination {
    let facts = facts::of(scene);
    let mut checks: Vec<Finding> = thread::scope(|scope| {
        let started: Vec<_> = AREAS.map(|area| scope.spawn(move || area(scene))).into();
        started.into_iter().flat_map(|one| one.join().unwrap_or_default()).collect()
    });
    let probed = !request.no_probe;
    if probed {
        checks.extend(wire::look(scene).await);
    }
    if let Some(destination) = &request.peer {
        checks.extend(peer::look(&facts, destination));
    }
    Examination {
        schema: SCHEMA,
        node: node(),
        time: Stamp::now(),
        configuration: scene.file.display().to_string(),
        probed,
        checks,
        facts,
    }
}
