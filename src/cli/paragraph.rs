//! Sentences on lines that fit a terminal.

/// How wide a line is.
pub(super) const WIDTH: usize = 80;

/// The words of `text` on lines of at most [`WIDTH`] characters, the first after `head`, the others under where it ends.
pub(super) fn wrapped(head: &str, text: &str) -> String {
    let indent = head.chars().count();
    let mut lines = vec![head.to_owned()];
    let mut width = indent;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        let begins = width == indent;
        if !begins && width + 1 + length > WIDTH {
            lines.push(" ".repeat(indent));
            width = indent;
        }
        if let Some(line) = lines.last_mut() {
            if width > indent {
                line.push(' ');
                width += 1;
            }
            line.push_str(word);
            width += length;
        }
    }
    let lines: Vec<_> = lines.iter().map(|line| line.trim_end()).collect();
    lines.join("\n") + "\n"
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
    fn a_word_that_is_too_long_has_a_line_of_its_own() {
        let long = "x".repeat(100);
        assert_eq!(wrapped("- ", &format!("a {long} b")), format!("- a\n  {long}\n  b\n"));
        assert_eq!(wrapped("- ", ""), "-\n");
    }
}
