//! Numbers, times and truths as keepalived writes them, and as vipd does.

use std::net::IpAddr;

use crate::import::blocks::Statement;
use crate::import::report::Report;
use crate::net::IpNet;

/// A time in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Micros(pub(super) u64);

impl Micros {
    pub(super) const ZERO: Self = Self(0);
    pub(super) const SECOND: Self = Self(1_000_000);
    pub(super) const HOUR: Self = Self(3_600_000_000);

    /// Seconds with or without a fraction; digits beyond the sixth are lost.
    pub(super) fn of_seconds(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let fraction: u64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
        whole.checked_mul(1_000_000)?.checked_add(fraction).map(Self)
    }

    /// As vipd writes it.
    pub(super) fn shown(self) -> String {
        match self.0 {
            us if us % 1_000_000 == 0 => format!("{}s", us / 1_000_000),
            us if us % 1000 == 0 => format!("{}ms", us / 1000),
            us => format!("{}.{}ms", us / 1000, format!("{:03}", us % 1000).trim_end_matches('0')),
        }
    }
}

/// The first word; noted and none if there is none.
pub(super) fn word<'s>(statement: &'s Statement, report: &mut Report) -> Option<&'s str> {
    let word = statement.word(1);
    if word.is_none() {
        report.ignored(statement, "says nothing more; keepalived ignores it");
    }
    word
}

/// The time at the first word; noted and none if it is no time within the bounds.
pub(super) fn seconds(
    statement: &Statement,
    least: Micros,
    most: Micros,
    report: &mut Report,
) -> Option<Micros> {
    let text = statement.word(1).unwrap_or_default();
    let value = Micros::of_seconds(text).filter(|value| (least..=most).contains(value));
    if value.is_none() {
        let range = format!("{} to {}", least.shown(), most.shown());
        report.ignored(statement, format!("'{text}' is no time from {range}; keepalived uses its default"));
    }
    value
}

/// The number at the first word; noted and none if it is none within the bounds.
pub(super) fn number(statement: &Statement, least: u32, most: u32, report: &mut Report) -> Option<u32> {
    let text = statement.word(1).unwrap_or_default();
    let value = text.parse().ok().filter(|value| (least..=most).contains(value));
    if value.is_none() {
        let what = format!("'{text}' is no number from {least} to {most}; keepalived uses its default");
        report.ignored(statement, what);
    }
    value
}

/// The truth at the first word, true if there is none; noted and none if it is something else.
pub(super) fn truth(statement: &Statement, report: &mut Report) -> Option<bool> {
    match statement.word(1) {
        None | Some("on" | "true" | "yes") => Some(true),
        Some("off" | "false" | "no") => Some(false),
        Some(text) => {
            report.ignored(statement, format!("'{text}' is neither on nor off; keepalived ignores it"));
            None
        }
    }
}

/// A network as vipd takes it: `default`, or an address without bits beyond its prefix.
pub(super) fn network(text: &str) -> Option<String> {
    if matches!(text, "default" | "any") {
        return Some("default".to_owned());
    }
    let net: IpNet = text.parse().ok()?;
    let first = match net.address() {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(net.prefix())).unwrap_or(0);
            IpAddr::from(std::net::Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(net.prefix())).unwrap_or(0);
            IpAddr::from(std::net::Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    };
    Some(format!("{first}/{}", net.prefix()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_loses_what_is_beyond_its_prefix() {
        for (text, shown) in [
            ("192.0.2.7/24", Some("192.0.2.0/24")),
            ("192.0.2.7", Some("192.0.2.7/32")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("2001:db8::7/64", Some("2001:db8::/64")),
            ("default", Some("default")),
            ("192.0.2./24", None),
        ] {
            assert_eq!(network(text).as_deref(), shown);
        }
    }

    #[test]
    fn times_are_read_in_seconds_and_written_with_a_unit() {
        for (text, shown) in [
            ("1", "1s"),
            ("2.5", "2500ms"),
            ("0.01", "10ms"),
            (".5", "500ms"),
            ("0.0005", "0.5ms"),
            ("0.0000019", "0.001ms"),
            ("300", "300s"),
            ("0", "0s"),
        ] {
            assert_eq!(Micros::of_seconds(text).map(Micros::shown).as_deref(), Some(shown), "{text}");
        }
        for text in ["", ".", "-1", "1s", "1.2.3", "99999999999999999999"] {
            assert_eq!(Micros::of_seconds(text), None, "{text}");
        }
    }
}
