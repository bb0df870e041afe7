//! What was done when, and what it says of a moment: which agent was down or new, whether the network was whole.

use lab::wait;

use crate::judge::millis;

/// A diary of one episode.
#[derive(Clone, Debug, Default)]
pub(crate) struct Diary {
    /// What was done, in words.
    pub(crate) notes: Vec<(u64, String)>,
    /// When each agent was dead or frozen.
    down: [Vec<Span>; 2],
    /// When each agent was started or let go on.
    woken: [Vec<u64>; 2],
    /// When each node was without its nftables table.
    bare: [Vec<Span>; 2],
    /// When frames were dropped or held up.
    splits: Vec<Span>,
    /// How long an agent waited for a processor at most, in milliseconds.
    pub(crate) waited: f64,
    /// Whether an agent said that it got none for a while.
    pub(crate) has_stalled: bool,
}

/// A time when the two could not hear each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    /// When frames passed again.
    pub(crate) healed: u64,
    /// How long after that two may answer.
    pub(crate) until: u64,
}

/// From one moment to another, which may be to come.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: u64,
    to: Option<u64>,
}

impl Span {
    fn now() -> Self {
        Self { from: wait::now(), to: None }
    }

    fn holds(&self, at: u64) -> bool {
        self.from <= at && self.to.is_none_or(|to| at < to)
    }
}

impl Diary {
    /// Forgets what is over.
    pub(crate) fn turn_over(&mut self) {
        self.notes.clear();
        self.has_stalled = false;
        for spans in self.down.iter_mut().chain(&mut self.bare).chain([&mut self.splits]) {
            spans.retain(|span| span.to.is_none());
        }
    }

    /// Something was done.
    pub(crate) fn note(&mut self, what: String) {
        self.notes.push((wait::now(), what));
    }

    /// An agent is about to be killed or frozen, or has ended.
    pub(crate) fn down(&mut self, node: usize) {
        if self.down[node].last().is_none_or(|span| span.to.is_some()) {
            self.down[node].push(Span::now());
        }
    }

    /// An agent is about to be started or let go on.
    pub(crate) fn up(&mut self, node: usize) {
        close(&mut self.down[node]);
        self.woken[node].push(wait::now());
    }

    /// An agent got no processor between two moments, as it says itself: the machine's own hang.
    pub(crate) fn stalled(&mut self, node: usize, from: u64, to: u64) {
        self.has_stalled = true;
        self.down[node].push(Span { from, to: Some(to) });
        self.woken[node].push(to);
        self.notes.push((to, format!("lb{} was stalled since {:.1} ms before", node + 1, millis(to - from))));
    }

    /// A node's table is about to be taken away.
    pub(crate) fn bare(&mut self, node: usize) {
        self.bare[node].push(Span::now());
    }

    /// The table is there again.
    pub(crate) fn clad(&mut self, node: usize) {
        close(&mut self.bare[node]);
    }

    /// Whether a node was without its table.
    pub(crate) fn is_bare(&self, node: usize, at: u64) -> bool {
        self.bare[node].iter().any(|span| span.holds(at))
    }

    /// Frames are about to be dropped.
    pub(crate) fn split(&mut self) {
        self.splits.push(Span::now());
    }

    /// No frame is dropped any more.
    pub(crate) fn healed(&mut self) {
        close(&mut self.splits);
    }

    /// When the agent that is down at a moment went down.
    pub(crate) fn down_since(&self, node: usize, at: u64) -> Option<u64> {
        self.down[node].iter().find(|span| span.holds(at)).map(|span| span.from)
    }

    /// Whether the agent was started or let go on less than `since` before a moment.
    pub(crate) fn is_new(&self, node: usize, at: u64, since: u64) -> bool {
        self.woken[node].iter().any(|woken| *woken <= at && at - woken < since)
    }

    /// The split that a moment falls into. It counts for `grace` after frames passed again, or, if an agent
    /// died or hung before that, for `lease` after it did, for its last adverts need not have arrived.
    pub(crate) fn split_until(&self, at: u64, grace: u64, lease: u64) -> Option<Split> {
        let ends = self.splits.iter().filter(|span| span.from <= at).filter_map(|span| {
            let healed = span.to?;
            let whole = healed + grace;
            let mut until = whole;
            for down in self.down.iter().flatten().filter(|down| (span.from..whole).contains(&down.from)) {
                until = until.max(down.from + lease);
            }
            Some(Split { healed, until })
        });
        ends.max_by_key(|split| split.until).filter(|split| at < split.until)
    }
}

fn close(spans: &mut [Span]) {
    if let Some(open) = spans.last_mut().filter(|span| span.to.is_none()) {
        open.to = Some(wait::now());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A diary of an agent that went down, and of one that was started or let go on.
    pub(crate) fn diary(down: &[(usize, u64)], woken: &[(usize, u64)]) -> Diary {
        let mut diary = Diary::default();
        for (node, from) in down {
            diary.down[*node].push(Span { from: *from, to: None });
        }
        for (node, at) in woken {
            diary.woken[*node].push(*at);
        }
        diary
    }

    #[test]
    fn a_split_counts_a_while_longer_and_longer_still_if_somebody_died_in_it() {
        let mut diary = Diary { splits: vec![Span { from: 100, to: Some(200) }], ..Diary::default() };
        assert_eq!(diary.split_until(50, 10, 300), None);
        assert_eq!(diary.split_until(205, 10, 300), Some(Split { healed: 200, until: 210 }));
        assert_eq!(diary.split_until(211, 10, 300), None);
        diary.down[1].push(Span { from: 150, to: None });
        assert_eq!(diary.split_until(211, 10, 300), Some(Split { healed: 200, until: 450 }));
    }
}
