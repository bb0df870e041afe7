//! vipd beside other routers, in network namespaces: Debian's keepalived in versions 2 and 3, IPv4 and IPv6,
//! multicast and unicast, and FRRouting's vrrpd. Each pair is tried both ways round.
//!
//! A takeover is judged by whom a third host finds when it asks for the address, the wording of adverts by
//! tshark, their acceptance by the peer's log and by our own counters.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use lab::frr::Frr;
use lab::vipd::Programs;
use lab::{
    Agent, Host, Keepalived, Lab, Node, Router, Sniffer, Vipd, claim, isolated, isolated_as_root, until,
};
use pnet::util::MacAddr;
use serde_json::Value;

const SOON: Duration = Duration::from_secs(20);
const FOUR: &str = "192.0.2.100/24";
const SIX: &str = "2001:db8::100/64";
const VRID: u8 = 51;

#[test]
fn keepalived_and_vipd_share_an_address_in_version_2() {
    isolated(|lab| Match::new(lab, Peer::Keepalived, &[FOUR]).version_2().play());
}

#[test]
fn keepalived_and_vipd_share_an_address_in_version_2_with_a_password() {
    isolated(|lab| Match::new(lab, Peer::Keepalived, &[FOUR]).version_2().password("sesame").play());
}

#[test]
fn keepalived_and_vipd_share_an_address_in_version_2_by_unicast() {
    isolated(|lab| Match::new(lab, Peer::Keepalived, &[FOUR]).version_2().unicast().play());
}

#[test]
fn keepalived_and_vipd_share_an_ipv4_address_in_version_3() {
    isolated(|lab| Match::new(lab, Peer::Keepalived, &[FOUR]).play());
}

#[test]
fn keepalived_and_vipd_share_an_ipv6_address_in_version_3() {
    isolated(|lab| Match::new(lab, Peer::Keepalived, &[SIX]).play());
}

#[test]
fn keepalived_and_vipd_share_an_ipv4_address_in_version_3_by_unicast() {
    isolated(|lab| Match::new(lab, Peer::Keepalived, &[FOUR]).unicast().play());
}

#[test]
fn keepalived_and_vipd_share_an_ipv6_address_in_version_3_by_unicast() {
    isolated(|lab| Match::new(lab, Peer::Keepalived, &[SIX]).unicast().play());
}

#[test]
fn keepalived_and_vipd_share_addresses_of_both_families() {
    isolated(|lab| Match::new(lab, Peer::Keepalived, &[FOUR, SIX]).play());
}

#[test]
fn frr_and_vipd_share_an_ipv4_address() {
    isolated_as_root(|lab| Match::new(lab, Peer::Frr, &[FOUR]).play());
}

#[test]
fn frr_and_vipd_share_an_ipv6_address() {
    isolated_as_root(|lab| Match::new(lab, Peer::Frr, &[SIX]).play());
}

#[test]
fn keepalived_and_vipd_move_a_sync_group_together() {
    isolated(|lab| Grouped::new(lab).play());
}

/// Two virtual routers that move together on both sides, of which one tracks a file.
struct Grouped {
    ours: Host,
    theirs: Host,
    client: Host,
}

impl Grouped {
    fn new(lab: &Lab) -> Self {
        Self { ours: lab.host("ours"), theirs: lab.host("theirs"), client: lab.host("client") }
    }

    fn play(&self) {
        for better in [Side::Theirs, Side::Ours] {
            self.half(better);
        }
    }

    fn host(&self, side: Side) -> &Host {
        if side == Side::Ours { &self.ours } else { &self.theirs }
    }

    /// The file whose absence is a fault of the second router of one side.
    fn file(&self, side: Side) -> String {
        self.host(side).directory().join("healthy").to_string_lossy().into_owned()
    }

    fn node(&self, side: Side, better: Side) -> Node {
        let priority = if side == better { 150 } else { 100 };
        let file = self.file(side);
        std::fs::write(&file, "").unwrap();
        let second =
            Router::new("db", VRID + 1, priority, "192.0.2.101/24").every(100).track("healthy", "fault");
        Node::from(Router::new("web", VRID, priority, FOUR).every(100))
            .router(second)
            .group("site")
            .check("healthy", &format!("{{ file: {file}, interval: 100ms }}"))
            .script("healthy", &format!("script \"/usr/bin/test -e {file}\"\n  interval 1"))
    }

