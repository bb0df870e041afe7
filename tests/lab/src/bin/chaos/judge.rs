//! Whether two answered, and whether nobody did: arithmetic on stamps, apart from where they come from.
//!
//! When an address moves from X to Y its answers read `XXXXYYYY`: one change. They overlap when they read
//! `XXXYXYXYYY`: the second to answer had begun and the first went on. The overlap is the time from the second's first
//! answer to the first's last one. If the second gave up again (`XXXYXXX`) it is the time until the first was heard
//! again. One question to all that two nodes answer is an overlap, too. It is none if the first let questions
//! pass, and all those that the second answered: then the address moved, and moved back.

/// Two nodes that both answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overlap {
    /// When the second one first answered.
    pub(crate) from: u64,
    /// When the first one last did.
    pub(crate) to: u64,
    /// Who answered first.
    pub(crate) older: usize,
    /// Who came in addition.
    pub(crate) newer: usize,
}

impl Overlap {
    /// How long, in milliseconds.
    pub(crate) fn millis(&self) -> f64 {
        millis(self.to - self.from)
    }
}

/// Answers of one node with none of another's between them.
struct Turn {
    node: usize,
    first: u64,
    last: u64,
    count: usize,
}

/// All overlaps in answers to questions of these moments, all in order of time. A turn of `real` answers and more is one
/// that the address really made: two that both answer take turns after each question.
pub(crate) fn overlaps(
    rounds: &[u64],
    answers: impl Iterator<Item = (u64, usize)>,
    real: usize,
) -> Vec<Overlap> {
    let mut turns: Vec<Turn> = Vec::new();
    for (at, node) in answers {
        match turns.last_mut() {
            Some(turn) if turn.node == node => {
                turn.last = at;
                turn.count += 1;
            }
            _ => turns.push(Turn { node, first: at, last: at, count: 1 }),
        }
    }
    let asked = |at: u64| rounds.partition_point(|round| *round <= at);
    let alone = |before: &Turn, turn: &Turn, after: &Turn| {
        let (left, came) = (asked(before.last), asked(after.first));
        left < asked(turn.first) && asked(turn.last) < came && came - left > MISSED
    };
    let is_real =
        |end: usize| turns[end].count >= real || alone(&turns[end - 1], &turns[end], &turns[end + 1]);
    let mut found = Vec::new();
    let mut start = 0;
    while start + 1 < turns.len() {
        // The turns between `start` and `end` are too short to be real.
        let mut end = start + 1;
        while end + 1 < turns.len() && !is_real(end) {
            end += 1;
        }
        if end > start + 1 {
            let to = turns[end - 1].last.max(turns[start + 2].first);
            let to = if turns[end].node == turns[start].node { turns[end].first.max(to) } else { to };
            let (older, newer) = (turns[start].node, turns[start + 1].node);
            found.push(Overlap { from: turns[start + 1].first, to, older, newer });
        }
        start = end;
    }
    found
}

/// Who lets so many questions pass, one after the other, did not just miss one.
const MISSED: usize = 5;

/// The questions to all that two nodes answered, one after the other: an overlap as well, though the order of the
/// answers does not show it. `answers` are in order of time; each belongs to the newest round before it.
pub(crate) fn twice(rounds: &[u64], answers: impl Iterator<Item = (u64, usize)>) -> Vec<Overlap> {
    let mut found = Vec::new();
    let mut first: Option<(usize, u64, usize)> = None;
    for (at, node) in answers {
        let round = rounds.partition_point(|round| *round <= at);
        match first {
            Some((same, from, older)) if same == round && older != node => {
                found.push(Overlap { from, to: at, older, newer: node });
            }
            Some((same, ..)) if same == round => {}
            _ => first = Some((round, at, node)),
        }
    }
    found
}

/// The longest time between `from` and `to` in which questions were asked and nobody answered: from the first
/// question of it to the next answer or the end, in milliseconds.
pub(crate) fn silence(rounds: &[u64], answers: impl Iterator<Item = u64>, from: u64, to: u64) -> f64 {
    let inside = answers.filter(|at| (from..to).contains(at));
    let mut longest = 0;
    let mut since = from;
    for at in inside.chain([to]) {
        let next = rounds.partition_point(|round| *round <= since);
        if let Some(asked) = rounds.get(next).filter(|asked| **asked < at) {
            longest = longest.max(at - asked);
        }
        since = at;
    }
    millis(longest)
}

