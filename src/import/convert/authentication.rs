//! `authentication`: the password of version 2.

use super::gather::Gathered;
use crate::import::blocks::Statement;
use crate::import::report::Report;
use crate::import::yaml::Map;

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
