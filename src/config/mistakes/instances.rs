//! Mistakes in and between instances.

use super::super::private::tests::Scratch;
use super::*;

const KEYS: &str = "interface, virtual_router_id, addresses, family, routes, rules, priority, priority_file, advert_interval, missed_adverts, near_miss_percent, version, unicast, multicast, preempt, \
                    preempt_delay, last_resort, damping, follow_interface, track, authentication, checksum, announce, lease, accept, virtual_mac, notify";

#[test]
fn a_wrong_key_of_an_instance_is_met_with_the_right_ones() {
    let unknown = |place: &str, hint: &str| format!("{place}: unknown key;{hint} known here: {KEYS}");
    let slip = unknown("6:5: instances.web.pirority", " did you mean 'priority'?");
    let elsewhere = unknown("6:5: instances.web.peers", " it belongs under 'unicast';");
    let strange = unknown("6:5: instances.web.banana", "");
    let merge = unknown("6:5: instances.web.<<", " merge keys are not supported;");
    told(&[
        (more("pirority: 5"), &[&slip]),
        (more("peers: [192.0.2.2]"), &[&elsewhere]),
        (more("banana: 4"), &[&strange]),
        (more("<<: { priority: 4 }"), &[&merge]),
        (
            more("version: 3\nversion: 2"),
            &["7:5: instances.web.version: written twice, the first time in line 6; keep one of them"],
        ),
        (
            "instances: { web: { interface: eth0/1, virtual_router_id: 300, addresses: [] } }".into(),
            &[
                "1:32: instances.web.interface: 'eth0/1' is no interface name; write one of 'ip link', at most 15 bytes",
                "1:59: instances.web.virtual_router_id: '300' is no virtual router id; write 1 to 255",
                "1:75: instances.web.addresses: no address in it is advertised; write one that is, or beside it the family of adverts without any, 'family: ipv4' or 'family: ipv6', on all nodes",
            ],
        ),
    ]);
}

#[test]
fn an_instance_without_addresses_says_which_family_it_speaks_and_no_other_does() {
    let bare = |lines: &str| {
        let lines = lines.replace('\n', "\n    ");
        format!(
            "instances:\n  web:\n    interface: eth0\n    virtual_router_id: 51\n    addresses: []\n    {lines}\n"
        )
    };
    told(&[
        (bare("family: ipv4"), &[]),
        (bare("family: ipv6\nunicast: { peers: [\"2001:db8::2\"] }"), &[]),
        (bare("family: both"), &["6:13: instances.web.family: 'both' is no family; write ipv4 or ipv6"]),
        (bare("version: 3"), &[NO_FAMILY]),
        (
            bare("family: ipv6\nversion: 2"),
            &["6:13: instances.web.family: version 2 has no IPv6; write ipv4, or 'version: 3'"],
        ),
        (
            bare("family: ipv4\nvirtual_mac: true"),
            &["7:18: instances.web.virtual_mac: there is no address for links of its own; remove this"],
        ),
        (
            bare("family: ipv4\nunicast: { peers: [\"2001:db8::2\"] }"),
            &[
                "7:14: instances.web.unicast: it speaks IPv4, but there is no IPv4 peer; write one under 'peers'",
                "7:24: instances.web.unicast.peers[0]: an IPv6 peer, but 'family' is another; remove it",
            ],
        ),
        (
            more("family: ipv4"),
            &["6:13: instances.web.family: the addresses that are advertised say it; remove this"],
        ),
    ]);
}

const NO_FAMILY: &str = "5:16: instances.web.addresses: no address in it is advertised; write one that is, or beside it the family of adverts without any, 'family: ipv4' or 'family: ipv6', on all nodes";

