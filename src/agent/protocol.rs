//! The protocol thread: it owns the engine and waits for nothing but its own `epoll`.
//!
//! A turn:
//!
//! 1. Read the clocks: `now`, and what the wall clock shows, for signatures. If the turn is late, the engine hears of that before anything else.
//! 2. `Tick`: adverts that are owed go out first, whatever waits to be read.
//! 3. If a deadline has come, ask `epoll` again, without waiting: whatever was received before `now` is readable by now.
//!    Read what is ready, adverts before everything else, and the kernel's reports before the workers' answers, which
//!    are younger.
//! 4. If a deadline had come: `Silence { until: now }`, for everything received before `now` has been heard.
//! 5. Arm the timer for the engine's deadline. It may stay armed for an earlier one: a spare turn costs less than a
//!    system call for every advert that puts a deadline off.
//!
//! Actions are performed after every single event, in order (`perform`).

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::announce::Announcer;
use super::capture::Taps;
use super::heartbeat::Heartbeat;
use super::mail::{Answer, Answers, Mailbox};
use super::post::{Inbox, Notices, Request};
use crate::engine::Engine;
use crate::engine::action::{Action, Endpoint, Generation};
use crate::engine::event::{Change, Event, Received};
use crate::engine::notice::{Notice, What};
use crate::engine::signing::Signed;
use crate::net::{Family, LinkIndex};
use crate::sys::claims::Listener;
use crate::sys::clock::{self, Reading, Timer};
use crate::sys::monitor::Monitor;
use crate::sys::vrrp_socket::VrrpSocket;
use crate::time::{Duration, Instant};

/// What the thread needs to run.
#[derive(Debug)]
pub struct Parts {
    /// The engine, before its first event.
    pub engine: Engine,
    /// Requests of the service thread.
    pub inbox: Inbox,
    /// Notices for the service thread.
    pub notices: Notices,
    /// Orders to the route thread.
    pub route: Arc<Mailbox>,
    /// Orders to the announce thread.
    pub announcer: Announcer,
    /// Orders to the gate thread.
    pub gate: Arc<Mailbox>,
    /// What the route thread answers.
    pub answers: Answers,
    /// Shows that the thread turns.
    pub heartbeat: Heartbeat,
}

/// What the thread has at its end.
#[derive(Debug)]
pub struct Remains {
    /// Its sockets.
    pub sockets: Vec<VrrpSocket>,
    /// What was signed and heard.
    pub signed: Vec<Signed>,
}

/// The thread's state.
pub(super) struct Protocol {
    pub(super) engine: Engine,
    pub(super) notices: Notices,
    pub(super) route: Arc<Mailbox>,
    pub(super) announcer: Announcer,
    pub(super) gate: Arc<Mailbox>,
    pub(super) sockets: BTreeMap<Endpoint, VrrpSocket>,
    /// The newest order for each socket; an answer to an older one is not wanted any more.
    pub(super) listening: BTreeMap<Endpoint, Generation>,
    pub(super) epoll: Epoll,
    inbox: Inbox,
    answers: Answers,
    timer: Timer,
    monitor: Monitor,
    arp: Listener,
    ndp: Listener,
    heartbeat: Heartbeat,
    /// The start of the turn before this one.
    last_turn: Instant,
    /// When the engine, or the end of a shutdown, wanted a turn.
    deadline: Option<Instant>,
    /// What the timer is armed for.
    armed: Option<Instant>,
    /// Whether to end and leave everything as it is.
    leaving: bool,
    /// When a shutdown that does not come to its end is given up.
    give_up_at: Option<Instant>,
    actions: Vec<Action>,
    buffer: Vec<u8>,
    taps: Taps,
}

/// Starts the thread. Sockets that concern the whole agent are opened here, so that a lack of privileges ends the
/// start and not the thread.
pub fn spawn(parts: Parts) -> io::Result<JoinHandle<Remains>> {
    let mut protocol = Protocol::new(parts)?;
    std::thread::Builder::new().name("protocol".to_owned()).stack_size(STACK).spawn(move || {
        protocol.run();
        let signed = protocol.engine.signed();
        Remains { sockets: protocol.sockets.into_values().collect(), signed }
    })
}

