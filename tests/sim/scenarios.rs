//! Named stories, with figures: two nodes with priorities 150 and 100 and adverts each 100 ms, unless they say
//! otherwise. Every promise of `oracles` is kept in them as well.

use std::net::IpAddr;

use vipd::engine::notice::State;
use vipd::engine::settings::{Adverts, Effect, Instance, Preempt, VirtualMac};
use vipd::net::{Family, Priority};
use vipd::proto::health::Verdict;
use vipd::time::{Duration, Instant};
use vipd::wire::vrrp::{Authentication, Version};

use crate::kernel::LAN;
use crate::plan::{Fault, Plan, Tweak};
use crate::topology::{self, PROBE, net, vip};
use crate::trace::Trace;
use crate::watch::Take;
use crate::world::{LONGEST_LATENCY, World};

const VRID: u8 = 51;
/// Who is preempted shuts its gate, which may be before the better master's addresses are in and announced.
const PREEMPTED: Duration = ms(10);
/// Who becomes master writes an address and announces it.
const ANNOUNCED: Duration = ms(20);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn at(millis: u64) -> Instant {
    Instant::BOOT + ms(millis)
}

/// `Skew_Time` of priority 100: 156/256 of an interval (RFC 9568, section 6.1).
fn skew(interval: Duration) -> Duration {
    interval * 156 / 256
}

/// `Master_Down_Interval` of priority 100.
fn master_down(interval: Duration) -> Duration {
    interval * 3 + skew(interval)
}

/// That a timer ran out when it should have: what the scheduler adds is all that is added.
#[track_caller]
fn assert_timer(took: Duration, due: Duration) {
    assert!(took >= due && took <= due + LONGEST_LATENCY, "{took:?} instead of {due:?}");
}

fn address() -> IpAddr {
    vip(Family::Ipv4, 0, 0)
}

fn instance(priority: u8) -> Instance {
    Instance { priority: Priority::new(priority), ..topology::instance(0) }
}

fn dual(priority: u8) -> Instance {
    let addresses = [Family::Ipv4, Family::Ipv6].map(|family| net(vip(family, 0, 0), true).into()).to_vec();
    Instance { addresses, ..instance(priority) }
}

/// A story.
struct Story {
    plan: Plan,
}

/// Two nodes with these instances.
fn between(first: Instance, second: Instance) -> Story {
    Story { plan: Plan::quiet(vec![vec![first], vec![second]], &[0, 1], ms(20_000)) }
}

fn pair() -> Story {
    between(instance(150), instance(100))
}

impl Story {
    /// Node 1 does not start before anything says so.
    fn alone(mut self) -> Self {
        self.plan.faults.retain(|(_, fault)| *fault != Fault::Start(1));
        self
    }

    fn then(mut self, millis: u64, fault: Fault) -> Self {
        self.plan.faults.push((at(millis), fault));
        self
    }

    fn until(mut self, millis: u64) -> Self {
        self.plan.end = at(millis);
        self
    }

    /// Lets it happen; every promise is kept.
    fn told(mut self) -> World {
        self.plan.faults.sort_by_key(|(at, _)| *at);
        let world = World::new(self.plan, None, Trace::kept()).run();
        if let Some(violation) = &world.violation {
            panic!("{}{violation}", world.trace);
        }
        world
    }
}

impl World {
    fn state(&self, node: usize) -> Option<State> {
        self.nodes[node].process.as_ref()?.state(VRID)
    }

    fn holds(&self, node: usize) -> bool {
        self.nodes[node].kernel.answers(address())
    }

    /// The first take by a node after some moment.
    fn next_take(&self, millis: u64, node: usize) -> Take {
        let mut takes = self.watch.takes.iter().filter(|take| take.vrid == VRID);
        let take = takes.find(|take| take.at >= at(millis) && take.node == node);
        *take.unwrap_or_else(|| panic!("{}n{node} does not become master after {millis} ms", self.trace))
    }

    /// How long after some moment a node became master.
    fn take_after(&self, millis: u64, node: usize) -> Duration {
        self.next_take(millis, node).at.since(at(millis))
    }

