//! `virtual_rules` and `static_rules`: what `ip rule` would understand, a rule a line.

use super::routes::is_ipv6;
use super::values::network;
use crate::import::blocks::Statement;
use crate::import::report::Report;
use crate::import::yaml::{Map, Value};

/// The name of the table's section.
const BLOCK: &str = "virtual_rules";

/// Words with a value, and their keys.
const VALUED: [(&str, &str); 25] = [
    ("from", "from"),
    ("to", "to"),
    ("table", "table"),
    ("lookup", "table"),
    ("goto", "goto"),
    ("type", "action"),
    ("priority", "priority"),
    ("preference", "priority"),
    ("order", "priority"),
    ("fwmark", "fwmark"),
    ("iif", "input_interface"),
    ("dev", "input_interface"),
    ("oif", "output_interface"),
    ("tos", "tos"),
    ("dsfield", "tos"),
    ("suppress_prefixlength", "suppress_prefix_length"),
    ("sup_pl", "suppress_prefix_length"),
    ("suppress_ifgroup", "suppress_interface_group"),
    ("sup_group", "suppress_interface_group"),
    ("uidrange", "uid_range"),
    ("ip_proto", "ip_protocol"),
    ("ipproto", "ip_protocol"),
    ("sport", "source_port"),
    ("dport", "destination_port"),
    ("tunnel-id", "tunnel_id"),
];

/// The priority of the next rule that has none: keepalived counts down, too.
#[derive(Debug)]
pub(super) struct Priorities(u32);

impl Default for Priorities {
    fn default() -> Self {
        Self(16_384)
    }
}

/// Reads a line; none, and noted, if it is no rule.
pub(super) fn read(line: &Statement, priorities: &mut Priorities, report: &mut Report) -> Option<Value> {
    let mut map = Map::default();
    let mut ipv6 = false;
    let mut words = line.words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let valued = VALUED.iter().find(|(valued, _)| *valued == word);
        let takes = valued.is_some() || matches!(word, "protocol" | "realms" | "track_group");
        let value = if takes { words.next() } else { None }.unwrap_or_default();
        if !report.judge_word(BLOCK, word, line) {
            continue;
        }
        match (word, valued) {
            ("from" | "to", _) if matches!(value, "all" | "any" | "default") => {}
            ("from" | "to", _) => match network(value) {
                Some(net) => map.set(word, net),
                None => report.ignored(line, format!("'{value}' is no network; keepalived ignores the rule")),
            },
            ("ip_proto" | "ipproto", _) => map.set("ip_protocol", value.to_ascii_lowercase()),
            (_, Some((_, key))) => map.set(key, value),
            ("not" | "no", _) => map.set("not", "true"),
            ("l3mdev", _) => map.set("l3mdev", "true"),
            ("no_track", _) => map.set("restore", "false"),
            ("inet6", _) => ipv6 = true,
            ("nop" | "blackhole" | "unreachable" | "prohibit", _) => map.set("action", word),
            _ => {}
        }
    }
    if ["table", "goto", "action", "l3mdev"].iter().all(|key| !map.has(key)) {
        report.ignored(line, "it does not say what to do; keepalived ignores it");
        return None;
    }
    if ipv6 && !line.words.iter().any(|word| is_ipv6(word)) {
        map.set("family", "ipv6");
    }
    if map.has("priority") {
        report.converted(line, "rules");
    } else {
        map.set("priority", priorities.0.to_string());
        report.converted_but(
            line,
            "rules",
            &format!("priority {}: keepalived counts down from 16384", priorities.0),
        );
        priorities.0 -= 1;
    }
    Some(Value::Inline(map))
}
