//! `vipctl probe ADDRESS`: whether an address answers, asked every few milliseconds, and for how long it did not.
//!
//! For drills, which start it on another host; and for anybody who wants to know what clients see. An echo request (ICMP)
//! or a TCP connection, which may be refused: that is an answer, too.

use std::collections::VecDeque;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};

use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::output::{answer, complain, millis, say};
use super::{Exit, span};
use crate::agent::report::SCHEMA;
use crate::agent::stamp::Stamp;
use crate::check::ping;
use crate::time::Duration;

/// How long one question may be unanswered before it is forgotten.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many intervals without an answer are a gap, and not a lost packet.
const GAP: u32 = 3;
/// How many gaps are listed.
const MOST: usize = 1000;
/// How long it takes at most with no other word.
const USUAL: Duration = Duration::from_secs(10);

/// `probe ADDRESS ..`.
#[derive(Debug, Args)]
pub(super) struct Request {
    /// The address.
    address: IpAddr,
    /// How long: 10s, 5m; 10s if nothing is said.
    #[arg(long = "for", value_name = "TIME", value_parser = span::of_watching)]
    duration: Option<Duration>,
    /// How often: 10ms, 1s.
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = span::of_pace)]
    every: Duration,
    /// Connects to this TCP port instead of sending echo requests.
    #[arg(long, value_name = "PORT")]
    tcp: Option<u16>,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Says when the first answer is there, and ends with its input.
    #[arg(long, hide = true)]
    leash: bool,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    schema: u32,
    pub(super) address: IpAddr,
    /// `icmp` or `tcp`.
    by: String,
    started: Stamp,
    ended: Stamp,
    pub(super) every_ms: f64,
    pub(super) sent: u64,
    pub(super) answered: u64,
    pub(super) longest_gap_ms: f64,
    pub(super) gaps: Vec<Gap>,
}

/// A time without an answer: from the last question that was answered to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Gap {
    pub(super) from: Stamp,
    pub(super) length_ms: f64,
}

/// What is said with a leash, before the end.
pub(super) const ANSWERS: &str = "{\"kind\":\"answers\"}";

