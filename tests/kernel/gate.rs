//! The gate thread: orders add up, the newest counts, each is answered, and what somebody else does is noticed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use vipd::agent::announce::Announcer;
use vipd::agent::gate::{self, Trouble};
use vipd::agent::heartbeat::Heartbeats;
use vipd::agent::mail::{Answer, Answers, Mailbox, answers};
use vipd::engine::action::{self, Generation, InstanceId, Lease, Passage, RouterId};
use vipd::engine::event::{Gated, Gating};
use vipd::net::Family;
use vipd::sys::clock;

use crate::Test;
use crate::cable::{place, run, until, wait_for};
use crate::peer::lease;

pub(crate) const TESTS: &[Test] = &[
    ("the_newest_order_of_each_router_counts_and_is_answered", the_newest_order_counts),
    ("nothing_is_left_when_all_gates_are_forgotten", nothing_is_left),
    ("what_is_gated_when_the_thread_ends_stays_dark", what_is_gated_stays_dark),
    ("what_a_dead_agent_left_is_replaced_by_the_first_order", what_a_dead_agent_left_is_replaced),
    ("a_lease_that_is_adopted_goes_on_no_longer_than_it_was", a_lease_that_is_adopted),
    ("a_lease_that_is_over_is_not_adopted", a_lease_that_is_over),
    ("a_link_that_vanishes_is_forgotten_without_an_order", a_link_that_vanishes),
    ("a_lease_that_ran_out_is_noticed_without_an_order", a_lease_that_ran_out),
    ("a_flushed_ruleset_is_noticed_and_made_again_from_new_orders", a_flushed_ruleset),
    ("a_flushed_ruleset_is_dark_if_nobody_vouches_for_leases", a_flushed_ruleset_without_new_orders),
    ("a_flush_that_an_order_meets_first_costs_nobody_a_lease", a_flush_that_an_order_meets_first),
    ("refusals_that_somebody_takes_away_are_made_again_and_reported", refusals_taken_away),
    ("without_permission_the_gate_says_so_and_does_nothing", without_permission),
];

const WEB: InstanceId = InstanceId(1);
const MAIL: InstanceId = InstanceId(2);

struct Gate {
    mailbox: Arc<Mailbox>,
    answers: Answers,
    /// Answers that were not waited for yet.
    waiting: VecDeque<Gated>,
    heartbeats: Heartbeats,
    trouble: Trouble,
    thread: JoinHandle<()>,
    generation: u64,
}

impl Gate {
    fn spawn() -> Self {
        Self::heir(BTreeMap::new())
    }

    /// The gate of an agent that adopts leases of these terms.
    fn heir(inherited: BTreeMap<RouterId, u64>) -> Self {
        let (mailbox, mut heartbeats, trouble) = (Mailbox::new(), Heartbeats::new(), Trouble::default());
        let heartbeat = heartbeats.register("gate");
        let (sender, answers) = answers().unwrap();
        let thread = gate::spawn(
            Arc::clone(&mailbox),
            sender,
            Announcer::default(),
            heartbeat,
            trouble.clone(),
            inherited,
        )
        .unwrap();
        let waiting = VecDeque::new();
        Self { mailbox, answers, waiting, heartbeats, trouble, thread, generation: 0 }
    }

    fn order(&mut self, instance: InstanceId, passage: Passage, lease: Option<Lease>, nets: &[&str]) {
        self.order_with(instance, passage, lease, nets, true);
    }

    fn order_with(
        &mut self,
        instance: InstanceId,
        passage: Passage,
        lease: Option<Lease>,
        nets: &[&str],
        accept: bool,
    ) {
        self.generation += 1;
        self.mailbox.gate([action::Gate {
            router: RouterId { instance, family: Family::Ipv4 },
            generation: Generation(self.generation),
            passage,
            lease,
            places: nets.iter().map(|net| place(net)).collect(),
            accept,
            virtual_link: None,
        }]);
    }

