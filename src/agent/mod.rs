//! Floor 6: the threads, and what passes between them.
//!
//! | module | what it is |
//! |---|---|
//! | [`protocol`] | the thread that owns the engine, and waits only for its own `epoll` |
//! | [`post`] | requests and notices, between the service thread and the protocol thread |
//! | [`heartbeat`] | whether every thread still turns |
//! | [`mail`] | the bounded ways between the protocol thread and its workers |
//! | [`route`] | the thread that installs and announces addresses and opens sockets |

pub mod heartbeat;
pub mod mail;
mod perform;
pub mod post;
pub mod protocol;
pub mod route;
