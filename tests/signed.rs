//! Signed adverts between real agents in network namespaces: vipd with vipd, vipd with a keepalived that knows no
//! signatures, recordings sent again, and, run by hand, vipd with a keepalived that signs.
//!
//! ```text
//! PATH=/path/to/keepalived-2.4.2-or-later:$PATH cargo test --test signed -- --ignored
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::net::IpAddr;
use std::time::Duration;

use lab::network::holders;
use lab::vipd::Programs;
use lab::{Agent, Host, Keepalived, Lab, Router, Tap, Vipd, claim, isolated, until};
use nix::sys::signal::Signal;
use pnet::datalink::{self, Channel};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(20);
const FOUR: &str = "192.0.2.100/24";
const SIX: &str = "2001:db8::100/64";
const ONE: &str = "hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const TWO: &str = "a second key of forty-one characters here";

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

/// `authentication` in vipd's words.
fn ours(keys: &[(u8, &str)], active: u8, mode: &str) -> String {
    let keys: Vec<_> = keys.iter().map(|(id, key)| format!("{id}: \"{key}\"")).collect();
    format!(
        "authentication: {{ type: hmac, keys: {{ {} }}, active_key: {active}, mode: {mode} }}",
        keys.join(", ")
    )
}

/// The same in keepalived's.
fn theirs(keys: &[(u8, &str)], active: u8, mode: &str) -> String {
    let keys: Vec<_> = keys.iter().map(|(id, key)| format!("    key {id} \"{key}\"\n")).collect();
    format!("auth_hmac {{\n{}    active_key {active}\n    mode {mode}\n  }}", keys.concat())
}

fn web(priority: u8, authentication: &str) -> Router {
    Router::new("web", 51, priority, FOUR).every(200).vipd(authentication)
}

/// Two nodes of which the first is master.
struct Pair {
    lb1: Host,
    lb2: Host,
    first: Vipd,
    second: Vipd,
}

impl Pair {
    fn start(lab: &Lab, node: impl Fn(&Host, &Host, u8) -> Router) -> Self {
        let (lb1, lb2) = (lab.host("lb1"), lab.host("lb2"));
        let first = Vipd::start(&lb1, &programs(), &node(&lb1, &lb2, 150).into());
        let second = Vipd::start(&lb2, &programs(), &node(&lb2, &lb1, 100).into());
        let pair = Self { lb1, lb2, first, second };
        pair.first.wait_state("web", "master");
        pair.second.wait_state("web", "backup");
        until("the backup hears the master", SOON, || {
            (counter(&pair.second, "adverts_received") > 2).then_some(())
        });
        pair
    }
}

/// How often adverts were discarded for a reason.
fn discarded(vipd: &Vipd, reason: &str) -> u64 {
    let instance = vipd.instance("web");
    let routers = instance["routers"].as_array().unwrap();
    routers.iter().filter_map(|router| router["counters"]["discarded"][reason].as_u64()).sum()
}

fn counter(vipd: &Vipd, name: &str) -> u64 {
    let instance = vipd.instance("web");
    let routers = instance["routers"].as_array().unwrap();
    routers.iter().filter_map(|router| router["counters"][name].as_u64()).sum()
}

fn wait_discarded(vipd: &Vipd, reason: &str) {
    let what = format!("adverts are discarded as {reason}");
    until(&what, SOON, || (discarded(vipd, reason) > 0).then_some(()));
}

/// How often it became what it is.
fn changes(vipd: &Vipd) -> (Value, Value) {
    let instance = vipd.instance("web");
    (instance["state"].clone(), instance["since"].clone())
}

#[test]
fn two_vipds_share_addresses_of_both_families_with_signed_adverts() {
    isolated(|lab| share(lab, both));
}

#[test]
fn two_vipds_share_an_address_in_version_2_with_signed_adverts() {
    isolated(|lab| share(lab, second));
}

#[test]
fn two_vipds_share_addresses_by_unicast_with_signed_adverts() {
    isolated(|lab| share(lab, by_unicast));
}

