//! `checks`: what each check looks at, how often, and what makes its verdict. A kind of check is a row in
//! [`Kind`], a list of its keys and a reader.

use super::duration;
use super::probes::probe;
use super::problem::At;
use super::read::{Item, Table};
use super::scalar;
use crate::check;
use crate::codes::Code;
use crate::engine::settings::{self, CheckSource};
use crate::proto::health::Verdict;
use crate::time::Duration;

/// A check as written.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) name: At<String>,
    /// What is `None` was wrong, and has been noted.
    pub(super) source: Option<Source>,
    pub(super) delays: Delays,
}

/// Where its verdict comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// A probe; its settings bear the check's name.
    Probe(Box<check::Settings>),
    /// The engine's own picture of an interface.
    Interface(String),
}

/// How long a verdict has to stand before it counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delays {
    up: Duration,
    down: Duration,
}

impl Check {
    /// Reads an entry of `checks`.
    pub(super) fn read(item: &Item<'_>) -> Self {
        let name = item.name();
        scalar::judge_name(&name, item.findings);
        let table = item.table("what to check, for example '{ http: \"http://127.0.0.1/\" }'");
        let source = table.as_ref().and_then(|table| source(table, item, &name.value));
        let delays = table.as_ref().and_then(Delays::read).unwrap_or_default();
        Self { name, source, delays }
    }

    /// Whether it reads a value; `None` if that cannot be known.
    pub(super) fn has_value(&self) -> Option<bool> {
        Some(match self.source.as_ref()? {
            Source::Probe(probe) => matches!(probe.kind, check::Kind::Value(_)),
            Source::Interface(_) => false,
        })
    }

    /// What the engine is to know of it.
    pub(super) fn settings(&self) -> Option<settings::Check> {
        let source = match self.source.as_ref()? {
            Source::Probe(probe) if matches!(probe.kind, check::Kind::Value(_)) => CheckSource::Value,
            Source::Probe(_) => CheckSource::Probe,
            Source::Interface(name) => CheckSource::Interface(name.clone()),
        };
        let Delays { up: up_delay, down: down_delay } = self.delays;
        Some(settings::Check { name: self.name.value.clone(), source, up_delay, down_delay })
    }
}

/// A kind of check, by the key that names it and says what to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Http,
    Tcp,
    Script,
    Shell,
    Process,
    File,
    Value,
    Ping,
    Route,
    Interface,
}

/// What every kind has but `interface`, which the kernel tells of by itself.
const TIMES: [&str; 2] = ["interval", "timeout"];
/// What makes a verdict of results; a value counts as it is.
const COUNTS: [&str; 3] = ["rise", "fall", "initial"];
/// What keeps a verdict from counting at once.
const DELAYS: [&str; 2] = ["up_delay", "down_delay"];

impl Kind {
    pub(super) const ALL: [Self; 10] = [
        Self::Http,
        Self::Tcp,
        Self::Script,
        Self::Shell,
        Self::Process,
        Self::File,
        Self::Value,
        Self::Ping,
        Self::Route,
        Self::Interface,
    ];

    const fn key(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Script => "script",
            Self::Shell => "shell",
            Self::Process => "process",
            Self::File => "file",
            Self::Value => "value_file",
            Self::Ping => "ping",
            Self::Route => "route",
            Self::Interface => "interface",
        }
    }

    /// What this kind has besides its key and the times.
    const fn own_keys(self) -> &'static [&'static str] {
        match self {
            Self::Http => &["status", "body", "host", "method", "tls_verify", "tls_ca"],
            Self::Tcp => &["expect"],
            Self::Process => &["count", "maximum", "arguments", "match"],
            Self::File => &["exists"],
            Self::Ping => &["source", "interface"],
            Self::Route => &["table", "interface", "via"],
            Self::Script | Self::Shell | Self::Value | Self::Interface => &[],
        }
    }

    /// All its keys.
    pub(super) fn keys(self) -> Vec<&'static str> {
        let (times, counts, delays): (&[_], &[_], &[_]) = match self {
            Self::Interface => (&[], &[], &DELAYS),
            Self::Value => (&TIMES, &[], &[]),
            _ => (&TIMES, &COUNTS, &DELAYS),
        };
        [&[self.key()], self.own_keys(), times, counts, delays].concat()
    }

    /// The kind that a key of a check belongs to.
    fn owning(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.own_keys().contains(&key))
    }
}

