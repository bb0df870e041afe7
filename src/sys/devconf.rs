//! A link's own settings (`/proc/sys/net/ipv4/conf/NAME`), set by netlink: the agent's sandbox cannot write to
//! `/proc/sys`, but reads it.

use std::fs;

use netlink_packet_core::{DefaultNla, Emitable as _, NLA_F_NESTED};
use netlink_packet_route::link::{AfSpecInet, AfSpecUnspec};

use super::name_of;
use crate::net::LinkIndex;

/// An IPv4 setting of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// Whether a packet is dropped because an answer to its sender would leave by another link: 2 if no link would do.
    ReversePathFilter,
    /// Which of the host's addresses ARP is answered for: 1, those of the link that was asked.
    ArpIgnore,
    /// Whether the second address of a network stays when the first is removed.
    PromoteSecondaries,
}

impl Setting {
    /// Its number among the kernel's `IPV4_DEVCONF_*`.
    const fn number(self) -> u16 {
        match self {
            Self::ReversePathFilter => 8,
            Self::ArpIgnore => 19,
            Self::PromoteSecondaries => 20,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::ReversePathFilter => "rp_filter",
            Self::ArpIgnore => "arp_ignore",
            Self::PromoteSecondaries => "promote_secondaries",
        }
    }

    /// What a link has, by itself.
    pub(super) fn read(self, link: LinkIndex) -> Option<u32> {
        self.read_named(&name_of(link))
    }

    /// What all links have at least.
    pub(super) fn read_all(self) -> Option<u32> {
        self.read_named("all")
    }

    fn read_named(self, name: &str) -> Option<u32> {
        let key = format!("/proc/sys/net/ipv4/conf/{name}/{}", self.name());
        fs::read_to_string(key).ok()?.trim().parse().ok()
    }
}

/// The attribute that gives a link these settings.
pub(super) fn attribute(settings: &[(Setting, u32)]) -> AfSpecUnspec {
    let mut bytes = Vec::new();
    for (setting, value) in settings {
        let attribute = DefaultNla::new(setting.number(), value.to_ne_bytes().to_vec());
        let at = bytes.len();
        bytes.resize(at + attribute.buffer_len(), 0);
        attribute.emit(&mut bytes[at..]);
    }
    AfSpecUnspec::Inet(vec![AfSpecInet::Other(DefaultNla::new(IFLA_INET_CONF | NLA_F_NESTED, bytes))])
}

const IFLA_INET_CONF: u16 = 1;
