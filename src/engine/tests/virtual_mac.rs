//! Links of the virtual routers' own: made, up and down in time, and spoken through by a master alone.

use super::driver::*;
use crate::engine::action::{Action, KernelWork, VirtualLink, VirtualLinkId};
use crate::engine::event::{Change, Claim, Event, Gated, Gating, Link, Refusal, Target};
use crate::engine::foresight::Supposition;
use crate::engine::notice::{Reason, State, What};
use crate::engine::settings::{Adverts, Instance, Unicast, VirtualMac};
use crate::engine::status::VirtualLinkStatus;
use crate::net::{Family, LinkIndex, Mac, Vrid};
use crate::time::Duration;

const OWN4: LinkIndex = LinkIndex(101);

fn id(family: Family) -> VirtualLinkId {
    VirtualLinkId { below: ETH0, mac: Mac::of_virtual_router(family, Vrid::new(51).unwrap()) }
}

fn with_virtual_mac(instance: Instance) -> Instance {
    Instance { virtual_mac: Some(VirtualMac { name: None, adverts: Adverts::Virtual }), ..instance }
}

/// By which link each advert leaves, with its priority.
fn adverts(actions: &[Action]) -> Vec<(LinkIndex, u8)> {
    let sent = actions.iter().filter_map(|action| match action {
        Action::Send(sent) => Some((sent.endpoint.link, sent.payload[2])),
        Action::Kernel(_) | Action::Tell(_) => None,
    });
    sent.collect()
}

fn links(actions: &[Action]) -> Vec<VirtualLink> {
    let ordered = actions.iter().filter_map(|action| match action {
        Action::Kernel(KernelWork::Link(link)) => Some(link.clone()),
        Action::Kernel(_) | Action::Send(_) | Action::Tell(_) => None,
    });
    ordered.collect()
}

