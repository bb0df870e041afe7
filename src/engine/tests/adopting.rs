//! One agent after another: what the second goes on with, and what it does not.

use alloc::vec::Vec;

use super::driver::*;
use crate::engine::action::{Action, Endpoint};
use crate::engine::event::{Change, Event, Gated, Gating, Picture, Target};
use crate::engine::inheritance::Inheritance;
use crate::engine::notice::{Reason, State, What};
use crate::engine::settings::{Effect, Instance, Settings};
use crate::net::{Family, Priority, Vrid};
use crate::proto::health::Verdict;
use crate::time::Duration;

const V4: &str = "192.0.2.10/32";
const V6: &str = "2001:db8::10/128";

/// What a master left that is gone since `now`: so much of its lease is left.
fn left_by(host: &Host, left: Duration) -> Inheritance {
    let mut inheritance = host.engine.bequest();
    for instance in &mut inheritance.instances {
        let families = instance.identity.families.clone();
        let Some(estate) = &mut instance.estate else { continue };
        estate.leases = families.into_iter().map(|family| (family, host.now + left)).collect();
    }
    inheritance
}

/// The picture with what a host holds.
fn as_left(host: &Host) -> Picture {
    let mut picture = picture();
    picture.addresses.extend(host.kernel.iter().map(|place| ours(*place)));
    picture
}

/// The agent after that of `host`, when it has started; and what it did.
fn next(host: &Host, settings: Settings, left: Duration) -> (Host, Vec<Action>) {
    let mut next = Host::heir(host.now, settings, left_by(host, left));
    next.kernel = host.kernel.clone();
    let actions = next.give(Event::Picture(as_left(host)));
    (next, actions)
}

fn refuses(actions: &[Action], why: &'static str) {
    assert_eq!(notices(actions)[0], What::NotAdopted { why });
    assert!(adverts(actions).iter().all(|advert| advert.priority == Priority::RESIGN));
}

#[test]
fn what_is_as_it_was_left_is_adopted_with_an_advert_at_once() {
    let master = Host::master(only(dual(100)));
    let (mut heir, actions) = next(&master, only(dual(100)), ms(2_500));
    let open = ["open 192.0.2.10/32", "open 2001:db8::10/128"];
    let adverts = ["IPv4 advert 100", "IPv6 advert 100"];
    let announce = "announce 192.0.2.10/32 2001:db8::10/128";
    // Here the gates are made after the first advert, and want another one.
    assert_eq!(outline(&actions), [&open[..], &adverts[..], &adverts[..], &[announce]].concat());
    assert_eq!(transitions(&actions), [State::Master]);
    assert_eq!(heir.reason(), Reason::Adopted { left: ms(2_500) });
    let order = gates(&actions).remove(0);
    let lease = order.lease.unwrap();
    assert_eq!(
        (lease.until, lease.cut),
        (master.now + ms(2_500), false),
        "it runs on until the advert leaves"
    );
    assert_eq!(outline(&heir.pass(SECOND)), adverts);
    assert_eq!(heir.held(), [V4, V6]);
}

#[test]
fn an_heir_that_is_stopped_at_once_hands_over_what_it_adopts() {
    let master = Host::master(only(dual(100)));
    for when in 0..2 {
        let mut heir = Host::heir(master.now, only(dual(100)), left_by(&master, ms(300)));
        heir.kernel = master.kernel.clone();
        let mut done = Vec::new();
        if when == 0 {
            done.extend(heir.give(Event::Shutdown));
            assert!(done.is_empty() && !heir.engine.is_idle(), "nobody knows yet what there is");
        }
        done.extend(heir.give(Event::Picture(as_left(&master))));
        if when == 1 {
            done.extend(heir.give(Event::Shutdown));
        }
        let last = adverts(&done).pop().unwrap();
        assert_eq!(last.priority, Priority::RESIGN);
        heir.pass(SECOND * 2);
        assert!(heir.engine.is_idle() && heir.kernel.is_empty(), "{:?}", heir.kernel);
    }
}

