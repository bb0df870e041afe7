//! vipd on a host, with the control tool that belongs to it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::agent::{Agent, Node, Router};
use crate::network::Host;
use crate::process::Process;
use crate::wait;

/// A running vipd.
#[derive(Debug)]
pub struct Vipd {
    process: Process,
    host: Host,
    programs: Programs,
    name: String,
}

/// Where vipd and vipctl are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The agent.
    pub vipd: PathBuf,
    /// The control tool.
    pub vipctl: PathBuf,
}

impl Programs {
    /// The two programs by path.
    pub fn at(vipd: impl Into<PathBuf>, vipctl: impl Into<PathBuf>) -> Self {
        Self { vipd: vipd.into(), vipctl: vipctl.into() }
    }

    /// The programs of `VIPD_BIN`, or those built beside this one; `None` if there are none.
    pub fn find() -> Option<Self> {
        let vipd = match std::env::var_os("VIPD_BIN") {
            Some(path) => PathBuf::from(path),
            None => std::env::current_exe().ok()?.with_file_name("vipd"),
        };
        let vipctl = vipd.with_file_name("vipctl");
        (vipd.exists() && vipctl.exists()).then_some(Self { vipd, vipctl })
    }
}

impl Vipd {
    /// Starts vipd on `host` and waits until its control socket answers.
    pub fn start(host: &Host, programs: &Programs, node: &Node) -> Self {
        Self::start_file(host, programs, &configuration(node))
    }

    /// Starts vipd on `host` with a configuration as written, and waits until its control socket answers.
    pub fn start_file(host: &Host, programs: &Programs, configuration: &str) -> Self {
        Self::launch(host, programs, configuration).answering()
    }

    /// Starts another vipd on `host`, with a configuration and a runtime directory of its own, and waits until it answers.
    pub fn start_beside(host: &Host, programs: &Programs, node: &Node, name: &str) -> Self {
        Self::launch_as(host, programs, &configuration(node), name).answering()
    }

    fn answering(self) -> Self {
        let mut vipd = self;
        let host = vipd.host.clone();
        wait::until(&format!("vipd on {} answers", host.name()), Duration::from_secs(10), || {
            if let Some(status) = vipd.process.ended() {
                panic!("vipd on {} ended at once: {status}\n{}", host.name(), vipd.process.log());
            }
            vipd.try_status()
        });
        vipd
    }

    /// Starts vipd on `host` and does not wait for anything.
    pub fn launch(host: &Host, programs: &Programs, configuration: &str) -> Self {
        Self::launch_as(host, programs, configuration, "vipd")
    }

    fn launch_as(host: &Host, programs: &Programs, configuration: &str, name: &str) -> Self {
        let file = host.directory().join(format!("{name}.yaml"));
        fs::write(&file, configuration).expect("write the configuration");
        let directory = host.directory().join(name);
        fs::create_dir_all(&directory).expect("make the runtime directory");
        let (file, state) = (file.to_string_lossy(), directory.join("state"));
        let (runtime, state) = (directory.to_string_lossy(), state.to_string_lossy());
        let arguments = ["--config", &file, "--runtime-dir", &runtime, "--state-directory", &state];
        let process = host.spawn(name, &programs.vipd, &arguments, &[]);
        Self { process, host: host.clone(), programs: programs.clone(), name: name.to_owned() }
    }

    /// Runs `vipctl` on the host: whether it succeeded, stdout and stderr.
    pub fn vipctl(&self, arguments: &[&str]) -> (bool, String, String) {
        let directory = self.host.directory().join(&self.name);
        let directory = directory.to_string_lossy();
        let all = [&["--runtime-dir", &directory], arguments].concat();
        self.host.try_run(&self.programs.vipctl.to_string_lossy(), &all)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// All it logged so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.host.directory().join(&self.name).join("state")
    }

    /// The configuration file.
    pub fn file(&self) -> PathBuf {
        self.host.directory().join(format!("{}.yaml", self.name))
    }

    /// `vipctl status --json`, if the agent answers.
    pub fn try_status(&self) -> Option<Value> {
        let (_, said, _) = self.vipctl(&["status", "--json"]);
        let status: Value = serde_json::from_str(&said).ok()?;
        status["instances"].is_array().then_some(status)
    }

