//! A capture on a host's interface, with the kernel's own time stamps.

use std::fs::File;
use std::io::{IoSliceMut, Write};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::cmsg_space;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use pnet::util::MacAddr;
use socket2::{Domain, Protocol, Socket, Type};

use crate::clock;
use crate::frame::{Advert, Frame};
use crate::network::Host;
use crate::wait;
use crate::worker::Worker;

/// A running capture of what arrives at a host.
#[derive(Debug)]
pub struct Sniffer {
    frames: Arc<Mutex<Vec<Frame>>>,
    _worker: Worker,
}

/// A packet socket that takes copies of all frames, each with the kernel's receive stamp.
#[derive(Debug)]
pub struct Tap {
    socket: Socket,
    /// The only interface that is listened at; 0: all.
    interface: usize,
}

/// `ETH_P_ALL`.
const EVERYTHING: u16 = 3;
/// `PACKET_OUTGOING`: our own frame on its way out.
const OUTGOING: u8 = 4;

impl Tap {
    /// Listens to what arrives at `host`.
    pub fn on(host: &Host) -> Self {
        Self { socket: host.inside(open), interface: 0 }
    }

    /// Listens to what `host` sends, at its port of the switch: what the switch then drops included, and stamped
    /// when the host lets go of it.
    pub fn at_port(host: &Host) -> Self {
        host.beside_the_switch(|| {
            let index = if_nametoindex(host.name()).expect("the host has a port");
            Self { socket: open(), interface: usize::try_from(index).expect("an index fits") }
        })
    }

    /// Takes all that has come.
    pub fn drain(&self, mut each: impl FnMut(u64, &[u8])) {
        let mut buffer = [0; 2048];
        let mut space = cmsg_space!(TimeSpec);
        loop {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
            let Ok(message) = recvmsg::<LinkAddr>(fd, &mut parts, Some(&mut space), flags) else {
                return;
            };
            let wanted = |from: LinkAddr| {
                from.pkttype() != OUTGOING && (self.interface == 0 || from.ifindex() == self.interface)
            };
            if !message.address.is_some_and(wanted) {
                continue;
            }
            let mut controls = message.cmsgs().into_iter().flatten();
            let stamp = controls.find_map(|control| match control {
                ControlMessageOwned::ScmTimestampns(stamp) => Some(clock::nanos(&stamp)),
                _ => None,
            });
            let length = message.bytes.min(2048);
            if let Some(stamp) = stamp {
                each(stamp, &buffer[..length]);
            }
        }
    }
}

/// A packet socket in the network of the calling thread.
fn open() -> Socket {
    let protocol = Protocol::from(i32::from(EVERYTHING.to_be()));
    let socket =
        Socket::new(Domain::PACKET, Type::RAW.cloexec(), Some(protocol)).expect("open a packet socket");
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true).expect("ask for time stamps");
    if setsockopt(&socket, sockopt::RcvBufForce, &(32 << 20)).is_err() {
        setsockopt(&socket, sockopt::RcvBuf, &(4 << 20)).expect("enlarge the receive buffer");
    }
    socket
}

impl Sniffer {
    /// Starts capturing what arrives at `host`. Sniff on a receiver's side: the sender does not know what the
    /// switch drops.
    pub fn on(host: &Host) -> Self {
        let tap = Tap::on(host);
        let frames = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&frames);
        let worker = Worker::repeat("sniffer", move || {
            // Looks now and then instead of being woken: waking costs the sender's processor, and the frames have
            // their stamps.
            wait::observe(Duration::from_millis(2));
            tap.drain(|at, bytes| {
                if let Some(frame) = Frame::read(at, bytes) {
                    into.lock().unwrap_or_else(PoisonError::into_inner).push(frame);
                }
            });
        });
        Self { frames, _worker: worker }
    }

    /// What was captured so far.
    pub fn frames(&self) -> Vec<Frame> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at what was captured so far without copying it.
    pub fn look<T>(&self, at: impl FnOnce(&[Frame]) -> T) -> T {
        at(&self.frames.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets what was captured so far.
    pub fn clear(&self) {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The adverts from `source`, oldest first, with the time of each.
    pub fn adverts(&self, source: IpAddr) -> Vec<(u64, Advert)> {
        self.look(|frames| {
            let adverts = frames.iter().filter_map(|frame| Some((frame.at, frame.advert()?)));
            adverts
                .filter(|(_, advert)| advert.source == source)
                .map(|(at, advert)| (at, advert.clone()))
                .collect()
        })
    }

    /// When the last advert from `source` arrived.
    pub fn last_advert(&self, source: IpAddr) -> Option<u64> {
        self.look(|frames| {
            let from = |frame: &&Frame| frame.advert().is_some_and(|advert| advert.source == source);
            frames.iter().rev().find(from).map(|frame| frame.at)
        })
    }

    /// Waits for an advert that `wanted` accepts, arrived after `after`.
    pub fn wait_advert(
        &self,
        what: &str,
        bound: Duration,
        after: u64,
        wanted: impl Fn(&Advert) -> bool,
    ) -> (u64, Advert) {
        wait::until(what, bound, || {
            self.look(|frames| {
                let adverts =
                    frames.iter().filter(|f| f.at > after).filter_map(|f| Some((f.at, f.advert()?)));
                adverts.filter(|(_, advert)| wanted(advert)).map(|(at, advert)| (at, advert.clone())).next()
            })
        })
    }

    /// When each address was first announced by `mac` after `after` (gratuitous ARP, unsolicited NA), in the
    /// order of announcement.
    pub fn announcements(&self, mac: MacAddr, after: u64) -> Vec<(u64, IpAddr)> {
        self.look(|frames| {
            let mut seen = std::collections::BTreeSet::new();
            let announced = frames.iter().filter(|frame| frame.at > after);
            let announced = announced.filter_map(|frame| Some((frame.at, frame.announced()?)));
            let ours = announced.filter(|(_, (_, at))| *at == mac).map(|(at, (address, _))| (at, address));
            ours.filter(|(_, address)| seen.insert(*address)).collect()
        })
    }

    /// Writes the VRRP adverts into a capture file for other tools.
    pub fn write_adverts(&self, file: &Path) {
        let mut out = Vec::new();
        // The classic pcap header, with nanosecond stamps, version 2.4, Ethernet.
        for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 65_535, 1] {
            out.extend(word.to_le_bytes());
        }
        self.look(|frames| {
            for frame in frames.iter().filter(|frame| frame.advert().is_some()) {
                let length = u32::try_from(frame.bytes.len()).expect("a frame is short");
                let (seconds, nanos) = (frame.at / 1_000_000_000, frame.at % 1_000_000_000);
                let stamp = [seconds, nanos].map(|part| u32::try_from(part).expect("this is before 2106"));
                for word in [stamp[0], stamp[1], length, length] {
                    out.extend(word.to_le_bytes());
                }
                out.extend(&frame.bytes);
            }
        });
        File::create(file).and_then(|mut f| f.write_all(&out)).expect("write the capture file");
    }
}
