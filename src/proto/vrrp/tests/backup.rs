//! RFC 9568, 6.4.2: a backup.

use super::*;

fn down_at(router: &Router) -> Instant {
    router.deadline().unwrap()
}

// The timer.

#[test]
fn the_clock_alone_never_ends_a_master_down_timer() {
    let mut router = backup(with(100));
    for second in [4, 40, 400] {
        assert_eq!(feed(&mut router, after(second * 1_000_000_000), Input::Tick), []);
        assert_eq!(router.ready(), None);
    }
    assert_eq!(router.deadline(), Some(after(3_609_375_000)), "it stays due until the silence is known");
}

#[test]
fn a_silence_that_ends_before_the_timer_proves_nothing() {
    let mut router = backup(with(100));
    feed(&mut router, after(9_000_000_000), Input::Silence(after(3_609_374_999)));
    assert_eq!(router.ready(), None);
}

#[test]
fn a_backup_that_is_ready_does_nothing_until_it_is_promoted() {
    let mut router = backup(with(100));
    turn(&mut router, after(3_609_375_000));
    let ready = router.clone();
    assert_eq!(turn(&mut router, after(9_000_000_000)), []);
    assert_eq!(router, ready);
    assert_eq!(router.deadline(), None);
}

#[test]
fn a_backup_that_is_promoted_sends_an_advert_and_the_next_one_interval_later() {
    let mut router = backup(with(100));
    turn(&mut router, after(3_609_375_000));
    assert_eq!(feed(&mut router, after(3_609_400_000), Input::Promote), [advert(100)]);
    assert!(router.is_master());
    assert_eq!(router.deadline(), Some(after(4_609_400_000)));
}

#[test]
fn a_backup_that_is_promoted_goes_by_its_own_interval_again() {
    let mut router = backup(with(100));
    hear(&mut router, Heard { interval: SECOND * 10, ..heard(START, 200) });
    turn(&mut router, after(40_000_000_000));
    feed(&mut router, after(40_000_000_000), Input::Promote);
    assert_eq!(router.master_interval(), SECOND);
    assert_eq!(router.deadline(), Some(after(41_000_000_000)));
}

// Adverts of a priority that counts.

#[test]
fn a_backup_restarts_its_timer_at_a_higher_advert() {
    let mut router = backup(with(100));
    assert_eq!(hear(&mut router, heard(after(500_000_000), 101)), [Output::Followed]);
    assert_eq!(down_at(&router), after(4_109_375_000));
}

#[test]
fn a_backup_restarts_its_timer_at_an_advert_of_its_own_priority() {
    // Whatever the sender's address: between equals it decides among masters only.
    for source in [v4(1), v4(9)] {
        let mut router = backup(with(100));
        assert_eq!(hear(&mut router, Heard { source, ..heard(after(500_000_000), 100) }), [Output::Followed]);
        assert_eq!(down_at(&router), after(4_109_375_000));
    }
}

#[test]
fn a_backup_does_not_restart_its_timer_at_a_lower_advert_when_it_preempts() {
    let mut router = backup(with(100));
    assert_eq!(hear(&mut router, heard(after(500_000_000), 99)), []);
    assert_eq!(down_at(&router), after(3_609_375_000));
}

#[test]
fn a_backup_restarts_its_timer_at_a_lower_advert_when_it_does_not_preempt() {
    let mut router = backup(patient(100));
    assert_eq!(hear(&mut router, heard(after(500_000_000), 1)), [Output::Followed]);
    assert_eq!(down_at(&router), after(4_109_375_000));
}

#[test]
fn a_lower_master_is_replaced_only_when_the_timer_runs_out() {
    let mut router = backup(with(100));
    for at in [1_000_000_000, 2_000_000_000, 3_000_000_000] {
        hear(&mut router, heard(after(at), 50));
        turn(&mut router, after(at));
        assert_eq!(router.ready(), None);
    }
    turn(&mut router, after(3_609_375_000));
    assert!(router.ready().is_some());
}

