//! RFC 9568, 6.4.3: a master.

use super::*;

fn farewell(priority: u8) -> Output {
    Output::Farewell(Priority::new(priority))
}

// Adver_Timer.

#[test]
fn a_master_sends_an_advert_each_interval() {
    let mut router = master(with(100));
    for second in 1..=5 {
        let due = second * 1_000_000_000;
        assert_eq!(turn(&mut router, after(due - 1)), [], "too early");
        assert_eq!(turn(&mut router, after(due)), [advert(100)]);
        assert_eq!(router.deadline(), Some(after(due + 1_000_000_000)));
    }
}

#[test]
fn a_late_advert_does_not_delay_the_next_one() {
    let mut router = master(with(100));
    assert_eq!(turn(&mut router, after(1_300_000_000)), [advert(100)]);
    assert_eq!(router.deadline(), Some(after(2_000_000_000)));
}

#[test]
fn missed_adverts_are_not_made_up_for() {
    let mut router = master(with(100));
    assert_eq!(turn(&mut router, after(7_300_000_000)), [advert(100)]);
    assert_eq!(turn(&mut router, after(7_300_000_000)), []);
    assert_eq!(router.deadline(), Some(after(8_300_000_000)));
}

#[test]
fn an_advert_late_by_exactly_one_interval_is_sent_once() {
    let mut router = master(with(100));
    assert_eq!(turn(&mut router, after(2_000_000_000)), [advert(100)]);
    assert_eq!(router.deadline(), Some(after(3_000_000_000)));
}

#[test]
fn spurious_ticks_and_silences_are_harmless() {
    let mut router = master(with(100));
    let before = router.clone();
    for at in [0, 1, 999_999_999] {
        assert_eq!(turn(&mut router, after(at)), []);
    }
    feed(&mut router, after(1), Input::Silence(after(60_000_000_000)));
    feed(&mut router, after(1), Input::Start);
    feed(&mut router, after(1), Input::Promote);
    assert_eq!(router, before);
}

// Another master's advert.

#[test]
fn a_master_steps_back_before_a_higher_priority() {
    let mut router = master(with(100));
    let better = heard(after(500_000_000), 101);
    assert_eq!(hear(&mut router, better), [farewell(100), Output::Deposed(better)]);
    assert!(!router.is_master());
    assert_eq!(router.deadline(), Some(after(4_109_375_000)));
}

#[test]
fn a_master_stays_before_a_lower_priority_and_answers_at_once() {
    let mut router = master(with(100));
    let worse = heard(after(500_000_000), 99);
    assert_eq!(hear(&mut router, worse), [advert(100), Output::Rival(worse)]);
    assert!(router.is_master());
    assert_eq!(router.deadline(), Some(after(1_500_000_000)), "the answer was an advert");
}

#[test]
fn a_contender_is_answered_however_good_it_is() {
    let mut router = master(with(100));
    let better = heard(after(500_000_000), 200);
    let mut said = Vec::new();
    router.handle(after(500_000_000), Input::Contender(better), &mut said);
    assert_eq!(said, [advert(100), Output::Rival(better)]);
    assert!(router.is_master());
}

#[test]
fn between_equal_priorities_the_greater_address_is_master() {
    // As unsigned integers in network byte order: 192.0.2.5 is ours.
    for (source, wins) in
        [(v4(4), true), (v4(6), false), (v4(200), false), (Ipv4Addr::new(193, 0, 0, 0).into(), false)]
    {
        let mut router = master(with(100));
        hear(&mut router, Heard { source, ..heard(after(1), 100) });
        assert_eq!(router.is_master(), wins, "{source}");
    }
}

#[test]
fn between_equal_priorities_the_greater_ipv6_address_is_master() {
    for (source, wins) in [(v6(4), true), (v6(6), false), (v6(0x500), false)] {
        let mut router = master(Settings { source: v6(5), ..with(100) });
        hear(&mut router, Heard { source, ..heard(after(1), 100) });
        assert_eq!(router.is_master(), wins, "{source}");
    }
}