#[test]
fn an_heir_that_spoke_before_its_gates_were_made_says_it_again() {
    let master = Host::master(only(dual(100)));
    let mut heir = Host::heir(master.now, only(dual(100)), left_by(&master, ms(300)));
    (heir.kernel, heir.gated) = (master.kernel.clone(), false);
    let actions = heir.give(Event::Picture(as_left(&master)));
    assert_eq!(transitions(&actions), [State::Master]);
    let orders = gates(&actions);
    assert_eq!(outline(&heir.give(Event::Gated(gated(&orders[0])))), Vec::<String>::new());
    let again = heir.give(Event::Gated(gated(&orders[1])));
    assert_eq!(adverts(&again).len(), 2, "one of each family: {again:?}");
    assert!(adverts(&heir.give(Event::Gated(gated(&orders[1])))).is_empty());
}

#[test]
fn the_gates_of_the_heir_are_those_of_the_one_before() {
    let mut master = Host::started(only(instance(100)));
    let taken = gates(&master.pass(SECOND * 4)).remove(0);
    let (_, actions) = next(&master, only(instance(100)), SECOND);
    let order = gates(&actions).remove(0);
    assert_eq!((order.router, order.lease.unwrap().term), (taken.router, taken.lease.unwrap().term));
}

#[test]
fn a_lease_with_less_than_a_quarter_interval_left_is_not_adopted() {
    let master = Host::master(only(instance(100)));
    let (heir, actions) = next(&master, only(instance(100)), ms(250));
    refuses(&actions, "its lease is about to end");
    assert_eq!(
        outline(&actions),
        ["shut 192.0.2.10/32", "shut 192.0.2.10/32", "remove 192.0.2.10/32", "IPv4 advert 0", "forget"]
    );
    assert_eq!((heir.state(), heir.held()), (State::Backup, [""; 0].map(Into::into).into()));
    let (heir, _) = next(&master, only(instance(100)), ms(251));
    assert_eq!(heir.state(), State::Master);
}

#[test]
fn a_lease_that_is_over_is_not_adopted() {
    let master = Host::master(only(instance(100)));
    let mut heir = Host::heir(master.now, only(instance(100)), master.engine.bequest());
    heir.kernel = master.kernel.clone();
    refuses(&heir.give(Event::Picture(as_left(&master))), "no lease of it is in force");
    assert_eq!(heir.state(), State::Backup);
}

#[test]
fn a_lease_that_ends_before_the_sockets_are_there_is_not_adopted() {
    let master = Host::master(only(instance(100)));
    let mut heir = Host::heir(master.now, only(instance(100)), left_by(&master, SECOND));
    (heir.obliging, heir.kernel) = (false, master.kernel.clone());
    let mut started = heir.give(Event::Picture(as_left(&master)));
    assert_eq!(outline(&started), ["open 192.0.2.10/32"]);
    assert_eq!(heir.engine.deadline(), Some(master.now + ms(750)));
    heir.obliging = true;
    started = heir.pass(ms(750));
    refuses(&started, "its lease is about to end");
    assert_eq!(outline(&started), ["shut 192.0.2.10/32", "remove 192.0.2.10/32"]);
}

#[test]
fn a_gate_that_says_the_lease_is_over_is_believed() {
    let master = Host::master(only(instance(100)));
    let mut heir = Host::heir(master.now, only(instance(100)), left_by(&master, SECOND));
    (heir.obliging, heir.gated, heir.kernel) = (false, false, master.kernel.clone());
    let order = gates(&heir.give(Event::Picture(as_left(&master)))).remove(0);
    let dark = Gated { state: Gating::Dark, ..gated(&order) };
    let actions = heir.give(Event::Gated(dark));
    refuses(&actions, "its lease is over");
    assert_eq!(outline(&actions), ["shut 192.0.2.10/32", "remove 192.0.2.10/32"]);
}

