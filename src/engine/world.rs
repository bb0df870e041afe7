//! What all instances look at: links, verdicts, sockets, the virtual routers' own links.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::action::{Action, KernelWork, Pace, Share};
use super::event::Link;
use super::links::Links;
use super::settings::AnnounceLimit;
use super::sockets::Sockets;
use super::verdicts::Verdicts;
use super::virtual_links::VirtualLinks;
use crate::net::LinkIndex;
use crate::time::WallClock;

/// The engine's view of everything but its own instances.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    /// Whether the kernel's picture has arrived; before, nothing is known to be missing.
    pub(super) seen: bool,
    /// Why there will be no picture for now.
    pub(super) excluded: Option<String>,
    pub(super) links: Links,
    pub(super) verdicts: Verdicts,
    pub(super) sockets: Sockets,
    pub(super) virtual_links: VirtualLinks,
    /// What the wall clock shows, for signatures alone.
    pub(super) wall: WallClock,
    /// Addresses that a reload or a restart moved from one instance to another.
    pub(super) moved: BTreeSet<IpAddr>,
    /// How fast announcements may go out, as configured.
    pub(super) limits: Vec<AnnounceLimit>,
    /// The same by link, as it was told last.
    pub(super) paces: BTreeMap<LinkIndex, Pace>,
}

impl World {
    /// Says how fast announcements may go out on which link, if that changed.
    pub(super) fn pace(&mut self, out: &mut Vec<Action>) {
        let paced = self.links.all().filter_map(|link| Some((link.index, self.pace_of(link)?)));
        let paces: BTreeMap<_, _> = paced.collect();
        if self.paces != paces {
            self.paces.clone_from(&paces);
            out.push(Action::Kernel(KernelWork::Pace(paces)));
        }
    }

    fn pace_of(&self, link: &Link) -> Option<Pace> {
        // What a virtual router's own link says leaves by the one below it.
        let link = link.virtual_link.and_then(|own| self.links.get(own.below)).unwrap_or(link);
        let names =
            |limit: &AnnounceLimit| limit.interfaces.as_ref().is_some_and(|all| all.contains(&link.name));
        let named = self.limits.iter().position(names).map(|at| (at, Share::Limit(at)));
        let others = || self.limits.iter().position(|limit| limit.interfaces.is_none());
        let (at, share) = named.or_else(|| Some((others()?, Share::Link(link.index))))?;
        let gap = self.limits.get(at)?.interval;
        Some(Pace { share, gap })
    }
}
