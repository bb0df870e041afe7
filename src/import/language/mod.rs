//! keepalived's configuration language, down to plain lines: comments, included files, lines for one node only, definitions
//! and loops are gone, and every line and every brace knows the file and the line it comes from. Apart from what the lines
//! mean, which [`super::blocks`] knows.
//!
//! keepalived ignores what it does not understand and goes on; so does this, and notes it.

mod definitions;
mod files;
mod loops;
mod text;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use definitions::{Definition, Definitions, Surroundings};
pub(super) use text::{escaped_words, words};

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A line that means what it says, or a brace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) place: Place,
    pub(super) text: String,
}

/// Something that was not understood, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) place: Place,
    pub(super) statement: String,
    pub(super) what: String,
}

/// What came of the files.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) lines: Vec<Line>,
    pub(super) notes: Vec<Note>,
}

/// Where included files come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Includes {
    /// From the file system.
    Read,
    /// From nowhere.
    Refuse,
}

/// How deep files may include each other and definitions contain each other.
const DEEPEST: usize = 16;

/// How many lines, and how many bytes of them, definitions and loops may make.
const MOST_LINES: usize = 200_000;
const MOST_BYTES: usize = 8 << 20;

/// How long a line may become, and how often something in it may be replaced.
const LONGEST: usize = 16 << 10;
const MOST_REPLACED: usize = 256;

/// Reads `text`, which came from the file `path`.
pub(super) fn read(path: &Path, text: &str, id: &str, includes: Includes) -> Lines {
    let mut reader = Reader {
        id,
        includes,
        definitions: Definitions::default(),
        out: Lines::default(),
        bytes: 0,
        full: false,
    };
    reader.file(path, text, 0);
    reader.out
}

struct Reader<'r> {
    id: &'r str,
    includes: Includes,
    definitions: Definitions,
    out: Lines,
    bytes: usize,
    /// A limit was reached, and that was noted.
    full: bool,
}

/// The file that is being read.
struct Here<'h> {
    place: Place,
    /// The file's directory, as the file was named.
    directory: &'h Path,
    /// The same as a whole path.
    whole: &'h str,
    depth: usize,
}

impl Here<'_> {
    fn deeper(&self) -> Here<'_> {
        Here { place: self.place.clone(), depth: self.depth + 1, ..*self }
    }
}