#[test]
fn addresses_that_are_gone_are_not_adopted() {
    let mut master = Host::master(only(dual(100)));
    master.kernel.remove(&on_eth0(V6));
    let (heir, actions) = next(&master, only(dual(100)), SECOND);
    refuses(&actions, "its addresses are gone");
    assert_eq!(heir.held(), [""; 0]);
}

#[test]
fn an_interface_that_is_down_is_not_adopted() {
    let master = Host::master(only(instance(100)));
    let mut heir = Host::heir(master.now, only(instance(100)), left_by(&master, SECOND));
    heir.kernel = master.kernel.clone();
    let mut picture = as_left(&master);
    picture.links[0].up = false;
    refuses(&heir.give(Event::Picture(picture)), "something is in the way");
    assert_eq!((heir.state(), heir.held()), (State::Fault, [""; 0].map(Into::into).into()));
}

#[test]
fn another_virtual_router_is_nobodys_heir() {
    let master = Host::master(only(instance(100)));
    let other = Instance { vrid: Vrid::new(52).unwrap(), ..instance(100) };
    let (heir, actions) = next(&master, only(other), SECOND);
    refuses(&actions, "it is not configured any more");
    assert_eq!(heir.state(), State::Backup);
    assert_eq!(heir.held(), [""; 0]);
}

#[test]
fn what_is_not_configured_any_more_is_resigned_once_and_removed() {
    let master = Host::master(only(dual(100)));
    for others in [all([]), only(Instance { interface: "eth1".into(), ..instance(100) })] {
        let (mut heir, actions) = next(&master, others, SECOND);
        refuses(&actions, "it is not configured any more");
        let shut = ["shut 192.0.2.10/32", "shut 2001:db8::10/128", "remove 192.0.2.10/32 2001:db8::10/128"];
        let said = outline(&actions);
        let at = |line: &str| said.iter().position(|other| other == line).unwrap();
        assert!(shut.map(at).is_sorted(), "{said:?}");
        assert_eq!(adverts(&actions).len(), 2);
        assert_eq!(heir.held(), [""; 0]);
        let is_closed = |family| {
            listens(&actions)
                .iter()
                .rfind(|l| l.endpoint == Endpoint { link: ETH0, family })
                .unwrap()
                .groups
                .is_none()
        };
        assert!([Family::Ipv4, Family::Ipv6].map(is_closed) == [true; 2], "its sockets are closed again");
        assert_eq!(adverts(&heir.pass(SECOND * 3)), []);
    }
}

#[test]
fn what_is_not_configured_any_more_is_resigned_while_its_lease_lives_and_no_longer() {
    let master = Host::master(only(instance(100)));
    let mut silent = picture();
    silent.links[0].up = false;
    for (wait, resignations) in [(ms(999), 1), (SECOND, 0)] {
        let mut heir = Host::heir(master.now, all([]), left_by(&master, SECOND));
        assert_eq!(adverts(&heir.give(Event::Picture(silent.clone()))), []);
        heir.pass(wait);
        assert_eq!(adverts(&heir.change(Change::Link(link(ETH0, "eth0")))).len(), resignations);
        heir.pass(SECOND);
        assert_eq!(heir.engine.deadline(), None);
    }
    let (_, actions) = next(&master, all([]), Duration::ZERO);
    assert_eq!(adverts(&actions), [], "its lease is over");
}

#[test]
fn what_carries_our_mark_is_removed_from_interfaces_that_no_instance_has() {
    let lan = Instance { interface: "eth1".into(), addresses: nets(&["198.51.100.10/24"]), ..instance(100) };
    let gone = Instance { interface: "eth7".into(), ..instance(100) };
    for settings in [only(lan), only(gone), all([])] {
        let mut heir = Host::dark(settings);
        heir.kernel.insert(on_eth0(V4));
        let lines = outline(&heir.give(Event::Picture(as_left(&heir))));
        let line = |wanted: &str| lines.iter().position(|line| line == wanted).unwrap();
        assert!(line("shut 192.0.2.10/32") < line("remove 192.0.2.10/32"), "{lines:?}");
        assert_eq!(heir.held(), [""; 0]);
    }
}

