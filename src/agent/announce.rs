//! The announce thread: gratuitous ARP and unsolicited Neighbor Advertisements. Apart from the route thread because
//! sending takes about as long as installing, and one batch of addresses can be announced while the next goes in.
//!
//! What has just been installed goes first, then the engine's bursts, the one that is due first before the others.
//! What a [gate](super::gate) does not let pass is not announced: from the order to open it until it is open, what has
//! been installed [waits](Announcer::bar).
//!
//! A link may have a [pace](Announcer::pace): then frames keep their distance on it, and on those that share it, whatever
//! they are sent for. The first still goes out at once.
//!
//! An address that is to be removed is [forgotten](Announcer::forget) as soon as that is decided, and before it is
//! removed the route thread [waits](Announcer::forget_sent) for the frames being sent at that moment.

use std::collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::heartbeat::Heartbeat;
use crate::engine::action::{Announcement, Generation, InstanceId, Pace, Place, Placement, RouterId, Share};
use crate::net::{Family, LinkIndex, Mac};
use crate::sys::frames::Frames;
use crate::sys::{clock, name_of};
use crate::time::Instant;
use crate::wire::{arp, ndp};

/// How long a turn may wait for work: the thread must show that it is alive.
const IDLE: Duration = Duration::from_millis(500);

/// How many frames of one kind are sent in one turn: whoever wants to remove an address may have to wait for them.
const BURST: usize = 32;

/// The stack needs little, and all of it may be locked in memory.
const STACK: usize = 256 << 10;

/// Starts the thread. It ends when everything asked for before [`Announcer::stop`] is done.
pub fn spawn(announcer: Announcer, heartbeat: Heartbeat) -> io::Result<JoinHandle<()>> {
    Builder::new().name("announce".into()).stack_size(STACK).spawn(move || {
        let mut sender = Sender::default();
        loop {
            heartbeat.beat();
            match announcer.next(IDLE) {
                Next::Send(placements) => {
                    sender.announce(&placements);
                    announcer.sent();
                }
                Next::Links(links) => sender.links.retain(|link, _| links.contains(link)),
                Next::Nothing => {}
                Next::Stop => break,
            }
        }
    })
}

/// What is to be announced, on its way from the protocol thread and the route thread.
#[derive(Clone, Debug, Default)]
pub struct Announcer(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is something to send, or to stop for.
    filled: Condvar,
    /// Something has been sent.
    sent: Condvar,
}

impl Announcer {
    /// Asks for a burst. What of an older one of the same instance has not been sent follows it, at its pace.
    pub fn announce(&self, announcement: Announcement) {
        self.lock().begin(announcement, clock::now());
        self.0.filled.notify_one();
    }

    /// Asks for what is in the kernel as of now. Each address waits here once at most.
    pub fn installed(&self, instance: InstanceId, placements: &[Placement]) {
        self.change(|queue| queue.install(instance, placements));
    }

    /// The gate of a virtual router is about to be changed: what is installed from now on waits.
    pub fn bar(&self, router: RouterId, generation: Generation) {
        self.lock().barred.entry(router).or_default().generation = generation;
    }

    /// That gate is open now, if no newer order is on its way.
    pub fn unbar(&self, router: RouterId, generation: Generation) {
        self.change(|queue| queue.unbar(router, generation));
    }

    /// That virtual router is gated no longer.
    pub fn free(&self, router: RouterId) {
        self.change(|queue| queue.free(router));
    }

