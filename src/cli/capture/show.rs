//! A packet as a line for people, or for programs.
//!
//! People are told what is not as it should be: a TTL of 255, a right checksum and our own addresses go without saying.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Serialize;

use super::fate::Fate;
use super::packet::{Advert, Neighbour, Packet, What};
use crate::agent::report::{Instance, Report, SCHEMA};
use crate::agent::stamp::Stamp;
use crate::cli::output::millis;
use crate::net::{Family, LinkIndex, Mac};
use crate::sys::name_of;
use crate::sys::onlooking::Way;
use crate::wire::arp::{Arp, Operation};
use crate::wire::vrrp::{self, Authentication, ChecksumForm, Malformed};

/// How wide a line on a terminal may be.
const WIDTH: usize = 80;
/// Where what did not fit goes on.
const INDENT: usize = 14;

/// A packet for programs.
#[derive(Debug, Serialize)]
struct Line<'a> {
    schema: u32,
    time: Stamp,
    interface: String,
    /// `in`, `out`, or `past` if it is for another host.
    direction: &'static str,
    /// `advert`, `arp` or `neighbor_advertisement`.
    kind: &'static str,
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    source_mac: String,
    destination_mac: String,
    instance: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advert: Option<AdvertLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claim: Option<ClaimLine>,
    verdict: &'static str,
    /// Of a discarded advert.
    reason: Option<&'static str>,
    clause: Option<&'static str>,
    text: String,
}

#[derive(Debug, Serialize)]
struct AdvertLine {
    version: Option<u8>,
    virtual_router_id: Option<u8>,
    priority: Option<u8>,
    interval_ms: Option<f64>,
    addresses: Vec<IpAddr>,
    /// Whether these are ours; none if there is no instance to compare with.
    same_addresses: Option<bool>,
    hop_limit: u8,
    /// `pseudo_header` or `message`, which is what it covers; `wrong`; none if it was not looked at.
    checksum: Option<&'static str>,
    /// `none`, `password` or `signed`.
    authentication: &'static str,
    key: Option<u8>,
}

#[derive(Debug, Serialize)]
struct ClaimLine {
    /// `request` or `reply`; `solicited` or `unsolicited`.
    operation: &'static str,
    address: IpAddr,
    mac: Option<String>,
    /// Who is asked for, or told.
    target: Option<IpAddr>,
}

/// The instance that a packet is about.
pub(super) fn instance_of<'r>(packet: &Packet, report: Option<&'r Report>) -> Option<&'r Instance> {
    let report = report?;
    match &packet.what {
        What::Advert(advert) => {
            let interface = name_of(LinkIndex(packet.link));
            let [_, vrid, _] = advert.header?;
            let family = Family::of(advert.source).as_str();
            report.instances.iter().find(|one| {
                one.interface == interface
                    && one.virtual_router_id == vrid
                    && one.routers.iter().any(|router| router.family == family)
            })
        }
        What::Arp(_) | What::Neighbour(_) => {
            let subjects = packet.subjects();
            let holds = |one: &&Instance| addresses(one).any(|(address, _)| subjects.contains(&address));
            report.instances.iter().find(holds)
        }
    }
}

/// An instance's addresses, and whether adverts list them.
pub(in crate::cli) fn addresses(one: &Instance) -> impl Iterator<Item = (IpAddr, bool)> {
    let bare = |text: &str| text.split('/').next().and_then(|address| address.parse().ok());
    one.addresses.iter().filter_map(move |known| Some((bare(&known.address)?, known.advertised)))
}

