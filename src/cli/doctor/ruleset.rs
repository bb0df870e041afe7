//! What a ruleset of nftables does to one packet, worked out on paper: chains, jumps and policies, with three answers to
//! every condition, for some cannot be known beforehand.

use std::net::IpAddr;

use serde_json::Value;

use crate::net::{Family, IpNet};

/// An advert on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'p> {
    /// Whether it arrives, or leaves.
    pub(super) arrives: bool,
    pub(super) interface: &'p str,
    pub(super) family: Family,
    pub(super) source: Option<IpAddr>,
    pub(super) destination: Option<IpAddr>,
}

/// Where a packet ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) family: String,
    pub(super) table: String,
    pub(super) chain: String,
    /// The rule; none: the chain's policy.
    pub(super) handle: Option<u64>,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Passes,
    Dropped(Place),
    /// It depends on what cannot be known; this is what may drop it.
    Unsure(Place),
}

/// The agent's own table, which drops no adverts.
const OWN: &str = "vipd";

/// How deep chains may call each other (`NFT_JUMP_STACK_SIZE`).
const DEEPEST: usize = 16;

/// What becomes of the packet in a ruleset as `nft -j list ruleset` prints it.
pub(super) fn judge(ruleset: &Value, packet: &Packet<'_>) -> Fate {
    let objects = ruleset["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut doubt = None;
    for chain in objects.iter().filter_map(|object| object.get("chain")) {
        if chain["table"] == OWN || !is_passed(chain, packet) {
            continue;
        }
        let walk = Walk { objects, packet };
        match walk.base(chain) {
            Fate::Passes => {}
            Fate::Unsure(place) => doubt = doubt.or(Some(place)),
            dropped @ Fate::Dropped(_) => return dropped,
        }
    }
    doubt.map_or(Fate::Passes, Fate::Unsure)
}

/// Whether the packet comes through this base chain.
fn is_passed(chain: &Value, packet: &Packet<'_>) -> bool {
    let text = |key: &str| chain[key].as_str().unwrap_or_default();
    let of_family = match (text("family"), packet.family) {
        ("inet", _) | ("ip", Family::Ipv4) | ("ip6", Family::Ipv6) => true,
        ("netdev", _) => text("dev") == packet.interface,
        _ => false,
    };
    let hooks: &[&str] = if packet.arrives {
        &["ingress", "prerouting", "input"]
    } else {
        &["output", "postrouting", "egress"]
    };
    of_family && text("type") != "nat" && hooks.contains(&text("hook"))
}

/// What the rules of a chain come to.
enum Step {
    Accepted,
    Dropped(Place),
    /// To the end of the chain, or back by `return`.
    Through,
}

/// What a map says of the packet.
enum Mapped<'v> {
    Verdict(&'v Value),
    Nothing,
    Unknown,
}

struct Walk<'r> {
    objects: &'r [Value],
    packet: &'r Packet<'r>,
}

/// What is not known while a chain is walked: a rule that may drop, and whether one may have accepted before.
#[derive(Default)]
struct Doubt {
    drops: Option<Place>,
    accepts: bool,
}

