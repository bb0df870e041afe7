//! A master that is flooded: with adverts that do not count, with requests to its control socket, with news from the
//! kernel. How late its own adverts get.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lab::{Host, Kind, Node, Router, Worker, wait};
use pnet::datalink::{self, Channel, DataLinkSender};
use pnet::packet::ethernet::{EtherTypes, MutableEthernetPacket};
use pnet::packet::ip::IpNextHeaderProtocol;
use pnet::packet::ipv4::{self, MutableIpv4Packet};

use crate::bed::Bed;
use lab::table::{Table, Target};

/// So many adverts a second.
const RATE: u32 = 50_000;
/// So many at once, so that no queue of the switch overflows.
const BURST: u64 = 100;
/// So many ask the control socket at once.
const CLIENTS: usize = 4;
const VRID: u8 = 51;
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

fn node(priority: u8) -> Node {
    Router::new("web", VRID, priority, &format!("{ADDRESS}/24")).every(100).into()
}

/// Floods a master `rounds` times for `stretch` with each.
pub(crate) fn measure(bed: &Bed, kinds: &[Kind], rounds: usize, stretch: Duration, table: &mut Table) {
    for kind in kinds {
        let pair = bed.pair(kind, node);
        for _ in 0..rounds {
            bed.settle(&[ADDRESS.into()]);
            let before = received(&bed.lb1);
            let (late, took) = with(bed, stretch, vec![adverts(bed)]);
            table.add(ADVERTS, "ms", LATE, kind.name(), late);
            let missing = 100.0 - (received(&bed.lb1) - before) / (took * f64::from(RATE)) * 100.0;
            table.add(MISSING, "%", Target::Every(2.0), kind.name(), missing.max(0.0));
            let (late, _) = with(bed, stretch, vec![news(bed)]);
            table.add(NEWS, "ms", LATE, kind.name(), late);
            if matches!(kind, Kind::Vipd(_)) {
                let answered = Arc::new(AtomicU32::new(0));
                let clients = (0..CLIENTS).map(|_| requests(bed, &answered)).collect();
                let (late, took) = with(bed, stretch, clients);
                println!("  {:.0} requests a second", f64::from(answered.load(Ordering::Relaxed)) / took);
                table.add(REQUESTS, "ms", LATE, kind.name(), late);
            }
        }
        pair.stop();
    }
}

/// No advert is late by half an interval.
const LATE: Target = Target::Every(150.0);
const ADVERTS: &str = "50,000 adverts a second that do not count: longest time between adverts of 100 ms";
const MISSING: &str = "50,000 adverts a second that do not count: so many less arrived";
const NEWS: &str = "addresses that come and go without a pause: longest time between adverts of 100 ms";
const REQUESTS: &str =
    "4 clients that ask for the status without a pause: longest time between adverts of 100 ms";

/// Lets workers work: the longest time between adverts of lb1 meanwhile, in ms, and how long that was, in s.
fn with(bed: &Bed, stretch: Duration, workers: Vec<Worker>) -> (f64, f64) {
    bed.sniffer.clear();
    let from = lab::now();
    wait::observe(stretch);
    drop(workers);
    let to = lab::now();
    let adverts = bed.sniffer.adverts(bed.lb1.ipv4().into()).into_iter().map(|(at, _)| at);
    let moments: Vec<u64> = [from].into_iter().chain(adverts.filter(|at| *at < to)).chain([to]).collect();
    let longest = moments.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or(0);
    let seconds = |nanos| Duration::from_nanos(nanos).as_secs_f64();
    (seconds(longest) * 1e3, seconds(to - from))
}

/// Adverts to the master: of other virtual routers, with a wrong checksum, from another network, cut off.
fn adverts(bed: &Bed) -> Worker {
    let frames = [0, 1, 2, 3].map(|kind| frame(bed, kind));
    let mut sender = sender(&bed.stranger);
    let (begun, mut sent) = (Instant::now(), 0);
    Worker::repeat("flood", move || {
        for number in 0..BURST {
            let frame = &frames[usize::try_from(number).expect("it is small") % frames.len()];
            sender.send_to(frame, None).expect("room to send").expect("the stranger can send");
        }
        sent += BURST;
        let due = begun + Duration::from_nanos(sent * 1_000_000_000 / u64::from(RATE));
        wait::observe(due.saturating_duration_since(Instant::now()).min(Duration::from_millis(50)));
    })
}

