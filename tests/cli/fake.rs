//! An agent without an engine, and the clients that the tests need.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use vipd::agent::archive::Archive;
use vipd::agent::drains::Drains;
use vipd::agent::ending::Ending;
use vipd::agent::heartbeat::Heartbeats;
use vipd::agent::post::{self, Inbox, Notices, Request};
use vipd::agent::runtime_dir::RuntimeDir;
use vipd::agent::service::{self, Parts};
use vipd::config;
use vipd::engine::action::InstanceId;
use vipd::engine::event::Target;
use vipd::engine::inheritance::Inheritance;
use vipd::engine::near::Nearness;
use vipd::engine::notice::{Notice, Reason, State, What};
use vipd::engine::settings::Effect;
use vipd::engine::status::{
    AddressStatus, Counters, InstanceStatus, LeaseStatus, MasterStatus, RouterStatus, Status, TrackStatus,
};
use vipd::net::{Family, Priority, Vrid};
use vipd::sys::clock;
use vipd::wire::vrrp::Version;

/// A configuration with two instances and a check that is up.
pub(crate) const CONFIGURATION: &str = "\
instances:
  web: {interface: eth0, virtual_router_id: 51, priority: 150, addresses: [192.0.2.10/24], track: {here: -60}}
  mail: {interface: eth0, virtual_router_id: 52, priority: 100, addresses: [192.0.2.20/24]}
checks:
  here: {file: /proc/self/stat, interval: 50ms}
";

/// How long anything may take that must happen.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A directory of one test's own.
pub(crate) fn scratch() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("vipd-cli-{}-{number}", std::process::id()));
    fs::create_dir_all(&path).unwrap();
    path
}

/// The real service thread with a protocol side that decides nothing.
pub(crate) struct Agent {
    /// The runtime directory.
    pub(crate) dir: PathBuf,
    /// The configuration file.
    pub(crate) config: PathBuf,
    shared: Arc<Shared>,
    orders: Receiver<Request>,
    notices: Option<Arc<Notices>>,
    protocol: Option<JoinHandle<()>>,
    service: Option<JoinHandle<Ending>>,
}

struct Shared {
    status: Mutex<Status>,
    mute: AtomicBool,
    over: AtomicBool,
}

impl Agent {
    /// Begins with `status` and [`CONFIGURATION`].
    pub(crate) fn start(status: Status) -> Self {
        Self::start_with(status, |_| {})
    }

    /// The same in a directory that is prepared before.
    pub(crate) fn start_with(status: Status, prepare: impl FnOnce(&Path)) -> Self {
        let dir = scratch();
        prepare(&dir);
        let config = dir.join("vipd.yaml");
        fs::write(&config, CONFIGURATION).unwrap();
        let shared = Arc::new(Shared {
            status: Mutex::new(status),
            mute: AtomicBool::new(false),
            over: AtomicBool::new(false),
        });
        let (post, inbox) = post::requests().unwrap();
        let (notices, reader) = post::notices();
        let notices = Arc::new(notices);
        let (ordered, orders) = channel();
        let protocol = {
            let (shared, notices) = (Arc::clone(&shared), Arc::clone(&notices));
            std::thread::spawn(move || pretend(inbox, &shared, &ordered, &notices))
        };
        let mut heartbeats = Heartbeats::new();
        let parts = Parts {
            node: "lb1".to_owned(),
            path: config.clone(),
            config: config::load(&config).unwrap(),
            post,
            notices: reader,
            protocol: heartbeats.register("protocol"),
            heartbeats,
            gate: vipd::agent::gate::Trouble::default(),
            unguarded: None,
            realtime: vipd::agent::realtime::Realtime::default(),
            verdicts: std::collections::BTreeMap::new(),
            runner: None,
            program: None,
            archive: Archive::begin(&dir.join("state")),
            drains: Drains::read(&dir.join("state")),
            lines_dropped: None,
        };
        let mut directory = RuntimeDir::take(&dir).unwrap();
        let service = std::thread::spawn(move || service::run(parts, &mut directory).unwrap());
        Self {
            dir,
            config,
            shared,
            orders,
            notices: Some(notices),
            protocol: Some(protocol),
            service: Some(service),
        }
    }

