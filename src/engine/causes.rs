//! Reasons as one word each, for programs: to count transitions by, and to look for in a history.
//!
//! The words of RFC 6527 for a new master (`vrrpv3StatisticsNewMasterReason`) are the base: `priority`, `preempted`,
//! `master_no_response`, and `not_master` for who has not been one yet. The others are this agent's own. Apart from the
//! sentences, because these never change.

use super::notice::Reason;
use crate::codes::Code;
use crate::time::Duration;

impl Reason {
    /// The code of a FAULT for this reason.
    pub const fn code(&self) -> Code {
        match self {
            Self::Excluded { .. } => Code::Excluded,
            Self::InterfaceMissing { .. } => Code::InterfaceMissing,
            Self::InterfaceDown { .. } => Code::InterfaceDown,
            Self::NoSource { .. } | Self::SourceMissing { .. } => Code::NoSource,
            Self::NoSocket { .. } => Code::NoSocket,
            Self::GateStuck { .. } => Code::GateStuck,
            Self::NoVirtualLink { .. } => Code::NoVirtualLink,
            Self::CheckDown { .. } | Self::CheckUp { .. } | Self::CheckValue { .. } => Code::CheckFault,
            Self::AddressTaken { .. } => Code::AddressTaken,
            Self::LastResort { why } | Self::MemberFault { why, .. } | Self::Member { why, .. } => why.code(),
            Self::Starting
            | Self::Opening
            | Self::Listening
            | Self::Owner
            | Self::Adopted { .. }
            | Self::MasterSilent { .. }
            | Self::MasterResigned
            | Self::Preempted { .. }
            | Self::BetterMaster { .. }
            | Self::OtherMaster { .. }
            | Self::HandingOver
            | Self::SteppedDown
            | Self::NobodyTookOver
            | Self::Stalled
            | Self::Damped
            | Self::Stopping => Code::InFault,
        }
    }

    /// Which reason it is, without what it is about: what transitions are counted by.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Opening => "opening",
            Self::Listening => "not_master",
            Self::Owner => "priority",
            Self::Adopted { .. } => "adopted",
            Self::MasterSilent { .. } => "master_no_response",
            Self::MasterResigned => "master_resigned",
            Self::Preempted { .. } => "preempted",
            Self::BetterMaster { .. } => "better_master",
            Self::OtherMaster { .. } => "other_master",
            Self::HandingOver => "handing_over",
            Self::SteppedDown => "stepped_down",
            Self::NobodyTookOver => "nobody_took_over",
            Self::Stalled => "stalled",
            Self::Excluded { .. } => "excluded",
            Self::InterfaceMissing { .. } => "interface_missing",
            Self::InterfaceDown { .. } => "interface_down",
            Self::NoSource { .. } => "no_source",
            Self::SourceMissing { .. } => "source_missing",
            Self::NoSocket { .. } => "no_socket",
            Self::GateStuck { .. } => "gate_stuck",
            Self::LastResort { .. } => "last_resort",
            Self::Damped => "damped",
            Self::MemberFault { .. } => "member_fault",
            Self::Member { .. } => "member",
            Self::NoVirtualLink { .. } => "no_virtual_link",
            Self::CheckDown { .. } => "check_down",
            Self::CheckUp { .. } => "check_up",
            Self::CheckValue { .. } => "check_value",
            Self::AddressTaken { .. } => "address_taken",
            Self::Stopping => "stopping",
        }
    }

    /// For how long nobody was heard before it, if that is the reason.
    pub fn silence(&self) -> Option<Duration> {
        match self {
            Self::MasterSilent { after } => Some(*after),
            Self::Member { why, .. } => why.silence(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use alloc::string::String;

    #[test]
    fn the_words_of_rfc_6527_are_the_base() {
        let after = Duration::from_millis(361);
        let (address, priority) = ([192, 0, 2, 2].into(), crate::net::Priority::DEFAULT);
        let words = [
            Reason::Owner.kind(),
            Reason::Preempted { address, priority }.kind(),
            Reason::MasterSilent { after }.kind(),
            Reason::Listening.kind(),
        ];
        assert_eq!(words, ["priority", "preempted", "master_no_response", "not_master"]);
    }

    #[test]
    fn a_silence_that_a_fellow_heard_is_a_silence() {
        let why = Box::new(Reason::MasterSilent { after: Duration::from_millis(361) });
        let reason = Reason::Member { member: String::from("mail"), why };
        assert_eq!(reason.silence(), Some(Duration::from_millis(361)));
        assert_eq!(Reason::MasterResigned.silence(), None);
    }
}
