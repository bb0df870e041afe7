//! Floor 4 and the threads that change the kernel against a real one, each test in namespaces of its own.
//!
//! Apart from the standard harness because a test that needs root must either run or be reported as skipped, by
//! name. The binary starts itself once for each test under `unshare`; in there it lays a cable (see [`cable`])
//! and runs the test. With `CI=true` a test that would be skipped fails.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod addresses;
mod cable;
mod claims;
mod gate;
mod leases;
mod monitor;
mod nftables;
mod peer;
mod refusals;
mod route;
mod sockets;

use std::process::{Command, ExitCode, Output};

/// Names the test to run, in the process that is in namespaces already.
const CHOSEN: &str = "VIPD_KERNEL_TEST";

type Test = (&'static str, fn());

fn tests() -> Vec<Test> {
    [
        addresses::TESTS,
        monitor::TESTS,
        sockets::TESTS,
        claims::TESTS,
        route::TESTS,
        gate::TESTS,
        nftables::TESTS,
        leases::TESTS,
        refusals::TESTS,
    ]
    .concat()
}

fn main() -> ExitCode {
    if let Ok(chosen) = std::env::var(CHOSEN) {
        if chosen == leases::SENDER {
            leases::send_for_ever();
        }
        let tests = tests();
        let (_, test) = tests.iter().find(|(name, _)| *name == chosen).expect("the test exists");
        cable::lay();
        test();
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let wanted: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let tests = tests().into_iter().map(|(name, _)| name);
    let chosen =
        tests.filter(|name| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str())));
    if arguments.iter().any(|argument| argument == "--list") {
        chosen.for_each(|name| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if nix::unistd::geteuid().is_root() { run(chosen) } else { skip(chosen) }
}

fn run(names: impl Iterator<Item = &'static str>) -> ExitCode {
    let mut failed = Vec::new();
    for name in names {
        let Output { status, stdout, stderr } = isolated(name);
        let verdict = if status.success() { "ok" } else { "FAILED" };
        println!("test {name} ... {verdict}");
        print!("{}", String::from_utf8_lossy(&stdout));
        if !status.success() {
            print!("{}", String::from_utf8_lossy(&stderr));
            failed.push(name);
        }
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("failed: {}", failed.join(", "));
    ExitCode::FAILURE
}

fn isolated(name: &str) -> Output {
    Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(std::env::current_exe().expect("this program has a path"))
        .env(CHOSEN, name)
        .output()
        .expect("unshare (util-linux) is installed")
}

fn skip(names: impl Iterator<Item = &'static str>) -> ExitCode {
    for name in names {
        println!("test {name} ... skipped: needs root");
    }
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    if ci { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
