//! Bytes to structs and back: what travels on the wire.

pub mod vrrp;