impl Protocol {
    fn new(parts: Parts) -> io::Result<Self> {
        let now = clock::now();
        let protocol = Self {
            engine: parts.engine,
            notices: parts.notices,
            route: parts.route,
            announcer: parts.announcer,
            gate: parts.gate,
            sockets: BTreeMap::new(),
            listening: BTreeMap::new(),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            inbox: parts.inbox,
            answers: parts.answers,
            timer: Timer::new()?,
            // Before the first dump is asked for: no change can fall between the two.
            monitor: Monitor::open()?,
            arp: Listener::arp()?,
            ndp: Listener::ndp()?,
            heartbeat: parts.heartbeat,
            last_turn: now,
            deadline: None,
            armed: None,
            leaving: false,
            give_up_at: None,
            actions: Vec::new(),
            buffer: vec![0; DATAGRAM],
            taps: Taps::default(),
        };
        let sources: [(u64, &dyn AsFd); 6] = [
            (TIMER, &protocol.timer),
            (INBOX, &protocol.inbox),
            (ANSWERS, &protocol.answers),
            (MONITOR, &protocol.monitor),
            (ARP, &protocol.arp),
            (NDP, &protocol.ndp),
        ];
        for (token, source) in sources {
            protocol.epoll.add(source.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, token))?;
        }
        protocol.route.dump();
        Ok(protocol)
    }

    fn run(&mut self) {
        let mut ready = Vec::new();
        while !self.is_done() {
            self.wait(&mut ready, EpollTimeout::NONE);
            self.turn(&mut ready);
        }
    }

    fn is_done(&self) -> bool {
        self.leaving || self.engine.is_idle() || self.give_up_at.is_some_and(|at| at <= self.last_turn)
    }

    /// Asks `epoll` what is ready; room for everything there is, so that nothing readable stays unseen.
    fn wait(&self, ready: &mut Vec<EpollEvent>, timeout: EpollTimeout) {
        ready.resize(self.sockets.len() + FIXED, EpollEvent::empty());
        // An interrupted wait found nothing, and nothing else can go wrong with a descriptor of our own.
        let found = self.epoll.wait(ready, timeout).unwrap_or(0);
        ready.truncate(found);
    }

    fn turn(&mut self, ready: &mut Vec<EpollEvent>) {
        let reading = Reading::take();
        let now = reading.now;
        self.heartbeat.beat();
        let late = self.deadline.map_or(Duration::ZERO, |deadline| now.since(deadline));
        self.heartbeat.late(late);
        self.feed(now, Event::Clock { wall: reading.realtime });
        if late >= LATE {
            self.feed(now, Event::Stalled { late });
        }
        self.feed(now, Event::Tick);
        // Only a deadline that has come makes a silence matter.
        let due = self.engine.deadline().is_some_and(|deadline| deadline <= now);
        if due {
            self.wait(ready, EpollTimeout::ZERO);
        }
        self.read_adverts(&reading, ready);
        let is_ready = |token: u64| ready.iter().any(|event| event.data() == token);
        let (answers, requests) = (is_ready(ANSWERS), is_ready(INBOX));
        let (arp, ndp) = (is_ready(ARP), is_ready(NDP));
        // Taken before the kernel's reports are read: whatever an answer speaks of has then been reported.
        let answers = if answers { self.answers.drain(ANSWERS_A_TURN) } else { Vec::new() };
        self.read_reports(now);
        for answer in answers {
            self.take_answer(now, answer);
        }
        self.read_claims(now, arp, ndp);
        if requests {
            self.read_requests(now);
        }
        if due {
            self.feed(now, Event::Silence { until: now });
        }
        self.last_turn = now;
        self.arm(now);
    }

    /// Hands one event to the engine and performs what it wants.
    pub(super) fn feed(&mut self, now: Instant, event: Event<'_>) {
        let mut actions = std::mem::take(&mut self.actions);
        self.engine.handle(now, event, &mut actions);
        // A failed advert is an event, too; it asks for no advert, so this ends.
        while let Some(failed) = self.perform(&mut actions) {
            for event in failed {
                self.engine.handle(now, event, &mut actions);
            }
        }
        self.actions = actions;
    }

    /// Reads every socket until it is empty, or until it has something younger than this turn.
    fn read_adverts(&mut self, reading: &Reading, ready: &[EpollEvent]) {
        let tokens = ready.iter().map(EpollEvent::data).filter(|token| *token >= FIRST_SOCKET);
        for endpoint in tokens.filter_map(endpoint_of) {
            let mut buffer = std::mem::take(&mut self.buffer);
            let mut errors = 0;
            // The socket may have been closed by what the one before it heard.
            while let Some(socket) = self.sockets.get(&endpoint) {
                let arrived = match socket.receive(&mut buffer) {
                    Ok(Some(arrived)) => arrived,
                    // The error was the queue's (ENETDOWN when the link went down) and is gone with this read.
                    Err(_) if errors < ERRORS_A_TURN => {
                        errors += 1;
                        continue;
                    }
                    Ok(None) | Err(_) => break,
                };
                let younger = arrived.stamp > reading.realtime;
                let at = reading.received(arrived.stamp, self.last_turn);
                let received = Received { at, link: endpoint.link, packet: arrived.packet };
                self.taps.advert(&self.engine, &received, arrived.stamp);
                self.feed(reading.now, Event::Datagram(received));
                if younger {
                    break;
                }
            }
            self.buffer = buffer;
        }
    }

    fn read_reports(&mut self, now: Instant) {
        for _ in 0..REPORT_ROUNDS {
            let mut changes = Vec::new();
            if self.monitor.read(&mut changes).is_err() {
                self.notices.push(Notice { at: now, about: None, what: What::Overrun });
                self.route.dump();
            }
            if changes.is_empty() {
                break;
            }
            self.feed_changes(now, changes);
        }
    }

    fn feed_changes(&mut self, now: Instant, changes: Vec<Change>) {
        for change in changes {
            self.feed(now, Event::Change(change));
        }
    }

    fn take_answer(&mut self, now: Instant, answer: Answer) {
        match answer {
            Answer::Held(held) => self.feed(now, Event::Held(held)),
            Answer::Gated(gated) => self.feed(now, Event::Gated(gated)),
            Answer::Linked(linked) => self.feed(now, Event::Linked(linked)),
            Answer::Excluded(why) => self.feed(now, Event::Excluded { why }),
            Answer::Paths(paths) => self.feed(now, Event::Paths(paths)),
            Answer::Unrouted(places) => {
                self.feed_changes(now, places.into_iter().map(Change::RouteGone).collect());
            }
            Answer::Picture(picture) => {
                self.feed(now, Event::Picture(picture));
                match self.monitor.resume() {
                    Ok(changes) => self.feed_changes(now, changes),
                    Err(_) => self.route.dump(),
                }
            }
            Answer::Opened { opened, socket } => {
                let wanted = self.listening.get(&opened.endpoint) == Some(&opened.generation);
                match socket {
                    Some(socket) if wanted => self.start_listening(socket),
                    Some(socket) => self.route.close(socket),
                    None => {}
                }
                self.feed(now, Event::Opened(opened));
            }
        }
    }

    fn read_claims(&mut self, now: Instant, arp: bool, ndp: bool) {
        for is_arp in [true, false] {
            if !(if is_arp { arp } else { ndp }) {
                continue;
            }
            for _ in 0..CLAIMS_A_TURN {
                let listener = if is_arp { &self.arp } else { &self.ndp };
                // An error was the queue's (ENETDOWN) and is gone with this read.
                let Ok(Some(claim)) = listener.receive() else { break };
                self.taps.claim(&self.engine, claim);
                self.feed(now, Event::Claim(claim));
            }
        }
    }

    fn read_requests(&mut self, now: Instant) {
        for request in self.inbox.drain() {
            match request {
                Request::Verdict { check, verdict, why } => {
                    self.feed(now, Event::Verdict { check: &check, verdict, why: &why });
                }
                Request::Value { check, value } => self.feed(now, Event::Value { check: &check, value }),
                Request::Reload(settings) => self.feed(now, Event::Reload(settings)),
                Request::Priority { instance, priority } => {
                    self.feed(now, Event::Priority { instance: &instance, priority });
                }
                Request::StepDown(target) => self.feed(now, Event::StepDown(target)),
                Request::Resume(target) => self.feed(now, Event::Resume(target)),
                Request::Status(reply) => {
                    // Whoever asked may have gone; nobody else wants the answer.
                    drop(reply.send(self.engine.status(now)));
                }
                Request::Copy(reply) => drop(reply.send((now, Box::new(self.engine.clone())))),
                Request::Bequest(reply) => drop(reply.send(self.engine.bequest())),
                Request::Signed(reply) => drop(reply.send(self.engine.signed())),
                Request::Capture(tap) => self.taps.add(tap),
                Request::Leave => self.leaving = true,
                Request::Shutdown => {
                    self.give_up_at = Some(now + LONGEST_STOP);
                    self.feed(now, Event::Shutdown);
                }
                Request::ShutdownNow => {
                    self.give_up_at = Some(now + LONGEST_STOP);
                    self.feed(now, Event::ShutdownNow);
                }
            }
        }
    }

    fn arm(&mut self, now: Instant) {
        self.deadline = [self.engine.deadline(), self.give_up_at].into_iter().flatten().min();
        let idle = now + IDLE;
        let wake = self.deadline.map_or(idle, |deadline| deadline.min(idle));
        if self.armed.is_some_and(|armed| now < armed && armed <= wake) {
            return;
        }
        // The descriptor is our own and the value is sane; should it fail all the same, the next turn tries again.
        self.armed = self.timer.arm(Some(wake)).is_ok().then_some(wake);
    }
}

