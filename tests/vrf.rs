//! Instances on interfaces that are in a VRF: adverts both ways, addresses, announcements, takeover, also with a virtual MAC
//! and by unicast. Not every kernel has VRFs, so these are run by hand, as root.
//!
//! ```text
//! cargo test --test vrf -- --ignored
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::net::IpAddr;
use std::time::Duration;

use lab::probe::Echo;
use lab::vipd::Programs;
use lab::{Agent, Host, Lab, Probe, Router, Sniffer, Vipd, claim, isolated, now, until};
use pnet::util::MacAddr;

const SOON: Duration = Duration::from_secs(30);
const FOUR: &str = "192.0.2.100";
const SIX: &str = "2001:db8::100";
const TABLE: &str = "100";

/// A host whose interface is in a VRF, with a service there.
fn host(lab: &Lab, name: &str) -> (Host, Echo) {
    let host = lab.host(name);
    host.run("ip", &["link", "add", "blue", "type", "vrf", "table", TABLE]);
    host.run("ip", &["link", "set", "blue", "up"]);
    enslave(&host);
    let echo = Echo::in_vrf(&host, "blue");
    (host, echo)
}

/// Moves the interface into the VRF, which costs it its IPv6 addresses.
fn enslave(host: &Host) {
    host.run("ip", &["link", "set", "eth0", "master", "blue"]);
    host.set_up();
}

fn start(host: &Host, router: Router) -> Vipd {
    let programs = Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"));
    Vipd::start(host, &programs, &router.into())
}

/// Adverts once a second: the machine may be an emulated one.
fn router(priority: u8) -> Router {
    Router::new("web", 51, priority, &format!("{FOUR}/24")).every(1000).and(&format!("{SIX}/64"))
}

/// The local routes of both addresses are in the VRF's table, and nowhere else.
fn is_routed_in_the_vrf(host: &Host) -> bool {
    [("-4", FOUR), ("-6", SIX)].iter().all(|(family, address)| {
        let shown = host.run("ip", &[family, "route", "show", "table", "all", "type", "local", address]);
        shown.lines().count() == 1 && shown.contains(&format!("table {TABLE}"))
    })
}

/// A master and a backup; the master dies, and comes back.
fn share(lab: &Lab, form: impl Fn(&Host, &Host, Router) -> Router, macs: impl Fn(&Host) -> [MacAddr; 2]) {
    let ((lb1, _one), (lb2, _two), client) = (host(lab, "lb1"), host(lab, "lb2"), lab.host("client"));
    let mut first = start(&lb1, form(&lb1, &lb2, router(150)));
    first.wait_state("web", "master");
    let second = start(&lb2, form(&lb2, &lb1, router(100)));
    until("lb2 hears lb1 in both families", SOON, || {
        let instance = second.instance("web");
        let routers = instance["routers"].as_array()?;
        let hears = |router: &serde_json::Value| router["counters"]["adverts_received"].as_u64() > Some(4);
        routers.iter().all(hears).then_some(())
    });
    assert_eq!(second.instance("web")["times_master"], 0);
    let addresses: [IpAddr; 2] = [FOUR.parse().unwrap(), SIX.parse().unwrap()];
    let probes = addresses.map(|address| Probe::start(&client, address));
    let answers = |host: &Host, from| {
        for (address, mac) in addresses.into_iter().zip(macs(host)) {
            until(&format!("{address} is at {mac} alone"), SOON, || {
                (claim::who_has(&client, address) == [mac].into()).then_some(())
            });
        }
        for probe in &probes {
            probe.wait_for(host, from, SOON);
        }
        until("the local routes are there", SOON, || is_routed_in_the_vrf(host).then_some(()));
    };
    answers(&lb1, 0);
    let sniffer = Sniffer::on(&client);
    let from = now();
    first.process().kill();
    second.wait_state("web", "master");
    until("lb2 announces both", SOON, || {
        let announced = |(address, mac): (IpAddr, MacAddr)| {
            sniffer.announcements(mac, from).iter().any(|(_, announced)| *announced == address)
        };
        addresses.into_iter().zip(macs(&lb2)).all(announced).then_some(())
    });
    answers(&lb2, from);
    let mut first = start(&lb1, form(&lb1, &lb2, router(150)));
    first.wait_state("web", "master");
    second.wait_state("web", "backup");
    answers(&lb1, now());
    assert_eq!(first.status()["warnings"], serde_json::json!([]));
    first.process().stop();
    let left = lb1.run("ip", &["route", "show", "table", "all", "type", "local"]);
    assert!(!left.contains(FOUR), "{left}");
}

fn own(host: &Host) -> [MacAddr; 2] {
    [host.mac(); 2]
}

#[test]
#[ignore = "needs a kernel with VRFs"]
fn an_instance_in_a_vrf_works_as_any_other() {
    isolated(|lab| share(lab, |_, _, router| router, own));
}

#[test]
#[ignore = "needs a kernel with VRFs"]
fn an_instance_in_a_vrf_works_by_unicast() {
    let of = |host: &Host| [IpAddr::from(host.ipv4()), host.ipv6().into()];
    isolated(|lab| share(lab, |own, other, router| router.unicast(&of(own), &of(other)), own));
}

#[test]
#[ignore = "needs a kernel with VRFs"]
fn an_instance_in_a_vrf_works_with_a_virtual_mac() {
    let macs = [MacAddr(0, 0, 0x5e, 0, 1, 51), MacAddr(0, 0, 0x5e, 0, 2, 51)];
    isolated(|lab| share(lab, |_, _, router| router.vipd("virtual_mac: true"), |_| macs));
}

/// What an operator does to a running host; a link with a virtual MAC follows within a second.
fn moves_into_a_vrf(lab: &Lab, router: Router, mac: impl Fn(&Host) -> MacAddr) {
    let (lb1, client) = (lab.host("lb1"), lab.host("client"));
    lb1.run("ip", &["link", "add", "blue", "type", "vrf", "table", TABLE]);
    lb1.run("ip", &["link", "set", "blue", "up"]);
    let vipd = start(&lb1, router);
    vipd.wait_state("web", "master");
    let is_found = |when: &str| {
        vipd.wait_state("web", "master");
        until(&format!("they are found {when}"), SOON, || {
            (claim::who_has(&client, FOUR.parse().unwrap()) == [mac(&lb1)].into()).then_some(())
        });
    };
    enslave(&lb1);
    until("the local routes are in the VRF", SOON, || is_routed_in_the_vrf(&lb1).then_some(()));
    is_found("in the VRF");
    lb1.run("ip", &["link", "set", "eth0", "nomaster"]);
    lb1.set_up();
    until("the local routes are not in the VRF", SOON, || {
        let left = lb1.run("ip", &["route", "show", "table", "all", "type", "local", FOUR]);
        (left.lines().count() == 1 && !left.contains(&format!("table {TABLE}"))).then_some(())
    });
    is_found("outside again");
}

#[test]
#[ignore = "needs a kernel with VRFs"]
fn an_interface_that_moves_into_a_vrf_and_out_keeps_its_addresses() {
    isolated(|lab| moves_into_a_vrf(lab, router(150), Host::mac));
}

#[test]
#[ignore = "needs a kernel with VRFs"]
fn an_interface_that_moves_into_a_vrf_and_out_keeps_its_virtual_mac() {
    let mac = |_: &Host| MacAddr(0, 0, 0x5e, 0, 1, 51);
    isolated(|lab| moves_into_a_vrf(lab, router(150).vipd("virtual_mac: true"), mac));
}
