//! In what two configurations differ, in the operator's words: every key, or the compiler complains.
//!
//! What is true is compared, not what is written: `1s` and `1000ms` are the same, and so are a default and its value
//! written out. What comes of a difference is the engine's to say.

use std::collections::BTreeSet;

use super::duration;
use super::{Config, PriorityFile};
use crate::engine::inheritance::Identity;
use crate::engine::settings::{self, Address, Group, Instance, Preempt, Settings, Statics, Unicast};
use crate::net::Family;
use crate::notify::Plan;
use crate::notify::news::Subject;
use crate::sys::realtime;

/// One instance in both configurations, or in one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair<'a> {
    /// The new one alone has it.
    Added(&'a Instance),
    /// The old one alone has it.
    Removed(&'a Instance),
    /// It is the same virtual router in both; the first is the old one.
    Same(&'a Instance, &'a Instance),
    /// It is another virtual router of the same name.
    Restarted(&'a Instance, &'a Instance),
}

impl<'a> Pair<'a> {
    /// The instance in the old configuration.
    pub const fn before(self) -> Option<&'a Instance> {
        match self {
            Self::Added(_) => None,
            Self::Removed(old) | Self::Same(old, _) | Self::Restarted(old, _) => Some(old),
        }
    }

    /// The instance in the new configuration.
    pub const fn after(self) -> Option<&'a Instance> {
        match self {
            Self::Removed(_) => None,
            Self::Added(new) | Self::Same(_, new) | Self::Restarted(_, new) => Some(new),
        }
    }
}

/// Every instance of either configuration: those of the new one in its order, then those that go.
///
/// They are the same as for a reload: by what the network knows, and not by the name.
pub fn pairs<'a>(old: &'a Config, new: &'a Config) -> Vec<Pair<'a>> {
    let mut left: Vec<&Instance> = old.settings.instances.iter().collect();
    let twins: Vec<Option<&Instance>> = new
        .settings
        .instances
        .iter()
        .map(|new| {
            let identity = Identity::of(new);
            let at = left.iter().position(|old| Identity::of(old).is_same(&identity))?;
            Some(left.remove(at))
        })
        .collect();
    let mut pairs = Vec::new();
    for (new, twin) in new.settings.instances.iter().zip(twins) {
        let namesake = || Some(left.remove(left.iter().position(|old| old.name == new.name)?));
        pairs.push(match (twin, twin.is_none().then(namesake).flatten()) {
            (Some(old), _) => Pair::Same(old, new),
            (None, Some(old)) => Pair::Restarted(old, new),
            (None, None) => Pair::Added(new),
        });
    }
    pairs.extend(left.into_iter().map(Pair::Removed));
    pairs
}

/// The keys in which an instance differs, with both values where these are short; none if nothing of it does.
pub fn instance_keys(pair: Pair<'_>, old: &Config, new: &Config) -> Vec<String> {
    let (Pair::Same(before, after) | Pair::Restarted(before, after)) = pair else { return Vec::new() };
    let file = |config: &Config, name: &str| {
        let one: Option<&PriorityFile> = config.priority_files.iter().find(|one| one.instance == name);
        one.map_or_else(|| "none".to_owned(), |one| one.path.display().to_string())
    };
    let told = |config: &Config, one: &Instance| {
        config.notify.subjects.get(&Subject::Instance(one.name.clone())).cloned()
    };
    let mut found = Found(Vec::new());
    found.value("name", &before.name, &after.name);
    found.value("priority_file", &file(old, &before.name), &file(new, &after.name));
    instance(before, after, &mut found);
    found.key("notify", told(old, before) == told(new, after));
    found.0
}

/// What differs in the sync groups: the name of each, whether the old and the new configuration have it, and its keys.
pub fn groups(old: &Config, new: &Config) -> Vec<(String, bool, bool, Vec<String>)> {
    let named =
        |config: &'_ Config, name: &str| config.settings.groups.iter().find(|one| one.name == name).cloned();
    let names = new.settings.groups.iter().chain(&old.settings.groups).map(|one| &one.name);
    let mut told = BTreeSet::new();
    let names = names.filter(|name| told.insert((*name).clone()));
    names
        .filter_map(|name| {
            let (before, after) = (named(old, name), named(new, name));
            let subject = Subject::Group(name.clone());
            let notified = old.notify.subjects.get(&subject) == new.notify.subjects.get(&subject);
            let keys = match (&before, &after) {
                (Some(before), Some(after)) => group(before, after, notified),
                _ => Vec::new(),
            };
            let differs = before.is_some() != after.is_some() || !keys.is_empty();
            differs.then(|| (name.clone(), before.is_some(), after.is_some(), keys))
        })
        .collect()
}

fn group(old: &Group, new: &Group, notified_alike: bool) -> Vec<String> {
    let Group { name: _, members, tracks } = old;
    let mut found = Found(Vec::new());
    found.list("members", members, &new.members, Clone::clone);
    found.key("track", *tracks == new.tracks);
    found.key("notify", notified_alike);
    found.0
}

