//! The campaign: one fault after another, each judged when the site has settled again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use lab::{Kind, clock, wait};

use crate::judge::millis;
use crate::observer::Record;
use crate::plan::{Choice, Episode, Step, plan};
use crate::site::{ADDRESSES, CONSTANT, Hosts, Site, USUAL, VRIDS};
use crate::verdict::{Findings, judge};

/// How long the site may take to settle: much more than anything allowed, so that what is wrong is seen whole.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one kind of fault did to one agent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// How often it happened.
    count: usize,
    both: f64,
    healed: f64,
    nobody: f64,
    nobody_after: f64,
    broken: usize,
    /// Two answered, or nobody did, until the site was set up anew.
    unsettled: usize,
}

/// What a campaign found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    rows: BTreeMap<&'static str, Row>,
    faults: usize,
    excepted: usize,
    /// In how many episodes promises were broken.
    pub(crate) broken: usize,
}

/// Which campaign.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    /// What the faults are chosen by.
    pub(crate) seed: u64,
    /// How many.
    pub(crate) faults: usize,
    /// Whether being slow breaks no promise.
    pub(crate) patient: bool,
    /// Whether the machine's clock is set, too.
    pub(crate) clock: bool,
}

/// Runs the faults of a seed on one agent.
pub(crate) fn run(hosts: &Hosts, kind: &Kind, course: Course) -> Report {
    let mut site = Site::new(hosts, kind, VRIDS.len(), USUAL);
    let mut report = Report::default();
    site.start(0);
    site.start(1);
    assert!(site.settle(3 * PATIENCE), "{} does not settle at its start", kind.name());
    let Course { seed, faults, patient, clock } = course;
    let choice = Choice { addresses: CONSTANT as u64, instances: VRIDS.len() as u64, clock };
    for (number, episode) in plan(seed, faults, choice).iter().enumerate() {
        let begun = wait::now();
        let (logs, waited) = (logs(&site), site.waited());
        site.diary.turn_over();
        site.observer.forget(begun);
        wait::observe(Duration::from_millis(episode.lead));
        perform(&mut site, episode);
        let settled = site.settle(PATIENCE);
        let record = site.observer.record();
        site.diary.waited = longest_wait(waited, site.waited());
        for (node, from) in logs.iter().enumerate() {
            let log = log(&site.nodes[node]);
            for (from, to) in stalls(log.get(*from..).unwrap_or(""), wait::now()) {
                site.diary.stalled(node, from, to);
            }
        }
        let mut found = judge(&record, &site.diary, episode, begun, wait::now(), site.lowest_priority());
        if patient {
            found.slow.iter().for_each(|slow| println!("     slow: {slow}"));
        } else {
            found.broken.append(&mut found.slow);
        }
        found.broken.append(&mut site.left);
        if !settled {
            found.broken.push(format!("not settled after {PATIENCE:?}"));
        }
        report.add(episode, &found, settled);
        let verdict = if found.broken.is_empty() { "" } else { "  BROKEN" };
        println!(
            "{:>4} {:<10} {episode}: both {:.2} ms, nobody {:.1} ms, afterwards {:.1} ms{verdict}",
            number + 1,
            kind.name(),
            found.both,
            found.nobody,
            found.nobody_after
        );
        for excepted in &found.excepted {
            println!("     excepted: {excepted}");
        }
        if let Some(noted) = &found.noted {
            println!("     allowed: {noted}");
        }
        if !found.broken.is_empty() && matches!(kind, Kind::Vipd(_)) {
            println!("{}", told(seed, number + 1, episode, &site, &record, &found, begun, &logs));
        }
        if !settled {
            site.reset();
            assert!(site.settle(3 * PATIENCE), "{} does not settle when started anew", kind.name());
        }
    }
    report.end(&mut site);
    report
}

fn perform(site: &mut Site, episode: &Episode) {
    let mut steps = episode.fault.steps();
    if let Some((after, second)) = episode.second {
        steps.extend(second.steps().into_iter().map(|(at, step)| (after + at, step)));
        steps.sort_by_key(|(at, _)| *at);
    }
    let begun = Instant::now();
    for (at, step) in steps {
        let moment = begun + Duration::from_millis(at);
        wait::observe(moment.saturating_duration_since(Instant::now()));
        site.perform(step);
    }
}

impl Report {
    fn add(&mut self, episode: &Episode, found: &Findings, settled: bool) {
        let kind = if episode.second.is_some() { "two faults that meet" } else { episode.fault.kind() };
        let row = self.rows.entry(kind).or_default();
        row.count += 1;
        row.both = row.both.max(found.both);
        row.healed = row.healed.max(found.healed);
        row.nobody = row.nobody.max(found.nobody);
        row.nobody_after = row.nobody_after.max(found.nobody_after);
        row.unsettled += usize::from(!settled);
        row.broken += usize::from(!found.broken.is_empty());
        self.faults += 1 + usize::from(episode.second.is_some());
        self.excepted += found.excepted.len();
        self.broken += usize::from(!found.broken.is_empty());
    }

    fn end(&mut self, site: &mut Site) {
        for step in [Step::Stop(0), Step::Stop(1), Step::Inspect] {
            site.perform(step);
        }
        for left in &site.left {
            println!("at the end {left}");
        }
        self.broken += site.left.len();
    }
}

