//! Reading values out of the tree: each reader takes what it knows, notes what is wrong in its place, and goes
//! on. `None` always means that the reason has been noted.

use super::problem::{At, Findings, Spot};
use super::spelling;
use super::tree::{Entry, Node, Value, joined};
use crate::codes::Code;

/// A value in the tree with its path.
#[derive(Clone, Debug)]
pub(super) struct Item<'t> {
    node: &'t Node,
    /// Where the value stands.
    pub(super) spot: Spot,
    /// Where its key stands: what is missing inside is missing there.
    key: Spot,
    /// The key itself; empty at the top and in lists.
    name: &'t str,
    pub(super) findings: &'t Findings,
}

impl<'t> Item<'t> {
    /// The whole file.
    pub(super) fn root(node: &'t Node, findings: &'t Findings) -> Self {
        let spot = Spot { line: node.line, column: node.column, path: String::new() };
        Self { node, key: spot.clone(), name: "", spot, findings }
    }

    fn child(&self, entry: &'t Entry) -> Self {
        let path = joined(&self.spot.path, &entry.key);
        let key = Spot { line: entry.line, column: entry.column, path: path.clone() };
        let spot = Spot { line: entry.value.line, column: entry.value.column, path };
        Self { node: &entry.value, spot, key, name: &entry.key, findings: self.findings }
    }

    /// Notes that the value is wrong.
    pub(super) fn error<T>(&self, code: Code, what: impl AsRef<str>) -> Option<T> {
        self.findings.error(&self.spot, code, what);
        None
    }

    /// `value`, said to stand here.
    pub(super) fn at<T>(&self, value: T) -> At<T> {
        At { spot: self.spot.clone(), value }
    }

    /// The name that stands before the colon.
    pub(super) fn name(&self) -> At<String> {
        At { spot: self.key.clone(), value: self.name.to_owned() }
    }

    /// Whether the value is written as a list.
    pub(super) const fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }

    /// Whether the value has keys of its own.
    pub(super) const fn is_table(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// The text of a scalar; `expected` ends the sentence "write ..".
    pub(super) fn text(&self, expected: &str) -> Option<&'t str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            Value::Empty => self.error(Code::NoValue, format!("has no value; write {expected}")),
            Value::List(_) => self.error(Code::WrongShape, format!("is a list; write {expected}")),
            Value::Map(_) => self.error(Code::WrongShape, format!("has keys of its own; write {expected}")),
            Value::Faulty => None,
        }
    }

    /// A scalar that `parse` understands, or refuses with a whole sentence.
    pub(super) fn read<T>(
        &self,
        expected: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let text = self.text(expected)?;
        match parse(text) {
            Ok(value) => Some(self.at(value)),
            // Quoted in full it would push the remedy out of sight.
            Err(_) if text.len() > LONG => self
                .error(Code::BadValue, format!("'{}' is much too long; write {expected}", shortened(text))),
            Err(what) => self.error(Code::BadValue, what),
        }
    }

    /// `true` or `false`, and none of the other words for them.
    pub(super) fn truth(&self) -> Option<At<bool>> {
        self.read("true or false", |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("'{text}' is not true or false; write true or false")),
        })
    }

    /// Whether the value is written as a plain text.
    pub(super) const fn is_text(&self) -> bool {
        matches!(self.node.value, Value::Text(_))
    }

    /// A list with something in it.
    pub(super) fn list(&self, expected: &str) -> Option<Vec<Item<'t>>> {
        match &self.node.value {
            Value::List(nodes) if nodes.is_empty() => {
                self.error(Code::NoValue, format!("is empty; write {expected}"))
            }
            Value::List(nodes) => {
                Some(nodes.iter().enumerate().map(|(i, node)| self.element(i, node)).collect())
            }
            Value::Empty => self.error(Code::NoValue, format!("has no value; write {expected}")),
            Value::Text(text) => {
                self.error(Code::WrongShape, format!("'{}' is no list; write {expected}", shortened(text)))
            }
            Value::Map(_) => self.error(Code::WrongShape, format!("is no list; write {expected}")),
            Value::Faulty => None,
        }
    }

    /// A list that may be empty.
    pub(super) fn any_list(&self, expected: &str) -> Option<Vec<Item<'t>>> {
        match &self.node.value {
            Value::List(nodes) if nodes.is_empty() => Some(Vec::new()),
            _ => self.list(expected),
        }
    }

    /// Whether the value has keys.
    pub(super) const fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    fn element(&self, index: usize, node: &'t Node) -> Self {
        let path = joined(&self.spot.path, &format!("[{index}]"));
        let spot = Spot { line: node.line, column: node.column, path };
        Self { node, key: spot.clone(), name: "", spot, findings: self.findings }
    }

    /// A list with something in it, or a single value that stands for a list of one.
    pub(super) fn one_or_list(&self, expected: &str) -> Option<Vec<Item<'t>>> {
        if self.is_list() { self.list(expected) } else { Some(vec![self.clone()]) }
    }

    /// Entries whose keys are names of the operator's, at least one.
    pub(super) fn entries(&self, expected: &str) -> Option<Vec<Item<'t>>> {
        let entries = self.map(expected)?;
        if entries.is_empty() {
            return self.error(Code::NoValue, format!("is empty; write {expected}"));
        }
        Some(entries.iter().map(|entry| self.child(entry)).collect())
    }

    /// Entries whose keys are ours; `expected` ends the sentence "write ..".
    pub(super) fn table(&self, expected: &str) -> Option<Table<'t>> {
        let entries = self.map(expected)?;
        Some(Table {
            entries: entries.iter().map(|entry| (entry, self.child(entry))).collect(),
            item: self.clone(),
        })
    }

    /// The same, or none where this one word stands instead.
    #[expect(clippy::option_option, reason = "what is wrong has been noted, what is left out is right")]
    pub(super) fn table_or(&self, word: &str, expected: &str) -> Option<Option<Table<'t>>> {
        match &self.node.value {
            Value::Text(text) if text == word => Some(None),
            _ => self.table(expected).map(Some),
        }
    }

    fn map(&self, expected: &str) -> Option<&'t [Entry]> {
        match &self.node.value {
            Value::Map(entries) => Some(entries),
            Value::Empty => self.error(Code::NoValue, format!("has no value; write {expected}")),
            Value::Text(text) => self.error(
                Code::WrongShape,
                format!("'{}' is no set of keys; write {expected}", shortened(text)),
            ),
            Value::List(_) => self.error(Code::WrongShape, format!("is a list; write {expected}")),
            Value::Faulty => None,
        }
    }
}

