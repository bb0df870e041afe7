//! Processor time and memory of a process and all its descendants.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// What a process tree has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time of all threads so far, from `/proc/PID/task/TID/schedstat`: nanoseconds, not ticks.
    pub cpu: Duration,
    /// Resident memory now, in KiB.
    pub resident_kib: u64,
    /// The processes.
    pub processes: usize,
}

/// What the process `root` and its descendants have used so far. Time of children that have ended is not in it.
pub fn of_tree(root: u32) -> Usage {
    let parents = parents();
    let mut tree = vec![root];
    let mut at = 0;
    while let Some(&process) = tree.get(at) {
        tree.extend(parents.iter().filter(|&(_, &parent)| parent == process).map(|(&child, _)| child));
        at += 1;
    }
    let used = tree.iter().map(|&pid| (cpu(pid), resident_kib(pid)));
    used.fold(Usage::default(), |sum, (cpu, memory)| Usage {
        cpu: sum.cpu + cpu,
        resident_kib: sum.resident_kib + memory,
        processes: sum.processes + 1,
    })
}

/// The children of a process.
pub(crate) fn children(of: u32) -> Vec<u32> {
    parents().into_iter().filter(|(_, parent)| *parent == of).map(|(child, _)| child).collect()
}

/// Each process's parent.
fn parents() -> BTreeMap<u32, u32> {
    let names = fs::read_dir("/proc")
        .expect("/proc is mounted")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter_map(|name| name.parse().ok())
        .filter_map(|pid: u32| Some((pid, field(pid, "PPid:")?.try_into().ok()?)))
        .collect()
}

fn resident_kib(pid: u32) -> u64 {
    field(pid, "VmRSS:").unwrap_or(0)
}

/// A number in `/proc/PID/status`.
fn field(pid: u32, key: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse::<u64>().ok()
}

fn cpu(pid: u32) -> Duration {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let used = tasks.filter_map(|task| {
        let schedstat = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        schedstat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(used.sum())
}

/// How long the threads of a process with these names waited for a processor so far; all its threads, if none has.
pub fn waited(pid: u32, names: &[&str]) -> Duration {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let waits: Vec<(bool, u64)> = tasks
        .filter_map(|task| {
            let path = task.ok()?.path();
            let name = fs::read_to_string(path.join("comm")).ok()?;
            let schedstat = fs::read_to_string(path.join("schedstat")).ok()?;
            let waited = schedstat.split_whitespace().nth(1)?.parse::<u64>().ok()?;
            Some((names.contains(&name.trim()), waited))
        })
        .collect();
    let any = waits.iter().any(|(named, _)| *named);
    Duration::from_nanos(
        waits.into_iter().filter(|(named, _)| *named || !any).map(|(_, waited)| waited).sum(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_time() {
        let usage = of_tree(std::process::id());
        assert!(usage.resident_kib > 100 && usage.cpu > Duration::ZERO, "{usage:?}");
    }
}