impl Reader<'_> {
    fn note(&mut self, place: &Place, statement: &str, what: impl Into<String>) {
        self.out.notes.push(Note {
            place: place.clone(),
            statement: statement.to_owned(),
            what: what.into(),
        });
    }

    fn file(&mut self, path: &Path, text: &str, depth: usize) {
        let file: Arc<str> = path.display().to_string().into();
        let directory = path.parent().unwrap_or(Path::new(""));
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let whole = whole.parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned();
        // A definition whose lines are still coming.
        let mut open: Option<(String, Vec<String>)> = None;
        for (index, raw) in text.lines().enumerate() {
            let place = Place { file: Arc::clone(&file), line: index + 1 };
            let (line, unclosed) = text::decomment(raw);
            if unclosed {
                // Not the whole line: it may hold a password.
                let keyword = line.split_whitespace().next().unwrap_or_default().to_owned();
                self.note(
                    &place,
                    &keyword,
                    "a double quote is left open; keepalived takes the rest of the line",
                );
            }
            if let Some((name, mut lines)) = open.take() {
                let continues = line.strip_suffix('\\');
                let part = continues.unwrap_or(&line).trim_end();
                if !part.is_empty() {
                    lines.push(part.to_owned());
                }
                if continues.is_some() {
                    open = Some((name, lines));
                } else {
                    self.definitions.set(&name, Definition::Lines(lines));
                }
            } else if !line.is_empty() {
                open = self.line(line, &Here { place, directory, whole: &whole, depth });
            }
            if self.full {
                return;
            }
        }
        if let Some((name, lines)) = open {
            self.definitions.set(&name, Definition::Lines(lines));
        }
    }

    /// One line, until nothing in it can be replaced any more; answers with the definition of several lines that it begins.
    fn line(&mut self, mut line: String, here: &Here<'_>) -> Option<(String, Vec<String>)> {
        let mut more: Vec<String> = Vec::new();
        for _ in 0..MOST_REPLACED {
            if line.starts_with('@') {
                // Nothing, if it is for another node.
                line = self.for_this_node(&line).unwrap_or_default();
            }
            if let Some((name, value)) = definitions::definition(&line) {
                return self.define(name, value, here);
            }
            if line.starts_with('~') {
                self.repeat(&line, here);
                line.clear();
            }
            let around = Surroundings { directory: here.whole, id: self.id };
            let Some(replaced) = self.definitions.replace(&line, &around) else {
                self.emit(&line, here);
                // Lines of a definition are read when their turn comes: those before may define something.
                for line in more {
                    self.inner(line, here);
                }
                return None;
            };
            if replaced.random {
                let what = "keepalived draws a number at every start; the least one stands in the output";
                self.note(&here.place, "${_RANDOM}", what);
            }
            more = [replaced.more, more].concat();
            line = replaced.line;
            if line.len() > LONGEST {
                break;
            }
        }
        self.note(
            &here.place,
            "$",
            "a definition contains itself, or grows without end; the line is ignored",
        );
        None
    }

    /// A line that came out of a definition or a loop.
    fn inner(&mut self, line: String, here: &Here<'_>) {
        if here.depth >= DEEPEST {
            self.note(&here.place, "$", "definitions and loops are nested too deeply; the line is ignored");
        } else if !self.full && self.line(line, &here.deeper()).is_some() {
            self.note(&here.place, "$", "a definition of several lines inside of another is ignored");
        }
    }

    /// What follows `@ID` or `@^ID`, if it is for this node.
    fn for_this_node(&self, line: &str) -> Option<String> {
        let condition = line.strip_prefix('@')?;
        let (condition, rest) = condition.split_once([' ', '\t'])?;
        let wanted = condition.strip_prefix('^').map_or(condition == self.id, |other| other != self.id);
        wanted.then(|| rest.trim_start().to_owned())
    }

    fn define(&mut self, name: &str, value: &str, here: &Here<'_>) -> Option<(String, Vec<String>)> {
        if name.starts_with('_') {
            self.note(&here.place, &format!("${name}"), "names that begin with '_' are keepalived's own");
        }
        let Some(first) = value.strip_suffix('\\') else {
            self.definitions.set(name, Definition::Line(value.to_owned()));
            return None;
        };
        let first = first.trim_end();
        Some((name.to_owned(), if first.is_empty() { Vec::new() } else { vec![first.to_owned()] }))
    }

    fn repeat(&mut self, line: &str, here: &Here<'_>) {
        let around = Surroundings { directory: here.whole, id: self.id };
        let expand = |inside: &str| {
            let mut inside = inside.to_owned();
            for _ in 0..MOST_REPLACED {
                match self.definitions.replace(&inside, &around) {
                    Some(replaced) if replaced.line.len() <= LONGEST => inside = replaced.line,
                    _ => break,
                }
            }
            inside
        };
        match loops::read(line, expand) {
            Ok(found) => {
                for round in &found.rounds {
                    for (name, value) in found.names.iter().zip(round) {
                        self.definitions.set(name, Definition::Line(value.clone()));
                    }
                    self.inner(found.rest.to_owned(), here);
                    if self.full {
                        return;
                    }
                }
            }
            Err(why) => self.note(&here.place, line, format!("{why}; keepalived ignores the line")),
        }
    }

    fn emit(&mut self, line: &str, here: &Here<'_>) {
        if line.is_empty() {
            return;
        }
        let words = words(line);
        if let [keyword, pattern] = words.as_slice()
            && matches!(
                keyword.as_str(),
                "include" | "includer" | "includem" | "includew" | "includeb" | "includea"
            )
        {
            return self.include(line, pattern, here);
        }
        for part in text::at_braces(line) {
            self.bytes += part.len();
            if self.out.lines.len() >= MOST_LINES || self.bytes > MOST_BYTES {
                let what =
                    format!("more than {MOST_LINES} lines or {MOST_BYTES} bytes; the rest is left out");
                self.note(&here.place, part, what);
                self.full = true;
                return;
            }
            self.out.lines.push(Line { place: here.place.clone(), text: part.to_owned() });
        }
    }

    fn include(&mut self, line: &str, pattern: &str, here: &Here<'_>) {
        if here.depth >= DEEPEST {
            return self.note(&here.place, line, "files include each other too deeply; this one is left out");
        }
        if self.includes == Includes::Refuse {
            return self.note(&here.place, line, "no file is read here");
        }
        let found = files::matching(here.directory, pattern);
        if found.is_empty() {
            self.note(&here.place, line, "no file of this name; keepalived goes on without it");
        }
        for path in found {
            match files::read(&path) {
                Ok(text) => self.file(&path, &text, here.depth + 1),
                Err(why) => {
                    self.note(&here.place, &format!("include {}", path.display()), why);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(text: &str) -> Vec<String> {
        let read = read(Path::new("/etc/keepalived/keepalived.conf"), text, "main", Includes::Refuse);
        read.lines.into_iter().map(|line| line.text).collect()
    }

    fn notes(text: &str) -> Vec<String> {
        let read = read(Path::new("k.conf"), text, "main", Includes::Refuse);
        read.notes
            .into_iter()
            .map(|note| format!("{}: {}: {}", note.place, note.statement, note.what))
            .collect()
    }

    #[test]
    fn lines_for_other_nodes_are_gone() {
        let text =
            "@main priority 200\n@backup priority 100\n@^backup a\n@^main b\n@main\n$IF=@main\n$IF c\n";
        assert_eq!(lines(text), ["priority 200", "a", "c"]);
    }

    #[test]
    fn a_definition_is_replaced_where_it_is_used_with_what_it_means_there() {
        let text = "$BASE=10.2.${SUB}\n$SUB=0\n${BASE}.1/32\n$SUB=10\n${BASE}.1/32\n${NONE} $SUB";
        assert_eq!(lines(text), ["10.2.0.1/32", "10.2.10.1/32", "$", "{", "NONE", "}", "10"]);
    }

    #[test]
    fn a_definition_of_several_lines_is_a_block() {
        let text = "$V= \\\nvrrp_instance VI_${N} { \\\n  @main priority 2 \\\n  @other priority 1 \\\n}\n\
                    $N=1\n$V\n$N=2\n$V\nend";
        let one = |n: &str| [&format!("vrrp_instance VI_{n}"), "{", "priority 2", "}"].map(str::to_owned);
        assert_eq!(lines(text), [one("1").to_vec(), one("2").to_vec(), vec!["end".to_owned()]].concat());
    }

    #[test]
    fn definitions_of_several_lines_nest() {
        let text = "$IN= \\\nb ${N} \\\nc\n$OUT= \\\na \\\n$N=7 \\\n$IN \\\nd\n$OUT\n";
        assert_eq!(lines(text), ["a", "b 7", "c", "d"]);
    }

    #[test]
    fn loops_nest_and_know_definitions() {
        let text = "$LAST=2\n~SEQ(A,1,$LAST) ~LST(B,x,y) 10.${A}.${B}\n";
        assert_eq!(lines(text), ["10.1.x", "10.1.y", "10.2.x", "10.2.y"]);
        let text = "$V= \\\na ${I} { \\\n}\n~SEQ(I,1,2) $V\n";
        assert_eq!(lines(text), ["a 1", "{", "}", "a 2", "{", "}"]);
    }

    #[test]
    fn what_keepalived_brings_along_is_known() {
        let text = "file ${_PWD}/x\nname ${_INSTANCE}\nauth_pass a${_HASH}b${_BANG}\n";
        assert_eq!(lines(text), ["file /etc/keepalived/x", "name main", "auth_pass a#b!"]);
        assert_eq!(notes("p ${_RANDOM 5 9}").len(), 1);
    }

    #[test]
    fn what_never_ends_is_noted() {
        for text in [
            "$A=${A}\n${A}",
            "$A=${B}\n$B=${A}\n${A}",
            "$A=${A}${A}x\n${A}",
            "$A= \\\nb \\\n$A\n$A",
            "~SEQ(A,1,60000) ~SEQ(B,1,60000) ~SEQ(C,1,60000) x",
            "~SEQ(A,1,0,5) x",
            "script \"open",
        ] {
            assert!(!notes(text).is_empty(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([a-c@^$~={}()\\[\\]#!\"'\\\\ ,0-9\n]|\\$A|\\$\\{A\\}|~SEQ\\(A,1,3\\)|~LST\\(A,|include |\\\\\n){0,60}") {
            let read = read(Path::new("k.conf"), &text, "main", Includes::Refuse);
            let count = text.lines().count();
            for line in &read.lines {
                prop_assert!(line.place.line <= count && !line.text.is_empty());
            }
        }
    }
}
