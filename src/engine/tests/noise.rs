//! Whatever happens in whatever order: nothing panics, nobody spins, and the addresses are where they should be.

use alloc::string::ToString;

use super::driver::*;
use crate::engine::action::{Action, KernelWork};
use crate::engine::event::{Change, Event, Link, Target};
use crate::engine::notice::State;
use crate::engine::settings::{Effect, Instance, Preempt, Settings};
use crate::net::{Priority, Vrid};
use crate::proto::health::Verdict;
use crate::time::Duration;
use proptest::prelude::*;

const CHECK: (&str, Effect) = ("nginx", Effect::Fault);

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Hear(u8),
    Hear6(u8),
    Claim(bool),
    Delete,
    Report,
    Link(bool),
    Source(bool),
    Verdict(bool),
    SendFailed,
    Stall(u64),
    Reload(u8),
    Leave(bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1u64..3000).prop_map(Step::Pass),
        4 => any::<u8>().prop_map(Step::Hear),
        2 => any::<u8>().prop_map(Step::Hear6),
        2 => any::<bool>().prop_map(Step::Claim),
        2 => Just(Step::Delete),
        1 => Just(Step::Report),
        2 => any::<bool>().prop_map(Step::Link),
        1 => any::<bool>().prop_map(Step::Source),
        2 => any::<bool>().prop_map(Step::Verdict),
        1 => Just(Step::SendFailed),
        1 => (1u64..10_000).prop_map(Step::Stall),
        2 => (0u8..5).prop_map(Step::Reload),
        1 => any::<bool>().prop_map(Step::Leave),
    ]
}

fn settings(kind: u8) -> Settings {
    let instance = match kind {
        0 => instance(100),
        1 => dual(150),
        2 => Instance { addresses: nets(&["192.0.2.10/24", "192.0.2.11/24"]), ..instance(100) },
        3 => Instance { vrid: Vrid::new(52).unwrap(), ..instance(100) },
        _ => Instance { preempt: Preempt::Never, priority: Priority::OWNER, ..instance(100) },
    };
    tracking(instance, &[CHECK])
}

fn take(host: &mut Host, step: &Step) -> alloc::vec::Vec<Action> {
    let source = foreign(ETH0, "192.0.2.5/24");
    match step {
        Step::Pass(millis) => host.pass(ms(*millis)),
        Step::Hear(priority) => host.hear(&advert(*priority)),
        Step::Hear6(priority) => host.hear(&advert6(*priority)),
        Step::Claim(four) => host.claim(if *four { "192.0.2.10" } else { "2001:db8::10" }),
        Step::Delete => host.delete("192.0.2.10/32"),
        Step::Report => host.report("192.0.2.10/32"),
        Step::Link(up) => host.change(Change::Link(Link { up: *up, ..link(ETH0, "eth0") })),
        Step::Source(true) => host.change(Change::Address(source)),
        Step::Source(false) => host.change(Change::AddressGone(on_eth0("192.0.2.5/24"))),
        Step::Verdict(up) => host.verdict("nginx", if *up { Verdict::Up } else { Verdict::Down }),
        Step::SendFailed => host.send_failed(),
        Step::Stall(millis) => {
            host.now = host.now + ms(*millis);
            host.give(Event::Stalled { late: ms(*millis) })
        }
        Step::Reload(kind) => host.give(Event::Reload(settings(*kind))),
        Step::Leave(true) => host.give(Event::StepDown(Target::All)),
        Step::Leave(false) => host.give(Event::Resume(Target::All)),
    }
}

/// Nothing is ordered for a hold that is empty, and all of it is where adverts go.
fn well_formed(actions: &[Action]) -> Result<(), TestCaseError> {
    for order in holds(actions) {
        prop_assert!(!order.install.is_empty() || !order.remove.is_empty());
        prop_assert!(order.install.iter().all(|p| !order.remove.contains(&p.place)), "{order:?}");
    }
    for action in actions {
        if let Action::Kernel(KernelWork::Announce(announcement)) = action {
            prop_assert!(!announcement.addresses.is_empty());
        }
    }
    adverts(actions);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_happens_the_addresses_are_held_by_masters_and_by_nobody_else(
        kind in 0u8..5,
        steps in prop::collection::vec(any_step(), 1..80),
    ) {
        let mut host = Host::started(settings(kind));
        host.verdict("nginx", Verdict::Up);
        for step in steps {
            well_formed(&take(&mut host, &step))?;
            // A host that lost the reports of the kernel would believe a deleted address present.
            let serving = host.engine.instances.iter().any(|i| i.state == State::Master || i.handover.is_some());
            prop_assert!(serving || host.kernel.is_empty(), "{:?} after {step:?}", host.held());
        }
        // Everything in the way is removed, and nobody else is there.
        take(&mut host, &Step::Link(true));
        take(&mut host, &Step::Source(true));
        take(&mut host, &Step::Verdict(true));
        host.give(Event::Reload(settings(0)));
        host.pass(Duration::from_secs(60));
        prop_assert_eq!(host.engine.masters(), (1, 1));
        prop_assert_eq!(host.held(), ["192.0.2.10/32".to_string()]);
        let ended = host.give(Event::Shutdown);
        well_formed(&ended)?;
        host.pass(Duration::from_secs(2));
        prop_assert!(host.engine.is_idle());
        prop_assert!(host.kernel.is_empty());
    }
}