    /// Both addresses are at one side, and nowhere else.
    fn wait_holder(&self, when: &str, side: Side) {
        let wanted: BTreeSet<MacAddr> = [self.host(side).mac()].into();
        let mut found = Vec::new();
        let settled = lab::wait::within(SOON, || {
            let addresses = ["192.0.2.100", "192.0.2.101"].map(|address| address.parse().unwrap());
            found = addresses.into_iter().map(|address| claim::who_has(&self.client, address)).collect();
            found.iter().all(|found| *found == wanted).then_some(())
        });
        assert!(settled.is_some(), "{when} they are at {found:?}, not at {side:?} {wanted:?}");
    }

    /// One way round: a fault of one router moves both, and so does the end of it, a stop and a cut cable.
    fn half(&self, better: Side) {
        let worse = if better == Side::Ours { Side::Theirs } else { Side::Ours };
        let programs = Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"));
        let mut ours = Vipd::start(&self.ours, &programs, &self.node(Side::Ours, better));
        let mut theirs = Keepalived::start(&self.theirs, &self.node(Side::Theirs, better));
        self.wait_holder("at first", better);
        std::fs::remove_file(self.file(better)).unwrap();
        self.wait_holder("after the fault of one", worse);
        if better == Side::Ours {
            let web = ours.instance("web");
            assert_eq!((&web["state"], &web["group"]), (&"fault".into(), &"site".into()));
            assert_eq!(web["reason"], "member db is in fault: check healthy is down");
            assert_eq!(ours.status()["groups"][0]["state"], "fault");
        }
        std::fs::write(self.file(better), "").unwrap();
        self.wait_holder("after the end of the fault", better);
        self.host(better).cut();
        self.wait_holder("after the cut", worse);
        self.host(better).heal();
        self.wait_holder("after healing", better);
        if better == Side::Ours {
            let (done, said, complaint) = ours.vipctl(&["step-down", "db"]);
            assert!(done, "{said}{complaint}");
            self.wait_holder("after the step-down of one", worse);
            assert!(ours.vipctl(&["resume", "site"]).0);
            self.wait_holder("after the group resumed", better);
        }
        // In FAULT it takes no part.
        let mut rejected = discards(&ours.status());
        rejected.retain(|reason| !reason.starts_with("not_listening"));
        assert_eq!(rejected, [""; 0], "we rejected what the peer sent");
        ours.process().stop();
        self.wait_holder("after our stop", Side::Theirs);
        theirs.process().stop();
        assert_eq!(theirs.rejections(), [""; 0], "the peer rejected what we sent");
    }
}

// One family each: with both, keepalived's IPv6 link answers ARP, too.

#[test]
fn keepalived_with_use_vmac_and_vipd_share_an_ipv4_address_and_a_virtual_mac() {
    isolated(|lab| Match::new(lab, Peer::Keepalived, &[FOUR]).virtual_mac("true", &["use_vmac"]).play());
}

#[test]
fn keepalived_with_use_vmac_and_vipd_share_an_ipv6_address_and_a_virtual_mac() {
    isolated(|lab| Match::new(lab, Peer::Keepalived, &[SIX]).virtual_mac("true", &["use_vmac"]).play());
}

#[test]
fn keepalived_with_vmac_xmit_base_and_vipd_share_an_ipv4_address_and_a_virtual_mac() {
    let (ours, theirs) = ("{ adverts: interface }", ["use_vmac", "vmac_xmit_base"]);
    isolated(|lab| Match::new(lab, Peer::Keepalived, &[FOUR]).virtual_mac(ours, &theirs).play());
}

#[test]
fn keepalived_with_vmac_xmit_base_and_vipd_share_an_ipv6_address_and_a_virtual_mac() {
    let (ours, theirs) = ("{ adverts: interface }", ["use_vmac", "vmac_xmit_base"]);
    isolated(|lab| Match::new(lab, Peer::Keepalived, &[SIX]).virtual_mac(ours, &theirs).play());
}

#[test]
fn frr_and_vipd_share_addresses_of_both_families_and_a_virtual_mac() {
    isolated_as_root(|lab| Match::new(lab, Peer::Frr, &[FOUR, SIX]).virtual_mac("true", &[]).play());
}

/// Whom vipd plays with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Keepalived,
    Frr,
}

/// The peer's program while it runs.
enum Running {
    Keepalived(Keepalived),
    Frr(Frr),
}

impl Running {
    /// Stops it as an operator would, and returns the lines of its log in which it rejected adverts.
    fn stop(mut self) -> Vec<String> {
        match &mut self {
            Self::Keepalived(keepalived) => {
                keepalived.process().stop();
                keepalived.rejections()
            }
            Self::Frr(frr) => {
                frr.vrrpd.stop();
                frr.zebra.stop();
                frr.rejections()
            }
        }
    }
}

