//! Giving the addresses to a successor without a gap: resign, keep serving, and go once it is there.
//!
//! ```text
//!  resign ------- successor's first advert ------- its announcements, or 100 ms ----> release
//!    |   everything served   |      frames served, ARP and ND shut       |
//!    +------ nobody within Skew_Time and 50 ms --------> stay master, or release if stopping
//! ```
//!
//! The successor waits its `Skew_Time` before it advertises, which is less than one interval in version 3 and less than
//! a second in version 2; its exact length is unknowable here, so these are waited for. Until it has announced the addresses, clients still
//! send their frames to us, and it costs nothing to serve them.

use alloc::collections::BTreeSet;
use core::net::IpAddr;

use crate::net::Family;
use crate::time::{Duration, Instant};

/// One hand-over under way.
#[derive(Clone, Debug)]
pub(super) struct Handover {
    since: Instant,
    /// Until when a successor may be heard.
    until: Instant,
    /// What to do if there is none.
    pub(super) otherwise: Otherwise,
    successor: Option<(IpAddr, Duration)>,
    /// In which families a successor was heard.
    heard: BTreeSet<Family>,
    /// Which addresses it announced.
    announced: BTreeSet<IpAddr>,
    /// When to release, once a successor was heard.
    release_at: Option<Instant>,
}

/// What becomes of the addresses if nobody takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Otherwise {
    /// They stay: better served here than not at all.
    Stay,
    /// They go: the agent ends, or the instance does.
    Release,
}

/// How a hand-over ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The successor has the addresses.
    Succeeded,
    /// Nobody took over.
    Nobody,
}

impl Handover {
    /// Begins as the resignation is sent. No successor's `Skew_Time` reaches `longest_skew`.
    pub(super) fn new(now: Instant, longest_skew: Duration, otherwise: Otherwise) -> Self {
        let patience = match otherwise {
            Otherwise::Stay => longest_skew + GRACE,
            Otherwise::Release => (longest_skew + GRACE).min(LONGEST_STOP),
        };
        Self {
            since: now,
            until: now + patience,
            otherwise,
            successor: None,
            heard: BTreeSet::new(),
            announced: BTreeSet::new(),
            release_at: None,
        }
    }

    /// Something else is to become of the addresses; from now on no longer than that admits.
    pub(super) fn turn(&mut self, now: Instant, otherwise: Otherwise) {
        self.otherwise = otherwise;
        if otherwise == Otherwise::Release {
            self.until = self.until.min(now + LONGEST_STOP);
        }
    }

    /// A successor's advert was accepted.
    pub(super) fn hear(&mut self, now: Instant, family: Family, address: IpAddr) {
        self.release_at.get_or_insert(now + LONGEST_FRAMES_ONLY);
        self.successor.get_or_insert((address, now.since(self.since)));
        self.heard.insert(family);
    }

    /// Who took over first, and how long after the resignation it was heard.
    pub(super) fn successor(&self) -> Option<(IpAddr, Duration)> {
        self.successor
    }

    /// By when it is over if no successor is heard.
    pub(super) fn bound(&self) -> Instant {
        self.until
    }

    /// Another host announced an address.
    pub(super) fn announce(&mut self, address: IpAddr) {
        self.announced.insert(address);
    }

    /// Whether anybody advertised or announced anything: clients may have been told of him.
    pub(super) fn was_answered(&self) -> bool {
        !self.heard.is_empty() || !self.announced.is_empty()
    }

    /// The families whose addresses are the successor's to answer for.
    pub(super) fn succeeded(&self) -> &BTreeSet<Family> {
        &self.heard
    }

    /// Whether it is over, given all addresses and families there are.
    pub(super) fn ending(
        &self,
        now: Instant,
        addresses: &BTreeSet<IpAddr>,
        families: usize,
    ) -> Option<Ending> {
        let announced = self.heard.len() == families && self.announced.is_superset(addresses);
        if announced || self.release_at.is_some_and(|at| at <= now && self.heard.len() == families) {
            return Some(Ending::Succeeded);
        }
        if now < self.until {
            return None;
        }
        Some(if self.heard.is_empty() { Ending::Nobody } else { Ending::Succeeded })
    }

    /// When to look again.
    pub(super) fn deadline(&self, families: usize) -> Instant {
        match self.release_at {
            Some(at) if self.heard.len() == families => at.min(self.until),
            Some(_) | None => self.until,
        }
    }
}

/// Beyond the longest skew: what scheduling and the network may add.
const GRACE: Duration = Duration::from_millis(50);
/// A stop is never longer than this, whatever the interval.
const LONGEST_STOP: Duration = Duration::from_secs(2);
/// How long frames are served after the successor's advert if its announcements are not seen.
const LONGEST_FRAMES_ONLY: Duration = Duration::from_millis(100);
