//! The machine against the clauses of RFC 9568, 6.1 and 6.4, and what RFC 3768 has instead. All times are worked
//! out by hand. Here stand the means and what belongs to no single state; the states have a file each.

mod backup;
mod master;
mod noise;

use super::*;
use core::net::{Ipv4Addr, Ipv6Addr};

const SECOND: Duration = Duration::from_secs(1);

/// When every router here starts.
const START: Instant = Instant::from_nanos(1_000_000_000_000);

/// So long after the start, in nanoseconds that may be grouped as `s_ms_us_ns`.
fn after(nanos: u64) -> Instant {
    START + Duration::from_nanos(nanos)
}

fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn v6(last: u16) -> IpAddr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last).into()
}

/// Version 3, adverts each second, preempting at once, 192.0.2.5.
fn with(priority: u8) -> Settings {
    Settings {
        version: Version::V3,
        priority: Priority::new(priority),
        interval: SECOND,
        missed_adverts: 3,
        preempt: Some(Duration::ZERO),
        last: Last::Ordinary,
        source: v4(5),
    }
}

fn version_2(priority: u8, interval: Duration) -> Settings {
    Settings { version: Version::V2, interval, ..with(priority) }
}

fn patient(priority: u8) -> Settings {
    Settings { preempt: None, ..with(priority) }
}

fn delayed(priority: u8, delay: Duration) -> Settings {
    Settings { preempt: Some(delay), ..with(priority) }
}

/// An advert from 192.0.2.9, one each second.
fn heard(at: Instant, priority: u8) -> Heard {
    Heard { at, source: v4(9), priority: Priority::new(priority), interval: SECOND }
}

fn feed(router: &mut Router, now: Instant, input: Input) -> Vec<Output> {
    let mut out = Vec::new();
    router.handle(now, input, &mut out);
    out
}

/// Hands over an advert at the moment of its receipt.
fn hear(router: &mut Router, heard: Heard) -> Vec<Output> {
    feed(router, heard.at, Input::Advert(heard))
}

/// One turn without anything to hear.
fn turn(router: &mut Router, now: Instant) -> Vec<Output> {
    let mut out = feed(router, now, Input::Tick);
    out.extend(feed(router, now, Input::Silence(now)));
    out
}

fn backup(settings: Settings) -> Router {
    let mut router = Router::new(settings);
    assert_eq!(feed(&mut router, START, Input::Start), []);
    router
}

/// A master since [`START`]: its next advert is due one second later.
fn master(settings: Settings) -> Router {
    let mut router = backup(settings);
    assert_eq!(feed(&mut router, START, Input::Promote), [Output::Advert(settings.priority)]);
    router
}

fn advert(priority: u8) -> Output {
    Output::Advert(Priority::new(priority))
}

/// Skew and down time of a router that knows no other interval than its own.
fn times(settings: Settings) -> (Duration, Duration) {
    let router = backup(settings);
    (router.skew(), router.master_down())
}

fn nanos(skew: u64, master_down: u64) -> (Duration, Duration) {
    (Duration::from_nanos(skew), Duration::from_nanos(master_down))
}

// RFC 9568, 6.1.

#[test]
fn skew_time_is_the_256th_parts_of_the_masters_interval_that_the_priority_lacks() {
    // 156/256 s, 106/256 s, 2/256 s, 255/256 s, 1/256 s.
    assert_eq!(backup(with(100)).skew(), Duration::from_micros(609_375));
    assert_eq!(backup(with(150)).skew(), Duration::from_nanos(414_062_500));
    assert_eq!(backup(with(254)).skew(), Duration::from_nanos(7_812_500));
    assert_eq!(backup(with(1)).skew(), Duration::from_nanos(996_093_750));
    assert_eq!(backup(with(255)).skew(), Duration::from_nanos(3_906_250));
}

#[test]
fn master_down_interval_is_three_intervals_and_skew_time() {
    let every = |ms| Settings { interval: Duration::from_millis(ms), ..with(100) };
    assert_eq!(times(every(1000)), nanos(609_375_000, 3_609_375_000));
    assert_eq!(times(every(100)), nanos(60_937_500, 360_937_500));
    assert_eq!(times(every(10)), nanos(6_093_750, 36_093_750));
    // 40.95 s x 156/256 = 24.95390625 s, and 3 x 40.95 s = 122.85 s.
    assert_eq!(times(every(40_950)), nanos(24_953_906_250, 147_803_906_250));
}

#[test]
fn skew_time_is_never_zero_and_no_two_priorities_share_it() {
    let interval = Duration::from_millis(10);
    let skews: Vec<_> = (1..=255).map(|priority| times(Settings { interval, ..with(priority) }).0).collect();
    assert!(skews.windows(2).all(|pair| pair[0] > pair[1]));
    assert!(skews[254] > Duration::ZERO);
}

