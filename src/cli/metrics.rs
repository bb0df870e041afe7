//! `vipctl metrics`: what a collector would get, for a look or for a file.

use super::Exit;
use super::client::{Client, Trouble};
use super::output::{answer, complain};

/// Prints the metrics in the text form that every collector reads, or as JSON.
pub(super) async fn run(client: &Client, json: bool) -> Exit {
    let path = if json { "/metrics.json" } else { "/metrics" };
    match client.ask(path).await {
        Ok(text) => answer(&format!("{}\n", String::from_utf8_lossy(&text).trim_end()), Exit::Ok),
        Err(trouble) => {
            complain(&format!("{trouble}."));
            match trouble {
                Trouble::NotAllowed(_) => Exit::NotAllowed,
                Trouble::NotRunning(_) | Trouble::Refused(..) | Trouble::Broken(_) => Exit::Unavailable,
            }
        }
    }
}
