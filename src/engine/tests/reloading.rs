//! One configuration after another: what stays the same does not notice.

use alloc::string::String;
use alloc::vec::Vec;

use super::driver::*;
use crate::engine::action::{Action, KernelWork};
use crate::engine::event::Event;
use crate::engine::notice::{State, What};
use crate::engine::settings::{Instance, Preempt, Settings, Unicast};
use crate::net::{Family, Priority, Vrid};
use crate::time::Duration;
use crate::wire::vrrp::{Advert, Version};

const NOTHING: [&str; 0] = [];

fn named(name: &str, vrid: u8, vips: &[&str]) -> Instance {
    Instance { name: name.into(), vrid: Vrid::new(vrid).unwrap(), addresses: nets(vips), ..instance(100) }
}

fn reload(host: &mut Host, settings: Settings) -> Vec<Action> {
    host.give(Event::Reload(settings))
}

fn reloaded(actions: &[Action]) -> [u32; 3] {
    let count = |what: What| match what {
        What::Reloaded { started, stopped, changed } => Some([started, stopped, changed]),
        _ => None,
    };
    notices(actions).into_iter().find_map(count).unwrap()
}

/// Everything but adverts, and without what is only said.
fn orders(actions: &[Action]) -> Vec<String> {
    outline(actions).into_iter().filter(|line| !line.contains("advert")).collect()
}

// In place.

#[test]
fn the_same_configuration_again_does_nothing() {
    for settings in [only(dual(100)), only(instance(255)), tracking(instance(100), &[])] {
        let mut host = Host::master(settings.clone());
        let due = host.engine.deadline();
        let actions = reload(&mut host, settings);
        assert_eq!((outline(&actions), reloaded(&actions)), (Vec::new(), [0, 0, 0]));
        assert_eq!(host.engine.deadline(), due);
    }
}

#[test]
fn an_instance_that_is_renamed_does_not_move() {
    let mut host = Host::master(only(instance(100)));
    let since = host.instance().since;
    let actions = reload(&mut host, only(Instance { name: "www".into(), ..instance(100) }));
    assert_eq!((outline(&actions), reloaded(&actions)), (Vec::new(), [0, 0, 1]));
    assert_eq!((host.named("www").state, host.named("www").since), (State::Master, since));
}

#[test]
fn a_new_priority_is_in_the_next_advert() {
    let mut host = Host::master(only(instance(100)));
    assert_eq!(outline(&reload(&mut host, only(instance(150)))), NOTHING);
    assert_eq!(host.instance().effective, Priority::new(150));
    assert_eq!(outline(&host.pass(SECOND)), ["IPv4 advert 150"]);
}

#[test]
fn a_new_interval_is_in_the_next_advert() {
    let mut host = Host::master(only(instance(100)));
    let actions = reload(&mut host, only(Instance { interval: ms(100), ..instance(100) }));
    assert_eq!(outline(&actions), ["open 192.0.2.10/32"], "the lease follows");
    let sent = adverts(&host.pass(ms(100)));
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].interval, ms(100));
}

#[test]
fn preempting_is_switched_in_place() {
    let patient = only(Instance { preempt: Preempt::Never, ..instance(100) });
    let mut host = Host::started(patient);
    host.hear(&advert(50));
    assert_eq!(transitions(&reload(&mut host, only(instance(100)))), []);
    for _ in 0..4 {
        host.hear(&advert(50));
        host.pass(SECOND);
    }
    assert_eq!(host.state(), State::Master);
}

#[test]
fn an_address_more_is_installed_and_nothing_else_moves() {
    let mut host = Host::master(only(named("web", 51, &["192.0.2.10/24"])));
    let since = host.instance().since;
    let actions = reload(&mut host, only(named("web", 51, &["192.0.2.10/24", "192.0.2.11/24"])));
    assert_eq!(holds(&actions).len(), 1);
    assert!(orders(&actions).contains(&"install 192.0.2.11/32".into()), "{:?}", orders(&actions));
    assert!(adverts(&actions).is_empty());
    assert_eq!((host.state(), host.instance().since), (State::Master, since));
    assert_eq!(adverts(&host.pass(SECOND))[0].addresses, ["192.0.2.10", "192.0.2.11"].map(ip));
}

