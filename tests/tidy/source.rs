//! The tree as the rules see it: every text file, and Rust files as a flat row of tokens with their lines.
//!
//! Tokens rather than text, so that a rule never trips over a comment or a string.

#![expect(clippy::expect_used, reason = "a tree that cannot be read must fail the rules, not pass them")]

use std::fmt::Display;
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A file of the tree.
pub(crate) struct Source {
    /// Where it is, from the top of the tree.
    pub(crate) path: String,
    /// What it says.
    pub(crate) text: String,
}

/// A word, a literal or a mark; `::` is one mark, other marks are single characters.
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

impl Source {
    /// A file that exists only in a rule's own test.
    pub(crate) fn planted(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }

    /// The file's tokens, groups unfolded into their delimiters; none if it is no Rust.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        let mut tokens = Vec::new();
        if self.is_rust() {
            let stream = self.text.parse().unwrap_or_else(|error| panic!("{}: {error}", self.path));
            unfold(stream, &mut tokens);
        }
        tokens
    }

    /// What a rule says about one of the file's lines.
    pub(crate) fn finding(&self, line: usize, what: impl Display) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

fn unfold(stream: TokenStream, tokens: &mut Vec<Token>) {
    let mut joint = false;
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                tokens.push(Token { text: open.to_owned(), line });
                unfold(group.stream(), tokens);
                tokens.push(Token { text: close.to_owned(), line: group.span_close().start().line });
            }
            TokenTree::Punct(mark) => {
                let glued = joint && mark.as_char() == ':';
                joint = mark.as_char() == ':' && mark.spacing() == proc_macro2::Spacing::Joint && !glued;
                match tokens.last_mut() {
                    Some(last) if glued => last.text.push(':'),
                    _ => tokens.push(Token { text: mark.to_string(), line }),
                }
            }
            TokenTree::Ident(_) | TokenTree::Literal(_) => {
                tokens.push(Token { text: tree.to_string(), line });
            }
        }
    }
}

/// Every text file of the tree, by path; what is built, hidden or binary is not of the tree.
pub(crate) fn tree() -> Vec<Source> {
    everything().0
}

/// What lies in the tree and is no text: paths and sizes.
pub(crate) fn binaries() -> Vec<(String, usize)> {
    everything().1
}

fn everything() -> (Vec<Source>, Vec<(String, usize)>) {
    let (mut files, mut binaries) = (Vec::new(), Vec::new());
    walk(Path::new(env!("CARGO_MANIFEST_DIR")), "", &mut files, &mut binaries);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    (files, binaries)
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<Source>, binaries: &mut Vec<(String, usize)>) {
    for entry in fs::read_dir(folder).expect("the tree is readable") {
        let entry = entry.expect("the tree is readable");
        let name = entry.file_name().into_string().expect("names are UTF-8");
        if name.starts_with('.') || name == "target" {
            continue;
        }
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().expect("the tree is readable");
        if kind.is_dir() {
            walk(&entry.path(), &format!("{path}/"), files, binaries);
        } else if kind.is_file() {
            match String::from_utf8(fs::read(entry.path()).expect("the tree is readable")) {
                Ok(text) => files.push(Source { path, text }),
                Err(error) => binaries.push((path, error.as_bytes().len())),
            }
        }
    }
}

/// The names of the tests with their lines: functions, those inside `proptest!` included, and what a harness of its
/// own is given in `const TESTS`, a list of pairs of a name and a function.
pub(crate) fn named_tests(file: &Source) -> Vec<(String, usize)> {
    let tokens = file.tokens();
    let (mut marked, mut listed) = (false, false);
    let mut names = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = |steps: usize| at.checked_sub(steps).map_or("", |at| tokens[at].text.as_str());
        match token.text.as_str() {
            // `#[test]`, `#[tokio::test]` and `#[tokio::test(..)]`, but not `#[cfg(test)]`.
            "test" if before(1) == "[" || (before(1) == "::" && before(3) == "[") => marked = true,
            "fn" if marked => {
                let name = &tokens[at + 1];
                names.push((name.text.clone(), name.line));
                marked = false;
            }
            "TESTS" if before(1) == "const" => listed = true,
            ";" => listed = false,
            name if listed
                && name.starts_with('"')
                && before(1) == "("
                && ["[", ","].contains(&before(2)) =>
            {
                names.push((name.trim_matches('"').to_owned(), token.line));
            }
            _ => {}
        }
    }
    names
}
