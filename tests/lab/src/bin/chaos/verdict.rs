//! What may be: how long two nodes may both answer, and nobody, by what was going on.
//!
//! | when the second began to answer | both may answer for |
//! |---|---|
//! | the first was dead or hung | 0 ms |
//! | the second was dead, hung, or started or let go on less than an interval before (`Skew_Time`, if the first resigned) | 0 ms |
//! | nothing was done but an upgrade, or a restart with SIGUSR2, or the clock was set | 0 ms |
//! | frames were dropped, or had been until an interval and 5 ms before | as long as that lasts |
//! | both were alive: preemption, step-down, stop, a check, a priority | 5 ms, and as long as adverts were held up |
//! | the first died while the second, of higher priority, was taking over without waiting | excepted in the manual |
//! | the first was dead or hung when its table was taken away by hand | excepted in the manual |
//!
//! On a busy machine an agent may hang without our doing. It says so when it goes on, and counts as hung until then.
//!
//! For the first two rows the answers of all kinds are one stream: a node that answers ARP and another that takes the
//! datagrams are two. In a hand-over of the living the old master goes on serving those who have not heard of the new one,
//! on purpose; so there each kind of question has its own stream.
//!
//! After these, if nothing else was done, nobody else may take over either.
//!
//! Nobody may answer for `Master_Down_Interval` and 50 ms after the last thing that was done.
//!
//! These 5 ms and 50 ms are for agents that get the processor. What an agent's threads waited for one in the episode, or
//! what the observer itself was late by at most, is added to both. Nothing is ever added to 0 ms. With `--quick`
//! these two are shown and not judged.

use std::time::Duration;

use crate::diary::{Diary, Split};
use crate::judge::{Overlap, millis, overlaps, silence, twice};
use crate::observer::{Record, TICK, Way};
use crate::plan::{Episode, Fault};
use crate::site::{ADDRESSES, CONSTANT, INTERVAL, USUAL, VRIDS};

/// What was found in one episode.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    /// How long two answered at most although they were not cut off from each other, in milliseconds.
    pub(crate) both: f64,
    /// How long two answered at most after frames passed again, in milliseconds.
    pub(crate) healed: f64,
    /// How long nobody answered at most, in all and after the last thing that was done, in milliseconds.
    pub(crate) nobody: f64,
    pub(crate) nobody_after: f64,
    /// What must not be.
    pub(crate) broken: Vec<String>,
    /// What must not be on a machine that has time for the agents: the living were slow.
    pub(crate) slow: Vec<String>,
    /// What the manual excepts.
    pub(crate) excepted: Vec<String>,
    /// The longest time of those for which two might answer.
    pub(crate) noted: Option<String>,
}

