//! The route thread: everything that may wait for RTNL. It installs and removes addresses, announces them,
//! opens and closes the sockets of protocol 112 and takes pictures of links and addresses.
//!
//! A turn takes what is new from the mailbox and does one batch of one instance's work, so that nobody waits for
//! anybody else's thousand addresses, and a step-down overtakes a take that is not finished.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;

use super::mail::{Answer, AnswerSender, Mailbox, Slots, forget, merge};
use crate::engine::action::{Announcement, Hold, InstanceId, Listen, Place, Placement};
use crate::engine::event::{Held, Opened, Refusal};
use crate::net::{Family, LinkIndex, Mac};
use crate::sys::address::{Addresses, Known};
use crate::sys::frames::Frames;
use crate::sys::netlink::BATCH;
use crate::sys::vrrp_socket::VrrpSocket;
use crate::sys::{clock, name_of};
use crate::time::Instant;
use crate::wire::{arp, ndp};

/// How long a turn may wait for work: the thread must show that it is alive.
const IDLE: Duration = Duration::from_millis(500);

/// How many frames an announcement without a pace sends in one turn.
const BURST: usize = 128;

/// The stack needs little, and all of it may be locked in memory.
const STACK: usize = 256 << 10;

/// Starts the thread. It ends when everything asked for before [`Mailbox::stop`] is done; `heartbeat` grows with
/// every turn, at least once in half a second unless the kernel keeps it waiting.
pub fn spawn(
    mailbox: Arc<Mailbox>,
    answers: AnswerSender,
    heartbeat: Arc<AtomicU64>,
) -> io::Result<JoinHandle<()>> {
    let mut route = Route {
        addresses: Addresses::open()?,
        answers,
        links: BTreeMap::new(),
        jobs: VecDeque::new(),
        bursts: BTreeMap::new(),
        dump: false,
    };
    Builder::new().name("route".into()).stack_size(STACK).spawn(move || {
        let mut stop = false;
        while !(stop && route.is_done()) {
            heartbeat.fetch_add(1, Ordering::Relaxed);
            let slots = mailbox.take(route.patience());
            stop |= slots.stop;
            route.turn(slots);
        }
    })
}

struct Route {
    addresses: Addresses,
    answers: AnswerSender,
    links: BTreeMap<LinkIndex, Frames>,
    jobs: VecDeque<Job>,
    bursts: BTreeMap<InstanceId, Burst>,
    dump: bool,
}

/// A `Hold` in work: what is left of it.
struct Job {
    hold: Hold,
    removed: usize,
    installed: usize,
    refused: Vec<(Place, Refusal)>,
    known: Known,
}

/// An announcement in work: what is left of it, and when the next frame is due.
struct Burst {
    rest: Announcement,
    due: Instant,
}

impl Route {
    /// How long the mailbox may keep this thread waiting.
    fn patience(&self) -> Duration {
        if !self.jobs.is_empty() {
            return Duration::ZERO;
        }
        let now = clock::now();
        self.bursts.values().map(|burst| burst.due.since(now)).fold(IDLE, Duration::min)
    }

    fn is_done(&self) -> bool {
        self.jobs.is_empty() && self.bursts.is_empty()
    }

    fn turn(&mut self, slots: Slots) {
        for hold in slots.hold.into_values() {
            self.take_on(hold);
        }
        self.work();
        for announcement in slots.announce.into_values() {
            self.begin(announcement);
        }
        self.announce_due();
        for listen in slots.listen.into_values() {
            self.listen(&listen);
        }
        drop(slots.closing);
        self.dump |= slots.dump;
        // Not before the addresses are in: a picture takes as long as a batch or two.
        if self.dump && self.jobs.is_empty() {
            self.picture();
        }
    }

