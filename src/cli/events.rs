//! `vipctl events`: what happened, and what happens.

use super::Exit;
use super::client::{Client, Trouble};
use super::output::{complain, say};
use crate::agent::history::Line;
use crate::agent::stamp::Stamp;
use crate::codes::Code;
use crate::time::Duration;

/// The pause before asking for the next agent.
const PAUSE: Duration = Duration::from_millis(200);

/// Prints the history; with `follow`, goes on until nobody reads, across restarts of the agent.
pub(super) async fn run(client: &Client, follow: bool, json: bool) -> Exit {
    let mut reader = Reader { json, agent: None, last: 0 };
    let mut waiting = false;
    loop {
        let trouble = match reader.read(client, follow).await {
            Ok(End::AllRead) => return Exit::Ok,
            Ok(End::OfStream) => None,
            Err(trouble) => Some(trouble),
        };
        match trouble {
            // Nothing of it has been seen yet, or never will be.
            Some(trouble) if reader.agent.is_none() => return failed(&trouble),
            Some(trouble @ (Trouble::NotAllowed(_) | Trouble::Refused(..))) => return failed(&trouble),
            Some(Trouble::NotRunning(_)) if !waiting => {
                complain("The agent has ended; waiting for the next one.");
                waiting = true;
            }
            Some(Trouble::NotRunning(_) | Trouble::Broken(_)) => {}
            None => waiting = false,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What has been read.
struct Reader {
    json: bool,
    /// When the agent that it is of started.
    agent: Option<Stamp>,
    /// The number of the last line.
    last: u64,
}

/// Why reading ended.
enum End {
    /// There is no more to be read, or nobody who reads.
    AllRead,
    /// The agent ended it.
    OfStream,
}

impl Reader {
    async fn read(&mut self, client: &Client, follow: bool) -> Result<End, Trouble> {
        let (report, _) = client.report().await?;
        if self.agent.replace(report.agent.started) != Some(report.agent.started) {
            self.last = 0;
        }
        // The past ends where following begins; without a number the agent would leave a gap between the two.
        let past = client.ask("/events").await?;
        let past = String::from_utf8_lossy(&past);
        let ends = past.lines().filter(|line| !line.is_empty()).any(|line| !self.show(line));
        if ends || !follow {
            return Ok(End::AllRead);
        }
        let mut lines = client.follow(&format!("/events?follow=true&since={}", self.last)).await?;
        while let Some(line) = lines.next().await? {
            if !self.show(&line) {
                return Ok(End::AllRead);
            }
        }
        Ok(End::OfStream)
    }

    /// Prints what has not been printed yet; answers whether anybody still reads.
    fn show(&mut self, line: &str) -> bool {
        if let Ok(Line { sequence, .. }) = serde_json::from_str(line) {
            if sequence <= self.last {
                return true;
            }
            self.last = sequence;
        }
        say(&shown(line, self.json))
    }
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
            refusal.problems.iter().for_each(|line| complain(line));
            for danger in &refusal.dangers {
                complain(&format!("{danger} [{}]", Code::PeersDeaf));
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
