//! Floors 0 to 3 under `no_std`: a clock, a file, a socket or a thread in them does not compile here.
#![no_std]
#![allow(dead_code, reason = "only compiled, never called")]

extern crate alloc;

#[path = "../../../src/codes/mod.rs"]
pub mod codes;
#[path = "../../../src/engine/mod.rs"]
pub mod engine;
#[path = "../../../src/net.rs"]
pub mod net;
#[path = "../../../src/proto/mod.rs"]
pub mod proto;
#[path = "../../../src/time.rs"]
pub mod time;
#[path = "../../../src/wire/mod.rs"]
pub mod wire;
