//! The runner: a process that serves agents of another user, and has none of their rights.
//!
//! The listening socket is the standard input (`StandardInput=socket`). A connection is a run (see `frame.rs`): as long
//! as it is open the script may run, when it is closed, for the time is up or the agent is gone, the script is killed
//! with all it started. The file's mode says who may connect; beyond that only root and the file's owner are served, so
//! that a mode that was loosened gives nobody a process of ours.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener as StdListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::AsyncReadExt;
use tokio::net::unix::WriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::check::process;
use crate::reach::child::{End, Running, Started};
use crate::reach::runner::frame::{Answer, Request};
use crate::time::Duration;

/// Why there is no runner.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Nobody gave us a socket.
    #[error(
        "standard input is no listening Unix socket: {0}; 'systemctl start vipd-scripts.socket' starts it with one"
    )]
    NoSocket(io::Error),
    /// The system refused something.
    #[error("cannot {what}: {why}")]
    System {
        /// What was being done.
        what: &'static str,
        /// What came of it.
        why: io::Error,
    },
}

/// Serves whoever may ask on the socket that is the standard input, until SIGTERM.
pub fn run() -> Result<(), Trouble> {
    let refused = |what| move |why| Trouble::System { what, why };
    let input = io::stdin().as_fd().try_clone_to_owned().map_err(Trouble::NoSocket)?;
    let listener = StdListener::from(input);
    let owner = owner(&listener).map_err(Trouble::NoSocket)?;
    listener.set_nonblocking(true).map_err(refused("prepare the socket"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().thread_name("blocking").build();
    let runtime = runtime.map_err(refused("start the runtime"))?;
    runtime.block_on(async {
        let listener = UnixListener::from_std(listener).map_err(refused("listen"))?;
        let mut end = signal(SignalKind::terminate()).map_err(refused("listen to signals"))?;
        tokio::select! {
            () = accept(&listener, owner) => {}
            _ = end.recv() => {}
        }
        // With the runtime every run is dropped, and every script is killed.
        Ok(())
    })
}

/// Who owns the socket's file.
fn owner(listener: &StdListener) -> io::Result<u32> {
    // A socket that does not listen has no business here: `accept` would fail for ever.
    if !nix::sys::socket::getsockopt(listener, nix::sys::socket::sockopt::AcceptConn)? {
        return Err(io::Error::other("it does not listen"));
    }
    let address = listener.local_addr()?;
    let path = address.as_pathname().ok_or_else(|| io::Error::other("it has no file"))?;
    Ok(std::fs::metadata(path)?.uid())
}

pub(super) async fn accept(listener: &UnixListener, owner: u32) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let busy = Busy::default();
    loop {
        // Whoever finds no room waits in the listening queue, and for no longer than the agent waits.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                sleep(PAUSE).await;
                continue;
            }
        };
        let busy = busy.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(stream, owner, &busy).await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
}

async fn serve(mut stream: UnixStream, owner: u32, busy: &Busy) -> io::Result<()> {
    // Before anybody is refused: an answer to what has not been read does not arrive.
    let request = timeout(PATIENCE, Request::read(&mut stream)).await??;
    let peer = stream.peer_cred()?;
    if peer.uid() != 0 && peer.uid() != owner {
        tracing::warn!(uid = peer.uid(), pid = peer.pid(), "asks for a script and is not the agent");
        let why = format!("the script runner serves user {owner}, not {}", peer.uid());
        return Answer::Ended(End::Failed(why)).write(&mut stream).await;
    }
    let (mut reader, mut writer) = stream.split();
    let mut nothing = [0];
    tokio::select! {
        done = answer(request, busy, &mut writer) => done,
        // Whether it went away or went on talking: it does not wait for this any more.
        _ = reader.read(&mut nothing) => Ok(()),
    }
}

async fn answer(request: Request, busy: &Busy, to: &mut WriteHalf<'_>) -> io::Result<()> {
    let answer = match &request {
        Request::Run { task, timeout_ms } => {
            let limit = Duration::from_millis(*timeout_ms).saturating_add(PATIENCE);
            let start = task.clone();
            let begun = busy.alone(&request, move || start.start()).await;
            timeout(limit, follow(begun.flatten(), to)).await??.map(Answer::Ended)
        }
        Request::Count { process, check: _ } => {
            let name = process.clone();
            busy.alone(&request, move || process::count(&name, None)).await.flatten().map(Answer::Counted)
        }
        Request::Match { process, arguments, check: _ } => {
            let (name, arguments) = (process.clone(), arguments.clone());
            let count = move || process::count(&name, Some(&arguments));
            busy.alone(&request, count).await.flatten().map(Answer::Counted)
        }
    };
    let failed = |why: String| Answer::Ended(End::Failed(why.chars().take(LONGEST_REASON).collect()));
    answer.unwrap_or_else(failed).write(to).await
}

/// Tells of a script that has been started, and how it ended; kills it when dropped.
async fn follow(begun: Result<Started, String>, to: &mut WriteHalf<'_>) -> io::Result<Result<End, String>> {
    let mut script = match begun.and_then(Running::new) {
        Ok(script) => script,
        Err(why) => return Ok(Err(why)),
    };
    Answer::Started.write(to).await?;
    loop {
        match script.next().await {
            Ok(Some(bytes)) => Answer::Output(bytes.to_vec()).write(to).await?,
            Ok(None) => return Ok(script.end()),
            Err(why) => return Ok(Err(why)),
        }
    }
}

/// Requests that may be waiting in the kernel just now. Such a wait cannot be ended: the same request is refused until
/// it is over, so that a file system that never answers holds a thread a check and not one a run.
#[derive(Clone, Default)]
pub(super) struct Busy(Arc<Mutex<BTreeSet<Request>>>);

impl Busy {
    /// What `call`, which may wait, answers.
    async fn alone<T: Send + 'static>(
        &self,
        request: &Request,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let entry = self.enter(request).ok_or("the run before it still hangs in the kernel")?;
        let answer = tokio::task::spawn_blocking(move || {
            let answer = call();
            drop(entry);
            answer
        });
        answer.await.map_err(|error| format!("the script runner could not look: {error}"))
    }

    pub(super) fn enter(&self, request: &Request) -> Option<Entry> {
        self.locked().insert(request.clone()).then(|| Entry { list: self.clone(), request: request.clone() })
    }

    fn locked(&self) -> MutexGuard<'_, BTreeSet<Request>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Entry {
    list: Busy,
    request: Request,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.list.locked().remove(&self.request);
    }
}

/// How many requests are served at once.
const AT_ONCE: usize = 256;
/// How long a request may take to arrive, and a script may run when the agent should have ended it.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many characters of a reason are told; there may be a path in it.
const LONGEST_REASON: usize = 1000;
/// The pause after an `accept` that failed for want of something, typically descriptors.
const PAUSE: Duration = Duration::from_millis(100);
