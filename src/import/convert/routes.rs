//! `virtual_routes` and `static_routes`: what `ip route` would understand, a route a line.

use std::net::IpAddr;

use super::values::network;
use crate::import::blocks::Statement;
use crate::import::report::Report;
use crate::import::table::TABLE;
use crate::import::yaml::{Map, Value};
use crate::net::Family;

/// The name of the table's section.
const BLOCK: &str = "virtual_routes";

/// The share of a next hop, among several.
const WEIGHT: &str = "weight";

/// How the value of a word is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Same,
    Milliseconds,
    Truth,
}

/// Words with a value, and their keys.
const VALUED: [(&str, &str, Form); 25] = [
    ("src", "source", Form::Same),
    ("table", "table", Form::Same),
    ("metric", "metric", Form::Same),
    ("priority", "metric", Form::Same),
    ("preference", "metric", Form::Same),
    ("scope", "scope", Form::Same),
    ("tos", "tos", Form::Same),
    ("dsfield", "tos", Form::Same),
    ("pref", "preference", Form::Same),
    ("advmss", "advertised_mss", Form::Same),
    ("window", "window", Form::Same),
    ("cwnd", "cwnd", Form::Same),
    ("ssthresh", "ssthresh", Form::Same),
    ("reordering", "reordering", Form::Same),
    ("hoplimit", "hop_limit", Form::Same),
    ("initcwnd", "initial_cwnd", Form::Same),
    ("initrwnd", "initial_rwnd", Form::Same),
    ("congctl", "congestion_control", Form::Same),
    ("rtt", "rtt", Form::Milliseconds),
    ("rttvar", "rtt_variance", Form::Milliseconds),
    ("rto_min", "minimum_rto", Form::Milliseconds),
    ("quickack", "quick_ack", Form::Truth),
    ("fastopen_no_cookie", "fast_open_no_cookie", Form::Truth),
    // What vipd has not takes its value along.
    ("protocol", "", Form::Same),
    ("track_group", "", Form::Same),
];

/// A route on its way.
#[derive(Default)]
struct Route {
    map: Map,
    /// Where it goes; the first stands by itself if it is the only one.
    hops: Vec<Map>,
    /// There may be several: they are introduced as such.
    several: bool,
    to: Option<String>,
    /// Its type, if it says one.
    kind: Option<String>,
}

/// Whether vipd has no routes about which this is said: without it, one would be about more than it was meant for.
fn is_of_another_kind(word: &str) -> bool {
    matches!(word, "realms" | "vrf" | "as" | "encap" | "features" | "expires" | "ttl-propagate" | "nat")
}

/// Why such a route is left out, and what to do.
fn without(word: &str) -> String {
    TABLE.row(BLOCK, word).map_or_else(String::new, |row| row.why.clone())
}

/// Reads a line; none, and noted, if it is no route or one that vipd cannot have.
pub(super) fn read(line: &Statement, report: &mut Report) -> Option<Value> {
    let mut route = Route::default();
    let mut words = line.words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let bare = word.parse::<IpAddr>().is_ok() || word.contains('/') || matches!(word, "default" | "any");
        let known = match word {
            _ if bare => "to",
            "inet" | "inet6" => continue,
            "features" if words.clone().next() == Some("ecn") => {
                words.next();
                route.map.set("ecn", "true");
                continue;
            }
            _ if is_of_another_kind(word) => {
                report.left_out(line, format!("{word}: {}", without(word)));
                return None;
            }
            WEIGHT if !route.several => {
                report.ignored(line, "'weight' is for a nexthop; keepalived ignores the route");
                return None;
            }
            other => other,
        };
        if !report.judge_word(BLOCK, known, line) {
            // keepalived ignores all of a route of which it does not understand a word.
            TABLE.row(BLOCK, known)?;
            if VALUED.iter().any(|(valued, ..)| *valued == word) {
                words.next();
            }
            continue;
        }
        route.word(word, bare, &mut words, line, report);
    }
    route.finish(line, report)
}