/// The line for people; on a terminal it is broken where it gets too wide.
pub(super) fn text(packet: &Packet, fate: Fate, report: Option<&Report>, terminal: bool) -> String {
    let time = Stamp::at(packet.stamp).to_string();
    let time = time.get(11..23).unwrap_or_default();
    let instance = instance_of(packet, report);
    let (from, to) = ends(packet);
    let what = match &packet.what {
        What::Advert(advert) => advert_words(advert, instance, packet.way, fate),
        What::Arp(arp) => arp_words(arp, packet.source_mac),
        What::Neighbour(neighbour) => neighbour_words(*neighbour),
    };
    let about = match (&packet.what, instance) {
        (_, Some(one)) => one.name.clone(),
        (What::Advert(advert), None) => {
            advert.header.map_or_else(|| "?".to_owned(), |[_, vrid, _]| format!("vrid {vrid}"))
        }
        (What::Arp(_) | What::Neighbour(_), None) => String::new(),
    };
    let fate = fate.text();
    let parts = [time.to_owned(), format!("{from} > {to}"), about, what, fate];
    let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    let whole = parts.join("  ");
    if terminal { broken(&whole) } else { format!("{whole}\n") }
}

fn broken(whole: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in whole.split_inclusive(' ') {
        if line.len() + word.trim_end().len() > WIDTH && line.trim().len() > INDENT {
            lines.push(line.trim_end().to_owned());
            line = " ".repeat(INDENT);
        }
        line.push_str(word);
    }
    lines.push(line);
    lines.push(String::new());
    lines.join("\n")
}

fn ends(packet: &Packet) -> (String, String) {
    match &packet.what {
        What::Advert(advert) => (advert.source.to_string(), advert.destination.to_string()),
        What::Neighbour(neighbour) => (neighbour.source.to_string(), neighbour.destination.to_string()),
        What::Arp(_) => {
            let to = packet.destination_mac;
            let to = if to == Mac::BROADCAST { "everybody".to_owned() } else { to.to_string() };
            (packet.source_mac.to_string(), to)
        }
    }
}

fn advert_words(advert: &Advert, instance: Option<&Instance>, way: Way, fate: Fate) -> String {
    let mut said = Vec::new();
    if let Some([version, _, priority]) = advert.header {
        if priority == 0 {
            said.push("resigns (priority 0)".to_owned());
        } else {
            said.push(format!("priority {priority}"));
        }
        if instance.is_none_or(|one| one.version != version) {
            said.push(format!("VRRPv{version}"));
        }
    }
    if advert.hop_limit != vrrp::TTL {
        said.push(format!("TTL {}", advert.hop_limit));
    }
    match &advert.decoded {
        // Said already, as the reason why it is discarded.
        Err(_) if fate.discard().is_some() => {}
        Err(malformed) => said.push(malformed.to_string()),
        Ok(decoded) => {
            let interval = decoded.interval.as_secs_f64() * 1000.0;
            said.insert(1.min(said.len()), format!("every {}", span(interval)));
            if decoded.authentication != Authentication::None {
                said.push("with a password".to_owned());
            }
            if way != Way::Out && same_addresses(advert, instance) == Some(false) {
                let listed: Vec<_> = decoded.addresses.iter().map(ToString::to_string).collect();
                said.push(format!("lists other addresses than ours: {}", listed.join(", ")));
            }
        }
    }
    if let Some(key) = advert.key {
        said.push(format!("signed with key {key}"));
    }
    said.join(", ")
}

/// `1 s`, `100 ms`.
fn span(ms: f64) -> String {
    if ms >= 1000.0 && ms % 1000.0 == 0.0 { format!("{} s", ms / 1000.0) } else { millis(ms) }
}

fn arp_words(arp: &Arp, from: Mac) -> String {
    let (sender, target) = (arp.sender, arp.target);
    match arp.operation {
        _ if sender == target && arp.sender_mac == from => format!("ARP: has {sender}"),
        _ if sender == target => format!("ARP: {sender} is at {}", arp.sender_mac),
        Operation::Request => format!("ARP: {sender} asks who has {target}"),
        Operation::Reply => format!("ARP: tells {target} that {sender} is at {}", arp.sender_mac),
    }
}

fn neighbour_words(neighbour: Neighbour) -> String {
    let at = neighbour.mac.map(|mac| format!(" is at {mac}")).unwrap_or_default();
    format!("ND: {}{at}", neighbour.target)
}

