//! The faults of a campaign, worked out from a seed before it begins: the same seed gives the same list, whatever
//! happens on the way.

use std::fmt;

/// One fault, or two that meet, and how long to wait before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Episode {
    /// Milliseconds from the settled state to the first fault.
    pub(crate) lead: u64,
    /// The fault.
    pub(crate) fault: Fault,
    /// Another one that comes so many milliseconds after it.
    pub(crate) second: Option<(u64, Fault)>,
}

/// A fault; `node` is the place of a node, `millis` how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Crash { node: usize, millis: u64 },
    Hang { node: usize, millis: u64 },
    Pause { node: usize, millis: u64 },
    Restart { node: usize },
    HandOn { node: usize },
    StopBoth,
    Upgrade { node: usize },
    Cut { node: usize, millis: u64 },
    Mute { node: usize, millis: u64 },
    Deafen { node: usize, millis: u64 },
    Lose { node: usize, percent: u8, millis: u64 },
    Jitter { node: usize, most: u64, millis: u64 },
    Unplug { node: usize, millis: u64 },
    PlugFlaps { node: usize, times: u64, millis: u64 },
    Down { node: usize, millis: u64 },
    Flush { node: usize, millis: u64 },
    DeleteAddress { address: usize },
    DeleteTable { node: usize },
    Reprioritise { instance: usize },
    AddAddress { millis: u64 },
    StepDown { node: usize, millis: u64 },
    CheckDown { node: usize, millis: u64 },
    CheckFlaps { node: usize, times: u64, millis: u64 },
    StepClock { by: i64, millis: u64 },
}

/// What is done at a moment of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Kill(usize),
    Freeze(usize),
    Thaw(usize),
    /// Freezes by control group.
    Pause(usize),
    Unpause(usize),
    Stop(usize),
    /// Ends the agent and leaves everything to the next one.
    HandOn(usize),
    Start(usize),
    /// Has another program of the same build go on in the agent's place.
    Upgrade(usize),
    /// Looks whether anything is left on either node.
    Inspect,
    Cut(usize),
    Mute(usize),
    Deafen(usize),
    Lose(usize, u8),
    Jitter(usize, u64),
    Heal(usize),
    Unplug(usize),
    Plug(usize),
    /// Sets the interface down, which takes its IPv6 addresses away.
    Down(usize),
    /// Takes all addresses away.
    Flush(usize),
    /// Sets the interface up and gives it its own addresses back, as whoever manages the network would.
    Up(usize),
    DeleteAddress(usize),
    DeleteTable(usize),
    Reprioritise(usize),
    AddAddress,
    RemoveAddress,
    GiveUp(usize),
    Resume(usize),
    CheckDown(usize),
    CheckUp(usize),
    /// Sets the machine's real-time clock forward or back by so many milliseconds.
    SetClock(i64),
}

