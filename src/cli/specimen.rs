//! A report made by hand, for the tests of everything that prints one.

use std::collections::BTreeMap;

use crate::agent::report::{
    Address, Agent, Check, Configuration, Counters, Effect, Finding, Health, Instance, Lateness, Lease,
    Master, Notifier, Priority, Report, Role, Router, Runs, Severity, Told, Track,
};
use crate::agent::report::{Gap, Gaps, NearMisses};
use crate::agent::stamp::Stamp;

fn at(time: &str) -> Stamp {
    format!("2026-11-21T{time}Z").parse().unwrap()
}

/// Two instances with a check that is down; made at 10:25.
pub(super) fn report() -> Report {
    Report {
        schema: 1,
        node: "lb1".to_owned(),
        time: at("10:25:00"),
        health: Health::Degraded,
        problems: vec!["check nginx is down (connection refused)".to_owned()],
        findings: vec![Finding {
            code: "V0706".to_owned(),
            severity: Severity::Problem,
            text: "check nginx is down (connection refused)".to_owned(),
        }],
        agent: Agent {
            version: "0.1.0".to_owned(),
            pid: 812,
            started: at("06:00:00"),
            worst_late_ms: 0.2,
            loop_lateness: Lateness::default(),
            events_lost: 0,
            configuration: Configuration::default(),
            realtime_priority: None,
            memory_locked: false,
            log_lines_dropped: 0,
            newest_event: 9,
        },
        instances: vec![master(), backup()],
        groups: Vec::new(),
        checks: vec![check()],
        notifiers: vec![notifier()],
        discarded: BTreeMap::new(),
        warnings: Vec::new(),
    }
}

fn master() -> Instance {
    Instance {
        name: "web".to_owned(),
        state: Role::Master,
        since: at("07:13:00"),
        reason: "no master heard for 3609 ms".to_owned(),
        group: None,
        interface: "eth0".to_owned(),
        virtual_router_id: 51,
        version: 3,
        priority: Priority { configured: 100, file: None, effective: 100 },
        advert_interval_ms: 1000.0,
        lease: Lease { enabled: true, extension_ms: 3000.0 },
        accept: true,
        stepped_down: false,
        drained: None,
        times_master: 1,
        transitions: Vec::new(),
        duplicate: None,
        routers: vec![router(Role::Master, "192.0.2.1", 100, "10:24:59.600")],
        addresses: vec![address("192.0.2.10/24", true)],
        virtual_links: Vec::new(),
        paths: Vec::new(),
        tracks: Vec::new(),
    }
}

fn backup() -> Instance {
    Instance {
        name: "mail".to_owned(),
        state: Role::Backup,
        since: at("10:11:00"),
        reason: "192.0.2.2 has the better claim, priority 100".to_owned(),
        virtual_router_id: 52,
        priority: Priority { configured: 150, file: None, effective: 90 },
        advert_interval_ms: 100.0,
        times_master: 2,
        routers: vec![router(Role::Backup, "192.0.2.2", 100, "10:24:59.969")],
        addresses: vec![address("192.0.2.20/24", false), address("192.0.2.21/24", false)],
        tracks: vec![Track {
            check: "nginx".to_owned(),
            effect: Effect::Weight { weight: -60 },
            up: Some(false),
            since: at("10:11:00"),
            value: None,
            adds: -60,
            effective: true,
        }],
        ..master()
    }
}

fn router(state: Role, master: &str, priority: u8, heard: &str) -> Router {
    Router {
        family: "ipv4".to_owned(),
        state,
        source: Some("192.0.2.1".parse().unwrap()),
        master: Some(Master { address: master.parse().unwrap(), priority, heard: at(heard) }),
        master_interval_ms: 100.0,
        master_down_ms: 364.84,
        counters: Counters {
            adverts_sent: 120,
            adverts_received: 3,
            send_failures: 0,
            resignations_sent: 1,
            resignations_received: 0,
            pseudo_header_checksums: 3,
            message_checksums: 0,
            address_mismatches: 0,
            signed_adverts: 0,
            unsigned_adverts: 0,
            discarded: BTreeMap::from([("checksum".to_owned(), 2)]),
        },
        near_misses: near_misses(),
    }
}

/// One near miss among ordinary gaps.
fn near_misses() -> NearMisses {
    let gap = |percent: f64, hint: Option<&str>| Gap {
        time: at("10:24:00"),
        gap_ms: percent * 3.6484,
        timer_ms: 364.84,
        percent,
        cause: hint.map(|_| "lost_adverts".to_owned()),
        hint: hint.map(str::to_owned),
    };
    let (near, usual) = (gap(82.4, Some("2 adverts in a row did not arrive")), gap(27.4, None));
    let below = [Some(50), Some(75), Some(90), None];
    NearMisses {
        threshold_percent: 80,
        count: 1,
        gaps: below
            .into_iter()
            .zip([9000, 2, 1, 0])
            .map(|(below_percent, count)| Gaps { below_percent, count })
            .collect(),
        total_percent: 246_791.0,
        last: Some(near.clone()),
        worst: Some(near.clone()),
        worst_hour: Some(usual),
        worst_day: Some(near),
    }
}

fn address(address: &str, installed: bool) -> Address {
    Address { address: address.to_owned(), interface: None, advertised: true, installed, trouble: None }
}

fn notifier() -> Notifier {
    Notifier {
        kind: "script".to_owned(),
        target: "/etc/vipd/notify".to_owned(),
        instance: Some("mail".to_owned()),
        group: None,
        delivered: 2,
        failed: 1,
        dropped: 0,
        waiting: 0,
        last: Some(Told {
            about: "mail".to_owned(),
            state: "BACKUP".to_owned(),
            time: at("10:11:00"),
            ok: false,
            result: "exit status 3: no such route".to_owned(),
        }),
    }
}

fn check() -> Check {
    Check {
        name: "nginx".to_owned(),
        kind: "http".to_owned(),
        target: "http://127.0.0.1/".to_owned(),
        up: Some(false),
        since: Some(at("10:11:00")),
        value: None,
        pending: None,
        last_run: Some(at("10:24:58")),
        last_ok: Some(false),
        last_result: Some("connection refused".to_owned()),
        last_error: Some("connection refused".to_owned()),
        latency_ms: Some(0.412),
        runs: Runs::default(),
        output: None,
    }
}
