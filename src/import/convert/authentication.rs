//! `authentication`, the password of version 2, and `auth_hmac`, signed adverts.

use super::gather::Gathered;
use super::values::{Micros, seconds, word};
use crate::import::blocks::Statement;
use crate::import::report::Report;
use crate::import::yaml::{Map, Value};

/// How many bytes an advert has for it.
const LONGEST: usize = 8;

/// Reads the block; none, and noted, if there is nothing to be written.
pub(super) fn convert(block: &Statement, version: u32, report: &mut Report) -> Option<Map> {
    let mut gathered = Gathered::of("authentication", &block.block, report);
    let kind = gathered.last("auth_type", report);
    let password = gathered.last("auth_pass", report);
    gathered.rest(report);
    let wrong =
        match (version, kind.and_then(|kind| kind.word(1)), password.and_then(|password| password.word(1))) {
            (3, ..) => Some("version 3 has no authentication; keepalived ignores it"),
            (_, Some("PASS"), None | Some("")) => Some("there is no auth_pass; keepalived ignores it"),
            (_, Some("AH" | "PASS"), _) => None,
            _ => Some("auth_type is PASS or AH; keepalived ignores it"),
        };
    let all = [Some(block), kind, password].into_iter().flatten();
    if let Some(wrong) = wrong {
        all.for_each(|statement| report.ignored(statement, wrong));
        return None;
    }
    if kind.and_then(|kind| kind.word(1)) == Some("AH") {
        let why = "AH is not built, RFC 3768 removed it; use auth_hmac, or a password, on all nodes";
        all.for_each(|statement| report.left_out(statement, why));
        return None;
    }
    let text = password?.word(1)?;
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut map = Map::default();
    map.set("type", "simple");
    map.set("password", &text[..end]);
    report.converted(block, "authentication");
    report.converted(kind?, "authentication.type");
    if end < text.len() {
        report.converted_but(password?, "authentication.password", "cut to 8 bytes, as keepalived does");
    } else {
        report.converted(password?, "authentication.password");
    }
    Some(map)
}

/// Reads `auth_hmac`; none, and noted, if it has no key.
pub(super) fn convert_hmac(block: &Statement, report: &mut Report) -> Option<Map> {
    let mut gathered = Gathered::of("auth_hmac", &block.block, report);
    let mut keys = Map::default();
    for statement in gathered.all("key") {
        match (statement.word(1), statement.word(2)) {
            (Some(id), Some(key)) if id.parse::<u8>().is_ok_and(|id| id > 0) => {
                match key.strip_prefix("file:") {
                    Some(path) => {
                        let mut file = Map::default();
                        file.set("file", path);
                        keys.set(id, Value::Inline(file));
                    }
                    None => keys.set(id, key),
                }
                report.converted(statement, "authentication.keys");
            }
            _ => report.ignored(statement, "needs a number from 1 to 255 and a key; keepalived ignores it"),
        }
    }
    let mut map = Map::default();
    map.set("type", "hmac");
    map.set("keys", Value::Map(keys.clone()));
    for (keyword, key) in [("active_key", "active_key"), ("anti_replay", "anti_replay"), ("mode", "mode")] {
        if let Some(statement) = gathered.last(keyword, report)
            && let Some(value) = word(statement, report)
        {
            map.set(key, value.replace("receive-only", "receive_only"));
            report.converted(statement, &format!("authentication.{key}"));
        }
    }
    if let Some(statement) = gathered.last("time_window", report)
        && let Some(window) = seconds(statement, Micros::SECOND, Micros(300_000_000), report)
    {
        map.set("time_window", window.shown());
        report.converted(statement, "authentication.time_window");
    }
    gathered.rest(report);
    if keys.is_empty() {
        report.left_out(block, "there is no key in it; nothing would be signed");
        return None;
    }
    report.converted(block, "authentication");
    Some(map)
}
