//! `virtual_rules` and `static_rules`: what `ip rule` would understand, a rule a line.

use std::collections::{BTreeMap, VecDeque};

use super::routes::is_ipv6;
use super::values::network;
use crate::import::blocks::Statement;
use crate::import::language::Place;
use crate::import::report::Report;
use crate::import::table::TABLE;
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

/// The priorities of rules that have none, by where these stand: keepalived counts down in the order of the file, for each
/// family by itself, and which rule is asked first hangs on that.
#[derive(Debug, Default)]
pub(super) struct Priorities(BTreeMap<Place, VecDeque<u32>>);

/// Where keepalived begins.
const FIRST: u32 = 16_384;

impl Priorities {
    /// Numbers the rules of a whole file.
    pub(super) fn of(statements: &[Statement]) -> Self {
        let mut given = BTreeMap::<_, VecDeque<_>>::new();
        let mut next = [FIRST; 2];
        for line in statements.iter().flat_map(lines) {
            let next = &mut next[usize::from(speaks_ipv6(line))];
            if unnumbered(line, &mut Report::default()).is_some_and(|map| !map.has("priority")) {
                given.entry(line.place.clone()).or_default().push_back(*next);
                *next = next.saturating_sub(1).max(1);
            }
        }
        Self(given)
    }

    /// The priority of a rule that has none. A loop makes several of one line.
    fn take(&mut self, line: &Statement) -> u32 {
        self.0.get_mut(&line.place).and_then(VecDeque::pop_front).unwrap_or(FIRST)
    }
}

/// The rules in a statement outside of any block.
fn lines(statement: &Statement) -> Vec<&Statement> {
    match statement.keyword() {
        "static_rules" => statement.block.iter().collect(),
        "vrrp_instance" => {
            let blocks = statement.block.iter().filter(|inner| inner.keyword() == "virtual_rules");
            blocks.flat_map(|block| &block.block).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a rule is one of IPv6.
fn speaks_ipv6(line: &Statement) -> bool {
    line.words.iter().any(|word| word == "inet6" || is_ipv6(word))
}

/// Reads a line; none, and noted, if it is no rule.
pub(super) fn read(line: &Statement, priorities: &mut Priorities, report: &mut Report) -> Option<Value> {
    let mut map = unnumbered(line, report)?;
    if map.has("priority") {
        report.converted(line, "rules");
    } else {
        let priority = priorities.take(line);
        map.set("priority", priority.to_string());
        let why = format!("priority {priority}: keepalived counts down from {FIRST}");
        report.converted_but(line, "rules", &why);
    }
    Some(Value::Inline(map))
}

/// A rule as the line has it, with or without a priority.
fn unnumbered(line: &Statement, report: &mut Report) -> Option<Map> {
    let mut map = Map::default();
    let mut ipv6 = false;
    let mut words = line.words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let valued = VALUED.iter().find(|(valued, _)| *valued == word);
        let takes = valued.is_some() || matches!(word, "protocol" | "realms" | "track_group");
        let value = if takes { words.next() } else { None }.unwrap_or_default();
        if !report.judge_word(BLOCK, word, line) {
            // Without what keepalived does not understand, or vipd has not, the rule would be another one.
            TABLE.row(BLOCK, word).filter(|_| word != "realms")?;
            continue;
        }
        match (word, valued) {
            ("from" | "to", _) if matches!(value, "all" | "any" | "default") => {}
            ("from" | "to", _) => {
                let Some(net) = network(value) else {
                    report.ignored(line, format!("'{value}' is no network; keepalived ignores the rule"));
                    return None;
                };
                map.set(word, net);
            }
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
    Some(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::blocks;
    use crate::import::language::Line;

    #[test]
    fn rules_without_a_priority_are_numbered_down_in_the_order_of_the_file_by_family() {
        let text = "vrrp_instance a\n{\nvirtual_rules\n{\nfrom 192.0.2.1 table 1\nfrom 2001:db8::1 table 1\n\
            fwmark 1 table 1 priority 7\nbogus\n}\n}\nstatic_rules\n{\nfwmark 1 table 2\ninet6 fwmark 1 table 2\n}";
        let lines = text.lines().enumerate();
        let place = |at| Place { file: "f".into(), line: at + 1 };
        let lines = lines.map(|(at, text)| Line { place: place(at), text: text.to_owned() });
        let priorities = Priorities::of(&blocks::parse(lines.collect(), &mut Vec::new()));
        let given = priorities.0.into_iter().map(|(place, given)| (place.line, Vec::from(given)));
        let expected = [(5, vec![16_384]), (6, vec![16_384]), (13, vec![16_383]), (14, vec![16_383])];
        assert_eq!(given.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn more_rules_than_there_are_numbers_share_the_last() {
        let place = Place { file: "f".into(), line: 1 };
        let line = Line { place: place.clone(), text: "fwmark 1 table 1".to_owned() };
        let brace = |text: &str| Line { place: place.clone(), text: text.to_owned() };
        let mut lines = vec![brace("static_rules"), brace("{")];
        lines.extend(std::iter::repeat_n(line, 17_000));
        lines.push(brace("}"));
        let priorities = Priorities::of(&blocks::parse(lines, &mut Vec::new()));
        assert_eq!(priorities.0[&place].back(), Some(&1));
    }
}
