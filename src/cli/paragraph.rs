//! Sentences on lines that fit a terminal.

/// How wide a line is.
pub(super) const WIDTH: usize = 80;

/// `text` after `head` on lines of at most [`WIDTH`] characters, the others under where the head ends.
pub(super) fn wrapped(head: &str, text: &str) -> String {
    let indent = head.chars().count();
    let mut page = String::new();
    let mut head = head.to_owned();
    for line in lines(text, WIDTH.saturating_sub(indent)) {
        page.push_str(format!("{head}{line}").trim_end());
        page.push('\n');
        head = " ".repeat(indent);
    }
    page
}

/// The words of `text` on lines no longer than that, unless a word is, with the spaces between them as they are.
pub(super) fn lines(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split([' ', '\n']) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_wide_as_a_terminal_and_what_follows_is_indented() {
        let text = wrapped("  why   ", &"abc ".repeat(30));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("  why   abc abc") && lines[1].starts_with("        abc"), "{text}");
        assert!(lines.iter().all(|line| line.len() <= WIDTH), "{text}");
    }

    #[test]
    fn spaces_within_a_line_stay_as_they_are() {
        assert_eq!(wrapped("  ", "a   b"), "  a   b\n");
    }

    #[test]
    fn a_word_that_is_too_long_has_a_line_of_its_own() {
        let long = "x".repeat(100);
        assert_eq!(wrapped("- ", &format!("a {long} b")), format!("- a\n  {long}\n  b\n"));
        assert_eq!(wrapped("- ", ""), "-\n");
    }
}
