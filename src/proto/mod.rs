//! One machine per protocol.

pub mod health;
pub mod vrrp;
