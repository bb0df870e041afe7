//! What the addresses may answer: orders to the gate, the lease, and what the gate says back.

use super::driver::*;
use crate::engine::action::{Gate, Passage};
use crate::engine::event::{Change, Event, Gated, Gating, Target};
use crate::engine::notice::{Reason, State, What};
use crate::engine::settings::Instance;
use crate::net::{Family, Vrid};
use crate::time::Duration;

const NOTHING: [&str; 0] = [];

fn says(gate: &Gate, state: Gating) -> Event<'static> {
    Event::Gated(Gated { state, ..gated(gate) })
}

/// A host that has just become master and waits for its gate, and the order.
fn waiting() -> (Host, Gate) {
    let mut host = Host::started(only(instance(100)));
    host.gated = false;
    let gate = gates(&host.until(Duration::from_micros(3_609_375))).remove(0);
    assert_eq!((host.state(), gate.passage), (State::Master, Passage::Open));
    (host, gate)
}

/// A master, and the newest order to its gate.
fn master() -> (Host, Gate) {
    let (mut host, gate) = waiting();
    host.give(Event::Gated(gated(&gate)));
    assert_eq!(host.held(), ["192.0.2.10/32"]);
    (host, gate)
}

// Orders.

#[test]
fn what_is_not_held_is_shut_from_the_start() {
    let mut host = Host::dark(only(dual(100)));
    assert_eq!(host.give(Event::Tick), []);
    let actions = host.give(Event::Picture(picture()));
    assert_eq!(outline(&actions), ["shut 192.0.2.10/32", "shut 2001:db8::10/128"]);
}

#[test]
fn a_fault_is_as_shut_as_a_backup() {
    let down = picture_without_source();
    let mut host = Host::dark(only(instance(100)));
    let actions = host.give(Event::Picture(down));
    assert_eq!((host.state(), outline(&actions)), (State::Fault, ["shut 192.0.2.10/24".into()].into()));
}

fn picture_without_source() -> crate::engine::event::Picture {
    let mut picture = picture();
    picture.addresses.clear();
    picture
}

#[test]
fn addresses_do_not_wait_for_their_gate_but_announcements_do() {
    let (mut host, gate) = waiting();
    assert_eq!(host.held(), ["192.0.2.10/32"]);
    // Another host claims the address: that is answered when the answer can leave.
    assert_eq!(outline(&host.claim("192.0.2.10")), NOTHING);
    assert_eq!(outline(&host.pass(SECOND)), ["IPv4 advert 100"]);
    assert_eq!(outline(&host.give(Event::Gated(gated(&gate)))), ["announce 192.0.2.10/32"]);
}

#[test]
fn a_master_whose_gate_does_not_answer_for_a_whole_lease_resigns_and_says_why() {
    let (mut host, _) = waiting();
    host.pass(ms(2999));
    assert_eq!(host.state(), State::Master);
    let actions = host.pass(ms(1));
    assert_eq!((host.state(), host.reason()), (State::Fault, Reason::GateStuck { after: SECOND * 3 }));
    assert_eq!(outline(&actions)[..2], ["IPv4 advert 100", "IPv4 advert 0"]);
    assert!(host.held().is_empty());
}

#[test]
fn a_master_whose_gate_does_not_answer_again_and_again_stays_out_for_longer_and_longer() {
    let (mut host, _) = waiting();
    for pause in [10_u64, 20, 40] {
        host.pass(SECOND * 3);
        host.pass(ms(1000 * pause - 1));
        assert_eq!(host.state(), State::Fault, "for {pause} seconds");
        host.pass(ms(1));
        assert_eq!(host.state(), State::Backup);
        host.pass(Duration::from_micros(3_609_375));
        assert_eq!(host.state(), State::Master);
    }
}

#[test]
fn only_the_first_answer_of_a_term_is_waited_for() {
    let (mut host, gate) = waiting();
    host.give(Event::Gated(gated(&gate)));
    let lost = Gated { state: Gating::Lost("gone".into()), ..gated(&gate) };
    assert_eq!(gates(&host.give(Event::Gated(lost))).len(), 1);
    host.pass(SECOND * 20);
    assert_eq!(host.state(), State::Master);
}

