//! Stop and step-down: giving the addresses to a successor without a gap.

use alloc::vec::Vec;

use super::driver::*;
use crate::engine::action::Action;
use crate::engine::event::{Event, Target};
use crate::engine::notice::{Reason, State, What};
use crate::engine::settings::{Instance, Preempt};
use crate::net::{Priority, Vrid};
use crate::wire::vrrp::Advert;

const NOTHING: [&str; 0] = [];

fn step_down(host: &mut Host) -> Vec<Action> {
    host.give(Event::StepDown(Target::Named("web".into())))
}

// The end of the agent.

#[test]
fn a_master_that_is_to_end_resigns_and_goes_on_serving() {
    let mut host = Host::master(only(instance(100)));
    assert_eq!(outline(&host.give(Event::Shutdown)), ["IPv4 advert 0", "open 192.0.2.10/32"]);
    assert_eq!((host.state(), host.reason()), (State::Backup, Reason::HandingOver));
    assert_eq!(outline(&host.pass(ms(500))), NOTHING);
    assert_eq!(host.held(), ["192.0.2.10/32"]);
}

#[test]
fn at_the_successors_advert_only_its_answers_to_arp_stand_and_frames_are_still_served() {
    for successor in [50, 100, 200] {
        let mut host = Host::master(only(instance(100)));
        host.give(Event::Shutdown);
        host.pass(ms(10));
        assert_eq!(outline(&host.hear(&advert(successor))), ["frames-only 192.0.2.10/32"], "{successor}");
        assert_eq!(outline(&host.hear(&advert(successor))), NOTHING);
        assert_eq!(outline(&host.pass(ms(99))), NOTHING);
        assert_eq!(host.held(), ["192.0.2.10/32"]);
    }
}

#[test]
fn the_successors_announcement_ends_the_hand_over() {
    let mut host = Host::master(only(instance(100)));
    host.give(Event::Shutdown);
    host.pass(ms(10));
    host.hear(&advert(50));
    let actions = host.claim("192.0.2.10");
    assert_eq!(outline(&actions)[..2], ["shut 192.0.2.10/32", "remove 192.0.2.10/32"]);
    assert!(notices(&actions).contains(&What::HandedOver { to: PEER, after: ms(10) }));
    assert!(host.engine.is_idle());
}

#[test]
fn an_announcement_before_the_successors_advert_does_not_end_the_hand_over() {
    let mut host = Host::master(only(instance(100)));
    host.give(Event::Shutdown);
    assert_eq!(outline(&host.claim("192.0.2.10")), NOTHING);
    assert_eq!(host.held(), ["192.0.2.10/32"]);
}

#[test]
fn a_part_of_the_announcements_does_not_end_the_hand_over() {
    let addresses = nets(&["192.0.2.10/24", "192.0.2.11/24"]);
    let mut host = Host::master(only(Instance { addresses, ..instance(100) }));
    host.give(Event::Shutdown);
    host.hear(&advert(50));
    assert_eq!(outline(&host.claim("192.0.2.10")), NOTHING);
    assert_eq!(outline(&host.claim("192.0.2.11"))[0], "shut 192.0.2.10/32 192.0.2.11/32");
}

#[test]
fn without_announcements_the_hand_over_ends_100_ms_after_the_successors_advert() {
    let mut host = Host::master(only(instance(100)));
    host.give(Event::Shutdown);
    host.pass(ms(300));
    host.hear(&advert(50));
    assert_eq!(outline(&host.pass(ms(99))), NOTHING);
    assert_eq!(outline(&host.pass(ms(1)))[..2], ["shut 192.0.2.10/32", "remove 192.0.2.10/32"]);
}

#[test]
fn without_a_successor_a_stop_releases_after_one_interval_and_50_ms() {
    let mut host = Host::master(only(instance(100)));
    host.give(Event::Shutdown);
    assert_eq!(outline(&host.pass(ms(1049))), NOTHING);
    assert_eq!(outline(&host.pass(ms(1)))[..2], ["shut 192.0.2.10/32", "remove 192.0.2.10/32"]);
    assert!(host.engine.is_idle());
}

#[test]
fn a_stop_takes_no_longer_than_2_s_whatever_the_interval() {
    let mut host = Host::started(only(Instance { interval: SECOND * 40, ..instance(255) }));
    assert_eq!(host.state(), State::Master);
    host.give(Event::Shutdown);
    host.pass(ms(1999));
    assert!(!host.engine.is_idle());
    host.pass(ms(1));
    assert!(host.engine.is_idle());
}

