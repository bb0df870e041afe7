//! Signed adverts in the simulation: keys, wall clocks that are set, recordings that somebody sends again, and what is
//! promised of all that.
//!
//! The clocks of two nodes never differ by more than the window allows, so an honest advert is never stale, and whoever
//! was believed once is believed as long as its sequence grows, whatever is restarted meanwhile.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use vipd::engine::notice::Discard;
use vipd::engine::settings::{AntiReplay, Hmac};
use vipd::net::Family;
use vipd::time::{Duration, Instant};
use vipd::wire::vrrp::{self, Advert, Key, Malformed, Trailer};
use zeroize::Zeroizing;

use crate::network::{Frame, Shared};
use crate::node::Waiting;
use crate::plan::Fault;
use crate::random::Random;
use crate::watch::Voice;
use crate::world::World;

/// An advert, signed or not.
pub(crate) fn read(payload: &[u8], source: IpAddr, destination: IpAddr) -> Result<Advert, Malformed> {
    match vrrp::split(payload, Family::of(source)) {
        Some((pdu, trailer)) => vrrp::decode_signed(pdu, trailer, source, destination),
        None => vrrp::decode(payload, source, destination),
    }
}

/// What a virtual router is signed with, if it is.
pub(crate) fn draw(seed: u64, number: usize) -> Option<Hmac> {
    // A stream of its own: what else a seed means stays as it is.
    let mut random = Random::new(seed, 20 + number as u64);
    random.chance(400).then(|| Hmac {
        keys: BTreeMap::from([(
            1,
            Key::new(Zeroizing::new(vec![7; 32])).unwrap_or_else(|| unreachable!("32 bytes")),
        )]),
        active: Some(1),
        accepts_unsigned: false,
        anti_replay: if random.chance(500) {
            AntiReplay::Time { window: WINDOW }
        } else {
            AntiReplay::Monotonic
        },
    })
}

/// Clocks are set, most likely while an agent is away; and after it came back somebody sends it what it has heard.
pub(crate) fn incidents(
    seed: u64,
    nodes: usize,
    faults: &[(Instant, Fault)],
    length: Duration,
) -> Vec<(Instant, Fault)> {
    let mut random = Random::new(seed, 19);
    let mut drawn = Vec::new();
    for _ in 0..random.below(4) {
        let at = Instant::BOOT + random.duration(length / 10, length * 9 / 10);
        drawn.push((at, Fault::Clock(random.index(nodes), error(&mut random))));
    }
    for (at, fault) in faults {
        match fault {
            Fault::Crash(node) | Fault::Stop(node) if random.chance(700) => {
                drawn.push((*at + Duration::from_micros(1), Fault::Clock(*node, error(&mut random))));
            }
            Fault::Start(node) => {
                let after = random.duration(Duration::from_millis(1), length / 3);
                drawn.push((*at + after, Fault::Replay(*node)));
            }
            _ => {}
        }
    }
    drawn
}

/// How far a clock is from the right time, in milliseconds: of two no more than four seconds apart.
fn error(random: &mut Random) -> i64 {
    i64::try_from(random.below(4000)).unwrap_or(0) - 2000
}

/// What a wall clock shows that is so many milliseconds off.
pub(crate) fn wall(now: Instant, error: i64) -> Duration {
    let right = Duration::from_secs(1_800_000_000) + now.since(Instant::BOOT);
    let by = Duration::from_millis(error.unsigned_abs());
    if error < 0 { right.saturating_sub(by) } else { right + by }
}

/// What is remembered of signed adverts.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The greatest sequence that reached the socket of a router, by sender.
    arrived: BTreeMap<(Voice, IpAddr), u64>,
    /// The greatest sequence that was handed to a router, by sender.
    greatest: BTreeMap<(Voice, IpAddr), u64>,
    /// What was accepted, and when, unless its file does not say so.
    believed: BTreeMap<(Voice, IpAddr, u64), Instant>,
    /// What somebody has recorded, by receiver.
    recorded: BTreeMap<usize, Vec<Shared>>,
}

impl Heard {
    /// An advert reached the socket of a router: whether it is no older than one before. One that is does not count,
    /// whoever sent it.
    pub(crate) fn is_next(&mut self, voice: Voice, source: IpAddr, payload: &[u8]) -> bool {
        let Some(sequence) = sequence(payload, voice.2) else { return true };
        let greatest = self.arrived.entry((voice, source)).or_insert(0);
        let is_next = sequence > *greatest;
        *greatest = sequence.max(*greatest);
        is_next
    }

    /// A process of a node begins with a file that was written then: what was heard after that nobody knows any more.
    pub(crate) fn forget(&mut self, node: usize, written: Instant) {
        self.believed.retain(|((of, ..), ..), at| *of != node || *at < written);
    }

    /// Whether a node knows that it has believed an advert.
    fn knows(&self, node: usize, frame: &Frame) -> bool {
        signed(node, frame).is_some_and(|advert| self.believed.contains_key(&advert))
    }
}

