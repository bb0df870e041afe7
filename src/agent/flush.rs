//! Taking away what a dead agent left in the kernel: every address with our mark, then the nftables table.
//!
//! In this order, for the table keeps the addresses from answering until they are gone. It needs no configuration: what
//! is ours carries a mark, wherever it is.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::runtime_dir::{self, RuntimeDir};
use crate::engine::action::Place;
use crate::engine::event::Refusal;
use crate::net::IpNet;
use crate::sys::address::{Addresses, Known};
use crate::sys::netlink::{BATCH, Failure};
use crate::sys::nftables::Table;
use crate::sys::{capabilities, name_of};

/// What the command line says.
#[derive(Debug)]
pub struct Options {
    /// Where the agent's lock is.
    pub runtime_dir: PathBuf,
    /// How the agent ended, if systemd asks.
    pub after: Option<After>,
}

/// How the agent ended, in the words of `systemd.exec(5)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    /// `$SERVICE_RESULT`.
    pub result: String,
    /// `$EXIT_STATUS`, if there was a process to have one.
    pub status: Option<String>,
}

/// What was done.
#[derive(Debug)]
pub enum Done {
    /// Nothing is left.
    Flushed(Flushed),
    /// Another agent is about to come, and what is there is for it.
    Left,
}

/// What was taken away.
#[derive(Debug, Default)]
pub struct Flushed {
    /// Addresses, each with the name of its link.
    pub addresses: Vec<(IpNet, String)>,
    /// Whether there was a table.
    pub table: bool,
}

/// Why something may be left.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Neither root nor the unit's rights.
    #[error("needs {}; run it as root", .0.join(" and "))]
    Rights(Vec<&'static str>),
    /// An agent is at work there, or the directory cannot be read.
    #[error(transparent)]
    Directory(#[from] runtime_dir::Trouble),
    /// The system refused something.
    #[error("cannot {what}: {why}")]
    System {
        /// What was being done.
        what: &'static str,
        /// What came of it.
        why: io::Error,
    },
    /// Addresses are left.
    #[error("{}", .0.iter().map(|refusal| refusal.why.as_str()).collect::<Vec<_>>().join("\n"))]
    Addresses(Vec<Refusal>),
    /// The table is left.
    #[error("cannot delete the nftables table 'netdev vipd': {0}")]
    Table(Failure),
}

/// Takes away what a dead agent left, unless another one is about to come for it.
pub fn run(options: &Options) -> Result<Done, Trouble> {
    let missing = capabilities::missing().map_err(refused("read the capabilities"))?;
    if !missing.is_empty() {
        return Err(Trouble::Rights(missing));
    }
    // Held to the end: no agent starts while its table is being taken away.
    let _lock = RuntimeDir::lock(&options.runtime_dir)?;
    if options.after.as_ref().is_some_and(After::is_followed) {
        return Ok(Done::Left);
    }
    let addresses = remove_addresses()?;
    let table = delete_table()?;
    Ok(Done::Flushed(Flushed { addresses, table }))
}

impl After {
    /// Whether systemd starts the agent again: after everything but a stop, and a configuration that cannot be used.
    fn is_followed(&self) -> bool {
        self.result != "success" && self.status.as_deref() != Some(UNUSABLE)
    }
}

fn remove_addresses() -> Result<Vec<(IpNet, String)>, Trouble> {
    let mut addresses = Addresses::open().map_err(refused("open a netlink socket"))?;
    let picture = addresses.picture().map_err(refused("list the addresses"))?;
    let ours = picture.addresses.iter().filter(|address| address.ours);
    let places: Vec<Place> = ours.map(|address| Place { link: address.link, net: address.net }).collect();
    let (mut removed, mut refusals, mut known) = (Vec::new(), Vec::new(), Known::default());
    for batch in places.chunks(BATCH) {
        for (place, result) in batch.iter().zip(addresses.remove(batch, &mut known)) {
            match result {
                Ok(()) => removed.push((place.net, name_of(place.link))),
                Err(refusal) => refusals.push(refusal),
            }
        }
    }
    // With addresses left, the table is what keeps them from answering.
    if refusals.is_empty() { Ok(removed) } else { Err(Trouble::Addresses(refusals)) }
}

/// Where nftables is not to be had, there is no table.
fn delete_table() -> Result<bool, Trouble> {
    let Ok(mut table) = Table::open() else { return Ok(false) };
    let there = table.exists().map_err(Trouble::Table)?;
    if there {
        table.delete().map_err(Trouble::Table)?;
    }
    Ok(there)
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left => f.write_str("nothing removed: what is there is for the agent that follows"),
            Self::Flushed(flushed) => flushed.fmt(f),
        }
    }
}

impl fmt::Display for Flushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.addresses.iter().map(|(net, link)| format!("removed {net} from {link}"));
        let table = self.table.then(|| "removed the nftables table 'netdev vipd'".to_owned());
        let lines: Vec<String> = addresses.chain(table).collect();
        f.write_str(if lines.is_empty() { "nothing of an agent's is left" } else { "" })?;
        f.write_str(&lines.join("\n"))
    }
}

fn refused(what: &'static str) -> impl FnOnce(io::Error) -> Trouble {
    move |why| Trouble::System { what, why }
}

/// The exit status for a configuration that cannot be used, after which the unit does not start the agent again.
const UNUSABLE: &str = "78";

#[cfg(test)]
mod tests {
    use super::*;

    fn after(result: &str, status: &str) -> After {
        After { result: result.to_owned(), status: Some(status.to_owned()).filter(|s| !s.is_empty()) }
    }

    #[test]
    fn what_a_crash_leaves_is_for_the_agent_that_follows() {
        for (result, status) in
            [("signal", "KILL"), ("watchdog", "ABRT"), ("exit-code", "70"), ("resources", "")]
        {
            assert!(after(result, status).is_followed(), "{result} {status}");
        }
    }

    #[test]
    fn nobody_follows_after_a_stop_or_with_a_configuration_that_cannot_be_used() {
        assert!(!after("success", "0").is_followed());
        assert!(!after("exit-code", "78").is_followed());
    }

    #[test]
    fn what_was_removed_is_said_line_by_line() {
        assert_eq!(Flushed::default().to_string(), "nothing of an agent's is left");
        let addresses = vec![("192.0.2.10/24".parse().unwrap(), "eth0".to_owned())];
        let flushed = Flushed { addresses, table: true };
        let text = "removed 192.0.2.10/24 from eth0\nremoved the nftables table 'netdev vipd'";
        assert_eq!(Done::Flushed(flushed).to_string(), text);
    }
}
