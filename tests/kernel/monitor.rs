//! What the kernel reports, and what happens when it reports more than is read.

use vipd::engine::event::{Change, LinkAddress};
use vipd::sys::monitor::{Monitor, Overrun};

use crate::Test;
use crate::cable::{index, place, run, until, wait_for};

pub(crate) const TESTS: &[Test] = &[
    ("addresses_that_come_and_go_are_reported", addresses_that_come_and_go_are_reported),
    ("a_carrier_that_is_lost_is_reported", a_carrier_that_is_lost_is_reported),
    ("a_link_that_leaves_a_bridge_is_not_gone", a_link_that_leaves_a_bridge_is_not_gone),
    ("a_local_route_that_is_deleted_is_reported_and_no_other_route", a_local_route_that_is_deleted),
    ("an_overrun_is_told_once_and_stale_reports_are_dropped", an_overrun_is_told_once),
    ("reports_are_held_back_while_a_picture_is_awaited", reports_are_held_back),
    ("an_overrun_while_awaiting_asks_for_another_picture", an_overrun_while_awaiting),
];

/// A monitor whose first picture is there.
fn following() -> Monitor {
    let mut monitor = Monitor::open().unwrap();
    assert_eq!(monitor.resume(), Ok(Vec::new()));
    monitor
}

fn next(monitor: &mut Monitor, is: impl Fn(&Change) -> bool) -> Change {
    wait_for("the report", || {
        let mut changes = Vec::new();
        monitor.read(&mut changes).unwrap();
        changes.into_iter().find(|change| is(change))
    })
}

fn addresses_that_come_and_go_are_reported() {
    let mut monitor = following();
    for net in ["192.0.2.10/24", "2001:db8::10/64"] {
        run(&format!("ip addr add {net} dev va nodad"));
        let address =
            LinkAddress { link: index("va"), net: place(net).net, ours: false, usable: true, peer: None };
        next(&mut monitor, |change| *change == Change::Address(address));
        run(&format!("ip addr del {net} dev va"));
        next(&mut monitor, |change| *change == Change::AddressGone(place(net)));
    }
}

fn a_carrier_that_is_lost_is_reported() {
    let mut monitor = following();
    run("ip -n peer link set vb down");
    let va = |change: &Change, up| matches!(change, Change::Link(link) if link.name == "va" && link.up == up);
    next(&mut monitor, |change| va(change, false));
    run("ip -n peer link set vb up");
    next(&mut monitor, |change| va(change, true));
    let va = index("va");
    run("ip link del va");
    next(&mut monitor, |change| *change == Change::LinkGone(va));
}

fn a_link_that_leaves_a_bridge_is_not_gone() {
    let mut monitor = following();
    run("ip link add bridge0 type bridge");
    run("ip link set va master bridge0");
    run("ip link set va nomaster");
    run("ip link set bridge0 mtu 1400");
    let mut all = Vec::new();
    until("the last report", || {
        monitor.read(&mut all).unwrap();
        all.iter().any(|change| matches!(change, Change::Link(link) if link.mtu == 1400))
    });
    assert!(!all.iter().any(|change| matches!(change, Change::LinkGone(_))), "{all:?}");
}

fn a_local_route_that_is_deleted() {
    run("ip addr add 192.0.2.10/32 dev va");
    run("ip addr add 2001:db8::10/128 dev va nodad");
    until("the route is there", || run("ip -6 route show table local").contains("2001:db8::10"));
    let mut monitor = following();
    for net in ["192.0.2.0/25", "2001:db8:1::/64"] {
        run(&format!("ip route add {net} dev va"));
        run(&format!("ip route del {net} dev va"));
    }
    let mut all = Vec::new();
    for net in ["192.0.2.10/32", "2001:db8::10/128"] {
        run(&format!("ip route del local {net} dev va table local"));
        until("the report", || {
            monitor.read(&mut all).unwrap();
            all.contains(&Change::RouteGone(place(net)))
        });
    }
    assert_eq!(all.len(), 2, "{all:?}");
    run("ip addr del 192.0.2.10/32 dev va");
    assert_eq!(next(&mut monitor, |_| true), Change::AddressGone(place("192.0.2.10/32")));
}

/// Makes more reports than a small buffer holds.
fn make_many() {
    let lines: Vec<_> = (1..=200).map(|n| format!("addr add 10.1.1.{n}/32 dev va\n")).collect();
    std::fs::write("/run/many", lines.concat()).unwrap();
    run("ip -batch /run/many");
}

/// A buffer for a handful of reports.
fn small() -> Monitor {
    let mut monitor = Monitor::with_buffer(4096).unwrap();
    assert_eq!(monitor.resume(), Ok(Vec::new()));
    monitor
}

fn an_overrun_is_told_once() {
    let mut monitor = small();
    make_many();
    let mut changes = Vec::new();
    assert_eq!(monitor.read(&mut changes), Err(Overrun));
    assert_eq!(changes, [], "what was queued is older than the picture to come");
    assert_eq!(monitor.read(&mut changes), Ok(()));
    assert_eq!(monitor.resume(), Ok(Vec::new()));
    run("ip addr del 10.1.1.1/32 dev va");
    next(&mut monitor, |change| *change == Change::AddressGone(place("10.1.1.1/32")));
}

fn reports_are_held_back() {
    let mut monitor = Monitor::open().unwrap();
    run("ip addr add 192.0.2.10/24 dev va");
    run("ip addr del 192.0.2.10/24 dev va");
    let mut changes = Vec::new();
    assert_eq!(monitor.read(&mut changes), Ok(()));
    assert_eq!(changes, []);
    let held = monitor.resume().unwrap();
    let last = held.iter().rfind(|change| !matches!(change, Change::RouteGone(_)));
    assert_eq!(last, Some(&Change::AddressGone(place("192.0.2.10/24"))), "{held:?}");
    run("ip addr add 192.0.2.11/24 dev va");
    next(&mut monitor, |change| matches!(change, Change::Address(_)));
}

fn an_overrun_while_awaiting() {
    let mut monitor = Monitor::with_buffer(4096).unwrap();
    make_many();
    let mut changes = Vec::new();
    assert_eq!(monitor.read(&mut changes), Ok(()), "one picture has been asked for already");
    assert_eq!(monitor.resume(), Err(Overrun), "but it is of no use");
    assert_eq!(monitor.resume(), Ok(Vec::new()));
}