/// For which router of a node a signed advert is, from whom, and its sequence.
fn signed(node: usize, frame: &Frame) -> Option<(Voice, IpAddr, u64)> {
    let Frame::Vrrp { source, bytes, .. } = frame else { return None };
    let payload = if source.is_ipv4() { bytes.get(20..)? } else { bytes };
    let family = Family::of(*source);
    Some(((node, *payload.get(1)?, family), *source, sequence(payload, family)?))
}

fn sequence(payload: &[u8], family: Family) -> Option<u64> {
    let (_, trailer) = vrrp::split(payload, family)?;
    Some(Trailer::decode(trailer)?.sequence.to_bits())
}

/// What a router had counted before it was handed a signed advert.
pub(crate) struct Before {
    voice: Voice,
    source: IpAddr,
    sequence: u64,
    accepted: u64,
    refused: u64,
}

/// A signed advert is about to be handed to an engine.
pub(crate) fn before(world: &World, node: usize, frame: &Frame) -> Option<Before> {
    let (voice, source, sequence) = signed(node, frame)?;
    let (accepted, refused) = counted(world, voice);
    Some(Before { voice, source, sequence, accepted, refused })
}

/// How many adverts a router has accepted, and refused as old.
fn counted(world: &World, (node, vrid, family): Voice) -> (u64, u64) {
    let Some(process) = &world.nodes[node].process else { return (0, 0) };
    let status = process.engine.status(world.clock(node));
    let routers = status.instances.iter().filter(|i| i.vrid.get() == vrid).flat_map(|i| &i.routers);
    let counters = routers.filter(|r| r.family == family).map(|r| &r.counters);
    let old = [Discard::HmacStale, Discard::HmacReplay];
    counters.fold((0, 0), |(accepted, refused), counters| {
        let more: u64 = old.iter().filter_map(|reason| counters.discarded.get(reason)).sum();
        (accepted + counters.received, refused + more)
    })
}

/// It was handed over.
pub(crate) fn after(world: &mut World, before: &Before, frame: &Shared) {
    let Before { voice, source, sequence, accepted, refused } = *before;
    let node = voice.0;
    if world.nodes[node].process.is_none() {
        return;
    }
    let (accepted_now, refused_now) = counted(world, voice);
    let now = world.now;
    let heard = &mut world.watch.signed;
    let greatest = heard.greatest.entry((voice, source)).or_insert(0);
    let is_new = sequence > *greatest;
    *greatest = sequence.max(*greatest);
    if accepted_now > accepted {
        let recorded = heard.recorded.entry(node).or_default();
        if recorded.len() < RECORDED {
            recorded.push(Rc::clone(frame));
        }
        if let Some(at) = heard.believed.insert((voice, source, sequence), now) {
            let what =
                format!("n{node} believes {source} for virtual router {} what it heard at {at:?}", voice.1);
            world.breaks("nothing is believed twice", what);
        }
    } else if is_new && refused_now > refused {
        let what =
            format!("n{node} takes an advert of {source} for virtual router {} for an old one", voice.1);
        world.breaks("an honest advert is no old one", what);
    }
}

impl World {
    /// Somebody sends a node what he has recorded, and what it can know to be old: not what it heard in the last moments
    /// before a crash.
    pub(crate) fn replay(&mut self, node: usize) {
        let heard = &self.watch.signed;
        let recorded = heard.recorded.get(&node).cloned().unwrap_or_default();
        let recorded: Vec<Shared> = recorded.into_iter().filter(|frame| heard.knows(node, frame)).collect();
        let now = self.now;
        let machine = &mut self.nodes[node];
        let Some(link) = machine.kernel.lan().map(|link| link.index) else { return };
        let Some(process) = &mut machine.process else { return };
        for frame in recorded {
            let Frame::Vrrp { source, .. } = &*frame else { continue };
            let endpoint = vipd::engine::action::Endpoint { link, family: Family::of(*source) };
            if let Some(queue) = process.sockets.get_mut(&endpoint) {
                queue.push_back(Waiting { at: now, frame, replayed: true });
                *self.watch.counts.entry("replays").or_default() += 1;
            }
        }
        self.rouse(node);
    }

    /// Writes the file that outlives a process, if it is time, or there is news, its end for one.
    pub(crate) fn write_sequences(&mut self, node: usize, has_news: bool) {
        let now = self.now;
        let machine = &mut self.nodes[node];
        let Some(process) = &machine.process else { return };
        if has_news || now.since(machine.sequences_at) >= EVERY {
            machine.sequences = process.engine.signed();
            machine.sequences_at = now;
        }
    }
}

const WINDOW: Duration = Duration::from_secs(5);
/// How often the file is written.
const EVERY: Duration = Duration::from_secs(5);
/// How many adverts somebody records of what a node has heard: the first ones.
const RECORDED: usize = 8;
