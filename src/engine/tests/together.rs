//! Dual stack: one virtual router a family, and they move together.

use super::driver::*;
use crate::engine::action::Place;
use crate::engine::event::{Change, Event};
use crate::engine::notice::{Reason, State};
use crate::engine::settings::Instance;
use crate::net::{Family, Priority};
use crate::time::Duration;

const NOTHING: [&str; 0] = [];

#[test]
fn both_families_take_over_in_the_same_turn() {
    let mut host = Host::started(only(dual(100)));
    let actions = host.until(Duration::from_micros(3_609_375));
    assert_eq!(
        outline(&actions),
        [
            "IPv4 advert 100",
            "IPv6 advert 100",
            "open 192.0.2.10/32",
            "open 2001:db8::10/128",
            "install 192.0.2.10/32 2001:db8::10/128"
        ]
    );
}

#[test]
fn a_family_that_is_ready_waits_for_the_other() {
    let mut host = Host::started(only(dual(100)));
    for _ in 0..10 {
        host.pass(SECOND);
        assert_eq!(outline(&host.hear(&advert6(200))), NOTHING);
    }
    assert_eq!((host.state(), host.held()), (State::Backup, [].into()));
    let reason = Reason::BetterMaster { address: PEER6, priority: Priority::new(200) };
    assert_eq!(host.reason(), reason);
    host.pass(SECOND * 4);
    assert_eq!(host.state(), State::Master);
}