/// Asks until it has been enough.
pub(super) async fn run(request: &Request) -> Exit {
    let (sender, mut answers) = mpsc::channel(1024);
    let mut asking = match Asking::begin(request, sender) {
        Ok(asking) => asking,
        Err(why) => {
            complain(&format!("cannot probe {}: {why}.", request.address));
            return if why.contains("permitted") { Exit::NotAllowed } else { Exit::Os };
        }
    };
    let end = Instant::now() + request.duration.unwrap_or(USUAL);
    let mut leash = request.leash.then(end_of_input);
    let mut turns = interval(request.every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut tally = Tally::new(request.every);
    loop {
        let let_go = async {
            match &mut leash {
                // However it ends, nobody holds it any more.
                Some(end) => drop(end.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = turns.tick() => {
                let number = tally.ask(Instant::now());
                asking.ask(number).await;
            }
            Some(number) = answers.recv() => {
                if tally.hear(number) && request.leash && !say(&format!("{ANSWERS}\n")) {
                    return Exit::Ok;
                }
            }
            () = sleep_until(end) => break,
            () = let_go => break,
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    let seen = tally.seen(request);
    let exit = if seen.answered > 0 { Exit::Ok } else { Exit::Degraded };
    match serde_json::to_string(&seen) {
        Ok(json) if request.json => answer(&format!("{json}\n"), exit),
        _ => answer(&words(&seen), exit),
    }
}

/// Comes when nobody can write to our input any more.
fn end_of_input() -> oneshot::Receiver<()> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let mut byte = [0; 64];
        while matches!(std::io::stdin().read(&mut byte), Ok(1..)) {}
        // Nobody listens any more if it has ended by itself.
        drop(sender);
    });
    receiver
}

fn words(seen: &Seen) -> String {
    let Seen { address, sent, answered, every_ms, longest_gap_ms, gaps, .. } = seen;
    if *answered == 0 {
        return format!("{address} never answered: {sent} questions, one every {}.\n", millis(*every_ms));
    }
    let asked = format!("{answered} of {sent} questions, one every {}", millis(*every_ms));
    if gaps.is_empty() {
        return format!("{address} answered all the time: {asked}.\n");
    }
    let first = format!("{address} did not answer for up to {}: {asked}.\n", millis(*longest_gap_ms));
    let line = |gap: &Gap| {
        let time = gap.from.to_string();
        format!("{} UTC  silent for {}\n", time.get(11..23).unwrap_or_default(), millis(gap.length_ms))
    };
    [first].into_iter().chain(gaps.iter().map(line)).collect()
}

/// Questions and answers so far.
struct Tally {
    every: Duration,
    started: Stamp,
    begun: Instant,
    sent: u64,
    answered: u64,
    /// What may be answered still.
    open: VecDeque<(u64, Instant)>,
    /// When the last question was asked that was answered.
    last: Option<Instant>,
    gaps: Vec<Gap>,
    longest: Duration,
}

impl Tally {
    fn new(every: Duration) -> Self {
        let (started, begun) = (Stamp::now(), Instant::now());
        let (gaps, longest) = (Vec::new(), Duration::ZERO);
        Self { every, started, begun, sent: 0, answered: 0, open: VecDeque::new(), last: None, gaps, longest }
    }

    fn ask(&mut self, now: Instant) -> u64 {
        while self.open.front().is_some_and(|(_, at)| now.duration_since(*at) > PATIENCE) {
            self.open.pop_front();
        }
        self.sent += 1;
        self.open.push_back((self.sent, now));
        self.sent
    }

    /// An answer is there; says whether it is the first one.
    fn hear(&mut self, number: u64) -> bool {
        let Some(at) = self.open.iter().position(|(open, _)| *open == number) else { return false };
        let Some((_, asked)) = self.open.remove(at) else { return false };
        self.answered += 1;
        let first = self.last.is_none();
        if let Some(last) = self.last {
            self.note(last, asked);
        }
        self.last = Some(self.last.map_or(asked, |last| last.max(asked)));
        first
    }

    fn note(&mut self, from: Instant, to: Instant) {
        let length = to.saturating_duration_since(from);
        self.longest = self.longest.max(length);
        if length > self.every * GAP && self.gaps.len() < MOST {
            let from = self.started.plus(from.duration_since(self.begun));
            self.gaps.push(Gap { from, length_ms: length.as_secs_f64() * 1000.0 });
        }
    }

    fn seen(mut self, request: &Request) -> Seen {
        // The last questions may be on their way still; a silence at the end is one only if it is longer than that.
        let now = Instant::now();
        let last = self.last.unwrap_or(self.begun);
        if now.duration_since(last) > PATIENCE.min(self.every * GAP + Duration::from_millis(100)) {
            self.note(last, now);
        }
        Seen {
            schema: SCHEMA,
            address: request.address,
            by: if request.tcp.is_some() { "tcp" } else { "icmp" }.to_owned(),
            started: self.started,
            ended: Stamp::now(),
            every_ms: self.every.as_secs_f64() * 1000.0,
            sent: self.sent,
            answered: self.answered,
            longest_gap_ms: self.longest.as_secs_f64() * 1000.0,
            gaps: self.gaps,
        }
    }
}

/// How it is asked.
enum Asking {
    Echo { address: IpAddr, socket: std::sync::Arc<tokio::net::UdpSocket> },
    Connection { to: SocketAddr, answers: mpsc::Sender<u64> },
}

impl Asking {
    fn begin(request: &Request, answers: mpsc::Sender<u64>) -> Result<Self, String> {
        let address = request.address;
        if let Some(port) = request.tcp {
            return Ok(Self::Connection { to: SocketAddr::new(address, port), answers });
        }
        let socket = std::sync::Arc::new(ping::socket(address)?);
        let ours = std::sync::Arc::clone(&socket);
        tokio::spawn(async move {
            let mut packet = [0; 256];
            loop {
                // An error is the kernel's word that there is no way to the host now.
                let Ok(read) = ours.recv(&mut packet).await else { continue };
                let token = packet.get(..read).and_then(|packet| ping::reply(address, packet));
                let number = token.map(u64::from_be_bytes).filter(|number| number >> 32 == mark());
                if let Some(number) = number
                    && answers.send(number & 0xffff_ffff).await.is_err()
                {
                    return;
                }
            }
        });
        Ok(Self::Echo { address, socket })
    }

    async fn ask(&mut self, number: u64) {
        match self {
            Self::Echo { address, socket } => {
                let token = (mark() << 32 | number & 0xffff_ffff).to_be_bytes();
                // What cannot be sent is not answered.
                if socket.send(&ping::request(*address, token)).await.is_err() {}
            }
            Self::Connection { to, answers } => {
                let (to, answers) = (*to, answers.clone());
                tokio::spawn(async move {
                    let outcome = timeout(PATIENCE, TcpStream::connect(to)).await;
                    let refused =
                        |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
                    let answered =
                        matches!(&outcome, Ok(Ok(_))) || matches!(&outcome, Ok(Err(error)) if refused(error));
                    // The end may have come meanwhile.
                    if answered && answers.send(number).await.is_err() {}
                });
            }
        }
    }
}

/// What tells our requests from another process's.
fn mark() -> u64 {
    u64::from(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn gaps_are_between_questions_that_were_answered() {
        let mut tally = Tally::new(Duration::from_millis(10));
        for turn in 1..=100 {
            let number = tally.ask(Instant::now());
            if !(21..=50).contains(&turn) {
                assert_eq!(tally.hear(number), turn == 1);
            }
            assert!(!tally.hear(number + 1000), "never asked");
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        assert_eq!((tally.sent, tally.answered, tally.gaps.len()), (100, 70, 1));
        assert!((tally.gaps[0].length_ms - 310.0).abs() < 0.001, "{:?}", tally.gaps);
    }
}
