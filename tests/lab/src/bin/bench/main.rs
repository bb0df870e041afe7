//! Takeover, hand-over, reload, healing, idling and floods of vipd, measured beside Debian's keepalived in the same run.
//!
//! The two alternate in small blocks, so that a slow minute of the machine falls on both. Everything happens in
//! network namespaces of this program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a measurement: what fails ends it, with a message"
)]

mod bed;
mod cut;
mod flood;
mod idle;
mod lease;
mod reload;
mod routed;
mod stop;

use std::time::Duration;

use bed::Bed;
use lab::table::Table;
use lab::vipd::Programs;
use lab::{Kind, contender};

/// What the command line asks for.
struct Options {
    quick: bool,
    only: Vec<String>,
}

const USAGE: &str = "usage: bench [--quick] [cut] [thousand] [routed] [stop] [reload] [idle] [lease] [flood]

Measures vipd against keepalived in network namespaces and prints a table in Markdown.
  --quick   few rounds: shows that it works, not how well
Names choose what to measure; without any, everything. VIPD_BIN names the vipd to measure.";

fn main() {
    let options = options();
    if let Err(why) = lab::enter() {
        eprintln!("bench: {why}");
        std::process::exit(69);
    }
    let programs = Programs::find();
    if programs.is_none() {
        eprintln!("bench: no vipd beside this program and no VIPD_BIN: measuring keepalived alone");
    }
    let kinds: Vec<Kind> = programs.map(Kind::Vipd).into_iter().chain([Kind::Keepalived]).collect();
    let bed = Bed::new();
    let mut table = Table::default();
    let rounds = |full: usize| if options.quick { 2 } else { full };
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    if wanted("cut") {
        cut::single(&bed, &kinds, rounds(20), &mut table);
    }
    if wanted("thousand") {
        cut::thousand(&bed, &kinds, rounds(10), &mut table);
    }
    if wanted("routed") {
        routed::measure(&bed, &kinds, rounds(10), &mut table);
    }
    if wanted("stop") {
        stop::measure(&bed, &kinds, rounds(6), &mut table);
    }
    if wanted("reload") {
        reload::measure(&bed, &kinds, rounds(10), &mut table);
    }
    if wanted("idle") {
        idle::measure(&bed, &kinds, Duration::from_secs(if options.quick { 5 } else { 30 }), &mut table);
    }
    let rounds = |full: usize| if options.quick { 1 } else { full };
    let stretch = |full: u64| Duration::from_secs(if options.quick { 2 } else { full });
    if wanted("lease") {
        lease::measure(&bed, &kinds, rounds(6), stretch(5), &mut table);
    }
    if wanted("flood") {
        flood::measure(&bed, &kinds, rounds(5), stretch(5), &mut table);
    }
    println!("\n{}", table.markdown(&contender::surroundings(&kinds)));
    if kinds.len() == 2 && !options.quick && table.failed() {
        std::process::exit(1);
    }
}

fn options() -> Options {
    let mut options = Options { quick: false, only: Vec::new() };
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--quick" => options.quick = true,
            "cut" | "thousand" | "routed" | "stop" | "reload" | "idle" | "lease" | "flood" => {
                options.only.push(argument);
            }
            "--help" | "-h" => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            other => {
                eprintln!("bench: what is {other}?\n{USAGE}");
                std::process::exit(64);
            }
        }
    }
    options
}
