//! From YAML text to a tree in which every key and every value knows its place and is still the text that
//! was written. Apart, because nothing else needs to know YAML.
//!
//! The parser's events are taken instead of deserialised values: YAML's guesses at types would have turned
//! `no` into false, `010` into 8 or 10 and `1_000` into 1000 before anybody could object. What would make a
//! file mean something else than it seems to say is refused here: duplicate keys, aliases, tags, directives
//! and second documents.

use crate::codes::Code;
use std::collections::BTreeMap;
use std::ops::Range;

use serde_yaml::granit_parser::{self, ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::problem::{Findings, Spot};

/// A value and where it begins.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) value: Value,
}

/// What a value is, before anybody asks what it means.
#[derive(Debug)]
pub(super) enum Value {
    /// Nothing was written after the colon.
    Empty,
    /// A scalar, as written.
    Text(String),
    /// `[a, b]` or a line with a dash for each.
    List(Vec<Node>),
    /// `{ a: b }` or a line for each, in the order written; no key occurs twice.
    Map(Vec<Entry>),
    /// Something that has been reported already.
    Faulty,
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) key: String,
    pub(super) value: Node,
}

/// How deep values may be nested in each style; the deepest that means anything is 4.
const DEEPEST: usize = 16;

/// Reads `text`, which holds one YAML document. Without an answer, why has been noted.
pub(super) fn parse(text: &str, findings: &Findings) -> Option<Node> {
    let mut options = granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    };
    options.set_emit_comments(false);
    let events = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder { events, path: Vec::new(), findings };
    match builder.document() {
        Ok(root) => root,
        Err(error) => {
            let marker = error.marker();
            let spot = Spot { line: marker.line(), column: marker.col() + 1, path: String::new() };
            findings.error(&spot, Code::Syntax, explained(error.kind()));
            None
        }
    }
}

/// A scalar of a file, and where it stands in it.
#[derive(Debug)]
pub(super) struct Scalar {
    /// The keys that lead to it, and to a key that it is one of.
    pub(super) path: Vec<String>,
    pub(super) is_key: bool,
    pub(super) text: String,
    /// In characters, with its quotes.
    pub(super) place: Range<usize>,
}

/// Every scalar of `text`, also of one that means nothing; None if it is not YAML.
pub(super) fn scalars(text: &str) -> Option<Vec<Scalar>> {
    let mut found = Vec::new();
    // Of each map around: the key whose value comes. Of each list: nothing.
    let mut around: Vec<Option<Option<String>>> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.ok()?;
        match event {
            Event::Scalar(value, ..) => {
                let path = around.iter().flatten().flatten().cloned().collect();
                let place = span.start.index()..span.end.index();
                let is_key = matches!(around.last(), Some(Some(None)));
                if let Some(Some(key)) = around.last_mut() {
                    *key = is_key.then(|| value.to_string());
                }
                found.push(Scalar { path, is_key, text: value.into_owned(), place });
            }
            // A key that is no scalar is none.
            Event::SequenceStart(..) | Event::MappingStart(..)
                if matches!(around.last(), Some(Some(None))) =>
            {
                return None;
            }
            Event::SequenceStart(..) => around.push(None),
            Event::MappingStart(..) => around.push(Some(None)),
            Event::SequenceEnd | Event::MappingEnd => {
                around.pop();
                if let Some(Some(key)) = around.last_mut() {
                    *key = None;
                }
            }
            Event::Alias(..) | Event::UnresolvedAlias(..) => return None,
            _ => {}
        }
    }
    Some(found)
}

struct Builder<'t> {
    events: Parser<'t, StrInput<'t>>,
    path: Vec<String>,
    findings: &'t Findings,
}

