//! What the engine says would happen is what happens then.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::driver::*;
use crate::engine::event::Target;
use crate::engine::foresight::{Foresight, Supposition};
use crate::engine::notice::{State, What};
use crate::engine::settings::{Adverts, Effect, Instance, Preempt, Settings, VirtualMac};
use crate::proto::health::Verdict;
use crate::time::Duration;

const MINUS: (&str, Effect) = ("nginx", Effect::Weight(-60));

/// What an instance would become, and when.
fn foretold(host: &Host, foresight: &Foresight) -> Vec<(State, Duration)> {
    let told = foresight.notices.iter().filter_map(|notice| match notice.what {
        What::Transition { to, .. } => Some((to, notice.at.since(host.now))),
        _ => None,
    });
    told.collect()
}

fn suppose(host: &Host, supposition: Supposition) -> Vec<(State, Duration)> {
    foretold(host, &host.engine.foresee(host.now, supposition, SECOND * 60))
}

/// A backup of a better master that has been heard just now.
fn backup(settings: Settings, master: u8) -> Host {
    let mut host = Host::started(settings);
    for _ in 0..3 {
        host.hear(&advert(master));
        host.pass(SECOND);
    }
    host.hear(&advert(master));
    host
}

/// When the host becomes master if nothing more is heard.
fn masters_at(host: &mut Host) -> Duration {
    let now = host.now;
    while host.state() != State::Master {
        let due = host.engine.deadline().unwrap();
        host.pass(due.since(host.now));
    }
    host.now.since(now)
}

#[test]
fn nothing_is_foretold_while_the_master_goes_on() {
    let host = backup(only(instance(100)), 200);
    assert_eq!(suppose(&host, Supposition::Nothing), []);
}

#[test]
fn the_end_of_the_masters_adverts_is_followed_when_it_will_be() {
    let mut host = backup(only(instance(100)), 200);
    host.pass(ms(300));
    let foretold = suppose(&host, Supposition::Silence);
    assert_eq!(foretold, [(State::Master, masters_at(&mut host))]);
}

#[test]
fn looking_ahead_changes_nothing() {
    let host = backup(only(instance(100)), 200);
    let (status, deadline) = (host.engine.status(host.now), host.engine.deadline());
    host.engine.foresee(host.now, Supposition::Silence, SECOND * 60);
    assert_eq!((host.engine.status(host.now), host.engine.deadline()), (status, deadline));
}

#[test]
fn a_check_that_recovers_makes_a_master_of_the_better_one() {
    let mut host = Host::started(tracking(instance(150), &[MINUS]));
    host.verdict("nginx", Verdict::Down);
    for _ in 0..3 {
        host.hear(&advert(100));
        host.pass(SECOND);
    }
    host.hear(&advert(100));
    let up = || Supposition::Verdict { check: "nginx".into(), up: true };
    let foretold = suppose(&host, up());
    assert_eq!(foretold.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [State::Master]);
    host.verdict("nginx", Verdict::Up);
    assert_eq!(foretold[0].1, masters_at(&mut host));
}

#[test]
fn a_check_that_recovers_changes_nothing_where_the_master_is_better_all_the_same() {
    let mut host = Host::started(tracking(instance(150), &[MINUS]));
    host.verdict("nginx", Verdict::Down);
    host.hear(&advert(200));
    assert_eq!(suppose(&host, Supposition::Verdict { check: "nginx".into(), up: true }), []);
}

#[test]
fn a_preemption_that_waits_is_foretold_with_its_delay() {
    let patient = Instance { preempt: Preempt::After(SECOND * 20), ..instance(150) };
    let mut host = Host::started(tracking(patient, &[MINUS]));
    host.verdict("nginx", Verdict::Down);
    for _ in 0..3 {
        host.hear(&advert(100));
        host.pass(SECOND);
    }
    host.hear(&advert(100));
    let foretold = suppose(&host, Supposition::Verdict { check: "nginx".into(), up: true });
    assert!(matches!(foretold[..], [(State::Master, after)] if after >= SECOND * 20), "{foretold:?}");
}

#[test]
fn a_check_that_fails_is_a_fault_at_once() {
    let mut host = Host::started(tracking(instance(100), &[("nginx", Effect::Fault)]));
    host.verdict("nginx", Verdict::Up);
    host.pass(SECOND * 4);
    let foretold = suppose(&host, Supposition::Verdict { check: "nginx".into(), up: false });
    assert_eq!(foretold, [(State::Fault, Duration::ZERO)]);
}

#[test]
fn who_steps_down_alone_comes_back() {
    let host = Host::master(only(instance(100)));
    let foretold = suppose(&host, Supposition::StepDown(Target::All));
    assert_eq!(foretold.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [State::Backup, State::Master]);
}

#[test]
fn a_reload_shows_what_would_be_where() {
    let host = Host::master(only(instance(100)));
    let more = Instance { addresses: nets(&["192.0.2.10/24", "192.0.2.11/24"]), ..instance(100) };
    let supposition = Supposition::Reload(Box::new(only(more)));
    let foresight = host.engine.foresee(host.now, supposition, SECOND * 10);
    let after = &foresight.status.instances[0];
    assert_eq!((after.state, after.addresses.len()), (State::Master, 2));
    assert!(after.addresses.iter().all(|address| address.installed), "{after:?}");
    assert_eq!(foretold(&host, &foresight), []);
}

#[test]
fn an_instance_that_a_reload_adds_is_master_where_nobody_else_is() {
    let host = Host::master(only(instance(100)));
    let other = Instance {
        name: "db".into(),
        vrid: crate::net::Vrid::new(52).unwrap(),
        addresses: nets(&["192.0.2.20/24"]),
        ..instance(100)
    };
    let supposition = Supposition::Reload(Box::new(all([instance(100), other])));
    let foresight = host.engine.foresee(host.now, supposition, SECOND * 10);
    assert_eq!(foresight.status.instances[1].state, State::Master);
}

#[test]
fn an_instance_that_a_reload_gives_a_virtual_mac_is_master_again_on_the_link_that_is_made() {
    for (told, instance) in [("IPv4", instance(100)), ("dual stack", dual(100))] {
        let host = Host::master(only(instance.clone()));
        let number = host.engine.numbers().next().unwrap().0;
        let virtual_mac = Some(VirtualMac { name: None, adverts: Adverts::Virtual });
        let supposition = Supposition::Reload(Box::new(only(Instance { virtual_mac, ..instance })));
        let foresight = host.engine.foresee(host.now, supposition, SECOND * 20);
        let [after] = foresight.status.instances.as_slice() else { panic!("{told}: {foresight:?}") };
        assert_eq!(after.state, State::Master, "{told}: {}", after.reason);
        let states = |(_, to, _)| to;
        let old: Vec<_> = foresight.transitions_of(number).map(states).collect();
        let new: Vec<_> = foresight.transitions_beside("web", &[number]).map(states).collect();
        assert_eq!(old.last(), Some(&State::Init), "{told}");
        assert_eq!(new, [State::Backup, State::Master], "{told}");
    }
}
