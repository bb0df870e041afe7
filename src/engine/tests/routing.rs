//! Routes and rules: when they go in and out, and what becomes of those that are refused, removed or left behind.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::driver::*;
use crate::engine::action::{Action, Hold};
use crate::engine::event::{Change, Event, Held, SeenPath};
use crate::engine::notice::{State, What};
use crate::engine::path::{Hop, Path, PathKey, Route, Rule, RuleVerdict};
use crate::engine::settings::{self, Instance, Settings};
use crate::net::{Family, LinkIndex};

const NOTHING: [String; 0] = [];

fn route(to: &str, via: &str, link: Option<&str>) -> settings::Path {
    let hop = Hop { via: Some(ip(via)), link: link.map(String::from), weight: 1, onlink: false };
    let route = Route::new(net(to), Vec::from([hop]), 100);
    settings::Path { path: Path::Route(route), left_alone: false }
}

fn rule(priority: u32) -> settings::Path {
    let rule = Rule {
        from: Some(net("192.0.2.10/32")),
        ..Rule::new(Family::Ipv4, priority, RuleVerdict::Table(100))
    };
    settings::Path { path: Path::Rule(rule), left_alone: false }
}

fn with(paths: &[settings::Path]) -> Settings {
    only(Instance { paths: paths.to_vec(), ..instance(100) })
}

fn both() -> Settings {
    with(&[rule(1000), route("10.0.0.0/8", "192.0.2.254", None)])
}

fn key(path: &settings::Path) -> PathKey {
    path.path.key()
}

fn ordered(actions: &[Action]) -> Vec<String> {
    let lines = holds(actions).into_iter().flat_map(|hold| {
        let remove = hold.paths.remove.iter().map(|key| alloc::format!("remove {key}")).collect::<Vec<_>>();
        let install = hold.paths.install.iter().map(|path| alloc::format!("install {path}"));
        remove.into_iter().chain(install).collect::<Vec<_>>()
    });
    lines.collect()
}

/// A master that has just ordered, and the order.
fn taking(settings: Settings) -> (Host, Hold) {
    let mut host = Host::started(settings);
    host.obliging = false;
    let order = holds(&host.pass(SECOND * 4)).remove(0);
    (host, order)
}

fn refusing(hold: &Hold) -> Held {
    let keys = hold.paths.install.iter().map(Path::key);
    Held { refused_paths: keys.map(|key| (key, refusal("no such way"))).collect(), ..done(hold) }
}

fn seen(paths: &[settings::Path]) -> Event<'static> {
    let seen = |path: &settings::Path| {
        let route = match path.path.on(|_| Some(ETH0)).unwrap() {
            Path::Route(route) => Some(route),
            Path::Rule(_) => None,
        };
        SeenPath { key: key(path), route }
    };
    Event::Paths(paths.iter().map(seen).collect())
}

#[test]
fn one_order_has_addresses_then_routes_then_rules_and_takes_them_out_backwards() {
    let (mut host, order) = taking(both());
    assert_eq!(order.install.len(), 1);
    let install: Vec<String> = order.paths.install.iter().map(ToString::to_string).collect();
    let way = "route 10.0.0.0/8 via 192.0.2.254 in table 100";
    assert_eq!(install, [way, "IPv4 rule 1000: from 192.0.2.10/32 table 100"]);
    host.give(Event::Held(done(&order)));
    let order = holds(&host.hear(&advert(200))).remove(0);
    assert!(order.paths.install.is_empty());
    assert!(matches!(order.paths.remove[..], [PathKey::Rule(_), PathKey::Route { .. }]), "{order:?}");
    assert_eq!(order.remove.len(), 1);
}

#[test]
fn a_refused_route_is_named_and_tried_again_and_the_instance_stays_master() {
    let (mut host, mut order) = taking(with(&[route("10.0.0.0/8", "192.0.2.254", None)]));
    let told = notices(&host.give(Event::Held(refusing(&order))));
    let path = "route 10.0.0.0/8 via 192.0.2.254 in table 100".to_string();
    assert_eq!(told, [What::PathRefused { path, why: "no such way".into() }]);
    let status = host.instance();
    assert_eq!((status.state, status.paths[0].installed), (State::Master, false));
    assert_eq!(status.paths[0].trouble.as_deref(), Some("no such way"));
    assert!(host.warnings()[0].contains("is not installed: no such way"));
    for pause in [100, 200, 400] {
        assert_eq!(ordered(&host.pass(ms(pause - 1))), NOTHING);
        order = holds(&host.pass(ms(1))).remove(0);
        assert!(order.install.is_empty(), "the address is there");
        assert_eq!(notices(&host.give(Event::Held(refusing(&order)))), [], "said once");
    }
    order = holds(&host.pass(ms(800))).remove(0);
    host.give(Event::Held(done(&order)));
    assert!(host.instance().paths[0].installed);
    assert_eq!(host.instance().paths[0].trouble, None);
}

