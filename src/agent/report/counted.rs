//! What the report counts and measures, of adverts, transitions, checks and the agent itself: what metrics are made of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Role, Stamp};

/// How often an instance went from one state to another for one kind of reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transitions {
    /// The state it left.
    pub from: Role,
    /// The state it went to.
    pub to: Role,
    /// The kind of the reason: `master_no_response`, `better_master`, `check_down`, ..
    pub reason_kind: String,
    /// How often.
    pub count: u64,
}

/// How late the turns of a loop began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lateness {
    /// How many turns there were.
    pub turns: u64,
    /// How late they were together.
    pub total_ms: f64,
    /// How many were late by so much at most; each counts those before it, too.
    pub up_to: Vec<LateTurns>,
}

/// The turns of a loop that were not later than that.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LateTurns {
    /// How late at most.
    pub late_ms: f64,
    /// How many.
    pub turns: u64,
}

/// When the configuration in force was read, and what came of the last reload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// When it was put in force.
    pub since: Option<Stamp>,
    /// Whether the last reload put one in force; none before the first.
    pub last_reload_ok: Option<bool>,
}

/// What a virtual router counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the engine's counters")]
pub struct Counters {
    pub adverts_sent: u64,
    pub adverts_received: u64,
    pub send_failures: u64,
    pub resignations_sent: u64,
    pub resignations_received: u64,
    pub pseudo_header_checksums: u64,
    pub message_checksums: u64,
    pub address_mismatches: u64,
    #[serde(default)]
    pub signed_adverts: u64,
    #[serde(default)]
    pub unsigned_adverts: u64,
    pub discarded: BTreeMap<String, u64>,
}

/// The runs of a check since it was configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Runs {
    /// How many had a good result.
    pub ok: u64,
    /// How many had a bad one.
    pub failed: u64,
    /// How long they took together.
    pub total_ms: f64,
}
