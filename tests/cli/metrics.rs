//! Metrics: their forms, the TCP port they are served on, and the dashboard and alerts that are made of them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use serde_json::Value;
use vipd::engine::notice::{Discard, State};
use vipd::engine::status::Status;

use super::fake::{Agent, CONFIGURATION, SOON, answer, healthy, wait_until};

/// With something to say in every family.
fn eventful() -> Status {
    let mut status = healthy();
    let web = &mut status.instances[0];
    web.transitions.insert((State::Backup, State::Master, "master_no_response"), 3);
    web.transitions.insert((State::Master, State::Fault, "check_down"), 2);
    web.routers[0].counters.sent = 7;
    web.routers[0].counters.discarded.insert(Discard::Checksum, 5);
    status.discarded.insert(Discard::UnknownVrid, 4);
    status
}

/// What a port of this host answers to a request; nothing if nobody listens.
fn over_tcp(port: SocketAddr, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(port).ok()?;
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

fn serves(port: SocketAddr) -> bool {
    over_tcp(port, "GET /metrics").is_some_and(|text| text.contains("vipd_build_info{"))
}

/// A port that was free a moment ago, still taken.
fn taken() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap();
    (listener, port)
}

fn reload(agent: &Agent, metrics: &str) {
    fs::write(&agent.config, format!("{CONFIGURATION}{metrics}\n")).unwrap();
    let (status, body) = agent.http("vipd.sock", "POST", "/reload", "");
    assert_eq!(status, 200, "{body}");
}

#[test]
fn both_sockets_answer_in_the_form_that_is_asked_for() {
    let agent = Agent::start(eventful());
    for socket in ["vipd.sock", "status.sock"] {
        let (status, plain) = agent.http(socket, "GET", "/metrics", "");
        assert_eq!(status, 200);
        let made = r#"vipd_transitions_total{from="backup",interface="eth0",name="web",reason="master_no_response",to="master",virtual_router_id="51"} 3"#;
        for line in [
            made,
            "# TYPE vipd_transitions_total counter",
            r#"vipd_discards_total{family="ipv4",interface="eth0",name="web",reason="checksum",virtual_router_id="51"} 5"#,
            r#"vipd_unattributed_discards_total{reason="unknown_vrid"} 4"#,
            r#"vipd_state{interface="eth0",name="web",state="master",virtual_router_id="51"} 1"#,
        ] {
            assert!(plain.lines().any(|one| one == line), "{line} is not in\n{plain}");
        }
        assert!(!plain.contains("keepalived_"));
        let mut stream = agent.connect(socket);
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text\r\n\r\n")
            .unwrap();
        let (status, open) = answer(stream);
        assert_eq!(status, 200);
        assert!(open.ends_with("# EOF\n") && open.contains("# TYPE vipd_transitions counter\n"), "{open}");
        assert!(open.contains("# UNIT vipd_loop_lateness_seconds seconds\n"), "{open}");
    }
    agent.mute(true);
    let refused = || agent.http("status.sock", "GET", "/metrics", "").0 == 503;
    wait_until("no numbers are better than old ones", refused);
    agent.mute(false);
}

#[test]
fn vipctl_prints_what_a_collector_gets_or_json() {
    let agent = Agent::start(eventful());
    let output = agent.vipctl(&["metrics"]);
    assert!(output.status.success());
    let plain = String::from_utf8(output.stdout).unwrap();
    assert!(plain.contains("\nvipd_start_timestamp_seconds "), "{plain}");
    let json: Value = serde_json::from_slice(&agent.vipctl(&["metrics", "--json"]).stdout).unwrap();
    assert_eq!(json["schema"], 1);
    let families = json["metrics"].as_array().unwrap();
    let sent = families.iter().find(|family| family["name"] == "vipd_adverts_sent").unwrap();
    assert_eq!(
        (sent["type"].as_str(), sent["samples"][0]["suffix"].as_str()),
        (Some("counter"), Some("_total"))
    );
    assert_eq!(sent["samples"][0]["labels"]["family"], "ipv4");
    assert_eq!(sent["samples"][0]["value"], 7.0);
    let dir = agent.dir.clone();
    drop(agent);
    let output = super::fake::vipctl(&dir, &["metrics"]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(69), 0));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("no agent is running in "));
}

