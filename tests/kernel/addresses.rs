//! Installing and removing addresses, and whose they are.

use nix::libc;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use vipd::engine::action::{Form, Place, Placement};
use vipd::engine::event::{LinkAddress, Picture, Refusal};
use vipd::net::LinkIndex;
use vipd::sys::address::{Addresses, Known, Mark};
use vipd::sys::netlink::BATCH;

use crate::Test;
use crate::cable::{index, mac, place, run};

pub(crate) const TESTS: &[Test] = &[
    ("a_thousand_addresses_come_and_go", a_thousand_addresses_come_and_go),
    ("an_operators_address_is_never_removed", an_operators_address_is_never_removed),
    ("an_operators_address_is_refused_and_stays_the_operators", an_operators_address_is_refused),
    ("our_own_address_may_be_there_already", our_own_address_may_be_there_already),
    (
        "an_address_goes_in_as_it_is_to_be_and_comes_out_again",
        an_address_goes_in_as_it_is_to_be_and_comes_out_again,
    ),
    ("a_refused_address_does_not_hinder_the_others", a_refused_address_does_not_hinder_the_others),
    ("a_vip_within_the_hosts_network_leaves_the_host_its_address", a_vip_within_the_hosts_network),
    ("an_operators_address_in_a_vips_network_survives_it", an_operators_address_in_a_vips_network),
    ("an_ipv6_vip_is_usable_at_once_and_no_source", an_ipv6_vip_is_usable_at_once_and_no_source),
    ("an_older_kernels_marks_are_recognised", an_older_kernels_marks_are_recognised),
    ("a_link_that_is_gone_is_a_refusal", a_link_that_is_gone_is_a_refusal),
    ("without_privilege_the_kernel_refuses_and_we_say_what", without_privilege),
    ("the_picture_shows_links_as_they_are", the_picture_shows_links_as_they_are),
];

fn addresses() -> Addresses {
    Addresses::open().unwrap()
}

fn add(addresses: &mut Addresses, net: &str) -> Result<(), Refusal> {
    addresses.add(&[place(net).into()], &mut Known::default()).remove(0)
}

fn remove(addresses: &mut Addresses, net: &str) -> Result<(), Refusal> {
    addresses.remove(&[place(net)], &mut Known::default()).remove(0)
}

fn find(picture: &Picture, place: Place) -> Option<LinkAddress> {
    picture.addresses.iter().copied().find(|address| (address.link, address.net) == (place.link, place.net))
}

fn present(net: &str) -> Option<LinkAddress> {
    find(&addresses().picture().unwrap(), place(net))
}

fn a_thousand_addresses_come_and_go() {
    for prefix in ["10.1", "2001:db8:1:"] {
        let host = |n: u32| match prefix {
            "10.1" => format!("10.1.{}.{}/32", n / 250, n % 250 + 1),
            _ => format!("2001:db8:1::{n:x}/128"),
        };
        let places: Vec<_> = (1..=1000).map(|n| place(&host(n))).collect();
        let mut kernel = addresses();
        let before = kernel.picture().unwrap();
        for batch in places.chunks(BATCH) {
            let batch: Vec<_> = batch.iter().copied().map(Placement::from).collect();
            assert!(kernel.add(&batch, &mut Known::default()).iter().all(Result::is_ok));
        }
        let picture = kernel.picture().unwrap();
        assert!(places.iter().all(|place| find(&picture, *place).is_some_and(|a| a.ours && a.usable)));
        let mut known = Known::default();
        for batch in places.chunks(BATCH) {
            assert!(kernel.remove(batch, &mut known).iter().all(Result::is_ok));
        }
        assert_eq!(kernel.picture().unwrap(), before);
    }
}

fn an_operators_address_is_never_removed() {
    for net in ["192.0.2.10/24", "2001:db8::10/64"] {
        run(&format!("ip addr add {net} dev va"));
        assert_eq!(remove(&mut addresses(), net), Ok(()));
        assert!(!present(net).unwrap().ours);
    }
}

fn an_operators_address_is_refused() {
    for net in ["192.0.2.10/24", "2001:db8::10/64"] {
        run(&format!("ip addr add {net} dev va"));
        let refusal = add(&mut addresses(), net).unwrap_err();
        assert_eq!(refusal.errno, libc::EEXIST);
        assert!(refusal.why.starts_with(&format!("add {net} to va: File exists")), "{}", refusal.why);
        assert!(!present(net).unwrap().ours, "{net}");
    }
}

fn our_own_address_may_be_there_already() {
    let mut kernel = addresses();
    for net in ["192.0.2.10/24", "2001:db8::10/64"] {
        assert_eq!(add(&mut kernel, net), Ok(()));
        assert_eq!(add(&mut kernel, net), Ok(()));
        assert_eq!(remove(&mut kernel, net), Ok(()));
        assert_eq!(remove(&mut kernel, net), Ok(()));
        assert_eq!(present(net), None);
    }
}

