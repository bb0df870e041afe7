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
fn a_master_is_mute_when_no_advert_got_out_for_three_intervals() {
    let mut host = on_the_second();
    for _ in 0..2 {
        refused_advert(&mut host);
        assert_eq!(host.state(), State::Master);
    }
    let actions = refused_advert(&mut host);
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
    refused_advert(&mut host);
    refused_advert(&mut host);
    assert_eq!(host.state(), State::Master);
    refused_advert(&mut host);
    assert_eq!(host.state(), State::Fault);
}

#[test]
fn a_refusal_that_is_reported_late_counts_as_well() {
    let mut host = on_the_second();
    for _ in 0..3 {
        host.pass(SECOND);
        host.now = host.now + ms(1);
        host.send_failed();
        host.now = host.now - ms(1);
    }
    assert_eq!(host.state(), State::Fault);
}

#[test]
fn a_unicast_master_is_not_mute_while_one_peer_can_be_reached() {
    let unicast = Unicast { sources: [US].into(), peers: [PEER, ip("198.51.100.9")].into() };
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
    for _ in 0..3 {
        refused_advert(&mut host);
    }
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
    for _ in 0..3 {
        refused_advert(&mut host);
    }
    host.send_failed();
    assert_eq!((host.state(), host.reason()), (State::Fault, mute()));
    host.pass(SECOND * 9);
    assert_eq!(host.state(), State::Fault);
}

#[test]
fn a_mute_router_that_is_kept_out_by_something_else_does_not_spin() {
    let mut host = on_the_second();
    for _ in 0..3 {
        refused_advert(&mut host);
    }
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
