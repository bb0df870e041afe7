//! Taking away what a dead agent left in the kernel: every rule, route and address with our mark, every virtual router's
//! own link, then the nftables tables.
//!
//! In this order, for the table keeps the addresses from answering until they are gone. It needs no configuration: what
//! is ours carries a mark, wherever it is. Where the agent's lease still lives, its backups wait for it; they are told
//! not to.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use super::inherit::Found;
use super::runtime_dir::{self, RuntimeDir};
use super::sole::Sole;
use super::{state, told};
use crate::engine::action::Datagram;
use crate::engine::event::Refusal;
use crate::engine::path::PathKey;
use crate::net::IpNet;
use crate::sys::address::{Addresses, Known};
use crate::sys::netlink::{BATCH, Failure};
use crate::sys::nftables::Table;
use crate::sys::paths::Paths;
use crate::sys::virtual_link::VirtualLinks;
use crate::sys::vrrp_socket::VrrpSocket;
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
    /// What is there belongs to an agent that runs, and this one has never had anything.
    Excluded(String),
}

/// What was taken away.
#[derive(Debug, Default)]
pub struct Flushed {
    /// Whom it was told that the master resigns, once a virtual router.
    pub resigned: Vec<IpAddr>,
    /// Routes and rules, in words.
    pub paths: Vec<String>,
    /// Addresses, each with the name of its link.
    pub addresses: Vec<(IpNet, String)>,
    /// Links of virtual routers' own, by name.
    pub links: Vec<String>,
    /// The nftables tables that there were.
    pub tables: Vec<&'static str>,
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
    /// An agent is at work on this host.
    #[error("nothing removed: {0}")]
    Excluded(String),
    /// The system refused something.
    #[error("cannot {what}: {why}")]
    System {
        /// What was being done.
        what: &'static str,
        /// What came of it.
        why: io::Error,
    },
    /// Addresses or links are left.
    #[error("{}", .0.iter().map(|refusal| refusal.why.as_str()).collect::<Vec<_>>().join("\n"))]
    Left(Vec<Refusal>),
    /// The table is left.
    #[error("cannot delete the nftables tables 'netdev vipd' and 'inet vipd': {0}")]
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
    let sole = Sole::take(&mut Vec::new());
    if let Some(why) = sole.obstacle() {
        return if options.after.is_some() { Ok(Done::Excluded(why)) } else { Err(Trouble::Excluded(why)) };
    }
    let found = Found::look(&options.runtime_dir);
    if options.after.as_ref().is_some_and(|after| after.is_followed(&found)) {
        // Without a lease that lives nothing is adopted. What was told to the agent beforehand is still of use.
        if found.estates().next().is_some() {
            return Ok(Done::Left);
        }
    } else {
        state::remove(&options.runtime_dir).map_err(refused("remove the state file"))?;
        told::remove(&options.runtime_dir).map_err(refused("remove what notifiers were told"))?;
    }
    let resigned = resign(&found);
    let paths = remove_paths()?;
    let addresses = remove_addresses()?;
    let links = remove_links()?;
    let tables = delete_tables()?;
    Ok(Done::Flushed(Flushed { resigned, paths, addresses, links, tables }))
}

impl After {
    /// Whether an agent follows that may go on with what is there. systemd starts one after everything but a stop, and a
    /// configuration that cannot be used; and a stop that is the first half of a restart hands everything on. An agent
    /// that has begun to hand over to another node leaves nothing to go on with.
    /// One that was stopped before it could take signals left what was handed on to it.
    fn is_followed(&self, found: &Found) -> bool {
        let stopped = self.result == "success" && self.status.as_deref() == Some("TERM");
        let starts = self.status.as_deref() != Some(UNUSABLE) && !stopped;
        starts && found.is_something() && (found.inheritance.handed_on || self.result != "success")
    }
}

/// Resigns in the name of those whose leases live. Who does not hear it waits as for any dead master.
fn resign(found: &Found) -> Vec<IpAddr> {
    let resignations = found.estates().flat_map(|estate| {
        let lives = |datagram: &&Datagram| estate.leases.contains_key(&datagram.endpoint.family);
        estate.resignations.iter().filter(lives)
    });
    let send = |datagram: &Datagram| {
        let socket = VrrpSocket::open(datagram.endpoint, &[])?;
        socket.send(datagram.source, datagram.destination, &datagram.payload)
    };
    resignations.filter(|datagram| send(datagram).is_ok()).map(|datagram| datagram.destination).collect()
}

fn remove_paths() -> Result<Vec<String>, Trouble> {
    let mut paths = Paths::open().map_err(refused("open a netlink socket"))?;
    let all = paths.all().map_err(refused("list the routes and rules"))?;
    let keys: Vec<PathKey> = all.into_iter().map(|seen| seen.key).collect();
    let (mut removed, mut refusals) = (Vec::new(), Vec::new());
    // Rules first: they lead to the routes.
    let (rules, routes): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| matches!(key, PathKey::Rule(_)));
    for batch in rules.chunks(BATCH).chain(routes.chunks(BATCH)) {
        for (key, result) in batch.iter().zip(paths.remove(batch)) {
            match result {
                Ok(()) => removed.push(key.to_string()),
                Err(refusal) => refusals.push(refusal),
            }
        }
    }
    if refusals.is_empty() { Ok(removed) } else { Err(Trouble::Left(refusals)) }
}

