//! An instance without addresses: elected, told of and tracked as any other, with nothing in the kernel.

use alloc::vec::Vec;

use super::driver::*;
use crate::engine::event::{Event, Target};
use crate::engine::notice::{Reason, State, What};
use crate::engine::settings::{Address, Instance, Settings};
use crate::net::Family;
use crate::wire::vrrp::Advert;

const NOTHING: [&str; 0] = [];

fn bare(priority: u8) -> Instance {
    Instance { addresses: Vec::new(), bare_family: Some(Family::Ipv4), ..instance(priority) }
}

fn empty(priority: u8) -> Advert {
    Advert { addresses: Vec::new(), ..advert(priority) }
}

#[test]
fn without_addresses_a_router_is_elected_and_touches_nothing() {
    let mut host = Host::started(only(bare(100)));
    let actions = host.pass(SECOND * 4);
    assert_eq!(outline(&actions), ["IPv4 advert 100"]);
    assert!(adverts(&actions)[0].addresses.is_empty());
    assert_eq!(transitions(&actions), [State::Master]);
    assert!(!host.instance().lease.enabled && host.kernel.is_empty());
    assert_eq!(outline(&host.pass(SECOND)), ["IPv4 advert 100"]);
    let again = Instance { bare_family: Some(Family::Ipv6), ..bare(100) };
    assert_eq!(outline(&Host::started(only(again)).pass(SECOND * 4)), ["IPv6 advert 100"]);
}

#[test]
fn who_has_no_addresses_hears_adverts_without_any() {
    let mut host = Host::master(only(bare(100)));
    assert_eq!(transitions(&host.hear(&empty(200))), [State::Backup]);
    let counters = host.router(Family::Ipv4).counters;
    assert_eq!((counters.received, counters.address_mismatches), (1, 0));
    assert_eq!(host.warnings(), NOTHING);
    host.hear(&advert(200));
    assert!(host.warnings()[0].contains("list other addresses"), "theirs has some");
}

#[test]
fn a_hand_over_without_addresses_is_over_with_the_successors_advert() {
    let mut host = Host::master(only(bare(100)));
    assert_eq!(outline(&host.give(Event::Shutdown)), ["IPv4 advert 0"]);
    host.pass(ms(10));
    assert!(!host.engine.is_idle());
    let actions = host.hear(&empty(50));
    assert!(notices(&actions).contains(&What::HandedOver { to: PEER, after: ms(10) }));
    assert!(host.engine.is_idle());
    let mut host = Host::master(only(bare(100)));
    host.give(Event::StepDown(Target::Named("web".into())));
    host.pass(ms(10));
    host.hear(&empty(50));
    assert_eq!((host.state(), host.reason()), (State::Backup, Reason::SteppedDown));
}

/// The agent after that of `host`, so long after its last advert.
fn heir(host: &Host, settings: Settings, gap: u64) -> Host {
    let mut heir = Host::heir(host.now + ms(gap), settings, host.engine.bequest());
    heir.give(Event::Picture(picture()));
    heir
}

#[test]
fn the_role_is_adopted_for_as_long_as_others_wait_for_the_last_advert() {
    let mut master = Host::master(only(bare(100)));
    assert_eq!(outline(&master.pass(SECOND)), ["IPv4 advert 100"]);
    let mut next = heir(&master, only(bare(100)), 500);
    assert!(matches!(next.reason(), Reason::Adopted { .. }), "{:?}", next.reason());
    assert_eq!(next.state(), State::Master);
    assert_eq!(outline(&next.pass(SECOND)), ["IPv4 advert 100"]);
    for gap in [2_800, 10_000] {
        let late = heir(&master, only(bare(100)), gap);
        assert_eq!(late.state(), State::Backup, "{gap}");
    }
    let others = heir(&master, only(instance(100)), 500);
    assert_eq!(others.state(), State::Backup, "that had no addresses");
}

#[test]
fn addresses_come_and_go_with_a_reload_and_the_role_stays() {
    let mut host = Host::master(only(bare(100)));
    let with = Instance { bare_family: None, ..instance(100) };
    let actions = host.give(Event::Reload(only(with)));
    assert_eq!(host.held(), ["192.0.2.10/32"]);
    assert!(transitions(&actions).is_empty());
    let actions = host.give(Event::Reload(only(bare(100))));
    assert_eq!(host.held(), NOTHING);
    assert!(transitions(&actions).is_empty() && host.kernel.is_empty());
    assert_eq!(host.state(), State::Master);
}

#[test]
fn what_no_advert_lists_moves_with_the_family_that_is_chosen() {
    let address = Address { advertised: false, ..net("192.0.2.10/24").into() };
    let settings = Instance { addresses: alloc::vec![address], ..bare(100) };
    let mut host = Host::started(only(settings));
    let actions = host.pass(SECOND * 4);
    assert!(adverts(&actions)[0].addresses.is_empty());
    assert_eq!(host.held(), ["192.0.2.10/32"]);
    assert!(host.instance().lease.enabled);
    host.hear(&empty(200));
    assert_eq!(host.held(), NOTHING);
}