#[test]
fn an_address_that_moved_between_masters_while_nobody_ran_stays_where_it_is() {
    let named = |name: &str, vrid, vips: &[&str]| Instance {
        name: name.into(),
        vrid: Vrid::new(vrid).unwrap(),
        addresses: nets(vips),
        ..instance(100)
    };
    let two = named("two", 52, &["192.0.2.20/24"]);
    let master = Host::master(all([named("web", 51, &["192.0.2.10/24", "192.0.2.11/24"]), two]));
    let both = named("two", 52, &["192.0.2.20/24", "192.0.2.11/24"]);
    let web = named("web", 51, &["192.0.2.10/24"]);
    for after in [all([web.clone(), both.clone()]), all([both.clone(), web]), only(both)] {
        let (heir, actions) = next(&master, after, SECOND);
        let moved = on_eth0("192.0.2.11/32");
        assert!(holds(&actions).iter().all(|order| !order.remove.contains(&moved)));
        assert!(heir.kernel.contains(&moved));
        let two = heir.named("two");
        assert_eq!(two.state, State::Master);
        assert!(two.addresses.iter().all(|address| address.installed));
    }
}

#[test]
fn another_priority_name_and_address_are_adopted() {
    let two = Instance { addresses: nets(&["192.0.2.10/24", "192.0.2.11/24"]), ..instance(100) };
    let master = Host::master(only(two));
    let changed = Instance {
        name: "mail".into(),
        priority: Priority::new(90),
        addresses: nets(&["192.0.2.10/24", "192.0.2.12/24"]),
        ..instance(100)
    };
    let (heir, actions) = next(&master, only(changed), SECOND);
    assert_eq!(
        (transitions(&actions), adverts(&actions)[0].priority),
        ([State::Master].into(), Priority::new(90))
    );
    assert_eq!(heir.held(), ["192.0.2.10/32", "192.0.2.12/32"]);
}

#[test]
fn a_longer_interval_is_not_adopted() {
    let fast = Instance { interval: ms(100), ..instance(100) };
    let master = Host::master(only(fast));
    refuses(&next(&master, only(instance(100)), ms(200)).1, "the advert interval is longer than it was");
}

#[test]
fn the_fourth_adoption_within_a_minute_is_refused() {
    let mut host = Host::master(only(instance(100)));
    for _ in 0..3 {
        host = next(&host, only(instance(100)), SECOND).0;
        assert_eq!(host.state(), State::Master);
        host.pass(SECOND * 19);
    }
    refuses(&next(&host, only(instance(100)), SECOND).1, "it was adopted three times within a minute");
    host.pass(SECOND * 4);
    assert_eq!(next(&host, only(instance(100)), SECOND).0.state(), State::Master);
}

#[test]
fn what_is_handed_on_is_adopted_however_often() {
    let mut host = Host::master(only(instance(100)));
    for _ in 0..10 {
        let inheritance = Inheritance { handed_on: true, ..left_by(&host, SECOND) };
        let mut heir = Host::heir(host.now, only(instance(100)), inheritance);
        heir.kernel = host.kernel.clone();
        heir.give(Event::Picture(as_left(&host)));
        assert_eq!(heir.state(), State::Master);
        host = heir;
    }
    assert_eq!(next(&host, only(instance(100)), SECOND).0.state(), State::Master);
}

#[test]
fn a_backup_leaves_nothing_to_adopt_but_keeps_that_it_was_stepped_down() {
    let mut backup = Host::started(only(instance(100)));
    backup.hear(&advert(200));
    backup.give(Event::StepDown(Target::All));
    let (heir, actions) = next(&backup, only(instance(100)), SECOND);
    assert_eq!((heir.state(), heir.instance().stepped_down), (State::Backup, true));
    assert!(!notices(&actions).iter().any(|what| matches!(what, What::NotAdopted { .. })));
}