impl Route {
    fn word<'w>(
        &mut self,
        word: &str,
        bare: bool,
        words: &mut impl Iterator<Item = &'w str>,
        line: &Statement,
        report: &mut Report,
    ) {
        if bare {
            self.to = Some(word.to_owned());
            return;
        }
        if let Some((_, key, form)) = VALUED.iter().find(|(valued, ..)| *valued == word) {
            let value = words.next().unwrap_or_default();
            let value = match form {
                Form::Same => value.to_owned(),
                Form::Milliseconds => format!("{}ms", value.trim_end_matches("ms")),
                Form::Truth => (value != "0").to_string(),
            };
            return self.map.set(key, value);
        }
        match word {
            "to" => self.to = words.next().map(str::to_owned),
            "type" => self.set_kind(words.next().unwrap_or_default()),
            "unicast" => {}
            "local" | "broadcast" | "multicast" | "throw" | "unreachable" | "prohibit" | "blackhole" => {
                self.set_kind(word);
            }
            "mtu" => {
                let mut value = words.next().unwrap_or_default();
                if value == "lock" {
                    self.map.set("mtu_lock", "true");
                    value = words.next().unwrap_or_default();
                }
                self.map.set("mtu", value);
            }
            "no_track" => self.map.set("restore", "false"),
            "nexthop" => {
                self.several = true;
                self.hops.push(Map::default());
            }
            "or" => {
                let mut second = Map::default();
                second.set("via", words.next().unwrap_or_default());
                self.hops.push(second);
            }
            "via" | "gw" => {
                let mut value = words.next().unwrap_or_default();
                if matches!(value, "inet" | "inet6") {
                    value = words.next().unwrap_or_default();
                }
                self.hop().set("via", value);
            }
            "dev" | "oif" => self.hop().set("interface", words.next().unwrap_or_default()),
            WEIGHT => self.hop().set(WEIGHT, words.next().unwrap_or_default()),
            "onlink" => self.hop().set("onlink", "true"),
            _ => report.ignored(line, format!("'{word}' is not known here; keepalived ignores the route")),
        }
    }

    fn set_kind(&mut self, kind: &str) {
        self.kind = Some(kind.to_owned());
        self.map.set("type", kind);
    }

    /// The next hop that is being read.
    fn hop(&mut self) -> &mut Map {
        if self.hops.is_empty() {
            self.hops.push(Map::default());
        }
        let last = self.hops.len() - 1;
        &mut self.hops[last]
    }

    fn finish(mut self, line: &Statement, report: &mut Report) -> Option<Value> {
        let Some(to) = self.to.as_deref().and_then(network) else {
            report.ignored(line, "it does not say where to; keepalived ignores it");
            return None;
        };
        self.hops.retain(|hop| !hop.is_empty());
        let leads_nowhere = |kind: &str| matches!(kind, "blackhole" | "unreachable" | "prohibit" | "throw");
        if self.hops.is_empty() && !self.kind.as_deref().is_some_and(leads_nowhere) {
            let why = "it names neither a gateway nor an interface; the kernel refuses it, and keepalived goes on without";
            report.ignored(line, why);
            return None;
        }
        if let [only] = self.hops.as_mut_slice() {
            // Against what?
            only.remove(WEIGHT);
        }
        let mut map = Map::default();
        map.set("to", to);
        match self.hops.len() {
            0 => {}
            1 => map.extend(self.hops.remove(0)),
            _ => map.set("nexthops", Value::List(self.hops.into_iter().map(Value::Inline).collect())),
        }
        map.extend(self.map);
        report.converted(line, "routes");
        Some(Value::Inline(map))
    }
}

/// The family of what a rule or a route is about.
pub(super) fn is_ipv6(text: &str) -> bool {
    text.split('/')
        .next()
        .and_then(|address| address.parse().ok())
        .is_some_and(|a| Family::of(a) == Family::Ipv6)
}

#[cfg(test)]
mod tests {
    use crate::import::{Fate, convert};

    /// The routes that come out of these lines, and what is said of those that do not.
    fn routes(lines: &str) -> (Vec<String>, Vec<String>) {
        let text = format!(
            "vrrp_instance a {{\n interface eth0\n virtual_router_id 1\n virtual_ipaddress {{ 192.0.2.10 }}\n \
            virtual_routes {{\n{lines}\n }}\n}}\n"
        );
        let import = convert("f", &text, "main");
        let routes = import.yaml.lines().filter(|line| line.contains("{ to: "));
        let routes = routes.map(|line| line.trim().to_owned()).collect();
        let within = |line: usize| (6..6 + lines.lines().count()).contains(&line);
        let others = import.entries.iter().filter(|entry| within(entry.place.line));
        let others =
            others.map(|entry| format!("{} {}: {}", entry.place.line, entry.fate.word(), entry.text));
        (routes, others.collect())
    }

    #[test]
    fn a_route_without_a_gateway_and_an_interface_is_ignored_as_the_kernel_refuses_it() {
        let (routes, said) =
            routes("10.1.0.0/16\n10.2.0.0/16 src 192.0.2.10\nlocal 10.3.0.0/16\nblackhole 10.4.0.0/16");
        assert_eq!(routes, ["routes: [{ to: 10.4.0.0/16, type: blackhole }]"]);
        let why = "ignored: it names neither a gateway nor an interface; the kernel refuses it, and keepalived goes on without";
        assert_eq!(
            said,
            [format!("6 {why}"), format!("7 {why}"), format!("8 {why}"), "9 converted: routes".to_owned()]
        );
    }

    #[test]
    fn a_route_of_a_kind_that_there_is_not_is_left_out_and_nothing_else_is_said_of_it() {
        let (routes, said) = routes("10.1.0.0/16 via 192.0.2.1 realms 5\n10.2.0.0/16 via 192.0.2.1 vrf red");
        assert_eq!(routes, [""; 0]);
        let rare = "rare; add such a route by a script in notify";
        assert_eq!(said, [format!("6 left out: realms: {rare}"), format!("7 left out: vrf: {rare}")]);
    }

    #[test]
    fn only_one_of_several_next_hops_has_a_weight() {
        let text = "vrrp_instance a {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress { 192.0.2.10 }\n \
            virtual_routes {\n 10.1.0.0/16 via 192.0.2.1 weight 2\n 10.2.0.0/16 nexthop via 192.0.2.1 weight 2\n \
            10.3.0.0/16 nexthop via 192.0.2.1 weight 2 nexthop via 192.0.2.2\n }\n}\n";
        let import = convert("f", text, "main");
        let routes: Vec<&str> =
            import.yaml.lines().filter(|line| line.contains("to: 10.")).map(str::trim).collect();
        assert_eq!(
            routes,
            [
                "- { to: 10.2.0.0/16, via: 192.0.2.1 }",
                "- { to: 10.3.0.0/16, nexthops: [{ via: 192.0.2.1, weight: 2 }, { via: 192.0.2.2 }] }",
            ]
        );
        let ignored = import.entries.iter().find(|entry| entry.fate == Fate::Ignored);
        assert_eq!(ignored.map(|entry| entry.place.line), Some(6));
    }
}
