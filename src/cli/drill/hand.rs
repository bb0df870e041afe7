//! What does the harm of a drill, and takes it back: a process of its own.
//!
//! It takes back whatever it did when its input ends or its time is over, whichever comes first: so also if `vipctl drill`
//! is interrupted or killed. There is no other way back, so every drill tries it. A cut ends, beyond that, by itself: its
//! rules stand in the kernel with an end.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Kind;
use crate::agent::api::{Accepted, TargetOrder};
use crate::cli::Exit;
use crate::cli::client::{Client, Trouble};
use crate::cli::output::{complain, say};
use crate::sys::clock;
use crate::time::Duration;

/// The table of a cut.
const TABLE: &str = "netdev vipd_drill";
/// How often, and with which pause, a resume is tried that finds no agent.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// `drill-hand ..`: for `vipctl drill` alone.
#[derive(Debug, Args)]
pub(in crate::cli) struct Request {
    #[arg(long)]
    kind: Kind,
    #[arg(long)]
    instance: String,
    #[arg(long)]
    pid: i32,
    #[arg(long)]
    interface: String,
    #[arg(long)]
    vrid: u8,
    #[arg(long)]
    millis: u64,
    #[arg(long)]
    addresses: Vec<std::net::IpAddr>,
}

impl Request {
    /// The command line that says the same.
    pub(super) fn arguments(&self) -> Vec<String> {
        let pairs = [
            ("--kind", self.kind.word().to_owned()),
            ("--instance", self.instance.clone()),
            ("--pid", self.pid.to_string()),
            ("--interface", self.interface.clone()),
            ("--vrid", self.vrid.to_string()),
            ("--millis", self.millis.to_string()),
        ];
        let pairs = pairs.map(|(key, value)| format!("{key}={value}"));
        let addresses = self.addresses.iter().map(|address| format!("--addresses={address}"));
        pairs.into_iter().chain(addresses).collect()
    }

    /// The agent.
    pub(super) const fn pid(&self) -> i32 {
        self.pid
    }

    pub(super) fn new(kind: Kind, one: &crate::agent::report::Instance, pid: u32, time: Duration) -> Self {
        Self {
            kind,
            instance: one.name.clone(),
            pid: i32::try_from(pid).unwrap_or(i32::MAX),
            interface: one.interface.clone(),
            vrid: one.virtual_router_id,
            millis: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            addresses: super::addresses(one),
        }
    }
}

/// Does it, waits, takes it back. Says on stdout when each was done.
pub(in crate::cli) async fn run(client: &Client, request: &Request) -> Exit {
    if let Err(why) = harm(client, request).await {
        complain(&why);
        return Exit::Os;
    }
    told("done");
    wait(Duration::from_millis(request.millis));
    let undone = heal(client, request).await;
    match undone {
        Ok(()) => {
            told("undone");
            Exit::Ok
        }
        Err(why) => {
            complain(&why);
            Exit::Os
        }
    }
}

fn told(what: &str) {
    // Whoever drills may be gone: then nobody need know.
    if !say(&format!("{what} {}\n", clock::realtime().as_nanos())) {}
}

/// Until nobody can write to our input any more, or the time is over.
fn wait(time: Duration) {
    let (sender, receiver) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let mut byte = [0; 64];
        while matches!(std::io::stdin().read(&mut byte), Ok(1..)) {}
        drop(sender);
    });
    // Either way it is over.
    if receiver.recv_timeout(time).is_err() {}
}

async fn harm(client: &Client, request: &Request) -> Result<(), String> {
    match request.kind {
        Kind::StepDown => order(client, "/step-down", request).await.map_err(|trouble| trouble.to_string()),
        Kind::Crash => signal(request.pid, Signal::SIGKILL),
        Kind::Hang => signal(request.pid, Signal::SIGSTOP),
        Kind::Cut => nft(&rules(request)),
    }
}