#[test]
fn an_advert_counts_from_its_receipt_and_not_from_its_reading() {
    let mut router = backup(with(100));
    let mut out = Vec::new();
    router.handle(after(900_000_000), Input::Advert(heard(after(500_000_000), 200)), &mut out);
    assert_eq!(down_at(&router), after(4_109_375_000));
}

#[test]
fn an_advert_received_before_the_start_does_not_shorten_the_timer() {
    let mut router = backup(with(100));
    let early = START - SECOND * 2;
    feed(&mut router, START, Input::Advert(heard(early, 200)));
    assert_eq!(down_at(&router), after(3_609_375_000));
}

#[test]
fn a_resignation_received_before_the_start_does_not_end_the_timer() {
    let mut router = backup(with(100));
    feed(&mut router, START, Input::Advert(heard(START - SECOND * 2, 0)));
    assert_eq!(down_at(&router), after(609_375_000));
    feed(&mut router, START, Input::Silence(START));
    assert_eq!(router.ready(), None);
}

#[test]
fn an_advert_makes_a_ready_backup_wait_again() {
    let mut router = backup(with(100));
    turn(&mut router, after(3_609_375_000));
    assert_eq!(hear(&mut router, heard(after(4_000_000_000), 200)), [Output::Followed]);
    assert_eq!(router.ready(), None);
    assert_eq!(down_at(&router), after(7_609_375_000));
}

#[test]
fn a_lower_advert_leaves_a_ready_backup_ready() {
    let mut router = backup(with(100));
    turn(&mut router, after(3_609_375_000));
    assert_eq!(hear(&mut router, heard(after(4_000_000_000), 50)), []);
    assert!(router.ready().is_some());
}

// The master's interval.

#[test]
fn a_backup_of_version_3_learns_the_masters_interval() {
    let mut router = backup(with(100));
    hear(&mut router, Heard { interval: SECOND * 2, ..heard(after(500_000_000), 200) });
    assert_eq!(router.master_interval(), SECOND * 2);
    // 2 s x 156/256 = 1.21875 s.
    assert_eq!((router.skew(), router.master_down()), nanos(1_218_750_000, 7_218_750_000));
    assert_eq!(down_at(&router), after(7_718_750_000));
    hear(&mut router, Heard { interval: Duration::from_millis(10), ..heard(after(600_000_000), 200) });
    assert_eq!(down_at(&router), after(636_093_750));
}

#[test]
fn a_backup_of_version_3_learns_nothing_from_a_lower_advert_when_it_preempts() {
    let mut router = backup(with(100));
    hear(&mut router, Heard { interval: SECOND * 2, ..heard(after(500_000_000), 99) });
    assert_eq!(router.master_interval(), SECOND);
}

#[test]
fn a_backup_of_version_3_learns_nothing_from_a_resignation() {
    let mut router = backup(with(100));
    hear(&mut router, Heard { interval: SECOND * 2, ..heard(after(500_000_000), 0) });
    assert_eq!(router.master_interval(), SECOND);
}

#[test]
fn a_backup_of_version_2_keeps_its_own_interval() {
    let mut router = backup(version_2(100, SECOND));
    hear(&mut router, Heard { interval: SECOND * 2, ..heard(after(500_000_000), 200) });
    assert_eq!(router.master_interval(), SECOND);
    assert_eq!(down_at(&router), after(4_109_375_000));
}

// Priority 0.

#[test]
fn a_resignation_sets_the_timer_to_skew_time() {
    let mut router = backup(with(100));
    hear(&mut router, heard(after(500_000_000), 200));
    assert_eq!(hear(&mut router, heard(after(1_000_000_000), 0)), []);
    assert_eq!(down_at(&router), after(1_609_375_000));
    turn(&mut router, after(1_609_374_999));
    assert_eq!(router.ready(), None);
    turn(&mut router, after(1_609_375_000));
    assert_eq!(router.ready(), Some(Claim::Resignation));
}

#[test]
fn an_advert_of_priority_1_is_no_resignation() {
    let mut router = backup(patient(100));
    hear(&mut router, heard(after(1_000_000_000), 1));
    assert_eq!(down_at(&router), after(4_609_375_000));
}

