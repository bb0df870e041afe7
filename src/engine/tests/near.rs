//! Near misses: the gap between two adverts of a master, its share of the timer, and what it may come from.

use alloc::vec::Vec;

use super::driver::*;
use crate::engine::action::Action;
use crate::engine::event::Event;
use crate::engine::near::{Cause, Gap, Nearness};
use crate::engine::notice::{State, What};
use crate::engine::settings::Instance;
use crate::net::Family;
use crate::time::Duration;

/// `Master_Down_Interval` of priority 100: 3 s and 156/256 s.
const TIMER: Duration = Duration::from_micros(3_609_375);

fn near(host: &Host) -> Nearness {
    host.router(Family::Ipv4).near
}

/// A backup that has heard a master twice, a second apart.
fn backup(instance: Instance) -> Host {
    let mut host = Host::started(only(instance));
    host.hear(&advert(200));
    host.pass(SECOND);
    host.hear(&advert(200));
    host
}

/// The next advert after so long; the near misses that are told.
fn after(host: &mut Host, gap: Duration) -> Vec<Gap> {
    host.pass(gap);
    let actions: Vec<Action> = host.hear(&advert(200));
    let told = notices(&actions).into_iter().filter_map(|what| match what {
        What::NearMiss { master, gap } => {
            assert_eq!(master, PEER);
            Some(gap)
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn the_gaps_of_a_punctual_master_are_counted_and_nothing_more() {
    let mut host = backup(instance(100));
    assert_eq!(after(&mut host, SECOND), []);
    let near = near(&host);
    assert_eq!((near.counts, near.misses, near.last), ([2, 0, 0, 0], 0, None));
    let worst = near.worst.unwrap();
    assert_eq!((worst.length, worst.timer, worst.cause, worst.permille()), (SECOND, TIMER, None, 277));
    assert_eq!(near.total_permille, 554);
}

#[test]
fn two_lost_adverts_in_a_row_are_a_near_miss_of_three_and_no_change_of_state() {
    let mut host = backup(instance(100));
    let told = after(&mut host, SECOND * 3);
    let [gap] = told[..] else { panic!("{told:?}") };
    assert_eq!((gap.length, gap.timer, gap.permille()), (SECOND * 3, TIMER, 831));
    assert_eq!(gap.cause, Some(Cause::Lost { adverts: 2 }));
    assert_eq!(host.state(), State::Backup);
    let near = near(&host);
    assert_eq!((near.counts, near.misses), ([1, 0, 1, 0], 1));
    assert_eq!((near.last, near.worst), (Some(gap), Some(gap)));
}

#[test]
fn a_gap_between_two_intervals_is_the_masters_own() {
    let mut host = backup(instance(100));
    let told = after(&mut host, ms(3500));
    assert_eq!(told.iter().map(|gap| gap.cause).collect::<Vec<_>>(), [Some(Cause::There)]);
    assert_eq!(near(&host).counts, [1, 0, 0, 1]);
}

#[test]
fn a_machine_that_was_late_meanwhile_is_the_likelier_cause() {
    let mut host = backup(instance(100));
    host.pass(SECOND);
    host.give(Event::Stalled { late: ms(300) });
    let told = after(&mut host, SECOND * 2);
    let lost = Some(Cause::Lost { adverts: 2 });
    assert_eq!(told.iter().map(|gap| gap.cause).collect::<Vec<_>>(), [lost], "so little explains nothing");
    let mut host = backup(instance(100));
    host.pass(ms(2100));
    host.give(Event::Stalled { late: ms(995) });
    let told = after(&mut host, ms(800));
    let late = ms(995);
    assert_eq!(told.iter().map(|gap| gap.cause).collect::<Vec<_>>(), [Some(Cause::Here { late })]);
}

#[test]
fn what_is_no_gap_between_two_adverts_of_one_master_does_not_count() {
    // The first advert after the start, another master, and the time as a master.
    let mut host = Host::started(only(instance(100)));
    host.pass(ms(3500));
    host.hear(&advert(200));
    let other = Arriving::between(&advert(201), ip("192.0.2.8"), crate::net::Family::Ipv4.group());
    host.pass(ms(3500));
    host.arrive(&other);
    assert_eq!((near(&host).counts, near(&host).worst), ([0; 4], None));
    host.pass(SECOND * 4);
    assert_eq!(host.state(), State::Master);
    host.arrive(&other);
    assert_eq!(near(&host).counts, [0; 4]);
    // A master that resigns and comes back.
    let mut host = backup(instance(100));
    host.hear(&advert(0));
    host.pass(ms(500));
    host.hear(&advert(200));
    assert_eq!(near(&host).counts, [1, 0, 0, 0]);
}

#[test]
fn near_misses_are_told_once_a_minute_and_all_counted() {
    let mut host = backup(instance(100));
    let told: usize = (0..30).map(|_| after(&mut host, SECOND * 3).len()).sum();
    assert_eq!((told, near(&host).misses), (2, 30));
}

#[test]
fn the_worst_of_an_hour_and_of_a_day_pass_with_them() {
    let mut host = backup(instance(100));
    after(&mut host, SECOND * 3);
    let seconds = |host: &mut Host, count: u32| {
        for _ in 0..count {
            after(host, SECOND);
        }
    };
    seconds(&mut host, 3500);
    assert_eq!(near(&host).worst_of_hour(host.now).map(|gap| gap.permille()), Some(831));
    seconds(&mut host, 120);
    assert_eq!(near(&host).worst_of_hour(host.now).map(|gap| gap.permille()), Some(277));
    assert_eq!(near(&host).worst_of_day(host.now).map(|gap| gap.permille()), Some(831));
    seconds(&mut host, 23 * 3600);
    assert_eq!(near(&host).worst_of_day(host.now).map(|gap| gap.permille()), Some(277));
    assert_eq!(near(&host).worst.map(|gap| gap.permille()), Some(831));
}

#[test]
fn from_which_share_on_it_is_a_near_miss_is_the_operators_choice() {
    let mut host = backup(Instance { near_miss_percent: 90, ..instance(100) });
    assert_eq!(after(&mut host, SECOND * 3), []);
    assert_eq!(after(&mut host, ms(3400)).len(), 1);
}
