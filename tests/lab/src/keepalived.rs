//! Debian's keepalived on a host: the peer to work with and the measure to beat.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::agent::{Agent, Node, Router};
use crate::network::Host;
use crate::process::Process;

/// A running keepalived.
#[derive(Debug)]
pub struct Keepalived {
    process: Process,
    file: PathBuf,
}

/// How many addresses an advert carries; keepalived holds and announces the rest as excluded ones.
const ADVERTISED: usize = 20;

impl Keepalived {
    /// Starts keepalived on `host`.
    pub fn start(host: &Host, node: &Node) -> Self {
        Self::start_file(host, &configuration(node))
    }

    /// Starts keepalived on `host` with a configuration as written.
    pub fn start_file(host: &Host, configuration: &str) -> Self {
        let file = host.directory().join("keepalived.conf");
        fs::write(&file, configuration).expect("write keepalived.conf");
        let path = |name: &str| host.directory().join(name).to_string_lossy().into_owned();
        let (pid, vrrp) = (path("keepalived.pid"), path("vrrp.pid"));
        for stale in [&pid, &vrrp] {
            // Left by one that was killed. Its child is a zombie, which nobody here buries as an init would, and
            // which keepalived takes for a running daemon.
            drop(fs::remove_file(stale));
        }
        let arguments = ["-n", "-l", "--vrrp", "-f", &file.to_string_lossy(), "-p", &pid, "-r", &vrrp];
        let process = host.spawn("keepalived", "keepalived", &arguments, &[("TMPDIR", &path(""))]);
        Self { process, file }
    }

    /// What its log says about adverts it rejected.
    pub fn rejections(&self) -> Vec<String> {
        let log = self.process.log();
        let complaint = |line: &&str| {
            let line = line.to_lowercase();
            // That it does not yield to a lower priority is its role, not a complaint.
            REJECTIONS.iter().any(|words| line.contains(words)) && !line.contains("lower priority")
        };
        log.lines().filter(complaint).map(str::to_owned).collect()
    }
}

/// Words of keepalived's log lines when it drops an advert or finds it odd, in lower case.
const REJECTIONS: [&str; 14] = [
    "invalid",
    "incorrect",
    "mismatch",
    "bogus",
    "dropped",
    "discard",
    "checksum",
    "wrong",
    "unexpected",
    "different",
    "ip address associated",
    "expected",
    "received an invalid",
    "ttl",
];

impl Agent for Keepalived {
    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn reload(&mut self, node: &Node) {
        fs::write(&self.file, configuration(node)).expect("write keepalived.conf");
        self.process.signal(Signal::SIGHUP);
    }
}

/// The whole file.
pub fn configuration(node: &Node) -> String {
    let mut out = String::from("global_defs {\n  script_user root\n}\n");
    for (name, script) in &node.scripts {
        writeln!(out, "vrrp_script {name} {{\n  {script}\n}}").expect("a string takes all");
    }
    for block in &node.blocks {
        writeln!(out, "{block}").expect("a string takes all");
    }
    if let Some(group) = &node.group {
        let of = |router: &Router, ipv6| format!("    {}", label(router, ipv6));
        let has = |router: &Router, ipv6| !router.family(ipv6).is_empty();
        let members = node.routers.iter().flat_map(|router| {
            [false, true].into_iter().filter(|ipv6| has(router, *ipv6)).map(|ipv6| of(router, ipv6))
        });
        let members = members.collect::<Vec<_>>().join("\n");
        writeln!(out, "vrrp_sync_group {group} {{\n  group {{\n{members}\n  }}\n}}")
            .expect("a string takes all");
    }
    for router in &node.routers {
        for ipv6 in [false, true] {
            instance(&mut out, router, ipv6).expect("a string takes all");
        }
    }
    out
}

fn label(router: &Router, ipv6: bool) -> String {
    format!("{}{}", router.name, if ipv6 { "6" } else { "4" })
}

/// One instance: keepalived wants one for each family.
fn instance(out: &mut String, router: &Router, ipv6: bool) -> std::fmt::Result {
    let addresses = router.family(ipv6);
    let bare = router.addresses.is_empty() && !ipv6;
    if addresses.is_empty() && !bare {
        return Ok(());
    }
    writeln!(out, "vrrp_instance {} {{", label(router, ipv6))?;
    writeln!(out, "  state BACKUP\n  interface {}\n  virtual_router_id {}", router.interface, router.vrid)?;
    writeln!(out, "  priority {}\n  version {}", router.priority, router.version)?;
    writeln!(out, "  advert_int {}", router.interval.as_secs_f64())?;
    if !router.preempt {
        writeln!(out, "  nopreempt")?;
    }
    if let Some(password) = &router.password {
        writeln!(out, "  authentication {{\n    auth_type PASS\n    auth_pass {password}\n  }}")?;
    }
    if let Some((sources, peers)) = &router.unicast {
        for source in sources.iter().filter(|a| a.is_ipv6() == ipv6) {
            writeln!(out, "  unicast_src_ip {source}")?;
        }
        let peers = peers.iter().filter(|a| a.is_ipv6() == ipv6).map(IpAddr::to_string).collect::<Vec<_>>();
        writeln!(out, "  unicast_peer {{\n    {}\n  }}", peers.join("\n    "))?;
    }
    for line in &router.keepalived {
        writeln!(out, "  {line}")?;
    }
    if !router.track.is_empty() {
        writeln!(out, "  track_script {{")?;
        for (name, effect) in &router.track {
            let weight = if effect == "fault" { String::new() } else { format!(" weight {effect}") };
            writeln!(out, "    {name}{weight}")?;
        }
        writeln!(out, "  }}")?;
    }
    let (advertised, excluded) = addresses.split_at(addresses.len().min(ADVERTISED));
    if !bare {
        writeln!(out, "  virtual_ipaddress {{\n    {}\n  }}", advertised.join("\n    "))?;
    }
    let excluded: Vec<&str> =
        excluded.iter().copied().chain(router.excluded.iter().map(String::as_str)).collect();
    if !excluded.is_empty() {
        writeln!(out, "  virtual_ipaddress_excluded {{\n    {}\n  }}", excluded.join("\n    "))?;
    }
    writeln!(out, "}}")
}
