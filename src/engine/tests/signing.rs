//! Signed adverts: what is believed, with which number ours go out, and what survives what.
#![expect(clippy::unchecked_time_subtraction, reason = "wall clocks show far more than is taken away")]

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::driver::*;
use crate::engine::action::{Action, Datagram};
use crate::engine::event::Event;
use crate::engine::inheritance::Inheritance;
use crate::engine::notice::{Discard, State, What};
use crate::engine::settings::{AntiReplay, Effect, Hmac, Instance, Settings, Unicast};
use crate::engine::signing::{Mark, Signed};
use crate::net::{Family, Priority, Vrid};
use crate::proto::health::Verdict;
use crate::time::{Duration, Instant};
use crate::wire::vrrp::{Advert, Key, Sequence, Trailer, Version, split};
use zeroize::Zeroizing;

/// What the wall clock shows at the start, and every peer's.
const WALL: Duration = Duration::from_secs(1_800_000_000);
const WINDOW: Duration = Duration::from_secs(5);
const BY_TIME: AntiReplay = AntiReplay::Time { window: WINDOW };

fn key(byte: u8) -> Key {
    Key::new(Zeroizing::new([byte; 32].into())).unwrap()
}

/// Keys 1 and 2, the first of which signs.
fn hmac() -> Hmac {
    Hmac {
        keys: BTreeMap::from([(1, key(1)), (2, key(2))]),
        active: Some(1),
        accepts_unsigned: false,
        anti_replay: BY_TIME,
    }
}

fn signing(priority: u8) -> Instance {
    Instance { hmac: Some(hmac()), ..instance(priority) }
}

fn with(change: impl FnOnce(&mut Hmac)) -> Instance {
    let mut hmac = hmac();
    change(&mut hmac);
    Instance { hmac: Some(hmac), ..instance(100) }
}

/// A host whose wall clock shows [`WALL`] at the start.
fn host(instance: Instance) -> Host {
    host_of(only(instance))
}

fn host_of(settings: Settings) -> Host {
    let mut host = Host::dark(settings);
    set_clock(&mut host, WALL);
    host.give(Event::Picture(picture()));
    host
}

fn set_clock(host: &mut Host, wall: Duration) {
    host.give(Event::Clock { wall });
}

/// What a clock shows that showed [`WALL`] at the start.
fn wall(host: &Host) -> Duration {
    WALL + host.now.since(START)
}

/// An advert of the peer, signed with key 1 at a time.
fn signed(advert: &Advert, at: Duration) -> Arriving {
    signed_by(advert, 1, &key(1), Sequence::at(at))
}

fn signed_by(advert: &Advert, id: u8, key: &Key, sequence: Sequence) -> Arriving {
    from(PEER, advert, id, key, sequence)
}

fn from(source: IpAddr, advert: &Advert, id: u8, key: &Key, sequence: Sequence) -> Arriving {
    let destination = Family::of(source).group();
    let trailer = advert.sign(source, id, key, sequence);
    let payload = advert.encode_with(source, destination, Some(&trailer));
    Arriving { payload, ..Arriving::between(advert, source, destination) }
}

fn sent(actions: &[Action]) -> Vec<Datagram> {
    let datagram = |action: &Action| match action {
        Action::Send(sent) => Some(sent.clone()),
        Action::Kernel(_) | Action::Tell(_) => None,
    };
    actions.iter().filter_map(datagram).collect()
}

fn trailer(sent: &Datagram) -> Trailer {
    let (pdu, trailer) = split(&sent.payload, Family::of(sent.source)).expect("it is signed");
    let trailer = Trailer::decode(trailer).unwrap();
    assert!(trailer.is_genuine(pdu, sent.source, &key(trailer.key)));
    trailer
}

/// The sequences of all adverts among actions.
fn sequences(actions: &[Action]) -> Vec<Sequence> {
    sent(actions).iter().map(|sent| trailer(sent).sequence).collect()
}

fn grows(sequences: &[Sequence]) -> bool {
    sequences.windows(2).all(|pair| pair[1].is_after(pair[0]))
}

fn received(host: &Host) -> u64 {
    host.router(Family::Ipv4).counters.received
}

