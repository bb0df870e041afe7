//! What children must not inherit: the agent runs as an unprivileged user with two ambient capabilities, and every
//! script it starts would have them, too.

use std::io;

/// Empties the ambient set of the calling thread, and so of every thread and child it starts from now on. What is
/// permitted and effective stays: sockets and netlink go on working. Fails on kernels before 4.3.
pub fn keep_from_children() -> io::Result<()> {
    Ok(rustix::thread::clear_ambient_capability_set()?)
}
