//! One transaction with nftables: everything in it happens at once, or nothing does. And questions.
//!
//! ```text
//!   one send:  | batch begin | new table | new chain | .. | new elements, ACK | batch end |
//!   receive:   | error 0, seq of the last |    or    | error ENOENT, seq of the one refused | ..
//! ```
//!
//! Blocking: the kernel has done all of it before `send` returns, and what it waits for is the commit lock,
//! which another program may hold for a good part of a second.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, ParseableParametrized,
};
use netlink_packet_netfilter::nftables::NfTablesMessage;
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::SockRef;

use crate::sys::netlink::{Failure, NLMSG_DONE, NLMSG_ERROR, messages, outcome, receive};

/// An answer that is not there by then, after `send` has returned, has been lost.
const PATIENCE: Duration = Duration::from_secs(5);

const RECEIVE_BUFFER: usize = 64 << 10;

/// Smaller than any default send buffer.
const ROOM: usize = 64 << 10;

/// Room for a batch's beginning or end.
const BATCH_END: usize = 32;

const NFNL_SUBSYS_NFTABLES: u16 = 10;
/// What nfnetlink puts before the attributes: the family, a version and an identifier.
const HEADER: usize = 4;

/// A socket for transactions.
#[derive(Debug)]
pub(super) struct Netfilter {
    socket: Socket,
    sequence: u32,
    /// The longest transaction that the send buffer is known to take.
    room: usize,
    incoming: Vec<u8>,
}

/// The messages of a transaction, in order, as they are sent: there may be thousands. They have their numbers when it
/// is committed.
#[derive(Debug)]
pub(super) struct Transaction {
    /// Which kind of table all of it is about.
    family: NetfilterProtoFamily,
    bytes: Vec<u8>,
    count: usize,
    ids: u32,
}

impl Default for Transaction {
    /// One about frames on a link.
    fn default() -> Self {
        Self { family: NetfilterProtoFamily::NetDev, bytes: Vec::new(), count: 0, ids: 0 }
    }
}

impl Transaction {
    /// One about packets of IPv4 and IPv6.
    pub(super) fn for_packets() -> Self {
        Self { family: NetfilterProtoFamily::Inet, ..Self::default() }
    }

    /// Makes something that may exist already.
    pub(super) fn make(&mut self, message: NfTablesMessage) {
        self.push(message, NLM_F_CREATE);
    }

    /// Puts a rule at the end of its chain.
    pub(super) fn append(&mut self, message: NfTablesMessage) {
        self.push(message, NLM_F_CREATE | NLM_F_APPEND);
    }

    /// Deletes something that must exist.
    pub(super) fn delete(&mut self, message: NfTablesMessage) {
        self.push(message, 0);
    }

    /// Puts another one's messages at the end.
    pub(super) fn extend(&mut self, other: Self) {
        self.bytes.extend(other.bytes);
        self.count += other.count;
    }

    fn push(&mut self, message: NfTablesMessage, flags: u16) {
        push(&mut self.bytes, about(self.family, message), flags, 0);
        self.count += 1;
    }

    /// A number for a set that is made: another one for each.
    pub(super) fn next_id(&mut self) -> u32 {
        self.ids += 1;
        self.ids
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.count
    }
}

impl Netfilter {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        SockRef::from(&socket.as_fd()).set_read_timeout(Some(PATIENCE))?;
        // Conveniences: without them answers are longer and have no sentence.
        for refused in [socket.set_ext_ack(true), socket.set_cap_ack(true)] {
            match refused {
                Err(error) if error.raw_os_error() != Some(libc::ENOPROTOOPT) => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(Self { socket, sequence: 0, room: ROOM, incoming: Vec::with_capacity(RECEIVE_BUFFER) })
    }

    /// Commits a transaction. An error means that nothing has changed, unless the answer was lost.
    pub(super) fn commit(&mut self, transaction: Transaction) -> Result<(), Failure> {
        if transaction.is_empty() {
            return Ok(());
        }
        let first = self.sequence.wrapping_add(1);
        let bytes = self.number(transaction);
        // The last message but one is acknowledged: only the end of the batch comes after it.
        let acknowledged = self.sequence.wrapping_sub(1);
        self.make_room(bytes.len());
        self.socket.send(&bytes, 0)?;
        self.answer(first, acknowledged)
    }

    /// The batch: each message with the next number, the last but one to be acknowledged.
    fn number(&mut self, Transaction { bytes: mut messages, count, .. }: Transaction) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(messages.len() + 2 * BATCH_END);
        push(&mut bytes, batch(ControlMessage::BatchBegin), 0, self.next());
        let mut rest = messages.as_mut_slice();
        for at in 0..count {
            let number = self.next();
            let mut buffer = NetlinkBuffer::new(&mut *rest);
            buffer.set_sequence_number(number);
            if at + 1 == count {
                buffer.set_flags(buffer.flags() | NLM_F_ACK);
            }
            let length = (buffer.length() as usize).next_multiple_of(4);
            rest = &mut rest[length..];
        }
        bytes.extend(messages);
        push(&mut bytes, batch(ControlMessage::BatchEnd), 0, self.next());
        bytes
    }

