//! `announce`, when addresses are announced besides the first burst, and `announce_limits`, how fast.

use std::collections::BTreeSet;

use super::duration;
use super::problem::At;
use super::read::{Item, Table};
use super::scalar;
use crate::codes::Code;
use crate::engine::settings::{Announce, AnnounceLimit};
use crate::time::Duration;

/// What stands under `announce`.
pub(super) const KEYS: &[&str] = &["again_after", "repeat", "refresh", "refresh_repeat", "after_lower"];

/// What stands under `after_lower`.
const LOWER_KEYS: &[&str] = &["again_after", "repeat"];

/// What stands in an entry of `announce_limits`.
pub(super) const LIMIT_KEYS: &[&str] = &["interfaces", "interval"];

/// What happens without `announce`: switches that lost the first burst learn from the second, and a table
/// that was spoilt in between is right again within the minute.
pub(super) const DEFAULT: Announce = Announce {
    again_after: Some(Duration::from_secs(5)),
    repeat: 1,
    refresh: Some(Duration::from_secs(60)),
    refresh_repeat: 1,
    lower_again_after: None,
    lower_repeat: 1,
};

/// Reads the value of `announce`.
pub(super) fn read(item: &Item<'_>) -> Option<At<Announce>> {
    let table = item.table("'again_after' or 'refresh'")?;
    table.only(KEYS, |_| None);
    let again_after = again_after(&table, DEFAULT.again_after);
    let often = repeat(&table, "repeat");
    let refresh = table.or("refresh", DEFAULT.refresh, |item| pause(item, Duration::from_secs(1)));
    let refresh_repeat = repeat(&table, "refresh_repeat");
    let lower = match table.optional("after_lower") {
        Some(item) => lower(item),
        None => Some((DEFAULT.lower_again_after, DEFAULT.lower_repeat)),
    };
    let (lower_again_after, lower_repeat) = lower?;
    Some(item.at(Announce {
        again_after: again_after?.value,
        repeat: often?.value,
        refresh: refresh?.value,
        refresh_repeat: refresh_repeat?.value,
        lower_again_after,
        lower_repeat,
    }))
}

fn lower(item: &Item<'_>) -> Option<(Option<Duration>, u32)> {
    let table = item.table("'again_after' or 'repeat'")?;
    table.only(LOWER_KEYS, |_| None);
    let (again_after, often) = (again_after(&table, DEFAULT.lower_again_after), repeat(&table, "repeat"));
    Some((again_after?.value, often?.value))
}

fn again_after(table: &Table<'_>, default: Option<Duration>) -> Option<At<Option<Duration>>> {
    table.or("again_after", default, |item| pause(item, Duration::from_millis(100)))
}

fn repeat(table: &Table<'_>, key: &str) -> Option<At<u32>> {
    table.or(key, 1, |item| item.read("how often", |text| scalar::number(text, 1, 100)))
}

/// A duration from `least` to 1h, or none.
fn pause(item: &Item<'_>, least: Duration) -> Option<At<Option<Duration>>> {
    item.read("a duration or off", |text| match text {
        "off" => Ok(None),
        _ => duration::between(text, least, Duration::from_secs(3600))
            .map(Some)
            .map_err(|said| format!("{said}, or off")),
    })
}

/// Reads the value of `announce_limits`.
pub(super) fn read_limits(item: &Item<'_>) -> Option<At<Vec<AnnounceLimit>>> {
    let items = item.list("a list of limits, for example '- { interfaces: [eth0], interval: 1ms }'")?;
    let limits: Vec<_> = items.iter().filter_map(limit).collect();
    let mut seen = BTreeSet::new();
    for (item, limit) in items.iter().zip(&limits) {
        match &limit.interfaces {
            Some(names) => {
                for name in names {
                    if !seen.insert(name.as_str()) {
                        return item.error(
                            Code::WrittenTwice,
                            format!("{name} has a limit already; write it in one of them"),
                        );
                    }
                }
            }
            None if !seen.insert("") => {
                return item.error(
                    Code::WrittenTwice,
                    "there is a limit for all other interfaces already; remove one",
                );
            }
            None => {}
        }
    }
    (limits.len() == items.len()).then(|| item.at(limits))
}

fn limit(item: &Item<'_>) -> Option<AnnounceLimit> {
    let table = item.table("'interfaces' and 'interval'")?;
    table.only(LIMIT_KEYS, |_| None);
    let interfaces = match table.optional("interfaces") {
        Some(item) => {
            let items = item.list("a list of interfaces, for example [eth0, eth1]")?;
            let name = |item: &Item<'_>| item.read("an interface's name", scalar::interface);
            let names: Vec<_> = items.iter().filter_map(name).map(|at| at.value).collect();
            Some(Some(names).filter(|names| names.len() == items.len())?)
        }
        None => None,
    };
    let interval = table.required("interval", "1ms")?.read("a duration, for example 1ms", |text| {
        duration::between(text, Duration::from_micros(1), Duration::from_secs(1))
    });
    Some(AnnounceLimit { interfaces, interval: interval?.value })
}