impl Walk<'_> {
    fn base(&self, chain: &Value) -> Fate {
        let mut doubt = Doubt::default();
        let step = self.chain(chain, 0, &mut doubt);
        let by_policy = || Place { handle: None, ..place(chain) };
        let dropped = match step {
            Step::Dropped(place) => Some(place),
            Step::Through if chain["policy"] == "drop" => Some(by_policy()),
            Step::Through | Step::Accepted => None,
        };
        match (dropped, doubt) {
            (Some(place), Doubt { accepts: false, .. }) => Fate::Dropped(place),
            (Some(place), _) | (None, Doubt { drops: Some(place), .. }) => Fate::Unsure(place),
            (None, _) => Fate::Passes,
        }
    }

    fn chain(&self, chain: &Value, depth: usize, doubt: &mut Doubt) -> Step {
        let mine = |rule: &&Value| ["family", "table"].iter().all(|key| rule[key] == chain[key]);
        let rules = self.objects.iter().filter_map(|object| object.get("rule")).filter(mine);
        for rule in rules.filter(|rule| rule["chain"] == chain["name"]) {
            match self.rule(rule, depth, doubt) {
                Some(Step::Through) => return Step::Through,
                Some(step) => return step,
                None => {}
            }
        }
        Step::Through
    }

    /// Nothing: the next rule is looked at.
    fn rule(&self, rule: &Value, depth: usize, doubt: &mut Doubt) -> Option<Step> {
        let mut sure = true;
        for statement in rule["expr"].as_array()? {
            let (name, body) = statement.as_object()?.iter().next()?;
            match name.as_str() {
                "match" => match self.is_true(rule, body) {
                    Some(true) => {}
                    Some(false) => return None,
                    None => sure = false,
                },
                "vmap" => match self.mapped(rule, body) {
                    Mapped::Verdict(verdict) => {
                        let (name, body) = verdict.as_object()?.iter().next()?;
                        return self.verdict(rule, (name, body), sure, depth, doubt);
                    }
                    Mapped::Nothing => {}
                    Mapped::Unknown => {
                        doubt.accepts = true;
                        doubt.drops.get_or_insert_with(|| place(rule));
                    }
                },
                "accept" | "drop" | "reject" | "jump" | "goto" | "return" | "queue" => {
                    return self.verdict(rule, (name, body), sure, depth, doubt);
                }
                "limit" | "xt" | "connlimit" | "quota" => sure = false,
                _ => {}
            }
        }
        None
    }

    fn verdict(
        &self,
        rule: &Value,
        (name, body): (&str, &Value),
        sure: bool,
        depth: usize,
        doubt: &mut Doubt,
    ) -> Option<Step> {
        match name {
            "accept" if sure => Some(Step::Accepted),
            "drop" | "reject" if sure => Some(Step::Dropped(place(rule))),
            "accept" | "return" | "queue" if !sure => {
                doubt.accepts = true;
                None
            }
            "drop" | "reject" => {
                doubt.drops.get_or_insert_with(|| place(rule));
                None
            }
            "return" => Some(Step::Through),
            "jump" | "goto" if depth < DEEPEST => {
                let target = self.objects.iter().filter_map(|object| object.get("chain")).find(|chain| {
                    chain["name"] == body["target"]
                        && ["family", "table"].iter().all(|key| chain[key] == rule[key])
                })?;
                match (self.chain(target, depth + 1, doubt), sure) {
                    (Step::Through, true) if name == "goto" => Some(Step::Through),
                    (Step::Through, _) => None,
                    (step, true) => Some(step),
                    (Step::Accepted, false) => {
                        doubt.accepts = true;
                        None
                    }
                    (Step::Dropped(place), false) => {
                        doubt.drops.get_or_insert(place);
                        None
                    }
                }
            }
            _ => None,
        }
    }

    /// The verdict that a map has for the packet, if any.
    fn mapped<'v>(&'v self, rule: &Value, body: &'v Value) -> Mapped<'v> {
        let verdict = |known: &Known| {
            for element in self.elements(rule, &body["data"])? {
                let pair = element.as_array()?;
                if self.is_among(rule, known, pair.first()?)? {
                    return Some(pair.get(1).map_or(Mapped::Nothing, Mapped::Verdict));
                }
            }
            Some(Mapped::Nothing)
        };
        self.known(&body["key"]).and_then(|known| verdict(&known)).unwrap_or(Mapped::Unknown)
    }

    /// What is in a set that stands here, or is named.
    fn elements<'v>(&'v self, rule: &Value, set: &'v Value) -> Option<&'v Vec<Value>> {
        if let Some(name) = set.as_str().and_then(|name| name.strip_prefix('@')) {
            let is_it = |one: &&Value| {
                one["name"] == name && ["family", "table"].iter().all(|key| one[key] == rule[key])
            };
            let sets =
                self.objects.iter().filter_map(|object| object.get("set").or_else(|| object.get("map")));
            return sets.into_iter().find(is_it)?["elem"].as_array();
        }
        set["set"].as_array().or_else(|| set.as_array())
    }

    fn is_true(&self, rule: &Value, body: &Value) -> Option<bool> {
        let known = self.known(&body["left"])?;
        let equal = self.is_among(rule, &known, &body["right"])?;
        match body["op"].as_str()? {
            "==" | "in" => Some(equal),
            "!=" => Some(!equal),
            _ => None,
        }
    }

    fn is_among(&self, rule: &Value, known: &Known, right: &Value) -> Option<bool> {
        let is_set = right.is_array() || right.get("set").is_some();
        if is_set || right.as_str().is_some_and(|text| text.starts_with('@')) {
            let mut unsure = false;
            for element in self.elements(rule, right)? {
                let element = element.get("elem").and_then(|elem| elem.get("val")).unwrap_or(element);
                match known.is(element) {
                    Some(true) => return Some(true),
                    Some(false) => {}
                    None => unsure = true,
                }
            }
            return (!unsure).then_some(false);
        }
        known.is(right)
    }

    /// What the packet has where a condition looks.
    fn known(&self, left: &Value) -> Option<Known> {
        let Packet { arrives, interface, family, source, destination } = *self.packet;
        let words = |words: &[&str]| Some(Known::Words(words.iter().map(|&word| word.to_owned()).collect()));
        if let Some(key) = left["meta"]["key"].as_str() {
            return match key {
                "iifname" | "iif" if arrives => words(&[interface]),
                "oifname" | "oif" if !arrives => words(&[interface]),
                "iifname" | "iif" | "oifname" | "oif" => words(&[""]),
                "l4proto" => words(&["112", "vrrp"]),
                "nfproto" => words(&[family.as_str()]),
                "protocol" => words(if family == Family::Ipv4 { &["ip"] } else { &["ip6"] }),
                _ => None,
            };
        }
        // A tracked connection of a protocol without ports goes one way, and stays new.
        if left["ct"]["key"] == "state" {
            return words(&["new"]);
        }
        let payload = left.get("payload")?;
        match (payload["protocol"].as_str()?, payload["field"].as_str()?) {
            ("ip", _) if family == Family::Ipv6 => Some(Known::Never),
            ("ip6", _) if family == Family::Ipv4 => Some(Known::Never),
            ("ip", "protocol") | ("ip6", "nexthdr") => words(&["112", "vrrp"]),
            ("ip" | "ip6", "saddr") => source.map(Known::Address),
            ("ip" | "ip6", "daddr") => destination.map(Known::Address),
            ("ip", "ttl") | ("ip6", "hoplimit") => words(&["255"]),
            ("tcp" | "udp" | "icmp" | "icmpv6" | "th" | "sctp" | "dccp" | "udplite" | "igmp" | "arp", _) => {
                Some(Known::Never)
            }
            _ => None,
        }
    }
}