impl Fault {
    /// Its steps, with the milliseconds from its beginning.
    pub(crate) fn steps(self) -> Vec<(u64, Step)> {
        match self {
            Self::Crash { node, millis } => vec![(0, Step::Kill(node)), (millis, Step::Start(node))],
            Self::Hang { node, millis } => vec![(0, Step::Freeze(node)), (millis, Step::Thaw(node))],
            Self::Pause { node, millis } => vec![(0, Step::Pause(node)), (millis, Step::Unpause(node))],
            Self::Restart { node } => vec![(0, Step::Stop(node)), (0, Step::Start(node))],
            Self::HandOn { node } => vec![(0, Step::HandOn(node)), (0, Step::Start(node))],
            Self::StopBoth => {
                let stops = [0, 1].map(|node| (0, Step::Stop(node)));
                let starts = [0, 1].map(|node| (0, Step::Start(node)));
                [&stops[..], &[(0, Step::Inspect)], &starts].concat()
            }
            Self::Upgrade { node } => vec![(0, Step::Upgrade(node))],
            Self::Cut { node, millis } => vec![(0, Step::Cut(node)), (millis, Step::Heal(node))],
            Self::Mute { node, millis } => vec![(0, Step::Mute(node)), (millis, Step::Heal(node))],
            Self::Deafen { node, millis } => vec![(0, Step::Deafen(node)), (millis, Step::Heal(node))],
            Self::Lose { node, percent, millis } => {
                vec![(0, Step::Lose(node, percent)), (millis, Step::Heal(node))]
            }
            Self::Jitter { node, most, millis } => {
                vec![(0, Step::Jitter(node, most)), (millis, Step::Heal(node))]
            }
            Self::Unplug { node, millis } => vec![(0, Step::Unplug(node)), (millis, Step::Plug(node))],
            Self::PlugFlaps { node, times, millis } => {
                flaps(times, millis, [Step::Unplug(node), Step::Plug(node)])
            }
            Self::Down { node, millis } => vec![(0, Step::Down(node)), (millis, Step::Up(node))],
            Self::Flush { node, millis } => vec![(0, Step::Flush(node)), (millis, Step::Up(node))],
            Self::DeleteAddress { address } => vec![(0, Step::DeleteAddress(address))],
            Self::DeleteTable { node } => vec![(0, Step::DeleteTable(node))],
            Self::Reprioritise { instance } => vec![(0, Step::Reprioritise(instance))],
            Self::AddAddress { millis } => vec![(0, Step::AddAddress), (millis, Step::RemoveAddress)],
            Self::StepDown { node, millis } => vec![(0, Step::GiveUp(node)), (millis, Step::Resume(node))],
            Self::CheckDown { node, millis } => {
                vec![(0, Step::CheckDown(node)), (millis, Step::CheckUp(node))]
            }
            Self::CheckFlaps { node, times, millis } => {
                flaps(times, millis, [Step::CheckDown(node), Step::CheckUp(node)])
            }
            Self::StepClock { by, millis } => vec![(0, Step::SetClock(by)), (millis, Step::SetClock(-by))],
        }
    }

    /// Its row in the table.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Crash { .. } => "SIGKILL, started again",
            Self::Hang { .. } => "SIGSTOP, SIGCONT",
            Self::Pause { .. } => "frozen by control group, thawed",
            Self::Restart { .. } => "stopped and started",
            Self::HandOn { .. } => "SIGUSR2, started again",
            Self::StopBoth => "both stopped and started",
            Self::Upgrade { .. } => "upgraded in place",
            Self::Cut { .. } => "cut off",
            Self::Mute { .. } => "not heard",
            Self::Deafen { .. } => "hears nothing",
            Self::Lose { .. } => "loss",
            Self::Jitter { .. } => "adverts late, twice, out of order",
            Self::Unplug { .. } => "cable pulled and plugged in",
            Self::PlugFlaps { .. } => "cable pulled and plugged in several times",
            Self::Down { .. } => "interface set down and up",
            Self::Flush { .. } => "all addresses flushed, own ones restored",
            Self::DeleteAddress { .. } => "address deleted by hand",
            Self::DeleteTable { .. } => "nftables table deleted by hand",
            Self::Reprioritise { .. } => "reload: priority",
            Self::AddAddress { .. } => "reload: address added and removed",
            Self::StepDown { .. } => "step-down, resume",
            Self::CheckDown { .. } => "check down and up",
            Self::CheckFlaps { .. } => "check flaps",
            Self::StepClock { .. } => "real-time clock set and set back",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |node: &usize| format!("lb{}", node + 1);
        match self {
            Self::Crash { node, millis }
            | Self::Hang { node, millis }
            | Self::Pause { node, millis }
            | Self::Cut { node, millis }
            | Self::Mute { node, millis }
            | Self::Deafen { node, millis }
            | Self::Unplug { node, millis }
            | Self::Down { node, millis }
            | Self::Flush { node, millis }
            | Self::StepDown { node, millis }
            | Self::CheckDown { node, millis } => {
                write!(f, "{} {}, {millis} ms", name(node), self.kind())
            }
            Self::Lose { node, percent, millis } => {
                write!(f, "{} loses {percent} % both ways, {millis} ms", name(node))
            }
            Self::Jitter { node, most, millis } => {
                write!(f, "{}: {}, up to {most} ms, {millis} ms", name(node), self.kind())
            }
            Self::PlugFlaps { node, times, millis } | Self::CheckFlaps { node, times, millis } => {
                write!(f, "{} {}, {times} times {millis} ms", name(node), self.kind())
            }
            Self::StepClock { by, millis } => write!(f, "{}, {by:+} ms, {millis} ms", self.kind()),
            Self::Restart { node }
            | Self::HandOn { node }
            | Self::Upgrade { node }
            | Self::DeleteTable { node } => {
                write!(f, "{} {}", name(node), self.kind())
            }
            Self::StopBoth => f.write_str(self.kind()),
            Self::DeleteAddress { address } => write!(f, "{}, number {address}", self.kind()),
            Self::Reprioritise { instance } => write!(f, "{}, instance {instance}", self.kind()),
            Self::AddAddress { millis } => write!(f, "{}, {millis} ms", self.kind()),
        }
    }
}

