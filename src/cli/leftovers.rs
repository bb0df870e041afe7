//! What a dead agent left in the kernel, for `vipctl status` when nobody answers.

use std::io;

use serde::Serialize;

use super::client::{Client, Trouble};
use crate::agent::report::SCHEMA;
use crate::engine::action::Place;
use crate::sys;
use crate::sys::address::Addresses;

/// A virtual address that nobody looks after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Leftover {
    address: String,
    interface: String,
}

/// Every address that carries an agent's mark.
pub(super) fn find() -> io::Result<Vec<Leftover>> {
    let ours = Addresses::open()?.picture()?.ours();
    let leftover =
        |place: &Place| Leftover { address: place.net.to_string(), interface: sys::name_of(place.link) };
    Ok(ours.iter().map(leftover).collect())
}

/// A line for what is wrong, and one for each address left.
pub(super) fn text(trouble: &Trouble, left: &io::Result<Vec<Leftover>>) -> String {
    let mut lines = vec![format!("{}: {trouble}.", node())];
    match (trouble, left) {
        (Trouble::NotRunning(_), Err(error)) => {
            lines.push(format!("What it may have left in the kernel cannot be seen: {error}."));
        }
        (Trouble::NotRunning(_), Ok(left)) if left.is_empty() => {
            lines.push("No address of an agent's is left on this host.".to_owned());
        }
        (_, Ok(left)) => {
            let each = left.iter().map(|one| format!("VIP {} is still on {}!", one.address, one.interface));
            lines.extend(each);
        }
        (_, Err(_)) => {}
    }
    lines.join("\n")
}

/// The same for programs.
pub(super) fn json(client: &Client, trouble: &Trouble, left: io::Result<Vec<Leftover>>) -> String {
    let report = Unreachable {
        schema: SCHEMA,
        node: node(),
        health: "unreachable",
        error: trouble.to_string(),
        runtime_dir: client.directory().display().to_string(),
        left_behind: left.ok(),
    };
    // Strings and numbers alone: there is nothing that JSON could not say.
    serde_json::to_string(&report).map_or_else(|error| error.to_string(), |json| format!("{json}\n"))
}

/// What stands in the report's place.
#[derive(Serialize)]
struct Unreachable {
    schema: u32,
    node: String,
    health: &'static str,
    error: String,
    runtime_dir: String,
    /// None if the kernel could not be asked.
    left_behind: Option<Vec<Leftover>>,
}

/// The host's name.
pub(super) fn node() -> String {
    nix::unistd::gethostname()
        .map_or_else(|_| "this host".to_owned(), |name| name.to_string_lossy().into_owned())
}
