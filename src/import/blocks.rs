//! Lines become statements, and statements have blocks, as keepalived's own parser sees them.
//!
//! That parser knows no grammar beyond "this keyword has a block": a keyword it does not know is passed over, but the braces
//! behind it are not, so that a misspelt block closes the one around it. What follows is then outside of any block, and it
//! says so line by line. This does the same: what keepalived did not read is not to be converted.

use super::language::{Line, Note, Place, escaped_words, words};

/// A keyword with its values.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) place: Place,
    /// The whole line.
    pub(super) text: String,
    /// Its words, the keyword first; never empty.
    pub(super) words: Vec<String>,
    /// What stands in its braces.
    pub(super) block: Vec<Statement>,
}

impl Statement {
    fn new(line: Line) -> Self {
        let words = words(&line.text);
        let words = if words.is_empty() { vec![String::new()] } else { words };
        Self { place: line.place, text: line.text, words, block: Vec::new() }
    }

    /// The keyword; in a block of values the first of them.
    pub(super) fn keyword(&self) -> &str {
        &self.words[0]
    }

    /// The word at `index`, the keyword being 0.
    pub(super) fn word(&self, index: usize) -> Option<&str> {
        self.words.get(index).map(String::as_str)
    }

    /// The words after the keyword with quotes and escapes as scripts have them.
    pub(super) fn escaped(&self) -> Option<Vec<String>> {
        escaped_words(&self.text).map(|words| words.into_iter().skip(1).collect())
    }
}

/// What follows a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Words on its line.
    Line,
    /// Keywords of its own in braces; the name is the table's.
    Block(&'static str),
    /// Values in braces, a line each.
    Values,
}

fn shape(block: &str, keyword: &str) -> Shape {
    match (block, keyword) {
        ("", "global_defs") => Shape::Block("global_defs"),
        ("", "vrrp_instance") => Shape::Block("vrrp_instance"),
        ("", "vrrp_sync_group") => Shape::Block("vrrp_sync_group"),
        ("", "vrrp_script") => Shape::Block("vrrp_script"),
        ("", "track_file" | "vrrp_track_file") => Shape::Block("vrrp_track_file"),
        ("", "vrrp_track_process") => Shape::Block("vrrp_track_process"),
        ("", "garp_group") => Shape::Block("garp_group"),
        ("", "track_group") => Shape::Block("track_group"),
        ("", "bfd_instance") => Shape::Block("bfd_instance"),
        ("", "virtual_server") => Shape::Block("virtual_server"),
        ("", "SSL") => Shape::Block("SSL"),
        ("virtual_server", "real_server") => Shape::Block("real_server"),
        ("real_server", "HTTP_GET" | "SSL_GET") => Shape::Block("checker"),
        ("real_server", check) if check.ends_with("_CHECK") => Shape::Block("checker"),
        ("checker", "url") => Shape::Block("url"),
        ("checker", "host") => Shape::Block("host"),
        ("vrrp_instance", "authentication") => Shape::Block("authentication"),
        ("vrrp_instance", "auth_hmac") => Shape::Block("auth_hmac"),
        (
            "",
            "static_ipaddress"
            | "static_routes"
            | "static_rules"
            | "linkbeat_interfaces"
            | "interface_up_down_delays"
            | "virtual_server_group",
        )
        | ("global_defs", "notification_email")
        | (
            "vrrp_instance",
            "virtual_ipaddress"
            | "virtual_ipaddress_excluded"
            | "virtual_routes"
            | "virtual_rules"
            | "unicast_peer",
        )
        | (
            "vrrp_instance" | "vrrp_sync_group",
            "track_interface" | "track_script" | "track_file" | "track_process" | "track_bfd",
        )
        | ("vrrp_sync_group" | "track_group", "group")
        | ("garp_group", "interfaces") => Shape::Values,
        _ => Shape::Line,
    }
}

/// The statements outside of any block, each with its own; braces that do not fit are noted.
pub(super) fn parse(lines: Vec<Line>, notes: &mut Vec<Note>) -> Vec<Statement> {
    let mut parser = Parser { lines: lines.into_iter().peekable(), notes };
    parser.statements("", None)
}

