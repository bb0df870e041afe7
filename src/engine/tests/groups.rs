//! Sync groups: instances that are master together, or not at all.

use alloc::vec::Vec;

use super::driver::*;
use crate::engine::action::Action;
use crate::engine::event::{Change, Event, Link, Target};
use crate::engine::notice::{Reason, State, What};
use crate::engine::settings::{Check, CheckSource, Effect, Group, Instance, Preempt, Settings, Track};
use crate::net::{Priority, Vrid};
use crate::proto::health::Verdict;
use crate::wire::vrrp::Advert;

/// On eth1, number 52.
fn db(priority: u8) -> Instance {
    Instance {
        name: "db".into(),
        interface: "eth1".into(),
        vrid: Vrid::new(52).unwrap(),
        addresses: nets(&["198.51.100.10/24"]),
        ..instance(priority)
    }
}

fn group(tracks: &[(&str, Effect)]) -> Group {
    let track = |(check, effect): &(&str, Effect)| Track { check: (*check).into(), effect: *effect };
    let members = ["web".into(), "db".into()].into();
    Group { name: "site".into(), members, tracks: tracks.iter().map(track).collect() }
}

fn checks(names: &[&str]) -> Vec<Check> {
    names.iter().map(|name| Check::new((*name).into(), CheckSource::Probe)).collect()
}

/// Both, with one priority.
fn site(priority: u8) -> Settings {
    Settings { groups: [group(&[])].into(), ..all([instance(priority), db(priority)]) }
}

/// What a peer on eth1 says.
fn on_eth1(priority: u8, source: &str) -> Arriving {
    let advert =
        Advert { vrid: Vrid::new(52).unwrap(), addresses: [ip("198.51.100.10")].into(), ..advert(priority) };
    Arriving { link: ETH1, ..Arriving::between(&advert, ip(source), ip("224.0.0.18")) }
}

fn states(host: &Host) -> [State; 2] {
    [host.named("web").state, host.named("db").state]
}

fn eth1(up: bool) -> Change {
    Change::Link(Link { up, ..link(ETH1, "eth1") })
}

fn group_transitions(actions: &[Action]) -> Vec<(State, State)> {
    let told = |what: What| match what {
        What::GroupTransition { from, to, .. } => Some((from, to)),
        _ => None,
    };
    notices(actions).into_iter().filter_map(told).collect()
}

#[test]
fn a_group_is_master_only_if_every_member_can_be() {
    let mut host = Host::started(site(100));
    for _ in 0..10 {
        host.arrive(&on_eth1(200, "198.51.100.9"));
        host.pass(SECOND);
    }
    assert_eq!(states(&host), [State::Backup; 2]);
    let why = Reason::BetterMaster { address: ip("198.51.100.9"), priority: Priority::new(200) };
    assert_eq!(host.named("db").reason, why);
    assert_eq!(host.named("web").reason, Reason::Member { member: "db".into(), why: why.into() });
    // It falls silent, and both take over at once.
    let actions = host.pass(SECOND * 3);
    assert_eq!(states(&host), [State::Master; 2]);
    assert_eq!(group_transitions(&actions), [(State::Backup, State::Master)]);
}

/// Whom each member's router knows to be master.
fn masters(host: &Host) -> [Option<core::net::IpAddr>; 2] {
    let status = host.engine.status(host.now);
    ["web", "db"].map(|name| {
        let one = status.instances.iter().find(|one| one.name == name).unwrap();
        one.routers[0].master.map(|master| master.address)
    })
}

#[test]
fn who_waits_for_a_member_that_does_not_preempt_knows_the_master_that_it_would_replace() {
    let db = Instance { preempt: Preempt::Never, ..db(100) };
    let mut host = Host::started(Settings { groups: [group(&[])].into(), ..all([instance(100), db]) });
    for _ in 0..10 {
        host.hear(&advert(90));
        host.arrive(&on_eth1(90, "198.51.100.9"));
        host.pass(SECOND);
        assert_eq!(masters(&host), [Some(PEER), Some(ip("198.51.100.9"))]);
    }
    assert_eq!(states(&host), [State::Backup; 2]);
    let why = Reason::OtherMaster { address: ip("198.51.100.9"), priority: Priority::new(90) };
    assert_eq!(host.named("web").reason, Reason::Member { member: "db".into(), why: why.into() });
    // When it dies on one network the other is where it is.
    for _ in 0..5 {
        host.arrive(&on_eth1(90, "198.51.100.9"));
        host.pass(SECOND);
    }
    assert_eq!(masters(&host), [None, Some(ip("198.51.100.9"))]);
}

