//! What the screen knows, and what keys do to it: pure, so that every key is tested without a terminal.

use std::collections::{BTreeMap, VecDeque};

use ratatui::crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};

use super::feed::News;
use crate::agent::history::Line;
use crate::agent::report::{Instance, Report, Role};
use crate::agent::stamp::Stamp;
use crate::cli::status::master;

/// How many events are kept.
const EVENTS: usize = 200;
/// How many latencies of a check are kept.
pub(super) const SAMPLES: usize = 40;

/// Everything that can be on the screen.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// How things stood last.
    pub(super) report: Option<Report>,
    /// Since when nobody answers, and why.
    pub(super) gone: Option<(Stamp, String)>,
    /// What happened, oldest first.
    pub(super) events: VecDeque<Line>,
    /// What lies over the overview.
    pub(super) over: Over,
    /// What came of the last order.
    pub(super) said: Option<String>,
    latencies: BTreeMap<String, Latencies>,
    selected: usize,
}

/// How long the last runs of a check took.
#[derive(Debug, Default)]
struct Latencies {
    last: Option<Stamp>,
    milliseconds: VecDeque<f64>,
}

/// What lies over the overview.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Over {
    #[default]
    Nothing,
    /// The keys.
    Help,
    /// Why an instance is where it is; none until the agent has said so.
    Details { name: String, text: Option<String> },
    /// Whether an order is to be given.
    Confirm(Order),
}

/// An order about one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) verb: Verb,
    pub(super) name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    StepDown,
    Resume,
}

/// What a key wants that the model cannot do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Quit,
    Explain(String),
    Order(Order),
}

impl Model {
    /// Takes in what the agent said, or that it says nothing.
    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::Report(report) => self.report(*report),
            News::Event(line) => {
                if self.events.len() >= EVENTS {
                    self.events.pop_front();
                }
                self.events.push_back(line);
            }
            News::Gone(why) => {
                let since = self.gone.take().map_or_else(Stamp::now, |(since, _)| since);
                self.gone = Some((since, why));
            }
            News::Explained { name, text } => {
                if matches!(&self.over, Over::Details { name: shown, .. } if *shown == name) {
                    self.over = Over::Details { name, text: Some(text) };
                }
            }
            News::Said(text) => self.said = Some(text),
        }
    }

    fn report(&mut self, report: Report) {
        self.gone = None;
        self.latencies.retain(|name, _| report.checks.iter().any(|check| check.name == *name));
        for check in &report.checks {
            let seen = self.latencies.entry(check.name.clone()).or_default();
            if let Some(took) = check.latency_ms.filter(|_| seen.last != check.last_run) {
                seen.last = check.last_run;
                if seen.milliseconds.len() >= SAMPLES {
                    seen.milliseconds.pop_front();
                }
                seen.milliseconds.push_back(took);
            }
        }
        self.selected = self.selected.min(report.instances.len().saturating_sub(1));
        self.report = Some(report);
    }

    /// How long the last runs of a check took, oldest first.
    pub(super) fn latencies(&self, check: &str) -> impl Iterator<Item = f64> {
        self.latencies.get(check).into_iter().flat_map(|seen| seen.milliseconds.iter().copied())
    }

    /// The place of the selected instance.
    pub(super) const fn selected(&self) -> usize {
        self.selected
    }

    fn instance(&self) -> Option<&Instance> {
        self.report.as_ref()?.instances.get(self.selected)
    }

    /// What a key or anything else from the terminal asks for.
    pub(super) fn press(&mut self, event: &Event) -> Option<Wish> {
        let Event::Key(key) = event else { return None };
        if key.kind == KeyEventKind::Release {
            return None;
        }
        self.said = None;
        match (key.code, std::mem::take(&mut self.over)) {
            (KeyCode::Char('c'), _) if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Wish::Quit),
            (KeyCode::Char('y'), Over::Confirm(order)) => Some(Wish::Order(order)),
            // Whatever else is pressed is no consent.
            (_, Over::Confirm(_)) => None,
            (KeyCode::Char('q'), _) => Some(Wish::Quit),
            (KeyCode::Char('?'), over) if over != Over::Help => {
                self.over = Over::Help;
                None
            }
            (code, Over::Nothing) | (code @ KeyCode::Char('s' | 'r'), Over::Details { .. }) => {
                self.command(code)
            }
            (KeyCode::Esc | KeyCode::Enter | KeyCode::Char('?'), _) => None,
            (KeyCode::Up | KeyCode::Down | KeyCode::Char('j' | 'k'), Over::Details { .. }) => {
                self.command(key.code);
                self.command(KeyCode::Enter)
            }
            (_, over) => {
                self.over = over;
                None
            }
        }
    }

    /// What a key does to the overview.
    fn command(&mut self, code: KeyCode) -> Option<Wish> {
        let last = self.report.as_ref().map_or(0, |report| report.instances.len().saturating_sub(1));
        match code {
            KeyCode::Up | KeyCode::Char('k') => self.selected = self.selected.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.selected = (self.selected + 1).min(last),
            KeyCode::Home | KeyCode::Char('g') => self.selected = 0,
            KeyCode::End | KeyCode::Char('G') => self.selected = last,
            KeyCode::Enter => {
                let name = self.instance()?.name.clone();
                self.over = Over::Details { name: name.clone(), text: None };
                return Some(Wish::Explain(name));
            }
            KeyCode::Char('s') => self.confirm(Verb::StepDown),
            KeyCode::Char('r') => self.confirm(Verb::Resume),
            _ => {}
        }
        None
    }

    fn confirm(&mut self, verb: Verb) {
        if self.gone.is_some() {
            self.said = Some("nobody is there who could be ordered".to_owned());
        } else if let Some(name) = self.instance().map(|one| one.name.clone()) {
            self.over = Over::Confirm(Order { verb, name });
        }
    }

    /// What will happen if the order is given, in sentences.
    pub(super) fn consequence(&self, order: &Order) -> String {
        let Some(report) = &self.report else { return String::new() };
        let Some(one) = report.instance(&order.name) else {
            return format!("{} is not configured any more.", order.name);
        };
        let group =
            one.group.as_deref().and_then(|name| report.group(name)).map(|group| {
                format!(" Its group {} goes with it: {}.", group.name, group.members.join(", "))
            });
        let group = group.unwrap_or_default();
        let name = &one.name;
        let what = match (order.verb, one.state) {
            (Verb::StepDown, Role::Master) => format!(
                "Step {name} down? {} hands {} over to whoever is backup. If nobody takes over, it stays master \
                 and says so. It stays behind everyone until it is resumed.",
                report.node,
                addresses(one)
            ),
            (Verb::StepDown, _) => format!(
                "Step {name} down? Nothing moves now: its master is {}. It stays behind everyone until it is resumed.",
                master(one)
            ),
            (Verb::Resume, _) if !one.stepped_down && one.drained.is_none() => {
                format!("Resume {name}? It is neither stepped down nor drained: nothing changes.")
            }
            (Verb::Resume, _) => format!(
                "Resume {name}? It bids with its own priority again, and takes {} back if that is the better one \
                 and it may preempt.",
                addresses(one)
            ),
        };
        what + &group
    }
}

/// How many, and which if it is one.
fn addresses(one: &Instance) -> String {
    match one.addresses.as_slice() {
        [] => "the role".to_owned(),
        [only] => only.address.clone(),
        [first, more @ ..] => format!("{} and {} more", first.address, more.len()),
    }
}
