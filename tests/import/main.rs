//! keepalived's configuration, made into vipd's by the program itself: what comes out, what is said, and that the agent would
//! take it. `cases` has pairs of files; with `BLESS=1` what comes out is written there, to be looked at.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod behaviour;
mod cases;
mod commands;
mod fates;
mod kernel;
mod table;
