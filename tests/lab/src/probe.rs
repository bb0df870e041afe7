//! A client that asks an address once a millisecond, and echo servers that say who answered.
//!
//! UDP datagrams with a running number go to the address; the server on each host answers *from the address
//! asked* with the host's number, so the whole way is tested: neighbour cache, address, firewall, both ways.
//! Answers carry the kernel's receive stamp. An outage is the longest time between two answers; on a busy machine this
//! includes pauses of the client's own, so what was lost is counted by question, too.

use std::collections::BTreeMap;
use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::cmsg_space;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, recvmsg,
    sendmsg, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Socket, Type};

use crate::clock;
use crate::network::Host;
use crate::wait;
use crate::worker::Worker;

/// The port of the echo servers.
pub const PORT: u16 = 7007;

/// The echo servers of one host, one for each family.
#[derive(Debug)]
pub struct Echo {
    _workers: [Worker; 2],
}

/// A client that asks once a millisecond by UDP.
#[derive(Debug)]
pub struct Probe {
    answers: Answers,
    questions: Arc<Mutex<Vec<Question>>>,
    _workers: [Worker; 2],
}

/// What a client heard so far, in order of time. Clones are the same record.
#[derive(Clone, Debug, Default)]
pub struct Answers(Arc<Mutex<Vec<Answer>>>);

/// A question, by its place in the order of asking.
#[derive(Clone, Copy, Debug)]
struct Question {
    at: u64,
    answered: bool,
}

/// Questions that nobody answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// How many.
    pub count: usize,
    /// The longest time from one such question to the next one that was answered.
    pub longest: Duration,
    /// The longest time between two questions: what is more than a millisecond is the machine's.
    pub pause: Duration,
}

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When it arrived, nanoseconds of `CLOCK_REALTIME`.
    pub at: u64,
    /// The number of the host that answered.
    pub host: u8,
}

/// The longest time without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// How long.
    pub length: Duration,
    /// When it began.
    pub from: u64,
    /// Which host answered last before it.
    pub before: Option<u8>,
    /// Which host answered first after it; `None`: nobody yet.
    pub after: Option<u8>,
}

impl Echo {
    /// Starts answering on every address of `host`, those to come included.
    pub fn on(host: &Host) -> Self {
        Self::start(host, None)
    }

    /// The same for the addresses in a VRF alone, as a service that is started there (`ip vrf exec`).
    pub fn in_vrf(host: &Host, vrf: &str) -> Self {
        Self::start(host, Some(vrf))
    }

    fn start(host: &Host, vrf: Option<&str>) -> Self {
        let number = host.number();
        let workers = [Domain::IPV4, Domain::IPV6].map(|domain| {
            let socket =
                host.inside(|| Socket::new(domain, Type::DGRAM.cloexec(), None).expect("open a UDP socket"));
            let any: IpAddr = if domain == Domain::IPV4 {
                setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).expect("ask for destinations");
                Ipv4Addr::UNSPECIFIED.into()
            } else {
                socket.set_only_v6(true).expect("IPv6 only");
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true).expect("ask for destinations");
                Ipv6Addr::UNSPECIFIED.into()
            };
            socket.bind_device(vrf.map(str::as_bytes)).expect("bind the echo server to the VRF");
            socket.bind(&SocketAddr::new(any, PORT).into()).expect("bind the echo server");
            socket.set_read_timeout(Some(Duration::from_millis(50))).expect("bound the wait");
            enlarge(&socket);
            let pinned = vrf.is_none();
            Worker::repeat("echo", move || {
                echo(&socket, number, pinned);
            })
        });
        Self { _workers: workers }
    }
}

/// Makes room for what comes while the machine does something else: what is dropped there was not lost on the way.
fn enlarge(socket: &impl std::os::fd::AsFd) {
    if setsockopt(socket, sockopt::RcvBufForce, &(8 << 20)).is_err() {
        setsockopt(socket, sockopt::RcvBuf, &(4 << 20)).expect("enlarge the receive buffer");
    }
}

