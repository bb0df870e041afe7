//! `authentication: { type: hmac }`: the keys that sign adverts, and what is believed. No message here quotes a key.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::duration;
use super::private;
use super::problem::{At, Spot};
use super::read::{Item, Table};
use super::scalar;
use crate::codes::Code;
use crate::engine::settings::{self, AntiReplay};
use crate::time::Duration;
use crate::wire::vrrp::Key;

/// What stands under `authentication` with `type: hmac`.
pub(super) const KEYS: &[&str] = &["keys", "active_key", "anti_replay", "time_window", "mode"];
/// What stands under a key's number if the key is in a file of its own.
pub(super) const KEY: &[&str] = &["file"];

/// What is read of a key's file: far more than fits, so that the complaint can say how much.
const MOST: u64 = 1024;
const SHORTEST_WINDOW: Duration = Duration::from_secs(1);
const LONGEST_WINDOW: Duration = Duration::from_secs(300);
/// As short as the default window gets: clocks that are kept by NTP at all differ by less.
const LEAST_DEFAULT: u64 = 5;

/// Signatures as written.
#[derive(Debug)]
pub(super) struct Hmac {
    keys: BTreeMap<u8, Key>,
    active: u8,
    anti_replay: Written,
    pub(super) mode: At<Mode>,
    /// Where keys stand in the configuration itself.
    pub(super) inline: Vec<Spot>,
}

/// What is signed and believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Adverts are signed, and only signed ones count.
    Enforce,
    /// Adverts are signed, and unsigned ones count as well.
    Permissive,
    /// Adverts are not signed, and both kinds count.
    ReceiveOnly,
}

#[derive(Clone, Copy, Debug)]
enum Written {
    /// With a window, if one is written.
    Time(Option<Duration>),
    Monotonic,
}

impl Hmac {
    /// What is true for adverts that are sent so often.
    pub(super) fn settings(self, interval: Duration) -> settings::Hmac {
        // Three intervals, as whoever takes over waits for; no longer than any window may be.
        let default = || {
            let seconds = (interval.as_secs() * 3).max(LEAST_DEFAULT);
            Duration::from_secs(seconds).min(LONGEST_WINDOW)
        };
        settings::Hmac {
            keys: self.keys,
            active: Some(self.active).filter(|_| self.mode.value != Mode::ReceiveOnly),
            accepts_unsigned: self.mode.value != Mode::Enforce,
            anti_replay: match self.anti_replay {
                Written::Time(window) => AntiReplay::Time { window: window.unwrap_or_else(default) },
                Written::Monotonic => AntiReplay::Monotonic,
            },
        }
    }
}

/// Reads what belongs to `type: hmac`.
pub(super) fn read(table: &Table<'_>) -> Option<Hmac> {
    let keys = table.required("keys", "{ 1: { file: /etc/vipd/vrrp.key } }").and_then(keys);
    let mode = table.or("mode", Mode::Enforce, |item| item.read("enforce, permissive or receive_only", mode));
    let anti_replay = anti_replay(table);
    let (keys, inline) = keys?;
    let mode = mode?;
    let active = active(table, &keys, mode.value)?;
    Some(Hmac { keys, active, anti_replay: anti_replay?, mode, inline })
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "enforce" => Ok(Mode::Enforce),
        "permissive" => Ok(Mode::Permissive),
        "receive_only" => Ok(Mode::ReceiveOnly),
        _ => Err(format!("'{text}' is no mode; write enforce, permissive or receive_only")),
    }
}

fn anti_replay(table: &Table<'_>) -> Option<Written> {
    let by_time = table.or("anti_replay", true, |item| {
        item.read("time or monotonic", |text| match text {
            "time" => Ok(true),
            "monotonic" => Ok(false),
            _ => Err(format!("'{text}' is no protection against replay; write time or monotonic")),
        })
    });
    let window = table.optional("time_window").map(|item| item.read("a duration, for example 5s", window));
    match (by_time?.value, window) {
        (_, Some(None)) => None,
        (true, window) => Some(Written::Time(window.flatten().map(|at| at.value))),
        (false, None) => Some(Written::Monotonic),
        (false, Some(Some(_))) => table.optional("time_window")?.error(
            Code::Contradiction,
            "there is no window with 'anti_replay: monotonic'; remove one of them",
        ),
    }
}

fn window(text: &str) -> Result<Duration, String> {
    let window = duration::between(text, SHORTEST_WINDOW, LONGEST_WINDOW)?;
    if window.subsec_nanos() > 0 {
        return Err(format!("'{text}' is no whole number of seconds; write 1s to 5m"));
    }
    Ok(window)
}