#[test]
fn skew_time_of_version_2_is_of_one_second_whatever_the_interval() {
    // RFC 3768, 6.1: (256 - Priority) / 256, in seconds.
    assert_eq!(times(version_2(100, SECOND)), nanos(609_375_000, 3_609_375_000));
    assert_eq!(times(version_2(100, SECOND * 3)), nanos(609_375_000, 9_609_375_000));
    assert_eq!(times(version_2(200, SECOND * 255)), nanos(218_750_000, 765_218_750_000));
}

#[test]
fn skew_time_of_version_3_grows_with_the_interval() {
    // 3 s x 156/256 = 1.828125 s, where version 2 has 0.609375 s.
    let slow = Settings { interval: SECOND * 3, ..with(100) };
    assert_eq!(times(slow), nanos(1_828_125_000, 10_828_125_000));
}

// RFC 9568, 6.4.1.

#[test]
fn a_router_that_starts_waits_for_one_master_down_interval() {
    let mut router = backup(with(100));
    assert_eq!(router.state(), State::Backup { wait: Wait::Advert(START), preempt_at: None });
    assert_eq!(router.deadline(), Some(after(3_609_375_000)));
    assert_eq!(turn(&mut router, after(3_609_374_999)), []);
    assert_eq!(router.ready(), None);
    assert_eq!(turn(&mut router, after(3_609_375_000)), []);
    assert_eq!(router.ready(), Some(Claim::Silence(Duration::from_micros(3_609_375))));
}

#[test]
fn an_owner_that_starts_is_ready_at_once() {
    let mut router = backup(with(255));
    assert_eq!(router.ready(), Some(Claim::Owner));
    assert_eq!(router.deadline(), None);
    assert_eq!(feed(&mut router, START, Input::Promote), [advert(255)]);
    assert_eq!(router.deadline(), Some(after(1_000_000_000)));
}

#[test]
fn a_router_of_priority_254_that_starts_is_not_ready() {
    assert_eq!(backup(with(254)).ready(), None);
}

#[test]
fn a_router_that_starts_again_has_forgotten_the_interval_it_learned() {
    let mut router = backup(with(100));
    hear(&mut router, Heard { interval: SECOND * 10, ..heard(after(1), 200) });
    assert_eq!(router.master_interval(), SECOND * 10);
    feed(&mut router, after(2), Input::Stop);
    feed(&mut router, after(3), Input::Start);
    assert_eq!(router.master_interval(), SECOND);
    assert_eq!(router.deadline(), Some(after(3_609_375_003)));
}

#[test]
fn a_router_that_is_adopted_is_master_at_once_and_says_so() {
    let mut router = Router::new(with(100));
    assert_eq!(feed(&mut router, START, Input::Adopt), [advert(100)]);
    assert_eq!(router, master(with(100)));
}

#[test]
fn a_router_that_runs_is_not_adopted() {
    for mut router in [backup(with(100)), backup(with(255)), master(with(100))] {
        let before = router.clone();
        assert_eq!(feed(&mut router, after(1), Input::Adopt), []);
        assert_eq!(router, before);
    }
}

#[test]
fn a_master_repeats_its_advert_and_counts_from_there() {
    let mut router = master(with(100));
    assert_eq!(feed(&mut router, after(1), Input::Repeat), [advert(100)]);
    assert_eq!(router.deadline(), Some(after(1) + SECOND));
    let mut router = backup(with(100));
    let before = router.clone();
    assert_eq!(feed(&mut router, after(1), Input::Repeat), []);
    assert_eq!(router, before);
}

#[test]
fn nothing_but_start_has_an_effect_in_init() {
    let inputs = [
        Input::Tick,
        Input::Repeat,
        Input::Advert(heard(after(1), 0)),
        Input::Advert(heard(after(1), 50)),
        Input::Advert(heard(after(1), 255)),
        Input::Silence(after(u64::MAX / 2)),
        Input::Promote,
        Input::Yield,
        Input::Resign,
        Input::Stalled,
        Input::Stop,
    ];
    for settings in [with(100), with(255), version_2(100, SECOND)] {
        for input in inputs {
            let mut router = Router::new(settings);
            assert_eq!(feed(&mut router, after(1), input), [], "{input:?}");
            assert_eq!(router, Router::new(settings), "{input:?}");
            assert_eq!(router.deadline(), None);
        }
    }
}

#[test]
fn settings_changed_in_init_count_from_the_start() {
    let mut router = Router::new(with(100));
    router.configure(START, Settings { interval: Duration::from_millis(100), ..with(200) });
    feed(&mut router, START, Input::Start);
    // 300 ms and 100 ms x 56/256 = 21.875 ms.
    assert_eq!(router.deadline(), Some(after(321_875_000)));
}
