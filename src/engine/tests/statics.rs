//! What is there whoever is master.

use alloc::vec::Vec;

use super::driver::*;
use crate::engine::action::Action;
use crate::engine::event::{Change, Event, Picture};
use crate::engine::notice::{State, What};
use crate::engine::settings::{Address, Settings, Statics};

const OWN: &str = "203.0.113.1/24";

fn with_static() -> Settings {
    let address = Address { interface: Some("eth1".into()), ..net(OWN).into() };
    let statics = Statics { addresses: Vec::from([address]), paths: Vec::new() };
    Settings { statics, ..only(instance(100)) }
}

#[test]
fn it_is_there_from_the_first_picture_to_the_end_of_the_last_instance() {
    let mut host = Host::started(with_static());
    assert_eq!((host.state(), host.held()), (State::Backup, [OWN.into()].into()));
    host.pass(SECOND * 4);
    assert_eq!(host.held(), ["192.0.2.10/32", OWN]);
    let actions = host.give(Event::ShutdownNow);
    let removed: Vec<_> = holds(&actions).iter().flat_map(|hold| hold.remove.clone()).collect();
    assert_eq!(removed.iter().map(|place| place.link).collect::<Vec<_>>(), [ETH0, ETH1], "in this order");
    assert!(host.held().is_empty() && host.engine.is_idle());
}

#[test]
fn it_is_put_back_and_left_by_an_earlier_agent_it_stays() {
    let place = crate::engine::action::Place { link: ETH1, net: net(OWN) };
    let mut host = Host::dark(with_static());
    let mut picture = picture();
    picture.addresses.push(ours(place));
    assert!(holds(&host.give(Event::Picture(Picture { ..picture }))).is_empty(), "it is there already");
    let actions = host.change(Change::AddressGone(place));
    assert_eq!(notices(&actions)[0], What::AddressLost { net: net(OWN) });
    assert_eq!(holds(&actions).len(), 1);
}

#[test]
fn a_reload_that_leaves_it_out_removes_it() {
    let mut host = Host::started(with_static());
    host.give(Event::Reload(only(instance(100))));
    assert!(host.held().is_empty());
}

#[test]
fn an_address_that_becomes_static_or_an_instances_is_not_removed_in_between() {
    let mut host = Host::started(with_static());
    host.pass(SECOND * 4);
    let mut own = with_static();
    own.statics.addresses[0] = Address { interface: Some("eth0".into()), ..net("192.0.2.10/32").into() };
    own.instances[0].addresses = Vec::from([net("192.0.2.11/24").into()]);
    let removed = |actions: &[Action]| -> Vec<_> {
        holds(actions).iter().flat_map(|hold| hold.remove.clone()).map(|place| place.net).collect()
    };
    assert_eq!(removed(&host.give(Event::Reload(own))), [net(OWN)]);
    assert_eq!(host.held(), ["192.0.2.10/32", "192.0.2.11/32"]);
    assert_eq!(removed(&host.give(Event::Reload(with_static()))), [net("192.0.2.11/32")]);
    assert_eq!(host.held(), ["192.0.2.10/32", OWN]);
}

#[test]
fn without_its_interface_it_is_named_and_comes_with_it() {
    let mut host = Host::dark(with_static());
    let mut less = picture();
    less.links.pop();
    less.addresses.pop();
    host.give(Event::Picture(less));
    let warnings = host.warnings();
    assert_eq!(warnings, ["static: 203.0.113.1/24 is not installed: interface eth1 does not exist"]);
    host.change(Change::Link(link(ETH1, "eth1")));
    assert_eq!(host.held(), [OWN]);
}
