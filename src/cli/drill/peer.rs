//! The other node, or any host beside it, through `ssh`: what its agent says, and what an address looks like from there.

use std::io;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::agent::report::{Instance, Report};
use crate::cli::probe::{ANSWERS, Seen};
use crate::time::Duration;

/// How long the other host may take for an answer; the connection alone has five seconds.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the last word of a probe may take.
const LAST_WORD: Duration = Duration::from_secs(5);
/// How much is read of an answer.
const LARGEST: u64 = 16 << 20;

/// A host that `ssh` reaches without a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Peer {
    /// `HOST` or `USER@HOST`.
    host: String,
    port: Option<u16>,
}

/// Reads `ssh://[USER@]HOST[:PORT]`.
pub(super) fn parse(text: &str) -> Result<Peer, String> {
    let wrong = || "write ssh://HOST, ssh://USER@HOST or ssh://HOST:PORT".to_owned();
    let rest = text.strip_prefix("ssh://").ok_or_else(wrong)?.trim_end_matches('/');
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().map_err(|_| wrong())?)),
        _ => (rest, None),
    };
    let host = host.replace(['[', ']'], "");
    // Whatever ssh would take for an option, or the other host's shell for more than a name.
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_@:%".contains(c);
    let good = !host.is_empty() && !host.starts_with(['-', '@']) && host.chars().all(plain);
    if good { Ok(Peer { host, port }) } else { Err(wrong()) }
}

impl Peer {
    /// What it is called: `lb2`.
    pub(super) fn name(&self) -> &str {
        self.host.rsplit('@').next().unwrap_or(&self.host)
    }

    fn ssh(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        command.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]);
        if let Some(port) = self.port {
            command.args(["-p", &port.to_string()]);
        }
        command.arg(&self.host).arg("vipctl").args(arguments).kill_on_drop(true);
        command
    }

    /// How things stand there.
    pub(super) async fn report(&self) -> Result<Report, String> {
        let mut command = self.ssh(&["status", "--json"]);
        let output = timeout(PATIENCE, command.stdin(Stdio::null()).output());
        let output = output.await.map_err(|_| format!("{} does not answer", self.name()))?;
        let output = output.map_err(|error| format!("ssh cannot be run: {error}"))?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr);
            let why = said.lines().next().unwrap_or("no agent answers there");
            format!("{} cannot be asked: {why}", self.name())
        })
    }

    /// Begins to probe an address from there, and waits until it answers.
    pub(super) async fn probe(&self, address: &str, every: &str, tcp: Option<u16>) -> Result<Probe, String> {
        let mut arguments = vec!["probe", address, "--leash", "--json", "--for", "10m", "--every", every];
        let port = tcp.map(|port| port.to_string());
        if let Some(port) = &port {
            arguments.extend(["--tcp", port]);
        }
        let mut command = self.ssh(&arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("ssh cannot be run: {error}"))?;
        let (leash, Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("ssh cannot be run".to_owned());
        };
        let mut lines = BufReader::new(stdout).lines();
        match timeout(PATIENCE, lines.next_line()).await {
            Ok(Ok(Some(line))) if line == ANSWERS => {
                Ok(Probe { from: self.name().to_owned(), child, leash, lines })
            }
            Ok(_) => Err(format!("{} cannot probe {address}: {}", self.name(), complaint(&mut child).await)),
            Err(_) => Err(format!("{address} does not answer from {}", self.name())),
        }
    }
}

async fn complaint(child: &mut Child) -> String {
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        // Half a sentence is better than none.
        if timeout(LAST_WORD, stderr.take(LARGEST).read_to_string(&mut said)).await.is_err() {}
    }
    said.lines().next().unwrap_or("it ended at once").to_owned()
}

/// A probe that goes on.
pub(super) struct Probe {
    pub(super) from: String,
    child: Child,
    leash: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Probe {
    /// Ends it, and says what it saw.
    pub(super) async fn end(mut self) -> Result<Seen, String> {
        // It ends with its input.
        drop(self.leash.take());
        let line = timeout(LAST_WORD, self.lines.next_line()).await;
        let ended = timeout(LAST_WORD, self.child.wait()).await;
        match (line, ended) {
            (Ok(Ok(Some(line))), _) => {
                serde_json::from_str(&line).map_err(|_| format!("{} does not say what it saw", self.from))
            }
            (Ok(Err(error)), _) => Err(broken(&self.from, &error)),
            (Ok(Ok(None)) | Err(_), _) => Err(format!("the connection to {} broke", self.from)),
        }
    }
}

fn broken(from: &str, error: &io::Error) -> String {
    format!("the connection to {from} broke: {error}")
}

/// The instance of another node that stands in for ours: the labels are each node's own, the number is not.
pub(super) fn counterpart<'r>(report: &'r Report, ours: &Instance) -> Option<&'r Instance> {
    let same = |one: &&Instance| {
        let family = |one: &Instance| one.routers.first().map(|router| router.family.clone());
        one.virtual_router_id == ours.virtual_router_id && family(one) == family(ours)
    };
    let shares = |one: &&Instance| {
        one.addresses.iter().any(|address| ours.addresses.iter().any(|our| our.address == address.address))
    };
    let all = || report.instances.iter().filter(same);
    all().find(shares).or_else(|| all().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_and_nothing_that_ssh_or_a_shell_would_take_for_more() {
        let read = |text: &str| parse(text).map(|peer| (peer.host, peer.port));
        assert_eq!(read("ssh://lb2"), Ok(("lb2".to_owned(), None)));
        assert_eq!(read("ssh://root@lb2:2222/"), Ok(("root@lb2".to_owned(), Some(2222))));
        assert_eq!(read("ssh://[2001:db8::2]:22"), Ok(("2001:db8::2".to_owned(), Some(22))));
        assert_eq!(read("ssh://[2001:db8::2]"), Ok(("2001:db8::2".to_owned(), None)));
        for wrong in ["lb2", "ssh://", "ssh://-oProxyCommand=x", "ssh://a b", "ssh://a;b", "ssh://lb2:x"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse("ssh://root@lb2").map(|peer| peer.name().to_owned()), Ok("lb2".to_owned()));
    }
}
