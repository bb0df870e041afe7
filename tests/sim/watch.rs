//! What the oracles need to remember: who was upset when, who answers since when, who said what last.
//!
//! Everything here is learned from the faults, the network and the fake kernels; from the engine only what it
//! tells and orders.

use std::collections::BTreeMap;
use std::net::IpAddr;

use vipd::engine::action::KernelWork;
use vipd::engine::event::{Change, Event};
use vipd::engine::notice::{Notice, Reason};
use vipd::net::{Family, LinkIndex};
use vipd::time::{Duration, Instant};
use vipd::wire::vrrp::Advert;

use crate::network::Frame;
use crate::node::Standing;
use crate::patience::Uplink;
use crate::plan::Fault;
use crate::signatures::{self, Heard};

/// One router of one node: node, virtual router identifier, family.
pub(crate) type Voice = (usize, u8, Family);

/// An advert somebody sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) at: Instant,
    pub(crate) priority: u8,
    pub(crate) source: IpAddr,
    pub(crate) interval: Duration,
}

/// That a master had a rival.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Learned {
    /// Since when it may know that clients were told otherwise.
    pub(crate) first: Option<Instant>,
    /// This was not the first in a while: defence may be put off.
    pub(crate) again: bool,
}

/// That a node became master of a virtual router.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Take {
    pub(crate) at: Instant,
    pub(crate) node: usize,
    pub(crate) vrid: u8,
    /// How long it had heard no advert, if it ever heard one.
    pub(crate) silence: Option<Duration>,
}

