//! One line of text: where its comment begins, where its braces are, which words it has.

/// A line without its comment and without blanks at its ends, a backslash at the end kept, and whether a double quote was
/// left open. A comment begins with `#` or `!` outside of double quotes; a backslash before one makes it an ordinary letter.
pub(super) fn decomment(line: &str) -> (String, bool) {
    let mut kept = String::with_capacity(line.len());
    let mut quoted = false;
    let mut letters = line.chars();
    let mut continues = false;
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                quoted = !quoted;
                kept.push('"');
            }
            '\\' => match letters.next() {
                Some(next @ ('#' | '!')) if !quoted => kept.push(next),
                Some(next) => kept.extend(['\\', next]),
                None => continues = true,
            },
            // The rest is a comment, but for a backslash at its very end.
            '#' | '!' if !quoted => {
                continues = letters.as_str().ends_with('\\');
                break;
            }
            other => kept.push(other),
        }
    }
    let mut text = kept.trim().to_owned();
    if continues {
        text.push('\\');
    }
    (text, quoted)
}

/// The parts of a line when every brace outside of double quotes stands alone.
pub(super) fn at_braces(line: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut quoted = false;
    let mut from = 0;
    for (at, letter) in line.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            '{' | '}' if !quoted => {
                parts.extend([&line[from..at], &line[at..=at]]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&line[from..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// The words of a line as most keywords see them: what stands in double quotes is one word, without them.
pub(in crate::import) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, after) = if let Some(inside) = rest.strip_prefix('"') {
            inside.split_once('"').unwrap_or((inside, ""))
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(rest.len());
            rest.split_at(end)
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

/// The words of a line as scripts and files see them: quotes of either kind hold words together wherever they stand, and a
/// backslash makes a letter of what follows. None if a quote is left open or a backslash ends the line.
pub(in crate::import) fn escaped_words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let bytes = line.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'\\' => {
                let (value, length) = escape(&bytes[at..])?;
                word.get_or_insert_default().push(value);
                at += length;
            }
            _ if quote == Some(byte) => quote = None,
            b'"' | b'\'' if quote.is_none() => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            b' ' | b'\t' if quote.is_none() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(byte),
        }
    }
    if quote.is_some() {
        return None;
    }
    words.extend(word);
    Some(words.into_iter().map(|word| String::from_utf8_lossy(&word).into_owned()).collect())
}

/// What the bytes after a backslash mean, and how many of them.
fn escape(after: &[u8]) -> Option<(u8, usize)> {
    let digits = |from: usize, most: usize, radix: u32| {
        let is = |byte: &&u8| char::from(**byte).is_digit(radix);
        after[from.min(after.len())..].iter().take(most).take_while(is).count()
    };
    let number = |from: usize, count: usize, radix: u32| {
        let digit = |byte: &u8| char::from(*byte).to_digit(radix).unwrap_or(0);
        // A byte has room for the last two digits only.
        after[from..from + count].iter().fold(0_u32, |sum, byte| (sum * radix + digit(byte)) & 0xff)
    };
    let narrow = |value: u32| u8::try_from(value).unwrap_or(0);
    Some(match *after.first()? {
        b'x' if digits(1, after.len(), 16) > 0 => {
            let count = digits(1, after.len(), 16);
            (narrow(number(1, count, 16)), 1 + count)
        }
        b'c' if after.len() > 1 => (after[1] & 0x1f, 2),
        b'0'..=b'7' => {
            let count = digits(0, 3, 8);
            (narrow(number(0, count, 8)), count)
        }
        b'a' => (7, 1),
        b'b' => (8, 1),
        b'E' => (27, 1),
        b'f' => (12, 1),
        b'n' => (b'\n', 1),
        b'r' => (b'\r', 1),
        b't' => (b'\t', 1),
        b'v' => (11, 1),
        other => (other, 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_comment_begins_anywhere_outside_double_quotes() {
        for (line, text) in [
            ("  priority 100 # why", "priority 100"),
            ("! all of it", ""),
            ("auth_pass a\\#b", "auth_pass a#b"),
            ("script \"a # b\" ! c", "script \"a # b\""),
            ("auth_pass s3cret!", "auth_pass s3cret"),
            ("$X= \\", "$X=\\"),
            ("one # two \\", "one\\"),
            ("script \"a\\\"b\" # c", "script \"a\\\"b\""),
        ] {
            assert_eq!(decomment(line), (text.to_owned(), false), "{line}");
        }
        assert_eq!(decomment("script \"a # b"), ("script \"a # b".to_owned(), true));
    }

    #[test]
    fn braces_outside_double_quotes_stand_alone() {
        assert_eq!(at_braces("vrrp_instance VI_1 {"), ["vrrp_instance VI_1", "{"]);
        assert_eq!(at_braces("unicast_peer { 192.0.2.2 }"), ["unicast_peer", "{", "192.0.2.2", "}"]);
        assert_eq!(at_braces("script \"awk '{ print }'\""), ["script \"awk '{ print }'\""]);
    }

    #[test]
    fn double_quotes_hold_a_word_together() {
        assert_eq!(words("script \"/bin/a b\" c"), ["script", "/bin/a b", "c"]);
        assert_eq!(words("a\"b c\"d"), ["a", "b c", "d"]);
        assert_eq!(words("auth_pass 'a b'"), ["auth_pass", "'a", "b'"]);
    }

    #[test]
    fn escapes_are_those_of_the_manual() {
        let said = |line: &str| escaped_words(line).map(|words| words.join("|"));
        assert_eq!(said(r#"abcd" efg h jkl "mnop"#).as_deref(), Some("abcd efg h jkl mnop"));
        assert_eq!(said(r#"abcd "efg h jkl" mnop"#).as_deref(), Some("abcd|efg h jkl|mnop"));
        assert_eq!(said(r"\x41\102\cA\t\\\'").as_deref(), Some("AB\u{1}\t\\'"));
        assert_eq!(said(r#"'a "b"' """#).as_deref(), Some("a \"b\"|"));
        assert_eq!(said("'a").as_deref(), None);
        assert_eq!(said("a\\").as_deref(), None);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "[a-z#!\"'\\\\{} $0-7xc]{0,40}|\\PC{0,20}") {
            let (text, _) = decomment(&line);
            drop(words(&text));
            drop(escaped_words(&text));
            for part in at_braces(&text) {
                prop_assert!(!part.is_empty());
            }
        }
    }
}
