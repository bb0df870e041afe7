//! When an instance is the last that ought to be master, but better than nobody: on the operator's word, for want of a
//! healthy one, or because it has lost the role too often.
//!
//! Then it bids with the lowest priority. A last resort resigns as soon as a check fails and goes on serving until a
//! successor is heard; if there is none, for all have failed alike, it stays. Others that are last resorts do not
//! follow it, so nothing moves from one failure to another; a healthy one follows within its `Skew_Time`, and replaces
//! a last resort at once whenever it comes.

use alloc::vec::Vec;

use super::instance::Instance;
use super::notice::Reason;
use super::settings::Damping;
use crate::proto::vrrp::Last;
use crate::time::{Duration, Instant};

/// The losses of the role that count.
#[derive(Clone, Debug, Default)]
pub(super) struct Damper {
    losses: Vec<Instant>,
    until: Option<Instant>,
}

impl Damper {
    /// The role is lost once more. Returns whether that is too often.
    fn lose(&mut self, now: Instant, damping: Damping) -> bool {
        self.losses.retain(|at| now.since(*at) < damping.within);
        self.losses.push(now);
        let enough = usize::try_from(damping.changes).unwrap_or(usize::MAX);
        if self.until.is_some() || self.losses.len() < enough {
            return false;
        }
        self.losses.clear();
        self.until = Some(now + damping.hold);
        true
    }

    /// When it is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.until
    }
}

impl Instance {
    /// It is master no longer, and nobody asked for that. Returns for how long it lets others be, if this was too often.
    pub(super) fn lose(&mut self, now: Instant) -> Option<Duration> {
        let damping = self.settings.damping?;
        self.damper.lose(now, damping).then_some(damping.hold)
    }

    /// Why it lets others be because it lost the role too often, if it does.
    pub(super) fn damped(&mut self, now: Instant) -> Option<Reason> {
        self.damper.until = self.damper.until.filter(|until| now < *until && self.settings.damping.is_some());
        self.damper.until.map(|_| Reason::Damped)
    }

    /// Whether it bids with the lowest priority of all.
    pub(super) fn is_reserve(&self) -> bool {
        self.stepped_down || self.reserve.is_some()
    }

    /// What the lowest priority means to its routers.
    pub(super) fn last(&self) -> Last {
        match &self.reserve {
            _ if !self.settings.last_resort => Last::Ordinary,
            Some(Reason::LastResort { .. }) => Last::Itself,
            Some(_) | None => Last::Resort,
        }
    }
}
