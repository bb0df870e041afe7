//! What operators ask at night: each question is answered by one command, at once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use lab::vipd::Programs;
use lab::{Host, Lab, Node, Router, Vipd, isolated, now, until};
use socket2::{Domain, Protocol, Socket, Type};

const SOON: Duration = Duration::from_secs(15);
/// What feels like at once.
const AT_ONCE: Duration = Duration::from_millis(100);
/// How often a question is asked: what the machine does beside it is not the answer's slowness.
const TRIES: usize = 5;

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

fn node(priority: u8) -> Node {
    let router = Router::new("web", 51, priority, "192.0.2.100/24").every(100).track("nginx", "-60");
    Node::from(router).check("nginx", "{ file: /etc/passwd, interval: 1s }")
}

/// A master and its backup, which have heard each other.
fn pair(lab: &Lab) -> (Vipd, Vipd) {
    let (lb1, lb2) = (lab.host("lb1"), lab.host("lb2"));
    let second = Vipd::start(&lb2, &programs(), &node(100));
    let first = Vipd::start(&lb1, &programs(), &node(150));
    first.wait_state("web", "master");
    second.wait_state("web", "backup");
    until("the backup knows whose it is", SOON, || {
        (second.instance("web")["routers"][0]["master"]["priority"] == 150).then_some(())
    });
    (first, second)
}

/// An advert from beyond a router, which counts hops down: RFC 9568 section 5.1.1.3 has it discarded.
fn send_from_afar(host: &Host) {
    let advert = [0x31, 51, 200, 1, 0, 10, 0, 0, 192, 0, 2, 100];
    host.inside(|| {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(112))).unwrap();
        socket.set_multicast_if_v4(&host.ipv4()).unwrap();
        socket.set_multicast_ttl_v4(254).unwrap();
        let group = SocketAddr::from((Ipv4Addr::new(224, 0, 0, 18), 0));
        socket.send_to(&advert, &group.into()).unwrap();
    });
}

/// Asks, and holds the answer against what it must say; the shortest time it took.
fn ask(vipd: &Vipd, question: &str, arguments: &[&str], wanted: &[&str]) {
    let mut shortest = Duration::MAX;
    let mut answer = String::new();
    for _ in 0..TRIES {
        let asked = now();
        let (_, said, complaint) = vipd.vipctl(arguments);
        shortest = shortest.min(Duration::from_nanos(now() - asked));
        answer = format!("{said}{complaint}");
    }
    println!("{question}\n$ vipctl {}    # {shortest:.1?}\n{answer}", arguments.join(" "));
    let words = answer.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in wanted {
        assert!(words.contains(part), "{question} '{part}' is not in the answer:\n{answer}");
    }
    assert!(answer.lines().all(|line| line.chars().count() <= 80), "{question}\n{answer}");
    assert!(shortest < AT_ONCE, "{question} took {shortest:?}");
}

#[test]
fn ten_questions_are_answered_by_one_command_each_in_a_tenth_of_a_second() {
    isolated(|lab| {
        let (first, second) = pair(lab);
        send_from_afar(&lab.host("client"));
        until("the stray advert is counted", SOON, || {
            (second.status()["instances"][0]["routers"][0]["counters"]["discarded"]["hop_limit"] == 1)
                .then_some(())
        });
        let changed = first.state().join("new.yaml");
        let text = std::fs::read_to_string(first.file()).unwrap();
        std::fs::write(&changed, text.replace("priority: 150", "priority: 90")).unwrap();
        let changed = changed.to_string_lossy();
        ask(&second, "Who holds the address?", &["status"], &["192.0.2.1"]);
        ask(&second, "Since when?", &["status", "web"], &["since"]);
        ask(&second, "Why not me?", &["explain", "web"], &["has the better claim", "priority 150"]);
        ask(&second, "What if the other one dies?", &["explain", "web"], &["dies now:", "MASTER in"]);
        ask(&first, "Did it flap last night?", &["history", "--since", "24h"], &["web changed hands"]);
        ask(
            &first,
            "Would this file move anything?",
            &["plan", &changed],
            &["web would change hands if", "priority 150 -> 90"],
        );
        ask(
            &second,
            "Why was an advert dropped?",
            &["status", "web"],
            &["discarded: 1 hop_limit, its TTL is not"],
        );
    });
}
