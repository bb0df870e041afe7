//! What a drill found: for people, for an audit, for programs. One struct, so that all three say the same.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde::Serialize;

use super::Kind;
use crate::agent::stamp::Stamp;
use crate::cli::output::{Colour, Tone, millis};
use crate::cli::probe::Seen;

/// The end of a drill.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) schema: u32,
    pub(super) node: String,
    pub(super) version: String,
    pub(super) instance: String,
    pub(super) kind: Kind,
    pub(super) started: Stamp,
    pub(super) ended: Stamp,
    /// The user who ran it.
    pub(super) user: String,
    pub(super) objective_ms: f64,
    /// For how long nobody answered, or how long the takeover took if nobody probed; none if there was none.
    pub(super) measured_ms: Option<f64>,
    pub(super) measured_by: MeasuredBy,
    pub(super) met: bool,
    pub(super) predicted: Predicted,
    /// Whether the takeover came when it was predicted; none if there was none.
    pub(super) as_predicted: Option<bool>,
    pub(super) successor: Option<IpAddr>,
    /// From the harm to the successor's first advert.
    pub(super) takeover_ms: Option<f64>,
    pub(super) came_back: bool,
    /// From the moment that the harm was taken back.
    pub(super) came_back_after_ms: Option<f64>,
    /// The other node, if it was asked before.
    pub(super) peer: Option<String>,
    pub(super) probe: Option<Probed>,
    /// What could not be found out.
    pub(super) notes: Vec<String>,
    pub(super) timeline: Vec<Step>,
}

/// What the measured time is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MeasuredBy {
    /// An address, probed from another host.
    Probe,
    /// Adverts, as they passed this host.
    Adverts,
}

/// What `vipctl explain` said before.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Predicted {
    pub(super) earliest_ms: f64,
    pub(super) latest_ms: f64,
}

/// What another host saw.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Probed {
    pub(super) from: String,
    #[serde(flatten)]
    pub(super) seen: Seen,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Step {
    pub(super) time: Stamp,
    /// Since the harm was done.
    pub(super) after_ms: f64,
    pub(super) what: String,
}

impl Outcome {
    /// The sentence that sums it up.
    pub(super) fn verdict(&self) -> String {
        let Self { instance, kind, .. } = self;
        let objective = millis(self.objective_ms);
        let found = match (self.measured_ms, self.measured_by) {
            _ if self.takeover_ms.is_none() && !self.went_on() => "nobody took over".to_owned(),
            (Some(measured), MeasuredBy::Probe) => {
                format!("no answer for {}, {objective} allowed", millis(measured))
            }
            (Some(measured), MeasuredBy::Adverts) if self.went_on() => {
                format!("adverts again after {}, {objective} allowed", millis(measured))
            }
            (Some(measured), MeasuredBy::Adverts) => {
                format!("takeover after {}, {objective} allowed", millis(measured))
            }
            (None, _) => "nothing could be measured".to_owned(),
        };
        let met = if self.met { "met" } else { "NOT met" };
        format!("{instance}: {} drill, objective {met}: {found}.", kind.word())
    }

    /// Whether this node went on before anybody took over, as an agent does that starts again within its lease.
    pub(super) const fn went_on(&self) -> bool {
        matches!(self.kind, Kind::Crash) && self.successor.is_none() && self.measured_ms.is_some()
    }

    /// For people.
    pub(super) fn text(&self, colour: Colour) -> String {
        let tone = if self.met { Tone::Good } else { Tone::Bad };
        let mut text = colour.paint(tone, &self.verdict()) + "\n";
        for (name, fact) in self.facts() {
            push(&mut text, &format!("  {name:11}{fact}\n"));
        }
        for step in &self.timeline {
            push(&mut text, &format!("  {}  {:>9}  {}\n", clock(step.time), span(step.after_ms), step.what));
        }
        text
    }

