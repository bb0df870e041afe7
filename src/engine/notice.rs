//! What the operator's side is told: transitions with their reason, surprises, and what was done about them.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::net::IpAddr;

use super::action::InstanceId;
pub use super::discard::Discard;
use super::near::Gap;
use crate::net::{Family, IpNet, Mac, Priority};
use crate::time::{Duration, Instant};

/// One thing worth recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When it happened.
    pub at: Instant,
    /// The instance it concerns; none for the agent as a whole.
    pub about: Option<(InstanceId, String)>,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// An instance changed its state.
    Transition {
        /// The state it left.
        from: State,
        /// The state it is in.
        to: State,
        /// Why.
        reason: Reason,
        /// The priority it bids with.
        priority: Priority,
    },
    /// A sync group changed its state, and every member did.
    GroupTransition {
        /// Its name.
        group: String,
        /// The state it left.
        from: State,
        /// The state it is in.
        to: State,
        /// Why, as the member says that the reason is about.
        reason: Reason,
    },
    /// An instance is in FAULT still, but for another reason.
    StillFault {
        /// Why now.
        reason: Reason,
    },
    /// The effective priority changed.
    Priority {
        /// What it was.
        from: Priority,
        /// What it is.
        to: Priority,
    },
    /// A backup hears another master than before.
    Master {
        /// The virtual router's family.
        family: Family,
        /// The new master.
        address: IpAddr,
        /// Its priority.
        priority: Priority,
    },
    /// While we were master, another router said that it was one too.
    Rival {
        /// The virtual router's family.
        family: Family,
        /// Who.
        address: IpAddr,
        /// Its priority; 0 says that it has just resigned.
        priority: Priority,
    },
    /// Another host claims one of our addresses by ARP or ND while we hold it.
    ForeignClaim {
        /// The address.
        address: IpAddr,
        /// The Ethernet address that claims it.
        mac: Mac,
    },
    /// A datagram was discarded; told for the first of each reason in a while, the rest is counted.
    Discarded {
        /// Why.
        reason: Discard,
        /// Who sent it, if that could be read.
        source: Option<IpAddr>,
    },
    /// Somebody else removed an address of ours; it goes back.
    AddressLost {
        /// The address.
        net: IpNet,
    },
    /// Somebody else removed an address of ours, which is configured to stay away then.
    AddressLeft {
        /// The address.
        net: IpNet,
    },
    /// Somebody else removed the link of a virtual router's own; it is made again.
    VirtualLinkLost {
        /// What it was called.
        name: String,
    },
    /// Somebody else gave the link of a virtual router's own another Ethernet address; it gets its own again.
    VirtualLinkChanged {
        /// What it is called.
        name: String,
    },
    /// Somebody else removed the local route of an address of ours; both go and come back.
    RouteLost {
        /// The address.
        net: IpNet,
    },
    /// Somebody else keeps removing an address; it goes back more slowly from now on.
    AddressFight {
        /// The address.
        net: IpNet,
    },
    /// The kernel refused an address.
    AddressRefused {
        /// The address.
        net: IpNet,
        /// What it said.
        why: String,
    },
    /// Somebody else removed a route or rule of ours; it goes back.
    PathLost {
        /// It, in words.
        path: String,
    },
    /// Somebody else removed a route or rule of ours, which is configured to stay away then.
    PathLeft {
        /// It, in words.
        path: String,
    },
    /// Somebody else keeps removing a route or rule; it goes back more slowly from now on.
    PathFight {
        /// It, in words.
        path: String,
    },
    /// The kernel refused a route or rule.
    PathRefused {
        /// It, in words.
        path: String,
        /// What it said.
        why: String,
    },
    /// An advert could not be sent; told for the first in a row.
    SendFailed {
        /// What the kernel said.
        why: String,
    },
    /// Adverts can be sent again.
    SendRecovered,
    /// The kernel reported more changes than were read in time; everything is looked at anew.
    Overrun,
    /// The wall clock was set, by which adverts are signed.
    ClockSet {
        /// Whether it was set forward.
        forward: bool,
        /// By how much.
        by: Duration,
    },
    /// The agent's own loop was late.
    Stalled {
        /// By how much.
        late: Duration,
    },
    /// A check changed its verdict.
    Check {
        /// Its name.
        check: String,
        /// Whether it is up.
        up: bool,
        /// What it saw.
        why: String,
    },
    /// A check read another value.
    Value {
        /// Its name.
        check: String,
        /// The value before, if there was one.
        before: Option<i32>,
        /// The value.
        value: i32,
    },
    /// A successor has the addresses that were handed over.
    HandedOver {
        /// Who.
        to: IpAddr,
        /// How long after the resignation its first advert was heard.
        after: Duration,
    },
    /// An instance has lost the role too often: for a while it takes it only if nobody else does.
    Damped {
        /// For how long.
        hold: Duration,
    },
    /// A step-down found nobody who takes over; the instance stays master.
    NobodyTookOver,
    /// A backup nearly took over; told for the first in a while, the rest is counted.
    NearMiss {
        /// The master whose advert came late.
        master: IpAddr,
        /// How late.
        gap: Gap,
    },
    /// The advert came too late: the lease of a master ran out.
    LeaseOver,
    /// What an earlier agent held as master is not adopted.
    NotAdopted {
        /// Why.
        why: &'static str,
    },
    /// Somebody else took the gate away that keeps addresses from answering; it is made again.
    GateLost {
        /// What is missing.
        why: String,
    },
    /// A new configuration is in force.
    Reloaded {
        /// Instances that are new or had to start again.
        started: u32,
        /// Instances that are gone.
        stopped: u32,
        /// Instances changed in place.
        changed: u32,
    },
}

