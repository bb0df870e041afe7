//! `$NAME=VALUE` and what stands for it: definitions of the file's own and those that keepalived brings along.

use std::collections::BTreeMap;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Definition {
    /// Text within a line.
    Line(String),
    /// Whole lines, which replace the end of a line.
    Lines(Vec<String>),
}

/// All definitions at one place of the file: they may change further down.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    own: BTreeMap<String, Definition>,
}

/// What the predefined names stand for.
#[derive(Debug)]
pub(super) struct Surroundings<'s> {
    /// `_PWD`: the directory of the file.
    pub(super) directory: &'s str,
    /// `_INSTANCE`: the configuration id.
    pub(super) id: &'s str,
}

/// A line whose first name has been replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    pub(super) line: String,
    /// Lines that follow it, from a definition of several.
    pub(super) more: Vec<String>,
    /// The name was `_RANDOM`.
    pub(super) random: bool,
}

impl Definitions {
    /// Sets what `name` stands for from now on.
    pub(super) fn set(&mut self, name: &str, definition: Definition) {
        self.own.insert(name.to_owned(), definition);
    }

    /// Replaces the first name in `line` that stands for something; none if nothing does.
    pub(super) fn replace(&self, line: &str, around: &Surroundings<'_>) -> Option<Replaced> {
        line.match_indices('$').find_map(|(at, _)| self.replace_at(line, at, around))
    }

    fn replace_at(&self, line: &str, at: usize, around: &Surroundings<'_>) -> Option<Replaced> {
        let (before, after) = (&line[..at], &line[at + 1..]);
        let (name, arguments, rest) = reference(after)?;
        let inline = |text: &str, random| {
            Some(Replaced { line: format!("{before}{text}{rest}"), more: Vec::new(), random })
        };
        match self.own.get(name) {
            Some(Definition::Line(text)) if arguments.is_empty() => inline(text, false),
            // Whole lines replace the end of a line, not its middle.
            Some(Definition::Lines(lines)) if arguments.is_empty() && rest.is_empty() => {
                let (first, more) = lines.split_first().map_or(("", &[][..]), |(a, b)| (a.as_str(), b));
                Some(Replaced { line: format!("{before}{first}"), more: more.to_vec(), random: false })
            }
            Some(_) => None,
            None => match (name, arguments) {
                ("_PWD", "") => inline(around.directory, false),
                ("_INSTANCE", "") => inline(around.id, false),
                ("_HASH", "") => inline("#", false),
                ("_BANG", "") => inline("!", false),
                ("_RANDOM", range) => inline(range.split_whitespace().next().unwrap_or("0"), true),
                ("_ENV", variable) => {
                    std::env::var(variable.trim()).ok().and_then(|value| inline(&value, false))
                }
                _ => None,
            },
        }
    }
}

/// The name, the arguments and what follows, from behind a `$`.
fn reference(after: &str) -> Option<(&str, &str, &str)> {
    if let Some(inside) = after.strip_prefix('{') {
        let (inside, rest) = inside.split_once('}')?;
        let (name, arguments) = inside.split_once(' ').unwrap_or((inside, ""));
        return is_name(name).then_some((name, arguments.trim(), rest));
    }
    let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
    let (name, rest) = after.split_at(end);
    let ends = rest.chars().next().is_none_or(|c| c.is_whitespace() || matches!(c, ',' | ')'));
    (is_name(name) && ends).then_some((name, "", rest))
}

/// The name and the text of a line that defines something.
pub(super) fn definition(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix('$')?.split_once('=')?;
    is_name(name).then(|| (name, value.trim_start()))
}

fn is_name(text: &str) -> bool {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    first && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const AROUND: Surroundings<'_> = Surroundings { directory: "/etc/keepalived", id: "lb1" };

    fn replaced(line: &str) -> Option<String> {
        let mut definitions = Definitions::default();
        definitions.set("A", Definition::Line("one".to_owned()));
        definitions.set("M", Definition::Lines(vec!["first".to_owned(), "second".to_owned()]));
        let Replaced { line, more, .. } = definitions.replace(line, &AROUND)?;
        Some([vec![line], more].concat().join("|"))
    }

    #[test]
    fn a_name_ends_where_a_word_does_or_at_its_brace() {
        for (line, made) in [
            ("x $A y", Some("x one y")),
            ("x.${A}.y", Some("x.one.y")),
            ("x $A.y", None),
            ("x ${B}", None),
            ("~SEQ(i,1,$A)", Some("~SEQ(i,1,one)")),
            ("$M", Some("first|second")),
            ("$M x", None),
            ("${_PWD}/a ${_INSTANCE}", Some("/etc/keepalived/a ${_INSTANCE}")),
            ("a${_HASH}b", Some("a#b")),
            ("${_RANDOM 3 9}", Some("3")),
            ("$5 a$ ${", None),
        ] {
            assert_eq!(replaced(line).as_deref(), made, "{line}");
        }
    }

    #[test]
    fn a_definition_has_a_name_and_an_equals_sign() {
        assert_eq!(definition("$A=b c"), Some(("A", "b c")));
        assert_eq!(definition("$A="), Some(("A", "")));
        assert_eq!(definition("$A =b"), None);
        assert_eq!(definition("$1=b"), None);
    }
}