impl<'t> Builder<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, ScanError> {
        self.events.next_event().transpose()
    }

    fn document(&mut self) -> Result<Option<Node>, ScanError> {
        let mut root = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::DocumentStart(..) if root.is_some() => {
                    self.error(
                        &span,
                        Code::BeyondTrees,
                        "a second document begins here; write everything into one",
                    );
                    return Ok(None);
                }
                Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => root = Some(self.node(event, &span)?),
            }
        }
        if root.as_ref().is_none_or(|root| matches!(root.value, Value::Empty)) {
            let top = Spot { line: 1, column: 1, path: String::new() };
            self.findings.error(
                &top,
                Code::FileEmpty,
                "the file is empty; write at least one instance under 'instances:'",
            );
            return Ok(None);
        }
        Ok(root)
    }

    /// The node that begins with `event`.
    fn node(&mut self, event: Event<'t>, span: &Span) -> Result<Node, ScanError> {
        if event.tag().is_some() {
            self.error(
                span,
                Code::BeyondTrees,
                "tags ('!..') are not supported; write the value alone, in quotes if need be",
            );
        }
        let value = match event {
            // Where nothing was written the parser says '~', with an empty span.
            Event::Scalar(_, ScalarStyle::Plain, ..) if span.is_empty() => Value::Empty,
            Event::Scalar(text, ..) => Value::Text(text.into_owned()),
            Event::SequenceStart(..) => Value::List(self.list()?),
            Event::MappingStart(..) => Value::Map(self.map()?),
            Event::Alias(..) | Event::UnresolvedAlias(..) => {
                self.error(span, Code::BeyondTrees, "aliases ('*..') are not supported; write the value out");
                Value::Faulty
            }
            _ => Value::Faulty,
        };
        Ok(Node { line: span.start.line(), column: span.start.col() + 1, value })
    }

    fn list(&mut self) -> Result<Vec<Node>, ScanError> {
        let mut nodes = Vec::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            self.path.push(format!("[{}]", nodes.len()));
            nodes.push(self.node(event, &span)?);
            self.path.pop();
        }
        Ok(nodes)
    }

    fn map(&mut self) -> Result<Vec<Entry>, ScanError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut lines = BTreeMap::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event, &span)?;
            let name = if let Value::Text(name) = key.value { Some(name) } else { None };
            self.path.push(name.clone().unwrap_or_default());
            let first = name.clone().and_then(|name| lines.insert(name, key.line));
            if name.is_none() {
                self.error(&span, Code::Syntax, "this is no key; write a name and a colon");
            } else if let Some(first) = first {
                self.error(
                    &span,
                    Code::KeyTwice,
                    &format!("written twice, the first time in line {first}; keep one of them"),
                );
            }
            let value = match self.next()? {
                Some((event, span)) => self.node(event, &span)?,
                None => Node { line: key.line, column: key.column, value: Value::Empty },
            };
            self.path.pop();
            if let (Some(key_text), None) = (name, first) {
                entries.push(Entry { line: key.line, column: key.column, key: key_text, value });
            }
        }
        Ok(entries)
    }

    fn error(&self, span: &Span, code: Code, what: &str) {
        let path = self.path.iter().fold(String::new(), |path, step| joined(&path, step));
        let spot = Spot { line: span.start.line(), column: span.start.col() + 1, path };
        self.findings.error(&spot, code, what);
    }
}

/// The path one step further: a key after a dot, an index as it is.
pub(super) fn joined(path: &str, step: &str) -> String {
    let dot = if path.is_empty() || step.starts_with('[') { "" } else { "." };
    format!("{path}{dot}{step}")
}

