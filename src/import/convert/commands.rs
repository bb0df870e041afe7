//! Command lines: what keepalived runs itself, and what it leaves to a shell.

use crate::import::blocks::Statement;
use crate::import::report::Report;
use crate::import::yaml::Value;

/// A command line as written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// The program and its arguments.
    argv: Vec<String>,
    /// The whole of it, for a shell.
    line: String,
    /// What follows it: the user, and the group.
    pub(super) user: Vec<String>,
}

/// Reads the command of a statement: its first word, in which single quotes hold words together.
pub(super) fn read(statement: &Statement) -> Option<Command> {
    let mut words = statement.escaped()?.into_iter();
    let line = words.next()?;
    let argv = split(&line)?;
    Some(Command { argv, line, user: words.collect() })
}

/// Notes that a command goes over as this key, and what becomes of its user.
pub(super) fn convert(command: &Command, statement: &Statement, key: &str, report: &mut Report) {
    match command.user.as_slice() {
        [] => report.converted(statement, key),
        user => {
            let but = format!("not as {}: programs run as vipd-scripts", user.join(" "));
            report.converted_but(statement, key, &but);
        }
    }
}

/// The words of a command line; none if it has none, or a quote is left open.
fn split(line: &str) -> Option<Vec<String>> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let mut word = String::new();
        loop {
            let end = rest.find(|c: char| c.is_whitespace() || c == '\'').unwrap_or(rest.len());
            word.push_str(&rest[..end]);
            rest = &rest[end..];
            let Some(open) = rest.strip_prefix('\'') else { break };
            let (inside, after) = open.split_once('\'')?;
            word.push_str(inside);
            rest = after;
        }
        words.push(word);
        rest = rest.trim_start();
    }
    (!words.is_empty()).then_some(words)
}

impl Command {
    /// Whether it names a program by its path, and no shell is needed.
    fn plain(&self) -> bool {
        self.argv.first().is_some_and(|program| program.starts_with('/')) && !self.line.contains('\0')
    }

    /// The key and the value of a check.
    pub(super) fn check(&self) -> (&'static str, Value) {
        if self.plain() {
            ("script", Value::texts(self.argv.clone()))
        } else {
            ("shell", self.line.trim().replace('\0', "").into())
        }
    }

    /// As a list for a notifier, which has no shell.
    pub(super) fn list(&self) -> Value {
        if self.plain() {
            Value::texts(self.argv.clone())
        } else {
            // keepalived's own arguments come last; the shell knows them as "$@".
            let line = format!("{} \"$@\"", self.line.trim().replace('\0', ""));
            Value::texts(["/bin/sh".to_owned(), "-c".to_owned(), line, "sh".to_owned()])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_quotes_hold_words_together() {
        let said = |line: &str| split(line).map(|words| words.join("|"));
        assert_eq!(said("/bin/a b  'c d' e'f g'").as_deref(), Some("/bin/a|b|c d|ef g"));
        assert_eq!(said("'' a").as_deref(), Some("|a"));
        assert_eq!(said(" "), None);
        assert_eq!(said("a 'b"), None);
    }
}
