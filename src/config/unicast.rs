//! `unicast`: adverts to named peers instead of the multicast group.

use std::net::IpAddr;

use super::problem::At;
use super::read::Item;
use crate::engine::settings;
use crate::net::Family;

/// What stands under `unicast`.
pub(super) const KEYS: &[&str] = &["source", "peers"];

/// How many peers there may be: every advert is sent to each of them.
const MOST: usize = 255;

/// The value of `unicast` as written.
#[derive(Debug)]
pub(super) struct Unicast {
    pub(super) sources: Vec<At<IpAddr>>,
    pub(super) peers: Vec<At<IpAddr>>,
    /// Nothing was left out because it was wrong.
    pub(super) whole: bool,
}

impl Unicast {
    pub(super) fn settings(&self) -> settings::Unicast {
        let plain = |list: &[At<IpAddr>]| list.iter().map(|at| at.value).collect();
        settings::Unicast { sources: plain(&self.sources), peers: plain(&self.peers) }
    }
}

/// Reads the value of `unicast`.
pub(super) fn read(item: &Item<'_>) -> Option<At<Unicast>> {
    let table = item.table("'source' and 'peers'")?;
    table.only(KEYS, |_| None);
    let peers =
        table.required("peers", "[192.0.2.2]").and_then(|item| addresses(item, "the peers' addresses"));
    let sources = match table.optional("source") {
        None => Some((Vec::new(), true)),
        Some(item) => addresses(item, "an address of this host, or one for each family"),
    };
    let whole = matches!((&peers, &sources), (Some((_, true)), Some((_, true))));
    let (sources, peers) = (sources.unwrap_or_default().0, peers.unwrap_or_default().0);
    for (index, source) in sources.iter().enumerate() {
        let family = Family::of(source.value);
        if sources[..index].iter().any(|other| Family::of(other.value) == family) {
            item.findings.error(&source.spot, format!("a second {family} source; write one for each family"));
        }
    }
    for (index, peer) in peers.iter().enumerate() {
        if peers[..index].iter().any(|other| other.value == peer.value) {
            item.findings.error(&peer.spot, format!("{} is written twice; remove one", peer.value));
        }
        if sources.iter().any(|source| source.value == peer.value) {
            let what = format!("{} is this host's own source; write the other hosts' addresses", peer.value);
            item.findings.error(&peer.spot, what);
        }
    }
    Some(item.at(Unicast { sources, peers, whole }))
}

/// The addresses that could be read, and whether that is all of them.
fn addresses(item: &Item<'_>, expected: &str) -> Option<(Vec<At<IpAddr>>, bool)> {
    let items = item.one_or_list(expected)?;
    if items.len() > MOST {
        return item.error(format!("has {} addresses; write at most {MOST}", items.len()));
    }
    let good: Vec<_> = items.iter().filter_map(|item| item.read(expected, address)).collect();
    let whole = good.len() == items.len();
    Some((good, whole))
}

fn address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| {
        format!("'{text}' is no IP address; write one without a prefix, for example 192.0.2.1 or 2001:db8::1")
    })?;
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || broadcast {
        return Err(format!("{address} is no address of one host; write the host's own"));
    }
    Ok(address)
}