/// The table of one or two campaigns with the same faults.
pub(crate) fn markdown(reports: &[(&'static str, Report)]) -> String {
    let mut out = String::from("| fault | n |");
    for (name, _) in reports {
        write!(out, " {name}: two answered | nobody answered | nobody, after all was mended | broken |")
            .expect("a string takes all");
    }
    out += "\n|---|---|";
    out += &"---|---|---|---|".repeat(reports.len());
    out.push('\n');
    let Some((_, first)) = reports.first() else { return out };
    for (kind, row) in &first.rows {
        write!(out, "| {kind} | {} |", row.count).expect("a string takes all");
        for (_, report) in reports {
            out += &report.rows.get(kind).map_or_else(|| " - | - | - | - |".to_owned(), Row::cells);
        }
        out.push('\n');
    }
    for (name, report) in reports {
        writeln!(
            out,
            "\n{name}: {} faults, promises broken in {} episodes, {} times the manual's exception.",
            report.faults, report.broken, report.excepted
        )
        .expect("a string takes all");
    }
    out
}

impl Row {
    fn cells(&self) -> String {
        let mut both = format!("{:.2} ms", self.both);
        if self.healed > 0.0 {
            write!(both, ", {:.2} ms after healing", self.healed).expect("a string takes all");
        }
        if self.unsettled > 0 {
            write!(both, " ({} times until started anew)", self.unsettled).expect("a string takes all");
        }
        format!(" {both} | {:.0} ms | {:.0} ms | {} |", self.nobody, self.nobody_after, self.broken)
    }
}

/// How long an agent waited for a processor between two looks at most, in milliseconds.
fn longest_wait(before: [(u32, Duration); 2], after: [(u32, Duration); 2]) -> f64 {
    let since = |(before, after): ((u32, Duration), (u32, Duration))| {
        if before.0 == after.0 { after.1.saturating_sub(before.1) } else { after.1 }
    };
    let waits = before.into_iter().zip(after).map(since);
    waits.max().unwrap_or_default().as_secs_f64() * 1e3
}

/// How long the logs are.
fn logs(site: &Site) -> Vec<usize> {
    site.nodes.iter().map(|node| log(node).len()).collect()
}

fn log(node: &lab::Host) -> String {
    let bytes = fs::read(node.directory().join("vipd.log")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// From when to when an agent got no processor, by what it logged.
fn stalls(log: &str, now: u64) -> Vec<(u64, u64)> {
    let stall = |line: &str| {
        let late: f64 = line.split_once("the agent was stalled: ")?.1.split(' ').next()?.parse().ok()?;
        // 2026-11-21T15:07:00.147Z, of today.
        let clock = line.get(11..23)?.split([':', '.']).map(|part| part.parse::<u64>().ok());
        let [hours, minutes, seconds, thousandths] = clock.collect::<Option<Vec<_>>>()?.try_into().ok()?;
        let day = now - now % 86_400_000_000_000;
        let to = day + (((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths) * 1_000_000;
        let to = clock::at(to);
        let late = u64::try_from(Duration::try_from_secs_f64(late / 1e3).ok()?.as_nanos()).ok()?;
        Some((to.saturating_sub(late), to))
    };
    log.lines().filter_map(stall).collect()
}

/// Everything about an episode in which a promise was broken.
#[expect(clippy::too_many_arguments, reason = "everything")]
fn told(
    seed: u64,
    number: usize,
    episode: &Episode,
    site: &Site,
    record: &Record,
    found: &Findings,
    begun: u64,
    logs: &[usize],
) -> String {
    let mut out = format!("---- seed {seed}, episode {number}: {episode}\n");
    for broken in &found.broken {
        writeln!(out, "broken: {broken}").expect("a string takes all");
    }
    let waited = site.diary.waited;
    writeln!(out, "an agent waited {waited:.1} ms for a processor").expect("a string takes all");
    let mut lines: Vec<(u64, String)> = site.diary.notes.clone();
    lines.extend(turns(record));
    lines.sort_by_key(|(at, _)| *at);
    for (at, line) in lines {
        writeln!(out, "{:>10.3} ms  {line}", millis(at.saturating_sub(begun))).expect("a string takes all");
    }
    for (node, from) in site.nodes.iter().zip(logs) {
        let log = log(node);
        let lines: Vec<&str> = log.get(*from..).unwrap_or("").lines().collect();
        writeln!(out, "---- {} logged", node.name()).expect("a string takes all");
        for line in &lines[lines.len().saturating_sub(40)..] {
            writeln!(out, "{line}").expect("a string takes all");
        }
    }
    out
}

/// When who began and ended to answer for what, and to send adverts: one line for each stretch without a pause.
fn turns(record: &Record) -> Vec<(u64, String)> {
    let mut stretches: BTreeMap<String, Vec<(u64, u64, usize)>> = BTreeMap::new();
    let answers = record
        .answers
        .iter()
        .map(|a| (a.at, 25_000_000, format!("lb{} {:?} {}", a.node + 1, a.way, ADDRESSES[a.address].text)));
    let adverts = record.adverts.iter().map(|a| {
        let family = if a.ipv6 { 6 } else { 4 };
        let name = format!("lb{} advert {}/IPv{family} priority {}", a.node + 1, a.vrid, a.priority);
        (a.at, 150_000_000, name)
    });
    for (at, pause, name) in answers.chain(adverts) {
        let known = stretches.entry(name).or_default();
        match known.last_mut() {
            Some(last) if at - last.1 < pause => {
                last.1 = at;
                last.2 += 1;
            }
            _ => known.push((at, at, 1)),
        }
    }
    let lines = stretches.into_iter().flat_map(|(name, all)| {
        all.into_iter().map(move |(from, to, count)| {
            (from, format!("  {name}, {count} times in {:.3} ms", millis(to - from)))
        })
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_read_from_the_log() {
        let log = "2026-11-21T15:07:00.147Z INFO  something\n\
                   2026-11-21T00:00:02.500Z WARN  the agent was stalled: 551.3 ms late\n";
        let day = 20_000 * 86_400_000_000_000;
        assert_eq!(stalls(log, day + 5_000_000_000), [(day + 1_948_700_000, day + 2_500_000_000)]);
    }
}
