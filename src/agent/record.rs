//! What history remembers of each thing that happened: the fields, and the sentence for the operator.
//!
//! Apart from the ring that keeps them, because the control tool reads records too.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tracing::Level;

use super::report::{Role, millis, percent};
use crate::engine::notice::{State, What};
use crate::notify::Happened;

/// One kind of event with its fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are the words of the sentences below")]
pub enum Record {
    /// The agent began its work.
    Started { version: String, pid: u32 },
    /// The agent began to end.
    Stopping,
    /// The agent ends and leaves everything to the next one.
    HandedOn,
    /// An instance changed its state.
    Transition {
        from: Role,
        to: Role,
        reason: String,
        /// The reason as one word.
        #[serde(default)]
        reason_kind: String,
        /// How long nobody was heard as master before it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        silence_ms: Option<f64>,
    },
    /// A sync group changed its state.
    GroupTransition {
        group: String,
        from: Role,
        to: Role,
        reason: String,
        #[serde(default)]
        reason_kind: String,
    },
    /// An instance is in FAULT still, but for another reason.
    StillFault { reason: String },
    /// An effective priority changed.
    Priority { from: u8, to: u8 },
    /// The file that a priority stands in holds none; the last good one counts.
    PriorityFile { why: String },
    /// A backup hears another master than before.
    Master { address: IpAddr, priority: u8 },
    /// Another router says that it is master, as we do.
    Rival { address: IpAddr, priority: u8 },
    /// Another host claims an address that we hold.
    ForeignClaim { address: IpAddr, mac: String },
    /// Datagrams are being discarded.
    Discarded { reason: String, source: Option<IpAddr> },
    /// Somebody removed one of our addresses.
    AddressLost { address: String },
    /// Somebody removed one of our addresses, which is not restored.
    AddressLeft { address: String },
    /// Somebody removed the link of a virtual router's own.
    VirtualLinkLost { name: String },
    /// Somebody else changed the Ethernet address of the link of a virtual router's own.
    VirtualLinkChanged { name: String },
    /// Somebody removed the route of one of our addresses.
    RouteLost { address: String },
    /// Somebody keeps removing one of our addresses.
    AddressFight { address: String },
    /// The kernel refused an address.
    AddressRefused { address: String, why: String },
    /// Somebody removed one of our routes or rules.
    PathLost { path: String },
    /// Somebody removed one of our routes or rules, which is not restored.
    PathLeft { path: String },
    /// Somebody keeps removing one of our routes or rules.
    PathFight { path: String },
    /// The kernel refused a route or rule.
    PathRefused { path: String, why: String },
    /// Adverts cannot be sent.
    SendFailed { why: String },
    /// Adverts can be sent again.
    SendRecovered,
    /// Changes in the kernel were missed.
    Overrun,
    /// The wall clock was set.
    ClockSet { by_ms: f64 },
    /// The agent's own loop was late.
    Stalled { late_ms: f64 },
    /// A check changed its verdict.
    Check { check: String, up: bool, why: String },
    /// A check read another value.
    Value { check: String, before: Option<i32>, value: i32 },
    /// A successor has the addresses.
    HandedOver { to: IpAddr, after_ms: f64 },
    /// An instance lost the role too often.
    Damped { hold_ms: f64 },
    /// A step-down found no successor.
    NobodyTookOver,
    /// A backup nearly took over.
    NearMiss {
        master: IpAddr,
        gap_ms: f64,
        timer_ms: f64,
        percent: f64,
        cause: Option<String>,
        hint: Option<String>,
    },
    /// A master's lease ran out.
    LeaseOver,
    /// What an earlier agent held is not adopted.
    NotAdopted { why: String },
    /// Somebody took the gate away.
    GateLost { why: String },
    /// A new configuration is in force.
    Reloaded { started: u32, stopped: u32, changed: u32 },
    /// A new configuration was refused.
    ReloadRefused { why: String },
    /// Another program was not given this one's place.
    UpgradeRefused { why: String },
    /// Somebody asked for a change.
    Asked { what: String, by: Peer },
    /// Somebody tries failover on purpose, or has done so.
    Drill { what: String, by: Peer },
    /// The time of a drain is over.
    DrainOver,
    /// A notifier could not be told.
    NotifyFailed { notifier: String, state: String, why: String },
    /// A notifier can be told again.
    NotifyRecovered { notifier: String },
    /// Too much waits for a notifier; what is older goes.
    NotifyDropped { notifier: String },
    /// The reader of a FIFO has ended.
    ReaderEnded { notifier: String, why: String },
    /// Events were lost before they could be recorded.
    Lost { count: u64 },
    /// Threads do not turn; the watchdog is not fed.
    Stuck { threads: Vec<String> },
}

