//! vipd keeps virtual IP addresses alive on a pair of Linux load balancers, by VRRP.
//!
//! Two programs, thin over this library: `vipd`, the agent, and `vipctl`, which asks it. The house has floors; a file
//! imports only from lower floors and from its own folder (`tests/tidy` checks it).
//!
//! | floor | module | what lives there |
//! |---|---|---|
//! | 7 | [`cli`] | argv in, text out, exit codes |
//! | 6 | [`agent`] | the threads: protocol, route, announce, gate, service, log; the control API |
//! | 5 | [`config`], [`import`] | YAML as written becomes what is true, and the only place that knows both; keepalived's file becomes YAML |
//! | 4 | [`sys`]; [`check`] and [`notify`] on [`reach`] | Linux and the outside world |
//! | 3 | [`engine`] | all that is decided: an event in, actions out |
//! | 2 | [`proto`] | one machine per protocol: a virtual router, the health of a check |
//! | 1 | [`wire`] | bytes to structs and back |
//! | 0 | [`time`], [`net`], [`codes`] | the nouns; what can be wrong |
//!
//! Floors 0 to 3 are pure: no clock, no I/O, no globals (`tests/purity` compiles them without the standard library).
//! The same engine runs in the agent and, under virtual time, in the simulator (`tests/sim`).
//!
//! How an address moves: the protocol thread hears, or no longer hears, adverts and hands them to the engine; the engine
//! answers with an advert to send, with addresses to hold and with what they may answer; the gate thread opens nftables for
//! them, for as long as adverts leave, and the route thread installs and announces them. What may block lives on other
//! threads than the one that owes adverts.

extern crate alloc;

pub mod agent;
pub mod check;
pub mod cli;
pub mod codes;
pub mod config;
pub mod engine;
pub mod import;
pub mod net;
pub mod notify;
pub mod proto;
pub mod reach;
pub mod sys;
pub mod time;
pub mod wire;