#[test]
fn a_stop_during_a_step_down_takes_no_longer_than_2_s() {
    let mut host = Host::started(only(Instance { interval: SECOND * 40, ..instance(255) }));
    step_down(&mut host);
    host.pass(SECOND);
    host.give(Event::Shutdown);
    host.pass(SECOND * 2);
    assert!(host.engine.is_idle());
}

#[test]
fn a_stop_is_not_over_before_the_kernel_has_removed_everything() {
    let mut host = Host::master(only(instance(100)));
    host.give(Event::Shutdown);
    host.obliging = false;
    let order = holds(&host.pass(SECOND * 2)).remove(0);
    assert!(!host.engine.is_idle());
    host.give(Event::Held(done(&order)));
    assert!(host.engine.is_idle());
}

#[test]
fn a_short_interval_does_not_make_a_master_that_is_to_end_take_over_again() {
    for heard in [false, true] {
        let mut host = Host::master(only(Instance { interval: ms(10), ..instance(200) }));
        let mut actions = host.give(Event::Shutdown);
        actions.extend(host.pass(ms(2)));
        if heard {
            actions.extend(host.hear(&Advert { interval: ms(10), ..advert(50) }));
        }
        actions.extend(host.pass(ms(100)));
        assert_eq!(adverts(&actions).len(), 1, "{:?}", outline(&actions));
        assert!(host.engine.is_idle());
    }
}

#[test]
fn a_second_signal_releases_at_once() {
    let mut host = Host::master(only(instance(100)));
    host.give(Event::Shutdown);
    let actions = host.give(Event::ShutdownNow);
    assert_eq!(outline(&actions)[..2], ["shut 192.0.2.10/32", "remove 192.0.2.10/32"]);
    assert!(host.engine.is_idle());
}

#[test]
fn ending_at_once_still_resigns() {
    let mut host = Host::master(only(instance(100)));
    assert_eq!(outline(&host.give(Event::ShutdownNow))[0], "IPv4 advert 0");
    assert!(host.engine.is_idle());
}

#[test]
fn a_backup_that_is_to_end_says_nothing_and_is_idle_at_once() {
    let mut host = Host::started(only(instance(100)));
    assert_eq!(outline(&host.give(Event::Shutdown)), ["forget"]);
    assert!(host.engine.is_idle());
}

#[test]
fn an_agent_that_is_ending_takes_no_new_configuration() {
    let mut host = Host::master(only(instance(100)));
    host.give(Event::Shutdown);
    host.give(Event::Reload(all([instance(100)])));
    host.pass(SECOND * 2);
    assert!(host.engine.is_idle());
}

#[test]
fn an_agent_that_is_not_ending_is_never_idle() {
    assert!(!Host::started(all([])).engine.is_idle());
    assert!(!Host::started(only(instance(100))).engine.is_idle());
}

// Step-down and resume.

#[test]
fn a_step_down_resigns_and_goes_on_with_priority_1() {
    let mut host = Host::master(only(instance(100)));
    assert_eq!(outline(&step_down(&mut host)), ["IPv4 advert 0", "open 192.0.2.10/32"]);
    assert_eq!((host.reason(), host.instance().effective), (Reason::HandingOver, Priority::LAST));
    host.hear(&advert(50));
    host.pass(ms(100));
    assert_eq!((host.state(), host.held()), (State::Backup, Vec::new()));
    assert_eq!(host.reason(), Reason::SteppedDown);
}

#[test]
fn a_step_down_whose_successor_only_announced_is_taken_back_and_announced() {
    let mut host = Host::master(only(instance(100)));
    step_down(&mut host);
    host.claim("192.0.2.10");
    let actions = host.pass(ms(1050));
    assert_eq!(
        outline(&actions),
        ["IPv4 advert 1", "open 192.0.2.10/32", "announce 192.0.2.10/32"],
        "clients went astray"
    );
}

#[test]
fn a_step_down_that_nobody_answers_stays_master_and_says_so() {
    let mut host = Host::master(only(instance(100)));
    step_down(&mut host);
    assert_eq!(outline(&host.pass(ms(1049))), NOTHING);
    let actions = host.pass(ms(1));
    let never_given_up = ["IPv4 advert 1", "open 192.0.2.10/32"];
    assert_eq!(outline(&actions), never_given_up);
    assert_eq!((host.state(), host.reason()), (State::Master, Reason::NobodyTookOver));
    assert!(notices(&actions).contains(&What::NobodyTookOver));
    assert_eq!(host.held(), ["192.0.2.10/32"]);
}