/// Two routers of one virtual router, ours and theirs, and a host that watches.
struct Match {
    peer: Peer,
    ours: Host,
    theirs: Host,
    client: Host,
    addresses: Vec<&'static str>,
    version: u8,
    unicast: bool,
    password: Option<&'static str>,
    /// What vipd's file says of it, and keepalived's.
    virtual_mac: Option<(&'static str, Vec<&'static str>)>,
}

/// Which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Ours,
    Theirs,
}

impl Match {
    fn new(lab: &Lab, peer: Peer, addresses: &[&'static str]) -> Self {
        let (ours, theirs, client) = (lab.host("ours"), lab.host("theirs"), lab.host("client"));
        Self {
            peer,
            ours,
            theirs,
            client,
            addresses: addresses.to_vec(),
            version: 3,
            unicast: false,
            password: None,
            virtual_mac: None,
        }
    }

    fn virtual_mac(mut self, ours: &'static str, theirs: &[&'static str]) -> Self {
        self.virtual_mac = Some((ours, theirs.to_vec()));
        self
    }

    fn version_2(mut self) -> Self {
        self.version = 2;
        self
    }

    fn unicast(mut self) -> Self {
        self.unicast = true;
        self
    }

    fn password(mut self, password: &'static str) -> Self {
        self.password = Some(password);
        self
    }

    /// Both ways round.
    fn play(&self) {
        for better in [Side::Theirs, Side::Ours] {
            self.half(better);
        }
    }

    /// The router of one side.
    fn router(&self, side: Side, better: Side) -> Router {
        let priority = if side == better { 150 } else { 100 };
        let mut router = Router::new("web", VRID, priority, self.addresses[0]).version(self.version);
        router.addresses = self.addresses.iter().map(|address| (*address).to_owned()).collect();
        router.password = self.password.map(str::to_owned);
        if self.version == 3 {
            router = router.every(100);
        }
        if let Some((ours, theirs)) = &self.virtual_mac {
            router = router.vipd(&format!("virtual_mac: {ours}"));
            router = theirs.iter().fold(router, |router, line| router.keepalived(line));
        }
        let (me, other) = match side {
            Side::Ours => (&self.ours, &self.theirs),
            Side::Theirs => (&self.theirs, &self.ours),
        };
        let of = |host: &Host| -> Vec<IpAddr> {
            let four = !router.family(false).is_empty();
            let six = !router.family(true).is_empty();
            four.then(|| host.ipv4().into()).into_iter().chain(six.then(|| host.ipv6().into())).collect()
        };
        if self.unicast { router.clone().unicast(&of(me), &of(other)) } else { router }
    }

    fn start_ours(&self, better: Side) -> Vipd {
        let programs = Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"));
        Vipd::start(&self.ours, &programs, &self.router(Side::Ours, better).into())
    }

    fn start_theirs(&self, better: Side) -> Running {
        let router = self.router(Side::Theirs, better);
        match self.peer {
            Peer::Keepalived => Running::Keepalived(Keepalived::start(&self.theirs, &router.into())),
            Peer::Frr => Running::Frr(Frr::start(&self.theirs, &router)),
        }
    }

    /// One way round: the better one takes the address, hands it over, takes it back, loses it by a cut cable,
    /// and has it again when the cable is whole.
    fn half(&self, better: Side) {
        let worse = if better == Side::Ours { Side::Theirs } else { Side::Ours };
        let sniffer = Sniffer::on(&self.theirs);
        let mut ours = self.start_ours(better);
        let mut theirs = self.start_theirs(better);
        self.wait_holder("at first", better);
        if better == Side::Ours {
            ours.process().stop();
            self.wait_holder("after the stop", worse);
            ours = self.start_ours(better);
        } else {
            assert_eq!(theirs.stop(), [""; 0], "the peer complained before its stop");
            self.wait_holder("after the stop", worse);
            theirs = self.start_theirs(better);
        }
        self.wait_holder("after the start", better);
        let host = if better == Side::Ours { &self.ours } else { &self.theirs };
        host.cut();
        self.wait_holder("after the cut", worse);
        host.heal();
        self.wait_holder("after healing", better);
        let status = ours.status();
        assert_eq!(discards(&status), [""; 0], "we rejected what the peer sent: {status}");
        ours.process().stop();
        self.wait_holder("after our stop", Side::Theirs);
        assert_eq!(theirs.stop(), [""; 0], "the peer rejected what we sent");
        if self.virtual_mac.is_none() {
            self.ask_tshark(&sniffer, better);
        }
    }

