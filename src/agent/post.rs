//! What passes between the service thread and the protocol thread: requests one way, notices the other.
//!
//! Neither side ever waits for the other here. Requests are bounded and refused when there are too many; a check's
//! newer verdict replaces an older one that has not been read. Notices are bounded too: the oldest is dropped and
//! counted, because the protocol thread must not wait for anybody who listens.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::{Notify, oneshot};

use super::capture::Tap;
use crate::engine::Engine;
use crate::engine::event::Target;
use crate::engine::inheritance::Inheritance;
use crate::engine::notice::Notice;
use crate::engine::settings::Settings;
use crate::engine::signing::Signed;
use crate::engine::status::Status;
use crate::net::Priority;
use crate::proto::health::Verdict;
use crate::time::Instant;

/// How many requests may wait; verdicts and shutdowns are accepted beyond it, they replace their like.
pub const REQUESTS: usize = 256;
/// How many notices may wait.
pub const NOTICES: usize = 1024;

/// What the service thread asks of the protocol thread.
#[derive(Debug)]
pub enum Request {
    /// A check changed its mind.
    Verdict {
        /// The check's name.
        check: String,
        /// What it says now.
        verdict: Verdict,
        /// What it saw.
        why: String,
    },
    /// A check read another value.
    Value {
        /// The check's name.
        check: String,
        /// What it read.
        value: i32,
    },
    /// A new configuration.
    Reload(Settings),
    /// A file says what an instance's priority is.
    Priority {
        /// The instance's name.
        instance: String,
        /// What it says.
        priority: Priority,
    },
    /// The operator wants these instances elsewhere.
    StepDown(Target),
    /// The operator takes that back.
    Resume(Target),
    /// Somebody wants to know how things stand.
    Status(oneshot::Sender<Status>),
    /// Somebody wants to look ahead: a copy of the engine, and the moment it is of.
    Copy(oneshot::Sender<(Instant, Box<Engine>)>),
    /// What would be there for the next agent.
    Bequest(oneshot::Sender<Inheritance>),
    /// What was signed and heard.
    Signed(oneshot::Sender<Vec<Signed>>),
    /// Somebody looks on while packets arrive.
    Capture(Tap),
    /// End, and leave everything as it is.
    Leave,
    /// Hand everything over and end.
    Shutdown,
    /// Release everything and end.
    ShutdownNow,
}

impl Request {
    /// Whether this request makes `older` pointless.
    fn replaces(&self, older: &Self) -> bool {
        match (self, older) {
            (Self::Verdict { check, .. }, Self::Verdict { check: other, .. })
            | (Self::Value { check, .. }, Self::Value { check: other, .. }) => check == other,
            (Self::Shutdown, Self::Shutdown)
            | (Self::ShutdownNow, Self::ShutdownNow)
            | (Self::Leave, Self::Leave) => true,
            _ => false,
        }
    }

    /// Whether the request is accepted however many wait: there is at most one of its like.
    fn is_unrefusable(&self) -> bool {
        matches!(
            self,
            Self::Verdict { .. } | Self::Value { .. } | Self::Shutdown | Self::ShutdownNow | Self::Leave
        )
    }
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many wait already.
    #[error("the protocol thread has {REQUESTS} requests waiting and does not get to them")]
    Full,
    /// Nobody will ever read it.
    #[error("the protocol thread has ended")]
    Ended,
}

/// The service thread's end for requests.
#[derive(Clone, Debug)]
pub struct Post(Arc<Shared>);

/// The protocol thread's end for requests: readable, for `epoll`, while any wait.
#[derive(Debug)]
pub struct Inbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    wake: EventFd,
}

#[derive(Debug)]
struct Queue {
    requests: VecDeque<Request>,
    ended: bool,
}

/// A way for requests; fails only if the kernel has no `eventfd` to give.
pub fn requests() -> std::io::Result<(Post, Inbox)> {
    let wake = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
    let queue = Mutex::new(Queue { requests: VecDeque::with_capacity(REQUESTS), ended: false });
    let shared = Arc::new(Shared { queue, wake });
    Ok((Post(Arc::clone(&shared)), Inbox(shared)))
}

impl Post {
    /// Hands a request over and wakes the protocol thread.
    pub fn send(&self, request: Request) -> Result<(), Refused> {
        {
            let mut queue = locked(&self.0.queue);
            if queue.ended {
                return Err(Refused::Ended);
            }
            queue.requests.retain(|older| !request.replaces(older));
            if queue.requests.len() >= REQUESTS && !request.is_unrefusable() {
                return Err(Refused::Full);
            }
            queue.requests.push_back(request);
        }
        match self.0.wake.write(1) {
            // EAGAIN: the counter is full, so the reader has been woken often enough.
            Ok(_) | Err(Errno::EAGAIN) => {}
            Err(error) => tracing::error!(%error, "cannot wake the protocol thread"),
        }
        Ok(())
    }
}

impl Inbox {
    /// Takes every request that waits, oldest first.
    pub fn drain(&mut self) -> VecDeque<Request> {
        // The counter first: a request that arrives in between wakes us once too often, not once too seldom.
        match self.0.wake.read() {
            // EAGAIN: it was zero. No other error comes from an eventfd, and the requests would be there all the same.
            Ok(_) | Err(_) => {}
        }
        let mut queue = locked(&self.0.queue);
        if queue.requests.is_empty() {
            return VecDeque::new();
        }
        std::mem::take(&mut queue.requests)
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.wake.as_fd()
    }
}

impl Drop for Inbox {
    /// Whoever waits for an answer learns at once that none will come.
    fn drop(&mut self) {
        let abandoned = {
            let mut queue = locked(&self.0.queue);
            queue.ended = true;
            std::mem::take(&mut queue.requests)
        };
        drop(abandoned);
    }
}