/// Who asked, as the kernel knows the other end of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The user.
    pub uid: u32,
    /// The process, if it could be known.
    pub pid: Option<i32>,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}", self.uid)?;
        self.pid.map_or(Ok(()), |pid| write!(f, ", pid {pid}"))
    }
}

impl From<What> for Record {
    fn from(what: What) -> Self {
        match what {
            What::Transition { from, to, reason, priority: _ } => {
                let (reason_kind, silence_ms) = (reason.kind().to_owned(), reason.silence().map(millis));
                let (from, to, reason) = (from.into(), to.into(), reason.to_string());
                Self::Transition { from, to, reason, reason_kind, silence_ms }
            }
            What::GroupTransition { group, from, to, reason } => {
                let reason_kind = reason.kind().to_owned();
                let (from, to, reason) = (from.into(), to.into(), reason.to_string());
                Self::GroupTransition { group, from, to, reason, reason_kind }
            }
            What::StillFault { reason } => Self::StillFault { reason: reason.to_string() },
            What::Priority { from, to } => Self::Priority { from: from.get(), to: to.get() },
            What::Master { family: _, address, priority } => {
                Self::Master { address, priority: priority.get() }
            }
            What::Rival { family: _, address, priority } => Self::Rival { address, priority: priority.get() },
            What::ForeignClaim { address, mac } => Self::ForeignClaim { address, mac: mac.to_string() },
            What::Discarded { reason, source } => {
                Self::Discarded { reason: reason.as_str().to_owned(), source }
            }
            What::AddressLost { net } => Self::AddressLost { address: net.to_string() },
            What::AddressLeft { net } => Self::AddressLeft { address: net.to_string() },
            What::VirtualLinkLost { name } => Self::VirtualLinkLost { name: name.clone() },
            What::VirtualLinkChanged { name } => Self::VirtualLinkChanged { name: name.clone() },
            What::RouteLost { net } => Self::RouteLost { address: net.to_string() },
            What::AddressFight { net } => Self::AddressFight { address: net.to_string() },
            What::AddressRefused { net, why } => Self::AddressRefused { address: net.to_string(), why },
            What::PathLost { path } => Self::PathLost { path },
            What::PathLeft { path } => Self::PathLeft { path },
            What::PathFight { path } => Self::PathFight { path },
            What::PathRefused { path, why } => Self::PathRefused { path, why },
            What::SendFailed { why } => Self::SendFailed { why },
            What::SendRecovered => Self::SendRecovered,
            What::Overrun => Self::Overrun,
            What::ClockSet { forward: true, by } => Self::ClockSet { by_ms: millis(by) },
            What::ClockSet { forward: false, by } => Self::ClockSet { by_ms: -millis(by) },
            What::Stalled { late } => Self::Stalled { late_ms: millis(late) },
            What::Check { check, up, why } => Self::Check { check, up, why },
            What::Value { check, before, value } => Self::Value { check, before, value },
            What::HandedOver { to, after } => Self::HandedOver { to, after_ms: millis(after) },
            What::Damped { hold } => Self::Damped { hold_ms: millis(hold) },
            What::NobodyTookOver => Self::NobodyTookOver,
            What::NearMiss { master, gap } => Self::NearMiss {
                master,
                gap_ms: millis(gap.length),
                timer_ms: millis(gap.timer),
                percent: percent(gap.permille()),
                cause: gap.cause.map(|cause| cause.as_str().to_owned()),
                hint: gap.cause.map(|cause| cause.to_string()),
            },
            What::LeaseOver => Self::LeaseOver,
            What::NotAdopted { why } => Self::NotAdopted { why: why.to_owned() },
            What::GateLost { why } => Self::GateLost { why },
            What::Reloaded { started, stopped, changed } => Self::Reloaded { started, stopped, changed },
        }
    }
}

impl From<crate::notify::Report> for Record {
    fn from(report: crate::notify::Report) -> Self {
        let notifier = report.outlet;
        match report.what {
            Happened::Failed { state, why } => {
                Self::NotifyFailed { notifier, state: state.as_str().to_owned(), why }
            }
            Happened::Recovered => Self::NotifyRecovered { notifier },
            Happened::Dropped => Self::NotifyDropped { notifier },
            Happened::ReaderEnded { why } => Self::ReaderEnded { notifier, why },
        }
    }
}

