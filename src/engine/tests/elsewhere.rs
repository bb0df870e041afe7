//! Addresses about which there is more to say: on another interface, not advertised, of a form of their own.

use alloc::vec::Vec;

use super::driver::*;
use crate::engine::action::{Form, Passage};
use crate::engine::event::{Change, Claim, Event, Picture};
use crate::engine::notice::{Reason, State, What};
use crate::engine::settings::{Address, Instance, Settings};
use crate::net::Family;

/// 192.0.2.10 where the adverts travel and 198.51.100.10 on eth1.
fn astride() -> Settings {
    let elsewhere = Address { interface: Some("eth1".into()), ..net("198.51.100.10/24").into() };
    let addresses = Vec::from([net("192.0.2.10/24").into(), elsewhere]);
    Settings { instances: [Instance { addresses, ..instance(100) }].into(), ..Settings::default() }
}

/// 192.0.2.10, and `2001:db8::10` that no advert lists.
fn excluded() -> Settings {
    let six = Address { advertised: false, ..net("2001:db8::10/64").into() };
    only(Instance { addresses: [net("192.0.2.10/24").into(), six].into(), ..instance(100) })
}

fn formed(form: Form) -> Settings {
    let address = Address { form, ..net("192.0.2.10/32").into() };
    only(Instance { addresses: [address].into(), ..instance(100) })
}

fn places(host: &Host) -> Vec<(u32, alloc::string::String)> {
    let place = |place: &crate::engine::action::Place| (place.link.0, alloc::format!("{}", place.net));
    host.kernel.iter().map(place).collect()
}

#[test]
fn an_address_goes_to_its_own_interface_and_leaves_it_again() {
    let mut host = Host::master(astride());
    assert_eq!(places(&host), [(2, "192.0.2.10/32".into()), (3, "198.51.100.10/32".into())]);
    host.hear(&advert(200));
    assert_eq!(places(&host), []);
}

#[test]
fn the_lease_of_an_address_elsewhere_hangs_on_the_adverts_where_they_leave() {
    let mut host = Host::started(astride());
    let gates = gates(&host.pass(SECOND * 4));
    let open = gates.iter().find(|gate| gate.passage == Passage::Open).unwrap();
    assert_eq!(open.places.iter().map(|place| place.link).collect::<Vec<_>>(), [ETH0, ETH1]);
    assert_eq!(open.lease.unwrap().link, ETH0);
}

#[test]
fn without_its_interface_an_address_waits_and_the_instance_goes_on() {
    let mut host = Host::dark(astride());
    let mut links = picture();
    links.links.pop();
    links.addresses.pop();
    host.give(Event::Picture(links));
    host.pass(SECOND * 4);
    assert_eq!((host.state(), host.held()), (State::Master, ["192.0.2.10/32".into()].into()));
    let trouble = host.instance().addresses[1].trouble.clone();
    assert_eq!(trouble.as_deref(), Some("interface eth1 does not exist"));
    host.change(Change::Link(link(ETH1, "eth1")));
    assert_eq!(places(&host).len(), 2);
    assert_eq!(host.instance().addresses[1].trouble, None);
}

#[test]
fn an_interface_that_goes_takes_only_its_own_addresses() {
    let mut host = Host::master(astride());
    host.kernel.retain(|place| place.link == ETH0);
    host.change(Change::LinkGone(ETH1));
    assert_eq!((host.state(), host.held()), (State::Master, ["192.0.2.10/32".into()].into()));
    host.change(Change::Link(link(ETH1, "eth1")));
    assert_eq!(places(&host), [(2, "192.0.2.10/32".into()), (3, "198.51.100.10/24".into())]);
}

#[test]
fn an_address_elsewhere_that_the_host_has_itself_is_a_fault() {
    let mut host = Host::dark(astride());
    let mut links = picture();
    links.addresses.push(foreign(ETH1, "198.51.100.10/24"));
    host.give(Event::Picture(Picture { ..links }));
    assert!(matches!(host.reason(), Reason::AddressTaken { .. }), "{}", host.reason());
    // Where it is not configured it is nobody's business.
    let mut host = Host::dark(astride());
    let mut links = picture();
    links.addresses.push(foreign(ETH0, "198.51.100.10/32"));
    host.give(Event::Picture(links));
    host.pass(SECOND * 4);
    assert_eq!(host.state(), State::Master);
}

#[test]
fn a_claim_counts_on_the_interface_that_has_the_address() {
    let mut host = Host::master(astride());
    let claim = |link| Event::Claim(Claim { link, mac: THEIR_MAC, address: ip("198.51.100.10") });
    assert!(notices(&host.give(claim(ETH0))).is_empty());
    let told = notices(&host.give(claim(ETH1)));
    assert!(matches!(told[..], [What::ForeignClaim { .. }]), "{told:?}");
}

#[test]
fn what_is_not_advertised_has_no_router_and_moves_all_the_same() {
    let mut host = Host::master(excluded());
    assert_eq!(host.instance().routers.iter().map(|r| r.family).collect::<Vec<_>>(), [Family::Ipv4]);
    assert_eq!(host.held(), ["192.0.2.10/32", "2001:db8::10/128"]);
    assert!(adverts(&host.pass(SECOND)).iter().all(|advert| advert.addresses == [ip("192.0.2.10")]));
    host.hear(&advert(200));
    assert!(host.held().is_empty());
}

#[test]
fn what_is_not_advertised_is_leased_by_the_adverts_of_the_other_family() {
    let mut host = Host::started(excluded());
    let gates = gates(&host.pass(SECOND * 4));
    let open: Vec<_> = gates.iter().filter(|gate| gate.passage == Passage::Open).collect();
    assert_eq!(open.iter().map(|gate| gate.router.family).collect::<Vec<_>>(), [Family::Ipv4, Family::Ipv6]);
    assert!(open.iter().all(|gate| gate.lease.is_some_and(|lease| lease.source == ip("192.0.2.5"))));
}

#[test]
fn a_master_that_does_not_list_what_we_do_not_advertise_agrees_with_us() {
    let mut host = Host::started(excluded());
    host.hear(&advert(200));
    assert_eq!(host.router(Family::Ipv4).counters.address_mismatches, 0);
    let mut other = advert(200);
    other.addresses = [ip("192.0.2.11")].into();
    host.hear(&other);
    assert_eq!(host.router(Family::Ipv4).counters.address_mismatches, 1);
}

#[test]
fn an_address_that_is_to_be_left_alone_stays_away_until_the_next_time_as_master() {
    let mut host = Host::master(formed(Form { left_alone: true, ..Form::default() }));
    let told = notices(&host.delete("192.0.2.10/32"));
    assert_eq!(told, [What::AddressLeft { net: net("192.0.2.10/32") }]);
    host.pass(SECOND * 60);
    assert!(host.held().is_empty());
    assert!(host.instance().addresses[0].trouble.is_some());
    host.hear(&advert(200));
    host.pass(SECOND * 4);
    assert_eq!((host.state(), host.held()), (State::Master, ["192.0.2.10/32".into()].into()));
}

#[test]
fn another_form_takes_the_address_away_and_puts_it_back() {
    let mut host = Host::master(formed(Form::default()));
    let orders = holds(&host.give(Event::Reload(formed(Form { scope: 253, ..Form::default() }))));
    assert_eq!(orders.len(), 2, "{orders:?}");
    assert_eq!(orders[0].remove, [on_eth0("192.0.2.10/32")]);
    assert_eq!(orders[1].install[0].form.scope, 253);
    assert!(host.give(Event::Reload(formed(Form { scope: 253, ..Form::default() }))).len() <= 1);
}
