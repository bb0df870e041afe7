//! Durations as operators write them: `100ms`, `1.5s`, `2m`, `1h`. Exact, and never without a unit: a bare 5
//! is seconds to one reader and milliseconds to the next.

use crate::time::Duration;

/// The units, each with its nanoseconds.
const UNITS: [(&str, u64); 4] =
    [("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000)];

/// A day: nothing here takes longer.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Reads a number with a unit, at most 24h.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    if !number.is_empty() && unit.is_empty() {
        return Err(format!("'{text}' has no unit; write {text}ms, {text}s, {text}m or {text}h"));
    }
    let wrong =
        || format!("'{text}' is no duration; write a number and ms, s, m or h, for example 100ms or 1.5s");
    let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let (whole, fraction) = number.split_once('.').map_or((number, None), |(w, f)| (w, Some(f)));
    if whole.is_empty() || fraction.is_some_and(|f| f.is_empty() || f.contains('.')) {
        return Err(wrong());
    }
    let too_long = || format!("'{text}' is too long; write at most 24h");
    let whole = whole.parse::<u64>().ok().and_then(|n| n.checked_mul(*unit)).ok_or_else(too_long)?;
    let fraction = nanoseconds(fraction.unwrap_or("0"), *unit)
        .ok_or_else(|| format!("'{text}' is finer than a nanosecond; write fewer digits"))?;
    let duration = Duration::from_nanos(whole.saturating_add(fraction));
    if duration > LONGEST { Err(too_long()) } else { Ok(duration) }
}

/// The digits after a decimal point, of a unit of so many nanoseconds, if they come out even.
fn nanoseconds(digits: &str, unit: u64) -> Option<u64> {
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    let scale = 10u128.checked_pow(u32::try_from(digits.len()).ok()?)?;
    let scaled = digits.parse::<u128>().ok()?.checked_mul(u128::from(unit))?;
    (scaled % scale == 0).then(|| u64::try_from(scaled / scale).ok())?
}

/// Reads a duration from `least` to `most`.
pub(super) fn between(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let duration = parse(text)?;
    let range = || format!("write {} to {}", shown(least), shown(most));
    if duration < least {
        return Err(format!("'{text}' is too short; {}", range()));
    }
    if duration > most {
        return Err(format!("'{text}' is too long; {}", range()));
    }
    Ok(duration)
}

/// A duration as [`parse`] reads it, in the largest unit that needs no fraction.
pub(super) fn shown(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let whole = UNITS
        .iter()
        .rev()
        .find(|(_, unit)| nanos >= u128::from(*unit) && nanos.is_multiple_of(u128::from(*unit)));
    match whole {
        _ if nanos == 0 => "0s".to_owned(),
        Some((name, unit)) => format!("{}{name}", nanos / u128::from(*unit)),
        None => {
            let fraction = format!("{:06}", nanos % 1_000_000);
            format!("{}.{}ms", nanos / 1_000_000, fraction.trim_end_matches('0'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_and_a_unit_make_a_duration() {
        for (text, nanos) in [
            ("100ms", 100_000_000),
            ("1s", 1_000_000_000),
            ("1.5s", 1_500_000_000),
            ("0.01s", 10_000_000),
            ("1.50s", 1_500_000_000),
            ("0.000001ms", 1),
            ("2m", 120_000_000_000),
            ("24h", 86_400_000_000_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_told_what_to_write() {
        let no = "is no duration; write a number and ms, s, m or h, for example 100ms or 1.5s";
        for (text, said) in [
            ("5", "'5' has no unit; write 5ms, 5s, 5m or 5h".to_owned()),
            ("1.5", "'1.5' has no unit; write 1.5ms, 1.5s, 1.5m or 1.5h".to_owned()),
            ("", format!("'' {no}")),
            ("s", format!("'s' {no}")),
            ("-1s", format!("'-1s' {no}")),
            ("1 s", format!("'1 s' {no}")),
            ("1S", format!("'1S' {no}")),
            ("1us", format!("'1us' {no}")),
            (".5s", format!("'.5s' {no}")),
            ("1.s", format!("'1.s' {no}")),
            ("1.2.3s", format!("'1.2.3s' {no}")),
            ("1h30m", format!("'1h30m' {no}")),
            ("25h", "'25h' is too long; write at most 24h".to_owned()),
            ("99999999999999999999s", "'99999999999999999999s' is too long; write at most 24h".to_owned()),
            ("0.0000001ms", "'0.0000001ms' is finer than a nanosecond; write fewer digits".to_owned()),
        ] {
            assert_eq!(parse(text), Err(said));
        }
    }

    #[test]
    fn a_range_is_named_when_it_is_left() {
        let range = |text| between(text, Duration::from_millis(10), Duration::from_secs(90));
        assert_eq!(range("10ms"), Ok(Duration::from_millis(10)));
        assert_eq!(range("9ms").unwrap_err(), "'9ms' is too short; write 10ms to 90s");
        assert_eq!(range("2m").unwrap_err(), "'2m' is too long; write 10ms to 90s");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(nanos in 0..=86_400_000_000_000u64) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&shown(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "[0-9.msh]{0,60}") {
            drop(parse(&text));
        }
    }
}
