//! `metrics`: where they are served besides the agent's sockets, and under which names.

use crate::codes::Code;
use std::net::SocketAddr;

use super::problem::At;
use super::read::Item;

/// What stands under `metrics`.
pub(super) const KEYS: &[&str] = &["listen", "keepalived_names"];

/// How metrics are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// The TCP address; by default they are on the agent's sockets only.
    pub listen: Option<SocketAddr>,
    /// Whether they have the names of an exporter for keepalived, too.
    pub keepalived_names: bool,
}

/// Reads the value of `metrics`.
pub(super) fn read(item: &Item<'_>) -> Option<At<Metrics>> {
    let table = item.table("'listen', 'keepalived_names' or both")?;
    table.only(KEYS, |_| None);
    let listen = table.or("listen", None, |item| {
        item.read("ADDRESS:PORT, for example 127.0.0.1:9113", |text| address(text).map(Some))
    });
    if let (Some(At { spot, value: Some(address) }), Some(_)) = (&listen, table.optional("listen"))
        && !address.ip().is_loopback()
    {
        item.findings.warn(
            spot, Code::InClear,
            "whoever reaches this port learns names, addresses and states, without a password; let a firewall admit \
             the collector alone, or write 127.0.0.1",
        );
    }
    let keepalived_names = table.or("keepalived_names", false, Item::truth);
    Some(item.at(Metrics { listen: listen?.value, keepalived_names: keepalived_names?.value }))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let good = |address: &SocketAddr| address.port() != 0 && !address.ip().is_multicast();
    text.parse().ok().filter(good).ok_or_else(|| {
        format!("'{text}' is no address with a port; write for example 127.0.0.1:9113 or '[::1]:9113'")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_and_is_no_name() {
        assert_eq!(address("127.0.0.1:9113").map(|one| one.port()), Ok(9113));
        assert_eq!(address("[::1]:9113").map(|one| one.ip().is_loopback()), Ok(true));
        for text in
            ["", "127.0.0.1", ":9113", "localhost:9113", "9113", "127.0.0.1:0", "224.0.0.1:9113", "::1:9113x"]
        {
            assert!(address(text).unwrap_err().contains("no address with a port"), "{text}");
        }
    }
}