#[test]
fn an_address_less_is_removed_and_nothing_else_moves() {
    let mut host = Host::master(only(named("web", 51, &["192.0.2.10/24", "192.0.2.11/24"])));
    let actions = reload(&mut host, only(named("web", 51, &["192.0.2.11/24"])));
    assert!(orders(&actions).contains(&"remove 192.0.2.10/32".into()));
    assert!(!orders(&actions).iter().any(|line| line.contains("shut")));
    assert_eq!((host.state(), host.held()), (State::Master, ["192.0.2.11/32".into()].into()));
}

#[test]
fn an_address_replaced_is_one_order_that_installs_and_removes() {
    let mut host = Host::master(only(named("web", 51, &["192.0.2.10/24"])));
    let order = holds(&reload(&mut host, only(named("web", 51, &["192.0.2.11/24"])))).remove(0);
    assert_eq!(order.install[0].place, on_eth0("192.0.2.11/32"));
    assert_eq!(order.remove, [on_eth0("192.0.2.10/32")]);
}

#[test]
fn other_unicast_peers_are_told_without_a_move() {
    let unicast = |peers: &[&str]| {
        let peers = peers.iter().map(|a| peer(ip(a))).collect();
        only(Instance { unicast: Some(Unicast { sources: [US].into(), peers }), ..instance(100) })
    };
    let mut host = Host::master(unicast(&["192.0.2.9"]));
    let actions = reload(&mut host, unicast(&["192.0.2.9", "192.0.2.8"]));
    assert_eq!((outline(&actions), reloaded(&actions)), (Vec::new(), [0, 0, 1]));
    assert_eq!(adverts(&host.pass(SECOND)).len(), 2);
}

// Stop and start.

#[test]
fn what_makes_it_another_virtual_router_stops_it_and_starts_it() {
    let unicast = Some(Unicast { sources: [US].into(), peers: [PEER].map(peer).into() });
    for new in [
        Instance { vrid: Vrid::new(52).unwrap(), ..instance(100) },
        Instance { version: Version::V2, ..instance(100) },
        Instance { unicast, ..instance(100) },
        Instance { interface: "eth1".into(), addresses: nets(&["198.51.100.10/24"]), ..instance(100) },
    ] {
        let mut host = Host::master(only(instance(100)));
        let actions = reload(&mut host, only(new));
        assert_eq!(reloaded(&actions), [1, 1, 0]);
        let ours = |line: &String| !line.starts_with("shut");
        let lines: Vec<_> = outline(&actions).into_iter().filter(ours).collect();
        assert_eq!(lines, ["IPv4 advert 0", "open 192.0.2.10/32"], "resigned, and still serving");
        host.pass(SECOND * 6);
        assert_eq!(host.engine.masters(), (1, 1));
        assert_eq!(host.kernel.len(), 1);
    }
}

#[test]
fn an_instance_that_is_removed_hands_over_and_goes() {
    let mut host = Host::master(only(instance(100)));
    let actions = reload(&mut host, all([]));
    assert_eq!(outline(&actions), ["IPv4 advert 0", "open 192.0.2.10/32"]);
    assert_eq!(reloaded(&actions), [0, 1, 0]);
    host.pass(ms(100));
    assert_eq!(outline(&host.hear(&advert(50))), ["frames-only 192.0.2.10/32"]);
    let gone = host.claim("192.0.2.10");
    assert_eq!(outline(&gone), ["shut 192.0.2.10/32", "remove 192.0.2.10/32", "forget"]);
    assert_eq!(host.engine.masters(), (0, 0));
    assert!(!host.engine.is_idle(), "the agent is not ending");
    assert!(listens(&gone).iter().any(|listen| listen.groups.is_none()), "its socket is closed");
}

#[test]
fn an_instance_that_is_added_leaves_the_others_alone() {
    let mut host = Host::master(only(instance(100)));
    let actions = reload(&mut host, all([instance(100), named("mail", 52, &["192.0.2.20/24"])]));
    let shut = ["shut 192.0.2.20/32".into()].into();
    assert_eq!((outline(&actions), reloaded(&actions)), (shut, [1, 0, 0]));
    assert_eq!(host.named("mail").state, State::Backup);
    host.pass(SECOND * 4);
    assert_eq!(host.held(), ["192.0.2.10/32", "192.0.2.20/32"]);
}

#[test]
fn an_instance_that_comes_back_while_it_is_leaving_starts_anew() {
    let mut host = Host::master(only(instance(100)));
    reload(&mut host, all([]));
    let actions = reload(&mut host, only(instance(100)));
    assert_eq!(reloaded(&actions), [1, 0, 0]);
    host.pass(SECOND * 8);
    assert_eq!((host.engine.masters(), host.held()), ((1, 1), ["192.0.2.10/32".into()].into()));
}

