//! vipd under systemd on two booted hosts, as a user installs it: started before its interface exists, killed, hung,
//! restarted, stopped, upgraded in place; a client asks its addresses once a millisecond all the while. Where it is
//! cheap, Debian's keepalived with its own unit goes through the same.
//!
//! Everything happens in namespaces of this program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a measurement: what fails ends it, with a message"
)]

mod bed;
mod die;
mod orders;
mod package;
mod start;
mod trial;

use std::path::PathBuf;

use bed::{Bed, KEEPALIVED, VIPD};
use lab::Image;
use package::Packages;
use trial::Trial;

/// What the command line asks for.
struct Options {
    quick: bool,
    only: Vec<String>,
}

const STORIES: [&str; 9] =
    ["late", "crash", "oom", "hang", "restart", "stop", "upgrade", "package", "keepalived"];

const USAGE: &str = "usage: booted [--quick] [late] [crash] [oom] [hang] [restart] [stop] [upgrade] [package]
              [keepalived]

Installs vipd on two booted hosts, breaks, restarts and upgrades it, and prints a table in Markdown.
  --quick   few rounds
Names choose what is done; without any, everything. The exit status is 1 if a promise is not kept.
Run it by scripts/booted, which makes the root file system.";

fn main() {
    let options = options();
    if let Err(why) = lab::enter() {
        fail(&why);
    }
    let image = image().unwrap_or_else(|why| fail(&why));
    let bed = Bed::boot(&image).unwrap_or_else(|why| fail(&format!("no booted hosts here: {why}")));
    let mut trial = Trial::new(bed);
    stories(&mut trial, &options);
    println!("\n{}", trial.table.markdown(&trial.bed.surroundings()));
    if trial.table.failed() {
        std::process::exit(1);
    }
}

fn stories(trial: &mut Trial, options: &Options) {
    let rounds = |full: usize, quick: usize| if options.quick { quick } else { full };
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    trial.bed.install();
    if wanted("late") {
        start::before_the_interface(trial, rounds(3, 1));
    }
    if wanted("crash") {
        die::crash(trial, VIPD, rounds(10, 1));
    }
    if wanted("oom") {
        die::all_at_once(trial, VIPD, rounds(5, 1));
    }
    if wanted("hang") {
        die::hang(trial, VIPD, rounds(3, 1));
    }
    if wanted("restart") {
        orders::restart(trial, VIPD, rounds(10, 1));
    }
    if wanted("stop") {
        orders::stop(trial, VIPD, rounds(5, 1));
        orders::stop_and_start(trial, rounds(20, 3));
        orders::stop_before_the_restart(trial, rounds(3, 1));
    }
    if wanted("upgrade") {
        orders::upgrade(trial, rounds(100, 5));
    }
    orders::uninstall(trial);
    if wanted("package") {
        package::story(trial, &packages(), rounds(10, 1));
    }
    if wanted("keepalived") {
        trial.bed.start_keepalived();
        die::crash(trial, KEEPALIVED, rounds(5, 1));
        die::all_at_once(trial, KEEPALIVED, 1);
        die::hang(trial, KEEPALIVED, 1);
        orders::restart(trial, KEEPALIVED, rounds(5, 1));
        orders::stop(trial, KEEPALIVED, rounds(5, 1));
    }
}

/// What the script has prepared.
fn image() -> Result<Image, String> {
    let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let (Some(root), Some(target)) = (path("BOOTED_ROOT"), path("BOOTED_TARGET")) else {
        return Err("BOOTED_ROOT and BOOTED_TARGET are not set; run scripts/booted".to_owned());
    };
    let group = std::env::var("BOOTED_GROUP").unwrap_or_else(|_| "vipd-booted".to_owned());
    let source = std::env::current_dir().map_err(|e| format!("the current directory: {e}"))?;
    Image::prepare(&root, &[(&source, "/src"), (&target, "/target")], &group)
}

/// The packages that the script has made, as hosts see them.
fn packages() -> Packages {
    let path = |name: &str| {
        std::env::var(name).unwrap_or_else(|_| fail(&format!("{name} is not set; run scripts/booted")))
    };
    Packages { first: path("BOOTED_PACKAGE"), second: path("BOOTED_NEXT_PACKAGE") }
}

fn options() -> Options {
    let mut options = Options { quick: false, only: Vec::new() };
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--quick" => options.quick = true,
            story if STORIES.contains(&story) => options.only.push(argument),
            "--help" | "-h" => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            other => {
                eprintln!("booted: what is {other}?\n{USAGE}");
                std::process::exit(64);
            }
        }
    }
    options
}

fn fail(why: &str) -> ! {
    eprintln!("booted: {why}");
    std::process::exit(69);
}
