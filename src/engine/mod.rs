//! All instances, tracks and checks together: an event in, actions out. No clock, no I/O.

pub mod action;
pub mod event;
pub mod notice;
pub mod settings;
pub mod status;
