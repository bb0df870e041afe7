//! vipd: a virtual-IP failover agent for Linux.

extern crate alloc;

pub mod check;
pub mod engine;
pub mod net;
pub mod proto;
pub mod time;
pub mod wire;