    /// The next answer.
    fn answer(&mut self) -> Gated {
        wait_for("an answer", || {
            let gated = |answer| match answer {
                Answer::Gated(gated) => gated,
                other => panic!("{other:?}"),
            };
            self.waiting.extend(self.answers.drain(16).into_iter().map(gated));
            self.waiting.pop_front()
        })
    }

    /// Waits for the answer to the newest order.
    fn state(&mut self) -> Gating {
        loop {
            let answer = self.answer();
            if answer.generation.0 == self.generation {
                return answer.state;
            }
        }
    }

    /// Ends for another agent to go on.
    fn leave(self) {
        self.mailbox.leave();
        self.thread.join().unwrap();
    }

    fn stop(self) {
        self.mailbox.stop();
        self.thread.join().unwrap();
    }
}

fn ruleset_has(what: &str, times: usize) -> bool {
    run("nft list ruleset").matches(what).count() == times
}

fn the_newest_order_counts() {
    let mut gate = Gate::spawn();
    gate.order(WEB, Passage::Shut, None, &["192.0.2.10/24"]);
    assert_eq!(gate.state(), Gating::Dark);
    gate.order(MAIL, Passage::Open, None, &["192.0.2.20/24"]);
    assert_eq!(gate.state(), Gating::Open);
    assert!(ruleset_has("192.0.2.10", 1) && ruleset_has("192.0.2.20", 1));
    assert!(ruleset_has("elements = { \"va\" }", 1), "one is open");
    gate.order(WEB, Passage::Open, Some(lease()), &["192.0.2.10/24", "192.0.2.11/24"]);
    assert_eq!(gate.state(), Gating::Open);
    assert!(ruleset_has("192.0.2.11", 1) && ruleset_has(" expires ", 1));
    gate.order(WEB, Passage::FramesOnly, Some(lease()), &["192.0.2.10/24", "192.0.2.11/24"]);
    assert_eq!(gate.state(), Gating::Open);
    assert!(ruleset_has("elements = { \"va\" }", 2), "one is open and one quiet");
    gate.order(MAIL, Passage::Open, None, &[]);
    gate.order(WEB, Passage::Open, None, &[]);
    until("nothing is left", || run("nft list ruleset").is_empty());
    assert_eq!(gate.trouble.read(), None);
    until("an idle turn", || gate.heartbeats.all_beat().is_ok());
    until("another", || gate.heartbeats.all_beat().is_ok());
    gate.stop();
}

fn nothing_is_left() {
    let mut gate = Gate::spawn();
    gate.order(WEB, Passage::Open, Some(lease()), &["192.0.2.10/24"]);
    assert_eq!(gate.state(), Gating::Open);
    gate.order(WEB, Passage::Shut, None, &[]);
    gate.stop();
    assert_eq!(run("nft list ruleset"), "");
}

fn what_is_gated_stays_dark() {
    let mut gate = Gate::spawn();
    let long = Lease { until: clock::now() + Duration::from_secs(60), ..lease() };
    gate.order(WEB, Passage::Open, Some(long), &["192.0.2.10/24"]);
    assert_eq!(gate.state(), Gating::Open);
    gate.stop();
    assert!(ruleset_has("192.0.2.10 : goto router4_1", 1));
    assert!(ruleset_has("expires", 0));
}

fn what_a_dead_agent_left_is_replaced() {
    let mut dead = Gate::spawn();
    dead.order(WEB, Passage::Open, Some(lease()), &["192.0.2.10/24"]);
    assert_eq!(dead.state(), Gating::Open);
    dead.stop();
    let mut gate = Gate::spawn();
    until("an idle turn", || gate.heartbeats.all_beat().is_ok());
    assert!(ruleset_has("192.0.2.10", 1), "it stays dark until something takes its place");
    gate.order(MAIL, Passage::Shut, None, &["192.0.2.20/24"]);
    assert_eq!(gate.state(), Gating::Dark);
    assert!(ruleset_has("192.0.2.10", 0) && ruleset_has("192.0.2.20", 1));
    gate.order(MAIL, Passage::Shut, None, &[]);
    gate.stop();
    assert_eq!(run("nft list ruleset"), "");
}

