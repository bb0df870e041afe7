//! Two load balancers with nginx and vipd, a client that asks a thousand times a second, and what it notices
//! when things go wrong. Everything happens in network namespaces of this program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a demonstration: what fails ends it, with a message"
)]

use std::net::IpAddr;
use std::time::Duration;

use lab::vipd::Programs;
use lab::{Agent, Host, HttpProbe, Lab, Nginx, Node, Router, Vipd, wait};

/// The address that everything is about.
const ADDRESS: [u8; 4] = [192, 0, 2, 100];
const SOON: Duration = Duration::from_secs(15);

const INTRODUCTION: &str = "\
   client                        lb1  192.0.2.1  priority 150   nginx, vipd
     |  http://192.0.2.100/       |
     +---------- switch ----------+
                                  |
                                 lb2  192.0.2.2  priority 100   nginx, vipd

The virtual address 192.0.2.100 belongs to lb1 while lb1 is well, and to lb2 otherwise. vipd sends adverts
every 100 ms and asks its own nginx for /healthz every 100 ms; two failures in a row count.
The client opens a new connection every millisecond. All this is in network namespaces of this program:
nothing on this machine is touched, and nothing is left behind.";

fn main() {
    if std::env::args().nth(1).is_some() {
        println!(
            "usage: demo\n\nShows a pair of load balancers failing over, in network namespaces of its own."
        );
        std::process::exit(64);
    }
    if let Err(why) = lab::enter() {
        eprintln!("demo: {why}");
        std::process::exit(69);
    }
    let Some(programs) = Programs::find() else {
        eprintln!("demo: no vipd and vipctl beside this program; run scripts/demo, or set VIPD_BIN");
        std::process::exit(66);
    };
    println!("{INTRODUCTION}");
    let mut stage = Stage::build(&programs);
    stage.play();
    stage.table();
}

/// What one node runs.
fn node(priority: u8) -> Node {
    let router = Router::new("web", 51, priority, "192.0.2.100/24").every(100).track("nginx", "-60");
    let check = "{ http: \"http://127.0.0.1/healthz\", interval: 100ms, timeout: 100ms, rise: 2, fall: 2 }";
    Node::from(router).check("nginx", check)
}

/// The two load balancers and the client.
struct Stage {
    lb1: Balancer,
    lb2: Balancer,
    client: HttpProbe,
    rows: Vec<Row>,
    _lab: Lab,
}

/// A load balancer.
struct Balancer {
    host: Host,
    nginx: Nginx,
    vipd: Vipd,
}

/// What one event did to the client.
struct Row {
    event: &'static str,
    from: String,
    to: String,
    outage: Duration,
    why: &'static str,
}

impl Balancer {
    fn start(host: &Host, programs: &Programs, priority: u8) -> Self {
        let nginx = Nginx::start(host);
        let vipd = Vipd::start(host, programs, &node(priority));
        Self { host: host.clone(), nginx, vipd }
    }

    /// What its operator sees.
    fn show(&self) {
        println!("\n[{}] $ vipctl status", self.host.name());
        let (_, said, complained) = self.vipd.vipctl(&["status"]);
        for line in said.lines().chain(complained.lines()) {
            println!("    {line}");
        }
    }
}

impl Stage {
    fn build(programs: &Programs) -> Self {
        let lab = Lab::new();
        let (one, two, client) = (lab.host("lb1"), lab.host("lb2"), lab.host("client"));
        let lb1 = Balancer::start(&one, programs, 150);
        let lb2 = Balancer::start(&two, programs, 100);
        let client = HttpProbe::start(&client, IpAddr::from(ADDRESS), &[&one, &two]);
        let from = client.wait_for(&one, 0, SOON);
        wait::until("the client's pace is steady", SOON, || {
            (client.between(from, lab::now()).len() > 500).then_some(())
        });
        Self { lb1, lb2, client, rows: Vec::new(), _lab: lab }
    }

    fn play(&mut self) {
        println!("\n== Both are well; lb1 serves ==");
        self.show();
        self.act(
            "nginx on lb1 is stopped",
            "lb2",
            "noticing takes two checks; until then connections are refused",
            |stage| {
                stage.lb1.nginx.process().stop();
            },
        );
        self.show();
        self.act("nginx on lb1 is started again", "lb1", "lb1 takes over before lb2 lets go", |stage| {
            stage.lb1.nginx = Nginx::start(&stage.lb1.host);
        });
        self.act(
            "nginx on lb1 answers /healthz with 502",
            "lb2",
            "the page is still served until lb2 has the address",
            |stage| {
                stage.lb1.nginx.break_health();
            },
        );
        self.act("nginx on lb1 is well again", "lb1", "as above", |stage| stage.lb1.nginx.mend_health());
        self.act(
            "lb1 is cut off from the network",
            "lb2",
            "the protocol's limit: three adverts and 61 ms",
            |stage| {
                stage.lb1.host.cut();
            },
        );
        self.act(
            "the network heals",
            "lb1",
            "both had the address; lb1 announces it again at once",
            |stage| stage.lb1.host.heal(),
        );
        self.act(
            "vipd on lb1 is stopped (systemctl stop)",
            "lb2",
            "it hands over before it lets go",
            |stage| {
                stage.lb1.vipd.process().stop();
            },
        );
        println!("\n== vipd on lb1 has stopped; lb2 serves ==");
        self.lb2.show();
        self.lb1.show();
    }

    fn show(&self) {
        self.lb1.show();
        self.lb2.show();
    }

    /// Lets something happen, waits until the client is served by `server`, and notes what it noticed.
    fn act(&mut self, event: &'static str, server: &str, why: &'static str, act: impl FnOnce(&mut Self)) {
        println!("\n== {event} ==");
        let from = lab::now();
        act(self);
        let host = if server == "lb1" { &self.lb1.host } else { &self.lb2.host };
        self.client.wait_for(host, from, SOON);
        wait::observe(Duration::from_secs(1));
        let gap = self.client.longest_gap(from, lab::now());
        let name = |number: Option<u8>| number.map_or_else(|| "nobody".to_owned(), |n| format!("lb{n}"));
        let before = self.client.between(from - 50_000_000, from).last().map(|answer| answer.host);
        let after = self.client.between(from, lab::now()).last().map(|answer| answer.host);
        println!(
            "   served by {} before, by {} now; longest time without an answer: {}",
            name(before),
            name(after),
            shown(gap.length)
        );
        self.rows.push(Row { event, from: name(before), to: name(after), outage: gap.length, why });
    }

    fn table(&self) {
        println!("\nWhat the client noticed (it asks every millisecond, so 1 to 3 ms is nothing):\n");
        println!("  {:<42} {:<12} {:>14}   because", "event", "served by", "no answer for");
        for row in &self.rows {
            let served = format!("{} -> {}", row.from, row.to);
            println!("  {:<42} {served:<12} {:>14}   {}", row.event, shown(row.outage), row.why);
        }
    }
}

fn shown(length: Duration) -> String {
    format!("{:.1} ms", length.as_secs_f64() * 1e3)
}
