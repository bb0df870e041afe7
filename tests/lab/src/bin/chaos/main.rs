//! Real faults on real processes, with an outside observer who counts when two nodes answer for an address, and when
//! nobody does. Everything happens in network namespaces of this program.
//!
//! | file | what it is |
//! |---|---|
//! | `observer` | asks and stamps; how an answer counts |
//! | `judge` | overlaps and silences in stamps |
//! | `plan` | the faults of a seed |
//! | `site`, `diary`, `jitter`, `cgroup` | two nodes, what is done to them and when |
//! | `verdict` | what may be, by what was going on |
//! | `campaign`, `dark` | the two measurements |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a measurement: what fails ends it, with a message"
)]

mod campaign;
mod cgroup;
mod dark;
mod diary;
mod jitter;
mod judge;
mod observer;
mod plan;
mod site;
mod verdict;

use campaign::Course;
use lab::vipd::Programs;
use lab::{Kind, contender};
use site::Manner;

/// What the command line asks for.
struct Options {
    dark: bool,
    manner: Manner,
    rounds: usize,
    course: Course,
    keepalived: bool,
}

const USAGE: &str = "usage: chaos [--seed S] [--faults N] [--keepalived] [--quick] [--step-clock]
       chaos dark [--rounds N] [--quick] [--tight]

Breaks things under a pair of vipd in network namespaces, and fails if two nodes answer for an address, or nobody does,
for longer than promised. The same seed gives the same faults.
  --seed S       which faults; 1 by default
  --faults N     how many; 200 by default
  --keepalived   the same with keepalived afterwards, for comparison only
  --quick        20 faults, unless --faults follows; agents that are slow are shown and not judged
  --step-clock   sets the machine's real-time clock, too, and back: everybody on it sees that, so only on one to throw away
dark: the master is killed or stopped, N times each (50 by default), with vipd and with keepalived.
  --quick        three rounds
  --tight        10 ms adverts and priorities 254 and 253, instead of 100 ms, 150 and 100: the backup that waits least
VIPD_BIN names the vipd to measure.";

fn main() {
    let options = options();
    if let Err(why) = lab::enter() {
        eprintln!("chaos: {why}");
        std::process::exit(69);
    }
    let Some(programs) = Programs::find() else {
        eprintln!("chaos: no vipd beside this program and no VIPD_BIN");
        std::process::exit(69);
    };
    let vipd = Kind::Vipd(programs);
    let hosts = site::Hosts::new();
    let kinds = [vipd, Kind::Keepalived];
    let broken = if options.dark {
        let mut figures = dark::Figures::default();
        let manner = options.manner;
        dark::run(&hosts, &kinds, manner, options.rounds, &mut figures);
        let set_up = format!(
            "Adverts every {:?}, priorities {} and {}.",
            manner.interval, manner.preferred, manner.backup
        );
        println!("\n{}\n{set_up}\n\n{}", contender::surroundings(&kinds), figures.markdown());
        figures.broken
    } else {
        let kinds = &kinds[..=usize::from(options.keepalived)];
        let run = |kind: &Kind| (kind.name(), campaign::run(&hosts, kind, options.course));
        let reports: Vec<_> = kinds.iter().map(run).collect();
        let seed = options.course.seed;
        println!("\n{}\nSeed {seed}.\n\n{}", contender::surroundings(kinds), campaign::markdown(&reports));
        reports[0].1.broken
    };
    if broken > 0 {
        eprintln!("chaos: promises broken {broken} times, see above");
        std::process::exit(1);
    }
}

fn options() -> Options {
    let mut options = Options {
        dark: false,
        manner: site::USUAL,
        rounds: 50,
        course: Course { seed: 1, faults: 200, patient: false, clock: false },
        keepalived: false,
    };
    let course = &mut options.course;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|number| number.parse::<usize>().ok());
        match argument.as_str() {
            "dark" => options.dark = true,
            "--tight" => options.manner = site::TIGHT,
            "--quick" => (course.patient, options.rounds, course.faults) = (true, 3, 20),
            "--keepalived" => options.keepalived = true,
            "--step-clock" => course.clock = true,
            "--rounds" => options.rounds = number().unwrap_or_else(|| misused(&argument)),
            "--faults" => course.faults = number().unwrap_or_else(|| misused(&argument)),
            "--seed" => course.seed = number().unwrap_or_else(|| misused(&argument)) as u64,
            "--help" | "-h" => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            other => misused(other),
        }
    }
    options
}

fn misused(argument: &str) -> ! {
    eprintln!("chaos: what is {argument}?\n{USAGE}");
    std::process::exit(64);
}