    /// What the engine would say from now on.
    pub(crate) fn now(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.shared.status.lock().unwrap());
    }

    /// Whether the protocol side leaves questions unanswered.
    pub(crate) fn mute(&self, mute: bool) {
        self.shared.mute.store(mute, Ordering::Relaxed);
    }

    /// Tells the service thread of something.
    pub(crate) fn tell(&self, instance: &str, what: What) {
        let notice = Notice { at: clock::now(), about: Some((InstanceId(1), instance.to_owned())), what };
        self.notices.as_ref().unwrap().push(notice);
    }

    /// Waits for an order that satisfies `wanted`; others are passed over.
    pub(crate) fn order(&self, wanted: impl Fn(&Request) -> bool) -> Request {
        let until = clock::now() + SOON;
        loop {
            let left = until.since(clock::now());
            let order = self.orders.recv_timeout(left).unwrap();
            if wanted(&order) {
                return order;
            }
        }
    }

    /// Every order so far that is no verdict. An order of its own, the last one, shows that none is on its way.
    pub(crate) fn orders_so_far(&self) -> Vec<Request> {
        assert_eq!(self.http("vipd.sock", "POST", "/resume", r#"{"all":true}"#).0, 200);
        let mut orders = Vec::new();
        loop {
            match self.order(|order| !matches!(order, Request::Verdict { .. })) {
                Request::Resume(Target::All) => return orders,
                order => orders.push(order),
            }
        }
    }

    /// A raw connection to a socket.
    pub(crate) fn connect(&self, socket: &str) -> UnixStream {
        let stream = UnixStream::connect(self.dir.join(socket)).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    /// Asks and reads the whole answer: status and body.
    pub(crate) fn http(&self, socket: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = self.connect(socket);
        let length = body.len();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
        // An agent without a place for us may have hung up already; its answer says so.
        drop(stream.write_all(request.as_bytes()));
        answer(stream)
    }

    /// Runs `vipctl` against this agent.
    pub(crate) fn vipctl(&self, arguments: &[&str]) -> Output {
        vipctl(&self.dir, arguments).output().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        self.notices = None;
        let protocol = self.protocol.take().map(JoinHandle::join);
        let service = self.service.take().map(JoinHandle::join);
        drop(fs::remove_dir_all(&self.dir));
        if !std::thread::panicking() {
            assert!(matches!((protocol, service), (Some(Ok(())), Some(Ok(_)))));
        }
    }
}

fn pretend(mut inbox: Inbox, shared: &Shared, ordered: &Sender<Request>, notices: &Arc<Notices>) {
    let mut unanswered = Vec::new();
    while !shared.over.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(inbox.as_fd(), PollFlags::POLLIN)];
        poll(&mut ready, PollTimeout::from(20u8)).unwrap();
        for request in inbox.drain() {
            match request {
                Request::Status(answer) if shared.mute.load(Ordering::Relaxed) => unanswered.push(answer),
                Request::Status(answer) => {
                    let mut status = shared.status.lock().unwrap().clone();
                    status.at = clock::now();
                    drop(answer.send(status));
                }
                Request::Bequest(answer) => drop(answer.send(Inheritance::default())),
                other => drop(ordered.send(other)),
            }
        }
    }
    // Kept until here, so that the service thread sees the end only when the test wants it.
    let _kept = Arc::clone(notices);
}

/// `vipctl` on its way against the agent in `dir`.
pub(crate) fn vipctl(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vipctl"));
    command.arg("--runtime-dir").arg(dir).args(arguments).stdin(Stdio::null()).env_remove("NO_COLOR");
    command
}

/// The status and body of an answer; both empty if the connection just ended.
pub(crate) fn answer(mut stream: UnixStream) -> (u16, String) {
    let mut bytes = Vec::new();
    // An end by reset is an end, too.
    let ended = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(
        ended.is_ok() || !matches!(ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
        "{text}"
    );
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// Lines as they come, each waited for with a bound.
pub(crate) struct Lines(Receiver<String>);

impl Lines {
    /// Reads on a thread of its own, which ends with the source.
    pub(crate) fn of(source: impl Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(source).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self(lines)
    }

    /// The next line.
    pub(crate) fn next(&self) -> String {
        self.0.recv_timeout(SOON).unwrap()
    }

    /// The next line that has `part` in it.
    pub(crate) fn with(&self, part: &str) -> String {
        loop {
            let line = self.next();
            if line.contains(part) {
                return line;
            }
        }
    }
}

/// Repeats until it holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = clock::now() + SOON;
    while !holds() {
        assert!(clock::now() < until, "in vain: {what}");
        std::thread::yield_now();
    }
}

/// `web` master here, `mail` backup to 192.0.2.2.
pub(crate) fn healthy() -> Status {
    Status {
        at: clock::now(),
        instances: vec![
            instance("web", State::Master, Reason::MasterSilent { after: Duration::from_millis(361) }),
            instance(
                "mail",
                State::Backup,
                Reason::BetterMaster { address: "192.0.2.2".parse().unwrap(), priority: Priority::new(200) },
            ),
        ],
        groups: Vec::new(),
        checks: Vec::new(),
        discarded: BTreeMap::new(),
        warnings: Vec::new(),
    }
}

/// One instance in that state.
pub(crate) fn instance(name: &str, state: State, reason: Reason) -> InstanceStatus {
    let now = clock::now();
    let is_master = state == State::Master;
    let master = if is_master { "192.0.2.1" } else { "192.0.2.2" };
    let priority = Priority::new(if is_master { 150 } else { 200 });
    InstanceStatus {
        name: name.to_owned(),
        state,
        since: now,
        reason,
        group: None,
        interface: "eth0".to_owned(),
        vrid: Vrid::new(51).unwrap(),
        version: Version::V3,
        configured: Priority::new(150),
        effective: Priority::new(150),
        interval: Duration::from_millis(100),
        stepped_down: false,
        lease: LeaseStatus { enabled: true, extension: Duration::from_millis(300) },
        accept: true,
        times_master: 1,
        transitions: BTreeMap::new(),
        routers: vec![RouterStatus {
            family: Family::Ipv4,
            state,
            source: Some("192.0.2.1".parse().unwrap()),
            master: Some(MasterStatus { address: master.parse().unwrap(), priority, heard: now }),
            master_interval: Duration::from_millis(100),
            master_down: Duration::from_millis(361),
            counters: Counters::default(),
            near: Nearness::default(),
            near_miss_percent: 80,
        }],
        virtual_links: Vec::new(),
        paths: Vec::new(),
        addresses: vec![AddressStatus {
            interface: None,
            advertised: true,
            net: "192.0.2.10/24".parse().unwrap(),
            installed: is_master,
            trouble: None,
        }],
        tracks: vec![TrackStatus {
            check: "here".to_owned(),
            effect: Effect::Weight(-60),
            up: Some(true),
            since: now,
            value: None,
            adds: 0,
            effective: false,
        }],
        duplicate: None,
    }
}