    /// For an audit, as Markdown.
    pub(super) fn markdown(&self) -> String {
        let mut text =
            format!("# Failover drill of {} on {}\n\n{}\n\n", self.instance, self.node, self.verdict());
        push(&mut text, "| | |\n|---|---|\n");
        let when = format!("{} to {}", self.started.day_and_time(), self.ended.day_and_time());
        let who = format!("{}, vipctl {}", self.user, self.version);
        let rows = [
            ("when", when),
            ("who", who),
            ("kind", format!("{}: {}", self.kind.word(), self.kind.meaning())),
        ];
        for (name, fact) in rows.into_iter().chain(self.facts()) {
            push(&mut text, &format!("| {name} | {} |\n", fact.replace('|', "\\|")));
        }
        push(&mut text, "\n## Timeline\n\n| UTC | since the harm | what |\n|---|---|---|\n");
        for step in &self.timeline {
            let what = step.what.replace('|', "\\|");
            push(&mut text, &format!("| {} | {} | {what} |\n", clock(step.time), span(step.after_ms)));
        }
        if let Some(probe) = &self.probe {
            push(&mut text, "\n## Times without an answer\n\n");
            if probe.seen.gaps.is_empty() {
                push(&mut text, "None.\n");
            }
            for gap in &probe.seen.gaps {
                let from = clock(gap.from);
                push(
                    &mut text,
                    &format!("- {} from {from} UTC, by the clock of {}\n", millis(gap.length_ms), probe.from),
                );
            }
        }
        text
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = Vec::new();
        facts.push((
            "measured",
            match &self.probe {
                Some(Probed { from, seen }) => {
                    let every = millis(seen.every_ms);
                    let count = format!("{} of {} answers", seen.answered, seen.sent);
                    format!("{} asked from {from} every {every}: {count}", seen.address)
                }
                None => "by adverts alone: no proof of what clients saw; --peer probes it".to_owned(),
            },
        ));
        let Predicted { earliest_ms, latest_ms } = self.predicted;
        let predicted = format!("a takeover after {} to {}", millis(earliest_ms), millis(latest_ms));
        facts.push((
            "predicted",
            match (self.takeover_ms, self.as_predicted) {
                (Some(took), Some(true)) => format!("{predicted}; it took {}", millis(took)),
                (Some(took), _) => format!("{predicted}; it took {}, which is outside", millis(took)),
                (None, _) => predicted,
            },
        ));
        facts.push((
            "took over",
            match (self.successor, self.went_on()) {
                (Some(successor), _) => successor.to_string(),
                (None, true) => "nobody had to: this node went on within its lease".to_owned(),
                (None, false) => "nobody".to_owned(),
            },
        ));
        facts.push((
            "came back",
            match (self.came_back, self.came_back_after_ms) {
                (true, Some(after)) => format!("after {}", millis(after)),
                (true, None) => "it was never gone".to_owned(),
                (false, _) => "not while the drill waited".to_owned(),
            },
        ));
        facts.push((
            "backup",
            match &self.peer {
                Some(peer) => format!("{peer} was a living backup before"),
                None => "not known to live before; --peer asks it".to_owned(),
            },
        ));
        facts.extend(self.notes.iter().map(|note| ("note", note.clone())));
        facts
    }
}

fn clock(time: Stamp) -> String {
    time.to_string().get(11..23).unwrap_or_default().to_owned()
}

fn span(ms: f64) -> String {
    if ms < 0.0 { "before".to_owned() } else { format!("{ms:.0} ms") }
}

fn push(text: &mut String, more: &str) {
    // Memory does not refuse a write.
    if text.write_str(more).is_err() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        let started: Stamp = "2026-11-22T04:50:00Z".parse().unwrap();
        let step = |ms: u64, what: &str| Step {
            time: started.plus(crate::time::Duration::from_millis(ms)),
            after_ms: f64::from(u32::try_from(ms).unwrap()),
            what: what.to_owned(),
        };
        Outcome {
            schema: 1,
            node: "lb1".to_owned(),
            version: "0.1.0".to_owned(),
            instance: "web".to_owned(),
            kind: Kind::Hang,
            started,
            ended: started.plus(crate::time::Duration::from_secs(5)),
            user: "root".to_owned(),
            objective_ms: 1000.0,
            measured_ms: Some(312.4),
            measured_by: MeasuredBy::Adverts,
            met: true,
            predicted: Predicted { earliest_ms: 200.0, latest_ms: 361.0 },
            as_predicted: Some(true),
            successor: Some("192.0.2.2".parse().unwrap()),
            takeover_ms: Some(312.4),
            came_back: true,
            came_back_after_ms: Some(99.6),
            peer: None,
            probe: None,
            notes: Vec::new(),
            timeline: vec![step(0, "the agent is stopped"), step(312, "192.0.2.2 takes over")],
        }
    }

    #[test]
    fn people_read_the_verdict_first_and_what_it_rests_on() {
        let expected = "\
web: hang drill, objective met: takeover after 312 ms, 1000 ms allowed.
  measured   by adverts alone: no proof of what clients saw; --peer probes it
  predicted  a takeover after 200 ms to 361 ms; it took 312 ms
  took over  192.0.2.2
  came back  after 100 ms
  backup     not known to live before; --peer asks it
  04:50:00.000       0 ms  the agent is stopped
  04:50:00.312     312 ms  192.0.2.2 takes over
";
        assert_eq!(outcome().text(Colour::Never), expected);
        assert!(expected.lines().all(|line| line.len() <= 80));
    }

    #[test]
    fn who_finds_nobody_or_too_late_a_successor_has_not_met_the_objective() {
        let nobody = Outcome {
            measured_ms: None,
            met: false,
            successor: None,
            takeover_ms: None,
            as_predicted: None,
            ..outcome()
        };
        assert_eq!(nobody.verdict(), "web: hang drill, objective NOT met: nobody took over.");
        let on = Outcome {
            kind: Kind::Crash,
            successor: None,
            takeover_ms: None,
            measured_ms: Some(80.0),
            ..outcome()
        };
        assert!(on.verdict().contains("objective met: adverts again after 80 ms"), "{}", on.verdict());
        assert!(on.text(Colour::Never).contains("this node went on within its lease"));
        let audit = outcome().markdown();
        assert!(audit.starts_with("# Failover drill of web on lb1\n"), "{audit}");
        assert!(audit.contains("| who | root, vipctl 0.1.0 |"), "{audit}");
    }
}