/// The `epoll` token of a socket, which is also how to find it.
pub(super) fn token_of(endpoint: Endpoint) -> u64 {
    let family = match endpoint.family {
        Family::Ipv4 => 0,
        Family::Ipv6 => 1,
    };
    FIRST_SOCKET + (u64::from(endpoint.link.0) << 1 | family)
}

fn endpoint_of(token: u64) -> Option<Endpoint> {
    let number = token.checked_sub(FIRST_SOCKET)?;
    let family = if number & 1 == 0 { Family::Ipv4 } else { Family::Ipv6 };
    Some(Endpoint { link: LinkIndex(u32::try_from(number >> 1).ok()?), family })
}

const TIMER: u64 = 0;
const INBOX: u64 = 1;
const ANSWERS: u64 = 2;
const MONITOR: u64 = 3;
const ARP: u64 = 4;
const NDP: u64 = 5;
const FIRST_SOCKET: u64 = 6;
/// How many descriptors there are besides the sockets.
const FIXED: usize = 6;

/// The longest datagram: IPv4's limit; a longer one is cut and then discarded by its length.
const DATAGRAM: usize = 65_536;
const STACK: usize = 256 << 10;
/// The thread turns at least so often, so that its heartbeat says that it lives.
const IDLE: Duration = Duration::from_secs(1);
/// A shutdown that takes longer than this is stuck in the kernel.
const LONGEST_STOP: Duration = Duration::from_secs(3);
/// Lateness that the engine hears of: the shortest interval there is.
const LATE: Duration = Duration::from_millis(10);
const ANSWERS_A_TURN: usize = 256;
const CLAIMS_A_TURN: usize = 64;
const REPORT_ROUNDS: usize = 64;
const ERRORS_A_TURN: u32 = 8;
