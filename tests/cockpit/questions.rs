//! What operators ask at night: each question is answered by one command, at once.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use lab::{Host, Vipd, isolated, now, until};
use socket2::{Domain, Protocol, Socket, Type};

use super::drill::Site;
use super::{SOON, directory, programs};

/// What feels like at once.
const AT_ONCE: Duration = Duration::from_millis(100);
/// How often a question is asked until it is answered at once: what the machine does beside it, compiling for one, is not
/// the answer's slowness.
const TRIES: usize = 20;

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

/// Who asks.
struct Operator<'a> {
    site: &'a Site,
    host: &'a Host,
    vipd: &'a Vipd,
}

impl Operator<'_> {
    /// Asks, and holds the answer and the shortest time it took against what they must be.
    fn ask(&self, question: &str, arguments: &[&str], wanted: &[&str]) {
        let (path, tool) = (format!("PATH={}", self.site.path), programs().vipctl);
        let (tool, directory) = (tool.to_string_lossy(), directory(self.vipd));
        let all = [&[&path, &*tool, "--runtime-dir", &directory], arguments].concat();
        let mut shortest = Duration::MAX;
        let mut answer = String::new();
        for _ in 0..TRIES {
            let asked = now();
            let (_, said, complaint) = self.host.try_run("env", &all);
            shortest = shortest.min(Duration::from_nanos(now() - asked));
            answer = format!("{said}{complaint}");
            if shortest < AT_ONCE {
                break;
            }
        }
        println!("{question}\n$ vipctl {}    # {shortest:.1?}\n{answer}", arguments.join(" "));
        let words = answer.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in wanted {
            assert!(words.contains(part), "{question} '{part}' is not in the answer:\n{answer}");
        }
        // What is there to be pasted stays on one line.
        let mut lines = answer.lines().filter(|line| !line.trim_start().starts_with("run:"));
        assert!(lines.all(|line| line.chars().count() <= 80), "{question}\n{answer}");
        assert!(shortest < AT_ONCE, "{question} took {shortest:?}");
    }
}

#[test]
fn ten_questions_are_answered_by_one_command_each_in_a_tenth_of_a_second() {
    isolated(|lab| {
        let site = Site::new(lab);
        let pair = &site.pair;
        let here = Operator { site: &site, host: &pair.lb1, vipd: &pair.first };
        let there = Operator { site: &site, host: &pair.lb2, vipd: &pair.second };
        send_from_afar(&pair.client);
        until("the stray advert is counted", SOON, || {
            (pair.second.instance("web")["routers"][0]["counters"]["discarded"]["hop_limit"] == 1)
                .then_some(())
        });
        let changed = pair.first.state().join("new.yaml");
        let text = std::fs::read_to_string(pair.first.file()).unwrap();
        std::fs::write(&changed, text.replace("priority: 150", "priority: 90")).unwrap();
        let changed = changed.to_string_lossy();
        there.ask("Who holds the address?", &["status"], &["192.0.2.1"]);
        there.ask("Since when?", &["status", "web"], &["since"]);
        there.ask("Why not me?", &["explain", "web"], &["has the better claim", "priority 150"]);
        there.ask("What if the other one dies?", &["explain", "web"], &["If 192.0.2.1 dies now: MASTER in"]);
        here.ask("Is failover healthy?", &["doctor", "--no-probe"], &["lb1: ", "the agent runs"]);
        here.ask("Did it flap last night?", &["history", "--since", "24h"], &["web changed hands once"]);
        let wanted = ["web would change hands if", "priority 150 -> 90"];
        here.ask("Would this file move anything?", &["plan", &changed], &wanted);
        let wanted = ["discarded: 1 hop_limit, its TTL is not"];
        there.ask("Why was an advert dropped?", &["status", "web"], &wanted);
        let peer = ["doctor", "--no-probe", "--peer", "ssh://lb2"];
        here.ask("Does the other node agree?", &peer, &["lb1: healthy", "18 are good"]);
        pair.lb1.run("nft", &["add table inet filter"]);
        pair.lb1.run("nft", &["add chain inet filter input { type filter hook input priority 0; }"]);
        pair.lb1.run("nft", &["add rule inet filter input ip protocol vrrp drop"]);
        let wanted = ["V1101", "adverts cannot arrive"];
        here.ask("Is a firewall in the way?", &["doctor", "--no-probe"], &wanted);
    });
}
