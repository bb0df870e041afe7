//! The test bed: two booted load balancers and a client.

use std::net::IpAddr;
use std::time::Duration;

use lab::probe::Echo;
use lab::{Booted, Host, Image, Lab, Node, Probe, Router, Sniffer, keepalived, until, vipd, wait};

/// Our unit, and the agent's name in the table.
pub(crate) const VIPD: &str = "vipd";
/// The other one.
pub(crate) const KEEPALIVED: &str = "keepalived";
/// How long anything may take that is not measured.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// The time between adverts.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);
/// The virtual addresses.
pub(crate) const ADDRESSES: [&str; 2] = ["192.0.2.100", "2001:db8::100"];

/// Two booted load balancers and a client on one switch.
pub(crate) struct Bed {
    /// The one with the higher priority.
    pub(crate) lb1: Booted,
    /// The other.
    pub(crate) lb2: Booted,
    /// The client.
    pub(crate) client: Host,
    /// What the client's interface hears.
    pub(crate) sniffer: Sniffer,
    _echoes: [Echo; 2],
    _lab: Lab,
}

/// What one node is to run.
pub(crate) fn node(priority: u8) -> Node {
    let [four, six] = ADDRESSES;
    Router::new("web", 51, priority, &format!("{four}/24")).and(&format!("{six}/64")).into()
}

/// The virtual addresses.
pub(crate) fn addresses() -> [IpAddr; 2] {
    ADDRESSES.map(|address| address.parse().expect("an address"))
}

impl Bed {
    /// Boots it.
    pub(crate) fn boot(image: &Image) -> Result<Self, String> {
        let lab = Lab::new();
        let (lb1, lb2, client) = (lab.host("lb1"), lab.host("lb2"), lab.host("client"));
        let sniffer = Sniffer::on(&client);
        let echoes = [Echo::on(&lb1), Echo::on(&lb2)];
        let (mut lb1, mut lb2) = (Booted::new(&lb1, image), Booted::new(&lb2, image));
        lb1.boot()?;
        lb2.boot()?;
        Ok(Self { lb1, lb2, client, sniffer, _echoes: echoes, _lab: lab })
    }

    /// Installs and starts vipd, word for word as `scripts/install` says it is to be done.
    pub(crate) fn install(&self) {
        for (host, priority) in [(&self.lb1, 150), (&self.lb2, 100)] {
            install_programs(host);
            host.write("/root/vipd.yaml", &vipd::configuration(&node(priority)));
            host.run(&["install", "-m", "640", "-g", "vipd", "/root/vipd.yaml", "/etc/vipd/"]);
            host.run(&["vipctl", "check"]);
            host.run(&["systemctl", "enable", "--quiet", "--now", VIPD]);
        }
        self.settle();
    }

    /// Starts Debian's keepalived with its own unit.
    pub(crate) fn start_keepalived(&self) {
        for (host, priority) in [(&self.lb1, 150), (&self.lb2, 100)] {
            host.write("/etc/keepalived/keepalived.conf", &keepalived::configuration(&node(priority)));
            host.run(&["systemctl", "start", KEEPALIVED]);
        }
        self.settle();
    }

    /// Waits until lb1 has been heard three times in each family since lb2 was heard last, and from now on twice.
    pub(crate) fn settle(&self) {
        let since = lab::now();
        until("lb1 is the only master", SOON, || {
            let families = [0, 1].iter().all(|family| {
                let other = self.sniffer.last_advert(sources(&self.lb2)[*family]).unwrap_or(0);
                let heard = self.sniffer.adverts(sources(&self.lb1)[*family]);
                let after = |moment| heard.iter().filter(|(at, _)| *at > moment).count();
                after(other) >= 3 && after(since) >= 2
            });
            families.then_some(())
        });
    }

    /// A client of each address, once lb1 answers it.
    pub(crate) fn probes(&self) -> [Probe; 2] {
        let probes = addresses().map(|address| Probe::start(&self.client, address));
        for probe in &probes {
            probe.wait_for(self.lb1.host(), 0, SOON);
        }
        probes
    }

    /// Where this was measured, and with what.
    pub(crate) fn surroundings(&self) -> String {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let first = |command: &str| {
            let (_, said, complaint) = self.lb1.try_run(&["sh", "-c", command]);
            let said = if said.is_empty() { complaint } else { said };
            said.lines().next().unwrap_or("?").trim().to_owned()
        };
        format!(
            "Linux {}, {} cores, load {}; {}, {}; {}; {}. 1 s between adverts, priorities 150 and 100.",
            read("/proc/sys/kernel/osrelease"),
            std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            read("/proc/loadavg").split(' ').next().unwrap_or("?"),
            first(". /etc/os-release; echo $PRETTY_NAME"),
            first("systemctl --version"),
            first("/target/release/vipd --version"),
            first("keepalived --version"),
        )
    }
}

/// Puts the programs that were built into a host, as after a pull.
pub(crate) fn install_programs(host: &Booted) {
    host.run(&["env", "CARGO_TARGET_DIR=/target", "/src/scripts/install"]);
}

/// Where a host's adverts come from.
pub(crate) fn sources(host: &Booted) -> [IpAddr; 2] {
    [host.host().ipv4().into(), host.host().link_local().into()]
}

/// A moment within the interval that differs from round to round, so that no phase is preferred.
pub(crate) fn phase(round: usize) {
    let golden = u32::try_from(round * 618 % 1000).expect("less than 1000");
    wait::observe(INTERVAL * golden / 1000);
}
