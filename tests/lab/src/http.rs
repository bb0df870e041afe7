//! A client that asks for a page once a millisecond, each time on a connection of its own.
//!
//! A question that has no answer after 500 ms is given up, so a connection that a retried SYN saves after a
//! second does not count. Only status 200 is an answer; the page says which host gave it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::{Domain, Socket, Type};

use crate::network::Host;
use crate::probe::{Answer, Answers};
use crate::wait;
use crate::worker::Worker;

/// A client that asks once a millisecond by HTTP.
#[derive(Debug)]
pub struct HttpProbe {
    answers: Answers,
    _worker: Worker,
}

impl HttpProbe {
    /// Starts asking `http://ADDRESS/` from `client`; `hosts` are those whose names may stand in the answer.
    pub fn start(client: &Host, address: IpAddr, hosts: &[&Host]) -> Self {
        let answers = Answers::default();
        let names = hosts.iter().map(|host| (host.name().to_owned(), host.number())).collect();
        let (client, into) = (client.clone(), answers.clone());
        let mut asker: Option<Asker> = None;
        let worker = Worker::repeat("http", move || {
            let asker = asker.get_or_insert_with(|| {
                client.move_in();
                Asker::new(SocketAddr::new(address, 80), BTreeMap::clone(&names))
            });
            asker.turn(&into);
        });
        Self { answers, _worker: worker }
    }
}

impl std::ops::Deref for HttpProbe {
    type Target = Answers;

    fn deref(&self) -> &Answers {
        &self.answers
    }
}

/// All the questions that are under way.
struct Asker {
    target: SocketAddr,
    names: BTreeMap<String, u8>,
    epoll: Epoll,
    questions: BTreeMap<u64, Question>,
    number: u64,
    next: Instant,
}

/// One question.
struct Question {
    socket: Socket,
    asked: Instant,
    heard: Vec<u8>,
}

/// How long a question waits for its answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// The time between questions.
const PACE: Duration = Duration::from_millis(1);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: demo\r\n\r\n";

impl Asker {
    fn new(target: SocketAddr, names: BTreeMap<String, u8>) -> Self {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("open an epoll");
        Self { target, names, epoll, questions: BTreeMap::new(), number: 0, next: Instant::now() }
    }

    /// Asks what is due, and hears what has come.
    fn turn(&mut self, answers: &Answers) {
        let now = Instant::now();
        while self.questions.first_key_value().is_some_and(|(_, q)| now - q.asked > PATIENCE) {
            self.questions.pop_first();
        }
        if now >= self.next {
            // After a long pause of this thread it does not ask for what it missed.
            self.next = now.max(self.next + PACE);
            self.ask(now);
        }
        let mut events = [EpollEvent::empty(); 64];
        let rest = u8::from(self.next > Instant::now());
        let ready = self.epoll.wait(&mut events, EpollTimeout::from(rest)).unwrap_or(0);
        for event in &events[..ready] {
            let Some(question) = self.questions.get_mut(&event.data()) else { continue };
            let answered = if event.events().contains(EpollFlags::EPOLLIN) {
                question.hear()
            } else {
                question.send(&self.epoll, event.data())
            };
            match answered {
                Ok(None) => continue,
                Ok(Some(name)) => {
                    if let Some(&host) = self.names.get(&name) {
                        answers.push(Answer { at: wait::now(), host });
                    }
                }
                // Refused or reset: what is being measured.
                Err(_) => {}
            }
            self.questions.remove(&event.data());
        }
    }

    /// Opens a connection. Where there is no route or no port left there is no question.
    fn ask(&mut self, now: Instant) {
        self.number += 1;
        let opened =
            Socket::new(Domain::for_address(self.target), Type::STREAM.nonblocking().cloexec(), None);
        let Ok(socket) = opened else { return };
        // Closing resets, so that neither side collects connections in TIME_WAIT.
        let reset = socket.set_linger(Some(Duration::ZERO));
        match socket.connect(&self.target.into()) {
            Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => return,
            Err(_) | Ok(()) => {}
        }
        let event = EpollEvent::new(EpollFlags::EPOLLOUT, self.number);
        if reset.is_ok() && self.epoll.add(&socket, event).is_ok() {
            self.questions.insert(self.number, Question { socket, asked: now, heard: Vec::new() });
        }
    }
}

impl Question {
    /// The connection is there, or refused: sends the request.
    fn send(&mut self, epoll: &Epoll, number: u64) -> std::io::Result<Option<String>> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        (&self.socket).write_all(REQUEST)?;
        epoll.modify(&self.socket, &mut EpollEvent::new(EpollFlags::EPOLLIN, number))?;
        Ok(None)
    }

    /// Reads what has come: the last line of a whole answer with status 200, or that there is more to wait for.
    fn hear(&mut self) -> std::io::Result<Option<String>> {
        let mut buffer = [0; 1024];
        let read = (&self.socket).read(&mut buffer)?;
        self.heard.extend(&buffer[..read]);
        let text = String::from_utf8_lossy(&self.heard);
        let whole = text.split_once("\r\n\r\n").filter(|(_, body)| body.ends_with('\n'));
        match whole {
            Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(Some(body.trim().to_owned())),
            Some(_) => Err(std::io::Error::other("not 200")),
            None if read == 0 => Err(std::io::Error::other("cut short")),
            None => Ok(None),
        }
    }
}