#[test]
fn a_wrong_value_of_an_instance_is_met_with_a_right_one() {
    told(&[
        (
            more("priority: 0"),
            &[
                "6:15: instances.web.priority: '0' is no priority; write 1 to 254, or 255 for the owner of the addresses",
            ],
        ),
        (
            more("priority: 256"),
            &[
                "6:15: instances.web.priority: '256' is no priority; write 1 to 254, or 255 for the owner of the addresses",
            ],
        ),
        (more("priority: [1]"), &["6:15: instances.web.priority: is a list; write 1 to 255"]),
        (more("priority: { a: 1 }"), &["6:15: instances.web.priority: has keys of its own; write 1 to 255"]),
        (more("priority:"), &["6:13: instances.web.priority: has no value; write 1 to 255"]),
        (more("version: 4"), &["6:14: instances.web.version: '4' is no version of VRRP; write 2 or 3"]),
        (
            more("advert_interval: 5"),
            &["6:22: instances.web.advert_interval: '5' has no unit; write 5ms, 5s, 5m or 5h"],
        ),
        (
            more("advert_interval: 15ms"),
            &[
                "6:22: instances.web.advert_interval: 15ms is no advert interval; version 3 has multiples of 10ms, write 10ms to 40.95s",
            ],
        ),
        (
            more("version: 2\nadvert_interval: 1.5s"),
            &[
                "7:22: instances.web.advert_interval: 1500ms is no advert interval; version 2 has whole seconds, write 1s to 255s",
            ],
        ),
        (
            more("preempt: no"),
            &["6:14: instances.web.preempt: 'no' is not true or false; write true or false"],
        ),
        (
            more("preempt: false\npreempt_delay: 5s"),
            &[
                "7:20: instances.web.preempt_delay: there is nothing to delay with 'preempt: false'; remove one of them",
            ],
        ),
        (
            more("checksum: full"),
            &[
                "6:15: instances.web.checksum: 'full' is nothing that a checksum covers; write pseudo_header or message",
            ],
        ),
        (
            more("version: 2\nchecksum: message"),
            &["7:15: instances.web.checksum: version 2 has one form of checksum only; remove this"],
        ),
        (
            more("announce: { refresh: 500ms, again_after: never }"),
            &[
                "6:26: instances.web.announce.refresh: '500ms' is too short; write 1s to 1h, or off",
                "6:46: instances.web.announce.again_after: 'never' is no duration; write a number and ms, s, m or h, for example 100ms or 1.5s, or off",
            ],
        ),
        (
            more("priority: 255\npreempt: false"),
            &[
                "7:14: instances.web.preempt: warning: with priority 255, the owner's, it takes over at once in any case",
            ],
        ),
    ]);
}

#[test]
fn an_address_that_cannot_be_virtual_is_met_with_the_reason() {
    let with = |addresses: &str| INSTANCE.replace("[192.0.2.10/24]", addresses);
    told(&[
        (
            with("192.0.2.10/24"),
            &[
                "5:16: instances.web.addresses: '192.0.2.10/24' is no list; write a list of addresses, for example [192.0.2.10/24]",
            ],
        ),
        (
            with("[192.0.2.10/33, 192.0.2.256, 224.0.0.1, 192.0.2.0/24, 192.0.2.1, 192.0.2.1/24, '']"),
            &[
                "5:17: instances.web.addresses[0]: '192.0.2.10/33' has a prefix longer than 32; write ADDRESS/PREFIX, for example 192.0.2.10/24",
                "5:32: instances.web.addresses[1]: '192.0.2.256' is no IP address; write ADDRESS/PREFIX, for example 192.0.2.10/24",
                "5:45: instances.web.addresses[2]: 224.0.0.1 is a multicast group; write an address that a host can have",
                "5:56: instances.web.addresses[3]: 192.0.2.0 is the network itself with the prefix 24; write an address that a host can have",
                "5:81: instances.web.addresses[5]: 192.0.2.1 is written twice; remove one",
                "5:95: instances.web.addresses[6]: '' is no IP address; write ADDRESS/PREFIX, for example 192.0.2.10/24",
            ],
        ),
        (
            with("['2001:db8::10/64']\n    version: 2"),
            &[
                "5:17: instances.web.addresses[0]: 2001:db8::10 is IPv6, which version 2 does not have; write 'version: 3'",
            ],
        ),
        (
            with("['2001:db8::10/64']\n    checksum: message"),
            &["6:15: instances.web.checksum: IPv6 has one form of checksum only; remove this"],
        ),
    ]);
}