/// The first has the addresses, and keeps them on its lease; then the second does.
fn share(lab: &Lab, form: impl Fn(&Host, &Host, Router) -> Router) {
    let authentication = ours(&[(1, ONE)], 1, "enforce");
    let mut pair = Pair::start(lab, |own, other, priority| form(own, other, web(priority, &authentication)));
    let client = lab.host("client");
    let before = counter(&pair.second, "signed_adverts");
    // Longer than a lease lives without adverts that move its end.
    until("many adverts are heard", SOON, || {
        (counter(&pair.second, "signed_adverts") > before + 8).then_some(())
    });
    assert_eq!(counter(&pair.second, "unsigned_adverts"), 0);
    assert_eq!(pair.second.instance("web")["routers"][0]["counters"]["discarded"], serde_json::json!({}));
    let four: IpAddr = "192.0.2.100".parse().unwrap();
    assert_eq!(claim::who_has(&client, four), [pair.lb1.mac()].into());
    pair.first.process().stop();
    pair.second.wait_state("web", "master");
    until("the second has the address", SOON, || {
        (holders(&[&pair.lb1, &pair.lb2], four) == [pair.lb2.name()]).then_some(())
    });
    assert_eq!(counter(&pair.second, "resignations_received"), pair.second_routers());
}

impl Pair {
    fn second_routers(&self) -> u64 {
        self.second.instance("web")["routers"].as_array().unwrap().len() as u64
    }
}

#[test]
fn signatures_are_introduced_and_keys_changed_step_by_step_without_a_transition() {
    isolated(|lab| {
        let mut pair = Pair::start(lab, |_, _, priority| web(priority, "lease: true"));
        let before = (changes(&pair.first), changes(&pair.second));
        let both = &[(1, ONE), (2, TWO)][..];
        for (keys, active, mode) in [
            (&both[..1], 1, "receive_only"),
            (&both[..1], 1, "permissive"),
            (&both[..1], 1, "enforce"),
            (both, 1, "enforce"),
            (both, 2, "enforce"),
            (&both[1..], 2, "enforce"),
        ] {
            let authentication = ours(keys, active, mode);
            // Reloaded without --force, or this fails.
            pair.second.reload(&web(100, &authentication).into());
            pair.first.reload(&web(150, &authentication).into());
            let heard = counter(&pair.second, "adverts_received");
            until("more adverts are heard", SOON, || {
                (counter(&pair.second, "adverts_received") > heard + 4).then_some(())
            });
        }
        assert_eq!((changes(&pair.first), changes(&pair.second)), before);
        assert_eq!(pair.second.instance("web")["routers"][0]["counters"]["discarded"], serde_json::json!({}));
    });
}

#[test]
fn a_reload_that_peers_would_not_understand_is_refused() {
    isolated(|lab| {
        let host = lab.host("lb1");
        let vipd = Vipd::start(&host, &programs(), &web(150, "lease: true").into());
        let signing = web(150, &ours(&[(1, ONE)], 1, "enforce")).into();
        let (done, _, complaint) = vipd.reload_file(&lab::vipd::configuration(&signing));
        assert!(
            !done && complaint.contains("signs with key 1, which peers without it discard"),
            "{complaint}"
        );
    });
}

#[test]
fn nodes_with_different_keys_are_both_master_and_say_why() {
    isolated(|lab| {
        let (lb1, lb2) = (lab.host("lb1"), lab.host("lb2"));
        let first = Vipd::start(&lb1, &programs(), &web(150, &ours(&[(1, ONE)], 1, "enforce")).into());
        let second = Vipd::start(&lb2, &programs(), &web(100, &ours(&[(1, TWO)], 1, "enforce")).into());
        first.wait_state("web", "master");
        second.wait_state("web", "master");
        wait_discarded(&first, "hmac_invalid");
        let status = second.status();
        let warnings = status["warnings"].as_array().unwrap();
        let said = format!(
            "web: adverts of {} are discarded, they are signed with another key of the same number; make the two \
             configurations agree",
            lb1.ipv4()
        );
        assert!(warnings.iter().any(|warning| *warning == said), "{warnings:?}");
    });
}

/// The VRRP frames that a host sent, as the client saw them.
fn record(tap: &Tap, from: &Host) -> Vec<Vec<u8>> {
    let source = from.ipv4().octets();
    let mut frames = Vec::new();
    tap.drain(|_, bytes| {
        if bytes.get(12..14) == Some(&[0x08, 0x00])
            && bytes.get(23) == Some(&112)
            && bytes.get(26..30) == Some(&source)
        {
            frames.push(bytes.to_vec());
        }
    });
    frames
}

