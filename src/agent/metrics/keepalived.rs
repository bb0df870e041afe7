//! The names that keepalived-exporter (github.com/mehdy/keepalived-exporter) gives to what keepalived counts, with its
//! labels, so that dashboards and alerts made for it go on.
//!
//! Left out is what is about the exporter itself, what is a constant (the delay of gratuitous ARP), and whether a script
//! runs at this moment.

use super::{Family, Labels, number, truth, with};
use crate::agent::report::{Check, Counters, Instance, Report, Role};
use crate::engine::notice::State;

pub(super) fn families(report: &Report) -> Vec<Family> {
    let mut families = vec![Family::gauge("keepalived_up", "Status", [(Labels::new(), 1.0)])];
    families.extend(states(&report.instances));
    families.extend(counters(&report.instances));
    families.extend(events(&report.instances));
    families.push(scripts(&report.checks));
    families
}

/// keepalived's number for a state.
fn code(state: Role) -> f64 {
    match state {
        Role::Init => 0.0,
        Role::Backup => 1.0,
        Role::Master => 2.0,
        Role::Fault => 3.0,
    }
}

fn states(instances: &[Instance]) -> [Family; 2] {
    let state = |advertised: bool| {
        instances.iter().flat_map(move |one| {
            let addresses = one.addresses.iter().filter(move |address| address.advertised == advertised);
            addresses.map(|address| {
                let bare = address.address.split('/').next().unwrap_or_default();
                let interface = address.interface.as_deref().unwrap_or(&one.interface);
                (with(&router(one), [("ip_address", bare), ("intf", interface)]), code(one.state))
            })
        })
    };
    [
        Family::gauge("keepalived_vrrp_state", "State of vrrp", state(true)),
        Family::gauge(
            "keepalived_vrrp_excluded_state",
            "State of vrrp with excluded virtual addresses",
            state(false),
        ),
    ]
}

fn router(one: &Instance) -> Labels {
    Labels::from([
        ("iname", one.name.clone()),
        ("intf", one.interface.clone()),
        ("vrid", one.virtual_router_id.to_string()),
    ])
}

fn labels(one: &Instance) -> Labels {
    with(&router(one), [("state", &State::from(one.state).to_string())])
}

type Count = fn(&Counters) -> u64;

fn discarded(counted: &Counters, reasons: &[&str]) -> u64 {
    reasons.iter().filter_map(|reason| counted.discarded.get(*reason)).sum()
}

/// What is counted a virtual router here, and a VRRP instance there: the families together.
fn counters(instances: &[Instance]) -> impl Iterator<Item = Family> + '_ {
    let table: [(&str, &str, Count); 12] = [
        ("keepalived_advertisements_received", "Advertisements received", |c| c.adverts_received),
        ("keepalived_advertisements_sent", "Advertisements sent", |c| c.adverts_sent),
        ("keepalived_packet_length_errors", "Packet length errors", |c| {
            discarded(c, &["truncated", "length", "count_zero"])
        }),
        ("keepalived_advertisements_interval_errors", "Advertisement interval errors", |c| {
            discarded(c, &["interval"])
        }),
        ("keepalived_ip_ttl_errors", "TTL errors", |c| discarded(c, &["hop_limit"])),
        ("keepalived_invalid_type_received", "Invalid type errors", |c| discarded(c, &["type"])),
        ("keepalived_address_list_errors", "Address list errors", |c| c.address_mismatches),
        ("keepalived_authentication_invalid", "Authentication invalid", |c| {
            discarded(c, &["hmac_malformed"])
        }),
        ("keepalived_authentication_mismatch", "Authentication mismatch", |c| {
            discarded(c, &["authentication_type", "hmac_missing"])
        }),
        ("keepalived_authentication_failure", "Authentication failure", |c| {
            discarded(c, &["authentication", "hmac_unknown_key", "hmac_invalid", "hmac_stale", "hmac_replay"])
        }),
        ("keepalived_priority_zero_received", "Priority zero received", |c| c.resignations_received),
        ("keepalived_priority_zero_sent", "Priority zero sent", |c| c.resignations_sent),
    ];
    table.into_iter().map(|(name, help, count)| {
        let sum = move |one: &Instance| one.routers.iter().map(|router| count(&router.counters)).sum();
        Family::counter(name, help, instances.iter().map(|one| (labels(one), number(sum(one)))))
    })
}

fn events(instances: &[Instance]) -> [Family; 2] {
    let released = |one: &Instance| {
        let left = one.transitions.iter().filter(|made| made.from == Role::Master);
        left.map(|made| made.count).sum()
    };
    [
        Family::counter(
            "keepalived_become_master",
            "Became master",
            instances.iter().map(|one| (labels(one), number(one.times_master))),
        ),
        Family::counter(
            "keepalived_release_master",
            "Released master",
            instances.iter().map(|one| (labels(one), number(released(one)))),
        ),
    ]
}

fn scripts(checks: &[Check]) -> Family {
    let verdicts = checks
        .iter()
        .filter_map(|check| Some((Labels::from([("name", check.name.clone())]), truth(check.up?))));
    Family::gauge("keepalived_script_status", "Tracker Script Status", verdicts)
}
