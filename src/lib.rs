//! vipd: a virtual-IP failover agent for Linux.

extern crate alloc;

pub mod agent;
pub mod check;
pub mod cli;
pub mod config;
pub mod engine;
pub mod net;
pub mod proto;
pub mod sys;
pub mod time;
pub mod wire;