#[test]
fn unicast_has_to_suit_the_addresses() {
    told(&[
        (
            more("unicast: 192.0.2.2"),
            &["6:14: instances.web.unicast: '192.0.2.2' is no set of keys; write 'source' and 'peers'"],
        ),
        (
            more("unicast: { }"),
            &["6:5: instances.web.unicast: 'peers' is missing; write for example 'peers: [192.0.2.2]'"],
        ),
        (
            more("unicast: { peers: [] }"),
            &["6:23: instances.web.unicast.peers: is empty; write the peers' addresses"],
        ),
        (
            more("unicast: { source: 192.0.2.1/24, peers: [224.0.0.18, 192.0.2.2] }"),
            &[
                "6:24: instances.web.unicast.source: '192.0.2.1/24' is no IP address; write one without a prefix, for example 192.0.2.1 or 2001:db8::1",
                "6:46: instances.web.unicast.peers[0]: 224.0.0.18 is no address of one host; write the host's own",
            ],
        ),
        (
            more(
                "unicast: { source: 192.0.2.1, peers: [192.0.2.1, 192.0.2.2, 192.0.2.2, 192.0.2.10, 'fe80::1'] }",
            ),
            &[
                "6:43: instances.web.unicast.peers[0]: 192.0.2.1 is this host's own source; write the other hosts' addresses",
                "6:65: instances.web.unicast.peers[2]: 192.0.2.2 is written twice; remove one",
                "6:76: instances.web.unicast.peers[3]: 192.0.2.10 is a virtual address; write the address that always stays on the host",
                "6:88: instances.web.unicast.peers[4]: an IPv6 peer, but no IPv6 address under 'addresses'; remove it",
            ],
        ),
        (
            more("unicast: { source: [192.0.2.1, 192.0.2.3], peers: 192.0.2.2 }"),
            &["6:36: instances.web.unicast.source[1]: a second IPv4 source; write one for each family"],
        ),
        (
            INSTANCE.replace("/24]", "/24, 'fd00::1']") + "    unicast: { peers: [192.0.2.2] }\n",
            &[
                "6:14: instances.web.unicast: there are IPv6 addresses but no IPv6 peer; write one under 'peers'",
            ],
        ),
    ]);
}

#[test]
fn a_password_has_to_suit_the_version_and_the_advert() {
    let clear = "7:21: instances.web.authentication: warning: the password travels in clear in every advert: it keeps a misconfigured router out, no attacker";
    told(&[
        (more("version: 2\nauthentication: { type: simple, password: 12345678 }"), &[clear]),
        (
            more("authentication: { type: simple, password: x }"),
            &[
                "6:21: instances.web.authentication: version 3 has no password; write 'type: hmac', or 'version: 2'",
            ],
        ),
        (
            more("version: 2\nauthentication: { type: PASS, password: '123456789' }"),
            &[
                "7:29: instances.web.authentication.type: 'PASS' is no type of authentication; write hmac or simple",
            ],
        ),
        (
            more("version: 2\nauthentication: { type: simple, password: '123456789' }"),
            &[
                "7:47: instances.web.authentication.password: the password has 9 bytes; write 1 to 8, none of them 0",
            ],
        ),
        (
            more("version: 2\nauthentication: { password: x, password_file: /x }"),
            &["7:5: instances.web.authentication: 'type' is missing; write for example 'type: hmac'"],
        ),
        (
            more("version: 2\nauthentication: { type: simple, password: x, password_file: /x }"),
            &[
                "7:65: instances.web.authentication.password_file: there is a 'password' as well; keep one of them",
            ],
        ),
        (
            more("version: 2\nauthentication: { type: simple }"),
            &["7:5: instances.web.authentication: there is no password; write 'password' or 'password_file'"],
        ),
        (
            more("version: 2\nauthentication: { type: simple, password_file: secret }"),
            &[
                "7:52: instances.web.authentication.password_file: 'secret' is no absolute path; write one that begins with '/'",
            ],
        ),
    ]);
}

