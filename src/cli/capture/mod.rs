//! `vipctl capture`: adverts, ARP and neighbour advertisements for our addresses as they pass, and what the agent made of
//! each. Frames come from a socket of this tool's own, so that also what never reaches the agent is seen.

mod fate;
mod packet;
mod show;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep_until};

use self::fate::{Fate, Waiting};
pub(super) use self::packet::{Advert, Packet, What};
pub(super) use self::show::addresses;
use super::client::{Client, Lines, Trouble};
use super::events::failed;
use super::output::{complain, say};
use super::{Exit, completion, span, status};
use crate::agent::capture::Judged;
use crate::agent::report::{Instance, Report};
use crate::net::{Family, LinkIndex};
use crate::sys::name_of;
use crate::sys::onlooking::{LONGEST, Onlooking, Way};
use crate::time::Duration;
use crate::wire::pcap;

/// How often it is looked whether a packet has waited long enough.
const TURN: Duration = Duration::from_millis(50);
/// Without a bound: longer than anybody looks on.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);
/// How many packets may wait to be looked at; the kernel keeps what comes after them.
const UNREAD: usize = 256;
/// How many addresses are learnt from adverts, where no agent tells which are ours.
const LEARNT: usize = 4096;

/// `capture [NAME | --interface IF] ..`.
#[derive(Debug, Args)]
pub(super) struct Request {
    /// Only this instance's, or this group's.
    #[arg(conflicts_with = "interface", add = completion::instances_and_groups())]
    name: Option<String>,
    /// On this interface, whether or not an instance is there.
    #[arg(long, value_name = "IF")]
    interface: Option<String>,
    /// Ends after so many packets.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Ends after so long: 10s, 5m.
    #[arg(long = "for", value_name = "TIME", value_parser = span::of_watching)]
    duration: Option<Duration>,
    /// Also writes the packets to a file, for Wireshark or tcpdump.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// As JSON, an object a line.
    #[arg(long)]
    json: bool,
}

/// Captures until it has been enough.
pub(super) async fn run(client: &Client, request: &Request) -> Exit {
    let report = match client.report().await {
        Ok((report, _)) => Some(report),
        Err(Trouble::NotRunning(_)) => None,
        Err(trouble) => return failed(&trouble),
    };
    let scope = match Scope::of(request, report, client) {
        Ok(scope) => scope,
        Err(exit) => return exit,
    };
    let mut words = None;
    if scope.report.is_some() {
        match told(client).await {
            Ok(lines) => words = Some(lines),
            Err(trouble) => return failed(&trouble),
        }
    }
    let socket = match Onlooking::open() {
        Ok(socket) => socket,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            complain("Capturing reads packets off the interface: become root, or have CAP_NET_RAW.");
            return Exit::NotAllowed;
        }
        Err(error) => {
            complain(&format!("cannot capture packets: {error}."));
            return Exit::Os;
        }
    };
    let file = match request.write.as_deref().map(begin).transpose() {
        Ok(file) => file,
        Err(why) => {
            complain(&why);
            return Exit::CannotCreate;
        }
    };
    let terminal = io::stdout().is_terminal();
    let tally = Tally::default();
    let mut capture = Capture { scope, request, terminal, file, waiting: Waiting::default(), tally };
    capture.run(packets(socket), words).await
}

/// Reads packets on a thread of its own, until nobody takes them any more.
fn packets(socket: Onlooking) -> mpsc::Receiver<Packet> {
    let (sender, receiver) = mpsc::channel(UNREAD);
    std::thread::spawn(move || {
        let mut buffer = vec![0; LONGEST];
        while !sender.is_closed() {
            // An error is an interface that went down; it is told once, and the socket hears the others still.
            let Ok(Some(frame)) = socket.receive(&mut buffer) else { continue };
            if let Some(packet) = Packet::read(&frame)
                && sender.blocking_send(packet).is_err()
            {
                return;
            }
        }
    });
    receiver
}

/// What the agent makes of packets, from now on.
async fn told(client: &Client) -> Result<Lines, Trouble> {
    let mut lines = client.follow("/capture").await?;
    match lines.next().await? {
        Some(_) => Ok(lines),
        None => Err(Trouble::Broken("it tells nothing of packets".to_owned())),
    }
}

fn begin(path: &Path) -> Result<File, String> {
    let begun = File::create(path).and_then(|mut file| file.write_all(&pcap::header()).map(|()| file));
    begun.map_err(|error| format!("cannot write {}: {error}.", path.display()))
}