/// The client sends frames again, from an Ethernet address of its own so that the switch is not misled.
fn replay(client: &Host, frames: &[Vec<u8>]) {
    let mac = client.mac();
    client.inside(|| {
        let eth0 = datalink::interfaces().into_iter().find(|i| i.name == "eth0").unwrap();
        let Ok(Channel::Ethernet(mut sender, _)) = datalink::channel(&eth0, datalink::Config::default())
        else {
            panic!("no channel")
        };
        for frame in frames {
            let mut frame = frame.clone();
            frame[6..12].copy_from_slice(&[mac.0, mac.1, mac.2, mac.3, mac.4, mac.5]);
            sender.send_to(&frame, None).unwrap().unwrap();
        }
    });
}

#[test]
fn what_was_recorded_is_believed_neither_at_once_nor_after_a_crash_nor_after_a_restart() {
    isolated(|lab| {
        let client = lab.host("client");
        let tap = Tap::on(&client);
        // Whatever the clock says, these are not believed again.
        let authentication =
            ours(&[(1, ONE)], 1, "enforce").replace("mode:", "anti_replay: monotonic, mode:");
        let node = |priority| web(priority, &authentication);
        let mut pair = Pair::start(lab, |_, _, priority| node(priority));
        let mut frames = record(&tap, &pair.lb1);
        assert!(frames.len() > 2);
        replay(&client, &frames);
        wait_discarded(&pair.second, "hmac_replay");
        let sequences = pair.lb2.directory().join("vipd/sequences.json");
        until("what was heard is written", SOON, || {
            let before = std::fs::read_to_string(&sequences).unwrap_or_default();
            let newest = record(&tap, &pair.lb1);
            frames.extend(newest);
            before.contains("\"heard\":[{").then_some(())
        });
        // The first ones are older than the file, whenever it was written.
        frames.truncate(3);
        // Nobody else speaks, so that the recording alone would be believed.
        pair.first.process().kill();
        for ending in [Signal::SIGKILL, Signal::SIGTERM] {
            pair.second.process().signal(ending);
            pair.second.process().wait(SOON);
            pair.second = Vipd::start(&pair.lb2, &programs(), &node(100).into());
            until("it listens", SOON, || {
                let state = pair.second.instance("web")["state"].clone();
                (state == "backup" || state == "master").then_some(())
            });
            replay(&client, &frames);
            wait_discarded(&pair.second, "hmac_replay");
            assert_eq!(counter(&pair.second, "adverts_received"), 0);
        }
    });
}

#[test]
fn a_master_that_is_killed_and_started_again_is_believed() {
    isolated(|lab| {
        let authentication = ours(&[(1, ONE)], 1, "enforce");
        let node = |priority| web(priority, &authentication);
        let mut pair = Pair::start(lab, |_, _, priority| node(priority));
        let before = changes(&pair.second);
        for _ in 0..2 {
            pair.first.process().kill();
            pair.first = Vipd::start(&pair.lb1, &programs(), &node(150).into());
            pair.first.wait_state("web", "master");
            let heard = counter(&pair.second, "signed_adverts");
            until("it is heard", SOON, || {
                (counter(&pair.second, "signed_adverts") > heard + 3).then_some(())
            });
        }
        assert_eq!(changes(&pair.second), before, "{}", pair.second.log());
        assert_eq!(pair.second.instance("web")["routers"][0]["counters"]["discarded"], serde_json::json!({}));
    });
}

#[test]
fn an_agent_shows_its_keys_to_nobody() {
    isolated(|lab| {
        let keys = [(1, ONE), (2, TWO)];
        let mut pair = Pair::start(lab, |_, _, priority| web(priority, &ours(&keys, 1, "enforce")));
        let process = format!("/proc/{}/cmdline", pair.second.pid());
        let mut shown = vec![std::fs::read_to_string(process).unwrap()];
        for verb in [&["status"][..], &["status", "--json"], &["status", "web"], &["events", "--json"]] {
            shown.push(pair.second.vipctl(verb).1);
        }
        pair.second.reload(&web(90, &ours(&keys, 2, "enforce")).into());
        pair.second.process().stop();
        let directory = pair.lb2.directory().join("vipd");
        for file in std::fs::read_dir(&directory).unwrap() {
            shown.push(std::fs::read_to_string(file.unwrap().path()).unwrap_or_default());
        }
        assert!(directory.join("sequences.json").exists());
        shown.push(pair.second.log());
        for secret in ["0405060708", "4, 5, 6, 7, 8", "second key"] {
            assert!(shown.iter().all(|text| !text.contains(secret)), "{shown:?}");
        }
    });
}

