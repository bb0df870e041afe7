//! Keeping the state file true: the engine is asked what it would leave whenever something happened, and what is new is
//! written. No advert is an occasion.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, oneshot};
use tokio::time::{sleep, timeout};

use super::history::{ENTRIES, History};
use super::post::{Post, Request};
use super::state;
use crate::engine::inheritance::Inheritance;
use crate::sys::clock;

/// The state file of this agent.
#[derive(Debug)]
pub struct Bequest {
    directory: PathBuf,
    post: Post,
    /// What the file says; nothing any more once it has been closed.
    file: Mutex<Contents>,
}

#[derive(Debug)]
enum Contents {
    Unknown,
    Known(Inheritance),
    /// The last word has been said.
    Closed,
}

impl Bequest {
    /// In this runtime directory, from the engine behind `post`.
    pub fn new(directory: PathBuf, post: Post) -> Self {
        Self { directory, post, file: Mutex::new(Contents::Unknown) }
    }

    /// Writes what is new whenever something happened; never ends.
    pub async fn keep(&self, history: &Arc<History>) {
        let mut follower = history.follow(0);
        loop {
            follower.next(ENTRIES).await;
            if let Err(error) = self.renew(false).await {
                tracing::warn!(%error, "cannot write the state file");
            }
            // Whatever else happens right now is written together.
            sleep(PAUSE).await;
        }
    }

    /// The agent ends, and another one is to go on with everything. Without the file it could not: after an error
    /// nothing has changed.
    pub async fn hand_on(&self) -> io::Result<()> {
        self.renew(true).await
    }

    /// Whether the file can be written.
    pub async fn check(&self) -> io::Result<()> {
        // What stands in it already may have been written when there was still room.
        let mut file = self.file.lock().await;
        if !matches!(*file, Contents::Closed) {
            *file = Contents::Unknown;
        }
        drop(file);
        self.renew(false).await
    }

    /// The agent ends, and leaves nothing.
    pub async fn close(&self) {
        *self.file.lock().await = Contents::Closed;
        if let Err(error) = state::remove(&self.directory) {
            tracing::warn!(%error, "cannot remove the state file");
        }
    }

    async fn renew(&self, handed_on: bool) -> io::Result<()> {
        let mut file = self.file.lock().await;
        if matches!(*file, Contents::Closed) {
            return Ok(());
        }
        let (answer, answered) = oneshot::channel();
        let asked = self.post.send(Request::Bequest(answer));
        // Without an answer the file says what was true last; the lease will tell whether it still is.
        let (Ok(()), Ok(Ok(inheritance))) = (asked, timeout(PATIENCE, answered).await) else { return Ok(()) };
        let state = Inheritance { handed_on, ..inheritance };
        let is_known = matches!(&*file, Contents::Known(known) if *known == state);
        if !is_known {
            self.write(&state)?;
            *file = Contents::Known(state);
        }
        if handed_on {
            *file = Contents::Closed;
        }
        Ok(())
    }

    fn write(&self, state: &Inheritance) -> io::Result<()> {
        state::write(&self.directory, &clock::boot_id()?, state)
    }
}

/// How long the engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(10);