/// Which packets are wanted.
struct Scope {
    report: Option<Report>,
    /// The instances that are meant, where an agent tells.
    names: Vec<String>,
    whole: bool,
    /// The interfaces; all of them if there are none here.
    interfaces: BTreeSet<String>,
    /// The virtual addresses.
    addresses: BTreeSet<IpAddr>,
}

impl Scope {
    fn of(request: &Request, report: Option<Report>, client: &Client) -> Result<Self, Exit> {
        let (interface, name) = (request.interface.as_deref(), request.name.as_deref());
        if let Some(interface) = interface
            && nix::net::if_::if_nametoindex(interface).is_err()
        {
            complain(&format!("there is no interface '{interface}'."));
            return Err(Exit::Usage);
        }
        let Some(known) = &report else {
            if let Some(name) = name {
                let directory = client.directory().display();
                complain(&format!(
                    "no agent is running in {directory}, so '{name}' is not known; --interface IF needs none."
                ));
                return Err(Exit::Unavailable);
            }
            let interfaces = interface.map(str::to_owned).into_iter().collect();
            let addresses = BTreeSet::new();
            return Ok(Self { report, names: Vec::new(), whole: true, interfaces, addresses });
        };
        if let Some(name) = name
            && known.instance(name).is_none()
            && known.group(name).is_none()
        {
            return Err(status::unknown(name, known));
        }
        let meant = |one: &&Instance| name.is_none_or(|name| known.means(name, one));
        let meant: Vec<&Instance> = known.instances.iter().filter(meant).collect();
        let mut interfaces: BTreeSet<String> = interface.map(str::to_owned).into_iter().collect();
        if interfaces.is_empty() {
            let own = meant.iter().map(|one| one.interface.clone());
            let others = meant.iter().flat_map(|one| &one.addresses).filter_map(|one| one.interface.clone());
            interfaces = own.chain(others).collect();
        }
        let addresses =
            meant.iter().flat_map(|one| show::addresses(one)).map(|(address, _)| address).collect();
        let names = meant.iter().map(|one| one.name.clone()).collect();
        Ok(Self { names, whole: name.is_none(), interfaces, addresses, report })
    }

    fn wants(&mut self, packet: &Packet) -> bool {
        if !self.interfaces.is_empty() && !self.interfaces.contains(&name_of(LinkIndex(packet.link))) {
            return false;
        }
        match &packet.what {
            What::Advert(advert) => {
                if self.report.is_none()
                    && let Ok(decoded) = &advert.decoded
                    && self.addresses.len() < LEARNT
                {
                    self.addresses.extend(&decoded.addresses);
                }
                let instance = show::instance_of(packet, self.report.as_ref());
                self.whole || instance.is_some_and(|one| self.names.contains(&one.name))
            }
            What::Arp(_) | What::Neighbour(_) => {
                packet.subjects().iter().any(|address| self.addresses.contains(address))
            }
        }
    }

    /// What needs no word of the agent's.
    fn fate(&self, packet: &Packet, told: bool) -> Option<Fate> {
        if packet.way == Way::Out {
            return Some(Fate::Sent);
        }
        if !told {
            return Some(Fate::NoAgent);
        }
        if let Some((address, _)) = packet.claim() {
            return (!self.addresses.contains(&address)).then_some(Fate::Question);
        }
        let What::Advert(advert) = &packet.what else { return Some(Fate::Question) };
        if packet.way == Way::Past {
            return Some(Fate::Past);
        }
        let (interface, family) = (name_of(LinkIndex(packet.link)), Family::of(advert.source).as_str());
        let listens = |one: &Instance| {
            one.interface == interface && one.routers.iter().any(|router| router.family == family)
        };
        let heard = self.report.iter().flat_map(|report| &report.instances).any(listens);
        (!heard).then_some(Fate::Unheard)
    }

    fn headline(&self, request: &Request) -> String {
        let places = match self.interfaces.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            [] => "all interfaces".to_owned(),
            some => some.join(", "),
        };
        let end = match (request.duration, request.count) {
            (None, None) => "; Ctrl-C ends it",
            _ => "",
        };
        let verdicts =
            if self.report.is_some() { "" } else { "No agent is running: packets are decoded only.\n" };
        format!("{verdicts}Packets on {places}, times in UTC{end}.\n")
    }
}