#[test]
fn every_advert_is_signed_at_the_time_it_is_sent() {
    let mut host = host(signing(100));
    let actions = host.pass(SECOND * 10);
    let sequences = sequences(&actions);
    assert!(sequences.len() > 5 && grows(&sequences), "{sequences:?}");
    let last = host.now.since(START) - ms(500);
    assert!(sequences.last().unwrap().is_after(Sequence::at(WALL + last - SECOND)));
    assert!(!sequences.last().unwrap().is_after(Sequence::at(wall(&host))));
}

#[test]
fn both_families_and_version_2_are_signed() {
    let mut host = host(Instance { hmac: Some(hmac()), ..dual(100) });
    let actions = host.pass(SECOND * 5);
    let families: Vec<_> = sent(&actions).iter().map(|sent| (trailer(sent).key, sent.source)).collect();
    assert!(families.contains(&(1, US)) && families.contains(&(1, US6)), "{families:?}");
    let mut host = self::host(Instance { version: Version::V2, ..signing(100) });
    let actions = host.pass(SECOND * 5);
    assert!(!sequences(&actions).is_empty());
}

#[test]
fn one_signature_serves_all_peers() {
    let peers = [PEER, ip("192.0.2.8")].map(peer).into();
    let unicast = Some(Unicast { sources: [US].into(), peers });
    let mut host = host(Instance { unicast, ..signing(100) });
    let actions = host.pass(SECOND * 4);
    let sent = sent(&actions);
    let [one, other, ..] = sent.as_slice() else { panic!("{sent:?}") };
    assert_ne!(one.destination, other.destination);
    assert_eq!(trailer(one), trailer(other));
}

#[test]
fn what_is_signed_counts_and_what_is_not_is_discarded_with_the_reason() {
    let advert = advert(200);
    let at = |host: &Host| Sequence::at(wall(host));
    let mut other_type = signed(&advert, WALL);
    let length = other_type.payload.len();
    other_type.payload[length - 28] = 2;
    let mut host = host(signing(100));
    for (arriving, reason) in [
        (signed(&advert, WALL), None),
        (signed_by(&advert, 2, &key(2), at(&host).next()), None),
        (Arriving::new(&advert), Some(Discard::HmacMissing)),
        (other_type, Some(Discard::HmacMalformed)),
        (signed_by(&advert, 3, &key(3), at(&host).next()), Some(Discard::HmacUnknownKey)),
        (signed_by(&advert, 1, &key(2), at(&host).next()), Some(Discard::HmacInvalid)),
        (signed(&advert, WALL + WINDOW + SECOND), Some(Discard::HmacStale)),
        (signed(&advert, WALL - WINDOW - SECOND), Some(Discard::HmacStale)),
        (signed_by(&advert, 2, &key(2), at(&host).next()), Some(Discard::HmacReplay)),
        (signed(&advert, WALL), Some(Discard::HmacReplay)),
        (signed(&advert, WALL + WINDOW), None),
        (signed(&Advert { version: Version::V2, ..advert.clone() }, WALL), Some(Discard::Version)),
    ] {
        let (before, heard) = (host.discarded(), received(&host));
        host.arrive(&arriving);
        let mut expected = before.clone();
        if let Some(reason) = reason {
            *expected.entry(reason).or_default() += 1;
        }
        assert_eq!(host.discarded(), expected);
        assert_eq!(received(&host) - heard, u64::from(reason.is_none()));
    }
    assert_eq!(host.router(Family::Ipv4).counters.signed, [3, 0]);
}

#[test]
fn nothing_of_an_advert_is_believed_before_its_signature() {
    // Wrong in more than one way: it counts as what an attacker cannot choose.
    let mut arriving = signed_by(&advert(200), 1, &key(9), Sequence::at(WALL));
    arriving.payload[6] ^= 1;
    let mut host = host(signing(100));
    host.arrive(&arriving);
    assert_eq!(host.discarded(), BTreeMap::from([(Discard::HmacInvalid, 1)]));
    // A genuine one is still read as any other.
    let mut arriving = signed(&advert(200), WALL);
    arriving.payload[6] ^= 1;
    host.arrive(&arriving);
    assert_eq!(host.discarded().get(&Discard::Checksum), Some(&1));
}

#[test]
fn an_advert_is_believed_from_the_one_who_signed_it_only() {
    let mut host = host(signing(100));
    let arriving = signed(&advert(200), WALL);
    let elsewhere = Arriving { source: ip("192.0.2.8"), ..arriving };
    host.arrive(&elsewhere);
    assert_eq!(host.discarded(), BTreeMap::from([(Discard::HmacInvalid, 1)]));
}

