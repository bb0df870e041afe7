//! The route thread: everything that may wait for RTNL. It makes and removes the virtual routers' own links, installs and
//! removes addresses, routes and rules, opens and closes the sockets of protocol 112 and takes pictures of links and
//! addresses. Each batch is handed over to be announced as soon as it is in.
//!
//! A turn takes what is new from the mailbox and does one batch of one instance's work, so that nobody waits for
//! anybody else's thousand addresses, and a step-down overtakes a take that is not finished.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;

use super::announce::Announcer;
use super::mail::{Answer, AnswerSender, Mailbox, Slots};
use super::sole::Sole;
use crate::engine::action::{Endpoint, Hold, Listen, Place, Placement};
use crate::engine::event::{Held, Linked, Opened, Refusal};
use crate::engine::path::PathKey;
use crate::net::Family;
use crate::sys::address::{Addresses, Known};
use crate::sys::netlink::BATCH;
use crate::sys::paths::Paths;
use crate::sys::virtual_link::VirtualLinks;
use crate::sys::vrrp_socket::VrrpSocket;
use crate::sys::{clock, name_of};
use crate::time::Instant;

/// How long a turn may wait for work: the thread must show that it is alive.
const IDLE: Duration = Duration::from_millis(500);

/// How many addresses the first batch of a job has: the first of them is announced in a fraction of a millisecond.
/// Each further batch is twice the one before.
const FIRST_BATCH: usize = 16;

/// How often the settings of links of virtual routers' own are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Within this time a socket that is there already has been asked for, or nobody needs it any more.
const CLAIMED: Duration = Duration::from_secs(10);

/// How long nothing else must be asked for before all routes are looked through, and by when they are in any case.
const BREATH: Duration = Duration::from_millis(20);
const PATHS_WITHIN: Duration = Duration::from_secs(1);

/// The stack needs little, and all of it may be locked in memory.
const STACK: usize = 256 << 10;

/// Starts the thread. It ends when everything asked for before [`Mailbox::stop`] is done; `heartbeat` grows with
/// every turn, at least once in half a second unless the kernel keeps it waiting. The sockets that are `there` already
/// are taken before new ones are opened.
pub fn spawn(
    mailbox: Arc<Mailbox>,
    answers: AnswerSender,
    announcer: Announcer,
    heartbeat: Arc<AtomicU64>,
    there: Vec<VrrpSocket>,
    sole: Sole,
) -> io::Result<JoinHandle<()>> {
    let mut route = Route {
        addresses: Addresses::open()?,
        paths: Paths::open()?,
        links: VirtualLinks::open()?,
        look_at: clock::now(),
        answers,
        announcer,
        jobs: VecDeque::new(),
        dump: false,
        paths_by: None,
        seen: false,
        sole,
        excluded: None,
        there: there.into_iter().map(|socket| (socket.endpoint(), socket)).collect(),
        there_until: clock::now() + CLAIMED,
    };
    Builder::new().name("route".into()).stack_size(STACK).spawn(move || {
        let mut stop = false;
        while !(stop && route.jobs.is_empty()) {
            heartbeat.fetch_add(1, Ordering::Relaxed);
            let slots = mailbox.take(route.patience());
            stop |= slots.stop;
            route.turn(slots);
        }
    })
}

struct Route {
    addresses: Addresses,
    paths: Paths,
    links: VirtualLinks,
    /// When to look at their settings again.
    look_at: Instant,
    answers: AnswerSender,
    announcer: Announcer,
    jobs: VecDeque<Job>,
    dump: bool,
    /// By when all routes and rules are to be looked at.
    paths_by: Option<Instant>,
    /// Whether a picture has been taken.
    seen: bool,
    sole: Sole,
    /// Why no picture is taken, as it was last said.
    excluded: Option<String>,
    /// Sockets of the program before this one, until they are asked for.
    there: BTreeMap<Endpoint, VrrpSocket>,
    there_until: Instant,
}

/// A `Hold` in work: what is left of it.
struct Job {
    hold: Hold,
    removed: usize,
    installed: usize,
    removed_paths: usize,
    installed_paths: usize,
    /// The size of the next batch.
    batch: usize,
    refused: Vec<(Place, Refusal)>,
    refused_paths: Vec<(PathKey, Refusal)>,
    known: Known,
}

