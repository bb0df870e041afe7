//! History that survives: every event as a line of JSON in two files of a bounded size in the state directory.
//!
//! ```text
//! service thread --try_send--> queue of 1,024 --> thread "history" --> history.jsonl --at 4 MiB--> history.1.jsonl
//! ```
//!
//! Nobody waits for a disk: what finds the queue full, the pace too high or the disk refusing is counted, and the count
//! is the next thing written. A crash may tear the last line; whoever reads skips it. What changes a state is on the
//! disk, not only in memory, within a second, however many do.

mod pace;
pub mod read;
mod write;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::history::Entry;
use crate::time::Duration;
use write::Writer;

pub(super) use write::make;

/// Where it is unless the command line or systemd says otherwise.
pub const DIRECTORY: &str = "/var/lib/vipd";
/// The newer file.
pub const NEWER: &str = "history.jsonl";
/// The older one, which goes when the newer one is full.
pub const OLDER: &str = "history.1.jsonl";
/// How large each of them gets.
pub const LARGEST: u64 = 4 << 20;

/// How many events may wait for the disk.
const WAITING: usize = 1024;

/// The service thread's end.
#[derive(Debug)]
pub struct Archive {
    directory: PathBuf,
    queue: Mutex<Option<SyncSender<Arc<Entry>>>>,
    ended: Mutex<Receiver<()>>,
    shared: Arc<Shared>,
}

/// What both threads know.
#[derive(Debug, Default)]
struct Shared {
    /// Events that were not written.
    lost: AtomicU64,
    /// Why nothing is written.
    trouble: Mutex<Option<String>>,
}

impl Shared {
    fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

impl Archive {
    /// Begins to write in a directory, which is made if need be. A directory that refuses is a warning.
    pub fn begin(directory: &Path) -> Self {
        let (queue, entries) = sync_channel(WAITING);
        let (end, ended) = sync_channel(1);
        let shared = Arc::new(Shared::default());
        let mut writer = Writer::new(directory.to_owned(), Arc::clone(&shared));
        let spawned = std::thread::Builder::new().name("history".to_owned()).spawn(move || {
            writer.write_all(&entries);
            // The lock goes with it: who hears of the end may want it.
            drop(writer);
            // Whoever does not wait any more need not hear of the end.
            if end.send(()).is_err() {}
        });
        if let Err(error) = spawned {
            shared.set_trouble(Some(format!("history is not kept: no thread for it: {error}")));
        }
        let (queue, ended) = (Mutex::new(Some(queue)), Mutex::new(ended));
        Self { directory: directory.to_owned(), queue, ended, shared }
    }

    /// The state directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Has an event written, without waiting.
    pub fn keep(&self, entry: &Arc<Entry>) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        match queue.as_ref().map(|queue| queue.try_send(Arc::clone(entry))) {
            Some(Ok(())) | None => {}
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) => {
                self.shared.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Why nothing is written, as a sentence.
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes what waits, and ends; a disk that hangs is not waited for.
    pub fn finish(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(PATIENCE).is_err() {
            tracing::warn!("the last events may not have been written to {}", self.directory.display());
        }
    }
}

/// How long the end may take: another agent is to go on.
const PATIENCE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