#[test]
fn a_port_is_opened_moved_and_closed_by_reloads() {
    let agent = Agent::start(eventful());
    let [(one, first), (other, second)] = [taken(), taken()];
    drop((one, other));
    reload(&agent, &format!("metrics: {{ listen: \"{first}\" }}"));
    wait_until("the port is open", || serves(first));
    for (request, status) in
        [("POST /metrics", "405"), ("GET /status", "404"), ("POST /step-down", "404"), ("GET /events", "404")]
    {
        let text = over_tcp(first, request).unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {text}");
    }
    assert!(!over_tcp(first, "GET /metrics").unwrap().contains("keepalived_"));
    reload(&agent, &format!("metrics: {{ listen: \"{second}\", keepalived_names: true }}"));
    wait_until("the other port is open", || serves(second));
    assert!(over_tcp(second, "GET /metrics").unwrap().contains("keepalived_vrrp_state{"));
    wait_until("the first port is closed", || over_tcp(first, "GET /metrics").is_none());
    reload(&agent, "");
    wait_until("no port is open", || over_tcp(second, "GET /metrics").is_none());
    assert!(agent.orders_so_far().iter().all(|order| !format!("{order:?}").contains("StepDown")));
}

#[test]
fn a_port_that_is_taken_is_a_warning_until_it_is_free() {
    let agent = Agent::start(eventful());
    let (holder, port) = taken();
    reload(&agent, &format!("metrics: {{ listen: \"{port}\" }}"));
    let warned = || {
        let (status, body) = agent.http("status.sock", "GET", "/status", "");
        assert_eq!(status, 200, "the agent goes on");
        body.contains(&format!("metrics cannot be served on {port}: "))
    };
    wait_until("there is a warning", warned);
    drop(holder);
    wait_until("the port is open", || serves(port));
    assert!(!warned());
}

#[test]
fn a_port_that_others_can_reach_is_advised_against_and_makes_nothing_worse() {
    let agent = Agent::start(healthy());
    let text = format!("metrics: {{ listen: \"0.0.0.0:{}\" }}", taken().1.port());
    reload(&agent, &text);
    let output = agent.vipctl(&["check", agent.config.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let advice = ":6:20: metrics.listen: warning: whoever reaches this port learns ";
    assert!(output.status.success() && said.contains(advice), "{said}");
    let report: Value = serde_json::from_str(&agent.http("status.sock", "GET", "/status", "").1).unwrap();
    assert_eq!(report["health"], "healthy");
    assert!(report["warnings"][0].as_str().unwrap().contains("metrics.listen: whoever reaches"), "{report}");
}

/// Every name of a sample in a text.
fn exported(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types
        .flat_map(|(name, kind)| match kind {
            "histogram" => ["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")).to_vec(),
            "summary" => ["_sum", "_count"].map(|end| format!("{name}{end}")).to_vec(),
            _ => vec![name.to_owned()],
        })
        .collect()
}

/// Every word of a text that begins like the name of one of our metrics.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("vipd_")).map(str::to_owned).collect()
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_what_is_exported_only() {
    let agent = Agent::start(eventful());
    let exported = exported(&agent.http("status.sock", "GET", "/metrics", "").1);
    assert!(exported.contains("vipd_check_duration_seconds_count") && exported.len() > 40, "{exported:?}");
    for (file, least) in [("etc/metrics/grafana.json", 18), ("etc/metrics/alerts.yaml", 9)] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let named = named(&text);
        assert!(named.len() >= least, "{file}: {named:?}");
        let unknown: Vec<_> = named.difference(&exported).collect();
        assert!(unknown.is_empty(), "{file} asks for what nobody exports: {unknown:?}");
    }
}

#[test]
fn the_manual_names_every_metric_that_is_exported() {
    let agent = Agent::start(eventful());
    reload(&agent, "metrics: { keepalived_names: true }");
    let text = agent.http("status.sock", "GET", "/metrics", "").1;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/man/vipd.8");
    let page = fs::read_to_string(page).unwrap();
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let missing: Vec<_> = names.filter(|name| !page.contains(*name)).collect();
    assert!(missing.is_empty(), "not in vipd(8): {missing:?}");
}