#[test]
fn a_backup_has_a_link_of_its_own_and_it_is_down() {
    let mut host = Host::dark(only(with_virtual_mac(dual(100))));
    let actions = host.give(Event::Picture(picture()));
    assert_eq!(
        outline(&actions),
        ["down vrrp.51", "down vrrp6.51", "shut 192.0.2.10/32", "shut 2001:db8::10/128"]
    );
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn the_first_advert_is_by_the_interface_and_the_others_by_the_link_of_its_own() {
    let mut host = Host::started(only(with_virtual_mac(instance(100))));
    let actions = host.until(Duration::from_micros(3_609_375));
    assert_eq!(
        outline(&actions),
        ["IPv4 advert 100", "open 192.0.2.10/32", "up vrrp.51", "install 192.0.2.10/32"],
        "the link is up before the addresses go in"
    );
    assert_eq!(adverts(&actions), [(ETH0, 100)]);
    assert_eq!(adverts(&host.pass(SECOND)), [(OWN4, 100)]);
}

#[test]
fn addresses_answer_with_the_virtual_routers_ethernet_address() {
    let mut host = Host::started(only(with_virtual_mac(instance(100))));
    let actions = host.until(Duration::from_micros(3_609_375));
    let hold = holds(&actions).remove(0);
    let placement = hold.install[0];
    assert_eq!((placement.place.link, placement.mac), (OWN4, Some(id(Family::Ipv4).mac)));
    let gate = gates(&actions).remove(0);
    let own = gate.virtual_link.unwrap();
    assert_eq!((own.link, own.id, own.source), (OWN4, id(Family::Ipv4), Some(US)));
    assert_eq!(gate.lease.unwrap().link, ETH0, "whatever leaves by the link leaves by the interface, too");
}

#[test]
fn adverts_stay_with_the_interface_if_told_so_or_if_they_are_for_named_peers() {
    let adverts_by = |adverts| Some(VirtualMac { name: None, adverts });
    for instance in [
        Instance { virtual_mac: adverts_by(Adverts::Interface), ..instance(100) },
        Instance {
            unicast: Some(Unicast { sources: [US].into(), peers: [peer(PEER)].into() }),
            ..with_virtual_mac(instance(100))
        },
    ] {
        let mut host = Host::master(only(instance));
        assert_eq!(adverts(&host.pass(SECOND)), [(ETH0, 100)]);
    }
}

#[test]
fn who_resigns_or_says_farewell_leaves_the_link_of_its_own_alone() {
    let mut host = Host::master(only(with_virtual_mac(instance(100))));
    let actions = host.hear(&advert(200));
    assert_eq!(adverts(&actions), [(ETH0, 100)], "the better master has shown where it is");
    assert_eq!(
        outline(&actions),
        ["IPv4 advert 100", "shut 192.0.2.10/32", "remove 192.0.2.10/32", "down vrrp.51"],
        "the link is down when its addresses are gone"
    );
    let mut host = Host::master(only(with_virtual_mac(instance(100))));
    assert_eq!(adverts(&host.give(Event::StepDown(Target::All))), [(ETH0, 0)]);
    let actions = host.hear(&advert(100));
    assert_eq!(
        outline(&actions),
        ["shut 192.0.2.10/32"],
        "frames follow the successor, and must not come back"
    );
}

#[test]
fn an_advert_that_cannot_leave_by_the_link_of_its_own_leaves_by_the_interface() {
    let mut host = Host::master(only(with_virtual_mac(instance(100))));
    assert_eq!(adverts(&host.pass(SECOND)), [(OWN4, 100)]);
    let (instance, refusal) =
        (crate::engine::action::InstanceId(1), Refusal { errno: 101, why: "unreachable".into() });
    let failed = Event::SendFailed { instance, family: Family::Ipv4, refusal: refusal.clone() };
    assert_eq!(adverts(&host.give(failed)), [(ETH0, 100)]);
    assert_eq!(adverts(&host.pass(SECOND)), [(ETH0, 100)]);
    let failed = Event::SendFailed { instance, family: Family::Ipv4, refusal };
    assert_eq!(adverts(&host.give(failed)), [], "there is no other way");
    assert_eq!(
        host.pass(SECOND * 10).iter().filter(|a| adverts(&[(*a).clone()]) == [(OWN4, 100)]).count(),
        1
    );
}

#[test]
fn a_link_that_somebody_removes_is_made_again_with_its_addresses() {
    let mut host = Host::master(only(with_virtual_mac(instance(100))));
    host.change(Change::LinkGone(OWN4));
    let actions = host.pass(ms(10));
    assert_eq!(notices(&actions), [What::VirtualLinkLost { name: "vrrp.51".into() }]);
    assert_eq!(outline(&actions), ["up vrrp.51", "install 192.0.2.10/32"]);
    assert_eq!(host.state(), State::Master);
}

#[test]
fn a_link_that_is_removed_again_and_again_is_a_fault() {
    let mut host = Host::master(only(with_virtual_mac(instance(100))));
    for _ in 0..5 {
        host.change(Change::LinkGone(OWN4));
        assert_eq!(notices(&host.pass(ms(10))).len(), 1);
    }
    host.change(Change::LinkGone(OWN4));
    host.pass(ms(10));
    let why = "another program keeps removing it";
    assert_eq!((host.state(), host.reason()), (State::Fault, Reason::NoVirtualLink { why: why.into() }));
}

#[test]
fn a_link_that_is_removed_while_it_is_being_set_is_made_again_at_once() {
    let mut host = Host::master(only(with_virtual_mac(instance(100))));
    host.obliging = false;
    // The kernel sets down what it removes, and says so first.
    let orders = links(&host.change(Change::Link(own_link(id(Family::Ipv4), "vrrp.51", false))));
    assert_eq!(orders.len(), 1);
    let gone = Refusal { errno: 19, why: "set vrrp.51 up: No such device".into() };
    host.give(Event::Linked(linked(&orders[0], Some(gone))));
    assert_eq!(host.state(), State::Master);
    host.obliging = true;
    host.change(Change::LinkGone(OWN4));
    assert_eq!(outline(&host.pass(ms(10))), ["up vrrp.51", "install 192.0.2.10/32"]);
    assert_eq!(host.state(), State::Master);
}

#[test]
fn a_link_that_cannot_be_made_for_want_of_a_device_is_a_fault() {
    let mut host = Host::dark(only(with_virtual_mac(instance(100))));
    host.obliging = false;
    let actions = host.give(Event::Picture(picture()));
    for listen in listens(&actions) {
        host.give(Event::Opened(open(&listen)));
    }
    let gone = Refusal { errno: 19, why: "make vrrp.51 on eth0: No such device".into() };
    host.give(Event::Linked(linked(&links(&actions)[0], Some(gone.clone()))));
    assert_eq!((host.state(), host.reason()), (State::Fault, Reason::NoVirtualLink { why: gone.why }));
}

/// What the kernel says when somebody gives the link another Ethernet address.
fn estranged(up: bool) -> Change {
    Change::Link(Link { mac: Some(OUR_MAC), ..own_link(id(Family::Ipv4), "vrrp.51", up) })
}

#[test]
fn a_link_that_somebody_gives_another_ethernet_address_gets_its_own_again() {
    let mut host = Host::master(only(with_virtual_mac(instance(100))));
    host.pass(SECOND * 10);
    let actions = host.change(estranged(true));
    assert_eq!(notices(&actions), [What::VirtualLinkChanged { name: "vrrp.51".into() }]);
    let orders = links(&actions);
    assert_eq!((orders.len(), orders[0].there, orders[0].estranged), (1, Some(OWN4), true));
    let rest = [outline(&actions), outline(&host.pass(ms(10)))].concat();
    assert!(rest.contains(&"announce 192.0.2.10/32".into()), "it answered with the other one: {rest:?}");
    assert_eq!(host.state(), State::Master);
    host.hear(&advert(200));
    let orders = links(&host.change(estranged(false)));
    assert_eq!((orders.len(), orders[0].estranged), (1, true), "a backup's, too");
}

#[test]
fn a_link_that_is_given_another_ethernet_address_again_and_again_is_a_fault() {
    let mut host = Host::master(only(with_virtual_mac(instance(100))));
    for _ in 0..5 {
        assert_eq!(notices(&host.change(estranged(true))).len(), 1);
    }
    host.change(estranged(true));
    let why = "another program keeps changing its Ethernet address";
    assert_eq!((host.state(), host.reason()), (State::Fault, Reason::NoVirtualLink { why: why.into() }));
    host.pass(SECOND * 60);
    assert_eq!(host.state(), State::Master);
}

#[test]
fn a_link_that_goes_with_the_interface_below_is_no_news() {
    let mut host = Host::master(only(with_virtual_mac(instance(100))));
    host.change(Change::LinkGone(OWN4));
    let actions = host.change(Change::LinkGone(ETH0));
    assert_eq!(links(&actions), []);
    let lost = |what: &What| matches!(what, What::VirtualLinkLost { .. });
    assert!(!notices(&host.pass(SECOND)).iter().any(lost));
}

#[test]
fn a_link_that_somebody_sets_down_or_up_is_set_right() {
    let mut host = Host::master(only(with_virtual_mac(instance(100))));
    let actions = host.change(Change::Link(own_link(id(Family::Ipv4), "vrrp.51", false)));
    assert_eq!(outline(&actions), ["up vrrp.51"]);
    host.hear(&advert(200));
    let actions = host.change(Change::Link(own_link(id(Family::Ipv4), "vrrp.51", true)));
    assert_eq!(outline(&actions), ["down vrrp.51"]);
}

#[test]
fn a_link_that_stays_as_it_is_is_not_set_for_ever() {
    let mut host = Host::master(only(with_virtual_mac(instance(100))));
    host.obliging = false;
    let down = || Change::Link(own_link(id(Family::Ipv4), "vrrp.51", false));
    let orders = links(&host.change(down()));
    assert_eq!(orders.len(), 1);
    assert_eq!(links(&host.give(Event::Linked(linked(&orders[0], None)))), []);
    assert_eq!(links(&host.change(down())), [], "the carrier may be missing");
}

#[test]
fn a_name_that_somebody_else_has_is_a_fault_until_it_is_free() {
    let mut host = Host::dark(only(with_virtual_mac(instance(100))));
    host.obliging = false;
    let actions = host.give(Event::Picture(picture()));
    let orders = links(&actions);
    for listen in listens(&actions) {
        host.give(Event::Opened(open(&listen)));
    }
    assert_eq!((host.state(), host.reason()), (State::Init, Reason::Opening));
    let refusal = Refusal { errno: 17, why: "make vrrp.51 on eth0: it is not vipd's".into() };
    host.give(Event::Linked(linked(&orders[0], Some(refusal.clone()))));
    assert_eq!((host.state(), host.reason()), (State::Fault, Reason::NoVirtualLink { why: refusal.why }));
    host.obliging = true;
    host.pass(ms(100));
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn when_a_link_is_tried_again_is_foretold() {
    let mut host = Host::dark(only(with_virtual_mac(instance(100))));
    host.obliging = false;
    let actions = host.give(Event::Picture(picture()));
    for listen in listens(&actions) {
        host.give(Event::Opened(open(&listen)));
    }
    let taken = Refusal { errno: 17, why: "make vrrp.51 on eth0: it is not vipd's".into() };
    host.give(Event::Linked(linked(&links(&actions)[0], Some(taken))));
    let ahead = host.engine.foresee_one(host.now, "web", Supposition::Nothing, SECOND);
    let first = ahead.transitions("web").next().map(|(at, state, _)| (at.since(host.now), state));
    assert_eq!(first, Some((ms(100), State::Backup)));
}

#[test]
fn without_a_gate_there_is_no_virtual_mac() {
    let mut host = Host::dark(only(with_virtual_mac(instance(100))));
    host.gated = false;
    let gate = gates(&host.give(Event::Picture(picture()))).remove(0);
    let unavailable = Gating::Unavailable("no egress hook".into());
    host.give(Event::Gated(Gated { state: unavailable, ..gated(&gate) }));
    let why = "no egress hook".into();
    assert_eq!((host.state(), host.reason()), (State::Fault, Reason::NoVirtualLink { why }));
    let asked = gates(&host.pass(SECOND));
    assert_eq!(asked.len(), 1, "it may be had later");
    host.give(Event::Gated(gated(&asked[0])));
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn a_second_master_with_the_same_ethernet_address_is_seen_by_what_it_announces() {
    let claim = |link| Event::Claim(Claim { link, mac: id(Family::Ipv4).mac, address: ip("192.0.2.10") });
    let mut host = Host::started(only(with_virtual_mac(instance(100))));
    assert_eq!(host.give(claim(ETH0)), [], "a backup expects it");
    host.pass(SECOND * 4);
    assert_eq!(host.state(), State::Master);
    let actions = host.give(claim(ETH0));
    let (address, mac) = (ip("192.0.2.10"), id(Family::Ipv4).mac);
    assert_eq!(notices(&actions), [What::ForeignClaim { address, mac }]);
    assert_eq!(outline(&actions), ["announce 192.0.2.10/32"], "switches are to know where it is");
    assert_eq!(host.give(claim(LinkIndex(102))), [], "its own frames come back on other links of this kind");
}

#[test]
fn a_link_that_nobody_needs_any_more_goes() {
    let mut host = Host::dark(only(instance(100)));
    let mut picture = picture();
    picture.links.push(own_link(id(Family::Ipv4), "vrrp.51", true));
    let actions = host.give(Event::Picture(picture));
    assert!(outline(&actions).contains(&"unlink".into()), "{:?}", outline(&actions));
    let mut host = Host::master(only(with_virtual_mac(instance(100))));
    let actions = host.give(Event::Reload(only(instance(100))));
    assert_eq!(adverts(&actions), [(ETH0, 0)], "it is handed over first");
    assert_eq!(links(&actions), []);
    let actions = host.pass(SECOND * 2);
    assert!(outline(&actions).contains(&"unlink".into()), "{:?}", outline(&actions));
}

#[test]
fn the_status_says_how_each_link_of_its_own_stands() {
    let shown = |host: &Host| host.instance().virtual_links;
    let own = |family, name: &str, up, trouble: Option<&str>| VirtualLinkStatus {
        family,
        name: name.into(),
        mac: id(family).mac,
        up,
        trouble: trouble.map(Into::into),
    };
    let four = |up, trouble| own(Family::Ipv4, "vrrp.51", up, trouble);
    let six = |up| own(Family::Ipv6, "vrrp6.51", up, None);
    let mut host = Host::dark(only(with_virtual_mac(dual(100))));
    assert_eq!(shown(&host), [four(None, None), six(None)], "nothing is known of the kernel");
    host.give(Event::Picture(picture()));
    assert_eq!(shown(&host), [four(Some(false), None), six(Some(false))]);
    host.pass(SECOND * 4);
    assert_eq!(shown(&host), [four(Some(true), None), six(Some(true))]);
    host.change(Change::Link(own_link(id(Family::Ipv4), "mine", true)));
    assert_eq!(shown(&host)[0].name, "mine", "as it is called");
    assert_eq!(shown(&Host::master(only(instance(100)))), []);

    let mut host = Host::dark(only(with_virtual_mac(instance(100))));
    host.obliging = false;
    let orders = links(&host.give(Event::Picture(picture())));
    let why = "make vrrp.51 on eth0: it is not vipd's";
    host.give(Event::Linked(linked(&orders[0], Some(Refusal { errno: 17, why: why.into() }))));
    assert_eq!(shown(&host), [four(None, Some(why))]);
}

#[test]
fn a_stop_waits_for_the_link_to_be_gone() {
    let mut host = Host::started(only(with_virtual_mac(instance(100))));
    host.obliging = false;
    let orders = links(&host.give(Event::Shutdown));
    assert_eq!((orders.len(), orders[0].wanted.is_none()), (1, true));
    assert!(!host.engine.is_idle());
    host.change(Change::LinkGone(OWN4));
    host.give(Event::Linked(linked(&orders[0], None)));
    assert!(host.engine.is_idle());
}
