//! The instances among themselves: two must not claim one identity, one name or one address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::codes::Code;
use crate::config::addresses::is_link_local;
use crate::config::instance::Instance;
use crate::config::problem::{At, Findings};
use crate::config::statics::Statics;
use crate::engine::path::{Path, PathKey};
use crate::engine::settings;
use crate::net::{Family, Vrid};

/// Notes what two instances cannot both have.
pub(super) fn agree(instances: &[Instance], findings: &Findings) {
    identities(instances, findings);
    addresses(instances, findings);
    virtual_links(instances, findings);
}

/// What is static belongs to no instance.
pub(super) fn apart(instances: &[Instance], statics: &Statics, findings: &Findings) {
    let own: BTreeMap<IpAddr, &str> = instances
        .iter()
        .flat_map(|i| i.addresses.list.iter().map(|at| (at.value.address(), i.name.value.as_str())))
        .collect();
    for at in &statics.addresses {
        let address = at.value.address();
        if let Some(name) = own.get(&address).filter(|_| !is_link_local(address)) {
            let what =
                format!("instance '{name}' has {address}, which is here only while it is master; remove one");
            findings.error(&at.spot, Code::SameAddress, what);
        }
    }
    let of_instances =
        instances.iter().map(|i| (i.name.value.as_str(), i.paths.as_deref().unwrap_or_default()));
    paths(of_instances.chain([("static", statics.paths.as_slice())]), findings);
}

/// Two with one key would be one to the kernel, and go with the first that goes.
fn paths<'i>(all: impl Iterator<Item = (&'i str, &'i [At<settings::Path>])>, findings: &Findings) {
    let mut seen: BTreeMap<PathKey, &str> = BTreeMap::new();
    for (name, list) in all {
        for at in list {
            let Some(other) = seen.insert(at.value.path.key(), name) else { continue };
            let what = match &at.value.path {
                Path::Route(_) => format!(
                    "'{other}' has a route to this network in this table already; write another 'metric', or remove one"
                ),
                Path::Rule(_) => format!("'{other}' has this rule already; remove one"),
            };
            findings.error(&at.spot, Code::SamePath, what);
        }
    }
}

/// What tells one virtual router from another on this host.
type Identity<'i> = (&'i str, Family, Vrid, Option<IpAddr>);

fn identities(instances: &[Instance], findings: &Findings) {
    let mut seen: BTreeMap<Identity<'_>, &str> = BTreeMap::new();
    for instance in instances {
        let (Some(interface), Some(vrid)) = (&instance.interface, &instance.vrid) else { continue };
        if instance.unicast.as_ref().is_some_and(|unicast| !unicast.value.whole) {
            continue;
        }
        for family in instance.families() {
            let sources = instance.unicast.iter().flat_map(|unicast| &unicast.value.sources);
            let source = sources.map(|at| at.value).find(|source| Family::of(*source) == family);
            let identity = (interface.value.as_str(), family, vrid.value, source);
            let Some(other) = seen.insert(identity, &instance.name.value) else { continue };
            let what = format!(
                "instance '{other}' has virtual router id {} on {} for {family} already; write another",
                vrid.value, interface.value
            );
            findings.error(&vrid.spot, Code::SameRouter, what);
            break;
        }
    }
}

/// Names of links are the host's, and so is a virtual router's Ethernet address on an interface.
fn virtual_links(instances: &[Instance], findings: &Findings) {
    let (mut names, mut macs) = (BTreeMap::new(), BTreeMap::new());
    for instance in instances {
        let (Some(interface), Some(vrid)) = (&instance.interface, &instance.vrid) else { continue };
        let Some(at) = &instance.virtual_mac else { continue };
        for (family, name) in instance.virtual_links() {
            let known = names.insert(name.clone(), &instance.name.value);
            let mac = macs.insert((&interface.value, family, vrid.value), &instance.name.value);
            let what = match (mac, known) {
                (Some(other), _) => format!(
                    "instance '{other}' has the virtual MAC of {} on {} for {family} already; write another \
                     virtual router id",
                    vrid.value, interface.value
                ),
                (None, Some(other)) => format!(
                    "instance '{other}' has a link called '{name}' already; write for example \
                     'virtual_mac: {{ name: {} }}'",
                    example(&instance.name.value)
                ),
                (None, None) => continue,
            };
            findings.error(&at.spot, Code::NameTaken, what);
            break;
        }
    }
}

/// A name that is short enough for two links.
fn example(instance: &str) -> String {
    format!("v-{}", instance.chars().filter(char::is_ascii).take(11).collect::<String>())
}

fn addresses(instances: &[Instance], findings: &Findings) {
    let mut seen: BTreeMap<(IpAddr, &str), &str> = BTreeMap::new();
    for instance in instances {
        for at in &instance.addresses.list {
            let address = at.value.address();
            // fe80::1 on two links is two addresses.
            let link = if is_link_local(address) {
                let own = instance.interface.as_ref().map_or("", |at| &at.value);
                at.value.interface.as_deref().unwrap_or(own)
            } else {
                ""
            };
            if let Some(other) = seen.insert((address, link), &instance.name.value) {
                let what =
                    format!("instance '{other}' has {address} already; an address moves with one instance");
                findings.error(&at.spot, Code::SameAddress, what);
            }
        }
    }
}
