//! The network: a switch, and hosts with one cable each.
//!
//! The switch is a bridge in a namespace of its own. Host number n has the interface `eth0` with
//! `192.0.2.n/24`, `2001:db8::n/64`, `fe80::n/64` and the Ethernet address `02:00:00:00:00:n`; n counts from 1 in
//! the order in which hosts are asked for. Duplicate address detection is off, so addresses are usable at once.

use std::cell::Cell;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::sethostname;
use pnet::util::MacAddr;

use crate::process::Process;
use crate::wait;

/// One Ethernet segment.
#[derive(Debug)]
pub struct Lab {
    switch: Arc<Namespace>,
    directory: PathBuf,
    hosts: Cell<u8>,
}

/// A network namespace, by name, and a host name to go with it.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
    network: File,
    uts: File,
}

/// A host on the segment, and its cable.
#[derive(Clone, Debug)]
pub struct Host {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    number: u8,
    namespace: Namespace,
    switch: Arc<Namespace>,
    directory: PathBuf,
}

impl Lab {
    /// An empty segment. Call only after [`crate::enter`], or let [`crate::isolated`] do both.
    pub fn new() -> Self {
        let directory = PathBuf::from("/run/lab");
        fs::create_dir_all(&directory).expect("make /run/lab");
        let switch = Namespace::add("switch");
        switch.run(
            "ip",
            &["link", "add", "lan", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0"],
        );
        switch.run("ip", &["link", "set", "lan", "up"]);
        // Where the kernel would show bridged frames to the host's packet filter, it need not: that takes time
        // from whoever sends.
        switch.inside(|| {
            for family in ["ip", "ip6", "arp"] {
                let key = format!("/proc/sys/net/bridge/bridge-nf-call-{family}tables");
                if Path::new(&key).exists() {
                    fs::write(&key, "0").unwrap_or_else(|e| panic!("sysctl {key}: {e}"));
                }
            }
        });
        Self { switch: Arc::new(switch), directory, hosts: Cell::new(0) }
    }

    /// A new host on the segment.
    pub fn host(&self, name: &str) -> Host {
        let number = self.hosts.get() + 1;
        self.hosts.set(number);
        let namespace = Namespace::add(name);
        namespace.inside(|| {
            for (key, value) in SYSCTLS {
                fs::write(format!("/proc/sys/net/{key}"), value)
                    .unwrap_or_else(|e| panic!("sysctl {key}: {e}"));
            }
        });
        let mac = format!("02:00:00:00:00:{number:02x}");
        let peer = ["peer", "name", "eth0", "address", &mac, "netns", name];
        self.switch.run("ip", &[&["link", "add", "name", name, "type", "veth"], &peer[..]].concat());
        self.switch.run("ip", &["link", "set", "dev", name, "master", "lan", "up"]);
        namespace.run("ip", &["link", "set", "lo", "up"]);
        let directory = self.directory.join(name);
        fs::create_dir_all(&directory).expect("make the host's directory");
        let switch = Arc::clone(&self.switch);
        let host =
            Host { inner: Arc::new(Inner { name: name.to_owned(), number, namespace, switch, directory }) };
        host.set_up();
        host.wait_plugged();
        host
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

/// No duplicate address detection, no router discovery, many probes: on every host.
const SYSCTLS: [(&str, &str); 6] = [
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/router_solicitations", "0"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/ip_local_port_range", "2048 65000"),
];

impl Host {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// A directory for its files, gone when the lab is.
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// n.
    pub fn number(&self) -> u8 {
        self.inner.number
    }

    /// `192.0.2.n`.
    pub fn ipv4(&self) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, self.inner.number)
    }