/// The state of an instance: MASTER only if all its virtual routers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Not started yet.
    Init,
    /// Another holds the addresses, or nobody does yet.
    Backup,
    /// Holds the addresses.
    Master,
    /// Cannot hold the addresses.
    Fault,
}

impl State {
    /// `init`, `backup`, `master` or `fault`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Backup => "backup",
            Self::Master => "master",
            Self::Fault => "fault",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Init => "INIT",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
            Self::Fault => "FAULT",
        })
    }
}

/// Why an instance is in its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The agent has just started.
    Starting,
    /// The sockets on the interface are being opened.
    Opening,
    /// Listening for a master for one `Master_Down_Interval`.
    Listening,
    /// The priority is 255.
    Owner,
    /// An earlier agent on this host was master, and its lease has not run out.
    Adopted {
        /// What was left of it.
        left: Duration,
    },
    /// No master was heard for `Master_Down_Interval`.
    MasterSilent {
        /// The interval that passed.
        after: Duration,
    },
    /// The master resigned with priority 0.
    MasterResigned,
    /// The master has a lower priority, and preempting is on.
    Preempted {
        /// The master that is replaced.
        address: IpAddr,
        /// Its priority.
        priority: Priority,
    },
    /// A master with a higher priority, or the same and a greater address, is there.
    BetterMaster {
        /// Who.
        address: IpAddr,
        /// Its priority.
        priority: Priority,
    },
    /// A master is there and preempting it is not for us.
    OtherMaster {
        /// Who.
        address: IpAddr,
        /// Its priority.
        priority: Priority,
    },
    /// Resigned, and still serving until the successor is heard.
    HandingOver,
    /// The operator asked for it with `step-down`.
    SteppedDown,
    /// Resigned, but nobody took over.
    NobodyTookOver,
    /// The agent slept past its own deadlines and listens again before it answers.
    Stalled,
    /// Another agent runs on this host.
    Excluded {
        /// In a sentence.
        why: String,
    },
    /// The interface does not exist.
    InterfaceMissing {
        /// Its name.
        interface: String,
    },
    /// The interface is down or has no carrier.
    InterfaceDown {
        /// Its name.
        interface: String,
    },
    /// The interface has no address to send adverts from.
    NoSource {
        /// Its name.
        interface: String,
        /// The family that lacks one.
        family: Family,
    },
    /// The configured source is no address of this host.
    SourceMissing {
        /// It.
        source: IpAddr,
    },
    /// The protocol socket is not there.
    NoSocket {
        /// What the kernel said, or that it is still being opened.
        why: String,
    },
    /// As a master it served nobody, for nftables did not answer; it stays out for a while.
    GateStuck {
        /// How long it was waited for.
        after: Duration,
    },
    /// A check is down, but it is better than nobody.
    LastResort {
        /// What would be in its way.
        why: Box<Reason>,
    },
    /// It lost the role too often, and takes it only if nobody else does.
    Damped,
    /// Another member of its sync group cannot be master.
    MemberFault {
        /// Which.
        member: String,
        /// Why that one cannot.
        why: Box<Reason>,
    },
    /// Another member of its sync group is not ready, or hears another master.
    Member {
        /// Which.
        member: String,
        /// Why that one is where it is.
        why: Box<Reason>,
    },
    /// The link of the virtual router's own cannot be had.
    NoVirtualLink {
        /// What the kernel said, or what is missing.
        why: String,
    },
    /// A check tracked with `fault` is down.
    CheckDown {
        /// Its name.
        check: String,
    },
    /// A check tracked with a reversed `fault` is up.
    CheckUp {
        /// Its name.
        check: String,
    },
    /// The value of a check means FAULT.
    CheckValue {
        /// Its name.
        check: String,
        /// The value.
        value: i32,
    },
    /// The operator's configuration gives this address to the interface itself.
    AddressTaken {
        /// The address.
        net: IpNet,
    },
    /// The agent is ending.
    Stopping,
}