#[test]
fn signatures_need_keys_that_are_right_and_none_is_quoted() {
    let key = "k".repeat(32);
    let hmac = |rest: &str| more(&format!("authentication: {{ type: hmac, {rest} }}"));
    let keys = format!("keys: {{ 1: {key}, 2: x{key} }}");
    let whole = "instances.web.authentication";
    told(&[
        (hmac(&format!("keys: {{ 1: {key} }}")), &[]),
        (hmac(&format!("{keys}, active_key: 2, time_window: 5m")), &[]),
        (
            hmac("mode: enforce"),
            &[&format!(
                "6:5: {whole}: 'keys' is missing; write for example 'keys: {{ 1: {{ file: /etc/vipd/vrrp.key }} }}'"
            )],
        ),
        (
            hmac(&format!("keys: {key}")),
            &[&format!(
                "6:41: {whole}.keys: is no set of numbers with keys; write for example {{ 1: {{ file: /etc/vipd/vrrp.key }} }}"
            )],
        ),
        (
            hmac(&format!("keys: {{ 0: {key} }}")),
            &[&format!("6:43: {whole}.keys.0: is no number of a key; write 1 to 255")],
        ),
        (
            hmac("keys: { 1: short }"),
            &[&format!("6:46: {whole}.keys.1: the key has 5 bytes; write 32 to 64 of them")],
        ),
        (
            hmac(&keys),
            &[&format!("6:5: {whole}: which key signs is not said; write for example 'active_key: 1'")],
        ),
        (hmac(&format!("{keys}, mode: receive_only")), &[&format!("6:126: {whole}.mode: {UNSIGNED}")]),
        (
            hmac(&format!("{keys}, active_key: 3")),
            &[&format!("6:132: {whole}.active_key: no key has the number 3; there are: 1, 2")],
        ),
        (
            hmac(&format!("keys: {{ 1: {key} }}, anti_replay: monotonic, time_window: 5s")),
            &[&format!(
                "6:119: {whole}.time_window: there is no window with 'anti_replay: monotonic'; remove one of them"
            )],
        ),
        (
            hmac(&format!("keys: {{ 1: {key} }}, time_window: 1500ms")),
            &[&format!("6:95: {whole}.time_window: '1500ms' is no whole number of seconds; write 1s to 5m")],
        ),
        (
            hmac(&format!("keys: {{ 1: {key} }}, password: x")),
            &[&format!(
                "6:82: {whole}.password: unknown key; it belongs to 'type: simple'; known here: type, keys, active_key, anti_replay, time_window, mode"
            )],
        ),
    ]);
}

const UNSIGNED: &str = "warning: adverts that are not signed count as well, whoever sends them; write enforce once all nodes sign";

#[test]
fn a_key_file_that_others_can_read_is_refused_with_the_remedy() {
    let file = Scratch::new("vrrp.key", "k".repeat(32).as_bytes(), 0o644);
    let path = file.path();
    let text = more(&format!("authentication: {{ type: hmac, keys: {{ 1: {{ file: {path} }} }} }}"));
    let expected = format!(
        "6:54: instances.web.authentication.keys.1.file: '{path}' is open to group or others (mode 0644); run \
         'chmod 600 {path}'"
    );
    assert_eq!(said(&text), [expected]);
    let file = Scratch::new("vrrp.key.short", b"hex:00\n", 0o600);
    let path = file.path();
    let text = more(&format!("authentication: {{ type: hmac, keys: {{ 1: {{ file: {path} }} }} }}"));
    let expected = format!(
        "6:54: instances.web.authentication.keys.1.file: in '{path}' the key has 1 bytes; write 32 to 64 of them"
    );
    assert_eq!(said(&text), [expected]);
}

