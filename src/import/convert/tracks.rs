//! What is tracked, and what it weighs.

use super::checks::Checks;
use super::gather::Gathered;
use crate::import::blocks::Statement;
use crate::import::report::{Fate, Report};
use crate::import::yaml::{Map, Value};

/// What a check does to a priority; 0 is a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) value: i32,
    pub(super) reverse: bool,
}

/// The greatest weight either way.
const HEAVIEST: i32 = 253;

impl Weight {
    /// Down is a fault.
    pub(super) const FAULT: Self = Self { value: 0, reverse: false };

    /// What the block of a check says. keepalived complains of a weight that is too great and uses it all the same.
    pub(super) fn default_of(gathered: &mut Gathered<'_>, kind: &'static str, report: &mut Report) -> Self {
        let initial = Self { value: i32::from(kind == "track_file"), reverse: false };
        let Some(statement) = gathered.last("weight", report) else { return initial };
        let text = statement.word(1).unwrap_or_default();
        let Ok(written) = text.parse::<i32>() else {
            report.ignored(statement, format!("'{text}' is no weight; keepalived uses its default"));
            return initial;
        };
        let value = written.clamp(-HEAVIEST - 1, HEAVIEST + 1);
        let reverse = reversed(statement, 2, false, report);
        if value == written {
            report.converted(statement, "track");
        } else {
            report.converted_but(statement, "track", "cut to what a priority can move");
        }
        Self { value, reverse }
    }

    /// The weight at the word `index` of a track, which takes the place of this one if it can be one.
    fn overridden(self, statement: &Statement, kind: &'static str, report: &mut Report) -> Self {
        let text = statement.word(2).unwrap_or_default();
        let most = if kind == "track_file" { HEAVIEST + 1 } else { HEAVIEST };
        let Some(value) = text.parse().ok().filter(|value| (-most..=most).contains(value)) else {
            let what = format!("'{text}' is no weight from -{most} to {most}; keepalived uses the default");
            report.ignored(statement, what);
            return self;
        };
        Self { value, reverse: reversed(statement, 3, self.reverse, report) }
    }

    /// As it stands under `track`.
    fn shown(self, kind: &str) -> Value {
        let mut map = Map::default();
        match (kind, self.value) {
            ("track_file", value) if value != 0 => {
                map.set("multiply", if self.reverse { -value } else { value }.to_string());
                return Value::Inline(map);
            }
            (_, 0) if self.reverse => map.set("fault", "true"),
            (_, 0) => return "fault".into(),
            (_, value) => {
                let weight = value.clamp(-HEAVIEST, HEAVIEST).to_string();
                if !self.reverse {
                    return weight.into();
                }
                map.set("weight", weight);
            }
        }
        map.set("reverse", "true");
        Value::Inline(map)
    }
}

/// Whether the words from `index` on turn a weight round, which it was or not `before`.
fn reversed(statement: &Statement, index: usize, before: bool, report: &mut Report) -> bool {
    let mut reverse = before;
    for word in statement.words.iter().skip(index) {
        match word.as_str() {
            "reverse" => reverse = true,
            "noreverse" | "no_reverse" => reverse = false,
            _ => report
                .ignored(statement, format!("'{word}' is nothing that a weight has; keepalived ignores it")),
        }
    }
    reverse
}

/// Who tracks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tracker<'t> {
    /// Which of the file's statements it is.
    pub(super) index: usize,
    /// The interface that it follows anyway.
    pub(super) own: Option<&'t str>,
    /// Why keepalived ignores weights here, if it does.
    pub(super) weightless: Option<&'t str>,
}

/// Reads what the blocks of a tracker name.
pub(super) fn read(
    gathered: &mut Gathered<'_>,
    tracker: Tracker<'_>,
    checks: &mut Checks,
    report: &mut Report,
) -> Map {
    let mut map = Map::default();
    for kind in ["track_interface", "track_script", "track_process", "track_file"] {
        for block in gathered.all(kind) {
            for line in &block.block {
                track(kind, line, tracker, checks, &mut map, report);
            }
            report.converted(block, "track");
        }
    }
    map
}

fn track(
    kind: &'static str,
    line: &Statement,
    tracker: Tracker<'_>,
    checks: &mut Checks,
    map: &mut Map,
    report: &mut Report,
) {
    let name = line.keyword();
    let known = checks.known.get(&(kind, name.to_owned())).filter(|check| check.index < tracker.index);
    let mut weight = match (kind, known) {
        ("track_interface", _) => Weight::FAULT,
        (_, Some(check)) => check.weight,
        (_, None) => {
            let why = "is not defined above, or was left out; keepalived tracks nothing then";
            return report.ignored(line, format!("'{name}' {why}"));
        }
    };
    match line.word(1) {
        Some("weight") => weight = weight.overridden(line, kind, report),
        Some(word) => {
            report.ignored(line, format!("'{word}' is nothing that a track has; keepalived ignores it"));
        }
        None => {}
    }
    if let (Some(why), true) = (tracker.weightless, weight.value != 0) {
        return report.ignored(line, why);
    }
    if tracker.own == Some(name) && kind == "track_interface" && weight == Weight::FAULT {
        return report.add(line, Fate::Dropped, "an instance follows its own interface anyway");
    }
    let name = match known {
        Some(check) => check.name.clone(),
        None => checks.of_interface(name),
    };
    report.converted(line, &format!("track.{name}"));
    map.set(&name, weight.shown(kind));
}
