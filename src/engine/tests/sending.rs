//! When adverts do not go out: the kernel refuses them, or the agent slept.

use alloc::vec::Vec;

use super::driver::*;
use crate::engine::action::Action;
use crate::engine::event::{Change, Event, Link};
use crate::engine::notice::{Reason, State, What};
use crate::engine::settings::{Instance, Unicast};
use crate::net::Family;
use crate::time::Duration;

const NOTHING: [&str; 0] = [];

/// One interval, at the end of which the advert is refused.
fn refused_advert(host: &mut Host) -> Vec<Action> {
    let mut actions = host.pass(SECOND);
    actions.extend(host.send_failed());
    actions
}

/// Adverts are refused until the master gives up, a quarter of an interval before its lease ends.
fn fall_silent(host: &mut Host) -> Vec<Action> {
    refused_advert(host);
    refused_advert(host);
    host.pass(ms(749));
    assert_eq!(host.state(), State::Master);
    host.pass(ms(1))
}

fn mute() -> Reason {
    Reason::NoSocket { why: "adverts cannot be sent: send an advert: Operation not permitted".into() }
}

/// A master whose last good advert is one interval old at the next second.
fn on_the_second() -> Host {
    let mut host = Host::started(only(instance(100)));
    host.until(Duration::from_micros(3_609_375));
    host
}

// Refusals.

#[test]
fn a_master_is_mute_when_no_advert_got_out_until_its_lease_is_about_to_end() {
    let mut host = on_the_second();
    let actions = fall_silent(&mut host);
    assert_eq!((host.state(), host.reason()), (State::Fault, mute()));
    assert!(outline(&actions).contains(&"remove 192.0.2.10/32".into()));
}

#[test]
fn a_single_refusal_changes_nothing_and_is_told() {
    let mut host = on_the_second();
    let told = notices(&refused_advert(&mut host));
    assert_eq!(told, [What::SendFailed { why: "send an advert: Operation not permitted".into() }]);
    assert_eq!(notices(&host.pass(SECOND)), []);
    assert_eq!(notices(&host.pass(SECOND)), [What::SendRecovered]);
    for _ in 0..10 {
        host.pass(SECOND);
        host.pass(SECOND);
        refused_advert(&mut host);
    }
    assert_eq!(host.state(), State::Master);
}

#[test]
fn the_first_advert_of_a_new_master_may_be_refused() {
    let mut host = on_the_second();
    host.send_failed();
    assert_eq!((host.state(), host.held()), (State::Master, ["192.0.2.10/32".into()].into()));
    fall_silent(&mut host);
    assert_eq!(host.state(), State::Fault);
}

#[test]
fn one_family_that_is_mute_is_known_before_its_lease_ends_and_the_other_resigns() {
    let mut host = Host::master(only(dual(100)));
    // This turn is a little late, and the next ones are not.
    host.now = host.engine.deadline().unwrap() + ms(5);
    assert_eq!(outline(&host.turn()), ["IPv4 advert 100", "IPv6 advert 100"]);
    let lease = host.now + SECOND * 3;
    let refuse = |host: &mut Host| {
        let refusal = refusal("send an advert: Operation not permitted");
        let instance = host.engine.instances[0].id;
        host.give(Event::SendFailed { instance, family: Family::Ipv6, refusal })
    };
    host.pass(ms(995));
    refuse(&mut host);
    assert_eq!(host.state(), State::Master);
    host.pass(SECOND);
    refuse(&mut host);
    host.pass(ms(754));
    assert_eq!(host.state(), State::Master);
    let actions = host.pass(ms(1));
    assert_eq!((host.state(), host.reason()), (State::Fault, mute()));
    assert!(outline(&actions).contains(&"IPv4 advert 0".into()));
    assert!(host.now < lease);
}