/// Why two may answer for a while, and for how many milliseconds from the second's first answer on.
enum Allowance {
    Never(&'static str),
    Split(Split),
    HandOver(f64),
    Excepted(&'static str),
}

/// One interval and 5 ms.
const GRACE: u64 = 105_000_000;
/// Three intervals, and the last advert's way.
const LEASE: u64 = 305_000_000;

/// Judges what was seen from `begun` to `settled`.
pub(crate) fn judge(
    record: &Record,
    diary: &Diary,
    episode: &Episode,
    begun: u64,
    settled: u64,
    lowest: u8,
) -> Findings {
    let mut findings = Findings::default();
    for address in 0..ADDRESSES.len() {
        for ways in [&[Way::Claim][..], &[Way::Echo], &[Way::Claim, Way::Echo]] {
            let of_it = record.answers.iter().filter(|a| a.address == address && ways.contains(&a.way));
            let of_it = || of_it.clone().map(|a| (a.at, a.node));
            // Two that answer both ways take turns of two.
            let mut found = overlaps(&record.rounds, of_it(), if ways.len() == 1 { 3 } else { 8 });
            if ways == [Way::Claim] {
                found.extend(twice(&record.rounds, of_it()));
            }
            for overlap in found {
                weigh(&mut findings, record, diary, episode, address, ways, &overlap);
            }
        }
    }
    if is_unmoved(episode) && !was_late(record, diary, episode) {
        findings.slow.extend(VRIDS.into_iter().filter_map(|vrid| took_over(record, vrid)));
    }
    let last = diary.notes.iter().map(|(at, _)| *at).max().unwrap_or(begun);
    let limit = master_down(lowest, episode) + 50.0 + lateness(record, diary);
    for (address, way) in (0..CONSTANT).flat_map(|a| [(a, Way::Claim), (a, Way::Echo)]) {
        let answers =
            || record.answers.iter().filter(move |a| a.address == address && a.way == way).map(|a| a.at);
        let (all, after) = (
            silence(&record.rounds, answers(), begun, settled),
            silence(&record.rounds, answers(), last, settled),
        );
        findings.nobody = findings.nobody.max(all);
        findings.nobody_after = findings.nobody_after.max(after);
        if after > limit {
            let text = ADDRESSES[address].text;
            findings
                .slow
                .push(format!("nobody answered for {text} ({way:?}) for {after:.2} ms > {limit:.2} ms"));
        }
    }
    findings
}

fn weigh(
    findings: &mut Findings,
    record: &Record,
    diary: &Diary,
    episode: &Episode,
    address: usize,
    ways: &[Way],
    overlap: &Overlap,
) {
    let allowance = allowance(record, diary, episode, address, overlap);
    if ways.len() > 1 && matches!(allowance, Allowance::HandOver(_)) {
        return;
    }
    let alive = matches!(allowance, Allowance::HandOver(_));
    let (counted, most, why) = match allowance {
        Allowance::Never(why) => (overlap.millis(), 0.0, why),
        Allowance::Split(split) => {
            findings.healed = findings.healed.max(millis(overlap.to.saturating_sub(split.healed)));
            (
                millis(overlap.to.saturating_sub(split.until)),
                0.0,
                "longer than an interval and 5 ms after the split",
            )
        }
        Allowance::HandOver(most) => (overlap.millis(), most, "both alive"),
        Allowance::Excepted(why) => {
            let (address, length) = (ADDRESSES[address].text, overlap.millis());
            findings.excepted.push(format!("two answered for {address} for {length:.2} ms: {why}"));
            return;
        }
    };
    if counted > 0.0 {
        let (address, older, newer) = (ADDRESSES[address].text, overlap.older + 1, overlap.newer + 1);
        let said = format!(
            "two answered for {address} ({ways:?}): lb{older} first, then lb{newer} too, for {counted:.3} ms: {why}"
        );
        if counted > most && alive {
            findings.slow.push(said);
        } else if counted > most {
            findings.broken.push(said);
        } else if counted > findings.both {
            findings.noted = Some(said);
        }
    }
    findings.both = findings.both.max(counted);
}

fn allowance(
    record: &Record,
    diary: &Diary,
    episode: &Episode,
    address: usize,
    overlap: &Overlap,
) -> Allowance {
    let interval = nanos(INTERVAL);
    let (older, newer, at) = (overlap.older, overlap.newer, overlap.from);
    let late = held_up(episode);
    if late.is_none()
        && let Some(split) = diary.split_until(at, GRACE, LEASE)
    {
        return Allowance::Split(split);
    }
    if diary.down_since(older, at).is_some() {
        if diary.is_bare(older, at) {
            return Allowance::Excepted("the first hung while it had no table");
        }
        let vrid = VRIDS[ADDRESSES[address].instance];
        if preempted(record, vrid, older, newer, at, interval) {
            return Allowance::Excepted("the first died while it was being preempted");
        }
        return Allowance::Never("the first was dead or hung");
    }
    if diary.down_since(newer, at).is_some() {
        return Allowance::Never("the second was dead or hung");
    }
    if is_unmoved(episode) {
        return Allowance::Never("nothing was done that is a reason to take over");
    }
    // Who resigned is followed within Skew_Time, and sooner the higher the successor's priority is.
    let resigned = record.adverts.iter().any(|a| {
        a.node == older && a.vrid == VRIDS[ADDRESSES[address].instance] && a.priority == 0 && a.at < at
    });
    let skew = interval * u64::from(256 - u16::from(USUAL.preferred)) / 256;
    if diary.is_new(newer, at, if resigned { skew } else { interval }) {
        return Allowance::Never("the second had only just begun or gone on");
    }
    Allowance::HandOver(HAND_OVER + late.unwrap_or(0.0) + lateness(record, diary))
}

/// Whether nothing was done in an episode that an agent may let a virtual router go for.
fn is_unmoved(episode: &Episode) -> bool {
    let idle =
        matches!(episode.fault, Fault::Upgrade { .. } | Fault::HandOn { .. } | Fault::StepClock { .. });
    idle && episode.second.is_none()
}

/// Whether the machine took so long to run a new program, or to run anything, that the other node is right to take over.
fn was_late(record: &Record, diary: &Diary, episode: &Episode) -> bool {
    let at = |note: Option<&(u64, String)>| note.map_or(0, |(at, _)| *at);
    let took = at(diary.notes.last()).saturating_sub(at(diary.notes.first()));
    // The last advert may have been an interval before.
    let slow = !matches!(episode.fault, Fault::StepClock { .. }) && took > 2 * nanos(INTERVAL);
    slow || diary.has_stalled || lateness(record, diary) > millis(nanos(INTERVAL))
}

/// Says so if more than one node was master of a virtual router.
fn took_over(record: &Record, vrid: u8) -> Option<String> {
    let mut masters = record.adverts.iter().filter(|advert| advert.vrid == vrid && advert.priority > 0);
    let first = masters.next()?;
    let other = masters.find(|advert| advert.node != first.node)?;
    Some(format!("virtual router {vrid} went from lb{} to lb{} for nothing", first.node + 1, other.node + 1))
}

/// What the machine kept the agents or the observer's questions waiting for at most, in milliseconds.
fn lateness(record: &Record, diary: &Diary) -> f64 {
    let pauses = record.rounds.windows(2).map(|pair| pair[1] - pair[0]);
    let tick = nanos(TICK);
    millis(pauses.max().unwrap_or(0).saturating_sub(tick)).max(diary.waited)
}

fn nanos(stretch: Duration) -> u64 {
    u64::try_from(stretch.as_nanos()).expect("it is short")
}

/// How long two may answer when one takes over from another that lives, in milliseconds.
const HAND_OVER: f64 = 5.0;

/// Whether `newer` began to send adverts of a higher priority before a backup's time could have run out.
fn preempted(record: &Record, vrid: u8, older: usize, newer: usize, at: u64, interval: u64) -> bool {
    let alive = || record.adverts.iter().filter(|a| a.vrid == vrid && a.priority > 0);
    let Some(last) = alive().filter(|a| a.node == older && a.at < at).max_by_key(|a| a.at) else {
        return false;
    };
    // The beginning of the term in which it came to answer.
    let terms = alive().filter(|a| a.node == newer && a.at > last.at.saturating_sub(interval));
    let first = terms.min_by_key(|a| a.at);
    first.is_some_and(|first| first.priority > last.priority && first.at < last.at + 3 * interval)
}

/// For how long adverts were held up in an episode, in milliseconds.
fn held_up(episode: &Episode) -> Option<f64> {
    match episode.fault {
        #[expect(clippy::cast_precision_loss, reason = "less than a second")]
        Fault::Jitter { most, .. } => Some(most as f64),
        _ => None,
    }
}

/// `Master_Down_Interval` of the lowest priority that a node may have had, in milliseconds.
fn master_down(lowest: u8, episode: &Episode) -> f64 {
    let of = |fault: &Fault| match fault {
        Fault::StepDown { .. } => 1,
        Fault::CheckDown { .. } => lowest.saturating_sub(60).max(1),
        _ => lowest,
    };
    let second = episode.second.map_or(lowest, |(_, fault)| of(&fault));
    let lowest = of(&episode.fault).min(second);
    let interval = millis(nanos(INTERVAL));
    3.0 * interval + interval * f64::from(256 - u16::from(lowest)) / 256.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diary::tests::diary;
    use crate::observer::{Advert, Answer};

    const MS: u64 = 1_000_000;

    /// A node answers for the first address, both ways, every 3 ms from one moment to before another.
    fn answers(node: usize, from: u64, to: u64) -> Vec<Answer> {
        let of = |at: u64| [Way::Claim, Way::Echo].map(|way| Answer { at: at * MS, node, address: 0, way });
        (from..to).step_by(3).flat_map(of).collect()
    }

    fn judged(mut answers: Vec<Answer>, adverts: Vec<Advert>, diary: &Diary) -> Findings {
        answers.sort_by_key(|answer| answer.at);
        let rounds = (0..700).map(|at| at * MS).collect();
        let record = Record { rounds, answers, adverts };
        let episode = Episode { lead: 0, fault: Fault::Crash { node: 0, millis: 1 }, second: None };
        let mut found = judge(&record, diary, &episode, 0, 700 * MS, 100);
        // Nobody is asked for the other addresses.
        found.slow.retain(|slow| slow.starts_with("two"));
        found
    }

    #[test]
    fn a_dead_node_and_its_successor_must_not_both_answer() {
        let clean = [answers(0, 0, 300), answers(1, 361, 500)].concat();
        assert!(judged(clean, Vec::new(), &diary(&[(0, 10 * MS)], &[])).broken.is_empty());
        let both = [answers(0, 0, 370), answers(1, 361, 500)].concat();
        assert!(!judged(both.clone(), Vec::new(), &diary(&[(0, 10 * MS)], &[])).broken.is_empty());
        // 8 ms are too long among the living, too.
        assert!(!judged(both, Vec::new(), &diary(&[], &[])).slow.is_empty());
    }

    #[test]
    fn the_living_may_both_answer_for_5_ms() {
        let found = judged([answers(0, 0, 105), answers(1, 100, 200)].concat(), Vec::new(), &diary(&[], &[]));
        assert!(found.broken.is_empty() && found.slow.is_empty() && found.both > 0.0, "{found:?}");
    }

    #[test]
    fn who_has_only_just_gone_on_must_not_answer_beside_another() {
        let both = || [answers(0, 0, 105), answers(1, 100, 200)].concat();
        assert!(!judged(both(), Vec::new(), &diary(&[], &[(1, 50 * MS)])).broken.is_empty());
        assert!(!judged(both(), Vec::new(), &diary(&[(1, 50 * MS)], &[])).broken.is_empty());
    }

    #[test]
    fn who_has_gone_on_may_follow_one_that_resigned_after_a_skew_time() {
        let both = || [answers(0, 0, 105), answers(1, 100, 200)].concat();
        let resigned = vec![Advert { at: 20 * MS, node: 0, vrid: VRIDS[0], ipv6: false, priority: 0 }];
        assert!(judged(both(), resigned.clone(), &diary(&[], &[(1, 50 * MS)])).broken.is_empty());
        assert!(!judged(both(), resigned, &diary(&[], &[(1, 70 * MS)])).broken.is_empty());
    }

    #[test]
    fn a_master_that_dies_while_it_is_preempted_is_excepted_and_no_other() {
        let both = || [answers(0, 0, 200), answers(1, 100, 400)].concat();
        let advert = |at: u64, node, priority| {
            let (at, ipv6) = (at * MS, false);
            Advert { at, node, vrid: VRIDS[0], ipv6, priority }
        };
        let dead = diary(&[(0, 90 * MS)], &[]);
        let better = judged(both(), vec![advert(80, 0, 100), advert(95, 1, 150)], &dead);
        assert!(better.broken.is_empty() && !better.excepted.is_empty(), "{better:?}");
        let worse = judged(both(), vec![advert(80, 0, 150), advert(95, 1, 100)], &dead);
        assert!(!worse.broken.is_empty());
    }
}