/// Gates of an agent that is gone, two of them open, and which terms they had.
fn left() -> BTreeMap<RouterId, u64> {
    let mut dead = Gate::spawn();
    for (instance, net) in [(WEB, "192.0.2.10/24"), (MAIL, "192.0.2.20/24")] {
        dead.order(instance, Passage::Open, Some(lease()), &[net]);
        assert_eq!(dead.state(), Gating::Open);
    }
    dead.leave();
    [WEB, MAIL].map(|instance| (RouterId { instance, family: Family::Ipv4 }, lease().term)).into()
}

fn a_lease_that_is_adopted() {
    let ends = lease().until;
    let mut heir = Gate::heir(left());
    assert!(ruleset_has(" expires ", 2));
    let long = Lease { until: clock::now() + Duration::from_secs(60), ..lease() };
    heir.order(WEB, Passage::Open, Some(long), &["192.0.2.10/24"]);
    assert_eq!(heir.state(), Gating::Open);
    assert!(ruleset_has("192.0.2.20", 0) && ruleset_has(" expires ", 1), "nobody asked for the other");
    assert_eq!(heir.state(), Gating::Dark, "it is the old lease");
    let over = clock::now();
    assert!(over.since(ends) < Duration::from_millis(1200), "{:?}", over.since(ends));
    heir.order(MAIL, Passage::Open, Some(long), &["192.0.2.20/24"]);
    assert_eq!(heir.state(), Gating::Open, "what was not asked for at first begins as any other");
    heir.stop();
}

fn a_lease_that_is_over() {
    let left = left();
    until("both leases are over", || ruleset_has(" expires ", 0));
    let mut heir = Gate::heir(left);
    let long = Lease { until: clock::now() + Duration::from_secs(60), ..lease() };
    heir.order(WEB, Passage::Open, Some(long), &["192.0.2.10/24"]);
    assert_eq!(heir.state(), Gating::Dark);
    heir.order(WEB, Passage::Open, Some(Lease { term: long.term + 1, ..long }), &["192.0.2.10/24"]);
    assert_eq!(heir.state(), Gating::Open, "another term is another matter");
    heir.stop();
}

fn a_link_that_vanishes() {
    let mut gate = Gate::spawn();
    gate.order(WEB, Passage::Shut, None, &["192.0.2.10/24"]);
    assert_eq!(gate.state(), Gating::Dark);
    run("ip link del va");
    until("it is gone", || run("nft list ruleset").is_empty());
    gate.stop();
}

fn a_lease_that_ran_out() {
    let mut gate = Gate::spawn();
    gate.order(WEB, Passage::Open, Some(lease()), &["192.0.2.10/24"]);
    assert_eq!(gate.state(), Gating::Open);
    let opened = clock::now();
    assert_eq!(gate.state(), Gating::Dark);
    assert!(clock::now().since(opened) < Duration::from_millis(1200));
    gate.order(WEB, Passage::Open, Some(lease()), &["192.0.2.10/24"]);
    assert_eq!(gate.state(), Gating::Dark, "the term is over");
    gate.order(WEB, Passage::Open, Some(Lease { term: 2, ..lease() }), &["192.0.2.10/24"]);
    assert_eq!(gate.state(), Gating::Open);
    gate.stop();
}

/// A gate that is open for a minute, after somebody flushed the ruleset and that was noticed.
fn flushed() -> (Gate, Lease) {
    let mut gate = Gate::spawn();
    let long = Lease { until: clock::now() + Duration::from_secs(60), ..lease() };
    gate.order(WEB, Passage::Open, Some(long), &["192.0.2.10/24"]);
    assert_eq!(gate.state(), Gating::Open);
    until("an idle turn", || gate.heartbeats.all_beat().is_ok());
    run("nft flush ruleset");
    let flushed = clock::now();
    let why = "somebody removed or changed the nftables table 'netdev vipd'";
    assert_eq!(gate.state(), Gating::Lost(why.into()));
    let noticed = clock::now().since(flushed);
    assert!(noticed < Duration::from_millis(700), "{noticed:?}");
    (gate, long)
}