    /// Replaces an unfinished job of the same instance: a newer order lists everything not known to be done, so
    /// what is left of the older one is in it.
    fn take_on(&mut self, hold: Hold) {
        if let Some(burst) = self.bursts.get_mut(&hold.instance) {
            forget(&mut burst.rest.addresses, hold.remove.iter());
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
        if job.is_removing() {
            job.remove_batch(&mut self.addresses);
        } else {
            let installed = job.install_batch(&mut self.addresses);
            self.announce(&installed);
        }
        if job.is_done() {
            self.answers.send(Answer::Held(job.into_answer()));
        } else {
            self.jobs.push_back(job);
        }
    }

    fn begin(&mut self, announcement: Announcement) {
        let due = clock::now();
        match self.bursts.entry(announcement.instance) {
            Entry::Vacant(slot) => {
                slot.insert(Burst { rest: announcement, due });
            }
            Entry::Occupied(mut slot) => {
                let burst = slot.get_mut();
                merge(&mut burst.rest, announcement);
                burst.due = due;
            }
        }
    }

    /// Sends what is due of each burst: one frame if it is paced, some dozens if not.
    fn announce_due(&mut self) {
        let now = clock::now();
        for (instance, mut burst) in std::mem::take(&mut self.bursts) {
            if burst.due <= now {
                let count = if burst.rest.pace.is_zero() { BURST } else { 1 };
                let rest = burst.rest.addresses.split_off(count.min(burst.rest.addresses.len()));
                self.announce(&std::mem::replace(&mut burst.rest.addresses, rest));
                burst.due = now + burst.rest.pace;
            }
            if !burst.rest.addresses.is_empty() {
                self.bursts.insert(instance, burst);
            }
        }
    }

    /// Announces addresses now. What cannot be sent is given up: the addresses are there all the same, and
    /// announcements are repeated.
    fn announce(&mut self, placements: &[Placement]) {
        for chunk in placements.chunk_by(|a, b| a.place.link == b.place.link) {
            let Some(Placement { place: Place { link, .. }, .. }) = chunk.first() else { continue };
            if self.announce_on(*link, chunk).is_err() {
                // The link may be gone; or it is stuck, and each further frame would wait for it.
                self.links.remove(link);
            }
        }
    }

    fn announce_on(&mut self, link: LinkIndex, placements: &[Placement]) -> io::Result<()> {
        let frames = match self.links.entry(link) {
            Entry::Occupied(frames) => frames.into_mut(),
            Entry::Vacant(slot) => slot.insert(Frames::open(link)?),
        };
        let ipv6 = placements.iter().any(|placement| placement.place.net.family() == Family::Ipv6);
        let router = ipv6 && is_router(link);
        for placement in placements {
            if let Some(mac) = placement.mac {
                send_announcement(frames, mac, placement.place.net.address(), router)?;
            }
        }
        Ok(())
    }

    fn listen(&mut self, listen: &Listen) {
        let opened = match &listen.groups {
            None => Ok(None),
            Some(groups) => VrrpSocket::open(listen.endpoint, groups).map(Some),
        };
        let (socket, refused) = match opened {
            Ok(socket) => (socket, None),
            Err(error) => (None, Some(not_opened(listen, &error))),
        };
        let opened = Opened { endpoint: listen.endpoint, generation: listen.generation, refused };
        self.answers.send(Answer::Opened { opened, socket });
    }

    /// A picture that cannot be taken now is taken in a later turn.
    fn picture(&mut self) {
        if let Ok(picture) = self.addresses.picture() {
            self.dump = false;
            self.links.retain(|index, _| picture.links.iter().any(|link| link.index == *index));
            self.answers.send(Answer::Picture(picture));
        }
    }
}

impl Job {
    fn new(hold: Hold) -> Self {
        Self { hold, removed: 0, installed: 0, refused: Vec::new(), known: Known::default() }
    }

    fn is_removing(&self) -> bool {
        self.removed < self.hold.remove.len()
    }

    fn is_done(&self) -> bool {
        !self.is_removing() && self.installed == self.hold.install.len()
    }

    fn remove_batch(&mut self, addresses: &mut Addresses) {
        let places = batch(&self.hold.remove[self.removed..]);
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
        let placements = batch(&self.hold.install[self.installed..]);
        let places: Vec<Place> = placements.iter().map(|placement| placement.place).collect();
        let mut installed = Vec::with_capacity(placements.len());
        for (placement, result) in placements.iter().zip(addresses.add(&places, &mut self.known)) {
            match result {
                Ok(()) => installed.push(*placement),
                Err(refusal) => self.refused.push((placement.place, refusal)),
            }
        }
        self.installed += placements.len();
        installed
    }

    fn into_answer(self) -> Held {
        Held { instance: self.hold.instance, generation: self.hold.generation, refused: self.refused }
    }
}

fn batch<T>(rest: &[T]) -> &[T] {
    &rest[..rest.len().min(BATCH)]
}

fn send_announcement(frames: &Frames, mac: Mac, address: IpAddr, router: bool) -> io::Result<()> {
    match address {
        IpAddr::V4(address) => frames.send(&arp::gratuitous(mac, address)),
        IpAddr::V6(address) => frames.send(&ndp::unsolicited(mac, address, router)),
    }
}

/// Whether hosts may take this node for a router: whether it forwards what comes in on that link (RFC 9568, 8.2.2).
fn is_router(link: LinkIndex) -> bool {
    let path = format!("/proc/sys/net/ipv6/conf/{}/forwarding", name_of(link));
    fs::read_to_string(path).is_ok_and(|forwarding| forwarding.trim_end() != "0")
}

fn not_opened(listen: &Listen, error: &io::Error) -> Refusal {
    let endpoint = listen.endpoint;
    let doing = format!("open a VRRP socket for {} on {}", endpoint.family, name_of(endpoint.link));
    match error.raw_os_error() {
        Some(errno) => Refusal { errno, why: format!("{doing}: {}", Errno::from_raw(errno).desc()) },
        None => Refusal { errno: 0, why: format!("{doing}: {error}") },
    }
}