#[test]
fn another_order_does_not_begin_the_wait_for_the_first_answer_again() {
    let (mut host, _) = waiting();
    host.pass(SECOND * 2);
    let more = Instance { addresses: nets(&["192.0.2.10/24", "192.0.2.11/24"]), ..instance(100) };
    assert_eq!(gates(&host.give(Event::Reload(only(more)))).len(), 1);
    host.pass(ms(999));
    assert_eq!(host.state(), State::Master);
    host.pass(ms(1));
    assert_eq!(host.state(), State::Fault);
}

#[test]
fn what_is_adopted_is_open_already_and_nobody_waits_for_an_answer() {
    let (host, _) = master();
    let mut left = host.engine.bequest();
    left.handed_on = true;
    for inherited in &mut left.instances {
        let estate = inherited.estate.as_mut().unwrap();
        estate.leases.insert(Family::Ipv4, host.now + SECOND * 3);
    }
    let mut heir = Host::heir(host.now, only(instance(100)), left);
    heir.gated = false;
    let mut picture = picture();
    picture.addresses.push(ours(on_eth0("192.0.2.10/32")));
    heir.kernel = host.kernel;
    heir.give(Event::Picture(picture));
    assert_eq!(heir.state(), State::Master);
    heir.pass(SECOND * 20);
    assert_eq!(heir.state(), State::Master);
}

#[test]
fn without_a_gate_there_is_no_lease() {
    let (mut host, gate) = waiting();
    assert!(host.instance().lease.enabled);
    assert_eq!(outline(&host.give(says(&gate, Gating::Unavailable("no nftables".into())))), NOTHING);
    assert!(!host.instance().lease.enabled);
}

#[test]
fn an_answer_to_an_older_order_to_a_gate_is_ignored() {
    let (mut host, gate) = waiting();
    host.hear(&advert(200));
    assert_eq!(outline(&host.give(Event::Gated(gated(&gate)))), NOTHING);
    assert_eq!(host.held(), NOTHING);
}

#[test]
fn no_advert_is_an_order() {
    let (mut host, _) = master();
    let actions = host.pass(SECOND * 60);
    assert_eq!((adverts(&actions).len(), gates(&actions)), (60, [].into()));
}

#[test]
fn an_address_that_the_host_has_elsewhere_is_the_hosts_own() {
    let mut host = Host::master(only(instance(100)));
    let actions = host.change(Change::Address(foreign(ETH1, "192.0.2.10/32")));
    assert_eq!(outline(&actions), ["forget"]);
}

#[test]
fn an_owner_has_no_gate() {
    let mut host = Host::dark(only(instance(255)));
    assert_eq!(gates(&host.give(Event::Picture(picture()))), []);
    assert!(!host.instance().lease.enabled);
}

// The lease.

#[test]
fn a_lease_ends_three_intervals_after_the_advert_that_began_the_term() {
    let (host, gate) = waiting();
    let lease = gate.lease.unwrap();
    assert_eq!(lease.until, host.now + SECOND * 3);
    assert_eq!((lease.extension, lease.vrid), (SECOND * 3, Vrid::new(51).unwrap()));
    assert_eq!(host.instance().lease.extension, SECOND * 3);
}

#[test]
fn every_term_has_a_lease_of_its_own() {
    let (mut host, first) = master();
    host.gated = true;
    host.hear(&advert(200));
    let second = leases(&host.pass(SECOND * 4));
    assert!(second[0].term > first.lease.unwrap().term);
}

#[test]
fn a_lease_that_is_not_wanted_is_not_ordered() {
    let mut host = Host::started(only(Instance { lease: false, ..instance(100) }));
    let gate = gates(&host.pass(SECOND * 4)).remove(0);
    assert_eq!((gate.passage, gate.lease), (Passage::Open, None));
    assert!(!host.instance().lease.enabled);
}

#[test]
fn that_packets_are_refused_is_in_every_order_and_changes_in_place() {
    let refusing = |priority| Instance { accept: false, ..instance(priority) };
    let mut host = Host::started(only(refusing(100)));
    let gate = gates(&host.pass(SECOND * 4)).remove(0);
    assert_eq!((gate.passage, gate.accept, host.instance().accept), (Passage::Open, false, false));
    let actions = host.give(Event::Reload(only(instance(100))));
    let gate = gates(&actions).remove(0);
    assert_eq!((gate.passage, gate.accept, host.state()), (Passage::Open, true, State::Master));
    let mut owner = Host::started(only(refusing(255)));
    assert!(gates(&owner.pass(SECOND * 4)).is_empty() && owner.instance().accept, "an owner accepts");
}

