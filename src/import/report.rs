//! What became of each statement. Nothing is left without an entry: what was not converted is named with its line.

use std::collections::BTreeMap;

use super::blocks::Statement;
use super::language::{Note, Place};
use super::table::{TABLE, Verdict};

/// What became of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It stands in the output.
    Converted,
    /// It is not needed: what vipd does anyway serves its purpose.
    Dropped,
    /// keepalived ignores it, too.
    Ignored,
    /// vipd does not have it.
    LeftOut,
}

impl Fate {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Converted => "converted",
            Self::Dropped => "dropped",
            Self::Ignored => "ignored",
            Self::LeftOut => "left out",
        }
    }
}

/// What became of one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub place: Place,
    /// The statement, without secrets.
    pub statement: String,
    /// What became of it.
    pub fate: Fate,
    /// Into which key, or why not, and what to do.
    pub text: String,
    /// It stands in a block of which the same is said.
    pub is_within: bool,
}

/// The entries so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    entries: Vec<Entry>,
}

/// How long a statement is shown.
const SHOWN: usize = 72;

impl Report {
    pub(super) fn add(&mut self, statement: &Statement, fate: Fate, text: impl Into<String>) {
        self.push(statement.place.clone(), &shown(statement), fate, &text.into());
    }

    fn push(&mut self, place: Place, statement: &str, fate: Fate, text: &str) {
        let (statement, text) = (printable(statement), printable(text));
        self.entries.push(Entry { place, statement, fate, text, is_within: false });
    }

    fn add_within(&mut self, statement: &Statement, fate: Fate, text: &str) {
        self.add(statement, fate, text);
        if let Some(entry) = self.entries.last_mut() {
            entry.is_within = true;
        }
    }

    /// A statement that is in the output, below `key`.
    pub(super) fn converted(&mut self, statement: &Statement, key: &str) {
        self.add(statement, Fate::Converted, key);
    }

    /// The same, with something to know.
    pub(super) fn converted_but(&mut self, statement: &Statement, key: &str, but: &str) {
        self.add(statement, Fate::Converted, format!("{key}; {but}"));
    }

    pub(super) fn ignored(&mut self, statement: &Statement, why: impl Into<String>) {
        self.add(statement, Fate::Ignored, why);
    }

    pub(super) fn left_out(&mut self, statement: &Statement, why: impl Into<String>) {
        self.add(statement, Fate::LeftOut, why);
    }

    /// What the table says of a statement; whether it is to be converted. If not that is all there is to it, and to everything
    /// in its block.
    pub(super) fn judge(&mut self, block: &'static str, statement: &Statement) -> bool {
        let Some(row) = TABLE.row(block, statement.keyword()) else {
            self.add(statement, Fate::LeftOut, unknown(block, statement.keyword()));
            self.with_it(statement, Fate::LeftOut, "its block is left out");
            return false;
        };
        let fate = match row.verdict {
            Verdict::Works => return true,
            Verdict::Better => Fate::Dropped,
            Verdict::Not => Fate::LeftOut,
        };
        self.add(statement, fate, row.why.as_str());
        for inner in &statement.block {
            let outer = format!("with '{}' in line {}", statement.keyword(), statement.place.line);
            self.add_within(inner, fate, &outer);
            self.with_it(inner, fate, "with its block");
        }
        false
    }

    /// The same, for a word within a statement.
    pub(super) fn judge_word(&mut self, block: &'static str, word: &str, statement: &Statement) -> bool {
        match TABLE.row(block, word) {
            None => {
                self.add(
                    statement,
                    Fate::Ignored,
                    format!("'{word}' is not known here; keepalived ignores it"),
                );
                false
            }
            Some(row) => match row.verdict {
                Verdict::Works => true,
                Verdict::Better => {
                    self.add(statement, Fate::Dropped, format!("{word}: {}", row.why));
                    false
                }
                Verdict::Not => {
                    self.add(statement, Fate::LeftOut, format!("{word}: {}", row.why));
                    false
                }
            },
        }
    }

    /// Notes that everything within a block goes the same way.
    pub(super) fn with_it(&mut self, statement: &Statement, fate: Fate, why: &str) {
        for inner in &statement.block {
            self.add_within(inner, fate, why);
            self.with_it(inner, fate, why);
        }
    }

    /// The entries in the order of the files, with what the language had to say. No line of a statement is without one.
    pub(super) fn finish(
        mut self,
        statements: &[Statement],
        notes: Vec<Note>,
        order: &[std::sync::Arc<str>],
    ) -> Vec<Entry> {
        let told: BTreeMap<Place, Fate> =
            self.entries.iter().map(|entry| (entry.place.clone(), entry.fate)).collect();
        let mut waiting: Vec<(&Statement, Option<(Fate, &Statement)>)> =
            statements.iter().map(|statement| (statement, None)).collect();
        while let Some((statement, outer)) = waiting.pop() {
            let fate = told.get(&statement.place).copied();
            match (fate, outer) {
                (Some(_), _) => {}
                // What becomes of a block that is not converted becomes of what is in it.
                (None, Some((fate, outer))) => {
                    let why = format!("with '{}' in line {}", outer.keyword(), outer.place.line);
                    self.add_within(statement, fate, &why);
                }
                (None, None) => self.left_out(statement, "nobody has said what becomes of this"),
            }
            let gone = fate.filter(|fate| *fate != Fate::Converted).map(|fate| (fate, statement)).or(outer);
            waiting.extend(statement.block.iter().map(|inner| (inner, gone)));
        }
        for note in notes {
            self.push(note.place, &note.statement, Fate::Ignored, &note.what);
        }
        let rank = |entry: &Entry| {
            let file = order.iter().position(|file| *file == entry.place.file);
            (file.unwrap_or(usize::MAX), entry.place.line)
        };
        self.entries.sort_by_key(rank);
        self.entries
    }
}

