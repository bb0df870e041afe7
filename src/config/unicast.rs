//! `unicast`: adverts to named peers instead of the multicast group.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::problem::At;
use super::read::Item;
use super::scalar;
use crate::codes::Code;
use crate::engine::settings;
use crate::net::Family;

/// What stands under `unicast`.
pub(super) const KEYS: &[&str] = &["source", "peers"];

/// What stands under a peer that is more than an address.
pub(super) const PEER_KEYS: &[&str] = &["address", "ttl"];

/// How many peers there may be: every advert is sent to each of them.
const MOST: usize = 255;

/// The TTLs or hop limits that a peer's adverts may arrive with.
type Ttls = RangeInclusive<u8>;

/// The value of `unicast` as written.
#[derive(Debug)]
pub(super) struct Unicast {
    pub(super) sources: Vec<At<IpAddr>>,
    pub(super) peers: Vec<At<IpAddr>>,
    /// What each of them may send with.
    ttls: Vec<Ttls>,
    /// Nothing was left out because it was wrong.
    pub(super) whole: bool,
}

impl Unicast {
    pub(super) fn settings(&self) -> settings::Unicast {
        let peers = self.peers.iter().zip(&self.ttls);
        settings::Unicast {
            sources: self.sources.iter().map(|at| at.value).collect(),
            peers: peers.map(|(at, ttl)| settings::Peer { address: at.value, ttl: ttl.clone() }).collect(),
        }
    }
}

/// Reads the value of `unicast`.
pub(super) fn read(item: &Item<'_>) -> Option<At<Unicast>> {
    let table = item.table("'source' and 'peers'")?;
    table.only(KEYS, |_| None);
    let peers = table.required("peers", "[192.0.2.2]").and_then(peers);
    let sources = match table.optional("source") {
        None => Some((Vec::new(), true)),
        Some(item) => addresses(item, "an address of this host, or one for each family"),
    };
    let whole = matches!((&peers, &sources), (Some((_, _, true)), Some((_, true))));
    let (sources, (peers, ttls, _)) = (sources.unwrap_or_default().0, peers.unwrap_or_default());
    for (index, source) in sources.iter().enumerate() {
        let family = Family::of(source.value);
        if sources[..index].iter().any(|other| Family::of(other.value) == family) {
            item.findings.error(
                &source.spot,
                Code::WrittenTwice,
                format!("a second {family} source; write one for each family"),
            );
        }
    }
    for (index, peer) in peers.iter().enumerate() {
        if peers[..index].iter().any(|other| other.value == peer.value) {
            item.findings.error(
                &peer.spot,
                Code::WrittenTwice,
                format!("{} is written twice; remove one", peer.value),
            );
        }
        if sources.iter().any(|source| source.value == peer.value) {
            let what = format!("{} is this host's own source; write the other hosts' addresses", peer.value);
            item.findings.error(&peer.spot, Code::VirtualSource, what);
        }
    }
    Some(item.at(Unicast { sources, peers, ttls, whole }))
}

/// The peers that could be read, what each may send with, and whether that is all of them.
fn peers(item: &Item<'_>) -> Option<(Vec<At<IpAddr>>, Vec<Ttls>, bool)> {
    let expected = "the peers' addresses";
    let items = item.one_or_list(expected)?;
    if items.len() > MOST {
        return item.error(Code::TooMany, format!("has {} addresses; write at most {MOST}", items.len()));
    }
    let read = |item: &Item<'_>| {
        if !item.is_table() {
            return Some((item.read(expected, address)?, 0..=255));
        }
        let table = item.table(expected)?;
        table.only(PEER_KEYS, |_| None);
        let address = table.required("address", "192.0.2.2").and_then(|item| item.read(expected, address));
        let ttl = table.or("ttl", 0..=255, |item| item.read("a TTL or a range, for example 254-255", ttl));
        Some((address?, ttl?.value))
    };
    let (peers, ttls): (Vec<_>, Vec<_>) = items.iter().filter_map(read).unzip();
    let whole = peers.len() == items.len();
    Some((peers, ttls, whole))
}

fn ttl(text: &str) -> Result<Ttls, String> {
    let number = |text: &str| scalar::number(text, 0, 255).ok().and_then(|number| u8::try_from(number).ok());
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    match (number(low.trim()), number(high.trim())) {
        (Some(low), Some(high)) if low <= high => Ok(low..=high),
        _ => Err(format!("'{text}' is no TTL or range of them; write for example 255, or 254-255")),
    }
}

/// The addresses that could be read, and whether that is all of them.
fn addresses(item: &Item<'_>, expected: &str) -> Option<(Vec<At<IpAddr>>, bool)> {
    let items = item.one_or_list(expected)?;
    if items.len() > MOST {
        return item.error(Code::TooMany, format!("has {} addresses; write at most {MOST}", items.len()));
    }
    let good: Vec<_> = items.iter().filter_map(|item| item.read(expected, address)).collect();
    let whole = good.len() == items.len();
    Some((good, whole))
}

pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| {
        format!("'{text}' is no IP address; write one without a prefix, for example 192.0.2.1 or 2001:db8::1")
    })?;
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || broadcast {
        return Err(format!("{address} is no address of one host; write the host's own"));
    }
    Ok(address)
}
