//! The way to the other node: the system's `ssh`, which knows keys, names and jump hosts, and is never let ask for anything.

use std::str::FromStr;

use super::command::ask;
use crate::time::Duration;

/// How long ssh may take to be let in, seconds.
const CONNECT: u32 = 5;

/// How long the other node may take in all.
const PATIENCE: Duration = Duration::from_secs(20);

/// `ssh://[USER@]HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    /// `[USER@]HOST`, as ssh takes it.
    target: String,
    port: Option<u16>,
    pub(super) host: String,
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no place to ask; write ssh://[USER@]HOST[:PORT]");
        let rest = text.strip_prefix("ssh://").ok_or_else(wrong)?.trim_end_matches('/');
        let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
        let bracketed = place.strip_prefix('[').and_then(|inside| inside.split_once(']'));
        let (host, port) = match bracketed {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(wrong)?)),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(|port| port.parse::<u16>().map_err(|_| wrong())).transpose()?;
        let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%'));
        // ssh takes what begins with '-' for an option.
        let bad = |name: &str| name.is_empty() || name.starts_with('-') || name.contains(odd);
        if bad(host) || user.is_some_and(bad) || port == Some(0) {
            return Err(wrong());
        }
        let target = user.map_or_else(|| host.to_owned(), |user| format!("{user}@{host}"));
        Ok(Self { target, port, host: host.to_owned() })
    }
}

impl Destination {
    /// The command that asks.
    pub(super) fn command(&self) -> Vec<String> {
        let connect = format!("ConnectTimeout={CONNECT}");
        let mut argv: Vec<String> =
            ["ssh", "-o", "BatchMode=yes", "-o", &connect].iter().map(|&word| word.to_owned()).collect();
        if let Some(port) = self.port {
            argv.extend(["-p".to_owned(), port.to_string()]);
        }
        argv.extend([self.target.clone(), "vipctl doctor --no-probe --json".to_owned()]);
        argv
    }

    /// What the other node's `vipctl doctor` prints.
    pub(super) fn doctor(&self) -> Result<String, String> {
        let argv = self.command();
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        let said = ask(&words, PATIENCE).map_err(|(_, what)| what)?;
        if said.out.trim_start().starts_with('{') {
            return Ok(said.out);
        }
        let line = said.err.lines().rfind(|line| !line.trim().is_empty());
        let code = said.code.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
        Err(line.map_or_else(|| format!("ssh ended with {code} and said nothing"), str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> String {
        text.parse::<Destination>().unwrap().command().join(" ")
    }

    #[test]
    fn a_host_is_asked_without_ever_being_asked_for_anything() {
        let options = "ssh -o BatchMode=yes -o ConnectTimeout=5";
        let what = "vipctl doctor --no-probe --json";
        assert_eq!(command("ssh://lb2"), format!("{options} lb2 {what}"));
        assert_eq!(
            command("ssh://admin@lb2.example:2222/"),
            format!("{options} -p 2222 admin@lb2.example {what}")
        );
        assert_eq!(command("ssh://[2001:db8::2]:22"), format!("{options} -p 22 2001:db8::2 {what}"));
    }

    #[test]
    fn what_is_no_host_is_refused_and_above_all_options() {
        for text in [
            "",
            "lb2",
            "ssh://",
            "ssh://-oProxyCommand=x",
            "ssh://a@-x",
            "ssh://a b",
            "ssh://lb2:x",
            "ssh://lb2:0",
            "ssh://@lb2",
            "http://lb2",
            "ssh://[::1",
            "ssh://[::1]x",
            "ssh://lb2;reboot",
        ] {
            let said = text.parse::<Destination>().unwrap_err();
            assert_eq!(said, format!("'{text}' is no place to ask; write ssh://[USER@]HOST[:PORT]"));
        }
    }
}
