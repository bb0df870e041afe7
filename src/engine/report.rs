//! The engine's picture of itself, for everybody else.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Engine;
use super::group::Group;
use super::instance::Instance;
use super::member::Sending;
use super::notice::{Reason, State};
use super::routing::Wish;
use super::settings::{self, Track};
use super::status::{
    AddressStatus, GroupStatus, InstanceStatus, LeaseStatus, PathStatus, Status, TrackStatus,
};
use super::world::World;
use crate::codes::{Code, Warning};
use crate::proto::health::Verdict;
use crate::time::{Duration, Instant};

impl Engine {
    /// What anybody may want to know.
    pub fn status(&self, now: Instant) -> Status {
        Status {
            at: now,
            instances: self.instances.iter().map(|instance| self.instance_status(now, instance)).collect(),
            groups: self.groups.iter().map(|group| group.status(&self.world)).collect(),
            checks: self.world.verdicts.status(),
            discarded: self.discarded.clone(),
            warnings: self
                .instances
                .iter()
                .flat_map(|instance| warnings(now, instance))
                .chain(self.statics.warnings())
                .collect(),
        }
    }

    fn instance_status(&self, now: Instant, instance: &Instance) -> InstanceStatus {
        let group = instance.membership.and_then(|membership| self.groups.get(membership.group));
        let group = group.map(|group| group.settings.name.clone());
        InstanceStatus { group, ..instance.status(now, &self.world) }
    }
}

impl Group {
    fn status(&self, world: &World) -> GroupStatus {
        GroupStatus {
            name: self.settings.name.clone(),
            state: self.state,
            since: self.since,
            reason: self.reason.clone(),
            members: self.settings.members.clone(),
            tracks: track_status(&self.settings.tracks, world),
        }
    }
}

impl Instance {
    fn status(&self, now: Instant, world: &World) -> InstanceStatus {
        let faulty = self.state == State::Fault;
        InstanceStatus {
            name: self.settings.name.clone(),
            state: self.state,
            since: self.since,
            reason: self.reason.clone(),
            group: None,
            interface: self.settings.interface.clone(),
            vrid: self.settings.vrid,
            version: self.settings.version,
            configured: self.settings.priority,
            effective: self.effective,
            interval: self.settings.interval,
            lease: LeaseStatus {
                enabled: self.is_leased() && !self.addresses.is_empty() && self.gates.missing().is_none(),
                extension: self.lease_extension(),
            },
            accept: self.settings.accept || self.settings.priority.is_owner(),
            stepped_down: self.stepped_down,
            times_master: self.times_master,
            transitions: self.transitions.clone(),
            routers: self
                .members
                .iter()
                .map(|member| member.status(now, faulty, self.settings.near_miss_percent))
                .collect(),
            virtual_links: self.virtual_link_status(world),
            addresses: self.address_status(world),
            paths: self.path_status(),
            tracks: track_status(&self.settings.tracks, world),
            duplicate: self.duplicate.clone(),
        }
    }

    fn address_status(&self, world: &World) -> Vec<AddressStatus> {
        let describe = |at: usize| {
            let Some(placement) = self.placements.get(at).and_then(Option::as_ref) else {
                return (false, None);
            };
            let (installed, trouble) = self.holding.describe(placement.place);
            let place = placement.place;
            let owned = self.settings.priority.is_owner()
                && world.links.foreign(place.link, place.net.address()).is_some();
            (installed || owned, trouble)
        };
        let all = self.settings.addresses.iter().enumerate();
        all.map(|(at, address)| {
            let (installed, trouble) = describe(at);
            let elsewhere = address.interface.clone().filter(|name| *name != self.settings.interface);
            let homeless = || self.homeless(self.settings.interface_of(address));
            AddressStatus {
                net: address.net,
                interface: elsewhere,
                advertised: address.advertised,
                installed,
                trouble: trouble.or_else(homeless),
            }
        })
        .collect()
    }

