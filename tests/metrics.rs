//! Metrics of a real agent: whether those who read them understand them, and whether reading them costs an advert.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lab::vipd::{Programs, configuration};
use lab::wait::observe;
use lab::{Host, Node, Router, Sniffer, Vipd, isolated, now, until};

const SOON: Duration = Duration::from_secs(15);

/// Where the agent listens, in its own network.
const PORT: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9113);

/// How late an advert may be.
const LATE: Duration = Duration::from_millis(10);

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

/// A master with a check, an IPv6 address and metrics under all names.
fn node() -> String {
    let web = Router::new("web", 51, 150, "192.0.2.100/24").and("2001:db8::100/64").every(100);
    let node = Node::from(web.track("there", "-60")).check("there", "{ file: /etc/passwd, interval: 50ms }");
    configuration(&node) + &format!("metrics: {{ listen: \"{PORT}\", keepalived_names: true }}\n")
}

/// The head and the body of an answer.
fn asked(mut stream: impl Read + Write, accept: &str) -> std::io::Result<(String, String)> {
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    Ok((head.to_owned(), body.to_owned()))
}

/// The same of the TCP port, from the calling thread's network.
fn scraped(accept: &str) -> std::io::Result<(String, String)> {
    let stream = TcpStream::connect_timeout(&PORT, SOON)?;
    stream.set_read_timeout(Some(SOON))?;
    asked(stream, accept)
}

fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut command = std::process::Command::new("promtool");
    let command = command.args(arguments).stdin(std::process::Stdio::piped());
    let command = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().expect("promtool is of the package prometheus");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.success(), said.concat())
}

/// The value of the one sample of `name` whose labels have every one of `labels`.
fn value(text: &str, name: &str, labels: &[&str]) -> f64 {
    let fits = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    };
    let line = text.lines().find(fits).unwrap_or_else(|| panic!("no {name} {labels:?} in\n{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn what_an_agent_says_is_understood_by_prometheus_in_either_form() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let vipd = Vipd::start_file(&lb1, &programs(), &node());
        vipd.wait_state("web", "master");
        until("an advert is counted", SOON, || {
            let (_, plain) = lb1.inside(|| scraped("text/plain")).ok()?;
            (value(&plain, "vipd_adverts_sent_total", &["name=\"web\"", "family=\"ipv6\""]) > 2.0)
                .then_some(())
        });
        let (head, plain) = lb1.inside(|| scraped("*/*")).unwrap();
        assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
        assert_eq!(promtool(&["check", "metrics"], &plain), (true, String::new()), "{plain}");
        assert_eq!(vipd.vipctl(&["metrics"]).1.lines().count(), plain.lines().count());
        let (head, open) = lb1.inside(|| scraped("application/openmetrics-text;version=1.0.0")).unwrap();
        assert!(
            head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
            "{head}"
        );
        assert!(open.ends_with("# EOF\n"));
        let (understood, said) = imported(&open, lb1.directory());
        assert!(understood, "{said}");
        for (name, labels, expected) in [
            ("vipd_state", &["state=\"master\"", "virtual_router_id=\"51\""][..], 1.0),
            ("vipd_state", &["state=\"backup\""], 0.0),
            ("vipd_router_state", &["family=\"ipv6\"", "state=\"master\""], 1.0),
            (
                "vipd_transitions_total",
                &["from=\"backup\"", "to=\"master\"", "reason=\"master_no_response\""],
                1.0,
            ),
            ("vipd_effective_priority", &["interface=\"eth0\""], 150.0),
            ("vipd_address_installed", &["address=\"192.0.2.100/24\""], 1.0),
            ("vipd_lease_enabled", &[], 1.0),
            ("vipd_check_up", &["check=\"there\"", "kind=\"file\""], 1.0),
            ("vipd_config_last_reload_successful", &[], 1.0),
            ("keepalived_vrrp_state", &["iname=\"web\"", "ip_address=\"192.0.2.100\""], 2.0),
            ("keepalived_become_master_total", &["intf=\"eth0\"", "vrid=\"51\"", "state=\"MASTER\""], 1.0),
        ] {
            assert!((value(&plain, name, labels) - expected).abs() < 0.01, "{name} {labels:?}\n{plain}");
        }
        let lease = value(&plain, "vipd_lease_remaining_seconds", &["family=\"ipv4\""]);
        assert!(lease > 0.1 && lease <= 0.3, "{lease}");
        let sums = ["_count", "_bucket"].map(|end| format!("vipd_loop_lateness_seconds{end}"));
        let [turns, at_most] = [value(&plain, &sums[0], &[]), value(&plain, &sums[1], &["le=\"+Inf\""])];
        assert!(turns > 10.0 && (turns - at_most).abs() < 0.1, "{turns} {at_most}");
    });
}