#[test]
fn a_master_that_has_fallen_silent_is_none_although_the_others_keep_it_from_the_role() {
    let mut host = Host::started(site(100));
    for _ in 0..3 {
        host.hear(&advert(200));
        host.arrive(&on_eth1(200, "198.51.100.9"));
        host.pass(SECOND);
    }
    assert_eq!(masters(&host), [Some(PEER), Some(ip("198.51.100.9"))]);
    for _ in 0..5 {
        host.hear(&advert(200));
        host.pass(SECOND);
    }
    assert_eq!(states(&host), [State::Backup; 2]);
    assert_eq!(masters(&host), [Some(PEER), None]);
    let why = Reason::BetterMaster { address: PEER, priority: Priority::new(200) };
    assert_eq!(host.named("db").reason, Reason::Member { member: "web".into(), why: why.into() });
}

#[test]
fn a_fault_of_one_is_everybodys_and_says_whose_it_is() {
    let mut host = Host::master(site(100));
    assert_eq!(states(&host), [State::Master; 2]);
    let actions = host.change(eth1(false));
    assert_eq!(states(&host), [State::Fault; 2]);
    assert_eq!(
        adverts(&actions).iter().map(|a| (a.vrid.get(), a.priority.get())).collect::<Vec<_>>(),
        [(51, 0)]
    );
    assert_eq!(host.held(), [""; 0]);
    let said = host.named("web").reason.to_string();
    assert_eq!(said, "member db is in fault: interface eth1 is down or has no carrier");
    assert_eq!(host.named("db").reason, Reason::InterfaceDown { interface: "eth1".into() });
    assert_eq!(group_transitions(&actions), [(State::Master, State::Fault)]);
    host.change(eth1(true));
    assert_eq!(states(&host), [State::Backup; 2]);
    host.pass(SECOND * 4);
    assert_eq!(states(&host), [State::Master; 2]);
}

#[test]
fn a_better_master_of_one_has_all_step_back_in_the_same_step() {
    let mut host = Host::master(site(100));
    let actions = host.arrive(&on_eth1(200, "198.51.100.9"));
    assert_eq!(states(&host), [State::Backup; 2]);
    let said: Vec<_> = adverts(&actions).iter().map(|a| (a.vrid.get(), a.priority.get())).collect();
    assert_eq!(
        said,
        [(52, 100), (51, 0)],
        "a farewell to the better one, and a resignation where nobody was heard"
    );
}

#[test]
fn the_tracks_of_a_group_bear_on_every_member() {
    let settings = |effect| Settings {
        groups: [group(&[("gw", effect)])].into(),
        checks: checks(&["gw"]),
        ..all([instance(100), db(100)])
    };
    let mut host = Host::started(settings(Effect::Weight(-60)));
    host.verdict("gw", Verdict::Up);
    host.pass(SECOND * 4);
    host.verdict("gw", Verdict::Down);
    assert_eq!([host.named("web").effective.get(), host.named("db").effective.get()], [40; 2]);
    assert_eq!(states(&host), [State::Master; 2]);
    let mut host = Host::started(settings(Effect::Fault));
    host.verdict("gw", Verdict::Up);
    host.pass(SECOND * 4);
    host.verdict("gw", Verdict::Down);
    assert_eq!(states(&host), [State::Fault; 2]);
    let down = Reason::CheckDown { check: "gw".into() };
    assert_eq!([host.named("web").reason, host.named("db").reason], [down.clone(), down]);
}

#[test]
fn a_weight_of_one_member_bears_on_all_and_counts_once() {
    let track = |check: &str| Track { check: check.into(), effect: Effect::Weight(-20) };
    let web = Instance { tracks: [track("nginx"), track("gw")].into(), ..instance(100) };
    let db = Instance { tracks: [track("gw")].into(), ..db(100) };
    let checks = checks(&["nginx", "gw"]);
    let mut host = Host::started(Settings { groups: [group(&[])].into(), checks, ..all([web, db]) });
    host.verdict("nginx", Verdict::Down);
    host.verdict("gw", Verdict::Down);
    assert_eq!([host.named("web").effective.get(), host.named("db").effective.get()], [60; 2]);
}