    /// What waits for its gate is nothing to wake up for.
    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.lock();
        change(&mut queue);
        if !queue.installed.is_empty() {
            self.0.filled.notify_one();
        }
    }

    /// Nobody may be told of these from now on, except by the frames that are being sent at this moment.
    pub fn forget(&self, places: &[Place]) {
        self.lock().forget(places);
    }

    /// The same, and returns when those frames have been sent, too.
    pub fn forget_sent(&self, places: &[Place]) {
        let mut queue = self.lock();
        queue.forget(places);
        let turn = queue.turn;
        let sending = |queue: &mut Queue| queue.sending && queue.turn == turn;
        drop(self.0.sent.wait_while(queue, sending).unwrap_or_else(PoisonError::into_inner));
    }

    /// Says how fast frames may follow each other on which links.
    pub fn pace(&self, paces: BTreeMap<LinkIndex, Pace>) {
        self.change(|queue| queue.paces = paces);
    }

    /// Says which links there are: sockets on others are closed.
    pub fn keep(&self, links: BTreeSet<LinkIndex>) {
        self.lock().links = Some(links);
        self.0.filled.notify_one();
    }

    /// Asks the thread to end when everything has been sent.
    pub fn stop(&self) {
        self.lock().stop = true;
        self.0.filled.notify_one();
    }

    /// What to do now, waiting up to `patience` for something.
    fn next(&self, patience: Duration) -> Next {
        let queue = self.lock();
        let patience = queue.pause(clock::now()).min(patience);
        let idle = |queue: &mut Queue| queue.is_idle(clock::now());
        let waited = self.0.filled.wait_timeout_while(queue, patience, idle);
        waited.unwrap_or_else(PoisonError::into_inner).0.next(clock::now())
    }

    fn sent(&self) {
        self.lock().sending = false;
        self.0.sent.notify_all();
    }

    /// The lock is held for a few map operations. Should one panic, what is still queued is as good as any.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Next {
    /// Frames for these; then [`Announcer::sent`].
    Send(Vec<Placement>),
    /// These links are there.
    Links(BTreeSet<LinkIndex>),
    Nothing,
    Stop,
}

#[derive(Debug, Default)]
struct Queue {
    /// Installed just now, the oldest first.
    installed: VecDeque<Placement>,
    /// Installed, and not to be announced yet.
    barred: BTreeMap<RouterId, Barred>,
    bursts: BTreeMap<InstanceId, Burst>,
    /// How fast frames may follow each other, and when the next one may.
    paces: BTreeMap<LinkIndex, Pace>,
    free: BTreeMap<Share, Instant>,
    links: Option<BTreeSet<LinkIndex>>,
    stop: bool,
    /// Whether frames are being sent, and which turn that is.
    sending: bool,
    turn: u64,
}

/// What waits for a gate.
#[derive(Debug, Default)]
struct Barred {
    /// The order that is to open it.
    generation: Generation,
    installed: Vec<Placement>,
}

/// A burst in work: what is left of this round and the rounds from this one on, and when the next frame is due.
#[derive(Debug)]
struct Burst {
    round: VecDeque<Placement>,
    whole: Announcement,
    due: Instant,
}

impl Queue {
    fn begin(&mut self, announcement: Announcement, now: Instant) {
        match self.bursts.entry(announcement.instance) {
            Entry::Vacant(slot) => {
                let round = announcement.addresses.iter().copied().collect();
                slot.insert(Burst { round, whole: announcement, due: now });
            }
            Entry::Occupied(mut slot) => slot.get_mut().give_way(announcement, now),
        }
    }

    fn install(&mut self, instance: InstanceId, placements: &[Placement]) {
        for placement in placements {
            let router = RouterId { instance, family: placement.place.net.family() };
            match self.barred.get_mut(&router) {
                Some(barred) => barred.installed.push(*placement),
                None => self.installed.push_back(*placement),
            }
        }
    }

    fn unbar(&mut self, router: RouterId, generation: Generation) {
        if self.barred.get(&router).is_some_and(|barred| barred.generation == generation) {
            self.free(router);
        }
    }

    fn free(&mut self, router: RouterId) {
        self.installed.extend(self.barred.remove(&router).into_iter().flat_map(|barred| barred.installed));
    }

