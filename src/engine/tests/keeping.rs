//! Keeping the addresses in the kernel although it, or somebody else, would not have them there.

use alloc::vec::Vec;

use super::driver::*;
use crate::engine::action::{Action, Hold};
use crate::engine::event::{Change, Event, Held};
use crate::engine::notice::{State, What};
use crate::engine::settings::Instance;

const NOTHING: [&str; 0] = [];
const VIP: &str = "192.0.2.10/32";

/// A master that has just ordered its addresses, and the order.
fn taking(settings: Instance) -> (Host, Hold) {
    let mut host = Host::started(only(settings));
    host.obliging = false;
    let order = holds(&host.pass(SECOND * 4)).remove(0);
    (host, order)
}

fn settled() -> Host {
    let mut host = Host::master(only(instance(100)));
    host.report(VIP);
    host
}

fn lost() -> What {
    What::AddressLost { net: net(VIP) }
}

fn is_installed(host: &Host) -> bool {
    host.instance().addresses[0].installed
}

/// Everything ordered of the kernel, and no adverts.
fn orders(actions: &[Action]) -> Vec<alloc::string::String> {
    outline(actions).into_iter().filter(|line| !line.contains("advert")).collect()
}

// Refusals.

#[test]
fn an_address_is_installed_when_the_kernel_says_so_and_not_before() {
    let (mut host, order) = taking(instance(100));
    assert!(!is_installed(&host));
    host.give(Event::Held(done(&order)));
    assert!(is_installed(&host));
}

#[test]
fn a_refused_address_is_tried_again_ever_more_slowly_and_told_once() {
    let (mut host, mut order) = taking(instance(100));
    for (nth, pause) in
        [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000].iter().enumerate()
    {
        let told = notices(&host.give(Event::Held(refused(&order))));
        assert_eq!(told.len(), usize::from(nth == 0), "{told:?}");
        assert_eq!(orders(&host.pass(ms(pause - 1))), NOTHING, "{pause}");
        order = holds(&host.pass(ms(1))).remove(0);
    }
    assert_eq!(host.instance().addresses[0].trouble.as_deref(), Some("no"));
    assert_eq!(host.state(), State::Master, "the rest is served all the same");
    host.give(Event::Held(done(&order)));
    assert_eq!(host.instance().addresses[0].trouble, None);
    assert_eq!(orders(&host.pass(SECOND * 60)), NOTHING);
}

#[test]
fn one_refused_address_does_not_hold_up_the_others() {
    let (mut host, order) =
        taking(Instance { addresses: nets(&["192.0.2.10/24", "192.0.2.11/24"]), ..instance(100) });
    let answer = Held { refused: [(on_eth0(VIP), refusal("no"))].into(), ..done(&order) };
    host.give(Event::Held(answer));
    let installed: Vec<bool> = host.instance().addresses.iter().map(|a| a.installed).collect();
    assert_eq!(installed, [false, true]);
    assert_eq!(orders(&host.pass(ms(100))), ["install 192.0.2.10/32"]);
}

#[test]
fn an_address_that_is_not_installed_is_not_announced() {
    let two = Instance { addresses: nets(&["192.0.2.10/24", "192.0.2.11/24"]), ..instance(100) };
    let (mut host, order) = taking(two.clone());
    assert_eq!(orders(&host.hear(&advert(50))), NOTHING, "the kernel has not answered");
    host.give(Event::Held(refused(&order)));
    assert_eq!(orders(&host.hear(&advert(50))), NOTHING);
    let (mut host, order) = taking(two);
    host.give(Event::Held(Held { refused: [(on_eth0(VIP), refusal("no"))].into(), ..done(&order) }));
    assert_eq!(orders(&host.hear(&advert(50))), ["announce 192.0.2.11/32"]);
}

#[test]
fn a_refused_address_that_turns_up_by_itself_is_not_tried_again() {
    let (mut host, order) = taking(instance(100));
    host.give(Event::Held(refused(&order)));
    host.report(VIP);
    assert!(is_installed(&host));
    assert_eq!(orders(&host.pass(SECOND * 60)), NOTHING);
}

#[test]
fn an_answer_to_an_older_order_is_ignored() {
    let (mut host, first) = taking(instance(100));
    let second = holds(&host.hear(&advert(200))).remove(0);
    assert_eq!(outline(&host.give(Event::Held(done(&first)))), NOTHING);
    assert!(!is_installed(&host));
    assert_eq!(second.remove, [on_eth0(VIP)], "whatever became of the first");
    assert!(second.generation > first.generation);
    assert_eq!(outline(&host.give(Event::Held(done(&second)))), NOTHING);
}