fn remove_addresses() -> Result<Vec<(IpNet, String)>, Trouble> {
    let mut addresses = Addresses::open().map_err(refused("open a netlink socket"))?;
    let picture = addresses.picture().map_err(refused("list the addresses"))?;
    let (mut removed, mut refusals, mut known) = (Vec::new(), Vec::new(), Known::default());
    for batch in picture.ours().chunks(BATCH) {
        for (place, result) in batch.iter().zip(addresses.remove(batch, &mut known)) {
            match result {
                Ok(()) => removed.push((place.net, name_of(place.link))),
                Err(refusal) => refusals.push(refusal),
            }
        }
    }
    // With addresses left, the table is what keeps them from answering.
    if refusals.is_empty() { Ok(removed) } else { Err(Trouble::Left(refusals)) }
}

/// Before the table, which keeps them from saying anything.
fn remove_links() -> Result<Vec<String>, Trouble> {
    let mut links = VirtualLinks::open().map_err(refused("open a netlink socket"))?;
    links.remove_all().map_err(Trouble::Left)
}

/// Where nftables is not to be had, there are no tables. Those that were.
fn delete_tables() -> Result<Vec<&'static str>, Trouble> {
    let Ok(mut table) = Table::open() else { return Ok(Vec::new()) };
    let mut deleted = Vec::new();
    if table.exists().map_err(Trouble::Table)? {
        table.delete().map_err(Trouble::Table)?;
        deleted.push("netdev vipd");
    }
    if table.delete_refusals().map_err(Trouble::Table)? {
        deleted.push("inet vipd");
    }
    Ok(deleted)
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Excluded(why) => write!(f, "nothing removed: {why}"),
            Self::Left => f.write_str("nothing removed: what is there is for the agent that follows"),
            Self::Flushed(flushed) => flushed.fmt(f),
        }
    }
}

impl fmt::Display for Flushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.addresses.iter().map(|(net, link)| format!("removed {net} from {link}"));
        let tables = self.tables.iter().map(|table| format!("removed the nftables table '{table}'"));
        let resigned = self.resigned.iter().map(|to| format!("resigned to {to} with priority 0"));
        let paths = self.paths.iter().map(|path| format!("removed the {path}"));
        let links = self.links.iter().map(|link| format!("removed {link}"));
        let lines: Vec<String> = resigned.chain(paths).chain(addresses).chain(links).chain(tables).collect();
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
    use crate::engine::action::InstanceId;
    use crate::engine::inheritance::{Identity, Inherited};
    use crate::net::{Family, Vrid};
    use crate::wire::vrrp::Version;

    fn after(result: &str, status: &str) -> After {
        After { result: result.to_owned(), status: Some(status.to_owned()).filter(|s| !s.is_empty()) }
    }

    /// What an agent left that was master, or had begun to end.
    fn found(something: bool, handed_on: bool) -> Found {
        let mut found = Found::default();
        found.inheritance.handed_on = handed_on;
        if something {
            let identity = Identity {
                interface: "eth0".to_owned(),
                vrid: Vrid::new(51).unwrap(),
                version: Version::V3,
                sources: None,
                families: vec![Family::Ipv4],
                virtual_mac: false,
            };
            let (name, id) = ("web".to_owned(), InstanceId(1));
            let adoptions = Vec::new();
            let inherited =
                Inherited { identity, name, id, term: 1, stepped_down: false, adoptions, estate: None };
            found.inheritance.instances.push(inherited);
        }
        found
    }

    #[test]
    fn what_a_crash_leaves_is_for_the_agent_that_follows() {
        for (result, status) in
            [("signal", "KILL"), ("watchdog", "ABRT"), ("exit-code", "70"), ("resources", "")]
        {
            assert!(after(result, status).is_followed(&found(true, false)), "{result} {status}");
        }
    }

    #[test]
    fn an_agent_that_was_handing_over_leaves_nothing_to_go_on_with() {
        assert!(!after("timeout", "KILL").is_followed(&found(false, false)));
    }

    #[test]
    fn nobody_follows_after_a_stop_unless_it_is_a_restart() {
        assert!(!after("success", "0").is_followed(&found(true, false)));
        assert!(after("success", "0").is_followed(&found(true, true)));
        assert!(
            !after("success", "TERM").is_followed(&found(true, true)),
            "stopped as soon as it was started"
        );
    }

    #[test]
    fn nobody_follows_with_a_configuration_that_cannot_be_used() {
        assert!(!after("exit-code", "78").is_followed(&found(true, true)));
    }

    #[test]
    fn what_was_removed_is_said_line_by_line() {
        assert_eq!(Flushed::default().to_string(), "nothing of an agent's is left");
        let addresses = vec![("192.0.2.10/24".parse().unwrap(), "eth0".to_owned())];
        let resigned = vec!["224.0.0.18".parse().unwrap()];
        let flushed = Flushed {
            resigned,
            paths: vec!["route default in table 100 metric 0".to_owned()],
            addresses,
            links: vec!["vrrp.51".to_owned()],
            tables: vec!["netdev vipd"],
        };
        let text = "resigned to 224.0.0.18 with priority 0\nremoved the route default in table 100 metric 0\nremoved 192.0.2.10/24 from eth0\nremoved vrrp.51\nremoved the nftables table 'netdev vipd'";
        assert_eq!(Done::Flushed(flushed).to_string(), text);
    }
}