impl Reason {
    /// Whether it is no fault: it passes by itself.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Member { why, .. } => why.is_passing(),
            reason => matches!(reason, Self::Starting | Self::Opening | Self::Stopping),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("the agent has just started"),
            Self::Opening => f.write_str("opening sockets on the interface"),
            Self::Listening => f.write_str("listening for a master"),
            Self::Owner => f.write_str("address owner (priority 255)"),
            Self::Adopted { left } => {
                write!(f, "adopted from an agent before this one, with {} of its lease left", Millis(*left))
            }
            Self::MasterSilent { after } => write!(f, "no master heard for {}", Millis(*after)),
            Self::MasterResigned => f.write_str("the master resigned"),
            Self::Preempted { address, priority } => {
                write!(f, "replaced {address}, whose priority {priority} is lower")
            }
            Self::BetterMaster { address, priority } => {
                write!(f, "{address} has the better claim, priority {priority}")
            }
            Self::OtherMaster { address, priority } => write!(f, "{address} is master, priority {priority}"),
            Self::HandingOver => f.write_str("handing over: serving until the successor is heard"),
            Self::SteppedDown => f.write_str("stepped down by the operator"),
            Self::NobodyTookOver => f.write_str("nobody took over when it resigned"),
            Self::Stalled => f.write_str("the agent was stalled and listens before it answers again"),
            Self::InterfaceMissing { interface } => write!(f, "waiting for interface {interface} to appear"),
            Self::InterfaceDown { interface } => write!(f, "interface {interface} is down or has no carrier"),
            Self::NoSource { interface, family: Family::Ipv4 } => {
                write!(f, "{interface} has no IPv4 address of its own to send from")
            }
            Self::NoSource { interface, family: Family::Ipv6 } => {
                write!(f, "{interface} has no usable IPv6 address to send from")
            }
            Self::SourceMissing { source } => {
                write!(f, "{source}, the source of its adverts, is on no interface of this host")
            }
            Self::Excluded { why } | Self::NoSocket { why } | Self::NoVirtualLink { why } => f.write_str(why),
            Self::GateStuck { after } => {
                write!(f, "as master it answered nobody: nftables took longer than {}", Millis(*after))
            }
            Self::LastResort { why } => write!(f, "{why}, so it is master only as a last resort"),
            Self::Damped => {
                f.write_str("it lost the role too often, so for a while it is master only if nobody else is")
            }
            Self::MemberFault { member, why } => write!(f, "member {member} is in fault: {why}"),
            Self::Member { member, why } => write!(f, "member {member}: {why}"),
            Self::CheckDown { check } => write!(f, "check {check} is down"),
            Self::CheckUp { check } => write!(f, "check {check} is up"),
            Self::CheckValue { check, value } => write!(f, "the value of check {check} is {value}"),
            Self::AddressTaken { net } => {
                write!(f, "{net} is on the interface already and is not ours; remove one of the two")
            }
            Self::Stopping => f.write_str("the agent is stopping"),
        }
    }
}

/// A duration as operators read it: milliseconds below ten seconds, seconds above.
#[derive(Clone, Copy, Debug)]
pub struct Millis(pub Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            ms @ 0..10_000 => write!(f, "{ms} ms"),
            ms => write!(f, "{} s", ms / 1000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn reasons_read_as_sentences() {
        let reason = Reason::MasterSilent { after: Duration::from_millis(3609) };
        assert_eq!(reason.to_string(), "no master heard for 3609 ms");
        assert_eq!(Millis(Duration::from_secs(61)).to_string(), "61 s");
        // These are a master's and a backup's alike.
        let resort = Reason::LastResort { why: Box::new(Reason::CheckDown { check: String::from("nginx") }) };
        assert_eq!(resort.to_string(), "check nginx is down, so it is master only as a last resort");
        let damped = "it lost the role too often, so for a while it is master only if nobody else is";
        assert_eq!(Reason::Damped.to_string(), damped);
    }
}