    /// `2001:db8::n`.
    pub fn ipv6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(self.inner.number))
    }

    /// `fe80::n`.
    pub fn link_local(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(self.inner.number))
    }

    /// `02:00:00:00:00:n`.
    pub fn mac(&self) -> MacAddr {
        MacAddr::new(2, 0, 0, 0, 0, self.inner.number)
    }

    /// Runs `work` on a thread that lives in this host's network.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.inner.namespace.inside(work)
    }

    /// Moves the calling thread into this host's network, for as long as it lives.
    pub(crate) fn move_in(&self) {
        self.inner.namespace.enter();
    }

    /// Runs a command on this host to its end and returns what it printed; panics if it fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        self.inner.namespace.run(program, arguments)
    }

    /// Runs a command on this host to its end, whatever the end: whether it succeeded, stdout and stderr.
    pub fn try_run(&self, program: &str, arguments: &[&str]) -> (bool, String, String) {
        self.inner.namespace.try_run(program, arguments)
    }

    /// Starts a program on this host, its output in `NAME.log` in the host's directory.
    pub fn spawn(
        &self,
        name: &str,
        program: impl AsRef<Path>,
        arguments: &[&str],
        env: &[(&str, &str)],
    ) -> Process {
        let program = program.as_ref();
        let log = self.inner.directory.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).expect("open the log file");
        let mut command = Command::new(program);
        command.args(arguments).envs(env.iter().copied()).process_group(0).current_dir("/");
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("duplicate a descriptor")).stderr(file);
        let child = self.inside(|| command.spawn());
        let child = child.unwrap_or_else(|e| panic!("start {}: {e}", program.display()));
        Process::new(format!("{name} on {}", self.name()), child, log)
    }

    /// Runs `work` on a thread that lives in the switch, where the host's port bears the host's name.
    pub fn beside_the_switch<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.inner.switch.inside(work)
    }

    /// Whether the switch sends what is for an Ethernet address to this host.
    pub fn is_behind_port(&self, mac: MacAddr) -> bool {
        let table = self.inner.switch.run("bridge", &["fdb", "show"]);
        let entry = format!("{mac} dev {} ", self.name());
        table.lines().any(|line| line.starts_with(&entry))
    }

    /// Cuts the host off: the switch drops its frames in both directions, the carrier stays.
    pub fn cut(&self) {
        self.filter(&["iifname", "oifname"], "");
    }

    /// The switch drops what the host sends; it still hears the others.
    pub fn mute(&self) {
        self.filter(&["iifname"], "");
    }

    /// The switch drops what is sent to the host; the others still hear it.
    pub fn deafen(&self) {
        self.filter(&["oifname"], "");
    }

    /// The switch drops so many of a hundred frames, 99 at most, in each direction, at random.
    pub fn lose(&self, percent: u8) {
        self.filter(&["iifname", "oifname"], &format!("numgen random mod 100 < {percent}"));
    }

    /// The switch drops the adverts that the host sends, and only these.
    pub fn hush(&self) {
        self.filter(&["iifname"], "meta l4proto 112");
    }

    /// Ends [`Host::cut`], [`Host::mute`], [`Host::deafen`], [`Host::lose`] and [`Host::hush`].
    pub fn heal(&self) {
        self.filter(&[], "");
    }

    /// Drops frames that enter or leave the switch at this host's port, all or those that `what` matches. In the forward hook, so that the sender
    /// notices nothing; in a table that exists only while something is dropped, so that it costs nobody anything.
    fn filter(&self, drops: &[&str], what: &str) {
        let (name, table) = (self.name(), format!("table bridge lab_{}", self.name()));
        let rules =
            drops.iter().map(|at| format!("{at} \"{name}\" {what} drop")).collect::<Vec<_>>().join("; ");
        let chain = format!("chain forward {{ type filter hook forward priority 0; {rules}; }}");
        let now = if drops.is_empty() { String::new() } else { format!("{table} {{ {chain}; }}") };
        let transaction = format!("add {table}; delete {table}; {now}");
        self.inner.switch.run("nft", &[&transaction]);
    }

    /// Sets `eth0` up with the host's own addresses, whatever was done to it.
    pub fn set_up(&self) {
        let (ipv4, ipv6, link_local) = (self.ipv4(), self.ipv6(), self.link_local());
        let script = format!(
            "link set eth0 addrgenmode none\naddr replace {ipv4}/24 dev eth0\naddr replace {ipv6}/64 dev eth0\n\
             addr replace {link_local}/64 dev eth0\nlink set eth0 up\n"
        );
        let file = self.directory().join("ip");
        fs::write(&file, script).expect("write the host's addresses");
        self.run("ip", &["-batch", &file.to_string_lossy()]);
    }

    /// Takes the carrier away, as when the cable is pulled.
    pub fn unplug(&self) {
        self.inner.switch.run("ip", &["link", "set", "dev", self.name(), "down"]);
    }

    /// Gives the carrier back, and waits until the switch forwards.
    pub fn plug(&self) {
        self.inner.switch.run("ip", &["link", "set", "dev", self.name(), "up"]);
        self.wait_plugged();
    }

    fn wait_plugged(&self) {
        wait::until(&format!("{} is on the segment", self.name()), Duration::from_secs(5), || {
            let port = self.inner.switch.run("ip", &["-detail", "link", "show", "dev", self.name()]);
            let card = self.run("ip", &["link", "show", "dev", "eth0"]);
            (port.contains("state forwarding") && card.contains("state UP")).then_some(())
        });
    }

    /// The addresses of an interface with their prefix lengths, as the kernel lists them.
    pub fn addresses(&self, interface: &str) -> Vec<String> {
        let (done, listed, _) = self.try_run("ip", &["-json", "address", "show", "dev", interface]);
        let parsed: serde_json::Value =
            if done { serde_json::from_str(&listed).expect("ip prints JSON") } else { return Vec::new() };
        let links = parsed.as_array().cloned().unwrap_or_default();
        let infos = links.iter().filter_map(|link| link["addr_info"].as_array()).flatten();
        infos
            .filter_map(|info| Some(format!("{}/{}", info["local"].as_str()?, info["prefixlen"].as_u64()?)))
            .collect()
    }

    /// Whether `address` is on `eth0`.
    pub fn holds(&self, address: IpAddr) -> bool {
        let prefix = format!("{address}/");
        self.addresses("eth0").iter().any(|net| net.starts_with(&prefix))
    }
}