/// Answers one datagram from the address it was sent to, and by the interface that it came by or else as it is routed, with
/// the number before what it said; `None` if none came, or if that address is gone by now.
fn echo(socket: &Socket, number: u8, pinned: bool) -> Option<usize> {
    let mut buffer = [0; 64];
    let mut space = cmsg_space!(nix::libc::in_pktinfo, nix::libc::in6_pktinfo);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let (fd, flags) = (socket.as_raw_fd(), MsgFlags::empty());
    let message = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut space), flags).ok()?;
    let (from, control, length) = (message.address?, message.cmsgs().ok()?.next()?, message.bytes);
    let answer = [number];
    let data = [IoSlice::new(&answer), IoSlice::new(&buffer[..length])];
    match (control, from.as_sockaddr_in(), from.as_sockaddr_in6()) {
        (ControlMessageOwned::Ipv4PacketInfo(mut info), Some(to), None) => {
            info.ipi_spec_dst = info.ipi_addr;
            info.ipi_ifindex = if pinned { info.ipi_ifindex } else { 0 };
            let source = [ControlMessage::Ipv4PacketInfo(&info)];
            sendmsg::<SockaddrIn>(fd, &data, &source, flags, Some(to)).ok()
        }
        (ControlMessageOwned::Ipv6PacketInfo(mut info), None, Some(to)) => {
            info.ipi6_ifindex = if pinned { info.ipi6_ifindex } else { 0 };
            let source = [ControlMessage::Ipv6PacketInfo(&info)];
            sendmsg::<SockaddrIn6>(fd, &data, &source, flags, Some(to)).ok()
        }
        _ => None,
    }
}

impl Probe {
    /// Starts asking `address` from `client`.
    pub fn start(client: &Host, address: IpAddr) -> Self {
        let any: IpAddr =
            if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = client.inside(|| UdpSocket::bind((any, 0)).expect("bind the probe"));
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true).expect("ask for time stamps");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("bound the wait");
        enlarge(&socket);
        let asking = socket.try_clone().expect("duplicate a descriptor");
        let (answers, questions) = (Answers::default(), Arc::new(Mutex::new(Vec::new())));
        let (into, asked, matched) = (answers.clone(), Arc::clone(&questions), Arc::clone(&questions));
        let mut next = std::time::Instant::now();
        let ask = Worker::repeat("ask", move || {
            let number = ask(&asked);
            // An unreachable address is what is being measured, so errors are no news.
            drop(asking.send_to(&number.to_be_bytes(), (address, PORT)));
            next += Duration::from_millis(1);
            wait::observe(next.saturating_duration_since(std::time::Instant::now()));
        });
        let hear = Worker::repeat("hear", move || {
            if let Some((answer, number)) = hear(&socket) {
                if let Some(question) = lock(&matched).get_mut(number) {
                    question.answered = true;
                }
                into.push(answer);
            }
        });
        Self { answers, questions, _workers: [ask, hear] }
    }

    /// The questions asked between two moments that were not answered until now. Give the last ones a moment to be.
    pub fn lost(&self, from: u64, to: u64) -> Lost {
        let questions = lock(&self.questions);
        let asked: Vec<Question> =
            questions.iter().filter(|q| (from..=to).contains(&q.at)).copied().collect();
        lost(&asked)
    }
}

/// What is missing among `questions`, which are in order of time.
fn lost(questions: &[Question]) -> Lost {
    let mut lost = Lost::default();
    let mut since = None;
    for pair in questions.windows(2) {
        lost.pause = lost.pause.max(Duration::from_nanos(pair[1].at - pair[0].at));
    }
    for question in questions {
        if let Some(first) = since {
            lost.longest = lost.longest.max(Duration::from_nanos(question.at - first));
        }
        if question.answered {
            since = None;
        } else {
            lost.count += 1;
            since = since.or(Some(question.at));
        }
    }
    lost
}