    /// How long a node had heard nothing when it became master for the first time after some moment.
    fn silence_before_take(&self, millis: u64, node: usize) -> Duration {
        self.next_take(millis, node).silence.unwrap_or_default()
    }

    fn takes(&self, node: usize) -> usize {
        self.watch.takes.iter().filter(|take| take.node == node).count()
    }

    /// Who became master after some moment, in order.
    fn masters_after(&self, millis: u64) -> Vec<usize> {
        self.watch.takes.iter().filter(|take| take.at >= at(millis)).map(|take| take.node).collect()
    }

    /// Who became master, in order.
    fn masters(&self) -> Vec<usize> {
        self.masters_after(0)
    }

    /// The longest time in which the client did not reach an address, of those that began after some moment.
    fn outage_after(&self, millis: u64) -> Duration {
        let last = self.watch.reach.iter().filter(|(_, (reaches, _))| !reaches);
        let lasting = last.map(|(_, (_, since))| (*since, self.now.since(*since)));
        let past = self.watch.outages.iter().map(|(_, since, length)| (*since, *length));
        let later = past.chain(lasting).filter(|(since, _)| *since >= at(millis));
        later.map(|(_, length)| length).max().unwrap_or_default()
    }
}

// Taking over.

#[test]
fn a_master_that_is_cut_off_is_replaced_after_master_down_interval() {
    let world = pair().then(5000, Fault::Part(vec![true, false, false])).told();
    assert_timer(world.silence_before_take(5000, 1), master_down(ms(100)));
    // Its last advert was up to one interval before the cut; then clients have to be told.
    let outage = world.outage_after(5000);
    assert!(outage > ms(200) + skew(ms(100)) && outage < master_down(ms(100)) + ANNOUNCED, "{outage:?}");
    assert!(world.holds(0) && world.holds(1), "two networks, two masters");
}

#[test]
fn an_agent_that_crashes_is_replaced_and_its_successor_removes_what_it_left() {
    let world = pair().then(5000, Fault::Crash(0)).then(8000, Fault::Start(0)).told();
    assert_timer(world.silence_before_take(5000, 1), master_down(ms(100)));
    assert!(world.outage_after(1000) < PREEMPTED, "the kernel goes on serving");
    assert_eq!(world.masters(), [0, 1, 0]);
    assert!(world.holds(0) && !world.holds(1));
}

#[test]
fn a_better_router_replaces_a_lower_one_within_milliseconds() {
    let story = pair().then(0, Fault::Crash(0)).then(5000, Fault::Start(0));
    let world = story.told();
    assert_eq!(world.masters(), [1, 0]);
    assert!(world.outage_after(1000) < PREEMPTED);
}

#[test]
fn without_addresses_one_is_master_and_another_when_it_is_gone() {
    let bare =
        |priority| Instance { addresses: Vec::new(), bare_family: Some(Family::Ipv4), ..instance(priority) };
    let pair = || between(bare(150), bare(100));
    let world = pair().told();
    assert_eq!((world.state(0), world.state(1)), (Some(State::Master), Some(State::Backup)));
    let world = pair().then(5000, Fault::Crash(0)).told();
    assert_eq!((world.state(0), world.state(1)), (None, Some(State::Master)));
    let world = pair().then(5000, Fault::Crash(0)).then(8000, Fault::Start(0)).told();
    assert_eq!((world.state(0), world.state(1)), (Some(State::Master), Some(State::Backup)));
    let world = pair().then(5000, Fault::Stop(0)).told();
    assert_eq!(world.state(1), Some(State::Master));
}

#[test]
fn without_preempt_nothing_but_a_fault_moves_the_address() {
    let patient = |priority| Instance {
        preempt: Preempt::Never,
        tracks: vec![topology::track(PROBE, Effect::Fault)],
        ..instance(priority)
    };
    let story = between(patient(150), patient(100)).then(0, Fault::Crash(0)).then(4000, Fault::Start(0));
    let story = story.then(8000, Fault::Probe(1, Verdict::Down)).then(10_000, Fault::Probe(1, Verdict::Up));
    let story = story.then(14_000, Fault::Probe(0, Verdict::Down)).then(16_000, Fault::Probe(0, Verdict::Up));
    let world = story.told();
    assert_eq!(world.masters(), [1, 0, 1], "started, failed, failed");
    assert!(world.take_after(8000, 0) < ms(200) && world.take_after(14_000, 1) < ms(200));
    assert_eq!(world.state(0), Some(State::Backup));
}