/// What is remembered.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Until when each node is excused: the last thing that upset it, and what it may need to recover.
    pub(crate) upset: Vec<Instant>,
    /// What the interface beside the LAN was.
    pub(crate) uplinks: Vec<Uplink>,
    /// Until when each node is out of the race because its gate did not open.
    pub(crate) stuck: Vec<Instant>,
    /// When each direction of the network last lost something; the last place is the client's.
    pub(crate) lossy: Vec<Vec<Instant>>,
    /// When the last report or answer of each node can be read.
    pub(crate) last_mail: Vec<Instant>,
    /// The same for requests.
    pub(crate) last_request: Vec<Instant>,
    /// Who answers for an address, since when, by node.
    pub(crate) answers: BTreeMap<IpAddr, Vec<Option<Instant>>>,
    /// Who has an address of ours in its kernel, since when, by node.
    pub(crate) present: BTreeMap<IpAddr, Vec<Option<Instant>>>,
    /// Since when nobody answers for an address.
    pub(crate) dark: BTreeMap<IpAddr, Instant>,
    /// Since when exactly this node alone answers.
    pub(crate) sole: BTreeMap<IpAddr, (usize, Instant)>,
    /// Since when a node answers for a part of an instance only.
    pub(crate) partial: BTreeMap<(usize, u8), Instant>,
    /// The last advert of each router, if it has not been silenced since.
    pub(crate) said: BTreeMap<Voice, Said>,
    /// What reached the socket of a router, by source.
    pub(crate) heard: BTreeMap<Voice, BTreeMap<IpAddr, Said>>,
    /// When a resignation last reached the socket of a router.
    pub(crate) heard_resignation: BTreeMap<Voice, Instant>,
    /// Something that justifies leaving was fed to the engine of a node.
    pub(crate) cause: Vec<Instant>,
    /// The operator wanted something of a node: what it serves may be handed over.
    pub(crate) command: Vec<Instant>,
    /// When the engine of a node was last told that it had been stalled.
    pub(crate) stall: Vec<Option<Instant>>,
    /// When a better advert was fed to an instance of a node.
    pub(crate) beaten: BTreeMap<(usize, u8), Instant>,
    /// A resignation nobody has followed yet, by virtual router identifier.
    pub(crate) resigned: BTreeMap<u8, (usize, Instant)>,
    /// Announcements that are owed since a take.
    pub(crate) owed: BTreeMap<(usize, IpAddr), Instant>,
    /// Who announced an address last, as far as a node can know.
    pub(crate) announcer: BTreeMap<(usize, IpAddr), usize>,
    /// Who told the client last that an address was his, and when it heard that.
    pub(crate) misled: BTreeMap<IpAddr, (usize, Instant)>,
    /// When a master learned from the wire that another node had been one, too, after that node had told the client.
    pub(crate) learned: BTreeMap<(usize, IpAddr), Learned>,
    /// When a master last learned of a rival, and whether that was not the first in a while, by node and virtual
    /// router identifier.
    quarrels: BTreeMap<(usize, u8), (Instant, bool)>,
    /// When the process of each node began.
    pub(crate) began: Vec<Instant>,
    /// The states that the oracles have seen.
    pub(crate) standing: Vec<BTreeMap<u8, Standing>>,
    /// The greatest generation of each kind of order, by node.
    pub(crate) generations: Vec<BTreeMap<(&'static str, u32), u64>>,
    /// The states are to be read again.
    pub(crate) look_again: bool,
    /// Something changed in who answers.
    pub(crate) dirty: bool,
    /// When durations were last looked at.
    pub(crate) looked: Instant,
    /// Orders given while a reload is taken in.
    orders: Option<Vec<KernelWork>>,
    /// Whether the client reaches an address, and since when.
    pub(crate) reach: BTreeMap<IpAddr, (bool, Instant)>,
    /// The times in which the client did not reach an address it had reached before: which, since when, how long.
    pub(crate) outages: Vec<(IpAddr, Instant, Duration)>,
    /// Who became master when.
    pub(crate) takes: Vec<Take>,
    /// Virtual routers' own links that are up although their agent runs and is not master, and since when.
    pub(crate) idle_links: BTreeMap<(usize, LinkIndex), Instant>,
    /// Those that have another Ethernet address although their agent runs, and since when.
    pub(crate) strange_links: BTreeMap<(usize, LinkIndex), Instant>,
    /// Signed adverts.
    pub(crate) signed: Heard,
    /// What happened, for the statistics.
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl Watch {
    pub(crate) fn new(nodes: usize) -> Self {
        let none = vec![Instant::BOOT; nodes];
        Self {
            upset: none.clone(),
            uplinks: (0..nodes).map(|_| Uplink::new()).collect(),
            stuck: none.clone(),
            lossy: vec![vec![Instant::BOOT; nodes + 1]; nodes + 1],
            last_mail: none.clone(),
            last_request: none.clone(),
            answers: BTreeMap::new(),
            present: BTreeMap::new(),
            dark: BTreeMap::new(),
            sole: BTreeMap::new(),
            partial: BTreeMap::new(),
            said: BTreeMap::new(),
            heard: BTreeMap::new(),
            heard_resignation: BTreeMap::new(),
            cause: none.clone(),
            began: none.clone(),
            command: none,
            stall: vec![None; nodes],
            beaten: BTreeMap::new(),
            resigned: BTreeMap::new(),
            owed: BTreeMap::new(),
            announcer: BTreeMap::new(),
            misled: BTreeMap::new(),
            learned: BTreeMap::new(),
            quarrels: BTreeMap::new(),
            standing: vec![BTreeMap::new(); nodes],
            generations: vec![BTreeMap::new(); nodes],
            look_again: false,
            dirty: true,
            looked: Instant::BOOT,
            orders: None,
            reach: BTreeMap::new(),
            outages: Vec::new(),
            takes: Vec::new(),
            idle_links: BTreeMap::new(),
            strange_links: BTreeMap::new(),
            signed: Heard::default(),
            counts: BTreeMap::new(),
        }
    }

    /// Something upset a node.
    pub(crate) fn upset(&mut self, now: Instant, node: usize) {
        self.upset_until(node, now);
    }

    /// A node is excused until then.
    pub(crate) fn upset_until(&mut self, node: usize, until: Instant) {
        self.upset[node] = self.upset[node].max(until);
        self.dirty = true;
    }

    /// The whole network changed.
    pub(crate) fn upset_network(&mut self, now: Instant) {
        self.lossy.iter_mut().flatten().for_each(|at| *at = now);
    }

    /// A frame was lost, or could have been.
    pub(crate) fn lost(&mut self, now: Instant, from: usize, to: usize) {
        self.lossy[from][to] = now;
        self.dirty = true;
    }

    /// The last thing that upset any node.
    pub(crate) fn last_upset(&self) -> Instant {
        self.upset.iter().copied().max().unwrap_or_default()
    }

    pub(crate) fn started(&mut self, now: Instant, delay: Duration, node: usize) {
        self.forget(node);
        self.began[node] = now;
        let now = now + delay;
        self.upset(now, node);
    }

    pub(crate) fn ended(&mut self, now: Instant, node: usize) {
        self.forget(node);
        self.upset(now, node);
    }

    fn forget(&mut self, node: usize) {
        self.said.retain(|voice, _| voice.0 != node);
        self.heard.retain(|voice, _| voice.0 != node);
        self.owed.retain(|owed, _| owed.0 != node);
        self.standing[node].clear();
        self.generations[node].clear();
        self.stall[node] = None;
        self.last_mail[node] = Instant::BOOT;
        self.last_request[node] = Instant::BOOT;
    }

    /// An advert of a node was refused by its own kernel: for a while the node may see no point in being master.
    pub(crate) fn muted(&mut self, now: Instant, node: usize) {
        self.upset_until(node, now + MUTE);
    }

    /// A node gave up because its gate did not open: for a while it sees no point in being master.
    pub(crate) fn stuck(&mut self, now: Instant, node: usize) {
        self.stuck[node] = now + MUTE;
    }

    /// An advert reached a socket.
    pub(crate) fn arrived(&mut self, now: Instant, node: usize, frame: &Frame) {
        let Frame::Vrrp { source, destination, bytes } = frame else { return };
        let payload = if source.is_ipv4() { &bytes[20..] } else { bytes };
        let Ok(advert) = signatures::read(payload, *source, *destination) else { return };
        let voice = (node, advert.vrid.get(), Family::of(*source));
        if !self.signed.is_next(voice, *source, payload) {
            return;
        }
        let heard = self.heard.entry(voice).or_default();
        if advert.priority.get() == 0 {
            heard.remove(source);
            self.heard_resignation.insert(voice, now);
        } else {
            heard.insert(*source, said(now, *source, &advert));
        }
    }

    /// An event is handed to the engine of a node.
    pub(crate) fn fed(&mut self, now: Instant, node: usize, event: &Event<'_>) {
        match event {
            Event::Tick
            | Event::Silence { .. }
            | Event::Claim(_)
            | Event::Held(_)
            | Event::Gated(_)
            | Event::Linked(_)
            | Event::Datagram(_)
            | Event::Clock { .. } => {}
            Event::Change(Change::Address(address)) if address.ours => {}
            Event::Change(Change::Link(link)) if link.virtual_link.is_some() => {}
            Event::Stalled { .. } => {
                self.stall[node] = Some(now);
                self.cause[node] = now;
            }
            Event::Reload(_)
            | Event::StepDown(_)
            | Event::Resume(_)
            | Event::Shutdown
            | Event::ShutdownNow => {
                self.cause[node] = now;
                self.command[node] = now;
                self.upset(now, node);
            }
            Event::Picture(_)
            | Event::Paths(_)
            | Event::Change(_)
            | Event::Opened(_)
            | Event::Verdict { .. }
            | Event::Value { .. }
            | Event::Priority { .. } => {
                self.cause[node] = now;
                self.upset(now, node);
            }
            Event::SendFailed { .. } | Event::Excluded { .. } => self.cause[node] = now,
        }
    }

    /// Whether the client reaches an address now.
    pub(crate) fn reaches(&mut self, now: Instant, address: IpAddr, reaches: bool) {
        let (before, since) = *self.reach.entry(address).or_insert((reaches, now));
        if before != reaches {
            self.reach.insert(address, (reaches, now));
            if reaches {
                self.outages.push((address, since, now.since(since)));
            }
        }
    }

    /// A node announced an address.
    pub(crate) fn announced(&mut self, node: usize, address: IpAddr) {
        self.owed.remove(&(node, address));
        self.announcer.insert((node, address), node);
        *self.counts.entry("announcements").or_default() += 1;
    }

    /// The client heard an announcement.
    pub(crate) fn client_heard(&mut self, now: Instant, node: usize, address: IpAddr) {
        self.dirty = true;
        self.misled.insert(address, (node, now));
        for (_, learned) in self.learned.iter_mut().filter(|((_, vip), _)| *vip == address) {
            learned.first = None;
        }
    }

    /// Something that says that `other` was master reached a node that is: it may know now.
    pub(crate) fn master_learns(
        &mut self,
        now: Instant,
        (node, vrid): (usize, u8),
        other: usize,
        address: IpAddr,
    ) {
        let misled = self.misled.get(&address).is_some_and(|(by, _)| *by == other);
        let nothing = Learned { first: None, again: false };
        let learned = self.learned.entry((node, address)).or_insert(nothing);
        let again = match self.quarrels.get(&(node, vrid)) {
            // The same advert speaks of several addresses.
            Some((last, again)) if *last == now => *again,
            Some((last, _)) => now.since(*last) < QUARREL,
            None => false,
        };
        self.quarrels.insert((node, vrid), (now, again));
        if misled && learned.first.is_none() {
            (learned.first, learned.again) = (Some(now), again);
        }
    }

    /// The engine told something.
    pub(crate) fn told(&mut self, notice: &Notice) {
        use vipd::engine::notice::What;
        let name = match notice.what {
            What::Transition { reason: Reason::Adopted { .. }, .. } => "adoptions",
            What::NotAdopted { .. } => "refused adoptions",
            What::Transition { .. } => "transitions",
            What::Rival { .. } => "rivals",
            What::HandedOver { .. } => "hand-overs",
            What::NobodyTookOver => "step-downs without successor",
            What::AddressLost { .. } => "repairs",
            What::AddressRefused { .. } => "refusals",
            What::Stalled { .. } => "stalls",
            What::Priority { .. } => "priority changes",
            What::Reloaded { .. } => "reloads",
            _ => "other notices",
        };
        *self.counts.entry(name).or_default() += 1;
    }

    /// Counts a fault.
    pub(crate) fn count(&mut self, fault: &Fault) {
        let name = match fault {
            Fault::Crash(_) => "crashes",
            Fault::Stop(_) => "stops",
            Fault::Freeze(..) => "freezes",
            Fault::Part(_) => "partitions",
            Fault::Cut(..) => "one-way cuts",
            Fault::Clock(..) => "clocks set",
            _ => "other faults",
        };
        *self.counts.entry(name).or_default() += 1;
    }

    /// From here on orders are collected.
    pub(crate) fn begin_reload(&mut self) {
        self.orders = Some(Vec::new());
    }

    /// An order was given.
    pub(crate) fn ordered(&mut self, work: &KernelWork) {
        if let Some(orders) = &mut self.orders {
            orders.push(work.clone());
        }
    }

    /// The orders since [`Self::begin_reload`].
    pub(crate) fn end_reload(&mut self) -> Vec<KernelWork> {
        self.orders.take().unwrap_or_default()
    }
}

/// The part of an advert that is remembered.
pub(crate) fn said(at: Instant, source: IpAddr, advert: &Advert) -> Said {
    Said { at, priority: advert.priority.get(), source, interval: advert.interval }
}

/// Reasons for a defence that follow each other in less than three intervals of a second are one quarrel.
const QUARREL: Duration = Duration::from_millis(3100);
/// How long a router that cannot send, or whose gate does not open, stays out of the race for the second time; no run has room for a third.
const MUTE: Duration = Duration::from_secs(21);
