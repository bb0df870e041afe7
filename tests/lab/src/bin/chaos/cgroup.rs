//! Freezing by control group, as container runtimes pause and systemd's `freeze` does: all threads of an agent stop where they
//! are, and unlike with SIGSTOP no signal tells the agent so, neither then nor when it goes on.
//!
//! Only a process that is frozen is in a group of ours, and goes back to its own when the freeze ends. A group that
//! was left by a program that was killed meanwhile is removed by the next one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::wait;
use nix::mount::{MsFlags, mount};
use nix::unistd::{Pid, getpgid};

/// The control groups, if this machine has them.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    root: PathBuf,
}

/// A frozen agent; dropped, it goes on.
#[derive(Debug)]
pub(crate) struct Frozen {
    group: PathBuf,
    /// Its processes, and where each was before.
    members: Vec<(i32, PathBuf)>,
}

const NAME: &str = "vipd-chaos-";

impl Groups {
    /// The second version's hierarchy, in a mount that nobody else sees.
    pub(crate) fn find() -> Option<Self> {
        let root = PathBuf::from("/run/lab/cgroup");
        fs::create_dir_all(&root).expect("make a directory for the control groups");
        mount(Some("lab"), &root, Some("cgroup2"), MsFlags::empty(), None::<&str>).ok()?;
        for stale in fs::read_dir(&root).expect("read the control groups").flatten() {
            if stale.file_name().to_string_lossy().starts_with(NAME) {
                // One in use is not empty, and stays.
                drop(fs::remove_dir(stale.path()));
            }
        }
        Some(Self { root })
    }

    /// Freezes the process group of `leader`, and returns when all of it stands still.
    pub(crate) fn freeze(&self, name: &str, leader: u32) -> Frozen {
        let group = self.root.join(format!("{NAME}{name}-{}", wait::now()));
        fs::create_dir(&group).expect("make a control group");
        let mut members = Vec::new();
        for pid in process_group(leader) {
            // A check's child may be gone by now.
            let Some(home) = self.home(pid) else { continue };
            if fs::write(group.join("cgroup.procs"), pid.to_string()).is_ok() {
                members.push((pid, home));
            }
        }
        write(&group.join("cgroup.freeze"), "1");
        wait::until("the control group is frozen", Duration::from_secs(5), || {
            let events = fs::read_to_string(group.join("cgroup.events")).ok()?;
            events.contains("frozen 1").then_some(())
        });
        Frozen { group, members }
    }

    /// The `cgroup.procs` of the group that a process is in.
    fn home(&self, pid: i32) -> Option<PathBuf> {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
        Some(self.root.join(path).join("cgroup.procs"))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        write(&self.group.join("cgroup.freeze"), "0");
        for (pid, home) in &self.members {
            // It may have been killed, or have ended at once.
            drop(fs::write(home, pid.to_string()));
        }
        let group = &self.group;
        let gone = wait::within(Duration::from_secs(5), || fs::remove_dir(group).ok());
        assert!(gone.is_some() || std::thread::panicking(), "{} is still in use", group.display());
    }
}

/// All processes of a process group.
fn process_group(leader: u32) -> Vec<i32> {
    let leader = Pid::from_raw(i32::try_from(leader).expect("a process id fits"));
    let names = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| getpgid(Some(Pid::from_raw(*pid))) == Ok(leader)).collect()
}

fn write(file: &Path, what: &str) {
    fs::write(file, what).unwrap_or_else(|e| panic!("write {what} into {}: {e}", file.display()));
}
