//! The gate thread: what virtual addresses may answer, and for how long. Apart from the route thread because it
//! waits for another lock, nftables' commit lock, which other programs may hold for long.
//!
//! It keeps the newest order of each virtual router and has the table brought to what all of them together want;
//! orders that come in together take one transaction. Each is answered with what passes now. Twice a second it looks
//! whether the table and the leases are there. What cannot be done now is tried again then. Where nftables is not to
//! be had at all, that is the answer, and nothing is done: then a dead agent's addresses go on answering.
//!
//! Packets that are to be refused (`accept: false`) have a table of their own. It does not hang on the other one: what is
//! wrong with it is a warning, and the gate goes on.
//!
//! A table that somebody took away is made again. Until then everything passes, and what a lease still is only the
//! engine knows; so it is asked first, and who does not answer in 50 ms is dark.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use nix::libc;

use super::announce::Announcer;
use super::heartbeat::Heartbeat;
use super::mail::{Answer, AnswerSender, Mailbox};
use crate::engine::action::{Gate, Passage, RouterId};
use crate::engine::event::{Gated, Gating};
use crate::sys::clock;
use crate::sys::netlink::Failure;
use crate::sys::nftables::{self, Gates, Table};
use crate::time::Instant;

/// The thread looks at the table so often, and shows that it is alive.
const IDLE: Duration = Duration::from_millis(500);

/// How long the engine may take to say what its leases still are.
const PATIENCE: Duration = Duration::from_millis(50);

/// The stack needs little, and all of it may be locked in memory.
const STACK: usize = 256 << 10;

/// What keeps the gate from working, for whoever reports it: one sentence, or nothing.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    /// The sentence.
    pub fn read(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Logs what is new.
    fn set(&self, sentence: Option<String>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(new) = sentence.as_ref().filter(|new| known.as_ref() != Some(new)) {
            tracing::warn!("{new}");
        }
        *known = sentence;
    }
}

/// Starts the thread; leases of `inherited` terms may live in the table as it is. It ends at [`Mailbox::stop`]. What is
/// still gated then stays, and is dark: its addresses may be there, and nobody would close it later. Or it ends at
/// [`Mailbox::leave`], and everything stays as it is.
pub fn spawn(
    mailbox: Arc<Mailbox>,
    answers: AnswerSender,
    announcer: Announcer,
    heartbeat: Heartbeat,
    trouble: Trouble,
    inherited: BTreeMap<RouterId, u64>,
) -> io::Result<JoinHandle<()>> {
    Builder::new().name("gate".into()).stack_size(STACK).spawn(move || {
        let mut keeper = Keeper::new(mailbox, answers, announcer, trouble);
        if let Ok(table) = &mut keeper.table {
            table.inherit(inherited);
        }
        while !keeper.stopping {
            heartbeat.beat();
            keeper.collect(keeper.look_at.since(clock::now()));
            keeper.turn();
        }
        if !keeper.leaving {
            keeper.end();
        }
    })
}

struct Keeper {
    mailbox: Arc<Mailbox>,
    answers: AnswerSender,
    /// What is open may be announced.
    announcer: Announcer,
    /// None where nftables is not to be had; and why.
    table: Result<Table, String>,
    trouble: Trouble,
    /// What keeps packets from being refused.
    unrefused: Option<String>,
    /// The newest order of each router that has addresses.
    wanted: Gates,
    /// Those that came since the table was last brought to what is wanted.
    fresh: BTreeSet<RouterId>,
    /// Whether the table is known to be as wanted.
    settled: bool,
    /// When to look at the table again.
    look_at: Instant,
    stopping: bool,
    /// Everything is for another agent to go on with.
    leaving: bool,
}

impl Keeper {
    fn new(mailbox: Arc<Mailbox>, answers: AnswerSender, announcer: Announcer, trouble: Trouble) -> Self {
        let table = Table::open().map_err(|failure| sentence(&failure));
        if let Err(why) = &table {
            trouble.set(Some(why.clone()));
        }
        let (wanted, fresh) = (BTreeMap::new(), BTreeSet::new());
        Self {
            mailbox,
            answers,
            announcer,
            table,
            trouble,
            unrefused: None,
            wanted,
            fresh,
            settled: true,
            look_at: clock::now(),
            stopping: false,
            leaving: false,
        }
    }

