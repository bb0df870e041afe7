//! How things stand, asked of the protocol thread at most 20 times a second however many want to know.
//!
//! A copy is shared while it is young and nothing has happened since; otherwise whoever asks waits for the next one,
//! so an answer never shows the world as it was before a change that the asker has seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::post::{Post, Refused, Request};
use crate::engine::Engine;
use crate::engine::status::Status;
use crate::time::Duration;

/// The least time between two questions.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the protocol thread may take to answer; it does so once a turn.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why there is no status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// The question was not taken.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The question was not answered in time.
    #[error("the protocol thread has not answered for {} s; it may be stuck", PATIENCE.as_secs())]
    Silent,
}

/// The cache.
#[derive(Debug)]
pub struct Statuses {
    post: Post,
    changes: AtomicU64,
    last: Mutex<Option<Answer>>,
    /// When the engine was copied last.
    copied: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Answer {
    at: Instant,
    changes: u64,
    status: Result<Arc<Status>, Unknown>,
}

impl Statuses {
    /// Will ask by `post`.
    pub fn new(post: Post) -> Self {
        Self { post, changes: AtomicU64::new(0), last: Mutex::new(None), copied: Mutex::new(None) }
    }

    /// Says that something happened: answers from before are old.
    pub fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// How things stand.
    pub async fn current(&self) -> Result<Arc<Status>, Unknown> {
        let mut last = self.last.lock().await;
        if let Some(answer) = &*last {
            if answer.changes == self.changes.load(Ordering::Relaxed) && answer.at.elapsed() < PAUSE {
                return answer.status.clone();
            }
            sleep_until(answer.at + PAUSE).await;
        }
        let changes = self.changes.load(Ordering::Relaxed);
        let status = self.ask().await.map(Arc::new);
        *last = Some(Answer { at: Instant::now(), changes, status: status.clone() });
        status
    }

    /// A copy of the engine to look ahead with, and the moment it is of; one at a time, as seldom.
    pub async fn copy(&self) -> Result<(crate::time::Instant, Box<Engine>), Unknown> {
        let mut last = self.copied.lock().await;
        if let Some(at) = *last {
            sleep_until(at + PAUSE).await;
        }
        let (answer, answered) = oneshot::channel();
        self.post.send(Request::Copy(answer))?;
        *last = Some(Instant::now());
        answer_to(answered).await
    }

    async fn ask(&self) -> Result<Status, Unknown> {
        let (answer, answered) = oneshot::channel();
        self.post.send(Request::Status(answer))?;
        answer_to(answered).await
    }
}

async fn answer_to<T>(answered: oneshot::Receiver<T>) -> Result<T, Unknown> {
    match timeout(PATIENCE, answered).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(Refused::Ended.into()),
        Err(_) => Err(Unknown::Silent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::post::requests;
    use std::collections::BTreeMap;

    fn status() -> Status {
        Status {
            at: crate::time::Instant::BOOT,
            instances: Vec::new(),
            groups: Vec::new(),
            checks: Vec::new(),
            discarded: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_questions_at_once_become_one() {
        let (post, mut inbox) = requests().unwrap();
        let statuses = Arc::new(Statuses::new(post));
        let asking: Vec<_> = (0..30)
            .map(|_| {
                let statuses = Arc::clone(&statuses);
                tokio::spawn(async move { statuses.current().await.is_ok() })
            })
            .collect();
        tokio::task::yield_now().await;
        let mut asked: Vec<_> = inbox.drain().into_iter().collect();
        assert_eq!(asked.len(), 1);
        let Some(Request::Status(answer)) = asked.pop() else { panic!("{asked:?}") };
        answer.send(status()).unwrap();
        for task in asking {
            assert!(task.await.unwrap());
        }
        assert!(inbox.drain().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_makes_the_copy_old_but_the_pause_is_kept() {
        let (post, mut inbox) = requests().unwrap();
        let statuses = Arc::new(Statuses::new(post));
        let ask = |statuses: &Arc<Statuses>| {
            let statuses = Arc::clone(statuses);
            tokio::spawn(async move { statuses.current().await.is_ok() })
        };
        for round in 0..2 {
            let begun = Instant::now();
            let task = ask(&statuses);
            let answer = loop {
                match inbox.drain().pop_front() {
                    Some(Request::Status(answer)) => break answer,
                    Some(other) => panic!("{other:?}"),
                    None => tokio::time::advance(Duration::from_millis(1)).await,
                }
            };
            assert_eq!(begun.elapsed() >= PAUSE.mul_f32(0.9), round == 1);
            answer.send(status()).unwrap();
            assert!(task.await.unwrap());
            statuses.changed();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_the_end_are_told_apart() {
        let (post, inbox) = requests().unwrap();
        let statuses = Statuses::new(post);
        assert_eq!(statuses.current().await, Err(Unknown::Silent));
        drop(inbox);
        statuses.changed();
        assert_eq!(statuses.current().await, Err(Unknown::Refused(Refused::Ended)));
    }
}
