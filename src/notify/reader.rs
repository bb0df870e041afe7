//! The reader of a FIFO: a program that gets the FIFO's path after its own arguments and runs for as long as lines are written
//! there, as keepalived's `notify_fifo_script` does. It finds what [`command`](super::command) describes, and `VIPD_FIFO`.
//!
//! ```text
//!   begin -> runs -> ended -> pause, 1 s to 30 s -> runs ..      each end is reported, and what it wrote last
//!   end of the agent: nobody writes any more, so it reads to the end; then it is killed with all it started
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinHandle;
use tokio::time::{Instant as Deadline, sleep, timeout, timeout_at};

use super::fifo;
use super::outlet::{Context, Happened, Key, Report, View};
use crate::reach::child::{End, Task};
use crate::reach::script::Script;
use crate::reach::{Run, last_line};
use crate::time::Duration;

/// A reader that is kept running; dropping it kills it.
pub(super) struct Reader {
    shared: Arc<Shared>,
    keeper: JoinHandle<()>,
}

struct Shared {
    argv: Vec<String>,
    path: PathBuf,
    context: Context,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    runs: bool,
    /// It is not started again.
    ends: bool,
    started: u64,
    ended: u64,
    trouble: Option<String>,
}

impl Reader {
    /// Starts it, once the one before it is gone.
    pub(super) fn begin(argv: Vec<String>, path: PathBuf, context: Context, before: Option<Self>) -> Self {
        let shared = Arc::new(Shared { argv, path, context, state: Mutex::default() });
        let kept = Arc::clone(&shared);
        let keeper = tokio::spawn(async move {
            if let Some(before) = before {
                before.kill().await;
            }
            kept.keep().await;
        });
        Self { shared, keeper }
    }

    /// What is started, without the path.
    pub(super) fn argv(&self) -> &[String] {
        &self.shared.argv
    }

    /// Nobody writes any more: waits until it has ended, but not longer than this, and kills it then.
    pub(super) async fn end(mut self, deadline: Deadline) {
        let runs = {
            let mut state = self.shared.locked();
            state.ends = true;
            state.runs
        };
        if runs && timeout_at(deadline, &mut self.keeper).await.is_ok() {
            return;
        }
        self.kill().await;
    }

    async fn kill(mut self) {
        self.keeper.abort();
        if let Err(error) = (&mut self.keeper).await
            && error.is_panic()
        {
            tracing::warn!(%error, "the keeper of a reader fell");
        }
    }

    pub(super) fn view(&self) -> View {
        let state = self.shared.locked();
        View {
            key: Key::FifoReader(self.shared.path.clone()),
            target: self.shared.command().join(" "),
            delivered: state.started,
            failed: state.ended,
            dropped: 0,
            waiting: 0,
            last: None,
            trouble: state.trouble.clone(),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Shared {
    fn command(&self) -> Vec<String> {
        self.argv.iter().cloned().chain([self.path.display().to_string()]).collect()
    }

    /// Runs it again and again.
    async fn keep(&self) {
        let mut pause = SHORTEST;
        loop {
            let (why, lasted) = self.run(pause).await;
            if lasted {
                pause = SHORTEST;
            }
            let Some(report) = self.ended(why) else { return };
            self.report(report).await;
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// Runs it to its end; answers how that came, and whether it took longer than the pause that will follow.
    async fn run(&self, pause: Duration) -> (String, bool) {
        let (path, runner) = (self.path.clone(), self.context.runner.clone());
        let made = tokio::task::spawn_blocking(move || fifo::make(&path, runner.as_deref()));
        match made.await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return (format!("the FIFO is not there: {why}"), false),
            Err(error) => return (format!("the agent could not look: {error}"), false),
        }
        let news = BTreeMap::from([("VIPD_FIFO".to_owned(), self.path.display().to_string())]);
        let task = Task { argv: self.command(), check: "the reader of a FIFO".to_owned(), news: Some(news) };
        let mut run = Run::default();
        let (ended, lasted) = {
            let mut script = Script::new(task, FOREVER, self.context.runner.clone());
            {
                let mut state = self.locked();
                (state.runs, state.started) = (true, state.started + 1);
            }
            let mut running = Box::pin(script.run(&mut run));
            if let Ok(ended) = timeout(pause.max(STEADY), &mut running).await {
                (ended, false)
            } else {
                if self.locked().trouble.take().is_some() {
                    self.report(Happened::Recovered).await;
                }
                (running.await, true)
            }
        };
        (described(ended, &run.output), lasted)
    }

    /// Notes an end; answers what is worth telling of it, if it was not asked for.
    fn ended(&self, why: String) -> Option<Happened> {
        let mut state = self.locked();
        state.runs = false;
        if state.ends {
            return None;
        }
        state.ended += 1;
        state.trouble = Some(format!("{why}; it is started again"));
        Some(Happened::ReaderEnded { why })
    }

    async fn report(&self, what: Happened) {
        let outlet = format!("fifo_reader {}", self.command().join(" "));
        if self.context.reports.send(Report { about: None, outlet, what }).await.is_err() {
            tracing::debug!("nobody hears of notifiers any more");
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn described(ended: Result<End, String>, output: &[u8]) -> String {
    let line = last_line(output);
    match ended {
        Err(why) | Ok(End::Failed(why)) => why,
        Ok(end) if line.is_empty() => end.to_string(),
        Ok(end) => format!("{end}: {line}"),
    }
}

/// The pause before it is started again, at first and at most.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// After so long it runs well.
const STEADY: Duration = Duration::from_secs(5);
/// Nobody's time is up.
const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);
