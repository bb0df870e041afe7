//! `vipctl capture` beside an agent: what it says of each packet is what the agent did with it.

use std::fs;
use std::path::Path;

use lab::{Host, Process, claim, isolated, until};
use pnet::packet::ethernet::EtherTypes;
use pnet::util::MacAddr;
use serde_json::Value;

use super::{Pair, SOON, directory, pair, programs};

const GROUP: MacAddr = MacAddr(0x01, 0x00, 0x5e, 0x00, 0x00, 0x12);

/// The Internet checksum of an even number of bytes.
fn sum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).unwrap()).to_be_bytes()
}

/// A version 3 advert for 192.0.2.100 from `host`, with the IP header in front.
fn advert(host: &Host, ttl: u8, vrid: u8, priority: u8) -> Vec<u8> {
    let mut message = vec![0x31, vrid, priority, 1, 0, 10, 0, 0, 192, 0, 2, 100];
    let checksum = sum(&message);
    message[6..8].copy_from_slice(&checksum);
    let mut packet = vec![0x45, 0, 0, 32, 0, 0, 0, 0, ttl, 112, 0, 0];
    packet.extend(host.ipv4().octets());
    packet.extend([224, 0, 0, 18]);
    let checksum = sum(&packet);
    packet[10..12].copy_from_slice(&checksum);
    packet.extend(message);
    packet
}

fn gratuitous(host: &Host) -> Vec<u8> {
    let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 1];
    arp.extend(host.mac().octets());
    arp.extend([192, 0, 2, 100]);
    arp.extend([0; 6]);
    arp.extend([192, 0, 2, 100]);
    arp
}

fn start(host: &Host, directory: &str, arguments: &[&str]) -> Process {
    let programs = programs();
    let all = [&["--runtime-dir", directory, "capture"], arguments].concat();
    host.spawn("capture", &programs.vipctl, &all, &[])
}

fn lines(process: &Process) -> Vec<Value> {
    process.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The first packet of which that is true, once it is there.
fn shown(capture: &Process, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    until(what, SOON, || lines(capture).into_iter().find(|line| is(line)))
}

#[test]
fn each_packet_is_shown_with_what_the_agent_made_of_it() {
    isolated(|lab| {
        let Pair { first, second, lb1, lb2, client } = pair(lab);
        let file = lb2.directory().join("web.pcap");
        let mut backup = start(&lb2, &directory(&second), &["--json", "--write", &file.to_string_lossy()]);
        let accepted = shown(&backup, "an advert", |line| line["verdict"] == "accepted");
        let advert_of = |line: &Value| line["advert"].clone();
        assert_eq!(accepted["instance"], "web");
        assert_eq!(advert_of(&accepted)["priority"], 150);
        assert_eq!(advert_of(&accepted)["same_addresses"], true);
        assert_eq!(advert_of(&accepted)["hop_limit"], 255);

        let send = |ttl, vrid, priority| {
            claim::send(&client, GROUP, EtherTypes::Ipv4, &advert(&client, ttl, vrid, priority));
        };
        send(64, 51, 200);
        let line = shown(&backup, "a TTL of 64", |line| line["reason"] == "hop_limit");
        assert_eq!((&line["verdict"], &line["clause"]), (&"discarded".into(), &"RFC 9568, 5.1.1.3".into()));
        send(255, 77, 200);
        shown(&backup, "another virtual router", |line| line["reason"] == "unknown_vrid");
        claim::send(&client, MacAddr::broadcast(), EtherTypes::Arp, &gratuitous(&client));
        let theirs = client.mac().to_string();
        shown(&backup, "a claim", |line| {
            line["verdict"] == "not_held" && line["source_mac"] == theirs.as_str()
        });

        let counted = second.instance("web")["routers"][0]["counters"]["discarded"].clone();
        assert_eq!(counted["hop_limit"], 1, "{counted}");
        let told = lines(&backup);
        let discarded = told.iter().filter(|line| line["verdict"] == "discarded").count();
        assert_eq!(discarded, 2, "nothing else: {told:?}");

        backup.stop();
        let seen = tshark(&lb2, &file);
        assert!(seen.lines().count() >= 4, "{seen}");
        assert!(seen.lines().any(|line| line.starts_with("51\t200\t64")), "{seen}");

        let master = start(&lb1, &directory(&first), &["web", "--json"]);
        shown(&master, "our own advert", |line| line["verdict"] == "sent" && line["kind"] == "advert");
        claim::send(&client, MacAddr::broadcast(), EtherTypes::Arp, &gratuitous(&client));
        shown(&master, "a second holder", |line| line["verdict"] == "contested");
        shown(&master, "the defence", |line| line["verdict"] == "sent" && line["kind"] == "arp");
    });
}

fn tshark(host: &Host, file: &Path) -> String {
    let fields = ["-T", "fields", "-e", "vrrp.virt_rtr_id", "-e", "vrrp.prio", "-e", "ip.ttl"];
    host.run("tshark", &[&["-r", &file.to_string_lossy()], &fields[..]].concat())
}

#[test]
fn what_a_firewall_drops_is_seen_not_to_reach_the_agent() {
    isolated(|lab| {
        let Pair { first: _first, second, lb2, .. } = pair(lab);
        let capture = start(&lb2, &directory(&second), &["--json"]);
        shown(&capture, "an advert that arrives", |line| line["verdict"] == "accepted");
        let rules = lb2.directory().join("rules.nft");
        let drop = "table ip t { chain c { type filter hook input priority 0; ip protocol 112 drop; }; }";
        fs::write(&rules, drop).unwrap();
        lb2.run("nft", &["-f", &rules.to_string_lossy()]);
        let line = shown(&capture, "an advert that does not", |line| line["verdict"] == "not_received");
        assert!(line["text"].as_str().unwrap().contains("firewall"), "{line}");
    });
}

#[test]
fn without_an_agent_packets_are_decoded_and_without_rights_nothing_is() {
    isolated(|lab| {
        let Pair { first: _first, second: _second, client, .. } = pair(lab);
        let vipctl = programs().vipctl;
        let nowhere = client.directory().join("nowhere").to_string_lossy().into_owned();
        let vipctl = vipctl.to_string_lossy();
        let arguments = ["--runtime-dir", &nowhere, "capture", "--interface", "eth0", "--count", "2"];
        let (done, said, complaint) = client.try_run(&vipctl, &arguments);
        assert!(done, "{complaint}");
        let said: Vec<&str> = said.lines().collect();
        assert_eq!(said.len(), 5, "{said:?}");
        assert!(said[0].starts_with("No agent is running"), "{said:?}");
        assert!(
            said[2].ends_with("192.0.2.1 > 224.0.0.18  vrid 51  priority 150, every 100 ms, VRRPv3"),
            "{said:?}"
        );
        let (done, _, complaint) = client.try_run(&vipctl, &["--runtime-dir", &nowhere, "capture", "web"]);
        assert!(!done && complaint.contains("--interface IF needs none"), "{complaint}");
        let script =
            format!("setpriv --bounding-set=-all --inh-caps=-all {vipctl} capture --interface eth0; echo $?");
        let said = client.run("sh", &["-c", &script]);
        assert_eq!(said, "77\n");
    });
}