#[test]
fn without_preempt_a_lost_weight_moves_nothing() {
    let patient = |priority| Instance {
        preempt: Preempt::Never,
        tracks: vec![topology::track(PROBE, Effect::Weight(-60))],
        ..instance(priority)
    };
    let story = between(patient(150), patient(100)).then(5000, Fault::Probe(0, Verdict::Down));
    let world = story.told();
    assert_eq!(world.masters(), [0]);
    assert_eq!(world.outage_after(1000), Duration::ZERO);
}

#[test]
fn a_preempt_delay_is_waited_for() {
    let patient = Instance { preempt: Preempt::After(ms(5000)), ..instance(150) };
    let story = between(patient, instance(100)).then(0, Fault::Crash(0));
    let world = story.then(5000, Fault::Start(0)).told();
    let taken = world.take_after(5000, 0);
    assert!(taken > ms(5000) && taken < ms(5500), "{taken:?}");
}

#[test]
fn version_2_by_unicast_with_a_password_fails_over_too() {
    let peer = |node, priority| Instance {
        version: Version::V2,
        interval: ms(1000),
        authentication: Authentication::Simple(*b"secret\0\0"),
        unicast: Some(topology::unicast(node, &[0, 1])),
        ..instance(priority)
    };
    let world = between(peer(0, 150), peer(1, 100)).then(10_000, Fault::Crash(0)).told();
    assert_timer(world.silence_before_take(10_000, 1), master_down(ms(1000)));
}

// Equal priorities.

#[test]
fn of_two_equals_that_start_together_one_holds() {
    let world = between(instance(100), instance(100)).told();
    assert!(world.holds(1) != world.holds(0));
    assert!(world.masters().len() <= 2, "{:?}", world.masters());
    assert!(world.outage_after(0) < PREEMPTED);
}

#[test]
fn two_equals_whose_families_disagree_do_not_both_give_up() {
    let mut story = between(dual(100), dual(100));
    story.plan.nodes[0].own = topology::own(0, 1);
    story.plan.nodes[1].own = topology::own(1, 0);
    // Both are masters for a while, and meet.
    let sides = vec![true, false, false];
    let world = story.then(5000, Fault::Part(sides)).then(8000, Fault::Heal).told();
    assert!(world.holds(1) && !world.holds(0), "IPv4 decides");
    assert!(world.outage_after(7900) < ms(100));
}

// Healing.

#[test]
fn twenty_partitions_that_heal_each_cost_clients_less_than_an_interval() {
    let mut story = pair().until(45_000);
    for round in 0..20 {
        let cut = 2000 + round * 2000;
        story = story.then(cut, Fault::Part(vec![true, false, false])).then(cut + 1000, Fault::Heal);
    }
    let world = story.told();
    for round in 0..20 {
        let heal = 3000 + round * 2000;
        let since = world.watch.outages.iter().filter(|(_, since, _)| *since >= at(heal - 10));
        let longest = since.filter(|(_, since, _)| *since < at(heal + 900)).map(|o| o.2).max();
        assert!(longest.unwrap_or_default() < ms(100), "round {round}: {longest:?}");
    }
    assert!(world.holds(0) && !world.holds(1));
}

#[test]
fn a_backup_that_is_cut_off_and_heals_costs_the_clients_of_its_master_nothing() {
    let story = pair().then(5000, Fault::Part(vec![false, true, false])).then(8000, Fault::Heal);
    let world = story.told();
    assert_eq!(world.masters(), [0, 1]);
    assert_eq!(world.outage_after(1000), Duration::ZERO);
    assert!(world.holds(0) && !world.holds(1));
}

