//! What there is to measure of instances and their virtual routers.

use std::collections::BTreeSet;

use super::near;
use super::{Family, Labels, number, of_millis, seconds, truth, with};
use crate::agent::report::{Counters, Instance, Role, Router, millis};
use crate::agent::stamp::Stamp;
use crate::engine::notice::State;

/// Every state, in the order of the alphabet.
const STATES: [Role; 4] = [Role::Backup, Role::Fault, Role::Init, Role::Master];

/// `backup`, `fault`, `init` or `master`.
fn word(state: Role) -> &'static str {
    State::from(state).as_str()
}

pub(super) fn families(instances: &[Instance], now: Stamp) -> Vec<Family> {
    // One that a reload stops may be there for a moment beside the one that follows it.
    let mut seen = BTreeSet::new();
    let instances: Vec<_> = instances.iter().filter(|one| seen.insert(labels(one))).collect();
    let mut families = standing(&instances);
    families.extend(holding(&instances, now));
    families.extend(routers(&instances));
    families.extend(counters(&instances));
    families.extend(near::families(&instances, labels));
    families
}

fn labels(one: &Instance) -> Labels {
    Labels::from([
        ("name", one.name.clone()),
        ("interface", one.interface.clone()),
        ("virtual_router_id", one.virtual_router_id.to_string()),
    ])
}

/// One number of each instance.
fn each(
    name: &'static str,
    help: &'static str,
    instances: &[&Instance],
    value: impl Fn(&Instance) -> f64,
) -> Family {
    Family::gauge(name, help, instances.iter().map(|one| (labels(one), value(one))))
}

/// Where instances stand, and how they got there.
fn standing(instances: &[&Instance]) -> Vec<Family> {
    let states = instances.iter().flat_map(|one| {
        let labels = labels(one);
        STATES.map(|state| (with(&labels, [("state", word(state))]), truth(one.state == state)))
    });
    let transitions = instances.iter().flat_map(|one| {
        let labels = labels(one);
        one.transitions.iter().map(move |made| {
            let more = [("from", word(made.from)), ("to", word(made.to)), ("reason", &made.reason_kind)];
            (with(&labels, more), number(made.count))
        })
    });
    vec![
        Family::gauge("vipd_state", "1 for the state that the instance is in, 0 for the others.", states),
        each(
            "vipd_last_transition_timestamp_seconds",
            "Since when the instance is in its state, in seconds since 1970.",
            instances,
            |one| seconds(one.since),
        ),
        Family::counter(
            "vipd_transitions",
            "Changes of the instance's state, by what it left, what it went to, and why.",
            transitions,
        ),
        Family::counter(
            "vipd_became_master",
            "How often the instance became master.",
            instances.iter().map(|one| (labels(one), number(one.times_master))),
        ),
        each(
            "vipd_effective_priority",
            "The priority that the instance bids with, after its tracks.",
            instances,
            |one| f64::from(one.priority.effective),
        ),
        each("vipd_configured_priority", "The priority as configured.", instances, |one| {
            f64::from(one.priority.configured)
        }),
        each(
            "vipd_stepped_down",
            "Whether the operator has asked the instance to step down.",
            instances,
            |one| truth(one.stepped_down),
        ),
        each(
            "vipd_duplicate_holder",
            "Whether another host acts as master of an instance that is master here.",
            instances,
            |one| truth(one.duplicate.is_some()),
        ),
    ]
}

/// What they hold, and for how long.
fn holding(instances: &[&Instance], now: Stamp) -> Vec<Family> {
    let addresses = instances.iter().flat_map(|one| {
        let labels = labels(one);
        one.addresses.iter().map(move |address| {
            let interface = address.interface.as_deref().unwrap_or(&one.interface);
            let more = [("address", address.address.as_str()), ("interface", interface)];
            (with(&labels, more), truth(address.installed))
        })
    });
    let leases = instances.iter().filter(|one| one.lease.enabled).flat_map(|one| {
        let labels = labels(one);
        let masters = one.routers.iter().filter(|router| router.state == Role::Master);
        masters.filter_map(move |router| {
            let sent = router.master.as_ref()?.heard;
            let left = one.lease.extension_ms - millis(now.since(sent));
            Some((with(&labels, [("family", &router.family)]), of_millis(left.max(0.0))))
        })
    });
    vec![
        Family::gauge("vipd_address_installed", "Whether the address is in the kernel, ours.", addresses),
        each(
            "vipd_lease_enabled",
            "Whether the addresses answer only as long as adverts leave.",
            instances,
            |one| truth(one.lease.enabled),
        ),
        Family::gauge(
            "vipd_lease_remaining_seconds",
            "How long the addresses of a master would answer without another advert.",
            leases,
        ),
    ]
}

/// One number of each virtual router.
fn each_router<'i>(
    instances: &'i [&'i Instance],
    value: impl Fn(&Router) -> Option<f64> + 'i,
) -> impl Iterator<Item = (Labels, f64)> + 'i {
    instances.iter().flat_map(|one| one.routers.iter().map(|router| (*one, router))).filter_map(
        move |(one, router)| Some((with(&labels(one), [("family", &router.family)]), value(router)?)),
    )
}

/// Where virtual routers stand.
fn routers(instances: &[&Instance]) -> Vec<Family> {
    let states = instances.iter().flat_map(|one| one.routers.iter().map(|router| (*one, router))).flat_map(
        |(one, router)| {
            let labels = with(&labels(one), [("family", &router.family)]);
            STATES.map(|state| (with(&labels, [("state", word(state))]), truth(router.state == state)))
        },
    );
    vec![
        Family::gauge(
            "vipd_router_state",
            "1 for the state that the virtual router of one family is in, 0 for the others.",
            states,
        ),
        Family::gauge(
            "vipd_master_heard_timestamp_seconds",
            "When the last advert of a master was received, or sent if it is ours, in seconds since 1970.",
            each_router(instances, |router| Some(seconds(router.master.as_ref()?.heard))),
        ),
        Family::gauge(
            "vipd_master_down_interval_seconds",
            "How long a silence ends the master's role (Master_Down_Interval).",
            each_router(instances, |router| Some(of_millis(router.master_down_ms))),
        ),
    ]
}

/// What virtual routers counted.
fn counters(instances: &[&Instance]) -> Vec<Family> {
    let count = |name, help, value: fn(&Counters) -> u64| {
        Family::counter(name, help, each_router(instances, |router| Some(number(value(&router.counters)))))
    };
    let discards = instances.iter().flat_map(|one| one.routers.iter().map(|router| (*one, router))).flat_map(
        |(one, router)| {
            let labels = with(&labels(one), [("family", &router.family)]);
            let discarded = router.counters.discarded.iter();
            discarded.map(move |(reason, count)| (with(&labels, [("reason", reason)]), number(*count)))
        },
    );
    vec![
        count("vipd_adverts_sent", "Adverts sent, once a destination.", |counted| counted.adverts_sent),
        count("vipd_adverts_received", "Adverts received and accepted.", |counted| counted.adverts_received),
        count("vipd_advert_send_failures", "Adverts that could not be sent.", |counted| {
            counted.send_failures
        }),
        count("vipd_resignations_sent", "Adverts with priority 0 sent.", |counted| counted.resignations_sent),
        count("vipd_resignations_received", "Adverts with priority 0 received.", |counted| {
            counted.resignations_received
        }),
        count(
            "vipd_address_mismatches",
            "Adverts accepted that list other addresses than configured here.",
            |counted| counted.address_mismatches,
        ),
        Family::counter("vipd_discards", "Adverts discarded, by reason.", discards),
    ]
}