/// Nanoseconds as milliseconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "a run takes less than 2^52 ns, and figures have two decimals"
)]
pub(crate) fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter a microsecond; `.` is an answer of nobody.
    fn read(text: &str) -> Vec<Overlap> {
        let answers = text.bytes().enumerate().filter(|(_, byte)| *byte != b'.');
        let nodes = answers.map(|(at, byte)| (at as u64 * 1000, usize::from(byte - b'a')));
        let rounds: Vec<u64> = (0..text.len()).map(|at| at as u64 * 1000).collect();
        overlaps(&rounds, nodes, 3)
    }

    #[test]
    fn an_address_that_moves_has_no_overlap() {
        assert_eq!(read("aaaa...bbbb"), []);
        assert_eq!(read("aaaabbbbbaaaa"), []);
        assert_eq!(read("aaaabbbbb"), []);
        assert_eq!(read(""), []);
    }

    #[test]
    fn an_overlap_ends_with_the_firsts_last_answer() {
        assert_eq!(read("aaabababbb"), [Overlap { from: 3000, to: 6000, older: 0, newer: 1 }]);
        assert_eq!(read("aaabab"), [Overlap { from: 3000, to: 4000, older: 0, newer: 1 }]);
    }

    #[test]
    fn an_answer_out_of_turn_is_an_overlap() {
        assert_eq!(read("aaabaaa"), [Overlap { from: 3000, to: 4000, older: 0, newer: 1 }]);
        assert_eq!(read("bbb.aa.bbb"), [Overlap { from: 4000, to: 7000, older: 1, newer: 0 }]);
    }

    #[test]
    fn a_short_turn_in_a_silence_of_the_other_is_a_move_and_a_move_back() {
        assert_eq!(read("aaa...bb.aaa"), []);
        assert_eq!(read("aaa.b....aaa"), []);
        assert!(!read("aaabb.aaa").is_empty(), "questions get lost");
        // Both answer the third question.
        let both = [(1, 0), (101, 0), (201, 0), (203, 1), (701, 0)];
        let rounds: Vec<u64> = (0..9).map(|round| round * 100).collect();
        assert!(!overlaps(&rounds, both.into_iter(), 3).is_empty());
    }

    #[test]
    fn two_moves_are_two_overlaps_if_each_overlaps() {
        let found = read("aaabab.bbbbbabaaaa");
        assert_eq!(found.iter().map(|o| (o.from, o.to)).collect::<Vec<_>>(), [(3000, 4000), (12000, 13000)]);
    }

    #[test]
    fn a_question_that_two_answer_is_an_overlap_in_whatever_order() {
        let found = twice(&[0, 100, 200], [(1, 0), (101, 0), (103, 1), (201, 1)].into_iter());
        assert_eq!(found, [Overlap { from: 101, to: 103, older: 0, newer: 1 }]);
        assert_eq!(twice(&[0, 100], [(1, 0), (2, 0), (101, 1)].into_iter()), []);
    }

    #[test]
    fn silence_begins_with_the_first_question_that_nobody_answered() {
        let ms = |n: u64| n * 1_000_000;
        let rounds = [ms(0), ms(10), ms(20), ms(60), ms(70)];
        // Asked at 20 and answered at 65; that nothing was asked from 20 to 60 is known of no node.
        let all = [ms(1), ms(11), ms(65), ms(71)];
        assert!((silence(&rounds, all.into_iter(), 0, ms(75)) - 45.0).abs() < 1e-9);
        // Answered at once, but not asked between.
        let prompt = [ms(1), ms(11), ms(21), ms(61), ms(71)];
        assert!((silence(&rounds, prompt.into_iter(), 0, ms(75)) - 1.0).abs() < 1e-9);
        // Nobody at all.
        assert!((silence(&rounds, [].into_iter(), ms(5), ms(75)) - 65.0).abs() < 1e-9);
    }
}
