//! `vipctl watch`: how things stand on the whole screen of a terminal, and two orders, each after a question.
//!
//! | module | what it is |
//! |---|---|
//! | [`feed`] | what comes from the agent, across its restarts |
//! | [`model`] | what is known and what keys do to it; no terminal, no agent |
//! | [`view`] | from that to a frame, and nothing else |
//!
//! `status --watch` prints lines and is [`super::watch`]'s.

mod feed;
mod model;
#[cfg(test)]
mod tests;
mod view;

use std::io::{self, IsTerminal as _};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{MissedTickBehavior, interval};

use super::Exit;
use super::client::Client;
use super::output::{Colour, complain};
use crate::agent::stamp::Stamp;
use crate::time::Duration;
use model::{Model, Wish};

/// How often the screen is drawn if nothing happens: ages go on.
const TURN: Duration = Duration::from_secs(1);
/// How many keys may wait.
const KEYS: usize = 64;

/// Shows the screen until somebody quits.
pub(super) async fn run(client: &Client) -> Exit {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        complain("There is no terminal to draw on; 'vipctl status --watch' prints lines.");
        return Exit::Usage;
    }
    let colour = Colour::of_stdout();
    // Puts the terminal back on a panic, too.
    let mut terminal = match ratatui::try_init() {
        Ok(terminal) => terminal,
        Err(error) => {
            complain(&format!("cannot draw on this terminal: {error}."));
            return Exit::Os;
        }
    };
    let outcome = watch(client, &mut terminal, colour).await;
    if ratatui::try_restore().is_err() {
        // It is gone: whoever hung up wants no complaint, and its end would panic where there is nothing to complain to.
        std::mem::forget(terminal);
        return Exit::Os;
    }
    match outcome {
        Ok(()) => Exit::Ok,
        Err(error) => {
            complain(&format!("cannot go on with this terminal: {error}."));
            Exit::Os
        }
    }
}

async fn watch(client: &Client, terminal: &mut DefaultTerminal, colour: Colour) -> io::Result<()> {
    let mut keys = keys();
    let (tell, mut news) = channel(feed::WAITING);
    tokio::spawn(feed::keep(client.clone(), tell.clone()));
    let mut ends = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let [terminated, interrupted, hung_up] = &mut ends;
    let (Ok(terminated), Ok(interrupted), Ok(hung_up)) = (terminated, interrupted, hung_up) else {
        return Err(io::Error::other("signals cannot be listened to"));
    };
    let mut turns = interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut model = Model::default();
    loop {
        terminal.draw(|frame| view::draw(frame, &model, Stamp::now(), colour))?;
        tokio::select! {
            key = keys.recv() => match key {
                Some(Ok(event)) => match model.press(&event) {
                    Some(Wish::Quit) => return Ok(()),
                    Some(wish) => act(wish, client, &tell),
                    None => {}
                },
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
            Some(one) = news.recv() => model.hear(one),
            _ = turns.tick() => {}
            _ = terminated.recv() => return Ok(()),
            _ = interrupted.recv() => return Ok(()),
            _ = hung_up.recv() => return Ok(()),
        }
    }
}

/// What is pressed, read by a thread of its own: it waits in the kernel and ends with the program.
fn keys() -> Receiver<io::Result<Event>> {
    let (sender, keys) = channel(KEYS);
    std::thread::spawn(move || {
        loop {
            let read = event::read();
            let is_over = read.is_err();
            if sender.blocking_send(read).is_err() || is_over {
                return;
            }
        }
    });
    keys
}

/// Does what a key asks the agent for; what comes of it is news.
fn act(wish: Wish, client: &Client, tell: &Sender<feed::News>) {
    let (client, tell) = (client.clone(), tell.clone());
    tokio::spawn(async move {
        let news = match wish {
            Wish::Explain(name) => feed::explained(&client, name).await,
            Wish::Order(order) => feed::ordered(&client, order).await,
            Wish::Quit => return,
        };
        // Without a screen nobody wants to know.
        if tell.send(news).await.is_err() {}
    });
}