#[test]
fn a_master_that_is_handing_over_leaves_nothing_to_adopt() {
    let mut master = Host::master(only(instance(100)));
    master.obliging = false;
    master.give(Event::StepDown(Target::All));
    assert_eq!(master.engine.bequest().instances[0].estate, None);
}

#[test]
fn what_is_not_decided_yet_is_there_for_the_next_one_again() {
    let master = Host::master(only(instance(100)));
    let inheritance = left_by(&master, SECOND);
    let mut heir = Host::heir(master.now, only(instance(100)), inheritance.clone());
    heir.obliging = false;
    heir.give(Event::Picture(as_left(&master)));
    assert_eq!(heir.engine.bequest().instances[0].estate, inheritance.instances[0].estate);
}

#[test]
fn a_check_keeps_its_last_word_until_it_speaks_again() {
    let settings = tracking(instance(100), &[("nginx", Effect::Fault)]);
    let mut master = Host::started(settings.clone());
    master.verdict("nginx", Verdict::Up);
    master.pass(SECOND * 4);
    let (mut heir, _) = next(&master, settings, SECOND);
    assert_eq!(heir.state(), State::Master);
    heir.verdict("nginx", Verdict::Down);
    assert_eq!(heir.state(), State::Fault);
}

#[test]
fn a_startup_delay_is_for_those_who_start_from_nothing() {
    let delayed = Settings { startup_delay: SECOND * 30, ..only(instance(100)) };
    let master = Host::master(only(instance(100)));
    assert_eq!(next(&master, delayed, SECOND).0.state(), State::Master);
}

#[test]
fn an_heir_yields_to_a_better_master_that_answers() {
    let master = Host::master(only(instance(100)));
    let (mut heir, _) = next(&master, only(instance(100)), SECOND);
    let actions = heir.hear(&advert(200));
    assert_eq!(outline(&actions), ["IPv4 advert 100", "shut 192.0.2.10/32", "remove 192.0.2.10/32"]);
}

#[test]
fn what_is_not_adopted_although_its_lease_lives_is_resigned_once() {
    let master = Host::master(only(dual(100)));
    let two = Instance { addresses: nets(&["192.0.2.11/24"]), ..instance(100) };
    let (mut heir, actions) = next(&master, only(two), SECOND);
    refuses(&actions, "its addresses are not configured any more");
    assert_eq!(adverts(&actions).len(), 1, "it has no voice in IPv6 any more");
    assert_eq!(adverts(&heir.pass(SECOND)), []);
    let mut silent = picture();
    silent.links[0].up = false;
    let mut heir = Host::heir(master.now, only(dual(100)), left_by(&master, SECOND));
    assert_eq!(adverts(&heir.give(Event::Picture(silent))), []);
    heir.pass(ms(500));
    assert_eq!(adverts(&heir.change(Change::Link(link(ETH0, "eth0")))).len(), 2, "as soon as it can be said");
    assert_eq!(heir.state(), State::Backup);
}

#[test]
fn what_is_left_can_be_resigned_by_anybody() {
    let master = Host::master(only(dual(100)));
    let left = master.engine.bequest().instances[0].estate.clone().unwrap();
    let said: Vec<Action> = left.resignations.into_iter().map(Action::Send).collect();
    assert_eq!(outline(&said), ["IPv4 advert 0", "IPv6 advert 0"]);
}

#[test]
fn with_20_ms_left_nothing_is_adopted_however_short_the_interval() {
    let fast = || only(Instance { interval: ms(10), ..instance(100) });
    let master = Host::master(fast());
    refuses(&next(&master, fast(), ms(20)).1, "its lease is about to end");
    assert_eq!(next(&master, fast(), ms(21)).0.state(), State::Master);
}
