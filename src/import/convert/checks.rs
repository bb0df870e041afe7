//! `vrrp_script`, `track_file`, `vrrp_track_process` and tracked interfaces become checks; those that nothing tracks do not,
//! as keepalived never runs them.

use std::collections::{BTreeMap, BTreeSet};

use super::commands;
use super::gather::Gathered;
use super::is_first;
use super::names::Names;
use super::tracks::Weight;
use super::values::{Micros, number, seconds};
use crate::import::blocks::Statement;
use crate::import::report::{Fate, Report};
use crate::import::yaml::{Map, Value};

/// A check, by the name that keepalived's file gives to it.
#[derive(Debug)]
pub(super) struct Check {
    /// Its name in the output.
    pub(super) name: String,
    /// What it weighs where it is tracked, unless that place says otherwise.
    pub(super) weight: Weight,
    /// Which of the file's statements defines it: whoever tracks it has to come later.
    pub(super) index: usize,
}

/// All checks of the output.
#[derive(Debug, Default)]
pub(super) struct Checks {
    pub(super) map: Map,
    names: Names,
    /// By the block that may track them, and their name there.
    pub(super) known: BTreeMap<(&'static str, String), Check>,
    /// How long an interface has to be down or up before that counts.
    pub(super) delays: BTreeMap<String, Delays>,
}

/// `interface_up_down_delays` of one interface.
#[derive(Clone, Debug)]
pub(super) struct Delays {
    line: Statement,
    down: Micros,
    up: Micros,
}

/// The blocks that track something, and what they track.
const TRACKING: [&str; 3] = ["track_script", "track_file", "track_process"];

/// What is tracked anywhere, by block and name, with the last statement that does.
fn tracked(statements: &[Statement]) -> BTreeMap<(&'static str, String), usize> {
    let mut found = BTreeMap::new();
    for (index, outer) in statements.iter().enumerate() {
        if !matches!(outer.keyword(), "vrrp_instance" | "vrrp_sync_group") {
            continue;
        }
        for block in &outer.block {
            if let Some(kind) = TRACKING.into_iter().find(|kind| *kind == block.keyword()) {
                found.extend(block.block.iter().map(|line| ((kind, line.keyword().to_owned()), index)));
            }
        }
    }
    found
}

impl Checks {
    /// Reads what the file defines.
    pub(super) fn read(statements: &[Statement], report: &mut Report) -> Self {
        let mut checks = Self { delays: delays(statements, report), ..Self::default() };
        let tracked = tracked(statements);
        let mut names: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (index, statement) in statements.iter().enumerate() {
            let (kind, block, convert): (_, _, Converter) = match statement.keyword() {
                "vrrp_script" => ("track_script", "vrrp_script", script),
                "track_file" | "vrrp_track_file" => ("track_file", "vrrp_track_file", value_file),
                "vrrp_track_process" => ("track_process", "vrrp_track_process", process),
                _ => continue,
            };
            if !report.judge("", statement) {
                continue;
            }
            if !is_first(names.entry(kind).or_default(), statement, report) {
                continue;
            }
            let name = statement.word(1).unwrap_or_default();
            if tracked.get(&(kind, name.to_owned())).is_none_or(|last| *last < index) {
                unused(statement, report);
                continue;
            }
            let mut gathered = Gathered::of(block, &statement.block, report);
            let weight = Weight::default_of(&mut gathered, kind, report);
            let converted = convert(&mut gathered, report);
            gathered.rest(report);
            let Some(map) = converted else {
                report.ignored(statement, "it does not say what to check; keepalived never runs it");
                continue;
            };
            let name = checks.add(statement, name, map, report);
            let check = Check { name, weight, index };
            checks.known.insert((kind, statement.word(1).unwrap_or_default().to_owned()), check);
        }
        checks
    }

    fn add(&mut self, statement: &Statement, name: &str, map: Map, report: &mut Report) -> String {
        let (chosen, changed) = self.names.give(name);
        let key = format!("checks.{chosen}");
        if changed {
            report.converted_but(statement, &key, "a name has letters, digits, '_', '.' and '-' only");
        } else {
            report.converted(statement, &key);
        }
        self.map.set_below(
            vec![format!(
                "{}: {}",
                statement.place,
                statement.words[..2.min(statement.words.len())].join(" ")
            )],
            &chosen,
            Value::Map(map),
        );
        chosen
    }