fn an_address_goes_in_as_it_is_to_be_and_comes_out_again() {
    let form = Form {
        label: vipd::net::Label::new("va:web"),
        scope: 253,
        peer: Some("192.0.2.200".parse().unwrap()),
        broadcast: Some("192.0.2.255".parse().unwrap()),
        routeless: true,
        ..Form::default()
    };
    let placement = Placement { form, ..place("192.0.2.10/32").into() };
    let mut kernel = addresses();
    assert_eq!(kernel.add(&[placement], &mut Known::default()), [Ok(())]);
    let shown = run("ip -o addr show dev va");
    let line = shown.lines().find(|line| line.contains("192.0.2.10")).unwrap();
    for part in ["peer 192.0.2.200/32", "brd 192.0.2.255", "scope link", "noprefixroute", "va:web"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_eq!(present("192.0.2.10/32").unwrap().peer, form.peer);
    assert_eq!(remove(&mut kernel, "192.0.2.10/32"), Ok(()));
    assert_eq!(present("192.0.2.10/32"), None);
    let placement =
        Placement { form: Form { preferred: true, ..Form::default() }, ..place("2001:db8::10/64").into() };
    assert_eq!(kernel.add(&[placement], &mut Known::default()), [Ok(())]);
    assert!(!run("ip -o -6 addr show dev va deprecated").contains("2001:db8::10"));
}

fn a_refused_address_does_not_hinder_the_others() {
    run("ip addr add 192.0.2.11/32 dev va");
    let places = ["192.0.2.10/32", "192.0.2.11/32", "192.0.2.12/32"].map(|net| place(net).into());
    let results = addresses().add(&places, &mut Known::default());
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
}

fn a_vip_within_the_hosts_network() {
    let mut kernel = addresses();
    assert_eq!(add(&mut kernel, "192.0.2.10/24"), Ok(()));
    let on_va: Vec<_> =
        kernel.picture().unwrap().addresses.into_iter().filter(|a| a.link == index("va")).collect();
    assert_eq!(on_va[0].net, place("192.0.2.1/24").net, "the primary address comes first");
    assert_eq!((on_va[1].net, on_va[1].ours), (place("192.0.2.10/24").net, true));
    assert_eq!(remove(&mut kernel, "192.0.2.10/24"), Ok(()));
    assert!(present("192.0.2.1/24").is_some());
}

fn an_operators_address_in_a_vips_network() {
    let setting = |name: &str| format!("/proc/sys/net/ipv4/conf/{name}/promote_secondaries");
    let mut kernel = addresses();
    for set in ["0", "1"] {
        std::fs::write(setting("all"), "0").unwrap();
        std::fs::write(setting("va"), set).unwrap();
        assert_eq!(add(&mut kernel, "198.51.100.1/24"), Ok(()));
        run("ip addr add 198.51.100.7/24 dev va");
        assert!(run("ip addr show dev va").contains("secondary"));
        assert_eq!(remove(&mut kernel, "198.51.100.1/24"), Ok(()));
        assert!(present("198.51.100.7/24").is_some_and(|address| !address.ours));
        assert_eq!(present("198.51.100.1/24"), None);
        assert!(run("ip route show 198.51.100.0/24").contains("src 198.51.100.7"));
        assert_eq!(std::fs::read_to_string(setting("va")).unwrap().trim(), set);
        run("ip addr del 198.51.100.7/24 dev va");
    }
}

fn an_ipv6_vip_is_usable_at_once_and_no_source() {
    std::fs::write("/proc/sys/net/ipv6/conf/va/accept_dad", "1").unwrap();
    assert_eq!(add(&mut addresses(), "2001:db8::10/64"), Ok(()));
    assert!(present("2001:db8::10/64").unwrap().usable);
    let shown = run("ip -6 addr show dev va to 2001:db8::10");
    assert!(
        shown.contains("nodad") && shown.contains("deprecated") && shown.contains("valid_lft forever"),
        "{shown}"
    );
    // The longer match would be the virtual address.
    assert!(run("ip route get 2001:db8::11").contains("src 2001:db8::1 "));
}

fn an_older_kernels_marks_are_recognised() {
    for net in ["192.0.2.10/24", "2001:db8::10/64"] {
        let mut older = Addresses::with_mark(Mark::Label).unwrap();
        assert_eq!(add(&mut older, net), Ok(()));
        assert!(present(net).unwrap().ours, "{net}");
        assert_eq!(add(&mut older, net), Ok(()));
        assert_eq!(remove(&mut older, net), Ok(()));
        assert_eq!(present(net), None);
    }
}

fn a_link_that_is_gone_is_a_refusal() {
    let gone = Place { link: LinkIndex(4711), ..place("192.0.2.10/24") };
    let mut kernel = addresses();
    let refusal = kernel.add(&[gone.into()], &mut Known::default()).remove(0).unwrap_err();
    assert_eq!(refusal.errno, libc::ENODEV);
    assert!(refusal.why.starts_with("add 192.0.2.10/24 to link 4711: No such device"), "{}", refusal.why);
    assert_eq!(kernel.remove(&[gone], &mut Known::default()), [Ok(())]);
}

fn without_privilege() {
    let refusal = std::thread::spawn(|| {
        let none = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
            .unwrap();
        add(&mut addresses(), "192.0.2.10/24").unwrap_err()
    });
    let refusal = refusal.join().unwrap();
    assert_eq!(refusal.errno, libc::EPERM);
    assert_eq!(refusal.why, "add 192.0.2.10/24 to va: Operation not permitted");
}

fn the_picture_shows_links_as_they_are() {
    let picture = addresses().picture().unwrap();
    let link = |name: &str| picture.links.iter().find(|link| link.name == name).unwrap().clone();
    let va = link("va");
    assert_eq!((va.index, va.mac, va.mtu, va.up), (index("va"), Some(mac("va")), 1500, true));
    assert_eq!((link("lo").mac, link("lo").up), (None, true));
    assert!(!find(&picture, place("192.0.2.1/24")).unwrap().ours);
    run("ip -n peer link set vb down");
    let va = addresses().picture().unwrap().links.into_iter().find(|link| link.name == "va").unwrap();
    assert!(!va.up, "up without a carrier is not up");
}
