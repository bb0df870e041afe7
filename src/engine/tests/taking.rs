//! Taking the addresses, keeping what others think of it right, and losing them.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::driver::*;
use crate::engine::action::{Action, KernelWork, Pace, Place, Share};
use crate::engine::event::{Change, Claim, Event, Link};
use crate::engine::notice::{Reason, State, What};
use crate::engine::settings::{Announce, AnnounceLimit, Instance, Preempt, Settings, Unicast};
use crate::net::{Family, IpNet, LinkIndex, Priority};
use crate::time::Duration;
use crate::wire::vrrp::Advert;

const NOTHING: [&str; 0] = [];

fn burst(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Kernel(KernelWork::Announce(_))))
}

// Taking.

#[test]
fn a_master_sends_its_advert_before_it_takes_the_addresses() {
    let mut host = Host::started(only(instance(100)));
    host.until(Duration::from_nanos(3_609_374_999));
    assert_eq!((host.state(), host.reason()), (State::Backup, Reason::Listening));
    let actions = host.until(Duration::from_micros(3_609_375));
    assert_eq!(outline(&actions), ["IPv4 advert 100", "open 192.0.2.10/32", "install 192.0.2.10/32"]);
    assert_eq!(host.state(), State::Master);
    assert_eq!(host.reason(), Reason::MasterSilent { after: Duration::from_micros(3_609_375) });
}

#[test]
fn each_change_of_state_is_counted_with_the_kind_of_its_reason() {
    let mut host = Host::started(only(instance(100)));
    host.pass(SECOND * 4);
    for round in 1..=2 {
        host.hear(&advert(200));
        host.pass(SECOND * 4);
        let made = host.instance().transitions;
        let made: Vec<_> = made.iter().map(|((from, to, kind), count)| (*from, *to, *kind, *count)).collect();
        assert_eq!(
            made,
            [
                (State::Init, State::Backup, "not_master", 1),
                (State::Backup, State::Master, "master_no_response", round + 1),
                (State::Master, State::Backup, "better_master", round),
            ]
        );
    }
}

#[test]
fn an_advert_that_arrived_in_time_but_is_read_late_keeps_a_backup_from_taking() {
    let mut host = Host::started(only(instance(100)));
    host.now = START + SECOND * 4;
    assert_eq!(outline(&host.give(Event::Tick)), NOTHING);
    host.hear(&advert(200));
    assert_eq!(outline(&host.give(Event::Silence { until: host.now })), NOTHING);
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn an_advert_says_what_is_configured() {
    let mut host = Host::started(only(instance(100)));
    let sent = adverts(&host.pass(SECOND * 4));
    assert_eq!(sent[0], Advert { addresses: [ip("192.0.2.10")].into(), ..advert(100) });
    let mut host = Host::started(only(instance(100)));
    let actions = host.pass(SECOND * 4);
    let sent = actions.iter().find_map(|action| match action {
        Action::Send(sent) => Some(sent),
        Action::Kernel(_) | Action::Tell(_) => None,
    });
    let sent = sent.unwrap();
    assert_eq!((sent.source, sent.destination), (US, Family::Ipv4.group()));
}

#[test]
fn a_unicast_advert_goes_to_each_peer_of_its_family() {
    let unicast = Unicast { sources: Vec::new(), peers: [PEER, ip("192.0.2.8"), PEER6].map(peer).into() };
    let mut host = Host::started(only(Instance { unicast: Some(unicast), ..instance(100) }));
    let actions = host.until(Duration::from_micros(3_609_375));
    let twice = ["IPv4 advert 100", "IPv4 advert 100", "open 192.0.2.10/32", "install 192.0.2.10/32"];
    assert_eq!(outline(&actions), twice);
    assert_eq!(host.router(Family::Ipv4).counters.sent, 2);
}

#[test]
fn the_addresses_are_announced_with_the_interfaces_ethernet_address() {
    let mut host = Host::started(only(instance(100)));
    let hold = holds(&host.pass(SECOND * 4)).remove(0);
    assert_eq!(hold.install[0].mac, Some(OUR_MAC));
}

#[test]
fn a_backup_does_not_touch_the_addresses() {
    let mut host = Host::started(only(Instance { preempt: Preempt::Never, ..instance(100) }));
    for _ in 0..20 {
        assert_eq!(outline(&host.pass(SECOND)), NOTHING);
        assert_eq!(outline(&host.hear(&advert(1))), NOTHING);
        assert_eq!(outline(&host.claim("192.0.2.10")), NOTHING);
    }
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn a_second_burst_and_refreshes_are_paced() {
    let announce =
        Announce { again_after: Some(SECOND * 5), refresh: Some(SECOND * 60), ..Announce::default() };
    let mut host = Host::master(only(Instance { announce, ..instance(100) }));
    let actions = host.pass(SECOND * 6);
    let paces: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Kernel(KernelWork::Announce(announcement)) => Some(announcement.pace),
            _ => None,
        })
        .collect();
    assert_eq!(paces, [ms(2)]);
    assert!(burst(&host.pass(SECOND * 60)));
}

