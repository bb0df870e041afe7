//! YAML on its way out, with comments and in the order in which somebody would write it by hand.

use std::fmt::Write as _;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A scalar.
    Text(String),
    /// On one line if it is short, otherwise a line for each.
    List(Vec<Value>),
    /// A line for each key.
    Map(Map),
    /// In braces on one line.
    Inline(Map),
}

/// Keys in the order given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Map {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    key: String,
    value: Value,
    /// Lines that stand above it.
    above: Vec<String>,
}

impl<T: Into<String>> From<T> for Value {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

impl Value {
    /// A list of texts.
    pub(super) fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(Self::from).collect())
    }
}

impl Map {
    /// Adds a key, or gives it another value.
    pub(super) fn set(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.entries.iter_mut().find(|entry| entry.key == key) {
            Some(entry) => entry.value = value,
            None => self.entries.push(Entry { key: key.to_owned(), value, above: Vec::new() }),
        }
    }

    /// Adds a key below lines of comment.
    pub(super) fn set_below(&mut self, comments: Vec<String>, key: &str, value: impl Into<Value>) {
        self.set(key, value);
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == key) {
            entry.above = comments;
        }
    }

    /// Takes a key away.
    pub(super) fn remove(&mut self, key: &str) {
        self.entries.retain(|entry| entry.key != key);
    }

    /// Whether there is a key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// Adds all keys of another.
    pub(super) fn extend(&mut self, other: Self) {
        self.entries.extend(other.entries);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The text, every line of it indented by so many spaces.
    pub(super) fn write(&self, out: &mut String, indent: usize) {
        for (index, entry) in self.entries.iter().enumerate() {
            let pad = " ".repeat(indent);
            // Air between the large parts.
            let airy = indent <= 2 && matches!(entry.value, Value::Map(_));
            if airy && (index > 0 || indent == 0) {
                out.push('\n');
            }
            for line in &entry.above {
                push(out, format_args!("{pad}# {line}\n"));
            }
            push(out, format_args!("{pad}{}:", scalar(&entry.key)));
            entry.value.write(out, indent);
        }
    }
}

/// How long a line may become.
const WIDTH: usize = 100;

impl Value {
    fn write(&self, out: &mut String, indent: usize) {
        match self {
            Self::Map(map) if !map.is_empty() => {
                out.push('\n');
                map.write(out, indent + 2);
            }
            Self::List(items) if items.len() > 1 && indent + self.inline().len() > WIDTH => {
                out.push('\n');
                for item in items {
                    push(out, format_args!("{}- {}\n", " ".repeat(indent + 2), item.inline()));
                }
            }
            _ => push(out, format_args!(" {}\n", self.inline())),
        }
    }

    fn inline(&self) -> String {
        match self {
            Self::Text(text) => scalar(text),
            Self::List(items) => {
                format!("[{}]", items.iter().map(Self::inline).collect::<Vec<_>>().join(", "))
            }
            Self::Map(map) | Self::Inline(map) => {
                let one = |entry: &Entry| format!("{}: {}", scalar(&entry.key), entry.value.inline());
                format!("{{ {} }}", map.entries.iter().map(one).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // A string takes everything.
    if out.write_fmt(text).is_err() {}
}

/// A scalar that is read as it was meant, within brackets too.
fn scalar(text: &str) -> String {
    let first = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.');
    let signed = text.strip_prefix('-').unwrap_or(text);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.' | '-' | '+' | '=' | '@');
    if signed.starts_with(first) && text.chars().all(|c| plain(c) || c == '-') {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                push(&mut out, format_args!("\\U{:08x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_only_where_they_have_to_be() {
        for (text, written) in [
            ("eth0", "eth0"),
            ("-60", "-60"),
            ("192.0.2.10/24", "192.0.2.10/24"),
            ("2001:db8::1", "\"2001:db8::1\""),
            ("a b", "\"a b\""),
            ("--flag", "\"--flag\""),
            ("-", "\"-\""),
            ("", "\"\""),
            ("#x", "\"#x\""),
            ("a\"\\\n\u{1}", "\"a\\\"\\\\\\n\\U00000001\""),
            ("~", "\"~\""),
        ] {
            assert_eq!(scalar(text), written);
        }
    }

    #[test]
    fn maps_keep_their_order_and_their_comments() {
        let mut map = Map::default();
        let (mut web, mut instances) = (Map::default(), Map::default());
        web.set("interface", "eth0");
        web.set("addresses", Value::texts(["192.0.2.1", "2001:db8::1"]));
        web.set_below(vec!["why".to_owned()], "priority", "5");
        web.set("priority", "6");
        instances.set("web", Value::Map(web));
        map.set("instances", Value::Map(instances));
        let mut out = String::new();
        map.write(&mut out, 0);
        assert_eq!(
            out,
            "\ninstances:\n  web:\n    interface: eth0\n    addresses: [192.0.2.1, \"2001:db8::1\"]\n    # why\n    priority: 6\n"
        );
    }
}
