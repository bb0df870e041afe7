//! What comes from the agent: reports, events, explanations, and what became of orders.

use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep, sleep_until};

use super::model::{Order, Verb};
use crate::agent::api::{Accepted, TargetOrder};
use crate::agent::history::Line;
use crate::agent::report::Report;
use crate::agent::stamp::Stamp;
use crate::cli::client::{Client, Trouble};
use crate::cli::explain;
use crate::cli::output::Colour;
use crate::time::Duration;

/// How many news may wait for the screen.
pub(super) const WAITING: usize = 1024;
/// How often the agent is asked how things stand if nothing happens.
const PULSE: Duration = Duration::from_secs(1);
/// How soon it is asked after something happened.
const SOON: Duration = Duration::from_millis(50);

/// One thing to know.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// How things stand.
    Report(Box<Report>),
    /// Something happened.
    Event(Line),
    /// Nobody answers, for that reason.
    Gone(String),
    /// Why the instance is where it is, as `vipctl explain` prints it.
    Explained { name: String, text: String },
    /// What came of an order.
    Said(String),
}

/// Nobody wants to know any more.
struct Over;

/// Tells of one agent after the other, until nobody wants to know.
pub(super) async fn keep(client: Client, tell: Sender<News>) {
    let mut reader = Reader { client, tell, agent: None, last: 0 };
    loop {
        let gone = match reader.read().await {
            Ok(Over) => return,
            Err(trouble) => News::Gone(trouble.to_string()),
        };
        if reader.tell.send(gone).await.is_err() {
            return;
        }
        sleep(PULSE).await;
    }
}

struct Reader {
    client: Client,
    tell: Sender<News>,
    /// When the agent that it reads started.
    agent: Option<Stamp>,
    /// The number of the last event.
    last: u64,
}

impl Reader {
    /// Reads one agent until it does not answer.
    async fn read(&mut self) -> Result<Over, Trouble> {
        let (report, _) = self.client.report().await?;
        if self.agent.replace(report.agent.started) != Some(report.agent.started) {
            self.last = 0;
        }
        let past = self.client.ask("/events").await?;
        for line in String::from_utf8_lossy(&past).lines() {
            if self.happened(line).await.is_err() {
                return Ok(Over);
            }
        }
        let mut lines = self.client.follow(&format!("/events?follow=true&since={}", self.last)).await?;
        let mut due = Instant::now();
        loop {
            let told = tokio::select! {
                line = lines.next() => match line? {
                    Some(line) => {
                        due = due.min(Instant::now() + SOON);
                        self.happened(&line).await
                    }
                    None => return Err(Trouble::Broken("it has ended".to_owned())),
                },
                () = sleep_until(due) => {
                    due = Instant::now() + PULSE;
                    let (report, _) = self.client.report().await?;
                    self.tell.send(News::Report(Box::new(report))).await.map_err(|_| Over)
                }
            };
            if told.is_err() {
                return Ok(Over);
            }
        }
    }

    /// Passes on what is new and understood; a newer agent may say what this tool does not know.
    async fn happened(&mut self, line: &str) -> Result<(), Over> {
        let Ok(line) = serde_json::from_str::<Line>(line) else { return Ok(()) };
        if line.sequence <= self.last {
            return Ok(());
        }
        self.last = line.sequence;
        self.tell.send(News::Event(line)).await.map_err(|_| Over)
    }
}

/// The explanation of one instance, or why there is none.
pub(super) async fn explained(client: &Client, name: String) -> News {
    let text = match client.explanation(&format!("/explain?name={name}")).await {
        Ok((explanation, _)) => explain::render(&explanation, Colour::Never),
        Err(trouble) => format!("{trouble}."),
    };
    News::Explained { name, text }
}

/// Gives an order that was confirmed.
pub(super) async fn ordered(client: &Client, order: Order) -> News {
    let Order { verb, name } = order;
    let (path, what) = match verb {
        Verb::StepDown => ("/step-down", "step-down"),
        Verb::Resume => ("/resume", "resume"),
    };
    let target = TargetOrder { instance: Some(name.clone()), all: false };
    News::Said(match client.order::<Accepted>(path, &target).await {
        Ok(accepted) => {
            let mut said = vec![format!("{name}: {what} accepted")];
            said.extend(accepted.warnings);
            said.join("; ")
        }
        Err(trouble) => format!("{name}: {what} refused: {trouble}"),
    })
}