#[test]
fn skew_time_after_a_resignation_is_of_the_interval_that_was_learned() {
    let mut router = backup(with(100));
    hear(&mut router, Heard { interval: SECOND * 2, ..heard(after(500_000_000), 200) });
    hear(&mut router, heard(after(1_000_000_000), 0));
    assert_eq!(down_at(&router), after(2_218_750_000));
}

#[test]
fn skew_time_after_a_resignation_is_of_one_second_in_version_2() {
    let mut router = backup(version_2(100, SECOND * 3));
    hear(&mut router, heard(after(1_000_000_000), 0));
    assert_eq!(down_at(&router), after(1_609_375_000));
}

#[test]
fn a_successors_advert_ends_the_wait_after_a_resignation() {
    let mut router = backup(with(100));
    hear(&mut router, heard(after(1_000_000_000), 0));
    assert_eq!(hear(&mut router, heard(after(1_100_000_000), 150)), [Output::Followed]);
    assert_eq!(down_at(&router), after(4_709_375_000));
}

#[test]
fn a_lower_successors_advert_does_not_end_the_wait_after_a_resignation() {
    let mut router = backup(with(100));
    hear(&mut router, heard(after(1_000_000_000), 0));
    assert_eq!(hear(&mut router, heard(after(1_100_000_000), 50)), []);
    assert_eq!(down_at(&router), after(1_609_375_000));
}

#[test]
fn a_resignation_leaves_a_ready_backup_ready() {
    let mut router = backup(with(100));
    turn(&mut router, after(3_609_375_000));
    hear(&mut router, heard(after(4_000_000_000), 0));
    assert_eq!(router.ready(), Some(Claim::Silence(Duration::from_micros(3_609_375))));
}

// Preempting with patience.

#[test]
fn a_preempt_delay_lets_a_lower_master_stay_until_it_is_over() {
    let mut router = backup(delayed(100, SECOND * 5));
    for second in 1..=5 {
        let at = after(second * 1_000_000_000);
        assert_eq!(hear(&mut router, heard(at, 50)), [Output::Followed], "{second} s");
        assert_eq!(down_at(&router), at + Duration::from_micros(3_609_375));
    }
    // First heard after 1 s, so replaceable after 6 s: from here on the timer runs out, counted from 5 s.
    assert_eq!(hear(&mut router, heard(after(6_000_000_000), 50)), []);
    assert_eq!(down_at(&router), after(8_609_375_000));
}

#[test]
fn a_preempt_delay_does_not_delay_taking_over_from_a_silent_master() {
    let mut router = backup(delayed(100, SECOND * 60));
    hear(&mut router, heard(after(1_000_000_000), 50));
    turn(&mut router, after(4_609_375_000));
    assert!(router.ready().is_some());
}

#[test]
fn a_better_master_in_between_starts_the_preempt_delay_again() {
    let mut router = backup(delayed(100, SECOND * 5));
    hear(&mut router, heard(after(1_000_000_000), 50));
    hear(&mut router, heard(after(3_000_000_000), 150));
    hear(&mut router, heard(after(5_000_000_000), 50));
    assert_eq!(
        hear(&mut router, heard(after(9_999_999_999), 50)),
        [Output::Followed],
        "the delay ends 10 s after the start"
    );
    assert_eq!(hear(&mut router, heard(after(10_000_000_000), 50)), []);
}

// The owner.

#[test]
fn an_owner_replaces_a_lower_master_even_if_it_does_not_preempt() {
    for settings in [patient(255), delayed(255, SECOND * 60)] {
        let mut router = backup(with(100));
        router.configure(START, settings);
        assert_eq!(router.ready(), Some(Claim::Owner));
        assert_eq!(hear(&mut router, heard(after(1), 254)), []);
        assert_eq!(router.ready(), Some(Claim::Owner));
    }
}

#[test]
fn an_owner_that_another_owner_deposed_follows_it() {
    let mut router = master(with(255));
    hear(&mut router, heard(after(500_000_000), 255));
    for second in 1..10 {
        let at = after(second * 1_000_000_000);
        assert_eq!(hear(&mut router, heard(at, 255)), [Output::Followed]);
        turn(&mut router, at);
        assert_eq!(router.ready(), None, "two owners must not take turns");
    }
}

