//! Sockets on their way through `exec`, from the program that a process was to the one that it becomes. A new one of
//! protocol 112 would leave the groups and join them again, and a switch that snoops may take seconds to follow; a new
//! one that is a lock, somebody else may have.
//!
//! ```text
//!   old program                      kernel                           new program
//!   socket pair: (near, far)
//!   near <- "vipd", SCM_RIGHTS(fd)   one message a socket waits
//!   close near                       in the queue of far
//!   far becomes standard input  ---- exec --------------------------> standard input: receive all
//! ```
//!
//! Standard input, because it is the one descriptor that a program may use without knowing that it is there, and the
//! agent needs it for nothing else. What is received is asked what it is; nothing of it is believed.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair, sockopt,
};

/// Packs sockets for the next program: what is returned is to be its standard input. What finds no room is left out,
/// and opened anew by whoever needs it.
pub fn pack<'a>(sockets: impl Iterator<Item = BorrowedFd<'a>>) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    for socket in sockets {
        let rights = [socket];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fits = control.push(SendAncillaryMessage::ScmRights(&rights));
        if !fits || sendmsg(&near, &[IoSlice::new(SIGN)], &mut control, SendFlags::empty()).is_err() {
            break;
        }
    }
    Ok(far)
}

/// What the program before this one [packed](pack); nothing if standard input is anything else.
pub fn unpack() -> Vec<OwnedFd> {
    let stdin = io::stdin();
    if sockopt::socket_type(&stdin) != Ok(SocketType::SEQPACKET) {
        return Vec::new();
    }
    std::iter::from_fn(|| next(&stdin)).flatten().collect()
}

/// The descriptors in the next message, if there is one and it is ours.
fn next(far: impl AsFd) -> Option<Vec<OwnedFd>> {
    let mut sign = [0; SIGN.len()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(far, &mut [IoSliceMut::new(&mut sign)], &mut control, flags).ok()?;
    let ours = received.bytes == SIGN.len() && sign == *SIGN;
    let rights = |message| match message {
        RecvAncillaryMessage::ScmRights(rights) => Some(rights),
        _ => None,
    };
    ours.then(|| control.drain().filter_map(rights).flatten().collect())
}

/// What each message says.
const SIGN: &[u8; 4] = b"vipd";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::vrrp_socket::VrrpSocket;

    #[test]
    fn what_is_not_ours_ends_the_unpacking() {
        let flags = SocketFlags::NONBLOCK;
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        assert!(next(&far).is_none(), "nothing is there");
        for (said, ours) in [(&b"vipd"[..], true), (b"http", false), (b"vip", false)] {
            rustix::net::send(&near, said, SendFlags::empty()).unwrap();
            assert_eq!(next(&far).is_some(), ours, "{said:?}");
        }
        drop(near);
        assert!(next(&far).is_none(), "there is no more");
    }

    #[test]
    fn a_socket_that_speaks_no_vrrp_is_not_taken_for_one() {
        let (near, _far) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::empty(), None).unwrap();
        assert!(VrrpSocket::from_fd(near).is_err());
    }
}
