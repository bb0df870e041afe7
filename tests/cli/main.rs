//! The two programs and the control API as their users meet them.
//!
//! The engine is not what is tested here: where an agent is wanted, the real service thread runs against a protocol
//! side that answers with a status made by hand.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod api;
mod browser;
mod bundle;
mod codes;
mod commands;
mod completion;
mod doctor;
mod fake;
mod history;
mod hostile;
mod installation;
mod metrics;
mod orders;
mod page;
mod screen;