async fn heal(client: &Client, request: &Request) -> Result<(), String> {
    match request.kind {
        Kind::StepDown => {
            for _ in 0..TRIES {
                match order(client, "/resume", request).await {
                    Err(Trouble::NotRunning(_) | Trouble::Broken(_)) => tokio::time::sleep(PAUSE).await,
                    other => return other.map_err(|trouble| trouble.to_string()),
                }
            }
            Err(format!("no agent answers; {} is stepped down still", request.instance))
        }
        // Whoever keeps the agent starts it again.
        Kind::Crash => Ok(()),
        Kind::Hang => match signal(request.pid, Signal::SIGCONT) {
            // A watchdog may have killed it meanwhile.
            Err(_) if kill(Pid::from_raw(request.pid), None).is_err() => Ok(()),
            done => done,
        },
        Kind::Cut => nft(&format!("delete table {TABLE}\n")),
    }
}

async fn order(client: &Client, path: &str, request: &Request) -> Result<(), Trouble> {
    let target = TargetOrder { instance: Some(request.instance.clone()), all: false };
    client.order::<Accepted>(path, &target).await.map(drop)
}

fn signal(pid: i32, signal: Signal) -> Result<(), String> {
    kill(Pid::from_raw(pid), signal)
        .map_err(|errno| format!("cannot signal the agent, pid {pid}: {}", errno.desc()))
}

/// As if the cable were pulled, for this virtual router's adverts and addresses only. What leaves is made unreadable for
/// everybody and not dropped, of which its sender would be told: a cable that is pulled elsewhere tells nothing, either.
fn rules(request: &Request) -> String {
    let Request { interface, vrid, millis, addresses, .. } = request;
    let nowhere = "ether daddr set 00:00:00:00:00:00";
    let advert = format!("@th,8,8 {vrid}");
    let mut out =
        vec![format!("ip protocol 112 {advert} {nowhere}"), format!("ip6 nexthdr 112 {advert} {nowhere}")];
    let mut into = vec![format!("ip protocol 112 {advert} drop"), format!("ip6 nexthdr 112 {advert} drop")];
    for address in addresses {
        if address.is_ipv4() {
            out.extend([
                format!("ip saddr {address} {nowhere}"),
                format!("arp saddr ip {address} {nowhere}"),
            ]);
            into.extend([format!("ip daddr {address} drop"), format!("arp daddr ip {address} drop")]);
        } else {
            out.push(format!("ip6 saddr {address} {nowhere}"));
            out.push(format!("icmpv6 type nd-neighbor-advert icmpv6 taddr {address} {nowhere}"));
            into.push(format!("ip6 daddr {address} drop"));
            into.push(format!("icmpv6 type nd-neighbor-solicit icmpv6 taddr {address} drop"));
        }
    }
    let chain = |name: &str, hook: &str, priority: i32, direction: &str, rules: &[String]| {
        let rules: Vec<_> = rules.iter().map(|rule| format!("    {direction} @cut {rule}\n")).collect();
        let rules = rules.concat();
        format!(
            "  chain {name} {{\n    type filter hook {hook} device \"{interface}\" priority {priority};\n{rules}  }}\n"
        )
    };
    format!(
        "add table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n  set cut {{ type iface_index; flags timeout; \
         elements = {{ \"{interface}\" timeout {millis}ms }} }}\n{}{}}}\n",
        chain("out", "egress", 600, "oif", &out),
        chain("in", "ingress", -600, "iif", &into),
    )
}

fn nft(script: &str) -> Result<(), String> {
    let piped = || Stdio::piped();
    let child =
        Command::new("nft").args(["-f", "-"]).stdin(piped()).stdout(Stdio::null()).stderr(piped()).spawn();
    let mut child = child.map_err(|error| format!("a cut needs the program nft: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(script.as_bytes()).map_err(|error| format!("nft does not listen: {error}"))?;
    }
    let output = child.wait_with_output().map_err(|error| format!("nft: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("nft refuses: {}", said.lines().next().unwrap_or("without a word")))
}
