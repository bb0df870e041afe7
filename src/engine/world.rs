//! What all instances look at: links, verdicts, sockets.

use alloc::collections::BTreeSet;
use alloc::string::String;
use core::net::IpAddr;

use super::links::Links;
use super::sockets::Sockets;
use super::verdicts::Verdicts;

/// The engine's view of everything but its own instances.
#[derive(Debug, Default)]
pub(super) struct World {
    /// Whether the kernel's picture has arrived; before, nothing is known to be missing.
    pub(super) seen: bool,
    /// Why there will be no picture for now.
    pub(super) excluded: Option<String>,
    pub(super) links: Links,
    pub(super) verdicts: Verdicts,
    pub(super) sockets: Sockets,
    /// Addresses that a reload or a restart moved from one instance to another.
    pub(super) moved: BTreeSet<IpAddr>,
}
