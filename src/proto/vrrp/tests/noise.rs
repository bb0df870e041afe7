//! Whatever happens in whatever order: what holds for every machine at every moment.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Input(Input),
    Configure(Settings),
}

fn any_settings() -> impl Strategy<Value = Settings> {
    let preempt = prop_oneof![
        Just(None),
        Just(Some(Duration::ZERO)),
        (1u64..20_000).prop_map(|ms| Some(Duration::from_millis(ms)))
    ];
    (any::<bool>(), 1u8.., 1u32..=255, preempt, any::<u8>()).prop_map(
        |(two, priority, units, preempt, last)| Settings {
            version: if two { Version::V2 } else { Version::V3 },
            priority: Priority::new(priority),
            interval: if two { SECOND * units } else { Duration::from_millis(10) * units },
            missed_adverts: 2 + units % 9,
            preempt,
            last: [Last::Ordinary, Last::Resort, Last::Itself][usize::from(last % 3)],
            source: v4(last),
        },
    )
}

/// A step, `ago` before which an advert in it was received.
fn any_step() -> impl Strategy<Value = Step> {
    let advert = (any::<u8>(), any::<u8>(), 1u32..=4095, 0u64..3_000_000_000).prop_map(
        |(priority, last, units, ago)| {
            Input::Advert(Heard {
                // Relative to the moment of the step, which is known when it is taken.
                at: Instant::from_nanos(ago),
                source: v4(last),
                priority: Priority::new(priority),
                interval: Duration::from_millis(10) * units,
            })
        },
    );
    let input = prop_oneof![
        4 => Just(Input::Tick),
        4 => (0u64..1_000_000).prop_map(|ago| Input::Silence(Instant::from_nanos(ago))),
        6 => advert,
        1 => Just(Input::Start),
        1 => Just(Input::Adopt),
        2 => Just(Input::Promote),
        1 => Just(Input::Yield),
        1 => Just(Input::Resign),
        1 => Just(Input::Stalled),
        1 => Just(Input::Stop),
    ];
    prop_oneof![12 => input.prop_map(Step::Input), 1 => any_settings().prop_map(Step::Configure)]
}

/// The input with the moments in it made absolute.
fn placed(input: Input, now: Instant) -> Input {
    let back = |ago: Instant| now - Duration::from_nanos(ago.as_nanos());
    match input {
        Input::Advert(heard) => Input::Advert(Heard { at: back(heard.at), ..heard }),
        Input::Silence(ago) => Input::Silence(back(ago)),
        other => other,
    }
}

fn well_formed(router: &Router, said: &[Output]) -> Result<(), TestCaseError> {
    let adverts = said.iter().filter(|o| matches!(o, Output::Advert(_) | Output::Farewell(_)));
    prop_assert!(adverts.count() <= 1, "one advert at a time: {said:?}");
    for output in said {
        match output {
            Output::Advert(priority) => {
                let own = *priority == router.settings().priority;
                prop_assert!(
                    own && router.is_master() || *priority == Priority::RESIGN && !router.is_master()
                );
            }
            Output::Farewell(priority) => {
                prop_assert_eq!(*priority, router.settings().priority);
                prop_assert!(!router.is_master());
            }
            Output::Followed | Output::Deposed(_) => prop_assert!(!router.is_master()),
            Output::Rival(_) => prop_assert!(router.is_master()),
        }
    }
    Ok(())
}

/// What may have made a router ready.
fn ready_by_right(before: &Router, after: &Router, step: &Step) -> bool {
    match (before.ready(), after.ready()) {
        (_, None) => true,
        (Some(before), Some(after)) if before == after => true,
        (_, Some(Claim::Owner)) => after.settings().priority.is_owner(),
        (_, Some(Claim::Silence(_) | Claim::Resignation | Claim::Woken)) => {
            matches!(step, Step::Input(Input::Silence(until)) if before.deadline().is_some_and(|at| at <= *until))
        }
    }
}

fn deadline_is_honest(router: &Router, now: Instant, step: &Step) -> Result<(), TestCaseError> {
    let longest = router.master_down() + router.settings().interval;
    match router.state() {
        State::Init | State::Backup { wait: Wait::Over(_), .. } => prop_assert_eq!(router.deadline(), None),
        State::Backup { .. } => prop_assert!(router.deadline().is_some_and(|at| at <= now + longest)),
        State::Master { .. } => {
            prop_assert!(router.deadline().is_some_and(|at| at <= now + router.settings().interval));
            if matches!(step, Step::Input(Input::Tick)) {
                prop_assert!(router.deadline().is_some_and(|at| at > now), "due again at once");
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn whatever_happens_only_a_silence_makes_ready_and_what_is_said_makes_sense(
        settings in any_settings(),
        steps in prop::collection::vec((0u64..4_000_000_000, any_step()), 1..200),
    ) {
        let mut router = Router::new(settings);
        let mut now = START;
        for (pause, step) in steps {
            now = now + Duration::from_nanos(pause);
            let step = match step {
                Step::Input(input) => Step::Input(placed(input, now)),
                Step::Configure(settings) => Step::Configure(Settings { version: router.settings().version, ..settings }),
            };
            let before = router.clone();
            let said = match &step {
                Step::Input(input) => feed(&mut router, now, *input),
                Step::Configure(settings) => {
                    router.configure(now, *settings);
                    Vec::new()
                }
            };
            well_formed(&router, &said)?;
            prop_assert!(ready_by_right(&before, &router, &step), "{before:?} {step:?} {router:?}");
            deadline_is_honest(&router, now, &step)?;
            let promoted = !before.is_master() && router.is_master();
            prop_assert!(!promoted || matches!(step, Step::Input(Input::Promote | Input::Adopt)));
        }
    }

    #[test]
    fn an_advert_that_counts_never_brings_the_end_of_the_masters_role_nearer(
        settings in any_settings(),
        adverts in prop::collection::vec((1u64..1_000_000_000, any::<u8>()), 1..50),
    ) {
        let mut router = backup(settings);
        let interval = settings.interval;
        let mut now = START;
        for (pause, priority) in adverts {
            now = now + Duration::from_nanos(pause);
            let before = router.deadline();
            let said = hear(&mut router, Heard { interval, ..heard(now, priority) });
            if said == [Output::Followed] {
                prop_assert_eq!(router.deadline(), Some(now + router.master_down()));
                prop_assert!(router.deadline() > before);
            } else if priority != 0 {
                prop_assert_eq!(router.deadline(), before);
            }
        }
    }
}
