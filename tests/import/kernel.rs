//! By what the kernel has then: every word of addresses, routes and rules, in one file for keepalived, and what `vipctl import`
//! makes of it for vipd. Both masters must have made the same of it, as `ip` shows it.

use std::fs;
use std::time::Duration;

use lab::{Host, Keepalived, Vipd, isolated, wait};

use super::behaviour::{imported, programs};

const SOON: Duration = Duration::from_secs(15);

/// With every word but `rtt` and `rttvar`, of which keepalived 2.2.7 gives the kernel twice and four times as much as is written,
/// while vipd does as `ip` does.
const FILE: &str = "\
vrrp_instance W {
    interface eth0
    virtual_router_id 51
    priority 150
    advert_int 1
    version 3
    virtual_ipaddress {
        203.0.113.1/24
        198.51.100.1/28 dev eth1 label eth1:w brd +
        198.51.100.17/28 dev eth1 scope link broadcast 198.51.100.30
        198.51.100.33/28 dev eth1 scope site noprefixroute
        198.51.100.49 peer 198.51.100.50 dev eth1
        198.51.100.65/28 dev eth1 no_track
    }
    virtual_ipaddress_excluded {
        2001:db8:1::1/128 dev eth1
        2001:db8:2::1/64 dev eth1 preferred_lft forever
        2001:db8:3::1/64 dev eth1 noprefixroute preferred_lft forever
    }
    virtual_routes {
        10.1.0.0/16 via 203.0.113.254
        to 10.2.0.0/16 gw 203.0.113.254 dev eth0 src 203.0.113.1 metric 50
        10.3.0.0/16 dev eth1 scope link table 100 no_track
        10.4.0.0/16 via 203.0.113.254 priority 7 tos 16
        10.5.0.0/16 via 203.0.113.254 mtu 1400 advmss 1360 window 20000 hoplimit 60
        10.6.0.0/16 via 203.0.113.254 mtu lock 1400 rto_min 200 cwnd 10 ssthresh 20
        10.7.0.0/16 via 203.0.113.254 initcwnd 12 initrwnd 14 reordering 5 quickack 1 congctl reno
        10.8.0.0/16 via 203.0.113.254 fastopen_no_cookie 1 features ecn
        10.9.0.0/16 via 192.168.7.7 dev eth1 onlink
        blackhole 10.10.0.0/16
        unreachable 10.11.0.0/16 metric 8
        prohibit 10.12.0.0/16
        throw 10.13.0.0/16 table 101
        10.14.0.0/16 nexthop via 203.0.113.252 dev eth0 weight 2 nexthop via 203.0.113.253 weight 1
        0.0.0.0/0 via 203.0.113.254 table 102
        2001:db8:4::/48 via 2001:db8:2::fe dev eth1 pref high
        2001:db8:5::/48 dev eth1 metric 33
        blackhole 2001:db8:6::/48
    }
    virtual_rules {
        from 203.0.113.1 table 100
        from 203.0.113.0/24 to 10.0.0.0/8 table 101 priority 1001
        to 10.2.0.0/16 lookup 102 preference 1002
        iif eth1 oif eth0 fwmark 7/0xff tos 16 table 100 order 1003
        not from 203.0.113.0/24 prohibit priority 1004
        from 10.2.0.0/16 blackhole priority 1005
        from 10.3.0.0/16 unreachable priority 1006
        from 10.4.0.0/16 goto 30000 priority 1007
        uidrange 1000-1999 table 100 priority 1008
        from 10.5.0.0/16 ipproto udp sport 10-20 dport 53-54 table 100 priority 1009
        from all suppress_prefixlength 0 table main priority 1010
        from 10.6.0.0/16 suppress_ifgroup 5 table 100 priority 1011
        from 10.7.0.0/16 l3mdev priority 1012
        from 10.8.0.0/16 nop priority 1013
        tunnel-id 9 table 100 priority 1014
        fwmark 9 table 100 priority 1015 no_track
        from 2001:db8:1::1 table 100
        from 2001:db8:2::1 table 100 priority 1001
        to 10.9.0.0/16 table 100
    }
}
";

/// One for each line of them.
const ALL: usize = 46;

/// The priorities of rules that somebody set; the others are the kernel's own.
const SET: std::ops::Range<u32> = 1..32_766;

/// What `ip` shows of what an agent has put there, whoever it was.
fn shown(host: &Host, protocol: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mark = format!(" proto {protocol}");
    for family in ["-4", "-6"] {
        let routes = host.run("ip", &["-o", family, "route", "show", "table", "all", "proto", protocol]);
        all.extend(routes.lines().map(str::to_owned));
        let rules = host.run("ip", &["-details", family, "rule", "show"]);
        // keepalived does not mark a rule that it does not track.
        let set = |line: &&str| {
            line.split(':').next().and_then(|n| n.parse().ok()).is_some_and(|n| SET.contains(&n))
        };
        all.extend(rules.lines().filter(set).map(str::to_owned));
        let addresses = host.run("ip", &["-o", "-details", family, "address", "show"]);
        let ours = |line: &&str| {
            let word = line.split_whitespace().nth(3).unwrap_or_default();
            ["203.0.113.", "198.51.100.", "2001:db8:1:", "2001:db8:2:", "2001:db8:3:"]
                .iter()
                .any(|net| word.starts_with(net))
        };
        let without_index =
            |line: &str| line.split_once(' ').map_or(String::new(), |(_, rest)| rest.to_owned());
        all.extend(addresses.lines().filter(ours).map(without_index));
    }
    let plain = |line: &String| {
        let line = line.replace(&mark, "").replace(" proto unspec", "");
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let mut all: Vec<String> = all.iter().map(plain).collect();
    all.sort();
    all
}

fn with_eth1(host: &Host) {
    for command in ["link add eth1 type veth peer name far1", "link set far1 up", "link set eth1 up"] {
        host.run("ip", &command.split(' ').collect::<Vec<_>>());
    }
}

#[test]
fn addresses_routes_and_rules_are_in_the_kernel_as_keepalived_puts_them_there() {
    isolated(|lab| {
        let (theirs, ours) = (lab.host("theirs"), lab.host("ours"));
        for host in [&theirs, &ours] {
            with_eth1(host);
        }
        let keepalived = Keepalived::start_file(&theirs, FILE);
        let all = |host: &Host, protocol: &str| {
            let found = wait::within(SOON, || Some(shown(host, protocol)).filter(|all| all.len() >= ALL));
            found.unwrap_or_else(|| panic!("{:#?}", shown(host, protocol)))
        };
        let there = all(&theirs, "keepalived");
        drop(keepalived);
        theirs.unplug();
        let file = ours.directory().join("keepalived.conf");
        fs::write(&file, FILE).unwrap();
        let yaml = imported(&ours, file.to_str().unwrap());
        let vipd = Vipd::start_file(&ours, &programs(), &yaml);
        vipd.wait_state("W", "master");
        let here = all(&ours, "112");
        println!("{here:#?}");
        let missing: Vec<_> = there.iter().filter(|line| !here.contains(line)).collect();
        let more: Vec<_> = here.iter().filter(|line| !there.contains(line)).collect();
        assert!(missing.is_empty() && more.is_empty(), "keepalived: {missing:#?}\nvipd: {more:#?}");
    });
}
