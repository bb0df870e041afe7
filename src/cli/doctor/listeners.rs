//! Services that listen on a virtual address: on a backup, where it is not, they can only if the kernel lets them.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::finding::{Finding, Obstacle};
use super::scene::{Scene, sysctl};
use crate::codes::Code;
use crate::engine::settings::Address;
use crate::net::Family;

/// Looks at who listens on the addresses, and whether that would work where they are not.
pub(super) fn look(scene: &Scene) -> Vec<Finding> {
    [Family::Ipv4, Family::Ipv6].into_iter().filter_map(|family| of_family(scene, family)).collect()
}

fn of_family(scene: &Scene, family: Family) -> Option<Finding> {
    let all = scene.instances().iter().flat_map(|instance| &instance.addresses);
    let addresses: BTreeSet<IpAddr> =
        all.filter(|one| one.family() == family).map(Address::address).collect();
    if addresses.is_empty() {
        return None;
    }
    let (code, about) = (Code::CannotBind, family.as_str());
    let key = match family {
        Family::Ipv4 => "net/ipv4/ip_nonlocal_bind",
        Family::Ipv6 => "net/ipv6/ip_nonlocal_bind",
    };
    let Some(allowed) = sysctl(key) else {
        return Some(Finding::unseen(code, about, Obstacle::Absent, format!("{key} cannot be read")));
    };
    let name = key.replace('/', ".");
    if allowed != 0 {
        return Some(Finding::good(
            code,
            about,
            format!("{name} is {allowed}: services can listen on a backup"),
        ));
    }
    let mut listening: BTreeSet<(IpAddr, u16)> = BTreeSet::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        listening.extend(text.lines().skip(1).filter_map(|line| listener(line, table.starts_with("tcp"))));
    }
    let bound = listening.iter().filter(|(address, _)| addresses.contains(address));
    let bound: Vec<_> = bound.map(|(address, port)| format!("{address} port {port}")).collect();
    Some(if bound.is_empty() {
        Finding::good(code, about, format!("nobody listens on a virtual address alone; {name} is 0"))
    } else {
        let what = format!(
            "{name} is 0, and somebody listens on {}: that service does not start where the address is not",
            bound.join(", ")
        );
        Finding::advice(code, about, what).remedy(format!("sysctl -w {name}=1"))
    })
}

/// Where a line of `/proc/net/tcp` or `udp` listens.
fn listener(line: &str, tcp: bool) -> Option<(IpAddr, u16)> {
    let words: Vec<_> = line.split_whitespace().collect();
    let (local, state) = (words.get(1)?, words.get(3)?);
    // TCP_LISTEN, and a UDP socket that is not connected.
    if *state != if tcp { "0A" } else { "07" } {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Words of 32 bits as this machine keeps them.
    let mut bytes = Vec::new();
    for at in (0..address.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let four = <[u8; 4]>::try_from(bytes.as_slice()).map(|bytes| IpAddr::from(Ipv4Addr::from(bytes)));
    let address =
        four.or_else(|_| <[u8; 16]>::try_from(bytes.as_slice()).map(|b| IpAddr::from(Ipv6Addr::from(b))));
    Some((address.ok()?.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_read_from_its_line() {
        let line =
            "   0: 0A0200C0:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1";
        if cfg!(target_endian = "little") {
            assert_eq!(listener(line, true), Some(("192.0.2.10".parse().unwrap(), 80)));
        }
        assert_eq!(listener(&line.replace(" 0A ", " 01 "), true), None, "connected");
        for noise in ["", "a b c d", "0: xx:yy 0 0A", "0: 0:0 0 0A"] {
            assert_eq!(listener(noise, true), None, "{noise}");
        }
    }
}