#[test]
fn the_priority_decides_before_the_address() {
    let mut router = master(with(100));
    hear(&mut router, Heard { source: v4(255), ..heard(after(1), 99) });
    assert!(router.is_master());
    hear(&mut router, Heard { source: v4(1), ..heard(after(1), 101) });
    assert!(!router.is_master());
}

#[test]
fn a_master_does_not_ask_whether_the_better_one_would_be_preempted() {
    let mut router = master(patient(100));
    hear(&mut router, heard(after(1), 101));
    assert!(!router.is_master());
}

#[test]
fn a_deposed_master_of_version_3_learns_the_interval_of_the_better_one() {
    let mut router = master(with(100));
    hear(&mut router, Heard { interval: SECOND * 2, ..heard(after(500_000_000), 200) });
    assert_eq!(router.master_interval(), SECOND * 2);
    assert_eq!(router.deadline(), Some(after(7_718_750_000)));
}

#[test]
fn a_deposed_master_of_version_2_keeps_its_own_interval() {
    let mut router = master(version_2(100, SECOND));
    hear(&mut router, Heard { interval: SECOND * 2, ..heard(after(500_000_000), 200) });
    assert_eq!(router.deadline(), Some(after(4_109_375_000)));
}

#[test]
fn a_master_learns_nothing_from_a_lower_advert() {
    let mut router = master(with(100));
    hear(&mut router, Heard { interval: SECOND * 2, ..heard(after(500_000_000), 50) });
    assert_eq!(router.master_interval(), SECOND);
    assert_eq!(router.deadline(), Some(after(1_500_000_000)));
}

#[test]
fn an_owner_stays_master_before_every_other_priority() {
    let mut router = master(with(255));
    assert_eq!(hear(&mut router, heard(after(1), 254))[0], advert(255));
    assert!(router.is_master());
}

#[test]
fn of_two_owners_the_one_with_the_greater_address_stays() {
    let mut router = master(with(255));
    hear(&mut router, Heard { source: v4(4), ..heard(after(1), 255) });
    assert!(router.is_master());
    hear(&mut router, Heard { source: v4(6), ..heard(after(2), 255) });
    assert!(!router.is_master());
}

// Priority 0.

#[test]
fn a_master_answers_a_resignation_with_an_advert_and_restarts_its_timer() {
    let mut router = master(with(100));
    let resigned = heard(after(500_000_000), 0);
    assert_eq!(hear(&mut router, resigned), [advert(100), Output::Rival(resigned)]);
    assert!(router.is_master());
    assert_eq!(router.deadline(), Some(after(1_500_000_000)));
}

// A flood.

#[test]
fn answers_keep_a_distance_of_ten_milliseconds() {
    let mut router = master(with(100));
    let first = heard(after(100_000_000), 50);
    assert_eq!(hear(&mut router, first), [advert(100), Output::Rival(first)]);
    for at in [100_000_001, 105_000_000, 109_999_999] {
        let next = heard(after(at), 50);
        assert_eq!(hear(&mut router, next), [Output::Rival(next)], "{at}");
        assert_eq!(router.deadline(), Some(after(1_100_000_000)));
    }
    let later = heard(after(110_000_000), 0);
    assert_eq!(hear(&mut router, later), [advert(100), Output::Rival(later)]);
}

#[test]
fn a_flood_does_not_keep_a_master_from_its_own_adverts() {
    let mut router = master(Settings { interval: Duration::from_millis(10), ..with(100) });
    let mut sent = 0;
    for micros in 1..=100_000 {
        let at = after(micros * 1000);
        let said = [turn(&mut router, at), hear(&mut router, heard(at, 50))].concat();
        sent += said.iter().filter(|output| **output == advert(100)).count();
    }
    // 100 ms: ten adverts that are due, and no more than ten answers.
    assert!((10..=20).contains(&sent), "{sent}");
}

#[test]
fn a_flood_does_not_keep_a_better_master_from_being_heard() {
    let mut router = master(with(100));
    hear(&mut router, heard(after(1), 50));
    hear(&mut router, heard(after(2), 200));
    assert!(!router.is_master());
}

// Settings that change.

