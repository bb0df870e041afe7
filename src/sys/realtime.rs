//! Threads that go before others, and memory that stays: what the kernel grants only to those with the right to it.

use std::io;
use std::os::unix::thread::JoinHandleExt as _;
use std::thread::JoinHandle;

use rustix::mm::MlockAllFlags;
use rustix::process::{Resource, getrlimit};
use rustix::thread::CapabilitySet;
use thread_priority::{
    RealtimeThreadSchedulePolicy, ScheduleParams, ThreadId, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy,
};

/// What the operator wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The priority under `SCHED_FIFO` of the thread that must not be late.
    pub priority: Option<u8>,
    /// Whether memory once used stays in memory.
    pub lock_memory: bool,
}

/// Has a thread go before all ordinary ones, by `SCHED_FIFO`; the children it starts would, too.
pub fn prefer<T>(thread: &JoinHandle<T>, priority: u8) -> io::Result<()> {
    let priority = ThreadPriority::from_posix(ScheduleParams { sched_priority: priority.into() });
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    // The same number; with musl its type is that of a pointer.
    let thread = thread.as_pthread_t() as ThreadId;
    set_thread_priority_and_policy(thread, priority, policy).map_err(|error| match error {
        thread_priority::Error::OS(errno) => io::Error::from_raw_os_error(errno),
        other => io::Error::other(format!("{other:?}")),
    })
}

/// Keeps all memory that is used from now on, by any thread, from being written to disk or dropped. What is only
/// reserved costs nothing.
///
/// Under a limit the kernel would do it, too, and refuse memory beyond that when it is needed most: then it is not done.
pub fn lock_memory() -> io::Result<()> {
    let capable = rustix::thread::capabilities(None)?.effective.contains(CapabilitySet::IPC_LOCK);
    if !capable && getrlimit(Resource::Memlock).current.is_some() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(rustix::mm::mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)?)
}
