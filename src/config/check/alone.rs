//! One instance by itself: whether its keys agree with each other, above all with its version of VRRP.

use std::net::IpAddr;

use crate::codes::Code;
use crate::config::authentication::Authentication;
use crate::config::duration;
use crate::config::hmac::Mode;
use crate::config::instance::Instance;
use crate::config::problem::{At, Findings};
use crate::engine::settings::{Address, Adverts};
use crate::net::Family;
use crate::time::Duration;
use crate::wire::vrrp::{AdvertInterval, Version};

/// Notes what contradicts itself within one instance.
pub(super) fn agree(instance: &Instance, findings: &Findings) {
    if let Some(version) = &instance.version {
        interval(instance, version.value, findings);
        families(instance, version.value, findings);
        authentication(instance, version.value, findings);
        checksum(instance, version.value, findings);
    }
    bare(instance, findings);
    priority_file(instance, findings);
    preempt(instance, findings);
    last_resort(instance, findings);
    multicast(instance, findings);
    unicast(instance, findings);
    virtual_mac(instance, findings);
    carrier(instance, findings);
}

fn interval(instance: &Instance, version: Version, findings: &Findings) {
    let Some(interval) = &instance.interval else { return };
    if AdvertInterval::new(version, interval.value).is_ok() {
        return;
    }
    let remedy = match version {
        Version::V2 => "version 2 has whole seconds, write 1s to 255s",
        Version::V3 => "version 3 has multiples of 10ms, write 10ms to 40.95s",
    };
    let shown = duration::shown(interval.value);
    findings.error(&interval.spot, Code::Interval, format!("{shown} is no advert interval; {remedy}"));
}

fn families(instance: &Instance, version: Version, findings: &Findings) {
    if version == Version::V3 {
        return;
    }
    let six = |at: &&At<Address>| at.value.advertised && at.value.family() == Family::Ipv6;
    for address in instance.addresses.list.iter().filter(six) {
        let what =
            format!("{} is IPv6, which version 2 does not have; write 'version: 3'", address.value.address());
        findings.error(&address.spot, Code::OtherVersion, what);
    }
    if let Some(at) = instance.family.as_ref().filter(|at| at.value == Family::Ipv6) {
        findings.error(&at.spot, Code::OtherVersion, "version 2 has no IPv6; write ipv4, or 'version: 3'");
    }
}

/// Adverts that list no address belong to one family or the other, which nothing else says.
fn bare(instance: &Instance, findings: &Findings) {
    let Some(spot) = instance.addresses.spot.as_ref().filter(|_| instance.addresses.whole) else { return };
    match &instance.family {
        Some(at) if instance.addresses.are_advertised() => {
            findings.error(
                &at.spot,
                Code::NothingToDo,
                "the addresses that are advertised say it; remove this",
            );
        }
        None if !instance.addresses.are_advertised() => {
            let what = "no address in it is advertised; write one that is, or beside it the family of adverts without any, \
                        'family: ipv4' or 'family: ipv6', on all nodes";
            findings.error(spot, Code::OneOf, what);
        }
        Some(_) | None => {}
    }
    let virtual_mac = instance.virtual_mac.as_ref().filter(|at| at.value.is_some());
    if let Some(at) = virtual_mac.filter(|_| instance.addresses.list.is_empty()) {
        findings.error(&at.spot, Code::NothingToDo, "there is no address for links of its own; remove this");
    }
}

fn authentication(instance: &Instance, version: Version, findings: &Findings) {
    let Some(authentication) = &instance.authentication else { return };
    if let Authentication::Hmac(hmac) = &authentication.value {
        if hmac.mode.value != Mode::Enforce {
            let what = "adverts that are not signed count as well, whoever sends them; write enforce once all nodes sign";
            findings.warn(&hmac.mode.spot, Code::UnsignedAccepted, what);
        }
    } else if version == Version::V3 {
        let what = "version 3 has no password; write 'type: hmac', or 'version: 2'";
        findings.error(&authentication.spot, Code::OtherVersion, what);
    } else {
        let what =
            "the password travels in clear in every advert: it keeps a misconfigured router out, no attacker";
        findings.warn(&authentication.spot, Code::InClear, what);
    }
}

fn checksum(instance: &Instance, version: Version, findings: &Findings) {
    let Some((form, true)) = &instance.checksum else { return };
    if version == Version::V2 {
        findings.error(
            &form.spot,
            Code::OtherVersion,
            "version 2 has one form of checksum only; remove this",
        );
    } else if instance.addresses.whole && !instance.speaks(Family::Ipv4) {
        findings.error(&form.spot, Code::OtherFamily, "IPv6 has one form of checksum only; remove this");
    }
}

/// Another number counts than the operator means, until the file is right.
fn priority_file(instance: &Instance, findings: &Findings) {
    let (Some((path, read)), Some(priority)) = (&instance.priority_file, &instance.priority) else { return };
    if let Err(why) = read {
        findings.warn(
            &path.spot,
            Code::NamedFile,
            format!("{why}; until then the priority is {}", priority.value),
        );
    } else if priority.value.is_owner() {
        findings.error(
            &path.spot,
            Code::Owner,
            "an owner's priority is 255 and does not change; remove one of the two",
        );
    }
}