impl Record {
    /// How loud the log says it: WARN only if someone should look.
    pub fn level(&self) -> Level {
        match self {
            Self::Started { .. }
            | Self::Stopping
            | Self::HandedOn
            | Self::Transition { .. }
            | Self::GroupTransition { .. }
            | Self::Priority { .. }
            | Self::Master { .. }
            | Self::Rival { priority: 0, .. }
            | Self::SendRecovered
            | Self::NotifyRecovered { .. }
            | Self::Overrun
            | Self::ClockSet { .. }
            | Self::HandedOver { .. }
            | Self::NotAdopted { .. }
            | Self::Check { up: true, .. }
            | Self::Value { .. }
            | Self::Reloaded { .. }
            | Self::DrainOver
            | Self::Drill { .. }
            | Self::Asked { .. } => match self {
                Self::Transition { to: Role::Fault, .. } | Self::GroupTransition { to: Role::Fault, .. } => {
                    Level::WARN
                }
                _ => Level::INFO,
            },
            Self::StillFault { .. }
            | Self::PriorityFile { .. }
            | Self::Rival { .. }
            | Self::ForeignClaim { .. }
            | Self::Discarded { .. }
            | Self::AddressLost { .. }
            | Self::AddressLeft { .. }
            | Self::VirtualLinkLost { .. }
            | Self::VirtualLinkChanged { .. }
            | Self::RouteLost { .. }
            | Self::AddressFight { .. }
            | Self::AddressRefused { .. }
            | Self::PathLost { .. }
            | Self::PathLeft { .. }
            | Self::PathFight { .. }
            | Self::PathRefused { .. }
            | Self::SendFailed { .. }
            | Self::Stalled { .. }
            | Self::Check { up: false, .. }
            | Self::NobodyTookOver
            | Self::Damped { .. }
            | Self::NearMiss { .. }
            | Self::LeaseOver
            | Self::GateLost { .. }
            | Self::ReloadRefused { .. }
            | Self::UpgradeRefused { .. }
            | Self::NotifyFailed { .. }
            | Self::NotifyDropped { .. }
            | Self::ReaderEnded { .. }
            | Self::Lost { .. } => Level::WARN,
            Self::Stuck { .. } => Level::ERROR,
        }
    }
}

impl Record {
    /// Whether a history without it would be wrong, and not only poorer.
    pub const fn is_milestone(&self) -> bool {
        matches!(
            self,
            Self::Started { .. }
                | Self::Stopping
                | Self::HandedOn
                | Self::Transition { .. }
                | Self::GroupTransition { .. }
                | Self::HandedOver { .. }
                | Self::Reloaded { .. }
                | Self::Asked { .. }
                | Self::Drill { .. }
                | Self::DrainOver
        )
    }

    /// Whether it tells a state that holds until the next such record, so that leaving it out would be a lie.
    pub const fn is_change(&self) -> bool {
        matches!(
            self,
            Self::Transition { .. }
                | Self::GroupTransition { .. }
                | Self::Priority { .. }
                | Self::Check { .. }
                | Self::Value { .. }
                | Self::DrainOver
                | Self::Asked { .. }
                | Self::Drill { .. }
        )
    }
}

impl Record {
    /// The sentence about an address, a route or a rule that is held, if it is about one.
    fn of_what_is_held(&self) -> Option<String> {
        Some(match self {
            Self::AddressLost { address } => format!("somebody removed {address}; it goes back"),
            Self::VirtualLinkLost { name } => format!("somebody removed {name}; it is made again"),
            Self::VirtualLinkChanged { name } => {
                format!("somebody gave {name} another Ethernet address; it gets its own again")
            }
            Self::AddressLeft { address } => {
                format!("somebody removed {address}; it stays away, for it is not to be restored")
            }
            Self::RouteLost { address } => {
                format!(
                    "somebody removed the local route of {address}, which answered nobody; it is put back anew"
                )
            }
            Self::AddressFight { address } => {
                format!(
                    "somebody keeps removing {address} or its local route; it goes back more slowly from now on"
                )
            }
            Self::AddressRefused { address, why } => format!("the kernel refused {address}: {why}"),
            Self::PathLost { path } => format!("somebody removed the {path}; it goes back"),
            Self::PathLeft { path } => {
                format!("somebody removed the {path}; it stays away, for it is not to be restored")
            }
            Self::PathFight { path } => {
                format!("somebody keeps removing the {path}; it goes back more slowly from now on")
            }
            Self::PathRefused { path, why } => format!("the kernel refused the {path}: {why}"),
            _ => return None,
        })
    }
}

