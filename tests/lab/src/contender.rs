//! Which agent is measured, and where: for the programs that print a table of vipd beside keepalived.

use crate::agent::{Agent, Node};
use crate::keepalived::Keepalived;
use crate::network::Host;
use crate::vipd::{self, Programs, Vipd};

/// Which agent is measured.
#[derive(Clone, Debug)]
pub enum Kind {
    /// vipd.
    Vipd(Programs),
    /// Debian's keepalived.
    Keepalived,
}

impl Kind {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Vipd(_) => "vipd",
            Self::Keepalived => "keepalived",
        }
    }

    /// Starts it.
    pub fn start(&self, host: &Host, node: &Node) -> Box<dyn Agent> {
        match self {
            Self::Vipd(programs) => Box::new(Vipd::start(host, programs, node)),
            Self::Keepalived => Box::new(Keepalived::start(host, node)),
        }
    }
}

/// Where and with what this was measured.
pub fn surroundings(kinds: &[Kind]) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let said = std::process::Command::new("keepalived").arg("--version").output();
    let said = said.map(|o| String::from_utf8_lossy(&o.stderr).into_owned()).unwrap_or_default();
    let keepalived = said.split_whitespace().nth(1).unwrap_or("?").to_owned();
    let ours = kinds.iter().find_map(|kind| match kind {
        Kind::Vipd(programs) => Some(vipd::version(programs)),
        Kind::Keepalived => None,
    });
    format!(
        "Linux {}, {cores} cores, load {}; {}; keepalived {keepalived}.",
        read("/proc/sys/kernel/osrelease"),
        read("/proc/loadavg").split(' ').next().unwrap_or("?"),
        ours.unwrap_or_else(|| "no vipd".to_owned()),
    )
}
