//! FRRouting's zebra and vrrpd on a host.
//!
//! FRR makes no interfaces: the macvlan with the virtual router's MAC address and its addresses is made here,
//! as FRR's manual asks; zebra keeps it down (`protodown`) while the router is a backup.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::Value;

use crate::agent::Router;
use crate::network::Host;
use crate::process::Process;
use crate::wait;

/// A running FRR.
#[derive(Debug)]
pub struct Frr {
    /// vrrpd.
    pub vrrpd: Process,
    /// zebra.
    pub zebra: Process,
    host: Host,
}

/// Where Debian puts FRR's programs.
const DIRECTORY: &str = "/usr/lib/frr";

impl Frr {
    /// Starts FRR on `host` with one virtual router.
    pub fn start(host: &Host, router: &Router) -> Self {
        // Or eth0 would answer for the addresses of the macvlan, with its own Ethernet address.
        host.inside(|| fs::write("/proc/sys/net/ipv4/conf/all/arp_ignore", "1")).expect("set arp_ignore");
        for ipv6 in [false, true] {
            if !router.family(ipv6).is_empty() {
                macvlan(host, router, ipv6);
            }
        }
        // FRR gives up root for a user of its own, who must be able to write here.
        let home = host.directory().join("frr");
        fs::create_dir_all(&home).expect("make FRR's directory");
        fs::set_permissions(&home, fs::Permissions::from_mode(0o777)).expect("open FRR's directory");
        let path = |name: &str| home.join(name).to_string_lossy().into_owned();
        fs::write(path("zebra.conf"), "hostname zebra\n").expect("write zebra.conf");
        fs::write(path("vrrpd.conf"), configuration(router)).expect("write vrrpd.conf");
        let (socket, directory) = (path("zserv"), path(""));
        let start = |daemon: &str| {
            let (file, pid) = (path(&format!("{daemon}.conf")), path(&format!("{daemon}.pid")));
            let arguments = ["-f", &file, "-i", &pid, "-z", &socket, "--vty_socket", &directory, "-P", "0"];
            let logging = ["--log", "stdout", "--log-level", "debug"];
            host.spawn(daemon, format!("{DIRECTORY}/{daemon}"), &[&arguments[..], &logging].concat(), &[])
        };
        let zebra = start("zebra");
        wait::until("zebra listens", Duration::from_secs(10), || {
            std::path::Path::new(&socket).exists().then_some(())
        });
        let vrrpd = start("vrrpd");
        Self { vrrpd, zebra, host: host.clone() }
    }

    /// What vrrpd's log says about adverts it rejected.
    pub fn rejections(&self) -> Vec<String> {
        let log = self.vrrpd.log();
        // "Discarding" with a comparison of priorities is its role, not a complaint.
        log.lines().filter(|line| line.contains("Datagram invalid")).map(str::to_owned).collect()
    }

    /// What `show vrrp json` says, if vrrpd answers.
    pub fn status(&self) -> Option<Value> {
        let directory = self.host.directory().join("frr");
        let directory = directory.to_string_lossy();
        let arguments = ["--vty_socket", &directory, "-d", "vrrpd", "-c", "show vrrp json"];
        let (_, said, _) = self.host.try_run("vtysh", &arguments);
        serde_json::from_str(&said).ok()
    }
}

/// Makes the macvlan of one family, anew if it is there from before.
fn macvlan(host: &Host, router: &Router, ipv6: bool) {
    let (name, kind) = if ipv6 { ("vrrp6", 2) } else { ("vrrp4", 1) };
    if host.try_run("ip", &["link", "show", name]).0 {
        host.run("ip", &["link", "delete", name]);
    }
    let mac = format!("00:00:5e:00:{kind:02x}:{:02x}", router.vrid);
    host.run(
        "ip",
        &["link", "add", name, "link", "eth0", "address", &mac, "type", "macvlan", "mode", "bridge"],
    );
    host.run("ip", &["link", "set", name, "addrgenmode", "none"]);
    if ipv6 {
        // Generated from the MAC address it would be the same on every host, and adverts are sent from it.
        let own = format!("fe80::{:x}:{:x}/64", router.vrid, host.number());
        host.run("ip", &["address", "add", &own, "dev", name]);
    }
    for address in router.family(ipv6) {
        host.run("ip", &["address", "add", address, "dev", name]);
    }
    host.run("ip", &["link", "set", name, "up"]);
}

fn configuration(router: &Router) -> String {
    let mut out = format!("hostname vrrpd\ndebug vrrp\ninterface {}\n", router.interface);
    let vrid = router.vrid;
    let mut line =
        |text: std::fmt::Arguments<'_>| writeln!(out, " vrrp {vrid} {text}").expect("a string takes all");
    line(format_args!("version {}", router.version));
    line(format_args!("priority {}", router.priority));
    line(format_args!("advertisement-interval {}", router.interval.as_millis()));
    if !router.preempt {
        writeln!(out, " no vrrp {vrid} preempt").expect("a string takes all");
    }
    for address in &router.addresses {
        let (family, bare) =
            (if address.contains(':') { "ipv6" } else { "ip" }, address.split('/').next().unwrap_or(address));
        writeln!(out, " vrrp {vrid} {family} {bare}").expect("a string takes all");
    }
    out
}
