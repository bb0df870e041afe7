//! Requests to the kernel over rtnetlink, and its answers: batches in which every message has its own result,
//! and dumps. Blocking, for the thread that may wait for RTNL, but never for ever.
//!
//! ```text
//!   one send:  | request 1 | request 2 | .. | request 32, NLM_F_ACK |
//!   receive:   | error EEXIST, seq 2, "ipv4: Address already assigned" | error 0, seq 32 |
//! ```
//!
//! Failures are answered always, successes only if asked for: the last request's answer is enough to know that
//! the others have none to come, which saves 7 % of the time of a batch.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use socket2::SockRef;

/// How many messages go in one batch: few enough that the acknowledgements always fit the receive buffer and
/// that newer work need not wait long (about 2 ms), enough that neither system calls count nor what the kernel does
/// between them: after each, it looks through all addresses for expired ones (`check_lifetime` in `devinet.c`).
pub const BATCH: usize = 128;

/// The kernel answers a request before `send` returns, once it holds RTNL; an answer that is not there by
/// then has been lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// A dump that links or addresses changed under is repeated, but not for ever.
const DUMPS: usize = 5;

const RECEIVE_BUFFER: usize = 64 << 10;

const HEADER: usize = 16;
pub(super) const NLMSG_ERROR: u16 = 2;
pub(super) const NLMSG_DONE: u16 = 3;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// A socket for requests.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    sequence: u32,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
}

/// What the kernel refused a request with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The error number.
    pub errno: i32,
    /// The kernel's own sentence about it, if it had one.
    pub sentence: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { errno: 0, sentence } => f.write_str(sentence.as_deref().unwrap_or_default()),
            Self { errno, sentence: None } => f.write_str(nix::errno::Errno::from_raw(*errno).desc()),
            Self { errno, sentence: Some(sentence) } => {
                write!(f, "{} ({sentence})", nix::errno::Errno::from_raw(*errno).desc())
            }
        }
    }
}

impl From<nix::errno::Errno> for Failure {
    fn from(errno: nix::errno::Errno) -> Self {
        Self { errno: errno as i32, sentence: None }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self { errno, sentence: None },
            None => Self { errno: 0, sentence: Some(error.to_string()) },
        }
    }
}

