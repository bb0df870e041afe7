//! Changes after which two nodes no longer hear each other, so that both are master until both have them.

use super::Config;
use super::duration;
use crate::engine::settings::{Hmac, Instance, Unicast};
use crate::net::Family;
use crate::wire::vrrp::{Authentication, Key, Version};

/// A sentence for each change from `old` to `new` that makes two masters until every node has it.
///
/// Instances are the same if a virtual router of theirs is (interface, family, virtual router id, unicast
/// source), otherwise if their name is. One that is new or gone endangers nobody, unless another takes its addresses
/// over: the other node becomes master of the one that is gone.
pub fn dangerous_changes(old: &Config, new: &Config) -> Vec<String> {
    let (old, new) = (&old.settings.instances, &new.settings.instances);
    let mut changes = Vec::new();
    let mut namesakes = Vec::new();
    for instance in new {
        let twin = old.iter().find(|old| same_router(old, instance));
        let namesake = || {
            let free = |old: &&Instance| !new.iter().any(|new| same_router(old, new));
            old.iter().filter(free).find(|old| old.name == instance.name)
        };
        if let Some(before) = twin.or_else(namesake) {
            namesakes.push(&before.name);
            let said = differences(before, instance);
            changes.extend(said.into_iter().map(|what| format!("instance '{}': {what}", instance.name)));
        }
    }
    for gone in old.iter().filter(|gone| !namesakes.contains(&&gone.name)) {
        changes.extend(inherited(gone, new));
    }
    changes
}

/// A sentence for each address of an instance that is gone, if another one has it now.
fn inherited(gone: &Instance, new: &[Instance]) -> Vec<String> {
    let heir = |address| new.iter().find(|new| new.addresses.iter().any(|net| net.address() == address));
    let heirs = gone.addresses.iter().filter_map(|net| Some((net.address(), heir(net.address())?)));
    heirs
        .map(|(address, heir)| {
            format!(
                "instance '{}': {address} moves to '{}', another router to its peers",
                gone.name, heir.name
            )
        })
        .collect()
}

fn same_router(a: &Instance, b: &Instance) -> bool {
    let shared = |family: Family| {
        b.families().any(|other| other == family)
            && a.source(family) == b.source(family)
            && a.unicast.is_some() == b.unicast.is_some()
    };
    a.interface == b.interface && a.vrid == b.vrid && a.families().any(shared)
}

fn differences(old: &Instance, new: &Instance) -> Vec<String> {
    let mut said = Vec::new();
    if old.interface != new.interface {
        said.push(format!(
            "moves from interface {} to {}, where its peers may not hear it",
            old.interface, new.interface
        ));
    }
    if old.vrid != new.vrid {
        let (old, new) = (old.vrid, new.vrid);
        said.push(format!("virtual_router_id changes from {old} to {new}, another router to its peers"));
    }
    if old.version != new.version {
        let (old, new) = (old.version, new.version);
        said.push(format!("version changes from {old} to {new}; peers discard adverts of the other version"));
    } else if new.version == Version::V2 && old.interval != new.interval {
        let (old, new) = (duration::shown(old.interval), duration::shown(new.interval));
        said.push(format!(
            "advert_interval changes from {old} to {new}; in version 2 peers discard any other than their own"
        ));
    }
    signatures(old.hmac.as_ref(), new.hmac.as_ref(), &mut said);
    if old.authentication != new.authentication {
        said.push(format!("{}; peers discard adverts without the right one", password(old, new)));
    }
    unicast(old, new, &mut said);
    said
}

/// A node with the old configuration has to believe one with the new, and the other way round.
fn signatures(old: Option<&Hmac>, new: Option<&Hmac>, said: &mut Vec<String>) {
    let signer = |hmac: Option<&Hmac>| hmac.and_then(|hmac| hmac.signer().map(|(id, key)| (id, key.clone())));
    let believes = |listener: Option<&Hmac>, signer: Option<&(u8, Key)>| match (listener, signer) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some(listener), None) => listener.accepts_unsigned,
        (Some(listener), Some((id, key))) => listener.keys.get(id) == Some(key),
    };
    let (old_signer, new_signer) = (signer(old), signer(new));
    if !believes(old, new_signer.as_ref()) {
        said.push(match new_signer {
            Some((id, _)) => format!("signs with key {id}, which peers without it discard"),
            None => "does not sign any more; peers that want signatures discard its adverts".to_owned(),
        });
    }
    if !believes(new, old_signer.as_ref()) {
        said.push(match old_signer {
            Some((id, _)) => format!("discards what peers still sign with key {id}"),
            None => "discards what peers do not sign yet".to_owned(),
        });
    }
}

