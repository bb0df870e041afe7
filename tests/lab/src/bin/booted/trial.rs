//! A run: what is done to lb1, what a client and the other node saw of it, and the judgement.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use lab::table::{Table, Target};
use lab::{Booted, Probe, wait};

use crate::bed::{Bed, INTERVAL, phase, sources};

/// The hosts, and the figures so far.
pub(crate) struct Trial {
    pub(crate) bed: Bed,
    pub(crate) table: Table,
    crashes: VecDeque<Instant>,
}

/// What is promised of a figure.
#[derive(Clone, Copy)]
pub(crate) struct Promise {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) target: Target,
}

/// What everybody else saw while something was done to lb1.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    /// When it began.
    pub(crate) from: u64,
    /// Questions without an answer, of one a millisecond to each address.
    pub(crate) lost: usize,
    /// The longest row of them, in milliseconds.
    pub(crate) outage: f64,
    /// How often the other node changed its state.
    pub(crate) transitions: usize,
    /// The longest time between two adverts of lb1, in milliseconds.
    pub(crate) silence: f64,
}

/// More than so many crashes in a minute, and an agent is not adopted any more (RESTART in vipd(8)).
const CRASHES: usize = 3;
/// That minute, and a little more.
const MINUTE: Duration = Duration::from_secs(61);
/// How long the machine may stand still in a round that counts, and how often a round is begun again for it.
const STILL: Duration = Duration::from_millis(300);
const PATIENCE: usize = 3;

impl Trial {
    pub(crate) fn new(bed: Bed) -> Self {
        Self { bed, table: Table::default(), crashes: VecDeque::new() }
    }

    /// Waits until one more crash is not one too many.
    pub(crate) fn before_a_crash(&mut self) {
        if self.crashes.len() >= CRASHES
            && let Some(first) = self.crashes.pop_front()
        {
            wait::observe(MINUTE.saturating_sub(first.elapsed()));
        }
    }

    /// Writes down that an agent crashed, and has been adopted by now.
    pub(crate) fn after_a_crash(&mut self) {
        self.crashes.push_back(Instant::now());
    }

    /// Does something to lb1 at another moment each round, and looks on for two intervals more. What happened while the
    /// machine stood still says nothing of the agent: then it is done once more, in a minute.
    pub(crate) fn watch(&self, agent: &str, round: usize, mut change: impl FnMut(&Bed)) -> Seen {
        for _ in 0..PATIENCE {
            let (seen, pause) = self.look(agent, round, &mut change);
            if pause < STILL {
                return seen;
            }
            println!("  once more: this machine stood still for {:.0} ms", millis(pause));
            wait::observe(MINUTE);
        }
        self.look(agent, round, &mut change).0
    }

    /// As [`Trial::watch`], once; and how long the machine stood still.
    fn look(&self, agent: &str, round: usize, change: &mut impl FnMut(&Bed)) -> (Seen, Duration) {
        self.bed.settle();
        let probes = self.bed.probes();
        phase(round);
        let from = lab::now();
        change(&self.bed);
        wait::observe(2 * INTERVAL + INTERVAL / 5);
        let to = lab::now();
        // For the last answers, and what the journal has not written yet.
        wait::observe(INTERVAL / 5);
        let lost = probes.each_ref().map(|probe: &Probe| probe.lost(from, to));
        let seen = Seen {
            from,
            lost: lost.iter().map(|lost| lost.count).sum(),
            outage: millis(lost.iter().map(|lost| lost.longest).max().unwrap_or_default()),
            transitions: transitions(&self.bed.lb2, agent, from),
            silence: millis(self.silence(from)),
        };
        (seen, lost.iter().map(|lost| lost.pause).max().unwrap_or_default())
    }

    /// The longest time between two adverts of lb1 in one family, from the last one before `from` on.
    fn silence(&self, from: u64) -> Duration {
        let silences = sources(&self.bed.lb1).map(|source| {
            let times: Vec<u64> = self.bed.sniffer.adverts(source).iter().map(|(at, _)| *at).collect();
            times.windows(2).filter(|pair| pair[1] >= from).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
        });
        Duration::from_nanos(silences.into_iter().max().unwrap_or(0))
    }

    /// Adds a value to the table; if it breaks the promise, with what both agents have said since.
    pub(crate) fn judge(&mut self, promise: Promise, agent: &'static str, value: f64, since: u64) {
        let kept = self.table.add(promise.name, promise.unit, promise.target, agent, value);
        if !kept && agent == crate::bed::VIPD {
            println!("NOT KEPT: {}", promise.name);
            for host in [&self.bed.lb1, &self.bed.lb2] {
                println!("---- the journal of {}:", host.host().name());
                for (at, line) in journal(host, None, since) {
                    println!("{:10.3} ms  {line}", millis(Duration::from_nanos(at - since)));
                }
            }
            println!("----");
        }
    }

    /// As [`Trial::judge`], for something that is counted.
    pub(crate) fn count(&mut self, promise: Promise, agent: &'static str, count: usize, since: u64) {
        let value = u32::try_from(count).map_or(f64::INFINITY, f64::from);
        self.judge(promise, agent, value, since);
    }
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// How often an agent has said since that its state changed.
pub(crate) fn transitions(host: &Booted, agent: &str, since: u64) -> usize {
    let says = |line: &str| line.contains(" -> ") || (line.contains("Entering ") && line.contains(" STATE"));
    journal(host, Some(agent), since).iter().filter(|(_, line)| says(line)).count()
}

/// What a unit, or the whole host, has written to its journal since, with the time of each line.
pub(crate) fn journal(host: &Booted, unit: Option<&str>, since: u64) -> Vec<(u64, String)> {
    let from = format!("--since=@{}", since / 1_000_000_000);
    let unit = unit.map(|unit| format!("--unit={unit}"));
    let command = ["journalctl", "--no-pager", "--quiet", "--output=short-unix", &from];
    let all: Vec<&str> = command.into_iter().chain(unit.as_deref()).collect();
    let said = host.run(&all);
    let lines = said.lines().filter_map(|line| {
        let (stamp, rest) = line.trim_start().split_once(' ')?;
        let (seconds, micros) = stamp.split_once('.')?;
        let at = seconds.parse::<u64>().ok()? * 1_000_000_000 + micros.parse::<u64>().ok()? * 1_000;
        let (_host, text) = rest.split_once(' ')?;
        Some((at, text.to_owned()))
    });
    lines.filter(|(at, _)| *at >= since).collect()
}