#[test]
fn each_mode_signs_and_believes_as_it_says() {
    for (active, accepts_unsigned) in [(Some(1), false), (Some(1), true), (None, true)] {
        let settings = with(|hmac| (hmac.active, hmac.accepts_unsigned) = (active, accepts_unsigned));
        let mut host = host(settings);
        let actions = host.pass(SECOND * 4);
        let signs = sent(&actions).iter().all(|sent| split(&sent.payload, Family::Ipv4).is_some());
        assert_eq!(signs, active.is_some());
        let before = received(&host);
        host.hear(&advert(200));
        assert_eq!(received(&host) - before, u64::from(accepts_unsigned), "{active:?}");
        host.arrive(&signed(&advert(200), wall(&host)));
        host.arrive(&signed_by(&advert(200), 1, &key(9), Sequence::at(wall(&host)).next()));
        assert_eq!(host.discarded().get(&Discard::HmacInvalid), Some(&1), "a wrong one never counts");
        let counted = host.router(Family::Ipv4).counters.signed;
        assert_eq!(counted, [1, u64::from(accepts_unsigned)]);
    }
}

#[test]
fn a_node_without_keys_says_that_others_sign() {
    let mut host = host(instance(100));
    host.arrive(&signed(&advert(200), WALL));
    assert_eq!(host.discarded(), BTreeMap::from([(Discard::AuthenticationType, 1)]));
    let warnings = host.warnings();
    assert!(warnings[0].contains("only one of the nodes authenticates its adverts"), "{warnings:?}");
}

#[test]
fn senders_are_told_apart_and_the_one_longest_silent_is_forgotten() {
    let mut host = host(with(|hmac| hmac.anti_replay = AntiReplay::Monotonic));
    let nth = |n: u8| ip(&alloc::format!("192.0.2.{}", 20 + n));
    let say = |host: &mut Host, n: u8, sequence: u64| {
        let before = received(host);
        host.arrive(&from(nth(n), &advert(200), 1, &key(1), Sequence::from_bits(sequence)));
        host.pass(ms(1));
        received(host) > before
    };
    assert!([0, 1, 2, 3].into_iter().all(|n| say(&mut host, n, 5)));
    assert!([0, 1, 2, 3].into_iter().all(|n| !say(&mut host, n, 5)), "each has a mark");
    assert!(say(&mut host, 0, 6) && say(&mut host, 4, 5));
    assert!(!say(&mut host, 0, 6) && !say(&mut host, 2, 5), "these four were heard last");
    assert!(say(&mut host, 1, 5), "forgotten for the fifth");
}

#[test]
fn a_unicast_router_keeps_a_mark_of_every_peer() {
    let peers: Vec<IpAddr> = (20..30).map(|n| ip(&alloc::format!("192.0.2.{n}"))).collect();
    let unicast = Some(Unicast { sources: [US].into(), peers: peers.iter().copied().map(peer).collect() });
    let mut host = host(Instance { unicast, ..signing(100) });
    for expected in [10, 10] {
        for peer in &peers {
            let trailer = advert(200).sign(*peer, 1, &key(1), Sequence::at(WALL));
            let payload = advert(200).encode_with(*peer, US, Some(&trailer));
            host.arrive(&Arriving { payload, ..Arriving::between(&advert(200), *peer, US) });
        }
        assert_eq!(received(&host), expected);
    }
    assert_eq!(host.discarded(), BTreeMap::from([(Discard::HmacReplay, 10)]));
}

#[test]
fn a_clock_set_back_within_the_window_makes_no_sequence_go_back() {
    for anti_replay in [BY_TIME, AntiReplay::Monotonic] {
        let mut host = host(with(|hmac| hmac.anti_replay = anti_replay));
        let mut actions = host.pass(SECOND * 6);
        let back = wall(&host) - SECOND * 4;
        set_clock(&mut host, back);
        actions.extend(host.pass(SECOND * 10));
        let sequences = sequences(&actions);
        assert!(grows(&sequences), "{sequences:?}");
        let clock = wall(&host) - SECOND * 4;
        assert!(sequences.last().unwrap().ahead_of(clock).abs() <= 1, "it is with the clock again");
    }
}

