//! Two hosts and a cable: `va` here (192.0.2.1, `2001:db8::1`), `vb` in the namespace `peer` (192.0.2.2,
//! `2001:db8::2`).

use std::fs::File;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;
use std::time::Duration;

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::{Domain, Protocol, Socket, Type};
use vipd::engine::action::Place;
use vipd::net::LinkIndex;
use vipd::sys::clock;
use vipd::time::Instant;

/// How long anything may take that should happen at once.
pub(crate) const BOUND: Duration = Duration::from_secs(10);

/// Lays the cable, in namespaces that nobody else sees.
pub(crate) fn lay() {
    run("mount -t tmpfs tmpfs /run");
    run("mount -t sysfs sysfs /sys");
    run("ip netns add peer");
    run("ip link set lo up");
    run("ip link add va type veth peer name vb netns peer");
    // Link-local addresses that can be used at once.
    std::fs::write("/proc/sys/net/ipv6/conf/va/accept_dad", "0").unwrap();
    run("ip netns exec peer sysctl -qw net.ipv6.conf.vb.accept_dad=0");
    run("ip addr add 192.0.2.1/24 dev va");
    run("ip addr add 2001:db8::1/64 dev va nodad");
    run("ip link set va up");
    run("ip -n peer addr add 192.0.2.2/24 dev vb");
    run("ip -n peer addr add 2001:db8::2/64 dev vb nodad");
    run("ip -n peer link set vb up");
    until("both ends have a carrier", || {
        let up = |show| run(show).contains("LOWER_UP");
        up("ip link show va") && up("ip -n peer link show vb")
    });
}

/// Runs a command, which must succeed, and returns what it printed.
pub(crate) fn run(command: &str) -> String {
    let mut words = command.split(' ');
    let program = words.next().unwrap();
    let output = Command::new(program).args(words).output().unwrap_or_else(|e| panic!("{command}: {e}"));
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until something is true.
pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = clock::now() + BOUND;
    while !is() {
        assert!(clock::now() < deadline, "in vain: {what}");
        std::thread::park_timeout(Duration::from_micros(100));
    }
}

/// Waits until there is something.
pub(crate) fn wait_for<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    until(what, || {
        found = find();
        found.is_some()
    });
    found.unwrap()
}

/// Does something in the other host; sockets opened there stay there.
pub(crate) fn in_peer<T: Send>(what: impl FnOnce() -> T + Send) -> T {
    let there = || {
        let namespace = File::open("/run/netns/peer").unwrap();
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        what()
    };
    std::thread::scope(|scope| scope.spawn(there).join()).expect("no panic in the other host")
}

/// The number of a link on this host.
pub(crate) fn index(name: &str) -> LinkIndex {
    LinkIndex(if_nametoindex(name).unwrap())
}

/// An address on `va`.
pub(crate) fn place(net: &str) -> Place {
    Place { link: index("va"), net: net.parse().unwrap() }
}

/// The Ethernet address of a link on this host.
pub(crate) fn mac(name: &str) -> vipd::net::Mac {
    let text = std::fs::read_to_string(format!("/sys/class/net/{name}/address")).unwrap();
    let bytes: Vec<_> = text.trim().split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    vipd::net::Mac(bytes.try_into().unwrap())
}

/// Sees every frame that reaches the other host.
pub(crate) struct Sniffer(Socket);

/// A frame and when it was received.
pub(crate) struct Seen {
    /// The whole frame.
    pub(crate) frame: Vec<u8>,
    /// When the kernel received it.
    pub(crate) at: Instant,
}

impl Sniffer {
    /// Begins to listen.
    pub(crate) fn new() -> Self {
        let all = Protocol::from(i32::from(3u16.to_be()));
        let socket = in_peer(|| Socket::new(Domain::PACKET, Type::RAW, Some(all)).unwrap());
        setsockopt(&socket, sockopt::RcvBufForce, &(32 << 20)).unwrap();
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true).unwrap();
        socket.set_read_timeout(Some(BOUND)).unwrap();
        Self(socket)
    }

    /// The next frame that came in.
    pub(crate) fn next(&self) -> Seen {
        const OUTGOING: u8 = 4;
        loop {
            let mut frame = vec![0; 2048];
            let mut control = nix::cmsg_space!(TimeSpec);
            let mut io = [IoSliceMut::new(&mut frame)];
            let flags = MsgFlags::empty();
            let message =
                recvmsg::<LinkAddr>(self.0.as_raw_fd(), &mut io, Some(&mut control), flags).expect("a frame");
            let stamp = message.cmsgs().unwrap().find_map(|control| match control {
                ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
                _ => None,
            });
            let at = clock::Reading::take().received(stamp.expect("a stamp"), Instant::BOOT);
            let (length, from) = (message.bytes, message.address.unwrap());
            if from.pkttype() != OUTGOING {
                frame.truncate(length);
                return Seen { frame, at };
            }
        }
    }

    /// The next frame in which `find` finds something.
    pub(crate) fn find<T>(&self, find: impl Fn(&Seen) -> Option<T>) -> T {
        wait_for("the frame", || find(&self.next()))
    }
}