#[test]
fn a_hand_over_cuts_the_lease_to_its_own_bound() {
    let (mut host, _) = master();
    host.pass(SECOND);
    let asked = host.now;
    let lease = leases(&host.give(Event::StepDown(Target::All))).remove(0);
    assert_eq!(
        (lease.until, lease.cut),
        (asked + ms(1070), true),
        "two ticks more: if nobody comes, it goes on"
    );
    // The resignation is no sign of life.
    let (mut host, _) = master();
    let alive = host.now;
    host.pass(ms(999));
    let short = host.give(Event::Reload(only(Instance { interval: ms(10), ..instance(100) })));
    assert_eq!(leases(&short).remove(0).until, alive + SECOND * 3, "the last advert spoke of 1 s");
}

#[test]
fn a_term_that_begins_because_nobody_took_over_has_a_new_lease() {
    let (mut host, first) = master();
    host.gated = true;
    host.give(Event::StepDown(Target::All));
    let again = leases(&host.pass(ms(1050))).remove(0);
    assert!(again.term > first.lease.unwrap().term);
    assert_eq!(again.until, host.now + SECOND * 3);
}

// What the gate says.

#[test]
fn a_master_whose_lease_ran_out_listens_before_it_answers_again() {
    let (mut host, gate) = master();
    host.gated = true;
    let actions = host.give(says(&gate, Gating::Dark));
    assert_eq!(outline(&actions), ["shut 192.0.2.10/32", "remove 192.0.2.10/32"]);
    assert_eq!(notices(&actions)[0], What::LeaseOver);
    assert_eq!((host.state(), host.reason()), (State::Backup, Reason::Stalled));
    host.pass(ms(1609));
    assert_eq!(host.state(), State::Backup);
    host.pass(ms(1));
    assert_eq!(host.state(), State::Master);
}

#[test]
fn a_backup_whose_gate_is_dark_is_as_it_should_be() {
    let mut host = Host::dark(only(instance(100)));
    host.gated = false;
    let shut = gates(&host.give(Event::Picture(picture()))).remove(0);
    assert_eq!(host.give(says(&shut, Gating::Dark)), []);
}

#[test]
fn a_gate_that_somebody_took_away_is_ordered_anew_with_what_the_lease_is_now() {
    let (mut host, gate) = master();
    host.pass(ms(2_500));
    let why = "somebody removed it";
    let actions = host.give(says(&gate, Gating::Lost(why.into())));
    assert_eq!(notices(&actions), [What::GateLost { why: why.into() }]);
    let again = gates(&actions).remove(0);
    assert!(again.generation > gate.generation);
    let (old, new) = (gate.lease.unwrap(), again.lease.unwrap());
    assert_eq!((new.term, new.until), (old.term, old.until + SECOND * 2));
    assert_eq!(host.state(), State::Master);
    assert_eq!(host.give(says(&gate, Gating::Lost(why.into()))), [], "it has been ordered");
}

#[test]
fn an_agent_that_was_late_asks_whether_its_advert_was_too() {
    let (mut host, gate) = master();
    host.now = host.engine.deadline().unwrap() + ms(501);
    let mut actions = host.give(Event::Stalled { late: ms(501) });
    actions.extend(host.turn());
    let asked = gates(&actions).remove(0);
    let (old, lease) = (gate.lease.unwrap(), asked.lease.unwrap());
    assert_eq!((asked.passage, lease.term), (Passage::Open, old.term));
    assert!(!lease.cut, "the advert that leaves now has moved the end when this order arrives");
    host.gated = true;
    host.give(says(&asked, Gating::Dark));
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn one_familys_dead_lease_is_the_whole_instances() {
    let mut host = Host::master(only(dual(100)));
    host.gated = false;
    let lost = gates(&host.give(Event::StepDown(Target::All)));
    assert_eq!(lost.len(), 2);
    host.gated = true;
    let orders = gates(&host.pass(ms(1050)));
    let six = orders.iter().find(|gate| gate.router.family == Family::Ipv6).unwrap();
    host.give(says(six, Gating::Dark));
    assert_eq!((host.state(), host.router(Family::Ipv4).state), (State::Backup, State::Backup));
}