#[test]
fn preempting_says_whom_it_replaced() {
    let mut host = Host::started(only(instance(100)));
    for _ in 0..3 {
        host.pass(SECOND);
        host.hear(&advert(50));
    }
    host.pass(SECOND);
    assert_eq!(host.reason(), Reason::Preempted { address: PEER, priority: Priority::new(50) });
}

#[test]
fn a_resignation_is_the_reason_when_it_is() {
    let mut host = Host::started(only(instance(100)));
    host.hear(&advert(200));
    host.pass(ms(500));
    host.hear(&advert(0));
    assert_eq!(outline(&host.pass(ms(609))), NOTHING);
    let taken = ["IPv4 advert 100", "open 192.0.2.10/32", "install 192.0.2.10/32"];
    assert_eq!(outline(&host.pass(ms(1))), taken);
    assert_eq!(host.reason(), Reason::MasterResigned);
}

// Losing.

#[test]
fn a_master_that_is_beaten_says_farewell_then_shuts_then_removes() {
    let mut host = Host::master(only(instance(100)));
    host.obliging = false;
    let actions = host.hear(&advert(200));
    assert_eq!(outline(&actions), ["IPv4 advert 100", "shut 192.0.2.10/32", "remove 192.0.2.10/32"]);
    assert_eq!(host.state(), State::Backup);
    assert_eq!(host.reason(), Reason::BetterMaster { address: PEER, priority: Priority::new(200) });
    let opened = host.give(Event::Held(done(&holds(&actions)[0])));
    assert_eq!(outline(&opened), NOTHING, "it stays shut");
}

#[test]
fn a_master_that_is_not_beaten_keeps_the_addresses() {
    let mut host = Host::master(only(instance(100)));
    host.hear(&advert(100));
    assert_eq!(host.state(), State::Backup, "192.0.2.9 is greater than 192.0.2.5");
    let mut host = Host::master(only(instance(100)));
    let smaller = Arriving::between(&advert(100), ip("192.0.2.4"), Family::Ipv4.group());
    host.arrive(&smaller);
    assert_eq!((host.state(), host.held()), (State::Master, ["192.0.2.10/32".into()].into()));
}

#[test]
fn addresses_are_taken_again_and_announced_although_their_removal_failed() {
    let mut host = Host::master(only(instance(100)));
    host.obliging = false;
    let lost = holds(&host.hear(&advert(200))).remove(0);
    host.give(Event::Held(refused(&lost)));
    host.obliging = true;
    host.pass(ms(10));
    let mut actions = host.hear(&advert(0));
    actions.extend(host.pass(SECOND));
    assert_eq!(host.state(), State::Master);
    assert!(burst(&actions) || !holds(&actions).is_empty(), "{:?}", outline(&actions));
    assert!(outline(&actions).contains(&"open 192.0.2.10/32".into()));
}

// Healing.