/// A link of its own has no carrier when the interface below has none.
fn carrier(instance: &Instance, findings: &Findings) {
    let (Some(follow), Some(virtual_mac)) = (&instance.follow_interface, &instance.virtual_mac) else {
        return;
    };
    if !follow.value && virtual_mac.value.is_some() {
        let what =
            "links with a virtual MAC lose their carrier with the interface; remove this, or 'virtual_mac'";
        findings.error(&follow.spot, Code::Contradiction, what);
    }
}

fn preempt(instance: &Instance, findings: &Findings) {
    let Some(preempt) = &instance.preempt else { return };
    if let Some(delay) = instance.preempt_delay.as_ref().filter(|_| !preempt.value) {
        findings.error(
            &delay.spot,
            Code::Contradiction,
            "there is nothing to delay with 'preempt: false'; remove one of them",
        );
    }
    if instance.priority.as_ref().is_some_and(|priority| priority.value.is_owner()) {
        let delayed = instance.preempt_delay.as_ref().filter(|delay| delay.value > Duration::ZERO);
        // RFC 9568, 6.1: the owner preempts whatever Preempt_Mode says.
        let spot = if preempt.value { delayed.map(|delay| &delay.spot) } else { Some(&preempt.spot) };
        if let Some(spot) = spot {
            findings.warn(
                spot,
                Code::NoEffect,
                "with priority 255, the owner's, it takes over at once in any case",
            );
        }
    }
}

/// Where adverts come from and go to: in a family that there is, and no virtual address.
fn places(instance: &Instance, list: &[At<IpAddr>], what: &str, findings: &Findings) {
    for at in list {
        let family = Family::of(at.value);
        let virtual_one = instance.addresses.list.iter().any(|address| address.value.address() == at.value);
        if !instance.speaks(family) {
            let what = if instance.addresses.are_advertised() {
                format!("an {family} {what}, but no {family} address under 'addresses'; remove it")
            } else {
                format!("an {family} {what}, but 'family' is another; remove it")
            };
            findings.error(&at.spot, Code::OtherFamily, what);
        } else if virtual_one {
            let what =
                format!("{} is a virtual address; write the address that always stays on the host", at.value);
            findings.error(&at.spot, Code::VirtualSource, what);
        }
    }
}

/// The lowest priority is what tells a last resort from everybody else.
fn last_resort(instance: &Instance, findings: &Findings) {
    let Some(at) = instance.last_resort.as_ref().filter(|at| at.value) else { return };
    let Some(priority) = instance.priority.as_ref() else { return };
    if priority.value.is_owner() {
        findings.error(
            &at.spot,
            Code::Owner,
            "an owner's priority is 255 and does not change; remove one of the two",
        );
    } else if priority.value.get() == 1 {
        let what =
            "priority 1 is a last resort's, which a healthy node could not be told from; write 2 or more";
        findings.error(&priority.spot, Code::Contradiction, what);
    }
}

fn multicast(instance: &Instance, findings: &Findings) {
    let Some(multicast) = &instance.multicast else { return };
    if instance.unicast.is_some() {
        findings.error(
            &multicast.spot,
            Code::Contradiction,
            "there is no multicast with 'unicast'; remove one of them",
        );
    } else if instance.addresses.whole {
        places(instance, &multicast.value.sources, "source", findings);
        places(instance, &multicast.value.groups, "group", findings);
    }
}

fn unicast(instance: &Instance, findings: &Findings) {
    let (Some(unicast), true) = (&instance.unicast, instance.addresses.whole) else { return };
    places(instance, &unicast.value.sources, "source", findings);
    places(instance, &unicast.value.peers, "peer", findings);
    if !unicast.value.whole {
        return;
    }
    for family in instance.families() {
        if !unicast.value.peers.iter().any(|peer| Family::of(peer.value) == family) {
            let what = if instance.addresses.has(family) {
                format!("there are {family} addresses but no {family} peer; write one under 'peers'")
            } else {
                format!("it speaks {family}, but there is no {family} peer; write one under 'peers'")
            };
            findings.error(&unicast.spot, Code::OtherFamily, what);
        }
    }
}

fn virtual_mac(instance: &Instance, findings: &Findings) {
    let Some(at) = &instance.virtual_mac else { return };
    let Some(virtual_mac) = &at.value else { return };
    if instance.priority.as_ref().is_some_and(|priority| priority.value.is_owner()) {
        let what = "the owner's addresses are the interface's own, with the interface's Ethernet address; remove this, \
                    or write another priority than 255";
        findings.error(&at.spot, Code::Owner, what);
    }
    if let (Some(unicast), Some(adverts)) = (&instance.unicast, &virtual_mac.adverts)
        && adverts.value == Adverts::Virtual
    {
        let what = format!(
            "adverts to named peers come from the interface, line {}; write 'interface', or remove this",
            unicast.spot.line
        );
        findings.error(&adverts.spot, Code::Contradiction, what);
    }
    for (_, link) in instance.virtual_links() {
        let spot = virtual_mac.name.as_ref().map_or(&at.spot, |name| &name.spot);
        if link.len() > LONGEST_NAME {
            let what = format!(
                "the IPv6 link would be called '{link}', which is longer than {LONGEST_NAME} bytes; write a shorter name"
            );
            findings.error(spot, Code::BadName, what);
        }
        if instance.interface.as_ref().is_some_and(|interface| interface.value == link) {
            findings.error(
                spot,
                Code::NameTaken,
                format!("'{link}' is the interface below; write another name"),
            );
        }
    }
}

/// What the kernel allows for an interface.
const LONGEST_NAME: usize = 15;