struct Parser<'n> {
    lines: std::iter::Peekable<std::vec::IntoIter<Line>>,
    notes: &'n mut Vec<Note>,
}

impl Parser<'_> {
    fn note(&mut self, place: &Place, statement: &str, what: &str) {
        self.notes.push(Note {
            place: place.clone(),
            statement: statement.to_owned(),
            what: what.to_owned(),
        });
    }

    /// The statements up to the brace that closes the block opened by `opener`.
    fn statements(&mut self, block: &str, opener: Option<&Statement>) -> Vec<Statement> {
        let mut found = Vec::new();
        while let Some(line) = self.lines.next() {
            match line.text.as_str() {
                "}" if opener.is_some() => return found,
                "}" => self.note(&line.place, "}", "closes nothing; keepalived ignores it"),
                "{" => self.note(
                    &line.place,
                    "{",
                    "nothing here has a block; keepalived ignores the brace alone",
                ),
                _ => {
                    let mut statement = Statement::new(line);
                    match shape(block, statement.keyword()) {
                        Shape::Line => {}
                        Shape::Block(name) => {
                            self.open(&statement);
                            statement.block = self.statements(name, Some(&statement));
                        }
                        Shape::Values => {
                            if self.open(&statement) {
                                statement.block = self.values(&statement);
                            }
                        }
                    }
                    found.push(statement);
                }
            }
        }
        if let Some(opener) = opener {
            self.unclosed(opener);
        }
        found
    }

    /// The brace after a keyword that has a block; whether it was there.
    fn open(&mut self, statement: &Statement) -> bool {
        let there = self.lines.next_if(|line| line.text == "{").is_some();
        if !there {
            self.note(
                &statement.place,
                &statement.text,
                "no '{' follows; keepalived goes on as if there were one",
            );
        }
        there
    }

    fn values(&mut self, opener: &Statement) -> Vec<Statement> {
        let mut found = Vec::new();
        for line in self.lines.by_ref() {
            match line.text.as_str() {
                "}" => return found,
                "{" => {}
                _ => found.push(Statement::new(line)),
            }
        }
        self.unclosed(opener);
        found
    }

    fn unclosed(&mut self, opener: &Statement) {
        self.note(&opener.place, &opener.text, "its '{' is never closed; the file ends inside");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn parsed(text: &str) -> (String, Vec<String>) {
        let file: Arc<str> = "f".into();
        let lines = text.lines().enumerate();
        let lines = lines.map(|(at, text)| Line {
            place: Place { file: Arc::clone(&file), line: at + 1 },
            text: text.to_owned(),
        });
        let mut notes = Vec::new();
        let statements = parse(lines.collect(), &mut notes);
        (
            shown(&statements),
            notes.into_iter().map(|note| format!("{}: {}", note.place.line, note.what)).collect(),
        )
    }

    fn shown(statements: &[Statement]) -> String {
        let one = |statement: &Statement| {
            let inside = if statement.block.is_empty() {
                String::new()
            } else {
                format!("({})", shown(&statement.block))
            };
            format!("{}{inside}", statement.words.join(" "))
        };
        statements.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn keywords_have_blocks_of_keywords_and_of_values() {
        let text = "vrrp_instance V\n{\nauthentication\n{\nauth_type PASS\n}\ntrack_script\n{\na weight 1\nb\n}\n}\nrouter_id x";
        let (shown, notes) = parsed(text);
        assert_eq!(
            shown,
            "vrrp_instance V(authentication(auth_type PASS); track_script(a weight 1; b)); router_id x"
        );
        assert_eq!(notes, [""; 0]);
    }

    #[test]
    fn a_misspelt_block_closes_the_one_around_it() {
        let (shown, notes) = parsed("vrrp_instance V\n{\nvirtual_ip\n{\n192.0.2.1\n}\npriority 9\n}");
        assert_eq!(shown, "vrrp_instance V(virtual_ip; 192.0.2.1); priority 9");
        assert_eq!(notes.len(), 2, "{notes:?}");
    }

    #[test]
    fn braces_that_are_missing_are_noted() {
        let (shown, notes) = parsed("vrrp_instance V\npriority 9\n");
        assert_eq!(shown, "vrrp_instance V(priority 9)");
        assert_eq!(notes.len(), 2, "{notes:?}");
    }
}