#[test]
fn a_family_that_is_cut_off_alone_moves_nothing() {
    let world = between(dual(150), dual(100))
        .then(5000, Fault::Family(Family::Ipv6, true))
        .then(10_000, Fault::Family(Family::Ipv6, false))
        .told();
    assert_eq!(world.masters(), [0]);
    assert_eq!(world.outage_after(1000), Duration::ZERO);
    // The cut is a true one: who has no other family hears nothing more.
    let only = |priority| Instance {
        addresses: vec![net(vip(Family::Ipv6, 0, 0), true).into()],
        ..instance(priority)
    };
    let story = between(only(150), only(100)).then(5000, Fault::Family(Family::Ipv6, true));
    let world = World::new(story.plan, None, Trace::kept()).run();
    assert_timer(world.silence_before_take(5000, 1), master_down(ms(100)));
}

// Stopping and stepping down.

#[test]
fn a_graceful_stop_costs_clients_nothing_with_adverts_each_second() {
    let slow = |priority| Instance { interval: ms(1000), ..instance(priority) };
    let world = between(slow(150), slow(100)).then(10_000, Fault::Stop(0)).told();
    assert_timer(world.silence_before_take(10_000, 1), skew(ms(1000)));
    assert!(world.outage_after(1000) < ms(1), "{:?}", world.outage_after(1000));
    assert!(world.nodes[0].process.is_none());
}

#[test]
fn a_restart_costs_clients_no_more_than_a_preemption_and_nothing_without_preempt() {
    let restarted = |preempt| {
        let first = Instance { preempt, ..instance(150) };
        between(first, instance(100)).then(5000, Fault::Stop(0)).then(6000, Fault::Start(0)).told()
    };
    let world = restarted(Preempt::After(Duration::ZERO));
    assert_eq!(world.masters(), [0, 1, 0]);
    assert!(world.outage_after(1000) < PREEMPTED);
    let world = restarted(Preempt::Never);
    assert_eq!(world.masters(), [0, 1]);
    assert_eq!(world.outage_after(1000), Duration::ZERO);
}

#[test]
fn a_master_that_ends_does_not_take_the_role_back_from_a_lower_successor() {
    let fast = |priority| Instance { interval: ms(10), ..instance(priority) };
    let world = between(fast(254), fast(10)).then(5000, Fault::Stop(0)).told();
    assert_eq!((world.takes(0), world.takes(1)), (1, 1));
    assert_eq!(world.outage_after(1000), Duration::ZERO);
}

#[test]
fn a_step_down_with_nobody_there_stays_master() {
    let world = pair().alone().then(5000, Fault::StepDown(0, 0)).told();
    assert!(world.holds(0));
    assert_eq!(world.outage_after(1000), Duration::ZERO);
}

#[test]
fn a_step_down_lasts_until_it_is_taken_back_but_not_beyond_a_dead_peer() {
    let story = pair().then(3000, Fault::StepDown(0, 0)).then(8000, Fault::Resume(0, 0));
    let world = story.told();
    assert_timer(world.silence_before_take(3000, 1), skew(ms(100)));
    assert!(world.take_after(3000, 0) > ms(5000) && world.holds(0));
    let story = pair().then(3000, Fault::StepDown(0, 0)).then(6000, Fault::Crash(1));
    assert!(story.told().take_after(6000, 0) < ms(402));
}

// Stalls.

#[test]
fn a_master_that_was_stopped_for_seconds_asks_before_it_answers() {
    let story = pair().then(5000, Fault::Freeze(0, true)).then(9000, Fault::Thaw(0));
    let world = story.told();
    // One interval and Skew_Time; the peer's lower adverts do not hold it up.
    let back = world.take_after(9000, 0);
    assert!(back > ms(100) && back < ms(200), "{back:?}");
}

#[test]
fn an_old_advert_in_a_full_socket_does_not_shorten_the_question() {
    let fast = |priority| Instance { interval: ms(10), ..instance(priority) };
    let story = between(fast(100), fast(150)).then(3000, Fault::Freeze(1, true));
    let world = story.then(6000, Fault::Thaw(1)).told();
    assert!(world.take_after(6000, 1) >= ms(10), "{:?}", world.take_after(6000, 1));
}