const fn password(old: &Instance, new: &Instance) -> &'static str {
    match (old.authentication, new.authentication) {
        (Authentication::None, _) => "a password is added",
        (_, Authentication::None) => "the password is removed",
        (Authentication::Simple(_), Authentication::Simple(_)) => "the password changes",
    }
}

fn unicast(old: &Instance, new: &Instance, said: &mut Vec<String>) {
    match (&old.unicast, &new.unicast) {
        (None, None) => {
            for family in new.families().filter(|family| old.group(*family) != new.group(*family)) {
                let (old, new) = (old.group(family), new.group(family));
                said.push(format!("multicast group changes from {old} to {new}, where its peers may not be"));
            }
        }
        (None, Some(_)) => {
            said.push("multicast changes to unicast, which peers without it do not hear".to_owned());
        }
        (Some(_), None) => {
            said.push("unicast changes to multicast, which peers without it do not hear".to_owned());
        }
        (Some(before), Some(after)) => {
            for family in new.families() {
                if let (Some(old), Some(new)) = (old.source(family), new.source(family))
                    && old != new
                {
                    said.push(format!(
                        "unicast source changes from {old} to {new}; peers discard adverts from strangers"
                    ));
                }
            }
            let has = |unicast: &Unicast, peer| unicast.peers.iter().any(|other| other.address == peer);
            let peers = before.peers.iter().map(|peer| peer.address);
            for peer in peers.filter(|peer| !has(after, *peer)) {
                said.push(format!(
                    "peer {peer} is removed and hears no more adverts; it is master soon if it still runs"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const OLD: &str = "web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10/24], MORE }";

    fn config(instances: &str) -> Config {
        parse(&format!("instances: {{ {instances} }}"), "f").unwrap()
    }

    /// What is said when an instance with `old` keys gets `new` ones.
    fn changes(old: &str, new: &str) -> Vec<String> {
        dangerous_changes(&config(&OLD.replace("MORE", old)), &config(&OLD.replace("MORE", new)))
    }

    #[test]
    fn what_peers_hear_all_the_same_is_no_danger() {
        for (old, new) in [
            ("", ""),
            ("priority: 150", "priority: 50"),
            ("advert_interval: 1s", "advert_interval: 100ms"),
            ("preempt: true", "preempt: false"),
            ("checksum: message", "announce: { refresh: off }"),
            ("unicast: { peers: [192.0.2.2] }", "unicast: { peers: [192.0.2.2, 192.0.2.3] }"),
            ("unicast: { peers: [192.0.2.2] }", "unicast: { peers: [192.0.2.2], source: 192.0.2.1 }"),
            ("", "missed_adverts: 5"),
            ("", "multicast: { source: 192.0.2.1 }"),
            ("", "multicast: { group: 224.0.0.18 }"),
            ("unicast: { peers: [192.0.2.2] }", "unicast: { peers: [{ address: 192.0.2.2, ttl: 255 }] }"),
            ("version: 2, advert_interval: 1s", "version: 2, advert_interval: 1000ms"),
        ] {
            assert_eq!(changes(old, new), [""; 0], "{old} -> {new}");
        }
    }

    #[test]
    fn what_peers_no_longer_understand_is_one() {
        let password = |word| format!("version: 2, authentication: {{ type: simple, password: {word} }}");
        let from = |source| format!("unicast: {{ source: {source}, peers: [192.0.2.2] }}");
        let unheard = "peers discard adverts without the right one";
        for (old, new, said) in [
            (
                "version: 2",
                "version: 3",
                "version changes from 2 to 3; peers discard adverts of the other version",
            ),
            (
                "version: 2",
                "version: 2, advert_interval: 2s",
                "advert_interval changes from 1s to 2s; in version 2 peers discard any other than their own",
            ),
            ("version: 2", &password("a"), &format!("a password is added; {unheard}")),
            (&password("a"), &password("b"), &format!("the password changes; {unheard}")),
            (&password("a"), "version: 2", &format!("the password is removed; {unheard}")),
            ("", &from("192.0.2.1"), "multicast changes to unicast, which peers without it do not hear"),
            (
                "",
                "multicast: { group: 224.0.0.19 }",
                "multicast group changes from 224.0.0.18 to 224.0.0.19, where its peers may not be",
            ),
            (&from("192.0.2.1"), "", "unicast changes to multicast, which peers without it do not hear"),
            (
                &from("192.0.2.1"),
                &from("192.0.2.3"),
                "unicast source changes from 192.0.2.1 to 192.0.2.3; peers discard adverts from strangers",
            ),
            (
                &from("192.0.2.1"),
                "unicast: { source: 192.0.2.1, peers: [192.0.2.3] }",
                "peer 192.0.2.2 is removed and hears no more adverts; it is master soon if it still runs",
            ),
        ] {
            assert_eq!(changes(old, new), [format!("instance 'web': {said}")], "{old} -> {new}");
        }
    }

    #[test]
    fn signatures_are_no_danger_as_long_as_old_and_new_believe_each_other() {
        let digits = |byte: u8| format!("'hex:{}'", format!("{byte:02x}").repeat(32));
        let hmac = |keys: &[u8], active: u8, mode: &str| {
            let keys: Vec<_> = keys.iter().map(|id| format!("{id}: {}", digits(*id))).collect();
            let keys = keys.join(", ");
            format!(
                "authentication: {{ type: hmac, keys: {{ {keys} }}, active_key: {active}, mode: {mode} }}"
            )
        };
        let other = hmac(&[1], 1, "enforce").replace("01", "09");
        let (enforce, permissive, listen) =
            (hmac(&[1], 1, "enforce"), hmac(&[1], 1, "permissive"), hmac(&[1], 1, "receive_only"));
        let both = |active| hmac(&[1, 2], active, "enforce");
        let steps = ["", &listen, &permissive, &enforce, &both(1), &both(2), &hmac(&[2], 2, "enforce")];
        for pair in steps.windows(2) {
            assert_eq!(changes(pair[0], pair[1]), [""; 0], "{} -> {}", pair[0], pair[1]);
            assert_eq!(changes(pair[1], pair[0]), [""; 0], "{} -> {}", pair[1], pair[0]);
        }
        let wider = enforce.replace("mode:", "time_window: 30s, mode:");
        assert_eq!(changes(&enforce, &wider), [""; 0]);
        let signs = "signs with key 1, which peers without it discard";
        let unsigned = "does not sign any more; peers that want signatures discard its adverts";
        for (old, new, expected) in [
            ("", &enforce, &[signs, "discards what peers do not sign yet"][..]),
            ("", &permissive, &[signs]),
            (&enforce, &String::new(), &[unsigned, "discards what peers still sign with key 1"]),
            (&enforce, &listen, &[unsigned]),
            (&enforce, &other, &[signs, "discards what peers still sign with key 1"]),
            (&both(1), &hmac(&[2], 2, "enforce"), &["discards what peers still sign with key 1"]),
            (&enforce, &both(2), &["signs with key 2, which peers without it discard"]),
        ] {
            let expected: Vec<_> = expected.iter().map(|what| format!("instance 'web': {what}")).collect();
            assert_eq!(changes(old, new), expected, "{old} -> {new}");
        }
    }

    #[test]
    fn another_identity_under_the_same_name_is_one() {
        let old = config(&OLD.replace("MORE", ""));
        let new = config(&OLD.replace("MORE", "").replace("51", "52").replace("eth0", "eth1"));
        assert_eq!(
            dangerous_changes(&old, &new),
            [
                "instance 'web': moves from interface eth0 to eth1, where its peers may not hear it",
                "instance 'web': virtual_router_id changes from 51 to 52, another router to its peers",
            ]
        );
    }

    #[test]
    fn a_name_is_only_a_label() {
        let pair = |a: &str, b: &str| {
            config(&format!(
                "{a}: {{ interface: eth0, virtual_router_id: 1, addresses: [192.0.2.1] }}, \
                 {b}: {{ interface: eth0, virtual_router_id: 2, addresses: [192.0.2.2] }}"
            ))
        };
        assert_eq!(dangerous_changes(&pair("a", "b"), &pair("b", "a")), [""; 0]);
        assert_eq!(dangerous_changes(&pair("a", "b"), &pair("x", "y")), [""; 0]);
    }

    #[test]
    fn what_is_new_or_gone_is_no_danger() {
        let one = config(&OLD.replace("MORE", ""));
        let other = OLD.replace("MORE", "").replace("web", "db").replace("51", "52").replace("2.10", "2.11");
        assert_eq!(dangerous_changes(&one, &config(&other)), [""; 0]);
    }

    #[test]
    fn an_address_that_outlives_its_instance_is_one() {
        let old = OLD.replace("MORE", "");
        let other = old.replace("web", "db").replace("51", "52");
        let said = ["instance 'web': 192.0.2.10 moves to 'db', another router to its peers"];
        assert_eq!(dangerous_changes(&config(&old), &config(&other)), said);
        let beside = other.replace("2.10", "2.11");
        let both = config(&format!("{old}, {beside}"));
        let merged = config(&other.replace("192.0.2.10/24", "192.0.2.10/24, 192.0.2.11/24"));
        assert_eq!(dangerous_changes(&both, &merged), said);
    }
}