    fn forget(&mut self, places: &[Place]) {
        let nothing_barred = self.barred.values().all(|barred| barred.installed.is_empty());
        if self.installed.is_empty() && self.bursts.is_empty() && nothing_barred {
            return;
        }
        let places: BTreeSet<_> = places.iter().collect();
        self.installed.retain(|placement| !places.contains(&placement.place));
        for barred in self.barred.values_mut() {
            barred.installed.retain(|placement| !places.contains(&placement.place));
        }
        for burst in self.bursts.values_mut() {
            burst.round.retain(|placement| !places.contains(&placement.place));
            burst.whole.addresses.retain(|placement| !places.contains(&placement.place));
        }
        self.bursts.retain(|_, burst| burst.begin_round());
    }

    /// Whether there is nothing to do now.
    fn is_idle(&self, now: Instant) -> bool {
        let ends = self.stop && self.bursts.is_empty() && self.installed.is_empty();
        self.links.is_none() && !ends && !self.pause(now).is_zero()
    }

    /// How long until a frame is due.
    fn pause(&self, now: Instant) -> Duration {
        let first = |burst: &Burst| Some(burst.due.max(self.free_at(burst.round.front()?)));
        let bursts = self.bursts.values().filter_map(first);
        let installed = self.installed.iter().map(|placement| self.free_at(placement));
        bursts.chain(installed).map(|at| at.since(now)).min().unwrap_or(Duration::MAX)
    }

    /// When a frame may be sent where this one goes.
    fn free_at(&self, placement: &Placement) -> Instant {
        let pace = self.paces.get(&placement.place.link);
        pace.and_then(|pace| self.free.get(&pace.share).copied()).unwrap_or_default()
    }

    /// Takes the right to send a frame now, if there is one.
    fn admit(&mut self, placement: &Placement, now: Instant) -> bool {
        let free = self.free_at(placement) <= now;
        if let (Some(pace), true) = (self.paces.get(&placement.place.link), free) {
            self.free.insert(pace.share, now + pace.gap);
        }
        free
    }

    fn next(&mut self, now: Instant) -> Next {
        if let Some(links) = self.links.take() {
            return Next::Links(links);
        }
        let mut placements = self.take_installed(now);
        placements.append(&mut self.due(now));
        if !placements.is_empty() {
            self.sending = true;
            self.turn += 1;
            return Next::Send(placements);
        }
        let done = self.stop && self.bursts.is_empty() && self.installed.is_empty();
        if done { Next::Stop } else { Next::Nothing }
    }

    /// Some dozens of those that were installed just now, in their order but for those that have to wait.
    fn take_installed(&mut self, now: Instant) -> Vec<Placement> {
        if self.paces.is_empty() {
            return self.installed.drain(..self.installed.len().min(BURST)).collect();
        }
        let (mut taken, mut waiting) = (Vec::new(), VecDeque::new());
        for placement in std::mem::take(&mut self.installed) {
            if taken.len() < BURST && self.admit(&placement, now) {
                taken.push(placement);
            } else {
                waiting.push_back(placement);
            }
        }
        self.installed = waiting;
        taken
    }

    /// What is due of the burst that is due first: one frame if it is paced, some dozens if not.
    fn due(&mut self, now: Instant) -> Vec<Placement> {
        let waits =
            |burst: &Burst| burst.round.front().map_or(burst.due, |next| burst.due.max(self.free_at(next)));
        let ready = self.bursts.iter().map(|(instance, burst)| (waits(burst), *instance));
        let first = ready.filter(|(at, _)| *at <= now).min();
        let Some((instance, mut burst)) = first.and_then(|(_, instance)| self.bursts.remove_entry(&instance))
        else {
            return Vec::new();
        };
        let count = if burst.whole.pace.is_zero() { BURST } else { 1 };
        let mut due = Vec::new();
        while let Some(next) = burst.round.front().copied().filter(|_| due.len() < count) {
            if !self.admit(&next, now) {
                break;
            }
            burst.round.pop_front();
            due.push(next);
        }
        burst.due = now + burst.whole.pace;
        if burst.begin_round() {
            self.bursts.insert(instance, burst);
        }
        due
    }
}

