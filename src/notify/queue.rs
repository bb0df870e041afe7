//! What waits to be told: in order, and never more than a bound.
//!
//! Of a subject that changes faster than its changes can be told the latest counts. So when there is no room, what goes is
//! the oldest for whose subject there is something newer; how many went is told with what follows.

use std::collections::VecDeque;

use super::news::News;

/// How many may wait for one notifier.
pub(super) const MOST: usize = 64;

/// The news that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<News>,
}

impl Queue {
    /// Adds what is new; says whether something had to go for it.
    pub(super) fn push(&mut self, news: News) -> bool {
        self.waiting.push_back(news);
        if self.waiting.len() <= MOST {
            return false;
        }
        let (old, later) = self.superseded();
        if let Some(gone) = self.waiting.remove(old)
            && let Some(next) = later.and_then(|at| self.waiting.get_mut(at - 1))
        {
            next.skipped += gone.skipped + 1;
        }
        true
    }

    /// The oldest that something newer about its subject follows, and where that is; otherwise the oldest of all.
    fn superseded(&self) -> (usize, Option<usize>) {
        let follows = |at: usize| {
            let subject = &self.waiting[at].subject;
            (at + 1..self.waiting.len()).find(|later| self.waiting[*later].subject == *subject)
        };
        (0..self.waiting.len()).find_map(|at| Some((at, Some(follows(at)?)))).unwrap_or((0, None))
    }

    /// The next one.
    pub(super) fn pop(&mut self) -> Option<News> {
        self.waiting.pop_front()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &News> {
        self.waiting.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::super::news::Word;
    use super::super::news::tests::news;
    use super::*;

    #[test]
    fn what_fits_is_told_in_order() {
        let mut queue = Queue::default();
        for number in 0..MOST as u64 {
            assert!(!queue.push(news("web", Word::Master, number)));
        }
        for number in 0..MOST as u64 {
            assert_eq!(queue.pop(), Some(news("web", Word::Master, number)));
        }
        assert!(queue.is_empty() && queue.pop().is_none());
    }

    #[test]
    fn of_one_that_changes_too_fast_the_latest_remain_and_the_gap_is_told() {
        let mut queue = Queue::default();
        let pushed = 10 + MOST as u64;
        let dropped = (0..pushed).filter(|number| queue.push(news("web", Word::Backup, *number))).count();
        assert_eq!((dropped, queue.len()), (10, MOST));
        let first = queue.pop().unwrap();
        assert_eq!((first.id.as_str(), first.skipped), ("lb1-10", 10));
        assert_eq!(queue.iter().last().unwrap().id, format!("lb1-{}", pushed - 1));
        assert!(queue.iter().all(|news| news.skipped == 0));
    }

    #[test]
    fn one_that_changes_too_fast_does_not_displace_the_others() {
        let mut queue = Queue::default();
        queue.push(news("db", Word::Master, 0));
        for number in 1..500 {
            queue.push(news("web", Word::Backup, number));
        }
        assert_eq!(queue.pop().unwrap().subject.name(), "db");
        assert_eq!(queue.pop().unwrap().skipped, 499 - 63);
    }

    #[test]
    fn without_anything_newer_the_oldest_of_all_goes() {
        let mut queue = Queue::default();
        for number in 0..=MOST as u64 {
            queue.push(news(&format!("i{number}"), Word::Backup, number));
        }
        assert_eq!((queue.len(), queue.pop().unwrap().subject.name()), (MOST, "i1"));
    }
}