#[derive(Debug, Default)]
struct Tally {
    shown: u64,
    accepted: u64,
    discarded: u64,
    sent: u64,
    unseen: u64,
    /// What the agent told and was not read.
    lost: u64,
}

/// A capture that goes on.
struct Capture<'a> {
    scope: Scope,
    request: &'a Request,
    terminal: bool,
    file: Option<File>,
    waiting: Waiting,
    tally: Tally,
}

impl Capture<'_> {
    async fn run(&mut self, mut packets: mpsc::Receiver<Packet>, mut words: Option<Lines>) -> Exit {
        if !self.request.json && !say(&self.scope.headline(self.request)) {
            return Exit::Ok;
        }
        let begun = Instant::now();
        let end = begun + self.request.duration.unwrap_or(FOREVER);
        let mut turns = interval(TURN);
        let exit = loop {
            let word = async {
                match &mut words {
                    Some(lines) => lines.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(packet) = packets.recv() => self.take(packet, words.is_some()),
                line = word => if let Ok(Some(line)) = line {
                    self.hear(&line);
                } else {
                    complain("The agent has ended; from here on packets are only decoded.");
                    words = None;
                },
                _ = turns.tick() => {}
                () = sleep_until(end) => break Exit::Ok,
                _ = tokio::signal::ctrl_c() => break Exit::Ok,
            }
            let ready = self.waiting.ready(Instant::now());
            if let Some(exit) = self.show(ready) {
                break exit;
            }
        };
        let rest = self.waiting.rest();
        let exit = self.show(rest).unwrap_or(exit);
        if !self.request.json {
            say(&self.tally.words(begun.elapsed()));
        }
        exit
    }

    fn take(&mut self, packet: Packet, told: bool) {
        if self.scope.wants(&packet) {
            let fate = self.scope.fate(&packet, told);
            self.waiting.packet(Instant::now(), packet, fate);
        }
    }

    fn hear(&mut self, line: &str) {
        if let Ok(judged) = serde_json::from_str::<Judged>(line) {
            if let Judged::Lost { count } = &judged {
                self.tally.lost += count;
            }
            self.waiting.told(Instant::now(), judged);
        }
    }

    /// Shows packets; an exit if it is enough.
    fn show(&mut self, packets: Vec<(Packet, Fate)>) -> Option<Exit> {
        for (packet, fate) in packets {
            if self.request.count.is_some_and(|most| self.tally.shown >= most) {
                return Some(Exit::Ok);
            }
            let report = self.scope.report.as_ref();
            let line = if self.request.json {
                show::json(&packet, fate, report)
            } else {
                show::text(&packet, fate, report, self.terminal)
            };
            if !say(&line) {
                return Some(Exit::Ok);
            }
            self.tally.count(fate);
            if let Err(error) = self.keep(&packet) {
                let file = self.request.write.as_deref().unwrap_or_else(|| Path::new("the file"));
                complain(&format!("cannot write {}: {error}.", file.display()));
                return Some(Exit::CannotCreate);
            }
        }
        self.request.count.is_some_and(|most| self.tally.shown >= most).then_some(Exit::Ok)
    }

    fn keep(&mut self, packet: &Packet) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        // In one write: a capture that is cut short leaves whole packets.
        let header = pcap::frame_header(packet.stamp, packet.frame.len());
        file.write_all(&[&header, packet.frame.as_slice()].concat())
    }
}

impl Tally {
    fn count(&mut self, fate: Fate) {
        self.shown += 1;
        match fate.word() {
            "accepted" => self.accepted += 1,
            "discarded" => self.discarded += 1,
            "sent" => self.sent += 1,
            "not_received" => self.unseen += 1,
            _ => {}
        }
    }

    fn words(&self, time: Duration) -> String {
        let noun = if self.shown == 1 { "packet" } else { "packets" };
        let counts = [
            (self.sent, "sent"),
            (self.accepted, "accepted"),
            (self.discarded, "discarded"),
            (self.unseen, "that did not reach the agent"),
        ];
        let counts: Vec<_> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(n, what)| format!("{n} {what}")).collect();
        let colon = if counts.is_empty() { "" } else { ": " };
        let lost = match self.lost {
            0 => String::new(),
            lost => format!(" What became of {lost} is not known: there were too many at once."),
        };
        format!("{} {noun} in {:.0} s{colon}{}.{lost}\n", self.shown, time.as_secs_f64(), counts.join(", "))
    }
}