impl fmt::Display for Episode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fault)?;
        match &self.second {
            Some((after, second)) => write!(f, "; after {after} ms {second}"),
            None => Ok(()),
        }
    }
}

/// The two steps in turn, so many times, with as many milliseconds after each.
fn flaps(times: u64, millis: u64, steps: [Step; 2]) -> Vec<(u64, Step)> {
    let all = (0..times).flat_map(|_| steps);
    (0..).zip(all).map(|(place, step)| (place * millis, step)).collect()
}

/// Splitmix64, the generator that seeds others: enough to choose faults by.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number from `from` to `to`, both possible.
    pub(crate) fn roll(&mut self, from: u64, to: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        from + (mixed ^ (mixed >> 31)) % (to - from + 1)
    }

    fn node(&mut self) -> usize {
        usize::from(self.roll(0, 1) == 1)
    }
}

/// What there is to choose from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    /// How many addresses there are.
    pub(crate) addresses: u64,
    /// How many instances.
    pub(crate) instances: u64,
    /// Whether the machine's clock may be set.
    pub(crate) clock: bool,
}

/// The faults of a seed: `count` of them, two that meet counting as two.
pub(crate) fn plan(seed: u64, count: usize, choice: Choice) -> Vec<Episode> {
    let mut dice = Dice(seed);
    let mut left = count;
    let mut episodes = Vec::new();
    while left > 0 {
        let lead = dice.roll(0, 120);
        let fault = fault(&mut dice, choice);
        let second = if left > 1 { second(&mut dice, fault, choice.addresses) } else { None };
        left -= 1 + usize::from(second.is_some());
        episodes.push(Episode { lead, fault, second });
    }
    episodes
}

fn fault(dice: &mut Dice, choice: Choice) -> Fault {
    let (node, millis) = (dice.node(), dice.roll(20, 800));
    let choose = |dice: &mut Dice, among: u64| usize::try_from(dice.roll(0, among - 1)).unwrap_or(0);
    match dice.roll(0, if choice.clock { 35 } else { 27 }) {
        0..=3 => Fault::Crash { node, millis },
        4..=5 => Fault::Hang { node, millis },
        6..=7 => Fault::Pause { node, millis },
        8 if millis % 2 == 0 => Fault::HandOn { node },
        8 => Fault::Restart { node },
        9 => Fault::StopBoth,
        10..=11 => Fault::Upgrade { node },
        12..=13 => Fault::Cut { node, millis },
        14 => Fault::Mute { node, millis },
        15 => Fault::Deafen { node, millis },
        16 => Fault::Lose { node, percent: [10, 30, 60][choose(dice, 3)], millis },
        17 => Fault::Jitter { node, most: dice.roll(10, 60), millis },
        18 => Fault::Unplug { node, millis },
        19 => Fault::PlugFlaps { node, times: dice.roll(2, 5), millis: dice.roll(1, 150) },
        20 => Fault::DeleteAddress { address: choose(dice, choice.addresses) },
        21 => Fault::DeleteTable { node },
        22 => Fault::Reprioritise { instance: choose(dice, choice.instances) },
        23 => match dice.roll(0, 1) {
            0 => Fault::AddAddress { millis },
            _ => Fault::StepDown { node, millis },
        },
        24 => Fault::Down { node, millis },
        25 => Fault::Flush { node, millis },
        26 => Fault::CheckDown { node, millis },
        27 => Fault::CheckFlaps { node, times: dice.roll(2, 5), millis: dice.roll(10, 250) },
        _ => Fault::StepClock { by: STEPS[choose(dice, STEPS.len() as u64)], millis },
    }
}

