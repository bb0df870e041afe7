//! How an agent ends: what it was asked, how far that has come, and what the end of the protocol thread means then.

use tokio::time::{Instant, sleep_until};

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it was asked to.
    Asked,
    /// As it was asked to, and everything is for another agent to go on with.
    HandedOn,
    /// The same, and this process is to become that agent.
    Upgrade,
    /// The protocol thread ended by itself.
    Unasked,
    /// The protocol thread was asked to end and does not.
    Stuck,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    NotYet,
    Asked(Instant),
    Forced(Instant),
    HandingOn(Instant),
    Upgrading(Instant),
}

impl End {
    /// Waits until patience with it is over.
    pub(super) async fn due(self) {
        match self {
            Self::NotYet => std::future::pending().await,
            Self::Asked(at) | Self::Forced(at) | Self::HandingOn(at) | Self::Upgrading(at) => {
                sleep_until(at).await;
            }
        }
    }

    /// What the end of the protocol thread means now.
    pub(super) fn ending(self) -> Ending {
        match self {
            Self::NotYet => Ending::Unasked,
            Self::Asked(_) | Self::Forced(_) => Ending::Asked,
            Self::HandingOn(_) => Ending::HandedOn,
            Self::Upgrading(_) => Ending::Upgrade,
        }
    }
}