#[test]
fn two_instances_cannot_have_one_identity_or_one_address() {
    let second = |lines: &str| format!("{INSTANCE}  db:\n    interface: eth0\n    {lines}\n");
    told(&[
        (
            second("virtual_router_id: 51\n    addresses: [192.0.2.11/24]"),
            &[
                "8:24: instances.db.virtual_router_id: instance 'web' has virtual router id 51 on eth0 for IPv4 already; write another",
            ],
        ),
        (
            second("virtual_router_id: 52\n    addresses: [192.0.2.10/32]"),
            &[
                "9:17: instances.db.addresses[0]: instance 'web' has 192.0.2.10 already; an address moves with one instance",
            ],
        ),
        // One identifier in each family, and in each pair of unicast hosts, is another virtual router.
        (second("virtual_router_id: 51\n    addresses: ['2001:db8::10/64']"), &[]),
        (
            second(
                "virtual_router_id: 51\n    addresses: [192.0.2.11]\n    unicast: { source: 192.0.2.1, peers: 192.0.2.2 }",
            ),
            &[],
        ),
    ]);
    let link_local = |interface: &str| {
        format!(
            "instances:\n  a: {{ interface: eth0, virtual_router_id: 1, addresses: ['fe80::1/64'] }}\n  \
             b: {{ interface: {interface}, virtual_router_id: 2, addresses: ['fe80::1/64'] }}\n"
        )
    };
    let taken = "3:59: instances.b.addresses[0]: instance 'a' has fe80::1 already; an address moves with one instance";
    told(&[(link_local("eth1"), &[]), (link_local("eth0"), &[taken])]);
}

#[test]
fn a_track_names_a_check_and_can_do_what_it_says() {
    let checks = "checks: { nginx: { tcp: 'localhost:80' }, uplink: { interface: eth1 } }";
    let tracking = |lines: &str| format!("{}{checks}\n", more(lines));
    let unknown = "6:14: instances.web.track.ngnix: no check is named 'ngnix'; did you mean 'nginx'? there are: nginx, uplink";
    told(&[
        (tracking("track: { nginx: fault, uplink: -20 }"), &[]),
        (tracking("track: { ngnix: -60 }"), &[unknown]),
        (
            more("track: { nginx: -60 }"),
            &[
                "6:14: instances.web.track.nginx: no check is named 'nginx'; there are none, write one under 'checks'",
            ],
        ),
        (
            tracking("track: { nginx: 0, uplink: Fault }"),
            &[
                "6:21: instances.web.track.nginx: '0' is neither fault nor a weight; write fault, -253 to -1, or 1 to 253",
                "6:32: instances.web.track.uplink: 'Fault' is neither fault nor a weight; write fault, -253 to -1, or 1 to 253",
            ],
        ),
        (
            tracking("track: nginx"),
            &[
                "6:12: instances.web.track: 'nginx' is no set of keys; write the name of a check and what it does, for example 'nginx: -60' or 'nginx: fault'",
            ],
        ),
        (
            tracking("track: { nginx: -60 }"),
            &["7:43: checks.uplink: warning: no instance tracks this check, so it moves nothing"],
        ),
        (
            tracking("preempt: false\ntrack: { nginx: -60, uplink: fault }"),
            &[
                "7:14: instances.web.track.nginx: warning: with 'preempt: false' a weight moves nothing, the lower master stays; write fault",
            ],
        ),
        (
            tracking("priority: 255\ntrack: { nginx: -60, uplink: fault }"),
            &[
                "7:14: instances.web.track.nginx: warning: a weight never moves an owner's priority of 255; write fault",
            ],
        ),
        (
            tracking("priority: 240\ntrack: { nginx: 20, uplink: -250 }"),
            &[
                "7:14: instances.web.track.nginx: warning: priority 240 and the weights make 260, but it ends at 254; write less",
                "7:25: instances.web.track.uplink: warning: priority 240 and this make -10, but it ends at 1; write less",
            ],
        ),
    ]);
}