#[test]
fn a_keepalived_that_does_not_sign_is_heard_by_who_listens_only_and_hears_it() {
    isolated(|lab| {
        let (lb1, lb2) = (lab.host("lb1"), lab.host("lb2"));
        let listen = ours(&[(1, ONE)], 1, "receive_only");
        let vipd = Vipd::start(&lb1, &programs(), &web(150, &listen).into());
        vipd.wait_state("web", "master");
        let keepalived = Keepalived::start(&lb2, &web(100, "").into());
        let four: IpAddr = "192.0.2.100".parse().unwrap();
        // It would have taken over by now, did it not hear us.
        let sent = counter(&vipd, "adverts_sent");
        until("many adverts are sent", SOON, || (counter(&vipd, "adverts_sent") > sent + 20).then_some(()));
        assert_eq!(holders(&[&lb1, &lb2], four), [lb1.name()]);
        assert_eq!(keepalived.rejections(), [""; 0]);
    });
}

#[test]
fn a_keepalived_that_does_not_sign_is_heard_in_permissive_mode_and_not_when_signatures_are_enforced() {
    isolated(|lab| {
        let (lb1, lb2) = (lab.host("lb1"), lab.host("lb2"));
        let _keepalived = Keepalived::start(&lb2, &web(200, "").into());
        let mut vipd = Vipd::start(&lb1, &programs(), &web(150, &ours(&[(1, ONE)], 1, "permissive")).into());
        vipd.wait_state("web", "backup");
        until("it is heard", SOON, || (counter(&vipd, "unsigned_adverts") > 5).then_some(()));
        assert_eq!(vipd.instance("web")["state"], "backup");
        vipd.reload(&web(150, &ours(&[(1, ONE)], 1, "enforce")).into());
        wait_discarded(&vipd, "hmac_missing");
        vipd.wait_state("web", "master");
        let warnings = vipd.status()["warnings"].to_string();
        assert!(warnings.contains("are discarded, they are not signed"), "{warnings}");
    });
}

/// vipd and a keepalived that signs, in one form: one is master, the key changes, and the other takes over.
fn beside(lab: &Lab, form: impl Fn(&Host, &Host, Router) -> Router, vipd_is_master: bool) {
    let (lb1, lb2) = (lab.host("lb1"), lab.host("lb2"));
    let keys = &[(1, ONE), (2, TWO)];
    let router = |own: &Host, other: &Host, priority, active| {
        let router =
            web(priority, &ours(keys, active, "enforce")).keepalived(&theirs(keys, active, "enforce"));
        form(own, other, router)
    };
    let priority = if vipd_is_master { 150 } else { 90 };
    let mut keepalived = Keepalived::start(&lb2, &router(&lb2, &lb1, 100, 1).into());
    let mut vipd = Vipd::start(&lb1, &programs(), &router(&lb1, &lb2, priority, 1).into());
    let settled = |vipd: &Vipd| {
        let [master, backup] = if vipd_is_master { [&lb1, &lb2] } else { [&lb2, &lb1] };
        vipd.wait_state("web", if vipd_is_master { "master" } else { "backup" });
        until("the better one has the addresses", SOON, || {
            let instance = vipd.instance("web");
            let all = instance["addresses"].as_array().unwrap().clone();
            let held = all.iter().all(|address| {
                let address = address["address"].as_str().unwrap().split('/').next().unwrap();
                holders(&[&lb1, &lb2], address.parse().unwrap()) == [master.name()]
            });
            held.then_some(())
        });
        backup.name().to_owned()
    };
    settled(&vipd);
    let name = if vipd_is_master { "adverts_sent" } else { "signed_adverts" };
    for active in [1, 2] {
        vipd.reload(&router(&lb1, &lb2, priority, active).into());
        keepalived.reload(&router(&lb2, &lb1, 100, active).into());
        let before = counter(&vipd, name);
        until("adverts pass", SOON, || (counter(&vipd, name) > before + 6).then_some(()));
        settled(&vipd);
    }
    assert_eq!(counter(&vipd, "unsigned_adverts"), 0);
    assert_eq!(keepalived.rejections(), [""; 0]);
    if vipd_is_master {
        vipd.process().stop();
        until("keepalived has the address", SOON, || {
            (holders(&[&lb1, &lb2], "192.0.2.100".parse().unwrap()) == [lb2.name()]).then_some(())
        });
    } else {
        keepalived.process().stop();
        vipd.wait_state("web", "master");
        assert!(counter(&vipd, "resignations_received") > 0);
    }
}