/// What differs beside instances, groups and checks.
pub fn others(old: &Config, new: &Config) -> Vec<String> {
    let Config { settings, checks: _, priority_files: _, notify, realtime, metrics, warnings: _ } = old;
    let Settings { instances: _, groups: _, checks: _, announce_limits, startup_delay, boot_delay, statics } =
        settings;
    let mut found = Found(Vec::new());
    let Plan { subjects: _, mail } = notify;
    found.key("mail", *mail == new.notify.mail);
    found.key("announce_limits", *announce_limits == new.settings.announce_limits);
    let later = ", which counts at the next start";
    for (key, old, new) in [
        ("startup_delay", *startup_delay, new.settings.startup_delay),
        ("boot_delay", *boot_delay, new.settings.boot_delay),
    ] {
        found.noted(key, &duration::shown(old), &duration::shown(new), later);
    }
    let realtime::Settings { priority, lock_memory } = realtime;
    found.noted("realtime.priority", &or_none(*priority), &or_none(new.realtime.priority), later);
    let locks = new.realtime.lock_memory;
    found.noted("realtime.lock_memory", &lock_memory.to_string(), &locks.to_string(), later);
    let super::Metrics { listen, keepalived_names } = metrics;
    found.value("metrics.listen", &or_none(*listen), &or_none(new.metrics.listen));
    found.value("metrics.keepalived_names", keepalived_names, &new.metrics.keepalived_names);
    let Statics { addresses, paths } = statics;
    let address = |one: &Address| match &one.interface {
        Some(interface) => format!("{} on {interface}", one.net),
        None => one.net.to_string(),
    };
    found.list("static.addresses", addresses, &new.settings.statics.addresses, address);
    found.key("static: routes or rules", *paths == new.settings.statics.paths);
    found.0
}

/// The names of checks that one configuration has alone, or that differ.
pub fn checks(old: &Config, new: &Config) -> Vec<String> {
    let of = |config: &Config, name: &str| {
        let told = config.settings.checks.iter().find(|check| check.name == name).cloned();
        (told, config.checks.iter().find(|check| check.name == name).cloned())
    };
    let names = old.settings.checks.iter().chain(&new.settings.checks).map(|check| check.name.clone());
    let names: BTreeSet<String> = names.collect();
    names.into_iter().filter(|name| of(old, name) != of(new, name)).collect()
}

fn instance(old: &Instance, new: &Instance, found: &mut Found) {
    let Instance {
        name: _,
        interface,
        vrid,
        version,
        priority,
        interval,
        missed_adverts,
        near_miss_percent,
        addresses,
        bare_family,
        multicast,
        paths,
        unicast,
        preempt,
        last_resort,
        damping,
        tracks,
        authentication,
        hmac,
        checksum,
        announce,
        lease,
        follow_interface,
        accept,
        virtual_mac,
    } = old;
    found.value("interface", interface, &new.interface);
    found.value("virtual_router_id", vrid, &new.vrid);
    found.value("version", version, &new.version);
    found.value("priority", priority, &new.priority);
    found.value("advert_interval", &duration::shown(*interval), &duration::shown(new.interval));
    found.value("missed_adverts", missed_adverts, &new.missed_adverts);
    found.value("near_miss_percent", near_miss_percent, &new.near_miss_percent);
    found.key("addresses", *addresses == new.addresses);
    let family = |family: Option<Family>| family.map_or("none", Family::as_str);
    found.value("family", family(*bare_family), family(new.bare_family));
    found.key("multicast", *multicast == new.multicast);
    found.key("routes or rules", *paths == new.paths);
    unicast_keys(unicast.as_ref(), new.unicast.as_ref(), found);
    let (patience, patience_then) = (preempt.delay(), new.preempt.delay());
    let preempts = |preempt: Preempt| preempt != Preempt::Never;
    found.value("preempt", &preempts(*preempt), &preempts(new.preempt));
    found.value("preempt_delay", &duration::shown(patience), &duration::shown(patience_then));
    found.value("last_resort", last_resort, &new.last_resort);
    found.key("damping", *damping == new.damping);
    found.key("track", *tracks == new.tracks);
    found.key("authentication", *authentication == new.authentication && *hmac == new.hmac);
    found.key("checksum", *checksum == new.checksum);
    found.key("announce", *announce == new.announce);
    found.value("lease", lease, &new.lease);
    found.value("follow_interface", follow_interface, &new.follow_interface);
    found.value("accept", accept, &new.accept);
    let has = |one: Option<&settings::VirtualMac>| one.is_some();
    found.value("virtual_mac", &has(virtual_mac.as_ref()), &has(new.virtual_mac.as_ref()));
    found.key(
        "virtual_mac",
        virtual_mac.is_none() || new.virtual_mac.is_none() || *virtual_mac == new.virtual_mac,
    );
}

fn unicast_keys(old: Option<&Unicast>, new: Option<&Unicast>, found: &mut Found) {
    let (Some(Unicast { sources, peers }), Some(new)) = (old, new) else {
        let way = |unicast: Option<&Unicast>| if unicast.is_some() { "peers" } else { "none" };
        return found.value("unicast", way(old), way(new));
    };
    found.list("unicast.source", sources, &new.sources, ToString::to_string);
    found.list("unicast.peers", peers, &new.peers, |peer| peer.address.to_string());
}

fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

/// The keys that were found to differ.
struct Found(Vec<String>);

impl Found {
    fn value<T: ToString + ?Sized>(&mut self, key: &str, old: &T, new: &T) {
        self.noted(key, old, new, "");
    }

    fn noted<T: ToString + ?Sized>(&mut self, key: &str, old: &T, new: &T, note: &str) {
        let (old, new) = (old.to_string(), new.to_string());
        if old != new {
            self.0.push(format!("{key} {old} -> {new}{note}"));
        }
    }

    fn key(&mut self, key: &str, same: bool) {
        if !same {
            self.0.push(key.to_owned());
        }
    }

    /// What of a list goes and comes; or that the rest of what is said of its members differs.
    fn list<T: PartialEq>(&mut self, key: &str, old: &[T], new: &[T], shown: impl Fn(&T) -> String) {
        let texts = |all: &[T]| -> Vec<String> { all.iter().map(&shown).collect() };
        let (before, after) = (texts(old), texts(new));
        let beside = |sign: &str, some: &[String], others: &[String]| -> Vec<String> {
            let alone = some.iter().filter(|one| !others.contains(one));
            alone.map(|one| format!("{key} {sign} {one}")).collect()
        };
        let mut said = beside("-", &before, &after);
        said.extend(beside("+", &after, &before));
        if said.is_empty() && old != new {
            said.push(key.to_owned());
        }
        self.0.extend(said);
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn config(text: &str) -> Config {
        parse(text, "f").unwrap_or_else(|problems| panic!("{text}: {problems:?}"))
    }

    const WEB: &str = "web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10/24] }";
    const DNS: &str = "dns: { interface: eth1, virtual_router_id: 52, addresses: [192.0.2.11/24] }";

    #[test]
    fn every_key_at_the_top_is_told_of() {
        let base = format!("instances:\n  {WEB}\n  {DNS}\nchecks:\n  nginx: {{ tcp: \"127.0.0.1:80\" }}\n");
        let old = config(&base);
        let differs = |more: &str| {
            let new = config(&format!("{base}{more}\n"));
            let keys = pairs(&old, &new).into_iter().flat_map(|pair| instance_keys(pair, &old, &new));
            let groups =
                groups(&old, &new).into_iter().map(|(name, was, is, _)| format!("{name} {was} {is}"));
            keys.chain(groups).chain(others(&old, &new)).chain(checks(&old, &new)).collect::<Vec<_>>()
        };
        assert_eq!(differs(""), [""; 0]);
        for (more, said) in [
            ("groups: { site: { members: [web, dns] } }", vec!["site false true"]),
            ("notify: { fifo: /run/x }", vec!["notify", "notify"]),
            ("mail: { server: mail.example.org, from: a@example.org, to: b@example.org }", vec!["mail"]),
            ("startup_delay: 2s", vec!["startup_delay 0s -> 2s, which counts at the next start"]),
            ("boot_delay: 2s", vec!["boot_delay 0s -> 2s, which counts at the next start"]),
            ("announce_limits: [{ interval: 1ms }]", vec!["announce_limits"]),
            (
                "static: { addresses: [{ address: 192.0.2.30/24, interface: eth2 }] }",
                vec!["static.addresses + 192.0.2.30/24 on eth2"],
            ),
            ("static: { routes: [{ to: 10.0.0.0/8, interface: eth2 }] }", vec!["static: routes or rules"]),
            (
                "realtime: { priority: 5 }",
                vec!["realtime.priority none -> 5, which counts at the next start"],
            ),
            ("metrics: { listen: 127.0.0.1:9113 }", vec!["metrics.listen none -> 127.0.0.1:9113"]),
        ] {
            assert_eq!(differs(more), said, "{more}");
        }
    }

    #[test]
    fn instances_are_the_same_by_what_the_network_knows() {
        let old = config(&format!("instances:\n  {WEB}\n  {DNS}\n"));
        let renamed = WEB.replace("web:", "www:");
        let moved = DNS.replace("52", "53");
        let new = config(&format!("instances:\n  {renamed}\n  {moved}\n"));
        let pairs = pairs(&old, &new);
        assert!(matches!(pairs.as_slice(), [Pair::Same(..), Pair::Restarted(..)]), "{pairs:?}");
        let keys: Vec<_> = pairs.into_iter().map(|pair| instance_keys(pair, &old, &new)).collect();
        assert_eq!(keys, [vec!["name web -> www"], vec!["virtual_router_id 52 -> 53"]]);
    }

    #[test]
    fn what_is_written_otherwise_and_means_the_same_is_no_difference() {
        let written = WEB.replace(" }", ", advert_interval: 1000ms, priority: 100, preempt: true }");
        let (old, new) =
            (config(&format!("instances:\n  {WEB}\n")), config(&format!("instances:\n  {written}\n")));
        assert_eq!(instance_keys(pairs(&old, &new)[0], &old, &new), [""; 0]);
    }
}