    /// Takes the orders that are there, waiting for the first.
    fn collect(&mut self, timeout: Duration) {
        let slots = self.mailbox.take(timeout);
        self.stopping |= slots.stop || slots.leave;
        self.leaving |= slots.leave;
        self.settled &= slots.gate.is_empty();
        for (router, gate) in slots.gate {
            self.fresh.insert(router);
            if gate.places.is_empty() {
                self.wanted.remove(&router);
            } else {
                self.wanted.insert(router, gate);
            }
        }
    }

    fn turn(&mut self) {
        if !self.settled {
            self.settle();
        }
        // Never between an order and what waits for it: looking takes longer than most changes.
        let now = clock::now();
        if now >= self.look_at {
            self.look();
            self.look_at = now + IDLE;
        }
    }

    fn look(&mut self) {
        self.look_for_refusals();
        let loss = match &mut self.table {
            Ok(table) => table.loss(),
            Err(_) => return,
        };
        match loss {
            Ok(None) => self.look_for_expired(),
            Ok(Some(why)) => self.make_again(&why),
            Err(failure) => self.report(Some(sentence(&failure))),
        }
    }

    /// Brings the table to what is wanted, if need be from the ground up.
    fn settle(&mut self) {
        // First: what opens is not to let in a packet before.
        self.refuse();
        let Ok(table) = &mut self.table else { return self.do_without() };
        // All that is to stand in a table that is made again must be vouched for.
        if table.is_doubtful() && !self.wanted.keys().all(|router| self.fresh.contains(router)) {
            return self.make_again(FAILED);
        }
        match table.settle(&self.wanted, &self.fresh) {
            Ok(()) => self.answer_settled(),
            Err(Failure { errno: libc::ENOENT, .. }) => self.make_again(nftables::CHANGED),
            Err(failure) => self.make_again(&format!("{FAILED}: {failure}")),
        }
    }

    /// Has packets refused, as far as that can be done.
    fn refuse(&mut self) {
        let refused = match &mut self.table {
            Ok(table) => table.refuse(&self.wanted).map_err(|failure| format!("nftables: {failure}")),
            Err(_) if self.wanted.values().all(|gate| gate.accept) => Ok(()),
            Err(why) => Err(why.clone()),
        };
        self.unrefused = refused.err().map(|why| format!("{ACCEPTED}: {why}"));
    }

    /// What could not be refused is tried again; what somebody has accepted again is reported.
    fn look_for_refusals(&mut self) {
        let Ok(table) = &mut self.table else { return };
        let lost = table.refusals_are_lost();
        if matches!(lost, Ok(false)) && self.unrefused.is_none() {
            return;
        }
        self.refuse();
        if matches!(lost, Ok(true)) {
            for gate in self.wanted.values().filter(|gate| !gate.accept) {
                self.answer(gate, Gating::Lost(UNREFUSED.into()));
            }
        }
        self.report(self.missing());
    }

    /// What a table that is as it was wanted lacks.
    fn missing(&self) -> Option<String> {
        let has_leases = self.table.as_ref().is_ok_and(Table::has_leases);
        (!has_leases && !self.wanted.is_empty()).then(|| NO_EGRESS.into())
    }

    /// Says what is wrong with the gate, and with what is to be refused.
    fn report(&self, gate: Option<String>) {
        let sentences: Vec<String> = gate.into_iter().chain(self.unrefused.clone()).collect();
        self.trouble.set((!sentences.is_empty()).then(|| sentences.join("; ")));
    }

    /// Where nftables is not to be had, everything passes.
    fn do_without(&mut self) {
        let Err(why) = &self.table else { return };
        self.report(Some(why.clone()));
        for gate in std::mem::take(&mut self.fresh).iter().filter_map(|router| self.wanted.get(router)) {
            self.answer(gate, Gating::Unavailable(why.clone()));
        }
        self.settled = true;
    }

    /// The table is as it was wanted: says so to whoever ordered, and to whoever lost a lease by it.
    fn answer_settled(&mut self) {
        let Ok(table) = &self.table else { return };
        let fresh = std::mem::take(&mut self.fresh);
        let has_leases = table.has_leases();
        for (router, gate) in &self.wanted {
            let lit = table.is_lit(*router);
            if fresh.contains(router) {
                let state = match (lit, &gate.lease) {
                    _ if gate.virtual_link.is_some() && !has_leases => Gating::Unavailable(NO_VIRTUAL.into()),
                    (false, _) => Gating::Dark,
                    (true, Some(_)) if !has_leases => Gating::Unavailable(NO_EGRESS.into()),
                    (true, _) => Gating::Open,
                };
                self.answer(gate, state);
            } else if !lit && gate.passage != Passage::Shut {
                self.answer(gate, Gating::Dark);
            }
        }
        self.settled = true;
        self.report(self.missing());
    }