    /// `vipctl status --json`.
    pub fn status(&self) -> Value {
        self.try_status().unwrap_or_else(|| panic!("vipd on {} does not answer", self.host.name()))
    }

    /// One instance's part of the status.
    pub fn instance(&self, name: &str) -> Value {
        let status = self.status();
        let instances = status["instances"].as_array().into_iter().flatten();
        let found = instances.into_iter().find(|instance| instance["name"] == name).cloned();
        found.unwrap_or_else(|| panic!("vipd on {} knows no instance {name}: {status}", self.host.name()))
    }

    /// Waits until an instance is in a state: `master`, `backup`, `fault`, `init`.
    pub fn wait_state(&self, name: &str, state: &str) -> Value {
        let what = format!("{name} on {} is {state}", self.host.name());
        wait::until(&what, Duration::from_secs(15), || {
            let instance = self.instance(name);
            (instance["state"] == state).then_some(instance)
        })
    }

    /// Writes another configuration and reloads: what `vipctl reload` answered.
    pub fn reload_file(&self, configuration: &str) -> (bool, String, String) {
        fs::write(self.file(), configuration).expect("write vipd.yaml");
        self.vipctl(&["reload"])
    }
}

impl Agent for Vipd {
    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn reload(&mut self, node: &Node) {
        let (done, _, complaint) = self.reload_file(&configuration(node));
        assert!(done, "vipctl reload on {}: {complaint}", self.host.name());
    }
}

/// The whole file.
pub fn configuration(node: &Node) -> String {
    let mut out = String::from("instances:\n");
    for router in &node.routers {
        instance(&mut out, router).expect("a string takes all");
    }
    if let Some(group) = &node.group {
        let members: Vec<&str> = node.routers.iter().map(|router| router.name.as_str()).collect();
        let members = members.join(", ");
        writeln!(out, "groups: {{ {group}: {{ members: [{members}] }} }}").expect("a string takes all");
    }
    if !node.checks.is_empty() {
        out += "checks:\n";
        for (name, check) in &node.checks {
            writeln!(out, "  {name}: {check}").expect("a string takes all");
        }
    }
    out
}

fn instance(out: &mut String, router: &Router) -> std::fmt::Result {
    writeln!(out, "  {}:\n    interface: {}", router.name, router.interface)?;
    writeln!(out, "    virtual_router_id: {}\n    priority: {}", router.vrid, router.priority)?;
    writeln!(out, "    advert_interval: {}ms\n    version: {}", router.interval.as_millis(), router.version)?;
    let listed = router.addresses.iter().map(|a| format!("\"{a}\""));
    let others = router.excluded.iter().map(|a| format!("{{ address: \"{a}\", advertise: false }}"));
    writeln!(out, "    addresses: [{}]", listed.chain(others).collect::<Vec<_>>().join(", "))?;
    if router.addresses.is_empty() {
        writeln!(out, "    family: ipv4")?;
    }
    if !router.preempt {
        writeln!(out, "    preempt: false")?;
    }
    if let Some((sources, peers)) = &router.unicast {
        let list =
            |all: &[std::net::IpAddr]| all.iter().map(|a| format!("\"{a}\"")).collect::<Vec<_>>().join(", ");
        let source = if sources.len() == 1 { list(sources) } else { format!("[{}]", list(sources)) };
        writeln!(out, "    unicast: {{ source: {source}, peers: [{}] }}", list(peers))?;
    }
    if let Some(password) = &router.password {
        writeln!(out, "    authentication: {{ type: simple, password: \"{password}\" }}")?;
    }
    if !router.track.is_empty() {
        let tracks = router.track.iter().map(|(name, effect)| format!("{name}: {effect}"));
        writeln!(out, "    track: {{ {} }}", tracks.collect::<Vec<_>>().join(", "))?;
    }
    for line in &router.vipd {
        writeln!(out, "    {line}")?;
    }
    Ok(())
}

/// Whether two files are the same program, so that a stale build is noticed.
pub fn version(programs: &Programs) -> String {
    let run =
        |program: &Path| std::process::Command::new(program).arg("--version").output().map(|o| o.stdout);
    run(&programs.vipd).map(|said| String::from_utf8_lossy(&said).trim().to_owned()).unwrap_or_default()
}