    fn next(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// A transaction is sent in one piece, however long. Should there be no room, sending it says so.
    fn make_room(&mut self, length: usize) {
        if length > self.room {
            let forced = setsockopt(&self.socket.as_fd(), sockopt::SndBufForce, &length);
            let asked = || SockRef::from(&self.socket.as_fd()).set_send_buffer_size(length);
            if forced.is_ok() || asked().is_ok() {
                self.room = length;
            }
        }
    }

    /// The first error, if there is one. What the kernel refuses as a whole, it refuses in the name of the
    /// batch's beginning; that comes before all else.
    fn answer(&mut self, first: u32, acknowledged: u32) -> Result<(), Failure> {
        loop {
            self.receive()?;
            for message in messages(&self.incoming) {
                let message = message?;
                // Answers to earlier transactions that were given up carry older numbers.
                let ours = message.sequence.wrapping_sub(first) <= acknowledged.wrapping_sub(first);
                if message.kind == NLMSG_ERROR && ours {
                    outcome(&message)?;
                    if message.sequence == acknowledged {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Asks, and hands each message of the answer to `each`. Nothing is waited for but the answer.
    pub(super) fn ask(
        &mut self,
        question: NfTablesMessage,
        dump: bool,
        each: impl FnMut(NfTablesMessage),
    ) -> Result<(), Failure> {
        self.ask_about(NetfilterProtoFamily::NetDev, question, dump, each)
    }

    /// The same about tables for packets of IPv4 and IPv6.
    pub(super) fn ask_for_packets(
        &mut self,
        question: NfTablesMessage,
        dump: bool,
        each: impl FnMut(NfTablesMessage),
    ) -> Result<(), Failure> {
        self.ask_about(NetfilterProtoFamily::Inet, question, dump, each)
    }

    fn ask_about(
        &mut self,
        family: NetfilterProtoFamily,
        question: NfTablesMessage,
        dump: bool,
        mut each: impl FnMut(NfTablesMessage),
    ) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        // Acknowledged: then there is an end to wait for, whatever the answer.
        push(&mut bytes, about(family, question), if dump { NLM_F_DUMP } else { NLM_F_ACK }, self.next());
        self.socket.send(&bytes, 0)?;
        loop {
            self.receive()?;
            for message in messages(&self.incoming) {
                let message = message?;
                if message.sequence != self.sequence {
                    continue;
                }
                if message.kind == NLMSG_ERROR || message.kind == NLMSG_DONE {
                    return outcome(&message);
                }
                let [kind, _] = message.kind.to_le_bytes();
                let answer =
                    message.payload.get(HEADER..).map(|rest| NfTablesMessage::parse_with_param(rest, kind));
                match answer {
                    Some(Ok(answer)) => each(answer),
                    Some(Err(_)) | None => return Err(Errno::EPROTO.into()),
                }
            }
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        receive(&self.socket, &mut self.incoming)
    }
}

/// Appends a message with that number.
fn push(bytes: &mut Vec<u8>, message: NetfilterMessage, flags: u16, number: u32) {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    header.sequence_number = number;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
    message.finalize();
    let at = bytes.len();
    bytes.resize(at + message.buffer_len().next_multiple_of(4), 0);
    message.serialize(&mut bytes[at..]);
}

fn about(family: NetfilterProtoFamily, message: NfTablesMessage) -> NetfilterMessage {
    NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message)
}

/// The beginning and the end of a batch name the subsystem that it is for.
fn batch(end: ControlMessage) -> NetfilterMessage {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, NFNL_SUBSYS_NFTABLES);
    NetfilterMessage::new(header, NetfilterMessageInner::None(end))
}