    fn look_for_expired(&mut self) {
        let Ok(table) = &mut self.table else { return };
        match table.expired() {
            Ok(expired) => {
                for gate in expired.iter().filter_map(|router| self.wanted.get(router)) {
                    self.answer(gate, Gating::Dark);
                }
            }
            Err(failure) => self.report(Some(sentence(&failure))),
        }
    }

    /// Asks the engine for new orders, and makes the table from these.
    fn make_again(&mut self, why: &str) {
        let Ok(table) = &mut self.table else { return };
        table.forget();
        for (router, gate) in &self.wanted {
            if !self.fresh.contains(router) {
                self.answer(gate, Gating::Lost(why.to_owned()));
            }
        }
        self.wait_for_orders();
        let Ok(table) = &mut self.table else { return };
        match table.settle(&self.wanted, &self.fresh) {
            Ok(()) => self.answer_settled(),
            Err(failure) => self.give_up(&failure),
        }
    }

    /// Until there are new orders for all that may be open, but not for long: who does not answer is dark.
    fn wait_for_orders(&mut self) {
        let waits = |gate: &&Gate| gate.passage != Passage::Shut && gate.lease.is_some();
        let mut waiting: BTreeSet<RouterId> = self.wanted.values().filter(waits).map(|g| g.router).collect();
        let until = clock::now() + PATIENCE;
        loop {
            waiting.retain(|router| !self.fresh.contains(router));
            let left = until.since(clock::now());
            if waiting.is_empty() || left.is_zero() || self.stopping {
                break;
            }
            self.collect(left);
        }
    }

    /// The table cannot be made, and is tried again with the next look. Better no table than one that nobody can change:
    /// without it everything passes.
    fn give_up(&mut self, failure: &Failure) {
        let Ok(table) = &mut self.table else { return };
        let stands = table.delete().is_err() && matches!(table.exists(), Ok(true));
        table.forget();
        let why = if stands { stuck(failure) } else { sentence(failure) };
        for gate in self.wanted.values() {
            let shut = gate.passage == Passage::Shut;
            let state = if stands && !shut { Gating::Dark } else { Gating::Unavailable(why.clone()) };
            self.answer(gate, state);
        }
        self.fresh.clear();
        self.settled = false;
        self.report(Some(why));
    }

    fn answer(&self, gate: &Gate, state: Gating) {
        let (router, generation) = (gate.router, gate.generation);
        if let Gating::Open | Gating::Unavailable(_) = state {
            self.announcer.unbar(router, generation);
        }
        self.answers.send(Answer::Gated(Gated { router, generation, state }));
    }

    fn end(mut self) {
        let Ok(table) = &mut self.table else { return };
        for gate in self.wanted.values_mut() {
            gate.passage = Passage::Shut;
        }
        let done = table.refuse(&self.wanted).and(table.settle(&self.wanted, &BTreeSet::new()));
        if let Err(failure) = done {
            self.report(Some(sentence(&failure)));
        }
    }
}

fn sentence(failure: &Failure) -> String {
    format!("without a lease: if the agent dies, its addresses go on answering: nftables: {failure}")
}

/// What is known of a table that could not be changed.
fn stuck(failure: &Failure) -> String {
    format!(
        "addresses that it takes over do not answer: the nftables table 'netdev vipd' cannot be changed: {failure}"
    )
}

const ACCEPTED: &str = "packets for addresses of instances with 'accept: false' are accepted";

const UNREFUSED: &str = "somebody removed or changed the nftables table 'inet vipd'";

const FAILED: &str = "a change of the nftables table 'netdev vipd' failed";

const NO_VIRTUAL: &str = "a virtual MAC needs nftables with an egress hook, which came with Linux 5.16: without, the interface below \
     answers for the addresses, too";

const NO_EGRESS: &str = "without a lease: if the agent dies, its addresses go on answering: \
    nftables has no egress hook, which came with Linux 5.16";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_in_one_sentence() {
        let refused = Failure { errno: nix::libc::EPERM, sentence: None };
        assert_eq!(
            sentence(&refused),
            "without a lease: if the agent dies, its addresses go on answering: nftables: Operation not permitted"
        );
        let explained = Failure { errno: nix::libc::EOPNOTSUPP, sentence: Some("no such hook".into()) };
        assert!(sentence(&explained).ends_with("(no such hook)"));
    }
}