fn same_addresses(advert: &Advert, instance: Option<&Instance>) -> Option<bool> {
    let (listed, family) = (&advert.decoded.as_ref().ok()?.addresses, Family::of(advert.source));
    let ours =
        addresses(instance?).filter(|(address, advertised)| *advertised && Family::of(*address) == family);
    let ours: BTreeSet<IpAddr> = ours.map(|(address, _)| address).collect();
    Some(listed.iter().copied().collect::<BTreeSet<_>>() == ours)
}

/// The line for programs.
pub(super) fn json(packet: &Packet, fate: Fate, report: Option<&Report>) -> String {
    let instance = instance_of(packet, report);
    let (kind, source, destination, advert, claim) = match &packet.what {
        What::Advert(advert) => {
            let line = advert_line(advert, instance);
            ("advert", Some(advert.source), Some(advert.destination), Some(line), None)
        }
        What::Arp(arp) => ("arp", None, None, None, Some(arp_line(arp))),
        What::Neighbour(one) => {
            let (from, to) = (IpAddr::from(one.source), IpAddr::from(one.destination));
            ("neighbor_advertisement", Some(from), Some(to), None, Some(neighbour_line(*one)))
        }
    };
    let line = Line {
        schema: SCHEMA,
        time: Stamp::at(packet.stamp),
        interface: name_of(LinkIndex(packet.link)),
        direction: match packet.way {
            Way::In => "in",
            Way::Past => "past",
            Way::Out => "out",
        },
        kind,
        source,
        destination,
        source_mac: packet.source_mac.to_string(),
        destination_mac: packet.destination_mac.to_string(),
        instance: instance.map(|one| one.name.as_str()),
        advert,
        claim,
        verdict: fate.word(),
        reason: fate.discard().map(crate::engine::notice::Discard::as_str),
        clause: fate.discard().and_then(crate::engine::notice::Discard::clause),
        text: fate.text(),
    };
    match serde_json::to_string(&line) {
        Ok(text) => text + "\n",
        // Every field has a JSON form, and memory does not refuse a write.
        Err(error) => format!("{{\"schema\":{SCHEMA},\"error\":\"{error}\"}}\n"),
    }
}

fn advert_line(advert: &Advert, instance: Option<&Instance>) -> AdvertLine {
    let decoded = advert.decoded.as_ref().ok();
    AdvertLine {
        version: advert.header.map(|[version, _, _]| version),
        virtual_router_id: advert.header.map(|[_, vrid, _]| vrid),
        priority: advert.header.map(|[_, _, priority]| priority),
        interval_ms: decoded.map(|decoded| decoded.interval.as_secs_f64() * 1000.0),
        addresses: decoded.map(|decoded| decoded.addresses.clone()).unwrap_or_default(),
        same_addresses: same_addresses(advert, instance),
        hop_limit: advert.hop_limit,
        checksum: match &advert.decoded {
            Ok(decoded) if decoded.checksum == ChecksumForm::Message => Some("message"),
            Ok(_) => Some("pseudo_header"),
            Err(Malformed::Checksum) => Some("wrong"),
            Err(_) => None,
        },
        authentication: match (decoded.map(|decoded| decoded.authentication), advert.key) {
            (_, Some(_)) => "signed",
            (Some(Authentication::Simple(_)), None) => "password",
            (Some(Authentication::None) | None, None) => "none",
        },
        key: advert.key,
    }
}

fn arp_line(arp: &Arp) -> ClaimLine {
    let operation = match arp.operation {
        Operation::Request => "request",
        Operation::Reply => "reply",
    };
    let (address, target) = (arp.sender.into(), Some(arp.target.into()));
    ClaimLine { operation, address, mac: Some(arp.sender_mac.to_string()), target }
}

fn neighbour_line(neighbour: Neighbour) -> ClaimLine {
    let operation = if neighbour.solicited { "solicited" } else { "unsolicited" };
    let mac = neighbour.mac.map(|mac| mac.to_string());
    ClaimLine { operation, address: neighbour.target.into(), mac, target: None }
}
