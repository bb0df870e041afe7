//! Command lines: what keepalived runs itself, and what it leaves to a shell.

use crate::import::blocks::Statement;
use crate::import::language::escaped_words;
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

/// Reads the command of a statement: its first word, in which quotes hold words together once more.
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
            let names = user.join(" ");
            let but = if user.len() > MOST_NAMES {
                format!(
                    "without '{names}': there are no quotes around the command, so keepalived takes this for the user and \
                     the group to run it as, and ignores it if there are none such; programs run as vipd-scripts here"
                )
            } else {
                format!(
                    "not as {names}: programs run as vipd-scripts; keepalived ignores it if there is no such user"
                )
            };
            report.converted_but(statement, key, &but);
        }
    }
}

/// A user and a group.
const MOST_NAMES: usize = 2;

/// The words of a command line, which keepalived reads as it read the line that the command stood in: quotes of either kind
/// and backslashes a second time. None if it has none, or a quote is left open.
fn split(line: &str) -> Option<Vec<String>> {
    escaped_words(line).filter(|words| !words.is_empty())
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
    fn quotes_hold_words_together_in_a_command_too() {
        let said = |line: &str| split(line).map(|words| words.join("|"));
        assert_eq!(said("/bin/a b  'c d' e'f g'").as_deref(), Some("/bin/a|b|c d|ef g"));
        assert_eq!(said("'' a").as_deref(), Some("|a"));
        assert_eq!(said(r#"/bin/sh -c "exit 0""#).as_deref(), Some("/bin/sh|-c|exit 0"));
        assert_eq!(said(r#"2 a\ b 'c\'d' \x41 x"y z"w"#).as_deref(), Some("2|a b|c'd|A|xy zw"));
        assert_eq!(said(" "), None);
        assert_eq!(said("a 'b"), None);
    }
}