    /// The name of the check of an interface, which is made if need be.
    pub(super) fn of_interface(&mut self, interface: &str) -> String {
        let (names, map, delays) = (&mut self.names, &mut self.map, &self.delays);
        let check = self.known.entry(("track_interface", interface.to_owned())).or_insert_with(|| {
            let (name, _) = names.give(&format!("link-{interface}"));
            let mut check = Map::default();
            check.set("interface", interface);
            if let Some(delays) = delays.get(interface) {
                check.set("down_delay", delays.down.shown());
                check.set("up_delay", delays.up.shown());
            }
            map.set(&name, Value::Map(check));
            Check { name, weight: Weight::FAULT, index: 0 }
        });
        check.name.clone()
    }

    /// Says what became of the delays, once all is converted.
    pub(super) fn tell_delays(&self, report: &mut Report) {
        for (interface, delays) in &self.delays {
            match self.known.get(&("track_interface", interface.clone())) {
                Some(Check { name, .. }) => {
                    report.converted(&delays.line, &format!("down_delay and up_delay of checks.{name}"));
                }
                None => report.add(
                    &delays.line,
                    Fate::Dropped,
                    "nothing in the output goes by a check of this interface",
                ),
            }
        }
    }
}

type Converter = fn(&mut Gathered<'_>, &mut Report) -> Option<Map>;

/// Reads `interface_up_down_delays`: an interface, how long it has to be down, and how long up if that differs.
fn delays(statements: &[Statement], report: &mut Report) -> BTreeMap<String, Delays> {
    let mut found = BTreeMap::new();
    for block in statements.iter().filter(|outer| outer.keyword() == "interface_up_down_delays") {
        if !report.judge("", block) {
            continue;
        }
        report.converted(block, "checks");
        for line in &block.block {
            let time =
                |index: usize| line.word(index).and_then(Micros::of_seconds).filter(|time| *time <= LONGEST);
            let Some(down) = time(1) else {
                report.ignored(line, "needs a time of at most 255 seconds; keepalived ignores it");
                continue;
            };
            let delays = Delays { line: line.clone(), down, up: time(2).unwrap_or(down) };
            if let Some(earlier) = found.insert(line.keyword().to_owned(), delays) {
                report.ignored(&earlier.line, format!("line {} says it again, and counts", line.place.line));
            }
        }
    }
    found
}

/// The longest delay of an interface.
const LONGEST: Micros = Micros(255_000_000);

fn unused(statement: &Statement, report: &mut Report) {
    report.add(statement, Fate::Dropped, "nothing below tracks it; keepalived does not run it either");
    for inner in &statement.block {
        report.add(inner, Fate::Dropped, format!("with the block in line {}", statement.place.line));
    }
}

fn script(gathered: &mut Gathered<'_>, report: &mut Report) -> Option<Map> {
    let mut map = Map::default();
    let statement = gathered.last("script", report);
    let command = statement.and_then(commands::read);
    if let (Some(statement), Some(command)) = (statement, &command) {
        let (key, value) = command.check();
        map.set(key, value);
        let shell =
            (key == "shell").then(|| "it names no program by its path, so a shell finds it".to_owned());
        let more = command.user.join(" ");
        let rest = format!(
            "without '{more}': there are no quotes around the command, and keepalived runs it without, too"
        );
        let buts: Vec<String> = shell.into_iter().chain((!more.is_empty()).then_some(rest)).collect();
        if buts.is_empty() {
            report.converted(statement, key);
        } else {
            report.converted_but(statement, key, &buts.join("; "));
        }
    } else if let Some(statement) = statement {
        report.ignored(statement, "there is no command in it, or a quote is left open");
    }
    let (interval, timeout) = times(gathered, report);
    map.set("interval", interval.shown());
    map.set("timeout", timeout.shown());
    for keyword in ["rise", "fall"] {
        let statement = gathered.last(keyword, report);
        let count = statement.and_then(|statement| {
            let count = number(statement, 1, 1000, report)?;
            report.converted(statement, keyword);
            Some(count)
        });
        map.set(keyword, count.unwrap_or(1).to_string());
    }
    let failed = gathered.last("init_fail", report);
    if let Some(statement) = failed {
        report.converted(statement, "initial");
    }
    map.set("initial", if failed.is_some() { "down" } else { "up" });
    command.map(|_| map)
}

/// The interval and the timeout, which is no longer than that.
fn times(gathered: &mut Gathered<'_>, report: &mut Report) -> (Micros, Micros) {
    const LEAST: Micros = Micros(10_000);
    let mut time = |keyword: &str, report: &mut Report| {
        let statement = gathered.last(keyword, report)?;
        let value = seconds(statement, Micros(1), Micros(u64::MAX), report)?;
        Some((statement, value))
    };
    let interval = time("interval", report);
    let timeout = time("timeout", report);
    let asked = interval.map_or(Micros::SECOND, |(_, value)| value);
    let wanted = timeout.map_or(asked, |(_, value)| value);
    let bounded = asked.clamp(LEAST, Micros::HOUR);
    // A run that takes longer than the interval works in keepalived, which leaves out the next; it would always fail here.
    let interval_used = bounded.max(wanted.min(Micros::HOUR));
    let timeout_used = wanted.clamp(Micros(1000), interval_used);
    if let Some((statement, _)) = interval {
        if interval_used == asked {
            report.converted(statement, "interval");
        } else {
            let but =
                format!("{}: runs never overlap here, and it has to be 10ms to 1h", interval_used.shown());
            report.converted_but(statement, "interval", &but);
        }
    }
    if let Some((statement, _)) = timeout {
        if wanted > asked {
            let but = "longer than the interval: runs never overlap here, so the interval became as long";
            report.converted_but(statement, "timeout", but);
        } else {
            report.converted(statement, "timeout");
        }
    }
    (interval_used, timeout_used)
}

fn value_file(gathered: &mut Gathered<'_>, report: &mut Report) -> Option<Map> {
    let statement = gathered.last("file", report)?;
    let path = statement.escaped()?.into_iter().next().filter(|path| path.starts_with('/'))?;
    report.converted(statement, "value_file");
    let mut map = Map::default();
    map.set("value_file", path);
    Some(map)
}

fn process(gathered: &mut Gathered<'_>, report: &mut Report) -> Option<Map> {
    let mut map = Map::default();
    let statement = gathered.last("process", report)?;
    let words = statement.escaped()?;
    let (name, arguments) = words.split_first()?;
    map.set("process", name.as_str());
    // keepalived looks at the arguments if there are some, or if it is told how.
    let full = gathered.last("full_command", report);
    let kind = gathered.last("param_match", report);
    if !arguments.is_empty() || full.is_some() || kind.is_some() {
        map.set("arguments", Value::texts(arguments.to_vec()));
        report.converted(statement, "process, arguments");
    } else {
        report.converted(statement, "process");
    }
    if let Some(statement) = full {
        report.converted(statement, "arguments");
    }
    if let Some(statement) = kind {
        match statement.word(1) {
            Some("initial") => map.set("match", "prefix"),
            Some("partial") => map.set("match", "partial"),
            _ => report.ignored(statement, "param_match is initial or partial; keepalived ignores it"),
        }
        report.converted(statement, "match");
    }
    for (keyword, least, key) in [("quorum", 1, "count"), ("quorum_max", 0, "maximum")] {
        if let Some(statement) = gathered.last(keyword, report)
            && let Some(count) = number(statement, least, 65_535, report)
        {
            map.set(key, count.to_string());
            report.converted(statement, key);
        }
    }
    for (keyword, keys) in [
        ("delay", &["up_delay", "down_delay"][..]),
        ("fork_delay", &["up_delay"]),
        ("terminate_delay", &["down_delay"]),
    ] {
        if let Some(statement) = gathered.last(keyword, report)
            && let Some(delay) = seconds(statement, Micros::ZERO, Micros::HOUR, report)
        {
            for key in keys {
                map.set(key, delay.shown());
            }
            report.converted(statement, &keys.join(", "));
        }
    }
    // keepalived is told of every process that begins or ends, and waits for no second time.
    for key in ["rise", "fall"] {
        map.set(key, "1");
    }
    Some(map)
}