/// The key that signs: the only one there is, unless it is said.
fn active(table: &Table<'_>, keys: &BTreeMap<u8, Key>, mode: Mode) -> Option<u8> {
    let Some(item) = table.optional("active_key") else {
        let first = *keys.keys().next()?;
        if keys.len() > 1 && mode != Mode::ReceiveOnly {
            let what = format!("which key signs is not said; write for example 'active_key: {first}'");
            table.error(Code::OneOf, what);
            return None;
        }
        return Some(first);
    };
    let id = item.read("a number under 'keys'", number)?;
    if !keys.contains_key(&id.value) {
        let there: Vec<_> = keys.keys().map(ToString::to_string).collect();
        return item.error(
            Code::NobodyNamed,
            format!("no key has the number {}; there are: {}", id.value, there.join(", ")),
        );
    }
    Some(id.value)
}

fn number(text: &str) -> Result<u8, String> {
    let number = scalar::number(text, 1, 255).ok().and_then(|number| u8::try_from(number).ok());
    number.ok_or_else(|| format!("'{text}' is no number of a key; write 1 to 255"))
}

/// All keys, if all of them are right, and where those stand that are written here.
fn keys(item: &Item<'_>) -> Option<(BTreeMap<u8, Key>, Vec<Spot>)> {
    if !item.is_table() {
        return item.error(
            Code::WrongShape,
            "is no set of numbers with keys; write for example { 1: { file: /etc/vipd/vrrp.key } }",
        );
    }
    let entries = item.entries("a number for each key, for example '1:'")?;
    let (mut keys, mut inline) = (BTreeMap::new(), Vec::new());
    for entry in &entries {
        let id = entry.name();
        // Never quoted: it may be a key that was taken for its number.
        let id = number(&id.value).map_err(|_| {
            entry.findings.error(&id.spot, Code::BadName, "is no number of a key; write 1 to 255");
        });
        let key = if entry.is_table() {
            from_file(entry)
        } else {
            inline.push(entry.spot.clone());
            written(entry)
        };
        if let (Ok(id), Some(key)) = (id, key) {
            keys.insert(id, key);
        }
    }
    (keys.len() == entries.len()).then_some((keys, inline))
}

fn written(entry: &Item<'_>) -> Option<Key> {
    let text = entry.text("'hex:' and 64 to 128 digits, 32 to 64 characters, or { file: PATH }")?;
    match key(text.as_bytes()) {
        Ok(key) => Some(key),
        Err(what) => entry.error(Code::BadValue, what),
    }
}

fn from_file(entry: &Item<'_>) -> Option<Key> {
    let table = entry.table("{ file: PATH }")?;
    table.only(KEY, |_| None);
    let file = table.required("file", "/etc/vipd/vrrp.key")?;
    let path = file.read("an absolute path", scalar::absolute_path)?.value;
    let read = private::content(&path, "key", MOST);
    match read.and_then(|text| key(&text).map_err(|what| format!("in '{path}' {what}"))) {
        Ok(key) => Some(key),
        Err(what) => file.error(Code::NamedFile, what),
    }
}

/// The key that is written as hexadecimal digits behind `hex:`, or as it is.
fn key(text: &[u8]) -> Result<Key, String> {
    if text.starts_with(b"file:") {
        return Err("a key in a file is written as '{ file: PATH }'".to_owned());
    }
    let bytes = match text.strip_prefix(b"hex:") {
        Some(digits) => unhex(digits).ok_or(
            "'hex:' is not followed by hexadecimal digits, two for each byte; write 64 to 128 of them",
        )?,
        None if text.iter().all(|byte| matches!(byte, b' '..=b'~')) => Zeroizing::new(text.to_vec()),
        None => return Err("the key has bytes that are not printable ASCII; write it as 'hex:..'".to_owned()),
    };
    let length = bytes.len();
    Key::new(bytes).ok_or_else(|| {
        format!("the key has {length} bytes; write {} to {} of them", Key::SHORTEST, Key::LONGEST)
    })
}

fn unhex(digits: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for [high, low] in pairs {
        bytes.push(value(*high)? << 4 | value(*low)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";

    #[test]
    fn a_key_is_hexadecimal_or_text_and_both_are_the_same_key() {
        let counted = Key::new(Zeroizing::new((0..32).collect())).unwrap();
        assert_eq!(key(format!("hex:{DIGITS}").as_bytes()), Ok(counted));
        let text = "a key of thirty-two characters..";
        let digits = text.bytes().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
        assert_eq!(key(text.as_bytes()), key(format!("hex:{digits}").as_bytes()));
    }

    #[test]
    fn what_is_no_key_is_refused_without_quoting_it() {
        let hex = "'hex:' is not followed by hexadecimal digits, two for each byte; write 64 to 128 of them";
        for (text, said) in [
            ("hex:0", hex),
            ("hex:zz", hex),
            ("hex:00 01", hex),
            ("hex:", "the key has 0 bytes; write 32 to 64 of them"),
            ("file:/etc/vipd/vrrp.key", "a key in a file is written as '{ file: PATH }'"),
            ("short", "the key has 5 bytes; write 32 to 64 of them"),
            ("ümlaut", "the key has bytes that are not printable ASCII; write it as 'hex:..'"),
        ] {
            assert_eq!(key(text.as_bytes()), Err(said.to_owned()), "{text}");
        }
        assert!(key(&[b'k'; 65]).is_err() && key(&[b'k'; 64]).is_ok());
    }
}
