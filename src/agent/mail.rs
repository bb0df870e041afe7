//! The ways between the protocol thread, which never waits, and its workers, which may.
//!
//! To a worker goes a [`Mailbox`]: the newest wanted state of each instance, one slot each, so nothing grows and
//! nothing is dropped. Back come [`Answers`], a bounded queue; when it is full the worker waits, for it can.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::engine::action::{
    Endpoint, Gate, Generation, Hold, InstanceId, Listen, Place, RouterId, VirtualLink, VirtualLinkId,
};
use crate::engine::event::{Gated, Held, Linked, Opened, Picture, SeenPath};
use crate::sys::vrrp_socket::VrrpSocket;

/// How many answers may wait for the protocol thread.
pub const ANSWERS: usize = 1024;

/// What a worker has been asked for and has not taken yet.
#[derive(Debug, Default)]
pub struct Slots {
    /// Addresses to have and not to have.
    pub hold: BTreeMap<InstanceId, Hold>,
    /// What addresses may answer.
    pub gate: BTreeMap<RouterId, Gate>,
    /// Links of virtual routers' own to have and not to have.
    pub links: BTreeMap<VirtualLinkId, VirtualLink>,
    /// Sockets to open.
    pub listen: BTreeMap<Endpoint, Listen>,
    /// Sockets to close: leaving their groups may wait for RTNL.
    pub closing: Vec<VrrpSocket>,
    /// Whether a picture of all links and addresses is wanted.
    pub dump: bool,
    /// Whether to end once all of this is done.
    pub stop: bool,
    /// Whether to end so, and to leave everything as it is.
    pub leave: bool,
}

impl Slots {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.hold.is_empty()
            && self.links.is_empty()
            && self.gate.is_empty()
            && self.listen.is_empty()
            && self.closing.is_empty()
            && !self.dump
            && !self.stop
            && !self.leave
    }
}

/// The newest wanted state, on its way from the protocol thread to one worker.
#[derive(Debug, Default)]
pub struct Mailbox {
    slots: Mutex<Slots>,
    filled: Condvar,
}

impl Mailbox {
    /// An empty mailbox.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Asks for addresses, in place of what was asked for before and has not been begun.
    pub fn hold(&self, hold: Hold) {
        self.change(|slots| drop(slots.hold.insert(hold.instance, hold)));
    }

    /// Says what addresses may answer, in place of what was said before. The worker takes all of these or none.
    pub fn gate(&self, gates: impl IntoIterator<Item = Gate>) {
        self.change(|slots| slots.gate.extend(gates.into_iter().map(|gate| (gate.router, gate))));
    }

    /// Says how a virtual router's own link is to be, in place of what was said before.
    pub fn link(&self, link: VirtualLink) {
        self.change(|slots| drop(slots.links.insert(link.id, link)));
    }

    /// Asks for a socket, in place of what was asked for before at its endpoint.
    pub fn listen(&self, listen: Listen) {
        self.change(|slots| drop(slots.listen.insert(listen.endpoint, listen)));
    }

    /// Asks for a picture of all links and addresses.
    pub fn dump(&self) {
        self.change(|slots| slots.dump = true);
    }

    /// Hands over a socket to be closed.
    pub fn close(&self, socket: VrrpSocket) {
        self.change(|slots| slots.closing.push(socket));
    }

    /// Asks the worker to end when everything asked for is done.
    pub fn stop(&self) {
        self.change(|slots| slots.stop = true);
    }

    /// Asks the worker to end when everything asked for is done, and to leave everything as it is.
    pub fn leave(&self) {
        self.change(|slots| slots.leave = true);
    }

