//! Text on its way out: colour only where somebody sees it, and no panic when nobody reads.

use std::io::{self, IsTerminal as _, Write as _};

use super::Exit;
use crate::time::Duration;

/// Prints to stdout; answers whether anybody still reads.
pub(super) fn say(text: &str) -> bool {
    written(text).is_ok()
}

/// Prints an answer to stdout and passes `exit` on, unless the answer could not be written: whoever finds half of it in
/// a file must learn of that. A reader who has had enough and closes the pipe is none of the answer's business.
pub(super) fn answer(text: &str, exit: Exit) -> Exit {
    match written(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Exit::Os,
        _ => exit,
    }
}

fn written(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Err(error) = &written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        complain(&format!("cannot write to the standard output: {error}"));
    }
    written
}

/// Prints a line to stderr, with a line break if it has none.
pub(super) fn complain(text: &str) {
    let mut err = io::stderr().lock();
    // With stderr gone there is nobody left to tell; the exit code says it.
    if writeln!(err, "{}", text.trim_end_matches('\n')).is_err() {}
}

/// Whether and how to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    /// Plain text.
    Never,
    /// ANSI sequences.
    Ansi,
}

/// What a colour stands for; the words always say it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Quiet,
    Bad,
    Plain,
}

impl Colour {
    /// Colour for a terminal, unless `NO_COLOR` says otherwise.
    pub(super) fn of_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if !unwanted && io::stdout().is_terminal() { Self::Ansi } else { Self::Never }
    }

    /// `text` in that tone.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match (self, tone) {
            (Self::Never, _) | (Self::Ansi, Tone::Plain) => return text.to_owned(),
            (Self::Ansi, Tone::Good) => "1;32",
            (Self::Ansi, Tone::Quiet) => "2",
            (Self::Ansi, Tone::Bad) => "1;31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// An age as operators read it: `42s`, `14m`, `3h 12m`, `2d 4h`.
pub(super) fn age(age: Duration) -> String {
    match age.as_secs() {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3600 => format!("{}m", s / 60),
        s @ 3600..86_400 => format!("{}h {}m", s / 3600, s / 60 % 60),
        s => format!("{}d {}h", s / 86_400, s / 3600 % 24),
    }
}

/// Milliseconds as operators read them: `0.4 ms`, `361 ms`, `10 s`.
pub(super) fn millis(ms: f64) -> String {
    if ms >= 10_000.0 {
        format!("{} s", (ms / 1000.0).round())
    } else if ms >= 10.0 {
        format!("{} ms", ms.round())
    } else {
        format!("{} ms", (ms * 10.0).round() / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_at_most_two_units() {
        let said: Vec<_> = [0, 59, 60, 3599, 11_520, 187_200].map(|s| age(Duration::from_secs(s))).into();
        assert_eq!(said, ["0s", "59s", "1m", "59m", "3h 12m", "2d 4h"]);
    }

    #[test]
    fn milliseconds_have_no_more_digits_than_they_are_worth() {
        let said: Vec<_> = [0.04, 0.44, 361.2, 3609.375, 20_000.0].map(millis).into();
        assert_eq!(said, ["0 ms", "0.4 ms", "361 ms", "3609 ms", "20 s"]);
    }

    #[test]
    fn without_colour_nothing_is_added() {
        assert_eq!(Colour::Never.paint(Tone::Bad, "FAULT"), "FAULT");
        assert_eq!(Colour::Ansi.paint(Tone::Bad, "FAULT"), "\x1b[1;31mFAULT\x1b[0m");
    }
}