#[test]
fn what_somebody_removes_goes_back_and_after_the_fifth_time_more_slowly() {
    let mut host = Host::master(both());
    for _ in 0..5 {
        let actions = host.change(Change::PathGone(key(&rule(1000))));
        assert!(matches!(notices(&actions)[..], [What::PathLost { .. }]));
        assert_eq!(ordered(&actions).len(), 1);
    }
    let actions = host.change(Change::PathGone(key(&rule(1000))));
    assert!(matches!(notices(&actions)[..], [What::PathFight { .. }]));
    assert_eq!(ordered(&actions), NOTHING);
    assert_eq!(ordered(&host.pass(SECOND * 30)).len(), 1);
}

#[test]
fn what_is_to_be_left_alone_stays_away() {
    let mut host = Host::master(with(&[settings::Path { left_alone: true, ..rule(1000) }]));
    let actions = host.change(Change::PathGone(key(&rule(1000))));
    assert!(matches!(notices(&actions)[..], [What::PathLeft { .. }]));
    assert_eq!(ordered(&host.pass(SECOND * 60)), NOTHING);
    assert!(host.instance().paths[0].trouble.is_some());
}

#[test]
fn a_route_whose_interface_is_missing_waits_for_it() {
    let mut host = Host::dark(with(&[route("10.0.0.0/8", "198.51.100.1", Some("eth1"))]));
    let mut links = picture();
    links.links.pop();
    links.addresses.pop();
    host.give(Event::Picture(links));
    assert_eq!(ordered(&host.pass(SECOND * 4)), NOTHING);
    let status = host.instance();
    assert_eq!(status.state, State::Master);
    assert_eq!(status.paths[0].trouble.as_deref(), Some("interface eth1 does not exist"));
    let actions = host.change(Change::Link(link(ETH1, "eth1")));
    assert_eq!(ordered(&actions), ["install route 10.0.0.0/8 via 198.51.100.1 on 3 in table 100"]);
    assert!(host.instance().paths[0].installed);
}

#[test]
fn routes_that_may_have_gone_without_a_word_are_asserted_and_rules_are_not() {
    let mut host = Host::master(with(&[route("10.0.0.0/8", "198.51.100.1", Some("eth1")), rule(1000)]));
    let mut down = link(ETH1, "eth1");
    down.up = false;
    assert_eq!(ordered(&host.change(Change::Link(down))).len(), 1);
    assert_eq!(ordered(&host.change(Change::Link(link(ETH1, "eth1")))).len(), 1);
    assert_eq!(ordered(&host.change(Change::Link(link(ETH1, "eth1")))), NOTHING, "nothing changed");
    assert_eq!(ordered(&host.change(Change::Link(link(LinkIndex(9), "eth9")))), NOTHING);
    assert_eq!(notices(&host.pass(SECOND)), [], "and nobody is told");
}

#[test]
fn a_route_that_changes_goes_before_it_comes_back() {
    let mut host = Host::master(with(&[route("10.0.0.0/8", "192.0.2.254", None)]));
    let actions = host.give(Event::Reload(with(&[route("10.0.0.0/8", "192.0.2.253", None)])));
    let orders = ordered(&actions);
    let (gone, new) = ("remove route 10.0.0.0/8 in table 100 metric 0", "via 192.0.2.253");
    assert!(orders[0] == gone && orders[1].contains(new), "{orders:?}");
    let orders = ordered(&host.give(Event::Reload(with(&[]))));
    assert_eq!(orders, [gone]);
    assert!(host.instance().paths.is_empty());
}

#[test]
fn what_an_earlier_agent_left_goes_unless_a_master_has_it() {
    let mut host = Host::started(both());
    let actions = host.give(seen(&[rule(1000), rule(2000)]));
    assert_eq!(ordered(&actions).len(), 2, "one of the instance's that is no master, and a stray");
    let mut host = Host::master(both());
    let actions = host.give(seen(&[rule(1000), rule(2000), route("10.0.0.0/8", "192.0.2.254", None)]));
    assert_eq!(ordered(&actions), ["remove IPv4 rule 2000: from 192.0.2.10/32 table 100"]);
}

#[test]
fn what_a_later_picture_does_not_show_goes_back() {
    let mut host = Host::master(both());
    host.give(seen(&[rule(1000), route("10.0.0.0/8", "192.0.2.254", None)]));
    let actions = host.give(seen(&[rule(1000)]));
    assert!(matches!(notices(&actions)[..], [What::PathLost { .. }]));
    assert_eq!(ordered(&actions).len(), 1);
}

#[test]
fn an_instance_that_ends_waits_until_its_routes_are_gone() {
    let mut host = Host::master(both());
    host.obliging = false;
    let order = holds(&host.give(Event::ShutdownNow)).remove(0);
    assert_eq!(order.paths.remove.len(), 2);
    let refused = order.paths.remove.iter().map(|key| (key.clone(), refusal("no"))).collect();
    host.give(Event::Held(Held { refused_paths: refused, ..done(&order) }));
    assert!(!host.engine.is_idle());
    let order = holds(&host.pass(ms(100))).remove(0);
    host.give(Event::Held(done(&order)));
    assert!(host.engine.is_idle());
}