#[test]
fn a_lower_masters_advert_is_answered_and_the_addresses_announced_at_once() {
    let mut host = Host::master(only(instance(100)));
    host.pass(SECOND);
    let actions = host.hear(&advert(50));
    assert_eq!(outline(&actions), ["IPv4 advert 100", "announce 192.0.2.10/32"]);
    let rival = What::Rival { family: Family::Ipv4, address: PEER, priority: Priority::new(50) };
    assert_eq!(notices(&actions), [rival]);
    assert_eq!(host.instance().duplicate.unwrap().who, "192.0.2.9 with priority 50");
}

#[test]
fn the_farewell_of_the_master_just_replaced_is_answered_but_no_news() {
    let mut host = Host::started(only(instance(100)));
    host.until(Duration::from_micros(3_609_375));
    let actions = host.hear(&advert(50));
    assert_eq!(outline(&actions), ["IPv4 advert 100", "announce 192.0.2.10/32"]);
    assert_eq!((notices(&actions), host.instance().duplicate), (Vec::new(), None));
}

#[test]
fn a_rival_that_is_heard_while_the_addresses_go_in_is_answered_when_they_are_in() {
    let mut host = Host::started(only(instance(100)));
    host.obliging = false;
    let order = holds(&host.pass(SECOND * 4)).remove(0);
    assert!(!burst(&host.hear(&advert(50))), "there is nothing to announce yet");
    assert!(burst(&host.give(Event::Held(done(&order)))));
    assert!(!burst(&host.pass(ms(900))), "once");
}

#[test]
fn bursts_of_one_quarrel_are_one_interval_apart_and_then_slower() {
    let mut host = Host::master(only(instance(100)));
    host.hear(&advert(50));
    let since = host.now;
    let mut bursts = Vec::new();
    for _ in 0..800 {
        let actions = [host.pass(ms(10)), host.hear(&advert(50))].concat();
        if burst(&actions) {
            bursts.push(host.now.since(since).as_millis());
        }
    }
    // The interval, then 1 s or the interval whichever is longer, 2 s, 4 s.
    assert_eq!(bursts, [1000, 2000, 4000, 8000]);
}

#[test]
fn a_master_that_hears_a_resignation_announces_and_stays() {
    let mut host = Host::master(only(instance(100)));
    assert_eq!(outline(&host.hear(&advert(0))), ["IPv4 advert 100", "announce 192.0.2.10/32"]);
    assert_eq!(host.instance().duplicate, None, "whoever resigned holds nothing");
}

#[test]
fn a_foreign_claim_is_defended_and_never_yielded_to() {
    let mut host = Host::master(only(instance(100)));
    let actions = host.claim("192.0.2.10");
    assert_eq!(outline(&actions), ["announce 192.0.2.10/32"]);
    let claim = What::ForeignClaim { address: ip("192.0.2.10"), mac: THEIR_MAC };
    assert_eq!(notices(&actions), [claim]);
    for _ in 0..100 {
        host.pass(ms(1));
        assert!(!burst(&host.claim("192.0.2.10")), "it is put off");
    }
    assert_eq!(host.state(), State::Master);
    assert!(burst(&host.pass(SECOND)), "but the last word is ours");
}

#[test]
fn claims_that_do_not_concern_us_are_ignored() {
    let mut host = Host::master(only(instance(100)));
    assert_eq!(host.claim("192.0.2.11"), []);
    let mut claim = |link, mac| host.give(Event::Claim(Claim { link, mac, address: ip("192.0.2.10") }));
    assert_eq!(claim(ETH1, THEIR_MAC), []);
    assert_eq!(claim(ETH0, OUR_MAC), [], "our own announcement comes back");
}

#[test]
fn a_master_whose_interface_changes_its_ethernet_address_announces_again() {
    let mut host = Host::master(only(instance(100)));
    let changed = Link { mac: Some(THEIR_MAC), ..link(ETH0, "eth0") };
    let actions = host.change(Change::Link(changed));
    assert_eq!(outline(&actions), ["announce 192.0.2.10/32"]);
    assert_eq!(host.state(), State::Master);
}