impl Netlink {
    /// Opens a socket. Anybody may dump; changing anything needs `CAP_NET_ADMIN`.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        SockRef::from(&socket.as_fd()).set_read_timeout(Some(PATIENCE))?;
        // Conveniences: without them answers are longer, have no sentence, and dumps are not filtered.
        for refused in
            [socket.set_ext_ack(true), socket.set_cap_ack(true), socket.set_netlink_get_strict_chk(true)]
        {
            match refused {
                Err(error) if error.raw_os_error() != Some(nix::libc::ENOPROTOOPT) => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        let incoming = Vec::with_capacity(RECEIVE_BUFFER);
        Ok(Self { socket, sequence: 0, outgoing: Vec::new(), incoming })
    }

    /// Sends up to [`BATCH`] requests at once and returns each one's result, in order. A failed request does
    /// not keep the kernel from the next one.
    pub fn batch(&mut self, requests: Vec<RouteNetlinkMessage>, flags: u16) -> Vec<Result<(), Failure>> {
        let mut results = vec![Ok(()); requests.len()];
        if requests.is_empty() {
            return results;
        }
        let first = self.sequence.wrapping_add(1);
        self.outgoing.clear();
        for (at, request) in requests.into_iter().enumerate() {
            let acknowledge = if at + 1 == results.len() { NLM_F_ACK } else { 0 };
            self.push(request, flags | acknowledge);
        }
        if let Err(error) = self.exchange(first, &mut results) {
            // Which of them were done is not known: they are asked for again, and that is harmless.
            let failure = Failure::from(error);
            results.fill(Err(failure));
        }
        results
    }

    /// The kernel works in order and answers in order, so the answer to the last request is the last answer.
    fn exchange(&mut self, first: u32, results: &mut [Result<(), Failure>]) -> io::Result<()> {
        self.socket.send(&self.outgoing, 0)?;
        loop {
            self.receive()?;
            for message in messages(&self.incoming) {
                let message = message?;
                // Answers to earlier requests that were given up carry older numbers.
                let at = message.sequence.wrapping_sub(first) as usize;
                if message.kind == NLMSG_ERROR
                    && let Some(result) = results.get_mut(at)
                {
                    *result = outcome(&message);
                    if at + 1 == results.len() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Asks for a dump and hands each of its messages to `each`, which collects in `found`. A dump that came
    /// out inconsistent is repeated.
    pub fn dump<T>(
        &mut self,
        request: &RouteNetlinkMessage,
        found: &mut Vec<T>,
        mut each: impl FnMut(&mut Vec<T>, RawMessage<'_>),
    ) -> io::Result<()> {
        for _ in 0..DUMPS {
            found.clear();
            if self.dump_once(request.clone(), |message| each(found, message))? {
                return Ok(());
            }
        }
        Err(io::Error::other("links or addresses changed during every dump"))
    }

    /// Whether the dump was consistent.
    fn dump_once(
        &mut self,
        request: RouteNetlinkMessage,
        mut each: impl FnMut(RawMessage<'_>),
    ) -> io::Result<bool> {
        self.outgoing.clear();
        self.push(request, NLM_F_DUMP);
        self.socket.send(&self.outgoing, 0)?;
        let mut consistent = true;
        loop {
            self.receive()?;
            for message in messages(&self.incoming) {
                let message = message?;
                if message.sequence != self.sequence {
                    continue;
                }
                consistent &= message.flags & NLM_F_DUMP_INTR == 0;
                match message.kind {
                    // A dump's end carries an error in the same place as an error message.
                    NLMSG_DONE | NLMSG_ERROR => {
                        return match outcome(&message) {
                            Ok(()) => Ok(consistent),
                            Err(failure) => Err(io::Error::from_raw_os_error(failure.errno)),
                        };
                    }
                    _ => each(message),
                }
            }
        }
    }

    /// Appends a request to what is to be sent.
    fn push(&mut self, request: RouteNetlinkMessage, flags: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
        message.finalize();
        let at = self.outgoing.len();
        self.outgoing.resize(at + message.buffer_len().next_multiple_of(4), 0);
        message.serialize(&mut self.outgoing[at..]);
    }

    fn receive(&mut self) -> io::Result<()> {
        receive(&self.socket, &mut self.incoming)
    }
}

/// Reads the next datagram. Without one for as long as the socket waits, the answer has been lost: `ETIMEDOUT`.
pub(super) fn receive(socket: &Socket, incoming: &mut Vec<u8>) -> io::Result<()> {
    loop {
        incoming.clear();
        match socket.recv(incoming, 0) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::from_raw_os_error(nix::libc::ETIMEDOUT));
            }
            Err(error) => return Err(error),
        }
    }
}

/// One netlink message as it stands in a datagram.
#[derive(Clone, Copy, Debug)]
pub struct RawMessage<'a> {
    /// What it is about, `RTM_NEWADDR` for example.
    pub kind: u16,
    /// Its flags.
    pub flags: u16,
    /// The number of the request that it answers; 0 if it answers none.
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// Takes a datagram apart. An error ends the iteration, for it is not known where the next message begins.
pub fn messages(mut datagram: &[u8]) -> impl Iterator<Item = io::Result<RawMessage<'_>>> {
    std::iter::from_fn(move || {
        if datagram.is_empty() {
            return None;
        }
        let Some((message, rest)) = split(datagram) else {
            datagram = &[];
            return Some(Err(io::Error::from_raw_os_error(nix::libc::EPROTO)));
        };
        datagram = rest;
        Some(Ok(message))
    })
}

fn split(datagram: &[u8]) -> Option<(RawMessage<'_>, &[u8])> {
    let header: &[u8; HEADER] = datagram.first_chunk()?;
    let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *header;
    let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
    let payload = datagram.get(HEADER..length)?;
    let message = RawMessage {
        kind: u16::from_ne_bytes([k0, k1]),
        flags: u16::from_ne_bytes([f0, f1]),
        sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
        payload,
    };
    // The last message of a datagram may end unaligned.
    Some((message, datagram.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// What an error message (with error 0: an acknowledgement) or the end of a dump says.
pub fn outcome(message: &RawMessage<'_>) -> Result<(), Failure> {
    let code = message.payload.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
    match code {
        0 => Ok(()),
        code => Err(Failure { errno: code.saturating_neg(), sentence: sentence(message) }),
    }
}

/// The kernel's sentence: an attribute behind the failed request, of which a capped answer repeats only the
/// header.
fn sentence(message: &RawMessage<'_>) -> Option<String> {
    if message.kind != NLMSG_ERROR || message.flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let request = message.payload.get(4..)?;
    let length = match message.flags & NLM_F_CAPPED {
        0 => usize::try_from(u32::from_ne_bytes(*request.first_chunk()?)).ok()?.next_multiple_of(4),
        _ => HEADER,
    };
    NlasIterator::new(request.get(length..)?).map_while(Result::ok).find_map(|attribute| {
        (attribute.kind() == NLMSGERR_ATTR_MSG)
            .then(|| String::from_utf8_lossy(attribute.value()).trim_end_matches('\0').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An acknowledgement of request 7 as Linux 6 sends it: error EEXIST (17), the request's header alone,
    /// and a sentence.
    #[rustfmt::skip]
    const REFUSED: [u8; 48] = [
        48, 0, 0, 0,  2, 0,  0x00, 0x03,  7, 0, 0, 0,  1, 2, 3, 4,
        0xef, 0xff, 0xff, 0xff,
        40, 0, 0, 0,  20, 0,  5, 6,  7, 0, 0, 0,  0, 0, 0, 0,
        11, 0,  1, 0,  b'i', b'n', b' ', b'u', b's', b'e', 0, 0,
    ];

    #[test]
    #[cfg(target_endian = "little")]
    fn a_refusal_carries_the_kernels_sentence() {
        let mut all = messages(&REFUSED);
        let message = all.next().unwrap().unwrap();
        assert_eq!((message.kind, message.sequence), (NLMSG_ERROR, 7));
        assert_eq!(outcome(&message), Err(Failure { errno: 17, sentence: Some("in use".into()) }));
        assert!(all.next().is_none());
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn truncated_and_senseless_datagrams_end_in_an_error() {
        for length in 1..REFUSED.len() {
            assert!(messages(&REFUSED[..length]).last().unwrap().is_err(), "{length} bytes");
        }
        let mut short = REFUSED;
        short[0] = 15;
        assert!(messages(&short).last().unwrap().is_err());
        short[..4].fill(0xff);
        assert!(messages(&short).last().unwrap().is_err());
    }

    #[test]
    fn a_read_timeout_is_no_success() {
        assert_eq!(Failure::from(io::Error::from_raw_os_error(110)).errno, 110);
        assert_eq!(Failure::from(io::Error::other("odd")).sentence.as_deref(), Some("odd"));
    }
}
