//! A check whose word has to stand for a while before it counts: the interface beside the LAN, which nothing tracks then,
//! so that what is promised of it is promised alone.

use vipd::engine::notice::{Notice, What};
use vipd::time::{Duration, Instant};

use crate::kernel::UPLINK;
use crate::plan::{Fault, NodePlan};
use crate::random::Random;
use crate::topology::UPLINK_CHECK;
use crate::world::World;

/// Draws the delays of some seeds, and flaps for them, from a stream of their own.
pub(crate) fn draw(seed: u64, nodes: &mut [NodePlan], faults: &mut Vec<(Instant, Fault)>, length: Duration) {
    let mut random = Random::new(seed, 4);
    if !random.chance(200) {
        return;
    }
    let delays = [Duration::ZERO, LONGEST / 5, LONGEST];
    let (up, down) = (random.pick(&delays), random.pick(&delays));
    for (at, node) in nodes.iter_mut().enumerate() {
        for instance in &mut node.settings.instances {
            instance.tracks.retain(|track| track.check != UPLINK_CHECK);
        }
        for check in node.settings.checks.iter_mut().filter(|check| check.name == UPLINK_CHECK) {
            (check.up_delay, check.down_delay) = (up, down);
        }
        for _ in 0..random.between(1, 6) {
            let begins = random.duration(length / 10, length * 8 / 10);
            let ends = begins + random.duration(Duration::from_millis(1), LONGEST * 2);
            faults.push((Instant::BOOT + begins, Fault::Carrier(at, UPLINK, false)));
            faults.push((Instant::BOOT + ends.min(length * 9 / 10), Fault::Carrier(at, UPLINK, true)));
        }
    }
    faults.sort_by_key(|(at, _)| *at);
}

/// What the interface of a node really was, and which process told of it last.
#[derive(Debug)]
pub(crate) struct Uplink {
    was: Vec<(Instant, bool)>,
    told_by: Option<u32>,
}

impl Uplink {
    pub(crate) fn new() -> Self {
        Self { was: vec![(Instant::BOOT, true)], told_by: None }
    }

    pub(crate) fn is(&mut self, now: Instant, up: bool) {
        if self.was.last().is_some_and(|(_, last)| *last != up) {
            self.was.push((now, up));
        }
    }

    /// Whether it was anything but this at any time from `from` to `to`.
    fn was_not(&self, up: bool, from: Instant, to: Instant) -> bool {
        let ends = self.was.iter().skip(1).map(|(at, _)| *at).chain([Instant::from_nanos(u64::MAX)]);
        self.was.iter().zip(ends).any(|((begins, was), ends)| *was != up && *begins <= to && ends > from)
    }
}

/// A verdict counts only after it has stood for as long as it has to. The first of a process is not judged: with nothing
/// inherited it counts at once.
pub(crate) fn told(world: &mut World, node: usize, notice: &Notice) {
    let What::Check { check, up, .. } = &notice.what else { return };
    if check != UPLINK_CHECK {
        return;
    }
    let serial = world.nodes[node].process.as_ref().map(|process| process.serial);
    let first = std::mem::replace(&mut world.watch.uplinks[node].told_by, serial) != serial;
    let known = world.nodes[node].settings.checks.iter().find(|known| known.name == *check);
    let delay = known.map_or(Duration::ZERO, |known| if *up { known.up_delay } else { known.down_delay });
    if first || delay.is_zero() {
        return;
    }
    *world.watch.counts.entry("delayed verdicts").or_default() += 1;
    let (from, to) = (world.now - delay, world.now - HEARD_WITHIN);
    if world.watch.uplinks[node].was_not(*up, from, to) {
        let what =
            format!("n{node} says {} although it was not for {delay:?}", if *up { "up" } else { "down" });
        world.breaks("a delayed verdict has stood for its time", what);
    }
}

/// What has stood for long enough counts, and nothing waits for ever.
pub(crate) fn in_the_end(world: &World) -> Option<String> {
    for (node, machine) in world.nodes.iter().enumerate().filter(|(_, machine)| machine.is_awake()) {
        let is_up = machine.kernel.link(UPLINK).is_some_and(|link| link.up);
        let status = machine.process.as_ref()?.engine.status(world.clock(node));
        let check = status.checks.iter().find(|check| check.name == UPLINK_CHECK)?;
        if check.up != Some(is_up) || check.pending.is_some() {
            return Some(format!("n{node}: the uplink is up: {is_up}, but {check:?}"));
        }
    }
    None
}

/// The longest delay: much less than the quiet time at the end.
const LONGEST: Duration = Duration::from_millis(500);
/// Within this an engine has read of a change: a dump, the mail, and its turn.
const HEARD_WITHIN: Duration = Duration::from_millis(40);