fn both(_: &Host, _: &Host, router: Router) -> Router {
    router.and(SIX)
}

fn second(_: &Host, _: &Host, router: Router) -> Router {
    router.every(1000).version(2)
}

fn by_unicast(own: &Host, other: &Host, router: Router) -> Router {
    let of = |host: &Host| [host.ipv4().into(), IpAddr::from(host.ipv6())];
    router.and(SIX).unicast(&of(own), &of(other))
}

fn second_by_unicast(own: &Host, other: &Host, router: Router) -> Router {
    let of = |host: &Host| [IpAddr::from(host.ipv4())];
    second(own, other, router).unicast(&of(own), &of(other))
}

#[test]
#[ignore = "needs a keepalived of 2.4.2 or later in PATH"]
fn a_keepalived_that_signs_believes_vipd_in_version_3_and_both_families() {
    isolated(|lab| beside(lab, both, true));
}

#[test]
#[ignore = "needs a keepalived of 2.4.2 or later in PATH"]
fn vipd_believes_a_keepalived_that_signs_in_version_3_and_both_families() {
    isolated(|lab| beside(lab, both, false));
}

#[test]
#[ignore = "needs a keepalived of 2.4.2 or later in PATH"]
fn a_keepalived_that_signs_believes_vipd_in_version_2() {
    isolated(|lab| beside(lab, second, true));
}

#[test]
#[ignore = "needs a keepalived of 2.4.2 or later in PATH"]
fn vipd_believes_a_keepalived_that_signs_in_version_2() {
    isolated(|lab| beside(lab, second, false));
}

#[test]
#[ignore = "needs a keepalived of 2.4.2 or later in PATH"]
fn a_keepalived_that_signs_believes_vipd_by_unicast() {
    isolated(|lab| beside(lab, by_unicast, true));
}

#[test]
#[ignore = "needs a keepalived of 2.4.2 or later in PATH"]
fn vipd_believes_a_keepalived_that_signs_by_unicast() {
    isolated(|lab| beside(lab, by_unicast, false));
}

#[test]
#[ignore = "needs a keepalived of 2.4.2 or later in PATH"]
fn a_keepalived_that_signs_believes_vipd_in_version_2_by_unicast() {
    isolated(|lab| beside(lab, second_by_unicast, true));
}

#[test]
#[ignore = "needs a keepalived of 2.4.2 or later in PATH"]
fn vipd_believes_a_keepalived_that_signs_in_version_2_by_unicast() {
    isolated(|lab| beside(lab, second_by_unicast, false));
}

#[test]
#[ignore = "needs a keepalived of 2.4.2 or later in PATH"]
fn keepalived_and_vipd_with_different_keys_do_not_believe_each_other() {
    isolated(|lab| {
        let (lb1, lb2) = (lab.host("lb1"), lab.host("lb2"));
        let theirs = theirs(&[(1, TWO)], 1, "enforce");
        let _keepalived = Keepalived::start(&lb2, &web(200, "").keepalived(&theirs).into());
        let vipd = Vipd::start(&lb1, &programs(), &web(150, &ours(&[(1, ONE)], 1, "enforce")).into());
        vipd.wait_state("web", "master");
        wait_discarded(&vipd, "hmac_invalid");
        let four: IpAddr = "192.0.2.100".parse().unwrap();
        assert_eq!(holders(&[&lb1, &lb2], four).len(), 2);
    });
}

#[test]
#[ignore = "needs a keepalived of 2.4.2 or later in PATH"]
fn what_keepalived_sent_before_is_not_believed_again() {
    isolated(|lab| {
        let (lb1, lb2, client) = (lab.host("lb1"), lab.host("lb2"), lab.host("client"));
        let tap = Tap::on(&client);
        let router = |priority| {
            let keys = &[(1, ONE)];
            web(priority, &ours(keys, 1, "enforce")).keepalived(&theirs(keys, 1, "enforce"))
        };
        let _keepalived = Keepalived::start(&lb2, &router(200).into());
        let vipd = Vipd::start(&lb1, &programs(), &router(150).into());
        vipd.wait_state("web", "backup");
        until("keepalived is heard", SOON, || (counter(&vipd, "signed_adverts") > 5).then_some(()));
        replay(&client, &record(&tap, &lb2));
        wait_discarded(&vipd, "hmac_replay");
        assert_eq!(vipd.instance("web")["state"], "backup");
    });
}