#[test]
fn stepping_down_one_member_or_the_group_has_all_resign_and_stay_if_nobody_comes() {
    for name in ["db", "site"] {
        let mut host = Host::master(site(100));
        let actions = host.give(Event::StepDown(Target::Named(name.into())));
        let said: Vec<_> = adverts(&actions).iter().map(|a| a.priority.get()).collect();
        assert_eq!((states(&host), said), ([State::Backup; 2], [0, 0].into()));
        host.pass(ms(1050));
        assert_eq!(states(&host), [State::Master; 2]);
        assert_eq!(host.named("web").reason, Reason::NobodyTookOver);
        assert_eq!(host.named("db").effective, Priority::LAST);
        host.give(Event::Resume(Target::Named("web".into())));
        assert_eq!(host.named("db").effective, Priority::new(100));
    }
}

#[test]
fn a_successor_of_one_member_is_everybodys() {
    let mut host = Host::master(site(100));
    host.give(Event::StepDown(Target::Named("web".into())));
    host.pass(ms(600));
    host.arrive(&on_eth1(90, "198.51.100.9"));
    host.pass(ms(1000));
    assert_eq!((states(&host), host.held()), ([State::Backup; 2], Vec::new()));
}

#[test]
fn of_two_equals_the_lowest_number_decides_for_the_whole_group() {
    // The peer's address is greater on eth1 and less on eth0.
    let mut host = Host::master(site(100));
    let lower = Arriving::between(&advert(100), ip("192.0.2.4"), ip("224.0.0.18"));
    host.arrive(&on_eth1(100, "198.51.100.9"));
    assert_eq!(states(&host), [State::Master; 2], "51 is better here, and 52 stands");
    host.arrive(&lower);
    assert_eq!(states(&host), [State::Master; 2]);
    // Who has lost the first gives everything up.
    let greater = Arriving::between(&advert(100), ip("192.0.2.9"), ip("224.0.0.18"));
    host.arrive(&greater);
    assert_eq!(states(&host), [State::Backup; 2]);
}

#[test]
fn what_sleeps_past_one_lease_asks_everywhere() {
    let slow = Instance { interval: SECOND * 10, ..db(100) };
    let mut host = Host::started(Settings { groups: [group(&[])].into(), ..all([instance(100), slow]) });
    host.pass(SECOND * 40);
    assert_eq!(states(&host), [State::Master; 2]);
    host.now = host.now + SECOND * 5;
    let actions = host.give(Event::Stalled { late: SECOND * 5 });
    assert_eq!(states(&host), [State::Backup; 2]);
    assert_eq!(adverts(&actions), []);
    assert_eq!([host.named("web").reason, host.named("db").reason], [Reason::Stalled, Reason::Stalled]);
}

#[test]
fn a_master_whose_gate_does_not_open_takes_its_group_along() {
    let mut host = Host::started(site(100));
    host.gated = false;
    host.pass(SECOND * 4);
    assert_eq!(states(&host), [State::Master; 2]);
    let opened: Vec<_> = gates(&host.give(Event::Tick));
    assert_eq!(opened, []);
    host.pass(SECOND * 3);
    assert_eq!(states(&host), [State::Fault; 2]);
}

#[test]
fn without_preempt_a_group_that_is_whole_again_lets_the_other_stay() {
    let settled = |i: Instance| Instance { preempt: Preempt::Never, ..i };
    let settings =
        Settings { groups: [group(&[])].into(), ..all([settled(instance(100)), settled(db(100))]) };
    let mut host = Host::master(settings);
    host.change(eth1(false));
    host.hear(&advert(50));
    host.change(eth1(true));
    for _ in 0..10 {
        host.hear(&advert(50));
        host.arrive(&on_eth1(50, "198.51.100.9"));
        host.pass(SECOND);
    }
    assert_eq!(states(&host), [State::Backup; 2]);
}

// Adoption.

/// What a master group leaves, with these leases.
fn estate(host: &Host, names: &[&str]) -> crate::engine::inheritance::Inheritance {
    let mut left = host.engine.bequest();
    left.handed_on = true;
    for inherited in left.instances.iter_mut().filter(|i| names.contains(&i.name.as_str())) {
        let estate = inherited.estate.as_mut().unwrap();
        estate.leases.insert(crate::net::Family::Ipv4, host.now + SECOND * 3);
    }
    left
}

