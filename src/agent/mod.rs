//! Floor 6: the threads, and what passes between them.
//!
//! | module | what it is |
//! |---|---|
//! | [`mail`] | the bounded ways between the protocol thread and its workers |
//! | [`route`] | the thread that installs and announces addresses and opens sockets |

pub mod mail;
pub mod route;