impl Route {
    /// How long the mailbox may keep this thread waiting.
    fn patience(&self) -> Duration {
        match self.paths_by {
            _ if !self.jobs.is_empty() => Duration::ZERO,
            Some(_) => BREATH,
            None => IDLE,
        }
    }

    fn turn(&mut self, slots: Slots) {
        let idle = slots.is_empty() && self.jobs.is_empty();
        // Before the addresses that go there.
        for link in slots.links.into_values() {
            let refused = self.links.bring(&link).err();
            let linked = Linked { id: link.id, generation: link.generation, refused };
            self.answers.send(Answer::Linked(linked));
        }
        for hold in slots.hold.into_values() {
            self.take_on(hold);
        }
        self.work();
        self.look_after_links();
        for listen in slots.listen.into_values() {
            self.listen(&listen);
        }
        drop(slots.closing);
        if clock::now() >= self.there_until {
            self.there.clear();
        }
        self.dump |= slots.dump;
        // Not before the addresses are in: a picture takes as long as a batch or two.
        if self.dump && self.jobs.is_empty() {
            self.picture();
        }
        if self.paths_by.is_some_and(|by| idle || by <= clock::now()) {
            self.look_at_paths();
        }
    }

    /// On a router it takes the kernel a while to look through all routes: when there is nothing else to do.
    fn look_at_paths(&mut self) {
        if let Ok(paths) = self.paths.all() {
            self.paths_by = None;
            self.answers.send(Answer::Paths(paths));
        }
    }

    /// Replaces an unfinished job of the same instance: a newer order lists everything not known to be done, so
    /// what is left of the older one is in it.
    fn take_on(&mut self, hold: Hold) {
        if !hold.remove.is_empty() {
            self.announcer.forget_sent(&hold.remove);
        }
        match self.jobs.iter_mut().find(|job| job.hold.instance == hold.instance) {
            Some(job) => *job = Job::new(hold),
            None => self.jobs.push_back(Job::new(hold)),
        }
    }

    /// One batch of the next job; those with something to remove come first.
    fn work(&mut self) {
        let next = self.jobs.iter().position(Job::is_removing).unwrap_or(0);
        let Some(mut job) = self.jobs.remove(next) else { return };
        if job.is_removing_paths() {
            job.remove_paths(&mut self.paths);
        } else if job.is_removing() {
            job.remove_batch(&mut self.addresses);
        } else if job.is_installing_paths() {
            job.install_paths(&mut self.paths);
        } else {
            let (now, soon): (Vec<_>, Vec<_>) = job
                .install_batch(&mut self.addresses)
                .into_iter()
                .partition(|placement| placement.place.net.family() == Family::Ipv4);
            self.announcer.installed(job.hold.instance, &now);
            if !soon.is_empty() {
                self.addresses.arrive();
                self.announcer.installed(job.hold.instance, &soon);
            }
        }
        if job.is_done() {
            self.answers.send(Answer::Held(job.into_answer()));
        } else {
            self.jobs.push_back(job);
        }
    }

    fn look_after_links(&mut self) {
        let now = clock::now();
        if now >= self.look_at {
            self.look_at = now + LOOK;
            self.links.repair();
        }
    }

    fn listen(&mut self, listen: &Listen) {
        let opened = match &listen.groups {
            None => Ok(None),
            Some(groups) => self.open(listen.endpoint, groups).map(Some),
        };
        let (socket, refused) = match opened {
            Ok(socket) => (socket, None),
            Err(error) => (None, Some(not_opened(listen, &error))),
        };
        let opened = Opened { endpoint: listen.endpoint, generation: listen.generation, refused };
        self.answers.send(Answer::Opened { opened, socket });
    }

    fn open(&mut self, endpoint: Endpoint, groups: &[IpAddr]) -> io::Result<VrrpSocket> {
        match self.there.remove(&endpoint) {
            Some(socket) if socket.prepare(groups).is_ok() => Ok(socket),
            Some(_) | None => VrrpSocket::open(endpoint, groups),
        }
    }

