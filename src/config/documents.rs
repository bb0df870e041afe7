//! The examples and the manual page are promises too: they are read here, and miss no key.

use super::*;
use crate::engine::settings::{CheckSource, Effect, Preempt, Track};
use crate::wire::vrrp::Authentication;

const SMALLEST: &str = include_str!("../../etc/vipd.yaml");
const FULL: &str = include_str!("../../etc/full.yaml");
const MANUAL: &str = include_str!("../../docs/man/vipd.yaml.5");

/// Every key that is read, with the heading of the manual page that it stands under.
pub(crate) fn known_keys() -> Vec<(&'static str, Vec<&'static str>)> {
    let checks = checks::Kind::ALL.into_iter().flat_map(checks::Kind::keys).collect();
    vec![
        ("TOP", file::KEYS.to_vec()),
        ("TOP", realtime::KEYS.to_vec()),
        ("TOP", metrics::KEYS.to_vec()),
        ("TOP", mail::KEYS.to_vec()),
        ("NOTIFICATIONS", notify::KEYS.to_vec()),
        ("NOTIFICATIONS", webhook::KEYS.to_vec()),
        ("TOP", statics::KEYS.to_vec()),
        ("INSTANCES", instance::KEYS.to_vec()),
        ("INSTANCES", addresses::KEYS.to_vec()),
        ("INSTANCES", routes::KEYS.to_vec()),
        ("INSTANCES", routes::HOP_KEYS.to_vec()),
        ("INSTANCES", rules::KEYS.to_vec()),
        ("INSTANCES", unicast::KEYS.to_vec()),
        ("INSTANCES", unicast::PEER_KEYS.to_vec()),
        ("INSTANCES", multicast::KEYS.to_vec()),
        ("INSTANCES", [authentication::KEYS, authentication::SIMPLE].concat()),
        ("INSTANCES", [hmac::KEYS, hmac::KEY].concat()),
        ("INSTANCES", announce::KEYS.to_vec()),
        ("INSTANCES", track::KEYS.to_vec()),
        ("TOP", announce::LIMIT_KEYS.to_vec()),
        ("INSTANCES", damping::KEYS.to_vec()),
        ("GROUPS", groups::KEYS.to_vec()),
        ("INSTANCES", virtual_mac::KEYS.to_vec()),
        ("CHECKS", checks),
    ]
}

#[test]
fn the_smallest_example_is_right_and_small() {
    let config = parse(SMALLEST, "etc/vipd.yaml").unwrap();
    assert_eq!(config.warnings, []);
    assert!(SMALLEST.lines().count() <= 20);
    let [web] = config.settings.instances.as_slice() else { panic!("{config:?}") };
    assert_eq!((web.name.as_str(), web.interface.as_str(), web.vrid.get()), ("web", "eth0", 51));
    assert_eq!(web.tracks, [Track { check: "nginx".to_owned(), effect: Effect::Weight(-60) }]);
    assert_eq!(config.checks[0].kind.to_string(), "http http://127.0.0.1/");
}

#[test]
fn the_full_example_is_right_and_warns_of_the_clear_password_alone() {
    let config = parse(FULL, "etc/full.yaml").unwrap();
    let warnings: Vec<_> = config.warnings.iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(warnings, ["instances.legacy.authentication"]);
    let [web, api, legacy] = config.settings.instances.as_slice() else { panic!("{config:?}") };
    assert_eq!(web.addresses.len(), 5);
    assert_eq!(web.announce, announce::DEFAULT);
    assert_eq!(api.preempt, Preempt::Never);
    assert_eq!(config.settings.groups[0].members, ["api", "legacy"]);
    assert_eq!(api.unicast.as_ref().map(|unicast| unicast.peers.len()), Some(2));
    assert!(api.signs());
    assert_eq!(legacy.authentication, Authentication::Simple(*b"secret\0\0"));
    let uplink = config.settings.checks.iter().find(|check| check.name == "uplink").unwrap();
    assert_eq!(uplink.source, CheckSource::Interface("eth2".to_owned()));
    let gateway = config.checks.iter().find(|check| check.name == "gateway").unwrap();
    assert_eq!(gateway.kind.to_string(), "ping 192.0.2.1 from 192.0.2.2 through eth0");
    assert_eq!(config.checks.len() + 2, config.settings.checks.len());
}

#[test]
fn the_full_example_has_every_key() {
    // `password_file` cannot be read together with `password`, nor any of these where there are no such files.
    let commented = ["password_file", "priority_file", "token_file", "username"];
    let written = |key: &str| {
        FULL.lines().any(|line| {
            let line = line.trim_start().trim_start_matches("- ");
            line.trim_start_matches("# ").starts_with(&format!("{key}:"))
                && (line.starts_with(key) || commented.contains(&key))
        })
    };
    let keys = known_keys().into_iter().flat_map(|(_, keys)| keys);
    let missing: Vec<_> = keys.filter(|key| !written(key)).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn what_is_not_written_has_the_default_that_the_manual_names() {
    let web =
        "{ interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10], track: { c: fault }, MORE }";
    let with = |top: &str, more: &str, check: &str| {
        let (web, check) = (web.replace("MORE", more), format!("{{ http: http://192.0.2.1/, {check} }}"));
        parse(&format!("{{ instances: {{ web: {web} }}, checks: {{ c: {check} }}, {top} }}"), "f").unwrap()
    };
    let written = with(
        "startup_delay: 0s, boot_delay: 0s",
        "priority: 100, advert_interval: 1s, missed_adverts: 3, near_miss_percent: 80, version: 3, preempt: true, preempt_delay: 0s, \
         last_resort: false, follow_interface: true, \
         checksum: pseudo_header, announce: { again_after: 5s, repeat: 1, \
         refresh: 60s, refresh_repeat: 1, after_lower: { again_after: off, repeat: 1 } }, lease: true, accept: true, \
         virtual_mac: false",
        "method: GET, interval: 1s, timeout: 500ms, rise: 2, fall: 2, up_delay: 0s, down_delay: 0s",
    );
    assert_eq!(written, with("", "", ""));
    assert_eq!(with("", "", "interval: 200ms"), with("", "", "interval: 200ms, timeout: 200ms"));
}

#[test]
fn the_manual_has_every_key_under_its_heading() {
    for (heading, keys) in known_keys() {
        for key in keys {
            let entry = format!("\n.It Cm {key}");
            assert!(MANUAL.contains(&entry), "{heading}: {key}");
        }
    }
}

#[test]
fn the_examples_of_the_manual_are_right() {
    let mut examples = 0;
    for block in MANUAL.split(".Bd -literal").skip(1) {
        let body = block.split_once('\n').unwrap().1.split(".Ed").next().unwrap();
        if !body.starts_with("instances:") {
            continue;
        }
        examples += 1;
        let config = parse(&body.replace("\\-", "-").replace("\\&", ""), "vipd.yaml(5)").unwrap();
        assert!(config.warnings.iter().all(|warning| warning.path.ends_with("authentication")), "{config:?}");
    }
    assert!(examples >= 3);
}
