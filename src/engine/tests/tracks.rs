//! What checks do to an instance.

use super::driver::*;
use crate::engine::action::Action;
use crate::engine::event::{Change, Event, Link};
use crate::engine::notice::{Reason, State, What};
use crate::engine::settings::{Check, CheckSource, Effect, Settings};
use crate::net::Priority;
use crate::proto::health::Verdict;
use crate::time::Duration;

const MINUS: (&str, Effect) = ("nginx", Effect::Weight(-60));
const PLUS: (&str, Effect) = ("link", Effect::Weight(20));
const FAULT: (&str, Effect) = ("uplink", Effect::Fault);

fn effective(host: &Host) -> u8 {
    host.instance().effective.get()
}

#[test]
fn a_negative_weight_counts_while_its_check_is_down() {
    let mut host = Host::started(tracking(instance(100), &[MINUS]));
    host.verdict("nginx", Verdict::Up);
    assert_eq!(effective(&host), 100);
    host.verdict("nginx", Verdict::Down);
    assert_eq!(effective(&host), 40);
    host.verdict("nginx", Verdict::Up);
    assert_eq!(effective(&host), 100);
}

#[test]
fn a_positive_weight_counts_while_its_check_is_up() {
    let mut host = Host::started(tracking(instance(100), &[PLUS]));
    assert_eq!(effective(&host), 100);
    host.verdict("link", Verdict::Up);
    assert_eq!(effective(&host), 120);
    host.verdict("link", Verdict::Down);
    assert_eq!(effective(&host), 100);
}

#[test]
fn weights_add_up_within_1_and_254() {
    let heavy = [("a", Effect::Weight(-200)), ("b", Effect::Weight(30)), ("c", Effect::Weight(250))];
    let mut host = Host::started(tracking(instance(100), &heavy));
    assert_eq!(effective(&host), 1);
    host.verdict("b", Verdict::Up);
    host.verdict("c", Verdict::Up);
    assert_eq!(effective(&host), 180, "100 - 200 + 30 + 250");
    host.verdict("a", Verdict::Up);
    assert_eq!(effective(&host), 254);
}

#[test]
fn a_backup_that_falls_below_the_master_it_was_to_replace_has_heard_it() {
    let mut host = Host::started(tracking(instance(100), &[MINUS]));
    host.verdict("nginx", Verdict::Up);
    for _ in 0..3 {
        host.pass(SECOND);
        host.hear(&advert(50));
    }
    host.verdict("nginx", Verdict::Down);
    // Three seconds, and 216/256 of one, after the last advert; not after the start.
    host.pass(ms(3843));
    assert_eq!(host.state(), State::Backup);
    host.pass(ms(1));
    assert_eq!(host.state(), State::Master);
}

#[test]
fn an_owners_priority_is_not_moved_by_weights() {
    let mut host = Host::started(tracking(instance(255), &[MINUS, PLUS]));
    host.verdict("link", Verdict::Up);
    assert_eq!((effective(&host), host.state()), (255, State::Master));
}

#[test]
fn at_a_cold_start_an_unknown_check_counts_as_down() {
    let host = Host::started(tracking(instance(100), &[MINUS]));
    assert_eq!(effective(&host), 40);
    let host = Host::started(tracking(instance(100), &[FAULT]));
    assert_eq!(host.reason(), Reason::CheckDown { check: "uplink".into() });
}

#[test]
fn a_check_that_is_new_by_reload_has_no_effect_until_its_first_verdict() {
    for track in [MINUS, PLUS, FAULT] {
        let mut host = Host::master(only(instance(100)));
        host.give(Event::Reload(tracking(instance(100), &[track])));
        assert_eq!((host.state(), effective(&host)), (State::Master, 100));
        assert_eq!(host.instance().tracks[0].up, None);
    }
    let mut host = Host::master(only(instance(100)));
    host.give(Event::Reload(tracking(instance(100), &[FAULT])));
    host.verdict("uplink", Verdict::Down);
    assert_eq!(host.state(), State::Fault);
}

