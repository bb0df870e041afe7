//! One machine per protocol.

pub mod health;
