//! The gates in a fake kernel: what addresses answer, and the leases that end by themselves. A gate knows nothing of
//! processes: what one left goes on until it is over, or until another replaces it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use vipd::engine::action::{Gate, Passage, RouterId};
use vipd::engine::event::Gating;
use vipd::net::{Family, LinkIndex};
use vipd::time::Instant;

/// All gates of a machine.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    fitted: BTreeMap<RouterId, Fitted>,
    /// When leases ended that an agent found as it started.
    left: BTreeMap<RouterId, Instant>,
    /// The machine's clock.
    now: Instant,
}

#[derive(Debug)]
struct Fitted {
    gate: Gate,
    lit: Lit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lit {
    Dark,
    Steady,
    Until(Instant),
    /// The lease of this term is over.
    Over(u64),
}

impl Gates {
    /// Time passes. Returns whether a lease ran out.
    pub(crate) fn advance(&mut self, now: Instant) -> bool {
        let before = self.now;
        self.now = now;
        let ran_out = |fitted: &Fitted| matches!(fitted.lit, Lit::Until(end) if before < end && end <= now);
        self.fitted.values().any(ran_out)
    }

    /// Nothing is known any more: an agent's first order replaces what another one left, but for leases of these terms.
    /// These begin as they were found: an advert that left while the change was on its way moved the old ones.
    pub(crate) fn replace(&mut self, inherited: &BTreeMap<RouterId, u64>) {
        self.fitted.retain(|router, fitted| {
            fitted.gate.lease.is_some_and(|lease| inherited.get(router) == Some(&lease.term))
        });
        for (router, fitted) in &mut self.fitted {
            if let (Lit::Until(end), Some(left)) = (&mut fitted.lit, self.left.get(router)) {
                *end = (*end).min(*left);
            }
        }
    }

    /// When a router's lease ends, if it lives, for an agent that starts.
    pub(crate) fn find(&mut self, router: RouterId) -> Option<Instant> {
        let end = self.lease(router)?;
        self.left.insert(router, end);
        Some(end)
    }

    /// When a router's lease ends, if it lives.
    pub(crate) fn lease(&self, router: RouterId) -> Option<Instant> {
        match self.fitted.get(&router)?.lit {
            Lit::Until(end) if self.now < end => Some(end),
            Lit::Until(_) | Lit::Dark | Lit::Steady | Lit::Over(_) => None,
        }
    }

    /// A lease that is over begins again.
    pub(crate) fn revive(&mut self, router: RouterId) {
        let now = self.now;
        if let Some(fitted) = self.fitted.get_mut(&router)
            && let Some(lease) = fitted.gate.lease
        {
            fitted.gate.passage = Passage::Open;
            fitted.lit = Lit::Until(now + lease.extension);
        }
    }

    /// Does as ordered, and says what passes.
    pub(crate) fn set(&mut self, gate: &Gate) -> Gating {
        if gate.places.is_empty() {
            self.fitted.remove(&gate.router);
            return Gating::Dark;
        }
        let known = self.fitted.get(&gate.router);
        let term = known.and_then(|fitted| fitted.gate.lease).map(|lease| lease.term);
        let lit = match (gate.passage, gate.lease, known.map(|fitted| fitted.lit)) {
            (Passage::Shut, ..) => Lit::Dark,
            (_, None, _) => Lit::Steady,
            (_, Some(lease), Some(Lit::Until(end))) if term == Some(lease.term) => {
                if end <= self.now {
                    Lit::Over(lease.term)
                } else {
                    Lit::Until(if lease.cut { end.min(lease.until) } else { end })
                }
            }
            (_, Some(lease), Some(Lit::Over(term))) if term == lease.term => Lit::Over(term),
            (_, Some(lease), _) => Lit::Until(lease.until),
        };
        self.fitted.insert(gate.router, Fitted { gate: gate.clone(), lit });
        self.state(gate.router)
    }

    /// What passes for a router.
    fn state(&self, router: RouterId) -> Gating {
        match self.fitted.get(&router).map(|fitted| fitted.lit) {
            Some(Lit::Steady) => Gating::Open,
            Some(Lit::Until(end)) if self.now < end => Gating::Open,
            Some(Lit::Until(_) | Lit::Dark | Lit::Over(_)) | None => Gating::Dark,
        }
    }

    /// The routers whose leases have run out since this was last asked.
    pub(crate) fn run_out(&mut self) -> Vec<Gate> {
        let mut gates = Vec::new();
        for fitted in self.fitted.values_mut() {
            if let (Lit::Until(end), Some(lease)) = (fitted.lit, fitted.gate.lease)
                && end <= self.now
            {
                fitted.lit = Lit::Over(lease.term);
                gates.push(fitted.gate.clone());
            }
        }
        gates
    }

    /// An advert leaves.
    pub(crate) fn extend(&mut self, vrid: u8, priority: u8, family: Family) {
        for fitted in self.fitted.values_mut() {
            let Some(lease) = fitted.gate.lease else { continue };
            let counts = lease.vrid.get() == vrid && priority > 0 && fitted.gate.router.family == family;
            if let Lit::Until(end) = &mut fitted.lit
                && counts
                && self.now < *end
            {
                *end = self.now + lease.extension;
            }
        }
    }

    /// Whether anything passes on a virtual router's own link.
    pub(crate) fn pass_own(&self, link: LinkIndex) -> bool {
        let own = |fitted: &&Fitted| fitted.gate.virtual_link.is_some_and(|own| own.link == link);
        self.fitted.values().filter(own).any(|fitted| self.state(fitted.gate.router) == Gating::Open)
    }

    /// Whether packets for an address that answers are for the machine itself.
    pub(crate) fn accept(&self, address: IpAddr) -> bool {
        let has = |fitted: &&Fitted| fitted.gate.places.iter().any(|place| place.net.address() == address);
        let refused = self.fitted.values().filter(has).any(|fitted| !fitted.gate.accept);
        !refused && self.fitted.values().filter(has).any(|f| self.state(f.gate.router) == Gating::Open)
    }

    /// Whether IP (and, if asked, ARP and ND) passes for an address.
    pub(crate) fn pass(&self, address: IpAddr, arp: bool) -> bool {
        let has = |fitted: &&Fitted| fitted.gate.places.iter().any(|place| place.net.address() == address);
        let rank = |fitted: &&Fitted| match fitted.gate.passage {
            Passage::Shut => 0,
            Passage::FramesOnly => 1,
            Passage::Open => 2,
        };
        let Some(fitted) = self.fitted.values().filter(has).max_by_key(rank) else { return true };
        self.state(fitted.gate.router) == Gating::Open && !(arp && fitted.gate.passage == Passage::FramesOnly)
    }
}
