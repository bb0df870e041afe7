//! Who had better not be master, and is better than nobody: last resorts, and who lost the role too often.

use super::driver::*;
use crate::engine::event::{Event, Target};
use crate::engine::notice::{Reason, State, What};
use crate::engine::settings::{Damping, Effect, Instance, Preempt, Settings};
use crate::net::Priority;
use crate::proto::health::Verdict;

fn resort(priority: u8) -> Settings {
    tracking(Instance { last_resort: true, ..instance(priority) }, &[("nginx", Effect::Fault)])
}

fn healthy(settings: Settings) -> Host {
    let mut host = Host::started(settings);
    host.verdict("nginx", Verdict::Up);
    host
}

fn down() -> Reason {
    Reason::LastResort { why: Reason::CheckDown { check: "nginx".into() }.into() }
}

#[test]
fn a_last_resort_resigns_when_its_check_fails_and_stays_if_nobody_comes() {
    let mut host = healthy(resort(100));
    host.pass(SECOND * 4);
    assert_eq!(outline(&host.verdict("nginx", Verdict::Down)), ["IPv4 advert 0", "open 192.0.2.10/32"]);
    assert_eq!((host.state(), host.held()), (State::Backup, ["192.0.2.10/32".into()].into()));
    assert_eq!(outline(&host.pass(ms(1050)))[0], "IPv4 advert 1");
    assert_eq!((host.state(), host.reason()), (State::Master, down()));
    let warnings = host.warnings();
    assert_eq!(warnings, ["web is served from here as a last resort: check nginx is down"]);
    host.verdict("nginx", Verdict::Up);
    assert_eq!(outline(&host.pass(SECOND)), ["IPv4 advert 100"]);
}

#[test]
fn a_healthy_successor_has_the_addresses_of_a_last_resort() {
    let mut host = healthy(resort(100));
    host.pass(SECOND * 4);
    host.verdict("nginx", Verdict::Down);
    host.pass(ms(600));
    host.hear(&advert(50));
    host.pass(ms(100));
    assert_eq!((host.state(), host.held()), (State::Backup, [].into()));
    for _ in 0..10 {
        host.pass(SECOND);
        host.hear(&advert(50));
    }
    assert_eq!(host.state(), State::Backup);
    // It falls silent: better this one than nobody.
    host.pass(SECOND * 4);
    assert_eq!((host.state(), host.reason()), (State::Master, down()));
}

#[test]
fn one_last_resort_does_not_follow_another_that_resigns() {
    let mut host = Host::started(resort(100));
    host.verdict("nginx", Verdict::Down);
    host.hear(&advert(1));
    host.hear(&advert(0));
    host.pass(SECOND * 3);
    assert_eq!(host.state(), State::Backup);
    host.pass(SECOND);
    assert_eq!(host.state(), State::Master);
}

#[test]
fn a_healthy_one_replaces_a_last_resort_at_once_whatever_preempt_says() {
    let settings = tracking(
        Instance { last_resort: true, preempt: Preempt::Never, ..instance(100) },
        &[("nginx", Effect::Fault)],
    );
    let mut host = healthy(settings);
    for _ in 0..3 {
        host.hear(&advert(1));
        host.pass(SECOND);
    }
    host.hear(&advert(1));
    host.pass(ms(700));
    assert_eq!(host.state(), State::Master);
    // Any other lower one stays.
    let mut host = healthy(tracking(
        Instance { last_resort: true, preempt: Preempt::Never, ..instance(100) },
        &[("nginx", Effect::Fault)],
    ));
    for _ in 0..10 {
        host.hear(&advert(2));
        host.pass(SECOND);
    }
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn a_last_resort_without_an_interface_is_in_fault() {
    let mut host = healthy(resort(100));
    host.pass(SECOND * 4);
    host.verdict("nginx", Verdict::Down);
    let gone = crate::engine::event::Link { up: false, set_up: false, ..link(ETH0, "eth0") };
    host.change(crate::engine::event::Change::Link(gone));
    assert_eq!(host.state(), State::Fault);
}

#[test]
fn who_loses_the_role_too_often_leaves_it_to_others_for_a_while() {
    let damping = Damping { changes: 3, within: SECOND * 60, hold: SECOND * 300 };
    let mut host =
        healthy(tracking(Instance { damping: Some(damping), ..instance(100) }, &[("nginx", Effect::Fault)]));
    for loss in 1..=3 {
        host.pass(SECOND * 4);
        assert_eq!(host.state(), State::Master);
        let told = notices(&host.verdict("nginx", Verdict::Down));
        assert_eq!(told.contains(&What::Damped { hold: SECOND * 300 }), loss == 3);
        host.verdict("nginx", Verdict::Up);
    }
    host.hear(&advert(50));
    assert_eq!((host.instance().effective, host.reason()), (Priority::LAST, Reason::Damped));
    for _ in 0..299 {
        host.hear(&advert(50));
        host.pass(SECOND);
    }
    assert_eq!(host.state(), State::Backup);
    host.pass(SECOND);
    assert_eq!(host.instance().effective, Priority::new(100));
}

#[test]
fn a_damped_one_is_master_if_nobody_else_is() {
    let damping = Damping { changes: 2, within: SECOND * 60, hold: SECOND * 300 };
    let mut host =
        healthy(tracking(Instance { damping: Some(damping), ..instance(100) }, &[("nginx", Effect::Fault)]));
    for _ in 0..2 {
        host.pass(SECOND * 4);
        host.verdict("nginx", Verdict::Down);
        host.verdict("nginx", Verdict::Up);
    }
    host.pass(SECOND * 4);
    assert_eq!((host.state(), host.instance().effective), (State::Master, Priority::LAST));
}

#[test]
fn what_the_operator_asks_for_is_no_loss() {
    let damping = Damping { changes: 2, within: SECOND * 60, hold: SECOND * 300 };
    let mut host = Host::master(only(Instance { damping: Some(damping), ..instance(100) }));
    for _ in 0..4 {
        host.give(Event::StepDown(Target::All));
        host.hear(&advert(50));
        host.pass(ms(200));
        host.give(Event::Resume(Target::All));
        host.pass(SECOND * 4);
        assert_eq!((host.state(), host.instance().effective.get()), (State::Master, 100));
    }
}
