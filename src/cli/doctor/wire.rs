//! What is heard on the wire: who else advertises our virtual routers while no agent runs here, and who answers for an address
//! that nobody should have. Takes about a second, and sends one question for each address.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use tokio::time::sleep;

use super::finding::{Finding, Obstacle};
use super::scene::Scene;
use crate::agent::report::Role;
use crate::codes::Code;
use crate::engine::action::Endpoint;
use crate::engine::event::{Link, Packet};
use crate::engine::settings::{Address, Instance};
use crate::net::{Family, LinkIndex, Mac};
use crate::sys::claims::Listener;
use crate::sys::clock;
use crate::sys::frames::Frames;
use crate::sys::vrrp_socket::{BUFFER, VrrpSocket};
use crate::time::Duration;
use crate::wire::vrrp::{Advert, Version, decode, peek};
use crate::wire::{arp, ipv4, ndp};

/// How long is listened: a little longer than the usual interval.
const LONG: Duration = Duration::from_millis(1100);

/// How long answers may take if nothing else is waited for.
const SHORT: Duration = Duration::from_millis(250);

/// How often the queues are looked at meanwhile.
const STEP: Duration = Duration::from_millis(5);

/// The questions are asked again after so long, for one may be lost.
const AGAIN: Duration = Duration::from_millis(100);

/// What was heard of one virtual router.
#[derive(Debug, Default)]
struct Heard {
    /// Who advertises, in which version and, if it can be told, what.
    adverts: BTreeMap<IpAddr, (Version, Option<Advert>)>,
}

/// Listens and asks.
pub(super) async fn look(scene: &Scene) -> Vec<Finding> {
    let asked: Vec<_> = scene.instances().iter().filter(|instance| !is_held(scene, instance)).collect();
    if asked.is_empty() {
        return Vec::new();
    }
    match probe(scene, &asked).await {
        Ok((heard, answers)) => asked
            .iter()
            .enumerate()
            .flat_map(|(at, instance)| judged(scene, instance, heard.get(&at), &answers))
            .collect(),
        Err(error) => {
            let why = match error.kind() {
                io::ErrorKind::PermissionDenied => Obstacle::NotAllowed,
                _ => Obstacle::Failed,
            };
            let what = format!("the wire cannot be listened to: {error}");
            vec![Finding::unseen(Code::AnsweredElsewhere, "wire", why, what)]
        }
    }
}

/// Whether this node answers for the addresses itself.
fn is_held(scene: &Scene, instance: &Instance) -> bool {
    let known = scene.report.as_ref().and_then(|report| report.instance(&instance.name));
    known.is_some_and(|known| known.state == Role::Master || known.addresses.iter().any(|one| one.installed))
}

/// Who advertises each instance, by its place, and who has which address.
type Answers = BTreeMap<IpAddr, BTreeSet<Mac>>;

async fn probe(scene: &Scene, asked: &[&Instance]) -> io::Result<(BTreeMap<usize, Heard>, Answers)> {
    let (arp, ndp) = (Listener::arp()?, Listener::ndp()?);
    // The agent listens already, if there is one.
    let sockets = if scene.report.is_none() { sockets(scene, asked)? } else { Vec::new() };
    let patience = if sockets.is_empty() { SHORT } else { LONG };
    let (mut heard, mut answers) = (BTreeMap::new(), Answers::new());
    let (begin, mut questions) = (clock::now(), 0_u32);
    while clock::now().since(begin) < patience {
        if questions < 2 && clock::now().since(begin) >= AGAIN * questions {
            ask(scene, asked)?;
            questions += 1;
        }
        for listener in [&arp, &ndp] {
            while let Some(claim) = listener.receive()? {
                answers.entry(claim.address).or_default().insert(claim.mac);
            }
        }
        for (at, socket) in &sockets {
            listen(socket, asked[*at], heard.entry(*at).or_default())?;
        }
        sleep(STEP).await;
    }
    Ok((heard, answers))
}

/// A socket for each instance and family that adverts come by.
fn sockets(scene: &Scene, asked: &[&Instance]) -> io::Result<Vec<(usize, VrrpSocket)>> {
    let mut sockets = Vec::new();
    for (at, instance) in asked.iter().enumerate() {
        let Some(link) = scene.link(&instance.interface).filter(|link| link.up) else { continue };
        for family in instance.families() {
            let groups = if instance.unicast.is_some() { Vec::new() } else { vec![instance.group(family)] };
            sockets.push((at, VrrpSocket::open(Endpoint { link: link.index, family }, &groups)?));
        }
    }
    Ok(sockets)
}

