//! What two nodes of a pair have to agree on, as one of them says it and the other compares it.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::scene::Scene;
use crate::agent::report::{Role, millis};
use crate::engine::settings::{self, AntiReplay};
use crate::net::Family;
use crate::wire::vrrp::{Authentication, Key, Sequence, Trailer, Version};

/// One node's side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    /// The version of its programs.
    pub(super) version: String,
    /// Whether its agent answers.
    pub(super) agent_running: bool,
    pub(super) instances: Vec<Instance>,
}

/// One instance of a node. What has to be the same is in `settings`, each by name, as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Instance {
    pub(super) name: String,
    pub(super) virtual_router_id: u8,
    pub(super) families: Vec<String>,
    /// The addresses that adverts list.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) state: Option<Role>,
    pub(super) priority: u8,
    /// Where its adverts come from, one a family.
    pub(super) sources: Vec<IpAddr>,
    /// Where they go if it speaks unicast.
    pub(super) peers: Option<Vec<IpAddr>>,
    pub(super) settings: Vec<(String, String)>,
    /// By how much the clocks may differ.
    pub(super) time_window_ms: Option<f64>,
}

/// What this node has to say.
pub(super) fn of(scene: &Scene) -> Facts {
    Facts {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        agent_running: scene.report.is_some(),
        instances: scene.instances().iter().map(|instance| instance_of(scene, instance)).collect(),
    }
}

fn instance_of(scene: &Scene, instance: &settings::Instance) -> Instance {
    let families: Vec<Family> = instance.families().collect();
    let source = |family: &Family| scene.source(instance, *family);
    let mut addresses: Vec<IpAddr> =
        instance.addresses.iter().filter(|one| one.advertised).map(settings::Address::address).collect();
    addresses.sort_unstable();
    let known = scene.report.as_ref().and_then(|report| report.instance(&instance.name));
    let window = instance.hmac.as_ref().and_then(|hmac| match hmac.anti_replay {
        AntiReplay::Time { window } => Some(millis(window)),
        AntiReplay::Monotonic => None,
    });
    Instance {
        name: instance.name.clone(),
        virtual_router_id: instance.vrid.get(),
        families: families.iter().map(|family| family.as_str().to_owned()).collect(),
        addresses,
        state: known.map(|known| known.state),
        priority: instance.priority.get(),
        sources: families.iter().filter_map(source).collect(),
        peers: instance
            .unicast
            .as_ref()
            .map(|unicast| unicast.peers.iter().map(|peer| peer.address).collect()),
        settings: same(scene, instance),
        time_window_ms: window,
    }
}

/// What has to be the same, by the key's name.
fn same(scene: &Scene, instance: &settings::Instance) -> Vec<(String, String)> {
    let version = match instance.version {
        Version::V2 => 2,
        Version::V3 => 3,
    };
    let mut all = vec![
        ("version", version.to_string()),
        ("advert_interval", format!("{} ms", millis(instance.interval))),
        ("missed_adverts", instance.missed_adverts.to_string()),
        ("authentication", secret(instance)),
        ("virtual_mac", if instance.virtual_mac.is_some() { "on" } else { "off" }.to_owned()),
    ];
    if instance.unicast.is_none() {
        let groups: Vec<_> = instance.families().map(|family| instance.group(family).to_string()).collect();
        all.push(("multicast group", groups.join(", ")));
    }
    if let Some(link) = scene.link(&instance.interface) {
        all.push(("MTU of the interface", link.mtu.to_string()));
    }
    all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What shows that two secrets differ, and next to nothing of the secrets: 16 bits of a digest.
fn secret(instance: &settings::Instance) -> String {
    let digest = |key: &Key| {
        let trailer =
            Trailer::sign(b"vipctl doctor", Ipv4Addr::UNSPECIFIED.into(), 1, key, Sequence::at(ZERO))
                .encode();
        format!("{:02x}{:02x}", trailer[trailer.len() - 2], trailer[trailer.len() - 1])
    };
    match (&instance.hmac, &instance.authentication) {
        (Some(hmac), _) => {
            let keys: Vec<_> =
                hmac.keys.iter().map(|(id, key)| format!("key {id} with digest {}", digest(key))).collect();
            format!("hmac, {}", keys.join(", "))
        }
        (None, Authentication::Simple(password)) => {
            let key = Key::new(Zeroizing::new(password.repeat(4)));
            format!("simple, with digest {}", key.map(|key| digest(&key)).unwrap_or_default())
        }
        (None, Authentication::None) => "none".to_owned(),
    }
}

const ZERO: crate::time::Duration = crate::time::Duration::ZERO;