#[test]
fn a_newer_order_repeats_all_that_the_older_one_may_not_have_done() {
    let two = nets(&["192.0.2.10/24", "192.0.2.11/24"]);
    let (mut host, first) = taking(instance(100));
    let second =
        holds(&host.give(Event::Reload(only(Instance { addresses: two, ..instance(100) })))).remove(0);
    assert_eq!(first.install.len(), 1);
    let places: Vec<_> = second.install.iter().map(|p| p.place).collect();
    assert_eq!(places, [on_eth0(VIP), on_eth0("192.0.2.11/32")]);
}

#[test]
fn an_address_that_the_kernel_does_not_let_go_is_tried_again() {
    let mut host = settled();
    host.obliging = false;
    let order = holds(&host.hear(&advert(200))).remove(0);
    host.give(Event::Held(refused(&order)));
    assert_eq!(outline(&host.pass(ms(99))), NOTHING);
    assert_eq!(outline(&host.pass(ms(1))), ["remove 192.0.2.10/32"]);
}

// Somebody else.

#[test]
fn an_address_that_somebody_deletes_comes_back_at_once_and_is_told() {
    let mut host = settled();
    let actions = host.delete(VIP);
    assert_eq!(orders(&actions), ["install 192.0.2.10/32"]);
    assert_eq!(notices(&actions), [lost()]);
    assert_eq!((host.state(), host.held()), (State::Master, [VIP.into()].into()));
}

#[test]
fn an_address_that_a_backup_does_not_want_is_not_put_back() {
    let mut host = settled();
    host.hear(&advert(200));
    assert_eq!(host.delete(VIP), []);
}

#[test]
fn an_address_that_appears_on_a_backup_with_our_mark_is_not_announced() {
    let mut host = Host::started(only(instance(100)));
    assert_eq!(outline(&host.report(VIP)), NOTHING);
}

#[test]
fn a_sixth_deletion_within_ten_seconds_is_a_fight_that_is_fought_slowly() {
    let mut host = settled();
    for _ in 0..5 {
        assert_eq!(notices(&host.delete(VIP)), [lost()]);
        host.report(VIP);
        host.pass(SECOND);
    }
    let actions = host.delete(VIP);
    assert_eq!(notices(&actions), [What::AddressFight { net: net(VIP) }]);
    assert_eq!(orders(&actions), NOTHING);
    assert!(host.instance().addresses[0].trouble.is_some());
    assert_eq!(orders(&host.pass(ms(29_999))), NOTHING);
    assert_eq!(orders(&host.pass(ms(1))), ["install 192.0.2.10/32"]);
    assert_eq!(host.instance().addresses[0].trouble, None);
}

#[test]
fn five_deletions_in_more_than_ten_seconds_are_no_fight() {
    let mut host = settled();
    for _ in 0..20 {
        assert_eq!(notices(&host.delete(VIP)), [lost()]);
        host.report(VIP);
        host.pass(ms(2_001));
    }
}

#[test]
fn an_address_deleted_before_the_kernels_answer_is_read_comes_back() {
    let (mut host, order) = taking(instance(100));
    host.report(VIP);
    assert_eq!(orders(&host.delete(VIP)), NOTHING, "the answer is awaited");
    let actions = host.give(Event::Held(done(&order)));
    assert_eq!(orders(&actions), ["install 192.0.2.10/32"]);
    assert_eq!(notices(&actions), [lost()]);
}

#[test]
fn an_address_taken_again_while_it_was_being_removed_is_not_lost() {
    let (mut host, order) = taking(instance(100));
    host.report(VIP);
    host.give(Event::Held(done(&order)));
    host.hear(&advert(200));
    host.hear(&advert(0));
    let again = holds(&host.pass(SECOND)).remove(0);
    // The kernel removed it and put it back before anything was read.
    host.change(Change::AddressGone(on_eth0(VIP)));
    host.report(VIP);
    assert_eq!(notices(&host.give(Event::Held(done(&again)))), []);
    assert!(is_installed(&host));
}

#[test]
fn an_address_that_was_never_removed_is_not_forgotten_when_taking_it_again_is_refused() {
    let mut host = settled();
    host.obliging = false;
    host.hear(&advert(200));
    host.hear(&advert(0));
    let again = holds(&host.pass(SECOND)).remove(0);
    host.give(Event::Held(refused(&again)));
    assert!(is_installed(&host), "the order to remove it was replaced before it was begun");
    let actions = host.hear(&advert(200));
    assert_eq!(orders(&actions), ["shut 192.0.2.10/32", "remove 192.0.2.10/32"]);
}