#[test]
fn both_families_yield_when_one_hears_a_better_master() {
    let mut host = Host::master(only(dual(100)));
    let actions = host.hear(&advert6(200));
    assert_eq!(
        outline(&actions)[..5],
        [
            "IPv6 advert 100",
            "IPv4 advert 100",
            "shut 192.0.2.10/32",
            "shut 2001:db8::10/128",
            "remove 192.0.2.10/32 2001:db8::10/128"
        ],
        "farewells and no resignation"
    );
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn one_family_that_hears_a_lower_master_does_not_make_the_other_yield() {
    let mut host = Host::master(only(dual(100)));
    host.hear(&advert6(50));
    assert_eq!((host.state(), host.router(Family::Ipv4).state), (State::Master, State::Master));
}

#[test]
fn both_families_fault_together() {
    let mut host = Host::master(only(dual(100)));
    let gone = Place { link: ETH0, net: net("fe80::5/64") };
    let actions = host.change(Change::AddressGone(gone));
    assert_eq!(host.reason(), Reason::NoSource { interface: "eth0".into(), family: Family::Ipv6 });
    assert_eq!(outline(&actions)[0], "IPv4 advert 0", "IPv6 has no address left to say it from");
    assert_eq!((host.state(), host.held()), (State::Fault, [].into()));
}

#[test]
fn a_hand_over_waits_for_the_successor_in_both_families() {
    let mut host = Host::master(only(dual(100)));
    let resigned = ["IPv4 advert 0", "IPv6 advert 0", "open 192.0.2.10/32", "open 2001:db8::10/128"];
    assert_eq!(outline(&host.give(Event::Shutdown)), resigned);
    assert_eq!(outline(&host.hear(&advert(50))), ["frames-only 192.0.2.10/32"]);
    assert_eq!(outline(&host.claim("192.0.2.10")), NOTHING);
    assert_eq!(outline(&host.pass(ms(50))), NOTHING);
    assert_eq!(outline(&host.hear(&advert6(50))), ["frames-only 2001:db8::10/128"]);
    host.claim("2001:db8::10");
    assert!(host.engine.is_idle());
}

#[test]
fn an_instance_is_master_only_if_both_its_routers_are() {
    let mut host = Host::started(only(dual(100)));
    host.pass(SECOND * 3);
    host.hear(&advert6(200));
    host.pass(SECOND);
    assert_eq!(host.state(), State::Backup);
    let host = Host::master(only(dual(100)));
    let states = [Family::Ipv4, Family::Ipv6].map(|family| host.router(family).state);
    assert_eq!(states, [State::Master, State::Master]);
}

// The tie of equal priorities: the peer's addresses are the greater ones.

#[test]
fn who_loses_the_tie_in_the_first_family_yields_in_both_at_once() {
    let mut host = Host::master(only(dual(100)));
    host.hear(&advert(100));
    assert_eq!((host.state(), host.held()), (State::Backup, [].into()));
}

#[test]
fn who_wins_the_tie_in_the_first_family_does_not_yield_in_the_other() {
    let mut host = Host::master(only(dual(100)));
    let lesser = Arriving::between(&advert(100), ip("192.0.2.1"), Family::Ipv4.group());
    host.arrive(&lesser);
    assert_eq!(outline(&host.hear(&advert6(100)))[0], "IPv6 advert 100", "it is answered");
    // The peer has lost IPv4 and leaves; what it says last in IPv6 changes nothing.
    host.hear(&advert6(100));
    host.pass(SECOND * 10);
    assert_eq!(host.state(), State::Master);
    host.hear(&advert6(100));
    assert_eq!(host.state(), State::Master, "the quarrel before is over");
}

#[test]
fn a_rival_whose_families_do_not_move_together_is_yielded_to_in_the_end() {
    let mut host = Host::master(only(dual(100)));
    for _ in 0..4 {
        host.hear(&advert6(100));
        assert_eq!(host.state(), State::Master);
        host.pass(SECOND);
    }
    host.hear(&advert6(100));
    assert_eq!((host.state(), host.held()), (State::Backup, [].into()));
}

#[test]
fn a_higher_priority_is_yielded_to_in_any_family() {
    let mut host = Host::master(only(dual(100)));
    host.hear(&advert6(101));
    assert_eq!(host.state(), State::Backup);
}

// A family more or less by reload.

fn adding_ipv6() -> Host {
    let mut host = Host::master(only(instance(100)));
    host.obliging = false;
    host
}

#[test]
fn a_family_that_joins_by_reload_does_not_drop_the_other() {
    let mut host = adding_ipv6();
    let actions = host.give(Event::Reload(only(dual(100))));
    assert_eq!(transitions(&actions), []);
    assert_eq!(outline(&host.pass(SECOND)), ["IPv4 advert 100"]);
    let socket = listens(&actions).remove(0);
    let joined = host.give(Event::Opened(open(&socket)));
    assert_eq!(outline(&joined), ["IPv6 advert 100", "open 2001:db8::10/128"]);
    assert_eq!(transitions(&joined), []);
    assert_eq!(host.router(Family::Ipv6).state, State::Master);
}

#[test]
fn a_family_that_joins_by_reload_and_cannot_speak_does_not_drop_the_other() {
    let mut host = Host::master(only(instance(100)));
    host.change(Change::AddressGone(Place { link: ETH0, net: net("fe80::5/64") }));
    let actions = host.give(Event::Reload(only(dual(100))));
    assert_eq!(transitions(&actions), []);
    assert_eq!(outline(&host.pass(SECOND)), ["IPv4 advert 100"]);
    assert_eq!(host.state(), State::Master);
}

#[test]
fn a_family_that_joins_a_backup_by_reload_does_not_restart_the_others_timer() {
    let mut host = Host::started(only(instance(100)));
    host.pass(SECOND * 3);
    let actions = host.give(Event::Reload(only(dual(100))));
    assert_eq!(transitions(&actions), []);
    assert_eq!(host.state(), State::Backup);
    host.until(ms(3_700));
    assert_eq!(host.router(Family::Ipv4).state, State::Backup, "ready, but IPv6 still listens");
    host.until(ms(6_610));
    assert_eq!(host.state(), State::Master);
}

#[test]
fn a_family_that_leaves_by_reload_resigns_and_its_addresses_go() {
    let mut host = Host::master(only(dual(100)));
    let actions = host.give(Event::Reload(only(instance(100))));
    assert_eq!(outline(&actions)[0], "IPv6 advert 0");
    assert!(outline(&actions).contains(&"remove 2001:db8::10/128".into()));
    assert_eq!(transitions(&actions), []);
    assert_eq!(host.held(), ["192.0.2.10/32"]);
    assert_eq!(outline(&host.pass(SECOND)), ["IPv4 advert 100"]);
}

#[test]
fn a_reload_that_changes_every_family_is_a_stop_and_a_start() {
    let mut host = Host::master(only(instance(100)));
    let six = Instance { addresses: nets(&["2001:db8::10/64"]), ..instance(100) };
    let actions = host.give(Event::Reload(only(six)));
    assert!(outline(&actions).contains(&"IPv4 advert 0".into()));
    assert!(outline(&actions).contains(&"open 192.0.2.10/32".into()));
    host.pass(SECOND * 4);
    assert_eq!(host.held(), ["2001:db8::10/128"]);
}