#[test]
fn a_check_that_stays_keeps_its_verdict_over_a_reload() {
    let mut host = Host::started(tracking(instance(100), &[MINUS]));
    host.verdict("nginx", Verdict::Down);
    host.give(Event::Reload(tracking(instance(150), &[MINUS])));
    assert_eq!(effective(&host), 90);
    host.verdict("nginx", Verdict::Up);
    host.give(Event::Reload(tracking(instance(100), &[MINUS])));
    assert_eq!(effective(&host), 100);
}

#[test]
fn a_check_unknown_at_a_cold_start_still_counts_as_down_after_a_reload() {
    let mut host = Host::started(tracking(instance(100), &[MINUS]));
    host.give(Event::Reload(tracking(instance(150), &[MINUS])));
    assert_eq!(effective(&host), 90);
}

#[test]
fn a_fault_track_makes_a_master_resign_and_let_go() {
    let mut host = Host::started(tracking(instance(100), &[FAULT]));
    host.verdict("uplink", Verdict::Up);
    host.pass(SECOND * 4);
    assert_eq!(host.state(), State::Master);
    let actions = host.verdict("uplink", Verdict::Down);
    assert_eq!(outline(&actions)[..3], ["IPv4 advert 0", "shut 192.0.2.10/32", "remove 192.0.2.10/32"]);
    assert_eq!((host.state(), host.reason()), (State::Fault, Reason::CheckDown { check: "uplink".into() }));
    host.pass(SECOND * 60);
    assert_eq!(host.state(), State::Fault);
    host.verdict("uplink", Verdict::Up);
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn a_lowered_priority_sends_no_resignation_and_the_next_advert_carries_it() {
    let mut host = Host::started(tracking(instance(100), &[MINUS]));
    host.verdict("nginx", Verdict::Up);
    host.pass(SECOND * 4);
    let actions = host.verdict("nginx", Verdict::Down);
    assert!(outline(&actions).is_empty());
    let moved = What::Priority { from: Priority::new(100), to: Priority::new(40) };
    assert!(notices(&actions).contains(&moved));
    assert_eq!(outline(&host.pass(SECOND)), ["IPv4 advert 40"]);
}

#[test]
fn what_a_check_that_has_not_spoken_weighs_at_the_start_is_no_news() {
    let mut host = Host::dark(tracking(instance(100), &[MINUS]));
    let moved = |actions: &[_]| notices(actions).iter().any(|what| matches!(what, What::Priority { .. }));
    assert!(!moved(&host.give(Event::Picture(picture()))));
    assert_eq!((host.state(), effective(&host)), (State::Backup, 40));
    assert!(moved(&host.verdict("nginx", Verdict::Up)));
}

#[test]
fn a_lowered_master_is_replaced_by_a_backup_it_outranked_before() {
    let mut host = Host::started(tracking(instance(100), &[MINUS]));
    host.verdict("nginx", Verdict::Up);
    host.pass(SECOND * 4);
    host.hear(&advert(50));
    assert_eq!(host.state(), State::Master);
    host.verdict("nginx", Verdict::Down);
    host.hear(&advert(50));
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn a_verdict_is_told_once_with_what_the_check_saw() {
    let mut host = Host::started(tracking(instance(100), &[FAULT]));
    let told = |up| What::Check { check: "uplink".into(), up, why: "it said so".into() };
    assert!(notices(&host.verdict("uplink", Verdict::Up)).contains(&told(true)));
    assert_eq!(host.verdict("uplink", Verdict::Up), []);
    assert!(notices(&host.verdict("uplink", Verdict::Down)).contains(&told(false)));
    assert_eq!(host.verdict("nobody", Verdict::Down), [], "a check that a reload removed");
}

#[test]
fn an_interface_is_a_check_of_the_engines_own() {
    let check = Check::new("uplink".into(), CheckSource::Interface("eth1".into()));
    let mut host = Host::started(Settings { checks: [check].into(), ..tracking(instance(100), &[FAULT]) });
    assert_eq!(host.state(), State::Backup, "it is up at the start, so nothing is unknown");
    host.change(Change::Link(Link { up: false, ..link(ETH1, "eth1") }));
    assert_eq!(host.state(), State::Fault);
    host.change(Change::Link(link(ETH1, "eth1")));
    assert_eq!(host.state(), State::Backup);
    host.change(Change::LinkGone(ETH1));
    assert_eq!(host.state(), State::Fault);
}

/// An instance that tracks an interface, whose word has to stand for this long.
fn patient(up: Duration, down: Duration) -> Settings {
    let interface = CheckSource::Interface("eth1".into());
    let check = Check { up_delay: up, down_delay: down, ..Check::new("uplink".into(), interface) };
    Settings { checks: [check].into(), ..tracking(instance(100), &[FAULT]) }
}

fn carrier(host: &mut Host, up: bool) -> Vec<Action> {
    host.change(Change::Link(Link { up, ..link(ETH1, "eth1") }))
}

#[test]
fn a_verdict_that_has_to_stand_for_a_while_counts_when_it_has() {
    let mut host = Host::started(patient(SECOND * 5, SECOND));
    assert_eq!(host.state(), State::Backup, "the first word counts at once");
    carrier(&mut host, false);
    host.pass(ms(999));
    assert_eq!(host.state(), State::Backup);
    let actions = host.pass(ms(1));
    assert_eq!(host.state(), State::Fault);
    let why = "the interface is missing, down or without carrier".into();
    assert!(notices(&actions).contains(&What::Check { check: "uplink".into(), up: false, why }));
    carrier(&mut host, true);
    host.pass(ms(4999));
    assert_eq!(host.state(), State::Fault);
    host.pass(ms(1));
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn a_flap_starts_the_wait_again() {
    let mut host = Host::started(patient(SECOND, SECOND));
    for _ in 0..5 {
        carrier(&mut host, false);
        host.pass(ms(900));
        carrier(&mut host, true);
        host.pass(ms(200));
    }
    assert_eq!(host.state(), State::Master);
    assert_eq!(host.engine.status(host.now).checks[0].pending, None);
    carrier(&mut host, false);
    host.pass(ms(600));
    let pending = host.engine.status(host.now).checks[0].pending.unwrap();
    assert_eq!((pending.up, pending.at), (false, host.now + ms(400)));
}

#[test]
fn what_a_probe_says_waits_as_well_and_a_reload_changes_for_how_long() {
    let waiting = |down| {
        let mut settings = tracking(instance(100), &[FAULT]);
        settings.checks[0].down_delay = down;
        settings
    };
    let mut host = Host::started(waiting(SECOND));
    host.verdict("uplink", Verdict::Up);
    host.verdict("uplink", Verdict::Down);
    host.give(Event::Reload(waiting(SECOND * 2)));
    host.pass(ms(1999));
    assert_eq!(host.state(), State::Backup);
    host.pass(ms(1));
    assert_eq!(host.state(), State::Fault);
    host.verdict("uplink", Verdict::Up);
    assert_eq!(host.state(), State::Backup, "up counts at once");
}

#[test]
fn a_word_that_an_earlier_agent_heard_has_to_be_contradicted_for_long_enough() {
    let settings = patient(SECOND, SECOND);
    let mut host = Host::started(settings.clone());
    carrier(&mut host, false);
    host.pass(SECOND);
    assert_eq!(host.state(), State::Fault);
    let inheritance = host.engine.bequest();
    assert_eq!(inheritance.checks["uplink"], Verdict::Down);
    let mut heir = Host::heir(host.now, settings, inheritance);
    heir.give(Event::Picture(picture()));
    heir.pass(ms(999));
    assert_eq!(heir.state(), State::Fault, "the interface came up meanwhile");
    heir.pass(ms(1));
    assert_eq!(heir.state(), State::Backup);
}

#[test]
fn a_reversed_weight_does_the_opposite() {
    let reversed = |weight| tracking(instance(100), &[("x", Effect::ReversedWeight(weight))]);
    for (weight, while_up, while_down) in [(20, 80, 100), (-20, 100, 120)] {
        let mut host = Host::started(reversed(weight));
        host.verdict("x", Verdict::Up);
        assert_eq!(effective(&host), while_up, "{weight} while up");
        host.verdict("x", Verdict::Down);
        assert_eq!(effective(&host), while_down, "{weight} while down");
    }
}

#[test]
fn a_reversed_fault_is_one_while_the_check_is_up() {
    let mut host = Host::started(tracking(instance(100), &[("x", Effect::FaultWhileUp)]));
    assert_eq!(host.state(), State::Backup);
    host.verdict("x", Verdict::Up);
    assert_eq!((host.state(), host.reason()), (State::Fault, Reason::CheckUp { check: "x".into() }));
    host.verdict("x", Verdict::Down);
    assert_eq!(host.state(), State::Backup);
}

/// An instance that tracks a value.
fn valued(effect: Effect) -> Settings {
    let mut settings = tracking(instance(100), &[("x", effect)]);
    settings.checks[0].source = CheckSource::Value;
    settings
}

#[test]
fn a_value_times_its_factor_is_added_and_minus_254_is_fault() {
    for (by, value, due) in [(1, 0, 100), (1, 7, 107), (-3, 7, 79), (2, -30, 40), (1, 500, 254), (-1, 98, 2)]
    {
        let mut host = Host::started(valued(Effect::Multiply(by)));
        host.value("x", value);
        assert_eq!((effective(&host), host.state()), (due, State::Backup), "{value} times {by}");
        assert_eq!(host.instance().tracks[0].adds, (value * i32::from(by)).clamp(-254, 253));
    }
    for (by, value, faulty) in
        [(1, -253, false), (1, -254, true), (-1, 254, true), (2, -127, true), (254, i32::MIN, true)]
    {
        let mut host = Host::started(valued(Effect::Multiply(by)));
        host.value("x", value);
        assert_eq!(host.state() == State::Fault, faulty, "{value} times {by}");
        host.value("x", 0);
        assert_eq!(host.state(), State::Backup);
    }
}

#[test]
fn a_value_that_is_tracked_with_fault_is_one_unless_it_is_0() {
    let mut host = Host::started(valued(Effect::Fault));
    assert_eq!(host.state(), State::Fault, "nobody serves on trust");
    host.value("x", 0);
    assert_eq!(host.state(), State::Backup);
    let told = What::Value { check: "x".into(), before: Some(0), value: 3 };
    assert!(notices(&host.value("x", 3)).contains(&told));
    assert_eq!(host.reason(), Reason::CheckValue { check: "x".into(), value: 3 });
    let mut host = Host::started(valued(Effect::FaultWhileUp));
    host.value("x", 0);
    assert_eq!(host.state(), State::Fault);
    host.value("x", -1);
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn a_value_stays_when_its_file_cannot_be_read_and_when_another_agent_begins() {
    let settings = valued(Effect::Multiply(1));
    let mut host = Host::started(settings.clone());
    host.value("x", -40);
    host.verdict("x", Verdict::Down);
    assert_eq!(effective(&host), 60);
    let inheritance = host.engine.bequest();
    let mut heir = Host::heir(host.now, settings.clone(), inheritance);
    heir.give(Event::Picture(picture()));
    assert_eq!(effective(&heir), 60);
    assert_eq!(host.value("x", -40), [], "no news");
    let mut file = settings;
    file.checks[0].source = CheckSource::Probe;
    file.instances[0].tracks[0].effect = Effect::Weight(-10);
    host.give(Event::Reload(file));
    assert_eq!(effective(&host), 90, "as a file it is down, and has no value any more");
}