/// By how many milliseconds the clock is set: more than anybody's patience, so that no stamp can be taken for one of
/// another time.
const STEPS: [i64; 6] = [-3_600_000, -60_000, -10_000, 10_000, 60_000, 3_600_000];

/// A second fault while the first lasts, now and then. What leaves another configuration or no table behind meets
/// nothing: a dead agent cannot make them again, and the manual says so.
fn second(dice: &mut Dice, first: Fault, addresses: u64) -> Option<(u64, Fault)> {
    let (Fault::Crash { millis, .. }
    | Fault::Hang { millis, .. }
    | Fault::Pause { millis, .. }
    | Fault::StepClock { millis, .. }
    | Fault::Cut { millis, .. }
    | Fault::Mute { millis, .. }
    | Fault::Deafen { millis, .. }
    | Fault::Lose { millis, .. }
    | Fault::Jitter { millis, .. }
    | Fault::Unplug { millis, .. }
    | Fault::Down { millis, .. }
    | Fault::Flush { millis, .. }) = first
    else {
        return None;
    };
    if dice.roll(0, 3) > 0 {
        return None;
    }
    let after = dice.roll(0, millis);
    let (node, millis) = (dice.node(), dice.roll(20, 500));
    let fault = match dice.roll(0, 8) {
        0 | 1 => Fault::Crash { node, millis },
        2 => Fault::Hang { node, millis },
        3 => Fault::Pause { node, millis },
        4 => Fault::Restart { node },
        5 => Fault::Upgrade { node },
        6 => Fault::DeleteAddress { address: usize::try_from(dice.roll(0, addresses - 1)).unwrap_or(0) },
        7 => Fault::StepDown { node, millis },
        _ => Fault::CheckDown { node, millis },
    };
    Some((after, fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHOICE: Choice = Choice { addresses: 5, instances: 2, clock: false };

    #[test]
    fn a_seed_gives_the_same_faults_every_time_and_another_gives_others() {
        assert_eq!(plan(1, 200, CHOICE), plan(1, 200, CHOICE));
        assert_ne!(plan(1, 200, CHOICE), plan(2, 200, CHOICE));
    }

    #[test]
    fn a_longer_plan_begins_like_a_shorter_one() {
        let (short, long) = (plan(7, 40, CHOICE), plan(7, 400, CHOICE));
        assert_eq!(short[..short.len() - 1], long[..short.len() - 1]);
    }

    #[test]
    fn faults_are_counted_not_episodes() {
        let faults = |episodes: &[Episode]| {
            episodes.iter().map(|e| 1 + usize::from(e.second.is_some())).sum::<usize>()
        };
        for seed in 0..50 {
            assert_eq!(faults(&plan(seed, 40, CHOICE)), 40, "seed {seed}");
        }
    }

    #[test]
    fn every_kind_of_fault_comes_up_and_the_clock_only_if_it_may_be_set() {
        let kinds = |choice| {
            let kinds = plan(1, 1000, choice).into_iter().map(|episode| episode.fault.kind());
            kinds.collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!((kinds(CHOICE), kinds(Choice { clock: true, ..CHOICE })), (23, 24));
    }

    #[test]
    fn flaps_end_as_they_were_before() {
        let steps = Fault::CheckFlaps { node: 1, times: 2, millis: 30 }.steps();
        let (down, up) = (Step::CheckDown(1), Step::CheckUp(1));
        assert_eq!(steps, [(0, down), (30, up), (60, down), (90, up)]);
    }
}