#[test]
fn a_masters_next_advert_carries_the_new_priority() {
    let mut router = master(with(100));
    router.configure(after(1), with(40));
    assert_eq!(router.deadline(), Some(after(1_000_000_000)), "a lower priority sends no resignation");
    assert_eq!(turn(&mut router, after(1_000_000_000)), [advert(40)]);
}

#[test]
fn a_shorter_interval_brings_the_next_advert_forward() {
    let mut router = master(with(100));
    router.configure(after(500_000_000), Settings { interval: Duration::from_millis(100), ..with(100) });
    assert_eq!(router.deadline(), Some(after(600_000_000)));
    assert_eq!(router.master_interval(), Duration::from_millis(100));
}

#[test]
fn a_longer_interval_does_not_put_off_the_next_advert() {
    let mut router = master(with(100));
    router.configure(after(500_000_000), Settings { interval: SECOND * 10, ..with(100) });
    assert_eq!(turn(&mut router, after(1_000_000_000)), [advert(100)]);
    assert_eq!(router.deadline(), Some(after(11_000_000_000)));
}

#[test]
fn a_lowered_master_is_beaten_by_what_it_beat_before() {
    let mut router = master(with(100));
    hear(&mut router, heard(after(1), 50));
    assert!(router.is_master());
    router.configure(after(2), with(40));
    hear(&mut router, heard(after(3), 50));
    assert!(!router.is_master());
}

// Giving up.

#[test]
fn a_master_that_stops_resigns() {
    let mut router = master(with(100));
    assert_eq!(feed(&mut router, after(1), Input::Stop), [advert(0)]);
    assert_eq!((router.state(), router.deadline()), (State::Init, None));
}

#[test]
fn a_master_that_resigns_listens_for_its_successor() {
    let mut router = master(with(100));
    assert_eq!(feed(&mut router, after(500_000_000), Input::Resign), [advert(0)]);
    assert_eq!(router.deadline(), Some(after(4_109_375_000)));
    assert!(!router.is_master());
}

#[test]
fn a_master_that_yields_does_not_resign() {
    let mut router = master(with(100));
    assert_eq!(feed(&mut router, after(500_000_000), Input::Yield), [farewell(100)]);
    assert_eq!(router.deadline(), Some(after(4_109_375_000)));
    assert!(!router.is_master());
}

// A stall.

#[test]
fn a_stalled_master_listens_for_one_interval_and_skew_time_and_then_takes_over_again() {
    let mut router = master(with(100));
    assert_eq!(feed(&mut router, after(10_000_000_000), Input::Stalled), [], "its adverts prove nothing");
    assert!(!router.is_master());
    assert_eq!(router.deadline(), Some(after(11_609_375_000)));
    turn(&mut router, after(11_609_374_999));
    assert_eq!(router.ready(), None);
    turn(&mut router, after(11_609_375_000));
    assert_eq!(router.ready(), Some(Claim::Woken));
}

#[test]
fn a_stalled_master_that_hears_a_better_one_is_its_backup() {
    let mut router = master(with(100));
    feed(&mut router, after(10_000_000_000), Input::Stalled);
    assert_eq!(hear(&mut router, heard(after(10_500_000_000), 200)), [Output::Followed]);
    assert_eq!(router.deadline(), Some(after(14_109_375_000)));
}

#[test]
fn a_stalled_master_that_hears_a_lower_one_still_takes_over_again() {
    let mut router = master(with(100));
    feed(&mut router, after(10_000_000_000), Input::Stalled);
    assert_eq!(hear(&mut router, heard(after(10_500_000_000), 50)), []);
    assert_eq!(router.deadline(), Some(after(11_609_375_000)));
}

#[test]
fn a_stalled_master_does_not_take_over_on_what_was_queued_while_it_slept() {
    let woken = after(60_000_000_000);
    let mut router = master(with(100));
    feed(&mut router, woken, Input::Stalled);
    feed(&mut router, woken, Input::Advert(heard(after(5_000_000_000), 200)));
    feed(&mut router, woken, Input::Silence(woken));
    assert_eq!(router.ready(), None);
    assert_eq!(router.deadline(), Some(after(63_609_375_000)));
}
