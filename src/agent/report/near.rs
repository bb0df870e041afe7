//! How close a virtual router came to taking over: part of the report.

use serde::{Deserialize, Serialize};

use crate::agent::stamp::Stamp;

/// The gaps between a master's adverts since the agent started, as shares of the time after which this node would have
/// taken over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NearMisses {
    /// From which share on a gap is a near miss.
    pub threshold_percent: u8,
    /// How many were.
    pub count: u64,
    /// How many gaps had which share.
    pub gaps: Vec<Gaps>,
    /// The shares of all of them together: 100 is one whole timer.
    pub total_percent: f64,
    /// The last near miss.
    pub last: Option<Gap>,
    /// The worst gap since the agent started.
    pub worst: Option<Gap>,
    /// The worst of the last hour.
    pub worst_hour: Option<Gap>,
    /// The worst of the last 24 hours.
    pub worst_day: Option<Gap>,
}

/// How many gaps had a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gaps {
    /// Less than this; none: all others.
    pub below_percent: Option<u8>,
    /// How many, those with a smaller share not among them.
    pub count: u64,
}

/// A gap between two adverts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// When it ended.
    pub time: Stamp,
    /// How long it was.
    pub gap_ms: f64,
    /// After how long this node would have taken over.
    pub timer_ms: f64,
    /// The one as a share of the other.
    pub percent: f64,
    /// What may have made it long, if it was: `own_lateness`, `lost_adverts` or `late_master`.
    pub cause: Option<String>,
    /// The same in words.
    pub hint: Option<String>,
}

/// Thousandths as a percentage.
#[expect(clippy::cast_precision_loss, reason = "no share is that large")]
pub fn percent(permille: u64) -> f64 {
    permille as f64 / 10.0
}