    /// A picture that cannot be taken now is taken in a later turn. Without the first one the engine does nothing: so
    /// there is none beside another agent.
    fn picture(&mut self) {
        let excluded = self.sole.look();
        if let Some(why) = &excluded {
            if self.excluded != excluded {
                self.answers.send(Answer::Excluded(why.clone()));
            }
            self.excluded = excluded;
            return;
        }
        if let Ok(picture) = self.addresses.picture() {
            self.dump = false;
            self.announcer.keep(picture.links.iter().map(|link| link.index).collect());
            // Not at the start, when time is short: on a router it takes the kernel a while to look through all routes.
            let again = std::mem::replace(&mut self.seen, true);
            let unrouted =
                if again { self.addresses.unrouted(&picture).unwrap_or_default() } else { Vec::new() };
            self.answers.send(Answer::Picture(picture));
            self.paths_by = Some(clock::now() + PATHS_WITHIN);
            if !unrouted.is_empty() {
                self.answers.send(Answer::Unrouted(unrouted));
            }
        }
    }
}

impl Job {
    fn new(hold: Hold) -> Self {
        Self {
            hold,
            removed: 0,
            installed: 0,
            removed_paths: 0,
            installed_paths: 0,
            batch: FIRST_BATCH,
            refused: Vec::new(),
            refused_paths: Vec::new(),
            known: Known::default(),
        }
    }

    /// Routes and rules go before addresses.
    fn is_removing_paths(&self) -> bool {
        self.removed_paths < self.hold.paths.remove.len()
    }

    fn is_removing(&self) -> bool {
        self.is_removing_paths() || self.removed < self.hold.remove.len()
    }

    /// And come after them.
    fn is_installing_paths(&self) -> bool {
        !self.is_removing()
            && self.installed == self.hold.install.len()
            && self.installed_paths < self.hold.paths.install.len()
    }

    fn is_done(&self) -> bool {
        !self.is_removing() && self.installed == self.hold.install.len() && !self.is_installing_paths()
    }

    fn remove_paths(&mut self, paths: &mut Paths) {
        let rest = &self.hold.paths.remove[self.removed_paths..];
        let keys = &rest[..rest.len().min(BATCH)];
        let refused = keys.iter().zip(paths.remove(keys));
        self.refused_paths.extend(refused.filter_map(|(key, result)| Some((key.clone(), result.err()?))));
        self.removed_paths += keys.len();
    }

    fn install_paths(&mut self, paths: &mut Paths) {
        let rest = &self.hold.paths.install[self.installed_paths..];
        let batch = &rest[..rest.len().min(BATCH)];
        let refused = batch.iter().zip(paths.add(batch));
        self.refused_paths.extend(refused.filter_map(|(path, result)| Some((path.key(), result.err()?))));
        self.installed_paths += batch.len();
    }

    fn remove_batch(&mut self, addresses: &mut Addresses) {
        let rest = &self.hold.remove[self.removed..];
        let places = &rest[..rest.len().min(self.batch)];
        self.batch = BATCH.min(2 * self.batch);
        let results = addresses.remove(places, &mut self.known);
        let refused = places.iter().zip(results).filter_map(|(place, result)| Some((*place, result.err()?)));
        self.refused.extend(refused);
        self.removed += places.len();
        if !self.is_removing() {
            // What was there has changed.
            self.known = Known::default();
        }
    }

    /// Installs the next addresses and returns those that are in.
    fn install_batch(&mut self, addresses: &mut Addresses) -> Vec<Placement> {
        let rest = &self.hold.install[self.installed..];
        let placements = &rest[..rest.len().min(self.batch)];
        self.batch = BATCH.min(2 * self.batch);
        let mut installed = Vec::with_capacity(placements.len());
        for (placement, result) in placements.iter().zip(addresses.add(placements, &mut self.known)) {
            match result {
                Ok(()) => installed.push(*placement),
                Err(refusal) => self.refused.push((placement.place, refusal)),
            }
        }
        self.installed += placements.len();
        installed
    }

    fn into_answer(self) -> Held {
        let Hold { instance, generation, .. } = self.hold;
        Held { instance, generation, refused: self.refused, refused_paths: self.refused_paths }
    }
}

fn not_opened(listen: &Listen, error: &io::Error) -> Refusal {
    let endpoint = listen.endpoint;
    let doing = format!("open a VRRP socket for {} on {}", endpoint.family, name_of(endpoint.link));
    match error.raw_os_error() {
        Some(errno) => Refusal { errno, why: format!("{doing}: {}", Errno::from_raw(errno).desc()) },
        None => Refusal { errno: 0, why: format!("{doing}: {error}") },
    }
}