#[test]
fn a_router_that_is_mute_again_and_again_stays_out_for_longer_and_longer() {
    let mut host = on_the_second();
    for pause in [10_u64, 20, 40, 80, 160, 320, 600, 600] {
        fall_silent(&mut host);
        host.pass(ms(1000 * pause - 1));
        assert_eq!(host.state(), State::Fault, "for {pause} seconds");
        host.pass(ms(1));
        assert_eq!(host.state(), State::Backup);
        host.pass(Duration::from_micros(3_609_375));
        assert_eq!(host.state(), State::Master);
    }
    // Ten minutes without trouble, and the next is the first again.
    host.pass(SECOND * 600);
    fall_silent(&mut host);
    host.pass(SECOND * 10);
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn a_refusal_that_is_reported_late_counts_as_well() {
    let mut host = on_the_second();
    for _ in 0..2 {
        host.pass(SECOND);
        host.now = host.now + ms(1);
        host.send_failed();
        host.now = host.now - ms(1);
    }
    host.pass(ms(750));
    assert_eq!(host.state(), State::Fault);
}

#[test]
fn a_unicast_master_is_not_mute_while_one_peer_can_be_reached() {
    let unicast = Unicast { sources: [US].into(), peers: [PEER, ip("198.51.100.9")].map(peer).into() };
    let mut host = Host::master(only(Instance { unicast: Some(unicast), ..instance(100) }));
    for _ in 0..10 {
        refused_advert(&mut host);
    }
    assert_eq!(host.state(), State::Master);
    for _ in 0..4 {
        refused_advert(&mut host);
        host.send_failed();
    }
    assert_eq!(host.state(), State::Fault);
}

#[test]
fn a_mute_router_stays_out_for_ten_seconds_and_tries_again() {
    let mut host = on_the_second();
    fall_silent(&mut host);
    assert_eq!(outline(&host.pass(ms(9_999))), NOTHING);
    assert_eq!(host.state(), State::Fault);
    host.pass(ms(1));
    assert_eq!(host.state(), State::Backup);
    host.pass(SECOND * 4);
    assert_eq!(host.state(), State::Master);
}

#[test]
fn a_mute_routers_resignation_may_be_refused_as_well() {
    let mut host = on_the_second();
    fall_silent(&mut host);
    host.send_failed();
    assert_eq!((host.state(), host.reason()), (State::Fault, mute()));
    host.pass(SECOND * 9);
    assert_eq!(host.state(), State::Fault);
}

#[test]
fn a_mute_router_that_is_kept_out_by_something_else_does_not_spin() {
    let mut host = on_the_second();
    fall_silent(&mut host);
    host.change(Change::Link(Link { up: false, ..link(ETH0, "eth0") }));
    assert_eq!(outline(&host.pass(SECOND * 60)), NOTHING);
    assert_eq!(host.reason(), Reason::InterfaceDown { interface: "eth0".into() });
}

// Stalls.

fn stall(host: &mut Host, late: Duration) -> Vec<Action> {
    let due = host.engine.deadline().unwrap();
    host.now = due + late;
    let mut actions = host.give(Event::Stalled { late });
    actions.extend(host.turn());
    actions
}

#[test]
fn a_master_that_slept_past_three_intervals_asks_who_is_there_before_it_answers() {
    let mut host = on_the_second();
    let actions = stall(&mut host, SECOND * 2);
    assert_eq!(outline(&actions)[..2], ["shut 192.0.2.10/32", "remove 192.0.2.10/32"]);
    assert_eq!(notices(&actions)[0], What::Stalled { late: SECOND * 2 });
    assert_eq!((host.state(), host.reason()), (State::Backup, Reason::Stalled));
    // One interval and Skew_Time, 609.375 ms.
    assert_eq!(outline(&host.pass(ms(1609))), NOTHING);
    let again = ["IPv4 advert 100", "open 192.0.2.10/32", "install 192.0.2.10/32"];
    assert_eq!(outline(&host.pass(ms(1))), again);
    assert_eq!(host.reason(), Reason::Stalled);
}

#[test]
fn a_master_that_slept_past_three_intervals_and_hears_a_better_one_is_its_backup() {
    let mut host = on_the_second();
    stall(&mut host, SECOND * 2);
    host.hear(&advert(200));
    host.pass(SECOND * 2);
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn a_master_that_was_late_by_less_than_its_lease_goes_on() {
    let mut host = on_the_second();
    let actions = stall(&mut host, ms(1749));
    assert_eq!(outline(&actions), ["IPv4 advert 100", "open 192.0.2.10/32"], "asks whether it is open still");
    assert_eq!(host.state(), State::Master);
}

#[test]
fn a_master_whose_advert_might_miss_the_end_of_its_lease_does_not_try() {
    let mut host = on_the_second();
    stall(&mut host, ms(1750));
    assert_eq!(host.state(), State::Backup);
    let mut host = Host::master(only(Instance { lease: false, ..instance(100) }));
    stall(&mut host, ms(1750));
    assert_eq!(host.state(), State::Master);
}

#[test]
fn a_backup_that_slept_listens_from_anew() {
    let mut host = Host::started(only(instance(100)));
    host.hear(&advert(200));
    assert_eq!(outline(&stall(&mut host, SECOND * 60)), NOTHING);
    assert_eq!((host.state(), host.router(Family::Ipv4).state), (State::Backup, State::Backup));
    host.pass(ms(3609));
    assert_eq!(host.state(), State::Backup);
    host.pass(ms(1));
    assert_eq!(host.state(), State::Master);
}

#[test]
fn a_backup_that_was_late_by_less_than_an_interval_does_not_listen_again() {
    let mut host = Host::started(only(instance(100)));
    assert_eq!(
        outline(&stall(&mut host, ms(900))),
        ["IPv4 advert 100", "open 192.0.2.10/32", "install 192.0.2.10/32"]
    );
}