fn heir(host: &Host, names: &[&str]) -> (Host, Vec<Action>) {
    let mut heir = Host::heir(host.now, site(100), estate(host, names));
    let mut picture = picture();
    picture.addresses.extend(host.kernel.iter().map(|place| ours(*place)));
    heir.kernel.clone_from(&host.kernel);
    let actions = heir.give(Event::Picture(picture));
    (heir, actions)
}

#[test]
fn a_group_is_adopted_as_a_whole_or_not_at_all() {
    let host = Host::master(site(100));
    let (whole, _) = heir(&host, &["web", "db"]);
    assert_eq!(states(&whole), [State::Master; 2]);
    let (part, actions) = heir(&host, &["web"]);
    assert_eq!(states(&part), [State::Backup; 2]);
    assert_eq!(part.held(), [""; 0]);
    let resigned: Vec<_> = adverts(&actions).iter().map(|a| (a.vrid.get(), a.priority.get())).collect();
    assert_eq!(resigned, [(51, 0)]);
}

// Reload.

#[test]
fn a_reload_that_makes_a_group_of_masters_moves_nothing() {
    let mut host = Host::master(all([instance(100), db(100)]));
    let actions = host.give(Event::Reload(site(100)));
    assert_eq!((outline(&actions), states(&host)), (Vec::new(), [State::Master; 2]));
    let actions = host.give(Event::Reload(all([instance(100), db(100)])));
    assert_eq!((outline(&actions), states(&host)), (Vec::new(), [State::Master; 2]));
    host.change(eth1(false));
    assert_eq!(states(&host), [State::Master, State::Fault]);
}

#[test]
fn a_reload_has_those_step_down_who_are_grouped_with_one_that_was_stepped_down() {
    let mut host = Host::master(all([instance(100), db(100)]));
    host.give(Event::StepDown(Target::Named("db".into())));
    host.pass(ms(600));
    host.arrive(&on_eth1(90, "198.51.100.9"));
    host.pass(ms(150));
    assert_eq!(states(&host), [State::Master, State::Backup]);
    host.give(Event::Reload(site(100)));
    assert_eq!(states(&host), [State::Backup; 2]);
    assert_eq!([host.named("web").effective, host.named("db").effective], [Priority::LAST; 2]);
    host.give(Event::Resume(Target::Named("site".into())));
    assert_eq!([host.named("web").effective.get(), host.named("db").effective.get()], [100; 2]);
}

#[test]
fn a_member_that_a_reload_adds_becomes_master_with_the_others_as_soon_as_it_can() {
    let mut host = Host::master(only(instance(100)));
    host.obliging = false;
    let actions = host.give(Event::Reload(site(100)));
    assert_eq!(states(&host), [State::Master, State::Init]);
    let opened = open(&listens(&actions)[0]);
    host.obliging = true;
    host.give(Event::Opened(opened));
    assert_eq!(states(&host), [State::Master; 2]);
}

#[test]
fn a_member_that_a_reload_adds_and_that_cannot_be_master_is_a_fault_of_all() {
    let mut host = Host::master(only(instance(100)));
    let missing = Instance { interface: "eth9".into(), ..db(100) };
    host.give(Event::Reload(Settings { groups: [group(&[])].into(), ..all([instance(100), missing]) }));
    assert_eq!(states(&host), [State::Fault; 2]);
}

#[test]
fn a_member_that_a_reload_removes_leaves_the_others_alone() {
    let mut host = Host::master(site(100));
    host.give(Event::Reload(Settings { groups: [group(&[])].into(), ..only(instance(100)) }));
    host.pass(SECOND * 3);
    assert_eq!((host.state(), host.held()), (State::Master, ["192.0.2.10/32".into()].into()));
}

// The end.

#[test]
fn a_group_is_handed_over_when_the_agent_ends() {
    let mut host = Host::master(site(100));
    let actions = host.give(Event::Shutdown);
    assert_eq!(adverts(&actions).iter().map(|a| a.priority.get()).collect::<Vec<_>>(), [0, 0]);
    host.pass(SECOND * 2);
    assert!(host.engine.is_idle());
}
