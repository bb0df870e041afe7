//! The kernel's own settings: which packets it drops as forged, what it answers by ARP, and what becomes of IPv6.

use super::finding::{Finding, Obstacle};
use super::scene::{Scene, sysctl};
use crate::codes::Code;
use crate::engine::event::Picture;
use crate::net::Family;

/// Looks at every interface that adverts travel on.
pub(super) fn look(scene: &Scene) -> Vec<Finding> {
    let mut found = Vec::new();
    for interface in scene.interfaces() {
        let four = scene.speaks(interface, Family::Ipv4);
        let six = scene.speaks(interface, Family::Ipv6);
        if four {
            found.push(reverse_path(scene, interface));
            found.push(arp_ignore(scene, interface));
            found.push(arp_announce(scene, interface));
        }
        if six {
            found.push(no_ipv6(interface));
            found.push(accept_dad(interface));
        }
    }
    found
}

/// The greater of what all interfaces have and what this one has is in force.
fn highest(interface: &str, key: &str) -> Option<u32> {
    let own = sysctl(&format!("net/ipv4/conf/{interface}/{key}"))?;
    Some(own.max(sysctl(&format!("net/ipv4/conf/all/{key}"))?))
}

fn unread(code: Code, interface: &str, key: &str) -> Finding {
    let what = format!("{key} cannot be read; is there an interface of this name?");
    Finding::unseen(code, interface, Obstacle::Absent, what)
}

fn reverse_path(scene: &Scene, interface: &str) -> Finding {
    let code = Code::ReversePath;
    let Some(value) = highest(interface, "rp_filter") else { return unread(code, interface, "rp_filter") };
    if value != 1 {
        return Finding::good(code, interface, format!("rp_filter is {value}"));
    }
    let what = "rp_filter is 1: what would be answered by another interface is dropped, adverts included";
    let remedy = format!("sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.{interface}.rp_filter=2");
    match shared_network(scene, interface) {
        // Then the way back is chosen by chance, and half of everything is dropped.
        Some(other) => Finding::problem(code, interface, format!("{what}; {other} is in the same network"))
            .remedy(remedy),
        None => Finding::advice(code, interface, what).remedy(remedy),
    }
}

fn arp_ignore(scene: &Scene, interface: &str) -> Finding {
    let code = Code::ArpIgnore;
    let Some(value) = highest(interface, "arp_ignore") else { return unread(code, interface, "arp_ignore") };
    let remedy = format!("sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.{interface}.arp_ignore=1");
    match (value, shared_network(scene, interface)) {
        (8, _) => Finding::problem(code, interface, "arp_ignore is 8: no ARP request is answered at all")
            .remedy(remedy),
        (0, Some(other)) => {
            let what = format!(
                "arp_ignore is 0, and {other} is in the same network: it answers for the addresses, too"
            );
            Finding::advice(code, interface, what).remedy(remedy)
        }
        _ => Finding::good(code, interface, format!("arp_ignore is {value}")),
    }
}

fn arp_announce(scene: &Scene, interface: &str) -> Finding {
    let code = Code::ArpAnnounce;
    let Some(value) = highest(interface, "arp_announce") else {
        return unread(code, interface, "arp_announce");
    };
    match shared_network(scene, interface).filter(|_| value == 0) {
        Some(other) => {
            let what = format!(
                "arp_announce is 0, and {other} is in the same network: it asks with the addresses of this one"
            );
            let remedy =
                format!("sysctl -w net.ipv4.conf.all.arp_announce=2 net.ipv4.conf.{other}.arp_announce=2");
            Finding::advice(code, interface, what).remedy(remedy)
        }
        None => Finding::good(code, interface, format!("arp_announce is {value}")),
    }
}

fn no_ipv6(interface: &str) -> Finding {
    let code = Code::Ipv6Off;
    match sysctl(&format!("net/ipv6/conf/{interface}/disable_ipv6")) {
        Some(0) => Finding::good(code, interface, "IPv6 is on"),
        Some(_) => {
            Finding::problem(code, interface, "disable_ipv6 is 1, and there are IPv6 addresses to hold")
                .remedy(format!("sysctl -w net.ipv6.conf.{interface}.disable_ipv6=0"))
        }
        None => unread(code, interface, "disable_ipv6"),
    }
}

fn accept_dad(interface: &str) -> Finding {
    let code = Code::AcceptDad;
    // Both have to ask for it (net/ipv6/addrconf.c).
    let read = |name: &str| sysctl(&format!("net/ipv6/conf/{name}/accept_dad"));
    match (read(interface), read("all")) {
        (Some(own), Some(all)) if own.max(all) > 1 => {
            let what = format!(
                "accept_dad is {}: one duplicate of the interface's own address turns IPv6 off here",
                own.max(all)
            );
            let remedy =
                format!("sysctl -w net.ipv6.conf.all.accept_dad=1 net.ipv6.conf.{interface}.accept_dad=1");
            Finding::advice(code, interface, what).remedy(remedy)
        }
        (Some(own), Some(_)) => Finding::good(code, interface, format!("accept_dad is {own}")),
        _ => unread(code, interface, "accept_dad"),
    }
}

/// Another interface that is up with an address in a network of this one.
fn shared_network<'s>(scene: &'s Scene, interface: &str) -> Option<&'s str> {
    let picture: &Picture = scene.kernel.as_ref().ok()?;
    let link = scene.link(interface)?.index;
    let four =
        |address: &&crate::engine::event::LinkAddress| address.net.family() == Family::Ipv4 && !address.ours;
    let here = || picture.addresses.iter().filter(four).filter(|address| address.link == link);
    let other = picture.addresses.iter().filter(four).find(|other| {
        other.link != link && here().any(|own| own.net.prefix() < 32 && own.net.contains(other.net.address()))
    })?;
    let at = picture.links.iter().find(|one| one.index == other.link && one.virtual_link.is_none())?;
    Some(&at.name)
}