enum Known {
    /// One thing that has several names.
    Words(Vec<String>),
    Address(IpAddr),
    /// The packet has no such thing, so no condition on it holds.
    Never,
}

impl Known {
    fn is(&self, value: &Value) -> Option<bool> {
        match self {
            Self::Never => Some(false),
            Self::Words(words) => {
                if let Some(bounds) = value["range"].as_array() {
                    let number = |text: &Value| text.as_u64();
                    let own: u64 = words.first()?.parse().ok()?;
                    return Some((number(bounds.first()?)?..=number(bounds.get(1)?)?).contains(&own));
                }
                let text =
                    value.as_str().map(str::to_owned).or_else(|| value.as_u64().map(|n| n.to_string()))?;
                if let Some(beginning) = text.strip_suffix('*') {
                    return Some(words.iter().any(|word| word.starts_with(beginning)));
                }
                Some(words.contains(&text))
            }
            Self::Address(address) => {
                if let Some(prefix) = value.get("prefix") {
                    let net = IpNet::new(
                        prefix["addr"].as_str()?.parse().ok()?,
                        u8::try_from(prefix["len"].as_u64()?).ok()?,
                    )?;
                    return Some(net.contains(*address));
                }
                if let Some(bounds) = value["range"].as_array() {
                    let bound = |at: usize| bounds.get(at)?.as_str()?.parse::<IpAddr>().ok();
                    return Some((bound(0)?..=bound(1)?).contains(address));
                }
                Some(value.as_str()?.parse::<IpAddr>().ok()? == *address)
            }
        }
    }
}