#[test]
fn a_clock_set_back_farther_is_followed_by_time_and_not_otherwise() {
    for (anti_replay, follows) in [(BY_TIME, true), (AntiReplay::Monotonic, false)] {
        let mut host = host(with(|hmac| hmac.anti_replay = anti_replay));
        let before = sequences(&host.pass(SECOND * 6));
        let back = wall(&host) - SECOND * 60;
        set_clock(&mut host, back);
        let after = sequences(&host.pass(SECOND * 2));
        assert_eq!(!after[0].is_after(*before.last().unwrap()), follows, "{anti_replay:?}");
        assert!(grows(&after));
    }
}

#[test]
fn a_clock_that_is_set_is_told_to_those_who_sign() {
    let told = |instance: Instance, by: Duration| {
        let mut host = host(instance);
        host.pass(SECOND);
        let wall = wall(&host) - by;
        notices(&host.give(Event::Clock { wall }))
    };
    let back = What::ClockSet { forward: false, by: SECOND };
    assert_eq!(told(signing(100), SECOND), [back]);
    assert_eq!(told(signing(100), ms(40)), [], "two clocks are not read at one moment");
    assert_eq!(told(instance(100), SECOND), []);
}

#[test]
fn a_peer_whose_clock_and_ours_were_set_back_is_heard_again() {
    let mut host = host(signing(100));
    host.arrive(&signed(&advert(200), WALL));
    host.pass(SECOND);
    let back = WALL - SECOND * 60;
    set_clock(&mut host, back);
    host.arrive(&signed(&advert(200), back));
    assert_eq!(received(&host), 2, "{:?}", host.discarded());
    host.arrive(&signed(&advert(200), back));
    assert_eq!(host.discarded(), BTreeMap::from([(Discard::HmacReplay, 1)]));
}

#[test]
fn an_advert_that_waited_is_judged_by_when_it_came() {
    let mut host = host(signing(100));
    let arriving = signed(&advert(200), WALL);
    let came = host.now;
    // Not a turn in a minute.
    host.now = host.now + SECOND * 60;
    set_clock(&mut host, WALL + SECOND * 60);
    host.arrive_at(came, &arriving);
    assert_eq!(received(&host), 1, "{:?}", host.discarded());
}

#[test]
fn keys_and_modes_change_by_reload_without_a_transition() {
    let mut host = host(signing(100));
    host.pass(SECOND * 4);
    assert_eq!(host.state(), State::Master);
    let changes: [fn(&mut Hmac); 5] = [
        |hmac| hmac.active = Some(2),
        |hmac| drop(hmac.keys.remove(&2)),
        |hmac| hmac.accepts_unsigned = true,
        |hmac| hmac.active = None,
        |hmac| hmac.anti_replay = AntiReplay::Monotonic,
    ];
    for change in changes {
        let actions = host.give(Event::Reload(only(with(change))));
        assert_eq!(transitions(&actions), []);
        assert_eq!(outline(&actions), [""; 0]);
        host.pass(SECOND * 2);
    }
    let actions = host.give(Event::Reload(only(with(|hmac| hmac.active = Some(2)))));
    assert_eq!(transitions(&actions), []);
    let actions = host.pass(SECOND * 2);
    assert!(sent(&actions).iter().all(|sent| trailer(sent).key == 2));
    let actions = host.give(Event::Reload(only(instance(100))));
    assert_eq!((transitions(&actions), host.state()), ([].into(), State::Master));
}

#[test]
fn what_was_heard_before_a_reload_is_no_news_after_it() {
    let mut host = host(signing(100));
    let arriving = signed(&advert(200), WALL);
    host.arrive(&arriving);
    host.give(Event::Reload(only(Instance { priority: Priority::new(90), ..signing(100) })));
    host.arrive(&arriving);
    assert_eq!(host.discarded(), BTreeMap::from([(Discard::HmacReplay, 1)]));
    // Gone, and there again.
    host.give(Event::Reload(only(Instance { vrid: Vrid::new(52).unwrap(), ..signing(100) })));
    host.pass(SECOND);
    host.give(Event::Reload(only(signing(100))));
    host.pass(ms(100));
    host.arrive(&arriving);
    assert_eq!(host.discarded().get(&Discard::HmacReplay), Some(&1), "{:?}", host.discarded());
    assert_eq!(received(&host), 0);
}

