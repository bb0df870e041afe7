//! What an operator looks at, tries and asks on a real pair: packets as they pass, failover on purpose, and ten questions.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod capture;
mod drill;
mod questions;

use std::time::Duration;

use lab::vipd::Programs;
use lab::{Host, Lab, Node, Router, Vipd, until};

const SOON: Duration = Duration::from_secs(15);

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

fn router(priority: u8) -> Router {
    Router::new("web", 51, priority, "192.0.2.100/24").every(100)
}

/// The runtime directory, as `vipctl` is told it.
fn directory(vipd: &Vipd) -> String {
    vipd.state().parent().unwrap().to_string_lossy().into_owned()
}

/// A master and a backup that hears it, and somebody else on the same wire.
struct Pair {
    first: Vipd,
    second: Vipd,
    lb1: Host,
    lb2: Host,
    client: Host,
}

fn pair(lab: &Lab) -> Pair {
    let (lb1, lb2, client) = (lab.host("lb1"), lab.host("lb2"), lab.host("client"));
    let first = Vipd::start(&lb1, &programs(), &Node::from(router(150)));
    let second = Vipd::start(&lb2, &programs(), &Node::from(router(100)));
    first.wait_state("web", "master");
    second.wait_state("web", "backup");
    until("the backup hears the master", SOON, || {
        (second.instance("web")["routers"][0]["master"]["priority"] == 150).then_some(())
    });
    Pair { first, second, lb1, lb2, client }
}