/// The blocks that operators write most.
const FIRST: [&str; 3] = ["vrrp_instance", "global_defs", "vrrp_sync_group"];

fn unknown(block: &str, keyword: &str) -> String {
    let place = if block.is_empty() { "outside of any block".to_owned() } else { format!("in {block}") };
    let rank = |block: &str| FIRST.iter().position(|first| *first == block).unwrap_or(FIRST.len());
    let mut elsewhere: Vec<(bool, usize, &str)> = TABLE
        .rows()
        .filter(|(_, word, _)| *word == keyword)
        .map(|(block, _, row)| (row.verdict == Verdict::Not, rank(block), block))
        .collect();
    // Where it does something here comes first, and where operators write it.
    elsewhere.sort_unstable();
    let hint = match elsewhere.as_slice() {
        [] => "keepalived up to 2.4.3 does not know it and ignores it".to_owned(),
        [(.., ""), ..] => "it belongs outside of any block; keepalived ignores it here".to_owned(),
        [(.., first), (false, _, second), ..] if !second.is_empty() => {
            format!("it belongs in {first} or {second}; keepalived ignores it here")
        }
        [(.., first), ..] => format!("it belongs in {first}; keepalived ignores it here"),
    };
    format!("unknown {place}: {hint}")
}

/// A statement as it may be shown: not too long, and without what is secret.
fn shown(statement: &Statement) -> String {
    let keyword = statement.keyword();
    if matches!(keyword, "auth_pass" | "password") {
        return format!("{keyword} ***");
    }
    if keyword == "key" {
        let id = statement.word(1).unwrap_or_default();
        return format!("{keyword} {id} ***");
    }
    statement.text.clone()
}

/// One line that is safe for a terminal.
fn printable(text: &str) -> String {
    let safe = |c: char| if c.is_control() { '?' } else { c };
    let mut shown: String = text.chars().take(SHOWN * 6).map(safe).collect();
    if shown.len() < text.len() {
        shown.push_str("..");
    }
    shown
}

#[cfg(test)]
mod tests {
    use crate::import::{Fate, convert};

    /// What is said of each statement of a text.
    fn said(text: &str) -> Vec<(usize, Fate, String)> {
        let entries = convert("f", text, "main").entries;
        entries.into_iter().map(|entry| (entry.place.line, entry.fate, entry.text)).collect()
    }

    #[test]
    fn what_stands_in_a_block_that_goes_goes_with_it() {
        let text = "vrrp_instance a {\n interface eth0\n authentication {\n auth_type PASS\n }\n}\n";
        for (line, fate, text) in said(text) {
            assert_eq!(fate, Fate::LeftOut, "{line}: {text}");
            assert!(!text.contains("nobody has said"), "{line}: {text}");
        }
        let text = "vrrp_instance a {\n interface eth0\n virtual_router_id 1\n track_script {\n x\n }\n \
            authentication {\n auth_type PASS\n }\n}\n";
        let told = said(text);
        assert_eq!(told.len(), 7, "{told:?}");
        for (line, _, text) in told {
            assert!(!text.contains("nobody has said"), "{line}: {text}");
        }
    }

    #[test]
    fn a_keyword_in_the_wrong_place_is_sent_where_it_does_something() {
        let told = said("smtp_alert\n");
        assert_eq!(
            told[0].2,
            "unknown outside of any block: it belongs in vrrp_instance or global_defs; keepalived ignores it here"
        );
    }

    #[test]
    fn words_after_a_command_without_quotes_are_said_to_be_none_of_its_arguments() {
        let text = "vrrp_script s {\n script /bin/test -e \"/tmp/a b\"\n}\nvrrp_instance a {\n interface eth0\n \
            virtual_router_id 1\n virtual_ipaddress {\n 192.0.2.10\n }\n track_script {\n s\n }\n \
            notify /bin/echo a b c\n notify_fault /bin/echo me\n}\n";
        let told = said(text);
        let of = |line: usize| {
            told.iter().filter(|one| one.0 == line).map(|one| one.2.as_str()).collect::<Vec<_>>()
        };
        let [script] = of(2)[..] else { panic!("{told:?}") };
        assert!(script.starts_with("script; without '-e /tmp/a b': there are no quotes"), "{script}");
        let [notify] = of(13)[..] else { panic!("{told:?}") };
        assert!(notify.starts_with("notify.script; without 'a b c': there are no quotes"), "{notify}");
        let [fault] = of(14)[..] else { panic!("{told:?}") };
        assert!(
            fault.contains("not as me: programs run as vipd-scripts; keepalived ignores it if"),
            "{fault}"
        );
    }

    #[test]
    fn an_address_whose_label_is_too_long_is_ignored_as_keepalived_does() {
        let text = "vrrp_instance a {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress {\n \
            192.0.2.10 label eth0:verylonglabel1\n 192.0.2.11 label eth0:web\n }\n}\n";
        let import = convert("f", text, "main");
        assert!(!import.yaml.contains("192.0.2.10"), "{}", import.yaml);
        assert!(import.yaml.contains("192.0.2.11"), "{}", import.yaml);
        let entry = import.entries.iter().find(|entry| entry.place.line == 5).unwrap();
        assert_eq!(entry.fate, Fate::Ignored);
    }
}