#[test]
fn a_later_picture_of_the_kernel_is_compared_with_what_was_believed() {
    let mut host = settled();
    let mut with = picture();
    with.addresses.push(ours(on_eth0(VIP)));
    assert_eq!(host.give(Event::Picture(with)), []);
    let actions = host.give(Event::Picture(picture()));
    assert_eq!(orders(&actions), ["install 192.0.2.10/32"], "a report was lost");
}

// The local route.

fn unroute(host: &mut Host) -> Vec<Action> {
    host.change(Change::RouteGone(on_eth0(VIP)))
}

fn unrouted() -> What {
    What::RouteLost { net: net(VIP) }
}

#[test]
fn an_address_whose_local_route_somebody_deletes_is_removed_and_installed_again() {
    let mut host = settled();
    host.obliging = false;
    assert_eq!(orders(&unroute(&mut host)), NOTHING, "the address may be about to follow");
    let actions = host.pass(ms(10));
    assert_eq!(
        (orders(&actions), notices(&actions)),
        (vec!["remove 192.0.2.10/32".into()], vec![unrouted()])
    );
    host.change(Change::AddressGone(on_eth0(VIP)));
    let removed = host.give(Event::Held(done(&holds(&actions)[0])));
    assert_eq!((orders(&removed), notices(&removed)), (vec!["install 192.0.2.10/32".into()], vec![]));
    host.report(VIP);
    let installed = host.give(Event::Held(done(&holds(&removed)[0])));
    assert_eq!(orders(&installed), NOTHING);
    assert!(is_installed(&host));
    assert_eq!(orders(&host.pass(SECOND * 60)), NOTHING);
}

#[test]
fn a_local_route_that_goes_with_its_address_is_no_news_of_its_own() {
    let mut host = settled();
    unroute(&mut host);
    let actions = host.delete(VIP);
    assert_eq!((orders(&actions), notices(&actions)), (vec!["install 192.0.2.10/32".into()], vec![lost()]));
    host.report(VIP);
    assert_eq!(orders(&host.pass(SECOND)), NOTHING);
}

#[test]
fn the_local_route_of_an_address_that_is_not_held_is_no_concern() {
    let mut host = settled();
    assert_eq!(host.change(Change::RouteGone(on_eth0("192.0.2.5/32"))), []);
    host.hear(&advert(200));
    assert_eq!(unroute(&mut host), []);
    assert_eq!(orders(&host.pass(SECOND)), NOTHING);
}

#[test]
fn an_address_lost_to_another_master_while_it_is_renewed_does_not_come_back() {
    let mut host = settled();
    host.obliging = false;
    unroute(&mut host);
    let removal = holds(&host.pass(ms(10))).remove(0);
    let again = holds(&host.hear(&advert(200)));
    assert_eq!(again.iter().map(|hold| hold.install.len()).sum::<usize>(), 0);
    host.give(Event::Held(done(&removal)));
    for hold in &again {
        host.give(Event::Held(done(hold)));
    }
    assert_eq!(orders(&host.pass(ms(100))), NOTHING);
    assert!(!is_installed(&host));
}

#[test]
fn a_renewal_that_is_refused_is_tried_again() {
    let mut host = settled();
    host.obliging = false;
    unroute(&mut host);
    let removal = holds(&host.pass(ms(10))).remove(0);
    host.give(Event::Held(refused(&removal)));
    assert_eq!(orders(&host.pass(ms(99))), NOTHING);
    assert_eq!(orders(&host.pass(ms(1))), ["remove 192.0.2.10/32"]);
}

#[test]
fn a_sixth_deletion_of_the_route_within_ten_seconds_is_a_fight() {
    let mut host = settled();
    for _ in 0..5 {
        unroute(&mut host);
        assert_eq!(notices(&host.pass(SECOND)), [unrouted()]);
        assert!(is_installed(&host));
    }
    unroute(&mut host);
    let actions = host.pass(ms(10));
    assert_eq!(notices(&actions), [What::AddressFight { net: net(VIP) }]);
    assert_eq!(orders(&actions), NOTHING);
    assert_eq!(orders(&host.pass(ms(29_989))), NOTHING);
    assert_eq!(orders(&host.pass(ms(11)))[0], "remove 192.0.2.10/32");
}