fn source(table: &Table<'_>, item: &Item<'_>, name: &str) -> Option<Source> {
    let mut written: Vec<_> =
        Kind::ALL.into_iter().filter_map(|kind| Some((kind, table.optional(kind.key())?))).collect();
    // The interface may be that of another kind.
    if let [(kind, _), (Kind::Interface, _)] = written.as_slice()
        && kind.own_keys().contains(&Kind::Interface.key())
    {
        written.pop();
    }
    let &[(kind, target)] = written.as_slice() else {
        let all = Kind::ALL.map(Kind::key).join(", ");
        match written.get(1) {
            None => {
                item.findings.error(
                    table.place(),
                    Code::OneOf,
                    format!("nothing says what to check; write one of {all}"),
                );
            }
            Some((_, second)) => {
                let first = written.first().map_or("", |(kind, _)| kind.key());
                let what =
                    format!("there is '{first}' as well; a check looks at one thing, write a second check");
                second.error::<()>(Code::OneOf, what);
            }
        }
        return None;
    };
    table.only(&kind.keys(), |key| {
        if kind == Kind::Interface && (TIMES.contains(&key) || COUNTS.contains(&key)) {
            return Some("the kernel tells of an interface by itself;".to_owned());
        }
        if kind == Kind::Value && (COUNTS.contains(&key) || DELAYS.contains(&key)) {
            return Some("a value counts as soon as it is read;".to_owned());
        }
        Kind::owning(key).map(|kind| format!("it is for '{}' checks;", kind.key()))
    });
    if kind == Kind::Interface {
        return Some(Source::Interface(target.read("an interface's name", scalar::interface)?.value));
    }
    let probe = probe(kind, target, table);
    let times = Times::read(table, kind);
    let (kind, times) = (probe?, times?);
    Some(Source::Probe(Box::new(check::Settings {
        name: name.to_owned(),
        kind,
        interval: times.interval,
        timeout: times.timeout,
        rise: times.rise,
        fall: times.fall,
        initial: times.initial,
    })))
}

/// How often, how long, and how many times in a row.
struct Times {
    interval: Duration,
    timeout: Duration,
    rise: u32,
    fall: u32,
    initial: Option<Verdict>,
}

impl Times {
    fn read(table: &Table<'_>, kind: Kind) -> Option<Self> {
        let time = |least: u64| {
            move |item: &Item<'_>| {
                item.read("a duration, for example 1s", |text| {
                    duration::between(text, Duration::from_millis(least), Duration::from_secs(3600))
                })
            }
        };
        let count = |item: &Item<'_>| item.read("how many in a row", |text| scalar::number(text, 1, 1000));
        let interval = table.or("interval", Duration::from_secs(1), time(10));
        let longest = interval.as_ref().map_or(Duration::MAX, |at| at.value);
        let timeout = table.or("timeout", Duration::from_millis(500).min(longest), time(1));
        // Of a value one reading is enough, either way.
        let times = if kind == Kind::Value { 1 } else { 2 };
        let (rise, fall) = (table.or("rise", times, count), table.or("fall", times, count));
        let initial = table.or("initial", None, |item| {
            item.read("up or down", |text| match text {
                "up" => Ok(Some(Verdict::Up)),
                "down" => Ok(Some(Verdict::Down)),
                _ => Err(format!("'{text}' is no verdict; write up or down")),
            })
        });
        let (interval, timeout) = (interval?.value, timeout?);
        if timeout.value > interval {
            // Runs never overlap: a longer one would skip beats, and the verdict would come late.
            let (timeout_text, interval) = (duration::shown(timeout.value), duration::shown(interval));
            let what =
                format!("{timeout_text} is longer than the interval of {interval}; write at most {interval}");
            return table.optional("timeout")?.error(Code::BadValue, what);
        }
        Some(Self {
            interval,
            timeout: timeout.value,
            rise: rise?.value,
            fall: fall?.value,
            initial: initial?.value,
        })
    }
}

impl Delays {
    fn read(table: &Table<'_>) -> Option<Self> {
        let time = |item: &Item<'_>| {
            item.read("a duration, for example 5s", |text| {
                duration::between(text, Duration::ZERO, Duration::from_secs(3600))
            })
        };
        let (up, down) =
            (table.or("up_delay", Duration::ZERO, time), table.or("down_delay", Duration::ZERO, time));
        Some(Self { up: up?.value, down: down?.value })
    }
}