fn a_flushed_ruleset() {
    let (mut gate, long) = flushed();
    gate.order(WEB, Passage::Open, Some(long), &["192.0.2.10/24"]);
    assert_eq!(gate.state(), Gating::Open);
    assert!(ruleset_has(" expires ", 1));
    assert_eq!(gate.trouble.read(), None);
    gate.stop();
}

fn a_flushed_ruleset_without_new_orders() {
    let (mut gate, _) = flushed();
    assert_eq!(gate.state(), Gating::Dark);
    assert!(ruleset_has("192.0.2.10 : goto router4_1", 1) && ruleset_has("expires", 0));
    gate.stop();
}

fn a_flush_that_an_order_meets_first() {
    let mut gate = Gate::spawn();
    let long = Lease { until: clock::now() + Duration::from_secs(60), ..lease() };
    gate.order(WEB, Passage::Open, Some(long), &["192.0.2.10/24"]);
    assert_eq!(gate.state(), Gating::Open);
    run("nft flush ruleset");
    // The table is not looked at again before this is tried.
    gate.order(MAIL, Passage::Open, Some(long), &["192.0.2.20/24"]);
    let mut lost = gate.answer();
    while lost.router.instance != WEB {
        lost = gate.answer();
    }
    let why = "somebody removed or changed the nftables table 'netdev vipd'";
    assert_eq!(lost.state, Gating::Lost(why.into()));
    gate.order(WEB, Passage::Open, Some(long), &["192.0.2.10/24"]);
    assert_eq!(gate.state(), Gating::Open);
    assert!(ruleset_has(" expires ", 2), "{}", run("nft list ruleset"));
    gate.stop();
}

fn refusals_taken_away() {
    let mut gate = Gate::spawn();
    gate.order_with(WEB, Passage::Open, None, &["192.0.2.10/24"], false);
    assert_eq!(gate.state(), Gating::Open);
    gate.order(MAIL, Passage::Open, None, &["192.0.2.20/24"]);
    assert_eq!(gate.state(), Gating::Open);
    assert!(ruleset_has("elements = { 192.0.2.10 }", 1));
    run("nft delete table inet vipd");
    let lost = gate.answer();
    let why = "somebody removed or changed the nftables table 'inet vipd'";
    assert_eq!((lost.router.instance, lost.state), (WEB, Gating::Lost(why.into())));
    assert!(ruleset_has("elements = { 192.0.2.10 }", 1), "before anybody is asked");
    gate.order(WEB, Passage::Open, None, &[]);
    until("nothing is refused", || ruleset_has("table inet vipd", 0));
    gate.order_with(WEB, Passage::Open, None, &["192.0.2.10/24"], false);
    assert_eq!(gate.state(), Gating::Open);
    gate.stop();
    assert!(ruleset_has("elements = { 192.0.2.10 }", 1), "the addresses may still be there");
}

fn without_permission() {
    let mut sets = capabilities(None).unwrap();
    sets.effective -= CapabilitySet::NET_ADMIN;
    set_capabilities(None, sets).unwrap();
    let mut gate = Gate::spawn();
    until("the gate says so", || gate.trouble.read().is_some());
    let trouble = gate.trouble.read().unwrap();
    assert_eq!(
        trouble,
        "without a lease: if the agent dies, its addresses go on answering: nftables: Operation not permitted"
    );
    gate.order(WEB, Passage::Shut, None, &["192.0.2.10/24"]);
    assert_eq!(gate.state(), Gating::Unavailable(trouble));
    gate.order_with(WEB, Passage::Shut, None, &["192.0.2.10/24"], false);
    let accepted = "packets for addresses of instances with 'accept: false' are accepted";
    until("it says that, too", || gate.trouble.read().is_some_and(|trouble| trouble.contains(accepted)));
    gate.stop();
    sets.effective |= CapabilitySet::NET_ADMIN;
    set_capabilities(None, sets).unwrap();
    assert_eq!(run("nft list ruleset"), "");
}
