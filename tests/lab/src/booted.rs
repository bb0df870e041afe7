//! A booted host: a whole Debian whose first process is systemd, in the network of a [`Host`].
//!
//! systemd-nspawn boots it from a root file system that is only read: what a host writes goes to memory, stays over its
//! reboots and ends with the program. Its unified control groups are below the caller's own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::network::Host;
use crate::process::Process;
use crate::usage;
use crate::wait;

/// What hosts are booted from, and where they may be.
#[derive(Debug)]
pub struct Image {
    root: PathBuf,
    shared: Vec<(PathBuf, PathBuf)>,
    groups: PathBuf,
}

/// A host to be booted.
#[derive(Debug)]
pub struct Booted {
    host: Host,
    root: PathBuf,
    shared: Vec<String>,
    group: PathBuf,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    container: Process,
    /// Its systemd, as seen from here.
    first: u32,
}

/// How long a boot or its end may take.
const BOUND: Duration = Duration::from_mins(1);
/// Where this namespace's control groups are.
const GROUPS: &str = "/sys/fs/cgroup";

impl Image {
    /// Hosts boot from the tree `root`, have directories of this machine at other places to read, and control groups
    /// in one named `group` below the caller's. Call after [`crate::enter`].
    ///
    /// # Errors
    ///
    /// What this machine or container forbids, as a sentence.
    pub fn prepare(root: &Path, shared: &[(&Path, &str)], group: &str) -> Result<Self, String> {
        if !root.join("usr/lib/systemd/systemd").exists() && !root.join("lib/systemd/systemd").exists() {
            return Err(format!("there is no systemd in {}", root.display()));
        }
        mount_groups().map_err(|why| {
            format!("cannot mount cgroup2 here: {why}; run as root, in a container with --privileged")
        })?;
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|e| format!("/proc/self/cgroup: {e}"))?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        let groups = Path::new(GROUPS).join(own).join(group);
        fs::create_dir_all(&groups)
            .map_err(|why| format!("cannot make the control group {}: {why}", groups.display()))?;
        let shared = shared.iter().map(|&(from, to)| (from.to_owned(), PathBuf::from(to))).collect();
        Ok(Self { root: root.to_owned(), shared, groups })
    }
}

/// A `/sys` of this network namespace, with the unified control groups and no others.
fn mount_groups() -> io::Result<()> {
    umount2("/sys", MntFlags::MNT_DETACH)?;
    mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>)?;
    mount(Some("cgroup2"), GROUPS, Some("cgroup2"), MsFlags::empty(), None::<&str>)?;
    Ok(())
}

