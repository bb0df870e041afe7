//! The interfaces themselves: whether they are there, have an address to send from and room for the adverts, and whether
//! multicast gets through.

use std::fs;
use std::net::{IpAddr, Ipv6Addr};

use super::finding::{Finding, Obstacle};
use super::scene::Scene;
use crate::agent::report::Role;
use crate::codes::Code;
use crate::engine::settings::Instance;
use crate::net::Family;
use crate::wire::vrrp::most_addresses;

/// Looks at the interface of each instance.
pub(super) fn look(scene: &Scene) -> Vec<Finding> {
    if let Err(error) = &scene.kernel {
        let what = format!("the kernel does not list its interfaces: {error}");
        return vec![Finding::unseen(Code::LinkMissing, "interfaces", Obstacle::Failed, what)];
    }
    let mut found = Vec::new();
    for instance in scene.instances() {
        found.push(there(scene, instance));
        if scene.link(&instance.interface).is_some() {
            found.push(room(scene, instance));
            found.extend(instance.families().filter_map(|family| joined(scene, instance, family)));
            found.extend(snooped(instance));
        }
    }
    found
}

fn there(scene: &Scene, instance: &Instance) -> Finding {
    let (code, name, interface) = (Code::LinkMissing, &instance.name, &instance.interface);
    let Some(link) = scene.link(interface) else {
        let what = format!("there is no interface {interface}");
        return Finding::problem(code, name, what).remedy("ip -brief link");
    };
    if !link.set_up {
        let what = format!("interface {interface} is down");
        return Finding::problem(code, name, what).remedy(format!("ip link set {interface} up"));
    }
    if !link.up {
        return Finding::problem(code, name, format!("interface {interface} has no carrier"))
            .remedy(format!("ethtool {interface}"));
    }
    let mute = instance
        .families()
        .find(|family| instance.source(*family).is_none() && scene.own_address(interface, *family).is_none());
    match mute {
        Some(family) => {
            let what = format!("{interface} has no {family} address of its own to send adverts from");
            Finding::problem(code, name, what)
                .remedy(format!("ip address add ADDRESS/PREFIX dev {interface}"))
        }
        None => Finding::good(code, name, format!("interface {interface} is up, with an address of its own")),
    }
}

/// Adverts are not taken apart: what does not fit is not listed, which peers may take for another configuration.
fn room(scene: &Scene, instance: &Instance) -> Finding {
    let (code, name) = (Code::Mtu, &instance.name);
    let mtu = scene.link(&instance.interface).map_or(0, |link| link.mtu);
    let remedy = format!("ip link set {} mtu 1500", instance.interface);
    if instance.families().any(|family| family == Family::Ipv6) && mtu < 1280 {
        let what = format!("the MTU is {mtu}; IPv6 needs 1280");
        return Finding::problem(code, name, what).remedy(remedy);
    }
    for family in instance.families() {
        let listed = instance.addresses.iter().filter(|one| one.advertised && one.family() == family).count();
        let most = most_addresses(family, instance.version, mtu, instance.signs());
        if listed > most {
            let what = format!("{most} of {listed} {family} addresses fit into an advert at an MTU of {mtu}");
            return Finding::advice(code, name, what).remedy(remedy);
        }
    }
    Finding::good(code, name, format!("the MTU is {mtu}, enough for its adverts"))
}

/// Whether the agent is in the group; without one nobody has to be.
fn joined(scene: &Scene, instance: &Instance, family: Family) -> Option<Finding> {
    let report = scene.report.as_ref()?.instance(&instance.name)?;
    if instance.unicast.is_some() || matches!(report.state, Role::Fault | Role::Init) {
        return None;
    }
    let (code, name, group) = (Code::NotJoined, &instance.name, instance.group(family));
    let is_in = match group {
        IpAddr::V4(group) => {
            let text = fs::read_to_string("/proc/net/igmp").unwrap_or_default();
            // As the kernel keeps it in memory, so the bytes are those of this machine.
            groups_of(&text, &instance.interface)
                .any(|one| one == format!("{:08X}", u32::from_ne_bytes(group.octets())))
        }
        IpAddr::V6(group) => {
            let text = fs::read_to_string("/proc/net/igmp6").unwrap_or_default();
            let hex = format!("{:032x}", group.to_bits());
            text.lines().any(|line| {
                let words: Vec<_> = line.split_whitespace().collect();
                words.get(1) == Some(&instance.interface.as_str()) && words.get(2) == Some(&hex.as_str())
            })
        }
    };
    Some(if is_in {
        Finding::good(code, name, format!("it listens to {group} on {}", instance.interface))
    } else {
        let what = format!("nobody on this host listens to {group} on {}", instance.interface);
        Finding::problem(code, name, what).remedy("systemctl restart vipd")
    })
}

/// The groups of one interface in `/proc/net/igmp`: a line for it, and one below for each group.
fn groups_of<'t>(text: &'t str, interface: &'t str) -> impl Iterator<Item = &'t str> {
    let mut here = false;
    text.lines().filter_map(move |line| {
        if line.starts_with(|c: char| c.is_ascii_digit()) {
            here = line.split_whitespace().nth(1) == Some(interface);
            return None;
        }
        here.then(|| line.split_whitespace().next()).flatten()
    })
}

/// A bridge that looks who is in which group forgets all of them when nobody asks. The groups of 224.0.0.0/24 are flooded.
fn snooped(instance: &Instance) -> Option<Finding> {
    if instance.unicast.is_some() {
        return None;
    }
    let flooded = |group: IpAddr| match group {
        IpAddr::V4(group) => group.octets()[..3] == [224, 0, 0],
        IpAddr::V6(group) => group == Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
    };
    let group = instance.families().map(|family| instance.group(family)).find(|group| !flooded(*group))?;
    let bridge = bridge_of(&instance.interface)?;
    let read = |key: &str| fs::read_to_string(format!("/sys/class/net/{bridge}/bridge/{key}")).ok();
    let on = |key: &str| read(key).map(|value| value.trim() != "0");
    let (code, name) = (Code::Snooping, &instance.name);
    Some(match (on("multicast_snooping")?, on("multicast_querier")?) {
        (true, false) => {
            let what = format!(
                "bridge {bridge} snoops and asks nobody who is in {group}; without another querier it stops passing it on"
            );
            let remedy = format!("ip link set {bridge} type bridge mcast_querier 1");
            Finding::advice(code, name, what).remedy(remedy)
        }
        _ => Finding::good(code, name, format!("bridge {bridge} passes {group} on")),
    })
}

/// The bridge that the interface is, or is a port of.
fn bridge_of(interface: &str) -> Option<String> {
    let at = format!("/sys/class/net/{interface}");
    if fs::metadata(format!("{at}/bridge")).is_ok() {
        return Some(interface.to_owned());
    }
    let master = fs::read_link(format!("{at}/brport/bridge")).ok()?;
    Some(master.file_name()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_of_an_interface_are_those_below_its_line() {
        let text = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
                    1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
                    2\teth0      :     2      V3\n\t\t\t\t120000E0     1 0:00000000\t\t0\n\
                    \t\t\t\t010000E0     1 0:00000000\t\t0\n";
        assert_eq!(groups_of(text, "eth0").collect::<Vec<_>>(), ["120000E0", "010000E0"]);
        assert_eq!(groups_of(text, "eth1").count(), 0);
    }
}