#[test]
fn announcements_and_their_limits_are_bounded() {
    let limited = |limits: &str| format!("{INSTANCE}announce_limits: {limits}\n");
    told(&[
        (
            more("announce: { repeat: 0, after_lower: { repeat: 101, again_after: 5 } }"),
            &[
                "6:25: instances.web.announce.repeat: '0' is no number from 1 to 100; write one",
                "6:51: instances.web.announce.after_lower.repeat: '101' is no number from 1 to 100; write one",
                "6:69: instances.web.announce.after_lower.again_after: '5' has no unit; write 5ms, 5s, 5m or 5h, or off",
            ],
        ),
        (
            limited("[{ interfaces: [eth0], interval: 2s }]"),
            &["6:51: announce_limits[0].interval: '2s' is too long; write 0.001ms to 1s"],
        ),
        (
            limited("[{ interfaces: [eth0] }]"),
            &["6:19: announce_limits[0]: 'interval' is missing; write for example 'interval: 1ms'"],
        ),
        (
            limited("[{ interfaces: [eth0], interval: 1ms }, { interfaces: [eth1, eth0], interval: 1ms }]"),
            &["6:58: announce_limits[1]: eth0 has a limit already; write it in one of them"],
        ),
        (
            limited("[{ interval: 1ms }, { interval: 2ms }]"),
            &["6:38: announce_limits[1]: there is a limit for all other interfaces already; remove one"],
        ),
    ]);
}

#[test]
fn a_virtual_mac_that_cannot_be_is_met_with_what_to_write() {
    let twice = "  mail:\n    interface: eth0.7\n    virtual_router_id: 51\n    addresses: [192.0.2.20/24]\n    virtual_mac: true\n";
    told(&[
        (
            more("virtual_mac: 51"),
            &[
                "6:18: instances.web.virtual_mac: '51' is not true or false; write true or false, or a map of 'name' and 'adverts'",
            ],
        ),
        (
            more("virtual_mac: { name: eth0, adverts: eth0 }"),
            &[
                "6:41: instances.web.virtual_mac.adverts: 'eth0' is nowhere that adverts come from; write virtual or interface",
            ],
        ),
        (
            more("virtual_mac: { name: eth0 }"),
            &["6:26: instances.web.virtual_mac.name: 'eth0' is the interface below; write another name"],
        ),
        (
            more("priority: 255\nvirtual_mac: true"),
            &[
                "7:18: instances.web.virtual_mac: the owner's addresses are the interface's own, with the interface's Ethernet address; remove this, or write another priority than 255",
            ],
        ),
        (
            more("follow_interface: false\nvirtual_mac: true"),
            &[
                "6:23: instances.web.follow_interface: links with a virtual MAC lose their carrier with the interface; remove this, or 'virtual_mac'",
            ],
        ),
        (
            more("unicast: { peers: [192.0.2.2] }\nvirtual_mac: { adverts: virtual }"),
            &[
                "7:29: instances.web.virtual_mac.adverts: adverts to named peers come from the interface, line 6; write 'interface', or remove this",
            ],
        ),
        (
            format!("{}{twice}", more("virtual_mac: true")),
            &[
                "11:18: instances.mail.virtual_mac: instance 'web' has a link called 'vrrp.51' already; write for example 'virtual_mac: { name: v-mail }'",
            ],
        ),
    ]);
    let dual = "instances: { web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10, 2001:db8::10], virtual_mac: { name: a2345678901234 } } }";
    told(&[(
        dual.into(),
        &[
            "1:121: instances.web.virtual_mac.name: the IPv6 link would be called 'a2345678901234-6', which is longer than 15 bytes; write a shorter name",
        ],
    )]);
}