impl Booted {
    /// A host that is installed and switched off.
    pub fn new(host: &Host, image: &Image) -> Self {
        let directories = ["written", "work", "root"].map(|name| host.directory().join(name));
        for directory in &directories {
            fs::create_dir_all(directory).expect("make the host's directories");
        }
        let [written, work, root] = &directories;
        let (lower, upper) = (image.root.display(), written.display());
        let options = format!("lowerdir={lower},upperdir={upper},workdir={}", work.display());
        mount(Some("overlay"), root, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
            .unwrap_or_else(|e| panic!("mount an overlay over {lower}: {e}"));
        let shared = image.shared.iter();
        let shared = shared.map(|(from, to)| format!("--bind-ro={}:{}", from.display(), to.display()));
        let group = image.groups.join(host.name());
        Self { host: host.clone(), root: root.clone(), shared: shared.collect(), group, running: None }
    }

    /// The network it is in.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Boots it, and waits until all its units are up.
    ///
    /// # Errors
    ///
    /// What it said, if it does not come up.
    pub fn boot(&mut self) -> Result<(), String> {
        let mut container = self.container();
        let first = wait::within(BOUND, || {
            let children = usage::children(container.pid());
            let systemd =
                children.into_iter().find(|pid| name_of(*pid).is_some_and(|name| name == "systemd"));
            systemd.map(Ok).or_else(|| container.ended().map(Err))
        });
        let Some(Ok(first)) = first else {
            return Err(format!("systemd-nspawn did not start systemd; it said:\n{}", container.log()));
        };
        let running = self.running.insert(Running { container, first });
        let state = wait::within(BOUND, || {
            // Not with --wait, which has no bound.
            let (_, said, _) = running.try_run(&["systemctl", "is-system-running"]);
            let ended = || running.container.ended().map(|status| format!("the container ended: {status}"));
            matches!(said.trim(), "running" | "degraded").then(|| said.trim().to_owned()).or_else(ended)
        });
        if state.as_deref() == Some("running") {
            return Ok(());
        }
        let (_, failed, _) = running.try_run(&["systemctl", "--failed", "--no-pager"]);
        let (_, jobs, _) = running.try_run(&["systemctl", "list-jobs", "--no-pager"]);
        let (state, log) =
            (state.unwrap_or_else(|| format!("not up after {BOUND:?}")), running.container.log());
        Err(format!("systemd did not come up in a container: {state}\n{log}{failed}{jobs}"))
    }

    fn container(&self) -> Process {
        fs::create_dir_all(&self.group).expect("make the host's control group");
        let network = format!("--network-namespace-path=/run/netns/{}", self.host.name());
        let (name, root) = (self.host.name(), self.root.to_string_lossy());
        let (machine, root) = (format!("--machine={name}"), format!("--directory={root}"));
        let members = self.group.join("cgroup.procs");
        let members = members.to_string_lossy();
        let fixed = ["-c", "echo $$ >\"$0\" && exec systemd-nspawn \"$@\"", &members, "--quiet", "--boot"];
        // Nobody here keeps a register of machines, and the group is made.
        let place = ["--register=no", "--keep-unit", "--link-journal=no", "--console=pipe"];
        let who = [&machine, &root, &network, "--capability=all"];
        let shared: Vec<&str> = self.shared.iter().map(String::as_str).collect();
        let arguments = [&fixed[..], &place[..], &who[..], &shared[..]].concat();
        self.host.spawn("nspawn", "/bin/sh", &arguments, &[("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")])
    }

    /// Shuts it down.
    pub fn power_off(&mut self) {
        self.run(&["systemctl", "poweroff"]);
        if let Some(mut running) = self.running.take() {
            running.container.wait(BOUND);
        }
    }

    /// Runs a command in it, as root, to its end: whether it succeeded, stdout and stderr.
    pub fn try_run(&self, command: &[&str]) -> (bool, String, String) {
        self.running.as_ref().unwrap_or_else(|| panic!("{} is off", self.host.name())).try_run(command)
    }

    /// Runs a command in it, as root, and returns what it printed; panics if it fails.
    pub fn run(&self, command: &[&str]) -> String {
        let (done, said, complaint) = self.try_run(command);
        assert!(done, "{} on {}: {said}{complaint}", command.join(" "), self.host.name());
        said
    }

    /// Writes a file of its.
    pub fn write(&self, file: &str, content: &str) {
        let file = self.root.join(file.trim_start_matches('/'));
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory).expect("make the directory");
        }
        fs::write(&file, content).unwrap_or_else(|e| panic!("write {}: {e}", file.display()));
    }

    /// A property of a unit, as systemd has it.
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.run(&["systemctl", "show", "--property", name, "--value", unit]).trim().to_owned()
    }
}

impl Running {
    fn try_run(&self, command: &[&str]) -> (bool, String, String) {
        let first = self.first.to_string();
        let environment = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"];
        let mut enter = Command::new("nsenter");
        enter.args(["--target", &first, "--all", "--"]).args(environment).args(command);
        let output = enter.stdin(Stdio::null()).output().expect("start nsenter");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            // The end of its first process is the end of all of them, and of the container.
            let first = Pid::from_raw(i32::try_from(running.first).expect("a process id fits"));
            if kill(first, Signal::SIGKILL).is_ok() {
                running.container.wait(BOUND);
            }
        }
    }
}

fn name_of(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}
