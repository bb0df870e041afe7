//! `vipctl events`: what happened, and what happens.

use super::Exit;
use super::client::{Client, Trouble};
use super::output::{complain, say};
use crate::agent::history::Line;

/// Prints the history; with `follow`, goes on until nobody reads or the agent ends.
pub(super) async fn run(client: &Client, follow: bool, json: bool) -> Exit {
    match print(client, follow, json).await {
        Ok(()) => Exit::Ok,
        Err(trouble) => failed(&trouble),
    }
}

async fn print(client: &Client, follow: bool, json: bool) -> Result<(), Trouble> {
    // The past ends where following begins; without a number the agent would leave a gap between the two.
    let past = client.ask("/events").await?;
    let past = String::from_utf8_lossy(&past);
    let mut last = 0;
    for line in past.lines().filter(|line| !line.is_empty()) {
        last = serde_json::from_str::<Line>(line).map_or(last, |line| line.sequence);
        if !say(&shown(line, json)) {
            return Ok(());
        }
    }
    if !follow {
        return Ok(());
    }
    let mut lines = client.follow(&format!("/events?follow=true&since={last}")).await?;
    while let Some(line) = lines.next().await? {
        if !say(&shown(&line, json)) {
            break;
        }
    }
    Ok(())
}

/// A line for people, or as it came; what a newer agent says and this tool cannot read is shown as it came.
fn shown(line: &str, json: bool) -> String {
    match serde_json::from_str::<Line>(line) {
        Ok(event) if !json => {
            let instance = event.instance.map(|name| format!("{name}: ")).unwrap_or_default();
            format!("{}  {instance}{}\n", event.time, event.text)
        }
        Ok(_) | Err(_) => format!("{line}\n"),
    }
}

/// Says why there is no answer, with the exit code for it.
pub(super) fn failed(trouble: &Trouble) -> Exit {
    match trouble {
        Trouble::Refused(_, refusal) => {
            for line in refusal.problems.iter().chain(&refusal.dangers) {
                complain(line);
            }
        }
        Trouble::NotRunning(_) | Trouble::NotAllowed(_) | Trouble::Broken(_) => {}
    }
    complain(&format!("{trouble}."));
    match trouble {
        Trouble::NotAllowed(_) => Exit::NotAllowed,
        Trouble::NotRunning(_) | Trouble::Broken(_) => Exit::Unavailable,
        Trouble::Refused(status, _) => match status.as_u16() {
            422 | 409 => Exit::Configuration,
            503 => Exit::TryAgain,
            400..=499 => Exit::Usage,
            _ => Exit::Software,
        },
    }
}
