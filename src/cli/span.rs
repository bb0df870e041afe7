//! How long, and since when, as people write them on a command line: `90s`, `30m`, `12h`, `7d`, or a moment.

use crate::agent::drains::LONGEST;
use crate::agent::stamp::Stamp;
use crate::time::Duration;

/// A century: whatever is further away is a slip.
const FURTHEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Since when: so long ago, or a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// So long before now.
    Ago(Duration),
    /// That moment.
    Moment(Stamp),
}

/// Reads how long a drain is to last.
pub(super) fn of_drain(text: &str) -> Result<Duration, String> {
    match span(text) {
        Some(span) if span > LONGEST => Err(format!(
            "at most {}d; without --for it lasts until 'vipctl resume'",
            LONGEST.as_secs() / 86_400
        )),
        Some(span) if span.is_zero() => Err("at least 1s".to_owned()),
        Some(span) => Ok(span),
        None => Err("write a whole number and s, m, h or d: 90s, 30m, 12h, 7d".to_owned()),
    }
}

/// Reads how long to look on.
pub(super) fn of_watching(text: &str) -> Result<Duration, String> {
    match span(text).filter(|span| !span.is_zero() && *span <= FURTHEST) {
        Some(span) => Ok(span),
        None => Err("write a whole number and s, m or h: 10s, 5m".to_owned()),
    }
}

/// Reads a short span, an objective or a pace: `500ms`, `1s`.
pub(super) fn of_pace(text: &str) -> Result<Duration, String> {
    let millis = text.strip_suffix("ms").and_then(whole).map(Duration::from_millis);
    match millis.or_else(|| span(text)).filter(|span| !span.is_zero() && *span <= FURTHEST) {
        Some(span) => Ok(span),
        None => Err("write a whole number and ms or s: 500ms, 1s".to_owned()),
    }
}

/// Reads a span or a moment.
pub(super) fn since(text: &str) -> Result<Since, String> {
    if let Some(span) = span(text).filter(|span| !span.is_zero() && *span <= FURTHEST) {
        return Ok(Since::Ago(span));
    }
    text.parse().map(Since::Moment).map_err(|_| {
        "write how long ago: 30m, 24h, 7d; or a moment in RFC 3339: 2026-11-22T10:00:00Z".to_owned()
    })
}

impl Since {
    /// The moment, seen from `now`.
    pub(super) fn moment(self, now: Stamp) -> Stamp {
        match self {
            Self::Ago(span) => now.minus(span),
            Self::Moment(moment) => moment,
        }
    }

    /// `in the last 24 h`, or `since ..`.
    pub(super) fn words(self) -> String {
        match self {
            Self::Ago(span) => format!("in the last {}", words(span)),
            Self::Moment(moment) => format!("since {}", moment.day_and_time()),
        }
    }
}

fn span(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let (_, _, seconds) = UNITS.iter().find(|(letter, _, _)| *letter == unit)?;
    whole(number)?.checked_mul(*seconds).map(Duration::from_secs)
}

/// A number without sign or fraction.
fn whole(digits: &str) -> Option<u64> {
    Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

fn words(span: Duration) -> String {
    let seconds = span.as_secs();
    let fits = UNITS.iter().find(|(_, _, unit)| seconds.is_multiple_of(*unit));
    // A second fits always. A day is better called 24 h, and 72 h three days.
    match fits {
        Some(("d", _, _)) if seconds == 86_400 => "24 h".to_owned(),
        Some((_, name, unit)) => format!("{} {name}", seconds / unit),
        None => format!("{seconds} s"),
    }
}

const UNITS: [(&str, &str, u64); 4] =
    [("d", "days", 86_400), ("h", "h", 3600), ("m", "min", 60), ("s", "s", 1)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_moments_are_read_and_said() {
        let said = |text| since(text).map(Since::words);
        assert_eq!(said("24h").unwrap(), "in the last 24 h");
        assert_eq!(said("7d").unwrap(), "in the last 7 days");
        assert_eq!(said("90s").unwrap(), "in the last 90 s");
        assert_eq!(said("2026-11-22T10:00:00Z").unwrap(), "since 2026-11-22 10:00:00 UTC");
        assert_eq!(said("2026-11-22T11:00:00+01:00").unwrap(), "since 2026-11-22 10:00:00 UTC");
        for wrong in [
            "",
            "h",
            "0h",
            "24",
            "1.5h",
            "-3h",
            "+3h",
            "yesterday",
            "999999999999999999999d",
            "9999999999d",
            "3ü",
        ] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
        assert_eq!(of_drain("30m"), Ok(Duration::from_secs(1800)));
        for wrong in ["0s", "31d", "30", "m"] {
            assert!(of_drain(wrong).is_err(), "{wrong}");
        }
        assert_eq!(of_pace("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(of_pace("2s"), Ok(Duration::from_secs(2)));
        for wrong in ["0ms", "ms", "1.5s", "5"] {
            assert!(of_pace(wrong).is_err(), "{wrong}");
        }
    }
}
