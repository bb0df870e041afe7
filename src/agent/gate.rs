//! The gate thread: what virtual addresses may still answer while they change hands. Apart from the route
//! thread because it waits for another lock, nftables' commit lock, which other programs may hold for long.
//!
//! It keeps the newest order of each instance, works out what all of them together want, and has the table
//! brought to that; orders that come in together take one transaction. What cannot be done now is tried again
//! in half a second, until it is done or no longer wanted. Where nftables is not to be had at all, orders are
//! taken and nothing is done: a hand-over is then as abrupt as one without a gate.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;

use super::heartbeat::Heartbeat;
use super::mail::Mailbox;
use crate::engine::action::{Gate, InstanceId, Passage};
use crate::sys::netlink::Failure;
use crate::sys::nftables::{Restrictions, Table};

/// How long a turn may wait for work: the thread must show that it is alive.
const IDLE: Duration = Duration::from_millis(500);

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

/// Starts the thread. It ends at [`Mailbox::stop`], and everything passes again then.
pub fn spawn(mailbox: Arc<Mailbox>, heartbeat: Heartbeat, trouble: Trouble) -> io::Result<JoinHandle<()>> {
    Builder::new().name("gate".into()).stack_size(STACK).spawn(move || {
        let mut keeper = Keeper::new(trouble);
        loop {
            heartbeat.beat();
            let slots = mailbox.take(IDLE);
            if slots.stop {
                break;
            }
            keeper.turn(slots.gate);
        }
        keeper.open_all();
    })
}

struct Keeper {
    /// None where nftables is not to be had.
    table: Option<Table>,
    trouble: Trouble,
    /// The newest order of each instance that wants something restricted.
    wanted: BTreeMap<InstanceId, Gate>,
    /// Whether the table is known to be as wanted.
    settled: bool,
}

impl Keeper {
    fn new(trouble: Trouble) -> Self {
        let table = Table::open();
        if let Err(failure) = &table {
            trouble.set(Some(sentence(failure)));
        }
        Self { table: table.ok(), trouble, wanted: BTreeMap::new(), settled: true }
    }

    fn turn(&mut self, orders: BTreeMap<InstanceId, Gate>) {
        self.settled &= orders.is_empty();
        for (instance, gate) in orders {
            match gate.passage {
                Passage::Open => self.wanted.remove(&instance),
                Passage::FramesOnly | Passage::Shut => self.wanted.insert(instance, gate),
            };
        }
        let Some(table) = &mut self.table else { return };
        if self.settled && table.is_current() {
            return;
        }
        let mut restrictions = Restrictions::default();
        for gate in self.wanted.values() {
            restrictions.add(gate.passage, &gate.addresses);
        }
        let done = table.restrict(restrictions);
        self.settled = done.is_ok();
        self.trouble.set(match done {
            Err(failure) => Some(sentence(&failure)),
            Ok(()) if !table.silences_all() => Some(NO_EGRESS.into()),
            Ok(()) => None,
        });
    }

    /// Nobody would open it later.
    fn open_all(mut self) {
        if let Some(table) = &mut self.table
            && let Err(failure) = table.delete()
        {
            self.trouble.set(Some(sentence(&failure)));
        }
    }
}

fn sentence(failure: &Failure) -> String {
    let why = match failure {
        Failure { errno: 0, sentence } => sentence.clone().unwrap_or_default(),
        Failure { errno, sentence: None } => Errno::from_raw(*errno).desc().to_owned(),
        Failure { errno, sentence: Some(sentence) } => {
            format!("{} ({sentence})", Errno::from_raw(*errno).desc())
        }
    };
    format!("addresses cannot be silenced while they change hands: nftables: {why}")
}

const NO_EGRESS: &str = "addresses cannot be silenced entirely while they change hands: \
    nftables has no egress hook, which came with Linux 5.16";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_in_one_sentence() {
        let refused = Failure { errno: nix::libc::EPERM, sentence: None };
        assert_eq!(
            sentence(&refused),
            "addresses cannot be silenced while they change hands: nftables: Operation not permitted"
        );
        let explained = Failure { errno: nix::libc::EOPNOTSUPP, sentence: Some("no such hook".into()) };
        assert!(sentence(&explained).ends_with("(no such hook)"));
    }
}