/// Something was wrong, and the reason has been noted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noted;

/// A set of keys of which we know all.
#[derive(Debug)]
pub(super) struct Table<'t> {
    entries: Vec<(&'t Entry, Item<'t>)>,
    item: Item<'t>,
}

impl<'t> Table<'t> {
    /// Where its key stands.
    pub(super) const fn place(&self) -> &Spot {
        &self.item.key
    }

    /// Notes what is wrong with it as a whole.
    pub(super) fn error(&self, code: Code, what: impl AsRef<str>) {
        self.item.findings.error(self.place(), code, what);
    }

    /// Notes every key that is not in `known`; `elsewhere` may say where it belongs.
    pub(super) fn only(&self, known: &[&str], elsewhere: impl Fn(&str) -> Option<String>) {
        for (entry, item) in &self.entries {
            if known.contains(&entry.key.as_str()) {
                continue;
            }
            let hint = match (elsewhere(&entry.key), spelling::nearest(&entry.key, known.iter().copied())) {
                (Some(place), _) => place,
                (None, Some(word)) => format!("did you mean '{word}'?"),
                (None, None) if entry.key == "<<" => "merge keys are not supported;".to_owned(),
                (None, None) => String::new(),
            };
            let gap = if hint.is_empty() { "" } else { " " };
            let known = known.join(", ");
            self.item.findings.error(
                &item.key,
                Code::UnknownKey,
                format!("unknown key;{gap}{hint} known here: {known}"),
            );
        }
    }

    /// The value of `key`, if it is written.
    pub(super) fn optional(&self, key: &str) -> Option<&Item<'t>> {
        self.entries.iter().find(|(entry, _)| entry.key == key).map(|(_, item)| item)
    }

    /// The value of `key`; notes when it is missing, with an example of what to write.
    pub(super) fn required(&self, key: &str, example: &str) -> Option<&Item<'t>> {
        let found = self.optional(key);
        if found.is_none() {
            let what = format!("'{key}' is missing; write for example '{key}: {example}'");
            self.item.findings.error(self.place(), Code::KeyMissing, what);
        }
        found
    }

    /// What `read` makes of `key`, if it is written.
    pub(super) fn maybe<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Item<'t>) -> Option<At<T>>,
    ) -> Result<Option<T>, Noted> {
        let Some(item) = self.optional(key) else { return Ok(None) };
        read(item).map(|at| Some(at.value)).ok_or(Noted)
    }

    /// What `read` makes of `key`, or `default` if it is not written.
    pub(super) fn or<T>(
        &self,
        key: &str,
        default: T,
        read: impl FnOnce(&Item<'t>) -> Option<At<T>>,
    ) -> Option<At<T>> {
        match self.optional(key) {
            Some(item) => read(item),
            None => Some(At { spot: self.place().clone(), value: default }),
        }
    }
}

/// The longest text that is quoted whole, in bytes.
const LONG: usize = 200;

fn shortened(text: &str) -> String {
    if text.len() <= LONG { text.to_owned() } else { text.chars().take(40).chain("..".chars()).collect() }
}