fn place(of: &Value) -> Place {
    let text = |key: &str| of[key].as_str().unwrap_or_default().to_owned();
    let chain = if of.get("chain").is_some() { text("chain") } else { text("name") };
    Place { family: text("family"), table: text("table"), chain, handle: of["handle"].as_u64() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn packet() -> Packet<'static> {
        Packet {
            arrives: true,
            interface: "eth0",
            family: Family::Ipv4,
            source: Some("192.0.2.2".parse().unwrap()),
            destination: Some("224.0.0.18".parse().unwrap()),
        }
    }

    /// A ruleset with one input chain of that policy and these rules.
    fn ruleset(policy: &str, rules: &[Value]) -> Value {
        let mut all = vec![
            json!({"chain": {"family": "inet", "table": "t", "name": "input", "handle": 1, "type": "filter",
                "hook": "input", "prio": 0, "policy": policy}}),
            json!({"chain": {"family": "inet", "table": "t", "name": "more", "handle": 2}}),
            json!({"set": {"family": "inet", "table": "t", "name": "peers", "elem": ["192.0.2.2"]}}),
        ];
        all.extend(rules.iter().cloned());
        json!({ "nftables": all })
    }

    fn rule(chain: &str, handle: u64, expr: &Value) -> Value {
        json!({"rule": {"family": "inet", "table": "t", "chain": chain, "handle": handle, "expr": expr}})
    }

    fn protocol(name: &str) -> Value {
        json!({"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": name}})
    }

    fn at(handle: Option<u64>) -> Place {
        Place { family: "inet".to_owned(), table: "t".to_owned(), chain: "input".to_owned(), handle }
    }

    #[test]
    fn a_rule_that_drops_protocol_112_is_found() {
        for name in [json!("vrrp"), json!(112), json!({"set": ["tcp", 112]}), json!({"range": [100, 120]})] {
            let drops = json!([{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": name}},
                {"counter": {}}, {"drop": null}]);
            let fate = judge(&ruleset("accept", &[rule("input", 7, &drops)]), &packet());
            assert_eq!(fate, Fate::Dropped(at(Some(7))), "{name}");
        }
        let other = json!([protocol("tcp"), {"drop": null}]);
        assert_eq!(judge(&ruleset("accept", &[rule("input", 7, &other)]), &packet()), Fate::Passes);
    }

    #[test]
    fn a_policy_drops_what_no_rule_lets_in() {
        let ports = json!([{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}},
            "right": 22}}, {"accept": null}]);
        let established = json!([{"match": {"op": "in", "left": {"ct": {"key": "state"}},
            "right": ["established", "related"]}}, {"accept": null}]);
        let rules = [rule("input", 4, &established), rule("input", 5, &ports)];
        assert_eq!(judge(&ruleset("drop", &rules), &packet()), Fate::Dropped(at(None)));
        let lets_in = rule("input", 6, &json!([protocol("vrrp"), {"accept": null}]));
        let rules = [rules[0].clone(), rules[1].clone(), lets_in];
        assert_eq!(judge(&ruleset("drop", &rules), &packet()), Fate::Passes);
    }

    #[test]
    fn chains_are_followed_and_sets_looked_up() {
        let jump = |target: &str| rule("input", 3, &json!([{"jump": {"target": target}}]));
        let saddr = |right: Value| {
            json!({"match": {"op": "==", "left": {"payload": {"protocol": "ip",
            "field": "saddr"}}, "right": right}})
        };
        for peers in [
            json!("@peers"),
            json!({"prefix": {"addr": "192.0.2.0", "len": 24}}),
            json!({"set": ["192.0.2.2"]}),
        ] {
            let accepts = rule("more", 8, &json!([saddr(peers), {"accept": null}]));
            assert_eq!(judge(&ruleset("drop", &[jump("more"), accepts]), &packet()), Fate::Passes);
        }
        let strangers = rule("more", 8, &json!([saddr(json!("10.0.0.1")), {"accept": null}]));
        assert_eq!(judge(&ruleset("drop", &[jump("more"), strangers]), &packet()), Fate::Dropped(at(None)));
    }

    #[test]
    fn a_verdict_map_is_looked_up() {
        let map = |state: &str| {
            json!([{"vmap": {"key": {"ct": {"key": "state"}},
            "data": {"set": [[state, {"drop": null}], ["established", {"accept": null}]]}}}])
        };
        let fate = |state| judge(&ruleset("accept", &[rule("input", 9, &map(state))]), &packet());
        assert_eq!(fate("invalid"), Fate::Passes);
        assert_eq!(fate("new"), Fate::Dropped(at(Some(9))));
    }

    #[test]
    fn what_cannot_be_known_is_no_certainty() {
        let fib = json!({"match": {"op": "==", "left": {"fib": {"result": "type", "flags": ["daddr"]}},
            "right": "local"}});
        let accepts = rule("input", 4, &json!([fib, {"accept": null}]));
        assert_eq!(judge(&ruleset("drop", &[accepts]), &packet()), Fate::Unsure(at(None)));
        let drops = rule("input", 5, &json!([fib, {"drop": null}]));
        assert_eq!(judge(&ruleset("accept", &[drops]), &packet()), Fate::Unsure(at(Some(5))));
    }

    #[test]
    fn other_interfaces_families_and_directions_are_not_its_business() {
        let drops = |key: &str| {
            let on = json!({"match": {"op": "==", "left": {"meta": {"key": key}}, "right": "eth1"}});
            ruleset("accept", &[rule("input", 7, &json!([on, {"drop": null}]))])
        };
        assert_eq!(judge(&drops("iifname"), &packet()), Fate::Passes);
        let all = ruleset("drop", &[]);
        assert_eq!(judge(&all, &Packet { arrives: false, ..packet() }), Fate::Passes);
        for noise in [json!(null), json!([]), json!({"nftables": 5}), json!({"nftables": [{"chain": 7}, 3]})]
        {
            assert_eq!(judge(&noise, &packet()), Fate::Passes);
        }
    }
}
