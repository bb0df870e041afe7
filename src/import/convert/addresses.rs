//! `virtual_ipaddress` and its like: addresses with everything that may stand beside them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::import::blocks::Statement;
use crate::import::report::Report;
use crate::import::yaml::{Map, Value};
use crate::net::{Family, IpNet};

/// An address as one instance has it.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) net: IpNet,
    /// What stands beside it.
    pub(super) options: Map,
}

/// The name of the table's section.
const BLOCK: &str = "virtual_ipaddress";

impl Address {
    /// As it stands in the list.
    pub(super) fn value(self) -> Value {
        let net = self.net;
        // The prefix is left away where it says nothing.
        let bare = net.prefix() == Family::of(net.address()).bits() || self.options.has("peer");
        let text = if bare { net.address().to_string() } else { net.to_string() };
        if self.options.is_empty() {
            return text.into();
        }
        let mut map = Map::default();
        map.set("address", text);
        map.extend(self.options);
        Value::Inline(map)
    }

    /// Reads a line; none, and noted, if it has no address. `home` is the interface that need not be named.
    pub(super) fn read(line: &Statement, home: Option<&str>, report: &mut Report) -> Option<Self> {
        let text = line.keyword();
        let Some(net) = address(text) else {
            report.ignored(line, format!("'{text}' is no address; keepalived ignores the line"));
            return None;
        };
        if text.split_once('/').is_some_and(|(_, prefix)| prefix != net.prefix().to_string()) {
            report.ignored(line, format!("no such prefix; keepalived uses {}", net.prefix()));
        }
        let mut options = Map::default();
        let mut words = line.words.iter().skip(1).map(String::as_str);
        let label = line.words.iter().skip_while(|word| *word != "label").nth(1);
        if let Some(label) = label.filter(|label| label.len() > LONGEST_LABEL) {
            let why = format!("label '{label}' is longer than 15 bytes; keepalived ignores the address");
            report.ignored(line, why);
            return None;
        }
        while let Some(word) = words.next() {
            let takes = takes_value(word);
            let value = if takes { words.next() } else { None };
            if takes && value.is_none() {
                report.ignored(line, format!("nothing follows '{word}'; keepalived ignores it"));
                continue;
            }
            let value = value.unwrap_or_default();
            if word == "dev" && home == Some(value) {
                continue;
            }
            if report.judge_word(BLOCK, word, line) {
                option(&mut options, word, value, net, line, report);
            }
        }
        Some(Self { net, options })
    }
}

fn takes_value(word: &str) -> bool {
    matches!(word, "dev" | "label" | "scope" | "brd" | "broadcast" | "peer" | "preferred_lft" | "track_group")
}

fn option(options: &mut Map, word: &str, value: &str, net: IpNet, line: &Statement, report: &mut Report) {
    let ipv4 = Family::of(net.address()) == Family::Ipv4;
    if !ipv4 && matches!(word, "label" | "scope" | "brd" | "broadcast") || ipv4 && word == "preferred_lft" {
        return report.ignored(line, format!("{word}: the kernel has no such thing for this family"));
    }
    match word {
        "dev" => options.set("interface", value),
        "label" => options.set("label", value),
        "scope" => match scope(value) {
            Some(scope) => options.set("scope", scope),
            None => report.ignored(line, format!("'{value}' is no scope; keepalived ignores it")),
        },
        "brd" | "broadcast" => options.set(
            "broadcast",
            match value {
                "+" => "auto",
                "-" => "none",
                address => address,
            },
        ),
        "peer" => options.set("peer", peer(value, net)),
        "noprefixroute" => options.set("prefix_route", "false"),
        "no_track" => options.set("restore", "false"),
        // vipd's default is deprecated.
        "preferred_lft" if value != "0" => options.set("deprecated", "false"),
        _ => {}
    }
}

/// How long a label may be.
const LONGEST_LABEL: usize = 15;

/// The other end, with the prefix that stands beside either of the two.
fn peer(value: &str, net: IpNet) -> String {
    if value.contains('/') { value.to_owned() } else { format!("{value}/{}", net.prefix()) }
}

fn scope(value: &str) -> Option<String> {
    match value {
        "global" | "site" | "link" | "host" => Some(value.to_owned()),
        "nowhere" => Some("255".to_owned()),
        number => number.parse::<u8>().ok().map(|number| number.to_string()),
    }
}

/// An address with its prefix, which is /32 or /128 if there is none that it can have.
pub(super) fn address(text: &str) -> Option<IpNet> {
    match text.split_once('/') {
        None => text.parse().ok().map(IpNet::host),
        Some((address, prefix)) => {
            let address: IpAddr = address.parse().ok()?;
            let net = prefix.parse().ok().and_then(|prefix| IpNet::new(address, prefix));
            Some(net.unwrap_or(IpNet::host(address)))
        }
    }
}

/// The addresses that the output has so far, and the instance that has each.
pub(super) type Taken = BTreeMap<(IpAddr, String), String>;

/// Whether `address` is still to be had; if not that is noted. `link` is its interface, where that matters.
pub(super) fn is_free(
    line: &Statement,
    net: IpNet,
    link: &str,
    owner: &str,
    taken: &mut Taken,
    report: &mut Report,
) -> bool {
    let local = matches!(net.address(), IpAddr::V6(address) if address.is_unicast_link_local());
    let key = (net.address(), if local { link.to_owned() } else { String::new() });
    match taken.get(&key) {
        None => {
            taken.insert(key, owner.to_owned());
            true
        }
        Some(other) if other == owner => {
            report.ignored(line, "it is there already; keepalived ignores the second one");
            false
        }
        Some(other) => {
            report.left_out(
                line,
                format!("instance '{other}' has it already; an address moves with one instance"),
            );
            false
        }
    }
}