/// A syntax error in the operator's words, where the parser's own are not enough.
fn explained(kind: &ErrorKind) -> String {
    let known = match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => "a tab cannot indent; write spaces",
        ErrorKind::UnclosedQuotedScalar => "this quote is never closed; write the other one",
        ErrorKind::InvalidQuotedScalarIndent | ErrorKind::DocumentIndicatorInQuotedScalar => {
            "a quote is open here; close it above, or indent this line"
        }
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping => "this bracket is never closed; write the other one",
        ErrorKind::MismatchedFlowCollectionEnd { .. } => "this bracket is closed by one of the other kind",
        ErrorKind::MisplacedFlowCollectionEnd => {
            "this bracket closes nothing; remove it, or write the one that opens"
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => {
            "a comma or the closing bracket is missing before this"
        }
        ErrorKind::MappingValueNotAllowed => {
            "a ': ' where no key can be; put the value into quotes if it belongs to it, or end the line above with ':'"
        }
        ErrorKind::SimpleKeyExpected => "this is neither a key nor part of a list; write KEY: VALUE",
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::InvalidIndentation
        | ErrorKind::ExpectedDocumentStart => {
            "this is not indented like the lines it belongs to; let keys of one level begin in one column"
        }
        ErrorKind::RecursionLimitExceeded => "nested too deeply; nothing here has so many levels",
        ErrorKind::DirectiveDisallowed => "directives ('%..') are not supported; remove the line",
        other => return format!("not valid YAML: {other}"),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Node {
        let findings = Findings::default();
        let root = parse(text, &findings);
        findings.finish("f").unwrap();
        root.unwrap()
    }

    fn entries(node: &Node) -> &[Entry] {
        if let Value::Map(entries) = &node.value { entries } else { panic!("{node:?}") }
    }

    fn refused(text: &str) -> String {
        let findings = Findings::default();
        parse(text, &findings);
        let Err(found) = findings.finish("f") else { return "nothing".to_owned() };
        let without = |text: String, code: Code| text.replace(&format!(" [{code}]"), "");
        found.problems.iter().fold(found.to_string(), |text, problem| without(text, problem.code))
    }

    #[test]
    fn every_scalar_stays_the_text_that_was_written() {
        let root =
            parsed("{a: no, b: 010, c: 1_000, d: 0x10, e: 1.50, f: ~, g: 'x: y', h: 2001-01-01, i: .inf}");
        let texts: Vec<_> = entries(&root)
            .iter()
            .map(|entry| if let Value::Text(text) = &entry.value.value { text.as_str() } else { "?" })
            .collect();
        assert_eq!(texts, ["no", "010", "1_000", "0x10", "1.50", "~", "x: y", "2001-01-01", ".inf"]);
    }

    #[test]
    fn keys_and_values_know_their_place_in_characters() {
        let root = parsed("# comment\nké:\n  - a\n  - {x: é, y: z}\n");
        let entry = &entries(&root)[0];
        assert_eq!((entry.line, entry.column, entry.key.as_str()), (2, 1, "ké"));
        let Value::List(list) = &entry.value.value else { panic!("{entry:?}") };
        assert_eq!((list[0].line, list[0].column), (3, 5));
        let inner = &entries(&list[1])[1];
        assert_eq!((inner.line, inner.column, inner.value.column), (4, 12, 15));
    }

    #[test]
    fn a_byte_order_mark_and_crlf_are_no_part_of_the_text() {
        let root = parsed("\u{feff}a: b\r\nc: d\r\n");
        assert_eq!(entries(&root)[1].key, "c");
        assert!(matches!(&entries(&root)[0].value.value, Value::Text(text) if text == "b"));
    }

    #[test]
    fn nothing_written_is_told_from_an_empty_text() {
        let root = parsed("a:\nb: ''\n");
        assert!(matches!(entries(&root)[0].value.value, Value::Empty));
        assert!(matches!(&entries(&root)[1].value.value, Value::Text(text) if text.is_empty()));
    }

    #[test]
    fn what_yaml_has_beyond_trees_is_refused_in_place() {
        for (text, said) in [
            ("", "f:1:1: the file is empty; write at least one instance under 'instances:'"),
            (
                "# only a comment\n",
                "f:1:1: the file is empty; write at least one instance under 'instances:'",
            ),
            ("---\n...\n", "f:1:1: the file is empty; write at least one instance under 'instances:'"),
            ("a: &x 1\nb: *x\n", "f:2:4: b: aliases ('*..') are not supported; write the value out"),
            ("a: {b: [*x]}\n", "f:1:9: a.b[0]: aliases ('*..') are not supported; write the value out"),
            (
                "a: !!str 1\n",
                "f:1:10: a: tags ('!..') are not supported; write the value alone, in quotes if need be",
            ),
            ("a: {b: 1, b: 2}\n", "f:1:11: a.b: written twice, the first time in line 1; keep one of them"),
            ("[a]: b\n", "f:1:1: this is no key; write a name and a colon"),
            ("a: 1\n---\nb: 2\n", "f:2:1: a second document begins here; write everything into one"),
            ("%YAML 1.2\n---\na: 1\n", "f:1:1: directives ('%..') are not supported; remove the line"),
        ] {
            assert_eq!(refused(text), format!("{said}\n1 problem"), "{text}");
        }
    }

    #[test]
    fn syntax_errors_say_what_to_write() {
        for (text, said) in [
            ("a:\n\tb: 1\n", "f:2:2: a tab cannot indent; write spaces"),
            ("a: 'x", "f:1:4: this quote is never closed; write the other one"),
            ("a: 'x\nb: 1\n", "f:2:1: a quote is open here; close it above, or indent this line"),
            ("a: [1, 2\n", "f:1:4: this bracket is never closed; write the other one"),
            ("a: [1}\n", "f:1:4: this bracket is closed by one of the other kind"),
            ("]\n", "f:1:1: this bracket closes nothing; remove it, or write the one that opens"),
            (
                "a: b: c\n",
                "f:1:5: a ': ' where no key can be; put the value into quotes if it belongs to it, or end the line above with ':'",
            ),
            ("a: 1\nb\n", "f:2:1: this is neither a key nor part of a list; write KEY: VALUE"),
            (
                "a:\n  b\n    c: 1\n",
                "f:3:6: a ': ' where no key can be; put the value into quotes if it belongs to it, or end the line above with ':'",
            ),
            (
                "a: 1\n  b: 2\n",
                "f:2:4: a ': ' where no key can be; put the value into quotes if it belongs to it, or end the line above with ':'",
            ),
            (
                "  a: 1\n b: 2\n",
                "f:2:2: this is not indented like the lines it belongs to; let keys of one level begin in one column",
            ),
            ("a: {b: 1 c: 2}\n", "f:1:11: a comma or the closing bracket is missing before this"),
        ] {
            assert_eq!(refused(text), format!("{said}\n1 problem"), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded_in_every_style() {
        for text in ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(1000), "? ".repeat(1000)] {
            let said = refused(&text);
            assert!(said.contains("nested too deeply"), "{said}");
        }
    }
}