// The owner.

fn owner() -> Instance {
    Instance { addresses: nets(&["192.0.2.5/24"]), ..instance(255) }
}

#[test]
fn an_owner_is_master_at_once_and_announces_the_addresses_that_it_has() {
    let mut host = Host::dark(only(owner()));
    let actions = host.give(Event::Picture(picture()));
    assert_eq!(outline(&actions), ["IPv4 advert 255", "announce 192.0.2.5/24"]);
    assert_eq!((host.state(), host.reason()), (State::Master, Reason::Owner));
    assert!(host.instance().addresses[0].installed);
}

#[test]
fn an_owner_never_gates_or_removes_the_addresses_that_it_has() {
    let mut host = Host::started(only(owner()));
    assert_eq!(outline(&host.give(Event::Shutdown)), ["IPv4 advert 0"]);
    assert_eq!(outline(&host.pass(SECOND * 3)), NOTHING);
    assert!(host.engine.is_idle());
}

#[test]
fn an_owner_installs_the_addresses_that_it_does_not_have() {
    let mut host = Host::dark(only(Instance { addresses: nets(&["192.0.2.10/24"]), ..instance(255) }));
    let actions = host.give(Event::Picture(picture()));
    assert_eq!(outline(&actions), ["IPv4 advert 255", "install 192.0.2.10/32"]);
}

#[test]
fn an_address_that_is_the_interfaces_own_is_a_fault_unless_the_priority_is_255() {
    let mut host = Host::started(only(Instance { priority: Priority::new(254), ..owner() }));
    let taken = Reason::AddressTaken { net: net("192.0.2.5/24") };
    assert_eq!((host.state(), host.reason()), (State::Fault, taken));
    host.pass(SECOND * 10);
    assert_eq!(host.held(), NOTHING);
}

#[test]
fn a_master_whose_address_the_operator_adds_lets_go() {
    let mut host = Host::master(only(Instance { addresses: nets(&["10.0.0.1/24"]), ..instance(100) }));
    let actions = host.change(Change::Address(foreign(ETH0, "10.0.0.1/32")));
    assert_eq!(host.state(), State::Fault);
    assert_eq!(outline(&actions)[0], "IPv4 advert 0");
    assert!(outline(&actions).contains(&"remove 10.0.0.1/24".into()));
}

// The start.

#[test]
fn nothing_happens_before_the_kernels_first_picture() {
    let mut host = Host::dark(only(instance(100)));
    assert_eq!(host.engine.deadline(), None, "there is nothing to wake up for");
    assert_eq!(host.pass(SECOND * 60), []);
    assert_eq!((host.state(), host.reason()), (State::Init, Reason::Starting));
}

#[test]
fn a_startup_delay_keeps_every_instance_in_init() {
    for settings in [instance(100), instance(255)] {
        let mut host = Host::started(Settings { startup_delay: SECOND * 10, ..only(settings) });
        let actions = host.until(ms(9_999));
        assert_eq!((host.state(), outline(&actions)), (State::Init, Vec::new()));
        host.until(ms(10_000));
        assert_ne!(host.state(), State::Init);
    }
}

#[test]
fn a_startup_delay_does_not_count_as_listening() {
    let mut host = Host::started(Settings { startup_delay: SECOND * 10, ..only(instance(100)) });
    host.until(Duration::from_nanos(13_609_374_999));
    assert_eq!(host.state(), State::Backup);
    host.until(Duration::from_micros(13_609_375));
    assert_eq!(host.state(), State::Master);
}

