//! What keeps an instance in FAULT, and that it waits there instead of giving up: interfaces, addresses, sockets.

use alloc::vec::Vec;

use super::driver::*;
use crate::engine::action::{Action, KernelWork, Listen};
use crate::engine::event::{Change, Event, Link, LinkAddress, Opened, Picture};
use crate::engine::notice::{Reason, State};
use crate::engine::settings::{Instance, Unicast};
use crate::net::{Family, LinkIndex, Vrid};

const NOTHING: [&str; 0] = [];

fn missing() -> Reason {
    Reason::InterfaceMissing { interface: "eth0".into() }
}

fn no_source(family: Family) -> Reason {
    Reason::NoSource { interface: "eth0".into(), family }
}

fn down(index: LinkIndex, name: &str) -> Link {
    Link { up: false, ..link(index, name) }
}

// The interface.

#[test]
fn an_interface_that_is_missing_is_waited_for() {
    let mut host = Host::dark(only(instance(100)));
    host.give(Event::Picture(Picture::default()));
    assert_eq!((host.state(), host.reason()), (State::Fault, missing()));
    assert_eq!(host.pass(SECOND * 60), []);
    host.change(Change::Link(link(ETH0, "eth0")));
    assert_eq!(host.reason(), no_source(Family::Ipv4));
    host.change(Change::Address(foreign(ETH0, "192.0.2.5/24")));
    assert_eq!((host.state(), host.reason()), (State::Backup, Reason::Listening));
    host.pass(SECOND * 4);
    assert_eq!((host.state(), host.held()), (State::Master, ["192.0.2.10/32".into()].into()));
}

#[test]
fn an_interface_that_vanishes_under_a_master_takes_the_addresses_with_it() {
    let mut host = Host::master(only(instance(100)));
    let actions = host.change(Change::LinkGone(ETH0));
    assert_eq!((host.state(), host.reason()), (State::Fault, missing()));
    assert_eq!(outline(&actions), ["forget"], "there is nothing left to send from or to remove");
    assert!(!host.instance().addresses[0].installed);
    // It comes back under another number.
    let again = LinkIndex(7);
    host.kernel.clear();
    host.change(Change::Link(link(again, "eth0")));
    host.change(Change::Address(foreign(again, "192.0.2.5/24")));
    host.pass(SECOND * 4);
    assert_eq!(host.state(), State::Master);
    assert_eq!(host.kernel.first().unwrap().link, again);
}

#[test]
fn an_interface_that_goes_down_is_a_fault_until_it_comes_back() {
    let mut host = Host::master(only(instance(100)));
    let actions = host.change(Change::Link(down(ETH0, "eth0")));
    assert_eq!(host.reason(), Reason::InterfaceDown { interface: "eth0".into() });
    assert_eq!(outline(&actions)[..2], ["shut 192.0.2.10/32", "remove 192.0.2.10/32"]);
    host.pass(SECOND * 60);
    assert_eq!(host.held(), NOTHING);
    host.change(Change::Link(link(ETH0, "eth0")));
    assert_eq!((host.state(), host.reason()), (State::Backup, Reason::Listening));
    host.pass(SECOND * 4);
    assert_eq!(host.state(), State::Master);
}

#[test]
fn without_a_carrier_one_that_does_not_follow_its_interface_goes_on() {
    let unfollowing = Instance { follow_interface: false, ..instance(100) };
    let mut host = Host::master(only(unfollowing));
    assert_eq!(outline(&host.change(Change::Link(down(ETH0, "eth0")))), NOTHING);
    assert_eq!((host.state(), host.held()), (State::Master, ["192.0.2.10/32".into()].into()));
    assert_eq!(outline(&host.pass(SECOND)), ["IPv4 advert 100"]);
    let actions = host.change(Change::Link(link(ETH0, "eth0")));
    let again = [outline(&actions), outline(&host.pass(ms(1)))].concat();
    assert_eq!(again, ["announce 192.0.2.10/32"], "nobody has heard of it meanwhile");
    host.change(Change::Link(Link { set_up: false, ..down(ETH0, "eth0") }));
    assert_eq!(host.reason(), Reason::InterfaceDown { interface: "eth0".into() });
    assert_eq!(host.held(), NOTHING);
    host.change(Change::Link(down(ETH0, "eth0")));
    assert_eq!((host.state(), host.reason()), (State::Backup, Reason::Listening));
    host.change(Change::LinkGone(ETH0));
    assert_eq!((host.state(), host.reason()), (State::Fault, missing()));
}

