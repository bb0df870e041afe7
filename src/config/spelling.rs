//! What somebody may have meant to write.

/// The word among `known` that is nearest to `text`, if any is near enough to be a slip of the fingers.
pub(super) fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // One slip in three letters; more is another word.
    let bound = (text.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .filter(|word| word.len().abs_diff(text.len()) <= 2 * bound)
        .map(|word| (slips(text, word), word))
        .filter(|(slips, _)| *slips <= bound)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, word)| word)
}

/// How many letters are missing, too many, wrong or swapped with their neighbour (optimal string alignment);
/// `-` and `_`, and letters in either case, are the same.
fn slips(a: &str, b: &str) -> usize {
    let letters = |text: &str| -> Vec<char> {
        text.chars().take(80).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
    };
    let (a, b) = (letters(a), letters(b));
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before_last[j - 1] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        for (a, b, count) in [
            ("priority", "priority", 0),
            ("priorty", "priority", 1),
            ("pirority", "priority", 1),
            ("Advert-Interval", "advert_interval", 0),
            ("", "ab", 2),
            ("track", "interface", 5),
        ] {
            assert_eq!(slips(a, b), count, "{a} {b}");
        }
    }

    #[test]
    fn only_what_is_near_is_proposed() {
        let known = ["interface", "priority", "track", "tcp"];
        assert_eq!(nearest("interfaces", known), Some("interface"));
        assert_eq!(nearest("prio", known), None);
        assert_eq!(nearest("tpc", known), Some("tcp"));
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"é".repeat(10_000), known), None);
    }
}
