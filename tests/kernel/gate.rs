//! The gate thread: orders add up, the newest counts, and nothing is left.

use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use vipd::agent::gate::{self, Trouble};
use vipd::agent::heartbeat::Heartbeats;
use vipd::agent::mail::Mailbox;
use vipd::engine::action::{self, Generation, InstanceId, Passage};

use crate::Test;
use crate::cable::{place, run, until};

pub(crate) const TESTS: &[Test] = &[
    ("the_newest_order_of_each_instance_counts", the_newest_order_counts),
    ("nothing_is_left_when_the_gate_thread_ends", nothing_is_left),
    ("what_a_dead_agent_left_is_deleted", what_a_dead_agent_left_is_deleted),
    ("a_link_that_vanishes_is_forgotten_without_an_order", a_link_that_vanishes),
    ("without_permission_the_gate_says_so_and_does_nothing", without_permission),
];

const WEB: InstanceId = InstanceId(1);
const MAIL: InstanceId = InstanceId(2);

struct Gate {
    mailbox: Arc<Mailbox>,
    heartbeats: Heartbeats,
    trouble: Trouble,
    thread: JoinHandle<()>,
    generation: u64,
}

impl Gate {
    fn spawn() -> Self {
        let (mailbox, mut heartbeats, trouble) = (Mailbox::new(), Heartbeats::new(), Trouble::default());
        let heartbeat = heartbeats.register("gate");
        let thread = gate::spawn(Arc::clone(&mailbox), heartbeat, trouble.clone()).unwrap();
        Self { mailbox, heartbeats, trouble, thread, generation: 0 }
    }

    fn order(&mut self, instance: InstanceId, passage: Passage, nets: &[&str]) {
        self.generation += 1;
        self.mailbox.gate(action::Gate {
            instance,
            generation: Generation(self.generation),
            passage,
            addresses: nets.iter().map(|net| place(net)).collect(),
        });
    }

    fn stop(self) {
        self.mailbox.stop();
        self.thread.join().unwrap();
    }
}

fn ruleset_has(address: &str, times: usize) -> bool {
    run("nft list ruleset").matches(address).count() == times
}

fn the_newest_order_counts() {
    let mut gate = Gate::spawn();
    gate.order(WEB, Passage::FramesOnly, &["192.0.2.10/24"]);
    gate.order(MAIL, Passage::Shut, &["192.0.2.20/24"]);
    until("one is quiet and one shut", || ruleset_has("192.0.2.10", 1) && ruleset_has("192.0.2.20", 2));
    gate.order(WEB, Passage::Shut, &["192.0.2.10/24", "2001:db8::10/64"]);
    until("both are shut", || ruleset_has("192.0.2.10", 2) && ruleset_has("2001:db8::10", 2));
    gate.order(MAIL, Passage::Open, &["192.0.2.20/24"]);
    until("one is open", || ruleset_has("192.0.2.20", 0));
    assert!(ruleset_has("192.0.2.10", 2), "the other is as it was");
    gate.order(WEB, Passage::Open, &[]);
    until("nothing is left", || run("nft list ruleset").is_empty());
    assert_eq!(gate.trouble.read(), None);
    until("an idle turn", || gate.heartbeats.all_beat().is_ok());
    until("another", || gate.heartbeats.all_beat().is_ok());
    gate.stop();
}

fn nothing_is_left() {
    let mut gate = Gate::spawn();
    gate.order(WEB, Passage::Shut, &["192.0.2.10/24"]);
    until("it is shut", || ruleset_has("192.0.2.10", 2));
    gate.stop();
    assert_eq!(run("nft list ruleset"), "");
}

fn what_a_dead_agent_left_is_deleted() {
    run("nft add table netdev vipd");
    run("nft add set netdev vipd quiet4_7 { type ipv4_addr ; elements = { 192.0.2.10 } ; }");
    let gate = Gate::spawn();
    until("it is gone", || run("nft list ruleset").is_empty());
    gate.stop();
}

fn a_link_that_vanishes() {
    let mut gate = Gate::spawn();
    gate.order(WEB, Passage::Shut, &["192.0.2.10/24"]);
    until("it is shut", || ruleset_has("192.0.2.10", 2));
    run("ip link del va");
    until("it is gone", || run("nft list ruleset").is_empty());
    gate.stop();
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
        "addresses cannot be silenced while they change hands: nftables: Operation not permitted"
    );
    gate.order(WEB, Passage::Shut, &["192.0.2.10/24"]);
    gate.stop();
    sets.effective |= CapabilitySet::NET_ADMIN;
    set_capabilities(None, sets).unwrap();
    assert_eq!(run("nft list ruleset"), "");
}