/// A host that starts with what another one remembers, when its clock shows `wall`.
fn successor(now: Instant, instance: Instance, signed: Vec<Signed>, wall: Duration) -> Host {
    let mut host = Host::heir(now, only(instance), Inheritance::default());
    host.engine.remember(now, signed);
    set_clock(&mut host, wall);
    host.give(Event::Picture(picture()));
    host
}

#[test]
fn after_a_crash_the_sequence_goes_on_although_the_clock_was_set_back() {
    for anti_replay in [BY_TIME, AntiReplay::Monotonic] {
        let settings = with(|hmac| hmac.anti_replay = anti_replay);
        let mut host = host(settings.clone());
        host.pass(SECOND * 5);
        // What was written a while ago is all that is left.
        let left = host.engine.signed();
        let before = sequences(&host.pass(SECOND * 3));
        let wall = wall(&host) - SECOND * 4;
        let mut after = successor(host.now, settings, left, wall);
        let after = sequences(&after.pass(SECOND * 6));
        assert!(after[0].is_after(*before.last().unwrap()), "{anti_replay:?}: {before:?}, then {after:?}");
        assert!(after[0].ahead_of(wall + SECOND * 4).unsigned_abs() <= 5, "peers believe it");
    }
}

#[test]
fn after_a_restart_nothing_is_believed_that_was_heard_before() {
    let mut host = host(signing(100));
    let arriving = signed(&advert(200), WALL);
    host.arrive(&arriving);
    let mut after = successor(host.now, signing(100), host.engine.signed(), WALL);
    after.arrive(&arriving);
    assert_eq!((received(&after), after.discarded().get(&Discard::HmacReplay)), (0, Some(&1)));
    after.arrive(&signed(&advert(200), WALL + ms(1)));
    assert_eq!(received(&after), 1);
}

#[test]
fn what_is_heard_in_fault_is_no_news_afterwards() {
    let mut host = host_of(tracking(signing(100), &[("c", Effect::Fault)]));
    assert_eq!(host.state(), State::Fault);
    let arriving = signed(&advert(200), WALL);
    host.arrive(&arriving);
    assert_eq!(host.discarded(), BTreeMap::from([(Discard::NotListening, 1)]));
    host.verdict("c", Verdict::Up);
    host.arrive(&arriving);
    assert_eq!(host.discarded().get(&Discard::HmacReplay), Some(&1), "{:?}", host.discarded());
}

#[test]
fn a_stop_leaves_what_was_sent_and_heard() {
    let mut host = host(signing(100));
    host.arrive(&signed(&advert(50), WALL));
    host.pass(SECOND * 5);
    host.give(Event::Shutdown);
    host.pass(SECOND * 3);
    assert!(host.engine.is_idle());
    let left = host.engine.signed();
    let [Signed { vrid, family: Family::Ipv4, sent: Some(_), marks, .. }] = left.as_slice() else {
        panic!("{left:?}")
    };
    assert_eq!((vrid.get(), marks.len()), (51, 1));
    assert!(matches!(marks[0], Mark { source, .. } if source == PEER));
}

#[test]
fn nothing_that_is_signed_is_kept_for_later() {
    let mut host = host(signing(100));
    host.pass(SECOND * 4);
    let estate = host.engine.bequest().instances.remove(0).estate.unwrap();
    assert_eq!(estate.resignations, []);
    let mut unsigned = self::host(instance(100));
    unsigned.pass(SECOND * 4);
    let estate = unsigned.engine.bequest().instances.remove(0).estate.unwrap();
    assert_eq!(estate.resignations.len(), 1);
}

#[test]
fn clocks_that_drift_apart_are_a_warning_before_they_are_a_reason() {
    let warnings = |ahead: Duration| {
        let mut host = host(signing(100));
        host.arrive(&signed(&advert(200), WALL + ahead));
        host.warnings()
    };
    assert_eq!(warnings(SECOND * 2), [""; 0]);
    assert_eq!(
        warnings(SECOND * 3),
        [
            "web: the clock of 192.0.2.9 is 3 s ahead, more than half of the time_window; set the clocks of both nodes"
        ]
    );
    assert_eq!(
        warnings(SECOND * 6),
        [
            "web: adverts of 192.0.2.9 are discarded, they were signed by a clock that differs by more than the \
          time_window; set the clocks of both nodes"
        ]
    );
}
