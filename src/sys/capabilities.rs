//! What the agent may do, and what children must not inherit: the agent runs as an unprivileged user with two ambient
//! capabilities, and every script it starts would have them, too.

use std::io;

use rustix::thread::CapabilitySet;

/// Empties the ambient set of the calling thread, and so of every thread and child it starts from now on. What is
/// permitted and effective stays: sockets and netlink go on working. Fails on kernels before 4.3.
pub fn keep_from_children() -> io::Result<()> {
    Ok(rustix::thread::clear_ambient_capability_set()?)
}

/// Undoes [`keep_from_children`] for the calling thread, which is about to become another program: what an unprivileged
/// process may hand on, it hands on. Root's programs have everything anyway.
pub fn hand_on() -> io::Result<()> {
    let sets = rustix::thread::capabilities(None)?;
    for capability in sets.inheritable & sets.permitted {
        rustix::thread::configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

/// The capabilities that the agent cannot do without and the calling thread does not have. Asked at the start, because
/// later each thing would fail on its own, in words that name no remedy.
pub fn missing() -> io::Result<Vec<&'static str>> {
    Ok(lacking(rustix::thread::capabilities(None)?.effective))
}

fn lacking(effective: CapabilitySet) -> Vec<&'static str> {
    let needed = [("CAP_NET_ADMIN", CapabilitySet::NET_ADMIN), ("CAP_NET_RAW", CapabilitySet::NET_RAW)];
    needed.iter().filter(|(_, set)| !effective.contains(*set)).map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_effective_is_named() {
        assert_eq!(lacking(CapabilitySet::empty()), ["CAP_NET_ADMIN", "CAP_NET_RAW"]);
        assert_eq!(lacking(CapabilitySet::NET_ADMIN | CapabilitySet::CHOWN), ["CAP_NET_RAW"]);
        assert_eq!(lacking(CapabilitySet::NET_RAW), ["CAP_NET_ADMIN"]);
        assert_eq!(lacking(CapabilitySet::all()), [""; 0]);
    }
}