// Settings that change.

#[test]
fn a_backups_timer_moves_with_its_priority() {
    let mut router = backup(with(100));
    router.configure(after(1_000_000_000), with(200));
    // 56/256 s.
    assert_eq!(down_at(&router), after(3_218_750_000));
    router.configure(after(1_000_000_000), with(1));
    assert_eq!(down_at(&router), after(3_996_093_750));
}

#[test]
fn a_backup_of_version_3_goes_by_the_masters_interval_and_not_by_its_own_new_one() {
    let mut router = backup(with(100));
    hear(&mut router, heard(START, 200));
    router.configure(after(1), Settings { interval: Duration::from_millis(100), ..with(100) });
    assert_eq!(down_at(&router), after(3_609_375_000));
}

#[test]
fn a_backup_of_version_2_goes_by_its_own_new_interval() {
    let mut router = backup(version_2(100, SECOND));
    hear(&mut router, heard(START, 200));
    router.configure(after(1), version_2(100, SECOND * 2));
    assert_eq!(down_at(&router), after(6_609_375_000));
}

#[test]
fn a_backup_that_becomes_owner_is_ready_at_once() {
    let mut router = backup(with(100));
    hear(&mut router, heard(after(1), 200));
    router.configure(after(2), with(255));
    assert_eq!(router.ready(), Some(Claim::Owner));
}

#[test]
fn a_deposed_owner_is_not_made_ready_by_another_setting() {
    let mut router = master(with(255));
    hear(&mut router, heard(after(1), 255));
    router.configure(after(2), Settings { preempt: None, ..with(255) });
    assert_eq!(router.ready(), None);
}

#[test]
fn preempting_can_be_switched_on_while_a_lower_master_is_there() {
    let mut router = backup(patient(100));
    hear(&mut router, heard(after(1_000_000_000), 50));
    router.configure(after(1_500_000_000), with(100));
    assert_eq!(hear(&mut router, heard(after(2_000_000_000), 50)), []);
    assert_eq!(down_at(&router), after(4_609_375_000));
}

// A stall, and the end.

#[test]
fn a_stalled_backup_restarts_its_timer() {
    let mut router = backup(with(100));
    feed(&mut router, after(60_000_000_000), Input::Stalled);
    assert_eq!(down_at(&router), after(63_609_375_000));
    turn(&mut router, after(60_000_000_000));
    assert_eq!(router.ready(), None);
}

#[test]
fn a_stalled_backup_that_was_ready_waits_again() {
    let mut router = backup(with(100));
    turn(&mut router, after(3_609_375_000));
    feed(&mut router, after(60_000_000_000), Input::Stalled);
    assert_eq!(down_at(&router), after(63_609_375_000));
}

#[test]
fn what_was_queued_during_a_stall_does_not_shorten_the_timer_after_it() {
    // The queue may have overflowed, and the kernel keeps the oldest: what is in it may be long past.
    let woken = after(60_000_000_000);
    for (priority, due) in [(200, 63_609_375_000), (0, 60_609_375_000)] {
        let mut router = backup(with(100));
        feed(&mut router, woken, Input::Stalled);
        feed(&mut router, woken, Input::Advert(heard(after(5_000_000_000), priority)));
        assert_eq!(down_at(&router), after(due), "priority {priority}");
    }
}

#[test]
fn a_backup_that_stops_says_nothing() {
    let mut router = backup(with(100));
    assert_eq!(feed(&mut router, after(1), Input::Stop), []);
    assert_eq!((router.state(), router.deadline()), (State::Init, None));
}

#[test]
fn a_backup_has_nothing_to_yield_or_resign_and_is_started_already() {
    let mut router = backup(with(100));
    let before = router.clone();
    for input in [Input::Yield, Input::Resign, Input::Start, Input::Tick] {
        assert_eq!(feed(&mut router, after(500_000_000), input), [], "{input:?}");
        assert_eq!(router, before, "{input:?}");
    }
}
