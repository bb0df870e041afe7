//! What the kernel reports of its own accord: links and addresses that come, change and go, and local routes that go.
//!
//! Reports can be lost (the socket's buffer overflows, `ENOBUFS`); then only a complete picture helps, which
//! another thread takes. Until it is there, reports that came after it was asked for are held back: applied
//! before the picture they would be forgotten, for the picture may be older than they are.
//!
//! ```text
//!               lost something             queue empty: Err(Overrun)          resume()
//!   Following ------------------> Draining --------------------------> Awaiting ------> Following
//!                                                                         | lost again
//!                                                                         v
//!                              Draining <-------- resume() --------- Draining again
//! ```

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::SockRef;

use super::local_routes;
use super::netlink::messages;
use super::picture::change;
use crate::engine::event::Change;

/// Room for about 10,000 reports; the default holds 256, and taking 1,000 addresses makes 1,000.
const RECEIVE_BUFFER: usize = 8 << 20;

/// How many datagrams one call reads before the caller may turn to something else.
const BURST: usize = 64;

/// How many changes are held back while a picture is awaited.
const HELD: usize = 65_536;

const DATAGRAM: usize = 32 << 10;

/// `RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR`, rules, and routes, of which few pass the filter.
const GROUPS: u32 =
    0x1 | 0x10 | 0x100 | local_routes::IPV4_GROUP | local_routes::IPV6_GROUP | local_routes::RULE_GROUPS;

/// Listens to the kernel's reports about links and addresses.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
    buffer: Vec<u8>,
    phase: Phase,
}

/// Reports were lost: a picture is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel reported more than was read in time")]
pub struct Overrun;

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Every report is passed on.
    Following,
    /// Something was lost. What is still queued is older than the picture to come, and is read and dropped.
    Draining,
    /// A picture has been asked for; reports since then are held back.
    Awaiting { held: Vec<Change> },
    /// A picture has been asked for, but more was lost since: another one will be needed.
    AwaitingInVain { drained: bool },
}

impl Monitor {
    /// Begins to listen. Ask for a first picture now, and call [`resume`](Self::resume) when it is there.
    pub fn open() -> io::Result<Self> {
        Self::with_buffer(RECEIVE_BUFFER)
    }

    /// The same with a receive buffer of about `bytes`.
    pub fn with_buffer(bytes: usize) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        match setsockopt(&socket.as_fd(), sockopt::RcvBufForce, &bytes) {
            Ok(()) => {}
            Err(Errno::EPERM) => setsockopt(&socket.as_fd(), sockopt::RcvBuf, &bytes)?,
            Err(error) => return Err(error.into()),
        }
        SockRef::from(&socket.as_fd()).attach_filter(&local_routes::gone_filter())?;
        socket.set_non_blocking(true)?;
        socket.bind(&SocketAddr::new(0, GROUPS))?;
        let phase = Phase::Awaiting { held: Vec::new() };
        Ok(Self { socket, buffer: Vec::with_capacity(DATAGRAM), phase })
    }

    /// Appends what has changed to `changes`, up to some dozens of reports at a time. After [`Overrun`] ask for
    /// a picture, exactly once, and call [`resume`](Self::resume) when it has been applied.
    pub fn read(&mut self, changes: &mut Vec<Change>) -> Result<(), Overrun> {
        for at in 0..=BURST {
            self.buffer.clear();
            // The last look only tells whether the queue is empty, for an empty queue wakes nobody.
            let last = at == BURST;
            match self.socket.recv(&mut self.buffer, if last { libc::MSG_PEEK } else { 0 }) {
                Ok(_) if last => {}
                Ok(_) => self.take_datagram(changes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.emptied(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // ENOBUFS; but whatever else it is, reports did not arrive.
                Err(_) => self.lost(),
            }
        }
        Ok(())
    }

    /// Says that a picture has been applied, and returns the changes that must be applied on top of it. After
    /// [`Overrun`] another picture must be asked for.
    pub fn resume(&mut self) -> Result<Vec<Change>, Overrun> {
        match std::mem::replace(&mut self.phase, Phase::Following) {
            Phase::Following => Ok(Vec::new()),
            Phase::Awaiting { held } => Ok(held),
            Phase::Draining | Phase::AwaitingInVain { drained: false } => {
                self.phase = Phase::Draining;
                Ok(Vec::new())
            }
            Phase::AwaitingInVain { drained: true } => {
                self.phase = Phase::Awaiting { held: Vec::new() };
                Err(Overrun)
            }
        }
    }

    fn take_datagram(&mut self, changes: &mut Vec<Change>) {
        let mut complete = true;
        let into = match &mut self.phase {
            Phase::Following => changes,
            Phase::Awaiting { held } => held,
            Phase::Draining | Phase::AwaitingInVain { .. } => return,
        };
        for message in messages(&self.buffer) {
            match message.map(change) {
                Ok(Ok(Some(change))) => into.push(change),
                Ok(Ok(None)) => {}
                Ok(Err(_)) | Err(_) => complete = false,
            }
        }
        if let Phase::Awaiting { held } = &self.phase {
            complete &= held.len() <= HELD;
        }
        if !complete {
            self.lost();
        }
    }

    fn lost(&mut self) {
        self.phase = match &self.phase {
            Phase::Following | Phase::Draining => Phase::Draining,
            Phase::Awaiting { .. } | Phase::AwaitingInVain { .. } => Phase::AwaitingInVain { drained: false },
        };
    }

    /// Everything queued has been read.
    fn emptied(&mut self) -> Result<(), Overrun> {
        match &mut self.phase {
            Phase::Following | Phase::Awaiting { .. } => Ok(()),
            Phase::AwaitingInVain { drained } => {
                *drained = true;
                Ok(())
            }
            phase @ Phase::Draining => {
                *phase = Phase::Awaiting { held: Vec::new() };
                Err(Overrun)
            }
        }
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
