//! A master that is killed with no supervisor, and one that hangs and goes on: how long two nodes answer.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use lab::{Kind, wait};

use crate::judge::{Overlap, millis, overlaps};
use crate::observer::{Record, Way};
use crate::plan::Step;
use crate::site::{ADDRESSES, Hosts, Manner, Site};

/// How long clients are watched after the backup's time is over.
const WATCHED: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);

/// What was done to the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Kill,
    Hang,
}

/// One figure of both agents, IPv4 and IPv6 apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    rows: Vec<(String, &'static str, Vec<f64>)>,
    /// Names and agents of those in which two still answered when the time was over.
    endless: BTreeSet<(String, &'static str)>,
    /// Rounds in which two answered, of vipd.
    pub(crate) broken: usize,
}

/// Kills and hangs the master `rounds` times each, of keepalived a tenth of that: it is the same every time.
pub(crate) fn run(hosts: &Hosts, kinds: &[Kind], manner: Manner, rounds: usize, figures: &mut Figures) {
    for kind in kinds {
        let rounds = if matches!(kind, Kind::Vipd(_)) { rounds } else { rounds.div_ceil(10) };
        let mut site = Site::new(hosts, kind, 1, manner);
        site.start(0);
        site.start(1);
        for round in 0..rounds {
            for deed in [Deed::Kill, Deed::Hang] {
                once(&mut site, kind, manner.interval, deed, round, figures);
            }
        }
        site.perform(Step::Stop(0));
        site.perform(Step::Stop(1));
    }
}

fn once(site: &mut Site, kind: &Kind, interval: Duration, deed: Deed, round: usize, figures: &mut Figures) {
    if !site.settle(PATIENCE) {
        site.reset();
        assert!(site.settle(PATIENCE), "{} does not settle", kind.name());
    }
    // Differs from round to round, so that no moment between two adverts is preferred.
    wait::observe(interval * u32::try_from(round * 618 % 1000).expect("less than 1000") / 1000);
    let begun = wait::now();
    site.diary.turn_over();
    // The last adverts before it are of interest, too.
    site.observer.forget(begun - 200_000_000);
    site.perform(if deed == Deed::Kill { Step::Kill(0) } else { Step::Freeze(0) });
    // No backup waits for a fourth interval.
    wait::observe(4 * interval + WATCHED);
    let middle = wait::now();
    let record = site.observer.record();
    let name = if deed == Deed::Kill { "SIGKILL of everything, no supervisor" } else { "SIGSTOP" };
    for (address, family) in [(0, "IPv4"), (1, "IPv6")] {
        let two = longest(&record, address, begun, middle);
        both(figures, kind, &format!("{name}, {family}: two answer for"), two, middle);
        if let Some(dark) = dark(&record, address) {
            figures.add(format!("{name}, {family}: last answer after the last advert"), kind, dark);
        }
    }
    if deed == Deed::Kill {
        site.perform(Step::Start(0));
        return;
    }
    site.observer.forget(middle);
    let thawed = wait::now();
    site.perform(Step::Thaw(0));
    let settled = site.settle(PATIENCE);
    let (record, end) = (site.observer.record(), wait::now());
    for (address, family) in [(0, "IPv4"), (1, "IPv6")] {
        // From then on it may take over again, as it would from any master of lower priority.
        let heard = thawed + u64::try_from(interval.as_nanos()).expect("an interval is short");
        let second = longest(&record, address, middle, if settled { heard } else { end });
        both(figures, kind, &format!("SIGCONT, {family}: two answer for"), second, end);
        let back = longest(&record, address, heard, end);
        figures.add(
            format!("SIGCONT, {family}: both while it takes over again"),
            kind,
            back.map_or(0.0, |o| o.millis()),
        );
    }
}

fn both(figures: &mut Figures, kind: &Kind, name: &str, overlap: Option<Overlap>, end: u64) {
    if overlap.is_some_and(|overlap| overlap.to + 50_000_000 > end) {
        figures.endless.insert((name.to_owned(), kind.name()));
    }
    figures.add(name.to_owned(), kind, overlap.map_or(0.0, |overlap| overlap.millis()));
    if overlap.is_some() && matches!(kind, Kind::Vipd(_)) {
        figures.broken += 1;
        println!("BROKEN: {name}: {overlap:?}");
    }
}

/// The longest overlap for an address that began between two moments, whatever was asked.
fn longest(record: &Record, address: usize, from: u64, to: u64) -> Option<Overlap> {
    let of_it = record.answers.iter().filter(|answer| answer.address == address);
    let all = overlaps(&record.rounds, of_it.map(|answer| (answer.at, answer.node)), 8);
    all.into_iter().filter(|o| (from..to).contains(&o.from)).max_by_key(|o| o.to - o.from)
}

/// How long after its last advert the first node still answered, if it fell silent.
fn dark(record: &Record, address: usize) -> Option<f64> {
    let ipv6 = ADDRESSES[address].ip().is_ipv6();
    let advert = record.adverts.iter().rev().find(|a| a.node == 0 && a.ipv6 == ipv6)?.at;
    let last = record.answers.iter().rev().find(|a| a.node == 0 && a.address == address)?;
    let silent = record.answers.iter().rev().find(|a| a.way == Way::Claim && a.address == address)?.at;
    // Still answering at the end: it never fell silent.
    (silent > last.at + 100_000_000).then(|| millis(last.at.saturating_sub(advert)))
}

impl Figures {
    fn add(&mut self, name: String, kind: &Kind, value: f64) {
        println!("  {:<11}{name}: {value:.2} ms", kind.name());
        match self.rows.iter_mut().find(|(known, of, _)| *known == name && *of == kind.name()) {
            Some((_, _, values)) => values.push(value),
            None => self.rows.push((name, kind.name(), vec![value])),
        }
    }

    /// The table.
    pub(crate) fn markdown(&self) -> String {
        let mut out = String::from("| figure | vipd | keepalived |\n|---|---|---|\n");
        let mut seen = Vec::new();
        for (name, _, _) in &self.rows {
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            let (ours, theirs) = (self.cell(name, "vipd"), self.cell(name, "keepalived"));
            writeln!(out, "| {name} | {ours} | {theirs} |").expect("a string takes all");
        }
        out
    }

    fn cell(&self, name: &str, kind: &'static str) -> String {
        let Some((_, _, values)) = self.rows.iter().find(|(known, of, _)| known == name && *of == kind)
        else {
            return "-".to_owned();
        };
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
        let n = sorted.len();
        if !name.ends_with("two answer for") {
            return format!("{:.1} ms ({least:.1} - {most:.1}, {n})", sorted[n / 2]);
        }
        let never = sorted.iter().filter(|value| **value == 0.0).count();
        let forever = if self.endless.contains(&(name.to_owned(), kind)) {
            format!("ever: until the end of the {most:.0} ms watched, ")
        } else if most > 0.0 {
            format!("up to {most:.2} ms, ")
        } else {
            String::new()
        };
        format!("{forever}0 ms {never} of {n}")
    }
}