/// Writes down that a question is asked now, and returns its number.
fn ask(questions: &Mutex<Vec<Question>>) -> u64 {
    let mut questions = lock(questions);
    questions.push(Question { at: wait::now(), answered: false });
    questions.len() as u64 - 1
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::ops::Deref for Probe {
    type Target = Answers;

    fn deref(&self) -> &Answers {
        &self.answers
    }
}

impl Answers {
    pub(crate) fn push(&self, answer: Answer) {
        lock(&self.0).push(answer);
    }

    /// Waits until `host` answers, and returns when it first did after `after`.
    pub fn wait_for(&self, host: &Host, after: u64, bound: Duration) -> u64 {
        wait::until(&format!("{} answers", host.name()), bound, || {
            let answers = lock(&self.0);
            let recent = answers.iter().rev().take_while(|answer| answer.at > after);
            recent.filter(|answer| answer.host == host.number()).last().map(|answer| answer.at)
        })
    }

    /// The newest answer.
    pub fn latest(&self) -> Option<Answer> {
        lock(&self.0).last().copied()
    }

    /// All answers that arrived between two moments.
    pub fn between(&self, from: u64, to: u64) -> Vec<Answer> {
        let answers = lock(&self.0);
        answers.iter().filter(|answer| (from..=to).contains(&answer.at)).copied().collect()
    }

    /// How many answers each host gave between two moments.
    pub fn count(&self, from: u64, to: u64) -> BTreeMap<u8, usize> {
        let mut counts = BTreeMap::new();
        for answer in self.between(from, to) {
            *counts.entry(answer.host).or_default() += 1;
        }
        counts
    }

    /// The longest time without an answer between two moments, the edges counting as answers.
    pub fn longest_gap(&self, from: u64, to: u64) -> Gap {
        longest_gap(&self.between(from, to), from, to)
    }
}

/// The longest gap in `answers`, which are in order of time.
pub fn longest_gap(answers: &[Answer], from: u64, to: u64) -> Gap {
    let marks = answers.iter().map(|answer| (answer.at, Some(answer.host))).chain([(to, None)]);
    let mut last = (from, None);
    let mut longest = Gap { length: Duration::ZERO, from, before: None, after: None };
    for (at, host) in marks {
        let length = Duration::from_nanos(at.saturating_sub(last.0));
        if length > longest.length {
            longest = Gap { length, from: last.0, before: last.1, after: host };
        }
        last = (at, host);
    }
    longest
}

/// An answer, and the number of the question.
fn hear(socket: &UdpSocket) -> Option<(Answer, usize)> {
    let mut buffer = [0; 64];
    let mut space = cmsg_space!(TimeSpec);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty()).ok()?;
    let stamp = message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(stamp) => Some(clock::nanos(&stamp)),
        _ => None,
    })?;
    let [host, number @ ..] = buffer.first_chunk::<9>()?;
    Some((Answer { at: stamp, host: *host }, usize::try_from(u64::from_be_bytes(*number)).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_at_the_end_is_a_gap_and_nobody_ends_it() {
        let answers = [Answer { at: 10, host: 1 }, Answer { at: 20, host: 1 }];
        let gap = longest_gap(&answers, 5, 100);
        assert_eq!((gap.length.as_nanos(), gap.from, gap.before, gap.after), (80, 20, Some(1), None));
    }

    #[test]
    fn a_question_is_lost_until_the_next_one_that_is_answered() {
        let asked = |answered: &[bool]| {
            let questions = (10..).zip(answered).map(|(at, answered)| Question { at, answered: *answered });
            let lost = lost(&questions.collect::<Vec<_>>());
            (lost.count, lost.longest.as_nanos())
        };
        assert_eq!(asked(&[true, true, true]), (0, 0));
        assert_eq!(asked(&[true, false, true, false, false, true]), (3, 2));
        // Nobody knows how long the last one would have waited.
        assert_eq!(asked(&[true, false, false, false]), (3, 2));
    }

    #[test]
    fn the_longest_gap_names_who_answered_before_and_after_it() {
        let answers = [Answer { at: 10, host: 1 }, Answer { at: 60, host: 2 }, Answer { at: 70, host: 2 }];
        let gap = longest_gap(&answers, 5, 80);
        assert_eq!((gap.length.as_nanos(), gap.before, gap.after), (50, Some(1), Some(2)));
    }
}
