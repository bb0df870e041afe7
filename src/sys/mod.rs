//! Floor 4: Linux, through safe wrappers only. Nothing here decides anything: bytes, calls and the errors that
//! come of them, turned into the engine's nouns.
//!
//! | module | what it is | whose thread |
//! |---|---|---|
//! | [`clock`] | the one clock, receive stamps, the deadline timer | protocol |
//! | [`vrrp_socket`] | raw sockets of protocol 112 | protocol; opened and closed by route |
//! | [`claims`] | what others say by ARP and Neighbor Advertisement | protocol |
//! | [`monitor`] | what the kernel reports about links and addresses | protocol |
//! | [`local_routes`] | what the kernel accepts, and when it no longer does | both |
//! | [`netlink`] | requests to the kernel and its answers | route |
//! | [`nftables`] | what addresses may answer, and for how long | gate |
//! | [`address`] | installing and removing addresses, and knowing ours from others' | route |
//! | [`virtual_link`] | links with a virtual router's own Ethernet address | route |
//! | `devconf` | a link's own settings | route |
//! | `secondaries` | the operator's addresses in the network of one of ours | route |
//! | [`picture`] | links and addresses, read from netlink messages | both |
//! | [`onlooking`] | frames as they pass, in and out | none: `vipctl capture` |
//! | `filter` | which packets a socket does not even queue | both |
//! | [`capabilities`] | what the agent may do, and children must not inherit | the first one |
//! | [`handed`] | sockets on their way to the next program | the first one |
//! | [`frames`] | gratuitous ARP and unsolicited Neighbor Advertisements on their way out | route |

pub mod address;
pub mod capabilities;
pub mod claims;
pub mod clock;
mod devconf;
mod filter;
pub mod frames;
pub mod handed;
pub mod local_routes;
pub mod monitor;
pub mod netlink;
pub mod nftables;
pub mod onlooking;
pub mod paths;
pub mod picture;
pub mod realtime;
mod secondaries;
pub mod virtual_link;
pub mod vrrp_socket;

use nix::net::if_::if_indextoname;

use crate::net::LinkIndex;

/// What operators call a link: its name, or `link 7` when it has none any more.
pub fn name_of(link: LinkIndex) -> String {
    match if_indextoname(link.0) {
        // nix takes the null pointer of a missing link for an empty name.
        Ok(name) if !name.is_empty() => name.to_string_lossy().into_owned(),
        Ok(_) | Err(_) => format!("link {link}"),
    }
}
