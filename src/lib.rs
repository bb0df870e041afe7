//! vipd: a virtual-IP failover agent for Linux.

extern crate alloc;

pub mod net;
pub mod time;