impl Burst {
    /// Begins the next round if this one is over; answers whether anything is left.
    fn begin_round(&mut self) -> bool {
        if self.round.is_empty() {
            self.whole.repeat = self.whole.repeat.saturating_sub(1);
            if self.whole.repeat > 0 {
                self.round.extend(&self.whole.addresses);
            }
        }
        !self.round.is_empty()
    }

    /// A newer announcement of the same instance takes its place. What of this one was never sent is not lost: its
    /// addresses follow those of the newer one, at the newer one's pace.
    fn give_way(&mut self, newer: Announcement, now: Instant) {
        let unsent = std::mem::take(&mut self.round);
        self.whole = newer;
        self.due = now;
        let known: BTreeSet<_> = self.whole.addresses.iter().map(|placement| placement.place).collect();
        self.whole.addresses.extend(unsent.into_iter().filter(|placement| !known.contains(&placement.place)));
        self.round.extend(&self.whole.addresses);
    }
}

/// The sockets, one a link.
#[derive(Debug, Default)]
struct Sender {
    links: BTreeMap<LinkIndex, Frames>,
}

impl Sender {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::action::Form;

    const WEB: InstanceId = InstanceId(1);
    const MAIL: InstanceId = InstanceId(2);

    fn place(host: u8) -> Place {
        Place { link: LinkIndex(2), net: format!("192.0.2.{host}/24").parse().unwrap() }
    }

    fn placement(host: u8) -> Placement {
        Placement { place: place(host), mac: Some(Mac([2, 0, 0, 0, 0, 1])), form: Form::default() }
    }

    fn announcement(instance: InstanceId, hosts: &[u8], pace: u64) -> Announcement {
        let addresses = hosts.iter().map(|host| placement(*host)).collect();
        Announcement { instance, addresses, repeat: 1, pace: Duration::from_millis(pace) }
    }

    fn at(ms: u64) -> Instant {
        Instant::BOOT + Duration::from_millis(ms)
    }

    fn next(queue: &mut Queue, now: Instant) -> Vec<Placement> {
        match queue.next(now) {
            Next::Send(placements) => placements,
            Next::Links(_) | Next::Nothing | Next::Stop => Vec::new(),
        }
    }

    #[test]
    fn a_burst_that_was_never_sent_is_not_lost_to_a_newer_one() {
        let mut queue = Queue::default();
        queue.begin(announcement(WEB, &[1, 2, 3], 5), at(0));
        queue.begin(announcement(WEB, &[3, 4], 0), at(0));
        assert_eq!(next(&mut queue, at(0)), [3, 4, 1, 2].map(placement));
        assert_eq!(next(&mut queue, at(0)), []);
    }

    #[test]
    fn an_address_that_is_to_be_removed_is_not_announced() {
        let mut queue = Queue::default();
        queue.installed.extend([placement(1), placement(4)]);
        queue.begin(announcement(WEB, &[1, 2, 3], 0), at(0));
        queue.begin(announcement(MAIL, &[1], 0), at(0));
        queue.forget(&[place(1), place(2)]);
        assert_eq!(next(&mut queue, at(0)), [4, 3].map(placement));
        assert!(queue.bursts.is_empty());
    }

    #[test]
    fn what_is_installed_waits_for_its_gate() {
        let mut queue = Queue::default();
        let router = RouterId { instance: WEB, family: Family::Ipv4 };
        queue.barred.entry(router).or_default().generation = Generation(2);
        queue.install(WEB, &[placement(1), placement(2)]);
        queue.install(MAIL, &[placement(9)]);
        assert_eq!(next(&mut queue, at(0)), [placement(9)]);
        queue.unbar(router, Generation(1));
        assert_eq!(next(&mut queue, at(0)), [], "a newer order is on its way");
        queue.forget(&[place(1)]);
        queue.unbar(router, Generation(2));
        assert_eq!(next(&mut queue, at(0)), [placement(2)]);
        assert!(queue.barred.is_empty());
    }

