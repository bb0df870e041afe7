//! What the agent's own sandbox is too narrow for is done by another process: to run scripts, and to look at other
//! users' processes.
//!
//! To become another user a process needs a right that would let the agent become anybody, so somebody else has to start
//! the scripts. That is the runner, which systemd starts as `vipd-scripts` when the agent first connects.
//!
//! One process for all scripts, not one for each connection (`Accept=yes`): a script a second and check would have the
//! service manager make a unit and a sandbox for each, write two lines into the journal, and delay every check while it
//! is busy with itself. The price is that scripts share a user and a sandbox, as they did inside the agent.
//!
//! The script's output comes through the connection. Had the agent handed over the end of a pipe, it would be the
//! agent's file, and a script could not open its `/dev/stderr`.

mod ask;
pub mod frame;

use std::path::PathBuf;
use std::sync::Arc;

pub use self::ask::{count, run};

/// Where the socket of the runner is; without one the agent does everything itself.
pub type Runner = Option<Arc<PathBuf>>;