/// The protocol thread's end for notices.
#[derive(Debug)]
pub struct Notices(Arc<Ring>);

/// The service thread's end for notices.
#[derive(Debug)]
pub struct NoticeReader(Arc<Ring>);

/// Some notices, oldest first, and how many before them were dropped unread.
#[derive(Debug, Default)]
pub struct Batch {
    /// The notices.
    pub notices: VecDeque<Notice>,
    /// How many were dropped before the first of these.
    pub lost: u64,
}

#[derive(Debug)]
struct Ring {
    kept: Mutex<Kept>,
    arrived: Notify,
}

#[derive(Debug)]
struct Kept {
    batch: Batch,
    ended: bool,
}

/// A way for notices.
pub fn notices() -> (Notices, NoticeReader) {
    let kept = Mutex::new(Kept { batch: Batch::default(), ended: false });
    let ring = Arc::new(Ring { kept, arrived: Notify::new() });
    (Notices(Arc::clone(&ring)), NoticeReader(ring))
}

impl Notices {
    /// Leaves a notice; the oldest goes if too many are unread.
    pub fn push(&self, notice: Notice) {
        let dropped = {
            let mut kept = locked(&self.0.kept);
            let full = kept.batch.notices.len() >= NOTICES;
            let dropped = if full { kept.batch.notices.pop_front() } else { None };
            kept.batch.lost += u64::from(full);
            kept.batch.notices.push_back(notice);
            dropped
        };
        drop(dropped);
        self.0.arrived.notify_one();
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        locked(&self.0.kept).ended = true;
        self.0.arrived.notify_one();
    }
}

impl NoticeReader {
    /// Waits for notices; `None` once the protocol thread has ended and all are read. Cancel-safe.
    pub async fn next(&mut self) -> Option<Batch> {
        loop {
            {
                let mut kept = locked(&self.0.kept);
                if !kept.batch.notices.is_empty() {
                    return Some(std::mem::take(&mut kept.batch));
                }
                if kept.ended {
                    return None;
                }
            }
            self.0.arrived.notified().await;
        }
    }
}

/// Every critical section here leaves the queue whole, so a panic elsewhere in it is no reason to stop.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::notice::What;
    use crate::time::Instant;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    fn verdict(check: &str, verdict: Verdict) -> Request {
        Request::Verdict { check: check.into(), verdict, why: "seen".into() }
    }

    fn notice(at: u64) -> Notice {
        Notice { at: Instant::from_nanos(at), about: None, what: What::SendRecovered }
    }

    fn readable(inbox: &Inbox) -> bool {
        let mut fds = [PollFd::new(inbox.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn the_newest_verdict_of_a_check_replaces_an_unread_one() {
        let (post, mut inbox) = requests().unwrap();
        post.send(verdict("nginx", Verdict::Down)).unwrap();
        post.send(verdict("disk", Verdict::Down)).unwrap();
        post.send(verdict("nginx", Verdict::Up)).unwrap();
        let read: Vec<_> = inbox
            .drain()
            .into_iter()
            .map(|request| match request {
                Request::Verdict { check, verdict, .. } => (check, verdict),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(read, [("disk".to_owned(), Verdict::Down), ("nginx".to_owned(), Verdict::Up)]);
    }

    #[test]
    fn the_256th_command_waits_and_the_next_is_refused_but_a_verdict_is_not() {
        let (post, mut inbox) = requests().unwrap();
        for _ in 0..REQUESTS {
            post.send(Request::StepDown(Target::All)).unwrap();
        }
        assert_eq!(post.send(Request::Resume(Target::All)), Err(Refused::Full));
        post.send(verdict("nginx", Verdict::Down)).unwrap();
        post.send(Request::Shutdown).unwrap();
        post.send(Request::Shutdown).unwrap();
        assert_eq!(inbox.drain().len(), REQUESTS + 2);
        post.send(Request::Resume(Target::All)).unwrap();
    }

    #[test]
    fn the_inbox_is_readable_exactly_while_requests_wait() {
        let (post, mut inbox) = requests().unwrap();
        assert!(!readable(&inbox));
        post.send(Request::Shutdown).unwrap();
        assert!(readable(&inbox));
        assert_eq!(inbox.drain().len(), 1);
        assert!(!readable(&inbox));
    }

    #[test]
    fn whoever_waits_for_an_answer_learns_that_the_reader_is_gone() {
        let (post, inbox) = requests().unwrap();
        let (answer, mut asked) = oneshot::channel();
        post.send(Request::Status(answer)).unwrap();
        drop(inbox);
        assert_eq!(asked.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(post.send(Request::Shutdown), Err(Refused::Ended));
    }

    #[tokio::test]
    async fn the_oldest_notices_are_dropped_and_counted() {
        let (notices, mut reader) = notices();
        for at in 0..NOTICES as u64 + 3 {
            notices.push(notice(at));
        }
        let batch = reader.next().await.unwrap();
        assert_eq!((batch.notices.len(), batch.lost), (NOTICES, 3));
        assert_eq!(batch.notices[0].at, Instant::from_nanos(3));
        notices.push(notice(9));
        drop(notices);
        assert_eq!(reader.next().await.unwrap().lost, 0);
        assert!(reader.next().await.is_none(), "the end comes after the last notice");
    }

    #[tokio::test]
    async fn a_notice_from_another_thread_wakes_the_reader() {
        let (notices, mut reader) = notices();
        let pushes = std::thread::spawn(move || notices.push(notice(1)));
        assert_eq!(reader.next().await.unwrap().notices.len(), 1);
        pushes.join().unwrap();
    }
}