    #[test]
    fn what_was_installed_goes_first_and_a_paced_burst_keeps_its_pace() {
        let mut queue = Queue::default();
        queue.begin(announcement(WEB, &[1, 2], 2), at(0));
        queue.installed.push_back(placement(9));
        assert_eq!(next(&mut queue, at(0)), [9, 1].map(placement));
        assert_eq!(queue.pause(at(1)), Duration::from_millis(1));
        assert!(queue.is_idle(at(1)));
        assert_eq!(next(&mut queue, at(1)), []);
        assert!(!queue.is_idle(at(2)));
        assert_eq!(next(&mut queue, at(2)), [placement(2)]);
    }

    #[test]
    fn a_long_burst_does_not_keep_another_waiting() {
        let mut queue = Queue::default();
        let hosts: Vec<u8> = (1..=100).collect();
        queue.begin(announcement(WEB, &hosts, 0), at(0));
        queue.begin(announcement(MAIL, &[200], 0), at(1));
        assert_eq!(next(&mut queue, at(2)).len(), BURST);
        assert_eq!(next(&mut queue, at(2)), [placement(200)]);
    }

    #[test]
    fn a_burst_is_repeated_one_round_after_the_other() {
        let mut queue = Queue::default();
        queue.begin(Announcement { repeat: 3, ..announcement(WEB, &[1, 2], 0) }, at(0));
        queue.forget(&[place(9)]);
        let rounds: Vec<_> = (0..4).map(|_| next(&mut queue, at(0))).collect();
        let round = vec![placement(1), placement(2)];
        assert_eq!(rounds, [round.clone(), round.clone(), round, Vec::new()]);
        queue.begin(Announcement { repeat: 2, ..announcement(WEB, &[1, 2], 1) }, at(0));
        assert_eq!(next(&mut queue, at(0)), [placement(1)]);
        queue.forget(&[place(2)]);
        assert_eq!(next(&mut queue, at(1)), [placement(1)]);
        assert!(queue.bursts.is_empty());
    }

    #[test]
    fn links_that_share_a_rate_have_one_frame_at_a_time() {
        let on = |link, host| Placement {
            place: Place { link: LinkIndex(link), ..place(host) },
            ..placement(host)
        };
        let shared = Pace { share: Share::Limit(0), gap: Duration::from_millis(10) };
        let mut queue =
            Queue { paces: [(LinkIndex(2), shared), (LinkIndex(3), shared)].into(), ..Queue::default() };
        queue.install(WEB, &[on(2, 1), on(3, 2), on(4, 3), on(4, 4)]);
        queue.begin(announcement(MAIL, &[5], 0), at(0));
        assert_eq!(next(&mut queue, at(0)), [on(2, 1), on(4, 3), on(4, 4)], "the first goes out at once");
        assert!(queue.is_idle(at(9)) && !queue.is_idle(at(10)));
        assert_eq!(next(&mut queue, at(9)), []);
        assert_eq!(next(&mut queue, at(10)), [on(3, 2)]);
        assert_eq!(next(&mut queue, at(15)), []);
        assert_eq!(next(&mut queue, at(20)), [on(2, 5)]);
        assert_eq!(queue.pause(at(20)), Duration::MAX);
    }

    #[test]
    fn the_thread_ends_when_all_is_sent() {
        let announcer = Announcer::default();
        announcer.announce(announcement(WEB, &[1], 0));
        announcer.stop();
        assert!(matches!(announcer.next(Duration::ZERO), Next::Send(_)));
        assert!(matches!(announcer.next(Duration::from_secs(60)), Next::Stop));
    }

    #[test]
    fn forgetting_waits_for_the_frames_being_sent() {
        let announcer = Announcer::default();
        announcer.installed(WEB, &[placement(1)]);
        assert!(matches!(announcer.next(Duration::ZERO), Next::Send(_)));
        let other = announcer.clone();
        let forgetting = std::thread::spawn(move || other.forget_sent(&[place(1)]));
        assert!(!forgetting.is_finished());
        announcer.sent();
        forgetting.join().unwrap();
        announcer.forget_sent(&[place(1)]);
    }
}