// The kernel.

#[test]
fn an_address_that_somebody_deletes_is_back_within_milliseconds() {
    let world = pair().then(5000, Fault::Delete(0, address())).told();
    assert!(world.outage_after(1000) < ms(15), "{:?}", world.outage_after(1000));
    assert_eq!(world.takes(1), 0);
}

#[test]
fn a_link_of_a_virtual_routers_own_that_somebody_removes_or_changes_is_as_before_within_milliseconds() {
    let own = |priority| Instance {
        virtual_mac: Some(VirtualMac { name: None, adverts: Adverts::Virtual }),
        ..instance(priority)
    };
    for fault in [Fault::Unlink(0), Fault::Estrange(0)] {
        let world = between(own(150), own(100)).then(5000, fault).told();
        assert!(world.outage_after(1000) < ms(40), "{:?}", world.outage_after(1000));
        assert_eq!(world.masters(), [0]);
    }
}

#[test]
fn an_interface_that_comes_back_under_another_number_serves_again() {
    let story = pair().then(5000, Fault::Vanish(0, LAN)).then(9000, Fault::Appear(0, LAN));
    let world = story.told();
    assert_timer(world.silence_before_take(5000, 1), master_down(ms(100)));
    assert_eq!(world.masters(), [0, 1, 0]);
    assert!(world.holds(0) && !world.holds(1));
}

#[test]
fn an_interface_that_goes_down_moves_the_address_and_moves_it_back() {
    let carrier = |up| Fault::Carrier(0, LAN, up);
    let admin = |up| Fault::Admin(0, LAN, up);
    for (down, up) in [(carrier(false), carrier(true)), (admin(false), admin(true))] {
        let world = pair().then(5000, down).then(9000, up).told();
        assert_timer(world.silence_before_take(5000, 1), master_down(ms(100)));
        let outage = world.outage_after(1000);
        assert!(outage > ms(260) && outage < master_down(ms(100)) + ANNOUNCED, "{outage:?}");
        assert!(world.take_after(9000, 0) < master_down(ms(100)), "preempting takes its own, shorter skew");
        assert_eq!(world.masters(), [0, 1, 0]);
        assert!(world.outage_after(8000) < PREEMPTED);
    }
}

#[test]
fn one_that_does_not_follow_its_interface_is_master_without_a_carrier_and_the_only_one_with_it() {
    let carrier = |up| Fault::Carrier(0, LAN, up);
    let unfollowing = |priority| Instance { follow_interface: false, ..instance(priority) };
    let world =
        between(unfollowing(150), instance(100)).then(5000, carrier(false)).then(9000, carrier(true)).told();
    assert_timer(world.silence_before_take(5000, 1), master_down(ms(100)));
    assert!(world.takes(0) == 1 && world.takes(1) == 1, "the one without a carrier stays master");
    assert!(world.holds(0) && !world.holds(1) && world.outage_after(9100) < ANNOUNCED);
    let admin = |up| Fault::Admin(0, LAN, up);
    let world =
        between(unfollowing(150), instance(100)).then(5000, admin(false)).then(9000, admin(true)).told();
    assert_eq!(world.masters(), [0, 1, 0]);
}

#[test]
fn refused_addresses_are_tried_again() {
    let story = pair().alone().then(100, Fault::Refuse(0, 2));
    let world = story.told();
    assert!(world.holds(0) && world.takes(0) == 1);
}

#[test]
fn a_node_that_cannot_send_and_then_loses_its_link_does_not_spin() {
    let story = pair().then(3000, Fault::Mute(0, true)).then(4000, Fault::Carrier(0, LAN, false));
    let story = story.then(30_000, Fault::Carrier(0, LAN, true)).then(30_000, Fault::Mute(0, false));
    assert!(story.until(40_000).told().holds(0));
}