#[test]
fn what_an_earlier_agent_left_is_removed_wherever_it_is() {
    let mut host = Host::dark(only(instance(100)));
    let (left, elsewhere) = (on_eth0("192.0.2.10/32"), Place { link: ETH1, ..on_eth0("10.0.0.1/32") });
    let mut picture = picture();
    picture.addresses.extend([ours(left), ours(elsewhere)]);
    host.kernel.extend([left, elsewhere]);
    let actions = host.give(Event::Picture(picture.clone()));
    // Once as what was left, and once as what the instance may have later.
    let (both, one) = ("192.0.2.10/32 10.0.0.1/32", "192.0.2.10/32");
    let dark = [
        alloc::format!("shut {both}"),
        alloc::format!("shut {one}"),
        alloc::format!("remove {both}"),
        "forget".into(),
    ];
    assert_eq!(outline(&actions), dark);
    assert_eq!(host.held(), [""; 0]);
    assert_eq!(outline(&host.give(Event::Picture(picture))), NOTHING, "at the start only");
}

#[test]
fn a_stray_that_the_kernel_does_not_let_go_is_tried_again() {
    let mut host = Host::dark(only(instance(100)));
    host.obliging = false;
    let mut picture = picture();
    picture.addresses.push(ours(on_eth0("192.0.2.77/32")));
    let order = holds(&host.give(Event::Picture(picture))).remove(0);
    host.give(Event::Held(refused(&order)));
    assert_eq!(outline(&host.pass(ms(99))), NOTHING);
    assert_eq!(outline(&host.pass(ms(1))), ["remove 192.0.2.77/32"]);
}

// Forms and numbers.

fn installs(addresses: &[&str]) -> Vec<IpNet> {
    let mut host = Host::started(only(Instance { addresses: nets(addresses), ..instance(100) }));
    let hold = holds(&host.pass(SECOND * 5)).remove(0);
    hold.install.iter().map(|p| p.place.net).collect()
}

#[test]
fn an_ipv4_address_that_shares_its_prefix_with_another_goes_in_alone() {
    assert_eq!(installs(&["192.0.2.10/24"]), ["192.0.2.10/32"].map(net));
    assert_eq!(installs(&["10.0.0.1/24", "10.0.0.2/24"]), ["10.0.0.1/24", "10.0.0.2/32"].map(net));
}

#[test]
fn an_address_that_shares_its_prefix_with_none_goes_in_as_configured() {
    assert_eq!(installs(&["10.0.0.1/24", "10.0.1.1/24"]), ["10.0.0.1/24", "10.0.1.1/24"].map(net));
}

#[test]
fn an_ipv6_link_local_address_is_listed_first() {
    let addresses = nets(&["2001:db8::10/64", "fe80::10/64", "2001:db8::11/64"]);
    let mut host = Host::started(only(Instance { addresses, ..instance(100) }));
    let sent = adverts(&host.pass(SECOND * 4)).remove(0);
    assert_eq!(sent.addresses, ["fe80::10", "2001:db8::10", "2001:db8::11"].map(ip));
}

#[test]
fn an_ipv6_link_local_address_is_not_invented() {
    let addresses = nets(&["2001:db8::10/64"]);
    let mut host = Host::started(only(Instance { addresses, ..instance(100) }));
    assert_eq!(adverts(&host.pass(SECOND * 4)).remove(0).addresses, [ip("2001:db8::10")]);
}

#[test]
fn of_a_thousand_addresses_255_or_90_are_listed_and_all_are_held() {
    let many4 = (0..1000).map(|n| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n)));
    let many6 = (0..1000).map(|n| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) + 0x10_0000 + n)));
    for (addresses, listed) in [(many4.collect::<Vec<_>>(), 255), (many6.collect(), 90)] {
        let configured = addresses.iter().map(|a| IpNet::host(*a).into()).collect();
        let mut host = Host::started(only(Instance { addresses: configured, ..instance(100) }));
        let actions = host.until(Duration::from_micros(3_609_375));
        assert_eq!(adverts(&actions)[0].addresses, addresses[..listed]);
        assert_eq!(host.kernel.len(), 1000);
        let Action::Send(sent) = &actions[0] else { panic!("{:?}", actions[0]) };
        assert!(sent.payload.len() <= 1500 - 40);
    }
}