/// Takes what a socket has.
fn listen(socket: &VrrpSocket, instance: &Instance, heard: &mut Heard) -> io::Result<()> {
    let mut buffer = [0; BUFFER];
    while let Some(arrived) = socket.receive(&mut buffer)? {
        let (source, destination, payload): (IpAddr, IpAddr, &[u8]) = match arrived.packet {
            Packet::Ipv4(bytes) => match ipv4::decode(bytes) {
                Ok((header, payload)) => (header.source.into(), header.destination.into(), payload),
                Err(_) => continue,
            },
            Packet::Ipv6 { source, destination, payload, .. } => (source, destination, payload),
        };
        let Some((version, vrid)) = peek(payload) else { continue };
        if vrid == instance.vrid {
            let signed = instance.hmac.is_some();
            let advert = if signed { None } else { decode(payload, source, destination).ok() };
            heard.adverts.insert(source, (version, advert));
        }
    }
    Ok(())
}

/// Asks who has each address.
fn ask(scene: &Scene, asked: &[&Instance]) -> io::Result<()> {
    for instance in asked {
        for address in &instance.addresses {
            let Some(Link { index, mac: Some(mac), up: true, .. }) =
                scene.link(instance.interface_of(address))
            else {
                continue;
            };
            let frames = Frames::open(LinkIndex(index.0))?;
            match address.address() {
                IpAddr::V4(address) => frames.send(&arp::question(*mac, address))?,
                IpAddr::V6(address) => frames.send(&ndp::question(*mac, address))?,
            }
        }
    }
    Ok(())
}

fn judged(scene: &Scene, instance: &Instance, heard: Option<&Heard>, answers: &Answers) -> Vec<Finding> {
    let mut found = Vec::new();
    let master = match &scene.report {
        Some(report) => {
            report.instance(&instance.name).and_then(|one| one.master()).map(|master| master.address)
        }
        None => heard.and_then(|heard| heard.adverts.keys().next().copied()),
    };
    if let Some(heard) = heard {
        found.extend(others(instance, heard));
    }
    found.extend(holders(scene, instance, master, answers));
    found
}

/// Who advertises our virtual router while no agent runs here: a peer, or somebody else.
fn others(instance: &Instance, heard: &Heard) -> Vec<Finding> {
    let (name, vrid) = (&instance.name, instance.vrid);
    let mut found = Vec::new();
    for (source, (version, advert)) in &heard.adverts {
        let ours = |a: &&Address| a.advertised && a.family() == Family::of(*source);
        let wanted: BTreeSet<_> = instance.addresses.iter().filter(ours).map(Address::address).collect();
        let listed: Option<BTreeSet<_>> =
            advert.as_ref().map(|advert| advert.addresses.iter().copied().collect());
        let wrong = match listed {
            _ if *version != instance.version => Some("speaks another version of VRRP".to_owned()),
            Some(listed) if listed != wanted => {
                let listed: Vec<_> = listed.iter().map(ToString::to_string).collect();
                Some(format!("advertises {}", listed.join(", ")))
            }
            Some(_) | None => None,
        };
        let code = Code::OtherRouter;
        found.push(match wrong {
            Some(wrong) => {
                let what = format!("{source} has virtual router id {vrid}, too, and {wrong}");
                Finding::problem(code, name, what).remedy("vipctl doctor --peer ssh://HOST")
            }
            None => Finding::good(code, name, format!("{source} is master of it")),
        });
    }
    if found.is_empty() {
        let what = format!("nobody else advertised virtual router id {vrid} for {} ms", LONG.as_millis());
        found.push(Finding::good(Code::OtherRouter, name, what));
    }
    found
}

/// Who answers for the addresses: the master alone, if there is one, and else nobody.
fn holders(scene: &Scene, instance: &Instance, master: Option<IpAddr>, answers: &Answers) -> Vec<Finding> {
    let (code, name) = (Code::AnsweredElsewhere, &instance.name);
    let mut found = Vec::new();
    for address in instance.addresses.iter().map(Address::address) {
        let own: BTreeSet<_> =
            scene.kernel.iter().flat_map(|picture| &picture.links).filter_map(|link| link.mac).collect();
        let holders: Vec<_> =
            answers.get(&address).into_iter().flatten().filter(|mac| !own.contains(mac)).collect();
        let macs: Vec<_> = holders.iter().map(ToString::to_string).collect();
        let remedy = format!("ip neighbour | grep -i {}", macs.first().map_or("", String::as_str));
        match (holders.len(), master) {
            (0, _) | (1, Some(_)) => {}
            (1, None) => {
                let what =
                    format!("{address} is answered for by {}, which is not known as master", macs.join(", "));
                found.push(Finding::problem(code, name, what).remedy(remedy));
            }
            (_, _) => {
                let what = format!("{address} is answered for by several hosts: {}", macs.join(", "));
                found.push(Finding::problem(code, name, what).remedy(remedy));
            }
        }
    }
    if found.is_empty() {
        found.push(Finding::good(code, name, "nobody answers for its addresses who should not"));
    }
    found
}
