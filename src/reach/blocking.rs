//! One blocking call at a time: for what has no asynchronous form in the kernel.
//!
//! Such a call cannot be ended, only left behind. The next run waits for the one left behind instead of
//! starting a second, so a file system that never answers holds one thread a check and not one a run.

use tokio::task::JoinHandle;

/// A call that may have been left behind by a run that was cut off.
pub struct Blocking<T> {
    running: Option<JoinHandle<T>>,
}

impl<T> Default for Blocking<T> {
    fn default() -> Self {
        Self { running: None }
    }
}

impl<T: Send + 'static> Blocking<T> {
    /// What `call` answers, once an earlier one has ended; its answer is thrown away.
    pub async fn run(&mut self, call: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
        if let Some(earlier) = &mut self.running {
            let ended = earlier.await;
            self.running = None;
            drop(ended);
        }
        let answer = self.running.insert(tokio::task::spawn_blocking(call)).await;
        self.running = None;
        answer.map_err(|error| format!("the agent could not look: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[tokio::test]
    async fn a_call_that_is_left_behind_ends_before_the_next_starts() {
        let mut blocking = Blocking::default();
        let (release, held) = mpsc::channel::<()>();
        let limit = Duration::from_millis(20);
        let first = blocking.run(move || held.recv().map_or("left", |()| "first"));
        assert!(tokio::time::timeout(limit, first).await.is_err());
        let second = tokio::time::timeout(limit, blocking.run(|| "second")).await;
        assert!(second.is_err(), "the first still runs");
        release.send(()).unwrap();
        assert_eq!(blocking.run(|| "third").await, Ok("third"));
    }
}