#[test]
fn a_take_that_is_announced_more_than_once_goes_on_when_all_is_in() {
    let announce = Announce { repeat: 3, ..Announce::default() };
    let mut host = Host::started(only(Instance { announce, ..instance(100) }));
    let actions = host.pass(SECOND * 4);
    assert_eq!(host.state(), State::Master);
    let rounds: Vec<u32> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Kernel(KernelWork::Announce(announcement)) => Some(announcement.repeat),
            _ => None,
        })
        .collect();
    assert_eq!(rounds, [2], "the first round goes out as they go in");
}

#[test]
fn a_limit_is_told_by_link_and_again_when_it_changes() {
    let limits = |interval| {
        let named = AnnounceLimit { interfaces: Some(vec!["eth0".into(), "eth9".into()]), interval };
        let others = AnnounceLimit { interfaces: None, interval: ms(1) };
        Settings { announce_limits: [named, others].into(), ..only(instance(100)) }
    };
    let told = |actions: &[Action]| -> Option<Vec<(LinkIndex, Pace)>> {
        actions.iter().find_map(|action| match action {
            Action::Kernel(KernelWork::Pace(paces)) => {
                Some(paces.iter().map(|(link, pace)| (*link, *pace)).collect())
            }
            _ => None,
        })
    };
    let mut host = Host::dark(limits(ms(5)));
    let expected = |gap| {
        let shared = (ETH0, Pace { share: Share::Limit(0), gap });
        Some(vec![shared, (ETH1, Pace { share: Share::Link(ETH1), gap: ms(1) })])
    };
    assert_eq!(told(&host.give(Event::Picture(picture()))), expected(ms(5)));
    assert_eq!(told(&host.give(Event::Reload(limits(ms(5))))), None);
    assert_eq!(told(&host.give(Event::Reload(limits(ms(7))))), expected(ms(7)));
    assert_eq!(told(&host.give(Event::Reload(only(instance(100))))), Some(Vec::new()));
}

// How long a silence lasts, and when an agent begins.

#[test]
fn more_adverts_may_be_missed_and_the_lease_is_as_long() {
    let settings = only(Instance { missed_adverts: 5, ..instance(100) });
    let mut host = Host::started(settings);
    let actions = host.pass(Duration::from_micros(5_609_374));
    assert_eq!((host.state(), leases(&actions)), (State::Backup, [].into()));
    let lease = leases(&host.pass(Duration::from_micros(1))).remove(0);
    assert_eq!(
        (host.state(), lease.extension, lease.until),
        (State::Master, SECOND * 5, host.now + SECOND * 5)
    );
}

#[test]
fn an_agent_that_starts_soon_after_the_boot_waits_for_the_longer_of_both_delays() {
    let settings = |startup, boot| Settings {
        startup_delay: SECOND * startup,
        boot_delay: SECOND * boot,
        ..only(instance(100))
    };
    // The machine has been up for 1000 seconds.
    for (startup, boot, begins) in [(0, 999, 0_u32), (0, 1007, 7), (20, 1007, 20), (3, 1007, 7)] {
        let mut host = Host::started(settings(startup, boot));
        if begins > 0 {
            host.until(ms(1000 * u64::from(begins) - 1));
            assert_eq!((host.state(), host.reason()), (State::Init, Reason::Starting), "{startup} {boot}");
        }
        host.pass(ms(1));
        assert_eq!(host.state(), State::Backup, "{startup} {boot}");
    }
}

#[test]
fn a_priority_that_comes_from_a_file_counts_with_the_next_advert() {
    let mut host = Host::master(only(instance(100)));
    let priority = Priority::new(40);
    host.give(Event::Priority { instance: "web", priority });
    assert_eq!((host.instance().configured, host.instance().effective), (priority, priority));
    assert_eq!(outline(&host.pass(SECOND)), ["IPv4 advert 40"]);
    host.give(Event::Priority { instance: "nobody", priority: Priority::new(50) });
    assert_eq!(host.instance().effective, priority);
}