#[test]
fn another_interface_that_goes_down_is_no_concern() {
    let mut host = Host::master(only(instance(100)));
    assert_eq!(host.change(Change::Link(down(ETH1, "eth1"))), []);
    assert_eq!(host.change(Change::LinkGone(ETH1)), []);
    assert_eq!(host.state(), State::Master);
}

#[test]
fn an_interface_that_is_renamed_is_missing() {
    let mut host = Host::master(only(instance(100)));
    host.change(Change::Link(link(ETH0, "lan0")));
    assert_eq!(host.reason(), missing());
    assert_eq!(host.held(), NOTHING);
}

// Another agent.

#[test]
fn beside_another_agent_nothing_is_touched_until_it_is_gone() {
    let mut host = Host::dark(only(instance(255)));
    let why = "another vipd runs";
    assert_eq!(outline(&host.give(Event::Excluded { why: why.into() })), NOTHING);
    assert_eq!((host.state(), host.reason()), (State::Fault, Reason::Excluded { why: why.into() }));
    assert_eq!(outline(&host.pass(SECOND * 60)), NOTHING);
    assert_eq!(outline(&host.give(Event::Reload(only(instance(100))))), NOTHING);
    let links = [link(ETH0, "eth0")].into();
    let addresses = [foreign(ETH0, "192.0.2.5/24"), ours(on_eth0("192.0.2.10/32"))].into();
    let actions = host.give(Event::Picture(Picture { links, addresses }));
    assert!(outline(&actions).contains(&"remove 192.0.2.10/32".into()), "the other one left it: {actions:?}");
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn an_agent_that_was_never_let_begin_ends_at_once() {
    let mut host = Host::dark(only(instance(100)));
    host.give(Event::Excluded { why: "another vipd runs".into() });
    assert_eq!(outline(&host.give(Event::Shutdown)), NOTHING);
    assert!(host.engine.is_idle());
}

#[test]
fn a_master_whose_interface_is_renamed_resigns_before_its_socket_is_closed() {
    let mut renamed = picture();
    renamed.links[0].name = "lan0".into();
    for event in [Event::Change(Change::Link(link(ETH0, "lan0"))), Event::Picture(renamed)] {
        let mut host = Host::master(only(dual(100)));
        let actions = host.give(event);
        let is_sent = |action: &Action| matches!(action, Action::Send(_));
        let is_closed = |action: &Action| matches!(action, Action::Kernel(KernelWork::Listen(_)));
        assert_eq!(outline(&actions)[..2], ["IPv4 advert 0", "IPv6 advert 0"]);
        let closed = actions.iter().position(is_closed).unwrap();
        assert!(actions.iter().rposition(is_sent).unwrap() < closed);
        assert_eq!(adverts(&host.pass(SECOND * 5)), []);
    }
}

// The source.

#[test]
fn a_master_whose_source_address_goes_lets_the_virtual_ones_go() {
    let mut host = Host::master(only(instance(100)));
    let actions = host.change(Change::AddressGone(on_eth0("192.0.2.5/24")));
    assert_eq!((host.state(), host.reason()), (State::Fault, no_source(Family::Ipv4)));
    assert!(outline(&actions).contains(&"remove 192.0.2.10/32".into()));
    host.change(Change::Address(foreign(ETH0, "192.0.2.5/24")));
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn a_virtual_address_is_never_a_source() {
    let mut host = Host::dark(only(instance(100)));
    let links = [link(ETH0, "eth0")].into();
    let addresses = [ours(on_eth0("192.0.2.99/24"))].into();
    host.give(Event::Picture(Picture { links, addresses }));
    assert_eq!(host.reason(), no_source(Family::Ipv4));
}

#[test]
fn a_tentative_address_is_no_source_until_it_is_usable() {
    let tentative = |usable| LinkAddress { usable, ..foreign(ETH0, "fe80::5/64") };
    let six = Instance { addresses: nets(&["2001:db8::10/64"]), ..instance(100) };
    let mut host = Host::dark(only(six));
    let links = [link(ETH0, "eth0")].into();
    host.give(Event::Picture(Picture { links, addresses: [tentative(false)].into() }));
    assert_eq!((host.state(), host.reason()), (State::Fault, no_source(Family::Ipv6)));
    host.change(Change::Address(tentative(true)));
    assert_eq!((host.state(), host.router(Family::Ipv6).source), (State::Backup, Some(US6)));
}

#[test]
fn ipv4_adverts_come_from_the_primary_address() {
    let mut host = Host::dark(only(instance(100)));
    let mut picture = picture();
    picture.addresses.push(foreign(ETH0, "192.0.2.4/24"));
    host.give(Event::Picture(picture));
    assert_eq!(host.router(Family::Ipv4).source, Some(US), "the kernel names the primary address first");
}

#[test]
fn ipv6_adverts_come_from_the_link_local_address() {
    let host = Host::started(only(dual(100)));
    assert_eq!(host.router(Family::Ipv4).source, Some(US));
    assert_eq!(host.router(Family::Ipv6).source, Some(US6));
}

#[test]
fn a_unicast_source_that_this_host_does_not_have_is_waited_for() {
    let unicast = Unicast { sources: [ip("192.0.2.6")].into(), peers: [PEER].map(peer).into() };
    let mut host = Host::started(only(Instance { unicast: Some(unicast), ..instance(100) }));
    assert_eq!(host.reason(), Reason::SourceMissing { source: ip("192.0.2.6") });
    host.change(Change::Address(foreign(ETH0, "192.0.2.6/32")));
    assert_eq!((host.state(), host.router(Family::Ipv4).source), (State::Backup, Some(ip("192.0.2.6"))));
}

#[test]
fn an_instance_in_fault_sends_nothing_and_wants_nothing() {
    let mut host = Host::started(only(instance(255)));
    host.change(Change::AddressGone(on_eth0("192.0.2.5/24")));
    assert_eq!(host.state(), State::Fault);
    for _ in 0..10 {
        assert_eq!(outline(&host.pass(SECOND)), NOTHING);
        assert_eq!(outline(&host.hear(&advert(0))), NOTHING);
    }
}

// The socket.

/// An instance whose socket is not there yet, and the order for it.
fn waiting() -> (Host, Listen) {
    let mut host = Host::dark(only(instance(100)));
    host.obliging = false;
    let orders = listens(&host.give(Event::Picture(picture())));
    assert_eq!(orders.len(), 1);
    let [order] = <[Listen; 1]>::try_from(orders).unwrap();
    (host, order)
}

fn refuse(host: &mut Host, order: &Listen) -> Vec<Action> {
    host.give(Event::Opened(Opened { refused: Some(refusal("open a socket: no")), ..open(order) }))
}

#[test]
fn an_instance_starts_when_its_socket_is_open() {
    let (mut host, order) = waiting();
    assert_eq!(order.groups, Some([Family::Ipv4.group()].into()));
    assert_eq!(host.state(), State::Init);
    host.pass(SECOND * 60);
    assert_eq!(host.state(), State::Init, "deaf, it must not believe itself alone");
    host.give(Event::Opened(open(&order)));
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn an_interface_that_appears_late_does_not_look_like_a_start_of_the_agent() {
    let mut host = Host::dark(only(instance(100)));
    host.obliging = false;
    host.give(Event::Picture(Picture::default()));
    host.change(Change::Link(link(ETH0, "eth0")));
    assert_eq!((host.state(), host.reason()), (State::Init, Reason::Opening));
}

#[test]
fn a_socket_that_is_refused_is_tried_again_ever_more_slowly() {
    let (mut host, mut order) = waiting();
    for pause in [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000] {
        refuse(&mut host, &order);
        assert_eq!(
            (host.state(), host.reason()),
            (State::Fault, Reason::NoSocket { why: "open a socket: no".into() })
        );
        assert_eq!(host.pass(ms(pause - 1)), [], "{pause}");
        order = listens(&host.pass(ms(1))).remove(0);
        assert_eq!(host.state(), State::Fault, "a new attempt is no reason to hope");
    }
    host.give(Event::Opened(open(&order)));
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn an_answer_to_an_older_order_for_a_socket_is_ignored() {
    let (mut host, first) = waiting();
    refuse(&mut host, &first);
    host.pass(ms(100));
    host.give(Event::Opened(open(&first)));
    assert_eq!(host.state(), State::Fault);
}

#[test]
fn instances_of_one_interface_share_a_socket() {
    let other = Instance { vrid: Vrid::new(52).unwrap(), name: "mail".into(), ..instance(100) };
    let mut host = Host::dark(all([instance(100), other]));
    let orders = listens(&host.give(Event::Picture(picture())));
    assert_eq!(orders.len(), 1);
}
