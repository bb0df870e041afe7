//! The lab: real processes in real network namespaces, all on one Ethernet switch.
//!
//! The integration tests, `scripts/demo`, `scripts/bench`, `scripts/chaos` and `scripts/booted` stand on it. It knows
//! nothing of vipd's own code: frames are decoded by another decoder, agents are driven through their files, their
//! command line and their signals, so what is measured here is what an operator would see.
//!
//! | file | what it is |
//! |---|---|
//! | `isolation` | namespaces of our own, which vanish with the program |
//! | `network` | the switch, the hosts, cables that can be cut |
//! | `booted` | a host with a systemd of its own |
//! | `process` | a program on a host, its log, its end |
//! | `sniffer`, `frame` | what was on the wire, when |
//! | `probe`, `http`, `claim` | what a client saw: who answered, for how long nobody did |
//! | `agent`, `vipd`, `keepalived`, `frr` | one description of a virtual router, three programs that run it |
//! | `contender` | which of them is measured, and where |
//! | `nginx` | the service that the addresses lead to |
//! | `table` | figures, and whether they are what was promised |
//! | `usage` | processor time and memory of a process tree |
//! | `clock` | the time of everything, and steps of the machine's clock |
//! | `wait` | a condition with a bound, the only kind of waiting |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::disallowed_methods,
    reason = "test equipment on the real clock: what fails in it fails the test that uses it, by a panic that says what"
)]

pub mod agent;
pub mod booted;
pub mod claim;
pub mod clock;
pub mod contender;
pub mod frame;
pub mod frr;
pub mod http;
pub mod isolation;
pub mod keepalived;
pub mod network;
pub mod nginx;
pub mod probe;
pub mod process;
pub mod sniffer;
pub mod table;
pub mod usage;
pub mod vipd;
pub mod wait;
pub mod worker;

pub use agent::{Agent, Node, Router};
pub use booted::{Booted, Image};
pub use contender::Kind;
pub use http::HttpProbe;
pub use isolation::{enter, isolated, isolated_as_root};
pub use keepalived::Keepalived;
pub use network::{Host, Lab};
pub use nginx::Nginx;
pub use probe::Probe;
pub use process::Process;
pub use sniffer::{Sniffer, Tap};
pub use vipd::Vipd;
pub use wait::{now, until};
pub use worker::Worker;