    /// Why an address is not there that is configured for another interface than that of the adverts.
    fn homeless(&self, interface: &str) -> Option<String> {
        let missing = self.sites.named(interface).is_none_or(|site| site.found.is_none());
        // Without its own interface the instance is in FAULT.
        let matters = self.holds && interface != self.settings.interface && missing;
        matters.then(|| alloc::format!("interface {interface} does not exist"))
    }
}

impl Instance {
    fn path_status(&self) -> Vec<PathStatus> {
        let status = |path: &settings::Path| {
            let wish = Wish::of(path, |name| self.sites.find(name));
            let (installed, trouble) = match &wish {
                Some(wish) => self.holding.routing.describe(&wish.path.key()),
                None => (false, path.path.links().find_map(|name| self.homeless(name))),
            };
            PathStatus { path: path.path.to_string(), installed, trouble }
        };
        self.settings.paths.iter().map(status).collect()
    }
}

fn track_status(tracks: &[Track], world: &World) -> Vec<TrackStatus> {
    let verdicts = &world.verdicts;
    let status = |track: &Track| {
        let (verdict, since) = verdicts.last(&track.check);
        let adds = verdicts.adds(track);
        TrackStatus {
            check: track.check.clone(),
            effect: track.effect,
            up: verdict.map(|verdict| verdict == Verdict::Up),
            since,
            value: verdicts.value(&track.check),
            adds,
            effective: adds != 0 || verdicts.faults(track).is_some(),
        }
    };
    tracks.iter().map(status).collect()
}

/// How long a warning about an advert that was discarded stands, at least.
const DISAGREEMENT: Duration = Duration::from_secs(3);

/// What someone should look at.
fn warnings(now: Instant, instance: &Instance) -> Vec<Warning> {
    let name = &instance.settings.name;
    let mut warnings = Vec::new();
    let mut warn = |code, text| warnings.push(Warning::new(code, text));
    if let Some(Reason::LastResort { why }) = &instance.reserve
        && instance.state == State::Master
    {
        warn(Code::ServedAsLastResort, alloc::format!("{name} is served from here as a last resort: {why}"));
    }
    for member in &instance.members {
        if member.mismatched && !member.router.is_master() {
            warn(
                Code::OtherAddresses,
                alloc::format!(
                    "{name}: the master's {} adverts list other addresses than this configuration; make the two \
                 configurations agree",
                    member.family
                ),
            );
        }
        let lately = DISAGREEMENT.max(instance.settings.interval * 3);
        if let Some((at, source, reason)) = member.disagreed
            && now.since(at) < lately
        {
            let (what, remedy) = (reason.disagreement().unwrap_or(reason.as_str()), reason.remedy());
            warn(
                Code::AdvertsDiscarded,
                alloc::format!("{name}: adverts of {source} are discarded, {what}; {remedy}"),
            );
        }
        if let Some(hmac) = &instance.settings.hmac {
            for (source, ahead) in member.signatures.strangers(now - lately, hmac) {
                let (seconds, side) = (ahead.unsigned_abs(), if ahead < 0 { "behind" } else { "ahead" });
                warn(
                    Code::ClockAhead,
                    alloc::format!(
                        "{name}: the clock of {source} is {seconds} s {side}, more than half of the time_window; set the \
                     clocks of both nodes"
                    ),
                );
            }
        }
        if member.sending != Sending::Fine {
            warn(Code::NotSent, alloc::format!("{name}: {} adverts cannot be sent", member.family));
        }
    }
    for placement in instance.placed() {
        if let (_, Some(trouble)) = instance.holding.describe(placement.place) {
            warn(
                Code::NotInstalled,
                alloc::format!("{name}: {} is not installed: {trouble}", placement.place.net),
            );
        }
    }
    for path in instance.path_status() {
        if let Some(trouble) = path.trouble {
            warn(Code::PathMissing, alloc::format!("{name}: the {} is not installed: {trouble}", path.path));
        }
    }
    for address in &instance.settings.addresses {
        if let Some(trouble) = instance.homeless(instance.settings.interface_of(address)) {
            warn(Code::NotInstalled, alloc::format!("{name}: {} is not installed: {trouble}", address.net));
        }
    }
    warnings
}