/// Whether Prometheus's own reader takes this as OpenMetrics; it wants a time on each sample.
fn imported(open: &str, directory: &Path) -> (bool, String) {
    let file = directory.join("metrics.txt");
    let mut text = String::new();
    for line in open.lines() {
        let time = if line.starts_with('#') { "" } else { " 1700000000" };
        writeln!(text, "{line}{time}").unwrap();
    }
    fs::write(&file, text).unwrap();
    let blocks = directory.join("blocks");
    let arguments = ["tsdb", "create-blocks-from", "openmetrics"].map(str::to_owned);
    let arguments =
        [arguments.to_vec(), vec![file.display().to_string(), blocks.display().to_string()]].concat();
    promtool(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), "")
}

#[test]
fn every_question_of_the_dashboard_is_one_that_prometheus_can_answer() {
    isolated(|lab| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/metrics/grafana.json");
        let dashboard: serde_json::Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let mut questions = Vec::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                questions.push(target["expr"].as_str().unwrap().replace("$__rate_interval", "5m"));
            }
        }
        assert!(questions.len() > 10);
        let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
        for (number, question) in questions.iter().enumerate() {
            writeln!(rules, "      - {{ record: \"question:{number}\", expr: {question:?} }}").unwrap();
        }
        let file = lab.host("lb1").directory().join("rules.yaml");
        fs::write(&file, rules).unwrap();
        let (good, said) = promtool(&["check", "rules", file.to_str().unwrap()], "");
        assert!(good && said.contains(&format!("{} rules found", questions.len())), "{said}");
    });
}

/// Clients that send a request a byte at a time and never end it, until `over`; each comes back when it is cut off.
fn dawdle(socket: &Path, over: &AtomicBool) -> usize {
    let connect = |_| {
        let mut stream = UnixStream::connect(socket).unwrap();
        // Without a place for it, the agent may have hung up.
        drop(stream.write_all(b"GET /metrics HTTP/1.1\r\nX-Slow: "));
        stream
    };
    let mut clients: Vec<_> = (0..64).map(connect).collect();
    let mut connections = clients.len();
    while !over.load(Ordering::Relaxed) {
        for (number, client) in clients.iter_mut().enumerate() {
            if client.write_all(b"x").is_err() {
                *client = connect(number);
                connections += 1;
            }
        }
        observe(Duration::from_millis(50));
    }
    connections
}

/// How late the latest advert of `host` was while it was scraped 100 times a second beside 64 slow clients.
fn latest_under_load(host: &Host, sniffer: &Sniffer, socket: &Path) -> Duration {
    sniffer.clear();
    let over = AtomicBool::new(false);
    let (scrapes, connections) = std::thread::scope(|scope| {
        let slow = scope.spawn(|| dawdle(socket, &over));
        let scrapes = host.inside(|| {
            let (begun, mut scrapes) = (now(), 0_u32);
            while now() - begun < 5_000_000_000 {
                let (head, body) = scraped("application/openmetrics-text").unwrap();
                assert!(head.starts_with("HTTP/1.1 200") && body.ends_with("# EOF\n"), "{head}");
                scrapes += 1;
                let due = begun + u64::from(scrapes) * 10_000_000;
                observe(Duration::from_nanos(due.saturating_sub(now())));
            }
            scrapes
        });
        over.store(true, Ordering::Relaxed);
        (scrapes, slow.join().unwrap())
    });
    let times: Vec<u64> = sniffer.adverts(host.ipv4().into()).iter().map(|(at, _)| *at).collect();
    let latest = times.windows(2).map(|pair| (pair[1] - pair[0]).saturating_sub(100_000_000)).max().unwrap();
    println!(
        "{scrapes} scrapes, {connections} slow clients, {} adverts, the latest {latest} ns late",
        times.len()
    );
    assert!(times.len() > 45 && connections > 64, "{} adverts, {connections} clients", times.len());
    assert!(scrapes > 300, "{scrapes} scrapes in 5 s");
    Duration::from_nanos(latest)
}

#[test]
fn no_advert_is_late_for_being_scraped_a_hundred_times_a_second_beside_64_slow_clients() {
    isolated(|lab| {
        let (lb1, client) = (lab.host("lb1"), lab.host("client"));
        let vipd = Vipd::start_file(&lb1, &programs(), &node());
        vipd.wait_state("web", "master");
        until("it listens", SOON, || lb1.inside(|| scraped("*/*")).ok());
        let sniffer = Sniffer::on(&client);
        let socket: PathBuf = lb1.directory().join("vipd/status.sock");
        // Another program may have had the processor for a while, but not each time.
        let latest =
            (0..8).map(|_| latest_under_load(&lb1, &sniffer, &socket)).find(|latest| *latest <= LATE);
        assert!(latest.is_some(), "each time an advert was late");
    });
}