impl fmt::Display for Record {
    #[expect(clippy::too_many_lines, reason = "a sentence for each kind of event, and nothing else")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { version, pid } => write!(f, "vipd {version} started, pid {pid}"),
            Self::Stopping => f.write_str("the agent is stopping"),
            Self::HandedOn => f.write_str("the agent ends and leaves everything to the next one"),
            Self::Transition { from, to, reason, .. } => {
                write!(f, "{} -> {}: {reason}", State::from(*from), State::from(*to))
            }
            Self::GroupTransition { group, from, to, reason, .. } => {
                write!(f, "group {group} {} -> {}: {reason}", State::from(*from), State::from(*to))
            }
            Self::StillFault { reason } => write!(f, "still FAULT: {reason}"),
            Self::Priority { from, to } => write!(f, "priority {from} -> {to}"),
            Self::PriorityFile { why } => write!(f, "{why}; the priority stays"),
            Self::Master { address, priority } => write!(f, "{address} is master, priority {priority}"),
            Self::Rival { address, priority: 0 } => write!(f, "{address} was master too and has resigned"),
            Self::Rival { address, priority } => {
                write!(f, "{address} says that it is master too, priority {priority}")
            }
            Self::ForeignClaim { address, mac } => write!(f, "{mac} claims {address}, which is held here"),
            Self::Discarded { reason, source: Some(source) } => {
                write!(f, "adverts from {source} are discarded: {reason}")
            }
            Self::Discarded { reason, source: None } => write!(f, "adverts are discarded: {reason}"),
            Self::AddressLost { .. }
            | Self::AddressLeft { .. }
            | Self::RouteLost { .. }
            | Self::AddressFight { .. }
            | Self::AddressRefused { .. }
            | Self::VirtualLinkLost { .. }
            | Self::VirtualLinkChanged { .. }
            | Self::PathLost { .. }
            | Self::PathLeft { .. }
            | Self::PathFight { .. }
            | Self::PathRefused { .. } => f.write_str(&self.of_what_is_held().unwrap_or_default()),
            Self::SendFailed { why } => write!(f, "adverts cannot be sent: {why}"),
            Self::SendRecovered => f.write_str("adverts can be sent again"),
            Self::Overrun => f.write_str(
                "the kernel reported more changes than were read in time; all links and addresses are read anew",
            ),
            Self::ClockSet { by_ms } => clock_set(f, *by_ms),
            Self::Stalled { late_ms } => write!(f, "the agent was stalled: {late_ms:.1} ms late"),
            Self::Check { check, up: true, why } => write!(f, "check {check} is up: {why}"),
            Self::Check { check, up: false, why } => write!(f, "check {check} is down: {why}"),
            Self::Value { check, before: Some(before), value } => {
                write!(f, "the value of check {check} changes from {before} to {value}")
            }
            Self::Value { check, before: None, value } => write!(f, "the value of check {check} is {value}"),
            Self::HandedOver { to, after_ms } => write!(f, "{to} took over after {after_ms:.1} ms"),
            Self::Damped { hold_ms } => {
                write!(f, "lost too often: for {:.0} s it is master only if nobody else is", hold_ms / 1000.0)
            }
            Self::NobodyTookOver => f.write_str("nobody took over; still master"),
            Self::NearMiss { master, gap_ms, timer_ms, percent, hint, .. } => {
                write!(
                    f,
                    "nearly took over: {master} was silent for {gap_ms:.0} ms of {timer_ms:.0} ms ({percent:.0} %)"
                )?;
                hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
            }
            Self::LeaseOver => f.write_str(
                "its lease is over, because adverts came too late or somebody took it away: \
                 it answers nobody until it has listened again",
            ),
            Self::NotAdopted { why } => {
                write!(f, "what an agent before this one held is not adopted: {why}")
            }
            Self::GateLost { why } => write!(f, "{why}; it is made again"),
            Self::Reloaded { started, stopped, changed } => write!(
                f,
                "new configuration: {started} instances started, {stopped} stopped, {changed} changed in place"
            ),
            Self::ReloadRefused { why } => write!(f, "new configuration refused, the old one stays: {why}"),
            Self::UpgradeRefused { why } => write!(f, "upgrade refused, this program goes on: {why}"),
            Self::Drill { what, by } => write!(f, "drill: {what}, by {by}"),
            Self::Asked { what, by } => write!(f, "{what} asked for by {by}"),
            Self::DrainOver => f.write_str("its drain is over; resumed"),
            Self::NotifyFailed { notifier, state, why } => {
                write!(f, "{notifier} was not told {state}: {why}")
            }
            Self::NotifyRecovered { notifier } => write!(f, "{notifier} is told again"),
            Self::NotifyDropped { notifier } => write!(f, "too much waits for {notifier}; old news go"),
            Self::ReaderEnded { notifier, why } => write!(f, "{notifier} has ended and is started again: {why}"),
            Self::Lost { count } => write!(f, "{count} events were lost"),
            Self::Stuck { threads } => {
                write!(f, "not turning: {}; the watchdog is not fed", threads.join(", "))
            }
        }
    }
}

fn clock_set(f: &mut fmt::Formatter<'_>, by_ms: f64) -> fmt::Result {
    let side = if by_ms < 0.0 { "back" } else { "forward" };
    write!(f, "the wall clock was set {side} by {:.1} s; signatures go by it", by_ms.abs() / 1000.0)
}