fn sender(host: &Host) -> Box<dyn DataLinkSender> {
    host.inside(|| {
        let eth0 = datalink::interfaces().into_iter().find(|i| i.name == "eth0").expect("there is eth0");
        match datalink::channel(&eth0, datalink::Config::default()) {
            Ok(Channel::Ethernet(sender, _)) => sender,
            Ok(_) | Err(_) => panic!("no packet socket on {}", host.name()),
        }
    })
}

/// To the master's own Ethernet address, so that nobody else is flooded.
fn frame(bed: &Bed, kind: u8) -> Vec<u8> {
    let (from, to) = (bed.stranger.ipv4(), Ipv4Addr::new(224, 0, 0, 18));
    // Version 3, 100 ms, one address.
    let vrid = if kind == 0 { VRID + 1 } else { VRID };
    let mut advert = vec![0x31, vrid, 200, 1, 0, 10, 0, 0];
    advert.extend(ADDRESS.octets());
    let sum = pnet::util::ipv4_checksum(&advert, 3, &[], &from, &to, IpNextHeaderProtocol(112));
    advert[6..8].copy_from_slice(&(if kind == 1 { !sum } else { sum }).to_be_bytes());
    advert.truncate(if kind == 3 { 8 } else { 12 });
    let length = 20 + advert.len();
    let mut bytes = vec![0; 14 + length];
    let mut ethernet = MutableEthernetPacket::new(&mut bytes).expect("a frame holds its header");
    ethernet.set_destination(bed.lb1.mac());
    ethernet.set_source(bed.stranger.mac());
    ethernet.set_ethertype(EtherTypes::Ipv4);
    let mut ip = MutableIpv4Packet::new(&mut bytes[14..]).expect("a frame holds the header");
    ip.set_version(4);
    ip.set_header_length(5);
    ip.set_total_length(u16::try_from(length).expect("it is short"));
    ip.set_ttl(if kind == 2 { 254 } else { 255 });
    ip.set_next_level_protocol(IpNextHeaderProtocol(112));
    ip.set_source(from);
    ip.set_destination(to);
    ip.set_payload(&advert);
    let sum = ipv4::checksum(&ip.to_immutable());
    ip.set_checksum(sum);
    bytes
}

/// How many frames a host was given so far.
fn received(host: &Host) -> f64 {
    let said = host.run("ip", &["-json", "-stats", "link", "show", "dev", "eth0"]);
    let links: serde_json::Value = serde_json::from_str(&said).expect("ip prints JSON");
    links[0]["stats64"]["rx"]["packets"].as_f64().expect("frames are counted")
}

/// Addresses of the loopback, and news of them for whoever listens.
fn news(bed: &Bed) -> Worker {
    let address = |n| format!("10.9.0.{n}/32 dev lo\n");
    let script: String = (1..=100)
        .map(|n| format!("address add {}", address(n)))
        .chain((1..=100).map(|n| format!("address del {}", address(n))))
        .collect();
    let file = bed.lb1.directory().join("news");
    std::fs::write(&file, script).expect("write what ip is to do");
    let (host, file) = (bed.lb1.clone(), file.to_string_lossy().into_owned());
    Worker::repeat("news", move || {
        host.run("ip", &["-batch", &file]);
    })
}

/// A client that asks and asks, on one connection as long as it lasts.
fn requests(bed: &Bed, answered: &Arc<AtomicU32>) -> Worker {
    let (path, answered) = (bed.lb1.directory().join("vipd/vipd.sock"), Arc::clone(answered));
    let mut connection = None;
    Worker::repeat("requests", move || {
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => UnixStream::connect(&path).expect("the agent listens"),
        };
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("set a timeout");
        if stream.write_all(b"GET /status HTTP/1.1\r\nHost: vipd\r\n\r\n").is_ok() && answer(&mut stream) {
            answered.fetch_add(1, Ordering::Relaxed);
            connection = Some(stream);
        }
    })
}

/// Reads one answer; whether the connection can take another request.
fn answer(stream: &mut UnixStream) -> bool {
    let (mut bytes, mut piece) = (Vec::new(), [0; 16384]);
    loop {
        let Ok(read) = stream.read(&mut piece) else { return false };
        if read == 0 {
            return false;
        }
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let Some((_, length)) = head.split_once("content-length: ") else { return false };
        let length = length.split("\r\n").next().and_then(|length| length.parse().ok());
        if length.is_some_and(|length: usize| body.len() >= length) {
            return true;
        }
    }
}
