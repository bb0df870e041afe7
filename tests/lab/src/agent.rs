//! One description of a virtual router, for every program that can run one.

use std::net::IpAddr;
use std::time::Duration;

use crate::process::Process;

/// What one node is to run.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Its virtual routers.
    pub routers: Vec<Router>,
    /// The name of the sync group that all of them make, if they make one.
    pub group: Option<String>,
    /// vipd's checks: names and what stands behind them in the file.
    pub checks: Vec<(String, String)>,
    /// keepalived's scripts: names and what stands between their braces.
    pub scripts: Vec<(String, String)>,
    /// Further blocks at the top of keepalived's file.
    pub blocks: Vec<String>,
}

/// A virtual router as one node has it.
#[derive(Clone, Debug)]
pub struct Router {
    /// The label.
    pub name: String,
    /// The interface.
    pub interface: String,
    /// The virtual router identifier.
    pub vrid: u8,
    /// The priority.
    pub priority: u8,
    /// The time between adverts.
    pub interval: Duration,
    /// The protocol version.
    pub version: u8,
    /// The addresses, with prefix lengths.
    pub addresses: Vec<String>,
    /// Addresses that move with these, but that adverts do not list.
    pub excluded: Vec<String>,
    /// Unicast: the sources, one a family, and the peers.
    pub unicast: Option<(Vec<IpAddr>, Vec<IpAddr>)>,
    /// Whether it takes the role from a live master of lower priority.
    pub preempt: bool,
    /// The password of version 2.
    pub password: Option<String>,
    /// What it tracks: names of checks or scripts, and what each does.
    pub track: Vec<(String, String)>,
    /// Further lines for its block in vipd's file.
    pub vipd: Vec<String>,
    /// Further lines for its block in keepalived's file.
    pub keepalived: Vec<String>,
}

/// A program that runs a node.
pub trait Agent {
    /// Its process.
    fn process(&mut self) -> &mut Process;

    /// Gives it another configuration while it runs.
    fn reload(&mut self, node: &Node);
}

impl Router {
    /// A version 3 router on `eth0`, one second between adverts, with one address.
    pub fn new(name: &str, vrid: u8, priority: u8, address: &str) -> Self {
        Self {
            name: name.to_owned(),
            interface: "eth0".to_owned(),
            vrid,
            priority,
            interval: Duration::from_secs(1),
            version: 3,
            addresses: vec![address.to_owned()],
            excluded: Vec::new(),
            unicast: None,
            preempt: true,
            password: None,
            track: Vec::new(),
            vipd: Vec::new(),
            keepalived: Vec::new(),
        }
    }

    /// The same with `millis` between adverts.
    pub fn every(mut self, millis: u64) -> Self {
        self.interval = Duration::from_millis(millis);
        self
    }

    /// The same with one more address.
    pub fn and(mut self, address: &str) -> Self {
        self.addresses.push(address.to_owned());
        self
    }

    /// The same without addresses, by IPv4.
    pub fn bare(mut self) -> Self {
        self.addresses.clear();
        self
    }

    /// The same with one more address that adverts do not list.
    pub fn but_not_listed(mut self, address: &str) -> Self {
        self.excluded.push(address.to_owned());
        self
    }

    /// The same in another version.
    pub fn version(mut self, version: u8) -> Self {
        self.version = version;
        self
    }

    /// The same by unicast.
    pub fn unicast(mut self, sources: &[IpAddr], peers: &[IpAddr]) -> Self {
        self.unicast = Some((sources.to_vec(), peers.to_vec()));
        self
    }

    /// The same without preemption.
    pub fn patient(mut self) -> Self {
        self.preempt = false;
        self
    }

    /// The same with a password.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// The same tracking one more check.
    pub fn track(mut self, check: &str, effect: &str) -> Self {
        self.track.push((check.to_owned(), effect.to_owned()));
        self
    }

    /// The same with one more line for vipd alone.
    pub fn vipd(mut self, line: &str) -> Self {
        self.vipd.push(line.to_owned());
        self
    }

    /// The same with one more line for keepalived alone.
    pub fn keepalived(mut self, line: &str) -> Self {
        self.keepalived.push(line.to_owned());
        self
    }

    /// `Master_Down_Interval` of a backup with this router's priority and interval (RFC 9568 6.1; in version 2
    /// the skew does not depend on the interval, RFC 3768 6.1).
    pub fn master_down(&self) -> Duration {
        let skew = u32::from(256 - u16::from(self.priority));
        let unit = if self.version == 2 { Duration::from_secs(1) } else { self.interval };
        3 * self.interval + unit * skew / 256
    }

    /// The addresses of one family.
    pub fn family(&self, ipv6: bool) -> Vec<&str> {
        self.addresses.iter().map(String::as_str).filter(|address| address.contains(':') == ipv6).collect()
    }
}

impl From<Router> for Node {
    fn from(router: Router) -> Self {
        Self { routers: vec![router], ..Self::default() }
    }
}

impl Node {
    /// The same with one more check for vipd.
    pub fn check(mut self, name: &str, check: &str) -> Self {
        self.checks.push((name.to_owned(), check.to_owned()));
        self
    }

    /// The same with one more script for keepalived.
    pub fn script(mut self, name: &str, script: &str) -> Self {
        self.scripts.push((name.to_owned(), script.to_owned()));
        self
    }

    /// The same with one more block for keepalived alone.
    pub fn block(mut self, block: &str) -> Self {
        self.blocks.push(block.to_owned());
        self
    }

    /// The same, with all routers in one sync group.
    pub fn group(mut self, name: &str) -> Self {
        self.group = Some(name.to_owned());
        self
    }

    /// The same with one more router.
    pub fn router(mut self, router: Router) -> Self {
        self.routers.push(router);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_three_intervals_and_the_skew() {
        let router = Router::new("web", 51, 100, "192.0.2.100/24").every(100);
        // 3 x 100 ms + 156/256 x 100 ms, and + 156/256 s in version 2.
        assert_eq!(router.master_down(), Duration::from_nanos(360_937_500));
        assert_eq!(router.every(1000).version(2).master_down(), Duration::from_micros(3_609_375));
    }
}