#[test]
fn a_master_whose_gate_does_not_open_leaves_the_addresses_to_its_peer() {
    let story = pair().then(0, Fault::Crash(0)).then(5000, Fault::Jam(0, true)).then(5000, Fault::Start(0));
    let world = story.then(12_000, Fault::Jam(0, false)).told();
    assert_eq!(world.masters(), [1, 0, 1, 0]);
    let outage = world.outage_after(1000);
    assert!(outage < ms(300) + skew(ms(100)) + ANNOUNCED, "{outage:?}");
    assert!(world.take_after(5000, 0) < ms(1000) && world.holds(0));
}

#[test]
fn when_the_check_of_every_node_fails_one_serves_all_the_while_and_the_first_to_recover_takes_over() {
    let last = |priority| Instance {
        last_resort: true,
        preempt: Preempt::Never,
        tracks: vec![topology::track(PROBE, Effect::Fault)],
        ..instance(priority)
    };
    let story = between(last(150), last(100)).then(5000, Fault::Probe(1, Verdict::Down));
    let story = story.then(6000, Fault::Probe(0, Verdict::Down)).then(10_000, Fault::Probe(1, Verdict::Up));
    let world = story.told();
    assert_eq!(world.masters_after(1000), [0, 1]);
    assert!(world.outage_after(1000) < PREEMPTED, "{:?}", world.outage_after(1000));
    assert!(world.holds(1) && !world.holds(0));
}

// Checks and reloads.

/// A check of the better router fails, and recovers.
fn failing_and_recovering(effect: Effect) -> World {
    let tracked = Instance { tracks: vec![topology::track(PROBE, effect)], ..instance(150) };
    let story = between(tracked, instance(100)).then(5000, Fault::Probe(0, Verdict::Down));
    let world = story.then(10_000, Fault::Probe(0, Verdict::Up)).told();
    assert_eq!(world.masters_after(1000), [1, 0], "away and back");
    assert!(world.take_after(10_000, 0) < master_down(ms(100)), "its own skew is shorter");
    assert!(world.outage_after(9000) < PREEMPTED);
    world
}

#[test]
fn a_check_that_fails_with_fault_moves_the_address_after_skew_time_and_moves_it_back() {
    let world = failing_and_recovering(Effect::Fault);
    assert_timer(world.silence_before_take(5000, 1), skew(ms(100)));
    assert!(world.outage_after(1000) < skew(ms(100)) + ANNOUNCED, "{:?}", world.outage_after(1000));
}

#[test]
fn a_check_that_fails_with_a_weight_moves_the_address_without_an_outage_and_moves_it_back() {
    let world = failing_and_recovering(Effect::Weight(-60));
    // The lower adverts do not start the timer again: the last one before the failure did.
    let taken = world.take_after(5000, 1);
    assert!(taken > ms(200) + skew(ms(100)) && taken < master_down(ms(100)) + ms(5), "{taken:?}");
    assert!(world.outage_after(1000) < PREEMPTED);
}

#[test]
fn a_reload_that_adds_an_address_disturbs_nothing() {
    let added = net(vip(Family::Ipv4, 0, 7), true);
    let story = [0, 1].into_iter().fold(pair(), |story, node| {
        story.then(5000 + 500 * node as u64, Fault::Reload(node, Tweak::Add(0, added)))
    });
    let world = story.told();
    assert_eq!((world.takes(0), world.takes(1)), (1, 0));
    assert_eq!(world.outage_after(1000), Duration::ZERO);
    assert!(world.nodes[0].kernel.answers(added.address()));
}

#[test]
fn an_address_that_moves_from_one_instance_to_another_is_served_all_the_while() {
    let two = |priority| {
        let number = |number: usize| {
            let addresses = (0..2).map(|at| net(vip(Family::Ipv4, number, at), true).into()).collect();
            Instance { priority: Priority::new(priority), addresses, ..topology::instance(number) }
        };
        vec![number(0), number(1)]
    };
    let mut story = Story { plan: Plan::quiet(vec![two(150), two(100)], &[0, 1], ms(15_000)) };
    for node in [0, 1] {
        story = story.then(5000, Fault::Reload(node, Tweak::Move(0, 1, address())));
    }
    let world = story.told();
    assert_eq!(world.outage_after(1000), Duration::ZERO);
    assert!(world.holds(0) && !world.holds(1));
}