    /// Waits until the host that watches finds every address at `side`, and nowhere else.
    fn wait_holder(&self, when: &str, side: Side) {
        for address in &self.addresses {
            let address: IpAddr = address.split('/').next().unwrap().parse().unwrap();
            let wanted: BTreeSet<MacAddr> = [self.mac(side, address)].into();
            let mut found = BTreeSet::new();
            let host = if side == Side::Ours { &self.ours } else { &self.theirs };
            let settled = lab::wait::within(SOON, || {
                found = claim::who_has(&self.client, address);
                // Both sides may have the same one.
                (found == wanted && host.is_behind_port(self.mac(side, address))).then_some(())
            });
            assert!(settled.is_some(), "{when} {address} is at {found:?}, not at {side:?} {wanted:?}");
        }
    }

    /// The Ethernet address that a side answers with: FRR has the virtual router's own.
    fn mac(&self, side: Side, address: IpAddr) -> MacAddr {
        if self.virtual_mac.is_some() {
            return MacAddr::new(0, 0, 0x5e, 0, if address.is_ipv4() { 1 } else { 2 }, VRID);
        }
        match (side, self.peer) {
            (Side::Ours, _) => self.ours.mac(),
            (Side::Theirs, Peer::Keepalived) => self.theirs.mac(),
            (Side::Theirs, Peer::Frr) => {
                MacAddr::new(0, 0, 0x5e, 0, if address.is_ipv4() { 1 } else { 2 }, VRID)
            }
        }
    }

    /// Compares what tshark reads in our adverts with what they were meant to say.
    fn ask_tshark(&self, sniffer: &Sniffer, better: Side) {
        let file = self.theirs.directory().join("adverts.pcap");
        until("there are adverts of ours", SOON, || (!sniffer.frames().is_empty()).then_some(()));
        sniffer.write_adverts(&file);
        let mut arguments = vec!["-r", file.to_str().unwrap(), "-T", "fields", "-E", "separator=/s"];
        let fields = [
            "eth.src",
            "vrrp.version",
            "vrrp.type",
            "vrrp.virt_rtr_id",
            "vrrp.prio",
            "vrrp.addr_count",
            "vrrp.ip_addr",
            "vrrp.ipv6_addr",
            "vrrp.adver_int",
            "vrrp.short_adver_int",
            "vrrp.auth_type",
            "vrrp.auth_string",
            "vrrp.checksum.status",
        ];
        arguments.extend(fields.iter().flat_map(|field| ["-e", field]));
        let said = self.theirs.run("tshark", &arguments);
        let own = self.ours.mac().to_string();
        let heard: BTreeSet<Vec<&str>> = said
            .lines()
            .filter_map(|line| line.strip_prefix(&own))
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(heard, self.wording(better), "tshark reads\n{said}");
    }

    /// Every kind of advert we sent, as tshark prints its fields: with our priority, and resigning if we were better,
    /// for only then did we stop as a master.
    fn wording(&self, better: Side) -> BTreeSet<Vec<&'static str>> {
        let (interval, authentication): (_, &[&str]) = match (self.version, self.password) {
            (2, None) => ("1", &["0"]),
            (2, Some(password)) => ("1", &["1", password]),
            _ => ("10", &[]),
        };
        let version = if self.version == 2 { "2" } else { "3" };
        let good = "1";
        let of = |address: &'static str, priority| {
            let bare = address.split('/').next().unwrap();
            let fixed = [version, "1", "51", priority, "1", bare, interval];
            fixed.into_iter().chain(authentication.iter().copied()).chain([good]).collect()
        };
        let priorities: &[_] = if better == Side::Ours { &["150", "0"] } else { &["100"] };
        self.addresses
            .iter()
            .flat_map(|address| priorities.iter().map(|priority| of(address, priority)))
            .collect()
    }
}

/// What vipd discarded, by reason.
fn discards(status: &Value) -> Vec<String> {
    let instances = status["instances"].as_array().into_iter().flatten();
    let routers = instances.filter_map(|instance| instance["routers"].as_array()).flatten();
    let counted = routers.map(|router| &router["counters"]["discarded"]).chain([&status["discarded"]]);
    counted
        .filter_map(Value::as_object)
        .flatten()
        .map(|(reason, count)| format!("{reason}: {count}"))
        .collect()
}