    /// Takes everything, waiting up to `timeout` for something to take.
    pub fn take(&self, timeout: Duration) -> Slots {
        let mut slots = self.lock();
        if !timeout.is_zero() {
            let waited = self.filled.wait_timeout_while(slots, timeout, |slots| slots.is_empty());
            slots = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::take(&mut slots)
    }

    /// Whether newer work waits for this instance: what is being done may be abandoned.
    pub fn superseded(&self, instance: InstanceId, generation: Generation) -> bool {
        let slots = self.lock();
        slots.hold.get(&instance).is_some_and(|newer| newer.generation > generation)
    }

    fn change(&self, change: impl FnOnce(&mut Slots)) {
        change(&mut self.lock());
        self.filled.notify_one();
    }

    /// The lock is held for a few map operations. Should one panic, the newest wanted state is still the best
    /// there is.
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a worker has to say to the protocol thread.
#[derive(Debug)]
pub enum Answer {
    /// Addresses were installed and removed as far as the kernel allowed.
    Held(Held),
    /// A socket was opened, or could not be.
    Opened {
        /// The outcome.
        opened: Opened,
        /// The socket, if it was opened.
        socket: Option<VrrpSocket>,
    },
    /// How a gate stands.
    Gated(Gated),
    /// What came of an order for a virtual router's own link.
    Linked(Linked),
    /// All links and addresses.
    Picture(Picture),
    /// All routes and rules with our mark; follows a picture.
    Paths(Vec<SeenPath>),
    /// Addresses in the last picture that have no local route.
    Unrouted(Vec<Place>),
    /// There is no picture for this agent; and why.
    Excluded(String),
}

/// The workers' end of the queue.
#[derive(Clone, Debug)]
pub struct AnswerSender {
    queue: SyncSender<Answer>,
    wakeup: Arc<EventFd>,
}

/// The protocol thread's end of the queue; readable when there are answers.
#[derive(Debug)]
pub struct Answers {
    queue: Receiver<Answer>,
    wakeup: Arc<EventFd>,
}

/// A queue of at most [`ANSWERS`] answers.
pub fn answers() -> io::Result<(AnswerSender, Answers)> {
    let wakeup = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
    let (sender, queue) = sync_channel(ANSWERS);
    Ok((AnswerSender { queue: sender, wakeup: Arc::clone(&wakeup) }, Answers { queue, wakeup }))
}

impl AnswerSender {
    /// Sends an answer, waiting while the queue is full. Once nobody listens any more, answers are dropped.
    pub fn send(&self, answer: Answer) {
        // A queue that is full has woken its reader already.
        if self.queue.send(answer).is_ok() {
            wake(&self.wakeup);
        }
    }
}

impl Answers {
    /// Takes up to `limit` answers. If more may be waiting, the descriptor stays readable.
    pub fn drain(&self, limit: usize) -> Vec<Answer> {
        // The counter is a wakeup, its value means nothing; empty (EAGAIN) is as good as read.
        let woken = self.wakeup.read();
        debug_assert!(matches!(woken, Ok(_) | Err(Errno::EAGAIN)), "{woken:?}");
        let answers: Vec<_> = self.queue.try_iter().take(limit).collect();
        if answers.len() == limit {
            wake(&self.wakeup);
        }
        answers
    }
}

impl AsFd for Answers {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wakeup.as_fd()
    }
}

/// A counter at its limit (EAGAIN) is readable, which is all that is wanted; nothing else can fail.
fn wake(wakeup: &EventFd) {
    let woken = wakeup.write(1);
    debug_assert!(matches!(woken, Ok(_) | Err(Errno::EAGAIN)), "{woken:?}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::action::Paths;
    use crate::net::{Family, LinkIndex};
    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

    const WEB: InstanceId = InstanceId(1);

    fn hold(generation: u64) -> Hold {
        Hold {
            instance: WEB,
            generation: Generation(generation),
            remove: Vec::new(),
            install: Vec::new(),
            paths: Paths::default(),
        }
    }

    fn held(generation: u64) -> Answer {
        Answer::Held(Held {
            instance: WEB,
            generation: Generation(generation),
            refused: Vec::new(),
            refused_paths: Vec::new(),
        })
    }

    fn generations(answers: Vec<Answer>) -> Vec<u64> {
        let held = |answer| match answer {
            Answer::Held(held) => held.generation.0,
            other => panic!("{other:?}"),
        };
        answers.into_iter().map(held).collect()
    }

    fn readable(answers: &Answers) -> bool {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        epoll.add(answers, EpollEvent::new(EpollFlags::EPOLLIN, 0)).unwrap();
        epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn a_newer_hold_replaces_the_older() {
        let mailbox = Mailbox::new();
        mailbox.hold(hold(1));
        mailbox.hold(hold(2));
        let slots = mailbox.take(Duration::ZERO);
        assert_eq!(slots.hold[&WEB].generation, Generation(2));
        assert!(mailbox.take(Duration::ZERO).is_empty());
    }

    #[test]
    fn work_in_hand_is_superseded_by_a_newer_order_only() {
        let mailbox = Mailbox::new();
        assert!(!mailbox.superseded(WEB, Generation(1)));
        mailbox.hold(hold(2));
        assert!(mailbox.superseded(WEB, Generation(1)));
        assert!(!mailbox.superseded(WEB, Generation(2)));
        assert!(!mailbox.superseded(InstanceId(9), Generation(1)));
    }

    #[test]
    fn listening_has_one_slot_an_endpoint() {
        let mailbox = Mailbox::new();
        for (family, generation) in [(Family::Ipv4, 1), (Family::Ipv6, 2), (Family::Ipv4, 3)] {
            let endpoint = Endpoint { link: LinkIndex(2), family };
            let generation = Generation(generation);
            mailbox.listen(Listen { endpoint, generation, groups: None });
        }
        let slots = mailbox.take(Duration::ZERO);
        assert_eq!(slots.listen.values().map(|listen| listen.generation.0).collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn waiting_ends_as_soon_as_there_is_work() {
        let mailbox = Mailbox::new();
        let worker = Arc::clone(&mailbox);
        let waiting = std::thread::spawn(move || worker.take(Duration::from_secs(60)));
        mailbox.dump();
        assert!(waiting.join().unwrap().dump);
    }

    #[test]
    fn answers_arrive_in_order_and_the_rest_stays_readable() {
        let (sender, answers) = answers().unwrap();
        assert!(!readable(&answers));
        for generation in 0..3 {
            sender.send(held(generation));
        }
        assert!(readable(&answers));
        assert_eq!(generations(answers.drain(2)), [0, 1]);
        assert!(readable(&answers));
        assert_eq!(generations(answers.drain(2)), [2]);
        assert!(!readable(&answers));
    }

    #[test]
    fn a_worker_waits_while_the_queue_is_full_and_loses_nothing() {
        let (sender, answers) = answers().unwrap();
        let total = ANSWERS as u64 + 10;
        let worker = std::thread::spawn(move || (0..total).for_each(|n| sender.send(held(n))));
        let mut taken = Vec::new();
        while taken.len() < ANSWERS + 10 {
            taken.extend(generations(answers.drain(100)));
            std::thread::yield_now();
        }
        worker.join().unwrap();
        assert_eq!(taken, (0..total).collect::<Vec<_>>());
    }

    #[test]
    fn an_answer_to_nobody_is_dropped() {
        let (sender, answers) = answers().unwrap();
        drop(answers);
        sender.send(held(1));
    }
}