/// The hosts among `hosts` that have `address`, by name.
pub fn holders(hosts: &[&Host], address: IpAddr) -> Vec<String> {
    hosts.iter().filter(|host| host.holds(address)).map(|host| host.name().to_owned()).collect()
}

impl Namespace {
    fn add(name: &str) -> Self {
        let output = Command::new("ip").args(["netns", "add", name]).output().expect("start ip");
        assert!(output.status.success(), "ip netns add {name}: {}", String::from_utf8_lossy(&output.stderr));
        let network = File::open(Path::new("/run/netns").join(name)).expect("open the namespace");
        let named = || {
            unshare(CloneFlags::CLONE_NEWUTS).expect("make a namespace for the host's name");
            sethostname(name).expect("name the host");
            File::open("/proc/thread-self/ns/uts").expect("open the namespace")
        };
        let uts = std::thread::scope(|scope| scope.spawn(named).join()).expect("the host has a name");
        Self { name: name.to_owned(), network, uts }
    }

    fn enter(&self) {
        for (file, kind) in [(&self.network, CloneFlags::CLONE_NEWNET), (&self.uts, CloneFlags::CLONE_NEWUTS)]
        {
            setns(file, kind).unwrap_or_else(|e| panic!("enter {}: {e}", self.name));
        }
    }

    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let work = || {
            self.enter();
            work()
        };
        let end = std::thread::scope(|scope| scope.spawn(work).join());
        end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn try_run(&self, program: &str, arguments: &[&str]) -> (bool, String, String) {
        let output = self.inside(|| Command::new(program).args(arguments).stdin(Stdio::null()).output());
        let output = output.unwrap_or_else(|e| panic!("start {program}: {e}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let (done, said, complained) = self.try_run(program, arguments);
        assert!(done, "{program} {} on {}: {complained}", arguments.join(" "), self.name);
        said
    }
}