#[test]
fn an_instance_that_is_leaving_hears_its_successor_although_it_is_back() {
    let mut host = Host::master(only(instance(100)));
    reload(&mut host, all([]));
    reload(&mut host, only(instance(100)));
    host.pass(ms(600));
    let actions = host.hear(&advert(50));
    assert!(outline(&actions).contains(&"frames-only 192.0.2.10/32".into()), "{:?}", outline(&actions));
    let actions = host.claim("192.0.2.10");
    assert!(outline(&actions).contains(&"remove 192.0.2.10/32".into()), "{:?}", outline(&actions));
    assert_eq!((host.engine.masters(), host.held()), ((0, 1), [""; 0].map(Into::into).into()));
    assert_eq!(host.router(Family::Ipv4).counters.received, 1, "the one that is back has heard it, too");
}

// An address that moves.

#[test]
fn an_address_that_moves_between_masters_is_never_removed() {
    let mut host = Host::master(all([
        named("web", 51, &["192.0.2.10/24", "192.0.2.20/24"]),
        named("mail", 52, &["192.0.2.30/24"]),
    ]));
    let actions = reload(
        &mut host,
        all([named("web", 51, &["192.0.2.10/24"]), named("mail", 52, &["192.0.2.20/24", "192.0.2.30/24"])]),
    );
    for order in holds(&actions) {
        assert_eq!(order.remove, []);
    }
    assert!(orders(&actions).contains(&"install 192.0.2.20/32".into()));
    assert_eq!(host.held(), ["192.0.2.10/32", "192.0.2.20/32", "192.0.2.30/32"]);
}

#[test]
fn an_address_that_moves_to_a_backup_is_removed() {
    let mut host = Host::started(all([
        named("web", 51, &["192.0.2.10/24", "192.0.2.20/24"]),
        Instance { preempt: Preempt::Never, ..named("mail", 52, &["192.0.2.30/24"]) },
    ]));
    let mail = Advert { vrid: Vrid::new(52).unwrap(), ..advert(200) };
    for _ in 0..4 {
        host.hear(&mail);
        host.pass(SECOND);
    }
    reload(
        &mut host,
        all([
            named("web", 51, &["192.0.2.10/24"]),
            Instance { preempt: Preempt::Never, ..named("mail", 52, &["192.0.2.20/24", "192.0.2.30/24"]) },
        ]),
    );
    assert_eq!(host.held(), ["192.0.2.10/32"]);
}

#[test]
fn an_address_that_moved_is_gated_when_its_new_instance_loses_it() {
    let before =
        all([named("web", 51, &["192.0.2.10/24", "192.0.2.20/24"]), named("mail", 52, &["192.0.2.30/24"])]);
    let after =
        all([named("web", 51, &["192.0.2.10/24"]), named("mail", 52, &["192.0.2.20/24", "192.0.2.30/24"])]);
    let mut host = Host::master(before);
    reload(&mut host, after);
    let mail = Advert { vrid: Vrid::new(52).unwrap(), ..advert(200) };
    let shut: Vec<_> =
        outline(&host.hear(&mail)).into_iter().filter(|line| line.starts_with("shut")).collect();
    assert_eq!(shut, ["shut 192.0.2.20/32 192.0.2.30/32"]);
}

#[test]
fn an_address_is_announced_by_whoever_has_it_now() {
    let mut host = Host::master(only(named("web", 51, &["192.0.2.10/24"])));
    reload(&mut host, only(named("web", 51, &["192.0.2.11/24"])));
    host.pass(SECOND);
    assert_eq!(outline(&host.claim("192.0.2.10")), NOTHING);
    assert_eq!(outline(&host.claim("192.0.2.11")), ["announce 192.0.2.11/32"]);
}

#[test]
fn the_advert_grid_survives_a_reload_that_adds_an_address() {
    let mut host = Host::started(only(instance(100)));
    host.until(Duration::from_micros(3_609_375));
    host.pass(ms(400));
    reload(&mut host, only(named("web", 51, &["192.0.2.10/24", "192.0.2.11/24"])));
    assert_eq!(host.engine.deadline(), Some(START + Duration::from_micros(4_609_375)));
    let announced = |action: &Action| matches!(action, Action::Kernel(KernelWork::Announce(_)));
    assert!(!host.pass(SECOND).iter().any(announced));
}
