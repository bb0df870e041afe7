//! What the checks look at: the configuration, the agent's report if one runs, the links and addresses of the kernel.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::agent::report::Report;
use crate::config::Config;
use crate::engine::event::{Link, Picture};
use crate::engine::settings::Instance;
use crate::net::Family;

/// Everything that is known before a check looks.
#[derive(Debug)]
pub(super) struct Scene {
    /// Where the configuration was read.
    pub(super) file: PathBuf,
    pub(super) config: Config,
    /// What the agent says; none: none runs.
    pub(super) report: Option<Report>,
    pub(super) kernel: io::Result<Picture>,
}

impl Scene {
    pub(super) fn instances(&self) -> &[Instance] {
        &self.config.settings.instances
    }

    /// The interfaces that adverts travel on, each once.
    pub(super) fn interfaces(&self) -> BTreeSet<&str> {
        self.instances().iter().map(|instance| instance.interface.as_str()).collect()
    }

    /// Whether an instance has an address of this family on this interface.
    pub(super) fn speaks(&self, interface: &str, family: Family) -> bool {
        let there = |i: &&Instance| i.interface == interface;
        self.instances().iter().filter(there).any(|i| i.families().any(|one| one == family))
    }

    pub(super) fn link(&self, name: &str) -> Option<&Link> {
        self.kernel.as_ref().ok()?.links.iter().find(|link| link.name == name)
    }

    /// An address of the host's own on a link.
    pub(super) fn own_address(&self, interface: &str, family: Family) -> Option<IpAddr> {
        let link = self.link(interface)?.index;
        let picture = self.kernel.as_ref().ok()?;
        let own =
            |a: &&crate::engine::event::LinkAddress| a.link == link && !a.ours && a.net.family() == family;
        picture.addresses.iter().find(own).map(|address| address.net.address())
    }

    /// Where the adverts of an instance come from, if that is known: the agent says it, or the configuration. Which of its
    /// IPv6 addresses an interface speaks from is the agent's choice.
    pub(super) fn source(&self, instance: &Instance, family: Family) -> Option<IpAddr> {
        let known = self.report.as_ref().and_then(|report| report.instance(&instance.name));
        let router = known.and_then(|one| one.routers.iter().find(|router| router.family == family.as_str()));
        let guess = || self.own_address(&instance.interface, family).filter(|_| family == Family::Ipv4);
        router.and_then(|router| router.source).or_else(|| instance.source(family)).or_else(guess)
    }

    /// The agent's process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.report.as_ref().map(|report| report.agent.pid)
    }
}

/// A number in `/proc/sys`.
pub(super) fn sysctl(key: &str) -> Option<u32> {
    fs::read_to_string(format!("/proc/sys/{key}")).ok()?.trim().parse().ok()
}