#[test]
fn an_instance_that_stepped_down_still_takes_over_when_nobody_else_is_there() {
    let mut host = Host::master(only(instance(100)));
    step_down(&mut host);
    host.hear(&advert(50));
    // 3 s and 255/256 s.
    host.pass(ms(3996));
    assert_eq!(host.state(), State::Backup);
    host.pass(ms(1));
    assert_eq!((host.state(), host.held()), (State::Master, ["192.0.2.10/32".into()].into()));
}

#[test]
fn a_resume_takes_the_addresses_back_from_a_lower_master() {
    let mut host = Host::master(only(instance(100)));
    step_down(&mut host);
    host.hear(&advert(50));
    host.pass(SECOND);
    host.give(Event::Resume(Target::All));
    assert_eq!(host.instance().effective, Priority::new(100));
    for _ in 0..4 {
        host.hear(&advert(50));
        host.pass(SECOND);
    }
    assert_eq!(host.state(), State::Master);
}

#[test]
fn a_resume_leaves_the_addresses_with_the_master_when_it_does_not_preempt() {
    let mut host = Host::master(only(Instance { preempt: Preempt::Never, ..instance(100) }));
    step_down(&mut host);
    host.hear(&advert(50));
    host.give(Event::Resume(Target::All));
    for _ in 0..10 {
        host.hear(&advert(50));
        host.pass(SECOND);
    }
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn a_resume_before_the_successor_is_heard_does_not_hide_it() {
    let mut host = Host::master(only(instance(100)));
    step_down(&mut host);
    host.give(Event::Resume(Target::All));
    host.pass(ms(800));
    assert_eq!(outline(&host.hear(&advert(50))), ["frames-only 192.0.2.10/32"]);
}

#[test]
fn a_step_down_names_its_instance() {
    let other = Instance {
        name: "mail".into(),
        addresses: nets(&["192.0.2.11/24"]),
        vrid: Vrid::new(52).unwrap(),
        ..instance(100)
    };
    let mut host = Host::master(all([instance(100), other]));
    step_down(&mut host);
    assert_eq!((host.state(), host.named("mail").state), (State::Backup, State::Master));
    assert!(!host.named("mail").stepped_down);
}

#[test]
fn a_step_down_of_a_backup_survives_a_reload() {
    let mut host = Host::started(only(instance(100)));
    assert_eq!(outline(&step_down(&mut host)), NOTHING);
    host.give(Event::Reload(only(instance(150))));
    assert_eq!((host.reason(), host.instance().effective), (Reason::SteppedDown, Priority::LAST));
}

#[test]
fn an_owner_can_step_down() {
    let mut host = Host::started(only(instance(255)));
    step_down(&mut host);
    host.hear(&advert(50));
    host.pass(ms(100));
    assert_eq!((host.state(), host.held()), (State::Backup, Vec::new()));
    let actions = host.give(Event::Resume(Target::All));
    assert_eq!(outline(&actions), ["IPv4 advert 255", "install 192.0.2.10/32"]);
}

#[test]
fn a_successor_that_resigns_at_once_gives_the_answers_back() {
    let mut host = Host::master(only(Instance { interval: ms(100), ..instance(100) }));
    step_down(&mut host);
    let quick = |priority| Advert { interval: ms(10), ..advert(priority) };
    host.hear(&quick(50));
    host.hear(&quick(0));
    // Skew_Time is 255/256 of the successor's 10 ms.
    let actions = host.pass(ms(10));
    let back = ["IPv4 advert 1", "open 192.0.2.10/32", "announce 192.0.2.10/32"];
    assert_eq!(outline(&actions), back, "it may have announced the address, which was never given up here");
    assert_eq!(host.state(), State::Master);
}

#[test]
fn a_better_master_ends_the_wait_for_a_successor() {
    let mut host = Host::master(only(instance(100)));
    step_down(&mut host);
    host.hear(&advert(200));
    assert_eq!(host.reason(), Reason::HandingOver);
    host.pass(ms(100));
    assert_eq!(host.held(), NOTHING);
}
